/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What h1 and h2 have in common: how conn drives them, and how they make a request out of header
 * fields. A protocol takes bytes and gives bytes; it knows no socket. Its timers are its driver's:
 * protocol_check_time() says when it wants to be asked again.
 * Thread: loop.
 */
#pragma once

#include "gateway/limits.h"
#include "gateway/request.h"

#define PROTOCOL_NEVER UINT64_MAX

/* What a protocol is given by whoever drives it; outlives it. */
struct protocol_host {
	struct loop *loop;
	const struct conn_limits *limits;
	struct request_budget *budget;   /* may be NULL */
	request_fn serve;
	void *serve_ctx;
	bool tls;
	bool peer;
	struct str peer_region;
	struct sockaddr_storage client;
	/* There may be something to send: call protocol_fill() soon, but not from here. */
	void (*on_output)(struct protocol_host *h);
};

struct protocol;
struct protocol_ops {
	void (*receive)(struct protocol *p, struct bytes in);
	bool (*end)(struct protocol *p);
	void (*fill)(struct protocol *p, struct buf *out, size_t bytes_max);
	uint64_t (*check_time)(struct protocol *p, uint64_t now_ns);
	void (*drain)(struct protocol *p);
	bool (*wants_read)(struct protocol *p);
	bool (*finished)(struct protocol *p);
	void (*free)(struct protocol *p);
};

struct protocol {
	const struct protocol_ops *ops;
};

/* Takes all of in, at most PROTOCOL_READ_BYTES_MAX, and only while it wants to read. */
#define PROTOCOL_READ_BYTES_MAX ((size_t)128 << 10)
static inline void protocol_receive(struct protocol *p, struct bytes in)
{
	p->ops->receive(p, in);
}
/* The client sends no more. False when there is nobody left to answer. */
static inline bool protocol_end(struct protocol *p)
{
	return p->ops->end(p);
}
/* Appends what there is to send, up to about bytes_max in out altogether. */
static inline void protocol_fill(struct protocol *p, struct buf *out, size_t bytes_max)
{
	p->ops->fill(p, out, bytes_max);
}
/* Acts on what is overdue; returns when to ask again, or PROTOCOL_NEVER. */
static inline uint64_t protocol_check_time(struct protocol *p, uint64_t now_ns)
{
	return p->ops->check_time(p, now_ns);
}
/* Takes no further requests; is finished once those it has are answered. */
static inline void protocol_drain(struct protocol *p)
{
	p->ops->drain(p);
}
static inline bool protocol_wants_read(struct protocol *p)
{
	return p->ops->wants_read(p);
}
/* Will say and take nothing any more, once what it has to send is taken. */
static inline bool protocol_finished(struct protocol *p)
{
	return p->ops->finished(p);
}
/* Requests that are being worked on are detached. */
static inline void protocol_free(struct protocol *p)
{
	if (p)
		p->ops->free(p);
}

/* The head of a request, while its fields arrive. */
struct protocol_head {
	uint32_t fields;       /* counted, with trailers */
	size_t bytes;          /* counted, with the overhead of each */
	uint32_t cap;          /* of request->headers */
};

MUST_USE enum err protocol_request_new(const struct protocol_host *host, struct request_sink *sink,
				       struct request **ret_request);
/* Counts a field; false when it is one too many, or too large. */
bool protocol_count_field(const struct protocol_host *host, struct protocol_head *head,
			  size_t name_len, size_t value_len);
/* Adds a copy of the field, its name in lower case. A name with '_' is left out: others read it
 * as '-'. */
MUST_USE enum err protocol_add_field(struct request *r, struct protocol_head *head, struct str name,
				     struct str value);
/* Decimal digits only, below 10^18. */
bool protocol_parse_length(struct str text, uint64_t *ret_length);
/* Whether the bytes that came since began_ns are fewer than a body must bring. */
bool protocol_too_slow(const struct protocol_host *host, uint64_t began_ns, uint64_t bytes,
		       uint64_t now_ns);

/* Whether a content-type is gRPC's own; gRPC-Web's is not. */
bool protocol_is_grpc(struct str content_type);
/* As gRPC wants its messages: printable ASCII but '%' as it is, the rest as %XX. "" without memory. */
struct str protocol_percent_encode(struct arena *a, struct str s);

static inline uint64_t protocol_ns(uint32_t ms)
{
	return (uint64_t)ms * 1000000;
}
