/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What h1 and h2 do alike: fields and their counts, lengths, rates, and the words of gRPC.
 */
#include "gateway/protocol.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct protocol_host host = { .limits = &conn_limits_default };

static struct str str_of(const char *text)
{
	return (struct str){ .data = text, .len = strlen(text) };
}

START_TEST(lengths_are_decimal_digits)
{
	static const char *const wrong[] = { "",    " 1",  "1 ",
					     "+1",  "-1",  "0x1",
					     "1,1", "1.0", "1000000000000000000" };
	uint64_t n = 7;
	for (size_t i = 0; i < LEN(wrong); i++)
		ck_assert_msg(!protocol_parse_length(str_of(wrong[i]), &n), "row %zu", i);
	ck_assert_uint_eq(n, 7);
	ck_assert(protocol_parse_length(STR("000123"), &n));
	ck_assert_uint_eq(n, 123);
	ck_assert(protocol_parse_length(STR("999999999999999999"), &n));
	ck_assert_uint_eq(n, 999999999999999999);
}
END_TEST

START_TEST(fields_are_counted_with_their_overhead)
{
	struct protocol_head head = { 0 };
	for (int i = 0; i < 100; i++)
		ck_assert(protocol_count_field(&host, &head, 1, 1));
	ck_assert(!protocol_count_field(&host, &head, 1, 1));
	head = (struct protocol_head){ 0 };
	ck_assert(protocol_count_field(&host, &head, 1, 8191));
	ck_assert(protocol_count_field(&host, &head, 0, 16384 - 8192 - 128));
	ck_assert(!protocol_count_field(&host, &head, 0, 0));
	head = (struct protocol_head){ 0 };
	ck_assert(!protocol_count_field(&host, &head, 1, 8192));
}
END_TEST

START_TEST(field_names_become_lower_case_and_underscores_are_left_out)
{
	struct protocol_head head = { 0 };
	struct request *r;
	ck_assert_int_eq(request_new(NULL, 10, &r), ERR_NONE);
	char name[] = "X-A@Z[";
	ck_assert_int_eq(protocol_add_field(r, &head, str_of(name), STR("Value")), ERR_NONE);
	ck_assert_int_eq(protocol_add_field(r, &head, STR("a_b"), STR("c")), ERR_NONE);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(protocol_add_field(r, &head, STR("n"), STR("")), ERR_NONE);
	name[0] = 'Y'; /* it has a copy */
	ck_assert_uint_eq(r->header_count, 51);
	ck_assert_str_eq(request_header(r, "x-a@z[").data, "Value");
	ck_assert_ptr_null(request_header(r, "a_b").data);
	ck_assert_ptr_null(request_header(r, "a-b").data);
	request_free(r);
}
END_TEST

START_TEST(body_may_be_slow_for_ten_seconds_only)
{
	const uint64_t s = 1000000000;
	ck_assert(!protocol_too_slow(&host, 5 * s, 0, 15 * s));
	ck_assert(protocol_too_slow(&host, 5 * s, 0, 16 * s));
	ck_assert(!protocol_too_slow(&host, 5 * s, 1024, 16 * s));
	ck_assert(protocol_too_slow(&host, 5 * s, 1023, 16 * s));
}
END_TEST

START_TEST(content_types_of_grpc_are_known)
{
	ck_assert(protocol_is_grpc(STR("application/grpc")));
	ck_assert(protocol_is_grpc(STR("application/grpc+proto")));
	ck_assert(protocol_is_grpc(STR("application/grpc;x=y")));
	ck_assert(!protocol_is_grpc(STR("application/grpc-web")));
	ck_assert(!protocol_is_grpc(STR("application/grp")));
	ck_assert(!protocol_is_grpc(STR("application/json")));
	ck_assert(!protocol_is_grpc(STR("")));
}
END_TEST

START_TEST(messages_of_grpc_are_percent_encoded)
{
	struct arena a;
	arena_init(&a, 10000);
	struct str s = protocol_percent_encode(&a, STR("a %\n\x7f\xc3\xa9~"));
	const char *expected = "a %25%0A%7F%C3%A9~";
	ck_assert_uint_eq(s.len, strlen(expected));
	ck_assert_mem_eq(s.data, expected, s.len);
	ck_assert_uint_eq(protocol_percent_encode(&a, STR("")).len, 0);
	arena_release(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("protocol");
	TCase *t = tcase_create("protocol");
	tcase_add_test(t, lengths_are_decimal_digits);
	tcase_add_test(t, fields_are_counted_with_their_overhead);
	tcase_add_test(t, field_names_become_lower_case_and_underscores_are_left_out);
	tcase_add_test(t, body_may_be_slow_for_ten_seconds_only);
	tcase_add_test(t, content_types_of_grpc_are_known);
	tcase_add_test(t, messages_of_grpc_are_percent_encoded);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
