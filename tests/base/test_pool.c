/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: its bound, its end, and loops that are shared with whoever is free.
 */
#include "base/pool.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/panic.h"

/* A task that keeps a thread busy until it is let go. */
struct gate {
	struct pool_task task;
	sem_t entered, open;
};

static void wait_at_gate(struct pool_task *t)
{
	struct gate *g = CONTAINER_OF(t, struct gate, task);
	(void)sem_post(&g->entered);
	(void)sem_wait(&g->open);
}

static void gate_init(struct gate *g)
{
	g->task = (struct pool_task){ .run = wait_at_gate };
	(void)sem_init(&g->entered, 0, 0);
	(void)sem_init(&g->open, 0, 0);
}

static void occupy(struct pool *p, struct gate *g)
{
	gate_init(g);
	ck_assert_int_eq(pool_run(p, &g->task), ERR_NONE);
	(void)sem_wait(&g->entered);
}

static atomic_uint count;

static void count_one(struct pool_task *t UNUSED)
{
	atomic_fetch_add(&count, 1);
}

START_TEST(full_pool_refuses)
{
	struct pool *p;
	struct gate g;
	struct pool_task waiting[3];
	ck_assert_int_eq(pool_new("full", 1, 2, &p), ERR_NONE);
	occupy(p, &g);
	for (unsigned i = 0; i < 3; i++) {
		waiting[i] = (struct pool_task){ .run = count_one };
		ck_assert_int_eq(pool_run(p, &waiting[i]), i < 2 ? ERR_NONE : ERR_RATE_LIMITED);
	}
	ck_assert_uint_eq(pool_waiting(p), 2);
	(void)sem_post(&g.open);
	pool_free(p);
	ck_assert_uint_eq(atomic_load(&count), 2);
}
END_TEST

/* A task that fills the line behind itself and knocks on until the pool ends. */
struct late {
	struct pool_task task, waiting;
	struct pool *pool;
	sem_t full;
	bool refused;
};

static void try_until_refused(struct pool_task *t)
{
	struct late *l = CONTAINER_OF(t, struct late, task);
	struct pool_task again = { .run = count_one };
	ASSERT(pool_run(l->pool, &l->waiting) == ERR_NONE);
	(void)sem_post(&l->full);
	enum err err;
	while ((err = pool_run(l->pool, &again)) == ERR_RATE_LIMITED)
		(void)sched_yield();
	l->refused = err == ERR_UNAVAILABLE;
}

START_TEST(ending_pool_refuses_and_finishes_what_waits)
{
	struct late l = { .task.run = try_until_refused, .waiting.run = count_one };
	(void)sem_init(&l.full, 0, 0);
	ck_assert_int_eq(pool_new("ending", 1, 1, &l.pool), ERR_NONE);
	ck_assert_int_eq(pool_run(l.pool, &l.task), ERR_NONE);
	(void)sem_wait(&l.full);
	pool_free(l.pool);
	ck_assert(l.refused);
	ck_assert_uint_eq(atomic_load(&count), 1);
}
END_TEST

START_TEST(every_task_runs_once)
{
	static struct pool_task tasks[5000];
	struct pool *p;
	ck_assert_int_eq(pool_new("once", 3, LEN(tasks), &p), ERR_NONE);
	ck_assert_uint_eq(pool_threads(p), 3);
	for (size_t i = 0; i < LEN(tasks); i++) {
		tasks[i].run = count_one;
		ck_assert_int_eq(pool_run(p, &tasks[i]), ERR_NONE);
	}
	pool_free(p);
	ck_assert_uint_eq(atomic_load(&count), LEN(tasks));
}
END_TEST

static char name_seen[32];

static void note_name(struct pool_task *t UNUSED)
{
	(void)pthread_getname_np(pthread_self(), name_seen, sizeof(name_seen));
}

START_TEST(threads_bear_the_name_cut_to_what_the_kernel_takes)
{
	struct pool_task t = { .run = note_name };
	struct pool *p;
	ck_assert_int_eq(pool_new("searchers-of-vectors", 1, 1, &p), ERR_NONE);
	ck_assert_int_eq(pool_run(p, &t), ERR_NONE);
	pool_free(p);
	ck_assert_str_eq(name_seen, "searchers-of-ve");
}
END_TEST

START_TEST(busy_time_is_that_of_the_task_that_runs)
{
	struct pool *p;
	struct gate g;
	ck_assert_int_eq(pool_new("busy", 2, 2, &p), ERR_NONE);
	ck_assert_uint_eq(pool_longest_busy_ns(p), 0);
	occupy(p, &g);
	uint64_t before = pool_longest_busy_ns(p);
	while (pool_longest_busy_ns(p) <= before)
		(void)sched_yield();
	(void)sem_post(&g.open);
	while (pool_longest_busy_ns(p) != 0)
		(void)sched_yield();
	pool_free(p);
}
END_TEST

