/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop: who may enter, the order of things within a turn, and what a handler may do to others.
 */
#include "base/loop.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/panic.h"

static struct loop *loop;
static struct clock_manual hand;

static void open_loop(void)
{
	ck_assert_int_eq(loop_new(clock_system(), &loop), ERR_NONE);
}

/* The same with a clock that stands still. */
static void open_manual_loop(void)
{
	clock_manual_init(&hand, 0);
	ck_assert_int_eq(loop_new(&hand.clock, &loop), ERR_NONE);
}

static void close_loop(void)
{
	loop_free(loop);
}

static void *run_loop(void *arg)
{
	ASSERT(loop_run(arg) == ERR_NONE);
	return NULL;
}

static void stop_in_task(struct loop_task *t UNUSED)
{
	loop_stop(loop);
}

static struct loop_task stopper = { .run = stop_in_task };

/* A descriptor that is readable at once, and how often its handler ran. */
struct source {
	struct loop_fd fd;
	struct source *other;
	unsigned runs;
	uint32_t events;
};

static void open_source(struct source *s, struct source *other,
			void (*on_event)(struct loop_fd *f, uint32_t events))
{
	*s = (struct source){ .fd = { .fd = eventfd(1, EFD_NONBLOCK), .on_event = on_event },
			      .other = other };
	ck_assert_int_ge(s->fd.fd, 0);
	ck_assert_int_eq(loop_add(loop, &s->fd, EPOLLIN), ERR_NONE);
}

START_TEST(bad_descriptor_is_refused)
{
	struct loop_fd closed = { .fd = -1 };
	ck_assert_int_ne(loop_add(loop, &closed, EPOLLIN), ERR_NONE);
	struct source s;
	open_source(&s, NULL, NULL);
	ck_assert_int_eq(loop_add(loop, &s.fd, EPOLLIN), ERR_ALREADY_EXISTS);
	loop_remove(loop, &s.fd);
	ck_assert_int_ne(loop_change(loop, &s.fd, EPOLLIN), ERR_NONE);
	loop_remove(loop, &s.fd);
	(void)close(s.fd.fd);
}
END_TEST

START_TEST(stranger_in_the_loop_is_stopped)
{
	pthread_t thread;
	ck_assert_int_eq(pthread_create(&thread, NULL, run_loop, loop), 0);
	while (loop_turns(loop) == 0) {
		loop_nudge(loop);
		(void)sched_yield();
	}
	(void)loop_now_ns(loop);
}
END_TEST

START_TEST(stop_before_run_is_not_lost)
{
	loop_stop(loop);
	ck_assert_int_eq(loop_run(loop), ERR_NONE);
	ck_assert_uint_eq(loop_turns(loop), 0);
	/* And it is used up: the next run works. */
	loop_post(loop, &stopper);
	ck_assert_int_eq(loop_run(loop), ERR_NONE);
	ck_assert_uint_ge(loop_turns(loop), 1);
}
END_TEST

START_TEST(nudge_moves_the_turns_of_an_idle_loop)
{
	pthread_t thread;
	ck_assert_int_eq(pthread_create(&thread, NULL, run_loop, loop), 0);
	for (unsigned i = 0; i < 5000; i++) {
		uint64_t before = loop_turns(loop);
		loop_nudge(loop);
		while (loop_turns(loop) == before)
			(void)sched_yield();
	}
	loop_stop(loop);
	(void)pthread_join(thread, NULL);
}
END_TEST

/* Tasks. */

enum { POSTERS = 4, POSTS = 2000 };

struct numbered {
	struct loop_task task;
	unsigned poster, number;
};

static unsigned ran[POSTERS];
static bool in_order = true;

static void run_numbered(struct loop_task *t)
{
	struct numbered *n = CONTAINER_OF(t, struct numbered, task);
	in_order = in_order && ran[n->poster] == n->number;
	if (++ran[n->poster] < POSTS)
		return;
	unsigned all = 0;
	for (unsigned i = 0; i < POSTERS; i++)
		all += ran[i];
	if (all == POSTERS * POSTS)
		loop_stop(loop);
}

static void *post_all(void *arg)
{
	struct numbered *tasks = arg;
	for (unsigned i = 0; i < POSTS; i++)
		loop_post(loop, &tasks[i].task);
	return NULL;
}

