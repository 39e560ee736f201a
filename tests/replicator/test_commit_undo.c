/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking back: whatever a region did beyond a position, taking it back leaves what was there, to the byte; and undo records
 * cost slots and space only until their op is confirmed.
 */
#include "replicator/orphan.h"
#include "replicator/undo.h"
#include "tests/index/scratch.h"
#include "tests/replicator/region.h"

static struct region r;
static struct position confirmed;

static struct position floor_of(void *ctx)
{
	(void)ctx;
	return confirmed;
}

static void open_region(void)
{
	region_init(&r, 1);
	r.options.undo = true;
	r.options.trim_floor = floor_of;
	region_open(&r);
}

static void set_up(void)
{
	confirmed = (struct position){ 0 };
	open_region();
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 20));
}

static void tear_down(void)
{
	region_release(&r);
}

static void restart(void)
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

static struct picture picture(void)
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

static void check_same(const struct picture *a, const struct picture *b)
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
static void check_trees(void)
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

static struct rewind rewind_to(struct position to)
{
	struct rewind w = { .to = to };
	struct fault f = { 0 };

	ck_assert_msg(!committer_rewind(r.committer, &w, &f), "%s", f.text);
	ck_assert_int_eq(position_compare(region_state(&r).position, to), 0);
	check_trees();
	return w;
}

static enum err try_rewind(struct position to, struct fault *f)
{
	struct rewind w = { .to = to };

	*f = (struct fault){ 0 };
	return committer_rewind(r.committer, &w, f);
}

static uint64_t orphan_total(void)
{
	struct orphan_totals totals;
	struct store_txn *t;

	ck_assert_int_eq(r.store->ops->begin(r.store, false, &t), ERR_NONE);
	ck_assert_int_eq(orphan_count(r.store, t, &totals), ERR_NONE);
	r.store->ops->abort(t);
	return totals.count[ORPHAN_LOCAL];
}

static uint64_t undo_total(void)
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

/* --- refused --- */

START_TEST(what_is_confirmed_is_never_taken_back)
{
	struct fault f;
	struct position before = region_state(&r).position;

	confirmed = before;
	write_well(&r, upsert_of(&r, "c", 30, 1));
	struct picture p = picture();
	ck_assert_int_eq(try_rewind((struct position){ before.epoch, before.seq - 1 }, &f), ERR_FORK);
	ck_assert_ptr_nonnull(strstr(f.text, "confirmed"));
	struct picture now = picture();
	check_same(&p, &now);
	(void)rewind_to(before);
}
END_TEST

START_TEST(there_is_no_way_to_where_the_region_never_stood)
{
	struct fault f;
	struct position here = region_state(&r).position;

	ck_assert_int_eq(try_rewind((struct position){ here.epoch, here.seq + 1 }, &f), ERR_FORK);
	ck_assert_int_eq(try_rewind((struct position){ here.epoch - 256, 1 }, &f), ERR_FORK);
	ck_assert_int_eq(position_compare(here, region_state(&r).position), 0);
}
END_TEST

START_TEST(a_full_orphan_store_stops_the_walk_at_a_valid_position)
{
	struct fault f;

	region_release(&r);
	region_init(&r, 1);
	r.options.undo = true;
	r.options.trim_floor = floor_of;
	r.options.orphan_bytes_max = 600;
	region_open(&r);
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 20));
	struct position to = region_state(&r).position;
	for (uint64_t i = 0; i < 20; i++)
		write_well(&r, set_payload_of(&r, "c", 1 + i, "k", 5));
	struct picture p = picture();
	ck_assert_int_eq(try_rewind(to, &f), ERR_NO_SPACE);
	ck_assert_ptr_nonnull(strstr(f.text, "orphan store is full"));
	struct picture now = picture();
	check_same(&p, &now);
	ck_assert_uint_eq(orphan_total(), 0);
}
END_TEST

/* --- rows --- */

START_TEST(new_points_go_and_leave_no_record_while_they_are_there)
{
	struct picture p = picture();

	write_well(&r, upsert_of(&r, "c", 100, 5));
	write_well(&r, upsert_of(&r, "c", 200, 5));
	ck_assert_uint_eq(undo_total(), 1); /* of the collection's creation */
	struct rewind w = rewind_to(p.position);
	ck_assert_uint_eq(w.ops, 2);
	ck_assert_uint_eq(w.orphans, 2);
	struct picture now = picture();
	check_same(&p, &now);
	ck_assert_int_eq(payload_number(&r, "c", 100, "n"), -1);
}
END_TEST

static struct intent move_of(uint64_t id, float to)
{
	float values[4] = { to, to, to, to };
	struct intent in = upsert_of(&r, "c", id, 1);
	struct op_vector *v = region_alloc(&r, sizeof(*v));

	*v = dense_of(&r, "", values, 4);
	((struct op_point *)in.body.points)[0].vectors = v;
	return in;
}

static void change_much(void)
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

