/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conflict log as a table for people.
 * Thread: any.
 */
#pragma once

#include <stdio.h>

#include "base/buf.h"

/* The answer of GET /isthmus/conflicts. ERR_BAD_REQUEST: it is none. */
MUST_USE enum err ctl_conflicts_print(struct str json, FILE *out, struct fault *reterr_fault);