START_TEST(tasks_of_each_thread_run_once_and_in_order)
{
	static struct numbered tasks[POSTERS][POSTS];
	pthread_t threads[POSTERS];
	for (unsigned p = 0; p < POSTERS; p++) {
		for (unsigned i = 0; i < POSTS; i++)
			tasks[p][i] = (struct numbered){ .task.run = run_numbered,
							 .poster = p,
							 .number = i };
		ck_assert_int_eq(pthread_create(&threads[p], NULL, post_all, tasks[p]), 0);
	}
	ck_assert_int_eq(loop_run(loop), ERR_NONE);
	for (unsigned p = 0; p < POSTERS; p++) {
		(void)pthread_join(threads[p], NULL);
		ck_assert_uint_eq(ran[p], POSTS);
	}
	ck_assert(in_order);
}
END_TEST

static unsigned reposts;

static void repost(struct loop_task *t)
{
	ck_assert_uint_eq(loop_turns(loop), reposts);
	if (++reposts < 5)
		loop_post(loop, t);
	else
		loop_stop(loop);
}

START_TEST(task_may_post_itself_for_the_next_turn)
{
	struct loop_task t = { .run = repost };
	loop_post(loop, &t);
	ck_assert_int_eq(loop_run(loop), ERR_NONE);
	ck_assert_uint_eq(reposts, 5);
}
END_TEST

/* Timers. */

struct timed {
	struct loop_timer timer;
	struct timed *victim;
	uint64_t due_ms;
	unsigned fired;
};

static uint64_t last_due_ms;

static void check_order(struct loop_timer *t)
{
	struct timed *timed = CONTAINER_OF(t, struct timed, timer);
	ck_assert_uint_ge(timed->due_ms, last_due_ms);
	last_due_ms = timed->due_ms;
	timed->fired++;
}

/* Many are started, some stopped, some moved; the clock jumps, and the rest fires in order. */
START_TEST(timers_fire_once_in_the_order_of_their_time)
{
	static struct timed timers[3000];
	uint64_t state = 7;
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < LEN(timers); i++) {
			if (round == 1 && i % 3 != 0)
				continue;
			state = state * 6364136223846793005u + 1442695040888963407u;
			timers[i].timer.on_fire = check_order;
			timers[i].due_ms = (state >> 33) % 1000;
			loop_timer_start(loop, &timers[i].timer, timers[i].due_ms);
		}
	}
	for (size_t i = 1; i < LEN(timers); i += 5)
		loop_timer_stop(loop, &timers[i].timer);

	for (uint64_t ms = 0; ms <= 1000; ms += 50) {
		hand.mono_ns = ms * 1000000;
		loop_post(loop, &stopper);
		ck_assert_int_eq(loop_run(loop), ERR_NONE);
		for (size_t i = 0; i < LEN(timers); i++) {
			bool due = i % 5 != 1 && timers[i].due_ms <= ms;
			ck_assert_uint_eq(timers[i].fired, due);
		}
	}
}
END_TEST

static void kill_victim(struct loop_timer *t)
{
	struct timed *timed = CONTAINER_OF(t, struct timed, timer);
	timed->fired++;
	loop_timer_stop(loop, &timed->victim->timer);
}

START_TEST(timer_stopped_in_the_turn_that_it_is_due_does_not_fire)
{
	struct timed a = { .timer.on_fire = kill_victim, .due_ms = 1 };
	struct timed b = { .timer.on_fire = kill_victim, .due_ms = 1 };
	a.victim = &b;
	b.victim = &a;
	loop_timer_start(loop, &a.timer, 1);
	loop_timer_start(loop, &b.timer, 1);
	hand.mono_ns = 1000000;
	loop_post(loop, &stopper);
	ck_assert_int_eq(loop_run(loop), ERR_NONE);
	ck_assert_uint_eq(a.fired + b.fired, 1);
}
END_TEST

static void restart(struct loop_timer *t)
{
	struct timed *timed = CONTAINER_OF(t, struct timed, timer);
	if (++timed->fired == 3)
		loop_stop(loop);
	loop_timer_start(loop, t, 0);
}

START_TEST(timer_without_delay_fires_once_a_turn)
{
	struct timed a = { .timer.on_fire = restart };
	loop_timer_start(loop, &a.timer, 0);
	ck_assert_int_eq(loop_run(loop), ERR_NONE);
	ck_assert_uint_eq(a.fired, 3);
	ck_assert_uint_eq(loop_turns(loop), 3);
}
END_TEST

static uint64_t fired_ns;

static void note_time(struct loop_timer *t UNUSED)
{
	fired_ns = loop_now_ns(loop);
	loop_stop(loop);
}

START_TEST(waiting_timer_is_neither_early_nor_spun_for)
{
	struct loop_timer t = { .on_fire = note_time };
	uint64_t start_ns = clock_mono_ns(clock_system());
	loop_timer_start(loop, &t, 20);
	ck_assert_int_eq(loop_run(loop), ERR_NONE);
	ck_assert_uint_ge(fired_ns, start_ns + 20000000);
	ck_assert_uint_le(loop_turns(loop), 3);
}
END_TEST

