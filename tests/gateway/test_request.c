/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests: targets, headers, bodies with their budget and their encoding, and who frees them.
 */
#include "gateway/request.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/gzip.h"
#include "base/metric.h"

static struct clock_manual hand;
static struct loop *loop;

static void setup(void)
{
	clock_manual_init(&hand, 0);
	ck_assert_int_eq(loop_new(&hand.clock, &loop), ERR_NONE);
}

static void teardown(void)
{
	loop_free(loop);
}

static struct request *make(size_t body_bytes_max)
{
	struct request *r;
	ck_assert_int_eq(request_new(loop, body_bytes_max, &r), ERR_NONE);
	return r;
}

static bool is(struct str s, const char *text)
{
	return s.len == strlen(text) && (s.len == 0 || memcmp(s.data, text, s.len) == 0);
}

static struct str str_of(const char *text)
{
	return (struct str){ .data = text, .len = strlen(text) };
}

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){ .data = (const uint8_t *)text, .len = strlen(text) };
}

START_TEST(targets_in_other_forms_are_refused)
{
	static const char *const targets[] = {
		"",       "*",     "http://host/x", "x",      "/a b", "/a\tb",
		"/a\x7f", "/\x80", "/a#part",       "//\x01", "/a\r", "/\n",
	};
	for (size_t i = 0; i < LEN(targets); i++) {
		struct request *r = make(10);
		ck_assert_msg(!request_set_target(r, str_of(targets[i])), "row %zu was taken", i);
		request_free(r);
	}
	struct request *r = make(10);
	ck_assert(!request_set_target(r, (struct str){ .data = "/a\0b", .len = 4 }));
	request_free(r);
}
END_TEST

START_TEST(targets_are_cut_at_the_question_mark)
{
	static const struct {
		const char *target;
		const char *path;
		const char *query;
	} rows[] = {
		{ "/", "/", "" },          { "/?", "/", "" },
		{ "///", "/", "" },        { "/a", "/a", "" },
		{ "/a/", "/a", "" },       { "/a//", "/a", "" },
		{ "/a//b", "/a//b", "" },  { "/a/?b=c/", "/a", "b=c/" },
		{ "/a?b?c", "/a", "b?c" }, { "/%2F%00", "/%2F%00", "" },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct request *r = make(10);
		ck_assert(request_set_target(r, str_of(rows[i].target)));
		ck_assert_msg(is(r->path, rows[i].path), "row %zu: path %.*s", i, STR_FMT(r->path));
		ck_assert_msg(is(r->query, rows[i].query), "row %zu", i);
		request_free(r);
	}
}
END_TEST

START_TEST(header_that_would_end_its_line_is_refused)
{
	struct request *r = make(10);
	ck_assert_int_eq(request_add_header(r, STR("a"), STR("b\r\nc: d")), ERR_BAD_INPUT);
	ck_assert_int_eq(request_add_header(r, STR("a"), STR("b\nc")), ERR_BAD_INPUT);
	ck_assert_int_eq(request_add_header(r, STR("a\r"), STR("b")), ERR_BAD_INPUT);
	ck_assert_int_eq(request_add_header(r, STR("a"), (struct str){ .data = "\0", .len = 1 }),
			 ERR_BAD_INPUT);
	ck_assert_int_eq(request_add_header(r, STR(""), STR("b")), ERR_BAD_INPUT);
	ck_assert_uint_eq(r->reply.header_count, 0);
	request_free(r);
}
END_TEST

START_TEST(headers_of_a_reply_are_bounded)
{
	struct request *r = make(10);
	for (int i = 0; i < REQUEST_HEADERS_MAX; i++)
		ck_assert_int_eq(request_add_header(r, STR("a"), STR("b\tc")), ERR_NONE);
	ck_assert_int_eq(request_add_header(r, STR("a"), STR("b")), ERR_TOO_LARGE);
	ck_assert_uint_eq(r->reply.header_count, REQUEST_HEADERS_MAX);
	ck_assert(is(r->reply.headers[REQUEST_HEADERS_MAX - 1].value, "b\tc"));
	request_free(r);
}
END_TEST

START_TEST(header_is_found_by_its_whole_name)
{
	struct header headers[] = {
		{ STR("api"), STR("1") },
		{ STR("api-key"), STR("2") },
		{ STR("api-key"), STR("3") },
		{ STR("empty"), STR("") },
	};
	struct request *r = make(10);
	r->headers = headers;
	r->header_count = LEN(headers);
	ck_assert(is(request_header(r, "api-key"), "2"));
	ck_assert_ptr_null(request_header(r, "api-ke").data);
	ck_assert_ptr_null(request_header(r, "api-keys").data);
	ck_assert_ptr_nonnull(request_header(r, "empty").data);
	request_free(r);
}
END_TEST

