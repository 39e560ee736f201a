/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collections that every region writes: three regions with their threads (fleet.h) write the same points while nothing of
 * one reaches the others, and are brought together again. Every value written is another number, so that the conflict
 * log says which write it means. In one phase, writes of different regions are concurrent; between phases all have seen all.
 */
#include "tests/replicator/fleet.h"

#include "replicator/conflict.h"

#define POINTS 6
#define KEYS 3
#define PHASES 6
#define WRITES 12
#define CONFLICTS_MAX 4000

static const char *const keys[KEYS] = { "a", "b", "c" };

static struct fleet fleet;

static struct region *region(uint32_t number)
{
	return &fleet.regions[number].r;
}

static void tear_down(void)
{
	fleet_free(&fleet);
}

/* --- the fleet --- */

static void set_links(bool up)
{
	fleet_lock(&fleet);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		for (uint32_t k = 0; k < i; k++)
			stream_broker_link(fleet.broker, fleet_names[i], fleet_names[k], up);
	fleet_unlock(&fleet);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		for (uint32_t k = 0; k < FLEET_REGIONS; k++) {
			atomic_store(&fleet.regions[i].cut_log[k], !up);
			atomic_store(&fleet.regions[i].cut_standing[k], !up);
		}
}

static bool have_same_logs(struct fleet *f, uint64_t number)
{
	static struct log_end ends[2][LOGS_MAX];
	uint32_t count = committer_vector(f->regions[number].r.committer, ends[0]);

	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		uint32_t other = committer_vector(f->regions[i].r.committer, ends[1]);
		if (other != count)
			return false;
		for (uint32_t k = 0; k < count; k++)
			if (ends[0][k].log != ends[1][k].log || ends[0][k].seq != ends[1][k].seq)
				return false;
	}
	return fleet_is_level(f, number);
}

static bool have_collection(struct fleet *f, uint64_t number)
{
	(void)number;
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		struct incarnation incarnation;
		if (!catalog_has(f->regions[i].r.catalog, STR("c"), &incarnation))
			return false;
	}
	return true;
}

static struct intent create_multi(void)
{
	struct intent in = create_of(region(0), "c", DISTANCE_DOT);

	in.body.config.multi_writer = true;
	return in;
}

static void set_up(void)
{
	fleet_new(&fleet);
	fleet.multi = true;
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		fleet_start(&fleet, i);
	fleet_wait(&fleet, fleet_writes, 0);
	fleet_write_well(&fleet, 0, create_multi());
	fleet_wait(&fleet, have_collection, 0);
}

/* Its vector is in the row: catalogs in memory forget slots. */
static struct intent upsert_point(uint32_t number, uint64_t id, int64_t value)
{
	struct op_point *p = region_alloc(region(number), sizeof(*p));
	struct op_vector *v = region_alloc(region(number), sizeof(*v));

	*v = sparse_of("sparse");
	*p = (struct op_point){ .id = id_of(id),
				.vectors = v,
				.vector_count = 1,
				.payload = payload_of(region(number), "a", value) };
	return (struct intent){ .kind = OP_UPSERT,
				.collection = STR("c"),
				.body = { .points = p, .point_count = 1 } };
}

static void set_key(uint32_t number, uint64_t id, const char *key, int64_t value)
{
	fleet_write_well(&fleet, number, set_payload_of(region(number), "c", id, key, value));
}

static void delete_point(uint32_t number, uint64_t id)
{
	fleet_write_well(&fleet, number, ids_intent(region(number), OP_DELETE, "c", &id, 1));
}

static void heal(void)
{
	set_links(true);
	fleet_wait(&fleet, have_same_logs, 0);
	for (uint32_t i = 1; i < FLEET_REGIONS; i++)
		ck_assert_msg(fleet_root(&fleet, i, "c") == fleet_root(&fleet, 0, "c"),
			      "region %u has other rows", i);
}

/* --- the conflict log --- */

