/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audits of a collection that three regions write at the same time, none of them ever where another is: never a false
 * difference, every kind of damage found and cured, no write lost by a cure, and who is behind is late.
 */
#include "tests/replicator/audit_bed.h"


static void set_up(void)
{
	bed_open_with(3, true);
	carry_all();
	write_well(at(0), upsert_of(at(0), "c", 1, 100));
	write_well(at(1), upsert_of(at(1), "c", 101, 50));
	write_well(at(2), upsert_of(at(2), "c", 151, 50));
	carry_all();
}

static void check_equal(const struct audit_report *r)
{
	ck_assert_msg(audit_report_clean(r), "%s: %s", audit_report_verdict(r), r->trouble);
	ck_assert_uint_eq(r->region_count, BED_REGIONS);
	ck_assert_uint_eq(r->shards, 2);
	ck_assert_uint_eq(r->unrepaired, 0);
	ck_assert_uint_eq(r->point_count, 0);
}

/* All ops everywhere, and nobody writes. */
static void be_quiet(void)
{
	bed.meanwhile = NULL;
	bed.on_request = NULL;
	carry_all();
}

/* --- equal --- */

START_TEST(equal_regions_are_equal_by_one_message_each)
{
	struct audit_report *r = audit_with(false);

	check_equal(r);
	ck_assert_uint_eq(r->regions[2].rows, 200);
	ck_assert_uint_eq(bed.requests[AUDIT_BLOCKS], 0);
	ck_assert_uint_eq(bed.requests[AUDIT_COPY], 0);
	ck_assert_uint_eq(bed.requests[AUDIT_SEEN], 0);
	check_equal(audit_with(true));
}
END_TEST

static void write_and_lag(struct audit_bed *b)
{
	for (uint64_t n = random_below(&b->random, 4); n > 0; n--)
		write_something_in(b, (unsigned)random_below(&b->random, BED_REGIONS));
	if (random_below(&b->random, 2)) {
		/* One after the other: compilers draw arguments in orders of their own. */
		unsigned to = (unsigned)random_below(&b->random, 3);
		unsigned from = (unsigned)random_below(&b->random, 3);
		(void)carry_multi(from, to, 1);
	}
}

static void write_at_request(struct audit_bed *b, struct bed_region *to UNUSED, const struct audit_request *q UNUSED)
{
	if (random_below(&b->random, 4) == 0)
		write_and_lag(b);
}

/* Even a difference that was not found out is none: rows that are written all the time are unsure at most. */
START_TEST(audits_under_writes_in_all_regions_show_no_difference)
{
	uint64_t equal = 0;

	bed.meanwhile = write_and_lag;
	bed.on_request = write_at_request;
	for (unsigned i = 0; i < 150; i++) {
		write_and_lag(&bed);
		struct audit_report *r = audit_with(i % 10 == 0);
		ck_assert_uint_eq(all_differences(r), 0);
		ck_assert_uint_eq(r->repaired + r->unrepaired, 0);
		for (unsigned k = 0; k < BED_REGIONS; k++)
			ck_assert_int_eq(r->regions[k].standing, AUDIT_EQUAL);
		ck_assert_str_ne(audit_report_verdict(r), "different");
		equal += audit_report_clean(r);
	}
	/* Trees did differ, and rows were asked for. */
	ck_assert_uint_gt(bed.requests[AUDIT_COPY], 150);
	ck_assert_uint_gt(bed.requests[AUDIT_ROWS], 4);
	ck_assert_uint_gt(equal, 75);
	be_quiet();
	ck_assert(same_trees(0, 1) && same_trees(0, 2));
	check_equal(audit_with(true));
}
END_TEST

/* --- damage --- */

enum kind { PAYLOAD, VECTOR, MISSING, EXTRA, STALE, TREE, RECORD };

/* An older row comes back, as if a write had not reached the disk. */
static void damage_stale(unsigned i, uint64_t id)
{
	struct damage d = damage_begin(i);
	struct row old = damage_load(&d, id);
	float *values = region_alloc(at(i), 4 * sizeof(*values));

	memcpy(values, old.vectors[0].vector.values, 4 * sizeof(*values));
	old.vectors[0].vector.values = values;
	old.vectors[0].slot = SLOT_NONE;
	damage_end(&d);
	write_well(at(2), set_payload_of(at(2), "c", id, "k", 5));
	carry_all();
	d = damage_begin(i);
	damage_store(&d, &old);
	damage_end(&d);
}

