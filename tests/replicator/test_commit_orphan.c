/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orphans, from the region that took them back to what becomes of them: every region lists the same, an orphan never beats
 * what was written in a later epoch, equal positions mean equal rows, and all of it can itself be taken back.
 */
#include "tests/replicator/region.h"

#define OPS_MAX 64
#define OFFERS_MAX 16

static struct region a, b, c;
static struct region *const all[] = { &a, &b, &c };
static struct position confirmed;

static struct position floor_of(void *ctx)
{
	(void)ctx;
	return confirmed;
}

static void open_one(struct region *r, uint8_t id)
{
	region_init(r, id);
	r->options.undo = true;
	r->options.trim_floor = floor_of;
	region_open(r);
}

static struct position place_of(struct region *r)
{
	return region_state(r).position;
}

static void catch_up(struct region *from, struct region *to)
{
	struct log_part log = read_log_after(from, place_of(to), OPS_MAX);
	struct fault f = { 0 };

	if (log.count > 0)
		ck_assert_msg(!apply_part(to, &log, 0, log.count, &f), "%s", f.text);
	ck_assert_int_eq(position_compare(place_of(from), place_of(to)), 0);
}

static void walk_back(struct region *r, struct position to)
{
	struct rewind w = { .to = to };
	struct fault f = { 0 };

	ck_assert_msg(!committer_rewind(r->committer, &w, &f), "%s", f.text);
}

/* a wrote the collection and twenty points, which all have. */
static void set_up(void)
{
	confirmed = (struct position){ 0 };
	open_one(&a, 1);
	open_one(&b, 2);
	open_one(&c, 3);
	region_begin(&a);
	write_well(&a, create_of(&a, "c", DISTANCE_DOT));
	write_well(&a, upsert_of(&a, "c", 1, 20));
	catch_up(&a, &b);
	catch_up(&a, &c);
}

static void tear_down(void)
{
	region_release(&a);
	region_release(&b);
	region_release(&c);
}

/* --- looking --- */

static uint32_t list_of(struct region *r, bool local, struct orphan *out, uint32_t max)
{
	const struct orphan *after = NULL;
	struct store_txn *t;
	struct orphan o, last;
	uint32_t count = 0;
	enum err err;

	ck_assert_int_eq(r->store->ops->begin(r->store, false, &t), ERR_NONE);
	while ((err = orphan_next(r->store, t, after, &r->arena, &o)) == ERR_NONE) {
		if (local == (o.state == ORPHAN_LOCAL)) {
			ck_assert_uint_lt(count, max);
			out[count++] = o;
		}
		last = o;
		after = &last;
	}
	ck_assert_int_eq(err, ERR_NOT_FOUND);
	r->store->ops->abort(t);
	return count;
}

static void check_same_lists(struct region *x, struct region *y)
{
	struct orphan of_x[OFFERS_MAX], of_y[OFFERS_MAX];
	uint32_t count = list_of(x, false, of_x, OFFERS_MAX);

	ck_assert_uint_eq(list_of(y, false, of_y, OFFERS_MAX), count);
	for (uint32_t i = 0; i < count; i++) {
		CLEANUP(buf_release) struct buf p = BUF_INIT(2 * OP_BYTES_MAX);
		CLEANUP(buf_release) struct buf q = BUF_INIT(2 * OP_BYTES_MAX);
		ck_assert_int_eq(orphan_id_compare(&of_x[i].id, &of_y[i].id), 0);
		ck_assert_int_eq(orphan_encode(&of_x[i], &p), ERR_NONE);
		ck_assert_int_eq(orphan_encode(&of_y[i], &q), ERR_NONE);
		ck_assert_uint_eq(p.len, q.len);
		ck_assert_mem_eq(p.data, q.data, p.len);
	}
}

static void roots_of(struct region *r, const char *name, struct hash128 out[2])
{
	struct collection *collection = catalog_get(r->catalog, (struct str){ name, strlen(name) });

	ck_assert_ptr_nonnull(collection);
	for (uint32_t k = 0; k < 2; k++) {
		struct collection_check check = { .done = false };
		while (!check.done) {
			ck_assert_int_eq(collection_check(collection, k, &check), ERR_NONE);
			ck_assert_uint_eq(check.bad_count, 0);
		}
		out[k] = merkle_root(collection_merkle(collection, k));
	}
	collection_unref(collection);
}

