/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters: a table of payloads and conditions with what Qdrant answers, then how conditions
 * combine, then what filter_prepare() refuses.
 */
#include "index/filter.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MAX ((size_t)16 << 20)

static struct str texts_ab[] = { { "b", 1 }, { "a", 1 } };
static int64_t ints_35[] = { 5, -3 };
static struct point_id ids_7u[] = { { .hi = 1, .lo = 2, .kind = POINT_ID_UUID },
				    { .lo = 7, .kind = POINT_ID_NUM } };

/* A square from 10 to 20 with a hole from 12 to 14. */
static struct geo_point square[] = { { 10, 10 }, { 20, 10 }, { 20, 20 }, { 10, 20 }, { 10, 10 } };
static struct geo_point hole[] = { { 12, 12 }, { 14, 12 }, { 14, 14 }, { 12, 14 }, { 12, 12 } };
static struct geo_ring holes[] = { { hole, LEN(hole) } };

/* Of elements: b is 1, and c is red. */
static struct condition of_elements[2];
static struct filter element_filter = { .must = { of_elements, 2 } };

/* clang-format off */
#define MATCH_TEXT(t) { .kind = CONDITION_MATCH_TEXT_VALUE, .text = { (t), sizeof(t) - 1 } }
#define MATCH_INT(n) { .kind = CONDITION_MATCH_INT_VALUE, .integer = (n) }
#define MATCH_BOOL(b) { .kind = CONDITION_MATCH_BOOL_VALUE, .boolean = (b) }
#define ANY_TEXT { .kind = CONDITION_MATCH_ANY_TEXT, .texts = { texts_ab, LEN(texts_ab) } }
#define ANY_NO_TEXT { .kind = CONDITION_MATCH_ANY_TEXT }
#define ANY_INT { .kind = CONDITION_MATCH_ANY_INT, .ints = { ints_35, LEN(ints_35) } }
#define ANY_NO_INT { .kind = CONDITION_MATCH_ANY_INT }
#define EXCEPT_TEXT { .kind = CONDITION_MATCH_EXCEPT_TEXT, .texts = { texts_ab, LEN(texts_ab) } }
#define EXCEPT_NO_TEXT { .kind = CONDITION_MATCH_EXCEPT_TEXT }
#define EXCEPT_INT { .kind = CONDITION_MATCH_EXCEPT_INT, .ints = { ints_35, LEN(ints_35) } }
#define GT_LTE(a, b) { .kind = CONDITION_RANGE, \
		       .range = { .has_gt = true, .gt = (a), .has_lte = true, .lte = (b) } }
#define GTE_LT(a, b) { .kind = CONDITION_RANGE, \
		       .range = { .has_gte = true, .gte = (a), .has_lt = true, .lt = (b) } }
#define NO_BOUNDS { .kind = CONDITION_RANGE }
#define PREFIX(t) { .kind = CONDITION_MATCH_PREFIX, .text = { (t), sizeof(t) - 1 } }
#define WORDS(t) { .kind = CONDITION_MATCH_TEXT, .text = { (t), sizeof(t) - 1 } }
#define ANY_WORD(t) { .kind = CONDITION_MATCH_TEXT_ANY, .text = { (t), sizeof(t) - 1 } }
#define PHRASE(t) { .kind = CONDITION_MATCH_PHRASE, .text = { (t), sizeof(t) - 1 } }
/* 2024-02-29T12:00:00Z <= t < 2024-03-01 */
#define LEAP_NOON { .kind = CONDITION_DATETIME_RANGE, \
		    .times = { .has_gte = true, .gte = 1709208000000000, .has_lt = true, .lt = 1709251200000000 } }
#define COUNT_GT(n) { .kind = CONDITION_VALUES_COUNT, .counts = { .has_gt = true, .gt = (n) } }
#define COUNT_LTE(n) { .kind = CONDITION_VALUES_COUNT, .counts = { .has_lte = true, .lte = (n) } }
#define COUNT_2 { .kind = CONDITION_VALUES_COUNT, .counts = { .has_gte = true, .gte = 2, .has_lt = true, .lt = 3 } }
#define BOX { .kind = CONDITION_GEO_BOX, .box = { { 10, 20 }, { 20, 10 } } }
#define BOX_ACROSS { .kind = CONDITION_GEO_BOX, .box = { { 170, 10 }, { -170, -10 } } }
/* 2 km around Berlin */
#define CIRCLE { .kind = CONDITION_GEO_RADIUS, .circle = { { 13.423637, 52.511 }, 2000 } }
#define POLYGON { .kind = CONDITION_GEO_POLYGON, .polygon = { { square, LEN(square) }, holes, 1 } }
#define NESTED { .kind = CONDITION_NESTED, .filter = &element_filter }
/* SipHash-2-4 of the number is 0xb6ea513a7ef62bf0. */
#define SLICE_OF_7 0
#define SLICE(i) { .kind = CONDITION_SLICE, .slice = { 4, (i) } }
#define FIELD_IS_EMPTY(b) { .kind = CONDITION_FIELD_IS_EMPTY, .boolean = (b) }
#define FIELD_IS_NULL(b) { .kind = CONDITION_FIELD_IS_NULL, .boolean = (b) }
#define IS_EMPTY { .kind = CONDITION_IS_EMPTY }
#define IS_NULL { .kind = CONDITION_IS_NULL }
#define HAS_ID { .kind = CONDITION_HAS_ID, .ids = { ids_7u, LEN(ids_7u) } }
#define HAS_NO_ID { .kind = CONDITION_HAS_ID }
#define HAS_VECTOR(n) { .kind = CONDITION_HAS_VECTOR, .vector_name = { (n), sizeof(n) - 1 } }

