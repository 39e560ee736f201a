/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 with a client that sends whatever frames it likes.
 */
#include "gateway/h2.h"

#include <malloc.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "base/metric.h"
#include "gateway/h2_guard.h"
#include "tests/gateway/conn_bed.h"

static struct bed bed;
static struct protocol_host host;
static struct protocol *protocol;

static void open_h2(void)
{
	host = bed_protocol_host(&bed);
	ck_assert_int_eq(h2_new(&host, &protocol), ERR_NONE);
}

static void setup(void)
{
	bed_open(&bed);
	bed_turn(&bed, 0);
	open_h2();
}

static void teardown(void)
{
	protocol_free(protocol);
	bed_close(&bed);
}

struct raw {
	struct buf in;  /* to be sent */
	struct buf out; /* what came */
	size_t out_at;  /* frames of it that are counted */
	unsigned frames[16];
	int goaway_code;     /* -1: none */
	unsigned resets[16]; /* by code */
};

static void raw_open(struct raw *r)
{
	*r = (struct raw){ .goaway_code = -1 };
	buf_init(&r->in, 1 << 22);
	buf_init(&r->out, 1 << 24);
	buf_append_cstr(&r->in, H2_PREFACE);
}

static void raw_close(struct raw *r)
{
	buf_release(&r->in);
	buf_release(&r->out);
}

