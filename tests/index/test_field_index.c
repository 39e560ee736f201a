/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload indexes: what an index serves, it answers as evaluation does.
 */
#include "index/field_index.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/index/random.h"

#define ROWS 3000u
#define ARENA_MAX ((size_t)64 << 20)

static const char *const payloads[] = {
	"{}",
	"{\"k\":null}",
	"{\"k\":\"red\"}",
	"{\"k\":\"\"}",
	"{\"k\":\"7\"}",
	"{\"k\":[\"red\",\"blue\",\"red\"]}",
	"{\"k\":[[\"red\"]]}",
	"{\"k\":{\"k\":\"red\"}}",
	"{\"k\":7}",
	"{\"k\":7.0}",
	"{\"k\":7.5}",
	"{\"k\":-7}",
	"{\"k\":[7,8,7.25,\"red\",true]}",
	"{\"k\":9007199254740993}",
	"{\"k\":9007199254740992}",
	"{\"k\":9007199254740992.0}",
	"{\"k\":9223372036854775807}",
	"{\"k\":18446744073709551615}",
	"{\"k\":-9223372036854775808}",
	"{\"k\":1e300}",
	"{\"k\":0}",
	"{\"k\":-0.0}",
	"{\"k\":true}",
	"{\"k\":[false,true]}",
	"{\"k\":[]}",
	"{\"other\":7}",
};

static struct str texts[] = { { "blue", 4 }, { "red", 3 } };
static int64_t ints[] = { -7, 7, 9007199254740993 };

#define INT(n)                                                                                     \
	{                                                                                          \
		.kind = CONDITION_MATCH_INT_VALUE, .integer = (n)                                  \
	}
#define RANGE(...)                                                                                 \
	{                                                                                          \
		.kind = CONDITION_RANGE, .range = { __VA_ARGS__ }                                  \
	}

static const struct {
	enum field_schema schema;
	struct condition condition;
} cases[] = {
	{ FIELD_KEYWORD, { .kind = CONDITION_MATCH_TEXT_VALUE, .text = { "red", 3 } } },
	{ FIELD_KEYWORD, { .kind = CONDITION_MATCH_TEXT_VALUE, .text = { "", 0 } } },
	{ FIELD_KEYWORD, { .kind = CONDITION_MATCH_TEXT_VALUE, .text = { "none", 4 } } },
	{ FIELD_UUID, { .kind = CONDITION_MATCH_TEXT_VALUE, .text = { "7", 1 } } },
	{ FIELD_DATETIME, { .kind = CONDITION_MATCH_ANY_TEXT, .texts = { texts, 2 } } },
	{ FIELD_KEYWORD, { .kind = CONDITION_MATCH_ANY_TEXT } },
	{ FIELD_INTEGER, INT(7) },
	{ FIELD_INTEGER, INT(0) },
	{ FIELD_FLOAT, INT(9007199254740993) },
	{ FIELD_INTEGER, INT(9007199254740992) },
	{ FIELD_INTEGER, INT(INT64_MAX) },
	{ FIELD_INTEGER, INT(INT64_MIN) },
	{ FIELD_INTEGER, { .kind = CONDITION_MATCH_ANY_INT, .ints = { ints, 3 } } },
	{ FIELD_INTEGER, RANGE(.has_gte = true, .gte = 7) },
	{ FIELD_FLOAT, RANGE(.has_gt = true, .gt = 7) },
	{ FIELD_INTEGER, RANGE(.has_lt = true, .lt = 7) },
	{ FIELD_FLOAT, RANGE(.has_lte = true, .lte = 7) },
	{ FIELD_FLOAT, RANGE(.has_gt = true, .gt = 5, .has_lt = true, .lt = 7.5) },
	{ FIELD_FLOAT, RANGE(.has_gt = true, .gt = 7, .has_gte = true, .gte = -100) },
	{ FIELD_FLOAT, RANGE(.has_gte = true, .gte = 0, .has_lte = true, .lte = 0) },
	{ FIELD_FLOAT, RANGE(.has_gt = true, .gt = 8, .has_lt = true, .lt = 7) },
	{ FIELD_FLOAT, RANGE(.has_gt = true, .gt = (double)NAN) },
	{ FIELD_FLOAT, RANGE(.has_lt = true, .lt = (double)NAN) },
	{ FIELD_BOOL, { .kind = CONDITION_MATCH_BOOL_VALUE, .boolean = true } },
	{ FIELD_BOOL, { .kind = CONDITION_MATCH_BOOL_VALUE, .boolean = false } },
};