START_TEST(body_stops_at_its_maximum)
{
	struct request *r = make(8);
	ck_assert_int_eq(request_append_body(r, bytes_of("12345")), ERR_NONE);
	ck_assert_int_eq(request_append_body(r, bytes_of("6789")), ERR_TOO_LARGE);
	ck_assert_int_eq(request_append_body(r, bytes_of("678")), ERR_NONE);
	ck_assert_uint_eq(r->body.len, 8);
	ck_assert_int_eq(request_refusal(ERR_TOO_LARGE), REFUSAL_BODY);
	request_free(r);
}
END_TEST

START_TEST(bodies_share_a_budget_and_give_it_back)
{
	struct request_budget budget = { .max = 10 };
	struct request *a = make(100);
	struct request *b = make(100);
	a->budget = b->budget = &budget;
	ck_assert_int_eq(request_append_body(a, bytes_of("1234567")), ERR_NONE);
	ck_assert_int_eq(request_append_body(b, bytes_of("1234")), ERR_RATE_LIMITED);
	ck_assert_int_eq(request_append_body(b, bytes_of("123")), ERR_NONE);
	ck_assert_uint_eq(budget.used, 10);
	request_free(a);
	ck_assert_uint_eq(budget.used, 3);
	ck_assert_int_eq(request_append_body(b, bytes_of("1234567")), ERR_NONE);
	request_free(b);
	ck_assert_uint_eq(budget.used, 0);
	ck_assert_int_eq(request_refusal(ERR_RATE_LIMITED), REFUSAL_MEMORY);
}
END_TEST

/* A request whose body is text, packed, under the name of that encoding. */
static struct request *encoded(const char *encoding, const char *text, size_t len,
			       size_t body_bytes_max)
{
	static struct header header;
	CLEANUP(buf_release) struct buf packed = BUF_INIT(1 << 20);
	const struct bytes in = { .data = (const uint8_t *)text, .len = len };
	ck_assert_int_eq(gzip_deflate(in, 6, &packed), ERR_NONE);
	struct request *r = make(body_bytes_max);
	header = (struct header){ STR("content-encoding"), str_of(encoding) };
	r->headers = &header;
	r->header_count = 1;
	ck_assert_int_eq(request_append_body(r, buf_bytes(&packed)), ERR_NONE);
	return r;
}

static void refuse_body(const char *encoding, const char *text, size_t len, size_t max, enum err wanted, const char *words)
{
	struct request *r = encoded(encoding, text, len, max);
	struct fault f = { 0 };
	ck_assert(request_is_packed(r));
	ck_assert_int_eq(request_decode_body(r, &f), wanted);
	ck_assert_msg(f.err == wanted && strstr(f.text, words), "%s", f.text);
	request_free(r);
}

START_TEST(unknown_encodings_and_bombs_are_refused)
{
	static char zeros[1 << 20];
	refuse_body("br", "x", 1, 1000, ERR_ENCODING, "content-encoding");
	refuse_body("gzip, gzip", "x", 1, 1000, ERR_ENCODING, "content-encoding");
	refuse_body("gzip", zeros, 2000, 1999, ERR_TOO_LARGE, "1999 bytes (limits.body)");
	/* 1,000 to 1 */
	refuse_body("gzip", zeros, sizeof(zeros), 2 * sizeof(zeros), ERR_TOO_LARGE, "100 times");
	struct request *r = encoded("gzip", "hello", 5, 1000);
	struct fault f = { 0 };
	r->body.data[r->body.len - 1] ^= 1;
	ck_assert_int_eq(request_decode_body(r, &f), ERR_BAD_REQUEST);
	ck_assert_ptr_nonnull(strstr(f.text, "gzip"));
	request_free(r);
}
END_TEST