static void frame(struct raw *r, uint8_t type, uint8_t flags, int32_t id, const void *payload,
		  size_t len)
{
	const uint8_t head[9] = {
		(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,       flags,
		(uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id
	};
	buf_append(&r->in, head, sizeof(head));
	buf_append(&r->in, payload, len);
}

static void number_frame(struct raw *r, uint8_t type, int32_t id, uint32_t n)
{
	const uint8_t bytes[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
				   (uint8_t)n };
	frame(r, type, 0, id, bytes, sizeof(bytes));
}

/* Sends what is there and counts what comes back. */
static void raw_send(struct raw *r)
{
	if (!protocol_finished(protocol) && r->in.len > 0)
		protocol_receive(protocol, buf_bytes(&r->in));
	buf_reset(&r->in);
	for (size_t before = SIZE_MAX; before != r->out.len;) {
		before = r->out.len;
		protocol_fill(protocol, &r->out, r->out.len + 100000);
	}
	while (r->out.len - r->out_at >= 9) {
		const uint8_t *f = r->out.data + r->out_at;
		size_t len = (size_t)(f[0] << 16 | f[1] << 8 | f[2]);
		ck_assert_uint_le(r->out_at + 9 + len, r->out.len);
		r->frames[MIN(f[3], 15)]++;
		if (f[3] == NGHTTP2_GOAWAY)
			r->goaway_code = f[9 + 7];
		if (f[3] == NGHTTP2_RST_STREAM)
			r->resets[MIN(f[9 + 3], 15)]++;
		r->out_at += 9 + len;
	}
	ck_assert_uint_eq(r->out_at, r->out.len);
}

#define GET_HOLD                                                                                   \
	"\x82\x86\x41\x01"                                                                         \
	"a"                                                                                        \
	"\x04\x05"                                                                                 \
	"/hold"
#define GET_ECHO                                                                                   \
	"\x82\x86\x41\x01"                                                                         \
	"a"                                                                                        \
	"\x04\x05"                                                                                 \
	"/echo"
#define GET_UNINDEXED                                                                              \
	"\x82\x86\x01\x01"                                                                         \
	"a"                                                                                        \
	"\x04\x05"                                                                                 \
	"/echo"
#define POST_ECHO                                                                                  \
	"\x83\x86\x41\x01"                                                                         \
	"a"                                                                                        \
	"\x04\x05"                                                                                 \
	"/echo"
#define END_HEADERS NGHTTP2_FLAG_END_HEADERS
#define END_BOTH (NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM)

static void head_frame(struct raw *r, int32_t id, uint8_t flags, const char *block)
{
	frame(r, NGHTTP2_HEADERS, flags, id, block, strlen(block));
}

static void rapid_reset(struct raw *r, int i)
{
	head_frame(r, 2 * i + 1, END_BOTH, GET_HOLD);
	number_frame(r, NGHTTP2_RST_STREAM, 2 * i + 1, NGHTTP2_CANCEL);
}

static void reset_by_window(struct raw *r, int i)
{
	head_frame(r, 2 * i + 1, END_BOTH, GET_HOLD);
	number_frame(r, NGHTTP2_WINDOW_UPDATE, 2 * i + 1, 0x7fffffff);
}

static void reset_by_zero_window(struct raw *r, int i)
{
	head_frame(r, 2 * i + 1, END_BOTH, GET_HOLD);
	number_frame(r, NGHTTP2_WINDOW_UPDATE, 2 * i + 1, 0);
}

static void reset_by_data(struct raw *r, int i)
{
	head_frame(r, 2 * i + 1, END_BOTH, GET_HOLD);
	frame(r, NGHTTP2_DATA, 0, 2 * i + 1, "x", 1);
}

static void reset_by_headers(struct raw *r, int i)
{
	head_frame(r, 2 * i + 1, END_BOTH, GET_HOLD);
	head_frame(r, 2 * i + 1, END_BOTH, GET_HOLD);
}

static void reset_by_priority(struct raw *r, int i)
{
	const uint8_t self[] = { 0, 0, (uint8_t)((2 * i + 1) >> 8), (uint8_t)(2 * i + 1), 1 };
	head_frame(r, 2 * i + 1, END_BOTH, GET_HOLD);
	frame(r, NGHTTP2_PRIORITY, 0, 2 * i + 1, self, sizeof(self));
}

static void reset_by_priority_length(struct raw *r, int i)
{
	head_frame(r, 2 * i + 1, END_BOTH, GET_HOLD);
	frame(r, NGHTTP2_PRIORITY, 0, 2 * i + 1, "abc", 3);
}

static void malformed_header(struct raw *r, int i)
{
	head_frame(r, 2 * i + 1, END_BOTH, GET_HOLD "\x40\x01X\x01y");
}

static void content_length_mismatch(struct raw *r, int i)
{
	head_frame(r, 2 * i + 1, END_BOTH,
		   POST_ECHO "\x0f\x0d\x01"
			     "5");
}

static void ping(struct raw *r, int i UNUSED)
{
	frame(r, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void ping_ack(struct raw *r, int i UNUSED)
{
	frame(r, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "12345678", 8);
}

static void settings(struct raw *r, int i UNUSED)
{
	frame(r, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static void empty_data(struct raw *r, int i)
{
	if (i == 0)
		head_frame(r, 1, END_HEADERS, POST_ECHO);
	frame(r, NGHTTP2_DATA, 0, 1, NULL, 0);
}

static void padded_empty_data(struct raw *r, int i)
{
	if (i == 0)
		head_frame(r, 1, END_HEADERS, POST_ECHO);
	frame(r, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\x01\x00", 2);
}

static void priority(struct raw *r, int i UNUSED)
{
	frame(r, NGHTTP2_PRIORITY, 0, 5, "\0\0\0\0\1", 5);
}

static void priority_update(struct raw *r, int i UNUSED)
{
	frame(r, 16, 0, 0, "\0\0\0\1u=1", 7);
}

static void unknown(struct raw *r, int i)
{
	frame(r, (uint8_t)(0x20 + i % 100), 0, i % 2, "abc", 3);
}

static void window_update(struct raw *r, int i UNUSED)
{
	number_frame(r, NGHTTP2_WINDOW_UPDATE, 0, 1);
}

static void continuation(struct raw *r, int i)
{
	if (i == 0)
		head_frame(r, 1, 0, GET_HOLD);
	else
		frame(r, NGHTTP2_CONTINUATION, 0, 1, "\x40\x01x\x01y", 5);
}

static void reset_unknown(struct raw *r, int i)
{
	if (i == 0)
		head_frame(r, 1, END_BOTH, GET_ECHO);
	number_frame(r, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
}

static void too_many_streams(struct raw *r, int i)
{
	head_frame(r, 2 * i + 1, END_BOTH, GET_HOLD);
}

/* Windows of nothing, opened by a byte at a time. */
static void dribble(struct raw *r, int i)
{
	if (i == 0) {
		frame(r, NGHTTP2_SETTINGS, 0, 0, "\0\4\0\0\0\0", 6);
		head_frame(r, 1, END_BOTH,
			   "\x82\x86\x41\x01"
			   "a"
			   "\x04\x0a"
			   "/big?90000");
	}
	number_frame(r, NGHTTP2_WINDOW_UPDATE, 1, 1);
}

static const struct {
	const char *name;
	void (*send)(struct raw *r, int i);
	int at_least; /* rounds that are borne */
	int at_most;  /* and after which it is over */
	int code;     /* of the GOAWAY */
} floods[] = {
	{ "rapid reset", rapid_reset, 200, 201, H2_CODE_ENHANCE_YOUR_CALM },
	{ "reset by window overflow", reset_by_window, 90, 101, H2_CODE_ENHANCE_YOUR_CALM },
	{ "reset by a window of zero", reset_by_zero_window, 0, 101, -1 },
	{ "reset by data behind the end", reset_by_data, 0, 101, -1 },
	{ "reset by headers behind the end", reset_by_headers, 0, 101, -1 },
	{ "reset by a priority of itself", reset_by_priority, 0, 101, -1 },
	{ "reset by a priority of wrong length", reset_by_priority_length, 0, 101, -1 },
	{ "malformed header", malformed_header, 90, 101, H2_CODE_ENHANCE_YOUR_CALM },
	{ "content-length mismatch", content_length_mismatch, 90, 101, H2_CODE_ENHANCE_YOUR_CALM },
	{ "PING", ping, 20, 21, H2_CODE_ENHANCE_YOUR_CALM },
	{ "PING ACK", ping_ack, 20, 21, H2_CODE_ENHANCE_YOUR_CALM },
	{ "SETTINGS", settings, 9, 10, H2_CODE_ENHANCE_YOUR_CALM },
	{ "empty DATA", empty_data, 20, 21, H2_CODE_ENHANCE_YOUR_CALM },
	{ "DATA of padding", padded_empty_data, 20, 21, H2_CODE_ENHANCE_YOUR_CALM },
	{ "PRIORITY", priority, 100, 101, H2_CODE_ENHANCE_YOUR_CALM },
	{ "PRIORITY_UPDATE", priority_update, 100, 101, H2_CODE_ENHANCE_YOUR_CALM },
	{ "unknown", unknown, 50, 51, H2_CODE_ENHANCE_YOUR_CALM },
	{ "WINDOW_UPDATE", window_update, 200, 201, H2_CODE_ENHANCE_YOUR_CALM },
	{ "CONTINUATION", continuation, 4, 10, -1 },
	{ "RST_STREAM of a closed stream", reset_unknown, 200, 201, H2_CODE_ENHANCE_YOUR_CALM },
	{ "streams beyond the bound", too_many_streams, 100, 201, -1 },
	{ "dribble", dribble, 100, 101, H2_CODE_ENHANCE_YOUR_CALM },
};

START_TEST(every_flood_ends_within_its_budget)
{
	for (size_t f = 0; f < LEN(floods); f++) {
		struct raw r;
		raw_open(&r);
		settings(&r, 0);
		raw_send(&r);
		size_t memory = mallinfo2().uordblks;
		int i = 0;
		while (!protocol_finished(protocol) && i < 3000) {
			floods[f].send(&r, i++);
			raw_send(&r);
		}
		ck_assert_msg(i > floods[f].at_least, "%s: over after %d", floods[f].name, i);
		ck_assert_msg(i <= floods[f].at_most, "%s: still there after %d", floods[f].name,
			      i);
		ck_assert_msg(r.goaway_code > 0, "%s: no GOAWAY", floods[f].name);
		if (floods[f].code >= 0)
			ck_assert_msg(r.goaway_code == floods[f].code, "%s: code %d",
				      floods[f].name, r.goaway_code);
		ck_assert_msg(mallinfo2().uordblks < memory + (2u << 20), "%s: %zu bytes",
			      floods[f].name, mallinfo2().uordblks - memory);
		raw_close(&r);
		protocol_free(protocol);
		bed_reply_held(&bed);
		open_h2();
	}
	CLEANUP(buf_release) struct buf text = BUF_INIT(1 << 20);
	metric_write(&text);
	ck_assert_ptr_nonnull(strstr(bed_text(&text), "isthmus_glitches_total{kind=\"ping\"} 2\n"));
	ck_assert_ptr_nonnull(
		strstr(bed_text(&text), "isthmus_glitches_total{kind=\"dribble\"} 1\n"));
}
END_TEST

/* The same in one read: what is behind the last straw does nothing. */
START_TEST(flood_in_one_read_ends_as_well)
{
	for (size_t f = 0; f < LEN(floods); f++) {
		struct raw r;
		raw_open(&r);
		settings(&r, 0);
		for (int i = 0; i < 1000; i++)
			floods[f].send(&r, i);
		raw_send(&r);
		ck_assert_msg(protocol_finished(protocol), "%s: goes on", floods[f].name);
		ck_assert_msg(r.goaway_code > 0, "%s: no GOAWAY", floods[f].name);
		ck_assert_uint_le(bed.held_count, 201);
		raw_close(&r);
		protocol_free(protocol);
		bed_reply_held(&bed);
		open_h2();
	}
}
END_TEST

/* What ordinary clients do, spread over time, exhausts nothing. */
START_TEST(budgets_come_back_with_time)
{
	struct raw r;
	raw_open(&r);
	settings(&r, 0);
	for (int i = 0; i < 300; i++) {
		ping(&r, i);
		if (i % 2)
			settings(&r, i);
		empty_data(&r, i);
		priority(&r, i);
		unknown(&r, i);
		frame(&r, NGHTTP2_DATA, 0, 1, "1234567890123456789012345678901234567890", 40);
		raw_send(&r);
		bed_turn(&bed, 2000);
	}
	ck_assert_int_eq(r.goaway_code, -1);
	raw_close(&r);
}
END_TEST

/* gRPC measures the way by a PING whenever data came, and opens windows for what it reads. */
START_TEST(pings_and_windows_for_data_cost_nothing)
{
	struct raw r;
	raw_open(&r);
	settings(&r, 0);
	for (int i = 0; i < 1000; i++) {
		head_frame(&r, 2 * i + 1, END_HEADERS, POST_ECHO);
		frame(&r, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 2 * i + 1, "abc", 3);
		raw_send(&r);
		ping(&r, i);
		for (int k = 0; k < 4; k++)
			window_update(&r, i);
		raw_send(&r);
	}
	ck_assert_int_eq(r.goaway_code, -1);
	ck_assert_uint_eq(bed.served, 1000);
	raw_close(&r);
}
END_TEST

/* One field of 4,000 bytes, put into the table once and named thousands of times (CVE-2016-6581, CVE-2026-49975). */
START_TEST(header_bombs_are_refused_and_take_no_memory)
{
	struct raw r;
	raw_open(&r);
	frame(&r, NGHTTP2_SETTINGS, 0, 0, "\0\4\0\0\0\0", 6);
	CLEANUP(buf_release) struct buf block = BUF_INIT(1 << 16);
	buf_append_cstr(&block, GET_UNINDEXED "\x40\x01x\x7f\xa1\x1e"); /* a value of 4,000 bytes */
	uint8_t *value = buf_reserve(&block, 4000);
	memset(value, 'v', 4000);
	buf_commit(&block, 4000);
	frame(&r, NGHTTP2_HEADERS, END_BOTH, 1, block.data, block.len);
	raw_send(&r);
	ck_assert_uint_eq(bed.served, 1);
	buf_reset(&block);
	buf_append_cstr(&block, GET_UNINDEXED);
	while (block.len < 16000)
		buf_append_byte(&block, 0xbe); /* the newest of the table */
	size_t memory = mallinfo2().uordblks;
	for (int i = 1; i < 100; i++) {
		frame(&r, NGHTTP2_HEADERS, END_BOTH, 2 * i + 1, block.data, block.len);
		raw_send(&r);
	}
	ck_assert_uint_eq(bed.served, 1);
	ck_assert_int_eq(r.goaway_code, -1);
	ck_assert_uint_eq(r.frames[NGHTTP2_HEADERS], 100);
	ck_assert_msg(mallinfo2().uordblks < memory + (2u << 20), "%zu bytes",
		      mallinfo2().uordblks - memory);
	raw_close(&r);
}
END_TEST

START_TEST(ids_that_were_passed_over_are_an_error)
{
	struct raw r;
	raw_open(&r);
	settings(&r, 0);
	head_frame(&r, 1, END_BOTH, GET_ECHO);
	head_frame(&r, 5, END_BOTH, GET_ECHO);
	raw_send(&r);
	ck_assert_int_eq(r.goaway_code, -1);
	ck_assert_uint_eq(bed.served, 2);
	head_frame(&r, 3, END_BOTH, GET_ECHO);
	raw_send(&r);
	ck_assert_int_eq(r.goaway_code, H2_CODE_PROTOCOL_ERROR);
	ck_assert_uint_eq(bed.served, 2);
	raw_close(&r);
}
END_TEST

/* The trailers of a request that was refused meanwhile are nobody's fault. */
START_TEST(late_trailers_of_a_refused_request_are_ignored)
{
	struct raw r;
	raw_open(&r);
	settings(&r, 0);
	head_frame(&r, 1, END_HEADERS,
		   POST_ECHO "\x0f\x0d\x08"
			     "99999999");
	raw_send(&r);
	ck_assert_uint_eq(r.resets[NGHTTP2_NO_ERROR], 1);
	frame(&r, NGHTTP2_DATA, 0, 1, "abc", 3);
	frame(&r, NGHTTP2_HEADERS, END_BOTH, 1, "\x40\x01x\x01y", 5);
	head_frame(&r, 3, END_BOTH, GET_ECHO);
	raw_send(&r);
	ck_assert_int_eq(r.goaway_code, -1);
	ck_assert_uint_eq(bed.served, 1);
	bed_pass(&bed, protocol, 4999);
	bed_pass(&bed, protocol, 4999);
	raw_send(&r);
	ck_assert_int_eq(r.goaway_code, -1);
	raw_close(&r);
}
END_TEST

START_TEST(other_first_bytes_are_an_error)
{
	struct raw r;
	raw_open(&r);
	buf_reset(&r.in);
	buf_append_cstr(&r.in, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	raw_send(&r);
	ck_assert_int_eq(r.goaway_code, H2_CODE_PROTOCOL_ERROR);
	raw_close(&r);
}
END_TEST

static void expect_end(struct raw *r, uint64_t ms, int code)
{
	raw_send(r);
	bed_pass(&bed, protocol, ms - 1);
	raw_send(r);
	ck_assert_int_eq(r->goaway_code, -1);
	bed_pass(&bed, protocol, 1);
	raw_send(r);
	ck_assert_int_eq(r->goaway_code, code);
	ck_assert(protocol_finished(protocol));
	raw_close(r);
	protocol_free(protocol);
	open_h2();
}

START_TEST(slow_frames_end_the_connection)
{
	struct raw r;
	raw_open(&r); /* no SETTINGS */
	expect_end(&r, 5000, H2_CODE_SETTINGS_TIMEOUT);

	raw_open(&r); /* a part of the head of a frame */
	settings(&r, 0);
	buf_append(&r.in, "\0\0", 2);
	expect_end(&r, 5000, H2_CODE_ENHANCE_YOUR_CALM);

	raw_open(&r); /* a header block without end */
	settings(&r, 0);
	head_frame(&r, 1, 0, GET_HOLD);
	expect_end(&r, 5000, H2_CODE_ENHANCE_YOUR_CALM);

	raw_open(&r); /* a payload without end, for a stream that was refused */
	settings(&r, 0);
	head_frame(&r, 1, END_HEADERS,
		   POST_ECHO "\x0f\x0d\x08"
			     "99999999");
	raw_send(&r);
	head_frame(&r, 1, END_BOTH, "\x40\x01x\x01y");
	r.in.len -= 3;
	expect_end(&r, 5000, H2_CODE_ENHANCE_YOUR_CALM);
}
END_TEST

/* A byte a second does not keep a header block alive. */
START_TEST(dribbled_header_block_ends_the_connection)
{
	struct raw r;
	raw_open(&r);
	settings(&r, 0);
	raw_send(&r);
	CLEANUP(buf_release) struct buf bytes = BUF_INIT(1000);
	head_frame(&r, 1, END_BOTH, GET_ECHO "\x40\x01x\x01y");
	buf_append(&bytes, r.in.data, r.in.len);
	buf_reset(&r.in);
	size_t i = 0;
	while (r.goaway_code < 0 && i < bytes.len) {
		buf_append_byte(&r.in, bytes.data[i++]);
		raw_send(&r);
		bed_pass(&bed, protocol, 1000);
		raw_send(&r);
	}
	ck_assert_int_eq(r.goaway_code, H2_CODE_ENHANCE_YOUR_CALM);
	ck_assert_uint_eq(i, 5);
	raw_close(&r);
}
END_TEST

START_TEST(slow_bodies_end_in_408)
{
	struct raw r;
	raw_open(&r);
	settings(&r, 0);
	head_frame(&r, 1, END_HEADERS, POST_ECHO);
	head_frame(&r, 3, END_HEADERS, POST_ECHO);
	for (int s = 0; s < 20; s++) {
		/* One brings 2,000 bytes a second, the other a byte. */
		static const char bytes[2000];
		frame(&r, NGHTTP2_DATA, 0, 1, bytes, sizeof(bytes));
		if (s < 15)
			frame(&r, NGHTTP2_DATA, 0, 3, "x", 1);
		raw_send(&r);
		bed_pass(&bed, protocol, 1000);
	}
	raw_send(&r);
	ck_assert_uint_eq(r.frames[NGHTTP2_HEADERS], 1);
	ck_assert_uint_eq(r.resets[NGHTTP2_NO_ERROR], 1);
	frame(&r, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, NULL, 0);
	raw_send(&r);
	ck_assert_uint_eq(bed.served, 1);
	ck_assert_int_eq(r.goaway_code, -1);
	raw_close(&r);
}
END_TEST

/* Who waits because we give no window is not slow. */
START_TEST(body_that_is_held_back_is_not_timed)
{
	static const char bytes[10000];
	struct raw r;
	bed.limits.connection_body_bytes_max = 20000;
	raw_open(&r);
	settings(&r, 0);
	head_frame(&r, 1, END_HEADERS, POST_ECHO);
	head_frame(&r, 3, END_HEADERS, POST_ECHO);
	for (int i = 0; i < 5; i++)
		frame(&r, NGHTTP2_DATA, 0, 3, bytes, sizeof(bytes));
	for (int s = 0; s < 60; s++) {
		frame(&r, NGHTTP2_DATA, 0, 1, bytes, 2000);
		raw_send(&r);
		bed_pass(&bed, protocol, 1000);
	}
	ck_assert_uint_eq(r.frames[NGHTTP2_HEADERS], 0);
	frame(&r, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, NULL, 0);
	frame(&r, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 3, NULL, 0);
	raw_send(&r);
	ck_assert_uint_eq(bed.served, 2);
	raw_close(&r);
}
END_TEST

START_TEST(bodies_beyond_the_budget_are_put_off)
{
	struct raw r;
	bed.budget.max = 2;
	raw_open(&r);
	settings(&r, 0);
	head_frame(&r, 1, END_HEADERS, POST_ECHO);
	frame(&r, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "abc", 3);
	raw_send(&r);
	ck_assert_uint_eq(bed.served, 0);
	ck_assert_ptr_nonnull(memmem(r.out.data, r.out.len, "too much work is waiting", 24));
	raw_close(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("h2_floods");
	TCase *t = tcase_create("floods");
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, every_flood_ends_within_its_budget);
	tcase_add_test(t, flood_in_one_read_ends_as_well);
	tcase_add_test(t, budgets_come_back_with_time);
	tcase_add_test(t, pings_and_windows_for_data_cost_nothing);
	tcase_add_test(t, header_bombs_are_refused_and_take_no_memory);
	tcase_add_test(t, ids_that_were_passed_over_are_an_error);
	tcase_add_test(t, late_trailers_of_a_refused_request_are_ignored);
	tcase_add_test(t, other_first_bytes_are_an_error);
	tcase_add_test(t, slow_frames_end_the_connection);
	tcase_add_test(t, dribbled_header_block_ends_the_connection);
	tcase_add_test(t, slow_bodies_end_in_408);
	tcase_add_test(t, body_that_is_held_back_is_not_timed);
	tcase_add_test(t, bodies_beyond_the_budget_are_put_off);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
