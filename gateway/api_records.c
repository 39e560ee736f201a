/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading points: by id, in order, counting.
 */
#include "gateway/api_inner.h"

#include "base/clock.h"

#define NS_PER_MS UINT64_C(1000000)

/* --- limits --- */

struct api_limit api_limit(const struct call *c, uint64_t timeout_ms)
{
	struct api_limit l = { .timeout_ms = timeout_ms ? timeout_ms : SEARCH_TIMEOUT_MS_DEFAULT };

	/* The machine's clock, as deadline_check() reads it. */
	l.deadline.mono_ns = clock_mono_ns(clock_system()) + l.timeout_ms * NS_PER_MS;
	if (c->request->deadline_ns != 0)
		l.deadline.mono_ns = MIN(l.deadline.mono_ns, c->request->deadline_ns);
	l.deadline.cancel = &c->request->cancelled;
	return l;
}

enum err api_read_failed(struct call *c, enum err e, const char *operation,
			 const struct api_limit *l)
{
	if (e == ERR_TIMEOUT)
		return fault_set(&c->fault, e, "Operation '%s' timed out after %llu seconds",
				 operation, (unsigned long long)(l->timeout_ms / 1000));
	return e;
}

enum err api_check_consistency(struct call *c, const struct read_consistency *r)
{
	if (c->api->data_regions <= 1 || (r->kind == READ_FACTOR && r->factor <= 1))
		return ERR_NONE;
	return fault_set(&c->fault, ERR_NOT_IMPLEMENTED,
			 "reading with consistency of several regions");
}

enum err api_check_max(struct call *c, const char *what, uint64_t value, uint64_t max)
{
	if (value <= max)
		return ERR_NONE;
	return fault_set(&c->fault, ERR_BAD_REQUEST, "Limit exceeded %llu > %llu for \"%s\"",
			 (unsigned long long)value, (unsigned long long)max, what);
}

/* --- records --- */

enum err api_check_vectors(struct call *c, struct collection *collection,
			   const struct with_vectors *w)
{
	for (uint32_t i = 0; w->kind == WITH_VECTORS_NAMED && i < w->count; i++)
		if (!collection_vector(collection, w->names[i]))
			return fault_set(&c->fault, ERR_BAD_INPUT,
					 "Not existing vector name error: %.*s",
					 STR_FMT(w->names[i]));
	return ERR_NONE;
}

enum err api_load(struct call *c, struct collection *collection, const struct point_id *ids,
		  uint32_t count, struct api_want want, struct record **ret_records)
{
	struct record_want w = { .payload = want.payload->kind != WITH_PAYLOAD_NONE,
				 .vectors = want.vectors->kind != WITH_VECTORS_NONE };
	struct record *records = arena_array(c->arena, count, sizeof(*records));

	if (!records)
		return ERR_NO_MEMORY;
	if (want.vectors->kind == WITH_VECTORS_NAMED) {
		w.vector_names = want.vectors->names;
		w.vector_name_count = want.vectors->count;
	}
	enum err err =
		collection_retrieve(collection, ids, count, &w, c->arena, records, &c->fault);
	for (uint32_t i = 0; w.payload && i < count && !err; i++)
		if (records[i].found)
			err = api_select_payload(want.payload, records[i].payload, c->arena,
						 &records[i].payload);
	if (!err)
		*ret_records = records;
	return err;
}

static void show_record(const struct record *r, struct api_want want, struct msg_record *out)
{
	*out = (struct msg_record){
		.id = r->id,
		.has_payload = want.payload->kind != WITH_PAYLOAD_NONE && r->payload.data,
		.payload = r->payload,
		.has_vector = want.vectors->kind != WITH_VECTORS_NONE,
		.vector = { .items = r->vectors, .count = r->vector_count },
	};
}

/* Those that are there, in the order asked for. */
static enum err show_records(struct call *c, struct collection *collection,
			     const struct point_id *ids, uint32_t count, struct api_want want,
			     struct msg_record_list *out)
{
	struct record *records;
	enum err err = api_load(c, collection, ids, count, want, &records);

	if (err)
		return err;
	out->items = arena_array(c->arena, count, sizeof(*out->items));
	if (!out->items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++)
		if (records[i].found)
			show_record(&records[i], want, &out->items[out->count++]);
	return ERR_NONE;
}

/* --- the methods; each has its collection, and ends when that is given back --- */

static enum err retrieve(struct call *c, struct collection *collection)
{
	const struct msg_points_retrieve *in = c->in;
	struct msg_records_reply *out = c->out;
	struct api_want want = { .payload = &in->with_payload, .vectors = &in->with_vector };
	enum err err = api_check_consistency(c, &in->consistency);

	if (!err)
		err = api_check_max(c, "ids", in->ids.count, RECORDS_MAX);
	if (!err)
		err = api_check_vectors(c, collection, want.vectors);
	if (!err)
		err = show_records(c, collection, in->ids.items, in->ids.count, want, &out->result);
	return err;
}

static enum err get_one(struct call *c, struct collection *collection)
{
	static const struct with_payload payload = { .kind = WITH_PAYLOAD_ALL };
	static const struct with_vectors vectors = { .kind = WITH_VECTORS_ALL };
	const struct api_want want = { .payload = &payload, .vectors = &vectors };
	const struct msg_point_get *in = c->in;
	struct msg_record_reply *out = c->out;
	char text[POINT_ID_TEXT_MAX];
	struct record *record;
	enum err err = api_check_consistency(c, &in->consistency);

