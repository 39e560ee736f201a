/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a client asks for to a query that the index can run: points that stand for their vectors are looked up, filters and
 * limits checked. The points that a query names are no answer to it, wherever in it they are named.
 */
#include "gateway/api_inner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "index/datetime.h"
#include "index/mmr.h"
#include "index/order.h"

#define MMR_DIVERSITY 0.5f

/* What a query and a prefetch have in common. */
struct step {
	const struct prefetch_list *prefetches;
	const struct msg_query *query; /* NULL: none */
	struct str using;
	const struct filter *filter;
	const struct msg_search_params *params;
	const float *threshold;                   /* or NULL */
	const struct msg_lookup_location *lookup; /* or NULL */
	uint32_t limit;
};

struct planner {
	struct call *call;
	struct collection *collection;
	struct point_id_list named; /* points of the collection */
};

static enum err plan_step(struct planner *p, const struct step *s, struct query *q);

static void *room(struct planner *p, size_t count, size_t size)
{
	return arena_array(p->call->arena, count, size);
}

/* --- points that stand for their vectors --- */

/* The vectors of a step's examples, in their order. */
struct examples {
	const struct vector_input *const *inputs;
	uint32_t count;
	bool may_lack; /* points without the vector are left out */
	struct vector *vectors;
	bool *found;
};

static enum err name_point(struct planner *p, struct point_id id)
{
	struct point_id_list *list = &p->named;

	if ((list->count & (list->count + 1)) == 0) { /* 0, 1, 3, 7 …: full */
		struct point_id *items = room(p, (size_t)list->count * 2 + 1, sizeof(*items));

		if (!items)
			return ERR_NO_MEMORY;
		if (list->count)
			memcpy(items, list->items, list->count * sizeof(*items));
		list->items = items;
	}
	list->items[list->count++] = id;
	return ERR_NONE;
}

static enum err vector_of_record(struct planner *p, const struct record *r, struct str name,
				 bool may_lack, struct vector *ret_vector, bool *ret_found)
{
	struct fault *fault = &p->call->fault;
	char text[POINT_ID_TEXT_MAX];

	(void)point_id_format(r->id, text);
	if (!r->found)
		return fault_set(fault, ERR_NOT_FOUND, "No point with id %s found", text);
	*ret_found = r->vector_count > 0;
	if (*ret_found)
		*ret_vector = r->vectors[0].vector;
	else if (!may_lack)
		return fault_set(fault, ERR_NOT_FOUND, "Vector with name \"%.*s\" for point %s",
				 STR_FMT(name), text);
	return ERR_NONE;
}

static enum err load_examples(struct planner *p, struct collection *from, struct str name,
			      struct examples *e)
{
	const struct with_payload no_payload = { .kind = WITH_PAYLOAD_NONE };
	const struct with_vectors only = { .kind = WITH_VECTORS_NAMED, .count = 1, .names = &name };
	struct point_id *ids = room(p, e->count, sizeof(*ids));
	struct record *records = NULL;
	uint32_t count = 0, at = 0;
	enum err err = ids ? api_check_vectors(p->call, from, &only) : ERR_NO_MEMORY;

	for (uint32_t i = 0; i < e->count && !err; i++)
		if (e->inputs[i]->kind == INPUT_POINT)
			ids[count++] = e->inputs[i]->id;
	if (!err)
		err = api_load(p->call, from, ids, count, (struct api_want){ &no_payload, &only },
			       &records);
	for (uint32_t i = 0; i < e->count && !err; i++)
		if (e->inputs[i]->kind == INPUT_POINT)
			err = vector_of_record(p, &records[at++], name, e->may_lack, &e->vectors[i],
					       &e->found[i]);
	for (uint32_t i = 0; i < count && !err && from == p->collection; i++)
		err = name_point(p, ids[i]);
	return err;
}

static enum err find_examples(struct planner *p, const struct step *s, struct examples *e)
{
	struct str name = s->lookup && s->lookup->has_vector ? s->lookup->vector : s->using;
	struct collection *from = p->collection;
	bool points = false;
	enum err err = api_check_max(p->call, "examples", e->count, SCORING_EXAMPLES_MAX);

	e->vectors = room(p, e->count, sizeof(*e->vectors));
	e->found = room(p, e->count, sizeof(*e->found));
	if (!err && (!e->vectors || !e->found))
		err = ERR_NO_MEMORY;
	for (uint32_t i = 0; i < e->count && !err; i++) {
		e->vectors[i] = e->inputs[i]->vector;
		e->found[i] = e->inputs[i]->kind == INPUT_VECTOR;
		points |= !e->found[i];
	}
	if (err || !points)
		return err;
	if (s->lookup)
		err = api_collection(p->call, s->lookup->collection, &from);
	if (err)
		return err;
	err = load_examples(p, from, name, e);
	if (s->lookup)
		collection_unref(from);
	return err;
}

