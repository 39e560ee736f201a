/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three leases running in one process, with their threads: messages are handed over directly, what is stored is kept in
 * memory. Times are short; nothing is judged by them.
 */
#include "replicator/lease_run.h"


#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VOTERS 3
#define WAIT_MS 20000

struct site {
	uint8_t region;
	struct lease_run *run;
	atomic_bool deaf;         /* takes no messages */
	atomic_bool stuck;        /* who sends to it waits until it is not any more */
	atomic_bool refuses_to_begin;
	atomic_bool declines;     /* does not release */
	atomic_uint changes;
	pthread_mutex_t lock;     /* guards the rest */
	struct position position;
	uint64_t promised;
};

static struct site sites[VOTERS];

static void pause_a_moment(void)
{
	struct timespec moment = { .tv_nsec = 1000000 };

	(void)nanosleep(&moment, NULL);
}

static enum err fake_send(void *ctx, uint8_t region, struct bytes frame, struct fault *f)
{
	struct site *from = ctx;
	struct site *to = &sites[region - 1];

	while (atomic_load(&to->stuck))
		pause_a_moment();
	if (atomic_load(&to->deaf) || atomic_load(&from->deaf) || to->run == NULL)
		return fault_set(f, ERR_UNAVAILABLE, "cut off");
	return lease_run_receive(to->run, from->region, frame, f);
}

static enum err fake_persist(void *ctx, struct promise *p, struct fault *f)
{
	struct site *s = ctx;
	enum err err = ERR_NONE;

	(void)pthread_mutex_lock(&s->lock);
	if (p->epoch != 0 && p->epoch <= MAX(s->promised, s->position.epoch))
		err = fault_set(f, ERR_ALREADY_EXISTS, "promised already");
	if (!err)
		s->promised = MAX(s->promised, p->epoch);
	p->position = s->position;
	(void)pthread_mutex_unlock(&s->lock);
	return err;
}

static enum err fake_copy(void *ctx, uint8_t region, struct position upto, struct fault *f)
{
	struct site *s = ctx;

	(void)region;
	(void)f;
	(void)pthread_mutex_lock(&s->lock);
	s->position = upto;
	(void)pthread_mutex_unlock(&s->lock);
	return ERR_NONE;
}

/* Its followers have it at once. */
static enum err fake_begin(void *ctx, uint64_t epoch, struct fault *f)
{
	struct site *s = ctx;

	if (atomic_load(&s->refuses_to_begin))
		return fault_set(f, ERR_IO, "the disk is gone");
	if (!lease_run_may_write(s->run, epoch, /* begun: */ false))
		return fault_set(f, ERR_NOT_PRIMARY, "no lease");
	for (unsigned i = 0; i < VOTERS; i++) {
		if (atomic_load(&sites[i].deaf))
			continue;
		(void)pthread_mutex_lock(&sites[i].lock);
		sites[i].position = (struct position){ epoch, 1 };
		(void)pthread_mutex_unlock(&sites[i].lock);
	}
	return ERR_NONE;
}

static enum err fake_hand_over(void *ctx, uint8_t target, struct position *ret_end, struct fault *f)
{
	struct site *s = ctx;

	*ret_end = (struct position){ 0 };
	if (atomic_load(&s->declines))
		return fault_set(f, ERR_TIMEOUT, "the target is behind");
	(void)pthread_mutex_lock(&s->lock);
	s->position.seq++;
	*ret_end = s->position;
	(void)pthread_mutex_unlock(&s->lock);
	(void)pthread_mutex_lock(&sites[target - 1].lock);
	sites[target - 1].position = *ret_end;
	(void)pthread_mutex_unlock(&sites[target - 1].lock);
	return ERR_NONE;
}

static void fake_here(void *ctx, struct lease_here *ret_here)
{
	struct site *s = ctx;

	(void)pthread_mutex_lock(&s->lock);
	*ret_here = (struct lease_here){
		.position = s->position,
		.confirmed = s->position,
		.epoch = s->position.epoch,
		.stamp_ms = clock_wall_ms(clock_system()),
	};
	(void)pthread_mutex_unlock(&s->lock);
}

static const char *fake_name(void *ctx, uint8_t region)
{
	static const char *const names[] = { "?", "ams", "fra", "nyc" };

	(void)ctx;
	return names[region <= VOTERS ? region : 0];
}

static void fake_changed(void *ctx)
{
	struct site *s = ctx;

	atomic_fetch_add(&s->changes, 1);
}

