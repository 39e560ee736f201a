/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One epoll loop, one thread. loop_post() is the only door into it from another thread.
 * Everything else is to be called on the loop's own thread (asserted); while nobody is in loop_run(), by
 * whoever owns the loop.
 */
#pragma once

#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"

struct loop;

/* A file descriptor that the loop watches; embed it. events are EPOLLIN, EPOLLOUT … */
struct loop_fd {
	int fd;
	void (*on_event)(struct loop_fd *f, uint32_t events);
};

/* A timer; embed it, zeroed. Fires once; start it again for the next time. */
struct loop_timer {
	void (*on_fire)(struct loop_timer *t);
	uint64_t due_ns;     /* the loop's */
	size_t heap_index;   /* the loop's; 0 = not running */
};

/* Work from another thread; embed it. It is on one queue at most once at a time. */
struct loop_task {
	void (*run)(struct loop_task *t);
	struct loop_task *next;  /* the loop's */
};

MUST_USE enum err loop_new(struct clock *clock, struct loop **ret_loop);
void loop_free(struct loop *l);
/* Runs until loop_stop(); the calling thread becomes the loop's. */
MUST_USE enum err loop_run(struct loop *l);
/* From any thread. */
void loop_stop(struct loop *l);
void loop_assert_mine(const struct loop *l);

MUST_USE enum err loop_add(struct loop *l, struct loop_fd *f, uint32_t events);
MUST_USE enum err loop_change(struct loop *l, struct loop_fd *f, uint32_t events);
void loop_remove(struct loop *l, struct loop_fd *f);

/* Starts or moves the timer; a stopped timer never fires. */
void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t delay_ms);
void loop_timer_stop(struct loop *l, struct loop_timer *t);

/* From any thread: t->run() will be called on the loop's thread. Never fails, never blocks for long. */
void loop_post(struct loop *l, struct loop_task *t);

/* Time at the start of this turn. */
uint64_t loop_now_ns(const struct loop *l);
/* Turns finished so far; any thread. A watchdog that sees it stand still after a nudge knows that the loop
 * hangs. */
uint64_t loop_turns(const struct loop *l);
/* Makes an idle loop take a turn, so that loop_turns() moves; any thread. */
void loop_nudge(struct loop *l);
