/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tail of a shard's dense vector: the live slots that no segment indexes, scanned exactly. In no
 * particular order; adding and removing take constant time.
 * Thread: the shard's lock guards it.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct tail {
	uint32_t *slots;
	uint32_t count, cap;
	uint32_t *places; /* slot -> index into slots; UINT32_MAX: not here */
	uint32_t place_count;
};

void tail_release(struct tail *t);
/* Makes room for so many slots more, up to this number, so that tail_add cannot fail. */
MUST_USE enum err tail_reserve(struct tail *t, uint32_t slot, uint32_t more);
void tail_add(struct tail *t, uint32_t slot);
/* Does nothing when it is not there. */
void tail_remove(struct tail *t, uint32_t slot);
bool tail_has(const struct tail *t, uint32_t slot);
