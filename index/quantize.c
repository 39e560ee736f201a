/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training, encoding and scoring of codes.
 *
 * Let D(a, b) = sum of a (b - 128), which is what the kernels give for a row a and a query b. With
 * w = offset / scale
 *     dot(x, y) / scale^2  = D(a, b) + sum((128 + w) a) + sum(w b) + a constant
 *     -|x - y|^2 / (2 scale^2) = D(a, b) + (128 sum(a) - sum(a^2) / 2) - sum(b^2) / 2
 *     -|x - y|_1 / scale   = -sum |a - b|
 * so that a row has one number to add (bias) and a query another one (post), bias = 128 sum(a) +
 * post. A query that is no row needs no post, as it is the same for all rows. For dot products such
 * a query is not put on the grid, whose range may be another one than the query's: with
 * y ~ t (b - 128),
 *     dot(x, y) / (scale t) = D(a, b) + a constant.
 */
#include "index/quantize.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define CODE_MAX 255
/* One value in so many is clipped at either end. */
#define CLIP_ONE_IN 10000
/* Values looked at in training; at least SAMPLE_ROWS_MIN rows. */
#define SAMPLE_VALUES_MAX (4U << 20)
#define SAMPLE_ROWS_MIN 64
/* An offset for each dimension must narrow the range to this part, or the plain one stays: whole
 * numbers that fit a byte are then kept without loss. */
#define CENTRED_GAIN 0.9
/* Rows fetched ahead, and bytes of each: more than the processor can have under way gains
 * nothing. */
#define AHEAD_ROWS 8
#define AHEAD_BYTES_MAX 2048

static int32_t dot_scalar(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
	int32_t sum = 0;
	for (uint32_t i = 0; i < bytes; i++)
		sum += a[i] * (b[i] - 128);
	return sum;
}

static uint32_t sad_scalar(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
	uint32_t sum = 0;
	for (uint32_t i = 0; i < bytes; i++)
		sum += (uint32_t)abs(a[i] - b[i]);
	return sum;
}

static uint8_t encode_one(float x, float offset, float inverse)
{
	float v = (x - offset) * inverse;
	v = v > 0.0F ? v : 0.0F;
	v = v < (float)CODE_MAX ? v : (float)CODE_MAX;
	return (uint8_t)lrintf(v);
}

static void encode_scalar(const float *x, const float *offset, uint32_t step, float inverse,
			  uint32_t dim, uint8_t *out)
{
	for (uint32_t i = 0; i < dim; i++)
		out[i] = encode_one(x[i], offset[i * step], inverse);
}

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vnni")))

AVX2 static int32_t sum_avx2(__m256i v)
{
	__m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
	return _mm_cvtsi128_si32(s);
}

/* Sixteen products, added in pairs. maddubs would be shorter, but it saturates. */
AVX2 static __m256i dot16_avx2(const uint8_t *a, const uint8_t *b)
{
	const __m128i flip = _mm_set1_epi8((char)0x80);
	__m128i bytes_a = _mm_loadu_si128((const __m128i_u *)a);
	__m128i bytes_b = _mm_xor_si128(_mm_loadu_si128((const __m128i_u *)b), flip);
	return _mm256_madd_epi16(_mm256_cvtepu8_epi16(bytes_a), _mm256_cvtepi8_epi16(bytes_b));
}

AVX2 static int32_t dot_avx2(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
	__m256i s0 = _mm256_setzero_si256(), s1 = s0;
	for (uint32_t i = 0; i < bytes; i += 32) {
		s0 = _mm256_add_epi32(s0, dot16_avx2(a + i, b + i));
		s1 = _mm256_add_epi32(s1, dot16_avx2(a + i + 16, b + i + 16));
	}
	return sum_avx2(_mm256_add_epi32(s0, s1));
}

AVX2 static uint32_t sad_avx2(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
	__m256i s = _mm256_setzero_si256();
	for (uint32_t i = 0; i < bytes; i += 32) {
		__m256i bytes_a = _mm256_loadu_si256((const __m256i_u *)(a + i));
		__m256i bytes_b = _mm256_loadu_si256((const __m256i_u *)(b + i));
		s = _mm256_add_epi64(s, _mm256_sad_epu8(bytes_a, bytes_b));
	}
	return (uint32_t)sum_avx2(s);
}

AVX2 static void encode_avx2(const float *x, const float *offset, uint32_t step, float inverse,
			     uint32_t dim, uint8_t *out)
{
	const __m256 low = _mm256_setzero_ps(), high = _mm256_set1_ps((float)CODE_MAX);
	uint32_t i = 0;
	for (; i + 8 <= dim; i += 8) {
		__m256 o = step != 0 ? _mm256_loadu_ps(offset + i) : _mm256_set1_ps(*offset);
		__m256 v = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), o),
					 _mm256_set1_ps(inverse));
		__m256i n = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, low), high));
		__m128i words =
			_mm_packus_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1));
		_mm_storel_epi64((__m128i_u *)(out + i), _mm_packus_epi16(words, words));
	}
	for (; i < dim; i++)
		out[i] = encode_one(x[i], offset[i * step], inverse);
}

