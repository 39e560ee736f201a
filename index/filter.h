/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters: the tree of conditions and its evaluation, as Qdrant defines them. A filter's result never
 * depends on which payload index exists. Kinds of conditions are rows of filter.def.
 * The tree lives in the request's arena and is immutable once built; any thread may evaluate it.
 */
#pragma once

#include "index/point.h"

#define FILTER_DEPTH_MAX 16
#define FILTER_CONDITIONS_MAX 1024
#define FILTER_VALUES_MAX 16384

enum condition_kind {
#define COND(name, json_key, proto_tag, evaluator) CONDITION_##name,
#include "index/filter.def"
#undef COND
	CONDITION_COUNT
};

struct filter;

/* Sorted arrays, so that evaluation can search them. */
struct text_set {
	struct str *items;
	uint32_t count;
};
struct int_set {
	int64_t *items;
	uint32_t count;
};
struct id_set {
	struct point_id *items;
	uint32_t count;
};

struct range {
	bool has_lt, has_gt, has_lte, has_gte;
	double lt, gt, lte, gte;
};

struct condition {
	enum condition_kind kind;
	struct path key;             /* of field conditions */
	union {
		struct str text;         /* MATCH_TEXT_VALUE */
		int64_t integer;         /* MATCH_INT_VALUE */
		bool boolean;            /* MATCH_BOOL_VALUE; FIELD_IS_EMPTY, FIELD_IS_NULL: the wanted answer */
		struct text_set texts;   /* MATCH_ANY_TEXT, MATCH_EXCEPT_TEXT */
		struct int_set ints;     /* MATCH_ANY_INT, MATCH_EXCEPT_INT */
		struct range range;      /* RANGE */
		struct id_set ids;       /* HAS_ID */
		struct str vector_name;  /* HAS_VECTOR */
		struct filter *filter;   /* FILTER */
	};
};

struct condition_list {
	struct condition *items;
	uint32_t count;
};

struct filter {
	struct condition_list must;
	struct condition_list should;
	struct condition_list must_not;
	struct condition_list min_should;
	uint32_t min_count;
	bool has_min_should;
};

/* Sorts the sets, checks depth and counts; once, after building. */
MUST_USE enum err filter_prepare(struct filter *f, struct fault *reterr_fault);

/* What a filter looks at. has_vector may be NULL (then HAS_VECTOR is false). */
struct filter_subject {
	struct point_id id;
	struct value payload;   /* an object, or no value */
	bool (*has_vector)(const struct filter_subject *s, struct str name);
	const void *ctx;
};

/* NULL matches all. */
bool filter_match(const struct filter *f, const struct filter_subject *s);
