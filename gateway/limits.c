/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The defaults of limits.def, and token buckets.
 */
#include "gateway/limits.h"

const struct conn_limits conn_limits_default = {
#define LIMIT(type, member, value, sentence) .member = (value),
#define BUDGET(name, burst, per_s, sentence) .glitches[GLITCH_##name] = { (burst), (per_s) },
#include "gateway/limits.def"
#undef LIMIT
#undef BUDGET
};

const char *glitch_name(enum glitch g)
{
	static const char *const names[GLITCH_COUNT] = {
#define LIMIT(type, member, value, sentence)
#define BUDGET(name, burst, per_s, sentence) [GLITCH_##name] = #name,
#include "gateway/limits.def"
#undef LIMIT
#undef BUDGET
	};
	return names[g];
}

/* A token per second is a thousandth per millisecond. */
bool bucket_take(struct bucket *b, const struct bucket_rule *rule, uint64_t now_ns)
{
	uint64_t ms = (now_ns - b->updated_ns) / 1000000;

	b->spent_milli -= MIN(ms * rule->per_s, b->spent_milli);
	b->updated_ns += ms * 1000000;
	if (b->spent_milli + 1000 > (uint64_t)rule->burst * 1000)
		return false;
	b->spent_milli += 1000;
	return true;
}
