/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orphans on their way to the primary, and decided about by themselves: one look after the other, by hand.
 */
#include "replicator/orphan_keeper.h"

#include "replicator/orphan_offer.h"
#include "tests/replicator/region.h"

#define FLEET 77

/* a took something back, b writes; the link leads from a to b. */
static struct region a, b;
static struct peers *peers_a, *peers_b;
static struct orphan_keeper *keeper;
static uint8_t writer;
static unsigned asked;
static bool silent;

static uint8_t writer_of(void *ctx)
{
	(void)ctx;
	return writer;
}

static enum err link_orphans(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out, struct fault *f)
{
	CLEANUP(arena_release) struct arena arena;
	struct orphan_offer offer;

	(void)l;
	arena_init(&arena, 1u << 20);
	asked++;
	ck_assert_uint_eq(region, 2);
	if (silent)
		return fault_set(f, ERR_UNAVAILABLE, "nobody answers");
	ck_assert_int_eq(orphan_offer_decode(request, FLEET, &arena, &offer, f), ERR_NONE);
	enum err err = committer_list_orphans(b.committer, &offer, f);
	return err ? err : orphan_answer_encode(&offer, out);
}

static struct peer_link link_to_b = { .orphans = link_orphans };

static struct position nothing_is_confirmed(void *ctx)
{
	(void)ctx;
	return (struct position){ 0 };
}

static void open_one(struct region *r, uint8_t id)
{
	region_init(r, id);
	r->options.undo = true;
	r->options.trim_floor = nothing_is_confirmed;
	region_open(r);
}

static struct peers *peers_of(struct region *r, uint8_t id)
{
	const struct peer_config other = { .name = "other", .id = (uint8_t)(3 - id), .data = true };
	const struct peers_options o = { .clock = &r->clock.clock,
					 .fleet = FLEET,
					 .self = { .name = "self", .id = id, .data = true },
					 .others = &other,
					 .other_count = 1,
					 .link = id == 1 ? &link_to_b : NULL };
	struct peers *p;

	ck_assert_int_eq(peers_new(&o, &p), ERR_NONE);
	return p;
}

static void make_keeper(struct region *r, struct peers *peers, enum orphan_policy policy)
{
	const struct orphan_keeper_options o = {
		.clock = &r->clock.clock, .committer = r->committer, .peers = peers, .policy = policy, .writer = writer_of
	};

	orphan_keeper_free(keeper);
	ck_assert_int_eq(orphan_keeper_new(&o, &keeper), ERR_NONE);
}

static void catch_up(struct region *from, struct region *to)
{
	struct log_part log = read_log_after(from, region_state(to).position, 2000);
	struct fault f = { 0 };

	if (log.count > 0)
		ck_assert_msg(!apply_part(to, &log, 0, log.count, &f), "%s", f.text);
}

/* a wrote `count` ops that nobody else has; then b began an epoch. */
static void lose(uint32_t count)
{
	struct rewind w = { .to = region_state(&b).position };
	struct fault f = { 0 };

	for (uint32_t i = 0; i < count; i++)
		write_well(&a, upsert_of(&a, "c", 100 + i, 1));
	region_begin(&b);
	ck_assert_msg(!committer_rewind(a.committer, &w, &f), "%s", f.text);
}

static void set_up(void)
{
	open_one(&a, 1);
	open_one(&b, 2);
	region_begin(&a);
	write_well(&a, create_of(&a, "c", DISTANCE_DOT));
	catch_up(&a, &b);
	peers_a = peers_of(&a, 1);
	peers_b = peers_of(&b, 2);
	asked = 0;
	silent = false;
	writer = 2;
}

static void tear_down(void)
{
	orphan_keeper_free(TAKE(keeper));
	peers_free(peers_a);
	peers_free(peers_b);
	region_release(&a);
	region_release(&b);
}

static uint64_t in_state(struct region *r, enum orphan_state s)
{
	return region_state(r).orphans.count[s];
}

START_TEST(orphans_reach_the_primary_and_are_not_offered_again_while_they_are_on_their_way)
{
	lose(3);
	make_keeper(&a, peers_a, ORPHANS_KEEP);
	ck_assert(orphan_keeper_turn(keeper));
	ck_assert_uint_eq(in_state(&b, ORPHAN_OPEN), 3);
	for (unsigned i = 0; i < 5; i++)
		(void)orphan_keeper_turn(keeper);
	ck_assert_uint_eq(asked, 1);
	catch_up(&b, &a);
	ck_assert_uint_eq(in_state(&a, ORPHAN_LOCAL), 0);
	ck_assert_uint_eq(in_state(&a, ORPHAN_OPEN), 3);
	ck_assert(!orphan_keeper_turn(keeper));
	ck_assert_uint_eq(asked, 1);
}
END_TEST

START_TEST(what_does_not_show_up_is_offered_again)
{
	lose(2);
	make_keeper(&a, peers_a, ORPHANS_KEEP);
	(void)orphan_keeper_turn(keeper);
	(void)orphan_keeper_turn(keeper); /* all were offered: from the beginning */
	(void)orphan_keeper_turn(keeper);
	ck_assert_uint_eq(asked, 1);
	a.clock.mono_ns += (uint64_t)ORPHAN_OFFER_AGAIN_MS * 1000000;
	(void)orphan_keeper_turn(keeper);
	ck_assert_uint_eq(asked, 2);
	ck_assert_uint_eq(in_state(&b, ORPHAN_OPEN), 2);
}
END_TEST

