/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Merkle tree of one shard, over row digests. Leaves combine by addition (Riak's active anti-entropy),
 * so a change is leaf += new - old and no leaf is read again; a count per leaf shows a digest applied twice.
 * Fan-out 256: 2^14 leaves = 64 blocks of 256 by default. In memory; dirty blocks are stored at checkpoints in the
 * committer's transaction and replayed from the log at start.
 * Thread: the committer; a copy (merkle_copy) may go anywhere.
 */
#pragma once

#include "base/hash.h"
#include "index/row.h"
#include "index/store.h"

#define MERKLE_BITS_DEFAULT 14
#define MERKLE_BITS_MIN 8   /* one block */
#define MERKLE_BITS_MAX 20  /* 24 MiB */
#define MERKLE_PREFIX_MAX 64 /* bytes */

struct merkle_leaf {
	uint64_t lo, hi;   /* sums of the digests' halves, modulo 2^64 */
	uint64_t count;
};

struct merkle;

/* ERR_BAD_INPUT when bits are out of bounds. */
MUST_USE enum err merkle_new(unsigned bits, struct merkle **ret_tree);
void merkle_free(struct merkle *m);
MUST_USE enum err merkle_copy(const struct merkle *m, struct merkle **ret_copy);
unsigned merkle_bits(const struct merkle *m);
uint32_t merkle_leaf_of(const struct merkle *m, struct point_id id);

/* before, after: NULL where there was or is no row. */
void merkle_change(struct merkle *m, struct point_id id, const struct hash128 *before, const struct hash128 *after);

struct merkle_leaf merkle_leaf_at(const struct merkle *m, uint32_t leaf);
/* For what was counted anew; false: it was so already. */
bool merkle_leaf_set(struct merkle *m, uint32_t leaf, struct merkle_leaf value);
/* Hash of a block of 256 leaves, and of the whole tree. */
struct hash128 merkle_block(const struct merkle *m, uint32_t block);
uint32_t merkle_block_count(const struct merkle *m);
struct hash128 merkle_root(const struct merkle *m);

/* Stores the blocks that changed since the last save under prefix; load reads them back (ERR_NOT_FOUND: none;
 * ERR_CORRUPT: damaged, or of a tree with other bits; the tree stays as it was). Nothing else may be stored in
 * STORE_MERKLE under a key that begins with prefix. */
MUST_USE enum err merkle_save(struct merkle *m, struct store *s, struct store_txn *t, struct bytes prefix);
MUST_USE enum err merkle_load(struct merkle *m, struct store *s, struct store_txn *t, struct bytes prefix);
/* The transaction of a save was abandoned: the next save stores every block. */
void merkle_save_undone(struct merkle *m);
