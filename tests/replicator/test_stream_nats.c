/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport over real nats-servers: a core hub and a leaf with a JetStream domain for each of
 * two regions, on free loopback ports, in a folder of their own. NATS_SERVER names the
 * binary; without it the program is skipped.
 *
 * Each op is one message here, its payload its number. What is checked is the same everywhere: the
 * reader sees the numbers one by one, none missing, none twice, unless it was told of a gap.
 */
#include "replicator/stream.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "replicator/provision.h"
#include "replicator/stream_api.h"

#define DEADLINE_MS 30000u /* nothing takes as long unless it never happens */
#define FLEET "shop"
#define SKIPPED 77

static const char *binary;

/* ---- servers ---- */

struct server {
	pid_t pid;
	char config[128];
	unsigned port;
};

static char folder[64];
static struct server hub, leaf_a, leaf_b;
static unsigned hub_leaf_port;

/* Below the ports that the system gives to outgoing connections: a client that tries in vain to
 * reach a server that was killed must not end up with the server's own port. */
#define PORT_MIN 10000u
#define PORT_MAX 32000u

static unsigned free_port(void)
{
	for (;;) {
		unsigned port;
		ck_assert_int_eq(getrandom(&port, sizeof(port), 0), sizeof(port));
		port = PORT_MIN + port % (PORT_MAX - PORT_MIN);
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct sockaddr_in a = { .sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
					 .sin_port = htons((uint16_t)port) };
		bool ok = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
		close(fd);
		if (ok)
			return port;
	}
}

static bool listens(unsigned port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons((uint16_t)port) };
	bool ok = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
	close(fd);
	return ok;
}

static void pause_ms(long ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000 };
	nanosleep(&t, NULL);
}

static uint64_t now_ms(void)
{
	return clock_mono_ns(clock_system()) / 1000000;
}

