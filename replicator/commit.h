/* SPDX-License-Identifier: Apache-2.0 */
/*
 * THE door. Every change of this region's data goes through here: a client's write, a peer's op, a settled
 * row. Merge, rows, Merkle leaf, op log and position are one transaction; what waits becomes one commit
 * (group commit: up to COMMIT_WAIT_US or COMMIT_OPS_MAX ops).
 *
 *     slots written and synced -> transaction committed (synced) -> memory published -> writers told
 *
 * A failed sync or transaction is not retried: that write fails, nothing of it stays, and after an I/O
 * error the region stops writing (committer_failed) until it is restarted.
 * Thread: one, its own; the functions below say which may be called from elsewhere.
 */
#pragma once

#include "base/queue.h"
#include "replicator/ack.h"
#include "replicator/chain.h"
#include "replicator/hlc.h"
#include "replicator/marked.h"
#include "replicator/orphan.h"

#define COMMIT_OPS_MAX 1024
#define COMMIT_BYTES_MAX (32u << 20)
#define COMMIT_QUEUE_BYTES_MAX (256u << 20)
/* Writes that are committed and wait for a level above ACK_VISIBLE, or for other regions; beyond it they are told so at once. */
#define COMMIT_WAITING_MAX 65536

/* One action on aliases. CREATE: alias stands for the collection `to`, whatever it stood for before; RENAME: to `to`. */
struct alias_action {
	enum { ALIAS_CREATE, ALIAS_RENAME, ALIAS_DELETE } kind;
	struct str alias;
	struct str to;
};
/* Of one request: what they come to is one op. */
#define ALIAS_ACTIONS_MAX 1024

/* One operation of a client's request: an op without its stamps, its collection by name, its points
 * perhaps by filter. Everything it points at must live until done() is called. */
struct intent {
	enum op_kind kind;
	struct str collection;           /* name or alias; resolved in the commit */
	const struct filter *filter;     /* for kinds with ids: instead of ids */
	/* UPSERT, UPDATE_VECTORS: of the points that are there, only those that it matches are written */
	const struct filter *condition;
	enum { INTENT_UPSERT, INTENT_INSERT_ONLY, INTENT_UPDATE_ONLY } mode; /* UPSERT */
	/* Inside the payload, written as SET_FIELDS. SET_PAYLOAD: the one path below which body.payload is set; DELETE_PAYLOAD: the
	 * paths of what is removed, instead of body.keys */
	const struct path *paths;
	uint32_t path_count;
	bool local_conditions;           /* a filter may be evaluated here although other regions write, too */
	const struct alias_action *alias_actions; /* ALIASES: in their order */
	uint32_t alias_action_count;
	struct op body;                  /* points, ids, payload, keys, name, config, field_index as the kind needs */
	/* answers */
	uint64_t op_number;              /* Qdrant's operation_id: of its last op */
	/* The committer's: a filter that finds many points is carried out in parts, each a transaction. */
	bool more;            /* a part is done, and more are to come; */
	struct point_id next; /* the next one begins here */
};

struct write {
	struct queue_item item;
	struct intent *intents;
	uint32_t intent_count;
	size_t bytes;                    /* weight in the queue */
	enum ack_level ack;
	struct ack_regions regions;      /* that are to have applied it */
	uint64_t hlc_floor;              /* the client has seen so far: stamps in collections of several writers come after it */
	uint64_t deadline_ns;            /* for levels above VISIBLE, and for regions; 0: none */
	/* Called once, on the committer's thread, when all that was asked for is reached or the write failed. */
	void (*done)(struct write *w);
	/* answers */
	enum err err;
	struct fault fault;
	uint32_t intents_done;           /* those before the failed one stay */
	struct position position;        /* of the last op written; {0,0}: nothing was */
	enum ack_level reached;
	struct ack_applied applied;      /* looked at when regions were asked for, or the level is ACK_CONFIRMED */
};

struct committer;

/* Asked in every transaction and again after its sync; ERR_NONE: this region may write in that epoch. */
typedef enum err (*commit_may_write_fn)(void *ctx, uint16_t scope, uint64_t epoch, struct fault *reterr_fault);

