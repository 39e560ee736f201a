/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One region seen from one loop: a connection of HTTP/2 by mutual TLS that many exchanges share, kept alive by PING, made
 * again when it ends. A server that says GOAWAY finishes what it took on the old connection while a new one opens.
 * An exchange ends exactly once, by done(), never from within h2_client_send(). When it failed it says whether the
 * region may have acted on it: a write is to be sent again only if it surely was not taken.
 * Thread: the loop's, or whoever owns the loop while nobody runs it.
 */
#pragma once

#include <sys/socket.h>

#include "gateway/h2_exchange.h"
#include "gateway/tls.h"

#define H2_CLIENT_STREAMS_MAX 256              /* exchanges under way on one connection */
#define H2_CLIENT_WAITING_MAX 1024             /* exchanges that wait for one, or for a connection */
#define H2_CLIENT_BODY_BYTES_MAX (64u << 20)   /* bodies of all these; a single one may be greater */
#define H2_CLIENT_REPLY_BYTES_MAX (256u << 20) /* what arrived of all replies */
#define H2_CLIENT_OPEN_MS 5000                 /* from connect() to the server's SETTINGS */
#define H2_CLIENT_PING_MS 2000
#define H2_CLIENT_SILENT_PINGS 3               /* after so many without a byte it is dead */
#define H2_CLIENT_BACKOFF_MS_MIN 100
#define H2_CLIENT_BACKOFF_MS_MAX 2000
#define H2_CLIENT_STREAM_WINDOW (1 << 20)
#define H2_CLIENT_CONNECTION_WINDOW (16 << 20)

struct h2_client;

struct h2_client_options {
	struct loop *loop;
	const char *region;              /* for words; this and the next are copied */
	const char *name;                /* that the server's certificate must have */
	struct tls_holder *tls;          /* contexts of a client; borrowed */
	/* Where it is at this attempt, counted from 0. */
	enum err (*address)(void *ctx, uint32_t attempt, struct sockaddr_storage *ret_address, socklen_t *ret_len,
			    struct fault *reterr_fault);
	void *ctx;
	bool logs;                       /* tells the log when the region comes and goes */
};

/* Connects at once, and whenever there is no connection. */
MUST_USE enum err h2_client_new(const struct h2_client_options *o, struct h2_client **ret_client);
/* Ends what is under way: done() is called for it. Not from within a done(). */
void h2_client_free(struct h2_client *c);
/* x is zeroed but for what is asked. While the region cannot be reached it fails at once. */
void h2_client_send(struct h2_client *c, struct h2_exchange *x);

struct h2_client_state {
	bool open;
	uint64_t rtt_us;                 /* of the last PING; 0: none yet */
	uint32_t exchanges;              /* under way and waiting */
	uint64_t opens;                  /* since the start */
	struct fault trouble;            /* why it is not open; else err ERR_NONE */
};
void h2_client_state(const struct h2_client *c, struct h2_client_state *ret_state);
