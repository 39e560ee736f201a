/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/ack.h"

#define WORD_BITS 64
#define WORDS (sizeof(((struct region_set *)0)->bits) / sizeof(uint64_t))

void region_set_add(struct region_set *s, uint8_t id)
{
	s->bits[id / WORD_BITS] |= (uint64_t)1 << id % WORD_BITS;
}

bool region_set_has(const struct region_set *s, uint8_t id)
{
	return (s->bits[id / WORD_BITS] >> id % WORD_BITS & 1) != 0;
}

uint32_t region_set_count(const struct region_set *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < WORDS; i++)
		n += (uint32_t)__builtin_popcountll(s->bits[i]);
	return n;
}

struct ack_regions ack_regions_among(const struct ack_regions *a, const struct region_set *members)
{
	return a->all && region_set_count(members) > 0 ? (struct ack_regions){ .these = *members } : *a;
}

bool ack_regions_asked(const struct ack_regions *a)
{
	return a->count > 0 || region_set_count(&a->these) > 0;
}

bool ack_regions_met(const struct ack_regions *a, const struct region_set *applied)
{
	for (uint32_t i = 0; i < WORDS; i++)
		if ((a->these.bits[i] & ~applied->bits[i]) != 0)
			return false;
	return region_set_count(applied) >= a->count;
}
