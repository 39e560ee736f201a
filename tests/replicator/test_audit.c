/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audits over three regions: equal ones are never called different, every kind of damage is found and cured, and nothing is
 * cured that cannot be judged.
 */
#include "tests/replicator/audit_bed.h"

#include <pthread.h>
#include <sched.h>

#include "base/metric.h"

static void set_up(void)
{
	bed_open_as(3);
	write_well(at(0), upsert_of(at(0), "c", 1, 200));
	carry_all();
}

static void set_up_alone(void)
{
	bed_open_as(1);
	write_well(at(0), upsert_of(at(0), "c", 1, 200));
}

static void check_equal(const struct audit_report *r)
{
	ck_assert_msg(audit_report_clean(r), "%s: %s", audit_report_verdict(r), r->trouble);
	ck_assert_uint_eq(r->region_count, bed.data_regions);
	ck_assert_uint_eq(r->shards, 2);
	ck_assert_uint_eq(r->unrepaired, 0);
	ck_assert_uint_eq(r->point_count, 0);
}

/* --- refused --- */

START_TEST(a_secondary_begins_no_audit)
{
	struct audit_report *r = region_alloc(at(0), sizeof(*r));
	struct fault f = { 0 };
	struct position before = region_state(at(1)).position;

	ck_assert_int_eq(audit_run(bed.regions[1].audit, false, r, &f), ERR_NOT_PRIMARY);
	ck_assert_uint_eq(r->mark, 0);
	ck_assert_int_eq(position_compare(region_state(at(1)).position, before), 0);
}
END_TEST

/* What comes of it. */
static enum err send(unsigned to, uint8_t from, const struct audit_request *q)
{
	struct buf request = BUF_INIT(AUDIT_BYTES_MAX);
	struct buf answer = BUF_INIT(AUDIT_BYTES_MAX);
	struct fault f = { 0 };

	ck_assert_int_eq(audit_request_encode(q, &request), ERR_NONE);
	enum err err = audit_answer(bed.regions[to].audit, from, buf_bytes(&request), &answer, &f);
	if (!err) {
		struct audit_reply reply;
		uint8_t *copy = region_alloc(at(0), answer.len);
		memcpy(copy, answer.data, answer.len);
		ck_assert_int_eq(audit_reply_decode((struct bytes){ copy, answer.len }, &at(0)->arena, &reply, &f),
				 ERR_NONE);
		err = audit_reply_refusal(&reply);
		ck_assert(!err || reply.words.len > 0);
	} else {
		ck_assert(f.text[0]);
	}
	buf_release(&request);
	buf_release(&answer);
	return err;
}

static struct incarnation incarnation_of(unsigned i)
{
	struct collection *c = catalog_get(at(i)->catalog, STR("c"));
	struct incarnation incarnation = collection_incarnation(c);

	collection_unref(c);
	return incarnation;
}

static uint32_t shard_of(uint64_t id)
{
	struct collection *c = catalog_get(at(0)->catalog, STR("c"));
	uint32_t shard = collection_shard_of(c, id_of(id));

	collection_unref(c);
	return shard;
}

static uint32_t leaf_of(uint64_t id)
{
	struct collection *c = catalog_get(at(0)->catalog, STR("c"));
	uint32_t leaf = merkle_leaf_of(collection_merkle(c, collection_shard_of(c, id_of(id))), id_of(id));

	collection_unref(c);
	return leaf;
}

START_TEST(only_the_primary_may_settle_rows_and_nobody_in_anothers_name)
{
	static const uint32_t leaf = 3;
	struct audit_request q = { .kind = AUDIT_SETTLE,
				   .fleet = BED_FLEET,
				   .sender = 3,
				   .incarnation = incarnation_of(0),
				   .numbers = &leaf,
				   .number_count = 1 };

	ck_assert_int_eq(send(1, 3, &q), ERR_FORBIDDEN);
	q.sender = 1;
	ck_assert_int_eq(send(1, 3, &q), ERR_FORBIDDEN);
	q.fleet++;
	ck_assert_int_eq(send(1, 1, &q), ERR_FORBIDDEN);
	q.fleet--;
	ck_assert_int_eq(send(1, 1, &q), ERR_NONE);
}
END_TEST

