/* SPDX-License-Identifier: Apache-2.0 */
#include "index/tail.h"

#include <check.h>
#include <stdlib.h>

#include "tests/index/random.h"

#define SLOTS 500u

START_TEST(tail_holds_what_was_added_and_not_removed)
{
	struct tail t = { 0 };
	struct random r = { 3 };
	bool model[SLOTS] = { false };
	uint32_t count = 0;

	ck_assert(!tail_has(&t, 0));
	tail_remove(&t, 7);
	for (int i = 0; i < 20000; i++) {
		uint32_t slot = (uint32_t)(random_u64(&r) % SLOTS);

		ck_assert(tail_has(&t, slot) == model[slot]);
		if (model[slot] || random_u64(&r) % 3 == 0) {
			count -= model[slot];
			tail_remove(&t, slot);
			model[slot] = false;
		} else {
			ck_assert_int_eq(tail_reserve(&t, slot, 1), ERR_NONE);
			tail_add(&t, slot);
			model[slot] = true;
			count++;
		}
		ck_assert_uint_eq(t.count, count);
	}
	for (uint32_t i = 0; i < t.count; i++) {
		ck_assert(model[t.slots[i]]);
		model[t.slots[i]] = false; /* each once */
	}
	tail_release(&t);
}
END_TEST

START_TEST(reserved_room_is_enough)
{
	struct tail t = { 0 };

	ck_assert_int_eq(tail_reserve(&t, 10000, 3000), ERR_NONE);
	for (uint32_t i = 0; i < 3000; i++)
		tail_add(&t, 10000 - i);
	ck_assert_uint_eq(t.count, 3000);
	ck_assert(tail_has(&t, 10000) && tail_has(&t, 7001) && !tail_has(&t, 7000) &&
		  !tail_has(&t, 1u << 30));
	tail_release(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tail");
	TCase *t = tcase_create("all");

	tcase_add_test(t, tail_holds_what_was_added_and_not_removed);
	tcase_add_test(t, reserved_room_is_enough);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
