/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/proxy.h"

#include "index/store.h"
#include "tests/gateway/peer_bed.h"

#define EU 1
#define US 2
#define AP 3
#define TASKS_MAX 8
#define HOLD_MS 5000

static struct peer_keys keys;

/* us passes requests on; eu is a server on the same loop, behind a relay; ap is not there. */
struct test {
	struct bed bed;
	struct conn_shared shared;
	struct tls_holder *server_tls, *client_tls;
	struct listener *listener;
	struct relay relay;
	struct peer_pool *pool;
	struct store *store;
	struct catalog *catalog;
	struct replicator *replicator;
	struct regions regions;
	struct proxy *proxy;
	/* How eu answers. */
	uint32_t not_primary;          /* so many times it says that it is not */
	const char *answer_name, *answer_value;
	int status;
	struct task {
		struct proxy_task t;
		struct request_sink sink;
		struct header headers[16];
		uint32_t done;
		bool replied;
	} tasks[TASKS_MAX];
	uint32_t task_count;
};

static void make_keys(void)
{
	peer_keys_make(&keys);
}

static void remove_keys(void)
{
	peer_keys_remove(&keys);
}

static struct str str_of(const char *s)
{
	return (struct str){ .data = s, .len = strlen(s) };
}

/* --- eu --- */

static void say_not_primary(struct request *r)
{
	r->reply.status = 503;
	if (r->grpc) {
		r->reply.status = 200;
		r->reply.grpc_status = 14;
		r->reply.grpc_message = STR("not here");
		bed_add_header(r, "content-type", STR("application/grpc"));
	}
	bed_add_header(r, "isthmus-error", STR("not-primary"));
	request_reply(r);
}

static void serve(void *ctx, struct request *r)
{
	struct test *t = ctx;

	if (t->not_primary > 0) {
		t->not_primary--;
		t->bed.served++;
		say_not_primary(r);
		return;
	}
	if (t->answer_name)
		bed_add_header(r, t->answer_name, str_of(t->answer_value));
	bed_serve(&t->bed, r);
}

static enum err peer_pool_of(struct test *t)
{
	static char address[32];
	const struct peer_pool_region regions[] = { { "eu", EU, address }, { "ap", AP, "127.0.0.1:1" } };
	struct peer_pool_options o = {
		.clock = &t->bed.clock.clock,
		.loops = &t->bed.loop,
		.loop_count = 1,
		.tls = t->client_tls,
		.regions = regions,
		.region_count = LEN(regions),
	};

	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", relay_port(&t->relay));
	return peer_pool_new(&o, &t->pool, NULL);
}

static void listen_as_eu(struct test *t)
{
	struct fault f = { 0 };
	struct listener_options o = {
		.loop = t->bed.loop,
		.limits = &t->bed.limits,
		.shared = &t->shared,
		.tls = t->server_tls,
		.peer = true,
		.serve = serve,
		.serve_ctx = t,
		.address = "127.0.0.1:0",
	};

	ck_assert_msg(listener_new(&o, &t->listener, &f) == ERR_NONE, "%s", f.text);
	t->relay.to = listener_port(t->listener);
}

static void open_replicator(struct test *t)
{
	static const struct peer_config others[] = { { .name = "eu", .id = EU, .data = true }, { .name = "ap", .id = AP, .data = true } };
	struct fault f = { 0 };

	ck_assert_int_eq(store_mem_new(&t->store), ERR_NONE);
	struct catalog_options co = { .store = t->store };
	ck_assert_msg(catalog_open(&co, &t->catalog, &f) == ERR_NONE, "%s", f.text);
	struct replicator_options o = {
		.clock = &t->bed.clock.clock,
		.store = t->store,
		.catalog = t->catalog,
		.fleet = "test",
		.self = { .name = "us", .id = US, .data = true },
		.others = others,
		.other_count = LEN(others),
	};
	ck_assert_msg(replicator_open(&o, &t->replicator, &f) == ERR_NONE, "%s", f.text);
	ck_assert_msg(catalog_start(t->catalog, &f) == ERR_NONE, "%s", f.text);
}

static struct test *open_test(void)
{
	struct test *t = calloc(1, sizeof(*t));

