/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue: its bound, its order, its end.
 */
#include "base/queue.h"

#include <check.h>
#include <sched.h>
#include <stdlib.h>

#include "base/panic.h"

#define FOREVER_MS UINT64_MAX

START_TEST(full_queue_refuses)
{
	CLEANUP(queue_release) struct queue q;
	struct queue_item items[3];
	ck_assert_int_eq(queue_init(&q, 10), ERR_NONE);
	ck_assert_int_eq(queue_push(&q, &items[0], 6), ERR_NONE);
	ck_assert_int_eq(queue_push(&q, &items[1], 5), ERR_RATE_LIMITED);
	ck_assert_int_eq(queue_push(&q, &items[1], SIZE_MAX), ERR_RATE_LIMITED);
	ck_assert_int_eq(queue_push(&q, &items[1], 4), ERR_NONE);
	ck_assert_int_eq(queue_push(&q, &items[2], 1), ERR_RATE_LIMITED);
	ck_assert_int_eq(queue_push(&q, &items[2], 0), ERR_RATE_LIMITED);
	ck_assert_uint_eq(queue_weight(&q), 10);

	ck_assert_ptr_eq(queue_take_all(&q, 0), &items[0]);
	ck_assert_int_eq(queue_push(&q, &items[2], 1), ERR_NONE);
}
END_TEST

START_TEST(closed_queue_refuses_and_gives_what_it_has)
{
	CLEANUP(queue_release) struct queue q;
	struct queue_item items[2];
	ck_assert_int_eq(queue_init(&q, 10), ERR_NONE);
	ck_assert_int_eq(queue_push(&q, &items[0], 1), ERR_NONE);
	ck_assert(!queue_is_closed(&q));
	queue_close(&q);
	ck_assert(queue_is_closed(&q));
	ck_assert_int_eq(queue_push(&q, &items[1], 1), ERR_UNAVAILABLE);
	ck_assert_ptr_eq(queue_take_all(&q, FOREVER_MS), &items[0]);
	ck_assert_ptr_null(queue_take_all(&q, FOREVER_MS));
}
END_TEST

START_TEST(empty_queue_takes_one_item_of_any_weight)
{
	CLEANUP(queue_release) struct queue q;
	struct queue_item items[2];
	ck_assert_int_eq(queue_init(&q, 10), ERR_NONE);
	ck_assert_int_eq(queue_push(&q, &items[0], SIZE_MAX), ERR_NONE);
	ck_assert_int_eq(queue_push(&q, &items[1], 1), ERR_RATE_LIMITED);
	ck_assert_ptr_eq(queue_take_all(&q, 0), &items[0]);
	ck_assert_uint_eq(items[0].weight, SIZE_MAX);
	ck_assert_uint_eq(queue_weight(&q), 0);
}
END_TEST

START_TEST(items_without_weight_do_not_escape_the_bound)
{
	CLEANUP(queue_release) struct queue q;
	struct queue_item items[3];
	ck_assert_int_eq(queue_init(&q, 2), ERR_NONE);
	ck_assert_int_eq(queue_push(&q, &items[0], 0), ERR_NONE);
	ck_assert_int_eq(queue_push(&q, &items[1], 0), ERR_NONE);
	ck_assert_int_eq(queue_push(&q, &items[2], 0), ERR_RATE_LIMITED);
}
END_TEST

START_TEST(items_come_oldest_first)
{
	CLEANUP(queue_release) struct queue q;
	struct queue_item items[5];
	ck_assert_int_eq(queue_init(&q, 100), ERR_NONE);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(queue_push(&q, &items[i], i + 1), ERR_NONE);
	ck_assert_uint_eq(queue_weight(&q), 15);
	struct queue_item *item = queue_take_all(&q, FOREVER_MS);
	for (unsigned i = 0; i < 5; i++, item = item->next) {
		ck_assert_ptr_eq(item, &items[i]);
		ck_assert_uint_eq(item->weight, i + 1);
	}
	ck_assert_ptr_null(item);
	ck_assert_ptr_null(queue_take_all(&q, 0));
}
END_TEST

