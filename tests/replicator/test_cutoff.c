/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutoffs: what counts, and that rows which show nothing beyond one are the same, whatever else was applied.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "replicator/cutoff.h"
#include "replicator/merge.h"
#include "tests/index/random.h"

static struct cutoff cutoff_of(const struct op_seen *seen, uint32_t count)
{
	struct cutoff c = { .count = 0 };

	for (uint32_t i = 0; i < count; i++)
		ck_assert_int_eq(cutoff_raise(&c, seen[i]), ERR_NONE);
	return c;
}

START_TEST(it_is_kept_by_region_and_only_grows)
{
	struct op_seen seen[] = { { 7, 50 }, { 2, 10 }, { 7, 40 }, { 2, 11 } };
	struct cutoff c = cutoff_of(seen, LEN(seen));

	ck_assert_uint_eq(c.count, 2);
	ck_assert_uint_eq(c.seen[0].region, 2);
	ck_assert_uint_eq(c.seen[0].hlc, 11);
	ck_assert_uint_eq(c.seen[1].hlc, 50);
}
END_TEST

START_TEST(of_more_regions_than_a_fleet_has_it_is_refused)
{
	struct cutoff c = { .count = 0 };
	struct cutoff more = { .count = 0 };

	for (uint8_t i = 1; i <= OP_SEEN_MAX; i++)
		ck_assert_int_eq(cutoff_raise(&c, (struct op_seen){ i, i }), ERR_NONE);
	ck_assert_int_eq(cutoff_raise(&c, (struct op_seen){ 200, 1 }), ERR_TOO_LARGE);
	ck_assert_int_eq(cutoff_raise(&c, (struct op_seen){ 5, 90 }), ERR_NONE);
	ck_assert_int_eq(cutoff_raise(&more, (struct op_seen){ 201, 1 }), ERR_NONE);
	ck_assert_int_eq(cutoff_join(&c, &more), ERR_TOO_LARGE);
}
END_TEST

START_TEST(what_is_missing_is_named)
{
	struct op_seen one[] = { { 1, 10 }, { 2, 20 } };
	struct op_seen two[] = { { 1, 9 }, { 2, 21 }, { 3, 1 } };
	struct cutoff a = cutoff_of(one, LEN(one));
	struct cutoff b = cutoff_of(two, LEN(two));

	ck_assert_ptr_null(cutoff_missing(&a, &a));
	ck_assert_uint_eq(cutoff_missing(&a, &b)->region, 2);
	ck_assert_uint_eq(cutoff_missing(&b, &a)->region, 1);
	ck_assert(!cutoff_equal(&a, &b));
	ck_assert_int_eq(cutoff_join(&a, &b), ERR_NONE);
	ck_assert_ptr_null(cutoff_missing(&a, &b));
	ck_assert_uint_eq(a.seen[0].hlc, 10);
	ck_assert_int_eq(cutoff_join(&b, &a), ERR_NONE);
	ck_assert(cutoff_equal(&a, &b));
}
END_TEST

START_TEST(each_stamp_of_a_row_is_asked)
{
	struct op_seen seen[] = { { 1, 10 } };
	struct cutoff c = cutoff_of(seen, 1);
	struct row_vector vector = { .name = STR("") };
	struct row_field field = { .key = STR("k") };
	struct row row = { .vectors = &vector, .vector_count = 1, .fields = &field, .field_count = 1 };
	struct stamp *stamps[] = { &row.created,       &row.reset,    &row.payload_reset, &row.deleted,
				   &vector.stamp, &field.stamp };

	ck_assert(cutoff_has_row(&c, &row));
	for (size_t i = 0; i < LEN(stamps); i++) {
		*stamps[i] = (struct stamp){ .hlc = 10, .region = 1 };
		ck_assert_msg(cutoff_has_row(&c, &row), "stamp %zu", i);
		*stamps[i] = (struct stamp){ .hlc = 11, .region = 1 };
		ck_assert_msg(!cutoff_has_row(&c, &row), "stamp %zu", i);
		*stamps[i] = (struct stamp){ .hlc = 1, .region = 2 };
		ck_assert_msg(!cutoff_has_row(&c, &row), "stamp %zu", i);
		*stamps[i] = (struct stamp){ 0 };
	}
}
END_TEST

/* --- the claim that audits stand on --- */

#define REGIONS 3
#define OPS 14

static struct random random_numbers = { 99 };

static uint32_t below(uint32_t n)
{
	return (uint32_t)(random_u64(&random_numbers) % n);
}

