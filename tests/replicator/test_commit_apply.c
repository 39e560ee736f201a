/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops of peers, retention, and a region on disk: the committer seen from its log.
 */
#include "tests/index/scratch.h"
#include "tests/replicator/region.h"

#include <dirent.h>

static struct region a, b;

/* Region 1 has begun an epoch and has collection "c"; region 2 is empty. */
static void set_up(void)
{
	region_init(&a, 1);
	region_open(&a);
	region_begin(&a);
	write_well(&a, create_of(&a, "c", DISTANCE_DOT));
	region_init(&b, 2);
	region_open(&b);
}

static void tear_down(void)
{
	region_release(&a);
	region_release(&b);
}

static void reopen(struct region *r)
{
	region_shut(r);
	region_open(r);
}

/* --- peers --- */

static struct log_part all_of_a(void)
{
	return read_log_after(&a, (struct position){ 0 }, 1000);
}

static void check_equal_regions(void)
{
	struct committer_state sa = region_state(&a);
	struct committer_state sb = region_state(&b);
	ck_assert_int_eq(position_compare(sa.position, sb.position), 0);
	ck_assert_uint_eq(sa.chain_hash, sb.chain_hash);
	ck_assert_uint_eq(sa.op_number, sb.op_number);
	struct collection *ca = catalog_get(a.catalog, STR("c"));
	struct collection *cb = catalog_get(b.catalog, STR("c"));
	ck_assert(ca && cb);
	for (uint32_t shard = 0; shard < collection_shard_count(ca); shard++) {
		struct hash128 ra = merkle_root(collection_merkle(ca, shard));
		struct hash128 rb = merkle_root(collection_merkle(cb, shard));
		ck_assert(ra.lo == rb.lo && ra.hi == rb.hi);
	}
	collection_unref(ca);
	collection_unref(cb);
}

static void write_a_mixture(void)
{
	static const uint64_t some[] = { 1, 3, 5 };
	struct str vector = STR("");
	write_well(&a, upsert_of(&a, "c", 1, 50));
	write_well(&a, set_payload_of(&a, "c", 7, "k", 1));
	write_well(&a, ids_intent(&a, OP_DELETE, "c", some, 3));
	write_well(&a, ids_intent(&a, OP_CLEAR_PAYLOAD, "c", &(uint64_t){ 9 }, 1));
	struct intent in = ids_intent(&a, OP_DELETE_VECTORS, "c", &(uint64_t){ 11 }, 1);
	in.body.keys = &vector;
	in.body.key_count = 1;
	write_well(&a, in);
	in = upsert_of(&a, "c", 3, 1);
	in.body.points[0].vectors[0] = sparse_of("sparse");
	write_well(&a, in);
	write_well(&a, (struct intent){ .kind = OP_FIELD_INDEX_PUT,
					.collection = STR("c"),
					.body = { .field_index = { .key = STR("n"),
								   .schema = FIELD_INTEGER } } });
}

START_TEST(same_ops_make_equal_regions)
{
	write_a_mixture();
	struct log_part log = all_of_a();
	struct fault f = { 0 };
	ck_assert_msg(!apply_part(&b, &log, 0, log.count, &f), "%s", f.text);
	check_equal_regions();
	ck_assert_uint_eq(count_points(&b, "c"), 48);
	ck_assert_int_eq(try_write(&b, upsert_of(&b, "c", 1, 1))->w.err, ERR_NOT_PRIMARY);

	/* Their logs are the same bytes too. */
	struct log_part log_b = read_log_after(&b, (struct position){ 0 }, 1000);
	ck_assert_uint_eq(log_b.count, log.count);
	for (uint32_t i = 0; i < log.count; i++) {
		ck_assert_uint_eq(log.ops[i].len, log_b.ops[i].len);
		ck_assert_int_eq(memcmp(log.ops[i].data, log_b.ops[i].data, log.ops[i].len), 0);
	}
	reopen(&b);
	check_equal_regions();
}
END_TEST

