/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One op, in bytes. Integers are little-endian unless said otherwise, "str" is a varint length and so many
 * bytes, "id" is a point id as index/point.h writes it, "vector" likewise, "payload" is a str that holds one
 * canonical object (index/value.h); length 0: none.
 *
 * Wire form
 *   u8   version, 1
 *   u8   kind, of op.def
 *   u16  scope
 *   u64  epoch
 *   u64  seq
 *   u64  HLC
 *   u8   region that wrote it
 *   SCHEMA and DATA only:
 *     u64  incarnation: HLC
 *     u8   incarnation: region
 *     varint, varint  fleet position that it needs: epoch, seq; 0, 0 when none
 *     scope 1 only: varint count of what was seen; for each, regions ascending: u8 region, u64 HLC
 * then, by kind:
 *   EPOCH_START        varint links; for each: varint epoch, varint end
 *   RELEASE            u8 region to which
 *   MARK               u64 number of the mark
 *   ORPHAN, ORPHAN_APPLY
 *                      u64 running hash after it, then a str that holds an op in wire form, SCHEMA or DATA
 *   ORPHAN_DROP        u64 running hash after it, varint epoch, varint seq
 *   CREATE_COLLECTION  str name, config
 *   UPDATE_COLLECTION  config
 *   DROP_COLLECTION    nothing
 *   FIELD_INDEX_PUT    str key, u8 schema, str parameters of the client
 *   FIELD_INDEX_DROP   str key
 *   ALIASES            items of index/alias.c; incarnation 0: the alias goes
 *   UPSERT, UPDATE_VECTORS
 *                      varint points; for each: id, varint vectors, for each: str name, vector;
 *                      then payload (UPSERT only)
 *   SET_FIELDS         varint points; for each: id, payload
 *   DELETE, CLEAR_PAYLOAD
 *                      varint ids; the ids
 *   SET_PAYLOAD, OVERWRITE_PAYLOAD
 *                      payload, then ids as above
 *   DELETE_PAYLOAD, DELETE_VECTORS
 *                      varint keys; each a str; then ids as above
 * GC has no form yet: reading one is ERR_VERSION, as is an unknown kind.
 *
 * config
 *   u8      version, the least that can hold it, 1 or 2
 *   varint  vectors, for each in the order of their names: str name, u8 flags, and when dense: varint dim,
 *           u8 distance, varint m, varint ef_construct, varint full_scan_threshold_kb; flags: 1 sparse; version 2 has
 *           2 multi, 4 idf, 16 float16 and 32 uint8 besides
 *   varint  shards
 *   varint  indexing_threshold_kb
 *   u8      multi_writer
 *   str     the client's own text
 *
 * Log form: as the wire form, but for each vector one byte stands before it: 0, the vector follows; 1, it is
 * dense and its values are in a slot: varint dim, u32 slot.
 */
#include "replicator/change.h"

#include "base/hash.h"
#include "base/panic.h"
#include "index/order.h"
#include "replicator/history.h"

#define OP_VERSION 1
#define CONFIG_VERSION_MAX 2
/* The log form has a byte more for each vector that stays in line. */
#define OP_LOG_BYTES_MAX (2 * OP_BYTES_MAX)
#define CLIENT_CONFIG_BYTES_MAX (256u << 10)

enum { VECTOR_INLINE = 0, VECTOR_IN_SLOT = 1 };
enum op_class { CLASS_CONTROL, CLASS_SCHEMA, CLASS_DATA, CLASS_UNKNOWN };

const char *op_kind_name(enum op_kind k)
{
	switch (k) {
#define OP(name, number, word, class)                                                              \
	case OP_##name:                                                                            \
		return word;
#include "replicator/op.def"
#undef OP
	}
	return "unknown";
}

static enum op_class class_of(unsigned kind)
{
	switch (kind) {
#define OP(name, number, word, class)                                                              \
	case number:                                                                               \
		return CLASS_##class;
#include "replicator/op.def"
#undef OP
	default:
		return CLASS_UNKNOWN;
	}
}