START_TEST(endless_delay_does_not_wrap_around)
{
	struct timed a = { .timer.on_fire = restart };
	hand.mono_ns = 1000;
	loop_timer_start(loop, &a.timer, UINT64_MAX);
	loop_post(loop, &stopper);
	ck_assert_int_eq(loop_run(loop), ERR_NONE);
	ck_assert_uint_eq(a.fired, 0);
	loop_timer_stop(loop, &a.timer);
	loop_timer_stop(loop, &a.timer);
}
END_TEST

/* Descriptors. */

static void remove_other(struct loop_fd *f, uint32_t events)
{
	struct source *s = CONTAINER_OF(f, struct source, fd);
	s->runs++;
	s->events = events;
	loop_remove(loop, &s->other->fd);
	/* What the freed memory would look like to a loop that still used it. */
	s->other->fd.on_event = NULL;
	loop_stop(loop);
}

START_TEST(descriptor_removed_by_another_of_its_batch_is_not_served)
{
	struct source a, b;
	open_source(&a, &b, remove_other);
	open_source(&b, &a, remove_other);
	ck_assert_int_eq(loop_run(loop), ERR_NONE);
	ck_assert_uint_eq(a.runs + b.runs, 1);
	ck_assert_uint_eq(a.events + b.events, EPOLLIN);
	(void)close(a.fd.fd);
	(void)close(b.fd.fd);
}
END_TEST

static void mute_other(struct loop_fd *f, uint32_t events)
{
	struct source *s = CONTAINER_OF(f, struct source, fd);
	s->runs++;
	s->events |= events;
	loop_remove(loop, f);
	if (s->other->runs == 0)
		ck_assert_int_eq(loop_change(loop, &s->other->fd, EPOLLOUT), ERR_NONE);
	else
		loop_stop(loop);
}

START_TEST(changed_interest_holds_within_the_batch)
{
	struct source a, b;
	open_source(&a, &b, mute_other);
	open_source(&b, &a, mute_other);
	ck_assert_int_eq(loop_run(loop), ERR_NONE);
	ck_assert_uint_eq(a.runs, 1);
	ck_assert_uint_eq(b.runs, 1);
	ck_assert_uint_eq(MIN(a.events, b.events), EPOLLIN);
	ck_assert_uint_eq(MAX(a.events, b.events), EPOLLOUT);
	(void)close(a.fd.fd);
	(void)close(b.fd.fd);
}
END_TEST

static unsigned served;

static void drain(struct loop_fd *f, uint32_t events UNUSED)
{
	uint64_t v;
	ck_assert_int_eq(read(f->fd, &v, sizeof(v)), sizeof(v));
	CONTAINER_OF(f, struct source, fd)->runs++;
	if (++served == 200)
		loop_stop(loop);
}

START_TEST(more_descriptors_than_a_batch_are_all_served)
{
	static struct source sources[200];
	for (size_t i = 0; i < LEN(sources); i++)
		open_source(&sources[i], NULL, drain);
	ck_assert_int_eq(loop_run(loop), ERR_NONE);
	for (size_t i = 0; i < LEN(sources); i++) {
		ck_assert_uint_eq(sources[i].runs, 1);
		(void)close(sources[i].fd.fd);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("loop");
	TCase *t = tcase_create("real clock");
	tcase_add_checked_fixture(t, open_loop, close_loop);
	tcase_add_test(t, bad_descriptor_is_refused);
	tcase_add_test_raise_signal(t, stranger_in_the_loop_is_stopped, SIGABRT);
	tcase_add_test(t, stop_before_run_is_not_lost);
	tcase_add_test(t, nudge_moves_the_turns_of_an_idle_loop);
	tcase_add_test(t, tasks_of_each_thread_run_once_and_in_order);
	tcase_add_test(t, task_may_post_itself_for_the_next_turn);
	tcase_add_test(t, waiting_timer_is_neither_early_nor_spun_for);
	tcase_add_test(t, descriptor_removed_by_another_of_its_batch_is_not_served);
	tcase_add_test(t, changed_interest_holds_within_the_batch);
	tcase_add_test(t, more_descriptors_than_a_batch_are_all_served);
	suite_add_tcase(s, t);

	t = tcase_create("manual clock");
	tcase_add_checked_fixture(t, open_manual_loop, close_loop);
	tcase_add_test(t, timers_fire_once_in_the_order_of_their_time);
	tcase_add_test(t, timer_stopped_in_the_turn_that_it_is_due_does_not_fire);
	tcase_add_test(t, timer_without_delay_fires_once_a_turn);
	tcase_add_test(t, endless_delay_does_not_wrap_around);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