/* Looks again and again until something is so; fails when it never is. */
#define UNTIL(condition)                                                                           \
	for (uint64_t until_end = now_ms() + DEADLINE_MS; !(condition); pause_ms(5))               \
	ck_assert_msg(now_ms() < until_end, "never: %s", #condition)

/* Not fork: other threads of this program may hold locks that the child would wait for. */
static pid_t spawn(char *const argv[], const char *log)
{
	posix_spawn_file_actions_t files;
	pid_t pid;
	posix_spawn_file_actions_init(&files);
	if (log) {
		posix_spawn_file_actions_addopen(&files, 1, log, O_WRONLY | O_CREAT | O_APPEND,
						 0600);
		posix_spawn_file_actions_adddup2(&files, 1, 2);
	}
	int problem = posix_spawnp(&pid, argv[0], &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	ck_assert_msg(problem == 0, "%s: %s", argv[0], strerror(problem));
	return pid;
}

static void server_start(struct server *s)
{
	char log[160], program[512], option[] = "-c";
	snprintf(log, sizeof(log), "%s.log", s->config);
	snprintf(program, sizeof(program), "%s", binary);
	char *argv[] = { program, option, s->config, NULL };
	s->pid = spawn(argv, log);
	UNTIL(listens(s->port));
}

static void server_kill(struct server *s)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

static void config_write(struct server *s, const char *name, const char *text)
{
	snprintf(s->config, sizeof(s->config), "%s/%s.conf", folder, name);
	FILE *f = fopen(s->config, "we");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

#define ACCOUNTS(jetstream, password)                                                              \
	"accounts { SYS: { users: [{user: sys, password: sys}] }, IST: { " jetstream               \
	" users: [{user: edge, "                                                                   \
	"password: " password "}] } }\nsystem_account: SYS\nping_interval: \"2s\"\nping_max: 2\n"

static void leaf_config(struct server *s, const char *name, uint64_t max_file)
{
	char text[2048];
	s->port = free_port();
	snprintf(
		text, sizeof(text),
		"server_name: leaf-%s\nlisten: 127.0.0.1:%u\n"
		"jetstream { store_dir: \"%s/%s\", max_mem: 16M, max_file: %" PRIu64
		", domain: d%s }\n"
		"leafnodes { reconnect: 1, remotes: [ { urls: [ \"nats://edge:secret@127.0.0.1:%u\" ], account: IST } ] }\n" ACCOUNTS(
			"jetstream: enabled,", "secret"),
		name, s->port, folder, name, max_file, name, hub_leaf_port);
	config_write(s, name, text);
}

static void hub_config(void)
{
	char text[1024];
	hub.port = free_port();
	hub_leaf_port = free_port();
	snprintf(
		text, sizeof(text),
		"server_name: hub\nlisten: 127.0.0.1:%u\nleafnodes { listen: 127.0.0.1:%u, no_advertise: true }\n" ACCOUNTS(
			"", "secret"),
		hub.port, hub_leaf_port);
	config_write(&hub, "hub", text);
}

static void remove_tree(const char *path)
{
	char program[] = "rm", options[] = "-rf", end[] = "--", target[160];
	snprintf(target, sizeof(target), "%s", path);
	char *argv[] = { program, options, end, target, NULL };
	waitpid(spawn(argv, NULL), NULL, 0);
}

static void file_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static char password_file[128];

static void folder_make(void)
{
	snprintf(folder, sizeof(folder), "/tmp/isthmus-nats-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(password_file, sizeof(password_file), "%s/password", folder);
	file_write(password_file, "secret\nnot this line\n");
}

static void set_up(void)
{
	folder_make();
	hub_config();
	leaf_config(&leaf_a, "a", 1u << 30);
	leaf_config(&leaf_b, "b", 1u << 30);
	server_start(&hub);
	server_start(&leaf_a);
	server_start(&leaf_b);
}

/* In the process of the test as in its parent, after a failure. */
static void tear_down(void)
{
	server_kill(&leaf_a);
	server_kill(&leaf_b);
	server_kill(&hub);
	remove_tree(folder);
}

/* ---- a region's writer ---- */

struct writer {
	struct stream *stream;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t next; /* number of the op to publish next, its thread's own; 0: to be found out */
	uint64_t accepted; /* number of the last op accepted */
	uint64_t closed;   /* how often the window closed */
	uint64_t beats;
	uint64_t last_beat;
	struct fault why;
};

static void writer_accepted(void *ctx, uint16_t scope, struct position upto)
{
	struct writer *w = ctx;
	ck_assert_uint_eq(scope, 3);
	pthread_mutex_lock(&w->lock);
	ck_assert_uint_gt(upto.seq, w->accepted);
	w->accepted = upto.seq;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void writer_closed(void *ctx, const struct fault *why)
{
	struct writer *w = ctx;
	pthread_mutex_lock(&w->lock);
	w->closed++;
	w->why = *why;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void writer_beat(void *ctx, const char *region, uint16_t scope, struct bytes beat)
{
	struct writer *w = ctx;
	ck_assert_str_eq(region, "a");
	ck_assert_uint_eq(scope, 5);
	ck_assert_uint_eq(beat.len, 8);
	pthread_mutex_lock(&w->lock);
	w->beats++;
	memcpy(&w->last_beat, beat.data, 8);
	pthread_mutex_unlock(&w->lock);
}

static uint64_t read_locked(struct writer *w, const uint64_t *what)
{
	pthread_mutex_lock(&w->lock);
	uint64_t v = *what;
	pthread_mutex_unlock(&w->lock);
	return v;
}

static void writer_open(struct writer *w, const char *region, const char *domain, const char *peer,
			const char *peer_domain, unsigned port)
{
	char url[64];
	struct stream_peer p = { .region = peer, .domain = peer_domain };
	snprintf(url, sizeof(url), "nats://127.0.0.1:%u", port);
	*w = (struct writer){ 0 };
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	struct stream_config c = {
		.fleet = FLEET,
		.region = region,
		.domain = domain,
		.peers = &p,
		.peer_count = 1,
		.events = { .ctx = w,
			    .on_accepted = writer_accepted,
			    .on_closed = writer_closed,
			    .on_beat = writer_beat },
		.urls = url,
		.user = "edge",
		.password_file = password_file,
		.ack_wait_ms = 2000,
	};
	struct fault f = { 0 };
	ck_assert_msg(stream_nats_new(&c, &w->stream, &f) == ERR_NONE, "%s", f.text);
}

static void writer_close(struct writer *w)
{
	stream_free(w->stream);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
}

/* What a publisher does: opens the window, looks what is stored, goes on after it; again after
 * every failure, until op `upto` is accepted. */
static void write_until(struct writer *w, uint64_t upto, size_t payload_bytes)
{
	uint8_t *payload = calloc(1, payload_bytes);
	uint64_t end = now_ms() + DEADLINE_MS;

	while (read_locked(w, &w->accepted) < upto) {
		ck_assert_msg(now_ms() < end, "op %" PRIu64 " of %" PRIu64 " is never accepted: %s",
			      w->accepted, upto, w->why.text);
		struct stream_state state;
		stream_state(w->stream, &state);
		if (!state.window_open) {
			CLEANUP(buf_release) struct buf tail = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
			struct fault f = { 0 };
			enum err e = stream_open(w->stream, &f);
			if (!e)
				e = stream_tail(w->stream, 3, &tail, &f);
			uint64_t stored = 0;
			if (!e)
				memcpy(&stored, tail.data, 8);
			if (e && e != ERR_NOT_FOUND) {
				pause_ms(20);
				continue;
			}
			w->next = stored + 1;
			/* Stored, though its acknowledgement was lost. */
			pthread_mutex_lock(&w->lock);
			w->accepted = MAX(w->accepted, stored);
			pthread_mutex_unlock(&w->lock);
			continue;
		}
		if (w->next > upto) {
			pause_ms(1);
			continue;
		}
		char id[STREAM_ID_MAX];
		snprintf(id, sizeof(id), "op-%" PRIu64, w->next);
		memcpy(payload, &w->next, 8);
		struct stream_message m = { .scope = 3,
					    .last = { .epoch = 1, .seq = w->next },
					    .id = id,
					    .payload = { .data = payload, .len = payload_bytes } };
		enum err e = stream_publish(w->stream, &m);
		if (!e)
			w->next++;
		else
			pause_ms(1);
		ck_assert_msg(!e || e == ERR_RATE_LIMITED || e == ERR_UNAVAILABLE, "%s",
			      err_name(e));
	}
	free(payload);
}

/* ---- a region's reader ---- */

struct collector {
	struct stream_consumer *consumer;
	pthread_mutex_t lock;
	uint64_t last; /* op */
	uint64_t last_seq;
	uint64_t generation;
	uint64_t delivered; /* messages */
	uint64_t refuse;    /* says "not now" so many times */
	uint64_t gaps;
	struct stream_gap gap;
	bool out_of_order;
	bool hold_acks;
};

static bool collect(void *ctx, const struct stream_delivery *d)
{
	struct collector *c = ctx;
	uint64_t op;
	pthread_mutex_lock(&c->lock);
	if (c->refuse > 0) {
		c->refuse--;
		pthread_mutex_unlock(&c->lock);
		return false;
	}
	memcpy(&op, d->payload.data, 8);
	bool same = c->generation == d->token.generation;
	/* Seq by seq within a generation; an op at most once, in order. */
	if ((same && d->token.seq != c->last_seq + 1) || (same && op != c->last + 1))
		c->out_of_order = true;
	c->generation = d->token.generation;
	c->last_seq = d->token.seq;
	c->last = op;
	c->delivered++;
	bool ack = !c->hold_acks;
	pthread_mutex_unlock(&c->lock);
	if (ack)
		stream_ack(c->consumer, d->token);
	return true;
}

static void collect_gap(void *ctx, const struct stream_gap *g)
{
	struct collector *c = ctx;
	pthread_mutex_lock(&c->lock);
	c->gaps++;
	c->gap = *g;
	if (g->kind == STREAM_GAP_EXPIRED)
		c->last_seq = g->to;
	pthread_mutex_unlock(&c->lock);
}

static uint64_t collected(struct collector *c, const uint64_t *what)
{
	pthread_mutex_lock(&c->lock);
	uint64_t v = *what;
	pthread_mutex_unlock(&c->lock);
	return v;
}

static void collector_open(struct collector *c, struct stream *s, const char *region, uint64_t from)
{
	struct stream_handler h = { .ctx = c, .on_message = collect, .on_gap = collect_gap };
	struct fault f = { 0 };
	/* The first delivery may come before stream_consume has returned: it finds the lock
	 * taken. */
	pthread_mutex_lock(&c->lock);
	enum err e = stream_consume(s, region, from, &h, &c->consumer, &f);
	pthread_mutex_unlock(&c->lock);
	ck_assert_msg(e == ERR_NONE, "%s", f.text);
}

static void collector_init(struct collector *c)
{
	*c = (struct collector){ .generation = UINT64_MAX };
	pthread_mutex_init(&c->lock, NULL);
}

static void collector_close(struct collector *c)
{
	stream_consumer_close(c->consumer);
	ck_assert(!c->out_of_order);
	pthread_mutex_destroy(&c->lock);
}

/* ---- the pair ---- */

static struct writer a, b;
static const struct provision_region two_regions[] = { { "a", "da" }, { "b", "db" } };
static const struct provision_plan plan = { .regions = two_regions,
					    .region_count = 2,
					    .max_bytes = 256u << 20,
					    .max_age_ms = 86400000,
					    .ack_wait_ms = 2000 };

static void pair_open(void)
{
	writer_open(&a, "a", "da", "b", "db", leaf_a.port);
	writer_open(&b, "b", "db", "a", "da", leaf_b.port);
}

static void provision(struct stream *s, uint32_t region, struct provision_report *report)
{
	struct fault f = { 0 };
	enum err e;
	/* A server that was just started knows its own domain some moments later. */
	UNTIL((e = provision_stream(s, &plan, region, report, &f)) != ERR_UNAVAILABLE &&
	      e != ERR_TIMEOUT);
	ck_assert_msg(e == ERR_NONE, "%s", f.text);
}

static void provision_both(void)
{
	struct provision_report report = { 0 };
	provision(a.stream, 0, &report);
	provision(b.stream, 1, &report);
	ck_assert_uint_eq(report.made, 4);
}

static void pair_close(void)
{
	writer_close(&a);
	writer_close(&b);
	stream_nats_end();
}

static uint64_t durable_floor(void)
{
	struct pull_found f = { 0 };
	if (stream_api_durable(b.stream, "da", "a", "b", &f, NULL))
		return 0;
	return f.floor;
}

/* ---- tests ---- */

START_TEST(start_without_nats_is_no_failure)
{
	struct collector c;
	struct stream_state state;
	struct stream_message m = { .id = "x",
				    .payload = { .data = (const uint8_t *)"x", .len = 1 } };
	server_kill(&leaf_a);
	writer_open(&a, "a", "da", "b", "db", leaf_a.port);
	collector_init(&c);
	collector_open(&c, a.stream, "b", STREAM_FROM_ACKED);
	UNTIL((stream_state(a.stream, &state),
	       state.trouble.text[0] != '\0' && state.connects == 0));
	ck_assert(!state.connected);
	ck_assert_int_eq(stream_open(a.stream, NULL), ERR_UNAVAILABLE);
	ck_assert_int_eq(stream_publish(a.stream, &m), ERR_UNAVAILABLE);
	ck_assert_int_eq(stream_beat(a.stream, 0, m.payload), ERR_UNAVAILABLE);

	server_start(&leaf_a);
	UNTIL((stream_state(a.stream, &state),
	       state.connected && state.version[0] && state.rtt_us > 0));
	ck_assert_uint_eq(state.connects, 1);
	ck_assert_int_gt(state.version[0], '0' - 1);
	ck_assert_ptr_nonnull(strchr(state.version, '.'));
	struct fault f = { 0 };
	UNTIL(stream_open(a.stream, &f) == ERR_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(f.text, "OPS_a"));
	collector_close(&c);
	writer_close(&a);
	stream_nats_end();
}
END_TEST

START_TEST(refused_password_is_tried_again)
{
	struct stream_state state;
	file_write(password_file, "wrong\n");
	writer_open(&a, "a", "da", "b", "db", leaf_a.port);
	UNTIL((stream_state(a.stream, &state), strstr(state.trouble.text, "uthorization") != NULL));
	ck_assert(!state.connected);
	/* The connection that was refused keeps its password: only another one can succeed. */
	file_write(password_file, "secret\n");
	UNTIL((stream_state(a.stream, &state), state.connected));
	writer_close(&a);
	stream_nats_end();
}
END_TEST

START_TEST(end_comes_while_nats_is_down)
{
	struct collector c;
	struct stream_state state;
	pair_open();
	provision_both();
	collector_init(&c);
	collector_open(&c, b.stream, "a", STREAM_FROM_ACKED);
	write_until(&a, 50, 100);
	UNTIL(collected(&c, &c.last) == 50);
	server_kill(&leaf_a);
	server_kill(&leaf_b);
	UNTIL((stream_state(b.stream, &state), !state.connected));
	UNTIL((stream_state(a.stream, &state), !state.connected && !state.window_open));
	ck_assert_uint_eq(read_locked(&a, &a.closed), 1);
	collector_close(&c);
	pair_close();
}
END_TEST

START_TEST(payload_beyond_the_bound_is_refused)
{
	pair_open();
	provision_both();
	ck_assert_int_eq(stream_open(a.stream, NULL), ERR_NONE);
	uint8_t *big = calloc(1, STREAM_PAYLOAD_BYTES_MAX + 1);
	struct stream_message m = { .scope = 3,
				    .last = { .epoch = 1, .seq = 1 },
				    .id = "x",
				    .payload = { .data = big,
						 .len = STREAM_PAYLOAD_BYTES_MAX + 1 } };
	ck_assert_int_eq(stream_publish(a.stream, &m), ERR_TOO_LARGE);
	m.payload.len = 0;
	ck_assert_int_eq(stream_publish(a.stream, &m), ERR_BAD_INPUT);
	m.payload.len = STREAM_PAYLOAD_BYTES_MAX;
	ck_assert_int_eq(stream_publish(a.stream, &m), ERR_NONE);
	UNTIL(read_locked(&a, &a.accepted) == 1);
	free(big);
	pair_close();
}
END_TEST

START_TEST(provisioning_twice_changes_nothing)
{
	struct provision_report report = { 0 };
	struct fault f = { 0 };
	pair_open();
	provision_both();
	provision(a.stream, 0, &report);
	ck_assert_uint_eq(report.made + report.changed, 0);
	ck_assert_uint_eq(report.kept, 2);

	struct provision_plan other = plan;
	other.max_bytes = 128u << 20;
	other.ack_wait_ms = 3000;
	ck_assert_int_eq(provision_stream(a.stream, &other, 0, &report, &f), ERR_NONE);
	ck_assert_uint_eq(report.changed, 2);
	other.max_bytes = 1ull << 40;
	ck_assert_int_eq(provision_stream(a.stream, &other, 0, &report, &f), ERR_NO_SPACE);
	ck_assert_ptr_nonnull(strstr(f.text, "max_file"));

	const struct provision_region wrong[] = { { "a", "db" }, { "b", "da" } };
	other = plan;
	other.regions = wrong;
	/* The domain is answered by b's server, and b's stream has another subject; nothing is made
	 * there for a. */
	ck_assert_int_eq(provision_stream(a.stream, &other, 0, &report, &f), ERR_NONE);
	pair_close();
}
END_TEST

START_TEST(messages_cross_two_domains_in_order)
{
	struct collector c;
	uint64_t beat = 0;
	pair_open();
	provision_both();
	collector_init(&c);
	collector_open(&c, b.stream, "a", STREAM_FROM_ACKED);
	write_until(&a, 3000, 300);
	UNTIL(collected(&c, &c.last) == 3000);
	ck_assert_uint_eq(c.delivered, 3000);
	ck_assert_uint_eq(c.gaps, 0);
	UNTIL(durable_floor() == 3000);

	/* Larger ones, more than one request may bring. */
	write_until(&a, 3060, 700000);
	UNTIL(collected(&c, &c.last) == 3060);

	UNTIL((beat++,
	       stream_beat(a.stream, 5, (struct bytes){ (const uint8_t *)&beat, 8 }) == ERR_NONE &&
		       read_locked(&b, &b.beats) > 2));
	ck_assert_uint_gt(read_locked(&b, &b.last_beat), 0);
	ck_assert_uint_eq(read_locked(&a, &a.beats), 0);

	struct stream_consumer_state state;
	stream_consumer_state(c.consumer, &state);
	ck_assert(state.flowing);
	ck_assert_uint_eq(state.delivered, 3060);
	ck_assert_uint_eq(state.pending, 0);
	collector_close(&c);
	pair_close();
}
END_TEST

START_TEST(reading_goes_on_after_what_was_acknowledged)
{
	struct collector c;
	pair_open();
	provision_both();
	collector_init(&c);
	collector_open(&c, b.stream, "a", STREAM_FROM_ACKED);
	write_until(&a, 100, 100);
	UNTIL(collected(&c, &c.last) == 100);
	stream_consumer_close(c.consumer);

	/* Delivered, not acknowledged: comes again, at once. */
	c.hold_acks = true;
	collector_open(&c, b.stream, "a", STREAM_FROM_ACKED);
	write_until(&a, 150, 100);
	UNTIL(collected(&c, &c.last) == 150);
	ck_assert_uint_eq(c.delivered, 150);
	stream_consumer_close(c.consumer);
	c.hold_acks = false;
	c.generation = UINT64_MAX;
	collector_open(&c, b.stream, "a", STREAM_FROM_ACKED);
	UNTIL(collected(&c, &c.delivered) == 200);
	ck_assert_uint_eq(c.last, 150);
	UNTIL(durable_floor() == 150);
	stream_consumer_close(c.consumer);

	/* At a sequence, whatever the server remembers. */
	c.generation = UINT64_MAX;
	collector_open(&c, b.stream, "a", 11);
	UNTIL(collected(&c, &c.delivered) == 340);
	ck_assert_uint_eq(c.last, 150);
	collector_close(&c);
	pair_close();
}
END_TEST

START_TEST(reset_begins_a_new_generation)
{
	struct collector c;
	pair_open();
	provision_both();
	collector_init(&c);
	collector_open(&c, b.stream, "a", STREAM_FROM_ACKED);
	write_until(&a, 50, 100);
	UNTIL(collected(&c, &c.last) == 50);
	pthread_mutex_lock(&c.lock);
	struct stream_token stale = { .generation = c.generation, .seq = 50 };
	c.hold_acks = true;
	pthread_mutex_unlock(&c.lock);
	uint64_t generation = stream_reset(c.consumer, 21);
	ck_assert_uint_ne(generation, stale.generation);
	UNTIL(collected(&c, &c.generation) == generation && collected(&c, &c.last) == 50);
	ck_assert_uint_eq(c.delivered, 80);
	stream_ack(c.consumer, stale);
	stream_ack(c.consumer, (struct stream_token){ .generation = generation, .seq = 30 });
	UNTIL(durable_floor() == 30);
	stream_ack(c.consumer, stale);
	write_until(&a, 60, 100);
	UNTIL(collected(&c, &c.last) == 60);
	ck_assert_uint_eq(durable_floor(), 30);
	collector_close(&c);
	pair_close();
}
END_TEST

START_TEST(owner_may_say_not_now)
{
	struct collector c;
	struct stream_consumer_state state;
	pair_open();
	provision_both();
	collector_init(&c);
	c.refuse = 3;
	c.hold_acks = true;
	collector_open(&c, b.stream, "a", STREAM_FROM_ACKED);
	write_until(&a, STREAM_UNACKED_MAX + 100, 50);
	/* Without acknowledgements it stops at the bound. */
	UNTIL(collected(&c, &c.last) == STREAM_UNACKED_MAX);
	UNTIL((stream_consumer_state(c.consumer, &state), state.held));
	ck_assert_uint_eq(state.delivered, STREAM_UNACKED_MAX);
	pthread_mutex_lock(&c.lock);
	struct stream_token t = { .generation = c.generation, .seq = c.last_seq };
	c.hold_acks = false;
	pthread_mutex_unlock(&c.lock);
	stream_ack(c.consumer, t);
	UNTIL(collected(&c, &c.last) == STREAM_UNACKED_MAX + 100);
	ck_assert_uint_eq(c.refuse, 0);
	collector_close(&c);
	pair_close();
}
END_TEST

START_TEST(same_id_is_stored_once_and_closes_the_window)
{
	CLEANUP(buf_release) struct buf tail = BUF_INIT(1000);
	pair_open();
	provision_both();
	write_until(&a, 5, 100);
	uint64_t op = 99;
	struct stream_message m = { .scope = 3,
				    .last = { .epoch = 1, .seq = 99 },
				    .id = "op-5",
				    .payload = { .data = (const uint8_t *)&op, .len = 8 } };
	ck_assert_int_eq(stream_publish(a.stream, &m), ERR_NONE);
	UNTIL(read_locked(&a, &a.closed) == 1);
	ck_assert_int_eq(a.why.err, ERR_GAP);
	ck_assert_int_eq(stream_publish(a.stream, &m), ERR_UNAVAILABLE);
	ck_assert_int_eq(stream_open(a.stream, NULL), ERR_NONE);
	ck_assert_int_eq(stream_tail(a.stream, 3, &tail, NULL), ERR_NONE);
	ck_assert_mem_eq(tail.data, "\5\0\0\0\0\0\0\0", 8);
	ck_assert_int_eq(stream_tail(a.stream, 4, &tail, NULL), ERR_NOT_FOUND);
	write_until(&a, 10, 100);
	pair_close();
}
END_TEST

static void *write_2000(void *arg)
{
	(void)arg;
	write_until(&a, 2000, 200);
	return NULL;
}

/* kill -9 of a server in the middle of the flow, three times. */
static void kills(struct server *victim)
{
	struct collector c;
	pthread_t t;
	pair_open();
	provision_both();
	collector_init(&c);
	collector_open(&c, b.stream, "a", STREAM_FROM_ACKED);
	write_until(&a, 200, 200);
	ck_assert_int_eq(pthread_create(&t, NULL, write_2000, NULL), 0);
	for (uint64_t i = 1; i <= 3; i++) {
		UNTIL(collected(&c, &c.last) >= 400 * i || read_locked(&a, &a.accepted) == 2000);
		server_kill(victim);
		server_start(victim);
	}
	pthread_join(t, NULL);
	UNTIL(collected(&c, &c.last) == 2000);
	ck_assert(!c.out_of_order);
	ck_assert_uint_eq(c.delivered, 2000);
	ck_assert_uint_eq(c.gaps, 0);
	UNTIL(durable_floor() == 2000);
	collector_close(&c);
	pair_close();
}

START_TEST(killed_hub_loses_nothing)
{
	kills(&hub);
}
END_TEST

START_TEST(killed_leaf_of_the_writer_loses_nothing)
{
	kills(&leaf_a);
}
END_TEST

START_TEST(killed_leaf_of_the_reader_loses_nothing)
{
	kills(&leaf_b);
}
END_TEST

START_TEST(wiped_store_is_told_and_read_anew)
{
	struct collector c;
	char store[128];
	struct provision_report report = { 0 };
	pair_open();
	provision_both();
	collector_init(&c);
	collector_open(&c, b.stream, "a", STREAM_FROM_ACKED);
	write_until(&a, 300, 100);
	UNTIL(collected(&c, &c.last) == 300);

	server_kill(&leaf_a);
	snprintf(store, sizeof(store), "%s/a", folder);
	remove_tree(store);
	server_start(&leaf_a);
	struct fault f = { 0 };
	UNTIL(stream_open(a.stream, &f) == ERR_NOT_FOUND);
	provision(a.stream, 0, &report);
	ck_assert_uint_eq(report.made, 2);

	/* The writer finds nothing stored; where it begins is its own decision. */
	pthread_mutex_lock(&a.lock);
	a.accepted = 0;
	pthread_mutex_unlock(&a.lock);
	write_until(&a, 40, 100);
	UNTIL(collected(&c, &c.last) == 40);
	ck_assert_uint_eq(c.gaps, 1);
	ck_assert_int_eq(c.gap.kind, STREAM_GAP_REBORN);
	ck_assert_uint_eq(c.gap.generation, c.generation);
	ck_assert_uint_eq(c.last_seq, 40);
	UNTIL(durable_floor() == 40);
	collector_close(&c);
	pair_close();
}
END_TEST

START_TEST(deleted_durable_is_made_anew_where_it_stood)
{
	struct collector c;
	pair_open();
	provision_both();
	collector_init(&c);
	collector_open(&c, b.stream, "a", STREAM_FROM_ACKED);
	write_until(&a, 100, 100);
	UNTIL(collected(&c, &c.last) == 100);
	UNTIL(durable_floor() == 100);
	struct fault f = { 0 };
	enum err e = stream_api_remove(a.stream, "da", "a", "b", &f);
	ck_assert_msg(e == ERR_NONE, "%s", f.text);
	write_until(&a, 200, 100);
	UNTIL(collected(&c, &c.last) == 200);
	ck_assert_uint_eq(c.delivered, 200);
	ck_assert_uint_eq(c.gaps, 0);
	UNTIL(durable_floor() == 200);
	collector_close(&c);
	pair_close();
}
END_TEST

/* One server without domains stands for a stretched cluster: the other code path of every
 * subject. */
START_TEST(streams_without_domains_work_too)
{
	struct collector c;
	struct server single = { 0 };
	char text[1024];
	const struct provision_region regions[] = { { "a", "" }, { "b", "" } };
	struct provision_plan p = plan;
	struct provision_report report = { 0 };
	struct fault f = { 0 };
	enum err e;
	p.regions = regions;
	single.port = free_port();
	snprintf(
		text, sizeof(text),
		"listen: 127.0.0.1:%u\njetstream { store_dir: \"%s/single\", max_file: 1G }\n" ACCOUNTS(
			"jetstream: enabled,", "secret"),
		single.port, folder);
	config_write(&single, "single", text);
	server_start(&single);
	writer_open(&a, "a", "", "b", "", single.port);
	writer_open(&b, "b", "", "a", "", single.port);
	for (uint32_t i = 0; i < 2; i++) {
		UNTIL((e = provision_stream(a.stream, &p, i, &report, &f)) != ERR_UNAVAILABLE);
		ck_assert_msg(e == ERR_NONE, "%s", f.text);
	}
	ck_assert_uint_eq(report.made, 4);
	collector_init(&c);
	collector_open(&c, b.stream, "a", STREAM_FROM_ACKED);
	write_until(&a, 500, 100);
	UNTIL(collected(&c, &c.last) == 500);
	server_kill(&single);
	server_start(&single);
	write_until(&a, 1000, 100);
	UNTIL(collected(&c, &c.last) == 1000);
	ck_assert_uint_eq(c.delivered, 1000);
	collector_close(&c);
	pair_close();
	server_kill(&single);
}
END_TEST

int main(void)
{
	binary = getenv("NATS_SERVER");
	if (!binary || binary[0] == '\0') {
		puts("SKIP: no nats-server (NATS_SERVER)");
		return SKIPPED;
	}
	Suite *s = suite_create("stream_nats");
	TCase *t = tcase_create("real servers");
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, start_without_nats_is_no_failure);
	tcase_add_test(t, refused_password_is_tried_again);
	tcase_add_test(t, end_comes_while_nats_is_down);
	tcase_add_test(t, payload_beyond_the_bound_is_refused);
	tcase_add_test(t, provisioning_twice_changes_nothing);
	tcase_add_test(t, messages_cross_two_domains_in_order);
	tcase_add_test(t, reading_goes_on_after_what_was_acknowledged);
	tcase_add_test(t, reset_begins_a_new_generation);
	tcase_add_test(t, owner_may_say_not_now);
	tcase_add_test(t, same_id_is_stored_once_and_closes_the_window);
	tcase_add_test(t, killed_hub_loses_nothing);
	tcase_add_test(t, killed_leaf_of_the_writer_loses_nothing);
	tcase_add_test(t, killed_leaf_of_the_reader_loses_nothing);
	tcase_add_test(t, wiped_store_is_told_and_read_anew);
	tcase_add_test(t, deleted_durable_is_made_anew_where_it_stood);
	tcase_add_test(t, streams_without_domains_work_too);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