int position_compare(struct position a, struct position b)
{
	if (a.epoch != b.epoch)
		return a.epoch < b.epoch ? -1 : 1;
	if (a.seq != b.seq)
		return a.seq < b.seq ? -1 : 1;
	return 0;
}

uint64_t op_chain_hash(uint64_t prev, struct bytes wire_form)
{
	return hash64(wire_form.data, wire_form.len, prev);
}

/* --- configs --- */

static void vector_config_put(struct buf *b, const struct vector_config *v)
{
	wire_put_str(b, v->name);
	wire_put_u8(b, vector_config_flags(v));
	if (v->sparse)
		return;
	wire_put_varint(b, v->dim);
	wire_put_u8(b, (uint8_t)v->distance);
	wire_put_varint(b, v->hnsw.m);
	wire_put_varint(b, v->hnsw.ef_construct);
	wire_put_varint(b, v->hnsw.full_scan_threshold_kb);
}

void collection_config_put(struct buf *b, const struct collection_config *c)
{
	wire_put_u8(b, collection_config_version(c));
	wire_put_varint(b, c->vector_count);
	for (uint32_t i = 0; i < c->vector_count; i++)
		vector_config_put(b, &c->vectors[i]);
	wire_put_varint(b, c->shard_number);
	wire_put_varint(b, c->indexing_threshold_kb);
	wire_put_u8(b, c->multi_writer);
	wire_put_bytes(b, c->client_config.data, c->client_config.len);
}

/* A varint between min and max; else the reader fails. */
static uint32_t get_between(struct wire_reader *r, uint32_t min, uint32_t max)
{
	uint64_t v = wire_varint(r);

	if (v < min || v > max) {
		wire_fail(r);
		return min;
	}
	return (uint32_t)v;
}

static bool get_flag(struct wire_reader *r)
{
	uint8_t v = wire_u8(r);

	if (v > 1)
		wire_fail(r);
	return v == 1;
}

/* A count of things that take at least one byte each, so that a wild one cannot make us allocate. */
static uint32_t get_count(struct wire_reader *r, uint32_t max)
{
	uint32_t count = get_between(r, 0, max);

	if (count > wire_left(r))
		wire_fail(r);
	return r->err ? 0 : count;
}

static struct vector_config vector_config_get(struct wire_reader *r)
{
	struct vector_config v = { .name = wire_str(r) };

	if (!vector_config_set_flags(&v, wire_u8(r)))
		wire_fail(r);
	if (v.sparse)
		return v;
	v.dim = get_between(r, 1, VECTOR_DIM_MAX);
	uint8_t distance = wire_u8(r);
	if (distance < DISTANCE_COSINE || distance > DISTANCE_MANHATTAN)
		wire_fail(r);
	v.distance = (enum distance)distance;
	v.hnsw.m = get_between(r, 0, UINT32_MAX);
	v.hnsw.ef_construct = get_between(r, 0, UINT32_MAX);
	v.hnsw.full_scan_threshold_kb = get_between(r, 0, UINT32_MAX);
	return v;
}

enum err collection_config_get(struct wire_reader *r, struct arena *a,
			       struct collection_config *ret_config)
{
	struct collection_config c = { 0 };

	uint8_t version = wire_u8(r);

	if ((version < 1 || version > CONFIG_VERSION_MAX) && !r->err)
		return ERR_VERSION;
	c.vector_count = get_count(r, COLLECTION_VECTORS_MAX);
	c.vectors = arena_array(a, c.vector_count, sizeof(*c.vectors));
	if (!c.vectors)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < c.vector_count; i++) {
		c.vectors[i] = vector_config_get(r);
		if (i > 0 && str_compare(c.vectors[i - 1].name, c.vectors[i].name) >= 0)
			wire_fail(r);
	}
	c.shard_number = get_between(r, 1, COLLECTION_SHARDS_MAX);
	c.indexing_threshold_kb = wire_varint(r);
	c.multi_writer = get_flag(r);
	c.client_config = wire_bytes(r);
	if (c.client_config.len > CLIENT_CONFIG_BYTES_MAX)
		wire_fail(r);
	/* One config has one form: logs are compared by their bytes. */
	if (!r->err && collection_config_version(&c) != version)
		wire_fail(r);
	if (r->err)
		return r->err;
	*ret_config = c;
	return ERR_NONE;
}

