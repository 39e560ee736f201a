/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transaction: an op of whatever origin becomes rows, a log record, the running hash and the position.
 *
 * Slots. A slot that a row gives up is still referred to by the op that wrote it, while the log holds that op;
 * trimming frees it then. When that op is gone already, the slot is freed with the commit. As one writer stamps in
 * the order of the log, the op is gone exactly when the vector's stamp lies below that of the oldest op held.
 * Vectors that come from an orphan (OP_ORPHAN_APPLY) have its stamp, which may lie above that of the oldest op although no op
 * of the log refers to their slots, as that one has its values in line: such a slot is found free at the next start.
 * No slot is freed before the transaction is committed: an abandoned one leaves the rows as they were.
 */
#include "replicator/commit_inner.h"

#include "base/log.h"
#include "base/metric.h"
#include "base/panic.h"
#include "index/order.h"
#include "replicator/conflict.h"

#include <stdio.h>
#include <stdlib.h>

#define LOSSES_MAX 32
/* Ops that one commit trims at most: twice what it may add, so that the log shrinks under full load. */
#define TRIM_OPS_MAX (2 * COMMIT_OPS_MAX)
/* Checkpoints: the catalogue stores its trees and clears away a part of what dropped collections left. Trees are
 * rebuilt from the rows at start, so no position is kept with them. */
#define CHECKPOINT_NS UINT64_C(5000000000)
#define CHECKPOINT_OPS 50000

/* --- the transaction --- */

const struct history *commit_history(const struct committer *c)
{
	return c->txn.store && c->txn.has_history ? &c->txn.history : &c->history;
}

enum err commit_txn_begin(struct committer *c, struct fault *reterr_fault)
{
	struct commit_txn *t = &c->txn;

	if (t->store)
		return ERR_NONE;
	struct store_txn *store;
	enum err err = c->o.store->ops->begin(c->o.store, true, &store);
	if (err)
		return fault_set(reterr_fault, err, "beginning a transaction: %s",
				 err_sentence(err));
	t->store = store;
	t->place = c->place;
	t->has_history = t->has_logs = t->local = t->settled = t->rewound = t->promised = t->undo_changed = false;
	t->confirmed = c->o.undo && c->o.trim_floor ? c->o.trim_floor(c->o.ctx) : c->place.position;
	t->log_ended = t->promise = 0;
	t->ops = t->freed_count = t->dropped_count = 0;
	t->bytes = 0;
	arena_init(&t->arena, OP_ARENA_BYTES_MAX);
	return ERR_NONE;
}

static void txn_end(struct committer *c)
{
	if (c->txn.has_history)
		history_release(&c->txn.history);
	c->txn.has_history = false;
	c->txn.has_logs = false;
	marked_unref(TAKE(c->txn.marked));
	c->txn.store = NULL;
	c->txn.freed_count = 0;
	arena_release(&c->txn.arena);
}

void commit_txn_abandon(struct committer *c)
{
	if (!c->txn.store)
		return;
	c->o.store->ops->abort(c->txn.store);
	catalog_abandon(c->o.catalog);
	txn_end(c);
	if (c->txn.undo_changed)
		commit_undo_reload(c);
}

/* May another commit succeed, with other writes or more space? Else writing ends. */
static bool is_passing(enum err err)
{
	return err == ERR_NO_SPACE || err == ERR_STORE_FULL || err == ERR_NO_MEMORY ||
	       err == ERR_TOO_LARGE;
}

void commit_set_writing(struct committer *c, bool writing)
{
	c->writing = writing;
	pthread_mutex_lock(&c->state_lock);
	c->state.writing = writing;
	if (!c->o.copying)
		metric_set(METRIC_isthmus_is_primary, writing ? 1.0 : 0.0);
	pthread_mutex_unlock(&c->state_lock);
}

void commit_fail(struct committer *c, const struct fault *f)
{
	log_error("committer: %s; this region takes no more writes until it is restarted",
		  fault_text(f));
	pthread_mutex_lock(&c->state_lock);
	c->state.failed = true;
	(void)snprintf(c->state.failure, sizeof(c->state.failure), "%.255s", fault_text(f));
	pthread_mutex_unlock(&c->state_lock);
	commit_set_writing(c, false);
}

enum err commit_free_later(struct committer *c, const struct oplog_slot *slot)
{
	struct commit_txn *t = &c->txn;

