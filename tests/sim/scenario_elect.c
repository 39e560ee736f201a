/* SPDX-License-Identifier: Apache-2.0 */
/* Regions elect their primary: who may, who must not, and what becomes of writes in between. */
#include "base/panic.h"
#include "tests/sim/script.h"
#include "tests/sim/trace.h"

#define FEW 4
#define POINT 6
/* From a holder's death to the next one's right to write. */
#define RTO_NS (9 * NS_PER_S)
#define HOLD_MS 4000

static uint32_t other_than(uint32_t a, uint32_t b)
{
	return NET_REGIONS - a - b;
}

/* Somebody writes, strongly, and all come to hold the same. */
static void go_on(struct world *w)
{
	struct sender s = script_sender(w);

	script_writes(&s, FEW);
	(void)script_write(&s, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
}

/* To that region while it still may: nobody else gets it, and it may be an orphan soon. */
static void write_alone(struct world *w, uint32_t region, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct sender s = script_sender(w);

		(void)script_upsert(&s, region, SCRIPT_ONE, POINT, script_value(w), ACK_VISIBLE);
	}
}

/* Until another region than that has begun an epoch on its disk. */
static uint32_t wait_for_epoch(struct world *w, uint32_t than, uint64_t epoch)
{
	uint64_t until_ns = fiber_now_ns() + 30 * NS_PER_S;

	for (;;) {
		for (uint32_t i = 0; i < NET_REGIONS; i++) {
			uint64_t now = oracle_position(w->oracle, i).epoch;

			if (i != than && now > epoch && (uint8_t)now == i + 1)
				return i;
		}
		script_expect(fiber_now_ns() < until_ns, "progress", "nobody begins an epoch");
		fiber_sleep_ns(NS_PER_MS);
	}
}

static uint64_t newest_epoch(struct world *w)
{
	uint64_t epoch = 0;

	for (uint32_t i = 0; i < NET_REGIONS; i++)
		epoch = MAX(epoch, oracle_position(w->oracle, i).epoch);
	return epoch;
}

/* --- S4, S6: epochs that one region alone has --- */

/* Two primaries die, the second with an epoch that nobody else has; they return in either order. */
void scenario_S4_alone(struct world *w)
{
	uint32_t first = script_writer(w);
	uint64_t epoch = newest_epoch(w);

	go_on(w);
	if (w->seed % 4 < 2) {
		script_isolate(w, first, true);
		write_alone(w, first, FEW);
	}
	script_crash(w, first);
	uint32_t second = wait_for_epoch(w, first, epoch);
	script_crash(w, second);
	script_isolate(w, first, false);
	script_start(w, w->seed % 2 == 0 ? first : second);
	go_on(w);
	script_start(w, first);
	script_start(w, second);
	go_on(w);
	script_wait_level(w);
}

/* Figure 8 of Raft: x in A alone; B's epoch in B alone; A again, with C; A dies, B and C: what A confirmed stays. */
void scenario_S6_figure_8(struct world *w)
{
	uint32_t a = script_writer(w);
	uint64_t epoch = newest_epoch(w);

	go_on(w);
	script_isolate(w, a, true);
	write_alone(w, a, 1);
	script_crash(w, a);
	uint32_t b = wait_for_epoch(w, a, epoch);
	script_crash(w, b);
	script_isolate(w, a, false);
	script_start(w, a);
	go_on(w);
	script_crash(w, script_writer(w));
	script_start(w, b);
	go_on(w);
	for (uint32_t i = 0; i < NET_REGIONS; i++)
		script_start(w, i);
	script_wait_level(w);
}

/* --- S5: a voter dies at any step of an election --- */

void scenario_S5_voter_dies(struct world *w)
{
	uint32_t first = script_writer(w);
	uint32_t voter = (first + 1 + (uint32_t)w->seed % 2) % NET_REGIONS;

	go_on(w);
	script_crash(w, first);
	script_crash_at(w, voter, w->seed);
	script_sleep_ms(HOLD_MS + 3000);
	script_revive(w, voter);
	go_on(w);
	script_start(w, first);
	script_wait_level(w);
}

