/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's intents become ops. What can only be judged in commit order is judged here: does the collection
 * exist, do the vectors fit it, do the points exist, which points does the filter find. All of that
 * comes before the first change, so that a refused intent leaves nothing behind.
 *
 * A filter may find any number of points. They are taken in the order of their ids, FILTER_POINTS_MAX a transaction, and each
 * part is found when its turn comes: no part changes what another one finds, as an op changes only the points that it
 * names, and no other write of the collection comes between. So the points are those that the filter finds at the moment
 * at which the intent's turn comes, while neither memory nor transaction grow with their number. What ends in the middle
 * (a crash, a full disk, a handover) leaves whole ops, and an error says so.
 *
 * An intent is cut into ops of about OP_BYTES_TARGET, and of POINTS_PER_OP_MAX points at most. No op names a point twice: its
 * two parts would have one stamp, and the later one is to win.
 */
#include "replicator/commit_inner.h"

#include "base/panic.h"
#include "index/order.h"
#include "replicator/point_size.h"

#include <stdlib.h>
#include <string.h>

#define FILTER_POINTS_MAX 10000u
#define IDS_PER_OP_MIN 64
/* An op's undo record holds all rows that it replaces, each as large as a point may be: see commit_undo.c. */
#define POINTS_PER_OP_MAX UNDO_ROWS_MAX
#define ID_BYTES_MAX 17

struct local {
	struct committer *c;
	struct write *w;
	struct intent *in;
	struct collection *collection; /* a reference */
	struct arena arena;
	enum op_kind kind;       /* of its ops */
	struct point_id *ids;    /* given, or found by the filter */
	uint32_t id_count;
	struct op_point *points; /* given, those that the condition leaves, or what paths make of the ids' payloads */
	uint32_t point_count;
	uint32_t first_op; /* ops of the transaction before this intent's */
	bool more;         /* the filter finds more, from next on */
	struct point_id next;
	struct fault *fault;
};

bool commit_intent_is_alone(const struct intent *in)
{
	return in->filter || commit_kind_is_alone(in->kind);
}

/* --- may this region write? --- */

static enum err refuse_writer(const struct committer *c, struct fault *reterr_fault)
{
	if (c->state.failed)
		return fault_set(reterr_fault, ERR_IO, "writing stopped: %s", c->state.failure);
	uint64_t epoch = c->history.epoch;
	if (epoch != 0 && c->place.released)
		return fault_set(reterr_fault, ERR_NOT_PRIMARY,
				 "this region is not the primary: it was handed over to region %u",
				 c->place.released_to);
	if (epoch != 0 && (uint8_t)epoch != c->o.region)
		return fault_set(reterr_fault, ERR_NOT_PRIMARY,
				 "this region is not the primary: region %u writes in epoch %llu",
				 (uint8_t)epoch, (unsigned long long)epoch);
	return fault_set(reterr_fault, ERR_NO_PRIMARY,
			 "this region has not begun an epoch; retry later");
}

/* Is it a write into a collection that every region writes? Then this region's role is not asked for. */
static bool is_multi(const struct local *l)
{
	return l->in->kind >= OP_UPSERT && l->collection &&
	       collection_config(l->collection)->multi_writer;
}

static enum err begin_multi(struct local *l)
{
	struct committer *c = l->c;

	if (c->state.failed)
		return fault_set(l->fault, ERR_IO, "writing stopped: %s", c->state.failure);
	bool depends = l->in->filter || commit_has_condition(l->in) || l->in->path_count > 0;
	if (depends && !l->in->local_conditions)
		return fault_set(l->fault, ERR_BAD_INPUT,
				 "every region writes this collection: what a filter finds here, or what a point holds, may be "
				 "another thing elsewhere; send `isthmus-conditional: local` to change what this region finds");
	enum err err = c->o.may_originate ? c->o.may_originate(c->o.ctx, l->fault) : ERR_NONE;
	if (!err)
		err = commit_txn_begin(c, l->fault);
	if (!err)
		l->first_op = c->txn.ops;
	return err;
}

static enum err begin(struct local *l)
{
	struct committer *c = l->c;
	enum err err;

	if (is_multi(l))
		return begin_multi(l);

