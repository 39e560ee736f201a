/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reports of drills that were told this region: the file drills.jsonl in storage.dir, a report a line, the oldest first and
 * left out beyond DRILL_HISTORY_MAX. The file is replaced as a whole. The last report of each kind is in the metrics.
 * Thread: any; one lock.
 */
#pragma once

#include "gateway/drill.h"

#define DRILL_HISTORY_MAX 100
#define DRILL_HISTORY_BYTES_MAX (DRILL_HISTORY_MAX * (DRILL_REPORT_BYTES_MAX + 1))

struct drill_history;

/* dir NULL: in memory only. Lines that are no reports are passed over, with a word in the log. */
MUST_USE enum err drill_history_open(const char *dir, struct drill_history **ret_history, struct fault *reterr_fault);
void drill_history_close(struct drill_history *h);
/* Durable on return. ERR_BAD_REQUEST: it is no report; ERR_TOO_LARGE. */
MUST_USE enum err drill_history_add(struct drill_history *h, struct str report, struct fault *reterr_fault);
/* The newest first, as a JSON array. */
MUST_USE enum err drill_history_list(struct drill_history *h, uint32_t limit, struct buf *out);
