/* SPDX-License-Identifier: Apache-2.0 */
#include "index/datatype.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "tests/index/random.h"

static uint32_t bits_of(float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

static float rounded(enum datatype t, float v)
{
	datatype_round(t, &v, 1);
	return v;
}

static const struct {
	enum datatype type;
	float in, out;
} cases[] = {
	{ DATATYPE_FLOAT32, 1.1F, 1.1F },
	{ DATATYPE_FLOAT32, -1e30F, -1e30F },
	{ DATATYPE_UINT8, 0.0F, 0.0F },
	{ DATATYPE_UINT8, -0.0F, 0.0F },
	{ DATATYPE_UINT8, 0.999F, 0.0F },
	{ DATATYPE_UINT8, 1.0F, 1.0F },
	{ DATATYPE_UINT8, 254.999F, 254.0F },
	{ DATATYPE_UINT8, 255.0F, 255.0F },
	{ DATATYPE_UINT8, 256.0F, 255.0F },
	{ DATATYPE_UINT8, 1e30F, 255.0F },
	{ DATATYPE_UINT8, -7.0F, 0.0F },
	{ DATATYPE_FLOAT16, 0.0F, 0.0F },
	{ DATATYPE_FLOAT16, -0.0F, -0.0F },
	{ DATATYPE_FLOAT16, 1.0F, 1.0F },
	{ DATATYPE_FLOAT16, 0.1F, 0x1.998p-4F },
	{ DATATYPE_FLOAT16, -0.1F, -0x1.998p-4F },
	{ DATATYPE_FLOAT16, 2049.0F, 2048.0F }, /* half a step: the even one */
	{ DATATYPE_FLOAT16, 2051.0F, 2052.0F },
	{ DATATYPE_FLOAT16, 2049.001F, 2050.0F },
	{ DATATYPE_FLOAT16, 0x1.ffep0F, 0x1.000p1F }, /* carries into the exponent */
	{ DATATYPE_FLOAT16, 65504.0F, 65504.0F },
	{ DATATYPE_FLOAT16, 65519.0F, 65504.0F },
	{ DATATYPE_FLOAT16, 65520.0F, 65504.0F },
	{ DATATYPE_FLOAT16, -1e30F, -65504.0F },
	{ DATATYPE_FLOAT16, 0x1p-14F, 0x1p-14F },
	{ DATATYPE_FLOAT16, 0x1p-24F, 0x1p-24F },
	{ DATATYPE_FLOAT16, 0x1p-25F, 0.0F }, /* half of the least one */
	{ DATATYPE_FLOAT16, -0x1.8p-25F, -0x1p-24F },
	{ DATATYPE_FLOAT16, 0x1.8p-24F, 0x1p-23F },
	{ DATATYPE_FLOAT16, 1e-30F, 0.0F },
};

START_TEST(a_component_becomes_what_its_type_can_hold)
{
	float got = rounded(cases[_i].type, cases[_i].in);

	ck_assert_msg(bits_of(got) == bits_of(cases[_i].out), "%a: %a", (double)cases[_i].in, (double)got);
}
END_TEST

START_TEST(rounding_twice_changes_nothing_and_goes_to_a_nearest_one)
{
	struct random r = { 42 };

	for (int i = 0; i < 100000; i++) {
		float v = random_normal(&r) * ldexpf(1.0F, (int)(random_u64(&r) % 30) - 20);
		float h = rounded(DATATYPE_FLOAT16, v);
		int exponent;
		(void)frexpf(v, &exponent);
		float step = ldexpf(1.0F, (exponent - 1 < -14 ? -14 : exponent - 1) - 10);

		ck_assert(bits_of(rounded(DATATYPE_FLOAT16, h)) == bits_of(h));
		ck_assert_msg(fabsf(v) > 65504.0F || fabsf(v - h) <= step / 2, "%a %a", (double)v, (double)h);
	}
}
END_TEST

#if defined(__FLT16_MAX__)
START_TEST(halves_are_those_of_the_compiler)
{
	for (uint32_t n = 0; n < 0x47800000; n += 1009) {
		float v;
		memcpy(&v, &n, sizeof(v));
		float wanted = (float)(_Float16)v;
		if (wanted > 65504.0F)
			wanted = 65504.0F;
		ck_assert_msg(bits_of(rounded(DATATYPE_FLOAT16, v)) == bits_of(wanted), "%a", (double)v);
	}
}
END_TEST
#endif

int main(void)
{
	Suite *s = suite_create("datatype");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, a_component_becomes_what_its_type_can_hold, 0, (int)LEN(cases));
	tcase_add_test(t, rounding_twice_changes_nothing_and_goes_to_a_nearest_one);
#if defined(__FLT16_MAX__)
	tcase_add_test(t, halves_are_those_of_the_compiler);
#endif
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
