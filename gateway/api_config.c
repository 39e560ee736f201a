/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a collection: from what a client asks for to what the index must know, and back to what a
 * client is shown. The client's own words are stored beside (as the protobuf of CreateCollection), so that what the
 * index has no use for is shown again as it was given.
 */
#include "gateway/api_inner.h"

#include <stdlib.h>
#include <string.h>

#include "index/hnsw.h"
#include "index/order.h"

#define VECTOR_NAME_MAX 200
/* Of the client's words; together with the rest of an op they must fit into OP_BYTES_MAX. */
#define CLIENT_CONFIG_BYTES_MAX ((size_t)256 << 10)

#define HNSW_M_DEFAULT 16
#define HNSW_EF_CONSTRUCT_DEFAULT 100
#define FULL_SCAN_THRESHOLD_KB_DEFAULT 10000
#define INDEXING_THRESHOLD_KB_DEFAULT 10000

/* One function for each message: what the later one has replaces what the earlier one has, field by field. */
#define MERGE_REQ(member) to->member = from->member;
#define MERGE_DEF(value) MERGE_REQ
#define MERGE_OPT(member)                                                                          \
	if (from->has_##member) {                                                                  \
		to->has_##member = true;                                                           \
		to->member = from->member;                                                         \
	}
#define MESSAGE_BEGIN(message, shape)                                                              \
	UNUSED static void merge_##message(struct msg_##message *to,                               \
					   const struct msg_##message *from)                       \
	{                                                                                          \
		(void)to;                                                                          \
		(void)from;
#define FIELD(message, member, json, proto, kind, presence, range) MERGE_##presence(member)
#define PARAM FIELD
#define VIEW(...)
#define ALIAS(...)
#define LATER(...)
#define MESSAGE_END(message) }
#include "gateway/message.def"
#undef MESSAGE_BEGIN
#undef FIELD
#undef PARAM
#undef VIEW
#undef ALIAS
#undef LATER
#undef MESSAGE_END
#undef MERGE_REQ
#undef MERGE_DEF
#undef MERGE_OPT

/* --- names --- */

enum err api_check_name(const char *what, struct str name, size_t bytes_max,
			struct fault *reterr_fault)
{
	static const char forbidden[] = "<>:\"/\\|?*\x1f";
	static const char allowed[] = "possible is UTF-8 without < > : \" / \\ | ? * \\0 and \\x1f";

	if (name.len > bytes_max)
		return fault_set(reterr_fault, ERR_VALIDATION,
				 "[%s: length is %zu bytes, at most %zu are possible]", what, name.len,
				 bytes_max);
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];
		if (c != 0 && !memchr(forbidden, c, sizeof(forbidden) - 1))
			continue;
		const char shown[] = { c, 0 };
		return fault_set(reterr_fault, ERR_VALIDATION, "[%s: cannot contain \"%s\" char; %s]", what,
				 c == 0 ? "\\0" : c == '\x1f' ? "\\x1f" : shown, allowed);
	}
	return ERR_NONE;
}

static bool same(struct str a, struct str b)
{
	return str_compare(a, b) == 0;
}

/* --- from the client to the index --- */

static enum err hnsw_number(const char *what, uint64_t value, uint64_t max, uint32_t *out,
			    struct fault *reterr_fault)
{
	if (value > max)
		return fault_set(reterr_fault, ERR_VALIDATION,
				 "[hnsw_config.%s: value %llu invalid, must be at most %llu]", what,
				 (unsigned long long)value, (unsigned long long)max);
	*out = (uint32_t)value;
	return ERR_NONE;
}

/* A vector's own settings before the collection's before the defaults. */
static enum err build_hnsw(const struct msg_hnsw_config *of_collection,
			   const struct msg_hnsw_config *of_vector, struct hnsw_config *out,
			   struct fault *reterr_fault)
{
	struct msg_hnsw_config m = {
		.m = HNSW_M_DEFAULT,
		.ef_construct = HNSW_EF_CONSTRUCT_DEFAULT,
		.full_scan_threshold = FULL_SCAN_THRESHOLD_KB_DEFAULT,
	};

	merge_hnsw_config(&m, of_collection);
	merge_hnsw_config(&m, of_vector);
	out->full_scan_threshold_kb = (uint32_t)MIN(m.full_scan_threshold, UINT32_MAX);
	enum err err = hnsw_number("m", m.m, HNSW_M_MAX, &out->m, reterr_fault);
	if (err)
		return err;
	return hnsw_number("ef_construct", m.ef_construct, HNSW_EF_CONSTRUCT_MAX,
			   &out->ef_construct, reterr_fault);
}

/* What is said by default is not told apart from what is not said. */
static enum datatype stored_datatype(const struct msg_vector_params *p)
{
	return p->has_datatype && p->datatype != DATATYPE_FLOAT32 ? p->datatype : 0;
}

