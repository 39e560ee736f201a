/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kinds: each form that clients send means what Qdrant means by it.
 */
#include "gateway/message_kinds.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES (64u << 20)

static struct str text_of(const char *s)
{
	return (struct str){ .data = s, .len = strlen(s) };
}

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (const char *p = hex; *p; p++) {
		if (*p == ' ')
			continue;
		char two[3] = { p[0], p[1], 0 };
		out[n++] = (uint8_t)strtoul(two, NULL, 16);
		p++;
	}
	return n;
}

static enum err read_json(const struct message *m, struct str text, struct arena *a, void **ret,
			  struct fault *fault)
{
	struct json_reader r = json_reader_of(text, a);

	*ret = arena_alloc(a, m->size);
	ck_assert_ptr_nonnull(*ret);
	return message_from_json(m, &r, a, *ret, fault);
}

static void assert_json(const struct message *m, const void *in, const char *expected)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1u << 20);
	struct json_writer w = json_writer_to(&b);

	message_to_json(m, in, &w);
	ck_assert_int_eq(buf_err(&b), ERR_NONE);
	buf_append_byte(&b, 0);
	ck_assert_str_eq((const char *)b.data, expected);
}

/* ---- refused ---- */

START_TEST(a_payload_nested_too_deeply_is_refused_in_protobuf)
{
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf b = BUF_INIT(1u << 16);
	struct msg_points_upsert m = { 0 };
	struct fault fault = { 0 };
	size_t marks[400], n = 0;

	arena_init(&a, ARENA_BYTES);
	proto_put_bytes(&b, 1, "c", 1);
	marks[n++] = proto_begin(&b, 3);
	size_t id = proto_begin(&b, 1);
	proto_put_varint(&b, 1, 1);
	proto_end(&b, id);
	marks[n++] = proto_begin(&b, 3);
	proto_put_bytes(&b, 1, "k", 1);
	marks[n++] = proto_begin(&b, 2);
	for (int depth = 0; depth < 100; depth++) {
		marks[n++] = proto_begin(&b, 7);
		marks[n++] = proto_begin(&b, 1);
	}
	while (n > 0)
		proto_end(&b, marks[--n]);
	ck_assert_int_eq(message_from_proto(&message_points_upsert, buf_bytes(&b), &a, &m, &fault),
			 ERR_BAD_INPUT);
	ck_assert_str_eq(fault.text, "a payload is nested more than 64 deep");
}
END_TEST

/* ---- forms in JSON, and the one in which they are written ---- */

struct form {
	const struct message *message;
	const char *json;
	const char *written;
};

