/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A history travels as it is, and whatever is wrong with the message is found.
 */
#include "replicator/chain.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct epoch_end links[] = { { 257, 9 }, { 514, 1 } };

static struct chain chain_of(void)
{
	struct chain c = { .fleet = 5, .region = 3, .position = { 771, 4 }, .chain_hash = 77, .promised = 1026 };

	ck_assert_int_eq(history_set(&c.history, links, LEN(links), 771), ERR_NONE);
	return c;
}

static void encode(const struct chain *c, struct buf *b)
{
	ck_assert_int_eq(chain_encode(c, b), ERR_NONE);
}

START_TEST(a_changed_or_cut_message_is_refused)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CHAIN_BYTES_MAX);
	struct chain c = chain_of();
	struct chain back;
	struct fault f;

	encode(&c, &b);
	size_t len = b.len;
	for (size_t at = 0; at < len; at++) {
		b.data[at] ^= 0x10;
		enum err err = chain_decode(buf_bytes(&b), &back, &f);
		ck_assert_msg(err == ERR_CORRUPT || err == ERR_VERSION, "byte %zu", at);
		b.data[at] ^= 0x10;
	}
	for (b.len = 0; b.len < len; b.len++)
		ck_assert_int_eq(chain_decode(buf_bytes(&b), &back, &f), ERR_CORRUPT);
	chain_release(&c);
}
END_TEST

START_TEST(a_position_outside_its_history_is_refused)
{
	static const struct chain wrong[] = {
		{ .region = 3, .position = { 514, 1 }, .promised = 771 },
		{ .region = 3, .position = { 771, 0 }, .promised = 771 },
		{ .region = 3, .position = { 771, 4 }, .promised = 770 },
		{ .region = 0, .position = { 771, 4 }, .promised = 771 },
	};

	for (size_t i = 0; i < LEN(wrong); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(CHAIN_BYTES_MAX);
		struct chain c = wrong[i];
		struct chain back;
		struct fault f;
		ck_assert_int_eq(history_set(&c.history, links, LEN(links), 771), ERR_NONE);
		encode(&c, &b);
		ck_assert_msg(chain_decode(buf_bytes(&b), &back, &f) == ERR_CORRUPT, "row %zu", i);
		chain_release(&c);
	}
}
END_TEST

START_TEST(a_history_comes_back_as_it_was)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CHAIN_BYTES_MAX);
	static const uint8_t head[] = { 'I', 'S', 'C', 'H', 1, 3, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 4 };
	struct chain c = chain_of();
	struct chain back;
	struct fault f = { 0 };

	encode(&c, &b);
	ck_assert_mem_eq(b.data, head, sizeof(head));
	ck_assert_msg(!chain_decode(buf_bytes(&b), &back, &f), "%s", f.text);
	ck_assert_uint_eq(back.fleet, 5);
	ck_assert_uint_eq(back.region, 3);
	ck_assert_int_eq(position_compare(back.position, c.position), 0);
	ck_assert_uint_eq(back.chain_hash, 77);
	ck_assert_uint_eq(back.promised, 1026);
	ck_assert_uint_eq(back.history.epoch, 771);
	ck_assert_uint_eq(back.history.chain_count, LEN(links));
	ck_assert_mem_eq(back.history.chain, links, sizeof(links));
	chain_release(&back);
	chain_release(&c);
}
END_TEST

START_TEST(a_region_without_a_history_says_so)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CHAIN_BYTES_MAX);
	struct chain none = { .fleet = 5, .region = 3 };
	struct chain back;
	struct fault f = { 0 };

	encode(&none, &b);
	ck_assert_msg(!chain_decode(buf_bytes(&b), &back, &f), "%s", f.text);
	ck_assert_uint_eq(back.history.epoch, 0);
	ck_assert_uint_eq(back.position.seq, 0);
	chain_release(&back);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("chain");
	TCase *t = tcase_create("all");

	tcase_add_test(t, a_changed_or_cut_message_is_refused);
	tcase_add_test(t, a_position_outside_its_history_is_refused);
	tcase_add_test(t, a_history_comes_back_as_it_was);
	tcase_add_test(t, a_region_without_a_history_says_so);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
