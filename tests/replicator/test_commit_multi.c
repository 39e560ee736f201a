/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The logs of collections that every region writes, in one region: trimming, forgetting, what an op waits for, what a write of
 * this region's is stamped with. Region 1 is the one that is looked at; ops of others are forged.
 */
#include "base/hash.h"
#include "tests/replicator/region.h"

#define DAY_MS UINT64_C(86400000)
/* Of a forged log with one op: begun so many milliseconds after the first. */
#define LOG_OF(region, i) multi_log_make(REGION_WALL_MS - 2 * DAY_MS + (i), region)

static struct region one;
static struct incarnation incarnation;
static uint64_t trim_floor;
static bool may_trim, may_forget, may_originate;
static unsigned forget_asked;
static uint64_t forget_floor;

static uint64_t trim_floor_multi(void *ctx, uint64_t log)
{
	(void)ctx;
	(void)log;
	return may_trim ? trim_floor : 0;
}

static bool consent(void *ctx, struct log_end end, uint64_t floor)
{
	(void)ctx;
	(void)end;
	forget_asked++;
	forget_floor = floor;
	return may_forget;
}

static enum err originate(void *ctx, struct fault *f)
{
	(void)ctx;
	return may_originate ? ERR_NONE : fault_set(f, ERR_UNAVAILABLE, "the clock says no");
}

static void open_one(void)
{
	region_open(&one);
	region_begin(&one);
}

static void set_up(void)
{
	region_init(&one, 1);
	trim_floor = UINT64_MAX;
	may_trim = may_forget = may_originate = true;
	forget_asked = 0;
	one.options.trim_floor_multi = trim_floor_multi;
	one.options.may_forget = consent;
	one.options.may_originate = originate;
	open_one();
	struct intent create = create_of(&one, "m", DISTANCE_DOT);
	create.body.config.multi_writer = true;
	write_well(&one, create);
	ck_assert(catalog_has(one.catalog, STR("m"), &incarnation));
}

static void tear_down(void)
{
	region_release(&one);
}

static void reopen(void)
{
	region_shut(&one);
	open_one();
}

static struct intent upsert(uint64_t id)
{
	struct op_point *p = region_alloc(&one, sizeof(*p));
	struct op_vector *v = region_alloc(&one, sizeof(*v));

	*v = sparse_of("sparse");
	*p = (struct op_point){ .id = id_of(id), .vectors = v, .vector_count = 1, .payload = payload_of(&one, "n", 1) };
	return (struct intent){ .kind = OP_UPSERT, .collection = STR("m"), .body = { .points = p, .point_count = 1 } };
}

/* The deletion of a point, as another region might send it; more than a point costs when it has a seen vector. */
static struct op forged(uint64_t log, uint64_t seq, uint64_t hlc, struct point_id *id)
{
	return (struct op){ .kind = OP_DELETE,
			    .scope = SCOPE_MULTI,
			    .epoch = log,
			    .seq = seq,
			    .hlc = hlc,
			    .region = (uint8_t)log,
			    .incarnation = incarnation,
			    .ids = id,
			    .id_count = 1 };
}

static enum err apply(const struct op *op, uint64_t hash_before, struct op_turn *ret_turn, struct fault *f)
{
	CLEANUP(buf_release) struct buf wire = BUF_INIT(4000);

	ck_assert_int_eq(op_encode(op, OP_FORM_WIRE, &wire), ERR_NONE);
	struct bytes ops[] = { buf_bytes(&wire) };
	struct remote_batch b = { .ops = ops,
				  .count = 1,
				  .scope = SCOPE_MULTI,
				  .chain_hash = op_chain_hash(hash_before, ops[0]),
				  .ret_turn = ret_turn };
	return committer_apply(one.committer, &b, f);
}

/* The first op of a log. */
static enum err apply_first(uint64_t log, struct fault *f)
{
	struct point_id id = id_of(log & 0xffff);
	struct op op = forged(log, 1, (log & ~MULTI_LOG_BIT) >> 8 << 16, &id);

