/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three regions in one process, each whole and with its real threads: stores and catalogs in memory, streams of one broker
 * (replicator/stream_mem.h) that a thread steps, and a direct way from each region to the logs of the others. The
 * broker knows no threads, so everything that reaches it goes through a lock.
 */
#pragma once

#include <sched.h>
#include <stdatomic.h>

#include "replicator/replicator.h"
#include "replicator/stream_mem.h"
#include "tests/replicator/region.h"

#define FLEET_REGIONS 3
/* Everything here waits for a condition, and no longer than this. */
#define FLEET_WAIT_MS 20000
#define FLEET_STEPS 256

static const char *const fleet_names[FLEET_REGIONS] = { "ams", "fra", "nyc" };

struct fleet;

/* The way of one region to the others. */
struct fleet_link {
	struct peer_link link;
	struct fleet *fleet;
	uint32_t from;
};

/* The machine's clocks, of which a region may have others. */
struct fleet_clock {
	struct clock clock;
	atomic_int_fast64_t wall_ahead_ms;
	atomic_uint_fast64_t mono_ahead_ns; /* moves forward only */
};

struct fleet_region {
	struct region r;             /* its store, catalog, committer: for the helpers of region.h */
	struct fleet *fleet;
	uint32_t number;             /* its id is one more */
	uint64_t log_bytes_max;
	bool no_stream;
	struct fleet_link link;
	struct fleet_clock clock;
	struct peer_config others[FLEET_REGIONS - 1];
	struct replicator *replicator;
	pthread_rwlock_t life;       /* held shared by those who use the replicator, for: */
	bool up;
	atomic_bool cut_log[FLEET_REGIONS];      /* it cannot ask them for their logs, */
	atomic_bool cut_standing[FLEET_REGIONS]; /* nor where they stand, */
	atomic_bool cut_lease[FLEET_REGIONS];    /* nor give them messages about leases */
	atomic_uint asked;           /* how often others asked where it stands, or tried to */
};

struct fleet {
	bool multi; /* every region writes its collections */
	bool failover; /* they elect their primary */
	uint32_t witness; /* this one votes without data; 0: none */
	struct fleet_region regions[FLEET_REGIONS];
	struct stream_broker *broker;
	pthread_mutex_t lock;        /* recursive: callbacks acknowledge. Guards the broker */
	atomic_uint waiting;         /* for the lock; the stepper lets them */
	pthread_t stepper;
	atomic_bool stop;
};

static inline uint64_t fleet_wall_ms(struct clock *c)
{
	struct fleet_clock *f = CONTAINER_OF(c, struct fleet_clock, clock);

	return clock_wall_ms(clock_system()) + (uint64_t)atomic_load(&f->wall_ahead_ms);
}

static inline uint64_t fleet_mono_ns(struct clock *c)
{
	struct fleet_clock *f = CONTAINER_OF(c, struct fleet_clock, clock);

	return clock_mono_ns(clock_system()) + atomic_load(&f->mono_ahead_ns);
}

/* --- the broker behind a lock --- */

struct fleet_stream {
	struct stream stream;
	struct stream *inner;
	struct fleet *fleet;
};

struct fleet_consumer {
	struct stream_consumer consumer;
	struct stream_consumer *inner;
	struct fleet *fleet;
};

static inline void fleet_lock(struct fleet *f)
{
	atomic_fetch_add(&f->waiting, 1);
	pthread_mutex_lock(&f->lock);
	atomic_fetch_sub(&f->waiting, 1);
}

static inline void fleet_unlock(struct fleet *f)
{
	pthread_mutex_unlock(&f->lock);
}

static inline struct fleet_stream *fleet_stream_of(struct stream *s)
{
	return CONTAINER_OF(s, struct fleet_stream, stream);
}

static inline struct fleet_consumer *fleet_consumer_of(struct stream_consumer *c)
{
	return CONTAINER_OF(c, struct fleet_consumer, consumer);
}

static inline void fleet_stream_free(struct stream *stream)
{
	struct fleet_stream *s = fleet_stream_of(stream);

	fleet_lock(s->fleet);
	stream_free(s->inner);
	fleet_unlock(s->fleet);
	free(s);
}

