/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups against a model that ranks all points and deals them out.
 */
#include "index/group.h"

#include <math.h>

#include "tests/index/collection_bed.h"

static const struct deadline never;
static struct bed bed;
static struct arena arena;
static struct path keys[3]; /* color, number, flag */

static void open_bed(uint32_t shards)
{
	static const struct str names[] = { { "color", 5 }, { "number", 6 }, { "flag", 4 } };

	bed_init(&bed, false, false, shards, 0);
	bed_fill(&bed, 0, 700);
	bed_churn(&bed, 300);
	arena_init(&arena, (size_t)256 << 20);
	for (size_t i = 0; i < LEN(keys); i++)
		ck_assert_int_eq(path_parse(names[i], &keys[i], NULL), ERR_NONE);
}

static void close_bed(void)
{
	arena_release(&arena);
	bed_release(&bed);
}

static struct query nearest(void)
{
	float *v = arena_array(&arena, BED_DIM, sizeof(*v));

	for (uint32_t i = 0; i < BED_DIM; i++)
		v[i] = random_normal(&bed.random);
	return (struct query){ .kind = QUERY_SEARCH,
			       .vector = { .kind = VECTOR_DENSE, .count = BED_DIM, .values = v },
			       .exact = true };
}

static uint32_t run(const struct query *q, const struct group_options *o, struct group **ret_groups)
{
	struct fault fault = { 0 };
	uint32_t count = 0;

	ck_assert_msg(group_run(bed.collection, NULL, q, o, &never, &arena, ret_groups, &count,
				&fault) == ERR_NONE,
		      "%s", fault.text);
	return count;
}

/* --- the model --- */

struct model_group {
	int64_t number; /* or the place of a color */
	struct point_id ids[64];
	uint32_t count;
};

static uint32_t values_of(const struct bed_point *p, bool color, int64_t out[2])
{
	out[0] = color ? (int64_t)(p->color % LEN(bed_colors)) : p->number;
	out[1] = (int64_t)((p->color + 1) % LEN(bed_colors));
	return color && p->colors == 2 ? 2 : 1;
}

static uint32_t deal(struct ranking all, bool color, const struct group_options *o,
		     struct model_group *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < all.count; i++) {
		uint32_t at = 0;
		int64_t values[2];

		while (!point_id_equal(bed_id(at), all.items[i].id))
			at++;
		uint32_t count = values_of(&bed.points[at], color, values);

		for (uint32_t k = 0; k < count; k++) {
			uint32_t g = 0;

			while (g < n && out[g].number != values[k])
				g++;
			if (g == n && n == o->groups)
				continue;
			if (g == n)
				out[n++] = (struct model_group){ .number = values[k] };
			if (out[g].count < o->group_size)
				out[g].ids[out[g].count++] = all.items[i].id;
		}
	}
	return n;
}

static void check_key(const struct group_key *key, bool color, int64_t value)
{
	if (color) {
		ck_assert_int_eq(key->kind, GROUP_KEY_TEXT);
		ck_assert_uint_eq(key->text.len, strlen(bed_colors[value]));
		ck_assert(memcmp(key->text.data, bed_colors[value], key->text.len) == 0);
	} else {
		ck_assert_int_eq(key->kind, value < 0 ? GROUP_KEY_INT : GROUP_KEY_UNSIGNED);
		ck_assert_int_eq(key->integer, value);
	}
}

static void check(const struct query *q, bool color, struct group_options o)
{
	static struct model_group want[64];
	struct query all = *q;
	struct group *groups;
	struct ranking ranked;

	o.key = &keys[!color];
	all.limit = BED_IDS;
	ck_assert_int_eq(query_run(bed.collection, NULL, &all, &never, &arena, &ranked, NULL),
			 ERR_NONE);
	uint32_t n = deal(ranked, color, &o, want), count = run(q, &o, &groups);

	ck_assert_uint_eq(count, n);
	for (uint32_t g = 0; g < n; g++) {
		check_key(&groups[g].key, color, want[g].number);
		ck_assert_msg(groups[g].count == want[g].count, "group %u of %u: %u, not %u", g, n,
			      groups[g].count, want[g].count);
		for (uint32_t i = 0; i < want[g].count; i++)
			ck_assert(point_id_equal(groups[g].items[i].id, want[g].ids[i]));
	}
}

START_TEST(groups_are_those_of_the_whole_ranking)
{
	static const struct group_options sizes[] = { { .groups = 1, .group_size = 1 },
						      { .groups = 3, .group_size = 2 },
						      { .groups = 10, .group_size = 3 },
						      { .groups = 50, .group_size = 60 },
						      { .groups = 4, .group_size = 40 } };

	open_bed(_i ? 3 : 1);
	for (uint32_t n = 0; n < 40; n++) {
		struct query q = nearest();

		q.filter = n % 3 ? bed_random_filter(&bed, &arena) : NULL;
		if (n % 4 == 3)
			q = (struct query){ .kind = QUERY_SCROLL, .filter = q.filter };
		if (n % 8 == 5) {
			q.has_threshold = true;
			q.threshold = 3.5F;
		}
		check(&q, n % 2, sizes[n % LEN(sizes)]);
	}
	close_bed();
}
END_TEST

