/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1: what two readers could understand differently is refused, however the bytes are cut.
 */
#include "gateway/h1.h"

#include <stdio.h>

#include "tests/gateway/conn_bed.h"

static struct bed bed;
static struct protocol_host host;
static struct protocol *protocol;

static void open_h1(void)
{
	host = bed_protocol_host(&bed);
	ck_assert_int_eq(h1_new(&host, &protocol), ERR_NONE);
}

static void setup(void)
{
	bed_open(&bed);
	bed_turn(&bed, 0);
	open_h1();
}

static void teardown(void)
{
	protocol_free(protocol);
	bed_close(&bed);
}

static void drain_output(struct buf *out)
{
	for (;;) {
		size_t before = out->len;
		protocol_fill(protocol, out, out->len + 1000);
		if (out->len == before)
			return;
	}
}

/* Gives the bytes piece by piece, taking the output in between. */
static void feed(struct bytes in, size_t piece, struct buf *out)
{
	while (in.len > 0 && !protocol_finished(protocol)) {
		size_t n = MIN(in.len, piece);
		if (!protocol_wants_read(protocol)) {
			size_t before = out->len;
			drain_output(out);
			ck_assert_msg(out->len > before, "it neither reads nor writes");
			continue;
		}
		protocol_receive(protocol, (struct bytes){ .data = in.data, .len = n });
		in.data += n;
		in.len -= n;
	}
	drain_output(out);
}

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){ .data = (const uint8_t *)text, .len = strlen(text) };
}

static void say(const char *text, struct buf *out)
{
	feed(bytes_of(text), SIZE_MAX, out);
}

static const char *text_of(struct buf *b)
{
	buf_append_byte(b, 0);
	b->len--;
	return b->data ? (const char *)b->data : "";
}

struct row {
	const char *name;
	const char *request;
	int status; /* of the last reply; 0: none yet */
	size_t served;
};

#define HOST "Host: a\r\n"
#define POST "POST /echo HTTP/1.1\r\n" HOST
#define NEXT "GET /next HTTP/1.1\r\n" HOST "\r\n"

