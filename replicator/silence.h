/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For drills: this region takes no part, for a while. Nothing leaves for other regions and nothing of theirs is taken: neither
 * messages about the lease nor heartbeats, ops, questions and requests that are passed on. It ends at its own deadline, whatever
 * becomes of whoever ordered it: there is nothing to be done for that, and nothing that could fail.
 * Thread: any.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"

#define SILENCE_MS_MIN 1000
#define SILENCE_MS_MAX 120000

enum silence_kind {
	SILENCE_NONE,
	SILENCE_CUT,         /* from the other regions; clients still reach this one */
	SILENCE_OUT,         /* also clients' reads and writes are refused */
};

struct silence {
	struct clock *clock;
	pthread_mutex_t lock;        /* guards the rest */
	enum silence_kind kind;
	uint64_t until_ns;
};

void silence_init(struct silence *s, struct clock *clock);
void silence_release(struct silence *s);
/* ERR_UNAVAILABLE: one is under way, which stays as it is. ERR_BAD_INPUT: longer or shorter than the bounds. */
MUST_USE enum err silence_begin(struct silence *s, enum silence_kind kind, uint64_t ms, struct fault *reterr_fault);
/* What holds now; *ret_left_ms, unless NULL: for how long yet. s NULL: SILENCE_NONE. */
enum silence_kind silence_now(struct silence *s, uint64_t *ret_left_ms);
/* "none", "cut", "out". */
const char *silence_word(enum silence_kind kind);
/* The fault that whoever is turned away is given. */
MUST_USE enum err silence_fault(struct fault *reterr_fault);
