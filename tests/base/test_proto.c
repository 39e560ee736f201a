/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocol buffers: bytes are compared with literals from the encoding's documentation; messages lie in
 * memory of their exact size, so that a sanitizer sees a read beyond the end.
 */
#include "base/proto.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Reads every field by its type, as a caller does that knows none of them. */
static enum err skip_all(const void *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	ck_assert_ptr_nonnull(copy);
	if (len > 0)
		memcpy(copy, data, len);
	struct proto_reader r = proto_reader_of((struct bytes){ .data = copy, .len = len });
	uint32_t field;
	enum proto_type type;
	while (proto_next(&r, &field, &type))
		proto_skip(&r, type);
	free(copy);
	return r.err;
}

#define S(literal)                                                                                 \
	{                                                                                          \
		("" literal), sizeof(literal) - 1                                                  \
	}

static const struct str refused[] = {
	S("\x08"),                                             /* no value */
	S("\x08\x80"),                                         /* varint without end */
	S("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"),     /* more than 64 bits */
	S("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), /* eleven bytes */
	S("\x80"),                                             /* tag without end */
	S("\x00\x01"),                                         /* field 0 */
	S("\x80\x80\x80\x80\x10\x01"),                         /* field 2^29 */
	S("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x01"),     /* field far beyond */
	S("\x0B\x0C"),                                         /* groups */
	S("\x0C"),
	S("\x0E\x01"), /* types that do not exist */
	S("\x0F\x01"),
	S("\x09\x01\x02\x03\x04\x05\x06\x07"), /* seven of eight bytes */
	S("\x0D\x01\x02\x03"),
	S("\x0A\x02"
	  "a"), /* one of two bytes */
	S("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"
	  "a"), /* a length of 2^64 - 1 */
	S("\x0A"),
};

START_TEST(malformed_message_is_refused)
{
	ck_assert_int_eq(skip_all(refused[_i].data, refused[_i].len), ERR_BAD_REQUEST);
	/* Also behind a good field. */
	char longer[32] = "\x10\x07";
	memcpy(longer + 2, refused[_i].data, refused[_i].len);
	ck_assert_int_eq(skip_all(longer, refused[_i].len + 2), ERR_BAD_REQUEST);
}
END_TEST

/* Field 1 varint 150, 2 "testing", 3 double 1.5, 4 float -0.5, 15 nested { 1: -1 }. */
static const uint8_t sample[] = {
	0x08, 0x96, 0x01, 0x12, 0x07, 't',  'e',  's',  't',  'i',  'n',  'g',  0x19,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xF8, 0x3F, 0x25, 0x00, 0x00, 0x00, 0xBF,
	0x7A, 0x0B, 0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01,
};

START_TEST(message_cut_inside_a_field_is_refused)
{
	static const size_t ends[] = { 0, 3, 12, 21, 26, sizeof(sample) };
	for (size_t len = 0, end = 0; len <= sizeof(sample); len++) {
		bool whole = len == ends[end];
		end += whole;
		ck_assert_msg((skip_all(sample, len) == ERR_NONE) == whole, "%zu bytes", len);
	}
}
END_TEST

START_TEST(field_of_another_type_is_refused)
{
	static const enum proto_type types[] = { PROTO_VARINT, PROTO_FIXED64, PROTO_LENGTH,
						 PROTO_FIXED32 };
	for (size_t i = 0; i < LEN(types) * 6; i++) {
		struct proto_reader r =
			proto_reader_of((struct bytes){ .data = sample, .len = sizeof(sample) });
		enum proto_type type = types[i % LEN(types)];
		switch (i / LEN(types)) {
		case 0:
			ck_assert(proto_varint(&r, type) == 0 || type == PROTO_VARINT);
			break;
		case 1:
			ck_assert(proto_int64(&r, type) == 0 || type == PROTO_VARINT);
			break;
		case 2:
			(void)proto_double(&r, type);
			break;
		case 3:
			(void)proto_float(&r, type);
			break;
		case 4:
			(void)proto_bytes(&r, type);
			break;
		default:
			(void)proto_string(&r, type);
			break;
		}
		static const enum proto_type right[] = {
			PROTO_VARINT,  PROTO_VARINT, PROTO_FIXED64,
			PROTO_FIXED32, PROTO_LENGTH, PROTO_LENGTH
		};
		bool good = right[i / LEN(types)] == type;
		ck_assert_msg(good || r.err == ERR_BAD_REQUEST, "case %zu", i);
		ck_assert_msg(good || r.p == r.end, "case %zu", i);
	}
}
END_TEST

START_TEST(string_that_is_not_utf8_is_refused)
{
	struct proto_reader r =
		proto_reader_of((struct bytes){ .data = (const uint8_t *)"\x02\xC3(", .len = 3 });
	ck_assert_ptr_null(proto_string(&r, PROTO_LENGTH).data);
	ck_assert_int_eq(r.err, ERR_BAD_REQUEST);
	r = proto_reader_of((struct bytes){ .data = (const uint8_t *)"\x02\xC3(", .len = 3 });
	ck_assert_uint_eq(proto_bytes(&r, PROTO_LENGTH).len, 2);
	ck_assert_int_eq(r.err, ERR_NONE);
}
END_TEST

START_TEST(fields_are_read_in_order)
{
	struct proto_reader r =
		proto_reader_of((struct bytes){ .data = sample, .len = sizeof(sample) });
	uint32_t field;
	enum proto_type type;
	ck_assert(proto_next(&r, &field, &type) && field == 1 && type == PROTO_VARINT);
	ck_assert_uint_eq(proto_varint(&r, type), 150);
	ck_assert(proto_next(&r, &field, &type) && field == 2 && type == PROTO_LENGTH);
	struct str s = proto_string(&r, type);
	ck_assert(s.len == 7 && memcmp(s.data, "testing", 7) == 0);
	ck_assert(proto_next(&r, &field, &type) && field == 3 && type == PROTO_FIXED64);
	ck_assert_double_eq(proto_double(&r, type), 1.5);
	ck_assert(proto_next(&r, &field, &type) && field == 4 && type == PROTO_FIXED32);
	ck_assert_double_eq((double)proto_float(&r, type), -0.5);
	ck_assert(proto_next(&r, &field, &type) && field == 15 && type == PROTO_LENGTH);
	struct proto_reader nested = proto_reader_of(proto_bytes(&r, type));
	ck_assert(proto_next(&nested, &field, &type) && field == 1);
	ck_assert_int_eq(proto_int64(&nested, type), -1);
	ck_assert(!proto_next(&nested, &field, &type));
	ck_assert(!proto_next(&r, &field, &type));
	ck_assert_int_eq(r.err, ERR_NONE);
	ck_assert_int_eq(nested.err, ERR_NONE);
}
END_TEST

START_TEST(empty_message_has_no_fields)
{
	struct proto_reader r = proto_reader_of((struct bytes){ 0 });
	uint32_t field;
	enum proto_type type;
	ck_assert(!proto_next(&r, &field, &type));
	ck_assert_int_eq(r.err, ERR_NONE);
}
END_TEST

START_TEST(long_form_of_a_varint_is_accepted)
{
	struct proto_reader r = proto_reader_of(
		(struct bytes){ .data = (const uint8_t *)"\x96\x81\x80\x00", .len = 4 });
	ck_assert_uint_eq(proto_varint(&r, PROTO_VARINT), 150);
	ck_assert_int_eq(r.err, ERR_NONE);
	ck_assert_ptr_eq(r.p, r.end);
}
END_TEST

START_TEST(written_fields_are_these_bytes)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	proto_put_varint(&b, 1, 150);
	proto_put_bytes(&b, 2, "testing", 7);
	proto_put_double(&b, 3, 1.5);
	proto_put_float(&b, 4, -0.5F);
	size_t mark = proto_begin(&b, 15);
	proto_put_varint(&b, 1, (uint64_t)-1);
	proto_end(&b, mark);
	ck_assert_uint_eq(b.len, sizeof(sample));
	ck_assert_mem_eq(b.data, sample, sizeof(sample));

	buf_reset(&b);
	proto_put_floats(&b, 1, (const float[]){ 1, -2 }, 2);
	proto_put_floats(&b, 536870911, NULL, 0);
	ck_assert_uint_eq(b.len, 16);
	ck_assert_mem_eq(b.data, "\x0A\x08\x00\x00\x80\x3F\x00\x00\x00\xC0\xFA\xFF\xFF\xFF\x0F\x00",
			 16);
}
END_TEST