	bed_open(&t->bed);
	conn_shared_init(&t->shared, &t->bed.limits);
	t->server_tls = peer_tls(&keys, "eu", &keys, false);
	t->client_tls = peer_tls(&keys, "us", &keys, true);
	relay_open(&t->relay, 0);
	listen_as_eu(t);
	ck_assert_int_eq(peer_pool_of(t), ERR_NONE);
	open_replicator(t);
	t->regions = (struct regions){ .count = 3,
				       .rows = { { .name = "eu", .id = EU, .data = true },
						 { .name = "us", .id = US, .data = true, .self = true },
						 { .name = "ap", .id = AP, .data = true } } };
	struct proxy_options o = { .clock = &t->bed.clock.clock, .replicator = t->replicator, .regions = &t->regions,
				   .hold_ms = HOLD_MS, .held_max = 3 };
	ck_assert_int_eq(proxy_new(&o, &t->proxy), ERR_NONE);
	proxy_set_pool(t->proxy, t->pool);
	return t;
}

static void turn(struct test *t)
{
	relay_turn(&t->relay);
	bed_turn(&t->bed, 0);
}

static void settle(struct test *t)
{
	for (int i = 0; i < 50; i++)
		turn(t);
}

/* Time passes in steps, as timers start timers. */
static void pass(struct test *t, uint64_t ms)
{
	for (uint64_t at = 0; at < ms; at += PROXY_RETRY_MS) {
		bed_turn(&t->bed, PROXY_RETRY_MS);
		settle(t);
	}
}

#define UNTIL(t, condition)                                          \
	do {                                                         \
		uint32_t _left = PEER_BED_TURNS_MAX;                 \
		while (!(condition) && _left-- > 0)                  \
			turn(t);                                     \
		ck_assert_msg((condition), "never: %s", #condition); \
	} while (0)

static void close_test(struct test *t)
{
	peer_pool_stop(t->pool);
	peer_pool_free(t->pool);
	bed_reply_held(&t->bed);
	settle(t);
	for (uint32_t i = 0; i < t->task_count; i++) {
		ck_assert_uint_eq(t->tasks[i].done, 1);
		t->tasks[i].t.request->sink = NULL;
		request_free(t->tasks[i].t.request);
	}
	proxy_free(t->proxy);
	replicator_free(t->replicator);
	catalog_close(t->catalog);
	t->store->ops->close(t->store);
	listener_free(t->listener);
	relay_close(&t->relay);
	tls_holder_free(t->server_tls);
	tls_holder_free(t->client_tls);
	bed_close(&t->bed);
	free(t);
}

/* --- us --- */

static void beat(struct test *t, uint8_t region, uint64_t epoch)
{
	struct peers *peers = replicator_peers(t->replicator);
	struct heartbeat h = {
		.fleet = peers_fleet(peers),
		.scope = SCOPE_FLEET,
		.region = region,
		.position = { epoch, 1 },
		.wall_ms = ++t->bed.clock.wall_ms, /* each is newer than the one before */
	};

	ck_assert(peers_beat(peers, &h));
}

/* An epoch names its writer by its lowest byte. */
static void eu_writes(struct test *t)
{
	beat(t, EU, 256 + EU);
}

static void open_way(struct test *t)
{
	struct peer_reach reach = { 0 };

	settle(t);
	for (int i = 0; i < 100 && !reach.open; i++) {
		bed_turn(&t->bed, PEER_REACH_MS);
		settle(t);
		ck_assert(peer_pool_reach(t->pool, EU, &reach));
	}
	ck_assert(reach.open);
}

static void on_done(struct proxy_task *t)
{
	struct task *k = CONTAINER_OF(t, struct task, t);

	k->done++;
}

static const struct auth_grant all_rights = { .rights = AUTH_ALL }, read_rights = { .rights = AUTH_READ };

static struct task *task_new(struct test *t, const char *path, const char *query, const char *body)
{
	ck_assert_uint_lt(t->task_count, TASKS_MAX);
	struct task *k = &t->tasks[t->task_count++];
	struct request *r;

	ck_assert_int_eq(request_new(t->bed.loop, 1u << 20, &r), ERR_NONE);
	struct sockaddr_in client = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0xcb007107) };
	memcpy(&r->client, &client, sizeof(client));
	r->verb = VERB_PUT;
	r->path = str_of(path);
	r->query = str_of(query);
	r->headers = k->headers;
	buf_append_cstr(&r->body, body);
	k->t = (struct proxy_task){ .proxy = t->proxy, .request = r, .grant = &all_rights, .done = on_done };
	return k;
}

