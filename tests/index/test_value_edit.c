/* SPDX-License-Identifier: Apache-2.0 */
#include "index/value_edit.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct arena arena;

static void set_up(void)
{
	arena_init(&arena, (size_t)16 << 20);
}

static void tear_down(void)
{
	arena_release(&arena);
}

static struct value value_of(const char *json)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(100000);
	struct json_reader r = json_reader_of((struct str){ json, strlen(json) }, &arena);

	ck_assert_msg(!value_from_json(&r, &arena, &b), "%s", json);
	uint8_t *copy = arena_alloc(&arena, b.len);
	memcpy(copy, b.data, b.len);
	return (struct value){ .data = copy, .len = (uint32_t)b.len };
}

static const char *text_of(struct value v)
{
	struct buf b = BUF_INIT(100000);
	struct json_writer w = json_writer_to(&b);

	value_to_json(v, &w);
	struct str text = arena_str(&arena, buf_str(&b));
	buf_release(&b);
	return text.data;
}

static struct path path_of(const char *text)
{
	struct path p;

	ck_assert_int_eq(path_parse((struct str){ text, strlen(text) }, &p, NULL), ERR_NONE);
	return p;
}

/* before NULL: there is nothing. The path's first step is the payload's key, which the caller has taken. */
static const struct {
	const char *before, *path, *members, *after;
} sets[] = {
	{ NULL, "k", "{\"a\":1}", "{\"a\":1}" },
	{ "{\"a\":0,\"b\":2}", "k", "{\"a\":1,\"c\":3}", "{\"a\":1,\"b\":2,\"c\":3}" },
	{ "{\"a\":0,\"b\":2}", "k", "{\"a\":null,\"none\":null}", "{\"b\":2}" },
	{ "5", "k", "{\"a\":1}", "{\"a\":1}" },
	{ "[1]", "k", "{}", "{}" },
	{ NULL, "k.x.y", "{\"a\":1}", "{\"x\":{\"y\":{\"a\":1}}}" },
	{ "{\"x\":{\"y\":{\"b\":2},\"z\":0},\"w\":1}", "k.x.y", "{\"a\":1}",
	  "{\"w\":1,\"x\":{\"y\":{\"a\":1,\"b\":2},\"z\":0}}" },
	{ "{\"x\":7}", "k.x.y", "{\"a\":1}", "{\"x\":{\"y\":{\"a\":1}}}" },
	{ "[{\"b\":1},{\"b\":2}]", "k[]", "{\"a\":1}", "[{\"a\":1,\"b\":1},{\"a\":1,\"b\":2}]" },
	{ "[{\"b\":1},{\"b\":2}]", "k[1]", "{\"a\":1}", "[{\"b\":1},{\"a\":1,\"b\":2}]" },
	{ "[{\"b\":1}]", "k[4]", "{\"a\":1}", "[{\"b\":1}]" },
	{ "{\"b\":1}", "k[]", "{\"a\":1}", "[]" },
	{ NULL, "k[0].x", "{\"a\":1}", "[]" },
	{ "[{\"x\":[{},3]},null]", "k[].x[]", "{\"a\":1}", "[{\"x\":[{\"a\":1},{\"a\":1}]},{\"x\":[]}]" },
};

START_TEST(members_are_set_where_the_path_leads_once_or_twice_alike)
{
	struct path p = path_of(sets[_i].path);
	struct value at = sets[_i].before ? value_of(sets[_i].before) : (struct value){ 0 };

	for (int turn = 0; turn < 2; turn++) {
		ck_assert_int_eq(value_set_at(at, &p, 1, value_of(sets[_i].members), &arena, &at), ERR_NONE);
		ck_assert_str_eq(text_of(at), sets[_i].after);
		struct value checked;
		ck_assert_int_eq(value_check((struct bytes){ at.data, at.len }, &checked), ERR_NONE);
	}
}
END_TEST

static const struct {
	const char *before, *path, *after; /* NULL: the very same */
} removals[] = {
	{ "{\"a\":1,\"b\":2}", "k.a", "{\"b\":2}" },
	{ "{\"a\":1}", "k.a", "{}" },
	{ "{\"a\":1}", "k.b", NULL },
	{ "{\"a\":1}", "k.a.b", NULL },
	{ "{\"a\":{\"b\":1,\"c\":2}}", "k.a.b", "{\"a\":{\"c\":2}}" },
	{ "[{\"a\":1},{\"b\":2},3]", "k[].a", "[{},{\"b\":2},3]" },
	{ "[{\"a\":1},{\"a\":2}]", "k[1].a", "[{\"a\":1},{}]" },
	{ "[{\"a\":1}]", "k[1].a", NULL },
	{ "[1,2]", "k[]", "[]" },
	{ "[]", "k[]", NULL },
	{ "[1,2]", "k[0]", NULL },
	{ "{\"a\":1}", "k[]", NULL },
	{ "[1,2]", "k.a", NULL },
};

START_TEST(what_the_path_finds_is_removed_and_nothing_else)
{
	struct path p = path_of(removals[_i].path);
	struct value before = value_of(removals[_i].before), after;

	ck_assert_int_eq(value_remove_at(before, &p, 1, &arena, &after), ERR_NONE);
	if (removals[_i].after)
		ck_assert_str_eq(text_of(after), removals[_i].after);
	else
		ck_assert_ptr_eq(after.data, before.data);
}
END_TEST

START_TEST(what_would_be_nested_too_deeply_is_refused)
{
	char text[2 * VALUE_DEPTH_MAX + 100] = "{\"a\":";
	size_t at = strlen(text);
	struct path p = path_of("k.a.b.c.d.e.f");
	struct value after;

	/* As deep as a value may be; at the end of the path it is deeper. */
	memset(text + at, '[', VALUE_DEPTH_MAX - 2);
	memset(text + at + VALUE_DEPTH_MAX - 2, ']', VALUE_DEPTH_MAX - 2);
	text[at + (size_t)2 * (VALUE_DEPTH_MAX - 2)] = '}';
	ck_assert_int_eq(value_set_at((struct value){ 0 }, &p, 1, value_of(text), &arena, &after), ERR_BAD_INPUT);
}
END_TEST

START_TEST(a_full_arena_is_told)
{
	struct arena small;
	struct path p = path_of("k.a");
	struct value after;

	arena_init(&small, 64);
	ck_assert_int_eq(value_set_at((struct value){ 0 }, &p, 1, value_of("{\"text\":\"some text that does not fit\"}"),
				      &small, &after),
			 ERR_NO_MEMORY);
	arena_release(&small);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("value_edit");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, what_would_be_nested_too_deeply_is_refused);
	tcase_add_test(t, a_full_arena_is_told);
	tcase_add_loop_test(t, members_are_set_where_the_path_leads_once_or_twice_alike, 0, (int)LEN(sets));
	tcase_add_loop_test(t, what_the_path_finds_is_removed_and_nothing_else, 0, (int)LEN(removals));
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
