/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What unconfirmed ops replaced, and walking back to where they were not.
 *
 * Each op that lies beyond what is confirmed leaves a record of the rows, or of the catalogue's record, that it changed;
 * the record goes once the op is confirmed. Undoing the newest op first, each by its record, gives exactly the rows of
 * before, without asking anybody: a living source may itself be taken back later, and rows read from it would stand ahead
 * of the position.
 *
 * Slots. A slot that a row gives up is kept while an undo record refers to it, also when the log no longer holds the op
 * that wrote it. A vector that comes back gets a slot of its own, as if it were written anew: its old slot is out of the
 * index, and stays what the log says it is.
 *
 * Settled rows. A row may be settled (commit_settle.c) after the op that left a record of it. Settling writes no record, and
 * none is changed by it, so a walk back below that op brings back the row as the op found it: damaged, if it was so then. That is
 * no harm but a row that differs from the other regions' at this position; trees are of the rows as they are, so the next
 * audit finds and settles it again. Slots that the settled row no longer has are held by nobody and may be another point's by
 * then. So a vector that the row has now, sound and of the same version, stays in the slot where it is; another one comes
 * back only with values that have its hash, and is left out of the row otherwise, which the audit finds, too.
 */
#include "replicator/commit_inner.h"

#include "base/log.h"
#include "base/panic.h"
#include "index/order.h"

#include <stdlib.h>
#include <string.h>

/* One transaction's part of a walk back, and of the records that are removed. */
#define REWIND_OPS_MAX 256
#define UNDO_TRIM_MAX (2 * COMMIT_OPS_MAX)
#define SLOT_KEY_BYTES_MAX 1024

/* --- slots that records refer to --- */

static enum err slot_key(const struct oplog_slot *s, struct buf *key)
{
	wire_put_u64(key, s->collection.hlc);
	wire_put_u8(key, s->collection.region);
	wire_put_u32(key, s->shard);
	wire_put_u32(key, s->slot);
	buf_append(key, s->vector_name.data, s->vector_name.len);
	return buf_err(key);
}

static enum err hold(struct committer *c, const struct oplog_slot *slot)
{
	CLEANUP(buf_release) struct buf key = BUF_INIT(SLOT_KEY_BYTES_MAX);
	enum err err = slot_key(slot, &key);

	return err ? err : map_put(&c->undo_slots, buf_str(&key), c, NULL);
}

static enum err let_go(struct committer *c, const struct oplog_slot *slot)
{
	CLEANUP(buf_release) struct buf key = BUF_INIT(SLOT_KEY_BYTES_MAX);
	enum err err = slot_key(slot, &key);

	if (!err)
		(void)map_remove(&c->undo_slots, buf_str(&key)); /* it is no object */
	return err;
}

bool commit_undo_holds(const struct committer *c, const struct oplog_slot *slot)
{
	CLEANUP(buf_release) struct buf key = BUF_INIT(SLOT_KEY_BYTES_MAX);

	/* Out of memory: kept, until the next start finds it free. */
	return c->undo_slots.count > 0 && (slot_key(slot, &key) || map_get(&c->undo_slots, buf_str(&key)));
}

/* Calls fn for each slot that the record keeps; collection NULL: none is there any more. */
typedef enum err (*slot_fn)(struct committer *c, const struct oplog_slot *slot, struct stamp stamp, void *ctx);

static enum err each_slot_of_entry(struct committer *c, const struct undo *u, const struct undo_entry *e,
				   const struct collection *collection, slot_fn fn, void *ctx)
{
	CLEANUP(arena_release) struct arena a;
	struct row row;

	arena_init(&a, ROW_ARENA_BYTES_MAX);
	enum err err = row_decode(e->row, &a, &row);
	for (uint32_t k = 0; k < e->given_up_count && !err; k++) {
		if (e->given_up[k] >= row.vector_count)
			return ERR_CORRUPT;
		const struct row_vector *v = &row.vectors[e->given_up[k]];
		const struct oplog_slot slot = { .collection = u->incarnation,
						 .shard = collection_shard_of(collection, row.id),
						 .vector_name = v->name,
						 .slot = v->slot };
		err = fn(c, &slot, v->stamp, ctx);
	}
	return err;
}

