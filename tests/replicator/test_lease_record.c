/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a voter stores: it comes back whole or not at all.
 */
#include "replicator/lease_record.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct lease_record sample(void)
{
	struct lease_record r = {
		.epoch = 0x503,
		.holder = 3,
		.boots = 12,
		.renewed = { .position = { 0x402, 77 }, .wall_ms = 1700000000123 },
		.seen_count = 2,
	};

	r.list = (struct voter_list){ .number = 4, .epoch = 0x402, .count = 2 };
	r.list.members[0] = (struct voter){ .region = 1, .data = true, .store_id = { 1 } };
	r.list.members[1] = (struct voter){ .region = 3, .data = true, .store_id = { 3 } };
	r.pending = r.list;
	r.pending.number = 5;
	r.pending.count = 1;
	r.seen[0] = (struct lease_seen){ .identity = { 1, { 1 }, 8, 99 }, .promised = 0x402 };
	r.seen[1] = (struct lease_seen){ .identity = { 9, { 9 }, 1, 98 }, .promised = 0 };
	return r;
}

START_TEST(a_record_comes_back)
{
	struct lease_record r = sample(), back = { 0 };
	CLEANUP(buf_release) struct buf b = BUF_INIT(LEASE_RECORD_BYTES_MAX);

	ck_assert_int_eq(lease_record_encode(&r, &b), ERR_NONE);
	ck_assert_int_eq(lease_record_decode(buf_bytes(&b), &back, NULL), ERR_NONE);
	ck_assert_uint_eq(back.epoch, r.epoch);
	ck_assert_uint_eq(back.holder, r.holder);
	ck_assert_uint_eq(back.boots, r.boots);
	ck_assert(voters_equal(&back.list, &r.list));
	ck_assert(voters_equal(&back.pending, &r.pending));
	ck_assert_uint_eq(back.renewed.position.seq, 77);
	ck_assert_uint_eq(back.renewed.wall_ms, r.renewed.wall_ms);
	ck_assert_uint_eq(back.seen_count, 2);
	ck_assert_uint_eq(back.seen[0].identity.boots, 8);
	ck_assert_uint_eq(back.seen[0].identity.nonce, 99);
	ck_assert_uint_eq(back.seen[0].promised, 0x402);
	ck_assert_mem_eq(back.seen[1].identity.store_id, r.seen[1].identity.store_id, STORE_ID_BYTES);
	ck_assert_uint_eq(b.data[0], 1);
	ck_assert_mem_eq(b.data + 1, "\x83\x0a\x03\x0c", 4); /* epoch, holder, boots */
}
END_TEST

START_TEST(every_changed_bit_of_a_record_is_noticed)
{
	struct lease_record r = sample(), back;
	CLEANUP(buf_release) struct buf b = BUF_INIT(LEASE_RECORD_BYTES_MAX);

	ck_assert_int_eq(lease_record_encode(&r, &b), ERR_NONE);
	for (size_t at = 0; at < b.len; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			struct fault f = { 0 };
			b.data[at] ^= (uint8_t)(1u << bit);
			ck_assert_int_eq(lease_record_decode(buf_bytes(&b), &back, &f), at == 0 ? ERR_VERSION : ERR_CORRUPT);
			ck_assert(f.text[0] != '\0');
			b.data[at] ^= (uint8_t)(1u << bit);
		}
	for (size_t len = 0; len < b.len; len++)
		ck_assert_int_eq(lease_record_decode((struct bytes){ b.data, len }, &back, NULL), ERR_CORRUPT);
}
END_TEST

START_TEST(the_greatest_record_fits)
{
	struct lease_record r = { .epoch = UINT64_MAX, .holder = 255, .boots = UINT64_MAX, .seen_count = LEN(r.seen) };
	CLEANUP(buf_release) struct buf b = BUF_INIT(LEASE_RECORD_BYTES_MAX);
	struct lease_record back;

	r.list = (struct voter_list){ .number = UINT64_MAX - 1, .epoch = UINT64_MAX, .count = VOTERS_MAX };
	for (uint32_t i = 0; i < VOTERS_MAX; i++)
		r.list.members[i] = (struct voter){ .region = (uint8_t)(i + 1), .data = true, .store_id = { 1 } };
	r.pending = r.list;
	for (uint32_t i = 0; i < r.seen_count; i++)
		r.seen[i] = (struct lease_seen){ .identity = { 1, { 1 }, UINT64_MAX, UINT64_MAX }, .promised = UINT64_MAX };
	r.renewed = (struct lease_renewed){ { UINT64_MAX, UINT64_MAX }, UINT64_MAX };
	ck_assert_int_eq(lease_record_encode(&r, &b), ERR_NONE);
	ck_assert_int_eq(lease_record_decode(buf_bytes(&b), &back, NULL), ERR_NONE);
	ck_assert_uint_eq(back.seen_count, LEN(r.seen));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lease_record");
	TCase *t = tcase_create("lease_record");
	tcase_add_test(t, a_record_comes_back);
	tcase_add_test(t, every_changed_bit_of_a_record_is_noticed);
	tcase_add_test(t, the_greatest_record_fits);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
