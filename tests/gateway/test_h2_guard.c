/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard of an HTTP/2 connection: it finds the frames in the bytes however they are cut. That each budget ends
 * its flood is tested with h2.
 */
#include "gateway/h2_guard.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/h2.h"

#define FRAME(length, type, flags, id) "\0\0" length type flags "\0\0\0" id
#define LENGTH_OF(text) (sizeof(text) - 1)

/* A preface, a PING of 8 bytes, an open header block, its CONTINUATION, and a DATA of 4 bytes. */
#define PING FRAME("\x08", "\6", "\0", "\0") "12345678"
#define OPEN_BLOCK FRAME("\2", "\1", "\0", "\1") "ab"
#define BLOCK_END FRAME("\1", "\x09", "\4", "\1") "c"
#define DATA FRAME("\4", "\0", "\0", "\1") "data"

static struct bytes part(const char *text, size_t from, size_t to)
{
	return (struct bytes){ .data = (const uint8_t *)text + from, .len = to - from };
}

START_TEST(only_what_must_come_at_once_is_stuck)
{
	static const char text[] = H2_PREFACE PING OPEN_BLOCK BLOCK_END DATA;
	const size_t preface = LENGTH_OF(H2_PREFACE);
	const size_t ping = preface + LENGTH_OF(PING);
	const size_t block = ping + LENGTH_OF(OPEN_BLOCK) + LENGTH_OF(BLOCK_END);
	const size_t data = block + LENGTH_OF(DATA);

	for (size_t cut = 0; cut <= data; cut++) {
		struct h2_guard g;
		h2_guard_init(&g, &conn_limits_default);
		ck_assert_int_eq(h2_guard_watch(&g, part(text, 0, cut), 1000), H2_CODE_NONE);
		bool between = cut <= preface || cut == ping || cut == block ||
			       cut >= block + H2_FRAME_HEAD_BYTES;
		ck_assert_msg((h2_guard_due_ns(&g) == UINT64_MAX) == between, "cut at %zu", cut);
		if (!between)
			ck_assert_uint_eq(h2_guard_due_ns(&g), 5000001000);
		/* Later bytes of the same do not move its time. */
		ck_assert_int_eq(h2_guard_watch(&g, part(text, cut, MIN(cut + 1, data)), 2000),
				 H2_CODE_NONE);
		if (!between && h2_guard_due_ns(&g) != UINT64_MAX && cut + 1 < block)
			ck_assert_uint_eq(h2_guard_due_ns(&g), 5000001000);
		ck_assert_int_eq(h2_guard_watch(&g, part(text, MIN(cut + 1, data), data), 3000),
				 H2_CODE_NONE);
		ck_assert_uint_eq(h2_guard_due_ns(&g), UINT64_MAX);
		ck_assert_int_eq(g.newest_id, 1);
	}
}
END_TEST

START_TEST(floods_are_counted_however_they_are_cut)
{
	for (size_t piece = 1; piece < 40; piece++) {
		static char text[LENGTH_OF(H2_PREFACE) + 21 * LENGTH_OF(PING)];
		memcpy(text, H2_PREFACE, LENGTH_OF(H2_PREFACE));
		for (size_t i = 0; i < 21; i++)
			memcpy(text + LENGTH_OF(H2_PREFACE) + i * LENGTH_OF(PING), PING,
			       LENGTH_OF(PING));
		struct h2_guard g;
		h2_guard_init(&g, &conn_limits_default);
		enum h2_code code = H2_CODE_NONE;
		size_t at = 0;
		for (; at < sizeof(text) && code == H2_CODE_NONE; at += piece)
			code = h2_guard_watch(&g, part(text, at, MIN(at + piece, sizeof(text))), 0);
		ck_assert_int_eq(code, H2_CODE_ENHANCE_YOUR_CALM);
		/* The head of the 21st is enough. */
		ck_assert_uint_gt(at, sizeof(text) - LENGTH_OF(PING));
	}
}
END_TEST

static enum h2_code head(struct h2_guard *g, int32_t id)
{
	const uint8_t bytes[9] = { 0, 0, 0, 1, 5, 0, 0, (uint8_t)(id >> 8), (uint8_t)id };
	return h2_guard_watch(g, (struct bytes){ bytes, sizeof(bytes) }, 0);
}

START_TEST(ids_that_were_passed_over_stay_closed)
{
	struct h2_guard g;
	h2_guard_init(&g, &conn_limits_default);
	ck_assert_int_eq(h2_guard_watch(&g, part(H2_PREFACE, 0, LENGTH_OF(H2_PREFACE)), 0),
			 H2_CODE_NONE);
	ck_assert_int_eq(head(&g, 13), H2_CODE_NONE); /* as nghttp begins */
	ck_assert_int_eq(head(&g, 15), H2_CODE_NONE);
	ck_assert_int_eq(head(&g, 13), H2_CODE_NONE); /* late trailers */
	ck_assert_int_eq(head(&g, 21), H2_CODE_NONE);
	ck_assert_int_eq(head(&g, 1), H2_CODE_PROTOCOL_ERROR);
	ck_assert_int_eq(head(&g, 11), H2_CODE_PROTOCOL_ERROR);
	ck_assert_int_eq(head(&g, 17), H2_CODE_PROTOCOL_ERROR);
	ck_assert_int_eq(head(&g, 19), H2_CODE_PROTOCOL_ERROR);
	ck_assert_int_eq(head(&g, 21), H2_CODE_NONE);
	/* Only the last few are remembered. */
	for (int32_t id = 25; id < 25 + 4 * H2_GUARD_SKIPS; id += 4)
		ck_assert_int_eq(head(&g, id), H2_CODE_NONE);
	ck_assert_int_eq(head(&g, 1), H2_CODE_NONE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("h2_guard");
	TCase *t = tcase_create("h2_guard");
	tcase_add_test(t, ids_that_were_passed_over_stay_closed);
	tcase_add_test(t, floods_are_counted_however_they_are_cut);
	tcase_add_test(t, only_what_must_come_at_once_is_stuck);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
