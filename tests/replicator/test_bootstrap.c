/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a region copies another one, whom, and how it is proved. The thread is the real one; whatever it waits for, the test waits
 * for as well.
 */
#include "replicator/bootstrap.h"
#include "tests/replicator/copy_bed.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static struct bootstrap *bootstrap;
static struct audit *audits[2];   /* of region 1, and of the one that copies */
static struct region result;
static struct peers *result_peers;
static atomic_bool lacking, completed, proving;
static atomic_uint opened, discarded;
static uint64_t rtts[4];
static bool copy_is_there;

static struct region *eu(void)
{
	return &sources[0].region;
}

/* --- what the owner gives --- */

static enum err open_store(void *ctx, bool make, struct store **ret_store, const char **ret_dir, struct fault *f)
{
	(void)ctx;
	(void)f;
	if (!make && !copy_is_there)
		return ERR_NOT_FOUND;
	copy_is_there = true;
	opened++;
	*ret_store = copy_store;
	*ret_dir = NULL;
	return ERR_NONE;
}

static void close_store(void *ctx, struct store *s, bool discard)
{
	(void)ctx;
	ck_assert(!s || s == copy_store);
	if (!discard)
		return;
	discarded++;
	copy_is_there = false;
	copy_store->ops->close(copy_store);
	ck_assert_int_eq(store_mem_new(&copy_store), ERR_NONE);
}

static void on_complete(void *ctx)
{
	(void)ctx;
	completed = true;
}

static void on_proving(void *ctx, bool on)
{
	(void)ctx;
	proving = on;
}

static bool lacks(void *ctx, struct fault *ret_why)
{
	(void)ctx;
	if (lacking)
		(void)fault_set(ret_why, ERR_GAP, "the test wants it so");
	return lacking;
}

static uint64_t rtt_us(void *ctx, uint8_t region)
{
	(void)ctx;
	return rtts[region];
}

/* Only region 1 is audited with. */
static enum err link_audit(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out, struct fault *f)
{
	ck_assert_ptr_eq(l, &copy_link);
	return region == 1 ? audit_answer(audits[0], 2, request, out, f) : fault_set(f, ERR_UNAVAILABLE, "it is silent");
}

static void open_audit(unsigned which, struct region *r, struct peers *p)
{
	const struct audit_options o = {
		.clock = &r->clock.clock, .store = r->store, .catalog = r->catalog, .committer = r->committer, .peers = p
	};
	struct fault f = { 0 };

	ck_assert_msg(!audit_new(&o, &audits[which], &f), "%s", fault_text(&f));
}

static void open_bootstrap(struct region *r, struct peers *p)
{
	const struct bootstrap_options o = { .clock = clock_system(),
					     .store = r->store,
					     .catalog = r->catalog,
					     .committer = r->committer,
					     .peers = p,
					     .audit = audits[1],
					     .log_bytes_max = 20000,
					     .open = open_store,
					     .close = close_store,
					     .complete = on_complete,
					     .proving = on_proving,
					     .lacks = lacks,
					     .rtt_us = rtt_us };
	struct fault f = { 0 };

	ck_assert_msg(!bootstrap_new(&o, &bootstrap, &f), "%s", fault_text(&f));
}

static void hear(struct peers *p, uint8_t region)
{
	const struct heartbeat h = { .fleet = COPY_FLEET,
				     .scope = SCOPE_FLEET,
				     .region = region,
				     .position = region_state(&source_of(region)->region).position,
				     .wall_ms = REGION_WALL_MS };

	ck_assert(peers_beat(p, &h));
}

static void set_up(void)
{
	copy_bed_open();
	copy_link.audit = link_audit;
	memset(rtts, 0, sizeof(rtts));
	lacking = completed = proving = false;
	opened = discarded = 0;
	copy_is_there = false;
	write_well(eu(), create_of(eu(), "c", DISTANCE_DOT));
	for (uint64_t i = 1; i < 4000; i += 20)
		write_well(eu(), upsert_of(eu(), "c", i, 20));
	open_audit(0, eu(), sources[0].peers);
	open_audit(1, &live, live_peers);
	open_bootstrap(&live, live_peers);
}

static void tear_down(void)
{
	bootstrap_free(TAKE(bootstrap));
	audit_free(TAKE(audits[0]));
	audit_free(TAKE(audits[1]));
	copy_bed_close();
}

