/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/resolver.h"

#include <arpa/inet.h>
#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err get(struct resolver *r, uint32_t i, uint32_t attempt, char out[INET6_ADDRSTRLEN + 8], struct fault *f)
{
	struct sockaddr_storage a;
	socklen_t len;
	char text[INET6_ADDRSTRLEN];
	enum err err = resolver_get(r, i, attempt, &a, &len, f);

	if (err)
		return err;
	if (a.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)&a;
		ck_assert_uint_eq(len, sizeof(*v6));
		(void)snprintf(out, INET6_ADDRSTRLEN + 8, "[%s]:%u", inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text)),
			       ntohs(v6->sin6_port));
	} else {
		const struct sockaddr_in *v4 = (const void *)&a;
		ck_assert_uint_eq(len, sizeof(*v4));
		(void)snprintf(out, INET6_ADDRSTRLEN + 8, "%s:%u", inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text)),
			       ntohs(v4->sin_port));
	}
	return ERR_NONE;
}

static const char *const wrong[] = { "",      "eu",       "eu:",   ":6335",     "[]:1",        "eu:0",
				     "eu:x1", "eu:65536", "eu:1 ", "eu:123456", "[::1]6335", "eu:+1" };

START_TEST(what_is_no_address_is_refused)
{
	struct resolver *r;
	struct fault f = { 0 };

	ck_assert_int_eq(resolver_new(&wrong[_i], 1, &r, &f), ERR_CONFIG);
	ck_assert_int_eq(strncmp(f.text, wrong[_i], strlen(wrong[_i])), 0);
}
END_TEST

START_TEST(numeric_addresses_are_known_at_once)
{
	static const char *const addresses[] = { "127.0.0.1:6335", "[::1]:6336" };
	char text[INET6_ADDRSTRLEN + 8];
	struct resolver *r;

	ck_assert_int_eq(resolver_new(addresses, LEN(addresses), &r, NULL), ERR_NONE);
	for (uint32_t i = 0; i < LEN(addresses); i++)
		for (uint32_t attempt = 0; attempt < 3; attempt++) {
			ck_assert_int_eq(get(r, i, attempt, text, NULL), ERR_NONE);
			ck_assert_str_eq(text, addresses[i]);
		}
	resolver_free(r);
}
END_TEST

START_TEST(names_are_looked_up_meanwhile)
{
	static const char *const addresses[] = { "localhost:6335" };
	char text[INET6_ADDRSTRLEN + 8];
	struct resolver *r;
	struct fault f = { 0 };

	ck_assert_int_eq(resolver_new(addresses, 1, &r, NULL), ERR_NONE);
	while (get(r, 0, 0, text, &f))
		(void)sched_yield();
	ck_assert_msg(strcmp(text, "127.0.0.1:6335") == 0 || strcmp(text, "[::1]:6335") == 0, "%s", text);
	resolver_free(r);
}
END_TEST

START_TEST(a_name_that_is_none_says_so)
{
	static const char *const addresses[] = { "no-such-host.invalid:6335" };
	char text[INET6_ADDRSTRLEN + 8];
	struct resolver *r;
	struct fault f = { 0 };

	ck_assert_int_eq(resolver_new(addresses, 1, &r, NULL), ERR_NONE);
	ck_assert_int_eq(get(r, 0, 0, text, &f), ERR_UNAVAILABLE);
	ck_assert_int_eq(strncmp(f.text, "no-such-host.invalid: ", 22), 0);
	resolver_free(r);
	resolver_free(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("resolver");
	TCase *t = tcase_create("resolver");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, what_is_no_address_is_refused, 0, LEN(wrong));
	tcase_add_test(t, numeric_addresses_are_known_at_once);
	tcase_add_test(t, names_are_looked_up_meanwhile);
	tcase_add_test(t, a_name_that_is_none_says_so);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