START_TEST(questions_about_what_is_not_there_are_refused)
{
	static const uint32_t far_leaf = 1u << 14;
	struct point_id id = id_of(1);
	struct audit_request q = { .kind = AUDIT_ROWS, .fleet = BED_FLEET, .sender = 1, .incarnation = { 1, 1 } };

	ck_assert_int_eq(send(1, 1, &q), ERR_NOT_FOUND);
	q.incarnation = incarnation_of(0);
	q.shard = 9;
	ck_assert_int_eq(send(1, 1, &q), ERR_BAD_INPUT);
	q.shard = 0;
	q.numbers = &far_leaf;
	q.number_count = 1;
	ck_assert_int_eq(send(1, 1, &q), ERR_BAD_INPUT);
	q.kind = AUDIT_FETCH;
	q.number_count = 0;
	q.ids = &id;
	q.id_count = 1;
	q.shard = 1 - shard_of(1);
	ck_assert_int_eq(send(1, 1, &q), ERR_BAD_INPUT);
	ck_assert_int_eq(audit_answer(bed.regions[1].audit, 1, (struct bytes){ (const uint8_t *)"x", 1 },
				      &BUF_INIT(100), NULL),
			 ERR_CORRUPT);
}
END_TEST

/* --- equal --- */

START_TEST(equal_regions_are_equal)
{
	struct audit_report *r = audit_with(false);

	check_equal(r);
	ck_assert_str_eq(audit_report_verdict(r), "equal");
	ck_assert_uint_eq(r->regions[0].rows, 200);
	ck_assert_uint_eq(r->regions[2].rows, 200);
	ck_assert_str_eq(r->regions[2].name, "ap");
	ck_assert_uint_eq(bed.requests[AUDIT_BLOCKS], 0);
	/* The mark is an op like others, and everywhere. */
	carry_all();
	ck_assert_int_eq(position_compare(region_state(at(1)).position, region_state(at(0)).position), 0);
	check_equal(audit_with(true));
}
END_TEST

static void write_and_lag(struct audit_bed *b)
{
	write_something(b);
	if (random_below(&b->random, 2))
		(void)carry(&b->regions[1 + random_below(&b->random, 2)], 1);
}

/* While rows change all the time, in regions that are all at other positions. */
START_TEST(a_thousand_marks_under_writes_show_no_difference)
{
	bed.meanwhile = write_and_lag;
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t writes = random_below(&bed.random, 4);
		for (uint64_t k = 0; k < writes; k++)
			write_something(&bed);
		check_equal(audit_with(false));
	}
	ck_assert_uint_eq(bed.requests[AUDIT_BLOCKS], 0);
	ck_assert_uint_gt(bed.requests[AUDIT_ROOTS], 2000);
}
END_TEST

START_TEST(deep_audits_under_writes_show_no_difference)
{
	bed.meanwhile = write_and_lag;
	for (unsigned i = 0; i < 30; i++) {
		write_something(&bed);
		struct audit_report *r = audit_with(true);
		check_equal(r);
		ck_assert_uint_gt(r->read_rows, 500);
		ck_assert_uint_gt(r->read_bytes, 500 * 16);
	}
}
END_TEST

/* --- damage, by class --- */

enum kind { PAYLOAD, VECTOR, MISSING, EXTRA, STALE, TREE, RECORD };

