/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of payload indexes: each form is read and written in the usual one, through JSON and through protobuf.
 */
#include "gateway/message_kinds.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES (1u << 20)
#define TEXT(params) "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\"" params "}}"

struct form {
	const struct message *message;
	const char *json;
	const char *written; /* NULL: the same */
};

static const struct form forms[] = {
	{ &message_index_create, TEXT(",\"stopwords\":\"english\""), NULL },
	{ &message_index_create, TEXT(",\"stopwords\":{\"languages\":[\"english\"]}"), TEXT(",\"stopwords\":\"english\"") },
	{ &message_index_create, TEXT(",\"stopwords\":{\"languages\":[\"english\",\"german\"],\"custom\":[\"x\"]}"), NULL },
	{ &message_index_create, TEXT(",\"stopwords\":{\"custom\":[\"x\",\"\"]}"), NULL },
	{ &message_index_create, TEXT(",\"stemmer\":{\"language\":\"german\",\"type\":\"snowball\"}"),
	  TEXT(",\"stemmer\":{\"type\":\"snowball\",\"language\":\"german\"}") },
	{ &message_index_create, TEXT(",\"stemmer\":{\"type\":\"none\"}"), NULL },
	{ &message_index_create, "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"keyword\",\"prefix\":true}}", NULL },
	{ &message_index_create, "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"keyword\",\"prefix\":false}}",
	  "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"keyword\"}}" },
	{ &message_facet_reply,
	  "{\"hits\":[{\"value\":\"x\",\"count\":3},{\"value\":-5,\"count\":2},{\"value\":false,\"count\":1}]}", NULL },
};

static void assert_json(const struct message *m, const void *in, const char *expected)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(ARENA_BYTES);
	struct json_writer w = json_writer_to(&b);

	message_to_json(m, in, &w);
	buf_append_byte(&b, 0);
	ck_assert_str_eq((const char *)b.data, expected);
}

START_TEST(a_form_is_read_and_written_in_the_usual_one)
{
	const struct form *f = &forms[_i];
	const char *written = f->written ? f->written : f->json;
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf proto = BUF_INIT(ARENA_BYTES);
	struct fault fault = { 0 };

	arena_init(&a, ARENA_BYTES);
	struct json_reader r = json_reader_of((struct str){ f->json, strlen(f->json) }, &a);
	void *m = arena_alloc(&a, message_size(f->message)), *again = arena_alloc(&a, message_size(f->message));
	ck_assert_msg(message_from_json(f->message, &r, &a, m, &fault) == ERR_NONE, "%s: %s", f->json, fault_text(&fault));
	assert_json(f->message, m, written);
	if (f->message == &message_index_create)
		proto_put_bytes(&proto, 1, "c", 1); /* the name, which JSON does not carry */
	CLEANUP(buf_release) struct buf body = BUF_INIT(ARENA_BYTES);
	message_to_proto(f->message, m, &body);
	buf_append(&proto, body.data, body.len);
	ck_assert_msg(message_from_proto(f->message, buf_bytes(&proto), &a, again, &fault) == ERR_NONE, "%s: %s", f->json,
		      fault_text(&fault));
	assert_json(f->message, again, written);
}
END_TEST

START_TEST(what_is_none_is_refused)
{
	static const char *const bad[] = {
		TEXT(",\"stopwords\":7"),
		TEXT(",\"stopwords\":{\"languages\":\"english\"}"),
		TEXT(",\"stemmer\":\"english\""),
		TEXT(",\"stemmer\":{}"),
		TEXT(",\"stemmer\":{\"type\":\"snowball\"}"),
		TEXT(",\"stemmer\":{\"type\":\"porter\",\"language\":\"english\"}"),
		"{\"field_name\":\"a\",\"field_schema\":{\"type\":\"keyword\",\"prefix\":1}}",
	};

	for (size_t i = 0; i < LEN(bad); i++) {
		CLEANUP(arena_release) struct arena a;
		struct msg_index_create m = { 0 };

		arena_init(&a, ARENA_BYTES);
		struct json_reader r = json_reader_of((struct str){ bad[i], strlen(bad[i]) }, &a);
		ck_assert_msg(message_from_json(&message_index_create, &r, &a, &m, NULL) == ERR_BAD_REQUEST, "%s", bad[i]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("message_text");
	TCase *t = tcase_create("message_text");

	tcase_add_test(t, what_is_none_is_refused);
	tcase_add_loop_test(t, a_form_is_read_and_written_in_the_usual_one, 0, (int)LEN(forms));
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
