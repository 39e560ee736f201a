/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decimal text and binary numbers.
 *
 * To float by way of double: digits * 10^exponent is computed in double with an error of less than
 * ERROR_ULPS_MAX units in its last place. The conversion to float then rounds as the exact value would,
 * unless the double is that close to the middle between two floats: 17 of 2^29 cases, and those whose value
 * lies there exactly. Then strtof() decides, on a copy of bounded length.
 * To double: exact when digits and power are (W. Clinger, How to Read Floating Point Numbers Accurately,
 * PLDI 1990), else strtod().
 */
#include "base/decimal.h"

#include <endian.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "eight digits at once are read in little-endian order"
#endif
#if FLT_EVAL_METHOD != 0
#error "rounding must be that of the type"
#endif

#define ERROR_ULPS_MAX 8
#define FLOAT_BITS_CUT 29 /* of a double's 52 when it becomes a float */

#define POWER_MIN (-64)
#define POWER_MAX 48
#define EXACT_POWER_MAX 22

/* Nearest doubles; exact from 0 to EXACT_POWER_MAX. */
static const double powers_of_10[POWER_MAX - POWER_MIN + 1] = {
	1e-64, 1e-63, 1e-62, 1e-61, 1e-60, 1e-59, 1e-58, 1e-57, 1e-56, 1e-55, 1e-54, 1e-53, 1e-52,
	1e-51, 1e-50, 1e-49, 1e-48, 1e-47, 1e-46, 1e-45, 1e-44, 1e-43, 1e-42, 1e-41, 1e-40, 1e-39,
	1e-38, 1e-37, 1e-36, 1e-35, 1e-34, 1e-33, 1e-32, 1e-31, 1e-30, 1e-29, 1e-28, 1e-27, 1e-26,
	1e-25, 1e-24, 1e-23, 1e-22, 1e-21, 1e-20, 1e-19, 1e-18, 1e-17, 1e-16, 1e-15, 1e-14, 1e-13,
	1e-12, 1e-11, 1e-10, 1e-9,  1e-8,  1e-7,  1e-6,  1e-5,  1e-4,  1e-3,  1e-2,  1e-1,  1e0,
	1e1,   1e2,   1e3,   1e4,   1e5,   1e6,   1e7,   1e8,   1e9,   1e10,  1e11,  1e12,  1e13,
	1e14,  1e15,  1e16,  1e17,  1e18,  1e19,  1e20,  1e21,  1e22,  1e23,  1e24,  1e25,  1e26,
	1e27,  1e28,  1e29,  1e30,  1e31,  1e32,  1e33,  1e34,  1e35,  1e36,  1e37,  1e38,  1e39,
	1e40,  1e41,  1e42,  1e43,  1e44,  1e45,  1e46,  1e47,  1e48,
};

/* A mantissa of more digits decides no rounding: the longest exact middle of two doubles has 767 digits. */
#define COPY_DIGITS_MAX 800
#define COPY_EXPONENT_MAX 100000
/* Beyond it an exponent is larger than any text's digits could make up for. */
#define EXPONENT_MAX 1000000000000000

static bool is_digit(char c)
{
	return (unsigned char)(c - '0') <= 9;
}

static void add_digit(struct decimal *d, char c)
{
	if (d->digit_count < DECIMAL_DIGITS_MAX) {
		d->digits = d->digits * 10 + (unsigned char)(c - '0');
		d->digit_count += d->digits > 0;
	} else {
		d->exponent++;
		d->cut |= c != '0';
	}
}

/* Returns the first byte that is no digit. */
static const char *scan_whole(const char *p, const char *end, struct decimal *d)
{
	if (p < end && *p == '0')
		return p + 1;
	for (; p < end && is_digit(*p); p++)
		add_digit(d, *p);
	return p;
}

static const char *scan_fraction(const char *p, const char *end, struct decimal *d)
{
	for (; p < end && is_digit(*p); p++) {
		d->exponent--;
		add_digit(d, *p);
	}
	return p;
}

