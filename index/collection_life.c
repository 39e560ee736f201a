/* SPDX-License-Identifier: Apache-2.0 */
#include "index/collection_inner.h"

#include "base/panic.h"
#include "index/order.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Rows that one step adds to a payload index, under the lock. */
#define FILL_ROWS 512u
/* Rows of a shard up to which an index is complete as soon as it is there. */
#define FILL_AT_PUBLISH_ROWS 16384u
#define PATH_BYTES 4096

/* --- copies --- */

static enum err copy_bytes(struct bytes from, struct arena *a, struct bytes *ret_copy)
{
	uint8_t *copy = arena_alloc(a, from.len);

	if (!copy)
		return ERR_NO_MEMORY;
	if (from.len)
		memcpy(copy, from.data, from.len);
	*ret_copy = (struct bytes){ .data = copy, .len = from.len };
	return ERR_NONE;
}

enum err collection_config_copy(const struct collection_config *from, struct arena *a,
				struct collection_config *ret_config)
{
	struct collection_config c = *from;

	c.vectors = arena_array(a, from->vector_count, sizeof(*c.vectors));
	if (!c.vectors)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < from->vector_count; i++) {
		c.vectors[i] = from->vectors[i];
		c.vectors[i].name = arena_str(a, from->vectors[i].name);
		if (!c.vectors[i].name.data)
			return ERR_NO_MEMORY;
	}
	enum err e = copy_bytes(from->client_config, a, &c.client_config);

	if (!e)
		*ret_config = c;
	return e;
}

enum err field_list_copy(const struct field_list *from, struct arena *a,
			 struct field_list *ret_list)
{
	struct field_list l = { .count = from->count };

	l.items = arena_array(a, from->count, sizeof(*l.items));
	if (!l.items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < from->count; i++) {
		l.items[i] = from->items[i];
		l.items[i].key = arena_str(a, from->items[i].key);
		enum err e = copy_bytes(from->items[i].client_params, a, &l.items[i].client_params);

		if (e || !l.items[i].key.data)
			return ERR_NO_MEMORY;
	}
	*ret_list = l;
	return ERR_NONE;
}

static enum err config_copy_new(const struct collection_config *config,
				struct config_copy **ret_copy)
{
	struct config_copy *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return ERR_NO_MEMORY;
	arena_init(&copy->arena, SIZE_MAX);
	enum err e = collection_config_copy(config, &copy->arena, &copy->config);

	if (e) {
		arena_release(&copy->arena);
		free(copy);
		return e;
	}
	*ret_copy = copy;
	return ERR_NONE;
}

/* --- folders --- */

static enum err sync_folder(const char *path, struct fault *reterr_fault)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : fsync(fd);
	int errnum = errno;

	if (fd >= 0)
		(void)close(fd);
	if (rc < 0)
		return fault_set(reterr_fault, err_from_errno(errnum), "syncing %s: %s", path,
				 strerror(errnum));
	return ERR_NONE;
}

/* Durably: what is in it will be. */
static enum err make_folder(const char *path, struct fault *reterr_fault)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		int errnum = errno;

		return fault_set(reterr_fault, err_from_errno(errnum), "making %s: %s", path,
				 strerror(errnum));
	}
	return ERR_NONE;
}

static enum err make_folders(const struct collection_options *o, struct fault *reterr_fault)
{
	char path[PATH_BYTES];
	enum err e = make_folder(o->dir, reterr_fault);

	for (uint32_t i = 0; !e && i < o->config->shard_number; i++) {
		snprintf(path, sizeof(path), "%s/shard-%u", o->dir, i);
		e = make_folder(path, reterr_fault);
	}
	if (!e)
		e = sync_folder(o->dir, reterr_fault);
	if (e)
		return e;
	snprintf(path, sizeof(path), "%s/..", o->dir);
	return sync_folder(path, reterr_fault);
}

/* --- life --- */

/* Commas separate the values of labels. */
static void label_of(struct str name, char out[COLLECTION_NAME_MAX + 1])
{
	snprintf(out, COLLECTION_NAME_MAX + 1, "%.*s", STR_FMT(name));
	for (char *p = out; *p; p++)
		if (*p == ',')
			*p = '_';
}

