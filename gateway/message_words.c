/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults in the words of Qdrant, which clients and their tests look at.
 */
#include "gateway/message_words.h"

#include <string.h>

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
	{ ERR_GAP, INTERNAL },
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
