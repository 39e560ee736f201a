/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One region's stream being read: the pull consumer of pull.h with a queue, a thread and the
 * owner's callbacks, over a few functions that reach the server (stream_nats.c gives them).
 * Thread: its own, once reader_start was called; reader_turn by hand instead, in tests.
 * reader_push, _ack, _reset and _state: any thread.
 */
#pragma once

#include "replicator/pull.h"

/* More than the credit of all requests; what exceeds it is dropped and comes again. */
#define READER_QUEUE_MESSAGES_MAX 4096u
#define READER_QUEUE_BYTES_MAX (64u << 20)
#define READER_REPLY_MAX 256
#define READER_INBOX_MAX 128

/* A message that came. */
struct arrival {
	struct arrival *next; /* the reader's */
	unsigned status;      /* 0: it has data; else its code, and words in data, terminated */
	bool has_left;
	uint32_t left, token;         /* of a status */
	char reply[READER_REPLY_MAX]; /* of data: where to acknowledge, terminated */
	size_t len;
	uint8_t data[];
};
/* NULL when there is no memory; data is zeroed and has one byte more than len. */
struct arrival *arrival_new(size_t len);

/* Called on the reader's thread; all but epoch may wait for the network, a few seconds at most. */
struct reader_io {
	void *ctx;
	/* Moves when the connection comes or goes; 0 while there is none. */
	uint64_t (*epoch)(void *ctx);
	enum err (*find)(void *ctx, struct pull_found *ret_found, struct fault *reterr_fault);
	enum err (*remove)(void *ctx, struct fault *reterr_fault);
	enum err (*create)(void *ctx, uint64_t first, struct fault *reterr_fault);
	/* A subscription to INBOX.*; what comes is pushed until unlisten has returned. */
	enum err (*listen)(void *ctx, const char *inbox, struct fault *reterr_fault);
	void (*unlisten)(void *ctx);
	/* Asks for messages, answers to inbox.token. */
	enum err (*ask)(void *ctx, const char *reply, const char *text);
	enum err (*ack)(void *ctx, const char *reply);
};

struct reader_options {
	const char *region; /* whose stream; for logs; both must outlive the reader */
	const char *self;   /* the region that reads: inboxes are _INBOX_<self>.… */
	bool can_reset;     /* see struct pull */
	uint64_t ack_wait_ms;
	uint64_t from;
	struct clock *clock;
	struct reader_io io;
	struct stream_handler handler;
};

struct reader;
MUST_USE enum err reader_new(const struct reader_options *o, struct reader **ret_reader);
/* Ends the thread, if there is one, then the subscription. */
void reader_free(struct reader *r);
MUST_USE enum err reader_start(struct reader *r);

/* Does what is due and returns after how many ms the next turn is; 0: at once. */
uint64_t reader_turn(struct reader *r);

/* Takes the message over. Never blocks. */
void reader_push(struct reader *r, struct arrival *a);
void reader_ack(struct reader *r, struct stream_token upto);
uint64_t reader_reset(struct reader *r, uint64_t seq);
void reader_state(struct reader *r, struct stream_consumer_state *ret_state);