static inline enum err fleet_stream_open(struct stream *stream, struct fault *f)
{
	struct fleet_stream *s = fleet_stream_of(stream);

	fleet_lock(s->fleet);
	enum err err = stream_open(s->inner, f);
	fleet_unlock(s->fleet);
	return err;
}

static inline enum err fleet_stream_tail(struct stream *stream, uint16_t scope, struct buf *out,
					 struct fault *f)
{
	struct fleet_stream *s = fleet_stream_of(stream);

	fleet_lock(s->fleet);
	enum err err = stream_tail(s->inner, scope, out, f);
	fleet_unlock(s->fleet);
	return err;
}

static inline enum err fleet_stream_publish(struct stream *stream, const struct stream_message *m)
{
	struct fleet_stream *s = fleet_stream_of(stream);

	fleet_lock(s->fleet);
	enum err err = stream_publish(s->inner, m);
	fleet_unlock(s->fleet);
	return err;
}

static inline enum err fleet_stream_beat(struct stream *stream, uint16_t scope, struct bytes beat)
{
	struct fleet_stream *s = fleet_stream_of(stream);

	fleet_lock(s->fleet);
	enum err err = stream_beat(s->inner, scope, beat);
	fleet_unlock(s->fleet);
	return err;
}

static inline void fleet_stream_state(struct stream *stream, struct stream_state *ret_state)
{
	struct fleet_stream *s = fleet_stream_of(stream);

	fleet_lock(s->fleet);
	stream_state(s->inner, ret_state);
	fleet_unlock(s->fleet);
}

static inline enum err fleet_stream_consume(struct stream *stream, const char *region, uint64_t from,
					    const struct stream_handler *h,
					    struct stream_consumer **ret_consumer, struct fault *f)
{
	struct fleet_stream *s = fleet_stream_of(stream);
	struct fleet_consumer *c = calloc(1, sizeof(*c));

	ck_assert_ptr_nonnull(c);
	c->consumer.stream = stream;
	c->fleet = s->fleet;
	fleet_lock(s->fleet);
	enum err err = stream_consume(s->inner, region, from, h, &c->inner, f);
	fleet_unlock(s->fleet);
	if (err)
		free(c);
	else
		*ret_consumer = &c->consumer;
	return err;
}

static inline void fleet_consumer_close(struct stream_consumer *consumer)
{
	struct fleet_consumer *c = fleet_consumer_of(consumer);

	fleet_lock(c->fleet);
	stream_consumer_close(c->inner);
	fleet_unlock(c->fleet);
	free(c);
}

static inline void fleet_consumer_ack(struct stream_consumer *consumer, struct stream_token upto)
{
	struct fleet_consumer *c = fleet_consumer_of(consumer);

	fleet_lock(c->fleet);
	stream_ack(c->inner, upto);
	fleet_unlock(c->fleet);
}

static const struct stream_ops fleet_stream_ops = {
	.free = fleet_stream_free,
	.open = fleet_stream_open,
	.tail = fleet_stream_tail,
	.publish = fleet_stream_publish,
	.beat = fleet_stream_beat,
	.state = fleet_stream_state,
	.consume = fleet_stream_consume,
	.close = fleet_consumer_close,
	.ack = fleet_consumer_ack,
};

static inline enum err fleet_make_stream(void *ctx, const struct stream_events *events,
					 struct stream **ret_stream, struct fault *f)
{
	struct fleet_region *g = ctx;
	struct stream_peer peers[FLEET_REGIONS - 1];
	struct fleet_stream *s = calloc(1, sizeof(*s));

	ck_assert_ptr_nonnull(s);
	for (uint32_t i = 0; i < LEN(peers); i++)
		peers[i] = (struct stream_peer){ .region = g->others[i].name, .domain = "" };
	struct stream_config c = {
		.fleet = "test",
		.region = fleet_names[g->number],
		.domain = "",
		.peers = peers,
		.peer_count = LEN(peers),
		.events = *events,
	};
	s->stream.ops = &fleet_stream_ops;
	s->fleet = g->fleet;
	fleet_lock(g->fleet);
	enum err err = stream_mem_new(g->fleet->broker, &c, &s->inner, f);
	fleet_unlock(g->fleet);
	if (err)
		free(s);
	else
		*ret_stream = &s->stream;
	return err;
}

