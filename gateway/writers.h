/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collections that every data region writes, as a region without data knows them: by asking data regions, one
 * after the other. It serves only to choose whom a write is sent to first. Whoever gets it knows better: one that is
 * wrong here is refused there as not-primary, and sent on.
 *
 * Of two answers the one of the greater position counts, so that a region that lags takes nothing back; one that
 * nobody has repeated for WRITERS_STALE_MS does not, as its region may have been rebuilt.
 *
 * Answer   u8 version, 1; u64 epoch, u64 seq: the list is at least as new; varint count; names, each with its length
 * Thread: the loop that it was given; writers_has() any.
 */
#pragma once

#include "base/buf.h"
#include "base/loop.h"
#include "replicator/history.h"

#define PEER_PATH_WRITERS "/isthmus/peer/writers"
#define WRITERS_ASK_MS 1000
/* While no answer came at all. */
#define WRITERS_RETRY_MS 100
#define WRITERS_STALE_MS 10000
#define WRITERS_ANSWER_MS_MAX 2000
/* A longer list is not sent: writes go to the primary. */
#define WRITERS_BYTES_MAX ((size_t)4 << 20)

struct catalog;
struct committer;
struct peer_pool;
struct regions;
struct writers;

struct writers_options {
	struct clock *clock;
	struct loop *loop;               /* nobody runs it yet; one of the pool's */
	struct peer_pool *pool;          /* NULL: nobody is asked, for tests */
	const struct regions *regions;   /* all outlive it but the pool, which ends first */
};

MUST_USE enum err writers_new(const struct writers_options *o, struct writers **ret_writers);
/* When nobody runs the loop any more, and the pool is gone. */
void writers_free(struct writers *w);
/* May any data region take writes of it? By name or alias. Any thread. */
bool writers_has(struct writers *w, struct str name);
/* ERR_CORRUPT: nothing changed. Also when it is older than what is known, which is no error. */
MUST_USE enum err writers_take(struct writers *w, struct bytes answer);

/* What a data region answers. */
MUST_USE enum err writers_answer(struct catalog *catalog, struct committer *committer, struct buf *out);
