/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STORE_CATALOG: a record for each collection, live or dropped (catalog_record.c), and under the one byte
 * 'u' the uid of the next shard, u32 BE: uids are never used again, so rows of a dropped collection can wait
 * to be deleted, some at each checkpoint. Under 'a' the aliases (alias.c).
 *
 * What a transaction changes is kept in `pending` until publish; only the thread that made the changes
 * sees them. A dropped collection leaves the maps at publish and is freed, files and all, when the catalog
 * alone refers to it and the op log holds none of its ops.
 */
#include "index/catalog.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/wire.h"
#include "index/catalog_inner.h"
#include "index/order.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define BUILDER_NICE 19
/* How often the builder looks for work at most, and at least while it is told nothing. */
#define BUILDER_PAUSE_MS 50
#define BUILDER_IDLE_MS 2000

static bool same_incarnation(struct incarnation a, struct incarnation b)
{
	return a.hlc == b.hlc && a.region == b.region;
}

static void folder_path(const struct catalog *c, struct incarnation i, char out[PATH_BYTES])
{
	char name[CATALOG_FOLDER_BYTES];

	catalog_folder_name(i, name);
	snprintf(out, PATH_BYTES, "%s/%s", c->dir ? c->dir : "", name);
}

struct collection *catalog_find(const struct catalog *c, struct incarnation i)
{
	uint8_t key[CATALOG_KEY_BYTES];

	catalog_key(i, key);
	return map_get(&c->by_incarnation, catalog_key_str(key));
}

static struct collection *find_dropped(const struct catalog *c, struct incarnation i)
{
	uint8_t key[CATALOG_KEY_BYTES];

	catalog_key(i, key);
	return map_get(&c->dropped, catalog_key_str(key));
}

/* --- opening --- */

enum err catalog_gone_add(struct catalog *c, const struct gone *g)
{
	uint32_t *uids = calloc((size_t)g->uid_count + 1, sizeof(*uids));

	if (!uids)
		return ERR_NO_MEMORY;
	if (c->gone_count == c->gone_cap) {
		uint32_t cap = c->gone_cap ? c->gone_cap * 2 : 8;
		struct gone *gone = reallocarray(c->gone, cap, sizeof(*gone));

		if (!gone) {
			free(uids);
			return ERR_NO_MEMORY;
		}
		c->gone = gone;
		c->gone_cap = cap;
	}
	if (g->uid_count)
		memcpy(uids, g->uids, g->uid_count * sizeof(*uids));
	c->gone[c->gone_count] = *g;
	c->gone[c->gone_count++].uids = uids;
	return ERR_NONE;
}

/* With its slots, in case the log has ops of it (catalog_start knows). If they cannot be read, the log will say so. */
static enum err gone_of_record(struct catalog *c, struct store_txn *t, struct incarnation i,
			       const struct catalog_record *r)
{
	struct gone g = { .incarnation = i,
			  .uids = r->uids,
			  .uid_count = r->config.shard_number,
			  .stored = true };
	uint8_t key[CATALOG_KEY_BYTES];
	enum err e = catalog_make_collection(c, i, r, &g.collection, NULL);

	catalog_key(i, key);
	if (!e) {
		e = collection_load_slots(g.collection, t);
		if (!e)
			e = map_put(&c->dropped, catalog_key_str(key), g.collection, NULL);
		if (e)
			collection_free(TAKE(g.collection), false);
	}
	return e == ERR_NO_MEMORY ? e : catalog_gone_add(c, &g);
}

enum err catalog_maps_add(struct catalog *c, struct str name, struct collection *collection)
{
	uint8_t key[CATALOG_KEY_BYTES];

	catalog_key(collection->incarnation, key);
	enum err e = map_put(&c->by_name, name, collection, NULL);

	if (!e)
		e = map_put(&c->by_incarnation, catalog_key_str(key), collection, NULL);
	if (e)
		(void)map_remove(&c->by_name, name); /* both or none */
	return e;
}

