/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/script.h"

#include <string.h>

#include "base/panic.h"
#include "tests/sim/step.h"
#include "tests/sim/trace.h"

#define LOOK_NS (20 * NS_PER_MS)
#define LIMIT_NS (30 * NS_PER_S)
#define SWITCH_MS 5000
#define POINTS 12 /* of those that belong to no client */

/* --- waiting --- */

static uint64_t limit(void)
{
	return fiber_now_ns() + LIMIT_NS;
}

static void look_again(uint64_t until_ns, const char *what)
{
	if (fiber_now_ns() >= until_ns)
		violation("progress", "%s takes more than %d s", what, (int)(LIMIT_NS / NS_PER_S));
	fiber_sleep_ns(LOOK_NS);
}

void script_sleep_ms(uint64_t ms)
{
	fiber_sleep_ns(ms * NS_PER_MS);
}

void script_wait_for(struct world *w, uint32_t region, struct position p)
{
	for (uint64_t until_ns = limit(); position_compare(oracle_position(w->oracle, region), p) < 0;)
		look_again(until_ns, "catching up");
}

void script_wait_level(struct world *w)
{
	for (uint64_t until_ns = limit(); !oracle_level(w->oracle);)
		look_again(until_ns, "becoming level");
}

/* --- clients --- */

struct sender script_sender(struct world *w)
{
	return (struct sender){ .world = w, .random = { w->seed * 41 } };
}

int64_t script_value(struct world *w)
{
	return w->next_value++;
}

struct script_answer script_try(struct sender *s, uint32_t region, struct job *j, enum ack_level ack)
{
	struct script_answer a = { 0 };
	enum op_kind kind = j->intent.kind;

	a.how = job_send_to(s, j, region, ack, &a.write);
	trace("script: %s to %s: %d (%lu,%lu) level %d %s", op_kind_name(kind), site_names[region], a.how,
	      (unsigned long)a.write.position.epoch, (unsigned long)a.write.position.seq, a.write.reached,
	      a.write.err ? fault_text(&a.write.fault) : "");
	return a;
}

struct script_answer script_upsert(struct sender *s, uint32_t region, uint32_t collection, uint64_t id, int64_t value,
				   enum ack_level ack)
{
	return script_try(s, region, job_upsert(s->world, oracle_collections[collection], id, value), ack);
}

struct position script_write(struct sender *s, uint32_t collection, uint64_t id, int64_t value, enum ack_level ack)
{
	for (uint64_t until_ns = limit();;) {
		struct script_answer a = script_upsert(s, script_writer(s->world), collection, id, value, ack);

		if (a.how == ANSWER_DONE && a.write.reached >= ack)
			return a.write.position;
		if (s->orphaned)
			*s = (struct sender){ .world = s->world, .random = s->random };
		look_again(until_ns, "a write");
	}
}

void script_writes(struct sender *s, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		(void)script_write(s, SCRIPT_ONE, random_u64(&s->random) % POINTS, script_value(s->world), ACK_VISIBLE);
}

enum err script_find(struct world *w, uint32_t region, const struct session *session, uint64_t wait_ms)
{
	struct boot *b = site_enter(&w->sites[region]);
	struct fault f = { 0 };

	if (!b)
		return ERR_UNAVAILABLE;
	enum err err = replicator_find_session(b->replicator, session, wait_ms, &f);
	trace("script: session in %s: %s", site_names[region], err ? fault_text(&f) : "included");
	site_leave(b);
	return err;
}

void script_learn(struct sender *s, uint32_t region)
{
	struct boot *b = site_enter(&s->world->sites[region]);

	ASSERT(b);
	replicator_session(b->replicator, &s->session);
	site_leave(b);
}

static int64_t read_here(struct boot *b, uint32_t collection, uint64_t id)
{
	struct last_writer_point p;

	oracle_read_point(b, collection, id, &p);
	return p.found ? p.values[0] : 0;
}

int64_t script_read(struct sender *s, uint32_t region, uint32_t collection, uint64_t id)
{
	for (uint64_t until_ns = limit(); script_find(s->world, region, &s->session, 100) != ERR_NONE;)
		look_again(until_ns, "a read with a session");
	struct boot *b = site_enter(&s->world->sites[region]);
	ASSERT(b);
	int64_t value = read_here(b, collection, id);
	site_leave(b);
	trace("script: %ld of %lu in %s", (long)value, (unsigned long)id, site_names[region]);
	return value;
}

/* --- regions --- */

void script_crash(struct world *w, uint32_t region)
{
	struct site *s = &w->sites[region];

	if (!s->boot)
		return;
	trace("script: crashes %s", s->name);
	site_crash(s);
}

static void wait_up(struct world *w, uint32_t region)
{
	for (uint64_t until_ns = limit(); !w->sites[region].boot || !w->sites[region].boot->up;)
		look_again(until_ns, "a start");
}

void script_start(struct world *w, uint32_t region)
{
	if (!w->sites[region].boot) {
		trace("script: starts %s", site_names[region]);
		w->restarts++;
		site_start(&w->sites[region]);
	}
	wait_up(w, region);
}

static void crash_now(void *ctx)
{
	struct site *s = ctx;

	if (!s->boot)
		return;
	trace("script: %s dies at this step", s->name);
	site_crash(s);
}

void script_crash_at(struct world *w, uint32_t region, uint64_t step)
{
	step_arm(region, step, crash_now, &w->sites[region]);
}

void script_revive(struct world *w, uint32_t region)
{
	(void)step_disarm();
	script_start(w, region);
}

void script_wipe(struct world *w, uint32_t region)
{
	script_put_back(w, region, NULL);
}

void script_put_back(struct world *w, uint32_t region, struct store *old)
{
	oracle_excuse(w->oracle, region);
	w->losses++;
	script_crash(w, region);
	trace("script: %s %s", old ? "puts back" : "wipes", site_names[region]);
	if (old)
		disk_restore(w->sites[region].disk, old);
	else
		disk_wipe(w->sites[region].disk);
	oracle_replaced(w->oracle, region);
}

void script_isolate(struct world *w, uint32_t region, bool cut)
{
	trace("script: %s %s", cut ? "isolates" : "heals", site_names[region]);
	for (uint32_t i = 0; i < NET_REGIONS; i++)
		if (i != region) {
			net_cut(w->net, i, region, cut);
			net_cut(w->net, region, i, cut);
		}
}

enum err script_switch(struct world *w, uint32_t from, uint32_t to)
{
	struct boot *b = site_enter(&w->sites[from]);
	struct switchover_report report;
	struct fault f = { 0 };

	if (!b)
		return ERR_UNAVAILABLE;
	enum err err = replicator_switchover(b->replicator, (uint8_t)(to + 1), SWITCH_MS, &report, &f);
	site_leave(b);
	w->switchovers += err == ERR_NONE;
	trace("script: switchover from %s to %s: %s", site_names[from], site_names[to], err ? fault_text(&f) : "done");
	return err;
}

struct replicator_state script_state(struct world *w, uint32_t region)
{
	struct boot *b = site_enter(&w->sites[region]);
	struct replicator_state s = { 0 };

	if (b) {
		replicator_state(b->replicator, &s);
		site_leave(b);
	}
	return s;
}

uint32_t script_writer(struct world *w)
{
	for (uint64_t until_ns = limit();;) {
		uint32_t writers = 0, writer = 0;

		for (uint32_t i = 0; i < NET_REGIONS; i++)
			if (script_state(w, i).is_writer) {
				writers++;
				writer = i;
			}
		if (writers == 1)
			return writer;
		look_again(until_ns, "that one region writes");
	}
}
