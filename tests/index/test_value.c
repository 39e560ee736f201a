/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload values: one value has one encoding, nothing else passes the check, and JSON goes through unchanged.
 */
#include "index/value.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MAX ((size_t)4 << 20)
#define VALUE_MAX ((size_t)4 << 20)

static uint64_t random_state;

/* splitmix64 */
static uint64_t next_random(void)
{
	uint64_t z = random_state += 0x9E3779B97F4A7C15U;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
	z = (z ^ z >> 27) * 0x94D049BB133111EBU;
	return z ^ z >> 31;
}

static struct str str_of(const char *s)
{
	return (struct str){ .data = s, .len = strlen(s) };
}

static bool str_is(struct str s, const char *wanted)
{
	return s.len == strlen(wanted) && (s.len == 0 || memcmp(s.data, wanted, s.len) == 0);
}

/* Appends the value of a JSON text to out. */
static enum err encode(struct str json, struct buf *out)
{
	CLEANUP(arena_release) struct arena a;
	arena_init(&a, ARENA_MAX);
	struct json_reader r = json_reader_of(json, &a);
	enum err err = value_from_json(&r, &a, out);
	return err ? err : json_end(&r, NULL);
}

static struct value value_of(struct buf *out, const char *json)
{
	buf_reset(out);
	ck_assert_msg(encode(str_of(json), out) == ERR_NONE, "%s", json);
	struct value v = value_of_buf(out);
	ck_assert_ptr_nonnull(v.data);
	return v;
}

/* The check sees a copy of the exact size. */
static enum err check_copy(const void *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	ck_assert_ptr_nonnull(copy);
	if (len > 0)
		memcpy(copy, data, len);
	struct value v = { 0 };
	enum err err = value_check((struct bytes){ .data = copy, .len = len }, &v);
	if (!err && (v.data != copy || v.len != len))
		ck_abort_msg("checked value is another one");
	free(copy);
	return err;
}

static const char *json_of(struct buf *out, struct value v)
{
	buf_reset(out);
	struct json_writer w = json_writer_to(out);
	value_to_json(v, &w);
	buf_append_byte(out, 0);
	ck_assert_int_eq(buf_err(out), ERR_NONE);
	return (const char *)out->data;
}

#define S(literal)                                                                                 \
	{                                                                                          \
		("" literal), sizeof(literal) - 1                                                  \
	}

static const struct str not_canonical[] = {
	S(""),
	S("\x09"), /* no such tag */
	S("\xFF"),
	S("\x00\x00"),     /* more than one value */
	S("\x03"),         /* no number */
	S("\x03\x80\x00"), /* longer than needed */
	S("\x03\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"),
	S("\x08\x01"), /* would be an int */
	S("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"),
	S("\x04\x00\x00\x00\x00\x00\x00\xF0"),     /* seven bytes */
	S("\x04\x00\x00\x00\x00\x00\x00\xF0\x7F"), /* infinity */
	S("\x04\x01\x00\x00\x00\x00\x00\xF0\x7F"), /* not a number */
	S("\x05\x02"
	  "a"),
	S("\x05\x81\x00"
	  "a"),
	S("\x05\x01\xFF"), /* not UTF-8 */
	S("\x06\x01\x00\x00"),
	S("\x06\x00\x00\x00\x00"),             /* no count */
	S("\x06\x01\x00\x00\x00\x01"),         /* no item */
	S("\x06\x02\x00\x00\x00\x00\x00"),     /* more than the count says */
	S("\x06\x02\x00\x00\x00\x01\x00\x00"), /* more than the length says */
	S("\x06\x03\x00\x00\x00\x01\x00"),     /* less than the length says */
	S("\x06\x03\x00\x00\x00\x81\x00\x00"),
	S("\x06\xFF\xFF\xFF\xFF\x01\x00"),
	S("\x06\x0B\x00\x00\x00\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x00"),
	S("\x07\x02\x00\x00\x00\x01\x00"),         /* key without value */
	S("\x07\x04\x00\x00\x00\x01\x01\xFF\x00"), /* key not UTF-8 */
	S("\x07\x07\x00\x00\x00\x02\x01"
	  "b\x00\x01"
	  "a\x00"), /* not sorted */
	S("\x07\x07\x00\x00\x00\x02\x01"
	  "a\x00\x01"
	  "a\x00"), /* twice */
	S("\x07\x08\x00\x00\x00\x02\x02"
	  "ab\x00\x01"
	  "a\x00"),
};