static struct conflict found[CONFLICTS_MAX];

static uint32_t conflicts(uint32_t number)
{
	struct region *r = region(number);
	struct collection *c = catalog_get(r->catalog, STR("c"));
	struct conflict *items;
	struct store_txn *t;
	uint32_t count;

	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq(r->store->ops->begin(r->store, false, &t), ERR_NONE);
	ck_assert_int_eq(conflict_list(r->store, t, collection_incarnation(c), CONFLICTS_MAX,
				       &r->arena, &items, &count),
			 ERR_NONE);
	r->store->ops->abort(t);
	collection_unref(c);
	memcpy(found, items, count * sizeof(*items));
	return count;
}

/* Is that value among the losers of the conflicts found? */
static const struct conflict *find_loser(uint32_t count, int64_t value)
{
	for (uint32_t i = 0; i < count; i++)
		if (found[i].loss.loser_value.data &&
		    value_kind(found[i].loss.loser_value) == VALUE_INT &&
		    value_int(found[i].loss.loser_value) == value)
			return &found[i];
	return NULL;
}

/* --- the model --- */

struct model_write {
	uint64_t id;
	uint32_t key, phase, region;
	int64_t value;
	bool last; /* of its region in its phase */
};

static struct model_write writes[PHASES * FLEET_REGIONS * WRITES];
static uint32_t write_count;
static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % n;
}

static void write_randomly(uint32_t phase, uint32_t number)
{
	for (uint32_t i = 0; i < WRITES; i++) {
		struct model_write w = { .id = random_below(POINTS),
					 .key = random_below(KEYS),
					 .phase = phase,
					 .region = number,
					 .value = 1000 + write_count,
					 .last = true };
		for (uint32_t k = 0; k < write_count; k++)
			if (writes[k].id == w.id && writes[k].key == w.key &&
			    writes[k].phase == phase && writes[k].region == number)
				writes[k].last = false;
		writes[write_count++] = w;
		set_key(number, w.id, keys[w.key], w.value);
	}
}

/* Did another region write the same in that phase? */
static bool is_contested(const struct model_write *w)
{
	for (uint32_t i = 0; i < write_count; i++)
		if (writes[i].id == w->id && writes[i].key == w->key &&
		    writes[i].phase == w->phase && writes[i].region != w->region)
			return true;
	return false;
}

/* What the phase ended with, by region 0: equal everywhere. */
static int64_t winners[PHASES][POINTS][KEYS];

static void note_winners(uint32_t phase)
{
	for (uint32_t p = 0; p < POINTS; p++)
		for (uint32_t k = 0; k < KEYS; k++) {
			winners[phase][p][k] = payload_number(region(0), "c", p, keys[k]);
			for (uint32_t i = 1; i < FLEET_REGIONS; i++)
				ck_assert_int_eq(payload_number(region(i), "c", p, keys[k]),
						 winners[phase][p][k]);
		}
}

/* Every loser is told in every region; nothing else is. */
static void check_conflicts(uint32_t number)
{
	uint32_t count = conflicts(number);
	uint32_t told = 0;

	for (uint32_t i = 0; i < write_count; i++) {
		const struct model_write *w = &writes[i];
		bool contested = is_contested(w);
		bool won = winners[w->phase][w->id][w->key] == w->value;
		const struct conflict *c = find_loser(count, w->value);
		ck_assert_msg(!c || (contested && !won), "region %u tells of %lld, which lost to nobody",
			      number, (long long)w->value);
		ck_assert_msg(c || !contested || won || !w->last, "region %u does not tell of %lld",
			      number, (long long)w->value);
		told += c != NULL;
		if (c) {
			ck_assert_uint_eq(c->loss.loser.region, w->region + 1);
			ck_assert_uint_ne(c->loss.winner.region, w->region + 1);
			ck_assert_str_eq(c->loss.reason, "lww");
		}
	}
	ck_assert_uint_gt(told, 0);
}

/* --- tests --- */