static int vector_order(const void *a, const void *b)
{
	const struct vector_config *x = a, *y = b;

	return str_compare(x->name, y->name);
}

static enum err build_vectors(struct arena *a, const struct msg_collection_create *m,
			      struct collection_config *out, struct fault *reterr_fault)
{
	static const struct msg_hnsw_config none;
	size_t count = (size_t)m->vectors.count + m->sparse_vectors.map.count;
	const struct msg_hnsw_config *hnsw = m->has_hnsw_config ? &m->hnsw_config : &none;
	enum err err = ERR_NONE;

	if (count > COLLECTION_VECTORS_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "%zu vectors; at most %d are possible", count,
				 COLLECTION_VECTORS_MAX);
	out->vectors = arena_array(a, count, sizeof(*out->vectors));
	if (!out->vectors)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < m->vectors.count && !err; i++) {
		const struct msg_vector_params *p = &m->vectors.items[i];
		struct vector_config *v = &out->vectors[out->vector_count++];
		*v = (struct vector_config){ .name = m->vectors.keys[i],
					     .dim = (uint32_t)p->size,
					     .distance = p->distance,
					     .multi = p->has_multivector_config,
					     .datatype = stored_datatype(p) };
		err = build_hnsw(hnsw, p->has_hnsw_config ? &p->hnsw_config : &none, &v->hnsw,
				 reterr_fault);
	}
	for (uint32_t i = 0; i < m->sparse_vectors.map.count; i++) {
		const struct msg_sparse_vector_params *p = &m->sparse_vectors.map.items[i];
		out->vectors[out->vector_count++] =
			(struct vector_config){ .name = m->sparse_vectors.map.keys[i],
						.sparse = true,
						.idf = p->has_modifier && p->modifier == MODIFIER_IDF };
	}
	if (out->vector_count > 1)
		qsort(out->vectors, out->vector_count, sizeof(*out->vectors), vector_order);
	for (uint32_t i = 0; i < out->vector_count && !err; i++) {
		err = api_check_name("vector_name", out->vectors[i].name, VECTOR_NAME_MAX,
				     reterr_fault);
		if (!err && i > 0 && same(out->vectors[i].name, out->vectors[i - 1].name))
			err = fault_set(reterr_fault, ERR_BAD_INPUT,
					"Vector name `%.*s` is given twice",
					STR_FMT(out->vectors[i].name));
	}
	return err;
}

/* What is asked of this request alone is left out. */
static enum err build_client_config(struct arena *a, const struct msg_collection_create *m,
				    struct bytes *ret_bytes, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CLIENT_CONFIG_BYTES_MAX);
	struct msg_collection_create kept = *m;

	kept.has_timeout = false;
	message_to_proto(&message_collection_create, &kept, &b);
	if (buf_err(&b) == ERR_TOO_LARGE)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "the configuration takes more than %zu bytes",
				 CLIENT_CONFIG_BYTES_MAX);
	struct str copy = arena_str(a, buf_str(&b));
	if (buf_err(&b) || !copy.data)
		return ERR_NO_MEMORY;
	*ret_bytes = (struct bytes){ .data = (const uint8_t *)copy.data, .len = copy.len };
	return ERR_NONE;
}

enum err api_config_build(struct arena *a, const struct msg_collection_create *m,
			  struct collection_config *ret_config, struct fault *reterr_fault)
{
	struct collection_config config = {
		.shard_number = m->has_shard_number ? m->shard_number : 1,
		.indexing_threshold_kb = INDEXING_THRESHOLD_KB_DEFAULT,
	};

	enum err err = m->has_strict_mode_config ? api_check_strict_config(&m->strict_mode_config, reterr_fault) : ERR_NONE;
	if (err)
		return err;
	if (m->has_optimizers_config && m->optimizers_config.has_indexing_threshold)
		config.indexing_threshold_kb = m->optimizers_config.indexing_threshold;
	if (config.shard_number > COLLECTION_SHARDS_MAX)
		return fault_set(reterr_fault, ERR_VALIDATION,
				 "[shard_number: value %u invalid, must be at most %d]",
				 config.shard_number, COLLECTION_SHARDS_MAX);
	err = build_vectors(a, m, &config, reterr_fault);
	if (!err)
		err = build_client_config(a, m, &config.client_config, reterr_fault);
	if (!err)
		*ret_config = config;
	return err;
}

enum err api_config_read(struct arena *a, const struct collection_config *config,
			 struct msg_collection_create *ret_message, struct fault *reterr_fault)
{
	*ret_message = (struct msg_collection_create){ 0 };
	return message_from_proto(&message_collection_create, config->client_config, a, ret_message,
				  reterr_fault);
}

