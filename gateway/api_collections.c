/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collections and their payload indexes.
 */
#include "gateway/api_inner.h"

#include <string.h>

/* Of a payload index's parameters: a handful of flags. */
#define INDEX_PARAMS_BYTES_MAX ((size_t)64 << 10)

enum err api_collection(struct call *c, struct str name, struct collection **ret_collection)
{
	/* Also of one that a query only looks something up in. */
	if (!call_may_see(c, name))
		return fault_set(&c->fault, ERR_FORBIDDEN, "Access to collection %.*s is required", STR_FMT(name));
	*ret_collection = catalog_get(c->api->catalog, name);
	if (*ret_collection)
		return ERR_NONE;
	return fault_set(&c->fault, ERR_NOT_FOUND, "Collection `%.*s` doesn't exist!",
			 STR_FMT(name));
}

/* --- looking --- */

/* Those that the client may know of. */
static void list_names(const struct call *c, struct collection **items, uint32_t count,
		       struct msg_collection_description_list *out)
{
	for (uint32_t i = 0; i < count; i++) {
		struct str name = collection_name(items[i], c->arena);

		if (call_may_see(c, name))
			out->items[out->count++].name = name;
		collection_unref(items[i]);
	}
}

void api_collections_list(struct call *c)
{
	struct msg_collections_reply *out = c->out;
	struct collection **items;
	uint32_t count = 0;
	enum err err = catalog_list(c->api->catalog, c->arena, &items, &count);

	if (err) {
		call_finish(c, err);
		return;
	}
	out->collections.items = arena_array(c->arena, count, sizeof(*out->collections.items));
	if (!out->collections.items) {
		for (uint32_t i = 0; i < count; i++)
			collection_unref(items[i]);
		call_finish(c, ERR_NO_MEMORY);
		return;
	}
	list_names(c, items, count, &out->collections);
	call_finish(c, ERR_NONE);
}

void api_collection_exists(struct call *c)
{
	const struct msg_collection_ref *in = c->in;
	struct msg_collection_exists_reply *out = c->out;
	struct collection *collection = catalog_get(c->api->catalog, in->collection_name);

	out->result.exists = collection != NULL;
	if (collection)
		collection_unref(collection);
	call_finish(c, ERR_NONE);
}

/* A payload index's parameters are stored as the client gave them. */
static enum err show_index(struct call *c, const struct field_index_info *f,
			   struct msg_payload_schema_info *out)
{
	*out = (struct msg_payload_schema_info){ .data_type = f->config.schema,
						 .points = f->points };
	if (f->config.client_params.len == 0)
		return ERR_NONE;
	struct msg_index_params *params = arena_alloc(c->arena, sizeof(*params));
	if (!params)
		return ERR_NO_MEMORY;
	out->has_params = true;
	out->params = params;
	return message_from_proto(&message_index_params, f->config.client_params, c->arena, params,
				  &c->fault);
}

static enum err show_indexes(struct call *c, struct collection *collection,
			     struct msg_payload_schema_info_map *out)
{
	struct field_index_info *fields;
	uint32_t count;
	enum err err = collection_field_indexes(collection, c->arena, &fields, &count);

	if (err)
		return err;
	out->keys = arena_array(c->arena, count, sizeof(*out->keys));
	out->items = arena_array(c->arena, count, sizeof(*out->items));
	if (!out->keys || !out->items)
		return ERR_NO_MEMORY;
	out->count = count;
	for (uint32_t i = 0; i < count && !err; i++) {
		out->keys[i] = fields[i].config.key;
		err = show_index(c, &fields[i], &out->items[i]);
	}
	return err;
}

static enum err show_collection(struct call *c, struct collection *collection,
				struct msg_collection_info *out)
{
	const struct collection_config *config = collection_config(collection);
	struct msg_collection_create created;
	struct collection_info info;
	enum err err = api_config_read(c->arena, config, &created, &c->fault);

	if (err)
		return err;
	collection_info(collection, &info);
	*out = (struct msg_collection_info){
		.status = info.optimizing ? COLLECTION_YELLOW : COLLECTION_GREEN,
		.has_indexed_vectors_count = true,
		.indexed_vectors_count = info.indexed_vectors,
		.has_points_count = true,
		.points_count = info.points,
		.segments_count = info.segments,
	};
	if (info.optimizer_error[0]) {
		out->status = COLLECTION_RED;
		out->optimizer_status.error = call_own(
			c, (struct str){ info.optimizer_error, strlen(info.optimizer_error) });
		if (!out->optimizer_status.error.data)
			return ERR_NO_MEMORY;
	}
	api_config_show(&created, config, &out->config);
	return show_indexes(c, collection, &out->payload_schema);
}

