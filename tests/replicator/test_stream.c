/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that streams and subjects are made of.
 */
#include "replicator/stream.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(names_that_would_break_a_subject_are_refused)
{
	static const char *const refused[] = {
		"", "a.b", "a*", ">", "A", "a b", "\xc3\xa9", "abcdefghijklmnopqrstuvwxyz1234567"
	};
	for (size_t i = 0; i < LEN(refused); i++)
		ck_assert_msg(!stream_name_valid(refused[i]), "%s", refused[i]);
	static const char *const taken[] = { "a", "eu-west_1", "abcdefghijklmnopqrstuvwxyz123456" };
	for (size_t i = 0; i < LEN(taken); i++)
		ck_assert_msg(stream_name_valid(taken[i]), "%s", taken[i]);
}
END_TEST

START_TEST(configurations_with_clashes_are_refused_in_words)
{
	const struct {
		const char *fleet, *region, *domain;
		struct stream_peer peers[2];
		const char *words; /* NULL: good */
	} rows[] = {
		{ "f", "a", "da", { { "b", "db" }, { "c", "dc" } }, NULL },
		{ "f", "a", "", { { "b", "" }, { "c", "" } }, NULL },
		{ "f.g", "a", "da", { { "b", "db" }, { "c", "dc" } }, "fleet name" },
		{ NULL, "a", "da", { { "b", "db" }, { "c", "dc" } }, "fleet name" },
		{ "f", "A", "da", { { "b", "db" }, { "c", "dc" } }, "region name \"A\"" },
		{ "f", "a", "da", { { "b*", "db" }, { "c", "dc" } }, "region name \"b*\"" },
		{ "f", "a", "d.a", { { "b", "db" }, { "c", "dc" } }, "domain \"d.a\"" },
		{ "f", "a", "da", { { "b", "db" }, { "b", "dc" } }, "region b is named twice" },
		{ "f", "a", "da", { { "b", "db" }, { "a", "dc" } }, "region a is named twice" },
		{ "f",
		  "a",
		  "da",
		  { { "b", "db" }, { "c", "db" } },
		  "regions c and b have the same" },
		{ "f",
		  "a",
		  "da",
		  { { "b", "da" }, { "c", "dc" } },
		  "regions a and b have the same" },
		{ "f", "a", "da", { { "b", "db" }, { "c", "" } }, "every region" },
		{ "f", "a", "", { { "b", "db" }, { "c", "dc" } }, "every region" },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct stream_config c = { .fleet = rows[i].fleet,
					   .region = rows[i].region,
					   .domain = rows[i].domain,
					   .peers = rows[i].peers,
					   .peer_count = 2 };
		struct fault f = { 0 };
		struct stream_settings set;
		enum err e = stream_settings_copy(&set, &c, &f);
		ck_assert_msg(e == (rows[i].words ? ERR_CONFIG : ERR_NONE), "row %zu: %s", i,
			      f.text);
		if (rows[i].words)
			ck_assert_msg(strstr(f.text, rows[i].words) != NULL, "row %zu: %s", i,
				      f.text);
	}
	struct stream_config many = {
		.fleet = "f", .region = "a", .domain = "", .peer_count = STREAM_PEERS_MAX + 1
	};
	struct stream_settings set;
	ck_assert_int_eq(stream_settings_copy(&set, &many, NULL), ERR_CONFIG);
}
END_TEST

