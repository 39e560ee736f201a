/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a healthy region tells another one that makes itself a copy of its state (replicator/copy.h). Nothing is kept for the
 * other region between its questions: each answer is read in one committed state and says where that stands, so that the other
 * may go on after any interruption, here or there.
 * Thread: any, but for the committer's and loops.
 */
#pragma once

#include "replicator/peers.h"
#include "replicator/snapshot_message.h"

struct snapshot_source {
	struct store *store;
	struct catalog *catalog;
	struct committer *committer;
	struct peers *peers;
	/* What is confirmed, as this region knows. */
	struct position (*confirmed)(void *ctx);
	/* Is this region sound, so that others may copy it? Else words. NULL: it is. */
	bool (*ready)(void *ctx, struct buf *why);
	void *ctx;
};

/* The answer, appended to out, which may be that there is none (snapshot_reply.refused). `from`: the region that asks, by its
 * certificate. ERR_CORRUPT, ERR_VERSION, ERR_FORBIDDEN: it is no request, or not of this fleet or region. */
MUST_USE enum err snapshot_answer(const struct snapshot_source *s, uint8_t from, struct bytes request, struct buf *out,
				  struct fault *reterr_fault);