START_TEST(whatever_was_done_to_points_is_taken_back)
{
	struct picture p = picture();
	struct record before = find_point(&r, "c", 2);

	change_much();
	struct picture changed = picture();
	ck_assert_mem_ne(&p, &changed, sizeof(p));
	(void)rewind_to(p.position);
	struct picture now = picture();
	check_same(&p, &now);
	struct record after = find_point(&r, "c", 2);
	ck_assert(after.found);
	ck_assert_uint_eq(after.vectors[0].vector.count, 4);
	ck_assert_mem_eq(after.vectors[0].vector.values, before.vectors[0].vector.values, 4 * sizeof(float));
	restart();
	now = picture();
	check_same(&p, &now);
}
END_TEST

START_TEST(each_position_on_the_way_is_one_that_was)
{
	struct picture pictures[32];
	uint32_t count = 0;

	pictures[count++] = picture();
	for (uint64_t i = 0; i < 12; i++) {
		if (i % 3 == 0)
			write_well(&r, set_payload_of(&r, "c", i + 1, "k", (int64_t)i));
		else if (i % 3 == 1)
			write_well(&r, move_of(2 + i % 4, (float)i));
		else
			write_well(&r, upsert_of(&r, "c", i, 10));
		pictures[count++] = picture();
	}
	while (--count > 0) {
		(void)rewind_to(pictures[count - 1].position);
		struct picture now = picture();
		check_same(&pictures[count - 1], &now);
	}
}
END_TEST

START_TEST(after_a_restart_it_is_taken_back_just_as_well)
{
	struct picture p = picture();

	change_much();
	restart();
	(void)rewind_to(p.position);
	struct picture now = picture();
	check_same(&p, &now);
}
END_TEST

START_TEST(more_than_one_transaction_can_hold_is_taken_back)
{
	struct picture p = picture();

	for (uint64_t i = 0; i < 700; i++)
		write_well(&r, set_payload_of(&r, "c", 1 + i % 20, "k", (int64_t)i));
	struct rewind w = rewind_to(p.position);
	ck_assert_uint_eq(w.ops, 700);
	struct picture now = picture();
	check_same(&p, &now);
}
END_TEST

/* 3,000 points of 60 KB each: 180 MB that one request replaces. */
START_TEST(a_request_that_replaces_more_than_one_record_holds_is_written_and_taken_back)
{
	static uint64_t ids[3000];
	static char text[60000];
	CLEANUP(buf_release) struct buf item = BUF_INIT(100000);
	CLEANUP(buf_release) struct buf b = BUF_INIT(100000);

	memset(text, 'x', sizeof(text));
	value_put_string(&item, (struct str){ text, sizeof(text) });
	struct value_member m = { .key = STR("text"), .value = value_of_buf(&item) };
	ck_assert_int_eq(value_put_object(&b, &m, 1), ERR_NONE);
	for (uint64_t i = 0; i < LEN(ids); i++)
		ids[i] = 1000 + i;
	write_well(&r, upsert_of(&r, "c", 1000, LEN(ids)));
	struct intent in = ids_intent(&r, OP_SET_PAYLOAD, "c", ids, LEN(ids));
	in.body.payload = value_of_buf(&b);
	write_well(&r, in);
	struct picture p = picture();
	in = ids_intent(&r, OP_CLEAR_PAYLOAD, "c", ids, LEN(ids));
	write_well(&r, in);
	ck_assert_int_eq(payload_number(&r, "c", 1000, "n"), -1);
	struct rewind w = rewind_to(p.position);
	ck_assert_uint_ge(w.ops, LEN(ids) / UNDO_ROWS_MAX);
	struct picture now = picture();
	check_same(&p, &now);
}
END_TEST

START_TEST(the_ops_are_kept_as_orphans_in_order_and_as_they_were)
{
	CLEANUP(arena_release) struct arena a;
	struct position to = region_state(&r).position;
	struct orphan o;
	struct store_txn *t;
	struct fault f;
	const struct orphan *after = NULL;
	struct orphan before;

	write_well(&r, upsert_of(&r, "c", 100, 2));
	write_well(&r, set_payload_of(&r, "c", 1, "k", 5));
	struct log_part log = read_log_after(&r, to, 10);
	(void)rewind_to(to);
	restart();
	arena_init(&a, SIZE_MAX);
	ck_assert_int_eq(r.store->ops->begin(r.store, false, &t), ERR_NONE);
	for (uint32_t i = 0; i < 2; i++) {
		struct op op;
		ck_assert_int_eq(orphan_next(r.store, t, after, &a, &o), ERR_NONE);
		ck_assert_int_eq(position_compare(o.id.position, log.positions[i]), 0);
		ck_assert_uint_eq(o.id.chain_hash, log.hashes[i]);
		ck_assert_uint_eq(o.op.len, log.ops[i].len);
		ck_assert_mem_eq(o.op.data, log.ops[i].data, o.op.len);
		ck_assert_int_eq(op_decode(o.op, OP_FORM_WIRE, &a, &op, &f), ERR_NONE);
		before = o;
		after = &before;
	}
	ck_assert_int_eq(orphan_next(r.store, t, after, &a, &o), ERR_NOT_FOUND);
	r.store->ops->abort(t);
}
END_TEST

