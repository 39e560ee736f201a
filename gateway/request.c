/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests: their memory, their headers, how a reply finds its way back, and the refusals that need
 * no handler.
 */
#include "gateway/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/gzip.h"
#include "base/metric.h"
#include "base/panic.h"

#define REPLY_HEADERS_FIRST 8 /* room that the first header makes */
#define REPLY_BYTES_MAX ((size_t)1 << 30)

struct refusal_row {
	int http;
	int grpc;
	const char *reason;
	struct str sentence;
	struct str body;
};

static const struct refusal_row refusals[REFUSAL_COUNT] = {
#define REFUSAL(name, h, g, r, s)                                                                  \
	[REFUSAL_##name] = { .http = (h),                                                          \
			     .grpc = (g),                                                          \
			     .reason = (r),                                                        \
			     .sentence = STR(s),                                                   \
			     .body = STR("{\"status\":{\"error\":\"" s "\"},\"time\":0.0}") },
#include "gateway/refusal.def"
#undef REFUSAL
};

enum err request_new(struct loop *l, size_t body_bytes_max, struct request **ret_request)
{
	struct request *r = calloc(1, sizeof(*r));
	if (!r)
		return ERR_NO_MEMORY;
	arena_init(&r->arena, REQUEST_ARENA_BYTES_MAX);
	buf_init(&r->body, body_bytes_max);
	buf_init(&r->reply.body, REPLY_BYTES_MAX);
	r->verb = VERB_OTHER;
	r->loop = l;
	r->reply.grpc_status = -1;
	*ret_request = r;
	return ERR_NONE;
}

/* Takes n bytes from the budget, or gives them back when the new total is lower. */
static enum err charge(struct request *r, size_t total)
{
	struct request_budget *b = r->budget;

	if (!b)
		return ERR_NONE;
	if (total > r->charged) {
		size_t more = total - r->charged;
		uint64_t before = atomic_fetch_add_explicit(&b->used, more, memory_order_relaxed);
		if (before > b->max || more > b->max - before) {
			atomic_fetch_sub_explicit(&b->used, more, memory_order_relaxed);
			return ERR_RATE_LIMITED;
		}
	} else {
		atomic_fetch_sub_explicit(&b->used, r->charged - total, memory_order_relaxed);
	}
	r->charged = total;
	return ERR_NONE;
}

void request_free(struct request *r)
{
	if (!r)
		return;
	if (r->in_flight)
		metric_add(METRIC_isthmus_requests_in_flight, -1);
	(void)charge(r, 0); /* giving back does not fail */
	buf_release(&r->body);
	buf_release(&r->reply.body);
	arena_release(&r->arena);
	free(r);
}

struct str request_header(const struct request *r, const char *name)
{
	size_t len = strlen(name);

	for (uint32_t i = 0; i < r->header_count; i++) {
		const struct header *h = &r->headers[i];
		if (h->name.len == len && memcmp(h->name.data, name, len) == 0)
			return h->value;
	}
	return (struct str){ 0 };
}

