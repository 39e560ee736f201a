/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Distances of a sample: points taken by chance, and of each those of the sample that are nearest to it, itself left out.
 */
#include "gateway/api_inner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct matrix {
	const struct msg_search_matrix *in;
	struct collection *collection;
	struct deadline deadline;
	struct point_id *ids; /* of the sample, in order */
	const struct vector **vectors;
	uint32_t count;
	struct ranking *nearest; /* one a point */
};

static int by_id(const void *a, const void *b)
{
	return point_id_compare(((const struct scored *)a)->id, ((const struct scored *)b)->id);
}

/* The filter of the request, and that there is a vector. */
static enum err sample_filter(struct call *c, const struct msg_search_matrix *in,
			      const struct filter **ret_filter)
{
	struct filter *f = arena_alloc(c->arena, sizeof(*f));
	struct condition *has = arena_alloc(c->arena, sizeof(*has));

	if (!f || !has)
		return ERR_NO_MEMORY;
	*has = (struct condition){ .kind = CONDITION_HAS_VECTOR, .vector_name = in->using };
	f->must = (struct condition_list){ .items = has, .count = 1 };
	return query_both_filters(in->has_filter ? in->filter : NULL, f, c->arena, ret_filter);
}

static enum err take_sample(struct call *c, struct matrix *m)
{
	const struct with_payload no_payload = { .kind = WITH_PAYLOAD_NONE };
	struct str using = m->in->using;
	const struct with_vectors only = { .kind = WITH_VECTORS_NAMED,
					   .count = 1,
					   .names = &using };
	struct query sample = { .kind = QUERY_SAMPLE, .limit = (uint32_t)m->in->sample };
	struct ranking found = { 0 };
	struct record *records;
	enum err err = api_check_vectors(c, m->collection, &only);

	if (!err && getrandom(&sample.seed, sizeof(sample.seed), 0) != (ssize_t)sizeof(sample.seed))
		err = fault_set(&c->fault, ERR_INTERNAL, "the system gives no random numbers");
	if (!err)
		err = sample_filter(c, m->in, &sample.filter);
	if (!err)
		err = query_run(m->collection, c->api->pool, &sample, &m->deadline, c->arena,
				&found, &c->fault);
	if (err)
		return err;
	struct scored *items = arena_array(c->arena, found.count, sizeof(*items));

	m->ids = arena_array(c->arena, found.count, sizeof(*m->ids));
	m->vectors = arena_array(c->arena, found.count, sizeof(*m->vectors));
	if (!items || !m->ids || !m->vectors)
		return ERR_NO_MEMORY;
	if (found.count) {
		memcpy(items, found.items, found.count * sizeof(*items));
		qsort(items, found.count, sizeof(*items), by_id);
	}
	for (uint32_t i = 0; i < found.count; i++)
		m->ids[i] = items[i].id;
	err = api_load(c, m->collection, m->ids, found.count,
		       (struct api_want){ &no_payload, &only }, &records);
	for (uint32_t i = 0; i < found.count && !err; i++) {
		if (records[i].vector_count == 0) /* it lost it meanwhile */
			continue;
		m->ids[m->count] = records[i].id;
		m->vectors[m->count++] = &records[i].vectors[0].vector;
	}
	return err;
}

/* The nearest of the sample, in place without the point itself. */
static enum err find_nearest(struct call *c, struct matrix *m, const struct filter *sample,
			     uint32_t number)
{
	const struct query q = {
		.kind = QUERY_SEARCH,
		.filter = sample,
		.limit = (uint32_t)m->in->limit + 1,
		.vector_name = m->in->using,
		.vector = *m->vectors[number],
		.exact = true,
	};
	struct ranking found = { 0 };
	uint32_t n = 0;
	enum err err = query_run(m->collection, c->api->pool, &q, &m->deadline, c->arena, &found,
				 &c->fault);
	struct scored *items = err ? NULL : arena_array(c->arena, found.count, sizeof(*items));

	if (!items)
		return err ? err : ERR_NO_MEMORY;
	for (uint32_t i = 0; i < found.count && n < m->in->limit; i++)
		if (!point_id_equal(found.items[i].id, m->ids[number]))
			items[n++] = found.items[i];
	m->nearest[number] = (struct ranking){ .items = items, .count = n };
	return ERR_NONE;
}

