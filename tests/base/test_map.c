/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map, among others against a plain array that does the same slowly.
 */
#include "base/map.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int values[4];

START_TEST(empty_map_has_nothing)
{
	CLEANUP(map_release) struct map m;
	map_init(&m);
	size_t cursor = 0;
	struct str key;
	void *value;
	ck_assert_ptr_null(map_get(&m, STR("a")));
	ck_assert_ptr_null(map_remove(&m, STR("a")));
	ck_assert(!map_next(&m, &cursor, &key, &value));
}
END_TEST

START_TEST(keys_that_differ_a_little_are_not_the_same)
{
	CLEANUP(map_release) struct map m;
	map_init(&m);
	ck_assert_int_eq(map_put(&m, STR("a"), &values[0], NULL), ERR_NONE);
	ck_assert_ptr_null(map_get(&m, STR("")));
	ck_assert_ptr_null(map_get(&m, STR("a\0")));
	ck_assert_ptr_null(map_get(&m, STR("b")));
	ck_assert_ptr_null(map_remove(&m, STR("aa")));
	ck_assert_ptr_eq(map_get(&m, STR("a")), &values[0]);
}
END_TEST

START_TEST(put_replaces_and_gives_the_old_value)
{
	CLEANUP(map_release) struct map m;
	map_init(&m);
	void *old = &values[3];
	ck_assert_int_eq(map_put(&m, STR("a"), &values[0], &old), ERR_NONE);
	ck_assert_ptr_null(old);
	ck_assert_int_eq(map_put(&m, STR("a"), &values[1], &old), ERR_NONE);
	ck_assert_ptr_eq(old, &values[0]);
	ck_assert_ptr_eq(map_get(&m, STR("a")), &values[1]);
	ck_assert_uint_eq(m.count, 1);
}
END_TEST

START_TEST(keys_are_copied)
{
	CLEANUP(map_release) struct map m;
	map_init(&m);
	char key[] = "abc";
	ck_assert_int_eq(map_put(&m, (struct str){ key, 3 }, &values[0], NULL), ERR_NONE);
	key[0] = 'x';
	ck_assert_ptr_eq(map_get(&m, STR("abc")), &values[0]);
	ck_assert_ptr_null(map_get(&m, STR("xbc")));
}
END_TEST

START_TEST(empty_key_and_null_value_are_kept)
{
	CLEANUP(map_release) struct map m;
	map_init(&m);
	ck_assert_int_eq(map_put(&m, (struct str){ 0 }, &values[2], NULL), ERR_NONE);
	ck_assert_int_eq(map_put(&m, STR("null"), NULL, NULL), ERR_NONE);
	ck_assert_ptr_eq(map_get(&m, STR("")), &values[2]);
	ck_assert_uint_eq(m.count, 2);
	ck_assert_ptr_eq(map_remove(&m, (struct str){ 0 }), &values[2]);
	ck_assert_uint_eq(m.count, 1);
}
END_TEST

START_TEST(walk_meets_everything_once)
{
	CLEANUP(map_release) struct map m;
	map_init(&m);
	static unsigned met[1000];
	char text[16];
	for (unsigned i = 0; i < LEN(met); i++) {
		int n = snprintf(text, sizeof(text), "key %u", i);
		ck_assert_int_eq(map_put(&m, (struct str){ text, (size_t)n }, &met[i], NULL),
				 ERR_NONE);
	}
	size_t cursor = 0;
	struct str key;
	void *value;
	while (map_next(&m, &cursor, &key, &value)) {
		unsigned i = (unsigned)((unsigned *)value - met);
		int n = snprintf(text, sizeof(text), "key %u", i);
		ck_assert_uint_eq(key.len, (size_t)n);
		ck_assert_mem_eq(key.data, text, key.len);
		met[i]++;
	}
	for (unsigned i = 0; i < LEN(met); i++)
		ck_assert_uint_eq(met[i], 1);
}
END_TEST

/* 200,000 random steps over 500 keys; few keys, so that runs are long and gaps are closed across the end
 * of the table. */
START_TEST(random_steps_agree_with_an_array)
{
	enum { KEYS = 500, STEPS = 200000 };
	CLEANUP(map_release) struct map m;
	map_init(&m);
	static int value_of[STEPS];
	void *model[KEYS] = { 0 };
	size_t count = 0;
	uint64_t state = 42;

	for (unsigned step = 0; step < STEPS; step++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		uint32_t k = (uint32_t)(state >> 33) % KEYS;
		struct str key = { (const char *)&k, sizeof(k) };
		/* It fills and empties in turns. */
		if ((state >> 60) < (step / 20000 % 2 ? 6u : 10u)) {
			void *old;
			ck_assert_int_eq(map_put(&m, key, &value_of[step], &old), ERR_NONE);
			ck_assert_ptr_eq(old, model[k]);
			count += model[k] == NULL;
			model[k] = &value_of[step];
		} else {
			ck_assert_ptr_eq(map_remove(&m, key), model[k]);
			count -= model[k] != NULL;
			model[k] = NULL;
		}
		ck_assert_uint_eq(m.count, count);
		if (step % 1000 != 0)
			continue;
		for (uint32_t i = 0; i < KEYS; i++)
			ck_assert_ptr_eq(map_get(&m, (struct str){ (const char *)&i, sizeof(i) }),
					 model[i]);
	}
	ck_assert_uint_le(m.cap, 1024);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("map");
	TCase *t = tcase_create("map");
	tcase_add_test(t, empty_map_has_nothing);
	tcase_add_test(t, keys_that_differ_a_little_are_not_the_same);
	tcase_add_test(t, put_replaces_and_gives_the_old_value);
	tcase_add_test(t, keys_are_copied);
	tcase_add_test(t, empty_key_and_null_value_are_kept);
	tcase_add_test(t, walk_meets_everything_once);
	tcase_add_test(t, random_steps_agree_with_an_array);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
