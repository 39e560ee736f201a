/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients. One of "s" goes from region to region, is sent to whoever writes, as a gateway would send it, and reads anywhere
 * with its session; some points are its own, and there it must never see less than it saw or was told. In "m" each writes
 * and reads anywhere, some points shared with all, some its own: its later write must win over its earlier one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "replicator/session.h"
#include "tests/sim/trace.h"
#include "tests/sim/world.h"

#define CLIENTS_OF_ONE 3
#define CLIENTS_OF_MANY 3
/* Points from here on belong to one client each; only those before are deleted. */
#define OWN_FROM 12
#define PATIENCE_NS (8 * NS_PER_S)
#define LEVEL_WAIT_MS 3000
#define SESSION_WAIT_MS 500
#define VALUE_BYTES 512
#define PREPARE_TRIES 2000
#define UNSURE_MAX 32

struct client {
	struct world *world;
	uint32_t collection;
	uint32_t number;
	struct random random;
	struct session session;
	unsigned losses; /* of disks, that it knows of */
	/* Of its own points, by key "n": */
	int64_t seen[ORACLE_POINTS];  /* read, or acknowledged: nothing older may be read; 0: nothing */
	int64_t tried[ORACLE_POINTS]; /* the newest that it wrote, whatever became of it */
	/* What became of these is not known. In "m" one may win over a later write, by the clock of where it was written: no
	 * token told the later one of it. */
	int64_t unsure[ORACLE_POINTS][UNSURE_MAX];
	unsigned unsure_count[ORACLE_POINTS];
};

/* --- a write on its way --- */

struct job {
	struct write w;
	struct intent intent;
	struct op_point point;
	struct op_vector vector;
	struct point_id id;
	struct vector_config vectors[2];
	uint8_t payload[VALUE_BYTES];
	struct world *world;
	struct boot *boot;
	bool finished;       /* the committer is done with it, */
	bool answered;       /* and its process was alive then; */
	uint64_t hlc;        /* the clock of its region stood there */
	bool abandoned;      /* by its client */
	struct fiber_line done;
};

static void job_done(struct write *w)
{
	struct job *j = CONTAINER_OF(w, struct job, w);
	struct boot *b = j->boot;
	struct committer_state s;

	committer_state(replicator_committer(b->replicator), &s);
	j->hlc = s.hlc;
	j->finished = true;
	j->answered = !b->end.dead;
	if (j->answered && !w->err && w->position.epoch != 0)
		oracle_acknowledged(j->world->oracle, b->site->number, w->position, w->reached);
	if (j->abandoned)
		free(j);
	else
		fiber_wake(&j->done, true);
}

static struct job *job_new(struct world *w, enum op_kind kind, uint32_t collection)
{
	struct job *j = calloc(1, sizeof(*j));
	const char *name = oracle_collections[collection];

	ASSERT(j);
	j->world = w;
	j->intent = (struct intent){ .kind = kind, .collection = { name, strlen(name) } };
	j->w = (struct write){ .intents = &j->intent, .intent_count = 1, .bytes = 100, .ack = ACK_VISIBLE, .done = job_done };
	return j;
}

/* {"n": value} or {"x": value} */
static struct value put_payload(struct job *j, uint32_t key, int64_t number)
{
	CLEANUP(buf_release) struct buf item = BUF_INIT(VALUE_BYTES);
	CLEANUP(buf_release) struct buf object = BUF_INIT(VALUE_BYTES);

	value_put_int(&item, number);
	struct value_member m = { .key = { oracle_keys[key], strlen(oracle_keys[key]) }, .value = value_of_buf(&item) };
	ASSERT(value_put_object(&object, &m, 1) == ERR_NONE);
	memcpy(j->payload, object.data, object.len);
	return (struct value){ .data = j->payload, .len = (uint32_t)object.len };
}

static struct job *job_upsert(struct world *w, uint32_t collection, uint64_t id, int64_t number)
{
	static const float values[4] = { 1.0F, 2.0F, 3.0F, 4.0F };
	static const uint32_t indices[] = { 3 };
	struct job *j = job_new(w, OP_UPSERT, collection);
	bool dense = number % 2 == 0;

	j->vector = (struct op_vector){
		.name = { dense ? "" : "sparse", dense ? 0 : strlen("sparse") },
		.vector = { .kind = dense ? VECTOR_DENSE : VECTOR_SPARSE,
			    .count = dense ? 4 : 1,
			    .values = values,
			    .indices = dense ? NULL : indices },
		.slot = SLOT_NONE,
	};
	j->point = (struct op_point){ .id = { .lo = id },
				      .vectors = &j->vector,
				      .vector_count = 1,
				      .payload = put_payload(j, 0, number) };
	j->intent.body = (struct op){ .points = &j->point, .point_count = 1 };
	return j;
}

