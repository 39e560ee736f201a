/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isthmusctl's commands for fleets: streams, the table of regions, handing the primary's role over.
 */
#pragma once

#include <stdio.h>

#include "gateway/ctl_http.h"

/* How long the region's own nats-server is waited for. */
#define CTL_FLEET_NATS_MS 10000

/* Makes, or proves, the stream of the region that the file configures. ERR_CONFIG, ERR_UNAVAILABLE with words. */
MUST_USE enum err ctl_fleet_provision(const char *file, FILE *out, struct fault *reterr_fault);
/* The answer of GET /isthmus/regions as a table. ERR_BAD_REQUEST: it is none. */
MUST_USE enum err ctl_fleet_print_regions(struct str json, FILE *out, struct fault *reterr_fault);
/* Asks for it, and prints what came of it. */
MUST_USE enum err ctl_fleet_switchover(struct ctl_http *http, const char *to, bool json, FILE *out,
				       struct fault *reterr_fault);

#define CTL_FLEET_NAME_MAX 64
/* Has the region that is asked copy another one's state: of `from`, or (NULL) the nearest. Without `yes` the person at stdin has to
 * confirm by the region's name. */
MUST_USE enum err ctl_fleet_rebuild(struct ctl_http *http, const char *from, bool yes, FILE *out,
				    struct fault *reterr_fault);