enum err catalog_make_collection(struct catalog *c, struct incarnation i,
				 const struct catalog_record *r, struct collection **ret_collection,
				 struct fault *reterr_fault)
{
	char path[PATH_BYTES];
	struct collection_options o = {
		.store = c->options.store,
		.gate = &c->gate,
		.dir = c->dir ? path : NULL,
		.name = r->name,
		.incarnation = i,
		.config = &r->config,
		.uids = r->uids,
		.tail_vectors_max = c->options.tail_vectors_max,
		.build_threads = c->options.builder_threads,
		.unmetered = c->options.unmetered,
	};

	folder_path(c, i, path);
	return collection_new(&o, ret_collection, reterr_fault);
}

static enum err open_record(struct catalog *c, struct store_txn *t, struct bytes key,
			    struct bytes value, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct incarnation i = catalog_record_incarnation(key);
	struct catalog_record r;
	struct collection *collection;

	arena_init(&a, SIZE_MAX);
	enum err e = catalog_record_get(value, &a, &r);

	if (e)
		return fault_set(reterr_fault, e, "a record of the catalog: %s", err_sentence(e));
	if (r.dropped)
		return gone_of_record(c, t, i, &r);
	if (map_get(&c->by_name, r.name))
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "the catalog has two collections named \"%.*s\"", STR_FMT(r.name));
	e = catalog_make_collection(c, i, &r, &collection, reterr_fault);
	if (e)
		return e;
	e = collection_load(collection, t, &r.fields, reterr_fault);
	if (!e)
		e = catalog_maps_add(c, r.name, collection);
	if (e)
		collection_free(collection, false);
	return e;
}

static enum err open_records(struct catalog *c, struct store_txn *t, struct store_cursor *cursor,
			     struct fault *reterr_fault)
{
	const struct store_ops *ops = c->options.store->ops;
	struct bytes key, value;
	uint8_t first = 0;
	enum err e = ops->seek(cursor, (struct bytes){ .data = &first, .len = 1 }, &key, &value);

	for (; !e; e = ops->next(cursor, &key, &value)) {
		if (key.len == strlen(CATALOG_UID_KEY) &&
		    memcmp(key.data, CATALOG_UID_KEY, key.len) == 0) {
			struct wire_reader r = wire_reader_of(value.data, value.len);

			c->next_uid = wire_u32_be(&r);
			e = wire_done(&r);
		} else if (key.len == strlen(CATALOG_ALIASES_KEY) &&
			   memcmp(key.data, CATALOG_ALIASES_KEY, key.len) == 0) {
			e = catalog_aliases_load(c, value, reterr_fault);
		} else if (key.len == CATALOG_KEY_BYTES) {
			e = open_record(c, t, key, value, reterr_fault);
		} else {
			e = fault_set(reterr_fault, ERR_CORRUPT,
				      "the catalog has a key of %zu bytes", key.len);
		}
		if (e)
			return e;
	}
	return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* Folders that no collection has: of creations that a crash ended, of dropped collections. */
static void sweep_folders(const struct catalog *c)
{
	DIR *dir = c->dir ? opendir(c->dir) : NULL;

	if (!dir)
		return;
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		struct incarnation i;

		if (catalog_folder_parse(entry->d_name, &i) && !catalog_find(c, i) && !find_dropped(c, i))
			catalog_folder_remove(dirfd(dir), entry->d_name);
	}
	closedir(dir);
}

static enum err locks_init(struct catalog *c)
{
	pthread_condattr_t monotonic;
	int rc = pthread_condattr_init(&monotonic);

	if (!rc) {
		pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
		rc = pthread_cond_init(&c->wake, &monotonic);
		pthread_condattr_destroy(&monotonic);
	}
	if (rc || gate_init(&c->gate))
		return ERR_NO_MEMORY;
	/* With default attributes these do not fail on Linux. */
	ASSERT(pthread_rwlock_init(&c->lock, NULL) == 0);
	ASSERT(pthread_mutex_init(&c->build_lock, NULL) == 0);
	ASSERT(pthread_mutex_init(&c->wake_lock, NULL) == 0);
	return ERR_NONE;
}