START_TEST(bytes_that_are_no_canonical_value_are_refused)
{
	struct str s = not_canonical[_i];
	ck_assert_int_eq(check_copy(s.data, s.len), ERR_CORRUPT);
	/* The same as an item of a list that is well-formed around it. */
	uint8_t list[64] = { 6, (uint8_t)(s.len + 1), 0, 0, 0, 1 };
	memcpy(list + 6, s.data, s.len);
	ck_assert_int_eq(check_copy(list, s.len + 6), ERR_CORRUPT);
}
END_TEST

static const struct {
	const char *json;
	struct str bytes;
} encodings[] = {
	{ "null", S("\x00") },
	{ "false", S("\x01") },
	{ "true", S("\x02") },
	{ "0", S("\x03\x00") },
	{ "-1", S("\x03\x01") },
	{ "1", S("\x03\x02") },
	{ "-64", S("\x03\x7F") },
	{ "64", S("\x03\x80\x01") },
	{ "9223372036854775807", S("\x03\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01") },
	{ "-9223372036854775808", S("\x03\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01") },
	{ "9223372036854775808", S("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01") },
	{ "18446744073709551615", S("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01") },
	{ "1.0", S("\x04\x00\x00\x00\x00\x00\x00\xF0\x3F") },
	{ "-0.0", S("\x04\x00\x00\x00\x00\x00\x00\x00\x80") },
	{ "\"\"", S("\x05\x00") },
	{ "\"h\xC3\xA9\"", S("\x05\x03h\xC3\xA9") },
	{ "[]", S("\x06\x01\x00\x00\x00\x00") },
	{ "[1,[]]", S("\x06\x09\x00\x00\x00\x02\x03\x02\x06\x01\x00\x00\x00\x00") },
	{ "{}", S("\x07\x01\x00\x00\x00\x00") },
	{ "{\"a\":1,\"b\":true}", S("\x07\x08\x00\x00\x00\x02\x01"
				    "a\x03\x02\x01"
				    "b\x02") },
	{ "{\"b\":true,\"a\":1}", S("\x07\x08\x00\x00\x00\x02\x01"
				    "a\x03\x02\x01"
				    "b\x02") },
	{ "{\"b\":0,\"a\":9,\"b\":true,\"a\":1}", S("\x07\x08\x00\x00\x00\x02\x01"
						    "a\x03\x02\x01"
						    "b\x02") },
	{ "{\"a\":0,\"a\":{\"c\":1},\"a\":null}", S("\x07\x04\x00\x00\x00\x01\x01"
						    "a\x00") },
	{ "{\"ab\":null,\"b\":null,\"a\":null,\"\":null}", S("\x07\x0D\x00\x00\x00\x04\x00\x00\x01"
							     "a\x00\x02"
							     "ab\x00\x01"
							     "b\x00") },
	{ "{\"\\u00e9\":null,\"z\":null}", S("\x07\x08\x00\x00\x00\x02\x01z\x00\x02\xC3\xA9\x00") },
	{ "{\"z\":{\"y\":1,\"x\":2}}",
	  S("\x07\x11\x00\x00\x00\x01\x01z\x07\x09\x00\x00\x00\x02\x01x\x03\x04\x01y\x03\x02") },
};

START_TEST(json_becomes_exactly_these_bytes)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	ck_assert_int_eq(encode(str_of(encodings[_i].json), &b), ERR_NONE);
	ck_assert_msg(b.len == encodings[_i].bytes.len &&
			      memcmp(b.data, encodings[_i].bytes.data, b.len) == 0,
		      "%s", encodings[_i].json);
	ck_assert_int_eq(check_copy(b.data, b.len), ERR_NONE);
	for (size_t len = 0; len < b.len; len++)
		ck_assert_msg(check_copy(b.data, len) == ERR_CORRUPT, "%s: %zu bytes",
			      encodings[_i].json, len);
}
END_TEST

