/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formulas: a score made of other scores and of a point's payload, as Qdrant defines them. Kinds of expressions are rows of
 * formula.def. A formula lives in the request's arena and does not change once it is prepared; any thread may evaluate it.
 *
 *   variable   "$score", "$score[2]": the score by the first, the third prefetch; 0 when it did not find the point. Else a path
 *              into the payload, with one number
 *   condition  1 or 0
 *   decays     1 at the target, `midpoint` at a distance of `scale` from it; exponential, gaussian, linear
 *   datetime   seconds since 1970
 * Where a variable has no value its default counts. Whatever is not finite is an error.
 */
#pragma once

#include "index/filter.h"
#include "index/geo_shape.h"

#define FORMULA_DEPTH_MAX 32u
#define FORMULA_EXPRESSIONS_MAX 1024u

enum expression_kind {
#define EXPRESSION(name, json_key, proto_number, operands) EXPRESSION_##name,
#include "index/formula.def"
#undef EXPRESSION
	EXPRESSION_COUNT
};

enum expression_operands {
	OPERANDS_NONE,
	OPERANDS_ONE,
	OPERANDS_TWO,
	OPERANDS_LIST,
	OPERANDS_DECAY
};
enum expression_operands expression_operands(enum expression_kind k);

struct expression {
	enum expression_kind kind;
	float constant;  /* CONSTANT */
	struct str text; /* VARIABLE, GEO_DISTANCE, DATETIME, DATETIME_KEY: as written */
	const struct filter *filter; /* CONDITION: must has it */
	struct geo_point origin;     /* GEO_DISTANCE */
	struct expression *operands; /* DIV: left, right. POW: base, exponent. Decays: x, target */
	uint32_t operand_count;
	bool has_by_zero, has_scale, has_midpoint;
	float by_zero, scale, midpoint;

	/* By formula_prepare(). */
	bool is_score;           /* VARIABLE: of a prefetch, */
	uint32_t prefetch;       /* this one */
	const struct path *path; /* VARIABLE, GEO_DISTANCE, DATETIME_KEY: into the payload */
	struct value fallback;   /* data == NULL: none */
	double number;           /* DATETIME: seconds. Decays: the factor of the distance */
};

struct formula {
	struct expression *root;
	struct value defaults; /* an object of values by variable, or no value */
};

/* Reads variables, dates and defaults, checks decays, depth and count; once. ERR_BAD_INPUT in Qdrant's words. */
MUST_USE enum err formula_prepare(struct formula *f, struct arena *a, struct fault *reterr_fault);
/* Does a condition ask which vectors a point has? */
bool formula_needs_vectors(const struct formula *f);

/* The scores of one point, by prefetch. */
struct formula_scores {
	const float *items;
	const bool *found;
	uint32_t count;
};
/* ERR_BAD_INPUT: a value of the wrong type, or none; a number that is not finite. */
MUST_USE enum err formula_evaluate(const struct formula *f, const struct filter_subject *point,
				   const struct formula_scores *scores, float *ret_score,
				   struct fault *reterr_fault);
