/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings the ops of the other regions into this one: from their streams, and, for what the streams lost or never had, from
 * a peer's log. Ops are applied by position, never past a hole; a message is acknowledged after its commit.
 * Whoever meets a newer epoch whose history does not have all that is here (a primary that returns after another was
 * elected, a region that slept) asks for that history, takes its own ops beyond it back (they are kept as orphans), and follows. Only
 * a history of a newer epoch, as new as what is promised, makes anybody do so. What lies in the newest history shown is
 * applied whoever brings it, and what lies outside it, as streams of former primaries bring for days, is passed over.
 * A log that differs from ours at the same position (a fork) stops its stream here: not ready, alarm, nothing skipped.
 * Threads: each consumer's own (stream.h), and one that watches for what is missing.
 */
#pragma once

#include "replicator/commit.h"
#include "replicator/log_waits.h"
#include "replicator/peers.h"
#include "replicator/stream.h"

struct applier;

struct applier_options {
	struct clock *clock;
	struct committer *committer;
	struct peers *peers;
	struct stream *stream;     /* NULL: peers' logs only */
	struct silence *silence;   /* NULL: there are no drills */
};

/* The committer's thread runs. On failure nothing is left to free. */
MUST_USE enum err applier_start(const struct applier_options *o, struct applier **ret_applier, struct fault *reterr_fault);
/* Ends the threads; before the stream and the committer end. What it tells stays. */
void applier_stop(struct applier *a);
void applier_free(struct applier *a);

/*
 * For a region that is to begin an epoch: its history becomes that of `region` up to exactly `upto`, which must not lie behind where
 * it stands. What it has beyond the last position that both have is taken back first. Blocks, for no longer than one exchange
 * when nothing moves; can be done again after any failure; ends when the applier is stopped. ERR_FORK: `upto` lies behind
 * this region, or the logs differ; ERR_GAP: that region's log no longer reaches so far back; ERR_UNAVAILABLE: it cannot be
 * asked, does not have `upto` (any more), or this region has promised another epoch meanwhile; and as committer_rewind().
 * Any thread but the committer's and those of the applier.
 */
MUST_USE enum err applier_copy(struct applier *a, uint8_t region, struct position upto, struct fault *reterr_fault);

struct applier_state {
	/* By a fork, by an op that cannot be applied here (disk, bug, version), or because no log, or no region at all,
	 * has what is missing (ERR_GAP). Over once that same source goes on, or, for ERR_GAP, once the ops came. The words are in trouble. */
	bool stopped;
	struct fault trouble;
	/* It holds ops outside the history of the others, which it takes back, or cannot take back: stopped, too. Or it has taken
	 * them back and is on its way into the others' epoch: not stopped, so that it may stand for primary should nobody of
	 * that epoch be left. The words are in trouble. */
	bool aside;
	uint64_t refills;          /* batches fetched from peers' logs */
	uint64_t messages;         /* taken from streams */
};
void applier_state(struct applier *a, struct applier_state *ret_state);
/* Logs of SCOPE_MULTI that do not go on, as far as a person was told, the longest first. */
uint32_t applier_waits(struct applier *a, struct log_waits_told out[LOG_WAITS_MAX]);
