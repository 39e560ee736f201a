/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of MMDB files byte by byte: each schema, pointers, and damage of every kind.
 */
#include "gateway/geo_record.h"

#include <check.h>
#include <string.h>

#include "base/buf.h"

/* The format's control bytes: type << 5 | size. */
#define MAP(n) (7u << 5 | (n))
#define TEXT(n) (2u << 5 | (n))
#define DOUBLE (3u << 5 | 8)
#define POINTER (1u << 5)

static struct buf b;

static void set_up(void)
{
	buf_init(&b, SIZE_MAX);
}

static void tear_down(void)
{
	buf_release(&b);
}

static void put_byte(unsigned v)
{
	ck_assert_int_eq(buf_append_byte(&b, (uint8_t)v), ERR_NONE);
}

static void put_text(const char *text)
{
	ck_assert_uint_lt(strlen(text), 29);
	put_byte((unsigned)TEXT(strlen(text)));
	ck_assert_int_eq(buf_append(&b, text, strlen(text)), ERR_NONE);
}

static void put_double(double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	put_byte(DOUBLE);
	for (int shift = 56; shift >= 0; shift -= 8)
		put_byte((unsigned)(bits >> shift) & 0xff);
}

static void put_float(float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	put_byte(4);
	put_byte(15 - 7);
	for (int shift = 24; shift >= 0; shift -= 8)
		put_byte(bits >> shift & 0xff);
}

static void put_map(unsigned entries)
{
	put_byte(MAP(entries));
}

static bool read_it(struct geo_record *r)
{
	memset(r, 0x55, sizeof(*r));
	return geo_record_read(buf_bytes(&b), 0, r);
}

static void put_nested(void)
{
	put_map(4);
	put_text("continent");
	put_map(1);
	put_text("code");
	put_text("EU");
	put_text("registered_country");
	put_map(1);
	put_text("iso_code");
	put_text("FR");
	put_text("country");
	put_map(2);
	put_text("geoname_id");
	put_byte(6 << 5 | 2);
	put_byte(1);
	put_byte(2);
	put_text("iso_code");
	put_text("DE");
	put_text("location");
	put_map(2);
	put_text("latitude");
	put_double(50.25);
	put_text("longitude");
	put_double(-8.5);
}

START_TEST(the_nested_schema_is_read)
{
	struct geo_record r;

	put_nested();
	ck_assert(read_it(&r));
	ck_assert_str_eq(r.country, "DE");
	ck_assert_str_eq(r.continent, "EU");
	ck_assert(r.located);
	ck_assert_double_eq_tol(r.lat, 50.25, 1e-9);
	ck_assert_double_eq_tol(r.lon, -8.5, 1e-9);
	ck_assert(geo_record_check(buf_bytes(&b), 0));
}
END_TEST

START_TEST(the_flat_schema_is_read)
{
	struct geo_record r;

	put_map(4);
	put_text("city");
	put_text("Berlin");
	put_text("country_code");
	put_text("DE");
	put_text("latitude");
	put_float(52.5F);
	put_text("longitude");
	put_float(13.25F);
	ck_assert(read_it(&r));
	ck_assert_str_eq(r.country, "DE");
	ck_assert_str_eq(r.continent, "");
	ck_assert(r.located);
	ck_assert_double_eq_tol(r.lat, 52.5, 1e-6);
	ck_assert_double_eq_tol(r.lon, 13.25, 1e-6);
}
END_TEST

START_TEST(a_registered_country_serves_where_there_is_no_other)
{
	struct geo_record r;

	put_map(1);
	put_text("registered_country");
	put_map(1);
	put_text("iso_code");
	put_text("FR");
	ck_assert(read_it(&r));
	ck_assert_str_eq(r.country, "FR");
	ck_assert(!r.located);
}
END_TEST

START_TEST(what_is_no_code_and_no_place_is_as_if_it_were_not_there)
{
	static const char *const codes[] = { "", "D", "DEU", "de", "D1" };
	static const double places[][2] = { { 0, 0 }, { 91, 1 }, { -91, 1 }, { 1, 181 }, { 1, -181 } };
	struct geo_record r;

	for (size_t i = 0; i < LEN(codes); i++) {
		buf_reset(&b);
		put_map(3);
		put_text("country");
		put_text(codes[i]);
		put_text("latitude");
		put_double(places[i][0]);
		put_text("longitude");
		put_double(places[i][1]);
		ck_assert(read_it(&r));
		ck_assert_str_eq(r.country, "");
		ck_assert_msg(!r.located, "%zu", i);
	}
}
END_TEST

