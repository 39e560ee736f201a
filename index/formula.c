/* SPDX-License-Identifier: Apache-2.0 */
#include "index/formula.h"

#include <math.h>
#include <string.h>

#include "index/datetime.h"
#include "index/order.h"

#define DECAY_SCALE 1.0f
#define DECAY_MIDPOINT 0.5f
#define US_PER_S 1e6

static const enum expression_operands operands[] = {
#define EXPRESSION(name, json_key, proto_number, operands)                                         \
	[EXPRESSION_##name] = OPERANDS_##operands,
#include "index/formula.def"
#undef EXPRESSION
};

enum expression_operands expression_operands(enum expression_kind k)
{
	return operands[k];
}

/* --- preparing --- */

struct preparation {
	const struct formula *formula;
	struct arena *arena;
	struct fault *fault;
	uint32_t depth, count;
};

/* "$score" is "$score[0]". False: it is not the name of a score. */
static bool read_score(struct str text, uint32_t *ret_prefetch)
{
	struct path path;

	if (text.len < 2 || text.data[0] != '$' ||
	    path_parse((struct str){ .data = text.data + 1, .len = text.len - 1 }, &path, NULL) !=
		    ERR_NONE ||
	    path.count > 2 || str_compare(path.steps[0].key, STR("score")) != 0)
		return false;
	if (path.count == 2 && path.steps[1].kind != PATH_INDEX)
		return false;
	*ret_prefetch = path.count == 2 ? path.steps[1].index : 0;
	return true;
}

static bool same_path(const struct path *a, const struct path *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		const struct path_step *x = &a->steps[i], *y = &b->steps[i];

		if (x->kind != y->kind ||
		    (x->kind == PATH_KEY && str_compare(x->key, y->key) != 0) ||
		    (x->kind == PATH_INDEX && x->index != y->index))
			return false;
	}
	return true;
}

/* Of a variable that may be written in several ways. */
static struct value default_of(const struct preparation *p, const struct expression *e)
{
	struct value found = { 0 }, item;
	struct value_iter it;
	struct path path;
	struct str key;
	uint32_t score;

	if (!p->formula->defaults.data)
		return found;
	it = value_items(p->formula->defaults);
	while (value_next(&it, &key, &item)) {
		bool is_score = read_score(key, &score);

		if (is_score != e->is_score)
			continue;
		if (is_score
			    ? score == e->prefetch
			    : path_parse(key, &path, NULL) == ERR_NONE && same_path(&path, e->path))
			found = item;
	}
	return found;
}

static enum err prepare_path(struct preparation *p, struct expression *e, const char *what)
{
	struct path *path = arena_alloc(p->arena, sizeof(*path));

	if (!path)
		return ERR_NO_MEMORY;
	if (path_parse(e->text, path, NULL) != ERR_NONE)
		return fault_set(p->fault, ERR_BAD_INPUT, "Invalid %s: %.*s", what,
				 STR_FMT(e->text));
	e->path = path;
	e->fallback = default_of(p, e);
	return ERR_NONE;
}

static enum err prepare_variable(struct preparation *p, struct expression *e)
{
	if (e->text.len == 0 || e->text.data[0] != '$')
		return prepare_path(p, e, "payload variable");
	e->is_score = read_score(e->text, &e->prefetch);
	if (!e->is_score)
		return fault_set(p->fault, ERR_BAD_INPUT, "Invalid reserved variable: %.*s",
				 STR_FMT(e->text));
	e->fallback = default_of(p, e);
	return ERR_NONE;
}

static enum err prepare_datetime(struct preparation *p, struct expression *e)
{
	int64_t us;

	if (!datetime_parse(e->text, &us))
		return fault_set(p->fault, ERR_BAD_INPUT,
				 "Expected datetime in supported format, got %.*s",
				 STR_FMT(e->text));
	e->number = (double)us / US_PER_S;
	return ERR_NONE;
}

static enum err prepare_decay(struct preparation *p, struct expression *e)
{
	double midpoint = (double)(e->has_midpoint ? e->midpoint : DECAY_MIDPOINT);
	double scale = (double)(e->has_scale ? e->scale : DECAY_SCALE);

