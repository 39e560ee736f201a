/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to JetStream and what they answer.
 */
#include "replicator/stream_api.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

#define NS_PER_MS 1000000u
#define ARENA_BYTES_MAX (64u << 10)
#define REMOVE_TRIES_MAX 4

bool stream_api_is(struct str s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

void stream_api_members(struct json_reader *r, stream_api_member_fn fn, void *ctx)
{
	struct str key;
	if (json_enter_object(r))
		while (json_next_key(r, &key))
			fn(r, key, ctx);
}

enum err stream_api_read(const struct buf *reply, stream_api_member_fn fn, void *ctx,
			 const char *what, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena arena;
	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(buf_str(reply), &arena);
	stream_api_members(&r, fn, ctx);
	if (json_end(&r, NULL))
		return fault_set(reterr_fault, ERR_BAD_GATEWAY,
				 "the reply to %s cannot be understood", what);
	return ERR_NONE;
}

struct refusal {
	uint64_t code;
	char words[256];
};

static void refusal_member(struct json_reader *r, struct str key, void *ctx)
{
	struct refusal *f = ctx;
	if (stream_api_is(key, "err_code")) {
		f->code = json_u64(r);
	} else if (stream_api_is(key, "description")) {
		struct str s = json_string(r);
		snprintf(f->words, sizeof(f->words), "%.*s", STR_FMT(s));
	} else {
		json_skip(r);
	}
}

static void reply_member(struct json_reader *r, struct str key, void *ctx)
{
	if (stream_api_is(key, "error"))
		stream_api_members(r, refusal_member, ctx);
	else
		json_skip(r);
}

static enum err err_of_code(uint64_t code)
{
	switch (code) {
	case STREAM_API_NO_CONSUMER:
	case STREAM_API_NO_STREAM:
		return ERR_NOT_FOUND;
	case STREAM_API_NO_SPACE:
		return ERR_NO_SPACE;
	case STREAM_API_NO_LEADER:
	case STREAM_API_NOT_ENABLED:
		return ERR_UNAVAILABLE;
	default:
		return ERR_BAD_REQUEST;
	}
}

enum err stream_api_call(struct stream *s, const char *domain, const char *what, struct str body,
			 struct buf *reply, struct fault *reterr_fault)
{
	buf_reset(reply);
	enum err e = stream_request(
		s, domain, what,
		(struct bytes){ .data = (const uint8_t *)body.data, .len = body.len }, reply,
		reterr_fault);
	if (e)
		return e;
	struct refusal f = { 0 };
	e = stream_api_read(reply, reply_member, &f, what, reterr_fault);
	if (!e && (f.code || f.words[0]))
		e = fault_set(reterr_fault, err_of_code(f.code), "%s%s%s: %s (%u)", what,
			      domain[0] ? " in domain " : "", domain, f.words, (unsigned)f.code);
	return e;
}

void stream_api_name(const char *region, char out[STREAM_API_NAME_MAX])
{
	snprintf(out, STREAM_API_NAME_MAX, "OPS_%s", region);
}

void stream_api_what(const char *call, const char *region, const char *reader,
		     char out[STREAM_API_WHAT_MAX])
{
	char name[STREAM_API_NAME_MAX];
	stream_api_name(region, name);
	snprintf(out, STREAM_API_WHAT_MAX, "%s.%s%s%s", call, name, reader ? "." : "",
		 reader ? reader : "");
}

static void state_member(struct json_reader *r, struct str key, void *ctx)
{
	struct pull_found *f = ctx;
	if (stream_api_is(key, "first_seq"))
		f->first = json_u64(r);
	else if (stream_api_is(key, "last_seq"))
		f->last = json_u64(r);
	else
		json_skip(r);
}

static void stream_member(struct json_reader *r, struct str key, void *ctx)
{
	struct pull_found *f = ctx;
	if (stream_api_is(key, "created")) {
		/* Only ever compared; 0 means unknown. */
		struct str at = json_string(r);
		f->birth = hash64(at.data, at.len, 0) | 1;
	} else if (stream_api_is(key, "state")) {
		stream_api_members(r, state_member, f);
	} else {
		json_skip(r);
	}
}

enum err stream_api_stream(struct stream *s, const char *domain, const char *region,
			   struct pull_found *ret_found, struct fault *reterr_fault)
{
	char what[STREAM_API_WHAT_MAX];
	CLEANUP(buf_release) struct buf reply = BUF_INIT(STREAM_API_REPLY_BYTES_MAX);
	struct pull_found f = *ret_found;

	stream_api_what("STREAM.INFO", region, NULL, what);
	enum err e = stream_api_call(s, domain, what, STR(""), &reply, reterr_fault);
	if (!e)
		e = stream_api_read(&reply, stream_member, &f, what, reterr_fault);
	if (!e && f.birth == 0)
		e = fault_set(reterr_fault, ERR_BAD_GATEWAY, "the reply to %s describes no stream",
			      what);
	if (!e)
		*ret_found = f;
	return e;
}

static void floor_member(struct json_reader *r, struct str key, void *ctx)
{
	struct pull_found *f = ctx;
	if (stream_api_is(key, "stream_seq"))
		f->floor = json_u64(r);
	else
		json_skip(r);
}

struct durable_reply {
	struct pull_found *found;
	uint64_t start; /* sequence that it began with; 0: all */
};

static void start_member(struct json_reader *r, struct str key, void *ctx)
{
	if (stream_api_is(key, "opt_start_seq"))
		*(uint64_t *)ctx = json_u64(r);
	else
		json_skip(r);
}

static void durable_member(struct json_reader *r, struct str key, void *ctx)
{
	struct durable_reply *d = ctx;
	struct pull_found *f = d->found;
	if (stream_api_is(key, "ack_floor"))
		stream_api_members(r, floor_member, f);
	else if (stream_api_is(key, "config"))
		stream_api_members(r, start_member, &d->start);
	else if (stream_api_is(key, "num_ack_pending"))
		f->unacked = json_u64(r);
	else
		json_skip(r);
}

enum err stream_api_durable(struct stream *s, const char *domain, const char *region,
			    const char *reader, struct pull_found *ret_found,
			    struct fault *reterr_fault)
{
	char what[STREAM_API_WHAT_MAX];
	CLEANUP(buf_release) struct buf reply = BUF_INIT(STREAM_API_REPLY_BYTES_MAX);
	struct pull_found f = *ret_found;

	f.durable = false;
	f.floor = f.unacked = 0;
	stream_api_what("CONSUMER.INFO", region, reader, what);
	enum err e = stream_api_call(s, domain, what, STR(""), &reply, reterr_fault);
	if (e == ERR_NOT_FOUND) {
		*ret_found = f;
		return ERR_NONE;
	}
	struct durable_reply d = { .found = &f };
	if (!e)
		e = stream_api_read(&reply, durable_member, &d, what, reterr_fault);
	if (!e) {
		f.durable = true;
		/* Before the first acknowledgement 2.9.10 says 0, wherever it began. */
		f.floor = MAX(f.floor, d.start ? d.start - 1 : 0);
		*ret_found = f;
	}
	return e;
}

enum err stream_api_remove(struct stream *s, const char *domain, const char *region,
			   const char *reader, struct fault *reterr_fault)
{
	char what[STREAM_API_WHAT_MAX];
	CLEANUP(buf_release) struct buf reply = BUF_INIT(STREAM_API_REPLY_BYTES_MAX);

	stream_api_what("CONSUMER.DELETE", region, reader, what);
	for (unsigned i = 1;; i++) {
		enum err e = stream_api_call(s, domain, what, STR(""), &reply, reterr_fault);
		if (e == ERR_NOT_FOUND)
			return ERR_NONE;
		/* 2.9.10 stumbles over its own writing of the durable's state ("directory not
		 * empty", 10051) and leaves something that answers but delivers no more; the next
		 * try succeeds. */
		if (e != ERR_BAD_REQUEST || i == REMOVE_TRIES_MAX)
			return e;
	}
}

static void durable_put(struct json_writer *w, const char *reader, uint64_t first,
			uint64_t ack_wait_ms)
{
	json_put_object(w);
	json_put_key(w, STR("durable_name"));
	json_put_cstr(w, reader);
	json_put_key(w, STR("deliver_policy"));
	json_put_cstr(w, first ? "by_start_sequence" : "all");
	if (first) {
		json_put_key(w, STR("opt_start_seq"));
		json_put_u64(w, first);
	}
	json_put_key(w, STR("ack_policy"));
	json_put_cstr(w, "all");
	json_put_key(w, STR("ack_wait"));
	json_put_u64(w, ack_wait_ms * NS_PER_MS);
	json_put_key(w, STR("max_ack_pending"));
	json_put_u64(w, STREAM_ACK_PENDING_MAX);
	json_put_key(w, STR("max_deliver"));
	json_put_i64(w, -1);
	json_put_key(w, STR("replay_policy"));
	json_put_cstr(w, "instant");
	json_put_object_end(w);
}

enum err stream_api_create(struct stream *s, const char *domain, const char *region,
			   const char *reader, uint64_t first, uint64_t ack_wait_ms,
			   struct fault *reterr_fault)
{
	char what[STREAM_API_WHAT_MAX], name[STREAM_API_NAME_MAX];
	CLEANUP(buf_release) struct buf reply = BUF_INIT(STREAM_API_REPLY_BYTES_MAX);
	CLEANUP(buf_release) struct buf body = BUF_INIT(STREAM_API_BODY_BYTES_MAX);
	struct json_writer w = json_writer_to(&body);

	stream_api_name(region, name);
	json_put_object(&w);
	json_put_key(&w, STR("stream_name"));
	json_put_cstr(&w, name);
	json_put_key(&w, STR("config"));
	durable_put(&w, reader, first, ack_wait_ms);
	json_put_object_end(&w);
	if (buf_err(&body))
		return fault_set(reterr_fault, buf_err(&body), "no room to describe a durable");
	stream_api_what("CONSUMER.DURABLE.CREATE", region, reader, what);
	return stream_api_call(s, domain, what, buf_str(&body), &reply, reterr_fault);
}