/* Lengths around those at which the length itself grows by a byte, three levels deep. */
START_TEST(nested_messages_get_lengths_of_any_size)
{
	static const size_t sizes[] = { 0,     1,     120,   121,   122,   123,     124,
					125,   126,   127,   128,   129,   16370,   16378,
					16380, 16381, 16382, 16383, 16384, 2097150, 2097152 };
	for (size_t i = 0; i < LEN(sizes); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(sizes[i] + 100);
		uint8_t *filler = malloc(sizes[i] + 1);
		ck_assert_ptr_nonnull(filler);
		memset(filler, 'x', sizes[i] + 1);
		buf_append_cstr(&b, "before");
		size_t outer = proto_begin(&b, 1), middle = proto_begin(&b, 2),
		       inner = proto_begin(&b, 3);
		proto_put_bytes(&b, 4, filler, sizes[i]);
		proto_end(&b, inner);
		proto_end(&b, middle);
		proto_put_varint(&b, 5, 7);
		proto_end(&b, outer);
		ck_assert_int_eq(buf_err(&b), ERR_NONE);

		struct bytes at = { .data = b.data + 6, .len = b.len - 6 };
		uint32_t field;
		enum proto_type type;
		for (uint32_t level = 1; level <= 4; level++) {
			struct proto_reader r = proto_reader_of(at);
			ck_assert(proto_next(&r, &field, &type) && field == level);
			at = proto_bytes(&r, type);
			ck_assert_int_eq(r.err, ERR_NONE);
			if (level == 2) {
				ck_assert_ptr_eq(r.p + 2, r.end);
				ck_assert(proto_next(&r, &field, &type) && field == 5);
			} else {
				ck_assert_ptr_eq(r.p, r.end);
			}
		}
		ck_assert_uint_eq(at.len, sizes[i]);
		ck_assert(at.len == 0 || memcmp(at.data, filler, at.len) == 0);
		free(filler);
	}
}
END_TEST