static const struct form forms[] = {
	/* ids */
	{ &message_points_retrieve, "{\"ids\":[18446744073709551615]}",
	  "{\"ids\":[18446744073709551615]}" },
	{ &message_points_retrieve, "{\"ids\":[\"550E8400E29B41D4A716446655440000\"]}",
	  "{\"ids\":[\"550e8400-e29b-41d4-a716-446655440000\"]}" },
	{ &message_points_retrieve, "{\"ids\":[\"urn:uuid:550e8400-e29b-41d4-a716-446655440000\"]}",
	  "{\"ids\":[\"550e8400-e29b-41d4-a716-446655440000\"]}" },
	/* selectors */
	{ &message_points_retrieve, "{\"ids\":[],\"with_payload\":true,\"with_vectors\":true}",
	  "{\"ids\":[],\"with_payload\":true,\"with_vector\":true}" },
	{ &message_points_retrieve, "{\"ids\":[],\"with_payload\":[\"a\"],\"with_vector\":[\"v\"]}",
	  "{\"ids\":[],\"with_payload\":{\"include\":[\"a\"]},\"with_vector\":[\"v\"]}" },
	{ &message_points_retrieve, "{\"ids\":[],\"with_payload\":{\"exclude\":[\"a\"]}}",
	  "{\"ids\":[],\"with_payload\":{\"exclude\":[\"a\"]}}" },
	/* vectors */
	{ &message_points_upsert, "{\"points\":[{\"id\":1,\"vectors\":[1,2]}]}",
	  "{\"points\":[{\"id\":1,\"vector\":[1.0,2.0]}]}" },
	{ &message_points_upsert, "{\"points\":[{\"id\":1,\"vector\":{}}]}",
	  "{\"points\":[{\"id\":1,\"vector\":{}}]}" },
	{ &message_points_upsert,
	  "{\"points\":[{\"id\":1,\"vector\":{\"a\":[1],\"b\":{\"values\":[1,2],\"indices\":[9,3]}}}]}",
	  "{\"points\":[{\"id\":1,\"vector\":{\"a\":[1.0],\"b\":{\"indices\":[3,9],\"values\":[2.0,1.0]}}}]}" },
	{ &message_points_upsert, "{\"points\":[{\"id\":1,\"vector\":{\"a\":[1],\"a\":[2]}}]}",
	  "{\"points\":[{\"id\":1,\"vector\":{\"a\":[2.0]}}]}" },
	{ &message_points_upsert, "{\"points\":[{\"id\":1,\"vector\":[1],\"payload\":null}]}",
	  "{\"points\":[{\"id\":1,\"vector\":[1.0]}]}" },
	{ &message_points_upsert,
	  "{\"points\":[{\"id\":1,\"vector\":[1],\"payload\":{\"b\":1,\"a\":null,\"b\":2}}]}",
	  "{\"points\":[{\"id\":1,\"vector\":[1.0],\"payload\":{\"a\":null,\"b\":2}}]}" },
	/* columns */
	{ &message_points_upsert,
	  "{\"batch\":{\"payloads\":[null,{\"a\":1}],\"ids\":[1,2],\"vectors\":[[1],[2]]}}",
	  "{\"points\":[{\"id\":1,\"vector\":[1.0]},{\"id\":2,\"vector\":[2.0],\"payload\":{\"a\":1}}]}" },
	{ &message_points_upsert,
	  "{\"batch\":{\"ids\":[1],\"vectors\":{\"a\":[[1]],\"s\":[{\"indices\":[1],\"values\":[2]}]},\"payloads\":null}}",
	  "{\"points\":[{\"id\":1,\"vector\":{\"a\":[1.0],\"s\":{\"indices\":[1],\"values\":[2.0]}}}]}" },
	/* queries */
	{ &message_points_query, "{\"query\":{\"nearest\":[1]},\"params\":{}}",
	  "{\"query\":[1.0],\"params\":{}}" },
	{ &message_points_query, "{\"query\":{\"nearest\":7,\"mmr\":null}}",
	  "{\"query\":7,\"params\":{}}" },
	{ &message_points_query, "{\"query\":{\"indices\":[2,1],\"values\":[1,2]},\"using\":\"s\"}",
	  "{\"query\":{\"indices\":[1,2],\"values\":[2.0,1.0]},\"using\":\"s\",\"params\":{}}" },
	{ &message_points_query, "{\"query\":\"550e8400-e29b-41d4-a716-446655440000\"}",
	  "{\"query\":\"550e8400-e29b-41d4-a716-446655440000\",\"params\":{}}" },
	{ &message_points_query, "{\"query\":[]}", "{\"query\":[],\"params\":{}}" },
	{ &message_points_search, "{\"vector\":{\"name\":\"a\",\"vector\":[1]},\"limit\":1}",
	  "{\"vector\":{\"name\":\"a\",\"vector\":[1.0]},\"params\":{},\"limit\":1}" },
	/* collections */
	{ &message_collection_create, "{\"vectors\":{\"distance\":\"Dot\",\"size\":4}}",
	  "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}" },
	{ &message_collection_create, "{\"vectors\":{\"size\":{\"size\":4,\"distance\":\"Dot\"}}}",
	  "{\"vectors\":{\"size\":{\"size\":4,\"distance\":\"Dot\"}}}" },
	{ &message_collection_create, "{\"vectors\":{},\"sparse_vectors\":{\"s\":{}}}",
	  "{\"vectors\":{},\"sparse_vectors\":{\"s\":{}}}" },
	{ &message_collection_create,
	  "{\"quantization_config\":{\"scalar\":{\"type\":\"int8\",\"quantile\":0.5}}}",
	  "{\"quantization_config\":{\"scalar\":{\"type\":\"int8\",\"quantile\":0.5}}}" },
	{ &message_collection_create,
	  "{\"optimizers_config\":{\"max_optimization_threads\":\"auto\"}}",
	  "{\"optimizers_config\":{\"max_optimization_threads\":\"auto\"}}" },
	{ &message_collection_create, "{\"strict_mode_config\":{\"enabled\":false}}",
	  "{\"strict_mode_config\":{\"enabled\":false}}" },
	{ &message_collection_update, "{\"quantization_config\":\"Disabled\"}",
	  "{\"quantization_config\":\"Disabled\"}" },
	{ &message_collection_update, "{\"vectors\":{\"\":{\"on_disk\":true}}}",
	  "{\"vectors\":{\"\":{\"on_disk\":true}}}" },
	{ &message_index_create,
	  "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"keyword\",\"is_tenant\":true,\"prefix\":false}}",
	  "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"keyword\",\"is_tenant\":true}}" },
	{ &message_index_create, "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"geo\"}}",
	  "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"geo\"}}" },
};

