/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key      u64 BE hlc, u8 region of the incarnation
 * Record   u8 format version, the least that can hold it, 1 or 2; u8 state: 0 live, 1 dropped; name
 *          varint vectors, each: name, u8 flags, varint dim, u8 distance, varint m, ef_construct,
 *            full_scan_threshold_kb; flags: 1 sparse; from version 2 on also 2 multi, 4 idf,
 *            16 float16, 32 uint8
 *          varint shards; varint indexing_threshold_kb; u8 multi_writer; client_config; shards * u32 uid
 *          varint payload indexes, each: key, u8 schema, client_params
 *          u64 hash64 of all before
 * Texts and bytes come after a varint of their length.
 */
#include "index/catalog_record.h"

#include "base/hash.h"
#include "index/order.h"

#define FORMAT_VERSION_MAX 2
#define HASH_BYTES 8

void catalog_key(struct incarnation i, uint8_t out[CATALOG_KEY_BYTES])
{
	for (int n = 0; n < 8; n++)
		out[n] = (uint8_t)(i.hlc >> (56 - 8 * n));
	out[8] = i.region;
}

static void put_config(struct buf *b, const struct catalog_record *r)
{
	const struct collection_config *c = &r->config;

	wire_put_varint(b, c->vector_count);
	for (uint32_t i = 0; i < c->vector_count; i++) {
		const struct vector_config *v = &c->vectors[i];

		wire_put_str(b, v->name);
		wire_put_u8(b, vector_config_flags(v));
		wire_put_varint(b, v->dim);
		wire_put_u8(b, (uint8_t)v->distance);
		wire_put_varint(b, v->hnsw.m);
		wire_put_varint(b, v->hnsw.ef_construct);
		wire_put_varint(b, v->hnsw.full_scan_threshold_kb);
	}
	wire_put_varint(b, c->shard_number);
	wire_put_varint(b, c->indexing_threshold_kb);
	wire_put_u8(b, c->multi_writer);
	wire_put_bytes(b, c->client_config.data, c->client_config.len);
	for (uint32_t i = 0; i < c->shard_number; i++)
		wire_put_u32(b, r->uids[i]);
}

enum err catalog_record_put(struct buf *out, const struct catalog_record *r)
{
	size_t start = out->len;

	wire_put_u8(out, collection_config_version(&r->config));
	wire_put_u8(out, r->dropped);
	wire_put_str(out, r->name);
	put_config(out, r);
	wire_put_varint(out, r->fields.count);
	for (uint32_t i = 0; i < r->fields.count; i++) {
		const struct field_index_config *f = &r->fields.items[i];

		wire_put_str(out, f->key);
		wire_put_u8(out, (uint8_t)f->schema);
		wire_put_bytes(out, f->client_params.data, f->client_params.len);
	}
	if (!buf_err(out))
		wire_put_u64(out, hash64(out->data + start, out->len - start, 0));
	return buf_err(out);
}

static uint32_t get_bounded(struct wire_reader *r, uint32_t max)
{
	uint64_t n = wire_varint(r);

	if (n > max)
		wire_fail(r);
	return r->err ? 0 : (uint32_t)n;
}

static void get_vector(struct wire_reader *r, struct vector_config *v)
{
	v->name = wire_str(r);
	uint8_t flags = wire_u8(r);

	if (!vector_config_set_flags(v, flags))
		wire_fail(r);
	v->dim = get_bounded(r, VECTOR_DIM_MAX);
	v->distance = (enum distance)wire_u8(r);
	v->hnsw.m = get_bounded(r, UINT32_MAX);
	v->hnsw.ef_construct = get_bounded(r, UINT32_MAX);
	v->hnsw.full_scan_threshold_kb = get_bounded(r, UINT32_MAX);
}

static enum err get_config(struct wire_reader *r, struct arena *a, struct catalog_record *out)
{
	struct collection_config *c = &out->config;

