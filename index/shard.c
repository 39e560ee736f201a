/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life and figures of a shard. Writing is in shard_write.c, filters in shard_filter.c, searches in
 * shard_search.c, other reading in shard_read.c.
 */
#include "index/shard.h"

#include "base/clock.h"
#include "base/wire.h"
#include "index/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No graph below this many vectors, whatever the threshold in kilobytes says. */
#define TAIL_MIN 1000u
/* How long a reader waits for a publish before it looks at its deadline. */
#define GATE_WAIT_MS 50

void shard_key(uint32_t uid, uint32_t row, uint8_t out[SHARD_KEY_BYTES])
{
	for (int i = 0; i < 4; i++) {
		out[i] = (uint8_t)(uid >> (24 - 8 * i));
		out[4 + i] = (uint8_t)(row >> (24 - 8 * i));
	}
}

uint32_t shard_tail_max(const struct collection_config *config, const struct vector_config *v,
			uint32_t tail_vectors_max)
{
	bool no_graph = v->sparse || v->multi || vector_config_distance(v) == DISTANCE_COSINE_OF_ANY;

	if (no_graph || v->hnsw.m == 0 || config->indexing_threshold_kb == 0)
		return DENSE_NEVER;
	if (tail_vectors_max)
		return tail_vectors_max;
	uint64_t vectors = config->indexing_threshold_kb / sizeof(float) * 1024 / MAX(v->dim, 1u);

	return (uint32_t)MIN(MAX(vectors, (uint64_t)TAIL_MIN), (uint64_t)DENSE_NEVER - 1);
}

/* --- making and freeing --- */

enum err gate_init(struct gate *g)
{
	pthread_condattr_t monotonic;

	g->shards = 0;
	atomic_init(&g->count, 0);
	atomic_init(&g->writer, 0);
	if (pthread_condattr_init(&monotonic))
		return ERR_NO_MEMORY;
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	int rc = pthread_cond_init(&g->passed, &monotonic);

	pthread_condattr_destroy(&monotonic);
	if (rc)
		return ERR_NO_MEMORY;
	if (pthread_mutex_init(&g->lock, NULL)) {
		pthread_cond_destroy(&g->passed);
		return ERR_NO_MEMORY;
	}
	return ERR_NONE;
}

void gate_release(struct gate *g)
{
	pthread_cond_destroy(&g->passed);
	pthread_mutex_destroy(&g->lock);
}

enum err gate_wait(struct gate *g, uint64_t seen)
{
	struct timespec until;

	if (atomic_load(&g->writer) == (unsigned long)pthread_self())
		return ERR_UNAVAILABLE;
	clock_wait_deadline(GATE_WAIT_MS, &until);
	pthread_mutex_lock(&g->lock);
	while (gate_count(g) == seen && pthread_cond_timedwait(&g->passed, &g->lock, &until) == 0)
		;
	pthread_mutex_unlock(&g->lock);
	return ERR_NONE;
}

static enum err lock_init(struct shard *s)
{
	pthread_rwlockattr_t prefer_writer;

	if (pthread_rwlockattr_init(&prefer_writer))
		return ERR_NO_MEMORY;
	/* Searches never end in a busy shard; publishing must get its turn. */
	pthread_rwlockattr_setkind_np(&prefer_writer, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	int rc = pthread_rwlock_init(&s->lock, &prefer_writer);

	pthread_rwlockattr_destroy(&prefer_writer);
	return rc ? ERR_NO_MEMORY : ERR_NONE;
}

static enum err vectors_open(struct shard *s, const struct shard_options *o,
			     struct fault *reterr_fault)
{
	for (uint32_t i = 0; i < o->config->vector_count; i++) {
		const struct vector_config *v = &o->config->vectors[i];
		struct dense_options dense = {
			.dir = o->dir,
			.index = i,
			.dim = v->dim,
			.distance = vector_config_distance(v),
			.hnsw = v->hnsw,
			.tail_max = shard_tail_max(o->config, v, o->tail_vectors_max),
			.build_threads = o->build_threads,
		};
		enum err e = v->sparse ? sparse_new(&s->vectors[i].sparse)
			     : v->multi ? multi_new(v, &s->vectors[i].multi)
				       : dense_open(&dense, &s->vectors[i].dense, reterr_fault);

		if (e)
			return e;
	}
	return ERR_NONE;
}

void shard_tell_points(struct shard *s)
{
	if (s->points_series)
		metric_series_set(s->points_series, (double)shard_points(s));
}

static void series_find(struct shard *s, const char *collection_label)
{
	char labels[COLLECTION_NAME_MAX + 16];

	if (!collection_label)
		return;
	snprintf(labels, sizeof(labels), "%s,%u", collection_label, s->number);
	s->searches_series = metric_series(METRIC_isthmus_shard_searches_total, labels);
	s->points_series = metric_series(METRIC_isthmus_shard_points, labels);
	metric_series_set(s->points_series, 0);
}

enum err shard_new(const struct shard_options *o, struct shard **ret_shard,
		   struct fault *reterr_fault)
{
	struct shard *s = calloc(1, sizeof(*s));

