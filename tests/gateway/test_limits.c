/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits: that the defaults hold together, and that a bucket gives what its rule says.
 */
#include "gateway/limits.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/request.h"

START_TEST(defaults_hold_together)
{
	const struct conn_limits *l = &conn_limits_default;
	ck_assert_uint_eq(l->body_bytes_max, 33554432);
	ck_assert_uint_eq(l->headers_max, REQUEST_HEADERS_MAX);
	ck_assert_uint_eq(l->header_bytes_max, REQUEST_HEADER_BYTES_MAX);
	ck_assert_uint_eq(l->header_field_bytes_max, REQUEST_HEADER_FIELD_BYTES_MAX);
	ck_assert_uint_ge(l->connection_body_bytes_max, l->body_bytes_max);
	ck_assert_uint_ge(l->total_body_bytes_max, l->connection_body_bytes_max);
	ck_assert_uint_ge(l->connection_window_bytes, l->stream_window_bytes);
	ck_assert_uint_lt(l->age_ms / 10, l->age_ms);
	for (unsigned g = 0; g < GLITCH_COUNT; g++)
		ck_assert_uint_gt(l->glitches[g].burst, 0);
	ck_assert_uint_eq(l->glitches[GLITCH_reset_sent].burst, 100);
	ck_assert_uint_eq(l->glitches[GLITCH_reset_sent].per_s, 5);
	ck_assert_str_eq(glitch_name(GLITCH_empty_data), "empty_data");
}
END_TEST

START_TEST(token_bucket_counts_thousandths)
{
	const struct bucket_rule rule = { .burst = 2, .per_s = 2 };
	struct bucket b = { 0 };
	uint64_t ns = 12345678000000;
	ck_assert(bucket_take(&b, &rule, ns));
	ck_assert(bucket_take(&b, &rule, ns));
	ck_assert(!bucket_take(&b, &rule, ns));
	ck_assert(!bucket_take(&b, &rule, ns + 499999999));
	ck_assert(bucket_take(&b, &rule, ns + 500000000));
	ck_assert(!bucket_take(&b, &rule, ns + 500000001));
	/* Steps below a millisecond are not lost. */
	for (uint64_t t = 0; t < 499999999; t += 99999)
		ck_assert(!bucket_take(&b, &rule, ns + 500000000 + t));
	ck_assert(bucket_take(&b, &rule, ns + 1000000000));
	/* And time without end gives no more than the burst. */
	ck_assert(bucket_take(&b, &rule, ns + 1000000000000));
	ck_assert(bucket_take(&b, &rule, ns + 1000000000000));
	ck_assert(!bucket_take(&b, &rule, ns + 1000000000000));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("limits");
	TCase *t = tcase_create("limits");
	tcase_add_test(t, defaults_hold_together);
	tcase_add_test(t, token_bucket_counts_thousandths);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
