/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the streams and durables that a fleet needs, or proves that they are as they have to be.
 * Idempotent; every configuration is read back, as a server ignores silently what it does not know.
 * For `isthmusctl provision`, with an identity that may make streams; the daemon's needs not.
 * Thread: any one; waits for the network.
 */
#pragma once

#include "replicator/stream.h"

#define PROVISION_REGIONS_MAX (STREAM_PEERS_MAX + 1)

struct provision_region {
	const char *region;
	const char *domain; /* of its nats-server, or "" */
};

struct provision_plan {
	const struct provision_region *regions; /* all of the fleet */
	uint32_t region_count;
	uint64_t max_bytes;   /* of each stream: the oldest messages go beyond */
	uint64_t max_age_ms;  /* likewise; 0: no limit */
	uint64_t ack_wait_ms; /* 0: the default */
	uint32_t replicas;    /* servers of its region that keep a stream: 1, 3 or 5; 0: 1 */
	/* NULL, or what precedes the region in the servers' tags ("region:"): where a stretched
	 * cluster places streams */
	const char *tag_prefix;
};

struct provision_report {
	void *ctx;
	/* One line for each thing made, changed or found right; text until the return. */
	void (*say)(void *ctx, const char *text);
	uint32_t made, changed, kept; /* counted */
};

/*
 * Names differ, domains differ (all or none), sizes make sense. Pure. ERR_CONFIG with words.
 */
MUST_USE enum err provision_check(const struct provision_plan *p, struct fault *reterr_fault);
/*
 * The stream of one region and a durable on it for each other region. Its server must be reachable
 * from s. ERR_CONFIG: something is there that contradicts the plan and cannot be changed in place;
 * ERR_NO_SPACE.
 */
MUST_USE enum err provision_stream(struct stream *s, const struct provision_plan *p,
				   uint32_t region, struct provision_report *report,
				   struct fault *reterr_fault);
