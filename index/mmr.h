/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maximal marginal relevance (Carbonell & Goldstein 1998): of candidates those that are relevant and unlike each other. The most
 * relevant comes first; then always the one with the largest lambda * relevance - (1 - lambda) * similarity to the most similar
 * one that was picked. Of equals the earlier candidate.
 * Thread: any; nothing here has state.
 */
#pragma once

#include "index/deadline.h"

#define MMR_CANDIDATES_MAX 16384u

struct mmr {
	const float *relevance; /* similarity to the query; finite */
	uint32_t count;         /* candidates */
	float lambda;           /* 0: unlike each other is all that counts; 1: relevance is */
	float (*similarity)(const void *ctx, uint32_t a, uint32_t b);
	const void *ctx;
	struct deadline deadline;
};

/* The first `limit`, as numbers of candidates; picks has room for as many. */
MUST_USE enum err mmr_pick(const struct mmr *m, uint32_t limit, uint32_t *picks,
			   uint32_t *ret_count);