/* The same of who comes back and has to give up what it wrote alone. */
static void come_back(struct world *w, uint32_t *ret_first, uint32_t *ret_second)
{
	*ret_first = script_writer(w);
	uint64_t epoch = newest_epoch(w);

	go_on(w);
	script_isolate(w, *ret_first, true);
	write_alone(w, *ret_first, 6);
	*ret_second = wait_for_epoch(w, *ret_first, epoch);
	struct sender s = script_sender(w);
	struct script_answer a;
	do {
		script_sleep_ms(100);
		a = script_upsert(&s, *ret_second, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
	} while (a.how != ANSWER_DONE);
}

/* --- S17, S18: walking back --- */

void scenario_S17_dies_walking(struct world *w)
{
	uint32_t first, second;

	come_back(w, &first, &second);
	script_crash_at(w, first, w->seed);
	script_isolate(w, first, false);
	script_sleep_ms(1500);
	script_revive(w, first);
	go_on(w);
	script_wait_level(w);
}

/* Who took over dies while the first walks back. */
void scenario_S18_next_dies(struct world *w)
{
	uint32_t first, second;

	come_back(w, &first, &second);
	script_crash_at(w, second, w->seed);
	script_isolate(w, first, false);
	script_sleep_ms(1500);
	go_on(w);
	script_revive(w, second);
	go_on(w);
	script_wait_level(w);
}

/* --- S9: disks are lost --- */

/* From the list on that names stores, another store is another voter. */
static void wait_for_list(struct world *w)
{
	for (uint32_t i = 0; i < NET_REGIONS;) {
		struct boot *b = site_enter(&w->sites[i]);
		struct lease_run_state s = { 0 };

		if (b && replicator_lease_state(b->replicator, &s) && s.voters.number > 0)
			i++;
		if (b)
			site_leave(b);
		script_sleep_ms(10);
	}
}

/* What A and B confirmed is lost to C if B's new disk may vote: nothing is left in A's stream either. */
void scenario_S9_wiped_voter(struct world *w)
{
	uint32_t a = script_writer(w), b = (a + 1) % NET_REGIONS, c = other_than(a, b);

	wait_for_list(w);
	go_on(w);
	script_wait_level(w);
	script_isolate(w, c, true);
	go_on(w);
	script_crash(w, a);
	stream_broker_wipe(net_broker(w->net), site_names[a]);
	script_wipe(w, b);
	script_start(w, b);
	script_isolate(w, c, false);
	for (unsigned i = 0; i < 150; i++) {
		script_sleep_ms(100);
		script_expect(!script_state(w, b).is_writer && !script_state(w, c).is_writer, "strong",
			      "who does not know what was confirmed was elected by a disk that forgot it");
	}
	script_start(w, a);
	go_on(w);
	script_wait_level(w);
}

/* The primary's. */
void scenario_S9_primary(struct world *w)
{
	uint32_t a = script_writer(w);

	go_on(w);
	script_wait_level(w);
	script_wipe(w, a);
	go_on(w);
	script_start(w, a);
	go_on(w);
	script_wait_level(w);
}

/* --- S2: the primary's disk is put back --- */

void scenario_S2_primary(struct world *w)
{
	uint32_t a = script_writer(w);
	struct store *old = disk_copy(w->sites[a].disk);

	go_on(w);
	script_wait_level(w);
	script_put_back(w, a, old);
	script_start(w, a);
	go_on(w);
	script_wait_level(w);
}

/* --- S12: the holder does not see that time passes --- */

void scenario_S12_paused_holder(struct world *w)
{
	uint32_t a = script_writer(w);
	uint64_t epoch = newest_epoch(w);

	go_on(w);
	w->sites[a].boot->process.paused_until_ns = fiber_now_ns() + 15 * NS_PER_S;
	(void)wait_for_epoch(w, a, epoch);
	go_on(w);
	script_sleep_ms(10000);
	go_on(w);
	script_wait_level(w);
}

void scenario_S12_holder_syncs(struct world *w)
{
	uint32_t a = script_writer(w);
	struct disk_faults *f = disk_faults(w->sites[a].disk);

	go_on(w);
	f->stall = 1000;
	f->stall_ns = 12 * NS_PER_S;
	write_alone(w, a, 1);
	script_sleep_ms(15000);
	f->stall = 0;
	go_on(w);
	script_wait_level(w);
}

/* --- S27: tokens --- */

struct finding {
	struct world *world;
	uint32_t region;
	struct session session;
};

static void *find(void *arg)
{
	struct finding *f = arg;

	/* Held: it was there when it said so. */
	if (script_find(f->world, f->region, &f->session, 30000) == ERR_NONE)
		script_expect(script_find(f->world, f->region, &f->session, 0) != ERR_SESSION_ORPHANED, "session",
			      "%s has found what it had taken back while it waited for the rest", site_names[f->region]);

	return NULL;
}

/* A token names what is taken back, and what is still to come, which is waited for. */
void scenario_S27_taken_back(struct world *w)
{
	uint32_t first = script_writer(w);
	uint64_t epoch = newest_epoch(w);
	struct finding f = { .world = w, .region = first };
	struct sender s = script_sender(w);

	go_on(w);
	script_isolate(w, first, true);
	if (script_upsert(&s, first, SCRIPT_ONE, POINT, script_value(w), ACK_VISIBLE).how != ANSWER_DONE)
		violation("progress", "a holder takes no writes");
	f.session = s.session;
	s.session = (struct session){ 0 };
	uint32_t second = wait_for_epoch(w, first, epoch);
	if (script_upsert(&s, second, SCRIPT_MANY, POINT, script_value(w), ACK_VISIBLE).how != ANSWER_DONE)
		violation("progress", "a region takes no writes of its own");
	session_join(&f.session, SCOPE_MULTI, s.session.positions[0]);
	struct fiber *fiber = fiber_new("finder", NULL, find, &f);
	go_on(w);
	script_isolate(w, first, false);
	(void)fiber_join(fiber);
	script_wait_level(w);
	script_expect(script_find(w, first, &f.session, 0) == ERR_SESSION_ORPHANED, "session",
		      "what was taken back is in the history");
}

/* --- S13: how long it takes, and how often --- */

static void check_rto(struct world *w, uint32_t dead)
{
	uint64_t begun_ns = fiber_now_ns();
	uint64_t epoch = newest_epoch(w);

	uint32_t next = wait_for_epoch(w, dead, epoch);
	script_expect(fiber_now_ns() - begun_ns <= RTO_NS, "progress", "%s took %.3f s to take over", site_names[next],
		      (double)(fiber_now_ns() - begun_ns) / 1e9);
}

void scenario_S13_crash(struct world *w)
{
	uint32_t a = script_writer(w);

	go_on(w);
	script_sleep_ms(w->seed * 37 % 1000);
	script_crash(w, a);
	check_rto(w, a);
	go_on(w);
	script_start(w, a);
	script_wait_level(w);
}

/* It hears nobody, or nobody hears it, or neither. */
void scenario_S13_cut(struct world *w)
{
	uint32_t a = script_writer(w);

	go_on(w);
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		if (i == a)
			continue;
		net_cut(w->net, i, a, w->seed % 3 != 0);
		net_cut(w->net, a, i, w->seed % 3 != 1);
	}
	check_rto(w, a);
	script_isolate(w, a, false);
	go_on(w);
	script_wait_level(w);
}

