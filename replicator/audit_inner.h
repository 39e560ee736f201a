/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the audit share; nobody else includes this.
 *   audit.c          life: the thread, what is asked for, the reports
 *   audit_answer.c   what a region answers
 *   audit_deep.c     reading and hashing all that is stored
 *   audit_round.c    one audit on the primary: mark, roots, descent
 *   audit_multi.c    what is peculiar to collections that every region writes
 *   audit_cure.c     rows, votes, settling
 *   audit_prove.c    what a region asks that is to be proved
 */
#pragma once

#include <pthread.h>

#include "replicator/audit.h"

#define AUDIT_MARKS_KEPT 2
#define AUDIT_ARENA_BYTES_MAX ((size_t)1 << 30)

enum deep_status { DEEP_IDLE, DEEP_WANTED, DEEP_RUNNING, DEEP_DONE, DEEP_FAILED };

/* The newest deep audit of this region. */
struct deep_job {
	enum deep_status status;
	uint64_t mark;
	bool values;                /* also values against hashes */
	struct audit_finding findings[AUDIT_FINDINGS_MAX];
	uint32_t finding_count;
	uint64_t found;
	uint64_t read_rows, read_bytes;
};

struct audit {
	struct audit_options o;
	char region[AUDIT_NAME_TEXT];
	struct audit_reports *reports;
	pthread_t thread;
	bool started;
	/* the auditing thread's */
	uint64_t mark;              /* the last number */
	struct position marked_at;  /* of the last audit's mark */
	struct cutoff seen_at;      /* what was applied of several writers' logs there */
	bool clean;                 /* it was */
	uint64_t ended_ns;          /* when it ended */
	uint64_t due_ns;            /* the next */

	pthread_mutex_t lock;       /* guards the rest */
	pthread_cond_t wake;
	bool stop;
	bool running;
	bool asked, asked_deep;
	uint64_t turn;              /* audits that were ended */
	bool turned_away;           /* the last one asked for was not this region's to do */
	struct marked *marked[AUDIT_MARKS_KEPT];   /* newest first */
	struct marked *copied;      /* the last copy between marks */
	struct deep_job deep;
};

/* --- audit.c --- */
uint64_t audit_fleet(const struct audit *a);
uint8_t audit_self(const struct audit *a);
/* Lets time pass; false: everything is to end. */
bool audit_wait(struct audit *a, uint64_t ms);
bool audit_stopping(struct audit *a);
/* Takes over the reference. */
void audit_keep_copy(struct audit *a, struct marked *m);
/* A reference; NULL: nothing is kept of that mark. */
struct marked *audit_marked(struct audit *a, uint64_t mark);

/* --- audit_deep.c --- */
/* Does what the job wants, on this thread. */
void audit_deep_run(struct audit *a);

/* Has the thread audit now. ERR_NOT_PRIMARY: that is not this region's to do. */
MUST_USE enum err audit_wake(struct audit *a, struct fault *reterr_fault);

/* --- audit_answer.c --- */
MUST_USE enum err audit_answer_request(struct audit *a, const struct audit_request *q, struct arena *arena,
				       struct audit_reply *ret_reply, struct fault *reterr_fault);

/* --- audit_round.c --- */
struct audit_member {
	uint8_t id;
	bool self;
	bool reached;               /* it answered for the mark */
	bool behind;                /* some of what others applied of several writers' logs has not come to it */
	struct audit_reply roots;
	struct audit_reply deep;    /* findings; empty unless deep */
};

/* A leaf under which something may be wrong. */
struct audit_suspect {
	struct incarnation incarnation;
	uint32_t shard;
	uint32_t leaf;
	uint32_t trees;             /* bit i: member i's tree may be */
	bool multi;                 /* of a collection that every region writes */
};

struct audit_round {
	struct audit *a;
	struct audit_report *report;
	struct fault *fault;
	bool deep;
	struct arena arena;         /* all of the audit */
	uint64_t mark;
	struct position position;
	struct marked *marked;      /* ours */
	struct audit_member members[AUDIT_REGIONS_MAX];   /* ourselves first */
	uint32_t member_count;
	uint32_t majority;
	struct audit_suspect *suspects;   /* by incarnation, shard, leaf */
	uint32_t suspect_count, suspect_cap;
};

/* One answer, decoded into the arena. */
MUST_USE enum err audit_round_ask(struct audit_round *r, uint32_t member, struct audit_request *q, struct arena *arena,
				  struct audit_reply *ret_reply, struct fault *reterr_fault);
MUST_USE enum err audit_round_run(struct audit_round *r);

/* Lets another suspect be looked into. */
MUST_USE enum err audit_round_suspect(struct audit_round *r, const struct audit_suspect *s);
/* What a member says of a shard; NULL: it has none. */
const struct audit_root *audit_root_find(const struct audit_reply *reply, const struct audit_root *shard);
/* The leaves of a shard that differ between these members, as suspects. */
MUST_USE enum err audit_round_descend(struct audit_round *r, const struct audit_root *shard, const uint32_t *members,
				      uint32_t count);
int audit_suspect_compare(const void *a, const void *b);
/* May it answer yet? */
bool audit_is_passing(enum err err);
/* How long a region that is behind is waited for. */
uint64_t audit_late_ms(const struct audit *a);

/* --- audit_multi.c --- */
bool audit_is_multi(const struct audit_round *r, struct incarnation incarnation, uint32_t shard);
/* Leaves of several writers' collections that differ, as some always do while there are writes: those that do at several looks
 * stay suspects. */
MUST_USE enum err audit_multi_narrow(struct audit_round *r);
/* What some region has applied, and all members that are not behind on return. */
MUST_USE enum err audit_multi_cutoff(struct audit_round *r, struct cutoff *ret_cutoff);

/* --- audit_cure.c --- */
/* Lists the rows of the suspects, votes, settles. */
MUST_USE enum err audit_cure(struct audit_round *r);
