/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two messages that regions send each other through NATS: a batch of consecutive ops of one
 * epoch of one scope, and the heartbeat. Formats at the top of batch.c. Pure; any thread.
 */
#pragma once

#include "replicator/change.h"

/* Of a whole message. NATS servers take 1 MiB at most unless told otherwise. */
#define BATCH_BYTES_MAX (900u * 1024)
#define BATCH_BODY_BYTES_MAX (1024u * 1024)
#define BATCH_OPS_MAX 1024
#define BATCH_ID_MAX 96

struct op_batch {
	uint64_t fleet; /* hash of the fleet's name */
	uint16_t scope;
	uint64_t epoch;
	uint64_t first;          /* seq of ops[0] */
	uint64_t chain_hash;     /* running hash of the log after the last op */
	const struct bytes *ops; /* wire form */
	uint32_t count;
};

static inline struct position batch_last(const struct op_batch *m)
{
	return (struct position){ .epoch = m->epoch, .seq = m->first + m->count - 1 };
}

/* Appends to out. ERR_TOO_LARGE beyond the bounds above: cut the batch smaller. */
MUST_USE enum err batch_encode(const struct op_batch *m, struct buf *out);
/*
 * Checks everything that can be known without the log. ERR_VERSION: from a newer Isthmus;
 * ERR_CORRUPT. The ops are views of b or of inflated (emptied first), their array is in the arena.
 */
MUST_USE enum err batch_decode(struct bytes b, struct buf *inflated, struct arena *a,
				 struct op_batch *ret_batch, struct fault *reterr_fault);
/*
 * A name for this very batch: scope, epoch, first seq, last seq, running hash. Two batches with one
 * name are the same bytes, also after a region was restored to an older state. Terminated; returns
 * its length.
 */
size_t batch_id(const struct op_batch *m, char out[BATCH_ID_MAX]);

#define HEARTBEAT_BYTES 80

/* Where a region stands in a scope, every 250 ms; what lag and staleness are computed from. */
struct heartbeat {
	uint64_t fleet;
	uint16_t scope;
	uint8_t region;           /* id of the sender */
	struct position position; /* of the last op applied there */
	struct position
		confirmed; /* the greatest that a majority applied, as far as the sender knows */
	uint64_t wall_ms;  /* the sender's wall clock when sending */
	uint64_t hlc;
	uint64_t promised; /* the greatest epoch that the sender has promised: it acknowledges no older one */
};
/* Promised: it acknowledges nothing, as its store is not in the voter list. */
#define HEARTBEAT_BARRED UINT64_MAX

MUST_USE enum err heartbeat_encode(const struct heartbeat *h, struct buf *out);
MUST_USE enum err heartbeat_decode(struct bytes b, struct heartbeat *ret_heartbeat,
				   struct fault *reterr_fault);
