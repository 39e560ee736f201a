/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formulas against values worked out by hand.
 */
#include "index/formula.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD                                                                                     \
	"{\"n\":85,\"half\":0.5,\"zero\":0,\"text\":\"x\",\"one\":[3],\"two\":[3,4],\"null\":null," \
	"\"at\":\"1970-01-02T00:00:00Z\",\"deep\":{\"n\":7},\"place\":{\"lon\":0,\"lat\":1},\"empty\":[],\"flag\":true}"

static struct arena arena;

static void set_up(void)
{
	arena_init(&arena, 1 << 20);
}

static void tear_down(void)
{
	arena_release(&arena);
}

static struct value value_of_text(const char *text)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1 << 20);
	struct json_reader r =
		json_reader_of((struct str){ .data = text, .len = strlen(text) }, &arena);

	ck_assert_int_eq(value_from_json(&r, &arena, &b), ERR_NONE);
	uint8_t *copy = arena_alloc(&arena, b.len);

	memcpy(copy, b.data, b.len);
	return (struct value){ .data = copy, .len = (uint32_t)b.len };
}

/* --- building --- */

static struct expression constant(float v)
{
	return (struct expression){ .kind = EXPRESSION_CONSTANT, .constant = v };
}

static struct expression text_of_kind(enum expression_kind kind, const char *text)
{
	return (struct expression){ .kind = kind, .text = { .data = text, .len = strlen(text) } };
}

static struct expression variable(const char *text)
{
	return text_of_kind(EXPRESSION_VARIABLE, text);
}

static struct expression node(enum expression_kind kind, uint32_t count,
			      const struct expression *operands)
{
	struct expression e = { .kind = kind, .operand_count = count };

	e.operands = arena_array(&arena, count, sizeof(*operands));
	if (count > 0)
		memcpy(e.operands, operands, count * sizeof(*operands));
	return e;
}
#define NODE(kind, ...)                                                                            \
	node(EXPRESSION_##kind,                                                                    \
	     sizeof((struct expression[]){ __VA_ARGS__ }) / sizeof(struct expression),             \
	     (struct expression[]){ __VA_ARGS__ })

static struct expression decay(enum expression_kind kind, struct expression x, float scale,
			       float midpoint)
{
	struct expression e = node(kind, 1, &x);

	e.has_scale = scale != 0;
	e.scale = scale;
	e.has_midpoint = midpoint != 0;
	e.midpoint = midpoint;
	return e;
}

/* --- running --- */

static enum err run(struct expression e, const char *defaults, float *ret_score,
		    struct fault *fault)
{
	static const float scores[] = { 2, 3 };
	static const bool found[] = { true, false };
	const struct formula_scores s = { .items = scores, .found = found, .count = 2 };
	struct formula f = { .root = &e };
	const struct filter_subject point = { .id = { .lo = 5 },
					      .payload = value_of_text(PAYLOAD) };

	*fault = (struct fault){ 0 };
	if (defaults)
		f.defaults = value_of_text(defaults);
	enum err err = formula_prepare(&f, &arena, fault);

	return err ? err : formula_evaluate(&f, &point, &s, ret_score, fault);
}

static void is_with(struct expression e, const char *defaults, double want)
{
	struct fault fault;
	float score = NAN;

	ck_assert_msg(run(e, defaults, &score, &fault) == ERR_NONE, "%s", fault.text);
	ck_assert_msg(fabs((double)score - want) <= 1e-5 * fmax(1, fabs(want)), "%g, not %g",
		      (double)score, want);
}

static void is(struct expression e, double want)
{
	is_with(e, NULL, want);
}

static void refused(struct expression e, const char *words)
{
	struct fault fault;
	float score;

	ck_assert_int_eq(run(e, NULL, &score, &fault), ERR_BAD_INPUT);
	ck_assert_msg(strstr(fault.text, words) != NULL, "%s", fault.text);
}

START_TEST(variables_are_scores_and_numbers_of_the_payload)
{
	is(constant(1.5F), 1.5);
	is(variable("$score"), 2);
	is(variable("$score[0]"), 2);
	is(variable("$score[1]"), 0); /* not found there */
	is(variable("$score[9]"), 0);
	is(variable("n"), 85);
	is(variable("deep.n"), 7);
	is(variable("one"), 3);
	is(variable("one[0]"), 3);
	is(variable("two[1]"), 4);
}
END_TEST

START_TEST(what_has_no_value_has_its_default)
{
	is_with(variable("none"), "{\"none\":4.5}", 4.5);
	is_with(variable("none"), "{\"none\":[6]}", 6);
	is_with(variable("empty"), "{\"empty\":1}", 1);
	is_with(variable("n"), "{\"n\":4.5}", 85);
	is_with(variable("$score[1]"), "{\"$score[1]\":9}", 9);
	is_with(variable("$score"), "{\"$score\":9}", 2);
	is_with(variable("deep.none"), "{\"\\\"deep\\\".none\":8}",
		8); /* the same path, written in another way */
	is_with(text_of_kind(EXPRESSION_DATETIME_KEY, "none"),
		"{\"none\":\"1970-01-01T00:01:00Z\"}", 60);
}
END_TEST

