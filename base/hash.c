/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH3 of libxxhash. Its values are stable since 0.8.0, which the disk and stream formats rely on.
 * Any thread.
 */
#include "base/hash.h"

#include <xxhash.h>

#if XXH_VERSION_NUMBER < 800
#error "XXH3 is not stable before xxhash 0.8.0"
#endif

uint64_t hash64(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

struct hash128 hash128(const void *data, size_t len, uint64_t seed)
{
	XXH128_hash_t h = XXH3_128bits_withSeed(data, len, seed);
	return (struct hash128){ .lo = h.low64, .hi = h.high64 };
}
