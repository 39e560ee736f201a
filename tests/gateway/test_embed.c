/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/embed.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "index/distance.h"

static void embed(const char *text, float v[EMBED_DIM])
{
	memset(v, 0, EMBED_DIM * sizeof(float));
	embed_add(v, (struct str){ text, strlen(text) }, 1.0f);
	embed_finish(v);
}

static double similarity(const char *a, const char *b)
{
	float x[EMBED_DIM];
	float y[EMBED_DIM];

	embed(a, x);
	embed(b, y);
	return (double)distance_exact(DISTANCE_DOT, x, y, EMBED_DIM);
}

START_TEST(empty_text_and_stop_words_give_the_zero_vector)
{
	float v[EMBED_DIM];

	embed("the of and -- ,", v);
	for (int i = 0; i < EMBED_DIM; i++)
		ck_assert_double_eq((double)v[i], 0.0);
}
END_TEST

START_TEST(a_vector_has_unit_length)
{
	ck_assert_double_eq_tol(similarity("web server", "web server"), 1.0, 1e-5);
}
END_TEST

START_TEST(case_and_punctuation_do_not_matter)
{
	ck_assert_double_eq_tol(similarity("Web, SERVER!", "web server"), 1.0, 1e-5);
}
END_TEST

START_TEST(shared_words_are_nearer_than_shared_stems_and_those_nearer_than_nothing_shared)
{
	double word = similarity("fast web server", "small web server");
	double stem = similarity("fast web server", "servers and webs");
	double none = similarity("fast web server", "chess puzzle book");

	ck_assert_double_gt(word, stem);
	ck_assert_double_gt(stem, none + 0.05);
}
END_TEST

START_TEST(a_word_longer_than_the_bound_is_cut_not_overrun)
{
	char longest[4096];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_double_eq_tol(similarity(longest, longest), 1.0, 1e-5);
}
END_TEST

START_TEST(the_same_text_gives_the_same_bits_for_ever)
{
	float v[EMBED_DIM];
	uint32_t used = 0;

	embed("nginx", v);
	for (int i = 0; i < EMBED_DIM; i++)
		used += v[i] != 0.0f ? 1 : 0;
	/* four places of the word and its n-grams, some of which fall together */
	ck_assert_uint_ge(used, 10);
	ck_assert_uint_le(used, 4 + 5 + 4 + 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("embed");
	TCase *t = tcase_create("embed");

	tcase_add_test(t, empty_text_and_stop_words_give_the_zero_vector);
	tcase_add_test(t, a_vector_has_unit_length);
	tcase_add_test(t, case_and_punctuation_do_not_matter);
	tcase_add_test(t, shared_words_are_nearer_than_shared_stems_and_those_nearer_than_nothing_shared);
	tcase_add_test(t, a_word_longer_than_the_bound_is_cut_not_overrun);
	tcase_add_test(t, the_same_text_gives_the_same_bits_for_ever);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