START_TEST(wait_ends_when_nothing_comes)
{
	CLEANUP(queue_release) struct queue q;
	ck_assert_int_eq(queue_init(&q, 100), ERR_NONE);
	ck_assert_ptr_null(queue_take_all(&q, 0));
	ck_assert_ptr_null(queue_take_all(&q, 3));
}
END_TEST

static void *wait_for_end(void *arg)
{
	struct queue *q = arg;
	while (queue_take_all(q, FOREVER_MS))
		;
	return NULL;
}

START_TEST(close_wakes_the_taker)
{
	CLEANUP(queue_release) struct queue q;
	struct queue_item item;
	pthread_t taker;
	ck_assert_int_eq(queue_init(&q, 100), ERR_NONE);
	ck_assert_int_eq(pthread_create(&taker, NULL, wait_for_end, &q), 0);
	/* Once it took an item it waits, or is about to. */
	ck_assert_int_eq(queue_push(&q, &item, 1), ERR_NONE);
	while (queue_weight(&q) > 0)
		(void)sched_yield();
	queue_close(&q);
	(void)pthread_join(taker, NULL);
}
END_TEST

enum { PUSHERS = 4, PUSHES = 5000 };

struct pushed {
	struct queue_item item;
	unsigned pusher, number;
};

struct pusher {
	struct queue *q;
	struct pushed items[PUSHES];
};

static void *push_all(void *arg)
{
	struct pusher *p = arg;
	for (unsigned i = 0; i < PUSHES; i++) {
		enum err err;
		while ((err = queue_push(p->q, &p->items[i].item, 1)) == ERR_RATE_LIMITED)
			(void)sched_yield();
		ASSERT(err == ERR_NONE);
	}
	return NULL;
}

START_TEST(many_threads_push_and_nothing_is_lost_or_turned_round)
{
	static struct pusher pushers[PUSHERS];
	CLEANUP(queue_release) struct queue q;
	pthread_t threads[PUSHERS];
	unsigned next[PUSHERS] = { 0 };
	ck_assert_int_eq(queue_init(&q, 100), ERR_NONE);
	for (unsigned p = 0; p < PUSHERS; p++) {
		pushers[p].q = &q;
		for (unsigned i = 0; i < PUSHES; i++)
			pushers[p].items[i] = (struct pushed){ .pusher = p, .number = i };
		ck_assert_int_eq(pthread_create(&threads[p], NULL, push_all, &pushers[p]), 0);
	}
	for (unsigned taken = 0; taken < PUSHERS * PUSHES;) {
		struct queue_item *item = queue_take_all(&q, FOREVER_MS);
		unsigned batch = 0;
		for (struct queue_item *after; item; item = after) {
			after = item->next;
			struct pushed *p = CONTAINER_OF(item, struct pushed, item);
			ck_assert_uint_eq(p->number, next[p->pusher]);
			next[p->pusher]++;
			batch++;
		}
		ck_assert_uint_ge(batch, 1);
		ck_assert_uint_le(batch, 100);
		taken += batch;
	}
	for (unsigned p = 0; p < PUSHERS; p++)
		(void)pthread_join(threads[p], NULL);
	ck_assert_ptr_null(queue_take_all(&q, 0));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("queue");
	TCase *t = tcase_create("queue");
	tcase_set_timeout(t, 30);
	tcase_add_test(t, full_queue_refuses);
	tcase_add_test(t, closed_queue_refuses_and_gives_what_it_has);
	tcase_add_test(t, empty_queue_takes_one_item_of_any_weight);
	tcase_add_test(t, items_without_weight_do_not_escape_the_bound);
	tcase_add_test(t, items_come_oldest_first);
	tcase_add_test(t, wait_ends_when_nothing_comes);
	tcase_add_test(t, close_wakes_the_taker);
	tcase_add_test(t, many_threads_push_and_nothing_is_lost_or_turned_round);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
