/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging. A row is a join of maxima:
 *
 *   marks      created, reset, payload_reset, deleted: each the greatest stamp of the ops that set it
 *   registers  each named vector and each top-level payload key: the greatest (stamp, absent before
 *              present, content hash) that was written
 *
 * A register is hidden when its stamp lies below reset (or payload_reset), or not above deleted. Marks only
 * grow, so what is hidden stays hidden and is dropped at once: rows that saw the same ops are equal, whatever
 * the order, and digests are taken of that state. Maxima of a total order are commutative, associative
 * and idempotent; so is this.
 *
 * An op sets marks and writes registers, nothing else:
 *   UPSERT             created, reset; its vectors and keys
 *   DELETE             deleted
 *   SET_PAYLOAD        its keys; null: the key absent
 *   SET_FIELDS         the same, other keys for each point
 *   OVERWRITE_PAYLOAD  payload_reset; its keys
 *   CLEAR_PAYLOAD      payload_reset
 *   DELETE_PAYLOAD     the keys absent
 *   UPDATE_VECTORS     its vectors
 *   DELETE_VECTORS     the vectors absent
 *
 * Losses are told where an op of one region meets something greater of another region: had the op's writer seen that, its
 * stamp would be the greater one. Ops that several regions write say what their writers had seen, and come after all of it:
 * there also what they replace is told when they had not seen it, so that every region tells of the same losers.
 */
#include "replicator/merge.h"

#include "base/hash.h"
#include "base/panic.h"
#include "index/order.h"

#include <stdlib.h>

/* --- the rules --- */

/* Version order: epoch, HLC, region. An orphan of an older epoch never beats a later epoch, whatever the clocks were. */
int stamp_compare(struct stamp a, struct stamp b)
{
	if (a.epoch != b.epoch)
		return a.epoch < b.epoch ? -1 : 1;
	if (a.hlc != b.hlc)
		return a.hlc < b.hlc ? -1 : 1;
	return (a.region > b.region) - (a.region < b.region);
}

/* What one register holds. */
struct content {
	struct stamp stamp;
	bool present;
	uint64_t hash;
};

/* Each register for itself: last writer wins; at equal stamps a delete, else the greater content. */
static bool content_wins(const struct content *challenger, const struct content *holder)
{
	int order = stamp_compare(challenger->stamp, holder->stamp);

	if (order != 0)
		return order > 0;
	if (challenger->present != holder->present)
		return !challenger->present;
	return challenger->present && challenger->hash > holder->hash;
}

/* A mark keeps the greatest stamp; of two deletes the later one stays. */
static bool mark_raise(struct stamp *mark, struct stamp s)
{
	if (stamp_compare(s, *mark) <= 0)
		return false;
	*mark = s;
	return true;
}

/* Partial updates never create: without an upsert the row is latent, kept unseen, as the upsert that it
 * belongs to may be on its way. A delete wins over an upsert of the same stamp. */
static bool is_visible(const struct row *row)
{
	return stamp_compare(row->created, row->deleted) > 0;
}

static bool is_hidden(const struct row *row, struct stamp s, bool payload)
{
	return stamp_compare(s, row->reset) < 0 || stamp_compare(s, row->deleted) <= 0 ||
	       (payload && stamp_compare(s, row->payload_reset) < 0);
}

/* --- the op's part --- */

/* Logs of several writers have no order: their versions compare by clock, region and content. */
struct stamp op_stamp(const struct op *op)
{
	return (struct stamp){ .epoch = op->scope == SCOPE_MULTI ? 0 : op->epoch,
			       .hlc = op->hlc,
			       .region = op->region };
}

/* Did the op's writer know of what has this stamp? */
static bool op_saw(const struct op *op, struct stamp s)
{
	if (op->scope != SCOPE_MULTI || stamp_is_zero(s) || s.region == op->region)
		return true;
	for (uint32_t i = 0; i < op->seen_count; i++)
		if (op->seen[i].region == s.region)
			return s.hlc <= op->seen[i].hlc;
	return false;
}

struct merging {
	const struct op *op;
	struct arena *arena;
	struct row row;
	struct stamp stamp; /* the op's */
	bool changed;
	struct merge_losses *losses;
	struct row_vector *vectors; /* that the op writes, sorted by name */
	uint32_t vector_count;
	struct row_field *fields; /* that the op writes, sorted by key */
	uint32_t field_count;
};

static struct content vector_content(const struct row_vector *v)
{
	return (struct content){ .stamp = v->stamp, .present = v->present, .hash = v->hash };
}

static struct content field_content(const struct row_field *f)
{
	uint64_t hash = f->present ? hash64(f->value.data, f->value.len, 0) : 0;

	return (struct content){ .stamp = f->stamp, .present = f->present, .hash = hash };
}

