/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to another region and its answer, while h2_client.c has it. It ends exactly once, by done(); when it failed
 * it says whether the region may have acted on it: a write is to be sent again only if it surely was not taken.
 * Thread: the loop's of its client.
 */
#pragma once

#include "gateway/request.h"

#define H2_EXCHANGE_HEADERS_MAX 64               /* of a reply, with its trailers */
#define H2_EXCHANGE_HEADER_BYTES_MAX (32u << 10)
#define H2_EXCHANGE_ARENA_BYTES_MAX ((size_t)256 << 10)

struct h2_client;
struct h2_client_stream;

struct h2_exchange {
	/* What is asked; all it points at must live until done(). */
	enum http_verb verb;
	struct str path;                 /* with the query */
	const struct header *headers;    /* without pseudo headers and content-length */
	uint32_t header_count;
	struct bytes body;
	uint64_t deadline_ns;            /* the loop's time */
	size_t reply_bytes_max;
	void (*done)(struct h2_exchange *x);

	/* The answer. err: there is none, for the reasons in fault. */
	enum err err;
	struct fault fault;
	bool surely_not_taken;           /* with err: the region did not act on it, and will not */
	int status;
	struct header *reply_headers;    /* trailers at the end; in the arena, as what they point at */
	uint32_t reply_header_count;
	struct buf reply;
	struct arena arena;

	/* The client's. */
	struct h2_client *client;
	struct h2_exchange *next;
	struct h2_exchange *prev;
	struct h2_client_stream *stream;     /* NULL: waiting, or ended */
	struct loop_timer timer;
	size_t reply_header_bytes;
	bool ended;
};

/* After done(); also when it was never sent. */
void h2_exchange_release(struct h2_exchange *x);
/* Value of the first such header of the reply, or of a trailer; data == NULL: none. */
struct str h2_exchange_header(const struct h2_exchange *x, const char *name);
/* A header of the reply, copied. ERR_TOO_LARGE beyond the bounds. */
MUST_USE enum err h2_exchange_keep_header(struct h2_exchange *x, struct str name, struct str value);

/* In the order in which they came. */
struct h2_exchange_list {
	struct h2_exchange *first;
	struct h2_exchange *last;
	uint32_t count;
};
void h2_exchange_list_append(struct h2_exchange_list *l, struct h2_exchange *x);
void h2_exchange_list_remove(struct h2_exchange_list *l, struct h2_exchange *x);
