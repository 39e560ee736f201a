/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Distances: float kernels for scalar, AVX2 with FMA and AVX-512, and the exact ones.
 * Thread: any; nothing here has state.
 *
 * The exact ones must not depend on whether the compiler fuses multiplication and addition. A
 * product of two floats is exact in double (24 + 24 bits fit 53), so fused or not gives the same
 * sum; and the compiler may not reorder additions without -ffast-math.
 */
#include "index/distance.h"

#include <math.h>

#include "base/panic.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* A squared length this near to 1 is unit length: rounding leaves up to 1.2e-7, so that
 * normalising twice changes nothing. */
#define UNIT_TOLERANCE 1e-6

/* Independent sums let the processor overlap additions; the compiler may map them to vector
 * lanes. */
#define LANES 8

static float sum_lanes(const float *lane)
{
	return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
	       ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static float dot_scalar(const float *a, const float *b, uint32_t dim)
{
	float lane[LANES] = { 0 };
	uint32_t i = 0;
	for (; i + LANES <= dim; i += LANES)
		for (uint32_t j = 0; j < LANES; j++)
			lane[j] += a[i + j] * b[i + j];
	for (; i < dim; i++)
		lane[i % LANES] += a[i] * b[i];
	return sum_lanes(lane);
}

static float euclid_scalar(const float *a, const float *b, uint32_t dim)
{
	float lane[LANES] = { 0 };
	uint32_t i = 0;
	for (; i + LANES <= dim; i += LANES) {
		for (uint32_t j = 0; j < LANES; j++) {
			float d = a[i + j] - b[i + j];
			lane[j] += d * d;
		}
	}
	for (; i < dim; i++)
		lane[i % LANES] += (a[i] - b[i]) * (a[i] - b[i]);
	return -sum_lanes(lane);
}

static float manhattan_scalar(const float *a, const float *b, uint32_t dim)
{
	float lane[LANES] = { 0 };
	uint32_t i = 0;
	for (; i + LANES <= dim; i += LANES)
		for (uint32_t j = 0; j < LANES; j++)
			lane[j] += fabsf(a[i + j] - b[i + j]);
	for (; i < dim; i++)
		lane[i % LANES] += fabsf(a[i] - b[i]);
	return -sum_lanes(lane);
}

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f")))

AVX2 static float sum_avx2(__m256 v)
{
	__m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
	s = _mm_add_ps(s, _mm_movehl_ps(s, s));
	s = _mm_add_ss(s, _mm_movehdup_ps(s));
	return _mm_cvtss_f32(s);
}

AVX2 static float dot_avx2(const float *a, const float *b, uint32_t dim)
{
	__m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	uint32_t i = 0;
	for (; i + 32 <= dim; i += 32) {
		s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
		s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
		s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
		s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
	}
	for (; i + 8 <= dim; i += 8)
		s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
	float sum = sum_avx2(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
	for (; i < dim; i++)
		sum += a[i] * b[i];
	return sum;
}

AVX2 static float euclid_avx2(const float *a, const float *b, uint32_t dim)
{
	__m256 s0 = _mm256_setzero_ps(), s1 = s0;
	uint32_t i = 0;
	for (; i + 16 <= dim; i += 16) {
		__m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
		__m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
		s0 = _mm256_fmadd_ps(d0, d0, s0);
		s1 = _mm256_fmadd_ps(d1, d1, s1);
	}
	float sum = sum_avx2(_mm256_add_ps(s0, s1));
	for (; i < dim; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]);
	return -sum;
}

AVX2 static float manhattan_avx2(const float *a, const float *b, uint32_t dim)
{
	const __m256 sign = _mm256_set1_ps(-0.0F);
	__m256 s0 = _mm256_setzero_ps(), s1 = s0;
	uint32_t i = 0;
	for (; i + 16 <= dim; i += 16) {
		__m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
		__m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
		s0 = _mm256_add_ps(s0, _mm256_andnot_ps(sign, d0));
		s1 = _mm256_add_ps(s1, _mm256_andnot_ps(sign, d1));
	}
	float sum = sum_avx2(_mm256_add_ps(s0, s1));
	for (; i < dim; i++)
		sum += fabsf(a[i] - b[i]);
	return -sum;
}

/* The lanes of the last, partial vector. */
AVX512 static __mmask16 tail_mask(uint32_t left)
{
	return (__mmask16)((1U << left) - 1U);
}

AVX512 static float dot_avx512(const float *a, const float *b, uint32_t dim)
{
	__m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
	uint32_t i = 0;
	for (; i + 64 <= dim; i += 64) {
		s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
		s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
		s2 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32), s2);
		s3 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48), s3);
	}
	for (; i + 16 <= dim; i += 16)
		s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
	if (i < dim) {
		__mmask16 m = tail_mask(dim - i);
		s1 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, a + i),
				     _mm512_maskz_loadu_ps(m, b + i), s1);
	}
	return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

