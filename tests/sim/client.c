/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients. One of "s" goes from region to region, is sent to whoever writes, as a gateway would send it, and reads anywhere
 * with its session; some points are its own, and there it must never see less than it saw or was told. In "m" each writes
 * and reads anywhere, some points shared with all, some its own: its later write must win over its earlier one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "tests/sim/job.h"
#include "tests/sim/trace.h"
#include "tests/sim/world.h"

#define CLIENTS_OF_ONE 3
#define CLIENTS_OF_MANY 3
/* Points from here on belong to one client each; only those before are deleted. */
#define OWN_FROM 12
#define SESSION_WAIT_MS 500
#define PREPARE_TRIES 2000
#define UNSURE_MAX 32

struct client {
	struct world *world;
	uint32_t collection;
	uint32_t number;
	struct sender sender;
	unsigned losses; /* of disks, that it knows of */
	/* Of its own points, by key "n": */
	int64_t seen[ORACLE_POINTS];  /* read, or acknowledged: nothing older may be read; 0: nothing */
	int64_t tried[ORACLE_POINTS]; /* the newest that it wrote, whatever became of it */
	/* What became of these is not known. In "m" one may win over a later write, by the clock of where it was written: no
	 * token told the later one of it. */
	int64_t unsure[ORACLE_POINTS][UNSURE_MAX];
	unsigned unsure_count[ORACLE_POINTS];
};

/* --- what a client does --- */

static uint64_t some_id(struct client *c, bool own)
{
	uint64_t owned = (ORACLE_POINTS - OWN_FROM) / 3;

	return own ? OWN_FROM + c->number + 3 * (random_u64(&c->sender.random) % owned) : random_u64(&c->sender.random) % OWN_FROM;
}

/* What was acknowledged by a region alone is gone with its disk; a token cannot always tell. */
static void heed_losses(struct client *c)
{
	if (c->losses != c->world->losses)
		memset(c->seen, 0, sizeof(c->seen));
	c->losses = c->world->losses;
}

/* To points that belong to nobody, everything may be done. */
static struct job *job_of_all(struct client *c, uint64_t id, int64_t value)
{
	const char *name = oracle_collections[c->collection];
	struct world *w = c->world;
	struct job *j;

	switch (random_u64(&c->sender.random) % 12) {
	case 0:
		return job_of_id(w, OP_DELETE, name, id);
	case 1:
		return job_of_id(w, OP_CLEAR_PAYLOAD, name, id);
	case 2:
		return job_of_key(w, OP_DELETE_PAYLOAD, name, id, oracle_keys[value % ORACLE_KEYS]);
	case 3:
		return job_of_key(w, OP_DELETE_VECTORS, name, id, value % 2 == 0 ? "" : "sparse");
	case 4:
		j = job_of_id(w, OP_OVERWRITE_PAYLOAD, name, id);
		break;
	case 5:
	case 6:
		return job_vector(w, name, id, value);
	case 7:
	case 8:
	case 9:
		j = job_of_id(w, OP_SET_PAYLOAD, name, id);
		break;
	default:
		return job_upsert(w, name, id, value);
	}
	j->intent.body.payload = job_payload(j, oracle_keys[value % ORACLE_KEYS], value);
	return j;
}

/* Of one's own points "n" only ever becomes greater. *ret_tries: it is written, *ret_counts: so that it can be read. */
static struct job *job_of_own(struct client *c, uint64_t id, int64_t value, bool *ret_tries, bool *ret_counts)
{
	const char *name = oracle_collections[c->collection];
	unsigned which = (unsigned)(random_u64(&c->sender.random) % 8);

