/* SPDX-License-Identifier: Apache-2.0 */
#include "index/topk.h"

#include <check.h>
#include <stdlib.h>

#include "tests/index/random.h"

static int order(const void *a, const void *b)
{
	return hit_compare(a, b);
}

START_TEST(nearest_are_kept_whatever_the_order_of_offers)
{
	static const uint32_t ks[] = { 0, 1, 2, 7, 100, 499, 500, 900 };
	struct hit hits[500];
	struct random r = { 5 };

	for (size_t n = 0; n < LEN(ks); n++) {
		struct topk t;

		ck_assert_int_eq(topk_init(&t, ks[n]), ERR_NONE);
		for (uint32_t i = 0; i < LEN(hits); i++) {
			/* Many equal ones. */
			hits[i] = (struct hit){ .row = i,
						.similarity = (float)(random_u64(&r) % 20),
						.id = { .lo = (i * 7919) % 500 } };
			if (topk_wants(&t, hits[i].similarity))
				topk_offer(&t, hits[i]);
		}
		topk_sort(&t);
		qsort(hits, LEN(hits), sizeof(*hits), order);
		ck_assert_uint_eq(t.count, MIN(ks[n], LEN(hits)));
		for (uint32_t i = 0; i < t.count; i++)
			ck_assert_uint_eq(t.hits[i].row, hits[i].row);
		topk_release(&t);
	}
}
END_TEST

START_TEST(full_heap_wants_only_what_is_not_worse)
{
	struct topk t;

	ck_assert_int_eq(topk_init(&t, 2), ERR_NONE);
	ck_assert(topk_wants(&t, -1e30F));
	topk_offer(&t, (struct hit){ .similarity = 3 });
	topk_offer(&t, (struct hit){ .similarity = 5 });
	ck_assert(!topk_wants(&t, 2.9F) && topk_wants(&t, 3) && topk_wants(&t, 4));
	topk_release(&t);
	ck_assert_int_eq(topk_init(&t, 0), ERR_NONE);
	ck_assert(!topk_wants(&t, 1));
	topk_release(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("topk");
	TCase *t = tcase_create("all");

	tcase_add_test(t, nearest_are_kept_whatever_the_order_of_offers);
	tcase_add_test(t, full_heap_wants_only_what_is_not_worse);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
