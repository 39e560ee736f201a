/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking back what an op did to a collection. A dropped collection that was kept for the op log has its rows, slots and
 * record still; it comes back as a new object, read from them as at a start, beside the old one, which its last reader
 * frees.
 */
#include "index/catalog.h"

#include "base/panic.h"
#include "base/wire.h"
#include "index/catalog_inner.h"

#include <string.h>

static struct bytes key_bytes(const uint8_t key[CATALOG_KEY_BYTES])
{
	return (struct bytes){ .data = key, .len = CATALOG_KEY_BYTES };
}

enum err catalog_record_get_raw(struct catalog *c, struct store_txn *t, struct incarnation i, struct arena *a,
				struct bytes *ret_record)
{
	uint8_t key[CATALOG_KEY_BYTES];
	struct bytes record;

	catalog_key(i, key);
	enum err e = c->options.store->ops->get(t, STORE_CATALOG, key_bytes(key), &record);

	if (e == ERR_NOT_FOUND) {
		*ret_record = (struct bytes){ 0 };
		return ERR_NONE;
	}
	if (e)
		return e;
	uint8_t *copy = arena_alloc(a, record.len);

	if (!copy)
		return ERR_NO_MEMORY;
	memcpy(copy, record.data, record.len);
	*ret_record = (struct bytes){ .data = copy, .len = record.len };
	return ERR_NONE;
}

/* As the record has it; everything in the transaction's memory. */
static enum err fill_pending(struct catalog *c, const struct catalog_record *r, struct pending_collection *p)
{
	struct arena *a = &c->pending_arena;
	enum err e = collection_config_copy(&r->config, a, &p->config);

	if (!e)
		e = field_list_copy(&r->fields, a, &p->fields);
	p->name = arena_str(a, r->name);
	return e ? e : p->name.data ? ERR_NONE : ERR_NO_MEMORY;
}

static enum err change_back(struct catalog *c, struct store_txn *t, struct pending_collection *p,
			    const struct catalog_record *r)
{
	enum err e = fill_pending(c, r, p);

	p->config_changed = p->fields_changed = true;
	return e ? e : catalog_record_save(c, t, p);
}

/* The object, with all that a start would have read. */
static enum err load_again(struct catalog *c, struct store_txn *t, const struct catalog_restoring *r,
			   const struct catalog_record *record, struct collection **ret_collection,
			   struct fault *reterr_fault)
{
	struct collection *fresh;
	enum err e = catalog_make_collection(c, r->incarnation, record, &fresh, reterr_fault);

	if (e)
		return e;
	e = collection_load(fresh, t, &record->fields, reterr_fault);
	if (!e && r->mark)
		e = r->mark(r->ctx, fresh);
	if (!e)
		e = collection_start(fresh, reterr_fault);
	if (e)
		collection_free(fresh, false);
	else
		*ret_collection = fresh;
	return e;
}

static enum err bring_back(struct catalog *c, struct store_txn *t, const struct catalog_restoring *r,
			   const struct catalog_record *record, struct fault *reterr_fault)
{
	const struct gone *g = catalog_gone_find(c, r->incarnation);
	struct pending_collection p = { .restored = true };

	if (!g || !g->kept)
		return fault_set(reterr_fault, ERR_NOT_FOUND, "nothing is left of collection `%.*s`",
				 STR_FMT(record->name));
	p.uids = arena_array(&c->pending_arena, g->uid_count, sizeof(*p.uids));
	if (!p.uids)
		return ERR_NO_MEMORY;
	memcpy(p.uids, g->uids, g->uid_count * sizeof(*p.uids));
	enum err e = fill_pending(c, record, &p);

	if (!e)
		e = load_again(c, t, r, record, &p.collection, reterr_fault);
	if (e)
		return e;
	e = catalog_record_save(c, t, &p);
	if (!e)
		e = catalog_pending_add(c, &p);
	if (e)
		collection_free(p.collection, false);
	return e;
}

enum err catalog_restore(struct catalog *c, struct store_txn *t, const struct catalog_restoring *r,
			 struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct pending_collection *p;
	struct catalog_record record;

	arena_init(&a, SIZE_MAX);
	if (r->record.len == 0)
		return catalog_drop(c, t, r->incarnation, reterr_fault);
	enum err e = catalog_record_get(r->record, &a, &record);

	if (!e) {
		e = catalog_pending_of(c, r->incarnation, &p);
		e = e == ERR_NOT_FOUND ? bring_back(c, t, r, &record, reterr_fault)
		    : e		       ? e
				       : change_back(c, t, p, &record);
	}
	return e ? fault_set(reterr_fault, e, "taking back the change of a collection: %s",
			     reterr_fault && reterr_fault->text[0] ? fault_text(reterr_fault) : err_sentence(e))
		 : ERR_NONE;
}

bool catalog_is_record(struct bytes key)
{
	return key.len == CATALOG_KEY_BYTES;
}

bool catalog_is_shared(struct bytes key)
{
	return catalog_is_record(key) || (key.len == strlen(CATALOG_ALIASES_KEY) &&
					  memcmp(key.data, CATALOG_ALIASES_KEY, key.len) == 0);
}

struct incarnation catalog_record_incarnation(struct bytes key)
{
	struct wire_reader r = wire_reader_of(key.data, key.len);
	struct incarnation i = { .hlc = wire_u64_be(&r) };

	i.region = wire_u8(&r);
	return i;
}

/* Its shards get numbers of this store. */
enum err catalog_install(struct catalog *c, struct store_txn *t, struct incarnation i, struct bytes record,
			 bool *ret_installed, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct catalog_record r;

	arena_init(&a, SIZE_MAX);
	*ret_installed = false;
	enum err e = catalog_record_get(record, &a, &r);

	if (e)
		return fault_set(reterr_fault, e, "the record of a collection: %s", err_sentence(e));
	if (r.dropped)
		return ERR_NONE;
	e = catalog_create(c, t, r.name, i, &r.config, reterr_fault);
	for (uint32_t n = 0; !e && n < r.fields.count; n++)
		e = catalog_field_index_put(c, t, i, &r.fields.items[n], reterr_fault);
	*ret_installed = !e;
	return e;
}

void catalog_publish_restored(struct catalog *c, const struct pending_collection *p)
{
	struct gone *g = catalog_gone_find(c, p->collection->incarnation);
	uint8_t key[CATALOG_KEY_BYTES];

	ASSERT(g);
	catalog_key(p->collection->incarnation, key);
	(void)map_remove(&c->dropped, catalog_key_str(key)); /* it is in gone */
	g->restored = true;
	g->kept = g->stored = false;
}
