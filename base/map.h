/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One hash map: byte-string keys to pointers, open addressing, seeded per process against hash flooding.
 * Keys are copied. Not for the per-point tables (those are index/id_map.h).
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct map_slot;
struct map {
	struct map_slot *slots;
	size_t count;
	size_t cap;
};

void map_init(struct map *m);
/* Frees the map and its keys; values stay the caller's. */
void map_release(struct map *m);
void *map_get(const struct map *m, struct str key);
/* Adds or replaces; *ret_old (may be NULL) is the value that was there before. */
MUST_USE enum err map_put(struct map *m, struct str key, void *value, void **ret_old);
/* Removes; returns the value that was there, or NULL. */
void *map_remove(struct map *m, struct str key);
/* Walks in no particular order: start with *cursor = 0; false at the end. The map must not be changed
 * meanwhile. */
bool map_next(const struct map *m, size_t *cursor, struct str *ret_key, void **ret_value);