START_TEST(a_form_is_read_and_written_in_the_usual_one)
{
	const struct form *f = &forms[_i];
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf proto = BUF_INIT(1u << 16);
	struct fault fault = { 0 };
	void *m;

	arena_init(&a, ARENA_BYTES);
	ck_assert_msg(read_json(f->message, text_of(f->json), &a, &m, &fault) == ERR_NONE, "%s: %s",
		      f->json, fault.text);
	assert_json(f->message, m, f->written);

	/* And through protobuf; the name, which JSON does not carry, is put in front. */
	proto_put_bytes(&proto, 1, "c", 1);
	CLEANUP(buf_release) struct buf body = BUF_INIT(1u << 16);
	message_to_proto(f->message, m, &body);
	buf_append(&proto, body.data, body.len);
	void *again = arena_alloc(&a, f->message->size);
	enum err e = message_from_proto(f->message, buf_bytes(&proto), &a, again, &fault);
	ck_assert_msg(e == ERR_NONE, "%s: %s", f->json, fault.text);
	assert_json(f->message, again, f->written);
}
END_TEST

/* ---- encodings in protobuf, and what they mean ---- */

struct encoding {
	const struct message *message;
	const char *bytes;
	const char *json;
};

static const struct encoding encodings[] = {
	/* Vector: flat, packed and not; sparse flat; the oneof wins over the flat form */
	{ &message_points_upsert, "0a0163 1a0e 0a020801 2208 0a06 0a040000803f",
	  "{\"points\":[{\"id\":1,\"vector\":[1.0]}]}" },
	{ &message_points_upsert, "0a0163 1a12 0a020801 220c 0a0a 0d0000803f 0d00000040",
	  "{\"points\":[{\"id\":1,\"vector\":[1.0,2.0]}]}" },
	{ &message_points_upsert, "0a0163 1a11 0a020801 220b 0a09 aa0606 0a040000803f",
	  "{\"points\":[{\"id\":1,\"vector\":[1.0]}]}" },
	{ &message_points_upsert, "0a0163 1a17 0a020801 2211 0a0f 0a0400000040 aa0606 0a040000803f",
	  "{\"points\":[{\"id\":1,\"vector\":[1.0]}]}" },
	{ &message_points_upsert,
	  "0a0163 1a1f 0a020801 2219 1217 0a15 0a0173 1210 0a080000803f00000040 12040a020907",
	  "{\"points\":[{\"id\":1,\"vector\":{\"s\":{\"indices\":[7,9],\"values\":[2.0,1.0]}}}]}" },
	{ &message_points_upsert,
	  "0a0163 1a20 0a020801 221a 1218 0a16 0a0173 1211 b2060e 0a080000803f00000040 12020907",
	  "{\"points\":[{\"id\":1,\"vector\":{\"s\":{\"indices\":[7,9],\"values\":[2.0,1.0]}}}]}" },
	/* payload: every kind of Value, keys in any order */
	{ &message_points_upsert,
	  "0a0163 1a5a 0a020801 22021200 1a07 0a0166 12021801 1a07 0a0165 12020800 1a07 0a0164 12022801 1a08 0a0163 1203220178"
	  " 1a0b 0a0162 1206 3a04 0a021805 1a0e 0a0161 1209 3207 0a05 0a016b 1200 1a0e 0a0167 1209 11000000000000f83f",
	  "{\"points\":[{\"id\":1,\"vector\":{},\"payload\":"
	  "{\"a\":{\"k\":null},\"b\":[5],\"c\":\"x\",\"d\":true,\"e\":null,\"f\":1,\"g\":1.5}}]}" },
	{ &message_points_upsert, "0a0163 1a11 0a020801 22021200 1a07 0a0166 12021801",
	  "{\"points\":[{\"id\":1,\"vector\":{},\"payload\":{\"f\":1}}]}" },
	{ &message_points_upsert, "0a0163 1a0f 0a020801 22021200 1a05 0a0166 1200",
	  "{\"points\":[{\"id\":1,\"vector\":{},\"payload\":{\"f\":null}}]}" },
	{ &message_points_upsert, "0a0163 1a15 0a020801 22021200 1a0b 0a0166 1206 3a04 0a021805",
	  "{\"points\":[{\"id\":1,\"vector\":{},\"payload\":{\"f\":[5]}}]}" },
	/* set payload of nothing is an empty object */
	{ &message_payload_set, "0a0163 2a06 0a04 0a020801", "{\"payload\":{},\"points\":[1]}" },
	/* a selector without a choice leaves the default */
	{ &message_points_scroll, "0a0163 3200", "{}" },
	{ &message_points_scroll, "0a0163 32020800", "{\"with_payload\":false}" },
	{ &message_points_scroll, "0a0163 3a04 1202 0a00", "{\"with_vector\":[\"\"]}" },
	/* Datatype.Default, Memory.Unknown: not given */
	{ &message_collection_create, "0a0163 5208 0a06 08041001 3000",
	  "{\"vectors\":{\"size\":4,\"distance\":\"Cosine\"}}" },
	/* field types count from 0; parameters win */
	{ &message_index_create, "0a0163 1a0161 2007",
	  "{\"field_name\":\"a\",\"field_schema\":\"uuid\"}" },
	{ &message_index_create, "0a0163 1a0161 2a021a00 2007",
	  "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"keyword\"}}" },
	{ &message_index_create, "0a0163 1a0161", "{\"field_name\":\"a\"}" },
};