	return apply(&op, 0, NULL, f);
}

static void apply_logs(uint8_t region, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		struct fault f = { 0 };
		enum err err = apply_first(LOG_OF(region, i), &f);
		ck_assert_msg(!err, "log %u: %s", i, f.text);
	}
}

static uint32_t log_count(void)
{
	static struct log_end ends[LOGS_MAX];

	return committer_vector(one.committer, ends);
}

static bool holds(uint64_t log, uint64_t seq)
{
	struct store_txn *t;

	ck_assert_int_eq(one.store->ops->begin(one.store, false, &t), ERR_NONE);
	enum err err = oplog_has(one.store, t, SCOPE_MULTI, (struct position){ log, seq });
	one.store->ops->abort(t);
	return err == ERR_NONE;
}

/* --- trimming --- */

START_TEST(logs_are_trimmed_to_the_budget_and_rows_stay)
{
	for (uint64_t i = 0; i < 200; i++)
		write_well(&one, upsert(i));
	uint64_t log = region_state(&one).multi_log;
	uint64_t bytes = region_state(&one).multi_bytes;
	ck_assert_uint_eq(region_state(&one).multi_ops, 200);
	one.options.log_bytes_max = bytes / 2;
	reopen();
	write_well(&one, upsert(200));
	struct committer_state s = region_state(&one);
	ck_assert_uint_le(s.multi_bytes, bytes / 2);
	ck_assert_uint_gt(s.multi_bytes, bytes / 3);
	ck_assert(!holds(log, 1));
	ck_assert(holds(log, 200));
	ck_assert_uint_eq(committer_log_seq(one.committer, log), 200);
	ck_assert_uint_eq(count_points(&one, "m"), 201);
	/* The same is counted at the next start. */
	reopen();
	ck_assert_uint_eq(region_state(&one).multi_ops, s.multi_ops);
	ck_assert_uint_eq(region_state(&one).multi_bytes, s.multi_bytes);
	ck_assert_uint_eq(committer_log_seq(one.committer, log), 200);
}
END_TEST

START_TEST(no_op_is_trimmed_that_a_majority_lacks)
{
	one.options.log_bytes_max = 1;
	reopen();
	may_trim = false;
	for (uint64_t i = 0; i < 20; i++)
		write_well(&one, upsert(i));
	uint64_t log = region_state(&one).multi_log;
	ck_assert(holds(log, 1));
	may_trim = true;
	trim_floor = 7;
	write_well(&one, upsert(20));
	ck_assert(!holds(log, 7));
	ck_assert(holds(log, 8));
	trim_floor = UINT64_MAX;
	write_well(&one, upsert(21));
	/* Never the op of the very commit that trims. */
	ck_assert(holds(log, 22));
	ck_assert(!holds(log, 21));
}
END_TEST

START_TEST(the_log_with_the_oldest_op_is_trimmed_first)
{
	apply_logs(2, 0, 1);
	apply_logs(3, 10, 11);
	uint64_t bytes = region_state(&one).multi_bytes;
	one.options.log_bytes_max = bytes + 10;
	reopen();
	apply_logs(4, 20, 21);
	ck_assert(!holds(LOG_OF(2, 0), 1));
	ck_assert(holds(LOG_OF(3, 10), 1));
	ck_assert_uint_eq(log_count(), 3);
}
END_TEST

/* --- this region's own ops --- */

START_TEST(each_start_begins_another_log_with_its_first_write)
{
	write_well(&one, upsert(1));
	uint64_t first = region_state(&one).multi_log;
	reopen();
	ck_assert_uint_eq(region_state(&one).multi_log, 0);
	/* Even if the clock was set back. */
	one.clock.wall_ms -= 300;
	write_well(&one, upsert(2));
	uint64_t second = region_state(&one).multi_log;
	ck_assert_uint_gt(second, first);
	ck_assert_uint_eq((uint8_t)second, 1);
	ck_assert_uint_eq(committer_log_seq(one.committer, first), 1);
	ck_assert_uint_eq(committer_log_seq(one.committer, second), 1);
}
END_TEST

