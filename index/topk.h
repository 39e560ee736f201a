/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The k nearest of all that were offered: a heap with the worst on top. Equal similarities are ordered by
 * id, so what is kept does not depend on the order of the offers.
 * Thread: whoever holds it.
 */
#pragma once

#include "index/point.h"

struct hit {
	struct point_id id;
	uint32_t row;
	float similarity; /* see distance.h */
};

struct topk {
	struct hit *hits;
	uint32_t count;
	uint32_t k;
};

/* k may be 0. */
MUST_USE enum err topk_init(struct topk *t, uint32_t k);
void topk_release(struct topk *t);

/* Might a hit of this similarity be kept? */
static inline bool topk_wants(const struct topk *t, float similarity)
{
	return t->count < t->k || (t->k > 0 && similarity >= t->hits[0].similarity);
}

void topk_offer(struct topk *t, struct hit hit);
/* Nearest first; afterwards nothing may be offered. */
void topk_sort(struct topk *t);
/* < 0: a is nearer. */
int hit_compare(const struct hit *a, const struct hit *b);
