/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an operation must have ended, and how it is called off.
 * Thread: any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"

struct deadline {
	uint64_t mono_ns;          /* 0: none */
	const atomic_bool *cancel; /* may be NULL */
};

/* ERR_TIMEOUT when it is past, ERR_CANCELLED when it was called off. */
MUST_USE enum err deadline_check(const struct deadline *d);
