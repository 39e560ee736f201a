/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lease messages: what is not written, what the bytes are, what comes back, what is refused.
 */
#include "replicator/lease_message.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static struct arena arena;
static struct buf bytes;

static void set_up(void)
{
	arena_init(&arena, 1u << 20);
	buf_init(&bytes, 2 * LEASE_FRAME_BYTES_MAX);
}

static void tear_down(void)
{
	arena_release(&arena);
	buf_release(&bytes);
}

static struct voter_list three(uint64_t number)
{
	struct voter_list l = { .number = number, .epoch = 9, .count = 3 };

	for (uint32_t i = 0; i < 3; i++)
		l.members[i] = (struct voter){ .region = (uint8_t)(i + 1), .data = true, .store_id = { 1 } };
	return l;
}

static struct lease_frame frame_of(const struct lease_item *items, uint32_t count)
{
	return (struct lease_frame){
		.fleet = 0x1122334455667788,
		.from = { .region = 2, .store_id = { 0xa0, 0xa1 }, .boots = 5, .nonce = 0x77 },
		.wall_ms = 1000,
		.items = items,
		.count = count,
	};
}

static enum err decode(struct lease_frame *ret_frame)
{
	struct fault f = { 0 };
	enum err err = lease_frame_decode(buf_bytes(&bytes), &arena, ret_frame, &f);

	ck_assert_int_eq(err != ERR_NONE, f.text[0] != '\0');
	return err;
}

/* The checksum that a writer of such bytes would have put. */
static void seal(void)
{
	uint64_t sum = hash64(bytes.data, bytes.len - 8, 0);

	for (unsigned i = 0; i < 8; i++)
		bytes.data[bytes.len - 8 + i] = (uint8_t)(sum >> (8 * i));
}

START_TEST(a_message_outside_its_bounds_is_not_written)
{
	struct voter_list broken = three(1);
	broken.members[0].region = 3;
	const struct lease_item rows[] = {
		{ .kind = LEASE_POLL, .scope = SCOPES_MAX },
		{ .kind = 0 },
		{ .kind = (enum lease_kind)99 },
		{ .kind = LEASE_POLL, .answer = (enum lease_answer)99 },
		{ .kind = LEASE_POLL, .flags = 16 },
		{ .kind = LEASE_LIST, .list = &broken },
		{ .kind = LEASE_LIST, .pending = &broken },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct lease_frame f = frame_of(&rows[i], 1);
		ck_assert_msg(lease_frame_encode(&f, &bytes) == ERR_BAD_INPUT && bytes.len == 0, "row %zu", i);
	}
	const struct lease_item good = { .kind = LEASE_POLL };
	struct lease_frame f = frame_of(&good, 1);
	f.from.region = 0;
	ck_assert_int_eq(lease_frame_encode(&f, &bytes), ERR_BAD_INPUT);
	f = frame_of(&good, 1);
	f.from.nonce = 0;
	ck_assert_int_eq(lease_frame_encode(&f, &bytes), ERR_BAD_INPUT);
	f = frame_of(&good, 0);
	ck_assert_int_eq(lease_frame_encode(&f, &bytes), ERR_BAD_INPUT);
	f = frame_of(&good, SCOPES_MAX + 1);
	ck_assert_int_eq(lease_frame_encode(&f, &bytes), ERR_BAD_INPUT);
}
END_TEST

START_TEST(a_message_has_these_bytes)
{
	const struct lease_item m = { .scope = 3,
				      .kind = LEASE_RELEASE,
				      .flags = LEASE_ITEM_DATA,
				      .target = 4,
				      .round = 1,
				      .epoch = 0x201,
				      .promised = 0x201,
				      .position = { 0x201, 9 },
				      .list_number = 6 };
	struct lease_frame f = frame_of(&m, 1);
	static const uint8_t expected[] = {
		'I', 'S', 'L', 'M', 1, 2, 1, 0,                         /* version, region, items */
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,         /* fleet */
		0xa0, 0xa1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   /* store */
		5, 0, 0, 0, 0, 0, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0,      /* boots, nonce */
		0xe8, 3, 0, 0, 0, 0, 0, 0,                              /* wall clock */
		3, 5, 0, 1, 4,                                          /* scope, kind, answer, flags, target */
		1, 0, 0x81, 4, 0x81, 4, 0,                              /* round, asker, epoch, promised, logged */
		0x81, 4, 9, 0, 0, 0, 0,                                 /* position, confirmed, oldest */
		0, 0, 0, 0, 0, 6, 0, 0,                                 /* stamp, remaining, renewed, list, no lists */
	};

	ck_assert_int_eq(lease_frame_encode(&f, &bytes), ERR_NONE);
	ck_assert_uint_eq(bytes.len, sizeof(expected) + 8);
	ck_assert_mem_eq(bytes.data, expected, sizeof(expected));
}
END_TEST

