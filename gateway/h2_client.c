/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 on the client's side.
 *
 * A line is one TCP connection. The client has a current one, new exchanges' own, and those that said GOAWAY and
 * finish what they have. A line is open when the server's SETTINGS have come: before that, TLS 1.3 does not say whether
 * it took our certificate.
 *
 * surely_not_taken: the servers of these connections act on a request when its END_STREAM has come, not before. So a
 * request whose end was not given to the session yet was not taken; nor one that was refused by REFUSED_STREAM, which is
 * also what the library says of streams above a GOAWAY's last one.
 *
 * Exchanges that ended are collected and told when the library is not on the stack any more.
 */
#include "gateway/h2_client.h"

#include <nghttp2/nghttp2.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/panic.h"
#include "gateway/limits.h"

#define READ_BYTES ((size_t)64 << 10)
#define WRITE_BYTES ((size_t)256 << 10)
#define OUT_BYTES_MAX (WRITE_BYTES + ((size_t)64 << 10))
#define TURNS_MAX 8            /* reads, or writes, before others have their turn */
#define RETIRED_MAX 4          /* lines that said GOAWAY; the oldest is cut off beyond */
#define FIELDS_MAX (REQUEST_HEADERS_MAX + 5)
#define NAME_BYTES_MAX 254
#define USER_TIMEOUT_MS 10000
#define NS_PER_MS UINT64_C(1000000)

/* RST_STREAM that this side may send: the server counts them, and ends connections that send too many. */
static const struct bucket_rule resets_rule = { .burst = 100, .per_s = 10 };

enum line_state { LINE_CONNECTING, LINE_HANDSHAKE, LINE_GREETING, LINE_OPEN, LINE_DEAD };

/* What the library knows an exchange by; outlives it when it ends before its stream. */
struct h2_client_stream {
	struct line *line;
	struct h2_exchange *x;         /* NULL: nobody waits for it any more */
	struct h2_client_stream *next;
	struct h2_client_stream *prev;
	int32_t id;
	size_t sent;                   /* of the body */
	bool end_given;                /* the session has the request's end */
};

struct line {
	struct h2_client *client;
	struct line *next;             /* among the retired */
	struct loop_fd fd;
	struct loop_timer timer;       /* the end of the opening, then the next PING */
	struct loop_timer flush_timer;
	enum line_state state;
	uint32_t events;
	struct tls *tls;
	bool tls_wants_write;
	nghttp2_session *session;
	struct buf out;
	size_t out_at;
	struct h2_client_stream *streams;
	uint32_t stream_count;
	bool retired;
	uint32_t silent_pings;
	uint64_t pinged_ns;
	struct bucket resets;
	struct fault why;              /* it is dead */
};

struct h2_client {
	struct loop *loop;
	char *region;
	char *name;
	struct h2_client_options options;
	struct line *line;             /* NULL: none, until `again` fires */
	struct line *retired;
	struct loop_timer again;
	uint32_t attempts;             /* to connect, since it was open last */
	uint32_t attempt;              /* ever */
	struct h2_exchange_list waiting;
	struct h2_exchange_list ended;
	struct loop_timer tell_timer;
	bool telling;
	bool freeing;
	uint32_t exchanges;            /* sent and not ended */
	uint64_t body_bytes;           /* of these */
	uint64_t reply_bytes;          /* of these */
	uint64_t rtt_us;
	uint64_t opens;
	bool told_trouble;             /* the log knows that it is gone */
	struct fault trouble;
	uint8_t *scratch;
};

/* --- the end of an exchange ----------------------------------------------------------------- */

/* done() is called from tell(). The stream, if there is one, goes on without it. */
static void end(struct h2_exchange *x, enum err err, const struct fault *why, bool not_taken)
{
	struct h2_client *c = x->client;

	ASSERT(!x->ended);
	x->ended = true;
	x->err = err;
	x->surely_not_taken = err != ERR_NONE && not_taken;
	if (why)
		x->fault = *why;
	x->fault.err = err;
	if (x->stream) {
		x->stream->x = NULL;
		x->stream = NULL;
	}
	loop_timer_stop(c->loop, &x->timer);
	c->exchanges--;
	c->body_bytes -= x->body.len;
	c->reply_bytes -= x->reply.len;
	h2_exchange_list_append(&c->ended, x);
	if (!c->tell_timer.heap_index)
		loop_timer_start(c->loop, &c->tell_timer, 0);
}

