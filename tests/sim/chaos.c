/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults, one after the other, at moments drawn from the seed; each that lasts ends by itself. At the end all is whole again:
 * what must hold afterwards is the oracle's.
 */
#include <stdlib.h>

#include "base/panic.h"
#include "tests/sim/step.h"
#include "tests/sim/trace.h"
#include "tests/sim/world.h"

#define PAUSE_NS_MIN (200 * NS_PER_MS)
#define PAUSE_NS_MAX (3 * NS_PER_S)
#define DOWN_NS_MAX (4 * NS_PER_S)
#define FAULT_NS_MAX (6 * NS_PER_S)
#define SKEW_MS_MAX 400
#define JUMP_MS_MAX 3000
#define DRIFT_PPM_MAX 2000
#define SWITCH_MS 5000
#define AUDIT_ASK_MS 20000
#define AUDITS_MAX 10

static uint64_t below(struct world *w, uint64_t n)
{
	return random_u64(&w->random) % n;
}

static uint64_t some_time(struct world *w, uint64_t max_ns)
{
	return NS_PER_MS + below(w, max_ns);
}

static struct site *some_site(struct world *w)
{
	return &w->sites[below(w, NET_REGIONS)];
}

/* --- processes --- */

/* Up, and with something to lose. */
static bool is_up(const struct site *s)
{
	return s->boot && s->boot->up;
}

static void start(struct world *w, struct site *s)
{
	w->restarts++;
	trace("starts %s", s->name);
	site_start(s);
}

static void down_for_a_while(struct world *w)
{
	fiber_sleep_ns(some_time(w, DOWN_NS_MAX));
}

static void do_crash(struct world *w)
{
	struct site *s = some_site(w);

	if (!is_up(s))
		return;
	trace("crashes %s", s->name);
	site_crash(s);
	down_for_a_while(w);
	start(w, s);
}

static void do_restart(struct world *w)
{
	struct site *s = some_site(w);

	if (!is_up(s))
		return;
	trace("stops %s", s->name);
	site_stop(s);
	down_for_a_while(w);
	start(w, s);
}

static void do_pause(struct world *w)
{
	struct site *s = some_site(w);

	if (!is_up(s))
		return;
	uint64_t ns = some_time(w, FAULT_NS_MAX);
	trace("pauses %s for %.3f s", s->name, (double)ns / 1e9);
	s->boot->process.paused_until_ns = fiber_now_ns() + ns;
	fiber_sleep_ns(below(w, ns));
}

/* As a hypervisor does: the machine sees nothing of the time, until somebody sets its clock. */
static void do_suspend(struct world *w)
{
	struct site *s = some_site(w);
	struct machine *m = &s->machine;

	if (!is_up(s) || s->boot->process.paused_until_ns > fiber_now_ns())
		return;
	uint64_t ns = some_time(w, FAULT_NS_MAX);
	uint64_t mono_ns = clock_mono_ns(&m->clock);
	bool corrected = below(w, 2) == 0;
	const struct boot *suspended = s->boot;
	unsigned boots = s->boots;

	trace("suspends %s for %.3f s%s", s->name, (double)ns / 1e9, corrected ? ", its clock is set then" : "");
	w->wall_jumped = true;
	s->boot->process.paused_until_ns = fiber_now_ns() + ns;
	/* Its fibers come a moment later than this one. */
	fiber_sleep_ns(ns - 1);
	/* One that crashed meanwhile is not suspended any more. */
	if (s->boot != suspended || s->boots != boots)
		return;
	machine_set(m, mono_ns);
	if (corrected)
		m->wall_ms += ns / NS_PER_MS;
}

/* --- disks --- */

static uint8_t writer_of(struct world *w)
{
	uint64_t epoch = 0;

	for (uint32_t i = 0; i < NET_REGIONS; i++)
		epoch = MAX(epoch, oracle_position(w->oracle, i).epoch);
	return (uint8_t)epoch;
}

