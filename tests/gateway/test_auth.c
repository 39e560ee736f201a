/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which key opens what, where it may be sent, and how keys are read and replaced.
 */
#include "gateway/auth.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "tests/gateway/jwt_bed.h"
#include "tests/index/scratch.h"

static struct auth *auth;

static struct str str_of(const char *text)
{
	return (struct str){ .data = text, .len = text ? strlen(text) : 0 };
}

static void set_up(void)
{
	ck_assert_int_eq(auth_new(&auth), ERR_NONE);
}

static void tear_down(void)
{
	auth_free(auth);
	auth_free(NULL);
}

static void set_keys(const char *api, const char *alt, const char *read_only, const char *admin)
{
	struct auth_keys keys = { .api = str_of(api), .alt = str_of(alt), .read_only = str_of(read_only), .admin = str_of(admin) };
	struct fault f;
	ck_assert_int_eq(auth_set(auth, &keys, &f), ERR_NONE);
}

/* The rights of a request with one header; name NULL: with none. */
static enum auth_rights rights_of(const char *name, const char *value, struct fault *f)
{
	struct header h = { str_of(name), str_of(value) };
	struct request r = { .headers = &h, .header_count = name != NULL };
	struct auth_grant grant = { .rights = AUTH_ADMIN };
	enum err err = auth_check(auth, &r, 1000, &grant, f);
	ck_assert_int_eq(err, grant.rights == AUTH_NONE ? ERR_UNAUTHENTICATED : ERR_NONE);
	ck_assert_ptr_null(grant.claims);
	return grant.rights;
}

START_TEST(no_key_and_wrong_keys_are_refused_in_the_words_of_qdrant)
{
	static const struct {
		const char *name, *value, *words;
	} cases[] = {
		{ NULL, NULL, "Must provide an API key or an Authorization bearer token" },
		{ "api-key", "", "Must provide an API key or an Authorization bearer token" },
		{ "authorization", "Basic secret",
		  "Must provide an API key or an Authorization bearer token" },
		{ "authorization", "Bearer ",
		  "Must provide an API key or an Authorization bearer token" },
		{ "authorization", "secret",
		  "Must provide an API key or an Authorization bearer token" },
		{ "api-key", "secre", "Invalid API key or JWT" },
		{ "api-key", "secret ", "Invalid API key or JWT" },
		{ "api-key", "SECRET", "Invalid API key or JWT" },
		{ "api-key", "Bearer secret", "Invalid API key or JWT" },
		{ "authorization", "Bearer other", "Invalid API key or JWT" },
	};

	set_keys("secret", NULL, "reader", NULL);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct fault f = { 0 };
		ck_assert_msg(rights_of(cases[i].name, cases[i].value, &f) == AUTH_NONE, "row %zu",
			      i);
		ck_assert_str_eq(f.text, cases[i].words);
	}
}
END_TEST

START_TEST(each_key_has_its_rights)
{
	static const struct {
		const char *name, *value;
		enum auth_rights rights;
	} cases[] = {
		{ "api-key", "secret", AUTH_ALL },
		{ "api-key", "next", AUTH_ALL },
		{ "api-key", "reader", AUTH_READ },
		{ "api-key", "root", AUTH_ADMIN },
		{ "authorization", "Bearer secret", AUTH_ALL },
		{ "authorization", "bearer reader", AUTH_READ },
	};
	struct fault f;

	set_keys("secret", "next", "reader", "root");
	for (size_t i = 0; i < LEN(cases); i++)
		ck_assert_msg(rights_of(cases[i].name, cases[i].value, &f) == cases[i].rights,
			      "row %zu", i);
}
END_TEST

START_TEST(without_any_key_everybody_may_do_everything)
{
	struct fault f;

	ck_assert_int_eq(rights_of(NULL, NULL, &f), AUTH_ADMIN);
	set_keys("", "", "", "");
	ck_assert_int_eq(rights_of("api-key", "whatever", &f), AUTH_ADMIN);
	set_keys(NULL, NULL, "reader", NULL);
	ck_assert_int_eq(rights_of(NULL, NULL, &f), AUTH_NONE);
	ck_assert_int_eq(rights_of("api-key", "reader", &f), AUTH_READ);
}
END_TEST

START_TEST(the_fleet_and_the_unix_socket_need_no_key)
{
	struct request peer = { .peer = true };
	struct request local = { .client.ss_family = AF_UNIX };
	struct request stranger = { .client.ss_family = AF_INET };
	struct auth_grant grant;
	struct fault f;

	set_keys("secret", NULL, NULL, NULL);
	ck_assert_int_eq(auth_check(auth, &peer, 0, &grant, &f), ERR_NONE);
	ck_assert_int_eq(grant.rights, AUTH_ADMIN);
	ck_assert_int_eq(auth_check(auth, &local, 0, &grant, &f), ERR_NONE);
	ck_assert_int_eq(grant.rights, AUTH_ADMIN);
	ck_assert_int_eq(auth_check(auth, &stranger, 0, &grant, &f), ERR_UNAUTHENTICATED);
}
END_TEST

