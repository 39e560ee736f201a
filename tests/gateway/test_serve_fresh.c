/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is what a region has fresh enough? Asked of the regions of a fleet, and of a committer alone.
 */
#include "gateway/serve_fresh.h"

#include "gateway/crypto.h"
#include "tests/replicator/fleet.h"

static struct fleet fleet;
static struct api api;

static struct region *region(uint32_t number)
{
	return &fleet.regions[number].r;
}

/* Of that region, in the fleet. */
static void ask(uint32_t number)
{
	api = (struct api){ .committer = region(number)->committer,
			    .replicator = fleet.regions[number].replicator,
			    .region_id = (uint8_t)(number + 1) };
}

static bool have_collection(struct fleet *f, uint64_t number)
{
	struct incarnation i;

	(void)number;
	for (uint32_t k = 0; k < FLEET_REGIONS; k++)
		if (!catalog_has(f->regions[k].r.catalog, STR("m"), &i))
			return false;
	return true;
}

static void set_up(void)
{
	fleet_new(&fleet);
	fleet.multi = true;
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		fleet_start(&fleet, i);
	fleet_wait(&fleet, fleet_writes, 0);
	struct intent in = create_of(region(0), "m", DISTANCE_DOT);
	in.body.config.multi_writer = true;
	fleet_write_well(&fleet, 0, in);
	fleet_wait(&fleet, have_collection, 0);
	ask(0);
}

static void tear_down(void)
{
	fleet_free(&fleet);
}

/* A committer without anything beside it. */
static struct region alone;

static void set_up_alone(void)
{
	region_init(&alone, 1);
	region_open(&alone);
	region_begin(&alone);
	struct intent in = create_of(&alone, "m", DISTANCE_DOT);
	in.body.config.multi_writer = true;
	write_well(&alone, in);
	api = (struct api){ .committer = alone.committer, .region_id = 1 };
}

static void tear_down_alone(void)
{
	region_release(&alone);
}

static struct committer_state state_of(void)
{
	struct committer_state s;

	committer_state(api.committer, &s);
	return s;
}

static struct session session_at(uint16_t scope, struct position p)
{
	struct session s = { 0 };

	session_join(&s, scope, p);
	return s;
}

static void expect(const struct session *s, enum err wanted, bool waits, const char *words)
{
	struct fault f = { 0 };
	bool wait = !waits;
	enum err err = serve_check_session(&api, s, &wait, &f);

	ck_assert_msg(err == wanted, "%s instead of %s: %s", err_name(err), err_name(wanted), f.text);
	ck_assert_msg(!words || strstr(f.text, words), "%s", f.text);
	ck_assert_int_eq(wait, waits);
}

/* --- sessions --- */

static void check_history(void)
{
	struct committer_state now = state_of();
	struct session none = { 0 };
	struct session s = session_at(SCOPE_FLEET, now.position);

	expect(&none, ERR_NONE, false, NULL);
	expect(&s, ERR_NONE, false, NULL);
	s = session_at(SCOPE_FLEET, (struct position){ now.epoch, 1 });
	expect(&s, ERR_NONE, false, NULL);
	s = session_at(SCOPE_FLEET, (struct position){ now.epoch, now.position.seq + 1 });
	expect(&s, ERR_NONE, true, NULL);
	s = session_at(SCOPE_FLEET, (struct position){ now.epoch + 256, 1 });
	expect(&s, ERR_NONE, true, NULL);
	/* An epoch that is not in the history, though older: its ops are orphans. */
	s = session_at(SCOPE_FLEET, (struct position){ now.epoch - 1, 5 });
	expect(&s, ERR_SESSION_ORPHANED, false, "did not survive");
}

START_TEST(a_session_is_included_ahead_or_orphaned)
{
	check_history();
}
END_TEST

START_TEST(a_secondary_says_the_same_of_its_history)
{
	fleet_wait(&fleet, have_collection, 0);
	ask(1);
	check_history();
}
END_TEST

START_TEST(alone_a_session_is_included_ahead_or_orphaned)
{
	check_history();
}
END_TEST

START_TEST(what_an_ended_epoch_had_beyond_its_end_is_orphaned)
{
	struct position last = state_of().position;
	struct fault f = { 0 };

	ck_assert_msg(!committer_begin_epoch(alone.committer, &f), "%s", f.text);
	struct session s = session_at(SCOPE_FLEET, last);
	expect(&s, ERR_NONE, false, NULL);
	s = session_at(SCOPE_FLEET, (struct position){ last.epoch, last.seq + 1 });
	expect(&s, ERR_SESSION_ORPHANED, false, "did not survive");
}
END_TEST

