/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads for work that uses the processor: searches, decoding, encoding. Bounded: a full pool
 * refuses. The result comes back by loop_post().
 */
#pragma once

#include "base/err.h"

struct pool;

/* Embed it. run() is called on one of the pool's threads. */
struct pool_task {
	void (*run)(struct pool_task *t);
	struct pool_task *next;  /* the pool's */
};

/* threads >= 1; at most waiting_max tasks wait. name is shown by ps -L (15 characters). */
MUST_USE enum err pool_new(const char *name, unsigned threads, size_t waiting_max, struct pool **ret_pool);
/* Finishes what waits, then ends the threads. */
void pool_free(struct pool *p);
/* From any thread. ERR_RATE_LIMITED when too many wait, ERR_UNAVAILABLE while it ends. */
MUST_USE enum err pool_run(struct pool *p, struct pool_task *t);
size_t pool_waiting(struct pool *p);
unsigned pool_threads(const struct pool *p);
/* How long the longest running task has run; 0 when all threads idle. For the watchdog; any thread. */
uint64_t pool_longest_busy_ns(struct pool *p);

/* Runs fn(ctx, i) for i in [0, n): the caller works too and helpers join when they are free, so it never
 * waits for a busy pool. Returns when all n are done. */
void pool_each(struct pool *p, unsigned n, void (*fn)(void *ctx, unsigned i), void *ctx);
