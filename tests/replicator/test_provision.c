/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Provisioning against a server that answers from a table: what contradicts the plan is refused in
 * words, what can be changed is changed, nothing is done twice. Against real servers:
 * test_stream_nats.c.
 */
#include "replicator/provision.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replicator/stream_api.h"

#define NO_STREAM                                                                                  \
	"{\"error\":{\"code\":404,\"err_code\":10059,\"description\":\"stream not found\"}}"
#define NO_CONSUMER                                                                                \
	"{\"error\":{\"code\":404,\"err_code\":10014,\"description\":\"consumer not found\"}}"
#define NO_ROOM                                                                                    \
	"{\"error\":{\"code\":500,\"err_code\":10047,\"description\":\"insufficient storage resources\"}}"
#define GOOD_CONFIG(bytes)                                                                                                \
	"{\"config\":{\"name\":\"OPS_a\",\"subjects\":[\"ops.a.\\u003e\"],\"retention\":\"limits\",\"max_consumers\":-1," \
	"\"max_msgs\":-1,\"max_bytes\":" bytes                                                                            \
	",\"max_age\":3600000000000,\"max_msgs_per_subject\":-1,"                                                         \
	"\"max_msg_size\":-1,\"discard\":\"old\",\"storage\":\"file\",\"num_replicas\":1,"                                \
	"\"duplicate_window\":120000000000,\"deny_delete\":true,\"deny_purge\":true}}"
#define GOOD_STREAM GOOD_CONFIG("1073741824")
#define GOOD_DURABLE                                                                                                      \
	"{\"config\":{\"durable_name\":\"b\",\"deliver_policy\":\"all\",\"ack_policy\":\"all\",\"ack_wait\":10000000000," \
	"\"max_deliver\":-1,\"replay_policy\":\"instant\",\"max_ack_pending\":20000},"                                    \
	"\"ack_floor\":{\"stream_seq\":9},\"num_ack_pending\":0}"
#define ACCOUNT "{\"domain\":\"da\",\"limits\":{\"max_storage\":-1}}"
#define NO_STREAMS "{\"total\":0,\"offset\":0,\"limit\":256,\"streams\":[]}"

/* The server: its answers now, and those once something was made or changed. */
static struct server {
	const char *account, *list, *list_next, *stream, *stream_then, *durable, *durable_then,
		*create;
} server;
static char calls[1024], bodies[4096];
static unsigned listed;

