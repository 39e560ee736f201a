/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codes: integer kernels bit for bit, the grid, and that scores order rows as the vectors do.
 */
#include "index/quantize.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/index/random.h"

#define BYTES_MAX 1536
#define COUNT 600
#define DIM 96

static uint8_t a[BYTES_MAX + 1], b[BYTES_MAX + 1];

static const struct {
	const char *name;
	int a, b; /* -1: random */
} fills[] = {
	{ "random", -1, -1 },           { "largest positive", 255, 255 },
	{ "largest negative", 255, 0 }, { "zero", 0, 255 },
	{ "a random", -1, 0 },          { "b random", 255, -1 },
};

static void fill_bytes(size_t i)
{
	struct random r = { i };
	for (size_t j = 0; j < sizeof(a); j++) {
		a[j] = fills[i].a < 0 ? (uint8_t)random_u64(&r) : (uint8_t)fills[i].a;
		b[j] = fills[i].b < 0 ? (uint8_t)random_u64(&r) : (uint8_t)fills[i].b;
	}
}

START_TEST(integer_kernels_give_the_same_numbers)
{
	for (size_t i = 0; i < LEN(fills); i++) {
		fill_bytes(i);
		for (uint32_t bytes = 0; bytes <= BYTES_MAX; bytes += CODE_ALIGN) {
			int64_t dot = 0, sad = 0;
			for (uint32_t j = 0; j < bytes; j++) {
				dot += a[1 + j] * (b[j] - 128);
				sad += abs(a[1 + j] - b[j]);
			}
			for (int set = 0; set <= (int)kernel_set_best(); set++) {
				const struct code_kernels *k =
					code_kernels_of((enum kernel_set)set);
				ck_assert_msg(k->dot(a + 1, b, bytes) == dot,
					      "dot, %s, set %d, %u bytes", fills[i].name, set,
					      bytes);
				ck_assert_msg(k->sad(a + 1, b, bytes) == sad,
					      "sad, %s, set %d, %u bytes", fills[i].name, set,
					      bytes);
			}
		}
	}
}
END_TEST

START_TEST(largest_dimension_does_not_overflow)
{
	uint8_t *x = malloc(CODE_DIM_MAX), *y = calloc(CODE_DIM_MAX, 1);
	ck_assert(x && y);
	memset(x, 255, CODE_DIM_MAX);
	for (int set = 0; set <= (int)kernel_set_best(); set++) {
		const struct code_kernels *k = code_kernels_of((enum kernel_set)set);
		ck_assert_int_eq(k->dot(x, y, CODE_DIM_MAX), -255 * 128 * CODE_DIM_MAX);
		ck_assert_int_eq(k->dot(x, x, CODE_DIM_MAX), 255 * 127 * CODE_DIM_MAX);
		ck_assert_uint_eq(k->sad(x, y, CODE_DIM_MAX), 255 * CODE_DIM_MAX);
	}
	free(x);
	free(y);
}
END_TEST

START_TEST(encoding_rounds_and_clips)
{
	static const struct {
		float x;
		uint8_t code;
	} cases[] = {
		{ 0.0F, 0 },       { 0.49F, 0 },     { 0.5F, 0 },     { 1.5F, 2 },
		{ 2.5F, 2 },       { 254.5F, 254 },  { 255.0F, 255 }, { 255.4F, 255 },
		{ 1e30F, 255 },    { -0.5F, 0 },     { -1e30F, 0 },   { NAN, 0 },
		{ INFINITY, 255 }, { -INFINITY, 0 }, { 127.5F, 128 },
	};
	static const float zeros[64];
	for (size_t i = 0; i < LEN(cases); i++) {
		/* In each lane of a vector and in each place of the rest. */
		for (uint32_t dim = 1; dim <= LEN(zeros); dim++) {
			float x[LEN(zeros)];
			uint8_t out[LEN(zeros) + 1];
			for (uint32_t j = 0; j < dim; j++)
				x[j] = cases[i].x;
			for (int set = 0; set <= (int)kernel_set_best(); set++) {
				memset(out, 99, sizeof(out));
				code_kernels_of((enum kernel_set)set)
					->encode(x, zeros, 1, 1.0F, dim, out);
				for (uint32_t j = 0; j < dim; j++)
					ck_assert_msg(out[j] == cases[i].code,
						      "%g gives %d, set %d", (double)cases[i].x,
						      out[j], set);
				ck_assert_uint_eq(out[dim], 99);
			}
		}
	}
}
END_TEST

