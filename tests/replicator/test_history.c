/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histories: which op is in, which is an orphan, which may be applied next.
 */
#include "replicator/history.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct epoch_end chain[] = { { 0x101, 9 }, { 0x203, 4 } };
static struct history h;
static struct arena arena;

/* Epoch 0x101 ended at 9, 0x203 at 4; 0x302 is open. */
static void set_up(void)
{
	arena_init(&arena, 4u << 20);
	history_init(&h);
	ck_assert_int_eq(history_set(&h, chain, LEN(chain), 0x302), ERR_NONE);
}

static void tear_down(void)
{
	history_release(&h);
	arena_release(&arena);
}

static struct op epoch_start(uint64_t epoch, struct epoch_end *links, uint32_t count)
{
	return (struct op){ .kind = OP_EPOCH_START,
			    .epoch = epoch,
			    .seq = 1,
			    .chain = links,
			    .chain_count = count };
}

START_TEST(unsound_chains_are_refused)
{
	static const struct {
		const char *name;
		struct epoch_end links[2];
		uint32_t count;
		uint64_t epoch;
	} cases[] = {
		{ "an epoch without ops", { { 0x101, 0 } }, 1, 0x200 },
		{ "epochs out of order", { { 0x201, 1 }, { 0x101, 1 } }, 2, 0x300 },
		{ "an epoch twice", { { 0x201, 1 }, { 0x201, 1 } }, 2, 0x300 },
		{ "ended epochs that are not older", { { 0x301, 1 } }, 1, 0x300 },
		{ "ended epochs before none", { { 0x301, 1 } }, 1, 0 },
	};
	for (size_t i = 0; i < LEN(cases); i++)
		ck_assert_msg(history_set(&h, cases[i].links, cases[i].count, cases[i].epoch) ==
				      ERR_CORRUPT,
			      "%s", cases[i].name);
	ck_assert_uint_eq(h.epoch, 0x302);
	ck_assert_int_eq(history_set(&h, chain, HISTORY_EPOCHS_MAX + 1, 0x302), ERR_TOO_LARGE);
}
END_TEST

START_TEST(damaged_records_are_refused)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct history back;

	ck_assert_int_eq(history_encode(&h, &b), ERR_NONE);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 0x40;
		ck_assert_msg(history_decode(buf_bytes(&b), &back) ==
				      (i == 0 ? ERR_VERSION : ERR_CORRUPT),
			      "byte %zu", i);
		b.data[i] ^= 0x40;
	}
	for (size_t len = 0; len < b.len; len++) {
		enum err err = history_decode((struct bytes){ .data = b.data, .len = len }, &back);
		ck_assert_msg(err == ERR_CORRUPT, "%zu bytes", len);
	}
}
END_TEST

START_TEST(op_is_found_by_the_ends_not_by_the_order_of_positions)
{
	static const struct {
		struct position op;
		enum history_place place;
	} cases[] = {
		{ { 0x101, 1 }, HISTORY_IN },      { { 0x101, 9 }, HISTORY_IN },
		{ { 0x101, 10 }, HISTORY_ORPHAN }, { { 0x102, 1 }, HISTORY_ORPHAN },
		{ { 0x203, 4 }, HISTORY_IN },      { { 0x203, 5 }, HISTORY_ORPHAN },
		{ { 0x302, 6 }, HISTORY_IN },      { { 0x302, 7 }, HISTORY_AHEAD },
		{ { 0x303, 1 }, HISTORY_AHEAD },   { { 0x001, 1 }, HISTORY_ORPHAN },
	};
	struct position here = { 0x302, 6 };
	for (size_t i = 0; i < LEN(cases); i++)
		ck_assert_msg(history_find(&h, here, cases[i].op) == cases[i].place, "row %zu", i);
}
END_TEST

