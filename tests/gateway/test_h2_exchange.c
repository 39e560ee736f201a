/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reply of another region leaves behind, and the list of those that are waited for.
 */
#include "gateway/h2_exchange.h"

#include <check.h>
#include <string.h>

static struct h2_exchange x;

static void set_up(void)
{
	x = (struct h2_exchange){ 0 };
	arena_init(&x.arena, H2_EXCHANGE_ARENA_BYTES_MAX);
	buf_init(&x.reply, 4096);
}

static void tear_down(void)
{
	h2_exchange_release(&x);
}

START_TEST(more_headers_than_the_bound_are_refused)
{
	for (unsigned i = 0; i < H2_EXCHANGE_HEADERS_MAX; i++)
		ck_assert_int_eq(h2_exchange_keep_header(&x, STR("a"), STR("b")), ERR_NONE);
	ck_assert_int_eq(h2_exchange_keep_header(&x, STR("a"), STR("b")), ERR_TOO_LARGE);
	ck_assert_uint_eq(x.reply_header_count, H2_EXCHANGE_HEADERS_MAX);
}
END_TEST

START_TEST(more_bytes_of_headers_than_the_bound_are_refused)
{
	static char value[H2_EXCHANGE_HEADER_BYTES_MAX];
	memset(value, 'v', sizeof(value));

	ck_assert_int_eq(h2_exchange_keep_header(&x, STR("n"), (struct str){ value, sizeof(value) }), ERR_TOO_LARGE);
	x.reply_header_bytes = 0;
	ck_assert_int_eq(h2_exchange_keep_header(&x, STR("n"), (struct str){ value, sizeof(value) - 1 }), ERR_NONE);
	ck_assert_int_eq(h2_exchange_keep_header(&x, STR("n"), (struct str){ value, 0 }), ERR_TOO_LARGE);
}
END_TEST

START_TEST(the_first_header_of_a_name_is_found_and_none_is_told_from_empty)
{
	char name[] = "grpc-status";
	char value[] = "13";

	ck_assert_ptr_null(h2_exchange_header(&x, "grpc-status").data);
	ck_assert_int_eq(h2_exchange_keep_header(&x, STR("empty"), STR("")), ERR_NONE);
	ck_assert_int_eq(h2_exchange_keep_header(&x, (struct str){ name, 11 }, (struct str){ value, 2 }), ERR_NONE);
	ck_assert_int_eq(h2_exchange_keep_header(&x, STR("grpc-status"), STR("0")), ERR_NONE);
	/* They were copied. */
	memset(name, 'x', sizeof(name));
	memset(value, 'x', sizeof(value));
	struct str found = h2_exchange_header(&x, "grpc-status");
	ck_assert_uint_eq(found.len, 2);
	ck_assert_mem_eq(found.data, "13", 2);
	ck_assert_ptr_nonnull(h2_exchange_header(&x, "empty").data);
	ck_assert_uint_eq(h2_exchange_header(&x, "empty").len, 0);
	ck_assert_ptr_null(h2_exchange_header(&x, "grpc-statu").data);
	ck_assert_ptr_null(h2_exchange_header(&x, "grpc-status2").data);
}
END_TEST

static void check_list(const struct h2_exchange_list *l, struct h2_exchange *const *items, uint32_t count)
{
	const struct h2_exchange *prev = NULL;
	uint32_t n = 0;

	for (const struct h2_exchange *i = l->first; i; i = i->next) {
		ck_assert_uint_lt(n, count);
		ck_assert_ptr_eq(i, items[n++]);
		ck_assert_ptr_eq(i->prev, prev);
		prev = i;
	}
	ck_assert_uint_eq(n, count);
	ck_assert_uint_eq(l->count, count);
	ck_assert_ptr_eq(l->last, prev);
}

START_TEST(the_list_keeps_the_order_whoever_is_taken_out)
{
	struct h2_exchange e[3] = { 0 };

	for (unsigned out = 0; out < 3; out++) {
		struct h2_exchange_list l = { 0 };
		struct h2_exchange *left[2];
		unsigned n = 0;
		for (unsigned i = 0; i < 3; i++)
			h2_exchange_list_append(&l, &e[i]);
		check_list(&l, (struct h2_exchange *[]){ &e[0], &e[1], &e[2] }, 3);
		h2_exchange_list_remove(&l, &e[out]);
		for (unsigned i = 0; i < 3; i++)
			if (i != out)
				left[n++] = &e[i];
		check_list(&l, left, 2);
		h2_exchange_list_append(&l, &e[out]);
		check_list(&l, (struct h2_exchange *[]){ left[0], left[1], &e[out] }, 3);
		for (unsigned i = 0; i < 3; i++)
			h2_exchange_list_remove(&l, &e[i]);
		check_list(&l, NULL, 0);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("h2_exchange");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, more_headers_than_the_bound_are_refused);
	tcase_add_test(t, more_bytes_of_headers_than_the_bound_are_refused);
	tcase_add_test(t, the_first_header_of_a_name_is_found_and_none_is_told_from_empty);
	tcase_add_test(t, the_list_keeps_the_order_whoever_is_taken_out);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