	if (!err)
		err = api_load(c, collection, &in->id, 1, want, &record);
	if (err)
		return err;
	if (!record->found) {
		(void)point_id_format(in->id, text);
		return fault_set(&c->fault, ERR_NOT_FOUND, "Point with id %s does not exists!",
				 text);
	}
	show_record(record, want, &out->result);
	return ERR_NONE;
}

/* In the order of a value; there are no pages but by start_from. */
static enum err scroll_in_order(struct call *c, struct collection *collection)
{
	const struct msg_points_scroll *in = c->in;
	struct msg_scroll_reply *out = c->out;
	struct api_want want = { .payload = &in->with_payload, .vectors = &in->with_vector };
	struct api_limit limit = API_LIMIT(c, in);
	struct scored *found = arena_array(c->arena, in->limit, sizeof(*found));
	struct point_id *ids = arena_array(c->arena, in->limit, sizeof(*ids));
	struct record *records;
	struct order_query order;
	uint32_t count = 0;

	if (!found || !ids)
		return ERR_NO_MEMORY;
	if (in->has_offset)
		return fault_set(&c->fault, ERR_BAD_REQUEST,
				 "Cannot use an `offset` when using `order_by`. The alternative for paging is to use "
				 "`order_by.start_from` and a filter to exclude the IDs that you've already seen for the "
				 "`order_by.start_from` value");
	enum err err = api_plan_order(c, collection, in->order_by, &order);

	if (err)
		return err;
	order.filter = in->has_filter ? in->filter : NULL;
	order.limit = (uint32_t)in->limit;
	order.deadline = limit.deadline;
	err = collection_order(collection, &order, found, &count);
	if (err)
		return api_read_failed(c, err, "Scroll", &limit);
	for (uint32_t i = 0; i < count; i++)
		ids[i] = found[i].id;
	err = api_load(c, collection, ids, count, want, &records);
	out->points.items = err ? NULL : arena_array(c->arena, count, sizeof(*out->points.items));
	if (!err && !out->points.items)
		err = ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count && !err; i++) {
		if (!records[i].found)
			continue;
		struct msg_record *r = &out->points.items[out->points.count++];

		show_record(&records[i], want, r);
		r->has_order_value = true;
		r->order_value = found[i].order;
	}
	return err;
}

static enum err scroll(struct call *c, struct collection *collection)
{
	const struct msg_points_scroll *in = c->in;
	struct msg_scroll_reply *out = c->out;
	struct api_want want = { .payload = &in->with_payload, .vectors = &in->with_vector };
	struct api_limit limit = API_LIMIT(c, in);
	struct point_id *ids = NULL;
	uint32_t count = 0;
	enum err err = api_check_consistency(c, &in->consistency);

	if (!err)
		err = api_check_max(c, "limit", in->limit, RECORDS_MAX);
	if (!err)
		err = api_check_vectors(c, collection, want.vectors);
	if (!err && in->has_order_by)
		return scroll_in_order(c, collection);
	if (!err) {
		ids = arena_array(c->arena, in->limit, sizeof(*ids));
		err = ids ? ERR_NONE : ERR_NO_MEMORY;
	}
	if (err)
		return err;
	err = collection_scroll(collection, in->has_filter ? in->filter : NULL,
				in->has_offset ? &in->offset : NULL, (uint32_t)in->limit,
				&limit.deadline, ids, &count, &out->next_page_offset.has,
				&out->next_page_offset.id);
	if (err)
		return api_read_failed(c, err, "Scroll", &limit);
	return show_records(c, collection, ids, count, want, &out->points);
}

static enum err count_points(struct call *c, struct collection *collection)
{
	const struct msg_points_count *in = c->in;
	struct msg_count_reply *out = c->out;
	struct api_limit limit = API_LIMIT(c, in);
	enum err err = api_check_consistency(c, &in->consistency);

	if (err)
		return err;
	err = collection_count(collection, in->has_filter ? in->filter : NULL, &limit.deadline,
			       &out->result.count);
	return err ? api_read_failed(c, err, "Count", &limit) : ERR_NONE;
}

static void read_points(struct call *c, struct str name,
			enum err (*read)(struct call *c, struct collection *collection))
{
	struct collection *collection;
	enum err err = api_collection(c, name, &collection);

	if (!err) {
		err = read(c, collection);
		collection_unref(collection);
	}
	if (!err)
		call_touch(c);
	call_finish(c, err);
}

void api_points_retrieve(struct call *c)
{
	const struct msg_points_retrieve *in = c->in;

	read_points(c, in->collection_name, retrieve);
}

void api_point_get(struct call *c)
{
	const struct msg_point_get *in = c->in;

	read_points(c, in->collection_name, get_one);
}

void api_points_scroll(struct call *c)
{
	const struct msg_points_scroll *in = c->in;

	read_points(c, in->collection_name, scroll);
}

void api_points_count(struct call *c)
{
	const struct msg_points_count *in = c->in;

	read_points(c, in->collection_name, count_points);
}
