/* SPDX-License-Identifier: Apache-2.0 */
/* What clients see: conditions, sessions, collections, several writers; and who was away. */
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "tests/sim/script.h"
#include "tests/sim/trace.h"

#define FEW 5
#define POINT 9
#define NAME "u"

static void must_switch(struct world *w, uint32_t from, uint32_t to)
{
	enum err err = ERR_TIMEOUT;

	for (unsigned tries = 0; tries < 20 && err != ERR_NONE && script_writer(w) != to; tries++)
		err = script_switch(w, from, to);
	script_expect(script_writer(w) == to, "progress", "the role cannot be handed to %s", site_names[to]);
}

/* --- S19: a region is away while epochs pass --- */

/* The seed says over how many, and where it finds what it missed: in the old streams, in peers' logs, in these alone. */
void scenario_S19_away(struct world *w)
{
	static const unsigned epochs[] = { 1, 2, 5 };
	struct sender s = script_sender(w);
	uint32_t away = 1;

	script_writes(&s, FEW);
	script_crash(w, away);
	for (unsigned i = 0; i < epochs[w->seed % LEN(epochs)]; i++) {
		uint32_t writer = script_writer(w);

		must_switch(w, writer, 2 - writer);
		script_writes(&s, FEW);
	}
	for (uint32_t i = 0; i < w->seed / LEN(epochs) % 3; i++)
		stream_broker_wipe(net_broker(w->net), site_names[i * 2]);
	net_wake(w->net);
	script_start(w, away);
	script_writes(&s, FEW);
	script_wait_level(w);
}

/* --- S21, S29: collections --- */

static void ddl(struct sender *s, struct job *(*make)(struct world *w))
{
	for (unsigned tries = 0; tries < 500; tries++) {
		struct script_answer a = script_try(s, script_writer(s->world), make(s->world), ACK_CONFIRMED);

		/* It may have been done before, and not been told. */
		if (a.how == ANSWER_DONE ||
		    (tries > 0 && (a.write.err == ERR_ALREADY_EXISTS || a.write.err == ERR_NOT_FOUND)))
			return;
		script_sleep_ms(20);
	}
	violation("progress", "a collection cannot be changed");
}

static struct job *create(struct world *w)
{
	return job_create(w, NAME, false);
}

static struct job *drop(struct world *w)
{
	return job_new(w, OP_DROP_COLLECTION, NAME);
}

static void fill(struct sender *s, const char *name)
{
	for (uint64_t id = 0; id < FEW; id++) {
		struct script_answer a = script_try(s, script_writer(s->world),
						    job_upsert(s->world, name, id, script_value(s->world)), ACK_VISIBLE);

		script_expect(a.how == ANSWER_DONE, "schema", "a collection that was made takes no points");
	}
}

/* It comes, goes and comes again while one region is cut off: what it had before does not come back. */
void scenario_S21_again(struct world *w)
{
	struct sender s = script_sender(w);
	uint32_t away = 1 + (uint32_t)w->seed % 2;

	ddl(&s, create);
	fill(&s, NAME);
	script_isolate(w, away, w->seed % 4 < 2);
	ddl(&s, drop);
	ddl(&s, create);
	script_isolate(w, away, false);
	script_wait_level(w);
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		struct boot *b = site_enter(&w->sites[i]);
		struct collection *c = catalog_get(b->catalog, STR(NAME));
		uint64_t points = 0;

		script_expect(c && collection_count(c, NULL, NULL, &points) == ERR_NONE && points == 0, "schema",
			      "%s has %lu points of a collection that was dropped", site_names[i], (unsigned long)points);
		collection_unref(c);
		site_leave(b);
	}
	fill(&s, NAME);
}

/* The role moves between a change and the writes that rely on it. */
void scenario_S29_switch(struct world *w)
{
	struct sender s = script_sender(w);

	for (uint32_t i = 0; i < 2; i++) {
		ddl(&s, create);
		must_switch(w, i, i + 1);
		fill(&s, NAME);
		ddl(&s, drop);
		must_switch(w, i + 1, i);
		ddl(&s, create);
		ddl(&s, drop);
		must_switch(w, i, i + 1);
	}
	script_wait_level(w);
}

