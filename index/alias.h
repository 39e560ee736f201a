/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aliases of collections: names that stand for an incarnation. A list is ascending by name and never changed; a change
 * makes another one. An alias whose collection was dropped is not in force; it comes back with its collection, when the
 * drop is taken back. The record's format is at the top of alias.c.
 */
#pragma once

#include "base/wire.h"
#include "index/collection.h"

/* In force, in one region. */
#define ALIASES_MAX 4096

struct alias {
	struct str name;
	struct incarnation target; /* hlc 0, in a change: the alias goes */
};

struct alias_list {
	struct alias *items;
	uint32_t count;
};

/* NULL when there is none. */
const struct alias *alias_find(const struct alias_list *l, struct str name);
/* What the changes, themselves ascending by name, make of a list; all of it copied into the arena. */
MUST_USE enum err alias_list_change(const struct alias_list *l, const struct alias_list *changes, struct arena *a,
				    struct alias_list *ret_list);
MUST_USE enum err alias_list_put(struct buf *out, const struct alias_list *l);
/* Copied into the arena. Empty bytes are the empty list. ERR_CORRUPT, ERR_VERSION. */
MUST_USE enum err alias_list_get(struct bytes record, struct arena *a, struct alias_list *ret_list);
/* A list in a record or an op: varint count, then each alias. Names are views. */
void alias_items_put(struct buf *out, const struct alias_list *l);
MUST_USE enum err alias_items_get(struct wire_reader *r, struct arena *a, struct alias_list *ret_list);
