/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hashes (XXH3 by libxxhash): for shard choice, digests, checksums and the op log's running hash.
 * They find divergence and damage, not adversaries. Values are part of the disk and stream formats.
 */
#pragma once

#include "base/macros.h"

struct hash128 {
	uint64_t lo;
	uint64_t hi;
};

uint64_t hash64(const void *data, size_t len, uint64_t seed);
struct hash128 hash128(const void *data, size_t len, uint64_t seed);