START_TEST(encoding_is_the_same_in_all_sets)
{
	struct random r = { 5 };
	for (uint32_t dim = 1; dim <= 130; dim++) {
		float x[130], offset[130];
		uint8_t expected[130], out[130];
		for (uint32_t i = 0; i < dim; i++) {
			x[i] = random_normal(&r);
			offset[i] = -3.0F + 0.1F * random_normal(&r);
		}
		for (uint32_t step = 0; step <= 1; step++) {
			code_kernels_of(KERNEL_SET_SCALAR)
				->encode(x, offset, step, 42.5F, dim, expected);
			for (int set = 1; set <= (int)kernel_set_best(); set++) {
				code_kernels_of((enum kernel_set)set)
					->encode(x, offset, step, 42.5F, dim, out);
				ck_assert_mem_eq(out, expected, dim);
			}
		}
	}
}
END_TEST

/* Codes of vectors in memory. */
struct set {
	struct segment_source source;
	struct codes codes;
	uint32_t *slots;
	float *vectors;
};

static const float *vector_at(const struct segment_source *s, uint32_t slot)
{
	return (const float *)s->ctx + (size_t)slot * s->dim;
}

static void set_new(struct set *s, enum distance d, uint32_t dim, uint32_t count)
{
	*s = (struct set){
		.slots = calloc(count, sizeof(*s->slots)),
		.vectors = calloc((size_t)count * dim, sizeof(*s->vectors)),
	};
	ck_assert(s->slots && s->vectors);
	s->source = (struct segment_source){
		.vector = vector_at, .dim = dim, .distance = d, .ctx = s->vectors
	};
	for (uint32_t i = 0; i < count; i++)
		s->slots[i] = i;
	uint32_t stride = code_stride(dim);
	s->codes = (struct codes){
		.kind = code_kind_for(dim),
		.distance = d,
		.dim = dim,
		.count = count,
		.stride = stride,
		.offset = calloc(dim, sizeof(float)),
		.bias = calloc(count, sizeof(float)),
		.post = calloc(count, sizeof(float)),
		.weight = calloc(dim, sizeof(float)),
		.rows = aligned_alloc(CODE_ALIGN, (size_t)count * stride + CODE_ALIGN),
		.slots = s->slots,
		.source = &s->source,
		.kernels = code_kernels_of(kernel_set_best()),
	};
	memset(s->codes.rows, 0, (size_t)count * stride + CODE_ALIGN);
}

static void set_encode(struct set *s)
{
	ck_assert_int_eq(codes_train(&s->codes), ERR_NONE);
	for (uint32_t i = 0; i < s->codes.count; i++)
		codes_encode(&s->codes, i);
}

static void set_free(struct set *s)
{
	free(s->slots);
	free(s->vectors);
	free(s->codes.offset);
	free(s->codes.bias);
	free(s->codes.post);
	free(s->codes.weight);
	free(s->codes.rows);
}

/* How many nodes are truly nearer to the query than the one that the codes call nearest. */
static uint32_t nearer_ones(const struct set *s, const struct code_query *q, const float *vector,
			    uint32_t not_node)
{
	float best = -INFINITY, limit = 0.0F;
	uint32_t nearer = 0;
	for (uint32_t i = 0; i < s->codes.count; i++) {
		float score;
		codes_score(q, &i, 1, &score);
		if (i != not_node && score > best) {
			best = score;
			limit = distance_exact(s->codes.distance,
					       s->vectors + (size_t)i * s->codes.dim, vector,
					       s->codes.dim);
		}
	}
	for (uint32_t i = 0; i < s->codes.count; i++)
		nearer += i != not_node &&
			  distance_exact(s->codes.distance, s->vectors + (size_t)i * s->codes.dim,
					 vector, s->codes.dim) > limit;
	return nearer;
}