START_TEST(a_value_of_another_kind_is_refused)
{
	refused(variable("none"),
		"Expected number value for none in the payload and/or in the formula defaults. Error: No value found in a payload nor defaults");
	refused(variable("text"), "Error: Value is not a number");
	refused(variable("flag"), "Error: Value is not a number");
	refused(variable("null"), "Error: Value is not a number");
	refused(variable("two"), "Error: There are several values");
	refused(text_of_kind(EXPRESSION_DATETIME_KEY, "n"), "Expected datetime value for n");
	refused(text_of_kind(EXPRESSION_DATETIME_KEY, "text"), "Error: Value is not a datetime");
	refused(text_of_kind(EXPRESSION_GEO_DISTANCE, "n"), "Expected geo point value for n");
}
END_TEST

START_TEST(operators_compute)
{
	is(NODE(SUM, constant(1), variable("$score"), variable("n")), 88);
	is(NODE(MULT, constant(2), variable("$score"), variable("half")), 2);
	is(node(EXPRESSION_SUM, 0, NULL), 0);
	is(node(EXPRESSION_MULT, 0, NULL), 1);
	is(NODE(DIV, variable("n"), constant(10)), 8.5);
	is(NODE(NEG, variable("n")), -85);
	is(NODE(ABS, constant(-3)), 3);
	is(NODE(SQRT, constant(16)), 4);
	is(NODE(POW, constant(2), constant(10)), 1024);
	is(NODE(POW, constant(-2), constant(3)), -8);
	is(NODE(EXP, constant(1)), 2.718281828);
	is(NODE(LOG10, constant(1000)), 3);
	is(NODE(LN, constant(10)), 2.302585093);
}
END_TEST

START_TEST(zero_hides_what_stands_behind_it)
{
	struct expression by_zero = NODE(DIV, constant(1), variable("zero"));

	is(NODE(MULT, variable("zero"), variable("none")), 0);
	is(NODE(DIV, variable("zero"), variable("none")), 0);
	refused(by_zero, "The expression 1/0 produced a non-finite number");
	by_zero.has_by_zero = true;
	by_zero.by_zero = 42;
	is(by_zero, 42);
}
END_TEST

START_TEST(what_is_not_finite_is_refused)
{
	refused(NODE(SQRT, constant(-1)), "The expression sqrt(-1) produced a non-finite number");
	refused(NODE(LN, constant(0)), "ln(0)");
	refused(NODE(LOG10, constant(-1)), "log10(-1)");
	refused(NODE(EXP, constant(1000)), "exp(1000)");
	refused(NODE(POW, constant(-1), constant(0.5F)), "-1^0.5");
	refused(NODE(POW, variable("zero"), constant(-1)), "0^-1");
	refused(NODE(MULT, constant(3e38F), constant(10)), "as f32 produced a non-finite number");
}
END_TEST

START_TEST(conditions_are_one_or_zero)
{
	struct condition yes = { .kind = CONDITION_HAS_ID,
				 .ids = { .items = &(struct point_id){ .lo = 5 }, .count = 1 } };
	const struct filter f = { .must = { &yes, 1 } }, g = { .must_not = { &yes, 1 } };

	is((struct expression){ .kind = EXPRESSION_CONDITION, .filter = &f }, 1);
	is((struct expression){ .kind = EXPRESSION_CONDITION, .filter = &g }, 0);
}
END_TEST

START_TEST(times_are_seconds_and_places_metres)
{
	struct expression geo = text_of_kind(EXPRESSION_GEO_DISTANCE, "place");

	is(text_of_kind(EXPRESSION_DATETIME, "1970-01-01T01:00:00.5Z"), 3600.5);
	is(text_of_kind(EXPRESSION_DATETIME_KEY, "at"), 86400);
	/* A degree of latitude on a sphere of 6371008.8 m. */
	geo.origin = (struct geo_point){ .lon = 0, .lat = 0 };
	struct fault fault;
	float metres;

	ck_assert_int_eq(run(geo, NULL, &metres, &fault), ERR_NONE);
	ck_assert(fabsf(metres - 111195) < 10);
}
END_TEST

