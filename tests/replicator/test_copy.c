/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of another region's state, while that region is written, with interruptions and damage.
 */
#include "replicator/conflict.h"
#include "tests/index/random.h"
#include "tests/replicator/copy_bed.h"

static struct random numbers;
static struct region result;

static struct region *eu(void)
{
	return &sources[0].region;
}

static struct position floor_position;

static struct position nothing_more(void *ctx)
{
	(void)ctx;
	return floor_position;
}

static void write_points(const char *collection, uint64_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += 20)
		write_well(eu(), upsert_of(eu(), collection, first + i, MIN(20u, count - i)));
}

static void set_up(void)
{
	numbers = (struct random){ .state = 4711 };
	copy_bed_open();
	write_well(eu(), create_of(eu(), "c", DISTANCE_DOT));
	write_well(eu(), create_of(eu(), "d", DISTANCE_COSINE));
	write_points("c", 1, 3000);
	write_points("d", 1, 300);
}

static void tear_down(void)
{
	copy_bed_close();
}

/* Whoever looks finds that the log alone would not do. */
static void check_trimmed(void)
{
	struct position oldest, newest;
	struct store_txn *t;

	ck_assert_int_eq(eu()->store->ops->begin(eu()->store, false, &t), ERR_NONE);
	ck_assert_int_eq(oplog_bounds(eu()->store, t, SCOPE_FLEET, &oldest, &newest), ERR_NONE);
	eu()->store->ops->abort(t);
	ck_assert_uint_gt(oldest.seq, 10);
}

START_TEST(a_copy_of_a_region_whose_log_was_trimmed_is_equal_to_it)
{
	const struct alias_action alias = { .kind = ALIAS_CREATE, .alias = STR("x"), .to = STR("d") };
	struct incarnation d, x;

	write_well(eu(), (struct intent){ .kind = OP_ALIASES, .alias_actions = &alias, .alias_action_count = 1 });
	check_trimmed();
	begin_copy();
	ck_assert_uint_gt(make_copy(1, NULL), 4);
	take_place(&result);
	check_equal(eu(), &result);
	ck_assert(catalog_has(eu()->catalog, STR("d"), &d));
	struct collection *aliased = catalog_get(result.catalog, STR("x"));
	ck_assert_ptr_nonnull(aliased);
	x = collection_incarnation(aliased);
	collection_unref(aliased);
	ck_assert_int_eq(incarnation_compare(d, x), 0);
	ck_assert_uint_eq(count_points(&result, "c"), 3000);
	ck_assert_int_eq(payload_number(&result, "c", 777, "n"), 777);
	/* And it is a region as any other. */
	write_points("c", 2900, 200);
	follow_from(eu(), &result);
	check_equal(eu(), &result);
	region_end(&result);
}
END_TEST

/* Points that are not there are refused. */
static void try_to(struct intent in)
{
	struct region_write *t = try_write(eu(), in);

	ck_assert_msg(!t->w.err || t->w.err == ERR_NOT_FOUND, "%s", t->w.fault.text);
}

/* Vectors that lie in rows, and ones that are stored as bytes. */
START_TEST(vectors_of_every_kind_come_with_the_copy)
{
	struct intent create = create_of(eu(), "kinds", DISTANCE_DOT);
	struct vector_config *v = region_alloc(eu(), 3 * sizeof(*v));
	static const float rows[] = { 1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F };
	static const float bytes[] = { 0.0F, 17.0F, 255.0F };

	v[0] = (struct vector_config){ .name = STR("bytes"), .dim = 3, .distance = DISTANCE_EUCLID, .datatype = DATATYPE_UINT8 };
	v[1] = (struct vector_config){ .name = STR("multi"), .dim = 2, .distance = DISTANCE_DOT, .multi = true };
	v[2] = (struct vector_config){ .name = STR("sparse"), .sparse = true };
	create.body.config.vectors = v;
	create.body.config.vector_count = 3;
	write_well(eu(), create);
	for (uint64_t id = 1; id <= 30; id++) {
		struct intent in = upsert_of(eu(), "kinds", id, 1);
		struct op_vector *of = region_alloc(eu(), 3 * sizeof(*of));

		of[0] = dense_of(eu(), "bytes", bytes, 3);
		of[1] = dense_of(eu(), "multi", rows, 6);
		of[1].vector.kind = VECTOR_MULTI;
		of[1].vector.rows = 3;
		of[2] = sparse_of("sparse");
		in.body.points[0].vectors = of;
		in.body.points[0].vector_count = 3;
		write_well(eu(), in);
	}
	begin_copy();
	make_copy(1, NULL);
	take_place(&result);
	check_equal(eu(), &result);
	struct record record = find_point(&result, "kinds", 7);
	ck_assert_uint_eq(record.vector_count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		const struct vector *x = &record.vectors[i].vector;
		if (x->kind == VECTOR_MULTI)
			ck_assert(x->rows == 3 && x->values[5] == 6.0F);
		else if (x->kind == VECTOR_DENSE)
			ck_assert(x->count == 3 && x->values[2] == 255.0F);
	}
	region_end(&result);
}
END_TEST