/* An epoch-start of another region that no longer lists what came before an epoch of its own. */
START_TEST(what_nobody_lists_any_more_is_forgotten)
{
	CLEANUP(buf_release) struct buf wire = BUF_INIT(4000);
	struct position here = state_of().position;
	struct epoch_end chain[] = { { .epoch = 0, .end = 3 }, { .epoch = here.epoch, .end = here.seq } };
	struct op op = { .kind = OP_EPOCH_START,
			 .epoch = epoch_make((here.epoch >> 8) + 1, 2),
			 .seq = 1,
			 .hlc = state_of().hlc + 1,
			 .region = 2,
			 .chain = chain,
			 .chain_count = 2 };
	struct fault f = { 0 };

	ck_assert_int_eq(op_encode(&op, OP_FORM_WIRE, &wire), ERR_NONE);
	struct bytes ops[] = { buf_bytes(&wire) };
	struct remote_batch b = { .ops = ops,
				  .count = 1,
				  .chain_hash = op_chain_hash(state_of().chain_hash, ops[0]) };
	ck_assert_msg(!committer_apply(alone.committer, &b, &f), "%s", f.text);
	struct session s = session_at(SCOPE_FLEET, here);
	expect(&s, ERR_NONE, false, NULL);
	s = session_at(SCOPE_FLEET, (struct position){ here.epoch - 1, 1 });
	expect(&s, ERR_SESSION_ORPHANED, false, "too old");
}
END_TEST

START_TEST(a_scope_that_is_not_held_is_told)
{
	struct session s = session_at(3, (struct position){ 1, 1 });

	expect(&s, api.replicator ? ERR_BAD_REQUEST : ERR_UNAVAILABLE, false, "scope 3");
}
END_TEST

/* --- logs of several writers --- */

static struct intent upsert_sparse(struct region *r)
{
	struct op_point *p = region_alloc(r, sizeof(*p));
	struct op_vector *v = region_alloc(r, sizeof(*v));

	*v = sparse_of("sparse");
	*p = (struct op_point){ .id = id_of(1), .vectors = v, .vector_count = 1, .payload = payload_of(r, "n", 1) };
	return (struct intent){ .kind = OP_UPSERT, .collection = STR("m"), .body = { .points = p, .point_count = 1 } };
}

static void check_log(uint64_t log)
{
	struct session s = session_at(SCOPE_MULTI, (struct position){ log, 1 });

	expect(&s, ERR_NONE, false, NULL);
	s = session_at(SCOPE_MULTI, (struct position){ log, 2 });
	expect(&s, ERR_NONE, true, NULL);
	/* Nothing of it is here: it is on its way. */
	s = session_at(SCOPE_MULTI, (struct position){ multi_log_make(REGION_WALL_MS, 9), 1 });
	expect(&s, ERR_NONE, true, NULL);
}

START_TEST(a_log_of_several_writers_is_included_or_ahead)
{
	fleet_write_well(&fleet, 0, upsert_sparse(region(0)));
	check_log(state_of().multi_log);
}
END_TEST

START_TEST(alone_a_log_of_several_writers_is_included_or_ahead)
{
	write_well(&alone, upsert_sparse(&alone));
	check_log(state_of().multi_log);
}
END_TEST

/* The first op of a log: a point is deleted that never was. */
static void apply_first(struct incarnation incarnation, uint64_t log)
{
	CLEANUP(buf_release) struct buf wire = BUF_INIT(4000);
	struct point_id id = id_of(log & 0xffff);
	struct op op = { .kind = OP_DELETE,
			 .scope = SCOPE_MULTI,
			 .epoch = log,
			 .seq = 1,
			 .hlc = (log & ~MULTI_LOG_BIT) >> 8 << 16,
			 .region = (uint8_t)log,
			 .incarnation = incarnation,
			 .ids = &id,
			 .id_count = 1 };
	struct fault f = { 0 };

	ck_assert_int_eq(op_encode(&op, OP_FORM_WIRE, &wire), ERR_NONE);
	struct bytes ops[] = { buf_bytes(&wire) };
	struct remote_batch b = { .ops = ops, .count = 1, .scope = SCOPE_MULTI, .chain_hash = op_chain_hash(0, ops[0]) };
	ck_assert_msg(!committer_apply(alone.committer, &b, &f), "%s", f.text);
}

