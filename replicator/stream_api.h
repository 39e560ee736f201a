/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of JetStream's API that streams and durables need, in JSON over stream_request(). The
 * one place that says how a durable is made, for provisioning and for readers that make theirs
 * anew. https://docs.nats.io/reference/reference-protocols/nats_api_reference
 * Thread: whoever may wait for the network.
 */
#pragma once

#include "base/json.h"
#include "replicator/pull.h"

#define STREAM_API_REPLY_BYTES_MAX (1u << 20)
#define STREAM_API_WHAT_MAX 128
#define STREAM_API_BODY_BYTES_MAX 8192

/* JetStream's own error codes that mean something here. */
enum stream_api_code {
	STREAM_API_NO_CONSUMER = 10014,
	STREAM_API_NOT_ENABLED = 10039,
	STREAM_API_NO_SPACE = 10047,
	STREAM_API_NO_STREAM = 10059,
	STREAM_API_NO_LEADER = 10008
};

/*
 * One request; the reply is in reply (emptied first). What the server refused becomes ERR_NOT_FOUND
 * (no such stream or durable), ERR_NO_SPACE, ERR_UNAVAILABLE or ERR_BAD_REQUEST, with its words.
 */
MUST_USE enum err stream_api_call(struct stream *s, const char *domain, const char *what,
				  struct str body, struct buf *reply, struct fault *reterr_fault);

/* What the members of an object are handed to, one by one; it reads or skips the value. */
typedef void (*stream_api_member_fn)(struct json_reader *r, struct str key, void *ctx);
void stream_api_members(struct json_reader *r, stream_api_member_fn fn, void *ctx);
/* The members of a reply. ERR_BAD_GATEWAY when it is no JSON, or not what fn expects. */
MUST_USE enum err stream_api_read(const struct buf *reply, stream_api_member_fn fn, void *ctx,
				  const char *what, struct fault *reterr_fault);
bool stream_api_is(struct str s, const char *text);

/* "STREAM.INFO.OPS_<region>", or with a reader's durable "CONSUMER.INFO.OPS_<region>.<reader>". */
void stream_api_what(const char *call, const char *region, const char *reader,
		     char out[STREAM_API_WHAT_MAX]);
/* "OPS_<region>", terminated. */
#define STREAM_API_NAME_MAX (STREAM_NAME_MAX + 8)
void stream_api_name(const char *region, char out[STREAM_API_NAME_MAX]);

/* birth, first and last of a region's stream. */
MUST_USE enum err stream_api_stream(struct stream *s, const char *domain, const char *region,
				    struct pull_found *ret_found, struct fault *reterr_fault);
/* Its durable for a reader: durable, floor, unacked; ERR_NONE also when there is none. */
MUST_USE enum err stream_api_durable(struct stream *s, const char *domain, const char *region,
				     const char *reader, struct pull_found *ret_found,
				     struct fault *reterr_fault);
/* No durable: good. */
MUST_USE enum err stream_api_remove(struct stream *s, const char *domain, const char *region,
				    const char *reader, struct fault *reterr_fault);
/* first: the sequence that it begins with; 0: all there is. */
MUST_USE enum err stream_api_create(struct stream *s, const char *domain, const char *region,
				    const char *reader, uint64_t first, uint64_t ack_wait_ms,
				    struct fault *reterr_fault);
