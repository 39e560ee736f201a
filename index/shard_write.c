/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing to a shard: rows go into the store's transaction at once, into memory when it has been
 * committed. What memory must take over is kept as records; whatever could fail happens before the commit,
 * but for memory running out: then the process ends, and restarts into what was committed.
 */
#include "index/shard.h"

#include "base/panic.h"
#include "base/wire.h"
#include "index/order.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_FIRST 64u
/* Slots given back without a publish in between; beyond it they are freed at once. */
#define GIVEN_BACK_MAX 65536u

/* --- pending rows --- */

static struct pending_row *pending_find(const struct pending *p, struct point_id id)
{
	if (p->table_cap == 0)
		return NULL;
	uint32_t at = (uint32_t)point_id_hash(id) & (p->table_cap - 1);

	for (; p->table[at]; at = (at + 1) & (p->table_cap - 1))
		if (point_id_equal(p->rows[p->table[at] - 1].id, id))
			return &p->rows[p->table[at] - 1];
	return NULL;
}

static void table_put(const struct pending *p, uint32_t index)
{
	uint32_t at = (uint32_t)point_id_hash(p->rows[index].id) & (p->table_cap - 1);

	while (p->table[at])
		at = (at + 1) & (p->table_cap - 1);
	p->table[at] = index + 1;
}

static enum err table_grow(struct pending *p)
{
	uint32_t cap = p->table_cap ? p->table_cap * 2 : TABLE_FIRST;
	uint32_t *table = calloc(cap, sizeof(*table));

	if (!table)
		return ERR_NO_MEMORY;
	free(p->table);
	p->table = table;
	p->table_cap = cap;
	for (uint32_t i = 0; i < p->count; i++)
		table_put(p, i);
	return ERR_NONE;
}

/* Grows an array of the transaction by one; NULL when memory is out. */
static void *grown(void *array, uint32_t count, uint32_t *cap, size_t size)
{
	if (count < *cap)
		return array;
	uint32_t next = *cap ? *cap * 2 : 64;
	void *larger = reallocarray(array, next, size);

	if (larger)
		*cap = next;
	return larger;
}

/* Takes over what p refers to. */
static enum err pending_add(struct pending *p, const struct pending_row *row)
{
	struct pending_row *rows = grown(p->rows, p->count, &p->cap, sizeof(*rows));

	if (!rows)
		return ERR_NO_MEMORY;
	p->rows = rows;
	if ((uint64_t)(p->count + 1) * 2 > p->table_cap) {
		enum err e = table_grow(p);

		if (e)
			return e;
	}
	p->rows[p->count++] = *row;
	table_put(p, p->count - 1);
	return ERR_NONE;
}

static void pending_row_release(struct pending_row *p)
{
	free(p->before);
	free(p->after);
	p->before = p->after = NULL;
}

/* Lets in those who wait for this shard. */
static void pass_gate(struct gate *g)
{
	if (--g->shards == 0)
		atomic_store(&g->writer, 0);
	pthread_mutex_lock(&g->lock);
	atomic_fetch_add(&g->count, 1);
	pthread_cond_broadcast(&g->passed);
	pthread_mutex_unlock(&g->lock);
}

static void pending_close(struct shard *s)
{
	struct pending *p = &s->pending;

	for (uint32_t i = 0; i < p->count; i++)
		pending_row_release(&p->rows[i]);
	if (p->table_cap)
		memset(p->table, 0, p->table_cap * sizeof(*p->table));
	p->count = p->rows_new = p->free_taken = p->undo_count = p->slot_count = 0;
	p->txn = NULL;
	if (p->open)
		pass_gate(s->gate);
	p->open = false;
}

/* --- reading for the committer --- */

static bool find_row(const struct shard *s, struct point_id id, uint32_t *ret_row)
{
	const struct pending_row *p = pending_find(&s->pending, id);

	if (!p)
		return id_map_get(s->ids, id, ret_row);
	*ret_row = p->row;
	return !p->removed;
}

static enum err get_record(const struct shard *s, struct store_txn *t, uint32_t row,
			   struct bytes *ret_record)
{
	uint8_t key[SHARD_KEY_BYTES];

	shard_key(s->uid, row, key);
	enum err e = s->store->ops->get(
		t, STORE_ROWS, (struct bytes){ .data = key, .len = sizeof(key) }, ret_record);