static void header(struct task *k, const char *name, const char *value)
{
	struct request *r = k->t.request;

	ck_assert_uint_lt(r->header_count, LEN(k->headers));
	k->headers[r->header_count++] = (struct header){ str_of(name), str_of(value) };
}

static struct task *write_new(struct test *t)
{
	struct task *k = task_new(t, "/echo", "", "a write");

	proxy_write(&k->t);
	return k;
}

static void assert_failed(const struct task *k, enum err err, const char *words)
{
	ck_assert_uint_eq(k->done, 1);
	ck_assert_int_eq(k->t.outcome, PROXY_FAILED);
	ck_assert_msg(k->t.err == err, "%s: %s", err_name(k->t.err), k->t.fault.text);
	ck_assert_msg(strstr(k->t.fault.text, words) != NULL, "%s", k->t.fault.text);
}

static void assert_replied(const struct task *k, int status, const char *body)
{
	const struct reply *reply = &k->t.request->reply;

	ck_assert_uint_eq(k->done, 1);
	ck_assert_msg(k->t.outcome == PROXY_REPLIED, "%s", k->t.fault.text);
	ck_assert_int_eq(reply->status, status);
	ck_assert_uint_eq(reply->body.len, strlen(body));
	ck_assert_int_eq(memcmp(reply->body.data ? reply->body.data : (const uint8_t *)"", body, strlen(body)), 0);
}

static struct str reply_header(const struct task *k, const char *name)
{
	const struct reply *reply = &k->t.request->reply;

	for (uint32_t i = 0; i < reply->header_count; i++)
		if (reply->headers[i].name.len == strlen(name) && memcmp(reply->headers[i].name.data, name, strlen(name)) == 0)
			return reply->headers[i].value;
	return (struct str){ 0 };
}

/* --- what goes along --- */

START_TEST(headers_pass_by_a_list_and_nobody_speaks_for_a_region)
{
	struct test *t = open_test();

	open_way(t);
	eu_writes(t);
	struct task *k = task_new(t, "/echo", "wait=true", "{}");
	header(k, "content-type", "application/json");
	header(k, "content-encoding", "gzip");
	header(k, "api-key", "secret");
	header(k, "authorization", "Bearer secret");
	header(k, "cookie", "a=b");
	header(k, "x-forwarded-for", "1.2.3.4");
	header(k, "connection", "close");
	header(k, "content-length", "77");
	header(k, "isthmus-session", "token");
	header(k, "isthmus-later", "an option of tomorrow");
	header(k, "isthmus-access", "manage");
	header(k, "isthmus-hops", "9");
	header(k, "isthmus-client", "6.6.6.6");
	header(k, "isthmus-via", "mars");
	header(k, "isthmus-error", "not-primary");
	header(k, "isthmus-position", "1,1");
	proxy_write(&k->t);
	UNTIL(t, k->done);
	assert_replied(k, 200, "{}");
	buf_append_byte(&t->bed.transcript, 0);
	ck_assert_str_eq((const char *)t->bed.transcript.data,
			 "PUT /echo ? wait=true @ eu.isthmus\n"
			 "  content-type=application/json\n"
			 "  content-encoding=gzip\n"
			 "  isthmus-session=token\n"
			 "  isthmus-later=an option of tomorrow\n"
			 "  isthmus-client=203.0.113.7\n"
			 "  isthmus-via=us\n"
			 "  isthmus-access=write\n"
			 "  isthmus-hops=1\n"
			 "  content-length=2\n"
			 "{}");
	close_test(t);
}
END_TEST

START_TEST(a_region_that_passes_on_counts_and_names_itself)
{
	struct test *t = open_test();

	open_way(t);
	struct task *k = task_new(t, "/echo", "", "");
	k->t.request->peer = true;
	k->t.grant = &read_rights;
	header(k, "isthmus-hops", "1");
	header(k, "isthmus-via", "edge");
	header(k, "isthmus-client", "6.6.6.6");
	header(k, "isthmus-access", "manage");
	proxy_read(&k->t, EU);
	UNTIL(t, k->done);
	buf_append_byte(&t->bed.transcript, 0);
	ck_assert_str_eq((const char *)t->bed.transcript.data, "PUT /echo ?  @ eu.isthmus\n"
							       "  isthmus-client=6.6.6.6\n"
							       "  isthmus-via=edge, us\n"
							       "  isthmus-access=read\n"
							       "  isthmus-hops=2\n");
	close_test(t);
}
END_TEST