struct committer_options {
	struct clock *clock;
	struct store *store;
	struct catalog *catalog;
	uint8_t region;                  /* id; 0 when none is configured */
	const char *region_name;         /* for words to clients; NULL: by its id */
	uint64_t hlc_offset_ms_max;      /* 0: HLC_OFFSET_MS_MAX_DEFAULT */
	uint64_t log_bytes_max;          /* retention of the op log; trimmed beyond. 0: never */
	commit_may_write_fn may_write;   /* NULL: always */
	/* The same for this region's own log of SCOPE_MULTI, which has no epochs: asked before each intent. NULL: always */
	enum err (*may_originate)(void *ctx, struct fault *reterr_fault);
	/* After each commit, on the committer's thread; must not block. */
	void (*on_commit)(void *ctx, struct position now);
	/* Up to which position the log may be trimmed, and ops need no undo record: what is confirmed. NULL: all that is
	 * committed. */
	struct position (*trim_floor)(void *ctx);
	/* Ops beyond it may have to be taken back: more than one region votes. */
	bool undo;
	uint64_t orphan_bytes_max;       /* 0: ORPHAN_BYTES_MAX_DEFAULT */
	/* It makes a copy of another region's state beside the committer that the metrics are of (copy.h): tells none, and notes no
	 * conflicts, as ops are applied to rows that were read after them. */
	bool copying;
	/* The same for one log of SCOPE_MULTI: up to which seq. NULL: all that is committed. */
	uint64_t (*trim_floor_multi)(void *ctx, uint64_t log);
	/* May that log of SCOPE_MULTI, of which nothing is held then, be forgotten? floor: its region's newest that was, or 0.
	 * NULL: it may. */
	bool (*may_forget)(void *ctx, struct log_end end, uint64_t floor);
	/* What a committed position has reached; asked after each commit and each committer_wake. NULL: the
	 * region is alone, and what it committed is confirmed. */
	enum ack_level (*level)(void *ctx, struct position p);
	/* Who has applied it, likewise. NULL: this region alone, which has no stream. */
	void (*applied)(void *ctx, struct position p, struct ack_applied *ret_applied);
	void *ctx;
};

/* Reads position, history and log from the store, marks the log's slots in the catalog; starts no thread. Next comes
 * catalog_start(), which frees the slots that nobody marked; nothing may be submitted before. */
MUST_USE enum err committer_open(const struct committer_options *o, struct committer **ret_committer,
				 struct fault *reterr_fault);
void committer_close(struct committer *c);
/* The thread; stop finishes what is queued. */
MUST_USE enum err committer_start(struct committer *c);
void committer_stop(struct committer *c);
/* One turn by hand, for tests and the simulator: commits what is queued; true when something was. */
bool committer_turn(struct committer *c, uint64_t wait_ms);

/* From any thread. ERR_RATE_LIMITED when the queue is full: w stays the caller's, done is not called. */
MUST_USE enum err committer_submit(struct committer *c, struct write *w);
/* The answer of options.level may have changed. From any thread. */
void committer_wake(struct committer *c);

/* Begins a new epoch with this region as its writer (first start of the primary, each further start, after
 * a release to it). Whether this region may is the caller's to know; only may_write is asked, with the new
 * epoch. From any thread but the committer's; waits for the commit (without committer_start: turns by itself). */
MUST_USE enum err committer_begin_epoch(struct committer *c, struct fault *reterr_fault);
/* Waits until what was submitted before is committed (it may still wait for a level): ERR_TIMEOUT. New writes are
 * for the caller to keep away. From any thread but the committer's. */
MUST_USE enum err committer_drain(struct committer *c, uint64_t timeout_ms);
/* Writes `release` to region target as the last op of this epoch and never writes in it again. */
MUST_USE enum err committer_release(struct committer *c, uint8_t target, struct position *ret_end,
				    struct fault *reterr_fault);

/* What an op of SCOPE_MULTI waits for. */
enum turn_kind { TURN_NOW, TURN_SCHEMA, TURN_SEEN, TURN_CLOCK };
struct op_turn {
	enum turn_kind kind;
	struct position op;
	struct position needs;           /* SCHEMA: changes of collections up to it */
	uint8_t region;                  /* SEEN: the writer of what is missing, */
	uint64_t hlc;                    /* and its stamp */
	uint64_t ahead_ms;               /* CLOCK: how far the op's stamp lies ahead of this region's clock */
};

/* Ops of a peer, in wire form, consecutive (also from one epoch into the next; in SCOPE_MULTI of one log), with the running
 * hash after the last. In SCOPE_MULTI ops come after all that their writers had seen, and after the changes of collections
 * that they need: ERR_UNAVAILABLE, with words, until these are here; the ops before stay. They are applied by position: known ones are skipped, a hole is ERR_GAP, another hash ERR_FORK; nothing is
 * applied before the hash was found right. From any thread but the committer's; waits for the commit. */
