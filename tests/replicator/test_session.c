/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session tokens: ours come back, no others do.
 */
#include "replicator/session.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* Stands for the HMAC that the gateway gives: any function of key and message. */
static void test_mac(void *ctx, struct bytes message, uint8_t out[SESSION_MAC_BYTES])
{
	struct hash128 h = hash128(message.data, message.len, *(uint64_t *)ctx);
	memcpy(out, &h, SESSION_MAC_BYTES);
}

static uint64_t secret = 42;
static const struct session_key key = { .mac = test_mac, .ctx = &secret };

static struct str str_of(const char *text)
{
	return (struct str){ .data = text, .len = strlen(text) };
}

static enum err decode(const char *text, struct session *ret)
{
	struct fault f = { 0 };
	enum err err = session_decode(str_of(text), &key, ret, &f);
	ck_assert_int_eq(err != ERR_NONE, f.text[0] != '\0');
	return err;
}

static struct session sample(void)
{
	struct session s = { .hlc = 0x123456789abcdef0 };
	session_join(&s, 3, (struct position){ 0x201, 77 });
	session_join(&s, 0, (struct position){ 0x101, 5 });
	return s;
}

START_TEST(text_that_is_no_token_is_refused)
{
	static const char *const cases[] = {
		"", "A", "not a token", "AAAA", "AQAAAAAAAAAAAAAAAAAAAAAAAA", "=", "Ä"
	};
	struct session back;
	for (size_t i = 0; i < LEN(cases); i++)
		ck_assert_msg(decode(cases[i], &back) == ERR_BAD_REQUEST, "row %zu", i);
	char *longer = malloc(5000);
	ck_assert_ptr_nonnull(longer);
	memset(longer, 'A', 4999);
	longer[4999] = 0;
	ck_assert_int_eq(decode(longer, &back), ERR_BAD_REQUEST);
	free(longer);
}
END_TEST

START_TEST(every_changed_character_is_noticed)
{
	struct session s = sample();
	struct session back;
	char text[SESSION_TEXT_MAX];
	size_t len = session_encode(&s, &key, text);

	ck_assert_uint_eq(len, strlen(text));
	for (size_t i = 0; i < len; i++) {
		char was = text[i];
		text[i] = was == 'A' ? 'B' : 'A';
		ck_assert_msg(decode(text, &back) == ERR_BAD_REQUEST, "character %zu", i);
		text[i] = was;
	}
	for (size_t i = 0; i < len; i++) {
		char was = text[i];
		text[i] = 0;
		ck_assert_msg(decode(text, &back) == ERR_BAD_REQUEST, "%zu characters", i);
		text[i] = was;
	}
}
END_TEST

START_TEST(token_of_another_key_is_refused)
{
	struct session s = sample();
	struct session back;
	char text[SESSION_TEXT_MAX];
	uint64_t other = 43;

	(void)session_encode(&s, &(struct session_key){ .mac = test_mac, .ctx = &other }, text);
	ck_assert_int_eq(decode(text, &back), ERR_BAD_REQUEST);
}
END_TEST

/* Rightly signed, but not as session_encode writes it. */
START_TEST(malformed_content_is_refused_even_when_signed)
{
	static const struct {
		const char *name;
		uint8_t bytes[16];
		size_t len;
	} cases[] = {
		{ "another version", { 2, 0, 0 }, 3 },
		{ "more scopes than there are", { 1, 0, 17 }, 3 },
		{ "a scope beyond the last", { 1, 0, 1, 16, 1, 1 }, 6 },
		{ "scopes out of order", { 1, 0, 2, 1, 1, 1, 0, 1, 1 }, 9 },
		{ "a scope twice", { 1, 0, 2, 1, 1, 1, 1, 1, 1 }, 9 },
		{ "cut off", { 1, 0, 1, 1, 1 }, 5 },
		{ "something behind", { 1, 0, 0, 0 }, 4 },
	};
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	for (size_t i = 0; i < LEN(cases); i++) {
		uint8_t bytes[40] = { 0 };
		char text[64] = { 0 };
		memcpy(bytes, cases[i].bytes, cases[i].len);
		test_mac(&secret, (struct bytes){ .data = bytes, .len = cases[i].len },
			 bytes + cases[i].len);
		size_t bits = (cases[i].len + SESSION_MAC_BYTES) * 8;
		for (size_t at = 0; at * 6 < bits; at++) {
			unsigned pair = (unsigned)bytes[at * 6 / 8] << 8 | bytes[at * 6 / 8 + 1];
			text[at] = digits[pair >> (10 - at * 6 % 8) & 63];
		}
		struct session back;
		ck_assert_msg(decode(text, &back) == ERR_BAD_REQUEST, "%s", cases[i].name);
	}
}
END_TEST

START_TEST(token_comes_back_as_it_was)
{
	struct session s = sample();
	struct session back;
	char text[SESSION_TEXT_MAX];

	(void)session_encode(&s, &key, text);
	ck_assert_int_eq(decode(text, &back), ERR_NONE);
	ck_assert_uint_eq(back.hlc, s.hlc);
	ck_assert_uint_eq(back.count, 2);
	ck_assert_uint_eq(back.scopes[0], 0);
	ck_assert_uint_eq(back.scopes[1], 3);
	ck_assert_int_eq(position_compare(back.positions[0], (struct position){ 0x101, 5 }), 0);
	ck_assert_int_eq(position_compare(back.positions[1], (struct position){ 0x201, 77 }), 0);
}
END_TEST

