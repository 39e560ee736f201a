/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees at marks: what the committer copies, when, and that an abandoned transaction leaves none.
 */
#include "tests/replicator/region.h"

static struct region r;

struct told {
	struct marked *last;
	unsigned count;
	struct position shown; /* where the region was seen to stand when it was told */
};
static struct told told;

static void on_marked(void *ctx, struct marked *m)
{
	struct told *t = ctx;

	marked_unref(t->last);
	t->last = m;
	t->count++;
	t->shown = region_state(&r).position;
}

static void set_up(void)
{
	told = (struct told){ 0 };
	region_init(&r, 1);
	region_open(&r);
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
}

static void tear_down(void)
{
	marked_unref(told.last);
	region_release(&r);
}

static struct position set_mark(uint64_t mark)
{
	struct fault f = { 0 };
	struct position p;

	ck_assert_msg(!committer_mark(r.committer, mark, &p, &f), "%s", f.text);
	return p;
}

START_TEST(a_region_without_an_epoch_of_its_own_writes_no_mark)
{
	struct region other;
	struct fault f = { 0 };
	struct position p;

	region_init(&other, 2);
	region_open(&other);
	ck_assert_int_eq(committer_mark(other.committer, 1, &p, &f), ERR_NOT_PRIMARY);
	ck_assert_uint_eq(region_state(&other).position.epoch, 0);
	region_release(&other);
}
END_TEST

START_TEST(nothing_is_copied_while_nobody_listens)
{
	struct position p = set_mark(7);

	ck_assert_int_eq(position_compare(p, region_state(&r).position), 0);
	ck_assert_uint_eq(told.count, 0);
	committer_set_marked(r.committer, on_marked, &told);
	(void)set_mark(8);
	ck_assert_uint_eq(told.count, 1);
	committer_set_marked(r.committer, NULL, NULL);
	(void)set_mark(9);
	ck_assert_uint_eq(told.count, 1);
}
END_TEST

static bool same_root(const struct merkle *a, const struct merkle *b)
{
	struct hash128 x = merkle_root(a);
	struct hash128 y = merkle_root(b);

	return x.lo == y.lo && x.hi == y.hi;
}

START_TEST(the_copy_has_what_came_before_the_mark_and_nothing_after_it)
{
	struct collection *c = catalog_get(r.catalog, STR("c"));
	struct intent in = upsert_of(&r, "c", 1, 20);
	struct intent later = upsert_of(&r, "c", 100, 5);

	committer_set_marked(r.committer, on_marked, &told);
	/* One commit: the writes before it and after it share its transaction as a peer's would. */
	struct intent three[] = { in, { .kind = OP_MARK, .body = { .mark = 55 } }, later };
	struct region_write *w = submit(&r, three, 3);
	(void)committer_turn(r.committer, 0);
	ck_assert_uint_eq(w->done, 1);
	ck_assert_uint_eq(told.count, 1);
	ck_assert_uint_eq(told.last->mark, 55);
	ck_assert_uint_eq(told.last->count, 2);
	ck_assert_uint_eq(marked_rows(told.last), 20);
	ck_assert_uint_eq(told.last->number, committer_number(r.committer, told.last->position));
	ck_assert_uint_lt(told.last->position.seq, region_state(&r).position.seq);
	const struct marked_shard *s = marked_find(told.last, collection_incarnation(c), 1);
	ck_assert_ptr_nonnull(s);
	ck_assert(!same_root(s->tree, collection_merkle(c, 1)) ||
		  !same_root(marked_find(told.last, collection_incarnation(c), 0)->tree, collection_merkle(c, 0)));
	ck_assert_ptr_null(marked_find(told.last, collection_incarnation(c), 2));
	ck_assert_ptr_null(marked_find(told.last, (struct incarnation){ 1, 1 }, 0));
	(void)set_mark(56);
	ck_assert(same_root(marked_find(told.last, collection_incarnation(c), 1)->tree, collection_merkle(c, 1)));
	collection_unref(c);
}
END_TEST

/* Another region asks for the trees as soon as it hears of the position. */
START_TEST(the_copy_is_there_before_the_region_is_seen_at_the_mark)
{
	committer_set_marked(r.committer, on_marked, &told);
	struct position p = set_mark(3);
	ck_assert_uint_eq(told.count, 1);
	ck_assert_int_lt(position_compare(told.shown, p), 0);
}
END_TEST

