/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time behind a struct, so that tests and the simulator own it. Nothing else calls clock_gettime.
 */
#pragma once

#include "base/macros.h"

struct clock {
	/* Milliseconds since 1970; may jump. */
	uint64_t (*wall_ms)(struct clock *c);
	/* CLOCK_BOOTTIME in nanoseconds: never goes back, counts suspend. */
	uint64_t (*mono_ns)(struct clock *c);
};

/* The machine's own clocks; one static object, any thread. */
struct clock *clock_system(void);

struct timespec;

/* When a wait of timeout_ms that begins at this moment ends, on CLOCK_MONOTONIC: for condition variables,
 * which know no other clock that does not jump. */
void clock_wait_deadline(uint64_t timeout_ms, struct timespec *ret_deadline);

/* A clock that a test sets by hand; mono_ns begins at 0. */
struct clock_manual {
	struct clock clock;
	uint64_t wall_ms;
	uint64_t mono_ns;
};
void clock_manual_init(struct clock_manual *c, uint64_t wall_ms);

static inline uint64_t clock_wall_ms(struct clock *c)
{
	return c->wall_ms(c);
}
static inline uint64_t clock_mono_ns(struct clock *c)
{
	return c->mono_ns(c);
}