/* --- writing --- */

static void put_value(struct buf *b, struct value v)
{
	wire_put_bytes(b, v.data, v.data ? v.len : 0);
}

static void put_vector(struct buf *b, const struct op_vector *v, enum op_form form)
{
	wire_put_str(b, v->name);
	if (form == OP_FORM_LOG) {
		bool in_slot = v->vector.kind == VECTOR_DENSE && v->slot != SLOT_NONE;
		wire_put_u8(b, in_slot ? VECTOR_IN_SLOT : VECTOR_INLINE);
		if (in_slot) {
			wire_put_varint(b, v->vector.count);
			wire_put_u32(b, v->slot);
			return;
		}
	}
	ASSERT(v->vector.values || v->vector.count == 0);
	vector_put(b, &v->vector);
}

static void put_points(struct buf *b, const struct op *op, enum op_form form)
{
	wire_put_varint(b, op->point_count);
	for (uint32_t i = 0; i < op->point_count; i++) {
		const struct op_point *p = &op->points[i];
		point_id_put(b, p->id);
		if (op->kind != OP_SET_FIELDS)
			wire_put_varint(b, p->vector_count);
		for (uint32_t k = 0; k < p->vector_count; k++)
			put_vector(b, &p->vectors[k], form);
		if (op->kind != OP_UPDATE_VECTORS)
			put_value(b, p->payload);
	}
}

static void put_ids(struct buf *b, const struct op *op)
{
	wire_put_varint(b, op->id_count);
	for (uint32_t i = 0; i < op->id_count; i++)
		point_id_put(b, op->ids[i]);
}

static void put_keys(struct buf *b, const struct op *op)
{
	wire_put_varint(b, op->key_count);
	for (uint32_t i = 0; i < op->key_count; i++)
		wire_put_str(b, op->keys[i]);
}

static void put_chain(struct buf *b, const struct op *op)
{
	wire_put_varint(b, op->chain_count);
	for (uint32_t i = 0; i < op->chain_count; i++) {
		wire_put_varint(b, op->chain[i].epoch);
		wire_put_varint(b, op->chain[i].end);
	}
}

static void put_header(struct buf *b, const struct op *op)
{
	wire_put_u8(b, OP_VERSION);
	wire_put_u8(b, (uint8_t)op->kind);
	wire_put_u16(b, op->scope);
	wire_put_u64(b, op->epoch);
	wire_put_u64(b, op->seq);
	wire_put_u64(b, op->hlc);
	wire_put_u8(b, op->region);
	if (class_of(op->kind) == CLASS_CONTROL)
		return;
	wire_put_u64(b, op->incarnation.hlc);
	wire_put_u8(b, op->incarnation.region);
	wire_put_varint(b, op->needs.epoch);
	wire_put_varint(b, op->needs.seq);
	if (op->scope != SCOPE_MULTI)
		return;
	wire_put_varint(b, op->seen_count);
	for (uint32_t i = 0; i < op->seen_count; i++) {
		wire_put_u8(b, op->seen[i].region);
		wire_put_u64(b, op->seen[i].hlc);
	}
}

