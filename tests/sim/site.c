/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/site.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/panic.h"
#include "tests/sim/trace.h"

const char *const site_names[NET_REGIONS] = { "ams", "fra", "nyc" };

static unsigned alive;

static void hash_report(struct bytes b, uint8_t out[AUDIT_DIGEST_BYTES])
{
	struct hash128 one = hash128(b.data, b.len, 1);
	struct hash128 two = hash128(b.data, b.len, 2);

	memcpy(out, &one, sizeof(one));
	memcpy(out + sizeof(one), &two, sizeof(two));
}

/* --- life --- */

static void open_replicator(struct boot *b, const struct peer_config others[NET_REGIONS - 1])
{
	struct site *s = b->site;
	struct fault f = { 0 };
	struct catalog_options catalog = { .store = b->store };
	struct replicator_options o = {
		.clock = &s->machine.clock,
		.store = b->store,
		.log_bytes_max = s->log_bytes_max,
		.fleet = "sim",
		.self = { .name = s->name, .id = (uint8_t)(s->number + 1), .data = true },
		.others = others,
		.other_count = NET_REGIONS - 1,
		.home = 1,
		.failover = s->failover,
		.lease = LEASE_CONFIG_DEFAULT,
		.link = &b->end.link,
		.make_stream = net_make_stream,
		.ctx = &b->end,
	};

	if (catalog_open(&catalog, &b->catalog, &f) != ERR_NONE)
		violation("start", "the catalog: %s", fault_text(&f));
	o.catalog = b->catalog;
	if (replicator_open(&o, &b->replicator, &f) != ERR_NONE)
		violation("start", "the replicator: %s", fault_text(&f));
	if (catalog_start(b->catalog, &f) != ERR_NONE)
		violation("start", "the catalog: %s", fault_text(&f));
}

static void open_audit(struct boot *b)
{
	struct site *s = b->site;
	struct fault f = { 0 };
	struct audit_options o = {
		.clock = &s->machine.clock,
		.store = b->store,
		.catalog = b->catalog,
		.committer = replicator_committer(b->replicator),
		.peers = replicator_peers(b->replicator),
		.region = s->name,
		.interval_ms = s->audit_ms,
		.hash = hash_report,
	};

	if (audit_new(&o, &b->audit, &f) != ERR_NONE)
		violation("start", "audits: %s", fault_text(&f));
}

static void start(struct boot *b)
{
	struct peer_config others[NET_REGIONS - 1];
	struct fault f = { 0 };
	uint32_t count = 0;

	for (uint32_t i = 0; i < NET_REGIONS; i++)
		if (i != b->site->number)
			others[count++] = (struct peer_config){ .name = site_names[i],
								.id = (uint8_t)(i + 1),
								.data = true };
	open_replicator(b, others);
	open_audit(b);
	if (replicator_start(b->replicator, &f) != ERR_NONE)
		violation("start", "the replicator: %s", fault_text(&f));
	if (audit_start(b->audit) != ERR_NONE)
		violation("start", "no thread for audits");
}

static void stop(struct boot *b)
{
	net_close(&b->end);
	audit_stop(b->audit);
	replicator_stop(b->replicator);
	audit_free(b->audit);
	replicator_free(b->replicator);
	catalog_close(b->catalog);
	b->store->ops->close(b->store);
}

static void *live(void *arg)
{
	struct boot *b = arg;

	disk_faults(b->site->disk)->spared = true;
	start(b);
	if (b->site->boot == b)
		disk_faults(b->site->disk)->spared = false;
	if (!b->end.dead)
		net_serve(&b->end, b->replicator, b->audit);
	b->up = !b->ending;
	trace("up");
	while (!b->ending)
		(void)fiber_wait(&b->changed, FIBER_FOREVER);
	stop(b);
	alive--;
	trace("ended");
	if (b->site->boot == b)
		b->site->boot = NULL;
	fiber_wake(&b->changed, true);
	free(b);
	return NULL;
}

void site_start(struct site *s)
{
	struct boot *b = calloc(1, sizeof(*b));

	ASSERT(b && !s->boot);
	b->site = s;
	b->process = (struct process){ .machine = &s->machine, .name = s->name };
	b->store = disk_open(s->disk);
	net_attach(&b->end, s->net, s->number, &b->process);
	s->boot = b;
	s->boots++;
	alive++;
	b->life = fiber_new("main", &b->process, live, b);
	fiber_detach(b->life);
}

static void end(struct boot *b)
{
	b->up = false;
	b->ending = true;
	fiber_wake(&b->changed, true);
}

void site_stop(struct site *s)
{
	struct boot *b = s->boot;

	end(b);
	while (s->boot == b)
		(void)fiber_wait(&b->changed, FIBER_FOREVER);
}

void site_crash(struct site *s)
{
	struct boot *b = s->boot;

	net_crash(&b->end);
	disk_crash(s->disk);
	s->boot = NULL;
	/* It finds its end at once, whatever held it up. */
	b->process.paused_until_ns = 0;
	end(b);
}

unsigned site_boots_alive(void)
{
	return alive;
}

/* --- looking --- */

struct boot *site_enter(struct site *s)
{
	struct boot *b = s->boot;

	if (!b || !b->up)
		return NULL;
	b->end.visitors++;
	ASSERT(!fiber_process());
	fiber_enter(&b->process);
	return b;
}

void site_leave(struct boot *b)
{
	fiber_enter(NULL);
	b->end.visitors--;
	fiber_wake(&b->end.left, true);
}

struct committer_state site_state(struct site *s)
{
	struct boot *b = site_enter(s);
	struct committer_state state = { 0 };

	if (b) {
		committer_state(replicator_committer(b->replicator), &state);
		site_leave(b);
	}
	return state;
}
