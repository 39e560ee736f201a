/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters: each form that clients send means what Qdrant means by it, in JSON and in protobuf.
 */
#include "gateway/message_filter.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES (64u << 20)

static struct str text_of(const char *s)
{
	return (struct str){ .data = s, .len = strlen(s) };
}

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (const char *p = hex; *p; p++) {
		if (*p == ' ')
			continue;
		char two[3] = { p[0], p[1], 0 };
		out[n++] = (uint8_t)strtoul(two, NULL, 16);
		p++;
	}
	return n;
}

static enum err read_json(const struct message *m, struct str text, struct arena *a, void **ret,
			  struct fault *fault)
{
	struct json_reader r = json_reader_of(text, a);

	*ret = arena_alloc(a, m->size);
	ck_assert_ptr_nonnull(*ret);
	return message_from_json(m, &r, a, *ret, fault);
}

static void assert_json(const struct message *m, const void *in, const char *expected)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1u << 20);
	struct json_writer w = json_writer_to(&b);

	message_to_json(m, in, &w);
	ck_assert_int_eq(buf_err(&b), ERR_NONE);
	buf_append_byte(&b, 0);
	ck_assert_str_eq((const char *)b.data, expected);
}

/* ---- refused ---- */

#define NESTED16                                                                                               \
	"{\"must\":{\"must\":{\"must\":{\"must\":{\"must\":{\"must\":{\"must\":{\"must\":{\"must\":{\"must\":" \
	"{\"must\":{\"must\":{\"must\":{\"must\":{\"must\":{\"must\":{}}}}}}}}}}}}}}}}}"

struct refused {
	const char *json;
	enum err err;
	const char *words; /* NULL: some */
};

/* As the filter of a count. */
static const struct refused filters_refused[] = {
	{ "[]", ERR_BAD_REQUEST, NULL },
	{ "{\"most\":[]}", ERR_BAD_REQUEST,
	  "unknown field `most`, expected one of `should`, `min_should`, `must`, `must_not` at line 1 column 19" },
	{ "{\"must\":[1]}", ERR_BAD_REQUEST, NULL },
	{ "{\"must\":[{\"key\":\"a\"}]}", ERR_BAD_INPUT,
	  "At least one field condition must be specified for key `a`" },
	{ "{\"must\":[{\"key\":\"\",\"match\":{\"value\":1}}]}", ERR_BAD_INPUT, NULL },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{}}]}", ERR_BAD_REQUEST, NULL },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1.5}}]}", ERR_BAD_REQUEST, NULL },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"value\":null}}]}", ERR_BAD_REQUEST, NULL },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[1,\"a\"]}}]}", ERR_BAD_REQUEST, NULL },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[\"a\",1]}}]}", ERR_BAD_REQUEST, NULL },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1,\"any\":[1]}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"text\":1}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"text\":\"b\",\"phrase\":\"c\"}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"texts\":\"b\"}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"match\":\"b\"}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"range\":7}]}", ERR_BAD_REQUEST,
	  "wrong type of `range` at line 1 column 39" },
	{ "{\"must\":[{\"key\":\"a\",\"range\":{\"gt\":\"soon\"}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"range\":{\"gt\":\"2020-01-01\",\"lt\":5}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"is_empty\":1}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"geo_radius\":{\"radius\":1}}]}", ERR_BAD_REQUEST,
	  "missing field `center` at line 1 column 56" },
	{ "{\"must\":[{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":1,\"lat\":1}}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":1,\"lat\":91},\"radius\":1}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"geo_bounding_box\":{\"top_left\":{\"lon\":1,\"lat\":1}}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"geo_bounding_box\":{\"top_left\":{\"lon\":1},\"bottom_right\":{\"lon\":1,\"lat\":1}}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"geo_polygon\":{\"interiors\":[]}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"geo_polygon\":{\"exterior\":{\"points\":[]}}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":0,\"lat\":0},{\"lon\":1,\"lat\":0},{\"lon\":1,\"lat\":1},{\"lon\":0,\"lat\":1}]}}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"values_count\":{\"gt\":-1}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"key\":\"a\",\"values_count\":{\"gt\":1.5}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"nested\":{\"key\":\"a\"}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"nested\":{\"filter\":{}}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"nested\":{\"key\":\"a\",\"filter\":{\"must\":[{\"key\":\"b\"}]}}}]}", ERR_BAD_INPUT,
	  NULL },
	{ "{\"must\":[{\"slice\":{\"total\":2}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"slice\":{\"total\":2,\"index\":2}}]}", ERR_BAD_INPUT,
	  NULL },
	{ "{\"must\":[{\"slice\":{\"total\":0,\"index\":0}}]}", ERR_BAD_INPUT,
	  NULL },
	{ "{\"must\":[{\"slice\":{\"total\":4294967296,\"index\":0}}]}", ERR_BAD_REQUEST,
	  NULL },
	{ "{\"must\":[{\"is_empty\":{}}]}", ERR_BAD_REQUEST, NULL },
	{ "{\"must\":[{\"has_id\":[-1]}]}", ERR_BAD_REQUEST, NULL },
	{ "{\"must\":[{\"has_id\":[\"abc\"]}]}", ERR_BAD_REQUEST, NULL },
	{ "{\"min_should\":{\"conditions\":[]}}", ERR_BAD_REQUEST, NULL },
	{ "{\"min_should\":{\"min_count\":1}}", ERR_BAD_REQUEST, NULL },
	{ NESTED16, ERR_BAD_INPUT, "a filter is nested more than 16 deep" },
};

