/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When, from whom, and how fast this region copies another one's state (copy.h), and the proof of what it copied.
 *
 *     idle      -> copying    what this region lacks is in no log any more, or a person ordered it, or a copy was begun before
 *     copying   -> complete   whoever owns this object stops the region, calls bootstrap_adopt(), and starts it from the copy
 *     proving   -> idle       the region's trees are equal to another one's at a mark beyond the copy; until then it is not ready
 *
 * The source is the nearest data region that is heard and ready; it says itself when it is not. A copy that leads to nothing,
 * because the source's log left it behind or its history went another way, is discarded and another one begun.
 * Threads: its own; functions: any, but for the committer's and loops where they say that they wait.
 */
#pragma once

#include "replicator/audit.h"
#include "replicator/copy.h"

struct bootstrap;

#define BOOTSTRAP_ADOPTIONS_MAX 3

struct bootstrap_options {
	struct clock *clock;
	struct store *store;             /* of the region as it is */
	struct catalog *catalog;
	struct committer *committer;
	struct peers *peers;
	struct audit *audit;
	uint64_t log_bytes_max;
	uint64_t bytes_per_s;            /* 0: no bound */
	/* The copy's store and the folder of its catalog, borrowed until close(). ERR_NOT_FOUND: there is none, and none is to be made. */
	enum err (*open)(void *ctx, bool make, struct store **ret_store, const char **ret_dir, struct fault *reterr_fault);
	/* It is closed; discard: nothing of it stays. */
	void (*close)(void *ctx, struct store *s, bool discard);
	/* The copy is complete. Any thread; must not block. */
	void (*complete)(void *ctx);
	/* What this region has is to be proved, or was. Likewise. */
	void (*proving)(void *ctx, bool on);
	/* Does this region lack what is in no log any more? Then why. */
	bool (*lacks)(void *ctx, struct fault *ret_why);
	/* How far a region is; 0: nobody knows. NULL: of none. */
	uint64_t (*rtt_us)(void *ctx, uint8_t region);
	void *ctx;
};

MUST_USE enum err bootstrap_new(const struct bootstrap_options *o, struct bootstrap **ret_bootstrap,
				struct fault *reterr_fault);
MUST_USE enum err bootstrap_start(struct bootstrap *b);
/* Ends the thread; before the peers' link and the committer end. */
void bootstrap_stop(struct bootstrap *b);
/* After bootstrap_stop() and when the committer is stopped: the copy takes the region's place. ERR_NOT_FOUND: none is complete.
 * Whatever the outcome, a copy is closed; after a failure it is gone on with at the next start. */
MUST_USE enum err bootstrap_adopt(struct bootstrap *b, struct fault *reterr_fault);
void bootstrap_free(struct bootstrap *b);

/* A person wants it; source 0: any. ERR_NOT_PRIMARY is not for here: on the primary it is ERR_FORBIDDEN. ERR_UNAVAILABLE: nobody, or not
 * that region, can be copied; ERR_ALREADY_EXISTS: it goes on already. */
MUST_USE enum err bootstrap_order(struct bootstrap *b, uint8_t source, struct fault *reterr_fault);

enum bootstrap_stage { BOOTSTRAP_IDLE, BOOTSTRAP_COPYING, BOOTSTRAP_COMPLETE, BOOTSTRAP_PROVING };
const char *bootstrap_stage_word(enum bootstrap_stage s);

struct bootstrap_state {
	enum bootstrap_stage stage;
	bool ordered;
	uint8_t source;               /* 0: none yet */
	unsigned percent;
	uint64_t points, points_expected, bytes;
	double seconds;               /* since it was begun; 0 when idle */
	struct fault trouble;         /* why it does not go on at the moment; err ERR_NONE: it does */
};
void bootstrap_state(struct bootstrap *b, struct bootstrap_state *ret_state);
/* Is this region as good as its state? Else words. One that is copied anew by order is, until the copy takes its place. */
bool bootstrap_ready(struct bootstrap *b, struct buf *why);
/* Is what this region has not proved yet? Then it is no member: what it applied counts for nobody. */
bool bootstrap_is_proving(struct bootstrap *b);
