/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/world.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "tests/sim/scenario.h"
#include "tests/sim/threads.h"
#include "tests/sim/trace.h"

#define FAULT_NS_MIN (15 * NS_PER_S)
#define FAULT_NS_MORE (30 * NS_PER_S)
/* After the last fault clients go on for a while, and then so long may pass until all regions hold the same. */
#define CALM_NS (5 * NS_PER_S)
#define LEVEL_NS (60 * NS_PER_S)
#define LOOK_NS (50 * NS_PER_MS)
#define AUDIT_MS 7000
#define FAULTS_AT_ONCE 4

/* For what the product logs, which says not of whom. */
static struct world *the_world;

const char *fault_word(enum fault_kind k)
{
	static const char *const words[] = {
#define FAULT(name, word) [FAULT_##name] = (word),
#include "tests/sim/faults.def"
#undef FAULT
	};

	return words[k];
}

/* None in one run of eight; else a few that meet. */
static unsigned draw_faults(struct random *r)
{
	uint64_t mode = random_u64(r) % 16;
	unsigned bits = mode % 2 == 0 ? 1u << FAULT_ELECTIONS : 0;

	if (mode == 0)
		bits |= 1u << FAULT_NO_LEASES;

	if (random_u64(r) % 8 == 0)
		return bits;
	for (uint64_t n = 1 + random_u64(r) % FAULTS_AT_ONCE; n > 0; n--)
		bits |= 1u << random_u64(r) % FAULT_NO_LEASES;
	return bits;
}

static void open_sites(struct world *w)
{
	w->net = net_new(w->seed + 1, site_names);
	w->oracle = oracle_new(w->sites);
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		struct site *s = &w->sites[i];

		*s = (struct site){ .number = i, .name = site_names[i], .net = w->net, .audit_ms = AUDIT_MS };
		s->failover = world_has(w, FAULT_ELECTIONS);
		if (w->scenario)
			s->log_bytes_max = w->scenario->log_bytes_max;
		machine_init(&s->machine, (1 + i) * 1000 * NS_PER_S, WORLD_WALL_MS);
		s->disk = disk_new(i, w->seed + 10 + i, oracle_written, oracle_site(w->oracle, i));
		*disk_faults(s->disk) = (struct disk_faults){ .sync_ns_min = 100000, .sync_ns_max = 3 * NS_PER_MS };
		site_start(s);
	}
}

/* Waits until nothing more is to come. */
static void wait_until_level(struct world *w)
{
	uint64_t until_ns = fiber_now_ns() + LEVEL_NS;

	while (!oracle_level(w->oracle) || site_boots_alive() != NET_REGIONS) {
		if (fiber_now_ns() >= until_ns) {
			for (uint32_t i = 0; i < NET_REGIONS; i++) {
				struct position p = oracle_position(w->oracle, i);
				trace("%s is at (%lu,%lu)", site_names[i], (unsigned long)p.epoch,
				      (unsigned long)p.seq);
			}
			violation("progress", "%d s after the last fault the regions do not hold the same",
				  (int)(LEVEL_NS / NS_PER_S));
		}
		fiber_sleep_ns(LOOK_NS);
	}
}

static void close_sites(struct world *w)
{
	for (uint32_t i = 0; i < NET_REGIONS; i++)
		site_stop(&w->sites[i]);
	while (site_boots_alive() > 0)
		fiber_sleep_ns(LOOK_NS);
	net_stop(w->net);
	for (uint32_t i = 0; i < NET_REGIONS; i++)
		disk_free(w->sites[i].disk);
	net_free(w->net);
	oracle_free(w->oracle);
}

/* What the product must not say when nothing of the kind was done to it. */
static void check_log(const char *words)
{
	static const struct {
		const char *begin;
		const char *rule;
		unsigned faults; /* with which it may */
	} alarms[] = {
		/* A disk that is put back while an audit looks at it differs from itself. */
		{ "an audit found differences", "audit", 1u << FAULT_DAMAGE | 1u << FAULT_ROLLBACK },
		{ "applying stopped", "fork", 1u << FAULT_BROKEN_DISK },
		{ "missing ops are in no log", "gap", 0 },
	};

	for (size_t i = 0; i < LEN(alarms); i++)
		if (strncmp(words, alarms[i].begin, strlen(alarms[i].begin)) == 0 &&
		    (alarms[i].faults & the_world->alarms) == 0)
			violation(alarms[i].rule, "%s", words);
}

/* Marks of audits move the position: no more of them. */
static void restart_without_audits(struct world *w)
{
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		struct site *s = &w->sites[i];

		s->audit_ms = 0;
		if (s->boot)
			site_stop(s);
		site_start(s);
	}
}

/* What goes wrong, with clients or without. */
static void live(struct world *w)
{
	const struct scenario *s = w->scenario;

	if (!s || s->clients)
		clients_start(w);
	lag_watch_start(w);
	if (s) {
		scenario_run(w);
		chaos_end(w);
	} else {
		chaos_run(w);
	}
	fiber_sleep_ns(CALM_NS);
	w->clients_stop = true;
	while (w->clients_alive > 0)
		(void)fiber_wait(&w->clients_ended, FIBER_FOREVER);
}

static void *world_main(void *arg)
{
	/* Most worlds are quiet, as faults show there as well, and so more of them can be run. */
	static const uint64_t pauses_ms[] = { 200, 500, 1500, 1500 };
	struct run_result *result = arg;
	struct world *w = calloc(1, sizeof(*w));

	ASSERT(w);
	w->seed = result->seed;
	w->scenario = result->scenario;
	w->faults = result->faults;
	w->alarms = w->scenario ? w->scenario->alarms : w->faults;
	if (w->scenario && w->scenario->elections)
		w->faults |= 1u << FAULT_ELECTIONS;
	w->random = (struct random){ w->seed };
	w->fault_ns = FAULT_NS_MIN + random_u64(&w->random) % FAULT_NS_MORE;
	w->pause_ns_max = pauses_ms[random_u64(&w->random) % LEN(pauses_ms)] * NS_PER_MS;
	w->next_value = 1;
	the_world = w;
	threads_leases_hold = world_has(w, FAULT_NO_LEASES);
	log_told = check_log;
	open_sites(w);
	clients_prepare(w);
	trace("prepared");
	live(w);
	restart_without_audits(w);
	fiber_sleep_ns(CALM_NS);
	wait_until_level(w);
	oracle_conclude(w->oracle);
	result->digest = oracle_digest(w->oracle);
	result->ops = oracle_ops(w->oracle);
	close_sites(w);
	result->writes = w->writes;
	result->acknowledged = w->acknowledged;
	result->reads = w->reads;
	result->restarts = w->restarts;
	result->switchovers = w->switchovers;
	free(w);
	return NULL;
}

unsigned world_faults(uint64_t seed, unsigned asked)
{
	struct random r = { seed ^ UINT64_C(0x51ed) };

	return asked == UINT_MAX ? draw_faults(&r) : asked;
}

void world_run(struct run_result *r)
{
	/* Other seeds, other places at which threads give way to one another. */
	static const unsigned preempts[] = { 0, 64, 16, 4 };
	struct random random = { r->seed ^ UINT64_C(0x97ee) };

	threads_seed(r->seed);
	fibers_begin(r->seed, preempts[random_u64(&random) % LEN(preempts)]);
	fiber_detach(fiber_new("world", NULL, world_main, r));
	if (!fibers_run())
		violation("progress", "%s", fibers_trouble());
	r->trace_hash = trace_hash();
	r->virtual_ns = fiber_now_ns();
	r->switches = fiber_switches();
}
