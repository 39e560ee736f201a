/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orphans for people: listed, shown, applied or dropped, written to a file.
 * Thread: any.
 */
#pragma once

#include <stdio.h>

#include "gateway/ctl_http.h"

/* What the commands are about: ids as people say them, or all that nobody has decided about. */
struct ctl_orphans {
	struct ctl_http *http;
	char *const *ids;
	int id_count;
	bool all;
	bool json;
	FILE *out;
};

/* Those that nobody has decided about; with `all` the others, too. At most limit. */
MUST_USE enum err ctl_orphans_list(const struct ctl_orphans *o, unsigned limit, struct fault *reterr_fault);
/* The first id's points, beside what is there now. */
MUST_USE enum err ctl_orphans_show(const struct ctl_orphans *o, struct fault *reterr_fault);
/* *ret_all_done: none was refused. */
MUST_USE enum err ctl_orphans_decide(const struct ctl_orphans *o, bool apply, bool *ret_all_done,
				     struct fault *reterr_fault);
/* One JSON object a line. */
MUST_USE enum err ctl_orphans_export(const struct ctl_orphans *o, uint64_t *ret_count, struct fault *reterr_fault);

/* What the answers are shown as; ERR_BAD_REQUEST: it is none. */
MUST_USE enum err ctl_orphans_print_list(struct str json, FILE *out, struct fault *reterr_fault);
MUST_USE enum err ctl_orphans_print_one(struct str json, FILE *out, struct fault *reterr_fault);
MUST_USE enum err ctl_orphans_print_decided(struct str json, FILE *out, bool *ret_all_done, struct fault *reterr_fault);
