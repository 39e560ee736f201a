/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/peer_pool.h"

#include <pthread.h>
#include <sched.h>

#include "tests/gateway/peer_bed.h"

#define EU 1
#define AWAY 9
#define CALLERS 4
#define CALLS_EACH 50

static struct peer_keys keys;

/* eu answers on a loop of its own thread; us, on two more loops, asks from other threads. */
struct test {
	struct conn_limits limits;
	struct conn_shared shared;
	struct loop *loops[3];
	pthread_t threads[3];
	struct tls_holder *server_tls, *client_tls;
	struct listener *listener;
	struct peer_pool *pool;
	struct peer_link *link;
	struct request *held;
	atomic_uint served;
};

static void make_keys(void)
{
	peer_keys_make(&keys);
}

static void remove_keys(void)
{
	peer_keys_remove(&keys);
}

/* The scope that is asked for says how it is answered. */
static void serve(void *ctx, struct request *r)
{
	struct test *t = ctx;
	static const struct {
		const char *query;
		int status;
		const char *body;
	} rows[] = { { "scope=404&", 404, "no JSON" },
		     { "scope=409&", 409, "{\"status\":{\"error\":\"the log begins \\\"later\\\"\"},\"time\":0.0001}" },
		     { "scope=503&", 503, "" } };
	const char *query = r->query.len > 0 ? r->query.data : "";
	const char *body = NULL;

	atomic_fetch_add(&t->served, 1);
	r->reply.status = 200;
	for (size_t i = 0; i < LEN(rows); i++)
		if (strncmp(query, rows[i].query, strlen(rows[i].query)) == 0)
			r->reply.status = rows[i].status, body = rows[i].body;
	if (body)
		buf_append_cstr(&r->reply.body, body);
	else
		buf_printf(&r->reply.body, "%.*s?%.*s of %.*s", STR_FMT(r->path), STR_FMT(r->query), STR_FMT(r->peer_region));
	if (strncmp(query, "scope=7", 7) == 0)
		t->held = r;
	else
		request_reply(r);
}

static void *run(void *arg)
{
	ck_assert_int_eq(loop_run(arg), ERR_NONE);
	return NULL;
}

static struct test *open_test(void)
{
	struct test *t = calloc(1, sizeof(*t));
	struct fault f = { 0 };
	char address[32];

	t->limits = conn_limits_default;
	conn_shared_init(&t->shared, &t->limits);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(loop_new(clock_system(), &t->loops[i]), ERR_NONE);
	t->server_tls = peer_tls(&keys, "eu", &keys, false);
	t->client_tls = peer_tls(&keys, "us", &keys, true);
	struct listener_options lo = {
		.loop = t->loops[0],
		.limits = &t->limits,
		.shared = &t->shared,
		.tls = t->server_tls,
		.peer = true,
		.serve = serve,
		.serve_ctx = t,
		.address = "127.0.0.1:0",
	};
	ck_assert_msg(listener_new(&lo, &t->listener, &f) == ERR_NONE, "%s", f.text);
	(void)snprintf(address, sizeof(address), "localhost:%u", listener_port(t->listener));
	const struct peer_pool_region regions[] = { { "eu", EU, address }, { "away", AWAY, "127.0.0.1:1" } };
	struct peer_pool_options po = {
		.clock = clock_system(),
		.loops = t->loops + 1,
		.loop_count = 2,
		.tls = t->client_tls,
		.regions = regions,
		.region_count = LEN(regions),
	};
	ck_assert_msg(peer_pool_new(&po, &t->pool, &f) == ERR_NONE, "%s", f.text);
	t->link = peer_pool_link(t->pool);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&t->threads[i], NULL, run, t->loops[i]), 0);
	return t;
}

static void close_test(struct test *t)
{
	peer_pool_stop(t->pool);
	for (int i = 2; i >= 0; i--) {
		loop_stop(t->loops[i]);
		ck_assert_int_eq(pthread_join(t->threads[i], NULL), 0);
	}
	peer_pool_free(t->pool);
	if (t->held)
		request_reply(t->held);
	listener_free(t->listener);
	for (int i = 0; i < 3; i++)
		loop_free(t->loops[i]);
	tls_holder_free(t->server_tls);
	tls_holder_free(t->client_tls);
	free(t);
}

