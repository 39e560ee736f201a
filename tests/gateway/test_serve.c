/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a request: keys, sessions, waiting, refusing when there is too much, and the headers and numbers of ours.
 */
#include "gateway/serve.h"

#include <pthread.h>

#include "base/gzip.h"
#include "gateway/region.h"
#include "tests/gateway/world.h"

static struct world one;

static void set_up(void)
{
	world_open(&one, &(struct world_options){ 0 });
}

static void tear_down(void)
{
	world_close(&one);
}

/* --- keys --- */

enum who { NOBODY, READER, OWNER, WHO_COUNT };

static void send_key(struct exchange *x, enum who who)
{
	if (who == READER)
		exchange_header(x, "api-key", "reader");
	else if (who == OWNER)
		exchange_header(x, "authorization", "Bearer owner");
}

static void use_keys(void)
{
	struct auth_keys keys = { .api = STR("owner"), .read_only = STR("reader") };
	struct fault f;

	ck_assert_int_eq(auth_set(one.auth, &keys, &f), ERR_NONE);
}

/* The error that keys make of a call; ERR_NONE: none. */
static enum err expected(const struct method *m, enum who who)
{
	if (m->access == ACCESS_OPEN || (who == OWNER && m->access != ACCESS_PEER))
		return ERR_NONE;
	if (who == NOBODY)
		return ERR_UNAUTHENTICATED;
	/* Only regions know it, and none of these is one. */
	if (m->access == ACCESS_PEER)
		return ERR_NO_ROUTE;
	return m->access == ACCESS_READ || m->access == ACCESS_LIST ? ERR_NONE : ERR_FORBIDDEN;
}

static void check_key_by_rest(const struct method *m, enum who who)
{
	struct exchange x = { 0 };
	enum err err = expected(m, who);

	send_key(&x, who);
	world_rest(&one, m->verb, m->path, NULL, &x);
	if (err)
		ck_assert_msg(x.status == err_http_status(err), "%s %d: %d", m->name, who,
			      x.status);
	else
		ck_assert_msg(x.status != 401 && x.status != 403, "%s %d: %d", m->name, who,
			      x.status);
	if (err == ERR_UNAUTHENTICATED)
		ck_assert_str_eq(exchange_body(&x),
				 "Must provide an API key or an Authorization bearer token");
	if (err == ERR_FORBIDDEN)
		ck_assert_ptr_nonnull(strstr(exchange_body(&x), "Forbidden: "));
	if (!m->handler && !err)
		ck_assert_int_eq(x.status, 501);
	exchange_release(&x);
}

static void check_key_by_grpc(const struct method *m, enum who who)
{
	struct exchange x = { 0 };
	enum err err = expected(m, who);
	char path[256];

	send_key(&x, who);
	snprintf(path, sizeof(path), "/%s", m->grpc);
	world_grpc(&one, path, body_of(""), &x);
	if (err)
		ck_assert_msg(x.grpc_status == err_grpc_status(err), "%s %d: %d", m->name, who,
			      x.grpc_status);
	else
		ck_assert_msg(x.grpc_status != 16 && x.grpc_status != 7, "%s %d: %d", m->name, who,
			      x.grpc_status);
	if (!m->handler && !err)
		ck_assert_int_eq(x.grpc_status, 12);
	exchange_release(&x);
}

START_TEST(each_method_asks_for_its_key)
{
	uint32_t count;
	const struct method *m = method_table(&count);

	use_keys();
	ck_assert_uint_gt(count, 40);
	for (uint32_t i = 0; i < count; i++)
		for (unsigned who = NOBODY; who < WHO_COUNT; who++) {
			if (m[i].path)
				check_key_by_rest(&m[i], (enum who)who);
			if (m[i].grpc)
				check_key_by_grpc(&m[i], (enum who)who);
		}
}
END_TEST

START_TEST(without_a_key_no_path_is_told)
{
	struct exchange x = { 0 };

	use_keys();
	world_rest(&one, VERB_GET, "/nowhere", NULL, &x);
	ck_assert_int_eq(x.status, 401);
	exchange_release(&x);
	x = (struct exchange){ 0 };
	exchange_header(&x, "api-key", "wrong");
	world_rest(&one, VERB_GET, "/collections", NULL, &x);
	ck_assert_int_eq(x.status, 401);
	ck_assert_str_eq(exchange_body(&x), "Invalid API key or JWT");
	exchange_release(&x);
	x = (struct exchange){ 0 };
	exchange_header(&x, "origin", "http://localhost");
	world_rest(&one, VERB_OPTIONS, "/collections", NULL, &x);
	ck_assert_int_eq(x.status, 200);
	exchange_release(&x);
}
END_TEST

/* --- packed bodies --- */

/* A request whose body says that it is packed, and is not. */
static void send_rubbish(const char *path, enum who who, struct exchange *x)
{
	*x = (struct exchange){ .verb = VERB_PUT, .path = path, .query = "", .body = body_of("no gzip") };
	send_key(x, who);
	exchange_header(x, "content-encoding", "gzip");
	exchange_run(&one, x);
}

static void send_rubbish_by_grpc(const char *path, enum who who, struct exchange *x)
{
	static const uint8_t frame[] = "\1\0\0\0\7no gzip";

	*x = (struct exchange){ .verb = VERB_POST, .path = path, .query = "", .grpc = true };
	x->body = (struct bytes){ frame, sizeof(frame) - 1 };
	send_key(x, who);
	exchange_header(x, "grpc-encoding", "gzip");
	exchange_run(&one, x);
}

