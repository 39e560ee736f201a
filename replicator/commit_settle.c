/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settling: a row that is wrong here becomes what a region that is right had at a position of the history, and what the
 * ops since then made of it. Merging is a function of row and op, so the result is the row that this region would have,
 * had it never been wrong; at any other state it would overwrite ops, or come before them.
 *
 * A collection that every region writes has no history, and its rows are joins of what was applied, in whatever order. There
 * the right row is taken when everything that it shows was applied here, too, and joined with what this region's logs have
 * after the ends that the other region stood at.
 *
 * Slots. What the wrong row says of its slots is not believed: none is freed by it. One that no row and no op refers to
 * is found free at the next start. A slot is kept only where it holds the very vector, by stamp, hash and values.
 */
#include "replicator/commit_inner.h"

#include "base/log.h"
#include "base/panic.h"
#include "index/order.h"

#include <stdlib.h>

#define SETTLE_ARENA_BYTES_MAX ((size_t)512 << 20)

/* A row on its way to this position. */
struct settling {
	struct point_id id;
	bool present;
	struct row row;
};

struct settle_run {
	struct committer *c;
	struct settle *s;
	struct collection *collection;
	bool multi;               /* every region writes it */
	struct arena arena;       /* the rows, and the ops that changed them */
	struct settling *rows;    /* by id */
	uint32_t ops;             /* looked at since */
	struct fault *fault;
};

static enum err no_memory(struct settle_run *r)
{
	return fault_set(r->fault, ERR_NO_MEMORY, "no memory for settling %u rows", r->s->row_count);
}

/* --- where the rows come from --- */

static enum err check_place(struct settle_run *r)
{
	CLEANUP(arena_release) struct arena a;
	struct committer *c = r->c;
	struct position at = r->s->at;
	uint64_t here = c->place.chain_hash;
	struct oplog_entry entry;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	if (position_compare(c->place.position, at) < 0)
		return fault_set(r->fault, ERR_GAP, "this region has not reached (%llu, %llu)",
				 (unsigned long long)at.epoch, (unsigned long long)at.seq);
	if (history_find(&c->history, c->place.position, at) != HISTORY_IN)
		return fault_set(r->fault, ERR_FORK, "(%llu, %llu) is not in this region's history",
				 (unsigned long long)at.epoch, (unsigned long long)at.seq);
	if (position_compare(c->place.position, at) != 0) {
		enum err err = oplog_get(c->o.store, c->txn.store, SCOPE_FLEET, at, &a, &entry, r->fault);
		if (err == ERR_NOT_FOUND)
			return fault_set(r->fault, ERR_GAP, "the log no longer holds (%llu, %llu)",
					 (unsigned long long)at.epoch, (unsigned long long)at.seq);
		if (err)
			return err;
		here = entry.chain_hash;
	}
	if (here != r->s->chain_hash)
		return fault_set(r->fault, ERR_FORK, "the running hash at (%llu, %llu) differs from this region's",
				 (unsigned long long)at.epoch, (unsigned long long)at.seq);
	return ERR_NONE;
}

static int settling_compare(const void *a, const void *b)
{
	const struct settling *x = a;
	const struct settling *y = b;

	return point_id_compare(x->id, y->id);
}

static enum err take_rows(struct settle_run *r)
{
	const struct settle *s = r->s;

	r->rows = arena_array(&r->arena, s->row_count, sizeof(*r->rows));
	if (!r->rows)
		return no_memory(r);
	for (uint32_t i = 0; i < s->row_count; i++)
		r->rows[i] = (struct settling){ .id = s->rows[i].id,
						.present = s->rows[i].present,
						.row = s->rows[i].row };
	if (s->row_count > 1)
		qsort(r->rows, s->row_count, sizeof(*r->rows), settling_compare);
	for (uint32_t i = 1; i < s->row_count; i++)
		if (point_id_equal(r->rows[i - 1].id, r->rows[i].id))
			return fault_set(r->fault, ERR_BAD_INPUT, "a row is given twice");
	return ERR_NONE;
}

/* --- the ops since --- */