START_TEST(join_keeps_the_later_position_of_each_scope)
{
	struct session s = sample();
	session_join(&s, 3, (struct position){ 0x201, 76 });
	ck_assert_uint_eq(s.positions[1].seq, 77);
	session_join(&s, 3, (struct position){ 0x301, 1 });
	ck_assert_uint_eq(s.positions[1].epoch, 0x301);
	session_join(&s, 1, (struct position){ 0x101, 1 });
	ck_assert_uint_eq(s.count, 3);
	ck_assert_uint_eq(s.scopes[1], 1);
	ck_assert_uint_eq(s.scopes[2], 3);
	ck_assert_uint_eq(s.positions[2].epoch, 0x301);
}
END_TEST

/* --- SCOPE_MULTI --- */

static struct position log_end(uint64_t ms, uint8_t region, uint64_t seq)
{
	return (struct position){ multi_log_make(ms, region), seq };
}

START_TEST(each_region_that_writes_has_one_entry_its_newest_log)
{
	struct session s = sample();

	session_join(&s, SCOPE_MULTI, log_end(2000, 2, 7));
	session_join(&s, SCOPE_MULTI, log_end(1000, 3, 9));
	session_join(&s, SCOPE_MULTI, log_end(2000, 2, 6));
	session_join(&s, SCOPE_MULTI, log_end(1999, 2, 500));
	ck_assert_uint_eq(s.count, 4);
	ck_assert_uint_eq(s.scopes[1], SCOPE_MULTI);
	ck_assert_int_eq(position_compare(s.positions[1], log_end(2000, 2, 7)), 0);
	ck_assert_int_eq(position_compare(s.positions[2], log_end(1000, 3, 9)), 0);
	session_join(&s, SCOPE_MULTI, log_end(2001, 2, 1));
	session_join(&s, SCOPE_MULTI, log_end(1000, 3, 10));
	ck_assert_uint_eq(s.count, 4);
	ck_assert_int_eq(position_compare(s.positions[1], log_end(2001, 2, 1)), 0);
	ck_assert_int_eq(position_compare(s.positions[2], log_end(1000, 3, 10)), 0);
}
END_TEST

START_TEST(entries_of_several_regions_come_back_as_they_were)
{
	struct session s = sample();
	struct session back;
	char text[SESSION_TEXT_MAX];

	session_join(&s, SCOPE_MULTI, log_end(5000, 200, 1));
	session_join(&s, SCOPE_MULTI, log_end(9000, 2, 7));
	session_join(&s, SCOPE_MULTI, log_end(1000, 3, UINT64_MAX));
	(void)session_encode(&s, &key, text);
	ck_assert_int_eq(decode(text, &back), ERR_NONE);
	ck_assert_uint_eq(back.count, 5);
	for (uint32_t i = 0; i < back.count; i++) {
		ck_assert_uint_eq(back.scopes[i], s.scopes[i]);
		ck_assert_int_eq(position_compare(back.positions[i], s.positions[i]), 0);
	}
	ck_assert_uint_eq((uint8_t)back.positions[1].epoch, 2);
	ck_assert_uint_eq((uint8_t)back.positions[3].epoch, 200);
}
END_TEST

/* A token has room for so many; those that are in it stay, and move. */
START_TEST(more_regions_than_a_token_has_room_for_leave_it_whole)
{
	struct session s = { 0 };
	struct session back;
	char text[SESSION_TEXT_MAX];

	session_join(&s, SCOPE_FLEET, (struct position){ 0x101, 5 });
	for (uint8_t region = 1; region <= 31; region++)
		session_join(&s, SCOPE_MULTI, log_end(1000, region, region));
	ck_assert_uint_eq(s.count, SCOPES_MAX);
	session_join(&s, SCOPE_MULTI, log_end(1000, 1, 99));
	session_join(&s, SCOPE_MULTI, log_end(1000, 31, 99));
	ck_assert_uint_eq(s.positions[0].seq, 5);
	ck_assert_uint_eq(s.positions[1].seq, 99);
	(void)session_encode(&s, &key, text);
	ck_assert_int_eq(decode(text, &back), ERR_NONE);
	ck_assert_uint_eq(back.count, SCOPES_MAX);
}
END_TEST

START_TEST(largest_session_fits)
{
	struct session s = { .hlc = UINT64_MAX };
	struct session back;
	char text[SESSION_TEXT_MAX];

	for (uint16_t i = 0; i < SCOPES_MAX; i++)
		session_join(&s, i, (struct position){ UINT64_MAX, UINT64_MAX });
	size_t len = session_encode(&s, &key, text);
	ck_assert_uint_gt(len, 0);
	ck_assert_uint_lt(len, SESSION_TEXT_MAX);
	ck_assert_int_eq(decode(text, &back), ERR_NONE);
	ck_assert_uint_eq(back.count, SCOPES_MAX);
	ck_assert_uint_eq(back.positions[15].seq, UINT64_MAX);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("session");
	TCase *t = tcase_create("session");
	tcase_add_test(t, text_that_is_no_token_is_refused);
	tcase_add_test(t, every_changed_character_is_noticed);
	tcase_add_test(t, token_of_another_key_is_refused);
	tcase_add_test(t, malformed_content_is_refused_even_when_signed);
	tcase_add_test(t, token_comes_back_as_it_was);
	tcase_add_test(t, join_keeps_the_later_position_of_each_scope);
	tcase_add_test(t, each_region_that_writes_has_one_entry_its_newest_log);
	tcase_add_test(t, entries_of_several_regions_come_back_as_they_were);
	tcase_add_test(t, more_regions_than_a_token_has_room_for_leave_it_whole);
	tcase_add_test(t, largest_session_fits);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
