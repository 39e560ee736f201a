/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC envelope: frames, compression, deadlines, status.
 */
#include "gateway/grpc.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/clock.h"
#include "gateway/api.h"

struct fixture {
	struct clock_manual clock;
	struct api api;
	struct header headers[2];
	struct request *request;
	struct call call;
};

static void setup(struct fixture *f, const char *path, const void *body, size_t len)
{
	*f = (struct fixture){ .api = { .region = "local" } };
	clock_manual_init(&f->clock, 0);
	f->clock.mono_ns = 1500000000;
	f->api.clock = &f->clock.clock;
	ck_assert_int_eq(request_new(NULL, 1u << 20, &f->request), ERR_NONE);
	f->request->grpc = true;
	f->request->headers = f->headers;
	buf_append(&f->request->body, body, len);
	f->call = (struct call){
		.api = &f->api,
		.request = f->request,
		.arena = &f->request->arena,
		.started_ns = 1000000000,
	};
	struct str name = { .data = path, .len = strlen(path) };
	ck_assert_int_eq(method_find_grpc(name, &f->call.method, NULL), ERR_NONE);
}

static void teardown(struct fixture *f)
{
	request_free(f->request);
}

static void add_header(struct fixture *f, const char *name, const char *value)
{
	f->headers[f->request->header_count++] = (struct header){
		.name = { .data = name, .len = strlen(name) },
		.value = { .data = value, .len = strlen(value) },
	};
}

/* ---- deadlines ---- */

struct timeout {
	const char *text;
	bool good;
	uint64_t ns;
};

static const struct timeout timeouts[] = {
	{ "", false, 0 },
	{ "S", false, 0 },
	{ "5", false, 0 },
	{ "5s", false, 0 },
	{ "-5S", false, 0 },
	{ "123456789S", false, 0 },
	{ "5S", true, 5000000000 },
	{ "5010m", true, 5010000000 },
	{ "1H", true, 3600000000000 },
	{ "2M", true, 120000000000 },
	{ "3u", true, 3000 },
	{ "4n", true, 4 },
	{ "99999999H", true, UINT64_MAX },
};

START_TEST(grpc_timeout_is_read_in_all_its_units)
{
	const struct timeout *c = &timeouts[_i];
	uint64_t ns = 0;

	ck_assert_int_eq(
		grpc_parse_timeout((struct str){ .data = c->text, .len = strlen(c->text) }, &ns),
		c->good);
	if (c->good)
		ck_assert_uint_eq(ns, c->ns);
}
END_TEST

/* ---- refused ---- */

struct refused {
	const char *body;
	size_t len;
	const char *encoding;
	enum err err;
	int status;
};

static const struct refused refusals[] = {
	{ "", 0, NULL, ERR_BAD_REQUEST, 3 },
	{ "\0\0\0\0", 4, NULL, ERR_BAD_REQUEST, 3 },
	{ "\0\0\0\0\4\012\1", 7, NULL, ERR_BAD_REQUEST, 3 },
	{ "\0\0\0\0\0\0\0\0\0\0", 10, NULL, ERR_BAD_REQUEST, 3 },
	{ "\2\0\0\0\0", 5, NULL, ERR_BAD_REQUEST, 3 },
	{ "\0\0\0\0\1\012", 6, NULL, ERR_BAD_REQUEST, 3 },
	{ "\0\0\0\0\0", 5, NULL, ERR_VALIDATION, 3 },
	{ "\1\0\0\0\0", 5, NULL, ERR_BAD_REQUEST, 3 },
	{ "\1\0\0\0\0", 5, "identity", ERR_BAD_REQUEST, 3 },
	{ "\1\0\0\0\0", 5, "br", ERR_NOT_IMPLEMENTED, 12 },
	{ "\1\0\0\0\3abc", 8, "gzip", ERR_BAD_REQUEST, 3 },
};

