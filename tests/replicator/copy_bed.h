/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region that is copied, the one that makes the copy, and the way between them, without threads or network.
 */
#pragma once

#include "replicator/copy.h"
#include "replicator/orphan.h"
#include "replicator/publisher.h"
#include "replicator/snapshot.h"
#include "tests/replicator/region.h"

#define COPY_FLEET 77
#define COPY_STEPS_MAX 10000

/* One that can be asked. */
struct copy_source {
	struct region region;
	struct peers *peers;
	struct position confirmed;   /* {0,0}: all that it has */
	bool silent;
	bool unready;
};

static struct copy_source sources[2];   /* regions 1 and 3 */
static struct region live;              /* region 2, what it was before */
static struct peers *live_peers;
static struct store *copy_store;
static struct copy *copy;
static struct peer_link copy_link;
/* Called with each answer before it arrives; may change it. */
static void (*on_answer)(struct buf *answer);
static unsigned questions;

static struct copy_source *source_of(uint8_t region)
{
	return &sources[region == 1 ? 0 : 1];
}

static bool is_multi_gap(const struct op_batch *head, uint16_t scope, struct position after)
{
	if (scope == SCOPE_MULTI)
		return head->epoch != after.epoch || head->first != after.seq + 1;
	return head->epoch == after.epoch ? head->first != after.seq + 1 : head->first != 1;
}

static enum err link_log(struct peer_link *l, uint8_t region, uint16_t scope, struct position after, struct buf *out,
			 struct fault *f)
{
	struct copy_source *s = source_of(region);
	const struct log_source log = { s->region.store, s->region.catalog, COPY_FLEET };
	struct op_batch head;

	ck_assert_ptr_eq(l, &copy_link);
	if (s->silent)
		return fault_set(f, ERR_UNAVAILABLE, "it is silent");
	if (scope == SCOPE_MULTI && committer_log_seq(s->region.committer, after.epoch) <= after.seq)
		return ERR_NOT_FOUND;
	enum err err = log_message(&log, scope, after, 0, 2000, out, &head, f);
	return !err && is_multi_gap(&head, scope, after) ? fault_set(f, ERR_GAP, "its log begins later") : err;
}

static struct position source_confirmed(void *ctx)
{
	struct copy_source *s = ctx;

	return s->confirmed.epoch != 0 ? s->confirmed : region_state(&s->region).position;
}

static bool source_ready(void *ctx, struct buf *why)
{
	struct copy_source *s = ctx;

	if (s->unready)
		buf_append_cstr(why, "the test wants it so");
	return !s->unready;
}

static enum err link_snapshot(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out, struct fault *f)
{
	struct copy_source *s = source_of(region);
	const struct snapshot_source source = { .store = s->region.store,
						.catalog = s->region.catalog,
						.committer = s->region.committer,
						.peers = s->peers,
						.confirmed = source_confirmed,
						.ready = source_ready,
						.ctx = s };

	ck_assert_ptr_eq(l, &copy_link);
	questions++;
	if (s->silent)
		return fault_set(f, ERR_UNAVAILABLE, "it is silent");
	enum err err = snapshot_answer(&source, 2, request, out, f);
	if (!err && on_answer)
		on_answer(out);
	return err;
}

static const struct peer_config copy_regions[] = { { .name = "eu", .id = 1, .data = true },
						   { .name = "us", .id = 2, .data = true },
						   { .name = "ap", .id = 3, .data = true } };

static struct peers *peers_of(unsigned self, struct region *r)
{
	struct peer_config others[2];
	struct peers_options o = { .clock = &r->clock.clock,
				   .fleet = COPY_FLEET,
				   .self = copy_regions[self],
				   .others = others,
				   .other_count = 2,
				   .link = self == 1 ? &copy_link : NULL };
	struct peers *peers;

	for (unsigned i = 0, n = 0; i < 3; i++)
		if (i != self)
			others[n++] = copy_regions[i];
	ck_assert_int_eq(peers_new(&o, &peers), ERR_NONE);
	return peers;
}

/* Region 1 writes and has a log of a few ops only; region 2 is empty. Region 3 is opened where a test needs it. */
static inline void copy_bed_open(void)
{
	memset(sources, 0, sizeof(sources));
	copy_link = (struct peer_link){ .log = link_log, .snapshot = link_snapshot };
	on_answer = NULL;
	questions = 0;
	region_init(&sources[0].region, 1);
	sources[0].region.options.log_bytes_max = 20000;
	region_open(&sources[0].region);
	sources[0].peers = peers_of(0, &sources[0].region);
	region_begin(&sources[0].region);
	region_init(&live, 2);
	region_open(&live);
	live_peers = peers_of(1, &live);
	ck_assert_int_eq(store_mem_new(&copy_store), ERR_NONE);
	copy = NULL;
}

