/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable run of bytes. It cannot be made without its maximum, and never grows beyond it.
 * The error is sticky: after the first failed append nothing more is added and buf_err() keeps
 * saying why, so a writer may append ten things and test once.
 * Thread: whoever holds it.
 */
#pragma once

#include "base/err.h"

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max;    /* bytes */
	enum err err;  /* ERR_TOO_LARGE or ERR_NO_MEMORY once an append failed */
};

#define BUF_INIT(max_bytes) ((struct buf){ .max = (max_bytes) })

void buf_init(struct buf *b, size_t max_bytes);
void buf_release(struct buf *b);
/* Empties it and forgets the error; keeps the memory. */
void buf_reset(struct buf *b);
enum err buf_err(const struct buf *b);

enum err buf_append(struct buf *b, const void *data, size_t len);
enum err buf_append_str(struct buf *b, struct str s);
enum err buf_append_cstr(struct buf *b, const char *s);
enum err buf_append_byte(struct buf *b, uint8_t byte);
enum err buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Room for n more bytes, to be written by the caller; NULL when there is none. buf_commit says how many were. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);

/* A terminated copy on the heap; NULL when there is no memory. */
MUST_USE char *str_dup(struct str s);

struct bytes buf_bytes(const struct buf *b);
struct str buf_str(const struct buf *b);
