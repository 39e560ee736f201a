/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's clocks, and a clock set by hand.
 */
#include "base/clock.h"

#include <time.h>

#include "base/panic.h"

/* The vDSO answers for these clocks; it can fail only for one that the kernel does not have. */
static struct timespec time_of(clockid_t id)
{
	struct timespec t;
	ASSERT(clock_gettime(id, &t) == 0);
	return t;
}

static uint64_t system_wall_ms(struct clock *c UNUSED)
{
	struct timespec t = time_of(CLOCK_REALTIME);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t system_mono_ns(struct clock *c UNUSED)
{
	struct timespec t = time_of(CLOCK_BOOTTIME);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct clock *clock_system(void)
{
	static struct clock machine = { .wall_ms = system_wall_ms, .mono_ns = system_mono_ns };
	return &machine;
}

void clock_wait_deadline(uint64_t timeout_ms, struct timespec *ret_deadline)
{
	struct timespec t = time_of(CLOCK_MONOTONIC);
	/* A century is for ever, and far from overflow. */
	timeout_ms = MIN(timeout_ms, (uint64_t)100 * 365 * 24 * 3600 * 1000);

	t.tv_sec += (time_t)(timeout_ms / 1000);
	t.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	*ret_deadline = t;
}

static uint64_t manual_wall_ms(struct clock *c)
{
	return CONTAINER_OF(c, struct clock_manual, clock)->wall_ms;
}

static uint64_t manual_mono_ns(struct clock *c)
{
	return CONTAINER_OF(c, struct clock_manual, clock)->mono_ns;
}

void clock_manual_init(struct clock_manual *c, uint64_t wall_ms)
{
	*c = (struct clock_manual){
		.clock = { .wall_ms = manual_wall_ms, .mono_ns = manual_mono_ns },
		.wall_ms = wall_ms,
	};
}