static void check_same_rows(struct region *x, struct region *y)
{
	struct hash128 of_x[2], of_y[2];

	roots_of(x, "c", of_x);
	roots_of(y, "c", of_y);
	ck_assert_mem_eq(of_x, of_y, sizeof(of_x));
	ck_assert_uint_eq(region_state(x).chain_hash, region_state(y).chain_hash);
}

static void check_all_same(void)
{
	check_same_lists(&a, &b);
	check_same_lists(&b, &c);
	check_same_rows(&a, &b);
	check_same_rows(&b, &c);
}

/* What is stored says the same as what is in memory. */
static void restart(struct region *r)
{
	struct orphan_totals before = region_state(r).orphans;

	region_shut(r);
	region_open(r);
	struct orphan_totals now = region_state(r).orphans;
	ck_assert_mem_eq(&before, &now, sizeof(before));
}

static uint64_t in_state(struct region *r, enum orphan_state s)
{
	return region_state(r).orphans.count[s];
}

/* --- doing --- */

static struct orphan_offer offer_of(struct region *from)
{
	struct orphan *local = region_alloc(from, OFFERS_MAX * sizeof(*local));
	struct offered_orphan *items = region_alloc(from, OFFERS_MAX * sizeof(*items));
	uint32_t count = list_of(from, true, local, OFFERS_MAX);

	for (uint32_t i = 0; i < count; i++)
		items[i] = (struct offered_orphan){ local[i].id.chain_hash, local[i].op };
	return (struct orphan_offer){ .items = items, .count = count };
}

static uint32_t offer(struct region *from, struct region *to)
{
	struct orphan_offer o = offer_of(from);
	struct fault f = { 0 };

	ck_assert_msg(!committer_list_orphans(to->committer, &o, &f), "%s", f.text);
	return o.listed;
}

static enum err try_decide(struct region *r, const struct orphan_id *id, bool apply, struct fault *ret_fault)
{
	struct orphan_verdict v = { .id = *id, .apply = apply };
	struct orphan_decision d = { .items = &v, .count = 1 };
	struct fault f = { 0 };
	enum err err = committer_decide_orphans(r->committer, &d, &f);

	*ret_fault = err ? f : v.fault;
	ck_assert_uint_eq(d.done, v.err ? 0 : 1);
	ck_assert(!err || v.err);
	return v.err;
}

static void decide(struct region *r, const struct orphan *o, bool apply)
{
	struct fault f;
	enum err err = try_decide(r, &o->id, apply, &f);

	ck_assert_msg(!err, "%s", f.text);
}

/* What a wrote last, others did not get; b is the next primary, and a comes back. */
static void fail_over(void)
{
	struct position end = place_of(&b);

	region_begin(&b);
	walk_back(&a, end);
}

static void everywhere(void)
{
	catch_up(&b, &a);
	catch_up(&b, &c);
}

/* --- listing --- */

START_TEST(every_region_comes_to_list_the_same)
{
	struct orphan list[OFFERS_MAX];

	write_well(&a, upsert_of(&a, "c", 100, 2));
	/* One of those that were not lost had got it. */
	struct position end = place_of(&b);
	catch_up(&a, &c);
	write_well(&a, set_payload_of(&a, "c", 3, "k", 5));
	fail_over();
	walk_back(&c, end);
	ck_assert_uint_eq(in_state(&a, ORPHAN_LOCAL), 2);
	ck_assert_uint_eq(in_state(&c, ORPHAN_LOCAL), 1);

	ck_assert_uint_eq(offer(&c, &b), 1);
	ck_assert_uint_eq(offer(&a, &b), 1); /* the other one */
	ck_assert_uint_eq(offer(&a, &b), 0);
	everywhere();
	check_all_same();
	for (size_t i = 0; i < LEN(all); i++) {
		ck_assert_uint_eq(in_state(all[i], ORPHAN_OPEN), 2);
		ck_assert_uint_eq(in_state(all[i], ORPHAN_LOCAL), 0);
		restart(all[i]);
	}
	ck_assert_uint_eq(list_of(&c, false, list, OFFERS_MAX), 2);
	ck_assert_int_eq(list[0].kind, OP_UPSERT);
	ck_assert_uint_eq(list[0].items, 2);
	ck_assert_uint_eq(list[0].region, 1);
	ck_assert_int_eq(list[1].kind, OP_SET_PAYLOAD);
	/* It comes back after weeks, with another primary. */
	region_begin(&b);
	ck_assert_uint_eq(offer(&a, &b), 0);
}
END_TEST