static struct settling *find(const struct settle_run *r, struct point_id id)
{
	struct settling key = { .id = id };

	return bsearch(&key, r->rows, r->s->row_count, sizeof(key), settling_compare);
}

static uint32_t item_count(const struct op *op)
{
	return op->points ? op->point_count : op->id_count;
}

static struct point_id item_id(const struct op *op, uint32_t i)
{
	return op->points ? op->points[i].id : op->ids[i];
}

static bool concerns(const struct settle_run *r, const struct op *logged)
{
	const struct op *op = op_subject(logged);

	if (op->kind < OP_UPSERT || incarnation_compare(op->incarnation, r->s->incarnation) != 0)
		return false;
	for (uint32_t i = 0; i < item_count(op); i++)
		if (find(r, item_id(op, i)))
			return true;
	return false;
}

static enum err apply_again(struct settle_run *r, struct op *logged)
{
	struct position p = { .epoch = logged->epoch, .seq = logged->seq };
	enum err err = oplog_fill(r->c->o.catalog, logged, &r->arena);
	const struct op *op = op_subject(logged);

	for (uint32_t i = 0; i < item_count(op) && !err; i++) {
		struct settling *s = find(r, item_id(op, i));
		enum merge_result result;
		struct row row;
		if (!s)
			continue;
		err = merge_apply(s->present ? &s->row : NULL, op, i, &r->arena, &row, &result, NULL);
		if (err || result == MERGE_UNCHANGED)
			continue;
		row.op_number = r->multi ? 0 : history_number(&r->c->history, p);
		s->row = row;
		s->present = true;
	}
	return err ? fault_set(r->fault, err, "applying op (%llu, %llu) again: %s", (unsigned long long)p.epoch,
			       (unsigned long long)p.seq, err_sentence(err))
		   : ERR_NONE;
}

/* Looked at with memory of its own; only an op that concerns the rows is read into theirs. */
static enum err step(struct settle_run *r, struct position *p)
{
	CLEANUP(arena_release) struct arena a;
	struct committer *c = r->c;
	uint16_t scope = r->multi ? SCOPE_MULTI : SCOPE_FLEET;
	struct oplog_entry entry;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	if (r->ops++ == SETTLE_OPS_MAX)
		return fault_set(r->fault, ERR_GAP, "more than %u ops follow the rows", SETTLE_OPS_MAX);
	enum err err = oplog_next(c->o.store, c->txn.store, scope, *p, &a, &entry, r->fault);
	if (err)
		return err;
	*p = (struct position){ .epoch = entry.op.epoch, .seq = entry.op.seq };
	if (!concerns(r, &entry.op))
		return ERR_NONE;
	err = oplog_get(c->o.store, c->txn.store, scope, *p, &r->arena, &entry, r->fault);
	return err ? err : apply_again(r, &entry.op);
}

static enum err roll_forward(struct settle_run *r)
{
	struct position p = r->s->at;
	enum err err = ERR_NONE;

	while (!err && position_compare(p, r->c->place.position) < 0)
		err = step(r, &p);
	return err;
}

/* --- several writers --- */

/* The other region's end of that log; zero when it had nothing of it. */
static struct log_mark end_there(const struct settle_run *r, uint64_t log)
{
	for (uint32_t i = 0; i < r->s->log_count; i++)
		if (r->s->logs[i].log == log)
			return r->s->logs[i];
	return (struct log_mark){ .log = log };
}

/* Both have that op of the log, and of the log's ops before it the same. */
static enum err check_log(struct settle_run *r, const struct log_mark *here, const struct log_mark *there)
{
	CLEANUP(arena_release) struct arena a;
	struct position p = { .epoch = there->log, .seq = there->seq };
	uint64_t hash = here->chain_hash;
	struct oplog_entry entry;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	if (there->seq < here->seq) {
		enum err err = oplog_get(r->c->o.store, r->c->txn.store, SCOPE_MULTI, p, &a, &entry, r->fault);
		if (err == ERR_NOT_FOUND)
			return fault_set(r->fault, ERR_GAP, "log %llx no longer holds op %llu",
					 (unsigned long long)there->log, (unsigned long long)there->seq);
		if (err)
			return err;
		hash = entry.chain_hash;
	}
	return hash == there->chain_hash
		       ? ERR_NONE
		       : fault_set(r->fault, ERR_FORK, "the running hash of log %llx differs at op %llu",
				   (unsigned long long)there->log, (unsigned long long)there->seq);
}

