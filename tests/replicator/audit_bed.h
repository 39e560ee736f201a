/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three data regions in one process, one thread and no network: ops go from the primary's log to the others, those of several
 * writers from each to each, audits through a direct link. Time passes when an audit waits: then ops travel, and whatever else the test wants happens.
 */
#pragma once

#include "replicator/audit.h"
#include "replicator/publisher.h"
#include "tests/index/random.h"
#include "tests/replicator/region.h"

#define BED_REGIONS 3
#define BED_FLEET 77
#define BED_IDS 300

struct audit_bed;

struct bed_region {
	struct region region;
	struct peers *peers;
	struct peer_link link;   /* its way to the others */
	struct audit *audit;
	struct audit_bed *bed;
	uint8_t id;
	bool cut;                /* ops do not reach it, */
	bool deaf;               /* questions neither */
	const char *dir;         /* of its reports */
};

struct audit_bed {
	struct bed_region regions[BED_REGIONS];
	struct random random;
	uint32_t data_regions;
	bool multi;              /* every region writes "c" */
	void (*meanwhile)(struct audit_bed *b);   /* NULL: nothing */
	void (*on_request)(struct audit_bed *b, struct bed_region *to, const struct audit_request *q);
	uint64_t waited_ms;
	uint64_t requests[AUDIT_WANTED + 1];
};

static struct audit_bed bed;

static const char *const bed_names[BED_REGIONS] = { "eu", "us", "ap" };

static inline struct region *at(unsigned i)
{
	return &bed.regions[i].region;
}

/* --- the network --- */

/* What follows p in a region's log. ERR_NOT_FOUND: nothing does. ERR_UNAVAILABLE: another log's ops come first. */
static inline enum err carry_log(struct region *from, struct bed_region *to, uint16_t scope, struct position p,
				 size_t bytes_target)
{
	CLEANUP(buf_release) struct buf message = BUF_INIT(BATCH_BYTES_MAX);
	CLEANUP(buf_release) struct buf inflated = BUF_INIT(BATCH_BODY_BYTES_MAX);
	CLEANUP(arena_release) struct arena a;
	struct log_source source = { from->store, from->catalog, BED_FLEET };
	struct op_batch m;
	struct fault f = { 0 };

	arena_init(&a, (size_t)64 << 20);
	enum err err = log_message(&source, scope, p, 0, bytes_target, &message, &m, &f);
	if (err == ERR_NOT_FOUND)
		return err;
	ck_assert_msg(!err, "%s", fault_text(&f));
	ck_assert_int_eq(batch_decode(buf_bytes(&message), &inflated, &a, &m, &f), ERR_NONE);
	struct bytes *ops = arena_array(&a, m.count, sizeof(*ops));
	memcpy(ops, m.ops, m.count * sizeof(*ops));
	struct remote_batch batch = { .ops = ops, .count = m.count, .scope = scope, .chain_hash = m.chain_hash };
	err = committer_apply(to->region.committer, &batch, &f);
	ck_assert_msg(!err || (scope == SCOPE_MULTI && err == ERR_UNAVAILABLE), "%s", fault_text(&f));
	return err;
}

/* Some ops of the primary; false: there are none. */
static inline bool carry(struct bed_region *to, size_t bytes_target)
{
	if (to->cut || !to->region.committer)
		return false;
	return !carry_log(at(0), to, SCOPE_FLEET, region_state(&to->region).position, bytes_target);
}

/* Of one region's own log, what the other has not; false: there is nothing, or it has to wait. */
static inline bool carry_multi(unsigned from, unsigned to, size_t bytes_target)
{
	static struct log_end ends[LOGS_MAX];
	struct bed_region *r = &bed.regions[to];
	uint32_t count = at(from)->committer ? committer_vector(at(from)->committer, ends) : 0;
	bool any = false;

	if (from == to || r->cut || bed.regions[from].cut || !r->region.committer)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct position p = { ends[i].log, committer_log_seq(r->region.committer, ends[i].log) };
		if ((uint8_t)ends[i].log == from + 1 && p.seq < ends[i].seq)
			any |= !carry_log(at(from), r, SCOPE_MULTI, p, bytes_target);
	}
	return any;
}

static inline bool carry_some(size_t bytes_target)
{
	bool any = false;

	for (unsigned i = 0; i < BED_REGIONS; i++) {
		any |= i > 0 && carry(&bed.regions[i], bytes_target);
		for (unsigned k = 0; k < BED_REGIONS; k++)
			any |= carry_multi(k, i, bytes_target);
	}
	return any;
}

static inline void carry_all(void)
{
	while (carry_some(PUBLISH_BYTES_TARGET))
		;
}

static inline void bed_wait(void *ctx, uint64_t ms)
{
	(void)ctx;
	bed.waited_ms += ms;
	for (unsigned i = 0; i < BED_REGIONS; i++) {
		at(i)->clock.mono_ns += ms * 1000000;
		at(i)->clock.wall_ms += ms;
	}
	if (bed.meanwhile)
		bed.meanwhile(&bed);
	/* Faster than tests write, on the whole: else nobody would ever be level. */
	for (uint64_t n = bed.multi ? 1 + random_u64(&bed.random) % 4 : 1; n > 0; n--)
		(void)carry_some(1);
}

