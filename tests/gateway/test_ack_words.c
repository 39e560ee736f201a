/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three data regions and a gateway, one region alone, and what a client may ask of them.
 */
#include "gateway/ack_words.h"

#include "gateway/region.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct regions fleet = {
	.rows = { { .name = "eu", .id = 1, .data = true },
		  { .name = "us", .id = 2, .data = true, .self = true },
		  { .name = "ap", .id = 200, .data = true },
		  { .name = "edge", .id = 4 } },
	.count = 4,
};

static struct fault fault;

static struct str text_of(const char *s)
{
	return (struct str){ .data = s, .len = strlen(s) };
}

START_TEST(all_a_number_and_names_are_understood)
{
	static const struct {
		const char *text;
		uint32_t count;
		const char *these;
	} rows[] = {
		{ "all", 3, "eu,us,ap" }, { "1", 1, "" },           { "2", 2, "" },         { " 3 ", 3, "" },
		{ "002", 2, "" },         { "eu", 0, "eu" },        { "ap,eu", 0, "eu,ap" }, { " us ,\tap ", 0, "us,ap" },
		{ "eu,eu", 0, "eu" },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		CLEANUP(buf_release) struct buf names = BUF_INIT(ACK_WORDS_MAX);
		struct ack_regions asked;
		ck_assert_msg(ack_words_parse(text_of(rows[i].text), &fleet, "us", &asked, &fault) == ERR_NONE, "%s: %s",
			      rows[i].text, fault.text);
		ck_assert_msg(asked.count == rows[i].count, "%s: %u", rows[i].text, asked.count);
		struct ack_report r = { .applied = { .regions = asked.these } };
		ack_words_write_names(&r, &fleet, "us", &names);
		ck_assert_int_eq(buf_append_byte(&names, 0), ERR_NONE);
		ck_assert_msg(strcmp((char *)names.data, rows[i].these) == 0, "%s: %s", rows[i].text, (char *)names.data);
	}
}
END_TEST

START_TEST(what_this_fleet_can_never_reach_is_refused)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{ "", "names of data regions are expected" },
		{ "  ", "names of data regions are expected" },
		{ "0", "0 regions cannot apply a write" },
		{ "4", "this fleet has 3 with data" },
		{ "4294967297", "this fleet has 3 with data" },
		{ "-1", "'-1' is no region" },
		{ "2.5", "'2.5' is no region" },
		{ "ALL", "'ALL' is no region" },
		{ "all,eu", "'all' is no region" },
		{ "eu,2", "'2' is no region" },
		{ "eu,", "'' is no region" },
		{ ",", "'' is no region" },
		{ "mars", "'mars' is no region" },
		{ "eu,edge", "region edge is a gateway" },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct ack_regions asked;
		fault = (struct fault){ 0 };
		ck_assert_msg(ack_words_parse(text_of(rows[i].text), &fleet, "us", &asked, &fault) == ERR_BAD_INPUT, "%s",
			      rows[i].text);
		ck_assert_msg(strstr(fault.text, rows[i].words) != NULL, "%s: %s", rows[i].text, fault.text);
		ck_assert_msg(strstr(fault.text, "isthmus-ack: ") == fault.text, "%s", fault.text);
	}
}
END_TEST

START_TEST(a_region_alone_is_all_there_are)
{
	static const char *const good[] = { "all", "1", "local" };
	static const char *const bad[] = { "2", "0", "eu" };
	const struct regions none = { 0 };
	struct ack_regions asked;
	struct region_set self = { 0 };

	region_set_add(&self, 0);
	for (size_t i = 0; i < LEN(good); i++) {
		ck_assert_int_eq(ack_words_parse(text_of(good[i]), i % 2 ? NULL : &none, "local", &asked, &fault), ERR_NONE);
		ck_assert(ack_regions_asked(&asked) && ack_regions_met(&asked, &self));
	}
	for (size_t i = 0; i < LEN(bad); i++)
		ck_assert_int_eq(ack_words_parse(text_of(bad[i]), &none, "local", &asked, &fault), ERR_BAD_INPUT);
}
END_TEST

START_TEST(a_reply_names_what_was_reached_and_nothing_else)
{
	static const struct {
		struct ack_report report;
		const char *words;
	} rows[] = {
		{ { .level = ACK_LOCAL }, "local" },
		{ { .level = ACK_VISIBLE }, "local,visible" },
		{ { .level = ACK_STREAM }, "local,visible,stream" },
		{ { .level = ACK_CONFIRMED, .applied = { .stream = true } }, "local,visible,stream,confirmed" },
		{ { .level = ACK_CONFIRMED }, "local,visible,confirmed" },
		{ { .level = ACK_VISIBLE, .applied = { .regions = { { 6 } } }, .regions = true }, "local,visible,regions=2" },
		{ { .level = ACK_CONFIRMED, .applied = { .regions = { { 6 } } } }, "local,visible,confirmed" },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(ACK_WORDS_MAX);
		ack_words_write(&rows[i].report, &b);
		ck_assert_int_eq(buf_append_byte(&b, 0), ERR_NONE);
		ck_assert_str_eq((char *)b.data, rows[i].words);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ack_words");
	TCase *t = tcase_create("ack_words");

	tcase_add_test(t, all_a_number_and_names_are_understood);
	tcase_add_test(t, what_this_fleet_can_never_reach_is_refused);
	tcase_add_test(t, a_region_alone_is_all_there_are);
	tcase_add_test(t, a_reply_names_what_was_reached_and_nothing_else);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
