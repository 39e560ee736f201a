/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/audit_vote.h"

#include <check.h>
#include <stdlib.h>

static struct arena arena;

static void set_up(void)
{
	arena_init(&arena, 1u << 20);
}

static void tear_down(void)
{
	arena_release(&arena);
}

/* What a region has of one point: content 0: nothing; < 0: damaged. */
struct has {
	int content;
	uint64_t number; /* of the op that wrote it */
	uint64_t hlc;    /* its version; 0: the content's */
};

static struct audit_entry entry_of(uint64_t id, struct has h)
{
	return (struct audit_entry){ .id = { .lo = id },
				     .number = h.number,
				     .stamp = { 1, h.hlc ? h.hlc : 100, 1 },
				     .digest = { (uint64_t)abs(h.content), 7 },
				     .damaged = h.content < 0 };
}

static const struct vote_case {
	const char *name;
	struct has has[3];
	uint64_t numbers[3];   /* where each region stood */
	uint32_t differences, unsure;
	uint32_t region;       /* that is wrong */
	uint32_t right;
	enum audit_class class;
} cases[] = {
	{ "all equal", { { 1, 5, 0 }, { 1, 5, 0 }, { 1, 5, 0 } }, { 9, 9, 9 }, 0, 0, 0, 0, 0 },
	{ "nowhere", { { 0 }, { 0 }, { 0 } }, { 9, 9, 9 }, 0, 0, 0, 0, 0 },
	{ "missing", { { 1, 5, 0 }, { 0 }, { 1, 5, 0 } }, { 9, 9, 9 }, 1, 0, 1, 0, AUDIT_MISSING },
	{ "missing in the first", { { 0 }, { 1, 5, 0 }, { 1, 5, 0 } }, { 9, 9, 9 }, 1, 0, 0, 1, AUDIT_MISSING },
	{ "extra", { { 0 }, { 0 }, { 1, 5, 0 } }, { 9, 9, 9 }, 1, 0, 2, 0, AUDIT_EXTRA },
	{ "stale", { { 1, 5, 100 }, { 2, 3, 90 }, { 1, 5, 100 } }, { 9, 9, 9 }, 1, 0, 1, 0, AUDIT_STALE },
	{ "same version, other bytes", { { 1, 5, 0 }, { 2, 5, 0 }, { 1, 5, 0 } }, { 9, 9, 9 }, 1, 0, 1, 0, AUDIT_CORRUPT },
	{ "newer than all", { { 1, 5, 0 }, { 2, 5, 200 }, { 1, 5, 0 } }, { 9, 9, 9 }, 1, 0, 1, 0, AUDIT_CORRUPT },
	{ "damaged", { { 1, 5, 0 }, { -1, 5, 0 }, { 1, 5, 0 } }, { 9, 9, 9 }, 1, 0, 1, 0, AUDIT_CORRUPT },
	{ "damaged where none should be", { { 0 }, { -1, 5, 0 }, { 0 } }, { 9, 9, 9 }, 1, 0, 1, 0, AUDIT_EXTRA },
	{ "written since one looked", { { 1, 8, 0 }, { 2, 5, 0 }, { 1, 8, 0 } }, { 9, 7, 9 }, 0, 1, 0, 0, 0 },
	{ "made since one looked", { { 1, 8, 0 }, { 0 }, { 1, 8, 0 } }, { 9, 7, 9 }, 0, 1, 0, 0, 0 },
	{ "written since, and equal", { { 1, 8, 0 }, { 1, 8, 0 }, { 1, 8, 0 } }, { 9, 9, 7 }, 0, 0, 0, 0, 0 },
	{ "missing, and not written since", { { 1, 5, 0 }, { 0 }, { 1, 5, 0 } }, { 9, 5, 7 }, 1, 0, 1, 0, AUDIT_MISSING },
	{ "three opinions", { { 1, 5, 0 }, { 2, 5, 0 }, { 3, 5, 0 } }, { 9, 9, 9 }, 1, 0, 1, AUDIT_NOBODY, AUDIT_CORRUPT },
	{ "two damaged", { { -1, 5, 0 }, { -1, 5, 0 }, { 1, 5, 0 } }, { 9, 9, 9 }, 1, 0, 1, AUDIT_NOBODY, AUDIT_CORRUPT },
};