static struct region_write *write_after(uint64_t hlc_floor, uint64_t id)
{
	struct intent in = upsert(id);
	struct region_write *t = submit(&one, &in, 1);

	t->w.hlc_floor = hlc_floor;
	(void)committer_turn(one.committer, 0);
	ck_assert_uint_eq(t->done, 1);
	return t;
}

START_TEST(a_write_is_stamped_after_what_its_session_has_seen)
{
	uint64_t seen = (REGION_WALL_MS + 400) << 16;

	ck_assert_int_eq(write_after(seen, 1)->w.err, ERR_NONE);
	ck_assert_uint_gt(region_state(&one).hlc, seen);
	/* A session from too far ahead would drag this clock along. */
	struct region_write *t = write_after((REGION_WALL_MS + 501) << 16, 2);
	ck_assert_int_eq(t->w.err, ERR_UNAVAILABLE);
	ck_assert(strstr(t->w.fault.text, "session") != NULL);
	ck_assert_uint_lt(region_state(&one).hlc, (REGION_WALL_MS + 402) << 16);
	ck_assert_uint_eq(count_points(&one, "m"), 1);
}
END_TEST

START_TEST(a_region_that_may_not_originate_refuses_and_follows_on)
{
	may_originate = false;
	struct region_write *t = try_write(&one, upsert(1));
	ck_assert_int_eq(t->w.err, ERR_UNAVAILABLE);
	ck_assert_str_eq(t->w.fault.text, "the clock says no");
	ck_assert_uint_eq(region_state(&one).multi_log, 0);
	ck_assert_uint_eq(count_points(&one, "m"), 0);
	apply_logs(2, 0, 1);
	write_well(&one, create_of(&one, "c", DISTANCE_DOT));
	write_well(&one, upsert_of(&one, "c", 1, 1));
	may_originate = true;
	write_well(&one, upsert(1));
}
END_TEST

/* --- what an op waits for --- */

START_TEST(what_an_op_waits_for_is_answered)
{
	struct point_id id = id_of(1);
	struct op_turn turn = { 0 };
	struct fault f = { 0 };
	struct op_seen seen[] = { { .region = 3, .hlc = REGION_WALL_MS << 16 } };
	struct op op = forged(LOG_OF(2, 0), 1, REGION_WALL_MS << 16, &id);

	op.seen = seen;
	op.seen_count = 1;
	ck_assert_int_eq(apply(&op, 0, &turn, &f), ERR_UNAVAILABLE);
	ck_assert_int_eq(turn.kind, TURN_SEEN);
	ck_assert_uint_eq(turn.op.epoch, op.epoch);
	ck_assert_uint_eq(turn.op.seq, 1);
	ck_assert_uint_eq(turn.region, 3);
	ck_assert_uint_eq(turn.hlc, seen[0].hlc);
	op.needs = (struct position){ region_state(&one).epoch, 99 };
	ck_assert_int_eq(apply(&op, 0, &turn, &f), ERR_UNAVAILABLE);
	ck_assert_int_eq(turn.kind, TURN_SCHEMA);
	ck_assert_uint_eq(turn.needs.seq, 99);
	op = forged(LOG_OF(2, 0), 1, (REGION_WALL_MS + 2500) << 16, &id);
	ck_assert_int_eq(apply(&op, 0, &turn, &f), ERR_UNAVAILABLE);
	ck_assert_int_eq(turn.kind, TURN_CLOCK);
	ck_assert_uint_eq(turn.ahead_ms, 2500);
	one.clock.wall_ms += 2000;
	ck_assert_int_eq(apply(&op, 0, &turn, &f), ERR_NONE);
	ck_assert_int_eq(turn.kind, TURN_NOW);
}
END_TEST

/* --- forgetting --- */