static void tell(struct h2_client *c)
{
	if (c->telling)
		return;
	c->telling = true;
	while (c->ended.first) {
		struct h2_exchange *x = c->ended.first;
		h2_exchange_list_remove(&c->ended, x);
		x->done(x);
	}
	c->telling = false;
}

static void on_tell(struct loop_timer *t)
{
	tell(CONTAINER_OF(t, struct h2_client, tell_timer));
}

static void PRINTF_LIKE(4, 5) fail(struct h2_exchange *x, enum err err, bool not_taken, const char *fmt, ...)
{
	char words[FAULT_TEXT_MAX / 2];
	struct fault f = { 0 };
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	err = fault_set(&f, err, "region %s: %s", x->client->region, words);
	end(x, err, &f, not_taken);
}

/* --- the library's callbacks ---------------------------------------------------------------- */

static void die(struct line *l, const char *why)
{
	if (l->state == LINE_DEAD)
		return;
	l->state = LINE_DEAD;
	(void)fault_set(&l->why, ERR_UNAVAILABLE, "%s", why);
}

static struct h2_client_stream *stream_of(const struct line *l, int32_t id)
{
	return nghttp2_session_get_stream_user_data(l->session, id);
}

static void stream_free(struct h2_client_stream *s)
{
	struct line *l = s->line;

	if (s->prev)
		s->prev->next = s->next;
	else
		l->streams = s->next;
	if (s->next)
		s->next->prev = s->prev;
	l->stream_count--;
	free(s);
}

/* Takes the place of the stream at the server, if there are not too many resets already; then it ends by itself. */
static void cancel_stream(struct line *l, int32_t id)
{
	if (bucket_take(&l->resets, &resets_rule, loop_now_ns(l->client->loop)) &&
	    nghttp2_submit_rst_stream(l->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL) != 0)
		die(l, "out of memory");
}

static ssize_t read_body(nghttp2_session *session UNUSED, int32_t id UNUSED, uint8_t *out, size_t cap, uint32_t *flags,
			 nghttp2_data_source *source, void *ctx UNUSED)
{
	struct h2_client_stream *s = source->ptr;

	if (!s->x)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	size_t n = MIN(s->x->body.len - s->sent, cap);
	memcpy(out, s->x->body.data + s->sent, n);
	s->sent += n;
	if (s->sent == s->x->body.len) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		s->end_given = true;
	}
	return (ssize_t)n;
}

/* A request without a body ends with its head. */
static int on_before_send(nghttp2_session *session UNUSED, const nghttp2_frame *frame, void *ctx)
{
	const struct line *l = ctx;
	struct h2_client_stream *s = stream_of(l, frame->hd.stream_id);

	if (s && frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		s->end_given = true;
	return 0;
}

static void end_refused(struct h2_client_stream *s)
{
	if (s->x)
		fail(s->x, ERR_UNAVAILABLE, true, "refused the request unread; retry later");
}

/* A head that came too late, after a GOAWAY: the library has no stream for it, and will not speak of it again. */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int code UNUSED, void *ctx)
{
	const struct line *l = ctx;

	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	for (struct h2_client_stream *s = l->streams; s; s = s->next) {
		if (s->id != frame->hd.stream_id)
			continue;
		end_refused(s);
		/* Where there is a stream after all, it closes without it. */
		(void)nghttp2_session_set_stream_user_data(session, s->id, NULL);
		stream_free(s);
		break;
	}
	return 0;
}

