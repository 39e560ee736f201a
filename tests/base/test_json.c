/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON: texts lie in memory of their exact size, so that a sanitizer sees a read beyond the end.
 */
#include "base/json.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MAX ((size_t)1 << 20)

/* A text, its reader and the arena of its strings. */
struct doc {
	char *text;
	struct arena arena;
	struct json_reader r;
	struct fault fault;
};

static void doc_open(struct doc *d, struct str text)
{
	*d = (struct doc){ .text = malloc(text.len ? text.len : 1) };
	ck_assert_ptr_nonnull(d->text);
	memcpy(d->text, text.data, text.len);
	arena_init(&d->arena, ARENA_MAX);
	d->r = json_reader_of((struct str){ .data = d->text, .len = text.len }, &d->arena);
}

static void doc_release(struct doc *d)
{
	arena_release(&d->arena);
	free(d->text);
}

static struct str str_of(const char *s)
{
	return (struct str){ .data = s, .len = strlen(s) };
}

static bool str_is(struct str s, const char *wanted)
{
	return s.len == strlen(wanted) && (s.len == 0 || memcmp(s.data, wanted, s.len) == 0);
}

/* Reads the whole value as any caller would that takes whatever comes. */
static void read_any(struct json_reader *r)
{
	struct str key;

	switch (json_peek(r)) {
	case JSON_NULL:
		json_null(r);
		return;
	case JSON_BOOL:
		(void)json_bool(r);
		return;
	case JSON_NUMBER:
		(void)json_number(r);
		return;
	case JSON_STRING:
		(void)json_string(r);
		return;
	case JSON_ARRAY:
		if (json_enter_array(r))
			while (json_next_element(r))
				read_any(r);
		return;
	case JSON_OBJECT:
		if (json_enter_object(r))
			while (json_next_key(r, &key))
				read_any(r);
		return;
	case JSON_END:
	case JSON_BAD:
		json_fail(r, "expected a value");
		return;
	}
}

/* Both ways over a text are to find the same: read and skip. */
static enum err read_and_skip(struct str text, struct fault *ret_fault)
{
	CLEANUP(doc_release) struct doc d;
	doc_open(&d, text);
	read_any(&d.r);
	enum err err = json_end(&d.r, &d.fault);
	d.r = json_reader_of((struct str){ .data = d.text, .len = text.len }, NULL);
	struct fault skipped = { 0 };
	json_skip(&d.r);
	ck_assert_int_eq(json_end(&d.r, &skipped), err);
	ck_assert_str_eq(skipped.text, d.fault.text);
	*ret_fault = d.fault;
	return err;
}

