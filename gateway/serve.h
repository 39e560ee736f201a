/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a request: the table of steps in serve.c. It begins on the request's loop, goes to the pool where a method
 * computes, and ends with the reply on the loop.
 */
#pragma once

#include "gateway/api.h"
#include "gateway/auth.h"

/* A request with a session token that this region has not reached yet waits so long before the writer is asked. */
#define SESSION_WAIT_MS 2000
/* Requests with greater bodies are read on the pool, whatever their method. */
#define LOOP_BODY_BYTES_MAX ((size_t)16 << 10)

struct serve;

struct serve_options {
	const struct api *api;
	struct auth *auth; /* both outlive it */
};

MUST_USE enum err serve_new(const struct serve_options *o, struct serve **ret_serve);
/* When serve_pending() is 0. */
void serve_free(struct serve *s);
/* A request_fn; ctx is the struct serve. */
void serve_request(void *ctx, struct request *r);
/* Calls that have not ended: requests, and writes that go on after their client was answered. Any thread. */
uint64_t serve_pending(const struct serve *s);
