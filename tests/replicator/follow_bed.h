/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Up to five regions whose appliers ask each other directly, and an election by hand: promises, the copy, the beginning of an epoch
 * are called by the test, as a lease would. Streams bring what a test gives them; heartbeats are told while it waits.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "replicator/applier.h"
#include "replicator/orphan.h"
#include "replicator/publisher.h"
#include "tests/replicator/region.h"

#define BED_FLEET 5u
#define BED_REGIONS 5
#define BED_WAIT_MS 20000
/* Small, so that a log takes several questions. */
#define BED_MESSAGE_BYTES 600

/* What one region reads of another's stream. */
struct bed_reading {
	struct stream_consumer consumer;
	struct stream_handler handler;
	uint64_t acked;
};

struct bed_region {
	struct stream stream;
	struct bed_reading readings[BED_REGIONS];
	struct region r;
	struct peers *peers;
	struct applier *applier;
	struct peer_link link;       /* its way to the others */
	atomic_bool up;
	atomic_bool no_log;          /* it tells its history, and not its log */
	atomic_uint chains, logs;    /* how often it was asked */
	void (*on_log)(struct bed_region *asked); /* before it answers */
	pthread_mutex_t lock;        /* guards */
	struct position confirmed;
};

static struct bed_region bed[BED_REGIONS];
static uint32_t bed_count;
static const char *const bed_names[BED_REGIONS] = { "one", "two", "three", "four", "five" };

/* What an applier waits for in seconds is over after a fiftieth of them. */
static inline uint64_t bed_mono_ns(struct clock *c)
{
	(void)c;
	return clock_mono_ns(clock_system()) * 50;
}

static inline uint64_t bed_wall_ms(struct clock *c)
{
	(void)c;
	return clock_wall_ms(clock_system());
}

static struct clock bed_clock = { .wall_ms = bed_wall_ms, .mono_ns = bed_mono_ns };

/* --- streams --- */

static inline enum err bed_consume(struct stream *s, const char *region, uint64_t from, const struct stream_handler *h,
				   struct stream_consumer **ret_consumer, struct fault *f)
{
	struct bed_region *b = CONTAINER_OF(s, struct bed_region, stream);
	uint32_t n = 0;

	(void)from;
	(void)f;
	while (strcmp(bed_names[n], region) != 0)
		n++;
	b->readings[n] = (struct bed_reading){ .consumer = { s }, .handler = *h };
	*ret_consumer = &b->readings[n].consumer;
	return ERR_NONE;
}

static inline void bed_close(struct stream_consumer *c)
{
	(void)c;
}

static inline void bed_ack(struct stream_consumer *c, struct stream_token upto)
{
	CONTAINER_OF(c, struct bed_reading, consumer)->acked = upto.seq;
}

static const struct stream_ops bed_stream_ops = { .consume = bed_consume, .close = bed_close, .ack = bed_ack };

/* --- life --- */

static inline struct position bed_confirmed(void *ctx)
{
	struct bed_region *b = ctx;

	pthread_mutex_lock(&b->lock);
	struct position p = b->confirmed;
	pthread_mutex_unlock(&b->lock);
	return p;
}

static inline enum err bed_log(struct peer_link *l, uint8_t region, uint16_t scope, struct position after, struct buf *out,
			       struct fault *f)
{
	struct bed_region *from = &bed[region - 1];
	struct log_source source = { from->r.store, from->r.catalog, BED_FLEET };
	struct op_batch head;

	(void)l;
	if (!atomic_load(&from->up) || atomic_load(&from->no_log))
		return fault_set(f, ERR_UNAVAILABLE, "region %u is down", region);
	atomic_fetch_add(&from->logs, 1);
	if (from->on_log)
		from->on_log(from);
	return log_message(&source, scope, after, 0, BED_MESSAGE_BYTES, out, &head, f);
}

