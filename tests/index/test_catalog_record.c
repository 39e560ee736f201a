/* SPDX-License-Identifier: Apache-2.0 */
#include "index/catalog_record.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct vector_config vectors[] = {
	{ .name = { "", 0 },
	  .dim = 3,
	  .distance = DISTANCE_DOT,
	  .hnsw = { .m = 16, .ef_construct = 100, .full_scan_threshold_kb = 300 } },
	{ .name = { "w", 1 }, .sparse = true },
};
static struct field_index_config fields[] = {
	{ .key = { "a.b", 3 },
	  .schema = FIELD_INTEGER,
	  .client_params = { (const uint8_t *)"{}", 2 } },
};
static uint32_t uids[] = { 7, 258 };

static struct catalog_record example(void)
{
	return (struct catalog_record){
		.name = STR("things"),
		.config = { .vectors = vectors,
			    .vector_count = 2,
			    .shard_number = 2,
			    .indexing_threshold_kb = 20000,
			    .multi_writer = true,
			    .client_config = { (const uint8_t *)"xy", 2 } },
		.uids = uids,
		.fields = { fields, 1 },
	};
}

START_TEST(every_damaged_byte_and_every_cut_is_refused)
{
	struct arena a;
	struct buf b = BUF_INIT(1000);
	struct catalog_record r = example();

	arena_init(&a, 1 << 20);
	ck_assert_int_eq(catalog_record_put(&b, &r), ERR_NONE);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 0x21;
		ck_assert_int_eq(catalog_record_get(buf_bytes(&b), &a, &r), ERR_CORRUPT);
		b.data[i] ^= 0x21;
		ck_assert_int_eq(catalog_record_get((struct bytes){ b.data, i }, &a, &r),
				 ERR_CORRUPT);
	}
	ck_assert_int_eq(catalog_record_get(buf_bytes(&b), &a, &r), ERR_NONE);
	buf_release(&b);
	arena_release(&a);
}
END_TEST

START_TEST(impossible_configs_are_refused)
{
	static const struct {
		struct vector_config vectors[2];
		uint32_t count, shards;
		const char *words;
	} cases[] = {
		{ .count = 0, .shards = 0, .words = "shard_number" },
		{ .count = 0, .shards = COLLECTION_SHARDS_MAX + 1, .words = "shard_number" },
		{ .count = COLLECTION_VECTORS_MAX + 1, .shards = 1, .words = "257 vectors" },
		{ { { .name = { "v", 1 }, .dim = 0, .distance = DISTANCE_DOT } }, 1, 1, "\"v\"" },
		{ { { .name = { "v", 1 }, .dim = VECTOR_DIM_MAX + 1, .distance = DISTANCE_DOT } },
		  1,
		  1,
		  "65537" },
		{ { { .name = { "v", 1 }, .dim = 3 } }, 1, 1, "distance" },
		{ { { .name = { "v", 1 }, .sparse = true },
		    { .name = { "v", 1 }, .sparse = true } },
		  2,
		  1,
		  "twice" },
		{ { { .name = { "w", 1 }, .sparse = true },
		    { .name = { "v", 1 }, .sparse = true } },
		  2,
		  1,
		  "order" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct vector_config copy[2] = { cases[i].vectors[0], cases[i].vectors[1] };
		struct collection_config c = { .vectors = copy,
					       .vector_count = cases[i].count,
					       .shard_number = cases[i].shards };
		struct fault fault = { 0 };

		ck_assert_int_eq(catalog_config_check(&c, &fault), ERR_BAD_INPUT);
		ck_assert_msg(strstr(fault.text, cases[i].words), "%s", fault.text);
	}
	struct catalog_record r = example();

	ck_assert_int_eq(catalog_config_check(&r.config, NULL), ERR_NONE);
}
END_TEST

START_TEST(record_is_these_bytes)
{
	static const uint8_t expected[] = {
		1,    0,   6,    't', 'h', 'i',           'n', 'g', 's', 2, 0, 0, 3, 3,
		16,   100, 0xac, 2,   1,   'w',           1,   0,   0,   0, 0, 0, 2, 0xa0,
		0x9c, 1,   1,    2,   'x', 'y',           7,   0,   0,   0, 2, 1, 0, 0,
		1,    3,   'a',  '.', 'b', FIELD_INTEGER, 2,   '{', '}',
	};
	struct arena a;
	struct buf b = BUF_INIT(1000);
	struct catalog_record r = example(), back;

	arena_init(&a, 1 << 20);
	ck_assert_int_eq(catalog_record_put(&b, &r), ERR_NONE);
	ck_assert_uint_eq(b.len, sizeof(expected) + 8);
	ck_assert_int_eq(memcmp(b.data, expected, sizeof(expected)), 0);
	ck_assert_int_eq(catalog_record_get(buf_bytes(&b), &a, &back), ERR_NONE);
	ck_assert(!back.dropped && back.name.len == 6 && back.uids[1] == 258 &&
		  back.config.multi_writer);
	ck_assert(back.config.vectors[0].hnsw.full_scan_threshold_kb == 300 &&
		  back.config.vectors[1].sparse);
	ck_assert(back.fields.count == 1 && back.fields.items[0].schema == FIELD_INTEGER);
	buf_release(&b);
	arena_release(&a);
}
END_TEST

START_TEST(types_of_components_come_back_from_a_record_of_version_2)
{
	struct vector_config typed[2] = { vectors[0], vectors[1] };
	struct catalog_record r = example(), back;
	struct buf b = BUF_INIT(1000);
	struct arena a;

	arena_init(&a, 1 << 20);
	typed[0].datatype = DATATYPE_UINT8;
	r.config.vectors = typed;
	ck_assert_int_eq(catalog_record_put(&b, &r), ERR_NONE);
	ck_assert_uint_eq(b.data[0], 2);
	ck_assert_int_eq(catalog_record_get(buf_bytes(&b), &a, &back), ERR_NONE);
	ck_assert_int_eq(back.config.vectors[0].datatype, DATATYPE_UINT8);
	ck_assert(!back.config.vectors[0].sparse && back.config.vectors[1].sparse);
	buf_release(&b);
	arena_release(&a);
}
END_TEST

START_TEST(key_sorts_by_time_then_region)
{
	uint8_t key[CATALOG_KEY_BYTES];
	static const uint8_t expected[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };

	catalog_key((struct incarnation){ .hlc = 0x0102030405060708, .region = 9 }, key);
	ck_assert_int_eq(memcmp(key, expected, sizeof(key)), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("catalog_record");
	TCase *t = tcase_create("all");

	tcase_add_test(t, every_damaged_byte_and_every_cut_is_refused);
	tcase_add_test(t, impossible_configs_are_refused);
	tcase_add_test(t, record_is_these_bytes);
	tcase_add_test(t, types_of_components_come_back_from_a_record_of_version_2);
	tcase_add_test(t, key_sorts_by_time_then_region);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