static bool vector_wins(const struct row_vector *challenger, const struct row_vector *holder)
{
	struct content a = vector_content(challenger);
	struct content b = vector_content(holder);

	return content_wins(&a, &b);
}

/* The contents are hashed only where the stamps do not decide. */
static bool field_wins(const struct row_field *challenger, const struct row_field *holder)
{
	int order = stamp_compare(challenger->stamp, holder->stamp);

	if (order != 0)
		return order > 0;
	struct content a = field_content(challenger);
	struct content b = field_content(holder);
	return content_wins(&a, &b);
}

static int vector_order(const void *a, const void *b)
{
	const struct row_vector *x = a;
	const struct row_vector *y = b;
	int order = str_compare(x->name, y->name);

	return order ? order : (int)vector_wins(x, y) - (int)vector_wins(y, x);
}

static int field_order(const void *a, const void *b)
{
	const struct row_field *x = a;
	const struct row_field *y = b;
	int order = str_compare(x->key, y->key);

	return order ? order : (int)field_wins(x, y) - (int)field_wins(y, x);
}

/* Sorted, and of equal names the winner, which sorting puts last. */
static void sort_vectors(struct merging *m)
{
	uint32_t kept = 0;

	if (m->vector_count > 1)
		qsort(m->vectors, m->vector_count, sizeof(*m->vectors), vector_order);
	for (uint32_t i = 0; i < m->vector_count; i++) {
		if (kept > 0 && str_compare(m->vectors[kept - 1].name, m->vectors[i].name) == 0)
			kept--;
		m->vectors[kept++] = m->vectors[i];
	}
	m->vector_count = kept;
}

static void sort_fields(struct merging *m)
{
	uint32_t kept = 0;

	if (m->field_count > 1)
		qsort(m->fields, m->field_count, sizeof(*m->fields), field_order);
	for (uint32_t i = 0; i < m->field_count; i++) {
		if (kept > 0 && str_compare(m->fields[kept - 1].key, m->fields[i].key) == 0)
			kept--;
		m->fields[kept++] = m->fields[i];
	}
	m->field_count = kept;
}

static enum err write_vectors(struct merging *m, const struct op_point *p)
{
	m->vectors = arena_array(m->arena, p->vector_count, sizeof(*m->vectors));
	if (!m->vectors)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < p->vector_count; i++)
		m->vectors[m->vector_count++] = (struct row_vector){
			.name = p->vectors[i].name,
			.stamp = m->stamp,
			.present = true,
			.slot = SLOT_NONE,
			.vector = p->vectors[i].vector,
			.hash = vector_hash(&p->vectors[i].vector),
		};
	sort_vectors(m);
	return ERR_NONE;
}

/* null_removes: as SET_PAYLOAD has it. */
static enum err write_payload(struct merging *m, struct value payload, bool null_removes)
{
	if (!payload.data)
		return ERR_NONE;
	m->fields = arena_array(m->arena, value_count(payload), sizeof(*m->fields));
	if (!m->fields)
		return ERR_NO_MEMORY;

	struct value_iter it = value_items(payload);
	struct row_field f = { .stamp = m->stamp };
	while (value_next(&it, &f.key, &f.value)) {
		f.present = !null_removes || value_kind(f.value) != VALUE_NULL;
		if (!f.present)
			f.value = (struct value){ 0 };
		m->fields[m->field_count++] = f;
	}
	sort_fields(m);
	return ERR_NONE;
}

static enum err remove_fields(struct merging *m)
{
	m->fields = arena_array(m->arena, m->op->key_count, sizeof(*m->fields));
	if (!m->fields)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < m->op->key_count; i++)
		m->fields[m->field_count++] =
			(struct row_field){ .key = m->op->keys[i], .stamp = m->stamp };
	sort_fields(m);
	return ERR_NONE;
}

static enum err remove_vectors(struct merging *m)
{
	m->vectors = arena_array(m->arena, m->op->key_count, sizeof(*m->vectors));
	if (!m->vectors)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < m->op->key_count; i++)
		m->vectors[m->vector_count++] = (struct row_vector){ .name = m->op->keys[i],
								     .stamp = m->stamp,
								     .slot = SLOT_NONE };
	sort_vectors(m);
	return ERR_NONE;
}

/* --- losses --- */

static struct str loss_name(struct merging *m, const char *prefix, struct str name)
{
	return arena_printf(m->arena, "%s%.*s", prefix, STR_FMT(name));
}

static void tell_loss(struct merging *m, struct str field, struct stamp winner, struct value value)
{
	if (!m->losses || !m->losses->items || m->losses->count == m->losses->cap || !field.data)
		return;
	if (winner.region == m->stamp.region)
		return;
	m->losses->items[m->losses->count++] = (struct merge_loss){
		.field = field,
		.winner = winner,
		.loser = m->stamp,
		.loser_value = value,
		.reason = stamp_compare(winner, m->stamp) == 0 ? "tie" : "lww",
	};
}

