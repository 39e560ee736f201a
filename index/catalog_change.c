/* SPDX-License-Identifier: Apache-2.0 */
#include "index/catalog.h"

#include "base/panic.h"
#include "base/wire.h"
#include "index/catalog_inner.h"
#include "index/order.h"

#include <stdlib.h>
#include <string.h>

/* Rows of dropped collections that one checkpoint deletes. */
#define PURGE_ROWS_MAX 5000u

static struct bytes key_bytes(const uint8_t key[CATALOG_KEY_BYTES])
{
	return (struct bytes){ .data = key, .len = CATALOG_KEY_BYTES };
}

/* --- changing --- */

enum err catalog_pending_add(struct catalog *c, const struct pending_collection *p)
{
	if (c->pending_count == c->pending_cap) {
		uint32_t cap = c->pending_cap ? c->pending_cap * 2 : 4;
		struct pending_collection *pending =
			reallocarray(c->pending, cap, sizeof(*pending));

		if (!pending)
			return ERR_NO_MEMORY;
		c->pending = pending;
		c->pending_cap = cap;
	}
	c->pending[c->pending_count++] = *p;
	atomic_store(&c->writer, (unsigned long)pthread_self());
	return ERR_NONE;
}

enum err catalog_pending_of(struct catalog *c, struct incarnation i,
			    struct pending_collection **ret_pending)
{
	struct pending_collection *known = catalog_pending(c, i);

	if (known && known->dropped)
		return ERR_NOT_FOUND;
	if (known) {
		*ret_pending = known;
		return ERR_NONE;
	}
	struct collection *found = catalog_find(c, i);

	if (!found)
		return ERR_NOT_FOUND;
	struct pending_collection p = {
		.collection = found,
		.name = arena_str(&c->pending_arena,
				  (struct str){ .data = found->name, .len = strlen(found->name) }),
		.config = *collection_config(found),
		.uids = arena_array(&c->pending_arena, found->shard_count, sizeof(*p.uids)),
	};

	if (!p.name.data || !p.uids)
		return ERR_NO_MEMORY;
	for (uint32_t n = 0; n < found->shard_count; n++)
		p.uids[n] = found->shards[n]->uid;
	enum err e = field_list_copy(&found->fields, &c->pending_arena, &p.fields);

	if (!e)
		e = catalog_pending_add(c, &p);
	if (!e)
		*ret_pending = &c->pending[c->pending_count - 1];
	return e;
}

enum err catalog_record_save(struct catalog *c, struct store_txn *t,
			     const struct pending_collection *p)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SIZE_MAX);
	uint8_t key[CATALOG_KEY_BYTES];
	struct catalog_record r = {
		.dropped = p->dropped,
		.name = p->name,
		.config = p->config,
		.uids = p->uids,
		.fields = p->fields,
	};
	enum err e = catalog_record_put(&b, &r);

	if (e)
		return e;
	catalog_key(p->collection->incarnation, key);
	return c->options.store->ops->put(t, STORE_CATALOG, key_bytes(key), buf_bytes(&b));
}

static enum err take_uids(struct catalog *c, struct store_txn *t, uint32_t count, uint32_t *uids)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(4);

	if (count > UINT32_MAX - c->pending_uid)
		return ERR_NO_SPACE;
	for (uint32_t i = 0; i < count; i++)
		uids[i] = c->pending_uid++;
	wire_put_u32_be(&b, c->pending_uid);
	if (buf_err(&b))
		return buf_err(&b);
	return c->options.store->ops->put(t, STORE_CATALOG,
					  (struct bytes){ .data = (const uint8_t *)CATALOG_UID_KEY,
							  .len = strlen(CATALOG_UID_KEY) },
					  buf_bytes(&b));
}

/* --- what is left of dropped ones --- */

static enum err purge(struct catalog *c, struct store_txn *t, struct gone *g, uint32_t *budget)
{
	uint8_t key[CATALOG_KEY_BYTES];
	bool more = false;

