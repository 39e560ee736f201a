/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop: epoll for descriptors, an eventfd for the door, a binary heap for timers.
 * Thread: the one in loop_run(); before and after that, whoever owns the loop.
 *
 * One turn: wait, then the events of one epoll_wait, then the timers that are due, then the tasks that
 * were posted. What a handler starts or posts belongs to the next turn, so every turn ends.
 */
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/panic.h"

#define LOOP_EVENTS_MAX 64                /* descriptors served per turn */
#define LOOP_TIMERS_MAX ((size_t)1 << 20) /* running at once; connections are bounded far below */

struct loop {
	struct clock *clock;
	int epoll_fd;
	struct loop_fd door; /* an eventfd; readable when tasks wait, or for a nudge or a stop */
	uint64_t now_ns;     /* at the start of this turn */

	struct epoll_event events[LOOP_EVENTS_MAX];
	int events_count;
	int events_at; /* the one being served */

	/* A heap by due_ns in [1, timers_count], and behind it the list of those that fire in this turn:
	 * positions above LOOP_TIMERS_MAX, NULL where one was stopped meanwhile. Address space only:
	 * starting a timer must not fail for lack of memory. */
	struct loop_timer **timers;
	size_t timers_count;

	pthread_mutex_t tasks_lock; /* guards the two below */
	struct loop_task *tasks_head;
	struct loop_task *tasks_tail;

	_Atomic uint64_t turns;
	_Atomic uintptr_t
		thread; /* pthread_self() of the one in loop_run(), 0 when there is none */
	atomic_bool stop;
};

#define TIMERS_SPACE ((2 * LOOP_TIMERS_MAX + 1) * sizeof(struct loop_timer *))

void loop_assert_mine(const struct loop *l)
{
	uintptr_t thread = atomic_load_explicit(&l->thread, memory_order_relaxed);
	ASSERT(thread == 0 || thread == (uintptr_t)pthread_self());
}

/* The door. A counter that is full already makes it readable, so EAGAIN is no loss. */
static void knock(struct loop *l)
{
	const uint64_t one = 1;
	ssize_t n;
	do
		n = write(l->door.fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	ASSERT(n == (ssize_t)sizeof(one) || errno == EAGAIN);
}

static void on_knock(struct loop_fd *f, uint32_t events UNUSED)
{
	uint64_t count;
	ssize_t n = read(f->fd, &count, sizeof(count));
	/* A signal leaves it readable: the next turn comes at once and reads it. */
	ASSERT(n == (ssize_t)sizeof(count) || errno == EAGAIN || errno == EINTR);
}

static enum err open_fds(struct loop *l)
{
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		return err_from_errno(errno);
	l->door.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->door.fd < 0)
		return err_from_errno(errno);
	return loop_add(l, &l->door, EPOLLIN);
}

enum err loop_new(struct clock *clock, struct loop **ret_loop)
{
	struct loop *l = calloc(1, sizeof(*l));
	if (!l)
		return ERR_NO_MEMORY;
	l->clock = clock;
	l->epoll_fd = -1;
	l->door = (struct loop_fd){ .fd = -1, .on_event = on_knock };
	l->now_ns = clock_mono_ns(clock);
	/* A default mutex of glibc takes no resources: initialising it cannot fail. */
	(void)pthread_mutex_init(&l->tasks_lock, NULL);

	enum err err = ERR_NONE;
	l->timers = mmap(NULL, TIMERS_SPACE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (l->timers == MAP_FAILED) {
		l->timers = NULL;
		err = ERR_NO_MEMORY;
	} else {
		err = open_fds(l);
	}
	if (err) {
		loop_free(l);
		return err;
	}
	*ret_loop = l;
	return ERR_NONE;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	loop_assert_mine(l);
	if (l->door.fd >= 0)
		(void)close(l->door.fd);
	if (l->epoll_fd >= 0)
		(void)close(l->epoll_fd);
	if (l->timers)
		(void)munmap(l->timers, TIMERS_SPACE);
	(void)pthread_mutex_destroy(&l->tasks_lock);
	free(l);
}

/* How long epoll_wait may wait for the next timer: rounded up, or the loop would spin through the last
 * fraction of a millisecond. */
static int wait_ms(const struct loop *l)
{
	if (l->timers_count == 0)
		return -1;
	uint64_t now_ns = clock_mono_ns(l->clock);
	uint64_t due_ns = l->timers[1]->due_ns;
	if (due_ns <= now_ns)
		return 0;
	uint64_t left_ns = due_ns - now_ns;
	uint64_t ms = left_ns / 1000000 + (left_ns % 1000000 != 0);
	return (int)MIN(ms, (uint64_t)INT_MAX);
}

static void serve_events(struct loop *l)
{
	for (l->events_at = 0; l->events_at < l->events_count; l->events_at++) {
		const struct epoll_event *e = &l->events[l->events_at];
		struct loop_fd *f = e->data.ptr;
		if (e->events)
			f->on_event(f, e->events);
	}
	l->events_count = 0;
}

/* Puts the timer into the heap's place i. */
static void place(struct loop *l, size_t i, struct loop_timer *t)
{
	l->timers[i] = t;
	t->heap_index = i;
}

static void sift_up(struct loop *l, size_t i, struct loop_timer *t)
{
	for (; i > 1 && l->timers[i / 2]->due_ns > t->due_ns; i /= 2)
		place(l, i, l->timers[i / 2]);
	place(l, i, t);
}

static void sift_down(struct loop *l, size_t i, struct loop_timer *t)
{
	for (size_t child; (child = 2 * i) <= l->timers_count; i = child) {
		if (child < l->timers_count &&
		    l->timers[child + 1]->due_ns < l->timers[child]->due_ns)
			child++;
		if (l->timers[child]->due_ns >= t->due_ns)
			break;
		place(l, i, l->timers[child]);
	}
	place(l, i, t);
}

static void remove_from_heap(struct loop *l, struct loop_timer *t)
{
	size_t i = t->heap_index;
	struct loop_timer *last = l->timers[l->timers_count--];

	t->heap_index = 0;
	if (last == t)
		return;
	if (i > 1 && l->timers[i / 2]->due_ns > last->due_ns)
		sift_up(l, i, last);
	else
		sift_down(l, i, last);
}

/* All that are due leave the heap before the first handler runs: handlers may start and stop any timer,
 * and one that starts itself again with no delay waits for the next turn. */
static void fire_timers(struct loop *l)
{
	struct loop_timer **firing = l->timers + LOOP_TIMERS_MAX + 1;
	size_t count = 0;

	while (l->timers_count > 0 && l->timers[1]->due_ns <= l->now_ns) {
		struct loop_timer *t = l->timers[1];
		remove_from_heap(l, t);
		place(l, LOOP_TIMERS_MAX + 1 + count++, t);
	}
	for (size_t i = 0; i < count; i++) {
		struct loop_timer *t = firing[i];
		if (!t)
			continue;
		t->heap_index = 0;
		t->on_fire(t);
	}
}

static void run_tasks(struct loop *l)
{
	(void)pthread_mutex_lock(&l->tasks_lock);
	struct loop_task *t = l->tasks_head;
	l->tasks_head = NULL;
	l->tasks_tail = NULL;
	(void)pthread_mutex_unlock(&l->tasks_lock);

	for (struct loop_task *next; t; t = next) {
		next = t->next; /* it may free or post itself */
		t->next = NULL;
		t->run(t);
	}
}

enum err loop_run(struct loop *l)
{
	enum err err = ERR_NONE;