void api_collection_get(struct call *c)
{
	const struct msg_collection_ref *in = c->in;
	struct msg_collection_info_reply *out = c->out;
	struct collection *collection;
	enum err err = api_collection(c, in->collection_name, &collection);

	if (!err) {
		err = show_collection(c, collection, &out->result);
		collection_unref(collection);
	}
	if (!err)
		call_touch(c);
	call_finish(c, err);
}

void api_collection_cluster(struct call *c)
{
	const struct msg_collection_ref *in = c->in;
	struct msg_collection_cluster_reply *out = c->out;
	struct collection *collection;
	enum err err = api_collection(c, in->collection_name, &collection);

	if (err) {
		call_finish(c, err);
		return;
	}
	uint32_t shards = collection_shard_count(collection);
	out->peer_id = c->api->region_id;
	out->shard_count = shards;
	out->local_shards.items = arena_array(c->arena, shards, sizeof(*out->local_shards.items));
	if (out->local_shards.items) {
		out->local_shards.count = shards;
		for (uint32_t i = 0; i < shards; i++) {
			struct shard_info info;
			collection_shard_info(collection, i, &info);
			out->local_shards.items[i] =
				(struct msg_local_shard_info){ .shard_id = info.shard,
							       .points_count = info.points,
							       .state = REPLICA_ACTIVE };
		}
		call_touch(c);
	}
	collection_unref(collection);
	call_finish(c, out->local_shards.items ? ERR_NONE : ERR_NO_MEMORY);
}

/* --- changing --- */

static enum err settle_true(struct call *c)
{
	struct msg_bool_reply *out = c->out;

	out->result = c->write.err == ERR_NONE;
	return c->write.err;
}

/* Deleting what is not there: false, and no error. */
static enum err settle_delete(struct call *c)
{
	struct msg_bool_reply *out = c->out;

	out->result = c->write.err == ERR_NONE;
	return c->write.err == ERR_NOT_FOUND ? ERR_NONE : c->write.err;
}

static enum err late_schema(struct call *c)
{
	return fault_set(&c->fault, ERR_TIMEOUT,
			 "the operation did not end within %llu seconds; it goes on",
			 (unsigned long long)(c->plan.timeout_ms / 1000));
}

void api_write_schema(struct call *c, struct intent *in, uint64_t timeout_ms,
		      enum err (*settle)(struct call *c))
{
	call_write(c, &(struct write_plan){ .intents = in,
					    .intent_count = 1,
					    .wait = true,
					    .ordering = ORDERING_WEAK,
					    .timeout_ms = timeout_ms,
					    .settle = settle,
					    .late = late_schema });
}

/* Asked for by headers, which only the layers above would otherwise have to know of. */
static enum err check_writers(struct call *c, bool *ret_all)
{
	struct str writers = request_header(c->request, "isthmus-writers");

	*ret_all = writers.len == 3 && memcmp(writers.data, "all", 3) == 0;
	if (!writers.data || *ret_all || (writers.len == 3 && memcmp(writers.data, "one", 3) == 0))
		return ERR_NONE;
	return fault_set(&c->fault, ERR_BAD_INPUT, "isthmus-writers: `one` or `all` is expected");
}

/* By REST the name stands in the path, not in the body. */
static enum err check_collection_name(struct call *c, struct str name)
{
	struct fault fault;
	enum err err = api_check_name("collection_name", name, COLLECTION_NAME_MAX, &fault);

	if (!err)
		return ERR_NONE;
	return fault_set(&c->fault, err, "%s%s", c->request->grpc ? "" : "Validation error in path parameters: ", fault.text);
}

void api_collection_create(struct call *c)
{
	const struct msg_collection_create *in = c->in;
	struct collection_config config;
	bool all = false;
	enum err err = check_writers(c, &all);

	if (!err)
		err = check_collection_name(c, in->collection_name);
	if (!err)
		err = api_config_build(c->arena, in, &config, &c->fault);
	if (err) {
		call_finish(c, err);
		return;
	}
	struct intent *intent = api_intents(c, in->collection_name, 1, OP_CREATE_COLLECTION);
	if (!intent)
		return;
	intent->body.name = intent->collection;
	intent->body.config = config;
	intent->body.config.multi_writer = all;
	api_write_schema(c, intent, API_TIMEOUT_MS(in), settle_true);
}

/* The configuration as it is now, changed: a PATCH that comes between is lost, as the later one says all. */
static enum err changed_config(struct call *c, const struct msg_collection_update *in,
			       struct collection *collection, struct collection_config *ret_config)
{
	const struct collection_config *config = collection_config(collection);
	struct msg_collection_create m;
	enum err err = api_config_read(c->arena, config, &m, &c->fault);