START_TEST(a_copy_lives_as_long_as_somebody_has_it)
{
	committer_set_marked(r.committer, on_marked, &told);
	(void)set_mark(1);
	struct marked *kept = marked_ref(told.last);
	(void)set_mark(2);
	ck_assert_uint_eq(kept->mark, 1);
	ck_assert_uint_eq(marked_rows(kept), 0);
	marked_unref(kept);
	marked_unref(NULL);
	ck_assert_ptr_null(marked_ref(NULL));
}
END_TEST

static enum err refuse_after_mark(void *ctx, uint16_t scope, uint64_t epoch, struct fault *f)
{
	(void)scope;
	(void)epoch;
	return *(bool *)ctx ? fault_set(f, ERR_NOT_PRIMARY, "no more") : ERR_NONE;
}

START_TEST(a_mark_that_was_refused_is_not_told)
{
	struct fault f = { 0 };
	struct position p;
	bool refuse = false;

	region_release(&r);
	region_init(&r, 1);
	r.options.may_write = refuse_after_mark;
	r.options.ctx = &refuse;
	region_open(&r);
	region_begin(&r);
	committer_set_marked(r.committer, on_marked, &told);
	struct position before = region_state(&r).position;
	refuse = true;
	ck_assert_int_eq(committer_mark(r.committer, 5, &p, &f), ERR_NOT_PRIMARY);
	ck_assert_uint_eq(told.count, 0);
	ck_assert_int_eq(position_compare(before, region_state(&r).position), 0);
	refuse = false;
	(void)set_mark(6);
	ck_assert_uint_eq(told.last->mark, 6);
}
END_TEST

static uint32_t count_multi(const struct marked *m)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < m->count; i++)
		count += m->shards[i].multi;
	return count;
}

START_TEST(of_collections_of_several_writers_the_copy_says_what_was_applied)
{
	struct intent in = create_of(&r, "shared", DISTANCE_DOT);
	struct cutoff now;

	in.body.config.multi_writer = true;
	write_well(&r, in);
	committer_set_marked(r.committer, on_marked, &told);
	(void)set_mark(1);
	ck_assert_uint_eq(told.last->count, 4);
	ck_assert_uint_eq(count_multi(told.last), 2);
	ck_assert_uint_eq(told.last->seen.count, 0);
	write_well(&r, upsert_of(&r, "shared", 1, 5));
	(void)set_mark(2);
	ck_assert_uint_eq(marked_rows(told.last), 5);
	ck_assert_uint_eq(told.last->seen.count, 1);
	ck_assert_uint_eq(told.last->seen.seen[0].region, 1);
	ck_assert_int_eq(committer_seen(r.committer, &now), ERR_NONE);
	ck_assert(cutoff_equal(&told.last->seen, &now));
	write_well(&r, upsert_of(&r, "shared", 9, 1));
	ck_assert_int_eq(committer_seen(r.committer, &now), ERR_NONE);
	ck_assert_ptr_nonnull(cutoff_missing(&told.last->seen, &now));
}
END_TEST

START_TEST(between_marks_only_collections_of_several_writers_are_copied)
{
	struct intent in = create_of(&r, "shared", DISTANCE_DOT);
	struct fault f = { 0 };
	struct marked *m;
	struct cutoff now;

	in.body.config.multi_writer = true;
	write_well(&r, in);
	write_well(&r, upsert_of(&r, "c", 1, 7));
	write_well(&r, upsert_of(&r, "shared", 1, 5));
	struct position before = region_state(&r).position;
	ck_assert_int_eq(committer_copy_multi(r.committer, &m, &f), ERR_NONE);
	ck_assert_uint_eq(m->count, 2);
	ck_assert_uint_eq(count_multi(m), 2);
	ck_assert_uint_eq(marked_rows(m), 5);
	ck_assert_int_eq(committer_seen(r.committer, &now), ERR_NONE);
	ck_assert(cutoff_equal(&m->seen, &now));
	/* It is no op, and no mark. */
	ck_assert_int_eq(position_compare(region_state(&r).position, before), 0);
	ck_assert_uint_eq(told.count, 0);
	marked_unref(m);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("marked");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_region_without_an_epoch_of_its_own_writes_no_mark);
	tcase_add_test(t, nothing_is_copied_while_nobody_listens);
	tcase_add_test(t, the_copy_has_what_came_before_the_mark_and_nothing_after_it);
	tcase_add_test(t, the_copy_is_there_before_the_region_is_seen_at_the_mark);
	tcase_add_test(t, a_copy_lives_as_long_as_somebody_has_it);
	tcase_add_test(t, a_mark_that_was_refused_is_not_told);
	tcase_add_test(t, of_collections_of_several_writers_the_copy_says_what_was_applied);
	tcase_add_test(t, between_marks_only_collections_of_several_writers_are_copied);
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
