/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/point_size.h"

/* Header, counts and lengths of a point and of a vector; generous. */
#define POINT_HEAD_BYTES 48
#define VECTOR_HEAD_BYTES 16
/* Tag, length and count of an object (value.h), and the tag of the null that a deleted key counts as. */
#define OBJECT_HEAD_BYTES 5
#define TAG_BYTES 1

_Static_assert(VECTOR_HEAD_BYTES <= POINT_SIZE_ABSENT_MAX, "as point_size.h says");

static size_t vector_size(struct str name, const struct vector *v)
{
	size_t number = v->kind == VECTOR_SPARSE ? sizeof(float) + sizeof(uint32_t) : sizeof(float);

	return VECTOR_HEAD_BYTES + name.len + v->count * number;
}

size_t point_size_of_op(const struct op_point *p)
{
	size_t bytes = POINT_HEAD_BYTES + p->payload.len;

	for (uint32_t i = 0; i < p->vector_count; i++)
		bytes += vector_size(p->vectors[i].name, &p->vectors[i].vector);
	return bytes;
}

static size_t varint_size(uint64_t n)
{
	size_t bytes = 1;

	for (; n > 0x7f; n >>= 7)
		bytes++;
	return bytes;
}

/* As long as the object that value.h makes of it. */
static size_t payload_size(const struct row *row)
{
	if (row->field_count == 0)
		return 0;
	size_t bytes = OBJECT_HEAD_BYTES + varint_size(row->field_count);
	for (uint32_t i = 0; i < row->field_count; i++) {
		const struct row_field *f = &row->fields[i];
		bytes += varint_size(f->key.len) + f->key.len + (f->present ? f->value.len : TAG_BYTES);
	}
	return bytes;
}

size_t point_size_of_row(const struct row *row)
{
	size_t bytes = POINT_HEAD_BYTES + payload_size(row);

	for (uint32_t i = 0; i < row->vector_count; i++) {
		static const struct vector none = { .kind = VECTOR_DENSE };
		const struct row_vector *v = &row->vectors[i];
		bytes += vector_size(v->name, v->present ? &v->vector : &none);
	}
	return bytes;
}