START_TEST(a_wrong_frame_is_refused)
{
	const struct refused *c = &refusals[_i];
	struct fixture f;

	setup(&f, "/qdrant.Points/Count", c->body, c->len);
	if (c->encoding)
		add_header(&f, "grpc-encoding", c->encoding);
	enum err e = grpc_decode(&f.call);
	ck_assert_msg(e == c->err, "%s: %s", err_name(e), f.call.fault.text);
	ck_assert(f.call.fault.text[0]);
	grpc_encode(&f.call, e);
	ck_assert_int_eq(f.request->reply.status, 200);
	ck_assert_int_eq(f.request->reply.grpc_status, c->status);
	ck_assert_uint_eq(f.request->reply.body.len, 0);
	ck_assert_uint_gt(f.request->reply.grpc_message.len, 0);
	teardown(&f);
}
END_TEST

START_TEST(a_malformed_deadline_is_refused)
{
	struct fixture f;

	setup(&f, "/qdrant.Points/Count", "\0\0\0\0\3\012\1c", 8);
	add_header(&f, "grpc-timeout", "soon");
	ck_assert_int_eq(grpc_decode(&f.call), ERR_BAD_REQUEST);
	teardown(&f);
}
END_TEST

START_TEST(words_have_the_prefix_of_their_error)
{
	struct fixture f;

	setup(&f, "/qdrant.Points/Count", "", 0);
	(void)fault_set(&f.call.fault, ERR_NOT_FOUND, "Collection `x` doesn't exist!");
	grpc_encode(&f.call, ERR_NOT_FOUND);
	ck_assert_int_eq(f.request->reply.grpc_status, 5);
	static const char words[] = "Not found: Collection `x` doesn't exist!";
	ck_assert_uint_eq(f.request->reply.grpc_message.len, strlen(words));
	ck_assert_mem_eq(f.request->reply.grpc_message.data, words, strlen(words));
	teardown(&f);
}
END_TEST

/* ---- ordinary ---- */

static void assert_count(struct fixture *f)
{
	ck_assert_msg(grpc_decode(&f->call) == ERR_NONE, "%s", f->call.fault.text);
	const struct msg_points_count *m = f->call.in;
	ck_assert_uint_eq(m->collection_name.len, 1);
	ck_assert_int_eq(m->collection_name.data[0], 'c');
	ck_assert(m->exact);
}

START_TEST(a_frame_becomes_a_message_and_a_deadline)
{
	struct fixture f;

	setup(&f, "/qdrant.Points/Count", "\0\0\0\0\3\012\1c", 8);
	add_header(&f, "grpc-timeout", "5S");
	add_header(&f, "grpc-encoding", "gzip");
	assert_count(&f);
	ck_assert_uint_eq(f.request->deadline_ns, 6000000000);
	teardown(&f);
}
END_TEST

/* A real gzip stream, as clients send. */
static size_t compress_gzip(const void *in, size_t len, uint8_t *out, size_t cap)
{
	z_stream z = { 0 };

	ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)in;
	z.avail_in = (uInt)len;
	z.next_out = out;
	z.avail_out = (uInt)cap;
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	size_t n = z.total_out;
	deflateEnd(&z);
	return n;
}

START_TEST(a_gzip_frame_becomes_the_same_message)
{
	uint8_t body[128] = { 1 };
	struct fixture f;

	size_t n = compress_gzip("\012\1c", 3, body + 5, sizeof(body) - 5);
	body[4] = (uint8_t)n;
	setup(&f, "/qdrant.Points/Count", body, n + 5);
	add_header(&f, "grpc-encoding", "gzip");
	assert_count(&f);
	teardown(&f);
}
END_TEST

