/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 on the server's side.
 * Thread: loop.
 *
 * A stream of ours lives from its HEADERS until it is closed and no handler has its request: a
 * client that resets what it asked keeps the place occupied until the work is done (CVE-2023-44487,
 * CVE-2025-8671), and when all places are taken, further streams are refused.
 *
 * Bodies are credited when they are taken: the connection's window at once, the stream's unless the
 * bodies of the connection are too many already; the oldest stream is always credited, so that one
 * can end.
 *
 * When a budget is exceeded, or the library gives up, the session is left alone from then on, and a
 * GOAWAY is written by hand: the library has no defined way to go on after a callback failed.
 * Output always ends at the end of a frame, so it may follow.
 */
#include "gateway/h2.h"

#include <nghttp2/nghttp2.h>

#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "gateway/h2_guard.h"

#define REPLY_FIELDS_MAX (REQUEST_HEADERS_MAX + 4)
#define TICK_MS 1000 /* how often streams are looked at while one waits for its client */

enum stream_state {
	STREAM_HEAD,
	STREAM_BODY,
	STREAM_WAITING, /* whole; too much is queued for this client */
	STREAM_WORKING, /* a handler has the request */
	STREAM_SENDING,
};

struct h2_stream {
	struct request_sink sink;
	struct h2 *h2;
	struct h2_stream *next;
	struct h2_stream *prev;
	int32_t id;
	enum stream_state state;
	bool closed;  /* the library has forgotten it; a handler has not */
	bool ended;   /* by the client */
	bool refused; /* what still comes is dropped */
	enum refusal why;
	struct request *request;
	struct protocol_head head;
	uint64_t began_ns;    /* the body */
	uint64_t progress_ns; /* last time the client sent of the body, or took of the reply */
	size_t body_bytes;    /* as they came, until the request is answered */
	size_t held_back;     /* bytes of the stream's window that are not credited */
	size_t sent;          /* of the reply's body */
};

struct h2 {
	struct protocol protocol;
	struct protocol_host *host;
	nghttp2_session *session;

	struct h2_stream *first; /* in the order of their ids */
	struct h2_stream *last;
	uint32_t streams;
	uint32_t open;        /* of these: not closed */
	uint32_t waiting;     /* of these: WAITING */
	uint32_t held_back;   /* of these: with bytes held back */
	uint64_t body_bytes;  /* bodies of requests not yet answered */
	uint64_t reply_bytes; /* bodies of replies not yet sent */

	struct h2_guard guard;
	bool settings_came;
	uint64_t opened_ns;
	uint64_t idle_ns;     /* when the last stream ended */
	uint64_t progress_ns; /* last DATA sent, on any stream */

	unsigned draining; /* GOAWAYs submitted */
	uint64_t drain_ns; /* when the first was */

	bool failed; /* the session is not to be touched again */
	bool goodbye_sent;
	enum h2_code goodbye; /* the error code to say then */
	struct buf *out;      /* within fill() */
	size_t out_max;
};

static struct h2 *h2_of(struct protocol *p)
{
	return CONTAINER_OF(p, struct h2, protocol);
}

static uint64_t now(const struct h2 *h)
{
	return loop_now_ns(h->host->loop);
}

/* The end of the connection for its client's fault, or for ours. */
static void give_up(struct h2 *h, enum h2_code code)
{
	if (h->failed)
		return;
	h->failed = true;
	h->goodbye = code;
}

/* What a callback has to return after the guard's word. */
static int obey(struct h2 *h, enum h2_code code)
{
	if (code == H2_CODE_NONE)
		return 0;
	give_up(h, code);
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* What a callback has to return when it called something that may have given up. */
static int verdict(const struct h2 *h)
{
	return h->failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* Memory is all that submitting can lack; without it the connection ends. */
static void must(struct h2 *h, int status)
{
	if (status == NGHTTP2_ERR_NOMEM)
		give_up(h, H2_CODE_INTERNAL_ERROR);
}

static void reset(struct h2 *h, int32_t id, uint32_t code)
{
	must(h, nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code));
}

/* --- streams -------------------------------------------------------------------------------- */

static struct h2_stream *stream_of(struct h2 *h, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h->session, id);
}

static void on_reply(struct request_sink *s, struct request *r);

