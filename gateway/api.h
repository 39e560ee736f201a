/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service layer: what the methods do, blind to JSON, protobuf and HTTP. A handler reads c->in, fills
 * c->out, and calls call_finish() exactly once, from whatever thread.
 */
#pragma once

#include "base/pool.h"
#include "gateway/method.h"
#include "index/catalog.h"
#include "replicator/commit.h"
#include "replicator/session.h"

#define SEARCH_LIMIT_MAX 10000
#define SEARCH_OFFSET_LIMIT_MAX 100000
#define SEARCH_BATCH_MAX 64
#define SEARCH_TIMEOUT_MS_DEFAULT 60000

/* What handlers work with; owned by the daemon, the same for all calls. */
struct api {
	struct clock *clock;
	struct catalog *catalog;
	struct committer *committer;
	struct pool *pool;
	const char *region;                  /* name of this region; "local" when none is configured */
	struct session_key session_key;
	bool (*ready)(void *ctx, struct buf *why);   /* loaded, position within bounds, not draining */
	void *ready_ctx;
};

struct call {
	const struct api *api;
	struct request *request;
	const struct method *method;
	struct arena *arena;                 /* the request's */
	void *in;
	void *out;
	struct fault fault;
	uint64_t started_ns;
	enum ack_level acked;                /* what a write reached, for the reply header */
	bool wrote;
	struct position position;            /* of what was read or written, for the session token */
	void (*finish)(struct call *c, enum err e);   /* serve's */
	struct loop_task task;               /* call_finish_on_loop's */
	enum err result;
};

/* Ends the call: on ERR_NONE c->out is the reply, else c->fault has the words (or none: the sentence). Encodes
 * on this thread. */
void call_finish(struct call *c, enum err e);
/* The same, encoding on the request's loop: for threads that must not be kept, such as the committer. */
void call_finish_on_loop(struct call *c, enum err e);

/* Handlers: one per row of method.def. */
#define METHOD(name, verb, path, grpc, access, reach, place, in, out, handler) void handler(struct call *c);
#define METHOD_LATER(name, verb, path, grpc, access, reach)
#include "gateway/method.def"
#undef METHOD
#undef METHOD_LATER
