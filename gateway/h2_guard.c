/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Budgets, stream ids and the time of frames of one HTTP/2 connection.
 */
#include "gateway/h2_guard.h"

#include "base/metric.h"
#include "gateway/h2.h"

#define DRIBBLE_BYTES 256          /* a DATA below it that ends nothing is tiny */
#define PADDING_BYTES 256          /* a padded DATA up to it counts as empty */
#define WINDOW_UPDATES_PER_FRAME 4 /* that one sent allows */

enum frame_type {
	FRAME_DATA = 0,
	FRAME_HEADERS = 1,
	FRAME_PRIORITY = 2,
	FRAME_RST_STREAM = 3,
	FRAME_SETTINGS = 4,
	FRAME_PUSH_PROMISE = 5,
	FRAME_PING = 6,
	FRAME_GOAWAY = 7,
	FRAME_WINDOW_UPDATE = 8,
	FRAME_CONTINUATION = 9,
	FRAME_PRIORITY_UPDATE = 16, /* RFC 9218 */
};

enum frame_flag {
	FLAG_END_STREAM = 0x1, /* of DATA and HEADERS */
	FLAG_ACK = 0x1,        /* of SETTINGS and PING */
	FLAG_END_HEADERS = 0x4,
	FLAG_PADDED = 0x8,
};

struct frame_head {
	uint32_t length;
	uint8_t type;
	uint8_t flags;
	int32_t stream_id;
};

void h2_guard_init(struct h2_guard *g, const struct conn_limits *limits)
{
	*g = (struct h2_guard){ .limits = limits, .preface_left = sizeof(H2_PREFACE) - 1 };
}

uint64_t h2_guard_due_ns(const struct h2_guard *g)
{
	return g->stuck ? g->stuck_ns + (uint64_t)g->limits->header_block_ms * 1000000 : UINT64_MAX;
}

static enum h2_code count(struct h2_guard *g, enum glitch glitch, uint64_t now_ns)
{
	if (bucket_take(&g->buckets[glitch], &g->limits->glitches[glitch], now_ns))
		return H2_CODE_NONE;
	metric_series_add(metric_series(METRIC_isthmus_glitches_total, glitch_name(glitch)), 1);
	return H2_CODE_ENHANCE_YOUR_CALM;
}

/* Ids that were passed over can never be opened (section 5.1.1). The library cannot tell them
 * from those that were closed, whose late frames are to be ignored. */
static enum h2_code check_id(struct h2_guard *g, int32_t id)
{
	if (id > g->newest_id) {
		if (id > g->newest_id + 2 && id % 2 == 1) {
			g->skips[g->skips_at] =
				(struct h2_skip){ .from = g->newest_id + 1, .to = id - 2 };
			g->skips_at = (g->skips_at + 1) % H2_GUARD_SKIPS;
		}
		g->newest_id = id;
		return H2_CODE_NONE;
	}
	for (size_t i = 0; i < H2_GUARD_SKIPS; i++)
		if (id >= g->skips[i].from && id <= g->skips[i].to)
			return H2_CODE_PROTOCOL_ERROR;
	return H2_CODE_NONE;
}

/* DATA that brings nothing. What is padded may be all padding; whoever pads for a reason pads more. */
static bool is_empty(const struct frame_head *head)
{
	if (head->flags & FLAG_END_STREAM)
		return false;
	return head->length == 0 || (head->flags & FLAG_PADDED && head->length <= PADDING_BYTES);
}

static enum h2_code on_ping(struct h2_guard *g, bool ack, uint64_t now_ns)
{
	if (!ack && g->data_since_ping) {
		g->data_since_ping = false;
		return H2_CODE_NONE;
	}
	return count(g, GLITCH_ping, now_ns);
}

static enum h2_code on_window_update(struct h2_guard *g, uint64_t now_ns)
{
	if (g->window_updates < g->sent_frames * WINDOW_UPDATES_PER_FRAME) {
		g->window_updates++;
		return H2_CODE_NONE;
	}
	return count(g, GLITCH_window_update, now_ns);
}