static const struct {
	const char *text;
	const char *words;
} refused[] = {
	{ "", "expected a value at line 1 column 1" },
	{ " \n ", "expected a value at line 2 column 2" },
	{ "nul", "expected null at line 1 column 1" },
	{ "truE", "expected true or false at line 1 column 1" },
	{ "fals", "expected true or false at line 1 column 1" },
	{ "nullx", "trailing characters at line 1 column 5" },
	{ "1 2", "trailing characters at line 1 column 3" },
	{ "[] ]", "trailing characters at line 1 column 4" },
	{ "{}{}", "trailing characters at line 1 column 3" },
	{ "'a'", "expected a value at line 1 column 1" },
	{ "\xEF\xBB\xBF{}", "expected a value at line 1 column 1" },
	{ "// x\n1", "expected a value at line 1 column 1" },
	{ "NaN", "expected a value at line 1 column 1" },
	{ "Infinity", "expected a value at line 1 column 1" },
	{ "-", "expected a number at line 1 column 1" },
	{ "-Infinity", "expected a number at line 1 column 1" },
	{ "+1", "expected a value at line 1 column 1" },
	{ "01", "trailing characters at line 1 column 2" },
	{ "1.", "expected a number at line 1 column 1" },
	{ "1e", "expected a number at line 1 column 1" },
	{ ".5", "expected a value at line 1 column 1" },
	{ "0x1", "trailing characters at line 1 column 2" },
	{ "[1,]", "expected a value at line 1 column 4" },
	{ "[,1]", "expected a value at line 1 column 2" },
	{ "[1,,2]", "expected a value at line 1 column 4" },
	{ "[1 2]", "expected `,` or `]` at line 1 column 4" },
	{ "[1}", "expected `,` or `]` at line 1 column 3" },
	{ "[", "expected a value at line 1 column 2" },
	{ "[1", "expected `,` or `]` at line 1 column 3" },
	{ "{", "expected a key in quotes at line 1 column 2" },
	{ "{\"a\":1", "expected `,` or `}` at line 1 column 7" },
	{ "{\"a\":1,}", "expected a key in quotes at line 1 column 8" },
	{ "{,}", "expected a key in quotes at line 1 column 2" },
	{ "{a:1}", "expected a key in quotes at line 1 column 2" },
	{ "{1:1}", "expected a key in quotes at line 1 column 2" },
	{ "{\"a\"}", "expected `:` at line 1 column 5" },
	{ "{\"a\" 1}", "expected `:` at line 1 column 6" },
	{ "{\"a\":}", "expected a value at line 1 column 6" },
	{ "{\"a\":1]", "expected `,` or `}` at line 1 column 7" },
	{ "{\"a\":1 \"b\":2}", "expected `,` or `}` at line 1 column 8" },
	{ "\"abc", "expected the end of a string at line 1 column 5" },
	{ "\"abcdefghijklmnop", "expected the end of a string at line 1 column 18" },
	{ "\"a\nb\"", "control character in a string at line 1 column 3" },
	{ "\"a\tb\"", "control character in a string at line 1 column 3" },
	{ "\"\x1F\"", "control character in a string at line 1 column 2" },
	{ "\"\\x\"", "invalid escape at line 1 column 2" },
	{ "\"\\u12\"", "invalid escape at line 1 column 2" },
	{ "\"\\u12G4\"", "invalid escape at line 1 column 2" },
	{ "\"\\", "invalid escape at line 1 column 2" },
	{ "\"\\u", "invalid escape at line 1 column 2" },
	{ "\"\\uD83D\"", "invalid escape at line 1 column 2" },
	{ "\"\\uD83D\\n\"", "invalid escape at line 1 column 2" },
	{ "\"\\uD83D\\u0041\"", "invalid escape at line 1 column 2" },
	{ "\"\\uDE00\"", "invalid escape at line 1 column 2" },
	{ "\"\xFF\"", "invalid UTF-8 in a string at line 1 column 2" },
	{ "\"abcdefghijk\xC3\"", "invalid UTF-8 in a string at line 1 column 13" },
	{ "\"\xED\xA0\x80\"", "invalid UTF-8 in a string at line 1 column 2" },
	{ "{\"\xFF\":1}", "invalid UTF-8 in a string at line 1 column 3" },
	{ "[1,\n 2,\n  x]", "expected a value at line 3 column 3" },
};

START_TEST(malformed_text_is_refused_with_its_place)
{
	struct fault fault;
	ck_assert_int_eq(read_and_skip(str_of(refused[_i].text), &fault), ERR_BAD_REQUEST);
	ck_assert_str_eq(fault.text, refused[_i].words);
}
END_TEST

START_TEST(zero_byte_is_no_white_space)
{
	struct fault fault;
	ck_assert_int_eq(read_and_skip(STR("1\0"), &fault), ERR_BAD_REQUEST);
	ck_assert_int_eq(read_and_skip(STR("\0"), &fault), ERR_BAD_REQUEST);
	ck_assert_int_eq(read_and_skip(STR("[\0]"), &fault), ERR_BAD_REQUEST);
	ck_assert_int_eq(read_and_skip(STR("\"\0\""), &fault), ERR_BAD_REQUEST);
	ck_assert_int_eq(read_and_skip(STR("\"\\\0\""), &fault), ERR_BAD_REQUEST);
}
END_TEST

static const char *const accepted[] = {
	"null",
	" true\r\n",
	"false",
	"0",
	"-0",
	"-0.0",
	"1e5",
	"1E+5",
	"123456789012345678901234567890",
	"\"\"",
	"[]",
	"[ ]",
	"{}",
	"{ }",
	"[[],{}]",
	"[1,2]",
	"\t[ 1 , 2 ]\n",
	"{\"\":{}}",
	"{\"a\":1,\"a\":2}",
	"{ \"a\" : [ { \"b\" : null } ] , \"c\" : \"d\" }",
	"\"\\u0000\"",
	"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
	"\"\\uD83D\\uDE00\"",
	"\"\x7F\"",
	"\"\xF0\x9F\x98\x80 and much more text after it\"",
};

