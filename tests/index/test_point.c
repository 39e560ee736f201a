/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points: ids sort as their bytes do, and every stored byte is compared with a literal, for they are the same
 * in every region.
 */
#include "index/point.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define S(literal)                                                                                 \
	{                                                                                          \
		("" literal), sizeof(literal) - 1                                                  \
	}

static const struct point_id sample_uuid = { .kind = POINT_ID_UUID,
					     .hi = 0x550e8400e29b41d4,
					     .lo = 0xa716446655440000 };

static const struct str bad_uuids[] = {
	S(""),
	S("550e8400"),
	S("550e8400-e29b-41d4-a716-44665544000"),
	S("550e8400-e29b-41d4-a716-4466554400000"),
	S("550e8400-e29b-41d4-a716-44665544000g"),
	S("550e8400-e29b-41d4-a716_446655440000"),
	S("550e8400e-29b-41d4-a716-446655440000"),
	S("550e8400e29b41d4a71644665544000"),
	S("550e8400e29b41d4a71644665544000\0"),
	S("550e8400e29b41d4a71644665544-000"),
	S("{550e8400-e29b-41d4-a716-446655440000"),
	S("{550e8400-e29b-41d4-a716-446655440000)"),
	S("{550e8400e29b41d4a716446655440000}"),
	S("urn:uuid:550e8400e29b41d4a716446655440000"),
	S("URN:UUID:550e8400-e29b-41d4-a716-446655440000"),
	S("urn:uuid;550e8400-e29b-41d4-a716-446655440000"),
	S(" 550e8400-e29b-41d4-a716-44665544000"),
	S("550e8400-e29b-41d4-a716-44665544000\xC3"),
};

START_TEST(text_that_is_no_uuid_is_refused)
{
	struct point_id id = { .lo = 77 };
	ck_assert_int_eq(point_id_parse_uuid(bad_uuids[_i], &id), ERR_BAD_INPUT);
	ck_assert_uint_eq(id.lo, 77);
}
END_TEST

static const struct str good_uuids[] = {
	S("550e8400-e29b-41d4-a716-446655440000"),
	S("550E8400-E29B-41D4-A716-446655440000"),
	S("550e8400e29b41d4a716446655440000"),
	S("{550e8400-e29b-41d4-a716-446655440000}"),
	S("urn:uuid:550e8400-e29b-41d4-a716-446655440000"),
};

START_TEST(every_form_of_a_uuid_is_the_same_id)
{
	struct point_id id;
	char text[POINT_ID_TEXT_MAX];
	ck_assert_int_eq(point_id_parse_uuid(good_uuids[_i], &id), ERR_NONE);
	ck_assert(point_id_equal(id, sample_uuid));
	ck_assert_uint_eq(point_id_format(id, text), 36);
	ck_assert_str_eq(text, "550e8400-e29b-41d4-a716-446655440000");
}
END_TEST

START_TEST(numbers_are_written_in_full)
{
	char text[POINT_ID_TEXT_MAX];
	ck_assert_uint_eq(point_id_format((struct point_id){ 0 }, text), 1);
	ck_assert_str_eq(text, "0");
	ck_assert_uint_eq(point_id_format((struct point_id){ .lo = UINT64_MAX }, text), 20);
	ck_assert_str_eq(text, "18446744073709551615");
}
END_TEST

/* In their order. */
static const struct point_id ordered[] = {
	{ .lo = 0 },
	{ .lo = 1 },
	{ .lo = 255 },
	{ .lo = 256 },
	{ .lo = INT64_MAX },
	{ .lo = (uint64_t)INT64_MAX + 1 },
	{ .lo = UINT64_MAX },
	{ .kind = POINT_ID_UUID },
	{ .kind = POINT_ID_UUID, .lo = 1 },
	{ .kind = POINT_ID_UUID, .lo = UINT64_MAX },
	{ .kind = POINT_ID_UUID, .hi = 1 },
	{ .kind = POINT_ID_UUID, .hi = 1, .lo = 1 },
	{ .kind = POINT_ID_UUID, .hi = UINT64_MAX, .lo = UINT64_MAX },
};

START_TEST(ids_sort_numbers_first_and_their_bytes_sort_alike)
{
	for (size_t i = 0; i < LEN(ordered) * LEN(ordered); i++) {
		size_t left = i / LEN(ordered), right = i % LEN(ordered);
		CLEANUP(buf_release) struct buf a = BUF_INIT(20);
		CLEANUP(buf_release) struct buf b = BUF_INIT(20);
		point_id_put(&a, ordered[left]);
		point_id_put(&b, ordered[right]);
		int by_id = point_id_compare(ordered[left], ordered[right]);
		int by_bytes = memcmp(a.data, b.data, MIN(a.len, b.len));
		ck_assert_int_eq((by_id > 0) - (by_id < 0), (left > right) - (left < right));
		ck_assert_int_eq((by_bytes > 0) - (by_bytes < 0), (left > right) - (left < right));
		ck_assert(point_id_equal(ordered[left], ordered[right]) == (left == right));
		ck_assert((point_id_hash(ordered[left]) == point_id_hash(ordered[right])) ==
			  (left == right));

		struct wire_reader r = wire_reader_of(a.data, a.len);
		ck_assert(point_id_equal(point_id_get(&r), ordered[left]));
		ck_assert_int_eq(wire_done(&r), ERR_NONE);
	}
}
END_TEST