static enum h2_code on_head(struct h2_guard *g, const struct frame_head *head, uint64_t now_ns)
{
	switch (head->type) {
	case FRAME_DATA:
		return is_empty(head) ? count(g, GLITCH_empty_data, now_ns) : H2_CODE_NONE;
	case FRAME_HEADERS:
		return check_id(g, head->stream_id);
	case FRAME_PING:
		return on_ping(g, head->flags & FLAG_ACK, now_ns);
	case FRAME_SETTINGS:
		return count(g, GLITCH_settings, now_ns);
	case FRAME_PRIORITY:
	case FRAME_PRIORITY_UPDATE:
		return count(g, GLITCH_priority, now_ns);
	case FRAME_RST_STREAM:
		return count(g, GLITCH_reset_received, now_ns);
	case FRAME_WINDOW_UPDATE:
		return on_window_update(g, now_ns);
	case FRAME_CONTINUATION: /* bounded by the library */
	case FRAME_GOAWAY:
	case FRAME_PUSH_PROMISE: /* an error to the library */
		return H2_CODE_NONE;
	default:
		return count(g, GLITCH_unknown, now_ns);
	}
}

static int32_t stream_id_of(const uint8_t *head)
{
	return (int32_t)((uint32_t)(head[5] & 0x7f) << 24 | (uint32_t)head[6] << 16 |
			 (uint32_t)head[7] << 8 | (uint32_t)head[8]);
}

/* Takes the next bytes. *ret_ended: a frame, and with it what it is a part of, has ended. */
static enum h2_code step(struct h2_guard *g, struct bytes *in, uint64_t now_ns, bool *ret_ended)
{
	enum h2_code code = H2_CODE_NONE;

	if (g->left > 0) {
		size_t n = MIN((size_t)g->left, in->len);
		g->left -= (uint32_t)n;
		in->data += n;
		in->len -= n;
	} else {
		g->head[g->head_len++] = *in->data++;
		in->len--;
		if (g->head_len == H2_FRAME_HEAD_BYTES) {
			const struct frame_head head = {
				.length =
					(uint32_t)(g->head[0] << 16 | g->head[1] << 8 | g->head[2]),
				.type = g->head[3],
				.flags = g->head[4],
				.stream_id = stream_id_of(g->head),
			};
			g->head_len = 0;
			g->left = head.length;
			if (head.type == FRAME_HEADERS || head.type == FRAME_CONTINUATION)
				g->in_block = !(head.flags & FLAG_END_HEADERS);
			code = on_head(g, &head, now_ns);
		}
	}
	*ret_ended = g->left == 0 && g->head_len == 0 && !g->in_block;
	return code;
}

enum h2_code h2_guard_watch(struct h2_guard *g, struct bytes in, uint64_t now_ns)
{
	bool between = !g->stuck;
	size_t preface = MIN(g->preface_left, in.len);

	g->preface_left -= preface;
	in.data += preface;
	in.len -= preface;
	while (in.len > 0) {
		bool ended;
		enum h2_code code = step(g, &in, now_ns, &ended);
		if (code)
			return code;
		between |= ended;
	}
	/* DATA may take its time, which is the body's. */
	g->stuck = g->in_block || g->head_len > 0 || (g->left > 0 && g->head[3] != FRAME_DATA);
	if (g->stuck && between)
		g->stuck_ns = now_ns;
	return H2_CODE_NONE;
}

enum h2_code h2_guard_sent_data(struct h2_guard *g, size_t length, size_t rest, uint64_t now_ns)
{
	g->sent_frames++;
	g->data_since_ping = true;
	return length < DRIBBLE_BYTES && rest > 0 ? count(g, GLITCH_dribble, now_ns) : H2_CODE_NONE;
}

enum h2_code h2_guard_sent_reset(struct h2_guard *g, uint64_t now_ns)
{
	return count(g, GLITCH_reset_sent, now_ns);
}

void h2_guard_sent_reply(struct h2_guard *g)
{
	g->sent_frames++;
}