	if (t->freed_count == t->freed_cap) {
		uint32_t cap = MAX(t->freed_cap * 2, 256);
		struct oplog_slot *more = reallocarray(t->freed, cap, sizeof(*more));
		if (!more)
			return ERR_NO_MEMORY;
		t->freed = more;
		t->freed_cap = cap;
	}
	t->freed[t->freed_count] = *slot;
	t->freed[t->freed_count].vector_name = arena_str(&t->arena, slot->vector_name);
	if (!t->freed[t->freed_count].vector_name.data)
		return ERR_NO_MEMORY;
	t->freed_count++;
	return ERR_NONE;
}

static void free_slots(struct committer *c)
{
	for (uint32_t i = 0; i < c->txn.freed_count; i++) {
		const struct oplog_slot *s = &c->txn.freed[i];
		struct collection *collection =
			catalog_get_incarnation(c->o.catalog, s->collection);
		if (!collection)
			continue;
		collection_slot_free(collection, s->shard, s->vector_name, s->slot);
		collection_unref(collection);
	}
	for (uint32_t i = 0; i < c->txn.dropped_count; i++)
		catalog_release_dropped(c->o.catalog, c->txn.dropped[i]);
}

/* --- rows --- */

static const struct row_vector *row_vector(const struct row *row, struct str name)
{
	for (uint32_t i = 0; i < row->vector_count; i++)
		if (str_compare(row->vectors[i].name, name) == 0)
			return &row->vectors[i];
	return NULL;
}

bool commit_op_is_trimmed(const struct committer *c, struct stamp s)
{
	if (s.epoch == 0)
		return commit_multi_is_trimmed(c, s);
	return stamp_compare(s, c->txn.place.oldest) < 0;
}

/* Slots that only the stored row referred to, and the new one has not. */
static enum err give_up_slots(struct committer *c, struct collection *collection,
			      const struct row *stored, const struct row *row)
{
	for (uint32_t i = 0; i < stored->vector_count; i++) {
		const struct row_vector *old = &stored->vectors[i];
		if (!old->present || old->slot == SLOT_NONE || !commit_op_is_trimmed(c, old->stamp))
			continue;
		const struct row_vector *new = row_vector(row, old->name);
		if (new &&new->present &&new->slot == old->slot)
			continue;
		struct oplog_slot slot = { .collection = collection_incarnation(collection),
					   .shard = collection_shard_of(collection, row->id),
					   .vector_name = old->name,
					   .slot = old->slot };
		enum err err = commit_free_later(c, &slot);
		if (err)
			return err;
	}
	return ERR_NONE;
}

/* The op's vectors that went into slots are slots in the log too. Those that lost stay in line. */
static void take_slots(const struct op *op, struct op_point *p, const struct row *row)
{
	struct stamp stamp = op_stamp(op);

	for (uint32_t i = 0; i < p->vector_count; i++) {
		struct op_vector *v = &p->vectors[i];
		const struct row_vector *stored = row_vector(row, v->name);
		v->slot = SLOT_NONE;
		if (stored && stored->present && v->vector.kind == VECTOR_DENSE &&
		    stamp_compare(stored->stamp, stamp) == 0 &&
		    stored->hash == vector_hash(&v->vector))
			v->slot = stored->slot;
	}
}

static enum err add_losses(struct committer *c, struct collection *collection, struct point_id id,
			   const struct merge_losses *losses)
{
	uint64_t now_ms = losses->count > 0 ? clock_wall_ms(c->o.clock) : 0;

	for (uint32_t i = 0; i < losses->count; i++) {
		enum err err =
			conflict_add(c->o.store, c->txn.store, collection_incarnation(collection),
				     id, &losses->items[i], now_ms);
		if (err)
			return err;
		metric_series_add(metric_series(METRIC_isthmus_conflicts_total, losses->items[i].reason), 1);
	}
	return ERR_NONE;
}