/* One random change, also of collections. */
static void change_something(unsigned step)
{
	uint64_t id = 1 + random_u64(&numbers) % 3300;
	const char *name = random_u64(&numbers) % 4 == 0 ? "d" : "c";
	uint64_t kind = random_u64(&numbers) % 6;

	if (kind < 2)
		write_points(name, id, 30);
	else if (kind == 2)
		try_to(ids_intent(eu(), OP_DELETE, name, &id, 1));
	else if (kind == 3)
		try_to(set_payload_of(eu(), name, id, "k", (int64_t)step));
	else if (kind == 4)
		try_to(ids_intent(eu(), OP_CLEAR_PAYLOAD, name, &id, 1));
}

static void change_a_lot(unsigned step)
{
	if (step == 2)
		write_well(eu(), create_of(eu(), "late", DISTANCE_DOT));
	if (step >= 2)
		write_points("late", step, 3);
	for (unsigned i = 0; i < 8; i++)
		change_something(step);
}

START_TEST(what_is_written_meanwhile_is_in_the_copy)
{
	begin_copy();
	make_copy(1, change_a_lot);
	take_place(&result);
	follow_from(eu(), &result);
	check_equal(eu(), &result);
	ck_assert_uint_gt(count_points(&result, "late"), 0);
	region_end(&result);
}
END_TEST

static void drop_in_the_middle(unsigned step)
{
	if (step == 2)
		write_well(eu(), (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("c") });
	if (step == 3)
		write_well(eu(), create_of(eu(), "c", DISTANCE_EUCLID));
	if (step >= 3)
		write_points("c", step, 10);
}

START_TEST(a_collection_may_be_dropped_and_made_anew_meanwhile)
{
	begin_copy();
	make_copy(1, drop_in_the_middle);
	take_place(&result);
	follow_from(eu(), &result);
	check_equal(eu(), &result);
	ck_assert_uint_lt(count_points(&result, "c"), 3000);
	region_end(&result);
}
END_TEST

static void kill_it(unsigned step)
{
	change_something(step);
	reopen_copy();
}

START_TEST(a_copy_that_is_killed_before_each_step_goes_on_where_it_was)
{
	struct copy_progress p;

	begin_copy();
	unsigned steps = make_copy(1, kill_it);
	copy_progress(copy, &p);
	ck_assert_int_eq(p.stage, COPY_LOG);
	ck_assert_uint_ge(p.points, 3000);
	/* Nothing was fetched twice: with what came meanwhile there are a few parts, and head, conflicts, log. */
	ck_assert_uint_lt(p.points, 3400);
	ck_assert_uint_lt(steps, 40);
	take_place(&result);
	follow_from(eu(), &result);
	check_equal(eu(), &result);
	region_end(&result);
}
END_TEST

static unsigned damage_at;   /* question */

static void damage(struct buf *answer)
{
	if (questions == damage_at)
		answer->data[answer->len / 2] ^= 4;
}

START_TEST(a_damaged_answer_is_named_and_asked_for_again)
{
	unsigned damaged = 0;
	bool complete = false;

	on_answer = damage;
	damage_at = 1;
	begin_copy();
	while (!complete) {
		struct fault f = { 0 };
		enum err err = step_copy(1, &complete, &f);

		if (!err)
			continue;
		ck_assert_int_eq(err, ERR_CORRUPT);
		ck_assert_ptr_nonnull(strstr(fault_text(&f), "checksum"));
		damaged++;
		/* Each question's first answer is damaged, the second is not. */
		damage_at = questions + 2;
	}
	ck_assert_uint_gt(damaged, 3);
	take_place(&result);
	check_equal(eu(), &result);
	region_end(&result);
}
END_TEST