static enum err ask_log(struct test *t, uint8_t region, uint16_t scope, struct buf *out, struct fault *f)
{
	buf_reset(out);
	return t->link->log(t->link, region, scope, (struct position){ 513, UINT64_MAX }, out, f);
}

/* eu's name has to be looked up first, which nobody waits for. */
static void until_open(struct test *t)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);

	/* Calls take the loops in turn. */
	for (int in_a_row = 0; in_a_row < 2;) {
		enum err err = ask_log(t, EU, 0, &out, NULL);
		ck_assert(err == ERR_NONE || err == ERR_UNAVAILABLE);
		in_a_row = err ? 0 : in_a_row + 1;
	}
}

START_TEST(a_log_is_asked_for_by_scope_and_position)
{
	struct test *t = open_test();
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);
	struct fault f = { 0 };

	until_open(t);
	ck_assert_msg(ask_log(t, EU, 3, &out, &f) == ERR_NONE, "%s", f.text);
	buf_append_byte(&out, 0);
	ck_assert_str_eq((const char *)out.data,
			 "/isthmus/peer/log?scope=3&epoch=513&seq=18446744073709551615 of us.isthmus");
	close_test(t);
}
END_TEST

START_TEST(a_history_is_asked_for)
{
	struct test *t = open_test();
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);

	until_open(t);
	ck_assert_int_eq(t->link->chain(t->link, EU, &out, NULL), ERR_NONE);
	buf_append_byte(&out, 0);
	ck_assert_str_eq((const char *)out.data, "/isthmus/peer/chain? of us.isthmus");
	close_test(t);
}
END_TEST

START_TEST(orphans_are_offered)
{
	struct test *t = open_test();
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);

	until_open(t);
	struct bytes offer = { (const uint8_t *)"offer", 5 };
	ck_assert_int_eq(t->link->orphans(t->link, EU, offer, &out, NULL), ERR_NONE);
	buf_append_byte(&out, 0);
	ck_assert_str_eq((const char *)out.data, "/isthmus/peer/orphans? of us.isthmus");
	close_test(t);
}
END_TEST

START_TEST(a_standing_is_asked_for_by_scope_and_appended)
{
	struct test *t = open_test();
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);

	until_open(t);
	buf_append_cstr(&out, "before ");
	ck_assert_int_eq(t->link->standing(t->link, EU, 3, &out, NULL), ERR_NONE);
	buf_append_byte(&out, 0);
	ck_assert_str_eq((const char *)out.data, "before /isthmus/peer/standing?scope=3 of us.isthmus");
	close_test(t);
}
END_TEST

static const struct {
	uint8_t region;
	uint16_t scope;
	enum err err;
	const char *words;
} failures[] = {
	{ EU, 404, ERR_NOT_FOUND, "region eu: status 404: no JSON" },
	{ EU, 409, ERR_GAP, "region eu: status 409: the log begins \"later\"" },
	{ EU, 503, ERR_UNAVAILABLE, "region eu: status 503: " },
	{ AWAY, 0, ERR_UNAVAILABLE, "region away: Connection refused" },
	{ 77, 0, ERR_UNAVAILABLE, "region 77 is not in the configuration" },
};

START_TEST(what_is_no_answer_is_told_apart)
{
	const typeof(failures[0]) *row = &failures[_i];
	struct test *t = open_test();
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);
	struct fault f = { 0 };

	until_open(t);
	ck_assert_int_eq(ask_log(t, row->region, row->scope, &out, &f), row->err);
	ck_assert_msg(strncmp(f.text, row->words, strlen(row->words)) == 0, "%s", f.text);
	ck_assert_msg(row->scope == 0 || strlen(f.text) == strlen(row->words), "%s", f.text);
	ck_assert_uint_eq(out.len, 0);
	close_test(t);
}
END_TEST

START_TEST(an_answer_greater_than_its_place_is_refused)
{
	struct test *t = open_test();
	CLEANUP(buf_release) struct buf out = BUF_INIT(10);

	until_open(t);
	ck_assert_int_eq(ask_log(t, EU, 0, &out, NULL), ERR_UNAVAILABLE);
	close_test(t);
}
END_TEST

START_TEST(a_region_that_does_not_answer_is_waited_for_with_a_bound)
{
	struct test *t = open_test();
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);
	struct fault f = { 0 };

	until_open(t);
	ck_assert_int_eq(t->link->standing(t->link, EU, 7, &out, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "in time"));
	close_test(t);
}
END_TEST