START_TEST(decays_have_their_midpoint_at_the_scale)
{
	static const enum expression_kind kinds[] = { EXPRESSION_EXP_DECAY, EXPRESSION_GAUSS_DECAY,
						      EXPRESSION_LIN_DECAY };
	struct expression e;

	for (size_t i = 0; i < LEN(kinds); i++) {
		is(decay(kinds[i], constant(0), 0, 0), 1);
		is(decay(kinds[i], constant(1), 0, 0), 0.5);
		is(decay(kinds[i], constant(-7), 7, 0.25F), 0.25);
		e = node(kinds[i], 2, (struct expression[]){ constant(12), constant(10) });
		e.has_scale = true;
		e.scale = 2;
		is(e, 0.5);
	}
	is(decay(EXPRESSION_EXP_DECAY, constant(2), 0, 0), 0.25);
	is(decay(EXPRESSION_GAUSS_DECAY, constant(2), 0, 0), 0.0625);
	is(decay(EXPRESSION_LIN_DECAY, constant(1.5F), 0, 0), 0.25);
	is(decay(EXPRESSION_LIN_DECAY, constant(3), 0, 0), 0);
}
END_TEST

START_TEST(decays_out_of_range_are_refused)
{
	refused(decay(EXPRESSION_EXP_DECAY, constant(1), 0, 1),
		"Decay midpoint should be in the range (0.0, 1.0), got 1.");
	refused(decay(EXPRESSION_GAUSS_DECAY, constant(1), 0, -1),
		"Decay midpoint should be in the range (0.0, 1.0)");
	refused(decay(EXPRESSION_LIN_DECAY, constant(1), 0, 1.5F),
		"Linear decay midpoint should be in the range [0.0, 1.0], got 1.5.");
	refused(decay(EXPRESSION_LIN_DECAY, constant(1), -1, 0),
		"Decay scale should be non-zero positive, got -1.");
	is(decay(EXPRESSION_LIN_DECAY, constant(1), 0, 1), 1);
}
END_TEST

START_TEST(names_that_are_none_are_refused)
{
	refused(variable(""), "Invalid payload variable");
	refused(variable("a..b"), "Invalid payload variable: a..b");
	refused(variable("$rank"), "Invalid reserved variable: $rank");
	refused(variable("$score[]"), "Invalid reserved variable: $score[]");
	refused(variable("$score[1][2]"), "Invalid reserved variable");
	refused(variable("$score.x"), "Invalid reserved variable");
	refused(variable("$"), "Invalid reserved variable");
	refused(text_of_kind(EXPRESSION_DATETIME, "tomorrow"),
		"Expected datetime in supported format, got tomorrow");
	refused(text_of_kind(EXPRESSION_GEO_DISTANCE, "["), "Invalid payload key: [");
}
END_TEST

START_TEST(formulas_have_bounds)
{
	struct expression *many = arena_array(&arena, FORMULA_EXPRESSIONS_MAX, sizeof(*many));
	struct expression e = constant(1);

	for (uint32_t i = 0; i < FORMULA_DEPTH_MAX - 1; i++)
		e = node(EXPRESSION_NEG, 1, &e);
	is(e, FORMULA_DEPTH_MAX % 2 ? 1 : -1);
	refused(node(EXPRESSION_NEG, 1, &e), "a formula is nested more than 32 deep");
	for (uint32_t i = 0; i < FORMULA_EXPRESSIONS_MAX; i++)
		many[i] = constant(1);
	is(node(EXPRESSION_SUM, FORMULA_EXPRESSIONS_MAX - 1, many), FORMULA_EXPRESSIONS_MAX - 1);
	refused(node(EXPRESSION_SUM, FORMULA_EXPRESSIONS_MAX, many),
		"a formula has more than 1024 expressions");
}
END_TEST

START_TEST(only_a_condition_on_vectors_needs_them)
{
	struct condition has = { .kind = CONDITION_HAS_VECTOR, .vector_name = STR("v") };
	struct filter inner = { .must_not = { &has, 1 } };
	struct condition nested = { .kind = CONDITION_FILTER, .filter = &inner };
	const struct filter f = { .should = { &nested, 1 } };
	struct expression e =
		NODE(SUM, constant(1),
		     (struct expression){ .kind = EXPRESSION_CONDITION, .filter = &f });
	struct expression plain = NODE(SUM, constant(1), variable("n"));

	ck_assert(formula_needs_vectors(&(struct formula){ .root = &e }));
	ck_assert(!formula_needs_vectors(&(struct formula){ .root = &plain }));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("formula");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, variables_are_scores_and_numbers_of_the_payload);
	tcase_add_test(t, what_has_no_value_has_its_default);
	tcase_add_test(t, a_value_of_another_kind_is_refused);
	tcase_add_test(t, operators_compute);
	tcase_add_test(t, zero_hides_what_stands_behind_it);
	tcase_add_test(t, what_is_not_finite_is_refused);
	tcase_add_test(t, conditions_are_one_or_zero);
	tcase_add_test(t, times_are_seconds_and_places_metres);
	tcase_add_test(t, decays_have_their_midpoint_at_the_scale);
	tcase_add_test(t, decays_out_of_range_are_refused);
	tcase_add_test(t, names_that_are_none_are_refused);
	tcase_add_test(t, formulas_have_bounds);
	tcase_add_test(t, only_a_condition_on_vectors_needs_them);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