/* Does every region know every other's store as a voter's? Who lost two of three disks at once has no majority left. */
static bool all_are_voters(struct world *w)
{
	struct committer_state stores[NET_REGIONS];

	for (uint32_t i = 0; i < NET_REGIONS; i++)
		stores[i] = site_state(&w->sites[i]);
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		struct boot *b = site_enter(&w->sites[i]);
		struct lease_run_state s = { 0 };
		bool known = b && replicator_lease_state(b->replicator, &s) && s.voters.count == NET_REGIONS;

		if (b)
			site_leave(b);
		for (uint32_t k = 0; k < NET_REGIONS && known; k++)
			known = voters_find_store(&s.voters, (uint8_t)(k + 1), stores[k].store_id) != NULL && s.voters.number > 0;
		if (!known)
			return false;
	}
	return true;
}

static bool may_lose(struct world *w, const struct site *s)
{
	if (!is_up(s) || !oracle_may_lose(w->oracle, s->number))
		return false;
	bool may = s->failover ? all_are_voters(w) : writer_of(w) != s->number + 1;

	/* Asking takes locks, and another fault may have ended it meanwhile. */
	return may && is_up(s);
}

/* Nothing but what was confirmed is promised to survive a lost disk. Where nobody elects there is no way back of a lost primary. */
static void do_wipe(struct world *w)
{
	struct site *s = some_site(w);

	if (!may_lose(w, s))
		return;
	trace("wipes %s", s->name);
	oracle_excuse(w->oracle, s->number);
	w->losses++;
	site_crash(s);
	disk_wipe(s->disk);
	oracle_replaced(w->oracle, s->number);
	down_for_a_while(w);
	start(w, s);
}

/* Where nobody elects, not of the primary: it might begin another epoch of a number that it has given before, or go on without
 * what others have. What keeps it from that are votes and the walk back. */
static void do_rollback(struct world *w)
{
	struct site *s = some_site(w);

	/* Damage is done to one disk at a time, and this would be a second way to it. */
	if (!oracle_is_whole(w->oracle))
		return;
	struct store *old = disk_copy(s->disk);
	fiber_sleep_ns(some_time(w, FAULT_NS_MAX));
	if (!may_lose(w, s)) {
		old->ops->close(old);
		return;
	}
	trace("puts %s back to an older state", s->name);
	oracle_excuse(w->oracle, s->number);
	w->losses++;
	site_crash(s);
	disk_restore(s->disk, old);
	oracle_replaced(w->oracle, s->number);
	down_for_a_while(w);
	start(w, s);
}

/* As often as it takes: audits may be in vain while other things go wrong. */
static void audit_deeply(struct world *w)
{
	CLEANUP(buf_release) struct buf report = BUF_INIT(1 << 20);
	uint8_t writer = writer_of(w);
	struct boot *b = writer == 0 ? NULL : site_enter(&w->sites[writer - 1]);
	struct fault f = { 0 };

	if (!b)
		return;
	enum err err = audit_ask(b->audit, true, AUDIT_ASK_MS, &report, &f);
	trace("a deep audit: %s", err ? fault_text(&f) : "done");
	site_leave(b);
}

static void do_damage(struct world *w)
{
	struct site *s = some_site(w);

	if (!is_up(s))
		return;
	site_crash(s);
	if (oracle_damage(w->oracle, s->number, random_u64(&w->random))) {
		trace("damages %s", s->name);
		w->damaged = true;
	}
	down_for_a_while(w);
	start(w, s);
	fiber_sleep_ns(some_time(w, DOWN_NS_MAX));
	audit_deeply(w);
}

static void set_disks(struct world *w, bool faulty)
{
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		struct disk_faults *f = disk_faults(w->sites[i].disk);

		*f = (struct disk_faults){ .sync_ns_min = 100000,
					   .sync_ns_max = 3 * NS_PER_MS,
					   .spared = f->spared };
		if (faulty && world_has(w, FAULT_SLOW_DISK)) {
			f->stall = 10;
			f->stall_ns = 2 * NS_PER_S;
		}
		if (faulty && world_has(w, FAULT_BROKEN_DISK))
			f->broken = 2;
		if (faulty && world_has(w, FAULT_FULL_DISK))
			f->full = 20;
	}
}

