/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the committer share; nobody else includes this.
 *   commit.c        the thread, the queue, the batch of writes, epochs
 *   commit_local.c  a client's intents: what only the commit can judge, and cutting into ops
 *   commit_point.c  what an intent means for one point
 *   commit_alias.c  a client's actions on aliases
 *   commit_apply.c  the transaction: ops into rows, log and position; the ops of peers
 *   commit_multi.c  the logs of collections that every region writes
 *   commit_settle.c rows that another region has right
 *   commit_promise.c the fence of promised epochs
 *   commit_undo.c   what unconfirmed ops replaced, and walking back
 *   commit_orphan.c the list of orphans, and what is decided about them
 *   commit_open.c   opening and closing
 *   commit_meta.c   the records that say where the region stands
 *   commit_copy.c   copies of another region's state
 */
#pragma once

#include "replicator/commit.h"
#include "base/map.h"
#include "replicator/merge.h"
#include "replicator/undo.h"

#include <stdatomic.h>

#define META_STORE_ID_BYTES 16
/* Memory of one intent (ids that a filter found), one op, one row: some 40 MiB where one writer fills it with the smallest of
 * keys, and as much for each of several that did so without having seen one another. */
#define INTENT_ARENA_BYTES_MAX ((size_t)1 << 30)
#define OP_ARENA_BYTES_MAX ((size_t)128 << 20)
#define ROW_ARENA_BYTES_MAX ((size_t)1 << 30)

/* Where the region stands. */
struct place {
	struct position position;
	uint64_t chain_hash;
	bool released;
	uint8_t released_to;
	uint64_t hlc; /* greatest stamp of this clock, as stored */
	struct position confirmed; /* ops up to it have no undo records any more, and are never taken back */
	/* the log that is held; not stored, it follows from the log */
	uint64_t log_ops;
	uint64_t log_bytes;
	struct stamp oldest; /* of its first op */
	struct oplog_size multi;
	struct orphan_totals orphans; /* likewise, of the orphan store */
};

/* One log of SCOPE_MULTI. */
struct multi_log {
	uint64_t log;
	uint64_t seq;
	uint64_t chain_hash;
	uint64_t hlc;        /* of its last op */
	uint64_t oldest_hlc; /* of the oldest op held; 0: none is held */
	bool floor;          /* its region's older ones are forgotten */
	bool changed;        /* by the open transaction */
};

/* In the order of their ids. */
struct multi_logs {
	struct multi_log *items;
	uint32_t count, cap;
};

/* The open transaction, if any, and what it makes of the place. */
struct commit_txn {
	struct store_txn *store; /* NULL: none is open */
	struct place place;
	struct history history; /* when it has a new one */
	bool has_history;
	struct multi_logs logs; /* when it has ops of SCOPE_MULTI */
	bool has_logs;
	uint64_t log_ended; /* the one that its last op of SCOPE_MULTI is of */
	bool local;   /* has ops of this region's clients */
	bool settled; /* has rows without ops */
	bool rewound; /* ops were taken back */
	bool promised; /* the voter's record was written, */
	uint64_t promise; /* with this epoch, greater than before; 0: not so */
	bool undo_changed; /* records of STORE_UNDO were written or removed */
	struct position confirmed; /* ops up to it need no undo record; as known when it began */
	struct marked *marked; /* of the last mark in it; NULL: none */
	uint32_t ops;
	size_t bytes;
	struct arena arena;       /* the names below */
	struct oplog_slot *freed; /* heap; slots to free once it is committed */
	uint32_t freed_count, freed_cap;
	struct incarnation *dropped; /* in the arena; collections whose drop was trimmed */
	uint32_t dropped_count;
};

/* What the op that is being applied replaces. */
struct undo_draft {
	bool wanted;
	struct undo undo;
	uint32_t entry_cap;
	struct arena arena;
};

/* A write that takes part in the open transaction, and where it stood before. */
struct taking {
	struct write *write;
	uint32_t intents_done;
	bool more; /* of that intent, and where it goes on */
	struct point_id next;
	struct position position;
};