static void start_site(uint8_t region)
{
	static const struct lease_config times = {
		.hold_ms = 1000,
		.wait_ms = 1375,
		.renew_ms = 250,
		.drift_percent = 10,
		.rank_ms = 100,
		.linger_ms = 60,
		.step_ms = 300,
		.poll_ms = 80,
		.max_loss_ms = 30000,
		.clock_offset_ms_max = 500,
	};
	struct site *s = &sites[region - 1];
	uint8_t others[VOTERS - 1];
	struct lease_run_options o = {
		.clock = clock_system(),
		.fleet = 77,
		.lease = { .data = true,
			   .self = { .region = region, .store_id = { region }, .boots = 1, .nonce = region },
			   .config = times,
			   .proposed = { .count = VOTERS } },
		.regions = others,
		.send = fake_send,
		.persist = fake_persist,
		.copy = fake_copy,
		.begin = fake_begin,
		.hand_over = fake_hand_over,
		.here = fake_here,
		.name = fake_name,
		.changed = fake_changed,
		.ctx = s,
	};
	struct fault f = { 0 };

	for (uint8_t i = 0; i < VOTERS; i++) {
		o.lease.proposed.members[i] = (struct voter){ .region = (uint8_t)(i + 1), .data = true };
		if (i + 1 != region)
			others[o.region_count++] = (uint8_t)(i + 1);
	}
	ck_assert_msg(!lease_run_new(&o, &s->run, &f), "%s", f.text);
}

static void set_up(void)
{
	for (unsigned i = 0; i < VOTERS; i++) {
		sites[i] = (struct site){ .region = (uint8_t)(i + 1) };
		(void)pthread_mutex_init(&sites[i].lock, NULL);
	}
	for (uint8_t i = 1; i <= VOTERS; i++)
		start_site(i);
}

static void start_all(void)
{
	struct fault f = { 0 };

	for (unsigned i = 0; i < VOTERS; i++)
		ck_assert_msg(!lease_run_start(sites[i].run, &f), "%s", f.text);
}

static void tear_down(void)
{
	for (unsigned i = 0; i < VOTERS; i++)
		atomic_store(&sites[i].stuck, false);
	for (unsigned i = 0; i < VOTERS; i++)
		lease_run_stop(sites[i].run);
	for (unsigned i = 0; i < VOTERS; i++) {
		lease_run_free(sites[i].run);
		(void)pthread_mutex_destroy(&sites[i].lock);
	}
}

static bool writes(const struct site *s)
{
	struct lease_run_state state;

	lease_run_state(s->run, &state);
	return state.epoch != 0 && lease_run_may_write(s->run, state.epoch, /* begun: */ true);
}

/* Waits for one of them but for `except` to write; NULL: nobody did. */
static struct site *wait_for_writer(const struct site *except)
{
	for (unsigned i = 0; i < WAIT_MS; i++) {
		for (unsigned k = 0; k < VOTERS; k++)
			if (&sites[k] != except && writes(&sites[k]))
				return &sites[k];
		pause_a_moment();
	}
	return NULL;
}

static uint64_t list_number(const struct site *s)
{
	struct lease_run_state state;

	lease_run_state(s->run, &state);
	return state.voters.number;
}

/* From then on a majority is enough: before, all stores have to be known. */
static void wait_for_list_one(void)
{
	for (unsigned i = 0, with = 0; i < WAIT_MS && with < VOTERS; i++) {
		with = 0;
		for (unsigned k = 0; k < VOTERS; k++)
			with += list_number(&sites[k]) == 1;
		pause_a_moment();
	}
}

START_TEST(one_of_three_comes_to_write)
{
	struct lease_run_state s;

	start_all();
	struct site *writer = wait_for_writer(NULL);
	ck_assert_ptr_nonnull(writer);
	lease_run_state(writer->run, &s);
	ck_assert(s.begun && s.valid_ms > 0 && s.won == 1 && (uint8_t)s.epoch == writer->region);
	ck_assert_uint_eq(lease_run_ended_ms(writer->run), 0);
	/* Told behind the lock that the state is read under. */
	for (unsigned i = 0; i < WAIT_MS && atomic_load(&writer->changes) == 0; i++)
		pause_a_moment();
	ck_assert_uint_gt(atomic_load(&writer->changes), 0);
	for (unsigned i = 0; i < VOTERS; i++)
		if (&sites[i] != writer)
			ck_assert_uint_eq(lease_run_ended_ms(sites[i].run), UINT64_MAX);
}
END_TEST

START_TEST(another_writes_when_the_writer_is_cut_off_and_that_one_does_not)
{
	start_all();
	struct site *first = wait_for_writer(NULL);
	ck_assert_ptr_nonnull(first);
	wait_for_list_one();
	atomic_store(&first->deaf, true);
	struct site *second = wait_for_writer(first);
	ck_assert_ptr_nonnull(second);
	/* Its lease had ended before the other could get one. */
	ck_assert(!writes(first));
	ck_assert(lease_run_ended_ms(first->run) != UINT64_MAX);
}
END_TEST

