/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 with an ordinary client, nghttp2's.
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

#define STREAMS 300

struct answer {
	int status;
	int interim;
	struct buf fields; /* "name=value\n", without :status */
	struct buf trailers;
	struct buf body;
	bool closed;
	uint32_t code;
	/* what is sent */
	const uint8_t *out;
	size_t out_len;
	size_t out_at;
};

struct client {
	nghttp2_session *session;
	struct answer answers[STREAMS]; /* by id / 2 */
	unsigned goaways;
	uint32_t goaway_code;
	int32_t goaway_last_id;
	bool bad_body;
};

static int on_header(nghttp2_session *s UNUSED, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags UNUSED,
		     void *ctx)
{
	struct client *c = ctx;
	struct answer *a = &c->answers[frame->hd.stream_id / 2];
	const struct str text = { .data = (const char *)value, .len = value_len };

	if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
		a->interim = a->status;
		a->status = (int)bed_number(text);
		return 0;
	}
	struct buf *to = frame->headers.cat == NGHTTP2_HCAT_HEADERS && a->status >= 200
				 ? &a->trailers
				 : &a->fields;
	buf_printf(to, "%.*s=%.*s\n", (int)name_len, (const char *)name, STR_FMT(text));
	return 0;
}

static int on_data(nghttp2_session *s UNUSED, uint8_t flags UNUSED, int32_t id, const uint8_t *data,
		   size_t len, void *ctx)
{
	struct client *c = ctx;

	buf_append(&c->answers[id / 2].body, data, len);
	return 0;
}

static int on_close(nghttp2_session *s UNUSED, int32_t id, uint32_t code, void *ctx)
{
	struct client *c = ctx;

	c->answers[id / 2].closed = true;
	c->answers[id / 2].code = code;
	return 0;
}

static int on_frame(nghttp2_session *s UNUSED, const nghttp2_frame *frame, void *ctx)
{
	struct client *c = ctx;

	if (frame->hd.type == NGHTTP2_GOAWAY) {
		c->goaways++;
		c->goaway_code = frame->goaway.error_code;
		c->goaway_last_id = frame->goaway.last_stream_id;
	}
	return 0;
}

static void client_open(struct client *c, uint32_t window)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_settings_entry settings = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window };

	*c = (struct client){ 0 };
	for (size_t i = 0; i < STREAMS; i++) {
		buf_init(&c->answers[i].fields, 1 << 16);
		buf_init(&c->answers[i].trailers, 1 << 16);
		buf_init(&c->answers[i].body, 64 << 20);
	}
	ck_assert_int_eq(nghttp2_session_callbacks_new(&callbacks), 0);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	ck_assert_int_eq(nghttp2_session_client_new(&c->session, callbacks, c), 0);
	nghttp2_session_callbacks_del(callbacks);
	ck_assert_int_eq(nghttp2_submit_settings(c->session, 0, &settings, 1), 0);
}

static void client_close(struct client *c)
{
	nghttp2_session_del(c->session);
	for (size_t i = 0; i < STREAMS; i++) {
		buf_release(&c->answers[i].fields);
		buf_release(&c->answers[i].trailers);
		buf_release(&c->answers[i].body);
	}
}

/* Carries bytes both ways until nothing moves, in pieces, the server's output in portions. */
static void pump_pieces(struct client *c, size_t piece, size_t portion)
{
	for (bool moved = true; moved;) {
		moved = false;
		const uint8_t *data;
		ssize_t n = nghttp2_session_mem_send(c->session, &data);
		ck_assert_int_ge(n, 0);
		for (ssize_t at = 0; at < n; at += (ssize_t)piece) {
			size_t len = MIN((size_t)(n - at), piece);
			protocol_receive(protocol, (struct bytes){ .data = data + at, .len = len });
			moved = true;
		}
		CLEANUP(buf_release) struct buf out = BUF_INIT(1 << 20);
		protocol_fill(protocol, &out, portion);
		ck_assert_uint_le(out.len, portion + 9 + 16384);
		if (out.len > 0) {
			ck_assert_int_eq(nghttp2_session_mem_recv(c->session, out.data, out.len),
					 (ssize_t)out.len);
			moved = true;
		}
	}
}