static enum err each_slot(struct committer *c, const struct undo *u, struct collection *collection, slot_fn fn,
			  void *ctx)
{
	enum err err = ERR_NONE;

	for (uint32_t i = 0; i < u->entry_count && !err; i++)
		if (!u->entries[i].unchanged && u->entries[i].given_up_count > 0)
			err = each_slot_of_entry(c, u, &u->entries[i], collection, fn, ctx);
	return err;
}

/* The same, of the collection by its incarnation; nothing when it is gone, and its slots with it. */
static enum err each_slot_held(struct committer *c, const struct undo *u, slot_fn fn, void *ctx)
{
	struct collection *collection =
		u->entry_count > 0 ? catalog_get_logged(c->o.catalog, u->incarnation) : NULL;

	if (!collection)
		return ERR_NONE;
	enum err err = each_slot(c, u, collection, fn, ctx);
	collection_unref(collection);
	return err;
}

/* --- at open --- */

static enum err hold_slot(struct committer *c, const struct oplog_slot *slot, struct stamp stamp, void *ctx)
{
	(void)stamp;
	(void)ctx;
	return hold(c, slot);
}

static enum err mark_slot(struct committer *c, const struct oplog_slot *slot, struct stamp stamp, void *ctx)
{
	(void)c;
	(void)stamp;
	return collection_slot_mark(ctx, slot->shard, slot->vector_name, slot->slot);
}

static enum err count_record(void *ctx, struct position p, const struct undo *u)
{
	struct committer *c = ctx;

	(void)p;
	c->undo_count++;
	return each_slot_held(c, u, hold_slot, NULL);
}

static enum err open_record(void *ctx, struct position p, const struct undo *u)
{
	struct committer *c = ctx;
	struct collection *live = catalog_get_incarnation(c->o.catalog, u->incarnation);
	enum err err = count_record(c, p, u);

	/* Those of a dropped one are not freed before it is released. */
	if (live) {
		if (!err)
			err = each_slot(c, u, live, mark_slot, live);
		collection_unref(live);
	}
	return err;
}

static enum err read_records(struct committer *c, undo_each_fn fn)
{
	struct store *s = c->o.store;
	struct store_txn *t;

	map_release(&c->undo_slots);
	map_init(&c->undo_slots);
	c->undo_count = 0;
	enum err err = s->ops->begin(s, false, &t);
	if (err)
		return err;
	err = undo_each(s, t, SCOPE_FLEET, fn, c);
	s->ops->abort(t);
	return err;
}

enum err commit_undo_open(struct committer *c, struct fault *reterr_fault)
{
	enum err err = read_records(c, open_record);

	return err ? fault_set(reterr_fault, err, "reading the undo records: %s", err_sentence(err)) : ERR_NONE;
}

void commit_undo_release(struct committer *c)
{
	map_release(&c->undo_slots);
}

void commit_undo_reload(struct committer *c)
{
	struct fault f = { 0 };
	enum err err = read_records(c, count_record);

	c->txn.undo_changed = false;
	if (!err)
		return;
	(void)fault_set(&f, err, "reading the undo records again: %s", err_sentence(err));
	commit_fail(c, &f);
}

/* --- what an op replaces --- */

enum err commit_undo_begin(struct committer *c, const struct op *op)
{
	struct undo_draft *d = &c->draft;
	struct position p = { .epoch = op->epoch, .seq = op->seq };
	const struct op *subject = op_subject(op);
	bool is_about_orphan = op->kind == OP_ORPHAN || op->kind == OP_ORPHAN_DROP;

	*d = (struct undo_draft){ .wanted = c->o.undo && (subject->kind >= OP_CREATE_COLLECTION || is_about_orphan) &&
					    position_compare(p, c->txn.confirmed) > 0 };
	arena_init(&d->arena, UNDO_ARENA_BYTES_MAX);
	d->undo.incarnation = subject->incarnation;
	if (!d->wanted || subject->kind >= OP_UPSERT || is_about_orphan)
		return ERR_NONE;
	/* What may be left of one whose creation was taken back is nothing to come back to. */
	enum err err = subject->kind == OP_CREATE_COLLECTION ? ERR_NONE
		       : subject->kind == OP_ALIASES
			       ? catalog_aliases_get_raw(c->o.catalog, c->txn.store, &d->arena, &d->undo.catalog_record)
			       : catalog_record_get_raw(c->o.catalog, c->txn.store, subject->incarnation, &d->arena,
							&d->undo.catalog_record);
	if (!d->undo.catalog_record.data)
		d->undo.catalog_record.data = (const uint8_t *)"";
	return err;
}