enum err op_encode(const struct op *op, enum op_form form, struct buf *out)
{
	put_header(out, op);
	switch (op->kind) {
	case OP_EPOCH_START:
		put_chain(out, op);
		break;
	case OP_RELEASE:
		wire_put_u8(out, op->target);
		break;
	case OP_MARK:
		wire_put_u64(out, op->mark);
		break;
	case OP_CREATE_COLLECTION:
		wire_put_str(out, op->name);
		collection_config_put(out, &op->config);
		break;
	case OP_UPDATE_COLLECTION:
		collection_config_put(out, &op->config);
		break;
	case OP_DROP_COLLECTION:
		break;
	case OP_FIELD_INDEX_PUT:
		wire_put_str(out, op->field_index.key);
		wire_put_u8(out, (uint8_t)op->field_index.schema);
		wire_put_bytes(out, op->field_index.client_params.data,
			       op->field_index.client_params.len);
		break;
	case OP_FIELD_INDEX_DROP:
		wire_put_str(out, op->field_index.key);
		break;
	case OP_ALIASES:
		alias_items_put(out, &op->aliases);
		break;
	case OP_UPSERT:
	case OP_UPDATE_VECTORS:
	case OP_SET_FIELDS:
		put_points(out, op, form);
		break;
	case OP_SET_PAYLOAD:
	case OP_OVERWRITE_PAYLOAD:
		put_value(out, op->payload);
		put_ids(out, op);
		break;
	case OP_DELETE_PAYLOAD:
	case OP_DELETE_VECTORS:
		put_keys(out, op);
		put_ids(out, op);
		break;
	case OP_DELETE:
	case OP_CLEAR_PAYLOAD:
		put_ids(out, op);
		break;
	case OP_ORPHAN:
	case OP_ORPHAN_APPLY:
		wire_put_u64(out, op->orphan_hash);
		wire_put_bytes(out, op->orphan.data, op->orphan.len);
		break;
	case OP_ORPHAN_DROP:
		wire_put_u64(out, op->orphan_hash);
		wire_put_varint(out, op->orphan_at.epoch);
		wire_put_varint(out, op->orphan_at.seq);
		break;
	case OP_GC:
		return ERR_NOT_IMPLEMENTED;
	}
	return buf_err(out);
}

/* --- reading --- */

/* Where reading ran out of memory, the reader's own error would call it damage. */
struct op_reader {
	struct wire_reader r;
	struct arena *arena;
	enum op_form form;
	enum err err;
};

static void *read_array(struct op_reader *o, uint32_t count, size_t size)
{
	void *p = arena_array(o->arena, count, size);

	if (!p && !o->err)
		o->err = ERR_NO_MEMORY;
	return p;
}

static struct value get_object(struct op_reader *o)
{
	struct bytes b = wire_bytes(&o->r);
	struct value v = { 0 };

	if (b.len == 0)
		return v;
	if (value_check(b, &v) || value_kind(v) != VALUE_OBJECT) {
		wire_fail(&o->r);
		return (struct value){ 0 };
	}
	return v;
}

static void get_vector(struct op_reader *o, struct op_vector *ret)
{
	struct op_vector v = { .name = wire_str(&o->r), .slot = SLOT_NONE };
	uint8_t place = o->form == OP_FORM_LOG ? wire_u8(&o->r) : VECTOR_INLINE;

	if (place == VECTOR_IN_SLOT) {
		v.vector.kind = VECTOR_DENSE;
		v.vector.count = get_between(&o->r, 1, VECTOR_DIM_MAX);
		v.slot = wire_u32(&o->r);
		if (v.slot == SLOT_NONE)
			wire_fail(&o->r);
	} else if (place != VECTOR_INLINE) {
		wire_fail(&o->r);
	} else {
		enum err err = vector_get(&o->r, o->arena, &v.vector);
		if (err == ERR_NO_MEMORY && !o->err)
			o->err = err;
		else if (err)
			wire_fail(&o->r);
	}
	*ret = v;
}

static void get_point(struct op_reader *o, const struct op *op, struct op_point *ret)
{
	struct op_point p = { .id = point_id_get(&o->r) };

	if (op->kind != OP_SET_FIELDS)
		p.vector_count = get_count(&o->r, COLLECTION_VECTORS_MAX);
	p.vectors = read_array(o, p.vector_count, sizeof(*p.vectors));
	for (uint32_t i = 0; p.vectors && i < p.vector_count && !o->r.err && !o->err; i++)
		get_vector(o, &p.vectors[i]);
	if (op->kind != OP_UPDATE_VECTORS)
		p.payload = get_object(o);
	*ret = p;
}