static void note(char *to, size_t size, const char *text, size_t len)
{
	size_t used = strlen(to);
	snprintf(to + used, size - used, "%s%.*s", used ? " " : "", (int)len, text);
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static enum err fake_request(struct stream *s, const char *domain, const char *what,
			     struct bytes body, struct buf *out, struct fault *reterr_fault)
{
	const char *answer = "{}";
	(void)s;
	ck_assert_str_eq(domain, "da");
	if (strcmp(what, "INFO") == 0) {
		answer = server.account;
	} else if (strcmp(what, "STREAM.LIST") == 0) {
		answer = listed++ && server.list_next ? server.list_next : server.list;
	} else if (begins(what, "STREAM.INFO.")) {
		answer = server.stream;
	} else if (begins(what, "CONSUMER.INFO.")) {
		answer = server.durable;
	} else {
		note(calls, sizeof(calls), what, strlen(what));
		note(bodies, sizeof(bodies), (const char *)body.data, body.len);
		if (begins(what, "CONSUMER.DELETE."))
			server.durable = NO_CONSUMER;
		else if (begins(what, "CONSUMER."))
			server.durable = server.durable_then;
		else if (!server.create)
			server.stream = server.stream_then;
		if (server.create)
			answer = server.create;
	}
	if (!answer)
		return fault_set(reterr_fault, ERR_TIMEOUT, "no answer");
	return buf_append_cstr(out, answer);
}

static const struct stream_ops ops = { .request = fake_request };
static struct stream stream = { .ops = &ops };
static const struct provision_region regions[] = { { "a", "da" }, { "b", "db" } };
static const struct provision_plan good = {
	.regions = regions, .region_count = 2, .max_bytes = 1u << 30, .max_age_ms = 3600000
};
static const struct server settled = { ACCOUNT,     NO_STREAMS,   NULL,         GOOD_STREAM,
				       GOOD_STREAM, GOOD_DURABLE, GOOD_DURABLE, NULL };
static struct provision_report report;
static struct fault fault;

static void set_up(void)
{
	server = settled;
	calls[0] = bodies[0] = '\0';
	listed = 0;
	report = (struct provision_report){ 0 };
	fault = (struct fault){ 0 };
}

static enum err provision(const struct provision_plan *p)
{
	return provision_stream(&stream, p, 0, &report, &fault);
}

START_TEST(impossible_plans_are_refused_before_anything_is_asked)
{
	static const struct provision_region twice[] = { { "a", "da" }, { "a", "db" } };
	static const struct provision_region same_domain[] = { { "a", "da" }, { "b", "da" } };
	static const struct provision_region half[] = { { "a", "da" }, { "b", "" } };
	static const struct provision_region name[] = { { "a", "da" }, { "B", "db" } };
	struct {
		struct provision_plan plan;
		const char *words;
	} rows[] = {
		{ good, "0 regions" },
		{ good, "named twice" },
		{ good, "the same JetStream domain" },
		{ good, "every region" },
		{ good, "region name" },
		{ good, "too small" },
		{ good, "an age of 5" },
		{ good, "ack wait" },
		{ good, "replicas" },
	};
	rows[0].plan.region_count = 0;
	rows[1].plan.regions = twice;
	rows[2].plan.regions = same_domain;
	rows[3].plan.regions = half;
	rows[4].plan.regions = name;
	rows[5].plan.max_bytes = 1000;
	rows[6].plan.max_age_ms = 5;
	rows[7].plan.ack_wait_ms = 5;
	rows[8].plan.replicas = 6;
	for (size_t i = 0; i < LEN(rows); i++) {
		ck_assert_msg(provision(&rows[i].plan) == ERR_CONFIG, "%s", rows[i].words);
		ck_assert_msg(strstr(fault.text, rows[i].words) != NULL, "%s: %s", rows[i].words,
			      fault.text);
	}
	ck_assert_str_eq(calls, "");
}
END_TEST

#define LISTED(name, subject, bytes)                                                               \
	"{\"total\":1,\"streams\":[{\"config\":{\"name\":\"" name "\",\"subjects\":[\"" subject    \
	"\"],\"max_bytes\":" bytes "},\"state\":{}}]}"

START_TEST(what_contradicts_the_plan_is_refused)
{
	const struct {
		const char *account, *list, *stream;
		enum err err;
		const char *words;
	} rows[] = {
		{ NULL, NO_STREAMS, GOOD_STREAM, ERR_TIMEOUT, "no answer" },
		{ "{\"domain\":\"db\"}", NO_STREAMS, GOOD_STREAM, ERR_CONFIG,
		  "domain \"db\" instead of \"da\"" },
		{ "{}", NO_STREAMS, GOOD_STREAM, ERR_CONFIG, "domain \"\" instead" },
		{ ACCOUNT, LISTED("ALL", "ops.>", "5"), GOOD_STREAM, ERR_CONFIG, "stream ALL" },
		{ ACCOUNT, LISTED("ALL", ">", "5"), GOOD_STREAM, ERR_CONFIG, "stream ALL" },
		{ ACCOUNT, LISTED("ALL", "ops.*.f.0", "5"), GOOD_STREAM, ERR_CONFIG, "stream ALL" },
		{ ACCOUNT, LISTED("ONE", "ops.a.f.0", "5"), GOOD_STREAM, ERR_CONFIG, "stream ONE" },
		{ "{\"domain\":\"da\",\"limits\":{\"max_storage\":1073741823}}", NO_STREAMS,
		  GOOD_STREAM, ERR_NO_SPACE, "the account's 1073741823" },
		{ "{\"domain\":\"da\",\"limits\":{\"max_storage\":1073741824}}",
		  LISTED("X", "x", "1"), GOOD_STREAM, ERR_NO_SPACE, "1 promised to others" },
		{ ACCOUNT, NO_STREAMS,
		  "{\"config\":{\"name\":\"OPS_a\",\"subjects\":[\"ops.x\"],\"retention\":\"limits\","
		  "\"storage\":\"file\"}}",
		  ERR_CONFIG, "other subjects" },
		{ ACCOUNT, NO_STREAMS,
		  "{\"config\":{\"name\":\"OPS_a\",\"subjects\":[\"ops.a.>\"],"
		  "\"retention\":\"workqueue\",\"storage\":\"file\"}}",
		  ERR_CONFIG, "keep by limits" },
		{ ACCOUNT, NO_STREAMS,
		  "{\"config\":{\"name\":\"OPS_a\",\"subjects\":[\"ops.a.>\"],\"retention\":\"limits\","
		  "\"storage\":\"memory\"}}",
		  ERR_CONFIG, "in files" },
		{ ACCOUNT, NO_STREAMS,
		  "{\"config\":{\"name\":\"OPS_a\",\"mirror\":{\"name\":\"y\"}}}", ERR_CONFIG,
		  "mirror" },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		set_up();
		server.account = rows[i].account;
		server.list = rows[i].list;
		server.stream = rows[i].stream;
		enum err e = provision(&good);
		ck_assert_msg(e == rows[i].err, "row %zu: %s %s", i, err_name(e), fault.text);
		ck_assert_msg(strstr(fault.text, rows[i].words) != NULL, "row %zu: %s", i,
			      fault.text);
		ck_assert_str_eq(calls, "");
	}
}
END_TEST

START_TEST(other_streams_do_not_disturb)
{
	static const char *const lists[] = {
		LISTED("OPS_b", "ops.b.>", "1000"), LISTED("OPS_a", "ops.a.>", "1000"),
		LISTED("X", "ops.a", "-1"),         LISTED("X", "ops.ab.>", "-1"),
		"{\"total\":0,\"streams\":null}",
	};
	for (size_t i = 0; i < LEN(lists); i++) {
		set_up();
		server.list = lists[i];
		ck_assert_msg(provision(&good) == ERR_NONE, "row %zu: %s", i, fault.text);
	}
}
END_TEST

START_TEST(all_pages_of_streams_are_read)
{
	server.account = "{\"domain\":\"da\",\"limits\":{\"max_storage\":1073741829}}";
	server.list =
		"{\"total\":2,\"streams\":[{\"config\":{\"name\":\"X\",\"subjects\":[\"x\"],\"max_bytes\":3}}]}";
	server.list_next =
		"{\"total\":2,\"streams\":[{\"config\":{\"name\":\"Y\",\"subjects\":[\"y\"],\"max_bytes\":3}}]}";
	ck_assert_int_eq(provision(&good), ERR_NO_SPACE);
	ck_assert_uint_eq(listed, 2);
	ck_assert_ptr_nonnull(strstr(fault.text, "6 promised"));
}
END_TEST

START_TEST(what_is_right_is_left_alone)
{
	ck_assert_int_eq(provision(&good), ERR_NONE);
	ck_assert_str_eq(calls, "");
	ck_assert_uint_eq(report.kept, 2);
	ck_assert_uint_eq(report.made + report.changed, 0);
}
END_TEST

START_TEST(what_is_missing_is_made)
{
	server.stream = NO_STREAM;
	server.durable = NO_CONSUMER;
	ck_assert_msg(provision(&good) == ERR_NONE, "%s", fault.text);
	ck_assert_str_eq(calls, "STREAM.CREATE.OPS_a CONSUMER.DURABLE.CREATE.OPS_a.b");
	ck_assert_uint_eq(report.made, 2);
	ck_assert_ptr_nonnull(strstr(
		bodies, "{\"name\":\"OPS_a\",\"subjects\":[\"ops.a.>\"],\"retention\":\"limits\","
			"\"storage\":\"file\",\"discard\":\"old\",\"max_bytes\":1073741824,"
			"\"max_age\":3600000000000,"));
	ck_assert_ptr_nonnull(
		strstr(bodies, "\"deny_delete\":true,\"deny_purge\":true,\"allow_direct\":false}"));
	ck_assert_ptr_null(strstr(bodies, "placement"));
}
END_TEST

START_TEST(placement_follows_the_tag)
{
	struct provision_plan p = good;
	p.tag_prefix = "region:";
	server.stream = NO_STREAM;
	ck_assert_int_eq(provision(&p), ERR_NONE);
	ck_assert_ptr_nonnull(strstr(bodies, "\"placement\":{\"tags\":[\"region:a\"]}"));
}
END_TEST

START_TEST(what_the_server_ignored_is_noticed)
{
	server.stream = NO_STREAM;
	server.stream_then = GOOD_CONFIG("7");
	ck_assert_int_eq(provision(&good), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(fault.text, "max_bytes is 7 instead of 1073741824"));

	set_up();
	server.durable = NO_CONSUMER;
	server.durable_then =
		"{\"config\":{\"ack_policy\":\"explicit\",\"replay_policy\":\"instant\"}}";
	ck_assert_int_eq(provision(&good), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(fault.text, "ack_policy"));
}
END_TEST

START_TEST(no_room_is_told_with_what_to_do)
{
	server.stream = NO_STREAM;
	server.create = NO_ROOM;
	ck_assert_int_eq(provision(&good), ERR_NO_SPACE);
	ck_assert_ptr_nonnull(strstr(fault.text, "raise max_file"));
}
END_TEST

START_TEST(what_differs_is_changed)
{
	server.stream = GOOD_CONFIG("5000");
	ck_assert_int_eq(provision(&good), ERR_NONE);
	ck_assert_str_eq(calls, "STREAM.UPDATE.OPS_a");
	ck_assert_uint_eq(report.changed, 1);

	/* A durable is made anew where its acknowledgements end. */
	set_up();
	server.durable =
		"{\"config\":{\"ack_policy\":\"explicit\",\"replay_policy\":\"instant\"},\"ack_floor\":{\"stream_seq\":9}}";
	ck_assert_int_eq(provision(&good), ERR_NONE);
	ck_assert_str_eq(calls, "CONSUMER.DELETE.OPS_a.b CONSUMER.DURABLE.CREATE.OPS_a.b");
	ck_assert_ptr_nonnull(strstr(bodies, "\"opt_start_seq\":10,"));
	ck_assert_uint_eq(report.changed, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("provision");
	TCase *t = tcase_create("provision");
	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_test(t, impossible_plans_are_refused_before_anything_is_asked);
	tcase_add_test(t, what_contradicts_the_plan_is_refused);
	tcase_add_test(t, other_streams_do_not_disturb);
	tcase_add_test(t, all_pages_of_streams_are_read);
	tcase_add_test(t, what_is_right_is_left_alone);
	tcase_add_test(t, what_is_missing_is_made);
	tcase_add_test(t, placement_follows_the_tag);
	tcase_add_test(t, what_the_server_ignored_is_noticed);
	tcase_add_test(t, no_room_is_told_with_what_to_do);
	tcase_add_test(t, what_differs_is_changed);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