	for (uint32_t i = 0; i < g->uid_count && !more; i++) {
		enum err e = shard_purge(c->options.store, t, g->uids[i], budget, &more);

		if (e)
			return e;
	}
	if (more)
		return ERR_NONE;
	catalog_key(g->incarnation, key);
	g->purged = true;
	return c->options.store->ops->del(t, STORE_CATALOG, key_bytes(key));
}

/* Frees it once nobody else refers to it. */
static void sweep_one(struct gone *g)
{
	if (!g->collection || (g->kept && g->hollow) ||
	    atomic_load_explicit(&g->collection->refs, memory_order_acquire) != 1)
		return;
	if (!g->kept) {
		collection_free(TAKE(g->collection), !g->restored);
		return;
	}
	collection_hollow(g->collection);
	g->hollow = true;
}

/* Its creation was taken back, and comes once more: what is left of it goes now, so that the new one finds nothing. */
static enum err clear_gone(struct catalog *c, struct store_txn *t, struct str name, struct incarnation i,
			   struct fault *reterr_fault)
{
	struct gone *g = catalog_gone_find(c, i);
	uint32_t budget = UINT32_MAX;

	if (!g || g->kept)
		return fault_set(reterr_fault, ERR_ALREADY_EXISTS, "collection `%.*s`: this incarnation exists already",
				 STR_FMT(name));
	sweep_one(g);
	if (g->collection)
		return fault_set(reterr_fault, ERR_UNAVAILABLE,
				 "collection `%.*s` is still being read as it was before it was taken back; retry",
				 STR_FMT(name));
	enum err e = purge(c, t, g, &budget);

	return !e && !g->purged ? ERR_TOO_LARGE : e;
}

/* --- creating --- */

static enum err check_new(struct catalog *c, struct store_txn *t, struct str name,
			  struct incarnation i, const struct collection_config *config,
			  struct fault *reterr_fault)
{
	struct incarnation existing;
	uint8_t key[CATALOG_KEY_BYTES];
	struct bytes value;

	if (name.len == 0 || name.len > COLLECTION_NAME_MAX || memchr(name.data, 0, name.len))
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "the name of a collection has 1 to %d bytes", COLLECTION_NAME_MAX);
	if (catalog_has(c, name, &existing))
		return fault_set(reterr_fault, ERR_ALREADY_EXISTS,
				 "Collection `%.*s` already exists!", STR_FMT(name));
	catalog_key(i, key);
	enum err e = c->options.store->ops->get(t, STORE_CATALOG, key_bytes(key), &value);

	if (!e)
		e = clear_gone(c, t, name, i, reterr_fault);
	else if (e == ERR_NOT_FOUND)
		e = ERR_NONE;
	return e ? e : catalog_config_check(config, reterr_fault);
}

static enum err create(struct catalog *c, struct store_txn *t, struct incarnation i,
		       struct pending_collection *p, struct fault *reterr_fault)
{
	struct catalog_record r = { .name = p->name, .config = p->config, .uids = p->uids };
	enum err e = take_uids(c, t, p->config.shard_number, p->uids);

	if (!e)
		e = catalog_make_collection(c, i, &r, &p->collection, reterr_fault);
	if (e)
		return e;
	e = collection_start(p->collection, reterr_fault);
	if (!e)
		e = catalog_record_save(c, t, p);
	if (!e)
		e = catalog_pending_add(c, p);
	if (e)
		collection_free(p->collection, true);
	return e;
}

enum err catalog_create(struct catalog *c, struct store_txn *t, struct str name,
			struct incarnation i, const struct collection_config *config,
			struct fault *reterr_fault)
{
	struct fault why = { 0 };
	enum err e = check_new(c, t, name, i, config, reterr_fault);

	if (e)
		return e;
	struct pending_collection p = {
		.name = arena_str(&c->pending_arena, name),
		.created = true,
		.uids = arena_array(&c->pending_arena, config->shard_number, sizeof(*p.uids)),
	};