START_TEST(only_the_primary_lists_and_decides)
{
	struct orphan list[OFFERS_MAX];
	struct fault f = { 0 };

	write_well(&a, upsert_of(&a, "c", 100, 1));
	fail_over();
	struct orphan_offer o = offer_of(&a);
	ck_assert_int_eq(committer_list_orphans(c.committer, &o, &f), ERR_NOT_PRIMARY);
	ck_assert_uint_eq(o.listed, 0);
	ck_assert_uint_eq(offer(&a, &b), 1);
	everywhere();
	ck_assert_uint_eq(list_of(&c, false, list, OFFERS_MAX), 1);
	ck_assert_int_eq(try_decide(&c, &list[0].id, true, &f), ERR_NOT_PRIMARY);
	ck_assert_uint_eq(in_state(&c, ORPHAN_OPEN), 1);
}
END_TEST

START_TEST(what_is_no_op_of_a_client_or_lies_in_the_history_is_not_listed)
{
	struct log_part log = read_log_after(&a, (struct position){ 0 }, 10);
	struct fault f = { 0 };

	for (uint32_t i = 0; i < log.count; i++) {
		struct offered_orphan item = { log.hashes[i], log.ops[i] };
		struct orphan_offer o = { .items = &item, .count = 1 };
		enum err err = committer_list_orphans(a.committer, &o, &f);
		ck_assert_int_eq(err, i == 0 ? ERR_BAD_INPUT : ERR_NONE);
		ck_assert_uint_eq(o.listed, 0);
		item.op.len--;
		ck_assert_int_eq(committer_list_orphans(a.committer, &o, &f), ERR_CORRUPT);
	}
	ck_assert_int_eq(position_compare(place_of(&a), log.positions[log.count - 1]), 0);
}
END_TEST

/* A second failover may choose the region that still had it. */
START_TEST(an_op_that_is_in_the_history_after_all_is_no_orphan)
{
	struct position end = place_of(&b);

	write_well(&a, upsert_of(&a, "c", 100, 2));
	catch_up(&a, &c);
	walk_back(&c, end);
	ck_assert_uint_eq(in_state(&c, ORPHAN_LOCAL), 1);
	catch_up(&a, &c);
	ck_assert_uint_eq(in_state(&c, ORPHAN_LOCAL), 0);
	restart(&c);
	/* And back again. */
	walk_back(&c, end);
	ck_assert_uint_eq(in_state(&c, ORPHAN_LOCAL), 1);
}
END_TEST

START_TEST(a_full_list_takes_no_more_and_says_so)
{
	struct orphan list[OFFERS_MAX];
	struct fault f = { 0 };

	region_shut(&b);
	b.options.orphan_bytes_max = 300;
	region_open(&b);
	for (uint64_t i = 0; i < 4; i++)
		write_well(&a, upsert_of(&a, "c", 100 + 2 * i, 2));
	fail_over();
	struct orphan_offer o = offer_of(&a);
	ck_assert_int_eq(committer_list_orphans(b.committer, &o, &f), ERR_NO_SPACE);
	ck_assert_ptr_nonnull(strstr(f.text, "list of orphans is full"));
	ck_assert_uint_ge(o.listed, 1);
	ck_assert_uint_lt(o.listed, 4);
	everywhere();
	check_all_same();
	ck_assert_uint_eq(in_state(&a, ORPHAN_LOCAL) + in_state(&a, ORPHAN_OPEN), 4);
	/* Deciding makes room. */
	ck_assert_uint_ge(list_of(&b, false, list, OFFERS_MAX), 1);
	decide(&b, &list[0], false);
	ck_assert_int_eq(committer_list_orphans(b.committer, &o, &f), ERR_NO_SPACE);
	ck_assert_uint_eq(o.listed, 1);
	everywhere();
	check_all_same();
}
END_TEST

START_TEST(the_largest_op_can_be_an_orphan)
{
	struct intent in = upsert_of(&a, "c", 500, 1);
	size_t most = (size_t)768 * 1024 - 128 - 200;
	CLEANUP(buf_release) struct buf item = BUF_INIT(OP_BYTES_MAX);
	CLEANUP(buf_release) struct buf object = BUF_INIT(OP_BYTES_MAX);
	char *text = region_alloc(&a, most);
	struct orphan list[OFFERS_MAX];

	memset(text, 'x', most);
	value_put_string(&item, (struct str){ text, most });
	struct value_member m = { .key = STR("t"), .value = value_of_buf(&item) };
	ck_assert_int_eq(value_put_object(&object, &m, 1), ERR_NONE);
	in.body.points[0].payload = value_of_buf(&object);
	write_well(&a, in);
	fail_over();
	ck_assert_uint_eq(offer(&a, &b), 1);
	everywhere();
	ck_assert_uint_eq(list_of(&c, false, list, OFFERS_MAX), 1);
	ck_assert_uint_gt(list[0].op.len, most);
	decide(&b, &list[0], true);
	everywhere();
	check_all_same();
	ck_assert_uint_eq(count_points(&c, "c"), 21);
}
END_TEST