static enum err apply_row(struct committer *c, struct collection *collection, struct op *op,
			  uint32_t at, uint64_t number, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct point_id id = op->points ? op->points[at].id : op->ids[at];
	struct merge_loss loss[LOSSES_MAX];
	bool concurrent = collection_config(collection)->multi_writer && !c->o.copying;
	struct merge_losses losses = { .items = concurrent ? loss : NULL, .cap = LOSSES_MAX };
	struct row stored;
	struct row row;
	enum merge_result result;

	arena_init(&a, ROW_ARENA_BYTES_MAX);
	enum err err = collection_row_load(collection, c->txn.store, id, &a, &stored);
	if (err && err != ERR_NOT_FOUND)
		return fault_set(reterr_fault, err, "reading a row: %s", err_sentence(err));
	bool exists = !err;
	err = merge_apply(exists ? &stored : NULL, op, at, &a, &row, &result, &losses);
	if (!err)
		err = add_losses(c, collection, id, &losses);
	if (err)
		return fault_set(reterr_fault, err, "merging a row: %s", err_sentence(err));
	if (result == MERGE_UNCHANGED)
		return commit_undo_row(c, at, exists ? &stored : NULL, NULL);

	row.op_number = number;
	err = collection_row_store(collection, c->txn.store, &row, reterr_fault);
	if (err)
		return err;
	if (op->points)
		take_slots(op, &op->points[at], &row);
	if (c->draft.wanted)
		err = commit_undo_row(c, at, exists ? &stored : NULL, &row);
	else if (exists)
		err = give_up_slots(c, collection, &stored, &row);
	return err ? fault_set(reterr_fault, err, "noting the slots of a row: %s",
			       err_sentence(err))
		   : err;
}

/* The number is that of the one history; where several write there is none, and rows must be equal everywhere. */
enum err commit_txn_rows(struct committer *c, struct op *op, struct fault *reterr_fault)
{
	struct op *subject = op->kind == OP_ORPHAN_APPLY ? op->inner : op;
	struct collection *collection = catalog_get_incarnation(c->o.catalog, subject->incarnation);
	/* Dropped meanwhile: what others write into it goes nowhere, once it cannot come back. */
	if (!collection && op->scope == SCOPE_MULTI)
		return commit_undo_may_return(c, op->incarnation)
			       ? fault_set(reterr_fault, ERR_UNAVAILABLE,
					   "the drop of its collection is not confirmed yet")
			       : ERR_NONE;
	if (!collection)
		return fault_set(
			reterr_fault, ERR_CORRUPT,
			"op (%llu, %llu) is for a collection that this region does not have",
			(unsigned long long)op->epoch, (unsigned long long)op->seq);
	struct position p = { .epoch = op->epoch, .seq = op->seq };
	uint64_t number = op->scope == SCOPE_MULTI ? 0 : history_number(commit_history(c), p);
	uint32_t count = subject->points ? subject->point_count : subject->id_count;
	enum err err = ERR_NONE;

	for (uint32_t i = 0; i < count && !err; i++)
		err = apply_row(c, collection, subject, i, number, reterr_fault);
	collection_unref(collection);
	return err;
}

/* --- catalogue and log --- */

static enum err drop_collection(struct committer *c, const struct op *op,
				struct fault *reterr_fault)
{
	enum err err = conflict_drop(c->o.store, c->txn.store, op->incarnation);
	if (err)
		return fault_set(reterr_fault, err, "dropping the conflicts of a collection: %s",
				 err_sentence(err));
	err = catalog_drop(c->o.catalog, c->txn.store, op->incarnation, reterr_fault);
	/* The log has this op at least. */
	if (!err)
		catalog_keep_dropped(c->o.catalog, op->incarnation);
	return err;
}

static enum err start_epoch(struct committer *c, const struct op *op, struct fault *reterr_fault)
{
	struct commit_txn *t = &c->txn;

	ASSERT(!t->has_history);
	history_init(&t->history);
	enum err err = history_set(&t->history, op->chain, op->chain_count, op->epoch);
	if (err)
		return fault_set(reterr_fault, err, "the history of epoch %llu: %s",
				 (unsigned long long)op->epoch, err_sentence(err));
	t->has_history = true;
	t->place.released = false;
	t->place.released_to = 0;
	return commit_promise_raise(c, op->epoch, reterr_fault);
}

/* Before the op's own effect, of which it has none: the trees are those of all ops before it. Without memory this region
 * has nothing to show for the mark, and is found late by who asks. */
static void copy_trees(struct committer *c, const struct op *op)
{
	struct marked *m = NULL;

	(void)pthread_mutex_lock(&c->marked_lock);
	bool wanted = c->marked_fn != NULL;
	(void)pthread_mutex_unlock(&c->marked_lock);
	marked_unref(TAKE(c->txn.marked));
	if (!wanted || marked_new(c->o.catalog, false, &m))
		return;
	if (commit_multi_seen(c, &m->seen)) {
		marked_unref(m);
		return;
	}
	m->mark = op->mark;
	m->position = (struct position){ .epoch = op->epoch, .seq = op->seq };
	m->number = history_number(commit_history(c), m->position);
	c->txn.marked = m;
}

