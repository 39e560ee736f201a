/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of a region's process, counted: each sync of its disk before and after, each question that leaves or arrives, and
 * each answer. A scenario has something done at the n-th of them, and by its seeds at every one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef void (*step_fn)(void *ctx);

/* Of one region at a time: from now on, at step `nth` of it (1: the next). */
void step_arm(uint32_t region, uint64_t nth, step_fn fn, void *ctx);
/* false: it was not reached. */
bool step_disarm(void);

void step_passed(uint32_t region);