START_TEST(what_a_filter_finds_is_written_only_when_that_is_asked_for)
{
	struct filter filter = { 0 };
	struct intent in = set_payload_of(region(1), "c", 1, "a", 2);

	fleet_write_well(&fleet, 1, upsert_point(1, 1, 1));
	in.body.ids = NULL;
	in.body.id_count = 0;
	in.filter = &filter;
	struct fleet_answer a = fleet_submit(&fleet, 1, in, ACK_VISIBLE, 0);
	ck_assert_int_eq(a.err, ERR_BAD_INPUT);
	ck_assert_int_eq(payload_number(region(1), "c", 1, "a"), 1);
	in.local_conditions = true;
	a = fleet_submit(&fleet, 1, in, ACK_VISIBLE, 0);
	ck_assert_msg(!a.err, "%s", a.fault.text);
	heal();
	ck_assert_int_eq(payload_number(region(2), "c", 1, "a"), 2);
}
END_TEST

START_TEST(every_region_writes_and_all_end_equal)
{
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		for (uint64_t n = 0; n < 20; n++)
			fleet_write_well(&fleet, i, upsert_point(i, i * 100 + n, (int64_t)n));
	heal();
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		ck_assert_uint_eq(count_points(region(i), "c"), 60);
		ck_assert_uint_eq(conflicts(i), 0);
	}
}
END_TEST

START_TEST(strong_means_that_most_regions_have_it)
{
	struct fleet_answer a =
		fleet_submit(&fleet, 2, upsert_point(2, 1, 1), ACK_CONFIRMED, FLEET_WAIT_MS);

	ck_assert_msg(!a.err, "%s", a.fault.text);
	ck_assert_int_eq(a.reached, ACK_CONFIRMED);
	ck_assert(position_is_multi(a.position));
	ck_assert_uint_eq((uint8_t)a.position.epoch, 3);
	set_links(false);
	a = fleet_submit(&fleet, 2, upsert_point(2, 2, 1), ACK_CONFIRMED, 300);
	ck_assert_int_eq(a.err, ERR_TIMEOUT);
	ck_assert_int_lt(a.reached, ACK_CONFIRMED);
}
END_TEST

START_TEST(regions_that_are_named_have_it_when_it_is_acknowledged)
{
	struct ack_regions first = { 0 }, all = { .count = FLEET_REGIONS };

	region_set_add(&first.these, 1);
	struct fleet_answer a = fleet_submit_regions(&fleet, 2, upsert_point(2, 1, 1), ACK_VISIBLE, &all, FLEET_WAIT_MS);
	ck_assert_msg(!a.err, "%s", a.fault.text);
	ck_assert_uint_eq(region_set_count(&a.applied.regions), FLEET_REGIONS);
	a = fleet_submit_regions(&fleet, 2, upsert_point(2, 2, 1), ACK_VISIBLE, &first, FLEET_WAIT_MS);
	ck_assert_msg(!a.err, "%s", a.fault.text);
	ck_assert_uint_ge(committer_log_seq(replicator_committer(fleet.regions[0].replicator), a.position.epoch),
			  a.position.seq);
	set_links(false);
	a = fleet_submit_regions(&fleet, 2, upsert_point(2, 3, 1), ACK_VISIBLE, &first, 300);
	ck_assert_int_eq(a.err, ERR_TIMEOUT);
	ck_assert_uint_eq(region_set_count(&a.applied.regions), 1);
	ck_assert_uint_gt(a.position.seq, 0);
}
END_TEST