static void damage_stale(unsigned i, uint64_t id)
{
	struct damage d = damage_begin(i);
	struct row old = damage_load(&d, id);
	float *values = region_alloc(at(i), 4 * sizeof(*values));

	memcpy(values, old.vectors[0].vector.values, 4 * sizeof(*values));
	old.vectors[0].vector.values = values;
	old.vectors[0].slot = SLOT_NONE;
	damage_end(&d);
	write_well(at(0), set_payload_of(at(0), "c", id, "k", 5));
	carry_all();
	d = damage_begin(i);
	damage_store(&d, &old);
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

static void check_point(const struct audit_report *r, unsigned i, uint64_t id, enum audit_class class)
{
	ck_assert_uint_eq(r->point_count, 1);
	ck_assert_str_eq(r->points[0].collection, "c");
	ck_assert(point_id_equal(r->points[0].id, id_of(id)));
	ck_assert_uint_eq(r->points[0].region, i);
	ck_assert_int_eq(r->points[0].class, class);
	ck_assert(r->points[0].repaired);
}

START_TEST(damage_is_found_classified_and_cured)
{
	unsigned i = damages[_i].region;
	uint64_t id = 17;
	int64_t n = payload_number(at(0), "c", 55, "n");

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
	if (damages[_i].class != AUDIT_TREE)
		check_point(r, i, damages[_i].kind == EXTRA ? id + 1000000 : id, damages[_i].class);
	carry_all();
	ck_assert(same_trees(0, 1) && same_trees(0, 2));
	check_equal(audit_with(true));
	ck_assert_int_eq(payload_number(at(i), "c", id, "n"), (int64_t)id);
	ck_assert_uint_eq(count_points(at(i), "c"), 200);
	ck_assert_int_eq(payload_number(at(i), "c", 55, "n"), n);
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

/* What was settled is on the disk: in no log, but in the rows. */
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
	ck_assert(!find_point(at(2), "c", 7000).found);
}
END_TEST

START_TEST(damage_of_two_regions_in_one_leaf_is_judged_row_by_row)
{
	uint64_t other = 18;

	while (shard_of(other) != shard_of(17) || leaf_of(other) != leaf_of(17))
		other++;
	write_well(at(0), upsert_of(at(0), "c", other, 1));
	carry_all();
	damage_payload(1, 17);
	damage_missing(2, other);
	struct audit_report *r = audit_with(false);
	ck_assert_uint_eq(r->differences[AUDIT_CORRUPT], 1);
	ck_assert_uint_eq(r->differences[AUDIT_MISSING], 1);
	ck_assert_uint_eq(r->repaired, 2);
	check_equal(audit_with(true));
}
END_TEST

START_TEST(without_a_majority_nothing_is_changed)
{
	damage_payload(1, 17);
	bed.regions[2].cut = bed.regions[2].deaf = true;
	struct audit_report *r = audit_with(false);
	ck_assert_uint_eq(r->differences[AUDIT_CORRUPT], 1);
	ck_assert_uint_eq(r->repaired, 0);
	ck_assert_uint_eq(r->unrepaired, 1);
	ck_assert_int_eq(r->regions[2].standing, AUDIT_LATE);
	ck_assert_uint_eq(bed.requests[AUDIT_SETTLE], 0);
	bed.regions[2].cut = bed.regions[2].deaf = false;
	r = audit_with(false);
	ck_assert_uint_eq(r->repaired, 1);
	check_equal(audit_with(false));
}
END_TEST

START_TEST(three_different_rows_are_left_to_the_operator)
{
	damage_payload(1, 17);
	damage_missing(2, 17);
	struct audit_report *r = audit_with(false);
	ck_assert_uint_eq(all_differences(r), 1);
	ck_assert_uint_eq(r->repaired, 0);
	ck_assert_uint_eq(r->unrepaired, 1);
	ck_assert(!same_trees(0, 1));
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
	ck_assert_uint_eq(count_points(at(1), "c"), 80);
}
END_TEST

START_TEST(a_hundred_rows_are_cured_in_batches)
{
	for (uint64_t id = 1; id <= 90; id++)
		damage_missing(1, id);
	struct audit_report *r = audit_with(false);
	ck_assert(!r->breaker);
	ck_assert_uint_eq(r->repaired, 90);
	check_equal(audit_with(true));
	ck_assert_uint_eq(count_points(at(1), "c"), 200);
}
END_TEST

/* --- late --- */

START_TEST(a_region_that_is_behind_is_late_and_not_different)
{
	bed.regions[1].cut = true;
	write_well(at(0), upsert_of(at(0), "c", 500, 3));
	struct audit_report *r = audit_with(false);
	ck_assert_int_eq(r->regions[1].standing, AUDIT_LATE);
	ck_assert_int_eq(r->regions[2].standing, AUDIT_EQUAL);
	ck_assert_str_eq(audit_report_verdict(r), "late");
	ck_assert(!audit_report_clean(r));
	ck_assert_uint_eq(all_differences(r), 0);
	ck_assert_uint_ge(bed.waited_ms, AUDIT_LATE_MS);
	bed.regions[1].cut = false;
	carry_all();
	check_equal(audit_with(false));
}
END_TEST

START_TEST(a_region_that_does_not_answer_is_not_waited_for_as_long)
{
	bed.regions[1].deaf = true;
	struct audit_report *r = audit_with(false);
	ck_assert_int_eq(r->regions[1].standing, AUDIT_LATE);
	ck_assert_uint_ge(bed.waited_ms, AUDIT_SILENT_MS);
	ck_assert_uint_lt(bed.waited_ms, AUDIT_LATE_MS / 2);
}
END_TEST

/* It was there, but the copy of its trees went with its memory. */
static void crash_when_asked(struct audit_bed *b, struct bed_region *to, const struct audit_request *q)
{
	if (q->kind != AUDIT_ROOTS || to->id != 2)
		return;
	b->on_request = NULL;
	carry_all();
	crash(1);
}

START_TEST(a_region_that_was_started_since_the_mark_is_late)
{
	bed.on_request = crash_when_asked;
	struct audit_report *r = audit_with(false);
	ck_assert_int_eq(r->regions[1].standing, AUDIT_LATE);
	ck_assert_uint_lt(bed.waited_ms, AUDIT_LATE_MS);
	check_equal(audit_with(false));
}
END_TEST

/* --- settling while things happen --- */

static void write_hot(struct audit_bed *b)
{
	uint64_t id = 10 + random_below(&b->random, 10);

	(void)try_write(at(0), set_payload_of(at(0), "c", id, "k", (int64_t)random_below(&b->random, 1000)));
	write_something(b);
}

static void write_on_request(struct audit_bed *b, struct bed_region *to UNUSED, const struct audit_request *q UNUSED)
{
	write_hot(b);
	(void)carry(&b->regions[1 + random_below(&b->random, 2)], 1);
}

/* All ops everywhere, and nobody writes. */
static void be_quiet(void)
{
	bed.meanwhile = NULL;
	bed.on_request = NULL;
	carry_all();
}

/* Rows that are being written are cured too, in the primary as in others: never an op is lost or applied twice. A row that was
 * written over meanwhile, or all the time, is left to the next audit. */
START_TEST(rows_are_settled_while_they_are_written)
{
	unsigned i = (unsigned)_i;
	uint64_t repaired = 0;

	for (unsigned k = 0; k < 150; k++) {
		uint64_t id = 10 + random_below(&bed.random, 10);
		write_well(at(0), upsert_of(at(0), "c", id, 1));
		carry_all();
		damage_payload(i, id);
		bed.meanwhile = write_hot;
		bed.on_request = write_on_request;
		struct audit_report *r = audit_with(false);
		ck_assert_uint_eq(r->unrepaired, 0);
		be_quiet();
		if (r->repaired == 0)
			ck_assert_uint_le(audit_with(false)->repaired, 1);
		carry_all();
		ck_assert_msg(same_trees(0, 1) && same_trees(0, 2), "round %u, repaired %u", k, (unsigned)r->repaired);
		repaired += r->repaired;
	}
	check_equal(audit_with(true));
	ck_assert_uint_gt(repaired, 75);
	for (uint64_t id = 1; id <= 300; id++) {
		ck_assert_int_eq(payload_number(at(1), "c", id, "n"), payload_number(at(0), "c", id, "n"));
		ck_assert_int_eq(payload_number(at(2), "c", id, "k"), payload_number(at(0), "c", id, "k"));
	}
}
END_TEST

/* It ends between the vote and the cure, or before the answer is heard. */
static void crash_at_settle(struct audit_bed *b, struct bed_region *to, const struct audit_request *q)
{
	if (q->kind != AUDIT_SETTLE)
		return;
	b->on_request = NULL;
	crash(to->id - 1u);
	to->deaf = true;
}

START_TEST(a_region_that_ends_before_its_cure_is_cured_by_the_next_audit)
{
	damage_payload(1, 17);
	bed.on_request = crash_at_settle;
	struct audit_report *r = audit_with(false);
	ck_assert_uint_eq(r->differences[AUDIT_CORRUPT], 1);
	ck_assert_uint_eq(r->unrepaired, 1);
	ck_assert(!r->points[0].repaired);
	bed.regions[1].deaf = false;
	r = audit_with(false);
	ck_assert_uint_eq(r->repaired, 1);
	check_equal(audit_with(true));
}
END_TEST

/* Its digest is right, its values are not: the fetch shows it, and nothing of it is passed on. */
START_TEST(rows_with_damaged_values_are_not_passed_on)
{
	damage_payload(0, 17);
	damage_vector(1, 17);
	struct audit_report *r = audit_with(false);
	ck_assert_uint_eq(r->differences[AUDIT_CORRUPT], 1);
	ck_assert_uint_eq(r->repaired, 0);
	ck_assert_uint_eq(r->unrepaired, 1);
	/* A deep audit knows: now nobody has a majority. */
	r = audit_with(true);
	ck_assert_uint_eq(r->repaired, 0);
	ck_assert_uint_eq(r->unrepaired, 1);
}
END_TEST

START_TEST(a_dropped_collection_ends_its_audits)
{
	damage_payload(1, 17);
	write_well(at(0), (struct intent){ .kind = OP_DROP_COLLECTION, .collection = STR("c") });
	struct audit_report *r = audit_with(true);
	ck_assert(audit_report_clean(r));
	ck_assert_uint_eq(r->shards, 0);
}
END_TEST

/* --- alone --- */

START_TEST(alone_the_tree_is_compared_with_the_rows)
{
	check_equal(audit_with(false));
	damage_tree(0, 17);
	struct audit_report *r = audit_with(false);
	ck_assert_uint_eq(r->differences[AUDIT_TREE], 1);
	ck_assert_uint_eq(r->repaired, 1);
	check_equal(audit_with(true));
	ck_assert_uint_eq(bed.requests[AUDIT_ROOTS], 0);
}
END_TEST

START_TEST(alone_values_are_compared_with_their_hashes)
{
	damage_vector(0, 17);
	check_equal(audit_with(false));
	struct audit_report *r = audit_with(true);
	ck_assert_uint_eq(r->differences[AUDIT_CORRUPT], 1);
	ck_assert_uint_eq(r->unrepaired, 1);
	ck_assert_uint_eq(r->point_count, 1);
	ck_assert(point_id_equal(r->points[0].id, id_of(17)));
	ck_assert(!r->points[0].repaired);
}
END_TEST

static void write_alone(struct audit_bed *b)
{
	write_something(b);
}

START_TEST(alone_writes_show_no_difference)
{
	bed.meanwhile = write_alone;
	for (unsigned i = 0; i < 100; i++) {
		write_something(&bed);
		check_equal(audit_with(i % 10 == 0));
	}
}
END_TEST

/* --- metrics and the thread --- */

static bool metric_says(const char *line)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1u << 20);

	metric_write(&b);
	ck_assert(!buf_append_byte(&b, '\0'));
	return strstr((const char *)b.data, line) != NULL;
}

