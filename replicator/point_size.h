/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large a point is, and may be: in an op, and as the row that many ops made of it. Both are counted alike, so that a
 * row that one op wrote is as large as the op's point, and the two have one bound. What was deleted from a row counts by
 * its name, as the row keeps that; versions do not count.
 * The bound holds where a write comes in. What several regions made of a point without having seen one another is joined
 * whatever its size, the same everywhere: at most the bound for each region that writes.
 */
#pragma once

#include "replicator/change.h"

/* Header, counts and lengths of an op, and of the one that carries it when it is an orphan; generous. */
#define OP_HEAD_BYTES 128
#define POINT_BYTES_MAX ((size_t)OP_BYTES_MAX - OP_HEAD_BYTES)
/* Of a key or a vector that was deleted, beside its name. */
#define POINT_SIZE_ABSENT_MAX 16

size_t point_size_of_op(const struct op_point *p);
size_t point_size_of_row(const struct row *row);