static enum err find_one(struct planner *p, const struct step *s, const struct vector_input *input,
			 struct vector *ret_vector)
{
	struct examples e = { .inputs = &input, .count = 1 };
	enum err err = find_examples(p, s, &e);

	if (!err)
		*ret_vector = e.vectors[0];
	return err;
}

/* --- forms of queries --- */

static enum err plan_nearest(struct planner *p, const struct step *s, struct query *q)
{
	const struct msg_query *m = s->query;

	q->kind = QUERY_SEARCH;
	if (m->has_mmr) {
		q->kind = QUERY_MMR;
		q->mmr_lambda = 1.0f - (m->mmr.has_diversity ? m->mmr.diversity : MMR_DIVERSITY);
		q->mmr_candidates = m->mmr.has_candidates_limit ? m->mmr.candidates_limit
								: MIN(s->limit, MMR_CANDIDATES_MAX);
	}
	return find_one(p, s, &m->nearest, &q->vector);
}

static enum err plan_scoring(struct planner *p, struct query *q, struct scoring scoring)
{
	struct scoring *copy = room(p, 1, sizeof(*copy));

	if (!copy)
		return ERR_NO_MEMORY;
	*copy = scoring;
	q->kind = QUERY_SEARCH;
	q->scoring = copy;
	return ERR_NONE;
}

/* 1 for positives, -1 for negatives. */
static float *signs(struct planner *p, uint32_t positives, uint32_t count)
{
	float *weights = room(p, count, sizeof(*weights));

	for (uint32_t i = 0; weights && i < count; i++)
		weights[i] = i < positives ? 1.0f : -1.0f;
	return weights;
}

static enum err plan_average(struct planner *p, const struct examples *e, uint32_t positives,
			     struct query *q)
{
	const struct scoring_examples all = { .items = e->vectors,
					      .positives = positives,
					      .count = e->count };

	q->kind = QUERY_SEARCH;
	return scoring_average(&all, p->call->arena, &q->vector, &p->call->fault);
}

/* Those that have a vector, in place. Returns how many positives. */
static uint32_t drop_missing(struct examples *e, uint32_t positives)
{
	uint32_t n = 0, kept = 0;

	for (uint32_t i = 0; i < e->count; i++) {
		if (!e->found[i])
			continue;
		kept += i < positives;
		e->vectors[n++] = e->vectors[i];
	}
	e->count = n;
	return kept;
}

static enum err plan_recommend(struct planner *p, const struct step *s, struct query *q)
{
	const struct msg_recommend_input *m = &s->query->recommend;
	uint32_t positives = m->positive.count, count = positives + m->negative.count;
	const struct vector_input **inputs = room(p, count, sizeof(*inputs));
	struct examples e = { .inputs = inputs, .count = count, .may_lack = true };

	if (!inputs)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++)
		inputs[i] =
			i < positives ? &m->positive.items[i] : &m->negative.items[i - positives];
	enum err err = find_examples(p, s, &e);

	if (err)
		return err;
	positives = drop_missing(&e, positives);
	if (!m->has_strategy || m->strategy == RECOMMEND_AVERAGE_VECTOR)
		return plan_average(p, &e, positives, q);
	if (e.count == 0)
		return fault_set(
			&p->call->fault, ERR_BAD_INPUT,
			"At least one positive or negative vector ID required with this strategy");
	struct scoring scoring = { .kind = SCORING_BEST,
				   .examples = e.vectors,
				   .count = e.count,
				   .positives = positives };

	if (m->strategy == RECOMMEND_SUM_SCORES) {
		scoring.kind = SCORING_WEIGHTED;
		scoring.weights = signs(p, positives, e.count);
		if (!scoring.weights)
			return ERR_NO_MEMORY;
	}
	return plan_scoring(p, q, scoring);
}

/* The target, if there is one, then pairs. */
static enum err plan_pairs(struct planner *p, const struct step *s,
			   const struct vector_input *target, const struct context_pair_list *pairs,
			   struct query *q)
{
	uint32_t n = 0;
	const struct vector_input **inputs = room(p, (size_t)pairs->count * 2 + 1, sizeof(*inputs));

