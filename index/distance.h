/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Distances and their kernels. Inside the index a similarity is compared: larger is nearer, always
 * (dot; minus the squared L2 distance; minus the L1 distance). distance_to_score() makes what a client sees.
 * Kernels are chosen once at start for this processor; all are bit-identical in the integer case, and
 * within 1e-5 relative of the scalar one in the float case. distance_exact() gives the same bits on every
 * processor (audits use it).
 */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

enum distance { DISTANCE_COSINE = 1, DISTANCE_EUCLID = 2, DISTANCE_DOT = 3, DISTANCE_MANHATTAN = 4,
		/* The cosine of vectors that keep their lengths; no client names it, and no graph is built by it. */
		DISTANCE_COSINE_OF_ANY = 5 };

/* Weakest first; a processor that has one has those before it. KERNEL_SET_AVX512 means F, BW and VNNI. */
enum kernel_set { KERNEL_SET_SCALAR, KERNEL_SET_AVX2, KERNEL_SET_AVX512, KERNEL_SET_COUNT };
/* The strongest set of this processor. */
enum kernel_set kernel_set_best(void);

/* dim floats each; any alignment. */
typedef float (*distance_f32_fn)(const float *a, const float *b, uint32_t dim);
distance_f32_fn distance_f32(enum distance d);
/* That of a certain set, which this processor must have. */
distance_f32_fn distance_f32_of(enum distance d, enum kernel_set set);
/* Fixed order of operations, no fused multiply-add: bit-equal everywhere. */
float distance_exact(enum distance d, const float *a, const float *b, uint32_t dim);

/* Scales v to unit length in place, in a bit-equal way; a zero vector stays zero. */
void distance_normalize(float *v, uint32_t dim);

/* Similarity to the score in a reply, and back for a threshold. */
float distance_to_score(enum distance d, float similarity);
float distance_from_score(enum distance d, float score);
/* True when larger scores are nearer (Cosine, Dot). */
bool distance_larger_is_nearer(enum distance d);