START_TEST(bad_json_leaves_nothing_behind)
{
	static const char *const cases[] = {
		"",         "[1,2", "{\"b\":1,\"a\":2",      "{\"b\":1,\"a\":}",
		"[1e999]",  "nul",  "{\"a\":{\"b\":[tru]}}", "[\"\\x\"]",
		"{\"a\" 1}"
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
		buf_append_cstr(&b, "before");
		ck_assert_msg(encode(str_of(cases[i]), &b) == ERR_BAD_REQUEST, "%s", cases[i]);
		ck_assert_uint_eq(b.len, 6);
		ck_assert_int_eq(buf_err(&b), ERR_NONE);
	}
}
END_TEST

START_TEST(value_beyond_the_maximum_of_its_buf_is_too_large)
{
	static const char json[] = "{\"b\":[1,2,3],\"a\":{\"d\":\"text\",\"c\":2.5},\"a0\":null}";
	CLEANUP(buf_release) struct buf exact = BUF_INIT(1000);
	ck_assert_int_eq(encode(str_of(json), &exact), ERR_NONE);
	for (size_t max = 0; max <= exact.len; max++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(max);
		ck_assert_int_eq(encode(str_of(json), &b),
				 max < exact.len ? ERR_TOO_LARGE : ERR_NONE);
	}
}
END_TEST

START_TEST(unsorted_object_beyond_the_scratch_is_too_large)
{
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	arena_init(&a, 100);
	struct json_reader r = json_reader_of(STR("{\"b\":1,\"a\":2}"), &a);
	ck_assert_int_eq(value_from_json(&r, &a, &b), ERR_TOO_LARGE);
	ck_assert_uint_eq(b.len, 0);
	r = json_reader_of(STR("{\"a\":1,\"b\":2}"), &a);
	ck_assert_int_eq(value_from_json(&r, &a, &b), ERR_NONE);
}
END_TEST

/* Lists around each other, with an int inside. */
static void put_nested(struct buf *out, unsigned depth)
{
	CLEANUP(buf_release) struct buf inner = BUF_INIT(1000);
	value_put_int(&inner, 1);
	for (unsigned i = 0; i < depth; i++) {
		CLEANUP(buf_release) struct buf outer = BUF_INIT(1000);
		uint8_t head[] = {
			6, (uint8_t)(inner.len + 1), (uint8_t)((inner.len + 1) >> 8), 0, 0, 1
		};
		buf_append(&outer, head, sizeof(head));
		buf_append(&outer, inner.data, inner.len);
		buf_reset(&inner);
		buf_append(&inner, outer.data, outer.len);
	}
	buf_append(out, inner.data, inner.len);
}

START_TEST(depth_is_bounded_wherever_a_value_is_made)
{
	CLEANUP(buf_release) struct buf deepest = BUF_INIT(1000);
	CLEANUP(buf_release) struct buf deeper = BUF_INIT(1000);
	CLEANUP(buf_release) struct buf out = BUF_INIT(2000);
	put_nested(&deepest, VALUE_DEPTH_MAX);
	put_nested(&deeper, VALUE_DEPTH_MAX + 1);
	ck_assert_int_eq(check_copy(deepest.data, deepest.len), ERR_NONE);
	ck_assert_int_eq(check_copy(deeper.data, deeper.len), ERR_CORRUPT);

	struct value v = value_of_buf(&deepest);
	struct value_member member = { .key = STR("a"), .value = v };
	ck_assert_int_eq(value_put_list(&out, &v, 1), ERR_BAD_INPUT);
	ck_assert_int_eq(value_put_object(&out, &member, 1), ERR_BAD_INPUT);
	ck_assert_uint_eq(out.len, 0);

	CLEANUP(buf_release) struct buf json = BUF_INIT(1000);
	buf_reset(&out);
	ck_assert_int_eq(encode(str_of(json_of(&json, v)), &out), ERR_NONE);
	ck_assert_uint_eq(out.len, deepest.len);
	ck_assert_mem_eq(out.data, deepest.data, out.len);
}
END_TEST