static inline enum err bed_audit(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out,
				 struct fault *f)
{
	struct bed_region *from = CONTAINER_OF(l, struct bed_region, link);
	struct bed_region *to = &bed.regions[region - 1];
	CLEANUP(arena_release) struct arena a;
	struct audit_request q;

	arena_init(&a, (size_t)64 << 20);
	ck_assert_int_eq(audit_request_decode(request, &a, &q, f), ERR_NONE);
	bed.requests[q.kind]++;
	if (bed.on_request)
		bed.on_request(&bed, to, &q);
	if (to->deaf || !to->audit)
		return fault_set(f, ERR_UNAVAILABLE, "nobody answers");
	return audit_answer(to->audit, from->id, request, out, f);
}

static inline void bed_hash(struct bytes b, uint8_t out[AUDIT_DIGEST_BYTES])
{
	struct hash128 one = hash128(b.data, b.len, 1);
	struct hash128 two = hash128(b.data, b.len, 2);

	memcpy(out, &one, sizeof(one));
	memcpy(out + sizeof(one), &two, sizeof(two));
}

/* --- life --- */

static inline void audit_open(struct bed_region *r)
{
	struct fault f = { 0 };
	struct audit_options o = { .clock = &r->region.clock.clock,
				   .store = r->region.store,
				   .catalog = r->region.catalog,
				   .committer = r->region.committer,
				   .peers = r->peers,
				   .region = r->peers ? NULL : bed_names[r->id - 1],
				   .dir = r->dir,
				   .hash = bed_hash,
				   .wait = bed_wait };

	ck_assert_msg(!audit_new(&o, &r->audit, &f), "%s", fault_text(&f));
}

static inline void peers_open(struct bed_region *r)
{
	struct peer_config others[BED_REGIONS];
	uint32_t count = 0;

	for (unsigned i = 0; i < BED_REGIONS; i++)
		if (i + 1 != r->id)
			others[count++] = (struct peer_config){ .name = bed_names[i],
								.id = (uint8_t)(i + 1),
								.data = i < bed.data_regions };
	r->link = (struct peer_link){ .audit = bed_audit };
	struct peers_options o = { .clock = &r->region.clock.clock,
				   .fleet = BED_FLEET,
				   .self = { .name = bed_names[r->id - 1], .id = r->id, .data = true },
				   .others = others,
				   .other_count = count,
				   .link = &r->link };
	ck_assert_int_eq(peers_new(&o, &r->peers), ERR_NONE);
}

/* The first is the primary; data_regions 1: it is alone. */
static inline void bed_open_with(uint32_t data_regions, bool multi)
{
	bed = (struct audit_bed){ .data_regions = data_regions, .multi = multi };
	bed.random = (struct random){ 4711 };
	for (unsigned i = 0; i < BED_REGIONS; i++) {
		struct bed_region *r = &bed.regions[i];
		r->id = (uint8_t)(i + 1);
		r->bed = &bed;
		r->cut = i >= data_regions;
		region_init(&r->region, r->id);
		region_open(&r->region);
		if (data_regions > 1)
			peers_open(r);
		audit_open(r);
	}
	region_begin(at(0));
	struct intent create = create_of(at(0), "c", DISTANCE_DOT);
	create.body.config.multi_writer = multi;
	write_well(at(0), create);
}

static inline void bed_open_as(uint32_t data_regions)
{
	bed_open_with(data_regions, false);
}

static inline void bed_close(void)
{
	for (unsigned i = 0; i < BED_REGIONS; i++) {
		audit_free(bed.regions[i].audit);
		region_release(&bed.regions[i].region);
		peers_free(bed.regions[i].peers);
	}
}

/* As kill -9 and a new start do. */
static inline void crash(unsigned i)
{
	audit_free(TAKE(bed.regions[i].audit));
	region_shut(at(i));
	store_mem_crash(at(i)->store);
	region_open(at(i));
	audit_open(&bed.regions[i]);
}

/* --- writing --- */

static inline uint64_t random_below(struct random *r, uint64_t n)
{
	return random_u64(r) % n;
}

static inline void write_something_in(struct audit_bed *b, unsigned i)
{
	uint64_t id = random_below(&b->random, BED_IDS);
	struct intent in;

	switch (random_below(&b->random, 4)) {
	case 0:
		in = ids_intent(at(i), OP_DELETE, "c", &id, 1);
		break;
	case 1:
		in = set_payload_of(at(i), "c", id, "k", (int64_t)random_below(&b->random, 1000));
		break;
	default:
		in = upsert_of(at(i), "c", id, 1 + (uint32_t)random_below(&b->random, 3));
		break;
	}
	struct region_write *w = try_write(at(i), in);
	/* The point that was to be changed may not be there. */
	ck_assert_msg(!w->w.err || w->w.err == ERR_NOT_FOUND, "%s", w->w.fault.text);
}