/* --- applying --- */

START_TEST(an_orphan_appears_where_nothing_was_written_since)
{
	struct orphan list[OFFERS_MAX];

	write_well(&a, upsert_of(&a, "c", 100, 2));
	write_well(&a, set_payload_of(&a, "c", 3, "k", 5));
	fail_over();
	(void)offer(&a, &b);
	everywhere();
	ck_assert_uint_eq(count_points(&b, "c"), 20);
	ck_assert_uint_eq(list_of(&b, false, list, OFFERS_MAX), 2);
	decide(&b, &list[0], true);
	decide(&b, &list[1], true);
	everywhere();
	check_all_same();
	for (size_t i = 0; i < LEN(all); i++) {
		ck_assert_uint_eq(count_points(all[i], "c"), 22);
		ck_assert_int_eq(payload_number(all[i], "c", 3, "k"), 5);
		ck_assert_int_eq(payload_number(all[i], "c", 3, "n"), 3);
		ck_assert_uint_eq(in_state(all[i], ORPHAN_APPLIED), 2);
		ck_assert_uint_eq(in_state(all[i], ORPHAN_OPEN), 0);
		ck_assert_uint_eq(region_state(all[i]).orphans.bytes[ORPHAN_APPLIED], 0);
		restart(all[i]);
	}
	check_all_same();
	struct record record = find_point(&c, "c", 100);
	ck_assert(record.found && record.vector_count == 1);
	ck_assert_uint_eq((unsigned)record.vectors[0].vector.values[0], 100);
}
END_TEST

START_TEST(an_orphan_never_beats_what_a_later_epoch_wrote)
{
	static const uint64_t five = 5;
	struct orphan list[OFFERS_MAX];

	write_well(&a, set_payload_of(&a, "c", 3, "k", 5));
	write_well(&a, set_payload_of(&a, "c", 3, "other", 6));
	write_well(&a, upsert_of(&a, "c", 5, 1));
	write_well(&a, set_payload_of(&a, "c", 5, "late", 1));
	write_well(&a, ids_intent(&a, OP_DELETE, "c", (const uint64_t[]){ 7 }, 1));
	write_well(&a, ids_intent(&a, OP_CLEAR_PAYLOAD, "c", (const uint64_t[]){ 8 }, 1));
	/* The clock of the next primary is far behind: only the epoch says who comes later. */
	b.clock.wall_ms -= 400;
	fail_over();
	write_well(&b, set_payload_of(&b, "c", 3, "k", 77));
	write_well(&b, ids_intent(&b, OP_DELETE, "c", &five, 1));
	write_well(&b, upsert_of(&b, "c", 7, 1));
	write_well(&b, set_payload_of(&b, "c", 8, "k", 8));
	(void)offer(&a, &b);
	everywhere();
	uint32_t count = list_of(&b, false, list, OFFERS_MAX);
	ck_assert_uint_eq(count, 6);
	for (uint32_t i = 0; i < count; i++)
		decide(&b, &list[i], true);
	everywhere();
	check_all_same();
	ck_assert_int_eq(payload_number(&c, "c", 3, "k"), 77);
	ck_assert_int_eq(payload_number(&c, "c", 3, "other"), 6);
	ck_assert(!find_point(&c, "c", 5).found);
	ck_assert(find_point(&c, "c", 7).found);
	ck_assert_int_eq(payload_number(&c, "c", 8, "k"), 8);
	ck_assert_int_eq(payload_number(&c, "c", 8, "n"), -1);
	ck_assert_uint_eq(count_points(&c, "c"), 19);
}
END_TEST