static enum err add_entry(struct undo_draft *d, const struct undo_entry *e)
{
	struct undo *u = &d->undo;

	if (u->entry_count == d->entry_cap) {
		uint32_t cap = MAX(d->entry_cap * 2, 16);
		struct undo_entry *more = arena_array(&d->arena, cap, sizeof(*more));
		if (!more)
			return ERR_NO_MEMORY;
		if (u->entry_count > 0)
			memcpy(more, u->entries, u->entry_count * sizeof(*more));
		u->entries = more;
		d->entry_cap = cap;
	}
	u->entries[u->entry_count++] = *e;
	return ERR_NONE;
}

static const struct row_vector *find_vector(const struct row *row, struct str name)
{
	for (uint32_t i = 0; i < row->vector_count; i++)
		if (str_compare(row->vectors[i].name, name) == 0)
			return &row->vectors[i];
	return NULL;
}

static bool has_slot(const struct row *row, const struct row_vector *v)
{
	const struct row_vector *other = find_vector(row, v->name);

	return other && other->present && other->slot == v->slot;
}

static bool is_in_slot(const struct row_vector *v)
{
	return v->present && v->slot != SLOT_NONE;
}

enum err commit_undo_row(struct committer *c, uint32_t at, const struct row *stored, const struct row *row)
{
	CLEANUP(buf_release) struct buf record = BUF_INIT(ROW_ARENA_BYTES_MAX);
	struct undo_draft *d = &c->draft;
	struct undo_entry e = { .at = at, .unchanged = row == NULL };

	if (!d->wanted || (row && !stored))
		return ERR_NONE;
	if (e.unchanged)
		return add_entry(d, &e);
	enum err err = row_encode(stored, &record);
	if (err)
		return err;
	uint8_t *copy = arena_alloc(&d->arena, record.len);
	e.given_up = arena_array(&d->arena, stored->vector_count, sizeof(*e.given_up));
	if (!copy || !e.given_up)
		return ERR_NO_MEMORY;
	memcpy(copy, record.data, record.len);
	e.row = (struct bytes){ .data = copy, .len = record.len };
	for (uint32_t i = 0; i < stored->vector_count; i++)
		if (is_in_slot(&stored->vectors[i]) && !has_slot(row, &stored->vectors[i]))
			e.given_up[e.given_up_count++] = i;
	return add_entry(d, &e);
}

enum err commit_undo_orphan(struct committer *c, const struct orphan_id *id, const struct orphan *before)
{
	CLEANUP(buf_release) struct buf record = BUF_INIT(2 * OP_BYTES_MAX);
	struct undo_draft *d = &c->draft;
	enum err err = before ? orphan_encode(before, &record) : ERR_NONE;

	if (!d->wanted || err)
		return err;
	ASSERT(d->undo.orphan_count < UNDO_ORPHANS_MAX);
	uint8_t *copy = arena_alloc(&d->arena, record.len + 1);
	if (!copy)
		return ERR_NO_MEMORY;
	if (record.len > 0)
		memcpy(copy, record.data, record.len);
	d->undo.orphans[d->undo.orphan_count++] =
		(struct undo_orphan){ .id = *id, .record = { .data = copy, .len = record.len } };
	return ERR_NONE;
}

static enum err keep_draft(struct committer *c, const struct op *op)
{
	const struct undo *u = &c->draft.undo;
	struct position p = { .epoch = op->epoch, .seq = op->seq };

	if (!c->draft.wanted || (u->entry_count == 0 && u->orphan_count == 0 && !u->catalog_record.data))
		return ERR_NONE;
	c->txn.undo_changed = true;
	enum err err = undo_put(c->o.store, c->txn.store, op->scope, p, u);
	if (!err)
		err = each_slot_held(c, u, hold_slot, NULL);
	c->undo_count++;
	return err;
}

enum err commit_undo_end(struct committer *c, const struct op *op)
{
	enum err err = keep_draft(c, op);

