/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/h2_client.h"

#include "tests/gateway/peer_bed.h"

#define EXCHANGES_MAX 1400
#define SECOND_MS 1000

static struct peer_keys keys;   /* of the fleet */
static struct peer_keys alien;  /* of another one */

/* The server is eu, on the bed's loop; the client is us, and comes by the relay. */
struct test {
	struct bed bed;
	struct conn_shared shared;
	struct tls_holder *server_tls;
	struct tls_holder *client_tls;
	struct listener *listener;
	struct relay relay;
	struct h2_client *client;
	bool unknown_peer;
	bool no_address;
	char seen_peer[64];
	struct ask {
		struct h2_exchange x;
		struct test *test;
		uint32_t done;
	} asks[EXCHANGES_MAX];
	uint32_t ask_count;
};

static void make_keys(void)
{
	struct clock_manual then;

	peer_keys_make(&keys);
	peer_keys_make(&alien);
	clock_manual_init(&then, clock_wall_ms(clock_system()) - UINT64_C(40) * 86400 * 1000);
	peer_keys_issue(&keys, "old", &then.clock);
}

static void remove_keys(void)
{
	peer_keys_remove(&keys);
	peer_keys_remove(&alien);
}

static enum err find_address(void *ctx, uint32_t attempt UNUSED, struct sockaddr_storage *ret_address, socklen_t *ret_len,
			     struct fault *reterr_fault)
{
	const struct test *t = ctx;
	struct sockaddr_in a = relay_address(relay_port(&t->relay));

	if (t->no_address)
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "no such host");
	*ret_address = (struct sockaddr_storage){ 0 };
	memcpy(ret_address, &a, sizeof(a));
	*ret_len = sizeof(a);
	return ERR_NONE;
}

static bool knows_peer(void *ctx, struct str name)
{
	struct test *t = ctx;

	(void)snprintf(t->seen_peer, sizeof(t->seen_peer), "%.*s", STR_FMT(name));
	return !t->unknown_peer;
}

static void listen_again(struct test *t)
{
	struct fault f = { 0 };
	struct listener_options o = {
		.loop = t->bed.loop,
		.limits = &t->bed.limits,
		.shared = &t->shared,
		.tls = t->server_tls,
		.peer = true,
		.knows_peer = knows_peer,
		.knows_peer_ctx = t,
		.serve = bed_serve,
		.serve_ctx = &t->bed,
		.address = "127.0.0.1:0",
	};

	ck_assert_msg(listener_new(&o, &t->listener, &f) == ERR_NONE, "%s", f.text);
	t->relay.to = listener_port(t->listener);
}

static struct h2_client_options client_options(struct test *t)
{
	return (struct h2_client_options){
		.loop = t->bed.loop,
		.region = "eu",
		.name = "eu.isthmus",
		.tls = t->client_tls,
		.address = find_address,
		.ctx = t,
	};
}

/* With these certificates; the client opens by itself. */
static struct test *open_with(const char *server, const struct peer_keys *server_keys, const char *client,
			      const struct peer_keys *client_keys)
{
	struct test *t = calloc(1, sizeof(*t));

	bed_open(&t->bed);
	conn_shared_init(&t->shared, &t->bed.limits);
	t->server_tls = peer_tls(server_keys, server, &keys, false);
	t->client_tls = peer_tls(client_keys, client, &keys, true);
	relay_open(&t->relay, 0);
	listen_again(t);
	struct h2_client_options o = client_options(t);
	ck_assert_int_eq(h2_client_new(&o, &t->client), ERR_NONE);
	return t;
}

static struct test *open_test(void)
{
	return open_with("eu", &keys, "us", &keys);
}

static void turn(struct test *t)
{
	relay_turn(&t->relay);
	bed_turn(&t->bed, 0);
}

/* What there is to do is done, at this moment of the clock. */
static void settle(struct test *t)
{
	for (int i = 0; i < 50; i++)
		turn(t);
}