/* The same ops from a peer's log lead to the same place. */
START_TEST(what_was_taken_back_can_be_applied_again)
{
	struct fault f = { 0 };
	struct position to = region_state(&r).position;

	change_much();
	struct picture p = picture();
	struct log_part log = read_log_after(&r, to, 100);
	(void)rewind_to(to);
	ck_assert_msg(!apply_part(&r, &log, 0, log.count, &f), "%s", f.text);
	struct picture now = picture();
	check_same(&p, &now);
	check_trees();
}
END_TEST

/* A failover takes it back, the next one finds that it was not lost. Files and rows of the first time are in nobody's way. */
static void create_again(bool files)
{
	struct scratch scratch;
	struct fault f = { 0 };

	tear_down();
	if (files)
		scratch_new(&scratch);
	region_init(&r, 1);
	r.options.undo = true;
	r.options.trim_floor = floor_of;
	r.dir = files ? scratch.dir : NULL;
	region_open(&r);
	region_begin(&r);
	struct position to = region_state(&r).position;
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 20));
	write_well(&r, upsert_of(&r, "c", 5, 1));
	struct picture p = picture();
	struct log_part log = read_log_after(&r, to, 100);
	for (unsigned round = 0; round < 3; round++) {
		(void)rewind_to(to);
		ck_assert_ptr_null(catalog_get(r.catalog, STR("c")));
		if (round == 1)
			restart();
		ck_assert_msg(!apply_part(&r, &log, 0, log.count, &f), "%s", f.text);
		struct picture now = picture();
		check_same(&p, &now);
		check_trees();
		restart();
		now = picture();
		check_same(&p, &now);
		check_trees();
	}
	if (!files)
		return;
	region_shut(&r);
	r.dir = NULL;
	scratch_remove(&scratch);
}

START_TEST(a_collection_whose_creation_was_taken_back_can_be_created_again)
{
	create_again(false);
}
END_TEST

START_TEST(a_collection_with_files_whose_creation_was_taken_back_can_be_created_again)
{
	create_again(true);
}
END_TEST

START_TEST(a_collection_that_is_still_being_read_is_created_again_once_it_is_not)
{
	struct intent in = create_of(&r, "d", DISTANCE_DOT);
	struct position to = region_state(&r).position;
	struct fault f = { 0 };

	write_well(&r, in);
	struct log_part log = read_log_after(&r, to, 100);
	struct collection *reader = catalog_get(r.catalog, STR("d"));
	(void)rewind_to(to);
	ck_assert_int_eq(apply_part(&r, &log, 0, log.count, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "still being read"));
	collection_unref(reader);
	ck_assert_int_eq(apply_part(&r, &log, 0, log.count, &f), ERR_NONE);
	reader = catalog_get(r.catalog, STR("d"));
	ck_assert_ptr_nonnull(reader);
	collection_unref(reader);
}
END_TEST

/* Merging leaves a row alone that has a greater stamp; so does taking the op back. */
START_TEST(what_an_op_left_unchanged_stays)
{
	static struct region other;
	struct fault f = { 0 };
	struct log_part log = read_log_after(&r, (struct position){ 0 }, 100);
	struct committer_state s = region_state(&r);
	struct intent in = upsert_of(&r, "c", 1, 1);
	struct collection *c = catalog_get(r.catalog, STR("c"));
	struct op op = in.body;
	struct buf wire = BUF_INIT(OP_BYTES_MAX);

	region_init(&other, 2);
	other.options.undo = true;
	region_open(&other);
	ck_assert_int_eq(apply_part(&other, &log, 0, log.count, &f), ERR_NONE);
	op.kind = OP_UPSERT;
	op.scope = SCOPE_FLEET;
	op.region = 1;
	op.epoch = s.position.epoch;
	op.seq = s.position.seq + 1;
	op.hlc = 5;
	op.incarnation = collection_incarnation(c);
	ck_assert_int_eq(op_encode(&op, OP_FORM_WIRE, &wire), ERR_NONE);
	struct bytes ops[1] = { buf_bytes(&wire) };
	struct remote_batch b = { .ops = ops,
				  .count = 1,
				  .scope = SCOPE_FLEET,
				  .chain_hash = op_chain_hash(s.chain_hash, ops[0]) };
	ck_assert_msg(!committer_apply(other.committer, &b, &f), "%s", f.text);
	struct rewind w = { .to = s.position };
	ck_assert_msg(!committer_rewind(other.committer, &w, &f), "%s", f.text);
	ck_assert_uint_eq(w.ops, 1);
	ck_assert_int_eq(payload_number(&other, "c", 1, "n"), 1);
	ck_assert_uint_eq(count_points(&other, "c"), 20);
	collection_unref(c);
	buf_release(&wire);
	region_release(&other);
}
END_TEST

/* --- collections and epochs --- */