	*ret_tries = *ret_counts = true;
	if (which >= 4)
		return job_upsert(c->world, name, id, value);
	*ret_tries = which >= 2;
	/* Of a point that does not exist nothing is set, or nothing that could be read. */
	*ret_counts = *ret_tries && c->seen[id] != 0;
	if (which == 0)
		return job_vector(c->world, name, id, value);
	struct job *j = job_of_id(c->world, OP_SET_PAYLOAD, name, id);
	j->intent.body.payload = job_payload(j, oracle_keys[which == 1], value);
	return j;
}

/* What it had seen is gone, with a disk or as an orphan: it begins anew. */
static void forget(struct client *c)
{
	trace("client %s%u forgets its session", oracle_collections[c->collection], c->number);
	c->sender.session = (struct session){ 0 };
	c->sender.orphaned = false;
	memset(c->seen, 0, sizeof(c->seen));
}

static void write_something(struct client *c)
{
	bool own = random_u64(&c->sender.random) % 2 == 0;
	uint64_t id = some_id(c, own);
	int64_t value = c->world->next_value++;
	struct write answer = { 0 };
	bool tries = false, counts = false;
	struct job *j = own ? job_of_own(c, id, value, &tries, &counts) : job_of_all(c, id, value);

	if (tries)
		c->tried[id] = value;
	c->world->writes++;
	enum op_kind kind = j->intent.kind;
	enum answer a = job_send(&c->sender, j, &answer);

	c->world->acknowledged += a == ANSWER_DONE;
	if (c->sender.orphaned)
		forget(c);
	heed_losses(c);
	if (counts && a == ANSWER_DONE)
		c->seen[id] = value;
	if (tries && a == ANSWER_UNKNOWN)
		c->unsure[id][c->unsure_count[id]++ % UNSURE_MAX] = value;
	trace("client %s%u: %s %ld to %lu: %d (%lu,%lu) %s", oracle_collections[c->collection], c->number,
	      op_kind_name(kind), (long)value, (unsigned long)id, a, (unsigned long)answer.position.epoch,
	      (unsigned long)answer.position.seq, answer.err ? fault_text(&answer.fault) : "");
}

static int64_t read_value(struct boot *b, uint32_t collection, uint64_t id)
{
	const char *name = oracle_collections[collection];
	struct collection *c = catalog_get(b->catalog, (struct str){ name, strlen(name) });
	CLEANUP(arena_release) struct arena a;
	struct record_want want = { .payload = true };
	struct point_id point = { .lo = id };
	struct record r = { 0 };
	struct value v;

	arena_init(&a, 1 << 20);
	if (!c)
		return 0;
	struct fault f = { 0 };
	enum err err = collection_retrieve(c, &point, 1, &want, &a, &r, &f);
	collection_unref(c);
	if (err)
		violation("read", "a point cannot be read in %s: %s", b->site->name, fault_text(&f));
	struct str key = { oracle_keys[0], strlen(oracle_keys[0]) };

	return r.found && r.payload.data && value_get(r.payload, key, &v) ? value_int(v) : 0;
}

static bool is_unsure(const struct client *c, uint64_t id, int64_t value)
{
	for (unsigned i = 0; i < UNSURE_MAX && c->collection == 1; i++)
		if (c->unsure[id][i] == value)
			return true;
	return false;
}

static void check_read(struct client *c, const struct boot *b, uint64_t id, int64_t value)
{
	trace("client %s%u read %ld of %lu in %s", oracle_collections[c->collection], c->number, (long)value,
	      (unsigned long)id, b->site->name);
	if ((value == ORACLE_DAMAGE && c->world->damaged) || (value != 0 && is_unsure(c, id, value)))
		return;
	/* Without leases two may answer as the primary, and only what was confirmed is promised. */
	if (world_has(c->world, FAULT_NO_LEASES))
		return;
	/* Open: a region with a new disk begins a log where all write before it has its old ones back, and who has the newer one is
	 * taken to have these, too. */
	if (c->collection == 1 && c->world->losses > 0)
		return;
	if (value < c->seen[id])
		violation("session", "client %s%u reads %ld of point %lu in %s and has seen %ld",
			  oracle_collections[c->collection], c->number, (long)value, (unsigned long)id, b->site->name,
			  (long)c->seen[id]);
	if (value > c->tried[id])
		violation("session", "client %s%u reads %ld of point %lu in %s, which it never wrote",
			  oracle_collections[c->collection], c->number, (long)value, (unsigned long)id, b->site->name);
	c->seen[id] = MAX(c->seen[id], value);
}