	c->vector_count = get_bounded(r, COLLECTION_VECTORS_MAX);
	c->vectors = arena_array(a, c->vector_count, sizeof(*c->vectors));
	if (!c->vectors)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < c->vector_count; i++)
		get_vector(r, &c->vectors[i]);
	c->shard_number = get_bounded(r, COLLECTION_SHARDS_MAX);
	c->indexing_threshold_kb = wire_varint(r);
	c->multi_writer = wire_u8(r) != 0;
	c->client_config = wire_bytes(r);
	out->uids = arena_array(a, c->shard_number, sizeof(*out->uids));
	if (!out->uids)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < c->shard_number; i++)
		out->uids[i] = wire_u32(r);
	return r->err;
}

static enum err get_fields(struct wire_reader *r, struct arena *a, struct field_list *out)
{
	out->count = get_bounded(r, CATALOG_FIELDS_MAX);
	out->items = arena_array(a, out->count, sizeof(*out->items));
	if (!out->items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < out->count; i++) {
		struct field_index_config *f = &out->items[i];

		f->key = wire_str(r);
		f->schema = (enum field_schema)wire_u8(r);
		f->client_params = wire_bytes(r);
		if (f->schema < FIELD_KEYWORD || f->schema > FIELD_UUID)
			wire_fail(r);
	}
	return r->err;
}

enum err catalog_record_get(struct bytes record, struct arena *a, struct catalog_record *ret_record)
{
	struct catalog_record out = { 0 };

	if (record.len < HASH_BYTES + 2)
		return ERR_CORRUPT;
	struct wire_reader r = wire_reader_of(record.data, record.len - HASH_BYTES);
	struct wire_reader tail = wire_reader_of(record.data + record.len - HASH_BYTES, HASH_BYTES);

	if (wire_u64(&tail) != hash64(record.data, record.len - HASH_BYTES, 0))
		return ERR_CORRUPT;
	uint8_t version = wire_u8(&r);

	if (version < 1 || version > FORMAT_VERSION_MAX)
		return ERR_VERSION;
	out.dropped = wire_u8(&r) != 0;
	out.name = wire_str(&r);
	enum err e = get_config(&r, a, &out);

	if (!e)
		e = get_fields(&r, a, &out.fields);
	if (!e)
		e = wire_done(&r);
	if (!e && catalog_config_check(&out.config, NULL))
		e = ERR_CORRUPT;
	if (!e)
		*ret_record = out;
	return e;
}

static enum err check_vector(const struct vector_config *v, struct fault *reterr_fault)
{
	if (v->sparse)
		return ERR_NONE;
	if (v->dim < 1 || v->dim > VECTOR_DIM_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "vector \"%.*s\": size %u is not between 1 and %d",
				 STR_FMT(v->name), v->dim, VECTOR_DIM_MAX);
	if (v->distance < DISTANCE_COSINE || v->distance > DISTANCE_MANHATTAN)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "vector \"%.*s\": unknown distance %d", STR_FMT(v->name),
				 (int)v->distance);
	return ERR_NONE;
}

enum err catalog_config_check(const struct collection_config *config, struct fault *reterr_fault)
{
	if (config->shard_number < 1 || config->shard_number > COLLECTION_SHARDS_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "shard_number %u is not between 1 and %d", config->shard_number,
				 COLLECTION_SHARDS_MAX);
	if (config->vector_count > COLLECTION_VECTORS_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "%u vectors are more than %d",
				 config->vector_count, COLLECTION_VECTORS_MAX);
	for (uint32_t i = 0; i < config->vector_count; i++) {
		const struct vector_config *v = &config->vectors[i];
		enum err e = check_vector(v, reterr_fault);

		if (e)
			return e;
		if (i > 0 && str_compare(config->vectors[i - 1].name, v->name) >= 0)
			return fault_set(reterr_fault, ERR_BAD_INPUT,
					 "vector \"%.*s\" is out of order, or twice there",
					 STR_FMT(v->name));
	}
	return ERR_NONE;
}
