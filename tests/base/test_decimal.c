/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decimal numbers: reading is compared with strtof() and strtod(), which round correctly in glibc; what is
 * written is read back.
 */
#include "base/decimal.h"

#include <check.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 1200

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15U;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
	z = (z ^ z >> 27) * 0x94D049BB133111EBU;
	return z ^ z >> 31;
}

static uint32_t bits_of_f32(float v)
{
	uint32_t bits;
	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

static uint64_t bits_of_f64(double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

static float f32_of_bits(uint32_t bits)
{
	float v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

static double f64_of_bits(uint64_t bits)
{
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* From -1 to 1. */
static double random_unit(uint64_t *state)
{
	return (double)(int64_t)next_random(state) / 9.3e18;
}

static float random_f32(uint64_t *state)
{
	for (;;) {
		float v = f32_of_bits((uint32_t)next_random(state));
		if (isfinite(v))
			return v;
	}
}

static double random_f64(uint64_t *state)
{
	for (;;) {
		double v = f64_of_bits(next_random(state));
		if (isfinite(v))
			return v;
	}
}

/* A double whose exponent is near the range of floats. */
static double random_f64_like_f32(uint64_t *state)
{
	return ldexp(random_unit(state), (int)(next_random(state) % 290) - 155);
}

/* Both readers against the C library's. Returns how many numbers the fast path took. An assertion costs a
 * write to a file in Check, hence the tests before them. */
static size_t check_reading(const char *text)
{
	size_t len = strlen(text);
	struct decimal d;
	if (decimal_scan(text, len, &d) != len)
		ck_abort_msg("%s is not scanned", text);

	double f64 = 0, f64_wanted = strtod(text, NULL);
	bool fits = decimal_to_f64(&d, &f64);
	if (fits != (bool)isfinite(f64_wanted) ||
	    (fits && bits_of_f64(f64) != bits_of_f64(f64_wanted)))
		ck_abort_msg("%s becomes the double %a", text, f64);

	float f32 = 0, f32_wanted = strtof(text, NULL);
	fits = decimal_to_f32(&d, &f32);
	if (fits != (bool)isfinite(f32_wanted) ||
	    (fits && bits_of_f32(f32) != bits_of_f32(f32_wanted)))
		ck_abort_msg("%s becomes the float %a", text, (double)f32);

	char padded[TEXT_MAX + 100];
	memcpy(padded, text, len);
	padded[len] = ',';
	memset(padded + len + 1, ' ', 99);
	const char *p = padded;
	size_t n = decimal_scan_f32s(&p, padded + len + 100, &f32, 1);
	if (n == 0 ? p != padded : p <= padded + len || bits_of_f32(f32) != bits_of_f32(f32_wanted))
		ck_abort_msg("%s becomes the float %a in a run", text, (double)f32);
	return n;
}

static const struct {
	const char *text;
	size_t len;
} scans[] = {
	{ "", 0 },     { "-", 0 },         { "+1", 0 },     { ".5", 0 },   { "1.", 0 },
	{ "1.e5", 0 }, { "-.5", 0 },       { "1e", 0 },     { "1e+", 0 },  { "1E-", 0 },
	{ "e5", 0 },   { "Infinity", 0 },  { "NaN", 0 },    { "0x10", 1 }, /* the zero; what follows is the caller's to refuse */
	{ "01", 1 },   { "-01.5", 2 },     { "1.5.2", 3 },  { "1e5e", 3 }, { "0", 1 },
	{ "-0", 2 },   { "10.25e-7]", 8 }, { "1E+05,", 5 },
};

START_TEST(scan_takes_what_the_grammar_allows)
{
	struct decimal d;
	size_t len = strlen(scans[_i].text);
	char *text = malloc(len + 1); /* the last byte is not given away */
	ck_assert_ptr_nonnull(text);
	memcpy(text, scans[_i].text, len);
	text = realloc(text, len ? len : 1);
	size_t got = decimal_scan(text, len, &d);
	free(text);
	ck_assert_msg(got == scans[_i].len, "%s: %zu", scans[_i].text, got);
}
END_TEST

static const struct {
	const char *text;
	bool fits;
} float_bounds[] = {
	{ "3.4028235e38", true },
	{ "3.40282356779733661637e38", true },
	{ "3.40282356779733661638e38", false }, /* half a unit above FLT_MAX */
	{ "3.5e38", false },
	{ "1e39", false },
	{ "-1e39", false },
	{ "1e999999999999999999999", false },
	{ "1e-999999999999999999999", true },
	{ "0e999999999999999999999", true },
	{ "-0.0e5", true },
	{ "7.006492321624085e-46", true },  /* half the smallest float: zero */
	{ "7.0064923216240862e-46", true }, /* a little more: the smallest */
	{ "1.17549435e-38", true },
	{ "1.1754943157898259e-38", true },
	{ "16777217", true },
	{ "16777219", true },
	{ "1.00000005960464477539062500000000000000000000000000000000000000000000", true },
	{ "1.00000005960464477539062500000000000000000000000000000000000000000001", true },
	{ "1.00000005960464477539062499999999999999999999999999999999999999999999", true },
	{ "1.00000017881393432617187500", true },
	{ "0.00000000000000000000000000000000000000000000000000000000000000001e65", true },
	{ "100000000000000000000000000000000000000000000000000000000000000000e-65", true },
	{ "18446744073709551615", true },
	{ "18446744073709551616", true },
	{ "9223372036854775808.5", true },
	{ "1.7976931348623157e308", false },
};

START_TEST(bounds_and_middles_of_floats_are_as_the_c_library_has_them)
{
	struct decimal d;
	float v;
	const char *text = float_bounds[_i].text;
	(void)check_reading(text);
	ck_assert_uint_eq(decimal_scan(text, strlen(text), &d), strlen(text));
	ck_assert_msg(decimal_to_f32(&d, &v) == float_bounds[_i].fits, "%s", text);
}
END_TEST

START_TEST(random_short_numbers_round_correctly)
{
	uint64_t state = 1;
	char text[TEXT_MAX];
	size_t fast = 0;
	for (unsigned i = 0; i < 300000; i++) {
		snprintf(text, sizeof(text), "%.9g", random_unit(&state));
		fast += check_reading(text);
		snprintf(text, sizeof(text), "%.9g", (double)random_f32(&state));
		(void)check_reading(text);
	}
	/* Only numbers with an exponent are left to the slow path. */
	ck_assert_uint_gt(fast, 299000);
}
END_TEST

START_TEST(random_numbers_of_seventeen_digits_round_correctly)
{
	uint64_t state = 2;
	char text[TEXT_MAX];
	size_t fast = 0;
	for (unsigned i = 0; i < 200000; i++) {
		snprintf(text, sizeof(text), "%.17g", random_unit(&state));
		fast += check_reading(text);
		snprintf(text, sizeof(text), "%.17g", random_f64_like_f32(&state));
		(void)check_reading(text);
	}
	ck_assert_uint_gt(fast, 190000);
}
END_TEST

START_TEST(random_exponents_and_integers_round_correctly)
{
	uint64_t state = 3;
	char text[TEXT_MAX];
	for (unsigned i = 0; i < 150000; i++) {
		snprintf(text, sizeof(text), "%e", random_f64_like_f32(&state));
		(void)check_reading(text);
		snprintf(text, sizeof(text), "%" PRId64,
			 (int64_t)next_random(&state) >> next_random(&state) % 64);
		(void)check_reading(text);
	}
}
END_TEST

/* Up to 800 digits, a point anywhere, an exponent that brings it near the range of floats. */
START_TEST(random_long_digit_strings_round_correctly)
{
	uint64_t state = 4;
	for (unsigned i = 0; i < 60000; i++) {
		char text[TEXT_MAX];
		size_t count = 2 + next_random(&state) % (i % 50 == 0 ? 1000 : 60);
		size_t point = 1 + next_random(&state) % (count - 1);
		size_t n = 0;
		for (size_t digit = 0; digit < count; digit++) {
			if (digit == point)
				text[n++] = '.';
			text[n++] = (char)('0' + next_random(&state) % 10);
		}
		if (text[0] == '0')
			text[0] = '1';
		snprintf(text + n, sizeof(text) - n, "e%d",
			 (int)(next_random(&state) % 100) - 55 - (int)point);
		(void)check_reading(text);
	}
}
END_TEST

/* The exact text of v, of which the last digit is no part: *ret_end is behind the digits, before the e. */
static size_t exact_text(double v, char text[TEXT_MAX])
{
	snprintf(text, TEXT_MAX, "%.200e", v);
	return (size_t)(strchr(text, 'e') - text);
}

/* Exactly between two floats, and a unit of the 200th digit beside it. */
START_TEST(middles_between_floats_round_to_even_and_beside_them_to_the_nearer)
{
	uint64_t state = 5;
	for (unsigned i = 0; i < 40000; i++) {
		char text[TEXT_MAX];
		float v = fabsf(random_f32(&state));
		if (i % 8 == 0)
			v = f32_of_bits((uint32_t)next_random(&state) &
					0x7FFFFF); /* below FLT_MIN */
		float above = nextafterf(v, INFINITY);
		if (!isfinite(above))
			continue;
		size_t end = exact_text(((double)v + (double)above) / 2, text);
		(void)check_reading(text);
		text[end - 1] = '1';
		(void)check_reading(text);
		size_t at = end - 1;
		for (text[at] = '0'; text[at] == '0' || text[at] == '.'; at--)
			text[at] = text[at] == '0' ? '9' : '.';
		text[at]--;
		(void)check_reading(text);
	}
}
END_TEST

START_TEST(middles_between_doubles_round_correctly)
{
	uint64_t state = 6;
	for (unsigned i = 0; i < 20000; i++) {
		/* Whole numbers above 2^53 and the middles between them. */
		char text[TEXT_MAX];
		unsigned shift = 1 + (unsigned)(next_random(&state) % 9);
		uint64_t v = (1ULL << 53 | next_random(&state) >> 11) << shift;
		uint64_t middle = v + (1U << (shift - 1));
		snprintf(text, sizeof(text), "%" PRIu64, middle);
		(void)check_reading(text);
		snprintf(text, sizeof(text), "%" PRIu64 ".0000000000000000000000000001", middle);
		(void)check_reading(text);
	}
}
END_TEST

/* A digit far behind the others still counts. */
START_TEST(digit_beyond_every_bound_decides_a_tie)
{
	size_t zeroes = 5000;
	char *text = malloc(zeroes + 20);
	ck_assert_ptr_nonnull(text);
	memcpy(text, "16777217.", 9);
	memset(text + 9, '0', zeroes);
	text[9 + zeroes] = '1';
	struct decimal d;
	float v;
	ck_assert_uint_eq(decimal_scan(text, 9 + zeroes, &d), 9 + zeroes);
	ck_assert(decimal_to_f32(&d, &v));
	ck_assert_uint_eq(bits_of_f32(v), bits_of_f32(16777216.0F));
	ck_assert_uint_eq(decimal_scan(text, 10 + zeroes, &d), 10 + zeroes);
	ck_assert(decimal_to_f32(&d, &v));
	ck_assert_uint_eq(bits_of_f32(v), bits_of_f32(16777218.0F));
	free(text);
}
END_TEST

static const struct {
	const char *text;
	bool is_u64, is_i64;
	uint64_t u64;
	int64_t i64;
} wholes[] = {
	{ "0", true, true, 0, 0 },
	{ "-0", false, true, 0, 0 },
	{ "42", true, true, 42, 42 },
	{ "-42", false, true, 0, -42 },
	{ "9223372036854775807", true, true, INT64_MAX, INT64_MAX },
	{ "9223372036854775808", true, false, 9223372036854775808U, 0 },
	{ "-9223372036854775808", false, true, 0, INT64_MIN },
	{ "-9223372036854775809", false, false, 0, 0 },
	{ "18446744073709551615", true, false, UINT64_MAX, 0 },
	{ "18446744073709551616", false, false, 0, 0 },
	{ "28446744073709551615", false, false, 0, 0 },
	{ "100000000000000000000", false, false, 0, 0 },
	{ "1.0", false, false, 0, 0 },
	{ "1e3", false, false, 0, 0 },
	{ "0.0", false, false, 0, 0 },
};

START_TEST(whole_numbers_keep_every_digit)
{
	const char *text = wholes[_i].text;
	struct decimal d;
	uint64_t u64 = 0;
	int64_t i64 = 0;
	ck_assert_uint_eq(decimal_scan(text, strlen(text), &d), strlen(text));
	ck_assert_msg(decimal_to_u64(&d, &u64) == wholes[_i].is_u64, "%s", text);
	ck_assert_msg(decimal_to_i64(&d, &i64) == wholes[_i].is_i64, "%s", text);
	ck_assert_msg(!wholes[_i].is_u64 || u64 == wholes[_i].u64, "%s", text);
	ck_assert_msg(!wholes[_i].is_i64 || i64 == wholes[_i].i64, "%s", text);
}
END_TEST

static const struct {
	const char *text;
	size_t count;
	size_t passed;
} runs[] = {
	{ "0.25,-1.5,3,4]", 3, 12 },
	{ "0.25, -1.5 ,3]", 1, 6 }, /* white space before a comma is unusual */
	{ "0.25,\n\t -1.5,\r\n3]", 2, 15 },
	{ "1e5,2,]", 0, 0 },
	{ "01,2,]", 0, 0 },
	{ "0.25,01,]", 1, 5 },
	{ "1.,2,]", 0, 0 },
	{ ".5,2,]", 0, 0 },
	{ "-,2,]", 0, 0 },
	{ "12345678901,2,]", 0, 0 },
	{ "1234567890.5,2,]", 2, 15 },
	{ "0.1234567890123456789,2,]", 2, 24 },
	{ "0.12345678901234567890,2,]", 0, 0 },
	{ "1.2345678901234567890123456789,2,]", 0, 0 },
	{ "]", 0, 0 },
	{ ",1,2]", 0, 0 },
	{ "null,2,]", 0, 0 },
	{ "\"1\",2,]", 0, 0 },
};

START_TEST(run_of_floats_stops_in_front_of_anything_unusual)
{
	char padded[200];
	float out[8];
	memset(padded, ' ', sizeof(padded));
	memcpy(padded, runs[_i].text, strlen(runs[_i].text));
	const char *p = padded;
	size_t n = decimal_scan_f32s(&p, padded + sizeof(padded), out, LEN(out));
	ck_assert_msg(n == runs[_i].count, "%s: %zu", runs[_i].text, n);
	ck_assert_msg((size_t)(p - padded) == runs[_i].passed, "%s: %td", runs[_i].text,
		      p - padded);
}
END_TEST

/* In memory of the exact size, so that the sanitizer sees a read beyond it. */
START_TEST(run_of_floats_never_reads_past_the_end)
{
	for (size_t len = 0; len < 200; len++) {
		char *text = malloc(len ? len : 1);
		ck_assert_ptr_nonnull(text);
		for (size_t i = 0; i < len; i++)
			text[i] = "0.12345678,"[i % 11];
		const char *p = text;
		float out[32];
		size_t n = decimal_scan_f32s(&p, text + len, out, LEN(out));
		ck_assert_uint_eq((size_t)(p - text), n * 11);
		ck_assert(len < 100 || n >= (len - 64) / 11);
		p = text;
		ck_assert_uint_le(decimal_scan_f32s(&p, text + len, out, 2), 2);
		free(text);
	}
}
END_TEST

static const struct {
	float v;
	const char *text;
} f32_texts[] = {
	{ 0.0F, "0.0" },
	{ -0.0F, "-0.0" },
	{ 1.0F, "1.0" },
	{ -1.0F, "-1.0" },
	{ 0.1F, "0.1" },
	{ 0.3F, "0.3" },
	{ -2.5F, "-2.5" },
	{ 100.0F, "100.0" },
	{ 123456.0F, "123456.0" },
	{ 16777216.0F, "16777216.0" },
	{ 0.0001F, "0.0001" },
	{ 0.00001234F, "0.00001234" },
	{ 1e-7F, "1e-7" },
	{ 1.5e-7F, "1.5e-7" },
	{ 1e10F, "10000000000.0" },
	{ 1e17F, "1e17" },
	{ 1e20F, "1e20" },
	{ 1.0F / 3, "0.33333334" },
	{ FLT_MAX, "3.4028235e38" },
	{ -FLT_MAX, "-3.4028235e38" },
	{ FLT_MIN, "1.1754944e-38" },
	{ 1e-45F, "1e-45" },
	{ 9.99999935e-39F, "1e-38" },
};

START_TEST(floats_are_written_as_short_as_they_can_be)
{
	char out[DECIMAL_TEXT_MAX];
	size_t n = decimal_format_f32(f32_texts[_i].v, out);
	ck_assert_msg(n == strlen(f32_texts[_i].text) && memcmp(out, f32_texts[_i].text, n) == 0,
		      "%s: %.*s", f32_texts[_i].text, (int)n, out);
}
END_TEST

static const struct {
	double v;
	const char *text;
} f64_texts[] = {
	{ 0.0, "0.0" },
	{ -0.0, "-0.0" },
	{ 1.0, "1.0" },
	{ 0.1, "0.1" },
	{ 0.30000000000000004, "0.30000000000000004" },
	{ -1234.5, "-1234.5" },
	{ 48.8566, "48.8566" },
	{ 1e15, "1000000000000000.0" },
	{ 1e16, "1e16" },
	{ 9007199254740993.0, "9007199254740992.0" },
	{ 1e-5, "0.00001" },
	{ 1.5e-9, "1.5e-9" },
	{ 1e22, "1e22" },
	{ 1e23, "1e23" },
	{ DBL_MAX, "1.7976931348623157e308" },
	{ -DBL_MAX, "-1.7976931348623157e308" },
	{ DBL_MIN, "2.2250738585072014e-308" },
	{ 5e-324, "5e-324" },
	{ 1.0 / 3, "0.3333333333333333" },
};

START_TEST(doubles_are_written_as_short_as_they_can_be)
{
	char out[DECIMAL_TEXT_MAX];
	size_t n = decimal_format_f64(f64_texts[_i].v, out);
	ck_assert_msg(n == strlen(f64_texts[_i].text) && memcmp(out, f64_texts[_i].text, n) == 0,
		      "%s: %.*s", f64_texts[_i].text, (int)n, out);
}
END_TEST

static size_t digits_in(const char *text, size_t len)
{
	size_t n = 0, zeroes = 0;
	for (size_t i = 0; i < len && text[i] != 'e'; i++) {
		if (text[i] < '0' || text[i] > '9' || (n == 0 && text[i] == '0'))
			continue;
		n++;
		zeroes = text[i] == '0' ? zeroes + 1 : 0;
	}
	return n - zeroes;
}

/* As many digits as are needed, no more. Above 2^24 a shorter text may lie in the middle of two floats and
 * is not used, though it would read back. */
static void check_f32_text(float v)
{
	char out[DECIMAL_TEXT_MAX + 1], printed[64];
	size_t n = decimal_format_f32(v, out);
	if (n >= DECIMAL_TEXT_MAX)
		ck_abort_msg("%a takes %zu bytes", (double)v, n);
	out[n] = '\0';
	struct decimal d;
	if (decimal_scan(out, n, &d) != n || d.whole)
		ck_abort_msg("%a becomes %s", (double)v, out);
	if (bits_of_f32(strtof(out, NULL)) != bits_of_f32(v))
		ck_abort_msg("%a becomes %s", (double)v, out);
	size_t digits = digits_in(out, n);
	if (digits < 2 || fabsf(v) >= 0x1p24F)
		return;
	snprintf(printed, sizeof(printed), "%.*e", (int)digits - 2, (double)v);
	if (bits_of_f32(strtof(printed, NULL)) == bits_of_f32(v))
		ck_abort_msg("%s is enough for %s", printed, out);
}

START_TEST(random_floats_read_back_and_no_digit_is_too_many)
{
	uint64_t state = 7;
	for (unsigned i = 0; i < 200000; i++) {
		check_f32_text(random_f32(&state));
		check_f32_text((float)random_unit(&state));
		check_f32_text((float)(int)(next_random(&state) % 2000) / 1000);
	}
	for (uint32_t exponent = 0; exponent < 255; exponent++) {
		check_f32_text(f32_of_bits(exponent << 23));
		check_f32_text(f32_of_bits(exponent << 23 | 1));
		check_f32_text(f32_of_bits(exponent << 23 | 0x7FFFFF));
	}
}
END_TEST

static void check_f64_text(double v)
{
	char out[DECIMAL_TEXT_MAX + 1], printed[64];
	size_t n = decimal_format_f64(v, out);
	if (n >= DECIMAL_TEXT_MAX)
		ck_abort_msg("%a takes %zu bytes", v, n);
	out[n] = '\0';
	struct decimal d;
	if (decimal_scan(out, n, &d) != n || d.whole)
		ck_abort_msg("%a becomes %s", v, out);
	if (bits_of_f64(strtod(out, NULL)) != bits_of_f64(v))
		ck_abort_msg("%a becomes %s", v, out);
	size_t digits = digits_in(out, n);
	if (digits < 2)
		return;
	snprintf(printed, sizeof(printed), "%.*e", (int)digits - 2, v);
	if (bits_of_f64(strtod(printed, NULL)) == bits_of_f64(v))
		ck_abort_msg("%s is enough for %s", printed, out);
}

START_TEST(random_doubles_read_back_and_no_digit_is_too_many)
{
	uint64_t state = 8;
	for (unsigned i = 0; i < 40000; i++) {
		check_f64_text(random_f64(&state));
		check_f64_text(random_unit(&state));
		check_f64_text((double)(int64_t)(next_random(&state) >> 20) / 1000);
		check_f64_text((double)(int64_t)(next_random(&state) >> next_random(&state) % 60));
	}
}
END_TEST

START_TEST(integers_are_written_in_full)
{
	char out[DECIMAL_TEXT_MAX];
	ck_assert_uint_eq(decimal_format_u64(UINT64_MAX, out), 20);
	ck_assert_mem_eq(out, "18446744073709551615", 20);
	ck_assert_uint_eq(decimal_format_u64(0, out), 1);
	ck_assert_mem_eq(out, "0", 1);
	ck_assert_uint_eq(decimal_format_i64(INT64_MIN, out), 20);
	ck_assert_mem_eq(out, "-9223372036854775808", 20);
	ck_assert_uint_eq(decimal_format_i64(-1, out), 2);
	ck_assert_mem_eq(out, "-1", 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("decimal");
	TCase *t = tcase_create("decimal");
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, scan_takes_what_the_grammar_allows, 0, LEN(scans));
	tcase_add_loop_test(t, bounds_and_middles_of_floats_are_as_the_c_library_has_them, 0,
			    LEN(float_bounds));
	tcase_add_test(t, random_short_numbers_round_correctly);
	tcase_add_test(t, random_numbers_of_seventeen_digits_round_correctly);
	tcase_add_test(t, random_exponents_and_integers_round_correctly);
	tcase_add_test(t, random_long_digit_strings_round_correctly);
	tcase_add_test(t, middles_between_floats_round_to_even_and_beside_them_to_the_nearer);
	tcase_add_test(t, middles_between_doubles_round_correctly);
	tcase_add_test(t, digit_beyond_every_bound_decides_a_tie);
	tcase_add_loop_test(t, whole_numbers_keep_every_digit, 0, LEN(wholes));
	tcase_add_loop_test(t, run_of_floats_stops_in_front_of_anything_unusual, 0, LEN(runs));
	tcase_add_test(t, run_of_floats_never_reads_past_the_end);
	tcase_add_loop_test(t, floats_are_written_as_short_as_they_can_be, 0, LEN(f32_texts));
	tcase_add_loop_test(t, doubles_are_written_as_short_as_they_can_be, 0, LEN(f64_texts));
	tcase_add_test(t, random_floats_read_back_and_no_digit_is_too_many);
	tcase_add_test(t, random_doubles_read_back_and_no_digit_is_too_many);
	tcase_add_test(t, integers_are_written_in_full);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