AVX512 static float euclid_avx512(const float *a, const float *b, uint32_t dim)
{
	__m512 s0 = _mm512_setzero_ps(), s1 = s0;
	uint32_t i = 0;
	for (; i + 32 <= dim; i += 32) {
		__m512 d0 = _mm512_sub_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
		__m512 d1 = _mm512_sub_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));
		s0 = _mm512_fmadd_ps(d0, d0, s0);
		s1 = _mm512_fmadd_ps(d1, d1, s1);
	}
	for (; i < dim; i += 16) {
		__mmask16 m = dim - i < 16 ? tail_mask(dim - i) : (__mmask16)0xffff;
		__m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, a + i),
					 _mm512_maskz_loadu_ps(m, b + i));
		s0 = _mm512_fmadd_ps(d, d, s0);
	}
	return -_mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

AVX512 static float manhattan_avx512(const float *a, const float *b, uint32_t dim)
{
	__m512 s0 = _mm512_setzero_ps(), s1 = s0;
	uint32_t i = 0;
	for (; i + 32 <= dim; i += 32) {
		__m512 d0 = _mm512_sub_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
		__m512 d1 = _mm512_sub_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));
		s0 = _mm512_add_ps(s0, _mm512_abs_ps(d0));
		s1 = _mm512_add_ps(s1, _mm512_abs_ps(d1));
	}
	for (; i < dim; i += 16) {
		__mmask16 m = dim - i < 16 ? tail_mask(dim - i) : (__mmask16)0xffff;
		__m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, a + i),
					 _mm512_maskz_loadu_ps(m, b + i));
		s0 = _mm512_add_ps(s0, _mm512_abs_ps(d));
	}
	return -_mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

enum kernel_set kernel_set_best(void)
{
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
		return KERNEL_SET_SCALAR;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512vnni"))
		return KERNEL_SET_AVX512;
	return KERNEL_SET_AVX2;
}

#else

enum kernel_set kernel_set_best(void)
{
	return KERNEL_SET_SCALAR;
}

#endif

/* Similarities that need the same sums share a row. */
enum sum { SUM_DOT, SUM_EUCLID, SUM_MANHATTAN, SUM_COSINE, SUM_COUNT };

/* A vector without length is near to none. */
static float cosine_by(distance_f32_fn dot, const float *a, const float *b, uint32_t dim)
{
	float lengths = sqrtf(dot(a, a, dim)) * sqrtf(dot(b, b, dim));

	return lengths > 0.0F ? dot(a, b, dim) / lengths : 0.0F;
}

static float cosine_scalar(const float *a, const float *b, uint32_t dim)
{
	return cosine_by(dot_scalar, a, b, dim);
}

#if defined(__x86_64__)
static float cosine_avx2(const float *a, const float *b, uint32_t dim)
{
	return cosine_by(dot_avx2, a, b, dim);
}

static float cosine_avx512(const float *a, const float *b, uint32_t dim)
{
	return cosine_by(dot_avx512, a, b, dim);
}
#endif