static const struct row rows[] = {
	/* What is refused. */
	{ "length and coding",
	  POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 400, 0 },
	{ "coding and length",
	  POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" NEXT, 400, 0 },
	{ "two lengths", POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc" NEXT, 400, 0 },
	{ "the same length twice", POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400,
	  0 },
	{ "list of lengths", POST "Content-Length: 3, 3\r\n\r\nabc", 400, 0 },
	{ "signed length", POST "Content-Length: +3\r\n\r\nabc", 400, 0 },
	{ "negative length", POST "Content-Length: -3\r\n\r\nabc", 400, 0 },
	{ "hexadecimal length", POST "Content-Length: 0x3\r\n\r\nabc", 400, 0 },
	{ "empty length", POST "Content-Length:\r\n\r\nabc", 400, 0 },
	{ "endless length", POST "Content-Length: 99999999999999999999\r\n\r\nabc", 400, 0 },
	{ "length beyond the cap", POST "Content-Length: 33554433\r\n\r\nabc", 413, 0 },
	{ "two codings",
	  POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
	  0 },
	{ "other coding", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, 0 },
	{ "identity coding", POST "Transfer-Encoding: identity\r\n\r\n", 400, 0 },
	{ "coding with a vertical tab", POST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400,
	  0 },
	{ "coding in HTTP/1.0",
	  "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 0 },
	{ "line feed alone", "GET /echo HTTP/1.1\nHost: a\n\n", 400, 0 },
	{ "line feed alone in a field", "GET /echo HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400, 0 },
	{ "carriage return in a field", "GET /echo HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400, 0 },
	{ "folded field", "GET /echo HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400, 0 },
	{ "field that is folded first", "GET /echo HTTP/1.1\r\n Host: a\r\n\r\n", 400, 0 },
	{ "blank before the colon", POST "Content-Length : 3\r\n\r\nabc", 400, 0 },
	{ "tab before the colon", POST "Content-Length\t: 3\r\n\r\nabc", 400, 0 },
	{ "no colon", "GET /echo HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400, 0 },
	{ "no name", "GET /echo HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400, 0 },
	{ "name that is no token", "GET /echo HTTP/1.1\r\nHost: a\r\nX(y): x\r\n\r\n", 400, 0 },
	{ "escape in a value", "GET /echo HTTP/1.1\r\nHost: a\r\nX: \x1b\r\n\r\n", 400, 0 },
	{ "no host", "GET /echo HTTP/1.1\r\n\r\n", 400, 0 },
	{ "two hosts", "GET /echo HTTP/1.1\r\n" HOST HOST "\r\n", 400, 0 },
	{ "absolute target", "GET http://a/echo HTTP/1.1\r\n" HOST "\r\n", 400, 0 },
	{ "star", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 400, 0 },
	{ "authority", "CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n", 400, 0 },
	{ "two blanks", "GET  /echo HTTP/1.1\r\n" HOST "\r\n", 400, 0 },
	{ "tab for a blank", "GET\t/echo HTTP/1.1\r\n" HOST "\r\n", 400, 0 },
	{ "blank behind", "GET /echo HTTP/1.1 \r\n" HOST "\r\n", 400, 0 },
	{ "blank in the target", "GET /e cho HTTP/1.1\r\n" HOST "\r\n", 400, 0 },
	{ "no version", "GET /echo\r\n" HOST "\r\n", 400, 0 },
	{ "small version", "GET /echo http/1.1\r\n" HOST "\r\n", 400, 0 },
	{ "other version", "GET /echo HTTP/2.0\r\n" HOST "\r\n", 505, 0 },
	{ "wrong version", "GET /echo HTTP/1.2\r\n" HOST "\r\n", 505, 0 },
	{ "long method", "ABCDEFGHIJKLMNOPQ /echo HTTP/1.1\r\n" HOST "\r\n", 400, 0 },
	{ "no token as method", "G@T /echo HTTP/1.1\r\n" HOST "\r\n", 400, 0 },
	{ "two empty lines in front", "\r\n\r\nGET /echo HTTP/1.1\r\n" HOST "\r\n", 400, 0 },
	{ "TLS", "\x16\x03\x01\x02\x01\x01\xfc\x03\x03\n", 400, 0 },
	{ "chunk without size", POST "Transfer-Encoding: chunked\r\n\r\n\r\n", 400, 0 },
	{ "chunk size with 0x", POST "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
	  400, 0 },
	{ "chunk size with a sign", POST "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
	  400, 0 },
	{ "chunk size with a blank",
	  POST "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 400, 0 },
	{ "chunk size with a line feed",
	  POST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400, 0 },
	{ "chunk that is longer", POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
	  400, 0 },
	{ "chunk that ends in a line feed",
	  POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", 400, 0 },
	{ "chunk beyond the cap", POST "Transfer-Encoding: chunked\r\n\r\n2000001\r\n", 413, 0 },
	{ "endless chunk", POST "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 413, 0 },
	{ "trailer without colon", POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX\r\n\r\n", 400,
	  0 },
	{ "unknown expectation", POST "Expect: tea\r\nContent-Length: 1\r\n\r\nx", 417, 0 },
	/* What is taken. */
	{ "encodings are not this layer's", POST "Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx", 200, 1 },
	{ "no body", "GET /echo?a=b HTTP/1.1\r\n" HOST "\r\n", 200, 1 },
	{ "length", POST "content-length: 3\r\n\r\nabc", 200, 1 },
	{ "length of nothing", POST "Content-Length: 0\r\n\r\n", 200, 1 },
	{ "length with blanks", POST "Content-Length: \t 3 \t\r\n\r\nabc", 200, 1 },
	{ "chunks",
	  POST "Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n2;x=\"y\"\r\nbc\r\n0\r\nX: y\r\n\r\n",
	  200, 1 },
	{ "chunk size with zeros",
	  POST "Transfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n0\r\n\r\n", 200, 1 },
	{ "no chunks", POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, 1 },
	{ "continue", POST "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\nabc", 200, 1 },
	{ "old", "GET /echo HTTP/1.0\r\n\r\nGET /next HTTP/1.0\r\n\r\n", 200, 1 },
	{ "close", "GET /echo HTTP/1.1\r\n" HOST "Connection: x , Close\r\n\r\n" NEXT, 200, 1 },
	{ "pipelined", POST "Content-Length: 3\r\n\r\nabc" NEXT NEXT, 200, 3 },
	{ "pipelined chunks", POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" NEXT,
	  200, 2 },
	{ "empty line in front", "\r\nGET /echo HTTP/1.1\r\n" HOST "\r\n\r\n" NEXT, 200, 2 },
	{ "head", "HEAD /echo HTTP/1.1\r\n" HOST "\r\n" NEXT, 200, 2 },
	{ "unknown method", "BREW /echo HTTP/1.1\r\n" HOST "\r\n", 200, 1 },
	{ "no content", "GET /status?204 HTTP/1.1\r\n" HOST "\r\n" NEXT, 200, 2 },
	{ "underscores are left out",
	  "GET /echo HTTP/1.1\r\n" HOST "content_length: 9\r\n\r\n" NEXT, 200, 2 },
	{ "high bytes in a value", "GET /echo HTTP/1.1\r\n" HOST "X: \xff\r\n\r\n", 200, 1 },
	{ "unfinished line", "GET /echo HTTP/1.1", 0, 0 },
	{ "unfinished head", "GET /echo HTTP/1.1\r\n" HOST, 0, 0 },
	{ "unfinished body", POST "Content-Length: 4\r\n\r\nabc", 0, 0 },
};

static int last_status(struct buf *out)
{
	int status = 0;
	const char *at = text_of(out);

	while ((at = strstr(at, "HTTP/1.1 "))) {
		at += strlen("HTTP/1.1 ");
		status = (int)strtol(at, NULL, 10);
	}
	return status == 100 ? 0 : status;
}

START_TEST(what_could_be_smuggled_is_refused)
{
	for (size_t i = 0; i < LEN(rows); i++) {
		CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
		size_t before = bed.served;
		say(rows[i].request, &out);
		ck_assert_msg(last_status(&out) == rows[i].status, "%s: %s", rows[i].name,
			      text_of(&out));
		ck_assert_msg(bed.served - before == rows[i].served, "%s: %zu were served",
			      rows[i].name, bed.served - before);
		if (rows[i].status >= 400) {
			ck_assert_msg(protocol_finished(protocol), "%s: goes on", rows[i].name);
			ck_assert_ptr_nonnull(strstr(text_of(&out), "connection: close\r\n"));
			ck_assert_ptr_nonnull(strstr(text_of(&out), "{\"status\":{\"error\":\""));
		}
		protocol_free(protocol);
		open_h1();
	}
}
END_TEST

/* At every offset, and in pieces of one and of seven bytes. */
START_TEST(it_does_not_matter_how_the_bytes_are_cut)
{
	for (size_t i = 0; i < LEN(rows); i++) {
		const struct bytes whole = bytes_of(rows[i].request);
		CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
		CLEANUP(buf_release) struct buf transcript = BUF_INIT(1 << 20);
		buf_reset(&bed.transcript);
		feed(whole, SIZE_MAX, &out);
		buf_append(&transcript, bed.transcript.data, bed.transcript.len);
		bool finished = protocol_finished(protocol);

		for (size_t cut = 1; cut < whole.len + 2; cut++) {
			CLEANUP(buf_release) struct buf again = BUF_INIT(1 << 20);
			protocol_free(protocol);
			open_h1();
			buf_reset(&bed.transcript);
			if (cut < whole.len) {
				feed((struct bytes){ whole.data, cut }, SIZE_MAX, &again);
				feed((struct bytes){ whole.data + cut, whole.len - cut }, SIZE_MAX,
				     &again);
			} else {
				feed(whole, cut == whole.len ? 1 : 7, &again);
			}
			ck_assert_msg(strcmp(text_of(&again), text_of(&out)) == 0,
				      "%s cut at %zu: \"%s\" instead of \"%s\"", rows[i].name, cut,
				      text_of(&again), text_of(&out));
			ck_assert_str_eq(text_of(&bed.transcript), text_of(&transcript));
			ck_assert(protocol_finished(protocol) == finished);
		}
		protocol_free(protocol);
		open_h1();
	}
}
END_TEST

START_TEST(reply_is_what_rfc_9112_says)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	say("POST /echo/?a=b HTTP/1.1\r\nHost: x:1\r\nX-Y: Z\r\nContent-Length: 3\r\n\r\nabc",
	    &out);
	ck_assert_str_eq(text_of(&out), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc");
	ck_assert_str_eq(text_of(&bed.transcript),
			 "POST /echo ? a=b @ x:1\n  host=x:1\n  x-y=Z\n  content-length=3\nabc");
	buf_reset(&out);
	say("HEAD /big?100 HTTP/1.1\r\n" HOST "\r\n", &out);
	ck_assert_str_eq(text_of(&out), "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n");
	buf_reset(&out);
	say("GET /status?204 HTTP/1.1\r\n" HOST "\r\n", &out);
	ck_assert_str_eq(text_of(&out), "HTTP/1.1 204 No Content\r\n\r\n");
	buf_reset(&out);
	say("GET /status?999 HTTP/1.1\r\n" HOST "\r\n", &out);
	ck_assert_str_eq(text_of(&out),
			 "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
	buf_reset(&out);
	say(POST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", &out);
	ck_assert_str_eq(text_of(&out), "HTTP/1.1 100 Continue\r\n\r\n");
	buf_reset(&out);
	say("x", &out);
	ck_assert_str_eq(text_of(&out), "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx");
	buf_reset(&out);
	say("GET /status?404 HTTP/1.0\r\n\r\n", &out);
	ck_assert_str_eq(
		text_of(&out),
		"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
	ck_assert(protocol_finished(protocol));
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	say("GET /hold HTTP/1.1\r\n" HOST "\r\nGET /status?404 HTTP/1.1\r\n" HOST "\r\n", &out);
	ck_assert_uint_eq(out.len, 0);
	ck_assert_uint_eq(bed.served, 1);
	ck_assert(!protocol_wants_read(protocol));
	bed_reply_held(&bed);
	drain_output(&out);
	ck_assert_uint_eq(bed.served, 2);
	ck_assert_str_eq(text_of(&out), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
					"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
	ck_assert(protocol_wants_read(protocol));
}
END_TEST

START_TEST(big_bodies_pass_both_ways)
{
	const size_t bytes = 5000000;
	CLEANUP(buf_release) struct buf in = BUF_INIT(1 << 24);
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 24);
	buf_printf(&in, POST "Content-Length: %zu\r\n\r\n", bytes);
	uint8_t *body = buf_reserve(&in, bytes);
	for (size_t i = 0; i < bytes; i++)
		body[i] = bed_pattern(i);
	buf_commit(&in, bytes);
	feed(buf_bytes(&in), 100000, &out);
	const char *head = "HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n";
	ck_assert_uint_eq(out.len, strlen(head) + bytes);
	ck_assert_mem_eq(out.data, head, strlen(head));
	for (size_t i = 0; i < bytes; i++)
		ck_assert_uint_eq(out.data[strlen(head) + i], bed_pattern(i));
}
END_TEST

START_TEST(output_stays_within_what_is_asked_for)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	struct bytes request = bytes_of("GET /big?100000 HTTP/1.1\r\n" HOST "\r\n");
	protocol_receive(protocol, request);
	protocol_fill(protocol, &out, 10);
	ck_assert_uint_eq(out.len, 10);
	protocol_fill(protocol, &out, 5000);
	ck_assert_uint_eq(out.len, 5000);
}
END_TEST

/* A request of so many fields, so many bytes in a value, and so many in its target. */
static int status_of(size_t fields, size_t value_bytes, size_t target_bytes)
{
	CLEANUP(buf_release) struct buf in = BUF_INIT(1 << 20);
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	buf_append_cstr(&in, "GET /echo?");
	for (size_t i = 0; i < target_bytes; i++)
		buf_append_byte(&in, 'q');
	buf_append_cstr(&in, " HTTP/1.1\r\n" HOST);
	for (size_t f = 1; f < fields; f++) {
		buf_append_cstr(&in, "x: ");
		for (size_t i = 0; i < value_bytes; i++)
			buf_append_byte(&in, 'v');
		buf_append_cstr(&in, "\r\n");
	}
	buf_append_cstr(&in, "\r\n");
	feed(buf_bytes(&in), 1000, &out);
	protocol_free(protocol);
	open_h1();
	return last_status(&out);
}

START_TEST(heads_are_bounded)
{
	/* "GET /echo?" and " HTTP/1.1\r\n" are 21 bytes of the line. */
	ck_assert_int_eq(status_of(1, 0, 8192 - 21), 200);
	ck_assert_int_eq(status_of(1, 0, 8192 - 20), 414);
	ck_assert_int_eq(status_of(100, 0, 0), 200);
	ck_assert_int_eq(status_of(101, 0, 0), 431);
	ck_assert_int_eq(status_of(2, 8191, 0), 200);
	ck_assert_int_eq(status_of(2, 8192, 0), 431);
	ck_assert_int_eq(status_of(2, 9000, 0), 431);
	/* 64 bytes each, and "Host" and "a": 69 + 3 x (65 + 5300) > 16,384 */
	ck_assert_int_eq(status_of(4, 5300, 0), 200);
	ck_assert_int_eq(status_of(4, 5400, 0), 431);
}
END_TEST

START_TEST(trailers_count_as_headers)
{
	CLEANUP(buf_release) struct buf in = BUF_INIT(1 << 20);
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	buf_append_cstr(&in, POST "Transfer-Encoding: chunked\r\n\r\n0\r\n");
	for (int i = 0; i < 99; i++)
		buf_append_cstr(&in, "x: y\r\n");
	buf_append_cstr(&in, "\r\n");
	feed(buf_bytes(&in), SIZE_MAX, &out);
	ck_assert_int_eq(last_status(&out), 431);
}
END_TEST

START_TEST(chunk_extensions_are_bounded)
{
	for (size_t len = 256; len <= 257; len++) {
		CLEANUP(buf_release) struct buf in = BUF_INIT(1 << 20);
		CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
		buf_append_cstr(&in, POST "Transfer-Encoding: chunked\r\n\r\n1;");
		for (size_t i = 1; i < len; i++)
			buf_append_byte(&in, 'e');
		buf_append_cstr(&in, "\r\na\r\n0\r\n\r\n");
		feed(buf_bytes(&in), 10, &out);
		ck_assert_int_eq(last_status(&out), len == 256 ? 200 : 400);
		protocol_free(protocol);
		open_h1();
	}
}
END_TEST

START_TEST(chunks_together_stay_below_the_cap)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	protocol_free(protocol);
	bed.limits.body_bytes_max = 4;
	open_h1();
	say(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\n", &out);
	ck_assert_int_eq(last_status(&out), 413);
}
END_TEST

START_TEST(bodies_beyond_the_budget_are_put_off)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	bed.budget.max = 2;
	say(POST "Content-Length: 3\r\n\r\nabc", &out);
	ck_assert_int_eq(last_status(&out), 429);
	ck_assert_ptr_nonnull(strstr(text_of(&out), "retry-after: 1\r\n"));
}
END_TEST

static int status_after(uint64_t ms, struct buf *out)
{
	bed_turn(&bed, ms);
	(void)protocol_check_time(protocol, loop_now_ns(bed.loop));
	drain_output(out);
	return last_status(out);
}

START_TEST(slow_heads_and_bodies_end_in_408)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	/* A byte a second keeps no head alive. */
	for (const char *at = "GET /e HTT"; *at; at++) {
		ck_assert(!protocol_finished(protocol));
		feed((struct bytes){ .data = (const uint8_t *)at, .len = 1 }, 1, &out);
		(void)status_after(1000, &out);
	}
	ck_assert_int_eq(last_status(&out), 408);
	ck_assert(protocol_finished(protocol));

	protocol_free(protocol);
	open_h1();
	buf_reset(&out);
	say(POST "Content-Length: 100\r\n\r\na", &out);
	ck_assert_int_eq(status_after(9999, &out), 0);
	ck_assert_int_eq(status_after(1, &out), 408);

	/* 100 bytes a second are too few in the long run. */
	protocol_free(protocol);
	open_h1();
	buf_reset(&out);
	say(POST "Content-Length: 100000\r\n\r\n", &out);
	int seconds = 0;
	while (last_status(&out) == 0 && seconds < 100) {
		char piece[100] = { 0 };
		feed((struct bytes){ .data = (const uint8_t *)piece, .len = sizeof(piece) }, 100,
		     &out);
		(void)status_after(1000, &out);
		seconds++;
	}
	ck_assert_int_eq(last_status(&out), 408);
	ck_assert_int_ge(seconds, 10);
	ck_assert_int_le(seconds, 13);
}
END_TEST

START_TEST(idle_connections_end_in_silence)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	ck_assert_int_eq(status_after(4999, &out), 0);
	ck_assert(!protocol_finished(protocol));
	say("GET /echo HTTP/1.1\r\n" HOST "\r\n", &out);
	buf_reset(&out);
	ck_assert_int_eq(status_after(299999, &out), 0);
	ck_assert(!protocol_finished(protocol));
	ck_assert_int_eq(status_after(1, &out), 0);
	ck_assert(protocol_finished(protocol));
	ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(drain_lets_the_request_at_hand_end)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	say("GET /hold HTTP/1.1\r\n" HOST "\r\n" NEXT, &out);
	protocol_drain(protocol);
	ck_assert(!protocol_finished(protocol));
	bed_reply_held(&bed);
	drain_output(&out);
	ck_assert_str_eq(text_of(&out),
			 "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
	ck_assert(protocol_finished(protocol));
	ck_assert_uint_eq(bed.served, 1);

	protocol_free(protocol);
	open_h1();
	protocol_drain(protocol);
	ck_assert(protocol_finished(protocol));
}
END_TEST

START_TEST(request_outlives_its_connection)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	say("GET /hold HTTP/1.1\r\n" HOST "\r\n", &out);
	ck_assert(!protocol_end(protocol));
	protocol_free(protocol);
	ck_assert_ptr_null(bed.held[0]->sink);
	ck_assert(atomic_load(&bed.held[0]->cancelled));
	bed_reply_held(&bed);
	open_h1();
}
END_TEST

START_TEST(refusal_without_a_request_is_a_whole_reply)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
	h1_write_refusal(REFUSAL_CONNECTIONS, &out);
	ck_assert_str_eq(
		text_of(&out),
		"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
		"content-length: 67\r\nconnection: close\r\n\r\n"
		"{\"status\":{\"error\":\"too many connections; retry later\"},\"time\":0.0}");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("h1");
	TCase *t = tcase_create("h1");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_could_be_smuggled_is_refused);
	tcase_add_test(t, it_does_not_matter_how_the_bytes_are_cut);
	tcase_add_test(t, heads_are_bounded);
	tcase_add_test(t, trailers_count_as_headers);
	tcase_add_test(t, chunk_extensions_are_bounded);
	tcase_add_test(t, chunks_together_stay_below_the_cap);
	tcase_add_test(t, bodies_beyond_the_budget_are_put_off);
	tcase_add_test(t, reply_is_what_rfc_9112_says);
	tcase_add_test(t, pipelined_requests_are_answered_in_order);
	tcase_add_test(t, big_bodies_pass_both_ways);
	tcase_add_test(t, output_stays_within_what_is_asked_for);
	tcase_add_test(t, slow_heads_and_bodies_end_in_408);
	tcase_add_test(t, idle_connections_end_in_silence);
	tcase_add_test(t, drain_lets_the_request_at_hand_end);
	tcase_add_test(t, request_outlives_its_connection);
	tcase_add_test(t, refusal_without_a_request_is_a_whole_reply);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