	loop_assert_mine(l);
	atomic_store_explicit(&l->thread, (uintptr_t)pthread_self(), memory_order_relaxed);
	while (!atomic_exchange(&l->stop, false)) {
		int n = epoll_wait(l->epoll_fd, l->events, LOOP_EVENTS_MAX, wait_ms(l));
		if (n < 0 && errno != EINTR) {
			err = err_from_errno(errno);
			break;
		}
		l->events_count = MAX(n, 0);
		l->now_ns = clock_mono_ns(l->clock);
		serve_events(l);
		fire_timers(l);
		run_tasks(l);
		/* At the end: whoever reads the count and then knocks can be sure that it moves once
		 * more. Were it at the start, this turn could use up the knock uncounted. */
		atomic_fetch_add_explicit(&l->turns, 1, memory_order_release);
	}
	atomic_store_explicit(&l->thread, 0, memory_order_relaxed);
	return err;
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	knock(l);
}

static enum err control(struct loop *l, int op, struct loop_fd *f, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = f };

	loop_assert_mine(l);
	return epoll_ctl(l->epoll_fd, op, f->fd, &e) < 0 ? err_from_errno(errno) : ERR_NONE;
}

/* What this turn's epoll_wait already reported of f keeps only the bits of mask. */
static void mask_pending(struct loop *l, const struct loop_fd *f, uint32_t mask)
{
	for (int i = l->events_at + 1; i < l->events_count; i++)
		if (l->events[i].data.ptr == f)
			l->events[i].events &= mask;
}

enum err loop_add(struct loop *l, struct loop_fd *f, uint32_t events)
{
	return control(l, EPOLL_CTL_ADD, f, events);
}

enum err loop_change(struct loop *l, struct loop_fd *f, uint32_t events)
{
	enum err err = control(l, EPOLL_CTL_MOD, f, events);
	if (err)
		return err;
	mask_pending(l, f, events | EPOLLERR | EPOLLHUP);
	return ERR_NONE;
}

void loop_remove(struct loop *l, struct loop_fd *f)
{
	/* Fails only when the descriptor is not watched, which is what was asked for. */
	(void)control(l, EPOLL_CTL_DEL, f, 0);
	mask_pending(l, f, 0);
}

/* The delay counts from this moment, not from the start of the turn: a timer never fires early. */
void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t delay_ms)
{
	loop_timer_stop(l, t);
	ASSERT(l->timers_count < LOOP_TIMERS_MAX);

	uint64_t delay_ns;
	if (__builtin_mul_overflow(delay_ms, (uint64_t)1000000, &delay_ns) ||
	    __builtin_add_overflow(clock_mono_ns(l->clock), delay_ns, &t->due_ns))
		t->due_ns = UINT64_MAX;
	sift_up(l, ++l->timers_count, t);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
	loop_assert_mine(l);
	if (t->heap_index == 0)
		return;
	if (t->heap_index <= LOOP_TIMERS_MAX) {
		remove_from_heap(l, t);
		return;
	}
	l->timers[t->heap_index] = NULL;
	t->heap_index = 0;
}

/* Only the first task of a batch knocks: until it is taken, the door stays open for the others. */
void loop_post(struct loop *l, struct loop_task *t)
{
	t->next = NULL;
	(void)pthread_mutex_lock(&l->tasks_lock);
	bool first = !l->tasks_head;
	if (first)
		l->tasks_head = t;
	else
		l->tasks_tail->next = t;
	l->tasks_tail = t;
	(void)pthread_mutex_unlock(&l->tasks_lock);
	if (first)
		knock(l);
}

uint64_t loop_now_ns(const struct loop *l)
{
	loop_assert_mine(l);
	return l->now_ns;
}

uint64_t loop_turns(const struct loop *l)
{
	return atomic_load_explicit(&l->turns, memory_order_acquire);
}

void loop_nudge(struct loop *l)
{
	knock(l);
}