static enum err load(struct catalog *c, struct fault *reterr_fault)
{
	const struct store_ops *ops = c->options.store->ops;
	struct store_txn *t;
	struct store_cursor *cursor;
	enum err e = ops->begin(c->options.store, false, &t);

	if (e)
		return fault_set(reterr_fault, e, "reading the catalog: %s", err_sentence(e));
	e = ops->cursor_open(t, STORE_CATALOG, &cursor);
	if (!e) {
		e = open_records(c, t, cursor, reterr_fault);
		ops->cursor_close(cursor);
	}
	ops->abort(t);
	return e;
}

enum err catalog_open(const struct catalog_options *o, struct catalog **ret_catalog,
		      struct fault *reterr_fault)
{
	struct catalog *c = calloc(1, sizeof(*c));

	if (!c)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "opening the catalog: out of memory");
	enum err e = locks_init(c);

	if (e) {
		free(c);
		return fault_set(reterr_fault, e, "opening the catalog: %s", err_sentence(e));
	}
	c->options = *o;
	c->options.dir = NULL;
	map_init(&c->by_name);
	map_init(&c->by_incarnation);
	map_init(&c->dropped);
	arena_init(&c->pending_arena, SIZE_MAX);
	catalog_aliases_init(&c->aliases);
	catalog_aliases_init(&c->pending_aliases);
	atomic_init(&c->ready, false);
	atomic_init(&c->writer, 0);
	c->next_uid = 1;
	if (o->dir)
		c->dir = strdup(o->dir);
	if (o->dir && !c->dir)
		e = fault_set(reterr_fault, ERR_NO_MEMORY, "opening the catalog: out of memory");
	else
		e = load(c, reterr_fault);
	if (e) {
		catalog_close(c);
		return e;
	}
	c->pending_uid = c->next_uid;
	sweep_folders(c);
	*ret_catalog = c;
	return ERR_NONE;
}

/* --- builders --- */

/* References to all, in memory of malloc; NULL when it is out. */
static struct collection **all_of(struct catalog *c, size_t *ret_count)
{
	size_t cursor = 0, n = 0;
	struct str name;
	void *value;

	pthread_rwlock_rdlock(&c->lock);
	struct collection **items = calloc(c->by_name.count + 1, sizeof(struct collection *));

	while (items && map_next(&c->by_name, &cursor, &name, &value))
		items[n++] = collection_ref(value);
	pthread_rwlock_unlock(&c->lock);
	*ret_count = n;
	return items;
}

static enum err work(struct catalog *c, bool builds, bool now, struct fault *reterr_fault)
{
	size_t count;
	struct collection **items = all_of(c, &count);
	enum err first = ERR_NONE;

	if (!items)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		enum err e;

		if (builds) {
			pthread_mutex_lock(&c->build_lock);
			e = collection_build(items[i], now, first ? NULL : reterr_fault);
			pthread_mutex_unlock(&c->build_lock);
		} else {
			e = collection_fill(items[i]);
		}
		collection_unref(items[i]);
		if (!first)
			first = e;
	}
	free(items);
	return first;
}

/* Waits for a kick beyond `seen`, never less than a pause; false: stop. */
static bool wait_for_kick(struct catalog *c, uint64_t *seen)
{
	struct timespec pause, idle;

	clock_wait_deadline(BUILDER_PAUSE_MS, &pause);
	clock_wait_deadline(BUILDER_IDLE_MS, &idle);
	pthread_mutex_lock(&c->wake_lock);
	while (!c->stop && pthread_cond_timedwait(&c->wake, &c->wake_lock, &pause) == 0)
		;
	while (!c->stop && c->kicks == *seen &&
	       pthread_cond_timedwait(&c->wake, &c->wake_lock, &idle) == 0)
		;
	*seen = c->kicks;
	bool go_on = !c->stop;

	pthread_mutex_unlock(&c->wake_lock);
	return go_on;
}