	return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

enum err shard_row_load(struct shard *s, struct store_txn *t, struct point_id id, struct arena *a,
			struct row *ret_row)
{
	uint32_t number;
	struct bytes record;

	if (!find_row(s, id, &number))
		return ERR_NOT_FOUND;
	enum err e = get_record(s, t, number, &record);

	if (e)
		return e;
	uint8_t *copy = arena_alloc(a, record.len);

	if (!copy)
		return ERR_NO_MEMORY;
	memcpy(copy, record.data, record.len);
	e = row_decode((struct bytes){ .data = copy, .len = record.len }, a, ret_row);
	for (uint32_t i = 0; !e && i < ret_row->vector_count; i++) {
		struct row_vector *v = &ret_row->vectors[i];
		int at = shard_find_vector(s->config, v->name);

		if (!v->present || v->slot == SLOT_NONE)
			continue;
		if (at < 0 || !s->vectors[at].dense)
			return ERR_CORRUPT;
		v->vector = (struct vector){
			.kind = VECTOR_DENSE,
			.count = s->config->vectors[at].dim,
			.values = dense_values(s->vectors[at].dense, v->slot),
		};
	}
	return e;
}

/* --- storing --- */

/* The first change of this shard in the transaction. */
static enum err touch(struct shard *s, struct store_txn *t)
{
	CLEANUP(buf_release) struct buf generation = BUF_INIT(8);
	uint8_t key[SHARD_KEY_BYTES];

	if (s->pending.open)
		return ERR_NONE;
	wire_put_u64(&generation, s->generation + 1);
	if (buf_err(&generation))
		return buf_err(&generation);
	if (s->gate->shards++ == 0)
		atomic_store(&s->gate->writer, (unsigned long)pthread_self());
	s->pending.open = true;
	s->pending.txn = t;
	shard_key(s->uid, SHARD_GENERATION_ROW, key);
	return s->store->ops->put(t, STORE_ROWS, (struct bytes){ .data = key, .len = sizeof(key) },
				  buf_bytes(&generation));
}

static enum err check_vectors(const struct shard *s, const struct row *row,
			      struct fault *reterr_fault)
{
	for (uint32_t i = 0; i < row->vector_count; i++) {
		const struct row_vector *v = &row->vectors[i];
		int at = shard_find_vector(s->config, v->name);

		if (!v->present)
			continue;
		if (at < 0)
			return fault_set(reterr_fault, ERR_BAD_INPUT,
					 "Not existing vector name error: %.*s", STR_FMT(v->name));
		const struct vector_config *config = &s->config->vectors[at];

		if (vector_config_kind(config) != v->vector.kind)
			return fault_set(reterr_fault, ERR_BAD_INPUT,
					 "vector \"%.*s\" is of the wrong kind", STR_FMT(v->name));
		enum err e = vector_config_check(config, &v->vector, reterr_fault);

		if (e)
			return e;
	}
	return ERR_NONE;
}

/* In memory mode the values go where a restart finds them. */
static enum err mirror_slot(const struct shard *s, struct store_txn *t, uint32_t vector,
			    uint32_t slot)
{
	CLEANUP(buf_release) struct buf key = BUF_INIT(16);
	const struct dense *d = s->vectors[vector].dense;

	if (s->dir)
		return ERR_NONE;
	wire_put_u32_be(&key, s->uid);
	wire_put_u32_be(&key, SHARD_SLOTS_ROW);
	wire_put_u32_be(&key, vector);
	wire_put_u32_be(&key, slot);
	if (buf_err(&key))
		return buf_err(&key);
	return s->store->ops->put(t, STORE_ROWS, buf_bytes(&key),
				  (struct bytes){ .data = d->slots->ops->at(d->slots, slot),
						  .len = d->slots->record_bytes });
}

static enum err write_slot(struct shard *s, struct store_txn *t, uint32_t vector,
			   struct row_vector *v, struct fault *reterr_fault)
{
	struct pending *p = &s->pending;
	struct pending_slot *slots = grown(p->slots, p->slot_count, &p->slot_cap, sizeof(*slots));
	uint32_t slot;

	if (!slots)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
	p->slots = slots;
	enum err e = dense_add(s->vectors[vector].dense, v->vector.values, &slot, reterr_fault);