START_TEST(metrics_say_what_the_last_audit_found)
{
	damage_missing(1, 17);
	(void)audit_with(false);
	ck_assert(metric_says("isthmus_audit_diff_points{class=\"missing\"} 1\n"));
	ck_assert(metric_says("isthmus_audit_diff_points{class=\"stale\"} 0\n"));
	(void)audit_with(false);
	ck_assert(metric_says("isthmus_audit_diff_points{class=\"missing\"} 0\n"));
	ck_assert(metric_says("isthmus_audit_late_regions 0\n"));
	ck_assert(!metric_says("isthmus_audit_last_clean_timestamp_seconds 0\n"));
}
END_TEST

START_TEST(the_thread_audits_when_asked_and_its_report_is_listed)
{
	struct bed_region *r = &bed.regions[0];
	struct buf out = BUF_INIT(1u << 20);
	struct fault f = { 0 };
	struct audit_options o = { .clock = clock_system(),
				   .store = r->region.store,
				   .catalog = r->region.catalog,
				   .committer = r->region.committer,
				   .region = "solo",
				   .hash = bed_hash };

	audit_free(TAKE(r->audit));
	ck_assert_int_eq(audit_new(&o, &r->audit, &f), ERR_NONE);
	ck_assert_int_eq(audit_ask(r->audit, false, 10, &out, &f), ERR_UNAVAILABLE);
	ck_assert_int_eq(committer_start(r->region.committer), ERR_NONE);
	ck_assert_int_eq(audit_start(r->audit), ERR_NONE);
	ck_assert_int_eq(audit_ask(r->audit, true, 20000, &out, &f), ERR_NONE);
	ck_assert(!buf_append_byte(&out, '\0'));
	ck_assert_ptr_nonnull(strstr((const char *)out.data, "\"verdict\":\"equal\""));
	ck_assert_ptr_nonnull(strstr((const char *)out.data, "\"deep\":true"));
	buf_reset(&out);
	ck_assert_int_eq(audit_list(r->audit, 10, &out), ERR_NONE);
	ck_assert(!buf_append_byte(&out, '\0'));
	ck_assert_ptr_nonnull(strstr((const char *)out.data, "\"running\":false"));
	ck_assert_ptr_nonnull(strstr((const char *)out.data, "{\"region\":\"solo\","));
	ck_assert_ptr_nonnull(strstr((const char *)out.data, "\"name\":\"solo\""));
	audit_stop(r->audit);
	ck_assert_int_eq(audit_ask(r->audit, false, 10, &out, &f), ERR_UNAVAILABLE);
	buf_release(&out);
}
END_TEST