	e = p.name.data && p.uids ? collection_config_copy(config, &c->pending_arena, &p.config)
				  : ERR_NO_MEMORY;
	if (!e)
		e = create(c, t, i, &p, &why);
	if (!e)
		return ERR_NONE;
	why.err = e;
	return fault_set(reterr_fault, e, "creating collection `%.*s`: %.200s", STR_FMT(name),
			 fault_text(&why));
}

static bool same_vectors(const struct collection_config *a, const struct collection_config *b)
{
	if (a->vector_count != b->vector_count || a->shard_number != b->shard_number)
		return false;
	for (uint32_t i = 0; i < a->vector_count; i++) {
		const struct vector_config *x = &a->vectors[i], *y = &b->vectors[i];

		if (str_compare(x->name, y->name) != 0 || ((vector_config_flags(x) ^ vector_config_flags(y)) & ~VECTOR_FLAG_IDF) != 0)
			return false;
		if (!x->sparse && (x->dim != y->dim || x->distance != y->distance))
			return false;
	}
	return true;
}

static enum err change_failed(enum err e, struct fault *reterr_fault)
{
	return fault_set(reterr_fault, e, "changing a collection: %s", err_sentence(e));
}

enum err catalog_update(struct catalog *c, struct store_txn *t, struct incarnation i,
			const struct collection_config *config, struct fault *reterr_fault)
{
	struct pending_collection *p;
	enum err e = catalog_pending_of(c, i, &p);

	if (e)
		return change_failed(e, reterr_fault);
	if (!same_vectors(&p->config, config))
		return fault_set(
			reterr_fault, ERR_BAD_INPUT,
			"names, sizes, distances and datatypes of vectors, and the number of shards, cannot be changed");
	e = collection_config_copy(config, &c->pending_arena, &p->config);
	p->config_changed = true;
	if (!e)
		e = catalog_record_save(c, t, p);
	return e ? change_failed(e, reterr_fault) : ERR_NONE;
}

enum err catalog_drop(struct catalog *c, struct store_txn *t, struct incarnation i,
		      struct fault *reterr_fault)
{
	struct pending_collection *p;
	enum err e = catalog_pending_of(c, i, &p);

	if (!e) {
		p->dropped = true;
		e = catalog_record_save(c, t, p);
	}
	return e ? change_failed(e, reterr_fault) : ERR_NONE;
}

struct gone *catalog_gone_find(struct catalog *c, struct incarnation i)
{
	for (uint32_t n = 0; n < c->gone_count; n++)
		if (!c->gone[n].restored && c->gone[n].incarnation.hlc == i.hlc &&
		    c->gone[n].incarnation.region == i.region)
			return &c->gone[n];
	return NULL;
}

void catalog_keep_dropped(struct catalog *c, struct incarnation i)
{
	struct pending_collection *p = catalog_pending(c, i);
	struct gone *g = p ? NULL : catalog_gone_find(c, i);

	if (p)
		p->kept = p->dropped;
	else if (g)
		g->kept = true;
}

void catalog_release_dropped(struct catalog *c, struct incarnation i)
{
	struct gone *g = catalog_gone_find(c, i);
	uint8_t key[CATALOG_KEY_BYTES];

	if (!g)
		return;
	catalog_key(i, key);
	pthread_rwlock_wrlock(&c->lock);
	(void)map_remove(&c->dropped, catalog_key_str(key)); /* it is in gone */
	pthread_rwlock_unlock(&c->lock);
	g->kept = false; /* swept at the next publish */
}

static uint32_t field_at(const struct field_list *l, struct str key)
{
	uint32_t i = 0;

	while (i < l->count && str_compare(l->items[i].key, key) != 0)
		i++;
	return i;
}

