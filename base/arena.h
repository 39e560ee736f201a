/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of one request: allocated bit by bit, freed at once. Bounded.
 * Thread: whoever holds it; handed on as a whole with the request.
 */
#pragma once

#include "base/err.h"

struct arena_block;
struct arena {
	struct arena_block *blocks;
	size_t used;  /* bytes handed out */
	size_t max;   /* bytes; allocation beyond it fails */
};

void arena_init(struct arena *a, size_t max_bytes);
void arena_release(struct arena *a);
/* Zeroed, aligned to 16 bytes; NULL when the bound or memory is reached. n == 0 gives a valid pointer. */
MUST_USE void *arena_alloc(struct arena *a, size_t n);
/* The same for count items of size bytes each; NULL also on overflow. */
MUST_USE void *arena_array(struct arena *a, size_t count, size_t size);
/* A terminated copy; data == NULL when memory ran out. */
MUST_USE struct str arena_str(struct arena *a, struct str s);
MUST_USE struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