START_TEST(well_formed_text_is_accepted)
{
	struct fault fault;
	enum err err = read_and_skip(str_of(accepted[_i]), &fault);
	ck_assert_msg(!err, "%s: %s", accepted[_i], fault.text);
}
END_TEST

static const char sample[] =
	"{\"ids\":[1,-2.5e3,true,null],\"name\":\"\\u00e9t\\ud83d\\ude00\xC3\xA9\","
	"\"nested\":{\"deep\":[[[{}]]],\"empty\":\"\"}}";

START_TEST(text_cut_anywhere_is_refused)
{
	struct fault fault;
	for (size_t len = 0; len < sizeof(sample) - 1; len++) {
		enum err err = read_and_skip((struct str){ .data = sample, .len = len }, &fault);
		ck_assert_msg(err == ERR_BAD_REQUEST, "%zu bytes", len);
	}
	ck_assert_int_eq(read_and_skip(str_of(sample), &fault), ERR_NONE);
}
END_TEST

START_TEST(text_with_random_damage_never_breaks_the_reader)
{
	uint32_t random = 12345;
	for (unsigned round = 0; round < 20000; round++) {
		char text[sizeof(sample) - 1];
		struct fault fault;
		memcpy(text, sample, sizeof(text));
		for (unsigned flips = 0; flips < 1 + round % 4; flips++) {
			random = random * 1664525 + 1013904223;
			text[(random >> 8) % sizeof(text)] ^= (char)(1 << (random >> 29));
		}
		(void)read_and_skip((struct str){ .data = text, .len = sizeof(text) }, &fault);
	}
}
END_TEST

static void check_nesting(unsigned depth, char open, enum err wanted)
{
	char text[1000];
	size_t n = 0;
	for (unsigned i = 0; i < depth; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s",
				      open == '[' ? "[" : "{\"a\":");
	text[n++] = '1';
	for (unsigned i = 0; i < depth; i++)
		text[n++] = open == '[' ? ']' : '}';
	struct fault fault;
	ck_assert_int_eq(read_and_skip((struct str){ .data = text, .len = n }, &fault), wanted);
	if (wanted)
		ck_assert(strstr(fault.text, "nested too deeply"));
}

START_TEST(depth_is_bounded)
{
	check_nesting(JSON_DEPTH_MAX, '[', ERR_NONE);
	check_nesting(JSON_DEPTH_MAX, '{', ERR_NONE);
	check_nesting(JSON_DEPTH_MAX + 1, '[', ERR_BAD_REQUEST);
	check_nesting(JSON_DEPTH_MAX + 1, '{', ERR_BAD_REQUEST);
}
END_TEST

START_TEST(first_error_stays)
{
	CLEANUP(doc_release) struct doc d;
	struct str key;
	doc_open(&d, STR("{\"limit\": -3, \"b\": 1}"));
	ck_assert(json_enter_object(&d.r));
	ck_assert(json_next_key(&d.r, &key));
	ck_assert_uint_eq(json_u64(&d.r), 0);
	ck_assert(json_failed(&d.r));
	ck_assert(!json_next_key(&d.r, &key));
	ck_assert(!json_enter_object(&d.r));
	ck_assert(!json_next_element(&d.r));
	ck_assert_int_eq(json_peek(&d.r), JSON_BAD);
	ck_assert_ptr_null(json_string(&d.r).data);
	ck_assert_ptr_null(json_raw(&d.r).data);
	json_fail(&d.r, "something else");
	ck_assert_int_eq(json_end(&d.r, &d.fault), ERR_BAD_REQUEST);
	ck_assert_str_eq(
		d.fault.text,
		"expected a whole number from 0 to 18446744073709551615 at line 1 column 11");
	ck_assert_int_eq(json_end(&d.r, NULL), ERR_BAD_REQUEST);
}
END_TEST