/* The subject is point 7 and has the vectors "" and "image". */
static const struct {
	const char *payload;  /* NULL: none at all */
	const char *key;
	struct condition condition;
	bool expected;
} cases[] = {
	{ "{\"k\":\"red\"}", "k", MATCH_TEXT("red"), true },
	{ "{\"k\":\"red\"}", "k", MATCH_TEXT("re"), false },
	{ "{\"k\":\"re\"}", "k", MATCH_TEXT("red"), false },
	{ "{\"k\":\"Red\"}", "k", MATCH_TEXT("red"), false },
	{ "{\"k\":\"\"}", "k", MATCH_TEXT(""), true },
	{ "{\"k\":[\"blue\",\"red\"]}", "k", MATCH_TEXT("red"), true },
	{ "{\"k\":[[\"red\"]]}", "k", MATCH_TEXT("red"), false },
	{ "{\"k\":[[\"red\"]]}", "k[]", MATCH_TEXT("red"), true },
	{ "{\"k\":{\"red\":\"red\"}}", "k", MATCH_TEXT("red"), false },
	{ "{\"k\":1}", "k", MATCH_TEXT("1"), false },
	{ "{\"k\":null}", "k", MATCH_TEXT(""), false },
	{ "{\"k\":[]}", "k", MATCH_TEXT(""), false },
	{ "{}", "k", MATCH_TEXT("red"), false },
	{ NULL, "k", MATCH_TEXT("red"), false },
	{ "{\"a\":{\"b\":\"red\"}}", "a.b", MATCH_TEXT("red"), true },
	{ "{\"a\":[{\"b\":\"red\"}]}", "a.b", MATCH_TEXT("red"), false },
	{ "{\"a\":[{\"b\":1},{\"b\":\"red\"}]}", "a[].b", MATCH_TEXT("red"), true },
	{ "{\"a\":[{\"b\":1},{\"b\":\"red\"}]}", "a[0].b", MATCH_TEXT("red"), false },
	{ "{\"a\":[{\"b\":1},{\"b\":\"red\"}]}", "a[1].b", MATCH_TEXT("red"), true },

	{ "{\"k\":5}", "k", MATCH_INT(5), true },
	{ "{\"k\":-5}", "k", MATCH_INT(5), false },
	{ "{\"k\":5.0}", "k", MATCH_INT(5), false },
	{ "{\"k\":\"5\"}", "k", MATCH_INT(5), false },
	{ "{\"k\":[1,5]}", "k", MATCH_INT(5), true },
	{ "{\"k\":9223372036854775807}", "k", MATCH_INT(INT64_MAX), true },
	{ "{\"k\":18446744073709551615}", "k", MATCH_INT(-1), false },
	{ "{\"k\":true}", "k", MATCH_INT(1), false },
	{ "{\"k\":null}", "k", MATCH_INT(0), false },
	{ "{\"k\":[]}", "k", MATCH_INT(0), false },
	{ "{}", "k", MATCH_INT(0), false },

	{ "{\"k\":true}", "k", MATCH_BOOL(true), true },
	{ "{\"k\":true}", "k", MATCH_BOOL(false), false },
	{ "{\"k\":false}", "k", MATCH_BOOL(false), true },
	{ "{\"k\":[true,false]}", "k", MATCH_BOOL(false), true },
	{ "{\"k\":0}", "k", MATCH_BOOL(false), false },
	{ "{\"k\":null}", "k", MATCH_BOOL(false), false },
	{ "{}", "k", MATCH_BOOL(false), false },

	{ "{\"k\":\"a\"}", "k", ANY_TEXT, true },
	{ "{\"k\":\"b\"}", "k", ANY_TEXT, true },
	{ "{\"k\":\"c\"}", "k", ANY_TEXT, false },
	{ "{\"k\":[\"c\",\"b\"]}", "k", ANY_TEXT, true },
	{ "{\"k\":1}", "k", ANY_TEXT, false },
	{ "{\"k\":null}", "k", ANY_TEXT, false },
	{ "{\"k\":[]}", "k", ANY_TEXT, false },
	{ "{}", "k", ANY_TEXT, false },
	{ "{\"k\":\"a\"}", "k", ANY_NO_TEXT, false },

	{ "{\"k\":5}", "k", ANY_INT, true },
	{ "{\"k\":-3}", "k", ANY_INT, true },
	{ "{\"k\":4}", "k", ANY_INT, false },
	{ "{\"k\":5.0}", "k", ANY_INT, false },
	{ "{\"k\":[4,5]}", "k", ANY_INT, true },
	{ "{\"k\":\"5\"}", "k", ANY_INT, false },
	{ "{\"k\":null}", "k", ANY_INT, false },
	{ "{}", "k", ANY_INT, false },
	{ "{\"k\":5}", "k", ANY_NO_INT, false },

	{ "{\"k\":\"c\"}", "k", EXCEPT_TEXT, true },
	{ "{\"k\":\"a\"}", "k", EXCEPT_TEXT, false },
	{ "{\"k\":[\"a\",\"b\"]}", "k", EXCEPT_TEXT, false },
	{ "{\"k\":[\"a\",\"c\"]}", "k", EXCEPT_TEXT, true },
	{ "{\"k\":1}", "k", EXCEPT_TEXT, true },
	{ "{\"k\":1.5}", "k", EXCEPT_TEXT, true },
	{ "{\"k\":true}", "k", EXCEPT_TEXT, true },
	{ "{\"k\":{}}", "k", EXCEPT_TEXT, true },
	{ "{\"k\":[[\"a\"]]}", "k", EXCEPT_TEXT, true },
	{ "{\"k\":[[]]}", "k", EXCEPT_TEXT, true },
	{ "{\"k\":null}", "k", EXCEPT_TEXT, false },
	{ "{\"k\":[null]}", "k", EXCEPT_TEXT, false },
	{ "{\"k\":[]}", "k", EXCEPT_TEXT, false },
	{ "{}", "k", EXCEPT_TEXT, false },
	{ NULL, "k", EXCEPT_TEXT, false },
	{ "{\"k\":\"a\"}", "k", EXCEPT_NO_TEXT, true },

	{ "{\"k\":4}", "k", EXCEPT_INT, true },
	{ "{\"k\":5}", "k", EXCEPT_INT, false },
	{ "{\"k\":5.0}", "k", EXCEPT_INT, true },
	{ "{\"k\":18446744073709551615}", "k", EXCEPT_INT, true },
	{ "{\"k\":\"5\"}", "k", EXCEPT_INT, true },
	{ "{\"k\":false}", "k", EXCEPT_INT, true },
	{ "{\"k\":null}", "k", EXCEPT_INT, false },
	{ "{\"k\":[]}", "k", EXCEPT_INT, false },
	{ "{}", "k", EXCEPT_INT, false },

	{ "{\"k\":2}", "k", GT_LTE(1, 2), true },
	{ "{\"k\":1}", "k", GT_LTE(1, 2), false },
	{ "{\"k\":1.5}", "k", GT_LTE(1, 2), true },
	{ "{\"k\":2.5}", "k", GT_LTE(1, 2), false },
	{ "{\"k\":1}", "k", GTE_LT(1, 2), true },
	{ "{\"k\":2}", "k", GTE_LT(1, 2), false },
	{ "{\"k\":[0,9,1]}", "k", GTE_LT(1, 2), true },
	{ "{\"k\":[0,9]}", "k", GTE_LT(1, 2), false },
	{ "{\"k\":18446744073709551615}", "k", GTE_LT(1e19, 2e19), true },
	{ "{\"k\":-0.0}", "k", GTE_LT(0, 1), true },
	{ "{\"k\":\"1\"}", "k", GTE_LT(1, 2), false },
	{ "{\"k\":true}", "k", GTE_LT(1, 2), false },
	{ "{\"k\":null}", "k", GTE_LT(-1, 2), false },
	{ "{\"k\":[]}", "k", GTE_LT(-1, 2), false },
	{ "{}", "k", GTE_LT(-1, 2), false },
	{ "{\"k\":7}", "k", NO_BOUNDS, true },
	{ "{\"k\":\"7\"}", "k", NO_BOUNDS, false },

	{ "{}", "k", FIELD_IS_EMPTY(true), true },
	{ NULL, "k", FIELD_IS_EMPTY(true), true },
	{ "{\"k\":null}", "k", FIELD_IS_EMPTY(true), true },
	{ "{\"k\":[]}", "k", FIELD_IS_EMPTY(true), true },
	{ "{\"k\":[null]}", "k", FIELD_IS_EMPTY(true), false },
	{ "{\"k\":{}}", "k", FIELD_IS_EMPTY(true), false },
	{ "{\"k\":\"\"}", "k", FIELD_IS_EMPTY(true), false },
	{ "{\"k\":0}", "k", FIELD_IS_EMPTY(true), false },
	{ "{\"k\":[{\"a\":1},{\"a\":[]}]}", "k[].a", FIELD_IS_EMPTY(true), true },
	{ "{}", "k", FIELD_IS_EMPTY(false), false },
	{ NULL, "k", FIELD_IS_EMPTY(false), false },
	{ "{\"k\":null}", "k", FIELD_IS_EMPTY(false), false },
	{ "{\"k\":[]}", "k", FIELD_IS_EMPTY(false), false },
	{ "{\"k\":[null]}", "k", FIELD_IS_EMPTY(false), true },
	{ "{\"k\":{}}", "k", FIELD_IS_EMPTY(false), true },
	{ "{\"k\":0}", "k", FIELD_IS_EMPTY(false), true },

	{ "{}", "k", FIELD_IS_NULL(true), false },
	{ NULL, "k", FIELD_IS_NULL(true), false },
	{ "{\"k\":null}", "k", FIELD_IS_NULL(true), true },
	{ "{\"k\":[]}", "k", FIELD_IS_NULL(true), false },
	{ "{\"k\":[1,null]}", "k", FIELD_IS_NULL(true), true },
	{ "{\"k\":[[null]]}", "k", FIELD_IS_NULL(true), false },
	{ "{\"k\":0}", "k", FIELD_IS_NULL(true), false },
	{ "{}", "k", FIELD_IS_NULL(false), true },
	{ NULL, "k", FIELD_IS_NULL(false), true },
	{ "{\"k\":null}", "k", FIELD_IS_NULL(false), false },
	{ "{\"k\":[]}", "k", FIELD_IS_NULL(false), true },
	{ "{\"k\":[1,null]}", "k", FIELD_IS_NULL(false), false },
	{ "{\"k\":0}", "k", FIELD_IS_NULL(false), true },

	{ "{}", "k", IS_EMPTY, true },
	{ NULL, "k", IS_EMPTY, true },
	{ "{\"k\":null}", "k", IS_EMPTY, true },
	{ "{\"k\":[]}", "k", IS_EMPTY, true },
	{ "{\"k\":[null]}", "k", IS_EMPTY, false },
	{ "{\"k\":\"\"}", "k", IS_EMPTY, false },
	{ "{\"k\":{}}", "k", IS_EMPTY, false },
	{ "{\"a\":[{\"b\":null},{\"b\":[]},{}]}", "a[].b", IS_EMPTY, true },
	{ "{\"a\":[{\"b\":null},{\"b\":1}]}", "a[].b", IS_EMPTY, false },

	{ "{}", "k", IS_NULL, false },
	{ NULL, "k", IS_NULL, false },
	{ "{\"k\":null}", "k", IS_NULL, true },
	{ "{\"k\":[]}", "k", IS_NULL, false },
	{ "{\"k\":[null]}", "k", IS_NULL, false },
	{ "{\"k\":0}", "k", IS_NULL, false },
	{ "{\"a\":[{\"b\":1},{\"b\":null}]}", "a[].b", IS_NULL, true },
	{ "{\"a\":[{\"b\":1},{\"b\":2}]}", "a[].b", IS_NULL, false },

	{ "{\"k\":\"brown fox\"}", "k", PREFIX("brown"), true },
	{ "{\"k\":\"brown fox\"}", "k", PREFIX("brown fox"), true },
	{ "{\"k\":\"brown fox\"}", "k", PREFIX(""), true },
	{ "{\"k\":\"brown fox\"}", "k", PREFIX("Brown"), false },
	{ "{\"k\":\"brown fox\"}", "k", PREFIX("fox"), false },
	{ "{\"k\":\"brown\"}", "k", PREFIX("brown fox"), false },
	{ "{\"k\":[\"x\",\"brown\"]}", "k", PREFIX("bro"), true },
	{ "{\"k\":null}", "k", PREFIX(""), false },
	{ "{\"k\":[]}", "k", PREFIX(""), false },
	{ "{}", "k", PREFIX(""), false },
	{ "{\"k\":1}", "k", PREFIX(""), false },

	{ "{\"k\":\"the brown fox\"}", "k", WORDS("brown"), true },
	{ "{\"k\":\"the brown fox\"}", "k", WORDS("row"), true },
	{ "{\"k\":\"the brown fox\"}", "k", WORDS("fox brown"), false },
	{ "{\"k\":\"the brown fox\"}", "k", WORDS("Brown"), false },
	{ "{\"k\":\"\"}", "k", WORDS(""), true },
	{ "{\"k\":[\"x\",\"brown\"]}", "k", WORDS("brown"), true },
	{ "{\"k\":[[\"brown\"]]}", "k", WORDS("brown"), false },
	{ "{\"k\":7}", "k", WORDS("7"), false },
	{ "{\"k\":null}", "k", WORDS(""), false },
	{ "{\"k\":[]}", "k", WORDS(""), false },
	{ "{}", "k", WORDS(""), false },

	{ "{\"k\":\"the brown fox\"}", "k", ANY_WORD("red  brown"), true },
	{ "{\"k\":\"the brown fox\"}", "k", ANY_WORD(" fox\n"), true },
	{ "{\"k\":\"the brown fox\"}", "k", ANY_WORD("red dog"), false },
	{ "{\"k\":\"the brown fox\"}", "k", ANY_WORD(""), false },
	{ "{\"k\":null}", "k", ANY_WORD("a"), false },
	{ "{}", "k", ANY_WORD("a"), false },

	{ "{\"k\":\"the brown fox\"}", "k", PHRASE("brown fox"), true },
	{ "{\"k\":\"the brown fox\"}", "k", PHRASE("the fox"), false },
	{ "{\"k\":[\"a\",\"brown fox\"]}", "k", PHRASE("brown fox"), true },
	{ "{}", "k", PHRASE("a"), false },

	{ "{\"k\":\"2024-02-29T12:00:00Z\"}", "k", LEAP_NOON, true },
	{ "{\"k\":\"2024-02-29T11:59:59.999999Z\"}", "k", LEAP_NOON, false },
	{ "{\"k\":\"2024-03-01\"}", "k", LEAP_NOON, false },
	{ "{\"k\":\"2024-03-01T00:30:00+01:00\"}", "k", LEAP_NOON, true },
	{ "{\"k\":[\"2020-01-01\",\"2024-02-29 13:00\"]}", "k", LEAP_NOON, true },
	{ "{\"k\":\"yesterday\"}", "k", LEAP_NOON, false },
	{ "{\"k\":1709208000}", "k", LEAP_NOON, false },
	{ "{\"k\":null}", "k", LEAP_NOON, false },
	{ "{\"k\":[]}", "k", LEAP_NOON, false },
	{ "{}", "k", LEAP_NOON, false },

	{ "{\"k\":[1,2]}", "k", COUNT_2, true },
	{ "{\"k\":[1,2,3]}", "k", COUNT_2, false },
	{ "{\"k\":[1]}", "k", COUNT_2, false },
	{ "{\"k\":5}", "k", COUNT_GT(0), true },
	{ "{\"k\":{\"a\":1,\"b\":2}}", "k", COUNT_GT(1), false },
	{ "{\"k\":{}}", "k", COUNT_GT(0), true },
	{ "{\"k\":[null]}", "k", COUNT_GT(0), true },
	{ "{\"k\":null}", "k", COUNT_LTE(0), true },
	{ "{\"k\":null}", "k", COUNT_GT(0), false },
	{ "{\"k\":[]}", "k", COUNT_LTE(0), true },
	{ "{}", "k", COUNT_LTE(0), true },
	{ NULL, "k", COUNT_LTE(0), true },
	{ "{}", "k", COUNT_GT(0), false },
	{ "{\"a\":[{\"b\":[1]},{\"b\":[1,2]}]}", "a[].b", COUNT_2, true },

	{ "{\"k\":{\"lon\":15,\"lat\":15}}", "k", BOX, true },
	{ "{\"k\":{\"lon\":10,\"lat\":15}}", "k", BOX, false },
	{ "{\"k\":{\"lon\":15,\"lat\":20}}", "k", BOX, false },
	{ "{\"k\":[{\"lon\":0,\"lat\":0},{\"lon\":15.5,\"lat\":15}]}", "k", BOX, true },
	{ "{\"k\":{\"lon\":15}}", "k", BOX, false },
	{ "{\"k\":{\"lon\":\"15\",\"lat\":15}}", "k", BOX, false },
	{ "{\"k\":[15,15]}", "k", BOX, false },
	{ "{\"k\":null}", "k", BOX, false },
	{ "{}", "k", BOX, false },
	{ "{\"k\":{\"lon\":175,\"lat\":0}}", "k", BOX_ACROSS, true },
	{ "{\"k\":{\"lon\":-175,\"lat\":0}}", "k", BOX_ACROSS, true },
	{ "{\"k\":{\"lon\":0,\"lat\":0}}", "k", BOX_ACROSS, false },

	{ "{\"k\":{\"lon\":13.413637435864272,\"lat\":52.52197645}}", "k", CIRCLE, true },
	{ "{\"k\":{\"lon\":37.62137960067377,\"lat\":55.7536283}}", "k", CIRCLE, false },
	{ "{\"k\":[]}", "k", CIRCLE, false },
	{ "{}", "k", CIRCLE, false },

	{ "{\"k\":{\"lon\":15,\"lat\":15}}", "k", POLYGON, true },
	{ "{\"k\":{\"lon\":13,\"lat\":13}}", "k", POLYGON, false },
	{ "{\"k\":{\"lon\":12,\"lat\":13}}", "k", POLYGON, false },
	{ "{\"k\":{\"lon\":10,\"lat\":15}}", "k", POLYGON, false },
	{ "{\"k\":{\"lon\":9,\"lat\":15}}", "k", POLYGON, false },
	{ "{\"k\":null}", "k", POLYGON, false },

	{ "{\"k\":[{\"b\":1,\"c\":\"red\"}]}", "k", NESTED, true },
	{ "{\"k\":[{\"b\":1,\"c\":\"red\"}]}", "k[]", NESTED, true },
	{ "{\"k\":[{\"b\":1},{\"c\":\"red\"}]}", "k", NESTED, false },
	{ "{\"k\":[7,{\"b\":[0,1],\"c\":\"red\"}]}", "k", NESTED, true },
	{ "{\"k\":{\"b\":1,\"c\":\"red\"}}", "k", NESTED, false },
	{ "{\"a\":[{\"k\":[{\"b\":1,\"c\":\"red\"}]}]}", "a[].k", NESTED, true },
	{ "{\"k\":null}", "k", NESTED, false },
	{ "{\"k\":[]}", "k", NESTED, false },
	{ "{}", "k", NESTED, false },

	{ "{}", NULL, SLICE(SLICE_OF_7), true },
	{ "{}", NULL, SLICE((SLICE_OF_7 + 1) % 4), false },

	{ "{}", NULL, HAS_ID, true },
	{ NULL, NULL, HAS_ID, true },
	{ "{}", NULL, HAS_NO_ID, false },
	{ "{}", NULL, HAS_VECTOR(""), true },
	{ NULL, NULL, HAS_VECTOR("image"), true },
	{ "{}", NULL, HAS_VECTOR("imag"), false },
};
/* clang-format on */