/* To inflate is work: nobody gets it done who may not ask, or asks for what there is not. */
START_TEST(a_packed_body_is_inflated_only_for_who_may_ask)
{
	static const struct {
		const char *path, *grpc;
		enum who who;
		int status, grpc_status;
	} rows[] = {
		{ P, "/qdrant.Points/Upsert", NOBODY, 401, 16 },
		{ P, "/qdrant.Points/Upsert", READER, 403, 7 },
		{ "/nowhere", "/qdrant.Points/Nowhere", OWNER, 404, 12 },
		{ P, "/qdrant.Points/Upsert", OWNER, 400, 3 },
	};

	use_keys();
	for (size_t i = 0; i < LEN(rows); i++) {
		struct exchange x;
		send_rubbish(rows[i].path, rows[i].who, &x);
		ck_assert_msg(x.status == rows[i].status, "row %zu: %d %s", i, x.status, exchange_body(&x));
		exchange_release(&x);
		send_rubbish_by_grpc(rows[i].grpc, rows[i].who, &x);
		ck_assert_msg(x.grpc_status == rows[i].grpc_status, "row %zu: %d %s", i, x.grpc_status, x.grpc_message);
		exchange_release(&x);
	}
}
END_TEST

/* With no room on the pool only what the loop does by itself is answered. */
START_TEST(a_packed_body_is_inflated_on_the_pool_only)
{
	struct exchange x;

	world_close(&one);
	world_open(&one, &(struct world_options){ .no_pool_room = true });
	send_rubbish(C, OWNER, &x);
	ck_assert_int_eq(x.status, 429);
	exchange_release(&x);
	send_rubbish_by_grpc("/qdrant.Collections/Create", OWNER, &x);
	ck_assert_int_eq(x.grpc_status, 8);
	exchange_release(&x);
	world_ok(&one, VERB_PUT, C, "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}");
}
END_TEST

START_TEST(a_packed_body_is_read_like_a_plain_one)
{
	static const char create[] = "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}";
	CLEANUP(buf_release) struct buf packed = BUF_INIT(1 << 16);

	ck_assert_int_eq(gzip_deflate(body_of(create), 6, &packed), ERR_NONE);
	struct exchange x = { .verb = VERB_PUT, .path = C, .query = "", .body = buf_bytes(&packed) };
	exchange_header(&x, "content-encoding", "gzip");
	exchange_run(&one, &x);
	ck_assert_msg(x.status == 200, "%d %s", x.status, exchange_body(&x));
	exchange_release(&x);
	world_ok(&one, VERB_GET, C, NULL);
	x = (struct exchange){ .verb = VERB_PUT, .path = C, .query = "", .body = buf_bytes(&packed) };
	exchange_header(&x, "content-encoding", "br");
	exchange_run(&one, &x);
	ck_assert_int_eq(x.status, 415);
	ck_assert_ptr_nonnull(strstr(exchange_body(&x), "gzip and identity are known"));
	exchange_release(&x);
}
END_TEST

/* --- sessions, levels, headers --- */

static void token_of(const struct session *s, char out[SESSION_TEXT_MAX])
{
	ck_assert_uint_gt(session_encode(s, &one.api.session_key, out), 0);
}

static void read_session_of(const struct exchange *x, struct session *ret)
{
	char text[1024];
	struct fault f;

	ck_assert_msg(exchange_reply_header(x, "isthmus-session", text) != NULL, "%s",
		      (char *)x->headers_out.data);
	ck_assert_int_eq(session_decode(text_of(text), &one.api.session_key, ret, &f), ERR_NONE);
}

START_TEST(replies_that_touched_data_say_where_they_stand)
{
	struct committer_state state;
	struct session s;
	struct exchange x = { 0 };
	char text[1024];

	world_collection(&one);
	world_rest(&one, VERB_PUT, P "?wait=true", "{\"points\":[{\"id\":3,\"vector\":[1,2,3,4]}]}",
		   &x);
	committer_state(one.committer, &state);
	read_session_of(&x, &s);
	ck_assert_uint_eq(s.count, 1);
	ck_assert_int_eq(position_compare(s.positions[0], state.position), 0);
	ck_assert_uint_gt(s.hlc, 0);
	ck_assert_str_eq(exchange_reply_header(&x, "isthmus-region", text), "eu-north");
	ck_assert_str_eq(exchange_reply_header(&x, "isthmus-ack", text),
			 "local,visible,confirmed");
	ck_assert_ptr_null(exchange_reply_header(&x, "isthmus-ack-regions", text));
	ck_assert_str_eq(exchange_reply_header(&x, "isthmus-staleness-ms", text), "0");
	exchange_release(&x);

	x = (struct exchange){ 0 };
	world_rest(&one, VERB_GET, P "/3", NULL, &x);
	read_session_of(&x, &s);
	ck_assert_int_eq(position_compare(s.positions[0], state.position), 0);
	ck_assert_ptr_null(exchange_reply_header(&x, "isthmus-ack", text));
	ck_assert_str_eq(exchange_reply_header(&x, "isthmus-staleness-ms", text), "0");
	exchange_release(&x);

	static const char *const untouched[] = { "/collections", "/healthz", "/nowhere", P "/99" };
	for (size_t i = 0; i < LEN(untouched); i++) {
		x = (struct exchange){ 0 };
		world_rest(&one, VERB_GET, untouched[i], NULL, &x);
		ck_assert_ptr_null(exchange_reply_header(&x, "isthmus-session", text));
		ck_assert_str_eq(exchange_reply_header(&x, "isthmus-region", text), "eu-north");
		exchange_release(&x);
	}
	struct msg_points_count in = { .collection_name = STR("c"), .exact = true };
	x = (struct exchange){ 0 };
	world_call(&one, "points_count", &in, &x);
	read_session_of(&x, &s);
	exchange_release(&x);
}
END_TEST

