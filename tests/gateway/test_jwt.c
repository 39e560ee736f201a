/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens: which are refused, and what the claims of the others allow where.
 */
#include "gateway/jwt.h"

#include <stdlib.h>

#include "tests/gateway/jwt_bed.h"

#define KEY "the key that everybody has to know"
#define NOW 1700000000

static struct arena arena;

static void setup(void)
{
	arena_init(&arena, 16u << 20);
}

static void teardown(void)
{
	arena_release(&arena);
}

static struct str str_of(const char *text)
{
	return (struct str){ .data = text, .len = text ? strlen(text) : 0 };
}

static enum err read_at(const char *token, uint64_t now_s, struct jwt_claims *c, struct fault *f)
{
	const struct bytes keys[] = { { (const uint8_t *)"another key", 11 }, { NULL, 0 }, { (const uint8_t *)KEY, strlen(KEY) } };

	return jwt_read(str_of(token), keys, LEN(keys), now_s, &arena, c, f);
}

/* Made by Python's hmac and base64. */
static const char foreign[] = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhY2Nlc3MiOiJyIiwiZXhwIjoxNzAwMDAwMDAwfQ."
			      "mJY_qsscBFU9NmhyDYSjmnExyt19YUYmufs6V72_OKQ";

START_TEST(a_token_that_others_made_is_read)
{
	struct jwt_claims c;

	ck_assert_int_eq(read_at(foreign, NOW, &c, NULL), ERR_NONE);
	ck_assert_uint_eq(c.exp_s, NOW);
	ck_assert_int_eq(jwt_level_in(&c, STR("any")), JWT_READ);
}
END_TEST

START_TEST(what_is_no_token_of_ours_opens_nothing)
{
	static const char claims[] = "{\"access\":\"m\"}";
	char token[JWT_TEXT_MAX], bad[JWT_TEXT_MAX];
	struct jwt_claims c;
	struct fault f = { 0 };

	/* neither of these has the form of a token that is signed by HS256 */
	static const char *const headers[] = {
		"{\"alg\":\"none\"}", "{\"alg\":\"HS512\"}", "{\"typ\":\"JWT\"}", "[]", "", "{\"alg\":\"HS256\"} x",
	};
	for (size_t i = 0; i < LEN(headers); i++)
		ck_assert_msg(read_at(jwt_make(headers[i], claims, KEY, token), NOW, &c, NULL) == ERR_UNAUTHENTICATED, "%s",
			      headers[i]);
	static const char *const texts[] = { "", ".", "..", "a.b", "a.b.c", "secret", "eyJhbGciOiJIUzI1NiJ9..", "eyJhbGciOiJIUzI1NiJ9.e30." };
	for (size_t i = 0; i < LEN(texts); i++)
		ck_assert_msg(read_at(texts[i], NOW, &c, NULL) != ERR_NONE, "%s", texts[i]);
	/* signed by somebody else */
	ck_assert_int_eq(read_at(jwt_make(NULL, claims, "guess", token), NOW, &c, &f), ERR_FORBIDDEN);
	ck_assert_str_eq(fault_text(&f), "InvalidSignature");
	ck_assert_int_eq(read_at(jwt_make(NULL, claims, "", token), NOW, &c, NULL), ERR_FORBIDDEN);
	/* every letter counts, also those that base64 would pass over */
	jwt_make(NULL, claims, KEY, token);
	ck_assert_int_eq(read_at(token, NOW, &c, NULL), ERR_NONE);
	for (size_t i = 0; token[i]; i++) {
		snprintf(bad, sizeof(bad), "%s", token);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		ck_assert_msg(read_at(bad, NOW, &c, NULL) != ERR_NONE, "letter %zu", i);
	}
	snprintf(bad, sizeof(bad), "%s=", token);
	ck_assert_int_ne(read_at(bad, NOW, &c, NULL), ERR_NONE);
	snprintf(bad, sizeof(bad), "%s.x", token);
	ck_assert_int_ne(read_at(bad, NOW, &c, NULL), ERR_NONE);
}
END_TEST

START_TEST(claims_that_are_not_understood_open_nothing)
{
	static const char *const claims[] = {
		"",
		"[]",
		"{",
		"{} x",
		"{\"access\":\"rw\"}",
		"{\"access\":\"R\"}",
		"{\"access\":null}",
		"{\"access\":{}}",
		"{\"access\":[\"r\"]}",
		"{\"access\":[{\"collection\":\"a\"}]}",
		"{\"access\":[{\"access\":\"r\"}]}",
		"{\"access\":[{\"collection\":\"a\",\"access\":\"m\"}]}",
		"{\"access\":[{\"collection\":\"a\",\"access\":\"r\",\"payload\":{\"tenant\":1}}]}",
		"{\"exp\":\"tomorrow\"}",
		"{\"exp\":-1}",
		"{\"value_exists\":{\"collection\":\"a\"}}",
		"{\"value_exists\":{\"matches\":[]}}",
		"{\"value_exists\":{\"collection\":\"a\",\"matches\":[{\"key\":\"k\"}]}}",
		"{\"value_exists\":{\"collection\":\"a\",\"matches\":[{\"value\":1}]}}",
		"{\"value_exists\":{\"collection\":\"a\",\"matches\":[{\"key\":\"\",\"value\":1}]}}",
		"{\"value_exists\":{\"collection\":\"a\",\"matches\":[{\"key\":\"k\",\"value\":1.5}]}}",
	};
	char token[JWT_TEXT_MAX];
	struct jwt_claims c;

	for (size_t i = 0; i < LEN(claims); i++)
		ck_assert_msg(read_at(jwt_make(NULL, claims[i], KEY, token), NOW, &c, NULL) == ERR_UNAUTHENTICATED, "%s", claims[i]);
}
END_TEST