	if (e->kind == EXPRESSION_LIN_DECAY && !(midpoint >= 0 && midpoint <= 1))
		return fault_set(p->fault, ERR_BAD_INPUT,
				 "Linear decay midpoint should be in the range [0.0, 1.0], got %g.",
				 midpoint);
	if (e->kind != EXPRESSION_LIN_DECAY && !(midpoint > 0 && midpoint < 1))
		return fault_set(p->fault, ERR_BAD_INPUT,
				 "Decay midpoint should be in the range (0.0, 1.0), got %g.",
				 midpoint);
	if (!(scale > 0))
		return fault_set(p->fault, ERR_BAD_INPUT,
				 "Decay scale should be non-zero positive, got %g.", scale);
	if (e->kind == EXPRESSION_LIN_DECAY)
		e->number = (1 - midpoint) / scale;
	else
		e->number =
			log(midpoint) / (e->kind == EXPRESSION_EXP_DECAY ? scale : scale * scale);
	return isfinite(e->number)
		       ? ERR_NONE
		       : fault_set(p->fault, ERR_BAD_INPUT, "Decay scale %g is too small", scale);
}

static enum err prepare_own(struct preparation *p, struct expression *e)
{
	switch (operands[e->kind]) {
	case OPERANDS_DECAY:
		return prepare_decay(p, e);
	case OPERANDS_ONE:
	case OPERANDS_TWO:
	case OPERANDS_LIST:
		return ERR_NONE;
	case OPERANDS_NONE:
		break;
	}
	if (e->kind == EXPRESSION_VARIABLE)
		return prepare_variable(p, e);
	if (e->kind == EXPRESSION_DATETIME)
		return prepare_datetime(p, e);
	if (e->kind == EXPRESSION_GEO_DISTANCE || e->kind == EXPRESSION_DATETIME_KEY)
		return prepare_path(p, e, "payload key");
	return ERR_NONE;
}

static enum err prepare(struct preparation *p, struct expression *e)
{
	if (++p->count > FORMULA_EXPRESSIONS_MAX)
		return fault_set(p->fault, ERR_BAD_INPUT, "a formula has more than %u expressions",
				 FORMULA_EXPRESSIONS_MAX);
	if (++p->depth > FORMULA_DEPTH_MAX)
		return fault_set(p->fault, ERR_BAD_INPUT, "a formula is nested more than %u deep",
				 FORMULA_DEPTH_MAX);
	enum err err = prepare_own(p, e);

	for (uint32_t i = 0; i < e->operand_count && !err; i++)
		err = prepare(p, &e->operands[i]);
	p->depth--;
	return err;
}

enum err formula_prepare(struct formula *f, struct arena *a, struct fault *reterr_fault)
{
	struct preparation p = { .formula = f, .arena = a, .fault = reterr_fault };

	return prepare(&p, f->root);
}

static bool filter_needs_vectors(const struct filter *f);

static bool conditions_need_vectors(const struct condition_list *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (list->items[i].kind == CONDITION_HAS_VECTOR ||
		    (list->items[i].kind == CONDITION_FILTER &&
		     filter_needs_vectors(list->items[i].filter)))
			return true;
	return false;
}

static bool filter_needs_vectors(const struct filter *f)
{
	return f &&
	       (conditions_need_vectors(&f->must) || conditions_need_vectors(&f->should) ||
		conditions_need_vectors(&f->must_not) || conditions_need_vectors(&f->min_should));
}

static bool expression_needs_vectors(const struct expression *e)
{
	if (e->kind == EXPRESSION_CONDITION)
		return filter_needs_vectors(e->filter);
	for (uint32_t i = 0; i < e->operand_count; i++)
		if (expression_needs_vectors(&e->operands[i]))
			return true;
	return false;
}

bool formula_needs_vectors(const struct formula *f)
{
	return expression_needs_vectors(f->root);
}

/* --- evaluating --- */

struct evaluation {
	const struct filter_subject *point;
	const struct formula_scores *scores;
	struct fault *fault;
};

/* What a path finds: items of lists count by themselves. */
struct found {
	struct value first;
	uint32_t count;
};

static bool add_found(void *ctx, struct value v)
{
	struct found *f = ctx;
	struct value item;

	if (value_kind(v) != VALUE_LIST) {
		f->first = f->count++ ? f->first : v;
		return false;
	}
	for (struct value_iter it = value_items(v); value_next(&it, NULL, &item);)
		f->first = f->count++ ? f->first : item;
	return false;
}

static enum err wrong_value(const struct evaluation *v, const struct expression *e,
			    const char *type, const char *why)
{
	return fault_set(
		v->fault, ERR_BAD_INPUT,
		"Expected %s value for %.*s in the payload and/or in the formula defaults. Error: %s",
		type, STR_FMT(e->text), why);
}

