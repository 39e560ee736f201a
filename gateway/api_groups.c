/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries by groups. The older forms become queries, as in api_search.c. A group may bring the point of another collection that
 * has its value for an id.
 */
#include "gateway/api_inner.h"

#include "index/group.h"

/* A query by groups; the query's own limit does not count. */
struct grouped {
	struct msg_points_query query;
	struct str group_by;
	uint64_t group_size, groups;
	const struct msg_lookup_with *lookup; /* or NULL */
	const struct read_consistency *consistency;
	struct api_limit limit;
};

/* --- the points that groups name --- */

/* False: no point has such an id. */
static bool id_of_group(const struct group_key *key, struct point_id *ret_id)
{
	if (key->kind == GROUP_KEY_TEXT)
		return point_id_parse_uuid(key->text, ret_id) == ERR_NONE;
	*ret_id = (struct point_id){ .kind = POINT_ID_NUM, .lo = key->unsigned_integer };
	return key->kind == GROUP_KEY_UNSIGNED;
}

static void show_lookup(const struct record *r, const struct msg_lookup_with *l,
			struct msg_point_group *out)
{
	out->has_lookup = true;
	out->lookup = (struct msg_record){
		.id = r->id,
		.has_payload = l->with_payload.kind != WITH_PAYLOAD_NONE && r->payload.data,
		.payload = r->payload,
		.has_vector = l->with_vectors.kind != WITH_VECTORS_NONE,
		.vector = { .items = r->vectors, .count = r->vector_count },
	};
}

static enum err look_up_in(struct call *c, struct collection *from, const struct msg_lookup_with *l,
			   const struct group *groups, struct msg_point_group_list *out)
{
	struct point_id *ids = arena_array(c->arena, out->count, sizeof(*ids));
	uint32_t *owners = arena_array(c->arena, out->count, sizeof(*owners));
	struct record *records;
	uint32_t n = 0;

	if (!ids || !owners)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < out->count; i++) {
		owners[n] = i;
		n += id_of_group(&groups[i].key, &ids[n]);
	}
	enum err err = api_check_vectors(c, from, &l->with_vectors);

	if (!err)
		err = api_load(c, from, ids, n,
			       (struct api_want){ &l->with_payload, &l->with_vectors }, &records);
	for (uint32_t i = 0; i < n && !err; i++)
		if (records[i].found)
			show_lookup(&records[i], l, &out->items[owners[i]]);
	return err;
}

static enum err look_up(struct call *c, const struct msg_lookup_with *l, const struct group *groups,
			struct msg_point_group_list *out)
{
	struct collection *from;
	enum err err = api_collection(c, l->collection, &from);

	if (err)
		return err;
	err = look_up_in(c, from, l, groups, out);
	collection_unref(from);
	return err;
}

/* --- groups --- */

static enum err show_key(struct call *c, const struct group_key *key, struct group_id *ret_id)
{
	*ret_id = (struct group_id){ .kind = key->kind == GROUP_KEY_INT ? GROUP_INT
									: GROUP_UNSIGNED };
	if (key->kind != GROUP_KEY_TEXT) {
		ret_id->number = key->unsigned_integer;
		return ERR_NONE;
	}
	*ret_id = (struct group_id){ .kind = GROUP_STRING, .text = call_own(c, key->text) };
	return ret_id->text.data ? ERR_NONE : ERR_NO_MEMORY;
}

static enum err show_groups(struct call *c, struct collection *collection, const struct grouped *g,
			    const struct group *groups, uint32_t count)
{
	const struct api_want want = { &g->query.with_payload, &g->query.with_vector };
	struct msg_groups_reply *out = c->out;
	struct msg_point_group_list *list = &out->result.groups;
	enum err err = ERR_NONE;

	list->items = arena_array(c->arena, count, sizeof(*list->items));
	if (!list->items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count && !err; i++) {
		const struct ranking hits = { .items = groups[i].items, .count = groups[i].count };

		err = api_show_scored(c, collection, &hits, want, &list->items[i].hits);
		if (!err)
			err = show_key(c, &groups[i].key, &list->items[i].id);
		list->count += !err;
	}
	if (!err && g->lookup)
		err = look_up(c, g->lookup, groups, list);
	return err;
}

static enum err check_sizes(struct call *c, const struct grouped *g)
{
	enum err err = api_check_max(c, "limit", g->groups, SEARCH_LIMIT_MAX);

