/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: a descriptor, TLS or not, a protocol that its first bytes choose, and its timers.
 * Connections belong to a conn_host, which has one loop and what they all share. They end by
 * themselves.
 * Thread: the loop's.
 */
#pragma once

#include <stdatomic.h>

#include "gateway/forwarded.h"
#include "gateway/limits.h"
#include "gateway/protocol.h"
#include "gateway/request.h"
#include "gateway/tls.h"

/* What all connections of the daemon share, over all loops and listeners. */
struct conn_shared {
	struct request_budget budget;
	_Atomic uint32_t connections;
};

struct conn;

/* Set up by conn_host_init(), then filled in by whoever owns it. */
struct conn_host {
	struct loop *loop;
	const struct conn_limits *limits;
	struct conn_shared *shared;
	request_fn serve;
	void *serve_ctx;
	bool peer;                  /* connections of other regions: their certificate names them */
	/* Of peers: is that name one of the fleet's? NULL: whoever the authority vouches for. */
	bool (*knows_peer)(void *ctx, struct str name);
	void *knows_peer_ctx;
	/* Connections come from these only, and begin with a header of the PROXY protocol, before TLS. NULL: from anybody,
	 * without one. */
	const struct forwarded_nets *proxies;
	/* A connection has ended and is gone; may be NULL. */
	void (*on_closed)(struct conn_host *h);

	struct conn *first;         /* the connections */
	uint32_t count;
	uint32_t refusing;          /* of these: only being refused */
	uint64_t warned_ns;         /* of a peer that was refused */
	uint8_t *scratch;           /* what a read brings */
	struct buf out;             /* what a write takes */
};

/* The budget of what they share, and no connections yet. */
void conn_shared_init(struct conn_shared *s, const struct conn_limits *limits);

MUST_USE enum err conn_host_init(struct conn_host *h, struct loop *loop,
				  const struct conn_limits *limits);
/* Closes what is still open. */
void conn_host_release(struct conn_host *h);

/* Takes fd, non-blocking, also when it fails. tls is NULL for plain connections; the caller
 * keeps its reference. The client's address may be of any family. */
MUST_USE enum err conn_open(struct conn_host *h, int fd, const struct sockaddr_storage *client,
			    struct tls_context *tls);
/* Takes fd and answers 503 without reading; then as any connection that ends. */
void conn_refuse(struct conn_host *h, int fd);
/* All of them: no further requests; each ends when its own are answered, at the latest after
 * drain_ms. */
void conn_drain_all(struct conn_host *h, uint32_t drain_ms);