/* 24 orders of four orphans that concern one another, between writes of the new epoch. */
START_TEST(the_order_of_deciding_does_not_matter)
{
	struct hash128 first[2];
	unsigned orders = 0;

	for (unsigned code = 0; code < 256; code++) {
		unsigned at[4] = { code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6 };
		struct orphan list[OFFERS_MAX];
		struct hash128 now[2];
		if ((1u << at[0] | 1u << at[1] | 1u << at[2] | 1u << at[3]) != 15)
			continue;
		if (orders > 0) {
			tear_down();
			set_up();
		}
		write_well(&a, upsert_of(&a, "c", 3, 2));
		write_well(&a, set_payload_of(&a, "c", 3, "k", 5));
		write_well(&a, set_payload_of(&a, "c", 3, "k", 6));
		write_well(&a, ids_intent(&a, OP_DELETE, "c", (const uint64_t[]){ 3 }, 1));
		fail_over();
		(void)offer(&a, &b);
		ck_assert_uint_eq(list_of(&b, false, list, OFFERS_MAX), 4);
		write_well(&b, set_payload_of(&b, "c", 4, "new", 1));
		for (unsigned i = 0; i < 4; i++) {
			decide(&b, &list[at[i]], true);
			if (i == 1)
				write_well(&b, set_payload_of(&b, "c", 4, "new", 2));
		}
		everywhere();
		check_all_same();
		ck_assert(!find_point(&b, "c", 3).found);
		roots_of(&b, "c", now);
		if (orders++ == 0)
			memcpy(first, now, sizeof(now));
		/* Stamps of the new epoch are of the test's clock, which stands still. */
		ck_assert_mem_eq(first, now, sizeof(now));
	}
	ck_assert_uint_eq(orders, 24);
}
END_TEST

START_TEST(what_was_decided_stays_decided)
{
	struct orphan list[OFFERS_MAX];
	struct fault f;

	write_well(&a, upsert_of(&a, "c", 100, 1));
	write_well(&a, upsert_of(&a, "c", 101, 1));
	fail_over();
	(void)offer(&a, &b);
	ck_assert_uint_eq(list_of(&b, false, list, OFFERS_MAX), 2);
	decide(&b, &list[0], false);
	decide(&b, &list[1], true);
	struct position p = place_of(&b);
	decide(&b, &list[0], false);
	decide(&b, &list[1], true);
	ck_assert_int_eq(try_decide(&b, &list[0].id, true, &f), ERR_ALREADY_EXISTS);
	ck_assert_ptr_nonnull(strstr(f.text, "was dropped already"));
	ck_assert_int_eq(try_decide(&b, &list[1].id, false, &f), ERR_ALREADY_EXISTS);
	list[0].id.position.seq += 50;
	ck_assert_int_eq(try_decide(&b, &list[0].id, false, &f), ERR_NOT_FOUND);
	ck_assert_int_eq(position_compare(place_of(&b), p), 0);
	/* Offered once more by a region that was away, they are known. */
	ck_assert_uint_eq(offer(&a, &b), 0);
	everywhere();
	check_all_same();
	ck_assert(!find_point(&c, "c", 100).found);
	ck_assert(find_point(&c, "c", 101).found);
}
END_TEST

START_TEST(an_orphan_that_only_one_region_has_is_not_decided_about)
{
	struct orphan list[OFFERS_MAX];
	struct fault f;
	struct position end = place_of(&a);

	write_well(&a, upsert_of(&a, "c", 100, 1));
	walk_back(&a, end);
	region_begin(&a);
	ck_assert_uint_eq(list_of(&a, true, list, OFFERS_MAX), 1);
	ck_assert_int_eq(try_decide(&a, &list[0].id, true, &f), ERR_UNAVAILABLE);
	/* The primary may be the one that took it back. */
	ck_assert_uint_eq(offer(&a, &a), 1);
	decide(&a, &list[0], true);
	ck_assert(find_point(&a, "c", 100).found);
}
END_TEST

START_TEST(many_are_decided_at_once_and_each_tells_why_it_is_not)
{
	struct orphan list[OFFERS_MAX];
	struct orphan_verdict v[OFFERS_MAX] = { { .apply = true } };
	struct fault f = { 0 };

	for (uint64_t i = 0; i < 4; i++)
		write_well(&a, upsert_of(&a, "c", 100 + i, 1));
	fail_over();
	(void)offer(&a, &b);
	uint32_t count = list_of(&b, false, list, OFFERS_MAX);
	ck_assert_uint_eq(count, 4);
	decide(&b, &list[1], false);
	for (uint32_t i = 0; i < count; i++)
		v[i] = (struct orphan_verdict){ .id = list[i].id, .apply = i != 3 };
	struct orphan_decision d = { .items = v, .count = count };
	uint64_t before = place_of(&b).seq;
	ck_assert_int_eq(committer_decide_orphans(b.committer, &d, &f), ERR_NONE);
	ck_assert_uint_eq(d.done, 3);
	ck_assert_int_eq(v[1].err, ERR_ALREADY_EXISTS);
	ck_assert_ptr_nonnull(strstr(v[1].fault.text, "dropped"));
	ck_assert_uint_eq(place_of(&b).seq, before + 3);
	ck_assert_int_eq(position_compare(d.position, place_of(&b)), 0);
	everywhere();
	check_all_same();
	ck_assert_uint_eq(in_state(&c, ORPHAN_APPLIED), 2);
	ck_assert_uint_eq(in_state(&c, ORPHAN_DROPPED), 2);
}
END_TEST

