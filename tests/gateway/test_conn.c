/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: which protocol the first bytes choose, what the socket does not take, and every clock that ends one.
 */
#include "gateway/conn.h"

#include <signal.h>

#include "base/metric.h"
#include "gateway/h2.h"
#include "tests/gateway/socket_bed.h"
#include "tests/gateway/tls_bed.h"

static struct bed bed;
static struct conn_host host;
static struct conn_shared shared;
static struct client client;
static unsigned closed;

static void on_closed(struct conn_host *h UNUSED)
{
	closed++;
}

static void open_host(void)
{
	conn_shared_init(&shared, &bed.limits);
	ck_assert_int_eq(conn_host_init(&host, bed.loop, &bed.limits), ERR_NONE);
	host.shared = &shared;
	host.serve = bed_serve;
	host.serve_ctx = &bed;
	host.on_closed = on_closed;
}

static void setup(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	bed_open(&bed);
	bed_turn(&bed, 0);
	open_host();
}

static void teardown(void)
{
	client_close(&client);
	conn_host_release(&host);
	ck_assert_uint_eq(shared.connections, 0);
	ck_assert_uint_eq(shared.budget.used, 0);
	bed_reply_held(&bed);
	bed_close(&bed);
}

static void connect_from(struct client *c, struct tls_context *tls, struct sockaddr_storage address)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	client_init(c, fds[0]);
	ck_assert_int_eq(conn_open(&host, fds[1], &address, tls), ERR_NONE);
}

/* A connection, whose other end is the client's. */
static void connect_client(struct client *c, struct tls_context *tls)
{
	connect_from(c, tls, (struct sockaddr_storage){ .ss_family = AF_UNIX });
}

#define HOST "Host: a\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"
#define OK_EMPTY "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

/* Expects that the server ends the connection when ms have passed, and not before. */
static void expect_end_after(uint64_t ms)
{
	bed_turn(&bed, ms - 1);
	client_listen(&bed, &client);
	ck_assert_msg(!client.ended, "ended before its time");
	bed_turn(&bed, 1);
	client_listen(&bed, &client);
	ck_assert_msg(client.ended, "did not end in time");
}

/* --- behind proxies --- */

#define PROXY_V1 "PROXY TCP4 203.0.113.1 198.51.100.1 56324 443\r\n"
#define PROXY_V2 "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"

static struct forwarded_net proxy_net;
static const struct forwarded_nets proxy_nets = { &proxy_net, 1 };
static char seen[FORWARDED_ADDRESS_TEXT];

static void serve_and_look(void *ctx, struct request *r)
{
	forwarded_write_address((const struct sockaddr *)&r->client, seen);
	bed_serve(ctx, r);
}

static void require_proxy(void)
{
	ck_assert_int_eq(forwarded_parse_net(STR("10.0.0.0/8"), &proxy_net, NULL), ERR_NONE);
	host.proxies = &proxy_nets;
	host.serve = serve_and_look;
	seen[0] = '\0';
}

static void connect_proxy(const char *from, struct tls_context *tls)
{
	struct sockaddr_storage address;
	ck_assert(forwarded_parse_address((struct str){ from, strlen(from) }, &address));
	connect_from(&client, tls, address);
}

