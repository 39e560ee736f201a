/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lease as a whole: what it is made of, and random histories of whole fleets. LEASE_HISTORIES says how many,
 * LEASE_SEED the first; a failing one names itself.
 */
#include "replicator/lease.h"

#include <malloc.h>

#include "tests/replicator/lease_fleet.h"

/* Sanitizers are slow. lease_mutants.sh says how many it takes to notice a broken rule. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HISTORIES 1500
#else
#define HISTORIES 20000
#endif

static struct fleet *fleet;

static void set_up(void)
{
	fleet = calloc(1, sizeof(*fleet));
	ck_assert_ptr_nonnull(fleet);
}

static void tear_down(void)
{
	fleet_release_all(fleet);
	free(fleet);
}

START_TEST(a_lease_without_margins_or_voters_is_not_made)
{
	struct lease_options o = {
		.self = { .region = 1, .nonce = 1 },
		.data = true,
		.config = LEASE_CONFIG_DEFAULT,
		.proposed = { .count = 1, .members = { { .region = 1, .data = true } } },
	};
	const struct lease_now now = { 1000, 1000 };
	struct lease *l = NULL;
	struct fault f = { 0 };

	o.config.wait_ms = 4000;
	ck_assert_int_eq(lease_new(&o, now, &l, &f), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(f.text, "WAIT"));
	o.config = LEASE_CONFIG_DEFAULT;
	o.proposed.count = 0;
	ck_assert_int_eq(lease_new(&o, now, &l, &f), ERR_CONFIG);
	o.proposed.count = 1;
	o.self.nonce = 0;
	ck_assert_int_eq(lease_new(&o, now, &l, &f), ERR_CONFIG);
	o.self.nonce = 1;
	o.self.region = 0;
	ck_assert_int_eq(lease_new(&o, now, &l, &f), ERR_CONFIG);
	ck_assert_ptr_null(l);
	o.self.region = 1;
	ck_assert_int_eq(lease_new(&o, now, &l, &f), ERR_NONE);
	lease_free(l);
	lease_free(NULL);
}
END_TEST

START_TEST(a_stored_list_comes_before_the_configured_one)
{
	struct lease_record record = { .list = { .number = 4, .epoch = 9, .count = 1 } };
	record.list.members[0] = (struct voter){ .region = 1, .data = true, .store_id = { 1 } };
	struct lease_options o = {
		.self = { .region = 1, .nonce = 1, .store_id = { 1 } },
		.data = true,
		.config = LEASE_CONFIG_DEFAULT,
		.proposed = { .count = 3 }, /* not even sound: it does not matter any more */
		.record = &record,
	};
	struct lease *l;

	ck_assert_int_eq(lease_new(&o, (struct lease_now){ 1, 1 }, &l, NULL), ERR_NONE);
	ck_assert_uint_eq(lease_voters(l)->number, 4);
	ck_assert_uint_eq(lease_voters(l)->count, 1);
	lease_free(l);
}
END_TEST

START_TEST(every_reason_and_event_has_a_word)
{
	ck_assert_str_eq(lease_reason_name(LEASE_REASON_EXPIRED), "expired");
	ck_assert_str_eq(lease_event_name(LEASE_EVENT_WON), "primary");
	ck_assert_ptr_null(lease_reason_name((enum lease_reason)99));
	ck_assert_ptr_null(lease_event_name((enum lease_event)99));
}
END_TEST

START_TEST(the_same_inputs_give_the_same_history)
{
	uint64_t hashes[2];

	for (int i = 0; i < 2; i++) {
		fleet_init(fleet, 5, 3, 2);
		fleet->loss_permille = 100;
		fleet_start_all(fleet);
		fleet_run(fleet, 4000);
		fleet_crash(fleet, 0);
		fleet_run(fleet, 15000);
		hashes[i] = fleet->random ^ fleet->order << 20 ^ fleet->epoch_count;
		fleet_release_all(fleet);
		memset(fleet->regions, 0, sizeof(fleet->regions));
	}
	ck_assert_uint_eq(hashes[0], hashes[1]);
}
END_TEST

/* --- random histories --- */

enum fault_kind { F_CRASH, F_SUSPEND, F_CUT_ONE_WAY, F_ISOLATE, F_STALL, F_WALL, F_HAND_OVER, F_NOISE, F_LIST,
		  F_KINDS };

struct one_fault {
	uint64_t at, ends;
	enum fault_kind kind;
	uint8_t region, other;
	bool began, ended;
};

#define FAULTS_MAX 6
#define FAULTS_BEGIN_MS 2500
#define FAULTS_FOR_MS 9000