/* --- S25: conditions --- */

#define CHANGERS 4
#define VALUES_MAX 1024

struct changers {
	struct world *world;
	unsigned alive;
	struct fiber_line ended;
	bool stop;
	bool changed[VALUES_MAX]; /* by somebody who was told so */
};

struct changer {
	struct changers *all;
	struct sender sender;
};

static int64_t value_at(struct world *w, uint32_t region)
{
	struct boot *b = site_enter(&w->sites[region]);
	struct last_writer_point p = { 0 };

	if (b) {
		oracle_read_point(b, SCRIPT_ONE, POINT, &p);
		site_leave(b);
	}
	return p.values[0];
}

/* Each value is changed once: of two who want to, one finds it changed. */
static void change_once(struct changer *c)
{
	struct world *w = c->all->world;
	uint32_t region = (uint32_t)(random_u64(&c->sender.random) % NET_REGIONS);
	int64_t is = value_at(w, region);
	struct script_answer a = script_try(
		&c->sender, region, job_change_if(w, oracle_collections[SCRIPT_ONE], oracle_keys[0], is, script_value(w)),
		ACK_VISIBLE);

	if (a.how != ANSWER_DONE || a.write.position.epoch == 0)
		return;
	ASSERT(is > 0 && is < VALUES_MAX);
	script_expect(!c->all->changed[is], "condition", "two writes found the value %ld and changed it", (long)is);
	c->all->changed[is] = true;
}

static void *change(void *arg)
{
	struct changer *c = arg;
	struct changers *all = c->all;

	while (!all->stop) {
		change_once(c);
		fiber_sleep_ns(random_u64(&c->sender.random) % (20 * NS_PER_MS));
	}
	all->alive--;
	fiber_wake(&all->ended, true);
	free(c);
	return NULL;
}

/* While the role moves. */
void scenario_S25_once(struct world *w)
{
	struct changers all = { .world = w };
	struct sender s = script_sender(w);

	(void)script_write(&s, SCRIPT_ONE, POINT, script_value(w), ACK_VISIBLE);
	for (unsigned i = 0; i < CHANGERS; i++) {
		struct changer *c = calloc(1, sizeof(*c));

		ASSERT(c);
		*c = (struct changer){ &all, { .world = w, .random = { w->seed * 43 + i } } };
		all.alive++;
		fiber_detach(fiber_new("changer", NULL, change, c));
	}
	for (uint32_t i = 0; i < 3; i++) {
		script_sleep_ms(400);
		must_switch(w, script_writer(w), (script_writer(w) + 1) % NET_REGIONS);
	}
	all.stop = true;
	while (all.alive > 0)
		(void)fiber_wait(&all.ended, FIBER_FOREVER);
	unsigned changes = 0;
	for (unsigned i = 0; i < VALUES_MAX; i++)
		changes += all.changed[i];
	script_expect(changes >= 10, "progress", "only %u values were changed", changes);
}

/* --- S26: audits while regions are behind --- */

/* Slow links, cuts, changes of the role; the primary audits every second. That they find nothing is checked as they say it. */
void scenario_S26_audits(struct world *w)
{
	struct sender s = script_sender(w);

	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		w->sites[i].audit_ms = 1000;
		script_crash(w, i);
		script_start(w, i);
	}
	net_faults(w->net)->delay_ns_max = 300 * NS_PER_MS;
	for (unsigned i = 0; i < 4; i++) {
		uint32_t cut = (uint32_t)random_u64(&w->random) % NET_REGIONS;

		script_isolate(w, cut, true);
		script_sleep_ms(3000);
		script_isolate(w, cut, false);
		script_sleep_ms(2000);
		uint32_t writer = script_writer(w);
		if (script_switch(w, writer, (writer + 1) % NET_REGIONS) != ERR_NONE)
			trace("the role stays or moves later");
		script_writes(&s, FEW);
	}
	net_faults(w->net)->delay_ns_max = 20 * NS_PER_MS;
}

