/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What data regions answer, and what a gateway makes of it. That it asks is shown by the tests of regions.
 */
#include "gateway/writers.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "tests/replicator/region.h"

static struct clock_manual now;
static struct writers *writers;

static void set_up(void)
{
	clock_manual_init(&now, 1000000);
	now.mono_ns = 1;
	ck_assert_int_eq(writers_new(&(struct writers_options){ .clock = &now.clock }, &writers), ERR_NONE);
}

static void tear_down(void)
{
	writers_free(writers);
}

static bool has(const char *name)
{
	return writers_has(writers, (struct str){ name, strlen(name) });
}

/* Names are parted by blanks. */
static enum err take(uint64_t epoch, uint64_t seq, const char *names)
{
	CLEANUP(buf_release) struct buf list = BUF_INIT(4096);
	CLEANUP(buf_release) struct buf b = BUF_INIT(4096);
	uint32_t count = 0;

	while (*names) {
		size_t len = strcspn(names, " ");
		wire_put_str(&list, (struct str){ names, len });
		names += len + (names[len] == ' ');
		count++;
	}
	wire_put_u8(&b, 1);
	wire_put_u64(&b, epoch);
	wire_put_u64(&b, seq);
	wire_put_varint(&b, count);
	ck_assert_int_eq(buf_append(&b, list.data, list.len), ERR_NONE);
	return writers_take(writers, buf_bytes(&b));
}

START_TEST(the_newest_answer_counts_whole)
{
	ck_assert(!has("m") && !has(""));
	ck_assert_int_eq(take(257, 5, "m other"), ERR_NONE);
	ck_assert(has("m") && has("other") && !has("mm") && !has("othe"));
	ck_assert_int_eq(take(257, 6, "m"), ERR_NONE);
	ck_assert(has("m") && !has("other"));
	/* The same position may have been read a moment later. */
	ck_assert_int_eq(take(257, 6, "n"), ERR_NONE);
	ck_assert(!has("m") && has("n"));
	ck_assert_int_eq(take(513, 1, ""), ERR_NONE);
	ck_assert(!has("n"));
}
END_TEST

START_TEST(a_region_that_lags_takes_nothing_back)
{
	ck_assert_int_eq(take(513, 5, "m"), ERR_NONE);
	ck_assert_int_eq(take(513, 4, ""), ERR_NONE);
	ck_assert_int_eq(take(257, 900, "old"), ERR_NONE);
	ck_assert(has("m") && !has("old"));
}
END_TEST

START_TEST(what_nobody_repeats_is_forgotten)
{
	ck_assert_int_eq(take(513, 5, "m"), ERR_NONE);
	now.mono_ns += (WRITERS_STALE_MS - 1) * UINT64_C(1000000);
	ck_assert_int_eq(take(257, 1, "n"), ERR_NONE);
	ck_assert(has("m") && !has("n"));
	now.mono_ns += UINT64_C(1000000);
	ck_assert_int_eq(take(257, 1, "n"), ERR_NONE);
	ck_assert(!has("m") && has("n"));
	/* Repeated it is not. */
	for (int i = 0; i < 3; i++) {
		now.mono_ns += (WRITERS_STALE_MS - 1) * UINT64_C(1000000);
		ck_assert_int_eq(take(257, 1, "n"), ERR_NONE);
		ck_assert_int_eq(take(1, 1, ""), ERR_NONE);
		ck_assert(has("n"));
	}
}
END_TEST

START_TEST(damaged_answers_change_nothing)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(4096);

	ck_assert_int_eq(take(257, 5, "m"), ERR_NONE);
	wire_put_u8(&b, 1);
	wire_put_u64(&b, 513);
	wire_put_u64(&b, 1);
	wire_put_varint(&b, 2);
	wire_put_str(&b, STR("n"));
	wire_put_str(&b, STR("o"));
	ck_assert_int_eq(buf_err(&b), ERR_NONE);
	for (size_t len = 0; len < b.len; len++)
		ck_assert_int_eq(writers_take(writers, (struct bytes){ b.data, len }), ERR_CORRUPT);
	ck_assert_int_eq(buf_append_byte(&b, 0), ERR_NONE);
	ck_assert_int_eq(writers_take(writers, buf_bytes(&b)), ERR_CORRUPT);
	b.data[0] = 2;
	ck_assert_int_eq(writers_take(writers, (struct bytes){ b.data, b.len - 1 }), ERR_CORRUPT);
	ck_assert(has("m") && !has("n"));
	/* A count that no answer can have ends with the bytes. */
	b.data[0] = 1;
	memset(b.data + 17, 0xff, 4);
	ck_assert_int_eq(writers_take(writers, (struct bytes){ b.data, 21 }), ERR_CORRUPT);
	ck_assert(has("m"));
}
END_TEST

START_TEST(a_region_answers_with_what_every_region_writes)
{
	static struct region a;
	CLEANUP(buf_release) struct buf b = BUF_INIT(WRITERS_BYTES_MAX);
	CLEANUP(buf_release) struct buf small = BUF_INIT(20);

	region_init(&a, 1);
	region_open(&a);
	region_begin(&a);
	write_well(&a, create_of(&a, "single", DISTANCE_DOT));
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = { "m", "n", "\xc3\xa9t\xc3\xa9" };
		struct intent in = create_of(&a, names[i], DISTANCE_DOT);
		in.body.config.multi_writer = true;
		write_well(&a, in);
	}
	ck_assert_int_eq(writers_answer(a.catalog, a.committer, &b), ERR_NONE);
	ck_assert_int_eq(writers_take(writers, buf_bytes(&b)), ERR_NONE);
	ck_assert(has("m") && has("n") && has("\xc3\xa9t\xc3\xa9") && !has("single"));
	/* Its position is in it: what came before is older. */
	struct committer_state state;
	committer_state(a.committer, &state);
	ck_assert_int_eq(take(state.position.epoch, state.position.seq - 1, ""), ERR_NONE);
	ck_assert(has("m"));
	ck_assert_int_eq(take(state.position.epoch, state.position.seq, ""), ERR_NONE);
	ck_assert(!has("m"));
	ck_assert_int_ne(writers_answer(a.catalog, a.committer, &small), ERR_NONE);
	region_shut(&a);
	region_release(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("writers");
	TCase *t = tcase_create("writers");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, the_newest_answer_counts_whole);
	tcase_add_test(t, a_region_that_lags_takes_nothing_back);
	tcase_add_test(t, what_nobody_repeats_is_forgotten);
	tcase_add_test(t, damaged_answers_change_nothing);
	tcase_add_test(t, a_region_answers_with_what_every_region_writes);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
