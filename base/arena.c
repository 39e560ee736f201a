/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of one request, cut from blocks that grow with the request.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN 16
#define ARENA_BLOCK_MIN ((size_t)4 << 10)  /* bytes */
#define ARENA_BLOCK_MAX ((size_t)64 << 10) /* bytes */

struct arena_block {
	struct arena_block *next;
	size_t used; /* bytes of data */
	size_t size;
	ALIGNED(ARENA_ALIGN) uint8_t data[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
	*a = (struct arena){ .max = max_bytes };
}

void arena_release(struct arena *a)
{
	for (struct arena_block *b = a->blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	arena_init(a, a->max);
}

/* calloc rather than memset: the pages of large vectors come zeroed from the kernel. */
static struct arena_block *block_new(size_t size)
{
	struct arena_block *b = calloc(1, sizeof(*b) + size);
	if (b)
		b->size = size;
	return b;
}

/* A block with n free bytes. What would waste a good part of a block gets one of its own, put behind the
 * first, whose rest stays in use. */
static struct arena_block *block_for(struct arena *a, size_t n)
{
	struct arena_block *first = a->blocks;

	if (first && n <= first->size - first->used)
		return first;
	bool own = n > ARENA_BLOCK_MAX / 4;
	size_t size = first ? MIN(MAX(first->size * 2, ARENA_BLOCK_MIN), ARENA_BLOCK_MAX)
			    : ARENA_BLOCK_MIN;
	struct arena_block *b = block_new(own ? n : MAX(size, n));
	if (!b)
		return NULL;
	if (own && first) {
		b->next = first->next;
		first->next = b;
	} else {
		b->next = first;
		a->blocks = b;
	}
	return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
	if (n > a->max - a->used || n > SIZE_MAX / 2)
		return NULL;
	size_t rounded = (MAX(n, 1) + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	struct arena_block *b = block_for(a, rounded);
	if (!b)
		return NULL;

	void *p = b->data + b->used;
	b->used += rounded;
	a->used += MIN(rounded, a->max - a->used);
	return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t n;
	if (__builtin_mul_overflow(count, size, &n))
		return NULL;
	return arena_alloc(a, n);
}

struct str arena_str(struct arena *a, struct str s)
{
	if (s.len == SIZE_MAX)
		return (struct str){ 0 };
	char *copy = arena_alloc(a, s.len + 1);
	if (!copy)
		return (struct str){ 0 };
	if (s.len > 0)
		memcpy(copy, s.data, s.len);
	return (struct str){ .data = copy, .len = s.len };
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0)
		return (struct str){ 0 };

	char *text = arena_alloc(a, (size_t)len + 1);
	if (!text)
		return (struct str){ 0 };
	va_start(args, fmt);
	len = vsnprintf(text, (size_t)len + 1, fmt, args);
	va_end(args);
	return len < 0 ? (struct str){ 0 } : (struct str){ .data = text, .len = (size_t)len };
}