static void pump(struct client *c)
{
	pump_pieces(c, SIZE_MAX / 2, 256 << 10);
}

static ssize_t read_out(nghttp2_session *s UNUSED, int32_t id UNUSED, uint8_t *to, size_t len,
			uint32_t *flags, nghttp2_data_source *source, void *ctx UNUSED)
{
	struct answer *a = source->ptr;
	size_t n = MIN(len, a->out_len - a->out_at);

	memcpy(to, a->out + a->out_at, n);
	a->out_at += n;
	if (a->out_at == a->out_len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

#define NV(n, v)                                                                                   \
	{                                                                                          \
		(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0      \
	}

/* extra is a name and a value, or NULL. */
static struct answer *ask(struct client *c, const char *method, const char *path, struct bytes body,
			  const char *const extra[2])
{
	nghttp2_nv nv[] = { NV(":method", method), NV(":scheme", "http"), NV(":authority", "a"),
			    NV(":path", path), NV(extra ? extra[0] : "x", extra ? extra[1] : "y") };
	int32_t id = (int32_t)nghttp2_session_get_next_stream_id(c->session);
	struct answer *a = &c->answers[id / 2];
	nghttp2_data_provider provider = { .source.ptr = a, .read_callback = read_out };

	a->out = body.data;
	a->out_len = body.len;
	ck_assert_int_eq(
		nghttp2_submit_request(c->session, NULL, nv, 5, body.len ? &provider : NULL, NULL),
		id);
	return a;
}

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){ .data = (const uint8_t *)text, .len = strlen(text) };
}

static const struct bytes nothing = { .data = NULL, .len = 0 };

START_TEST(ordinary_request_gets_its_reply)
{
	struct client c;
	client_open(&c, 65535);
	struct answer *a = ask(&c, "POST", "/echo/?q=1", bytes_of("abc"), NULL);
	pump(&c);
	ck_assert_int_eq(a->status, 200);
	ck_assert_str_eq(bed_text(&a->body), "abc");
	ck_assert_str_eq(bed_text(&a->fields), "content-length=3\n");
	ck_assert(a->closed);
	ck_assert_uint_eq(a->code, NGHTTP2_NO_ERROR);
	ck_assert_str_eq(bed_text(&bed.transcript), "POST /echo ? q=1 @ a\n  x=y\nabc");
	a = ask(&c, "GET", "/status?404", nothing, NULL);
	pump(&c);
	ck_assert_int_eq(a->status, 404);
	a = ask(&c, "HEAD", "/big?1000", nothing, NULL);
	pump(&c);
	ck_assert_str_eq(bed_text(&a->fields), "content-length=1000\n");
	ck_assert_uint_eq(a->body.len, 0);
	a = ask(&c, "GET", "/status?999", nothing, NULL);
	pump(&c);
	ck_assert_int_eq(a->status, 500);
	client_close(&c);
}
END_TEST

START_TEST(it_does_not_matter_how_the_bytes_are_cut)
{
	for (size_t piece = 1; piece < 40; piece++) {
		struct client c;
		client_open(&c, 65535);
		struct answer *a = ask(&c, "POST", "/echo", bytes_of("abc"), NULL);
		struct answer *b = ask(&c, "GET", "/big?40000", nothing, NULL);
		pump_pieces(&c, piece, piece * 100);
		ck_assert_str_eq(bed_text(&a->body), "abc");
		ck_assert_uint_eq(b->body.len, 40000);
		for (size_t i = 0; i < b->body.len; i++)
			ck_assert_uint_eq(b->body.data[i], bed_pattern(i));
		client_close(&c);
		protocol_free(protocol);
		open_h2();
	}
}
END_TEST

START_TEST(big_bodies_pass_both_ways)
{
	const size_t bytes = 6000000;
	CLEANUP(buf_release) struct buf body = BUF_INIT(bytes);
	uint8_t *to = buf_reserve(&body, bytes);
	for (size_t i = 0; i < bytes; i++)
		to[i] = bed_pattern(i);
	buf_commit(&body, bytes);
	struct client c;
	client_open(&c, 65535);
	struct answer *a[3];
	for (size_t i = 0; i < LEN(a); i++)
		a[i] = ask(&c, "POST", "/echo", buf_bytes(&body), NULL);
	pump(&c);
	for (size_t i = 0; i < LEN(a); i++) {
		ck_assert_int_eq(a[i]->status, 200);
		ck_assert_uint_eq(a[i]->body.len, bytes);
		ck_assert_mem_eq(a[i]->body.data, body.data, bytes);
	}
	client_close(&c);
}
END_TEST

/* The connection may hold 100,000 bytes of bodies: three bodies of 300,000 come one after another. */
START_TEST(bodies_beyond_the_connections_share_wait_for_their_turn)
{
	static uint8_t zeros[300000];
	bed.limits.connection_body_bytes_max = 100000;
	bed.limits.stream_window_bytes = 65535;
	protocol_free(protocol);
	open_h2();
	struct client c;
	client_open(&c, 65535);
	struct answer *a[8];
	for (size_t i = 0; i < LEN(a); i++)
		a[i] = ask(&c, "POST", "/echo", (struct bytes){ zeros, sizeof(zeros) }, NULL);
	pump(&c);
	for (size_t i = 0; i < LEN(a); i++)
		ck_assert_uint_eq(a[i]->body.len, sizeof(zeros));
	client_close(&c);
}
END_TEST

START_TEST(grpc_replies_end_in_trailers)
{
	static const char *const grpc[] = { "content-type", "application/grpc+proto" };
	struct client c;
	client_open(&c, 65535);
	struct answer *a = ask(&c, "POST", "/s/m?0", bytes_of("frame"), grpc);
	struct answer *b = ask(&c, "POST", "/s/m?5", bytes_of("frame"), grpc);
	struct answer *d = ask(&c, "POST", "/s/m?5", nothing, grpc);
	pump(&c);
	ck_assert_int_eq(a->status, 200);
	ck_assert_str_eq(bed_text(&a->fields), "content-type=application/grpc\n");
	ck_assert_str_eq(bed_text(&a->body), "frame");
	ck_assert_str_eq(bed_text(&a->trailers), "grpc-status=0\n");
	ck_assert_str_eq(bed_text(&b->body), "frame");
	ck_assert_str_eq(bed_text(&b->trailers), "grpc-status=5\ngrpc-message=no: 100 %25 %0A\n");
	/* Trailers only. */
	ck_assert_str_eq(bed_text(&d->fields), "content-type=application/grpc\ngrpc-status=5\n"
					      "grpc-message=no: 100 %25 %0A\n");
	ck_assert_uint_eq(d->trailers.len, 0);
	ck_assert(a->closed && b->closed && d->closed);
	client_close(&c);
}
END_TEST

START_TEST(continue_is_said_when_it_is_asked_for)
{
	static const char *const expect[] = { "expect", "100-continue" };
	struct client c;
	client_open(&c, 65535);
	struct answer *a = ask(&c, "POST", "/echo", bytes_of("abc"), expect);
	pump(&c);
	ck_assert_int_eq(a->interim, 100);
	ck_assert_int_eq(a->status, 200);
	ck_assert_str_eq(bed_text(&a->body), "abc");
	client_close(&c);
}
END_TEST

/* Nobody has looked yet whether the client may ask at all. */
START_TEST(packed_body_is_handed_on_as_it_came)
{
	static const char *const gzip[] = { "content-encoding", "gzip" };
	struct client c;
	client_open(&c, 65535);
	struct answer *a = ask(&c, "POST", "/echo", bytes_of("no gzip"), gzip);
	pump(&c);
	ck_assert_int_eq(a->status, 200);
	ck_assert_str_eq(bed_text(&a->body), "no gzip");
	client_close(&c);
}
END_TEST

START_TEST(body_beyond_the_cap_is_refused_and_no_more_credited)
{
	static uint8_t body[300000];
	static const char *const length[] = { "content-length", "300000" };
	static const char *const grpc[] = { "content-type", "application/grpc" };
	bed.limits.body_bytes_max = 200000;
	protocol_free(protocol);
	open_h2();
	struct client c;
	client_open(&c, 65535);
	struct answer *a = ask(&c, "POST", "/echo", (struct bytes){ body, sizeof(body) }, NULL);
	struct answer *b = ask(&c, "POST", "/echo", (struct bytes){ body, sizeof(body) }, length);
	struct answer *d = ask(&c, "POST", "/s/m", (struct bytes){ body, sizeof(body) }, grpc);
	pump(&c);
	ck_assert_int_eq(a->status, 413);
	ck_assert_int_eq(b->status, 413);
	ck_assert_int_eq(d->status, 200);
	ck_assert_ptr_nonnull(strstr(bed_text(&d->fields), "grpc-status=8\n"));
	ck_assert(a->closed && b->closed && d->closed);
	ck_assert_uint_eq(a->code, NGHTTP2_NO_ERROR);
	ck_assert_uint_lt(b->out_at, sizeof(body));
	ck_assert_uint_eq(bed.served, 0);
	ck_assert_uint_eq(bed.budget.used, 0);
	/* The connection goes on. */
	a = ask(&c, "POST", "/echo", (struct bytes){ body, 150000 }, NULL);
	pump(&c);
	ck_assert_uint_eq(a->body.len, 150000);
	client_close(&c);
}
END_TEST

START_TEST(wrong_heads_are_refused)
{
	static char big[9000];
	memset(big, 'v', sizeof(big) - 1);
	const char *const field[] = { "x", big };
	static const char *const other_host[] = { "host", "b" };
	struct client c;
	client_open(&c, 65535);
	struct answer *a = ask(&c, "GET", "/echo", nothing, field);
	struct answer *b = ask(&c, "GET", "/echo", nothing, other_host);
	struct answer *d = ask(&c, "GET", "/e#cho", nothing, NULL);
	pump(&c);
	ck_assert_int_eq(a->status, 431);
	ck_assert_int_eq(b->status, 400);
	ck_assert_int_eq(d->status, 400);
	ck_assert_uint_eq(bed.served, 0);
	client_close(&c);
}
END_TEST

/* A client that asks and goes away occupies what it asked for until the work is done. */
START_TEST(reset_request_keeps_its_place_until_the_handler_is_done)
{
	struct client c;
	bed.limits.streams_max = 3;
	protocol_free(protocol);
	open_h2();
	client_open(&c, 65535);
	pump(&c);
	for (int i = 0; i < 3; i++)
		(void)ask(&c, "GET", "/hold", nothing, NULL);
	pump(&c);
	ck_assert_uint_eq(bed.held_count, 3);
	for (int32_t id = 1; id <= 5; id += 2)
		ck_assert_int_eq(nghttp2_submit_rst_stream(c.session, 0, id, NGHTTP2_CANCEL), 0);
	pump(&c);
	ck_assert(atomic_load(&bed.held[0]->cancelled));
	struct answer *a = ask(&c, "GET", "/echo", nothing, NULL);
	pump(&c);
	ck_assert(a->closed);
	ck_assert_uint_eq(a->code, NGHTTP2_REFUSED_STREAM);
	bed_reply_held(&bed);
	a = ask(&c, "GET", "/echo", nothing, NULL);
	pump(&c);
	ck_assert_int_eq(a->status, 200);
	client_close(&c);
}
END_TEST

START_TEST(requests_outlive_their_connection)
{
	struct client c;
	client_open(&c, 65535);
	for (int i = 0; i < 3; i++)
		(void)ask(&c, "GET", "/hold", nothing, NULL);
	pump(&c);
	ck_assert_int_eq(nghttp2_submit_rst_stream(c.session, 0, 1, NGHTTP2_CANCEL), 0);
	pump(&c);
	ck_assert(!protocol_end(protocol));
	protocol_free(protocol);
	for (int i = 0; i < 3; i++) {
		ck_assert_ptr_null(bed.held[i]->sink);
		ck_assert(atomic_load(&bed.held[i]->cancelled));
	}
	bed_reply_held(&bed);
	open_h2();
	client_close(&c);
}
END_TEST

START_TEST(requests_wait_while_too_much_is_queued)
{
	struct client c;
	client_open(&c, 0);
	bed.limits.queued_reply_bytes_max = 1000;
	for (int i = 0; i < 10; i++)
		(void)ask(&c, "GET", "/big?600", nothing, NULL);
	pump(&c);
	ck_assert_uint_eq(bed.served, 2);
	for (int32_t id = 1; id < 20; id += 2)
		ck_assert_int_eq(nghttp2_submit_window_update(c.session, 0, id, 600), 0);
	pump(&c);
	ck_assert_uint_eq(bed.served, 10);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(c.answers[i].body.len, 600);
	client_close(&c);
}
END_TEST

START_TEST(drain_says_goaway_twice_and_answers_what_it_has)
{
	struct client c;
	client_open(&c, 65535);
	struct answer *a = ask(&c, "GET", "/hold", nothing, NULL);
	pump(&c);
	protocol_drain(protocol);
	pump(&c);
	ck_assert_uint_eq(c.goaways, 1);
	ck_assert_int_eq(c.goaway_last_id, INT32_MAX);
	bed_pass(&bed, protocol, 999);
	pump(&c);
	ck_assert_uint_eq(c.goaways, 1);
	bed_pass(&bed, protocol, 1);
	pump(&c);
	ck_assert_uint_eq(c.goaways, 2);
	ck_assert_int_eq(c.goaway_last_id, 1);
	ck_assert_uint_eq(c.goaway_code, NGHTTP2_NO_ERROR);
	ck_assert(!protocol_finished(protocol));
	bed_reply_held(&bed);
	pump(&c);
	ck_assert_int_eq(a->status, 200);
	ck_assert(protocol_finished(protocol));
	client_close(&c);
}
END_TEST

START_TEST(idle_connection_is_drained)
{
	struct client c;
	client_open(&c, 65535);
	(void)ask(&c, "GET", "/echo", nothing, NULL);
	pump(&c);
	bed_pass(&bed, protocol, 299999);
	pump(&c);
	ck_assert_uint_eq(c.goaways, 0);
	bed_pass(&bed, protocol, 1);
	bed_pass(&bed, protocol, 1000);
	pump(&c);
	ck_assert_uint_eq(c.goaways, 2);
	ck_assert(protocol_finished(protocol));
	client_close(&c);
}
END_TEST

START_TEST(stalled_reply_is_reset_and_others_are_not)
{
	struct client c;
	client_open(&c, 0);
	struct answer *a = ask(&c, "GET", "/big?1000", nothing, NULL);
	struct answer *b = ask(&c, "GET", "/hold", nothing, NULL);
	pump(&c);
	bed_pass(&bed, protocol, 29999);
	pump(&c);
	ck_assert(!a->closed);
	bed_pass(&bed, protocol, 1);
	pump(&c);
	ck_assert(a->closed);
	ck_assert_uint_eq(a->code, NGHTTP2_CANCEL);
	ck_assert(!b->closed);
	bed_reply_held(&bed);
	pump(&c);
	ck_assert_int_eq(b->status, 200);
	client_close(&c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("h2");
	TCase *t = tcase_create("an ordinary client");
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, wrong_heads_are_refused);
	tcase_add_test(t, body_beyond_the_cap_is_refused_and_no_more_credited);
	tcase_add_test(t, ordinary_request_gets_its_reply);
	tcase_add_test(t, it_does_not_matter_how_the_bytes_are_cut);
	tcase_add_test(t, big_bodies_pass_both_ways);
	tcase_add_test(t, bodies_beyond_the_connections_share_wait_for_their_turn);
	tcase_add_test(t, grpc_replies_end_in_trailers);
	tcase_add_test(t, continue_is_said_when_it_is_asked_for);
	tcase_add_test(t, packed_body_is_handed_on_as_it_came);
	tcase_add_test(t, reset_request_keeps_its_place_until_the_handler_is_done);
	tcase_add_test(t, requests_outlive_their_connection);
	tcase_add_test(t, requests_wait_while_too_much_is_queued);
	tcase_add_test(t, drain_says_goaway_twice_and_answers_what_it_has);
	tcase_add_test(t, idle_connection_is_drained);
	tcase_add_test(t, stalled_reply_is_reset_and_others_are_not);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