START_TEST(filters_that_are_wrong_are_refused)
{
	const struct refused *c = &filters_refused[_i];
	CLEANUP(arena_release) struct arena a;
	struct fault fault = { 0 };
	void *m;

	arena_init(&a, ARENA_BYTES);
	struct str text = arena_printf(&a, "{\"filter\":%s}", c->json);
	enum err e = read_json(&message_points_count, text, &a, &m, &fault);
	ck_assert_msg(e == c->err, "%s: %s: %s", c->json, err_name(e), fault.text);
	if (c->words)
		ck_assert_str_eq(fault.text, c->words);
}
END_TEST

START_TEST(a_filter_of_too_many_conditions_is_refused)
{
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf b = BUF_INIT(1u << 20);
	struct fault fault = { 0 };
	void *m;

	arena_init(&a, ARENA_BYTES);
	buf_append_cstr(&b, "{\"filter\":{\"must\":[");
	for (int i = 0; i <= FILTER_CONDITIONS_MAX; i++)
		buf_printf(&b, "%s{\"has_vector\":\"a\"}", i ? "," : "");
	buf_append_cstr(&b, "]}}");
	ck_assert_int_eq(read_json(&message_points_count, buf_str(&b), &a, &m, &fault),
			 ERR_BAD_INPUT);
}
END_TEST

struct refused_bytes {
	const char *bytes;
	enum err err;
	const char *words;
};

static const struct refused_bytes bytes_refused[] = {
	{ "0a0163 1202 1200", ERR_BAD_INPUT, "a condition of a filter is empty" },
	{ "0a0163 1207 1205 0a03 0a0161", ERR_BAD_INPUT,
	  "At least one field condition must be specified for key `a`" },
	{ "0a0163 1209 1207 0a05 0a0161 1200", ERR_BAD_INPUT, "a match condition has no value" },
	{ "0a0163 1209 1207 0a05 0a0161 2200", ERR_BAD_INPUT, "Malformed GeoBoundingBox condition" },
	{ "0a0163 1209 1207 0a05 0a0161 2a00", ERR_BAD_INPUT, "Malformed GeoRadius condition" },
	{ "0a0163 1209 1207 0a05 0a0161 3a00", ERR_BAD_INPUT,
	  "polygon invalid, the size must be at least 4, got 0" },
	/* more nanos than a second has */
	{ "0a0163 1211 120f 0a0d 0a0161 4208 0a06 1080a0bdf703", ERR_BAD_INPUT, NULL },
	{ "0a0163 1207 1205 3203 0a0161", ERR_BAD_INPUT, "a nested condition has no filter" },
	{ "0a0163 1204 1202 4200", ERR_BAD_INPUT, NULL },
	{ "0a0163 1206 1204 1202 0a00", ERR_BAD_INPUT, NULL },
	{ "0a0163 1203 120501", ERR_BAD_REQUEST, NULL },
	{ "0a0163 1212 1210 0a0e 0a0161 1a09 09000000000000f87f", ERR_BAD_INPUT,
	  "a bound of a range is not a number" },
};