static enum err make_matrix(struct call *c, struct matrix *m)
{
	struct filter filter = { 0 };
	struct condition ids = { .kind = CONDITION_HAS_ID };
	enum err err = api_check_consistency(c, &m->in->consistency);

	if (!err)
		err = api_check_max(c, "sample", m->in->sample, SEARCH_LIMIT_MAX);
	if (!err)
		err = api_check_max(c, "limit", m->in->limit, SEARCH_LIMIT_MAX);
	if (!err)
		err = take_sample(c, m);
	if (err)
		return err;
	if (m->count < 2) /* nothing is near to anything */
		m->count = 0;
	m->nearest = arena_array(c->arena, m->count, sizeof(*m->nearest));
	if (!m->nearest)
		return ERR_NO_MEMORY;
	ids.ids = (struct id_set){ .items = m->ids, .count = m->count };
	filter.must = (struct condition_list){ .items = &ids, .count = 1 };
	for (uint32_t i = 0; i < m->count && !err; i++)
		err = find_nearest(c, m, &filter, i);
	return err;
}

static uint32_t pair_count(const struct matrix *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->count; i++)
		n += m->nearest[i].count;
	return n;
}

static enum err show_pairs(struct call *c, const struct matrix *m)
{
	struct msg_matrix_pairs_reply *out = c->out;
	struct msg_matrix_pair_list *list = &out->result.pairs;

	list->items = arena_array(c->arena, pair_count(m), sizeof(*list->items));
	if (!list->items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < m->count; i++)
		for (uint32_t k = 0; k < m->nearest[i].count; k++)
			list->items[list->count++] =
				(struct msg_matrix_pair){ .a = m->ids[i],
							  .b = m->nearest[i].items[k].id,
							  .score = m->nearest[i].items[k].score };
	return ERR_NONE;
}

static int by_bare_id(const void *a, const void *b)
{
	return point_id_compare(*(const struct point_id *)a, *(const struct point_id *)b);
}

static enum err show_offsets(struct call *c, const struct matrix *m)
{
	struct msg_matrix_offsets_reply *out = c->out;
	struct msg_matrix_offsets *o = &out->result;
	uint32_t pairs = pair_count(m), n = 0;

	o->ids = (struct point_id_list){ .items = m->ids, .count = m->count };
	o->offsets_row =
		(struct number_list){ arena_array(c->arena, pairs, sizeof(uint64_t)), pairs };
	o->offsets_col =
		(struct number_list){ arena_array(c->arena, pairs, sizeof(uint64_t)), pairs };
	o->scores = (struct float_list){ arena_array(c->arena, pairs, sizeof(float)), pairs };
	if (!o->offsets_row.items || !o->offsets_col.items || !o->scores.items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < m->count; i++)
		for (uint32_t k = 0; k < m->nearest[i].count; k++) {
			const struct scored *s = &m->nearest[i].items[k];
			const struct point_id *col =
				bsearch(&s->id, m->ids, m->count, sizeof(*m->ids), by_bare_id);

			if (!col) /* the filter lets no other through */
				return ERR_INTERNAL;
			o->offsets_row.items[n] = i;
			o->offsets_col.items[n] = (uint64_t)(col - m->ids);
			o->scores.items[n++] = s->score;
		}
	return ERR_NONE;
}

static void run_matrix(struct call *c, enum err (*show)(struct call *c, const struct matrix *m))
{
	const struct msg_search_matrix *in = c->in;
	struct api_limit limit = API_LIMIT(c, in);
	struct matrix m = { .in = in, .deadline = limit.deadline };
	enum err err = api_collection(c, in->collection_name, &m.collection);

	if (!err) {
		err = make_matrix(c, &m);
		err = err ? api_read_failed(c, err, "Search", &limit) : show(c, &m);
		collection_unref(m.collection);
	}
	if (!err)
		call_touch(c);
	call_finish(c, err);
}

void api_search_matrix_pairs(struct call *c)
{
	run_matrix(c, show_pairs);
}

void api_search_matrix_offsets(struct call *c)
{
	run_matrix(c, show_offsets);
}
