/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of orphans, and what is decided about them.
 *
 * What a region took back is LOCAL there. Whoever writes logs each orphan once, as an OP_ORPHAN that carries it: by applying
 * that, every region comes to list it as OPEN, and it outlives the region that had it. OP_ORPHAN_APPLY carries it once more,
 * so that what the op does follows from the op alone: the orphan is merged with its own version, and so never beats what was
 * written in a later epoch (protocol: 22, 24). OP_ORPHAN_DROP only says so. Equal positions mean equal lists, but for what
 * is LOCAL.
 *
 * These ops may be taken back themselves: then the list becomes what it was by the undo record, and an orphan that only the
 * op had listed becomes LOCAL here, whoever took it back in the first place, to be offered to the next primary.
 *
 * Changes of collections have no versions that could be compared. Only those are applied that take nothing from what was
 * done since: a collection whose name is free, a payload index where there is none.
 */
#include "replicator/commit_inner.h"

#include "base/log.h"
#include "base/metric.h"
#include "base/panic.h"
#include "index/order.h"

#include <string.h>

enum err commit_orphan_open(struct committer *c, struct fault *reterr_fault)
{
	struct store *s = c->o.store;
	struct store_txn *t;
	enum err err = s->ops->begin(s, false, &t);

	if (!err) {
		err = orphan_count(s, t, &c->place.orphans);
		s->ops->abort(t);
	}
	if (err)
		return fault_set(reterr_fault, err, "reading the orphan store: %s", err_sentence(err));
	commit_orphan_metrics(c);
	return ERR_NONE;
}

void commit_orphan_metrics(const struct committer *c)
{
	for (enum orphan_state s = 0; s < ORPHAN_STATES; s++)
		metric_series_set(metric_series(METRIC_isthmus_orphans, orphan_state_word(s)),
				  (double)c->place.orphans.count[s]);
}

/* --- records --- */

static struct orphan_id id_of(const struct op *op)
{
	return (struct orphan_id){ op->scope, op->orphan_at, op->orphan_hash };
}

/* ERR_NOT_FOUND. */
static enum err get(struct committer *c, const struct orphan_id *id, struct arena *a, struct orphan *ret_orphan)
{
	return orphan_get(c->o.store, c->txn.store, id, a, ret_orphan);
}

static enum err forget(struct committer *c, const struct orphan *o)
{
	orphan_totals_remove(&c->txn.place.orphans, o);
	return orphan_remove(c->o.store, c->txn.store, &o->id);
}

enum err commit_orphan_set(struct committer *c, const struct orphan *o)
{
	CLEANUP(arena_release) struct arena a;
	struct orphan before;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	enum err err = get(c, &o->id, &a, &before);
	if (err && err != ERR_NOT_FOUND)
		return err;
	if (!err)
		orphan_totals_remove(&c->txn.place.orphans, &before);
	orphan_totals_add(&c->txn.place.orphans, o);
	return orphan_put(c->o.store, c->txn.store, o);
}