/* One step after the other; a pause when there is nothing to do, or only what is refused for now. */
static inline void *fleet_step(void *ctx)
{
	struct fleet *f = ctx;
	pthread_cond_t never = PTHREAD_COND_INITIALIZER;
	pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;

	while (!atomic_load(&f->stop)) {
		for (unsigned i = 0; i < FLEET_STEPS; i++) {
			while (atomic_load(&f->waiting) > 0)
				(void)sched_yield();
			pthread_mutex_lock(&f->lock);
			bool any = stream_broker_step(f->broker);
			pthread_mutex_unlock(&f->lock);
			if (!any)
				break;
		}
		struct timespec until;
		(void)clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 500000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_mutex_lock(&own);
		(void)pthread_cond_timedwait(&never, &own, &until);
		pthread_mutex_unlock(&own);
	}
	return NULL;
}

/* --- from region to region --- */

/* The replicator of another region, or NULL; fleet_leave then. */
static inline struct replicator *fleet_enter(struct fleet_region *to)
{
	(void)pthread_rwlock_rdlock(&to->life);
	if (to->up)
		return to->replicator;
	(void)pthread_rwlock_unlock(&to->life);
	return NULL;
}

static inline void fleet_leave(struct fleet_region *to)
{
	(void)pthread_rwlock_unlock(&to->life);
}

static inline enum err fleet_link_log(struct peer_link *l, uint8_t region, uint16_t scope,
				      struct position after, struct buf *out, struct fault *f)
{
	struct fleet_link *link = CONTAINER_OF(l, struct fleet_link, link);
	struct fleet_region *to = &link->fleet->regions[region - 1];

	if (atomic_load(&link->fleet->regions[link->from].cut_log[region - 1]))
		return fault_set(f, ERR_UNAVAILABLE, "cut off");
	struct replicator *r = fleet_enter(to);
	if (!r)
		return fault_set(f, ERR_UNAVAILABLE, "down");
	enum err err = replicator_log(r, scope, after, out, f);
	fleet_leave(to);
	return err;
}

static inline enum err fleet_link_standing(struct peer_link *l, uint8_t region, uint16_t scope,
					   struct buf *out, struct fault *f)
{
	struct fleet_link *link = CONTAINER_OF(l, struct fleet_link, link);
	struct fleet_region *to = &link->fleet->regions[region - 1];

	if (scope == SCOPE_FLEET)
		atomic_fetch_add(&to->asked, 1);
	if (atomic_load(&link->fleet->regions[link->from].cut_standing[region - 1]))
		return fault_set(f, ERR_UNAVAILABLE, "cut off");
	struct replicator *r = fleet_enter(to);
	if (!r)
		return fault_set(f, ERR_UNAVAILABLE, "down");
	enum err err = scope == SCOPE_MULTI ? replicator_standing(r, out)
					    : replicator_heartbeat(r, out);
	fleet_leave(to);
	return err;
}

static inline enum err fleet_link_orphans(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out,
					  struct fault *f)
{
	struct fleet_link *link = CONTAINER_OF(l, struct fleet_link, link);
	struct fleet_region *to = &link->fleet->regions[region - 1];

	if (atomic_load(&link->fleet->regions[link->from].cut_log[region - 1]))
		return fault_set(f, ERR_UNAVAILABLE, "cut off");
	struct replicator *r = fleet_enter(to);
	if (!r)
		return fault_set(f, ERR_UNAVAILABLE, "down");
	enum err err = replicator_orphans(r, request, out, f);
	fleet_leave(to);
	return err;
}

static inline enum err fleet_link_lease(struct peer_link *l, uint8_t region, struct bytes frame, struct fault *f)
{
	struct fleet_link *link = CONTAINER_OF(l, struct fleet_link, link);
	struct fleet_region *to = &link->fleet->regions[region - 1];

	if (atomic_load(&link->fleet->regions[link->from].cut_lease[region - 1]))
		return fault_set(f, ERR_UNAVAILABLE, "cut off");
	struct replicator *r = fleet_enter(to);
	if (!r)
		return fault_set(f, ERR_UNAVAILABLE, "down");
	enum err err = replicator_lease_message(r, (uint8_t)(link->from + 1), frame, f);
	fleet_leave(to);
	return err;
}