/* Restarts (each a new log) and lost streams in between. */
START_TEST(concurrent_writes_end_equal_and_their_losers_are_told)
{
	random_state = 7;
	write_count = 0;
	for (uint64_t p = 0; p < POINTS; p++)
		fleet_write_well(&fleet, 0, upsert_point(0, p, 0));
	heal();
	for (uint32_t phase = 0; phase < PHASES; phase++) {
		uint32_t restarted = phase % FLEET_REGIONS;
		set_links(false);
		for (uint32_t i = 0; i < FLEET_REGIONS; i++)
			write_randomly(phase, (phase + i) % FLEET_REGIONS);
		if (phase % 2 == 1) {
			fleet_lock(&fleet);
			stream_broker_wipe(fleet.broker, fleet_names[restarted]);
			fleet_unlock(&fleet);
			fleet_stop(&fleet, restarted);
			fleet_start(&fleet, restarted);
		}
		heal();
		note_winners(phase);
	}
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		check_conflicts(i);
}
END_TEST

START_TEST(delete_wins_over_a_change_that_did_not_see_it)
{
	fleet_write_well(&fleet, 0, upsert_point(0, 1, 1));
	heal();
	set_links(false);
	set_key(1, 1, "b", 77);
	delete_point(2, 1);
	set_key(0, 1, "b", 78);
	heal();
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		ck_assert(!find_point(region(i), "c", 1).found);
		uint32_t count = conflicts(i);
		const struct conflict *earlier = find_loser(count, 77);
		ck_assert_ptr_nonnull(earlier);
		ck_assert(strcmp(earlier->loss.reason, "delete") == 0 ||
			  strcmp(earlier->loss.reason, "lww") == 0);
	}
}
END_TEST

START_TEST(ops_into_a_dropped_collection_go_nowhere)
{
	struct incarnation incarnation;
	struct intent drop = { .kind = OP_DROP_COLLECTION, .collection = STR("c") };

	fleet_write_well(&fleet, 0, upsert_point(0, 1, 1));
	heal();
	set_links(false);
	for (uint64_t n = 0; n < 20; n++)
		fleet_write_well(&fleet, 1, upsert_point(1, n, (int64_t)n));
	fleet_write_well(&fleet, 0, drop);
	fleet_write_well(&fleet, 0, create_multi());
	fleet_write_well(&fleet, 0, upsert_point(0, 500, 5));
	set_links(true);
	fleet_wait(&fleet, have_same_logs, 0);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		ck_assert(catalog_has(region(i)->catalog, STR("c"), &incarnation));
		ck_assert_uint_eq(count_points(region(i), "c"), 1);
		ck_assert(!fleet_state(&fleet, i).applier.stopped);
	}
}
END_TEST

/* --- clocks --- */

#define AHEAD_MS 60000

static void set_clock(uint32_t number, int64_t ahead_ms)
{
	atomic_store(&fleet.regions[number].clock.wall_ahead_ms, ahead_ms);
}

/* Whatever lasted there for a moment has lasted for long. */
static void age(uint32_t number)
{
	atomic_fetch_add(&fleet.regions[number].clock.mono_ahead_ns, UINT64_C(6000000000));
}

static bool has_clock_off(struct fleet *f, uint64_t number)
{
	int64_t ahead_ms;

	return replicator_clock_is_off(f->regions[number].replicator, &ahead_ms) && ahead_ms > AHEAD_MS / 2;
}

static bool has_clock_right(struct fleet *f, uint64_t number)
{
	return !has_clock_off(f, number);
}

static struct log_waits_told told[LOG_WAITS_MAX];

/* However little time passes. */
static bool waits_for_clock(struct fleet *f, uint64_t number)
{
	age((uint32_t)number);
	return replicator_waits(f->regions[number].replicator, told) == 1 && told[0].wait.kind == LOG_WAIT_CLOCK;
}

/* Its peer 0 says so. */
static bool hears_that_its_log_waits(struct fleet *f, uint64_t number)
{
	struct standing_wait waits[STANDING_WAITS_MAX];

	return peers_waits(replicator_peers(f->regions[number].replicator), 0, waits) == 1 &&
	       waits[0].kind == LOG_WAIT_CLOCK;
}

static bool waits_for_nothing(struct fleet *f, uint64_t number)
{
	struct standing_wait waits[STANDING_WAITS_MAX];

	return replicator_waits(f->regions[number].replicator, told) == 0 &&
	       peers_waits(replicator_peers(f->regions[number].replicator), 0, waits) == 0;
}

