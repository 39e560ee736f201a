/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries whose answers are groups: points that share a value of their payload, an integer or a string. The best groups by their
 * best point, and of each its best points. A point with several values is in several groups.
 *
 * Groups are looked for until there are enough: every search leaves out what has only values of groups that were found. Then
 * each group that is not full is searched by itself. What a query with prefetches finds is bounded already, and its scores may
 * depend on what else is found: it is run once, with the limits of its prefetches multiplied by the number of groups.
 */
#pragma once

#include "index/query.h"

#define GROUP_RESULTS_MAX 100000u

struct group_key {
	enum { GROUP_KEY_UNSIGNED, GROUP_KEY_INT, GROUP_KEY_TEXT } kind; /* INT: below 0 */
	union {
		uint64_t unsigned_integer;
		int64_t integer;
		struct str text;
	};
};

struct group {
	struct group_key key;
	struct scored *items; /* best first */
	uint32_t count;
};

struct group_options {
	const struct path *key;
	uint32_t groups, group_size; /* the product is at most GROUP_RESULTS_MAX */
};

/* In the arena; at most o->groups. The query's own limit does not count. */
MUST_USE enum err group_run(struct collection *c, struct pool *pool, const struct query *q, const struct group_options *o,
			    const struct deadline *deadline, struct arena *a, struct group **ret_groups,
			    uint32_t *ret_count, struct fault *reterr_fault);
