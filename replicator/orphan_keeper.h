/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings what this region took back to the primary, until that has listed it, and, on the primary, decides about what is
 * listed where the configuration says how.
 * Thread: its own; it waits for the network and for commits.
 */
#pragma once

#include "replicator/commit.h"
#include "replicator/peers.h"

/* What the primary does about orphans by itself. The order of config.def. */
enum orphan_policy { ORPHANS_KEEP, ORPHANS_MERGE, ORPHANS_DROP };

#define ORPHAN_KEEPER_MS 1000
/* Those that could not be applied are tried again so long after. */
#define ORPHAN_AGAIN_MS 60000
/* What was offered and does not show up is offered again. */
#define ORPHAN_OFFER_AGAIN_MS 10000

struct orphan_keeper;

struct orphan_keeper_options {
	struct clock *clock;
	struct committer *committer;
	struct peers *peers;
	enum orphan_policy policy;
	/* Who writes now: this region's own id, another's, or 0 when nobody is known. Must not block. */
	uint8_t (*writer)(void *ctx);
	void *ctx;
};

MUST_USE enum err orphan_keeper_new(const struct orphan_keeper_options *o, struct orphan_keeper **ret_keeper);
MUST_USE enum err orphan_keeper_start(struct orphan_keeper *k);
/* Ends the thread, after what it waits for. */
void orphan_keeper_stop(struct orphan_keeper *k);
void orphan_keeper_free(struct orphan_keeper *k);

/* One look by hand, for tests; not while the thread runs. True: something was done. */
bool orphan_keeper_turn(struct orphan_keeper *k);