START_TEST(changes_of_collections_are_taken_back)
{
	struct picture p = picture();
	struct intent in = create_of(&r, "d", DISTANCE_DOT);
	struct intent update = create_of(&r, "c", DISTANCE_DOT);
	struct intent index = { .kind = OP_FIELD_INDEX_PUT,
				.collection = STR("c"),
				.body = { .field_index = { .key = STR("n"), .schema = FIELD_INTEGER } } };

	write_well(&r, in);
	write_well(&r, upsert_of(&r, "d", 1, 10));
	update.kind = OP_UPDATE_COLLECTION;
	update.body.config.indexing_threshold_kb = 77;
	write_well(&r, update);
	write_well(&r, index);
	index.kind = OP_FIELD_INDEX_DROP;
	write_well(&r, index);
	index.kind = OP_FIELD_INDEX_PUT;
	write_well(&r, index);
	struct picture changed = picture();
	ck_assert_uint_eq(changed.collections, 2);
	ck_assert_uint_eq(changed.fields[0], 1);
	(void)rewind_to(p.position);
	struct picture now = picture();
	check_same(&p, &now);
	restart();
	now = picture();
	check_same(&p, &now);
}
END_TEST

static void check_dropped_comes_back(bool with_restart)
{
	struct picture p = picture();
	struct intent drop = { .kind = OP_DROP_COLLECTION, .collection = STR("c") };

	write_well(&r, drop);
	write_well(&r, create_of(&r, "c", DISTANCE_COSINE));
	write_well(&r, upsert_of(&r, "c", 1, 3));
	if (with_restart)
		restart();
	(void)rewind_to(p.position);
	struct picture now = picture();
	check_same(&p, &now);
	ck_assert_int_eq(payload_number(&r, "c", 7, "n"), 7);
	/* It goes on as if it had never been dropped. */
	region_begin(&r);
	write_well(&r, upsert_of(&r, "c", 500, 2));
	ck_assert_uint_eq(count_points(&r, "c"), 22);
	restart();
	ck_assert_uint_eq(count_points(&r, "c"), 22);
	check_trees();
}

START_TEST(a_dropped_collection_comes_back_with_its_points)
{
	change_much();
	(void)rewind_to((struct position){ region_state(&r).position.epoch, 3 });
	region_begin(&r);
	check_dropped_comes_back(false);
}
END_TEST

START_TEST(a_dropped_collection_comes_back_after_a_restart)
{
	check_dropped_comes_back(true);
}
END_TEST

/* An op of a multi-writer log is passed over for ever; a drop may be taken back. */
START_TEST(ops_into_a_dropped_collection_wait_until_the_drop_is_confirmed)
{
	struct intent in = create_of(&r, "m", DISTANCE_DOT);
	struct intent drop = { .kind = OP_DROP_COLLECTION, .collection = STR("m") };
	struct buf wire = BUF_INIT(OP_BYTES_MAX);
	struct fault f = { 0 };
	struct op op = upsert_of(&r, "m", 1, 1).body;

	in.body.config.multi_writer = true;
	write_well(&r, in);
	struct collection *c = catalog_get(r.catalog, STR("m"));
	op.kind = OP_UPSERT;
	op.scope = SCOPE_MULTI;
	op.region = 2;
	op.epoch = UINT64_C(1) << 63 | (uint64_t)REGION_WALL_MS << 8 | 2;
	op.seq = 1;
	op.hlc = (uint64_t)REGION_WALL_MS << 16;
	op.incarnation = collection_incarnation(c);
	collection_unref(c);
	ck_assert_int_eq(op_encode(&op, OP_FORM_WIRE, &wire), ERR_NONE);
	struct bytes ops[1] = { buf_bytes(&wire) };
	struct remote_batch b = { .ops = ops, .count = 1, .scope = SCOPE_MULTI, .chain_hash = op_chain_hash(0, ops[0]) };
	write_well(&r, drop);
	ck_assert_int_eq(committer_apply(r.committer, &b, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "not confirmed"));
	ck_assert_uint_eq(committer_log_seq(r.committer, op.epoch), 0);
	confirmed = region_state(&r).position;
	ck_assert_msg(!committer_apply(r.committer, &b, &f), "%s", f.text);
	ck_assert_uint_eq(committer_log_seq(r.committer, op.epoch), 1);
	buf_release(&wire);
}
END_TEST

START_TEST(epochs_are_taken_back_with_what_was_written_in_them)
{
	struct picture p = picture();
	struct position end;
	struct fault f = { 0 };

	ck_assert_int_eq(committer_release(r.committer, 2, &end, &f), ERR_NONE);
	struct picture released = picture();
	region_begin(&r);
	write_well(&r, upsert_of(&r, "c", 100, 3));
	region_begin(&r);
	write_well(&r, upsert_of(&r, "c", 1, 3));
	(void)rewind_to(released.position);
	struct picture now = picture();
	check_same(&released, &now);
	ck_assert(now.released);
	(void)rewind_to(p.position);
	now = picture();
	check_same(&p, &now);
	restart();
	now = picture();
	check_same(&p, &now);
}
END_TEST

