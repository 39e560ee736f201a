/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `isthmusctl route explain` and `route simulate`: what routing decides for addresses, asked of a daemon, or of a
 * configuration whose regions are all well.
 *
 * The simulation's file   ADDRESS [REGION]    and the region that is expected to answer; "none": nobody
 *                         # comment           and empty lines
 * Thread: one.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "gateway/ctl_http.h"

#define CTL_ROUTE_LINE_MAX 256
#define CTL_ROUTE_LINES_MAX 10000000
/* Surprises that are told one by one. */
#define CTL_ROUTE_SURPRISES_MAX 20

struct ctl_route_options {
	struct ctl_http *http;      /* NULL: of the configuration */
	const char *config;
	const char *collection;     /* NULL: none in particular */
	bool json;
	FILE *out;
};

/* ERR_BAD_INPUT: ip is no address. */
MUST_USE enum err ctl_route_explain(const struct ctl_route_options *o, const char *ip, struct fault *reterr_fault);
/* *ret_expected: whether every line that expects a region got it. ERR_BAD_INPUT with file and line. */
MUST_USE enum err ctl_route_simulate(const struct ctl_route_options *o, const char *file, bool *ret_expected,
				     struct fault *reterr_fault);
