/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isthmusctl's way to a daemon: HTTP/1.1 over TCP or a UNIX socket, one request after another on one connection
 * that is kept alive, and opened anew when the daemon has closed it.
 * Thread: one. Calls block, at most CTL_HTTP_WAIT_S for every byte.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

#define CTL_HTTP_WAIT_S 120
#define CTL_HTTP_HEAD_BYTES_MAX (64u << 10)
#define CTL_HTTP_BODY_BYTES_MAX (64u << 20)
/* How often a request that is answered 429 is sent again, and how long is waited for at most each time. */
#define CTL_HTTP_RETRIES_MAX 60
#define CTL_HTTP_RETRY_S_MAX 10

struct ctl_http;

struct ctl_http_options {
	const char *url; /* "http://HOST[:PORT]", or "unix:/PATH" */
	struct str key;  /* sent as api-key; data == NULL: none */
	/* How the time until the next try is spent; NULL: asleep. */
	void (*wait)(uint64_t ms);
};

struct ctl_http_reply {
	int status;
	struct buf body;
	bool keep_alive;
	uint32_t retry_after_s;
};

/* Checks the URL; connects with the first request. ERR_BAD_INPUT. */
MUST_USE enum err ctl_http_new(const struct ctl_http_options *o, struct ctl_http **ret_http,
			       struct fault *reterr_fault);
void ctl_http_free(struct ctl_http *h);
/* Another connection, to the same address or (not NULL) to that one, with the same key; for another thread. */
MUST_USE enum err ctl_http_again(const struct ctl_http *h, const char *url, struct ctl_http **ret_http,
				 struct fault *reterr_fault);
/* From now on requests are for that region, and passed on by the one that is asked; "": for that one itself. ERR_BAD_INPUT. */
#define CTL_HTTP_REGION_MAX 64
MUST_USE enum err ctl_http_at(struct ctl_http *h, const char *region, struct fault *reterr_fault);

/* body.data == NULL: none, else JSON. Any status is an answer; the body is lent until the next call. 429 is tried again after
 * the time that it names. ERR_UNAVAILABLE: nobody answers, or not in HTTP. */
MUST_USE enum err ctl_http_call(struct ctl_http *h, const char *verb, const char *target,
				struct str body, const struct ctl_http_reply **ret_reply,
				struct fault *reterr_fault);
/* What the reply says went wrong, cut to fit: Qdrant's status.error, or the body. */
void ctl_http_error(const struct ctl_http_reply *r, char out[FAULT_TEXT_MAX]);
/* Appends text as one segment of a path. */
void ctl_http_put_segment(struct buf *target, struct str text);
