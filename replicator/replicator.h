/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replication as one thing: owns the committer, the peers' standing, the publisher and the applier; decides from the
 * persisted history who writes; hands the primary's role over.
 *
 * Who writes: the writer of the newest epoch applied here, until its `release` names another, who begins the next
 * epoch once it has applied all up to the release. The config names only the first primary of a new fleet, and of one that
 * grew from a region that was alone. Each start of the primary begins a new epoch. Whoever begins one has heard a majority
 * since its start, and nobody who is ahead. Whoever released an epoch, or heard of a newer one, writes no more in it.
 * With `failover` the regions elect instead: whoever holds the lease (lease.h) writes, and a release names who is to be elected.
 * What a change of the primary took back is offered to the new one (orphan_keeper.h).
 * Threads: its own for heartbeats and the role, and one for each peer that can be asked. The functions may be called from
 * any but the committer's; those that block say so.
 */
#pragma once

#include "replicator/applier.h"
#include "replicator/commit.h"
#include "replicator/lease_run.h"
#include "replicator/orphan_keeper.h"
#include "replicator/publisher.h"
#include "replicator/session.h"

struct replicator;

struct replicator_options {
	struct clock *clock;
	struct store *store;
	struct catalog *catalog;
	uint64_t log_bytes_max;
	const char *fleet;
	struct peer_config self;             /* id 0 and no others: alone */
	const struct peer_config *others;
	uint32_t other_count;
	uint8_t home;                        /* the region that begins the first epoch of a new fleet, and is preferred among equals where
					      * they elect; 0: none */
	bool failover;                       /* regions elect their primary; the same in all of them */
	struct lease_config lease;           /* of that */
	enum orphan_policy orphans;          /* what this region does about them when it writes */
	struct peer_link *link;              /* NULL: peers cannot be asked */
	struct silence *silence;             /* of drills, borrowed; NULL: there are none */
	/* Makes the stream when the events to give it are known; NULL: no stream. */
	enum err (*make_stream)(void *ctx, const struct stream_events *events, struct stream **ret_stream,
				struct fault *reterr_fault);
	void *ctx;
};

MUST_USE enum err replicator_open(const struct replicator_options *o, struct replicator **ret_replicator,
				  struct fault *reterr_fault);
/* After catalog_start(). Starts the committer and, with peers, everything else. Alone: returns when this region may write.
 * Once; after a failure only replicator_free() follows. */
MUST_USE enum err replicator_start(struct replicator *r, struct fault *reterr_fault);
/* Finishes what is queued, stops the threads. Nobody else calls any more. */
void replicator_stop(struct replicator *r);
void replicator_free(struct replicator *r);

/* What this region has was copied and is not proved yet: it says to others that it has applied nothing, so that no acknowledgement
 * counts on it. Any thread. */
void replicator_set_unproved(struct replicator *r, bool unproved);

struct committer *replicator_committer(struct replicator *r);
struct peers *replicator_peers(struct replicator *r);

/* May a client's write be admitted here? ERR_NOT_PRIMARY: *ret_writer is the region to ask instead (its id, or 0 while
 * nobody writes; *reterr_fault says why). Never blocks. */
MUST_USE enum err replicator_admit(struct replicator *r, uint8_t *ret_writer, struct fault *reterr_fault);
/* Seconds by which an answer from here may be behind: 0 on the valid writer only. */
double replicator_staleness_seconds(struct replicator *r);
/* Do reads see that op: here, or from a region without data in all data regions that it hears? Of one of SCOPE_MULTI such a
 * region knows nothing, and says yes. Any thread. */
bool replicator_reads(struct replicator *r, struct position p);
/* Loaded, applying, within `lag_seconds_max` of the writer; else false and words. */
bool replicator_ready(struct replicator *r, double lag_seconds_max, struct buf *why);

/* A token for what is visible here now, in place of *ret_session. Never blocks. */
void replicator_session(struct replicator *r, struct session *ret_session);
/* Joins what is visible here in SCOPE_MULTI: the newest log of each region. Never blocks. */
void replicator_session_logs(struct replicator *r, struct session *session);
/* ERR_NONE: this region's history has all that the token names, and shows it. When it does not reach so far yet, waits
 * up to wait_ms (0: not at all) and returns ERR_TIMEOUT. ERR_SESSION_ORPHANED at once when it names what did not survive
 * a change of the primary, or lies further back than the history is known. ERR_BAD_REQUEST: a scope that there is not. */
MUST_USE enum err replicator_find_session(struct replicator *r, const struct session *s, uint64_t wait_ms,
					  struct fault *reterr_fault);

/* Hands the primary's role to region `target`, losing nothing: waits until it is near, stops admitting, waits until it has
 * all, writes `release`. ERR_TIMEOUT when the target is not near within timeout_ms (5 s at most), or does not reach the last
 * write within timeout_ms: this region goes on as before; the words say when it released nonetheless. The report is set
 * on failure, too. On the primary only (ERR_NOT_PRIMARY); blocks. */
struct switchover_report {
	uint64_t pause_ms;      /* how long this region admitted no writes */
	struct position end;    /* the release, which ended this region's epoch; {0,0}: it was not released */
};
MUST_USE enum err replicator_switchover(struct replicator *r, uint8_t target, uint64_t timeout_ms,
					struct switchover_report *ret_report, struct fault *reterr_fault);