START_TEST(a_forgotten_log_is_too_old_to_say)
{
	struct incarnation incarnation;
	uint64_t begun = REGION_WALL_MS - 2 * UINT64_C(86400000);

	ck_assert(catalog_has(alone.catalog, STR("m"), &incarnation));
	for (unsigned i = 0; i < LOGS_KEPT + 10; i++)
		apply_first(incarnation, multi_log_make(begun + i, 2));
	struct session s = session_at(SCOPE_MULTI, (struct position){ multi_log_make(begun, 2), 1 });
	expect(&s, ERR_SESSION_ORPHANED, false, "so old");
	s = session_at(SCOPE_MULTI, (struct position){ multi_log_make(begun + LOGS_KEPT, 2), 1 });
	expect(&s, ERR_NONE, false, NULL);
}
END_TEST

/* --- waiting --- */

static void *write_soon(void *arg)
{
	fleet_write_well(&fleet, 0, create_of(region(0), "later", DISTANCE_DOT));
	fleet_write_well(&fleet, 0, upsert_sparse(region(0)));
	return arg;
}

START_TEST(what_comes_ends_the_wait)
{
	struct fault f = { 0 };
	pthread_t thread;

	fleet_write_well(&fleet, 0, upsert_sparse(region(0)));
	struct committer_state now = state_of();
	struct session s = session_at(SCOPE_FLEET, (struct position){ now.epoch, now.position.seq + 1 });
	session_join(&s, SCOPE_MULTI, (struct position){ now.multi_log, 2 });
	expect(&s, ERR_NONE, true, NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, write_soon, NULL), 0);
	/* The machine may be slow: then it is asked again, as a client would. */
	bool wait = true;
	for (unsigned i = 0; i < 20 && wait; i++) {
		ck_assert_int_eq(serve_wait_session(&api, &s, &f), ERR_NONE);
		ck_assert_int_eq(serve_check_session(&api, &s, &wait, &f), ERR_NONE);
	}
	ck_assert(!wait);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

START_TEST(what_does_not_come_is_still_ahead_after_the_wait)
{
	struct committer_state now = state_of();
	struct session s = session_at(SCOPE_FLEET, (struct position){ now.epoch, now.position.seq + 1 });
	struct fault f = { 0 };

	session_join(&s, SCOPE_MULTI, (struct position){ multi_log_make(REGION_WALL_MS, 9), 1 });
	ck_assert_int_eq(serve_wait_session(&api, &s, &f), ERR_NONE);
	expect(&s, ERR_NONE, true, NULL);
}
END_TEST

START_TEST(what_is_orphaned_is_told_and_not_waited_for)
{
	struct session s = session_at(SCOPE_FLEET, (struct position){ state_of().epoch - 1, 5 });
	struct fault f = { 0 };

	ck_assert_int_eq(serve_wait_session(&api, &s, &f), ERR_SESSION_ORPHANED);
}
END_TEST

/* --- forged --- */

START_TEST(a_forged_session_never_gets_this_far)
{
	static const uint8_t secrets[2][32] = { "the fleet's key, of test regions", "another key, nobody's of them..." };
	struct crypto_key keys[2];
	struct session_key ours = { .mac = crypto_session_mac, .ctx = &keys[0] };
	struct session_key theirs = { .mac = crypto_session_mac, .ctx = &keys[1] };
	struct session s = session_at(SCOPE_FLEET, state_of().position);
	struct session back;
	char token[SESSION_TEXT_MAX];
	struct fault f = { 0 };

	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(crypto_key_set(&keys[i], (struct bytes){ secrets[i], sizeof(secrets[i]) }), ERR_NONE);
	size_t len = session_encode(&s, &theirs, token);
	ck_assert_int_eq(session_decode((struct str){ token, len }, &ours, &back, &f), ERR_BAD_REQUEST);
	len = session_encode(&s, &ours, token);
	ck_assert_int_eq(session_decode((struct str){ token, len }, &ours, &back, &f), ERR_NONE);
	expect(&back, ERR_NONE, false, NULL);
	for (size_t i = 0; i < len; i++) {
		char right = token[i];
		token[i] = right == 'A' ? 'B' : 'A';
		ck_assert_int_eq(session_decode((struct str){ token, len }, &ours, &back, &f), ERR_BAD_REQUEST);
		token[i] = right;
	}
}
END_TEST

/* --- staleness --- */

static bool known;
static uint64_t behind_ms;

static bool say(void *ctx, uint64_t *ret_ms)
{
	(void)ctx;
	*ret_ms = behind_ms;
	return known;
}

static enum err check(const char *text, struct fault *f)
{
	*f = (struct fault){ 0 };
	return serve_check_staleness(&api, (struct str){ text, text ? strlen(text) : 0 }, f);
}

