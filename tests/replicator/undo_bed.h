/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region whose ops have to be taken back, and pictures of it to compare.
 */
#pragma once

#include "replicator/orphan.h"
#include "replicator/undo.h"
#include "tests/index/scratch.h"
#include "tests/replicator/region.h"

static struct region r;
static struct position confirmed;

static inline struct position floor_of(void *ctx)
{
	(void)ctx;
	return confirmed;
}

static inline void open_region(void)
{
	region_init(&r, 1);
	r.options.undo = true;
	r.options.trim_floor = floor_of;
	region_open(&r);
}

static inline void set_up(void)
{
	confirmed = (struct position){ 0 };
	open_region();
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 20));
}

static inline void tear_down(void)
{
	region_release(&r);
}

static inline void restart(void)
{
	region_shut(&r);
	region_open(&r);
}

/* --- what a region holds --- */

#define PICTURE_COLLECTIONS_MAX 4
struct picture {
	struct position position;
	uint64_t chain_hash;
	uint64_t epoch;
	uint64_t op_number;
	uint64_t log_ops;
	uint64_t log_bytes;
	bool released;
	uint32_t collections;
	struct hash128 roots[PICTURE_COLLECTIONS_MAX][2];
	uint64_t points[PICTURE_COLLECTIONS_MAX];
	uint32_t fields[PICTURE_COLLECTIONS_MAX];
	uint64_t threshold[PICTURE_COLLECTIONS_MAX];
};

static inline struct picture picture(void)
{
	struct committer_state s = region_state(&r);
	struct picture p;
	struct collection **items;
	uint32_t count;

	memset(&p, 0, sizeof(p));
	p.position = s.position;
	p.chain_hash = s.chain_hash;
	p.epoch = s.epoch;
	p.op_number = s.op_number;
	p.log_ops = s.log_ops;
	p.log_bytes = s.log_bytes;
	p.released = s.released;
	ck_assert_int_eq(catalog_list(r.catalog, &r.arena, &items, &count), ERR_NONE);
	ck_assert_uint_le(count, PICTURE_COLLECTIONS_MAX);
	p.collections = count;
	for (uint32_t i = 0; i < count; i++) {
		struct field_index_info *fields;
		for (uint32_t k = 0; k < 2; k++)
			p.roots[i][k] = merkle_root(collection_merkle(items[i], k));
		ck_assert_int_eq(collection_count(items[i], NULL, NULL, &p.points[i]), ERR_NONE);
		ck_assert_int_eq(collection_field_indexes(items[i], &r.arena, &fields, &p.fields[i]), ERR_NONE);
		p.threshold[i] = collection_config(items[i])->indexing_threshold_kb;
		collection_unref(items[i]);
	}
	return p;
}

static inline void check_same(const struct picture *a, const struct picture *b)
{
	ck_assert_int_eq(position_compare(a->position, b->position), 0);
	ck_assert_uint_eq(a->chain_hash, b->chain_hash);
	ck_assert_uint_eq(a->epoch, b->epoch);
	ck_assert_uint_eq(a->op_number, b->op_number);
	ck_assert_uint_eq(a->log_ops, b->log_ops);
	ck_assert_uint_eq(a->log_bytes, b->log_bytes);
	ck_assert_uint_eq(a->released, b->released);
	ck_assert_uint_eq(a->collections, b->collections);
	ck_assert_mem_eq(a, b, sizeof(*a));
}

/* The trees say what the rows are. */
static inline void check_trees(void)
{
	struct collection **items;
	uint32_t count;

	ck_assert_int_eq(catalog_list(r.catalog, &r.arena, &items, &count), ERR_NONE);
	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t k = 0; k < 2; k++) {
			struct collection_check check = { .done = false };
			while (!check.done) {
				ck_assert_int_eq(collection_check(items[i], k, &check), ERR_NONE);
				ck_assert_uint_eq(check.bad_count, 0);
			}
		}
		collection_unref(items[i]);
	}
}

static inline struct rewind rewind_to(struct position to)
{
	struct rewind w = { .to = to };
	struct fault f = { 0 };

	ck_assert_msg(!committer_rewind(r.committer, &w, &f), "%s", f.text);
	ck_assert_int_eq(position_compare(region_state(&r).position, to), 0);
	check_trees();
	return w;
}

static inline enum err try_rewind(struct position to, struct fault *f)
{
	struct rewind w = { .to = to };

	*f = (struct fault){ 0 };
	return committer_rewind(r.committer, &w, f);
}

static inline uint64_t orphan_total(void)
{
	struct orphan_totals totals;
	struct store_txn *t;

	ck_assert_int_eq(r.store->ops->begin(r.store, false, &t), ERR_NONE);
	ck_assert_int_eq(orphan_count(r.store, t, &totals), ERR_NONE);
	r.store->ops->abort(t);
	return totals.count[ORPHAN_LOCAL];
}

static inline uint64_t undo_total(void)
{
	struct store_cursor *c;
	struct store_txn *t;
	struct bytes key, value;
	uint64_t count = 0;

	ck_assert_int_eq(r.store->ops->begin(r.store, false, &t), ERR_NONE);
	ck_assert_int_eq(r.store->ops->cursor_open(t, STORE_UNDO, &c), ERR_NONE);
	while (!r.store->ops->next(c, &key, &value))
		count++;
	r.store->ops->cursor_close(c);
	r.store->ops->abort(t);
	return count;
}

static inline struct intent move_of(uint64_t id, float to)
{
	float values[4] = { to, to, to, to };
	struct intent in = upsert_of(&r, "c", id, 1);
	struct op_vector *v = region_alloc(&r, sizeof(*v));

	*v = dense_of(&r, "", values, 4);
	((struct op_point *)in.body.points)[0].vectors = v;
	return in;
}

static inline void change_much(void)
{
	static const uint64_t gone[] = { 3, 4, 5, 77 };
	static const uint64_t cleared[] = { 6, 7 };
	struct op_point *twice;

	write_well(&r, set_payload_of(&r, "c", 1, "k", 5));
	write_well(&r, move_of(2, 9.0F));
	write_well(&r, move_of(2, 8.0F));
	write_well(&r, ids_intent(&r, OP_DELETE, "c", gone, 4));
	write_well(&r, ids_intent(&r, OP_CLEAR_PAYLOAD, "c", cleared, 2));
	write_well(&r, upsert_of(&r, "c", 3, 30));
	write_well(&r, ids_intent(&r, OP_DELETE, "c", gone, 4));
	struct intent in = upsert_of(&r, "c", 300, 2);
	twice = (struct op_point *)in.body.points;
	twice[1].id = twice[0].id;
	write_well(&r, in);
	in = upsert_of(&r, "c", 8, 1);
	in.kind = OP_UPDATE_VECTORS;
	write_well(&r, in);
}