static struct arena arena;
static struct value parsed[LEN(payloads)];

static void setup(void)
{
	arena_init(&arena, ARENA_MAX);
	for (size_t i = 0; i < LEN(payloads); i++) {
		struct buf b = BUF_INIT(1000);
		struct json_reader r =
			json_reader_of((struct str){ payloads[i], strlen(payloads[i]) }, &arena);

		ck_assert_int_eq(value_from_json(&r, &arena, &b), ERR_NONE);
		uint8_t *copy = arena_alloc(&arena, b.len);

		memcpy(copy, b.data, b.len);
		parsed[i] = (struct value){ copy, (uint32_t)b.len };
		buf_release(&b);
	}
}

static void teardown(void)
{
	arena_release(&arena);
}

static struct field_index *index_new(const char *key, enum field_schema schema)
{
	struct field_index_config config = { .key = { key, strlen(key) }, .schema = schema };
	struct field_index *f;

	ck_assert_int_eq(field_index_new(&config, &f, NULL), ERR_NONE);
	return f;
}

START_TEST(malformed_key_is_refused)
{
	struct field_index_config config = { .key = STR(""), .schema = FIELD_KEYWORD };
	struct field_index *f;
	struct fault fault = { 0 };

	ck_assert_int_eq(field_index_new(&config, &f, &fault), ERR_BAD_INPUT);
	ck_assert(fault.text[0]);
}
END_TEST

START_TEST(only_what_can_be_answered_exactly_is_served)
{
	struct field_index *keyword = index_new("k", FIELD_KEYWORD),
			   *number = index_new("k", FIELD_INTEGER);
	struct field_index *flag = index_new("k", FIELD_BOOL), *text = index_new("k", FIELD_TEXT);
	struct condition c = { .kind = CONDITION_MATCH_TEXT_VALUE };

	ck_assert_int_eq(path_parse(STR("\"k\""), &c.key, NULL), ERR_NONE);
	ck_assert(field_index_serves(keyword, &c) && !field_index_serves(number, &c));
	ck_assert(!field_index_serves(flag, &c) && !field_index_serves(text, &c));
	c.kind = CONDITION_MATCH_EXCEPT_TEXT;
	ck_assert(!field_index_serves(keyword, &c));
	c.kind = CONDITION_IS_EMPTY;
	ck_assert(!field_index_serves(keyword, &c));
	c.kind = CONDITION_RANGE;
	ck_assert(!field_index_serves(number,
				      &c)); /* no bounds: every number, also those it leaves out */
	c.range.has_lt = true;
	ck_assert(field_index_serves(number, &c) && !field_index_serves(keyword, &c));
	ck_assert_int_eq(path_parse(STR("k[]"), &c.key, NULL), ERR_NONE);
	ck_assert(!field_index_serves(number, &c));
	field_index_free(keyword);
	field_index_free(number);
	field_index_free(flag);
	field_index_free(text);
}
END_TEST

static void check_case(const struct field_index *f, struct condition c, const uint32_t *rows)
{
	struct condition_list must = { &c, 1 };
	struct filter filter = { .must = must };
	struct row_bits bits;

	ck_assert_int_eq(path_parse(STR("k"), &c.key, NULL), ERR_NONE);
	ck_assert(field_index_serves(f, &c));
	ck_assert_int_eq(row_bits_init(&bits, ROWS), ERR_NONE);
	field_index_rows(f, &c, &bits);
	for (uint32_t row = 0; row < ROWS; row++) {
		bool there = rows[row] < LEN(payloads);
		struct filter_subject s = { .payload = there ? parsed[rows[row]]
							     : (struct value){ 0 } };

		ck_assert_msg(row_bits_has(&bits, row) == (there && filter_match(&filter, &s)),
			      "payload %s", there ? payloads[rows[row]] : "");
	}
	row_bits_release(&bits);
}

