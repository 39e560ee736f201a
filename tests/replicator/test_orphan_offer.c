/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offers of orphans in bytes: what is read is what was written, and nothing else is taken.
 */
#include "replicator/orphan_offer.h"

#include <check.h>
#include <string.h>

#define FLEET 0x1122334455667788

static struct arena arena;
static const struct offered_orphan items[] = { { 7, { (const uint8_t *)"one", 3 } },
					       { UINT64_MAX, { (const uint8_t *)"", 0 } },
					       { 0, { (const uint8_t *)"three", 5 } } };

static void set_up(void)
{
	arena_init(&arena, 1u << 20);
}

static void tear_down(void)
{
	arena_release(&arena);
}

START_TEST(an_offer_that_is_changed_or_cut_off_is_refused)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct orphan_offer o;

	ck_assert_int_eq(orphan_offer_encode(FLEET, items, LEN(items), &b), ERR_NONE);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 4;
		ck_assert_int_eq(orphan_offer_decode(buf_bytes(&b), FLEET, &arena, &o, NULL), ERR_CORRUPT);
		b.data[i] ^= 4;
		ck_assert_int_eq(orphan_offer_decode((struct bytes){ b.data, i }, FLEET, &arena, &o, NULL), ERR_CORRUPT);
	}
}
END_TEST

START_TEST(an_offer_of_another_fleet_is_refused)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct orphan_offer o;
	struct fault f = { 0 };

	ck_assert_int_eq(orphan_offer_encode(FLEET, items, LEN(items), &b), ERR_NONE);
	ck_assert_int_eq(orphan_offer_decode(buf_bytes(&b), FLEET + 1, &arena, &o, &f), ERR_FORBIDDEN);
	ck_assert_ptr_nonnull(strstr(f.text, "another fleet"));
}
END_TEST

START_TEST(an_offer_and_its_answer_are_read_as_they_were_written)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct orphan_offer o;

	ck_assert_int_eq(orphan_offer_encode(FLEET, items, LEN(items), &b), ERR_NONE);
	ck_assert_int_eq(orphan_offer_decode(buf_bytes(&b), FLEET, &arena, &o, NULL), ERR_NONE);
	ck_assert_uint_eq(o.count, LEN(items));
	for (size_t i = 0; i < LEN(items); i++) {
		ck_assert_uint_eq(o.items[i].chain_hash, items[i].chain_hash);
		ck_assert_uint_eq(o.items[i].op.len, items[i].op.len);
		if (items[i].op.len > 0)
			ck_assert_mem_eq(o.items[i].op.data, items[i].op.data, items[i].op.len);
	}
	o.listed = 2;
	o.position = (struct position){ 513, 99 };
	buf_reset(&b);
	uint32_t listed;
	struct position p;
	ck_assert_int_eq(orphan_answer_encode(&o, &b), ERR_NONE);
	ck_assert_int_eq(orphan_answer_decode(buf_bytes(&b), &listed, &p), ERR_NONE);
	ck_assert_uint_eq(listed, 2);
	ck_assert_int_eq(position_compare(p, o.position), 0);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 4;
		ck_assert_int_eq(orphan_answer_decode(buf_bytes(&b), &listed, &p), ERR_CORRUPT);
		b.data[i] ^= 4;
		ck_assert_int_eq(orphan_answer_decode((struct bytes){ b.data, i }, &listed, &p), ERR_CORRUPT);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("orphan_offer");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, an_offer_that_is_changed_or_cut_off_is_refused);
	tcase_add_test(t, an_offer_of_another_fleet_is_refused);
	tcase_add_test(t, an_offer_and_its_answer_are_read_as_they_were_written);
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
