/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The size of a point: counted alike in ops and rows, and bounded where a write comes in.
 */
#include "replicator/point_size.h"

#include "tests/replicator/region.h"

#include <stdio.h>

#define PART_BYTES 300000u /* two fit, three do not */

static struct region a, b;

static void set_up(void)
{
	region_init(&a, 1);
	region_open(&a);
	region_begin(&a);
	write_well(&a, create_of(&a, "c", DISTANCE_DOT));
	region_init(&b, 2);
	region_open(&b);
}

static void tear_down(void)
{
	region_release(&a);
	region_release(&b);
}

/* {"key": a text} */
static struct value payload_of_text(const char *key, size_t length)
{
	CLEANUP(buf_release) struct buf item = BUF_INIT(OP_BYTES_MAX);
	CLEANUP(buf_release) struct buf object = BUF_INIT(OP_BYTES_MAX);
	char *text = region_alloc(&a, length);

	memset(text, 'x', length);
	value_put_string(&item, (struct str){ .data = text, .len = length });
	struct value_member m = { .key = { .data = key, .len = strlen(key) }, .value = value_of_buf(&item) };
	ck_assert_int_eq(value_put_object(&object, &m, 1), ERR_NONE);
	uint8_t *copy = region_alloc(&a, object.len);
	memcpy(copy, object.data, object.len);
	return (struct value){ .data = copy, .len = (uint32_t)object.len };
}

/* The same, of that many bytes in all. */
static struct value payload_of_size(const char *key, size_t bytes)
{
	size_t length = bytes - 20;
	struct value v = payload_of_text(key, length);

	v = payload_of_text(key, length + bytes - v.len);
	ck_assert_uint_eq(v.len, bytes);
	return v;
}

static struct intent set_large(uint64_t id, const char *key, size_t bytes)
{
	struct intent in = ids_intent(&a, OP_SET_PAYLOAD, "c", &id, 1);
	in.body.payload = payload_of_size(key, bytes);
	return in;
}

static void load(struct region *r, uint64_t id, struct arena *arena, struct row *ret_row)
{
	struct collection *c = catalog_get(r->catalog, STR("c"));
	struct store_txn *t;

	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq(r->store->ops->begin(r->store, false, &t), ERR_NONE);
	ck_assert_int_eq(collection_row_load(c, t, id_of(id), arena, ret_row), ERR_NONE);
	r->store->ops->abort(t);
	collection_unref(c);
}

static size_t row_size(struct region *r, uint64_t id)
{
	struct row row;

	load(r, id, &r->arena, &row);
	return point_size_of_row(&row);
}

static void check_refused(struct intent in, uint64_t id)
{
	struct position before = region_state(&a).position;
	struct region_write *t = try_write(&a, in);
	char words[64];

	(void)snprintf(words, sizeof(words), "Point %llu would take", (unsigned long long)id);
	ck_assert_msg(t->w.err == ERR_TOO_LARGE, "%s: %s", err_name(t->w.err), t->w.fault.text);
	ck_assert_msg(strstr(t->w.fault.text, words), "%s", t->w.fault.text);
	ck_assert_msg(strstr(t->w.fault.text, "at most 786304 are possible"), "%s", t->w.fault.text);
	ck_assert_uint_eq(t->w.intents_done, 0);
	ck_assert_int_eq(position_compare(before, region_state(&a).position), 0);
}

/* --- counting --- */

START_TEST(row_that_one_op_wrote_is_as_large_as_its_point)
{
	struct intent in = upsert_of(&a, "c", 1, 1);
	struct op_vector both[2] = { in.body.points[0].vectors[0], sparse_of("sparse") };

	in.body.points[0].vectors = both;
	in.body.points[0].vector_count = 2;
	write_well(&a, in);
	ck_assert_uint_eq(row_size(&a, 1), point_size_of_op(&in.body.points[0]));
	in.body.points[0].payload = payload_of_size("a key", 1000);
	write_well(&a, in);
	ck_assert_uint_eq(row_size(&a, 1), point_size_of_op(&in.body.points[0]));
	ck_assert_uint_eq(row_size(&a, 1), 48 + 1000 + (16 + 4 * 4) + (16 + 6 + 8));
}
END_TEST

START_TEST(row_without_payload_and_vectors_has_a_size)
{
	const struct row nothing = { .id = id_of(1) };
	const struct op_point point = { .id = id_of(1) };

	ck_assert_uint_eq(point_size_of_row(&nothing), 48);
	ck_assert_uint_eq(point_size_of_op(&point), 48);
}
END_TEST

