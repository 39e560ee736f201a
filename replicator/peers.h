/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other regions of the fleet as replication sees them: where each stands, by its heartbeats, and a way to ask
 * one for what its log holds. Lag, staleness and confirmation are computed when they are read, so a silent link shows as
 * growing lag.
 * Thread: any; one lock.
 */
#pragma once

#include <stdbool.h>

#include "base/clock.h"
#include "replicator/ack.h"
#include "replicator/batch.h"
#include "replicator/standing.h"
#include "replicator/stream.h"

#define PEERS_MAX 31
#define HEARTBEAT_MS 250
#define STREAM_NAME_TEXT (STREAM_NAME_MAX + 1)

/* The way to another region; given from above (HTTP/2 with mutual TLS), or by a test. */
struct peer_link {
	/*
	 * The ops that follow `after` in that region's log, as one message (replicator/message.h), appended to out.
	 * ERR_NOT_FOUND: it has none. ERR_GAP: its log no longer reaches back so far. ERR_UNAVAILABLE: cannot be
	 * asked. Blocks; not for loops or the committer.
	 */
	enum err (*log)(struct peer_link *l, uint8_t region, uint16_t scope, struct position after, struct buf *out,
			struct fault *reterr_fault);
	/* Its heartbeat, asked for: HEARTBEAT_BYTES appended to out; of SCOPE_MULTI a whole standing (standing.h). Blocks. */
	enum err (*standing)(struct peer_link *l, uint8_t region, uint16_t scope, struct buf *out,
			     struct fault *reterr_fault);
	/* Its history (chain.h), at most CHAIN_BYTES_MAX appended to out. NULL: regions of this link cannot be asked. Blocks. */
	enum err (*chain)(struct peer_link *l, uint8_t region, struct buf *out, struct fault *reterr_fault);
	/* An audit's question, answered by that region's audit_answer(); both bounded (audit_message.h). NULL: regions of this
	 * link cannot be asked. Blocks, for half a minute at most. */
	enum err (*audit)(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out,
			  struct fault *reterr_fault);
	/* Gives it a message about leases (lease_message.h), by a connection that nothing else uses. NULL as above. Blocks, for
	 * LEASE_SEND_MS_MAX at most. */
	enum err (*lease)(struct peer_link *l, uint8_t region, struct bytes frame, struct fault *reterr_fault);
	/* Offers it orphans, answered by that region's replicator_orphans(); both bounded (orphan_offer.h). NULL as above. Blocks, for
	 * ten seconds at most. */
	enum err (*orphans)(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out,
			    struct fault *reterr_fault);
	/* A question about its state, answered by that region's snapshot_answer(); both bounded (snapshot_message.h). NULL: as
	 * above. Blocks, likewise. */
	enum err (*snapshot)(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out,
			     struct fault *reterr_fault);
	/* Orders it to stand for primary (stand.h); its state is appended to out. NULL as above. Blocks, for STAND_MS_MAX at most. */
	enum err (*stand)(struct peer_link *l, uint8_t region, struct bytes order, struct buf *out,
			  struct fault *reterr_fault);
};
#define STAND_MS_MAX 1000
#define LEASE_SEND_MS_MAX 1000

struct peer_config {
	const char *name;
	uint8_t id;       /* 1 to 255 */
	bool data;        /* holds data, and votes */
	bool witness;     /* holds none, and votes nonetheless */
};

struct peers;

struct peers_options {
	struct clock *clock;
	uint64_t fleet;               /* hash of the fleet's name */
	struct peer_config self;
	const struct peer_config *others;   /* copied */
	uint32_t other_count;
	struct peer_link *link;       /* borrowed; NULL when alone */
};

MUST_USE enum err peers_new(const struct peers_options *o, struct peers **ret_peers);
void peers_free(struct peers *p);
uint32_t peers_count(const struct peers *p);
const struct peer_config *peers_config(const struct peers *p, uint32_t i);
const struct peer_config *peers_self(const struct peers *p);
const struct peer_config *peers_by_id(const struct peers *p, uint8_t id);
struct peer_link *peers_link(const struct peers *p);
uint64_t peers_fleet(const struct peers *p);
/* V and M = V/2 + 1. */
uint32_t peers_voters(const struct peers *p);
uint32_t peers_majority(const struct peers *p);
/* The voter list in effect, in place of the configuration: its M, and its data regions that speak with the store that it names.
 * One with a lower number than the last is nothing. Any thread. */
struct peers_voters {
	uint64_t number;
	uint32_t majority;
	struct region_set data;
};
void peers_set_voters(struct peers *p, const struct peers_voters *v);
/* Those data regions; none: there is no list. */
struct region_set peers_members(struct peers *p);