static enum err shards_new(struct collection *c, const struct collection_options *o,
			   struct fault *reterr_fault)
{
	char label[COLLECTION_NAME_MAX + 1];
	char path[PATH_BYTES];

	label_of(o->name, label);
	c->shards = calloc(o->config->shard_number, sizeof(struct shard *));
	if (!c->shards)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < o->config->shard_number; i++) {
		struct shard_options options = {
			.store = o->store,
			.gate = o->gate,
			.dir = o->dir ? path : NULL,
			.number = i,
			.uid = o->uids[i],
			.incarnation = o->incarnation,
			.config = &c->configs->config,
			.collection_label = o->unmetered ? NULL : label,
			.tail_vectors_max = o->tail_vectors_max,
			.build_threads = o->build_threads,
		};

		snprintf(path, sizeof(path), "%s/shard-%u", o->dir ? o->dir : "", i);
		enum err e = shard_new(&options, &c->shards[i], reterr_fault);

		if (e)
			return e;
		c->shard_count++;
	}
	return ERR_NONE;
}

enum err collection_new(const struct collection_options *o, struct collection **ret_collection,
			struct fault *reterr_fault)
{
	struct collection *c = calloc(1, sizeof(*c));

	if (!c)
		return fault_set(reterr_fault, ERR_NO_MEMORY,
				 "opening a collection: out of memory");
	if (pthread_mutex_init(&c->lock, NULL)) {
		free(c);
		return fault_set(reterr_fault, ERR_NO_MEMORY,
				 "opening a collection: out of memory");
	}
	atomic_init(&c->refs, 1);
	atomic_init(&c->cancel, false);
	arena_init(&c->field_arena, SIZE_MAX);
	c->incarnation = o->incarnation;
	c->store = o->store;
	c->build_threads = o->build_threads;
	c->tail_vectors_max = o->tail_vectors_max;
	c->name = str_dup(o->name);
	c->dir = o->dir ? strdup(o->dir) : NULL;
	enum err e = !c->name || (o->dir && !c->dir) ? ERR_NO_MEMORY : ERR_NONE;

	if (!e)
		e = config_copy_new(o->config, &c->configs);
	if (!e)
		atomic_store(&c->config, &c->configs->config);
	if (!e && c->dir)
		e = make_folders(o, reterr_fault);
	if (!e)
		e = shards_new(c, o, reterr_fault);
	if (e) {
		collection_free(c, false);
		return e;
	}
	*ret_collection = c;
	return ERR_NONE;
}

void collection_free(struct collection *c, bool remove)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->shard_count; i++)
		shard_free(c->shards[i], remove);
	free(c->shards);
	if (remove && c->dir)
		(void)rmdir(c->dir); /* litter at worst */
	while (c->configs) {
		struct config_copy *copy = c->configs;

		c->configs = copy->next;
		arena_release(&copy->arena);
		free(copy);
	}
	arena_release(&c->field_arena);
	pthread_mutex_destroy(&c->lock);
	free(c->name);
	free(c->dir);
	free(c);
}

