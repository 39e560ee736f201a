/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REST envelope: what a request becomes, what a reply looks like, byte by byte.
 */
#include "gateway/rest.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/api.h"

/* A call without a loop: the request is never sent. */
struct fixture {
	struct clock_manual clock;
	struct api api;
	struct request *request;
	struct call call;
};

static struct str text_of(const char *s)
{
	return (struct str){ .data = s, .len = strlen(s) };
}

static void setup(struct fixture *f, const char *query, const char *body)
{
	*f = (struct fixture){ .api = { .region = "local" } };
	clock_manual_init(&f->clock, 0);
	f->clock.mono_ns = 1500000000;
	f->api.clock = &f->clock.clock;
	ck_assert_int_eq(request_new(NULL, 1u << 20, &f->request), ERR_NONE);
	f->request->query = text_of(query);
	buf_append_cstr(&f->request->body, body);
	f->call = (struct call){
		.api = &f->api,
		.request = f->request,
		.arena = &f->request->arena,
		.started_ns = 1000000000,
	};
}

static void teardown(struct fixture *f)
{
	request_free(f->request);
}

static const char *reply_header(const struct request *r, const char *name)
{
	for (uint32_t i = 0; i < r->reply.header_count; i++)
		if (r->reply.headers[i].name.len == strlen(name) &&
		    memcmp(r->reply.headers[i].name.data, name, strlen(name)) == 0)
			return r->reply.headers[i].value.data;
	return NULL;
}

static void assert_body(struct request *r, const char *expected)
{
	ck_assert_msg(
		r->reply.body.len == strlen(expected) &&
			(!*expected || memcmp(r->reply.body.data, expected, strlen(expected)) == 0),
		"%.*s is not %s", STR_FMT(buf_str(&r->reply.body)), expected);
}

static enum err find_and_decode(struct fixture *f, enum http_verb verb, const char *path)
{
	struct method_match match;
	enum err e = method_find_rest(verb, text_of(path), f->call.arena, &match, &f->call.fault);

	if (e)
		return e;
	f->call.method = match.method;
	return rest_decode(&f->call, &match);
}

/* ---- refused ---- */

struct refused {
	enum http_verb verb;
	const char *path, *query, *body;
	int status;
	const char *reply;
};

#define COUNT "/collections/a/points/count"
#define ERROR0(words) "{\"status\":{\"error\":\"" words "\"},\"time\":0.0}"
#define ERROR(words) "{\"status\":{\"error\":\"" words "\"},\"time\":0.5}"

static const struct refused refusals[] = {
	{ VERB_GET, "/nothing", "", "", 404, "" },
	{ VERB_PATCH, "/collections", "", "", 405, "" },
	{ VERB_GET, "/collections/%", "", "", 400,
	  ERROR0("Deserialize error in path parameters: not percent-encoded UTF-8") },
	{ VERB_POST, COUNT, "", "", 400,
	  ERROR0("Format error in JSON body: expected an object at line 1 column 1") },
	{ VERB_POST, COUNT, "", "{", 400, NULL },
	{ VERB_POST, COUNT, "", "{}x", 400,
	  ERROR0("Format error in JSON body: trailing characters at line 1 column 3") },
	{ VERB_POST, COUNT, "", "{\"exact\":1}", 400, NULL },
	{ VERB_POST, COUNT, "", "{\"filter\":{\"must\":[{\"nested\":{}}]}}", 400, NULL },
	{ VERB_POST, COUNT, "timeout=0", "{}", 422,
	  ERROR0("Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]") },
	{ VERB_POST, COUNT, "timeout=x", "{}", 400,
	  ERROR0("Deserialize error in query parameters: timeout: `x` is not a whole number from 0 to 18446744073709551615") },
	{ VERB_POST, COUNT, "timeout=%f", "{}", 400,
	  ERROR0("Deserialize error in query parameters: not percent-encoded UTF-8") },
	{ VERB_POST, "/collections/a/points/scroll", "", "{\"limit\":0}", 422,
	  ERROR0("Validation error in JSON body: [limit: value 0 invalid, must be 1 or larger]") },
	{ VERB_GET, "/collections/a/points/x", "", "", 400,
	  ERROR("Wrong input: Can not recognize \\\"x\\\" as point id") },
};

