/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isthmusctl's drills: the primary's role is handed over, or its region taken out or cut off for a while, under writes of all
 * levels and reads; what clients of the region that is asked see is measured, and the report given to that region to keep.
 *   ctl_drill.c        the course of a drill
 *   ctl_drill_look.c   what is asked of regions
 *   ctl_drill_load.c   the writes and reads
 *   ctl_drill_print.c  what a person reads
 * A drill that is stopped leaves the collection DRILL_COLLECTION behind, and nothing else: what it ordered ends by itself.
 */
#pragma once

#include <stdio.h>

#include "gateway/ctl_http.h"
#include "gateway/drill.h"

#define CTL_DRILL_SECONDS_DEFAULT 12
#define CTL_DRILL_SECONDS_MIN 8
#define CTL_DRILL_SECONDS_MAX 120

struct ctl_drill {
	struct ctl_http *http;        /* of the region that is asked */
	enum drill_kind kind;
	const char *target;
	uint64_t seconds;             /* that the target takes no part; not of switchovers */
	bool dry_run;
	bool json;
	FILE *out;
};

/* *ret_good: it was passed; of a dry run: it would not be refused. Fails when it is refused, or cannot be begun. */
MUST_USE enum err ctl_drill_run(const struct ctl_drill *d, bool *ret_good, struct fault *reterr_fault);
/* The reports that the region keeps. */
MUST_USE enum err ctl_drill_history(struct ctl_http *http, uint64_t limit, bool json, FILE *out, struct fault *reterr_fault);
