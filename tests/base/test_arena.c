/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's memory: bounded, zeroed, aligned, apart.
 */
#include "base/arena.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The sanitizers end the process on a huge malloc unless told otherwise. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

START_TEST(allocation_beyond_the_bound_fails)
{
	CLEANUP(arena_release) struct arena a;
	arena_init(&a, 1000);
	ck_assert_ptr_null(arena_alloc(&a, 1001));
	ck_assert_ptr_nonnull(arena_alloc(&a, 900));
	ck_assert_ptr_null(arena_alloc(&a, 200));
	ck_assert_ptr_nonnull(arena_alloc(&a, 50));
	ck_assert_uint_le(a.used, 1000);
}
END_TEST

START_TEST(bound_holds_for_many_small_pieces)
{
	CLEANUP(arena_release) struct arena a;
	arena_init(&a, 10000);
	unsigned n = 0;
	while (arena_alloc(&a, 1) && n < 100000)
		n++;
	ck_assert_uint_eq(n, 10000 / 16);
}
END_TEST

START_TEST(sizes_that_overflow_fail)
{
	CLEANUP(arena_release) struct arena a;
	arena_init(&a, SIZE_MAX);
	ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX));
	ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX / 2));
	ck_assert_ptr_null(arena_array(&a, SIZE_MAX / 2, 3));
	ck_assert_ptr_null(arena_array(&a, 3, SIZE_MAX / 2));
	ck_assert_ptr_null(arena_str(&a, (struct str){ .data = "", .len = SIZE_MAX }).data);
}
END_TEST

START_TEST(text_that_does_not_fit_is_null)
{
	CLEANUP(arena_release) struct arena a;
	arena_init(&a, 4);
	ck_assert_ptr_null(arena_str(&a, STR("abcd")).data);
	struct str s = arena_printf(&a, "%d", 12345);
	ck_assert_ptr_null(s.data);
	ck_assert_uint_eq(s.len, 0);
	ck_assert_str_eq(arena_str(&a, STR("abc")).data, "abc");
}
END_TEST

static bool all_are(const uint8_t *p, size_t n, uint8_t byte)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != byte)
			return false;
	return true;
}

/* Every piece is filled with its own byte; were two to overlap, one would be found changed. */
START_TEST(pieces_are_zeroed_aligned_and_apart)
{
	static const size_t sizes[] = { 0,    1,     15, 16,    17,    100,  4000,
					5000, 70000, 3,  16384, 16385, 60000 };
	CLEANUP(arena_release) struct arena a;
	arena_init(&a, 64 << 20);
	struct {
		uint8_t *p;
		size_t n;
	} pieces[20 * LEN(sizes)];

	for (size_t i = 0; i < LEN(pieces); i++) {
		size_t n = sizes[i % LEN(sizes)];
		uint8_t *p = arena_alloc(&a, n);
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq((uintptr_t)p % 16, 0);
		ck_assert(all_are(p, n, 0));
		memset(p, (int)(i % 255) + 1, n);
		pieces[i].p = p;
		pieces[i].n = n;
	}
	for (size_t i = 0; i < LEN(pieces); i++)
		ck_assert(all_are(pieces[i].p, pieces[i].n, (uint8_t)(i % 255 + 1)));
}
END_TEST

START_TEST(arrays_hold_all_their_items)
{
	CLEANUP(arena_release) struct arena a;
	arena_init(&a, 1 << 20);
	uint64_t *v = arena_array(&a, 1000, sizeof(*v));
	ck_assert_ptr_nonnull(v);
	for (unsigned i = 0; i < 1000; i++)
		v[i] = i;
	ck_assert_ptr_nonnull(arena_array(&a, 0, 8));
}
END_TEST

START_TEST(texts_are_terminated_copies)
{
	CLEANUP(arena_release) struct arena a;
	arena_init(&a, 1000);
	char mine[] = "hello world";
	struct str s = arena_str(&a, (struct str){ .data = mine, .len = 5 });
	mine[0] = 'j';
	ck_assert_uint_eq(s.len, 5);
	ck_assert_str_eq(s.data, "hello");
	ck_assert_str_eq(arena_str(&a, (struct str){ 0 }).data, "");

	s = arena_printf(&a, "%s/%d", "shard", 42);
	ck_assert_str_eq(s.data, "shard/42");
	ck_assert_uint_eq(s.len, 8);
}
END_TEST

START_TEST(released_arena_may_be_used_again)
{
	struct arena a;
	arena_init(&a, 1000);
	ck_assert_ptr_nonnull(arena_alloc(&a, 1000));
	ck_assert_ptr_null(arena_alloc(&a, 1));
	arena_release(&a);
	ck_assert_ptr_nonnull(arena_alloc(&a, 1000));
	arena_release(&a);
	arena_release(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("arena");
	TCase *t = tcase_create("arena");
	tcase_add_test(t, allocation_beyond_the_bound_fails);
	tcase_add_test(t, bound_holds_for_many_small_pieces);
	tcase_add_test(t, sizes_that_overflow_fail);
	tcase_add_test(t, text_that_does_not_fit_is_null);
	tcase_add_test(t, pieces_are_zeroed_aligned_and_apart);
	tcase_add_test(t, arrays_hold_all_their_items);
	tcase_add_test(t, texts_are_terminated_copies);
	tcase_add_test(t, released_arena_may_be_used_again);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
