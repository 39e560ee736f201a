/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two halves of the transport over JetStream share: stream_nats.c (connection, publishing;
 * the only one that knows libnats) and stream_nats_read.c (reading). Nobody else includes it.
 */
#pragma once

#include <pthread.h>

#include "replicator/reader.h"
#include "replicator/window.h"

struct link;     /* a connection */
struct inbox; /* a subscription of a reader */

struct nats_stream {
	struct stream stream;
	struct stream_settings set; /* fixed */
	pthread_t keeper;

	pthread_mutex_t stream_lock; /* guards all below, and what struct link says */
	pthread_cond_t changed;
	bool stopping;
	unsigned consumers;
	struct link *link;
	bool outage;         /* was logged; until connected again */
	struct link *failed; /* never came to be; kept for callbacks that may be under way */
	struct stream_state shown;
	uint64_t epoch;       /* moves with every connect and disconnect */
	struct window window; /* keyed by the natsMsg, which is libnats' */
};

/* ---- stream_nats.c ---- */

/* Moves when the connection comes or goes; 0 while there is none. Any thread. */
uint64_t nats_epoch(struct nats_stream *s);
/* A subscription to INBOX.*, whose messages are pushed to the reader until inbox_free has
 * returned, which waits for callbacks that run. Both on the reader's thread. */
MUST_USE enum err inbox_new(struct nats_stream *s, const char *inbox, struct reader *r,
			       struct inbox **ret_listener, struct fault *reterr_fault);
void inbox_free(struct inbox *l);
/* Sends over the same connection; reply may be NULL. */
MUST_USE enum err inbox_send(struct inbox *l, const char *subject, const char *reply,
				const char *text);

/* ---- stream_nats_read.c: of struct stream_ops ---- */

MUST_USE enum err nats_consume(struct stream *stream, const char *region, uint64_t from,
			       const struct stream_handler *h,
			       struct stream_consumer **ret_consumer, struct fault *reterr_fault);
void nats_close(struct stream_consumer *consumer);
void nats_ack(struct stream_consumer *c, struct stream_token upto);
uint64_t nats_reset(struct stream_consumer *c, uint64_t seq);
void nats_consumer_state(struct stream_consumer *c, struct stream_consumer_state *ret_state);