static void run_work(struct catalog *c, bool builds)
{
	uint64_t seen = 0;

	/* Searches and commits come first. Threads that a build starts inherit it. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), BUILDER_NICE);
	do
		(void)work(c, builds, false, NULL); /* collection_info shows what failed */
	while (wait_for_kick(c, &seen));
}

static void *run_builder(void *arg)
{
	run_work(arg, true);
	return NULL;
}

static void *run_filler(void *arg)
{
	run_work(arg, false);
	return NULL;
}

void catalog_kick(struct catalog *c)
{
	if (c->thread_count == 0)
		return;
	pthread_mutex_lock(&c->wake_lock);
	c->kicks++;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->wake_lock);
}

enum err catalog_start(struct catalog *c, struct fault *reterr_fault)
{
	void *(*const runs[CATALOG_THREADS_MAX])(void *arg) = { run_builder, run_filler };
	size_t cursor = 0;
	struct str name;
	void *value;

	while (map_next(&c->by_name, &cursor, &name, &value)) {
		enum err e = collection_start(value, reterr_fault);

		if (e)
			return e;
		collection_mended_add(value, &c->mended);
	}
	for (uint32_t i = 0; i < c->gone_count; i++)
		if (!c->gone[i].kept)
			catalog_release_dropped(c, c->gone[i].incarnation);
	catalog_gone_sweep(c);
	for (unsigned i = 0; c->options.builder_threads && i < CATALOG_THREADS_MAX; i++) {
		if (pthread_create(&c->threads[i], NULL, runs[i], c))
			return fault_set(reterr_fault, ERR_NO_MEMORY,
					 "starting a builder thread failed");
		pthread_setname_np(c->threads[i], i == 0 ? "builder" : "index-filler");
		c->thread_count++;
	}
	atomic_store(&c->ready, true);
	return ERR_NONE;
}

struct catalog_mended catalog_mended(const struct catalog *c)
{
	return c->mended;
}

bool catalog_ready(const struct catalog *c)
{
	return atomic_load(&c->ready);
}

enum err catalog_build_now(struct catalog *c, struct fault *reterr_fault)
{
	enum err e = work(c, false, true, reterr_fault);

	return e ? e : work(c, true, true, reterr_fault);
}

static void stop_builders(struct catalog *c)
{
	size_t cursor = 0;
	struct str name;
	void *value;

	while (map_next(&c->by_name, &cursor, &name, &value)) {
		struct collection *collection = value;

		atomic_store(&collection->cancel, true);
	}
	pthread_mutex_lock(&c->wake_lock);
	c->stop = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->wake_lock);
	for (unsigned i = 0; i < c->thread_count; i++)
		pthread_join(c->threads[i], NULL);
	c->thread_count = 0;
}

void catalog_gone_release(struct gone *g)
{
	/* Its files go with it: rows that are left are nobody's. */
	collection_free(g->collection, !g->kept);
	free(g->uids);
}

void catalog_close(struct catalog *c)
{
	size_t cursor = 0;
	struct str name;
	void *value;

	if (!c)
		return;
	catalog_abandon(c);
	stop_builders(c);
	while (map_next(&c->by_name, &cursor, &name, &value))
		collection_free(value, false);
	for (uint32_t i = 0; i < c->gone_count; i++)
		catalog_gone_release(&c->gone[i]);
	free(c->gone);
	free(c->pending);
	arena_release(&c->pending_arena);
	catalog_aliases_release(&c->aliases);
	catalog_aliases_release(&c->pending_aliases);
	map_release(&c->by_name);
	map_release(&c->by_incarnation);
	map_release(&c->dropped);
	gate_release(&c->gate);
	pthread_cond_destroy(&c->wake);
	pthread_rwlock_destroy(&c->lock);
	pthread_mutex_destroy(&c->build_lock);
	pthread_mutex_destroy(&c->wake_lock);
	free(c->dir);
	free(c);
}

