/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports of audits as a table for people.
 * Thread: any.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "gateway/ctl_http.h"

/* The answer of GET /isthmus/audit, or the array that POST answers. *ret_equal: the newest report says so. ERR_BAD_REQUEST: it
 * is none. */
MUST_USE enum err ctl_audit_print(struct str json, FILE *out, bool *ret_equal, struct fault *reterr_fault);
/* Has the primary audit now, and prints the report. */
MUST_USE enum err ctl_audit_run(struct ctl_http *http, bool deep, bool json, FILE *out, bool *ret_equal,
				struct fault *reterr_fault);
