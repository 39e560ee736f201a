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
	"{\"k\":\"550e8400-e29b-41d4-a716-446655440000\"}",
	"{\"k\":[\"550E8400-E29B-41D4-A716-446655440000\",\"red herring\"]}",
	"{\"k\":\"2024-02-29T12:00:00Z\"}",
	"{\"k\":[\"2024-02-29 12:00\",\"2024-03-01\",\"2024-03-01\"]}",
	"{\"k\":\"9000-01-01T00:00:00.000001Z\"}",
	"{\"k\":\"1969-12-31\"}",
	"{\"k\":{\"lon\":13.4,\"lat\":52.5}}",
	"{\"k\":[{\"lon\":179.9,\"lat\":-10},{\"lon\":-179.9,\"lat\":10}]}",
	"{\"k\":{\"lon\":0,\"lat\":0}}",
	"{\"k\":{\"lon\":200,\"lat\":0}}",
	"{\"k\":{\"lon\":13.5,\"lat\":52.5,\"name\":\"x\"}}",
	"{\"k\":\"The quick brown fox, the lazy dog\"}",
	"{\"k\":[\"A brown\",\"Fox jumps\",7]}",
	"{\"k\":\"foxes are brown\"}",
};

static struct str texts[] = { { "blue", 4 }, { "red", 3 } };
static int64_t ints[] = { -7, 7, 9007199254740993 };

static struct str uuids[] = { { "550e8400-e29b-41d4-a716-446655440000", 36 } };
static struct geo_point ring[] = { { 10, 50 }, { 20, 50 }, { 20, 60 }, { 10, 60 }, { 10, 50 } };

#define TEXT(k, t)                                                                                 \
	{                                                                                          \
		.kind = CONDITION_MATCH_##k, .text = { (t), sizeof(t) - 1 }                        \
	}
#define TIMES(...)                                                                                 \
	{                                                                                          \
		.kind = CONDITION_DATETIME_RANGE, .times = { __VA_ARGS__ }                         \
	}
#define NOON 1709208000000000 /* 2024-02-29T12:00:00Z */
#define LATE 221845392000000000 /* 9000-01-01: too many microseconds for a double */
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
	{ FIELD_KEYWORD, { .kind = CONDITION_MATCH_TEXT_VALUE, .text = { "7", 1 } } },
	{ FIELD_UUID, { .kind = CONDITION_MATCH_ANY_TEXT, .texts = { uuids, 1 } } },
	{ FIELD_UUID, TEXT(TEXT_VALUE, "550E8400-E29B-41D4-A716-446655440000") },
	{ FIELD_KEYWORD, TEXT(PREFIX, "re") },
	{ FIELD_KEYWORD, TEXT(PREFIX, "") },
	{ FIELD_KEYWORD, { .kind = CONDITION_MATCH_ANY_TEXT, .texts = { texts, 2 } } },
	{ FIELD_DATETIME, TIMES(.has_gte = true, .gte = NOON) },
	{ FIELD_DATETIME, TIMES(.has_gt = true, .gt = NOON) },
	{ FIELD_DATETIME, TIMES(.has_lt = true, .lt = NOON) },
	{ FIELD_DATETIME, TIMES(.has_lte = true, .lte = NOON, .has_gte = true, .gte = 0) },
	{ FIELD_DATETIME, TIMES(.has_lte = true, .lte = LATE) },
	{ FIELD_DATETIME, TIMES(.has_gt = true, .gt = LATE) },
	{ FIELD_DATETIME, TIMES(.has_gte = true, .gte = LATE + 1, .has_lt = true, .lt = LATE + 2) },
	{ FIELD_DATETIME, TIMES(.has_gte = false) },
	{ FIELD_GEO, { .kind = CONDITION_GEO_BOX, .box = { { 13, 53 }, { 14, 52 } } } },
	{ FIELD_GEO, { .kind = CONDITION_GEO_BOX, .box = { { 170, 20 }, { -170, -20 } } } },
	{ FIELD_GEO, { .kind = CONDITION_GEO_RADIUS, .circle = { { 13.41, 52.5 }, 3000 } } },
	{ FIELD_GEO, { .kind = CONDITION_GEO_RADIUS, .circle = { { 180, 0 }, 2000000 } } },
	{ FIELD_GEO, { .kind = CONDITION_GEO_RADIUS, .circle = { { 0, 0 }, 0 } } },
	{ FIELD_GEO, { .kind = CONDITION_GEO_POLYGON, .polygon = { .exterior = { ring, LEN(ring) } } } },
	{ FIELD_TEXT, TEXT(TEXT, "FOX brown") },
	{ FIELD_TEXT, TEXT(TEXT, "red") },
	{ FIELD_TEXT, TEXT(TEXT, "brown wolf") },
	{ FIELD_TEXT, TEXT(TEXT, "") },
	{ FIELD_TEXT, TEXT(TEXT_ANY, "wolf dog red") },
	{ FIELD_TEXT, TEXT(TEXT_ANY, "!") },
	{ FIELD_TEXT, TEXT(PHRASE, "brown fox") },
	{ FIELD_TEXT, TEXT(PHRASE, "fox brown") },
	{ FIELD_TEXT, TEXT(PHRASE, "fox jumps") },
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
	/* text_index_params{phrase_matching=7: true} */
	static const uint8_t phrases[] = { 0x0a, 2, 0x38, 1 };
	struct field_index_config config = { .key = { key, strlen(key) }, .schema = schema };
	struct field_index *f;

	if (schema == FIELD_TEXT)
		config.client_params = (struct bytes){ phrases, sizeof(phrases) };
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
	struct field_index *uuid = index_new("k", FIELD_UUID);
	ck_assert(!field_index_serves(uuid, &c)); /* "" is no UUID, and such texts are not in it */
	field_index_free(uuid);
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