static const struct {
	const char *hops;
	bool peer;
	bool passes;
} hop_cases[] = {
	{ "2", true, false }, { "3", true, false }, { "x", true, false }, { "", true, false }, { "-1", true, false },
	{ NULL, true, true }, { "1", true, true },  { "7", false, true },
};

START_TEST(what_was_passed_on_twice_goes_no_further)
{
	const typeof(hop_cases[0]) *row = &hop_cases[_i];
	struct test *t = open_test();

	open_way(t);
	struct task *k = task_new(t, "/echo", "", "");
	k->t.request->peer = row->peer;
	if (row->hops)
		header(k, "isthmus-hops", row->hops);
	proxy_read(&k->t, EU);
	UNTIL(t, k->done);
	if (row->passes)
		assert_replied(k, 200, "");
	else
		assert_failed(k, ERR_UNAVAILABLE, "passed on");
	close_test(t);
}
END_TEST

/* --- until it can be read here --- */

/* This region has all that eu has: the beginning of its epoch. */
static void be_level(struct test *t)
{
	CLEANUP(buf_release) struct buf wire = BUF_INIT(OP_BYTES_MAX);
	struct op op = { .kind = OP_EPOCH_START, .region = EU, .epoch = 256 + EU, .seq = 1, .hlc = 1 };
	struct fault f = { 0 };

	ck_assert_int_eq(op_encode(&op, OP_FORM_WIRE, &wire), ERR_NONE);
	struct bytes ops[1] = { buf_bytes(&wire) };
	struct remote_batch b = { .ops = ops, .count = 1, .scope = SCOPE_FLEET, .chain_hash = op_chain_hash(0, ops[0]) };
	ck_assert_msg(!committer_apply(replicator_committer(t->replicator), &b, &f), "%s", f.text);
	eu_writes(t);
	ck_assert_double_le(replicator_staleness_seconds(t->replicator), 0.1);
}

static struct task *write_at(struct test *t, const char *position)
{
	open_way(t);
	be_level(t);
	t->answer_name = "isthmus-position";
	t->answer_value = position;
	struct task *k = write_new(t);
	UNTIL(t, t->bed.served > 0);
	settle(t);
	return k;
}

START_TEST(a_reply_waits_until_this_region_has_the_write)
{
	struct test *t = open_test();
	struct task *k = write_at(t, "257,2");
	struct fault f = { 0 };

	for (unsigned ms = 0; ms < 60; ms++) {
		bed_turn(&t->bed, 1);
		settle(t);
	}
	ck_assert_uint_eq(k->done, 0);
	/* Its own epoch, which comes after that one. */
	ck_assert_msg(!committer_begin_epoch(replicator_committer(t->replicator), &f), "%s", f.text);
	for (unsigned ms = 0; ms < PROXY_LOOK_MS_MAX; ms++) {
		bed_turn(&t->bed, 1);
		settle(t);
	}
	assert_replied(k, 200, "a write");
	ck_assert_ptr_null(reply_header(k, "isthmus-position").data);
	close_test(t);
}
END_TEST

START_TEST(a_reply_does_not_wait_for_ever)
{
	struct test *t = open_test();
	struct task *k = write_at(t, "257,2");

	for (unsigned ms = 0; ms < PROXY_SEEN_MS - 1; ms++) {
		bed_turn(&t->bed, 1);
		settle(t);
	}
	ck_assert_uint_eq(k->done, 0);
	for (unsigned ms = 0; ms < PROXY_LOOK_MS_MAX; ms++) {
		bed_turn(&t->bed, 1);
		settle(t);
	}
	assert_replied(k, 200, "a write");
	close_test(t);
}
END_TEST