/* A heartbeat came; of another fleet, an unknown region or older than the last: false, nothing happens. */
bool peers_beat(struct peers *p, const struct heartbeat *h);
/* This region sends its own and stands there. */
void peers_own_beat(struct peers *p, struct position here);

struct peer_standing {
	const struct peer_config *config;
	bool heard;
	struct position position;
	struct position confirmed;
	uint64_t promised;            /* the greatest epoch that it said to have promised */
	uint64_t silent_ms;           /* since the last heartbeat; UINT64_MAX unheard */
	int64_t clock_offset_ms;      /* its wall clock minus ours, by the smallest delay seen lately; 0 unheard */
};
void peers_standing(struct peers *p, uint32_t i, struct peer_standing *ret_standing);

/*
 * Seconds since that region, then the writer of the epoch that it stands in, sent the newest heartbeat up to whose position
 * this region, which stands at `here`, has applied all. What others say of the writer's log does not count. Of the
 * sender's clock and the time of arrival the one that makes it greater counts; a sender whose clock runs ahead is seen
 * through by the offset above, so that only the smallest delay of the link lately is left out. PEERS_LAG_UNKNOWN_SECONDS
 * when there was none.
 */
#define PEERS_LAG_UNKNOWN_SECONDS 1e9
double peers_lag_seconds(struct peers *p, uint8_t region, struct position here);
/* The same of another region, which stands at `there`, behind the writer, which may be this region: as far as the heartbeats that
 * came here tell, or were sent, so that it is greater by what they were apart. Ours is not changed by it. */
double peers_lag_of_seconds(struct peers *p, uint8_t writer, struct position there);

/* The greatest position of `epoch` that M data voters, this one at `here` included, have applied; {0,0}: none. Ops of
 * older epochs count through it once its epoch-start does (protocol: figure 8 of Raft). Regions that have promised a newer epoch than
 * they stand in do not count; for this one, whether it has is the caller's to know, who gives no position then. Nor do regions outside the voter list, or barred
 * (HEARTBEAT_BARRED). */
struct position peers_confirmed(struct peers *p, struct position here, uint64_t epoch);
/* The data regions that have surely applied pos, an op of this region's history; this one at `here` included. One in a third
 * epoch, neither that of pos nor ours, is not counted: its history may be another; nor one that promised a newer epoch, as above. */
struct region_set peers_applied(struct peers *p, struct position here, struct position pos);

/* --- clocks --- */

/* A peer's clock minus ours, from a question and its answer: right but for error_ms, half of the time between the two. The
 * offset above only bounds it from below, as nobody knows how long a heartbeat was on its way. */
struct clock_sample {
	int64_t offset_ms;
	uint64_t error_ms;
};
void peers_clock_sample(struct peers *p, uint32_t i, const struct clock_sample *s);
/* Is this region's clock surely off by limit_ms or more, on the same side of M other data regions? Then *ret_ahead_ms is by how
 * much, negative when it is behind; else 0. Never where there are fewer than M others: nobody can say whose clock it is. */
bool peers_clock_is_off(struct peers *p, uint64_t limit_ms, int64_t *ret_ahead_ms);

/* --- SCOPE_MULTI --- */

/* Where a peer stands, by log; of another fleet, an unknown region or older than the last: false. */
bool peers_stand(struct peers *p, const struct standing *s);
/* What is known of peer i's logs. */
uint32_t peers_ends(struct peers *p, uint32_t i, struct log_end out[LOGS_MAX]);
/* How long ago peer i told of all of its logs; UINT64_MAX: it never did. */
uint64_t peers_ends_age_ms(struct peers *p, uint32_t i);
/* Logs of this region that do not go on at peer i, as it says. */
uint32_t peers_waits(struct peers *p, uint32_t i, struct standing_wait out[STANDING_WAITS_MAX]);
/* The data regions that have that op, this one at `here` included. */
struct region_set peers_holders(struct peers *p, struct log_end end, uint64_t here);
/* Have all data regions, by what they said lately, every log of that region up to end's, equal to ours? floor: the newest that was
 * forgotten here, or 0. */
bool peers_may_forget(struct peers *p, struct log_end end, uint64_t floor);
/* The greatest seq of the log that M data regions have, this one at `here` included. */
uint64_t peers_log_floor(struct peers *p, uint64_t log, uint64_t here);

/* The newest epoch that a data region said it stands in, one of the voter list where there is one; 0: none was heard. */
uint64_t peers_newest_epoch(struct peers *p);
