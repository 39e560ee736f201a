/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the daemon alive? Every thread that must not stand still counts its turns; a sign of life is given only when
 * each has turned since the last one. A timer that runs by itself would prove nothing but that timers run.
 * Thread: main.
 */
#pragma once

#include "base/err.h"

struct watchdog {
	uint64_t *turns; /* as they were at the last check */
	uint32_t count;
};

MUST_USE enum err watchdog_init(struct watchdog *w, const uint64_t *turns, uint32_t count);
void watchdog_release(struct watchdog *w);
/* Looks at all of them again. -1 when all have moved, else the first that has not. */
int watchdog_check(struct watchdog *w, const uint64_t *turns);
