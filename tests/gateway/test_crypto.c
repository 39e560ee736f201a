/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known answers: FIPS 180-4's examples, RFC 4231's test cases.
 */
#include "gateway/crypto.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){ .data = (const uint8_t *)text, .len = strlen(text) };
}

static const char *hex_of(const uint8_t *b, size_t len,
			  char out[static 2 * CRYPTO_DIGEST_BYTES + 1])
{
	for (size_t i = 0; i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", b[i]);
	return out;
}

START_TEST(keys_of_a_wrong_length_are_refused)
{
	struct crypto_key k;
	uint8_t secret[CRYPTO_KEY_BYTES_MAX + 1] = { 1 };
	static const struct {
		size_t len;
		enum err err;
	} cases[] = { { 0, ERR_BAD_INPUT },
		      { 15, ERR_BAD_INPUT },
		      { 16, ERR_NONE },
		      { CRYPTO_KEY_BYTES_MAX, ERR_NONE },
		      { CRYPTO_KEY_BYTES_MAX + 1, ERR_BAD_INPUT } };

	for (size_t i = 0; i < LEN(cases); i++)
		ck_assert_msg(crypto_key_set(&k, (struct bytes){ secret, cases[i].len }) ==
				      cases[i].err,
			      "length %zu", cases[i].len);
}
END_TEST

START_TEST(digests_are_those_of_the_standard)
{
	static const struct {
		const char *text, *hex;
	} cases[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	char hex[2 * CRYPTO_DIGEST_BYTES + 1];
	uint8_t digest[CRYPTO_DIGEST_BYTES];

	for (size_t i = 0; i < LEN(cases); i++) {
		crypto_sha256(bytes_of(cases[i].text), digest);
		ck_assert_str_eq(hex_of(digest, sizeof(digest), hex), cases[i].hex);
	}
}
END_TEST

START_TEST(macs_are_those_of_rfc_4231)
{
	uint8_t key_1[20], key_6[131], mac[CRYPTO_DIGEST_BYTES];
	char hex[2 * CRYPTO_DIGEST_BYTES + 1];
	memset(key_1, 0x0b, sizeof(key_1));
	memset(key_6, 0xaa, sizeof(key_6));
	const struct {
		struct bytes key;
		const char *text, *hex;
	} cases[] = {
		{ { key_1, sizeof(key_1) },
		  "Hi There",
		  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ bytes_of("Jefe"), "what do ya want for nothing?",
		  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
		{ { key_6, sizeof(key_6) },
		  "Test Using Larger Than Block-Size Key - Hash Key First",
		  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
		/* Not in the RFC: the empty key, computed with Python's hmac. */
		{ { NULL, 0 },
		  "",
		  "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		crypto_hmac_sha256(cases[i].key, bytes_of(cases[i].text), mac);
		ck_assert_str_eq(hex_of(mac, sizeof(mac), hex), cases[i].hex);
	}
}
END_TEST

START_TEST(session_mac_is_the_first_half_of_the_hmac)
{
	uint8_t secret[20], mac[16];
	struct crypto_key k;
	char hex[2 * CRYPTO_DIGEST_BYTES + 1];
	memset(secret, 0x0b, sizeof(secret));

	ck_assert_int_eq(crypto_key_set(&k, (struct bytes){ secret, sizeof(secret) }), ERR_NONE);
	crypto_session_mac(&k, bytes_of("Hi There"), mac);
	ck_assert_str_eq(hex_of(mac, sizeof(mac), hex), "b0344c61d8db38535ca8afceaf0bf12b");
}
END_TEST

START_TEST(equal_looks_at_every_byte)
{
	uint8_t a[CRYPTO_DIGEST_BYTES] = { 7 }, b[CRYPTO_DIGEST_BYTES] = { 7 };

	ck_assert(crypto_equal(a, b, sizeof(a)));
	for (size_t i = 0; i < sizeof(a); i++) {
		b[i] ^= 0x80;
		ck_assert_msg(!crypto_equal(a, b, sizeof(a)), "byte %zu", i);
		b[i] ^= 0x80;
	}
}
END_TEST

START_TEST(random_bytes_are_never_the_same)
{
	uint8_t a[32], b[32];

	ck_assert_int_eq(crypto_random(a, sizeof(a)), ERR_NONE);
	ck_assert_int_eq(crypto_random(b, sizeof(b)), ERR_NONE);
	ck_assert(memcmp(a, b, sizeof(a)) != 0);
	ck_assert_int_eq(crypto_random(a, 0), ERR_NONE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("crypto");
	TCase *t = tcase_create("crypto");
	tcase_add_test(t, keys_of_a_wrong_length_are_refused);
	tcase_add_test(t, digests_are_those_of_the_standard);
	tcase_add_test(t, macs_are_those_of_rfc_4231);
	tcase_add_test(t, session_mac_is_the_first_half_of_the_hmac);
	tcase_add_test(t, equal_looks_at_every_byte);
	tcase_add_test(t, random_bytes_are_never_the_same);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
