/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue's aliases: one record of STORE_CATALOG, and in memory the list that readers see beside the one that a
 * transaction makes. A drop leaves the aliases of its collection in the record, where they are out of force, so that taking
 * the drop back brings them back too; they leave it with the first change of aliases after the collection's record is gone.
 */
#include "index/catalog.h"

#include "index/catalog_inner.h"
#include "index/order.h"

#include <stdlib.h>
#include <string.h>

static struct bytes record_key(void)
{
	return (struct bytes){ .data = (const uint8_t *)CATALOG_ALIASES_KEY, .len = strlen(CATALOG_ALIASES_KEY) };
}

static bool is_writer(const struct catalog *c)
{
	return atomic_load(&c->writer) == (unsigned long)pthread_self();
}

static const struct alias_list *list_of(const struct catalog *c)
{
	return is_writer(c) && c->aliases_changed ? &c->pending_aliases.list : &c->aliases.list;
}

static struct collection *target_of(const struct catalog *c, struct incarnation i)
{
	const struct pending_collection *p = is_writer(c) ? catalog_pending(c, i) : NULL;

	if (p)
		return p->dropped ? NULL : p->collection;
	return catalog_find(c, i);
}

struct collection *catalog_find_alias(const struct catalog *c, struct str name)
{
	const struct alias *alias = alias_find(list_of(c), name);

	return alias ? target_of(c, alias->target) : NULL;
}

void catalog_aliases_init(struct aliases *l)
{
	*l = (struct aliases){ 0 };
	arena_init(&l->arena, SIZE_MAX);
}

void catalog_aliases_release(struct aliases *l)
{
	arena_release(&l->arena);
	catalog_aliases_init(l);
}

enum err catalog_aliases_load(struct catalog *c, struct bytes record, struct fault *reterr_fault)
{
	enum err e = alias_list_get(record, &c->aliases.arena, &c->aliases.list);

	return e ? fault_set(reterr_fault, e, "the catalog's record of aliases: %s", err_sentence(e)) : ERR_NONE;
}

enum err catalog_aliases(struct catalog *c, struct arena *a, struct alias_list *ret_list)
{
	enum err e = ERR_NONE;

	pthread_rwlock_rdlock(&c->lock);
	const struct alias_list *all = list_of(c);
	struct alias_list in_force = { .items = arena_array(a, all->count, sizeof(*in_force.items)) };

	if (!in_force.items)
		e = ERR_NO_MEMORY;
	for (uint32_t i = 0; i < all->count && !e; i++) {
		if (!target_of(c, all->items[i].target))
			continue;
		struct alias *copy = &in_force.items[in_force.count++];
		*copy = all->items[i];
		copy->name = arena_str(a, copy->name);
		if (!copy->name.data)
			e = ERR_NO_MEMORY;
	}
	pthread_rwlock_unlock(&c->lock);
	if (!e)
		*ret_list = in_force;
	return e;
}

uint32_t catalog_aliases_count(const struct catalog *c)
{
	return list_of(c)->count;
}

/* --- changing --- */

static void begin_pending(struct catalog *c, struct aliases *fresh)
{
	arena_release(&c->pending_aliases.arena);
	c->pending_aliases = *fresh;
	c->aliases_changed = true;
	atomic_store(&c->writer, (unsigned long)pthread_self());
}

static enum err save(struct catalog *c, struct store_txn *t, const struct alias_list *l)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SIZE_MAX);
	enum err e = alias_list_put(&b, l);

	return e ? e : c->options.store->ops->put(t, STORE_CATALOG, record_key(), buf_bytes(&b));
}

/* Nothing of its collection is left, so that it can never come back. */
static enum err is_left_over(struct catalog *c, struct store_txn *t, const struct alias *alias, bool *ret)
{
	uint8_t key[CATALOG_KEY_BYTES];
	struct bytes value;

	*ret = false;
	if (target_of(c, alias->target))
		return ERR_NONE;
	catalog_key(alias->target, key);
	enum err e = c->options.store->ops->get(t, STORE_CATALOG,
						(struct bytes){ .data = key, .len = sizeof(key) }, &value);

	*ret = e == ERR_NOT_FOUND;
	return *ret ? ERR_NONE : e;
}

static enum err clear_left_over(struct catalog *c, struct store_txn *t, struct alias_list *l)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < l->count; i++) {
		bool left_over;
		enum err e = is_left_over(c, t, &l->items[i], &left_over);

		if (e)
			return e;
		if (!left_over)
			l->items[kept++] = l->items[i];
	}
	l->count = kept;
	return ERR_NONE;
}

static enum err replace(struct catalog *c, struct store_txn *t, enum err made, struct aliases *fresh,
			struct fault *reterr_fault)
{
	enum err e = made ? made : save(c, t, &fresh->list);

	if (!e) {
		begin_pending(c, fresh);
		return ERR_NONE;
	}
	arena_release(&fresh->arena);
	return fault_set(reterr_fault, e, "changing aliases: %s", err_sentence(e));
}

enum err catalog_aliases_change(struct catalog *c, struct store_txn *t, const struct alias_list *changes,
				struct fault *reterr_fault)
{
	struct aliases fresh;

	catalog_aliases_init(&fresh);
	enum err e = alias_list_change(list_of(c), changes, &fresh.arena, &fresh.list);

	if (!e)
		e = clear_left_over(c, t, &fresh.list);
	return replace(c, t, e, &fresh, reterr_fault);
}

enum err catalog_aliases_get_raw(struct catalog *c, struct store_txn *t, struct arena *a, struct bytes *ret_record)
{
	struct bytes record;
	enum err e = c->options.store->ops->get(t, STORE_CATALOG, record_key(), &record);

	if (e == ERR_NOT_FOUND)
		record = (struct bytes){ 0 };
	else if (e)
		return e;
	uint8_t *copy = arena_alloc(a, record.len);

	if (!copy)
		return ERR_NO_MEMORY;
	if (record.len)
		memcpy(copy, record.data, record.len);
	*ret_record = (struct bytes){ .data = copy, .len = record.len };
	return ERR_NONE;
}

enum err catalog_aliases_restore(struct catalog *c, struct store_txn *t, struct bytes record,
				 struct fault *reterr_fault)
{
	struct aliases fresh;

	catalog_aliases_init(&fresh);
	return replace(c, t, alias_list_get(record, &fresh.arena, &fresh.list), &fresh, reterr_fault);
}

void catalog_aliases_publish(struct catalog *c)
{
	struct aliases old = c->aliases;

	if (!c->aliases_changed)
		return;
	c->aliases = c->pending_aliases;
	c->pending_aliases = old;
	catalog_aliases_forget(c);
}

void catalog_aliases_forget(struct catalog *c)
{
	catalog_aliases_release(&c->pending_aliases);
	c->aliases_changed = false;
}