	if (!c->writing)
		return refuse_writer(c, l->fault);
	err = commit_fence(c, ERR_NOT_PRIMARY, c->history.epoch, l->fault);
	if (err)
		return err;
	if (c->o.may_write && !(c->txn.store && c->txn.local)) {
		err = c->o.may_write(c->o.ctx, SCOPE_FLEET, c->history.epoch, l->fault);
		if (err)
			return err;
	}
	err = commit_txn_begin(c, l->fault);
	if (err)
		return err;
	c->txn.local = true;
	l->first_op = c->txn.ops;
	return ERR_NONE;
}

/* --- validation --- */

static enum err resolve(struct local *l)
{
	struct str name = l->in->collection;
	/* A collection is dropped by its own name only, as at Qdrant's. */
	bool by_alias = l->in->kind != OP_DROP_COLLECTION;

	l->collection = by_alias ? catalog_get(l->c->o.catalog, name) : catalog_get_named(l->c->o.catalog, name);
	if (!l->collection)
		return fault_set(l->fault, ERR_NOT_FOUND, "Collection `%.*s` doesn't exist!",
				 STR_FMT(name));
	return ERR_NONE;
}

static enum err check_vector(struct local *l, const struct op_vector *v)
{
	const struct vector_config *config = collection_vector(l->collection, v->name);

	if (!config)
		return fault_set(l->fault, ERR_BAD_INPUT, "Not existing vector name error: %.*s",
				 STR_FMT(v->name));
	return vector_config_check(config, &v->vector, l->fault);
}

static enum err check_point(struct local *l, const struct op_point *p)
{
	char id[POINT_ID_TEXT_MAX];

	for (uint32_t i = 0; i < p->vector_count; i++) {
		enum err err = check_vector(l, &p->vectors[i]);
		if (err)
			return err;
		for (uint32_t k = 0; k < i; k++)
			if (str_compare(p->vectors[i].name, p->vectors[k].name) == 0)
				return fault_set(l->fault, ERR_BAD_INPUT,
						 "Vector name `%.*s` is given twice",
						 STR_FMT(p->vectors[i].name));
	}
	if (p->payload.data && value_kind(p->payload) != VALUE_OBJECT)
		return fault_set(l->fault, ERR_BAD_INPUT, "payload: an object is expected");
	if (point_size_of_op(p) <= POINT_BYTES_MAX)
		return ERR_NONE;
	(void)point_id_format(p->id, id);
	return fault_set(l->fault, ERR_TOO_LARGE,
			 "Point %s takes %zu bytes with its payload and vectors; at most %zu are possible", id,
			 point_size_of_op(p), POINT_BYTES_MAX);
}

/* In the state that the open transaction has made; a row that is not visible is as if there were none. */
static enum err load_visible(struct local *l, struct point_id id, struct arena *a, struct row *ret_row, bool *ret_visible)
{
	enum err err = collection_row_load(l->collection, l->c->txn.store, id, a, ret_row);

	if (err && err != ERR_NOT_FOUND)
		return fault_set(l->fault, err, "reading a row: %s", err_sentence(err));
	*ret_visible = !err && ret_row->visible;
	return ERR_NONE;
}

static enum err is_visible(struct local *l, struct point_id id, bool *ret_visible)
{
	CLEANUP(arena_release) struct arena a;
	struct row row;

	arena_init(&a, ROW_ARENA_BYTES_MAX);
	return load_visible(l, id, &a, &row, ret_visible);
}

/* What one row is to get. */
struct growth {
	struct op op;
	const uint32_t *items; /* of the op, in their order: a point may be given several times; NULL: the first */
	uint32_t count;
	size_t bytes;          /* that the row grows by at most */
};

/* Every version that is stored lies below those that the ops will have. */
static enum err grow(struct local *l, struct growth *g, struct row *row, struct arena *a)
{
	enum err err = ERR_NONE;

	g->op.epoch = g->op.hlc = UINT64_MAX;
	for (uint32_t i = 0; i < g->count && !err; i++) {
		const struct row before = *row;
		enum merge_result result;
		err = merge_apply(&before, &g->op, g->items ? g->items[i] : 0, a, row, &result, NULL);
	}
	return err ? fault_set(l->fault, err, "merging a row: %s", err_sentence(err)) : ERR_NONE;
}