static void read_bool(struct json_reader *r)
{
	ck_assert(!json_bool(r));
}

static void read_u64(struct json_reader *r)
{
	ck_assert_uint_eq(json_u64(r), 0);
}

static void read_i64(struct json_reader *r)
{
	ck_assert_int_eq(json_i64(r), 0);
}

static void read_f64(struct json_reader *r)
{
	ck_assert_double_eq(json_f64(r), 0);
}

static void read_number(struct json_reader *r)
{
	ck_assert_double_eq(json_number(r).d, 0);
}

static void read_string(struct json_reader *r)
{
	ck_assert_ptr_null(json_string(r).data);
}

static void read_object(struct json_reader *r)
{
	ck_assert(!json_enter_object(r));
}

static void read_array(struct json_reader *r)
{
	ck_assert(!json_enter_array(r));
}

static const struct {
	const char *text;
	void (*read)(struct json_reader *r);
	const char *words;
} other_kinds[] = {
	{ " 1", read_bool, "expected true or false at line 1 column 2" },
	{ "\"1\"", read_u64, "expected a number at line 1 column 1" },
	{ "-1", read_u64,
	  "expected a whole number from 0 to 18446744073709551615 at line 1 column 1" },
	{ "-0", read_u64,
	  "expected a whole number from 0 to 18446744073709551615 at line 1 column 1" },
	{ "1e3", read_u64,
	  "expected a whole number from 0 to 18446744073709551615 at line 1 column 1" },
	{ " 1.5", read_i64,
	  "expected a whole number from -9223372036854775808 to 9223372036854775807 at line 1 column 2" },
	{ "9223372036854775808", read_i64,
	  "expected a whole number from -9223372036854775808 to 9223372036854775807 at line 1 column 1" },
	{ "null", read_f64, "expected a number at line 1 column 1" },
	{ "1e400", read_f64, "number out of range at line 1 column 1" },
	{ "-1e400", read_number, "number out of range at line 1 column 1" },
	{ "1", read_string, "expected a string at line 1 column 1" },
	{ "1", json_null, "expected null at line 1 column 1" },
	{ "[]", read_object, "expected an object at line 1 column 1" },
	{ "{}", read_array, "expected an array at line 1 column 1" },
};

START_TEST(value_of_another_kind_is_refused)
{
	CLEANUP(doc_release) struct doc d;
	doc_open(&d, str_of(other_kinds[_i].text));
	other_kinds[_i].read(&d.r);
	ck_assert_int_eq(json_end(&d.r, &d.fault), ERR_BAD_REQUEST);
	ck_assert_str_eq(d.fault.text, other_kinds[_i].words);
}
END_TEST

START_TEST(array_that_was_not_left_is_an_error)
{
	CLEANUP(doc_release) struct doc d;
	doc_open(&d, STR("[1]"));
	ck_assert(json_enter_array(&d.r));
	ck_assert(json_next_element(&d.r));
	ck_assert_uint_eq(json_u64(&d.r), 1);
	ck_assert_int_eq(json_end(&d.r, &d.fault), ERR_BAD_REQUEST);
}
END_TEST

START_TEST(strings_beyond_the_arena_are_too_large)
{
	char text[200] = "\"\\n";
	memset(text + 3, 'a', 196);
	text[199] = '"';
	struct arena a;
	arena_init(&a, 100);
	struct json_reader r = json_reader_of((struct str){ .data = text, .len = 200 }, &a);
	ck_assert_ptr_null(json_string(&r).data);
	struct fault fault;
	ck_assert_int_eq(json_end(&r, &fault), ERR_TOO_LARGE);
	arena_release(&a);

	/* A hundred numbers. */
	arena_init(&a, 100);
	uint32_t count;
	text[0] = '[';
	for (size_t i = 1; i < 199; i++)
		text[i] = i % 2 ? '1' : ',';
	text[198] = '1';
	text[199] = ']';
	r = json_reader_of((struct str){ .data = text, .len = 200 }, &a);
	ck_assert_ptr_null(json_floats(&r, &count));
	ck_assert_int_eq(json_end(&r, &fault), ERR_TOO_LARGE);
	arena_release(&a);
}
END_TEST

