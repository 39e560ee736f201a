/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its reply, blind to the protocol that carried them. h1 and h2 fill a request and
 * hand it to a request_fn; whoever got it answers with request_reply(), once, on the request's loop
 * thread, and the request is gone. When the client leaves first, `cancelled` is set, and the reply
 * is dropped.
 * Thread: the loop's; while a handler works on it, that handler's thread, which leaves sink and
 * conn alone.
 */
#pragma once

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/loop.h"

#define REQUEST_ARENA_BYTES_MAX (256u << 20)
#define REQUEST_HEADERS_MAX 100
#define REQUEST_HEADER_BYTES_MAX (16u << 10)
#define REQUEST_HEADER_FIELD_BYTES_MAX (8u << 10)
#define REQUEST_BODY_BYTES_DEFAULT (32u << 20)

struct header {
	struct str name;    /* lower case */
	struct str value;
};

enum http_verb {
	VERB_GET,
	VERB_POST,
	VERB_PUT,
	VERB_PATCH,
	VERB_DELETE,
	VERB_OPTIONS,
	VERB_HEAD,
	VERB_OTHER,
};

/* What the protocols refuse by themselves. */
enum refusal {
#define REFUSAL(name, http, grpc, reason, sentence) REFUSAL_##name,
#include "gateway/refusal.def"
#undef REFUSAL
	REFUSAL_COUNT
};

/* Bytes of bodies that requests hold, all connections of the daemon together. Zeroed but for max. */
struct request_budget {
	_Atomic uint64_t used;   /* bytes */
	uint64_t max;
};

struct request;

/* Where the reply goes; h1 and h2 have one each. */
struct request_sink {
	void (*reply)(struct request_sink *s, struct request *r);
};

struct reply {
	int status;                  /* HTTP */
	struct header *headers;      /* in the request's arena; content-length is added by the protocol */
	uint32_t header_count, header_cap;
	struct buf body;
	/* gRPC: trailers after the body; grpc_status < 0: not a gRPC reply */
	int grpc_status;
	struct str grpc_message;     /* not yet percent-encoded */
	bool close;                  /* HTTP/1.1: close the connection afterwards */
	bool untaken;                /* HTTP/2: in place of a reply, that the request was surely not taken */
};

struct request {
	struct arena arena;          /* everything about it */
	enum http_verb verb;
	struct str path;             /* decoded by method.c, not here; without the query; no trailing slash but "/" */
	struct str query;            /* without '?' */
	struct str authority;
	struct header *headers;
	uint32_t header_count;
	struct buf body;
	bool http2;
	bool tls;
	bool grpc;                   /* content-type application/grpc… */
	bool peer;                   /* came by mutual TLS from a region of ours */
	struct sockaddr_storage client;  /* the socket's, or what a PROXY header said */
	struct str peer_region;      /* name from the certificate when peer */
	uint64_t started_ns;         /* last byte read */
	uint64_t deadline_ns;        /* from grpc-timeout; 0: none */
	atomic_bool cancelled;
	struct loop *loop;
	struct loop_task task;       /* to come back to the loop */
	struct request_sink *sink;   /* NULL once the client has gone */
	struct reply reply;
	struct request_budget *budget;   /* NULL: none. Outlives the request */
	size_t charged;              /* bytes taken from it */
	bool in_flight;              /* counted as such */
};

/* Takes the request; must sooner or later call request_reply() on r->loop's thread. */
typedef void (*request_fn)(void *ctx, struct request *r);

MUST_USE enum err request_new(struct loop *l, size_t body_bytes_max, struct request **ret_request);
/* Value of the header, or an empty view (data == NULL). name in lower case. */
struct str request_header(const struct request *r, const char *name);
/* Appends to the reply's headers; both strings must live in the arena or be static. */
MUST_USE enum err request_add_header(struct request *r, struct str name, struct str value);
/* Hands a complete request to serve, which may reply at once: r is gone then. */
void request_submit(struct request *r, request_fn serve, void *ctx);
/* Sends r->reply (or drops it) and frees r. */
void request_reply(struct request *r);
/* For h1 and h2: the connection has gone. The request lives on until its handler replies. */
void request_detach(struct request *r);
/* Splits a target in origin form into path and query; false when it is in another form, or has
 * other bytes than printable ASCII. */
bool request_set_target(struct request *r, struct str target);
enum http_verb request_verb(struct str name);
/* Adds bytes to the body: ERR_TOO_LARGE beyond the body's maximum, ERR_RATE_LIMITED beyond the
 * budget. */
MUST_USE enum err request_append_body(struct request *r, struct bytes bytes);
/* Undoes the body's content-encoding: gzip, or nothing; of gRPC's bodies nothing. ERR_ENCODING for another, else as
 * gzip_inflate() and request_append_body(). To inflate may take long: on the pool, and for those only who may ask. */
MUST_USE enum err request_decode_body(struct request *r, struct fault *reterr_fault);
/* Would the above inflate? */
bool request_is_packed(const struct request *r);
/* Appends to out what gzip makes of in: as much as the body's maximum allows, charged like the body. */
MUST_USE enum err request_inflate(struct request *r, struct bytes in, struct buf *out, struct fault *reterr_fault);
/* Which refusal an error of request_append_body() is. */
enum refusal request_refusal(enum err e);
/* Makes the reply a refusal and counts it; of the request only the verb is left. */
void request_refuse(struct request *r, enum refusal why);
void request_free(struct request *r);
