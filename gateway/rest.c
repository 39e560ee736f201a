/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REST envelope.
 *
 *     {"result": …, "status": "ok", "time": 0.000012}
 *     {"status": {"error": "Not found: …"}, "time": 0.000012}
 *
 * Errors of reading have time 0. A wrong key is answered in plain text, an unknown path with no
 * body, as Qdrant does.
 */
#include "gateway/rest.h"

#include <string.h>

#include "base/clock.h"
#include "gateway/api.h"
#include "gateway/message_words.h"

#define QUERY_PARAMS_MAX 64

static const struct str json_type = STR("application/json");
static const struct str text_type = STR("text/plain; charset=utf-8");

/* ---- reading ---- */

/* Puts words of where in front of those of the fault. */
static enum err explain(struct call *c, enum err e, const char *where)
{
	struct fault inner = c->fault;

	return fault_set(&c->fault, e, "%s%s", where, inner.text[0] ? inner.text : err_sentence(e));
}

static enum err read_body(struct call *c, const struct message *m)
{
	struct json_reader r = json_reader_of(buf_str(&c->request->body), c->arena);
	enum err e = message_from_json(m, &r, c->arena, c->in, &c->fault);

	return e == ERR_BAD_REQUEST ? explain(c, e, "Format error in JSON body: ") : e;
}

static enum err set_param(struct call *c, const struct message *m, struct str name,
			  struct str value, bool in_path)
{
	enum err e = message_set_text(m, c->in, name, value, c->arena, &c->fault);

	if (e == ERR_VALIDATION)
		return explain(c, e,
			       in_path ? "Validation error in path parameters: "
				       : "Validation error in query parameters: ");
	if (e == ERR_BAD_REQUEST)
		return explain(c, e,
			       in_path ? "Deserialize error in path parameters: "
				       : "Deserialize error in query parameters: ");
	return e;
}

/* One name=value. A name that the message does not know is passed over. */
static enum err read_query_pair(struct call *c, const struct message *m, struct str pair)
{
	const char *equals = memchr(pair.data, '=', pair.len);
	struct str name = { .data = pair.data,
			    .len = equals ? (size_t)(equals - pair.data) : pair.len };
	struct str value = { .data = "" };

	if (equals)
		value = (struct str){ .data = equals + 1, .len = pair.len - name.len - 1 };
	enum err e = method_decode(name, true, c->arena, &name);
	if (!e)
		e = method_decode(value, true, c->arena, &value);
	if (e)
		return fault_set(&c->fault, e, "Deserialize error in query parameters: %s",
				 e == ERR_BAD_REQUEST ? "not percent-encoded UTF-8"
						      : err_sentence(e));
	e = set_param(c, m, name, value, false);
	return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err read_query(struct call *c, const struct message *m,
			   const struct method_match *match)
{
	struct str left = c->request->query;

	for (uint32_t n = 0; left.len > 0; n++) {
		const char *end = memchr(left.data, '&', left.len);
		struct str pair = { .data = left.data,
				    .len = end ? (size_t)(end - left.data) : left.len };
		size_t passed = pair.len + (end != NULL);
		left = (struct str){ .data = left.data + passed, .len = left.len - passed };
		if (n == QUERY_PARAMS_MAX)
			return fault_set(
				&c->fault, ERR_BAD_REQUEST,
				"Deserialize error in query parameters: more than %d of them",
				QUERY_PARAMS_MAX);
		enum err e = pair.len > 0 ? read_query_pair(c, m, pair) : ERR_NONE;
		if (e)
			return e;
	}
	/* After the query, so that no query gives another collection than the path. */
	for (uint32_t i = 0; i < match->param_count; i++) {
		enum err e = set_param(c, m, match->params[i].name, match->params[i].value, true);
		if (e && e != ERR_NOT_FOUND)
			return e;
	}
	return ERR_NONE;
}

enum err rest_decode(struct call *c, const struct method_match *m)
{
	const struct message *in = m->method->in, *out = m->method->out;