START_TEST(region_that_never_answers_keeps_no_other_waiting)
{
	start_all();
	struct site *first = wait_for_writer(NULL);
	ck_assert_ptr_nonnull(first);
	wait_for_list_one();
	struct site *stuck = &sites[first->region % VOTERS];
	atomic_store(&stuck->stuck, true);
	struct site *last = &sites[(first->region + 1) % VOTERS];
	struct position end;
	struct fault f = { 0 };
	ck_assert_msg(!lease_run_hand_over(first->run, last->region, &end, &f), "%s", f.text);
	ck_assert_ptr_eq(wait_for_writer(first), last);
}
END_TEST

START_TEST(region_that_cannot_begin_lets_another_one)
{
	atomic_store(&sites[0].refuses_to_begin, true);
	start_all();
	struct site *writer = wait_for_writer(NULL);
	ck_assert_ptr_nonnull(writer);
	ck_assert(writer != &sites[0]);
}
END_TEST

START_TEST(handover_goes_to_the_region_named_and_tells_the_end)
{
	struct position end;
	struct fault f = { 0 };

	start_all();
	struct site *first = wait_for_writer(NULL);
	ck_assert_ptr_nonnull(first);
	struct site *target = &sites[first->region % VOTERS];
	ck_assert_msg(!lease_run_hand_over(first->run, target->region, &end, &f), "%s", f.text);
	ck_assert_uint_eq((uint8_t)end.epoch, first->region);
	ck_assert_ptr_eq(wait_for_writer(first), target);
	ck_assert_int_eq(lease_run_hand_over(first->run, target->region, &end, &f), ERR_NOT_PRIMARY);
}
END_TEST

START_TEST(handover_that_was_not_done_leaves_the_writer)
{
	struct position end;
	struct fault f = { 0 };

	start_all();
	struct site *first = wait_for_writer(NULL);
	ck_assert_ptr_nonnull(first);
	atomic_store(&first->declines, true);
	ck_assert_int_eq(lease_run_hand_over(first->run, (uint8_t)(first->region % VOTERS + 1), &end, &f), ERR_TIMEOUT);
	ck_assert_uint_eq(end.epoch, 0);
	ck_assert_ptr_eq(wait_for_writer(NULL), first);
}
END_TEST

static enum err receive(uint8_t certificate, uint64_t fleet, uint8_t from, struct fault *f)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(LEASE_FRAME_BYTES_MAX);
	struct lease_item item = { .kind = LEASE_POLL, .answer = LEASE_ANSWER_REQUEST };
	struct lease_frame frame = {
		.fleet = fleet, .from = { .region = from, .nonce = 5, .boots = 1 }, .wall_ms = 1, .items = &item, .count = 1
	};

	ck_assert_int_eq(lease_frame_encode(&frame, &b), ERR_NONE);
	return lease_run_receive(sites[0].run, certificate, buf_bytes(&b), f);
}

START_TEST(messages_of_other_fleets_and_under_other_certificates_are_refused_by_name)
{
	struct fault f = { 0 };

	ck_assert_int_eq(receive(2, 77, 2, &f), ERR_NONE);
	ck_assert_int_eq(receive(2, 78, 2, &f), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(f.text, "fleet.name"));
	ck_assert_int_eq(receive(3, 77, 2, &f), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(f.text, "certificate of region 3"));
	ck_assert_int_eq(lease_run_receive(sites[0].run, 2, (struct bytes){ (const uint8_t *)"x", 1 }, &f), ERR_CORRUPT);
}
END_TEST

START_TEST(messages_of_a_region_with_the_own_id_or_of_another_version_are_refused_by_name)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(LEASE_FRAME_BYTES_MAX);
	struct lease_item item = { .kind = LEASE_POLL, .answer = LEASE_ANSWER_REQUEST };
	struct lease_frame frame = {
		.fleet = 77, .from = { .region = 2, .nonce = 5, .boots = 1 }, .wall_ms = 1, .items = &item, .count = 1
	};
	struct fault f = { 0 };

	ck_assert_int_eq(receive(1, 77, 1, &f), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(f.text, "this one's id 1"));
	ck_assert_int_eq(lease_frame_encode(&frame, &b), ERR_NONE);
	b.data[4] = 9;
	ck_assert_int_eq(lease_run_receive(sites[0].run, 2, buf_bytes(&b), &f), ERR_VERSION);
	ck_assert_ptr_nonnull(strstr(f.text, "version 9"));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		one_of_three_comes_to_write,
		another_writes_when_the_writer_is_cut_off_and_that_one_does_not,
		region_that_never_answers_keeps_no_other_waiting,
		region_that_cannot_begin_lets_another_one,
		handover_goes_to_the_region_named_and_tells_the_end,
		handover_that_was_not_done_leaves_the_writer,
		messages_of_other_fleets_and_under_other_certificates_are_refused_by_name,
		messages_of_a_region_with_the_own_id_or_of_another_version_are_refused_by_name,
	};
	Suite *s = suite_create("lease_run");
	TCase *t = tcase_create("three");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	for (size_t i = 0; i < LEN(tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