START_TEST(everything_is_taken_back_to_the_empty_region)
{
	(void)rewind_to((struct position){ 0 });
	ck_assert_uint_eq(region_state(&r).epoch, 0);
	ck_assert_uint_eq(region_state(&r).log_ops, 0);
	restart();
	ck_assert_uint_eq(region_state(&r).position.epoch, 0);
	ck_assert_ptr_null(catalog_get(r.catalog, STR("c")));
	ck_assert_uint_eq(undo_total(), 0);
}
END_TEST

START_TEST(who_walks_back_writes_no_more_in_that_epoch)
{
	struct position to = region_state(&r).position;

	write_well(&r, upsert_of(&r, "c", 100, 1));
	(void)rewind_to(to);
	struct region_write *w = try_write(&r, upsert_of(&r, "c", 100, 1));
	ck_assert_int_eq(w->w.err, ERR_NO_PRIMARY);
	ck_assert(!region_state(&r).writing);
}
END_TEST

/* --- for another history --- */

/* The history of a region at `end` whose chain ends with this one's first epoch at seq `last`. */
static enum err make_way(uint64_t epoch, uint64_t last, struct rewind *w, struct fault *f)
{
	struct epoch_end link = { region_state(&r).epoch, last };
	struct history other = { 0 };

	ck_assert_int_eq(history_set(&other, &link, 1, epoch), ERR_NONE);
	*f = (struct fault){ 0 };
	w->history = &other;
	w->end = (struct position){ epoch, 1 };
	enum err err = committer_rewind(r.committer, w, f);
	w->history = NULL;
	history_release(&other);
	return err;
}

START_TEST(ops_make_way_for_a_newer_history_only)
{
	uint64_t epoch = region_state(&r).epoch;
	struct position to = region_state(&r).position;
	struct history own = { 0 };
	struct rewind w = { 0 };
	struct fault f = { 0 };

	write_well(&r, upsert_of(&r, "c", 100, 1));
	struct picture p = picture();
	/* The same one, of a region that is behind. */
	ck_assert_int_eq(history_set(&own, NULL, 0, epoch), ERR_NONE);
	w = (struct rewind){ .history = &own, .end = to };
	ck_assert_int_eq(committer_rewind(r.committer, &w, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "not newer"));
	history_release(&own);
	/* A newer one, but older than what is promised. */
	struct promise promise = { .epoch = epoch + 2 * 256, .record = { .data = (const uint8_t *)"v", .len = 1 } };
	ck_assert_int_eq(committer_promise(r.committer, &promise, NULL), ERR_NONE);
	w = (struct rewind){ 0 };
	ck_assert_int_eq(make_way(epoch + 256, to.seq, &w, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "promised"));
	struct picture now = picture();
	check_same(&p, &now);
	ck_assert_int_eq(make_way(epoch + 2 * 256, to.seq, &w, &f), ERR_NONE);
	ck_assert_int_eq(position_compare(w.to, to), 0);
	ck_assert_uint_eq(w.orphans, 1);
	ck_assert_int_eq(position_compare(region_state(&r).position, to), 0);
}
END_TEST

START_TEST(a_history_that_has_all_ops_takes_none_back)
{
	struct position here = region_state(&r).position;
	struct rewind w = { 0 };
	struct fault f;

	ck_assert_int_eq(make_way(here.epoch + 256, here.seq + 7, &w, &f), ERR_NONE);
	ck_assert_uint_eq(w.ops, 0);
	ck_assert_int_eq(position_compare(w.to, here), 0);
	ck_assert(region_state(&r).writing);
}
END_TEST

START_TEST(after_making_way_nothing_older_comes_again_but_as_history)
{
	struct position to = region_state(&r).position;
	uint64_t newer = to.epoch + 256 + 1;
	struct rewind w = { 0 };
	struct fault f = { 0 };

	write_well(&r, upsert_of(&r, "c", 100, 1));
	struct log_part log = read_log_after(&r, to, 1);
	struct picture p = picture();
	ck_assert_int_eq(make_way(newer, to.seq, &w, &f), ERR_NONE);
	ck_assert_uint_eq(orphan_total(), 1);
	ck_assert_uint_eq(region_state(&r).promised, newer);
	restart();
	ck_assert_uint_eq(region_state(&r).promised, newer);
	ck_assert_int_eq(apply_part(&r, &log, 0, 1, &f), ERR_UNAVAILABLE);
	ck_assert_int_eq(position_compare(region_state(&r).position, to), 0);
	/* A still newer history has it: it is no orphan any more. */
	struct remote_batch b = { .ops = log.ops,
				  .count = 1,
				  .scope = SCOPE_FLEET,
				  .chain_hash = log.hashes[0],
				  .history_epoch = newer + 256 };
	f = (struct fault){ 0 };
	ck_assert_msg(!committer_apply(r.committer, &b, &f), "%s", f.text);
	ck_assert_uint_eq(orphan_total(), 0);
	struct picture now = picture();
	check_same(&p, &now);
}
END_TEST