START_TEST(the_end_of_an_epoch_is_known_unless_it_is_forgotten)
{
	static const struct epoch_end folded[] = { { 0, 50 }, { 0x203, 4 } };
	struct position here = { 0x302, 6 };
	struct history f = { 0 };

	ck_assert_uint_eq(history_end(&h, here, 0x101), 9);
	ck_assert_uint_eq(history_end(&h, here, 0x102), 0);
	ck_assert_uint_eq(history_end(&h, here, 0x302), 6);
	ck_assert_uint_eq(history_end(&h, here, 0x303), 0);
	ck_assert_uint_eq(history_end(&h, here, 0), 0);
	ck_assert_int_eq(history_set(&f, folded, LEN(folded), 0x302), ERR_NONE);
	ck_assert_uint_eq(history_end(&f, here, 0x101), UINT64_MAX);
	ck_assert_uint_eq(history_end(&f, here, 0x203), 4);
	history_release(&f);
}
END_TEST

static struct position common_of(const struct history *a, struct position here_a, const struct history *b,
				 struct position here_b)
{
	struct position p;
	struct position other;

	ck_assert_int_eq(history_common(a, here_a, b, here_b, &p), ERR_NONE);
	ck_assert_int_eq(history_common(b, here_b, a, here_a, &other), ERR_NONE);
	ck_assert_int_eq(position_compare(p, other), 0);
	return p;
}

START_TEST(the_newest_epoch_of_both_says_what_two_histories_share)
{
	/* Of another region: its links, its open epoch, where it stands in it; and what both share. */
	static const struct {
		struct epoch_end chain[4];
		uint32_t count;
		struct position here;
		struct position common;
	} cases[] = {
		{ { { 0x101, 9 }, { 0x203, 4 } }, 2, { 0x302, 6 }, { 0x302, 6 } },
		{ { { 0x101, 9 }, { 0x203, 4 } }, 2, { 0x302, 2 }, { 0x302, 2 } },
		{ { { 0x101, 9 }, { 0x203, 4 } }, 2, { 0x302, 9 }, { 0x302, 6 } },
		{ { { 0x101, 9 }, { 0x203, 4 }, { 0x302, 3 } }, 3, { 0x401, 7 }, { 0x302, 3 } },
		{ { { 0x101, 9 }, { 0x203, 4 } }, 2, { 0x401, 1 }, { 0x203, 4 } },
		{ { { 0x101, 9 } }, 1, { 0x203, 7 }, { 0x203, 4 } },
		{ { { 0x101, 7 } }, 1, { 0x201, 7 }, { 0x101, 7 } },
		{ { { 0x101, 12 }, { 0x201, 3 } }, 2, { 0x402, 7 }, { 0x101, 9 } },
		{ { { 0 } }, 0, { 0x101, 3 }, { 0x101, 3 } },
		{ { { 0 } }, 0, { 0x401, 3 }, { 0, 0 } },
		{ { { 0 } }, 0, { 0, 0 }, { 0, 0 } },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct history other = { 0 };
		ck_assert_int_eq(history_set(&other, cases[i].chain, cases[i].count, cases[i].here.epoch), ERR_NONE);
		struct position p = common_of(&h, (struct position){ 0x302, 6 }, &other, cases[i].here);
		ck_assert_msg(position_compare(p, cases[i].common) == 0, "row %zu: (%llx,%llu)", i,
			      (unsigned long long)p.epoch, (unsigned long long)p.seq);
		history_release(&other);
	}
}
END_TEST

START_TEST(forgotten_links_leave_open_what_two_histories_share)
{
	static const struct epoch_end folded[] = { { 0, 50 }, { 0x302, 4 } };
	struct position here = { 0x302, 6 };
	struct position ahead = { 0x501, 2 };
	struct history f = { 0 };
	struct history older = { 0 };
	struct position p;

	ck_assert_int_eq(history_set(&f, folded, LEN(folded), 0x501), ERR_NONE);
	ck_assert_int_eq(history_common(&h, here, &f, ahead, &p), ERR_NONE);
	ck_assert_int_eq(position_compare(p, (struct position){ 0x302, 4 }), 0);
	/* It stands in an epoch that the other one has folded. */
	ck_assert_int_eq(history_set(&older, (struct epoch_end[]){ { 0x101, 9 } }, 1, 0x203), ERR_NONE);
	ck_assert_int_eq(history_common(&older, (struct position){ 0x203, 2 }, &f, ahead, &p), ERR_GAP);
	ck_assert_int_eq(history_common(&f, ahead, &older, (struct position){ 0x203, 2 }, &p), ERR_GAP);
	history_release(&older);
	ck_assert_int_eq(history_common(&f, ahead, &older, (struct position){ 0 }, &p), ERR_NONE);
	ck_assert_uint_eq(p.epoch, 0);
	history_release(&f);
}
END_TEST

