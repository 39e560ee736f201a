/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STORE_CATALOG: a record for each collection, live or dropped (catalog_record.c), and under the one byte
 * 'u' the uid of the next shard, u32 BE: uids are never used again, so rows of a dropped collection can wait
 * to be deleted, some at each checkpoint.
 *
 * What a transaction changes is kept in `pending` until publish; only the thread that made the changes
 * sees them. A dropped collection leaves the maps at publish and is freed, files and all, when the catalog
 * alone refers to it.
 */
#include "index/catalog.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/panic.h"
#include "base/wire.h"
#include "index/catalog_record.h"
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
#define FOLDER_NAME_BYTES 32
/* Rows of dropped collections that one checkpoint deletes. */
#define PURGE_ROWS_MAX 5000u
#define UID_KEY "u"
#define BUILDER_NICE 19
/* How often the builder looks for work at most, and at least while it is told nothing. */
#define BUILDER_PAUSE_MS 50
#define BUILDER_IDLE_MS 2000
/* Two: a payload index does not wait for a long build. */
#define BUILDER_THREADS 2

struct pending_collection {
	struct collection *collection;
	struct str name;
	bool created, dropped, config_changed, fields_changed;
	struct collection_config config; /* as the transaction has it */
	struct field_list fields;
	uint32_t *uids;
};

/* A dropped collection: first its object goes, then its rows, then its record. */
struct gone {
	struct collection *collection;   /* NULL: nobody refers to it */
	struct incarnation incarnation;
	uint32_t *uids;
	uint32_t uid_count;
	bool stored;                     /* it has a record, and perhaps rows */
	bool purged;                     /* by the open transaction */
};

struct catalog {
	struct catalog_options options;
	char *dir;
	atomic_bool ready;
	struct gate gate;                /* see shard.h */

	pthread_rwlock_t lock;           /* guards the maps */
	struct map by_name;              /* -> struct collection */
	struct map by_incarnation;       /* key of catalog_key() -> struct collection */

	atomic_ulong writer;             /* thread that has pending changes; 0: none */
	struct arena pending_arena;      /* what follows is the committer's */
	struct pending_collection *pending;
	uint32_t pending_count, pending_cap;
	uint32_t next_uid, pending_uid;
	bool merkle_saved;               /* in the open transaction */
	struct gone *gone;
	uint32_t gone_count, gone_cap;

	pthread_mutex_t build_lock;      /* one builds at a time */
	pthread_mutex_t wake_lock;       /* guards the following */
	pthread_cond_t wake;
	uint64_t kicks;
	bool stop;
	pthread_t threads[BUILDER_THREADS];
	unsigned thread_count;
};

static struct str key_str(const uint8_t key[CATALOG_KEY_BYTES])
{
	return (struct str){ .data = (const char *)key, .len = CATALOG_KEY_BYTES };
}

static struct bytes key_bytes(const uint8_t key[CATALOG_KEY_BYTES])
{
	return (struct bytes){ .data = key, .len = CATALOG_KEY_BYTES };
}

static bool same_incarnation(struct incarnation a, struct incarnation b)
{
	return a.hlc == b.hlc && a.region == b.region;
}

static void folder_name(struct incarnation i, char out[FOLDER_NAME_BYTES])
{
	snprintf(out, FOLDER_NAME_BYTES, "%016" PRIx64 "-%u", i.hlc, i.region);
}

static void folder_path(const struct catalog *c, struct incarnation i, char out[PATH_BYTES])
{
	char name[FOLDER_NAME_BYTES];

	folder_name(i, name);
	snprintf(out, PATH_BYTES, "%s/%s", c->dir ? c->dir : "", name);
}

static struct collection *find_incarnation(const struct catalog *c, struct incarnation i)
{
	uint8_t key[CATALOG_KEY_BYTES];

	catalog_key(i, key);
	return map_get(&c->by_incarnation, key_str(key));
}

/* --- opening --- */

static enum err gone_add(struct catalog *c, const struct gone *g)
{
	if (c->gone_count == c->gone_cap) {
		uint32_t cap = c->gone_cap ? c->gone_cap * 2 : 8;
		struct gone *gone = reallocarray(c->gone, cap, sizeof(*gone));

		if (!gone)
			return ERR_NO_MEMORY;
		c->gone = gone;
		c->gone_cap = cap;
	}
	c->gone[c->gone_count++] = *g;
	return ERR_NONE;
}

