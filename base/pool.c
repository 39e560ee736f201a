/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads with one bounded line of tasks, and loops whose rounds are shared with whoever is idle.
 */
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/panic.h"

#define POOL_NAME_MAX 16 /* bytes with the end; the kernel's own limit */

struct worker {
	pthread_t thread;
	struct pool *pool;
	_Atomic uint64_t busy_since_ns; /* 0: idle */
};

/* One call of pool_each(), on its caller's stack: the caller leaves only when it is off the list and no
 * helper is inside. */
struct each {
	void (*fn)(void *ctx, unsigned i);
	void *ctx;
	unsigned n;
	_Atomic uint64_t next; /* the round that nobody has taken; may run past n */
	unsigned helpers;      /* inside; under the pool's lock */
	pthread_cond_t left;   /* helpers became 0 */
	struct each *prev_open;
	struct each *next_open;
};

struct pool {
	pthread_mutex_t
		lock; /* guards all down to ending, and the helpers and links of every struct each */
	pthread_cond_t work;
	struct pool_task *head;
	struct pool_task *tail;
	size_t waiting;
	size_t waiting_max;
	struct each *open;
	unsigned idle;
	bool ending;

	char name[POOL_NAME_MAX];
	unsigned threads; /* started; workers has room for as many as were asked for */
	struct worker workers[];
};

static bool has_rounds(const struct each *e)
{
	return atomic_load_explicit(&e->next, memory_order_relaxed) < e->n;
}

/* Takes rounds until there are none. Relaxed is enough: the lock, taken on joining and on leaving, orders
 * what the rounds read and wrote. */
static void do_rounds(struct each *e, struct worker *w)
{
	for (;;) {
		uint64_t i = atomic_fetch_add_explicit(&e->next, 1, memory_order_relaxed);
		if (i >= e->n)
			return;
		/* A helper's clock starts anew with each round; the caller's belongs to its task. */
		if (w)
			atomic_store_explicit(&w->busy_since_ns, clock_mono_ns(clock_system()),
					      memory_order_relaxed);
		e->fn(e->ctx, (unsigned)i);
	}
}

static struct each *open_rounds(const struct pool *p)
{
	for (struct each *e = p->open; e; e = e->next_open)
		if (has_rounds(e))
			return e;
	return NULL;
}

/* Called and returns with the lock held. */
static void help(struct worker *w, struct each *e)
{
	struct pool *p = w->pool;

	e->helpers++;
	(void)pthread_mutex_unlock(&p->lock);
	do_rounds(e, w);
	atomic_store_explicit(&w->busy_since_ns, 0, memory_order_relaxed);
	(void)pthread_mutex_lock(&p->lock);
	/* Signalled under the lock: without it the caller could be gone, and its stack with it. */
	if (--e->helpers == 0)
		(void)pthread_cond_signal(&e->left);
}

/* Called and returns with the lock held. */
static void run_first(struct worker *w)
{
	struct pool *p = w->pool;
	struct pool_task *t = p->head;

	p->head = t->next;
	if (!p->head)
		p->tail = NULL;
	p->waiting--;
	(void)pthread_mutex_unlock(&p->lock);
	t->next = NULL;
	atomic_store_explicit(&w->busy_since_ns, clock_mono_ns(clock_system()),
			      memory_order_relaxed);
	t->run(t); /* and it may be gone */
	atomic_store_explicit(&w->busy_since_ns, 0, memory_order_relaxed);
	(void)pthread_mutex_lock(&p->lock);
}

/* Tasks come first: to help is for those who have nothing else to do. */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct pool *p = w->pool;

	(void)pthread_setname_np(pthread_self(), p->name);
	(void)pthread_mutex_lock(&p->lock);
	for (;;) {
		struct each *e;
		if (p->head) {
			run_first(w);
		} else if ((e = open_rounds(p))) {
			help(w, e);
		} else if (p->ending) {
			break;
		} else {
			p->idle++;
			(void)pthread_cond_wait(&p->work, &p->lock);
			p->idle--;
		}
	}
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