START_TEST(a_damaged_point_of_the_source_is_named_and_not_passed_on)
{
	struct collection *c = catalog_get(eu()->catalog, STR("c"));
	struct fault f = { 0 };
	struct store_txn *t;
	bool complete = false;
	enum err err = ERR_NONE;

	ck_assert_int_eq(eu()->store->ops->begin(eu()->store, true, &t), ERR_NONE);
	ck_assert_int_eq(collection_row_spoil(c, t, id_of(1500)), ERR_NONE);
	ck_assert_int_eq(eu()->store->ops->commit(t, NULL), ERR_NONE);
	collection_unref(c);
	begin_copy();
	while (!err && !complete)
		err = step_copy(1, &complete, &f);
	ck_assert_int_eq(err, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(fault_text(&f), "point 1500 of collection `c` is damaged on the disk of region eu"));
}
END_TEST

START_TEST(a_copy_waits_until_all_of_it_is_confirmed)
{
	struct position head = region_state(eu()).position;
	struct copy_progress p;
	struct fault f = { 0 };
	bool complete, idle;

	sources[0].confirmed = head;
	begin_copy();
	/* Up to the last stage, with writes that nobody but the source has. */
	do {
		change_something(0);
		ck_assert_msg(!copy_step(copy, 1, &complete, &idle, &f), "%s", fault_text(&f));
		copy_progress(copy, &p);
	} while (p.stage < COPY_LOG);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_int_eq(copy_step(copy, 1, &complete, &idle, &f), ERR_NONE);
		ck_assert(idle && !complete);
	}
	copy_progress(copy, &p);
	ck_assert_int_gt(position_compare(p.needed, head), 0);
	sources[0].confirmed = p.needed;
	sources[0].confirmed.seq--;
	ck_assert_int_eq(copy_step(copy, 1, &complete, &idle, &f), ERR_NONE);
	ck_assert(!complete);
	sources[0].confirmed.seq++;
	ck_assert_int_eq(copy_step(copy, 1, &complete, &idle, &f), ERR_NONE);
	ck_assert(complete);
}
END_TEST

START_TEST(a_copy_that_the_log_has_left_behind_leads_to_nothing)
{
	struct fault f = { 0 };
	bool complete;

	begin_copy();
	ck_assert_int_eq(step_copy(1, &complete, &f), ERR_NONE);
	ck_assert_int_eq(step_copy(1, &complete, &f), ERR_NONE);
	write_points("c", 1, 3000);
	ck_assert_int_eq(step_copy(1, &complete, &f), ERR_GAP);
	/* Another one does. */
	copy_close(TAKE(copy));
	copy_store->ops->close(copy_store);
	ck_assert_int_eq(store_mem_new(&copy_store), ERR_NONE);
	begin_copy();
	make_copy(1, NULL);
	take_place(&result);
	check_equal(eu(), &result);
	region_end(&result);
}
END_TEST

