/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, and time that passes unseen. */
#include "base/panic.h"
#include "tests/sim/script.h"
#include "tests/sim/trace.h"

#define FEW 5
#define POINT 3
#define HOUR_MS INT64_C(3600000)
#define YEAR_MS (8766 * HOUR_MS)

/* --- S12: the holder --- */

/* Its machine stands still, and one in two is told the time afterwards. */
void scenario_S12_suspended(struct world *w)
{
	struct sender s = script_sender(w);
	struct machine *m = &w->sites[0].machine;
	uint64_t ns = 6 * NS_PER_S, mono_ns = clock_mono_ns(&m->clock);

	script_writes(&s, FEW);
	w->wall_jumped = true;
	mono_ns = clock_mono_ns(&m->clock);
	w->sites[0].boot->process.paused_until_ns = fiber_now_ns() + ns;
	/* Its fibers come a moment later than this one. */
	fiber_sleep_ns(ns - 1);
	machine_set(m, mono_ns);
	if (w->seed % 2 == 0)
		m->wall_ms += ns / NS_PER_MS;
	fiber_sleep_ns(NS_PER_S);
	script_writes(&s, FEW);
	(void)script_write(&s, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
}

/* Ten seconds for a sync; writers are told that the outcome is open, and lag is what it is. */
void scenario_S12_slow_sync(struct world *w)
{
	struct disk_faults *f = disk_faults(w->sites[w->seed % NET_REGIONS].disk);
	struct sender s = script_sender(w);

	script_writes(&s, FEW);
	f->stall = 1000;
	f->stall_ns = 10 * NS_PER_S;
	fiber_sleep_ns(15 * NS_PER_S);
	f->stall = 0;
	script_writes(&s, FEW);
}

/* Clocks that go a tenth too fast and too slow. */
void scenario_S12_rates(struct world *w)
{
	struct sender s = script_sender(w);

	machine_drift(&w->sites[w->seed % NET_REGIONS].machine, 100000);
	machine_drift(&w->sites[(w->seed + 1) % NET_REGIONS].machine, -100000);
	for (unsigned i = 0; i < 10; i++) {
		script_writes(&s, 1);
		script_sleep_ms(1000);
	}
	for (uint32_t i = 0; i < NET_REGIONS; i++)
		machine_drift(&w->sites[i].machine, 0);
}

/* --- S22: one wild clock --- */

static void set_clock(struct world *w, uint32_t region, int64_t ms)
{
	trace("sets the clock of %s by %ld ms", site_names[region], (long)ms);
	w->wall_jumped = true;
	w->sites[region].machine.wall_ms += (uint64_t)ms;
}

static uint64_t ahead_ms(struct world *w, uint32_t region)
{
	uint64_t stamp_ms = hlc_ms(script_state(w, region).commit.hlc);
	uint64_t wall_ms = clock_wall_ms(&w->sites[region].machine.clock);

	return stamp_ms > wall_ms ? stamp_ms - wall_ms : 0;
}

/* The primary's. Its writes go on and are applied, nobody's clock follows, and the next epoch overcomes its stamps. */
void scenario_S22_single(struct world *w)
{
	static const int64_t jumps_ms[] = { HOUR_MS, 10 * YEAR_MS, -HOUR_MS };
	struct sender s = script_sender(w);
	int64_t value = script_value(w);

	script_writes(&s, FEW);
	set_clock(w, 0, jumps_ms[w->seed % LEN(jumps_ms)]);
	if (jumps_ms[w->seed % LEN(jumps_ms)] > 0)
		(void)script_write(&s, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
	for (uint32_t i = 1; i < NET_REGIONS; i++)
		script_expect(ahead_ms(w, i) <= HLC_OFFSET_MS_MAX_DEFAULT, "clock", "the clock of %s follows a wild one by %lu ms",
			      site_names[i], (unsigned long)ahead_ms(w, i));
	if (script_switch(w, 0, 1) != ERR_NONE)
		violation("progress", "the role cannot be taken from who has a wild clock");
	/* Its stamp is less, its epoch greater. */
	(void)script_write(&s, SCRIPT_ONE, POINT, value, ACK_CONFIRMED);
	for (uint32_t i = 0; i < NET_REGIONS; i++)
		script_expect(script_read(&s, i, SCRIPT_ONE, POINT) == value, "converged",
			      "in %s a wild stamp of an older epoch wins", site_names[i]);
}

/* The primary's clock comes back: the stamps that it gave lie in its future then. */
void scenario_S22_back(struct world *w)
{
	struct sender s = script_sender(w);

	set_clock(w, 0, HOUR_MS);
	(void)script_write(&s, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
	set_clock(w, 0, -HOUR_MS);
	if (script_switch(w, 0, 1) != ERR_NONE)
		violation("progress", "the role cannot be taken from whose clock came back");
	script_writes(&s, FEW);
}

static bool knows_that_it_is_off(struct world *w, uint32_t region)
{
	struct boot *b = site_enter(&w->sites[region]);
	int64_t ms;
	bool off = b && replicator_clock_is_off(b->replicator, &ms);

	if (b)
		site_leave(b);
	return off;
}

/* Of several writers: who is off takes no writes there, and the others are not held up. */
void scenario_S22_multi(struct world *w)
{
	static const int64_t jumps_ms[] = { HOUR_MS, 10 * YEAR_MS, -HOUR_MS };
	struct sender s = script_sender(w);
	uint32_t wild = (uint32_t)w->seed / LEN(jumps_ms) % NET_REGIONS;
	int64_t jump_ms = jumps_ms[w->seed % LEN(jumps_ms)];
	struct script_answer a;

	set_clock(w, wild, jump_ms);
	for (unsigned i = 0; !knows_that_it_is_off(w, wild); i++) {
		script_expect(i < 300, "clock", "%s does not notice that its clock is off", site_names[wild]);
		script_sleep_ms(100);
	}
	a = script_upsert(&s, wild, SCRIPT_MANY, POINT, script_value(w), ACK_VISIBLE);
	script_expect(a.how == ANSWER_REFUSED, "clock", "%s writes with a clock that is off", site_names[wild]);
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		if (i == wild)
			continue;
		a = script_upsert(&s, i, SCRIPT_MANY, POINT, script_value(w), ACK_VISIBLE);
		script_expect(a.how == ANSWER_DONE, "clock", "%s is held up by another's clock", site_names[i]);
		(void)script_read(&s, NET_REGIONS - wild - i, SCRIPT_MANY, POINT);
	}
	set_clock(w, wild, -jump_ms);
	for (unsigned i = 0; knows_that_it_is_off(w, wild); i++) {
		script_expect(i < 300, "clock", "%s does not notice that its clock is right again", site_names[wild]);
		script_sleep_ms(100);
	}
	a = script_upsert(&s, wild, SCRIPT_MANY, POINT, script_value(w), ACK_VISIBLE);
	script_expect(a.how == ANSWER_DONE, "clock", "%s takes no writes although its clock is right", site_names[wild]);
}
