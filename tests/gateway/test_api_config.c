/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configurations of collections: what the index is told, what the client is shown, and how PATCH changes it.
 */
#include "gateway/api_inner.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static struct arena arena;

static void set_up(void)
{
	arena_init(&arena, SIZE_MAX);
}

static void tear_down(void)
{
	arena_release(&arena);
}

static void read_message(const struct message *m, const char *json, void *out)
{
	struct json_reader r = json_reader_of((struct str){ json, strlen(json) }, &arena);
	struct fault f = { 0 };

	message_set_defaults(m, out);
	ck_assert_msg(message_from_json(m, &r, &arena, out, &f) == ERR_NONE, "%s: %s", json,
		      f.text);
}

static struct collection_config build(const char *json, struct msg_collection_create *m)
{
	struct collection_config config;
	struct fault f = { 0 };

	*m = (struct msg_collection_create){ 0 };
	read_message(&message_collection_create, json, m);
	m->collection_name = STR("c");
	ck_assert_msg(api_config_build(&arena, m, &config, &f) == ERR_NONE, "%s: %s", json, f.text);
	return config;
}

static const char *json_of(const struct message *m, const void *in)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SIZE_MAX);
	struct json_writer w = json_writer_to(&b);

	message_to_json(m, in, &w);
	return arena_str(&arena, buf_str(&b)).data;
}

START_TEST(names_have_bounds_and_forbidden_characters)
{
	static const char forbidden[] = "<>:\"/\\|?*\x1f";
	struct fault f;
	char name[] = "a?b";

	for (const char *c = forbidden; *c; c++) {
		name[1] = *c;
		ck_assert_msg(api_check_name("x", (struct str){ name, 3 }, 9, &f) == ERR_VALIDATION,
			      "%c", *c);
	}
	name[1] = 0;
	ck_assert_int_eq(api_check_name("x", (struct str){ name, 3 }, 9, &f), ERR_VALIDATION);
	name[1] = '_';
	ck_assert_int_eq(api_check_name("x", (struct str){ name, 3 }, 3, &f), ERR_NONE);
	ck_assert_int_eq(api_check_name("x", (struct str){ name, 3 }, 2, &f), ERR_VALIDATION);
}
END_TEST

START_TEST(defaults_are_those_of_qdrant)
{
	struct msg_collection_create m;
	struct collection_config c =
		build("{\"vectors\":{\"size\":8,\"distance\":\"Cosine\"}}", &m);

	ck_assert_uint_eq(c.vector_count, 1);
	ck_assert_uint_eq(c.vectors[0].name.len, 0);
	ck_assert_uint_eq(c.vectors[0].dim, 8);
	ck_assert_int_eq(c.vectors[0].distance, DISTANCE_COSINE);
	ck_assert_uint_eq(c.vectors[0].hnsw.m, 16);
	ck_assert_uint_eq(c.vectors[0].hnsw.ef_construct, 100);
	ck_assert_uint_eq(c.vectors[0].hnsw.full_scan_threshold_kb, 10000);
	ck_assert_uint_eq(c.shard_number, 1);
	ck_assert_uint_eq(c.indexing_threshold_kb, 10000);
	ck_assert(!c.multi_writer);
}
END_TEST

START_TEST(a_vectors_own_settings_come_before_the_collections)
{
	struct msg_collection_create m;
	struct collection_config c = build(
		"{\"vectors\":{\"z\":{\"size\":2,\"distance\":\"Dot\",\"hnsw_config\":{\"m\":0,\"ef_construct\":7}},"
		"\"a\":{\"size\":3,\"distance\":\"Manhattan\"}},\"sparse_vectors\":{\"m\":{}},\"shard_number\":5,"
		"\"hnsw_config\":{\"m\":33,\"full_scan_threshold\":99},\"optimizers_config\":{\"indexing_threshold\":7}}",
		&m);

	ck_assert_uint_eq(c.vector_count, 3);
	ck_assert_int_eq(c.vectors[0].name.data[0], 'a');
	ck_assert_uint_eq(c.vectors[0].hnsw.m, 33);
	ck_assert_uint_eq(c.vectors[0].hnsw.ef_construct, 100);
	ck_assert_int_eq(c.vectors[1].name.data[0], 'm');
	ck_assert(c.vectors[1].sparse);
	ck_assert_int_eq(c.vectors[2].name.data[0], 'z');
	ck_assert_uint_eq(c.vectors[2].hnsw.m, 0);
	ck_assert_uint_eq(c.vectors[2].hnsw.ef_construct, 7);
	ck_assert_uint_eq(c.vectors[2].hnsw.full_scan_threshold_kb, 99);
	ck_assert_uint_eq(c.shard_number, 5);
	ck_assert_uint_eq(c.indexing_threshold_kb, 7);
}
END_TEST

START_TEST(the_clients_words_come_back)
{
	static const char json[] =
		"{\"vectors\":{\"a\":{\"size\":3,\"distance\":\"Euclid\",\"on_disk\":true,\"datatype\":\"float32\"}},"
		"\"replication_factor\":2,\"on_disk_payload\":false,\"wal_config\":{\"wal_capacity_mb\":64},"
		"\"quantization_config\":{\"binary\":{\"always_ram\":true}},\"metadata\":{\"k\":[1,null]}}";
	struct msg_collection_create m, back;
	struct collection_config c = build(json, &m);
	struct fault f;

	m.has_timeout = true;
	m.timeout = 9;
	ck_assert_int_eq(api_config_build(&arena, &m, &c, &f), ERR_NONE);
	ck_assert_int_eq(api_config_read(&arena, &c, &back, &f), ERR_NONE);
	ck_assert(!back.has_timeout);
	ck_assert_str_eq(json_of(&message_collection_create, &back), json);
}
END_TEST