AVX512 static int32_t dot_avx512(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
	const __m512i flip = _mm512_set1_epi8((char)0x80);
	__m512i s0 = _mm512_setzero_si512(), s1 = s0;
	uint32_t i = 0;
	for (; i + 128 <= bytes; i += 128) {
		s0 = _mm512_dpbusd_epi32(s0, _mm512_loadu_si512(a + i),
					 _mm512_xor_si512(_mm512_loadu_si512(b + i), flip));
		s1 = _mm512_dpbusd_epi32(s1, _mm512_loadu_si512(a + i + 64),
					 _mm512_xor_si512(_mm512_loadu_si512(b + i + 64), flip));
	}
	if (i < bytes)
		s0 = _mm512_dpbusd_epi32(s0, _mm512_loadu_si512(a + i),
					 _mm512_xor_si512(_mm512_loadu_si512(b + i), flip));
	return _mm512_reduce_add_epi32(_mm512_add_epi32(s0, s1));
}

AVX512 static uint32_t sad_avx512(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
	__m512i s = _mm512_setzero_si512();
	for (uint32_t i = 0; i < bytes; i += 64)
		s = _mm512_add_epi64(
			s, _mm512_sad_epu8(_mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i)));
	return (uint32_t)_mm512_reduce_add_epi64(s);
}

AVX512 static void encode_avx512(const float *x, const float *offset, uint32_t step, float inverse,
				 uint32_t dim, uint8_t *out)
{
	const __m512 low = _mm512_setzero_ps(), high = _mm512_set1_ps((float)CODE_MAX);
	for (uint32_t i = 0; i < dim; i += 16) {
		unsigned lanes = dim - i < 16 ? (1U << (dim - i)) - 1U : 0xffffU;
		__mmask16 m = (__mmask16)lanes;
		__m512 o =
			step != 0 ? _mm512_maskz_loadu_ps(m, offset + i) : _mm512_set1_ps(*offset);
		__m512 v = _mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i), o);
		v = _mm512_mul_ps(v, _mm512_set1_ps(inverse));
		v = _mm512_min_ps(_mm512_max_ps(v, low), high);
		_mm512_mask_cvtepi32_storeu_epi8(out + i, m, _mm512_cvtps_epi32(v));
	}
}

#endif

static const struct code_kernels kernels[KERNEL_SET_COUNT] = {
	[KERNEL_SET_SCALAR] = { dot_scalar, sad_scalar, encode_scalar },
#if defined(__x86_64__)
	[KERNEL_SET_AVX2] = { dot_avx2, sad_avx2, encode_avx2 },
	[KERNEL_SET_AVX512] = { dot_avx512, sad_avx512, encode_avx512 },
#endif
};

const struct code_kernels *code_kernels_of(enum kernel_set set)
{
	ASSERT(set <= kernel_set_best());
	return &kernels[set];
}

enum code_kind code_kind_for(uint32_t dim)
{
	return dim < CODE_INT8_DIM_MIN ? CODE_F32 : CODE_INT8;
}

uint32_t code_stride(uint32_t dim)
{
	if (code_kind_for(dim) == CODE_F32)
		return 0;
	return (dim + CODE_ALIGN - 1) / CODE_ALIGN * CODE_ALIGN;
}

static const float *vector_of(const struct codes *c, uint32_t node)
{
	return c->source->vector(c->source, c->slots[node]);
}

/*
 * Training
 */

struct range {
	double low;
	double high;
};