/* Of each point that is seen: which it is, and which of them. */
typedef void change_fn(struct bed_point *p, uint32_t i, uint32_t nth);

static void change_all(change_fn *change)
{
	uint32_t nth = 0;

	for (uint32_t i = 0; i < BED_IDS;) {
		struct store_txn *t = bed_begin(&bed);

		for (uint32_t n = 0; n < 200 && i < BED_IDS; n++, i++) {
			struct bed_point *p = &bed.points[i];

			if (!p->stored || !p->visible)
				continue;
			change(p, i, nth++);
			p->slot[0] = SLOT_NONE;
			bed_encode(p);
			bed_store(&bed, t, i);
		}
		bed_commit(&bed, t);
	}
}

static void far_ones_are_groups_of_their_own(struct bed_point *p, uint32_t i, uint32_t nth)
{
	(void)nth;
	p->number = i % 100 == 7 ? (int64_t)i : 0;
	p->v[0] = p->number ? 1000 + (float)i : p->v[0];
}

/* By their distance: one of color 1, five of color 0, one of color 1, one of 1 and 2, all others of color 0. */
static void two_groups_hide_a_third(struct bed_point *p, uint32_t i, uint32_t nth)
{
	(void)i;
	p->color = nth == 0 || nth == 6 || nth == 7;
	p->colors = nth == 7 ? 2 : 1;
	p->v[0] = 1000 + 100 * (float)nth;
}

START_TEST(a_few_groups_far_away_are_found_behind_many_points_of_one)
{
	struct group *groups;

	open_bed(1);
	change_all(far_ones_are_groups_of_their_own);
	struct query q = nearest();
	const struct group_options o = { .key = &keys[1], .groups = 4, .group_size = 2 };

	ck_assert_uint_eq(run(&q, &o, &groups), 4);
	ck_assert_uint_eq(groups[0].key.unsigned_integer, 0);
	ck_assert_uint_eq(groups[0].count, 2);
	for (uint32_t g = 1; g < 4; g++) {
		ck_assert_uint_eq(groups[g].count, 1);
		ck_assert_uint_eq(groups[g].key.unsigned_integer % 100, 7);
	}
	check(&q, false, o);
	close_bed();
}
END_TEST

START_TEST(who_is_found_for_a_new_group_does_not_come_before_the_better_ones_of_an_old_one)
{
	struct group *groups;

	open_bed(1);
	change_all(two_groups_hide_a_third);
	struct query q = nearest();
	const struct group_options o = { .key = &keys[0], .groups = 3, .group_size = 2 };

	ck_assert_uint_eq(run(&q, &o, &groups), 3);
	ck_assert_uint_eq(groups[0].count, 2);
	ck_assert_uint_eq(groups[2].count, 1);
	ck_assert(!point_id_equal(groups[0].items[1].id, groups[2].items[0].id));
	check(&q, true, o);
	close_bed();
}
END_TEST

START_TEST(what_is_no_integer_and_no_string_makes_no_group)
{
	struct group *groups;

	open_bed(1);
	struct query q = nearest();
	const struct group_options o = { .key = &keys[2], .groups = 4, .group_size = 2 };

	ck_assert_uint_eq(run(&q, &o, &groups), 0);
	close_bed();
}
END_TEST

START_TEST(prefetches_find_more_when_groups_are_asked_for)
{
	struct group *groups;

	open_bed(1);
	struct query prefetch = nearest();
	prefetch.limit = 20;
	struct query q = { .kind = QUERY_FUSION,
			   .fusion = { .kind = FUSION_RRF, .k = 2 },
			   .prefetches = &prefetch,
			   .prefetch_count = 1 };
	const struct group_options o = { .key = &keys[0], .groups = 4, .group_size = 15 };
	struct query wide = prefetch;
	static struct model_group want[8];
	struct ranking ranked;

	wide.limit = 80;
	ck_assert_int_eq(query_run(bed.collection, NULL, &wide, &never, &arena, &ranked, NULL),
			 ERR_NONE);
	uint32_t n = deal(ranked, true, &o, want), count = run(&q, &o, &groups);

	ck_assert_uint_eq(count, n);
	for (uint32_t g = 0; g < n; g++) {
		ck_assert_uint_eq(groups[g].count, want[g].count);
		for (uint32_t i = 0; i < want[g].count; i++)
			ck_assert(point_id_equal(groups[g].items[i].id, want[g].ids[i]));
	}
	close_bed();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("group");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, groups_are_those_of_the_whole_ranking, 0, 2);
	tcase_add_test(t, a_few_groups_far_away_are_found_behind_many_points_of_one);
	tcase_add_test(t, who_is_found_for_a_new_group_does_not_come_before_the_better_ones_of_an_old_one);
	tcase_add_test(t, what_is_no_integer_and_no_string_makes_no_group);
	tcase_add_test(t, prefetches_find_more_when_groups_are_asked_for);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
