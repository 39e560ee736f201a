/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hashes are part of the disk format: their values must never change.
 */
#include "base/hash.h"

#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* XXH3 64 and 128 of xxhash 0.8.1, one text for each of its code paths: 0, 1 to 3, 4 to 16, 17 to 128 and
 * beyond 240 bytes. */
START_TEST(values_are_those_of_the_disk_format)
{
	static const struct {
		const char *text;
		uint64_t h64, hi, lo;
	} rows[] = {
		{ "", 0x2D06800538D394C2, 0x99AA06D3014798D8, 0x6001C324468D497F },
		{ "a", 0xE6C632B61E964E1F, 0xA96FAF705AF16834, 0xE6C632B61E964E1F },
		{ "isthmus", 0xF492D79854C054C8, 0xC039913AE6BE88F6, 0xB906ADF468A20FF7 },
		{ "the same bytes give the same hash in every region and every release",
		  0x2000B50D81E6E498, 0xB08E45F6929EDD64, 0x0A9CBE24B524441E },
		{ "0123456789012345678901234567890123456789012345678901234567890123456789"
		  "0123456789012345678901234567890123456789012345678901234567890123456789"
		  "0123456789012345678901234567890123456789012345678901234567890123456789"
		  "0123456789012345678901234567890123456789012345678901234567890123456789",
		  0x598F6B15FBBCA298, 0xF3AC380D5CAAF014, 0x598F6B15FBBCA298 },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		size_t len = strlen(rows[i].text);
		struct hash128 h = hash128(rows[i].text, len, 0);
		ck_assert_uint_eq(hash64(rows[i].text, len, 0), rows[i].h64);
		ck_assert_uint_eq(h.hi, rows[i].hi);
		ck_assert_uint_eq(h.lo, rows[i].lo);
	}
}
END_TEST

START_TEST(seed_changes_the_value)
{
	ck_assert_uint_ne(hash64("isthmus", 7, 1), hash64("isthmus", 7, 2));
	ck_assert_uint_ne(hash128("isthmus", 7, 1).lo, hash128("isthmus", 7, 2).lo);
	ck_assert_uint_ne(hash128("isthmus", 7, 1).hi, hash128("isthmus", 7, 2).hi);
}
END_TEST

START_TEST(every_byte_counts)
{
	uint8_t data[300] = { 0 };
	const struct hash128 zero = hash128(data, sizeof(data), 0);
	for (size_t i = 0; i < sizeof(data); i++) {
		data[i] = 1;
		struct hash128 h = hash128(data, sizeof(data), 0);
		ck_assert_msg(h.lo != zero.lo && h.hi != zero.hi, "byte %zu", i);
		data[i] = 0;
	}
	ck_assert_uint_ne(hash64(data, 299, 0), hash64(data, 300, 0));
}
END_TEST

START_TEST(nothing_may_be_hashed)
{
	ck_assert_uint_eq(hash64(NULL, 0, 0), hash64("", 0, 0));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hash");
	TCase *t = tcase_create("hash");
	tcase_add_test(t, values_are_those_of_the_disk_format);
	tcase_add_test(t, seed_changes_the_value);
	tcase_add_test(t, every_byte_counts);
	tcase_add_test(t, nothing_may_be_hashed);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
