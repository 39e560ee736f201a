/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Merkle trees of all collections as they were at a mark: copied by the committer while it applies the mark, so that
 * every region has them at the same position. Collections that several regions write have no such position: of these the
 * copy says up to where the logs of each region were applied.
 * Thread: made by the committer; then read by any, counted.
 */
#pragma once

#include <stdatomic.h>

#include "replicator/cutoff.h"

struct marked_shard {
	struct incarnation incarnation;
	uint32_t shard;
	bool multi;             /* every region writes it */
	uint64_t rows;          /* the tree's count */
	struct merkle *tree;
};

struct marked {
	atomic_uint refs;
	uint64_t mark;
	struct position position;
	uint64_t number;        /* the mark's, over all epochs: rows that a later op changed have a greater one */
	struct cutoff seen;     /* of collections of several writers: all that was applied */
	struct marked_shard *shards;   /* by incarnation, then shard */
	uint32_t count;
};

/* With one reference. The trees have what the open transaction has made. multi: only those that every region writes. */
MUST_USE enum err marked_new(struct catalog *c, bool multi, struct marked **ret_marked);
struct marked *marked_ref(struct marked *m);
void marked_unref(struct marked *m);

int incarnation_compare(struct incarnation a, struct incarnation b);
/* NULL: that shard was not there. */
const struct marked_shard *marked_find(const struct marked *m, struct incarnation incarnation, uint32_t shard);
uint64_t marked_rows(const struct marked *m);