START_TEST(the_majority_is_right)
{
	const struct vote_case *c = &cases[_i];
	struct audit_entry entries[3];
	struct audit_list lists[3];
	struct audit_vote v;

	for (unsigned i = 0; i < 3; i++) {
		entries[i] = entry_of(4, c->has[i]);
		lists[i] = (struct audit_list){ c->numbers[i], &entries[i], c->has[i].content != 0 };
	}
	ck_assert_int_eq(audit_vote(lists, 3, 2, &arena, &v), ERR_NONE);
	ck_assert_msg(v.count == c->differences && v.unsure == c->unsure, "%s: %u differences, %u unsure", c->name,
		      v.count, v.unsure);
	if (v.count == 0)
		return;
	const struct audit_difference *d = &v.differences[0];
	ck_assert_msg(d->region == c->region && d->right == c->right && d->class == c->class, "%s: %u %u %s", c->name,
		      d->region, d->right, audit_class_word(d->class));
	if (d->right != AUDIT_NOBODY) {
		ck_assert_int_eq(d->right_present, c->has[d->right].content != 0);
		if (d->right_present)
			ck_assert_uint_eq(d->right_digest.lo, (uint64_t)c->has[d->right].content);
	}
}
END_TEST

START_TEST(of_two_regions_none_is_right)
{
	struct audit_entry one = entry_of(1, (struct has){ 1, 5, 0 });
	struct audit_entry two = entry_of(1, (struct has){ 2, 5, 0 });
	struct audit_list lists[] = { { 9, &one, 1 }, { 9, &two, 1 } };
	struct audit_vote v;

	ck_assert_int_eq(audit_vote(lists, 2, 2, &arena, &v), ERR_NONE);
	ck_assert_uint_eq(v.count, 1);
	ck_assert_uint_eq(v.differences[0].right, AUDIT_NOBODY);
}
END_TEST

START_TEST(one_region_alone_is_told_of_its_damage)
{
	struct audit_entry entries[] = { entry_of(1, (struct has){ 1, 5, 0 }), entry_of(2, (struct has){ -1, 5, 0 }) };
	struct audit_list list = { 9, entries, 2 };
	struct audit_vote v;

	ck_assert_int_eq(audit_vote(&list, 1, 1, &arena, &v), ERR_NONE);
	ck_assert_uint_eq(v.count, 1);
	ck_assert_uint_eq(v.differences[0].id.lo, 2);
	ck_assert_uint_eq(v.differences[0].right, AUDIT_NOBODY);
}
END_TEST

/* Many rows, lists that lack different ones: every one is met once, in order. */
START_TEST(long_lists_are_merged_by_id)
{
	static struct audit_entry entries[3][300];
	struct audit_list lists[3] = { { 9, entries[0], 0 }, { 9, entries[1], 0 }, { 9, entries[2], 0 } };
	struct audit_vote v;
	uint64_t lacking = 0;

	for (uint64_t id = 0; id < 300; id++) {
		for (unsigned r = 0; r < 3; r++) {
			if (id % 10 == r) {
				lacking++;
				continue;
			}
			entries[r][lists[r].count++] = entry_of(id, (struct has){ 1, 5, 0 });
		}
	}
	ck_assert_int_eq(audit_vote(lists, 3, 2, &arena, &v), ERR_NONE);
	ck_assert_uint_eq(v.count, lacking);
	for (uint32_t i = 0; i < v.count; i++) {
		ck_assert_uint_eq(v.differences[i].region, v.differences[i].id.lo % 10);
		ck_assert_int_eq(v.differences[i].class, AUDIT_MISSING);
		ck_assert(i == 0 || v.differences[i - 1].id.lo < v.differences[i].id.lo);
	}
}
END_TEST

START_TEST(leaves_vote_too)
{
	struct merkle_leaf l[] = { { 1, 2, 3 }, { 1, 2, 4 }, { 1, 2, 3 }, { 9, 9, 9 } };

	ck_assert_uint_eq(audit_vote_leaf(l, 3, 2), 0);
	ck_assert_uint_eq(audit_vote_leaf(l, 2, 2), AUDIT_NOBODY);
	ck_assert_uint_eq(audit_vote_leaf(l, 4, 3), AUDIT_NOBODY);
	ck_assert_uint_eq(audit_vote_leaf(l + 1, 1, 1), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("audit_vote");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, the_majority_is_right, 0, (int)LEN(cases));
	tcase_add_test(t, of_two_regions_none_is_right);
	tcase_add_test(t, one_region_alone_is_told_of_its_damage);
	tcase_add_test(t, long_lists_are_merged_by_id);
	tcase_add_test(t, leaves_vote_too);
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
