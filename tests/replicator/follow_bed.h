/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three regions whose appliers ask each other directly, and an election by hand: promises, the copy, the beginning of an epoch are
 * called by the test, as a lease would.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "replicator/applier.h"
#include "replicator/orphan.h"
#include "replicator/publisher.h"
#include "tests/replicator/region.h"

#define BED_FLEET 5u
#define BED_REGIONS 3
#define BED_WAIT_MS 20000
/* Small, so that a log takes several questions. */
#define BED_MESSAGE_BYTES 600

struct bed_region {
	struct region r;
	struct peers *peers;
	struct applier *applier;
	struct peer_link link;       /* its way to the others */
	atomic_bool up;
	atomic_uint chains, logs;    /* how often it was asked */
	void (*on_log)(struct bed_region *asked); /* before it answers */
	pthread_mutex_t lock;        /* guards */
	struct position confirmed;
};

static struct bed_region bed[BED_REGIONS];

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
	if (!atomic_load(&from->up))
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
	struct applier_options o = { .clock = clock_system(), .committer = b->r.committer, .peers = b->peers };
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
	static const char *const names[BED_REGIONS] = { "one", "two", "three" };
	struct peer_config configs[BED_REGIONS];
	struct peer_config others[BED_REGIONS - 1];
	struct bed_region *b = &bed[i];
	uint32_t n = 0;

	for (uint32_t k = 0; k < BED_REGIONS; k++) {
		configs[k] = (struct peer_config){ .name = names[k], .id = (uint8_t)(k + 1), .data = true };
		if (k != i)
			others[n++] = configs[k];
	}
	memset(b, 0, sizeof(*b));
	pthread_mutex_init(&b->lock, NULL);
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
	for (uint32_t i = 0; i < BED_REGIONS; i++)
		if (bed[i].applier)
			bed_shut(&bed[i]);
	for (uint32_t i = 0; i < BED_REGIONS; i++) {
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
	struct orphan_size size;
	struct store_txn *t;

	ck_assert_int_eq(s->ops->begin(s, false, &t), ERR_NONE);
	ck_assert_int_eq(orphan_count(s, t, &size), ERR_NONE);
	s->ops->abort(t);
	return size.count;
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


/* All that region `from` has after where `to` stands, in its epoch, up to seq; as its old stream would bring it. */
static inline enum err bed_deliver(uint32_t from, uint32_t to, uint64_t seq_max, struct fault *f)
{
	struct position at = bed_position(to);
	struct log_part part = read_log_after(&bed[from].r, at, 1000);
	uint32_t n = 0;

	while (n < part.count && (part.positions[n].epoch < part.positions[0].epoch + 1) && part.positions[n].seq <= seq_max)
		n++;
	return n > 0 ? apply_part(&bed[to].r, &part, 0, n, f) : ERR_NONE;
}

static inline void bed_deliver_well(uint32_t from, uint32_t to, uint64_t seq_max)
{
	struct fault f = { 0 };

	ck_assert_msg(!bed_deliver(from, to, seq_max, &f), "%s", f.text);
}

/* --- the lease, by hand --- */

static inline enum err bed_promise(uint32_t i, uint64_t epoch)
{
	struct promise p = { .epoch = epoch, .record = { .data = (const uint8_t *)"", .len = 0 } };

	return committer_promise(bed[i].r.committer, &p, NULL);
}

/* Region i begins the epoch of that counter, as granted by itself and region `with`: rule 8. */
static inline void bed_elect(uint32_t i, uint32_t with, uint64_t counter)
{
	uint64_t epoch = epoch_make(counter, (uint8_t)(i + 1));
	struct fault f = { 0 };

	ck_assert_int_eq(bed_promise(i, epoch), ERR_NONE);
	if (with != i)
		ck_assert_int_eq(bed_promise(with, epoch), ERR_NONE);
	if (position_compare(bed_position(with), bed_position(i)) > 0)
		ck_assert_msg(!applier_copy(bed[i].applier, (uint8_t)(with + 1), bed_position(with), &f), "%s", f.text);
	ck_assert_msg(!committer_begin_promised(bed[i].r.committer, epoch, &f), "%s", f.text);
}

/* Three regions of which the first has begun epoch 1 with a collection and five points; the others are empty. */
static inline void bed_begin(void)
{
	for (uint32_t i = 0; i < BED_REGIONS; i++) {
		bed_new(i);
		bed_open(&bed[i]);
	}
	bed_elect(0, 0, 1);
	ck_assert_int_eq(bed_try(0, create_of(&bed[0].r, "c", DISTANCE_DOT)), ERR_NONE);
	for (uint64_t id = 1; id <= 5; id++)
		bed_write(0, id, 0);
}
