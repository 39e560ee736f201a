/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer of /isthmus/status as a page for people.
 * Thread: any.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

/* *ret_ready: whether the region says that it is. ERR_BAD_REQUEST: it is no such answer. */
MUST_USE enum err ctl_status_print(struct str json, FILE *out, bool *ret_ready,
				   struct fault *reterr_fault);
