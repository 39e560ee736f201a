/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The op log: order, bounds, damage, trimming. (Slots through a whole region: test_commit.)
 */
#include "tests/replicator/region.h"

#define E1 0x101
#define E2 0x202

static struct region r;
static struct fault fault;

static void set_up(void)
{
	region_init(&r, 1);
	region_open(&r);
	fault = (struct fault){ 0 };
}

static void tear_down(void)
{
	region_release(&r);
}

static struct store_txn *begin(bool write)
{
	struct store_txn *t;
	ck_assert_int_eq(r.store->ops->begin(r.store, write, &t), ERR_NONE);
	return t;
}

static void commit(struct store_txn *t)
{
	ck_assert_int_eq(r.store->ops->commit(t, &fault), ERR_NONE);
}

/* A mark with that number, as op (epoch, seq) of the scope; its running hash is 1000 + number. */
static uint64_t append(uint16_t scope, uint64_t epoch, uint64_t seq, uint64_t number)
{
	struct op op = { .kind = OP_MARK,
			 .scope = scope,
			 .epoch = epoch,
			 .seq = seq,
			 .hlc = 5,
			 .region = 1,
			 .mark = number };
	struct store_txn *t = begin(true);
	uint64_t bytes = 0;

	ck_assert_int_eq(oplog_append(r.store, t, &op, 1000 + number, &bytes), ERR_NONE);
	commit(t);
	ck_assert_uint_gt(bytes, 30);
	return bytes;
}

static void append_some(void)
{
	for (uint64_t i = 1; i <= 3; i++)
		(void)append(0, E1, i, i);
	for (uint64_t i = 1; i <= 2; i++)
		(void)append(0, E2, i, 3 + i);
	(void)append(1, E1, 9, 99);
}

START_TEST(empty_log_has_no_bounds)
{
	struct position oldest;
	struct position newest;
	struct oplog_entry e;
	struct store_txn *t = begin(false);

	ck_assert_int_eq(oplog_bounds(r.store, t, 0, &oldest, &newest), ERR_NOT_FOUND);
	ck_assert_int_eq(oplog_next(r.store, t, 0, (struct position){ 0 }, &r.arena, &e, &fault),
			 ERR_NOT_FOUND);
	ck_assert_int_eq(oplog_get(r.store, t, 0, (struct position){ E1, 1 }, &r.arena, &e, &fault),
			 ERR_NOT_FOUND);
	ck_assert_str_ne(fault.text, "");
	r.store->ops->abort(t);
}
END_TEST

START_TEST(every_changed_byte_of_a_record_is_noticed)
{
	static const uint8_t key_bytes[18] = { [8] = E1 >> 8, [9] = E1 & 0xff, [17] = 1 };
	struct bytes key = { .data = key_bytes, .len = sizeof(key_bytes) };
	struct bytes value;
	uint8_t copy[200];

	(void)append(0, E1, 1, 1);
	struct store_txn *t = begin(true);
	ck_assert_int_eq(r.store->ops->get(t, STORE_LOG, key, &value), ERR_NONE);
	size_t len = value.len;
	ck_assert_uint_le(len, sizeof(copy));
	memcpy(copy, value.data, len);
	for (size_t i = 0; i < len; i++) {
		struct oplog_entry e;
		copy[i] ^= 0x10;
		ck_assert_int_eq(r.store->ops->put(t, STORE_LOG, key,
						   (struct bytes){ .data = copy, .len = len }),
				 ERR_NONE);
		enum err err =
			oplog_get(r.store, t, 0, (struct position){ E1, 1 }, &r.arena, &e, &fault);
		ck_assert_msg(err == (i == 0 ? ERR_VERSION : ERR_CORRUPT), "byte %zu: %s", i,
			      err_name(err));
		copy[i] ^= 0x10;
	}
	/* A good record at another's place. */
	uint8_t other[18];
	memcpy(other, key_bytes, sizeof(other));
	other[17] = 2;
	struct oplog_entry e;
	key.data = other;
	ck_assert_int_eq(
		r.store->ops->put(t, STORE_LOG, key, (struct bytes){ .data = copy, .len = len }),
		ERR_NONE);
	ck_assert_int_eq(oplog_get(r.store, t, 0, (struct position){ E1, 2 }, &r.arena, &e, &fault),
			 ERR_CORRUPT);
	r.store->ops->abort(t);
}
END_TEST

