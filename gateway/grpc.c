/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC envelope: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 *
 * Frame  1 byte: compressed?   4 bytes: length, big-endian   the message
 */
#include "gateway/grpc.h"

#include <string.h>

#include "base/clock.h"
#include "base/gzip.h"
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
	CLEANUP(buf_release) struct buf out = BUF_INIT(GRPC_MESSAGE_BYTES_MAX);
	enum err e = gzip_inflate(in, &out);

	if (e)
		return fault_set(&c->fault, e, "failed to decode the compressed message: %s",
				 err_sentence(e));
	uint8_t *copy = arena_alloc(c->arena, out.len);
	if (!copy)
		return fault_set(&c->fault, ERR_TOO_LARGE,
				 "the request needs more memory than one may have");
	if (out.len > 0)
		memcpy(copy, out.data, out.len);
	*ret_message = (struct bytes){ .data = copy, .len = out.len };
	return ERR_NONE;
}

/* All methods are unary: exactly one frame. */
static enum err open_frame(struct call *c, struct bytes *ret_message)
{
	struct bytes body = buf_bytes(&c->request->body);
	struct wire_reader r = wire_reader_of(body.data, body.len);
	uint8_t compressed = wire_u8(&r);
	uint32_t len = wire_u32_be(&r);
	struct bytes message = wire_take(&r, len);
	struct str encoding = request_header(c->request, "grpc-encoding");

	if (wire_done(&r) != ERR_NONE || compressed > 1)
		return fault_set(&c->fault, ERR_BAD_REQUEST,
				 "failed to decode the request: not exactly one message");
	if (!compressed) {
		*ret_message = message;
		return ERR_NONE;
	}
	if (is_word(encoding, "gzip"))
		return inflate(c, message, ret_message);
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
	struct bytes message;

	c->in = arena_alloc(c->arena, message_size(in));
	c->out = arena_alloc(c->arena, message_size(out));
	if (!c->in || !c->out)
		return fault_set(&c->fault, ERR_TOO_LARGE,
				 "the request needs more memory than one may have");
	message_set_defaults(out, c->out);
	enum err e = set_deadline(c);
	if (!e)
		e = open_frame(c, &message);
	return e ? e : message_from_proto(in, message, c->arena, c->in, &c->fault);
}

struct str grpc_collection(struct call *c)
{
	struct fault before = c->fault;
	struct bytes message;
	enum err e = open_frame(c, &message);
	enum proto_type type;
	uint32_t field;

	c->fault = before;
	if (e)
		return (struct str){ 0 };
	struct proto_reader r = proto_reader_of(message);
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
