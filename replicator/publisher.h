/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishes the ops that this region wrote, of SCOPE_FLEET and SCOPE_MULTI: op log -> stream, in order, in batches of one epoch. The stream's last message
 * says where to go on after a start, a reconnect or an error; what it lost is published again. Nothing waits for it but
 * writes that asked for the level `stream`.
 * Thread: its own, one.
 */
#pragma once

#include "replicator/peers.h"
#include "replicator/stream.h"

#define PUBLISH_BYTES_TARGET (256u << 10)

struct publisher;

struct publisher_options {
	struct clock *clock;
	struct store *store;
	struct catalog *catalog;
	uint64_t fleet;
	uint8_t region;
	struct position now;      /* where this region stands at the start */
	struct silence *silence;  /* NULL: there are no drills */
};

/* Made before the stream, whose events come here from the beginning. */
MUST_USE enum err publisher_new(const struct publisher_options *o, struct publisher **ret_publisher);
/* The stream must outlive publisher_stop(). */
MUST_USE enum err publisher_start(struct publisher *p, struct stream *stream);
/* Ends the thread. The object stays for events under way: free it once the stream is gone. */
void publisher_stop(struct publisher *p);
void publisher_free(struct publisher *p);

/* From any thread, never blocks: the region stands at `now`; the stream accepted up to `upto`; its window closed. */
void publisher_wake(struct publisher *p, struct position now);
void publisher_accepted(struct publisher *p, struct position upto);
void publisher_closed(struct publisher *p);

struct publisher_state {
	struct position published;   /* handed to the stream */
	struct position accepted;    /* the region's own server has it */
	struct position multi_accepted; /* likewise, in SCOPE_MULTI */
	struct fault trouble;        /* err ERR_NONE: all is well */
};
void publisher_state(struct publisher *p, struct publisher_state *ret_state);

/*
 * The ops after `after` of the op log as one message: up to bytes_target, at least one, all of one epoch; only_region != 0: of
 * epochs that region wrote, others are passed over. Also used to serve a peer. ERR_NOT_FOUND: there are none (yet).
 * ERR_GAP: they were trimmed while they were read. *ret_head says which ops they are, without the ops.
 */
struct log_source {
	struct store *store;
	struct catalog *catalog;
	uint64_t fleet;
};
MUST_USE enum err log_message(const struct log_source *s, uint16_t scope, struct position after, uint8_t only_region,
			      size_t bytes_target, struct buf *out, struct op_batch *ret_head, struct fault *reterr_fault);