START_TEST(message_beyond_the_maximum_is_refused_and_sticks)
{
	char filler[200] = { 0 };
	CLEANUP(buf_release) struct buf b = BUF_INIT(205);
	/* The tag and a length of one byte fit, the second byte of the length does not. */
	size_t mark = proto_begin(&b, 1);
	proto_put_bytes(&b, 1, filler, 200);
	ck_assert_int_eq(buf_err(&b), ERR_NONE);
	proto_end(&b, mark);
	ck_assert_int_eq(buf_err(&b), ERR_TOO_LARGE);
	proto_end(&b, proto_begin(&b, 1));
	ck_assert_int_eq(buf_err(&b), ERR_TOO_LARGE);
}
END_TEST

START_TEST(random_bytes_never_break_the_reader)
{
	uint64_t random = 1;
	for (unsigned round = 0; round < 50000; round++) {
		uint8_t bytes[24];
		for (size_t i = 0; i < sizeof(bytes); i++) {
			random = random * 6364136223846793005U + 1442695040888963407U;
			bytes[i] = i % 3 ? (uint8_t)(random >> 60) : (uint8_t)(random >> 56);
		}
		enum err err = skip_all(bytes, random >> 40 & 15);
		if (err != ERR_NONE && err != ERR_BAD_REQUEST)
			ck_abort_msg("round %u: %d", round, (int)err);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proto");
	TCase *t = tcase_create("proto");
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, malformed_message_is_refused, 0, LEN(refused));
	tcase_add_test(t, message_cut_inside_a_field_is_refused);
	tcase_add_test(t, field_of_another_type_is_refused);
	tcase_add_test(t, string_that_is_not_utf8_is_refused);
	tcase_add_test(t, message_beyond_the_maximum_is_refused_and_sticks);
	tcase_add_test(t, random_bytes_never_break_the_reader);
	tcase_add_test(t, fields_are_read_in_order);
	tcase_add_test(t, empty_message_has_no_fields);
	tcase_add_test(t, long_form_of_a_varint_is_accepted);
	tcase_add_test(t, written_fields_are_these_bytes);
	tcase_add_test(t, nested_messages_get_lengths_of_any_size);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