struct bed {
	struct arena arena;
	struct buf payload;
	struct filter_subject subject;
};

static bool has_vector(const struct filter_subject *s, struct str name)
{
	ck_assert_str_eq(s->ctx, "ctx");
	return name.len == 0 || (name.len == 5 && memcmp(name.data, "image", 5) == 0);
}

static void bed_init(struct bed *b, const char *payload)
{
	*b = (struct bed){ .payload = BUF_INIT(1 << 20),
			   .subject = { .id = { .lo = 7, .kind = POINT_ID_NUM },
					.has_vector = has_vector,
					.ctx = "ctx" } };
	arena_init(&b->arena, ARENA_MAX);
	if (!payload)
		return;
	struct str text = { payload, strlen(payload) };
	struct json_reader r = json_reader_of(text, &b->arena);
	ck_assert_msg(!value_from_json(&r, &b->arena, &b->payload), "payload %s", payload);
	b->subject.payload = value_of_buf(&b->payload);
}

static void bed_release(struct bed *b)
{
	buf_release(&b->payload);
	arena_release(&b->arena);
}

static struct condition parsed(struct condition c, const char *key);

static void setup_elements(void)
{
	of_elements[0] = parsed((struct condition)MATCH_INT(1), "b");
	of_elements[1] = parsed((struct condition)MATCH_TEXT("red"), "c");
}

