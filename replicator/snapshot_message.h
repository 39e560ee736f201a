/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a region that makes itself a copy of another one's state asks it, and the answers; both bounded. Format at the top of
 * snapshot_message.c. Pure; any thread.
 */
#pragma once

#include "replicator/audit_message.h"

/* Of a request; of an answer with rows or records, which holds one row more than it was asked for at most; of the head. */
#define SNAPSHOT_REQUEST_BYTES_MAX 1024u
#define SNAPSHOT_PART_BYTES_MAX (16u << 20)
#define SNAPSHOT_HEAD_BYTES_MAX (64u << 20)
/* What a part is asked for, and never more of. */
#define SNAPSHOT_PART_BYTES (1u << 20)

enum snapshot_kind {
	SNAPSHOT_HEAD = 1,   /* where the region stands, its history and collections, at one position */
	SNAPSHOT_ROWS,       /* the next rows of a shard, as they are now */
	SNAPSHOT_CONFLICTS,  /* the next records of the conflict log */
	SNAPSHOT_STATE,      /* where it stands now */
};

struct snapshot_request {
	enum snapshot_kind kind;
	uint64_t fleet;                   /* hash of its name */
	uint8_t sender;                   /* region id */
	struct incarnation incarnation;   /* ROWS */
	uint32_t shard;
	uint32_t next;                    /* number of the first row looked at */
	struct bytes after;               /* CONFLICTS: the last key that is known; empty: from the beginning */
};

struct snapshot_reply {
	enum snapshot_kind kind;
	struct str refused;               /* name of an error (err.h), then words: there is no answer */
	struct str words;
	struct position position;         /* where the region stood when it read what is answered */
	uint64_t chain_hash;              /* there */
	struct position confirmed;        /* as it knows */
	const struct log_mark *logs;      /* the ends of the logs of several writers there */
	uint32_t log_count;
	uint64_t hlc;                     /* its clock */
	uint64_t points;                  /* HEAD: that it has */
	const struct copy_record *records;   /* HEAD, CONFLICTS */
	uint32_t record_count;
	const struct audit_row *rows;     /* ROWS; all present */
	uint32_t row_count;
	uint32_t next;                    /* ROWS: where to go on */
	bool done;                        /* ROWS, CONFLICTS: there is no more */
	bool gone;                        /* ROWS: the collection was dropped */
};

/* What the answer was refused for, here: ERR_BAD_GATEWAY for an error of another version. */
MUST_USE enum err snapshot_reply_refusal(const struct snapshot_reply *r);

/* Appends to out. */
MUST_USE enum err snapshot_request_encode(const struct snapshot_request *r, struct buf *out);
MUST_USE enum err snapshot_reply_encode(const struct snapshot_reply *r, struct buf *out);
/* Checks everything; into the arena, with views of b. ERR_CORRUPT, ERR_VERSION, ERR_NO_MEMORY. */
MUST_USE enum err snapshot_request_decode(struct bytes b, struct snapshot_request *ret_request,
					  struct fault *reterr_fault);
MUST_USE enum err snapshot_reply_decode(struct bytes b, struct arena *a, struct snapshot_reply *ret_reply,
					struct fault *reterr_fault);
