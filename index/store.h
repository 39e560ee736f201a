/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transactional store behind a struct of functions: tables of byte keys in order. store_lmdb.c is the
 * real one, store_mem.c the tests' and the simulator's.
 * One write transaction at a time (the committer's); any number of read transactions, each on one thread
 * and short: a long reader makes the file grow. Views returned by get and cursors live until the transaction
 * ends or, in a write transaction, until the next write.
 * Once a put or del failed for want of space, memory or a sound disk, the transaction is lost: later writes
 * and the commit return the same error.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum store_table {
	STORE_META,        /* text key -> small records: format version, store id, position … */
	STORE_CATALOG,     /* see catalog.c */
	STORE_LOG,         /* see replicator/oplog.c */
	STORE_HISTORY,     /* see replicator/history.c */
	STORE_ROWS,        /* see row.c */
	STORE_UNDO,
	STORE_ORPHANS,
	STORE_MERKLE,      /* see merkle.c */
	STORE_CONFLICTS,   /* see replicator/conflict.c */
	STORE_VOTERS,
	STORE_TABLE_COUNT
};

#define STORE_KEY_MAX 511   /* bytes, at least 1; ERR_BAD_INPUT outside */
#define STORE_READERS_MAX 512 /* read transactions at a time; ERR_UNAVAILABLE beyond */

struct store;
struct store_txn;
struct store_cursor;

struct store_ops {
	enum err (*begin)(struct store *s, bool write, struct store_txn **ret_txn);
	enum err (*commit)(struct store_txn *t, struct fault *reterr_fault); /* durable on return; frees t, also on failure */
	void (*abort)(struct store_txn *t);                                /* NULL is fine */
	enum err (*get)(struct store_txn *t, enum store_table table, struct bytes key, struct bytes *ret_value);
	enum err (*put)(struct store_txn *t, enum store_table table, struct bytes key, struct bytes value);
	enum err (*del)(struct store_txn *t, enum store_table table, struct bytes key); /* ERR_NOT_FOUND */
	/* A new cursor stands before the first key. Close it before its transaction ends. */
	enum err (*cursor_open)(struct store_txn *t, enum store_table table, struct store_cursor **ret_cursor);
	void (*cursor_close)(struct store_cursor *c);
	/* To the first key >= key (seek; an empty key: the first), the next, the previous, the last: ERR_NOT_FOUND
	 * at the end; the cursor then stands behind the last key (before the first, for prev), and the way back
	 * leads to that key. Keys that were put or deleted since do not confuse it. */
	enum err (*seek)(struct store_cursor *c, struct bytes key, struct bytes *ret_key, struct bytes *ret_value);
	enum err (*next)(struct store_cursor *c, struct bytes *ret_key, struct bytes *ret_value);
	enum err (*prev)(struct store_cursor *c, struct bytes *ret_key, struct bytes *ret_value);
	enum err (*last)(struct store_cursor *c, struct bytes *ret_key, struct bytes *ret_value);
	void (*close)(struct store *s);
};

struct store {
	const struct store_ops *ops;
	uint64_t bytes_max; /* ERR_STORE_FULL beyond; 0: no bound */
};

struct store_stats {
	uint64_t map_bytes;
	uint64_t used_bytes;
};

/* Opens or makes the store in folder dir (which must exist). map_bytes bounds its size: what would
 * grow beyond it is ERR_STORE_FULL, a full disk is ERR_NO_SPACE. Refuses a file of
 * another program (ERR_CORRUPT), of a newer version (ERR_VERSION), or one that another process has open. */
MUST_USE enum err store_lmdb_open(const char *dir, uint64_t map_bytes, struct store **ret_store,
				  struct fault *reterr_fault);
struct store_stats store_lmdb_stats(struct store *s);

MUST_USE enum err store_mem_new(struct store **ret_store);
/* As a crash does: forgets what was not committed, keeps the rest. For tests. */
void store_mem_crash(struct store *s);
/* Another store with what is committed in this one, as a copy of its disk at this moment: from then on each goes its own
 * way. For tests and the simulator. */
MUST_USE enum err store_mem_fork(struct store *s, struct store **ret_fork);
