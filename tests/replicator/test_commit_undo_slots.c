/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Undo records cost slots and space only until their op is confirmed, and know what was settled meanwhile.
 */
#include "tests/replicator/undo_bed.h"

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
	Suite *s = suite_create("commit_undo_slots");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
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