/* A version that no region ever wrote. */
static void damage_stamp(unsigned i, uint64_t id)
{
	struct damage d = damage_begin(i);
	struct row row = damage_load(&d, id);

	row.fields[0].stamp.hlc += UINT64_C(1) << 40;
	damage_store(&d, &row);
	damage_end(&d);
}

static void damage(enum kind kind, unsigned i, uint64_t id)
{
	switch (kind) {
	case PAYLOAD:
		damage_payload(i, id);
		break;
	case VECTOR:
		damage_vector(i, id);
		break;
	case MISSING:
		damage_missing(i, id);
		break;
	case EXTRA:
		damage_extra(i, id, id + 1000000);
		break;
	case STALE:
		damage_stale(i, id);
		break;
	case TREE:
		damage_tree(i, id);
		break;
	case RECORD:
		damage_record(i, id);
		break;
	}
}

static const struct {
	enum kind kind;
	bool deep;              /* only a deep audit can see it */
	enum audit_class class;
	unsigned region;
} damages[] = {
	{ PAYLOAD, false, AUDIT_CORRUPT, 1 }, { PAYLOAD, false, AUDIT_CORRUPT, 0 },
	{ MISSING, false, AUDIT_MISSING, 2 }, { MISSING, false, AUDIT_MISSING, 0 },
	{ EXTRA, false, AUDIT_EXTRA, 1 },     { EXTRA, false, AUDIT_EXTRA, 0 },
	{ STALE, false, AUDIT_STALE, 2 },     { STALE, false, AUDIT_STALE, 0 },
	{ TREE, false, AUDIT_TREE, 1 },       { TREE, false, AUDIT_TREE, 0 },
	{ VECTOR, true, AUDIT_CORRUPT, 1 },   { VECTOR, true, AUDIT_CORRUPT, 0 },
	{ RECORD, true, AUDIT_CORRUPT, 1 },   { RECORD, true, AUDIT_CORRUPT, 0 },
};

START_TEST(damage_is_found_classified_and_cured)
{
	unsigned i = damages[_i].region;
	uint64_t id = 17;

	damage(damages[_i].kind, i, id);
	if (damages[_i].deep)
		check_equal(audit_with(false));
	struct audit_report *r = audit_with(damages[_i].deep);
	ck_assert_msg(all_differences(r) == 1, "row %d: %s %s", _i, audit_report_verdict(r), r->trouble);
	ck_assert_uint_eq(r->differences[damages[_i].class], 1);
	ck_assert_uint_eq(r->repaired, 1);
	ck_assert_uint_eq(r->unrepaired, 0);
	ck_assert_uint_eq(r->unsure, 0);
	for (unsigned k = 0; k < BED_REGIONS; k++)
		ck_assert_int_eq(r->regions[k].standing, k == i ? AUDIT_DIFFERENT : AUDIT_EQUAL);
	if (damages[_i].class != AUDIT_TREE) {
		ck_assert_uint_eq(r->point_count, 1);
		ck_assert(point_id_equal(r->points[0].id, id_of(damages[_i].kind == EXTRA ? id + 1000000 : id)));
		ck_assert(r->points[0].repaired);
	}
	carry_all();
	ck_assert(same_trees(0, 1) && same_trees(0, 2));
	check_equal(audit_with(true));
	ck_assert_int_eq(payload_number(at(i), "c", id, "n"), (int64_t)id);
	ck_assert_uint_eq(count_points(at(i), "c"), 200);
}
END_TEST

/* In a secondary and in the primary. */
START_TEST(a_record_that_a_start_cannot_read_is_cured)
{
	unsigned i = (unsigned)_i;

	damage_record(i, 17);
	damage_record(i, 18);
	crash(i);
	if (i == 0)
		region_begin(at(0));
	carry_all();
	/* The others are served, it is not there. */
	ck_assert_uint_eq(count_points(at(i), "c"), 198);
	ck_assert(!find_point(at(i), "c", 17).found);
	struct audit_report *r = audit_with(false);
	ck_assert_uint_eq(r->differences[AUDIT_CORRUPT], 2);
	ck_assert_uint_eq(all_differences(r), 2);
	ck_assert_uint_eq(r->repaired, 2);
	ck_assert_int_eq(payload_number(at(i), "c", 17, "n"), 17);
	carry_all();
	ck_assert(same_trees(0, 1) && same_trees(0, 2));
	check_equal(audit_with(true));
	/* Nothing of it is left for another start. */
	crash(i);
	if (i == 0)
		region_begin(at(0));
	carry_all();
	ck_assert_uint_eq(count_points(at(i), "c"), 200);
	check_equal(audit_with(true));
}
END_TEST