	if (!err)
		err = api_config_merge(c->arena, &m, in, &c->fault);
	if (!err)
		err = api_config_build(c->arena, &m, ret_config, &c->fault);
	if (!err)
		ret_config->multi_writer = config->multi_writer;
	return err;
}

void api_collection_update(struct call *c)
{
	const struct msg_collection_update *in = c->in;
	struct collection *collection;
	struct collection_config config;
	enum err err = api_collection(c, in->collection_name, &collection);

	if (!err) {
		err = changed_config(c, in, collection, &config);
		collection_unref(collection);
	}
	if (err) {
		call_finish(c, err);
		return;
	}
	struct intent *intent = api_intents(c, in->collection_name, 1, OP_UPDATE_COLLECTION);
	if (!intent)
		return;
	intent->body.config = config;
	api_write_schema(c, intent, API_TIMEOUT_MS(in), settle_true);
}

void api_collection_delete(struct call *c)
{
	const struct msg_collection_delete *in = c->in;
	struct intent *intent = api_intents(c, in->collection_name, 1, OP_DROP_COLLECTION);

	if (intent)
		api_write_schema(c, intent, API_TIMEOUT_MS(in), settle_delete);
}

/* --- payload indexes --- */

static enum err check_key(struct call *c, struct str key)
{
	struct path path;

	return path_parse(key, &path, &c->fault);
}

static enum err index_params(struct call *c, const struct index_schema *schema,
			     struct bytes *ret_params)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(INDEX_PARAMS_BYTES_MAX);

	*ret_params = (struct bytes){ 0 };
	if (!schema->params)
		return ERR_NONE;
	message_to_proto(&message_index_params, schema->params, &b);
	struct str copy = call_own(c, buf_str(&b));
	if (buf_err(&b) == ERR_TOO_LARGE)
		return fault_set(&c->fault, ERR_BAD_INPUT, "field_schema has more than %u bytes",
				 (unsigned)INDEX_PARAMS_BYTES_MAX);
	if (buf_err(&b) || !copy.data)
		return ERR_NO_MEMORY;
	*ret_params = (struct bytes){ .data = (const uint8_t *)copy.data, .len = copy.len };
	return ERR_NONE;
}

/* What can never be built is refused before it is in the log. */
static enum err check_schema(struct call *c, const struct index_schema *schema, struct bytes params)
{
	const struct msg_integer_index_params *integer =
		schema->params && schema->params->has_integer ? &schema->params->integer : NULL;
	struct words *words;

	if (integer && integer->has_lookup && !integer->lookup && integer->has_range && !integer->range)
		return fault_set(&c->fault, ERR_VALIDATION,
				 "[field_schema: the 'lookup' and 'range' capabilities can't be both false]");
	if (schema->type != FIELD_TEXT)
		return ERR_NONE;
	enum err err = words_new(params, &words, &c->fault);

	if (!err)
		words_free(words);
	return err;
}

void api_index_create(struct call *c)
{
	const struct msg_index_create *in = c->in;
	struct bytes params;
	enum err err = check_key(c, in->field_name);

	if (!err && !in->has_field_schema)
		err = fault_set(&c->fault, ERR_NOT_IMPLEMENTED,
				"a payload index without field_schema");
	if (!err)
		err = index_params(c, &in->field_schema, &params);
	if (!err)
		err = check_schema(c, &in->field_schema, params);
	if (err) {
		call_finish(c, err);
		return;
	}
	struct intent *intent = api_intents(c, in->collection_name, 1, OP_FIELD_INDEX_PUT);
	if (!intent)
		return;
	intent->body.field_index = (struct field_index_config){ .key = call_own(c, in->field_name),
								.schema = in->field_schema.type,
								.client_params = params };
	if (!intent->body.field_index.key.data) {
		call_finish(c, ERR_NO_MEMORY);
		return;
	}
	api_write_update(c, &API_UPDATE(in, intent));
}

void api_index_delete(struct call *c)
{
	const struct msg_index_delete *in = c->in;
	enum err err = check_key(c, in->field_name);

	if (err) {
		call_finish(c, err);
		return;
	}
	struct intent *intent = api_intents(c, in->collection_name, 1, OP_FIELD_INDEX_DROP);
	if (!intent)
		return;
	intent->body.field_index.key = call_own(c, in->field_name);
	if (!intent->body.field_index.key.data) {
		call_finish(c, ERR_NO_MEMORY);
		return;
	}
	api_write_update(c, &API_UPDATE(in, intent));
}