START_TEST(what_was_deleted_counts_by_its_name)
{
	static const uint64_t one = 1;
	static struct str key = STR("n");
	static struct str name = STR("sparse");

	write_well(&a, upsert_of(&a, "c", 1, 1));
	struct intent remove_key = ids_intent(&a, OP_DELETE_PAYLOAD, "c", &one, 1);
	remove_key.body.keys = &key;
	remove_key.body.key_count = 1;
	write_well(&a, remove_key);
	ck_assert_uint_eq(row_size(&a, 1), 48 + 5 + 1 + (1 + 1 + 1) + 16 + 16);
	struct intent remove_vector = ids_intent(&a, OP_DELETE_VECTORS, "c", &one, 1);
	remove_vector.body.keys = &name;
	remove_vector.body.key_count = 1;
	write_well(&a, remove_vector);
	ck_assert_uint_eq(row_size(&a, 1), 48 + 5 + 1 + (1 + 1 + 1) + 16 + 16 + 16 + 6);
}
END_TEST

/* --- the bound --- */

START_TEST(payload_that_grows_key_by_key_ends_at_the_bound)
{
	write_well(&a, upsert_of(&a, "c", 1, 1));
	write_well(&a, set_large(1, "k1", PART_BYTES));
	write_well(&a, set_large(1, "k2", PART_BYTES));
	size_t before = row_size(&a, 1);
	check_refused(set_large(1, "k3", PART_BYTES), 1);
	ck_assert_uint_eq(row_size(&a, 1), before);
	/* What is there is replaced, not added. */
	write_well(&a, set_large(1, "k2", PART_BYTES));
	ck_assert_uint_eq(row_size(&a, 1), before);
	/* To the very byte. */
	size_t left = POINT_BYTES_MAX - before + 6; /* the object's head is there */
	check_refused(set_large(1, "k3", left + 1), 1);
	write_well(&a, set_large(1, "k3", left));
	ck_assert_uint_eq(row_size(&a, 1), POINT_BYTES_MAX);
}
END_TEST

START_TEST(point_at_the_bound_is_freed_again_as_the_refusal_says)
{
	static const uint64_t one = 1;
	static struct str keys[] = { STR("k1"), STR("k2") };
	struct intent full = upsert_of(&a, "c", 1, 1);

	full.body.points[0].payload = payload_of_size("k1", POINT_BYTES_MAX - 48 - 16 - 16);
	write_well(&a, full);
	ck_assert_uint_eq(row_size(&a, 1), POINT_BYTES_MAX);
	struct intent remove_key = ids_intent(&a, OP_DELETE_PAYLOAD, "c", &one, 1);
	remove_key.body.keys = &keys[1];
	remove_key.body.key_count = 1;
	check_refused(remove_key, 1); /* the name of what was deleted has no room */
	remove_key.body.keys = &keys[0];
	write_well(&a, remove_key);
	ck_assert_uint_lt(row_size(&a, 1), 200);
	write_well(&a, full);
	write_well(&a, ids_intent(&a, OP_CLEAR_PAYLOAD, "c", &one, 1));
	ck_assert_uint_eq(row_size(&a, 1), 48 + 16 + 16);
	write_well(&a, full);
	struct intent overwrite = set_large(1, "k9", PART_BYTES);
	overwrite.kind = OP_OVERWRITE_PAYLOAD;
	write_well(&a, overwrite);
	ck_assert_uint_eq(row_size(&a, 1), 48 + 16 + 16 + PART_BYTES);
	write_well(&a, upsert_of(&a, "c", 1, 1));
}
END_TEST

START_TEST(of_many_points_one_without_room_refuses_the_whole_operation)
{
	static const uint64_t ids[] = { 1, 2, 3 };

	write_well(&a, upsert_of(&a, "c", 1, 3));
	write_well(&a, set_large(2, "k1", PART_BYTES));
	write_well(&a, set_large(2, "k2", PART_BYTES));
	struct intent in = ids_intent(&a, OP_SET_PAYLOAD, "c", ids, 3);
	in.body.payload = payload_of_size("k3", PART_BYTES);
	check_refused(in, 2);
	ck_assert_uint_lt(row_size(&a, 1), 200);
	ck_assert_uint_lt(row_size(&a, 3), 200);
	/* The same by a filter. */
	static const struct filter all;
	in = ids_intent(&a, OP_SET_PAYLOAD, "c", NULL, 0);
	in.filter = &all;
	in.body.payload = payload_of_size("k3", PART_BYTES);
	check_refused(in, 2);
	ck_assert_uint_lt(row_size(&a, 1), 200);
}
END_TEST