/* A message about leases of region `from`, as its certificate names it. ERR_BAD_INPUT also where this region has no vote.
 * Any thread. */
MUST_USE enum err replicator_lease_message(struct replicator *r, uint8_t from, struct bytes frame, struct fault *reterr_fault);
/* false: regions do not elect, or this one has no vote. Any thread. */
bool replicator_lease_state(struct replicator *r, struct lease_run_state *ret_state);
/* The fleet's name; and is it that? */
const char *replicator_fleet(const struct replicator *r);
bool replicator_is_fleet(const struct replicator *r, struct str name);

/* --- the voter list; ERR_BAD_INPUT where regions do not elect, or this one has no vote --- */

MUST_USE enum err replicator_voters(struct replicator *r, struct lease_look *ret_look, struct fault *reterr_fault);
/* Appends how a member stands, in words; true: it is fit for what it is there for. */
bool replicator_member_words(struct replicator *r, const struct lease_look *look, const struct lease_member *m,
			     struct buf *out);
enum voters_change { VOTERS_ADD, VOTERS_REMOVE, VOTERS_EXPEL };
/*
 * Puts the region into the voter list, or takes it out; waits until the new list is in effect, whose number *ret_number is.
 * Added is only who was heard lately and is level with the log; removed only who was heard, and nobody by whose leaving the
 * rest would be no majority; expelled also who was not. On the primary only (ERR_NOT_PRIMARY); blocks. ERR_TIMEOUT: it is not in
 * effect yet, and will be when a majority has stored it.
 */
MUST_USE enum err replicator_change_voters(struct replicator *r, enum voters_change change, uint8_t region,
					   uint64_t timeout_ms, uint64_t *ret_number, struct fault *reterr_fault);

/* --- failover by an operator; blocks --- */

struct failover_options {
	uint8_t to;          /* 0: the best placed of those that can be reached */
	bool accept_loss;    /* also of more than lease.max_loss_ms */
	uint64_t timeout_ms;
};
struct failover_report {
	uint8_t primary;
	uint64_t epoch;
	uint8_t before;      /* who wrote last; 0: nobody */
	struct lease_loss loss;
	uint64_t took_ms;
};
/* Has a region stand while there is no primary, and waits until one writes. ERR_BAD_INPUT: there is one, or too much would be
 * lost; ERR_UNAVAILABLE, ERR_TIMEOUT: nobody can become it, in words that say what is missing. */
MUST_USE enum err replicator_failover(struct replicator *r, const struct failover_options *o,
				      struct failover_report *ret_report, struct fault *reterr_fault);
/* The same after the regions of `lost` were left out of the voter list for good (lease_force_list). *ret_list is set, its number
 * above 0, as soon as the list is in place, also when what follows fails. */
MUST_USE enum err replicator_force(struct replicator *r, const struct voter_set *lost, const struct failover_options *o,
				   struct voter_list *ret_list, struct failover_report *ret_report,
				   struct fault *reterr_fault);
/* Another region's order to stand (stand.h), answered: any thread, does not block. */
MUST_USE enum err replicator_stand(struct replicator *r, struct bytes order, struct buf *out, struct fault *reterr_fault);


/* Before this region stops: hands the role that it holds by election to the data region that is furthest, so that nobody has to
 * miss it first. ERR_NOT_PRIMARY: it has none to hand over; otherwise as replicator_switchover(). Blocks. */
MUST_USE enum err replicator_step_down(struct replicator *r, uint64_t timeout_ms, struct fault *reterr_fault);

/* Orphans that a peer offers (orphan_offer.h), and what is answered. As committer_list_orphans(); blocks. */
MUST_USE enum err replicator_orphans(struct replicator *r, struct bytes request, struct buf *out, struct fault *reterr_fault);

/* This region's heartbeat now, HEARTBEAT_BYTES, for a peer that asks. */
MUST_USE enum err replicator_heartbeat(struct replicator *r, struct buf *out);
/* Where it stands in SCOPE_MULTI, likewise: a whole standing (standing.h). */
MUST_USE enum err replicator_standing(struct replicator *r, struct buf *out);
/* Its history, likewise (chain.h). */
MUST_USE enum err replicator_chain(struct replicator *r, struct buf *out);
/* The ops after `after`, as one message, for a peer that asks: see peer_link.log. */
MUST_USE enum err replicator_log(struct replicator *r, uint16_t scope, struct position after, struct buf *out,
				 struct fault *reterr_fault);

struct replicator_state {
	struct committer_state commit;
	struct position confirmed;
	bool alone;
	bool is_writer;
	bool handing_over;
	bool has_stream;
	struct stream_state stream;
	struct publisher_state publisher;
	struct applier_state applier;
	double staleness_seconds;
};
void replicator_state(struct replicator *r, struct replicator_state *ret_state);
/* Logs of SCOPE_MULTI that do not go on here, the longest first. Any thread; does not block. */
uint32_t replicator_waits(struct replicator *r, struct log_waits_told out[LOG_WAITS_MAX]);
/* Is this region's clock off against M others, so that it writes no ops of its own in SCOPE_MULTI? See peers_clock_is_off. */
bool replicator_clock_is_off(struct replicator *r, int64_t *ret_ahead_ms);