START_TEST(object_is_read_key_by_key)
{
	CLEANUP(doc_release) struct doc d;
	struct str key;
	doc_open(
		&d,
		STR(" { \"u\" : 18446744073709551615 , \"i\":-9223372036854775808,\"d\":2.5,"
		    "\"t\":true,\"f\":false,\"n\":null,\"s\\u0031\":\"x\\ty\",\"skip\":[{\"a\":[1]}],"
		    "\"raw\": [1, {\"b\" : 2}] ,\"list\":[ 1 , 2 ]} "));
	ck_assert_int_eq(json_peek(&d.r), JSON_OBJECT);
	ck_assert(json_enter_object(&d.r));
	ck_assert(json_next_key(&d.r, &key) && str_is(key, "u"));
	ck_assert_uint_eq(json_u64(&d.r), UINT64_MAX);
	ck_assert(json_next_key(&d.r, &key) && str_is(key, "i"));
	ck_assert_int_eq(json_i64(&d.r), INT64_MIN);
	ck_assert(json_next_key(&d.r, &key) && str_is(key, "d"));
	ck_assert_double_eq(json_f64(&d.r), 2.5);
	ck_assert(json_next_key(&d.r, &key) && json_bool(&d.r));
	ck_assert(json_next_key(&d.r, &key) && !json_bool(&d.r));
	ck_assert(json_next_key(&d.r, &key) && json_peek(&d.r) == JSON_NULL);
	json_null(&d.r);
	ck_assert(json_next_key(&d.r, &key) && str_is(key, "s1"));
	ck_assert(str_is(json_string(&d.r), "x\ty"));
	ck_assert(json_next_key(&d.r, &key) && str_is(key, "skip"));
	json_skip(&d.r);
	ck_assert(json_next_key(&d.r, &key) && str_is(key, "raw"));
	ck_assert(str_is(json_raw(&d.r), "[1, {\"b\" : 2}]"));
	ck_assert(json_next_key(&d.r, &key) && str_is(key, "list"));
	ck_assert(json_enter_array(&d.r));
	ck_assert(json_next_element(&d.r));
	ck_assert_uint_eq(json_u64(&d.r), 1);
	ck_assert(json_next_element(&d.r));
	ck_assert_uint_eq(json_u64(&d.r), 2);
	ck_assert(!json_next_element(&d.r));
	ck_assert(!json_next_key(&d.r, &key));
	ck_assert_int_eq(json_peek(&d.r), JSON_END);
	ck_assert_int_eq(json_end(&d.r, &d.fault), ERR_NONE);
}
END_TEST

static const struct {
	const char *text;
	const char *wanted;
	size_t len;
} strings[] = {
	{ "\"plain text, rather long\"", "plain text, rather long", 23 },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8 },
	{ "\"\\u0000\"", "", 1 },
	{ "\"\\u0041\\u007f\\u0080\\u07ff\\u0800\\uFFFF\"",
	  "A\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF", 12 },
	{ "\"\\uD800\\uDC00\\uDBFF\\uDFFF\"", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", 8 },
	{ "\"a\xC3\xA9\\n\xE2\x82\xAC\"", "a\xC3\xA9\n\xE2\x82\xAC", 7 },
};

START_TEST(escapes_become_characters)
{
	CLEANUP(doc_release) struct doc d;
	doc_open(&d, str_of(strings[_i].text));
	struct str s = json_string(&d.r);
	ck_assert_int_eq(json_end(&d.r, &d.fault), ERR_NONE);
	ck_assert_uint_eq(s.len, strings[_i].len);
	ck_assert_mem_eq(s.data, strings[_i].wanted, s.len);
}
END_TEST

START_TEST(string_without_escapes_is_a_view_of_the_text)
{
	CLEANUP(doc_release) struct doc d;
	doc_open(&d, STR("\"abc\""));
	ck_assert_ptr_eq(json_string(&d.r).data, d.text + 1);
	ck_assert_uint_eq(d.arena.used, 0);
}
END_TEST

