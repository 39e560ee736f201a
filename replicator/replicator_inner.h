/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the replicator share; nobody else includes this.
 *   replicator.c         what the committer asks, the role, start and end
 *   replicator_beat.c    what the stream tells, and heartbeats both ways
 *   replicator_ask.c     what requests ask: who writes, is this region ready, sessions, the log
 *   replicator_switch.c  handing over the role
 *   replicator_lease.c   the lease of the fleet scope, where regions elect their primary
 *   replicator_voters.c  who counts, and changes of the voter list
 *   replicator_failover.c  what operators do when there is no primary
 */
#pragma once

#include "replicator/replicator.h"

#include <pthread.h>
#include <stdatomic.h>

#define NS_PER_MS UINT64_C(1000000)

/* Who asks one peer; a silent one must not keep the others waiting. */
struct asker {
	struct replicator *replicator;
	uint32_t peer;
	pthread_t thread;
	bool started;
};

/* Where regions elect their primary. */
struct replicator_lease {
	struct lease_run *run;               /* NULL: they do not, or this one has no vote */
	atomic_uint_fast64_t epoch_seen;     /* the newest in the logs, orphans included */
	atomic_uint_fast64_t promised;       /* the newest epoch that this region promised, */
	atomic_uint_fast64_t promised_ns;    /* and just before; 0: before this start */
	uint64_t switch_timeout_ms;          /* of the switchover under way */
	/* Under the run's lock */
	uint64_t turns;                      /* of the committer, at the last look, */
	uint64_t turned_ns;                  /* and since when */
	/* The thread of heartbeats: when it looked last */
	uint64_t oldest_ns;
	uint64_t voters_ns;                  /* likewise, who speaks for a member with another store */
	struct position oldest;              /* under the replicator's lock: the log holds all after it */
};

struct replicator {
	struct replicator_options options;
	bool alone;
	uint64_t fleet;
	/* Made before any thread that uses them, freed after all of them */
	struct committer *committer;
	struct peers *peers;
	/* Likewise, but replicator_start() makes them while others may ask already */
	struct stream *_Atomic stream;
	struct publisher *_Atomic publisher;
	struct applier *_Atomic applier;

	atomic_bool unproved;         /* see replicator_set_unproved */
	atomic_uint_fast64_t news;    /* moves with all that an acknowledgement may depend on */
	/* The committer's thread: what follows from `news` */
	uint64_t known_news;
	uint64_t known_epoch;
	struct position known_confirmed;
	struct position known_accepted;
	struct position known_multi_accepted;

	/* The thread of heartbeats and of the role */
	pthread_t thread;
	bool started;
	uint64_t beat_ns;             /* when it told last */
	uint64_t role_ns;             /* no further try to begin an epoch before */

	struct asker askers[PEERS_MAX];
	struct replicator_lease lease;
	struct orphan_keeper *keeper; /* of a region that holds data and is not alone; else NULL */

	pthread_mutex_t lock;         /* guards the rest; never held while another lock is taken */
	pthread_cond_t wake;          /* for the thread above alone */
	pthread_cond_t changed;       /* for all others: stop, beats */
	bool stop;
	bool switching;               /* a switchover is under way */
	bool handing_over;            /* and admits no writes */
	bool moved;                   /* the position changed since the last heartbeat */
	bool eager;                   /* it is this region's turn to write, once others were heard */
	bool role_due;                /* and they were */
	uint64_t beats;               /* that came */
	uint32_t waits_told[PEERS_MAX]; /* of logs of this region, kinds that a peer said to wait for */
};

/* What is confirmed, as far as a region knows that stands there. */
struct position replicator_confirmed(struct replicator *r, const struct committer_state *s);
/* May this region write, by what it knows of itself? */
bool replicator_is_writer(struct replicator *r, const struct committer_state *s);
bool replicator_is_handing_over(struct replicator *r);
/* Who writes now: this region's own id, another's, or 0. */
uint8_t replicator_writer(void *ctx);

/* --- replicator_ask.c --- */
/* What the oldest op of the log follows: from there on the log holds all. */
MUST_USE enum err replicator_oldest(struct replicator *r, struct position *ret_oldest, struct fault *reterr_fault);

/* --- replicator_switch.c --- */
/* Waits until the target has applied `upto`: ERR_TIMEOUT, ERR_UNAVAILABLE when this region stops. */
MUST_USE enum err replicator_wait_for_target(struct replicator *r, uint8_t target, struct position upto, uint64_t timeout_ms);
/* Nothing is admitted any more: waits until the target has all, writes the release. *ret_end: epoch 0 when it was not written. */
MUST_USE enum err replicator_release_to(struct replicator *r, uint8_t target, uint64_t timeout_ms, struct position *ret_end,
					struct fault *reterr_fault);

/* --- replicator_lease.c --- */
/* ERR_NONE also where there is none. */
MUST_USE enum err replicator_lease_open(struct replicator *r, struct fault *reterr_fault);
bool replicator_has_lease(const struct replicator *r);
/* Asked by the committer in every transaction and after its sync. */
MUST_USE enum err replicator_lease_may_write(struct replicator *r, uint64_t epoch, struct fault *reterr_fault);
/* On the thread of heartbeats: what is not looked at for each message. */
void replicator_lease_look(struct replicator *r, uint64_t now_ns);
/* On the committer's thread: an epoch is in the log. */
void replicator_lease_saw(struct replicator *r, uint64_t epoch);
/* Since when another region may write in an epoch that this one, whose newest is `epoch`, does not have; 0: it is not. */
double replicator_lease_unknown_seconds(struct replicator *r, uint64_t epoch);

/* --- replicator_voters.c --- */
/* Tells the peers who counts. */
void replicator_voters_count(struct replicator *r);
/* On the thread of heartbeats: a region whose store was replaced is taken out and put in again (protocol rule 9). */
void replicator_voters_look(struct replicator *r, uint64_t now_ns);
/* This region's acknowledgements count for nothing: its store is in no voter list. */
bool replicator_is_barred(const struct replicator *r);
const char *replicator_name(const struct replicator *r, uint8_t region);
/* Appends why this region is outside the voter list. */
void replicator_voters_why_barred(struct replicator *r, struct buf *why);
/* Waits for a moment; false: this region stops. */
bool replicator_pause(struct replicator *r, uint64_t ms);

/* --- replicator_beat.c --- */
/* The stream's and the publisher's callbacks. */
void replicator_on_accepted(void *ctx, uint16_t scope, struct position upto);
void replicator_on_closed(void *ctx, const struct fault *why);
void replicator_on_beat(void *ctx, const char *region, uint16_t scope, struct bytes beat);
void replicator_send_beat(struct replicator *r, uint64_t now_ns);
/* The thread of a struct asker. */
void *replicator_asker_main(void *arg);
