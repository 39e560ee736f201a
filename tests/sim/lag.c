/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lag is never understated: what was acknowledged longer ago than a region says that its answers may be behind, it has.
 */
#include "base/panic.h"
#include "tests/sim/trace.h"
#include "tests/sim/world.h"

#define WATCH_NS (100 * NS_PER_MS)
#define MOMENTS 4096

/* What had been acknowledged at a moment. */
struct moment {
	uint64_t at_ns;
	struct position position;
};

/* A region sees through the offset of another's clock but for the smallest delay of a heartbeat lately, and the net lets
 * some time pass besides; a clock that drifts is off by a little until the next one. */
static uint64_t tolerance_ns(const struct world *w)
{
	return 2 * net_faults(w->net)->delay_ns_max + 500 * NS_PER_MS;
}

static void check(struct world *w, struct site *s, const struct moment *moments, unsigned count)
{
	uint64_t now_ns = fiber_now_ns();
	struct committer_state state;

	if (!s->boot || s->boot->process.paused_until_ns > fiber_now_ns())
		return;
	struct boot *b = site_enter(s);
	if (!b)
		return;
	double lag_s = replicator_staleness_seconds(b->replicator);

	committer_state(replicator_committer(b->replicator), &state);
	bool dead = b->end.dead;

	site_leave(b);
	if (lag_s >= PEERS_LAG_UNKNOWN_SECONDS || dead)
		return;
	uint64_t lag_ns = (uint64_t)(lag_s * 1e9) + tolerance_ns(w);
	for (unsigned i = count; i > 0; i--) {
		const struct moment *m = &moments[i - 1];

		if (now_ns - m->at_ns <= lag_ns)
			continue;
		/* What was taken back is nothing that anybody lacks. */
		if (position_compare(m->position, state.position) > 0 && oracle_in_history(w->oracle, m->position))
			violation("lag", "%s says that it is %.3f s behind, and has not (%lu,%lu) of %.3f s ago", s->name,
				  lag_s, (unsigned long)m->position.epoch, (unsigned long)m->position.seq,
				  (double)(now_ns - m->at_ns) / 1e9);
		return;
	}
}

static void *watch(void *arg)
{
	struct world *w = arg;
	static struct moment moments[MOMENTS];
	unsigned count = 0;

	while (!w->clients_stop && count < MOMENTS) {
		moments[count++] = (struct moment){ fiber_now_ns(), oracle_promised(w->oracle) };
		for (uint32_t i = 0; i < NET_REGIONS && !w->wall_jumped && !world_has(w, FAULT_NO_LEASES); i++)
			check(w, &w->sites[i], moments, count);
		fiber_sleep_ns(WATCH_NS);
	}
	w->clients_alive--;
	fiber_wake(&w->clients_ended, true);
	return NULL;
}

void lag_watch_start(struct world *w)
{
	w->clients_alive++;
	fiber_detach(fiber_new("lag", NULL, watch, w));
}