static int on_stream_close(nghttp2_session *session UNUSED, int32_t id, uint32_t code, void *ctx)
{
	struct line *l = ctx;
	struct h2_client_stream *s = stream_of(l, id);

	if (!s)
		return 0;
	if (code == NGHTTP2_REFUSED_STREAM)
		end_refused(s);
	else if (s->x)
		fail(s->x, ERR_UNAVAILABLE, !s->end_given, "ended the exchange: %s", nghttp2_http2_strerror(code));
	stream_free(s);
	return 0;
}

static int on_header(nghttp2_session *session UNUSED, const nghttp2_frame *frame, const uint8_t *name_data,
		     size_t name_len, const uint8_t *value_data, size_t value_len, uint8_t flags UNUSED, void *ctx)
{
	struct line *l = ctx;
	struct h2_client_stream *s = stream_of(l, frame->hd.stream_id);
	const struct str name = { .data = (const char *)name_data, .len = name_len };
	const struct str value = { .data = (const char *)value_data, .len = value_len };

	if (!s || !s->x)
		return 0;
	struct h2_exchange *x = s->x;
	if (name.len == 7 && memcmp(name.data, ":status", 7) == 0) {
		/* The library lets three digits through only. */
		x->status = (value.data[0] - '0') * 100 + (value.data[1] - '0') * 10 + (value.data[2] - '0');
		return 0;
	}
	/* Of interim responses nothing is wanted. */
	enum err err = x->status >= 200 ? h2_exchange_keep_header(x, name, value) : ERR_NONE;
	if (err) {
		fail(x, ERR_BAD_GATEWAY, false, "the headers of its reply are too many or too large");
		cancel_stream(l, frame->hd.stream_id);
	}
	return 0;
}

static int on_data(nghttp2_session *session UNUSED, uint8_t flags UNUSED, int32_t id, const uint8_t *data, size_t len,
		   void *ctx)
{
	struct line *l = ctx;
	struct h2_client *c = l->client;
	const struct h2_client_stream *s = stream_of(l, id);
	struct h2_exchange *x = s ? s->x : NULL;

	if (!x)
		return 0;
	if (c->reply_bytes + len > H2_CLIENT_REPLY_BYTES_MAX || buf_append(&x->reply, data, len)) {
		fail(x, ERR_TOO_LARGE, false, "its reply is too large");
		cancel_stream(l, id);
		return 0;
	}
	c->reply_bytes += len;
	return 0;
}

static void on_pong(struct line *l)
{
	uint64_t now_ns = loop_now_ns(l->client->loop);

	if (now_ns > l->pinged_ns)
		l->client->rtt_us = (now_ns - l->pinged_ns) / 1000;
}

static void on_greeting(struct line *l);
static void retire(struct line *l);

static int on_frame(nghttp2_session *session UNUSED, const nghttp2_frame *frame, void *ctx)
{
	struct line *l = ctx;

	if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
		on_greeting(l);
	if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK))
		on_pong(l);
	if (frame->hd.type == NGHTTP2_GOAWAY)
		retire(l);
	if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	struct h2_client_stream *s = stream_of(l, frame->hd.stream_id);
	if (!s || !s->x)
		return 0;
	if (s->x->status >= 200)
		end(s->x, ERR_NONE, NULL, false);
	else
		fail(s->x, ERR_BAD_GATEWAY, false, "its reply has no status");
	return 0;
}

/* --- exchanges to streams ------------------------------------------------------------------- */

static const char *verb_name(enum http_verb v)
{
	static const char *const names[] = {
		[VERB_GET] = "GET",       [VERB_POST] = "POST",       [VERB_PUT] = "PUT",   [VERB_PATCH] = "PATCH",
		[VERB_DELETE] = "DELETE", [VERB_OPTIONS] = "OPTIONS", [VERB_HEAD] = "HEAD", [VERB_OTHER] = "POST",
	};

	return names[v];
}

static nghttp2_nv field(struct str name, struct str value)
{
	/* The library copies them, and only reads, though its struct does not say so. */
	return (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name.data,
		.value = (uint8_t *)(uintptr_t)value.data,
		.namelen = name.len,
		.valuelen = value.len,
	};
}

