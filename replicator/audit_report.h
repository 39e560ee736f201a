/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an audit found, as JSON, and the folder where the reports are kept: NUMBER.json, each with the hash of the one before
 * it, the oldest removed beyond AUDIT_REPORTS_MAX. A report that was changed or taken out breaks the chain; whoever can write
 * the folder can write all of it anew, for nothing is signed.
 * Thread: audit_reports_*: any; one lock.
 */
#pragma once

#include "replicator/audit_vote.h"

#define AUDIT_REPORTS_MAX 1000u
#define AUDIT_REPORT_BYTES_MAX (256u << 10)
/* Points that a report names; all are counted. */
#define AUDIT_POINTS_NAMED_MAX 100u
#define AUDIT_DIGEST_BYTES 32
#define AUDIT_NAME_TEXT 64   /* of a region, with its end */

/* Of a region at the mark. */
enum audit_standing {
	AUDIT_EQUAL,
	AUDIT_DIFFERENT,
	AUDIT_LATE,          /* it did not answer for the mark in time */
};

struct audit_region {
	char name[AUDIT_NAME_TEXT];
	uint8_t id;
	enum audit_standing standing;
	struct position position;    /* where it stood when it answered */
	uint64_t rows;               /* at the mark */
};

struct audit_point {
	char collection[COLLECTION_NAME_MAX + 1];
	struct point_id id;
	uint32_t region;             /* index */
	enum audit_class class;
	bool repaired;
};

struct audit_report {
	uint64_t number;             /* set when it is kept */
	uint64_t wall_ms;            /* of its beginning */
	uint64_t duration_ms;
	bool deep;
	bool failed;                 /* it came to no result; the words are in trouble */
	bool breaker;                /* too much differs: nothing was repaired */
	uint64_t mark;
	struct position position;
	struct audit_region regions[AUDIT_REGIONS_MAX];   /* the first is the one that made the report */
	uint32_t region_count;
	uint32_t shards;
	uint64_t differences[AUDIT_CLASS_COUNT];   /* points; of AUDIT_TREE leaves */
	uint64_t unsure;             /* rows that were being written all the time, and leaves that nobody counted: they could not be compared */
	uint64_t repaired;           /* points and leaves */
	uint64_t unrepaired;
	uint64_t asked_bytes;        /* of messages between regions */
	uint64_t read_rows, read_bytes;            /* deep */
	struct audit_point points[AUDIT_POINTS_NAMED_MAX];
	uint32_t point_count;
	char trouble[256];
};

/* "equal", "different", "late" (something could not be compared) or "failed". */
const char *audit_report_verdict(const struct audit_report *r);
/* Every data region was there and all were equal. */
bool audit_report_clean(const struct audit_report *r);
/* previous: hash of the report before it, in hexadecimal, "" for none. */
MUST_USE enum err audit_report_write(const struct audit_report *r, const char *previous, struct buf *out);

typedef void (*audit_hash_fn)(struct bytes b, uint8_t out[AUDIT_DIGEST_BYTES]);

struct audit_reports;
/* dir NULL: only the last is kept, in memory. Makes the folder. */
MUST_USE enum err audit_reports_open(const char *dir, audit_hash_fn hash, struct audit_reports **ret_reports,
				     struct fault *reterr_fault);
void audit_reports_close(struct audit_reports *a);
/* Gives it a number. Durable on return. */
MUST_USE enum err audit_reports_add(struct audit_reports *a, struct audit_report *r, struct fault *reterr_fault);
/* The newest first, as a JSON array; *ret_broken: number of the newest report that does not fit the one before it, 0 for
 * none of those listed. */
MUST_USE enum err audit_reports_list(struct audit_reports *a, uint32_t limit, struct buf *out, uint64_t *ret_broken);
