/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8: what RFC 3629 forbids is refused, wherever it stands.
 */
#include "base/utf8.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define S(literal)                                                                                 \
	{                                                                                          \
		("" literal), sizeof(literal) - 1                                                  \
	}

static const struct str refused[] = {
	S("\x80"), /* a tail alone */
	S("\xBF"),
	S("\xC0\x80"), /* overlong */
	S("\xC1\xBF"),
	S("\xE0\x80\x80"),
	S("\xE0\x9F\xBF"),
	S("\xF0\x80\x80\x80"),
	S("\xF0\x8F\xBF\xBF"),
	S("\xED\xA0\x80"), /* surrogates */
	S("\xED\xBF\xBF"),
	S("\xF4\x90\x80\x80"), /* above U+10FFFF */
	S("\xF5\x80\x80\x80"),
	S("\xFE"),
	S("\xFF"),
	S("\xC3"), /* cut short */
	S("\xE2\x82"),
	S("\xF0\x9F\x98"),
	S("\xC3("), /* no tail */
	S("\xE2\x82("),
	S("\xE2(\xAC"),
	S("\xF0\x9F\x98("),
	S("\xF0(\x98\x80"),
};

static const struct str accepted[] = {
	S("\x7F"),         S("\xC2\x80"),         S("\xDF\xBF"),
	S("\xE0\xA0\x80"), S("\xED\x9F\xBF"),     S("\xEE\x80\x80"),
	S("\xEF\xBF\xBF"), S("\xF0\x90\x80\x80"), S("\xF4\x8F\xBF\xBF"),
};

/* The character alone, and with up to twenty letters before and behind it, in memory of the exact size. */
static void check_everywhere(struct str character, bool valid, int row)
{
	for (size_t before = 0; before <= 20; before++) {
		for (size_t behind = 0; behind <= 20; behind += 5) {
			size_t len = before + character.len + behind;
			char *text = malloc(len);
			ck_assert_ptr_nonnull(text);
			memset(text, 'a', len);
			memcpy(text + before, character.data, character.len);
			bool got = utf8_valid((struct str){ .data = text, .len = len });
			free(text);
			ck_assert_msg(got == valid, "row %d, %zu before, %zu behind", row, before,
				      behind);
		}
	}
}

START_TEST(malformed_text_is_refused_wherever_it_stands)
{
	check_everywhere(refused[_i], false, _i);
}
END_TEST

START_TEST(first_and_last_character_of_each_length_is_accepted)
{
	struct str s = accepted[_i];
	ck_assert_uint_eq(utf8_length((const uint8_t *)s.data, s.len), s.len);
	check_everywhere(s, true, _i);
}
END_TEST

START_TEST(empty_text_is_valid)
{
	ck_assert(utf8_valid((struct str){ 0 }));
	ck_assert(utf8_valid(STR("")));
	ck_assert_uint_eq(utf8_length((const uint8_t *)"a", 0), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("utf8");
	TCase *t = tcase_create("utf8");
	tcase_add_loop_test(t, malformed_text_is_refused_wherever_it_stands, 0, LEN(refused));
	tcase_add_loop_test(t, first_and_last_character_of_each_length_is_accepted, 0,
			    LEN(accepted));
	tcase_add_test(t, empty_text_is_valid);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