struct waiting {
	struct write *write;
	struct position position;
};

struct committer {
	struct committer_options o;
	struct queue queue;
	pthread_t thread;
	atomic_bool running; /* the thread was started */
	bool stopped;

	/* the committer's alone */
	struct hlc hlc;
	struct place place; /* as committed */
	struct commit_txn txn;
	struct undo_draft draft;
	struct map undo_slots;   /* that undo records refer to; keys of commit_undo.c, values are not NULL */
	uint64_t undo_count;     /* records of STORE_UNDO */
	uint64_t promised;       /* the greatest epoch promised; 0: none */
	uint64_t own_log;        /* of SCOPE_MULTI, begun by this object; 0: not yet */
	bool writing;            /* this object began the open epoch and has not released it */
	uint64_t checkpoint_ns;  /* when the last one was, on the mono clock */
	uint64_t checkpoint_ops; /* ops since */
	struct taking *takings;  /* COMMIT_OPS_MAX */
	uint32_t taking_count;
	struct taking *again; /* COMMIT_OPS_MAX; while a failed batch is tried one by one */
	struct waiting *waiting;
	uint32_t waiting_count, waiting_cap;
	struct buf wire; /* one op */
	uint8_t store_id[META_STORE_ID_BYTES];
	uint64_t boots;
	struct metric_series *ops_metric; /* of the region ops_region */
	int ops_region;

	struct write *wake; /* the queue's wake-up call */
	atomic_bool waking; /* it is in the queue */

	pthread_mutex_t marked_lock; /* guards the following two; held while it is called */
	commit_marked_fn marked_fn;
	void *marked_ctx;

	pthread_mutex_t state_lock; /* guards the following, written by the committer only */
	pthread_cond_t changed;     /* position moved, a job was finished */
	struct committer_state state;
	struct history history; /* read by the committer without the lock */
	struct multi_logs logs; /* likewise */
};

/* --- commit.c --- */
/* done() of what only wakes the thread. */
void commit_wake_done(struct write *w);

/* --- commit_meta.c --- */
/* Reads (or makes) the store's id, counts the boot, reads place and history. */
MUST_USE enum err commit_meta_open(struct committer *c, struct fault *reterr_fault);
/* Into the open transaction. */
MUST_USE enum err commit_meta_save(struct committer *c);
/* Likewise: it is the store that `from` had, from its next opening on, and its clock has seen what that one saw. */
MUST_USE enum err commit_meta_adopt(struct committer *c, const struct committer *from);

/* --- commit_apply.c --- */
/* Opens a transaction unless one is open. */
MUST_USE enum err commit_txn_begin(struct committer *c, struct fault *reterr_fault);
/* One op, whole: rows or catalogue, log, running hash, position. wire.data == NULL: encoded here. After an error the
 * transaction has to be abandoned. */
MUST_USE enum err commit_txn_apply(struct committer *c, struct op *op, struct bytes wire,
				   struct fault *reterr_fault);
/* Durable, visible and stated on return; on failure the transaction is gone and nothing of it stays. */
MUST_USE enum err commit_txn_commit(struct committer *c, struct fault *reterr_fault);
void commit_txn_abandon(struct committer *c);
/* Fills in an op's place in the log and its stamp. */
MUST_USE enum err commit_stamp(struct committer *c, struct op *op, struct fault *reterr_fault);
/* What is pending must have been committed. */
MUST_USE enum err commit_remote(struct committer *c, const struct remote_batch *b,
				struct fault *reterr_fault);
/* The part of it that is about rows. */
MUST_USE enum err commit_txn_rows(struct committer *c, struct op *op, struct fault *reterr_fault);
/* Is no op held that wrote a vector with this stamp? */
bool commit_op_is_trimmed(const struct committer *c, struct stamp s);
/* The op in wire form; of the committer's own buffer. */
MUST_USE enum err commit_encode(struct committer *c, const struct op *op, struct bytes *ret_wire);
/* Slots to free once the transaction is committed. */
MUST_USE enum err commit_free_later(struct committer *c, const struct oplog_slot *slot);
/* Does what a peer's op brings fit its collection? */
MUST_USE enum err commit_check_remote(struct committer *c, const struct op *op,
				      struct fault *reterr_fault);
