/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One region in memory, without sockets: requests are handed to serve_request() as h1 and h2 would, on a loop that runs
 * until the reply is there.
 */
#pragma once

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "gateway/admin.h"
#include "gateway/crypto.h"
#include "gateway/serve.h"
#include "index/store.h"

struct world_options {
	bool by_hand;        /* the committer has no thread: committer_turn() */
	struct clock *clock; /* of loop and api; NULL: the machine's */
	commit_may_write_fn may_write;
	enum ack_level (*level)(void *ctx, struct position p);
	void (*applied)(void *ctx, struct position p, struct ack_applied *ret_applied);
	bool (*ready)(void *ctx, struct buf *why);
	bool no_epoch;
	bool no_pool_room; /* no task may wait */
	uint32_t data_regions;
};

struct world {
	struct store *store;
	struct catalog *catalog;
	struct committer *committer;
	struct pool *pool;
	struct loop *loop;
	struct auth *auth;
	struct admin *admin;
	struct crypto_key key;
	struct api api;
	struct serve *serve;
	bool by_hand;
	unsigned awaited; /* replies, until the loop stops */
};

#define EXCHANGE_HEADERS_MAX 8
struct exchange {
	struct world *world;
	/* the request */
	enum http_verb verb;
	const char *path;
	const char *query;
	struct bytes body;
	bool grpc;
	struct header headers[EXCHANGE_HEADERS_MAX];
	uint32_t header_count;
	/* the reply */
	int status;
	int grpc_status;
	char grpc_message[1024];
	struct buf body_out;
	struct buf headers_out; /* "name: value\n" */
	/* inside */
	struct request_sink sink;
	struct request *request;
	struct loop_task task;
};

static inline struct str text_of(const char *text)
{
	return (struct str){ .data = text, .len = text ? strlen(text) : 0 };
}

static inline struct bytes body_of(const char *text)
{
	return (struct bytes){ .data = (const uint8_t *)text, .len = text ? strlen(text) : 0 };
}

static inline void world_open(struct world *w, const struct world_options *o)
{
	static const uint8_t secret[32] = "the fleet's key, of test regions";
	struct fault f = { 0 };

	*w = (struct world){ .by_hand = o->by_hand };
	ck_assert_int_eq(store_mem_new(&w->store), ERR_NONE);
	struct catalog_options co = { .store = w->store };
	ck_assert_msg(catalog_open(&co, &w->catalog, &f) == ERR_NONE, "%s", f.text);
	struct committer_options mo = { .clock = clock_system(),
					.store = w->store,
					.catalog = w->catalog,
					.region = 7,
					.may_write = o->may_write,
					.level = o->level,
					.applied = o->applied };
	ck_assert_msg(committer_open(&mo, &w->committer, &f) == ERR_NONE, "%s", f.text);
	ck_assert_msg(catalog_start(w->catalog, &f) == ERR_NONE, "%s", f.text);
	if (!o->by_hand)
		ck_assert_int_eq(committer_start(w->committer), ERR_NONE);
	if (!o->no_epoch)
		ck_assert_msg(committer_begin_epoch(w->committer, &f) == ERR_NONE, "%s", f.text);
	ck_assert_int_eq(pool_new("test", 2, o->no_pool_room ? 0 : 1024, &w->pool), ERR_NONE);
	struct clock *clock = o->clock ? o->clock : clock_system();
	ck_assert_int_eq(loop_new(clock, &w->loop), ERR_NONE);
	ck_assert_int_eq(auth_new(&w->auth), ERR_NONE);
	struct admin_options ao = { .clock = clock, .version = "0.0.0-test", .data_dir = "/" };
	ck_assert_int_eq(admin_new(&ao, &w->admin), ERR_NONE);
	ck_assert_int_eq(crypto_key_set(&w->key, (struct bytes){ secret, sizeof(secret) }),
			 ERR_NONE);
	w->api = (struct api){ .clock = clock,
			       .catalog = w->catalog,
			       .committer = w->committer,
			       .pool = w->pool,
			       .region = "eu-north",
			       .region_id = 7,
			       .data_regions = o->data_regions,
			       .session_key = { .mac = crypto_session_mac, .ctx = &w->key },
			       .ready = o->ready,
			       .admin = w->admin };
	struct serve_options so = { .api = &w->api, .auth = w->auth };
	ck_assert_int_eq(serve_new(&so, &w->serve), ERR_NONE);
}

