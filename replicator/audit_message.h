/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What regions ask each other for an audit, and answer: one request, one answer, both bounded. Format at the top of
 * audit_message.c. Pure; any thread.
 */
#pragma once

#include "base/wire.h"
#include "replicator/commit.h"

/* Of a request, and of an answer. ERR_TOO_LARGE: ask for less. */
#define AUDIT_BYTES_MAX (8u << 20)
/* Leaves whose rows one request lists, blocks whose leaves, rows that it fetches. */
#define AUDIT_LEAVES_PER_REQUEST 256u
#define AUDIT_BLOCKS_PER_REQUEST 256u
#define AUDIT_ROWS_PER_REQUEST 64u
/* What a deep audit names of what it found; the rest is counted. */
#define AUDIT_FINDINGS_MAX 1024u

enum audit_kind {
	AUDIT_ROOTS = 1,   /* of all shards at a mark */
	AUDIT_BLOCKS,      /* hashes of all blocks of a shard there */
	AUDIT_LEAVES,      /* leaves of the blocks in numbers */
	AUDIT_ROWS,        /* what the rows under the leaves in numbers are, as they are stored now */
	AUDIT_FETCH,       /* the rows in ids, whole */
	AUDIT_SETTLE,      /* take these rows, count these leaves anew; from the primary only */
	AUDIT_DEEP,        /* read and hash everything that is stored, or say how far that is */
	AUDIT_SEEN,        /* what was applied of each region's logs, in collections of several writers */
	AUDIT_COPY,        /* copy the trees of these collections as they are now, under the number in mark: their roots */
	AUDIT_WANTED,      /* a region is to be proved: audit soon; to the primary */
};

struct audit_row {
	struct settle_row row;
	bool damaged;      /* it is there, but what is stored does not fit its hashes; row.present is false */
};

struct audit_request {
	enum audit_kind kind;
	uint64_t fleet;                   /* hash of its name */
	uint8_t sender;                   /* region id */
	uint64_t mark;
	struct position position;         /* of the mark; SETTLE: at which the rows were so */
	uint64_t chain_hash;              /* SETTLE: there */
	struct cutoff cutoff;             /* ROWS of a collection of several writers: what must be here, and counts */
	const struct log_mark *logs;      /* SETTLE, likewise: at which ends of the logs the rows were so */
	uint32_t log_count;
	struct incarnation incarnation;
	uint32_t shard;
	const uint32_t *numbers;
	uint32_t number_count;
	const struct point_id *ids;
	uint32_t id_count;
	const struct audit_row *rows;     /* none damaged */
	uint32_t row_count;
};

enum audit_state {
	AUDIT_DONE,        /* the answer is here */
	AUDIT_NOT_YET,     /* the mark was not reached, the deep audit goes on */
	AUDIT_GONE,        /* the mark was passed, and nothing is kept of it; the deep audit ended without a result */
};

struct audit_root {
	struct incarnation incarnation;
	uint32_t shard;
	uint8_t bits;
	struct hash128 root;
	uint64_t rows;
};

struct audit_entry {
	struct point_id id;
	uint64_t number;          /* of the last op that changed it; several writers: 1 beyond the cutoff, else 0 */
	struct stamp stamp;       /* the newest in it */
	struct hash128 digest;
	bool damaged;             /* it cannot be read, or has other values than its hashes say */
};

struct audit_finding {
	struct incarnation incarnation;
	uint32_t shard;
	uint32_t leaf;
	bool is_row;              /* id is damaged; else the leaf is not the sum of its rows */
	struct point_id id;
};

struct audit_reply {
	enum audit_kind kind;
	struct str refused;               /* name of an error (err.h), then words: there is no answer */
	struct str words;
	enum audit_state state;
	struct position position;         /* where the answering region stood: ROOTS, ROWS, FETCH */
	uint64_t chain_hash;              /* FETCH: there */
	uint64_t number;                  /* ROWS: number of the op there; several writers: 0 */
	struct cutoff seen;               /* SEEN */
	const struct log_mark *logs;      /* FETCH from a collection of several writers: where they ended */
	uint32_t log_count;
	const struct audit_root *roots;
	uint32_t root_count;
	const struct hash128 *hashes;     /* BLOCKS */
	uint32_t hash_count;
	const struct merkle_leaf *leaves; /* 256 a block */
	uint32_t leaf_count;
	const struct audit_entry *entries;    /* ROWS: by id */
	uint32_t entry_count;
	const struct audit_row *rows;     /* FETCH: as ids */
	uint32_t row_count;
	const struct audit_finding *findings; /* DEEP */
	uint32_t finding_count;
	uint64_t found;                   /* findings, with those not named */
	uint64_t read_rows, read_bytes;   /* DEEP */
	uint32_t rows_changed;            /* SETTLE */
	uint32_t leaves_changed;
};

/* What the answer was refused for, here: ERR_BAD_GATEWAY for an error of another version. */
MUST_USE enum err audit_reply_refusal(const struct audit_reply *r);

/* Appends to out. */
MUST_USE enum err audit_request_encode(const struct audit_request *r, struct buf *out);
MUST_USE enum err audit_reply_encode(const struct audit_reply *r, struct buf *out);
/* Checks everything; into the arena, with views of b. ERR_CORRUPT, ERR_VERSION, ERR_NO_MEMORY. */
MUST_USE enum err audit_request_decode(struct bytes b, struct arena *a, struct audit_request *ret_request,
				       struct fault *reterr_fault);
MUST_USE enum err audit_reply_decode(struct bytes b, struct arena *a, struct audit_reply *ret_reply,
				     struct fault *reterr_fault);

/* Parts, for messages of others (snapshot_message.c). get: the reader has failed, or *err says so, when it returns NULL. */
MUST_USE enum err audit_row_put(struct buf *b, const struct audit_row *r);
MUST_USE enum err audit_row_get(struct wire_reader *r, struct arena *a, struct audit_row *ret_row);
void audit_logs_put(struct buf *b, const struct log_mark *logs, uint32_t count);
const struct log_mark *audit_logs_get(struct wire_reader *r, struct arena *a, uint32_t *ret_count, enum err *err);