	arena_release(&c->draft.arena);
	c->draft = (struct undo_draft){ 0 };
	return err;
}

struct drop_search {
	struct incarnation incarnation;
	struct position confirmed;
};

static enum err find_drop(void *ctx, struct position p, const struct undo *u)
{
	const struct drop_search *s = ctx;
	bool found = u->catalog_record.len > 0 && incarnation_compare(u->incarnation, s->incarnation) == 0 &&
		     position_compare(p, s->confirmed) > 0;

	return found ? ERR_ALREADY_EXISTS : ERR_NONE;
}

/* Of a collection that is gone the last change on record is its drop. A record that cannot be read is not believed. */
bool commit_undo_may_return(struct committer *c, struct incarnation i)
{
	struct drop_search s = { i, c->txn.confirmed };

	return c->undo_count > 0 && undo_each(c->o.store, c->txn.store, SCOPE_FLEET, find_drop, &s);
}

/* --- confirmed --- */

static enum err release_slot(struct committer *c, const struct oplog_slot *slot, struct stamp stamp, void *ctx)
{
	(void)ctx;
	enum err err = let_go(c, slot);

	return !err && commit_op_is_trimmed(c, stamp) ? commit_free_later(c, slot) : err;
}

/* ERR_NOT_FOUND: no record may go. */
static enum err trim_one(struct committer *c)
{
	CLEANUP(arena_release) struct arena a;
	struct position p;
	struct undo u;

	arena_init(&a, UNDO_ARENA_BYTES_MAX);
	enum err err = undo_first(c->o.store, c->txn.store, SCOPE_FLEET, &a, &p, &u);
	if (err)
		return err;
	if (position_compare(p, c->txn.confirmed) > 0)
		return ERR_NOT_FOUND;
	c->txn.undo_changed = true;
	err = each_slot_held(c, &u, release_slot, NULL);
	if (!err)
		err = undo_remove(c->o.store, c->txn.store, SCOPE_FLEET, p);
	c->undo_count--;
	return err;
}

enum err commit_undo_trim(struct committer *c, struct fault *reterr_fault)
{
	enum err err = ERR_NONE;

	for (unsigned i = 0; i < UNDO_TRIM_MAX && c->undo_count > 0 && !c->txn.rewound && !err; i++)
		err = trim_one(c);
	return err && err != ERR_NOT_FOUND
		       ? fault_set(reterr_fault, err, "removing an undo record: %s", err_sentence(err))
		       : ERR_NONE;
}

/* --- walking back --- */

struct walk {
	struct committer *c;
	struct rewind *r;
	struct fault *fault;
	uint64_t lost;            /* vectors that could not come back */
	/* the op */
	struct arena arena;
	struct oplog_entry entry;
	const struct op *subject; /* of it */
	struct position at;
	struct undo undo;
	bool has_undo;
};

static enum err walk_fail(const struct walk *w, enum err err, const char *what)
{
	return fault_set(w->fault, err, "taking back op (%llu, %llu): %s: %s", (unsigned long long)w->at.epoch,
			 (unsigned long long)w->at.seq, what, err_sentence(err));
}

static enum err check_target(const struct walk *w)
{
	const struct committer *c = w->c;
	struct position to = w->r->to;
	struct position confirmed = c->place.confirmed;
	struct position known = c->o.trim_floor ? c->o.trim_floor(c->o.ctx) : confirmed;
	bool none = to.epoch == 0 && to.seq == 0;

	if (position_compare(to, c->place.position) > 0 ||
	    (!none && history_find(&c->history, c->place.position, to) != HISTORY_IN))
		return fault_set(w->fault, ERR_FORK, "(%llu, %llu) is not in this region's history",
				 (unsigned long long)to.epoch, (unsigned long long)to.seq);
	if (position_compare(known, confirmed) > 0)
		confirmed = known;
	if (position_compare(to, confirmed) < 0)
		return fault_set(w->fault, ERR_FORK,
				 "ops up to (%llu, %llu) are confirmed, and never taken back",
				 (unsigned long long)confirmed.epoch, (unsigned long long)confirmed.seq);
	return ERR_NONE;
}

