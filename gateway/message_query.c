/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kinds of queries.
 *
 *   query          an object with the key of one form; in JSON also a bare vector or the bare id of a point
 *   vector_input   a vector, or the id of a point whose vector is meant; vector_example and target_vector in the messages
 *                  of the older forms, which spread a list of examples over two fields
 *   prefetches     in JSON one or a list; each may have some of its own
 *   context_pairs  in JSON one or a list
 */
#include "gateway/message_kinds.h"

#include <string.h>

#include "index/query.h"

static bool is_word(struct str s, const char *word)
{
	return strlen(word) == s.len && memcmp(s.data, word, s.len) == 0;
}

/* ---- vector_input ---- */

static void vector_input_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct vector_input *v = member;
	enum json_kind kind = json_peek(r);

	if (kind == JSON_ARRAY || kind == JSON_OBJECT) {
		*v = (struct vector_input){ .vector = message_vector_from_json(d, r) };
		return;
	}
	*v = (struct vector_input){ .kind = INPUT_POINT };
	v->id = message_point_id_from_json(d, r);
}

static void vector_input_to_json(const void *member, struct json_writer *w)
{
	const struct vector_input *v = member;

	if (v->kind == INPUT_POINT)
		message_point_id_to_json(v->id, w);
	else
		message_vector_to_json(&v->vector, w);
}

/* VectorInput{id=1 | dense=2 | sparse=3 | multi_dense=4 | document=5 | image=6 | object=7} */
static void vector_input_from_proto(struct message_reading *d, struct proto_reader *r,
				    enum proto_type t, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct vector_input v = { 0 };
	uint32_t field;
	bool given = false;

	while (!d->err && proto_next(&in, &field, &t)) {
		if (field == 0 || field > 7) {
			proto_skip(&in, t);
			continue;
		}
		struct bytes inner = proto_bytes(&in, t);
		v = (struct vector_input){ .kind = field == 1 ? INPUT_POINT : INPUT_VECTOR };
		if (field == 1)
			v.id = message_point_id_from_proto(d, inner);
		else
			(void)message_vector_input_from_proto(d, field, inner,
							      &v.vector); /* fields 2 to 7 are */
		given = true;
	}
	if (in.err)
		message_bad_proto(d);
	else if (!given && !r->err)
		message_bad_input(d, "a vector input is empty");
	memcpy(member, &v, sizeof(v));
}

static void vector_input_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct vector_input *v = member;
	size_t mark = proto_begin(out, field);

	if (v->kind == INPUT_POINT)
		kind_point_id.to_proto(&v->id, 1, out);
	else
		message_vector_input_to_proto(&v->vector, out);
	proto_end(out, mark);
}

const struct message_custom kind_vector_input = {
	.size = sizeof(struct vector_input),
	.from_json = vector_input_from_json,
	.from_proto = vector_input_from_proto,
	.to_json = vector_input_to_json,
	.to_proto = vector_input_to_proto,
};

/* ---- the older forms ---- */

/* VectorExample{id=1 | vector=2} */
static void vector_example_from_proto(struct message_reading *d, struct proto_reader *r,
				      enum proto_type t, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct vector_input v = { 0 };
	uint32_t field;
	bool given = false;

	while (!d->err && proto_next(&in, &field, &t)) {
		if (field != 1 && field != 2) {
			proto_skip(&in, t);
			continue;
		}
		struct bytes inner = proto_bytes(&in, t);
		v = (struct vector_input){ .kind = field == 1 ? INPUT_POINT : INPUT_VECTOR };
		if (field == 1)
			v.id = message_point_id_from_proto(d, inner);
		else
			v.vector = message_vector_from_proto(d, inner);
		given = true;
	}
	if (in.err)
		message_bad_proto(d);
	else if (!given && !r->err)
		message_bad_input(d, "a vector example is empty");
	memcpy(member, &v, sizeof(v));
}

static void vector_example_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct vector_input *v = member;
	size_t mark = proto_begin(out, field);

	if (v->kind == INPUT_POINT)
		kind_point_id.to_proto(&v->id, 1, out);
	else
		message_vector_to_proto(&v->vector, 2, out);
	proto_end(out, mark);
}

const struct message_custom kind_vector_example = {
	.size = sizeof(struct vector_input),
	.from_json = vector_input_from_json,
	.from_proto = vector_example_from_proto,
	.to_json = vector_input_to_json,
	.to_proto = vector_example_to_proto,
};