START_TEST(settings_are_copies)
{
	char fleet[] = "shop", url[] = "nats://h:1,nats://h:2", user[] = "edge";
	struct stream_peer peer = { .region = "b", .domain = "db" };
	struct stream_config c = { .fleet = fleet,
				   .region = "a",
				   .domain = "da",
				   .peers = &peer,
				   .peer_count = 1,
				   .urls = url,
				   .user = user };
	struct stream_settings set;
	ck_assert_int_eq(stream_settings_copy(&set, &c, NULL), ERR_NONE);
	fleet[0] = url[0] = user[0] = 'x';
	peer.domain = "other";
	ck_assert_str_eq(set.fleet, "shop");
	ck_assert_str_eq(set.user, "edge");
	ck_assert_ptr_null(set.password_file);
	ck_assert_int_eq(set.url_count, 2);
	ck_assert_str_eq(set.urls[0], "nats://h:1");
	ck_assert_str_eq(set.urls[1], "nats://h:2");
	ck_assert_str_eq(stream_settings_domain(&set, "b"), "db");
	ck_assert_ptr_null(stream_settings_domain(&set, "a"));
	ck_assert_uint_eq(set.ack_wait_ms, STREAM_ACK_WAIT_MS_DEFAULT);
	stream_settings_release(&set);
}
END_TEST

START_TEST(wrong_urls_and_secrets_are_refused)
{
	static const char *const urls[] = { ",", "nats://a,,nats://b", "1,2,3,4,5,6,7,8,9" };
	struct stream_settings set;
	for (size_t i = 0; i < LEN(urls); i++) {
		struct stream_config c = {
			.fleet = "f", .region = "a", .domain = "", .urls = urls[i]
		};
		struct fault f = { 0 };
		ck_assert_msg(stream_settings_copy(&set, &c, &f) == ERR_CONFIG, "%s", urls[i]);
		ck_assert_ptr_nonnull(strstr(f.text, urls[i]));
	}
	char secret[STREAM_SECRET_MAX];
	struct fault f = { 0 };
	ck_assert_int_eq(stream_secret_read("/nonexistent/secret", secret, &f), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(f.text, "/nonexistent/secret"));
	ck_assert_int_eq(stream_secret_read("/dev/null", secret, &f), ERR_CONFIG);
}
END_TEST

START_TEST(foreign_subjects_are_told_apart)
{
	static const char *const refused[] = {
		"ops.a.f",
		"ops.a.f.",
		"ops.a.f.1.2",
		"ops.a.f.16",
		"ops.a.f.x",
		"ops.a.g.1",
		"beat.a.f.1",
		"ops..f.1",
		"ops.a.f.-1",
		"ops",
		"",
		"ops.a.ff.1",
		"opsx.a.f.1",
		"ops.a.f.100000",
		"ops.abcdefghijklmnopqrstuvwxyz1234567.f.1",
	};
	char region[STREAM_NAME_MAX + 1];
	uint16_t scope;
	for (size_t i = 0; i < LEN(refused); i++) {
		ck_assert_msg(!stream_subject_parse(refused[i], "ops", "f", region, &scope), "%s",
			      refused[i]);
	}
}
END_TEST

START_TEST(subject_comes_back_as_it_was_made)
{
	char subject[STREAM_SUBJECT_MAX], region[STREAM_NAME_MAX + 1];
	uint16_t scope = 99;
	stream_subject("beat", "eu-1", "shop", 15, subject);
	ck_assert_str_eq(subject, "beat.eu-1.shop.15");
	ck_assert(stream_subject_parse(subject, "beat", "shop", region, &scope));
	ck_assert_str_eq(region, "eu-1");
	ck_assert_uint_eq(scope, 15);

	const char longest[] = "abcdefghijklmnopqrstuvwxyz123456";
	stream_subject("beat", longest, longest, 15, subject);
	ck_assert(stream_subject_parse(subject, "beat", longest, region, &scope));
	ck_assert_str_eq(region, longest);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stream");
	TCase *t = tcase_create("names");
	tcase_add_test(t, names_that_would_break_a_subject_are_refused);
	tcase_add_test(t, configurations_with_clashes_are_refused_in_words);
	tcase_add_test(t, wrong_urls_and_secrets_are_refused);
	tcase_add_test(t, settings_are_copies);
	tcase_add_test(t, foreign_subjects_are_told_apart);
	tcase_add_test(t, subject_comes_back_as_it_was_made);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
