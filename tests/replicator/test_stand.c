/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/stand.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct buf bytes;

static void set_up(void)
{
	bytes = BUF_INIT(STAND_BYTES_MAX);
}

static void tear_down(void)
{
	buf_release(&bytes);
}

START_TEST(an_order_has_these_bytes)
{
	const struct stand_order o = { .fleet = 0x0102, .for_ms = 2000, .accept_loss = true, .hold_back = true };
	const uint8_t expected[] = { 'I', 'S', 'S', 'O', 1, 2, 1, 0, 0, 0, 0, 0, 0, 0xd0, 7, 0, 0, 3 };
	struct stand_order back;

	ck_assert_int_eq(stand_order_encode(&o, &bytes), ERR_NONE);
	ck_assert_uint_eq(bytes.len, sizeof(expected) + 8);
	ck_assert_mem_eq(bytes.data, expected, sizeof(expected));
	ck_assert_int_eq(stand_order_decode(buf_bytes(&bytes), &back, NULL), ERR_NONE);
	ck_assert(back.fleet == 0x0102 && back.for_ms == 2000 && back.accept_loss && back.hold_back);
}
END_TEST

START_TEST(an_order_outside_its_bounds_is_not_written)
{
	struct stand_order o = { .fleet = 1 };

	ck_assert_int_eq(stand_order_encode(&o, &bytes), ERR_BAD_INPUT);
	o.for_ms = STAND_FOR_MS_MAX + 1;
	ck_assert_int_eq(stand_order_encode(&o, &bytes), ERR_BAD_INPUT);
	ck_assert_uint_eq(bytes.len, 0);
}
END_TEST

static struct stand_state full_state(void)
{
	struct stand_state s = { .fleet = 7,
				 .epoch = 0x301,
				 .can = true,
				 .voters = 3,
				 .answering = 2,
				 .loss = { .known = true, .ms = 40000, .best = { 0x102, 5 }, .last = { 0x102, 905 } },
				 .loss_refused = true };

	memset(s.words, 'w', sizeof(s.words) - 1);
	return s;
}

START_TEST(a_state_comes_back)
{
	struct stand_state s = full_state(), back;

	ck_assert_int_eq(stand_state_encode(&s, &bytes), ERR_NONE);
	ck_assert_int_eq(stand_state_decode(buf_bytes(&bytes), &back, NULL), ERR_NONE);
	ck_assert(back.fleet == 7 && back.epoch == 0x301 && back.can && back.loss_refused);
	ck_assert(back.voters == 3 && back.answering == 2);
	ck_assert(back.loss.known && back.loss.ms == 40000 && back.loss.best.seq == 5 && back.loss.last.seq == 905);
	ck_assert_str_eq(back.words, s.words);
}
END_TEST

START_TEST(every_changed_bit_and_every_other_length_is_noticed)
{
	struct stand_state s = full_state(), back;

	ck_assert_int_eq(stand_state_encode(&s, &bytes), ERR_NONE);
	for (size_t i = 0; i < bytes.len * 8; i++) {
		bytes.data[i / 8] ^= (uint8_t)(1u << i % 8);
		enum err err = stand_state_decode(buf_bytes(&bytes), &back, NULL);
		ck_assert_msg(err == ERR_CORRUPT || err == ERR_VERSION, "bit %zu", i);
		bytes.data[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	for (size_t len = 0; len < bytes.len; len++)
		ck_assert_int_eq(stand_state_decode((struct bytes){ bytes.data, len }, &back, NULL), ERR_CORRUPT);
	struct stand_order order;
	ck_assert_int_eq(stand_order_decode(buf_bytes(&bytes), &order, NULL), ERR_CORRUPT);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stand");
	TCase *t = tcase_create("stand");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, an_order_has_these_bytes);
	tcase_add_test(t, an_order_outside_its_bounds_is_not_written);
	tcase_add_test(t, a_state_comes_back);
	tcase_add_test(t, every_changed_bit_and_every_other_length_is_noticed);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