enum err pool_new(const char *name, unsigned threads, size_t waiting_max, struct pool **ret_pool)
{
	ASSERT(threads >= 1);
	struct pool *p = calloc(1, sizeof(*p) + threads * sizeof(p->workers[0]));
	if (!p)
		return ERR_NO_MEMORY;
	/* Default mutexes and conditions of glibc take no resources: initialising them cannot fail. */
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->work, NULL);
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	p->waiting_max = waiting_max;

	while (p->threads < threads) {
		struct worker *w = &p->workers[p->threads];
		w->pool = p;
		int rc = pthread_create(&w->thread, NULL, work, w);
		if (rc) {
			pool_free(p);
			return err_from_errno(rc);
		}
		p->threads++;
	}
	*ret_pool = p;
	return ERR_NONE;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->ending = true;
	(void)pthread_cond_broadcast(&p->work);
	(void)pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->threads; i++)
		(void)pthread_join(p->workers[i].thread, NULL);
	(void)pthread_cond_destroy(&p->work);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

enum err pool_run(struct pool *p, struct pool_task *t)
{
	enum err err = ERR_NONE;

	(void)pthread_mutex_lock(&p->lock);
	if (p->ending) {
		err = ERR_UNAVAILABLE;
	} else if (p->waiting >= p->waiting_max) {
		err = ERR_RATE_LIMITED;
	} else {
		t->next = NULL;
		if (p->head)
			p->tail->next = t;
		else
			p->head = t;
		p->tail = t;
		p->waiting++;
		(void)pthread_cond_signal(&p->work);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return err;
}

size_t pool_waiting(struct pool *p)
{
	(void)pthread_mutex_lock(&p->lock);
	size_t waiting = p->waiting;
	(void)pthread_mutex_unlock(&p->lock);
	return waiting;
}

unsigned pool_threads(const struct pool *p)
{
	return p->threads;
}

uint64_t pool_longest_busy_ns(struct pool *p)
{
	uint64_t oldest = UINT64_MAX;

	for (unsigned i = 0; i < p->threads; i++) {
		uint64_t since =
			atomic_load_explicit(&p->workers[i].busy_since_ns, memory_order_relaxed);
		if (since != 0)
			oldest = MIN(oldest, since);
	}
	if (oldest == UINT64_MAX)
		return 0;
	uint64_t now = clock_mono_ns(clock_system());
	return now > oldest ? now - oldest : 0;
}

/* Called with the lock held. */
static void open_each(struct pool *p, struct each *e)
{
	e->next_open = p->open;
	if (p->open)
		p->open->prev_open = e;
	p->open = e;
	for (unsigned wake = MIN(e->n - 1, p->idle); wake > 0; wake--)
		(void)pthread_cond_signal(&p->work);
}

/* Called with the lock held. */
static void close_each(struct pool *p, struct each *e)
{
	if (e->prev_open)
		e->prev_open->next_open = e->next_open;
	else
		p->open = e->next_open;
	if (e->next_open)
		e->next_open->prev_open = e->prev_open;
	while (e->helpers > 0)
		(void)pthread_cond_wait(&e->left, &p->lock);
}

void pool_each(struct pool *p, unsigned n, void (*fn)(void *ctx, unsigned i), void *ctx)
{
	struct each e = { .fn = fn, .ctx = ctx, .n = n };

	if (n <= 1) {
		do_rounds(&e, NULL);
		return;
	}
	(void)pthread_cond_init(&e.left, NULL);
	(void)pthread_mutex_lock(&p->lock);
	open_each(p, &e);
	(void)pthread_mutex_unlock(&p->lock);

	do_rounds(&e, NULL);

	(void)pthread_mutex_lock(&p->lock);
	close_each(p, &e);
	(void)pthread_mutex_unlock(&p->lock);
	(void)pthread_cond_destroy(&e.left);
}