	if (!s)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "opening a shard: out of memory");
	enum err e = lock_init(s);

	if (e) {
		free(s);
		return e;
	}
	s->number = o->number;
	s->uid = o->uid;
	s->store = o->store;
	s->gate = o->gate;
	s->incarnation = o->incarnation;
	s->config = o->config;
	s->vectors = calloc((size_t)o->config->vector_count + 1, sizeof(*s->vectors));
	s->dir = o->dir ? strdup(o->dir) : NULL;
	if (!s->vectors || (o->dir && !s->dir))
		e = ERR_NO_MEMORY;
	if (!e)
		e = id_map_new(&s->ids);
	if (!e)
		e = merkle_new(MERKLE_BITS_DEFAULT, &s->merkle);
	if (!e)
		e = vectors_open(s, o, reterr_fault);
	if (e) {
		shard_free(s, false);
		return e;
	}
	series_find(s, o->collection_label);
	*ret_shard = s;
	return ERR_NONE;
}

void shard_hollow(struct shard *s)
{
	shard_abandon(s);
	for (uint32_t i = 0; s->vectors && i < s->config->vector_count; i++) {
		dense_hollow(s->vectors[i].dense);
		sparse_free(TAKE(s->vectors[i].sparse));
		multi_free(TAKE(s->vectors[i].multi));
	}
	for (uint32_t i = 0; i < s->field_count; i++)
		field_index_free(s->fields[i].index);
	s->field_count = s->field_cap = 0;
	id_map_free(TAKE(s->ids));
	merkle_free(TAKE(s->merkle));
	free(TAKE(s->fields));
	free(TAKE(s->rows));
	free(TAKE(s->free_rows));
	s->row_count = s->row_cap = s->free_count = s->free_cap = 0;
	s->visible = 0;
}

void shard_free(struct shard *s, bool remove)
{
	if (!s)
		return;
	shard_abandon(s);
	for (uint32_t i = 0; s->vectors && i < s->config->vector_count; i++) {
		dense_close(s->vectors[i].dense, remove);
		sparse_free(s->vectors[i].sparse);
		multi_free(s->vectors[i].multi);
	}
	for (uint32_t i = 0; i < s->field_count; i++)
		field_index_free(s->fields[i].index);
	if (remove && s->dir)
		(void)rmdir(s->dir); /* litter at worst */
	id_map_free(s->ids);
	merkle_free(s->merkle);
	free(s->vectors);
	free(s->fields);
	free(s->rows);
	free(s->free_rows);
	free(s->broken);
	free(s->pending.rows);
	free(s->pending.table);
	free(s->pending.undo);
	free(s->pending.slots);
	free(s->given_back);
	free(s->dir);
	pthread_rwlock_destroy(&s->lock);
	free(s);
}

/* --- start --- */

/* Slots in memory: their values were stored beside the rows. */
static enum err restore_slots(struct shard *s, struct store_cursor *c)
{
	const struct store_ops *ops = s->store->ops;
	uint8_t first[SHARD_KEY_BYTES];
	struct bytes key, value;

	shard_key(s->uid, SHARD_SLOTS_ROW, first);
	enum err e =
		ops->seek(c, (struct bytes){ .data = first, .len = sizeof(first) }, &key, &value);