static void wait_until(bool (*is_so)(void))
{
	uint64_t until_ns = clock_mono_ns(clock_system()) + UINT64_C(30000000000);

	while (!is_so()) {
		ck_assert_msg(clock_mono_ns(clock_system()) < until_ns, "it did not come");
		(void)sched_yield();
	}
}

static bool is_complete(void)
{
	return completed;
}

static struct bootstrap_state state_now(void)
{
	struct bootstrap_state s;

	bootstrap_state(bootstrap, &s);
	return s;
}

static void become_result(void)
{
	struct fault f = { 0 };

	bootstrap_stop(bootstrap);
	committer_stop(live.committer);
	ck_assert_msg(!bootstrap_adopt(bootstrap, &f), "%s", fault_text(&f));
	bootstrap_free(TAKE(bootstrap));
	audit_free(TAKE(audits[1]));
	result = (struct region){ .options = { .region = 2 } };
	clock_manual_init(&result.clock, REGION_WALL_MS);
	arena_init(&result.arena, (size_t)256 << 20);
	result.store = copy_store;
	region_open(&result);
	result_peers = peers_of(1, &result);
	open_audit(1, &result, result_peers);
	open_bootstrap(&result, result_peers);
}

static void end_result(void)
{
	bootstrap_free(TAKE(bootstrap));
	audit_free(TAKE(audits[1]));
	peers_free(result_peers);
	region_end(&result);
}

static bool is_shown_ready(const char *words)
{
	CLEANUP(buf_release) struct buf why = BUF_INIT(1024);
	bool ready = bootstrap_ready(bootstrap, &why);

	buf_append_byte(&why, 0);
	ck_assert_msg(strstr((char *)why.data, words) != NULL, "%s", (char *)why.data);
	return ready;
}

START_TEST(a_region_that_lacks_something_copies_the_one_that_is_heard)
{
	hear(live_peers, 1);
	lacking = true;
	ck_assert(is_shown_ready(""));
	ck_assert_int_eq(bootstrap_start(bootstrap), ERR_NONE);
	wait_until(is_complete);
	ck_assert(!is_shown_ready("bootstrapped from eu, starting again"));
	ck_assert_uint_eq(state_now().percent, 100);
	ck_assert_uint_eq(state_now().points, 4000);
	become_result();
	check_equal(eu(), &result);
	end_result();
}
END_TEST