static const enum distance distances[] = { DISTANCE_COSINE, DISTANCE_EUCLID, DISTANCE_DOT,
					   DISTANCE_MANHATTAN };

START_TEST(scores_order_rows_as_the_vectors_do)
{
	static const uint32_t dims[] = { 3, CODE_INT8_DIM_MIN, 63, 64, 65, DIM };
	_Alignas(CODE_ALIGN) uint8_t buffer[128];
	for (size_t c = 0; c < LEN(distances) * LEN(dims); c++) {
		enum distance d = distances[c % LEN(distances)];
		uint32_t dim = dims[c / LEN(distances)], wrong = 0;
		float query[DIM];
		struct set s;
		set_new(&s, d, dim, COUNT);
		random_clusters(1, d, dim, COUNT, 20, s.vectors);
		set_encode(&s);
		for (uint32_t i = 0; i < 20; i++) {
			random_clusters(100 + i, d, dim, 1, 20, query);
			struct code_query q = code_query_of_vector(&s.codes, query, buffer);
			wrong += nearer_ones(&s, &q, query, UINT32_MAX) > 2;
			struct code_query node = code_query_of_node(&s.codes, i);
			wrong += nearer_ones(&s, &node, s.vectors + (size_t)i * dim, i) > 2;
		}
		ck_assert_msg(wrong <= 1, "distance %d, dim %u: %u of 40 queries", (int)d, dim,
			      wrong);
		set_free(&s);
	}
}
END_TEST

START_TEST(scores_of_nodes_are_symmetric)
{
	for (size_t c = 0; c < LEN(distances); c++) {
		struct set s;
		set_new(&s, distances[c], DIM, 50);
		random_clusters(2, distances[c], DIM, 50, 5, s.vectors);
		set_encode(&s);
		for (uint32_t i = 0; i < 50; i++) {
			for (uint32_t j = 0; j < 50; j++) {
				struct code_query qi = code_query_of_node(&s.codes, i);
				struct code_query qj = code_query_of_node(&s.codes, j);
				float ij, ji;
				codes_score(&qi, &j, 1, &ij);
				codes_score(&qj, &i, 1, &ji);
				/* Sums of up to 2^22 are rounded to 24 bits a few times. */
				ck_assert_msg(fabsf(ij - ji) <= 4.0F, "distance %d: %g and %g",
					      (int)distances[c], (double)ij, (double)ji);
			}
		}
		set_free(&s);
	}
}
END_TEST

START_TEST(whole_numbers_that_fit_a_byte_are_kept_without_loss)
{
	struct set s;
	set_new(&s, DISTANCE_EUCLID, DIM, COUNT);
	struct random r = { 3 };
	for (size_t i = 0; i < (size_t)COUNT * DIM; i++)
		s.vectors[i] = (float)(random_u64(&r) % 256);
	set_encode(&s);
	ck_assert(s.codes.scale == 1.0F);
	struct code_query q = code_query_of_node(&s.codes, 7);
	for (uint32_t i = 0; i < COUNT; i++) {
		float score;
		codes_score(&q, &i, 1, &score);
		ck_assert(score * 2.0F == distance_exact(DISTANCE_EUCLID,
							 s.vectors + (size_t)i * DIM,
							 s.vectors + 7 * DIM, DIM));
	}
	set_free(&s);
}
END_TEST

START_TEST(dimension_with_an_offset_does_not_coarsen_the_others)
{
	struct set plain, moved;
	set_new(&plain, DISTANCE_DOT, DIM, COUNT);
	set_new(&moved, DISTANCE_DOT, DIM, COUNT);
	random_clusters(4, DISTANCE_DOT, DIM, COUNT, 20, plain.vectors);
	random_clusters(4, DISTANCE_DOT, DIM, COUNT, 20, moved.vectors);
	for (uint32_t i = 0; i < COUNT; i++)
		moved.vectors[(size_t)i * DIM + 11] += 100.0F;
	set_encode(&plain);
	set_encode(&moved);
	ck_assert_msg(moved.codes.scale < 1.3F * plain.codes.scale, "%g, %g",
		      (double)moved.codes.scale, (double)plain.codes.scale);
	set_free(&plain);
	set_free(&moved);
}
END_TEST