static const struct {
	const char *diff, *words;
	enum err err;
	const char *after;
} changes[] = {
	{ "{}", NULL, ERR_NONE,
	  "{\"vectors\":{\"a\":{\"size\":3,\"distance\":\"Dot\"}},\"hnsw_config\":{\"m\":5,\"ef_construct\":50},"
	  "\"quantization_config\":{\"scalar\":{\"type\":\"int8\"}},\"sparse_vectors\":{\"s\":{}},\"metadata\":{\"k\":1}}" },
	{ "{\"hnsw_config\":{\"m\":6},\"quantization_config\":\"Disabled\",\"metadata\":{}}", NULL,
	  ERR_NONE,
	  "{\"vectors\":{\"a\":{\"size\":3,\"distance\":\"Dot\"}},\"hnsw_config\":{\"m\":6,\"ef_construct\":50},"
	  "\"sparse_vectors\":{\"s\":{}}}" },
	{ "{\"metadata\":{\"k\":2,\"l\":3},\"params\":{\"write_consistency_factor\":2,\"on_disk_payload\":false}}",
	  NULL, ERR_NONE,
	  "{\"vectors\":{\"a\":{\"size\":3,\"distance\":\"Dot\"}},\"write_consistency_factor\":2,\"on_disk_payload\":false,"
	  "\"hnsw_config\":{\"m\":5,\"ef_construct\":50},\"quantization_config\":{\"scalar\":{\"type\":\"int8\"}},"
	  "\"sparse_vectors\":{\"s\":{}},\"metadata\":{\"k\":2,\"l\":3}}" },
	{ "{\"vectors\":{\"a\":{\"hnsw_config\":{\"m\":9},\"quantization_config\":{\"product\":{\"compression\":\"x8\"}}}},"
	  "\"sparse_vectors\":{\"s\":{\"index\":{\"on_disk\":true}}},\"optimizers_config\":{\"flush_interval_sec\":1},"
	  "\"strict_mode_config\":{\"max_timeout\":3}}",
	  NULL, ERR_NONE,
	  "{\"vectors\":{\"a\":{\"size\":3,\"distance\":\"Dot\",\"hnsw_config\":{\"m\":9},"
	  "\"quantization_config\":{\"product\":{\"compression\":\"x8\"}}}},\"hnsw_config\":{\"m\":5,\"ef_construct\":50},"
	  "\"optimizers_config\":{\"flush_interval_sec\":1},\"quantization_config\":{\"scalar\":{\"type\":\"int8\"}},"
	  "\"sparse_vectors\":{\"s\":{\"index\":{\"on_disk\":true}}},\"strict_mode_config\":{\"max_timeout\":3},"
	  "\"metadata\":{\"k\":1}}" },
	{ "{\"vectors\":{\"b\":{\"on_disk\":true}}}", "Not existing vector name error: b",
	  ERR_BAD_INPUT, NULL },
	{ "{\"sparse_vectors\":{\"a\":{}}}", "Not existing vector name error: a", ERR_BAD_INPUT,
	  NULL },
	{ "{\"params\":{\"read_fan_out_delay_ms\":3}}", "read_fan_out", ERR_NOT_IMPLEMENTED, NULL },
};

START_TEST(patch_changes_what_it_names_and_nothing_else)
{
	static const char before[] =
		"{\"vectors\":{\"a\":{\"size\":3,\"distance\":\"Dot\"}},\"hnsw_config\":{\"m\":5,\"ef_construct\":50},"
		"\"quantization_config\":{\"scalar\":{\"type\":\"int8\"}},\"sparse_vectors\":{\"s\":{}},\"metadata\":{\"k\":1}}";

	for (size_t i = 0; i < LEN(changes); i++) {
		struct msg_collection_update diff = { 0 };
		struct msg_collection_create m;
		struct fault f = { 0 };
		(void)build(before, &m);
		read_message(&message_collection_update, changes[i].diff, &diff);
		ck_assert_msg(api_config_merge(&arena, &m, &diff, &f) == changes[i].err,
			      "row %zu: %s", i, f.text);
		if (changes[i].words)
			ck_assert_msg(strstr(f.text, changes[i].words) != NULL, "row %zu: %s", i,
				      f.text);
		else
			ck_assert_str_eq(json_of(&message_collection_create, &m), changes[i].after);
	}
}
END_TEST

START_TEST(a_configuration_has_a_bound)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SIZE_MAX);
	struct msg_collection_create m = { 0 };
	struct collection_config c;
	struct fault f;

	buf_append_cstr(
		&b, "{\"vectors\":{\"size\":8,\"distance\":\"Cosine\"},\"metadata\":{\"long\":\"");
	for (int i = 0; i < 300000; i++)
		buf_append_byte(&b, 'x');
	buf_append(&b, "\"}}", 4);
	read_message(&message_collection_create, (const char *)b.data, &m);
	ck_assert_int_eq(api_config_build(&arena, &m, &c, &f), ERR_BAD_INPUT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("api_config");
	TCase *t = tcase_create("api_config");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, names_have_bounds_and_forbidden_characters);
	tcase_add_test(t, defaults_are_those_of_qdrant);
	tcase_add_test(t, a_vectors_own_settings_come_before_the_collections);
	tcase_add_test(t, the_clients_words_come_back);
	tcase_add_test(t, patch_changes_what_it_names_and_nothing_else);
	tcase_add_test(t, a_configuration_has_a_bound);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