START_TEST(index_answers_as_evaluation_does)
{
	struct field_index *f = index_new("k", cases[_i].schema);
	uint32_t *rows = calloc(ROWS, sizeof(*rows));
	struct random r = { 17 };

	for (uint32_t i = 0; i < ROWS; i++)
		rows[i] = UINT32_MAX;
	check_case(f, cases[_i].condition, rows);
	for (int round = 0; round < 3; round++) {
		for (uint32_t n = 0; n < ROWS; n++) {
			uint32_t row = (uint32_t)(random_u64(&r) % ROWS);

			if (rows[row] != UINT32_MAX)
				field_index_remove(f, row, parsed[rows[row]]);
			rows[row] = UINT32_MAX;
			if (random_u64(&r) % 4 == 0)
				continue;
			rows[row] = (uint32_t)(random_u64(&r) % LEN(payloads));
			ck_assert_int_eq(field_index_add(f, row, parsed[rows[row]]), ERR_NONE);
		}
		check_case(f, cases[_i].condition, rows);
	}
	for (uint32_t row = 0; row < ROWS; row++)
		if (rows[row] != UINT32_MAX)
			field_index_remove(f, row, parsed[rows[row]]);
	ck_assert_uint_eq(field_index_points(f), 0);
	free(rows);
	field_index_free(f);
}
END_TEST

START_TEST(points_are_those_with_a_value_of_the_type)
{
	static const struct {
		enum field_schema schema;
		uint64_t points;
	} counts[] = {
		{ FIELD_KEYWORD, 5 }, { FIELD_INTEGER, 14 }, { FIELD_FLOAT, 14 },
		{ FIELD_BOOL, 3 },    { FIELD_TEXT, 6 },
	};

	for (size_t n = 0; n < LEN(counts); n++) {
		struct field_index *f = index_new("k", counts[n].schema);

		for (uint32_t i = 0; i < LEN(payloads); i++)
			ck_assert_int_eq(field_index_add(f, i, parsed[i]), ERR_NONE);
		ck_assert_int_eq(field_index_add(f, 100, (struct value){ 0 }), ERR_NONE);
		ck_assert_uint_eq(field_index_points(f), counts[n].points);
		ck_assert(counts[n].schema == FIELD_TEXT || field_index_memory(f) > 0);
		ck_assert_int_eq(field_index_config(f)->schema, counts[n].schema);
		field_index_free(f);
	}
	field_index_free(NULL);
}
END_TEST

START_TEST(many_numbers_stay_in_order)
{
	struct field_index *f = index_new("n", FIELD_INTEGER);
	struct random r = { 23 };
	int64_t *numbers = calloc(20000, sizeof(*numbers));
	struct condition c = { .kind = CONDITION_RANGE,
			       .range = { .has_gte = true, .has_lt = true } };
	struct row_bits bits;

	ck_assert_int_eq(path_parse(STR("n"), &c.key, NULL), ERR_NONE);
	for (int round = 0; round < 2; round++)
		for (uint32_t row = 0; row < 20000; row++) {
			for (int add = round == 0; add < 2; add++) {
				struct buf b = BUF_INIT(100), n = BUF_INIT(100);

				numbers[row] =
					add ? (int64_t)(random_u64(&r) % 5000) : numbers[row];
				value_put_int(&n, numbers[row]);
				struct value_member m = { STR("n"), value_of_buf(&n) };

				ck_assert_int_eq(value_put_object(&b, &m, 1), ERR_NONE);
				if (add)
					ck_assert_int_eq(field_index_add(f, row, value_of_buf(&b)),
							 ERR_NONE);
				else
					field_index_remove(f, row, value_of_buf(&b));
				buf_release(&b);
				buf_release(&n);
			}
		}
	for (int i = 0; i < 40; i++) {
		uint32_t expected = 0;

		c.range.gte = (double)(random_u64(&r) % 5000);
		c.range.lt = c.range.gte + (double)(random_u64(&r) % 1000);
		for (uint32_t row = 0; row < 20000; row++)
			expected += (double)numbers[row] >= c.range.gte &&
				    (double)numbers[row] < c.range.lt;
		ck_assert_int_eq(row_bits_init(&bits, 20000), ERR_NONE);
		field_index_rows(f, &c, &bits);
		ck_assert_uint_eq(row_bits_count(&bits), expected);
		row_bits_release(&bits);
	}
	free(numbers);
	field_index_free(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("field_index");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, malformed_key_is_refused);
	tcase_add_test(t, only_what_can_be_answered_exactly_is_served);
	tcase_add_loop_test(t, index_answers_as_evaluation_does, 0, (int)LEN(cases));
	tcase_add_test(t, points_are_those_with_a_value_of_the_type);
	tcase_add_test(t, many_numbers_stay_in_order);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
