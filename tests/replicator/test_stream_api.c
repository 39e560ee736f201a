/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to JetStream: what is sent, and what is made of the answers, as nats-server 2.9.10 gives
 * them.
 */
#include "replicator/stream_api.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *answer;
static unsigned stumbles;
static char asked[256], domain_asked[64], body_asked[1024];

static enum err fake_request(struct stream *s, const char *domain, const char *what,
			     struct bytes body, struct buf *out, struct fault *reterr_fault)
{
	(void)s;
	snprintf(asked, sizeof(asked), "%s", what);
	snprintf(domain_asked, sizeof(domain_asked), "%s", domain);
	snprintf(body_asked, sizeof(body_asked), "%.*s", (int)body.len,
		 body.data ? (const char *)body.data : "");
	if (stumbles > 0) {
		stumbles--;
		return buf_append_cstr(out,
				       "{\"error\":{\"code\":500,\"err_code\":10051,"
				       "\"description\":\"unlinkat obs/b: directory not empty\"}}");
	}
	if (!answer)
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "nobody answers");
	return buf_append_cstr(out, answer);
}

static const struct stream_ops ops = { .request = fake_request };
static struct stream stream = { .ops = &ops };

START_TEST(refusals_become_errors_with_their_words)
{
	const struct {
		const char *answer;
		enum err err;
		const char *words;
	} rows[] = {
		{ NULL, ERR_UNAVAILABLE, "nobody answers" },
		{ "", ERR_BAD_GATEWAY, "cannot be understood" },
		{ "{", ERR_BAD_GATEWAY, "cannot be understood" },
		{ "[]", ERR_BAD_GATEWAY, "cannot be understood" },
		{ "{\"error\":{\"code\":404,\"err_code\":10059,\"description\":\"stream not found\"}}",
		  ERR_NOT_FOUND, "STREAM.INFO.OPS_a in domain da: stream not found (10059)" },
		{ "{\"error\":{\"code\":500,\"err_code\":10047,\"description\":\"insufficient storage\"}}",
		  ERR_NO_SPACE, "insufficient storage" },
		{ "{\"error\":{\"code\":503,\"err_code\":10008,\"description\":\"temporarily unavailable\"}}",
		  ERR_UNAVAILABLE, "temporarily" },
		{ "{\"error\":{\"code\":503,\"err_code\":10039,\"description\":\"not enabled\"}}",
		  ERR_UNAVAILABLE, "not enabled" },
		{ "{\"error\":{\"code\":400,\"description\":\"bad request\"}}", ERR_BAD_REQUEST,
		  "bad request" },
		{ "{\"type\":\"x\"}", ERR_BAD_GATEWAY, "describes no stream" },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct pull_found found = { 0 };
		struct fault f = { 0 };
		answer = rows[i].answer;
		enum err e = stream_api_stream(&stream, "da", "a", &found, &f);
		ck_assert_msg(e == rows[i].err, "row %zu: %s", i, err_name(e));
		ck_assert_msg(strstr(f.text, rows[i].words) != NULL, "row %zu: %s", i, f.text);
	}
}
END_TEST

START_TEST(stream_is_read_and_its_birth_tells_it_apart)
{
	struct pull_found one = { 0 }, same = { 0 }, other = { 0 };
	answer =
		"{\"config\":{\"name\":\"OPS_a\",\"first_seq\":7},\"created\":\"2026-11-20T23:59:59.1Z\","
		"\"state\":{\"messages\":3,\"first_seq\":4,\"last_seq\":6,\"first_ts\":\"x\"}}";
	ck_assert_int_eq(stream_api_stream(&stream, "", "a", &one, NULL), ERR_NONE);
	ck_assert_int_eq(stream_api_stream(&stream, "", "a", &same, NULL), ERR_NONE);
	ck_assert_str_eq(asked, "STREAM.INFO.OPS_a");
	ck_assert_uint_eq(one.first, 4);
	ck_assert_uint_eq(one.last, 6);
	ck_assert_uint_ne(one.birth, 0);
	ck_assert_uint_eq(one.birth, same.birth);
	answer =
		"{\"created\":\"2026-11-20T23:59:59.2Z\",\"state\":{\"first_seq\":0,\"last_seq\":0}}";
	ck_assert_int_eq(stream_api_stream(&stream, "", "a", &other, NULL), ERR_NONE);
	ck_assert_uint_ne(one.birth, other.birth);
}
END_TEST