enum err commit_orphan_is_in(struct committer *c, const struct op *op)
{
	CLEANUP(arena_release) struct arena a;
	const struct place *p = &c->txn.place;
	const struct orphan_id id = { op->scope, p->position, p->chain_hash };
	struct orphan o;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	if (p->orphans.count[ORPHAN_LOCAL] == 0)
		return ERR_NONE;
	enum err err = get(c, &id, &a, &o);
	if (!err && o.state == ORPHAN_LOCAL)
		err = forget(c, &o);
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

/* --- effects --- */

/* What was listed before is not touched: the one who writes lists nothing twice. */
enum err commit_orphan_list(struct committer *c, const struct op *op)
{
	CLEANUP(arena_release) struct arena a;
	const struct orphan_id id = id_of(op);
	struct orphan o;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	enum err err = get(c, &id, &a, &o);
	if (!err && o.state != ORPHAN_LOCAL)
		return commit_undo_orphan(c, &id, &o);
	if (err && err != ERR_NOT_FOUND)
		return err;
	o = (struct orphan){ .id = id,
			     .state = ORPHAN_OPEN,
			     .listed = { .epoch = op->epoch, .seq = op->seq },
			     .op = op->orphan };
	orphan_describe(&o, op->inner);
	return commit_orphan_set(c, &o);
}

static enum err forget_oldest_decided(struct committer *c)
{
	CLEANUP(arena_release) struct arena a;
	const struct orphan_totals *t = &c->txn.place.orphans;
	struct orphan o;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	if (t->count[ORPHAN_APPLIED] + t->count[ORPHAN_DROPPED] <= ORPHANS_DECIDED_MAX)
		return ERR_NONE;
	enum err err = orphan_first(c->o.store, c->txn.store, ORPHAN_DROPPED, &a, &o);
	if (!err)
		err = commit_undo_orphan(c, &o.id, &o);
	return err ? err : forget(c, &o);
}

enum err commit_orphan_decide(struct committer *c, const struct op *op)
{
	CLEANUP(arena_release) struct arena a;
	const struct orphan_id id = id_of(op);
	bool apply = op->kind == OP_ORPHAN_APPLY;
	struct orphan o;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	enum err err = get(c, &id, &a, &o);
	if (err && err != ERR_NOT_FOUND)
		return err;
	bool listed = !err;
	err = commit_undo_orphan(c, &id, listed ? &o : NULL);
	if (err)
		return err;
	if (!listed)
		o = (struct orphan){ .id = id };
	if (!listed && apply)
		orphan_describe(&o, op->inner);
	o.state = apply ? ORPHAN_APPLIED : ORPHAN_DROPPED;
	o.decided = (struct position){ .epoch = op->epoch, .seq = op->seq };
	o.decided_hlc = op->hlc;
	o.op = (struct bytes){ 0 };
	err = commit_orphan_set(c, &o);
	return err ? err : forget_oldest_decided(c);
}

/* --- taken back --- */

enum err commit_orphan_restore(struct committer *c, const struct undo_orphan *before)
{
	CLEANUP(arena_release) struct arena a;
	struct orphan o;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	if (before->record.len > 0) {
		enum err err = orphan_decode(before->record, &before->id, &o);
		return err ? err : commit_orphan_set(c, &o);
	}
	enum err err = get(c, &before->id, &a, &o);
	if (err)
		return err == ERR_NOT_FOUND ? ERR_NONE : err;
	return forget(c, &o);
}

enum err commit_orphan_unlist(struct committer *c, const struct op *op)
{
	struct orphan o = { .id = id_of(op), .state = ORPHAN_LOCAL, .op = op->orphan };

	orphan_describe(&o, op->inner);
	return commit_orphan_set(c, &o);
}

/* --- by the one who writes --- */

static enum err begin(struct committer *c, struct fault *f)
{
	if (!c->writing)
		return fault_set(f, ERR_NOT_PRIMARY, "this region is not the primary");
	enum err err = commit_fence(c, ERR_NOT_PRIMARY, c->history.epoch, f);
	if (!err && c->o.may_write)
		err = c->o.may_write(c->o.ctx, SCOPE_FLEET, c->history.epoch, f);
	return err ? err : commit_txn_begin(c, f);
}

/* One op; what is full is committed before it. */
static enum err write_op(struct committer *c, struct op *op, struct fault *f)
{
	static const struct bytes encode_here;
	bool alone = commit_is_alone(op);
	enum err err = ERR_NONE;

	if (alone || c->txn.ops >= COMMIT_OPS_MAX || c->txn.bytes >= COMMIT_BYTES_MAX)
		err = commit_txn_commit(c, f);
	if (!err)
		err = begin(c, f);
	if (!err)
		err = commit_stamp(c, op, f);
	if (!err)
		err = commit_txn_apply(c, op, encode_here, f);
	return !err && alone ? commit_txn_commit(c, f) : err;
}

/* --- listing --- */

static enum err decode_offered(const struct offered_orphan *item, struct arena *a, struct op *ret_op, struct fault *f)
{
	enum err err = op_decode(item->op, OP_FORM_WIRE, a, ret_op, f);

	if (err)
		return err;
	if (ret_op->kind < OP_CREATE_COLLECTION || ret_op->scope != SCOPE_FLEET || ret_op->region != (uint8_t)ret_op->epoch)
		return fault_set(f, ERR_BAD_INPUT, "op (%llu, %llu) of kind %s is none that can be an orphan",
				 (unsigned long long)ret_op->epoch, (unsigned long long)ret_op->seq, op_kind_name(ret_op->kind));
	return ERR_NONE;
}

/* Is it to be listed? Only the history of this moment says what lies outside. */
static enum err is_new(struct committer *c, const struct op *orphan, uint64_t chain_hash, struct arena *a, bool *ret_new)
{
	const struct orphan_id id = { orphan->scope, { orphan->epoch, orphan->seq }, chain_hash };
	enum history_place place = history_find(commit_history(c), c->txn.place.position, id.position);
	struct orphan known;
	enum err err = get(c, &id, a, &known);