#define UNTIL(t, condition)                                                  \
	do {                                                                 \
		uint32_t _left = PEER_BED_TURNS_MAX;                         \
		while (!(condition) && _left-- > 0)                          \
			turn(t);                                             \
		ck_assert_msg((condition), "never: %s", #condition);         \
	} while (0)

static struct h2_client_state state_of(const struct test *t)
{
	struct h2_client_state s;

	h2_client_state(t->client, &s);
	return s;
}

static void close_test(struct test *t)
{
	h2_client_free(t->client);
	bed_reply_held(&t->bed);
	settle(t);
	for (uint32_t i = 0; i < t->ask_count; i++) {
		ck_assert_uint_eq(t->asks[i].done, 1);
		h2_exchange_release(&t->asks[i].x);
	}
	listener_free(t->listener);
	relay_close(&t->relay);
	tls_holder_free(t->server_tls);
	tls_holder_free(t->client_tls);
	bed_close(&t->bed);
	free(t);
}

static void on_done(struct h2_exchange *x)
{
	struct ask *a = CONTAINER_OF(x, struct ask, x);

	a->done++;
}

static struct ask *ask(struct test *t, const char *path, struct bytes body, uint64_t ms)
{
	ck_assert_uint_lt(t->ask_count, EXCHANGES_MAX);
	struct ask *a = &t->asks[t->ask_count++];

	a->test = t;
	a->x = (struct h2_exchange){
		.verb = VERB_POST,
		.path = { path, strlen(path) },
		.body = body,
		.deadline_ns = loop_now_ns(t->bed.loop) + ms * 1000000,
		.reply_bytes_max = 64u << 20,
		.done = on_done,
	};
	h2_client_send(t->client, &a->x);
	ck_assert_uint_eq(a->done, 0);
	return a;
}

static struct bytes text(const char *s)
{
	return (struct bytes){ .data = (const uint8_t *)s, .len = strlen(s) };
}

static struct ask *ask_and_wait(struct test *t, const char *path, struct bytes body)
{
	struct ask *a = ask(t, path, body, 60 * SECOND_MS);

	UNTIL(t, a->done);
	return a;
}

static void assert_failed(const struct ask *a, enum err err, bool not_taken, const char *words)
{
	ck_assert_uint_eq(a->done, 1);
	ck_assert_msg(a->x.err == err, "%s: %s", err_name(a->x.err), a->x.fault.text);
	ck_assert_msg(strstr(a->x.fault.text, words) != NULL, "%s", a->x.fault.text);
	ck_assert_int_eq(a->x.surely_not_taken, not_taken);
}

/* --- who is refused --- */

static const struct {
	const char *name;
	const char *server, *client;
	bool server_alien, client_alien, unknown;
	const char *words;          /* what the client says */
} strangers[] = {
	{ "a server of another name", "us", "us", false, false, false, "hostname mismatch" },
	{ "a server of another authority", "eu", "us", true, false, false, "unable to get local issuer" },
	{ "a server whose certificate has expired", "old", "us", false, false, false, "" },
	{ "a client of another authority", "eu", "us", false, true, false, "" },
	{ "a client whose certificate has expired", "eu", "old", false, false, false, "" },
	{ "a region that the fleet does not know", "eu", "us", false, false, true, "" },
};

/* Contexts of an expired certificate are refused when they are made; so the clock that they see stands in the past. */
static struct tls_holder *expired_tls(bool client)
{
	static struct clock_manual then;
	struct tls_options o = {
		.certificate = peer_keys_path(&keys, "old", ".pem"),
		.key = peer_keys_path(&keys, "old", ".key"),
		.client_ca = peer_keys_path(&keys, "ca", ".pem"),
		.client = client,
		.clock = &then.clock,
	};
	struct tls_context *context;
	struct tls_holder *holder;
	struct fault f = { 0 };

	clock_manual_init(&then, clock_wall_ms(clock_system()) - UINT64_C(35) * 86400 * 1000);
	ck_assert_msg(tls_context_new(&o, &context, &f) == ERR_NONE, "%s", f.text);
	ck_assert_int_eq(tls_holder_new(context, &holder), ERR_NONE);
	return holder;
}

START_TEST(strangers_are_refused)
{
	const typeof(strangers[0]) *row = &strangers[_i];
	bool old_server = strcmp(row->server, "old") == 0, old_client = strcmp(row->client, "old") == 0;
	struct test *t = open_with(old_server ? "eu" : row->server, row->server_alien ? &alien : &keys,
				   old_client ? "us" : row->client, row->client_alien ? &alien : &keys);

	t->unknown_peer = row->unknown;
	if (old_client) {
		tls_holder_free(t->client_tls);
		t->client_tls = expired_tls(true);
		h2_client_free(t->client);
		struct h2_client_options o = client_options(t);
		ck_assert_int_eq(h2_client_new(&o, &t->client), ERR_NONE);
	}
	if (old_server) {
		listener_free(t->listener);
		tls_holder_free(t->server_tls);
		t->server_tls = expired_tls(false);
		listen_again(t);
	}
	struct ask *a = ask_and_wait(t, "/echo", text("secret"));
	assert_failed(a, ERR_UNAVAILABLE, true, row->words);
	ck_assert_uint_eq(t->bed.served, 0);
	ck_assert(!state_of(t).open);
	if (row->unknown)
		ck_assert_str_eq(t->seen_peer, "us.isthmus");
	close_test(t);
}
END_TEST

START_TEST(a_context_of_a_client_needs_an_authority)
{
	struct tls_options o = {
		.certificate = peer_keys_path(&keys, "eu", ".pem"),
		.key = peer_keys_path(&keys, "eu", ".key"),
		.client = true,
		.clock = clock_system(),
	};
	struct tls_context *context;

	ck_assert_int_eq(tls_context_new(&o, &context, NULL), ERR_CONFIG);
}
END_TEST

/* --- exchanges --- */

START_TEST(an_exchange_goes_there_and_back)
{
	static const struct header headers[] = { { STR("isthmus-hops"), STR("1") }, { STR("content-type"), STR("x/y") } };
	struct test *t = open_test();

	UNTIL(t, state_of(t).open);
	struct ask *a = &t->asks[t->ask_count++];
	a->x = (struct h2_exchange){
		.verb = VERB_PUT,
		.path = STR("/echo?wait=true"),
		.headers = headers,
		.header_count = LEN(headers),
		.body = text("{\"a\":1}"),
		.deadline_ns = loop_now_ns(t->bed.loop) + UINT64_C(10000000000),
		.reply_bytes_max = 1000,
		.done = on_done,
	};
	h2_client_send(t->client, &a->x);
	UNTIL(t, a->done);
	ck_assert_int_eq(a->x.err, ERR_NONE);
	ck_assert_int_eq(a->x.status, 200);
	ck_assert_uint_eq(a->x.reply.len, 7);
	ck_assert_mem_eq(a->x.reply.data, "{\"a\":1}", 7);
	ck_assert_uint_eq(h2_exchange_header(&a->x, "content-length").len, 1);
	ck_assert_ptr_null(h2_exchange_header(&a->x, "content-type").data);
	buf_append_byte(&t->bed.transcript, 0);
	ck_assert_str_eq((const char *)t->bed.transcript.data,
			 "PUT /echo ? wait=true @ eu.isthmus\n  isthmus-hops=1\n  content-type=x/y\n  content-length=7\n"
			 "{\"a\":1}");
	close_test(t);
}
END_TEST

START_TEST(what_is_sent_before_the_connection_is_open_waits_for_it)
{
	struct test *t = open_test();
	struct ask *a = ask_and_wait(t, "/status?404", text(""));

	ck_assert_int_eq(a->x.err, ERR_NONE);
	ck_assert_int_eq(a->x.status, 404);
	close_test(t);
}
END_TEST

START_TEST(trailers_of_grpc_come_back)
{
	static const struct header headers[] = { { STR("content-type"), STR("application/grpc") }, { STR("te"), STR("trailers") } };
	struct test *t = open_test();
	struct ask *a = &t->asks[t->ask_count++];

	a->x = (struct h2_exchange){
		.verb = VERB_POST,
		.path = STR("/qdrant.Points/Upsert?7"),
		.headers = headers,
		.header_count = LEN(headers),
		.body = text("frame"),
		.deadline_ns = UINT64_MAX,
		.reply_bytes_max = 1000,
		.done = on_done,
	};
	h2_client_send(t->client, &a->x);
	UNTIL(t, a->done);
	struct str status = h2_exchange_header(&a->x, "grpc-status");
	struct str message = h2_exchange_header(&a->x, "grpc-message");
	ck_assert_int_eq(a->x.status, 200);
	ck_assert_uint_eq(status.len, 1);
	ck_assert_int_eq(status.data[0], '7');
	ck_assert_int_eq(strncmp(message.data, "no: 100 %25 %0A", message.len), 0);
	ck_assert_uint_eq(a->x.reply.len, 5);
	close_test(t);
}
END_TEST

START_TEST(bodies_greater_than_any_window_pass_both_ways)
{
	struct test *t = open_test();
	size_t len = 5u << 20;
	uint8_t *body = malloc(len);

	for (size_t i = 0; i < len; i++)
		body[i] = bed_pattern(i);
	struct ask *a = ask_and_wait(t, "/echo", (struct bytes){ body, len });
	ck_assert_int_eq(a->x.err, ERR_NONE);
	ck_assert_uint_eq(a->x.reply.len, len);
	ck_assert_int_eq(memcmp(a->x.reply.data, body, len), 0);
	close_test(t);
	free(body);
}
END_TEST

START_TEST(a_reply_beyond_its_bound_ends_the_exchange_only)
{
	struct test *t = open_test();
	struct ask *a = &t->asks[t->ask_count++];

	a->x = (struct h2_exchange){
		.path = STR("/big?100000"), .deadline_ns = UINT64_MAX, .reply_bytes_max = 1000, .done = on_done
	};
	h2_client_send(t->client, &a->x);
	UNTIL(t, a->done);
	assert_failed(a, ERR_TOO_LARGE, false, "too large");
	struct ask *b = ask_and_wait(t, "/echo", text("still here"));
	ck_assert_int_eq(b->x.err, ERR_NONE);
	ck_assert_uint_eq(state_of(t).opens, 1);
	close_test(t);
}
END_TEST

START_TEST(more_exchanges_than_the_server_takes_wait_for_their_turn)
{
	struct test *t = open_test();

	for (int i = 0; i < 500; i++)
		(void)ask(t, "/echo", text("x"), 60 * SECOND_MS);
	UNTIL(t, state_of(t).exchanges == 0);
	for (uint32_t i = 0; i < t->ask_count; i++)
		ck_assert_int_eq(t->asks[i].x.err, ERR_NONE);
	ck_assert_uint_eq(t->bed.served, 500);
	close_test(t);
}
END_TEST

START_TEST(a_full_queue_refuses_at_once)
{
	struct test *t = open_test();

	t->relay.stopped = true;
	for (int i = 0; i < H2_CLIENT_WAITING_MAX; i++)
		(void)ask(t, "/echo", text("x"), 60 * SECOND_MS);
	struct ask *a = ask_and_wait(t, "/echo", text("one too many"));
	assert_failed(a, ERR_RATE_LIMITED, true, "too much");
	close_test(t);
}
END_TEST

START_TEST(bodies_that_wait_are_bounded_but_for_a_single_one)
{
	struct test *t = open_test();
	size_t len = H2_CLIENT_BODY_BYTES_MAX + 1;
	uint8_t *body = calloc(1, len);

	t->relay.stopped = true;
	struct ask *a = ask(t, "/echo", (struct bytes){ body, len }, 60 * SECOND_MS);
	settle(t);
	ck_assert_uint_eq(a->done, 0);
	assert_failed(ask_and_wait(t, "/echo", text("x")), ERR_RATE_LIMITED, true, "too much");
	close_test(t);
	free(body);
}
END_TEST

/* --- what fails, and whether the region may have acted on it --- */

START_TEST(a_region_that_is_away_fails_at_once_and_comes_back)
{
	struct test *t = open_test();

	t->no_address = true;
	assert_failed(ask_and_wait(t, "/echo", text("x")), ERR_UNAVAILABLE, true, "no such host");
	t->no_address = false;
	struct ask *a = ask(t, "/echo", text("x"), 60 * SECOND_MS);
	settle(t);
	assert_failed(a, ERR_UNAVAILABLE, true, "no such host");
	bed_turn(&t->bed, H2_CLIENT_BACKOFF_MS_MIN);
	UNTIL(t, state_of(t).open);
	ck_assert_int_eq(ask_and_wait(t, "/echo", text("x"))->x.err, ERR_NONE);
	close_test(t);
}
END_TEST

START_TEST(a_server_that_says_nothing_is_given_up)
{
	struct test *t = open_test();

	t->relay.stopped = true;
	struct ask *a = ask(t, "/echo", text("x"), 60 * SECOND_MS);
	settle(t);
	ck_assert_uint_eq(a->done, 0);
	bed_turn(&t->bed, H2_CLIENT_OPEN_MS);
	settle(t);
	assert_failed(a, ERR_UNAVAILABLE, true, "in time");
	close_test(t);
}
END_TEST

START_TEST(what_was_handed_over_may_have_been_taken)
{
	struct test *t = open_test();
	struct ask *a = ask(t, "/hold", text("x"), 60 * SECOND_MS);

	UNTIL(t, t->bed.held_count == 1);
	relay_cut(&t->relay);
	UNTIL(t, a->done);
	assert_failed(a, ERR_UNAVAILABLE, false, "region eu");
	close_test(t);
}
END_TEST

START_TEST(what_has_no_end_yet_was_not_taken)
{
	struct test *t = open_test();
	size_t len = 20u << 20;
	uint8_t *body = calloc(1, len);

	UNTIL(t, state_of(t).open);
	settle(t);
	t->relay.stopped = true;
	struct ask *a = ask(t, "/echo", (struct bytes){ body, len }, 60 * SECOND_MS);
	settle(t);
	relay_cut(&t->relay);
	UNTIL(t, a->done);
	assert_failed(a, ERR_UNAVAILABLE, true, "region eu");
	ck_assert_uint_eq(t->bed.served, 0);
	close_test(t);
	free(body);
}
END_TEST

START_TEST(a_deadline_ends_the_exchange_and_not_the_connection)
{
	struct test *t = open_test();
	struct ask *a = ask(t, "/hold", text("x"), 300);

	UNTIL(t, t->bed.held_count == 1);
	bed_turn(&t->bed, 299);
	settle(t);
	ck_assert_uint_eq(a->done, 0);
	bed_turn(&t->bed, 1);
	settle(t);
	assert_failed(a, ERR_TIMEOUT, false, "in time");
	UNTIL(t, atomic_load(&t->bed.held[0]->cancelled));
	ck_assert_int_eq(ask_and_wait(t, "/echo", text("x"))->x.err, ERR_NONE);
	ck_assert_uint_eq(state_of(t).opens, 1);
	close_test(t);
}
END_TEST

START_TEST(resets_are_kept_below_what_a_server_bears)
{
	struct test *t = open_test();

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 80; i++)
			(void)ask(t, "/hold", text("x"), 100);
		UNTIL(t, t->bed.held_count == 80);
		bed_turn(&t->bed, 100);
		UNTIL(t, state_of(t).exchanges == 0);
		bed_reply_held(&t->bed);
		settle(t);
	}
	ck_assert_int_eq(ask_and_wait(t, "/echo", text("x"))->x.err, ERR_NONE);
	ck_assert_uint_eq(state_of(t).opens, 1);
	close_test(t);
}
END_TEST