/* --- finding --- */

static bool is_writer(const struct catalog *c)
{
	return atomic_load(&c->writer) == (unsigned long)pthread_self();
}

struct pending_collection *catalog_pending(const struct catalog *c, struct incarnation i)
{
	for (uint32_t n = 0; n < c->pending_count; n++)
		if (same_incarnation(c->pending[n].collection->incarnation, i))
			return &c->pending[n];
	return NULL;
}

struct collection *catalog_get_incarnation(struct catalog *c, struct incarnation i)
{
	if (is_writer(c)) {
		const struct pending_collection *p = catalog_pending(c, i);

		if (p)
			return p->dropped ? NULL : collection_ref(p->collection);
	}
	pthread_rwlock_rdlock(&c->lock);
	struct collection *found = catalog_find(c, i);

	if (found)
		collection_ref(found);
	pthread_rwlock_unlock(&c->lock);
	return found;
}

struct collection *catalog_get_logged(struct catalog *c, struct incarnation i)
{
	pthread_rwlock_rdlock(&c->lock);
	struct collection *found = catalog_find(c, i);

	if (!found)
		found = find_dropped(c, i);
	if (found)
		collection_ref(found);
	pthread_rwlock_unlock(&c->lock);
	return found;
}

/* The collection that a transaction has given the name to; *ret_hidden: it took the name away. */
static struct collection *pending_by_name(const struct catalog *c, struct str name,
					  bool *ret_hidden)
{
	*ret_hidden = false;
	for (uint32_t n = 0; n < c->pending_count; n++) {
		const struct pending_collection *p = &c->pending[n];

		if (str_compare(p->name, name) != 0)
			continue;
		if (!p->dropped)
			return p->collection;
		*ret_hidden = true;
	}
	return NULL;
}

static struct collection *get(struct catalog *c, struct str name, bool aliases)
{
	bool hidden = false;
	struct collection *found = is_writer(c) ? pending_by_name(c, name, &hidden) : NULL;

	pthread_rwlock_rdlock(&c->lock);
	if (!found && !hidden)
		found = map_get(&c->by_name, name);
	if (!found && aliases)
		found = catalog_find_alias(c, name);
	if (found)
		collection_ref(found);
	pthread_rwlock_unlock(&c->lock);
	return found;
}

struct collection *catalog_get(struct catalog *c, struct str name)
{
	return get(c, name, true);
}

struct collection *catalog_get_named(struct catalog *c, struct str name)
{
	return get(c, name, false);
}

bool catalog_has(struct catalog *c, struct str name, struct incarnation *ret_incarnation)
{
	struct collection *found = catalog_get(c, name);

	if (!found)
		return false;
	*ret_incarnation = found->incarnation;
	collection_unref(found);
	return true;
}

static int by_name(const void *a, const void *b)
{
	const struct collection *x = *(struct collection *const *)a,
				*y = *(struct collection *const *)b;

	return strcmp(x->name, y->name);
}

enum err catalog_list(struct catalog *c, struct arena *a, struct collection ***ret_items,
		      uint32_t *ret_count)
{
	size_t count;
	struct collection **all = all_of(c, &count);
	struct collection **items = all ? arena_array(a, count, sizeof(struct collection *)) : NULL;

	if (items && count) {
		memcpy(items, all, count * sizeof(struct collection *));
		qsort(items, count, sizeof(struct collection *), by_name);
	}
	for (size_t i = 0; all && !items && i < count; i++)
		collection_unref(all[i]);
	free(all);
	if (!items)
		return ERR_NO_MEMORY;
	*ret_items = items;
	*ret_count = (uint32_t)count;
	return ERR_NONE;
}