START_TEST(a_region_that_lags_far_behind_holds_no_reply_back)
{
	struct test *t = open_test();

	open_way(t);
	be_level(t);
	bed_turn(&t->bed, PROXY_SEEN_MS + 1);
	t->answer_name = "isthmus-position";
	t->answer_value = "257,2";
	struct task *k = write_new(t);
	UNTIL(t, t->bed.served > 0);
	settle(t);
	assert_replied(k, 200, "a write");
	close_test(t);
}
END_TEST

START_TEST(a_reply_of_a_write_that_is_here_or_names_no_position_does_not_wait)
{
	static const char *const positions[] = { "0,0", "257,1", "", ",", "1", "1,", ",1", "1,1x", "-1,1", "1,18446744073709551616", "1 ,1" };

	for (size_t i = 0; i < LEN(positions); i++) {
		struct test *t = open_test();
		struct task *k = write_at(t, positions[i]);
		ck_assert_msg(k->done == 1, "%s", positions[i]);
		assert_replied(k, 200, "a write");
		close_test(t);
	}
}
END_TEST

/* --- what comes back --- */

static const struct {
	const char *name, *value;
	bool passes;
} reply_headers[] = {
	{ "content-type", "application/json", true }, { "isthmus-session", "token", true }, { "retry-after", "1", true },
	{ "isthmus-region", "eu", true }, { "access-control-allow-origin", "*", true }, { "server", "eu", false },
	{ "set-cookie", "a=b", false }, { "isthmus-error", "other", false },
	{ "isthmus-position", "no position", false },
};

START_TEST(a_reply_passes_back_by_a_list_of_headers)
{
	const typeof(reply_headers[0]) *row = &reply_headers[_i];
	struct test *t = open_test();

	open_way(t);
	eu_writes(t);
	t->answer_name = row->name;
	t->answer_value = row->value;
	struct task *k = write_new(t);
	UNTIL(t, k->done);
	assert_replied(k, 200, "a write");
	struct str value = reply_header(k, row->name);
	ck_assert_int_eq(value.data != NULL, row->passes);
	if (row->passes)
		ck_assert_int_eq(strncmp(value.data, row->value, value.len), 0);
	ck_assert_int_eq(strncmp(reply_header(k, "isthmus-via").data, "us", 2), 0);
	close_test(t);
}
END_TEST

START_TEST(statuses_pass_back_as_they_are)
{
	static const int statuses[] = { 400, 404, 409, 422, 500, 503 };
	struct test *t = open_test();

	open_way(t);
	eu_writes(t);
	char query[8];
	(void)snprintf(query, sizeof(query), "%d", statuses[_i]);
	struct task *k = task_new(t, "/status", query, "a write");
	proxy_write(&k->t);
	UNTIL(t, k->done);
	assert_replied(k, statuses[_i], "");
	ck_assert_uint_eq(t->bed.served, 1);
	close_test(t);
}
END_TEST

START_TEST(the_status_of_grpc_passes_back_with_its_words)
{
	struct test *t = open_test();

	open_way(t);
	eu_writes(t);
	struct task *k = task_new(t, "/qdrant.Points/Upsert", "7", "frame");
	k->t.request->grpc = true;
	header(k, "content-type", "application/grpc");
	header(k, "te", "trailers");
	header(k, "grpc-timeout", "1S");
	proxy_write(&k->t);
	UNTIL(t, k->done);
	assert_replied(k, 200, "frame");
	ck_assert_int_eq(k->t.request->reply.grpc_status, 7);
	ck_assert_int_eq(strncmp(k->t.request->reply.grpc_message.data, "no: 100 % \n", 11), 0);
	buf_append_byte(&t->bed.transcript, 0);
	ck_assert_ptr_nonnull(strstr((const char *)t->bed.transcript.data, "  te=trailers\n"));
	ck_assert_ptr_nonnull(strstr((const char *)t->bed.transcript.data, "  grpc-timeout=1000m\n"));
	close_test(t);
}
END_TEST

/* --- writes --- */

START_TEST(the_region_that_writes_is_told_so_at_once)
{
	struct test *t = open_test();
	struct fault f = { 0 };

	ck_assert_msg(committer_begin_epoch(replicator_committer(t->replicator), &f) == ERR_NONE, "%s", f.text);
	struct task *k = write_new(t);
	ck_assert_uint_eq(k->done, 1);
	ck_assert_int_eq(k->t.outcome, PROXY_HERE);
	close_test(t);
}
END_TEST