uint32_t api_config_write_consistency(const struct collection_config *config)
{
	uint64_t factor;

	if (!message_peek(&message_collection_create, config->client_config, "write_consistency_factor", &factor))
		return 1;
	return (uint32_t)MIN(factor, (uint64_t)UINT32_MAX);
}

/* --- changes --- */

static void merge_quantization(bool *has, struct msg_quantization_config *to,
			       const struct msg_quantization_diff *from)
{
	*has = !from->has_disabled;
	*to = (struct msg_quantization_config){
		.has_scalar = from->has_scalar,
		.scalar = from->scalar,
		.has_product = from->has_product,
		.product = from->product,
		.has_binary = from->has_binary,
		.binary = from->binary,
		.has_turbo = from->has_turbo,
		.turbo = from->turbo,
	};
}

static void merge_vector(struct msg_vector_params *to, const struct msg_vector_params_diff *from)
{
	if (from->has_hnsw_config) {
		to->has_hnsw_config = true;
		merge_hnsw_config(&to->hnsw_config, &from->hnsw_config);
	}
	if (from->has_quantization_config)
		merge_quantization(&to->has_quantization_config, &to->quantization_config,
				   &from->quantization_config);
	if (from->has_on_disk) {
		to->has_on_disk = true;
		to->on_disk = from->on_disk;
	}
	if (from->has_memory) {
		to->has_memory = true;
		to->memory = from->memory;
	}
}

static enum err no_vector(struct str name, struct fault *reterr_fault)
{
	return fault_set(reterr_fault, ERR_BAD_INPUT, "Not existing vector name error: %.*s",
			 STR_FMT(name));
}

static enum err merge_vectors(struct msg_collection_create *m,
			      const struct msg_vector_params_diff_map *diff,
			      struct fault *reterr_fault)
{
	for (uint32_t i = 0; i < diff->count; i++) {
		uint32_t at = 0;
		while (at < m->vectors.count && !same(m->vectors.keys[at], diff->keys[i]))
			at++;
		if (at == m->vectors.count)
			return no_vector(diff->keys[i], reterr_fault);
		merge_vector(&m->vectors.items[at], &diff->items[i]);
	}
	return ERR_NONE;
}

static enum err merge_sparse(struct msg_collection_create *m,
			     const struct msg_sparse_vector_params_map *diff,
			     struct fault *reterr_fault)
{
	struct msg_sparse_vector_params_map *map = &m->sparse_vectors.map;

	for (uint32_t i = 0; i < diff->count; i++) {
		const struct msg_sparse_vector_params *from = &diff->items[i];
		uint32_t at = 0;
		while (at < map->count && !same(map->keys[at], diff->keys[i]))
			at++;
		if (at == map->count)
			return no_vector(diff->keys[i], reterr_fault);
		struct msg_sparse_vector_params *to = &map->items[at];
		if (from->has_modifier) {
			to->has_modifier = true;
			to->modifier = from->modifier;
		}
		if (from->has_index) {
			to->has_index = true;
			merge_sparse_index_params(&to->index, &from->index);
		}
	}
	return ERR_NONE;
}

static enum err merge_params(struct msg_collection_create *m,
			     const struct msg_collection_params_diff *p, struct fault *reterr_fault)
{
	if (p->has_read_fan_out_factor || p->has_read_fan_out_delay_ms)
		return fault_set(reterr_fault, ERR_NOT_IMPLEMENTED,
				 "read_fan_out_factor and read_fan_out_delay_ms");
	if (p->has_replication_factor) {
		m->has_replication_factor = true;
		m->replication_factor = p->replication_factor;
	}
	if (p->has_write_consistency_factor) {
		m->has_write_consistency_factor = true;
		m->write_consistency_factor = p->write_consistency_factor;
	}
	if (p->has_on_disk_payload) {
		m->has_on_disk_payload = true;
		m->on_disk_payload = p->on_disk_payload;
	}
	if (p->has_payload) {
		m->has_payload = true;
		merge_payload_storage(&m->payload, &p->payload);
	}
	return ERR_NONE;
}

/* Key by key; an empty object removes all. */
static enum err merge_metadata(struct arena *a, struct msg_collection_create *m, struct value diff)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CLIENT_CONFIG_BYTES_MAX);
	const struct value objects[] = { m->metadata, diff };
	uint32_t room = value_count(diff) + (m->has_metadata ? value_count(m->metadata) : 0);
	struct value_member *members = arena_array(a, room, sizeof(*members));
	uint32_t count = 0;

	if (!members)
		return ERR_NO_MEMORY;
	if (value_count(diff) == 0) {
		m->has_metadata = false;
		return ERR_NONE;
	}
	for (unsigned i = m->has_metadata ? 0 : 1; i < LEN(objects); i++) {
		struct value_iter it = value_items(objects[i]);
		while (value_next(&it, &members[count].key, &members[count].value))
			if (++count == room)
				break;
	}
	enum err err = value_put_object(&b, members, count);
	if (err)
		return err;
	struct str copy = arena_str(a, buf_str(&b));
	if (!copy.data)
		return ERR_NO_MEMORY;
	m->has_metadata = true;
	m->metadata =
		(struct value){ .data = (const uint8_t *)copy.data, .len = (uint32_t)copy.len };
	return ERR_NONE;
}