START_TEST(all_scopes_of_a_pair_travel_in_one_frame)
{
	const struct voter_list now = three(7), next = three(8);
	struct lease_item items[SCOPES_MAX];
	struct lease_frame back;

	for (uint16_t i = 0; i < SCOPES_MAX; i++)
		items[i] = (struct lease_item){ .scope = i,
						.kind = i % 2 ? LEASE_GRANT : LEASE_PROMISE,
						.answer = i % 3 ? LEASE_ANSWER_YES : LEASE_ANSWER_HELD,
						.flags = LEASE_ITEM_DATA | LEASE_ITEM_FIT,
						.round = UINT64_MAX - i,
						.asker = i + 1u,
						.epoch = 256u * i + 2,
						.logged = i,
						.position = { i, UINT64_MAX },
						.confirmed = { i, 3 },
						.oldest = { i, 1 },
						.stamp_ms = 1700000000000u + i,
						.remaining_ms = UINT32_MAX,
						.renewed = { { i, 4 }, 5 },
						.list = i == 3 ? &now : NULL,
						.pending = i == 3 ? &next : NULL };
	struct lease_frame f = frame_of(items, SCOPES_MAX);
	ck_assert_int_eq(lease_frame_encode(&f, &bytes), ERR_NONE);
	ck_assert_int_eq(decode(&back), ERR_NONE);
	ck_assert_uint_eq(back.count, SCOPES_MAX);
	ck_assert_uint_eq(back.fleet, f.fleet);
	ck_assert_uint_eq(back.from.nonce, f.from.nonce);
	for (uint16_t i = 0; i < SCOPES_MAX; i++) {
		const struct lease_item *m = &back.items[i];

		ck_assert_uint_eq(m->scope, i);
		ck_assert_int_eq(m->kind, items[i].kind);
		ck_assert_int_eq(m->answer, items[i].answer);
		ck_assert_uint_eq(m->round, items[i].round);
		ck_assert_uint_eq(m->asker, items[i].asker);
		ck_assert_int_eq(position_compare(m->position, items[i].position), 0);
		ck_assert_int_eq(position_compare(m->renewed.position, items[i].renewed.position), 0);
		ck_assert_uint_eq(m->remaining_ms, UINT32_MAX);
		ck_assert(i == 3 ? voters_equal(m->list, &now) : m->list == NULL);
		ck_assert(i == 3 ? voters_equal(m->pending, &next) : m->pending == NULL);
	}
}
END_TEST

static void encode_sample(void)
{
	const struct voter_list l = three(7);
	const struct lease_item items[] = {
		{ .kind = LEASE_GRANT, .epoch = 0x301, .round = 4, .position = { 0x301, 5 } },
		{ .kind = LEASE_LIST, .scope = 2, .epoch = 0x301, .list = &l },
	};
	struct lease_frame f = frame_of(items, LEN(items));

	ck_assert_int_eq(lease_frame_encode(&f, &bytes), ERR_NONE);
}

START_TEST(every_flipped_bit_is_noticed)
{
	struct lease_frame back;

	encode_sample();
	for (size_t at = 0; at < bytes.len; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			bytes.data[at] ^= (uint8_t)(1u << bit);
			enum err err = decode(&back);
			ck_assert_msg(err == (at == 4 ? ERR_VERSION : ERR_CORRUPT), "byte %zu bit %u: %s", at, bit,
				      err_name(err));
			bytes.data[at] ^= (uint8_t)(1u << bit);
		}
	ck_assert_int_eq(decode(&back), ERR_NONE);
}
END_TEST

