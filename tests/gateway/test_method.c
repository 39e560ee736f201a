/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding methods: by verb and path, by gRPC name; the table agrees with itself.
 */
#include "gateway/method.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/message_table.h"

static struct str text_of(const char *s)
{
	return (struct str){ .data = s, .len = strlen(s) };
}

/* ---- refused ---- */

struct refused {
	enum http_verb verb;
	const char *path;
	enum err err;
};

static const struct refused refusals[] = {
	{ VERB_GET, "", ERR_NO_ROUTE },
	{ VERB_GET, "collections", ERR_NO_ROUTE },
	{ VERB_GET, "/nothing", ERR_NO_ROUTE },
	{ VERB_GET, "/Collections", ERR_NO_ROUTE },
	{ VERB_GET, "/collections/a/points/1/2", ERR_NO_ROUTE },
	{ VERB_GET, "/a/b/c/d/e/f/g/h/i/j", ERR_NO_ROUTE },
	{ VERB_PATCH, "/collections", ERR_METHOD_NOT_ALLOWED },
	{ VERB_DELETE, "/", ERR_METHOD_NOT_ALLOWED },
	{ VERB_OTHER, "/collections/a", ERR_METHOD_NOT_ALLOWED },
	{ VERB_GET, "/collections/%", ERR_BAD_REQUEST },
	{ VERB_GET, "/collections/%4", ERR_BAD_REQUEST },
	{ VERB_GET, "/collections/%zz", ERR_BAD_REQUEST },
	{ VERB_GET, "/collections/%ff", ERR_BAD_REQUEST },
};

START_TEST(a_path_that_is_not_ours_is_refused)
{
	const struct refused *c = &refusals[_i];
	CLEANUP(arena_release) struct arena a;
	struct method_match match;
	struct fault fault = { 0 };

	arena_init(&a, 4096);
	enum err e = method_find_rest(c->verb, text_of(c->path), &a, &match, &fault);
	ck_assert_msg(e == c->err, "%s: %s", c->path, err_name(e));
	ck_assert(fault.text[0]);
}
END_TEST

START_TEST(a_grpc_name_that_is_not_ours_is_refused)
{
	static const char *const names[] = {
		"",
		"/",
		"qdrant.Points/Search",
		"/qdrant.Points/",
		"/qdrant.Points/Searc",
		"/qdrant.Points/SearchX",
		"/qdrant.points/Search",
		"/qdrant.PointsInternal/Upsert",
	};

	for (size_t i = 0; i < LEN(names); i++) {
		const struct method *m;
		struct fault fault = { 0 };
		ck_assert_int_eq(method_find_grpc(text_of(names[i]), &m, &fault), ERR_NO_ROUTE);
		ck_assert(fault.text[0]);
	}
}
END_TEST

/* ---- found ---- */

struct found {
	enum http_verb verb;
	const char *path;
	const char *name;
	const char *params[4]; /* name, value, … */
};

static const struct found founds[] = {
	{ VERB_GET, "/", "version", { 0 } },
	{ VERB_GET, "/collections", "collections_list", { 0 } },
	{ VERB_HEAD, "/collections", "collections_list", { 0 } },
	{ VERB_GET, "/collections/", "collections_list", { 0 } },
	{ VERB_GET, "//collections//a//exists", "collection_exists", { "collection_name", "a" } },
	{ VERB_PUT, "/collections/a", "collection_create", { "collection_name", "a" } },
	{ VERB_POST, "/collections/aliases", "aliases_update", { 0 } },
	{ VERB_GET, "/collections/aliases", "collection_get", { "collection_name", "aliases" } },
	{ VERB_GET, "/collections/a/points/5", "point_get", { "collection_name", "a", "id", "5" } },
	{ VERB_POST, "/collections/a/points/query", "points_query", { "collection_name", "a" } },
	{ VERB_GET,
	  "/collections/a/points/query",
	  "point_get",
	  { "collection_name", "a", "id", "query" } },
	{ VERB_POST, "/collections/a/points", "points_retrieve", { "collection_name", "a" } },
	{ VERB_DELETE,
	  "/collections/a/index/b.c%5B%5D",
	  "index_delete",
	  { "collection_name", "a", "field_name", "b.c[]" } },
	{ VERB_GET,
	  "/collections/%C3%A4+b%2Fc",
	  "collection_get",
	  { "collection_name", "\xc3\xa4+b/c" } },
	{ VERB_PUT,
	  "/collections/a/snapshots/recover",
	  "snapshot_recover",
	  { "collection_name", "a" } },
	{ VERB_GET,
	  "/collections/a/snapshots/recover",
	  "snapshot_get",
	  { "collection_name", "a", "snapshot_name", "recover" } },
	{ VERB_GET, "/isthmus/status", "isthmus_status", { 0 } },
};

