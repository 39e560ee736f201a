/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes a request to another region, and its reply back, unread. REST and gRPC alike.
 *
 * What goes along: verb, path, query, body, the headers of an allow-list, and every isthmus-* option of the client. Headers
 * between regions, which only peers may send: isthmus-hops, isthmus-via, isthmus-client, isthmus-access, isthmus-error,
 * isthmus-position.
 *
 * A write goes to the region that may write; one that every data region may take goes to the best of these first, and to the
 * next, or to the primary, when it surely was not taken. While nobody may, or the role is being handed over, it is held: tried
 * again until somebody takes it, for a bounded time, with bounded company. It is sent again only if it surely was not taken;
 * else the client is told that its outcome is unknown.
 *
 * A client that keeps to one region, and has heard of no session tokens, expects to read what it wrote with wait=true. So the
 * reply is kept until this region has applied the write (a gateway without data: until the data regions that it hears have),
 * for PROXY_SEEN_MS at most, and not at all while this region lags behind by more.
 * Thread: the request's loop; one task belongs to one request.
 */
#pragma once

#include "gateway/auth.h"
#include "gateway/h2_client.h"
#include "gateway/peer_pool.h"
#include "gateway/region.h"
#include "replicator/replicator.h"

#define PROXY_HOPS_MAX 2
/* A region that was heard within this time is healthy. */
#define PROXY_HEARD_MS 2000
#define PROXY_TIMEOUT_MS 65000
#define PROXY_TIMEOUT_MS_MAX 3600000
/* What a region is given beyond the client's own timeout, to say itself that it was missed. */
#define PROXY_TIMEOUT_GRACE_MS 2000
/* A held write is tried again so soon, and less and less often. */
#define PROXY_RETRY_MS 20
#define PROXY_RETRY_MS_MAX 160
/* How long the reply to a write is kept until reads from here see it. */
#define PROXY_SEEN_MS 500
#define PROXY_LOOK_MS_MAX 16
#define PROXY_REPLY_BYTES_MAX (128u << 20)

struct proxy;

struct proxy_options {
	struct clock *clock;
	struct replicator *replicator;
	const struct regions *regions;
	uint32_t hold_ms;         /* how long a write is held at most */
	uint32_t held_max;        /* how many writes are */
};

MUST_USE enum err proxy_new(const struct proxy_options *o, struct proxy **ret_proxy);
void proxy_free(struct proxy *p);
/* Before the first request. */
void proxy_set_pool(struct proxy *p, struct peer_pool *pool);
struct peer_pool *proxy_pool(struct proxy *p);
/* Writes that are held; any thread. */
uint32_t proxy_held(const struct proxy *p);

enum proxy_outcome {
	PROXY_REPLIED,            /* the request's reply is there, headers and all */
	PROXY_HERE,               /* a write: this region may take it */
	PROXY_FAILED              /* err and fault say why; nobody may have acted on it but where they say so */
};

struct proxy_task {
	struct proxy *proxy;      /* this and the next three are the caller's; the rest is zeroed at first */
	struct request *request;
	const struct auth_grant *grant; /* of the client, as checked here */
	void (*done)(struct proxy_task *t);
	/* Where the client is, when it is not at the socket; NULL: there. */
	const struct sockaddr_storage *client;
	/* Of proxy_read() to the best region: the regions, the best first. None: as the configuration has them. Of proxy_write():
	 * regions that may take it although they are not the primary, the best first; the primary comes behind them. */
	uint8_t order[REGIONS_MAX];
	uint32_t order_count;

	enum proxy_outcome outcome;
	enum err err;
	struct fault fault;

	/* The proxy's. */
	struct h2_exchange exchange;
	struct loop_timer timer;
	bool write;
	bool held;
	bool may_go_elsewhere;    /* a read, when its region fails */
	uint8_t region;           /* that is being asked */
	uint64_t tried;           /* rows of the table, by bits */
	uint64_t hold_until_ns;   /* 0: not begun */
	uint32_t retries;
	struct position position; /* of the write, as its region says */
	uint64_t seen_until_ns;
	uint32_t looks;
	uint64_t deadline_ns;
	struct header *headers;
	uint32_t header_count;
	char timeout[24];
	char hops[12];
};

/* How often the request has been passed on already; of clients, never. */
uint32_t proxy_hops(const struct request *r);
/* done() may be called at once. */
void proxy_write(struct proxy_task *t);
/* The same after this region turned out not to be the one, for that reason and with the fault in the task: not at once. */
void proxy_write_again(struct proxy_task *t, enum err why);
/* To that region; 0: to the best one, and to the next when it fails. */
void proxy_read(struct proxy_task *t, uint8_t region);
/* Is there another region that could answer a read, and is healthy? */
bool proxy_can_read(struct proxy *p);