enum err api_config_merge(struct arena *a, struct msg_collection_create *m,
			  const struct msg_collection_update *diff, struct fault *reterr_fault)
{
	enum err err = ERR_NONE;

	if (diff->has_hnsw_config) {
		m->has_hnsw_config = true;
		merge_hnsw_config(&m->hnsw_config, &diff->hnsw_config);
	}
	if (diff->has_optimizers_config) {
		m->has_optimizers_config = true;
		merge_optimizers_config(&m->optimizers_config, &diff->optimizers_config);
	}
	if (diff->has_strict_mode_config) {
		m->has_strict_mode_config = true;
		merge_strict_mode_config(&m->strict_mode_config, &diff->strict_mode_config);
	}
	if (diff->has_quantization_config)
		merge_quantization(&m->has_quantization_config, &m->quantization_config,
				   &diff->quantization_config);
	if (diff->has_params)
		err = merge_params(m, &diff->params, reterr_fault);
	if (!err && diff->has_vectors)
		err = merge_vectors(m, &diff->vectors, reterr_fault);
	if (!err && diff->has_sparse_vectors)
		err = merge_sparse(m, &diff->sparse_vectors.map, reterr_fault);
	if (!err && diff->has_metadata)
		err = merge_metadata(a, m, diff->metadata);
	return err;
}

/* --- what a client is shown --- */

static void show_params(const struct msg_collection_create *m,
			const struct collection_config *config, struct msg_collection_params *out)
{
	*out = (struct msg_collection_params){
		.has_vectors = true,
		.vectors = m->vectors,
		.shard_number = config->shard_number,
		.has_sharding_method = m->has_sharding_method,
		.sharding_method = m->sharding_method,
		.has_replication_factor = true,
		.replication_factor = m->has_replication_factor ? m->replication_factor : 1,
		.has_write_consistency_factor = true,
		.write_consistency_factor =
			m->has_write_consistency_factor ? m->write_consistency_factor : 1,
		.on_disk_payload = m->has_on_disk_payload ? m->on_disk_payload : true,
		.has_payload = m->has_payload,
		.payload = m->payload,
		.has_sparse_vectors = m->has_sparse_vectors,
		.sparse_vectors = m->sparse_vectors,
	};
}

void api_config_show(const struct msg_collection_create *m, const struct collection_config *config,
		     struct msg_collection_config *out)
{
	*out = (struct msg_collection_config){
		.hnsw_config = { .has_m = true,
				 .m = HNSW_M_DEFAULT,
				 .has_ef_construct = true,
				 .ef_construct = HNSW_EF_CONSTRUCT_DEFAULT,
				 .has_full_scan_threshold = true,
				 .full_scan_threshold = FULL_SCAN_THRESHOLD_KB_DEFAULT,
				 .has_max_indexing_threads = true,
				 .has_on_disk = true },
		.optimizer_config = { .has_deleted_threshold = true,
				      .deleted_threshold = 0.2,
				      .has_vacuum_min_vector_number = true,
				      .vacuum_min_vector_number = 1000,
				      .has_default_segment_number = true,
				      .has_indexing_threshold = true,
				      .indexing_threshold = INDEXING_THRESHOLD_KB_DEFAULT,
				      .has_flush_interval_sec = true,
				      .flush_interval_sec = 5 },
		.wal_config = { .has_wal_capacity_mb = true,
				.wal_capacity_mb = 32,
				.has_wal_segments_ahead = true,
				.has_wal_retain_closed = true,
				.wal_retain_closed = 1 },
		.has_quantization_config = m->has_quantization_config,
		.quantization_config = m->quantization_config,
		.has_strict_mode_config = m->has_strict_mode_config,
		.strict_mode_config = m->strict_mode_config,
		.has_metadata = m->has_metadata,
		.metadata = m->metadata,
	};
	show_params(m, config, &out->params);
	if (m->has_hnsw_config)
		merge_hnsw_config(&out->hnsw_config, &m->hnsw_config);
	if (m->has_optimizers_config)
		merge_optimizers_config(&out->optimizer_config, &m->optimizers_config);
	if (m->has_wal_config)
		merge_wal_config(&out->wal_config, &m->wal_config);
}