static struct h2_stream *stream_new(struct h2 *h, int32_t id)
{
	struct h2_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->h2 = h;
	s->id = id;
	s->sink.reply = on_reply;
	if (protocol_request_new(h->host, &s->sink, &s->request)) {
		free(s);
		return NULL;
	}
	s->request->http2 = true;
	s->prev = h->last;
	if (h->last)
		h->last->next = s;
	else
		h->first = s;
	h->last = s;
	h->streams++;
	h->open++;
	return s;
}

/* Leaves the list; the request is given up to whoever has it. */
static void stream_free(struct h2_stream *s)
{
	struct h2 *h = s->h2;

	if (s->prev)
		s->prev->next = s->next;
	else
		h->first = s->next;
	if (s->next)
		s->next->prev = s->prev;
	else
		h->last = s->prev;
	h->streams--;
	free(s);
}

static struct h2_stream *oldest_body(const struct h2 *h)
{
	for (struct h2_stream *s = h->first; s; s = s->next)
		if (s->state == STREAM_BODY && !s->refused)
			return s;
	return NULL;
}

/* Credits streams that were held back, as far as there is room again. */
static void credit_held_back(struct h2 *h)
{
	const struct h2_stream *oldest = oldest_body(h);

	for (struct h2_stream *s = h->first; s; s = s->next) {
		if (s->held_back == 0)
			continue;
		if (s != oldest && h->body_bytes > h->host->limits->connection_body_bytes_max)
			continue;
		must(h, nghttp2_session_consume_stream(h->session, s->id, s->held_back));
		s->held_back = 0;
		s->progress_ns = now(h);
		h->held_back--;
	}
}

/* No more will be credited to the stream. */
static void end_body(struct h2_stream *s)
{
	if (s->held_back > 0)
		s->h2->held_back--;
	s->held_back = 0;
}

/* The body is of no more use; another one may have its place. */
static void forget_body(struct h2_stream *s)
{
	struct h2 *h = s->h2;

	h->body_bytes -= s->body_bytes;
	s->body_bytes = 0;
	end_body(s);
	if (h->held_back > 0 && !h->failed)
		credit_held_back(h);
}

/* --- replies -------------------------------------------------------------------------------- */

struct fields {
	nghttp2_nv nv[REPLY_FIELDS_MAX];
	size_t count;
};

/* name and value live until the stream is closed: not copied. */
static void put(struct fields *f, struct str name, struct str value)
{
	ASSERT(f->count < REPLY_FIELDS_MAX);
	/* The library only reads them, though its struct does not say so. */
	f->nv[f->count++] = (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name.data,
		.value = (uint8_t *)(uintptr_t)value.data,
		.namelen = name.len,
		.valuelen = value.len,
		.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE,
	};
}

static void put_grpc_status(struct fields *f, struct request *r)
{
	struct str status = arena_printf(&r->arena, "%d", r->reply.grpc_status);

	put(f, STR("grpc-status"), status.data ? status : STR("13"));
	if (r->reply.grpc_message.len > 0)
		put(f, STR("grpc-message"),
		    protocol_percent_encode(&r->arena, r->reply.grpc_message));
}

/* After the last DATA. */
static int submit_trailers(struct h2 *h, struct h2_stream *s)
{
	struct fields f = { .count = 0 };

	put_grpc_status(&f, s->request);
	return nghttp2_submit_trailer(h->session, s->id, f.nv, f.count);
}

/* Says how much of the body the next DATA takes; the bytes themselves are put by send_data(). */
static ssize_t read_body(nghttp2_session *session UNUSED, int32_t id UNUSED, uint8_t *bytes UNUSED,
			 size_t length, uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *s = source->ptr;
	size_t rest = s->request->reply.body.len - s->sent;
	size_t n = MIN(rest, length);

	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n == rest) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->request->reply.grpc_status >= 0) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			must(h, submit_trailers(h, s));
		}
	}
	return (ssize_t)n;
}

