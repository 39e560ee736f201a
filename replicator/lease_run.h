/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lease of a scope, running: feeds lease.h with time, messages and what became of its actions, and has its actions
 * carried out by functions that it is given. Messages leave by a thread for each region, so that a silent one keeps nobody
 * waiting; what is stored is stored in order by a thread of its own, so that renewals go on while a disk stalls; copying,
 * beginning and handing over are one thread's.
 * Thread: any, but for what may block: that says so.
 */
#pragma once

#include "replicator/commit.h"
#include "replicator/lease.h"

struct lease_run;

struct lease_run_options {
	struct clock *clock;
	uint64_t fleet;                  /* hash of its name, in every frame */
	struct lease_options lease;      /* `record` is read while opening only; `here` is asked for by here() */
	const uint8_t *regions;          /* the others that messages may go to; copied */
	uint32_t region_count;

	/* On threads of the run, each of its kind; may block, with a bound. */
	enum err (*send)(void *ctx, uint8_t region, struct bytes frame, struct fault *reterr_fault);
	enum err (*persist)(void *ctx, struct promise *p, struct fault *reterr_fault);
	enum err (*copy)(void *ctx, uint8_t region, struct position upto, struct fault *reterr_fault);
	enum err (*begin)(void *ctx, uint64_t epoch, struct fault *reterr_fault);
	/* An end of epoch 0: nothing was released, this region goes on. */
	enum err (*hand_over)(void *ctx, uint8_t target, struct position *ret_end, struct fault *reterr_fault);
	/* Must not block; with the run's lock held. */
	void (*here)(void *ctx, struct lease_here *ret_here);
	const char *(*name)(void *ctx, uint8_t region);
	/* The right to write, the voter list, or who speaks for a member is another than it was. Without locks. */
	void (*changed)(void *ctx);
	void *ctx;
};

MUST_USE enum err lease_run_new(const struct lease_run_options *o, struct lease_run **ret_run, struct fault *reterr_fault);
MUST_USE enum err lease_run_start(struct lease_run *r, struct fault *reterr_fault);
/* Ends the threads; waits for what they do. */
void lease_run_stop(struct lease_run *r);
void lease_run_free(struct lease_run *r);

/* A frame of region `from`, as its certificate names it. ERR_BAD_INPUT: of another fleet or region; else as
 * lease_frame_decode(). */
MUST_USE enum err lease_run_receive(struct lease_run *r, uint8_t from, struct bytes frame, struct fault *reterr_fault);

/* May an op of that epoch be committed now? Before its epoch-start is, only that may be: not `begun`. */
bool lease_run_may_write(struct lease_run *r, uint64_t epoch, bool begun);
/* How long ago this region was last known to hold the lease; 0: it does; UINT64_MAX: it never did since the start. */
uint64_t lease_run_ended_ms(struct lease_run *r);
/* See lease_counts(). Does not block. */
bool lease_run_counts(const struct lease_run *r);

/* Hands over to region `target`: waits until it was released, or was not. *ret_end as of options.hand_over. Blocks. */
MUST_USE enum err lease_run_hand_over(struct lease_run *r, uint8_t target, struct position *ret_end,
				      struct fault *reterr_fault);
/* See lease_stand(), lease_hold_back(), lease_force_list() and lease_look(). */
MUST_USE enum err lease_run_stand(struct lease_run *r, uint64_t for_ms, struct fault *reterr_fault);
void lease_run_hold_back(struct lease_run *r, uint64_t for_ms);
MUST_USE enum err lease_run_force_list(struct lease_run *r, const struct voter_set *lost, struct voter_list *ret_list,
				       struct fault *reterr_fault);
void lease_run_look(struct lease_run *r, struct lease_look *ret_look);
/* See lease_propose() and lease_accept_loss(). */
MUST_USE enum err lease_run_propose(struct lease_run *r, const struct voter_list *next, struct fault *reterr_fault);
void lease_run_accept_loss(struct lease_run *r, uint64_t for_ms);

struct lease_run_state {
	uint64_t epoch;           /* that this region holds, or asks for with a majority behind it; 0: none */
	bool begun;
	uint64_t valid_ms;        /* for how long it may still write, if nobody answers any more */
	uint64_t promised;
	struct voter_list voters;
	uint64_t elections;       /* in which this region stood, since the start */
	uint64_t won;
};
void lease_run_state(struct lease_run *r, struct lease_run_state *ret_state);