/* NULL when digits are missing. */
static const char *scan_exponent(const char *p, const char *end, struct decimal *d)
{
	bool negative = p < end && *p == '-';
	if (p < end && (*p == '-' || *p == '+'))
		p++;
	if (p == end || !is_digit(*p))
		return NULL;
	int64_t value = 0;
	for (; p < end && is_digit(*p); p++)
		value = MIN(value * 10 + (*p - '0'), EXPONENT_MAX);
	d->exponent += negative ? -value : value;
	return p;
}

size_t decimal_scan(const char *p, size_t left, struct decimal *ret_decimal)
{
	const char *start = p;
	const char *end = p + left;
	struct decimal d = { .text = p, .whole = true };

	d.negative = left > 0 && *p == '-';
	p += d.negative;
	if (p == end || !is_digit(*p))
		return 0;
	p = scan_whole(p, end, &d);
	if (p < end && *p == '.') {
		d.whole = false;
		if (++p == end || !is_digit(*p))
			return 0;
		p = scan_fraction(p, end, &d);
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		d.whole = false;
		p = scan_exponent(p + 1, end, &d);
		if (!p)
			return 0;
	}
	d.len = (size_t)(p - start);
	*ret_decimal = d;
	return d.len;
}

/* The same value as DIGITS e EXPONENT, in a form that no locale changes: the first COPY_DIGITS_MAX digits and,
 * for all that follow, one 1, which is on the same side of every middle. */
static void copy_bounded(const struct decimal *d, char out[COPY_DIGITS_MAX + 32])
{
	size_t n = 0;
	bool rest = false;

	for (const char *p = d->text; p < d->text + d->len && *p != 'e' && *p != 'E'; p++) {
		if (!is_digit(*p) || (n == 0 && *p == '0'))
			continue;
		if (n < COPY_DIGITS_MAX)
			out[n++] = *p;
		else
			rest |= *p != '0';
	}
	if (rest)
		out[n++] = '1';
	int64_t exponent = d->exponent + d->digit_count - (int64_t)n;
	exponent = MAX(MIN(exponent, COPY_EXPONENT_MAX), -COPY_EXPONENT_MAX);
	snprintf(out + n, 32, "e%d", (int)exponent);
}

/* May the exact value of which v is the approximation round to another float than v does? */
static inline bool is_near_middle(double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	uint64_t cut = bits & ((1U << FLOAT_BITS_CUT) - 1);
	uint64_t middle = 1U << (FLOAT_BITS_CUT - 1);
	return cut - (middle - ERROR_ULPS_MAX) <= 2 * ERROR_ULPS_MAX;
}

/* digits * 10^exponent as float; false when that is not certain. */
static inline bool round_to_f32(uint64_t digits, int64_t exponent, float *ret_value)
{
	if (exponent < POWER_MIN || exponent > POWER_MAX || digits > INT64_MAX)
		return false;
	/* The signed conversion is one instruction. */
	double v = (double)(int64_t)digits * powers_of_10[exponent - POWER_MIN];
	if (digits == 0) {
		*ret_value = 0;
		return true;
	}
	/* Outside, floats lie further apart than the cut bits say, or there are none. */
	if (!(v >= (double)FLT_MIN && v <= (double)FLT_MAX) || is_near_middle(v))
		return false;
	*ret_value = (float)v;
	return true;
}

bool decimal_to_f32(const struct decimal *d, float *ret_value)
{
	float v;

	/* What was cut is less than 10^-18 of the whole: within the error allowed for. */
	if (!round_to_f32(d->digits, d->digits ? d->exponent : 0, &v)) {
		char copy[COPY_DIGITS_MAX + 32];
		copy_bounded(d, copy);
		v = strtof(copy, NULL);
		if (!isfinite(v))
			return false;
	}
	*ret_value = d->negative ? -v : v;
	return true;
}