static struct condition parsed(struct condition c, const char *key)
{
	struct fault fault = { .err = ERR_NONE };

	if (key) {
		enum err e = path_parse((struct str){ key, strlen(key) }, &c.key, &fault);
		ck_assert_msg(!e, "path %s: %s", key, fault_text(&fault));
	}
	return c;
}

START_TEST(elements_have_neither_ids_nor_vectors_nor_slices)
{
	static const struct condition kinds[] = { HAS_ID, HAS_VECTOR(""), SLICE(SLICE_OF_7) };

	for (size_t i = 0; i < LEN(kinds); i++) {
		struct bed b;
		struct condition inner = kinds[i];
		struct filter f = { .must = { &inner, 1 } };
		struct condition nested =
			parsed((struct condition){ .kind = CONDITION_NESTED, .filter = &f }, "k");
		struct filter outer = { .must = { &nested, 1 } };

		bed_init(&b, "{\"k\":[{}]}");
		ck_assert_int_eq(filter_prepare(&outer, NULL), ERR_NONE);
		ck_assert(filter_match(&f, &b.subject));
		ck_assert_msg(!filter_match(&outer, &b.subject), "row %zu", i);
		bed_release(&b);
	}
}
END_TEST

START_TEST(slices_are_disjoint_and_hold_every_point)
{
	for (uint64_t n = 0; n < 300; n++) {
		const struct filter_subject s = { .id = { .lo = n, .hi = n % 2 ? n * 31 : 0,
							  .kind = n % 2 ? POINT_ID_UUID : POINT_ID_NUM } };
		int found = 0;

		for (uint32_t i = 0; i < 7; i++) {
			struct condition c = { .kind = CONDITION_SLICE, .slice = { 7, i } };
			struct filter f = { .must = { &c, 1 } };

			ck_assert_int_eq(filter_prepare(&f, NULL), ERR_NONE);
			found += filter_match(&f, &s);
		}
		ck_assert_int_eq(found, 1);
	}
}
END_TEST