static void get_points(struct op_reader *o, struct op *op)
{
	op->point_count = get_count(&o->r, OP_BYTES_MAX);
	op->points = read_array(o, op->point_count, sizeof(*op->points));
	for (uint32_t i = 0; op->points && i < op->point_count && !o->r.err && !o->err; i++)
		get_point(o, op, &op->points[i]);
}

static void get_ids(struct op_reader *o, struct op *op)
{
	op->id_count = get_count(&o->r, OP_BYTES_MAX);
	op->ids = read_array(o, op->id_count, sizeof(*op->ids));
	for (uint32_t i = 0; op->ids && i < op->id_count && !o->r.err; i++)
		op->ids[i] = point_id_get(&o->r);
}

static void get_keys(struct op_reader *o, struct op *op)
{
	op->key_count = get_count(&o->r, OP_BYTES_MAX);
	op->keys = read_array(o, op->key_count, sizeof(*op->keys));
	for (uint32_t i = 0; op->keys && i < op->key_count && !o->r.err; i++)
		op->keys[i] = wire_str(&o->r);
}

static void get_chain(struct op_reader *o, struct op *op)
{
	op->chain_count = get_count(&o->r, HISTORY_EPOCHS_MAX);
	op->chain = read_array(o, op->chain_count, sizeof(*op->chain));
	for (uint32_t i = 0; op->chain && i < op->chain_count && !o->r.err; i++) {
		op->chain[i].epoch = wire_varint(&o->r);
		op->chain[i].end = wire_varint(&o->r);
	}
}

static void get_config(struct op_reader *o, struct op *op)
{
	enum err err = collection_config_get(&o->r, o->arena, &op->config);

	if (err && !o->err)
		o->err = err;
}

static void get_field_index(struct op_reader *o, struct op *op)
{
	op->field_index.key = wire_str(&o->r);
	if (op->kind == OP_FIELD_INDEX_DROP)
		return;
	uint8_t schema = wire_u8(&o->r);
	if (schema < FIELD_KEYWORD || schema > FIELD_UUID)
		wire_fail(&o->r);
	op->field_index.schema = (enum field_schema)schema;
	op->field_index.client_params = wire_bytes(&o->r);
}

static void get_aliases(struct op_reader *o, struct op *op)
{
	enum err err = alias_items_get(&o->r, o->arena, &op->aliases);

	if (err == ERR_NO_MEMORY && !o->err)
		o->err = err;
	else if (err)
		wire_fail(&o->r);
}

static void get_seen(struct op_reader *o, struct op *op)
{
	op->seen_count = get_count(&o->r, OP_SEEN_MAX);
	op->seen = read_array(o, op->seen_count, sizeof(*op->seen));
	for (uint32_t i = 0; op->seen && i < op->seen_count && !o->r.err; i++) {
		op->seen[i].region = wire_u8(&o->r);
		op->seen[i].hlc = wire_u64(&o->r);
		if (i > 0 && op->seen[i].region <= op->seen[i - 1].region)
			wire_fail(&o->r);
	}
}

/* Only ops of clients are orphans: one in another is not deeper than this. */
static void get_orphan(struct op_reader *o, struct op *op)
{
	op->orphan_hash = wire_u64(&o->r);
	op->orphan = wire_bytes(&o->r);
	op->inner = read_array(o, 1, sizeof(*op->inner));
	if (o->r.err || o->err)
		return;
	if (op->orphan.len < 2 || class_of(op->orphan.data[1]) == CLASS_CONTROL) {
		wire_fail(&o->r);
		return;
	}
	o->err = op_decode(op->orphan, OP_FORM_WIRE, o->arena, op->inner, NULL);
	op->orphan_at = (struct position){ .epoch = op->inner->epoch, .seq = op->inner->seq };
	if (!o->err && op->inner->scope != op->scope)
		wire_fail(&o->r);
}

static void get_orphan_place(struct op_reader *o, struct op *op)
{
	op->orphan_hash = wire_u64(&o->r);
	op->orphan_at.epoch = wire_varint(&o->r);
	op->orphan_at.seq = wire_varint(&o->r);
	if (op->orphan_at.epoch == 0 || op->orphan_at.seq == 0)
		wire_fail(&o->r);
}

