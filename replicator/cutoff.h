/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cutoff in the logs of several writers: of each region, a stamp up to which its ops count. As a region's ops come in the
 * order of their stamps, whoever has its op of that stamp has all before it.
 *
 * A row is a join of maxima (merge.c). When none of its stamps lies beyond a cutoff that was reached, it is what the ops up
 * to the cutoff make of it, whatever else was applied: an op beyond it that had any effect would show. So rows of
 * regions that stand at different ends of their logs can be compared (protocol: 37).
 * Pure; any thread.
 */
#pragma once

#include "replicator/change.h"

struct cutoff {
	struct op_seen seen[OP_SEEN_MAX];   /* by region; of one not named nothing counts */
	uint32_t count;
};

/* Where a region stands in a log of SCOPE_MULTI. */
struct log_mark {
	uint64_t log;
	uint64_t seq;
	uint64_t chain_hash;   /* the running hash there */
	uint64_t hlc;          /* of the op there */
	bool floor;            /* its region's older ones are forgotten here; not told to others */
};
/* All that is in these logs. */
MUST_USE enum err cutoff_of_logs(const struct log_mark *logs, uint32_t count, struct cutoff *ret_cutoff);

/* What was seen of a region goes at least so far. ERR_TOO_LARGE: of more than OP_SEEN_MAX regions. */
MUST_USE enum err cutoff_raise(struct cutoff *c, struct op_seen seen);
/* The greater of both, region by region. */
MUST_USE enum err cutoff_join(struct cutoff *c, const struct cutoff *other);
/* Is all that counts by `c` here? The first region of which something is missing, else NULL. */
const struct op_seen *cutoff_missing(const struct cutoff *here, const struct cutoff *c);
bool cutoff_equal(const struct cutoff *a, const struct cutoff *b);
/* A stamp of nobody's counts. */
bool cutoff_has(const struct cutoff *c, struct stamp s);
/* Do all stamps of the row count? */
bool cutoff_has_row(const struct cutoff *c, const struct row *row);
