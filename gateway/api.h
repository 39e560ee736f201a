/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service layer: what the methods do, blind to JSON, protobuf and HTTP. A handler reads c->in, fills
 * c->out, and calls call_finish() exactly once, from whatever thread; or it hands the call to call_write(), which does.
 */
#pragma once

#include "base/pool.h"
#include "gateway/ack_words.h"
#include "gateway/jwt.h"
#include "gateway/method.h"
#include "index/catalog.h"
#include "replicator/commit.h"
#include "replicator/session.h"

#define SEARCH_LIMIT_MAX 10000
#define SEARCH_OFFSET_LIMIT_MAX 100000
#define SEARCH_BATCH_MAX 64
#define SEARCH_TIMEOUT_MS_DEFAULT 60000
/* Of one scroll, retrieve or page of a query without a vector. */
#define RECORDS_MAX 100000
/* Operations of one batch. */
#define WRITE_BATCH_MAX 1024
/* Levels above visible are waited for so long, when the client names no timeout. */
#define WRITE_TIMEOUT_MS_DEFAULT 60000

struct admin;
struct audit;
struct bootstrap;
struct drill_history;
struct forwarded_nets;
struct proxy;
struct regions;
struct replicator;
struct router;
struct silence;
struct snapshot_source;
struct writers;

/* What handlers work with; owned by the daemon, the same for all calls. */
struct api {
	struct clock *clock;
	struct catalog *catalog;
	struct committer *committer;
	struct pool *pool;
	const char *region;    /* name of this region; "local" when none is configured */
	uint8_t region_id;     /* as the committer's; 0 when none is configured */
	uint32_t data_regions; /* of the fleet, with this one; 0 and 1: alone */
	struct session_key session_key;
	/* Loaded, position within bounds, not draining; appends the reason to why. NULL: catalog_ready() decides. */
	bool (*ready)(void *ctx, struct buf *why);
	void *ready_ctx;
	/* How far what is read here lies behind the primary; asked when this region does not write. False, or NULL: unknown. */
	bool (*staleness)(void *ctx, uint64_t *ret_ms);
	void *staleness_ctx;
	struct audit *audit; /* NULL: this region holds no data */
	struct bootstrap *bootstrap; /* NULL: likewise, or it is alone; */
	const struct snapshot_source *snapshot; /* then NULL, too */
	struct admin *admin; /* what admin.c needs beside; NULL in tests of other things */
	/* NULL in tests of other things: the committer alone says who writes and how far it is. */
	struct replicator *replicator;
	/* NULL: this region is alone. */
	struct proxy *proxy;
	const struct regions *regions;
	bool gateway_only; /* this region holds no data: others answer */
	struct writers *writers; /* of a gateway only that has regions to ask; else NULL */
	struct router *router;                  /* with proxy: always; NULL in tests of other things */
	const struct forwarded_nets *trusted;   /* proxies; NULL: none */
	struct silence *silence;                /* of drills; NULL: there are none */
	struct drill_history *drills;           /* NULL in tests of other things */
};

struct call;

/* How a write is to be done; call_write() keeps a copy. */
struct write_plan {
	struct intent *intents; /* in the call's arena, with all that they point at */
	uint32_t intent_count;
	bool wait; /* the client waits until it is visible */
	enum write_ordering ordering;
	uint64_t timeout_ms; /* 0: none */
	/* On the loop, when c->write was answered: fills c->out, or turns the write's error into the call's. */
	enum err (*settle)(struct call *c);
	/* On the loop, when the client waits no longer and the write goes on: fills c->out, or gives the error that says so. */
	enum err (*late)(struct call *c);
};

struct call {
	const struct api *api;
	struct request *request; /* NULL once it was answered while its write goes on */
	struct loop *loop;
	const struct method *method;
	const struct jwt_claims *claims; /* NULL: whatever the method needs is allowed everywhere. Gone with the request. */
	struct arena *arena; /* the request's; of methods that write: own */
	struct arena own;
	struct buf body; /* the request's, once it was answered while its write goes on */
	struct bytes message; /* gRPC's, out of its frame; data == NULL: not yet opened */
	void *in;
	void *out;
	struct fault fault;
	uint64_t started_ns;
	/* By its header; a collection's own number of regions counts without it. */
	bool has_ack;
	struct ack_regions ack;
	struct ack_report acked; /* what a write reached, for the reply header */
	bool wrote;
	bool touched;             /* data were read or written: the reply has a session token */
	struct position position; /* of what was read or written, for the session token */
	uint64_t hlc;             /* the same */
	uint64_t session_hlc;     /* of the token that came with the request; 0: none */
	void (*finish)(struct call *c, enum err e); /* serve's */
	/* serve's, for calls that were answered before their write was done. */
	void (*release)(struct call *c);
	struct loop_task task; /* call_finish_on_loop's and call_write's */
	enum err result;

	struct write_plan plan;
	struct write write;
	struct loop_timer timer;
	uint64_t timer_ms;
	bool write_pending; /* the committer has it */
};

/* Before the method: does its collection allow what is asked for? ERR_BAD_REQUEST. */
MUST_USE enum err api_check_strict(struct call *c);
/* Ends the call: on ERR_NONE c->out is the reply, else c->fault has the words (or none: the sentence). Encodes
 * on this thread. */
void call_finish(struct call *c, enum err e);
/* The same, encoding on the request's loop: for threads that must not be kept, such as the committer. */
void call_finish_on_loop(struct call *c, enum err e);
/* Hands a write to the committer and ends the call when it is done, or when the client's timeout has passed. The
 * call must have an arena of its own: the write may outlive the request. */
void call_write(struct call *c, const struct write_plan *p);
/* The level that the client's parameters ask for, without regions. */
enum ack_level call_ack_level(const struct write_plan *p);
/* Is the collection of that name one that the client may know of? */
bool call_may_see(const struct call *c, struct str collection);
/* Data were read: the reply's session token covers all that is visible here. After the reading. */
void call_touch(struct call *c);
/* A copy in the call's arena; data == NULL when memory ran out. */
struct str call_own(struct call *c, struct str s);
