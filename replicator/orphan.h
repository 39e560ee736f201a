/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The orphan store: ops that this region held and took back, because they lie outside the history. Kept until somebody
 * decides about them. Record format at the top of orphan.c.
 * Thread: the committer writes in its transaction; anybody reads in a read transaction.
 */
#pragma once

#include "replicator/oplog.h"

struct orphan {
	uint16_t scope;
	struct position position;
	uint64_t chain_hash;      /* running hash of its log after it */
	struct bytes op;          /* wire form */
};

/* One that is there already is the same one. *ret_bytes: what it costs. */
MUST_USE enum err orphan_put(struct store *s, struct store_txn *t, const struct orphan *o, uint64_t *ret_bytes);
/* There may be none. */
MUST_USE enum err orphan_remove(struct store *s, struct store_txn *t, uint16_t scope, struct position p);
/* The first after `after` in the scope, copied into the arena. ERR_NOT_FOUND, ERR_CORRUPT, ERR_VERSION. */
MUST_USE enum err orphan_next(struct store *s, struct store_txn *t, uint16_t scope, struct position after,
			      struct arena *a, struct orphan *ret_orphan);

struct orphan_size {
	uint64_t count;
	uint64_t bytes;
};
MUST_USE enum err orphan_count(struct store *s, struct store_txn *t, struct orphan_size *ret_size);