/* One condition as must, as must_not, as should and nested once. */
START_TEST(conditions_answer_as_qdrant_does)
{
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bed b;
		bed_init(&b, cases[i].payload);
		struct condition c = parsed(cases[i].condition, cases[i].key);
		struct filter inner = { .should = { &c, 1 } };
		struct condition nested = { .kind = CONDITION_FILTER, .filter = &inner };
		struct filter must = { .must = { &c, 1 } }, must_not = { .must_not = { &c, 1 } };
		struct filter outer = { .must = { &nested, 1 } };
		ck_assert_int_eq(filter_prepare(&must, NULL), ERR_NONE);
		ck_assert_int_eq(filter_prepare(&outer, NULL), ERR_NONE);
		const char *payload = cases[i].payload ? cases[i].payload : "no payload";
		ck_assert_msg(filter_match(&must, &b.subject) == cases[i].expected, "row %zu: %s",
			      i, payload);
		ck_assert_msg(filter_match(&must_not, &b.subject) != cases[i].expected,
			      "row %zu, must_not", i);
		ck_assert_msg(filter_match(&inner, &b.subject) == cases[i].expected,
			      "row %zu, should", i);
		ck_assert_msg(filter_match(&outer, &b.subject) == cases[i].expected,
			      "row %zu, nested", i);
		bed_release(&b);
	}
}
END_TEST