/* What was stored lost to the op, whose writer had not seen it. */
static void tell_replaced(struct merging *m, struct str field, struct stamp loser,
			  struct value value, const char *reason)
{
	if (!m->losses || !m->losses->items || m->losses->count == m->losses->cap || !field.data)
		return;
	m->losses->items[m->losses->count++] = (struct merge_loss){
		.field = field,
		.winner = m->stamp,
		.loser = loser,
		.loser_value = value,
		.reason = stamp_compare(loser, m->stamp) == 0 ? "tie" : reason,
	};
}

/* Lost to a mark: a reset or a delete. */
static void tell_hidden(struct merging *m, struct str field, struct value value)
{
	const struct row *r = &m->row;
	bool deleted = stamp_compare(m->stamp, r->deleted) <= 0;
	struct stamp winner = deleted ? r->deleted : r->reset;

	if (!deleted && stamp_compare(winner, r->payload_reset) < 0)
		winner = r->payload_reset;
	uint32_t before = m->losses ? m->losses->count : 0;
	tell_loss(m, field, winner, value);
	if (deleted && m->losses && m->losses->count > before)
		m->losses->items[before].reason = "delete";
}

static bool wants_losses(const struct merging *m)
{
	return m->losses && m->losses->items;
}

/* A register as it was stored is gone: replaced by what the op writes, or hidden by its mark. */
static const char *replaced_by(const struct merging *m, struct stamp loser, bool replaced)
{
	if (!wants_losses(m) || op_saw(m->op, loser))
		return NULL;
	if (replaced)
		return "lww";
	return m->op->kind == OP_DELETE ? "delete" : "lww";
}

static void tell_old_vector(struct merging *m, const struct row_vector *old, bool replaced)
{
	const char *reason = replaced_by(m, old->stamp, replaced);

	if (reason)
		tell_replaced(m, loss_name(m, "vector:", old->name), old->stamp,
			      (struct value){ 0 }, reason);
}

static void tell_old_field(struct merging *m, const struct row_field *old, bool replaced)
{
	const char *reason = replaced_by(m, old->stamp, replaced);

	if (reason)
		tell_replaced(m, loss_name(m, "payload:", old->key), old->stamp, old->value, reason);
}

/* --- the join --- */

/* One name: what is stored, what the op writes, either may be missing. Hidden ones are left out. */
static void join_vector(struct merging *m, const struct row_vector *old,
			const struct row_vector *new)
{
	const struct row_vector *best = old;

	if (new) {
		bool hidden = is_hidden(&m->row, new->stamp, false);
		if (!hidden && (!old || vector_wins(new, old))) {
			best = new;
			m->changed = true;
		} else if (wants_losses(m)) {
			struct str field = loss_name(m, "vector:", new->name);
			if (hidden)
				tell_hidden(m, field, (struct value){ 0 });
			else if (old && vector_wins(old, new))
				tell_loss(m, field, old->stamp, (struct value){ 0 });
		}
	}
	bool kept = best && !is_hidden(&m->row, best->stamp, false);

	if (old && (best != old || !kept))
		tell_old_vector(m, old, best != old);
	if (kept)
		m->row.vectors[m->row.vector_count++] = *best;
}

static void join_field(struct merging *m, const struct row_field *old, const struct row_field *new)
{
	const struct row_field *best = old;

	if (new) {
		bool hidden = is_hidden(&m->row, new->stamp, true);
		if (!hidden && (!old || field_wins(new, old))) {
			best = new;
			m->changed = true;
		} else if (wants_losses(m)) {
			struct str field = loss_name(m, "payload:", new->key);
			if (hidden)
				tell_hidden(m, field, new->value);
			else if (old && field_wins(old, new))
				tell_loss(m, field, old->stamp, new->value);
		}
	}
	bool kept = best && !is_hidden(&m->row, best->stamp, true);

	if (old && (best != old || !kept))
		tell_old_field(m, old, best != old);
	if (kept)
		m->row.fields[m->row.field_count++] = *best;
}

/* Both lists are sorted by name. */
static enum err join_vectors(struct merging *m, const struct row *stored)
{
	uint32_t old_count = stored ? stored->vector_count : 0;
	uint32_t i = 0;
	uint32_t k = 0;