static void get_header(struct op_reader *o, struct op *op)
{
	op->scope = wire_u16(&o->r);
	op->epoch = wire_u64(&o->r);
	op->seq = wire_u64(&o->r);
	op->hlc = wire_u64(&o->r);
	op->region = wire_u8(&o->r);
	if (op->epoch == 0 || op->seq == 0 || op->scope >= SCOPES_MAX)
		wire_fail(&o->r);
	if (class_of(op->kind) == CLASS_CONTROL)
		return;
	op->incarnation.hlc = wire_u64(&o->r);
	op->incarnation.region = wire_u8(&o->r);
	op->needs.epoch = wire_varint(&o->r);
	op->needs.seq = wire_varint(&o->r);
	if (op->scope == SCOPE_MULTI)
		get_seen(o, op);
}

static void get_body(struct op_reader *o, struct op *op)
{
	switch (op->kind) {
	case OP_EPOCH_START:
		get_chain(o, op);
		break;
	case OP_RELEASE:
		op->target = wire_u8(&o->r);
		break;
	case OP_MARK:
		op->mark = wire_u64(&o->r);
		break;
	case OP_CREATE_COLLECTION:
		op->name = wire_str(&o->r);
		get_config(o, op);
		break;
	case OP_UPDATE_COLLECTION:
		get_config(o, op);
		break;
	case OP_DROP_COLLECTION:
		break;
	case OP_FIELD_INDEX_PUT:
	case OP_FIELD_INDEX_DROP:
		get_field_index(o, op);
		break;
	case OP_ALIASES:
		get_aliases(o, op);
		break;
	case OP_UPSERT:
	case OP_UPDATE_VECTORS:
	case OP_SET_FIELDS:
		get_points(o, op);
		break;
	case OP_SET_PAYLOAD:
	case OP_OVERWRITE_PAYLOAD:
		op->payload = get_object(o);
		get_ids(o, op);
		break;
	case OP_DELETE_PAYLOAD:
	case OP_DELETE_VECTORS:
		get_keys(o, op);
		get_ids(o, op);
		break;
	case OP_DELETE:
	case OP_CLEAR_PAYLOAD:
		get_ids(o, op);
		break;
	case OP_ORPHAN:
	case OP_ORPHAN_APPLY:
		get_orphan(o, op);
		break;
	case OP_ORPHAN_DROP:
		get_orphan_place(o, op);
		break;
	case OP_GC:
		o->err = ERR_VERSION;
		break;
	}
}

enum err op_decode(struct bytes b, enum op_form form, struct arena *a, struct op *ret_op,
		   struct fault *reterr_fault)
{
	struct op_reader o = { .r = wire_reader_of(b.data, b.len), .arena = a, .form = form };
	uint8_t version = wire_u8(&o.r);
	uint8_t kind = wire_u8(&o.r);

	if (o.r.err || b.len > (form == OP_FORM_LOG ? OP_LOG_BYTES_MAX : OP_BYTES_MAX))
		return fault_set(reterr_fault, ERR_CORRUPT, "an op of %zu bytes", b.len);
	if (version != OP_VERSION || class_of(kind) == CLASS_UNKNOWN)
		return fault_set(
			reterr_fault, ERR_VERSION,
			"an op of version %u and kind %u is unknown to this version of Isthmus",
			version, kind);
	struct op op = { .kind = (enum op_kind)kind };
	get_header(&o, &op);
	get_body(&o, &op);
	if (o.err)
		return fault_set(reterr_fault, o.err, "op (%llu, %llu) of kind %s: %s",
				 (unsigned long long)op.epoch, (unsigned long long)op.seq,
				 op_kind_name(op.kind), err_sentence(o.err));
	if (wire_done(&o.r))
		return fault_set(reterr_fault, ERR_CORRUPT, "op (%llu, %llu) of kind %s is damaged",
				 (unsigned long long)op.epoch, (unsigned long long)op.seq,
				 op_kind_name(op.kind));
	*ret_op = op;
	return ERR_NONE;
}