START_TEST(ops_are_numbered_over_all_epochs)
{
	static const struct {
		struct position op;
		uint64_t number;
	} cases[] = {
		{ { 0x101, 1 }, 1 },  { { 0x101, 9 }, 9 },  { { 0x203, 1 }, 10 },
		{ { 0x203, 4 }, 13 }, { { 0x302, 1 }, 14 }, { { 0x302, 6 }, 19 },
		{ { 0, 0 }, 0 },      { { 0x999, 1 }, 0 },
	};
	for (size_t i = 0; i < LEN(cases); i++)
		ck_assert_msg(history_number(&h, cases[i].op) == cases[i].number, "row %zu", i);
}
END_TEST

START_TEST(only_the_next_op_is_admitted)
{
	static const struct {
		uint64_t epoch, seq;
		enum err err;
	} cases[] = {
		{ 0x302, 7, ERR_NONE },
		{ 0x302, 8, ERR_GAP },
		{ 0x302, 6, ERR_ALREADY_EXISTS },
		{ 0x101, 9, ERR_ALREADY_EXISTS },
		{ 0x101, 10, ERR_FORK },
		{ 0x203, 5, ERR_FORK },
		{ 0x401, 2, ERR_GAP },
		{ 0x401, 0, ERR_FORK },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct op op = { .kind = OP_DELETE, .epoch = cases[i].epoch, .seq = cases[i].seq };
		struct position here = { 0x302, 6 };
		ck_assert_msg(history_admits(&h, here, &op) == cases[i].err, "row %zu", i);
	}
}
END_TEST

START_TEST(epoch_start_is_admitted_exactly_at_the_end_that_it_names)
{
	struct epoch_end good[] = { { 0x101, 9 }, { 0x203, 4 }, { 0x302, 6 } };
	struct epoch_end later[] = { { 0x101, 9 }, { 0x203, 4 }, { 0x302, 6 }, { 0x401, 2 } };
	struct epoch_end other[] = { { 0x101, 9 }, { 0x203, 4 } };
	struct epoch_end folded[] = { { 0, 19 }, { 0x401, 2 } };
	const struct {
		const char *name;
		struct op op;
		uint64_t seq;
		enum err err;
	} cases[] = {
		{ "at the end", epoch_start(0x401, good, 3), 6, ERR_NONE },
		{ "before the end", epoch_start(0x401, good, 3), 5, ERR_GAP },
		{ "beyond the end: orphans", epoch_start(0x401, good, 3), 7, ERR_FORK },
		{ "an epoch is missing between", epoch_start(0x501, later, 4), 6, ERR_GAP },
		{ "our epoch is not in it", epoch_start(0x401, other, 2), 6, ERR_FORK },
		{ "our epoch is forgotten", epoch_start(0x501, folded, 2), 6, ERR_GAP },
		{ "the newest, again", epoch_start(0x302, good, 2), 6, ERR_ALREADY_EXISTS },
		{ "a runaway counter", epoch_start((uint64_t)0x20000 << 8, good, 3), 6, ERR_FORK },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct position here = { 0x302, cases[i].seq };
		ck_assert_msg(history_admits(&h, here, &cases[i].op) == cases[i].err, "%s",
			      cases[i].name);
	}
}
END_TEST