	for (; !e; e = ops->next(c, &key, &value)) {
		if (key.len != 16 || memcmp(key.data, first, sizeof(first)) != 0)
			return ERR_NONE;
		struct wire_reader r = wire_reader_of(key.data + sizeof(first), 8);
		uint32_t vector = wire_u32_be(&r);
		uint32_t slot = wire_u32_be(&r);

		if (vector >= s->config->vector_count || !s->vectors[vector].dense)
			return ERR_CORRUPT;
		struct dense *d = s->vectors[vector].dense;

		if (value.len != d->slots->record_bytes)
			return ERR_CORRUPT;
		e = dense_restore(d, slot, value.data);
		if (e)
			return e;
	}
	return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

int shard_find_vector(const struct collection_config *config, struct str name)
{
	for (uint32_t i = 0; i < config->vector_count; i++)
		if (str_compare(config->vectors[i].name, name) == 0)
			return (int)i;
	return -1;
}

static enum err load_vectors(struct shard *s, uint32_t number, const struct row *row,
			     struct fault *reterr_fault)
{
	for (uint32_t i = 0; i < row->vector_count; i++) {
		const struct row_vector *v = &row->vectors[i];
		int at = shard_find_vector(s->config, v->name);

		if (!v->present)
			continue;
		if (at < 0)
			return ERR_CORRUPT;
		struct dense *d = s->vectors[at].dense;
		enum err e = ERR_NONE;

		if (d) {
			e = dense_mark(d, v->slot, &v->hash, reterr_fault);
			if (!e)
				e = dense_reserve(d, number + 1, 1);
			if (!e && row->visible)
				dense_set(d, number, v->slot);
		} else if (s->vectors[at].multi && row->visible) {
			e = multi_set(s->vectors[at].multi, number, &v->vector);
		} else if (row->visible) {
			e = sparse_change(s->vectors[at].sparse, number, NULL, &v->vector);
		}
		if (e)
			return e;
	}
	return ERR_NONE;
}

static enum err load_fields(struct shard *s, uint32_t number, const struct row *row)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(SIZE_MAX);

	if (s->field_count == 0 || !row->visible)
		return ERR_NONE;
	enum err e = row_payload(row, &payload);

	for (uint32_t i = 0; !e && i < s->field_count; i++)
		e = field_index_add(s->fields[i].index, number, value_of_buf(&payload));
	return e;
}

enum err shard_reserve_rows(struct shard *s, uint32_t count)
{
	if (count <= s->row_cap)
		return ERR_NONE;
	uint64_t cap = MAX((uint64_t)count, (uint64_t)s->row_cap * 3 / 2 + 64);
	struct row_state *rows = reallocarray(s->rows, cap, sizeof(*rows));

	if (!rows)
		return ERR_NO_MEMORY;
	s->rows = rows;
	s->row_cap = (uint32_t)MIN(cap, (uint64_t)UINT32_MAX);
	return ERR_NONE;
}

enum err shard_free_row_add(struct shard *s, uint32_t number)
{
	if (s->free_count == s->free_cap) {
		uint32_t cap = s->free_cap ? s->free_cap * 2 : 64;
		uint32_t *rows = reallocarray(s->free_rows, cap, sizeof(*rows));

		if (!rows)
			return ERR_NO_MEMORY;
		s->free_rows = rows;
		s->free_cap = cap;
	}
	s->free_rows[s->free_count++] = number;
	return ERR_NONE;
}

static enum err load_numbers(struct shard *s, uint32_t number)
{
	enum err e = shard_reserve_rows(s, number + 1);

	for (; !e && s->row_count < number; s->row_count++) {
		s->rows[s->row_count] = (struct row_state){ 0 };
		e = shard_free_row_add(s, s->row_count);
	}
	return e;
}

/* It fails its checksum. The other rows are served; an audit finds what is missing, and puts it right. */
static enum err load_broken(struct shard *s, uint32_t number, struct bytes record)
{
	if (s->broken_count == SHARD_BROKEN_MAX)
		return ERR_CORRUPT;
	struct broken_row *broken = reallocarray(s->broken, s->broken_count + 1, sizeof(*broken));
	enum err e = broken ? load_numbers(s, number) : ERR_NO_MEMORY;

	if (broken)
		s->broken = broken;
	if (e)
		return e;
	struct broken_row *b = &s->broken[s->broken_count++];