/* The one value of the payload, or the default. */
static enum err value_of(const struct evaluation *v, const struct expression *e, const char *type,
			 struct value *ret_value)
{
	struct found found = { 0 };

	if (v->point->payload.data)
		(void)path_walk(e->path, v->point->payload, add_found, &found);
	if (found.count == 0 && e->fallback.data)
		(void)add_found(&found, e->fallback);
	if (found.count == 0)
		return wrong_value(v, e, type, "No value found in a payload nor defaults");
	if (found.count > 1)
		return wrong_value(v, e, type, "There are several values");
	*ret_value = found.first;
	return ERR_NONE;
}

static enum err check_finite(const struct evaluation *v, const char *word, double operand,
			     double result, double *ret_number)
{
	if (!isfinite(result))
		return fault_set(v->fault, ERR_BAD_INPUT,
				 "The expression %s(%g) produced a non-finite number", word,
				 operand);
	*ret_number = result;
	return ERR_NONE;
}

static enum err evaluate(const struct evaluation *v, const struct expression *e,
			 double *ret_number);

static enum err evaluate_score(const struct evaluation *v, const struct expression *e,
			       double *ret_number)
{
	const struct formula_scores *s = v->scores;

	if (e->prefetch < s->count && s->found[e->prefetch])
		*ret_number = (double)s->items[e->prefetch];
	else if (!e->fallback.data || !value_number(e->fallback, ret_number))
		*ret_number = 0;
	return ERR_NONE;
}

static enum err evaluate_variable(const struct evaluation *v, const struct expression *e,
				  double *ret_number)
{
	struct value value;

	if (e->is_score)
		return evaluate_score(v, e, ret_number);
	enum err err = value_of(v, e, "number", &value);

	if (err)
		return err;
	return value_number(value, ret_number)
		       ? ERR_NONE
		       : wrong_value(v, e, "number", "Value is not a number");
}

static enum err evaluate_geo(const struct evaluation *v, const struct expression *e,
			     double *ret_number)
{
	struct geo_point point;
	struct value value;
	enum err err = value_of(v, e, "geo point", &value);

	if (err)
		return err;
	if (!geo_point_of(value, &point))
		return wrong_value(v, e, "geo point", "Value is not a geo point");
	*ret_number = geo_distance_m(e->origin, point);
	return ERR_NONE;
}

static enum err evaluate_datetime(const struct evaluation *v, const struct expression *e,
				  double *ret_number)
{
	struct value value;
	int64_t us;
	enum err err = value_of(v, e, "datetime", &value);

	if (err)
		return err;
	if (value_kind(value) != VALUE_STRING || !datetime_parse(value_string(value), &us))
		return wrong_value(v, e, "datetime", "Value is not a datetime");
	*ret_number = (double)us / US_PER_S;
	return ERR_NONE;
}

static bool is_zero(double v)
{
	return v >= 0 && v <= 0;
}

/* Whatever follows a factor of zero is not looked at. */
static enum err evaluate_mult(const struct evaluation *v, const struct expression *e,
			      double *ret_number)
{
	double product = 1, factor;

	for (uint32_t i = 0; i < e->operand_count && !is_zero(product); i++) {
		enum err err = evaluate(v, &e->operands[i], &factor);

		if (err)
			return err;
		product = is_zero(factor) ? 0 : product * factor;
	}
	*ret_number = product;
	return ERR_NONE;
}

static enum err evaluate_sum(const struct evaluation *v, const struct expression *e,
			     double *ret_number)
{
	double sum = 0, term;

	for (uint32_t i = 0; i < e->operand_count; i++) {
		enum err err = evaluate(v, &e->operands[i], &term);

		if (err)
			return err;
		sum += term;
	}
	*ret_number = sum;
	return ERR_NONE;
}

/* Whatever divides zero is not looked at. */
static enum err evaluate_div(const struct evaluation *v, const struct expression *e,
			     double *ret_number)
{
	double left, right;
	enum err err = evaluate(v, &e->operands[0], &left);

	*ret_number = 0;
	if (err || is_zero(left))
		return err;
	err = evaluate(v, &e->operands[1], &right);
	if (err)
		return err;
	*ret_number = is_zero(right) && e->has_by_zero ? (double)e->by_zero : left / right;
	if (!isfinite(*ret_number))
		return fault_set(v->fault, ERR_BAD_INPUT,
				 "The expression %g/%g produced a non-finite number", left, right);
	return ERR_NONE;
}