static int32_t submit_request(struct line *l, struct h2_exchange *x, struct h2_client_stream *s)
{
	const char *verb = verb_name(x->verb);
	const char *name = l->client->name;
	const nghttp2_data_provider body = { .source.ptr = s, .read_callback = read_body };
	nghttp2_nv nv[FIELDS_MAX];
	char length[24];
	size_t n = 0;

	nv[n++] = field(STR(":method"), (struct str){ verb, strlen(verb) });
	nv[n++] = field(STR(":scheme"), STR("https"));
	nv[n++] = field(STR(":authority"), (struct str){ name, strlen(name) });
	nv[n++] = field(STR(":path"), x->path);
	for (uint32_t i = 0; i < x->header_count && n < FIELDS_MAX - 1; i++)
		nv[n++] = field(x->headers[i].name, x->headers[i].value);
	if (x->body.len > 0) {
		int len = snprintf(length, sizeof(length), "%zu", x->body.len);
		nv[n++] = field(STR("content-length"), (struct str){ length, (size_t)len });
	}
	return nghttp2_submit_request(l->session, NULL, nv, n, x->body.len > 0 ? &body : NULL, s);
}

static void begin(struct line *l, struct h2_exchange *x)
{
	struct h2_client_stream *s = calloc(1, sizeof(*s));
	int32_t id = s ? submit_request(l, x, s) : NGHTTP2_ERR_NOMEM;

	if (id < 0) {
		free(s);
		fail(x, id == NGHTTP2_ERR_NOMEM ? ERR_NO_MEMORY : ERR_UNAVAILABLE, true, "%s", nghttp2_strerror(id));
		/* Ids are used up after a billion exchanges. */
		if (id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE)
			retire(l);
		return;
	}
	*s = (struct h2_client_stream){ .line = l, .x = x, .next = l->streams, .id = id };
	if (l->streams)
		l->streams->prev = s;
	l->streams = s;
	l->stream_count++;
	x->stream = s;
}