static struct loop *world_stopped;

static inline void world_stop(struct loop_task *t)
{
	(void)t;
	loop_stop(world_stopped);
}

/* What was posted to the loop is done. */
static inline void world_drain(struct world *w)
{
	struct loop_task stop = { .run = world_stop };

	world_stopped = w->loop;
	loop_post(w->loop, &stop);
	ck_assert_int_eq(loop_run(w->loop), ERR_NONE);
}

static inline void world_close(struct world *w)
{
	while (w->by_hand && committer_turn(w->committer, 0))
		;
	committer_stop(w->committer);
	world_drain(w);
	ck_assert_uint_eq(serve_pending(w->serve), 0);
	serve_free(w->serve);
	admin_free(w->admin);
	auth_free(w->auth);
	pool_free(w->pool);
	loop_free(w->loop);
	committer_close(w->committer);
	catalog_close(w->catalog);
	w->store->ops->close(w->store);
}

static inline void exchange_reply(struct request_sink *s, struct request *r)
{
	struct exchange *x = CONTAINER_OF(s, struct exchange, sink);

	x->status = r->reply.status;
	x->grpc_status = r->reply.grpc_status;
	snprintf(x->grpc_message, sizeof(x->grpc_message), "%.*s", STR_FMT(r->reply.grpc_message));
	buf_init(&x->body_out, SIZE_MAX);
	buf_init(&x->headers_out, SIZE_MAX);
	buf_append(&x->body_out, r->reply.body.data, r->reply.body.len);
	buf_append_byte(&x->body_out, 0);
	for (uint32_t i = 0; i < r->reply.header_count; i++)
		buf_printf(&x->headers_out, "%.*s: %.*s\n", STR_FMT(r->reply.headers[i].name),
			   STR_FMT(r->reply.headers[i].value));
	buf_append_byte(&x->headers_out, 0);
	request_free(r);
	if (--x->world->awaited == 0)
		loop_stop(x->world->loop);
}

static inline void exchange_begin(struct loop_task *t)
{
	struct exchange *x = CONTAINER_OF(t, struct exchange, task);
	struct request *r;

	ck_assert_int_eq(request_new(x->world->loop, REQUEST_BODY_BYTES_DEFAULT, &r), ERR_NONE);
	x->sink.reply = exchange_reply;
	x->request = r;
	r->sink = &x->sink;
	r->verb = x->verb;
	/* Gone with the request, as are those of h1 and h2. */
	r->path = arena_str(&r->arena, text_of(x->path));
	r->query = arena_str(&r->arena, text_of(x->query));
	r->grpc = x->grpc;
	r->http2 = x->grpc;
	r->client.ss_family = AF_INET;
	r->headers = x->headers;
	r->header_count = x->header_count;
	ck_assert_int_eq(buf_append(&r->body, x->body.data, x->body.len), ERR_NONE);
	request_submit(r, serve_request, x->world->serve);
}

static inline void exchange_header(struct exchange *x, const char *name, const char *value)
{
	ck_assert_uint_lt(x->header_count, EXCHANGE_HEADERS_MAX);
	x->headers[x->header_count++] =
		(struct header){ .name = text_of(name), .value = text_of(value) };
}

