/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of the simulator: all of a run's threads are fibers of one real thread, and only one runs at a time. Which one is
 * next is drawn from the seed; time stands still while any can run, and jumps to the next moment at which one wants to.
 * threads.c puts them behind the names of pthread, so that the product's own objects run on them unchanged.
 *
 * A fiber belongs to a process, which has a machine with clocks of its own: they may be set wrong, run fast or slow, and
 * jump. A process may be paused; its fibers then rest until it goes on.
 */
#pragma once

#include <stdbool.h>
#include <time.h>

#include "base/clock.h"

#define FIBER_NAME_MAX 32
#define FIBER_FOREVER UINT64_MAX
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

struct fiber;

/* A region's computer: its clocks go on when a process ends. */
struct machine {
	struct clock clock;      /* what the product reads */
	int32_t drift_ppm;       /* of both clocks */
	uint64_t anchor_now_ns;  /* at this moment of the world */
	uint64_t anchor_mono_ns; /* its monotonic clock showed this */
	uint64_t wall_ms;        /* and what its wall clock shows when the other shows 0; may jump */
};
void machine_init(struct machine *m, uint64_t mono_ns, uint64_t wall_ms);
void machine_drift(struct machine *m, int32_t ppm);
/* Its monotonic clock shows this now; its wall clock goes with it. */
void machine_set(struct machine *m, uint64_t mono_ns);

struct process {
	struct machine *machine;
	const char *name;
	uint64_t paused_until_ns; /* in the world's time */
};

/* Where fibers wait for one another. All zero: nobody waits. */
struct fiber_line {
	struct fiber *first;
};

/* Begins and ends a run. preempt: of how many chances to give way, at locks, one is taken; 0: none. */
void fibers_begin(uint64_t seed, unsigned preempt);
void fibers_end(void);
/* Runs until every fiber has ended. false: none can go on, or one of them never waits; fibers_trouble() says which. */
bool fibers_run(void);
const char *fibers_trouble(void);

uint64_t fiber_now_ns(void);
/* How often one fiber followed another: equal runs have equal numbers. */
uint64_t fiber_switches(void);
/* Inside a fiber? */
bool fiber_is_running(void);
struct fiber *fiber_self(void);
const char *fiber_name(void);
void fiber_rename(struct fiber *f, const char *name);
struct process *fiber_process(void);
/* The fiber does something in another process, as a request that arrived there: returns the one before. */
struct process *fiber_enter(struct process *p);

/* In the process of the caller. */
struct fiber *fiber_new(const char *name, struct process *p, void *(*fn)(void *), void *arg);
/* Waits for its end and forgets it. */
void *fiber_join(struct fiber *f);
/* Nobody will wait for it. */
void fiber_detach(struct fiber *f);

void fiber_yield(void);
/* A place where another thread might run just as well. */
void fiber_give_way(void);
/* Between these two nobody gives way there: for checks that look at several things at one moment. */
void fiber_hold(void);
void fiber_let_go(void);
void fiber_sleep_ns(uint64_t ns);
/* false: until_ns, in the world's time, came first. */
bool fiber_wait(struct fiber_line *l, uint64_t until_ns);
void fiber_wake(struct fiber_line *l, bool all);