/* A secondary that was cut off and comes back disturbs nobody. */
void scenario_S13_returns(struct world *w)
{
	uint32_t away = (script_writer(w) + 1 + (uint32_t)w->seed % 2) % NET_REGIONS;

	go_on(w);
	uint64_t epoch = newest_epoch(w);
	script_isolate(w, away, true);
	script_sleep_ms(20000);
	go_on(w);
	script_isolate(w, away, false);
	script_sleep_ms(5000);
	go_on(w);
	script_expect(newest_epoch(w) == epoch, "progress", "a secondary that came back made the others elect");
}

/* One after the other is started again, while one is down. */
void scenario_S13_rolling(struct world *w)
{
	uint32_t down = (uint32_t)w->seed % NET_REGIONS;

	go_on(w);
	script_crash(w, down);
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		if (i == down)
			continue;
		script_writer(w);
		site_stop(&w->sites[i]);
		script_start(w, i);
		go_on(w);
	}
	script_start(w, down);
	script_wait_level(w);
}

/* --- S14: the role is handed over --- */

static void hand_over(struct world *w, enum net_harm how, int victim)
{
	uint32_t from = script_writer(w), to = (from + 1 + (uint32_t)w->seed % 2) % NET_REGIONS;

	go_on(w);
	net_do_harm(w->net, w->seed, how);
	if (victim >= 0)
		script_crash_at(w, victim == 0 ? from : to, w->seed);
	if (script_switch(w, from, to) != ERR_NONE)
		trace("the role stays or moves later");
	script_sleep_ms(500);
	script_revive(w, victim == 1 ? to : from);
	go_on(w);
}