	if (e)
		return e;
	p->slots[p->slot_count++] = (struct pending_slot){ .vector = vector, .slot = slot };
	e = mirror_slot(s, t, vector, slot);
	if (e)
		return fault_set(reterr_fault, e, "%s", err_sentence(e));
	v->slot = slot;
	return ERR_NONE;
}

static enum err write_vectors(struct shard *s, struct store_txn *t, struct row *row,
			      struct fault *reterr_fault)
{
	for (uint32_t i = 0; i < row->vector_count; i++) {
		struct row_vector *v = &row->vectors[i];
		int at = shard_find_vector(s->config, v->name);

		if (!v->present || at < 0)
			continue;
		if (v->hash == 0 && v->vector.values)
			v->hash = vector_hash(&v->vector);
		if (!s->vectors[at].dense || v->slot != SLOT_NONE)
			continue;
		struct fault fault = { 0 };
		enum err e = write_slot(s, t, (uint32_t)at, v, &fault);

		if (e)
			return fault_set(reterr_fault, e, "storing vector \"%.*s\": %s",
					 STR_FMT(v->name), fault_text(&fault));
	}
	return ERR_NONE;
}

static bool keeps_before(const struct shard *s)
{
	if (s->field_count)
		return true;
	for (uint32_t i = 0; i < s->config->vector_count; i++)
		if (s->vectors[i].sparse)
			return true;
	return false;
}

static uint8_t *copy_bytes(struct bytes b)
{
	uint8_t *copy = malloc(b.len + 1);

	if (copy)
		memcpy(copy, b.data, b.len);
	return copy;
}

static enum err take_number(struct shard *s, struct pending_row *out)
{
	struct pending *p = &s->pending;

	out->is_new = out->removed = true;
	if (p->free_taken < s->free_count)
		out->row = s->free_rows[s->free_count - ++p->free_taken];
	else if (s->row_count + p->rows_new < SHARD_ROWS_MAX)
		out->row = s->row_count + p->rows_new++;
	else
		return ERR_NO_SPACE;
	return ERR_NONE;
}

/* What it was, nobody knows: indexes cannot forget it, nor can the tree. The row gets another number. */
static enum err retire(struct shard *s, struct store_txn *t, struct pending_row *out)
{
	uint8_t key[SHARD_KEY_BYTES];

	out->retires = true;
	out->retired = out->row;
	shard_key(s->uid, out->retired, key);
	enum err e = s->store->ops->del(t, STORE_ROWS, (struct bytes){ .data = key, .len = sizeof(key) });

	return e && e != ERR_NOT_FOUND ? e : take_number(s, out);
}

/* What the transaction found: the row of before, or a number for a new one. */
static enum err pending_begin(struct shard *s, struct store_txn *t, struct point_id id,
			      struct pending_row *out)
{
	struct bytes record;

	*out = (struct pending_row){ .id = id };
	if (!id_map_get(s->ids, id, &out->row))
		return take_number(s, out);
	enum err e = get_record(s, t, out->row, &record);

	if (e)
		return e;
	CLEANUP(arena_release) struct arena a;
	struct row row;

	arena_init(&a, SIZE_MAX);
	e = row_decode(record, &a, &row);
	if (e == ERR_CORRUPT)
		return retire(s, t, out);
	if (e)
		return e;
	out->digest = row_digest(&row, s->incarnation);
	if (keeps_before(s)) {
		out->before = copy_bytes(record);
		out->before_len = record.len;
		if (!out->before)
			return ERR_NO_MEMORY;
	}
	return ERR_NONE;
}

/* after NULL: removed. */
static enum err change_tree(struct shard *s, struct pending_row *p, const struct hash128 *after)
{
	struct pending *pending = &s->pending;
	struct merkle_undo *undo =
		grown(pending->undo, pending->undo_count, &pending->undo_cap, sizeof(*undo));

	if (!undo)
		return ERR_NO_MEMORY;
	pending->undo = undo;
	struct merkle_undo u = { .id = p->id, .had = !p->removed, .has = after != NULL };

	if (u.had)
		u.before = p->digest;
	if (u.has)
		u.after = *after;
	merkle_change(s->merkle, p->id, u.had ? &u.before : NULL, after);
	pending->undo[pending->undo_count++] = u;
	p->removed = !u.has;
	p->digest = u.after;
	return ERR_NONE;
}

/* Takes over after. */
static void set_after(struct pending_row *p, uint8_t *after, size_t len)
{
	free(p->after);
	p->after = after;
	p->after_len = len;
}

/* The pending row of that id, made when the transaction has not met it. A new one is `removed` still. */
static enum err pending_of(struct shard *s, struct store_txn *t, struct point_id id,
			   struct pending_row **ret_row)
{
	struct pending_row *p = pending_find(&s->pending, id);
	struct pending_row fresh;

