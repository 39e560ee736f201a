/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Distances: every kernel against a plain sum in double, and what must hold bit for bit.
 */
#include "index/distance.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/index/random.h"

#define DIM_MAX 1536
#define DIMS_ALL 130
#define SHIFTS 4 /* floats by which the inputs are moved off their alignment */

static const enum distance distances[] = { DISTANCE_COSINE, DISTANCE_EUCLID, DISTANCE_DOT,
					   DISTANCE_MANHATTAN };

static float a[DIM_MAX + SHIFTS], b[DIM_MAX + SHIFTS];

static void fill_random(uint64_t seed)
{
	struct random r = { seed };
	for (size_t i = 0; i < LEN(a); i++) {
		a[i] = random_normal(&r);
		b[i] = random_normal(&r);
	}
}

/* The similarity, and the sum of its terms' magnitudes, which bounds what rounding may do. */
static double plain(enum distance d, const float *x, const float *y, uint32_t dim,
		    double *ret_magnitude)
{
	double sum = 0.0, magnitude = 0.0;
	for (uint32_t i = 0; i < dim; i++) {
		double difference = (double)x[i] - (double)y[i], term = (double)x[i] * (double)y[i];
		if (d == DISTANCE_EUCLID)
			term = -difference * difference;
		if (d == DISTANCE_MANHATTAN)
			term = -fabs(difference);
		sum += term;
		magnitude += fabs(term);
	}
	*ret_magnitude = magnitude;
	return sum;
}

static void check_dim(enum kernel_set set, uint32_t dim)
{
	for (size_t d = 0; d < LEN(distances); d++) {
		for (uint32_t shift = 0; shift < SHIFTS; shift++) {
			const float *x = a + shift, *y = b + (SHIFTS - 1 - shift);
			double magnitude, expected = plain(distances[d], x, y, dim, &magnitude);
			double kernel = (double)distance_f32_of(distances[d], set)(x, y, dim);
			double exact = (double)distance_exact(distances[d], x, y, dim);
			ck_assert_msg(fabs(kernel - expected) <= 1e-5 * magnitude,
				      "set %d distance %d dim %u shift %u: %.9g, not %.9g",
				      (int)set, (int)distances[d], dim, shift, kernel, expected);
			ck_assert_msg(fabs(exact - expected) <= 3e-7 * magnitude,
				      "exact, distance %d dim %u: %.9g, not %.9g",
				      (int)distances[d], dim, exact, expected);
		}
	}
}

START_TEST(kernels_agree_with_a_plain_sum)
{
	static const uint32_t large[] = { 255, 256, 257, 768, 784, 1535, 1536 };
	fill_random(1);
	for (int set = KERNEL_SET_SCALAR; set <= (int)kernel_set_best(); set++) {
		for (uint32_t dim = 1; dim <= DIMS_ALL; dim++)
			check_dim((enum kernel_set)set, dim);
		for (size_t i = 0; i < LEN(large); i++)
			check_dim((enum kernel_set)set, large[i]);
	}
}
END_TEST

START_TEST(kernels_read_nothing_beyond_the_end)
{
	for (uint32_t dim = 1; dim <= 70; dim++) {
		/* Of exactly this size, for the address sanitizer; NaN behind it would show in
		 * the sum. */
		float *x = malloc((dim + 1) * sizeof(*x)), *y = malloc(dim * sizeof(*y));
		ck_assert(x && y);
		for (uint32_t i = 0; i < dim; i++)
			x[i] = y[i] = 1.0F;
		x[dim] = NAN;
		for (int set = KERNEL_SET_SCALAR; set <= (int)kernel_set_best(); set++) {
			ck_assert(distance_f32_of(DISTANCE_DOT, (enum kernel_set)set)(x, y, dim) ==
				  (float)dim);
			ck_assert(distance_f32_of(DISTANCE_EUCLID,
						  (enum kernel_set)set)(x, y, dim) == 0.0F);
			ck_assert(distance_f32_of(DISTANCE_MANHATTAN,
						  (enum kernel_set)set)(x, y, dim) == 0.0F);
		}
		free(x);
		free(y);
	}
}
END_TEST

START_TEST(the_cosine_of_any_vectors_is_that_of_their_directions)
{
	static const float zero[64];

	fill_random(5);
	for (uint32_t dim = 1; dim <= 64; dim++) {
		double lengths, unused, dot = plain(DISTANCE_DOT, a, b, dim, &unused);
		lengths = sqrt(plain(DISTANCE_DOT, a, a, dim, &unused)) * sqrt(plain(DISTANCE_DOT, b, b, dim, &unused));
		for (int set = KERNEL_SET_SCALAR; set <= (int)kernel_set_best(); set++) {
			distance_f32_fn cosine = distance_f32_of(DISTANCE_COSINE_OF_ANY, (enum kernel_set)set);
			ck_assert(fabs((double)cosine(a, b, dim) - dot / lengths) < 1e-5);
			ck_assert(cosine(a, zero, dim) == 0.0F);
		}
		ck_assert(fabs((double)distance_exact(DISTANCE_COSINE_OF_ANY, a, b, dim) - dot / lengths) < 1e-6);
		ck_assert(distance_exact(DISTANCE_COSINE_OF_ANY, zero, b, dim) == 0.0F);
	}
	ck_assert(distance_larger_is_nearer(DISTANCE_COSINE_OF_ANY));
	ck_assert(distance_to_score(DISTANCE_COSINE_OF_ANY, 0.25F) == 0.25F);
}
END_TEST

