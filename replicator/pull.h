/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a JetStream pull consumer decides: when to ask for more, what to deliver, drop or skip, when
 * to begin anew. Pure: fed with messages, answers and time; stream_nats.c does what it says.
 *
 * The rules, each from a fault that was seen:
 * - A data message does not show which request it answers, and the server spreads messages over all
 *   that wait. So credit is a sum; messages are charged to the oldest request, and what a request's
 *   end says corrects the sum.
 * - The stream sequence alone decides: the next one is delivered, a known one is dropped, a later
 *   one is a hole. Acknowledging beyond a hole would acknowledge what is missing (AckAll).
 * - A hole does not close by itself: each further message is late too. Either the durable is made
 *   anew at the first message not acknowledged, or nothing is asked for until the server has given
 *   up waiting for the acknowledgements and delivers all of it again, in order.
 * - The server says nothing when the consumer or the stream is gone, and nothing when a request is
 *   served in full. So silence is watched over the whole subscription, and looked into by attaching
 *   again.
 * Thread: the consumer's.
 */
#pragma once

#include "replicator/stream.h"

#define PULL_BATCH 500u
#define PULL_OVERLAP 2u
/* Of one request; the server closes a connection with 64 MiB outstanding. */
#define PULL_BYTES_MAX (8u << 20)
#define PULL_EXPIRES_MS 5000u
#define PULL_BEAT_MS 1000u
#define PULL_SILENCE_MS 2500u /* 2.5 heartbeats */
#define PULL_GRACE_MS 500u    /* a request may end that much late */
#define PULL_PAUSES_MAX 3u

struct pull_request {
	uint32_t token; /* last token of the reply subject */
	uint32_t left;  /* messages it may still bring */
	uint64_t ends_ns;
};

struct pull {
	/* Fixed */
	bool can_reset; /* make the durable anew on a hole: needs no meta leader */
	uint64_t ack_wait_ms;
	/* Where it stands */
	uint64_t birth;  /* when the stream was made; 0: not seen yet */
	uint64_t cursor; /* sequence delivered */
	uint64_t acked;  /* sequence acknowledged by the owner; the durable is made anew after it */
	bool from_acked; /* begin where the durable stands */
	bool force_reset; /* pausing did not cure the hole */
	uint64_t start;   /* first sequence of a durable that was just made, else 0 */
	/* Requests */
	struct pull_request open[PULL_OVERLAP]; /* oldest first */
	uint32_t open_count;
	uint32_t next_token;
	uint64_t heard_ns;
	uint64_t quiet_until_ns; /* ask for nothing before */
	uint32_t refusals;       /* 503 in a row */
	uint32_t mute;           /* silences since anything was heard */
	uint32_t pauses;         /* since the last message in order */
	/* Counted */
	uint64_t holes, duplicates, silences;
};

/* from: STREAM_FROM_ACKED or a sequence. ack_wait_ms as the durable has it. */
void pull_init(struct pull *p, bool can_reset, uint64_t ack_wait_ms, uint64_t from);
/* The owner wants to go on with the message at seq. */
void pull_move(struct pull *p, uint64_t seq);
void pull_acked(struct pull *p, uint64_t seq);

/* --- attaching --- */

struct pull_found {
	uint64_t birth, first, last; /* of the stream */
	bool durable;                /* it exists, */
	uint64_t floor;              /* all up to here is acknowledged, */
	uint64_t unacked;            /* so many are delivered and not acknowledged */
};
struct pull_plan {
	bool remove;     /* the durable that is there */
	uint64_t create; /* make it, beginning with this sequence; 0: use what is there */
	bool gap;
	struct stream_gap told; /* its generation is the caller's to fill in, */
	bool generation;        /* a new one begins */
	struct stream_gap also; /* and an EXPIRED that follows, if .to > 0 */
};
void pull_attach(struct pull *p, const struct pull_found *found, struct pull_plan *ret_plan);
/* Attached, with a new subscription: no request is open. */
void pull_begin(struct pull *p, const struct pull_plan *plan, uint64_t now_ns);

/* --- requests --- */

/* Is another request due? Then it counts as sent, under that token. */
bool pull_ask(struct pull *p, uint64_t now_ns, uint32_t *ret_token);
/* The text of a request, terminated. */
#define PULL_REQUEST_MAX 128
void pull_request_text(char out[PULL_REQUEST_MAX]);
/* The request could not be sent, or nobody is there who would answer. */
void pull_refused(struct pull *p, uint64_t now_ns);
/* Ends what is overdue. true: silent for too long, attach again. */
bool pull_expire(struct pull *p, uint64_t now_ns);
/* When pull_ask or pull_expire have to be called at the latest. */
uint64_t pull_due_ns(const struct pull *p, uint64_t now_ns);

/* --- what comes --- */

enum pull_verdict {
	PULL_DELIVER,
	PULL_SKIPPED, /* deliver; the stream has nothing before it: tell the gap first */
	PULL_KNOWN,   /* drop; acknowledge again if it is acknowledged */
	PULL_HOLE,    /* drop; it comes again */
	PULL_ATTACH,  /* drop; attach again */
	PULL_GO_ON    /* an answer without data; nothing to do */
};

/* From the reply subject of a data message. */
struct pull_meta {
	uint64_t seq;          /* in the stream */
	uint64_t consumer_seq; /* of this consumer, 1 for its first */
	uint64_t pending;
};
bool pull_meta_parse(const char *reply, struct pull_meta *ret_meta);

enum pull_verdict pull_data(struct pull *p, const struct pull_meta *m, uint64_t now_ns);
/* A message without data: status code, words, how much of the request is left. 503: nobody is
 * there. */
struct pull_status {
	unsigned code;
	const char *words;
	uint32_t token;
	bool has_left;
	uint32_t left;
};
enum pull_verdict pull_answer(struct pull *p, const struct pull_status *s, uint64_t now_ns);