START_TEST(a_refused_stream_was_not_taken)
{
	struct test *t = open_test();

	UNTIL(t, state_of(t).open);
	/* Fewer than the server said in its SETTINGS. */
	t->bed.limits.streams_max = 1;
	struct ask *a = ask(t, "/hold", text("x"), 60 * SECOND_MS);
	struct ask *b = ask(t, "/echo", text("x"), 60 * SECOND_MS);
	UNTIL(t, b->done);
	assert_failed(b, ERR_UNAVAILABLE, true, "refused");
	bed_reply_held(&t->bed);
	UNTIL(t, a->done);
	ck_assert_int_eq(a->x.err, ERR_NONE);
	close_test(t);
}
END_TEST

/* --- the connection's life --- */

START_TEST(silence_is_noticed_after_three_pings)
{
	struct test *t = open_test();

	UNTIL(t, state_of(t).open);
	settle(t);
	t->relay.stopped = true;
	for (int i = 0; i < H2_CLIENT_SILENT_PINGS; i++) {
		bed_turn(&t->bed, H2_CLIENT_PING_MS);
		settle(t);
		ck_assert(state_of(t).open);
	}
	bed_turn(&t->bed, H2_CLIENT_PING_MS);
	settle(t);
	ck_assert(!state_of(t).open);
	ck_assert_ptr_nonnull(strstr(state_of(t).trouble.text, "does not answer"));
	close_test(t);
}
END_TEST