START_TEST(value_of_another_kind_aborts)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(100);
	(void)value_int(value_of(&b, "\"text\""));
}
END_TEST

START_TEST(kinds_and_numbers_are_read)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	double number = 0;
	ck_assert_int_eq(value_kind(value_of(&b, "null")), VALUE_NULL);
	ck_assert(!value_number(value_of(&b, "true"), &number));
	ck_assert(!value_number(value_of(&b, "\"1\""), &number));
	ck_assert(!value_number(value_of(&b, "[1]"), &number));
	ck_assert_int_eq(value_int(value_of(&b, "-9223372036854775808")), INT64_MIN);
	ck_assert_int_eq(value_int(value_of(&b, "9223372036854775807")), INT64_MAX);
	ck_assert_uint_eq(value_uint(value_of(&b, "18446744073709551615")), UINT64_MAX);
	ck_assert_double_eq(value_double(value_of(&b, "-2.5e-3")), -2.5e-3);
	ck_assert(value_number(value_of(&b, "-7"), &number));
	ck_assert_double_eq(number, -7);
	ck_assert(value_number(value_of(&b, "9223372036854775808"), &number));
	ck_assert_double_eq(number, 0x1p63);
	ck_assert(value_number(value_of(&b, "0.5"), &number));
	ck_assert_double_eq(number, 0.5);
	ck_assert(str_is(value_string(value_of(&b, "\"a\\u0041\"")), "aA"));
	ck_assert_ptr_null(value_of_buf(&BUF_INIT(1)).data);
}
END_TEST

START_TEST(numbers_that_json_lacks_become_null_and_small_uints_ints)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	value_put_double(&b, (double)NAN);
	value_put_double(&b, -(double)INFINITY);
	value_put_uint(&b, 5);
	value_put_uint(&b, (uint64_t)INT64_MAX + 1);
	ck_assert_uint_eq(b.len, 2 + 2 + 11);
	ck_assert_mem_eq(b.data, "\x00\x00\x03\x0A\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
			 b.len);
}
END_TEST

START_TEST(items_are_walked_in_order_and_found_by_key)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct value v =
		value_of(&b, "{\"list\":[1,\"two\",[3]],\"a\":{\"x\":1},\"\":0,\"long key\":2.5}");
	struct value item;
	struct str key;
	static const char *const keys[] = { "", "a", "list", "long key" };
	struct value_iter it = value_items(v);
	ck_assert_uint_eq(value_count(v), LEN(keys));
	for (size_t i = 0; i < LEN(keys); i++) {
		ck_assert(value_next(&it, &key, &item));
		ck_assert(str_is(key, keys[i]));
		struct value found;
		ck_assert(value_get(v, key, &found));
		ck_assert_ptr_eq(found.data, item.data);
		ck_assert_uint_eq(found.len, item.len);
	}
	ck_assert(!value_next(&it, &key, &item));
	ck_assert(!value_get(v, STR("b"), &item));
	ck_assert(!value_get(v, STR("zz"), &item));
	ck_assert(!value_get((struct value){ 0 }, STR("a"), &item));

	ck_assert(value_get(v, STR("list"), &item));
	ck_assert(!value_get(item, STR("a"), &item));
	ck_assert_uint_eq(value_count(item), 3);
	it = value_items(item);
	ck_assert(value_next(&it, &key, &item) && key.len == 0 && value_int(item) == 1);
	ck_assert(value_next(&it, NULL, &item) && str_is(value_string(item), "two"));
	ck_assert(value_next(&it, NULL, &item) && value_count(item) == 1);
	ck_assert(!value_next(&it, NULL, &item));
}
END_TEST