	if (!inputs)
		return ERR_NO_MEMORY;
	if (target)
		inputs[n++] = target;
	for (uint32_t i = 0; i < pairs->count; i++) {
		inputs[n++] = &pairs->items[i].positive;
		inputs[n++] = &pairs->items[i].negative;
	}
	struct examples e = { .inputs = inputs, .count = n };
	enum err err = find_examples(p, s, &e);

	if (err)
		return err;
	return plan_scoring(p, q,
			    (struct scoring){ .kind = target ? SCORING_DISCOVER : SCORING_CONTEXT,
					      .examples = e.vectors,
					      .count = e.count });
}

static enum err plan_feedback(struct planner *p, const struct step *s, struct query *q)
{
	const struct msg_feedback_input *m = &s->query->relevance_feedback;
	uint32_t judged = m->feedback.count;
	const struct vector_input **inputs = room(p, (size_t)judged + 1, sizeof(*inputs));
	float *scores = room(p, judged, sizeof(*scores));
	float *weights = room(p, (size_t)judged + 1, sizeof(*weights));
	struct examples e = { .inputs = inputs, .count = judged + 1 };

	if (!inputs || !scores || !weights)
		return ERR_NO_MEMORY;
	inputs[0] = &m->target;
	for (uint32_t i = 0; i < judged; i++) {
		inputs[1 + i] = &m->feedback.items[i].example;
		scores[i] = m->feedback.items[i].score;
	}
	enum err err = find_examples(p, s, &e);

	if (err)
		return err;
	const struct scoring_feedback feedback = {
		.a = m->strategy.naive.a,
		.b = m->strategy.naive.b,
		.c = m->strategy.naive.c,
		.judged = scores,
		.count = judged,
	};
	err = scoring_feedback_weights(&feedback, weights, &p->call->fault);
	if (err)
		return err;
	return plan_scoring(p, q,
			    (struct scoring){ .kind = SCORING_WEIGHTED,
					      .examples = e.vectors,
					      .count = e.count,
					      .weights = weights });
}

/* --- ordering --- */

static bool has_range(struct call *c, const struct field_index_info *f)
{
	struct msg_index_params params = { 0 };

	if (f->config.schema == FIELD_FLOAT || f->config.schema == FIELD_DATETIME)
		return true;
	if (f->config.schema != FIELD_INTEGER)
		return false;
	/* Only what says so has none. */
	return f->config.client_params.len == 0 ||
	       message_from_proto(&message_index_params, f->config.client_params, c->arena, &params,
				  NULL) != ERR_NONE ||
	       !params.has_integer || !params.integer.has_range || params.integer.range;
}

static enum err order_schema(struct call *c, struct collection *collection, const struct path *key,
			     enum field_schema *ret_schema)
{
	struct field_index_info *fields;
	uint32_t count;
	enum err err = collection_field_indexes(collection, c->arena, &fields, &count);

	if (err)
		return err;
	for (uint32_t i = 0; i < count; i++)
		if (str_compare(fields[i].config.key, key->text) == 0 && has_range(c, &fields[i])) {
			*ret_schema = fields[i].config.schema;
			return ERR_NONE;
		}
	return fault_set(
		&c->fault, ERR_BAD_REQUEST,
		"No range index for `order_by` key: `%.*s`. Please create one (integer, float or datetime) to use `order_by`",
		STR_FMT(key->text));
}

static enum err order_start(struct call *c, const struct msg_order_by *m,
			    struct order_value *ret_start)
{
	int64_t us;

	*ret_start = (struct order_value){ 0 };
	if (!m->has_start_from)
		return ERR_NONE;
	switch (m->start_from.kind) {
	case START_FLOAT:
		*ret_start = (struct order_value){ .kind = ORDER_VALUE_FLOAT,
						   .number = m->start_from.number };
		return ERR_NONE;
	case START_INT:
	case START_TIMESTAMP:
		*ret_start = (struct order_value){ .kind = ORDER_VALUE_INT,
						   .integer = m->start_from.integer };
		return ERR_NONE;
	case START_DATETIME:
		break;
	}
	if (!datetime_parse(m->start_from.text, &us))
		return fault_set(&c->fault, ERR_BAD_INPUT,
				 "order_by.start_from: `%.*s` is not a number and not a date",
				 (int)MIN(m->start_from.text.len, (size_t)64),
				 m->start_from.text.data);
	*ret_start = (struct order_value){ .kind = ORDER_VALUE_INT, .integer = us };
	return ERR_NONE;
}

