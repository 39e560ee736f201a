/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections to the other regions: on each loop one to each region. Loops use their own; other threads ask through
 * peer_pool_link(), whose calls wait, with a bound. Messages about leases have a connection of their own to each region, so that
 * they wait behind no log and no audit.
 * Thread: as each function says.
 */
#pragma once

#include "gateway/h2_client.h"
#include "replicator/peers.h"

#define PEER_LOG_MS_MAX 10000
#define PEER_STANDING_MS_MAX 500
#define PEER_CHAIN_MS_MAX 2000
#define PEER_AUDIT_MS_MAX 30000
#define PEER_ORPHANS_MS_MAX 10000
#define PEER_SNAPSHOT_MS_MAX 30000
#define PEER_PATH_LOG "/isthmus/peer/log"
#define PEER_PATH_STANDING "/isthmus/peer/standing"
#define PEER_PATH_CHAIN "/isthmus/peer/chain"
#define PEER_PATH_AUDIT "/isthmus/peer/audit"
#define PEER_PATH_LEASE "/isthmus/peer/lease"
#define PEER_PATH_ORPHANS "/isthmus/peer/orphans"
#define PEER_PATH_SNAPSHOT "/isthmus/peer/snapshot"
#define PEER_PATH_STAND "/isthmus/peer/stand"

struct peer_pool;

struct peer_pool_region {
	const char *name;
	uint8_t id;
	const char *address;         /* "HOST:PORT" of its peer listener */
};

struct peer_pool_options {
	struct clock *clock;         /* the loops' */
	struct loop *const *loops;   /* nobody runs them yet */
	uint32_t loop_count;
	struct tls_holder *tls;      /* of a client; borrowed */
	const struct peer_pool_region *regions;   /* the others; copied */
	uint32_t region_count;
	struct silence *silence;     /* of drills: nothing leaves meanwhile; borrowed; NULL: there are none */
};

MUST_USE enum err peer_pool_new(const struct peer_pool_options *o, struct peer_pool **ret_pool,
				struct fault *reterr_fault);
/* Calls of the link that wait end, and later ones fail. Any thread. */
void peer_pool_stop(struct peer_pool *p);
/* After peer_pool_stop(), when nobody runs the loops any more. Ends all exchanges. */
void peer_pool_free(struct peer_pool *p);

/* The connection of this loop, on its thread; NULL: no such region, or none is to be asked now. */
struct h2_client *peer_pool_client(struct peer_pool *p, const struct loop *l, uint8_t region);
/* The way for the replicator; lives as long as the pool. Not on loops. */
struct peer_link *peer_pool_link(struct peer_pool *p);

struct peer_reach {
	bool open;
	uint64_t rtt_us;             /* 0: not measured */
};
/* As it was within the last PEER_REACH_MS; false: no such region. Any thread. */
#define PEER_REACH_MS 250
bool peer_pool_reach(struct peer_pool *p, uint8_t region, struct peer_reach *ret_reach);