	*b = (struct broken_row){ .number = number };
	b->has_id = row_peek_id(record, &b->id);
	s->rows[number] = (struct row_state){ 0 };
	s->row_count = number + 1;
	metric_add(METRIC_isthmus_unreadable_rows_total, 1);
	return ERR_NONE;
}

static enum err load_row(struct shard *s, uint32_t number, struct bytes record,
			 struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct row row;

	arena_init(&a, SIZE_MAX);
	enum err e = row_decode(record, &a, &row);

	if (e == ERR_CORRUPT)
		return load_broken(s, number, record);
	if (!e)
		e = load_numbers(s, number);
	if (e)
		return e;
	s->rows[number] = (struct row_state){
		.hi = row.id.hi,
		.lo = row.id.lo,
		.kind = row.id.kind,
		.op_number = row.op_number,
		.visible = row.visible,
	};
	s->row_count = number + 1;
	s->visible += row.visible;
	struct hash128 digest = row_digest(&row, s->incarnation);

	merkle_change(s->merkle, row.id, NULL, &digest);
	e = id_map_put(s->ids, row.id, number);
	if (!e)
		e = load_vectors(s, number, &row, reterr_fault);
	if (!e)
		e = load_fields(s, number, &row);
	return e;
}

static enum err load_rows(struct shard *s, struct store_cursor *c, struct fault *reterr_fault)
{
	const struct store_ops *ops = s->store->ops;
	uint8_t first[SHARD_KEY_BYTES];
	struct bytes key, value;

	shard_key(s->uid, 0, first);
	enum err e =
		ops->seek(c, (struct bytes){ .data = first, .len = sizeof(first) }, &key, &value);

	for (; !e; e = ops->next(c, &key, &value)) {
		struct wire_reader r = wire_reader_of(key.data, key.len);

		if (wire_u32_be(&r) != s->uid)
			return ERR_NONE;
		uint32_t number = wire_u32_be(&r);

		if (number == SHARD_GENERATION_ROW) {
			struct wire_reader v = wire_reader_of(value.data, value.len);

			s->generation = wire_u64(&v);
			e = wire_done(&v);
		} else if (number < SHARD_ROWS_MAX) {
			e = load_row(s, number, value, reterr_fault);
		}
		if (e)
			return e;
	}
	return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

enum err shard_load(struct shard *s, struct store_txn *t, struct fault *reterr_fault)
{
	const struct store_ops *ops = s->store->ops;
	struct fault fault = { 0 };
	struct store_cursor *c;
	enum err e = ops->cursor_open(t, STORE_ROWS, &c);

	if (e)
		return fault_set(reterr_fault, e, "reading rows: %s", err_sentence(e));
	if (!s->dir)
		e = restore_slots(s, c);
	if (!e)
		e = load_rows(s, c, &fault);
	ops->cursor_close(c);
	for (uint32_t i = 0; i < s->field_count; i++) {
		s->fields[i].filled = s->row_count;
		s->fields[i].complete = true;
	}
	shard_tell_points(s);
	if (e)
		return fault_set(reterr_fault, e, "reading the rows of shard %u: %s", s->number,
				 fault.err == e ? fault_text(&fault) : err_sentence(e));
	return ERR_NONE;
}

enum err shard_load_slots(struct shard *s, struct store_txn *t)
{
	const struct store_ops *ops = s->store->ops;
	struct store_cursor *c;

	if (s->dir)
		return ERR_NONE; /* they are in files */
	enum err e = ops->cursor_open(t, STORE_ROWS, &c);