static void expect_with_header(const char *name, const char *value, enum http_verb verb,
			       const char *path, const char *body, int status, const char *words)
{
	struct exchange x = { 0 };
	char text[1024];

	exchange_header(&x, name, value);
	world_rest(&one, verb, path, body, &x);
	ck_assert_msg(x.status == status, "%s: %s: %d %s", name, value, x.status,
		      exchange_body(&x));
	ck_assert_msg(strstr(exchange_body(&x), words) != NULL, "%s", exchange_body(&x));
	ck_assert_int_eq(exchange_reply_header(&x, "retry-after", text) != NULL,
			 status == 503 || status == 429);
	exchange_release(&x);
}

START_TEST(a_session_is_reached_waited_for_or_refused)
{
	struct committer_state state;
	struct session s = { 0 };
	char token[SESSION_TEXT_MAX];
	struct fault f;

	world_collection(&one);
	committer_state(one.committer, &state);
	session_join(&s, SCOPE_FLEET, state.position);
	token_of(&s, token);
	expect_with_header("isthmus-session", token, VERB_GET, P "/1", NULL, 200, "");
	expect_with_header("isthmus-session", token, VERB_PUT, P, "{\"points\":[]}", 200, "");
	expect_with_header("isthmus-session", "nonsense", VERB_GET, P "/1", NULL, 400,
			   "isthmus-session");
	/* What is answered without data needs no position. */
	expect_with_header("isthmus-session", "nonsense", VERB_GET, "/healthz", NULL, 200, "");
	token[3] = token[3] == 'A' ? 'B' : 'A';
	expect_with_header("isthmus-session", token, VERB_GET, P "/1", NULL, 400,
			   "isthmus-session");

	/* Never reached: epoch 1 ends before it; then ahead of everything. */
	struct position p = { state.position.epoch, state.position.seq + 1000 };
	session_join(&s, SCOPE_FLEET, p);
	token_of(&s, token);
	ck_assert_int_eq(committer_begin_epoch(one.committer, &f), ERR_NONE);
	expect_with_header("isthmus-session", token, VERB_GET, P "/1", NULL, 412,
			   "did not survive");
	committer_state(one.committer, &state);
	s = (struct session){ 0 };
	session_join(&s, SCOPE_FLEET,
		     (struct position){ state.position.epoch, state.position.seq + 1000 });
	token_of(&s, token);
	expect_with_header("isthmus-session", token, VERB_GET, P "/1", NULL, 503,
			   "has not yet seen");
	s = (struct session){ 0 };
	session_join(&s, 3, (struct position){ 1, 1 });
	token_of(&s, token);
	expect_with_header("isthmus-session", token, VERB_GET, P "/1", NULL, 503, "scope 3");
}
END_TEST

/* Writes by the committer what the token names. */
static void *write_one(void *arg)
{
	struct fault f;

	(void)arg;
	ck_assert_int_eq(committer_begin_epoch(one.committer, &f), ERR_NONE);
	return NULL;
}

