/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words: what each tokenizer makes of a text, what the options do to a word, and what is found in rows of words.
 */
#include "index/words.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/proto.h"

enum { PREFIX = 1, WHITESPACE, WORD, MULTILINGUAL };

struct options {
	uint32_t tokenizer;
	bool keep_case, folding, phrases;
	uint32_t min, max; /* 0: not given */
	const char *language; /* of stop words */
	const char *custom;   /* a stop word */
	const char *stemmer;
};

static size_t params_of(const struct options *o, struct buf *b)
{
	size_t text = proto_begin(b, 1);

	if (o->tokenizer)
		proto_put_varint(b, 1, o->tokenizer);
	if (o->keep_case)
		proto_put_varint(b, 2, 0);
	if (o->min)
		proto_put_varint(b, 3, o->min);
	if (o->max)
		proto_put_varint(b, 4, o->max);
	if (o->language || o->custom) {
		size_t stop = proto_begin(b, 6);

		if (o->language)
			proto_put_bytes(b, 1, o->language, strlen(o->language));
		if (o->custom)
			proto_put_bytes(b, 2, o->custom, strlen(o->custom));
		proto_end(b, stop);
	}
	if (o->phrases)
		proto_put_varint(b, 7, 1);
	if (o->stemmer) {
		size_t stemmer = proto_begin(b, 8), snowball = proto_begin(b, 1);

		proto_put_bytes(b, 1, o->stemmer, strlen(o->stemmer));
		proto_end(b, snowball);
		proto_end(b, stemmer);
	}
	if (o->folding)
		proto_put_varint(b, 9, 1);
	proto_end(b, text);
	return b->len;
}

static enum err try_new(const struct options *o, struct words **ret_words, struct fault *fault)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1 << 20);

	(void)params_of(o, &b);
	return words_new(buf_bytes(&b), ret_words, fault);
}

static struct words *words_with(const struct options *o)
{
	struct words *w;
	struct fault fault = { 0 };

	ck_assert_msg(try_new(o, &w, &fault) == ERR_NONE, "%s", fault_text(&fault));
	return w;
}

/* "|a|b|" */
static const char *row_of(const struct words *w, const char *text, enum words_role role, struct buf *row)
{
	buf_reset(row);
	ck_assert_int_eq(words_append(w, (struct str){ text, strlen(text) }, role, row), ERR_NONE);
	for (size_t i = 0; i < row->len; i++)
		if (row->data[i] == WORDS_MARK)
			row->data[i] = '|';
	(void)buf_append_byte(row, 0);
	return (const char *)row->data;
}

static const struct {
	struct options options;
	const char *text;
	const char *document, *query; /* NULL: as the document */
} cases[] = {
	{ { 0 }, "", "", NULL },
	{ { 0 }, " .,!", "", NULL },
	{ { 0 }, "Hello, World!", "|hello|world|", NULL },
	{ { .tokenizer = WORD }, "it's 3.5km away_now", "|it|s|3|5km|away|now|", NULL },
	{ { .tokenizer = WORD }, "Привет, МИР! ÄÖ", "|привет|мир|äö|", NULL },
	{ { WORD, .keep_case = true }, "Hello World", "|Hello|World|", NULL },
	{ { .tokenizer = WHITESPACE }, "it's  a-b\tC,\nd\xc2\xa0" "e", "|it's|a-b|c,|d|e|", NULL },
	{ { WORD, .min = 2, .max = 4 }, "a ab abcd abcde äö", "|ab|abcd|äö|", NULL },
	{ { PREFIX, .min = 1, .max = 4 }, "Hello, мир!", "|h|he|hel|hell|м|ми|мир|", "|hell|мир|" },
	{ { PREFIX, .min = 2 }, "hey x", "|he|hey|", "|hey|" },
	{ { .tokenizer = PREFIX }, "ab", "|a|ab|", "|ab|" },
	{ { PREFIX, .custom = "the" }, "the theory", "|t|th|the|theo|theor|theory|", "|the|theory|" },
	{ { WORD, .language = "english" }, "The fox is over the moon", "|fox|moon|", NULL },
	{ { WORD, .language = "german", .custom = "Fuchs" }, "Der schlaue FUCHS und ich", "|schlaue|", NULL },
	{ { WORD, .keep_case = true, .custom = "The" }, "The the", "|the|", NULL },
	{ { WORD, .stemmer = "english" }, "interesting documentation", "|interest|document|", NULL },
	{ { WORD, .stemmer = "german" }, "Häuser", "|haus|", NULL },
	{ { WORD, .folding = true }, "Ça déjà vu, Łódź ß ﬁn", "|ca|deja|vu|lodz|ss|ﬁn|", NULL },
	{ { WORD, .folding = true }, "de\xcc\x81ja", "|deja|", NULL },
	{ { .tokenizer = MULTILINGUAL }, "What are YOU waiting for? 42", "|what|are|you|waiting|for|", NULL },
	{ { .tokenizer = MULTILINGUAL }, "今天是 Qdrant", "|今|天|是|qdrant|", NULL },
	{ { .tokenizer = WORD }, "bad \xff\xfe bytes", "|bad|bytes|", NULL },
	{ { .tokenizer = 99 }, "Unknown tokenizer", "|unknown|tokenizer|", NULL },
};

