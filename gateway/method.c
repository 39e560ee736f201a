/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The methods, and how they are found. Path templates are cut into segments once, before the first
 * look-up; a path is cut likewise, its segments are decoded, and the first template that fits has
 * it: where two rows of one verb fit, the one with more literal segments must stand first.
 */
#include "gateway/method.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "base/utf8.h"

#define SEGMENTS_MAX 8

static const struct method methods[] = {
#define METHOD(name_, verb_, path_, grpc_, access_, reach_, place_, in_, out_, handler_)           \
	{                                                                                          \
		.name = #name_,                                                                    \
		.verb = VERB_##verb_,                                                              \
		.path = path_,                                                                     \
		.grpc = grpc_,                                                                     \
		.access = ACCESS_##access_,                                                        \
		.reach = REACH_##reach_,                                                           \
		.place = ON_##place_,                                                              \
		.in = &message_##in_,                                                              \
		.out = &message_##out_,                                                            \
		.handler = handler_,                                                               \
	},
#define METHOD_LATER(name_, verb_, path_, grpc_, access_, reach_)                                  \
	{                                                                                          \
		.name = #name_,                                                                    \
		.verb = VERB_##verb_,                                                              \
		.path = path_,                                                                     \
		.grpc = grpc_,                                                                     \
		.access = ACCESS_##access_,                                                        \
		.reach = REACH_##reach_,                                                           \
		.place = ON_LOOP,                                                                  \
		.in = &message_nothing,                                                            \
		.out = &message_nothing,                                                           \
	},
#include "gateway/method.def"
#undef METHOD
#undef METHOD_LATER
};

/* A path in pieces; of a template, a piece in braces stands for any text. */
struct pieces {
	struct str items[SEGMENTS_MAX];
	uint32_t count;
};

/* Written once, before the first look-up; then only read. */
static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static struct pieces templates[LEN(methods)];
static const struct method *by_grpc[LEN(methods)];
static uint32_t by_grpc_count;

/* False: more pieces than any template has. Empty ones are passed over, as Qdrant does. */
static bool cut(struct str path, struct pieces *ret_pieces)
{
	struct pieces pieces = { .count = 0 };
	size_t at = 0;

	while (at < path.len) {
		const char *slash = memchr(path.data + at, '/', path.len - at);
		size_t end = slash ? (size_t)(slash - path.data) : path.len;
		if (end > at && pieces.count == SEGMENTS_MAX)
			return false;
		if (end > at)
			pieces.items[pieces.count++] =
				(struct str){ .data = path.data + at, .len = end - at };
		at = end + 1;
	}
	*ret_pieces = pieces;
	return true;
}

static int compare_grpc(const void *a, const void *b)
{
	const struct method *const *left = a, *const *right = b;
	return strcmp((*left)->grpc, (*right)->grpc);
}

static void prepare(void)
{
	for (uint32_t i = 0; i < LEN(methods); i++) {
		const char *path = methods[i].path;
		if (path)
			ASSERT(cut((struct str){ .data = path, .len = strlen(path) },
				   &templates[i]));
		if (methods[i].grpc)
			by_grpc[by_grpc_count++] = &methods[i];
	}
	qsort(by_grpc, by_grpc_count, sizeof(*by_grpc), compare_grpc);
}

static bool is_param(struct str piece)
{
	return piece.data[0] == '{';
}