struct remote_batch {
	struct bytes *ops;
	uint32_t count;
	uint16_t scope;
	uint64_t chain_hash;
	/* The ops are known to lie in a history that has reached this epoch, or this region, which promised it to itself, copies
	 * them to begin it; 0: nothing is known. Ops of epochs older than what is promised are catch-up when this is not older,
	 * else refused with ERR_UNAVAILABLE. */
	uint64_t history_epoch;
	struct position upto;            /* unless zero: ops after it are checked with the others, and left out */
	struct op_turn *ret_turn;        /* may be NULL; in SCOPE_MULTI: why the rest has to wait */
};
MUST_USE enum err committer_apply(struct committer *c, const struct remote_batch *b, struct fault *reterr_fault);

/* --- audits --- */

/* Called on the committer's thread when a mark was committed, with the trees as they were at its position: one reference
 * is given. Must not block nor call the committer. NULL ends it, and waits for a call under way. Of several marks in one
 * transaction only the last is told. From any thread but the committer's. */
typedef void (*commit_marked_fn)(void *ctx, struct marked *m);
void committer_set_marked(struct committer *c, commit_marked_fn fn, void *ctx);
/* Writes a mark: ERR_NOT_PRIMARY on a region that has no epoch of its own. From any thread but the committer's; waits. */
MUST_USE enum err committer_mark(struct committer *c, uint64_t mark, struct position *ret_position,
				 struct fault *reterr_fault);

/* The trees of all collections that every region writes, as they are now, and what was applied to them; one reference.
 * From any thread but the committer's; waits. */
MUST_USE enum err committer_copy_multi(struct committer *c, struct marked **ret_marked, struct fault *reterr_fault);

/* A row as a region that is right has it, or its absence. */
struct settle_row {
	struct point_id id;
	bool present;
	struct row row;          /* dense vectors with their values, slot SLOT_NONE */
};
struct settle_leaf {
	uint32_t shard;
	uint32_t leaf;
};
/*
 * Replaces rows by those that another region had at position `at`, as if they had stood here then: the ops of the log
 * after `at` are applied to them again, so that they fit the position of the commit, which stays what it is. No op is
 * written. Then the leaves of these rows, and those given, are counted anew. In a collection that every region writes the
 * other region stood where `logs` say, and the ops of this region's logs after them are applied again; `at` says nothing.
 */
struct settle {
	struct incarnation incarnation;
	struct position at;
	uint64_t chain_hash;     /* the running hash there */
	const struct log_mark *logs;   /* by log */
	uint32_t log_count;
	const struct settle_row *rows;
	uint32_t row_count;
	const struct settle_leaf *leaves;
	uint32_t leaf_count;
	/* The rows are parts of a copy, not repairs: the tree has them as they are stored, no leaf is counted anew. The note is
	 * kept in the same transaction, for committer_copy_note(). */
	bool copying;
	struct bytes note;
	/* answers */
	uint32_t rows_changed;
	uint32_t leaves_changed;
};
/* More ops than this are not applied again: ask for newer rows. */
#define SETTLE_OPS_MAX 65536
/* ERR_GAP: this region has not reached `at`, or what the rows are made of, or its log does not reach back to there; ERR_FORK:
 * `at` is not in its history, or a log has other ops;
 * ERR_NOT_FOUND: the collection was dropped. From any thread but the committer's; waits for the commit. */
MUST_USE enum err committer_settle(struct committer *c, struct settle *s, struct fault *reterr_fault);
/* --- copies of another region's state --- */

#define COPY_NOTE_BYTES_MAX 2048
/* Is a record of STORE_META one of those that say where a region stands, and are the same in every region that stands there? */
bool committer_is_place(struct bytes key);
/* One of another region's: of STORE_META, STORE_HISTORY, STORE_CATALOG or STORE_ORPHANS. */
struct copy_record {
	enum store_table table;
	struct bytes key, value;
};
/* Makes an empty store that of a region which stands where these records say, with all its collections and none of their points.
 * Before committer_open(), which reads it; the catalog is to be closed and opened again. One transaction. ERR_ALREADY_EXISTS: the store
 * is not empty. */
MUST_USE enum err committer_copy_begin(struct store *s, struct catalog *c, const struct copy_record *records, uint32_t count,
				       struct bytes note, struct fault *reterr_fault);