START_TEST(pings_measure_the_way)
{
	struct test *t = open_test();

	UNTIL(t, state_of(t).open);
	settle(t);
	t->relay.stopped = true;
	bed_turn(&t->bed, H2_CLIENT_PING_MS);
	bed_turn(&t->bed, 70);
	t->relay.stopped = false;
	UNTIL(t, state_of(t).rtt_us >= 70000);
	ck_assert_uint_le(state_of(t).rtt_us, 71000);
	close_test(t);
}
END_TEST

static void on_drained(void *ctx)
{
	*(bool *)ctx = true;
}

START_TEST(a_server_that_drains_finishes_what_it_has)
{
	struct test *t = open_test();
	bool drained = false;
	struct ask *held = ask(t, "/hold", text("x"), 600 * SECOND_MS);

	UNTIL(t, t->bed.held_count == 1);
	struct listener *old = t->listener;
	listen_again(t);
	listener_drain(old, 60000, on_drained, &drained);
	UNTIL(t, state_of(t).opens == 2 && state_of(t).open);
	ck_assert_int_eq(ask_and_wait(t, "/echo", text("x"))->x.err, ERR_NONE);
	bed_turn(&t->bed, 2 * SECOND_MS);
	settle(t);
	ck_assert(!drained);
	bed_reply_held(&t->bed);
	UNTIL(t, held->done && drained);
	ck_assert_int_eq(held->x.err, ERR_NONE);
	listener_free(old);
	close_test(t);
}
END_TEST

