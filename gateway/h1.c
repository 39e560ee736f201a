/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 on the server's side: a line at a time, so that it does not matter how the bytes were
 * cut.
 * Thread: loop.
 *
 * Refused: Content-Length beside Transfer-Encoding, two of either, any transfer coding but chunked,
 * a line that ends in LF alone, folded fields, blanks before the colon, long chunk extensions,
 * absolute targets, no Host or two (RFC 9112 sections 2.2, 3.2, 5.1, 5.2, 6.3, 7.1).
 */
#include "gateway/h1.h"

#include <stdlib.h>
#include <string.h>

#include "base/panic.h"

#define METHOD_BYTES_MAX 16
#define CHUNK_DIGITS_MAX 15
#define LINE_SLACK 64 /* bytes of a line beside those that have a limit of their own */
#define OUT_BYTES_MAX ((size_t)256 << 10)

enum h1_state {
	H1_LINE, /* in front of or within the request line */
	H1_FIELDS,
	H1_BODY,
	H1_CHUNK_SIZE,
	H1_CHUNK_DATA,
	H1_CHUNK_END,
	H1_TRAILERS,
	H1_WORKING, /* a handler has the request */
	H1_SENDING,
	H1_OVER,
};

struct h1 {
	struct protocol protocol;
	struct request_sink sink;
	struct protocol_host *host;
	enum h1_state state;
	bool draining;
	bool used;               /* a request has been answered */
	struct request *request; /* a handler's while WORKING */
	struct buf in;           /* the beginning of a line, or the requests that wait */
	size_t in_at;            /* bytes of it that are used */
	struct buf out;          /* heads and interim replies */

	/* The request being read. */
	struct protocol_head head;
	bool first_line_empty;
	bool old; /* HTTP/1.0 */
	bool close;
	bool chunked;
	bool has_length;
	bool expects_continue;
	uint32_t hosts;
	uint64_t left; /* bytes of the body, or of the chunk, to come */
	uint64_t
		began_ns; /* its first byte, then its body's; or since when the connection is idle */
	uint64_t received_ns;
	uint64_t body_bytes; /* as they came */

	size_t sent; /* bytes of the reply's body */
};

static struct h1 *h1_of(struct protocol *p)
{
	return CONTAINER_OF(p, struct h1, protocol);
}