START_TEST(every_condition_has_a_case_for_both_answers)
{
	static const char *const names[] = {
#define COND(name, object, json_key, proto_tag, argument, evaluator) [CONDITION_##name] = #name,
#include "index/filter.def"
#undef COND
	};
	bool seen[CONDITION_COUNT][2] = { { false } };
	/* Every case is also run nested in a filter. */
	seen[CONDITION_FILTER][0] = seen[CONDITION_FILTER][1] = true;
	for (size_t i = 0; i < LEN(cases); i++)
		seen[cases[i].condition.kind][cases[i].expected] = true;
	for (size_t kind = 0; kind < CONDITION_COUNT; kind++)
		for (int answer = 0; answer < 2; answer++)
			ck_assert_msg(seen[kind][answer], "%s is never %s", names[kind],
				      answer ? "true" : "false");
}
END_TEST

START_TEST(ids_and_vectors_of_other_points_do_not_match)
{
	struct condition id = HAS_ID, vector = HAS_VECTOR("");
	struct filter by_id = { .must = { &id, 1 } }, by_vector = { .must = { &vector, 1 } };
	struct filter_subject s = { .id = { .lo = 8, .kind = POINT_ID_NUM } };
	ck_assert_int_eq(filter_prepare(&by_id, NULL), ERR_NONE);
	ck_assert(!filter_match(&by_id, &s));
	s.id = (struct point_id){ .lo = 7, .kind = POINT_ID_UUID };
	ck_assert(!filter_match(&by_id, &s));
	s.id = (struct point_id){ .hi = 1, .lo = 2, .kind = POINT_ID_UUID };
	ck_assert(filter_match(&by_id, &s));
	ck_assert(!filter_match(&by_vector, &s));
}
END_TEST

/* --- combining --- */

/* clang-format off */
#define YES { .kind = CONDITION_HAS_VECTOR, .vector_name = { "", 0 } }
#define NO { .kind = CONDITION_HAS_VECTOR, .vector_name = { "x", 1 } }
/* clang-format on */