/* --- collections --- */

static struct intent index_put_of(const char *key)
{
	struct intent in = { .kind = OP_FIELD_INDEX_PUT, .collection = STR("c") };

	in.body.field_index = (struct field_index_config){ .key = { key, strlen(key) }, .schema = FIELD_INTEGER };
	return in;
}

START_TEST(a_collection_that_was_lost_comes_back_with_its_points)
{
	struct orphan list[OFFERS_MAX];
	struct fault f;

	write_well(&a, create_of(&a, "d", DISTANCE_DOT));
	write_well(&a, upsert_of(&a, "d", 1, 3));
	write_well(&a, index_put_of("n"));
	fail_over();
	(void)offer(&a, &b);
	everywhere();
	ck_assert_uint_eq(list_of(&b, false, list, OFFERS_MAX), 3);
	ck_assert_uint_eq(list[0].name.len, 1);
	ck_assert_int_eq(try_decide(&b, &list[1].id, true, &f), ERR_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(f.text, "apply that first"));
	for (uint32_t i = 0; i < 3; i++)
		decide(&b, &list[i], true);
	everywhere();
	check_all_same();
	for (size_t i = 0; i < LEN(all); i++) {
		struct field_index_info *fields;
		uint32_t count;
		struct collection *collection = catalog_get(all[i]->catalog, STR("c"));
		ck_assert_uint_eq(count_points(all[i], "d"), 3);
		ck_assert_int_eq(collection_field_indexes(collection, &all[i]->arena, &fields, &count), ERR_NONE);
		ck_assert_uint_eq(count, 1);
		collection_unref(collection);
		restart(all[i]);
		ck_assert_uint_eq(count_points(all[i], "d"), 3);
	}
}
END_TEST

START_TEST(a_change_of_a_collection_takes_nothing_from_what_was_done_since)
{
	struct orphan list[OFFERS_MAX];
	struct intent drop = { .kind = OP_DROP_COLLECTION, .collection = STR("c") };
	struct fault f;

	write_well(&a, create_of(&a, "d", DISTANCE_DOT));
	write_well(&a, index_put_of("n"));
	write_well(&a, drop);
	fail_over();
	write_well(&b, create_of(&b, "d", DISTANCE_COSINE));
	write_well(&b, index_put_of("n"));
	(void)offer(&a, &b);
	ck_assert_uint_eq(list_of(&b, false, list, OFFERS_MAX), 3);
	struct position p = place_of(&b);
	ck_assert_int_eq(try_decide(&b, &list[0].id, true, &f), ERR_ALREADY_EXISTS);
	ck_assert_int_eq(try_decide(&b, &list[1].id, true, &f), ERR_ALREADY_EXISTS);
	ck_assert_int_eq(try_decide(&b, &list[2].id, true, &f), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(f.text, "drop-collection"));
	ck_assert_int_eq(position_compare(place_of(&b), p), 0);
	for (uint32_t i = 0; i < 3; i++)
		decide(&b, &list[i], false);
	everywhere();
	check_all_same();
	ck_assert_uint_eq(count_points(&c, "c"), 20);
}
END_TEST

/* --- taken back --- */

START_TEST(a_decision_that_is_taken_back_leaves_rows_and_list_as_they_were)
{
	struct orphan list[OFFERS_MAX];
	struct hash128 before[2], now[2];

	write_well(&a, upsert_of(&a, "c", 3, 1));
	write_well(&a, upsert_of(&a, "c", 100, 2));
	write_well(&a, create_of(&a, "d", DISTANCE_DOT));
	write_well(&a, set_payload_of(&a, "c", 4, "k", 5));
	fail_over();
	(void)offer(&a, &b);
	everywhere();
	ck_assert_uint_eq(list_of(&b, false, list, OFFERS_MAX), 4);
	struct position p = place_of(&b);
	struct orphan_totals totals = region_state(&b).orphans;
	roots_of(&b, "c", before);
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 4; i++)
			decide(&b, &list[i], i < 3);
		if (round == 1)
			restart(&b);
		walk_back(&b, p);
		roots_of(&b, "c", now);
		ck_assert_mem_eq(before, now, sizeof(before));
		struct orphan_totals after = region_state(&b).orphans;
		ck_assert_mem_eq(&totals, &after, sizeof(totals));
		check_same_lists(&b, &c);
		check_same_rows(&b, &c);
		ck_assert_ptr_null(catalog_get(b.catalog, STR("d")));
		region_begin(&b);
		p = place_of(&b);
		everywhere();
	}
	restart(&b);
	region_begin(&b);
	for (uint32_t i = 0; i < 4; i++)
		decide(&b, &list[i], true);
	everywhere();
	check_all_same();
	ck_assert_uint_eq(count_points(&a, "c"), 22);
}
END_TEST

