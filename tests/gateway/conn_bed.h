/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of connections share: a loop whose clock the test sets, and a handler that answers by path.
 */
#pragma once

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol.h"

#define BED_HELD_MAX 256

/*
 * /echo      the body again, and its verb, path and query in headers
 * /big       as many bytes as the query says, in a pattern
 * /hold      kept until bed_reply_held()
 * /status    with the status that the query says, and no body
 * gRPC       the body again, with the status that the query says
 */
struct bed {
	struct clock_manual clock;
	struct loop *loop;
	struct conn_limits limits;
	struct request_budget budget;
	struct buf transcript; /* of the requests: a line each */
	struct request *held[BED_HELD_MAX];
	size_t held_count;
	size_t served;
};

static inline void bed_stop(struct loop_task *t);

struct bed_stopper {
	struct loop_task task;
	struct loop *loop;
};

static inline void bed_stop(struct loop_task *t)
{
	loop_stop(CONTAINER_OF(t, struct bed_stopper, task)->loop);
}

/* One turn of the loop, after ms have passed. */
static inline void bed_turn(struct bed *b, uint64_t ms)
{
	struct bed_stopper stopper = { .task.run = bed_stop, .loop = b->loop };

	b->clock.mono_ns += ms * 1000000;
	loop_post(b->loop, &stopper.task);
	ck_assert_int_eq(loop_run(b->loop), ERR_NONE);
}

static inline void bed_open(struct bed *b)
{
	*b = (struct bed){ .limits = conn_limits_default };
	clock_manual_init(&b->clock, 1700000000000);
	b->clock.mono_ns = 1000000000;
	ck_assert_int_eq(loop_new(&b->clock.clock, &b->loop), ERR_NONE);
	b->budget.max = b->limits.total_body_bytes_max;
	buf_init(&b->transcript, 64u << 20);
}

static inline void bed_close(struct bed *b)
{
	ck_assert_uint_eq(b->held_count, 0);
	ck_assert_uint_eq(b->budget.used, 0);
	buf_release(&b->transcript);
	loop_free(b->loop);
}

static inline uint64_t bed_number(struct str s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n = n * 10 + (uint64_t)(s.data[i] - '0');
	return n;
}

static inline uint8_t bed_pattern(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8));
}

static inline bool bed_path_is(const struct request *r, const char *path)
{
	return r->path.len == strlen(path) && memcmp(r->path.data, path, r->path.len) == 0;
}

static inline void bed_add_header(struct request *r, const char *name, struct str value)
{
	ck_assert_int_eq(
		request_add_header(r, (struct str){ .data = name, .len = strlen(name) }, value),
		ERR_NONE);
}

static inline void bed_answer(struct request *r)
{
	struct reply *reply = &r->reply;

	reply->status = 200;
	if (bed_path_is(r, "/big")) {
		size_t n = bed_number(r->query);
		uint8_t *to = buf_reserve(&reply->body, n);
		ck_assert_ptr_nonnull(to);
		for (size_t i = 0; i < n; i++)
			to[i] = bed_pattern(i);
		buf_commit(&reply->body, n);
	} else if (bed_path_is(r, "/status")) {
		reply->status = (int)bed_number(r->query);
	} else {
		buf_append(&reply->body, r->body.data, r->body.len);
	}
	if (r->grpc) {
		reply->grpc_status = (int)bed_number(r->query);
		bed_add_header(r, "content-type", STR("application/grpc"));
		if (reply->grpc_status)
			reply->grpc_message = STR("no: 100 % \n");
	}
	request_reply(r);
}

static inline void bed_serve(void *ctx, struct request *r)
{
	static const char *const verbs[] = { "GET",    "POST",    "PUT",  "PATCH",
					     "DELETE", "OPTIONS", "HEAD", "OTHER" };
	struct bed *b = ctx;

	b->served++;
	buf_printf(&b->transcript, "%s %.*s ? %.*s @ %.*s\n", verbs[r->verb], STR_FMT(r->path),
		   STR_FMT(r->query), STR_FMT(r->authority));
	for (uint32_t i = 0; i < r->header_count; i++)
		buf_printf(&b->transcript, "  %.*s=%.*s\n", STR_FMT(r->headers[i].name),
			   STR_FMT(r->headers[i].value));
	if (r->body.len <= 4096)
		buf_append(&b->transcript, r->body.data, r->body.len);
	if (!bed_path_is(r, "/hold")) {
		bed_answer(r);
		return;
	}
	ck_assert_uint_lt(b->held_count, BED_HELD_MAX);
	b->held[b->held_count++] = r;
}

static inline void bed_reply_held(struct bed *b)
{
	size_t n = b->held_count;

	b->held_count = 0;
	for (size_t i = 0; i < n; i++)
		bed_answer(b->held[i]);
}

static inline void bed_on_output(struct protocol_host *h UNUSED)
{
}

static inline struct protocol_host bed_protocol_host(struct bed *b)
{
	return (struct protocol_host){
		.loop = b->loop,
		.limits = &b->limits,
		.budget = &b->budget,
		.serve = bed_serve,
		.serve_ctx = b,
		.on_output = bed_on_output,
	};
}

/* Time passes, and the connection looks at it. */
static inline void bed_pass(struct bed *b, struct protocol *p, uint64_t ms)
{
	bed_turn(b, ms);
	(void)protocol_check_time(p, loop_now_ns(b->loop));
}

/* Terminated, for comparisons; its length stays. */
static inline const char *bed_text(struct buf *text)
{
	buf_append_byte(text, 0);
	text->len--;
	return (const char *)text->data;
}