/* --- S27: tokens --- */

/* A region that has not what a client has seen says so, and shows it once it has. */
static void session_waits(struct world *w, uint32_t collection)
{
	struct sender s = script_sender(w);
	int64_t value = script_value(w);
	uint32_t behind = 1 + (uint32_t)w->seed % 2;
	struct script_answer a;

	script_isolate(w, behind, true);
	a = script_upsert(&s, 0, collection, POINT, value, ACK_VISIBLE);
	script_expect(a.how == ANSWER_DONE, "progress", "a write is not taken");
	script_expect(script_find(w, behind, &s.session, 300) == ERR_TIMEOUT, "session",
		      "%s says that it has what it cannot have", site_names[behind]);
	script_isolate(w, behind, false);
	script_expect(script_read(&s, behind, collection, POINT) == value, "session", "%s shows something else",
		      site_names[behind]);
}

void scenario_S27_one(struct world *w)
{
	session_waits(w, SCRIPT_ONE);
}

void scenario_S27_many(struct world *w)
{
	session_waits(w, SCRIPT_MANY);
}

/* From a clock that is ahead to one that is behind: the later write stays. */
void scenario_S27_hops(struct world *w)
{
	struct sender s = script_sender(w);
	int64_t values[FEW];

	w->sites[w->seed % NET_REGIONS].machine.wall_ms += 350;
	for (uint64_t id = 0; id < FEW; id++) {
		for (uint32_t hop = 0; hop < NET_REGIONS; hop++) {
			values[id] = script_value(w);
			struct script_answer a = script_upsert(&s, (uint32_t)(w->seed + hop) % NET_REGIONS, SCRIPT_MANY, id,
							       values[id], ACK_VISIBLE);

			script_expect(a.how == ANSWER_DONE, "progress", "a write is not taken: %s",
				      fault_text(&a.write.fault));
		}
	}
	script_wait_level(w);
	for (uint64_t id = 0; id < FEW; id++)
		script_expect(script_read(&s, 0, SCRIPT_MANY, id) == values[id], "session",
			      "a client's earlier write of %lu wins", (unsigned long)id);
}

/* What never was in an epoch that has ended is an orphan, at once; what may still come is waited for. */
void scenario_S27_unknown(struct world *w)
{
	struct sender s = script_sender(w);
	struct position p = script_write(&s, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
	struct session orphan = { 0 }, ahead = { 0 };

	must_switch(w, 0, 1);
	session_join(&orphan, SCOPE_FLEET, (struct position){ p.epoch, p.seq + 1000 });
	p = script_write(&s, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
	session_join(&ahead, SCOPE_FLEET, (struct position){ p.epoch, p.seq + 1000 });
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		script_wait_for(w, i, p);
		script_expect(script_find(w, i, &orphan, 0) == ERR_SESSION_ORPHANED, "session",
			      "%s does not know an orphan", site_names[i]);
		script_expect(script_find(w, i, &ahead, 100) == ERR_TIMEOUT, "session",
			      "%s has what was not written yet", site_names[i]);
		script_expect(script_find(w, i, &s.session, 2000) == ERR_NONE, "session", "%s has not what was confirmed",
			      site_names[i]);
	}
}

/* --- S30: several writers --- */

/* One is cut off; all write the same points. */
void scenario_S30_cut(struct world *w)
{
	struct sender senders[NET_REGIONS];
	uint32_t away = (uint32_t)w->seed % NET_REGIONS;

	for (uint32_t i = 0; i < NET_REGIONS; i++)
		senders[i] = script_sender(w);
	script_isolate(w, away, true);
	for (unsigned n = 0; n < 20; n++)
		for (uint32_t i = 0; i < NET_REGIONS; i++) {
			struct script_answer a = script_upsert(&senders[i], i, SCRIPT_MANY, n % FEW, script_value(w), ACK_VISIBLE);

			script_expect(a.how == ANSWER_DONE, "progress", "%s takes no writes", site_names[i]);
			script_sleep_ms(100);
		}
	script_isolate(w, away, false);
	script_wait_level(w);
}