	if (!err)
		err = api_check_max(c, "group_size", g->group_size, SEARCH_LIMIT_MAX);
	return err ? err
		   : api_check_max(c, "limit * group_size", g->groups * g->group_size,
				   GROUP_RESULTS_MAX);
}

static enum err run_groups(struct call *c, struct collection *collection, struct grouped *g)
{
	CLEANUP(arena_release) struct arena arena;
	struct group_options options;
	struct group *groups;
	struct query query;
	struct path key;
	uint32_t count;

	arena_init(&arena, QUERY_BYTES_MAX);
	enum err err = api_check_consistency(c, g->consistency);

	if (!err)
		err = check_sizes(c, g);
	if (!err)
		err = path_parse(g->group_by, &key, &c->fault);
	if (!err)
		err = api_check_vectors(c, collection, &g->query.with_vector);
	/* What a query takes for its limit where it needs one. */
	g->query.limit = MIN(g->groups * g->group_size, SEARCH_LIMIT_MAX);
	if (!err)
		err = api_plan_query(c, collection, &g->query, &query);
	if (err)
		return err;
	options = (struct group_options){ .key = &key,
					  .groups = (uint32_t)g->groups,
					  .group_size = (uint32_t)g->group_size };
	err = group_run(collection, c->api->pool, &query, &options, &g->limit.deadline, &arena,
			&groups, &count, &c->fault);
	return err ? api_read_failed(c, err, "Search", &g->limit)
		   : show_groups(c, collection, g, groups, count);
}

static void run_grouped(struct call *c, struct grouped *g)
{
	struct collection *collection;
	enum err err = api_collection(c, g->query.collection_name, &collection);

	if (!err) {
		err = run_groups(c, collection, g);
		collection_unref(collection);
	}
	if (!err)
		call_touch(c);
	call_finish(c, err);
}

/* What the messages of the methods have in common. */
#define GROUPED(c, m)                                                                              \
	((struct grouped){ .query = { .collection_name = (m)->collection_name,                     \
				      .has_filter = (m)->has_filter,                               \
				      .filter = (m)->filter,                                       \
				      .params = (m)->params,                                       \
				      .has_score_threshold = (m)->has_score_threshold,             \
				      .score_threshold = (m)->score_threshold,                     \
				      .with_payload = (m)->with_payload,                           \
				      .with_vector = (m)->with_vector },                           \
			   .group_by = (m)->group_by,                                              \
			   .group_size = (m)->group_size,                                          \
			   .groups = (m)->limit,                                                   \
			   .lookup = (m)->has_with_lookup ? (m)->with_lookup : NULL,               \
			   .consistency = &(m)->consistency,                                       \
			   .limit = API_LIMIT((c), (m)) })

void api_points_query_groups(struct call *c)
{
	const struct msg_points_query_groups *in = c->in;
	struct grouped g = GROUPED(c, in);

	g.query.prefetch = in->prefetch;
	g.query.has_query = in->has_query;
	g.query.query = in->query;
	g.query.using = in->using;
	g.query.has_lookup_from = in->has_lookup_from;
	g.query.lookup_from = in->lookup_from;
	run_grouped(c, &g);
}

void api_points_search_groups(struct call *c)
{
	const struct msg_points_search_groups *in = c->in;
	struct grouped g = GROUPED(c, in);
	struct msg_query *q = api_new_query(c, &g.query);

	if (!q) {
		call_finish(c, ERR_NO_MEMORY);
		return;
	}
	g.query.using = in->vector.name;
	q->has_nearest = true;
	q->nearest = (struct vector_input){ .vector = in->vector.vector };
	run_grouped(c, &g);
}

void api_points_recommend_groups(struct call *c)
{
	const struct msg_points_recommend_groups *in = c->in;
	struct grouped g = GROUPED(c, in);
	struct msg_query *q = api_new_query(c, &g.query);

	if (!q) {
		call_finish(c, ERR_NO_MEMORY);
		return;
	}
	g.query.using = in->using;
	g.query.has_lookup_from = in->has_lookup_from;
	g.query.lookup_from = in->lookup_from;
	q->has_recommend = true;
	q->recommend.positive = in->positive;
	q->recommend.negative = in->negative;
	q->recommend.has_strategy = in->has_strategy;
	q->recommend.strategy = in->strategy;
	run_grouped(c, &g);
}