/* TargetVector{single=1: VectorExample} */
static void target_vector_from_proto(struct message_reading *d, struct proto_reader *r,
				     enum proto_type t, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	uint32_t field;
	bool given = false;

	while (!d->err && proto_next(&in, &field, &t)) {
		if (field == 1)
			vector_example_from_proto(d, &in, t, member);
		else
			proto_skip(&in, t);
		given |= field == 1;
	}
	if (in.err)
		message_bad_proto(d);
	else if (!given && !r->err)
		message_bad_input(d, "a target vector is empty");
}

static void target_vector_to_proto(const void *member, uint32_t field, struct buf *out)
{
	size_t mark = proto_begin(out, field);

	vector_example_to_proto(member, 1, out);
	proto_end(out, mark);
}

const struct message_custom kind_target_vector = {
	.size = sizeof(struct vector_input),
	.from_json = vector_input_from_json,
	.from_proto = target_vector_from_proto,
	.to_json = vector_input_to_json,
	.to_proto = target_vector_to_proto,
};

static void add_example(struct message_reading *d, struct vector_input_list *list,
			struct vector_input v)
{
	list->items = message_grow(d, list->items, list->count, sizeof(*list->items));
	if (list->items)
		list->items[list->count++] = v;
}

static void examples_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct vector_input_list *list = member;
	struct vector_input v;

	*list = (struct vector_input_list){ 0 };
	if (!json_enter_array(r))
		return;
	while (!d->err && json_next_element(r)) {
		vector_input_from_json(d, r, &v);
		if (!json_failed(r))
			add_example(d, list, v);
	}
}

static void examples_to_json(const void *member, struct json_writer *w)
{
	const struct vector_input_list *list = member;

	json_put_array(w);
	for (uint32_t i = 0; i < list->count; i++)
		vector_input_to_json(&list->items[i], w);
	json_put_array_end(w);
}

const struct message_custom kind_examples = {
	.size = sizeof(struct vector_input_list),
	.from_json = examples_from_json,
	.to_json = examples_to_json,
};

static void example_id_from_proto(struct message_reading *d, struct proto_reader *r,
				  enum proto_type t, void *member)
{
	add_example(
		d, member,
		(struct vector_input){ .kind = INPUT_POINT,
				       .id = message_point_id_from_proto(d, proto_bytes(r, t)) });
}

static void example_ids_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct vector_input_list *list = member;

	for (uint32_t i = 0; i < list->count; i++)
		if (list->items[i].kind == INPUT_POINT)
			kind_point_id.to_proto(&list->items[i].id, field, out);
}

const struct message_custom kind_example_ids = {
	.size = sizeof(struct vector_input_list),
	.from_proto = example_id_from_proto,
	.to_proto = example_ids_to_proto,
};

static void example_vector_from_proto(struct message_reading *d, struct proto_reader *r,
				      enum proto_type t, void *member)
{
	add_example(
		d, member,
		(struct vector_input){ .vector = message_vector_from_proto(d, proto_bytes(r, t)) });
}

static void example_vectors_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct vector_input_list *list = member;

	for (uint32_t i = 0; i < list->count; i++)
		if (list->items[i].kind == INPUT_VECTOR)
			message_vector_to_proto(&list->items[i].vector, field, out);
}

const struct message_custom kind_example_vectors = {
	.size = sizeof(struct vector_input_list),
	.from_proto = example_vector_from_proto,
	.to_proto = example_vectors_to_proto,
};

/* ---- context_pairs ---- */

static struct msg_context_pair *add_pair(struct message_reading *d, struct context_pair_list *list)
{
	list->items = message_grow(d, list->items, list->count, sizeof(*list->items));
	return list->items ? &list->items[list->count++] : NULL;
}

static void pair_from_json(struct message_reading *d, struct json_reader *r,
			   struct context_pair_list *list)
{
	struct msg_context_pair *pair = add_pair(d, list);

	if (pair)
		message_read_json(d, r, &message_context_pair, pair);
}

static void context_pairs_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct context_pair_list *list = member;

	*list = (struct context_pair_list){ 0 };
	if (json_peek(r) == JSON_NULL) {
		json_null(r);
	} else if (json_peek(r) != JSON_ARRAY) {
		pair_from_json(d, r, list);
	} else if (json_enter_array(r)) {
		while (!d->err && json_next_element(r))
			pair_from_json(d, r, list);
	}
}

