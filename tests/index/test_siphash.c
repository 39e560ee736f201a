/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-2-4: values that OpenSSL gives for a key of zeroes.
 */
#include "index/siphash.h"

#include <check.h>
#include <stdlib.h>

START_TEST(hashes_are_those_of_openssl)
{
	static const struct {
		const char *bytes;
		size_t len;
		uint64_t hash;
	} cases[] = {
		{ "", 0, 0x1e924b9d737700d7 },
		{ "\x01\x02\x03", 3, 0x63dda4d2454077fd },
		{ "\x07\0\0\0\0\0\0\0", 8, 0xb6ea513a7ef62bf0 },
		{ "\x01\x23\x45\x67\x89\xab\xcd\xef", 8, 0x88899a45dc40a124 },
		{ "\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02", 16, 0xa0b7d7c194e22019 },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		ck_assert_uint_eq(siphash24(cases[i].bytes, cases[i].len), cases[i].hash);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("siphash");
	TCase *t = tcase_create("siphash");

	tcase_add_test(t, hashes_are_those_of_openssl);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