/* The history as the open transaction has it. */
const struct history *commit_history(const struct committer *c);
/* Begins or ends this region's right to write. */
void commit_set_writing(struct committer *c, bool writing);
/* An I/O error: nothing more is written. */
void commit_fail(struct committer *c, const struct fault *f);
/* Does the op want a transaction of its own? */
bool commit_is_alone(const struct op *op);
/* The same of one that clients ask for. */
bool commit_kind_is_alone(enum op_kind kind);

/* --- commit_multi.c --- */
MUST_USE enum err commit_multi_open(struct committer *c, struct fault *reterr_fault);
void commit_multi_release(struct multi_logs *logs);
/* Fills in an op's place in this region's own log, its stamp, what was seen. */
MUST_USE enum err commit_multi_stamp(struct committer *c, struct op *op, uint64_t hlc_floor,
				     struct fault *reterr_fault);
/* As commit_txn_apply. */
MUST_USE enum err commit_multi_apply(struct committer *c, struct op *op, struct bytes wire,
				     struct fault *reterr_fault);
/* As commit_remote. */
MUST_USE enum err commit_multi_remote(struct committer *c, const struct remote_batch *b,
				      struct fault *reterr_fault);
/* Where the last op of the open transaction, or the last committed one of it, stands. */
struct position commit_multi_position(const struct committer *c);
/* Where the open transaction, or the region, stands in a log; false: nothing of it is here. */
bool commit_multi_end(const struct committer *c, uint32_t number, struct log_mark *ret_end);
/* What was applied, with what the open transaction applies. */
MUST_USE enum err commit_multi_seen(const struct committer *c, struct cutoff *ret_seen);
/* As committer_copy_multi. */
MUST_USE enum err commit_multi_copy(struct committer *c, struct marked **ret_marked, struct fault *reterr_fault);
/* Is no op that has this stamp held any more? */
bool commit_multi_is_trimmed(const struct committer *c, struct stamp s);
/* The stamp of the oldest op held; 0: none is. */
uint64_t commit_multi_oldest(const struct committer *c);
/* all: also what the budget would keep. */
MUST_USE enum err commit_multi_trim(struct committer *c, bool all, struct fault *reterr_fault);
/* One log, when there are too many. */
MUST_USE enum err commit_multi_forget(struct committer *c, struct fault *reterr_fault);
bool commit_multi_is_forgotten(const struct multi_logs *logs, uint64_t log);
/* Into the open transaction. */
MUST_USE enum err commit_multi_save(struct committer *c);
/* The transaction is committed; under state_lock. */
void commit_multi_publish(struct committer *c);

/* --- commit_settle.c --- */
/* What is pending must have been committed. */
MUST_USE enum err commit_settle(struct committer *c, struct settle *s, struct fault *reterr_fault);

/* --- commit_copy.c --- */
MUST_USE enum err commit_copy_put_note(struct store *s, struct store_txn *t, struct bytes note);

/* --- commit_promise.c --- */
MUST_USE enum err commit_promise_open(struct committer *c, struct fault *reterr_fault);
/* May ops of that epoch be taken? refusal: the error, else. */
MUST_USE enum err commit_fence(const struct committer *c, enum err refusal, uint64_t epoch,
			       struct fault *reterr_fault);
/* With the open transaction the epoch is promised, unless a greater one was. */
MUST_USE enum err commit_promise_raise(struct committer *c, uint64_t epoch, struct fault *reterr_fault);
/* What is pending must have been committed. */
MUST_USE enum err commit_promise(struct committer *c, struct promise *p, struct fault *reterr_fault);