START_TEST(an_encoding_means_the_same_as_its_json)
{
	const struct encoding *c = &encodings[_i];
	CLEANUP(arena_release) struct arena a;
	uint8_t bytes[256];
	struct fault fault = { 0 };

	arena_init(&a, ARENA_BYTES);
	size_t len = unhex(c->bytes, bytes);
	void *m = arena_alloc(&a, c->message->size);
	enum err e = message_from_proto(c->message, (struct bytes){ .data = bytes, .len = len }, &a,
					m, &fault);
	ck_assert_msg(e == ERR_NONE, "%s: %s", c->bytes, fault.text);
	assert_json(c->message, m, c->json);
}
END_TEST

/* ---- parameters of custom kinds ---- */

struct parameter {
	const char *key, *text;
	enum err err;
	const char *words;
};

static const struct parameter parameters[] = {
	{ "id", "x", ERR_BAD_INPUT, "Can not recognize \"x\" as point id" },
	{ "id", "-1", ERR_BAD_INPUT, "Can not recognize \"-1\" as point id" },
	{ "id", "18446744073709551616", ERR_BAD_INPUT,
	  "Can not recognize \"18446744073709551616\" as point id" },
	{ "id", "42", ERR_NONE, NULL },
	{ "id", "550e8400-e29b-41d4-a716-446655440000", ERR_NONE, NULL },
	{ "consistency", "4294967296", ERR_VALIDATION,
	  "[consistency: value 4294967296 invalid, must be at most 4294967295]" },
	{ "consistency", "some", ERR_BAD_REQUEST, "consistency: `some` is not a whole number, `majority`, `quorum` or `all`" },
	{ "consistency", "0", ERR_VALIDATION,
	  "[consistency: value 0 invalid, must be 1 or larger]" },
	{ "consistency", "2", ERR_NONE, NULL },
	{ "consistency", "quorum", ERR_NONE, NULL },
};