	if (p) {
		*ret_row = p;
		return ERR_NONE;
	}
	enum err e = pending_begin(s, t, id, &fresh);

	if (!e)
		e = pending_add(&s->pending, &fresh);
	if (e) {
		pending_row_release(&fresh);
		return e;
	}
	*ret_row = &s->pending.rows[s->pending.count - 1];
	return ERR_NONE;
}

static enum err put_row(struct shard *s, struct store_txn *t, const struct row *row)
{
	CLEANUP(buf_release) struct buf record = BUF_INIT(SIZE_MAX);
	struct hash128 digest = row_digest(row, s->incarnation);
	struct pending_row *p;
	uint8_t key[SHARD_KEY_BYTES];
	enum err e = row_encode(row, &record);

	if (!e)
		e = pending_of(s, t, row->id, &p);
	if (e)
		return e;
	uint8_t *after = copy_bytes(buf_bytes(&record));

	if (!after)
		return ERR_NO_MEMORY;
	set_after(p, after, record.len);
	shard_key(s->uid, p->row, key);
	e = s->store->ops->put(t, STORE_ROWS, (struct bytes){ .data = key, .len = sizeof(key) },
			       buf_bytes(&record));
	return e ? e : change_tree(s, p, &digest);
}

enum err shard_row_store(struct shard *s, struct store_txn *t, struct row *row,
			 struct fault *reterr_fault)
{
	enum err e = check_vectors(s, row, reterr_fault);

	if (e)
		return e;
	e = touch(s, t);
	if (!e) {
		e = write_vectors(s, t, row, reterr_fault);
		if (e)
			return e;
		e = put_row(s, t, row);
	}
	return e ? fault_set(reterr_fault, e, "storing a row: %s", err_sentence(e)) : ERR_NONE;
}

enum err shard_row_remove(struct shard *s, struct store_txn *t, struct point_id id)
{
	struct pending_row *p;
	uint8_t key[SHARD_KEY_BYTES];
	uint32_t number;

	if (!find_row(s, id, &number))
		return ERR_NOT_FOUND;
	enum err e = touch(s, t);

	if (!e)
		e = pending_of(s, t, id, &p);
	/* One that could not be read is gone already. */
	if (e || p->removed)
		return e;
	shard_key(s->uid, number, key);
	e = s->store->ops->del(t, STORE_ROWS, (struct bytes){ .data = key, .len = sizeof(key) });
	if (e)
		return e;
	set_after(p, NULL, 0);
	return change_tree(s, p, NULL);
}

void shard_slot_free(struct shard *s, uint32_t vector, uint32_t slot)
{
	ASSERT(vector < s->config->vector_count && s->vectors[vector].dense);
	struct pending_slot *given = NULL;

	if (s->given_count < GIVEN_BACK_MAX)
		given = grown(s->given_back, s->given_count, &s->given_cap, sizeof(*given));
	if (given) {
		s->given_back = given;
		given[s->given_count++] = (struct pending_slot){ .vector = vector, .slot = slot };
		return;
	}
	pthread_rwlock_wrlock(&s->lock);
	dense_give_back(s->vectors[vector].dense, slot);
	pthread_rwlock_unlock(&s->lock);
}

enum err shard_sync(struct shard *s, struct fault *reterr_fault)
{
	for (uint32_t i = 0; s->pending.slot_count && i < s->config->vector_count; i++) {
		struct dense *d = s->vectors[i].dense;
		enum err e = d ? d->slots->ops->sync(d->slots, reterr_fault) : ERR_NONE;

		if (e)
			return e;
	}
	return ERR_NONE;
}

/* --- publishing --- */

/* One pending row as memory takes it over. */
struct change {
	const struct pending_row *pending;
	bool has_before, has_after;
	struct row before, after;
	struct value payload_before, payload_after;
};

static enum err payload_of(const struct row *row, struct arena *a, struct value *ret_payload)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SIZE_MAX);
	enum err e = row_payload(row, &b);

	if (e)
		return e;
	uint8_t *copy = arena_alloc(a, b.len);

	if (!copy)
		return ERR_NO_MEMORY;
	memcpy(copy, b.data, b.len);
	*ret_payload = (struct value){ .data = copy, .len = (uint32_t)b.len };
	return ERR_NONE;
}