START_TEST(number_keeps_its_kind)
{
	static const struct {
		const char *text;
		int kind;
		int64_t i;
		uint64_t u;
		double d;
	} cases[] = {
		{ "0", JSON_INT, 0, 0, 0 },
		{ "-7", JSON_INT, -7, 0, -7 },
		{ "9223372036854775807", JSON_INT, INT64_MAX, 0, 0x1p63 },
		{ "-9223372036854775808", JSON_INT, INT64_MIN, 0, -0x1p63 },
		{ "9223372036854775808", JSON_UINT, 0, 9223372036854775808U, 0x1p63 },
		{ "18446744073709551615", JSON_UINT, 0, UINT64_MAX, 0x1p64 },
		{ "18446744073709551616", JSON_DOUBLE, 0, 0, 0x1p64 },
		{ "-9223372036854775809", JSON_DOUBLE, 0, 0, -0x1p63 },
		{ "1.0", JSON_DOUBLE, 0, 0, 1 },
		{ "1e2", JSON_DOUBLE, 0, 0, 100 },
		{ "-0", JSON_DOUBLE, 0, 0, -0.0 },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		CLEANUP(doc_release) struct doc d;
		doc_open(&d, str_of(cases[i].text));
		struct json_number n = json_number(&d.r);
		ck_assert_int_eq(json_end(&d.r, &d.fault), ERR_NONE);
		ck_assert_msg((int)n.kind == cases[i].kind, "%s", cases[i].text);
		ck_assert_double_eq(n.d, cases[i].d);
		ck_assert_int_eq(signbit(n.d) != 0, signbit(cases[i].d) != 0);
		ck_assert(n.kind != JSON_INT || n.i == cases[i].i);
		ck_assert(n.kind != JSON_UINT || n.u == cases[i].u);
	}
}
END_TEST

static const struct {
	const char *text;
	const char *words;
} bad_floats[] = {
	{ "[1,2", "expected `,` or `]` at line 1 column 5" },
	{ "[1,2,]", "expected a value at line 1 column 6" },
	{ "[1,\"2\"]", "expected a number at line 1 column 4" },
	{ "[1,null]", "expected a number at line 1 column 4" },
	{ "[1,[2]]", "expected a number at line 1 column 4" },
	{ "[NaN]", "expected a number at line 1 column 2" },
	{ "[1e39]", "number out of range at line 1 column 2" },
	{ "[0.5,-3.5e38,1]", "number out of range at line 1 column 6" },
	{ "[01]", "expected `,` or `]` at line 1 column 3" },
	{ "[1.]", "expected a number at line 1 column 2" },
	{ "[1 2]", "expected `,` or `]` at line 1 column 4" },
	{ "[1.5.5]", "expected `,` or `]` at line 1 column 5" },
	{ "[1]]", "trailing characters at line 1 column 4" },
	{ "{\"0\":1}", "expected an array of numbers at line 1 column 1" },
};

START_TEST(bad_vector_is_refused_with_its_place)
{
	CLEANUP(doc_release) struct doc d;
	uint32_t count;
	doc_open(&d, str_of(bad_floats[_i].text));
	(void)json_floats(&d.r, &count);
	ck_assert_int_eq(json_end(&d.r, &d.fault), ERR_BAD_REQUEST);
	ck_assert_str_eq(d.fault.text, bad_floats[_i].words);
}
END_TEST

static const char *const bad_elements[] = {
	"",
	" ",
	"\"2\"",
	"null",
	"[2]",
	"NaN",
	"1e39",
	"-3.5e38",
	"01",
	"-01",
	"1.",
	".5",
	"-",
	"1 2",
	"1.5.5",
	"1e",
	"+1",
	"0x1",
	"1f",
	"--1",
	"1-",
	"0.5]",
	"0.5}",
	"0.1234567.",
	"0.12345678e",
	"0.123456789012345678901234x",
};

/* Good numbers around it take the fast path. */
START_TEST(bad_element_is_refused_amid_good_ones)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(10000);
	uint32_t count;
	buf_append_byte(&b, '[');
	for (unsigned i = 0; i < 100; i++)
		buf_append_cstr(&b, "0.5,");
	buf_append_cstr(&b, bad_elements[_i]);
	for (unsigned i = 0; i < 100; i++)
		buf_append_cstr(&b, ",0.5");
	buf_append_byte(&b, ']');
	CLEANUP(doc_release) struct doc d;
	doc_open(&d, buf_str(&b));
	(void)json_floats(&d.r, &count);
	ck_assert_int_eq(json_end(&d.r, &d.fault), ERR_BAD_REQUEST);
	ck_assert_uint_ge(d.r.error_at, 401);
	ck_assert_uint_le(d.r.error_at, 401 + strlen(bad_elements[_i]));
}
END_TEST