START_TEST(stored_id_is_these_bytes)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(100);
	point_id_put(&b, (struct point_id){ .lo = 0x0102030405060708 });
	point_id_put(&b, sample_uuid);
	ck_assert_uint_eq(b.len, 9 + 17);
	ck_assert_mem_eq(b.data,
			 "\x00\x01\x02\x03\x04\x05\x06\x07\x08"
			 "\x01\x55\x0e\x84\x00\xe2\x9b\x41\xd4\xa7\x16\x44\x66\x55\x44\x00\x00",
			 b.len);
}
END_TEST

/* Shards, graph levels and Merkle leaves of stored data depend on them. */
START_TEST(hashes_stay_what_they_are)
{
	ck_assert_uint_eq(point_id_hash((struct point_id){ .lo = 42 }), 0xE3441C121B25739C);
	ck_assert_uint_eq(point_id_hash(sample_uuid), 0x2440C81E47B1839F);
	static const float values[] = { 1, -2.5F, 0.1F };
	static const uint32_t indices[] = { 1, 7, 4000000000 };
	struct vector v = { .kind = VECTOR_DENSE, .count = 3, .values = values };
	ck_assert_uint_eq(vector_hash(&v), 0x3EFFFECC0925D4BB);
	v.kind = VECTOR_SPARSE;
	v.indices = indices;
	ck_assert_uint_eq(vector_hash(&v), 0x249FB6E60B21BEBE);
	v.kind = VECTOR_MULTI;
	v.rows = 3;
	ck_assert_uint_eq(vector_hash(&v), 0x28A812D10CEEB7EA);
}
END_TEST

static const struct str bad_ids[] = {
	S(""),
	S("\x00"),
	S("\x00\x01\x02\x03\x04\x05\x06\x07"),
	S("\x01\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F"),
	S("\x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F\x10"),
};

START_TEST(stored_id_that_is_cut_or_unknown_is_refused)
{
	struct wire_reader r = wire_reader_of(bad_ids[_i].data, bad_ids[_i].len);
	ck_assert(point_id_equal(point_id_get(&r), (struct point_id){ 0 }));
	ck_assert_int_eq(r.err, ERR_CORRUPT);
}
END_TEST

static const struct str bad_vectors[] = {
	S(""),
	S("\x03\x00"), /* no such kind */
	S("\x00"),
	S("\x00\x01\x00\x00\x80"),
	S("\x00\x81\x00\x00\x00\x80\x3F"),                         /* count longer than needed */
	S("\x00\x80\x80\x80\x80\x10\x00\x00\x80\x3F"),             /* 2^32 */
	S("\x00\xFF\xFF\xFF\xFF\x0F\x00\x00\x80\x3F"),             /* 2^32 - 1 */
	S("\x01\x01\x01\x00\x00\x00"),                             /* no values */
	S("\x01\x02\x01\0\0\0\x01\0\0\0\0\0\x80\x3F\0\0\x80\x3F"), /* an index twice */
	S("\x01\x02\x02\0\0\0\x01\0\0\0\0\0\x80\x3F\0\0\x80\x3F"), /* indices descend */
	S("\x02\x02\x03\0\0\x80\x3F\0\0\x80\x3F\0\0\x80\x3F"),     /* three values in two rows */
	S("\x02\x00\x01\0\0\x80\x3F"),                             /* a value, no rows */
	S("\x02\x01\x00"),                                         /* an empty row */
};

START_TEST(stored_vector_that_is_cut_or_inconsistent_is_refused)
{
	CLEANUP(arena_release) struct arena a;
	arena_init(&a, 1000);
	struct wire_reader r = wire_reader_of(bad_vectors[_i].data, bad_vectors[_i].len);
	struct vector v = { .count = 77 };
	ck_assert_int_eq(vector_get(&r, &a, &v), ERR_CORRUPT);
	ck_assert_int_eq(r.err, ERR_CORRUPT);
	ck_assert_uint_eq(v.count, 77);
}
END_TEST

START_TEST(vector_beyond_the_arena_is_refused)
{
	CLEANUP(arena_release) struct arena a;
	arena_init(&a, 10);
	struct wire_reader r = wire_reader_of("\x00\x03\0\0\x80\x3F\0\0\x80\x3F\0\0\x80\x3F", 14);
	struct vector v;
	ck_assert_int_eq(vector_get(&r, &a, &v), ERR_NO_MEMORY);
}
END_TEST

static const float three[] = { 1, -0.0F, 0.5F };
static const uint32_t three_indices[] = { 0, 258, UINT32_MAX };