static bool has_log_of_nyc(struct fleet *f, uint64_t number)
{
	struct committer_state s;

	committer_state(f->regions[2].r.committer, &s);
	return committer_log_seq(f->regions[number].r.committer, s.multi_log) >= 1;
}

/* Region 2 writes an op that is stamped a minute ahead, before it can see that its clock is wrong. */
static void write_ahead(void)
{
	fleet_write_well(&fleet, 2, upsert_point(2, 1, 1));
	fleet_wait(&fleet, has_log_of_nyc, 0);
	for (uint32_t i = 0; i < 2; i++)
		atomic_store(&fleet.regions[2].cut_standing[i], true);
	set_clock(2, AHEAD_MS);
	fleet_write_well(&fleet, 2, upsert_point(2, 2, 2));
	for (uint32_t i = 0; i < 2; i++)
		atomic_store(&fleet.regions[2].cut_standing[i], false);
}

START_TEST(a_region_whose_clock_is_off_writes_no_more_until_it_is_right)
{
	write_ahead();
	fleet_wait(&fleet, has_clock_off, 2);
	struct fleet_answer a = fleet_submit(&fleet, 2, upsert_point(2, 3, 3), ACK_VISIBLE, 0);
	ck_assert_int_eq(a.err, ERR_UNAVAILABLE);
	ck_assert_msg(strstr(a.fault.text, "the clock of region nyc is ") && strstr(a.fault.text, " ahead of "), "%s",
		      a.fault.text);
	/* The others' are right, and what has one writer asks for none. */
	int64_t ahead_ms;
	ck_assert(!replicator_clock_is_off(fleet.regions[0].replicator, &ahead_ms));
	fleet_write_well(&fleet, 0, upsert_point(0, 4, 4));
	ck_assert(!find_point(region(0), "c", 2).found);
	/* All are as far ahead: there is nothing wrong. */
	set_clock(0, AHEAD_MS);
	set_clock(1, AHEAD_MS);
	heal();
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		ck_assert_uint_eq(count_points(region(i), "c"), 3);
	fleet_wait(&fleet, has_clock_right, 2);
	fleet_write_well(&fleet, 2, upsert_point(2, 3, 3));
}
END_TEST

START_TEST(a_log_ahead_in_time_is_told_where_it_waits_and_where_it_was_written)
{
	write_ahead();
	fleet_wait(&fleet, waits_for_clock, 0);
	ck_assert_uint_eq((uint8_t)told[0].wait.log, 3);
	ck_assert_uint_eq(told[0].wait.seq, 2);
	ck_assert(!fleet_state(&fleet, 0).applier.stopped);
	fleet_wait(&fleet, hears_that_its_log_waits, 2);
	set_clock(0, AHEAD_MS);
	set_clock(1, AHEAD_MS);
	heal();
	fleet_wait(&fleet, waits_for_nothing, 0);
	fleet_wait(&fleet, waits_for_nothing, 2);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("multi_writer");
	TCase *t = tcase_create("three regions");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, what_a_filter_finds_is_written_only_when_that_is_asked_for);
	tcase_add_test(t, every_region_writes_and_all_end_equal);
	tcase_add_test(t, strong_means_that_most_regions_have_it);
	tcase_add_test(t, regions_that_are_named_have_it_when_it_is_acknowledged);
	tcase_add_test(t, concurrent_writes_end_equal_and_their_losers_are_told);
	tcase_add_test(t, delete_wins_over_a_change_that_did_not_see_it);
	tcase_add_test(t, ops_into_a_dropped_collection_go_nowhere);
	tcase_add_test(t, a_region_whose_clock_is_off_writes_no_more_until_it_is_right);
	tcase_add_test(t, a_log_ahead_in_time_is_told_where_it_waits_and_where_it_was_written);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