START_TEST(nothing_is_offered_while_nobody_writes_and_silence_is_no_harm)
{
	lose(1);
	make_keeper(&a, peers_a, ORPHANS_KEEP);
	writer = 0;
	ck_assert(!orphan_keeper_turn(keeper));
	ck_assert_uint_eq(asked, 0);
	writer = 2;
	silent = true;
	for (unsigned i = 0; i < 3; i++)
		ck_assert(!orphan_keeper_turn(keeper));
	ck_assert_uint_eq(asked, 3);
	silent = false;
	ck_assert(orphan_keeper_turn(keeper));
	ck_assert_uint_eq(in_state(&b, ORPHAN_OPEN), 1);
}
END_TEST

/* More than one message holds. */
START_TEST(many_orphans_go_in_several_offers)
{
	lose(ORPHAN_OFFER_ITEMS_MAX + 10);
	make_keeper(&a, peers_a, ORPHANS_KEEP);
	for (unsigned i = 0; i < 10 && in_state(&a, ORPHAN_LOCAL) > 0; i++) {
		(void)orphan_keeper_turn(keeper);
		catch_up(&b, &a);
	}
	ck_assert_uint_eq(in_state(&a, ORPHAN_OPEN), ORPHAN_OFFER_ITEMS_MAX + 10);
	ck_assert_uint_eq(asked, 2);
}
END_TEST

START_TEST(the_primary_lists_its_own)
{
	struct rewind w = { 0 };
	struct fault f = { 0 };

	w.to = region_state(&a).position;
	write_well(&a, upsert_of(&a, "c", 100, 1));
	ck_assert_int_eq(committer_rewind(a.committer, &w, &f), ERR_NONE);
	region_begin(&a);
	make_keeper(&a, peers_a, ORPHANS_KEEP);
	writer = 1;
	ck_assert(orphan_keeper_turn(keeper));
	ck_assert_uint_eq(asked, 0);
	ck_assert_uint_eq(in_state(&a, ORPHAN_OPEN), 1);
	ck_assert(!orphan_keeper_turn(keeper));
}
END_TEST

static void list_all(void)
{
	make_keeper(&a, peers_a, ORPHANS_MERGE);
	(void)orphan_keeper_turn(keeper);
}

START_TEST(the_primary_merges_or_drops_when_it_is_told_to)
{
	static const enum orphan_policy policies[] = { ORPHANS_KEEP, ORPHANS_MERGE, ORPHANS_DROP };

	for (size_t i = 0; i < LEN(policies); i++) {
		if (i > 0) {
			tear_down();
			set_up();
		}
		lose(3);
		/* Of the region that is not the primary the policy does not count. */
		list_all();
		ck_assert_uint_eq(in_state(&b, ORPHAN_OPEN), 3);
		make_keeper(&b, peers_b, policies[i]);
		for (unsigned k = 0; k < 3; k++)
			(void)orphan_keeper_turn(keeper);
		ck_assert_uint_eq(in_state(&b, ORPHAN_OPEN), policies[i] == ORPHANS_KEEP ? 3 : 0);
		ck_assert_uint_eq(in_state(&b, ORPHAN_APPLIED), policies[i] == ORPHANS_MERGE ? 3 : 0);
		ck_assert_uint_eq(in_state(&b, ORPHAN_DROPPED), policies[i] == ORPHANS_DROP ? 3 : 0);
		ck_assert_uint_eq(count_points(&b, "c"), policies[i] == ORPHANS_MERGE ? 3 : 0);
	}
}
END_TEST

START_TEST(what_cannot_be_merged_stays_open_and_is_tried_again_later)
{
	lose(2);
	write_well(&b, (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("c") });
	list_all();
	make_keeper(&b, peers_b, ORPHANS_MERGE);
	ck_assert(orphan_keeper_turn(keeper));
	struct position p = region_state(&b).position;
	for (unsigned k = 0; k < 3; k++)
		ck_assert(!orphan_keeper_turn(keeper));
	ck_assert_uint_eq(in_state(&b, ORPHAN_OPEN), 2);
	b.clock.mono_ns += (uint64_t)ORPHAN_AGAIN_MS * 1000000;
	ck_assert(orphan_keeper_turn(keeper));
	ck_assert_uint_eq(in_state(&b, ORPHAN_OPEN), 2);
	ck_assert_int_eq(position_compare(region_state(&b).position, p), 0);
}
END_TEST

START_TEST(the_thread_ends_whatever_it_does)
{
	lose(1);
	make_keeper(&a, peers_a, ORPHANS_KEEP);
	ck_assert_int_eq(orphan_keeper_start(keeper), ERR_NONE);
	orphan_keeper_stop(keeper);
	orphan_keeper_stop(keeper);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("orphan_keeper");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, orphans_reach_the_primary_and_are_not_offered_again_while_they_are_on_their_way);
	tcase_add_test(t, what_does_not_show_up_is_offered_again);
	tcase_add_test(t, nothing_is_offered_while_nobody_writes_and_silence_is_no_harm);
	tcase_add_test(t, many_orphans_go_in_several_offers);
	tcase_add_test(t, the_primary_lists_its_own);
	tcase_add_test(t, the_primary_merges_or_drops_when_it_is_told_to);
	tcase_add_test(t, what_cannot_be_merged_stays_open_and_is_tried_again_later);
	tcase_add_test(t, the_thread_ends_whatever_it_does);
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