	m->row.vector_count = 0;
	m->row.vectors =
		arena_array(m->arena, (size_t)old_count + m->vector_count, sizeof(*m->row.vectors));
	if (!m->row.vectors)
		return ERR_NO_MEMORY;
	while (i < old_count || k < m->vector_count) {
		const struct row_vector *old = i < old_count ? &stored->vectors[i] : NULL;
		const struct row_vector *new = k < m->vector_count ? &m->vectors[k] : NULL;
		int order = old && new ? str_compare(old->name, new->name) : old ? -1 : 1;
		join_vector(m, order <= 0 ? old : NULL, order >= 0 ? new : NULL);
		i += order <= 0;
		k += order >= 0;
	}
	return ERR_NONE;
}

static enum err join_fields(struct merging *m, const struct row *stored)
{
	uint32_t old_count = stored ? stored->field_count : 0;
	uint32_t i = 0;
	uint32_t k = 0;

	m->row.field_count = 0;
	m->row.fields =
		arena_array(m->arena, (size_t)old_count + m->field_count, sizeof(*m->row.fields));
	if (!m->row.fields)
		return ERR_NO_MEMORY;
	while (i < old_count || k < m->field_count) {
		const struct row_field *old = i < old_count ? &stored->fields[i] : NULL;
		const struct row_field *new = k < m->field_count ? &m->fields[k] : NULL;
		int order = old && new ? str_compare(old->key, new->key) : old ? -1 : 1;
		join_field(m, order <= 0 ? old : NULL, order >= 0 ? new : NULL);
		i += order <= 0;
		k += order >= 0;
	}
	return ERR_NONE;
}

/* Sets the marks and collects the registers that the op writes. */
static enum err take_op(struct merging *m, uint32_t at)
{
	const struct op *op = m->op;
	struct row *r = &m->row;

	switch (op->kind) {
	case OP_UPSERT: {
		if (wants_losses(m) && stamp_compare(m->stamp, r->deleted) > 0 &&
		    stamp_compare(r->deleted, r->created) > 0 && !op_saw(op, r->deleted))
			tell_replaced(m, STR(""), r->deleted, (struct value){ 0 }, "lww");
		m->changed |= mark_raise(&r->created, m->stamp);
		m->changed |= mark_raise(&r->reset, m->stamp);
		enum err err = write_vectors(m, &op->points[at]);
		return err ? err : write_payload(m, op->points[at].payload, false);
	}
	case OP_UPDATE_VECTORS:
		return write_vectors(m, &op->points[at]);
	case OP_DELETE:
		if (stamp_compare(m->stamp, r->created) < 0)
			tell_loss(m, STR(""), r->created, (struct value){ 0 });
		m->changed |= mark_raise(&r->deleted, m->stamp);
		return ERR_NONE;
	case OP_SET_PAYLOAD:
		return write_payload(m, op->payload, true);
	case OP_SET_FIELDS:
		return write_payload(m, op->points[at].payload, true);
	case OP_OVERWRITE_PAYLOAD:
		m->changed |= mark_raise(&r->payload_reset, m->stamp);
		return write_payload(m, op->payload, false);
	case OP_CLEAR_PAYLOAD:
		m->changed |= mark_raise(&r->payload_reset, m->stamp);
		return ERR_NONE;
	case OP_DELETE_PAYLOAD:
		return remove_fields(m);
	case OP_DELETE_VECTORS:
		return remove_vectors(m);
	case OP_EPOCH_START:
	case OP_RELEASE:
	case OP_MARK:
	case OP_ORPHAN:
	case OP_GC:
	case OP_ORPHAN_APPLY:
	case OP_ORPHAN_DROP:
	case OP_CREATE_COLLECTION:
	case OP_UPDATE_COLLECTION:
	case OP_DROP_COLLECTION:
	case OP_FIELD_INDEX_PUT:
	case OP_FIELD_INDEX_DROP:
	case OP_ALIASES:
		break;
	}
	PANIC("an op that is not about points was merged");
}

static struct point_id item_id(const struct op *op, uint32_t at)
{
	if (op->points) {
		ASSERT(at < op->point_count);
		return op->points[at].id;
	}
	ASSERT(at < op->id_count);
	return op->ids[at];
}

enum err merge_apply(const struct row *stored, const struct op *op, uint32_t at, struct arena *a,
		     struct row *ret_row, enum merge_result *ret_result,
		     struct merge_losses *losses)
{
	struct merging m = {
		.op = op,
		.arena = a,
		.row = stored ? *stored : (struct row){ .id = item_id(op, at) },
		.stamp = op_stamp(op),
		.losses = losses,
	};

	ASSERT(point_id_equal(m.row.id, item_id(op, at)));
	enum err err = take_op(&m, at);
	if (err)
		return err;
	err = join_vectors(&m, stored);
	if (err)
		return err;
	err = join_fields(&m, stored);
	if (err)
		return err;
	m.row.visible = is_visible(&m.row);
	*ret_row = m.row;
	*ret_result = m.changed ? MERGE_APPLIED : MERGE_UNCHANGED;
	return ERR_NONE;
}