START_TEST(a_region_that_is_not_ready_or_empty_is_not_copied)
{
	struct fault f = { 0 };
	bool complete;

	begin_copy();
	sources[0].unready = true;
	ck_assert_int_eq(step_copy(1, &complete, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(fault_text(&f), "region eu is not ready itself: the test wants it so"));
	region_init(&sources[1].region, 3);
	region_open(&sources[1].region);
	sources[1].peers = peers_of(2, &sources[1].region);
	ck_assert_int_eq(step_copy(3, &complete, &f), ERR_UNAVAILABLE);
}
END_TEST

/* Begins anew with a log that has everything, so that a third region can follow. */
static void with_long_log(void)
{
	copy_bed_close();
	copy_bed_open();
	region_shut(eu());
	eu()->options.log_bytes_max = 0;
	region_open(eu());
	region_begin(eu());
	write_well(eu(), create_of(eu(), "c", DISTANCE_DOT));
	write_points("c", 1, 3000);
}

/* Region 3 is where region 1 is now. */
static void open_third(void)
{
	struct log_part part;
	struct fault f = { 0 };

	region_init(&sources[1].region, 3);
	region_open(&sources[1].region);
	sources[1].peers = peers_of(2, &sources[1].region);
	part = read_log_after(eu(), (struct position){ 0 }, 100000);
	ck_assert_msg(!apply_part(&sources[1].region, &part, 0, part.count, &f), "%s", fault_text(&f));
}

/* A region whose ops are not confirmed, and that takes some back while it is copied. */
START_TEST(rows_of_ops_that_were_taken_back_lead_to_nothing)
{
	struct rewind back = { 0 };
	struct fault f = { 0 };
	bool complete = false;
	enum err err = ERR_NONE;

	region_shut(eu());
	eu()->options.undo = true;
	eu()->options.trim_floor = nothing_more;
	region_open(eu());
	region_begin(eu());
	back.to = floor_position = sources[0].confirmed = region_state(eu()).position;
	write_points("c", 100, 40);
	begin_copy();
	for (unsigned i = 0; i < 3; i++)
		ck_assert_msg(!step_copy(1, &complete, &f), "%s", fault_text(&f));
	ck_assert_msg(!committer_rewind(eu()->committer, &back, &f), "%s", fault_text(&f));
	ck_assert_uint_gt(back.orphans, 0);
	region_begin(eu());
	write_points("c", 500, 40);
	sources[0].confirmed = floor_position = region_state(eu()).position;
	for (unsigned i = 0; i < 30 && !err && !complete; i++)
		err = step_copy(1, &complete, &f);
	ck_assert_int_eq(err, ERR_FORK);
}
END_TEST

START_TEST(another_region_can_give_the_rest)
{
	struct fault f = { 0 };
	bool complete;

	with_long_log();
	open_third();
	begin_copy();
	for (unsigned i = 0; i < 3; i++)
		ck_assert_msg(!step_copy(1, &complete, &f), "%s", fault_text(&f));
	/* Region 3 lags behind what the copy has. */
	write_points("c", 100, 500);
	ck_assert_msg(!step_copy(1, &complete, &f), "%s", fault_text(&f));
	sources[0].silent = true;
	ck_assert_int_eq(step_copy(1, &complete, &f), ERR_UNAVAILABLE);
	follow_from(eu(), &sources[1].region);
	make_copy(3, NULL);
	take_place(&result);
	check_equal(&sources[1].region, &result);
	region_end(&result);
}
END_TEST

/* --- collections that every region writes --- */

static void write_multi(struct region *r, uint64_t first)
{
	write_well(r, upsert_of(r, "m", first, 20));
}

/* What r wrote and `to` lacks, of every log. */
static void pass_multi(struct region *r, struct region *to)
{
	struct log_end ends[LOGS_MAX];
	struct fault f = { 0 };
	bool any = true;

	while (any) {
		uint32_t n = committer_vector(r->committer, ends);
		any = false;
		for (uint32_t i = 0; i < n; i++) {
			CLEANUP(buf_release) struct buf message = BUF_INIT(BATCH_BYTES_MAX);
			CLEANUP(buf_release) struct buf inflated = BUF_INIT(BATCH_BODY_BYTES_MAX);
			struct position after = { ends[i].log, committer_log_seq(to->committer, ends[i].log) };
			const struct log_source log = { r->store, r->catalog, COPY_FLEET };
			struct op_batch m;

			if (after.seq >= ends[i].seq)
				continue;
			ck_assert_msg(!log_message(&log, SCOPE_MULTI, after, 0, 2000, &message, &m, &f), "%s", fault_text(&f));
			ck_assert_int_eq(batch_decode(buf_bytes(&message), &inflated, &to->arena, &m, &f), ERR_NONE);
			struct bytes *ops = region_alloc(to, m.count * sizeof(*ops));
			memcpy(ops, m.ops, m.count * sizeof(*ops));
			struct remote_batch b = { .ops = ops, .count = m.count, .scope = SCOPE_MULTI, .chain_hash = m.chain_hash };
			enum err err = committer_apply(to->committer, &b, &f);
			ck_assert_msg(!err || err == ERR_UNAVAILABLE, "%s", fault_text(&f));
			any |= committer_log_seq(to->committer, after.epoch) > after.seq;
		}
	}
}

static struct region *ap(void)
{
	return &sources[1].region;
}

/* Regions 1 and 3 write, each what the other has not seen, and exchange it now and then. */
static void write_both(unsigned step)
{
	eu()->clock.wall_ms += 10;
	ap()->clock.wall_ms += 10;
	live.clock.wall_ms += 10;
	write_multi(eu(), 1 + step * 7 % 500);
	write_multi(ap(), 1 + step * 13 % 500);
	if (step % 2 == 0) {
		pass_multi(ap(), eu());
		pass_multi(eu(), ap());
	}
}

static uint32_t conflicts_of(struct region *r)
{
	struct collection *c = catalog_get(r->catalog, STR("m"));
	struct conflict *items;
	struct store_txn *t;
	uint32_t count;

	ck_assert_int_eq(r->store->ops->begin(r->store, false, &t), ERR_NONE);
	ck_assert_int_eq(conflict_list(r->store, t, collection_incarnation(c), 10000, &r->arena, &items, &count), ERR_NONE);
	r->store->ops->abort(t);
	collection_unref(c);
	return count;
}

static void open_multi(void)
{
	struct intent create = create_of(eu(), "m", DISTANCE_DOT);

	create.body.config.multi_writer = true;
	open_third();
	write_well(eu(), create);
	follow_from(eu(), ap());
	region_shut(eu());
	eu()->options.log_bytes_max = 20000;
	region_open(eu());
	region_begin(eu());
	follow_from(eu(), ap());
	for (unsigned i = 0; i < 60; i++)
		write_both(i);
}

START_TEST(logs_and_conflicts_of_several_writers_come_with_the_copy)
{
	with_long_log();
	open_multi();
	begin_copy();
	/* Its first question has the ends of the logs; those that were trimmed before cannot be read any more. */
	ck_assert_uint_gt(make_copy(1, write_both), 4);
	take_place(&result);
	follow_from(eu(), &result);
	pass_multi(eu(), &result);
	check_equal(eu(), &result);
	/* What lost while the copy was made of it may be noted once more or less. */
	ck_assert_uint_gt(conflicts_of(eu()), 100);
	ck_assert_uint_gt(conflicts_of(&result), conflicts_of(eu()) / 2);
	/* But nothing that lost only because it came twice. */
	ck_assert_uint_le(conflicts_of(&result), conflicts_of(eu()));
	/* Its logs go on. */
	result.clock.wall_ms = eu()->clock.wall_ms + 10;
	write_well(&result, upsert_of(&result, "m", 3, 2));
	pass_multi(&result, eu());
	check_equal(eu(), &result);
	region_end(&result);
}
END_TEST

START_TEST(own_ops_of_several_writers_that_nobody_has_are_carried_over)
{
	with_long_log();
	open_multi();
	begin_copy();
	make_copy(1, write_both);
	/* The region that is replaced knows the collection and wrote into it, alone. */
	follow_from(ap(), &live);
	live.clock.wall_ms = eu()->clock.wall_ms + 10;
	write_multi(&live, 7000);
	write_multi(&live, 7100);
	uint64_t log = region_state(&live).multi_log;
	take_place(&result);
	ck_assert_uint_eq(committer_log_seq(result.committer, log), 2);
	ck_assert_int_eq(payload_number(&result, "m", 7105, "n"), 7105);
	result.clock.wall_ms = live.clock.wall_ms;
	pass_multi(eu(), &result);
	eu()->clock.wall_ms = live.clock.wall_ms;
	pass_multi(&result, eu());
	follow_from(eu(), &result);
	check_equal(eu(), &result);
	region_end(&result);
}
END_TEST

/* --- taking the place --- */

static void promise(struct region *r, uint64_t epoch)
{
	struct promise p = { .epoch = epoch, .record = { .data = (const uint8_t *)"voted", .len = 5 } };
	struct fault f = { 0 };

	ck_assert_msg(!committer_promise(r->committer, &p, &f), "%s", fault_text(&f));
}

static void put_orphan(struct region *r, uint64_t seq)
{
	const struct orphan o = { .id = { SCOPE_FLEET, { 999, seq }, 1 },
				  .state = seq % 2 ? ORPHAN_LOCAL : ORPHAN_OPEN,
				  .kind = OP_DELETE,
				  .op = { .data = (const uint8_t *)"op", .len = 2 } };
	struct store_txn *t;

	ck_assert_int_eq(r->store->ops->begin(r->store, true, &t), ERR_NONE);
	ck_assert_int_eq(orphan_put(r->store, t, &o), ERR_NONE);
	ck_assert_int_eq(r->store->ops->commit(t, NULL), ERR_NONE);
}

static uint64_t orphans_of(struct region *r, enum orphan_state state)
{
	struct orphan_totals totals = { 0 };
	struct store_txn *t;

	ck_assert_int_eq(r->store->ops->begin(r->store, false, &t), ERR_NONE);
	ck_assert_int_eq(orphan_count(r->store, t, &totals), ERR_NONE);
	r->store->ops->abort(t);
	return totals.count[state];
}

START_TEST(identity_promises_and_orphans_of_the_region_stay_its_own)
{
	CLEANUP(arena_release) struct arena a;
	struct bytes record;

	arena_init(&a, 1u << 20);
	promise(&live, epoch_make(50, 1));
	for (uint64_t i = 1; i <= 300; i++)
		put_orphan(&live, i);
	begin_copy();
	make_copy(1, NULL);
	/* A promise that comes while the copy is made counts as well. */
	promise(&live, epoch_make(51, 1));
	struct committer_state before = region_state(&live);
	take_place(&result);
	struct committer_state after = region_state(&result);
	ck_assert_mem_eq(before.store_id, after.store_id, sizeof(before.store_id));
	ck_assert_uint_eq(after.boots, before.boots + 1);
	ck_assert_uint_ge(after.hlc, before.hlc);
	ck_assert_int_eq(committer_promise_record(result.store, &a, &record, NULL), ERR_NONE);
	ck_assert_uint_eq(record.len, 5);
	struct promise again = { .epoch = epoch_make(51, 1) };
	ck_assert_int_eq(committer_promise(result.committer, &again, NULL), ERR_ALREADY_EXISTS);
	/* Those that were listed in a history that the copy does not have are to be offered again. */
	ck_assert_uint_eq(orphans_of(&result, ORPHAN_LOCAL), 300);
	ck_assert_uint_eq(orphans_of(&result, ORPHAN_OPEN), 0);
	region_end(&result);
}
END_TEST

/* As when the daemon ended between the two. */
static void adopt_and_crash(void)
{
	struct fault f = { 0 };

	committer_stop(live.committer);
	ck_assert_msg(!copy_adopt(copy, live.committer, live.catalog, &f), "%s", fault_text(&f));
	reopen_copy();
	region_shut(&live);
	region_open(&live);
}

START_TEST(what_the_region_did_after_a_copy_was_adopted_in_vain_is_carried_over_too)
{
	promise(&live, epoch_make(50, 1));
	begin_copy();
	make_copy(1, NULL);
	adopt_and_crash();
	promise(&live, epoch_make(52, 1));
	put_orphan(&live, 1);
	struct committer_state before = region_state(&live);
	ck_assert_uint_eq(make_copy(1, NULL), 1);
	take_place(&result);
	struct committer_state after = region_state(&result);
	ck_assert_mem_eq(before.store_id, after.store_id, sizeof(before.store_id));
	ck_assert_uint_eq(after.boots, before.boots + 1);
	struct promise again = { .epoch = epoch_make(52, 1) };
	ck_assert_int_eq(committer_promise(result.committer, &again, NULL), ERR_ALREADY_EXISTS);
	ck_assert_uint_eq(orphans_of(&result, ORPHAN_LOCAL), 1);
	check_equal(eu(), &result);
	region_end(&result);
}
END_TEST

START_TEST(ops_that_the_region_had_beyond_the_copy_are_carried_over)
{
	/* The region is level, and goes on while the copy is made of another one that does not. */
	begin_copy();
	make_copy(1, NULL);
	struct position there = region_state(eu()).position;
	struct log_part part;
	struct fault f = { 0 };

	/* The region that the copy replaces: as far as region 1 at first. */
	struct store *fork;
	region_shut(&live);
	ck_assert_int_eq(store_mem_fork(eu()->store, &fork), ERR_NONE);
	live.store->ops->close(live.store);
	live.store = fork;
	region_open(&live);
	write_points("c", 5000, 40);
	part = read_log_after(eu(), there, 1000);
	ck_assert_msg(!apply_part(&live, &part, 0, part.count, &f), "%s", fault_text(&f));
	ck_assert_int_gt(position_compare(region_state(&live).position, there), 0);
	take_place(&result);
	check_equal(eu(), &result);
	region_end(&result);
}
END_TEST

START_TEST(ops_that_are_not_in_the_history_of_the_copy_become_orphans)
{
	/* The region wrote an epoch of its own that nobody else has. */
	region_begin(&live);
	write_well(&live, create_of(&live, "mine", DISTANCE_DOT));
	write_well(&live, upsert_of(&live, "mine", 1, 3));
	write_well(&live, upsert_of(&live, "mine", 4, 3));
	/* The other one's is newer and does not have it, but one of its ops in the list of orphans. */
	region_begin(eu());
	struct log_part lost = read_log_after(&live, (struct position){ 0 }, 10);
	const struct offered_orphan offered = { lost.hashes[2], lost.ops[2] };
	struct orphan_offer offer = { .items = &offered, .count = 1 };
	struct fault f = { 0 };
	ck_assert_msg(!committer_list_orphans(eu()->committer, &offer, &f), "%s", fault_text(&f));
	ck_assert_uint_eq(offer.listed, 1);
	begin_copy();
	make_copy(1, NULL);
	take_place(&result);
	check_equal(eu(), &result);
	ck_assert_uint_eq(orphans_of(&result, ORPHAN_OPEN), 1);
	ck_assert_uint_eq(orphans_of(&result, ORPHAN_LOCAL), 2);
	region_end(&result);
}
END_TEST

START_TEST(a_store_that_is_not_empty_takes_no_copy)
{
	CLEANUP(arena_release) struct arena a;
	struct fault f = { 0 };

	arena_init(&a, 1u << 20);
	ck_assert_int_eq(committer_copy_begin(eu()->store, eu()->catalog, NULL, 0, (struct bytes){ 0 }, &f), ERR_ALREADY_EXISTS);
	const struct copy_record foreign = { .table = STORE_ROWS, .key = { (const uint8_t *)"k", 1 }, .value = { (const uint8_t *)"v", 1 } };
	region_shut(&live);
	struct catalog_options o = { .store = live.store };
	ck_assert_int_eq(catalog_open(&o, &live.catalog, &f), ERR_NONE);
	live.store->ops->close(TAKE(live.store));
	ck_assert_int_eq(store_mem_new(&live.store), ERR_NONE);
	catalog_close(TAKE(live.catalog));
	o.store = live.store;
	ck_assert_int_eq(catalog_open(&o, &live.catalog, &f), ERR_NONE);
	ck_assert_int_eq(committer_copy_begin(live.store, live.catalog, &foreign, 1, (struct bytes){ 0 }, &f), ERR_CORRUPT);
	catalog_close(TAKE(live.catalog));
	region_open(&live);
	ck_assert_uint_eq(region_state(&live).position.epoch, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("copy");
	TCase *tc = tcase_create("copy");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_copy_of_a_region_whose_log_was_trimmed_is_equal_to_it);
	tcase_add_test(tc, vectors_of_every_kind_come_with_the_copy);
	tcase_add_test(tc, what_is_written_meanwhile_is_in_the_copy);
	tcase_add_test(tc, a_collection_may_be_dropped_and_made_anew_meanwhile);
	tcase_add_test(tc, a_copy_that_is_killed_before_each_step_goes_on_where_it_was);
	tcase_add_test(tc, a_damaged_answer_is_named_and_asked_for_again);
	tcase_add_test(tc, a_damaged_point_of_the_source_is_named_and_not_passed_on);
	tcase_add_test(tc, a_copy_waits_until_all_of_it_is_confirmed);
	tcase_add_test(tc, a_copy_that_the_log_has_left_behind_leads_to_nothing);
	tcase_add_test(tc, a_region_that_is_not_ready_or_empty_is_not_copied);
	tcase_add_test(tc, rows_of_ops_that_were_taken_back_lead_to_nothing);
	tcase_add_test(tc, another_region_can_give_the_rest);
	tcase_add_test(tc, logs_and_conflicts_of_several_writers_come_with_the_copy);
	tcase_add_test(tc, own_ops_of_several_writers_that_nobody_has_are_carried_over);
	tcase_add_test(tc, identity_promises_and_orphans_of_the_region_stay_its_own);
	tcase_add_test(tc, what_the_region_did_after_a_copy_was_adopted_in_vain_is_carried_over_too);
	tcase_add_test(tc, ops_that_the_region_had_beyond_the_copy_are_carried_over);
	tcase_add_test(tc, ops_that_are_not_in_the_history_of_the_copy_become_orphans);
	tcase_add_test(tc, a_store_that_is_not_empty_takes_no_copy);
	suite_add_tcase(s, tc);
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