enum err catalog_field_index_put(struct catalog *c, struct store_txn *t, struct incarnation i,
				 const struct field_index_config *config,
				 struct fault *reterr_fault)
{
	struct path path;
	struct pending_collection *p;
	enum err e = path_parse(config->key, &path, reterr_fault);

	if (e)
		return e;
	e = catalog_pending_of(c, i, &p);
	if (e)
		return change_failed(e, reterr_fault);
	uint32_t at = field_at(&p->fields, config->key);

	if (at == CATALOG_FIELDS_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "a collection has at most %d payload indexes", CATALOG_FIELDS_MAX);
	struct field_list list = { .count = MAX(p->fields.count, at + 1) };

	list.items = arena_array(&c->pending_arena, list.count, sizeof(*list.items));
	if (!list.items)
		return change_failed(ERR_NO_MEMORY, reterr_fault);
	if (p->fields.count)
		memcpy(list.items, p->fields.items, p->fields.count * sizeof(*list.items));
	list.items[at] = *config;
	/* Copied as a whole: config is the caller's. */
	e = field_list_copy(&list, &c->pending_arena, &p->fields);
	p->fields_changed = true;
	if (!e)
		e = catalog_record_save(c, t, p);
	return e ? change_failed(e, reterr_fault) : ERR_NONE;
}

enum err catalog_field_index_drop(struct catalog *c, struct store_txn *t, struct incarnation i,
				  struct str key)
{
	struct pending_collection *p;
	enum err e = catalog_pending_of(c, i, &p);

	if (e)
		return e;
	uint32_t at = field_at(&p->fields, key);

	if (at == p->fields.count)
		return ERR_NONE;
	p->fields.items[at] = p->fields.items[--p->fields.count];
	p->fields_changed = true;
	return catalog_record_save(c, t, p);
}

/* --- durable, then visible --- */

enum err catalog_sync(struct catalog *c, struct fault *reterr_fault)
{
	size_t cursor = 0;
	struct str name;
	void *value;

	while (map_next(&c->by_name, &cursor, &name, &value)) {
		enum err e = collection_sync(value, reterr_fault);

		if (e)
			return e;
	}
	for (uint32_t i = 0; i < c->pending_count; i++) {
		enum err e = c->pending[i].created || c->pending[i].restored
				     ? collection_sync(c->pending[i].collection, reterr_fault)
				     : ERR_NONE;

		if (e)
			return e;
	}
	return ERR_NONE;
}

static enum err save_trees(struct catalog *c, struct store_txn *t, struct collection *collection)
{
	for (uint32_t i = 0; i < collection->shard_count; i++) {
		const struct shard *s = collection->shards[i];
		uint8_t prefix[SHARD_KEY_BYTES];

		shard_key(s->uid, 0, prefix);
		enum err e = merkle_save(s->merkle, c->options.store, t,
					 (struct bytes){ .data = prefix, .len = 4 });

		if (e)
			return e;
	}
	return ERR_NONE;
}

enum err catalog_merkle_save(struct catalog *c, struct store_txn *t)
{
	uint32_t budget = PURGE_ROWS_MAX;
	size_t cursor = 0;
	struct str name;
	void *value;

	c->merkle_saved = true;
	while (map_next(&c->by_name, &cursor, &name, &value)) {
		enum err e = save_trees(c, t, value);

		if (e)
			return e;
	}
	for (uint32_t i = 0; i < c->gone_count && budget; i++) {
		struct gone *g = &c->gone[i];
		enum err e = g->stored && !g->collection && !g->purged ? purge(c, t, g, &budget)
								       : ERR_NONE;

		if (e)
			return e;
	}
	return ERR_NONE;
}

static void publish_dropped(struct catalog *c, const struct pending_collection *p, bool stored)
{
	struct gone g = {
		.collection = p->collection,
		.kept = stored && p->kept,
		.incarnation = p->collection->incarnation,
		.uids = p->uids,
		.uid_count = p->collection->shard_count,
		.stored = stored,
	};

	if (catalog_gone_add(c, &g))
		PANIC("what was committed cannot be shown: out of memory");
	collection_end(p->collection);
}