static inline enum err bed_chain(struct peer_link *l, uint8_t region, struct buf *out, struct fault *f)
{
	struct bed_region *from = &bed[region - 1];
	struct chain chain;

	(void)l;
	if (!atomic_load(&from->up))
		return fault_set(f, ERR_UNAVAILABLE, "region %u is down", region);
	atomic_fetch_add(&from->chains, 1);
	ck_assert_int_eq(committer_chain(from->r.committer, &chain), ERR_NONE);
	chain.fleet = BED_FLEET;
	chain.region = region;
	enum err err = chain_encode(&chain, out);
	chain_release(&chain);
	return err;
}

static inline void bed_open(struct bed_region *b)
{
	struct fault f = { 0 };

	region_open(&b->r);
	ck_assert_int_eq(committer_start(b->r.committer), ERR_NONE);
	struct applier_options o = {
		.clock = &bed_clock, .committer = b->r.committer, .peers = b->peers, .stream = &b->stream
	};
	ck_assert_msg(!applier_start(&o, &b->applier, &f), "%s", f.text);
	atomic_store(&b->up, true);
}

static inline void bed_shut(struct bed_region *b)
{
	atomic_store(&b->up, false);
	applier_free(TAKE(b->applier));
	committer_stop(b->r.committer);
	region_shut(&b->r);
}

static inline void bed_new(uint32_t i)
{
	struct peer_config configs[BED_REGIONS];
	struct peer_config others[BED_REGIONS - 1];
	struct bed_region *b = &bed[i];
	uint32_t n = 0;

	for (uint32_t k = 0; k < bed_count; k++) {
		configs[k] = (struct peer_config){ .name = bed_names[k], .id = (uint8_t)(k + 1), .data = true };
		if (k != i)
			others[n++] = configs[k];
	}
	memset(b, 0, sizeof(*b));
	pthread_mutex_init(&b->lock, NULL);
	b->stream.ops = &bed_stream_ops;
	b->link = (struct peer_link){ .log = bed_log, .chain = bed_chain };
	struct peers_options o = { .clock = clock_system(),
				   .fleet = BED_FLEET,
				   .self = configs[i],
				   .others = others,
				   .other_count = n,
				   .link = &b->link };
	ck_assert_int_eq(peers_new(&o, &b->peers), ERR_NONE);
	region_init(&b->r, (uint8_t)(i + 1));
	b->r.options.undo = true;
	b->r.options.trim_floor = bed_confirmed;
	b->r.options.ctx = b;
}

static inline void bed_free(void)
{
	for (uint32_t i = 0; i < bed_count; i++)
		if (bed[i].applier)
			bed_shut(&bed[i]);
	for (uint32_t i = 0; i < bed_count; i++) {
		region_release(&bed[i].r);
		peers_free(bed[i].peers);
		pthread_mutex_destroy(&bed[i].lock);
	}
}

/* --- looking --- */

static inline struct position bed_position(uint32_t i)
{
	return region_state(&bed[i].r).position;
}

static inline struct applier_state bed_state(uint32_t i)
{
	struct applier_state s;

	applier_state(bed[i].applier, &s);
	return s;
}

static inline uint64_t bed_orphans(uint32_t i)
{
	struct store *s = bed[i].r.store;
	struct orphan_totals totals;
	struct store_txn *t;

	ck_assert_int_eq(s->ops->begin(s, false, &t), ERR_NONE);
	ck_assert_int_eq(orphan_count(s, t, &totals), ERR_NONE);
	s->ops->abort(t);
	return totals.count[ORPHAN_LOCAL];
}

/* The trees say what the rows are; as one number. */
static inline uint64_t bed_rows(uint32_t i)
{
	struct collection **items;
	uint32_t count;
	uint64_t sum = 0;

	ck_assert_int_eq(catalog_list(bed[i].r.catalog, &bed[i].r.arena, &items, &count), ERR_NONE);
	for (uint32_t n = 0; n < count; n++) {
		for (uint32_t k = 0; k < collection_shard_count(items[n]); k++) {
			struct collection_check check = { .done = false };
			while (!check.done) {
				ck_assert_int_eq(collection_check(items[n], k, &check), ERR_NONE);
				ck_assert_uint_eq(check.bad_count, 0);
			}
			struct hash128 root = merkle_root(collection_merkle(items[n], k));
			sum = sum * 31 + root.lo * 7 + root.hi;
		}
		collection_unref(items[n]);
	}
	return sum + count;
}