/* --- tokens --- */

static enum err check_token(const char *claims, const char *key, struct arena *a, struct auth_grant *grant)
{
	char token[JWT_TEXT_MAX];
	struct header h = { STR("api-key"), str_of(jwt_make(NULL, claims, key, token)) };
	struct request r = { .headers = &h, .header_count = 1 };
	struct fault f = { 0 };

	arena_init(&r.arena, 1u << 20);
	enum err err = auth_check(auth, &r, 1000, grant, &f);
	*a = r.arena;
	return err;
}

START_TEST(a_token_of_either_api_key_is_a_key_where_tokens_are_allowed)
{
	struct auth_keys keys = { .api = STR("secret"), .alt = STR("next"), .read_only = STR("reader"), .admin = STR("root") };
	static const struct {
		bool jwt;
		const char *key, *claims;
		enum err err;
		enum auth_rights rights;
	} cases[] = {
		{ false, "secret", "{}", ERR_UNAUTHENTICATED, AUTH_NONE },
		{ true, "secret", "{}", ERR_NONE, AUTH_ALL },
		{ true, "next", "{\"access\":\"m\"}", ERR_NONE, AUTH_ALL },
		{ true, "secret", "{\"access\":\"r\"}", ERR_NONE, AUTH_READ },
		{ true, "secret", "{\"access\":[{\"collection\":\"a\",\"access\":\"r\"}]}", ERR_NONE, AUTH_READ },
		{ true, "secret", "{\"access\":[{\"collection\":\"a\",\"access\":\"prw\"}]}", ERR_NONE, AUTH_ALL },
		{ true, "secret", "{\"access\":[]}", ERR_NONE, AUTH_READ },
		{ true, "reader", "{}", ERR_FORBIDDEN, AUTH_NONE },
		{ true, "root", "{}", ERR_FORBIDDEN, AUTH_NONE },
		{ true, "secret", "{\"exp\":969}", ERR_FORBIDDEN, AUTH_NONE },
		{ true, "secret", "{\"exp\":970}", ERR_NONE, AUTH_ALL },
		{ true, "secret", "{\"access\":\"x\"}", ERR_UNAUTHENTICATED, AUTH_NONE },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct auth_grant grant = { .rights = AUTH_ADMIN };
		struct arena a;

		keys.jwt = cases[i].jwt;
		ck_assert_int_eq(auth_set(auth, &keys, NULL), ERR_NONE);
		ck_assert_msg(check_token(cases[i].claims, cases[i].key, &a, &grant) == cases[i].err, "row %zu", i);
		ck_assert_int_eq(grant.rights, cases[i].rights);
		ck_assert_int_eq(grant.claims != NULL, cases[i].err == ERR_NONE);
		arena_release(&a);
	}
	/* Without an API key nobody can have made one, and the empty key signs nothing. */
	keys = (struct auth_keys){ .read_only = STR("reader"), .jwt = true };
	ck_assert_int_eq(auth_set(auth, &keys, NULL), ERR_NONE);
	struct auth_grant grant;
	struct arena a;
	ck_assert_int_eq(check_token("{}", "", &a, &grant), ERR_UNAUTHENTICATED);
	arena_release(&a);
}
END_TEST

START_TEST(tokens_need_a_key_that_signs_them)
{
	const struct auth_files files = { .jwt = true, .api = "", .read_only = "/nonexistent" };
	struct fault f = { 0 };

	ck_assert_int_eq(auth_load(auth, &files, &f), ERR_CONFIG);
	ck_assert_int_eq(strncmp(f.text, "auth.jwt: ", 10), 0);
}
END_TEST

START_TEST(claims_reach_another_region_as_they_are)
{
	struct auth_keys keys = { .api = STR("secret"), .jwt = true };
	struct auth_grant grant;
	struct jwt_claims again;
	struct arena a;

	ck_assert_int_eq(auth_set(auth, &keys, NULL), ERR_NONE);
	ck_assert_int_eq(check_token("{\"access\":[{\"collection\":\"a\",\"access\":\"rw\"}]}", "secret", &a, &grant), ERR_NONE);
	struct str words = auth_grant_words(&grant, &a);
	ck_assert_uint_gt(words.len, 4);
	ck_assert_int_eq(memcmp(words.data, "jwt ", 4), 0);
	ck_assert_int_eq(jwt_read_payload((struct str){ words.data + 4, words.len - 4 }, &a, &again), ERR_NONE);
	ck_assert_int_eq(jwt_level_in(&again, STR("a")), JWT_WRITE);
	ck_assert_int_eq(jwt_level_in(&again, STR("b")), JWT_NOTHING);
	grant = (struct auth_grant){ .rights = AUTH_READ };
	ck_assert_int_eq(memcmp(auth_grant_words(&grant, &a).data, "read", 4), 0);
	arena_release(&a);
}
END_TEST