	if (e)
		return e;
	e = restore_slots(s, c);
	ops->cursor_close(c);
	return e;
}

enum err shard_start(struct shard *s, struct fault *reterr_fault)
{
	for (uint32_t i = 0; i < s->config->vector_count; i++) {
		enum err e = s->vectors[i].dense ? dense_start(s->vectors[i].dense, reterr_fault)
						 : ERR_NONE;

		if (e)
			return e;
	}
	return ERR_NONE;
}

/* --- payload indexes --- */

static int find_field(const struct shard *s, struct str key)
{
	for (uint32_t i = 0; i < s->field_count; i++)
		if (str_compare(field_index_config(s->fields[i].index)->key, key) == 0)
			return (int)i;
	return -1;
}

static enum err field_append(struct shard *s, struct field_index *index)
{
	if (s->field_count == s->field_cap) {
		uint32_t cap = s->field_cap ? s->field_cap * 2 : 4;
		struct shard_field *fields = reallocarray(s->fields, cap, sizeof(*fields));

		if (!fields)
			return ERR_NO_MEMORY;
		s->fields = fields;
		s->field_cap = cap;
	}
	s->fields[s->field_count++] = (struct shard_field){ .index = index };
	return ERR_NONE;
}

enum err shard_field_put(struct shard *s, const struct field_index_config *config,
			 struct fault *reterr_fault)
{
	struct field_index *index;
	struct field_index *old = NULL;
	enum err e = field_index_new(config, &index, reterr_fault);

	if (e)
		return e;
	pthread_rwlock_wrlock(&s->lock);
	int at = find_field(s, config->key);

	if (at >= 0) {
		old = s->fields[at].index;
		s->fields[at] = (struct shard_field){ .index = index };
	} else {
		e = field_append(s, index);
	}
	pthread_rwlock_unlock(&s->lock);
	field_index_free(e ? index : old);
	return e;
}

void shard_field_drop(struct shard *s, struct str key)
{
	struct field_index *old = NULL;

	pthread_rwlock_wrlock(&s->lock);
	int at = find_field(s, key);

	if (at >= 0) {
		old = s->fields[at].index;
		s->fields[at] = s->fields[--s->field_count];
	}
	pthread_rwlock_unlock(&s->lock);
	field_index_free(old);
}

static bool fields_incomplete(const struct shard *s)
{
	for (uint32_t i = 0; i < s->field_count; i++)
		if (!s->fields[i].complete)
			return true;
	return false;
}

static enum err fill_row(struct shard *s, const struct shard_reader *r, struct shard_field *f)
{
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf payload = BUF_INIT(SIZE_MAX);
	struct bytes record;
	struct row row;

	arena_init(&a, SIZE_MAX);
	if (!s->rows[f->filled].visible)
		return ERR_NONE;
	enum err e = shard_read_record(r, f->filled, &record);

	if (e == ERR_NOT_FOUND) /* the collection was dropped meanwhile */
		return ERR_NONE;
	if (!e)
		e = row_decode(record, &a, &row);
	if (!e)
		e = row_payload(&row, &payload);
	if (!e)
		e = field_index_add(f->index, f->filled, value_of_buf(&payload));
	return e;
}

static enum err fill_some(struct shard *s, const struct shard_reader *r, uint32_t rows_max)
{
	enum err e = shard_read_fits(r);

	for (uint32_t i = 0; !e && i < s->field_count; i++) {
		struct shard_field *f = &s->fields[i];

		for (uint32_t n = 0; !e && n < rows_max && f->filled < s->row_count; n++) {
			e = fill_row(s, r, f);
			f->filled += !e;
		}
		f->complete = !e && f->filled >= s->row_count;
	}
	return e;
}

enum err shard_fields_fill(struct shard *s, uint32_t rows_max, bool *ret_more)
{
	struct shard_reader r = { .shard = s };
	uint64_t seen = gate_count(s->gate);

	*ret_more = false;
	pthread_rwlock_rdlock(&s->lock);
	bool incomplete = fields_incomplete(s);

	pthread_rwlock_unlock(&s->lock);
	if (!incomplete)
		return ERR_NONE;
	pthread_rwlock_wrlock(&s->lock);
	enum err e = s->store->ops->begin(s->store, false, &r.txn);

