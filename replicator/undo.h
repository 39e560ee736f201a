/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Undo records: what an op replaced, kept until the op is confirmed. An op that only added points has none: what
 * it wrote was not there before. Record format at the top of undo.c.
 * Thread: the committer's, in its transaction.
 */
#pragma once

#include "replicator/orphan.h"

/* Rows of one record at most: a thousand of the largest that a point may be are within its bounds. */
#define UNDO_ROWS_MAX 1024
#define UNDO_ARENA_BYTES_MAX ((size_t)2 << 30)

/* One point of the op, by its place in it; points without an entry were not there before. */
struct undo_entry {
	uint32_t at;
	bool unchanged;          /* the op did nothing to it */
	struct bytes row;        /* else: the row as it was, in the form of index/row.h */
	uint32_t *given_up;      /* which of its vectors the row then no longer held the slots of */
	uint32_t given_up_count;
};

/* An orphan as it was listed before the op; record empty: it was not. */
struct undo_orphan {
	struct orphan_id id;
	struct bytes record;
};
#define UNDO_ORPHANS_MAX 2

struct undo {
	struct incarnation incarnation;  /* of the collection */
	/* of ops about points: ascending by place */
	struct undo_entry *entries;
	uint32_t entry_count;
	/* of ops about collections and aliases: the catalogue's record as it was, empty when there was none; data == NULL: the op
	 * is about points */
	struct bytes catalog_record;
	/* of ops about orphans */
	struct undo_orphan orphans[UNDO_ORPHANS_MAX];
	uint32_t orphan_count;
};

MUST_USE enum err undo_encode(const struct undo *u, struct buf *out);
/* Views of b, arrays in the arena. ERR_CORRUPT, ERR_VERSION. */
MUST_USE enum err undo_decode(struct bytes b, struct arena *a, struct undo *ret_undo);

MUST_USE enum err undo_put(struct store *s, struct store_txn *t, uint16_t scope, struct position p,
			   const struct undo *u);
/* A copy in the arena. ERR_NOT_FOUND: the op has none. */
MUST_USE enum err undo_get(struct store *s, struct store_txn *t, uint16_t scope, struct position p, struct arena *a,
			   struct undo *ret_undo);
/* The first record of the scope; ERR_NOT_FOUND. */
MUST_USE enum err undo_first(struct store *s, struct store_txn *t, uint16_t scope, struct arena *a,
			     struct position *ret_position, struct undo *ret_undo);
/* There may be none. */
MUST_USE enum err undo_remove(struct store *s, struct store_txn *t, uint16_t scope, struct position p);
/* All of the scope, in the order of positions. */
typedef enum err (*undo_each_fn)(void *ctx, struct position p, const struct undo *u);
MUST_USE enum err undo_each(struct store *s, struct store_txn *t, uint16_t scope, undo_each_fn fn, void *ctx);
