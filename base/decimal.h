/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decimal text and binary numbers: reading rounds correctly (to nearest, ties to even), writing gives the
 * shortest text that reads back as the same number. Text is JSON's and never the locale's.
 */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

/* A scanned number: digits * 10^exponent, plus the digits that were cut off. */
struct decimal {
	const char *text;
	size_t len;
	uint64_t digits;       /* the first DECIMAL_DIGITS_MAX significant ones */
	unsigned digit_count;  /* of digits */
	int64_t exponent;
	bool negative;
	bool whole;            /* neither fraction nor exponent */
	bool cut;              /* digits other than 0 were cut off */
};
#define DECIMAL_DIGITS_MAX 19

/* Scans the number of RFC 8259 §6 at p. Returns its bytes, 0 when there is none. */
size_t decimal_scan(const char *p, size_t left, struct decimal *ret_decimal);
/* False when it is beyond the type's largest finite value; too small a number becomes zero. */
bool decimal_to_f32(const struct decimal *d, float *ret_value);
bool decimal_to_f64(const struct decimal *d, double *ret_value);
/* False when it is not whole or not in the type's range; -0 is not in that of u64. */
bool decimal_to_u64(const struct decimal *d, uint64_t *ret_value);
bool decimal_to_i64(const struct decimal *d, int64_t *ret_value);

/* The fast path for vectors: reads up to cap numbers, each of them followed by a comma, and leaves *p at the
 * start of what comes after the last comma passed. It stops early in front of anything unusual, and always
 * near the end of the text; the caller goes on with decimal_scan(). Returns how many were read. */
size_t decimal_scan_f32s(const char **p, const char *end, float *out, size_t cap);

/* Finite numbers only. Whole ones end in ".0", very large and small ones have an exponent. Not terminated;
 * returns the length. */
#define DECIMAL_TEXT_MAX 32
size_t decimal_format_f32(float v, char out[DECIMAL_TEXT_MAX]);
size_t decimal_format_f64(double v, char out[DECIMAL_TEXT_MAX]);
size_t decimal_format_u64(uint64_t v, char out[DECIMAL_TEXT_MAX]);
size_t decimal_format_i64(int64_t v, char out[DECIMAL_TEXT_MAX]);
