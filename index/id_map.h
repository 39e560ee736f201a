/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Point id -> row number, in memory and in the order of the ids: a B+tree. Rebuilt from the rows at start.
 * Thread: the shard's lock guards it.
 */
#pragma once

#include "index/point.h"

struct id_map;

MUST_USE enum err id_map_new(struct id_map **ret_map);
void id_map_free(struct id_map *m);
size_t id_map_count(const struct id_map *m);
bool id_map_get(const struct id_map *m, struct point_id id, uint32_t *ret_row);
MUST_USE enum err id_map_put(struct id_map *m, struct point_id id, uint32_t row);
bool id_map_remove(struct id_map *m, struct point_id id);

/* Walks in order, starting with the first id >= from. A change of the map ends the walk's validity. */
struct id_map_cursor {
	const void *leaf;
	uint32_t at;
};
struct id_map_cursor id_map_seek(const struct id_map *m, struct point_id from);
bool id_map_next(struct id_map_cursor *c, struct point_id *ret_id, uint32_t *ret_row);