START_TEST(object_built_by_hand_equals_that_of_json)
{
	CLEANUP(buf_release) struct buf parts = BUF_INIT(1000);
	CLEANUP(buf_release) struct buf built = BUF_INIT(1000);
	CLEANUP(buf_release) struct buf read = BUF_INIT(1000);
	value_put_bool(&parts, true);
	value_put_string(&parts, STR("text"));
	value_put_null(&parts);
	ck_assert_int_eq(buf_err(&parts), ERR_NONE);
	struct value yes = { .data = parts.data, .len = 1 };
	struct value text = { .data = parts.data + 1, .len = 6 };
	struct value null = { .data = parts.data + 7, .len = 1 };
	struct value_member members[] = {
		{ STR("z"), null }, { STR("a"), yes },  { STR("m"), text },
		{ STR("a"), null }, { STR("z"), text }, { STR(""), yes },
	};
	ck_assert_int_eq(value_put_object(&built, members, LEN(members)), ERR_NONE);
	struct value v = value_of(&read, "{\"a\":null,\"m\":\"text\",\"z\":\"text\",\"\":true}");
	ck_assert_uint_eq(built.len, v.len);
	ck_assert_mem_eq(built.data, v.data, v.len);

	buf_reset(&built);
	ck_assert_int_eq(value_put_list(&built, (const struct value[]){ yes, text, null }, 3),
			 ERR_NONE);
	v = value_of(&read, "[true,\"text\",null]");
	ck_assert_uint_eq(built.len, v.len);
	ck_assert_mem_eq(built.data, v.data, v.len);

	buf_reset(&built);
	ck_assert_int_eq(value_put_object(&built, NULL, 0), ERR_NONE);
	ck_assert_int_eq(value_put_list(&built, NULL, 0), ERR_NONE);
	ck_assert_mem_eq(built.data, "\x07\x01\0\0\0\0\x06\x01\0\0\0\0", 12);

	CLEANUP(buf_release) struct buf small = BUF_INIT(10);
	ck_assert_int_eq(value_put_object(&small, members, LEN(members)), ERR_TOO_LARGE);
}
END_TEST

/* Counts around those at which the count itself grows by a byte; keys come in a scrambled order, each twice. */
START_TEST(large_objects_and_lists_are_encoded_like_small_ones)
{
	static const uint32_t counts[] = { 1, 2, 3, 127, 128, 129, 1000, 16383, 16384, 16385 };
	for (size_t i = 0; i < LEN(counts); i++) {
		CLEANUP(buf_release) struct buf json = BUF_INIT(VALUE_MAX);
		CLEANUP(buf_release) struct buf b = BUF_INIT(VALUE_MAX);
		uint32_t n = counts[i];
		buf_append_cstr(&json, "[{");
		for (uint32_t k = 0; k < 2 * n; k++)
			buf_printf(&json, "%s\"%06u\":%u", k ? "," : "",
				   (uint32_t)((uint64_t)k * 7919 % n), k);
		buf_append_cstr(&json, "},[");
		for (uint32_t k = 0; k < n; k++)
			buf_printf(&json, "%s%u", k ? "," : "", k);
		buf_append_cstr(&json, "]]");
		ck_assert_int_eq(encode(buf_str(&json), &b), ERR_NONE);
		ck_assert_int_eq(check_copy(b.data, b.len), ERR_NONE);

		struct value object, list, item;
		struct str key;
		struct value_iter it = value_items(value_of_buf(&b));
		ck_assert(value_next(&it, NULL, &object) && value_next(&it, NULL, &list));
		ck_assert_uint_eq(value_count(object), n);
		ck_assert_uint_eq(value_count(list), n);
		it = value_items(object);
		while (value_next(&it, &key, &item)) {
			uint64_t k = (uint64_t)value_int(item);
			if (k < n || k * 7919 % n != strtoul(key.data, NULL, 10))
				ck_abort_msg("%u: %.*s has %lu", n, STR_FMT(key), (unsigned long)k);
		}
		it = value_items(list);
		for (uint32_t k = 0; value_next(&it, NULL, &item); k++)
			if (value_int(item) != k)
				ck_abort_msg("%u: item %u", n, k);
	}
}
END_TEST

static void put_random_string(struct json_writer *w, bool key)
{
	static const char *const texts[] = { "",
					     "a",
					     "b",
					     "ab",
					     "key",
					     "\xC3\xA9",
					     "\xF0\x9F\x98\x80",
					     "\"\\\n\t\x01",
					     "a rather long text, longer than a word",
					     "A",
					     "z" };
	struct str s = str_of(texts[next_random() % LEN(texts)]);
	if (key)
		json_put_key(w, s);
	else
		json_put_string(w, s);
}