START_TEST(the_bound_is_a_whole_number)
{
	static const char *const wrong[] = { "", "x", "-1", "1.5", " 1", "1 ", "0x10", "18446744073709551616" };
	struct fault f;

	for (size_t i = 0; i < LEN(wrong); i++) {
		ck_assert_msg(check(wrong[i], &f) == ERR_BAD_REQUEST, "`%s`", wrong[i]);
		ck_assert_ptr_nonnull(strstr(f.text, "isthmus-max-staleness-ms"));
	}
	ck_assert_int_eq(check(NULL, &f), ERR_NONE);
	ck_assert_int_eq(check("18446744073709551615", &f), ERR_NONE);
	ck_assert_int_eq(check("0", &f), ERR_NONE);
}
END_TEST

START_TEST(the_bound_is_met_up_to_itself)
{
	struct position end;
	struct fault f;

	/* Who has handed over does not write: it is asked how far it is behind. */
	ck_assert_msg(!committer_release(alone.committer, 2, &end, &f), "%s", f.text);
	api.staleness = say;
	known = true;
	behind_ms = 250;
	ck_assert_int_eq(check("250", &f), ERR_NONE);
	ck_assert_int_eq(check("249", &f), ERR_UNAVAILABLE);
	ck_assert_str_eq(f.text, "this region is 250 ms behind, 249 are allowed");
	ck_assert_int_eq(check(NULL, &f), ERR_NONE);
	known = false;
	ck_assert_int_eq(check("18446744073709551615", &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "not known"));
	api.staleness = NULL;
	ck_assert_int_eq(check("18446744073709551615", &f), ERR_UNAVAILABLE);
}
END_TEST

START_TEST(who_writes_is_never_stale)
{
	uint64_t ms = 99;
	struct fault f;

	ck_assert(serve_staleness_ms(&api, &ms));
	ck_assert_uint_eq(ms, 0);
	ck_assert_int_eq(check("0", &f), ERR_NONE);
}
END_TEST

static bool is_fresh(struct fleet *f, uint64_t number)
{
	struct fault fault;

	(void)f;
	(void)number;
	return !check("60000", &fault);
}

/* Within a minute while its primary is heard; then its own clock runs ahead of all that it heard. */
START_TEST(a_secondary_is_as_stale_as_what_it_heard_last)
{
	struct fault f;

	ask(1);
	fleet_wait(&fleet, is_fresh, 0);
	fleet_stop(&fleet, 0);
	atomic_store(&fleet.regions[1].cut_standing[0], true);
	atomic_fetch_add(&fleet.regions[1].clock.mono_ahead_ns, UINT64_C(120000000000));
	atomic_fetch_add(&fleet.regions[1].clock.wall_ahead_ms, 120000);
	ck_assert_int_eq(check("60000", &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "60000 are allowed"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("serve_fresh");
	TCase *f = tcase_create("fleet");
	TCase *t = tcase_create("alone");

	tcase_set_timeout(f, 60);
	tcase_add_checked_fixture(f, set_up, tear_down);
	tcase_add_test(f, a_session_is_included_ahead_or_orphaned);
	tcase_add_test(f, a_secondary_says_the_same_of_its_history);
	tcase_add_test(f, a_scope_that_is_not_held_is_told);
	tcase_add_test(f, a_log_of_several_writers_is_included_or_ahead);
	tcase_add_test(f, what_comes_ends_the_wait);
	tcase_add_test(f, what_does_not_come_is_still_ahead_after_the_wait);
	tcase_add_test(f, what_is_orphaned_is_told_and_not_waited_for);
	tcase_add_test(f, who_writes_is_never_stale);
	tcase_add_test(f, a_secondary_is_as_stale_as_what_it_heard_last);
	suite_add_tcase(s, f);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up_alone, tear_down_alone);
	tcase_add_test(t, alone_a_session_is_included_ahead_or_orphaned);
	tcase_add_test(t, what_an_ended_epoch_had_beyond_its_end_is_orphaned);
	tcase_add_test(t, what_nobody_lists_any_more_is_forgotten);
	tcase_add_test(t, a_scope_that_is_not_held_is_told);
	tcase_add_test(t, alone_a_log_of_several_writers_is_included_or_ahead);
	tcase_add_test(t, a_forgotten_log_is_too_old_to_say);
	tcase_add_test(t, what_does_not_come_is_still_ahead_after_the_wait);
	tcase_add_test(t, a_forged_session_never_gets_this_far);
	tcase_add_test(t, the_bound_is_a_whole_number);
	tcase_add_test(t, the_bound_is_met_up_to_itself);
	tcase_add_test(t, who_writes_is_never_stale);
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