static bool is_equal(struct str a, struct str b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	char lower = (char)(c | 0x20);
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

enum err method_decode(struct str text, bool plus_is_space, struct arena *a, struct str *ret_text)
{
	bool plain = !memchr(text.data, '%', text.len) &&
		     !(plus_is_space && memchr(text.data, '+', text.len));
	if (plain) {
		*ret_text = text;
		return utf8_valid(text) ? ERR_NONE : ERR_BAD_REQUEST;
	}
	char *out = arena_alloc(a, text.len);
	if (!out)
		return ERR_TOO_LARGE;
	size_t n = 0;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];
		if (c == '%') {
			int high = i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
			int low = i + 2 < text.len ? hex_digit(text.data[i + 2]) : -1;
			if (high < 0 || low < 0)
				return ERR_BAD_REQUEST;
			c = (char)(high * 16 + low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		out[n++] = c;
	}
	*ret_text = (struct str){ .data = out, .len = n };
	return utf8_valid(*ret_text) ? ERR_NONE : ERR_BAD_REQUEST;
}

static bool fits(const struct pieces *template, const struct pieces *path)
{
	if (template->count != path->count)
		return false;
	for (uint32_t i = 0; i < path->count; i++)
		if (!is_param(template->items[i]) && !is_equal(template->items[i], path->items[i]))
			return false;
	return true;
}

static void take_params(const struct pieces *template, const struct pieces *path,
			struct method_match *match)
{
	for (uint32_t i = 0; i < path->count; i++) {
		struct str piece = template->items[i];
		if (!is_param(piece))
			continue;
		ASSERT(match->param_count < METHOD_PARAMS_MAX);
		match->params[match->param_count++] = (struct header){
			.name = { .data = piece.data + 1, .len = piece.len - 2 },
			.value = path->items[i],
		};
	}
}

enum err method_find_rest(enum http_verb verb, struct str path, struct arena *a,
			  struct method_match *ret_match, struct fault *reterr_fault)
{
	struct pieces pieces;
	bool known = false;

	pthread_once(&prepared, prepare);
	if (path.len == 0 || path.data[0] != '/' || !cut(path, &pieces))
		return fault_set(reterr_fault, ERR_NO_ROUTE, "no such path");
	for (uint32_t i = 0; i < pieces.count; i++) {
		enum err e = method_decode(pieces.items[i], false, a, &pieces.items[i]);
		if (e)
			return fault_set(reterr_fault, e,
					 "Deserialize error in path parameters: %s",
					 e == ERR_BAD_REQUEST ? "not percent-encoded UTF-8"
							      : err_sentence(e));
	}
	verb = verb == VERB_HEAD ? VERB_GET : verb;
	for (uint32_t i = 0; i < LEN(methods); i++) {
		if (!methods[i].path || !fits(&templates[i], &pieces))
			continue;
		known = true;
		if (methods[i].verb != verb)
			continue;
		*ret_match = (struct method_match){ .method = &methods[i] };
		take_params(&templates[i], &pieces, ret_match);
		return ERR_NONE;
	}
	if (known)
		return fault_set(reterr_fault, ERR_METHOD_NOT_ALLOWED,
				 "the path exists, but not with this method");
	return fault_set(reterr_fault, ERR_NO_ROUTE, "no such path");
}

static int compare_path(const void *key, const void *item)
{
	const struct str *path = key;
	const struct method *const *m = item;
	size_t len = strlen((*m)->grpc);
	int order = memcmp(path->data, (*m)->grpc, MIN(path->len, len));

	if (order != 0)
		return order;
	return (path->len > len) - (path->len < len);
}

enum err method_find_grpc(struct str path, const struct method **ret_method,
			  struct fault *reterr_fault)
{
	struct str name =
		path.len > 0 ? (struct str){ .data = path.data + 1, .len = path.len - 1 } : path;

	pthread_once(&prepared, prepare);
	const struct method *const *found = NULL;
	if (path.len > 1 && path.data[0] == '/')
		found = bsearch(&name, by_grpc, by_grpc_count, sizeof(*by_grpc), compare_path);
	if (!found)
		return fault_set(reterr_fault, ERR_NO_ROUTE, "unknown method %.*s",
				 (int)MIN(path.len, (size_t)128), path.data);
	*ret_method = *found;
	return ERR_NONE;
}

const struct method *method_table(uint32_t *ret_count)
{
	*ret_count = LEN(methods);
	return methods;
}
