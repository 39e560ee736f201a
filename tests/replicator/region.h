/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the committer share: a region in memory, and writes to it.
 */
#pragma once

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "replicator/commit.h"

#define REGION_WALL_MS 1700000000000u

struct region {
	struct clock_manual clock;
	struct store *store;
	struct catalog *catalog;
	struct committer *committer;
	struct committer_options options;
	const char *dir;    /* NULL: in memory */
	struct arena arena; /* of what tests build */
};

static inline void region_open(struct region *r)
{
	struct fault f = { 0 };
	struct catalog_options o = { .store = r->store, .dir = r->dir };

	ck_assert_msg(!catalog_open(&o, &r->catalog, &f), "%s", f.text);
	r->options.clock = &r->clock.clock;
	r->options.store = r->store;
	r->options.catalog = r->catalog;
	ck_assert_msg(!committer_open(&r->options, &r->committer, &f), "%s", f.text);
	ck_assert_msg(!catalog_start(r->catalog, &f), "%s", f.text);
}

/* id: of the region; other options may be set before region_open. */
static inline void region_init(struct region *r, uint8_t id)
{
	*r = (struct region){ .options = { .region = id } };
	clock_manual_init(&r->clock, REGION_WALL_MS);
	arena_init(&r->arena, (size_t)256 << 20);
	ck_assert_int_eq(store_mem_new(&r->store), ERR_NONE);
}

static inline void region_shut(struct region *r)
{
	committer_close(r->committer);
	catalog_close(r->catalog);
	r->committer = NULL;
	r->catalog = NULL;
}

static inline void region_release(struct region *r)
{
	if (r->committer)
		region_shut(r);
	r->store->ops->close(r->store);
	arena_release(&r->arena);
}

static inline void region_begin(struct region *r)
{
	struct fault f = { 0 };
	ck_assert_msg(!committer_begin_epoch(r->committer, &f), "%s", f.text);
}

static inline struct committer_state region_state(struct region *r)
{
	struct committer_state s;
	committer_state(r->committer, &s);
	return s;
}

/* --- building --- */

static inline void *region_alloc(struct region *r, size_t n)
{
	void *p = arena_alloc(&r->arena, n);
	ck_assert_ptr_nonnull(p);
	return p;
}

static inline struct point_id id_of(uint64_t n)
{
	return (struct point_id){ .lo = n };
}

/* {"k": number} */
static inline struct value payload_of(struct region *r, const char *key, int64_t number)
{
	CLEANUP(buf_release) struct buf item = BUF_INIT(100);
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);

	value_put_int(&item, number);
	struct value_member m = { .key = { .data = key, .len = strlen(key) },
				  .value = value_of_buf(&item) };
	ck_assert_int_eq(value_put_object(&b, &m, 1), ERR_NONE);
	uint8_t *copy = region_alloc(r, b.len);
	memcpy(copy, b.data, b.len);
	return (struct value){ .data = copy, .len = (uint32_t)b.len };
}

static inline struct op_vector dense_of(struct region *r, const char *name, const float *values,
					uint32_t dim)
{
	float *copy = region_alloc(r, dim * sizeof(*copy));
	memcpy(copy, values, dim * sizeof(*copy));
	return (struct op_vector){ .name = { .data = name, .len = strlen(name) },
				   .vector = { .kind = VECTOR_DENSE, .count = dim, .values = copy },
				   .slot = SLOT_NONE };
}

static inline struct op_vector sparse_of(const char *name)
{
	static const float values[] = { 1.0F };
	static const uint32_t indices[] = { 3 };
	return (struct op_vector){ .name = { .data = name, .len = strlen(name) },
				   .vector = { .kind = VECTOR_SPARSE,
					       .count = 1,
					       .values = values,
					       .indices = indices },
				   .slot = SLOT_NONE };
}

/* Points first .. first + count - 1, with a vector "" of four values and {"n": id}. */
static inline struct intent upsert_of(struct region *r, const char *collection, uint64_t first,
				      uint32_t count)
{
	struct op_point *points = region_alloc(r, count * sizeof(*points));

	for (uint32_t i = 0; i < count; i++) {
		float values[4] = { (float)(first + i), 1.0F, 2.0F, 3.0F };
		struct op_vector *v = region_alloc(r, sizeof(*v));
		*v = dense_of(r, "", values, 4);
		points[i] =
			(struct op_point){ .id = id_of(first + i),
					   .vectors = v,
					   .vector_count = 1,
					   .payload = payload_of(r, "n", (int64_t)(first + i)) };
	}
	return (struct intent){ .kind = OP_UPSERT,
				.collection = { .data = collection, .len = strlen(collection) },
				.body = { .points = points, .point_count = count } };
}

static inline struct intent ids_intent(struct region *r, enum op_kind kind, const char *collection,
				       const uint64_t *ids, uint32_t count)
{
	struct point_id *copy = region_alloc(r, (count + 1) * sizeof(*copy));

	for (uint32_t i = 0; i < count; i++)
		copy[i] = id_of(ids[i]);
	return (struct intent){ .kind = kind,
				.collection = { .data = collection, .len = strlen(collection) },
				.body = { .ids = copy, .id_count = count } };
}

static inline struct intent set_payload_of(struct region *r, const char *collection, uint64_t id,
					   const char *key, int64_t number)
{
	struct intent in = ids_intent(r, OP_SET_PAYLOAD, collection, &id, 1);
	in.body.payload = payload_of(r, key, number);
	return in;
}