/* One log, from the other region's end to this one's. */
static enum err join_log(struct settle_run *r, const struct log_mark *here)
{
	struct log_mark there = end_there(r, here->log);
	struct position p = { .epoch = here->log, .seq = there.seq };

	if (there.seq > here->seq)
		return ERR_NONE;
	enum err err = there.seq > 0 ? check_log(r, here, &there) : ERR_NONE;
	while (!err && p.seq < here->seq) {
		uint64_t next = p.seq + 1;
		err = step(r, &p);
		if (err == ERR_NOT_FOUND || (!err && (p.epoch != here->log || p.seq != next)))
			err = fault_set(r->fault, ERR_GAP, "log %llx no longer holds op %llu",
					(unsigned long long)here->log, (unsigned long long)next);
	}
	return err;
}

static enum err join_logs(struct settle_run *r)
{
	struct log_mark here;
	enum err err = ERR_NONE;

	for (uint32_t i = 0; !err && commit_multi_end(r->c, i, &here); i++)
		err = join_log(r, &here);
	return err;
}

/* What the rows show must have been applied here: else the row would be ahead of the logs. */
static enum err check_seen(struct settle_run *r)
{
	struct cutoff seen;
	enum err err = commit_multi_seen(r->c, &seen);

	if (err)
		return fault_set(r->fault, err, "the logs of all regions: %s", err_sentence(err));
	for (uint32_t i = 0; i < r->s->row_count; i++)
		if (r->rows[i].present && !cutoff_has_row(&seen, &r->rows[i].row))
			return fault_set(r->fault, ERR_GAP, "this region has not all ops that the rows are made of");
	return ERR_NONE;
}

/* --- storing --- */

static bool holds_its_values(const struct row_vector *v)
{
	return !v->present || vector_hash(&v->vector) == v->hash;
}

static bool is_right(const struct settle_run *r, const struct settling *s, const struct row *stored)
{
	if (!stored || !s->present)
		return !stored && !s->present;
	struct hash128 here = row_digest(stored, r->s->incarnation);
	struct hash128 there = row_digest(&s->row, r->s->incarnation);
	if (here.lo != there.lo || here.hi != there.hi || stored->op_number != s->row.op_number ||
	    stored->visible != s->row.visible)
		return false;
	for (uint32_t i = 0; i < stored->vector_count; i++)
		if (!holds_its_values(&stored->vectors[i]))
			return false;
	return true;
}

/* New slots for all but what the stored row has right. An op of the log names a slot too, but not surely a sound one. */
static enum err keep_slots(struct settle_run *r, struct row *row, const struct row *stored)
{
	struct row_vector *vectors = arena_array(&r->arena, row->vector_count, sizeof(*vectors));

	if (!vectors)
		return no_memory(r);
	for (uint32_t i = 0; i < row->vector_count; i++) {
		struct row_vector *v = &vectors[i];
		*v = row->vectors[i];
		v->slot = SLOT_NONE;
		for (uint32_t k = 0; stored && v->present && k < stored->vector_count; k++) {
			const struct row_vector *old = &stored->vectors[k];
			if (str_compare(old->name, v->name) == 0 && old->present && old->hash == v->hash &&
			    stamp_compare(old->stamp, v->stamp) == 0 && holds_its_values(old))
				v->slot = old->slot;
		}
	}
	row->vectors = vectors;
	return ERR_NONE;
}

static enum err settle_row(struct settle_run *r, struct settling *s)
{
	CLEANUP(arena_release) struct arena a;
	struct store_txn *t = r->c->txn.store;
	struct row stored;