/* After a failed sync a region writes no more until it is started again. */
static void mend(struct world *w)
{
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		struct site *s = &w->sites[i];

		if (!site_state(s).failed || !is_up(s))
			continue;
		trace("restarts %s, which stopped writing", s->name);
		site_stop(s);
		start(w, s);
	}
}

/* --- the network --- */

static void do_cut(struct world *w)
{
	uint32_t a = (uint32_t)below(w, NET_REGIONS);
	uint32_t b = (a + 1 + (uint32_t)below(w, NET_REGIONS - 1)) % NET_REGIONS;
	bool both = below(w, 2) == 0;

	trace("cuts %s from %s%s", site_names[a], site_names[b], both ? ", both ways" : "");
	net_cut(w->net, a, b, true);
	if (both)
		net_cut(w->net, b, a, true);
	fiber_sleep_ns(some_time(w, FAULT_NS_MAX));
	if (below(w, 4) == 0)
		return; /* for longer */
	net_cut(w->net, a, b, false);
	net_cut(w->net, b, a, false);
}

static void heal_cuts(struct world *w)
{
	for (uint32_t a = 0; a < NET_REGIONS; a++)
		for (uint32_t b = 0; b < NET_REGIONS; b++)
			if (net_is_cut(w->net, a, b))
				net_cut(w->net, a, b, false);
}

static void set_net(struct world *w, bool faulty)
{
	struct net_faults *f = net_faults(w->net);
	struct stream_faults stream = { 0 };

	*f = (struct net_faults){ .delay_ns_min = NS_PER_MS, .delay_ns_max = 20 * NS_PER_MS, .timeout_ns = NS_PER_S };
	if (faulty && world_has(w, FAULT_LOSS)) {
		f->lost = 50;
		f->repeated = 50;
		stream.lose_beat = 200;
	}
	if (faulty && world_has(w, FAULT_SLOW_NET)) {
		f->delay_ns_min = 20 * NS_PER_MS;
		f->delay_ns_max = 300 * NS_PER_MS;
	}
	if (faulty && world_has(w, FAULT_STREAM)) {
		stream.redeliver = 30;
		stream.duplicate = 30;
		stream.lost = 20;
		stream.unknown = 20;
		stream.trim = 5;
	}
	stream_broker_faults(net_broker(w->net), &stream);
	net_wake(w->net);
}

static void do_stream_lost(struct world *w)
{
	const char *name = some_site(w)->name;
	struct stream_broker *b = net_broker(w->net);

	switch (below(w, 4)) {
	case 0:
		trace("wipes the stream of %s", name);
		stream_broker_wipe(b, name);
		break;
	case 1:
		trace("the stream of %s keeps little", name);
		stream_broker_trim(b, name, below(w, 5));
		break;
	case 2:
		stream_broker_sync(b, name);
		break;
	default:
		trace("the stream of %s loses %lu messages", name,
		      (unsigned long)stream_broker_lose_unsynced(b, name));
		break;
	}
	net_wake(w->net);
}

static void do_server(struct world *w)
{
	const char *name = some_site(w)->name;

	trace("the server of %s is away", name);
	stream_broker_server(net_broker(w->net), name, false);
	net_wake(w->net);
	fiber_sleep_ns(some_time(w, FAULT_NS_MAX));
	stream_broker_server(net_broker(w->net), name, true);
	net_wake(w->net);
}

/* --- clocks --- */

static void do_jump(struct world *w)
{
	struct site *s = some_site(w);
	int64_t ms = (int64_t)below(w, 2 * JUMP_MS_MAX) - JUMP_MS_MAX;

	trace("sets the clock of %s by %ld ms", s->name, (long)ms);
	s->machine.wall_ms += (uint64_t)ms;
	w->wall_jumped = true;
}

static void set_clocks(struct world *w)
{
	for (uint32_t i = 0; i < NET_REGIONS && world_has(w, FAULT_SKEW); i++) {
		struct machine *m = &w->sites[i].machine;

		m->wall_ms += below(w, SKEW_MS_MAX);
		machine_drift(m, (int32_t)below(w, 2 * DRIFT_PPM_MAX) - DRIFT_PPM_MAX);
	}
}

/* --- the role --- */