static const struct words *words_of(const struct filter_subject *s, const struct path *key)
{
	return field_index_words(s->ctx, s->within, key);
}

static void check_case(const struct field_index *f, struct condition c, const uint32_t *rows)
{
	struct condition_list must = { &c, 1 };
	struct filter filter = { .must = must };
	struct row_bits bits;

	ck_assert_int_eq(path_parse(STR("k"), &c.key, NULL), ERR_NONE);
	enum field_index_service service = field_index_serves(f, &c);
	ck_assert_int_eq(service, c.kind == CONDITION_MATCH_PHRASE ? SERVES_NARROWER : SERVES_EXACTLY);
	ck_assert_int_eq(row_bits_init(&bits, ROWS), ERR_NONE);
	ck_assert_int_eq(field_index_rows(f, &c, &bits), ERR_NONE);
	for (uint32_t row = 0; row < ROWS; row++) {
		bool there = rows[row] < LEN(payloads);
		struct filter_subject s = { .payload = there ? parsed[rows[row]]
							     : (struct value){ 0 },
					    .words = words_of,
					    .ctx = f };
		bool matches = there && filter_match(&filter, &s), has = row_bits_has(&bits, row);

		ck_assert_msg(has == matches || (has && there && service == SERVES_NARROWER), "payload %s",
			      there ? payloads[rows[row]] : "");
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

/* Whether the index of the texts is filled or not, the definition says what a word is. */
START_TEST(texts_of_elements_fall_into_words_as_their_whole_key_says)
{
	struct field_index *f = index_new("k[].t", FIELD_TEXT);
	struct condition inner = TEXT(TEXT, "BROWN"), nested = { .kind = CONDITION_NESTED };
	struct filter of_element = { .must = { &inner, 1 } }, filter = { .must = { &nested, 1 } };
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct json_reader r = json_reader_of(STR("{\"k\":[{\"t\":\"a brown fox\"}]}"), &arena);

	ck_assert_int_eq(value_from_json(&r, &arena, &b), ERR_NONE);
	ck_assert_int_eq(path_parse(STR("t"), &inner.key, NULL), ERR_NONE);
	ck_assert_int_eq(path_parse(STR("k"), &nested.key, NULL), ERR_NONE);
	nested.filter = &of_element;
	ck_assert_int_eq(filter_prepare(&filter, NULL), ERR_NONE);
	struct filter_subject s = { .payload = value_of_buf(&b), .words = words_of, .ctx = f };
	ck_assert(filter_match(&filter, &s));
	s.words = NULL;
	ck_assert(!filter_match(&filter, &s));
	field_index_free(f);
}
END_TEST

START_TEST(without_phrases_an_index_of_texts_finds_none)
{
	struct field_index_config config = { .key = STR("k"), .schema = FIELD_TEXT };
	struct condition c = TEXT(PHRASE, "brown fox");
	struct filter filter = { .must = { &c, 1 } };
	struct field_index *f;
	struct row_bits bits;

	ck_assert_int_eq(field_index_new(&config, &f, NULL), ERR_NONE);
	ck_assert_int_eq(path_parse(STR("k"), &c.key, NULL), ERR_NONE);
	ck_assert_int_eq(row_bits_init(&bits, ROWS), ERR_NONE);
	for (uint32_t i = 0; i < LEN(payloads); i++) {
		struct filter_subject s = { .payload = parsed[i], .words = words_of, .ctx = f };

		ck_assert_int_eq(field_index_add(f, i, parsed[i]), ERR_NONE);
		ck_assert(!filter_match(&filter, &s));
	}
	ck_assert_int_eq(field_index_rows(f, &c, &bits), ERR_NONE);
	ck_assert_uint_eq(row_bits_count(&bits), 0);
	row_bits_release(&bits);
	field_index_free(f);
}
END_TEST

/* --- facets --- */

struct told {
	uint64_t counts[64];
	struct field_value values[64];
	uint32_t count;
};

static enum err tell(void *ctx, const struct field_value *v, uint64_t count)
{
	struct told *t = ctx;

	ck_assert_uint_lt(t->count, LEN(t->counts));
	t->values[t->count] = *v;
	t->counts[t->count++] = count;
	return ERR_NONE;
}

static uint64_t count_of(const struct told *t, struct field_value v)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < t->count; i++)
		if (field_value_compare(&t->values[i], &v) == 0) {
			ck_assert_uint_eq(count, 0);
			count = t->counts[i];
		}
	return count;
}