void scenario_S14_leased_lost(struct world *w)
{
	hand_over(w, NET_HARM_LOSE, -1);
}

void scenario_S14_leased_delayed(struct world *w)
{
	hand_over(w, NET_HARM_DELAY, -1);
}

void scenario_S14_leased_repeated(struct world *w)
{
	hand_over(w, NET_HARM_REPEAT, -1);
}

void scenario_S14_leased_holder_dies(struct world *w)
{
	hand_over(w, NET_HARM_NONE, 0);
}

void scenario_S14_leased_target_dies(struct world *w)
{
	hand_over(w, NET_HARM_NONE, 1);
}

/* --- S15: the holder cannot commit --- */

void scenario_S15_leased_broken(struct world *w)
{
	uint32_t a = script_writer(w);
	uint64_t epoch = newest_epoch(w);

	go_on(w);
	disk_faults(w->sites[a].disk)->break_at = (unsigned)w->seed;
	write_alone(w, a, (unsigned)w->seed + 1);
	script_expect(script_state(w, a).commit.failed, "durable", "a failed sync is not noticed");
	(void)wait_for_epoch(w, a, epoch);
	go_on(w);
	script_crash(w, a);
	script_start(w, a);
	go_on(w);
	script_wait_level(w);
}

/* --- S19, S28 --- */

/* A region is away while primaries die one after the other, as often as the seed says. */
void scenario_S19_elections(struct world *w)
{
	static const unsigned epochs[] = { 1, 2, 5 };
	uint32_t away = (script_writer(w) + 1) % NET_REGIONS;

	go_on(w);
	script_crash(w, away);
	for (unsigned i = 0; i < epochs[w->seed % LEN(epochs)]; i++) {
		uint32_t writer = script_writer(w);

		/* Too few are left to elect: it comes back, in a new epoch. */
		script_crash(w, writer);
		script_sleep_ms(HOLD_MS);
		script_start(w, writer);
		go_on(w);
	}
	for (uint32_t i = 0; i < w->seed / LEN(epochs) % NET_REGIONS; i++)
		stream_broker_wipe(net_broker(w->net), site_names[(away + 1 + i) % NET_REGIONS]);
	net_wake(w->net);
	script_start(w, away);
	go_on(w);
	script_wait_level(w);
}

/* A primary that writes no more is heard, the next one is not: what is heard proves nothing to who has promised another epoch. */
void scenario_S28_promised(struct world *w)
{
	uint32_t a = script_writer(w);
	uint64_t epoch = newest_epoch(w);

	go_on(w);
	script_wait_level(w);
	disk_faults(w->sites[a].disk)->break_at = 1;
	write_alone(w, a, 1);
	uint32_t b = wait_for_epoch(w, a, epoch), c = other_than(a, b);
	net_cut(w->net, b, c, true);
	net_cut(w->net, b, a, true);
	struct sender s = script_sender(w);
	(void)script_upsert(&s, b, SCRIPT_ONE, POINT, script_value(w), ACK_VISIBLE);
	script_sleep_ms(3000);
	double stale_s = script_state(w, c).staleness_seconds;
	script_expect(oracle_position(w->oracle, c).epoch > epoch || stale_s >= 2.5, "lag",
		      "%s does not know the newest epoch of 3 s ago and says that it is %.3f s behind", site_names[c], stale_s);
	net_cut(w->net, b, c, false);
	net_cut(w->net, b, a, false);
	script_crash(w, a);
	script_start(w, a);
	go_on(w);
	script_wait_level(w);
}

void scenario_S28_leased(struct world *w)
{
	uint32_t a = script_writer(w);

	go_on(w);
	script_isolate(w, a, true);
	script_sleep_ms(HOLD_MS + 6000);
	double stale_s = script_state(w, a).staleness_seconds;
	script_expect(stale_s >= 5, "lag", "who lost the lease 6 s ago says that it is %.3f s behind", stale_s);
	struct sender s = script_sender(w);
	struct script_answer answer = script_upsert(&s, a, SCRIPT_ONE, POINT, script_value(w), ACK_VISIBLE);
	script_expect(answer.how != ANSWER_DONE, "lease", "who lost the lease acknowledges a write");
	script_isolate(w, a, false);
	go_on(w);
	script_wait_level(w);
}