START_TEST(a_token_ends_at_its_time_and_a_little_later)
{
	char token[JWT_TEXT_MAX];
	struct jwt_claims c;
	struct fault f = { 0 };

	jwt_make(NULL, "{\"exp\":1700000000}", KEY, token);
	ck_assert_int_eq(read_at(token, NOW - 1000000, &c, NULL), ERR_NONE);
	ck_assert_int_eq(read_at(token, NOW + JWT_LEEWAY_S, &c, NULL), ERR_NONE);
	ck_assert_int_eq(read_at(token, NOW + JWT_LEEWAY_S + 1, &c, &f), ERR_FORBIDDEN);
	ck_assert_str_eq(fault_text(&f), "ExpiredSignature");
	ck_assert_int_eq(read_at(jwt_make(NULL, "{\"exp\":18446744073709551615}", KEY, token), NOW, &c, NULL), ERR_NONE);
	ck_assert_int_eq(read_at(jwt_make(NULL, "{\"exp\":null}", KEY, token), UINT64_MAX, &c, NULL), ERR_NONE);
}
END_TEST

START_TEST(claims_allow_what_they_say_where_they_say_it)
{
	static const struct {
		const char *claims;
		enum jwt_level in_a, in_b, everywhere, anywhere;
	} cases[] = {
		{ "{}", JWT_MANAGE, JWT_MANAGE, JWT_MANAGE, JWT_MANAGE },
		{ "{\"sub\":\"me\",\"other\":[1]}", JWT_MANAGE, JWT_MANAGE, JWT_MANAGE, JWT_MANAGE },
		{ "{\"access\":\"r\"}", JWT_READ, JWT_READ, JWT_READ, JWT_READ },
		{ "{\"access\":\"m\"}", JWT_MANAGE, JWT_MANAGE, JWT_MANAGE, JWT_MANAGE },
		{ "{\"access\":[]}", JWT_NOTHING, JWT_NOTHING, JWT_NOTHING, JWT_NOTHING },
		{ "{\"access\":[{\"collection\":\"a\",\"access\":\"r\"}]}", JWT_READ, JWT_NOTHING, JWT_NOTHING, JWT_READ },
		{ "{\"access\":[{\"collection\":\"a\",\"access\":\"prw\"},{\"collection\":\"b\",\"access\":\"r\",\"payload\":null}]}",
		  JWT_POINTS, JWT_READ, JWT_NOTHING, JWT_POINTS },
		{ "{\"access\":[{\"access\":\"rw\",\"collection\":\"b\"}]}", JWT_NOTHING, JWT_WRITE, JWT_NOTHING, JWT_WRITE },
	};
	char token[JWT_TEXT_MAX];

	for (size_t i = 0; i < LEN(cases); i++) {
		struct jwt_claims c, again;

		ck_assert_msg(read_at(jwt_make(NULL, cases[i].claims, KEY, token), NOW, &c, NULL) == ERR_NONE, "row %zu", i);
		ck_assert_int_eq(jwt_level_in(&c, STR("a")), cases[i].in_a);
		ck_assert_int_eq(jwt_level_in(&c, STR("b")), cases[i].in_b);
		ck_assert_int_eq(jwt_level_in(&c, (struct str){ 0 }), cases[i].everywhere);
		ck_assert_int_eq(jwt_level_anywhere(&c), cases[i].anywhere);
		/* as another region gets it */
		ck_assert_int_eq(jwt_read_payload(c.payload, &arena, &again), ERR_NONE);
		ck_assert_int_eq(jwt_level_in(&again, STR("a")), cases[i].in_a);
	}
	ck_assert_int_eq(jwt_level_in(NULL, STR("a")), JWT_MANAGE);
	ck_assert_int_eq(jwt_level_anywhere(NULL), JWT_MANAGE);
}
END_TEST

START_TEST(a_value_that_must_exist_is_a_filter)
{
	char token[JWT_TEXT_MAX];
	struct jwt_claims c;

	ck_assert_int_eq(read_at(jwt_make(NULL, "{\"value_exists\":{\"collection\":\"users\",\"matches\":[{\"key\":\"name\",\"value\":\"me\"},"
					  "{\"key\":\"id\",\"value\":7},{\"key\":\"active\",\"value\":true}]}}", KEY, token),
				 NOW, &c, NULL),
			 ERR_NONE);
	ck_assert(c.has_value);
	ck_assert_uint_eq(c.value_collection.len, 5);
	ck_assert_uint_eq(c.value_filter->must.count, 3);
	ck_assert_int_eq(c.value_filter->must.items[1].kind, CONDITION_MATCH_INT_VALUE);
	ck_assert_int_eq(c.value_filter->must.items[1].integer, 7);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("jwt");
	TCase *t = tcase_create("jwt");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_is_no_token_of_ours_opens_nothing);
	tcase_add_test(t, claims_that_are_not_understood_open_nothing);
	tcase_add_test(t, a_token_that_others_made_is_read);
	tcase_add_test(t, a_token_ends_at_its_time_and_a_little_later);
	tcase_add_test(t, claims_allow_what_they_say_where_they_say_it);
	tcase_add_test(t, a_value_that_must_exist_is_a_filter);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