static void begin_waiting(struct line *l)
{
	struct h2_client *c = l->client;

	while (c->waiting.first && l->state == LINE_OPEN && !l->retired) {
		uint32_t theirs =
			nghttp2_session_get_remote_settings(l->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
		if (l->stream_count >= MIN(theirs, (uint32_t)H2_CLIENT_STREAMS_MAX))
			return;
		struct h2_exchange *x = c->waiting.first;
		h2_exchange_list_remove(&c->waiting, x);
		begin(l, x);
	}
}

/* --- bytes ---------------------------------------------------------------------------------- */

static size_t write_some(struct line *l, const uint8_t *data, size_t len)
{
	size_t n = 0;
	enum tls_io io = tls_write(l->tls, data, len, &n);

	if (io == TLS_CLOSED || io == TLS_FAILED)
		die(l, tls_why(l->tls)[0] ? tls_why(l->tls) : "the connection was closed");
	return n;
}

/* True when the socket took everything. */
static bool write_out(struct line *l)
{
	while (l->out_at < l->out.len && l->state != LINE_DEAD) {
		size_t n = write_some(l, l->out.data + l->out_at, l->out.len - l->out_at);
		if (n == 0)
			return false;
		l->out_at += n;
	}
	buf_reset(&l->out);
	l->out_at = 0;
	return l->state != LINE_DEAD;
}

static void fill_out(struct line *l)
{
	while (l->out.len < WRITE_BYTES) {
		const uint8_t *data;
		ssize_t n = nghttp2_session_mem_send(l->session, &data);
		if (n == 0)
			return;
		if (n < 0 || buf_append(&l->out, data, (size_t)n)) {
			die(l, n < 0 ? nghttp2_strerror((int)n) : "out of memory");
			return;
		}
	}
}

static void flush(struct line *l)
{
	for (int i = 0; i < TURNS_MAX && l->state != LINE_DEAD; i++) {
		if (!write_out(l))
			return;
		fill_out(l);
		if (l->out.len == 0)
			return;
	}
	if (l->state != LINE_DEAD && !l->flush_timer.heap_index)
		loop_timer_start(l->client->loop, &l->flush_timer, 0);
}

static void read_all(struct line *l)
{
	for (int i = 0; l->state == LINE_OPEN || l->state == LINE_GREETING; i++) {
		size_t n = 0;
		if (i == TURNS_MAX) {
			/* What TLS has read ahead, the loop does not see. */
			if (!l->flush_timer.heap_index)
				loop_timer_start(l->client->loop, &l->flush_timer, 0);
			return;
		}
		enum tls_io io = tls_read(l->tls, l->client->scratch, READ_BYTES, &n);
		l->tls_wants_write = io == TLS_WANTS_WRITE;
		if (io == TLS_CLOSED)
			die(l, "the connection was closed");
		else if (io == TLS_FAILED)
			die(l, tls_why(l->tls));
		if (io != TLS_DONE)
			return;
		l->silent_pings = 0;
		ssize_t taken = nghttp2_session_mem_recv(l->session, l->client->scratch, n);
		if (taken < 0)
			die(l, nghttp2_strerror((int)taken));
	}
}

/* --- the session ---------------------------------------------------------------------------- */

static void set_callbacks(nghttp2_session_callbacks *c)
{
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
	nghttp2_session_callbacks_set_before_frame_send_callback(c, on_before_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_not_sent);
}

static bool start_session(struct line *l)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_CLIENT_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_EXCHANGE_HEADER_BYTES_MAX },
	};
	nghttp2_option *options = NULL;
	nghttp2_session_callbacks *callbacks = NULL;
	bool ok = !nghttp2_option_new(&options) && !nghttp2_session_callbacks_new(&callbacks);

	if (ok) {
		nghttp2_option_set_no_closed_streams(options, 1);
		nghttp2_option_set_max_continuations(options, 4);
		nghttp2_option_set_peer_max_concurrent_streams(options, H2_CLIENT_STREAMS_MAX);
		set_callbacks(callbacks);
		ok = !nghttp2_session_client_new2(&l->session, callbacks, l, options);
	}
	nghttp2_option_del(options);
	nghttp2_session_callbacks_del(callbacks);
	return ok && !nghttp2_submit_settings(l->session, NGHTTP2_FLAG_NONE, settings, LEN(settings)) &&
	       !nghttp2_session_set_local_window_size(l->session, NGHTTP2_FLAG_NONE, 0, H2_CLIENT_CONNECTION_WINDOW);
}

/* --- a line's life -------------------------------------------------------------------------- */

static void connect_again(struct h2_client *c);
static void settle(struct line *l);

static void line_free(struct line *l)
{
	struct h2_client *c = l->client;

	loop_timer_stop(c->loop, &l->timer);
	loop_timer_stop(c->loop, &l->flush_timer);
	/* Its callbacks are not called for the streams that it still has. */
	nghttp2_session_del(l->session);
	while (l->streams) {
		struct h2_client_stream *s = l->streams;
		if (s->x)
			fail(s->x, ERR_UNAVAILABLE, !s->end_given, "%s", l->why.text);
		stream_free(s);
	}
	if (l->tls)
		(void)tls_shutdown(l->tls); /* a courtesy */
	tls_free(l->tls);
	if (l->fd.fd >= 0) {
		loop_remove(c->loop, &l->fd);
		(void)close(l->fd.fd);
	}
	buf_release(&l->out);
	free(l);
}

static void unlink_retired(struct line *l)
{
	struct line **at = &l->client->retired;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
}

static void tell_log(struct h2_client *c)
{
	/* At the start of a fleet the first attempt often comes too early. */
	if (!c->options.logs || c->told_trouble || c->freeing || (c->opens == 0 && c->attempts < 2))
		return;
	c->told_trouble = true;
	log_warn("region cannot be reached, trying again region=%s reason=\"%s\"", c->region, c->trouble.text);
}

/* The current line has ended, or none came about: those that wait are told, and may try elsewhere. */
static void lose_line(struct h2_client *c, const struct fault *why)
{
	c->line = NULL;
	c->trouble = *why;
	tell_log(c);
	while (c->waiting.first) {
		struct h2_exchange *x = c->waiting.first;
		h2_exchange_list_remove(&c->waiting, x);
		fail(x, ERR_UNAVAILABLE, true, "%s", why->text);
	}
	connect_again(c);
}

