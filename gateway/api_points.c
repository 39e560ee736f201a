/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes of points. What can be judged without the data was judged when the request was read (ids, finite numbers,
 * sparse indices); what needs them (names, dimensions, whether points exist) is judged in the commit, in its order.
 * There too vectors get unit length where the distance is cosine.
 */
#include "gateway/api_inner.h"

#include <string.h>

#include "base/panic.h"

#define TIMEOUT_S_MAX 86400 /* longer ones mean this */

uint64_t api_timeout_ms(uint64_t seconds)
{
	return MIN(seconds, TIMEOUT_S_MAX) * 1000;
}

/* The call's arena is at its bound long before the machine is: what was asked is too large. */
static enum err no_room(struct call *c)
{
	return fault_set(&c->fault, ERR_TOO_LARGE,
			 "the request needs more memory than one may have");
}

struct intent *api_intents(struct call *c, struct str collection, uint32_t count, enum op_kind kind)
{
	struct intent *intents = arena_array(c->arena, count, sizeof(*intents));
	struct str name = call_own(c, collection);
	struct str conditional = request_header(c->request, "isthmus-conditional");
	bool local = conditional.len == 5 && memcmp(conditional.data, "local", 5) == 0;

	if (!intents || !name.data) {
		call_finish(c, no_room(c));
		return NULL;
	}
	for (uint32_t i = 0; i < count; i++) {
		intents[i].kind = kind;
		intents[i].collection = name;
		intents[i].local_conditions = local;
	}
	return intents;
}

/* --- answers --- */

static void set_result(const struct call *c, const struct intent *in, struct msg_update_result *out)
{
	*out = (struct msg_update_result){
		.has_operation_id = true,
		.operation_id = in->op_number,
		.status = c->plan.wait ? UPDATE_COMPLETED : UPDATE_ACKNOWLEDGED,
	};
}

static enum err settle_update(struct call *c)
{
	struct msg_update_reply *out = c->out;

	if (c->write.err)
		return c->write.err;
	set_result(c, &c->plan.intents[0], &out->result);
	return ERR_NONE;
}

/* The write goes on: what it becomes is not known, so there is no operation_id. */
static enum err late_update(struct call *c)
{
	struct msg_update_reply *out = c->out;

	out->result = (struct msg_update_result){ .status = UPDATE_WAIT_TIMEOUT };
	return ERR_NONE;
}

static enum err new_results(struct call *c, struct msg_update_result_list *out)
{
	out->items = arena_array(&c->request->arena, c->plan.intent_count, sizeof(*out->items));
	if (!out->items)
		return no_room(c);
	out->count = c->plan.intent_count;
	return ERR_NONE;
}

static enum err settle_batch(struct call *c)
{
	struct msg_update_batch_reply *out = c->out;

	if (c->write.err)
		return c->write.err;
	enum err err = new_results(c, &out->result);
	for (uint32_t i = 0; i < c->plan.intent_count && !err; i++)
		set_result(c, &c->plan.intents[i], &out->result.items[i]);
	return err;
}

static enum err late_batch(struct call *c)
{
	struct msg_update_batch_reply *out = c->out;
	enum err err = new_results(c, &out->result);

	for (uint32_t i = 0; i < c->plan.intent_count && !err; i++)
		out->result.items[i] = (struct msg_update_result){ .status = UPDATE_WAIT_TIMEOUT };
	return err;
}

static struct write_plan plan_of(const struct api_update *u, uint32_t count)
{
	return (struct write_plan){
		.intents = u->intent,
		.intent_count = count,
		.wait = u->wait,
		.ordering = u->ordering,
		.timeout_ms = u->timeout_ms,
		.settle = settle_update,
		.late = late_update,
	};
}

void api_write_update(struct call *c, const struct api_update *u)
{
	struct write_plan plan = plan_of(u, 1);

	call_write(c, &plan);
}

/* --- what an operation is made of --- */

static enum err set_vectors(struct call *c, const struct vector_list *from, struct op_point *out)
{
	out->vectors = arena_array(c->arena, from->count, sizeof(*out->vectors));
	if (!out->vectors)
		return no_room(c);
	out->vector_count = from->count;
	for (uint32_t i = 0; i < from->count; i++)
		out->vectors[i] = (struct op_vector){ .name = from->items[i].name,
						      .vector = from->items[i].vector,
						      .slot = SLOT_NONE };
	return ERR_NONE;
}