START_TEST(a_message_cut_short_or_with_more_is_refused)
{
	struct lease_frame back;

	encode_sample();
	size_t whole = bytes.len;
	for (bytes.len = 0; bytes.len < whole; bytes.len++)
		ck_assert_int_eq(decode(&back), ERR_CORRUPT);
	/* Right in its checksum, but not filled by its items. */
	buf_append_byte(&bytes, 0);
	seal();
	ck_assert_int_eq(decode(&back), ERR_CORRUPT);
}
END_TEST

START_TEST(bytes_that_a_liar_sealed_are_refused_or_sound)
{
	uint64_t x = 88172645463325252u;
	uint32_t sound = 0;

	for (unsigned i = 0; i < 20000; i++) {
		struct lease_frame back = { 0 };

		buf_reset(&bytes);
		encode_sample();
		for (unsigned changes = 1 + i % 4; changes > 0; changes--) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			bytes.data[5 + x % (bytes.len - 13)] = (uint8_t)(x >> 32);
		}
		seal();
		arena_release(&arena);
		arena_init(&arena, 1u << 20);
		if (decode(&back) != ERR_NONE)
			continue;
		sound++;
		ck_assert_uint_ge(back.from.region, 1);
		for (uint32_t k = 0; k < back.count; k++) {
			ck_assert_uint_lt(back.items[k].scope, SCOPES_MAX);
			ck_assert_ptr_nonnull(lease_kind_name(back.items[k].kind));
			ck_assert_ptr_nonnull(lease_answer_name(back.items[k].answer));
		}
		/* What was read can be written, and is then the same. */
		CLEANUP(buf_release) struct buf again = BUF_INIT(LEASE_FRAME_BYTES_MAX);
		ck_assert_int_eq(lease_frame_encode(&back, &again), ERR_NONE);
		ck_assert_uint_eq(again.len, bytes.len);
		ck_assert_mem_eq(again.data, bytes.data, bytes.len);
	}
	ck_assert_uint_gt(sound, 0);
}
END_TEST

START_TEST(the_greatest_frame_fits)
{
	struct voter_list l = { .number = UINT64_MAX, .epoch = UINT64_MAX, .count = VOTERS_MAX };
	struct lease_item items[SCOPES_MAX];
	struct lease_frame back;
	const struct position far = { UINT64_MAX, UINT64_MAX };

	for (uint32_t i = 0; i < VOTERS_MAX; i++)
		l.members[i] = (struct voter){ .region = (uint8_t)(i + 1), .data = true, .store_id = { 1 } };
	for (uint16_t i = 0; i < SCOPES_MAX; i++)
		items[i] = (struct lease_item){ .scope = i,	    .kind = LEASE_LIST, .round = UINT64_MAX, .asker = UINT64_MAX,
						.epoch = UINT64_MAX, .position = far,	.confirmed = far,    .oldest = far,
						.list = &l,	    .pending = &l };
	struct lease_frame f = frame_of(items, SCOPES_MAX);
	ck_assert_int_eq(lease_frame_encode(&f, &bytes), ERR_NONE);
	ck_assert_int_eq(decode(&back), ERR_NONE);
	ck_assert_uint_le(bytes.len, LEASE_FRAME_BYTES_MAX);
}
END_TEST

START_TEST(every_kind_and_answer_has_a_word)
{
	ck_assert_str_eq(lease_kind_name(LEASE_GRANT), "grant");
	ck_assert_str_eq(lease_answer_name(LEASE_ANSWER_REQUEST), "request");
	ck_assert_ptr_null(lease_kind_name((enum lease_kind)0));
	ck_assert_ptr_null(lease_answer_name((enum lease_answer)200));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lease_message");
	TCase *t = tcase_create("lease_message");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_message_outside_its_bounds_is_not_written);
	tcase_add_test(t, a_message_has_these_bytes);
	tcase_add_test(t, all_scopes_of_a_pair_travel_in_one_frame);
	tcase_add_test(t, every_flipped_bit_is_noticed);
	tcase_add_test(t, a_message_cut_short_or_with_more_is_refused);
	tcase_add_test(t, bytes_that_a_liar_sealed_are_refused_or_sound);
	tcase_add_test(t, the_greatest_frame_fits);
	tcase_add_test(t, every_kind_and_answer_has_a_word);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