START_TEST(known_ops_are_skipped_and_holes_are_not_jumped)
{
	write_a_mixture();
	struct log_part log = all_of_a();
	struct fault f = { 0 };
	ck_assert_int_eq(apply_part(&b, &log, 1, 2, &f), ERR_GAP);
	ck_assert_int_eq(apply_part(&b, &log, 0, 3, &f), ERR_NONE);
	ck_assert_int_eq(apply_part(&b, &log, 0, 3, &f), ERR_NONE);
	ck_assert_int_eq(apply_part(&b, &log, 4, 2, &f), ERR_GAP);
	ck_assert_uint_eq(region_state(&b).position.seq, 3);
	/* Partly known: the rest is applied. */
	ck_assert_msg(!apply_part(&b, &log, 1, log.count - 1, &f), "%s", f.text);
	check_equal_regions();
}
END_TEST

START_TEST(fork_is_noticed_before_anything_of_it_is_applied)
{
	write_a_mixture();
	struct log_part log = all_of_a();
	struct fault f = { 0 };
	ck_assert_int_eq(apply_part(&b, &log, 0, 3, &f), ERR_NONE);
	struct committer_state before = region_state(&b);

	log.hashes[4] ^= 1;
	ck_assert_int_eq(apply_part(&b, &log, 3, 2, &f), ERR_FORK);
	log.hashes[4] ^= 1;
	log.hashes[2] ^= 1;
	ck_assert_int_eq(apply_part(&b, &log, 0, 3, &f), ERR_FORK);
	log.hashes[2] ^= 1;
	ck_assert_int_eq(position_compare(before.position, region_state(&b).position), 0);

	uint8_t *damaged = region_alloc(&a, log.ops[3].len);
	memcpy(damaged, log.ops[3].data, log.ops[3].len);
	damaged[0] = 9;
	log.ops[3].data = damaged;
	ck_assert_int_eq(apply_part(&b, &log, 3, 1, &f), ERR_VERSION);
	ck_assert(!region_state(&b).failed);
}
END_TEST

/* Two regions that both think they write: the second epoch-start does not name where the first one's log stands. */
START_TEST(ops_outside_the_history_are_refused)
{
	struct log_part log = all_of_a();
	struct fault f = { 0 };
	ck_assert_int_eq(apply_part(&b, &log, 0, log.count, &f), ERR_NONE);
	region_begin(&b);
	write_well(&b, upsert_of(&b, "c", 1, 1));
	write_well(&a, upsert_of(&a, "c", 2, 1));
	struct log_part from_b = read_log_after(&b, (struct position){ epoch_make(1, 1), 99 }, 10);
	ck_assert_uint_eq(from_b.count, 2);
	ck_assert_int_eq(apply_part(&a, &from_b, 0, 2, &f), ERR_FORK);
	struct log_part from_a = read_log_after(&a, (struct position){ epoch_make(1, 1), 2 }, 10);
	ck_assert_int_eq(apply_part(&b, &from_a, 0, from_a.count, &f), ERR_FORK);
	/* The one that stands right goes on. */
	write_well(&b, upsert_of(&b, "c", 3, 1));
}
END_TEST

/* A well-made op of region 1 that follows what `to` has. */
static enum err apply_forged(struct region *to, uint8_t region, struct fault *ret_fault)
{
	CLEANUP(buf_release) struct buf wire = BUF_INIT(1000);
	struct committer_state s = region_state(to);
	struct op op = { .kind = OP_MARK,
			 .epoch = s.position.epoch,
			 .seq = s.position.seq + 1,
			 .hlc = s.hlc + 1,
			 .region = region };

	ck_assert_int_eq(op_encode(&op, OP_FORM_WIRE, &wire), ERR_NONE);
	struct bytes ops[] = { buf_bytes(&wire) };
	struct remote_batch batch = { .ops = ops,
				      .count = 1,
				      .chain_hash = op_chain_hash(s.chain_hash, ops[0]) };
	return committer_apply(to->committer, &batch, ret_fault);
}

START_TEST(second_writer_of_one_epoch_is_refused)
{
	struct position end;
	struct fault f = { 0 };
	struct log_part log = all_of_a();
	ck_assert_int_eq(apply_part(&b, &log, 0, log.count, &f), ERR_NONE);
	/* Somebody else writes in the epoch that this region writes in. */
	ck_assert_int_eq(apply_forged(&a, 1, &f), ERR_FORK);
	/* An op of a region whose epoch it is not. */
	ck_assert_int_eq(apply_forged(&b, 2, &f), ERR_FORK);
	ck_assert_msg(!apply_forged(&b, 1, &f), "%s", f.text);
	/* After the release nothing more comes in that epoch. */
	ck_assert_int_eq(committer_release(a.committer, 2, &end, &f), ERR_NONE);
	ck_assert_int_eq(apply_forged(&a, 1, &f), ERR_FORK);
}
END_TEST