static enum err free_slot_of(struct walk *w, const struct collection *collection, const struct row *row,
			     const struct row_vector *v)
{
	const struct oplog_slot slot = { .collection = w->subject->incarnation,
					 .shard = collection_shard_of(collection, row->id),
					 .vector_name = v->name,
					 .slot = v->slot };

	return commit_free_later(w->c, &slot);
}

/* Slots that only the op's row has: it wrote them, and its record goes with this transaction. */
static enum err free_new_slots(struct walk *w, const struct collection *collection, const struct row *now,
			       const struct row *before)
{
	enum err err = ERR_NONE;

	for (uint32_t i = 0; i < now->vector_count && !err; i++)
		if (is_in_slot(&now->vectors[i]) && !(before && has_slot(before, &now->vectors[i])))
			err = free_slot_of(w, collection, now, &now->vectors[i]);
	return err;
}

/* Those that the op's record names and its row no longer has: a later op had replaced the row. */
static enum err free_logged_slots(struct walk *w, const struct collection *collection, const struct op_point *p,
				  const struct row *now)
{
	enum err err = ERR_NONE;

	for (uint32_t k = 0; k < p->vector_count && !err; k++) {
		const struct op_vector *v = &p->vectors[k];
		const struct oplog_slot slot = { .collection = w->subject->incarnation,
						 .shard = collection_shard_of(collection, p->id),
						 .vector_name = v->name,
						 .slot = v->slot };
		const struct row_vector *held = now ? find_vector(now, v->name) : NULL;
		if (v->slot != SLOT_NONE && !(held && held->present && held->slot == v->slot))
			err = commit_free_later(w->c, &slot);
	}
	return err;
}

static bool is_given_up(const struct undo_entry *e, uint32_t vector)
{
	for (uint32_t i = 0; i < e->given_up_count; i++)
		if (e->given_up[i] == vector)
			return true;
	return false;
}

/* Where the row of now has a vector of before, sound, that is where it stays. One that was given up is held for this. */
static void keep_sound(const struct undo_entry *e, const struct row *now, struct row *before)
{
	for (uint32_t i = 0; i < before->vector_count; i++) {
		struct row_vector *v = &before->vectors[i];
		bool may = is_in_slot(v) && !is_given_up(e, i);
		const struct row_vector *other = may ? find_vector(now, v->name) : NULL;
		if (other && is_in_slot(other) && other->hash == v->hash && stamp_compare(other->stamp, v->stamp) == 0 &&
		    vector_hash(&other->vector) == v->hash)
			v->slot = other->slot;
	}
}

/* Its values, where they are; ERR_NOT_FOUND: they are others. */
static enum err copy_values(struct collection *collection, struct point_id id, struct row_vector *v, struct arena *a)
{
	const float *values =
		collection_slot_values(collection, collection_shard_of(collection, id), v->name, v->slot);

	if (!values)
		return ERR_NOT_FOUND;
	float *copy = arena_array(a, v->vector.count, sizeof(*copy));
	if (!copy)
		return ERR_NO_MEMORY;
	memcpy(copy, values, v->vector.count * sizeof(*copy));
	v->vector.kind = VECTOR_DENSE;
	v->vector.values = copy;
	return vector_hash(&v->vector) == v->hash ? ERR_NONE : ERR_NOT_FOUND;
}

/* The row of before, its vectors where they are, or on their way into new slots. */
static enum err fill_before(struct walk *w, struct collection *collection, const struct undo_entry *e,
			    const struct row *now, struct row *before, struct arena *a)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < before->vector_count; i++) {
		struct row_vector *v = &before->vectors[i];
		enum err err = is_in_slot(v) ? copy_values(collection, before->id, v, a) : ERR_NONE;
		if (err && err != ERR_NOT_FOUND)
			return err;
		if (is_in_slot(v) && (is_given_up(e, i) || !now || !has_slot(now, v)))
			v->slot = SLOT_NONE;
		w->lost += err == ERR_NOT_FOUND;
		if (!err)
			before->vectors[kept++] = *v;
	}
	before->vector_count = kept;
	return ERR_NONE;
}