enum err api_plan_order(struct call *c, struct collection *collection, const struct msg_order_by *m,
			struct order_query *ret_order)
{
	struct path *key = arena_alloc(c->arena, sizeof(*key));

	if (!key)
		return ERR_NO_MEMORY;
	*ret_order = (struct order_query){
		.key = key,
		.descending = m->has_direction && m->direction == DIRECTION_DESC,
	};
	enum err err = path_parse(m->key, key, &c->fault);

	if (!err)
		err = order_schema(c, collection, key, &ret_order->schema);
	if (!err)
		err = order_start(c, m, &ret_order->start);
	return err;
}

static enum err plan_order(struct planner *p, const struct msg_order_by *m, struct query *q)
{
	struct order_query order;
	enum err err = api_plan_order(p->call, p->collection, m, &order);

	if (err)
		return err;
	q->kind = QUERY_ORDER;
	q->order_key = order.key;
	q->order_schema = order.schema;
	q->order_descending = order.descending;
	q->order_start = order.start;
	return ERR_NONE;
}

/* --- merging --- */

static enum err plan_sample(struct planner *p, struct query *q)
{
	q->kind = QUERY_SAMPLE;
	if (getrandom(&q->seed, sizeof(q->seed), 0) != (ssize_t)sizeof(q->seed))
		return fault_set(&p->call->fault, ERR_INTERNAL,
				 "the system gives no random numbers");
	return ERR_NONE;
}

static enum err need_prefetches(struct planner *p, const struct step *s, const char *what)
{
	if (s->prefetches->count > 0)
		return ERR_NONE;
	return fault_set(&p->call->fault, ERR_BAD_INPUT, "cannot apply %s without prefetches",
			 what);
}

static enum err plan_fusion(struct planner *p, const struct step *s, struct query *q)
{
	const struct msg_query *m = s->query;
	bool by_rank = m->has_rrf || m->fusion == FUSION_BY_RANK;
	uint32_t weights = m->has_rrf && m->rrf.has_weights ? m->rrf.weights.count : 0;

	if (s->using.len > 0)
		return fault_set(&p->call->fault, ERR_BAD_REQUEST,
				 "Fusion queries cannot be combined with the 'using' field.");
	if (weights > 0 && weights != s->prefetches->count)
		return fault_set(
			&p->call->fault, ERR_BAD_INPUT,
			"Number of weights in RRF should match number of pre-fetches: got %u, expected %u",
			weights, s->prefetches->count);
	q->kind = QUERY_FUSION;
	q->fusion = (struct fusion){
		.kind = by_rank ? FUSION_RRF : FUSION_DBSF,
		.k = m->has_rrf && m->rrf.has_k ? m->rrf.k : FUSION_RRF_K,
		.weights = weights > 0 ? m->rrf.weights.items : NULL,
	};
	return need_prefetches(p, s, "Fusion");
}

static enum err plan_formula(struct planner *p, const struct step *s, struct query *q)
{
	const struct msg_query *m = s->query;
	struct formula *f = room(p, 1, sizeof(*f));

	if (!f)
		return ERR_NO_MEMORY;
	*f = (struct formula){ .root = m->expression };
	if (m->has_defaults)
		f->defaults = m->defaults;
	q->kind = QUERY_FORMULA;
	q->formula = f;
	enum err err = need_prefetches(p, s, "Formula");

	return err ? err : formula_prepare(f, p->call->arena, &p->call->fault);
}

/* --- the tree --- */

static enum err plan_form(struct planner *p, const struct step *s, struct query *q)
{
	const struct msg_query *m = s->query;

	if (!m)
		return ERR_NONE; /* a scroll */
	if (m->has_nearest)
		return plan_nearest(p, s, q);
	if (m->has_recommend)
		return plan_recommend(p, s, q);
	if (m->has_discover)
		return plan_pairs(p, s, &m->discover.target, &m->discover.context, q);
	if (m->has_context)
		return plan_pairs(p, s, NULL, &m->context, q);
	if (m->has_order_by)
		return plan_order(p, m->order_by, q);
	if (m->has_expression)
		return plan_formula(p, s, q);
	if (m->has_sample)
		return plan_sample(p, q);
	if (m->has_relevance_feedback)
		return plan_feedback(p, s, q);
	return plan_fusion(p, s, q);
}

static enum err check_step(struct planner *p, const struct step *s)
{
	struct fault *fault = &p->call->fault;