/* What would end a header line must not get into one. */
static bool fits_in_a_line(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

enum err request_add_header(struct request *r, struct str name, struct str value)
{
	struct reply *reply = &r->reply;

	if (name.len == 0 || !fits_in_a_line(name) || !fits_in_a_line(value))
		return ERR_BAD_INPUT;
	if (reply->header_count >= REQUEST_HEADERS_MAX)
		return ERR_TOO_LARGE;
	if (reply->header_count == reply->header_cap) {
		uint32_t cap = MAX(reply->header_cap * 2, (uint32_t)REPLY_HEADERS_FIRST);
		struct header *grown = arena_array(&r->arena, cap, sizeof(*grown));
		if (!grown)
			return ERR_NO_MEMORY;
		if (reply->header_count > 0)
			memcpy(grown, reply->headers, reply->header_count * sizeof(*grown));
		reply->headers = grown;
		reply->header_cap = cap;
	}
	reply->headers[reply->header_count++] = (struct header){ .name = name, .value = value };
	return ERR_NONE;
}

void request_submit(struct request *r, request_fn serve, void *ctx)
{
	ASSERT(!r->in_flight);
	r->in_flight = true;
	metric_add(METRIC_isthmus_requests_in_flight, 1);
	serve(ctx, r);
}

void request_reply(struct request *r)
{
	loop_assert_mine(r->loop);
	if (r->in_flight) {
		r->in_flight = false;
		metric_add(METRIC_isthmus_requests_in_flight, -1);
	}
	/* What was asked is of no more use; a reply that takes long to send should not hold it. */
	buf_release(&r->body);
	(void)charge(r, 0); /* giving back does not fail */
	if (r->sink)
		r->sink->reply(r->sink, r);
	else
		request_free(r);
}

void request_detach(struct request *r)
{
	loop_assert_mine(r->loop);
	r->sink = NULL;
	atomic_store(&r->cancelled, true);
}

bool request_set_target(struct request *r, struct str target)
{
	if (target.len == 0 || target.data[0] != '/')
		return false;
	for (size_t i = 0; i < target.len; i++) {
		unsigned char c = (unsigned char)target.data[i];
		if (c <= 0x20 || c >= 0x7f || c == '#')
			return false;
	}
	const char *mark = memchr(target.data, '?', target.len);
	size_t path_len = mark ? (size_t)(mark - target.data) : target.len;

	r->query = (struct str){ 0 };
	if (mark)
		r->query = (struct str){ .data = mark + 1, .len = target.len - path_len - 1 };
	while (path_len > 1 && target.data[path_len - 1] == '/')
		path_len--;
	r->path = (struct str){ .data = target.data, .len = path_len };
	return true;
}

enum http_verb request_verb(struct str name)
{
	static const struct {
		struct str name;
		enum http_verb verb;
	} verbs[] = {
		{ STR("GET"), VERB_GET },       { STR("POST"), VERB_POST },
		{ STR("PUT"), VERB_PUT },       { STR("PATCH"), VERB_PATCH },
		{ STR("DELETE"), VERB_DELETE }, { STR("OPTIONS"), VERB_OPTIONS },
		{ STR("HEAD"), VERB_HEAD },
	};
	for (size_t i = 0; i < LEN(verbs); i++)
		if (verbs[i].name.len == name.len &&
		    memcmp(verbs[i].name.data, name.data, name.len) == 0)
			return verbs[i].verb;
	return VERB_OTHER;
}

enum err request_append_body(struct request *r, struct bytes bytes)
{
	if (bytes.len > r->body.max - r->body.len)
		return ERR_TOO_LARGE;
	enum err err = charge(r, r->body.len + bytes.len);
	if (err)
		return err;
	return buf_append(&r->body, bytes.data, bytes.len);
}

static bool is_word(struct str s, const char *word)
{
	return s.len == strlen(word) && strncasecmp(s.data, word, s.len) == 0;
}

/* gRPC says by grpc-encoding, and for each message by itself, what is compressed. */
static bool is_encoded(const struct request *r)
{
	struct str encoding = request_header(r, "content-encoding");

	return !r->grpc && encoding.len > 0 && !is_word(encoding, "identity");
}

bool request_is_packed(const struct request *r)
{
	return r->body.len > 0 && is_encoded(r);
}

enum err request_inflate(struct request *r, struct bytes in, struct buf *out, struct fault *reterr_fault)
{
	enum err err = gzip_inflate(in, out);

	if (!err)
		err = charge(r, r->charged + out->len);
	if (err == ERR_TOO_LARGE)
		return fault_set(reterr_fault, err,
				 "the body inflates to more than %zu bytes (limits.body), or to more than 100 times what was sent",
				 r->body.max);
	if (err == ERR_BAD_REQUEST)
		return fault_set(reterr_fault, err, "failed to decode the compressed body: it is not one whole gzip stream");
	return err ? fault_set(reterr_fault, err, "%s", err_sentence(err)) : ERR_NONE;
}

enum err request_decode_body(struct request *r, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf plain = BUF_INIT(r->body.max);

	if (!is_encoded(r))
		return ERR_NONE;
	if (!is_word(request_header(r, "content-encoding"), "gzip"))
		return fault_set(reterr_fault, ERR_ENCODING, "%s", err_sentence(ERR_ENCODING));
	if (r->body.len == 0)
		return ERR_NONE;
	enum err err = request_inflate(r, buf_bytes(&r->body), &plain, reterr_fault);
	if (err)
		return err;
	struct buf packed = r->body;
	r->body = plain;
	plain = packed;
	return charge(r, r->body.len); /* giving back does not fail */
}

enum refusal request_refusal(enum err e)
{
	if (e == ERR_TOO_LARGE)
		return REFUSAL_BODY;
	return e == ERR_BAD_REQUEST ? REFUSAL_MALFORMED : REFUSAL_MEMORY;
}

/* Without memory the header is left out: a reply with its status alone is still true. */
static void add_if_possible(struct request *r, struct str name, struct str value)
{
	enum err err = request_add_header(r, name, value);
	(void)err;
}

void request_refuse(struct request *r, enum refusal why)
{
	const struct refusal_row *row = &refusals[why];
	struct reply *reply = &r->reply;

	metric_series_add(metric_series(METRIC_isthmus_rejected_total, row->reason), 1);
	/* A client that does not fetch its refusals must not make us keep what was refused. */
	arena_release(&r->arena);
	r->path = r->query = r->authority = r->peer_region = (struct str){ 0 };
	r->headers = NULL;
	r->header_count = 0;
	reply->headers = NULL;
	reply->header_count = reply->header_cap = 0;
	buf_reset(&reply->body);
	reply->status = row->http;
	if (r->grpc) {
		reply->status = 200;
		reply->grpc_status = row->grpc;
		reply->grpc_message = row->sentence;
		add_if_possible(r, STR("content-type"), STR("application/grpc"));
		return;
	}
	reply->close = true;
	buf_append_str(&reply->body, row->body);
	add_if_possible(r, STR("content-type"), STR("application/json"));
	if (why == REFUSAL_MEMORY || why == REFUSAL_CONNECTIONS)
		add_if_possible(r, STR("retry-after"), STR("1"));
}
