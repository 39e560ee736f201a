/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settling: rows of a sound region, read at some position, in a region at another one.
 */
#include "tests/index/random.h"
#include "tests/replicator/region.h"

static struct region a, b; /* b follows a */

static void follow(void)
{
	struct log_part part = read_log_after(&a, region_state(&b).position, 10000);
	struct fault f = { 0 };

	if (part.count > 0)
		ck_assert_msg(!apply_part(&b, &part, 0, part.count, &f), "%s", f.text);
}

static void set_up(void)
{
	region_init(&a, 1);
	region_open(&a);
	region_begin(&a);
	write_well(&a, create_of(&a, "c", DISTANCE_DOT));
	write_well(&a, upsert_of(&a, "c", 1, 50));
	region_init(&b, 2);
	region_open(&b);
	follow();
}

static void tear_down(void)
{
	region_release(&a);
	region_release(&b);
}

static struct collection *collection_of(struct region *r)
{
	struct collection *c = catalog_get(r->catalog, STR("c"));

	ck_assert_ptr_nonnull(c);
	return c;
}

/* The row as region `from` has it now. */
static struct settle settle_from(struct region *from, uint64_t id)
{
	struct collection *c = collection_of(from);
	struct settle_row *row = region_alloc(from, sizeof(*row));
	struct store_txn *t;
	struct settle s = { .incarnation = collection_incarnation(c), .rows = row, .row_count = 1 };

	ck_assert_int_eq(from->store->ops->begin(from->store, false, &t), ERR_NONE);
	ck_assert_int_eq(committer_read_place(from->store, t, &s.at, &s.chain_hash), ERR_NONE);
	row->id = id_of(id);
	enum err err = collection_row_load(c, t, row->id, &from->arena, &row->row);
	row->present = !err;
	for (uint32_t i = 0; row->present && i < row->row.vector_count; i++) {
		struct vector *v = &row->row.vectors[i].vector;
		float *copy = region_alloc(from, v->count * sizeof(*copy));
		memcpy(copy, v->values, v->count * sizeof(*copy));
		v->values = copy;
		row->row.vectors[i].slot = SLOT_NONE;
	}
	from->store->ops->abort(t);
	collection_unref(c);
	return s;
}

static void spoil(struct region *r, uint64_t id, bool remove)
{
	struct collection *c = collection_of(r);
	struct fault f = { 0 };
	struct store_txn *t;
	struct row row;
	struct value other;

	ck_assert_int_eq(r->store->ops->begin(r->store, true, &t), ERR_NONE);
	ck_assert_int_eq(collection_row_load(c, t, id_of(id), &r->arena, &row), ERR_NONE);
	ck_assert(value_get(payload_of(r, "n", 31337), STR("n"), &other));
	row.fields[0].value = other;
	if (remove)
		ck_assert_int_eq(collection_row_remove(c, t, id_of(id)), ERR_NONE);
	else
		ck_assert_int_eq(collection_row_store(c, t, &row, &f), ERR_NONE);
	ck_assert_int_eq(r->store->ops->commit(t, &f), ERR_NONE);
	catalog_publish(r->catalog);
	collection_unref(c);
}

static void check_equal(void)
{
	struct collection *ca = collection_of(&a);
	struct collection *cb = collection_of(&b);

	for (uint32_t s = 0; s < collection_shard_count(ca); s++) {
		struct hash128 x = merkle_root(collection_merkle(ca, s));
		struct hash128 y = merkle_root(collection_merkle(cb, s));
		ck_assert(x.lo == y.lo && x.hi == y.hi);
	}
	collection_unref(ca);
	collection_unref(cb);
}

START_TEST(rows_from_elsewhere_are_refused)
{
	struct settle s = settle_from(&a, 5);
	struct fault f = { 0 };
	struct settle bad = s;

	bad.incarnation.hlc++;
	ck_assert_int_eq(committer_settle(b.committer, &bad, &f), ERR_NOT_FOUND);
	bad = s;
	bad.chain_hash++;
	ck_assert_int_eq(committer_settle(b.committer, &bad, &f), ERR_FORK);
	bad = s;
	bad.at.seq += 5;
	ck_assert_int_eq(committer_settle(b.committer, &bad, &f), ERR_GAP);
	bad = s;
	bad.at.epoch = 3;
	ck_assert_int_eq(committer_settle(b.committer, &bad, &f), ERR_FORK);
	struct settle_row twice[] = { s.rows[0], s.rows[0] };
	bad = s;
	bad.rows = twice;
	bad.row_count = 2;
	ck_assert_int_eq(committer_settle(b.committer, &bad, &f), ERR_BAD_INPUT);
	ck_assert(!region_state(&b).failed);
	check_equal();
}
END_TEST

