/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a dense vector's components may be. Stored and compared they are always f32, of which uint8 and float16 keep those that
 * they can tell apart: a vector is rounded once, before it is logged, and is the same everywhere from there on.
 */
#pragma once

#include <stdint.h>

enum datatype { DATATYPE_FLOAT32 = 1, DATATYPE_UINT8 = 2, DATATYPE_FLOAT16 = 3 };

/* In place. uint8: the whole part, within 0 to 255. float16: the nearest one, of two the even one, at most 65504 on either side.
 * The same bits on every processor. */
void datatype_round(enum datatype t, float *values, uint32_t count);