/* --- confirmed --- */

START_TEST(what_was_confirmed_once_stays_so_after_a_restart)
{
	struct fault f;
	struct position before = region_state(&r).position;

	confirmed = before;
	write_well(&r, move_of(2, 3.0F));
	confirmed = (struct position){ 0 };
	restart();
	ck_assert_int_eq(try_rewind((struct position){ before.epoch, before.seq - 1 }, &f), ERR_FORK);
	ck_assert_ptr_nonnull(strstr(f.text, "confirmed"));
	(void)rewind_to(before);
}
END_TEST

/* Its ops left no records. */
START_TEST(what_a_region_wrote_alone_is_never_taken_back)
{
	struct fault f;

	r.options.undo = false;
	restart();
	region_begin(&r);
	struct position alone = region_state(&r).position;
	r.options.undo = true;
	restart();
	region_begin(&r);
	write_well(&r, move_of(2, 3.0F));
	ck_assert_int_eq(try_rewind((struct position){ 0 }, &f), ERR_FORK);
	(void)rewind_to(alone);
}
END_TEST

START_TEST(records_go_when_their_ops_are_confirmed)
{
	change_much();
	ck_assert_uint_gt(undo_total(), 3);
	confirmed = region_state(&r).position;
	write_well(&r, upsert_of(&r, "c", 900, 1));
	ck_assert_uint_eq(undo_total(), 0);
	write_well(&r, move_of(2, 3.0F));
	ck_assert_uint_eq(undo_total(), 1);
}
END_TEST

START_TEST(alone_no_record_is_written)
{
	region_release(&r);
	region_init(&r, 1);
	region_open(&r);
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 20));
	change_much();
	ck_assert_uint_eq(undo_total(), 0);
}
END_TEST

/* The greatest number of a slot that a row has. */
static uint32_t greatest_slot(const char *name)
{
	CLEANUP(arena_release) struct arena a;
	struct collection *c = catalog_get(r.catalog, (struct str){ name, strlen(name) });
	struct store_txn *t;
	uint32_t greatest = 0;

	arena_init(&a, SIZE_MAX);
	ck_assert_int_eq(r.store->ops->begin(r.store, false, &t), ERR_NONE);
	for (uint64_t id = 1; id <= 20; id++) {
		struct row row;
		ck_assert_int_eq(collection_row_load(c, t, id_of(id), &a, &row), ERR_NONE);
		greatest = MAX(greatest, row.vectors[0].slot);
	}
	r.store->ops->abort(t);
	collection_unref(c);
	return greatest;
}

/* The log is trimmed as far as it may be all the time: a vector that an unconfirmed op replaced has no op left. */
START_TEST(a_replaced_vector_is_kept_while_its_successor_is_not_confirmed)
{
	region_release(&r);
	region_init(&r, 1);
	r.options.undo = true;
	r.options.trim_floor = floor_of;
	r.options.log_bytes_max = 1;
	region_open(&r);
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 20));
	confirmed = region_state(&r).position;
	write_well(&r, upsert_of(&r, "c", 50, 1));
	write_well(&r, upsert_of(&r, "c", 51, 1));
	confirmed = region_state(&r).position;
	for (uint64_t i = 60; i < 64; i++)
		write_well(&r, upsert_of(&r, "c", i, 1));
	struct picture p = picture();
	struct record before = find_point(&r, "c", 7);
	for (uint32_t i = 0; i < 40; i++)
		write_well(&r, move_of(7, (float)i));
	restart();
	region_begin(&r);
	for (uint32_t i = 0; i < 40; i++)
		write_well(&r, move_of(7 + i % 3, (float)i));
	(void)rewind_to(p.position);
	struct record after = find_point(&r, "c", 7);
	ck_assert_mem_eq(after.vectors[0].vector.values, before.vectors[0].vector.values, 4 * sizeof(float));
	for (unsigned k = 0; k < 2; k++) {
		struct picture now = picture();
		ck_assert_mem_eq(p.roots, now.roots, sizeof(p.roots));
		restart();
	}
}
END_TEST

/* Confirmed or taken back, the slots come free: the collection does not grow. */
START_TEST(slots_come_back)
{
	confirmed = region_state(&r).position;
	r.options.log_bytes_max = 1;
	restart();
	region_begin(&r);
	uint32_t begun = 0;
	for (uint32_t round = 0; round < 60; round++) {
		struct position to = region_state(&r).position;
		for (uint32_t i = 0; i < 30; i++)
			write_well(&r, move_of(1 + i % 20, (float)(round + i)));
		if (round % 2 == 0) {
			(void)rewind_to(to);
			region_begin(&r);
		}
		confirmed = region_state(&r).position;
		uint32_t slot = greatest_slot("c");
		if (round <= 3)
			begun = MAX(begun, slot);
		ck_assert_uint_le(slot, begun + 20);
	}
}
END_TEST

/* --- settled rows --- */