START_TEST(filters_in_protobuf_that_are_wrong_are_refused)
{
	const struct refused_bytes *c = &bytes_refused[_i];
	CLEANUP(arena_release) struct arena a;
	struct msg_points_count m = { 0 };
	uint8_t bytes[256];
	struct fault fault = { 0 };

	arena_init(&a, ARENA_BYTES);
	size_t len = unhex(c->bytes, bytes);
	enum err e = message_from_proto(
		&message_points_count, (struct bytes){ .data = bytes, .len = len }, &a, &m, &fault);
	ck_assert_msg(e == c->err, "%s: %s: %s", c->bytes, err_name(e), fault.text);
	if (c->words)
		ck_assert_str_eq(fault.text, c->words);
}
END_TEST

START_TEST(a_filter_in_protobuf_nested_too_deeply_is_refused)
{
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf b = BUF_INIT(1u << 16);
	struct msg_points_count m = { 0 };
	struct fault fault = { 0 };
	size_t marks[200], n = 0;

	arena_init(&a, ARENA_BYTES);
	proto_put_bytes(&b, 1, "c", 1);
	marks[n++] = proto_begin(&b, 2);
	for (int depth = 0; depth < 40; depth++) {
		marks[n++] = proto_begin(&b, 2);
		marks[n++] = proto_begin(&b, 4);
	}
	while (n > 0)
		proto_end(&b, marks[--n]);
	ck_assert_int_eq(message_from_proto(&message_points_count, buf_bytes(&b), &a, &m, &fault),
			 ERR_BAD_INPUT);
	ck_assert_str_eq(fault.text, "a filter is nested more than 16 deep");
}
END_TEST

/* ---- forms in JSON, and the one in which they are written ---- */

struct form {
	const struct message *message;
	const char *json;
	const char *written;
};

#define FILTER(f) "{\"filter\":" f ",\"exact\":false}"

static const struct form forms[] = {
	{ &message_points_count, FILTER("{}"), FILTER("{}") },
	{ &message_points_count, FILTER("{\"must\":{\"key\":\"a\",\"match\":{\"value\":\"b\"}}}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"value\":\"b\"}}]}") },
	{ &message_points_count,
	  FILTER("{\"must\":null,\"should\":[],\"must_not\":[{\"has_id\":[2,1]}]}"),
	  FILTER("{\"must_not\":[{\"has_id\":[1,2]}]}") },
	{ &message_points_count,
	  FILTER("{\"must\":[{\"match\":{\"value\":1},\"range\":{\"lt\":2},\"key\":\"a\"}]}"),
	  FILTER("{\"must\":[{\"should\":[{\"key\":\"a\",\"match\":{\"value\":1}},{\"key\":\"a\",\"range\":{\"lt\":2.0}}]}]}") },
	{ &message_points_count,
	  FILTER("{\"must\":[{\"key\":\"a\",\"range\":{\"gte\":1,\"lt\":null},\"match\":null}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"range\":{\"gte\":1.0}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[]}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[]}}]}") },
	{ &message_points_count,
	  FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"except\":[3,1,2]}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"except\":[1,2,3]}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"value\":false}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"value\":false}}]}") },
	{ &message_points_count,
	  FILTER("{\"must\":[{\"is_empty\":{\"key\":\"a\"}},{\"is_null\":{\"key\":\"b\"}}]}"),
	  FILTER("{\"must\":[{\"is_empty\":{\"key\":\"a\"}},{\"is_null\":{\"key\":\"b\"}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"is_empty\":false}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"is_empty\":false}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"text\":\"b c\"}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"text\":\"b c\"}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"phrase\":\"b c\"}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"phrase\":\"b c\"}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"text_any\":\"b c\"}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"text_any\":\"b c\"}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"prefix\":\"b c\"}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"match\":{\"prefix\":\"b c\"}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"range\":{\"gte\":\"2024-02-29\",\"lt\":\"2024-02-29 12:30\",\"gt\":null}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"range\":{\"lt\":\"2024-02-29T12:30:00.000000Z\",\"gte\":\"2024-02-29T00:00:00.000000Z\"}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"range\":{\"gt\":\"1969-12-31T23:59:59.999999Z\"}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"range\":{\"gt\":\"1969-12-31T23:59:59.999999Z\"}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"values_count\":{\"gte\":2,\"lt\":5,\"lte\":null}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"values_count\":{\"lt\":5,\"gte\":2}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"geo_radius\":{\"radius\":500,\"center\":{\"lat\":1,\"lon\":2}}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"geo_radius\":{\"center\":{\"lon\":2.0,\"lat\":1.0},\"radius\":500.0}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"geo_bounding_box\":{\"top_left\":{\"lon\":1.5,\"lat\":2.5},\"bottom_right\":{\"lon\":3.5,\"lat\":0.5}}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"geo_bounding_box\":{\"top_left\":{\"lon\":1.5,\"lat\":2.5},\"bottom_right\":{\"lon\":3.5,\"lat\":0.5}}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"geo_polygon\":{\"interiors\":null,\"exterior\":{\"points\":[{\"lon\":0.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":1.5},{\"lon\":0.5,\"lat\":0.5}]}}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":0.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":1.5},{\"lon\":0.5,\"lat\":0.5}]}}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"key\":\"a\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":0.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":1.5},{\"lon\":0.5,\"lat\":0.5}]},\"interiors\":[{\"points\":[{\"lon\":0.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":1.5},{\"lon\":0.5,\"lat\":0.5}]},{\"points\":[{\"lon\":0.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":1.5},{\"lon\":0.5,\"lat\":0.5}]}]}}]}"),
	  FILTER("{\"must\":[{\"key\":\"a\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":0.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":1.5},{\"lon\":0.5,\"lat\":0.5}]},\"interiors\":[{\"points\":[{\"lon\":0.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":1.5},{\"lon\":0.5,\"lat\":0.5}]},{\"points\":[{\"lon\":0.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":0.5},{\"lon\":1.5,\"lat\":1.5},{\"lon\":0.5,\"lat\":0.5}]}]}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"nested\":{\"key\":\"a[].b\",\"filter\":{\"must_not\":{\"is_null\":{\"key\":\"c\"}}}}}]}"),
	  FILTER("{\"must\":[{\"nested\":{\"key\":\"a[].b\",\"filter\":{\"must_not\":[{\"is_null\":{\"key\":\"c\"}}]}}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"slice\":{\"total\":4,\"index\":3}}]}"),
	  FILTER("{\"must\":[{\"slice\":{\"total\":4,\"index\":3}}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"has_vector\":\"v\"}]}"),
	  FILTER("{\"must\":[{\"has_vector\":\"v\"}]}") },
	{ &message_points_count, FILTER("{\"must\":[{\"should\":{\"has_vector\":\"v\"}}]}"),
	  FILTER("{\"must\":[{\"should\":[{\"has_vector\":\"v\"}]}]}") },
	{ &message_points_count,
	  FILTER("{\"min_should\":{\"conditions\":[{\"has_vector\":\"v\"}],\"min_count\":1}}"),
	  FILTER("{\"min_should\":{\"conditions\":[{\"has_vector\":\"v\"}],\"min_count\":1}}") },
};