static void tell_marked(struct committer *c)
{
	if (!c->txn.marked)
		return;
	(void)pthread_mutex_lock(&c->marked_lock);
	if (c->marked_fn)
		c->marked_fn(c->marked_ctx, TAKE(c->txn.marked));
	(void)pthread_mutex_unlock(&c->marked_lock);
}

static enum err apply_effect(struct committer *c, struct op *op, struct fault *reterr_fault);

/* The number of its rows is that of this op, their versions are the orphan's. */
static enum err apply_orphan(struct committer *c, struct op *op, struct fault *reterr_fault)
{
	enum err err = commit_orphan_decide(c, op);

	if (err)
		return fault_set(reterr_fault, err, "deciding about an orphan: %s", err_sentence(err));
	return op->inner->kind >= OP_UPSERT ? commit_txn_rows(c, op, reterr_fault) : apply_effect(c, op->inner, reterr_fault);
}

static enum err apply_effect(struct committer *c, struct op *op, struct fault *reterr_fault)
{
	struct catalog *catalog = c->o.catalog;
	struct store_txn *t = c->txn.store;

	switch (op->kind) {
	case OP_EPOCH_START:
		return start_epoch(c, op, reterr_fault);
	case OP_RELEASE:
		c->txn.place.released = true;
		c->txn.place.released_to = op->target;
		return ERR_NONE;
	case OP_MARK:
		copy_trees(c, op);
		return ERR_NONE;
	case OP_CREATE_COLLECTION:
		return catalog_create(catalog, t, op->name, op->incarnation, &op->config,
				      reterr_fault);
	case OP_UPDATE_COLLECTION:
		return catalog_update(catalog, t, op->incarnation, &op->config, reterr_fault);
	case OP_DROP_COLLECTION:
		return drop_collection(c, op, reterr_fault);
	case OP_FIELD_INDEX_PUT:
		return catalog_field_index_put(catalog, t, op->incarnation, &op->field_index,
					       reterr_fault);
	case OP_FIELD_INDEX_DROP: {
		enum err err =
			catalog_field_index_drop(catalog, t, op->incarnation, op->field_index.key);
		return err ? fault_set(reterr_fault, err, "dropping a payload index: %s",
				       err_sentence(err))
			   : err;
	}
	case OP_ALIASES:
		return catalog_aliases_change(catalog, t, &op->aliases, reterr_fault);
	case OP_UPSERT:
	case OP_DELETE:
	case OP_SET_PAYLOAD:
	case OP_OVERWRITE_PAYLOAD:
	case OP_DELETE_PAYLOAD:
	case OP_CLEAR_PAYLOAD:
	case OP_UPDATE_VECTORS:
	case OP_DELETE_VECTORS:
	case OP_SET_FIELDS:
		return commit_txn_rows(c, op, reterr_fault);
	case OP_ORPHAN:
	case OP_ORPHAN_DROP: {
		enum err err = op->kind == OP_ORPHAN ? commit_orphan_list(c, op) : commit_orphan_decide(c, op);
		return err ? fault_set(reterr_fault, err, "the list of orphans: %s", err_sentence(err)) : err;
	}
	case OP_ORPHAN_APPLY:
		return apply_orphan(c, op, reterr_fault);
	case OP_GC:
		break;
	}
	return fault_set(reterr_fault, ERR_NOT_IMPLEMENTED, "op %s is not implemented",
			 op_kind_name(op->kind));
}

bool commit_kind_is_alone(enum op_kind kind)
{
	return kind < OP_UPSERT && kind != OP_MARK && kind != OP_ORPHAN && kind != OP_ORPHAN_DROP;
}

bool commit_is_alone(const struct op *op)
{
	return commit_kind_is_alone(op_subject(op)->kind);
}

enum err commit_encode(struct committer *c, const struct op *op, struct bytes *ret_wire)
{
	buf_reset(&c->wire);
	enum err err = op_encode(op, OP_FORM_WIRE, &c->wire);
	if (err)
		return err;
	*ret_wire = buf_bytes(&c->wire);
	return ERR_NONE;
}

enum err commit_txn_apply(struct committer *c, struct op *op, struct bytes wire,
			  struct fault *reterr_fault)
{
	struct place *p = &c->txn.place;
	uint64_t record_bytes;
	enum err err = wire.data ? ERR_NONE : commit_encode(c, op, &wire);