START_TEST(operation_sees_how_large_those_before_it_made_the_point)
{
	write_well(&a, upsert_of(&a, "c", 1, 1));
	struct intent ins[] = { set_large(1, "k1", PART_BYTES), set_large(1, "k2", PART_BYTES),
				set_large(1, "k3", PART_BYTES) };
	struct region_write *t = submit(&a, ins, LEN(ins));

	ck_assert(committer_turn(a.committer, 0));
	ck_assert_int_eq(t->w.err, ERR_TOO_LARGE);
	ck_assert_uint_eq(t->w.intents_done, 2);
	ck_assert_uint_eq(row_size(&a, 1), 48 + 16 + 16 + 2 * PART_BYTES - 6 + (1 + 1 + 2));
}
END_TEST

/* --- vectors --- */

static struct op_vector large_sparse(const char *name, uint32_t count)
{
	float *values = region_alloc(&a, count * sizeof(*values));
	uint32_t *indices = region_alloc(&a, count * sizeof(*indices));

	for (uint32_t i = 0; i < count; i++) {
		values[i] = 1.0F;
		indices[i] = i;
	}
	return (struct op_vector){
		.name = { .data = name, .len = strlen(name) },
		.vector = { .kind = VECTOR_SPARSE, .count = count, .values = values, .indices = indices },
		.slot = SLOT_NONE
	};
}

/* "s1", "s2" and "s3" */
static struct intent create_sparse(void)
{
	static const char *const names[] = { "s1", "s2", "s3" };
	struct intent in = create_of(&a, "c", DISTANCE_DOT);
	struct vector_config *v = region_alloc(&a, LEN(names) * sizeof(*v));

	for (size_t i = 0; i < LEN(names); i++)
		v[i] = (struct vector_config){ .name = { .data = names[i], .len = 2 }, .sparse = true };
	in.body.config.vectors = v;
	in.body.config.vector_count = LEN(names);
	return in;
}

static struct intent update_of(const char *const *names, uint32_t count)
{
	struct op_point *points = region_alloc(&a, count * sizeof(*points));

	for (uint32_t i = 0; i < count; i++) {
		struct op_vector *v = region_alloc(&a, sizeof(*v));
		*v = large_sparse(names[i], PART_BYTES / 8);
		points[i] = (struct op_point){ .id = id_of(1), .vectors = v, .vector_count = 1 };
	}
	return (struct intent){ .kind = OP_UPDATE_VECTORS,
				.collection = STR("c"),
				.body = { .points = points, .point_count = count } };
}

START_TEST(vectors_that_are_added_one_by_one_end_at_the_bound)
{
	static const char *const names[] = { "s1", "s2", "s3" };
	static const char *const same[] = { "s1", "s1", "s1", "s2" };

	write_well(&a, (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("c") });
	write_well(&a, create_sparse());
	struct intent in = update_of(names, 1);
	in.kind = OP_UPSERT;
	in.body.points[0].vector_count = 0;
	write_well(&a, in);
	/* A point may be in a request several times. */
	check_refused(update_of(names, 3), 1);
	ck_assert_uint_eq(row_size(&a, 1), 48);
	write_well(&a, update_of(same, 4));
	ck_assert_uint_eq(row_size(&a, 1), 48 + 2 * (16 + 2 + PART_BYTES));
	write_well(&a, update_of(&names[1], 1));
	check_refused(update_of(&names[2], 1), 1);
}
END_TEST

/* --- several writers --- */