static enum err change_decode(const struct shard *s, const struct pending_row *p, struct arena *a,
			      struct change *ret_change)
{
	struct change c = { .pending = p,
			    .has_before = p->before != NULL,
			    .has_after = p->after != NULL };
	enum err e = ERR_NONE;

	if (c.has_before)
		e = row_decode((struct bytes){ .data = p->before, .len = p->before_len }, a,
			       &c.before);
	if (!e && c.has_after)
		e = row_decode((struct bytes){ .data = p->after, .len = p->after_len }, a,
			       &c.after);
	if (!e && s->field_count && c.has_before && c.before.visible)
		e = payload_of(&c.before, a, &c.payload_before);
	if (!e && s->field_count && c.has_after && c.after.visible)
		e = payload_of(&c.after, a, &c.payload_after);
	*ret_change = c;
	return e;
}

static const struct row_vector *visible_vector(bool has, const struct row *row, struct str name)
{
	for (uint32_t i = 0; has && row->visible && i < row->vector_count; i++) {
		const struct row_vector *v = &row->vectors[i];

		if (v->present && str_compare(v->name, name) == 0)
			return v;
	}
	return NULL;
}

static enum err apply_vectors(struct shard *s, const struct change *c)
{
	for (uint32_t i = 0; i < s->config->vector_count; i++) {
		struct str name = s->config->vectors[i].name;
		const struct row_vector *after = visible_vector(c->has_after, &c->after, name);

		if (s->vectors[i].dense) {
			if (c->pending->retires)
				dense_set(s->vectors[i].dense, c->pending->retired, SLOT_NONE);
			dense_set(s->vectors[i].dense, c->pending->row,
				  after ? after->slot : SLOT_NONE);
			continue;
		}
		if (s->vectors[i].multi) {
			enum err e = c->pending->retires ? multi_set(s->vectors[i].multi, c->pending->retired, NULL)
							 : ERR_NONE;

			if (!e)
				e = multi_set(s->vectors[i].multi, c->pending->row, after ? &after->vector : NULL);
			if (e)
				return e;
			continue;
		}
		const struct row_vector *before = visible_vector(c->has_before, &c->before, name);
		enum err e = sparse_change(s->vectors[i].sparse, c->pending->row,
					   before ? &before->vector : NULL,
					   after ? &after->vector : NULL);

		if (e)
			return e;
	}
	return ERR_NONE;
}

static enum err apply_fields(struct shard *s, const struct change *c)
{
	uint32_t row = c->pending->row;

	for (uint32_t i = 0; i < s->field_count; i++) {
		struct shard_field *f = &s->fields[i];

		/* A complete index takes new rows as they come; one that is being filled meets them later. */
		if (f->complete)
			f->filled = MAX(f->filled, row + 1);
		if (row >= f->filled)
			continue;
		if (c->payload_before.data)
			field_index_remove(f->index, row, c->payload_before);
		enum err e = c->payload_after.data
				     ? field_index_add(f->index, row, c->payload_after)
				     : ERR_NONE;

		if (e)
			return e;
	}
	return ERR_NONE;
}

static enum err apply_row(struct shard *s, const struct change *c)
{
	const struct pending_row *p = c->pending;

	for (; s->row_count <= p->row; s->row_count++)
		s->rows[s->row_count] = (struct row_state){ 0 };
	struct row_state *state = &s->rows[p->row];

	if (p->retires) {
		s->visible -= s->rows[p->retired].visible;
		s->rows[p->retired] = (struct row_state){ 0 };
	}
	s->visible -= state->visible;
	if (!c->has_after) {
		*state = (struct row_state){ 0 };
		(void)id_map_remove(s->ids, p->id); /* a row that came and went was never in it */
		return shard_free_row_add(s, p->row);
	}
	*state = (struct row_state){
		.hi = p->id.hi,
		.lo = p->id.lo,
		.kind = p->id.kind,
		.op_number = c->after.op_number,
		.visible = c->after.visible,
	};
	s->visible += state->visible;
	return p->is_new ? id_map_put(s->ids, p->id, p->row) : ERR_NONE;
}

