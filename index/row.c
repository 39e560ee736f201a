/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row's record, in STORE_ROWS under the key that the shard gives it (shard.h)
 *   u8       format version, 1
 *   u8       flags: 1 visible
 *   id       as point_id_put() writes it
 *   varint   op number
 *   varint   count of stamps, then each: varint epoch, u64 hlc, u8 region; ascending, unique,
 *            none zero
 *   4 varint stamps of created, reset, payload reset, deleted: 0 never, n the n-th of the table
 *   varint   count of vectors, then each, ascending by name:
 *              name (varint length, bytes), varint stamp, u8 form, and
 *              form 0, absent:  nothing
 *              form 1, in slot: u32 slot, varint dimension, u64 hash
 *              form 2, inline:  u64 hash, the vector as vector_put() writes it
 *   varint   count of payload fields, then each, ascending by key:
 *              key (varint length, bytes), varint stamp, u8 present, and if present
 *              varint length, canonical value (value.h)
 *   u32      low half of the hash64 of all before; in every version the last four bytes
 * A point that one op wrote has one stamp, however many parts it has.
 *
 * The digest runs through the parts, each hashed together with the digest of those before:
 *   head     u64 incarnation hlc, u8 its region; u8 kind, u64 hi, u64 lo of the id; the four
 *            stamps; u32 vectors, u32 fields
 *   vector   digest so far, 'v', hash64 of the name, stamp, u8 present, vector hash
 *   field    digest so far, 'f', hash64 of the key, stamp, u8 present, hash128 of the value
 * with stamps as u64 epoch, u64 hlc, u8 region. It is part of the protocol between regions.
 */
#include "index/row.h"

#include "base/panic.h"
#include "index/order.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_VERSION 1
#define FLAG_VISIBLE 1
#define CHECK_BYTES 4
#define STAMP_BYTES_MIN 10
#define VECTOR_BYTES_MIN 3
#define FIELD_BYTES_MIN 3
#define HEAD_STAMPS 4
/* Rows with more parts than these borrow memory while they are written. */
#define PARTS_ON_STACK 64
#define DIGEST_PART_MAX 128 /* bytes */

enum vector_form { FORM_ABSENT = 0, FORM_SLOT = 1, FORM_INLINE = 2 };

static uint32_t checksum(const uint8_t *data, size_t len)
{
	return (uint32_t)hash64(data, len, 0);
}

/* --- the table of stamps --- */

struct stamps {
	struct stamp *items;
	uint32_t count;
	struct stamp space[PARTS_ON_STACK];
};

static void stamps_release(struct stamps *s)
{
	if (s->items != s->space)
		free(s->items);
}

/* The order of the table only; which stamp wins is the merge's to say. */
static int stamp_order(const void *a, const void *b)
{
	const struct stamp *x = a, *y = b;

	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	if (x->hlc != y->hlc)
		return x->hlc < y->hlc ? -1 : 1;
	return (x->region > y->region) - (x->region < y->region);
}

static void stamps_add(struct stamps *s, struct stamp stamp)
{
	if (stamp_is_zero(stamp))
		return;
	if (s->count > 0 && stamp_order(&s->items[s->count - 1], &stamp) == 0)
		return;
	s->items[s->count++] = stamp;
}

static enum err stamps_collect(struct stamps *s, const struct row *r)
{
	size_t parts = HEAD_STAMPS + (size_t)r->vector_count + r->field_count;

	s->count = 0;
	s->items = s->space;
	if (parts > PARTS_ON_STACK) {
		s->items = reallocarray(NULL, parts, sizeof(*s->items));
		if (!s->items)
			return ERR_NO_MEMORY;
	}
	stamps_add(s, r->created);
	stamps_add(s, r->reset);
	stamps_add(s, r->payload_reset);
	stamps_add(s, r->deleted);
	for (uint32_t i = 0; i < r->vector_count; i++)
		stamps_add(s, r->vectors[i].stamp);
	for (uint32_t i = 0; i < r->field_count; i++)
		stamps_add(s, r->fields[i].stamp);

	qsort(s->items, s->count, sizeof(*s->items), stamp_order);
	uint32_t unique = 0;
	for (uint32_t i = 0; i < s->count; i++)
		if (unique == 0 || stamp_order(&s->items[unique - 1], &s->items[i]) != 0)
			s->items[unique++] = s->items[i];
	s->count = unique;
	return ERR_NONE;
}