static int send_data(nghttp2_session *session UNUSED, nghttp2_frame *frame UNUSED,
		     const uint8_t *head, size_t length, nghttp2_data_source *source, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *s = source->ptr;
	const struct buf *body = &s->request->reply.body;

	if (h->out->len >= h->out_max)
		return NGHTTP2_ERR_WOULDBLOCK;
	size_t rest = body->len - s->sent - length;
	int refused = obey(h, h2_guard_sent_data(&h->guard, length, rest, now(h)));
	if (refused)
		return refused;
	buf_append(h->out, head, H2_FRAME_HEAD_BYTES);
	if (length > 0)
		buf_append(h->out, body->data + s->sent, length);
	s->sent += length;
	h->reply_bytes -= length;
	s->progress_ns = h->progress_ns = now(h);
	return 0;
}

/* A status that HTTP does not know, or a body that did not come about, is our own fault. */
static void mend(struct reply *reply)
{
	if (reply->status >= 200 && reply->status <= 599 && !buf_err(&reply->body) &&
	    reply->header_count <= REQUEST_HEADERS_MAX)
		return;
	reply->status = reply->grpc_status >= 0 ? 200 : 500;
	if (reply->grpc_status >= 0)
		reply->grpc_status = 13;
	reply->header_count = 0;
	buf_reset(&reply->body);
}

