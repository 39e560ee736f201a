/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings the ops of the other regions into this one: from their streams, and, for what the streams lost or never had, from
 * a peer's log. Ops are applied by position, never past a hole; a message is acknowledged after its commit.
 * A log that differs from ours at the same position (a fork) stops here: not ready, alarm, nothing skipped.
 * Threads: each consumer's own (stream.h), and one that watches for what is missing.
 */
#pragma once

#include "replicator/commit.h"
#include "replicator/peers.h"
#include "replicator/stream.h"

struct applier;

struct applier_options {
	struct clock *clock;
	struct committer *committer;
	struct peers *peers;
	struct stream *stream;     /* NULL: peers' logs only */
};

MUST_USE enum err applier_start(const struct applier_options *o, struct applier **ret_applier, struct fault *reterr_fault);
/* Also frees it. */
void applier_stop(struct applier *a);

struct applier_state {
	bool stopped;              /* by a fork or a failing apply; the words are in trouble */
	struct fault trouble;
	uint64_t refills;          /* batches fetched from peers' logs */
	uint64_t messages;         /* taken from streams */
};
void applier_state(struct applier *a, struct applier_state *ret_state);

/* One turn of the watcher by hand, for tests: fetches what is missing; true when something was applied. */
bool applier_catch_up(struct applier *a);