static void put_stamp_index(struct buf *b, const struct stamps *s, struct stamp stamp)
{
	uint32_t index = 0;

	if (!stamp_is_zero(stamp)) {
		const struct stamp *found =
			bsearch(&stamp, s->items, s->count, sizeof(*s->items), stamp_order);
		ASSERT(found);
		index = (uint32_t)(found - s->items) + 1;
	}
	wire_put_varint(b, index);
}

/* --- writing --- */

static void put_head(struct buf *b, const struct row *r, const struct stamps *stamps)
{
	wire_put_u8(b, FORMAT_VERSION);
	wire_put_u8(b, r->visible ? FLAG_VISIBLE : 0);
	point_id_put(b, r->id);
	wire_put_varint(b, r->op_number);
	wire_put_varint(b, stamps->count);
	for (uint32_t i = 0; i < stamps->count; i++) {
		wire_put_varint(b, stamps->items[i].epoch);
		wire_put_u64(b, stamps->items[i].hlc);
		wire_put_u8(b, stamps->items[i].region);
	}
	put_stamp_index(b, stamps, r->created);
	put_stamp_index(b, stamps, r->reset);
	put_stamp_index(b, stamps, r->payload_reset);
	put_stamp_index(b, stamps, r->deleted);
}

static void put_vector(struct buf *b, const struct row_vector *v, const struct stamps *stamps)
{
	wire_put_str(b, v->name);
	put_stamp_index(b, stamps, v->stamp);
	if (!v->present) {
		wire_put_u8(b, FORM_ABSENT);
	} else if (v->vector.kind == VECTOR_DENSE) {
		/* The vector is in its slot before a row refers to it. */
		ASSERT(v->slot != SLOT_NONE);
		wire_put_u8(b, FORM_SLOT);
		wire_put_u32(b, v->slot);
		wire_put_varint(b, v->vector.count);
		wire_put_u64(b, v->hash);
	} else {
		wire_put_u8(b, FORM_INLINE);
		wire_put_u64(b, v->hash);
		vector_put(b, &v->vector);
	}
}

static void put_field(struct buf *b, const struct row_field *f, const struct stamps *stamps)
{
	wire_put_str(b, f->key);
	put_stamp_index(b, stamps, f->stamp);
	wire_put_u8(b, f->present);
	if (f->present)
		wire_put_bytes(b, f->value.data, f->value.len);
}

enum err row_encode(const struct row *r, struct buf *out)
{
	CLEANUP(stamps_release) struct stamps stamps = { .items = NULL };
	size_t start = out->len;

	enum err e = stamps_collect(&stamps, r);
	if (e)
		return e;
	put_head(out, r, &stamps);
	wire_put_varint(out, r->vector_count);
	for (uint32_t i = 0; i < r->vector_count; i++) {
		/* Out of order it could not be read again. */
		ASSERT(i == 0 || str_compare(r->vectors[i - 1].name, r->vectors[i].name) < 0);
		put_vector(out, &r->vectors[i], &stamps);
	}
	wire_put_varint(out, r->field_count);
	for (uint32_t i = 0; i < r->field_count; i++) {
		ASSERT(i == 0 || str_compare(r->fields[i - 1].key, r->fields[i].key) < 0);
		put_field(out, &r->fields[i], &stamps);
	}
	if (!buf_err(out))
		wire_put_u32(out, checksum(out->data + start, out->len - start));
	return buf_err(out);
}

/* --- reading --- */

struct row_reader {
	struct wire_reader wire;
	struct arena *arena;
	struct stamp *stamps;
	uint32_t stamp_count;
};

/* A count of things of at least bytes_min each: more than could follow are refused before memory is
 * taken. */
static uint32_t get_count(struct wire_reader *w, size_t bytes_min)
{
	uint64_t n = wire_varint(w);

	if (n > wire_left(w) / bytes_min || n > UINT32_MAX) {
		wire_fail(w);
		return 0;
	}
	return (uint32_t)n;
}

static enum err get_stamps(struct row_reader *r)
{
	r->stamp_count = get_count(&r->wire, STAMP_BYTES_MIN);
	r->stamps = arena_array(r->arena, r->stamp_count, sizeof(*r->stamps));
	if (!r->stamps)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < r->stamp_count; i++) {
		r->stamps[i].epoch = wire_varint(&r->wire);
		r->stamps[i].hlc = wire_u64(&r->wire);
		r->stamps[i].region = wire_u8(&r->wire);
		bool ascends = i == 0 ? !stamp_is_zero(r->stamps[0])
				      : stamp_order(&r->stamps[i - 1], &r->stamps[i]) < 0;
		if (!ascends)
			wire_fail(&r->wire);
	}
	return r->wire.err;
}