/* Whoever is the primary takes the last region out of the voter list, or puts it in. */
static void change_list(struct fleet *f)
{
	const struct fleet_region *last = &f->regions[f->count - 1];

	for (uint32_t i = 0; i < f->count; i++) {
		struct fleet_region *r = &f->regions[i];
		struct fault words;

		if (!fleet_runs(r))
			continue;
		struct voter_list next = *lease_voters(r->lease);
		next.number++;
		if (next.members[next.count - 1].region == last->id) {
			next.count--;
		} else {
			struct voter *v = &next.members[next.count++];
			*v = (struct voter){ .region = last->id, .data = last->data };
			memcpy(v->store_id, last->store_id, STORE_ID_BYTES);
		}
		if (lease_propose(r->lease, fleet_clock(f, r), &next, &f->out, &words) == ERR_NONE)
			fleet_act(f, r);
	}
}

static void fault_begin(struct fleet *f, struct one_fault *x)
{
	struct fleet_region *r = &f->regions[x->region];
	struct fault words;

	switch (x->kind) {
	case F_CRASH:
		if (r->up)
			fleet_crash(f, x->region);
		break;
	case F_SUSPEND:
		if (fleet_runs(r))
			fleet_suspend(f, x->region, x->other % 2);
		break;
	case F_CUT_ONE_WAY:
		f->cut[x->region][x->other] = true;
		break;
	case F_ISOLATE:
		for (uint32_t i = 0; i < f->count; i++)
			f->cut[x->region][i] = f->cut[i][x->region] = true;
		break;
	case F_STALL:
		r->stalled_since_ms = f->now;
		break;
	case F_WALL:
		r->wall_offset_ms += (int64_t)fleet_below(f, 20000) - 10000;
		break;
	case F_HAND_OVER:
		if (fleet_runs(r) && lease_hand_over(r->lease, fleet_clock(f, r), f->regions[x->other].id, &f->out, &words) == ERR_NONE)
			fleet_act(f, r);
		break;
	case F_NOISE:
		f->loss_permille = 200;
		f->double_permille = 200;
		f->late_permille = 200;
		f->late_ms_max = 3000;
		break;
	case F_LIST:
		change_list(f);
		break;
	case F_KINDS:
		break;
	}
}

static void all_well(struct fleet *f)
{
	memset(f->cut, 0, sizeof(f->cut));
	f->loss_permille = f->double_permille = f->late_permille = 0;
	for (uint32_t i = 0; i < f->count; i++) {
		struct fleet_region *r = &f->regions[i];

		r->stalled_since_ms = 0;
		r->wall_offset_ms = (int64_t)fleet_below(f, 200) - 100;
		if (r->suspended)
			fleet_resume(f, i);
		if (!r->up)
			fleet_start(f, i);
	}
}

static void fault_end(struct fleet *f, struct one_fault *x)
{
	struct fleet_region *r = &f->regions[x->region];

	switch (x->kind) {
	case F_CRASH:
		if (!r->up)
			fleet_start(f, x->region);
		break;
	case F_SUSPEND:
		if (r->up && r->suspended)
			fleet_resume(f, x->region);
		break;
	case F_CUT_ONE_WAY:
	case F_ISOLATE:
		memset(f->cut, 0, sizeof(f->cut));
		break;
	case F_STALL:
		r->stalled_since_ms = 0;
		break;
	case F_WALL:
		r->wall_offset_ms = 0;
		break;
	case F_NOISE:
		f->loss_permille = f->double_permille = f->late_permille = 0;
		break;
	case F_LIST:
		change_list(f);
		break;
	case F_HAND_OVER:
	case F_KINDS:
		break;
	}
}

static void make_faults(struct fleet *f, struct one_fault *faults, uint32_t count)
{
	/* Both clocks of a region may not be wrong at once: then only the fence is left. */
	bool walls = fleet_chance(f, 500);

	for (uint32_t i = 0; i < count; i++) {
		struct one_fault *x = &faults[i];

		*x = (struct one_fault){ .at = FAULTS_BEGIN_MS + fleet_below(f, FAULTS_FOR_MS - 1000) };
		x->ends = x->at + 200 + fleet_below(f, 7000);
		x->kind = (enum fault_kind)fleet_below(f, F_KINDS);
		if (x->kind == F_WALL && !walls)
			x->kind = F_CRASH;
		x->region = (uint8_t)fleet_below(f, f->count);
		x->other = (uint8_t)((x->region + 1 + fleet_below(f, f->count - 1)) % f->count);
		if (x->kind == F_SUSPEND && walls)
			x->other = 0;
	}
}

/* Begins and ends faults as their times come. */
static void run_faults(struct fleet *f, struct one_fault *faults, uint32_t count)
{
	uint64_t stop = FAULTS_BEGIN_MS + FAULTS_FOR_MS;

	while (f->now < stop && f->wrong == NULL) {
		uint64_t next = stop;

		for (uint32_t i = 0; i < count; i++) {
			struct one_fault *x = &faults[i];

			if (!x->began && x->at <= f->now) {
				x->began = true;
				fault_begin(f, x);
			}
			if (x->began && !x->ended && x->ends <= f->now) {
				x->ended = true;
				fault_end(f, x);
			}
			uint64_t due = x->began ? x->ends : x->at;
			if (!x->ended && due > f->now)
				next = MIN(next, due);
		}
		fleet_run(f, next);
	}
}