static inline void write_something(struct audit_bed *b)
{
	write_something_in(b, 0);
}

/* --- damage: as if the disk had it so, and the region had been started since --- */

struct damage {
	struct region *region;
	struct collection *c;
	struct store_txn *t;
};

static inline struct damage damage_begin(unsigned i)
{
	struct damage d = { .region = at(i), .c = catalog_get(at(i)->catalog, STR("c")) };

	ck_assert_ptr_nonnull(d.c);
	ck_assert_int_eq(d.region->store->ops->begin(d.region->store, true, &d.t), ERR_NONE);
	return d;
}

static inline void damage_end(struct damage *d)
{
	struct fault f = { 0 };

	ck_assert_int_eq(catalog_sync(d->region->catalog, &f), ERR_NONE);
	ck_assert_int_eq(d->region->store->ops->commit(d->t, &f), ERR_NONE);
	catalog_publish(d->region->catalog);
	collection_unref(d->c);
}

static inline struct row damage_load(struct damage *d, uint64_t id)
{
	struct row row;

	ck_assert_int_eq(collection_row_load(d->c, d->t, id_of(id), &d->region->arena, &row), ERR_NONE);
	return row;
}

static inline void damage_store(struct damage *d, struct row *row)
{
	struct fault f = { 0 };

	ck_assert_msg(!collection_row_store(d->c, d->t, row, &f), "%s", fault_text(&f));
}

/* The same version with another payload. */
static inline void damage_payload(unsigned i, uint64_t id)
{
	struct damage d = damage_begin(i);
	struct row row = damage_load(&d, id);
	struct value other;

	ck_assert_uint_ge(row.field_count, 1);
	ck_assert(value_get(payload_of(d.region, "n", 987654), STR("n"), &other));
	row.fields[0].value = other;
	damage_store(&d, &row);
	damage_end(&d);
}

/* Values that do not fit their hash. */
static inline void damage_vector(unsigned i, uint64_t id)
{
	static const float values[4] = { 9.0F, 9.0F, 9.0F, 9.0F };
	struct damage d = damage_begin(i);
	struct row row = damage_load(&d, id);

	ck_assert_uint_ge(row.vector_count, 1);
	row.vectors[0].slot = SLOT_NONE;
	row.vectors[0].vector.values = values;
	damage_store(&d, &row);
	damage_end(&d);
}

static inline void damage_missing(unsigned i, uint64_t id)
{
	struct damage d = damage_begin(i);

	ck_assert_int_eq(collection_row_remove(d.c, d.t, id_of(id)), ERR_NONE);
	damage_end(&d);
}

/* What is stored fails its checksum. */
static inline void damage_record(unsigned i, uint64_t id)
{
	struct damage d = damage_begin(i);

	ck_assert_int_eq(collection_row_spoil(d.c, d.t, id_of(id)), ERR_NONE);
	damage_end(&d);
}

/* A row that nobody wrote, made from another. */
static inline void damage_extra(unsigned i, uint64_t from, uint64_t id)
{
	struct damage d = damage_begin(i);
	struct row row = damage_load(&d, from);

	row.id = id_of(id);
	for (uint32_t k = 0; k < row.vector_count; k++)
		row.vectors[k].slot = SLOT_NONE;
	damage_store(&d, &row);
	damage_end(&d);
}

static inline void damage_tree(unsigned i, uint64_t id)
{
	struct collection *c = catalog_get(at(i)->catalog, STR("c"));
	uint32_t shard = collection_shard_of(c, id_of(id));
	struct hash128 nonsense = { .lo = 5, .hi = 6 };

	merkle_change(collection_merkle(c, shard), id_of(id), NULL, &nonsense);
	collection_unref(c);
}

/* --- looking --- */

static inline struct audit_report *audit_with(bool deep)
{
	struct audit_report *r = region_alloc(at(0), sizeof(*r));
	struct fault f = { 0 };
	enum err err = audit_run(bed.regions[0].audit, deep, r, &f);

	ck_assert_msg(!err, "%s", fault_text(&f));
	return r;
}

static inline uint64_t all_differences(const struct audit_report *r)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < AUDIT_CLASS_COUNT; i++)
		n += r->differences[i];
	return n;
}

static inline bool same_trees(unsigned i, unsigned k)
{
	struct collection *a = catalog_get(at(i)->catalog, STR("c"));
	struct collection *b = catalog_get(at(k)->catalog, STR("c"));
	bool same = true;

	for (uint32_t s = 0; s < collection_shard_count(a); s++) {
		struct hash128 x = merkle_root(collection_merkle(a, s));
		struct hash128 y = merkle_root(collection_merkle(b, s));
		same &= x.lo == y.lo && x.hi == y.hi;
	}
	collection_unref(a);
	collection_unref(b);
	return same;
}