static enum err reserve_all(struct shard *s)
{
	uint32_t rows = s->row_count + s->pending.rows_new;
	enum err e = shard_reserve_rows(s, rows);

	for (uint32_t i = 0; !e && i < s->config->vector_count; i++)
		if (s->vectors[i].dense)
			e = dense_reserve(s->vectors[i].dense, rows, s->pending.count);
	return e;
}

static enum err apply_all(struct shard *s, const struct change *changes)
{
	enum err e = reserve_all(s);

	/* The numbers that were taken are no longer free; those of rows that went come back one by one. */
	s->free_count -= s->pending.free_taken;
	for (uint32_t i = 0; !e && i < s->pending.count; i++) {
		e = apply_row(s, &changes[i]);
		if (!e)
			e = apply_vectors(s, &changes[i]);
		if (!e)
			e = apply_fields(s, &changes[i]);
	}
	if (s->pending.open)
		s->generation++;
	return e;
}

static void free_slots(struct shard *s)
{
	for (uint32_t i = 0; i < s->given_count; i++)
		dense_give_back(s->vectors[s->given_back[i].vector].dense, s->given_back[i].slot);
	s->given_count = 0;
	for (uint32_t i = 0; i < s->config->vector_count; i++)
		if (s->vectors[i].dense)
			dense_free_released(s->vectors[i].dense);
}

void shard_publish(struct shard *s)
{
	CLEANUP(arena_release) struct arena a;

	arena_init(&a, SIZE_MAX);
	if (!s->pending.open && s->given_count == 0)
		return;
	struct change *changes = arena_array(&a, s->pending.count, sizeof(*changes));
	enum err e = changes ? ERR_NONE : ERR_NO_MEMORY;

	for (uint32_t i = 0; !e && i < s->pending.count; i++)
		e = change_decode(s, &s->pending.rows[i], &a, &changes[i]);
	if (!e) {
		pthread_rwlock_wrlock(&s->lock);
		e = apply_all(s, changes);
		if (!e)
			free_slots(s);
		pthread_rwlock_unlock(&s->lock);
	}
	if (e)
		PANIC("what was committed cannot be shown: out of memory");
	shard_tell_points(s);
	pending_close(s);
}

void shard_abandon(struct shard *s)
{
	struct pending *p = &s->pending;

	if (!p->open)
		return;
	for (uint32_t i = p->undo_count; i-- > 0;) {
		const struct merkle_undo *u = &p->undo[i];

		merkle_change(s->merkle, u->id, u->has ? &u->after : NULL,
			      u->had ? &u->before : NULL);
	}
	for (uint32_t i = 0; i < p->slot_count; i++)
		slots_free(s->vectors[p->slots[i].vector].dense->slots, p->slots[i].slot);
	pending_close(s);
}

/* --- what is left of a dropped shard --- */

static enum err purge_table(struct store *store, struct store_txn *t, enum store_table table,
			    uint32_t uid, uint32_t *budget, bool *ret_more)
{
	struct store_cursor *c;
	uint8_t prefix[SHARD_KEY_BYTES];
	uint8_t found[64];
	struct bytes key, value;

	shard_key(uid, 0, prefix);
	for (;;) {
		enum err e = store->ops->cursor_open(t, table, &c);

		if (e)
			return e;
		e = store->ops->seek(c, (struct bytes){ .data = prefix, .len = 4 }, &key, &value);
		size_t len = e ? 0 : key.len;

		if (!e)
			memcpy(found, key.data, MIN(len, sizeof(found)));
		store->ops->cursor_close(c);
		if (e)
			return e == ERR_NOT_FOUND ? ERR_NONE : e;
		if (len < 4 || memcmp(found, prefix, 4) != 0)
			return ERR_NONE;
		if (len > sizeof(found))
			return ERR_CORRUPT;
		if (*budget == 0) {
			*ret_more = true;
			return ERR_NONE;
		}
		(*budget)--;
		e = store->ops->del(t, table, (struct bytes){ .data = found, .len = len });
		if (e)
			return e;
	}
}

enum err shard_purge(struct store *store, struct store_txn *t, uint32_t uid, uint32_t *budget,
		     bool *ret_more)
{
	enum err e = purge_table(store, t, STORE_ROWS, uid, budget, ret_more);

	return e ? e : purge_table(store, t, STORE_MERKLE, uid, budget, ret_more);
}