/* Same history, same log, same rows. */
static inline void bed_check_equal(uint32_t i, uint32_t k)
{
	struct chain a;
	struct chain b;

	ck_assert_int_eq(committer_chain(bed[i].r.committer, &a), ERR_NONE);
	ck_assert_int_eq(committer_chain(bed[k].r.committer, &b), ERR_NONE);
	ck_assert_int_eq(position_compare(a.position, b.position), 0);
	ck_assert_uint_eq(a.chain_hash, b.chain_hash);
	ck_assert_uint_eq(a.history.epoch, b.history.epoch);
	ck_assert_uint_eq(a.history.chain_count, b.history.chain_count);
	for (uint32_t n = 0; n < a.history.chain_count; n++) {
		ck_assert_uint_eq(a.history.chain[n].epoch, b.history.chain[n].epoch);
		ck_assert_uint_eq(a.history.chain[n].end, b.history.chain[n].end);
	}
	chain_release(&a);
	chain_release(&b);
	ck_assert_uint_eq(bed_rows(i), bed_rows(k));
	ck_assert_uint_eq(region_state(&bed[i].r).op_number, region_state(&bed[k].r).op_number);
}

/* --- writing --- */

/* Committed, or refused, on return. */
static inline enum err bed_try(uint32_t i, struct intent in)
{
	struct region_write *w = submit(&bed[i].r, &in, 1);

	ck_assert_int_eq(committer_drain(bed[i].r.committer, BED_WAIT_MS), ERR_NONE);
	ck_assert_uint_eq(w->done, 1);
	return w->w.err;
}

static inline void bed_write(uint32_t i, uint64_t id, int64_t number)
{
	struct region *r = &bed[i].r;
	struct intent in = upsert_of(r, "c", id, 1);

	((struct op_point *)in.body.points)[0].payload = payload_of(r, "n", number);
	ck_assert_int_eq(bed_try(i, in), ERR_NONE);
}

/* Ops that change what is there, too: what replaces something has to be put back. */
static inline void bed_write_some(uint32_t i, uint32_t count, int64_t number)
{
	for (uint32_t n = 0; n < count; n++)
		bed_write(i, n % 5 + 1, number + n);
}


/* What region `from` has after a position in its epoch, as the message that its stream holds for long. */
static inline void bed_message(uint32_t from, struct position after, struct buf *out)
{
	struct log_source source = { bed[from].r.store, bed[from].r.catalog, BED_FLEET };
	struct op_batch head;
	struct fault f = { 0 };

	ck_assert_msg(!log_message(&source, SCOPE_FLEET, after, 0, (size_t)1 << 20, out, &head, &f), "%s", f.text);
}

static inline bool bed_deliver_message(uint32_t from, uint32_t to, const struct buf *payload)
{
	struct bed_reading *r = &bed[to].readings[from];
	struct stream_delivery d = { .token = { 1, r->acked + 1 }, .payload = buf_bytes(payload) };
	uint64_t acked = r->acked;
	bool taken = r->handler.on_message(r->handler.ctx, &d);

	ck_assert_uint_eq(r->acked, acked + taken);
	return taken;
}

/* What follows in region from's log where region `to` stands, up to its epoch's end, by its stream. */
static inline void bed_deliver(uint32_t from, uint32_t to)
{
	CLEANUP(buf_release) struct buf m = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);

	bed_message(from, bed_position(to), &m);
	ck_assert(bed_deliver_message(from, to, &m));
}

/* --- waiting --- */