/* The primary that had listed it is lost in turn, with the region that had it first. */
START_TEST(an_orphan_whose_listing_is_taken_back_is_offered_by_whoever_had_applied_it)
{
	struct orphan list[OFFERS_MAX];

	write_well(&a, upsert_of(&a, "c", 100, 1));
	fail_over();
	catch_up(&b, &c);
	struct position end = place_of(&c);
	(void)offer(&a, &b);
	struct log_part log = read_log_after(&b, end, OPS_MAX);
	struct fault f = { 0 };
	ck_assert_int_eq(apply_part(&c, &log, 0, log.count, &f), ERR_NONE);
	ck_assert_uint_eq(in_state(&c, ORPHAN_OPEN), 1);
	walk_back(&c, end);
	ck_assert_uint_eq(in_state(&c, ORPHAN_OPEN), 0);
	ck_assert_uint_eq(in_state(&c, ORPHAN_LOCAL), 1);
	restart(&c);
	region_begin(&c);
	ck_assert_uint_eq(offer(&c, &c), 1);
	walk_back(&b, end);
	ck_assert_uint_eq(in_state(&b, ORPHAN_LOCAL), 1);
	catch_up(&c, &b);
	catch_up(&c, &a);
	check_all_same();
	ck_assert_uint_eq(list_of(&b, false, list, OFFERS_MAX), 1);
	ck_assert_int_eq(list[0].state, ORPHAN_OPEN);
	ck_assert_uint_eq(offer(&a, &c), 0);
}
END_TEST

START_TEST(what_is_confirmed_costs_no_undo_record)
{
	struct orphan list[OFFERS_MAX];
	struct store_cursor *cursor;
	struct bytes key, value;
	struct store_txn *t;

	write_well(&a, upsert_of(&a, "c", 3, 1));
	fail_over();
	(void)offer(&a, &b);
	ck_assert_uint_eq(list_of(&b, false, list, OFFERS_MAX), 1);
	decide(&b, &list[0], true);
	confirmed = place_of(&b);
	write_well(&b, upsert_of(&b, "c", 200, 1));
	ck_assert_int_eq(b.store->ops->begin(b.store, false, &t), ERR_NONE);
	ck_assert_int_eq(b.store->ops->cursor_open(t, STORE_UNDO, &cursor), ERR_NONE);
	ck_assert_int_eq(b.store->ops->next(cursor, &key, &value), ERR_NOT_FOUND);
	b.store->ops->cursor_close(cursor);
	b.store->ops->abort(t);
}
END_TEST

/* --- bounds --- */

/* Deletes of epoch 257 beyond its end: cheap orphans. */
static void list_made_up(struct region *r, uint32_t first, uint32_t count)
{
	struct incarnation i = { .hlc = 1, .region = 1 };
	struct point_id id = id_of(1);

	while (count > 0) {
		struct offered_orphan items[1000];
		struct orphan_offer o = { .items = items, .count = MIN(count, (uint32_t)LEN(items)) };
		struct fault f = { 0 };
		for (uint32_t k = 0; k < o.count; k++) {
			CLEANUP(buf_release) struct buf wire = BUF_INIT(1000);
			struct op op = { .kind = OP_DELETE, .epoch = 257, .seq = first++, .hlc = 5, .region = 1,
					 .incarnation = i, .ids = &id, .id_count = 1 };
			ck_assert_int_eq(op_encode(&op, OP_FORM_WIRE, &wire), ERR_NONE);
			uint8_t *copy = region_alloc(r, wire.len);
			memcpy(copy, wire.data, wire.len);
			items[k] = (struct offered_orphan){ 1, { copy, wire.len } };
		}
		ck_assert_msg(!committer_list_orphans(r->committer, &o, &f), "%s", f.text);
		ck_assert_uint_eq(o.listed, o.count);
		count -= o.count;
	}
}