struct collection *collection_ref(struct collection *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void collection_unref(struct collection *c)
{
	/* The catalog frees what only it refers to. */
	if (c)
		atomic_fetch_sub_explicit(&c->refs, 1, memory_order_release);
}

struct str collection_name(struct collection *c, struct arena *a)
{
	pthread_mutex_lock(&c->lock);
	struct str name = arena_str(a, (struct str){ .data = c->name, .len = strlen(c->name) });

	pthread_mutex_unlock(&c->lock);
	return name;
}

enum err collection_load(struct collection *c, struct store_txn *t, const struct field_list *fields,
			 struct fault *reterr_fault)
{
	enum err e = field_list_copy(fields, &c->field_arena, &c->fields);

	for (uint32_t i = 0; !e && i < c->shard_count; i++) {
		for (uint32_t k = 0; !e && k < fields->count; k++)
			e = shard_field_put(c->shards[i], &fields->items[k], reterr_fault);
		if (!e)
			e = shard_load(c->shards[i], t, reterr_fault);
	}
	return e;
}

enum err collection_load_slots(struct collection *c, struct store_txn *t)
{
	enum err e = ERR_NONE;

	for (uint32_t i = 0; !e && i < c->shard_count; i++)
		e = shard_load_slots(c->shards[i], t);
	return e;
}

void collection_hollow(struct collection *c)
{
	for (uint32_t i = 0; i < c->shard_count; i++)
		shard_hollow(c->shards[i]);
}

enum err collection_start(struct collection *c, struct fault *reterr_fault)
{
	/* One that an op made before the others were started needs no second start. */
	for (uint32_t i = 0; !c->started && i < c->shard_count; i++) {
		enum err e = shard_start(c->shards[i], reterr_fault);

		if (e)
			return e;
	}
	c->started = true;
	return ERR_NONE;
}

void collection_mended_add(const struct collection *c, struct catalog_mended *mended)
{
	for (uint32_t i = 0; i < c->shard_count; i++)
		for (uint32_t k = 0; k < c->shards[i]->config->vector_count; k++) {
			const struct dense *d = c->shards[i]->vectors[k].dense;

			if (!d || !d->rebuilt)
				continue;
			mended->files++;
			mended->wrong_values += d->disproved;
		}
}

void collection_end(struct collection *c)
{
	atomic_store(&c->cancel, true);
	for (uint32_t i = 0; i < c->shard_count; i++)
		if (c->shards[i]->points_series)
			metric_series_set(c->shards[i]->points_series, 0);
}

/* --- changes --- */

void collection_set_config(struct collection *c, const struct collection_config *config)
{
	struct config_copy *copy;

	if (config_copy_new(config, &copy))
		PANIC("what was committed cannot be shown: out of memory");
	pthread_mutex_lock(&c->lock);
	copy->next = c->configs;
	c->configs = copy;
	pthread_mutex_unlock(&c->lock);
	atomic_store(&c->config, &copy->config);
	for (uint32_t i = 0; i < c->shard_count; i++)
		shard_configure(c->shards[i], &copy->config, c->tail_vectors_max);
}

static const struct field_index_config *find_field(const struct field_list *l, struct str key)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (str_compare(l->items[i].key, key) == 0)
			return &l->items[i];
	return NULL;
}

static void change_shard_fields(struct shard *s, const struct field_list *before,
				const struct field_list *after)
{
	for (uint32_t i = 0; i < before->count; i++)
		if (!find_field(after, before->items[i].key))
			shard_field_drop(s, before->items[i].key);
	for (uint32_t i = 0; i < after->count; i++) {
		const struct field_index_config *old = find_field(before, after->items[i].key);

		if ((!old || old->schema != after->items[i].schema) &&
		    shard_field_put(s, &after->items[i], NULL))
			PANIC("what was committed cannot be shown: out of memory");
	}
	/* Small ones at once; an index that is not complete serves no search. */
	bool more = true;

	for (uint32_t rows = 0; more && rows < FILL_AT_PUBLISH_ROWS; rows += FILL_ROWS)
		if (shard_fields_fill(s, FILL_ROWS, &more))
			return;
}

void collection_set_fields(struct collection *c, const struct field_list *fields)
{
	struct arena a;
	struct field_list copy;

	arena_init(&a, SIZE_MAX);
	if (field_list_copy(fields, &a, &copy))
		PANIC("what was committed cannot be shown: out of memory");
	for (uint32_t i = 0; i < c->shard_count; i++)
		change_shard_fields(c->shards[i], &c->fields, &copy);
	pthread_mutex_lock(&c->lock);
	struct arena old = c->field_arena;

	c->field_arena = a;
	c->fields = copy;
	pthread_mutex_unlock(&c->lock);
	arena_release(&old);
}

/* --- background work --- */

enum err collection_fill(struct collection *c)
{
	for (uint32_t i = 0; i < c->shard_count; i++) {
		for (bool more = true; more && !atomic_load(&c->cancel);) {
			enum err e = shard_fields_fill(c->shards[i], FILL_ROWS, &more);

			if (e)
				return e;
		}
	}
	return ERR_NONE;
}

enum err collection_build(struct collection *c, bool now, struct fault *reterr_fault)
{
	for (uint32_t i = 0; i < c->shard_count; i++) {
		for (bool built = true; built && !atomic_load(&c->cancel);) {
			enum err e =
				shard_build(c->shards[i], now, &c->cancel, &built, reterr_fault);

			if (e && e != ERR_CANCELLED)
				return e;
		}
	}
	return ERR_NONE;
}