/* All ops of a log of several writers that `from` holds, applied to `to`. */
static void take_multi(struct region *to, struct region *from)
{
	struct committer_state s = region_state(from);
	struct store_txn *t;
	struct fault f = { 0 };

	ck_assert_int_eq(from->store->ops->begin(from->store, false, &t), ERR_NONE);
	for (struct position p = { .epoch = s.multi_log, .seq = 1 };; p.seq++) {
		CLEANUP(buf_release) struct buf wire = BUF_INIT(2 * OP_BYTES_MAX);
		struct oplog_entry entry;
		if (oplog_get(from->store, t, SCOPE_MULTI, p, &to->arena, &entry, &f))
			break;
		ck_assert_int_eq(oplog_fill(from->catalog, &entry.op, &to->arena), ERR_NONE);
		ck_assert_int_eq(op_encode(&entry.op, OP_FORM_WIRE, &wire), ERR_NONE);
		struct bytes bytes = buf_bytes(&wire);
		struct remote_batch batch = { .ops = &bytes, .count = 1, .scope = SCOPE_MULTI,
					      .chain_hash = entry.chain_hash };
		ck_assert_msg(!committer_apply(to->committer, &batch, &f), "%s", f.text);
	}
	from->store->ops->abort(t);
}

static void take_fleet(struct region *to, struct region *from)
{
	struct store_txn *t;
	struct position p = { 0 };
	struct fault f = { 0 };

	ck_assert_int_eq(from->store->ops->begin(from->store, false, &t), ERR_NONE);
	for (;;) {
		CLEANUP(buf_release) struct buf wire = BUF_INIT(2 * OP_BYTES_MAX);
		struct oplog_entry entry;
		if (oplog_next(from->store, t, SCOPE_FLEET, p, &to->arena, &entry, &f))
			break;
		p = (struct position){ .epoch = entry.op.epoch, .seq = entry.op.seq };
		ck_assert_int_eq(op_encode(&entry.op, OP_FORM_WIRE, &wire), ERR_NONE);
		struct bytes bytes = buf_bytes(&wire);
		struct remote_batch batch = { .ops = &bytes, .count = 1, .scope = SCOPE_FLEET,
					      .chain_hash = entry.chain_hash };
		ck_assert_msg(!committer_apply(to->committer, &batch, &f), "%s", f.text);
	}
	from->store->ops->abort(t);
}

START_TEST(what_two_regions_wrote_unseen_is_joined_beyond_the_bound_and_may_shrink)
{
	struct intent create = create_of(&a, "m", DISTANCE_DOT);
	struct row rows[2];

	write_well(&a, (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("c") });
	create.collection = STR("c");
	create.body.config.multi_writer = true;
	write_well(&a, create);
	take_fleet(&b, &a);
	write_well(&a, upsert_of(&a, "c", 1, 1));
	take_multi(&b, &a);
	write_well(&a, set_large(1, "k1", PART_BYTES));
	write_well(&a, set_large(1, "k2", PART_BYTES));
	write_well(&b, set_large(1, "k3", PART_BYTES));
	write_well(&b, set_large(1, "k4", PART_BYTES));
	take_multi(&b, &a);
	take_multi(&a, &b);
	load(&a, 1, &a.arena, &rows[0]);
	load(&b, 1, &b.arena, &rows[1]);
	struct hash128 one = row_digest(&rows[0], (struct incarnation){ 0 });
	struct hash128 two = row_digest(&rows[1], (struct incarnation){ 0 });
	ck_assert(one.lo == two.lo && one.hi == two.hi);
	ck_assert_uint_gt(row_size(&a, 1), POINT_BYTES_MAX);
	check_refused(set_large(1, "k5", 100), 1);
	check_refused(set_large(1, "k4", PART_BYTES + 1), 1);
	size_t before = row_size(&a, 1);
	write_well(&a, set_large(1, "k4", 100));
	ck_assert_uint_eq(row_size(&a, 1), before - PART_BYTES + 100);
}
END_TEST

static void add(Suite *s, const char *name, const TTest *const *tests, size_t count)
{
	TCase *t = tcase_create(name);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
}

int main(void)
{
	const TTest *const counting[] = {
		row_that_one_op_wrote_is_as_large_as_its_point,
		row_without_payload_and_vectors_has_a_size,
		what_was_deleted_counts_by_its_name,
	};
	const TTest *const bound[] = {
		payload_that_grows_key_by_key_ends_at_the_bound,
		point_at_the_bound_is_freed_again_as_the_refusal_says,
		of_many_points_one_without_room_refuses_the_whole_operation,
		operation_sees_how_large_those_before_it_made_the_point,
		vectors_that_are_added_one_by_one_end_at_the_bound,
		what_two_regions_wrote_unseen_is_joined_beyond_the_bound_and_may_shrink,
	};
	Suite *s = suite_create("point_size");

	add(s, "counting", counting, LEN(counting));
	add(s, "bound", bound, LEN(bound));
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