static void put_random_number(struct json_writer *w)
{
	uint64_t bits = next_random();
	double d;
	memcpy(&d, &bits, sizeof(d));
	switch (next_random() % 5) {
	case 0:
		json_put_i64(w, (int64_t)next_random() >> next_random() % 64);
		break;
	case 1:
		json_put_u64(w, bits);
		break;
	case 2:
		json_put_f64(w, isfinite(d) ? d : 0.1);
		break;
	case 3:
		json_put_f64(w, (double)(bits % 10000) / 100);
		break;
	default:
		json_put_i64(w, (int64_t)(bits % 10));
		break;
	}
}

static void put_random_value(struct json_writer *w, unsigned depth)
{
	uint64_t kind = next_random() % (depth ? 8 : 5);
	uint64_t count = next_random() % 6;
	switch (kind) {
	case 0:
		json_put_null(w);
		break;
	case 1:
		json_put_bool(w, count % 2);
		break;
	case 2:
	case 3:
		put_random_number(w);
		break;
	case 4:
		put_random_string(w, false);
		break;
	case 5:
		json_put_array(w);
		for (uint64_t i = 0; i < count; i++)
			put_random_value(w, depth - 1);
		json_put_array_end(w);
		break;
	default:
		json_put_object(w);
		for (uint64_t i = 0; i < count; i++) {
			put_random_string(w, true);
			put_random_value(w, depth - 1);
		}
		json_put_object_end(w);
		break;
	}
}

START_TEST(random_json_reaches_a_fixpoint_after_one_round)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(VALUE_MAX);
	CLEANUP(buf_release) struct buf first = BUF_INIT(VALUE_MAX);
	CLEANUP(buf_release) struct buf again = BUF_INIT(VALUE_MAX);
	CLEANUP(buf_release) struct buf json = BUF_INIT(VALUE_MAX);
	random_state = 11;
	for (unsigned round = 0; round < 20000; round++) {
		buf_reset(&text);
		buf_reset(&first);
		buf_reset(&json);
		buf_reset(&again);
		struct json_writer w = json_writer_to(&text);
		put_random_value(&w, 5);
		if (encode(buf_str(&text), &first) || check_copy(first.data, first.len))
			ck_abort_msg("round %u: %.*s", round, STR_FMT(buf_str(&text)));
		w = json_writer_to(&json);
		value_to_json(value_of_buf(&first), &w);
		if (encode(buf_str(&json), &again))
			ck_abort_msg("round %u: %.*s", round, STR_FMT(buf_str(&json)));
		if (again.len != first.len || memcmp(again.data, first.data, first.len) != 0)
			ck_abort_msg("round %u: %.*s is not %.*s", round, STR_FMT(buf_str(&json)),
				     STR_FMT(buf_str(&text)));
	}
}
END_TEST

/* What passes the check after a change is used as a value is used; the sanitizer watches. */
static void use_changed(const uint8_t *data, size_t len, size_t at, uint8_t change)
{
	uint8_t *copy = malloc(len);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, data, len);
	copy[at] ^= change;
	struct value v;
	if (value_check((struct bytes){ .data = copy, .len = len }, &v) == ERR_NONE) {
		CLEANUP(buf_release) struct buf json = BUF_INIT(VALUE_MAX);
		CLEANUP(buf_release) struct buf again = BUF_INIT(VALUE_MAX);
		struct json_writer w = json_writer_to(&json);
		value_to_json(v, &w);
		if (encode(buf_str(&json), &again))
			ck_abort_msg("%.*s cannot be read", STR_FMT(buf_str(&json)));
		if (again.len != len || memcmp(again.data, copy, len) != 0)
			ck_abort_msg("%.*s has two encodings", STR_FMT(buf_str(&json)));
	}
	free(copy);
}

