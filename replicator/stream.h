/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport between regions: each region has one stream of the ops it wrote, kept by its own
 * nats-server; the others read it. Two implementations: stream_nats.c (JetStream) and stream_mem.c
 * (tests, simulator).
 *
 * What it promises, which is little, so that it can be kept:
 * - A payload arrives whole and unchanged, or not at all. Nothing that it brings is known to be
 *   durable or complete: a stream may lose its newest messages, or all of them. The op log is the
 *   truth; the ops' own positions decide what is applied, and what the stream lost is fetched from
 *   a peer's log.
 * - To one reader, within one generation, sequences come one by one, each one more than the last,
 *   apart from what on_gap told before. A new generation may go back to what was delivered already.
 * - "accepted" means that this region's server has the message, not that any disk has.
 * - Nothing here fails because NATS is down: it connects for ever, and stream_state() says how it
 *   stands.
 *
 * Names (replicator/stream.c): stream OPS_<region>; subjects ops.<region>.<fleet>.<scope> and
 * beat.<region>.<fleet>.<scope>; a reader's durable is named after the region that reads.
 *
 * Threads. Publishing functions: one thread, the publisher's. stream_consume, _close, _free,
 * stream_request: any one thread at a time, may wait for the network as each says. All else: any
 * thread, without waiting. Callbacks: see struct stream_events and struct stream_handler. No
 * callback may free what it is called by.
 */
#pragma once

#include "replicator/change.h"

#define STREAM_PAYLOAD_BYTES_MAX (900u * 1024)
#define STREAM_ID_MAX 96
#define STREAM_NAME_MAX 32 /* of a region or a fleet: a to z, 0 to 9, - and _ */
#define STREAM_PEERS_MAX 31
#define STREAM_SUBJECT_MAX 128

/* Published and not yet accepted. */
#define STREAM_WINDOW_MESSAGES_MAX 256
#define STREAM_WINDOW_BYTES_MAX (32u << 20)
/* Delivered to a reader and not yet acknowledged: beyond, delivery waits. */
#define STREAM_UNACKED_MAX 1024
#define STREAM_BEAT_BYTES_MAX 1024
/* Of a durable, at the server: more than any reader leaves open. */
#define STREAM_ACK_PENDING_MAX 20000

struct stream;
struct stream_consumer;

/*
 * Copy and return: never block, never call back into the stream. Any may be NULL.
 * stream_nats.c: on_accepted and on_beat on a delivery thread of libnats each; on_closed on the
 * thread that noticed: the delivery thread of acknowledgements, libnats' callback thread
 * (disconnected), or the publisher's own within stream_publish. Two of them may run at the same
 * time, one of them never twice. What was accepted before the window closed may still be told after
 * on_closed. stream_mem.c: whoever steps.
 */
struct stream_events {
	void *ctx;
	/* This and all earlier messages of the scope are accepted. */
	void (*on_accepted)(void *ctx, uint16_t scope, struct position upto);
	/* The window closed; what was not accepted is open: stored or not. See stream_open. */
	void (*on_closed)(void *ctx, const struct fault *why);
	/* A heartbeat of another region; region is terminated and valid until the return. */
	void (*on_beat)(void *ctx, const char *region, uint16_t scope, struct bytes beat);
};

struct stream_peer {
	const char *region;
	const char *domain; /* JetStream domain of its server; "": none (one stretched cluster) */
};

/* Everything is copied. Text that is not needed is NULL. */
struct stream_config {
	const char *fleet;
	const char *region; /* this region */
	const char *domain; /* JetStream domain of its own server, or "" */
	const struct stream_peer *peers;
	uint32_t peer_count;
	struct stream_events events;
	struct clock *clock; /* NULL: the system's */
	/* stream_nats.c only */
	const char *urls; /* this region's own server[s], separated by commas */
	const char *user;
	const char *password_file;    /* its first line */
	const char *credentials_file; /* a NATS .creds file; instead of user and password */
	/* As provisioned: longer than the longest commit of a batch. 0: the default. */
	uint64_t ack_wait_ms;
};
#define STREAM_ACK_WAIT_MS_DEFAULT 10000

/* --- publishing --- */

struct stream_message {
	uint16_t scope;
	struct position last; /* of its last op: what on_accepted will say */
	const char *id;       /* is stored once within the server's duplicate window (120 s) */
	struct bytes payload;
};

/* --- reading --- */

/* Which delivery; hand it to stream_ack when everything up to it is committed. */
struct stream_token {
	uint64_t generation;
	uint64_t seq;
};

struct stream_delivery {
	struct stream_token token;
	struct bytes payload; /* until on_message returns */
	uint64_t pending;     /* messages behind this one in the stream, when it was sent */
};