/* Bits of a float as a number that sorts as the floats do. */
static uint32_t sort_key(float f)
{
	uint32_t bits;
	memcpy(&bits, &f, sizeof(bits));
	return (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
}

static float sort_key_float(uint32_t key)
{
	uint32_t bits = (key >> 31) != 0 ? key & 0x7fffffffU : ~key;
	float f;
	memcpy(&f, &bits, sizeof(f));
	return f;
}

/* The bucket that holds the rank-th value; *rank becomes the rank in it. */
static uint32_t find_bucket(const uint32_t *buckets, size_t *rank)
{
	uint32_t b = 0;
	for (; *rank >= buckets[b]; b++)
		*rank -= buckets[b];
	return b;
}

#define BUCKETS 65536

/* The rank-th smallest of the values, by the upper and then the lower half of their bits. */
static float select_value(const float *values, size_t count, size_t rank, uint32_t *buckets)
{
	memset(buckets, 0, BUCKETS * sizeof(*buckets));
	for (size_t i = 0; i < count; i++)
		buckets[sort_key(values[i]) >> 16]++;
	uint32_t upper = find_bucket(buckets, &rank);
	memset(buckets, 0, BUCKETS * sizeof(*buckets));
	for (size_t i = 0; i < count; i++) {
		uint32_t key = sort_key(values[i]);
		if (key >> 16 == upper)
			buckets[key & 0xffffU]++;
	}
	return sort_key_float(upper << 16 | find_bucket(buckets, &rank));
}

static struct range clipped_range(const float *values, size_t count, uint32_t *buckets)
{
	size_t clipped = count / CLIP_ONE_IN;
	return (struct range){
		.low = (double)select_value(values, count, clipped, buckets),
		.high = (double)select_value(values, count, count - 1 - clipped, buckets),
	};
}

static uint32_t sample_rows(const struct codes *c)
{
	return MIN(c->count, MAX(SAMPLE_VALUES_MAX / c->dim, (uint32_t)SAMPLE_ROWS_MIN));
}

/* Evenly spread rows. What is not finite says nothing about the range. */
static void take_sample(const struct codes *c, uint32_t rows, float *values)
{
	for (uint32_t r = 0; r < rows; r++) {
		const float *v = vector_of(c, (uint32_t)((uint64_t)r * c->count / rows));
		for (uint32_t i = 0; i < c->dim; i++)
			values[(size_t)r * c->dim + i] = isfinite(v[i]) ? v[i] : 0.0F;
	}
}

/* Subtracts the mean of each dimension, which is left in offset. */
static void centre_sample(const struct codes *c, uint32_t rows, float *values)
{
	for (uint32_t i = 0; i < c->dim; i++) {
		double sum = 0.0;
		for (uint32_t r = 0; r < rows; r++)
			sum += (double)values[(size_t)r * c->dim + i];
		c->offset[i] = (float)(sum / rows);
	}
	for (uint32_t r = 0; r < rows; r++)
		for (uint32_t i = 0; i < c->dim; i++)
			values[(size_t)r * c->dim + i] -= c->offset[i];
}

static void set_grid(struct codes *c, struct range range)
{
	c->scale = (float)((range.high - range.low) / CODE_MAX);
	if (!(c->scale >= FLT_MIN) || !isfinite(c->scale))
		c->scale = 1.0F;
	for (uint32_t i = 0; i < c->dim; i++) {
		c->offset[i] += (float)range.low;
		c->weight[i] = (float)((double)c->offset[i] / (double)c->scale);
	}
}

static void choose_grid(struct codes *c, uint32_t rows, float *values, uint32_t *buckets)
{
	size_t count = (size_t)rows * c->dim;
	take_sample(c, rows, values);
	struct range plain = clipped_range(values, count, buckets);
	centre_sample(c, rows, values);
	struct range centred = clipped_range(values, count, buckets);
	if (centred.high - centred.low < CENTRED_GAIN * (plain.high - plain.low)) {
		set_grid(c, centred);
		return;
	}
	for (uint32_t i = 0; i < c->dim; i++)
		c->offset[i] = 0.0F;
	set_grid(c, plain);
}

enum err codes_train(struct codes *c)
{
	c->scale = 1.0F;
	if (c->kind == CODE_F32 || c->count == 0)
		return ERR_NONE;
	uint32_t rows = sample_rows(c);
	float *values = calloc((size_t)rows * c->dim, sizeof(*values));
	uint32_t *buckets = calloc(BUCKETS, sizeof(*buckets));
	enum err e = ERR_NO_MEMORY;
	if (values && buckets) {
		choose_grid(c, rows, values, buckets);
		e = ERR_NONE;
	}
	free(values);
	free(buckets);
	return e;
}

/*
 * Encoding
 */

/* Products of a float and a byte are exact in double, so that fused multiplication changes
 * nothing. */
static double weighted_sum(const struct codes *c, const uint8_t *row)
{
	double sum = 0.0;
	for (uint32_t i = 0; i < c->dim; i++)
		sum += (double)c->weight[i] * (double)row[i];
	return sum;
}

static void set_terms(struct codes *c, uint32_t node, const uint8_t *row)
{
	uint64_t sum = 0, squares = 0;
	for (uint32_t i = 0; i < c->dim; i++) {
		sum += row[i];
		squares += (uint32_t)row[i] * row[i];
	}
	double post = 0.0;
	switch (c->distance) {
	case DISTANCE_COSINE:
	case DISTANCE_DOT:
	case DISTANCE_COSINE_OF_ANY: /* never built */
		post = weighted_sum(c, row);
		break;
	case DISTANCE_EUCLID:
		post = -0.5 * (double)squares;
		break;
	case DISTANCE_MANHATTAN:
		c->bias[node] = c->post[node] = 0.0F;
		return;
	}
	c->post[node] = (float)post;
	c->bias[node] = (float)((double)(128 * sum) + post);
}

void codes_encode(struct codes *c, uint32_t node)
{
	if (c->kind == CODE_F32)
		return;
	uint8_t *row = c->rows + (size_t)node * c->stride;
	c->kernels->encode(vector_of(c, node), c->offset, 1, 1.0F / c->scale, c->dim, row);
	set_terms(c, node, row);
}

/*
 * Queries
 */

static float largest_magnitude(const float *v, uint32_t dim)
{
	float lane[8] = { 0 };
	uint32_t i = 0;
	for (; i + LEN(lane) <= dim; i += LEN(lane)) {
		for (uint32_t j = 0; j < LEN(lane); j++) {
			float magnitude = fabsf(v[i + j]);
			lane[j] = magnitude > lane[j] ? magnitude : lane[j];
		}
	}
	for (; i < dim; i++)
		lane[0] = fmaxf(lane[0], fabsf(v[i]));
	for (uint32_t j = 1; j < LEN(lane); j++)
		lane[0] = fmaxf(lane[0], lane[j]);
	return lane[0];
}

/* On a grid of its own, centred at 0, code 128. */
static void encode_signed(const struct codes *c, const float *vector, uint8_t *buffer)
{
	float step = largest_magnitude(vector, c->dim) / 127.0F;
	if (!(step >= FLT_MIN) || !isfinite(step))
		step = 1.0F;
	float offset = -128.0F * step;
	c->kernels->encode(vector, &offset, 0, 1.0F / step, c->dim, buffer);
}

struct code_query code_query_of_vector(const struct codes *c, const float *vector, uint8_t *buffer)
{
	struct code_query q = { .codes = c, .code = buffer, .vector = vector };
	if (c->kind == CODE_F32)
		return q;
	memset(buffer + c->dim, 0, c->stride - c->dim);
	if (distance_larger_is_nearer(c->distance)) {
		encode_signed(c, vector, buffer);
		return q;
	}
	c->kernels->encode(vector, c->offset, 1, 1.0F / c->scale, c->dim, buffer);
	q.bias = c->bias;
	return q;
}

struct code_query code_query_of_node(const struct codes *c, uint32_t node)
{
	struct code_query q = { .codes = c };
	if (c->kind == CODE_F32) {
		q.vector = vector_of(c, node);
		return q;
	}
	q.code = c->rows + (size_t)node * c->stride;
	q.bias = c->bias;
	q.post = c->post[node];
	return q;
}

bool codes_equal(const struct codes *c, uint32_t a, uint32_t b)
{
	if (c->kind == CODE_F32)
		return memcmp(vector_of(c, a), vector_of(c, b), c->dim * sizeof(float)) == 0;
	return memcmp(c->rows + (size_t)a * c->stride, c->rows + (size_t)b * c->stride,
		      c->stride) == 0;
}

/*
 * Scoring
 */

static void prefetch_row(const struct codes *c, uint32_t node)
{
	const uint8_t *row = c->rows + (size_t)node * c->stride;
	uint32_t bytes = MIN(c->stride, (uint32_t)AHEAD_BYTES_MAX);
	for (uint32_t i = 0; i < bytes; i += CODE_ALIGN)
		__builtin_prefetch(row + i);
}

static float score_row(const struct code_query *q, uint32_t node)
{
	const struct codes *c = q->codes;
	const uint8_t *row = c->rows + (size_t)node * c->stride;
	if (c->distance == DISTANCE_MANHATTAN)
		return -(float)c->kernels->sad(row, q->code, c->stride);
	float score = (float)c->kernels->dot(row, q->code, c->stride);
	if (q->bias)
		score += q->bias[node];
	return score + q->post;
}

static float score_f32(const struct code_query *q, uint32_t node)
{
	const struct codes *c = q->codes;
	float score = distance_exact(c->distance, vector_of(c, node), q->vector, c->dim);
	return isnan(score) ? -INFINITY : score;
}

void codes_score(const struct code_query *q, const uint32_t *nodes, uint32_t count,
		 float *ret_scores)
{
	if (q->codes->kind == CODE_F32) {
		for (uint32_t i = 0; i < count; i++)
			ret_scores[i] = score_f32(q, nodes[i]);
		return;
	}
	for (uint32_t i = 0; i < MIN(count, (uint32_t)AHEAD_ROWS); i++)
		prefetch_row(q->codes, nodes[i]);
	for (uint32_t i = 0; i < count; i++) {
		if (i + AHEAD_ROWS < count)
			prefetch_row(q->codes, nodes[i + AHEAD_ROWS]);
		ret_scores[i] = score_row(q, nodes[i]);
	}
}