static void context_pairs_to_json(const void *member, struct json_writer *w)
{
	const struct context_pair_list *list = member;

	json_put_array(w);
	for (uint32_t i = 0; i < list->count; i++)
		message_to_json(&message_context_pair, &list->items[i], w);
	json_put_array_end(w);
}

/* ContextInput{pairs=1} */
static void context_pairs_from_proto(struct message_reading *d, struct proto_reader *r,
				     enum proto_type t, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct context_pair_list *list = member;
	uint32_t field;

	*list = (struct context_pair_list){ 0 };
	while (!d->err && proto_next(&in, &field, &t)) {
		if (field != 1) {
			proto_skip(&in, t);
			continue;
		}
		struct bytes inner = proto_bytes(&in, t);
		struct msg_context_pair *pair = in.err ? NULL : add_pair(d, list);
		if (pair)
			message_read_proto(d, &message_context_pair, inner, pair);
	}
	if (in.err)
		message_bad_proto(d);
}

static void context_pairs_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct context_pair_list *list = member;
	size_t mark = proto_begin(out, field);

	for (uint32_t i = 0; i < list->count; i++) {
		size_t inner = proto_begin(out, 1);

		message_to_proto(&message_context_pair, &list->items[i], out);
		proto_end(out, inner);
	}
	proto_end(out, mark);
}

/* No context is none: Qdrant has null for it. */
static void context_pairs_absent(struct message_reading *d, void *member)
{
	(void)d; /* it is no error */
	memset(member, 0, sizeof(struct context_pair_list));
}

const struct message_custom kind_context_pairs = {
	.size = sizeof(struct context_pair_list),
	.takes_null = true,
	.from_json = context_pairs_from_json,
	.from_proto = context_pairs_from_proto,
	.absent = context_pairs_absent,
	.to_json = context_pairs_to_json,
	.to_proto = context_pairs_to_proto,
};

/* ---- query ---- */

static void check_forms(struct message_reading *d, const struct msg_query *q)
{
	int forms = q->has_nearest + q->has_recommend + q->has_discover + q->has_context +
		    q->has_order_by + q->has_fusion + q->has_rrf + q->has_expression +
		    q->has_sample + q->has_relevance_feedback;

	if (forms != 1 || (q->has_mmr && !q->has_nearest) ||
	    (q->has_defaults && !q->has_expression))
		message_bad_input(d, "exactly one of the forms of query is to be given, not %d",
				  forms);
}

/* Is it a vector, rather than an object with the key of a form? Looks, and reads nothing. */
static bool is_vector(struct json_reader ahead)
{
	static const char *const keys[] = {
		"indices", "values", "text", "image", "object", "model"
	};
	struct str key;
	bool vector = false;

	if (!json_enter_object(&ahead))
		return true;
	while (json_next_key(&ahead, &key)) {
		for (size_t i = 0; i < LEN(keys); i++)
			vector |= is_word(key, keys[i]);
		json_skip(&ahead);
	}
	return vector;
}

static void query_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct msg_query *q = message_array(d, 1, sizeof(*q));

	if (!q)
		return;
	*(const struct msg_query **)member = q;
	if (json_peek(r) != JSON_OBJECT || is_vector(*r)) {
		vector_input_from_json(d, r, &q->nearest);
		q->has_nearest = true;
		return;
	}
	message_read_json(d, r, &message_query, q);
	if (!d->err && !json_failed(r))
		check_forms(d, q);
}

static void query_to_json(const void *member, struct json_writer *w)
{
	const struct msg_query *q = *(const struct msg_query *const *)member;

	if (q->has_nearest && !q->has_mmr)
		vector_input_to_json(&q->nearest, w);
	else
		message_to_json(&message_query, q, w);
}

/* Protobuf's forms of two things in one become the two. */
static void split_forms(struct msg_query *q)
{
	if (q->has_nearest_with_mmr) {
		q->has_nearest = q->has_mmr = true;
		q->nearest = q->nearest_with_mmr.nearest;
		q->mmr = q->nearest_with_mmr.mmr;
		q->has_nearest_with_mmr = false;
	}
	if (q->has_formula) {
		q->has_expression = true;
		q->expression = q->formula.expression;
		q->has_defaults = q->formula.has_defaults;
		q->defaults = q->formula.defaults;
		q->has_formula = false;
	}
}