static const distance_f32_fn kernels[KERNEL_SET_COUNT][SUM_COUNT] = {
	[KERNEL_SET_SCALAR] = { dot_scalar, euclid_scalar, manhattan_scalar, cosine_scalar },
#if defined(__x86_64__)
	[KERNEL_SET_AVX2] = { dot_avx2, euclid_avx2, manhattan_avx2, cosine_avx2 },
	[KERNEL_SET_AVX512] = { dot_avx512, euclid_avx512, manhattan_avx512, cosine_avx512 },
#endif
};

static enum sum sum_of(enum distance d)
{
	switch (d) {
	case DISTANCE_COSINE:
	case DISTANCE_DOT:
		return SUM_DOT;
	case DISTANCE_EUCLID:
		return SUM_EUCLID;
	case DISTANCE_MANHATTAN:
		return SUM_MANHATTAN;
	case DISTANCE_COSINE_OF_ANY:
		return SUM_COSINE;
	}
	PANIC("unknown distance");
}

distance_f32_fn distance_f32_of(enum distance d, enum kernel_set set)
{
	ASSERT(set <= kernel_set_best());
	return kernels[set][sum_of(d)];
}

distance_f32_fn distance_f32(enum distance d)
{
	return distance_f32_of(d, kernel_set_best());
}

static double exact_term(enum sum sum, float a, float b)
{
	/* The difference is rounded to float first, so that its square is exact in double. */
	float d = a - b;
	switch (sum) {
	case SUM_EUCLID:
		return (double)d * (double)d;
	case SUM_MANHATTAN:
		return fabs((double)d);
	case SUM_DOT:
	case SUM_COSINE:
	case SUM_COUNT:
		break;
	}
	return (double)a * (double)b;
}

static double exact_sum(enum sum sum, const float *a, const float *b, uint32_t dim)
{
	double lane[LANES] = { 0 };
	for (uint32_t i = 0; i < dim; i++)
		lane[i % LANES] += exact_term(sum, a[i], b[i]);
	return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
	       ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static float exact_cosine(const float *a, const float *b, uint32_t dim)
{
	double lengths = sqrt(exact_sum(SUM_DOT, a, a, dim)) * sqrt(exact_sum(SUM_DOT, b, b, dim));

	return lengths > 0.0 ? (float)(exact_sum(SUM_DOT, a, b, dim) / lengths) : 0.0F;
}

float distance_exact(enum distance d, const float *a, const float *b, uint32_t dim)
{
	switch (sum_of(d)) {
	case SUM_EUCLID:
		return (float)-exact_sum(SUM_EUCLID, a, b, dim);
	case SUM_MANHATTAN:
		return (float)-exact_sum(SUM_MANHATTAN, a, b, dim);
	case SUM_COSINE:
		return exact_cosine(a, b, dim);
	case SUM_DOT:
	case SUM_COUNT:
		break;
	}
	return (float)exact_sum(SUM_DOT, a, b, dim);
}

void distance_normalize(float *v, uint32_t dim)
{
	double square = exact_sum(SUM_DOT, v, v, dim);
	if (!(square > 0.0) || !isfinite(square) || fabs(square - 1.0) <= UNIT_TOLERANCE)
		return;
	double length = sqrt(square);
	for (uint32_t i = 0; i < dim; i++)
		v[i] = (float)((double)v[i] / length);
}

float distance_to_score(enum distance d, float similarity)
{
	switch (d) {
	case DISTANCE_COSINE:
	case DISTANCE_DOT:
	case DISTANCE_COSINE_OF_ANY:
		break;
	case DISTANCE_EUCLID:
		return sqrtf(fabsf(similarity));
	case DISTANCE_MANHATTAN:
		return fabsf(similarity);
	}
	return similarity;
}

float distance_from_score(enum distance d, float score)
{
	switch (d) {
	case DISTANCE_COSINE:
	case DISTANCE_DOT:
	case DISTANCE_COSINE_OF_ANY:
		break;
	case DISTANCE_EUCLID:
		/* A negative threshold stays out of reach. */
		return -score * fabsf(score);
	case DISTANCE_MANHATTAN:
		return -score;
	}
	return score;
}

bool distance_larger_is_nearer(enum distance d)
{
	return sum_of(d) == SUM_DOT || sum_of(d) == SUM_COSINE;
}