static uint32_t *copy_uids(const uint32_t *uids, uint32_t count)
{
	uint32_t *copy = calloc((size_t)count + 1, sizeof(*copy));

	if (copy && count)
		memcpy(copy, uids, count * sizeof(*copy));
	return copy;
}

static enum err gone_of_record(struct catalog *c, struct incarnation i, const struct catalog_record *r)
{
	struct gone g = {
		.incarnation = i,
		.uids = copy_uids(r->uids, r->config.shard_number),
		.uid_count = r->config.shard_number,
		.stored = true,
	};

	enum err e = g.uids ? gone_add(c, &g) : ERR_NO_MEMORY;

	if (e)
		free(g.uids);
	return e;
}

static enum err maps_add(struct catalog *c, struct str name, struct collection *collection)
{
	uint8_t key[CATALOG_KEY_BYTES];

	catalog_key(collection->incarnation, key);
	enum err e = map_put(&c->by_name, name, collection, NULL);

	if (!e)
		e = map_put(&c->by_incarnation, key_str(key), collection, NULL);
	if (e)
		(void)map_remove(&c->by_name, name); /* both or none */
	return e;
}

static enum err make_collection(struct catalog *c, struct incarnation i, const struct catalog_record *r,
				struct collection **ret_collection, struct fault *reterr_fault)
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
	};

	folder_path(c, i, path);
	return collection_new(&o, ret_collection, reterr_fault);
}

static enum err open_record(struct catalog *c, struct store_txn *t, struct bytes key, struct bytes value,
			    struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct wire_reader k = wire_reader_of(key.data, key.len);
	struct incarnation i = { .hlc = wire_u64_be(&k) };
	struct catalog_record r;
	struct collection *collection;

	i.region = wire_u8(&k);
	arena_init(&a, SIZE_MAX);
	enum err e = catalog_record_get(value, &a, &r);

	if (e)
		return fault_set(reterr_fault, e, "a record of the catalog: %s", err_sentence(e));
	if (r.dropped)
		return gone_of_record(c, i, &r);
	if (map_get(&c->by_name, r.name))
		return fault_set(reterr_fault, ERR_CORRUPT, "the catalog has two collections named \"%.*s\"",
				 STR_FMT(r.name));
	e = make_collection(c, i, &r, &collection, reterr_fault);
	if (e)
		return e;
	e = collection_load(collection, t, &r.fields, reterr_fault);
	if (!e)
		e = maps_add(c, r.name, collection);
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
		if (key.len == strlen(UID_KEY) && memcmp(key.data, UID_KEY, key.len) == 0) {
			struct wire_reader r = wire_reader_of(value.data, value.len);

			c->next_uid = wire_u32_be(&r);
			e = wire_done(&r);
		} else if (key.len == CATALOG_KEY_BYTES) {
			e = open_record(c, t, key, value, reterr_fault);
		} else {
			e = fault_set(reterr_fault, ERR_CORRUPT, "the catalog has a key of %zu bytes", key.len);
		}
		if (e)
			return e;
	}
	return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* --- folders that no collection has: of creations that a crash ended, of dropped collections --- */

