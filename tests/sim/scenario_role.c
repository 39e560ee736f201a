/* SPDX-License-Identifier: Apache-2.0 */
/* The primary: its role moves, it dies, it cannot commit. */
#include "base/panic.h"
#include "tests/sim/script.h"
#include "tests/sim/trace.h"

#define FEW 3
#define POINT 5

/* Who writes, writes on, and what was written is read in all regions. */
static void go_on(struct sender *s)
{
	int64_t value = script_value(s->world);

	script_writes(s, FEW);
	(void)script_write(s, SCRIPT_ONE, POINT, value, ACK_CONFIRMED);
	for (uint32_t i = 0; i < NET_REGIONS && !s->world->scenario->clients; i++)
		script_expect(script_read(s, i, SCRIPT_ONE, POINT) == value, "session",
			      "%s does not show the last write", site_names[i]);
}

/* --- S14: the role is handed over --- */

static void switch_with_harm(struct world *w, enum net_harm how)
{
	struct sender s = script_sender(w);
	uint32_t from = script_writer(w);
	uint32_t to = (from + 1 + (uint32_t)w->seed % (NET_REGIONS - 1)) % NET_REGIONS;

	script_writes(&s, FEW);
	net_do_harm(w->net, w->seed, how);
	enum err err = script_switch(w, from, to);

	script_expect(err != ERR_NONE || script_writer(w) == to, "order", "%s does not write after it was told so",
		      site_names[to]);
	go_on(&s);
}

void scenario_S14_lost(struct world *w)
{
	switch_with_harm(w, NET_HARM_LOSE);
}

void scenario_S14_delayed(struct world *w)
{
	switch_with_harm(w, NET_HARM_DELAY);
}

void scenario_S14_repeated(struct world *w)
{
	switch_with_harm(w, NET_HARM_REPEAT);
}

static void switch_with_death(struct world *w, bool of_target)
{
	struct sender s = script_sender(w);
	uint32_t from = script_writer(w), to = (from + 1) % NET_REGIONS;
	uint32_t victim = of_target ? to : from;

	script_writes(&s, FEW);
	script_crash_at(w, victim, w->seed);
	if (script_switch(w, from, to) != ERR_NONE)
		trace("the role stays or moves later");
	script_sleep_ms(500);
	script_revive(w, victim);
	go_on(&s);
}

void scenario_S14_holder_dies(struct world *w)
{
	switch_with_death(w, false);
}

void scenario_S14_target_dies(struct world *w)
{
	switch_with_death(w, true);
}

/* --- S15: the holder cannot commit, or not tell anybody --- */

void scenario_S15_full(struct world *w)
{
	struct sender s = script_sender(w);

	script_writes(&s, FEW);
	disk_faults(w->sites[0].disk)->full = 1000;
	struct script_answer a = script_upsert(&s, 0, SCRIPT_ONE, POINT, script_value(w), ACK_VISIBLE);
	script_expect(a.how != ANSWER_DONE, "durable", "a write is acknowledged that no disk has room for");
	script_sleep_ms(3000);
	script_expect(!script_state(w, 0).commit.failed, "progress", "a full disk ends writing for good");
	disk_faults(w->sites[0].disk)->full = 0;
	go_on(&s);
}

/* The seed says which of its commits fails. */
void scenario_S15_broken(struct world *w)
{
	struct sender s = script_sender(w);

	script_writes(&s, FEW);
	disk_faults(w->sites[0].disk)->break_at = (unsigned)w->seed;
	for (unsigned i = 0; !script_state(w, 0).commit.failed; i++) {
		script_expect(i < 100, "durable", "a failed sync is not noticed");
		(void)script_upsert(&s, 0, SCRIPT_ONE, POINT, script_value(w), ACK_VISIBLE);
	}
	struct position stopped = script_state(w, 0).commit.position;
	struct script_answer a = script_upsert(&s, 0, SCRIPT_ONE, POINT, script_value(w), ACK_VISIBLE);
	script_expect(a.how != ANSWER_DONE, "durable", "a write is acknowledged after a failed sync");
	script_expect(position_compare(script_state(w, 0).commit.position, stopped) == 0, "durable",
		      "a region writes on after a failed sync");
	script_crash(w, 0);
	script_start(w, 0);
	go_on(&s);
}

void scenario_S15_stalled(struct world *w)
{
	struct sender s = script_sender(w);
	struct disk_faults *f = disk_faults(w->sites[0].disk);

	script_writes(&s, FEW);
	f->stall = 1000;
	f->stall_ns = 6 * NS_PER_S;
	struct script_answer a = script_upsert(&s, 0, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
	script_expect(a.how != ANSWER_DONE || a.write.reached < ACK_CONFIRMED, "durable",
		      "a write is confirmed in less time than it takes to be on disk");
	f->stall = 0;
	go_on(&s);
}

/* The others hear nothing from its stream and ask it. */
void scenario_S15_no_nats(struct world *w)
{
	struct sender s = script_sender(w);

	stream_broker_server(net_broker(w->net), site_names[0], false);
	net_wake(w->net);
	struct position p = script_write(&s, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
	for (uint32_t i = 1; i < NET_REGIONS; i++)
		script_wait_for(w, i, p);
	stream_broker_server(net_broker(w->net), site_names[0], true);
	net_wake(w->net);
	go_on(&s);
}

/* --- S24: the answer to a write is lost with its primary --- */

/* The seed says at which step. It is in the log or it is not, and nobody sends it again over what came later. */
void scenario_S24_primary_dies(struct world *w)
{
	struct sender s = script_sender(w), other = script_sender(w);

	script_writes(&s, FEW);
	script_crash_at(w, 0, w->seed);
	(void)script_upsert(&s, 0, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
	script_revive(w, 0);
	go_on(&other);
}

/* --- S28: who was primary and is cut off --- */

void scenario_S28_isolated(struct world *w)
{
	struct sender s = script_sender(w);

	script_writes(&s, FEW);
	if (script_switch(w, 0, 1) != ERR_NONE)
		violation("progress", "the role cannot be handed over");
	script_isolate(w, 0, true);
	script_writes(&s, FEW);
	script_sleep_ms(5000);
	script_writes(&s, FEW);
	double stale_s = script_state(w, 0).staleness_seconds;
	script_expect(stale_s >= 4.5, "lag", "who was cut off 5 s ago says that it is %.3f s behind", stale_s);
	script_isolate(w, 0, false);
	go_on(&s);
}