START_TEST(a_read_waits_until_its_session_is_reached)
{
	struct committer_state state;
	struct session s = { 0 };
	char token[SESSION_TEXT_MAX];
	pthread_t thread;

	world_collection(&one);
	committer_state(one.committer, &state);
	session_join(&s, SCOPE_FLEET,
		     (struct position){ epoch_make((state.epoch >> 8) + 1, 7), 1 });
	token_of(&s, token);
	ck_assert_int_eq(pthread_create(&thread, NULL, write_one, NULL), 0);
	expect_with_header("isthmus-session", token, VERB_GET, P "/1", NULL, 200, "");
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

START_TEST(headers_that_are_not_built_are_not_ignored)
{
	world_collection(&one);
	expect_with_header("isthmus-writers", "two", VERB_PUT, "/collections/d",
			   "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}", 400,
			   "isthmus-writers");
	expect_with_header("isthmus-writers", "all", VERB_PUT, "/collections/m",
			   "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}", 200, "");
	expect_with_header("isthmus-conditional", "none", VERB_POST, "/collections/m/points/delete",
			   "{\"filter\":{}}", 400, "isthmus-conditional");
	expect_with_header("isthmus-conditional", "local", VERB_POST, "/collections/m/points/delete",
			   "{\"filter\":{}}", 200, "");
	expect_with_header("isthmus-writers", "one", VERB_PUT, "/collections/d",
			   "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}", 200, "");
	expect_with_header("isthmus-max-staleness-ms", "0", VERB_GET, P "/1", NULL, 200, "");
	expect_with_header("isthmus-max-staleness-ms", "x", VERB_GET, P "/1", NULL, 400,
			   "isthmus-max-staleness-ms");
	expect_with_header("isthmus-max-staleness-ms", "99999999999999999999", VERB_GET, P "/1",
			   NULL, 400, "whole number");
}
END_TEST

static enum err never_write(void *ctx, uint16_t scope, uint64_t epoch, struct fault *reterr_fault)
{
	(void)ctx;
	(void)scope;
	return fault_set(reterr_fault, ERR_NOT_PRIMARY, "region 3 writes in epoch %llu",
			 (unsigned long long)epoch);
}

START_TEST(a_region_that_may_not_write_says_so_and_when_to_retry)
{
	struct exchange x = { 0 };
	char text[1024];

	world_close(&one);
	world_open(&one, &(struct world_options){ .may_write = never_write, .no_epoch = true });
	world_rest(&one, VERB_PUT, C, "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}", &x);
	ck_assert_msg(x.status == 503, "%d %s", x.status, exchange_body(&x));
	ck_assert_str_eq(exchange_reply_header(&x, "retry-after", text), "1");
	ck_assert_ptr_null(exchange_reply_header(&x, "isthmus-staleness-ms", text));
	exchange_release(&x);
	expect_with_header("isthmus-max-staleness-ms", "9", VERB_POST, P "/count", "{}", 503,
			   "not known");
	struct msg_collection_delete in = { .collection_name = STR("c") };
	x = (struct exchange){ 0 };
	world_call(&one, "collection_delete", &in, &x);
	/* What is not there is deleted, whoever writes. */
	ck_assert_int_eq(x.grpc_status, 0);
	exchange_release(&x);
}
END_TEST

/* --- waiting for writes --- */

static void ignore(struct write *w)
{
	(void)w;
}

START_TEST(a_full_queue_pushes_back)
{
	static struct write heavy;
	struct exchange x = { 0 };
	char text[1024];

	world_close(&one);
	world_open(&one, &(struct world_options){ .by_hand = true });
	heavy = (struct write){ .bytes = COMMIT_QUEUE_BYTES_MAX, .done = ignore };
	ck_assert_int_eq(committer_submit(one.committer, &heavy), ERR_NONE);
	world_rest(&one, VERB_PUT, C "?timeout=5",
		   "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}", &x);
	ck_assert_int_eq(x.status, 429);
	ck_assert_ptr_nonnull(strstr(exchange_body(&x), "Rate limiting exceeded: "));
	ck_assert_str_eq(exchange_reply_header(&x, "retry-after", text), "1");
	exchange_release(&x);
	x = (struct exchange){ 0 };
	struct msg_points_select in = { .collection_name = STR("c"), .selector.has_points = true };
	world_call(&one, "points_delete", &in, &x);
	ck_assert_int_eq(x.grpc_status, 8);
	ck_assert_str_eq(exchange_reply_header(&x, "retry-after", text), "1");
	exchange_release(&x);
}
END_TEST

START_TEST(a_full_pool_pushes_back)
{
	struct exchange x = { 0 };
	char text[1024];

	world_close(&one);
	world_open(&one, &(struct world_options){ .no_pool_room = true });
	world_rest(&one, VERB_POST, P "/count", "{}", &x);
	ck_assert_int_eq(x.status, 429);
	ck_assert_str_eq(exchange_reply_header(&x, "retry-after", text), "1");
	exchange_release(&x);
	world_ok(&one, VERB_GET, "/collections", NULL);
}
END_TEST

#define CROWD 300

START_TEST(many_requests_at_once_are_all_answered)
{
	static struct exchange crowd[CROWD];
	static char bodies[CROWD][256];

	world_collection(&one);
	for (int i = 0; i < CROWD; i++) {
		crowd[i] = (struct exchange){ .verb = VERB_POST, .query = "" };
		switch (i % 3) {
		case 0:
			snprintf(
				bodies[i], sizeof(bodies[i]),
				"{\"points\":[{\"id\":%d,\"vector\":[%d,0,0,1],\"payload\":{\"i\":%d}}]}",
				i + 2, i, i);
			crowd[i].verb = VERB_PUT;
			crowd[i].path = P;
			crowd[i].query = i % 2 ? "wait=true" : "wait=true&timeout=60";
			break;
		case 1:
			snprintf(bodies[i], sizeof(bodies[i]),
				 "{\"query\":[%d,0,0,1],\"limit\":5,\"with_payload\":true}", i);
			crowd[i].path = P "/query";
			break;
		default:
			snprintf(bodies[i], sizeof(bodies[i]),
				 "{\"limit\":%d,\"with_vector\":true}", i);
			crowd[i].path = P "/scroll";
			break;
		}
		crowd[i].body = body_of(bodies[i]);
	}
	exchange_run_all(&one, crowd, CROWD);
	for (int i = 0; i < CROWD; i++) {
		ck_assert_msg(crowd[i].status == 200, "%d: %d %s", i, crowd[i].status,
			      exchange_body(&crowd[i]));
		exchange_release(&crowd[i]);
	}
	struct exchange x = { 0 };
	world_rest(&one, VERB_POST, P "/count", "{}", &x);
	ck_assert_ptr_nonnull(strstr(exchange_body(&x), "{\"count\":101}"));
	exchange_release(&x);
}
END_TEST

/* Moves the loop's clock on once the committer has the write. */
struct clock_mover {
	struct loop_task task;
	struct clock_manual *clock;
};

static void move_clock(struct loop_task *t)
{
	struct clock_mover *m = CONTAINER_OF(t, struct clock_mover, task);
	struct committer_state state;

	committer_state(one.committer, &state);
	if (state.queue_bytes == 0) {
		loop_post(one.loop, &m->task);
		return;
	}
	m->clock->mono_ns += UINT64_C(2000000000);
	loop_nudge(one.loop);
}

static const struct {
	enum http_verb verb;
	const char *path, *body;
	int status;
	const char *words;
} late[] = {
	{ VERB_PUT, C "?timeout=1", "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}", 408,
	  "Timeout: " },
	{ VERB_PUT, P "?wait=true&timeout=1",
	  "{\"points\":[{\"id\":1,\"vector\":[1,2,3,4],\"payload\":{\"k\":\"v\"}}]}", 200,
	  "\"result\":{\"status\":\"wait_timeout\"}" },
	{ VERB_POST, P "/payload?wait=true&timeout=1",
	  "{\"payload\":{\"k\":\"w\"},\"filter\":{\"must\":{\"has_id\":[1]}}}", 200,
	  "\"result\":{\"status\":\"wait_timeout\"}" },
	{ VERB_POST, P "/payload/delete?wait=true&timeout=1",
	  "{\"keys\":[\"a_key_in_the_body\"],\"points\":[1]}", 200,
	  "\"result\":{\"status\":\"wait_timeout\"}" },
	{ VERB_POST, P "/batch?wait=true&timeout=1",
	  "{\"operations\":[{\"set_payload\":{\"payload\":{\"x\":\"y\"},\"points\":[1]}},{\"delete\":{\"points\":[7]}}]}",
	  200, "\"result\":[{\"status\":\"wait_timeout\"},{\"status\":\"wait_timeout\"}]" },
};

START_TEST(a_write_goes_on_when_its_client_waits_no_longer)
{
	static struct clock_manual clock;
	struct exchange x;

	world_close(&one);
	clock_manual_init(&clock, 1000);
	world_open(&one, &(struct world_options){ .clock = &clock.clock, .by_hand = true });
	for (size_t i = 0; i < LEN(late); i++) {
		struct clock_mover mover = { .task.run = move_clock, .clock = &clock };
		x = (struct exchange){ 0 };
		loop_post(one.loop, &mover.task);
		world_rest(&one, late[i].verb, late[i].path, late[i].body, &x);
		ck_assert_msg(x.status == late[i].status, "row %zu: %d %s", i, x.status,
			      exchange_body(&x));
		ck_assert_msg(strstr(exchange_body(&x), late[i].words) != NULL, "row %zu: %s", i,
			      exchange_body(&x));
		exchange_release(&x);
		ck_assert_uint_eq(serve_pending(one.serve), 1);
		ck_assert(committer_turn(one.committer, 0));
		world_drain(&one);
		ck_assert_uint_eq(serve_pending(one.serve), 0);
	}
	x = (struct exchange){ 0 };
	world_rest(&one, VERB_GET, P "/1", NULL, &x);
	ck_assert_ptr_nonnull(
		strstr(exchange_body(&x),
		       "\"payload\":{\"k\":\"w\",\"x\":\"y\"},\"vector\":[1.0,2.0,3.0,4.0]"));
	exchange_release(&x);
}
END_TEST

static enum ack_level given_level;

static enum ack_level level_given(void *ctx, struct position p)
{
	(void)ctx;
	(void)p;
	return given_level;
}

/* A world with a collection in which nothing more is confirmed. */
static void open_unconfirmed(const struct world_options *o)
{
	struct world_options with_level = *o;

	world_close(&one);
	with_level.level = level_given;
	given_level = ACK_CONFIRMED;
	world_open(&one, &with_level);
	world_collection(&one);
	given_level = ACK_VISIBLE;
}

/* What a client creates it writes into. With wait=false it is told no more than that it is written. */
START_TEST(changes_of_collections_are_answered_when_they_are_confirmed)
{
	static const struct {
		enum http_verb verb;
		const char *path;
		const char *body;
	} rows[] = {
		{ VERB_PUT, "/collections/d?timeout=1", "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}" },
		{ VERB_PATCH, C "?timeout=1", "{\"optimizers_config\":{\"indexing_threshold\":777}}" },
		{ VERB_PUT, C "/index?wait=true&timeout=1", "{\"field_name\":\"k\",\"field_schema\":\"keyword\"}" },
		{ VERB_DELETE, C "/index/k?wait=true&timeout=1", NULL },
		{ VERB_DELETE, "/collections/d?timeout=1", NULL },
	};

	open_unconfirmed(&(struct world_options){ 0 });
	for (size_t i = 0; i < LEN(rows); i++) {
		struct exchange x = { 0 };
		world_rest(&one, rows[i].verb, rows[i].path, rows[i].body, &x);
		ck_assert_msg(x.status == 408, "%s: %d %s", rows[i].path, x.status, exchange_body(&x));
		ck_assert_ptr_nonnull(strstr(exchange_body(&x), "open whether it survives"));
		exchange_release(&x);
	}
	world_ok(&one, VERB_PUT, C "/index?wait=false", "{\"field_name\":\"k\",\"field_schema\":\"keyword\"}");
	given_level = ACK_CONFIRMED;
	for (size_t i = 0; i < LEN(rows); i++)
		world_ok(&one, rows[i].verb, rows[i].path, rows[i].body);
}
END_TEST

START_TEST(a_level_that_is_not_reached_says_where_the_write_is)
{
	struct exchange x = { 0 };

	open_unconfirmed(&(struct world_options){ 0 });
	world_rest(&one, VERB_PUT, P "?wait=true&ordering=strong&timeout=1",
		   "{\"points\":[{\"id\":2,\"vector\":[1,1,1,1]}]}", &x);
	ck_assert_msg(x.status == 408, "%d %s", x.status, exchange_body(&x));
	ck_assert_ptr_nonnull(strstr(exchange_body(&x), "open whether it survives"));
	exchange_release(&x);
}
END_TEST

/* --- regions that are to have it --- */

static const struct regions three = {
	.rows = { { .name = "eu-north", .id = 7, .data = true, .self = true },
		  { .name = "us", .id = 8, .data = true },
		  { .name = "ap", .id = 9, .data = true },
		  { .name = "edge", .id = 10 } },
	.count = 4,
};

/* Two of the three. */
static void without_ap(void *ctx, struct position p, struct ack_applied *ret_applied)
{
	(void)ctx;
	(void)p;
	*ret_applied = (struct ack_applied){ .stream = true };
	region_set_add(&ret_applied->regions, 7);
	region_set_add(&ret_applied->regions, 8);
}

static void open_three(void)
{
	open_unconfirmed(&(struct world_options){ .applied = without_ap, .data_regions = 3 });
	one.api.regions = &three;
}

#define UPSERT "{\"points\":[{\"id\":2,\"vector\":[1,1,1,1]}]}"

/* NULL: no such header is expected. */
static void check_ack(const char *asked, const char *path, int status, const char *ack, const char *regions)
{
	struct exchange x = { 0 };
	char text[1024];

	if (asked)
		exchange_header(&x, "isthmus-ack", asked);
	world_rest(&one, VERB_PUT, path, UPSERT, &x);
	ck_assert_msg(x.status == status, "%s: %d %s", asked, x.status, exchange_body(&x));
	const char *got = exchange_reply_header(&x, "isthmus-ack", text);
	ck_assert_msg(ack ? got && strcmp(got, ack) == 0 : !got, "%s: %s", asked, got);
	got = exchange_reply_header(&x, "isthmus-ack-regions", text);
	ck_assert_msg(regions ? got && strcmp(got, regions) == 0 : !got, "%s: %s", asked, got);
	/* The write is there, and its token may be asked for. */
	ck_assert_int_eq(exchange_reply_header(&x, "isthmus-session", text) != NULL, status != 400);
	if (status == 408) {
		ck_assert_ptr_nonnull(strstr(exchange_body(&x), "written in region 7 at ("));
		ck_assert_ptr_nonnull(strstr(exchange_body(&x), "; open whether it survives region 7"));
	}
	exchange_release(&x);
}

START_TEST(a_write_is_acknowledged_by_the_regions_that_were_asked_for)
{
	open_three();
	check_ack(NULL, P "?wait=true", 200, "local,visible", NULL);
	check_ack("1", P "?wait=true", 200, "local,visible,regions=2", "eu-north,us");
	check_ack("2", P "?wait=true", 200, "local,visible,regions=2", "eu-north,us");
	check_ack("us", P, 200, "local,visible,regions=2", "eu-north,us");
	check_ack("us,eu-north", P "?wait=false", 200, "local,visible,regions=2", "eu-north,us");
	check_ack("all", P "?wait=true&timeout=1", 408, "local,visible,regions=2", "eu-north,us");
	check_ack("3", P "?wait=false&timeout=1", 408, "local,visible,regions=2", "eu-north,us");
	check_ack("us,ap", P "?timeout=1", 408, "local,visible,regions=2", "eu-north,us");
	/* Both have to be there. */
	check_ack("2", P "?ordering=strong&timeout=1", 408, "local,visible,regions=2", "eu-north,us");
}
END_TEST

START_TEST(a_level_that_cannot_be_reached_writes_nothing)
{
	static const char *const asked[] = { "4", "0", "mars", "edge", "eu-north,mars", "" };
	struct committer_state before, after;

	open_three();
	committer_state(one.committer, &before);
	for (size_t i = 0; i < LEN(asked); i++)
		check_ack(asked[i], P "?wait=true", 400, NULL, NULL);
	expect_with_header("isthmus-ack", "all", VERB_POST, "/isthmus/audit", NULL, 400, "writes no data");
	committer_state(one.committer, &after);
	ck_assert_int_eq(position_compare(before.position, after.position), 0);
	/* Of what does not write it says nothing. */
	expect_with_header("isthmus-ack", "mars", VERB_GET, P "/1", NULL, 200, "");
}
END_TEST

static void change_confirmed(enum http_verb verb, const char *path, const char *body)
{
	given_level = ACK_CONFIRMED;
	world_ok(&one, verb, path, body);
	given_level = ACK_VISIBLE;
}

START_TEST(a_collections_factor_is_what_its_writes_wait_for)
{
	open_three();
	change_confirmed(VERB_PUT, "/collections/two", "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"},\"write_consistency_factor\":2}");
	check_ack(NULL, "/collections/two/points?wait=true", 200, "local,visible,regions=2", "eu-north,us");
	change_confirmed(VERB_PATCH, "/collections/two", "{\"params\":{\"write_consistency_factor\":3}}");
	check_ack(NULL, "/collections/two/points?wait=true&timeout=1", 408, "local,visible,regions=2", "eu-north,us");
	/* The request's own word comes first. */
	check_ack("1", "/collections/two/points?wait=true", 200, "local,visible,regions=2", "eu-north,us");
	/* More than there are regions means all of them, as with Qdrant's replicas. */
	change_confirmed(VERB_PATCH, "/collections/two", "{\"params\":{\"write_consistency_factor\":2000000}}");
	check_ack(NULL, "/collections/two/points?wait=true&timeout=1", 408, "local,visible,regions=2", "eu-north,us");
	one.api.regions = NULL;
	one.api.data_regions = 1;
	check_ack(NULL, "/collections/two/points?wait=true", 200, "local,visible", NULL);
}
END_TEST