static struct job *job_of_id(struct world *w, enum op_kind kind, uint32_t collection, uint64_t id)
{
	struct job *j = job_new(w, kind, collection);

	j->id = (struct point_id){ .lo = id };
	j->intent.body = (struct op){ .ids = &j->id, .id_count = 1 };
	return j;
}

static struct job *job_create(struct world *w, uint32_t collection)
{
	struct job *j = job_new(w, OP_CREATE_COLLECTION, collection);

	j->vectors[0] = (struct vector_config){
		.name = STR(""),
		.dim = 4,
		.distance = DISTANCE_DOT,
		.hnsw = { .m = 16, .ef_construct = 100, .full_scan_threshold_kb = 10000 },
	};
	j->vectors[1] = (struct vector_config){ .name = STR("sparse"), .sparse = true };
	j->intent.body.config = (struct collection_config){ .vectors = j->vectors,
							    .vector_count = 2,
							    .shard_number = 2,
							    .indexing_threshold_kb = 10000,
							    .multi_writer = collection == 1 };
	return j;
}

/* --- to and from a region --- */

enum answer { ANSWER_DONE, ANSWER_REFUSED, ANSWER_UNKNOWN };

static void travel(struct world *w)
{
	fiber_sleep_ns(net_delay_ns(w->net));
}

/* Gives the job away. */
static enum answer hand_in(struct job *j, struct write *ret_write, uint64_t *ret_hlc)
{
	uint64_t until_ns = fiber_now_ns() + PATIENCE_NS;

	if (committer_submit(replicator_committer(j->boot->replicator), &j->w) != ERR_NONE) {
		site_leave(j->boot);
		free(j);
		return ANSWER_REFUSED;
	}
	site_leave(j->boot);
	while (!j->finished && fiber_now_ns() < until_ns)
		(void)fiber_wait(&j->done, until_ns);
	if (!j->finished) {
		j->abandoned = true;
		return ANSWER_UNKNOWN;
	}
	*ret_write = j->w;
	*ret_hlc = j->hlc;
	bool answered = j->answered;
	free(j);
	if (!answered || ret_write->err == ERR_IO || ret_write->err == ERR_TIMEOUT)
		return ANSWER_UNKNOWN;
	return ret_write->err == ERR_NONE ? ANSWER_DONE : ANSWER_REFUSED;
}

/* The process of the region that takes writes of "s", as a region that is asked for it says; NULL: nobody. */
static struct boot *enter_writer(struct world *w, uint32_t ask)
{
	for (unsigned hops = 0; hops < 2; hops++) {
		struct boot *b = site_enter(&w->sites[ask]);
		struct fault f = { 0 };
		uint8_t writer = 0;

		if (!b)
			return NULL;
		if (replicator_admit(b->replicator, &writer, &f) == ERR_NONE)
			return b;
		site_leave(b);
		if (writer == 0)
			return NULL;
		travel(w);
		ask = writer - 1u;
	}
	return NULL;
}

static enum answer send_job(struct client *c, struct job *j, struct write *ret_write)
{
	struct world *w = c->world;
	uint32_t at = (uint32_t)(random_u64(&c->random) % NET_REGIONS);

	travel(w);
	j->boot = c->collection == 0 ? enter_writer(w, at) : site_enter(&w->sites[at]);
	if (!j->boot) {
		free(j);
		return ANSWER_REFUSED;
	}
	j->w.hlc_floor = c->session.hlc;
	j->w.ack = (enum ack_level)(ACK_VISIBLE + random_u64(&c->random) % 3);
	if (j->w.ack > ACK_VISIBLE)
		j->w.deadline_ns = clock_mono_ns(&j->boot->site->machine.clock) + LEVEL_WAIT_MS * NS_PER_MS;
	uint64_t hlc = 0;
	enum answer a = hand_in(j, ret_write, &hlc);

	/* A token comes back with the answer. */
	if (a == ANSWER_DONE && ret_write->position.epoch != 0)
		session_join(&c->session, position_is_multi(ret_write->position) ? SCOPE_MULTI : SCOPE_FLEET,
			     ret_write->position);
	if (a == ANSWER_DONE) {
		c->session.hlc = MAX(c->session.hlc, hlc);
		travel(w);
	}
	return a;
}

/* --- what a client does --- */

static uint64_t some_id(struct client *c, bool own)
{
	uint64_t owned = (ORACLE_POINTS - OWN_FROM) / 3;

	return own ? OWN_FROM + c->number + 3 * (random_u64(&c->random) % owned) : random_u64(&c->random) % OWN_FROM;
}