	if (err)
		return fault_set(reterr_fault, err, "an op of kind %s: %s", op_kind_name(op->kind),
				 err_sentence(err));
	if (p->log_ops == 0)
		p->oldest = op_stamp(op);
	err = commit_undo_begin(c, op);
	if (err)
		return fault_set(reterr_fault, err, "beginning an undo record: %s", err_sentence(err));
	err = apply_effect(c, op, reterr_fault);
	if (err)
		return err;
	err = commit_undo_end(c, op);
	if (err)
		return fault_set(reterr_fault, err, "writing an undo record: %s", err_sentence(err));
	p->chain_hash = op_chain_hash(p->chain_hash, wire);
	p->position = (struct position){ .epoch = op->epoch, .seq = op->seq };
	err = commit_orphan_is_in(c, op);
	if (err)
		return fault_set(reterr_fault, err, "the orphan store: %s", err_sentence(err));
	err = oplog_append(c->o.store, c->txn.store, op, p->chain_hash, &record_bytes);
	if (err)
		return fault_set(reterr_fault, err, "writing the op log: %s", err_sentence(err));
	p->log_ops++;
	p->log_bytes += record_bytes;
	c->txn.ops++;
	c->txn.bytes += wire.len;
	return ERR_NONE;
}

/* Who begins and who ends an epoch is ordered by epoch and seq alone. A region whose clock came back from the future takes no
 * writes, and must be able to give the role away. */
static bool waits_for_the_clock(const struct op *op)
{
	return op->kind != OP_EPOCH_START && op->kind != OP_RELEASE;
}

enum err commit_stamp(struct committer *c, struct op *op, struct fault *reterr_fault)
{
	enum err err = waits_for_the_clock(op) ? hlc_now(&c->hlc, &op->hlc) : hlc_next(&c->hlc, &op->hlc);
	if (err)
		return fault_set(
			reterr_fault, err,
			"the clock of this region runs more than %llu ms behind the last stamp",
			(unsigned long long)c->hlc.offset_ms_max);
	op->scope = SCOPE_FLEET;
	op->region = c->o.region;
	op->epoch = c->txn.place.position.epoch;
	op->seq = c->txn.place.position.seq + 1;
	return ERR_NONE;
}

/* --- committing --- */

static enum err oldest_stamp(struct committer *c, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct oplog_entry entry;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	if (c->txn.place.log_ops == 0)
		return ERR_NONE;
	enum err err = oplog_next(c->o.store, c->txn.store, SCOPE_FLEET, (struct position){ 0 }, &a,
				  &entry, reterr_fault);
	if (!err)
		c->txn.place.oldest = op_stamp(&entry.op);
	return err;
}

/* Never beyond what is committed: an op of this very transaction stays. */
static enum err trim_log(struct committer *c, struct fault *reterr_fault)
{
	struct place *p = &c->txn.place;
	if (c->o.log_bytes_max == 0 || p->log_bytes <= c->o.log_bytes_max || c->txn.rewound)
		return ERR_NONE;

	struct position floor = c->place.position;
	if (c->o.trim_floor) {
		struct position allowed = c->o.trim_floor(c->o.ctx);
		if (position_compare(allowed, floor) < 0)
			floor = allowed;
	}
	/* The op before the first that may be taken back says where that leads to. */
	if (c->o.undo && floor.seq > 0)
		floor.seq--;
	struct oplog_trimming t = { .scope = SCOPE_FLEET,
				    .upto = floor,
				    .ops_max = TRIM_OPS_MAX,
				    .drop_before = commit_multi_oldest(c),
				    .bytes_enough = p->log_bytes - c->o.log_bytes_max };
	enum err err =
		oplog_trim(c->o.store, c->txn.store, c->o.catalog, &c->txn.arena, &t, reterr_fault);
	if (err)
		return err;
	for (uint32_t i = 0; i < t.slot_count; i++) {
		if (commit_undo_holds(c, &t.slots[i]))
			continue;
		err = commit_free_later(c, &t.slots[i]);
		if (err)
			return fault_set(reterr_fault, err, "trimming the log: %s",
					 err_sentence(err));
	}
	c->txn.dropped = t.dropped;
	c->txn.dropped_count = t.dropped_count;
	p->log_ops -= t.ops;
	p->log_bytes -= t.bytes;
	err = t.ops > 0 ? oldest_stamp(c, reterr_fault) : ERR_NONE;
	/* Ops of several writers have their vectors in what was dropped: they go first. */
	return !err && t.at_drop ? commit_multi_trim(c, true, reterr_fault) : err;
}

/* Before the rows are visible: what was read between publishing and state_update() must not seem older than it is. */
static void state_publishing(struct committer *c)
{
	pthread_mutex_lock(&c->state_lock);
	c->state.publishing = c->txn.place.position;
	pthread_mutex_unlock(&c->state_lock);
}