START_TEST(damaged_record_stops_the_start)
{
	struct store_txn *t = begin(true);
	static const uint8_t key_bytes[18] = { [17] = 1 };
	static const uint8_t junk[40] = { 1 };
	struct oplog_size sizes[SCOPES_MAX];

	ck_assert_int_eq(r.store->ops->put(t, STORE_LOG,
					   (struct bytes){ .data = key_bytes, .len = 18 },
					   (struct bytes){ .data = junk, .len = 40 }),
			 ERR_NONE);
	commit(t);
	ck_assert_int_eq(oplog_mark_slots(r.store, r.catalog, sizes, &fault), ERR_CORRUPT);
}
END_TEST

START_TEST(record_has_the_documented_bytes)
{
	static const uint8_t expected[] = {
		1,    0xe9, 0x03, 0, 0, 0, 0, 0, 0, /* version, running hash 1001 */
		1,    3,    0,    0,                /* the op: version, mark, scope */
		0x01, 0x01, 0,    0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, /* epoch, seq */
		5,    0,    0,    0, 0, 0, 0, 0, 1,                      /* HLC, region */
		1,    0,    0,    0, 0, 0, 0, 0                          /* the mark's number */
	};
	struct store_cursor *c;
	struct bytes key;
	struct bytes value;

	ck_assert_uint_eq(append(0, E1, 1, 1), sizeof(expected) + 8);
	struct store_txn *t = begin(false);
	ck_assert_int_eq(r.store->ops->cursor_open(t, STORE_LOG, &c), ERR_NONE);
	ck_assert_int_eq(r.store->ops->next(c, &key, &value), ERR_NONE);
	ck_assert_uint_eq(key.len, 18);
	ck_assert_uint_eq(value.len, sizeof(expected) + 8);
	ck_assert_int_eq(memcmp(value.data, expected, sizeof(expected)), 0);
	r.store->ops->cursor_close(c);
	r.store->ops->abort(t);
}
END_TEST

START_TEST(ops_follow_one_another_over_epochs_and_stay_in_their_scope)
{
	static const struct {
		struct position after;
		struct position next; /* {0, 0}: none */
	} cases[] = {
		{ { 0, 0 }, { E1, 1 } },  { { E1, 1 }, { E1, 2 } },
		{ { E1, 3 }, { E2, 1 } }, { { E1, 77 }, { E2, 1 } },
		{ { E2, 2 }, { 0, 0 } },  { { E1, UINT64_MAX }, { E2, 1 } },
	};
	append_some();
	struct store_txn *t = begin(false);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct oplog_entry e;
		enum err err = oplog_next(r.store, t, 0, cases[i].after, &r.arena, &e, &fault);
		if (cases[i].next.epoch == 0) {
			ck_assert_msg(err == ERR_NOT_FOUND, "row %zu", i);
			continue;
		}
		ck_assert_msg(!err && e.op.epoch == cases[i].next.epoch &&
				      e.op.seq == cases[i].next.seq,
			      "row %zu", i);
		ck_assert_uint_eq(e.chain_hash, 1000 + e.op.mark);
	}
	r.store->ops->abort(t);
}
END_TEST

START_TEST(bounds_are_those_of_the_scope)
{
	struct position oldest;
	struct position newest;

	append_some();
	struct store_txn *t = begin(false);
	ck_assert_int_eq(oplog_bounds(r.store, t, 0, &oldest, &newest), ERR_NONE);
	ck_assert_int_eq(position_compare(oldest, (struct position){ E1, 1 }), 0);
	ck_assert_int_eq(position_compare(newest, (struct position){ E2, 2 }), 0);
	ck_assert_int_eq(oplog_bounds(r.store, t, 1, &oldest, &newest), ERR_NONE);
	ck_assert_int_eq(position_compare(oldest, newest), 0);
	ck_assert_uint_eq(oldest.seq, 9);
	ck_assert_int_eq(oplog_bounds(r.store, t, 2, &oldest, &newest), ERR_NOT_FOUND);
	r.store->ops->abort(t);
}
END_TEST

START_TEST(scan_sums_up_the_log)
{
	uint64_t sum = append(0, E1, 1, 1);
	struct oplog_size sizes[SCOPES_MAX] = { 0 };

	sum += append(0, E1, 2, 2);
	ck_assert_int_eq(oplog_mark_slots(r.store, r.catalog, sizes, &fault), ERR_NONE);
	ck_assert_uint_eq(sizes[0].ops, 2);
	ck_assert_uint_eq(sizes[0].bytes, sum);
}
END_TEST