static void bury(struct line *l)
{
	struct h2_client *c = l->client;
	struct fault why = l->why;
	bool current = c->line == l;

	if (!current)
		unlink_retired(l);
	line_free(l);
	if (current)
		lose_line(c, &why);
}

/* The server takes no more on this connection; what it has, it finishes. */
static void retire(struct line *l)
{
	struct h2_client *c = l->client;
	uint32_t count = 0;

	if (l->retired || l->state == LINE_DEAD)
		return;
	if (c->line != l || l->state != LINE_OPEN) {
		die(l, "the server turned the connection away");
		return;
	}
	l->retired = true;
	l->next = c->retired;
	c->retired = l;
	c->line = NULL;
	for (struct line *old = c->retired; old; old = old->next)
		if (++count > RETIRED_MAX) {
			die(old, "the connection took too long to end");
			if (!old->flush_timer.heap_index)
				loop_timer_start(c->loop, &old->flush_timer, 0);
		}
	/* Not from within the library's callback. */
	c->attempts = 0;
	loop_timer_start(c->loop, &c->again, 0);
}

static void on_greeting(struct line *l)
{
	struct h2_client *c = l->client;

	if (l->state != LINE_GREETING)
		return;
	l->state = LINE_OPEN;
	c->attempts = 0;
	c->opens++;
	c->trouble = (struct fault){ 0 };
	if (c->options.logs && (c->told_trouble || c->opens == 1))
		log_info("region reached region=%s", c->region);
	c->told_trouble = false;
	loop_timer_start(c->loop, &l->timer, 0); /* the first PING: how far it is */
}

static void watch(struct line *l)
{
	uint32_t events = l->state == LINE_CONNECTING ? 0 : EPOLLIN;

	if (l->state == LINE_CONNECTING || l->out_at < l->out.len || l->tls_wants_write)
		events |= EPOLLOUT;
	if (events == l->events)
		return;
	l->events = events;
	if (loop_change(l->client->loop, &l->fd, events))
		die(l, "the socket cannot be watched");
}

static bool is_finished(const struct line *l)
{
	return l->retired && l->stream_count == 0;
}

/* What every entry ends with; l may be gone afterwards. */
static void settle(struct line *l)
{
	struct h2_client *c = l->client;

	if (l->state == LINE_OPEN)
		begin_waiting(l);
	if (l->state == LINE_OPEN || l->state == LINE_GREETING)
		flush(l);
	if (l->state != LINE_DEAD && is_finished(l))
		die(l, "the connection has ended");
	if (l->state != LINE_DEAD)
		watch(l);
	if (l->state == LINE_DEAD)
		bury(l);
	if (!c->freeing)
		tell(c);
}