	if (s->prefetches->count > 0 && !s->query)
		return fault_set(
			fault, ERR_BAD_REQUEST,
			"A query is needed to merge the prefetches. Can't have prefetches without defining a query.");
	if (s->threshold && !s->query)
		return fault_set(
			fault, ERR_BAD_REQUEST,
			"A query is needed to use the score_threshold. Can't have score_threshold without defining a query.");
	if (s->threshold && s->query->has_order_by)
		return fault_set(fault, ERR_BAD_REQUEST,
				 "Can't use score_threshold with an order_by query.");
	return ERR_NONE;
}

static enum err plan_prefetch(struct planner *p, const struct msg_prefetch *m, struct query *q)
{
	const struct step s = {
		.prefetches = &m->prefetch,
		.query = m->has_query ? m->query : NULL,
		.using = m->using,
		.filter = m->has_filter ? m->filter : NULL,
		.params = &m->params,
		.threshold = m->has_score_threshold ? &m->score_threshold : NULL,
		.lookup = m->has_lookup_from ? &m->lookup_from : NULL,
		.limit = (uint32_t)MIN(m->limit, SEARCH_OFFSET_LIMIT_MAX),
	};
	enum err err = api_check_max(p->call, "limit", m->limit, SEARCH_OFFSET_LIMIT_MAX);

	return err ? err : plan_step(p, &s, q);
}

static enum err plan_step(struct planner *p, const struct step *s, struct query *q)
{
	enum err err = check_step(p, s);

	*q = (struct query){
		.kind = QUERY_SCROLL,
		.filter = s->filter,
		.limit = s->limit,
		.has_threshold = s->threshold != NULL,
		.threshold = s->threshold ? *s->threshold : 0,
		.vector_name = s->using,
		.hnsw_ef = s->params->has_hnsw_ef
				   ? (uint32_t)MIN(s->params->hnsw_ef, SEARCH_OFFSET_LIMIT_MAX)
				   : 0,
		.exact = s->params->exact,
		.indexed_only = s->params->indexed_only,
	};
	if (!err)
		err = plan_form(p, s, q);
	if (err)
		return err;
	q->prefetches = room(p, s->prefetches->count, sizeof(*q->prefetches));
	if (!q->prefetches)
		return ERR_NO_MEMORY;
	q->prefetch_count = s->prefetches->count;
	for (uint32_t i = 0; i < q->prefetch_count && !err; i++)
		err = plan_prefetch(p, &s->prefetches->items[i], &q->prefetches[i]);
	return err;
}

static int by_id(const void *a, const void *b)
{
	return point_id_compare(*(const struct point_id *)a, *(const struct point_id *)b);
}

/* The points that the query names are no answer to it, nor to its prefetches. */
static enum err exclude_named(struct planner *p, struct query *q)
{
	struct filter *f = room(p, 1, sizeof(*f));
	struct condition *c = room(p, 1, sizeof(*c));

	if (p->named.count == 0)
		return ERR_NONE;
	if (!f || !c)
		return ERR_NO_MEMORY;
	qsort(p->named.items, p->named.count, sizeof(*p->named.items), by_id);
	*c = (struct condition){ .kind = CONDITION_HAS_ID,
				 .ids = { .items = p->named.items, .count = p->named.count } };
	f->must_not = (struct condition_list){ .items = c, .count = 1 };
	return query_both_filters(q->filter, f, p->call->arena, &q->filter);
}

enum err api_plan_query(struct call *c, struct collection *collection,
			const struct msg_points_query *m, struct query *ret_query)
{
	struct planner p = { .call = c, .collection = collection };
	const struct step s = {
		.prefetches = &m->prefetch,
		.query = m->has_query ? m->query : NULL,
		.using = m->using,
		.filter = m->has_filter ? m->filter : NULL,
		.params = &m->params,
		.threshold = m->has_score_threshold ? &m->score_threshold : NULL,
		.lookup = m->has_lookup_from ? &m->lookup_from : NULL,
		.limit = (uint32_t)MIN(m->limit, SEARCH_LIMIT_MAX),
	};
	enum err err = api_check_max(c, "limit", m->limit, SEARCH_LIMIT_MAX);

	if (!err)
		err = api_check_max(c, "offset", m->offset, SEARCH_OFFSET_LIMIT_MAX - m->limit);
	if (!err)
		err = plan_step(&p, &s, ret_query);
	if (!err)
		err = exclude_named(&p, ret_query);
	if (err)
		return err;
	/* Chance has no second page. */
	if (ret_query->kind != QUERY_SAMPLE || ret_query->prefetch_count > 0)
		ret_query->limit += (uint32_t)m->offset;
	return ERR_NONE;
}