/* Before the client itself gives up. */
START_TEST(a_deadline_of_grpc_is_told_of_with_the_position)
{
	static struct filter all;
	struct msg_points_select in = { .collection_name = STR("c"),
					.wait = true,
					.selector = { .has_filter = true, .filter = &all } };
	struct exchange x = { 0 };

	open_three();
	exchange_header(&x, "isthmus-ack", "all");
	exchange_header(&x, "grpc-timeout", "300m");
	world_call(&one, "points_delete", &in, &x);
	ck_assert_int_eq(x.grpc_status, 4);
	ck_assert_msg(strstr(x.grpc_message, "open whether it survives region 7") != NULL, "%s", x.grpc_message);
	exchange_release(&x);
}
END_TEST

START_TEST(a_client_that_left_is_not_worked_for)
{
	struct exchange x = { .world = &one, .verb = VERB_PUT, .path = C, .query = "" };
	struct exchange y = { 0 };
	struct request *r;

	ck_assert_int_eq(request_new(one.loop, 1000, &r), ERR_NONE);
	r->verb = x.verb;
	r->path = text_of(x.path);
	buf_append_cstr(&r->body, "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}");
	atomic_store(&r->cancelled, true);
	serve_request(one.serve, r);
	ck_assert_uint_eq(serve_pending(one.serve), 0);
	world_rest(&one, VERB_GET, C "/exists", NULL, &y);
	ck_assert_ptr_nonnull(strstr(exchange_body(&y), "{\"exists\":false}"));
	exchange_release(&y);
}
END_TEST