static void state_update(struct committer *c)
{
	pthread_mutex_lock(&c->state_lock);
	if (c->txn.has_history) {
		struct history old = c->history;
		c->history = c->txn.history;
		c->txn.history = old;
	}
	c->place = c->txn.place;
	commit_multi_publish(c);
	struct committer_state *s = &c->state;
	s->position = c->place.position;
	s->chain_hash = c->place.chain_hash;
	s->epoch = c->history.epoch;
	s->writer = (uint8_t)c->history.epoch;
	c->promised = MAX(c->promised, c->txn.promise);
	s->promised = c->promised;
	s->released = c->place.released;
	s->released_to = c->place.released_to;
	s->op_number = history_number(&c->history, s->position);
	s->hlc = c->hlc.last;
	s->log_ops = c->place.log_ops;
	s->log_bytes = c->place.log_bytes;
	s->multi_log = c->own_log;
	s->multi_ops = c->place.multi.ops;
	s->multi_bytes = c->place.multi.bytes;
	s->orphans = c->place.orphans;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->state_lock);
}

static void tell_metrics(struct committer *c, uint64_t began_ns)
{
	uint64_t took_ns = clock_mono_ns(c->o.clock) - began_ns;
	int region = (int)(c->place.position.epoch & 0xff);

	if (!c->ops_metric || c->ops_region != region) {
		char label[8];
		(void)snprintf(label, sizeof(label), "%d", region);
		c->ops_metric = metric_series(METRIC_isthmus_ops_total, label);
		c->ops_region = region;
	}
	metric_series_add(c->ops_metric, c->txn.ops);
	metric_add(METRIC_isthmus_commits_total, 1);
	metric_observe(METRIC_isthmus_commit_duration_seconds, (double)took_ns / 1e9);
	metric_observe(METRIC_batch_size, c->txn.ops);
	commit_orphan_metrics(c);
	metric_set(METRIC_isthmus_epoch, (double)c->history.epoch);
	metric_set(METRIC_isthmus_seq, (double)c->place.position.seq);
}

static enum err checkpoint(struct committer *c, uint64_t now_ns, struct fault *reterr_fault)
{
	c->checkpoint_ops += c->txn.ops;
	if (c->checkpoint_ops < CHECKPOINT_OPS && now_ns - c->checkpoint_ns < CHECKPOINT_NS)
		return ERR_NONE;
	enum err err = catalog_merkle_save(c->o.catalog, c->txn.store);
	if (err)
		return fault_set(reterr_fault, err, "storing a checkpoint: %s", err_sentence(err));
	c->checkpoint_ops = 0;
	c->checkpoint_ns = now_ns;
	return ERR_NONE;
}

/* What was confirmed once stays so, whatever is known of it after a restart: the records that would take it back are gone. */
static void raise_confirmed(struct committer *c)
{
	struct place *p = &c->txn.place;
	struct position confirmed = c->o.undo ? c->txn.confirmed : p->position;

	if (position_compare(confirmed, p->position) > 0)
		confirmed = p->position;
	if (position_compare(confirmed, p->confirmed) > 0)
		p->confirmed = confirmed;
}

static enum err make_durable(struct committer *c, uint64_t now_ns, struct fault *reterr_fault)
{
	enum err err = commit_undo_trim(c, reterr_fault);
	if (!err)
		err = trim_log(c, reterr_fault);
	if (!err)
		err = commit_multi_trim(c, false, reterr_fault);
	if (!err)
		err = commit_multi_forget(c, reterr_fault);
	if (!err)
		err = checkpoint(c, now_ns, reterr_fault);
	if (err)
		return err;
	c->txn.place.hlc = c->hlc.last;
	raise_confirmed(c);
	err = commit_meta_save(c);
	if (!err)
		err = commit_multi_save(c);
	if (err)
		return fault_set(reterr_fault, err, "storing the position: %s", err_sentence(err));
	err = catalog_sync(c->o.catalog, reterr_fault);
	if (err)
		return err;
	struct store_txn *t = TAKE(c->txn.store);
	return c->o.store->ops->commit(t, reterr_fault);
}

enum err commit_txn_commit(struct committer *c, struct fault *reterr_fault)
{
	struct fault fault = { 0 };

