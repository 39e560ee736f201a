/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codes: what a graph walk compares instead of f32 vectors. One byte a dimension on a grid of the
 * segment,
 *     x[i] ~ offset[i] + scale * code[i],
 * four times less to fetch, and compared in integers, so that every processor builds the same
 * graph. Vectors of few dimensions gain nothing and would lose too much: they are compared as they
 * are (CODE_F32), by distance_exact(). Thread: training and encoding belong to a build; scoring is
 * for any thread.
 */
#pragma once

#include "index/segment.h"

enum code_kind { CODE_F32 = 0, CODE_INT8 = 1 };

#define CODE_INT8_DIM_MIN 16
/* Sums of products of bytes stay within 32 bits. */
#define CODE_DIM_MAX 65536
/* Rows begin on cache lines and are filled up with zero codes. */
#define CODE_ALIGN 64

/* All sets give the same numbers. bytes is a multiple of CODE_ALIGN. */
struct code_kernels {
	/* Sum of a (b - 128): the processor multiplies unsigned by signed bytes. */
	int32_t (*dot)(const uint8_t *a, const uint8_t *b, uint32_t bytes);
	/* Sum of |a - b|. */
	uint32_t (*sad)(const uint8_t *a, const uint8_t *b, uint32_t bytes);
	/* out[i] = (x[i] - offset[i * step]) * inverse, rounded half to even, within 0 to 255;
	 * NaN gives 0. */
	void (*encode)(const float *x, const float *offset, uint32_t step, float inverse,
		       uint32_t dim, uint8_t *out);
};
const struct code_kernels *code_kernels_of(enum kernel_set set);

/* A view of a segment's codes; the segment or the build owns what it points to. */
struct codes {
	enum code_kind kind;
	enum distance distance;
	uint32_t dim;
	uint32_t count;
	uint32_t stride; /* bytes of a row; 0 for CODE_F32 */
	float scale;
	float *offset;         /* dim */
	float *bias;           /* count: what a row adds to its score */
	uint8_t *rows;         /* count rows */
	float *post;           /* count: what a row adds as a query; builds only */
	float *weight;         /* dim: offset / scale; builds only */
	const uint32_t *slots; /* count: where the f32 vectors lie */
	const struct segment_source *source;
	const struct code_kernels *kernels;
};

enum code_kind code_kind_for(uint32_t dim);
uint32_t code_stride(uint32_t dim);

/* Chooses offset and scale from a sample of the vectors: 0.01 % at either end are clipped, as
 * outliers would coarsen the grid for all. Offsets differ by dimension when that gives a finer
 * grid. */
MUST_USE enum err codes_train(struct codes *c);
/* Writes row, bias and post of one node. Different nodes may be encoded at once. */
void codes_encode(struct codes *c, uint32_t node);

/* Something to compare rows with. */
struct code_query {
	const struct codes *codes;
	const uint8_t *code; /* CODE_INT8 */
	const float *vector; /* CODE_F32 */
	const float *bias;   /* NULL: rows add nothing */
	float post;
};
/* buffer has codes->stride bytes, aligned to CODE_ALIGN, and lives as long as the query. */
struct code_query code_query_of_vector(const struct codes *c, const float *vector, uint8_t *buffer);
/* Builds only. Scores of queries of nodes are symmetric up to rounding and can be compared with
 * each other. */
struct code_query code_query_of_node(const struct codes *c, uint32_t node);
bool codes_equal(const struct codes *c, uint32_t a, uint32_t b);

/* Scores of some nodes, larger is nearer: only the order has a meaning. Fetches ahead. */
void codes_score(const struct code_query *q, const uint32_t *nodes, uint32_t count,
		 float *ret_scores);