static inline struct intent create_of(struct region *r, const char *name, enum distance distance)
{
	struct vector_config *v = region_alloc(r, 2 * sizeof(*v));

	v[0] = (struct vector_config){
		.name = STR(""),
		.dim = 4,
		.distance = distance,
		.hnsw = { .m = 16, .ef_construct = 100, .full_scan_threshold_kb = 10000 }
	};
	v[1] = (struct vector_config){ .name = STR("sparse"), .sparse = true };
	struct intent in = { .kind = OP_CREATE_COLLECTION,
			     .collection = { .data = name, .len = strlen(name) } };
	in.body.config = (struct collection_config){
		.vectors = v, .vector_count = 2, .shard_number = 2, .indexing_threshold_kb = 10000
	};
	return in;
}

/* --- writing --- */

struct region_write {
	struct write w;
	struct intent *intents;
	unsigned done;
};

static inline void region_write_done(struct write *w)
{
	CONTAINER_OF(w, struct region_write, w)->done++;
}

static inline struct region_write *submit(struct region *r, const struct intent *intents,
					  uint32_t count)
{
	struct region_write *t = region_alloc(r, sizeof(*t));

	t->intents = region_alloc(r, count * sizeof(*intents));
	memcpy(t->intents, intents, count * sizeof(*intents));
	t->w = (struct write){ .intents = t->intents,
			       .intent_count = count,
			       .bytes = 100,
			       .ack = ACK_VISIBLE,
			       .done = region_write_done };
	ck_assert_int_eq(committer_submit(r->committer, &t->w), ERR_NONE);
	return t;
}

/* One intent, committed; the write with its answer. */
static inline struct region_write *try_write(struct region *r, struct intent in)
{
	struct region_write *t = submit(r, &in, 1);

	(void)committer_turn(r->committer, 0);
	ck_assert_uint_eq(t->done, 1);
	return t;
}

static inline void write_well(struct region *r, struct intent in)
{
	struct region_write *t = try_write(r, in);
	ck_assert_msg(t->w.err == ERR_NONE, "%s: %s", err_name(t->w.err), t->w.fault.text);
}

/* --- looking --- */

static inline struct record find_point(struct region *r, const char *collection, uint64_t id)
{
	struct collection *c = catalog_get(
		r->catalog, (struct str){ .data = collection, .len = strlen(collection) });
	struct record_want want = { .payload = true, .vectors = true };
	struct point_id point = id_of(id);
	struct record record = { 0 };

	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq(collection_retrieve(c, &point, 1, &want, &r->arena, &record, NULL),
			 ERR_NONE);
	collection_unref(c);
	return record;
}

/* The whole number at key, or -1. */
static inline int64_t payload_number(struct region *r, const char *collection, uint64_t id,
				     const char *key)
{
	struct record record = find_point(r, collection, id);
	struct value v;

	if (!record.found || !record.payload.data ||
	    !value_get(record.payload, (struct str){ .data = key, .len = strlen(key) }, &v))
		return -1;
	return value_int(v);
}

static inline uint64_t count_points(struct region *r, const char *collection)
{
	struct collection *c = catalog_get(
		r->catalog, (struct str){ .data = collection, .len = strlen(collection) });
	uint64_t count = 0;

	if (!c)
		return 0;
	ck_assert_int_eq(collection_count(c, NULL, NULL, &count), ERR_NONE);
	collection_unref(c);
	return count;
}

/* --- the log --- */

struct log_part {
	struct bytes *ops;
	struct position *positions;
	uint64_t *hashes; /* after each */
	uint32_t count;
};

/* All ops after p, in wire form. */
static inline struct log_part read_log_after(struct region *r, struct position p, uint32_t max)
{
	struct log_part part = { .ops = region_alloc(r, max * sizeof(*part.ops)),
				 .positions = region_alloc(r, max * sizeof(*part.positions)),
				 .hashes = region_alloc(r, max * sizeof(*part.hashes)) };
	struct store_txn *t;

	ck_assert_int_eq(r->store->ops->begin(r->store, false, &t), ERR_NONE);
	while (part.count < max) {
		CLEANUP(arena_release) struct arena a;
		CLEANUP(buf_release) struct buf b = BUF_INIT(2 * OP_BYTES_MAX);
		struct oplog_entry entry;
		struct fault f = { 0 };
		arena_init(&a, (size_t)64 << 20);
		enum err err = oplog_next(r->store, t, SCOPE_FLEET, p, &a, &entry, &f);
		if (err == ERR_NOT_FOUND)
			break;
		ck_assert_msg(!err, "%s", f.text);
		ck_assert_int_eq(oplog_fill(r->catalog, &entry.op, &a), ERR_NONE);
		ck_assert_int_eq(op_encode(&entry.op, OP_FORM_WIRE, &b), ERR_NONE);
		uint8_t *copy = region_alloc(r, b.len);
		memcpy(copy, b.data, b.len);
		p = (struct position){ entry.op.epoch, entry.op.seq };
		part.ops[part.count] = (struct bytes){ .data = copy, .len = b.len };
		part.positions[part.count] = p;
		part.hashes[part.count++] = entry.chain_hash;
	}
	r->store->ops->abort(t);
	return part;
}

static inline enum err apply_part(struct region *to, const struct log_part *part, uint32_t first,
				  uint32_t count, struct fault *ret_fault)
{
	struct remote_batch b = { .ops = &part->ops[first],
				  .count = count,
				  .scope = SCOPE_FLEET,
				  .chain_hash = part->hashes[first + count - 1] };
	return committer_apply(to->committer, &b, ret_fault);
}