/* --- for operators --- */

static bool is_draining(void *ctx, struct buf *why)
{
	(void)ctx;
	buf_append_cstr(why, "draining");
	return false;
}

START_TEST(readyz_means_it)
{
	struct exchange x = { 0 };

	world_rest(&one, VERB_GET, "/readyz", NULL, &x);
	ck_assert_int_eq(x.status, 200);
	ck_assert_str_eq(exchange_body(&x), "all shards are ready");
	exchange_release(&x);
	world_close(&one);
	world_open(&one, &(struct world_options){ .ready = is_draining });
	x = (struct exchange){ 0 };
	world_rest(&one, VERB_GET, "/readyz", NULL, &x);
	ck_assert_int_eq(x.status, 503);
	ck_assert_str_eq(exchange_body(&x), "some shards are not ready");
	exchange_release(&x);
	x = (struct exchange){ 0 };
	world_rest(&one, VERB_GET, "/isthmus/status", NULL, &x);
	ck_assert_ptr_nonnull(strstr(exchange_body(&x), "\"ready\":false,\"why\":\"draining\""));
	exchange_release(&x);
}
END_TEST

START_TEST(status_tells_the_truth)
{
	static const char *const parts[] = {
		"{\"version\":\"0.0.0-test\",\"id\":\"",
		"\"region\":\"eu-north\",\"region_id\":7,\"role\":\"primary\",\"ready\":true,",
		"\"epoch\":263,\"seq\":3,\"position\":[263,3],\"writer\":7,\"released\":false,\"op_number\":3,\"queue_bytes\":0,",
		"\"failed\":false",
		"\"disk_free_bytes\":",
		"\"collections\":[{\"name\":\"c\",\"points\":1,\"vectors\":1,\"indexed_vectors\":0,\"segments\":1,\"shards\":1,",
	};
	struct exchange x = { 0 };

	world_collection(&one);
	world_rest(&one, VERB_GET, "/isthmus/status", NULL, &x);
	for (size_t i = 0; i < LEN(parts); i++)
		ck_assert_msg(strstr(exchange_body(&x), parts[i]) != NULL, "%s not in %s", parts[i],
			      exchange_body(&x));
	exchange_release(&x);
	x = (struct exchange){ 0 };
	world_rest(&one, VERB_GET, "/telemetry", NULL, &x);
	ck_assert_ptr_nonnull(strstr(exchange_body(&x), "\"number_of_collections\":1"));
	ck_assert_ptr_nonnull(strstr(exchange_body(&x), "\"cluster\":{\"enabled\":false}"));
	exchange_release(&x);
}
END_TEST