static struct value number_at(struct arena *a, const char *key, int64_t n)
{
	CLEANUP(buf_release) struct buf item = BUF_INIT(100);
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);

	value_put_int(&item, n);
	struct value_member m = { .key = { key, strlen(key) }, .value = value_of_buf(&item) };
	ck_assert_int_eq(value_put_object(&b, &m, 1), ERR_NONE);
	uint8_t *copy = arena_alloc(a, b.len);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, b.data, b.len);
	return (struct value){ .data = copy, .len = (uint32_t)b.len };
}

static struct op random_op(struct arena *a, uint8_t region, uint64_t hlc)
{
	static const enum op_kind kinds[] = { OP_UPSERT, OP_DELETE, OP_SET_PAYLOAD, OP_SET_PAYLOAD, OP_OVERWRITE_PAYLOAD,
					      OP_CLEAR_PAYLOAD };
	static struct point_id id = { .lo = 5 };
	struct op op = { .kind = kinds[below(LEN(kinds))], .scope = SCOPE_MULTI, .hlc = hlc, .region = region };
	struct value payload = number_at(a, below(2) ? "a" : "b", (int64_t)hlc);

	if (op.kind == OP_UPSERT) {
		op.points = arena_array(a, 1, sizeof(*op.points));
		ck_assert_ptr_nonnull(op.points);
		op.points[0] = (struct op_point){ .id = id, .payload = payload };
		op.point_count = 1;
	} else {
		op.ids = &id;
		op.id_count = 1;
		op.payload = payload;
	}
	return op;
}

struct applied {
	bool present;
	struct row row;
};

/* Of each region's log the first ends[] ops, the logs interleaved at random. */
static struct applied apply(struct op logs[REGIONS][OPS], const uint32_t ends[REGIONS], struct arena *a)
{
	uint32_t at[REGIONS] = { 0 };
	struct applied x = { .present = false };
	uint32_t left = 0;

	for (uint32_t i = 0; i < REGIONS; i++)
		left += ends[i];
	while (left > 0) {
		uint32_t i = below(REGIONS);
		enum merge_result result;
		struct row row;
		if (at[i] == ends[i])
			continue;
		ck_assert_int_eq(merge_apply(x.present ? &x.row : NULL, &logs[i][at[i]], 0, a, &row, &result, NULL), ERR_NONE);
		at[i]++;
		left--;
		if (result == MERGE_UNCHANGED)
			continue;
		x = (struct applied){ .present = true, .row = row };
	}
	return x;
}

static bool same(const struct applied *x, const struct applied *y)
{
	struct incarnation incarnation = { 1, 1 };

	if (!x->present || !y->present)
		return x->present == y->present;
	struct hash128 a = row_digest(&x->row, incarnation);
	struct hash128 b = row_digest(&y->row, incarnation);
	return a.lo == b.lo && a.hi == b.hi;
}

START_TEST(rows_that_show_nothing_beyond_the_cutoff_are_what_counts_makes_of_them)
{
	uint32_t counted = 0;

	for (uint32_t round = 0; round < 20000; round++) {
		CLEANUP(arena_release) struct arena a;
		struct op logs[REGIONS][OPS];
		uint32_t base[REGIONS];
		uint32_t more[REGIONS];
		struct cutoff c = { .count = 0 };
		arena_init(&a, (size_t)16 << 20);
		for (uint32_t i = 0; i < REGIONS; i++) {
			uint64_t hlc = 0;
			for (uint32_t k = 0; k < OPS; k++) {
				hlc += 1 + below(6);
				logs[i][k] = random_op(&a, (uint8_t)(i + 1), hlc);
			}
			base[i] = below(OPS + 1);
			more[i] = base[i] + below(OPS + 1 - base[i]);
			if (base[i] > 0)
				ck_assert_int_eq(cutoff_raise(&c, (struct op_seen){ (uint8_t)(i + 1), logs[i][base[i] - 1].hlc }),
						 ERR_NONE);
		}
		struct applied x = apply(logs, base, &a);
		struct applied y = apply(logs, more, &a);
		if (y.present && !cutoff_has_row(&c, &y.row))
			continue;
		ck_assert_msg(same(&x, &y), "round %u", round);
		counted += memcmp(base, more, sizeof(base)) != 0;
	}
	/* Not only where nothing more was applied. */
	ck_assert_uint_gt(counted, 1000);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("cutoff");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, it_is_kept_by_region_and_only_grows);
	tcase_add_test(t, of_more_regions_than_a_fleet_has_it_is_refused);
	tcase_add_test(t, what_is_missing_is_named);
	tcase_add_test(t, each_stamp_of_a_row_is_asked);
	tcase_add_test(t, rows_that_show_nothing_beyond_the_cutoff_are_what_counts_makes_of_them);
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