	if (!c->txn.store)
		return ERR_NONE;
	if (c->txn.ops == 0 && !c->txn.settled && !c->txn.rewound && !c->txn.promised) {
		commit_txn_abandon(c);
		return ERR_NONE;
	}
	uint64_t began_ns = clock_mono_ns(c->o.clock);
	enum err err = make_durable(c, began_ns, &fault);
	if (err) {
		/* The store's part is gone already when its own commit failed; abort accepts NULL. */
		c->o.store->ops->abort(c->txn.store);
		catalog_abandon(c->o.catalog);
		txn_end(c);
		if (c->txn.undo_changed)
			commit_undo_reload(c);
		if (!is_passing(err))
			commit_fail(c, &fault);
		return fault_set(reterr_fault, err, "%s", fault_text(&fault));
	}
	state_publishing(c);
	pthread_mutex_lock(&c->state_lock);
	c->state.durable = c->txn.place.position;
	pthread_mutex_unlock(&c->state_lock);
	catalog_publish(c->o.catalog);
	/* Before the state: whoever sees the mark's position may ask for its trees. */
	tell_marked(c);
	state_update(c);
	free_slots(c);
	if (!c->o.copying)
		tell_metrics(c, began_ns);
	txn_end(c);
	if (c->o.on_commit)
		c->o.on_commit(c->o.ctx, c->place.position);
	return ERR_NONE;
}

/* --- ops of peers --- */

static enum err check_vector(struct collection *collection, const struct op_vector *v)
{
	const struct vector_config *config = collection_vector(collection, v->name);

	bool fits = config && vector_config_kind(config) == v->vector.kind &&
		    vector_config_check(config, &v->vector, NULL) == ERR_NONE;

	return fits ? ERR_NONE : ERR_CORRUPT;
}

/* Its writer refused what does not fit its collection: here it is damage, or a bug. */
enum err commit_check_remote(struct committer *c, const struct op *op, struct fault *reterr_fault)
{
	const struct op *subject = op_subject(op);
	struct collection *collection =
		subject->points ? catalog_get_incarnation(c->o.catalog, subject->incarnation) : NULL;
	enum err err = ERR_NONE;

	if (!collection)
		return ERR_NONE;
	for (uint32_t i = 0; i < subject->point_count && !err; i++)
		for (uint32_t k = 0; k < subject->points[i].vector_count && !err; k++)
			err = check_vector(collection, &subject->points[i].vectors[k]);
	collection_unref(collection);
	if (err)
		return fault_set(reterr_fault, err,
				 "op (%llu, %llu) has a vector that does not fit its collection",
				 (unsigned long long)op->epoch, (unsigned long long)op->seq);
	return ERR_NONE;
}

static enum err remote_refused(enum err err, const struct op *op, struct position here,
			       struct fault *reterr_fault)
{
	return fault_set(reterr_fault, err, "op (%llu, %llu) does not follow (%llu, %llu): %s",
			 (unsigned long long)op->epoch, (unsigned long long)op->seq,
			 (unsigned long long)here.epoch, (unsigned long long)here.seq,
			 err_sentence(err));
}

static enum err admit_remote(struct committer *c, const struct op *op, uint64_t history_epoch,
			     struct fault *reterr_fault)
{
	struct position here = c->txn.store ? c->txn.place.position : c->place.position;
	enum err err = history_admits(commit_history(c), here, op);

	if (err == ERR_ALREADY_EXISTS)
		return err;
	if (!err && op->region != (uint8_t)op->epoch)
		return fault_set(reterr_fault, ERR_FORK, "op (%llu, %llu) was written by region %u",
				 (unsigned long long)op->epoch, (unsigned long long)op->seq,
				 op->region);
	bool released = c->txn.store ? c->txn.place.released : c->place.released;
	if (op->epoch == here.epoch && (c->writing || released))
		return remote_refused(ERR_FORK, op, here, reterr_fault);
	if (err)
		return remote_refused(err, op, here, reterr_fault);
	return commit_fence(c, ERR_UNAVAILABLE, MAX(op->epoch, history_epoch), reterr_fault);
}