/* The row as it is, to be settled later. */
static struct settle settle_of(uint64_t id)
{
	struct collection *c = catalog_get(r.catalog, STR("c"));
	struct settle_row *row = region_alloc(&r, sizeof(*row));
	struct settle s = { .incarnation = collection_incarnation(c), .rows = row, .row_count = 1 };
	struct store_txn *t;

	ck_assert_int_eq(r.store->ops->begin(r.store, false, &t), ERR_NONE);
	ck_assert_int_eq(committer_read_place(r.store, t, &s.at, &s.chain_hash), ERR_NONE);
	*row = (struct settle_row){ .id = id_of(id), .present = true };
	ck_assert_int_eq(collection_row_load(c, t, row->id, &r.arena, &row->row), ERR_NONE);
	for (uint32_t i = 0; i < row->row.vector_count; i++) {
		struct vector *v = &row->row.vectors[i].vector;
		float *copy = region_alloc(&r, v->count * sizeof(*copy));
		memcpy(copy, v->values, v->count * sizeof(*copy));
		v->values = copy;
		row->row.vectors[i].slot = SLOT_NONE;
	}
	r.store->ops->abort(t);
	collection_unref(c);
	return s;
}

static uint32_t settle_now(struct settle s)
{
	struct fault f = { 0 };

	ck_assert_msg(!committer_settle(r.committer, &s, &f), "%s", f.text);
	check_trees();
	return s.rows_changed;
}

enum damage { DAMAGED_FIELD, DAMAGED_GONE, DAMAGED_VECTOR, DAMAGES };

static void damage(enum damage kind, uint64_t id)
{
	struct collection *c = catalog_get(r.catalog, STR("c"));
	struct fault f = { 0 };
	struct store_txn *t;
	struct row row;
	struct value other;

	ck_assert_int_eq(r.store->ops->begin(r.store, true, &t), ERR_NONE);
	ck_assert_int_eq(collection_row_load(c, t, id_of(id), &r.arena, &row), ERR_NONE);
	if (kind == DAMAGED_GONE) {
		ck_assert_int_eq(collection_row_remove(c, t, id_of(id)), ERR_NONE);
	} else if (kind == DAMAGED_VECTOR) {
		((float *)(uintptr_t)row.vectors[0].vector.values)[1] += 1.0F;
	} else {
		ck_assert(value_get(payload_of(&r, "n", 31337), STR("n"), &other));
		row.fields[0].value = other;
		ck_assert_int_eq(collection_row_store(c, t, &row, &f), ERR_NONE);
	}
	ck_assert_int_eq(r.store->ops->commit(t, &f), ERR_NONE);
	catalog_publish(r.catalog);
	collection_unref(c);
}

/* A slot that was freed twice would be two points', sooner or later. */
static void check_slots(uint64_t upto)
{
	CLEANUP(arena_release) struct arena a;
	struct collection *c = catalog_get(r.catalog, STR("c"));
	bool taken[2][1024] = { 0 };
	struct store_txn *t;

	arena_init(&a, SIZE_MAX);
	ck_assert_int_eq(r.store->ops->begin(r.store, false, &t), ERR_NONE);
	for (uint64_t id = 1; id <= upto; id++) {
		struct row row;
		bool *shard = taken[collection_shard_of(c, id_of(id))];
		if (collection_row_load(c, t, id_of(id), &a, &row) || row.vector_count == 0)
			continue;
		ck_assert_uint_lt(row.vectors[0].slot, 1024);
		ck_assert(!shard[row.vectors[0].slot]);
		ck_assert_uint_eq(vector_hash(&row.vectors[0].vector), row.vectors[0].hash);
		shard[row.vectors[0].slot] = true;
	}
	r.store->ops->abort(t);
	collection_unref(c);
}

enum change { CHANGE_PAYLOAD, CHANGE_VECTOR, CHANGE_DELETE, CHANGES };

static void change(enum change kind, uint64_t id)
{
	if (kind == CHANGE_PAYLOAD)
		write_well(&r, set_payload_of(&r, "c", id, "k", 5));
	else if (kind == CHANGE_VECTOR)
		write_well(&r, move_of(id, 9.0F));
	else
		write_well(&r, ids_intent(&r, OP_DELETE, "c", &id, 1));
}

/* The record names the row as the op found it. */
START_TEST(a_row_settled_after_an_op_is_as_the_op_found_it_when_that_is_taken_back)
{
	enum damage kind = (enum damage)(_i % DAMAGES);
	enum change by = (enum change)(_i / DAMAGES);

	if (kind == DAMAGED_GONE && by != CHANGE_VECTOR)
		return; /* what is not there cannot be changed by it */
	struct picture p = picture();
	struct settle right = settle_of(7);
	damage(kind, 7);
	struct picture damaged = picture();
	change(by, 7);
	(void)settle_now(right);
	write_well(&r, move_of(7, 3.0F));
	(void)settle_now(right);
	(void)rewind_to(p.position);
	struct picture now = picture();
	if (kind != DAMAGED_VECTOR)
		ck_assert_mem_eq(now.roots, damaged.roots, sizeof(now.roots));
	else if (by != CHANGE_PAYLOAD)
		ck_assert_mem_ne(now.roots, p.roots, sizeof(now.roots)); /* without it, for all to see */
	/* The next audit. */
	(void)settle_now(right);
	now = picture();
	check_same(&p, &now);
	check_slots(20);
	region_begin(&r);
	for (uint32_t i = 0; i < 200; i++)
		write_well(&r, move_of(1 + i % 40, (float)i));
	check_slots(40);
	(void)rewind_to((struct position){ p.position.epoch, p.position.seq - 1 });
	ck_assert(!find_point(&r, "c", 7).found);
}
END_TEST

