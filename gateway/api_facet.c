/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facets. The answer is exact whether it is asked to be or not.
 */
#include "gateway/api_inner.h"

#include <string.h>

#include "index/order.h"

#define FACET_LIMIT_MAX 100000

/* An index of integers that was told to serve ranges only counts nothing. */
static enum err check_lookup(struct call *c, struct collection *collection, struct str key)
{
	struct field_index_info *fields;
	uint32_t count;
	enum err err = collection_field_indexes(collection, c->arena, &fields, &count);

	for (uint32_t i = 0; !err && i < count; i++) {
		struct msg_index_params params = { 0 };

		if (str_compare(fields[i].config.key, key) != 0 || fields[i].config.schema != FIELD_INTEGER ||
		    fields[i].config.client_params.len == 0)
			continue;
		err = message_from_proto(&message_index_params, fields[i].config.client_params, c->arena, &params,
					 &c->fault);
		if (!err && params.has_integer && params.integer.has_lookup && !params.integer.lookup)
			return ERR_NOT_FOUND;
	}
	return err;
}

static enum err no_index(struct call *c, struct str key)
{
	return fault_set(&c->fault, ERR_BAD_REQUEST,
			 "No appropriate index for faceting: `%.*s`. Please create one to facet on this field: of type "
			 "keyword, uuid, bool, or integer with `lookup`",
			 STR_FMT(key));
}

static enum err count_values(struct call *c, struct collection *collection)
{
	const struct msg_facet *in = c->in;
	struct msg_facet_reply *out = c->out;
	struct api_limit limit = API_LIMIT(c, in);
	struct facet_hit *hits = NULL;
	struct path path;
	uint32_t count = 0;
	enum err err = api_check_consistency(c, &in->consistency);

	if (!err)
		err = api_check_max(c, "limit", in->limit, FACET_LIMIT_MAX);
	if (!err)
		err = path_parse(in->key, &path, &c->fault);
	if (err)
		return err;
	err = check_lookup(c, collection, in->key);
	if (!err)
		err = collection_facet(collection, in->key, in->has_filter ? in->filter : NULL, (uint32_t)in->limit,
				       &limit.deadline, c->arena, &hits, &count);
	if (err == ERR_NOT_FOUND)
		return no_index(c, in->key);
	if (err)
		return api_read_failed(c, err, "Facet", &limit);
	out->hits.items = arena_array(c->arena, count, sizeof(*out->hits.items));
	if (!out->hits.items)
		return ERR_NO_MEMORY;
	out->hits.count = count;
	for (uint32_t i = 0; i < count; i++)
		out->hits.items[i] = (struct msg_facet_hit){ .value = hits[i].value, .count = hits[i].count };
	return ERR_NONE;
}

void api_facet(struct call *c)
{
	const struct msg_facet *in = c->in;
	struct collection *collection;
	enum err err = api_collection(c, in->collection_name, &collection);

	if (!err) {
		err = count_values(c, collection);
		collection_unref(collection);
	}
	if (!err)
		call_touch(c);
	call_finish(c, err);
}