START_TEST(a_row_that_is_right_costs_no_commit)
{
	struct settle s = settle_from(&a, 5);
	struct fault f = { 0 };

	ck_assert_int_eq(committer_settle(b.committer, &s, &f), ERR_NONE);
	ck_assert_uint_eq(s.rows_changed, 0);
	ck_assert_uint_eq(s.leaves_changed, 0);
}
END_TEST

START_TEST(the_position_and_the_log_stay_as_they_are)
{
	struct committer_state before = region_state(&b);
	struct fault f = { 0 };

	spoil(&b, 5, false);
	struct settle s = settle_from(&a, 5);
	ck_assert_int_eq(committer_settle(b.committer, &s, &f), ERR_NONE);
	ck_assert_uint_eq(s.rows_changed, 1);
	struct committer_state after = region_state(&b);
	ck_assert_int_eq(position_compare(before.position, after.position), 0);
	ck_assert_uint_eq(before.chain_hash, after.chain_hash);
	ck_assert_uint_eq(before.log_ops, after.log_ops);
	ck_assert_uint_eq(before.op_number, after.op_number);
	check_equal();
	ck_assert_int_eq(payload_number(&b, "c", 5, "n"), 5);
	write_well(&a, upsert_of(&a, "c", 5, 1));
	follow();
	check_equal();
}
END_TEST

/* The row was read long ago: the ops since are applied to it again, in their order, with what they are. */
START_TEST(ops_since_the_reading_are_not_lost)
{
	struct random random = { 99 };
	struct fault f = { 0 };
	static const uint64_t id = 5;

	for (unsigned round = 0; round < 50; round++) {
		write_well(&a, upsert_of(&a, "c", id, 1));
		follow();
		spoil(&b, id, round % 2);
		struct settle s = settle_from(&a, id);
		for (uint64_t n = random_u64(&random) % 6; n > 0; n--) {
			switch (random_u64(&random) % 4) {
			case 0:
				write_well(&a, set_payload_of(&a, "c", id, "k", (int64_t)round));
				break;
			case 1:
				(void)try_write(&a, ids_intent(&a, OP_CLEAR_PAYLOAD, "c", &id, 1));
				break;
			case 2:
				write_well(&a, upsert_of(&a, "c", id - 1, 3));
				break;
			default:
				write_well(&a, upsert_of(&a, "c", 20, 2));
				break;
			}
		}
		follow();
		ck_assert_int_eq(committer_settle(b.committer, &s, &f), ERR_NONE);
		check_equal();
		struct record x = find_point(&a, "c", id);
		struct record y = find_point(&b, "c", id);
		ck_assert_uint_eq(x.version, y.version);
		ck_assert(x.payload.len == y.payload.len && memcmp(x.payload.data, y.payload.data, x.payload.len) == 0);
		ck_assert(vector_equal(&x.vectors[0].vector, &y.vectors[0].vector));
	}
}
END_TEST

START_TEST(a_row_that_was_deleted_since_stays_deleted)
{
	static const uint64_t id = 5;
	struct fault f = { 0 };

	spoil(&b, id, true);
	struct settle s = settle_from(&a, id);
	write_well(&a, ids_intent(&a, OP_DELETE, "c", &id, 1));
	follow();
	ck_assert_int_eq(committer_settle(b.committer, &s, &f), ERR_NONE);
	ck_assert(!find_point(&b, "c", id).found);
	check_equal();
}
END_TEST

/* An op beyond the end of the first epoch sets k of point 5. */
static struct orphan_id list_orphan(void)
{
	CLEANUP(buf_release) struct buf wire = BUF_INIT(1000);
	struct collection *c = collection_of(&a);
	struct point_id id = id_of(5);
	struct op op = { .kind = OP_SET_PAYLOAD, .epoch = region_state(&a).epoch, .seq = 1000, .hlc = region_state(&a).hlc + 1,
			 .region = 1, .incarnation = collection_incarnation(c), .ids = &id, .id_count = 1,
			 .payload = payload_of(&a, "k", 9) };
	struct fault f = { 0 };