static enum err new_points(struct call *c, struct intent *in, uint32_t count)
{
	in->body.points = arena_array(c->arena, count, sizeof(*in->body.points));
	if (!in->body.points)
		return no_room(c);
	in->body.point_count = count;
	return ERR_NONE;
}

static enum err set_points(struct call *c, struct intent *in, const struct msg_point_list *points)
{
	enum err err = new_points(c, in, points->count);

	in->kind = OP_UPSERT;
	for (uint32_t i = 0; i < points->count && !err; i++) {
		const struct msg_point *p = &points->items[i];
		in->body.points[i].id = p->id;
		if (p->has_payload)
			in->body.points[i].payload = p->payload;
		err = set_vectors(c, &p->vector, &in->body.points[i]);
	}
	return err;
}

static enum err set_point_vectors(struct call *c, struct intent *in,
				  const struct msg_point_vectors_list *points)
{
	enum err err = new_points(c, in, points->count);

	in->kind = OP_UPDATE_VECTORS;
	for (uint32_t i = 0; i < points->count && !err; i++) {
		in->body.points[i].id = points->items[i].id;
		err = set_vectors(c, &points->items[i].vector, &in->body.points[i]);
	}
	return err;
}

/* Ids win over a filter. */
static enum err set_selected(struct call *c, struct intent *in, enum op_kind kind,
			     const struct msg_points_selector *s)
{
	static const struct filter all;

	in->kind = kind;
	if (s->has_points) {
		in->body.ids = s->points.ids.items;
		in->body.id_count = s->points.ids.count;
		return ERR_NONE;
	}
	if (!s->has_filter)
		return fault_set(&c->fault, ERR_BAD_REQUEST, "No filter or points provided");
	in->filter = s->filter ? s->filter : &all;
	return ERR_NONE;
}

static enum err set_payload(struct call *c, struct intent *in, enum op_kind kind,
			    struct value payload, const struct msg_points_selector *s)
{
	in->body.payload = payload;
	return set_selected(c, in, kind, s);
}

/* Keys of DELETE_PAYLOAD are top-level keys; a path into the payload is not built, and must not be taken for one. */
static enum err set_keys(struct call *c, struct intent *in, const struct str_list *paths)
{
	in->body.keys = arena_array(c->arena, paths->count, sizeof(*in->body.keys));
	if (!in->body.keys)
		return no_room(c);
	in->body.key_count = paths->count;
	for (uint32_t i = 0; i < paths->count; i++) {
		struct path path;
		enum err err = path_parse(paths->items[i], &path, &c->fault);
		if (err)
			return err;
		if (path.count != 1 || path.steps[0].kind != PATH_KEY)
			return fault_set(&c->fault, ERR_NOT_IMPLEMENTED,
					 "deleting a nested payload key (%.*s)",
					 STR_FMT(paths->items[i]));
		in->body.keys[i] = path.steps[0].key;
	}
	return ERR_NONE;
}

static enum err delete_keys(struct call *c, struct intent *in, const struct str_list *paths,
			    const struct msg_points_selector *s)
{
	enum err err = set_keys(c, in, paths);

	return err ? err : set_selected(c, in, OP_DELETE_PAYLOAD, s);
}

static enum err delete_vectors(struct call *c, struct intent *in, const struct str_list *names,
			       const struct msg_points_selector *s)
{
	in->body.keys = names->items;
	in->body.key_count = names->count;
	return set_selected(c, in, OP_DELETE_VECTORS, s);
}

/* --- the methods --- */

static void write_or_fail(struct call *c, enum err err, const struct api_update *u)
{
	if (err)
		call_finish(c, err);
	else
		api_write_update(c, u);
}

void api_points_upsert(struct call *c)
{
	const struct msg_points_upsert *in = c->in;
	struct intent *intent = api_intents(c, in->collection_name, 1, OP_UPSERT);

	if (intent)
		write_or_fail(c, set_points(c, intent, &in->points), &API_UPDATE(in, intent));
}