static uint32_t bits_of(float f)
{
	uint32_t bits;
	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

/* Written down once: another compiler, flag or processor must give the same. */
START_TEST(exact_distances_have_these_bits)
{
	static const struct {
		enum distance d;
		uint32_t bits;
	} cases[] = {
		{ DISTANCE_DOT, 0x4558c4fd },
		{ DISTANCE_COSINE, 0x4558c4fd },
		{ DISTANCE_EUCLID, 0xc70e6249 },
		{ DISTANCE_MANHATTAN, 0xc5c12ae9 },
	};
	for (uint32_t i = 0; i < DIM_MAX; i++) {
		a[i] = (float)(i % 101) / 7.0F - 5.0F;
		b[i] = (float)(i % 89) / 11.0F - 3.0F;
	}
	for (size_t i = 0; i < LEN(cases); i++)
		ck_assert_msg(bits_of(distance_exact(cases[i].d, a, b, DIM_MAX)) == cases[i].bits,
			      "distance %d: 0x%08x", (int)cases[i].d,
			      bits_of(distance_exact(cases[i].d, a, b, DIM_MAX)));
}
END_TEST

START_TEST(exact_distances_are_symmetric)
{
	fill_random(2);
	for (size_t d = 0; d < LEN(distances); d++)
		ck_assert_uint_eq(bits_of(distance_exact(distances[d], a, b, 777)),
				  bits_of(distance_exact(distances[d], b, a, 777)));
}
END_TEST

START_TEST(normalizing_gives_unit_length)
{
	static const float scales[] = { 1e-30F, 1e-3F, 1.0F, 1e3F, 1e30F };
	for (size_t i = 0; i < LEN(scales); i++) {
		fill_random(3);
		for (uint32_t j = 0; j < 300; j++)
			a[j] *= scales[i];
		distance_normalize(a, 300);
		ck_assert_msg(fabs((double)distance_exact(DISTANCE_DOT, a, a, 300) - 1.0) < 1e-6,
			      "scale %g", (double)scales[i]);
	}
}
END_TEST

START_TEST(normalizing_twice_changes_nothing)
{
	for (uint64_t seed = 0; seed < 200; seed++) {
		for (uint32_t dim = 1; dim <= 12; dim++) {
			float once[12];
			fill_random(seed);
			distance_normalize(a, dim);
			memcpy(once, a, sizeof(once));
			distance_normalize(a, dim);
			ck_assert_mem_eq(a, once, dim * sizeof(*once));
		}
	}
}
END_TEST

START_TEST(normalizing_leaves_zero_and_what_is_not_finite)
{
	float zero[3] = { 0 }, infinite[2] = { INFINITY, 1.0F };
	distance_normalize(zero, 3);
	ck_assert(zero[0] == 0.0F && zero[1] == 0.0F && zero[2] == 0.0F);
	distance_normalize(infinite, 2);
	ck_assert(infinite[1] == 1.0F);
}
END_TEST

START_TEST(scores_are_what_clients_expect)
{
	static const struct {
		enum distance d;
		float similarity, score;
		bool larger_is_nearer;
	} cases[] = {
		{ DISTANCE_COSINE, 0.5F, 0.5F, true },      { DISTANCE_DOT, -3.0F, -3.0F, true },
		{ DISTANCE_EUCLID, -25.0F, 5.0F, false },   { DISTANCE_EUCLID, -0.0F, 0.0F, false },
		{ DISTANCE_MANHATTAN, -7.0F, 7.0F, false },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		ck_assert(distance_to_score(cases[i].d, cases[i].similarity) == cases[i].score);
		ck_assert(distance_from_score(cases[i].d, cases[i].score) == cases[i].similarity);
		ck_assert(distance_larger_is_nearer(cases[i].d) == cases[i].larger_is_nearer);
	}
}
END_TEST

START_TEST(negative_distance_as_threshold_is_out_of_reach)
{
	ck_assert(distance_from_score(DISTANCE_EUCLID, -2.0F) > 0.0F);
	ck_assert(distance_from_score(DISTANCE_MANHATTAN, -2.0F) > 0.0F);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("distance");
	TCase *t = tcase_create("distance");
	tcase_add_test(t, kernels_agree_with_a_plain_sum);
	tcase_add_test(t, kernels_read_nothing_beyond_the_end);
	tcase_add_test(t, the_cosine_of_any_vectors_is_that_of_their_directions);
	tcase_add_test(t, exact_distances_have_these_bits);
	tcase_add_test(t, exact_distances_are_symmetric);
	tcase_add_test(t, normalizing_gives_unit_length);
	tcase_add_test(t, normalizing_twice_changes_nothing);
	tcase_add_test(t, normalizing_leaves_zero_and_what_is_not_finite);
	tcase_add_test(t, scores_are_what_clients_expect);
	tcase_add_test(t, negative_distance_as_threshold_is_out_of_reach);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