START_TEST(clauses_are_anded_and_combine_their_conditions)
{
	/* How many of the two conditions of each clause hold; -1: no such clause. */
	static const struct {
		int must, should, must_not, min_should;
		uint32_t min_count;
		bool expected;
	} combinations[] = {
		{ -1, -1, -1, -1, 0, true }, { 2, -1, -1, -1, 0, true },
		{ 1, -1, -1, -1, 0, false }, { 0, -1, -1, -1, 0, false },
		{ -1, 2, -1, -1, 0, true },  { -1, 1, -1, -1, 0, true },
		{ -1, 0, -1, -1, 0, false }, { -1, -1, 0, -1, 0, true },
		{ -1, -1, 1, -1, 0, false }, { -1, -1, 2, -1, 0, false },
		{ -1, -1, -1, 2, 2, true },  { -1, -1, -1, 1, 2, false },
		{ -1, -1, -1, 1, 1, true },  { -1, -1, -1, 0, 1, false },
		{ -1, -1, -1, 0, 0, true },  { -1, -1, -1, 2, 3, false },
		{ 2, 1, 0, 1, 1, true },     { 1, 1, 0, 1, 1, false },
		{ 2, 0, 0, 1, 1, false },    { 2, 1, 1, 1, 1, false },
		{ 2, 1, 0, 0, 1, false },
	};
	static struct condition lists[3][2] = { { NO, NO }, { NO, YES }, { YES, YES } };
	struct bed b;
	bed_init(&b, "{}");
	for (size_t i = 0; i < LEN(combinations); i++) {
		struct filter f = {
			.has_min_should = combinations[i].min_should >= 0,
			.min_count = combinations[i].min_count,
		};
		struct condition_list *clauses[] = { &f.must, &f.should, &f.must_not,
						     &f.min_should };
		const int held[] = { combinations[i].must, combinations[i].should,
				     combinations[i].must_not, combinations[i].min_should };
		for (size_t clause = 0; clause < LEN(clauses); clause++)
			if (held[clause] >= 0)
				*clauses[clause] =
					(struct condition_list){ lists[held[clause]], 2 };
		ck_assert_int_eq(filter_prepare(&f, NULL), ERR_NONE);
		ck_assert_msg(filter_match(&f, &b.subject) == combinations[i].expected, "row %zu",
			      i);
	}
	struct filter none_wanted = { .has_min_should = true, .min_count = 1 };
	ck_assert(!filter_match(&none_wanted, &b.subject));
	ck_assert(filter_match(NULL, &b.subject));
	struct condition nothing = { .kind = CONDITION_FILTER };
	struct filter around = { .must = { &nothing, 1 } };
	ck_assert_int_eq(filter_prepare(&around, NULL), ERR_NONE);
	ck_assert(filter_match(&around, &b.subject));
	bed_release(&b);
}
END_TEST

START_TEST(large_sets_are_sorted_and_searched)
{
	enum { COUNT = 1000 };
	static int64_t ints[COUNT];
	static char names[COUNT][8];
	static struct str texts[COUNT];
	for (int i = 0; i < COUNT; i++) {
		ints[i] = (i * 7919LL % COUNT - 500) * 2;
		snprintf(names[i], sizeof(names[i]), "%lld", (long long)ints[i]);
		texts[i] = (struct str){ names[i], strlen(names[i]) };
	}
	struct condition c[] = {
		parsed((struct condition){ .kind = CONDITION_MATCH_ANY_INT,
					   .ints = { ints, COUNT } },
		       "i"),
		parsed((struct condition){ .kind = CONDITION_MATCH_ANY_TEXT,
					   .texts = { texts, COUNT } },
		       "s"),
	};
	struct filter by_int = { .must = { &c[0], 1 } }, by_text = { .must = { &c[1], 1 } };
	ck_assert_int_eq(filter_prepare(&by_int, NULL), ERR_NONE);
	ck_assert_int_eq(filter_prepare(&by_text, NULL), ERR_NONE);
	for (int i = -1100; i < 1100; i += 11) {
		char payload[64];
		struct bed b;
		bool expected = i % 2 == 0 && i >= -1000 && i < 1000;
		snprintf(payload, sizeof(payload), "{\"i\":%d,\"s\":\"%d\"}", i, i);
		bed_init(&b, payload);
		ck_assert_msg(filter_match(&by_int, &b.subject) == expected, "%d", i);
		ck_assert_msg(filter_match(&by_text, &b.subject) == expected, "%d", i);
		bed_release(&b);
	}
}
END_TEST

/* --- bounds --- */

static enum err prepare_nested(unsigned depth, struct fault *ret_fault)
{
	struct filter filters[FILTER_DEPTH_MAX + 1] = { 0 };
	struct condition conditions[FILTER_DEPTH_MAX + 1];

	ck_assert_uint_le(depth, LEN(filters));
	for (unsigned i = 0; i + 1 < depth; i++) {
		conditions[i] =
			(struct condition){ .kind = CONDITION_FILTER, .filter = &filters[i + 1] };
		filters[i].must_not = (struct condition_list){ &conditions[i], 1 };
	}
	return filter_prepare(&filters[0], ret_fault);
}

START_TEST(too_deep_filters_are_refused)
{
	struct fault fault = { .err = ERR_NONE };
	ck_assert_int_eq(prepare_nested(FILTER_DEPTH_MAX, &fault), ERR_NONE);
	ck_assert_int_eq(prepare_nested(FILTER_DEPTH_MAX + 1, &fault), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(fault_text(&fault), "16"));
}
END_TEST

