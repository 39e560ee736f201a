/* SPDX-License-Identifier: Apache-2.0 */
#include "index/datatype.h"

#include <string.h>

#define F32_FRACTION_BITS 23
#define F16_FRACTION_BITS 10
#define F32_SIGN UINT32_C(0x80000000)
#define F32_ONE_EXPONENT 127
/* Of the least normal float16, 2^-14; below it the steps are as wide as there. */
#define F16_EXPONENT_MIN (-14)
#define F16_MAX 65504.0F

static float of_bits(uint32_t bits)
{
	float v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

static uint32_t bits_of(float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

/* Drops the low bits of the magnitude; halves go to the even neighbour. A carry out of the fraction counts up the exponent. */
static uint32_t drop_bits(uint32_t magnitude, unsigned drop)
{
	uint32_t half = UINT32_C(1) << (drop - 1);
	uint32_t rest = magnitude & ((half << 1) - 1);
	uint32_t kept = magnitude - rest;

	if (rest > half || (rest == half && (kept >> drop & 1) != 0))
		kept += half << 1;
	return kept;
}

static float to_f16(float v)
{
	uint32_t bits = bits_of(v), sign = bits & F32_SIGN, magnitude = bits & ~F32_SIGN;
	int exponent = (int)(magnitude >> F32_FRACTION_BITS) - F32_ONE_EXPONENT;
	unsigned drop = F32_FRACTION_BITS - F16_FRACTION_BITS;

	if (exponent < F16_EXPONENT_MIN) {
		/* Added to and taken from a number whose steps are 2^-24, which is what rounding to them is. */
		const volatile float steps = 0.5F;
		volatile float sum = of_bits(magnitude) + steps;
		return of_bits(sign | bits_of(sum - steps));
	}
	float rounded = of_bits(drop_bits(magnitude, drop));
	return of_bits(sign | bits_of(rounded > F16_MAX ? F16_MAX : rounded));
}

static float to_uint8(float v)
{
	if (!(v > 0))
		return 0;
	return v >= 255 ? 255 : (float)(uint8_t)v;
}

void datatype_round(enum datatype t, float *values, uint32_t count)
{
	switch (t) {
	case DATATYPE_FLOAT32:
		break;
	case DATATYPE_UINT8:
		for (uint32_t i = 0; i < count; i++)
			values[i] = to_uint8(values[i]);
		break;
	case DATATYPE_FLOAT16:
		for (uint32_t i = 0; i < count; i++)
			values[i] = to_f16(values[i]);
		break;
	}
}