static void finish_connect(struct line *l)
{
	struct h2_client *c = l->client;
	int errnum = 0, one = 1;
	unsigned timeout_ms = USER_TIMEOUT_MS;
	socklen_t len = sizeof(errnum);

	if (getsockopt(l->fd.fd, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0)
		errnum = errno;
	if (errnum != 0) {
		die(l, strerrordesc_np(errnum));
		return;
	}
	/* What fails costs only time. */
	(void)setsockopt(l->fd.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(l->fd.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
	struct tls_context *context = tls_holder_get(c->options.tls);
	enum err err = tls_connect(context, l->fd.fd, c->name, &l->tls);
	tls_context_unref(context);
	if (err)
		die(l, err_sentence(err));
	else
		l->state = LINE_HANDSHAKE;
}

static void handshake(struct line *l)
{
	enum tls_io io = tls_handshake(l->tls);

	l->tls_wants_write = io == TLS_WANTS_WRITE;
	if (io == TLS_CLOSED || io == TLS_FAILED)
		die(l, tls_why(l->tls)[0] ? tls_why(l->tls) : "the connection was closed");
	if (io != TLS_DONE)
		return;
	struct str alpn = tls_alpn(l->tls);
	if (alpn.len != 2 || memcmp(alpn.data, "h2", 2) != 0)
		die(l, "the server does not speak HTTP/2");
	else if (!start_session(l))
		die(l, "out of memory");
	else
		l->state = LINE_GREETING;
}

static void on_event(struct loop_fd *f, uint32_t events UNUSED)
{
	struct line *l = CONTAINER_OF(f, struct line, fd);

	if (l->state == LINE_CONNECTING)
		finish_connect(l);
	if (l->state == LINE_HANDSHAKE)
		handshake(l);
	read_all(l);
	settle(l);
}

static void on_flush(struct loop_timer *t)
{
	struct line *l = CONTAINER_OF(t, struct line, flush_timer);

	read_all(l);
	settle(l);
}

static void ping(struct line *l)
{
	if (l->silent_pings >= H2_CLIENT_SILENT_PINGS) {
		die(l, "it does not answer");
		return;
	}
	l->silent_pings++;
	l->pinged_ns = loop_now_ns(l->client->loop);
	if (nghttp2_submit_ping(l->session, NGHTTP2_FLAG_NONE, NULL) != 0)
		die(l, "out of memory");
	loop_timer_start(l->client->loop, &l->timer, H2_CLIENT_PING_MS);
}

static void on_timer(struct loop_timer *t)
{
	struct line *l = CONTAINER_OF(t, struct line, timer);

	if (l->state != LINE_OPEN) {
		die(l, "the connection did not come about in time");
	} else {
		/* After a pause of our own the answers may lie unread. */
		read_all(l);
		if (l->state == LINE_OPEN)
			ping(l);
	}
	settle(l);
}

/* --- connecting ----------------------------------------------------------------------------- */

static enum err open_line(struct line *l, struct fault *f)
{
	struct h2_client *c = l->client;
	struct sockaddr_storage address;
	socklen_t len;
	enum err err = c->options.address(c->options.ctx, c->attempt++, &address, &len, f);

	if (err)
		return err;
	l->fd.fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd.fd < 0)
		return fault_set(f, err_from_errno(errno), "no socket: %s", strerrordesc_np(errno));
	l->events = EPOLLOUT;
	int failed = connect(l->fd.fd, (const struct sockaddr *)&address, len);
	if (failed && errno != EINPROGRESS)
		return fault_set(f, ERR_UNAVAILABLE, "%s", strerrordesc_np(errno));
	return loop_add(c->loop, &l->fd, l->events);
}

static void connect_now(struct h2_client *c)
{
	struct fault f = { 0 };
	struct line *l = calloc(1, sizeof(*l));

	c->attempts++;
	if (!l) {
		(void)fault_set(&f, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
		lose_line(c, &f);
		return;
	}
	l->client = c;
	l->fd = (struct loop_fd){ .fd = -1, .on_event = on_event };
	l->timer.on_fire = on_timer;
	l->flush_timer.on_fire = on_flush;
	l->state = LINE_CONNECTING;
	buf_init(&l->out, OUT_BYTES_MAX);
	enum err err = open_line(l, &f);
	if (err) {
		if (!f.text[0])
			(void)fault_set(&f, err, "%s", err_sentence(err));
		line_free(l);
		lose_line(c, &f);
		return;
	}
	c->line = l;
	loop_timer_start(c->loop, &l->timer, H2_CLIENT_OPEN_MS);
}

static void on_again(struct loop_timer *t)
{
	struct h2_client *c = CONTAINER_OF(t, struct h2_client, again);

	if (!c->line)
		connect_now(c);
	tell(c);
}

static void connect_again(struct h2_client *c)
{
	uint64_t ms = H2_CLIENT_BACKOFF_MS_MIN;

	for (uint32_t i = 1; i < c->attempts && ms < H2_CLIENT_BACKOFF_MS_MAX; i++)
		ms *= 2;
	if (!c->freeing)
		loop_timer_start(c->loop, &c->again, MIN(ms, (uint64_t)H2_CLIENT_BACKOFF_MS_MAX));
}

/* --- the client ----------------------------------------------------------------------------- */

static void on_deadline(struct loop_timer *t)
{
	struct h2_exchange *x = CONTAINER_OF(t, struct h2_exchange, timer);
	struct h2_client_stream *s = x->stream;

	if (!s) {
		h2_exchange_list_remove(&x->client->waiting, x);
		fail(x, ERR_TIMEOUT, true, "was not reached in time");
		return;
	}
	struct line *l = s->line;
	fail(x, ERR_TIMEOUT, !s->end_given, "did not answer in time");
	cancel_stream(l, s->id);
	settle(l);
}

static void start_deadline(struct h2_client *c, struct h2_exchange *x)
{
	uint64_t now_ns = loop_now_ns(c->loop);
	uint64_t left_ns = x->deadline_ns > now_ns ? x->deadline_ns - now_ns : 0;

	x->timer.on_fire = on_deadline;
	loop_timer_start(c->loop, &x->timer, left_ns / NS_PER_MS);
}

void h2_client_send(struct h2_client *c, struct h2_exchange *x)
{
	x->client = c;
	x->ended = false;
	buf_init(&x->reply, x->reply_bytes_max);
	arena_init(&x->arena, H2_EXCHANGE_ARENA_BYTES_MAX);
	c->exchanges++;
	c->body_bytes += x->body.len;
	start_deadline(c, x);
	if (c->freeing) {
		fail(x, ERR_UNAVAILABLE, true, "this region is being stopped");
	} else if (!c->line && !c->again.heap_index) {
		fail(x, ERR_UNAVAILABLE, true, "%s", fault_text(&c->trouble));
	} else if (c->trouble.err) {
		fail(x, ERR_UNAVAILABLE, true, "%s", c->trouble.text);
	} else if (c->waiting.count >= H2_CLIENT_WAITING_MAX ||
		   (c->body_bytes > H2_CLIENT_BODY_BYTES_MAX && c->body_bytes > x->body.len)) {
		fail(x, ERR_RATE_LIMITED, true, "too much waits to be sent there; retry later");
	} else {
		h2_exchange_list_append(&c->waiting, x);
		if (c->line && c->line->state == LINE_OPEN && !c->line->flush_timer.heap_index)
			loop_timer_start(c->loop, &c->line->flush_timer, 0);
	}
}

enum err h2_client_new(const struct h2_client_options *o, struct h2_client **ret_client)
{
	struct h2_client *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NO_MEMORY;
	ASSERT(strlen(o->name) < NAME_BYTES_MAX);
	c->loop = o->loop;
	c->options = *o;
	c->region = strdup(o->region);
	c->name = strdup(o->name);
	c->scratch = malloc(READ_BYTES);
	c->again.on_fire = on_again;
	c->tell_timer.on_fire = on_tell;
	if (!c->region || !c->name || !c->scratch) {
		h2_client_free(c);
		return ERR_NO_MEMORY;
	}
	loop_timer_start(c->loop, &c->again, 0);
	*ret_client = c;
	return ERR_NONE;
}

void h2_client_free(struct h2_client *c)
{
	if (!c)
		return;
	ASSERT(!c->telling);
	c->freeing = true;
	while (c->retired) {
		die(c->retired, "this region is being stopped");
		bury(c->retired);
	}
	if (c->line) {
		die(c->line, "this region is being stopped");
		bury(c->line);
	}
	while (c->waiting.first) {
		struct h2_exchange *x = c->waiting.first;
		h2_exchange_list_remove(&c->waiting, x);
		fail(x, ERR_UNAVAILABLE, true, "this region is being stopped");
	}
	tell(c);
	loop_timer_stop(c->loop, &c->again);
	loop_timer_stop(c->loop, &c->tell_timer);
	free(c->scratch);
	free(c->region);
	free(c->name);
	free(c);
}

void h2_client_state(const struct h2_client *c, struct h2_client_state *ret_state)
{
	*ret_state = (struct h2_client_state){
		.open = c->line && c->line->state == LINE_OPEN,
		.rtt_us = c->rtt_us,
		.exchanges = c->exchanges,
		.opens = c->opens,
		.trouble = c->trouble,
	};
}
