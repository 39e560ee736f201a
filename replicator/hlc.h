/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): 48 bits of milliseconds, 16 of
 * counter, in one number. A full counter carries into the milliseconds; it never wraps.
 * Thread: the committer.
 */
#pragma once

#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"

#define HLC_OFFSET_MS_MAX_DEFAULT 500

struct hlc {
	struct clock *clock;
	uint64_t last;            /* greatest stamp given out or seen */
	uint64_t offset_ms_max;
};

/* last: the greatest stamp in the log and the rows; the clock starts above it. */
void hlc_init(struct hlc *h, struct clock *clock, uint64_t last, uint64_t offset_ms_max);
/* A stamp greater than all before. ERR_UNAVAILABLE while the logical time runs ahead of the wall by more than
 * the offset allowed. */
MUST_USE enum err hlc_now(struct hlc *h, uint64_t *ret_stamp);
/* The same whatever the wall says, for what is ordered by other things than its stamp. ERR_UNAVAILABLE: there is none left. */
MUST_USE enum err hlc_next(struct hlc *h, uint64_t *ret_stamp);
/* Moves past a stamp seen from elsewhere. false (and no move) when it lies too far ahead of the wall. */
bool hlc_observe(struct hlc *h, uint64_t stamp);

static inline uint64_t hlc_ms(uint64_t stamp)
{
	return stamp >> 16;
}