START_TEST(trimming_ends_at_the_first_of_its_three_bounds)
{
	static const struct {
		const char *name;
		struct position upto;
		uint32_t ops_max;
		uint64_t bytes_enough;
		uint32_t removed;
	} cases[] = {
		{ "nothing may go", { 0, 0 }, 100, UINT64_MAX, 0 },
		{ "up to a position", { E1, 2 }, 100, UINT64_MAX, 2 },
		{ "over the end of an epoch", { E2, 1 }, 100, UINT64_MAX, 4 },
		{ "some ops", { E2, 2 }, 3, UINT64_MAX, 3 },
		{ "some bytes", { E2, 2 }, 100, 60, 2 },
		{ "everything", { UINT64_MAX, 0 }, 100, UINT64_MAX, 5 },
	};
	append_some();
	for (size_t i = 0; i < LEN(cases); i++) {
		struct store_txn *t = begin(true);
		struct oplog_trimming trimming = { .upto = cases[i].upto,
						   .ops_max = cases[i].ops_max,
						   .bytes_enough = cases[i].bytes_enough };
		ck_assert_int_eq(oplog_trim(r.store, t, r.catalog, &r.arena, &trimming, &fault),
				 ERR_NONE);
		ck_assert_msg(trimming.ops == cases[i].removed, "%s: %u", cases[i].name,
			      trimming.ops);
		ck_assert_uint_eq(trimming.slot_count, 0);
		struct position oldest;
		struct position newest;
		ck_assert_int_eq(oplog_bounds(r.store, t, 1, &oldest, &newest), ERR_NONE);
		r.store->ops->abort(t);
	}
}
END_TEST

/* Two upserts of one point: the first one's slot is the log's only, the second one's is the row's too. */
START_TEST(trimming_tells_the_slots_that_no_row_holds)
{
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 1));
	write_well(&r, upsert_of(&r, "c", 1, 1));
	struct store_txn *t = begin(true);
	struct oplog_trimming trimming = { .upto = region_state(&r).position,
					   .ops_max = 100,
					   .bytes_enough = UINT64_MAX };
	ck_assert_int_eq(oplog_trim(r.store, t, r.catalog, &r.arena, &trimming, &fault), ERR_NONE);
	ck_assert_uint_eq(trimming.ops, 4);
	ck_assert_uint_eq(trimming.slot_count, 1);
	ck_assert_uint_eq(trimming.slots[0].slot, 0);
	ck_assert_uint_eq(trimming.slots[0].vector_name.len, 0);
	r.store->ops->abort(t);
}
END_TEST

START_TEST(op_of_a_dropped_collection_can_be_filled_until_it_is_released)
{
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 1));
	struct position p = region_state(&r).position;
	write_well(&r, (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("c") });
	struct store_txn *t = begin(false);
	struct oplog_entry e;
	ck_assert_int_eq(oplog_get(r.store, t, 0, p, &r.arena, &e, &fault), ERR_NONE);
	r.store->ops->abort(t);
	ck_assert_ptr_null(e.op.points[0].vectors[0].vector.values);
	ck_assert_int_eq(oplog_fill(r.catalog, &e.op, &r.arena), ERR_NONE);
	ck_assert_double_eq(e.op.points[0].vectors[0].vector.values[2], 2.0);
	catalog_release_dropped(r.catalog, e.op.incarnation);
	ck_assert_int_eq(oplog_fill(r.catalog, &e.op, &r.arena), ERR_NOT_FOUND);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("oplog");
	TCase *refused = tcase_create("refused");
	tcase_add_checked_fixture(refused, set_up, tear_down);
	tcase_add_test(refused, empty_log_has_no_bounds);
	tcase_add_test(refused, every_changed_byte_of_a_record_is_noticed);
	tcase_add_test(refused, damaged_record_stops_the_start);
	tcase_add_test(refused, op_of_a_dropped_collection_can_be_filled_until_it_is_released);
	suite_add_tcase(s, refused);

	TCase *ordinary = tcase_create("ordinary");
	tcase_add_checked_fixture(ordinary, set_up, tear_down);
	tcase_add_test(ordinary, record_has_the_documented_bytes);
	tcase_add_test(ordinary, ops_follow_one_another_over_epochs_and_stay_in_their_scope);
	tcase_add_test(ordinary, bounds_are_those_of_the_scope);
	tcase_add_test(ordinary, scan_sums_up_the_log);
	tcase_add_test(ordinary, trimming_ends_at_the_first_of_its_three_bounds);
	tcase_add_test(ordinary, trimming_tells_the_slots_that_no_row_holds);
	suite_add_tcase(s, ordinary);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