static const char *write_file(struct scratch *s, const char *name, const char *text)
{
	FILE *f = fopen(scratch_path(s, name), "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fputs(text, f) >= 0, 1);
	ck_assert_int_eq(fclose(f), 0);
	return s->path;
}

START_TEST(keys_are_read_from_files_all_or_none)
{
	struct scratch s;
	char api[PATH_MAX], reader[PATH_MAX], empty[PATH_MAX], gone[PATH_MAX];
	struct fault f;
	scratch_new(&s);
	snprintf(api, sizeof(api), "%s", write_file(&s, "api", "from file\r\nsecond line\n"));
	snprintf(reader, sizeof(reader), "%s", write_file(&s, "reader", "reads"));
	snprintf(empty, sizeof(empty), "%s", write_file(&s, "empty", "\n"));
	snprintf(gone, sizeof(gone), "%s", scratch_path(&s, "gone"));

	struct auth_files good = { .api = api, .read_only = reader, .alt = "" };
	ck_assert_int_eq(auth_load(auth, &good, &f), ERR_NONE);
	ck_assert_int_eq(rights_of("api-key", "from file", &f), AUTH_ALL);
	ck_assert_int_eq(rights_of("api-key", "reads", &f), AUTH_READ);

	char binary[PATH_MAX];
	snprintf(binary, sizeof(binary), "%s", write_file(&s, "binary", "k\xc3\xa9y\n"));
	const char *const bad[] = { empty, gone, binary, s.path };
	for (size_t i = 0; i < LEN(bad); i++) {
		struct auth_files files = { .api = reader, .admin = bad[i] };
		ck_assert_int_eq(auth_load(auth, &files, &f), ERR_CONFIG);
		ck_assert_ptr_nonnull(strstr(f.text, bad[i]));
		ck_assert_msg(strncmp(f.text, "auth.admin_key_file: ", 21) == 0, "%s", f.text);
		ck_assert_int_eq(rights_of("api-key", "from file", &f), AUTH_ALL);
		ck_assert_int_eq(rights_of("api-key", "reads", &f), AUTH_READ);
	}
	scratch_remove(&s);
}
END_TEST

START_TEST(keys_have_a_bound)
{
	static char text[AUTH_KEY_BYTES_MAX + 2];
	struct auth_keys keys = { 0 };
	struct fault f;

	memset(text, 'k', sizeof(text) - 1);
	keys.api = (struct str){ text, AUTH_KEY_BYTES_MAX + 1 };
	ck_assert_int_eq(auth_set(auth, &keys, &f), ERR_CONFIG);
	text[AUTH_KEY_BYTES_MAX] = 0;
	keys.api.len = AUTH_KEY_BYTES_MAX;
	ck_assert_int_eq(auth_set(auth, &keys, &f), ERR_NONE);
	ck_assert_int_eq(rights_of("api-key", text, &f), AUTH_ALL);
}
END_TEST

static void *replace_keys(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++)
		set_keys(i % 2 ? "one" : "two", i % 2 ? "two" : "one", NULL, NULL);
	return NULL;
}

START_TEST(a_key_that_stays_is_known_while_keys_are_replaced)
{
	pthread_t thread;
	struct fault f;

	set_keys("one", "two", NULL, NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, replace_keys, NULL), 0);
	for (int i = 0; i < 2000; i++)
		ck_assert_int_eq(rights_of("api-key", "one", &f), AUTH_ALL);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("auth");
	TCase *t = tcase_create("auth");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_token_of_either_api_key_is_a_key_where_tokens_are_allowed);
	tcase_add_test(t, claims_reach_another_region_as_they_are);
	tcase_add_test(t, tokens_need_a_key_that_signs_them);
	tcase_add_test(t, no_key_and_wrong_keys_are_refused_in_the_words_of_qdrant);
	tcase_add_test(t, each_key_has_its_rights);
	tcase_add_test(t, without_any_key_everybody_may_do_everything);
	tcase_add_test(t, the_fleet_and_the_unix_socket_need_no_key);
	tcase_add_test(t, keys_are_read_from_files_all_or_none);
	tcase_add_test(t, keys_have_a_bound);
	tcase_add_test(t, a_key_that_stays_is_known_while_keys_are_replaced);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