/* Around the sizes at which memory grows, in the styles of several clients. */
START_TEST(vectors_of_any_length_are_read_in_order)
{
	static const uint32_t counts[] = { 0,    1,    2,    3,    4,    5,    100,
					   2047, 2048, 2049, 4095, 4096, 4097, 10000 };
	static const char *const separators[] = { ",", ", ", " , ", ",\n    " };
	for (size_t i = 0; i < LEN(counts) * LEN(separators); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(1 << 20);
		uint32_t wanted = counts[i / LEN(separators)], count = 77;
		buf_append_byte(&b, '[');
		for (uint32_t k = 0; k < wanted; k++)
			buf_printf(&b, "%s%s%u.25", k ? separators[i % LEN(separators)] : "",
				   k % 3 ? "" : "-", k);
		buf_append_byte(&b, ']');
		CLEANUP(doc_release) struct doc d;
		doc_open(&d, buf_str(&b));
		float *v = json_floats(&d.r, &count);
		ck_assert_int_eq(json_end(&d.r, &d.fault), ERR_NONE);
		ck_assert_ptr_nonnull(v);
		ck_assert_uint_eq(count, wanted);
		for (uint32_t k = 0; k < wanted; k++) {
			float right = ((float)k + 0.25F) * (k % 3 ? 1 : -1);
			if (v[k] < right || v[k] > right)
				ck_abort_msg("%u of %u: %g", k, wanted, (double)v[k]);
		}
	}
}
END_TEST

START_TEST(vector_inside_a_request_is_read_to_the_bit)
{
	CLEANUP(doc_release) struct doc d;
	struct str key;
	uint32_t count;
	doc_open(
		&d,
		STR("{\"vector\": [0.1, -0.0, 1e-3, 16777217, 3.4028235e38, 1E2, -7, 1e-60, 0.33333334],"
		    "\"limit\":5}"));
	static const float wanted[] = { 0.1F, -0.0F, 1e-3F, 16777216,   3.4028235e38F,
					100,  -7,    0,     0.33333334F };
	ck_assert(json_enter_object(&d.r));
	ck_assert(json_next_key(&d.r, &key));
	float *v = json_floats(&d.r, &count);
	ck_assert_uint_eq(count, LEN(wanted));
	ck_assert_mem_eq(v, wanted, sizeof(wanted));
	ck_assert(json_next_key(&d.r, &key) && json_u64(&d.r) == 5);
	ck_assert(!json_next_key(&d.r, &key));
	ck_assert_int_eq(json_end(&d.r, &d.fault), ERR_NONE);
}
END_TEST

START_TEST(writer_puts_commas_and_colons)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct json_writer w = json_writer_to(&b);
	json_put_object(&w);
	json_put_key(&w, STR("a\"b"));
	json_put_array(&w);
	json_put_array(&w);
	json_put_array_end(&w);
	json_put_u64(&w, UINT64_MAX);
	json_put_i64(&w, INT64_MIN);
	json_put_f64(&w, 1);
	json_put_f32(&w, 0.1F);
	json_put_array_end(&w);
	json_put_key(&w, STR(""));
	json_put_object(&w);
	json_put_object_end(&w);
	json_put_key(&w, STR("c"));
	json_put_bool(&w, true);
	json_put_key(&w, STR("d"));
	json_put_null(&w);
	json_put_key(&w, STR("e"));
	json_put_raw(&w, STR("[1, 2]"));
	json_put_key(&w, STR("f"));
	json_put_floats(&w, (const float[]){ 0.5F, -2, NAN, INFINITY }, 4);
	json_put_key(&w, STR("g"));
	json_put_f64(&w, -(double)INFINITY);
	json_put_object_end(&w);
	buf_append_byte(&b, 0);
	ck_assert_int_eq(buf_err(&b), ERR_NONE);
	ck_assert_str_eq(
		(const char *)b.data,
		"{\"a\\\"b\":[[],18446744073709551615,-9223372036854775808,1.0,0.1],\"\":{},"
		"\"c\":true,\"d\":null,\"e\":[1, 2],\"f\":[0.5,-2.0,null,null],\"g\":null}");
}
END_TEST