static inline enum err fleet_link_stand(struct peer_link *l, uint8_t region, struct bytes order, struct buf *out,
					struct fault *f)
{
	struct fleet_link *link = CONTAINER_OF(l, struct fleet_link, link);
	struct fleet_region *to = &link->fleet->regions[region - 1];

	if (atomic_load(&link->fleet->regions[link->from].cut_lease[region - 1]))
		return fault_set(f, ERR_UNAVAILABLE, "cut off");
	struct replicator *r = fleet_enter(to);
	if (!r)
		return fault_set(f, ERR_UNAVAILABLE, "down");
	enum err err = replicator_stand(r, order, out, f);
	fleet_leave(to);
	return err;
}

static inline enum err fleet_link_chain(struct peer_link *l, uint8_t region, struct buf *out, struct fault *f)
{
	struct fleet_link *link = CONTAINER_OF(l, struct fleet_link, link);

	if (atomic_load(&link->fleet->regions[link->from].cut_log[region - 1]))
		return fault_set(f, ERR_UNAVAILABLE, "cut off");
	struct fleet_region *to = &link->fleet->regions[region - 1];
	struct replicator *r = fleet_enter(to);
	if (!r)
		return fault_set(f, ERR_UNAVAILABLE, "down");
	enum err err = replicator_chain(r, out);
	fleet_leave(to);
	return err;
}

/* --- waiting --- */

typedef bool (*fleet_fn)(struct fleet *f, uint64_t argument);

static inline bool fleet_wait_for(struct fleet *f, fleet_fn fn, uint64_t argument)
{
	uint64_t end_ns = clock_mono_ns(clock_system()) + FLEET_WAIT_MS * UINT64_C(1000000);

	while (!fn(f, argument)) {
		struct timespec moment = { .tv_nsec = 1000000 };
		if (clock_mono_ns(clock_system()) >= end_ns)
			return false;
		(void)nanosleep(&moment, NULL);
	}
	return true;
}

#define fleet_wait(f, fn, argument) \
	ck_assert_msg(fleet_wait_for(f, fn, argument), "waited in vain: %s(%d)", #fn, (int)(argument))

/* --- life --- */

static inline void fleet_new(struct fleet *f)
{
	pthread_mutexattr_t recursive;

	*f = (struct fleet){ 0 };
	ck_assert_int_eq(stream_broker_new(1, &f->broker), ERR_NONE);
	(void)pthread_mutexattr_init(&recursive);
	(void)pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	(void)pthread_mutex_init(&f->lock, &recursive);
	(void)pthread_mutexattr_destroy(&recursive);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		struct fleet_region *g = &f->regions[i];
		region_init(&g->r, (uint8_t)(i + 1));
		(void)pthread_rwlock_init(&g->life, NULL);
		g->fleet = f;
		g->number = i;
		g->clock.clock = (struct clock){ .wall_ms = fleet_wall_ms, .mono_ns = fleet_mono_ns };
		g->link = (struct fleet_link){ .link = { .log = fleet_link_log,
							 .standing = fleet_link_standing,
							 .lease = fleet_link_lease,
							 .stand = fleet_link_stand,
							 .chain = fleet_link_chain,
							 .orphans = fleet_link_orphans },
					       .fleet = f,
					       .from = i };
		for (uint32_t k = 0, n = 0; k < FLEET_REGIONS; k++)
			if (k != i)
				g->others[n++] = (struct peer_config){ .name = fleet_names[k],
								       .id = (uint8_t)(k + 1),
								       .data = true };
		stream_broker_provision(f->broker, fleet_names[i]);
	}
	ck_assert_int_eq(pthread_create(&f->stepper, NULL, fleet_step, f), 0);
}

static inline void fleet_open_catalog(struct fleet_region *g)
{
	struct catalog_options o = { .store = g->r.store };
	struct fault f = { 0 };

	ck_assert_msg(!catalog_open(&o, &g->r.catalog, &f), "%s", f.text);
}

/* Shorter than any fleet has them, with the same proportions. */
static const struct lease_config fleet_lease_times = {
	.hold_ms = 1000,
	.wait_ms = 1375,
	.renew_ms = 250,
	.drift_percent = 10,
	.rank_ms = 100,
	.linger_ms = 60,
	.step_ms = 300,
	.poll_ms = 80,
	.max_loss_ms = 30000,
	.clock_offset_ms_max = 500,
};