bool decimal_to_f64(const struct decimal *d, double *ret_value)
{
	bool exact = !d->cut && d->digits <= (1ULL << DBL_MANT_DIG) &&
		     d->exponent >= -EXACT_POWER_MAX && d->exponent <= EXACT_POWER_MAX;
	double v = (double)d->digits;

	if (exact && d->exponent < 0) {
		v /= powers_of_10[-d->exponent - POWER_MIN];
	} else if (exact) {
		v *= powers_of_10[d->exponent - POWER_MIN];
	} else if (d->digits > 0) {
		char copy[COPY_DIGITS_MAX + 32];
		copy_bounded(d, copy);
		v = strtod(copy, NULL);
		if (!isfinite(v))
			return false;
	}
	*ret_value = d->negative ? -v : v;
	return true;
}

/* The digits of a whole number as they are; false beyond UINT64_MAX. */
static bool whole_magnitude(const struct decimal *d, uint64_t *ret_value)
{
	uint64_t v = 0;

	if (!d->whole)
		return false;
	for (size_t i = d->negative; i < d->len; i++) {
		if (__builtin_mul_overflow(v, 10U, &v) ||
		    __builtin_add_overflow(v, (unsigned)(d->text[i] - '0'), &v))
			return false;
	}
	*ret_value = v;
	return true;
}

bool decimal_to_u64(const struct decimal *d, uint64_t *ret_value)
{
	return !d->negative && whole_magnitude(d, ret_value);
}

bool decimal_to_i64(const struct decimal *d, int64_t *ret_value)
{
	uint64_t v;

	if (!whole_magnitude(d, &v) || v > (uint64_t)INT64_MAX + d->negative)
		return false;
	*ret_value = (int64_t)(d->negative ? 0 - v : v);
	return true;
}

/* Eight digits at once, after D. Lemire, Quickly parsing eight digits (2018): the first digit of the text is
 * in the lowest byte. Bytes of a run are digits XOR '0'. */
static inline uint64_t load_digits(const char *p)
{
	uint64_t word;
	memcpy(&word, p, sizeof(word));
	return word ^ 0x3030303030303030U;
}

/* The highest bit of every byte that is no digit; above the first of them, a carry may lie. */
static inline uint64_t other_bytes(uint64_t run)
{
	return ((run + 0x7676767676767676U) | run) & 0x8080808080808080U;
}

/* The number that eight digits make. */
static inline uint64_t digits_value(uint64_t run)
{
	run = run * 10 + (run >> 8);
	uint64_t pairs = (run & 0x000000FF000000FFU) * 0x000F424000000064U +
			 ((run >> 16) & 0x000000FF000000FFU) * 0x0000271000000001U;
	return pairs >> 32;
}

static const uint64_t small_powers_of_10[9] = {
	1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000,
};

#define PLAIN_WHOLE_MAX 10    /* digits before the point */
#define PLAIN_FRACTION_MAX 23 /* digits behind it: two runs of eight and a part of a third */
/* sign, whole part, point, fraction, and what is loaded with its end */
#define PLAIN_BYTES_MAX (1 + PLAIN_WHOLE_MAX + 1 + PLAIN_FRACTION_MAX + 8)

/* Appends the digits at *p to *digits and passes them; returns how many, or more than PLAIN_FRACTION_MAX. The
 * processor guesses how many full runs there are and does not wait for one before it loads the next. */
static inline unsigned take_fraction(const char **p, uint64_t *digits)
{
	unsigned count = 0;
	uint64_t run = load_digits(*p);
	uint64_t others = other_bytes(run);

	for (; others == 0; others = other_bytes(run)) {
		*digits = *digits * small_powers_of_10[8] + digits_value(run);
		*p += 8;
		count += 8;
		if (count > PLAIN_FRACTION_MAX)
			return count;
		run = load_digits(*p);
	}
	unsigned n = (unsigned)__builtin_ctzll(others) / 8;
	/* Shifting drops the other bytes and puts zeroes in front; twice, as no shift may be by 64. */
	*digits = *digits * small_powers_of_10[n] +
		  digits_value(run << (4 * (8 - n)) << (4 * (8 - n)));
	*p += n;
	return count + n;
}