static enum err put_back(struct walk *w, struct collection *collection, const struct row *now,
			 const struct undo_entry *e)
{
	CLEANUP(arena_release) struct arena a;
	struct row before;

	arena_init(&a, ROW_ARENA_BYTES_MAX);
	enum err err = row_decode(e->row, &a, &before);
	if (!err && now) {
		keep_sound(e, now, &before);
		/* While those that come back are not in new slots yet. */
		err = free_new_slots(w, collection, now, &before);
	}
	if (!err)
		err = fill_before(w, collection, e, now, &before, &a);
	return err ? err : collection_row_store(collection, w->c->txn.store, &before, w->fault);
}

static enum err undo_point(struct walk *w, struct collection *collection, uint32_t at, const struct undo_entry *e)
{
	CLEANUP(arena_release) struct arena a;
	const struct op *op = w->subject;
	struct point_id id = op->points ? op->points[at].id : op->ids[at];
	struct row now;

	arena_init(&a, ROW_ARENA_BYTES_MAX);
	if (e && e->unchanged)
		return ERR_NONE;
	enum err err = collection_row_load(collection, w->c->txn.store, id, &a, &now);
	if (err && err != ERR_NOT_FOUND)
		return err;
	bool exists = !err;
	err = op->points ? free_logged_slots(w, collection, &op->points[at], exists ? &now : NULL) : ERR_NONE;
	if (err)
		return err;
	if (e)
		return put_back(w, collection, exists ? &now : NULL, e);
	if (!exists)
		return ERR_NONE;
	err = free_new_slots(w, collection, &now, NULL);
	return err ? err : collection_row_remove(collection, w->c->txn.store, id);
}

static enum err undo_points(struct walk *w)
{
	const struct op *op = w->subject;
	struct collection *collection = catalog_get_incarnation(w->c->o.catalog, op->incarnation);
	uint32_t left = w->undo.entry_count;
	enum err err = collection ? ERR_NONE : ERR_NOT_FOUND;

	/* A point may be in the op twice: the later one first. */
	for (uint32_t at = op->points ? op->point_count : op->id_count; at > 0 && !err; at--) {
		bool has = left > 0 && w->undo.entries[left - 1].at == at - 1;
		err = undo_point(w, collection, at - 1, has ? &w->undo.entries[left - 1] : NULL);
		left -= has;
	}
	if (!err)
		err = each_slot(w->c, &w->undo, collection, release_slot, NULL);
	if (collection)
		collection_unref(collection);
	return err ? walk_fail(w, err, "its rows") : ERR_NONE;
}

struct marking {
	struct committer *c;
	struct collection *collection;
};

static enum err mark_record(void *ctx, struct position p, const struct undo *u)
{
	const struct marking *m = ctx;

	(void)p;
	if (incarnation_compare(u->incarnation, collection_incarnation(m->collection)) != 0)
		return ERR_NONE;
	return each_slot(m->c, u, m->collection, mark_slot, m->collection);
}

/* What else refers to slots of a collection that comes back: the log, and older undo records. */
static enum err mark_collection(void *ctx, struct collection *collection)
{
	struct committer *c = ctx;
	struct marking m = { c, collection };
	enum err err = oplog_mark_collection(c->o.store, c->txn.store, collection);

	return err ? err : undo_each(c->o.store, c->txn.store, SCOPE_FLEET, mark_record, &m);
}

static enum err undo_collection(struct walk *w)
{
	const struct catalog_restoring r = { .incarnation = w->subject->incarnation,
					     .record = w->undo.catalog_record,
					     .mark = mark_collection,
					     .ctx = w->c };

	if (!w->has_undo || !w->undo.catalog_record.data)
		return walk_fail(w, ERR_NOT_FOUND, "its undo record");
	if (op_subject(&w->entry.op)->kind == OP_ALIASES)
		return catalog_aliases_restore(w->c->o.catalog, w->c->txn.store, w->undo.catalog_record, w->fault);
	return catalog_restore(w->c->o.catalog, w->c->txn.store, &r, w->fault);
}

/* The history before an epoch began: that of the epoch whose end it gives last. */
static enum err undo_epoch(struct walk *w)
{
	struct commit_txn *t = &w->c->txn;
	const struct op *op = &w->entry.op;
	enum err err = ERR_NONE;