START_TEST(a_pointer_leads_to_a_value_but_not_to_a_pointer)
{
	struct geo_record r;

	put_map(1);
	put_text("country_code");
	size_t pointer = b.len;
	put_byte(POINTER);
	put_byte((unsigned)b.len + 1);
	put_text("NL");
	ck_assert(read_it(&r));
	ck_assert_str_eq(r.country, "NL");
	/* To itself. */
	b.data[pointer + 1] = (uint8_t)pointer;
	ck_assert(!read_it(&r));
	ck_assert(!geo_record_check(buf_bytes(&b), 0));
	/* Out of the section. */
	b.data[pointer + 1] = 0xff;
	ck_assert(!read_it(&r));
	ck_assert(!geo_record_check(buf_bytes(&b), 0));
}
END_TEST

START_TEST(a_record_that_ends_early_is_damage_wherever_it_ends)
{
	struct geo_record r;

	put_nested();
	for (size_t len = 0; len < b.len; len++) {
		ck_assert_msg(!geo_record_read((struct bytes){ b.data, len }, 0, &r), "%zu", len);
		ck_assert_msg(!geo_record_check((struct bytes){ b.data, len }, 0), "%zu", len);
	}
	ck_assert(!geo_record_read(buf_bytes(&b), b.len, &r));
	ck_assert(!geo_record_read(buf_bytes(&b), SIZE_MAX, &r));
}
END_TEST

START_TEST(what_is_no_map_is_no_record)
{
	struct geo_record r;

	put_text("DE");
	ck_assert(!read_it(&r));
	ck_assert(geo_record_check(buf_bytes(&b), 0));
}
END_TEST

static void put_maps(unsigned depth)
{
	for (unsigned i = 0; i < depth; i++) {
		put_map(1);
		put_text("x");
	}
	put_text("y");
}

START_TEST(nesting_has_a_bound)
{
	struct geo_record r;

	put_maps(GEO_RECORD_DEPTH_MAX);
	ck_assert(read_it(&r));
	ck_assert(geo_record_check(buf_bytes(&b), 0));
	buf_reset(&b);
	put_maps(GEO_RECORD_DEPTH_MAX + 1);
	ck_assert(!read_it(&r));
	ck_assert(!geo_record_check(buf_bytes(&b), 0));
}
END_TEST

/* Each array has two pointers to the next one: 2^n values of 5 n bytes. */
START_TEST(pointers_that_multiply_end_at_the_bound_of_steps)
{
	for (unsigned level = 0; level < 14; level++) {
		unsigned next = (unsigned)b.len + 6;
		put_byte(2);
		put_byte(11 - 7);
		for (unsigned n = 0; n < 2; n++) {
			put_byte(POINTER);
			put_byte(next);
		}
	}
	put_text("end");
	ck_assert(!geo_record_check(buf_bytes(&b), 0));
	ck_assert(geo_record_check(buf_bytes(&b), b.len - 4 - 6 * 6));
}
END_TEST

START_TEST(a_changed_byte_is_read_within_bounds)
{
	struct geo_record r;

	put_nested();
	for (size_t i = 0; i < b.len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			b.data[i] ^= (uint8_t)(1u << bit);
			if (geo_record_read(buf_bytes(&b), 0, &r))
				ck_assert(strlen(r.country) == 0 || strlen(r.country) == 2);
			(void)geo_record_check(buf_bytes(&b), 0);
			b.data[i] ^= (uint8_t)(1u << bit);
		}
	ck_assert(read_it(&r));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("geo_record");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, what_is_no_map_is_no_record);
	tcase_add_test(t, a_record_that_ends_early_is_damage_wherever_it_ends);
	tcase_add_test(t, the_nested_schema_is_read);
	tcase_add_test(t, the_flat_schema_is_read);
	tcase_add_test(t, a_registered_country_serves_where_there_is_no_other);
	tcase_add_test(t, what_is_no_code_and_no_place_is_as_if_it_were_not_there);
	tcase_add_test(t, a_pointer_leads_to_a_value_but_not_to_a_pointer);
	tcase_add_test(t, nesting_has_a_bound);
	tcase_add_test(t, pointers_that_multiply_end_at_the_bound_of_steps);
	tcase_add_test(t, a_changed_byte_is_read_within_bounds);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