START_TEST(every_truncation_is_refused_and_no_damage_breaks_anything)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(VALUE_MAX);
	CLEANUP(buf_release) struct buf b = BUF_INIT(VALUE_MAX);
	random_state = 12;
	for (unsigned round = 0; round < 300; round++) {
		buf_reset(&text);
		buf_reset(&b);
		struct json_writer w = json_writer_to(&text);
		put_random_value(&w, 4);
		ck_assert_int_eq(encode(buf_str(&text), &b), ERR_NONE);
		for (size_t len = 0; len < b.len; len++)
			if (check_copy(b.data, len) != ERR_CORRUPT)
				ck_abort_msg("round %u: %zu of %zu bytes pass", round, len, b.len);
		buf_append_byte(&b, 0);
		ck_assert_int_eq(check_copy(b.data, b.len), ERR_CORRUPT);
		b.len--;
		for (unsigned i = 0; i < 200; i++)
			use_changed(b.data, b.len, next_random() % b.len,
				    (uint8_t)(1 + next_random() % 255));
	}
}
END_TEST

static const char *const bad_paths[] = {
	"",
	".",
	"a.",
	".a",
	"a..b",
	"a[",
	"a]",
	"a[1",
	"a[x]",
	"a[-1]",
	"a[4294967296]",
	"a[99999999999999999999999]",
	"[]",
	"[0].a",
	"a[]b",
	"a b",
	"a.b c",
	"\"a",
	"a\"",
	"\"a\"b",
	"\"a\\\"b\"",
	"\"a\"\"b\"",
	"a.[0]",
	"a.\"",
	"$.a",
	"a/b",
	"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q",
	"a[][][][][][][][][][][][][][][][]",
};

START_TEST(malformed_path_is_refused_by_name)
{
	struct path p = { .count = 77 };
	struct fault fault;
	ck_assert_msg(path_parse(str_of(bad_paths[_i]), &p, &fault) == ERR_BAD_INPUT, "%s",
		      bad_paths[_i]);
	ck_assert(strstr(fault.text, bad_paths[_i]));
	ck_assert_uint_eq(p.count, 77);
	ck_assert_int_eq(path_parse(str_of(bad_paths[_i]), &p, NULL), ERR_BAD_INPUT);
}
END_TEST

START_TEST(path_becomes_its_steps)
{
	struct path p;
	struct str text = STR("foo[1][50].bar-baz[].\"qux[.]quux\".\"\".\xC3\xA9_9[4294967295]");
	ck_assert_int_eq(path_parse(text, &p, NULL), ERR_NONE);
	static const struct {
		int kind;
		const char *key;
		uint32_t index;
	} steps[] = {
		{ PATH_KEY, "foo", 0 },
		{ PATH_INDEX, "", 1 },
		{ PATH_INDEX, "", 50 },
		{ PATH_KEY, "bar-baz", 0 },
		{ PATH_ALL, "", 0 },
		{ PATH_KEY, "qux[.]quux", 0 },
		{ PATH_KEY, "", 0 },
		{ PATH_KEY, "\xC3\xA9_9", 0 },
		{ PATH_INDEX, "", UINT32_MAX },
	};
	ck_assert_uint_eq(p.count, LEN(steps));
	ck_assert_ptr_eq(p.text.data, text.data);
	for (size_t i = 0; i < LEN(steps); i++) {
		ck_assert_int_eq((int)p.steps[i].kind, steps[i].kind);
		ck_assert_uint_eq(p.steps[i].index, steps[i].index);
		ck_assert(str_is(p.steps[i].key, steps[i].key));
	}
	ck_assert_int_eq(path_parse(STR("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p"), &p, NULL), ERR_NONE);
	ck_assert_uint_eq(p.count, PATH_STEPS_MAX);
}
END_TEST

/* Collects what is found as JSON, and stops after stop_after of them. */
struct collector {
	struct buf found;
	unsigned count;
	unsigned stop_after;
};

static bool collect(void *ctx, struct value found)
{
	struct collector *c = ctx;
	struct json_writer w = json_writer_to(&c->found);
	value_to_json(found, &w);
	buf_append_byte(&c->found, ' ');
	return ++c->count == c->stop_after;
}