static enum err evaluate_pow(const struct evaluation *v, const struct expression *e,
			     double *ret_number)
{
	double base, exponent;
	enum err err = evaluate(v, &e->operands[0], &base);

	if (!err)
		err = evaluate(v, &e->operands[1], &exponent);
	if (err)
		return err;
	*ret_number = pow(base, exponent);
	if (!isfinite(*ret_number))
		return fault_set(v->fault, ERR_BAD_INPUT,
				 "The expression %g^%g produced a non-finite number", base,
				 exponent);
	return ERR_NONE;
}

static enum err evaluate_one(const struct evaluation *v, const struct expression *e,
			     double *ret_number)
{
	double x;
	enum err err = evaluate(v, &e->operands[0], &x);

	if (err)
		return err;
	if (e->kind == EXPRESSION_SQRT)
		return check_finite(v, "sqrt", x, sqrt(x), ret_number);
	if (e->kind == EXPRESSION_EXP)
		return check_finite(v, "exp", x, exp(x), ret_number);
	if (e->kind == EXPRESSION_LOG10)
		return check_finite(v, "log10", x, log10(x), ret_number);
	if (e->kind == EXPRESSION_LN)
		return check_finite(v, "ln", x, log(x), ret_number);
	*ret_number = e->kind == EXPRESSION_NEG ? -x : fabs(x);
	return ERR_NONE;
}

static enum err evaluate_decay(const struct evaluation *v, const struct expression *e,
			       double *ret_number)
{
	double x, target = 0;
	enum err err = evaluate(v, &e->operands[0], &x);

	if (!err && e->operand_count > 1)
		err = evaluate(v, &e->operands[1], &target);
	if (err)
		return err;
	double distance = fabs(x - target);

	if (e->kind == EXPRESSION_LIN_DECAY)
		*ret_number = fmax(0, 1 - e->number * distance);
	else
		*ret_number = exp(e->number * distance *
				  (e->kind == EXPRESSION_EXP_DECAY ? 1 : distance));
	return check_finite(v, "decay", distance, *ret_number, ret_number);
}

static enum err evaluate(const struct evaluation *v, const struct expression *e, double *ret_number)
{
	*ret_number = 0;
	switch (e->kind) {
	case EXPRESSION_CONSTANT:
		*ret_number = (double)e->constant;
		return ERR_NONE;
	case EXPRESSION_VARIABLE:
		return evaluate_variable(v, e, ret_number);
	case EXPRESSION_CONDITION:
		*ret_number = filter_match(e->filter, v->point) ? 1 : 0;
		return ERR_NONE;
	case EXPRESSION_GEO_DISTANCE:
		return evaluate_geo(v, e, ret_number);
	case EXPRESSION_DATETIME:
		*ret_number = e->number;
		return ERR_NONE;
	case EXPRESSION_DATETIME_KEY:
		return evaluate_datetime(v, e, ret_number);
	case EXPRESSION_MULT:
		return evaluate_mult(v, e, ret_number);
	case EXPRESSION_SUM:
		return evaluate_sum(v, e, ret_number);
	case EXPRESSION_DIV:
		return evaluate_div(v, e, ret_number);
	case EXPRESSION_POW:
		return evaluate_pow(v, e, ret_number);
	case EXPRESSION_NEG:
	case EXPRESSION_ABS:
	case EXPRESSION_SQRT:
	case EXPRESSION_EXP:
	case EXPRESSION_LOG10:
	case EXPRESSION_LN:
		return evaluate_one(v, e, ret_number);
	case EXPRESSION_EXP_DECAY:
	case EXPRESSION_GAUSS_DECAY:
	case EXPRESSION_LIN_DECAY:
		return evaluate_decay(v, e, ret_number);
	case EXPRESSION_COUNT:
		break;
	}
	return ERR_INTERNAL;
}

enum err formula_evaluate(const struct formula *f, const struct filter_subject *point,
			  const struct formula_scores *scores, float *ret_score,
			  struct fault *reterr_fault)
{
	const struct evaluation v = { .point = point, .scores = scores, .fault = reterr_fault };
	double number = 0;
	enum err err = evaluate(&v, f->root, &number);

	if (err)
		return err;
	*ret_score = (float)number;
	if (!isfinite(*ret_score))
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "The expression %g as f32 produced a non-finite number", number);
	return ERR_NONE;
}