START_TEST(texts_fall_into_words)
{
	CLEANUP(buf_release) struct buf row = BUF_INIT(1 << 20);

	for (size_t i = 0; i < LEN(cases); i++) {
		struct words *w = words_with(&cases[i].options);

		ck_assert_str_eq(row_of(w, cases[i].text, WORDS_OF_DOCUMENT, &row), cases[i].document);
		ck_assert_str_eq(row_of(w, cases[i].text, WORDS_OF_QUERY, &row),
				 cases[i].query ? cases[i].query : cases[i].document);
		words_free(w);
	}
}
END_TEST

START_TEST(a_prefix_of_a_stop_word_is_still_one_of_other_words)
{
	CLEANUP(buf_release) struct buf row = BUF_INIT(1 << 20);
	struct words *w = words_with(&(struct options){ PREFIX, .custom = "the" });

	ck_assert_str_eq(row_of(w, "the", WORDS_OF_DOCUMENT, &row), "");
	ck_assert_str_eq(row_of(w, "the", WORDS_OF_QUERY, &row), "|the|");
	words_free(w);
}
END_TEST

START_TEST(a_word_without_end_is_cut)
{
	CLEANUP(buf_release) struct buf row = BUF_INIT(1 << 20);
	struct words *w = words_with(&(struct options){ 0 });
	char text[3 * WORD_BYTES_MAX + 1];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	ck_assert_uint_eq(strlen(row_of(w, text, WORDS_OF_DOCUMENT, &row)), WORD_BYTES_MAX + 2);
	words_free(w);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
	static const struct {
		struct options options;
		enum err err;
		const char *words;
	} bad[] = {
		{ { .stemmer = "klingon" }, ERR_BAD_INPUT, "stemmer: Snowball has no language `klingon`" },
		{ { .language = "klingon" }, ERR_NOT_IMPLEMENTED, "stop words of the language `klingon`" },
	};
	struct words *w;

	for (size_t i = 0; i < LEN(bad); i++) {
		struct fault fault = { 0 };

		ck_assert_int_eq(try_new(&bad[i].options, &w, &fault), bad[i].err);
		ck_assert_ptr_nonnull(strstr(fault_text(&fault), bad[i].words));
	}
	ck_assert_int_ne(words_new((struct bytes){ (const uint8_t *)"\x0a\x05\x08", 3 }, &w, NULL), ERR_NONE);
}
END_TEST

START_TEST(rows_tell_words_and_phrases)
{
	static const struct {
		const char *query, *document;
		bool all, any, phrase;
	} rows[] = {
		{ "brown fox", "the quick brown fox", true, true, true },
		{ "fox brown", "the quick brown fox", true, true, false },
		{ "fox wolf", "the quick brown fox", false, true, false },
		{ "wolf", "the quick brown fox", false, false, false },
		{ "row", "brown", false, false, false },
		{ "", "brown", false, false, false },
		{ "brown", "", false, false, false },
		{ "", "", false, false, false },
		{ "a a", "a", true, true, false },
		{ "fox", "fox", true, true, true },
	};
	struct words *w = words_with(&(struct options){ .phrases = true });

	ck_assert(words_have_phrases(w));
	for (size_t i = 0; i < LEN(rows); i++) {
		CLEANUP(buf_release) struct buf q = BUF_INIT(1000);
		CLEANUP(buf_release) struct buf d = BUF_INIT(1000);

		ck_assert_int_eq(words_append(w, (struct str){ rows[i].query, strlen(rows[i].query) }, WORDS_OF_QUERY, &q), 0);
		ck_assert_int_eq(words_append(w, (struct str){ rows[i].document, strlen(rows[i].document) }, WORDS_OF_DOCUMENT, &d),
				 0);
		ck_assert_msg(words_all_in(&q, &d) == rows[i].all, "row %zu: all", i);
		ck_assert_msg(words_any_in(&q, &d) == rows[i].any, "row %zu: any", i);
		ck_assert_msg(words_phrase_in(&q, &d) == rows[i].phrase, "row %zu: phrase", i);
	}
	words_free(w);
	words_free(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("words");
	TCase *t = tcase_create("words");

	tcase_add_test(t, what_cannot_be_is_refused);
	tcase_add_test(t, texts_fall_into_words);
	tcase_add_test(t, a_prefix_of_a_stop_word_is_still_one_of_other_words);
	tcase_add_test(t, a_word_without_end_is_cut);
	tcase_add_test(t, rows_tell_words_and_phrases);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