START_TEST(no_log_is_forgotten_while_there_is_room)
{
	apply_logs(2, 0, LOGS_KEPT);
	ck_assert_uint_eq(log_count(), LOGS_KEPT);
	ck_assert_uint_eq(forget_asked, 0);
	ck_assert(holds(LOG_OF(2, 0), 1));
}
END_TEST

START_TEST(beyond_what_is_kept_the_oldest_logs_are_forgotten)
{
	struct fault f = { 0 };

	apply_logs(2, 0, LOGS_KEPT + 100);
	/* A commit forgets one, and the first is the floor of none before it. */
	ck_assert_uint_eq(log_count(), LOGS_KEPT + 1);
	ck_assert(!committer_log_is_forgotten(one.committer, LOG_OF(2, 200)));
	ck_assert(committer_log_is_forgotten(one.committer, LOG_OF(2, 0)));
	ck_assert(!committer_log_is_forgotten(one.committer, LOG_OF(3, 0)));
	ck_assert_uint_eq(committer_log_seq(one.committer, LOG_OF(2, 0)), UINT64_MAX);
	ck_assert_uint_eq(committer_log_seq(one.committer, LOG_OF(3, 0)), 0);
	ck_assert(!holds(LOG_OF(2, 0), 1));
	ck_assert(forget_floor != 0);
	/* What a stream brings again is known, and changes nothing. */
	uint64_t ops = region_state(&one).multi_ops;
	ck_assert_msg(!apply_first(LOG_OF(2, 0), &f), "%s", f.text);
	ck_assert_uint_eq(region_state(&one).multi_ops, ops);
	ck_assert_uint_eq(log_count(), LOGS_KEPT + 1);
	may_forget = false;
	reopen();
	ck_assert_uint_eq(log_count(), LOGS_KEPT + 1);
	ck_assert(committer_log_is_forgotten(one.committer, LOG_OF(2, 0)));
	ck_assert_uint_eq(region_state(&one).multi_ops, ops);
	/* Begun where the clock is, not where the forgotten ones were. */
	write_well(&one, upsert(1));
	ck_assert_uint_gt(region_state(&one).multi_log, multi_log_make(REGION_WALL_MS - 1, 1));
}
END_TEST

START_TEST(a_floor_is_listed_with_its_end_and_without_ops)
{
	static struct log_end ends[LOGS_MAX];
	unsigned floors = 0;

	apply_logs(2, 0, LOGS_KEPT + 10);
	uint32_t n = committer_vector(one.committer, ends);
	for (uint32_t i = 0; i < n; i++) {
		if (!ends[i].floor)
			continue;
		floors++;
		ck_assert_uint_eq(ends[i].seq, 1);
		ck_assert(!holds(ends[i].log, 1));
		ck_assert_uint_eq(i, 0);
	}
	ck_assert_uint_eq(floors, 1);
}
END_TEST

START_TEST(no_log_is_forgotten_that_another_region_lacks)
{
	may_forget = false;
	apply_logs(2, 0, LOGS_KEPT + 5);
	ck_assert_uint_gt(forget_asked, 0);
	ck_assert_uint_eq(log_count(), LOGS_KEPT + 5);
	ck_assert(holds(LOG_OF(2, 0), 1));
}
END_TEST

START_TEST(no_log_is_forgotten_within_a_day_nor_the_newest_of_its_region)
{
	one.clock.wall_ms -= DAY_MS + DAY_MS / 2;
	apply_logs(2, 0, LOGS_KEPT + 5);
	ck_assert_uint_eq(forget_asked, 0);
	ck_assert_uint_eq(log_count(), LOGS_KEPT + 5);
	one.clock.wall_ms += 2 * DAY_MS;
	/* The only log of a region is its newest, however old it is. */
	apply_logs(3, 0, 1);
	ck_assert(!holds(LOG_OF(2, 0), 1));
	apply_logs(2, LOGS_KEPT + 5, LOGS_KEPT + 15);
	ck_assert(!holds(LOG_OF(2, 8), 1));
	ck_assert(holds(LOG_OF(3, 0), 1));
}
END_TEST