/* Region 0 is the first primary. */
static inline void fleet_start(struct fleet *fleet, uint32_t number)
{
	struct fleet_region *g = &fleet->regions[number];
	struct replicator *r;
	struct fault f = { 0 };

	fleet_open_catalog(g);
	for (uint32_t i = 0; i < LEN(g->others) && fleet->witness != 0; i++) {
		g->others[i].witness = g->others[i].id == fleet->witness + 1;
		g->others[i].data = !g->others[i].witness;
	}
	bool witness = fleet->witness != 0 && number == fleet->witness;
	struct replicator_options o = {
		.clock = &g->clock.clock,
		.store = g->r.store,
		.catalog = g->r.catalog,
		.log_bytes_max = g->log_bytes_max,
		.fleet = "test",
		.self = { .name = fleet_names[number], .id = (uint8_t)(number + 1), .data = !witness, .witness = witness },
		.others = g->others,
		.other_count = LEN(g->others),
		.home = 1,
		.link = &g->link.link,
		.failover = fleet->failover,
		.lease = fleet_lease_times,
		.make_stream = g->no_stream ? NULL : fleet_make_stream,
		.ctx = g,
	};
	ck_assert_msg(!replicator_open(&o, &r, &f), "%s", f.text);
	ck_assert_msg(!catalog_start(g->r.catalog, &f), "%s", f.text);
	g->replicator = r;
	g->r.committer = replicator_committer(r);
	ck_assert_msg(!replicator_start(r, &f), "%s", f.text);
	(void)pthread_rwlock_wrlock(&g->life);
	g->up = true;
	(void)pthread_rwlock_unlock(&g->life);
}

static inline void fleet_stop(struct fleet *fleet, uint32_t number)
{
	struct fleet_region *g = &fleet->regions[number];

	(void)pthread_rwlock_wrlock(&g->life);
	g->up = false;
	(void)pthread_rwlock_unlock(&g->life);
	replicator_stop(g->replicator);
	replicator_free(TAKE(g->replicator));
	catalog_close(TAKE(g->r.catalog));
	g->r.committer = NULL;
}

/* A new disk. */
static inline void fleet_wipe(struct fleet *fleet, uint32_t number)
{
	struct fleet_region *g = &fleet->regions[number];

	g->r.store->ops->close(g->r.store);
	ck_assert_int_eq(store_mem_new(&g->r.store), ERR_NONE);
}

static inline void fleet_free(struct fleet *f)
{
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		if (f->regions[i].replicator)
			fleet_stop(f, i);
	atomic_store(&f->stop, true);
	(void)pthread_join(f->stepper, NULL);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		region_release(&f->regions[i].r);
		(void)pthread_rwlock_destroy(&f->regions[i].life);
	}
	stream_broker_free(f->broker);
	(void)pthread_mutex_destroy(&f->lock);
}

/* --- looking --- */

static inline struct replicator_state fleet_state(struct fleet *f, uint32_t number)
{
	struct replicator_state s;

	replicator_state(f->regions[number].replicator, &s);
	return s;
}

static inline struct position fleet_position(struct fleet *f, uint32_t number)
{
	struct committer_state s;

	committer_state(f->regions[number].r.committer, &s);
	return s.position;
}

static inline bool fleet_writes(struct fleet *f, uint64_t number)
{
	return fleet_state(f, (uint32_t)number).is_writer;
}

/* All that are up stand where the region `number` stands. */
static inline bool fleet_is_level(struct fleet *f, uint64_t number)
{
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		if (f->regions[i].up && position_compare(fleet_position(f, i),
							 fleet_position(f, (uint32_t)number)) != 0)
			return false;
	return true;
}

/* The trees of all shards of a collection, as one number. */
static inline uint64_t fleet_root(struct fleet *f, uint32_t number, const char *collection)
{
	struct collection *c =
		catalog_get(f->regions[number].r.catalog,
			    (struct str){ .data = collection, .len = strlen(collection) });
	uint64_t sum = 0;

	if (!c)
		return 0;
	for (uint32_t i = 0; i < collection_shard_count(c); i++) {
		struct hash128 root = merkle_root(collection_merkle(c, i));
		sum = sum * 31 + root.lo + root.hi;
	}
	collection_unref(c);
	return sum;
}

