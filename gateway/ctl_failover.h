/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isthmusctl's commands for fleets whose regions elect their primary: failover, and the voter list.
 */
#pragma once

#include <stdio.h>

#include "gateway/ctl_http.h"

struct ctl_failover_options {
	struct ctl_http *http;
	const char *to;       /* NULL: the best placed */
	const char *lost;     /* "R,..", to be given up for good; NULL: none */
	bool accept_loss;
	bool yes;             /* the operator is not asked */
	bool json;
	FILE *in;             /* where the operator answers */
	FILE *out;
	FILE *words;          /* where it is told what it risks, and asked */
};

/* Prints who became the primary, and what may be lost. ERR_BAD_INPUT: the operator did not mean it. */
MUST_USE enum err ctl_failover(const struct ctl_failover_options *o, struct fault *reterr_fault);
/* Asks for a change, "add", "remove" or "expel", and prints the number of the list that is in effect. */
MUST_USE enum err ctl_voters_change(struct ctl_http *http, const char *change, const char *region, bool json, FILE *out,
				    struct fault *reterr_fault);
/* The answer of GET /isthmus/voters as a table. ERR_BAD_REQUEST: it is none. */
MUST_USE enum err ctl_voters_print(struct str json, FILE *out, struct fault *reterr_fault);
/* The answer of POST /isthmus/failover in words. */
MUST_USE enum err ctl_failover_print(struct str json, FILE *out, struct fault *reterr_fault);
