/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What route_decide() is asked, put together: the client's place, the regions as they are at this moment, the operator's
 * policy and the databases, which a reload replaces as a whole.
 * Thread: any.
 */
#pragma once

#include "gateway/region.h"
#include "gateway/route.h"

/* The regions' health is looked at again after it. */
#define ROUTER_LOOK_MS 100

struct clock;
struct config;
struct sockaddr;

/* How a region is. Of this region silence does not count. */
struct router_health {
	uint64_t silent_ms;          /* UINT64_MAX: never heard, or not to be reached */
	double lag_s;                /* below 0: unknown */
	double rtt_ms;               /* the same */
	bool connected;
	bool not_ready;
	bool draining;
};

struct router_options {
	struct clock *clock;
	const struct regions *regions;       /* outlives the router; no rows: this region is alone */
	void (*look)(void *ctx, const struct region *r, struct router_health *ret_health);
	void *ctx;
};

/* What the configuration says; immutable. */
struct router_policy;
/*
 * With strict, MMDB files that are missing or broken are an error. Else they are told in the log and by
 * router_write_status(), and places are unknown until a reload finds better ones.
 */
MUST_USE enum err router_policy_new(const struct config *c, const struct regions *regions, bool strict,
				    struct router_policy **ret_policy, struct fault *reterr_fault);
void router_policy_free(struct router_policy *p);

struct router;
/* Takes the policy. */
MUST_USE enum err router_new(const struct router_options *o, struct router_policy *p, struct router **ret_router);
void router_free(struct router *r);
/* Takes the policy; decisions under way end with the old one. */
void router_swap(struct router *r, struct router_policy *p);

struct router_query {
	enum route_operation operation;
	const struct sockaddr *client;
	struct str collection;       /* data == NULL: none is known */
	uint8_t primary;             /* id; 0: nobody writes */
	bool redirect;
	unsigned hops;
};

/* A decision with all that it points at. */
struct router_answer {
	struct place place;
	struct route_region rows[ROUTE_REGIONS_MAX];
	struct route_table table;
	struct route_decision decision;
};
void router_decide(struct router *r, const struct router_query *q, struct router_answer *ret_answer);
/* The same where all regions are well, as this policy and the configuration have it, for isthmusctl. */
void router_simulate(const struct router_policy *p, const struct regions *regions, const struct router_query *q,
		     struct router_answer *ret_answer);
/* Whether a decision needs the collection's name: some are pinned. */
bool router_wants_collection(struct router *r);

/* As GET /isthmus/route has it: {"client": …, "decision": …, …}. */
void router_write_answer(const struct router_answer *a, const struct sockaddr *client, struct buf *out);
/* Of the databases: {"files": […], "problem": …}. */
void router_write_status(struct router *r, struct buf *out);
/* Sets the gauges of the databases. */
void router_measure(struct router *r);