/* What makes a row that is too large already no larger is welcome: several regions may have made it so. */
static enum err check_growth(struct local *l, struct growth *g, struct row *row, struct arena *a)
{
	char id[POINT_ID_TEXT_MAX];
	size_t before = point_size_of_row(row);

	if (before + g->bytes <= POINT_BYTES_MAX)
		return ERR_NONE;
	enum err err = grow(l, g, row, a);
	if (err)
		return err;
	size_t after = point_size_of_row(row);
	if (after <= POINT_BYTES_MAX || after <= before)
		return ERR_NONE;
	(void)point_id_format(row->id, id);
	return fault_set(l->fault, ERR_TOO_LARGE,
			 "Point %s would take %zu bytes with its payload and vectors, and the names of what was deleted of "
			 "them; at most %zu are possible: clear or overwrite its payload, or upsert it anew",
			 id, after, POINT_BYTES_MAX);
}

static enum err check_row(struct local *l, struct point_id id, struct growth *g)
{
	CLEANUP(arena_release) struct arena a;
	char text[POINT_ID_TEXT_MAX];
	bool visible = false;
	struct row row;

	arena_init(&a, ROW_ARENA_BYTES_MAX);
	enum err err = load_visible(l, id, &a, &row, &visible);
	if (err)
		return err;
	if (visible)
		return check_growth(l, g, &row, &a);
	(void)point_id_format(id, text);
	return fault_set(l->fault, ERR_NOT_FOUND, "No point with id %s found", text);
}

struct id_at {
	struct point_id id;
	uint32_t at;
};