enum stream_gap_kind {
	STREAM_GAP_EXPIRED, /* from..to are no longer in the stream */
	STREAM_GAP_REWOUND, /* it lost its newest: from..to, delivered before, may be others now */
	STREAM_GAP_REBORN   /* another stream of that name: it is read from its beginning */
};

struct stream_gap {
	enum stream_gap_kind kind;
	uint64_t generation; /* of the deliveries that follow */
	uint64_t from, to;   /* not of REBORN */
};

/* Called on the consumer's own thread (stream_mem.c: whoever steps), which may block meanwhile, as
 * on a commit. */
struct stream_handler {
	void *ctx;
	/* false: not now; the same message is offered again after STREAM_RETRY_MS. */
	bool (*on_message)(void *ctx, const struct stream_delivery *d);
	/* Comes before the first delivery that follows the gap. May be NULL. */
	void (*on_gap)(void *ctx, const struct stream_gap *g);
};
#define STREAM_RETRY_MS 100

/* Where to begin: after what was acknowledged last, as the server remembers it (never beyond what
 * was committed, as acknowledgements follow commits), or at a sequence >= 1. */
#define STREAM_FROM_ACKED 0

struct stream_consumer_state {
	bool flowing; /* attached, and the server was heard within the last 2.5 heartbeats */
	bool held;    /* the owner said "not now" or has not acknowledged enough */
	uint64_t generation;
	uint64_t delivered; /* sequence taken by the owner */
	uint64_t acked;     /* sequence acknowledged by the owner */
	uint64_t pending;   /* behind `delivered` in the stream, as last told */
	uint64_t silent_ms; /* since the server was heard last; computed when asked */
	uint64_t attaches, holes, duplicates, silences; /* since the start */
	struct fault trouble; /* why nothing flows; err ERR_NONE when it does */
};

struct stream_state {
	bool connected;
	bool window_open;
	uint32_t window_messages;
	char server[STREAM_SUBJECT_MAX]; /* host:port it is connected to */
	char version[32];                /* of that server; "" while unknown */
	uint64_t rtt_us;                 /* to that server; 0 while unknown */
	uint64_t connects;               /* since the start */
	struct position accepted[SCOPES_MAX];
	/* The last thing that went wrong; err ERR_NONE when nothing did since connecting. */
	struct fault trouble;
};

struct stream_ops {
	void (*free)(struct stream *s);
	enum err (*open)(struct stream *s, struct fault *reterr_fault);
	enum err (*tail)(struct stream *s, uint16_t scope, struct buf *out,
			 struct fault *reterr_fault);
	enum err (*publish)(struct stream *s, const struct stream_message *m);
	enum err (*beat)(struct stream *s, uint16_t scope, struct bytes beat);
	enum err (*request)(struct stream *s, const char *domain, const char *what,
			    struct bytes body, struct buf *out, struct fault *reterr_fault);
	void (*state)(struct stream *s, struct stream_state *ret_state);
	enum err (*consume)(struct stream *s, const char *region, uint64_t from,
			    const struct stream_handler *h, struct stream_consumer **ret_consumer,
			    struct fault *reterr_fault);
	void (*close)(struct stream_consumer *c);
	void (*ack)(struct stream_consumer *c, struct stream_token upto);
	uint64_t (*reset)(struct stream_consumer *c, uint64_t seq);
	void (*consumer_state)(struct stream_consumer *c, struct stream_consumer_state *ret_state);
};

/* The first member of every implementation. */
struct stream {
	const struct stream_ops *ops;
};
struct stream_consumer {
	struct stream *stream;
};

/* JetStream. Starts its threads and returns at once, whether NATS is there or not. ERR_CONFIG with
 * words. */
MUST_USE enum err stream_nats_new(const struct stream_config *config, struct stream **ret_stream,
				  struct fault *reterr_fault);
/* At the end of the process, after every stream was freed: waits for libnats' own threads. */
void stream_nats_end(void);

/* Order of the end: stop the publisher; close the consumers; free. Waits for the threads (a second
 * or two). */
static inline void stream_free(struct stream *s)
{
	if (s)
		s->ops->free(s);
}

/*
 * The window is closed at first and after every error. Opening it learns where the stream ends, so
 * that messages are stored one behind the other or refused; then stream_tail tells what is stored,
 * and the owner goes on from the op after that. May wait a few seconds. ERR_NOT_FOUND: the stream
 * was not provisioned, or its store was wiped.
 */
MUST_USE static inline enum err stream_open(struct stream *s, struct fault *reterr_fault)
{
	return s->ops->open(s, reterr_fault);
}
/* The payload of the last message of a scope in this region's own stream. ERR_NOT_FOUND: there is
 * none. */