/* The value of the line that begins so. */
static double sample(const struct exchange *x, const char *begin)
{
	const char *line = exchange_body(x);

	while (line && strncmp(line, begin, strlen(begin)) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	ck_assert_msg(line != NULL, "no line begins with %s", begin);
	return strtod(line + strlen(begin), NULL);
}

START_TEST(metrics_count_requests_by_method_and_code)
{
	struct msg_points_search s = { .collection_name = STR("c"), .limit = 1 };
	static const float values[4] = { 1 };
	struct exchange x = { 0 };

	world_collection(&one);
	s.vector.vector = (struct vector){ .kind = VECTOR_DENSE, .count = 4, .values = values };
	world_call(&one, "points_search", &s, &x);
	ck_assert_int_eq(x.grpc_status, 0);
	exchange_release(&x);
	x = (struct exchange){ 0 };
	world_rest(&one, VERB_GET, "/collections/none", NULL, &x);
	exchange_release(&x);
	x = (struct exchange){ 0 };
	world_rest(&one, VERB_GET, "/nowhere", NULL, &x);
	exchange_release(&x);
	x = (struct exchange){ 0 };
	world_rest(&one, VERB_GET, "/metrics", NULL, &x);
	ck_assert_double_ge(
		sample(&x,
		       "isthmus_requests_total{api=\"grpc\",method=\"points_search\",code=\"0\"} "),
		1);
	ck_assert_double_ge(
		sample(&x,
		       "isthmus_requests_total{api=\"rest\",method=\"collection_get\",code=\"404\"} "),
		1);
	ck_assert_double_ge(
		sample(&x, "isthmus_requests_total{api=\"rest\",method=\"none\",code=\"404\"} "),
		1);
	ck_assert_double_ge(
		sample(&x,
		       "isthmus_requests_total{api=\"rest\",method=\"points_upsert\",code=\"200\"} "),
		1);
	ck_assert_double_ge(
		sample(&x, "isthmus_request_duration_seconds_count{method=\"points_search\"} "), 1);
	ck_assert_double_ge(sample(&x, "ingest_latency_seconds_count "), 2);
	ck_assert_double_gt(sample(&x, "search_latency_p99_seconds "), 0);
	ck_assert_double_gt(sample(&x, "node_memory_used_bytes "), 1e6);
	ck_assert_double_ge(sample(&x, "node_cpu_percent "), 0);
	ck_assert_double_gt(sample(&x, "isthmus_disk_free_bytes "), 0);
	ck_assert_double_eq(sample(&x, "isthmus_shard_points{collection=\"c\",shard=\"0\"} "), 1);
	ck_assert_double_eq(sample(&x, "isthmus_build_info{version=\"0.0.0-test\"} "), 1);
	exchange_release(&x);
}
END_TEST

START_TEST(reads_across_regions_are_not_pretended)
{
	struct exchange x = { 0 };

	world_close(&one);
	world_open(&one, &(struct world_options){ .data_regions = 3 });
	world_collection(&one);
	world_rest(&one, VERB_POST, P "/count?consistency=majority", "{}", &x);
	ck_assert_int_eq(x.status, 501);
	exchange_release(&x);
	x = (struct exchange){ 0 };
	world_rest(&one, VERB_GET, "/cluster", NULL, &x);
	ck_assert_int_eq(x.status, 501);
	exchange_release(&x);
	world_ok(&one, VERB_POST, P "/count?consistency=1", "{}");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("serve");
	TCase *t = tcase_create("serve");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, each_method_asks_for_its_key);
	tcase_add_test(t, without_a_key_no_path_is_told);
	tcase_add_test(t, a_packed_body_is_inflated_only_for_who_may_ask);
	tcase_add_test(t, a_packed_body_is_inflated_on_the_pool_only);
	tcase_add_test(t, a_packed_body_is_read_like_a_plain_one);
	tcase_add_test(t, replies_that_touched_data_say_where_they_stand);
	tcase_add_test(t, a_session_is_reached_waited_for_or_refused);
	tcase_add_test(t, a_read_waits_until_its_session_is_reached);
	tcase_add_test(t, headers_that_are_not_built_are_not_ignored);
	tcase_add_test(t, a_region_that_may_not_write_says_so_and_when_to_retry);
	tcase_add_test(t, a_full_queue_pushes_back);
	tcase_add_test(t, a_full_pool_pushes_back);
	tcase_add_test(t, many_requests_at_once_are_all_answered);
	tcase_add_test(t, a_write_goes_on_when_its_client_waits_no_longer);
	tcase_add_test(t, changes_of_collections_are_answered_when_they_are_confirmed);
	tcase_add_test(t, a_level_that_is_not_reached_says_where_the_write_is);
	tcase_add_test(t, a_write_is_acknowledged_by_the_regions_that_were_asked_for);
	tcase_add_test(t, a_level_that_cannot_be_reached_writes_nothing);
	tcase_add_test(t, a_collections_factor_is_what_its_writes_wait_for);
	tcase_add_test(t, a_deadline_of_grpc_is_told_of_with_the_position);
	tcase_add_test(t, a_client_that_left_is_not_worked_for);
	tcase_add_test(t, readyz_means_it);
	tcase_add_test(t, status_tells_the_truth);
	tcase_add_test(t, metrics_count_requests_by_method_and_code);
	tcase_add_test(t, reads_across_regions_are_not_pretended);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
