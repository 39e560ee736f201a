/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One listening socket on one loop, and the connections that came by it. Several listeners on
 * several loops may share a TCP address: the kernel spreads the clients.
 * Thread: the loop's, or whoever owns the loop while nobody runs it; listener_drain() any.
 */
#pragma once

#include "gateway/conn.h"

struct listener_options {
	struct loop *loop;
	const struct conn_limits *limits;
	struct conn_shared *shared;
	struct tls_holder *tls;    /* NULL: plain */
	bool peer;                 /* this and the next three: see struct conn_host */
	bool (*knows_peer)(void *ctx, struct str name);
	void *knows_peer_ctx;
	const struct forwarded_nets *proxies;
	request_fn serve;
	void *serve_ctx;
	const char *address;       /* "127.0.0.1:6333", "[::1]:6333", or a UNIX path with '/' */
	bool first;                /* nobody else, not even we, may listen on the address yet */
};

struct listener;
MUST_USE enum err listener_new(const struct listener_options *o, struct listener **ret_listener,
			       struct fault *reterr_fault);
/* Closes the socket and all its connections at once. Once listener_drain() was called: not before
 * on_drained, or when the loop runs no more. */
void listener_free(struct listener *l);
/* The port it listens on, for an address with port 0; 0 for a UNIX socket. */
uint16_t listener_port(const struct listener *l);
/* Stops accepting and drains the connections, at most drain_ms; then calls on_drained on the
 * loop's thread, once. From any thread; calls after the first are ignored. */
void listener_drain(struct listener *l, uint32_t drain_ms, void (*on_drained)(void *ctx),
		    void *ctx);
