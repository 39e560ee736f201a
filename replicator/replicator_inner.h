/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the replicator share; nobody else includes this.
 *   replicator.c         what the committer asks, the role, start and end
 *   replicator_beat.c    what the stream tells, and heartbeats both ways
 *   replicator_ask.c     what requests ask: who writes, is this region ready, sessions, the log
 *   replicator_switch.c  handing over the role
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

/* --- replicator_beat.c --- */
/* The stream's and the publisher's callbacks. */
void replicator_on_accepted(void *ctx, uint16_t scope, struct position upto);
void replicator_on_closed(void *ctx, const struct fault *why);
void replicator_on_beat(void *ctx, const char *region, uint16_t scope, struct bytes beat);
void replicator_send_beat(struct replicator *r, uint64_t now_ns);
/* The thread of a struct asker. */
void *replicator_asker_main(void *arg);