static void remove_files(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		if (entry->d_name[0] == 'v') /* v0.slots, v0.manifest, v0-1.segment */
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

static void remove_folder(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return;
	for (uint32_t i = 0; i < COLLECTION_SHARDS_MAX; i++) {
		char shard[FOLDER_NAME_BYTES];

		snprintf(shard, sizeof(shard), "shard-%u", i);
		remove_files(fd, shard);
		(void)unlinkat(fd, shard, AT_REMOVEDIR); /* litter at worst, here and below */
	}
	(void)close(fd);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

static void sweep_folders(const struct catalog *c)
{
	DIR *dir = c->dir ? opendir(c->dir) : NULL;

	if (!dir)
		return;
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		struct incarnation i = { 0 };
		unsigned region;
		char name[FOLDER_NAME_BYTES];

		if (sscanf(entry->d_name, "%16" SCNx64 "-%u", &i.hlc, &region) != 2 || region > UINT8_MAX)
			continue;
		i.region = (uint8_t)region;
		folder_name(i, name);
		if (strcmp(name, entry->d_name) == 0 && !find_incarnation(c, i))
			remove_folder(dirfd(dir), name);
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

enum err catalog_open(const struct catalog_options *o, struct catalog **ret_catalog, struct fault *reterr_fault)
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
	arena_init(&c->pending_arena, SIZE_MAX);
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
	while (!c->stop && c->kicks == *seen && pthread_cond_timedwait(&c->wake, &c->wake_lock, &idle) == 0)
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

static void kick(struct catalog *c)
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
	void *(*const runs[BUILDER_THREADS])(void *arg) = { run_builder, run_filler };
	size_t cursor = 0;
	struct str name;
	void *value;

	while (map_next(&c->by_name, &cursor, &name, &value)) {
		enum err e = collection_start(value, reterr_fault);

		if (e)
			return e;
	}
	for (unsigned i = 0; c->options.builder_threads && i < BUILDER_THREADS; i++) {
		if (pthread_create(&c->threads[i], NULL, runs[i], c))
			return fault_set(reterr_fault, ERR_NO_MEMORY, "starting a builder thread failed");
		pthread_setname_np(c->threads[i], i == 0 ? "builder" : "index-filler");
		c->thread_count++;
	}
	atomic_store(&c->ready, true);
	return ERR_NONE;
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

static void gone_release(struct gone *g)
{
	/* Its files go with it: rows that are left are nobody's. */
	collection_free(g->collection, true);
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
		gone_release(&c->gone[i]);
	free(c->gone);
	free(c->pending);
	arena_release(&c->pending_arena);
	map_release(&c->by_name);
	map_release(&c->by_incarnation);
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

static struct pending_collection *pending_by_incarnation(const struct catalog *c, struct incarnation i)
{
	for (uint32_t n = 0; n < c->pending_count; n++)
		if (same_incarnation(c->pending[n].collection->incarnation, i))
			return &c->pending[n];
	return NULL;
}

struct collection *catalog_get_incarnation(struct catalog *c, struct incarnation i)
{
	if (is_writer(c)) {
		const struct pending_collection *p = pending_by_incarnation(c, i);

		if (p)
			return p->dropped ? NULL : collection_ref(p->collection);
	}
	pthread_rwlock_rdlock(&c->lock);
	struct collection *found = find_incarnation(c, i);

	if (found)
		collection_ref(found);
	pthread_rwlock_unlock(&c->lock);
	return found;
}

/* The collection that a transaction has given the name to; *ret_hidden: it took the name away. */
static struct collection *pending_by_name(const struct catalog *c, struct str name, bool *ret_hidden)
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

struct collection *catalog_get(struct catalog *c, struct str name)
{
	if (is_writer(c)) {
		bool hidden;
		struct collection *p = pending_by_name(c, name, &hidden);

		if (p || hidden)
			return p ? collection_ref(p) : NULL;
	}
	pthread_rwlock_rdlock(&c->lock);
	struct collection *found = map_get(&c->by_name, name);

	if (found)
		collection_ref(found);
	pthread_rwlock_unlock(&c->lock);
	return found;
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
	const struct collection *x = *(struct collection *const *)a, *y = *(struct collection *const *)b;

	return strcmp(x->name, y->name);
}

enum err catalog_list(struct catalog *c, struct arena *a, struct collection ***ret_items, uint32_t *ret_count)
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

/* --- changing --- */

static enum err pending_add(struct catalog *c, const struct pending_collection *p)
{
	if (c->pending_count == c->pending_cap) {
		uint32_t cap = c->pending_cap ? c->pending_cap * 2 : 4;
		struct pending_collection *pending = reallocarray(c->pending, cap, sizeof(*pending));

		if (!pending)
			return ERR_NO_MEMORY;
		c->pending = pending;
		c->pending_cap = cap;
	}
	c->pending[c->pending_count++] = *p;
	atomic_store(&c->writer, (unsigned long)pthread_self());
	return ERR_NONE;
}

/* The collection as the transaction has it, ready to be changed. ERR_NOT_FOUND. */
static enum err pending_of(struct catalog *c, struct incarnation i, struct pending_collection **ret_pending)
{
	struct pending_collection *known = pending_by_incarnation(c, i);

	if (known && known->dropped)
		return ERR_NOT_FOUND;
	if (known) {
		*ret_pending = known;
		return ERR_NONE;
	}
	struct collection *found = find_incarnation(c, i);

	if (!found)
		return ERR_NOT_FOUND;
	struct pending_collection p = {
		.collection = found,
		.name = arena_str(&c->pending_arena, (struct str){ .data = found->name, .len = strlen(found->name) }),
		.config = *collection_config(found),
		.uids = arena_array(&c->pending_arena, found->shard_count, sizeof(*p.uids)),
	};

	if (!p.name.data || !p.uids)
		return ERR_NO_MEMORY;
	for (uint32_t n = 0; n < found->shard_count; n++)
		p.uids[n] = found->shards[n]->uid;
	enum err e = field_list_copy(&found->fields, &c->pending_arena, &p.fields);

	if (!e)
		e = pending_add(c, &p);
	if (!e)
		*ret_pending = &c->pending[c->pending_count - 1];
	return e;
}

static enum err record_save(struct catalog *c, struct store_txn *t, const struct pending_collection *p)
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
					  (struct bytes){ .data = (const uint8_t *)UID_KEY, .len = strlen(UID_KEY) },
					  buf_bytes(&b));
}

static enum err check_new(struct catalog *c, struct store_txn *t, struct str name, struct incarnation i,
			  const struct collection_config *config, struct fault *reterr_fault)
{
	struct incarnation existing;
	uint8_t key[CATALOG_KEY_BYTES];
	struct bytes value;

	if (name.len == 0 || name.len > COLLECTION_NAME_MAX || memchr(name.data, 0, name.len))
		return fault_set(reterr_fault, ERR_BAD_INPUT, "the name of a collection has 1 to %d bytes",
				 COLLECTION_NAME_MAX);
	if (catalog_has(c, name, &existing))
		return fault_set(reterr_fault, ERR_ALREADY_EXISTS, "Collection `%.*s` already exists!",
				 STR_FMT(name));
	catalog_key(i, key);
	enum err e = c->options.store->ops->get(t, STORE_CATALOG, key_bytes(key), &value);

	if (!e)
		return fault_set(reterr_fault, ERR_ALREADY_EXISTS,
				 "collection `%.*s`: this incarnation exists already", STR_FMT(name));
	return e == ERR_NOT_FOUND ? catalog_config_check(config, reterr_fault) : e;
}

static enum err create(struct catalog *c, struct store_txn *t, struct incarnation i, struct pending_collection *p,
		       struct fault *reterr_fault)
{
	struct catalog_record r = { .name = p->name, .config = p->config, .uids = p->uids };
	enum err e = take_uids(c, t, p->config.shard_number, p->uids);

	if (!e)
		e = make_collection(c, i, &r, &p->collection, reterr_fault);
	if (e)
		return e;
	e = collection_start(p->collection, reterr_fault);
	if (!e)
		e = record_save(c, t, p);
	if (!e)
		e = pending_add(c, p);
	if (e)
		collection_free(p->collection, true);
	return e;
}

enum err catalog_create(struct catalog *c, struct store_txn *t, struct str name, struct incarnation i,
			const struct collection_config *config, struct fault *reterr_fault)
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

	e = p.name.data && p.uids ? collection_config_copy(config, &c->pending_arena, &p.config) : ERR_NO_MEMORY;
	if (!e)
		e = create(c, t, i, &p, &why);
	if (!e)
		return ERR_NONE;
	why.err = e;
	return fault_set(reterr_fault, e, "creating collection `%.*s`: %.200s", STR_FMT(name), fault_text(&why));
}

static bool same_vectors(const struct collection_config *a, const struct collection_config *b)
{
	if (a->vector_count != b->vector_count || a->shard_number != b->shard_number)
		return false;
	for (uint32_t i = 0; i < a->vector_count; i++) {
		const struct vector_config *x = &a->vectors[i], *y = &b->vectors[i];

		if (str_compare(x->name, y->name) != 0 || x->sparse != y->sparse)
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
	enum err e = pending_of(c, i, &p);

	if (e)
		return change_failed(e, reterr_fault);
	if (!same_vectors(&p->config, config))
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "names, sizes and distances of vectors, and the number of shards, cannot be changed");
	e = collection_config_copy(config, &c->pending_arena, &p->config);
	p->config_changed = true;
	if (!e)
		e = record_save(c, t, p);
	return e ? change_failed(e, reterr_fault) : ERR_NONE;
}

enum err catalog_drop(struct catalog *c, struct store_txn *t, struct incarnation i, struct fault *reterr_fault)
{
	struct pending_collection *p;
	enum err e = pending_of(c, i, &p);

	if (!e) {
		p->dropped = true;
		e = record_save(c, t, p);
	}
	return e ? change_failed(e, reterr_fault) : ERR_NONE;
}

static uint32_t field_at(const struct field_list *l, struct str key)
{
	uint32_t i = 0;

	while (i < l->count && str_compare(l->items[i].key, key) != 0)
		i++;
	return i;
}

enum err catalog_field_index_put(struct catalog *c, struct store_txn *t, struct incarnation i,
				 const struct field_index_config *config, struct fault *reterr_fault)
{
	struct path path;
	struct pending_collection *p;
	enum err e = path_parse(config->key, &path, reterr_fault);

	if (e)
		return e;
	e = pending_of(c, i, &p);
	if (e)
		return change_failed(e, reterr_fault);
	uint32_t at = field_at(&p->fields, config->key);

	if (at == CATALOG_FIELDS_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "a collection has at most %d payload indexes",
				 CATALOG_FIELDS_MAX);
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
		e = record_save(c, t, p);
	return e ? change_failed(e, reterr_fault) : ERR_NONE;
}

enum err catalog_field_index_drop(struct catalog *c, struct store_txn *t, struct incarnation i, struct str key)
{
	struct pending_collection *p;
	enum err e = pending_of(c, i, &p);

	if (e)
		return e;
	uint32_t at = field_at(&p->fields, key);

	if (at == p->fields.count)
		return ERR_NONE;
	p->fields.items[at] = p->fields.items[--p->fields.count];
	p->fields_changed = true;
	return record_save(c, t, p);
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
		enum err e = c->pending[i].created ? collection_sync(c->pending[i].collection, reterr_fault) : ERR_NONE;

		if (e)
			return e;
	}
	return ERR_NONE;
}

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