START_TEST(floor_of_a_durable_is_where_it_began_until_something_is_acknowledged)
{
	const struct {
		const char *answer;
		bool durable;
		uint64_t floor, unacked;
	} rows[] = {
		{ "{\"error\":{\"code\":404,\"err_code\":10014,\"description\":\"consumer not found\"}}",
		  false, 0, 0 },
		{ "{\"config\":{\"deliver_policy\":\"all\"},\"delivered\":{\"consumer_seq\":9,\"stream_seq\":9},"
		  "\"ack_floor\":{\"consumer_seq\":5,\"stream_seq\":5},\"num_ack_pending\":4}",
		  true, 5, 4 },
		{ "{\"config\":{\"opt_start_seq\":101},\"ack_floor\":{\"consumer_seq\":0,\"stream_seq\":0},"
		  "\"num_ack_pending\":50}",
		  true, 100, 50 },
		{ "{\"ack_floor\":{\"stream_seq\":120},\"config\":{\"opt_start_seq\":101},\"num_ack_pending\":0}",
		  true, 120, 0 },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct pull_found f = { .birth = 3, .durable = true, .floor = 77, .unacked = 77 };
		answer = rows[i].answer;
		ck_assert_int_eq(stream_api_durable(&stream, "da", "a", "b", &f, NULL), ERR_NONE);
		ck_assert_str_eq(asked, "CONSUMER.INFO.OPS_a.b");
		ck_assert_msg(f.durable == rows[i].durable && f.floor == rows[i].floor &&
				      f.unacked == rows[i].unacked,
			      "row %zu", i);
		ck_assert_uint_eq(f.birth, 3);
	}
}
END_TEST

START_TEST(durable_is_made_as_readers_need_it)
{
	answer = "{\"name\":\"b\"}";
	ck_assert_int_eq(stream_api_create(&stream, "da", "a", "b", 42, 5000, NULL), ERR_NONE);
	ck_assert_str_eq(asked, "CONSUMER.DURABLE.CREATE.OPS_a.b");
	ck_assert_str_eq(domain_asked, "da");
	ck_assert_str_eq(
		body_asked,
		"{\"stream_name\":\"OPS_a\",\"config\":{\"durable_name\":\"b\",\"deliver_policy\":\"by_start_sequence\","
		"\"opt_start_seq\":42,\"ack_policy\":\"all\",\"ack_wait\":5000000000,\"max_ack_pending\":20000,"
		"\"max_deliver\":-1,\"replay_policy\":\"instant\"}}");
	ck_assert_int_eq(stream_api_create(&stream, "da", "a", "b", 0, 5000, NULL), ERR_NONE);
	ck_assert_ptr_nonnull(strstr(body_asked, "\"deliver_policy\":\"all\",\"ack_policy\""));
}
END_TEST

START_TEST(removing_what_is_not_there_is_good)
{
	answer =
		"{\"error\":{\"code\":404,\"err_code\":10014,\"description\":\"consumer not found\"}}";
	ck_assert_int_eq(stream_api_remove(&stream, "da", "a", "b", NULL), ERR_NONE);
	ck_assert_str_eq(asked, "CONSUMER.DELETE.OPS_a.b");
	/* 2.9.10, while it writes the state of the durable. */
	answer = "{\"success\":true}";
	stumbles = 2;
	ck_assert_int_eq(stream_api_remove(&stream, "da", "a", "b", NULL), ERR_NONE);
	stumbles = 100;
	struct fault f = { 0 };
	ck_assert_int_eq(stream_api_remove(&stream, "da", "a", "b", &f), ERR_BAD_REQUEST);
	ck_assert_ptr_nonnull(strstr(f.text, "directory not empty"));
	ck_assert_uint_ge(stumbles, 90);
	stumbles = 0;
	answer = "{\"error\":{\"code\":503,\"err_code\":10008,\"description\":\"no leader\"}}";
	ck_assert_int_eq(stream_api_remove(&stream, "da", "a", "b", NULL), ERR_UNAVAILABLE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stream_api");
	TCase *t = tcase_create("api");
	tcase_add_test(t, refusals_become_errors_with_their_words);
	tcase_add_test(t, stream_is_read_and_its_birth_tells_it_apart);
	tcase_add_test(t, floor_of_a_durable_is_where_it_began_until_something_is_acknowledged);
	tcase_add_test(t, durable_is_made_as_readers_need_it);
	tcase_add_test(t, removing_what_is_not_there_is_good);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