/* The op that wrote the vector is trimmed, and its slot another point's, as the settled row has its own. */
START_TEST(a_settled_vector_is_not_replaced_by_what_its_old_slot_has_meanwhile)
{
	region_release(&r);
	region_init(&r, 1);
	r.options.undo = true;
	r.options.trim_floor = floor_of;
	r.options.log_bytes_max = 1;
	confirmed = (struct position){ 0 };
	region_open(&r);
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 20));
	write_well(&r, upsert_of(&r, "c", 50, 1));
	write_well(&r, upsert_of(&r, "c", 51, 1));
	struct picture p = picture();
	struct settle right = settle_of(7);
	damage(DAMAGED_VECTOR, 7);
	change(CHANGE_PAYLOAD, 7);
	ck_assert_uint_eq(settle_now(right), 1);
	confirmed = p.position;
	for (uint64_t i = 100; i < 160; i++)
		write_well(&r, upsert_of(&r, "c", i, 1));
	check_slots(160);
	(void)rewind_to(p.position);
	struct picture now = picture();
	ck_assert_mem_eq(now.roots, p.roots, sizeof(now.roots));
	struct record back = find_point(&r, "c", 7);
	ck_assert_mem_eq(back.vectors[0].vector.values, right.rows[0].row.vectors[0].vector.values, 4 * sizeof(float));
	check_slots(160);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("commit_undo");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, what_is_confirmed_is_never_taken_back);
	tcase_add_test(t, there_is_no_way_to_where_the_region_never_stood);
	tcase_add_test(t, a_full_orphan_store_stops_the_walk_at_a_valid_position);
	tcase_add_test(t, new_points_go_and_leave_no_record_while_they_are_there);
	tcase_add_test(t, whatever_was_done_to_points_is_taken_back);
	tcase_add_test(t, each_position_on_the_way_is_one_that_was);
	tcase_add_test(t, after_a_restart_it_is_taken_back_just_as_well);
	tcase_add_test(t, more_than_one_transaction_can_hold_is_taken_back);
	tcase_add_test(t, a_request_that_replaces_more_than_one_record_holds_is_written_and_taken_back);
	tcase_add_test(t, a_collection_whose_creation_was_taken_back_can_be_created_again);
	tcase_add_test(t, a_collection_with_files_whose_creation_was_taken_back_can_be_created_again);
	tcase_add_test(t, a_collection_that_is_still_being_read_is_created_again_once_it_is_not);
	tcase_add_test(t, the_ops_are_kept_as_orphans_in_order_and_as_they_were);
	tcase_add_test(t, what_was_taken_back_can_be_applied_again);
	tcase_add_test(t, what_an_op_left_unchanged_stays);
	tcase_add_test(t, changes_of_collections_are_taken_back);
	tcase_add_test(t, a_dropped_collection_comes_back_with_its_points);
	tcase_add_test(t, a_dropped_collection_comes_back_after_a_restart);
	tcase_add_test(t, ops_into_a_dropped_collection_wait_until_the_drop_is_confirmed);
	tcase_add_test(t, epochs_are_taken_back_with_what_was_written_in_them);
	tcase_add_test(t, everything_is_taken_back_to_the_empty_region);
	tcase_add_test(t, who_walks_back_writes_no_more_in_that_epoch);
	tcase_add_test(t, ops_make_way_for_a_newer_history_only);
	tcase_add_test(t, a_history_that_has_all_ops_takes_none_back);
	tcase_add_test(t, after_making_way_nothing_older_comes_again_but_as_history);
	tcase_add_test(t, what_was_confirmed_once_stays_so_after_a_restart);
	tcase_add_test(t, what_a_region_wrote_alone_is_never_taken_back);
	tcase_add_test(t, records_go_when_their_ops_are_confirmed);
	tcase_add_test(t, alone_no_record_is_written);
	tcase_add_test(t, a_replaced_vector_is_kept_while_its_successor_is_not_confirmed);
	tcase_add_test(t, slots_come_back);
	tcase_add_loop_test(t, a_row_settled_after_an_op_is_as_the_op_found_it_when_that_is_taken_back, 0,
			    DAMAGES * CHANGES);
	tcase_add_test(t, a_settled_vector_is_not_replaced_by_what_its_old_slot_has_meanwhile);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
