/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of another region's state, made beside this region's own, in a store and a catalog that nobody else uses; when it is
 * complete it takes their place. So this region's own state stays true until then, and whatever interrupts the making leaves
 * either a copy that can be gone on with, or none.
 *
 *     head     where the source stands, its history and collections, at one position P: one transaction into the empty store
 *     rows     shard by shard, as they are at the source at the moment, each part at a position of its own; before it is stored,
 *              the copy takes the ops of the source's log up to there, and then settles the rows (commit_settle.c), which also
 *              proves that the part is of this very history. So every committed state of the copy is that of its position, but for
 *              points that did not come yet
 *     conflicts of collections that several regions write: their conflict log
 *     log      until all that the copy has is confirmed at the source
 *     adopted  identity, promises and orphans of this region, and its own ops that the copy lacks, are in it
 *
 * Thread: whoever makes it, one.
 */
#pragma once

#include "replicator/commit.h"
#include "replicator/peers.h"

struct copy;

enum copy_stage { COPY_WANTED, COPY_ROWS, COPY_CONFLICTS, COPY_LOG, COPY_ADOPTED };

/* What is noted in the copy's store with each step. */
struct copy_progress {
	enum copy_stage stage;
	uint8_t source;              /* region that the last step came from, or is to; 0: none yet */
	bool ordered;                /* by a person, who may have named the source */
	bool bound;                  /* no other source than that */
	uint64_t begun_ms;           /* wall clock */
	struct position position;    /* P; from ADOPTED on where the copy stood then */
	uint64_t points, points_expected;
	uint64_t bytes;              /* fetched */
	uint32_t adoptions;          /* that were tried */
	/* where the rows go on */
	struct incarnation incarnation;
	uint32_t shard, next;
	struct position needed;      /* the copy stood there when rows were stored last */
	/* where the conflicts go on */
	uint8_t after[64];
	uint32_t after_bytes;
};

/* What a store's own records say of its making. *ret_there: it is a copy, or is one no longer than it is proved. */
MUST_USE enum err copy_read_progress(struct store *s, struct copy_progress *ret_progress, bool *ret_there);
struct copy_options {
	struct clock *clock;
	struct store *store;         /* the copy's own, and its catalog's folder; NULL: in memory */
	const char *dir;
	struct peers *peers;         /* with a link that can be asked for snapshots */
	uint64_t log_bytes_max;
	/* For a copy that has not begun: why it is made. */
	bool ordered;
	uint8_t source;              /* 0: any */
};

/* Goes on with what is in the store, or begins. */
MUST_USE enum err copy_open(const struct copy_options *o, struct copy **ret_copy, struct fault *reterr_fault);
void copy_close(struct copy *c);
void copy_progress(const struct copy *c, struct copy_progress *ret_progress);

/*
 * One question to a region, and what follows from the answer. *ret_complete: the copy may be adopted. *ret_idle: there is
 * nothing to do for a moment. ERR_GAP, ERR_FORK, ERR_ALREADY_EXISTS: this copy leads to nothing, begin another one. ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_BAD_GATEWAY,
 * ERR_CORRUPT: this source does not give it now. Others are this region's own: disk, memory.
 */
MUST_USE enum err copy_step(struct copy *c, uint8_t source, bool *ret_complete, bool *ret_idle, struct fault *reterr_fault);

/* Makes it the successor of the state that `from`, which is stopped, was the committer of. Then nothing but copy_close(). */
MUST_USE enum err copy_adopt(struct copy *c, struct committer *from, struct catalog *from_catalog, struct fault *reterr_fault);
