/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hybrid logical clock: milliseconds << 16 | counter. As the counter is the lower part of one number,
 * adding 1 carries into the milliseconds by itself.
 */
#include "replicator/hlc.h"

#define HLC_MS_MAX ((UINT64_C(1) << 48) - 1)

void hlc_init(struct hlc *h, struct clock *clock, uint64_t last, uint64_t offset_ms_max)
{
	*h = (struct hlc){ .clock = clock, .last = last, .offset_ms_max = offset_ms_max };
}

/* The greatest millisecond that a stamp may have at this moment. */
static uint64_t ms_allowed(struct hlc *h)
{
	uint64_t wall = clock_wall_ms(h->clock);

	return wall > HLC_MS_MAX - h->offset_ms_max ? HLC_MS_MAX : wall + h->offset_ms_max;
}

static uint64_t next_stamp(struct hlc *h)
{
	uint64_t wall = MIN(clock_wall_ms(h->clock), HLC_MS_MAX) << 16;

	return MAX(wall, h->last + 1);
}

enum err hlc_next(struct hlc *h, uint64_t *ret_stamp)
{
	if (h->last == UINT64_MAX)
		return ERR_UNAVAILABLE;
	*ret_stamp = h->last = next_stamp(h);
	return ERR_NONE;
}

enum err hlc_now(struct hlc *h, uint64_t *ret_stamp)
{
	if (h->last == UINT64_MAX || hlc_ms(next_stamp(h)) > ms_allowed(h))
		return ERR_UNAVAILABLE;
	return hlc_next(h, ret_stamp);
}

bool hlc_observe(struct hlc *h, uint64_t stamp)
{
	if (stamp <= h->last)
		return true;
	if (hlc_ms(stamp) > ms_allowed(h))
		return false;
	h->last = stamp;
	return true;
}