static void send_reply(struct h2_stream *s)
{
	struct h2 *h = s->h2;
	struct request *r = s->request;
	struct reply *reply = &r->reply;
	struct fields f = { .count = 0 };

	mend(reply);
	s->state = STREAM_SENDING;
	s->progress_ns = now(h);
	h2_guard_sent_reply(&h->guard);
	if (reply->untaken) {
		s->sent = reply->body.len;
		reset(h, s->id, NGHTTP2_REFUSED_STREAM);
		return;
	}
	struct str status = arena_printf(&r->arena, "%d", reply->status);
	struct str length = arena_printf(&r->arena, "%zu", reply->body.len);
	if (!status.data || !length.data) {
		s->sent = reply->body.len;
		reset(h, s->id, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	bool grpc = reply->grpc_status >= 0;
	put(&f, STR(":status"), status);
	for (uint32_t i = 0; i < reply->header_count; i++)
		put(&f, reply->headers[i].name, reply->headers[i].value);
	if (!grpc && reply->status != 204 && reply->status != 304)
		put(&f, STR("content-length"), length);
	if (grpc && reply->body.len == 0)
		put_grpc_status(&f, r);
	bool bodiless = reply->body.len == 0 || r->verb == VERB_HEAD;
	const nghttp2_data_provider body = { .source.ptr = s, .read_callback = read_body };
	if (!bodiless)
		h->reply_bytes += reply->body.len;
	else
		s->sent = reply->body.len;
	must(h, nghttp2_submit_response(h->session, s->id, f.nv, f.count, bodiless ? NULL : &body));
}

static void on_reply(struct request_sink *sink, struct request *r)
{
	struct h2_stream *s = CONTAINER_OF(sink, struct h2_stream, sink);
	struct h2 *h = s->h2;

	ASSERT(s->state == STREAM_WORKING && s->request == r);
	forget_body(s);
	if (s->closed || h->failed) {
		request_free(r);
		s->request = NULL;
		if (s->closed)
			stream_free(s);
		else
			s->state = STREAM_SENDING;
		return;
	}
	send_reply(s);
	h->host->on_output(h->host);
}

/* --- requests ------------------------------------------------------------------------------- */

/* Answers before the request is whole; what still comes of it is dropped and no more credited. */
static void refuse(struct h2_stream *s, enum refusal why)
{
	s->refused = true;
	request_refuse(s->request, why);
	buf_release(&s->request->body);
	send_reply(s);
	forget_body(s);
}

static void submit(struct h2_stream *s)
{
	struct h2 *h = s->h2;

	s->state = STREAM_WORKING;
	s->request->started_ns = now(h);
	request_submit(s->request, h->host->serve, h->host->serve_ctx);
}

/* Whole requests wait while too much is queued for this client. */
static void submit_waiting(struct h2 *h)
{
	if (h->waiting == 0 || h->failed)
		return;
	for (struct h2_stream *s = h->first, *next; s; s = next) {
		next = s->next;
		if (s->state != STREAM_WAITING)
			continue;
		if (h->reply_bytes >= h->host->limits->queued_reply_bytes_max)
			return;
		h->waiting--;
		submit(s);
	}
}

static void on_request_end(struct h2_stream *s)
{
	struct h2 *h = s->h2;

	s->ended = true;
	if (s->refused)
		return;
	end_body(s);
	s->state = STREAM_WAITING;
	h->waiting++;
	submit_waiting(h);
}

static bool same(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* The whole head is there; the library has checked what RFC 9113 wants of it. */
static void on_head_end(struct h2_stream *s)
{
	struct request *r = s->request;
	struct str host = request_header(r, "host");
	struct str length = request_header(r, "content-length");
	struct str expect = request_header(r, "expect");
	uint64_t body_bytes = 0;

	r->grpc = protocol_is_grpc(request_header(r, "content-type"));
	if (s->refused) {
		refuse(s, s->why);
		return;
	}
	if (!r->path.data || (host.data && r->authority.data && !same(host, r->authority))) {
		refuse(s, REFUSAL_MALFORMED);
		return;
	}
	if (!r->authority.data)
		r->authority = host;
	if (length.data &&
	    (!protocol_parse_length(length, &body_bytes) || body_bytes > r->body.max)) {
		refuse(s, REFUSAL_BODY);
		return;
	}
	s->state = STREAM_BODY;
	s->began_ns = s->progress_ns = now(s->h2);
	if (expect.len == 12 && strncasecmp(expect.data, "100-continue", 12) == 0) {
		struct fields f = { .count = 0 };
		put(&f, STR(":status"), STR("100"));
		must(s->h2, nghttp2_submit_headers(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL,
						   f.nv, f.count, NULL));
	}
}

/* The pseudo header fields; what they may be is checked by the library but for the form of the
 * path. */
static enum err on_pseudo_field(struct request *r, struct str name, struct str value)
{
	if (same(name, STR(":method"))) {
		r->verb = request_verb(value);
		return ERR_NONE;
	}
	if (!same(name, STR(":path")) && !same(name, STR(":authority")))
		return ERR_NONE;
	struct str copy = arena_str(&r->arena, value);
	if (!copy.data)
		return ERR_NO_MEMORY;
	if (same(name, STR(":authority")))
		r->authority = copy;
	else if (!request_set_target(r, copy))
		return ERR_BAD_REQUEST;
	return ERR_NONE;
}

static void refuse_at_end(struct h2_stream *s, enum refusal why)
{
	if (!s->refused)
		s->why = why;
	s->refused = true;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name_data,
		     size_t name_len, const uint8_t *value_data, size_t value_len,
		     uint8_t flags UNUSED, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	const struct str name = { .data = (const char *)name_data, .len = name_len };
	const struct str value = { .data = (const char *)value_data, .len = value_len };

	if (!s)
		return 0;
	if (!protocol_count_field(h->host, &s->head, name_len, value_len)) {
		/* Trailers come too late for a reply of their own. */
		if (s->state != STREAM_HEAD)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		refuse_at_end(s, REFUSAL_FIELDS);
		return 0;
	}
	if (s->refused || s->state != STREAM_HEAD)
		return 0;
	enum err err = name_len > 0 && name_data[0] == ':'
			       ? on_pseudo_field(s->request, name, value)
			       : protocol_add_field(s->request, &s->head, name, value);
	if (err)
		refuse_at_end(s, request_refusal(err));
	return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct h2 *h = ctx;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	int32_t id = frame->hd.stream_id;
	struct h2_stream *s = NULL;
	if (h->streams < h->host->limits->streams_max)
		s = stream_new(h, id);
	if (!s) {
		reset(h, id, NGHTTP2_REFUSED_STREAM);
		return verdict(h);
	}
	/* The stream exists: the library made it in front of this call. */
	(void)nghttp2_session_set_stream_user_data(session, id, s);
	return 0;
}

static int on_frame(nghttp2_session *session UNUSED, const nghttp2_frame *frame, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *s;

	switch (frame->hd.type) {
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			h->settings_came = true;
		return 0;
	case NGHTTP2_HEADERS:
		s = stream_of(h, frame->hd.stream_id);
		if (s && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
			on_head_end(s);
		break;
	case NGHTTP2_DATA:
		s = stream_of(h, frame->hd.stream_id);
		break;
	default:
		return 0;
	}
	if (s && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		on_request_end(s);
	return verdict(h);
}

static int on_data(nghttp2_session *session, uint8_t flags UNUSED, int32_t id, const uint8_t *data,
		   size_t len, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *s = stream_of(h, id);

	must(h, nghttp2_session_consume_connection(session, len));
	if (!s || s->refused || s->state != STREAM_BODY)
		return verdict(h);
	enum err err = request_append_body(s->request, (struct bytes){ .data = data, .len = len });
	if (err) {
		refuse(s, request_refusal(err));
		return verdict(h);
	}
	s->progress_ns = now(h);
	h->body_bytes += len;
	s->body_bytes += len;
	if (h->body_bytes <= h->host->limits->connection_body_bytes_max || oldest_body(h) == s) {
		must(h, nghttp2_session_consume_stream(session, id, len + s->held_back));
		end_body(s);
	} else {
		h->held_back += s->held_back == 0;
		s->held_back += len;
	}
	return verdict(h);
}

/* Never fails: a failure here leaks the stream (CVE-2023-35945). */
static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code UNUSED, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	if (!s)
		return 0;
	s->closed = true;
	h->open--;
	if (h->open == 0)
		h->idle_ns = now(h);
	if (s->state == STREAM_WORKING) {
		atomic_store(&s->request->cancelled, true);
		return 0;
	}
	if (s->state == STREAM_WAITING)
		h->waiting--;
	if (s->state == STREAM_SENDING && s->request)
		h->reply_bytes -= s->request->reply.body.len - s->sent;
	request_free(s->request);
	s->request = NULL;
	s->state = STREAM_SENDING;
	forget_body(s);
	stream_free(s);
	return 0;
}

/* --- frames --------------------------------------------------------------------------------- */

/* A reply that came before the end of the request: the client need not send the rest (section 8.1). */
static void on_reply_end(struct h2 *h, int32_t id)
{
	const struct h2_stream *s = stream_of(h, id);

	if (s && !s->ended)
		reset(h, id, NGHTTP2_NO_ERROR);
}

static int on_frame_sent(nghttp2_session *session UNUSED, const nghttp2_frame *frame, void *ctx)
{
	struct h2 *h = ctx;

	switch (frame->hd.type) {
	case NGHTTP2_RST_STREAM:
		return obey(h, h2_guard_sent_reset(&h->guard, now(h)));
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
			on_reply_end(h, frame->hd.stream_id);
		return 0;
	default:
		return 0;
	}
}

/* A head that the library will not send, as too large: without it the stream would hang. Other
 * frames are not sent because their stream is closed. */
static int on_frame_not_sent(nghttp2_session *session UNUSED, const nghttp2_frame *frame,
			     int code UNUSED, void *ctx)
{
	struct h2 *h = ctx;

	if (frame->hd.type == NGHTTP2_HEADERS && stream_of(h, frame->hd.stream_id))
		reset(h, frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
	return 0;
}

/* --- the protocol --------------------------------------------------------------------------- */

static enum h2_code code_of(ssize_t status)
{
	switch (status) {
	case NGHTTP2_ERR_FLOODED:
	case NGHTTP2_ERR_TOO_MANY_SETTINGS:
		return H2_CODE_ENHANCE_YOUR_CALM;
	case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
		return H2_CODE_PROTOCOL_ERROR;
	default:
		return H2_CODE_INTERNAL_ERROR;
	}
}

static void receive(struct protocol *p, struct bytes in)
{
	struct h2 *h = h2_of(p);

	if (h->failed)
		return;
	enum h2_code code = h2_guard_watch(&h->guard, in, now(h));
	if (code) {
		give_up(h, code);
		return;
	}
	ssize_t n = nghttp2_session_mem_recv(h->session, in.data, in.len);
	if (n < 0)
		give_up(h, code_of(n));
}

/* There is no half-closed connection in HTTP/2. */
static bool end(struct protocol *p UNUSED)
{
	return false;
}

static void write_goodbye(struct h2 *h, struct buf *out)
{
	uint8_t frame[H2_FRAME_HEAD_BYTES + 8] = { 0, 0, 8, NGHTTP2_GOAWAY };
	uint32_t last_id = (uint32_t)h->guard.newest_id & INT32_MAX;

	for (int i = 0; i < 4; i++) {
		frame[9 + i] = (uint8_t)(last_id >> (24 - 8 * i));
		frame[13 + i] = (uint8_t)((uint32_t)h->goodbye >> (24 - 8 * i));
	}
	buf_append(out, frame, sizeof(frame));
	h->goodbye_sent = true;
}

static void fill_from_session(struct h2 *h, struct buf *out, size_t bytes_max)
{
	h->out = out;
	h->out_max = bytes_max;
	while (!h->failed && out->len < bytes_max) {
		const uint8_t *data;
		size_t before = out->len;
		ssize_t n = nghttp2_session_mem_send(h->session, &data);
		if (n < 0) {
			give_up(h, code_of(n));
			break;
		}
		if (n > 0)
			buf_append(out, data, (size_t)n);
		else if (out->len == before)
			break;
	}
	h->out = NULL;
}

static void fill(struct protocol *p, struct buf *out, size_t bytes_max)
{
	struct h2 *h = h2_of(p);

	for (uint32_t waited = 0;; waited = h->waiting) {
		fill_from_session(h, out, bytes_max);
		if (h->failed || out->len >= bytes_max || h->waiting == waited)
			break;
		submit_waiting(h);
	}
	if (h->failed && !h->goodbye_sent)
		write_goodbye(h, out);
}

/* Its own window, or nothing moves at all: a stream that waits for its turn is not stalled. */
static bool is_stalled(const struct h2 *h, const struct h2_stream *s, uint64_t now_ns)
{
	uint64_t patience_ns = protocol_ns(h->host->limits->reply_stall_ms);

	if (now_ns < s->progress_ns + patience_ns)
		return false;
	return nghttp2_session_get_stream_remote_window_size(h->session, s->id) <= 0 ||
	       now_ns >= h->progress_ns + patience_ns;
}

static void check_body(struct h2_stream *s, uint64_t now_ns)
{
	const struct h2 *h = s->h2;

	/* Held back by us, not by the client. */
	if (s->held_back > 0) {
		s->began_ns = s->progress_ns = now_ns;
		return;
	}
	if (now_ns >= s->progress_ns + protocol_ns(h->host->limits->body_idle_ms) ||
	    protocol_too_slow(h->host, s->began_ns, s->body_bytes, now_ns))
		refuse(s, REFUSAL_TIME);
}

/* Looks at all streams; true when one of them waits for its client. */
static bool check_streams(struct h2 *h, uint64_t now_ns)
{
	bool one_waits = false;

	for (struct h2_stream *s = h->first; s && !h->failed; s = s->next) {
		if (s->closed)
			continue;
		if (s->state == STREAM_BODY) {
			one_waits = true;
			check_body(s, now_ns);
		} else if (s->state == STREAM_SENDING) {
			one_waits = true;
			if (is_stalled(h, s, now_ns))
				reset(h, s->id, NGHTTP2_CANCEL);
		}
	}
	return one_waits;
}

static void submit_last_goaway(struct h2 *h)
{
	h->draining = 2;
	must(h, nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
				      nghttp2_session_get_last_proc_stream_id(h->session),
				      NGHTTP2_NO_ERROR, NULL, 0));
}

static void drain(struct protocol *p)
{
	struct h2 *h = h2_of(p);

	if (h->draining > 0 || h->failed)
		return;
	h->draining = 1;
	h->drain_ns = now(h);
	must(h, nghttp2_submit_shutdown_notice(h->session));
}

/* The deadlines of the connection as a whole; each is acted upon or lowers *due_ns. */
static void check_connection(struct h2 *h, uint64_t now_ns, uint64_t *due_ns)
{
	const struct conn_limits *l = h->host->limits;
	uint64_t frame_ns = h2_guard_due_ns(&h->guard);
	uint64_t settings_ns = h->opened_ns + protocol_ns(l->preface_ms);
	uint64_t idle_ns = h->idle_ns + protocol_ns(l->idle_ms);
	uint64_t drain_ns = h->drain_ns + protocol_ns(l->goaway_grace_ms);

	if (now_ns >= frame_ns)
		give_up(h, H2_CODE_ENHANCE_YOUR_CALM);
	else
		*due_ns = MIN(*due_ns, frame_ns);
	if (!h->settings_came && now_ns >= settings_ns)
		give_up(h, H2_CODE_SETTINGS_TIMEOUT);
	else if (!h->settings_came)
		*due_ns = MIN(*due_ns, settings_ns);
	if (h->open == 0 && h->draining == 0) {
		if (now_ns >= idle_ns)
			drain(&h->protocol);
		else
			*due_ns = MIN(*due_ns, idle_ns);
	}
	if (h->draining == 1 && now_ns >= drain_ns)
		submit_last_goaway(h);
	else if (h->draining == 1)
		*due_ns = MIN(*due_ns, drain_ns);
}

static uint64_t check_time(struct protocol *p, uint64_t now_ns)
{
	struct h2 *h = h2_of(p);
	uint64_t due_ns = PROTOCOL_NEVER;

	if (h->failed)
		return PROTOCOL_NEVER;
	if (check_streams(h, now_ns))
		due_ns = now_ns + protocol_ns(TICK_MS);
	if (!h->failed)
		check_connection(h, now_ns, &due_ns);
	return h->failed ? PROTOCOL_NEVER : due_ns;
}

static bool wants_read(struct protocol *p)
{
	return !h2_of(p)->failed;
}

static bool finished(struct protocol *p)
{
	const struct h2 *h = h2_of(p);

	if (h->failed)
		return h->goodbye_sent;
	if (h->draining == 2 && h->open == 0 && !nghttp2_session_want_write(h->session))
		return true;
	return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

static void h2_free(struct protocol *p)
{
	struct h2 *h = h2_of(p);

	/* Its callbacks are not called for the streams that it still has. */
	nghttp2_session_del(h->session);
	for (struct h2_stream *s = h->first, *next; s; s = next) {
		next = s->next;
		if (s->state == STREAM_WORKING)
			request_detach(s->request);
		else
			request_free(s->request);
		free(s);
	}
	free(h);
}

static const struct protocol_ops h2_ops = {
	.receive = receive,
	.end = end,
	.fill = fill,
	.check_time = check_time,
	.drain = drain,
	.wants_read = wants_read,
	.finished = finished,
	.free = h2_free,
};

/* --- the session ---------------------------------------------------------------------------- */

static void set_options(nghttp2_option *o)
{
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_continuations(o, 4);
	nghttp2_option_set_max_settings(o, 16);
	nghttp2_option_set_max_outbound_ack(o, 100);
	nghttp2_option_set_max_send_header_block_length(o, 16u << 10);
	nghttp2_option_set_max_deflate_dynamic_table_size(o, 4096);
	nghttp2_option_set_peer_max_concurrent_streams(o, 100);
	/* Behind our own budget, which names the error by its right code. */
	nghttp2_option_set_stream_reset_rate_limit(o, 200, 20);
}

static void set_callbacks(nghttp2_session_callbacks *c)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_sent);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_sent);
	nghttp2_session_callbacks_set_send_data_callback(c, send_data);
}

static enum err start_session(struct h2 *h, nghttp2_option *o, nghttp2_session_callbacks *c)
{
	const struct conn_limits *l = h->host->limits;
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->streams_max },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, l->stream_window_bytes },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)l->header_bytes_max },
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
	};

	set_options(o);
	set_callbacks(c);
	if (nghttp2_session_server_new2(&h->session, c, h, o))
		return ERR_NO_MEMORY;
	if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, LEN(settings)) ||
	    nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
						  (int32_t)l->connection_window_bytes))
		return ERR_NO_MEMORY;
	return ERR_NONE;
}

enum err h2_new(struct protocol_host *host, struct protocol **ret_protocol)
{
	struct h2 *h = calloc(1, sizeof(*h));
	nghttp2_option *options = NULL;
	nghttp2_session_callbacks *callbacks = NULL;
	enum err err = ERR_NO_MEMORY;

	if (!h)
		return ERR_NO_MEMORY;
	h->protocol.ops = &h2_ops;
	h->host = host;
	h2_guard_init(&h->guard, host->limits);
	h->opened_ns = h->idle_ns = h->progress_ns = now(h);
	if (!nghttp2_option_new(&options) && !nghttp2_session_callbacks_new(&callbacks))
		err = start_session(h, options, callbacks);
	nghttp2_option_del(options);
	nghttp2_session_callbacks_del(callbacks);
	if (err) {
		h2_free(&h->protocol);
		return err;
	}
	*ret_protocol = &h->protocol;
	return ERR_NONE;
}