START_TEST(an_ended_connection_is_made_again)
{
	struct test *t = open_test();

	UNTIL(t, state_of(t).open);
	for (uint64_t i = 1; i <= 3; i++) {
		relay_cut(&t->relay);
		UNTIL(t, !state_of(t).open);
		bed_turn(&t->bed, H2_CLIENT_BACKOFF_MS_MIN);
		UNTIL(t, state_of(t).open);
		ck_assert_uint_eq(state_of(t).opens, 1 + i);
	}
	ck_assert_int_eq(ask_and_wait(t, "/echo", text("x"))->x.err, ERR_NONE);
	close_test(t);
}
END_TEST

START_TEST(the_end_of_the_client_ends_what_is_under_way)
{
	struct test *t = open_test();
	struct ask *a = ask(t, "/hold", text("x"), 60 * SECOND_MS);

	UNTIL(t, t->bed.held_count == 1);
	h2_client_free(t->client);
	t->client = NULL;
	assert_failed(a, ERR_UNAVAILABLE, false, "stopped");
	close_test(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("h2_client");
	TCase *t = tcase_create("h2_client");

	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, make_keys, remove_keys);
	tcase_add_loop_test(t, strangers_are_refused, 0, LEN(strangers));
	tcase_add_test(t, a_context_of_a_client_needs_an_authority);
	tcase_add_test(t, an_exchange_goes_there_and_back);
	tcase_add_test(t, what_is_sent_before_the_connection_is_open_waits_for_it);
	tcase_add_test(t, trailers_of_grpc_come_back);
	tcase_add_test(t, bodies_greater_than_any_window_pass_both_ways);
	tcase_add_test(t, a_reply_beyond_its_bound_ends_the_exchange_only);
	tcase_add_test(t, more_exchanges_than_the_server_takes_wait_for_their_turn);
	tcase_add_test(t, a_full_queue_refuses_at_once);
	tcase_add_test(t, bodies_that_wait_are_bounded_but_for_a_single_one);
	tcase_add_test(t, a_region_that_is_away_fails_at_once_and_comes_back);
	tcase_add_test(t, a_server_that_says_nothing_is_given_up);
	tcase_add_test(t, what_was_handed_over_may_have_been_taken);
	tcase_add_test(t, what_has_no_end_yet_was_not_taken);
	tcase_add_test(t, a_deadline_ends_the_exchange_and_not_the_connection);
	tcase_add_test(t, resets_are_kept_below_what_a_server_bears);
	tcase_add_test(t, a_refused_stream_was_not_taken);
	tcase_add_test(t, silence_is_noticed_after_three_pings);
	tcase_add_test(t, pings_measure_the_way);
	tcase_add_test(t, a_server_that_drains_finishes_what_it_has);
	tcase_add_test(t, an_ended_connection_is_made_again);
	tcase_add_test(t, the_end_of_the_client_ends_what_is_under_way);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