static struct stamp get_stamp(struct row_reader *r)
{
	uint64_t index = wire_varint(&r->wire);

	if (index > r->stamp_count)
		wire_fail(&r->wire);
	if (index == 0 || r->wire.err)
		return (struct stamp){ 0 };
	return r->stamps[index - 1];
}

static enum err get_head(struct row_reader *r, struct row *row)
{
	uint8_t version = wire_u8(&r->wire);
	if (version != FORMAT_VERSION)
		return ERR_VERSION;
	uint8_t flags = wire_u8(&r->wire);
	if (flags & ~FLAG_VISIBLE)
		wire_fail(&r->wire);
	row->visible = flags & FLAG_VISIBLE;
	row->id = point_id_get(&r->wire);
	row->op_number = wire_varint(&r->wire);
	enum err e = get_stamps(r);
	if (e)
		return e;
	row->created = get_stamp(r);
	row->reset = get_stamp(r);
	row->payload_reset = get_stamp(r);
	row->deleted = get_stamp(r);
	return r->wire.err;
}

static enum err get_slot(struct row_reader *r, struct row_vector *v)
{
	v->slot = wire_u32(&r->wire);
	uint64_t dim = wire_varint(&r->wire);
	v->hash = wire_u64(&r->wire);
	if (v->slot == SLOT_NONE || dim == 0 || dim > UINT32_MAX)
		wire_fail(&r->wire);
	v->vector = (struct vector){ .kind = VECTOR_DENSE, .count = (uint32_t)dim };
	return r->wire.err;
}

static enum err get_inline(struct row_reader *r, struct row_vector *v)
{
	v->hash = wire_u64(&r->wire);
	enum err e = vector_get(&r->wire, r->arena, &v->vector);
	if (e)
		return e;
	if (v->vector.kind == VECTOR_DENSE || vector_hash(&v->vector) != v->hash)
		return ERR_CORRUPT;
	return ERR_NONE;
}

static enum err get_vector(struct row_reader *r, struct row_vector *v)
{
	v->name = wire_str(&r->wire);
	v->stamp = get_stamp(r);
	v->slot = SLOT_NONE;
	uint8_t form = wire_u8(&r->wire);
	if (r->wire.err)
		return r->wire.err;
	v->present = form != FORM_ABSENT;
	switch ((enum vector_form)form) {
	case FORM_ABSENT:
		return ERR_NONE;
	case FORM_SLOT:
		return get_slot(r, v);
	case FORM_INLINE:
		return get_inline(r, v);
	}
	return ERR_CORRUPT;
}

static enum err get_vectors(struct row_reader *r, struct row *row)
{
	row->vector_count = get_count(&r->wire, VECTOR_BYTES_MIN);
	row->vectors = arena_array(r->arena, row->vector_count, sizeof(*row->vectors));
	if (!row->vectors)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < row->vector_count; i++) {
		enum err e = get_vector(r, &row->vectors[i]);
		if (e)
			return e;
		if (i > 0 && str_compare(row->vectors[i - 1].name, row->vectors[i].name) >= 0)
			return ERR_CORRUPT;
	}
	return r->wire.err;
}

static enum err get_field(struct row_reader *r, struct row_field *f)
{
	f->key = wire_str(&r->wire);
	f->stamp = get_stamp(r);
	uint8_t present = wire_u8(&r->wire);
	if (present > 1)
		wire_fail(&r->wire);
	f->present = present;
	if (!present || r->wire.err)
		return r->wire.err;
	struct bytes value = wire_bytes(&r->wire);
	if (r->wire.err)
		return r->wire.err;
	return value_check(value, &f->value);
}

static enum err get_fields(struct row_reader *r, struct row *row)
{
	row->field_count = get_count(&r->wire, FIELD_BYTES_MIN);
	row->fields = arena_array(r->arena, row->field_count, sizeof(*row->fields));
	if (!row->fields)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < row->field_count; i++) {
		enum err e = get_field(r, &row->fields[i]);
		if (e)
			return e;
		if (i > 0 && str_compare(row->fields[i - 1].key, row->fields[i].key) >= 0)
			return ERR_CORRUPT;
	}
	return r->wire.err;
}

enum err row_decode(struct bytes record, struct arena *a, struct row *ret_row)
{
	if (record.len <= CHECK_BYTES)
		return ERR_CORRUPT;
	size_t len = record.len - CHECK_BYTES;
	struct wire_reader check = wire_reader_of(record.data + len, CHECK_BYTES);
	if (wire_u32(&check) != checksum(record.data, len))
		return ERR_CORRUPT;

