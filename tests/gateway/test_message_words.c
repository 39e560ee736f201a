/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of faults: Qdrant's prefix, once, and none where the words are whole.
 */
#include "gateway/message_words.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct row {
	enum err err;
	const char *text; /* NULL: no fault */
	enum words_for reader;
	const char *words;
};

static const struct row rows[] = {
	{ ERR_BAD_INPUT, "Vector dimension error: expected dim: 4, got 3", WORDS_FOR_REST,
	  "Wrong input: Vector dimension error: expected dim: 4, got 3" },
	{ ERR_BAD_INPUT, "Wrong input: x", WORDS_FOR_GRPC, "Wrong input: x" },
	{ ERR_ALREADY_EXISTS, "Collection `x` already exists!", WORDS_FOR_REST,
	  "Wrong input: Collection `x` already exists!" },
	{ ERR_NOT_FOUND, "Collection `x` doesn't exist!", WORDS_FOR_GRPC,
	  "Not found: Collection `x` doesn't exist!" },
	{ ERR_BAD_REQUEST, "Format error in JSON body: y", WORDS_FOR_REST,
	  "Format error in JSON body: y" },
	{ ERR_BAD_REQUEST, "y", WORDS_FOR_REST, "Bad request: y" },
	{ ERR_VALIDATION, "[limit: z]", WORDS_FOR_REST,
	  "Validation error in JSON body: [limit: z]" },
	{ ERR_VALIDATION, "[limit: z]", WORDS_FOR_GRPC, "Validation error in body: [limit: z]" },
	{ ERR_VALIDATION, "Validation error in query parameters: [timeout: z]", WORDS_FOR_REST,
	  "Validation error in query parameters: [timeout: z]" },
	{ ERR_NOT_IMPLEMENTED, "prefetch (prefetch)", WORDS_FOR_GRPC,
	  "Not implemented: prefetch (prefetch)" },
	{ ERR_IO, "disk", WORDS_FOR_REST, "Service internal error: disk" },
	{ ERR_INTERNAL, NULL, WORDS_FOR_REST, "Service internal error: internal error" },
	{ ERR_RATE_LIMITED, NULL, WORDS_FOR_REST,
	  "Rate limiting exceeded: too much work is waiting; retry later" },
	{ ERR_UNAUTHENTICATED, NULL, WORDS_FOR_REST,
	  "Must provide an API key or an Authorization bearer token" },
};

START_TEST(words_have_the_prefix_of_their_error_once)
{
	const struct row *r = &rows[_i];
	CLEANUP(arena_release) struct arena a;
	struct fault fault = { .err = r->err };

	arena_init(&a, 4096);
	if (r->text)
		memcpy(fault.text, r->text, strlen(r->text) + 1);
	struct str words = message_words(r->text ? &fault : NULL, r->err, r->reader, &a);
	ck_assert_uint_eq(words.len, strlen(r->words));
	ck_assert_mem_eq(words.data, r->words, words.len);
}
END_TEST

START_TEST(words_of_another_error_are_not_used)
{
	CLEANUP(arena_release) struct arena a;
	struct fault fault = { .err = ERR_IO, .text = "disk" };

	arena_init(&a, 4096);
	struct str words = message_words(&fault, ERR_CANCELLED, WORDS_FOR_REST, &a);
	ck_assert_uint_eq(words.len, strlen("the client went away"));
	ck_assert_mem_eq(words.data, "the client went away", words.len);
}
END_TEST

START_TEST(a_full_arena_leaves_the_bare_words)
{
	CLEANUP(arena_release) struct arena a;
	struct fault fault = { .err = ERR_NOT_FOUND, .text = "x" };

	arena_init(&a, 0);
	struct str words = message_words(&fault, ERR_NOT_FOUND, WORDS_FOR_REST, &a);
	ck_assert_uint_eq(words.len, 1);
	ck_assert_int_eq(words.data[0], 'x');
}
END_TEST

static const struct {
	const char *body;
	const char *words;
} replies[] = {
	{ "{\"status\":{\"error\":\"Not found: \\\"x\\\"\"},\"time\":0.1}\n", "Not found: \"x\"" },
	{ "{\"time\":0,\"status\":{\"code\":5,\"error\":\"late\"}}", "late" },
	{ " some shards are not ready\r\n", "some shards are not ready" },
	{ "{\"status\":\"ok\"}", "{\"status\":\"ok\"}" },
	{ "{\"status\":{\"error\":\"cut", "{\"status\":{\"error\":\"cut" },
	{ "", "" },
};

START_TEST(words_of_a_reply_are_those_of_its_error_or_the_reply)
{
	CLEANUP(arena_release) struct arena a;

	arena_init(&a, 4096);
	struct str words =
		message_words_of_reply((struct str){ .data = replies[_i].body, .len = strlen(replies[_i].body) }, &a);
	ck_assert_msg(words.len == strlen(replies[_i].words) && memcmp(words.data, replies[_i].words, words.len) == 0,
		      "%.*s", (int)words.len, words.data);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("message_words");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, a_full_arena_leaves_the_bare_words);
	tcase_add_test(tc, words_of_another_error_are_not_used);
	tcase_add_loop_test(tc, words_have_the_prefix_of_their_error_once, 0, (int)LEN(rows));
	tcase_add_loop_test(tc, words_of_a_reply_are_those_of_its_error_or_the_reply, 0, (int)LEN(replies));
	suite_add_tcase(s, tc);
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