void api_vectors_update(struct call *c)
{
	const struct msg_vectors_update *in = c->in;
	struct intent *intent = api_intents(c, in->collection_name, 1, OP_UPDATE_VECTORS);

	if (intent)
		write_or_fail(c, set_point_vectors(c, intent, &in->points),
			      &API_UPDATE(in, intent));
}

static void select_points(struct call *c, enum op_kind kind)
{
	const struct msg_points_select *in = c->in;
	struct intent *intent = api_intents(c, in->collection_name, 1, kind);

	if (intent)
		write_or_fail(c, set_selected(c, intent, kind, &in->selector),
			      &API_UPDATE(in, intent));
}

void api_points_delete(struct call *c)
{
	select_points(c, OP_DELETE);
}

void api_payload_clear(struct call *c)
{
	select_points(c, OP_CLEAR_PAYLOAD);
}

static void put_payload(struct call *c, enum op_kind kind)
{
	const struct msg_payload_set *in = c->in;
	struct intent *intent = api_intents(c, in->collection_name, 1, kind);

	if (intent)
		write_or_fail(c, set_payload(c, intent, kind, in->payload, &in->selector),
			      &API_UPDATE(in, intent));
}

void api_payload_set(struct call *c)
{
	put_payload(c, OP_SET_PAYLOAD);
}

void api_payload_overwrite(struct call *c)
{
	put_payload(c, OP_OVERWRITE_PAYLOAD);
}

void api_payload_delete(struct call *c)
{
	const struct msg_payload_delete *in = c->in;
	struct intent *intent = api_intents(c, in->collection_name, 1, OP_DELETE_PAYLOAD);

	if (intent)
		write_or_fail(c, delete_keys(c, intent, &in->keys, &in->selector),
			      &API_UPDATE(in, intent));
}

void api_vectors_delete(struct call *c)
{
	const struct msg_vectors_delete *in = c->in;
	struct intent *intent = api_intents(c, in->collection_name, 1, OP_DELETE_VECTORS);

	if (intent)
		write_or_fail(c, delete_vectors(c, intent, &in->vector.names, &in->selector),
			      &API_UPDATE(in, intent));
}

/* --- batch --- */

/* The message is a union: exactly one is there. */
static enum err set_operation(struct call *c, struct intent *in,
			      const struct msg_update_operation *o)
{
	if (o->has_upsert)
		return set_points(c, in, &o->upsert.points);
	if (o->has_delete_points)
		return set_selected(c, in, OP_DELETE, &o->delete_points.selector);
	if (o->has_set_payload)
		return set_payload(c, in, OP_SET_PAYLOAD, o->set_payload.payload,
				   &o->set_payload.selector);
	if (o->has_overwrite_payload)
		return set_payload(c, in, OP_OVERWRITE_PAYLOAD, o->overwrite_payload.payload,
				   &o->overwrite_payload.selector);
	if (o->has_delete_payload)
		return delete_keys(c, in, &o->delete_payload.keys, &o->delete_payload.selector);
	if (o->has_clear_payload)
		return set_selected(c, in, OP_CLEAR_PAYLOAD, &o->clear_payload.selector);
	if (o->has_update_vectors)
		return set_point_vectors(c, in, &o->update_vectors.points);
	ASSERT(o->has_delete_vectors);
	return delete_vectors(c, in, &o->delete_vectors.vector.names, &o->delete_vectors.selector);
}

/* What is refused here is refused before the first operation; what the commit refuses ends the batch there, and
 * the operations before it stay, as at Qdrant's. */
void api_points_batch(struct call *c)
{
	const struct msg_points_batch *in = c->in;
	enum err err = api_check_max(c, "operations", in->operations.count, WRITE_BATCH_MAX);

	if (err) {
		call_finish(c, err);
		return;
	}
	struct intent *intents =
		api_intents(c, in->collection_name, in->operations.count, OP_UPSERT);
	if (!intents)
		return;
	for (uint32_t i = 0; i < in->operations.count && !err; i++)
		err = set_operation(c, &intents[i], &in->operations.items[i]);
	if (err) {
		call_finish(c, err);
		return;
	}
	struct write_plan plan = plan_of(&API_UPDATE(in, intents), in->operations.count);
	plan.settle = settle_batch;
	plan.late = late_batch;
	call_write(c, &plan);
}