static int id_order(const void *a, const void *b)
{
	const struct id_at *x = a;
	const struct id_at *y = b;
	int order = point_id_compare(x->id, y->id);

	return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* By id, and those of one id as they stand. */
static struct id_at *sort_ids(struct local *l, const struct op_point *points, uint32_t count)
{
	struct id_at *ids = arena_array(&l->arena, count, sizeof(*ids));

	for (uint32_t i = 0; ids && i < count; i++)
		ids[i] = (struct id_at){ .id = points[i].id, .at = i };
	if (ids && count > 1)
		qsort(ids, count, sizeof(*ids), id_order);
	return ids;
}

/* The vectors that the points are to get: they exist, and have room. */
static enum err check_updates(struct local *l)
{
	uint32_t count = l->point_count;
	const struct id_at *ids = sort_ids(l, l->points, count);
	uint32_t *items = arena_array(&l->arena, count, sizeof(*items));
	enum err err = ids && items ? ERR_NONE : ERR_NO_MEMORY;

	if (err)
		return fault_set(l->fault, err, "no memory for %u points", count);
	for (uint32_t i = 0; i < count && !err;) {
		struct growth g = { .op = { .kind = l->kind, .points = l->points, .point_count = count },
				    .items = items };
		struct point_id id = ids[i].id;
		for (; i < count && point_id_equal(ids[i].id, id); i++) {
			items[g.count++] = ids[i].at;
			g.bytes += point_size_of_op(&l->points[ids[i].at]);
		}
		err = check_row(l, id, &g);
	}
	return err;
}

static enum err is_taken(struct local *l, struct point_id id, bool *ret_taken)
{
	CLEANUP(arena_release) struct arena a;
	bool visible = false;
	struct row row;

	arena_init(&a, ROW_ARENA_BYTES_MAX);
	enum err err = load_visible(l, id, &a, &row, &visible);
	if (err)
		return err;
	err = commit_takes_point(l->in, l->collection, visible ? &row : NULL, ret_taken);
	return err ? fault_set(l->fault, err, "evaluating the condition: %s", err_sentence(err)) : ERR_NONE;
}

/* All are judged by what is there before the first is written, also of one that is given twice. */
static enum err keep_taken(struct local *l)
{
	struct op_point *kept = arena_array(&l->arena, l->point_count, sizeof(*kept));
	uint32_t count = 0;

	if (!kept)
		return fault_set(l->fault, ERR_NO_MEMORY, "no memory for %u points", l->point_count);
	for (uint32_t i = 0; i < l->point_count; i++) {
		bool taken = false;
		enum err err = is_taken(l, l->points[i].id, &taken);
		if (err)
			return err;
		if (taken)
			kept[count++] = l->points[i];
	}
	l->points = kept;
	l->point_count = count;
	return ERR_NONE;
}

static enum err check_points(struct local *l)
{
	enum err err = ERR_NONE;

	l->points = l->in->body.points;
	l->point_count = l->in->body.point_count;
	for (uint32_t i = 0; i < l->point_count && !err; i++)
		err = check_point(l, &l->points[i]);
	if (!err && commit_has_condition(l->in))
		err = keep_taken(l);
	return !err && l->kind == OP_UPDATE_VECTORS ? check_updates(l) : err;
}

/* A delete of what is not there is a success. With one writer, nothing of it can be on its way either: no
 * tombstone is kept for it. */
static enum err keep_visible(struct local *l)
{
	struct point_id *kept = arena_array(&l->arena, l->id_count, sizeof(*kept));
	uint32_t count = 0;

	if (!kept)
		return fault_set(l->fault, ERR_NO_MEMORY, "no memory for %u ids", l->id_count);
	for (uint32_t i = 0; i < l->id_count; i++) {
		bool visible = false;
		enum err err = is_visible(l, l->ids[i], &visible);
		if (err)
			return err;
		if (visible)
			kept[count++] = l->ids[i];
	}
	l->ids = kept;
	l->id_count = count;
	return ERR_NONE;
}

/* Nothing is pending: what is published is what the filter is to see. */
static enum err find_matching(struct local *l)
{
	ASSERT(l->c->txn.ops == 0);
	l->ids = arena_array(&l->arena, FILTER_POINTS_MAX, sizeof(*l->ids));
	if (!l->ids)
		return fault_set(l->fault, ERR_NO_MEMORY, "no memory for %u ids",
				 FILTER_POINTS_MAX);
	enum err err = collection_scroll(l->collection, l->in->filter,
					 l->in->more ? &l->in->next : NULL, FILTER_POINTS_MAX, NULL,
					 l->ids, &l->id_count, &l->more, &l->next);

	return err ? fault_set(l->fault, err, "evaluating the filter: %s", err_sentence(err)) : err;
}

static enum err choose_ids(struct local *l)
{
	l->ids = l->in->body.ids;
	l->id_count = l->in->body.id_count;
	if (l->in->filter)
		return find_matching(l);
	if (l->in->kind == OP_DELETE && !collection_config(l->collection)->multi_writer)
		return keep_visible(l);
	return ERR_NONE;
}

/* All that exist, or are to, and have room: before the first is changed. common_bytes: of what each gets. */
static enum err find_ids(struct local *l, size_t common_bytes)
{
	size_t bytes = common_bytes + l->in->body.key_count * (size_t)POINT_SIZE_ABSENT_MAX;
	enum err err = choose_ids(l);

	for (uint32_t i = 0; l->in->kind != OP_DELETE && i < l->id_count && !err; i++) {
		struct growth g = { .op = l->in->body, .count = 1, .bytes = bytes };
		g.op.kind = l->in->kind;
		g.op.ids = &l->ids[i];
		g.op.id_count = 1;
		err = check_row(l, l->ids[i], &g);
	}
	return err;
}

static size_t keys_bytes(const struct op *op)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < op->key_count; i++)
		bytes += op->keys[i].len + 5;
	return bytes;
}

/* What each op of the intent repeats. */
static enum err check_common(struct local *l, size_t *ret_bytes)
{
	const struct op *body = &l->in->body;
	size_t bytes = OP_HEAD_BYTES + body->payload.len + keys_bytes(body);

	if (body->payload.data && value_kind(body->payload) != VALUE_OBJECT)
		return fault_set(l->fault, ERR_BAD_INPUT, "payload: an object is expected");
	for (uint32_t i = 0; l->in->kind == OP_DELETE_VECTORS && i < body->key_count; i++)
		if (!collection_vector(l->collection, body->keys[i]))
			return fault_set(l->fault, ERR_BAD_INPUT,
					 "Not existing vector name error: %.*s",
					 STR_FMT(body->keys[i]));
	if (bytes > OP_BYTES_MAX - IDS_PER_OP_MIN * ID_BYTES_MAX)
		return fault_set(l->fault, ERR_TOO_LARGE,
				 "The payload takes %zu bytes; at most %u are possible", bytes,
				 OP_BYTES_MAX - IDS_PER_OP_MIN * ID_BYTES_MAX);
	*ret_bytes = bytes;
	return ERR_NONE;
}