	collection_unref(c);
	region_begin(&a);
	ck_assert_int_eq(op_encode(&op, OP_FORM_WIRE, &wire), ERR_NONE);
	struct offered_orphan item = { 3, buf_bytes(&wire) };
	struct orphan_offer offer = { .items = &item, .count = 1 };
	ck_assert_msg(!committer_list_orphans(a.committer, &offer, &f), "%s", f.text);
	return (struct orphan_id){ SCOPE_FLEET, { op.epoch, op.seq }, 3 };
}

START_TEST(an_orphan_that_was_applied_since_is_not_lost)
{
	struct orphan_verdict v = { .id = list_orphan(), .apply = true };
	struct orphan_decision d = { .items = &v, .count = 1 };
	struct settle s = settle_from(&a, 5);
	struct fault f = { 0 };

	ck_assert_int_eq(committer_decide_orphans(a.committer, &d, &f), ERR_NONE);
	ck_assert_uint_eq(d.done, 1);
	follow();
	check_equal();
	spoil(&b, 5, false);
	ck_assert_msg(!committer_settle(b.committer, &s, &f), "%s", f.text);
	ck_assert_uint_eq(s.rows_changed, 1);
	check_equal();
	ck_assert_int_eq(payload_number(&b, "c", 5, "n"), 5);
	ck_assert_int_eq(payload_number(&b, "c", 5, "k"), 9);
}
END_TEST

START_TEST(rows_that_are_not_there_are_removed)
{
	struct fault f = { 0 };

	/* a never had it. */
	write_well(&a, upsert_of(&a, "c", 80, 1));
	follow();
	spoil(&a, 80, true);
	struct settle s = settle_from(&a, 80);
	ck_assert(!s.rows[0].present);
	ck_assert_int_eq(committer_settle(b.committer, &s, &f), ERR_NONE);
	ck_assert_uint_eq(s.rows_changed, 1);
	ck_assert(!find_point(&b, "c", 80).found);
	check_equal();
}
END_TEST

START_TEST(leaves_are_counted_anew)
{
	struct collection *c = collection_of(&b);
	struct hash128 nonsense = { .lo = 1, .hi = 2 };
	uint32_t shard = collection_shard_of(c, id_of(5));
	struct settle_leaf leaves[] = { { shard, merkle_leaf_of(collection_merkle(c, shard), id_of(5)) },
					{ shard, 0 },
					{ 99, 0 } };
	struct settle s = { .incarnation = collection_incarnation(c), .leaves = leaves, .leaf_count = 3 };
	struct fault f = { 0 };

	merkle_change(collection_merkle(c, shard), id_of(5), &nonsense, NULL);
	ck_assert_int_eq(committer_settle(b.committer, &s, &f), ERR_NONE);
	ck_assert_uint_eq(s.leaves_changed, 1);
	check_equal();
	collection_unref(c);
}
END_TEST

/* Rows come back as they are on the disk, not as a half of it. */
START_TEST(what_was_settled_is_durable)
{
	struct fault f = { 0 };

	spoil(&b, 5, false);
	spoil(&b, 6, true);
	struct settle s = settle_from(&a, 5);
	ck_assert_int_eq(committer_settle(b.committer, &s, &f), ERR_NONE);
	s = settle_from(&a, 6);
	ck_assert_int_eq(committer_settle(b.committer, &s, &f), ERR_NONE);
	region_shut(&b);
	store_mem_crash(b.store);
	region_open(&b);
	check_equal();
	ck_assert_int_eq(payload_number(&b, "c", 6, "n"), 6);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("commit_settle");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, rows_from_elsewhere_are_refused);
	tcase_add_test(t, a_row_that_is_right_costs_no_commit);
	tcase_add_test(t, the_position_and_the_log_stay_as_they_are);
	tcase_add_test(t, ops_since_the_reading_are_not_lost);
	tcase_add_test(t, a_row_that_was_deleted_since_stays_deleted);
	tcase_add_test(t, an_orphan_that_was_applied_since_is_not_lost);
	tcase_add_test(t, rows_that_are_not_there_are_removed);
	tcase_add_test(t, leaves_are_counted_anew);
	tcase_add_test(t, what_was_settled_is_durable);
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
