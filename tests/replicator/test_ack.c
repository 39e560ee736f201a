/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <stdlib.h>

#include "base/macros.h"
#include "replicator/ack.h"

static struct region_set set_of(const uint8_t *ids)
{
	struct region_set s = { 0 };

	for (; *ids; ids++)
		region_set_add(&s, *ids);
	return s;
}

#define SET(...) set_of((const uint8_t[]){ __VA_ARGS__, 0 })
#define NONE { { 0 } }

START_TEST(a_set_has_what_was_added)
{
	struct region_set s = { 0 };

	ck_assert_uint_eq(region_set_count(&s), 0);
	for (unsigned id = 0; id < 256; id++) {
		ck_assert(!region_set_has(&s, (uint8_t)id));
		region_set_add(&s, (uint8_t)id);
		region_set_add(&s, (uint8_t)id);
		ck_assert(region_set_has(&s, (uint8_t)id));
		ck_assert_uint_eq(region_set_count(&s), id + 1);
	}
}
END_TEST

START_TEST(regions_are_met_by_number_and_by_name)
{
	const struct {
		const char *name;
		struct ack_regions asked;
		struct region_set applied;
		bool is_asked, met;
	} rows[] = {
		{ "nothing", { 0, NONE, false }, NONE, false, true },
		{ "nothing, and two have it", { 0, NONE, false }, SET(1, 2), false, true },
		{ "two, one has it", { 2, NONE, false }, SET(1), true, false },
		{ "two, two have it", { 2, NONE, false }, SET(1, 255), true, true },
		{ "two, three have it", { 2, NONE, false }, SET(1, 2, 3), true, true },
		{ "one named, which has it", { 0, SET(200), false }, SET(1, 200), true, true },
		{ "one named, others have it", { 0, SET(200), false }, SET(1, 2, 199), true, false },
		{ "two named, one of them has it", { 0, SET(2, 3), false }, SET(1, 2), true, false },
		{ "two named and three in number", { 3, SET(2, 3), false }, SET(2, 3), true, false },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		ck_assert_msg(ack_regions_asked(&rows[i].asked) == rows[i].is_asked, "%s", rows[i].name);
		ck_assert_msg(ack_regions_met(&rows[i].asked, &rows[i].applied) == rows[i].met, "%s", rows[i].name);
	}
}
END_TEST

START_TEST(all_are_those_that_count_now)
{
	const struct ack_regions all = { 3, SET(1, 2, 3), true }, named = { 3, SET(1, 2, 3), false };
	struct region_set two = SET(1, 2), none = { 0 };

	struct ack_regions asked = ack_regions_among(&all, &two);
	ck_assert(ack_regions_met(&asked, &two));
	asked = ack_regions_among(&named, &two);
	ck_assert(!ack_regions_met(&asked, &two));
	asked = ack_regions_among(&all, &none);
	ck_assert(!ack_regions_met(&asked, &two));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ack");
	TCase *t = tcase_create("ack");

	tcase_add_test(t, a_set_has_what_was_added);
	tcase_add_test(t, regions_are_met_by_number_and_by_name);
	tcase_add_test(t, all_are_those_that_count_now);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