START_TEST(facets_count_the_rows_of_each_value)
{
	struct row_bits few;

	ck_assert_int_eq(row_bits_init(&few, LEN(payloads)), ERR_NONE);
	row_bits_add(&few, 5);
	row_bits_add(&few, 12);
	for (int schema = FIELD_KEYWORD; schema <= FIELD_UUID; schema++) {
		struct field_index *f = index_new("k", (enum field_schema)schema);
		bool has = schema == FIELD_KEYWORD || schema == FIELD_INTEGER || schema == FIELD_BOOL || schema == FIELD_UUID;

		ck_assert_int_eq(field_index_has_facets(f), has);
		for (uint32_t i = 0; i < LEN(payloads); i++)
			ck_assert_int_eq(field_index_add(f, i, parsed[i]), ERR_NONE);
		struct told all = { 0 }, some = { 0 };
		if (has)
			ck_assert_int_eq(field_index_facets(f, NULL, tell, &all), ERR_NONE);
		if (has)
			ck_assert_int_eq(field_index_facets(f, &few, tell, &some), ERR_NONE);
		struct field_value red = { .kind = FIELD_VALUE_TEXT, .text = STR("red") };
		struct field_value seven = { .kind = FIELD_VALUE_INT, .integer = 7 };
		struct field_value true_ = { .kind = FIELD_VALUE_BOOL, .boolean = true };
		ck_assert_uint_eq(count_of(&all, red), schema == FIELD_KEYWORD ? 3 : 0);
		ck_assert_uint_eq(count_of(&some, red), schema == FIELD_KEYWORD ? 2 : 0);
		ck_assert_uint_eq(count_of(&all, seven), schema == FIELD_INTEGER ? 3 : 0);
		ck_assert_uint_eq(count_of(&some, seven), schema == FIELD_INTEGER ? 1 : 0);
		ck_assert_uint_eq(count_of(&all, true_), schema == FIELD_BOOL ? 3 : 0);
		ck_assert_uint_eq(count_of(&some, true_), schema == FIELD_BOOL ? 1 : 0);
		field_index_free(f);
	}
	row_bits_release(&few);
}
END_TEST

START_TEST(points_are_those_with_a_value_of_the_type)
{
	static const struct {
		enum field_schema schema;
		uint64_t points;
	} counts[] = {
		{ FIELD_KEYWORD, 14 }, { FIELD_INTEGER, 9 },   { FIELD_FLOAT, 15 }, { FIELD_BOOL, 3 },
		{ FIELD_TEXT, 14 },    { FIELD_DATETIME, 4 }, { FIELD_GEO, 4 },    { FIELD_UUID, 2 },
	};

	for (size_t n = 0; n < LEN(counts); n++) {
		struct field_index *f = index_new("k", counts[n].schema);

		for (uint32_t i = 0; i < LEN(payloads); i++)
			ck_assert_int_eq(field_index_add(f, i, parsed[i]), ERR_NONE);
		ck_assert_int_eq(field_index_add(f, 100, (struct value){ 0 }), ERR_NONE);
		ck_assert_uint_eq(field_index_points(f), counts[n].points);
		ck_assert_uint_gt(field_index_memory(f), 0);
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
		ck_assert_int_eq(field_index_rows(f, &c, &bits), ERR_NONE);
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
	tcase_add_test(t, texts_of_elements_fall_into_words_as_their_whole_key_says);
	tcase_add_test(t, without_phrases_an_index_of_texts_finds_none);
	tcase_add_test(t, facets_count_the_rows_of_each_value);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