static void do_switchover(struct world *w)
{
	uint8_t writer = writer_of(w);
	uint8_t target = (uint8_t)(1 + (writer + below(w, NET_REGIONS - 1)) % NET_REGIONS);
	struct boot *b = writer == 0 ? NULL : site_enter(&w->sites[writer - 1]);
	struct fault f = { 0 };
	struct switchover_report report;

	if (!b)
		return;
	enum err err = replicator_switchover(b->replicator, target, SWITCH_MS, &report, &f);
	site_leave(b);
	w->switchovers += err == ERR_NONE;
	trace("switchover from %u to %u: %s", writer, target, err ? fault_text(&f) : "done");
}

/* --- all of it --- */

typedef void (*fault_fn)(struct world *w);

static const fault_fn faults[FAULT_KINDS] = {
	[FAULT_CRASH] = do_crash,
	[FAULT_RESTART] = do_restart,
	[FAULT_PAUSE] = do_pause,
	[FAULT_SUSPEND] = do_suspend,
	[FAULT_CUT] = do_cut,
	[FAULT_STREAM_LOST] = do_stream_lost,
	[FAULT_SERVER] = do_server,
	[FAULT_JUMP] = do_jump,
	[FAULT_SWITCHOVER] = do_switchover,
	[FAULT_WIPE] = do_wipe,
	[FAULT_ROLLBACK] = do_rollback,
	[FAULT_DAMAGE] = do_damage,
};

struct doing {
	struct world *world;
	fault_fn fn;
};

static void *do_it(void *arg)
{
	struct doing *d = arg;
	struct world *w = d->world;

	d->fn(w);
	free(d);
	w->faults_alive--;
	fiber_wake(&w->faults_ended, true);
	return NULL;
}

/* One fault does not wait for the end of another. */
static void do_something(struct world *w)
{
	fault_fn list[FAULT_KINDS];
	uint32_t n = 0;

	for (unsigned i = 0; i < FAULT_KINDS; i++)
		if (faults[i] && world_has(w, (enum fault_kind)i))
			list[n++] = faults[i];
	if (n == 0)
		return;
	struct doing *d = calloc(1, sizeof(*d));
	ASSERT(d);
	*d = (struct doing){ w, list[below(w, n)] };
	w->faults_alive++;
	fiber_detach(fiber_new("fault", NULL, do_it, d));
}

/* As those who keep them right do: a region whose clock is off does not stand for election. */
static void set_clocks_right(struct world *w)
{
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		struct machine *m = &w->sites[i].machine;

		m->wall_ms = WORLD_WALL_MS + fiber_now_ns() / NS_PER_MS - clock_mono_ns(&m->clock) / NS_PER_MS;
		machine_drift(m, 0);
	}
}

void chaos_end(struct world *w)
{
	while (w->faults_alive > 0)
		(void)fiber_wait(&w->faults_ended, FIBER_FOREVER);
	(void)step_disarm();
	set_disks(w, false);
	set_net(w, false);
	net_do_harm(w->net, 0, NET_HARM_NONE);
	heal_cuts(w);
	if (w->wall_jumped)
		set_clocks_right(w);
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		stream_broker_server(net_broker(w->net), site_names[i], true);
		if (w->sites[i].boot)
			w->sites[i].boot->process.paused_until_ns = 0;
		else
			start(w, &w->sites[i]);
	}
	/* One that was broken may say so only now. */
	for (unsigned tries = 0; tries < 20; tries++) {
		fiber_sleep_ns(NS_PER_S / 10);
		mend(w);
	}
	for (unsigned tries = 0; tries < AUDITS_MAX && !oracle_is_whole(w->oracle); tries++) {
		audit_deeply(w);
		fiber_sleep_ns(NS_PER_S);
		oracle_look(w->oracle);
	}
}

void chaos_run(struct world *w)
{
	uint64_t until_ns = fiber_now_ns() + w->fault_ns;

	set_disks(w, true);
	set_net(w, true);
	set_clocks(w);
	while (fiber_now_ns() < until_ns) {
		fiber_sleep_ns(PAUSE_NS_MIN + below(w, PAUSE_NS_MAX));
		do_something(w);
		mend(w);
	}
	trace("no more faults");
	chaos_end(w);
}