START_TEST(a_version_from_nowhere_is_damage_and_not_news)
{
	damage_stamp(1, 17);
	struct audit_report *r = audit_with(false);
	ck_assert_uint_eq(r->differences[AUDIT_CORRUPT], 1);
	ck_assert_uint_eq(r->repaired, 1);
	check_equal(audit_with(true));
	ck_assert(same_trees(0, 1));
}
END_TEST

START_TEST(a_cure_survives_a_crash)
{
	damage_payload(1, 5);
	damage_missing(1, 6);
	damage_extra(2, 7, 7000);
	struct audit_report *r = audit_with(false);
	ck_assert_uint_eq(r->repaired, 3);
	for (unsigned i = 0; i < BED_REGIONS; i++)
		crash(i);
	region_begin(at(0));
	carry_all();
	ck_assert(same_trees(0, 1) && same_trees(0, 2));
	check_equal(audit_with(true));
	ck_assert_int_eq(payload_number(at(1), "c", 6, "n"), 6);
}
END_TEST

START_TEST(beyond_one_row_in_a_hundred_nothing_is_repaired)
{
	for (uint64_t id = 1; id <= 120; id++)
		damage_missing(1, id);
	struct audit_report *r = audit_with(false);
	ck_assert(r->breaker);
	ck_assert_uint_eq(r->repaired, 0);
	ck_assert_uint_eq(bed.requests[AUDIT_SETTLE], 0);
	ck_assert_str_eq(audit_report_verdict(r), "different");
}
END_TEST

/* --- settling while all regions write --- */

static void write_hot(struct audit_bed *b)
{
	for (unsigned i = 0; i < BED_REGIONS; i++) {
		uint64_t id = 10 + random_below(&b->random, 10);
		(void)try_write(at(i), set_payload_of(at(i), "c", id, "k", (int64_t)random_below(&b->random, 1000)));
	}
	write_and_lag(b);
}

static void write_hot_at_request(struct audit_bed *b, struct bed_region *to UNUSED, const struct audit_request *q)
{
	if (random_below(&b->random, 3) == 0)
		write_hot(b);
	/* What is fetched meets the logs of who takes it at other ends. */
	if (q->kind == AUDIT_SETTLE || q->kind == AUDIT_FETCH)
		(void)carry_some(1);
}

/* The same few rows, in all regions, at every step of an audit: they are listed while they differ. */
START_TEST(rows_that_are_written_all_the_time_are_unsure_and_not_different)
{
	uint64_t unsure = 0;

	bed.meanwhile = write_hot;
	bed.on_request = write_hot_at_request;
	for (unsigned i = 0; i < 60; i++) {
		struct audit_report *r = audit_with(i % 10 == 0);
		ck_assert_uint_eq(all_differences(r), 0);
		ck_assert_uint_eq(r->repaired + r->unrepaired, 0);
		ck_assert_str_ne(audit_report_verdict(r), "different");
		ck_assert(r->unsure == 0 || !audit_report_clean(r));
		unsure += r->unsure;
	}
	ck_assert_uint_gt(unsure, 5);
	be_quiet();
	check_equal(audit_with(true));
}
END_TEST

/* Trees that are equal at the end say that no region lost or doubled an op that others have. */
START_TEST(rows_are_settled_while_they_are_written_and_no_write_is_lost)
{
	unsigned i = (unsigned)_i;
	uint64_t repaired = 0;

	for (unsigned k = 0; k < 50; k++) {
		uint64_t id = 10 + random_below(&bed.random, 10);
		write_well(at(k % 3), upsert_of(at(k % 3), "c", id, 1));
		carry_all();
		damage_payload(i, id);
		bed.meanwhile = write_hot;
		bed.on_request = write_hot_at_request;
		struct audit_report *r = audit_with(false);
		repaired += r->repaired;
		be_quiet();
		/* What was written all the time was left to the next. */
		uint64_t now = audit_with(false)->repaired;
		ck_assert_uint_le(now, 1);
		repaired += now;
		carry_all();
		ck_assert_msg(same_trees(0, 1) && same_trees(0, 2), "round %u, repaired %u", k, (unsigned)r->repaired);
	}
	check_equal(audit_with(true));
	ck_assert_uint_gt(repaired, 25);
}
END_TEST