/* As much as a body may have, whether it came packed or not. */
START_TEST(a_message_that_inflates_beyond_the_body_is_refused)
{
	static uint8_t zeros[(1u << 20) + 1], body[sizeof(zeros)];
	struct fixture f;

	for (size_t i = 0; i < sizeof(zeros); i++)
		zeros[i] = (uint8_t)(i % 251 * (i / 9973));
	size_t n = compress_gzip(zeros, sizeof(zeros), body + 5, sizeof(body) - 5);
	body[0] = 1;
	for (unsigned i = 0; i < 4; i++)
		body[1 + i] = (uint8_t)(n >> (24 - 8 * i));
	setup(&f, "/qdrant.Points/Count", body, n + 5);
	add_header(&f, "grpc-encoding", "gzip");
	ck_assert(grpc_is_packed(&f.call));
	ck_assert_int_eq(grpc_open(&f.call), ERR_TOO_LARGE);
	ck_assert_msg(strstr(f.call.fault.text, "1048576 bytes (limits.body)") != NULL, "%s", f.call.fault.text);
	teardown(&f);
}
END_TEST

/* Who routes by it has to open the message first: it is not inflated by the way. */
START_TEST(the_collection_of_a_packed_message_is_known_once_it_is_open)
{
	uint8_t body[128] = { 1 };
	struct fixture f;

	size_t n = compress_gzip("\012\1c", 3, body + 5, sizeof(body) - 5);
	body[4] = (uint8_t)n;
	setup(&f, "/qdrant.Points/Count", body, n + 5);
	add_header(&f, "grpc-encoding", "gzip");
	ck_assert_ptr_null(grpc_collection(&f.call).data);
	ck_assert_int_eq(grpc_open(&f.call), ERR_NONE);
	ck_assert(!grpc_is_packed(&f.call));
	ck_assert_uint_eq(grpc_collection(&f.call).len, 1);
	assert_count(&f);
	teardown(&f);
}
END_TEST

START_TEST(a_reply_is_one_frame_with_its_time)
{
	struct fixture f;

	setup(&f, "/qdrant.Points/Count", "\0\0\0\0\3\012\1c", 8);
	assert_count(&f);
	((struct msg_count_reply *)f.call.out)->result.count = 3;
	grpc_encode(&f.call, ERR_NONE);
	static const char expected[] = "\0\0\0\0\15\012\2\10\3\21\0\0\0\0\0\0\340\77";
	ck_assert_uint_eq(f.request->reply.body.len, sizeof(expected) - 1);
	ck_assert_mem_eq(f.request->reply.body.data, expected, sizeof(expected) - 1);
	ck_assert_int_eq(f.request->reply.status, 200);
	ck_assert_int_eq(f.request->reply.grpc_status, 0);
	ck_assert_uint_eq(f.request->reply.grpc_message.len, 0);
	ck_assert_uint_eq(f.request->reply.header_count, 2);
	teardown(&f);
}
END_TEST

START_TEST(a_reply_beyond_its_bound_is_an_error)
{
	struct fixture f;

	setup(&f, "/qdrant.Points/Count", "\0\0\0\0\3\012\1c", 8);
	assert_count(&f);
	buf_release(&f.request->reply.body);
	buf_init(&f.request->reply.body, 8);
	grpc_encode(&f.call, ERR_NONE);
	ck_assert_int_eq(f.request->reply.grpc_status, 8);
	ck_assert_uint_eq(f.request->reply.body.len, 0);
	teardown(&f);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("grpc");
	TCase *refused = tcase_create("refused");
	TCase *ordinary = tcase_create("ordinary");

	tcase_add_loop_test(refused, a_wrong_frame_is_refused, 0, (int)LEN(refusals));
	tcase_add_test(refused, a_malformed_deadline_is_refused);
	tcase_add_test(refused, words_have_the_prefix_of_their_error);
	tcase_add_test(refused, a_reply_beyond_its_bound_is_an_error);
	suite_add_tcase(s, refused);
	tcase_add_loop_test(ordinary, grpc_timeout_is_read_in_all_its_units, 0, (int)LEN(timeouts));
	tcase_add_test(ordinary, a_frame_becomes_a_message_and_a_deadline);
	tcase_add_test(ordinary, a_gzip_frame_becomes_the_same_message);
	tcase_add_test(ordinary, a_message_that_inflates_beyond_the_body_is_refused);
	tcase_add_test(ordinary, the_collection_of_a_packed_message_is_known_once_it_is_open);
	tcase_add_test(ordinary, a_reply_is_one_frame_with_its_time);
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
