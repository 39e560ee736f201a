/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC envelope: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 *
 * Frame  1 byte: compressed?   4 bytes: length, big-endian   the message
 */
#include "gateway/grpc.h"

#include <string.h>

#include "base/clock.h"
#include "base/proto.h"
#include "base/wire.h"
#include "gateway/api.h"
#include "gateway/message_words.h"

#define TIMEOUT_DIGITS_MAX 8

/* ---- reading ---- */

bool grpc_parse_timeout(struct str text, uint64_t *ret_ns)
{
	static const struct {
		char unit;
		uint64_t ns;
	} units[] = {
		{ 'H', 3600000000000 }, { 'M', 60000000000 }, { 'S', 1000000000 },
		{ 'm', 1000000 },       { 'u', 1000 },        { 'n', 1 },
	};
	uint64_t v = 0;

	if (text.len < 2 || text.len > TIMEOUT_DIGITS_MAX + 1)
		return false;
	for (size_t i = 0; i + 1 < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(text.data[i] - '0');
	}
	for (size_t i = 0; i < LEN(units); i++)
		if (units[i].unit == text.data[text.len - 1]) {
			*ret_ns = v > UINT64_MAX / units[i].ns ? UINT64_MAX : v * units[i].ns;
			return true;
		}
	return false;
}

static enum err set_deadline(struct call *c)
{
	struct str text = request_header(c->request, "grpc-timeout");
	uint64_t ns;

	if (!text.data)
		return ERR_NONE;
	if (!grpc_parse_timeout(text, &ns))
		return fault_set(&c->fault, ERR_BAD_REQUEST, "failed to decode grpc-timeout `%.*s`",
				 (int)MIN(text.len, (size_t)32), text.data);
	c->request->deadline_ns = ns > UINT64_MAX - c->started_ns ? UINT64_MAX : c->started_ns + ns;
	return ERR_NONE;
}

static bool is_word(struct str s, const char *word)
{
	return strlen(word) == s.len && memcmp(s.data, word, s.len) == 0;
}

/* Into the call's arena, which may outlive the request. */
static enum err inflate(struct call *c, struct bytes in, struct bytes *ret_message)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(c->request->body.max);
	enum err e = request_inflate(c->request, in, &out, &c->fault);

	if (e)
		return e;
	uint8_t *copy = arena_alloc(c->arena, out.len);
	if (!copy)
		return fault_set(&c->fault, ERR_TOO_LARGE,
				 "the request needs more memory than one may have");
	if (out.len > 0)
		memcpy(copy, out.data, out.len);
	*ret_message = (struct bytes){ .data = copy, .len = out.len };
	return ERR_NONE;
}

struct frame {
	bool compressed;
	struct bytes message;
};

/* All methods are unary: exactly one frame. */
static bool read_frame(const struct request *request, struct frame *ret_frame)
{
	struct bytes body = buf_bytes(&request->body);
	struct wire_reader r = wire_reader_of(body.data, body.len);
	uint8_t compressed = wire_u8(&r);
	uint32_t len = wire_u32_be(&r);
	struct bytes message = wire_take(&r, len);

	if (wire_done(&r) != ERR_NONE || compressed > 1)
		return false;
	*ret_frame = (struct frame){ .compressed = compressed == 1, .message = message };
	return true;
}

bool grpc_is_packed(const struct call *c)
{
	struct frame frame;

	return !c->message.data && read_frame(c->request, &frame) && frame.compressed;
}

enum err grpc_open(struct call *c)
{
	struct str encoding = request_header(c->request, "grpc-encoding");
	struct frame frame;

	if (c->message.data)
		return ERR_NONE;
	if (!read_frame(c->request, &frame))
		return fault_set(&c->fault, ERR_BAD_REQUEST,
				 "failed to decode the request: not exactly one message");
	if (!frame.compressed) {
		c->message = frame.message;
		return ERR_NONE;
	}
	if (is_word(encoding, "gzip"))
		return inflate(c, frame.message, &c->message);
	if (!encoding.data || is_word(encoding, "identity"))
		return fault_set(
			&c->fault, ERR_BAD_REQUEST,
			"failed to decode the request: compressed, but grpc-encoding names no compression");
	return fault_set(&c->fault, ERR_NOT_IMPLEMENTED,
			 "grpc-encoding `%.*s`; gzip and identity are known",
			 (int)MIN(encoding.len, (size_t)32), encoding.data);
}

enum err grpc_decode(struct call *c)
{
	const struct message *in = c->method->in, *out = c->method->out;

	c->in = arena_alloc(c->arena, message_size(in));
	c->out = arena_alloc(c->arena, message_size(out));
	if (!c->in || !c->out)
		return fault_set(&c->fault, ERR_TOO_LARGE,
				 "the request needs more memory than one may have");
	message_set_defaults(out, c->out);
	enum err e = set_deadline(c);
	if (!e)
		e = grpc_open(c);
	return e ? e : message_from_proto(in, c->message, c->arena, c->in, &c->fault);
}

struct str grpc_collection(const struct call *c)
{
	struct frame frame = { .message = c->message };
	enum proto_type type;
	uint32_t field;

	if (!c->message.data && (!read_frame(c->request, &frame) || frame.compressed))
		return (struct str){ 0 };
	struct proto_reader r = proto_reader_of(frame.message);
	while (proto_next(&r, &field, &type)) {
		if (field == 1 && type == PROTO_LENGTH)
			return proto_string(&r, type);
		proto_skip(&r, type);
	}
	return (struct str){ 0 };
}

/* ---- writing ---- */

static void put_frame(struct call *c, struct buf *body)
{
	uint64_t now = clock_mono_ns(c->api->clock);
	double seconds = now > c->started_ns ? (double)(now - c->started_ns) / 1e9 : 0;

	buf_reset(body);
	message_set_time(c->method->out, c->out, seconds);
	wire_put_u8(body, 0);
	wire_put_u32_be(body, 0);
	message_to_proto(c->method->out, c->out, body);
	if (buf_err(body))
		return;
	size_t len = body->len - GRPC_FRAME_BYTES;
	for (unsigned i = 0; i < 4; i++)
		body->data[1 + i] = (uint8_t)(len >> (24 - 8 * i));
}

/* A header that does not fit is left out: a reply without it is better than none. */
static void add_header(struct request *r, struct str name, struct str value)
{
	enum err dropped UNUSED = request_add_header(r, name, value);
}

void grpc_encode(struct call *c, enum err e)
{
	struct request *r = c->request;
	struct reply *reply = &r->reply;

	if (!e) {
		put_frame(c, &reply->body);
		e = buf_err(&reply->body);
		if (e)
			(void)fault_set(&c->fault, e, "the reply is too large");
	}
	reply->status = 200;
	reply->grpc_status = e ? err_grpc_status(e) : 0;
	if (e) {
		buf_reset(&reply->body);
		reply->grpc_message = message_words(&c->fault, e, WORDS_FOR_GRPC, c->arena);
	}
	add_header(r, STR("content-type"), STR("application/grpc"));
	add_header(r, STR("grpc-accept-encoding"), STR("identity,gzip"));
}
