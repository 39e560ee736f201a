/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one HTTP/2 connection may do that the library does not bound: how many frames of which kind,
 * which stream ids, and how long a frame may take. Knows the bytes of RFC 9113, not the library.
 * Thread: loop.
 */
#pragma once

#include "gateway/limits.h"

#define H2_FRAME_HEAD_BYTES 9
#define H2_GUARD_SKIPS 8

/* Error codes of RFC 9113, as far as a connection ends with them here. */
enum h2_code {
	H2_CODE_NONE = 0,
	H2_CODE_PROTOCOL_ERROR = 1,
	H2_CODE_INTERNAL_ERROR = 2,
	H2_CODE_SETTINGS_TIMEOUT = 4,
	H2_CODE_ENHANCE_YOUR_CALM = 11,
};

/* Stream ids that were passed over, both ends included. */
struct h2_skip {
	int32_t from;
	int32_t to;
};

struct h2_guard {
	const struct conn_limits *limits;
	struct bucket buckets[GLITCH_COUNT];
	uint64_t window_updates;
	uint64_t sent_frames;     /* DATA, and replies begun */
	bool data_since_ping;

	int32_t newest_id;
	struct h2_skip skips[H2_GUARD_SKIPS]; /* a ring */
	uint32_t skips_at;

	/* Where the input stands between two reads. */
	uint8_t head[H2_FRAME_HEAD_BYTES];
	size_t head_len;
	uint32_t left;            /* bytes of the payload to come */
	size_t preface_left;
	bool in_block;            /* a header block is not complete */
	bool stuck;               /* a frame that must come at once has begun */
	uint64_t stuck_ns;
};

void h2_guard_init(struct h2_guard *g, const struct conn_limits *limits);
/* When the frame that has begun must be complete; UINT64_MAX when none has. */
uint64_t h2_guard_due_ns(const struct h2_guard *g);

/* The next three say with which code the connection has to end, or H2_CODE_NONE. */
/* Every byte that comes, preface included, in front of the library: that one does not show every
 * frame. */
MUST_USE enum h2_code h2_guard_watch(struct h2_guard *g, struct bytes in, uint64_t now_ns);
/* A DATA that went out, and what remains behind it. */
MUST_USE enum h2_code h2_guard_sent_data(struct h2_guard *g, size_t length, size_t rest,
					 uint64_t now_ns);
MUST_USE enum h2_code h2_guard_sent_reset(struct h2_guard *g, uint64_t now_ns);
void h2_guard_sent_reply(struct h2_guard *g);