START_TEST(while_nobody_writes_a_write_is_held)
{
	struct test *t = open_test();

	open_way(t);
	struct task *k = write_new(t);
	pass(t, HOLD_MS / 2);
	ck_assert_uint_eq(k->done, 0);
	ck_assert_uint_eq(proxy_held(t->proxy), 1);
	ck_assert_uint_eq(t->bed.served, 0);
	eu_writes(t);
	pass(t, PROXY_RETRY_MS_MAX);
	UNTIL(t, k->done);
	assert_replied(k, 200, "a write");
	ck_assert_uint_eq(proxy_held(t->proxy), 0);
	close_test(t);
}
END_TEST

START_TEST(a_write_is_not_held_for_ever)
{
	struct test *t = open_test();
	struct task *k = write_new(t);

	pass(t, HOLD_MS - PROXY_RETRY_MS);
	ck_assert_uint_eq(k->done, 0);
	pass(t, 2 * PROXY_RETRY_MS_MAX);
	assert_failed(k, ERR_NO_PRIMARY, "no primary yet");
	ck_assert_uint_eq(proxy_held(t->proxy), 0);
	close_test(t);
}
END_TEST

START_TEST(only_so_many_writes_are_held)
{
	struct test *t = open_test();

	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(write_new(t)->done, 0);
	assert_failed(write_new(t), ERR_RATE_LIMITED, "too many");
	pass(t, HOLD_MS + PROXY_RETRY_MS_MAX);
	close_test(t);
}
END_TEST

START_TEST(a_client_that_left_is_not_held_any_longer)
{
	struct test *t = open_test();
	struct task *k = write_new(t);

	atomic_store(&k->t.request->cancelled, true);
	pass(t, PROXY_RETRY_MS);
	ck_assert_uint_eq(k->done, 1);
	ck_assert_int_eq(k->t.err, ERR_CANCELLED);
	close_test(t);
}
END_TEST

START_TEST(a_region_that_says_it_does_not_write_is_asked_again)
{
	struct test *t = open_test();

	open_way(t);
	eu_writes(t);
	t->not_primary = 3;
	struct task *k = task_new(t, _i ? "/qdrant.Points/Upsert" : "/echo", _i ? "0" : "", "a write");
	k->t.request->grpc = _i == 1;
	if (_i)
		header(k, "content-type", "application/grpc");
	proxy_write(&k->t);
	pass(t, 10 * PROXY_RETRY_MS);
	assert_replied(k, 200, "a write");
	ck_assert_uint_eq(t->bed.served, 4);
	ck_assert_ptr_null(reply_header(k, "isthmus-error").data);
	close_test(t);
}
END_TEST

/* --- writes that need not go to the primary --- */

static struct task *write_in_order(struct test *t, const char *path, uint8_t first, uint8_t second)
{
	struct task *k = task_new(t, path, "", "a write");

	k->t.order[k->t.order_count++] = first;
	k->t.order[k->t.order_count++] = second;
	proxy_write(&k->t);
	return k;
}

static void ap_writes(struct test *t)
{
	beat(t, AP, 256 + AP);
}

START_TEST(a_write_that_any_region_takes_goes_to_the_first_that_can_be_reached)
{
	struct test *t = open_test();

	open_way(t);
	ap_writes(t);
	struct task *k = write_in_order(t, "/echo", _i ? EU : AP, _i ? AP : EU);
	UNTIL(t, k->done);
	assert_replied(k, 200, "a write");
	ck_assert_uint_eq(t->bed.served, 1);
	close_test(t);
}
END_TEST

START_TEST(a_write_that_is_refused_as_not_the_primarys_goes_to_the_primary)
{
	struct test *t = open_test();

	open_way(t);
	eu_writes(t);
	t->not_primary = 1;
	struct task *k = write_in_order(t, "/echo", EU, AP);
	UNTIL(t, k->done);
	/* At once, without being held. */
	assert_replied(k, 200, "a write");
	ck_assert_uint_eq(t->bed.served, 2);
	close_test(t);
}
END_TEST