static const struct {
	const char *path;
	const char *found;
} walks[] = {
	{ "n", "1 " },
	{ "missing", "" },
	{ "n.x", "" },
	{ "n[]", "" },
	{ "n[0]", "" },
	{ "o", "{\"p\":{\"q\":2},\"x.y\":3} " },
	{ "o.p.q", "2 " },
	{ "o.\"x.y\"", "3 " },
	{ "o.x.y", "" },
	{ "o[]", "" },
	{ "list", "[{\"b\":1},{\"b\":[2,3]},{\"c\":4},5] " },
	{ "list.b", "" },
	{ "list[].b", "1 [2,3] " },
	{ "list[].b[]", "2 3 " },
	{ "list[1].b[0]", "2 " },
	{ "list[1]", "{\"b\":[2,3]} " },
	{ "list[3]", "5 " },
	{ "list[4]", "" },
	{ "list[]", "{\"b\":1} {\"b\":[2,3]} {\"c\":4} 5 " },
	{ "deep[]", "[1,2] [3] " },
	{ "deep[][]", "1 2 3 " },
	{ "deep[0][1]", "2 " },
	{ "deep[][0]", "1 3 " },
	{ "null", "null " },
	{ "empty[]", "" },
};

START_TEST(path_finds_what_qdrant_finds)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct value root = value_of(&b, "{\"n\":1,\"o\":{\"p\":{\"q\":2},\"x.y\":3},"
					 "\"list\":[{\"b\":1},{\"b\":[2,3]},{\"c\":4},5],"
					 "\"deep\":[[1,2],[3]],\"null\":null,\"empty\":[]}");
	struct path p;
	struct collector c = { .found = BUF_INIT(1000) };
	ck_assert_int_eq(path_parse(str_of(walks[_i].path), &p, NULL), ERR_NONE);
	ck_assert(!path_walk(&p, root, collect, &c));
	ck_assert_msg(str_is(buf_str(&c.found), walks[_i].found), "%s: %.*s", walks[_i].path,
		      STR_FMT(buf_str(&c.found)));

	unsigned all = c.count;
	c.count = 0;
	c.stop_after = 1;
	ck_assert(path_walk(&p, root, collect, &c) == (all > 0));
	ck_assert_uint_eq(c.count, all > 0);
	ck_assert(!path_walk(&p, (struct value){ 0 }, collect, &c));
	buf_release(&c.found);
}
END_TEST

static void add_tests(TCase *t)
{
	tcase_add_loop_test(t, bytes_that_are_no_canonical_value_are_refused, 0,
			    LEN(not_canonical));
	tcase_add_test(t, bad_json_leaves_nothing_behind);
	tcase_add_test(t, value_beyond_the_maximum_of_its_buf_is_too_large);
	tcase_add_test(t, unsorted_object_beyond_the_scratch_is_too_large);
	tcase_add_test(t, depth_is_bounded_wherever_a_value_is_made);
	tcase_add_test_raise_signal(t, value_of_another_kind_aborts, SIGABRT);
	tcase_add_loop_test(t, malformed_path_is_refused_by_name, 0, LEN(bad_paths));
	tcase_add_loop_test(t, json_becomes_exactly_these_bytes, 0, LEN(encodings));
	tcase_add_test(t, kinds_and_numbers_are_read);
	tcase_add_test(t, numbers_that_json_lacks_become_null_and_small_uints_ints);
	tcase_add_test(t, items_are_walked_in_order_and_found_by_key);
	tcase_add_test(t, object_built_by_hand_equals_that_of_json);
	tcase_add_test(t, large_objects_and_lists_are_encoded_like_small_ones);
	tcase_add_test(t, random_json_reaches_a_fixpoint_after_one_round);
	tcase_add_test(t, every_truncation_is_refused_and_no_damage_breaks_anything);
	tcase_add_test(t, path_becomes_its_steps);
	tcase_add_loop_test(t, path_finds_what_qdrant_finds, 0, LEN(walks));
}

int main(void)
{
	Suite *s = suite_create("value");
	TCase *t = tcase_create("value");
	tcase_set_timeout(t, 60);
	add_tests(t);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