/* --- ops --- */

static enum err add_op(struct local *l, struct op *op)
{
	static const struct bytes encode_here;
	enum err err;

	if (is_multi(l)) {
		err = commit_multi_stamp(l->c, op, l->w->hlc_floor, l->fault);
		return err ? err : commit_multi_apply(l->c, op, encode_here, l->fault);
	}
	err = commit_stamp(l->c, op, l->fault);
	if (err)
		return err;
	if (op->kind == OP_CREATE_COLLECTION)
		op->incarnation = (struct incarnation){ .hlc = op->hlc, .region = op->region };
	return commit_txn_apply(l->c, op, encode_here, l->fault);
}

static struct op op_of(const struct local *l)
{
	struct op op = { .kind = l->kind };

	if (l->collection)
		op.incarnation = collection_incarnation(l->collection);
	return op;
}

/* Before anything is stored, so that log, rows and regions hold the same bytes. */
static enum err normalize(struct local *l, struct op_vector *v)
{
	const struct vector_config *config = collection_vector(l->collection, v->name);

	bool as_it_is = vector_config_distance(config) != DISTANCE_COSINE && !config->datatype;

	if (config->multi && v->vector.kind == VECTOR_DENSE) {
		v->vector.kind = VECTOR_MULTI;
		v->vector.rows = 1;
	}
	if (config->sparse || as_it_is)
		return ERR_NONE;
	float *values = arena_array(&l->arena, v->vector.count, sizeof(*values));
	if (!values)
		return ERR_NO_MEMORY;
	memcpy(values, v->vector.values, v->vector.count * sizeof(*values));
	collection_normalize_rows(config, values, v->vector.count / config->dim);
	v->vector.values = values;
	return ERR_NONE;
}

/* Points as they are stored; the client's own stay as they are, should the write be tried again. */
static enum err copy_points(struct local *l, struct op_point **ret_points)
{
	struct op_point *points = arena_array(&l->arena, l->point_count, sizeof(*points));

	if (!points)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < l->point_count; i++) {
		struct op_point *p = &points[i];
		*p = l->points[i];
		p->vectors = arena_array(&l->arena, p->vector_count, sizeof(*p->vectors));
		if (!p->vectors)
			return ERR_NO_MEMORY;
		for (uint32_t k = 0; k < p->vector_count; k++) {
			p->vectors[k] = l->points[i].vectors[k];
			p->vectors[k].slot = SLOT_NONE;
			enum err err = normalize(l, &p->vectors[k]);
			if (err)
				return err;
		}
		if (l->kind == OP_UPDATE_VECTORS)
			p->payload = (struct value){ 0 };
	}
	*ret_points = points;
	return ERR_NONE;
}

/* ret[i]: point i has an id that an earlier one has. */
static enum err find_repeated(struct local *l, const struct op_point *points, uint32_t count,
			      bool **ret)
{
	const struct id_at *ids = sort_ids(l, points, count);
	bool *repeated = arena_array(&l->arena, count, sizeof(*repeated));

	if (!ids || !repeated)
		return ERR_NO_MEMORY;
	for (uint32_t i = 1; i < count; i++)
		repeated[ids[i].at] = point_id_equal(ids[i].id, ids[i - 1].id);
	*ret = repeated;
	return ERR_NONE;
}

static enum err add_points(struct local *l, bool *ret_dirty)
{
	uint32_t count = l->point_count;
	struct op_point *points;
	bool *repeated;
	enum err err = copy_points(l, &points);

	if (!err)
		err = find_repeated(l, points, count, &repeated);
	if (err)
		return fault_set(l->fault, err, "no memory for %u points", count);
	for (uint32_t i = 0; i < count;) {
		struct op op = op_of(l);
		size_t bytes = OP_HEAD_BYTES;
		op.points = &points[i];
		do {
			bytes += point_size_of_op(&points[i++]);
			op.point_count++;
		} while (i < count && !repeated[i] && op.point_count < POINTS_PER_OP_MAX &&
			 bytes + point_size_of_op(&points[i]) <= OP_BYTES_TARGET);
		*ret_dirty = true;
		err = add_op(l, &op);
		if (err)
			return err;
	}
	return ERR_NONE;
}