	history_init(&t->history);
	if (op->chain_count > 0)
		err = history_set(&t->history, op->chain, op->chain_count - 1, op->chain[op->chain_count - 1].epoch);
	t->has_history = !err;
	return err ? walk_fail(w, err, "the history before it") : ERR_NONE;
}

/* Listed orphans as they were; what only this op had listed is this region's to offer again. */
static enum err undo_listing(struct walk *w)
{
	enum err err = ERR_NONE;

	for (uint32_t i = w->undo.orphan_count; i > 0 && !err; i--)
		err = commit_orphan_restore(w->c, &w->undo.orphans[i - 1]);
	if (!err && w->undo.orphan_count == 0)
		err = w->entry.op.kind == OP_ORPHAN ? commit_orphan_unlist(w->c, &w->entry.op) : ERR_NOT_FOUND;
	return err ? walk_fail(w, err, "the list of orphans") : ERR_NONE;
}

static enum err undo_effect(struct walk *w)
{
	enum op_kind kind = w->entry.op.kind;
	bool is_about_orphan = kind == OP_ORPHAN || kind == OP_ORPHAN_APPLY || kind == OP_ORPHAN_DROP;
	enum err err = is_about_orphan ? undo_listing(w) : ERR_NONE;

	if (err)
		return err;
	if (w->subject->kind >= OP_UPSERT)
		return undo_points(w);
	if (w->subject->kind >= OP_CREATE_COLLECTION)
		return undo_collection(w);
	return kind == OP_EPOCH_START ? undo_epoch(w) : ERR_NONE;
}

static enum err keep_orphan(struct walk *w)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(2 * OP_BYTES_MAX);
	const struct orphan_totals *t = &w->c->txn.place.orphans;
	struct op *op = &w->entry.op;

	if (op->kind < OP_CREATE_COLLECTION)
		return ERR_NONE;
	enum err err = oplog_fill(w->c->o.catalog, op, &w->arena);
	if (!err)
		err = op_encode(op, OP_FORM_WIRE, &b);
	if (!err && t->bytes[ORPHAN_LOCAL] + t->bytes[ORPHAN_OPEN] + b.len > w->c->o.orphan_bytes_max)
		return fault_set(w->fault, ERR_NO_SPACE,
				 "the orphan store is full (%llu bytes): decide about the orphans that are listed first "
				 "(isthmusctl orphans)",
				 (unsigned long long)w->c->o.orphan_bytes_max);
	struct orphan o = { .id = { op->scope, w->at, w->entry.chain_hash },
			    .state = ORPHAN_LOCAL,
			    .op = buf_bytes(&b) };
	orphan_describe(&o, op);
	if (!err)
		err = commit_orphan_set(w->c, &o);
	if (err)
		return walk_fail(w, err, "keeping it as an orphan");
	w->r->orphans++;
	return ERR_NONE;
}

/* What stood before the op: position, running hash, whether its writer had released. */
static enum err step_back(struct walk *w)
{
	struct place *place = &w->c->txn.place;
	const struct op *op = &w->entry.op;
	struct position before = { .epoch = w->at.epoch, .seq = w->at.seq - 1 };
	struct oplog_entry entry = { 0 };

	if (op->kind == OP_EPOCH_START) {
		const struct epoch_end *last = op->chain_count > 0 ? &op->chain[op->chain_count - 1] : NULL;
		before = last ? (struct position){ last->epoch, last->end } : (struct position){ 0 };
	}
	enum err err = before.epoch == 0 ? ERR_NONE
					 : oplog_get(w->c->o.store, w->c->txn.store, SCOPE_FLEET, before, &w->arena,
						     &entry, w->fault);
	if (err)
		return err;
	place->position = before;
	place->chain_hash = entry.chain_hash;
	place->released = entry.op.kind == OP_RELEASE && before.epoch != 0;
	place->released_to = place->released ? entry.op.target : 0;
	return ERR_NONE;
}

static enum err forget_op(struct walk *w)
{
	struct committer *c = w->c;
	enum err err = oplog_remove(c->o.store, c->txn.store, SCOPE_FLEET, w->at);

	if (!err && w->has_undo) {
		c->txn.undo_changed = true;
		err = undo_remove(c->o.store, c->txn.store, SCOPE_FLEET, w->at);
		c->undo_count--;
	}
	if (err)
		return walk_fail(w, err, "its records");
	c->txn.place.log_ops--;
	c->txn.place.log_bytes -= w->entry.record_bytes;
	c->txn.rewound = true;
	w->r->ops++;
	return ERR_NONE;
}

