/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What concurrent writes of several regions lost to one another.
 */
#include "gateway/admin.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "gateway/region.h"
#include "replicator/conflict.h"
#include "replicator/hlc.h"

#define LIST_BYTES_MAX ((size_t)64 << 20)
#define LIST_ARENA_BYTES_MAX ((size_t)256 << 20)

static void put_key(struct json_writer *w, const char *key)
{
	json_put_key(w, (struct str){ key, strlen(key) });
}

static void put_side(struct call *c, struct json_writer *w, const char *key, struct stamp s, const struct value *value)
{
	const struct region *r = c->api->regions ? regions_by_id(c->api->regions, s.region) : NULL;

	put_key(w, key);
	json_put_object(w);
	put_key(w, "region");
	json_put_cstr(w, r ? r->name : c->api->region);
	put_key(w, "region_id");
	json_put_u64(w, s.region);
	put_key(w, "time_ms");
	json_put_u64(w, hlc_ms(s.hlc));
	if (value) {
		put_key(w, "value");
		if (value->data)
			value_to_json(*value, w);
		else
			json_put_null(w);
	}
	json_put_object_end(w);
}

static void put_conflict(struct call *c, struct json_writer *w, struct str collection, const struct conflict *item)
{
	char id[POINT_ID_TEXT_MAX];

	(void)point_id_format(item->id, id);
	json_put_object(w);
	put_key(w, "number");
	json_put_u64(w, item->number);
	put_key(w, "time_ms");
	json_put_u64(w, item->at_ms);
	put_key(w, "collection");
	json_put_string(w, collection);
	put_key(w, "id");
	json_put_cstr(w, id);
	put_key(w, "field");
	json_put_string(w, item->loss.field);
	put_key(w, "reason");
	json_put_cstr(w, item->loss.reason);
	put_side(c, w, "winner", item->loss.winner, NULL);
	put_side(c, w, "loser", item->loss.loser, &item->loss.loser_value);
	json_put_object_end(w);
}

/* Newest first, those of one collection. */
static enum err put_collection(struct call *c, struct json_writer *w, struct collection *collection, uint32_t limit,
			       uint32_t *left)
{
	CLEANUP(arena_release) struct arena a;
	struct store *s = committer_store(c->api->committer);
	struct conflict *items;
	struct store_txn *t;
	uint32_t count = 0;

	arena_init(&a, LIST_ARENA_BYTES_MAX);
	enum err err = s->ops->begin(s, false, &t);
	if (err)
		return err;
	err = conflict_list(s, t, collection_incarnation(collection), MIN(limit, *left), &a, &items, &count);
	s->ops->abort(t);
	struct str name = collection_name(collection, &a);
	for (uint32_t i = 0; !err && i < count; i++)
		put_conflict(c, w, name, &items[i]);
	*left -= count;
	return err;
}

static bool is_asked_for(struct call *c, struct collection *collection, struct str name)
{
	struct str own = collection_name(collection, c->arena);

	return name.len == 0 || (own.len == name.len && memcmp(own.data, name.data, name.len) == 0);
}

static enum err put_all(struct call *c, struct json_writer *w, const struct msg_conflict_list *in)
{
	struct collection **items;
	uint32_t left = in->limit;
	uint32_t count = 0;
	bool found = in->collection.len == 0;
	enum err err = catalog_list(c->api->catalog, c->arena, &items, &count);

	for (uint32_t i = 0; i < count; i++) {
		if (!err && is_asked_for(c, items[i], in->collection)) {
			found = true;
			err = put_collection(c, w, items[i], in->limit, &left);
		}
		collection_unref(items[i]);
	}
	if (err || found)
		return err;
	return fault_set(&c->fault, ERR_NOT_FOUND, "Collection `%.*s` doesn't exist!", STR_FMT(in->collection));
}

void admin_conflicts(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(LIST_BYTES_MAX);
	const struct msg_conflict_list *in = c->in;
	struct msg_json_document *out = c->out;
	struct json_writer w = json_writer_to(&b);
	enum err err = ERR_NONE;

	json_put_object(&w);
	put_key(&w, "conflicts");
	json_put_array(&w);
	if (!c->api->gateway_only)
		err = put_all(c, &w, in);
	json_put_array_end(&w);
	json_put_object_end(&w);
	if (!err)
		err = buf_err(&b);
	if (!err)
		out->json = call_own(c, buf_str(&b));
	call_finish(c, err ? err : out->json.data ? ERR_NONE : ERR_NO_MEMORY);
}