/* What was noted last, copied; empty when nothing was. Any thread. */
MUST_USE enum err committer_copy_note(struct store *s, struct arena *a, struct bytes *ret_note);
/* Notes it, in a transaction of its own; empty: forgets it. Not while a committer runs on that store on another thread, but before
 * committer_open(). */
MUST_USE enum err committer_copy_set_note(struct store *s, struct bytes note, struct fault *reterr_fault);
/* Forgets it. From any thread but the committer's; waits. */
MUST_USE enum err committer_copy_forget(struct committer *c, struct fault *reterr_fault);
/* Records of another region's conflict log, with the note, in a transaction of its own. What was pending is committed. */
MUST_USE enum err committer_copy_conflicts(struct committer *c, const struct copy_record *records, uint32_t count,
					   struct bytes note, struct fault *reterr_fault);
/* The last step: the copy takes the place of the region that `from`, stopped, was: its identity, its promises, its orphans; ops of
 * it that the copy's history does not have become orphans. The note comes with the identity. */
MUST_USE enum err committer_copy_adopt(struct committer *c, struct committer *from, struct bytes note,
				       struct fault *reterr_fault);

/* --- promises --- */

#define PROMISE_RECORD_BYTES_MAX ((size_t)64 << 10)
struct promise {
	uint64_t epoch;          /* no op of an older one is taken from here on; 0: only the record is stored */
	struct bytes record;     /* what the voter has to remember; replaces the one before */
	/* answer */
	struct position position;    /* where this region stood in that transaction */
};
/* An epoch that begins here, by whomever, is promised with it: when it is taken back, nothing older comes in its place but
 * what the history has that ended it.
 * Durable on return. ERR_ALREADY_EXISTS: an epoch as great was promised, or is in the log. From any thread but the committer's;
 * waits for the commit. */
MUST_USE enum err committer_promise(struct committer *c, struct promise *p, struct fault *reterr_fault);
/* The record stored last, copied; empty when there is none. Any thread. */
MUST_USE enum err committer_promise_record(struct store *s, struct arena *a, struct bytes *ret_record,
					   struct fault *reterr_fault);
/* Begins the epoch that this region promised itself; otherwise as committer_begin_epoch. ERR_FORK: another one is promised. */
MUST_USE enum err committer_begin_promised(struct committer *c, uint64_t epoch, struct fault *reterr_fault);

/* --- walking back --- */

#define ORPHAN_BYTES_MAX_DEFAULT (UINT64_C(1) << 30)
/*
 * Takes back what this region holds beyond `to`, op by op from the newest, in transactions that each end at a valid position:
 * rows, collections, history and log become what they were there. Ops of clients go to the orphan store (replicator/orphan.h).
 * This region's right to write ends first, unless there is nothing to take back.
 */
struct rewind {
	struct position to;
	/* Unless NULL: instead of `to`, the last position that is in this history, too, of a region that stands at `end`; found by
	 * the very call that takes back, and set as `to`. Nothing is taken back but for a history whose epoch is newer than
	 * the open one, and which reaches what is promised: ERR_UNAVAILABLE. That epoch is promised then. */
	const struct history *history;
	struct position end;
	uint64_t history_epoch;  /* as in struct remote_batch; the history's own counts, too */
	/* answers, also of what was done before a failure */
	uint64_t ops;
	uint64_t orphans;
};
/* ERR_FORK: `to` is not in this region's history, or lies before what is confirmed; ERR_NO_SPACE: the orphan store is full;
 * ERR_NOT_FOUND: an op has no undo record; ERR_GAP: what both histories have is forgotten. From any thread but the committer's; waits for the commit. */
MUST_USE enum err committer_rewind(struct committer *c, struct rewind *r, struct fault *reterr_fault);
/* --- orphans --- */

/* Ops that were taken back, in wire form, each with the running hash of its log after it. */
struct offered_orphan {
	uint64_t chain_hash;
	struct bytes op;
};
/* By a region that has them to the primary, which lists those that are not listed yet, each by an op of its own, so that every
 * region comes to list the same. An op that is in the history is none, and is passed over. */
struct orphan_offer {
	const struct offered_orphan *items;
	uint32_t count;
	/* answers, also before a failure */
	uint32_t listed;
	struct position position;    /* where this region stood then: whoever has reached it knows all that were taken over */
};
/* ERR_NOT_PRIMARY; ERR_NO_SPACE: the list is full; ERR_CORRUPT, ERR_VERSION, ERR_BAD_INPUT: one of them is no such op. From any
 * thread but the committer's; waits for the commit. */