START_TEST(a_form_is_read_and_written_in_the_usual_one)
{
	const struct form *f = &forms[_i];
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf proto = BUF_INIT(1u << 16);
	struct fault fault = { 0 };
	void *m;

	arena_init(&a, ARENA_BYTES);
	ck_assert_msg(read_json(f->message, text_of(f->json), &a, &m, &fault) == ERR_NONE, "%s: %s",
		      f->json, fault.text);
	assert_json(f->message, m, f->written);

	/* And through protobuf; the name, which JSON does not carry, is put in front. */
	proto_put_bytes(&proto, 1, "c", 1);
	CLEANUP(buf_release) struct buf body = BUF_INIT(1u << 16);
	message_to_proto(f->message, m, &body);
	buf_append(&proto, body.data, body.len);
	void *again = arena_alloc(&a, f->message->size);
	enum err e = message_from_proto(f->message, buf_bytes(&proto), &a, again, &fault);
	ck_assert_msg(e == ERR_NONE, "%s: %s", f->json, fault.text);
	assert_json(f->message, again, f->written);
}
END_TEST

/* ---- encodings in protobuf, and what they mean ---- */

struct encoding {
	const struct message *message;
	const char *bytes;
	const char *json;
};

static const struct encoding encodings[] = {
	/* integers, packed */
	{ &message_points_count, "0a0163 1210 120e 0a0c 0a0161 1207 3205 0a03 030102",
	  "{\"filter\":{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[1,2,3]}}]}}" },
	/* and each in a field of its own */
	{ &message_points_count, "0a0163 1211 120f 0a0d 0a0161 1208 3206 0803 0801 0802",
	  "{\"filter\":{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[1,2,3]}}]}}" },
	/* should=1, must_not=3 */
	{ &message_points_count, "0a0163 120e 0a05 3a03 0a0176 1a05 3a03 0a0177",
	  "{\"filter\":{\"should\":[{\"has_vector\":\"v\"}],\"must_not\":[{\"has_vector\":\"w\"}]}}" },
};

