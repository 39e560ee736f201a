/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults in the words of Qdrant, which clients and their tests look at.
 */
#include "gateway/message_words.h"

#include <string.h>

#include "base/json.h"

#define INTERNAL "Service internal error: "
#define UNAVAILABLE "Shard temporarily unavailable: "

static const struct {
	enum err err;
	const char *prefix;
} prefixes[] = {
	{ ERR_BAD_REQUEST, "Bad request: " },
	{ ERR_BAD_INPUT, "Wrong input: " },
	{ ERR_ALREADY_EXISTS, "Wrong input: " },
	{ ERR_FORBIDDEN, "Forbidden: " },
	{ ERR_NOT_FOUND, "Not found: " },
	{ ERR_TIMEOUT, "Timeout: " },
	{ ERR_SESSION_ORPHANED, "Pre-condition failure: " },
	{ ERR_RATE_LIMITED, "Rate limiting exceeded: " },
	{ ERR_NOT_IMPLEMENTED, "Not implemented: " },
	{ ERR_UNAVAILABLE, UNAVAILABLE },
	{ ERR_NO_PRIMARY, UNAVAILABLE },
	{ ERR_NOT_PRIMARY, UNAVAILABLE },
	{ ERR_NOT_READY, UNAVAILABLE },
	{ ERR_NO_SPACE, "Insufficient storage: " },
	{ ERR_STORE_FULL, "Insufficient storage: " },
	{ ERR_INTERNAL, INTERNAL },
	{ ERR_NO_MEMORY, INTERNAL },
	{ ERR_IO, INTERNAL },
	{ ERR_CORRUPT, INTERNAL },
	{ ERR_CONFIG, INTERNAL },
	{ ERR_FORK, INTERNAL },
	{ ERR_VERSION, INTERNAL },
};

/* Words that begin so are whole. */
static const char *const whole[] = {
	"Format error in ",
	"Validation error in ",
	"Deserialize error in ",
	"failed to decode ",
};

static bool begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const char *prefix_of(enum err e, const char *text, enum words_for reader)
{
	for (size_t i = 0; i < LEN(whole); i++)
		if (begins(text, whole[i]))
			return "";
	if (e == ERR_VALIDATION)
		return reader == WORDS_FOR_GRPC ? "Validation error in body: "
						: "Validation error in JSON body: ";
	for (size_t i = 0; i < LEN(prefixes); i++)
		if (prefixes[i].err == e)
			return begins(text, prefixes[i].prefix) ? "" : prefixes[i].prefix;
	return "";
}

struct str message_words(const struct fault *f, enum err e, enum words_for reader, struct arena *a)
{
	const char *text = f && f->err == e && f->text[0] ? f->text : err_sentence(e);
	struct str words = arena_printf(a, "%s%s", prefix_of(e, text, reader), text);

	return words.data ? words : (struct str){ .data = text, .len = strlen(text) };
}

static bool is(struct str key, const char *name)
{
	return key.len == strlen(name) && memcmp(key.data, name, key.len) == 0;
}

/* {"status":{"error":"…"}} */
static struct str find_error(struct json_reader *r)
{
	struct str error = { 0 };
	struct str key;

	if (json_peek(r) != JSON_OBJECT || !json_enter_object(r))
		return error;
	while (json_next_key(r, &key)) {
		if (!is(key, "status") || json_peek(r) != JSON_OBJECT || !json_enter_object(r)) {
			json_skip(r);
			continue;
		}
		while (json_next_key(r, &key)) {
			if (is(key, "error") && json_peek(r) == JSON_STRING)
				error = json_string(r);
			else
				json_skip(r);
		}
	}
	return error;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str message_words_of_reply(struct str body, struct arena *a)
{
	while (body.len > 0 && is_space(body.data[body.len - 1]))
		body.len--;
	while (body.len > 0 && is_space(body.data[0])) {
		body.data++;
		body.len--;
	}
	struct json_reader r = json_reader_of(body, a);
	struct str error = find_error(&r);

	return error.data && !json_end(&r, NULL) ? error : body;
}