static enum err save_trees(struct catalog *c, struct store_txn *t, struct collection *collection)
{
	for (uint32_t i = 0; i < collection->shard_count; i++) {
		const struct shard *s = collection->shards[i];
		uint8_t prefix[SHARD_KEY_BYTES];

		shard_key(s->uid, 0, prefix);
		enum err e = merkle_save(s->merkle, c->options.store, t, (struct bytes){ .data = prefix, .len = 4 });

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
		enum err e = g->stored && !g->collection && !g->purged ? purge(c, t, g, &budget) : ERR_NONE;

		if (e)
			return e;
	}
	return ERR_NONE;
}

static void publish_dropped(struct catalog *c, const struct pending_collection *p, bool stored)
{
	struct gone g = {
		.collection = p->collection,
		.incarnation = p->collection->incarnation,
		.uids = copy_uids(p->uids, p->collection->shard_count),
		.uid_count = p->collection->shard_count,
		.stored = stored,
	};

	if (!g.uids || gone_add(c, &g))
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

		if (p->dropped && !p->created) {
			catalog_key(p->collection->incarnation, key);
			(void)map_remove(&c->by_name, p->name); /* it is in gone */
			(void)map_remove(&c->by_incarnation, key_str(key));
		} else if (p->created && !p->dropped) {
			if (maps_add(c, p->name, p->collection))
				PANIC("what was committed cannot be shown: out of memory");
		}
	}
	pthread_rwlock_unlock(&c->lock);
}

/* Frees what nobody refers to any more, and forgets what has left no trace in the store. */
static void sweep_gone(struct catalog *c)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < c->gone_count; i++) {
		struct gone *g = &c->gone[i];

		if (g->collection && atomic_load_explicit(&g->collection->refs, memory_order_acquire) == 1) {
			collection_free(g->collection, true);
			g->collection = NULL;
		}
		if (!g->collection && (g->purged || !g->stored))
			gone_release(g);
		else
			c->gone[kept++] = *g;
	}
	c->gone_count = kept;
}

static void pending_close(struct catalog *c)
{
	atomic_store(&c->writer, 0);
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
		if (c->pending[i].created && !c->pending[i].dropped)
			collection_publish(c->pending[i].collection);
	publish_names(c);
	c->next_uid = c->pending_uid;
	pending_close(c);
	sweep_gone(c);
	kick(c);
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
		if (!c->pending[i].created)
			continue;
		collection_abandon(c->pending[i].collection);
		publish_dropped(c, &c->pending[i], false);
	}
	for (uint32_t i = 0; i < c->gone_count; i++)
		c->gone[i].purged = false;
	c->pending_uid = c->next_uid;
	pending_close(c);
	sweep_gone(c);
}
