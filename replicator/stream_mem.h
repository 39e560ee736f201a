/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport in memory: one broker stands for the nats-servers of all regions and the links
 * between them. Nothing happens but in stream_broker_step(), which does one thing, chosen by a
 * generator with a seed: the same calls give the same history. Callbacks are called by the stepper
 * only. For tests and the simulator.
 *
 * It keeps to what stream.h promises, and with faults switched on to nothing more.
 * Thread: one, whichever; no locks, no clock.
 */
#pragma once

#include "replicator/stream.h"

#define STREAM_MEM_REGIONS_MAX 16
#define STREAM_MEM_MESSAGES_MAX 4096u /* one stream keeps; the oldest go beyond */
#define STREAM_MEM_BEATS_MAX 64u      /* wait for one region; the oldest go beyond */

struct stream_broker;

/* How often each goes wrong, in thousandths. */
struct stream_faults {
	unsigned redeliver; /* a delivery: back to what was acknowledged, in a new generation */
	unsigned duplicate; /* a publish: it is stored twice, as after the duplicate window */
	unsigned lost;      /* a publish: not stored, and the window closes */
	unsigned unknown;   /* a publish: stored, but the window closes instead of accepting it */
	unsigned lose_beat; /* a heartbeat */
	unsigned trim;      /* a step: a stream with anything in it forgets its oldest message */
};

MUST_USE enum err stream_broker_new(uint64_t seed, struct stream_broker **ret_broker);
/* After every stream was freed. */
void stream_broker_free(struct stream_broker *b);
void stream_broker_faults(struct stream_broker *b, const struct stream_faults *f);

/* A region's end. Its stream exists once stream_broker_provision was called. As one daemon of that
 * region: free it and make another to restart it; what the broker stores stays. */
MUST_USE enum err stream_mem_new(struct stream_broker *b, const struct stream_config *config,
				 struct stream **ret_stream, struct fault *reterr_fault);

/* One thing happens; false: nothing can. */
bool stream_broker_step(struct stream_broker *b);
/* Steps until nothing can happen, at most steps_max times; returns how often. */
uint64_t stream_broker_run(struct stream_broker *b, uint64_t steps_max);

/* Makes the stream of a region, if there is none. */
void stream_broker_provision(struct stream_broker *b, const char *region);
/* The region's own server: down it stores, delivers and answers nothing. */
void stream_broker_server(struct stream_broker *b, const char *region, bool up);
/* The link between two regions. */
void stream_broker_link(struct stream_broker *b, const char *region, const char *other, bool up);
/* One way only: what one region sends does not reach the other. */
void stream_broker_cut(struct stream_broker *b, const char *from, const char *to, bool cut);
/* What the stream holds is on disk. */
void stream_broker_sync(struct stream_broker *b, const char *region);
/* Power failure: all since the last sync is gone, and its sequences are given again. Returns how
 * many were lost. */
uint64_t stream_broker_lose_unsynced(struct stream_broker *b, const char *region);
/* The store is gone, and a fresh stream in its place: sequence back to zero. */
void stream_broker_wipe(struct stream_broker *b, const char *region);
/* Only the newest `keep` messages stay. */
void stream_broker_trim(struct stream_broker *b, const char *region, uint64_t keep);
/* First and last sequence; 0 and 0 when it is not provisioned. */
void stream_broker_bounds(struct stream_broker *b, const char *region, uint64_t *ret_first,
			  uint64_t *ret_last);
