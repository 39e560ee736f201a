/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is right: what several regions have in the same place is compared, and what a majority has is right.
 * Pure; any thread.
 */
#pragma once

#include "replicator/audit_message.h"

#define AUDIT_REGIONS_MAX 32u

/* The words are the metric's and the report's. */
enum audit_class {
	AUDIT_MISSING,    /* the right regions have the row, this one has not */
	AUDIT_EXTRA,      /* this one has a row that the right ones have not */
	AUDIT_STALE,      /* an older version */
	AUDIT_CORRUPT,    /* the same version and other bytes, values that do not fit their hash, a version from nowhere */
	AUDIT_TREE,       /* the tree is not the sum of the rows */
	AUDIT_CLASS_COUNT
};
const char *audit_class_word(enum audit_class c);

/* What one region listed of the rows under some leaves. */
struct audit_list {
	uint64_t number;                    /* of the op where it stood then */
	const struct audit_entry *entries;  /* by id */
	uint32_t count;
};

#define AUDIT_NOBODY UINT32_MAX

struct audit_difference {
	struct point_id id;
	uint32_t region;                    /* index of the list that is wrong */
	uint32_t right;                     /* of one that is right; AUDIT_NOBODY: no majority */
	bool right_present;
	struct hash128 right_digest;
	enum audit_class class;
};

struct audit_vote {
	struct audit_difference *differences;   /* in the arena, by id */
	uint32_t count;
	uint32_t unsure;        /* rows that differ, but that an op changed which not every region had then: look again */
};

/*
 * The lists were made at different positions. A row that no op after the least of them changed must be the same in all; of
 * others nothing can be said. majority: how many have to agree. ERR_NO_MEMORY.
 */
MUST_USE enum err audit_vote(const struct audit_list *lists, uint32_t count, uint32_t majority, struct arena *a,
			     struct audit_vote *ret_vote);

/* Index of a leaf that at least majority of them have; AUDIT_NOBODY. */
uint32_t audit_vote_leaf(const struct merkle_leaf *leaves, uint32_t count, uint32_t majority);
bool merkle_leaf_equal(const struct merkle_leaf *a, const struct merkle_leaf *b);
