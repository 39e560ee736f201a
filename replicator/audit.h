/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audits: the proof, again and again, that all regions hold the same, and the cure where they do not.
 *
 * The primary writes a mark into the log; every data region copies its Merkle trees while it applies it. Then the primary asks
 * each for its roots, which must be equal exactly. Where they differ it descends to the rows, lets the regions vote, and has
 * the wrong ones settled (protocol: 32) by rows of a region that is right. Collections that every region writes are compared
 * with a cutoff instead (protocol: 37, audit_multi.c). A deep audit has every region read and hash all
 * that it stored besides. Alone, the tree is compared with the rows, and values with their hashes.
 * Threads: its own, one in each region: it audits on the primary and serves deep audits elsewhere. audit_answer, _ask and
 * _list: any, but for the committer's and loops.
 */
#pragma once

#include "replicator/audit_report.h"
#include "replicator/peers.h"

#define AUDIT_INTERVAL_MS_DEFAULT 30000
/* A region that has not reached the mark by then is late, not different. */
#define AUDIT_LATE_MS 60000
/* Nor is one waited for any longer that answers nothing for so long. */
#define AUDIT_SILENT_MS 10000
/* While nothing changes, a clean audit counts for so long. */
#define AUDIT_CLEAN_MS 600000
/* After repairs the next audit follows so soon. */
#define AUDIT_SOON_MS 5000
/* Beyond as many points and one in a hundred, nothing is repaired: that is no damage, but another state. */
#define AUDIT_BREAKER_POINTS 100u
/* What one audit repairs; the rest is for the next. */
#define AUDIT_SETTLE_MAX 4096u

struct audit;

struct audit_options {
	struct clock *clock;
	struct store *store;
	struct catalog *catalog;
	struct committer *committer;
	struct peers *peers;            /* NULL: alone */
	const char *region;             /* name of this one, when alone */
	uint64_t interval_ms;           /* 0: only what is asked for */
	uint64_t late_ms;               /* 0: AUDIT_LATE_MS */
	uint64_t deep_bytes_per_s;      /* of a deep audit; 0: no bound */
	const char *dir;                /* of the reports; NULL: only the last is kept */
	audit_hash_fn hash;             /* chains them */
	/* How time passes while a region is waited for; NULL: it passes. */
	void (*wait)(void *ctx, uint64_t ms);
	void *ctx;
};

/* From here on this region keeps its trees at marks. */
MUST_USE enum err audit_new(const struct audit_options *o, struct audit **ret_audit, struct fault *reterr_fault);
/* The thread. */
MUST_USE enum err audit_start(struct audit *a);
/* Ends it, and calls that wait; before the committer and the peers' link end. */
void audit_stop(struct audit *a);
void audit_free(struct audit *a);

/* Another region's request, from the region `from` by its certificate: an answer is appended to out, which may be that there is
 * none (audit_reply.refused). ERR_CORRUPT, ERR_VERSION, ERR_FORBIDDEN: it is no request, or not of this fleet or region. */
MUST_USE enum err audit_answer(struct audit *a, uint8_t from, struct bytes request, struct buf *out,
			       struct fault *reterr_fault);

/* One audit on this thread; not while audit_start's runs. Fills the report also when it fails (report.failed), and keeps it.
 * ERR_NOT_PRIMARY: this region writes no marks, no report. */
MUST_USE enum err audit_run(struct audit *a, bool deep, struct audit_report *ret_report, struct fault *reterr_fault);

/* Has the thread audit now and waits. *out: a JSON array with its report. ERR_TIMEOUT: it goes on; ERR_NOT_PRIMARY. */
MUST_USE enum err audit_ask(struct audit *a, bool deep, uint64_t timeout_ms, struct buf *out,
			    struct fault *reterr_fault);
/* {"region", "running", "interval_ms", "broken": number of a report that does not fit the one before it, or 0, "reports": [newest first]} */
MUST_USE enum err audit_list(struct audit *a, uint32_t limit, struct buf *out);

/* --- for a region that is to be proved (bootstrap.h) --- */

/* Compares the trees of this region at the newest mark beyond a position with those of region `with` there: ERR_NONE, they are equal.
 * Collections that every region writes have no such position and are left to the audits, which compare them otherwise. ERR_NOT_FOUND:
 * no such mark has come here. ERR_UNAVAILABLE: the other one does not show its trees, yet or any more. ERR_FORK: they differ.
 * *ret_mark: which mark; 0: none. Not for loops and the committer. */
MUST_USE enum err audit_prove(struct audit *a, uint8_t with, struct position beyond, uint64_t *ret_mark,
			      struct fault *reterr_fault);
/* Asks region `writer`, or this one, which is the primary, to audit soon. */
MUST_USE enum err audit_want(struct audit *a, uint8_t writer, struct fault *reterr_fault);