	struct row_reader r = { .wire = wire_reader_of(record.data, len), .arena = a };
	struct row row = { .visible = false };
	enum err e = get_head(&r, &row);
	if (!e)
		e = get_vectors(&r, &row);
	if (!e)
		e = get_fields(&r, &row);
	if (!e)
		e = wire_done(&r.wire);
	/* The value's own error is for input; here it means damage. */
	if (e && e != ERR_NO_MEMORY && e != ERR_VERSION)
		return ERR_CORRUPT;
	if (!e)
		*ret_row = row;
	return e;
}

bool row_peek_id(struct bytes record, struct point_id *ret_id)
{
	struct wire_reader r = wire_reader_of(record.data, record.len);

	(void)wire_u8(&r);
	(void)wire_u8(&r);
	*ret_id = point_id_get(&r);
	return r.err == ERR_NONE;
}

/* --- contents --- */

enum err row_payload(const struct row *r, struct buf *out)
{
	struct value_member space[PARTS_ON_STACK], *members = space;
	uint32_t count = 0;

	if (r->field_count > PARTS_ON_STACK) {
		members = reallocarray(NULL, r->field_count, sizeof(*members));
		if (!members)
			return ERR_NO_MEMORY;
	}
	for (uint32_t i = 0; i < r->field_count; i++)
		if (r->fields[i].present)
			members[count++] = (struct value_member){ .key = r->fields[i].key,
								  .value = r->fields[i].value };
	enum err e = value_put_object(out, members, count);
	if (members != space)
		free(members);
	return e;
}

/* What one step of the digest hashes. */
struct digest_part {
	size_t len;
	uint8_t data[DIGEST_PART_MAX];
};

static void part_u8(struct digest_part *p, uint8_t v)
{
	ASSERT(p->len < sizeof(p->data));
	p->data[p->len++] = v;
}

static void part_u64(struct digest_part *p, uint64_t v)
{
	uint64_t le = htole64(v);

	ASSERT(p->len + sizeof(le) <= sizeof(p->data));
	memcpy(p->data + p->len, &le, sizeof(le));
	p->len += sizeof(le);
}

static void part_stamp(struct digest_part *p, struct stamp s)
{
	part_u64(p, s.epoch);
	part_u64(p, s.hlc);
	part_u8(p, s.region);
}

static void part_hash128(struct digest_part *p, struct hash128 h)
{
	part_u64(p, h.lo);
	part_u64(p, h.hi);
}

static struct hash128 part_digest(const struct digest_part *p)
{
	return hash128(p->data, p->len, 0);
}

static struct hash128 digest_head(const struct row *r, struct incarnation incarnation)
{
	struct digest_part p = { .len = 0 };

	part_u64(&p, incarnation.hlc);
	part_u8(&p, incarnation.region);
	part_u8(&p, r->id.kind);
	part_u64(&p, r->id.hi);
	part_u64(&p, r->id.lo);
	part_stamp(&p, r->created);
	part_stamp(&p, r->reset);
	part_stamp(&p, r->payload_reset);
	part_stamp(&p, r->deleted);
	part_u64(&p, (uint64_t)r->field_count << 32 | r->vector_count);
	return part_digest(&p);
}

static struct hash128 digest_vector(const struct row_vector *v, struct hash128 so_far)
{
	struct digest_part p = { .len = 0 };

	part_hash128(&p, so_far);
	part_u8(&p, 'v');
	part_u64(&p, hash64(v->name.data, v->name.len, 0));
	part_stamp(&p, v->stamp);
	part_u8(&p, v->present);
	part_u64(&p, v->present ? v->hash : 0);
	return part_digest(&p);
}

static struct hash128 digest_field(const struct row_field *f, struct hash128 so_far)
{
	struct digest_part p = { .len = 0 };

	part_hash128(&p, so_far);
	part_u8(&p, 'f');
	part_u64(&p, hash64(f->key.data, f->key.len, 0));
	part_stamp(&p, f->stamp);
	part_u8(&p, f->present);
	if (f->present)
		part_hash128(&p, hash128(f->value.data, f->value.len, 0));
	return part_digest(&p);
}

struct hash128 row_digest(const struct row *r, struct incarnation incarnation)
{
	struct hash128 digest = digest_head(r, incarnation);

	for (uint32_t i = 0; i < r->vector_count; i++)
		digest = digest_vector(&r->vectors[i], digest);
	for (uint32_t i = 0; i < r->field_count; i++)
		digest = digest_field(&r->fields[i], digest);
	return digest;
}