	*ret_new = (err == ERR_NOT_FOUND || (!err && known.state == ORPHAN_LOCAL)) && place != HISTORY_IN &&
		   place != HISTORY_AHEAD;
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err list_one(struct committer *c, const struct offered_orphan *item, struct orphan_offer *offer, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;
	struct op inner;
	bool new;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	enum err err = decode_offered(item, &a, &inner, f);
	if (!err)
		err = begin(c, f);
	if (err)
		return err;
	err = is_new(c, &inner, item->chain_hash, &a, &new);
	if (err)
		return fault_set(f, err, "reading the orphan store: %s", err_sentence(err));
	if (!new)
		return ERR_NONE;
	if (c->txn.place.orphans.bytes[ORPHAN_OPEN] + item->op.len > c->o.orphan_bytes_max)
		return fault_set(f, ERR_NO_SPACE,
				 "the list of orphans is full (%llu bytes): decide about those that are listed first "
				 "(isthmusctl orphans)",
				 (unsigned long long)c->o.orphan_bytes_max);
	struct op op = { .kind = OP_ORPHAN,
			 .orphan = item->op,
			 .orphan_at = { inner.epoch, inner.seq },
			 .orphan_hash = item->chain_hash,
			 .inner = &inner };
	err = write_op(c, &op, f);
	offer->listed += !err;
	return err;
}

enum err commit_orphans_offered(struct committer *c, struct orphan_offer *offer, struct fault *reterr_fault)
{
	enum err err = begin(c, reterr_fault);
	bool full = false;

	offer->listed = 0;
	for (uint32_t i = 0; i < offer->count && !err && !full; i++) {
		err = list_one(c, &offer->items[i], offer, reterr_fault);
		full = err == ERR_NO_SPACE;
		if (full)
			err = ERR_NONE;
	}
	if (!err)
		err = commit_txn_commit(c, reterr_fault);
	offer->position = c->place.position;
	if (err)
		offer->listed = 0;
	return full && !err ? ERR_NO_SPACE : err;
}

/* --- deciding --- */

static enum err check_points(struct committer *c, const struct op *op, struct fault *f)
{
	struct collection *collection = catalog_get_incarnation(c->o.catalog, op->inner->incarnation);

	if (!collection)
		return fault_set(f, ERR_NOT_FOUND,
				 "its collection is not there: if its creation is an orphan too, apply that first; if it was "
				 "dropped, drop the orphan, or export it");
	bool multi = collection_config(collection)->multi_writer;
	collection_unref(collection);
	if (multi)
		return fault_set(f, ERR_BAD_INPUT, "every region writes its collection: that has no orphans");
	return commit_check_remote(c, op, f) ? fault_set(f, ERR_BAD_INPUT, "it has a vector that does not fit its collection")
					     : ERR_NONE;
}

static enum err check_field_index(struct committer *c, const struct op *orphan, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;
	struct collection *collection = catalog_get_incarnation(c->o.catalog, orphan->incarnation);
	struct field_index_info *fields;
	uint32_t count = 0;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	if (!collection)
		return fault_set(f, ERR_NOT_FOUND, "its collection is not there");
	enum err err = collection_field_indexes(collection, &a, &fields, &count);
	collection_unref(collection);
	for (uint32_t i = 0; i < count && !err; i++)
		if (str_compare(fields[i].config.key, orphan->field_index.key) == 0)
			return fault_set(f, ERR_ALREADY_EXISTS, "there is a payload index of %.*s: drop the orphan",
					 STR_FMT(orphan->field_index.key));
	return err;
}

/* Before anything is changed: whatever could be refused. */
static enum err check_applicable(struct committer *c, const struct op *op, struct fault *f)
{
	const struct op *orphan = op->inner;
	struct incarnation i;