MUST_USE enum err committer_list_orphans(struct committer *c, struct orphan_offer *offer, struct fault *reterr_fault);

/* What is to become of one. */
struct orphan_verdict {
	struct orphan_id id;
	bool apply;                  /* merged into what is there, with its own version; else dropped */
	/* answers: ERR_NONE also when it was decided so before */
	enum err err;
	struct fault fault;
};
struct orphan_decision {
	struct orphan_verdict *items;
	uint32_t count;
	/* answers */
	uint32_t done;
	struct position position;    /* of the last op written, or where this region stood */
};
/* Those that cannot be done say why, and the others are done. ERR_NOT_PRIMARY, or a failed commit: then the items tell which
 * were done before it. Likewise. */
MUST_USE enum err committer_decide_orphans(struct committer *c, struct orphan_decision *d, struct fault *reterr_fault);

/* Where the state stands that a read transaction sees; all zero before the first op. Any thread. */
MUST_USE enum err committer_read_place(struct store *s, struct store_txn *t, struct position *ret_position,
				       uint64_t *ret_chain_hash);
/* Number of an op of this region's history over all epochs. Any thread. */
uint64_t committer_number(struct committer *c, struct position p);

/* --- collections that every region writes --- */

/* What it was opened with, to read from. Any thread. */
struct store *committer_store(struct committer *c);
/* What was applied of all regions. ERR_TOO_LARGE: there are more of them than a fleet may have. Any thread. */
MUST_USE enum err committer_seen(struct committer *c, struct cutoff *ret_seen);
/* The same, log by log, for the state that a read transaction sees; into the arena, by log. Any thread. */
MUST_USE enum err committer_read_logs(struct store *s, struct store_txn *t, struct arena *a, struct log_mark **ret_logs,
				      uint32_t *ret_count);
/* Where this region stands, by log. Any thread. */
uint32_t committer_vector(struct committer *c, struct log_end out[LOGS_MAX]);
/* The seq reached in that log; 0: nothing of it is here; UINT64_MAX: it was forgotten, after all of it was. Any thread. */
uint64_t committer_log_seq(struct committer *c, uint64_t log);
/* Any thread. */
bool committer_log_is_forgotten(struct committer *c, uint64_t log);
/* Waits until log has reached seq; ERR_TIMEOUT. Not for loop threads. */
MUST_USE enum err committer_wait_log(struct committer *c, struct log_end end, uint64_t timeout_ms);

/* State, from any thread. */
struct committer_state {
	struct position position;    /* all up to it is visible */
	struct position durable;     /* committed; what readers see is never beyond it */
	struct position publishing;  /* what readers may see of already: position, or that of the commit being published */
	uint64_t chain_hash;
	uint64_t epoch;              /* of the newest epoch-start */
	uint64_t promised;           /* no op of an older epoch is taken but as history; 0: all are */
	uint8_t writer;              /* region id of that epoch's writer; 0 with region 0 */
	bool writing;                /* this region may write: it began the open epoch itself, and has not released it */
	bool released;               /* the epoch was ended by its writer */
	uint8_t released_to;
	bool failed;                 /* an I/O error stopped writing */
	char failure[256];
	uint64_t op_number;
	uint64_t hlc;
	uint64_t turns;              /* moves while the thread is alive: for the watchdog */
	uint8_t store_id[16];        /* random, of this store */
	uint64_t boots;              /* how often the store was opened */
	uint64_t queue_bytes;        /* that wait for the committer */
	uint64_t log_ops;            /* held */
	uint64_t log_bytes;
	uint64_t multi_log;          /* that this region writes since its start; 0: none yet */
	uint64_t multi_ops;          /* held, of all logs of SCOPE_MULTI */
	uint64_t multi_bytes;
	struct orphan_totals orphans;
};
void committer_state(struct committer *c, struct committer_state *ret_state);
/* This region's history and where it stands in it, of one moment; fleet and region are the caller's to fill in.
 * chain_release() after it. Any thread. */
MUST_USE enum err committer_chain(struct committer *c, struct chain *ret_chain);
/* Where an op lies in this region's history. */
enum history_place committer_find(struct committer *c, struct position p);
/* Waits until the position has reached p; ERR_TIMEOUT. Not for loop threads. */
MUST_USE enum err committer_wait(struct committer *c, struct position p, uint64_t timeout_ms);
