/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking back: whatever a region did beyond a position, taking it back leaves what was there, to the byte.
 */
#include "tests/replicator/undo_bed.h"

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