START_TEST(a_wrong_request_is_answered_in_these_words)
{
	const struct refused *c = &refusals[_i];
	struct fixture f;

	setup(&f, c->query, c->body);
	enum err e = find_and_decode(&f, c->verb, c->path);
	ck_assert_int_ne(e, ERR_NONE);
	rest_encode(&f.call, e);
	ck_assert_int_eq(f.request->reply.status, c->status);
	if (c->reply)
		assert_body(f.request, c->reply);
	teardown(&f);
}
END_TEST

START_TEST(too_many_query_parameters_are_refused)
{
	CLEANUP(buf_release) struct buf query = BUF_INIT(4096);
	struct fixture f;

	for (int i = 0; i < 100; i++)
		buf_append_cstr(&query, "a=b&");
	buf_append_byte(&query, 0);
	setup(&f, (const char *)query.data, "{}");
	ck_assert_int_eq(find_and_decode(&f, VERB_POST, COUNT), ERR_BAD_REQUEST);
	teardown(&f);
}
END_TEST

START_TEST(a_wrong_key_is_answered_in_plain_text)
{
	struct fixture f;

	setup(&f, "", "");
	(void)fault_set(&f.call.fault, ERR_UNAUTHENTICATED, "Invalid API key or JWT");
	rest_encode(&f.call, ERR_UNAUTHENTICATED);
	ck_assert_int_eq(f.request->reply.status, 401);
	assert_body(f.request, "Invalid API key or JWT");
	ck_assert_str_eq(reply_header(f.request, "content-type"), "text/plain; charset=utf-8");
	teardown(&f);
}
END_TEST

START_TEST(a_reply_beyond_its_bound_is_an_error)
{
	struct fixture f;

	setup(&f, "", "{\"ids\":[]}");
	ck_assert_int_eq(find_and_decode(&f, VERB_POST, "/collections/a/points"), ERR_NONE);
	buf_release(&f.request->reply.body);
	buf_init(&f.request->reply.body, 80);
	struct msg_records_reply *out = f.call.out;
	struct msg_record records[9] = { 0 };
	out->result = (struct msg_record_list){ .items = records, .count = LEN(records) };
	rest_encode(&f.call, ERR_NONE);
	ck_assert_int_eq(f.request->reply.status, 413);
	assert_body(f.request, ERROR("the reply is too large"));
	teardown(&f);
}
END_TEST

/* ---- ordinary ---- */

START_TEST(path_query_and_body_become_one_message)
{
	struct fixture f;

	setup(&f, "wait=true&ordering=strong&timeout=7&collection_name=other&unknown=1&&x",
	      "{\"points\":[{\"id\":1,\"vector\":[1]}]}");
	ck_assert_int_eq(find_and_decode(&f, VERB_PUT, "/collections/a%20b/points"), ERR_NONE);
	const struct msg_points_upsert *m = f.call.in;
	ck_assert_uint_eq(m->collection_name.len, 3);
	ck_assert_mem_eq(m->collection_name.data, "a b", 3);
	ck_assert(m->wait);
	ck_assert_int_eq(m->ordering.type, ORDERING_STRONG);
	ck_assert_uint_eq(m->timeout, 7);
	ck_assert_uint_eq(m->points.count, 1);
	ck_assert_uint_eq(m->points.items[0].vector.items[0].vector.count, 1);
	teardown(&f);
}
END_TEST

START_TEST(a_method_without_a_body_reads_none)
{
	struct fixture f;

	setup(&f, "timeout=3", "this is not JSON");
	ck_assert_int_eq(find_and_decode(&f, VERB_DELETE, "/collections/a"), ERR_NONE);
	const struct msg_collection_delete *m = f.call.in;
	ck_assert_uint_eq(m->timeout, 3);
	teardown(&f);
}
END_TEST

START_TEST(a_result_is_put_into_the_envelope)
{
	struct fixture f;

	setup(&f, "", "{}");
	ck_assert_int_eq(find_and_decode(&f, VERB_POST, COUNT), ERR_NONE);
	((struct msg_count_reply *)f.call.out)->result.count = 3;
	rest_encode(&f.call, ERR_NONE);
	ck_assert_int_eq(f.request->reply.status, 200);
	assert_body(f.request, "{\"result\":{\"count\":3},\"status\":\"ok\",\"time\":0.5}");
	ck_assert_str_eq(reply_header(f.request, "content-type"), "application/json");
	ck_assert_ptr_null(reply_header(f.request, "access-control-allow-origin"));
	teardown(&f);
}
END_TEST

struct shaped {
	const char *path;
	int status;
	const char *reply;
	const char *type;
};