/* A number without exponent and of at most DECIMAL_DIGITS_MAX digits; PLAIN_BYTES_MAX bytes are readable.
 * Returns the byte after it, NULL when it is something else. A zero too many in front, and an exponent, show
 * as a number that no comma follows. */
static inline const char *scan_plain(const char *p, float *ret_value)
{
	uint32_t negative = *p == '-';
	p += negative;
	uint64_t digits = (unsigned char)(*p - '0');
	if (digits > 9)
		return NULL;
	unsigned count = digits > 0;
	p++;
	for (; digits > 0 && is_digit(*p); p++) {
		if (++count > PLAIN_WHOLE_MAX)
			return NULL;
		digits = digits * 10 + (unsigned char)(*p - '0');
	}
	unsigned fraction = 0;
	if (*p == '.') {
		p++;
		fraction = take_fraction(&p, &digits);
		if (fraction == 0 || fraction + count > DECIMAL_DIGITS_MAX)
			return NULL;
	}
	if (digits > INT64_MAX)
		return NULL;
	/* Zero, or from 10^-19 to 2^63: a normal float. */
	double wide = (double)(int64_t)digits * powers_of_10[0 - POWER_MIN - fraction];
	if (is_near_middle(wide))
		return NULL;
	float v = (float)wide;
	/* Signs of vectors cannot be foretold: no branch on them. */
	uint32_t bits;
	memcpy(&bits, &v, sizeof(bits));
	bits |= negative << 31;
	memcpy(ret_value, &bits, sizeof(bits));
	return p;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

size_t decimal_scan_f32s(const char **p, const char *end, float *out, size_t cap)
{
	const char *at = *p;
	size_t n = 0;

	for (; n < cap && end - at >= PLAIN_BYTES_MAX; n++) {
		const char *after = scan_plain(at, &out[n]);
		if (!after || *after != ',')
			break;
		at = after + 1;
		while (at < end && is_space(*at))
			at++;
	}
	*p = at;
	return n;
}

static size_t put_digits(uint64_t v, char *out)
{
	char reversed[20];
	size_t n = 0;

	do {
		reversed[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	for (size_t i = 0; i < n; i++)
		out[i] = reversed[n - 1 - i];
	return n;
}

static size_t put_signed(int64_t v, char *out)
{
	if (v >= 0)
		return put_digits((uint64_t)v, out);
	out[0] = '-';
	return 1 + put_digits(0 - (uint64_t)v, out + 1);
}

size_t decimal_format_u64(uint64_t v, char out[DECIMAL_TEXT_MAX])
{
	return put_digits(v, out);
}

size_t decimal_format_i64(int64_t v, char out[DECIMAL_TEXT_MAX])
{
	return put_signed(v, out);
}

/* Where the point stands, counted from the first digit, for numbers that are written without an exponent. */
#define POINT_MIN (-4)
#define POINT_MAX 16

/* At most 17 digits. Longest: -0.0000 and 17 digits, or -D.DDDDe-308 with 17. */
static size_t format_digits(uint64_t digits, int exponent, char *out)
{
	while (digits > 0 && digits % 10 == 0) {
		digits /= 10;
		exponent++;
	}
	char text[DECIMAL_TEXT_MAX];
	int count = (int)put_digits(digits, text);
	int point = count + exponent;
	size_t n = 0;

	if (point < POINT_MIN || point > POINT_MAX) {
		out[n++] = text[0];
		if (count > 1) {
			out[n++] = '.';
			memcpy(out + n, text + 1, (size_t)count - 1);
			n += (size_t)count - 1;
		}
		out[n++] = 'e';
		return n + put_signed(point - 1, out + n);
	}
	if (point <= 0)
		out[n++] = '0';
	for (int i = 0; i < point; i++)
		out[n++] = i < count ? text[i] : '0';
	out[n++] = '.';
	for (int i = MIN(point, 0); i < 0; i++)
		out[n++] = '0';
	for (int i = MAX(point, 0); i < count; i++)
		out[n++] = text[i];
	if (count <= point)
		out[n++] = '0';
	return n;
}

/* The digits and the exponent of what printf's %.*e wrote, whatever stands for the point. */
static size_t format_printed(const char *text, char *out)
{
	uint64_t digits = 0;
	int count = 0;

	for (; *text != 'e'; text++) {
		if (!is_digit(*text))
			continue;
		digits = digits * 10 + (unsigned char)(*text - '0');
		count++;
	}
	int exponent = (int)strtol(text + 1, NULL, 10);
	return format_digits(digits, exponent - (count - 1), out);
}

/* The fewest digits by trial: any float, and slow. */
static size_t format_f32_slowly(float v, char *out)
{
	char text[64];
	int precision = 0;

	do {
		snprintf(text, sizeof(text), "%.*e", precision, (double)v);
	} while (strtof(text, NULL) != v && ++precision < FLT_DECIMAL_DIG);
	return format_printed(text, out);
}

/* The power of ten of v's first digit; v is a normal float above 0. */
static int exponent_of(float v)
{
	uint32_t bits;
	memcpy(&bits, &v, sizeof(bits));
	int binary = (int)(bits >> (FLT_MANT_DIG - 1)) - (FLT_MAX_EXP - 1);
	int exponent = binary * 1233 >> 12; /* log10(2), rounded down */
	return exponent + ((double)v >= powers_of_10[exponent + 1 - POWER_MIN]);
}

/* v > 0. Six digits survive the way through a float, so a float that has a text of six or less has it among
 * its roundings to six; nine always read back. Each try is read back by round_to_f32(), which is right or
 * says that it does not know. Floats below FLT_MIN have fewer digits and take the slow way. */
static size_t format_f32_positive(float v, char *out)
{
	if (v < FLT_MIN)
		return format_f32_slowly(v, out);
	int exponent = exponent_of(v);
	for (int count = FLT_DIG; count <= FLT_DECIMAL_DIG; count++) {
		int shift = count - 1 - exponent;
		uint64_t digits = (uint64_t)((double)v * powers_of_10[shift - POWER_MIN] + 0.5);
		float read;
		if (round_to_f32(digits, -shift, &read) && read == v)
			return format_digits(digits, -shift, out);
	}
	return format_f32_slowly(v, out);
}

size_t decimal_format_f32(float v, char out[DECIMAL_TEXT_MAX])
{
	size_t sign = signbit(v) ? 1 : 0;

	ASSERT(isfinite(v));
	if (sign)
		out[0] = '-';
	if (v == 0) {
		memcpy(out + sign, "0.0", 3);
		return sign + 3;
	}
	return sign + format_f32_positive(fabsf(v), out + sign);
}

/* v > 0. A text of at most fifteen digits is found by trying few digits behind the point first, read back as
 * decimal_to_f64() reads it. Numbers below DBL_MIN may have fewer digits. */
static size_t format_f64_positive(double v, char *out)
{
	for (int shift = 0; shift <= DBL_DIG; shift++) {
		double scaled = v * powers_of_10[shift - POWER_MIN];
		if (scaled >= 1e15)
			break;
		uint64_t digits = (uint64_t)(scaled + 0.5);
		if ((double)digits / powers_of_10[shift - POWER_MIN] == v)
			return format_digits(digits, -shift, out);
	}
	char text[64];
	int precision = v < DBL_MIN ? 0 : DBL_DIG - 1;

	do {
		snprintf(text, sizeof(text), "%.*e", precision, v);
	} while (strtod(text, NULL) != v && ++precision < DBL_DECIMAL_DIG);
	return format_printed(text, out);
}

size_t decimal_format_f64(double v, char out[DECIMAL_TEXT_MAX])
{
	size_t sign = signbit(v) ? 1 : 0;

	ASSERT(isfinite(v));
	if (sign)
		out[0] = '-';
	if (v == 0) {
		memcpy(out + sign, "0.0", 3);
		return sign + 3;
	}
	return sign + format_f64_positive(fabs(v), out + sign);
}