	c->in = arena_alloc(c->arena, message_size(in));
	c->out = arena_alloc(c->arena, message_size(out));
	if (!c->in || !c->out)
		return fault_set(&c->fault, ERR_TOO_LARGE,
				 "the request needs more memory than one may have");
	message_set_defaults(in, c->in);
	message_set_defaults(out, c->out);
	enum err e = message_has_body(in) ? read_body(c, in) : ERR_NONE;
	return e ? e : read_query(c, in, m);
}

/* ---- writing ---- */

/* A header that does not fit is left out: a reply without it is better than none. */
static void add_header(struct request *r, struct str name, struct str value)
{
	enum err dropped UNUSED = request_add_header(r, name, value);
}

static void add_cors(struct request *r)
{
	if (!request_header(r, "origin").data)
		return;
	add_header(r, STR("access-control-allow-origin"), STR("*"));
	add_header(r, STR("access-control-expose-headers"), STR("*"));
}

void rest_preflight(struct request *r)
{
	struct str asked = request_header(r, "access-control-request-headers");

	r->reply.status = 200;
	add_header(r, STR("access-control-allow-origin"), STR("*"));
	add_header(r, STR("access-control-allow-methods"),
		   STR("GET, POST, PUT, PATCH, DELETE, OPTIONS"));
	/* Not "*": that does not stand for authorization. */
	add_header(r, STR("access-control-allow-headers"), asked.data ? asked : STR("*"));
	add_header(r, STR("access-control-max-age"), STR("3600"));
}

static double seconds_since(const struct call *c)
{
	uint64_t now = clock_mono_ns(c->api->clock);
	return now > c->started_ns ? (double)(now - c->started_ns) / 1e9 : 0;
}

static void put_end(struct json_writer *w, double seconds)
{
	json_put_key(w, STR("time"));
	json_put_f64(w, seconds);
	json_put_object_end(w);
}

/* The error, in the form of its kind. */
static struct str put_error(struct call *c, enum err e)
{
	struct reply *reply = &c->request->reply;
	struct str words = message_words(&c->fault, e, WORDS_FOR_REST, c->arena);
	bool unread = e == ERR_BAD_REQUEST || e == ERR_VALIDATION;
	struct json_writer w = json_writer_to(&reply->body);

	buf_reset(&reply->body);
	reply->status = err_http_status(e);
	if (e == ERR_NO_ROUTE || e == ERR_METHOD_NOT_ALLOWED)
		return (struct str){ 0 };
	if (e == ERR_UNAUTHENTICATED) {
		buf_append_str(&reply->body, words);
		return text_type;
	}
	json_put_object(&w);
	json_put_key(&w, STR("status"));
	json_put_object(&w);
	json_put_key(&w, STR("error"));
	json_put_string(&w, words);
	json_put_object_end(&w);
	put_end(&w, unread ? 0 : seconds_since(c));
	return json_type;
}

/* result: already JSON, or data == NULL for the message. */
static void put_envelope(struct call *c, struct json_writer *w, struct str result)
{
	json_put_object(w);
	json_put_key(w, STR("result"));
	if (result.data)
		json_put_raw(w, result);
	else
		message_to_json(c->method->out, c->out, w);
	json_put_key(w, STR("status"));
	json_put_cstr(w, "ok");
	put_end(w, seconds_since(c));
}

static struct str put_result(struct call *c)
{
	struct reply *reply = &c->request->reply;
	struct json_writer w = json_writer_to(&reply->body);
	const struct msg_text *text = c->out;
	const struct msg_json_result *json = c->out;

	buf_reset(&reply->body);
	reply->status = 200;
	switch (message_shape(c->method->out)) {
	case SHAPE_OBJECT:
	case SHAPE_UNION:
		put_envelope(c, &w, (struct str){ 0 });
		return json_type;
	case SHAPE_DOCUMENT:
		message_to_json(c->method->out, c->out, &w);
		return json_type;
	case SHAPE_JSON_RESULT:
		put_envelope(c, &w, json->json.data ? json->json : STR("null"));
		return json_type;
	case SHAPE_JSON_DOCUMENT:
		buf_append_str(&reply->body, ((const struct msg_json_document *)c->out)->json);
		return json_type;
	case SHAPE_TEXT:
		buf_append_str(&reply->body, text->text);
		reply->status = (int)text->status;
		return text_type;
	case SHAPE_BYTES:
		buf_append_str(&reply->body, ((const struct msg_bytes *)c->out)->data);
		return STR("application/octet-stream");
	}
	return json_type;
}

void rest_encode(struct call *c, enum err e)
{
	struct request *r = c->request;
	struct str type = e ? put_error(c, e) : put_result(c);

	if (buf_err(&r->reply.body)) {
		e = buf_err(&r->reply.body);
		(void)fault_set(&c->fault, e, "the reply is too large");
		type = put_error(c, e);
	}
	if (type.data)
		add_header(r, STR("content-type"), type);
	add_cors(r);
}