START_TEST(gzip_body_is_inflated_and_counted)
{
	static char zeros[2000];
	struct request_budget budget = { .max = UINT64_MAX };
	struct fault f;
	struct request *r = encoded("GZip", zeros, sizeof(zeros), 2000);
	r->budget = &budget;
	ck_assert_int_eq(request_decode_body(r, &f), ERR_NONE);
	ck_assert_uint_eq(r->body.len, sizeof(zeros));
	ck_assert_mem_eq(r->body.data, zeros, sizeof(zeros));
	ck_assert_uint_eq(budget.used, 2000);
	request_free(r);
	budget.max = 1999;
	r = encoded("gzip", zeros, sizeof(zeros), 2000);
	r->budget = &budget;
	ck_assert_int_eq(request_decode_body(r, &f), ERR_RATE_LIMITED);
	request_free(r);
	ck_assert_uint_eq(budget.used, 0);
	/* gRPC compresses message by message. */
	r = encoded("gzip", "x", 1, 1000);
	r->grpc = true;
	size_t len = r->body.len;
	ck_assert(!request_is_packed(r));
	ck_assert_int_eq(request_decode_body(r, &f), ERR_NONE);
	ck_assert_uint_eq(r->body.len, len);
	request_free(r);
}
END_TEST

static unsigned replies;
static void on_reply(struct request_sink *s UNUSED, struct request *r)
{
	replies++;
	request_free(r);
}

static void serve_now(void *ctx, struct request *r)
{
	*(bool *)ctx = r->in_flight;
	r->reply.status = 200;
	request_reply(r);
}

START_TEST(reply_reaches_the_sink_once_or_nobody)
{
	struct request_sink sink = { .reply = on_reply };
	bool was_in_flight = false;
	struct request *r = make(10);
	r->sink = &sink;
	request_submit(r, serve_now, &was_in_flight);
	ck_assert_uint_eq(replies, 1);
	ck_assert(was_in_flight);

	r = make(10);
	r->sink = &sink;
	request_detach(r);
	ck_assert(atomic_load(&r->cancelled));
	request_submit(r, serve_now, &was_in_flight);
	ck_assert_uint_eq(replies, 1);

	CLEANUP(buf_release) struct buf text = BUF_INIT(1 << 20);
	metric_write(&text);
	buf_append_byte(&text, 0);
	ck_assert_ptr_nonnull(strstr((const char *)text.data, "\nisthmus_requests_in_flight 0\n"));
}
END_TEST

START_TEST(refusals_speak_the_protocol_of_the_request)
{
	struct request *r = make(10);
	request_refuse(r, REFUSAL_BODY);
	ck_assert_int_eq(r->reply.status, 413);
	ck_assert_int_eq(r->reply.grpc_status, -1);
	ck_assert(is(
		buf_str(&r->reply.body),
		"{\"status\":{\"error\":\"the body of the request is too large\"},\"time\":0.0}"));
	request_free(r);
	r = make(10);
	r->grpc = true;
	request_refuse(r, REFUSAL_BODY);
	ck_assert_int_eq(r->reply.status, 200);
	ck_assert_int_eq(r->reply.grpc_status, 8);
	ck_assert(is(r->reply.grpc_message, "the body of the request is too large"));
	request_free(r);
	r = make(10);
	request_refuse(r, REFUSAL_MEMORY);
	ck_assert_int_eq(r->reply.status, 429);
	ck_assert(is(r->reply.headers[1].name, "retry-after"));
	request_free(r);
}
END_TEST

START_TEST(verbs_are_known_by_their_exact_names)
{
	ck_assert_int_eq(request_verb(STR("PATCH")), VERB_PATCH);
	ck_assert_int_eq(request_verb(STR("HEAD")), VERB_HEAD);
	ck_assert_int_eq(request_verb(STR("get")), VERB_OTHER);
	ck_assert_int_eq(request_verb(STR("GETS")), VERB_OTHER);
	ck_assert_int_eq(request_verb(STR("")), VERB_OTHER);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("request");
	TCase *t = tcase_create("request");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, targets_in_other_forms_are_refused);
	tcase_add_test(t, targets_are_cut_at_the_question_mark);
	tcase_add_test(t, header_that_would_end_its_line_is_refused);
	tcase_add_test(t, headers_of_a_reply_are_bounded);
	tcase_add_test(t, header_is_found_by_its_whole_name);
	tcase_add_test(t, body_stops_at_its_maximum);
	tcase_add_test(t, bodies_share_a_budget_and_give_it_back);
	tcase_add_test(t, unknown_encodings_and_bombs_are_refused);
	tcase_add_test(t, gzip_body_is_inflated_and_counted);
	tcase_add_test(t, reply_reaches_the_sink_once_or_nobody);
	tcase_add_test(t, refusals_speak_the_protocol_of_the_request);
	tcase_add_test(t, verbs_are_known_by_their_exact_names);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
