/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 by the table of RFC 3629 §4.
 */
#include "base/utf8.h"

#include <string.h>

#define HIGH_BITS 0x8080808080808080U

static bool in_range(uint8_t byte, uint8_t low, uint8_t high)
{
	return byte >= low && byte <= high;
}

static bool is_tail(uint8_t byte)
{
	return (byte & 0xC0) == 0x80;
}

/* The second byte of three and four carries what forbids overlong forms, surrogates and too large values. */
static bool second_fits(uint8_t first, uint8_t second)
{
	switch (first) {
	case 0xE0:
		return in_range(second, 0xA0, 0xBF);
	case 0xED:
		return in_range(second, 0x80, 0x9F);
	case 0xF0:
		return in_range(second, 0x90, 0xBF);
	case 0xF4:
		return in_range(second, 0x80, 0x8F);
	default:
		return is_tail(second);
	}
}

size_t utf8_length(const uint8_t *p, size_t left)
{
	if (left == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (in_range(p[0], 0xC2, 0xDF))
		return left >= 2 && is_tail(p[1]) ? 2 : 0;
	if (in_range(p[0], 0xE0, 0xEF))
		return left >= 3 && second_fits(p[0], p[1]) && is_tail(p[2]) ? 3 : 0;
	if (in_range(p[0], 0xF0, 0xF4))
		return left >= 4 && second_fits(p[0], p[1]) && is_tail(p[2]) && is_tail(p[3]) ? 4
											      : 0;
	return 0;
}

bool utf8_valid(struct str s)
{
	const uint8_t *p = (const uint8_t *)s.data;
	size_t left = s.len;

	while (left > 0) {
		uint64_t word = HIGH_BITS;
		if (left >= sizeof(word))
			memcpy(&word, p, sizeof(word));
		size_t n = word & HIGH_BITS ? utf8_length(p, left) : sizeof(word);
		if (n == 0)
			return false;
		p += n;
		left -= n;
	}
	return true;
}