START_TEST(no_pool_is_freed_in_peace)
{
	pool_free(NULL);
}
END_TEST

/* Plain memory on purpose: whoever calls pool_each must see what the helpers wrote. */
struct rounds {
	unsigned done[1000];
};

static void do_round(void *ctx, unsigned i)
{
	((struct rounds *)ctx)->done[i]++;
}

static void check_rounds(struct pool *p, unsigned n)
{
	struct rounds r = { 0 };
	pool_each(p, n, do_round, &r);
	for (unsigned i = 0; i < LEN(r.done); i++)
		ck_assert_uint_eq(r.done[i], i < n);
}

START_TEST(each_round_is_done_once)
{
	static const unsigned sizes[] = { 0, 1, 2, 3, 10, 1000 };
	struct pool *p;
	ck_assert_int_eq(pool_new("each", 3, 1, &p), ERR_NONE);
	for (unsigned again = 0; again < 50; again++)
		for (size_t i = 0; i < LEN(sizes); i++)
			check_rounds(p, sizes[i]);
	pool_free(p);
}
END_TEST

START_TEST(caller_does_all_rounds_when_the_pool_is_busy)
{
	struct pool *p;
	struct gate gates[2];
	struct pool_task waiting = { .run = count_one };
	ck_assert_int_eq(pool_new("busy", 2, 2, &p), ERR_NONE);
	occupy(p, &gates[0]);
	occupy(p, &gates[1]);
	ck_assert_int_eq(pool_run(p, &waiting), ERR_NONE);
	check_rounds(p, 100);
	ck_assert_uint_eq(atomic_load(&count), 0);
	(void)sem_post(&gates[0].open);
	(void)sem_post(&gates[1].open);
	pool_free(p);
}
END_TEST

static void meet(void *ctx, unsigned i UNUSED)
{
	(void)pthread_barrier_wait(ctx);
}

/* Three rounds that can end only together need three threads at once. */
START_TEST(idle_threads_join)
{
	struct pool *p;
	pthread_barrier_t barrier;
	ck_assert_int_eq(pool_new("join", 2, 1, &p), ERR_NONE);
	ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, 3), 0);
	for (unsigned i = 0; i < 100; i++)
		pool_each(p, 3, meet, &barrier);
	(void)pthread_barrier_destroy(&barrier);
	pool_free(p);
}
END_TEST

/* Tasks of the pool that share their rounds with it, and rounds that share again. */
struct searcher {
	struct pool_task task;
	struct pool *pool;
	unsigned sums[20][5];
};

struct nested {
	struct searcher *s;
	unsigned i;
};

static void add_inner(void *ctx, unsigned i)
{
	struct nested *n = ctx;
	n->s->sums[n->i][i] += n->i * 5 + i;
}

static void add_outer(void *ctx, unsigned i)
{
	struct nested n = { .s = ctx, .i = i };
	pool_each(n.s->pool, 5, add_inner, &n);
}

static void search(struct pool_task *t)
{
	struct searcher *s = CONTAINER_OF(t, struct searcher, task);
	pool_each(s->pool, 20, add_outer, s);
	atomic_fetch_add(&count, 1);
}

START_TEST(tasks_share_their_rounds_with_their_own_pool)
{
	static struct searcher searchers[200];
	struct pool *p;
	ck_assert_int_eq(pool_new("nested", 4, LEN(searchers), &p), ERR_NONE);
	for (size_t i = 0; i < LEN(searchers); i++) {
		searchers[i] = (struct searcher){ .task.run = search, .pool = p };
		ck_assert_int_eq(pool_run(p, &searchers[i].task), ERR_NONE);
	}
	check_rounds(p, 1000);
	pool_free(p);
	ck_assert_uint_eq(atomic_load(&count), LEN(searchers));
	for (size_t i = 0; i < LEN(searchers); i++)
		for (unsigned k = 0; k < 100; k++)
			ck_assert_uint_eq(searchers[i].sums[k / 5][k % 5], k);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pool");
	TCase *t = tcase_create("pool");
	tcase_set_timeout(t, 30);
	tcase_add_test(t, full_pool_refuses);
	tcase_add_test(t, ending_pool_refuses_and_finishes_what_waits);
	tcase_add_test(t, every_task_runs_once);
	tcase_add_test(t, threads_bear_the_name_cut_to_what_the_kernel_takes);
	tcase_add_test(t, busy_time_is_that_of_the_task_that_runs);
	tcase_add_test(t, no_pool_is_freed_in_peace);
	tcase_add_test(t, each_round_is_done_once);
	tcase_add_test(t, caller_does_all_rounds_when_the_pool_is_busy);
	tcase_add_test(t, idle_threads_join);
	tcase_add_test(t, tasks_share_their_rounds_with_their_own_pool);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