/* Everybody who is up tells everybody who is where it stands. */
static inline void bed_beat(void)
{
	static uint64_t wall_ms = 1;

	for (uint32_t i = 0; i < bed_count; i++) {
		if (!atomic_load(&bed[i].up))
			continue;
		struct committer_state s = region_state(&bed[i].r);
		struct heartbeat h = { .fleet = BED_FLEET,
				       .region = (uint8_t)(i + 1),
				       .position = s.position,
				       .promised = s.promised,
				       .wall_ms = wall_ms++ };
		for (uint32_t k = 0; k < bed_count; k++)
			if (k != i && atomic_load(&bed[k].up))
				(void)peers_beat(bed[k].peers, &h);
	}
}

typedef bool (*bed_fn)(uint32_t region);

static inline void bed_wait(bed_fn fn, uint32_t region)
{
	uint64_t end_ns = clock_mono_ns(clock_system()) + BED_WAIT_MS * UINT64_C(1000000);

	for (bed_beat(); !fn(region); bed_beat()) {
		struct timespec moment = { .tv_nsec = 1000000 };
		ck_assert_msg(clock_mono_ns(clock_system()) < end_ns, "region %u waited in vain", region + 1);
		(void)nanosleep(&moment, NULL);
	}
}

/* All that are up stand where that region stands, and nothing keeps them from it. */
static inline bool bed_is_level(uint32_t region)
{
	for (uint32_t i = 0; i < bed_count; i++)
		if (atomic_load(&bed[i].up) &&
		    (position_compare(bed_position(i), bed_position(region)) != 0 || bed_state(i).stopped || bed_state(i).aside))
			return false;
	return true;
}

static inline void bed_check_level(uint32_t region)
{
	bed_wait(bed_is_level, region);
	for (uint32_t i = 0; i < bed_count; i++)
		if (atomic_load(&bed[i].up))
			bed_check_equal(i, region);
}

static inline bool bed_is_aside(uint32_t region)
{
	return bed_state(region).aside;
}

/* So long that every watcher has looked several times. */
static inline void bed_pass(void)
{
	uint64_t end_ns = clock_mono_ns(clock_system()) + UINT64_C(600000000);

	while (clock_mono_ns(clock_system()) < end_ns) {
		struct timespec moment = { .tv_nsec = 1000000 };
		bed_beat();
		(void)nanosleep(&moment, NULL);
	}
}

/* --- the lease, by hand --- */

static inline enum err bed_promise(uint32_t i, uint64_t epoch)
{
	struct promise p = { .epoch = epoch, .record = { .data = (const uint8_t *)"", .len = 0 } };

	return committer_promise(bed[i].r.committer, &p, NULL);
}

/* Region i begins the epoch of that counter, as granted by the regions of the set, itself one of them: rule 8. */
static inline void bed_elect(uint32_t i, uint32_t set, uint64_t counter)
{
	uint64_t epoch = epoch_make(counter, (uint8_t)(i + 1));
	struct fault f = { 0 };
	uint32_t best = i;

	for (uint32_t k = 0; k < bed_count; k++) {
		if (!(set & 1u << k))
			continue;
		ck_assert_int_eq(bed_promise(k, epoch), ERR_NONE);
		if (position_compare(bed_position(k), bed_position(best)) > 0)
			best = k;
	}
	if (best != i)
		ck_assert_msg(!applier_copy(bed[i].applier, (uint8_t)(best + 1), bed_position(best), &f), "%s", f.text);
	ck_assert_msg(!committer_begin_promised(bed[i].r.committer, epoch, &f), "%s", f.text);
}

static inline void bed_set_up(uint32_t i, bool up)
{
	atomic_store(&bed[i].up, up);
}

/* Regions of which the first has begun epoch 1 with a collection and five points; the others are empty, and hear nothing before the
 * test waits. */
static inline void bed_begin(uint32_t count)
{
	bed_count = count;
	for (uint32_t i = 0; i < count; i++) {
		bed_new(i);
		bed_open(&bed[i]);
	}
	bed_elect(0, 1, 1);
	ck_assert_int_eq(bed_try(0, create_of(&bed[0].r, "c", DISTANCE_DOT)), ERR_NONE);
	for (uint64_t id = 1; id <= 5; id++)
		bed_write(0, id, 0);
}
