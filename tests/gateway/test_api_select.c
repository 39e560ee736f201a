/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What with_payload leaves of a payload.
 */
#include "gateway/api_inner.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define PATHS_MAX 4

static const char sample[] =
	"{\"a\":{\"b\":1,\"c\":{\"d\":2,\"e\":3}},\"l\":[{\"x\":1,\"y\":2},{\"x\":3},4],\"n\":null,\"a.b\":5,"
	"\"m\":[[1,2],[3,4]]}";

static const struct {
	enum with_payload_kind kind;
	const char *paths[PATHS_MAX];
	const char *left;
} cases[] = {
	{ WITH_PAYLOAD_ALL,
	  { NULL },
	  "{\"a\":{\"b\":1,\"c\":{\"d\":2,\"e\":3}},\"a.b\":5,\"l\":[{\"x\":1,\"y\":2},{\"x\":3},4],"
	  "\"m\":[[1,2],[3,4]],\"n\":null}" },
	{ WITH_PAYLOAD_INCLUDE, { NULL }, "{}" },
	{ WITH_PAYLOAD_INCLUDE, { "none" }, "{}" },
	{ WITH_PAYLOAD_INCLUDE, { "a" }, "{\"a\":{\"b\":1,\"c\":{\"d\":2,\"e\":3}}}" },
	{ WITH_PAYLOAD_INCLUDE, { "a.b" }, "{\"a\":{\"b\":1}}" },
	{ WITH_PAYLOAD_INCLUDE, { "\"a.b\"" }, "{\"a.b\":5}" },
	{ WITH_PAYLOAD_INCLUDE, { "a.c.e", "n" }, "{\"a\":{\"c\":{\"e\":3}},\"n\":null}" },
	{ WITH_PAYLOAD_INCLUDE, { "a.c", "a.c.e" }, "{\"a\":{\"c\":{\"d\":2,\"e\":3}}}" },
	{ WITH_PAYLOAD_INCLUDE, { "l[].x" }, "{\"l\":[{\"x\":1},{\"x\":3},4]}" },
	{ WITH_PAYLOAD_INCLUDE, { "l[1]" }, "{\"l\":[{\"x\":3}]}" },
	{ WITH_PAYLOAD_INCLUDE, { "l[0].y", "l[1].x" }, "{\"l\":[{\"y\":2},{\"x\":3}]}" },
	{ WITH_PAYLOAD_INCLUDE, { "l.x" }, "{\"l\":[]}" },
	{ WITH_PAYLOAD_INCLUDE, { "m[][1]" }, "{\"m\":[[2],[4]]}" },
	/* On the way to what was asked for, but nothing to enter. */
	{ WITH_PAYLOAD_INCLUDE, { "n.x" }, "{\"n\":null}" },
	{ WITH_PAYLOAD_EXCLUDE,
	  { NULL },
	  "{\"a\":{\"b\":1,\"c\":{\"d\":2,\"e\":3}},\"a.b\":5,\"l\":[{\"x\":1,\"y\":2},{\"x\":3},4],"
	  "\"m\":[[1,2],[3,4]],\"n\":null}" },
	{ WITH_PAYLOAD_EXCLUDE, { "a", "l", "m" }, "{\"a.b\":5,\"n\":null}" },
	{ WITH_PAYLOAD_EXCLUDE,
	  { "a.c.d", "l[].x", "m[0]", "n.z" },
	  "{\"a\":{\"b\":1,\"c\":{\"e\":3}},\"a.b\":5,\"l\":[{\"y\":2},{},4],\"m\":[[3,4]],\"n\":null}" },
	{ WITH_PAYLOAD_EXCLUDE,
	  { "a.c", "l[]", "m[][0]", "l.x" },
	  "{\"a\":{\"b\":1},\"a.b\":5,\"l\":[],\"m\":[[2],[4]],\"n\":null}" },
};

static struct value value_of(const char *json, struct arena *a, struct buf *out)
{
	struct json_reader r = json_reader_of((struct str){ json, strlen(json) }, a);
	struct fault f;

	ck_assert_int_eq(value_from_json(&r, a, out), ERR_NONE);
	ck_assert_int_eq(json_end(&r, &f), ERR_NONE);
	return value_of_buf(out);
}

START_TEST(include_and_exclude_follow_their_paths)
{
	for (size_t i = 0; i < LEN(cases); i++) {
		CLEANUP(arena_release) struct arena a;
		CLEANUP(buf_release) struct buf bytes = BUF_INIT(SIZE_MAX);
		CLEANUP(buf_release) struct buf text = BUF_INIT(SIZE_MAX);
		struct json_writer w = json_writer_to(&text);
		struct path paths[PATHS_MAX];
		struct with_payload want = { .kind = cases[i].kind, .paths = paths };
		struct value left;
		struct bytes whole;
		struct fault f;

		arena_init(&a, SIZE_MAX);
		struct value v = value_of(sample, &a, &bytes);
		for (; want.count < PATHS_MAX && cases[i].paths[want.count]; want.count++) {
			const char *path = cases[i].paths[want.count];
			ck_assert_int_eq(path_parse((struct str){ path, strlen(path) },
						    &paths[want.count], &f),
					 ERR_NONE);
		}
		ck_assert_int_eq(api_select_payload(&want, v, &a, &left), ERR_NONE);
		whole = (struct bytes){ left.data, left.len };
		ck_assert_msg(value_check(whole, &left) == ERR_NONE, "row %zu: not canonical", i);
		value_to_json(left, &w);
		buf_append_byte(&text, 0);
		ck_assert_msg(strcmp((char *)text.data, cases[i].left) == 0, "row %zu: %s", i,
			      (char *)text.data);
	}
}
END_TEST

START_TEST(no_payload_stays_none)
{
	CLEANUP(arena_release) struct arena a;
	struct with_payload want = { .kind = WITH_PAYLOAD_INCLUDE };
	struct value none = { 0 }, left = { .len = 7 };

	arena_init(&a, SIZE_MAX);
	ck_assert_int_eq(api_select_payload(&want, none, &a, &left), ERR_NONE);
	ck_assert_ptr_null(left.data);
}
END_TEST

START_TEST(a_full_arena_is_told)
{
	CLEANUP(arena_release) struct arena a;
	CLEANUP(arena_release) struct arena small;
	CLEANUP(buf_release) struct buf bytes = BUF_INIT(SIZE_MAX);
	struct path path;
	struct with_payload want = { .kind = WITH_PAYLOAD_INCLUDE, .paths = &path, .count = 1 };
	struct value left;
	struct fault f;

	arena_init(&a, SIZE_MAX);
	struct value v = value_of(sample, &a, &bytes);
	ck_assert_int_eq(path_parse(STR("a.c.d"), &path, &f), ERR_NONE);
	for (size_t max = 0; max < 4096; max += 16) {
		arena_init(&small, max);
		enum err err = api_select_payload(&want, v, &small, &left);
		ck_assert(err == ERR_NONE || err == ERR_NO_MEMORY);
		ck_assert(max > 0 || err == ERR_NO_MEMORY);
		arena_release(&small);
		if (err == ERR_NONE)
			return;
	}
	ck_abort_msg("never enough");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("api_select");
	TCase *t = tcase_create("api_select");
	tcase_add_test(t, include_and_exclude_follow_their_paths);
	tcase_add_test(t, no_payload_stays_none);
	tcase_add_test(t, a_full_arena_is_told);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