/* The region whose row is wrong has a write of its own that nobody else has: the cure keeps it. */
static void write_at_settle(struct audit_bed *b, struct bed_region *to, const struct audit_request *q)
{
	if (q->kind != AUDIT_SETTLE)
		return;
	b->on_request = NULL;
	write_well(&to->region, set_payload_of(&to->region, "c", 17, "k", 4711));
}

START_TEST(a_cure_keeps_what_was_written_since_the_right_row_was_read)
{
	damage_payload(1, 17);
	bed.on_request = write_at_settle;
	struct audit_report *r = audit_with(false);
	ck_assert_uint_eq(r->repaired, 1);
	ck_assert_ptr_null(bed.on_request);
	ck_assert_int_eq(payload_number(at(1), "c", 17, "n"), 17);
	ck_assert_int_eq(payload_number(at(1), "c", 17, "k"), 4711);
	carry_all();
	ck_assert_int_eq(payload_number(at(0), "c", 17, "k"), 4711);
	ck_assert(same_trees(0, 1) && same_trees(0, 2));
}
END_TEST

/* --- late --- */

START_TEST(a_region_that_a_log_does_not_reach_is_late_and_not_equal)
{
	/* Fleet ops reach it, others' writes do not. */
	write_well(at(1), upsert_of(at(1), "c", 900, 1));
	(void)carry_multi(1, 0, PUBLISH_BYTES_TARGET);
	bed.regions[2].cut = true;
	struct audit_report *r = audit_with(false);
	ck_assert_int_eq(r->regions[2].standing, AUDIT_LATE);
	ck_assert_str_eq(audit_report_verdict(r), "late");
	ck_assert_uint_eq(all_differences(r), 0);
	bed.regions[2].cut = false;
	carry_all();
	check_equal(audit_with(false));
}
END_TEST

static bool held; /* what region 2 writes stays there, the fleet's marks go on */

static void hold(struct audit_bed *b)
{
	b->regions[1].cut = held;
	(void)carry(&b->regions[2], PUBLISH_BYTES_TARGET);
	if (!held)
		return;
	/* The mark, which is an op of the fleet, but none of several writers. */
	b->regions[1].cut = false;
	(void)carry(&b->regions[1], PUBLISH_BYTES_TARGET);
	b->regions[1].cut = true;
}

START_TEST(who_lacks_what_another_has_written_is_late_although_it_is_at_the_mark)
{
	held = true;
	write_well(at(1), upsert_of(at(1), "c", 900, 1));
	bed.regions[1].cut = true;
	bed.meanwhile = hold;
	struct audit_report *r = audit_with(false);
	ck_assert_int_eq(r->regions[0].standing, AUDIT_LATE);
	ck_assert_int_eq(r->regions[1].standing, AUDIT_EQUAL);
	ck_assert_int_eq(r->regions[2].standing, AUDIT_LATE);
	ck_assert_str_eq(audit_report_verdict(r), "late");
	ck_assert_ptr_nonnull(strstr(r->trouble, "log of region us"));
	ck_assert_uint_eq(all_differences(r), 0);
	bed.regions[1].cut = false;
	be_quiet();
	check_equal(audit_with(false));
}
END_TEST

/* A region that is silent keeps the others from nothing. */
START_TEST(damage_is_cured_while_a_third_region_is_away)
{
	write_well(at(2), upsert_of(at(2), "c", 300, 20));
	bed.regions[2].cut = bed.regions[2].deaf = true;
	damage_payload(1, 17);
	write_well(at(0), upsert_of(at(0), "c", 17, 1));
	struct audit_report *r = audit_with(false);
	ck_assert_int_eq(r->regions[2].standing, AUDIT_LATE);
	be_quiet();
	ck_assert(same_trees(0, 1));
	bed.regions[2].cut = bed.regions[2].deaf = false;
	damage_payload(1, 18);
	carry_all();
	r = audit_with(false);
	ck_assert_uint_eq(r->repaired, 1);
	carry_all();
	check_equal(audit_with(true));
	ck_assert(same_trees(0, 1) && same_trees(0, 2));
}
END_TEST

/* What the committer does not take: rows that show more than it has, logs that are others. */
static struct settle settle_from(unsigned from, uint64_t id)
{
	struct damage d = damage_begin(from);
	struct settle_row *row = region_alloc(at(from), sizeof(*row));
	struct log_mark *logs;
	struct settle s = { .incarnation = collection_incarnation(d.c), .rows = row, .row_count = 1 };