static const struct {
	struct vector v;
	struct str bytes;
} vectors[] = {
	{ { .kind = VECTOR_DENSE }, S("\x00\x00") },
	{ { .kind = VECTOR_DENSE, .count = 3, .values = three },
	  S("\x00\x03\x00\x00\x80\x3F\x00\x00\x00\x80\x00\x00\x00\x3F") },
	{ { .kind = VECTOR_SPARSE }, S("\x01\x00") },
	{ { .kind = VECTOR_SPARSE, .count = 3, .values = three, .indices = three_indices },
	  S("\x01\x03\x00\x00\x00\x00\x02\x01\x00\x00\xFF\xFF\xFF\xFF"
	    "\x00\x00\x80\x3F\x00\x00\x00\x80\x00\x00\x00\x3F") },
	{ { .kind = VECTOR_MULTI }, S("\x02\x00\x00") },
	{ { .kind = VECTOR_MULTI, .count = 3, .rows = 3, .values = three },
	  S("\x02\x03\x03\x00\x00\x80\x3F\x00\x00\x00\x80\x00\x00\x00\x3F") },
	{ { .kind = VECTOR_MULTI, .count = 2, .rows = 1, .values = three },
	  S("\x02\x01\x02\x00\x00\x80\x3F\x00\x00\x00\x80") },
};

START_TEST(stored_vector_is_these_bytes_and_comes_back)
{
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf b = BUF_INIT(100);
	arena_init(&a, 1000);
	/* One byte before it, so that the values lie unaligned. */
	buf_append_byte(&b, 0xEE);
	vector_put(&b, &vectors[_i].v);
	ck_assert_uint_eq(b.len - 1, vectors[_i].bytes.len);
	ck_assert_mem_eq(b.data + 1, vectors[_i].bytes.data, b.len - 1);

	struct wire_reader r = wire_reader_of(b.data + 1, b.len - 1);
	struct vector v;
	ck_assert_int_eq(vector_get(&r, &a, &v), ERR_NONE);
	ck_assert_int_eq(wire_done(&r), ERR_NONE);
	ck_assert(vector_equal(&v, &vectors[_i].v));
	ck_assert_uint_eq(vector_hash(&v), vector_hash(&vectors[_i].v));
	ck_assert_uint_eq(v.rows, vectors[_i].v.rows);

	for (size_t len = 0; len < b.len - 1; len++) {
		r = wire_reader_of(b.data + 1, len);
		ck_assert_int_eq(vector_get(&r, &a, &v), ERR_CORRUPT);
	}
}
END_TEST

START_TEST(vectors_are_equal_when_all_their_bits_are)
{
	static const float zeroes[] = { 0, 0 }, negative[] = { 0, -0.0F };
	for (size_t i = 0; i < LEN(vectors) * LEN(vectors); i++) {
		size_t left = i / LEN(vectors), right = i % LEN(vectors);
		const struct vector *a = &vectors[left].v, *b = &vectors[right].v;
		ck_assert_msg(vector_equal(a, b) == (left == right), "%zu and %zu", left, right);
		ck_assert_msg((vector_hash(a) == vector_hash(b)) == (left == right), "%zu and %zu",
			      left, right);
	}
	struct vector a = { .count = 2, .values = zeroes }, b = { .count = 2, .values = negative };
	ck_assert(!vector_equal(&a, &b));
	ck_assert_uint_ne(vector_hash(&a), vector_hash(&b));
	struct vector c = {
		.kind = VECTOR_SPARSE, .count = 2, .values = zeroes, .indices = (uint32_t[]){ 1, 2 }
	};
	struct vector d = {
		.kind = VECTOR_SPARSE, .count = 2, .values = zeroes, .indices = (uint32_t[]){ 1, 3 }
	};
	ck_assert(!vector_equal(&c, &d));
	ck_assert_uint_ne(vector_hash(&c), vector_hash(&d));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("point");
	TCase *t = tcase_create("point");
	tcase_add_loop_test(t, text_that_is_no_uuid_is_refused, 0, LEN(bad_uuids));
	tcase_add_loop_test(t, stored_id_that_is_cut_or_unknown_is_refused, 0, LEN(bad_ids));
	tcase_add_loop_test(t, stored_vector_that_is_cut_or_inconsistent_is_refused, 0,
			    LEN(bad_vectors));
	tcase_add_test(t, vector_beyond_the_arena_is_refused);
	tcase_add_loop_test(t, every_form_of_a_uuid_is_the_same_id, 0, LEN(good_uuids));
	tcase_add_test(t, numbers_are_written_in_full);
	tcase_add_test(t, ids_sort_numbers_first_and_their_bytes_sort_alike);
	tcase_add_test(t, stored_id_is_these_bytes);
	tcase_add_test(t, hashes_stay_what_they_are);
	tcase_add_loop_test(t, stored_vector_is_these_bytes_and_comes_back, 0, LEN(vectors));
	tcase_add_test(t, vectors_are_equal_when_all_their_bits_are);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