/* All are on their way before the first is answered. */
static inline void exchange_run_all(struct world *w, struct exchange *x, unsigned count)
{
	w->awaited = count;
	for (unsigned i = 0; i < count; i++) {
		x[i].world = w;
		x[i].task.run = exchange_begin;
		loop_post(w->loop, &x[i].task);
	}
	ck_assert_int_eq(loop_run(w->loop), ERR_NONE);
}

static inline void exchange_run(struct world *w, struct exchange *x)
{
	exchange_run_all(w, x, 1);
}

static inline void exchange_release(struct exchange *x)
{
	buf_release(&x->body_out);
	buf_release(&x->headers_out);
}

static inline const char *exchange_body(const struct exchange *x)
{
	return (const char *)x->body_out.data;
}

/* The value of a header of the reply, in out; NULL when it is not there. */
static inline const char *exchange_reply_header(const struct exchange *x, const char *name,
						char out[static 1024])
{
	char begin[128];

	snprintf(begin, sizeof(begin), "%s: ", name);
	for (const char *line = (const char *)x->headers_out.data; *line;
	     line = strchr(line, '\n') + 1)
		if (strncmp(line, begin, strlen(begin)) == 0) {
			const char *value = line + strlen(begin);
			snprintf(out, 1024, "%.*s", (int)(strchr(value, '\n') - value), value);
			return out;
		}
	return NULL;
}

/* One REST request; the caller releases the exchange. path may have a query. */
static inline void world_rest(struct world *w, enum http_verb verb, const char *path,
			      const char *body, struct exchange *x)
{
	static char only_path[1024];
	const char *mark = strchr(path, '?');

	snprintf(only_path, sizeof(only_path), "%.*s",
		 (int)(mark ? mark - path : (long)strlen(path)), path);
	x->verb = verb;
	x->path = only_path;
	x->query = mark ? mark + 1 : "";
	x->body = body_of(body);
	exchange_run(w, x);
}

/* The same, and it must be answered with 200. */
static inline void world_ok(struct world *w, enum http_verb verb, const char *path,
			    const char *body)
{
	struct exchange x = { 0 };

	world_rest(w, verb, path, body, &x);
	ck_assert_msg(x.status == 200, "%s: %d %s", path, x.status, exchange_body(&x));
	exchange_release(&x);
}

/* One gRPC request: the message in a frame. */
static inline void world_grpc(struct world *w, const char *path, struct bytes message,
			      struct exchange *x)
{
	CLEANUP(buf_release) struct buf frame = BUF_INIT(SIZE_MAX);

	wire_put_u8(&frame, 0);
	wire_put_u32_be(&frame, (uint32_t)message.len);
	buf_append(&frame, message.data, message.len);
	x->verb = VERB_POST;
	x->path = path;
	x->query = "";
	x->grpc = true;
	x->body = buf_bytes(&frame);
	exchange_run(w, x);
}

static inline const struct method *world_method(const char *name)
{
	uint32_t count;
	const struct method *m = method_table(&count);

	for (uint32_t i = 0; i < count; i++)
		if (strcmp(m[i].name, name) == 0)
			return &m[i];
	ck_abort_msg("no method %s", name);
	return NULL;
}

/* A message of the method, with its collection named; the caller fills in the rest. */
static inline void world_call(struct world *w, const char *method, const void *in,
			      struct exchange *x)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SIZE_MAX);
	const struct method *m = world_method(method);
	char path[256];

	*x = (struct exchange){ .header_count = x->header_count,
				.headers = { x->headers[0], x->headers[1] } };
	if (in)
		message_to_proto(m->in, in, &b);
	snprintf(path, sizeof(path), "/%s", m->grpc);
	world_grpc(w, path, buf_bytes(&b), x);
}

#define C "/collections/c"
#define P C "/points"

/* c with one point. */
static inline void world_collection(struct world *w)
{
	world_ok(w, VERB_PUT, C, "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}");
	world_ok(w, VERB_PUT, P "?wait=true", "{\"points\":[{\"id\":1,\"vector\":[1,2,3,4]}]}");
}