static const struct shaped shapes[] = {
	{ "/", 200, "{\"title\":\"t\",\"version\":\"1\"}", "application/json" },
	{ "/cluster", 200, "{\"result\":{\"status\":\"disabled\"},\"status\":\"ok\",\"time\":0.5}",
	  "application/json" },
	{ "/isthmus/status", 200, "{\"status\":\"disabled\"}", "application/json" },
	{ "/readyz", 503, "not yet", "text/plain; charset=utf-8" },
	{ "/aliases", 200, "{\"result\":{\"aliases\":[]},\"status\":\"ok\",\"time\":0.5}",
	  "application/json" },
};

START_TEST(a_reply_has_the_shape_of_its_message)
{
	const struct shaped *c = &shapes[_i];
	struct fixture f;

	setup(&f, "", "");
	ck_assert_int_eq(find_and_decode(&f, VERB_GET, c->path), ERR_NONE);
	struct msg_version_info version = { .title = STR("t"), .version = STR("1") };
	struct msg_json_result json = { .json = STR("{\"status\":\"disabled\"}") };
	struct msg_text text = { .text = STR("not yet"), .status = 503 };
	enum message_shape shape = message_shape(f.call.method->out);
	if (shape == SHAPE_DOCUMENT)
		*(struct msg_version_info *)f.call.out = version;
	else if (shape == SHAPE_TEXT)
		*(struct msg_text *)f.call.out = text;
	else if (shape != SHAPE_OBJECT)
		memcpy(f.call.out, &json, sizeof(json));
	rest_encode(&f.call, ERR_NONE);
	ck_assert_int_eq(f.request->reply.status, c->status);
	assert_body(f.request, c->reply);
	ck_assert_str_eq(reply_header(f.request, "content-type"), c->type);
	teardown(&f);
}
END_TEST

START_TEST(text_replies_are_200_unless_said_otherwise)
{
	struct fixture f;

	setup(&f, "", "");
	ck_assert_int_eq(find_and_decode(&f, VERB_GET, "/healthz"), ERR_NONE);
	((struct msg_text *)f.call.out)->text = STR("ok");
	rest_encode(&f.call, ERR_NONE);
	ck_assert_int_eq(f.request->reply.status, 200);
	teardown(&f);
}
END_TEST

START_TEST(other_origins_may_ask_and_read)
{
	static struct header headers[] = {
		{ .name = STR("origin"), .value = STR("https://example.org") },
		{ .name = STR("access-control-request-headers"), .value = STR("api-key") },
	};
	struct fixture f;

	setup(&f, "", "{}");
	f.request->headers = headers;
	f.request->header_count = LEN(headers);
	ck_assert_int_eq(find_and_decode(&f, VERB_POST, COUNT), ERR_NONE);
	rest_encode(&f.call, ERR_NONE);
	ck_assert_str_eq(reply_header(f.request, "access-control-allow-origin"), "*");
	teardown(&f);

	setup(&f, "", "");
	f.request->headers = headers;
	f.request->header_count = LEN(headers);
	rest_preflight(f.request);
	ck_assert_int_eq(f.request->reply.status, 200);
	ck_assert_str_eq(reply_header(f.request, "access-control-allow-origin"), "*");
	ck_assert_str_eq(reply_header(f.request, "access-control-allow-headers"), "api-key");
	ck_assert_ptr_nonnull(reply_header(f.request, "access-control-allow-methods"));
	teardown(&f);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("rest");
	TCase *refused = tcase_create("refused");
	TCase *ordinary = tcase_create("ordinary");

	tcase_add_loop_test(refused, a_wrong_request_is_answered_in_these_words, 0,
			    (int)LEN(refusals));
	tcase_add_test(refused, too_many_query_parameters_are_refused);
	tcase_add_test(refused, a_wrong_key_is_answered_in_plain_text);
	tcase_add_test(refused, a_reply_beyond_its_bound_is_an_error);
	suite_add_tcase(s, refused);
	tcase_add_test(ordinary, path_query_and_body_become_one_message);
	tcase_add_test(ordinary, a_method_without_a_body_reads_none);
	tcase_add_test(ordinary, a_result_is_put_into_the_envelope);
	tcase_add_loop_test(ordinary, a_reply_has_the_shape_of_its_message, 0, (int)LEN(shapes));
	tcase_add_test(ordinary, text_replies_are_200_unless_said_otherwise);
	tcase_add_test(ordinary, other_origins_may_ask_and_read);
	suite_add_tcase(s, ordinary);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