	arena_init(&a, ROW_ARENA_BYTES_MAX);
	bool cleared;
	enum err err = collection_row_clear(r->collection, t, s->id, &cleared);
	if (err)
		return fault_set(r->fault, err, "removing what cannot be read: %s", err_sentence(err));
	err = collection_row_load(r->collection, t, s->id, &a, &stored);
	/* A row that cannot be read is wrong, whatever it was. */
	bool unreadable = err == ERR_CORRUPT;
	if (err && err != ERR_NOT_FOUND && !unreadable)
		return fault_set(r->fault, err, "reading a row: %s", err_sentence(err));
	bool exists = !err;
	if (!unreadable && !cleared && is_right(r, s, exists ? &stored : NULL))
		return ERR_NONE;
	r->s->rows_changed++;
	r->c->txn.settled = true;
	if (!s->present && !exists && !unreadable)
		return ERR_NONE; /* only what was cleared */
	if (!s->present) {
		err = collection_row_remove(r->collection, t, s->id);
		return err ? fault_set(r->fault, err, "removing a row: %s", err_sentence(err)) : ERR_NONE;
	}
	err = keep_slots(r, &s->row, exists ? &stored : NULL);
	return err ? err : collection_row_store(r->collection, t, &s->row, r->fault);
}

/* The leaves of one shard. */
static enum err recount_shard(struct settle_run *r, uint32_t shard)
{
	const struct settle *s = r->s;
	uint32_t *leaves = arena_array(&r->arena, (size_t)s->row_count + s->leaf_count, sizeof(*leaves));
	struct leaves_recount recount = { .leaves = leaves };

	if (!leaves)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < s->row_count; i++)
		if (collection_shard_of(r->collection, s->rows[i].id) == shard)
			leaves[recount.count++] =
				merkle_leaf_of(collection_merkle(r->collection, shard), s->rows[i].id);
	for (uint32_t i = 0; i < s->leaf_count; i++)
		if (s->leaves[i].shard == shard)
			leaves[recount.count++] = s->leaves[i].leaf;
	enum err err = recount.count > 0 ? collection_leaves_recount(r->collection, shard, &recount) : ERR_NONE;
	r->s->leaves_changed += recount.changed;
	return !err && recount.failed > 0 ? ERR_CORRUPT : err;
}

/* A leaf that cannot be counted stays as it is, and differs at the next mark. */
static void recount_leaves(struct settle_run *r)
{
	for (uint32_t i = 0; i < collection_shard_count(r->collection); i++) {
		enum err err = recount_shard(r, i);
		if (err)
			log_warn("leaves of a Merkle tree cannot be counted, they stay as they are shard=%u reason=\"%s\"",
				 i, err_sentence(err));
	}
}

static enum err settle_rows(struct settle_run *r)
{
	enum err err = commit_txn_begin(r->c, r->fault);

	if (!err && !r->multi)
		err = check_place(r);
	if (!err)
		err = take_rows(r);
	if (!err && r->multi)
		err = check_seen(r);
	if (!err)
		err = r->multi ? join_logs(r) : roll_forward(r);
	for (uint32_t i = 0; i < r->s->row_count && !err; i++)
		err = settle_row(r, &r->rows[i]);
	if (!err && r->s->note.len > 0) {
		err = commit_copy_put_note(r->c->o.store, r->c->txn.store, r->s->note);
		r->c->txn.settled = true;
	}
	return err ? err : commit_txn_commit(r->c, r->fault);
}

enum err commit_settle(struct committer *c, struct settle *s, struct fault *reterr_fault)
{
	struct settle_run r = { .c = c, .s = s, .fault = reterr_fault };

	ASSERT(!c->txn.store);
	s->rows_changed = s->leaves_changed = 0;
	r.collection = catalog_get_incarnation(c->o.catalog, s->incarnation);
	if (!r.collection)
		return fault_set(reterr_fault, ERR_NOT_FOUND, "the collection was dropped");
	r.multi = collection_config(r.collection)->multi_writer;
	arena_init(&r.arena, SETTLE_ARENA_BYTES_MAX);
	enum err err = s->row_count > 0 ? settle_rows(&r) : ERR_NONE;
	if (err)
		commit_txn_abandon(c);
	else if (!s->copying)
		recount_leaves(&r);
	arena_release(&r.arena);
	collection_unref(r.collection);
	return err;
}
