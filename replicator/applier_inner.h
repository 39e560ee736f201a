/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the applier share; nobody else includes this.
 *   applier.c         streams, logs, the thread that watches for what is missing
 *   applier_follow.c  histories of other regions: taking back what is not in them, copying one
 */
#pragma once

#include "replicator/applier.h"

#include <pthread.h>

/* One of the regions that ops come from. */
struct source {
	struct applier *applier;
	uint8_t region;
	/* Under the applier's lock: */
	struct stream_consumer *consumer;   /* its thread runs before it is known */
	struct fault stream_trouble;        /* why its stream stands still; err ERR_NONE: it does not */
	struct fault log_trouble;           /* likewise, what its log brought */
};

struct applier {
	struct applier_options options;
	struct source sources[PEERS_MAX];    /* as the peers */
	pthread_t thread;
	bool started;
	struct position seen;        /* the watcher's: position at the last look, */
	uint64_t seen_ns;            /* since when, */
	uint64_t seen_messages;      /* and what streams had brought then */
	uint64_t follow_ns;          /* no history is asked for before */
	uint64_t multi_ns;           /* when it last looked at SCOPE_MULTI, */
	struct log_end multi_seen[LOGS_MAX]; /* and where this region stood then */
	uint32_t multi_seen_count;
	bool by_log;                 /* the last progress came from a log, and streams have been silent since */
	pthread_mutex_t refill_lock; /* one at a time fetches ops of the fleet scope, or takes some back: readers, the watcher, a copy */
	pthread_mutex_t lock;        /* guards the rest; never held while another lock is taken */
	pthread_cond_t wake;
	uint64_t refills;
	uint64_t messages;
	bool multi_due;              /* a stream brought what could not be applied yet */
	struct source *follow_due;   /* it brought an epoch whose history does not have what is here; NULL: nobody did */
	struct chain shown;          /* the newest history that another region showed; of epoch 0: none */
	struct fault aside;          /* what is here beyond the history of the others; err ERR_NONE: nothing */
	bool aside_over;             /* it was taken back, and the others' epoch is not reached yet */
	struct fault room;           /* what follows finds no room here; err ERR_NONE: it does */
	struct fault gap;            /* no log held what follows */
	struct position gap_at;      /* this position */
	struct log_waits waits;      /* of SCOPE_MULTI */
	bool stop;
};

/* What a message is, and what became of it. */
struct taken {
	bool foreign;            /* damaged or not for us, whatever was applied */
	struct position before;  /* that it follows, unless it is foreign */
	bool leaves_out;         /* it begins an epoch whose history does not have what is here */
	bool outside;            /* all of it that was not known here lies outside the history: passed over */
};

/* What is known of a message before it comes; see struct remote_batch. */
struct known {
	uint64_t history_epoch;
	struct position upto;
};

/* --- applier.c --- */
struct committer_state applier_here(struct applier *a);
bool applier_is_stopping(struct applier *a);
/* Can an error not pass by itself? Then it stops its source. */
bool applier_stops(enum err err);
/* One of the regions that a message may be fetched from. */
struct candidate {
	struct source *source;
	struct position position;
	unsigned rank;  /* lower first */
};
/* The regions ahead of pos in the order in which they are asked: `first`, which is surely ahead, then by how far they are. */
uint32_t applier_ahead_of(struct applier *a, struct position pos, const struct source *first,
			  struct candidate out[PEERS_MAX]);
/* Fetches up to a position, unless nothing moves. True when something was applied. */
bool applier_refill(struct applier *a, const struct source *first, struct position upto);
/* Applies a message. known: NULL for what histories that were shown say of it; ret_turn: may be NULL. ERR_GAP: ops before it are
 * missing. */
MUST_USE enum err applier_take(struct applier *a, struct bytes payload, const struct known *known, struct taken *ret_taken,
			       struct op_turn *ret_turn, struct fault *f);

/* --- applier_follow.c --- */
/* What the newest history that was shown says of ops of an epoch that begin with `first`. False: they lie outside it. */
bool applier_ask_shown(struct applier *a, uint64_t epoch, uint64_t first, struct known *ret_known);
/* Does it hold ops outside the history of the others, or is it on its way back to them? */
bool applier_is_aside(struct applier *a);
/* The watcher's: other regions go on in a newer epoch. True when something was taken back or applied. */
bool applier_follow(struct applier *a);