START_TEST(batch_of_an_unknown_scope_is_refused)
{
	struct fault f = { 0 };
	struct log_part log = all_of_a();
	struct remote_batch batch = {
		.ops = log.ops, .count = 1, .scope = 3, .chain_hash = log.hashes[0]
	};
	ck_assert_int_eq(committer_apply(b.committer, &batch, &f), ERR_BAD_INPUT);
	batch.scope = SCOPE_FLEET;
	batch.count = 0;
	ck_assert_int_eq(committer_apply(b.committer, &batch, &f), ERR_NONE);
}
END_TEST

START_TEST(role_is_handed_over_and_back)
{
	struct position end;
	struct fault f = { 0 };
	write_well(&a, upsert_of(&a, "c", 1, 3));
	ck_assert_int_eq(committer_release(a.committer, 2, &end, &f), ERR_NONE);
	struct log_part log = all_of_a();
	ck_assert_int_eq(apply_part(&b, &log, 0, log.count, &f), ERR_NONE);
	ck_assert(region_state(&b).released);
	ck_assert_uint_eq(region_state(&b).released_to, 2);
	ck_assert_int_eq(committer_wait(b.committer, end, 0), ERR_NONE);

	region_begin(&b);
	ck_assert(!region_state(&b).released);
	write_well(&b, upsert_of(&b, "c", 10, 2));
	struct log_part from_b = read_log_after(&b, end, 10);
	ck_assert_msg(!apply_part(&a, &from_b, 0, from_b.count, &f), "%s", f.text);
	check_equal_regions();
	ck_assert_uint_eq(region_state(&a).writer, 2);
	struct region_write *t = try_write(&a, upsert_of(&a, "c", 20, 1));
	ck_assert_int_eq(t->w.err, ERR_NOT_PRIMARY);

	ck_assert_int_eq(committer_release(b.committer, 1, &end, &f), ERR_NONE);
	from_b = read_log_after(&b, region_state(&a).position, 10);
	ck_assert_int_eq(apply_part(&a, &from_b, 0, from_b.count, &f), ERR_NONE);
	region_begin(&a);
	ck_assert_uint_eq(region_state(&a).epoch, epoch_make(3, 1));
	write_well(&a, upsert_of(&a, "c", 20, 1));
	/* A batch may run from one epoch into the next. */
	log = all_of_a();
	ck_assert_msg(!apply_part(&b, &log, 0, log.count, &f), "%s", f.text);
	check_equal_regions();
}
END_TEST

START_TEST(wild_stamp_is_applied_and_moves_no_clock)
{
	struct fault f = { 0 };
	region_shut(&a);
	a.clock.wall_ms += 3600000;
	region_open(&a);
	region_begin(&a);
	write_well(&a, upsert_of(&a, "c", 1, 1));
	struct log_part log = all_of_a();
	ck_assert_msg(!apply_part(&b, &log, 0, log.count, &f), "%s", f.text);
	check_equal_regions();
	ck_assert_uint_lt(hlc_ms(region_state(&b).hlc), REGION_WALL_MS + 1000);
	reopen(&b);
	region_begin(&b);
	write_well(&b, upsert_of(&b, "c", 1, 1));
}
END_TEST

/* --- retention --- */

static uint64_t log_length(struct region *r)
{
	struct position oldest;
	struct position newest;
	struct store_txn *t;
	ck_assert_int_eq(r->store->ops->begin(r->store, false, &t), ERR_NONE);
	ck_assert_int_eq(oplog_bounds(r->store, t, SCOPE_FLEET, &oldest, &newest), ERR_NONE);
	r->store->ops->abort(t);
	ck_assert_int_eq(position_compare(newest, region_state(r).position), 0);
	ck_assert_uint_eq(oldest.epoch, newest.epoch);
	return newest.seq - oldest.seq + 1;
}

static uint32_t slot_of(struct region *r, uint64_t id)
{
	struct collection *c = catalog_get(r->catalog, STR("c"));
	struct store_txn *t;
	struct row row;
	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq(r->store->ops->begin(r->store, false, &t), ERR_NONE);
	ck_assert_int_eq(collection_row_load(c, t, id_of(id), &r->arena, &row), ERR_NONE);
	r->store->ops->abort(t);
	collection_unref(c);
	ck_assert_uint_ge(row.vector_count, 1);
	return row.vectors[0].slot;
}