static void query_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t,
			     void *member)
{
	struct msg_query *q = message_array(d, 1, sizeof(*q));
	struct bytes inner = proto_bytes(r, t);

	if (!q || r->err)
		return;
	*(const struct msg_query **)member = q;
	message_read_proto(d, &message_query, inner, q);
	if (d->err)
		return;
	split_forms(q);
	check_forms(d, q);
}

static void query_to_proto(const void *member, uint32_t field, struct buf *out)
{
	struct msg_query q = **(const struct msg_query *const *)member;
	size_t mark = proto_begin(out, field);

	if (q.has_mmr) {
		q.nearest_with_mmr =
			(struct msg_nearest_with_mmr){ .nearest = q.nearest, .mmr = q.mmr };
		q.has_nearest_with_mmr = true;
		q.has_nearest = q.has_mmr = false;
	}
	if (q.has_expression) {
		q.formula = (struct msg_formula){ .expression = q.expression,
						  .has_defaults = q.has_defaults,
						  .defaults = q.defaults };
		q.has_formula = true;
		q.has_expression = q.has_defaults = false;
	}
	message_to_proto(&message_query, &q, out);
	proto_end(out, mark);
}

static void query_check(struct message_reading *d, const void *member)
{
	message_check(d, &message_query, *(const struct msg_query *const *)member);
}

const struct message_custom kind_query = {
	.size = sizeof(const struct msg_query *),
	.from_json = query_from_json,
	.from_proto = query_from_proto,
	.to_json = query_to_json,
	.to_proto = query_to_proto,
	.check = query_check,
};

/* ---- prefetches ---- */

/* NULL: too many, or no memory. */
static struct msg_prefetch *add_prefetch(struct message_reading *d, struct prefetch_list *list)
{
	if (++d->prefetches > QUERY_PREFETCHES_MAX) {
		message_bad_input(d, "a request has more than %u prefetches", QUERY_PREFETCHES_MAX);
		return NULL;
	}
	if (d->prefetch_depth == QUERY_DEPTH_MAX) {
		message_bad_input(d, "prefetches depth %u exceeds max depth %u",
				  QUERY_DEPTH_MAX + 1, QUERY_DEPTH_MAX);
		return NULL;
	}
	list->items = message_grow(d, list->items, list->count, sizeof(*list->items));
	return list->items ? &list->items[list->count++] : NULL;
}

static void prefetch_from_json(struct message_reading *d, struct json_reader *r,
			       struct prefetch_list *list)
{
	struct msg_prefetch *p = add_prefetch(d, list);

	if (!p)
		return;
	d->prefetch_depth++;
	message_read_json(d, r, &message_prefetch, p);
	d->prefetch_depth--;
}

static void prefetches_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct prefetch_list *list = member;

	*list = (struct prefetch_list){ 0 };
	if (json_peek(r) != JSON_ARRAY) {
		prefetch_from_json(d, r, list);
		return;
	}
	if (!json_enter_array(r))
		return;
	while (!d->err && json_next_element(r))
		prefetch_from_json(d, r, list);
}

static void prefetches_from_proto(struct message_reading *d, struct proto_reader *r,
				  enum proto_type t, void *member)
{
	struct bytes inner = proto_bytes(r, t);
	struct msg_prefetch *p = r->err ? NULL : add_prefetch(d, member);

	if (!p)
		return;
	d->prefetch_depth++;
	message_read_proto(d, &message_prefetch, inner, p);
	d->prefetch_depth--;
}

static void prefetches_to_json(const void *member, struct json_writer *w)
{
	const struct prefetch_list *list = member;

	json_put_array(w);
	for (uint32_t i = 0; i < list->count; i++)
		message_to_json(&message_prefetch, &list->items[i], w);
	json_put_array_end(w);
}

static void prefetches_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct prefetch_list *list = member;

	for (uint32_t i = 0; i < list->count; i++) {
		size_t mark = proto_begin(out, field);

		message_to_proto(&message_prefetch, &list->items[i], out);
		proto_end(out, mark);
	}
}

static void prefetches_check(struct message_reading *d, const void *member)
{
	const struct prefetch_list *list = member;

	for (uint32_t i = 0; i < list->count && !d->err; i++)
		message_check(d, &message_prefetch, &list->items[i]);
}

const struct message_custom kind_prefetches = {
	.size = sizeof(struct prefetch_list),
	.from_json = prefetches_from_json,
	.from_proto = prefetches_from_proto,
	.to_json = prefetches_to_json,
	.to_proto = prefetches_to_proto,
	.check = prefetches_check,
};