	if (!e)
		e = fill_some(s, &r, rows_max);
	*ret_more = fields_incomplete(s);
	s->store->ops->abort(r.txn);
	pthread_rwlock_unlock(&s->lock);
	return e == ERR_UNAVAILABLE ? gate_wait(s->gate, seen) : e;
}

void shard_configure(struct shard *s, const struct collection_config *config,
		     uint32_t tail_vectors_max)
{
	pthread_rwlock_wrlock(&s->lock);
	for (uint32_t i = 0; i < config->vector_count; i++)
		if (s->vectors[i].dense)
			dense_configure(
				s->vectors[i].dense, &config->vectors[i].hnsw,
				shard_tail_max(config, &config->vectors[i], tail_vectors_max));
	pthread_rwlock_unlock(&s->lock);
}

/* --- figures --- */

void shard_info_add(struct shard *s, struct collection_info *info)
{
	pthread_rwlock_rdlock(&s->lock);
	info->points += s->visible;
	info->memory_bytes += (uint64_t)s->row_cap * sizeof(*s->rows) + id_map_count(s->ids) * 32;
	for (uint32_t i = 0; i < s->config->vector_count; i++) {
		const struct dense *d = s->vectors[i].dense;
		const struct sparse *sparse = s->vectors[i].sparse;

		if (sparse) {
			info->vectors += sparse_count(sparse);
			info->indexed_vectors += sparse_count(sparse);
			info->memory_bytes += sparse_memory(sparse);
			continue;
		}
		if (s->vectors[i].multi) {
			info->vectors += multi_count(s->vectors[i].multi);
			info->memory_bytes += multi_memory(s->vectors[i].multi);
			continue;
		}
		info->vectors += d->live;
		info->indexed_vectors += dense_indexed(d);
		info->segments += d->segment_count + (d->tail.count > 0);
		info->optimizing |= d->building || dense_due(d);
		info->disk_bytes += dense_disk_bytes(d);
		info->memory_bytes += dense_memory_bytes(d);
	}
	for (uint32_t i = 0; i < s->field_count; i++) {
		info->memory_bytes += field_index_memory(s->fields[i].index);
		info->optimizing |= !s->fields[i].complete;
	}
	if (s->error[0])
		snprintf(info->optimizer_error, sizeof(info->optimizer_error), "%s", s->error);
	pthread_rwlock_unlock(&s->lock);
}

uint64_t shard_field_points(struct shard *s, struct str key)
{
	pthread_rwlock_rdlock(&s->lock);
	int at = find_field(s, key);
	uint64_t points = at < 0 ? 0 : field_index_points(s->fields[at].index);

	pthread_rwlock_unlock(&s->lock);
	return points;
}

/* --- building --- */

bool shard_build_due(struct shard *s)
{
	bool due = false;

	pthread_rwlock_rdlock(&s->lock);
	for (uint32_t i = 0; !due && i < s->config->vector_count; i++)
		due = s->vectors[i].dense && dense_due(s->vectors[i].dense);
	pthread_rwlock_unlock(&s->lock);
	return due;
}

static uint64_t id_hash_of(const void *ctx, uint32_t row)
{
	const struct shard *s = ctx;

	return point_id_hash(row_state_id(&s->rows[row]));
}

static enum err build_begin(struct shard *s, bool now, struct dense_build *b, bool *ret_begun)
{
	uint64_t now_ns = clock_mono_ns(clock_system());
	enum err e = ERR_NONE;

	*ret_begun = false;
	pthread_rwlock_wrlock(&s->lock);
	for (uint32_t i = 0; !e && !*ret_begun && i < s->config->vector_count; i++) {
		struct dense *d = s->vectors[i].dense;

		if (!d || !dense_due(d) || (!now && now_ns < d->retry_ns))
			continue;
		e = dense_build_begin(d, id_hash_of, s, b);
		*ret_begun = !e;
	}
	pthread_rwlock_unlock(&s->lock);
	return e;
}

enum err shard_build(struct shard *s, bool now, const atomic_bool *cancel, bool *ret_built,
		     struct fault *reterr_fault)
{
	struct dense_build b;
	struct fault fault = { 0 };
	enum err e = build_begin(s, now, &b, ret_built);

	if (e || !*ret_built)
		return e;
	e = dense_build_run(&b, cancel, &fault);
	pthread_rwlock_wrlock(&s->lock);
	dense_build_end(&b, !e);
	s->error[0] = 0;
	if (e && e != ERR_CANCELLED) {
		fault.err = e;
		snprintf(s->error, sizeof(s->error), "%.200s", fault_text(&fault));
	}
	pthread_rwlock_unlock(&s->lock);
	dense_build_release(&b);
	if (e)
		return fault_set(reterr_fault, e, "%s", fault_text(&fault));
	return ERR_NONE;
}