START_TEST(every_character_survives_writing_and_reading)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(10000);
	char all[128 + 6];
	for (size_t i = 0; i < 128; i++)
		all[i] = (char)i;
	memcpy(all + 128, "\xC3\xA9\xF0\x9F\x98\x80", 6);
	struct json_writer w = json_writer_to(&b);
	json_put_array(&w);
	json_put_string(&w, (struct str){ .data = all, .len = sizeof(all) });
	json_put_cstr(&w, "\x01\n");
	json_put_string(&w, (struct str){ 0 });
	json_put_array_end(&w);
	CLEANUP(doc_release) struct doc d;
	doc_open(&d, buf_str(&b));
	ck_assert(json_enter_array(&d.r) && json_next_element(&d.r));
	struct str s = json_string(&d.r);
	ck_assert_uint_eq(s.len, sizeof(all));
	ck_assert_mem_eq(s.data, all, sizeof(all));
	ck_assert(json_next_element(&d.r));
	ck_assert(str_is(json_raw(&d.r), "\"\\u0001\\n\""));
	ck_assert(json_next_element(&d.r));
	ck_assert(str_is(json_raw(&d.r), "\"\""));
	ck_assert(!json_next_element(&d.r));
	ck_assert_int_eq(json_end(&d.r, &d.fault), ERR_NONE);
}
END_TEST

START_TEST(writer_nests_deeper_than_the_reader)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(10000);
	struct json_writer w = json_writer_to(&b);
	for (unsigned i = 0; i < 200; i++) {
		json_put_array(&w);
		json_put_null(&w);
	}
	for (unsigned i = 0; i < 200; i++)
		json_put_array_end(&w);
	ck_assert_uint_eq(b.len, 200 * 6 + 199);
}
END_TEST

START_TEST(writer_stops_at_the_maximum_of_its_buf)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(10);
	struct json_writer w = json_writer_to(&b);
	json_put_array(&w);
	for (unsigned i = 0; i < 100; i++)
		json_put_cstr(&w, "abc");
	ck_assert_int_eq(buf_err(&b), ERR_TOO_LARGE);
	ck_assert_uint_le(b.len, 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("json");
	TCase *t = tcase_create("json");
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, malformed_text_is_refused_with_its_place, 0, LEN(refused));
	tcase_add_test(t, zero_byte_is_no_white_space);
	tcase_add_test(t, text_cut_anywhere_is_refused);
	tcase_add_test(t, text_with_random_damage_never_breaks_the_reader);
	tcase_add_test(t, depth_is_bounded);
	tcase_add_test(t, first_error_stays);
	tcase_add_loop_test(t, value_of_another_kind_is_refused, 0, LEN(other_kinds));
	tcase_add_test(t, array_that_was_not_left_is_an_error);
	tcase_add_test(t, strings_beyond_the_arena_are_too_large);
	tcase_add_loop_test(t, bad_vector_is_refused_with_its_place, 0, LEN(bad_floats));
	tcase_add_loop_test(t, bad_element_is_refused_amid_good_ones, 0, LEN(bad_elements));
	tcase_add_loop_test(t, well_formed_text_is_accepted, 0, LEN(accepted));
	tcase_add_test(t, object_is_read_key_by_key);
	tcase_add_loop_test(t, escapes_become_characters, 0, LEN(strings));
	tcase_add_test(t, string_without_escapes_is_a_view_of_the_text);
	tcase_add_test(t, number_keeps_its_kind);
	tcase_add_test(t, vectors_of_any_length_are_read_in_order);
	tcase_add_test(t, vector_inside_a_request_is_read_to_the_bit);
	tcase_add_test(t, writer_puts_commas_and_colons);
	tcase_add_test(t, every_character_survives_writing_and_reading);
	tcase_add_test(t, writer_nests_deeper_than_the_reader);
	tcase_add_test(t, writer_stops_at_the_maximum_of_its_buf);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