	ASSERT(orphan != NULL);
	if (orphan->kind >= OP_UPSERT)
		return check_points(c, op, f);
	if (orphan->kind == OP_FIELD_INDEX_PUT)
		return check_field_index(c, orphan, f);
	if (orphan->kind != OP_CREATE_COLLECTION)
		return fault_set(f, ERR_BAD_INPUT,
				 "an orphan of kind %s is not applied, as it might undo what was done since: do it again if it is "
				 "still wanted, and drop the orphan",
				 op_kind_name(orphan->kind));
	if (catalog_has(c->o.catalog, orphan->name, &i))
		return fault_set(f, ERR_ALREADY_EXISTS,
				 "there is another collection `%.*s`: drop the orphan, or that collection first",
				 STR_FMT(orphan->name));
	return ERR_NONE;
}

/* *ret_known: it was decided so before. */
static enum err check_state(struct committer *c, const struct orphan_verdict *v, struct arena *a, struct orphan *ret_orphan,
			    bool *ret_known, struct fault *f)
{
	char id[ORPHAN_ID_TEXT_MAX];
	struct orphan o;
	enum err err = get(c, &v->id, a, &o);

	*ret_known = false;
	orphan_id_format(&v->id, id);
	if (err)
		return fault_set(f, err, "orphan %s: %s", id, err_sentence(err));
	if (o.state == ORPHAN_LOCAL)
		return fault_set(f, ERR_UNAVAILABLE, "orphan %s is not listed in all regions yet; retry", id);
	if (o.state != ORPHAN_OPEN && o.state != (v->apply ? ORPHAN_APPLIED : ORPHAN_DROPPED))
		return fault_set(f, ERR_ALREADY_EXISTS, "orphan %s was %s already", id, orphan_state_word(o.state));
	*ret_known = o.state != ORPHAN_OPEN;
	*ret_orphan = o;
	return ERR_NONE;
}

/* *ret_dirty: the transaction has to be abandoned. */
static enum err decide_one(struct committer *c, const struct orphan_verdict *v, bool *ret_dirty, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;
	struct op inner;
	struct orphan o;
	bool known;

	*ret_dirty = true;
	arena_init(&a, OP_ARENA_BYTES_MAX);
	enum err err = begin(c, f);
	if (err)
		return err;
	*ret_dirty = false;
	err = check_state(c, v, &a, &o, &known, f);
	if (err || known)
		return err;
	err = op_decode(o.op, OP_FORM_WIRE, &a, &inner, f);
	struct op op = { .kind = v->apply ? OP_ORPHAN_APPLY : OP_ORPHAN_DROP,
			 .orphan = v->apply ? o.op : (struct bytes){ 0 },
			 .orphan_at = v->id.position,
			 .orphan_hash = v->id.chain_hash,
			 .inner = v->apply ? &inner : NULL };
	if (!err && v->apply)
		err = check_applicable(c, &op, f);
	if (err)
		return err;
	*ret_dirty = true;
	return write_op(c, &op, f);
}

/* Of those from `first` on nothing was done. */
static void fail_rest(struct orphan_decision *d, uint32_t first, enum err err, const struct fault *why)
{
	for (uint32_t i = first; i < d->count; i++)
		if (!d->items[i].err)
			d->items[i].err = fault_set(&d->items[i].fault, err, "%s", fault_text(why));
}

static uint32_t count_done(const struct orphan_decision *d)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < d->count; i++)
		done += d->items[i].err == ERR_NONE;
	return done;
}

enum err commit_orphans_decided(struct committer *c, struct orphan_decision *d, struct fault *reterr_fault)
{
	struct fault why = { 0 };
	uint32_t committed = 0; /* those before it */
	enum err err = ERR_NONE;
	bool dirty = true;

	for (uint32_t i = 0; i < d->count; i++)
		d->items[i].err = ERR_NONE;
	for (uint32_t i = 0; i < d->count; i++) {
		struct orphan_verdict *v = &d->items[i];
		struct position before = c->place.position;
		struct fault f = { 0 };
		err = decide_one(c, v, &dirty, &f);
		/* Committed within: all before it, and it too when it is alone. */
		if (position_compare(c->place.position, before) != 0)
			committed = !err && (!c->txn.store || c->txn.ops == 0) ? i + 1 : i;
		if (err && dirty) {
			why = f;
			break;
		}
		v->err = err;
		v->fault = f;
		err = ERR_NONE;
	}
	if (!err)
		err = commit_txn_commit(c, &why);
	if (err)
		fail_rest(d, committed, err, &why);
	d->done = count_done(d);
	d->position = c->place.position;
	return err ? fault_set(reterr_fault, err, "%s", fault_text(&why)) : ERR_NONE;
}
