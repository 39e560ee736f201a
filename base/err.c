/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of errors, and faults. Any thread.
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct row {
	const char *name;
	const char *sentence;
	int http;
	int grpc;
};

static const struct row rows[ERR_COUNT] = {
	[ERR_NONE] = { .name = "NONE", .sentence = "no error", .http = 200, .grpc = 0 },
#define ERR(n, h, g, s) [ERR_##n] = { .name = #n, .sentence = s, .http = h, .grpc = g },
#include "base/err.def"
#undef ERR
};

/* A number from outside the enum can only come from memory gone wrong; it is an internal error. */
static const struct row *row_of(enum err e)
{
	return (unsigned)e < ERR_COUNT ? &rows[e] : &rows[ERR_INTERNAL];
}

const char *err_name(enum err e)
{
	return row_of(e)->name;
}

const char *err_sentence(enum err e)
{
	return row_of(e)->sentence;
}

int err_http_status(enum err e)
{
	return row_of(e)->http;
}

int err_grpc_status(enum err e)
{
	return row_of(e)->grpc;
}

/* EACCES and EPERM stay ERR_IO: ERR_FORBIDDEN speaks of a client's key, not of the daemon's rights. */
enum err err_from_errno(int errnum)
{
	switch (errnum) {
	case ENOMEM:
	case ENOBUFS:
		return ERR_NO_MEMORY;
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_ALREADY_EXISTS;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECANCELED:
		return ERR_CANCELLED;
	case E2BIG:
	case EFBIG:
	case EMSGSIZE:
		return ERR_TOO_LARGE;
	case EAGAIN:
	case EMFILE:
	case ENFILE:
	case EPIPE:
	case ECONNABORTED:
	case ECONNREFUSED:
	case ECONNRESET:
	case ENOTCONN:
	case EHOSTUNREACH:
	case ENETDOWN:
	case ENETUNREACH:
		return ERR_UNAVAILABLE;
	default:
		return ERR_IO;
	}
}

/* Takes a UTF-8 character off the end that truncation left in pieces: the text may go into JSON. */
static void drop_broken_tail(char *text, size_t len)
{
	size_t start = len;

	while (start > 0 && len - start < 4 && ((uint8_t)text[start - 1] & 0xC0) == 0x80)
		start--;
	if (start == 0 || (uint8_t)text[start - 1] < 0xC0)
		return;
	start--;
	uint8_t lead = (uint8_t)text[start];
	size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
	if (len - start < want)
		text[start] = '\0';
}

/* Formats aside first: the arguments may point into the fault's own text. */
enum err fault_set(struct fault *f, enum err e, const char *fmt, ...)
{
	if (!f)
		return e;

	char text[FAULT_TEXT_MAX];
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (len < 0)
		text[0] = '\0';
	else if ((size_t)len >= sizeof(text))
		drop_broken_tail(text, sizeof(text) - 1);
	memcpy(f->text, text, sizeof(text));
	f->err = e;
	return e;
}

const char *fault_text(const struct fault *f)
{
	if (!f)
		return "";
	return f->text[0] ? f->text : err_sentence(f->err);
}