START_TEST(empty_region_begins_with_the_first_epoch)
{
	struct epoch_end some[] = { { 0x101, 9 } };
	struct op first = epoch_start(0x101, NULL, 0);
	struct op later = epoch_start(0x203, some, 1);
	struct position nowhere = { 0 };

	history_release(&h);
	ck_assert_int_eq(history_admits(&h, nowhere, &first), ERR_NONE);
	ck_assert_int_eq(history_admits(&h, nowhere, &later), ERR_GAP);
	ck_assert_int_eq(history_find(&h, nowhere, (struct position){ 0x101, 1 }), HISTORY_AHEAD);
}
END_TEST

START_TEST(record_comes_back_as_it_was)
{
	static const uint8_t start[] = { 1, 0x02, 3,    0,    0, 0,    0,    0,
					 0, 2,    0x81, 0x02, 9, 0x83, 0x04, 4 };
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct history back;

	ck_assert_int_eq(history_encode(&h, &b), ERR_NONE);
	ck_assert_uint_eq(b.len, sizeof(start) + 8);
	ck_assert_int_eq(memcmp(b.data, start, sizeof(start)), 0);
	ck_assert_int_eq(history_decode(buf_bytes(&b), &back), ERR_NONE);
	ck_assert_uint_eq(back.epoch, h.epoch);
	ck_assert_uint_eq(back.chain_count, h.chain_count);
	ck_assert_int_eq(memcmp(back.chain, h.chain, sizeof(chain)), 0);
	history_release(&back);
}
END_TEST

START_TEST(old_epochs_are_folded_and_ops_keep_their_numbers)
{
	struct history old;
	struct epoch_end *links = arena_array(&arena, HISTORY_EPOCHS_KEPT, sizeof(*links));
	struct epoch_end *next;
	uint32_t count;

	for (uint32_t i = 0; i < HISTORY_EPOCHS_KEPT; i++)
		links[i] = (struct epoch_end){ .epoch = epoch_make(i + 1, 1), .end = 3 };
	history_init(&old);
	ck_assert_int_eq(history_set(&old, links, HISTORY_EPOCHS_KEPT, epoch_make(5000, 2)),
			 ERR_NONE);
	struct position here = { epoch_make(5000, 2), 8 };
	uint64_t number = history_number(&old, here);
	ck_assert_uint_eq(number, HISTORY_EPOCHS_KEPT * 3 + 8);

	ck_assert_int_eq(history_next_chain(&old, here, &arena, &next, &count), ERR_NONE);
	ck_assert_uint_le(count, HISTORY_EPOCHS_KEPT);
	ck_assert_uint_eq(next[0].epoch, 0);
	ck_assert_int_eq(history_set(&old, next, count, epoch_make(5001, 1)), ERR_NONE);
	ck_assert_uint_eq(history_number(&old, here), number);
	struct position forgotten = { epoch_make(1, 1), 1 };
	struct position now = { epoch_make(5001, 1), 1 };
	ck_assert_int_eq(history_find(&old, now, forgotten), HISTORY_FORGOTTEN);
	ck_assert_uint_eq(history_number(&old, now), number + 1);
	history_release(&old);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("history");
	TCase *t = tcase_create("history");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, unsound_chains_are_refused);
	tcase_add_test(t, damaged_records_are_refused);
	tcase_add_test(t, op_is_found_by_the_ends_not_by_the_order_of_positions);
	tcase_add_test(t, the_end_of_an_epoch_is_known_unless_it_is_forgotten);
	tcase_add_test(t, the_newest_epoch_of_both_says_what_two_histories_share);
	tcase_add_test(t, forgotten_links_leave_open_what_two_histories_share);
	tcase_add_test(t, ops_are_numbered_over_all_epochs);
	tcase_add_test(t, only_the_next_op_is_admitted);
	tcase_add_test(t, epoch_start_is_admitted_exactly_at_the_end_that_it_names);
	tcase_add_test(t, empty_region_begins_with_the_first_epoch);
	tcase_add_test(t, record_comes_back_as_it_was);
	tcase_add_test(t, old_epochs_are_folded_and_ops_keep_their_numbers);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