START_TEST(rare_outliers_are_clipped)
{
	struct set s;
	set_new(&s, DISTANCE_EUCLID, DIM, COUNT);
	struct random r = { 6 };
	for (size_t i = 0; i < (size_t)COUNT * DIM; i++)
		s.vectors[i] = random_unit(&r);
	/* 0.01 % of 57,600 values at either end */
	for (size_t i = 0; i < 5; i++) {
		s.vectors[i * 1000] = 1e6F;
		s.vectors[i * 1000 + 500] = -1e6F;
	}
	set_encode(&s);
	ck_assert_msg(s.codes.scale < 1.01F / 255.0F, "scale %g", (double)s.codes.scale);
	ck_assert_uint_eq(s.codes.rows[0], 255);
	set_free(&s);
}
END_TEST

START_TEST(odd_values_give_a_usable_grid)
{
	static const struct {
		const char *name;
		float value, other;
	} cases[] = {
		{ "all zero", 0.0F, 0.0F },     { "all equal", 7.5F, 7.5F },
		{ "largest", 3e38F, -3e38F },   { "smallest", 1e-45F, 0.0F },
		{ "infinite", INFINITY, 1.0F }, { "no number", NAN, 1.0F },
	};
	for (size_t c = 0; c < LEN(cases) * LEN(distances); c++) {
		struct set s;
		set_new(&s, distances[c % LEN(distances)], DIM, 10);
		for (uint32_t i = 0; i < 10 * DIM; i++)
			s.vectors[i] = i % 3 == 0 ? cases[c / LEN(distances)].value
						  : cases[c / LEN(distances)].other;
		set_encode(&s);
		ck_assert_msg(isfinite(s.codes.scale) && s.codes.scale > 0.0F, "%s",
			      cases[c / LEN(distances)].name);
		for (uint32_t i = 0; i < DIM; i++)
			ck_assert_msg(isfinite(s.codes.offset[i]), "%s",
				      cases[c / LEN(distances)].name);
		set_free(&s);
	}
}
END_TEST

START_TEST(filling_of_rows_does_not_count)
{
	_Alignas(CODE_ALIGN) uint8_t buffer[128];
	for (size_t c = 0; c < LEN(distances); c++) {
		struct set s;
		float query[65], clean, dirty;
		uint32_t node = 0;
		set_new(&s, distances[c], 65, 10);
		random_clusters(8, distances[c], 65, 10, 3, s.vectors);
		random_clusters(9, distances[c], 65, 1, 3, query);
		set_encode(&s);
		memset(buffer, 0, sizeof(buffer));
		struct code_query q = code_query_of_vector(&s.codes, query, buffer);
		codes_score(&q, &node, 1, &clean);
		memset(buffer, 0xff, sizeof(buffer));
		q = code_query_of_vector(&s.codes, query, buffer);
		codes_score(&q, &node, 1, &dirty);
		ck_assert(clean == dirty);
		set_free(&s);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("quantize");
	TCase *t = tcase_create("quantize");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, integer_kernels_give_the_same_numbers);
	tcase_add_test(t, largest_dimension_does_not_overflow);
	tcase_add_test(t, encoding_rounds_and_clips);
	tcase_add_test(t, encoding_is_the_same_in_all_sets);
	tcase_add_test(t, scores_order_rows_as_the_vectors_do);
	tcase_add_test(t, scores_of_nodes_are_symmetric);
	tcase_add_test(t, whole_numbers_that_fit_a_byte_are_kept_without_loss);
	tcase_add_test(t, dimension_with_an_offset_does_not_coarsen_the_others);
	tcase_add_test(t, rare_outliers_are_clipped);
	tcase_add_test(t, odd_values_give_a_usable_grid);
	tcase_add_test(t, filling_of_rows_does_not_count);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