START_TEST(who_is_no_proxy_is_not_let_in)
{
	require_proxy();
	connect_proxy("192.0.2.1", NULL);
	ck_assert_uint_eq(host.count, 0);
	client_listen(&bed, &client);
	ck_assert(client.ended);
	client_close(&client);
	connect_client(&client, NULL);
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

START_TEST(a_connection_without_a_proxy_header_ends_unanswered)
{
	static const char *const texts[] = { GET("/echo"), H2_PREFACE, "PROXY TCP4 nonsense\r\n" GET("/echo"), "\x16\x03\x01" };
	require_proxy();
	for (size_t i = 0; i < LEN(texts); i++) {
		connect_proxy("10.1.1.1", NULL);
		client_say(&bed, &client, texts[i]);
		ck_assert_msg(client.ended && client.in.len == 0, "row %zu", i);
		client_close(&client);
	}
	ck_assert_uint_eq(bed.served, 0);
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

START_TEST(a_proxy_header_has_its_time)
{
	require_proxy();
	connect_proxy("10.1.1.1", NULL);
	client_send(&client, PROXY_V1, 20);
	expect_end_after(3000);
	ck_assert_uint_eq(client.in.len, 0);
}
END_TEST

START_TEST(a_proxy_header_names_the_client_however_it_is_cut)
{
	static const char v1[] = PROXY_V1 GET("/echo");
	static const char v2[] = PROXY_V2 GET("/echo");
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = { { v1, sizeof(v1) - 1 }, { v2, sizeof(v2) - 1 } };
	require_proxy();
	for (size_t i = 0; i < LEN(cases); i++)
		for (size_t cut = 0; cut <= cases[i].len; cut++) {
			seen[0] = '\0';
			connect_proxy("10.1.1.1", NULL);
			if (cut > 0)
				client_send(&client, cases[i].bytes, cut);
			client_listen(&bed, &client);
			if (cut < cases[i].len)
				client_send(&client, cases[i].bytes + cut, cases[i].len - cut);
			client_listen(&bed, &client);
			ck_assert_str_eq(client_text(&client), OK_EMPTY);
			ck_assert_str_eq(seen, "203.0.113.1");
			client_close(&client);
			bed_turn(&bed, 0);
		}
	/* Byte by byte. */
	connect_proxy("10.1.1.1", NULL);
	for (size_t i = 0; i < sizeof(v1) - 1; i++) {
		client_send(&client, v1 + i, 1);
		bed_turn(&bed, 0);
	}
	client_listen(&bed, &client);
	ck_assert_str_eq(client_text(&client), OK_EMPTY);
}
END_TEST

START_TEST(a_proxy_that_speaks_for_itself_is_the_client)
{
	require_proxy();
	connect_proxy("10.1.1.1", NULL);
	client_say(&bed, &client, "PROXY UNKNOWN\r\n" GET("/echo"));
	ck_assert_str_eq(client_text(&client), OK_EMPTY);
	ck_assert_str_eq(seen, "10.1.1.1");
}
END_TEST

START_TEST(silent_client_is_left_after_the_preface_time)
{
	connect_client(&client, NULL);
	expect_end_after(5000);
	ck_assert_uint_eq(client.in.len, 0);
	ck_assert_uint_eq(closed, 1);
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

START_TEST(part_of_a_preface_is_left_after_the_preface_time)
{
	connect_client(&client, NULL);
	client_say(&bed, &client, "PRI * HTTP/2.0\r\n");
	expect_end_after(5000);
	ck_assert_uint_eq(client.in.len, 0);
}
END_TEST

/* A byte a second, never a whole head. */
START_TEST(slowloris_gets_408)
{
	connect_client(&client, NULL);
	const char *head = GET("/echo");
	for (size_t i = 0; !client.ended && i < strlen(head); i++) {
		client_send(&client, head + i, 1);
		client_listen(&bed, &client);
		bed_turn(&bed, 1000);
		client_listen(&bed, &client);
	}
	ck_assert(client.ended);
	ck_assert_uint_eq(client_count(&client, "HTTP/1.1 408 Request Timeout\r\n"), 1);
	ck_assert_uint_eq(bed.served, 0);
}
END_TEST

START_TEST(first_bytes_choose_the_protocol_however_they_are_cut)
{
	static const char preface[] = H2_PREFACE "\0\0\0\4\0\0\0\0";
	const char *get = GET("/echo");
	for (size_t cut = 1; cut < sizeof(preface); cut++) {
		connect_client(&client, NULL);
		client_send(&client, preface, cut);
		client_listen(&bed, &client);
		client_send(&client, preface + cut, sizeof(preface) - cut);
		client_listen(&bed, &client);
		/* SETTINGS, WINDOW_UPDATE, and SETTINGS ACK */
		ck_assert_uint_ge(client.in.len, 9 + 24 + 13 + 9);
		ck_assert_uint_eq(client.in.data[3], 4);
		client_close(&client);
		bed_turn(&bed, 0);

		connect_client(&client, NULL);
		client_send(&client, get, MIN(cut, strlen(get)));
		client_listen(&bed, &client);
		if (cut < strlen(get))
			client_say(&bed, &client, get + cut);
		ck_assert_str_eq(client_text(&client), OK_EMPTY);
		client_close(&client);
		bed_turn(&bed, 0);
	}
	/* Methods that begin like the preface. */
	static const char *const others[] = { "PUT /echo HTTP/1.1\r\n" HOST "\r\n",
					      "PRI /echo HTTP/1.1\r\n" HOST "\r\n" };
	for (size_t i = 0; i < LEN(others); i++) {
		connect_client(&client, NULL);
		for (const char *at = others[i]; *at; at++) {
			client_send(&client, at, 1);
			bed_turn(&bed, 0);
		}
		client_listen(&bed, &client);
		ck_assert_str_eq(client_text(&client), OK_EMPTY);
		client_close(&client);
		bed_turn(&bed, 0);
	}
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

START_TEST(connection_is_kept_for_the_next_request_until_idle)
{
	connect_client(&client, NULL);
	for (int i = 0; i < 3; i++)
		client_say(&bed, &client, GET("/echo"));
	ck_assert_str_eq(client_text(&client), OK_EMPTY OK_EMPTY OK_EMPTY);
	expect_end_after(300000);
}
END_TEST

START_TEST(refused_request_is_read_on_so_that_the_reply_arrives)
{
	static char more[100000];
	connect_client(&client, NULL);
	client_say(&bed, &client,
		   "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 99999999\r\n\r\n");
	ck_assert_uint_eq(client_count(&client, "HTTP/1.1 413 "), 1);
	ck_assert(client.ended);
	ck_assert(!client.broken);
	for (int i = 0; i < 5; i++) {
		client_send(&client, more, sizeof(more));
		bed_turn(&bed, 0);
		bed_turn(&bed, 0);
	}
	ck_assert_uint_eq(host.count, 1);
	bed_turn(&bed, 4999);
	ck_assert_uint_eq(host.count, 1);
	bed_turn(&bed, 1);
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

START_TEST(lingering_is_bounded_in_bytes)
{
	static char more[100000];
	bed.limits.linger_bytes_max = 200000;
	connect_client(&client, NULL);
	client_say(&bed, &client, "nonsense\r\n\r\n");
	ck_assert_uint_eq(client_count(&client, "HTTP/1.1 400 "), 1);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(host.count, 1);
		client_send(&client, more, sizeof(more));
		bed_turn(&bed, 0);
		bed_turn(&bed, 0);
	}
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

START_TEST(client_that_goes_cancels_its_request)
{
	connect_client(&client, NULL);
	client_say(&bed, &client, GET("/hold"));
	ck_assert_uint_eq(bed.held_count, 1);
	ck_assert(!atomic_load(&bed.held[0]->cancelled));
	client_close(&client);
	bed_turn(&bed, 0);
	ck_assert(atomic_load(&bed.held[0]->cancelled));
	ck_assert_uint_eq(host.count, 0);
	bed_reply_held(&bed);
}
END_TEST

START_TEST(client_that_ends_its_half_gets_its_reply)
{
	connect_client(&client, NULL);
	const char *request = GET("/big?3000000");
	client_send(&client, request, strlen(request));
	ck_assert_int_eq(shutdown(client.fd, SHUT_WR), 0);
	client_listen(&bed, &client);
	ck_assert(client.ended);
	ck_assert_uint_gt(client.in.len, 3000000);
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

START_TEST(reply_from_elsewhere_goes_out_in_the_next_turn)
{
	connect_client(&client, NULL);
	client_say(&bed, &client, GET("/hold"));
	bed_reply_held(&bed);
	client_read(&client);
	ck_assert_uint_eq(client.in.len, 0);
	bed_turn(&bed, 0);
	client_read(&client);
	ck_assert_str_eq(client_text(&client), OK_EMPTY);
}
END_TEST

START_TEST(big_reply_waits_for_its_reader)
{
	const size_t bytes = 20000000;
	connect_client(&client, NULL);
	const char *request = GET("/big?20000000");
	client_send(&client, request, strlen(request));
	for (int i = 0; i < 100; i++) {
		bed_turn(&bed, 20000); /* time passes, and each time the reader takes a little */
		static uint8_t piece[150000];
		ssize_t n = recv(client.fd, piece, sizeof(piece), MSG_DONTWAIT);
		ck_assert_int_gt(n, 0);
		buf_append(&client.in, piece, (size_t)n);
	}
	client_listen(&bed, &client);
	const char *head = "HTTP/1.1 200 OK\r\ncontent-length: 20000000\r\n\r\n";
	ck_assert_uint_eq(client.in.len, strlen(head) + bytes);
	for (size_t i = 0; i < bytes; i++)
		if (client.in.data[strlen(head) + i] != bed_pattern(i))
			ck_abort_msg("byte %zu differs", i);
	client_say(&bed, &client, GET("/echo"));
	ck_assert_uint_eq(client.in.len, strlen(head) + bytes + strlen(OK_EMPTY));
}
END_TEST

START_TEST(client_that_takes_nothing_is_left)
{
	connect_client(&client, NULL);
	const char *request = GET("/big?20000000");
	client_send(&client, request, strlen(request));
	for (int i = 0; i < 5; i++)
		bed_turn(&bed, 0);
	bed_turn(&bed, 29999);
	ck_assert_uint_eq(host.count, 1);
	bed_turn(&bed, 1);
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

START_TEST(many_requests_in_one_write_are_all_answered)
{
	CLEANUP(buf_release) struct buf all = BUF_INIT(1 << 20);
	for (int i = 0; i < 3000; i++)
		buf_append_cstr(&all, GET("/echo"));
	connect_client(&client, NULL);
	for (size_t at = 0; at < all.len;) {
		ssize_t n =
			send(client.fd, all.data + at, all.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			at += (size_t)n;
		client_listen(&bed, &client);
	}
	ck_assert_uint_eq(client_count(&client, OK_EMPTY), 3000);
	ck_assert_uint_eq(bed.served, 3000);
}
END_TEST

START_TEST(old_connection_is_drained)
{
	connect_client(&client, NULL);
	uint64_t ms = 0;
	while (!client.ended && ms < 4000000) {
		client_say(&bed, &client, GET("/echo"));
		bed_turn(&bed, 60000);
		client_listen(&bed, &client);
		ms += 60000;
	}
	/* An hour, ten percent more or less. */
	ck_assert_uint_ge(ms, 3240000);
	ck_assert_uint_le(ms, 3960000 + 60000);
	client_close(&client);
	bed_turn(&bed, 0);
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

START_TEST(drain_waits_for_replies_and_ends_the_rest)
{
	struct client idle;
	struct client silent;
	connect_client(&client, NULL);
	connect_client(&idle, NULL);
	connect_client(&silent, NULL);
	client_say(&bed, &client, GET("/hold"));
	client_say(&bed, &idle, GET("/echo"));
	conn_drain_all(&host, 10000);
	client_listen(&bed, &idle);
	client_listen(&bed, &silent);
	ck_assert(idle.ended);
	ck_assert(silent.ended);
	client_listen(&bed, &client);
	ck_assert(!client.ended);
	bed_reply_held(&bed);
	client_listen(&bed, &client);
	ck_assert(client.ended);
	ck_assert_str_eq(client_text(&client),
			 "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
	client_close(&client);
	client_close(&idle);
	client_close(&silent);
	bed_turn(&bed, 0);
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

/* Clients that pool connections do not look at an idle one before they need it. */
START_TEST(drain_does_not_wait_long_for_a_client_that_keeps_its_idle_connection)
{
	connect_client(&client, NULL);
	client_say(&bed, &client, GET("/echo"));
	conn_drain_all(&host, 10000);
	client_listen(&bed, &client);
	ck_assert(client.ended);
	bed_turn(&bed, 499);
	ck_assert_uint_eq(host.count, 1);
	bed_turn(&bed, 1);
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

START_TEST(drain_ends_at_its_time_whatever_is_left)
{
	connect_client(&client, NULL);
	client_say(&bed, &client, GET("/hold"));
	conn_drain_all(&host, 10000);
	expect_end_after(10000);
	ck_assert(atomic_load(&bed.held[0]->cancelled));
	bed_reply_held(&bed);
}
END_TEST

START_TEST(refused_connection_is_told_so)
{
	int fds[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	client_init(&client, fds[0]);
	conn_refuse(&host, fds[1]);
	ck_assert_uint_eq(host.refusing, 1);
	client_say(&bed, &client, GET("/echo"));
	ck_assert_uint_eq(client_count(&client, "HTTP/1.1 503 Service Unavailable\r\n"), 1);
	ck_assert(client.ended);
	ck_assert(!client.broken);
	ck_assert_uint_eq(bed.served, 0);
	client_close(&client);
	bed_turn(&bed, 0);
	ck_assert_uint_eq(host.refusing, 0);
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

START_TEST(open_connections_are_counted)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(1 << 20);
	connect_client(&client, NULL);
	ck_assert_uint_eq(shared.connections, 1);
	metric_write(&text);
	buf_append_byte(&text, 0);
	ck_assert_ptr_nonnull(strstr((const char *)text.data, "\nisthmus_connections 1\n"));
	ck_assert_ptr_nonnull(strstr((const char *)text.data, "\nisthmus_connections_total 1\n"));
	client_close(&client);
	bed_turn(&bed, 0);
	ck_assert_uint_eq(shared.connections, 0);
	buf_reset(&text);
	metric_write(&text);
	buf_append_byte(&text, 0);
	ck_assert_ptr_nonnull(strstr((const char *)text.data, "\nisthmus_connections 0\n"));
}
END_TEST

/* --- HTTP/2 over a socket -------------------------------------------------------------------- */

START_TEST(http_2_flood_gets_its_goaway)
{
	connect_client(&client, NULL);
	client_say(&bed, &client, H2_PREFACE);
	client_send(&client, "\0\0\0\4\0\0\0\0\0", 9);
	for (int i = 0; i < 100; i++)
		client_send(&client,
			    "\0\0\x08\6\0\0\0\0\0"
			    "12345678",
			    17);
	client_listen(&bed, &client);
	ck_assert(client.ended);
	ck_assert(!client.broken);
	ck_assert_uint_ge(client.in.len, 17);
	const uint8_t goaway[] = { 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11 };
	ck_assert_mem_eq(client.in.data + client.in.len - 17, goaway, 17);
}
END_TEST

/* --- TLS ------------------------------------------------------------------------------------- */

static const char *const files[] = { "ca.pem", "a.pem", "a.key", "b.pem", "b.key" };
static struct tls_bed certificates;
static struct tls_context *context;
static SSL_CTX *client_ctx;
static SSL *ssl;

static void setup_tls(void)
{
	setup();
	tls_bed_make(&certificates);
	tls_bed_issue(&certificates, "a", -100, 1000);
	tls_bed_issue(&certificates, "b", -100, 1000);
	const struct tls_options o = {
		.certificate = tls_bed_path(&certificates, "a.pem"),
		.key = tls_bed_path(&certificates, "a.key"),
		.clock = clock_system(),
	};
	ck_assert_int_eq(tls_context_new(&o, &context, NULL), ERR_NONE);
	client_ctx = SSL_CTX_new(TLS_client_method());
}

static void teardown_tls(void)
{
	SSL_free(ssl);
	ssl = NULL;
	SSL_CTX_free(client_ctx);
	tls_context_unref(context);
	tls_bed_remove(&certificates, files, LEN(files));
	teardown();
}

static void shake(const char *alpn)
{
	ssl = tls_bed_client(client_ctx, client.fd, alpn);
	for (int i = 0; i < 20 && SSL_do_handshake(ssl) != 1; i++)
		bed_turn(&bed, 0);
	ck_assert(SSL_is_init_finished(ssl));
}

/* Reads until nothing more comes. */
static void listen_tls(void)
{
	for (int quiet = 0; quiet < 4; quiet++) {
		size_t n;
		bed_turn(&bed, 0);
		for (;;) {
			uint8_t *to = buf_reserve(&client.in, 65536);
			if (SSL_read_ex(ssl, to, 65536, &n) != 1)
				break;
			buf_commit(&client.in, n);
			quiet = 0;
		}
		if (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN)
			client.ended = true;
	}
}

static void say_tls(const char *text)
{
	ck_assert_int_eq(SSL_write(ssl, text, (int)strlen(text)), (int)strlen(text));
	listen_tls();
}

START_TEST(handshake_has_its_time)
{
	connect_client(&client, context);
	client_send(&client, "\x16\x03\x01", 3);
	expect_end_after(5000);
}
END_TEST

START_TEST(tls_comes_behind_the_proxy_header)
{
	require_proxy();
	connect_proxy("10.1.1.1", context);
	client_send(&client, PROXY_V2, sizeof(PROXY_V2) - 1);
	shake("\x08http/1.1");
	say_tls(GET("/echo"));
	ck_assert_str_eq(client_text(&client), OK_EMPTY);
	ck_assert_str_eq(seen, "203.0.113.1");
}
END_TEST

START_TEST(plain_text_on_a_tls_port_ends_the_connection)
{
	connect_client(&client, context);
	client_say(&bed, &client, GET("/echo"));
	ck_assert(client.ended);
	ck_assert_uint_eq(bed.served, 0);
}
END_TEST

START_TEST(silent_client_of_tls_is_left_as_well)
{
	connect_client(&client, context);
	shake(NULL);
	listen_tls();
	for (int i = 0; i < 6; i++)
		bed_turn(&bed, 1000);
	listen_tls();
	ck_assert(client.ended);
}
END_TEST

START_TEST(alpn_chooses_the_protocol)
{
	connect_client(&client, context);
	shake("\x08http/1.1");
	say_tls(GET("/echo"));
	ck_assert_str_eq(client_text(&client), OK_EMPTY);
	SSL_free(ssl);
	client_close(&client);
	bed_turn(&bed, 0);

	connect_client(&client, context);
	shake("\x02h2");
	say_tls(H2_PREFACE);
	ck_assert_uint_ge(client.in.len, 9);
	ck_assert_uint_eq(client.in.data[3], 4);
	SSL_free(ssl);
	client_close(&client);
	bed_turn(&bed, 0);

	connect_client(&client, context); /* HTTP/2 needs ALPN */
	shake(NULL);
	say_tls(H2_PREFACE);
	ck_assert_uint_eq(client_count(&client, "HTTP/1.1 505 "), 1);
	ck_assert(client.ended);
}
END_TEST

START_TEST(big_reply_passes_tls)
{
	connect_client(&client, context);
	shake("\x08http/1.1");
	say_tls(GET("/big?5000000"));
	ck_assert_uint_gt(client.in.len, 5000000);
	size_t head = client.in.len - 5000000;
	for (size_t i = 0; i < 5000000; i++)
		if (client.in.data[head + i] != bed_pattern(i))
			ck_abort_msg("byte %zu differs", i);
}
END_TEST

/* What TLS has read ahead does not show at the socket: records that came together, of which the
 * first ones were enough for the time being. */
START_TEST(records_that_were_read_ahead_are_not_forgotten)
{
	connect_client(&client, context);
	shake("\x08http/1.1");
	const char *hold = GET("/hold");
	const char *echo = GET("/echo");
	ck_assert_int_gt(SSL_write(ssl, hold, (int)strlen(hold)), 0);
	for (int i = 0; i < 5; i++)
		ck_assert_int_gt(SSL_write(ssl, echo, (int)strlen(echo)), 0);
	listen_tls();
	ck_assert_uint_eq(bed.served, 1);
	bed_reply_held(&bed);
	listen_tls();
	ck_assert_uint_eq(bed.served, 6);
	ck_assert_uint_eq(client_count(&client, OK_EMPTY), 6);
}
END_TEST

START_TEST(requests_that_wait_inside_tls_are_answered)
{
	CLEANUP(buf_release) struct buf all = BUF_INIT(1 << 20);
	buf_append_cstr(&all, GET("/hold"));
	for (int i = 0; i < 1500; i++)
		buf_append_cstr(&all, GET("/echo"));
	connect_client(&client, context);
	shake("\x08http/1.1");
	for (size_t at = 0; at < all.len;) {
		size_t n;
		if (SSL_write_ex(ssl, all.data + at, MIN(all.len - at, 4000), &n) == 1)
			at += n;
		bed_turn(&bed, 0);
	}
	ck_assert_uint_eq(bed.served, 1);
	bed_reply_held(&bed);
	listen_tls();
	ck_assert_uint_eq(bed.served, 1501);
	ck_assert_uint_eq(client_count(&client, OK_EMPTY), 1501);
}
END_TEST

static char seen_peer[32];
static bool seen_as_peer;

static void look_at_peer(void *ctx, struct request *r)
{
	ck_assert_uint_lt(r->peer_region.len, sizeof(seen_peer));
	memcpy(seen_peer, r->peer_region.data, r->peer_region.len);
	seen_as_peer = r->tls && r->peer;
	bed_serve(ctx, r);
}

static bool knows_peer(void *ctx, struct str name)
{
	return name.len == strlen(ctx) && memcmp(name.data, ctx, name.len) == 0;
}

/* A client with b's certificate, at the peers' door. */
static void connect_peer(const char *alpn)
{
	const struct tls_options o = {
		.certificate = tls_bed_path(&certificates, "a.pem"),
		.key = tls_bed_path(&certificates, "a.key"),
		.client_ca = tls_bed_path(&certificates, "ca.pem"),
		.clock = clock_system(),
	};
	struct tls_context *peers;

	ck_assert_int_eq(tls_context_new(&o, &peers, NULL), ERR_NONE);
	ck_assert_int_eq(SSL_CTX_use_certificate_file(client_ctx,
						      tls_bed_path(&certificates, "b.pem"),
						      SSL_FILETYPE_PEM),
			 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(client_ctx,
						     tls_bed_path(&certificates, "b.key"),
						     SSL_FILETYPE_PEM),
			 1);
	connect_client(&client, peers);
	tls_context_unref(peers);
	shake(alpn);
	listen_tls();
}

START_TEST(peer_is_named_by_its_certificate)
{
	static const char get[] = H2_PREFACE "\0\0\0\4\0\0\0\0\0"
					     "\0\0\x0c\1\5\0\0\0\1"
					     "\x82\x86\x41\x01"
					     "a"
					     "\x04\x05"
					     "/echo";
	char name[] = "b";
	host.peer = true;
	host.knows_peer = knows_peer;
	host.knows_peer_ctx = name;
	host.serve = look_at_peer;
	connect_peer("\x02h2");
	ck_assert(!client.ended);
	ck_assert_int_eq(SSL_write(ssl, get, sizeof(get) - 1), sizeof(get) - 1);
	listen_tls();
	ck_assert_uint_eq(bed.served, 1);
	ck_assert(seen_as_peer);
	ck_assert_str_eq(seen_peer, "b");
}
END_TEST

START_TEST(peers_of_other_fleets_and_protocols_are_left)
{
	char name[] = "c";
	host.peer = true;
	connect_peer("\x08http/1.1");
	ck_assert_uint_eq(host.count, 0);
	SSL_free(ssl);
	client_close(&client);
	host.knows_peer = knows_peer;
	host.knows_peer_ctx = name;
	connect_peer("\x02h2");
	ck_assert_uint_eq(host.count, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *t = tcase_create("plain");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, silent_client_is_left_after_the_preface_time);
	tcase_add_test(t, part_of_a_preface_is_left_after_the_preface_time);
	tcase_add_test(t, slowloris_gets_408);
	tcase_add_test(t, refused_request_is_read_on_so_that_the_reply_arrives);
	tcase_add_test(t, lingering_is_bounded_in_bytes);
	tcase_add_test(t, refused_connection_is_told_so);
	tcase_add_test(t, http_2_flood_gets_its_goaway);
	tcase_add_test(t, first_bytes_choose_the_protocol_however_they_are_cut);
	tcase_add_test(t, connection_is_kept_for_the_next_request_until_idle);
	tcase_add_test(t, client_that_goes_cancels_its_request);
	tcase_add_test(t, client_that_ends_its_half_gets_its_reply);
	tcase_add_test(t, reply_from_elsewhere_goes_out_in_the_next_turn);
	tcase_add_test(t, big_reply_waits_for_its_reader);
	tcase_add_test(t, client_that_takes_nothing_is_left);
	tcase_add_test(t, many_requests_in_one_write_are_all_answered);
	tcase_add_test(t, old_connection_is_drained);
	tcase_add_test(t, drain_waits_for_replies_and_ends_the_rest);
	tcase_add_test(t, drain_does_not_wait_long_for_a_client_that_keeps_its_idle_connection);
	tcase_add_test(t, drain_ends_at_its_time_whatever_is_left);
	tcase_add_test(t, open_connections_are_counted);
	tcase_add_test(t, who_is_no_proxy_is_not_let_in);
	tcase_add_test(t, a_connection_without_a_proxy_header_ends_unanswered);
	tcase_add_test(t, a_proxy_header_has_its_time);
	tcase_add_test(t, a_proxy_header_names_the_client_however_it_is_cut);
	tcase_add_test(t, a_proxy_that_speaks_for_itself_is_the_client);
	suite_add_tcase(s, t);

	t = tcase_create("TLS");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup_tls, teardown_tls);
	tcase_add_test(t, handshake_has_its_time);
	tcase_add_test(t, plain_text_on_a_tls_port_ends_the_connection);
	tcase_add_test(t, tls_comes_behind_the_proxy_header);
	tcase_add_test(t, silent_client_of_tls_is_left_as_well);
	tcase_add_test(t, alpn_chooses_the_protocol);
	tcase_add_test(t, big_reply_passes_tls);
	tcase_add_test(t, records_that_were_read_ahead_are_not_forgotten);
	tcase_add_test(t, requests_that_wait_inside_tls_are_answered);
	tcase_add_test(t, peer_is_named_by_its_certificate);
	tcase_add_test(t, peers_of_other_fleets_and_protocols_are_left);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