static enum err walk_op(struct walk *w)
{
	struct committer *c = w->c;
	enum err err = oplog_get(c->o.store, c->txn.store, SCOPE_FLEET, w->at, &w->arena, &w->entry, w->fault);

	if (err)
		return err;
	w->subject = op_subject(&w->entry.op);
	err = undo_get(c->o.store, c->txn.store, SCOPE_FLEET, w->at, &w->arena, &w->undo);
	w->has_undo = !err;
	if (err == ERR_NOT_FOUND)
		w->undo = (struct undo){ 0 };
	else if (err)
		return walk_fail(w, err, "its undo record");
	err = keep_orphan(w);
	if (!err)
		err = undo_effect(w);
	if (!err)
		err = step_back(w);
	return err ? err : forget_op(w);
}

/* One transaction's part. Changes of collections and epochs have one of their own. */
static enum err walk_part(struct walk *w)
{
	struct committer *c = w->c;
	bool alone = false;
	enum err err = commit_txn_begin(c, w->fault);

	if (!err && w->r->history)
		err = commit_promise_raise(c, w->r->history->epoch, w->fault);
	for (unsigned i = 0; !err && !alone && i < REWIND_OPS_MAX; i++) {
		w->at = c->txn.place.position;
		if (position_compare(w->at, w->r->to) <= 0)
			break;
		arena_init(&w->arena, UNDO_ARENA_BYTES_MAX);
		err = oplog_get(c->o.store, c->txn.store, SCOPE_FLEET, w->at, &w->arena, &w->entry, w->fault);
		alone = !err && commit_is_alone(&w->entry.op);
		if (!err && !(alone && i > 0))
			err = walk_op(w);
		arena_release(&w->arena);
	}
	return err ? err : commit_txn_commit(c, w->fault);
}

/* Which of its ops make way is decided here, where no other op comes in between. */
static enum err find_target(const struct walk *w)
{
	const struct committer *c = w->c;
	struct rewind *r = w->r;
	const struct history *h = r->history;

	if (!h)
		return ERR_NONE;
	enum err err = history_common(&c->history, c->place.position, h, r->end, &r->to);
	if (err)
		return fault_set(w->fault, err,
				 "the history that goes on with epoch %llu, and this region's, which stands at (%llu,%llu), have no "
				 "epoch that both remember",
				 (unsigned long long)h->epoch, (unsigned long long)c->place.position.epoch,
				 (unsigned long long)c->place.position.seq);
	if (position_compare(r->to, c->place.position) == 0)
		return ERR_NONE;
	if (h->epoch <= c->history.epoch)
		return fault_set(w->fault, ERR_UNAVAILABLE, "epoch %llu is not newer than this region's, which is %llu",
				 (unsigned long long)h->epoch, (unsigned long long)c->history.epoch);
	return commit_fence(c, ERR_UNAVAILABLE, MAX(h->epoch, r->history_epoch), w->fault);
}

enum err commit_rewind(struct committer *c, struct rewind *r, struct fault *reterr_fault)
{
	struct walk w = { .c = c, .r = r, .fault = reterr_fault };

	ASSERT(!c->txn.store);
	r->ops = r->orphans = 0;
	enum err err = find_target(&w);
	if (!err)
		err = check_target(&w);
	if (err || position_compare(c->place.position, r->to) == 0)
		return err;
	commit_set_writing(c, false);
	while (!err && position_compare(c->place.position, r->to) > 0)
		err = walk_part(&w);
	if (err)
		commit_txn_abandon(c);
	if (w.lost > 0)
		log_warn("vectors that ops had replaced are damaged and left out of their rows, for an audit to repair "
			 "vectors=%llu",
			 (unsigned long long)w.lost);
	if (r->ops > 0)
		log_warn("ops outside the history were taken back ops=%llu orphans=%llu to=(%llu,%llu)",
			 (unsigned long long)r->ops, (unsigned long long)r->orphans,
			 (unsigned long long)c->place.position.epoch, (unsigned long long)c->place.position.seq);
	return err;
}
