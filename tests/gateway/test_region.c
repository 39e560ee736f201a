/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of regions: which row is found by an id, a name and a certificate.
 */
#include "gateway/region.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "gateway/config.h"

static const struct regions fleet = { .rows = { { .name = "eu", .id = 1, .data = true },
						{ .name = "us", .id = 2, .data = true, .self = true },
						{ .name = "edge-eu", .id = 9 } },
				      .count = 3 };

static struct str text_of(const char *text)
{
	return (struct str){ text, strlen(text) };
}

START_TEST(who_is_not_in_the_fleet_is_not_found)
{
	static const char *const names[] = { "", "e", "eu2", "EU", "eu.isthmus" };
	static const char *const certificates[] = { "", ".isthmus", "eu", "isthmus", "eu.Isthmus", "eu.isthmus.",
						    "eu.isthmus.org", "eu2.isthmus", "x.eu.isthmus", "euxisthmus" };

	for (size_t i = 0; i < LEN(names); i++)
		ck_assert_msg(!regions_by_name(&fleet, text_of(names[i])), "%s", names[i]);
	for (size_t i = 0; i < LEN(certificates); i++)
		ck_assert_msg(!regions_by_certificate(&fleet, text_of(certificates[i])), "%s", certificates[i]);
	ck_assert_ptr_null(regions_by_id(&fleet, 0));
	ck_assert_ptr_null(regions_by_id(&fleet, 3));
}
END_TEST

/* A name of a certificate is no terminated string: it may hold anything. */
START_TEST(a_certificate_with_a_zero_in_its_name_is_nobodys)
{
	ck_assert_ptr_null(regions_by_certificate(&fleet, (struct str){ "eu\0.isthmus", 11 }));
	ck_assert_ptr_null(regions_by_name(&fleet, (struct str){ "eu\0", 3 }));
}
END_TEST

START_TEST(each_region_is_found_by_id_name_and_certificate)
{
	for (uint32_t i = 0; i < fleet.count; i++) {
		const struct region *r = &fleet.rows[i];
		char certificate[64];
		(void)snprintf(certificate, sizeof(certificate), "%s.isthmus", r->name);
		ck_assert_ptr_eq(regions_by_id(&fleet, r->id), r);
		ck_assert_ptr_eq(regions_by_name(&fleet, text_of(r->name)), r);
		ck_assert_ptr_eq(regions_by_certificate(&fleet, text_of(certificate)), r);
	}
	ck_assert_ptr_eq(regions_self(&fleet), &fleet.rows[1]);
	ck_assert_uint_eq(regions_data_count(&fleet), 2);
}
END_TEST

START_TEST(alone_there_is_no_region)
{
	struct config *c;
	struct buf errors = BUF_INIT(4096);
	struct regions r = { .count = 7 };

	ck_assert_int_eq(config_load(NULL, &c, &errors), ERR_NONE);
	regions_init(&r, c);
	ck_assert_uint_eq(r.count, 0);
	ck_assert_ptr_null(regions_self(&r));
	ck_assert_uint_eq(regions_data_count(&r), 0);
	config_free(c);
	buf_release(&errors);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("region");
	TCase *t = tcase_create("all");

	tcase_add_test(t, who_is_not_in_the_fleet_is_not_found);
	tcase_add_test(t, a_certificate_with_a_zero_in_its_name_is_nobodys);
	tcase_add_test(t, each_region_is_found_by_id_name_and_certificate);
	tcase_add_test(t, alone_there_is_no_region);
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