START_TEST(at_the_bound_a_new_log_is_refused_with_the_reason)
{
	struct fault f = { 0 };

	may_forget = false;
	apply_logs(2, 0, LOGS_MAX);
	ck_assert_int_eq(apply_first(LOG_OF(3, 0), &f), ERR_TOO_LARGE);
	ck_assert_msg(strstr(f.text, "this fleet has 1024 logs") != NULL, "%s", f.text);
	struct region_write *t = try_write(&one, upsert(1));
	ck_assert_int_eq(t->w.err, ERR_UNAVAILABLE);
	ck_assert_msg(strstr(t->w.fault.text, "bring back the one that is away") != NULL, "%s", t->w.fault.text);
	/* Everything else goes on, and these as soon as there is room. */
	write_well(&one, create_of(&one, "c", DISTANCE_DOT));
	may_forget = true;
	for (uint64_t i = 0; i < 3; i++)
		write_well(&one, upsert_of(&one, "c", i, 1));
	ck_assert_int_eq(apply_first(LOG_OF(3, 0), &f), ERR_NONE);
	write_well(&one, upsert(1));
	ck_assert(!region_state(&one).failed);
}
END_TEST

/* --- records --- */

static void put_old_record(uint64_t log, uint64_t seq)
{
	CLEANUP(buf_release) struct buf key = BUF_INIT(100);
	CLEANUP(buf_release) struct buf value = BUF_INIT(100);
	struct store_txn *t;

	buf_append_cstr(&key, "replicator/log/");
	for (unsigned i = 0; i < 8; i++)
		wire_put_u8(&key, (uint8_t)(log >> 8 * (7 - i)));
	wire_put_u8(&value, 1);
	wire_put_u64(&value, seq);
	wire_put_u64(&value, 99);
	wire_put_u64(&value, 5 << 16);
	wire_put_u64(&value, hash64(value.data, value.len, 0));
	ck_assert_int_eq(one.store->ops->begin(one.store, true, &t), ERR_NONE);
	ck_assert_int_eq(one.store->ops->put(t, STORE_META, buf_bytes(&key), buf_bytes(&value)), ERR_NONE);
	ck_assert_int_eq(one.store->ops->commit(t, NULL), ERR_NONE);
}

START_TEST(records_of_the_version_before_are_read)
{
	region_shut(&one);
	put_old_record(LOG_OF(2, 0), 42);
	open_one();
	ck_assert_uint_eq(committer_log_seq(one.committer, LOG_OF(2, 0)), 42);
	ck_assert(!committer_log_is_forgotten(one.committer, LOG_OF(2, 0) - 256));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("commit_multi");
	TCase *t = tcase_create("logs");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, logs_are_trimmed_to_the_budget_and_rows_stay);
	tcase_add_test(t, no_op_is_trimmed_that_a_majority_lacks);
	tcase_add_test(t, the_log_with_the_oldest_op_is_trimmed_first);
	tcase_add_test(t, each_start_begins_another_log_with_its_first_write);
	tcase_add_test(t, a_write_is_stamped_after_what_its_session_has_seen);
	tcase_add_test(t, a_region_that_may_not_originate_refuses_and_follows_on);
	tcase_add_test(t, what_an_op_waits_for_is_answered);
	tcase_add_test(t, no_log_is_forgotten_while_there_is_room);
	tcase_add_test(t, beyond_what_is_kept_the_oldest_logs_are_forgotten);
	tcase_add_test(t, a_floor_is_listed_with_its_end_and_without_ops);
	tcase_add_test(t, no_log_is_forgotten_that_another_region_lacks);
	tcase_add_test(t, no_log_is_forgotten_within_a_day_nor_the_newest_of_its_region);
	tcase_add_test(t, at_the_bound_a_new_log_is_refused_with_the_reason);
	tcase_add_test(t, records_of_the_version_before_are_read);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