/* --- commit_undo.c --- */
/* At open: counts the records, and marks their slots. */
MUST_USE enum err commit_undo_open(struct committer *c, struct fault *reterr_fault);
void commit_undo_release(struct committer *c);
/* The transaction that changed records is gone: memory becomes what the store has. */
void commit_undo_reload(struct committer *c);
/* Around an op's effect. */
MUST_USE enum err commit_undo_begin(struct committer *c, const struct op *op);
MUST_USE enum err commit_undo_end(struct committer *c, const struct op *op);
/* Within: what the op does to its point at `at`. stored NULL: it was not there; row NULL: it stays as it is. */
MUST_USE enum err commit_undo_row(struct committer *c, uint32_t at, const struct row *stored, const struct row *row);
/* Within: the orphan as it is listed before the op; NULL: it is not. */
MUST_USE enum err commit_undo_orphan(struct committer *c, const struct orphan_id *id, const struct orphan *before);
/* Before the log is trimmed: removes records of what is confirmed. */
MUST_USE enum err commit_undo_trim(struct committer *c, struct fault *reterr_fault);
/* Is it a slot that only an undo record refers to? */
bool commit_undo_holds(const struct committer *c, const struct oplog_slot *slot);
/* Could a collection that is not there come back by a walk back? */
bool commit_undo_may_return(struct committer *c, struct incarnation i);
/* What is pending must have been committed. */
MUST_USE enum err commit_rewind(struct committer *c, struct rewind *r, struct fault *reterr_fault);

/* --- commit_point.c --- */
bool commit_has_condition(const struct intent *in);
/* Is the point to be written? row NULL: it is not there. */
MUST_USE enum err commit_takes_point(const struct intent *in, const struct collection *collection,
				      const struct row *row, bool *ret_takes);
/* The top-level keys that the intent's paths change, each with its new value or null; data == NULL: none. In the arena. */
MUST_USE enum err commit_change_inside(const struct intent *in, const struct row *row, struct arena *a,
				       struct value *ret_fields);

/* --- commit_alias.c --- */
/* What the intent's actions come to; in the arena and of the intent. */
MUST_USE enum err commit_alias_changes(struct committer *c, const struct intent *in, struct arena *a,
				       struct alias_list *ret_changes, struct fault *reterr_fault);

/* --- commit_orphan.c --- */
/* At open: counts them. */
MUST_USE enum err commit_orphan_open(struct committer *c, struct fault *reterr_fault);
/* The record becomes this one. */
MUST_USE enum err commit_orphan_set(struct committer *c, const struct orphan *o);
/* The effects of OP_ORPHAN, and of _APPLY and _DROP without that on rows and collections. */
MUST_USE enum err commit_orphan_list(struct committer *c, const struct op *op);
MUST_USE enum err commit_orphan_decide(struct committer *c, const struct op *op);
/* The op was applied in the history, and the running hash is the one after it: if it was an orphan here, it is none. */
MUST_USE enum err commit_orphan_is_in(struct committer *c, const struct op *op);
/* Taking back what an op about orphans did: by its record, or, of an OP_ORPHAN without one, to LOCAL. */
MUST_USE enum err commit_orphan_restore(struct committer *c, const struct undo_orphan *before);
MUST_USE enum err commit_orphan_unlist(struct committer *c, const struct op *op);
void commit_orphan_metrics(const struct committer *c);
/* What is pending must have been committed. */
MUST_USE enum err commit_orphans_offered(struct committer *c, struct orphan_offer *offer, struct fault *reterr_fault);
MUST_USE enum err commit_orphans_decided(struct committer *c, struct orphan_decision *d, struct fault *reterr_fault);

/* --- commit_local.c --- */
/* Has everything before it to be committed first? */
bool commit_intent_is_alone(const struct intent *in);
/* Adds the intent to the open transaction. *ret_dirty: the transaction has to be abandoned. */
MUST_USE enum err commit_intent(struct committer *c, struct write *w, struct intent *in,
				bool *ret_dirty, struct fault *reterr_fault);
