/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/job.h"

#include <stdlib.h>
#include <string.h>

#include "base/panic.h"

#define PATIENCE_NS (8 * NS_PER_S)
#define LEVEL_WAIT_MS 3000
/* A client is near to each region: from one to another it is faster than they tell each other anything. */
#define TRAVEL_NS_MIN 200000u
#define TRAVEL_NS_MORE (2 * NS_PER_MS)

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

struct job *job_new(struct world *w, enum op_kind kind, const char *collection)
{
	struct job *j = calloc(1, sizeof(*j));

	ASSERT(j);
	j->world = w;
	j->intent = (struct intent){ .kind = kind, .collection = { collection, strlen(collection) } };
	j->w = (struct write){ .intents = &j->intent, .intent_count = 1, .bytes = 100, .ack = ACK_VISIBLE, .done = job_done };
	return j;
}

struct value job_payload(struct job *j, const char *key, int64_t number)
{
	CLEANUP(buf_release) struct buf item = BUF_INIT(JOB_PAYLOAD_BYTES);
	CLEANUP(buf_release) struct buf object = BUF_INIT(JOB_PAYLOAD_BYTES);

	value_put_int(&item, number);
	struct value_member m = { .key = { key, strlen(key) }, .value = value_of_buf(&item) };
	ASSERT(value_put_object(&object, &m, 1) == ERR_NONE);
	memcpy(j->payload, object.data, object.len);
	return (struct value){ .data = j->payload, .len = (uint32_t)object.len };
}

/* Every other one has a dense vector. */
static void put_vector(struct job *j, int64_t number)
{
	bool dense = number % 2 == 0;

	for (unsigned i = 0; i < LEN(j->values); i++)
		j->values[i] = (float)(number + i);
	j->indices[0] = 3;
	j->vector = (struct op_vector){
		.name = { dense ? "" : "sparse", dense ? 0 : strlen("sparse") },
		.vector = { .kind = dense ? VECTOR_DENSE : VECTOR_SPARSE,
			    .count = dense ? LEN(j->values) : 1,
			    .values = j->values,
			    .indices = dense ? NULL : j->indices },
		.slot = SLOT_NONE,
	};
}

struct job *job_upsert(struct world *w, const char *collection, uint64_t id, int64_t number)
{
	struct job *j = job_new(w, OP_UPSERT, collection);

	put_vector(j, number);
	j->point = (struct op_point){ .id = { .lo = id },
				      .vectors = &j->vector,
				      .vector_count = 1,
				      .payload = job_payload(j, oracle_keys[0], number) };
	j->intent.body = (struct op){ .points = &j->point, .point_count = 1 };
	return j;
}

struct job *job_vector(struct world *w, const char *collection, uint64_t id, int64_t number)
{
	struct job *j = job_new(w, OP_UPDATE_VECTORS, collection);

	put_vector(j, number);
	j->point = (struct op_point){ .id = { .lo = id }, .vectors = &j->vector, .vector_count = 1 };
	j->intent.body = (struct op){ .points = &j->point, .point_count = 1 };
	return j;
}

struct job *job_of_id(struct world *w, enum op_kind kind, const char *collection, uint64_t id)
{
	struct job *j = job_new(w, kind, collection);

	j->id = (struct point_id){ .lo = id };
	j->intent.body = (struct op){ .ids = &j->id, .id_count = 1 };
	return j;
}

struct job *job_of_key(struct world *w, enum op_kind kind, const char *collection, uint64_t id, const char *key)
{
	struct job *j = job_of_id(w, kind, collection, id);

	j->key = (struct str){ key, strlen(key) };
	j->intent.body.keys = &j->key;
	j->intent.body.key_count = 1;
	return j;
}

struct job *job_change_if(struct world *w, const char *collection, const char *key, int64_t is, int64_t becomes)
{
	struct job *j = job_new(w, OP_SET_PAYLOAD, collection);

	j->condition = (struct condition){ .kind = CONDITION_MATCH_INT_VALUE, .integer = is };
	ASSERT(path_parse((struct str){ key, strlen(key) }, &j->condition.key, NULL) == ERR_NONE);
	j->filter.must = (struct condition_list){ .items = &j->condition, .count = 1 };
	ASSERT(filter_prepare(&j->filter, NULL) == ERR_NONE);
	j->intent.filter = &j->filter;
	j->intent.body.payload = job_payload(j, key, becomes);
	return j;
}

struct job *job_create(struct world *w, const char *collection, bool multi_writer)
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
							    .multi_writer = multi_writer };
	return j;
}

/* --- to and from a region --- */

void job_travel(struct world *w)
{
	fiber_sleep_ns(TRAVEL_NS_MIN + random_u64(&w->random) % TRAVEL_NS_MORE);
}

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
		job_travel(w);
		ask = writer - 1u;
	}
	return NULL;
}

/* j->boot is where it arrived; NULL: nowhere. */
static enum answer send_in(struct sender *s, struct job *j, enum ack_level ack, struct write *ret_write)
{
	struct world *w = s->world;
	uint64_t hlc = 0;

	if (!j->boot) {
		free(j);
		return ANSWER_REFUSED;
	}
	/* As a region does before it takes a write: what the client has seen must be in the history. */
	struct fault f = { 0 };
	if (replicator_find_session(j->boot->replicator, &s->session, 0, &f) == ERR_SESSION_ORPHANED) {
		s->orphaned = true;
		site_leave(j->boot);
		free(j);
		return ANSWER_REFUSED;
	}
	j->w.hlc_floor = s->session.hlc;
	j->w.ack = ack;
	if (j->w.ack > ACK_VISIBLE)
		j->w.deadline_ns = clock_mono_ns(&j->boot->site->machine.clock) + LEVEL_WAIT_MS * NS_PER_MS;
	enum answer a = hand_in(j, ret_write, &hlc);

	/* A token comes back with the answer. */
	if (a == ANSWER_DONE && ret_write->position.epoch != 0)
		session_join(&s->session, position_is_multi(ret_write->position) ? SCOPE_MULTI : SCOPE_FLEET,
			     ret_write->position);
	if (a == ANSWER_DONE) {
		s->session.hlc = MAX(s->session.hlc, hlc);
		job_travel(w);
	}
	return a;
}

enum answer job_send_to(struct sender *s, struct job *j, uint32_t region, enum ack_level ack, struct write *ret_write)
{
	job_travel(s->world);
	j->boot = site_enter(&s->world->sites[region]);
	return send_in(s, j, ack, ret_write);
}

enum answer job_send(struct sender *s, struct job *j, struct write *ret_write)
{
	struct world *w = s->world;
	uint32_t at = (uint32_t)(random_u64(&s->random) % NET_REGIONS);

	job_travel(w);
	j->boot = s->anywhere ? site_enter(&w->sites[at]) : enter_writer(w, at);
	return send_in(s, j, (enum ack_level)(ACK_VISIBLE + random_u64(&s->random) % 3), ret_write);
}
