/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The op log: one log per (scope, epoch), in order, kept for the retention. The truth of a region.
 * Record format at the top of oplog.c. Thread: committer appends and trims in its transaction; publisher and
 * peers read in read transactions.
 */
#pragma once

#include "replicator/change.h"

/* Appends in log form with the running hash after it. */
MUST_USE enum err oplog_append(struct store *s, struct store_txn *t, const struct op *op, uint64_t chain_hash);

struct oplog_entry {
	struct op op;
	uint64_t chain_hash;
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
/* Turns an op from the log into its wire form: fills in the values of its dense vectors from the slots. */
MUST_USE enum err oplog_fill(struct catalog *c, struct op *op);
/* Every slot that the log refers to, to the catalog (at start). *ret_ops counts the ops. */
MUST_USE enum err oplog_mark_slots(struct store *s, struct catalog *c, uint64_t *ret_ops, struct fault *reterr_fault);
/* Removes ops up to and including `upto`, at most ops_max of them, freeing slots that no row holds. */
MUST_USE enum err oplog_trim(struct store *s, struct store_txn *t, struct catalog *c, uint16_t scope,
			     struct position upto, uint32_t ops_max, uint32_t *ret_removed);
