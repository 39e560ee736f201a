/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conflict log: what concurrent writers lost to one another, one bounded list per collection, written in the same
 * transaction as the merge. Record format at the top of conflict.c. Never blocks replication: a full list drops its oldest.
 */
#pragma once

#include "replicator/merge.h"

#define CONFLICTS_PER_COLLECTION_MAX 10000

MUST_USE enum err conflict_add(struct store *s, struct store_txn *t, struct incarnation collection, struct point_id id,
			       const struct merge_loss *loss, uint64_t now_ms);

struct conflict {
	uint64_t number;          /* per collection, from 1 */
	uint64_t at_ms;
	struct point_id id;
	struct merge_loss loss;
};
/* Newest first, at most limit, in the arena. */
MUST_USE enum err conflict_list(struct store *s, struct store_txn *t, struct incarnation collection, uint32_t limit,
				struct arena *a, struct conflict **ret_items, uint32_t *ret_count);
/* All of a collection that is dropped. */
MUST_USE enum err conflict_drop(struct store *s, struct store_txn *t, struct incarnation collection);