static inline void copy_bed_close(void)
{
	copy_close(TAKE(copy));
	copy_store->ops->close(copy_store);
	for (unsigned i = 0; i < LEN(sources); i++)
		if (sources[i].region.store) {
			region_release(&sources[i].region);
			peers_free(sources[i].peers);
		}
	region_release(&live);
	peers_free(live_peers);
}

static inline void begin_copy(void)
{
	const struct copy_options o = { .clock = &live.clock.clock,
					.store = copy_store,
					.peers = live_peers,
					.log_bytes_max = 20000 };
	struct fault f = { 0 };

	ck_assert_msg(!copy_open(&o, &copy, &f), "%s", fault_text(&f));
}

/* As after kill -9: nothing but what was committed. */
static inline void reopen_copy(void)
{
	copy_close(TAKE(copy));
	store_mem_crash(copy_store);
	begin_copy();
}

static inline enum err step_copy(uint8_t from, bool *ret_complete, struct fault *f)
{
	bool idle;

	return copy_step(copy, from, ret_complete, &idle, f);
}

/* To its end; meanwhile(i) is called before each step. Returns how many there were. */
static inline unsigned make_copy(uint8_t from, void (*meanwhile)(unsigned step))
{
	bool complete = false;
	unsigned steps = 0;

	while (!complete) {
		struct fault f = { 0 };

		if (meanwhile)
			meanwhile(steps);
		ck_assert_msg(!step_copy(from, &complete, &f), "step %u: %s", steps, fault_text(&f));
		ck_assert_uint_lt(++steps, COPY_STEPS_MAX);
	}
	return steps;
}

/* The region that the copy becomes. `live` is stopped and keeps its store. */
static inline void take_place(struct region *ret_region)
{
	struct fault f = { 0 };

	committer_stop(live.committer);
	ck_assert_msg(!copy_adopt(copy, live.committer, live.catalog, &f), "%s", fault_text(&f));
	copy_close(TAKE(copy));
	*ret_region = (struct region){ .options = { .region = 2 } };
	clock_manual_init(&ret_region->clock, REGION_WALL_MS);
	arena_init(&ret_region->arena, (size_t)256 << 20);
	ret_region->store = copy_store;
	region_open(ret_region);
}

static inline void region_end(struct region *r)
{
	region_shut(r);
	arena_release(&r->arena);
}

/* Every log of `from`, to its end. */
static inline void follow_from(struct region *from, struct region *to)
{
	struct log_part part = read_log_after(from, region_state(to).position, 100000);
	struct fault f = { 0 };

	if (part.count > 0)
		ck_assert_msg(!apply_part(to, &part, 0, part.count, &f), "%s", fault_text(&f));
}

static inline void check_collection(struct collection *x, struct collection *y)
{
	ck_assert_uint_eq(collection_shard_count(x), collection_shard_count(y));
	for (uint32_t i = 0; i < collection_shard_count(x); i++) {
		struct hash128 a = merkle_root(collection_merkle(x, i)), b = merkle_root(collection_merkle(y, i));
		ck_assert_msg(a.lo == b.lo && a.hi == b.hi, "shard %u has other rows", i);
	}
}

/* Same collections, rows, place, logs. */
static inline void check_equal(struct region *a, struct region *b)
{
	struct collection **x, **y;
	uint32_t n, m;

	ck_assert_int_eq(catalog_list(a->catalog, &a->arena, &x, &n), ERR_NONE);
	ck_assert_int_eq(catalog_list(b->catalog, &a->arena, &y, &m), ERR_NONE);
	ck_assert_uint_eq(n, m);
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_int_eq(incarnation_compare(collection_incarnation(x[i]), collection_incarnation(y[i])), 0);
		check_collection(x[i], y[i]);
		collection_unref(x[i]);
		collection_unref(y[i]);
	}
	struct committer_state s = region_state(a), t = region_state(b);
	ck_assert_int_eq(position_compare(s.position, t.position), 0);
	ck_assert_uint_eq(s.chain_hash, t.chain_hash);
	ck_assert_uint_eq(s.op_number, t.op_number);
}