START_TEST(log_is_trimmed_to_its_budget_and_its_slots_are_used_again)
{
	uint32_t highest = 0;
	region_release(&a);
	region_init(&a, 1);
	a.options.log_bytes_max = 3000;
	region_open(&a);
	region_begin(&a);
	struct intent create = create_of(&a, "c", DISTANCE_DOT);
	create.body.config.shard_number = 1;
	write_well(&a, create);
	write_well(&a, upsert_of(&a, "c", 1000, 1));
	for (uint64_t i = 0; i < 500; i++) {
		write_well(&a, upsert_of(&a, "c", 1, 1));
		uint32_t slot = slot_of(&a, 1);
		ck_assert_uint_ne(slot, slot_of(&a, 1000));
		highest = MAX(highest, slot);
	}
	ck_assert_uint_lt(log_length(&a), 40);
	ck_assert_uint_eq(log_length(&a), region_state(&a).log_ops);
	ck_assert_uint_le(region_state(&a).log_bytes, 3000 + 300);
	ck_assert_uint_lt(highest, 60);
	/* What the log no longer holds is not lost: its slot is the row's. */
	ck_assert(find_point(&a, "c", 1000).vectors[0].vector.values[0] == 1000.0F);

	uint64_t length = log_length(&a);
	reopen(&a);
	ck_assert_uint_eq(log_length(&a), length);
	ck_assert(find_point(&a, "c", 1000).vectors[0].vector.values[0] == 1000.0F);
	region_begin(&a);
	/* Overwritten after its op was trimmed: free at once, and what the log still has is untouched. */
	write_well(&a, upsert_of(&a, "c", 1000, 1));
	write_well(&a, upsert_of(&a, "c", 2000, 30));
	ck_assert(find_point(&a, "c", 1).vectors[0].vector.values[0] == 1.0F);
	ck_assert(find_point(&a, "c", 1000).vectors[0].vector.values[0] == 1000.0F);
	/* Every op that is held can still be sent, as it was. */
	struct log_part log = all_of_a();
	for (uint32_t i = 1; i < log.count; i++)
		ck_assert_uint_eq(op_chain_hash(log.hashes[i - 1], log.ops[i]), log.hashes[i]);
}
END_TEST

START_TEST(region_on_disk_comes_back_with_log_rows_and_slots)
{
	struct scratch scratch;
	struct fault f = { 0 };
	char dir[PATH_MAX];

	scratch_new(&scratch);
	snprintf(dir, sizeof(dir), "%s", scratch.dir);
	region_release(&a);
	region_init(&a, 1);
	a.store->ops->close(a.store);
	ck_assert_msg(!store_lmdb_open(dir, (uint64_t)1 << 26, &a.store, &f), "%s", f.text);
	a.dir = dir;
	region_open(&a);
	region_begin(&a);
	write_well(&a, create_of(&a, "c", DISTANCE_DOT));
	write_a_mixture();
	struct committer_state before = region_state(&a);
	region_shut(&a);
	a.store->ops->close(a.store);
	ck_assert_msg(!store_lmdb_open(dir, (uint64_t)1 << 26, &a.store, &f), "%s", f.text);
	region_open(&a);
	ck_assert_uint_eq(region_state(&a).chain_hash, before.chain_hash);
	ck_assert_uint_eq(count_points(&a, "c"), 48);
	struct log_part log = all_of_a();
	ck_assert_msg(!apply_part(&b, &log, 0, log.count, &f), "%s", f.text);
	check_equal_regions();
	region_begin(&a);
	write_well(&a, upsert_of(&a, "c", 1, 60));
	ck_assert_uint_eq(count_points(&a, "c"), 60);
	region_shut(&a);
	scratch_remove(&scratch);
}
END_TEST

static struct position floor_allowed;

static struct position ask_floor(void *ctx)
{
	(void)ctx;
	return floor_allowed;
}