/* Counts the ops at the start that are known, and those that are wanted, and finds whether the running hash is right at the end. */
static enum err check_batch(struct committer *c, const struct remote_batch *b, uint32_t *ret_known,
			    uint32_t *ret_wanted, struct fault *reterr_fault)
{
	uint64_t hash = c->place.chain_hash;
	struct position last = { 0 };
	uint32_t known = 0;
	uint32_t wanted = 0;

	for (uint32_t i = 0; i < b->count; i++) {
		CLEANUP(arena_release) struct arena a;
		struct op op;
		arena_init(&a, OP_ARENA_BYTES_MAX);
		enum err err = op_decode(b->ops[i], OP_FORM_WIRE, &a, &op, reterr_fault);
		if (err)
			return err;
		last = (struct position){ .epoch = op.epoch, .seq = op.seq };
		bool is_wanted = b->upto.epoch == 0 || position_compare(last, b->upto) <= 0;
		wanted += is_wanted;
		if (i == known && is_wanted) {
			err = admit_remote(c, &op, b->history_epoch, reterr_fault);
			if (err && err != ERR_ALREADY_EXISTS)
				return err;
			known += err == ERR_ALREADY_EXISTS;
		}
		if (i >= known)
			hash = op_chain_hash(hash, b->ops[i]);
	}
	*ret_known = known;
	*ret_wanted = wanted;
	if (known == b->count)
		hash = b->chain_hash;
	if (hash != b->chain_hash)
		return fault_set(
			reterr_fault, ERR_FORK,
			"the running hash after op (%llu, %llu) differs from this region's",
			(unsigned long long)last.epoch, (unsigned long long)last.seq);
	return ERR_NONE;
}

/* All of the batch is known: does the log agree, as far as it reaches? */
static enum err check_known(struct committer *c, const struct remote_batch *b,
			    struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct store *s = c->o.store;
	struct oplog_entry entry = { 0 };
	struct store_txn *t;
	struct op op;

	arena_init(&a, 2 * OP_ARENA_BYTES_MAX);
	enum err err = op_decode(b->ops[b->count - 1], OP_FORM_WIRE, &a, &op, reterr_fault);
	if (err)
		return err;
	err = s->ops->begin(s, false, &t);
	if (err)
		return fault_set(reterr_fault, err, "reading the op log: %s", err_sentence(err));
	struct position p = { .epoch = op.epoch, .seq = op.seq };
	err = oplog_get(s, t, SCOPE_FLEET, p, &a, &entry, reterr_fault);
	s->ops->abort(t);
	if (err)
		return err == ERR_NOT_FOUND ? ERR_NONE : err;
	if (entry.chain_hash != b->chain_hash)
		return fault_set(
			reterr_fault, ERR_FORK,
			"the running hash after op (%llu, %llu) differs from this region's",
			(unsigned long long)p.epoch, (unsigned long long)p.seq);
	return ERR_NONE;
}

static enum err apply_remote_op(struct committer *c, struct bytes wire, uint64_t history_epoch, bool *warned,
				struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct op op;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	enum err err = op_decode(wire, OP_FORM_WIRE, &a, &op, reterr_fault);
	if (err)
		return err;
	bool alone = commit_is_alone(&op);
	if (alone || c->txn.ops >= COMMIT_OPS_MAX || c->txn.bytes >= COMMIT_BYTES_MAX) {
		err = commit_txn_commit(c, reterr_fault);
		if (err)
			return err;
	}
	err = admit_remote(c, &op, history_epoch, reterr_fault);
	if (!err)
		err = commit_check_remote(c, &op, reterr_fault);
	if (!err)
		err = commit_txn_begin(c, reterr_fault);
	if (err)
		return err;
	/* In a scope of one writer the order is epoch and seq: a wild stamp is applied, and moves no clock. */
	if (!hlc_observe(&c->hlc, op.hlc) && !*warned) {
		*warned = true;
		log_warn(
			"committer: op (%llu, %llu) of region %u is stamped far ahead of this clock, applied",
			(unsigned long long)op.epoch, (unsigned long long)op.seq, op.region);
	}
	err = commit_txn_apply(c, &op, wire, reterr_fault);
	if (!err && alone)
		err = commit_txn_commit(c, reterr_fault);
	if (!err && op.kind == OP_EPOCH_START)
		commit_set_writing(c, false);
	return err;
}

enum err commit_remote(struct committer *c, const struct remote_batch *b,
		       struct fault *reterr_fault)
{
	uint32_t known;
	uint32_t wanted;
	bool warned = false;

	ASSERT(!c->txn.store);
	if (b->scope == SCOPE_MULTI)
		return commit_multi_remote(c, b, reterr_fault);
	if (b->scope != SCOPE_FLEET)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "scope %u is not one of this region's", b->scope);
	if (b->count == 0)
		return ERR_NONE;
	enum err err = check_batch(c, b, &known, &wanted, reterr_fault);
	if (!err && known == b->count)
		return check_known(c, b, reterr_fault);
	for (uint32_t i = known; i < wanted && !err; i++)
		err = apply_remote_op(c, b->ops[i], b->history_epoch, &warned, reterr_fault);
	if (!err)
		err = commit_txn_commit(c, reterr_fault);
	commit_txn_abandon(c);
	return err;
}
