/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The permitted macros, and nothing else. None of them hides control flow.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
#define ALIGNED(n) __attribute__((aligned(n)))

/* Runs fn(&variable) when the variable leaves its scope; fn accepts an empty object. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* Gives a pointer away: evaluates to it and leaves NULL behind. */
#define TAKE(p)                           \
	({                                \
		__typeof__(p) *_src = &(p); \
		__typeof__(p) _v = *_src; \
		*_src = NULL;             \
		_v;                       \
	})

#define LEN(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define CONTAINER_OF(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* A view of bytes that somebody else owns; valid as long as the owner says. */
struct bytes {
	const uint8_t *data;
	size_t len;
};

/* A view of text that somebody else owns: UTF-8, not terminated. */
struct str {
	const char *data;
	size_t len;
};

#define STR(literal) ((struct str){ .data = ("" literal), .len = sizeof(literal) - 1 })
/* For printf: "%.*s" takes STR_FMT(s). */
#define STR_FMT(s) (int)(s).len, (s).data