START_TEST(too_many_conditions_are_refused_wherever_they_are)
{
	static struct condition many[FILTER_CONDITIONS_MAX];
	struct fault fault = { .err = ERR_NONE };
	for (size_t i = 0; i < LEN(many); i++)
		many[i] = (struct condition)NO;
	struct filter inner = { .should = { many, 24 } };
	struct condition nested = { .kind = CONDITION_FILTER, .filter = &inner };
	struct filter f = { .must = { &nested, 1 },
			    .min_should = { many, FILTER_CONDITIONS_MAX - 25 } };
	ck_assert_int_eq(filter_prepare(&f, &fault), ERR_NONE);
	inner.should.count = 25;
	ck_assert_int_eq(filter_prepare(&f, &fault), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(fault_text(&fault), "1024"));
}
END_TEST

START_TEST(too_many_values_are_refused_over_all_sets)
{
	static int64_t ints[FILTER_VALUES_MAX];
	static struct point_id ids[2];
	struct fault fault = { .err = ERR_NONE };
	struct condition c[] = {
		{ .kind = CONDITION_MATCH_EXCEPT_INT, .ints = { ints, FILTER_VALUES_MAX - 1 } },
		{ .kind = CONDITION_HAS_ID, .ids = { ids, 1 } },
	};
	struct filter f = { .must = { c, 2 } };
	ck_assert_int_eq(filter_prepare(&f, &fault), ERR_NONE);
	c[1].ids.count = 2;
	ck_assert_int_eq(filter_prepare(&f, &fault), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(fault_text(&fault), "16384"));
}
END_TEST

START_TEST(a_slice_out_of_its_total_is_refused)
{
	static const struct slice bad[] = { { 0, 0 }, { 4, 4 }, { 1, 7 } };

	for (size_t i = 0; i < LEN(bad); i++) {
		struct condition c = { .kind = CONDITION_SLICE, .slice = bad[i] };
		struct filter f = { .must = { &c, 1 } };
		struct fault fault = { 0 };

		ck_assert_int_eq(filter_prepare(&f, &fault), ERR_BAD_INPUT);
		ck_assert_ptr_nonnull(strstr(fault_text(&fault), "slice"));
	}
}
END_TEST

START_TEST(an_open_polygon_is_refused)
{
	static struct geo_point open[] = { { 0, 0 }, { 1, 0 }, { 1, 1 }, { 0, 1 } };
	struct geo_ring inside = { open, LEN(open) };
	struct condition c[] = {
		{ .kind = CONDITION_GEO_POLYGON, .polygon = { .exterior = { open, 3 } } },
		{ .kind = CONDITION_GEO_POLYGON, .polygon = { .exterior = { open, 4 } } },
		{ .kind = CONDITION_GEO_POLYGON, .polygon = { { square, LEN(square) }, &inside, 1 } },
	};

	for (size_t i = 0; i < LEN(c); i++) {
		struct filter f = { .must = { &c[i], 1 } };
		struct fault fault = { 0 };

		ck_assert_int_eq(filter_prepare(&f, &fault), ERR_BAD_INPUT);
		ck_assert_ptr_nonnull(strstr(fault_text(&fault), "polygon"));
	}
}
END_TEST

START_TEST(a_nested_key_without_room_for_its_elements_is_refused)
{
	struct filter inner = { 0 };
	struct condition c = parsed((struct condition){ .kind = CONDITION_NESTED, .filter = &inner },
				    "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a");
	struct filter f = { .must = { &c, 1 } };

	ck_assert_int_eq(filter_prepare(&f, NULL), ERR_BAD_INPUT);
	c.key.count--;
	ck_assert_int_eq(filter_prepare(&f, NULL), ERR_NONE);
	ck_assert_uint_eq(c.key.count, PATH_STEPS_MAX);
	ck_assert_int_eq(filter_prepare(&f, NULL), ERR_NONE);
	ck_assert_uint_eq(c.key.count, PATH_STEPS_MAX);
}
END_TEST

START_TEST(unknown_kind_is_refused)
{
	struct condition c = { .kind = CONDITION_COUNT };
	struct filter f = { .must = { &c, 1 } };
	ck_assert_int_eq(filter_prepare(&f, NULL), ERR_BAD_INPUT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("filter");
	TCase *t = tcase_create("filter");
	tcase_add_test(t, too_deep_filters_are_refused);
	tcase_add_test(t, too_many_conditions_are_refused_wherever_they_are);
	tcase_add_test(t, too_many_values_are_refused_over_all_sets);
	tcase_add_checked_fixture(t, setup_elements, NULL);
	tcase_add_test(t, unknown_kind_is_refused);
	tcase_add_test(t, a_slice_out_of_its_total_is_refused);
	tcase_add_test(t, an_open_polygon_is_refused);
	tcase_add_test(t, a_nested_key_without_room_for_its_elements_is_refused);
	tcase_add_test(t, elements_have_neither_ids_nor_vectors_nor_slices);
	tcase_add_test(t, slices_are_disjoint_and_hold_every_point);
	tcase_add_test(t, conditions_answer_as_qdrant_does);
	tcase_add_test(t, every_condition_has_a_case_for_both_answers);
	tcase_add_test(t, ids_and_vectors_of_other_points_do_not_match);
	tcase_add_test(t, clauses_are_anded_and_combine_their_conditions);
	tcase_add_test(t, large_sets_are_sorted_and_searched);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
