/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drills: when one is refused, what it found, whether it was passed, and its report as JSON. All of it is pure; ctl_drill.c carries
 * drills out, drill_history.c keeps the reports.
 * Thread: any.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

/* Made before the drill and dropped after it: while it is there, no other drill begins in the fleet. */
#define DRILL_COLLECTION "isthmus_drill"
#define DRILL_NAME_MAX 64
#define DRILL_REGIONS_MAX 32
#define DRILL_REASONS_MAX 16
#define DRILL_LAG_SECONDS_MAX 2.0
#define DRILL_SILENT_MS_MAX 2000
#define DRILL_REPORT_BYTES_MAX (64u << 10)
#define DRILL_NEVER UINT64_MAX

enum drill_kind { DRILL_SWITCHOVER, DRILL_FAILOVER, DRILL_PARTITION, DRILL_KINDS };
enum drill_level { DRILL_WEAK, DRILL_MEDIUM, DRILL_STRONG, DRILL_LEVELS };

const char *drill_kind_word(enum drill_kind k);
bool drill_kind_parse(struct str word, enum drill_kind *ret_kind);
const char *drill_level_word(enum drill_level l);

/* --- before --- */

struct drill_region {
	char name[DRILL_NAME_MAX + 1];
	bool data, witness;
	bool answers;                 /* it could be asked; of regions without data: it was heard */
	bool ready;
	double lag_seconds;           /* below 0: unknown */
};

/* The fleet, as the region that is asked sees it. */
struct drill_view {
	char asked[DRILL_NAME_MAX + 1];
	char primary[DRILL_NAME_MAX + 1];    /* "": nobody writes */
	uint64_t epoch;
	bool handing_over;
	bool elects;                  /* failover.mode is auto */
	bool under_way;               /* DRILL_COLLECTION is there */
	char audit[16];               /* verdict of the newest; "": there was none */
	struct drill_region regions[DRILL_REGIONS_MAX];
	uint32_t region_count;
};

/* Why the drill would break the fleet, or could prove nothing. */
struct drill_reasons {
	char text[DRILL_REASONS_MAX][256];
	uint32_t count;
};
void drill_reasons_add(struct drill_reasons *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
void drill_check(const struct drill_view *v, enum drill_kind kind, const char *target, struct drill_reasons *ret_reasons);

/* --- after --- */

/* Writes of one level, or reads. Times count from the order; DRILL_NEVER: it did not come to that. */
struct drill_counts {
	uint64_t acknowledged;
	uint64_t missed;              /* written, and the level was not reached in time */
	uint64_t refused;
	uint64_t unknown;             /* nobody knows whether it was done */
	uint64_t missing;             /* acknowledged, and afterwards not there in some region */
	uint64_t gap_ms;              /* the longest time without one that was acknowledged */
	uint64_t first_ms;            /* the end of that */
};

struct drill_report {
	enum drill_kind kind;
	uint64_t wall_ms;
	char target[DRILL_NAME_MAX + 1];
	char asked[DRILL_NAME_MAX + 1];
	char from[DRILL_NAME_MAX + 1];
	char to[DRILL_NAME_MAX + 1];         /* primary afterwards; "": nobody */
	uint64_t epoch_before, epoch_after;
	uint64_t silence_ms;          /* ordered; 0: none */
	uint64_t detected_ms;         /* until the primary counted as such no more */
	uint64_t elected_ms;          /* until another one did */
	uint64_t pause_ms;            /* of a switchover: the primary admitted no writes */
	uint64_t level_ms;            /* after the last write, until all data regions stood at one position */
	struct drill_counts writes[DRILL_LEVELS];
	struct drill_counts reads;
	bool has_inside;              /* a writer of weak writes within the region that was cut off */
	struct drill_counts inside;
	char audit[16];               /* verdict at the end; "": none was made */
	struct drill_reasons failures;       /* none: passed */
};

/* Adds to r->failures what must not have happened. Failures of carrying it out are there already. */
void drill_judge(struct drill_report *r);
MUST_USE enum err drill_report_write(const struct drill_report *r, struct buf *out);

/* What the history and the metrics need of a report. */
struct drill_summary {
	enum drill_kind kind;
	uint64_t wall_ms;
	bool passed;
	bool interrupted;             /* false: no write came after it */
	double interruption_seconds;
};
/* ERR_BAD_REQUEST: it is no report. */
MUST_USE enum err drill_summary_read(struct str json, struct arena *a, struct drill_summary *ret_summary,
				     struct fault *reterr_fault);