START_TEST(ids_and_consistency_are_read_from_text)
{
	const struct parameter *p = &parameters[_i];
	CLEANUP(arena_release) struct arena a;
	struct fault fault = { 0 };
	struct msg_point_get m = { 0 };

	arena_init(&a, ARENA_BYTES);
	enum err e = message_set_text(&message_point_get, &m, text_of(p->key), text_of(p->text), &a,
				      &fault);
	ck_assert_msg(e == p->err, "%s: %s", p->text, err_name(e));
	if (p->words)
		ck_assert_str_eq(fault.text, p->words);
	if (strcmp(p->text, "42") == 0)
		ck_assert(m.id.kind == POINT_ID_NUM && m.id.lo == 42);
	if (strcmp(p->text, "2") == 0)
		ck_assert(m.consistency.kind == READ_FACTOR && m.consistency.factor == 2);
	if (strcmp(p->text, "quorum") == 0)
		ck_assert_int_eq(m.consistency.kind, READ_QUORUM);
}
END_TEST

/* ---- replies ---- */

START_TEST(a_scroll_at_its_end_says_null)
{
	struct msg_scroll_reply m = { 0 };

	assert_json(&message_scroll_reply, &m, "{\"points\":[],\"next_page_offset\":null}");
}
END_TEST

START_TEST(optimizer_status_is_a_word_or_an_error)
{
	CLEANUP(arena_release) struct arena a;
	struct msg_collection_info m = { .status = COLLECTION_GREEN };

	arena_init(&a, ARENA_BYTES);
	CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
	struct json_writer w = json_writer_to(&b);
	message_to_json(&message_collection_info, &m, &w);
	ck_assert_ptr_nonnull(memmem(b.data, b.len, "\"optimizer_status\":\"ok\"", 23));
	ck_assert_ptr_nonnull(memmem(b.data, b.len, "\"status\":\"green\"", 16));
	buf_reset(&b);
	m.optimizer_status.error = STR("disk");
	w = json_writer_to(&b);
	message_to_json(&message_collection_info, &m, &w);
	ck_assert_ptr_nonnull(
		memmem(b.data, b.len, "\"optimizer_status\":{\"error\":\"disk\"}", 35));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("message_kinds");
	TCase *refused = tcase_create("refused");
	TCase *ordinary = tcase_create("ordinary");

	tcase_add_test(refused, a_payload_nested_too_deeply_is_refused_in_protobuf);
	suite_add_tcase(s, refused);
	tcase_add_loop_test(ordinary, a_form_is_read_and_written_in_the_usual_one, 0,
			    (int)LEN(forms));
	tcase_add_loop_test(ordinary, an_encoding_means_the_same_as_its_json, 0,
			    (int)LEN(encodings));
	tcase_add_loop_test(ordinary, ids_and_consistency_are_read_from_text, 0,
			    (int)LEN(parameters));
	tcase_add_test(ordinary, a_scroll_at_its_end_says_null);
	tcase_add_test(ordinary, optimizer_status_is_a_word_or_an_error);
	suite_add_tcase(s, ordinary);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