static const char *reason_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 304, "Not Modified" },
		{ 307, "Temporary Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};
	for (size_t i = 0; i < LEN(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Unknown";
}

static bool has_body(const struct reply *reply)
{
	return reply->status != 204 && reply->status != 304 && reply->status >= 200;
}

static void write_head(const struct reply *reply, bool close, struct buf *out)
{
	buf_printf(out, "HTTP/1.1 %d %s\r\n", reply->status, reason_phrase(reply->status));
	for (uint32_t i = 0; i < reply->header_count; i++) {
		buf_append_str(out, reply->headers[i].name);
		buf_append_cstr(out, ": ");
		buf_append_str(out, reply->headers[i].value);
		buf_append_cstr(out, "\r\n");
	}
	if (has_body(reply))
		buf_printf(out, "content-length: %zu\r\n", reply->body.len);
	buf_append_cstr(out, close ? "connection: close\r\n\r\n" : "\r\n");
}

/* The head, and whether a body follows. What cannot be said as HTTP/1.1 becomes a 500. */
static void start_reply(struct h1 *h)
{
	struct request *r = h->request;
	struct reply *reply = &r->reply;

	if (reply->status < 200 || reply->status > 599 || buf_err(&reply->body)) {
		reply->status = 500;
		reply->header_count = 0;
		buf_reset(&reply->body);
	}
	h->close |= reply->close || h->draining || h->old;
	size_t head_at = h->out.len;
	write_head(reply, h->close, &h->out);
	if (buf_err(&h->out)) {
		/* The head does not fit, or there is no memory for it: nothing true is left to say. */
		h->out.len = head_at;
		h->out.err = ERR_NONE;
		h->state = H1_OVER;
		return;
	}
	h->sent = has_body(reply) && r->verb != VERB_HEAD ? 0 : reply->body.len;
	h->state = H1_SENDING;
}

static void on_reply(struct request_sink *s, struct request *r)
{
	struct h1 *h = CONTAINER_OF(s, struct h1, sink);

	ASSERT(h->state == H1_WORKING && h->request == r);
	start_reply(h);
	h->host->on_output(h->host);
}

/* Whatever is wrong, the rest of the connection cannot be trusted: one reply, then the end. */
static void refuse(struct h1 *h, enum refusal why)
{
	if (!h->request) {
		h->state = H1_OVER;
		return;
	}
	h->close = true;
	request_refuse(h->request, why);
	start_reply(h);
}

static void end_request(struct h1 *h)
{
	request_free(h->request);
	h->request = NULL;
	h->state = h->close || h->draining ? H1_OVER : H1_LINE;
	h->used = true;
	h->head = (struct protocol_head){ 0 };
	h->first_line_empty = false;
	h->old = h->chunked = h->has_length = h->expects_continue = false;
	h->hosts = 0;
	h->left = 0;
	h->body_bytes = 0;
	h->began_ns = loop_now_ns(h->host->loop);
}

/* The request is there. */
static void submit(struct h1 *h)
{
	struct request *r = h->request;

	r->started_ns = loop_now_ns(h->host->loop);
	h->state = H1_WORKING;
	request_submit(r, h->host->serve, h->host->serve_ctx);
}

static bool is_token_byte(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c != 0 && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_token_byte((unsigned char)s.data[i]))
			return false;
	return s.len > 0;
}

static bool is_field_value(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct str trim(struct str s)
{
	while (s.len > 0 && is_blank(s.data[0])) {
		s.data++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.data[s.len - 1]))
		s.len--;
	return s;
}

static bool equals(struct str s, struct str lower)
{
	return s.len == lower.len && strncasecmp(s.data, lower.data, lower.len) == 0;
}

/* Cuts off what stands in front of the first separator; the whole when there is none. */
static struct str cut(struct str *rest, char separator)
{
	const char *at = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
	struct str piece = *rest;

	if (!at) {
		rest->data += rest->len;
		rest->len = 0;
		return piece;
	}
	piece.len = (size_t)(at - rest->data);
	rest->data += piece.len + 1;
	rest->len -= piece.len + 1;
	return piece;
}

static void on_request_line(struct h1 *h, struct str line)
{
	if (line.len == 0) {
		/* One empty line in front is what some clients send after a body. */
		if (h->first_line_empty)
			refuse(h, REFUSAL_MALFORMED);
		h->first_line_empty = true;
		return;
	}
	struct request *r = h->request;
	struct str rest = line;
	struct str method = cut(&rest, ' ');
	struct str target = cut(&rest, ' ');

	if (!is_token(method) || method.len > METHOD_BYTES_MAX || rest.len != 8 ||
	    memcmp(rest.data, "HTTP/", 5) != 0) {
		refuse(h, REFUSAL_MALFORMED);
		return;
	}
	if (memcmp(rest.data + 5, "1.1", 3) != 0 && memcmp(rest.data + 5, "1.0", 3) != 0) {
		refuse(h, REFUSAL_VERSION);
		return;
	}
	h->old = rest.data[7] == '0';
	struct str copy = arena_str(&r->arena, target);
	if (!copy.data) {
		refuse(h, REFUSAL_MEMORY);
		return;
	}
	r->verb = request_verb(method);
	if (!request_set_target(r, copy)) {
		refuse(h, REFUSAL_MALFORMED);
		return;
	}
	h->state = H1_FIELDS;
}

/* Connection options: of all that one may say only whether to stay concerns us. */
static void on_connection_field(struct h1 *h, struct str value)
{
	while (value.len > 0)
		if (equals(trim(cut(&value, ',')), STR("close")))
			h->close = true;
}

/* The fields on which the end of the request depends. False when one of them is wrong. */
static bool on_framing_field(struct h1 *h, struct str name, struct str value)
{
	if (equals(name, STR("content-length"))) {
		if (h->has_length || !protocol_parse_length(value, &h->left))
			return false;
		h->has_length = true;
	} else if (equals(name, STR("transfer-encoding"))) {
		if (h->chunked || h->old || !equals(value, STR("chunked")))
			return false;
		h->chunked = true;
	} else if (equals(name, STR("host"))) {
		h->hosts++;
	} else if (equals(name, STR("connection"))) {
		on_connection_field(h, value);
	}
	return true;
}

static void start_body(struct h1 *h)
{
	struct request *r = h->request;
	struct str expect = request_header(r, "expect");

	r->authority = request_header(r, "host");
	if ((h->has_length && h->chunked) || h->hosts > 1 || (!h->old && h->hosts == 0)) {
		refuse(h, REFUSAL_MALFORMED);
		return;
	}
	if (expect.data && !equals(expect, STR("100-continue"))) {
		refuse(h, REFUSAL_EXPECT);
		return;
	}
	if (!h->chunked && h->left > r->body.max) {
		refuse(h, REFUSAL_BODY);
		return;
	}
	h->began_ns = h->received_ns = loop_now_ns(h->host->loop);
	if (!h->chunked && h->left == 0) {
		submit(h);
		return;
	}
	if (expect.data && !h->old)
		buf_append_cstr(&h->out, "HTTP/1.1 100 Continue\r\n\r\n");
	h->state = h->chunked ? H1_CHUNK_SIZE : H1_BODY;
}

/* A field of the head or a trailer; trailers are checked and left out. */
static void on_field(struct h1 *h, struct str line, bool trailer)
{
	const char *colon = memchr(line.data, ':', line.len);
	size_t name_len = colon ? (size_t)(colon - line.data) : 0;
	struct str name = { .data = line.data, .len = name_len };
	struct str value = { 0 };

	if (colon)
		value = trim((struct str){ .data = colon + 1, .len = line.len - name_len - 1 });
	if (!colon || !is_token(name) || !is_field_value(value)) {
		refuse(h, REFUSAL_MALFORMED);
		return;
	}
	if (!protocol_count_field(h->host, &h->head, name.len, value.len)) {
		refuse(h, REFUSAL_FIELDS);
		return;
	}
	if (trailer)
		return;
	if (!on_framing_field(h, name, value))
		refuse(h, REFUSAL_MALFORMED);
	else if (protocol_add_field(h->request, &h->head, name, value))
		refuse(h, REFUSAL_MEMORY);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void on_chunk_size(struct h1 *h, struct str line)
{
	uint64_t size = 0;
	size_t digits = 0;

	while (digits < line.len && hex_digit(line.data[digits]) >= 0) {
		if (digits == CHUNK_DIGITS_MAX) {
			refuse(h, REFUSAL_BODY);
			return;
		}
		size = size << 4 | (uint64_t)hex_digit(line.data[digits++]);
	}
	struct str extension = { .data = line.data + digits, .len = line.len - digits };
	if (digits == 0 || extension.len > h->host->limits->chunk_extension_bytes_max ||
	    (extension.len > 0 && extension.data[0] != ';') || !is_field_value(extension)) {
		refuse(h, REFUSAL_MALFORMED);
		return;
	}
	if (size > h->request->body.max - h->request->body.len) {
		refuse(h, REFUSAL_BODY);
		return;
	}
	h->left = size;
	h->state = size > 0 ? H1_CHUNK_DATA : H1_TRAILERS;
}

static void on_line(struct h1 *h, struct str line)
{
	switch (h->state) {
	case H1_LINE:
		on_request_line(h, line);
		return;
	case H1_FIELDS:
		if (line.len == 0)
			start_body(h);
		else
			on_field(h, line, false);
		return;
	case H1_CHUNK_SIZE:
		on_chunk_size(h, line);
		return;
	case H1_CHUNK_END:
		if (line.len == 0)
			h->state = H1_CHUNK_SIZE;
		else
			refuse(h, REFUSAL_MALFORMED);
		return;
	case H1_TRAILERS:
		if (line.len == 0)
			submit(h);
		else
			on_field(h, line, true);
		return;
	case H1_BODY:
	case H1_CHUNK_DATA:
	case H1_WORKING:
	case H1_SENDING:
	case H1_OVER:
		break;
	}
	PANIC("a line where none is read");
}

static size_t line_bytes_max(const struct h1 *h)
{
	const struct conn_limits *l = h->host->limits;

	if (h->state == H1_LINE)
		return l->request_line_bytes_max;
	if (h->state == H1_CHUNK_SIZE)
		return l->chunk_extension_bytes_max + LINE_SLACK;
	return h->state == H1_CHUNK_END ? 2 : l->header_field_bytes_max + LINE_SLACK;
}

/* What a line is that does not end where it must. */
static enum refusal line_refusal(const struct h1 *h)
{
	if (h->state == H1_LINE)
		return REFUSAL_TARGET;
	return h->state == H1_FIELDS || h->state == H1_TRAILERS ? REFUSAL_FIELDS
								: REFUSAL_MALFORMED;
}

/* Takes a line from in; 0 when there is no whole one yet, or it was refused. */
static size_t take_line(struct h1 *h, struct bytes in)
{
	size_t max = line_bytes_max(h);
	const uint8_t *end = memchr(in.data, '\n', MIN(in.len, max));

	if (!end) {
		if (in.len >= max)
			refuse(h, line_refusal(h));
		return 0;
	}
	size_t len = (size_t)(end - in.data);
	if (len == 0 || in.data[len - 1] != '\r') {
		refuse(h, REFUSAL_MALFORMED);
		return 0;
	}
	on_line(h, (struct str){ .data = (const char *)in.data, .len = len - 1 });
	return len + 1;
}

static size_t take_body(struct h1 *h, struct bytes in)
{
	size_t n = (size_t)MIN((uint64_t)in.len, h->left);

	enum err err = request_append_body(h->request, (struct bytes){ .data = in.data, .len = n });
	if (err) {
		refuse(h, request_refusal(err));
		return 0;
	}
	h->left -= n;
	h->body_bytes += n;
	if (h->left == 0 && h->state == H1_CHUNK_DATA)
		h->state = H1_CHUNK_END;
	else if (h->left == 0)
		submit(h);
	return n;
}

static bool reading(const struct h1 *h)
{
	return h->state < H1_WORKING;
}

/* Takes what it can of in; what remains is the beginning of a line, or later requests. */
static size_t parse(struct h1 *h, struct bytes in)
{
	size_t used = 0;

	while (reading(h) && used < in.len) {
		struct bytes rest = { .data = in.data + used, .len = in.len - used };
		if (!h->request) {
			if (protocol_request_new(h->host, &h->sink, &h->request)) {
				h->state = H1_OVER;
				break;
			}
			h->began_ns = loop_now_ns(h->host->loop);
		}
		size_t n = h->state == H1_BODY || h->state == H1_CHUNK_DATA ? take_body(h, rest)
									    : take_line(h, rest);
		if (n == 0)
			break;
		used += n;
	}
	return used;
}

/* Goes on with what is kept. */
static void parse_kept(struct h1 *h)
{
	size_t left = h->in.len - h->in_at;

	/* A buffer that was never written to has no bytes to point at. */
	if (left > 0)
		h->in_at += parse(h, (struct bytes){ .data = h->in.data + h->in_at, .len = left });
	if (h->in_at == h->in.len || h->state == H1_OVER) {
		buf_release(&h->in);
		h->in_at = 0;
	}
}

static void keep(struct h1 *h, struct bytes in)
{
	if (h->state == H1_OVER || in.len == 0)
		return;
	buf_consume(&h->in, h->in_at);
	h->in_at = 0;
	if (buf_append(&h->in, in.data, in.len))
		h->state = H1_OVER;
}

static void receive(struct protocol *p, struct bytes in)
{
	struct h1 *h = h1_of(p);

	h->received_ns = loop_now_ns(h->host->loop);
	if (h->in.len > h->in_at) {
		keep(h, in);
		parse_kept(h);
		return;
	}
	size_t used = parse(h, in);
	keep(h, (struct bytes){ .data = in.data + used, .len = in.len - used });
}

/* While a handler works, a client that ends its half has gone, as for most servers; a reply that is
 * begun is sent to its end. */
static bool end(struct protocol *p)
{
	struct h1 *h = h1_of(p);

	h->draining = true;
	return h->state == H1_SENDING;
}

static size_t move(struct buf *from, struct buf *out, size_t room)
{
	size_t n = MIN(from->len, room);

	buf_append(out, from->data, n);
	buf_consume(from, n);
	return n;
}

static void fill(struct protocol *p, struct buf *out, size_t bytes_max)
{
	struct h1 *h = h1_of(p);

	while (out->len < bytes_max && !buf_err(out)) {
		if (h->out.len > 0) {
			(void)move(&h->out, out, bytes_max - out->len);
			if (h->out.len == 0)
				buf_release(&h->out);
			continue;
		}
		if (h->state != H1_SENDING)
			return;
		const struct buf *body = &h->request->reply.body;
		size_t n = MIN(body->len - h->sent, bytes_max - out->len);
		if (n > 0)
			buf_append(out, body->data + h->sent, n);
		h->sent += n;
		if (h->sent < body->len)
			return;
		end_request(h);
		parse_kept(h);
	}
}

static uint64_t check_time(struct protocol *p, uint64_t now_ns)
{
	struct h1 *h = h1_of(p);
	const struct conn_limits *l = h->host->limits;
	uint64_t due_ns;

	switch (h->state) {
	case H1_LINE:
	case H1_FIELDS:
		due_ns = h->began_ns + protocol_ns(h->request ? l->headers_ms
						   : h->used  ? l->idle_ms
							      : l->preface_ms);
		if (now_ns < due_ns)
			return due_ns;
		break;
	case H1_BODY:
	case H1_CHUNK_SIZE:
	case H1_CHUNK_DATA:
	case H1_CHUNK_END:
	case H1_TRAILERS:
		due_ns = h->received_ns + protocol_ns(l->body_idle_ms);
		if (now_ns < due_ns &&
		    !protocol_too_slow(h->host, h->began_ns, h->body_bytes, now_ns))
			return MIN(due_ns, now_ns + protocol_ns(1000));
		break;
	case H1_WORKING:
	case H1_SENDING:
	case H1_OVER:
		return PROTOCOL_NEVER;
	}
	refuse(h, REFUSAL_TIME);
	return PROTOCOL_NEVER;
}

static void drain(struct protocol *p)
{
	struct h1 *h = h1_of(p);

	h->draining = true;
	if (h->state == H1_LINE && !h->request)
		h->state = H1_OVER;
}

static bool wants_read(struct protocol *p)
{
	const struct h1 *h = h1_of(p);

	if (h->state == H1_WORKING || h->state == H1_SENDING)
		return h->in.len == h->in_at;
	return h->state != H1_OVER;
}

static bool finished(struct protocol *p)
{
	const struct h1 *h = h1_of(p);

	return h->state == H1_OVER;
}

static void h1_free(struct protocol *p)
{
	struct h1 *h = h1_of(p);

	if (h->request && h->state == H1_WORKING)
		request_detach(h->request);
	else
		request_free(h->request);
	buf_release(&h->in);
	buf_release(&h->out);
	free(h);
}

static const struct protocol_ops h1_ops = {
	.receive = receive,
	.end = end,
	.fill = fill,
	.check_time = check_time,
	.drain = drain,
	.wants_read = wants_read,
	.finished = finished,
	.free = h1_free,
};

enum err h1_new(struct protocol_host *host, struct protocol **ret_protocol)
{
	struct h1 *h = calloc(1, sizeof(*h));
	if (!h)
		return ERR_NO_MEMORY;
	h->protocol.ops = &h1_ops;
	h->sink.reply = on_reply;
	h->host = host;
	h->began_ns = loop_now_ns(host->loop);
	/* The beginning of a line, and one read behind it. */
	buf_init(&h->in, 2 * PROTOCOL_READ_BYTES_MAX);
	buf_init(&h->out, OUT_BYTES_MAX);
	*ret_protocol = &h->protocol;
	return ERR_NONE;
}

void h1_write_refusal(enum refusal why, struct buf *out)
{
	struct request *r;
	if (request_new(NULL, 0, &r))
		return;
	request_refuse(r, why);
	write_head(&r->reply, true, out);
	buf_append(out, r->reply.body.data, r->reply.body.len);
	request_free(r);
}