static void *ask_often(void *arg)
{
	struct audit *a = arg;

	for (unsigned i = 0; i < 20; i++) {
		struct buf out = BUF_INIT(1u << 20);
		struct fault f = { 0 };
		enum err err = audit_ask(a, i % 2, 30000, &out, &f);
		const char *equal = "\"verdict\":\"equal\"";
		bool good = !err && !buf_append_byte(&out, '\0') && strstr((const char *)out.data, equal);
		buf_release(&out);
		if (!good)
			return arg;
	}
	return NULL;
}

struct threaded_write {
	struct write w;
	_Atomic bool done;
};

static void threaded_done(struct write *w)
{
	atomic_store(&CONTAINER_OF(w, struct threaded_write, w)->done, true);
}

/* For the thread sanitizer above all. */
START_TEST(audits_and_writes_run_beside_each_other)
{
	struct bed_region *r = &bed.regions[0];
	struct fault f = { 0 };
	struct audit_options o = { .clock = clock_system(),
				   .store = r->region.store,
				   .catalog = r->region.catalog,
				   .committer = r->region.committer,
				   .region = "solo",
				   .interval_ms = 1,
				   .hash = bed_hash };
	pthread_t thread;
	void *failed;
	struct intent in = upsert_of(at(0), "c", 40, 5);

	audit_free(TAKE(r->audit));
	ck_assert_int_eq(audit_new(&o, &r->audit, &f), ERR_NONE);
	ck_assert_int_eq(committer_start(r->region.committer), ERR_NONE);
	ck_assert_int_eq(audit_start(r->audit), ERR_NONE);
	ck_assert_int_eq(pthread_create(&thread, NULL, ask_often, r->audit), 0);
	for (unsigned i = 0; i < 300; i++) {
		struct threaded_write t = {
			.w = { .intents = &in, .intent_count = 1, .bytes = 100, .ack = ACK_VISIBLE, .done = threaded_done }
		};
		ck_assert_int_eq(committer_submit(r->region.committer, &t.w), ERR_NONE);
		while (!atomic_load(&t.done))
			(void)sched_yield();
		ck_assert_int_eq(t.w.err, ERR_NONE);
	}
	ck_assert_int_eq(pthread_join(thread, &failed), 0);
	ck_assert_ptr_null(failed);
	audit_stop(r->audit);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("audit");
	TCase *t = tcase_create("three");

	tcase_add_checked_fixture(t, set_up, bed_close);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_secondary_begins_no_audit);
	tcase_add_test(t, only_the_primary_may_settle_rows_and_nobody_in_anothers_name);
	tcase_add_test(t, questions_about_what_is_not_there_are_refused);
	tcase_add_test(t, equal_regions_are_equal);
	tcase_add_test(t, a_thousand_marks_under_writes_show_no_difference);
	tcase_add_test(t, deep_audits_under_writes_show_no_difference);
	tcase_add_loop_test(t, damage_is_found_classified_and_cured, 0, (int)LEN(damages));
	tcase_add_loop_test(t, a_record_that_a_start_cannot_read_is_cured, 0, 2);
	tcase_add_test(t, a_cure_survives_a_crash);
	tcase_add_test(t, damage_of_two_regions_in_one_leaf_is_judged_row_by_row);
	tcase_add_test(t, without_a_majority_nothing_is_changed);
	tcase_add_test(t, three_different_rows_are_left_to_the_operator);
	tcase_add_test(t, beyond_one_row_in_a_hundred_nothing_is_repaired);
	tcase_add_test(t, a_hundred_rows_are_cured_in_batches);
	tcase_add_test(t, a_region_that_is_behind_is_late_and_not_different);
	tcase_add_test(t, a_region_that_does_not_answer_is_not_waited_for_as_long);
	tcase_add_test(t, a_region_that_was_started_since_the_mark_is_late);
	tcase_add_loop_test(t, rows_are_settled_while_they_are_written, 0, BED_REGIONS);
	tcase_add_test(t, a_region_that_ends_before_its_cure_is_cured_by_the_next_audit);
	tcase_add_test(t, rows_with_damaged_values_are_not_passed_on);
	tcase_add_test(t, a_dropped_collection_ends_its_audits);
	tcase_add_test(t, metrics_say_what_the_last_audit_found);
	suite_add_tcase(s, t);
	t = tcase_create("alone");
	tcase_add_checked_fixture(t, set_up_alone, bed_close);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, alone_the_tree_is_compared_with_the_rows);
	tcase_add_test(t, alone_values_are_compared_with_their_hashes);
	tcase_add_test(t, alone_writes_show_no_difference);
	tcase_add_test(t, the_thread_audits_when_asked_and_its_report_is_listed);
	tcase_add_test(t, audits_and_writes_run_beside_each_other);
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
