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

/* A filter that is there and empty matches everything. */
static const struct filter *filter_or_all(const struct filter *f)
{
	static const struct filter all;

	return f ? f : &all;
}

#define SET_CONDITION(in, m) ((in)->condition = (m)->has_update_filter ? filter_or_all((m)->update_filter) : NULL)

static void set_mode(struct intent *in, bool has_mode, enum update_mode mode)
{
	switch (has_mode ? mode : UPDATE_MODE_UPSERT) {
	case UPDATE_MODE_UPSERT:
		in->mode = INTENT_UPSERT;
		break;
	case UPDATE_MODE_INSERT_ONLY:
		in->mode = INTENT_INSERT_ONLY;
		break;
	case UPDATE_MODE_UPDATE_ONLY:
		in->mode = INTENT_UPDATE_ONLY;
		break;
	}
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

/* An operation that sets a payload, alone or in a batch. */
struct payload_to_set {
	struct value payload;
	bool has_key;
	struct str key;
	const struct msg_points_selector *selector;
};
#define PAYLOAD_OF(m) ((struct payload_to_set){ (m)->payload, (m)->has_key, (m)->key, &(m)->selector })

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
	in->kind = kind;
	if (s->has_points) {
		in->body.ids = s->points.ids.items;
		in->body.id_count = s->points.ids.count;
		return ERR_NONE;
	}
	if (!s->has_filter)
		return fault_set(&c->fault, ERR_BAD_REQUEST, "No filter or points provided");
	in->filter = filter_or_all(s->filter);
	return ERR_NONE;
}

static enum err parse_paths(struct call *c, struct intent *in, const struct str *texts, uint32_t count)
{
	struct path *paths = arena_array(c->arena, count, sizeof(*paths));
	enum err err = paths ? ERR_NONE : no_room(c);

	for (uint32_t i = 0; i < count && !err; i++)
		err = path_parse(texts[i], &paths[i], &c->fault);
	in->paths = paths;
	in->path_count = count;
	return err;
}

/* What replaces a whole payload has no place inside it: to ignore the key would be to lose the rest. */
static enum err set_payload(struct call *c, struct intent *in, enum op_kind kind, const struct payload_to_set *p)
{
	enum err err = ERR_NONE;

	in->body.payload = p->payload;
	if (p->has_key && kind == OP_OVERWRITE_PAYLOAD)
		return fault_set(&c->fault, ERR_BAD_REQUEST,
				 "`key` is not possible where the whole payload is overwritten: set the payload at the key");
	if (p->has_key)
		err = parse_paths(c, in, &p->key, 1);
	return err ? err : set_selected(c, in, kind, p->selector);
}

static bool is_top_level(const struct path *p)
{
	return p->count == 1 && p->steps[0].kind == PATH_KEY;
}

/* Keys of the payload itself go by name; where one of them leads into it, all are paths. */
static enum err set_keys(struct call *c, struct intent *in, const struct str_list *texts)
{
	enum err err = parse_paths(c, in, texts->items, texts->count);
	bool inside = false;

	in->body.keys = arena_array(c->arena, texts->count, sizeof(*in->body.keys));
	if (!err && !in->body.keys)
		err = no_room(c);
	for (uint32_t i = 0; i < texts->count && !err; i++) {
		inside |= !is_top_level(&in->paths[i]);
		in->body.keys[i] = in->paths[i].steps[0].key;
	}
	if (inside)
		in->body.keys = NULL;
	else
		in->path_count = 0;
	in->body.key_count = inside ? 0 : texts->count;
	return err;
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

	if (!intent)
		return;
	SET_CONDITION(intent, in);
	set_mode(intent, in->has_update_mode, in->update_mode);
	write_or_fail(c, set_points(c, intent, &in->points), &API_UPDATE(in, intent));
}

void api_vectors_update(struct call *c)
{
	const struct msg_vectors_update *in = c->in;
	struct intent *intent = api_intents(c, in->collection_name, 1, OP_UPDATE_VECTORS);

	if (!intent)
		return;
	SET_CONDITION(intent, in);
	write_or_fail(c, set_point_vectors(c, intent, &in->points), &API_UPDATE(in, intent));
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
		write_or_fail(c, set_payload(c, intent, kind, &PAYLOAD_OF(in)), &API_UPDATE(in, intent));
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
	if (o->has_upsert) {
		SET_CONDITION(in, &o->upsert);
		set_mode(in, o->upsert.has_update_mode, o->upsert.update_mode);
		return set_points(c, in, &o->upsert.points);
	}
	if (o->has_delete_points)
		return set_selected(c, in, OP_DELETE, &o->delete_points.selector);
	if (o->has_set_payload)
		return set_payload(c, in, OP_SET_PAYLOAD, &PAYLOAD_OF(&o->set_payload));
	if (o->has_overwrite_payload)
		return set_payload(c, in, OP_OVERWRITE_PAYLOAD, &PAYLOAD_OF(&o->overwrite_payload));
	if (o->has_delete_payload)
		return delete_keys(c, in, &o->delete_payload.keys, &o->delete_payload.selector);
	if (o->has_clear_payload)
		return set_selected(c, in, OP_CLEAR_PAYLOAD, &o->clear_payload.selector);
	if (o->has_update_vectors) {
		SET_CONDITION(in, &o->update_vectors);
		return set_point_vectors(c, in, &o->update_vectors.points);
	}
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
