/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What connections may ask of the daemon: one table, limits.def, one struct, one set of defaults.
 * Thread: the limits are fixed before the first connection; a bucket belongs to its connection.
 */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

/* Tokens come back with time, up to burst. */
struct bucket_rule {
	uint32_t burst;
	uint32_t per_s;
};

/* Zeroed is full. */
struct bucket {
	uint64_t spent_milli;   /* thousandths of a token */
	uint64_t updated_ns;
};

enum glitch {
#define LIMIT(type, member, value, sentence)
#define BUDGET(name, burst, per_s, sentence) GLITCH_##name,
#include "gateway/limits.def"
#undef LIMIT
#undef BUDGET
	GLITCH_COUNT
};

struct conn_limits {
#define LIMIT(type, member, value, sentence) type member;
#define BUDGET(name, burst, per_s, sentence)
#include "gateway/limits.def"
#undef LIMIT
#undef BUDGET
	struct bucket_rule glitches[GLITCH_COUNT];
};

extern const struct conn_limits conn_limits_default;

/* The kind, as the metric's label has it. */
const char *glitch_name(enum glitch g);
/* Takes one token; false when there is none. */
bool bucket_take(struct bucket *b, const struct bucket_rule *rule, uint64_t now_ns);