START_TEST(a_write_that_none_of_them_can_take_waits_for_the_primary)
{
	struct test *t = open_test();

	open_way(t);
	ap_writes(t);
	t->not_primary = 9;
	struct task *k = write_in_order(t, "/echo", EU, AP);
	pass(t, PROXY_RETRY_MS);
	ck_assert_uint_eq(k->done, 0);
	ck_assert_uint_eq(proxy_held(t->proxy), 1);
	pass(t, HOLD_MS + PROXY_RETRY_MS_MAX);
	ck_assert_uint_eq(k->done, 1);
	ck_assert_int_eq(k->t.outcome, PROXY_FAILED);
	ck_assert_uint_eq(t->bed.served, 1);
	close_test(t);
}
END_TEST

START_TEST(a_write_that_one_of_them_took_goes_to_no_other)
{
	struct test *t = open_test();

	open_way(t);
	eu_writes(t);
	struct task *k = write_in_order(t, "/hold", EU, AP);
	UNTIL(t, t->bed.held_count == 1);
	relay_cut(&t->relay);
	UNTIL(t, k->done);
	assert_failed(k, ERR_BAD_GATEWAY, "outcome unknown: the write was sent to region eu");
	pass(t, HOLD_MS);
	ck_assert_uint_eq(t->bed.served, 1);
	close_test(t);
}
END_TEST

START_TEST(a_write_that_was_taken_is_never_sent_again)
{
	struct test *t = open_test();

	open_way(t);
	eu_writes(t);
	struct task *k = task_new(t, "/hold", "", "a write");
	proxy_write(&k->t);
	UNTIL(t, t->bed.held_count == 1);
	relay_cut(&t->relay);
	UNTIL(t, k->done);
	assert_failed(k, ERR_BAD_GATEWAY, "outcome unknown: the write was sent to region eu and may or may not have been written");
	pass(t, HOLD_MS);
	ck_assert_uint_eq(t->bed.served, 1);
	close_test(t);
}
END_TEST

START_TEST(a_write_that_was_not_taken_waits_for_the_way_to_open)
{
	struct test *t = open_test();

	open_way(t);
	eu_writes(t);
	t->relay.stopped = true;
	relay_cut(&t->relay);
	settle(t);
	struct task *k = write_new(t);
	pass(t, 500);
	ck_assert_uint_eq(k->done, 0);
	ck_assert_uint_eq(t->bed.served, 0);
	t->relay.stopped = false;
	for (int i = 0; i < 200 && !k->done; i++)
		pass(t, PROXY_RETRY_MS);
	assert_replied(k, 200, "a write");
	ck_assert_uint_eq(t->bed.served, 1);
	close_test(t);
}
END_TEST

START_TEST(a_write_that_is_late_may_have_been_taken)
{
	struct test *t = open_test();

	open_way(t);
	eu_writes(t);
	struct task *k = task_new(t, "/hold", "wait=true&timeout=1", "a write");
	proxy_write(&k->t);
	UNTIL(t, t->bed.held_count == 1);
	pass(t, 1000 + PROXY_TIMEOUT_GRACE_MS - 2 * PROXY_RETRY_MS);
	ck_assert_uint_eq(k->done, 0);
	pass(t, 3 * PROXY_RETRY_MS);
	assert_failed(k, ERR_BAD_GATEWAY, "outcome unknown");
	close_test(t);
}
END_TEST

START_TEST(a_region_that_lost_the_role_meanwhile_tries_the_others)
{
	struct test *t = open_test();

	open_way(t);
	eu_writes(t);
	struct task *k = task_new(t, "/echo", "", "a write");
	(void)fault_set(&k->t.fault, ERR_NOT_PRIMARY, "it was handed over");
	proxy_write_again(&k->t, ERR_NOT_PRIMARY);
	ck_assert_uint_eq(k->done, 0);
	pass(t, PROXY_RETRY_MS);
	UNTIL(t, k->done);
	assert_replied(k, 200, "a write");
	close_test(t);
}
END_TEST

START_TEST(an_unknown_writer_is_waited_for_and_then_named)
{
	struct test *t = open_test();

	open_way(t);
	beat(t, EU, 256 + 99);
	struct task *k = write_new(t);
	pass(t, HOLD_MS + PROXY_RETRY_MS_MAX);
	assert_failed(k, ERR_UNAVAILABLE, "region 99 is not in the configuration");
	close_test(t);
}
END_TEST

/* --- reads --- */