static void drop_first(struct region *r, uint32_t count)
{
	struct orphan_verdict *v = calloc(count, sizeof(*v));
	struct orphan_decision d = { .items = v, .count = count };
	struct fault f = { 0 };
	struct store_txn *t;
	struct orphan o, last;
	const struct orphan *after = NULL;

	ck_assert_ptr_nonnull(v);
	ck_assert_int_eq(r->store->ops->begin(r->store, false, &t), ERR_NONE);
	for (uint32_t i = 0; i < count; i++) {
		ck_assert_int_eq(orphan_next(r->store, t, after, &r->arena, &o), ERR_NONE);
		v[i].id = o.id;
		last = o;
		after = &last;
	}
	r->store->ops->abort(t);
	ck_assert_msg(!committer_decide_orphans(r->committer, &d, &f), "%s", f.text);
	ck_assert_uint_eq(d.done, count);
	free(v);
}

START_TEST(of_what_was_decided_the_oldest_is_forgotten)
{
	struct orphan list[2];

	fail_over();
	list_made_up(&b, 1000, ORPHANS_DECIDED_MAX + 2);
	drop_first(&b, ORPHANS_DECIDED_MAX);
	confirmed = place_of(&b);
	write_well(&b, upsert_of(&b, "c", 200, 1));
	ck_assert_uint_eq(in_state(&b, ORPHAN_DROPPED), ORPHANS_DECIDED_MAX);
	struct position p = place_of(&b);
	for (uint64_t round = 0; round < 2; round++) {
		struct store_txn *t;
		ck_assert_int_eq(b.store->ops->begin(b.store, false, &t), ERR_NONE);
		ck_assert_int_eq(orphan_first(b.store, t, ORPHAN_OPEN, &b.arena, &list[0]), ERR_NONE);
		b.store->ops->abort(t);
		decide(&b, &list[0], false);
		ck_assert_uint_eq(in_state(&b, ORPHAN_DROPPED), ORPHANS_DECIDED_MAX);
		ck_assert_int_eq(b.store->ops->begin(b.store, false, &t), ERR_NONE);
		ck_assert_int_eq(orphan_first(b.store, t, ORPHAN_DROPPED, &b.arena, &list[1]), ERR_NONE);
		ck_assert_uint_eq(list[1].id.position.seq, 1001 + round);
		b.store->ops->abort(t);
	}
	restart(&b);
	walk_back(&b, p);
	struct store_txn *t;
	ck_assert_int_eq(b.store->ops->begin(b.store, false, &t), ERR_NONE);
	ck_assert_int_eq(orphan_first(b.store, t, ORPHAN_DROPPED, &b.arena, &list[1]), ERR_NONE);
	b.store->ops->abort(t);
	ck_assert_uint_eq(list[1].id.position.seq, 1000);
	ck_assert_uint_eq(in_state(&b, ORPHAN_OPEN), 2);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("commit_orphan");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, every_region_comes_to_list_the_same);
	tcase_add_test(t, only_the_primary_lists_and_decides);
	tcase_add_test(t, what_is_no_op_of_a_client_or_lies_in_the_history_is_not_listed);
	tcase_add_test(t, an_op_that_is_in_the_history_after_all_is_no_orphan);
	tcase_add_test(t, a_full_list_takes_no_more_and_says_so);
	tcase_add_test(t, the_largest_op_can_be_an_orphan);
	tcase_add_test(t, an_orphan_appears_where_nothing_was_written_since);
	tcase_add_test(t, an_orphan_never_beats_what_a_later_epoch_wrote);
	tcase_add_test(t, the_order_of_deciding_does_not_matter);
	tcase_add_test(t, what_was_decided_stays_decided);
	tcase_add_test(t, an_orphan_that_only_one_region_has_is_not_decided_about);
	tcase_add_test(t, many_are_decided_at_once_and_each_tells_why_it_is_not);
	tcase_add_test(t, a_collection_that_was_lost_comes_back_with_its_points);
	tcase_add_test(t, a_change_of_a_collection_takes_nothing_from_what_was_done_since);
	tcase_add_test(t, a_decision_that_is_taken_back_leaves_rows_and_list_as_they_were);
	tcase_add_test(t, an_orphan_whose_listing_is_taken_back_is_offered_by_whoever_had_applied_it);
	tcase_add_test(t, what_is_confirmed_costs_no_undo_record);
	tcase_add_test(t, of_what_was_decided_the_oldest_is_forgotten);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
