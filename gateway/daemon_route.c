/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part that knows which region answers whom: proxies that are trusted, the operator's policy, and how the regions are.
 */
#include "gateway/daemon_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* --- proxies --- */

enum err daemon_load_proxies(const struct config *c, struct forwarded_nets *ret_nets, struct fault *reterr_fault)
{
	uint32_t count = c->trusted_proxies.count;
	struct forwarded_net *items = calloc(count + 1, sizeof(*items));
	struct fault fault = { 0 };

	if (!items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		const char *text = c->trusted_proxies.items[i];
		enum err err = forwarded_parse_net((struct str){ text, strlen(text) }, &items[i], &fault);
		if (err) {
			free(items);
			return fault_set(reterr_fault, err, "trusted_proxies: %s", fault_text(&fault));
		}
	}
	*ret_nets = (struct forwarded_nets){ items, count };
	return ERR_NONE;
}

/* --- regions --- */

/* Of another region, behind whoever writes. What its heartbeat says it has applied is held against the writer's. */
static double lag_of(struct daemon *d, struct peers *peers, const struct peer_standing *s)
{
	struct committer_state state;
	double lag_s;

	committer_state(d->committer, &state);
	if (s->config->id == state.writer)
		return 0;
	lag_s = peers_lag_of_seconds(peers, state.writer, s->position);
	return lag_s < PEERS_LAG_UNKNOWN_SECONDS ? lag_s : -1;
}

static void look_at_peer(struct daemon *d, const struct region *r, struct router_health *h)
{
	struct peers *peers = replicator_peers(d->replicator);
	struct peer_reach reach = { 0 };

	h->silent_ms = UINT64_MAX;
	h->connected = d->peer_pool && peer_pool_reach(d->peer_pool, r->id, &reach) && reach.open;
	if (reach.rtt_us > 0)
		h->rtt_ms = (double)reach.rtt_us / 1000;
	for (uint32_t i = 0; i < peers_count(peers); i++) {
		struct peer_standing s;
		peers_standing(peers, i, &s);
		if (s.config->id != r->id)
			continue;
		if (s.heard && h->connected)
			h->silent_ms = s.silent_ms;
		if (s.heard && r->data)
			h->lag_s = lag_of(d, peers, &s);
	}
}

static void look_at_self(struct daemon *d, struct router_health *h)
{
	CLEANUP(buf_release) struct buf why = BUF_INIT(512);
	double lag_s = replicator_staleness_seconds(d->replicator);

	h->lag_s = lag_s < PEERS_LAG_UNKNOWN_SECONDS ? lag_s : -1;
	h->draining = atomic_load(&d->draining);
	h->not_ready = !replicator_ready(d->replicator, (double)d->config->replication_lag_ms / 1000, &why);
}

static void look(void *ctx, const struct region *r, struct router_health *ret_health)
{
	struct daemon *d = ctx;

	if (!r->self)
		look_at_peer(d, r, ret_health);
	else if (r->data)
		look_at_self(d, ret_health);
}

/* --- the part --- */

enum err daemon_route_start(struct daemon *d, struct fault *reterr_fault)
{
	const struct router_options o = { .clock = d->clock, .regions = &d->regions, .look = look, .ctx = d };
	struct router_policy *policy;
	enum err err = daemon_load_proxies(d->config, &d->trusted, reterr_fault);

	if (!err)
		err = router_policy_new(d->config, &d->regions, false, &policy, reterr_fault);
	if (err)
		return err;
	err = router_new(&o, policy, &d->router);
	if (err)
		router_policy_free(policy);
	return err;
}

void daemon_route_stop(struct daemon *d)
{
	router_free(d->router);
	d->router = NULL;
	free(d->trusted.items);
	d->trusted = (struct forwarded_nets){ 0 };
}