START_TEST(a_read_goes_to_a_region_that_can_be_reached)
{
	struct test *t = open_test();

	open_way(t);
	/* ap stands first, and is not there. */
	struct region eu = t->regions.rows[0];
	t->regions.rows[0] = t->regions.rows[2];
	t->regions.rows[2] = eu;
	beat(t, AP, 256 + EU);
	ck_assert(!proxy_can_read(t->proxy));
	beat(t, EU, 256 + EU);
	ck_assert(proxy_can_read(t->proxy));
	struct task *k = task_new(t, "/echo", "", "a read");
	proxy_read(&k->t, 0);
	UNTIL(t, k->done);
	assert_replied(k, 200, "a read");
	close_test(t);
}
END_TEST

START_TEST(a_read_that_nobody_can_answer_says_so)
{
	struct test *t = open_test();

	struct task *k = task_new(t, "/echo", "", "a read");
	proxy_read(&k->t, 0);
	UNTIL(t, k->done);
	assert_failed(k, ERR_UNAVAILABLE, "no region that holds data can be reached");
	close_test(t);
}
END_TEST

START_TEST(a_read_whose_region_goes_away_fails_when_there_is_no_other)
{
	struct test *t = open_test();

	open_way(t);
	struct task *k = task_new(t, "/hold", "", "a read");
	proxy_read(&k->t, 0);
	UNTIL(t, t->bed.held_count == 1);
	relay_cut(&t->relay);
	UNTIL(t, k->done);
	assert_failed(k, ERR_UNAVAILABLE, "region eu");
	close_test(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proxy");
	TCase *c = tcase_create("proxy");

	tcase_set_timeout(c, 60);
	tcase_add_unchecked_fixture(c, make_keys, remove_keys);
	tcase_add_loop_test(c, what_was_passed_on_twice_goes_no_further, 0, LEN(hop_cases));
	tcase_add_test(c, headers_pass_by_a_list_and_nobody_speaks_for_a_region);
	tcase_add_test(c, a_region_that_passes_on_counts_and_names_itself);
	tcase_add_loop_test(c, a_reply_passes_back_by_a_list_of_headers, 0, LEN(reply_headers));
	tcase_add_loop_test(c, statuses_pass_back_as_they_are, 0, 6);
	tcase_add_test(c, the_status_of_grpc_passes_back_with_its_words);
	tcase_add_test(c, a_reply_waits_until_this_region_has_the_write);
	tcase_add_test(c, a_reply_does_not_wait_for_ever);
	tcase_add_test(c, a_region_that_lags_far_behind_holds_no_reply_back);
	tcase_add_test(c, a_reply_of_a_write_that_is_here_or_names_no_position_does_not_wait);
	tcase_add_test(c, the_region_that_writes_is_told_so_at_once);
	tcase_add_test(c, while_nobody_writes_a_write_is_held);
	tcase_add_test(c, a_write_is_not_held_for_ever);
	tcase_add_test(c, only_so_many_writes_are_held);
	tcase_add_test(c, a_client_that_left_is_not_held_any_longer);
	tcase_add_loop_test(c, a_region_that_says_it_does_not_write_is_asked_again, 0, 2);
	tcase_add_loop_test(c, a_write_that_any_region_takes_goes_to_the_first_that_can_be_reached, 0, 2);
	tcase_add_test(c, a_write_that_is_refused_as_not_the_primarys_goes_to_the_primary);
	tcase_add_test(c, a_write_that_none_of_them_can_take_waits_for_the_primary);
	tcase_add_test(c, a_write_that_one_of_them_took_goes_to_no_other);
	tcase_add_test(c, a_write_that_was_taken_is_never_sent_again);
	tcase_add_test(c, a_write_that_was_not_taken_waits_for_the_way_to_open);
	tcase_add_test(c, a_write_that_is_late_may_have_been_taken);
	tcase_add_test(c, a_region_that_lost_the_role_meanwhile_tries_the_others);
	tcase_add_test(c, an_unknown_writer_is_waited_for_and_then_named);
	tcase_add_test(c, a_read_goes_to_a_region_that_can_be_reached);
	tcase_add_test(c, a_read_that_nobody_can_answer_says_so);
	tcase_add_test(c, a_read_whose_region_goes_away_fails_when_there_is_no_other);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
