/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators and their tools ask: /metrics, /telemetry, /healthz, /livez, /readyz, /isthmus/status. The handlers are
 * rows of method.def; this is what they need beside the api.
 * Thread: any.
 */
#pragma once

#include "gateway/api.h"

struct admin;
struct store;

struct admin_options {
	struct clock *clock;
	const char *version;  /* of Isthmus */
	const char *data_dir; /* NULL: the data are in memory */
	struct store *store; /* of store_lmdb_open, and outlives it; NULL: the data are in memory */
};

MUST_USE enum err admin_new(const struct admin_options *o, struct admin **ret_admin);
void admin_free(struct admin *a);