static inline bool fleet_goes_on(struct fleet *f, uint64_t number)
{
	return !fleet_state(f, (uint32_t)number).applier.stopped;
}

/* Nobody writes any more: waits until all that are up are where region `number` is, and compares them. */
static inline void fleet_check_equal(struct fleet *f, uint32_t number)
{
	fleet_wait(f, fleet_is_level, number);
	struct replicator_state s = fleet_state(f, number);
	uint64_t root = fleet_root(f, number, "c");

	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		if (!f->regions[i].up)
			continue;
		struct replicator_state other = fleet_state(f, i);
		ck_assert_msg(other.commit.chain_hash == s.commit.chain_hash,
			      "region %u has another log", i);
		ck_assert_msg(fleet_root(f, i, "c") == root, "region %u has other rows", i);
		/* Who followed another history says so a moment longer. */
		fleet_wait(f, fleet_goes_on, i);
	}
}

/* --- writing --- */

struct fleet_write {
	struct write w;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static inline void fleet_write_done(struct write *w)
{
	struct fleet_write *t = CONTAINER_OF(w, struct fleet_write, w);

	pthread_mutex_lock(&t->lock);
	t->done = true;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

struct fleet_answer {
	enum err err;
	struct fault fault;
	struct position position;
	enum ack_level reached;
	struct ack_applied applied;
};

/* Writes at a region as its gateway would: admitted, submitted, waited for. timeout_ms is for levels above visible, and for
 * regions. */
static inline struct fleet_answer fleet_submit_regions(struct fleet *f, uint32_t number, struct intent in,
						       enum ack_level ack, const struct ack_regions *regions,
						       uint64_t timeout_ms)
{
	struct fleet_write t = { .w = { .intents = &in,
					.intent_count = 1,
					.bytes = 100,
					.ack = ack,
					.regions = *regions,
					.done = fleet_write_done } };
	struct replicator *r = f->regions[number].replicator;
	struct fleet_answer a = { 0 };
	uint8_t writer;

	/* What every region writes is admitted everywhere. */
	a.err = in.kind >= OP_UPSERT && f->multi ? ERR_NONE
						 : replicator_admit(r, &writer, &a.fault);
	if (a.err)
		return a;
	pthread_mutex_init(&t.lock, NULL);
	pthread_cond_init(&t.cond, NULL);
	t.w.deadline_ns = clock_mono_ns(clock_system()) + timeout_ms * UINT64_C(1000000);
	a.err = committer_submit(replicator_committer(r), &t.w);
	if (!a.err) {
		pthread_mutex_lock(&t.lock);
		while (!t.done)
			pthread_cond_wait(&t.cond, &t.lock);
		pthread_mutex_unlock(&t.lock);
		a = (struct fleet_answer){ t.w.err, t.w.fault, t.w.position, t.w.reached, t.w.applied };
	}
	pthread_mutex_destroy(&t.lock);
	pthread_cond_destroy(&t.cond);
	return a;
}

static inline struct fleet_answer fleet_submit(struct fleet *f, uint32_t number, struct intent in,
					       enum ack_level ack, uint64_t timeout_ms)
{
	const struct ack_regions none = { 0 };

	return fleet_submit_regions(f, number, in, ack, &none, timeout_ms);
}

static inline void fleet_write_well(struct fleet *f, uint32_t number, struct intent in)
{
	struct fleet_answer a = fleet_submit(f, number, in, ACK_VISIBLE, 0);
	ck_assert_msg(!a.err, "%s: %s", err_name(a.err), a.fault.text);
}

static inline void fleet_upsert(struct fleet *f, uint32_t number, uint64_t first, uint32_t count)
{
	fleet_write_well(f, number, upsert_of(&f->regions[number].r, "c", first, count));
}

/* All up, region 0 the primary, with the collection "c". */
static inline void fleet_begin(struct fleet *f)
{
	fleet_new(f);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		fleet_start(f, i);
	fleet_wait(f, fleet_writes, 0);
	fleet_write_well(f, 0, create_of(&f->regions[0].r, "c", DISTANCE_DOT));
}