START_TEST(a_region_that_lacks_nothing_or_hears_nobody_copies_nobody)
{
	struct fault f = { 0 };

	ck_assert_int_eq(bootstrap_order(bootstrap, 0, &f), ERR_UNAVAILABLE);
	hear(live_peers, 1);
	ck_assert_int_eq(bootstrap_order(bootstrap, 3, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(fault_text(&f), "region ap is not heard"));
	/* It looks whether there is a copy to go on with, and makes none. */
	ck_assert_int_eq(bootstrap_start(bootstrap), ERR_NONE);
	ck_assert_int_eq(state_now().stage, BOOTSTRAP_IDLE);
	bootstrap_stop(bootstrap);
	ck_assert_uint_eq(opened, 0);
	ck_assert_int_eq(bootstrap_adopt(bootstrap, &f), ERR_NOT_FOUND);
}
END_TEST

START_TEST(the_primary_is_not_rebuilt)
{
	struct fault f = { 0 };

	hear(live_peers, 1);
	region_begin(&live);
	ck_assert_int_eq(bootstrap_order(bootstrap, 0, &f), ERR_FORBIDDEN);
	ck_assert_ptr_nonnull(strstr(fault_text(&f), "is the primary"));
}
END_TEST

static void open_third(void)
{
	struct region *ap = &sources[1].region;
	struct store *fork;

	region_init(ap, 3);
	ck_assert_int_eq(store_mem_fork(eu()->store, &fork), ERR_NONE);
	ap->store->ops->close(ap->store);
	ap->store = fork;
	region_open(ap);
	sources[1].peers = peers_of(2, ap);
}

START_TEST(the_nearest_region_is_copied_first_and_by_order_the_one_that_was_named)
{
	struct fault f = { 0 };
	uint8_t named = _i ? 1 : 0;

	open_third();
	hear(live_peers, 1);
	hear(live_peers, 3);
	rtts[1] = 80000;
	rtts[3] = 20000;
	ck_assert_int_eq(bootstrap_order(bootstrap, named, &f), ERR_NONE);
	ck_assert_int_eq(bootstrap_start(bootstrap), ERR_NONE);
	wait_until(is_complete);
	ck_assert_uint_eq(state_now().source, named ? named : 3);
	ck_assert(state_now().ordered);
	become_result();
	check_equal(eu(), &result);
	end_result();
}
END_TEST

START_TEST(a_region_that_is_not_ready_itself_is_passed_over)
{
	struct fault f = { 0 };

	open_third();
	hear(live_peers, 1);
	hear(live_peers, 3);
	sources[0].unready = true;
	ck_assert_int_eq(bootstrap_order(bootstrap, 0, &f), ERR_NONE);
	ck_assert_int_eq(bootstrap_start(bootstrap), ERR_NONE);
	wait_until(is_complete);
	ck_assert_uint_eq(state_now().source, 3);
}
END_TEST

static unsigned trim_at;

/* On the copying thread: the source's log leaves the copy behind. */
static void leave_behind(struct buf *answer)
{
	(void)answer;
	if (questions != trim_at)
		return;
	for (uint64_t i = 1; i < 2000; i += 20)
		write_well(eu(), upsert_of(eu(), "c", i, 20));
}

START_TEST(a_copy_that_is_left_behind_is_discarded_and_another_one_made)
{
	struct fault f = { 0 };

	hear(live_peers, 1);
	trim_at = 1;
	on_answer = leave_behind;
	ck_assert_int_eq(bootstrap_order(bootstrap, 0, &f), ERR_NONE);
	ck_assert_int_eq(bootstrap_start(bootstrap), ERR_NONE);
	wait_until(is_complete);
	ck_assert_uint_eq(discarded, 1);
	become_result();
	check_equal(eu(), &result);
	end_result();
}
END_TEST

static atomic_bool reached, go_on;
static unsigned stop_at;

static void hold(struct buf *answer)
{
	(void)answer;
	if (questions != stop_at)
		return;
	reached = true;
	while (!go_on)
		(void)sched_yield();
}

static bool is_reached(void)
{
	return reached;
}

START_TEST(a_copy_that_was_interrupted_is_gone_on_with_without_being_asked_to)
{
	struct fault f = { 0 };

	hear(live_peers, 1);
	stop_at = 4;
	reached = go_on = false;
	on_answer = hold;
	ck_assert_int_eq(bootstrap_order(bootstrap, 1, &f), ERR_NONE);
	ck_assert_int_eq(bootstrap_start(bootstrap), ERR_NONE);
	wait_until(is_reached);
	ck_assert_int_eq(state_now().stage, BOOTSTRAP_COPYING);
	/* By order: what the region has is as good as before. */
	ck_assert(is_shown_ready(""));
	uint64_t points = state_now().points;
	ck_assert_uint_gt(points, 0);
	ck_assert_uint_lt(points, 4000);
	go_on = true;
	bootstrap_free(TAKE(bootstrap));
	on_answer = NULL;
	if (!completed) {
		store_mem_crash(copy_store);
		open_bootstrap(&live, live_peers);
		ck_assert_int_eq(bootstrap_start(bootstrap), ERR_NONE);
		wait_until(is_complete);
		ck_assert_uint_eq(state_now().points, 4000);
		ck_assert(state_now().ordered);
		ck_assert_uint_eq(discarded, 0);
		become_result();
		check_equal(eu(), &result);
		end_result();
	}
}
END_TEST

/* --- the proof --- */

static bool is_idle(void)
{
	return state_now().stage == BOOTSTRAP_IDLE;
}

static bool is_troubled(void)
{
	return state_now().trouble.err != ERR_NONE;
}

static void mark(uint64_t number)
{
	struct position p;
	struct fault f = { 0 };

	ck_assert_msg(!committer_mark(eu()->committer, number, &p, &f), "%s", fault_text(&f));
	follow_from(eu(), &result);
}

static void copy_all(void)
{
	struct fault f = { 0 };

	hear(live_peers, 1);
	/* A mark before the copy proves nothing. */
	struct position p;
	ck_assert_int_eq(committer_mark(eu()->committer, 1, &p, &f), ERR_NONE);
	ck_assert_int_eq(bootstrap_order(bootstrap, 0, &f), ERR_NONE);
	ck_assert_int_eq(bootstrap_start(bootstrap), ERR_NONE);
	wait_until(is_complete);
	become_result();
	hear(result_peers, 1);
}

START_TEST(a_copy_is_proved_by_equal_trees_at_a_mark_beyond_it)
{
	copy_all();
	ck_assert(proving && bootstrap_is_proving(bootstrap));
	ck_assert(!is_shown_ready("bootstrapped from eu, to be proved at the next mark"));
	struct fault f = { 0 };
	ck_assert_int_eq(bootstrap_order(bootstrap, 0, &f), ERR_ALREADY_EXISTS);
	uint64_t number;
	ck_assert_int_eq(audit_prove(audits[1], 1, region_state(&result).position, &number, &f), ERR_NOT_FOUND);
	mark(2);
	ck_assert_int_eq(bootstrap_start(bootstrap), ERR_NONE);
	wait_until(is_idle);
	ck_assert(!proving && is_shown_ready(""));
	/* It is proved for good. */
	bootstrap_free(TAKE(bootstrap));
	open_bootstrap(&result, result_peers);
	ck_assert_int_eq(state_now().stage, BOOTSTRAP_IDLE);
	end_result();
}
END_TEST

/* A row that the other region does not have; the tree knows of it. */
static void add_row(struct region *r, uint64_t id, bool remove)
{
	struct collection *c = catalog_get(r->catalog, STR("c"));
	struct settle_row row = { .id = id_of(id), .present = !remove, .row = { .id = id_of(id), .created = { 257, 1, 1 }, .visible = true } };
	struct committer_state s = region_state(r);
	struct settle settle = { .incarnation = collection_incarnation(c),
				 .at = s.position,
				 .chain_hash = s.chain_hash,
				 .rows = &row,
				 .row_count = 1 };
	struct fault f = { 0 };

	ck_assert_msg(!committer_settle(r->committer, &settle, &f), "%s", fault_text(&f));
	collection_unref(c);
}

START_TEST(a_copy_that_differs_is_not_ready_until_it_is_cured)
{
	copy_all();
	add_row(&result, 9999, false);
	mark(2);
	ck_assert_int_eq(bootstrap_start(bootstrap), ERR_NONE);
	wait_until(is_troubled);
	ck_assert(!is_shown_ready("at mark 2 it is not what region eu has: shard "));
	ck_assert(proving);
	bootstrap_stop(bootstrap);
	bootstrap_free(TAKE(bootstrap));
	add_row(&result, 9999, true);
	mark(3);
	open_bootstrap(&result, result_peers);
	ck_assert_int_eq(state_now().stage, BOOTSTRAP_PROVING);
	ck_assert_int_eq(bootstrap_start(bootstrap), ERR_NONE);
	wait_until(is_idle);
	end_result();
}
END_TEST

START_TEST(a_region_to_be_proved_asks_the_primary_for_a_mark)
{
	struct fault f = { 0 };

	copy_all();
	ck_assert_int_eq(audit_want(audits[1], 1, &f), ERR_NONE);
	/* Who is not the primary says so. */
	ck_assert_int_eq(audit_want(audits[1], 2, &f), ERR_NOT_PRIMARY);
	end_result();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("bootstrap");
	TCase *tc = tcase_create("bootstrap");

	tcase_set_timeout(tc, 90);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_region_that_lacks_something_copies_the_one_that_is_heard);
	tcase_add_test(tc, a_region_that_lacks_nothing_or_hears_nobody_copies_nobody);
	tcase_add_test(tc, the_primary_is_not_rebuilt);
	tcase_add_loop_test(tc, the_nearest_region_is_copied_first_and_by_order_the_one_that_was_named, 0, 2);
	tcase_add_test(tc, a_region_that_is_not_ready_itself_is_passed_over);
	tcase_add_test(tc, a_copy_that_is_left_behind_is_discarded_and_another_one_made);
	tcase_add_test(tc, a_copy_that_was_interrupted_is_gone_on_with_without_being_asked_to);
	tcase_add_test(tc, a_copy_is_proved_by_equal_trees_at_a_mark_beyond_it);
	tcase_add_test(tc, a_copy_that_differs_is_not_ready_until_it_is_cured);
	tcase_add_test(tc, a_region_to_be_proved_asks_the_primary_for_a_mark);
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
