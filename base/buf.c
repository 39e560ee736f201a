/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable run of bytes with a maximum and a sticky error.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"

#define BUF_CAP_MIN 64 /* bytes */

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = BUF_INIT(max_bytes);
}

void buf_release(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT(b->max);
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->err = ERR_NONE;
}

enum err buf_err(const struct buf *b)
{
	return b->err;
}

/* Room for n more bytes. Doubling keeps the cost of many small appends linear. */
static enum err make_room(struct buf *b, size_t n)
{
	if (b->err)
		return b->err;
	if (b->data && n <= b->cap - b->len)
		return ERR_NONE;
	if (n > b->max - b->len)
		return b->err = ERR_TOO_LARGE;

	size_t doubled = b->cap > b->max / 2 ? b->max : b->cap * 2;
	size_t cap = MIN(MAX(MAX(doubled, b->len + n), BUF_CAP_MIN), b->max);
	/* A buf of maximum 0 still gets an address to point at. */
	uint8_t *data = realloc(b->data, MAX(cap, 1));
	if (!data)
		return b->err = ERR_NO_MEMORY;
	b->data = data;
	b->cap = cap;
	return ERR_NONE;
}

enum err buf_append(struct buf *b, const void *data, size_t len)
{
	if (len == 0)
		return b->err;
	enum err err = make_room(b, len);
	if (err)
		return err;
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return ERR_NONE;
}

enum err buf_append_str(struct buf *b, struct str s)
{
	return buf_append(b, s.data, s.len);
}

enum err buf_append_cstr(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

enum err buf_append_byte(struct buf *b, uint8_t byte)
{
	enum err err = make_room(b, 1);
	if (err)
		return err;
	b->data[b->len++] = byte;
	return ERR_NONE;
}

/* vsnprintf ends its text with a zero byte, which the buf has no room for when it is exactly full:
 * short texts go through the stack, long ones through the heap. */
enum err buf_printf(struct buf *b, const char *fmt, ...)
{
	if (b->err)
		return b->err;

	char small[256];
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(small, sizeof(small), fmt, args);
	va_end(args);
	if (len < 0)
		return b->err = ERR_INTERNAL;
	if ((size_t)len < sizeof(small))
		return buf_append(b, small, (size_t)len);
	if ((size_t)len > b->max - b->len)
		return b->err = ERR_TOO_LARGE;

	char *text = NULL;
	va_start(args, fmt);
	len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0)
		return b->err = ERR_NO_MEMORY;
	enum err err = buf_append(b, text, (size_t)len);
	free(text);
	return err;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	return make_room(b, n) ? NULL : b->data + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
	ASSERT(n <= b->cap - b->len);
	b->len += n;
}

void buf_consume(struct buf *b, size_t n)
{
	ASSERT(n <= b->len);
	b->len -= n;
	if (n > 0 && b->len > 0)
		memmove(b->data, b->data + n, b->len);
}

struct bytes buf_bytes(const struct buf *b)
{
	return (struct bytes){ .data = b->data, .len = b->len };
}

struct str buf_str(const struct buf *b)
{
	return (struct str){ .data = (const char *)b->data, .len = b->len };
}

char *str_dup(struct str s)
{
	char *copy = malloc(s.len + 1);
	if (!copy)
		return NULL;
	if (s.len > 0)
		memcpy(copy, s.data, s.len);
	copy[s.len] = '\0';
	return copy;
}