static unsigned folders_in(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

/* In memory, and in files: the ops that an unread log has of a dropped collection reach a peer, also after a restart;
 * what they need goes when the log has passed the drop. */
static void check_dropped(bool files)
{
	struct scratch scratch;
	region_release(&a);
	region_init(&a, 1);
	scratch_new(&scratch);
	a.dir = files ? scratch.dir : NULL;
	region_open(&a);
	region_begin(&a);
	write_well(&a, create_of(&a, "c", DISTANCE_DOT));
	write_well(&a, upsert_of(&a, "c", 1, 50));
	write_well(&a, (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("c") });
	write_well(&a, create_of(&a, "c", DISTANCE_DOT));
	write_well(&a, upsert_of(&a, "c", 7, 1));
	struct log_part before = all_of_a();
	region_shut(&a);
	region_open(&a);
	region_begin(&a);
	write_well(&a, upsert_of(&a, "c", 8, 1));
	struct log_part log = all_of_a();
	ck_assert_uint_eq(log.count, before.count + 2);
	for (uint32_t i = 0; i < before.count; i++)
		ck_assert(log.ops[i].len == before.ops[i].len &&
			  memcmp(log.ops[i].data, before.ops[i].data, log.ops[i].len) == 0);
	struct fault f = { 0 };
	ck_assert_msg(!apply_part(&b, &log, 0, log.count, &f), "%s", f.text);
	ck_assert_uint_eq(count_points(&b, "c"), 2);

	region_shut(&a);
	a.options.log_bytes_max = 1;
	region_open(&a);
	region_begin(&a);
	for (uint64_t i = 0; i < 3; i++)
		write_well(&a, upsert_of(&a, "c", 9 + i, 1));
	ck_assert_uint_le(all_of_a().count, 2);
	write_well(&a, (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("c") });
	for (uint64_t i = 0; i < 3; i++)
		write_well(&a, create_of(&a, i == 0 ? "x" : i == 1 ? "y" : "z", DISTANCE_DOT));
	region_shut(&a);
	/* Three collections are left, with their folders. */
	if (files)
		ck_assert_uint_eq(folders_in(scratch.dir), 3);
	scratch_remove(&scratch);
}

START_TEST(log_of_a_dropped_collection_in_memory_is_read_until_it_is_trimmed)
{
	check_dropped(false);
}
END_TEST

START_TEST(log_of_a_dropped_collection_on_disk_is_read_until_it_is_trimmed)
{
	check_dropped(true);
}
END_TEST

START_TEST(log_is_not_trimmed_beyond_what_peers_hold)
{
	region_shut(&a);
	a.options.log_bytes_max = 1;
	a.options.trim_floor = ask_floor;
	floor_allowed = (struct position){ epoch_make(1, 1), 1 };
	region_open(&a);
	region_begin(&a);
	for (uint64_t i = 0; i < 10; i++)
		write_well(&a, upsert_of(&a, "c", i, 1));
	struct log_part log = all_of_a();
	ck_assert_uint_eq(log.positions[0].seq, 2);
	ck_assert_uint_eq(log.count, 12);
	floor_allowed = region_state(&a).position;
	write_well(&a, upsert_of(&a, "c", 11, 1));
	log = all_of_a();
	ck_assert_uint_eq(log.count, 1);
	/* Only what is committed: the newest op always stays for a while. */
	ck_assert_int_eq(position_compare(log.positions[0], region_state(&a).position), 0);
}
END_TEST

static void add(Suite *s, const char *name, const TTest *const *tests, size_t count)
{
	TCase *t = tcase_create(name);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
}

int main(void)
{
	const TTest *const peers[] = {
		same_ops_make_equal_regions,
		known_ops_are_skipped_and_holes_are_not_jumped,
		fork_is_noticed_before_anything_of_it_is_applied,
		ops_outside_the_history_are_refused,
		second_writer_of_one_epoch_is_refused,
		batch_of_an_unknown_scope_is_refused,
		role_is_handed_over_and_back,
		wild_stamp_is_applied_and_moves_no_clock,
	};
	const TTest *const retention[] = {
		log_is_trimmed_to_its_budget_and_its_slots_are_used_again,
		log_of_a_dropped_collection_in_memory_is_read_until_it_is_trimmed,
		log_of_a_dropped_collection_on_disk_is_read_until_it_is_trimmed,
		log_is_not_trimmed_beyond_what_peers_hold,
		region_on_disk_comes_back_with_log_rows_and_slots,
	};
	Suite *s = suite_create("commit_apply");

	add(s, "peers", peers, LEN(peers));
	add(s, "retention", retention, LEN(retention));
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
