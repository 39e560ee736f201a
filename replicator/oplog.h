/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The op log: one log per (scope, epoch), in order, kept for the retention. The truth of a region.
 * Record format at the top of oplog.c. Thread: committer appends and trims in its transaction; publisher and
 * peers read in read transactions.
 */
#pragma once

#include "replicator/change.h"

/* Appends in log form with the running hash after it. */
MUST_USE enum err oplog_append(struct store *s, struct store_txn *t, const struct op *op, uint64_t chain_hash,
			       uint64_t *ret_bytes);

struct oplog_entry {
	struct op op;
	uint64_t chain_hash;
	/* What keeping the op costs at most: its record, and the vectors in slots that only the log may hold. */
	uint64_t record_bytes;
};
MUST_USE enum err oplog_get(struct store *s, struct store_txn *t, uint16_t scope, struct position p, struct arena *a,
			    struct oplog_entry *ret_entry, struct fault *reterr_fault);
/* The first op after p within its epoch or, at the epoch's end, of the next epoch held. ERR_NOT_FOUND: none. */
MUST_USE enum err oplog_next(struct store *s, struct store_txn *t, uint16_t scope, struct position p, struct arena *a,
			     struct oplog_entry *ret_entry, struct fault *reterr_fault);
/* Oldest and newest position held; ERR_NOT_FOUND when the log is empty. */
MUST_USE enum err oplog_bounds(struct store *s, struct store_txn *t, uint16_t scope, struct position *ret_oldest,
			       struct position *ret_newest);
/* The running hash after the op at p. */
MUST_USE enum err oplog_chain_hash(struct store *s, struct store_txn *t, uint16_t scope,
				   struct position p, uint64_t *ret_hash);
/* Turns an op from the log into its wire form: fills in the values of its dense vectors, copied from the slots into the
 * arena; also of a dropped collection, as long as the log holds the drop. ERR_NOT_FOUND when it is gone. A slot may be used again once its op was trimmed: who reads outside the committer
 * fills and encodes first, then looks, in a new transaction, whether the oldest op held (oplog_bounds) is still not
 * after this one; else the values are not this op's. */
MUST_USE enum err oplog_fill(struct catalog *c, struct op *op, struct arena *a);
/* ERR_NONE: the op is held; ERR_NOT_FOUND. */
MUST_USE enum err oplog_has(struct store *s, struct store_txn *t, uint16_t scope, struct position p);

struct oplog_size {
	uint64_t ops;
	uint64_t bytes;
};
/* Every slot and every dropped collection that the log refers to, to the catalog (at start). ret_sizes: by scope. */
MUST_USE enum err oplog_mark_slots(struct store *s, struct catalog *c, struct oplog_size ret_sizes[SCOPES_MAX],
				   struct fault *reterr_fault);

/* Those that the log refers to of one collection, to it. */
MUST_USE enum err oplog_mark_collection(struct store *s, struct store_txn *t, struct collection *collection);
/* The newest op, which is taken back. */
MUST_USE enum err oplog_remove(struct store *s, struct store_txn *t, uint16_t scope, struct position p);

/* A slot that nothing durable refers to once the transaction is committed; only then is it to be freed. */
struct oplog_slot {
	struct incarnation collection;
	uint32_t shard;
	struct str vector_name;
	uint32_t slot;
};

struct oplog_trimming {
	/* asked */
	uint16_t scope;
	struct position after;       /* begins after it; zero: with the oldest */
	struct position upto;        /* ops up to and including it */
	uint32_t ops_max;
	uint64_t drop_before;        /* a drop stamped after it stays, and all after it; 0: none does */
	uint64_t bytes_enough;       /* stops when so many bytes are gone */
	/* answered */
	uint32_t ops;
	uint64_t bytes;
	bool at_drop;                /* stopped at such a drop */
	struct oplog_slot *slots;    /* in the arena */
	uint32_t slot_count;
	struct incarnation *dropped; /* likewise */
	uint32_t dropped_count;
};
/* Removes the oldest ops, and says which of their slots no row holds, and whose drop was among them. */
MUST_USE enum err oplog_trim(struct store *s, struct store_txn *t, struct catalog *c, struct arena *a,
			     struct oplog_trimming *trimming, struct fault *reterr_fault);
