/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a region stands in SCOPE_MULTI: which op of each log it has applied last. Sent with the heartbeats (then only the
 * newest log of each region) and answered to who asks (then all). Format at the top of standing.c. Pure; any thread.
 */
#pragma once

#include "replicator/change.h"

#define STANDING_HEAD_BYTES 36
#define STANDING_WAIT_BYTES 17
/* A person is told of each where it waits; its writer needs to hear of some. */
#define STANDING_WAITS_MAX 8
#define STANDING_BYTES_MAX (STANDING_HEAD_BYTES + LOGS_MAX * 16 + 4 + STANDING_WAITS_MAX * STANDING_WAIT_BYTES + 8)

/* A log that does not go on at the sender. */
struct standing_wait {
	uint64_t log;
	uint64_t seq;
	uint8_t kind;      /* enum log_wait_kind, of the sender's version */
};

struct standing {
	uint64_t fleet;
	uint8_t region;    /* id of the sender */
	bool whole;        /* logs that are not named are not there at all */
	uint64_t wall_ms;  /* the sender's wall clock */
	uint64_t hlc;      /* closed: what it writes from now on is stamped above it */
	struct log_end *ends;
	uint32_t count;
	struct standing_wait waits[STANDING_WAITS_MAX];
	uint32_t wait_count;
};

/* Keeps the newest log of each region; returns how many those are. */
uint32_t standing_newest(struct log_end *ends, uint32_t count);
MUST_USE enum err standing_encode(const struct standing *s, struct buf *out);
/* The ends are in the arena. */
MUST_USE enum err standing_decode(struct bytes b, struct arena *a, struct standing *ret_standing,
				  struct fault *reterr_fault);