/* What was acknowledged by a region alone is gone with its disk; a token cannot always tell. */
static void heed_losses(struct client *c)
{
	if (c->losses != c->world->losses)
		memset(c->seen, 0, sizeof(c->seen));
	c->losses = c->world->losses;
}

static void write_something(struct client *c)
{
	bool own = random_u64(&c->random) % 2 == 0;
	uint64_t id = some_id(c, own);
	int64_t value = c->world->next_value++;
	unsigned which = (unsigned)(random_u64(&c->random) % 8);
	struct write answer = { 0 };
	struct job *j;
	bool tries = false, counts = false;

	if (!own && which == 0) {
		j = job_of_id(c->world, OP_DELETE, c->collection, id);
	} else if (which < 4) {
		uint32_t key = which == 1 ? 1 : 0;
		j = job_of_id(c->world, OP_SET_PAYLOAD, c->collection, id);
		j->intent.body.payload = put_payload(j, key, value);
		tries = own && key == 0;
		/* Of a point that does not exist nothing is set, or nothing that could be read. */
		counts = tries && c->seen[id] != 0;
	} else {
		j = job_upsert(c->world, c->collection, id, value);
		tries = counts = own;
	}
	if (tries)
		c->tried[id] = value;
	c->world->writes++;
	enum answer a = send_job(c, j, &answer);

	c->world->acknowledged += a == ANSWER_DONE;
	heed_losses(c);
	if (counts && a == ANSWER_DONE)
		c->seen[id] = value;
	if (tries && a == ANSWER_UNKNOWN)
		c->unsure[id][c->unsure_count[id]++ % UNSURE_MAX] = value;
	trace("client %s%u wrote %ld to %lu: %d (%lu,%lu) %s", oracle_collections[c->collection], c->number, (long)value,
	      (unsigned long)id, a, (unsigned long)answer.position.epoch, (unsigned long)answer.position.seq,
	      answer.err ? fault_text(&answer.fault) : "");
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
	enum err err = collection_retrieve(c, &point, 1, &want, &a, &r);
	collection_unref(c);
	if (err)
		violation("read", "a point cannot be read in %s: %s", b->site->name, err_sentence(err));
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
	if (value < c->seen[id])
		violation("session", "client %s%u reads %ld of point %lu in %s and has seen %ld",
			  oracle_collections[c->collection], c->number, (long)value, (unsigned long)id, b->site->name,
			  (long)c->seen[id]);
	if (value > c->tried[id])
		violation("session", "client %s%u reads %ld of point %lu in %s, which it never wrote",
			  oracle_collections[c->collection], c->number, (long)value, (unsigned long)id, b->site->name);
	c->seen[id] = MAX(c->seen[id], value);
}

/* What it had seen is gone with a disk: it begins anew. */
static void forget(struct client *c)
{
	trace("client %s%u forgets its session", oracle_collections[c->collection], c->number);
	c->session = (struct session){ 0 };
	memset(c->seen, 0, sizeof(c->seen));
}

static void read_something(struct client *c)
{
	uint64_t id = some_id(c, true);
	struct session now;
	struct fault f = { 0 };

	travel(c->world);
	struct boot *b = site_enter(&c->world->sites[random_u64(&c->random) % NET_REGIONS]);
	if (!b)
		return;
	enum err err = replicator_find_session(b->replicator, &c->session, SESSION_WAIT_MS, &f);
	if (err == ERR_SESSION_ORPHANED)
		forget(c);
	heed_losses(c);
	if (err == ERR_NONE && !b->end.dead) {
		c->world->reads++;
		check_read(c, b, id, read_value(b, c->collection, id));
		replicator_session(b->replicator, &now);
		for (uint32_t i = 0; i < now.count; i++)
			session_join(&c->session, now.scopes[i], now.positions[i]);
		c->session.hlc = MAX(c->session.hlc, now.hlc);
	}
	site_leave(b);
	travel(c->world);
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	struct world *w = c->world;

	while (!w->clients_stop) {
		if (random_u64(&c->random) % 3 == 0)
			read_something(c);
		else
			write_something(c);
		fiber_sleep_ns(random_u64(&c->random) % w->pause_ns_max);
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
			      .random = { w->seed * 31 + collection * 7 + number } };
	w->clients_alive++;
	fiber_detach(fiber_new("client", NULL, client_main, c));
}

void clients_start(struct world *w)
{
	for (uint32_t i = 0; i < CLIENTS_OF_ONE; i++)
		start_one(w, 0, i);
	for (uint32_t i = 0; i < CLIENTS_OF_MANY; i++)
		start_one(w, 1, i);
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
		struct client operator = { .world = w, .random = { w->seed + i } };
		struct write answer = { 0 };
		unsigned tries = 0;

		while (send_job(&operator, job_create(w, i), &answer) != ANSWER_DONE) {
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