MUST_USE static inline enum err stream_tail(struct stream *s, uint16_t scope, struct buf *out,
					    struct fault *reterr_fault)
{
	return s->ops->tail(s, scope, out, reterr_fault);
}
/*
 * Sends a message; on_accepted or on_closed tells the outcome. The payload is copied.
 * ERR_TOO_LARGE: never retry. ERR_RATE_LIMITED: the window is full, try again after on_accepted.
 * ERR_UNAVAILABLE: the window is closed.
 */
MUST_USE static inline enum err stream_publish(struct stream *s, const struct stream_message *m)
{
	return s->ops->publish(s, m);
}

/* To all other regions that listen now; lost without a word. ERR_UNAVAILABLE when not connected. */
MUST_USE static inline enum err stream_beat(struct stream *s, uint16_t scope, struct bytes beat)
{
	return s->ops->beat(s, scope, beat);
}

/*
 * Asks the JetStream API of a domain ("": of the connection's own): `what` is the subject after
 * "API.". The reply, JSON, is appended. Waits some seconds. For provisioning. ERR_UNAVAILABLE,
 * ERR_TIMEOUT.
 */
MUST_USE static inline enum err stream_request(struct stream *s, const char *domain,
					       const char *what, struct bytes body, struct buf *out,
					       struct fault *reterr_fault)
{
	return s->ops->request(s, domain, what, body, out, reterr_fault);
}

static inline void stream_state(struct stream *s, struct stream_state *ret_state)
{
	s->ops->state(s, ret_state);
}

/* Begins to read the stream of a region of config.peers. Needs no connection. */
MUST_USE static inline enum err stream_consume(struct stream *s, const char *region, uint64_t from,
					       const struct stream_handler *h,
					       struct stream_consumer **ret_consumer,
					       struct fault *reterr_fault)
{
	return s->ops->consume(s, region, from, h, ret_consumer, reterr_fault);
}
/* Ends the reading; waits until a callback that runs has returned. Not from a callback. */
static inline void stream_consumer_close(struct stream_consumer *c)
{
	if (c)
		c->stream->ops->close(c);
}
/* Everything up to this delivery is committed. Of an older generation: nothing happens. */
static inline void stream_ack(struct stream_consumer *c, struct stream_token upto)
{
	c->stream->ops->ack(c, upto);
}
/* Goes on with the message at seq (>= 1), in a new generation, which is returned; deliveries of the
 * old one may still come until it has taken effect. */
static inline uint64_t stream_reset(struct stream_consumer *c, uint64_t seq)
{
	return c->stream->ops->reset(c, seq);
}
static inline void stream_consumer_state(struct stream_consumer *c,
					 struct stream_consumer_state *ret_state)
{
	c->stream->ops->consumer_state(c, ret_state);
}

/* --- for the implementations and for provisioning (stream.c) --- */

/* May it be a region's or a fleet's name? It becomes part of stream names and subjects. */
bool stream_name_valid(const char *name);
/* prefix "ops" or "beat". */
void stream_subject(const char *prefix, const char *region, const char *fleet, uint16_t scope,
		    char out[STREAM_SUBJECT_MAX]);
/* Takes a subject apart; false when it is none of this fleet's. */
bool stream_subject_parse(const char *subject, const char *prefix, const char *fleet,
			  char ret_region[STREAM_NAME_MAX + 1], uint16_t *ret_scope);

#define STREAM_URLS_MAX 8
#define STREAM_URL_MAX 256
#define STREAM_SECRET_MAX 512

/* A configuration, checked and copied. */
struct stream_settings {
	char fleet[STREAM_NAME_MAX + 1], region[STREAM_NAME_MAX + 1], domain[STREAM_NAME_MAX + 1];
	struct {
		char region[STREAM_NAME_MAX + 1], domain[STREAM_NAME_MAX + 1];
	} peers[STREAM_PEERS_MAX];
	uint32_t peer_count;
	char urls[STREAM_URLS_MAX][STREAM_URL_MAX];
	int url_count;
	char *user, *password_file, *credentials_file;
	struct stream_events events;
	struct clock *clock;
	uint64_t ack_wait_ms;
};
/* ERR_CONFIG with words: names, uniqueness, domains all given or none, urls. Nothing is left to
 * release then. */
MUST_USE enum err stream_settings_copy(struct stream_settings *set, const struct stream_config *c,
				       struct fault *reterr_fault);
void stream_settings_release(struct stream_settings *set);
/* Of a peer; NULL when the region is none. */
const char *stream_settings_domain(const struct stream_settings *set, const char *region);
/* The first line of a file, terminated. */
MUST_USE enum err stream_secret_read(const char *path, char out[STREAM_SECRET_MAX],
				     struct fault *reterr_fault);