static enum err add_ids(struct local *l, size_t common_bytes, bool *ret_dirty)
{
	size_t room = common_bytes < OP_BYTES_TARGET ? OP_BYTES_TARGET - common_bytes : 0;
	uint32_t per_op = MIN(MAX((uint32_t)(room / ID_BYTES_MAX), IDS_PER_OP_MIN), POINTS_PER_OP_MAX);

	for (uint32_t i = 0; i < l->id_count; i += per_op) {
		struct op op = op_of(l);
		op.payload = l->in->body.payload;
		op.keys = l->in->body.keys;
		op.key_count = l->in->body.key_count;
		op.ids = &l->ids[i];
		op.id_count = MIN(per_op, l->id_count - i);
		*ret_dirty = true;
		enum err err = add_op(l, &op);
		if (err)
			return err;
	}
	return ERR_NONE;
}

/* What the paths make of one point's payload; nothing when it stays as it is. */
static enum err change_inside(struct local *l, struct point_id id)
{
	CLEANUP(arena_release) struct arena a;
	char text[POINT_ID_TEXT_MAX];
	struct op_point *p = &l->points[l->point_count];
	bool visible = false;
	struct row row;

	arena_init(&a, ROW_ARENA_BYTES_MAX);
	enum err err = load_visible(l, id, &a, &row, &visible);
	if (err)
		return err;
	(void)point_id_format(id, text);
	if (!visible)
		return fault_set(l->fault, ERR_NOT_FOUND, "No point with id %s found", text);
	*p = (struct op_point){ .id = id };
	err = commit_change_inside(l->in, &row, &l->arena, &p->payload);
	if (err == ERR_BAD_INPUT)
		return fault_set(l->fault, err, "Point %s: its payload would be nested more than %d deep", text,
				 VALUE_DEPTH_MAX);
	if (err)
		return fault_set(l->fault, err, "changing a payload: %s", err_sentence(err));
	if (!p->payload.data)
		return ERR_NONE;
	err = check_point(l, p);
	if (err)
		return err;
	l->point_count++;
	struct growth g = { .op = { .kind = l->kind, .points = p, .point_count = 1 },
			    .count = 1,
			    .bytes = point_size_of_op(p) + row.field_count * (size_t)POINT_SIZE_ABSENT_MAX };
	return check_growth(l, &g, &row, &a);
}

/* A filter's part ends where its payloads would take too much memory. */
static enum err inside_intent(struct local *l, bool *ret_dirty)
{
	size_t common_bytes, before = l->arena.used;
	enum err err = check_common(l, &common_bytes);

	if (!err)
		err = choose_ids(l);
	if (err)
		return err;
	l->kind = OP_SET_FIELDS;
	l->points = arena_array(&l->arena, l->id_count, sizeof(*l->points));
	if (!l->points)
		return fault_set(l->fault, ERR_NO_MEMORY, "no memory for %u points", l->id_count);
	for (uint32_t i = 0; i < l->id_count && !err; i++) {
		if (l->in->filter && i > 0 && l->arena.used - before > COMMIT_BYTES_MAX) {
			l->more = true;
			l->next = l->ids[i];
			break;
		}
		err = change_inside(l, l->ids[i]);
	}
	return err ? err : add_points(l, ret_dirty);
}

static enum err data_intent(struct local *l, bool *ret_dirty)
{
	size_t common_bytes = 0;
	enum err err = resolve(l);

	if (!err)
		err = begin(l);
	if (err)
		return err;
	if (l->in->kind == OP_UPSERT || l->in->kind == OP_UPDATE_VECTORS) {
		err = check_points(l);
		return err ? err : add_points(l, ret_dirty);
	}
	if (l->in->path_count > 0)
		return inside_intent(l, ret_dirty);
	err = check_common(l, &common_bytes);
	if (!err)
		err = find_ids(l, common_bytes);
	return err ? err : add_ids(l, common_bytes, ret_dirty);
}

/* --- collections --- */

static enum err check_unused(struct local *l, struct str name)
{
	struct catalog *catalog = l->c->o.catalog;
	struct collection *named = catalog_get_named(catalog, name);
	struct incarnation existing;

	if (!named && !catalog_has(catalog, name, &existing))
		return ERR_NONE;
	if (!named)
		return fault_set(l->fault, ERR_BAD_INPUT,
				 "Can't create collection with name %.*s. Alias with the same name already exists",
				 STR_FMT(name));
	collection_unref(named);
	return fault_set(l->fault, ERR_ALREADY_EXISTS, "Collection `%.*s` already exists!", STR_FMT(name));
}