static void read_something(struct client *c)
{
	uint64_t id = some_id(c, true);
	struct session now;
	struct fault f = { 0 };

	job_travel(c->world);
	struct boot *b = site_enter(&c->world->sites[random_u64(&c->sender.random) % NET_REGIONS]);
	if (!b)
		return;
	enum err err = replicator_find_session(b->replicator, &c->sender.session, SESSION_WAIT_MS, &f);
	if (err == ERR_SESSION_ORPHANED)
		forget(c);
	heed_losses(c);
	if (err == ERR_NONE && !b->end.dead) {
		c->world->reads++;
		check_read(c, b, id, read_value(b, c->collection, id));
		replicator_session(b->replicator, &now);
		for (uint32_t i = 0; i < now.count; i++)
			session_join(&c->sender.session, now.scopes[i], now.positions[i]);
		c->sender.session.hlc = MAX(c->sender.session.hlc, now.hlc);
	}
	site_leave(b);
	job_travel(c->world);
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	struct world *w = c->world;

	while (!w->clients_stop) {
		if (random_u64(&c->sender.random) % 3 == 0)
			read_something(c);
		else
			write_something(c);
		fiber_sleep_ns(random_u64(&c->sender.random) % w->pause_ns_max);
	}
	w->clients_alive--;
	fiber_wake(&w->clients_ended, true);
	free(c);
	return NULL;
}

static void start_one(struct world *w, uint32_t collection, uint32_t number)
{
	struct client *c = calloc(1, sizeof(*c));

	ASSERT(c);
	*c = (struct client){ .world = w,
			      .collection = collection,
			      .number = number,
			      .sender = { .world = w,
					  .random = { w->seed * 31 + collection * 7 + number },
					  .anywhere = collection == 1 } };
	w->clients_alive++;
	fiber_detach(fiber_new("client", NULL, client_main, c));
}

void clients_start(struct world *w)
{
	for (uint32_t i = 0; i < CLIENTS_OF_ONE; i++)
		start_one(w, 0, i);
	for (uint32_t i = 0; i < CLIENTS_OF_MANY; i++)
		start_one(w, 1, i);
	operator_start(w);
}

static bool all_have(struct world *w, uint32_t collection)
{
	const char *name = oracle_collections[collection];
	bool all = true;

	for (uint32_t i = 0; i < NET_REGIONS && all; i++) {
		struct boot *b = site_enter(&w->sites[i]);
		struct incarnation incarnation;

		all = b && catalog_has(b->catalog, (struct str){ name, strlen(name) }, &incarnation);
		if (b)
			site_leave(b);
	}
	return all;
}

void clients_prepare(struct world *w)
{
	for (uint32_t i = 0; i < ORACLE_COLLECTIONS; i++) {
		struct sender operator = { .world = w, .random = { w->seed + i } };
		struct write answer = { 0 };
		unsigned tries = 0;

		while (job_send(&operator, job_create(w, oracle_collections[i], i == 1), &answer) != ANSWER_DONE) {
			if (++tries == PREPARE_TRIES)
				violation("progress", "collection %s cannot be made: %s", oracle_collections[i],
					  fault_text(&answer.fault));
			fiber_sleep_ns(20 * NS_PER_MS);
		}
		while (!all_have(w, i)) {
			if (++tries == PREPARE_TRIES)
				violation("progress", "collection %s does not come to all regions",
					  oracle_collections[i]);
			fiber_sleep_ns(20 * NS_PER_MS);
		}
	}
}