	*row = (struct settle_row){ .id = id_of(id), .present = true, .row = damage_load(&d, id) };
	row->row.vectors[0].slot = SLOT_NONE;
	ck_assert_int_eq(committer_read_logs(at(from)->store, d.t, &at(from)->arena, &logs, &s.log_count), ERR_NONE);
	s.logs = logs;
	at(from)->store->ops->abort(d.t);
	collection_unref(d.c);
	return s;
}

/* What is on its way arrives when rows are about to be compared; nobody has leaves counted anew. */
static void arrive_late_and_settle_nothing(struct audit_bed *b, struct bed_region *to, const struct audit_request *q)
{
	if (q->kind == AUDIT_SEEN) {
		b->regions[1].cut = false;
		b->meanwhile = NULL;
		carry_all();
	}
	to->deaf = q->kind == AUDIT_SETTLE;
}

START_TEST(leaf_of_a_late_write_is_unsure_and_not_unrepaired_when_nobody_counts_it)
{
	held = true;
	write_well(at(1), set_payload_of(at(1), "c", 5, "k", 9));
	bed.regions[1].cut = true;
	bed.meanwhile = hold;
	bed.on_request = arrive_late_and_settle_nothing;
	struct audit_report *r = audit_with(false);

	ck_assert_uint_gt(bed.requests[AUDIT_SETTLE], 0);
	ck_assert_uint_eq(all_differences(r), 0);
	ck_assert_uint_eq(r->unrepaired, 0);
	ck_assert_uint_gt(r->unsure, 0);
	ck_assert_str_ne(audit_report_verdict(r), "different");
	for (unsigned i = 0; i < BED_REGIONS; i++)
		bed.regions[i].deaf = false;
	be_quiet();
	check_equal(audit_with(true));
}
END_TEST

START_TEST(rows_that_are_ahead_or_of_other_logs_are_refused)
{
	struct fault f = { 0 };

	write_well(at(0), upsert_of(at(0), "c", 17, 1));
	struct settle s = settle_from(0, 17);
	ck_assert_int_eq(committer_settle(at(1)->committer, &s, &f), ERR_GAP);
	carry_all();
	ck_assert_int_eq(committer_settle(at(1)->committer, &s, &f), ERR_NONE);
	ck_assert_uint_eq(s.rows_changed, 0);
	struct log_mark *logs = region_alloc(at(0), s.log_count * sizeof(*logs));
	memcpy(logs, s.logs, s.log_count * sizeof(*logs));
	logs[0].chain_hash++;
	s.logs = logs;
	ck_assert_int_eq(committer_settle(at(1)->committer, &s, &f), ERR_FORK);
	logs[0].chain_hash--;
	logs[0].seq--;
	ck_assert_int_eq(committer_settle(at(1)->committer, &s, &f), ERR_FORK);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("audit_multi");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, bed_close);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, equal_regions_are_equal_by_one_message_each);
	tcase_add_test(t, audits_under_writes_in_all_regions_show_no_difference);
	tcase_add_loop_test(t, damage_is_found_classified_and_cured, 0, (int)LEN(damages));
	tcase_add_test(t, a_version_from_nowhere_is_damage_and_not_news);
	tcase_add_loop_test(t, a_record_that_a_start_cannot_read_is_cured, 0, 2);
	tcase_add_test(t, a_cure_survives_a_crash);
	tcase_add_test(t, beyond_one_row_in_a_hundred_nothing_is_repaired);
	tcase_add_test(t, rows_that_are_written_all_the_time_are_unsure_and_not_different);
	tcase_add_loop_test(t, rows_are_settled_while_they_are_written_and_no_write_is_lost, 0, BED_REGIONS);
	tcase_add_test(t, a_cure_keeps_what_was_written_since_the_right_row_was_read);
	tcase_add_test(t, a_region_that_a_log_does_not_reach_is_late_and_not_equal);
	tcase_add_test(t, who_lacks_what_another_has_written_is_late_although_it_is_at_the_mark);
	tcase_add_test(t, leaf_of_a_late_write_is_unsure_and_not_unrepaired_when_nobody_counts_it);
	tcase_add_test(t, damage_is_cured_while_a_third_region_is_away);
	tcase_add_test(t, rows_that_are_ahead_or_of_other_logs_are_refused);
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
