/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers from a seed, and vectors in clusters, for the tests of the index.
 */
#pragma once

#include <math.h>
#include <stdint.h>

#include "index/distance.h"

struct random {
	uint64_t state;
};

/* splitmix64 */
static inline uint64_t random_u64(struct random *r)
{
	uint64_t x = r->state += 0x9e3779b97f4a7c15U;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
	return x ^ (x >> 31);
}

static inline float random_unit(struct random *r)
{
	return (float)(random_u64(r) >> 40) / (float)(1U << 24);
}

/* Nearly normal: mean 0, variance 1. */
static inline float random_normal(struct random *r)
{
	float sum = 0.0F;
	for (int i = 0; i < 12; i++)
		sum += random_unit(r);
	return sum - 6.0F;
}

/* count vectors around that many centres, with a common offset as embeddings have; unit length
 * for Cosine. */
static inline void random_clusters(uint64_t seed, enum distance d, uint32_t dim, uint32_t count,
				   uint32_t centres, float *ret_vectors)
{
	struct random noise = { seed * 2 + 1 };
	for (uint32_t i = 0; i < count; i++) {
		float *v = ret_vectors + (size_t)i * dim;
		struct random centre = { 1000 + random_u64(&noise) % centres };
		for (uint32_t j = 0; j < dim; j++)
			v[j] = 0.5F + random_normal(&centre) + 0.5F * random_normal(&noise);
		if (d == DISTANCE_COSINE)
			distance_normalize(v, dim);
	}
}