START_TEST(an_encoding_means_the_same_as_its_json)
{
	const struct encoding *c = &encodings[_i];
	CLEANUP(arena_release) struct arena a;
	uint8_t bytes[256];
	struct fault fault = { 0 };

	arena_init(&a, ARENA_BYTES);
	size_t len = unhex(c->bytes, bytes);
	void *m = arena_alloc(&a, c->message->size);
	enum err e = message_from_proto(c->message, (struct bytes){ .data = bytes, .len = len }, &a,
					m, &fault);
	ck_assert_msg(e == ERR_NONE, "%s: %s", c->bytes, fault.text);
	assert_json(c->message, m, c->json);
}
END_TEST

/* ---- meaning ---- */

struct meaning {
	const char *filter, *payload;
	bool matches;
};

static const struct meaning meanings[] = {
	{ "{}", "{}", true },
	/* one condition instead of a list */
	{ "{\"must\":{\"key\":\"a\",\"match\":{\"value\":1}}}", "{\"a\":1}", true },
	{ "{\"must\":{\"key\":\"a\",\"match\":{\"value\":1}}}", "{\"a\":2}", false },
	/* two operators are alternatives, here and inside must_not */
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1},\"range\":{\"gt\":5}}]}", "{\"a\":1}",
	  true },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1},\"range\":{\"gt\":5}}]}", "{\"a\":7}",
	  true },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"value\":1},\"range\":{\"gt\":5}}]}", "{\"a\":3}",
	  false },
	{ "{\"must_not\":[{\"key\":\"a\",\"match\":{\"value\":1},\"range\":{\"gt\":5}}]}",
	  "{\"a\":7}", false },
	{ "{\"must_not\":[{\"key\":\"a\",\"match\":{\"value\":1},\"range\":{\"gt\":5}}]}",
	  "{\"a\":3}", true },
	/* sets are sorted when they are read */
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[9,1,5]}}]}", "{\"a\":5}", true },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[\"z\",\"b\"]}}]}", "{\"a\":\"b\"}", true },
	{ "{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[]}}]}", "{\"a\":\"b\"}", false },
	{ "{\"must\":[{\"key\":\"a[].b\",\"match\":{\"value\":true}}]}", "{\"a\":[{\"b\":true}]}",
	  true },
	{ "{\"min_should\":{\"conditions\":[{\"key\":\"a\",\"is_null\":true},{\"is_empty\":{\"key\":\"b\"}}],\"min_count\":2}}",
	  "{\"a\":null}", true },
};

START_TEST(a_filter_matches_what_qdrants_would)
{
	const struct meaning *c = &meanings[_i];
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf payload = BUF_INIT(4096);
	void *m;

	arena_init(&a, ARENA_BYTES);
	struct str text = arena_printf(&a, "{\"filter\":%s}", c->filter);
	ck_assert_int_eq(read_json(&message_points_count, text, &a, &m, NULL), ERR_NONE);
	struct json_reader r = json_reader_of(text_of(c->payload), &a);
	ck_assert_int_eq(value_from_json(&r, &a, &payload), ERR_NONE);
	struct filter_subject subject = { .payload = value_of_buf(&payload) };
	ck_assert_msg(filter_match(((const struct msg_points_count *)m)->filter, &subject) ==
			      c->matches,
		      "%s on %s", c->filter, c->payload);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("message_filter");
	TCase *refused = tcase_create("refused");
	TCase *ordinary = tcase_create("ordinary");

	tcase_add_loop_test(refused, filters_that_are_wrong_are_refused, 0,
			    (int)LEN(filters_refused));
	tcase_add_loop_test(refused, filters_in_protobuf_that_are_wrong_are_refused, 0,
			    (int)LEN(bytes_refused));
	tcase_add_test(refused, a_filter_in_protobuf_nested_too_deeply_is_refused);
	tcase_add_test(refused, a_filter_of_too_many_conditions_is_refused);
	suite_add_tcase(s, refused);
	tcase_add_loop_test(ordinary, a_form_is_read_and_written_in_the_usual_one, 0,
			    (int)LEN(forms));
	tcase_add_loop_test(ordinary, an_encoding_means_the_same_as_its_json, 0,
			    (int)LEN(encodings));
	tcase_add_loop_test(ordinary, a_filter_matches_what_qdrants_would, 0, (int)LEN(meanings));
	suite_add_tcase(s, ordinary);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