/* The last may be a region that is no voter at first. */
static const struct {
	uint32_t data, witnesses, voters;
} shapes[] = { { 3, 0, 3 }, { 2, 1, 3 }, { 3, 2, 5 }, { 4, 0, 3 }, { 4, 0, 4 }, { 3, 0, 3 }, { 5, 0, 4 } };

static void begin_history(struct fleet *f, uint64_t seed)
{
	uint32_t shape = (uint32_t)(seed % LEN(shapes));

	fleet_init(f, seed, shapes[shape].data, shapes[shape].witnesses);
	f->proposed.count = shapes[shape].voters;
	f->on_the_wire = seed % 16 == 0;
	f->greets = seed % 4 == 0;
	f->hand_over_waits = seed % 3 != 0;
	for (uint32_t i = 0; i < f->count; i++)
		f->regions[i].rate_permille = 900 + fleet_below(f, 201);
}

static void end_history(struct fleet *f)
{
	fleet_release_all(f);
	memset(f->regions, 0, sizeof(f->regions));
}

/* One history; what is wrong with it, or NULL. */
static const char *history(struct fleet *f, uint64_t seed)
{
	struct one_fault faults[FAULTS_MAX];

	begin_history(f, seed);
	uint32_t count = 1 + (uint32_t)fleet_below(f, FAULTS_MAX);
	make_faults(f, faults, count);
	fleet_start_all(f);
	run_faults(f, faults, count);
	all_well(f);
	uint64_t well_ms = f->now;
	if (fleet_run_to_holder(f, 9000) < 0)
		fleet_wrong(f, "nobody may write 9 s after the last fault", seed, 0);
	/* A handover may still be under way, a promise that a fault left behind may have to be lifted. */
	fleet_run(f, f->now + 4000);
	uint32_t epochs = f->epoch_count;
	fleet_run(f, f->now + 2000);
	if (f->epoch_count > epochs)
		fleet_wrong(f, "the lease moves without a fault", epochs, f->epoch_count);
	/* One that was still valid then may have run out for what was the matter before. */
	if (fleet_run_to_holder(f, well_ms + 9000 - f->now) < 0)
		fleet_wrong(f, "the lease was lost without a fault", seed, 0);
	/* Each fault begins and ends. */
	if (f->epoch_count > 2 * count + 2)
		fleet_wrong(f, "more elections than faults", f->epoch_count, count);
	return f->wrong;
}

/* With clocks that say nothing anybody may think that it holds; only promises, copies and the fence are left. */
static const char *history_without_leases(struct fleet *f, uint64_t seed)
{
	struct one_fault faults[FAULTS_MAX];

	begin_history(f, seed);
	f->clocks_lie = true;
	for (uint32_t i = 0; i < f->count; i++)
		f->regions[i].rate_permille = 300 + fleet_below(f, 4000);
	make_faults(f, faults, FAULTS_MAX);
	fleet_start_all(f);
	run_faults(f, faults, FAULTS_MAX);
	all_well(f);
	fleet_run(f, f->now + 8000);
	return f->wrong;
}

static void run_histories(const char *(*one)(struct fleet *, uint64_t))
{
	const char *asked = getenv("LEASE_HISTORIES"), *from = getenv("LEASE_SEED");
	uint64_t count = asked != NULL ? strtoull(asked, NULL, 10) : HISTORIES;
	uint64_t first = from != NULL ? strtoull(from, NULL, 10) : 1;
	uint32_t bad = 0;
	uint64_t epochs = 0;

	for (uint64_t seed = first; seed < first + count && bad < 8; seed++) {
		const char *wrong = one(fleet, seed);

		if (wrong != NULL) {
			printf("LEASE_SEED=%" PRIu64 " LEASE_HISTORIES=1: %s\n", seed, wrong);
			bad++;
		}
		epochs += fleet->epoch_count;
		end_history(fleet);
	}
	ck_assert_uint_eq(bad, 0);
	/* Something has to happen in them. */
	ck_assert_uint_ge(epochs, count);
}

START_TEST(in_random_histories_one_holds_nothing_is_lost_and_somebody_writes_in_the_end)
{
	run_histories(history);
}
END_TEST

START_TEST(without_any_clock_nothing_confirmed_is_lost)
{
	run_histories(history_without_leases);
}
END_TEST

int main(void)
{
	/* Leases come and go by the hundred thousand. */
	(void)mallopt(M_TRIM_THRESHOLD, 64 << 20);
	Suite *s = suite_create("lease");
	TCase *t = tcase_create("lease");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_lease_without_margins_or_voters_is_not_made);
	tcase_add_test(t, a_stored_list_comes_before_the_configured_one);
	tcase_add_test(t, every_reason_and_event_has_a_word);
	tcase_add_test(t, the_same_inputs_give_the_same_history);
	suite_add_tcase(s, t);
	t = tcase_create("histories");
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 900);
	tcase_add_test(t, in_random_histories_one_holds_nothing_is_lost_and_somebody_writes_in_the_end);
	tcase_add_test(t, without_any_clock_nothing_confirmed_is_lost);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