struct caller {
	struct test *test;
	pthread_t thread;
	enum err err;
	unsigned done;
};

static void *ask_many(void *arg)
{
	struct caller *c = arg;
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);

	for (int i = 0; i < CALLS_EACH && !c->err; i++, c->done++)
		c->err = ask_log(c->test, EU, (uint16_t)(i % 3), &out, NULL);
	return NULL;
}

START_TEST(many_threads_may_ask_at_once)
{
	struct test *t = open_test();
	struct caller callers[CALLERS] = { 0 };

	until_open(t);
	for (int i = 0; i < CALLERS; i++) {
		callers[i].test = t;
		ck_assert_int_eq(pthread_create(&callers[i].thread, NULL, ask_many, &callers[i]), 0);
	}
	for (int i = 0; i < CALLERS; i++) {
		ck_assert_int_eq(pthread_join(callers[i].thread, NULL), 0);
		ck_assert_int_eq(callers[i].err, ERR_NONE);
		ck_assert_uint_eq(callers[i].done, CALLS_EACH);
	}
	close_test(t);
}
END_TEST

static void *ask_held(void *arg)
{
	struct caller *c = arg;
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);

	c->err = ask_log(c->test, EU, 7, &out, NULL);
	return NULL;
}

START_TEST(stopping_ends_calls_that_wait_and_refuses_others)
{
	struct test *t = open_test();
	struct caller c = { .test = t };
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);
	struct fault f = { 0 };

	until_open(t);
	unsigned before = atomic_load(&t->served);
	ck_assert_int_eq(pthread_create(&c.thread, NULL, ask_held, &c), 0);
	while (atomic_load(&t->served) == before)
		sched_yield();
	peer_pool_stop(t->pool);
	ck_assert_int_eq(pthread_join(c.thread, NULL), 0);
	ck_assert_int_eq(c.err, ERR_UNAVAILABLE);
	ck_assert_int_eq(ask_log(t, EU, 0, &out, &f), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(f.text, "stopped"));
	close_test(t);
}
END_TEST

START_TEST(who_is_reached_is_known_to_every_thread)
{
	struct test *t = open_test();
	struct peer_reach reach = { 0 };

	until_open(t);
	while (!reach.open || reach.rtt_us == 0)
		ck_assert(peer_pool_reach(t->pool, EU, &reach));
	ck_assert(peer_pool_reach(t->pool, AWAY, &reach));
	ck_assert(!reach.open);
	ck_assert(!peer_pool_reach(t->pool, 77, &reach));
	close_test(t);
}
END_TEST

START_TEST(an_address_that_is_none_is_refused)
{
	static const char *const wrong[] = { "", "eu", "eu:", ":6335", "eu:0", "eu:65536", "eu:6335x", "[::1]", "eu:-1" };
	struct loop *loop;
	struct fault f = { 0 };

	ck_assert_int_eq(loop_new(clock_system(), &loop), ERR_NONE);
	for (size_t i = 0; i < LEN(wrong); i++) {
		const struct peer_pool_region region = { "eu", EU, wrong[i] };
		struct peer_pool_options po = { .clock = clock_system(), .loops = &loop, .loop_count = 1, .regions = &region,
						.region_count = 1 };
		struct peer_pool *p;
		ck_assert_msg(peer_pool_new(&po, &p, &f) == ERR_CONFIG, "%s", wrong[i]);
	}
	loop_free(loop);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("peer_pool");
	TCase *t = tcase_create("peer_pool");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, make_keys, remove_keys);
	tcase_add_test(t, an_address_that_is_none_is_refused);
	tcase_add_loop_test(t, what_is_no_answer_is_told_apart, 0, LEN(failures));
	tcase_add_test(t, an_answer_greater_than_its_place_is_refused);
	tcase_add_test(t, a_log_is_asked_for_by_scope_and_position);
	tcase_add_test(t, a_standing_is_asked_for_by_scope_and_appended);
	tcase_add_test(t, a_history_is_asked_for);
	tcase_add_test(t, orphans_are_offered);
	tcase_add_test(t, a_region_that_does_not_answer_is_waited_for_with_a_bound);
	tcase_add_test(t, many_threads_may_ask_at_once);
	tcase_add_test(t, stopping_ends_calls_that_wait_and_refuses_others);
	tcase_add_test(t, who_is_reached_is_known_to_every_thread);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