static enum err create_intent(struct local *l, bool *ret_dirty)
{
	struct op op = op_of(l);

	op.name = l->in->body.name.len > 0 ? l->in->body.name : l->in->collection;
	op.config = l->in->body.config;
	if (op.name.len == 0 || op.name.len > COLLECTION_NAME_MAX)
		return fault_set(l->fault, ERR_BAD_INPUT,
				 "the name of a collection has 1 to %d bytes", COLLECTION_NAME_MAX);
	enum err err = begin(l);
	if (!err)
		err = check_unused(l, op.name);
	if (err)
		return err;
	*ret_dirty = true;
	return add_op(l, &op);
}

static enum err schema_intent(struct local *l, bool *ret_dirty)
{
	enum err err = resolve(l);

	if (!err)
		err = begin(l);
	if (err)
		return err;
	struct op op = op_of(l);
	op.config = l->in->body.config;
	op.field_index = l->in->body.field_index;
	*ret_dirty = true;
	return add_op(l, &op);
}

/* What changes nothing is a success that writes nothing. */
static enum err aliases_intent(struct local *l, bool *ret_dirty)
{
	struct op op = { .kind = OP_ALIASES };
	enum err err = begin(l);

	if (!err)
		err = commit_alias_changes(l->c, l->in, &l->arena, &op.aliases, l->fault);
	if (err || op.aliases.count == 0)
		return err;
	*ret_dirty = true;
	return add_op(l, &op);
}

static enum err mark_intent(struct local *l, bool *ret_dirty)
{
	enum err err = begin(l);
	if (err)
		return err;
	struct op op = { .kind = OP_MARK, .mark = l->in->body.mark };
	*ret_dirty = true;
	return add_op(l, &op);
}

static enum err run_intent(struct local *l, bool *ret_dirty)
{
	switch (l->in->kind) {
	case OP_UPSERT:
	case OP_UPDATE_VECTORS:
	case OP_DELETE:
	case OP_SET_PAYLOAD:
	case OP_OVERWRITE_PAYLOAD:
	case OP_DELETE_PAYLOAD:
	case OP_CLEAR_PAYLOAD:
	case OP_DELETE_VECTORS:
		return data_intent(l, ret_dirty);
	case OP_CREATE_COLLECTION:
		return create_intent(l, ret_dirty);
	case OP_UPDATE_COLLECTION:
	case OP_DROP_COLLECTION:
	case OP_FIELD_INDEX_PUT:
	case OP_FIELD_INDEX_DROP:
		return schema_intent(l, ret_dirty);
	case OP_MARK:
		return mark_intent(l, ret_dirty);
	case OP_ALIASES:
		return aliases_intent(l, ret_dirty);
	case OP_EPOCH_START:
	case OP_RELEASE:
	case OP_ORPHAN:
	case OP_GC:
	case OP_ORPHAN_APPLY:
	case OP_ORPHAN_DROP:
	case OP_SET_FIELDS:
		break;
	}
	return fault_set(l->fault, ERR_BAD_INPUT, "%s is no operation of a client",
			 op_kind_name(l->in->kind));
}

enum err commit_intent(struct committer *c, struct write *w, struct intent *in, bool *ret_dirty,
		       struct fault *reterr_fault)
{
	struct local l = { .c = c, .w = w, .in = in, .kind = in->kind, .fault = reterr_fault };

	*ret_dirty = false;
	arena_init(&l.arena, INTENT_ARENA_BYTES_MAX);
	enum err err = run_intent(&l, ret_dirty);
	if (!err) {
		const struct place *p = c->txn.store ? &c->txn.place : &c->place;
		bool wrote = c->txn.store && c->txn.ops > l.first_op;
		struct position at = wrote && is_multi(&l) ? commit_multi_position(c) : p->position;
		in->op_number = position_is_multi(at) ? at.seq
						      : history_number(commit_history(c), at);
		if (wrote)
			w->position = at;
		in->more = l.more;
		in->next = l.next;
	}
	if (l.collection)
		collection_unref(l.collection);
	arena_release(&l.arena);
	return err;
}