static void publish_change(struct catalog *c, const struct pending_collection *p)
{
	if (p->dropped) {
		publish_dropped(c, p, true);
		return;
	}
	if (p->config_changed)
		collection_set_config(p->collection, &p->config);
	if (p->fields_changed)
		collection_set_fields(p->collection, &p->fields);
}

/* A name that passes from one collection to another is never without one. */
static void publish_names(struct catalog *c)
{
	uint8_t key[CATALOG_KEY_BYTES];

	pthread_rwlock_wrlock(&c->lock);
	for (uint32_t i = 0; i < c->pending_count; i++) {
		const struct pending_collection *p = &c->pending[i];

		if (p->dropped && !p->created && !p->restored) {
			catalog_key(p->collection->incarnation, key);
			(void)map_remove(&c->by_name, p->name); /* it is in gone */
			(void)map_remove(&c->by_incarnation, catalog_key_str(key));
			if (p->kept &&
			    map_put(&c->dropped, catalog_key_str(key), p->collection, NULL))
				PANIC("what was committed cannot be shown: out of memory");
		} else if ((p->created || p->restored) && !p->dropped) {
			if (catalog_maps_add(c, p->name, p->collection))
				PANIC("what was committed cannot be shown: out of memory");
			if (p->restored)
				catalog_publish_restored(c, p);
		}
	}
	catalog_aliases_publish(c);
	pthread_rwlock_unlock(&c->lock);
}

void catalog_gone_sweep(struct catalog *c)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < c->gone_count; i++) {
		struct gone *g = &c->gone[i];

		sweep_one(g);
		if (!g->collection && (g->purged || !g->stored))
			catalog_gone_release(g);
		else
			c->gone[kept++] = *g;
	}
	c->gone_count = kept;
}

static void pending_close(struct catalog *c)
{
	atomic_store(&c->writer, 0);
	catalog_aliases_forget(c);
	c->pending_count = 0;
	c->merkle_saved = false;
	arena_release(&c->pending_arena);
	arena_init(&c->pending_arena, SIZE_MAX);
}

void catalog_publish(struct catalog *c)
{
	size_t cursor = 0;
	struct str name;
	void *value;

	while (map_next(&c->by_name, &cursor, &name, &value))
		collection_publish(value);
	for (uint32_t i = 0; i < c->pending_count; i++)
		publish_change(c, &c->pending[i]);
	/* Rows first: a new collection is found with the points of its transaction. */
	for (uint32_t i = 0; i < c->pending_count; i++)
		if ((c->pending[i].created || c->pending[i].restored) && !c->pending[i].dropped)
			collection_publish(c->pending[i].collection);
	publish_names(c);
	c->next_uid = c->pending_uid;
	pending_close(c);
	catalog_gone_sweep(c);
	catalog_kick(c);
}

void catalog_abandon(struct catalog *c)
{
	size_t cursor = 0;
	struct str name;
	void *value;

	while (map_next(&c->by_name, &cursor, &name, &value)) {
		struct collection *collection = value;

		collection_abandon(collection);
		for (uint32_t i = 0; c->merkle_saved && i < collection->shard_count; i++)
			merkle_save_undone(collection->shards[i]->merkle);
	}
	for (uint32_t i = 0; i < c->pending_count; i++) {
		const struct pending_collection *p = &c->pending[i];

		if (p->created || p->restored)
			collection_abandon(p->collection);
		if (p->created)
			publish_dropped(c, p, false);
		else if (p->restored)
			collection_free(p->collection, false); /* its files are the dropped one's */
	}
	for (uint32_t i = 0; i < c->gone_count; i++)
		c->gone[i].purged = false;
	c->pending_uid = c->next_uid;
	pending_close(c);
	catalog_gone_sweep(c);
}