START_TEST(a_method_is_found_by_verb_and_path)
{
	const struct found *c = &founds[_i];
	CLEANUP(arena_release) struct arena a;
	struct method_match match;

	arena_init(&a, 4096);
	ck_assert_int_eq(method_find_rest(c->verb, text_of(c->path), &a, &match, NULL), ERR_NONE);
	ck_assert_str_eq(match.method->name, c->name);
	uint32_t n = 0;
	for (; n < 2 && c->params[n * 2]; n++) {
		ck_assert_uint_lt(n, match.param_count);
		struct header *p = &match.params[n];
		ck_assert_uint_eq(p->name.len, strlen(c->params[n * 2]));
		ck_assert_mem_eq(p->name.data, c->params[n * 2], p->name.len);
		ck_assert_uint_eq(p->value.len, strlen(c->params[n * 2 + 1]));
		ck_assert_mem_eq(p->value.data, c->params[n * 2 + 1], p->value.len);
	}
	ck_assert_uint_eq(match.param_count, n);
}
END_TEST

START_TEST(every_row_is_found_by_its_own_names)
{
	uint32_t count;
	const struct method *table = method_table(&count);
	CLEANUP(arena_release) struct arena a;

	arena_init(&a, 1u << 20);
	ck_assert_uint_gt(count, 70);
	for (uint32_t i = 0; i < count; i++) {
		struct method_match match;
		const struct method *m = NULL;
		if (table[i].path) {
			ck_assert_int_eq(method_find_rest(table[i].verb, text_of(table[i].path), &a,
							  &match, NULL),
					 ERR_NONE);
			ck_assert_str_eq(match.method->name, table[i].name);
		}
		if (table[i].grpc) {
			struct str path = arena_printf(&a, "/%s", table[i].grpc);
			ck_assert_int_eq(method_find_grpc(path, &m, NULL), ERR_NONE);
			ck_assert_str_eq(m->name, table[i].name);
		}
		ck_assert(table[i].path || table[i].grpc);
		for (uint32_t j = 0; j < i; j++)
			ck_assert_str_ne(table[i].name, table[j].name);
	}
}
END_TEST

/* {x} of a path is a PARAM of the message, and a message by gRPC has a number for each. */
START_TEST(path_parameters_are_parameters_of_the_message)
{
	uint32_t count;
	const struct method *table = method_table(&count);

	for (uint32_t i = 0; i < count; i++) {
		if (!table[i].path || !table[i].handler)
			continue;
		for (const char *p = strchr(table[i].path, '{'); p; p = strchr(p + 1, '{')) {
			size_t len = strcspn(p + 1, "}");
			bool known = false;
			for (uint32_t r = 0; r < table[i].in->row_count; r++) {
				const struct message_row *row = &table[i].in->rows[r];
				known |= row->role == ROLE_PARAM && strlen(row->json) == len &&
					 memcmp(row->json, p + 1, len) == 0;
			}
			ck_assert_msg(known, "%s: %s", table[i].name, p);
		}
	}
}
END_TEST

START_TEST(what_is_not_built_has_no_handler)
{
	CLEANUP(arena_release) struct arena a;
	struct method_match match;
	const struct method *m;

	arena_init(&a, 4096);
	ck_assert_int_eq(method_find_rest(VERB_POST, STR("/collections/a/snapshots"), &a, &match, NULL),
			 ERR_NONE);
	ck_assert(!match.method->handler);
	ck_assert_int_eq(method_find_grpc(STR("/qdrant.Snapshots/List"), &m, NULL), ERR_NONE);
	ck_assert(!m->handler);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("method");
	TCase *refused = tcase_create("refused");
	TCase *ordinary = tcase_create("ordinary");

	tcase_add_loop_test(refused, a_path_that_is_not_ours_is_refused, 0, (int)LEN(refusals));
	tcase_add_test(refused, a_grpc_name_that_is_not_ours_is_refused);
	tcase_add_test(refused, what_is_not_built_has_no_handler);
	suite_add_tcase(s, refused);
	tcase_add_loop_test(ordinary, a_method_is_found_by_verb_and_path, 0, (int)LEN(founds));
	tcase_add_test(ordinary, every_row_is_found_by_its_own_names);
	tcase_add_test(ordinary, path_parameters_are_parameters_of_the_message);
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
