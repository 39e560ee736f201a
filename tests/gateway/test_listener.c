/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners: addresses, who may take one, what happens when there are too many clients, and real clients.
 */
#include "gateway/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/gateway/socket_bed.h"
#include "tests/gateway/tls_bed.h"

extern char **environ;

static struct bed bed;
static struct conn_shared shared;
static struct listener *listener;
static struct client client;
static sa_family_t family;
static in_addr_t client_address;
static char dir[] = "/tmp/isthmus-listener-XXXXXX";
static char path[64];

static void serve(void *ctx, struct request *r)
{
	family = r->client.ss_family;
	if (family == AF_INET) {
		struct sockaddr_in v4;
		memcpy(&v4, &r->client, sizeof(v4));
		client_address = ntohl(v4.sin_addr.s_addr);
	}
	bed_serve(ctx, r);
}

static void setup(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	bed_open(&bed);
	bed_turn(&bed, 0);
	conn_shared_init(&shared, &bed.limits);
	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/sock", dir);
	client_init(&client, -1);
}

static void teardown(void)
{
	listener_free(listener);
	listener = NULL;
	client_close(&client);
	ck_assert_uint_eq(shared.connections, 0);
	bed_reply_held(&bed);
	bed_close(&bed);
	ck_assert_int_eq(rmdir(dir), 0);
}

static struct listener_options options(const char *address)
{
	return (struct listener_options){
		.loop = bed.loop,
		.limits = &bed.limits,
		.shared = &shared,
		.serve = serve,
		.serve_ctx = &bed,
		.address = address,
		.first = true,
	};
}

static struct listener *listen_on(const char *address)
{
	struct listener *l;
	struct fault f = { .text = "" };
	const struct listener_options o = options(address);
	enum err err = listener_new(&o, &l, &f);
	ck_assert_msg(err == ERR_NONE, "%s", f.text);
	return l;
}

static int connect_tcp(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static int connect_path(const char *to)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	memcpy(a.sun_path, to, strlen(to) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

#define GET(what) "GET " what " HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK_EMPTY "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

START_TEST(addresses_that_are_none_are_refused)
{
	static const char *const addresses[] = {
		"",
		"6333",
		":6333",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:x",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"127.0.0.1: 1",
		"localhost:6333",
		"::1:6333",
		"[::1]",
		"[::1:6333",
		"[127.0.0.1]:80",
		"1.2.3:80",
		"127.0.0.1:6333 ",
		"[]:80",
		"127.0.0.1:123456",
	};
	for (size_t i = 0; i < LEN(addresses); i++) {
		const struct listener_options o = options(addresses[i]);
		struct fault f = { .text = "" };
		ck_assert_msg(listener_new(&o, &listener, &f) == ERR_CONFIG, "row %zu", i);
		ck_assert_msg(strstr(f.text, addresses[i]) != NULL, "%s", f.text);
	}
	char longest[200] = "/";
	memset(longest + 1, 'x', 107);
	const struct listener_options o = options(longest);
	struct fault f = { .text = "" };
	ck_assert_int_eq(listener_new(&o, &listener, &f), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(f.text, "at most 107 bytes"));
	listener = NULL;
}
END_TEST

START_TEST(taken_address_is_said_to_be_taken)
{
	char address[32];
	struct listener *other = NULL;
	struct fault f = { .text = "" };
	listener = listen_on("127.0.0.1:0");
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", listener_port(listener));
	struct listener_options o = options(address);
	ck_assert_int_eq(listener_new(&o, &other, &f), ERR_ALREADY_EXISTS);
	ck_assert_ptr_nonnull(strstr(f.text, "somebody listens there already"));
	/* Our own further loops share it. */
	o.first = false;
	ck_assert_int_eq(listener_new(&o, &other, &f), ERR_NONE);
	ck_assert_uint_eq(listener_port(other), listener_port(listener));
	listener_free(other);
	/* An address that is not this machine's. */
	o = options("192.0.2.1:6333");
	ck_assert_int_ne(listener_new(&o, &other, &f), ERR_NONE);
	ck_assert_ptr_nonnull(strstr(f.text, "192.0.2.1:6333: cannot be bound: "));
}
END_TEST

START_TEST(request_by_tcp_is_answered)
{
	listener = listen_on("127.0.0.1:0");
	client.fd = connect_tcp(listener_port(listener));
	ck_assert_int_ge(client.fd, 0);
	client_say(&bed, &client, GET("/echo"));
	ck_assert_str_eq(client_text(&client), OK_EMPTY);
	ck_assert_int_eq(family, AF_INET);
	ck_assert_uint_eq(client_address, INADDR_LOOPBACK);
	ck_assert_uint_eq(shared.connections, 1);
}
END_TEST

START_TEST(client_of_ipv4_stays_one_on_an_ipv6_socket)
{
	struct listener_options o = options("[::]:0");
	struct fault f = { .text = "" };
	if (listener_new(&o, &listener, &f) != ERR_NONE) {
		listener = NULL;
		(void)fprintf(stderr, "skipped: no IPv6 here: %s\n", f.text);
		return;
	}
	client.fd = connect_tcp(listener_port(listener));
	ck_assert_int_ge(client.fd, 0);
	client_say(&bed, &client, GET("/echo"));
	ck_assert_str_eq(client_text(&client), OK_EMPTY);
	ck_assert_int_eq(family, AF_INET);
	ck_assert_uint_eq(client_address, INADDR_LOOPBACK);
}
END_TEST

START_TEST(request_by_a_unix_socket_is_answered)
{
	struct stat st;
	listener = listen_on(path);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_uint_eq(listener_port(listener), 0);
	client.fd = connect_path(path);
	ck_assert_int_ge(client.fd, 0);
	client_say(&bed, &client, GET("/echo"));
	ck_assert_str_eq(client_text(&client), OK_EMPTY);
	ck_assert_int_eq(family, AF_UNIX);
	listener_free(listener);
	listener = NULL;
	ck_assert_int_ne(stat(path, &st), 0);
}
END_TEST

START_TEST(path_of_a_living_daemon_or_a_file_is_refused)
{
	struct listener *other = NULL;
	struct fault f = { .text = "" };
	listener = listen_on(path);
	const struct listener_options o = options(path);
	ck_assert_int_eq(listener_new(&o, &other, &f), ERR_ALREADY_EXISTS);
	ck_assert_ptr_nonnull(strstr(f.text, "somebody listens there already"));
	client.fd = connect_path(path);
	ck_assert_int_ge(client.fd, 0);
	listener_free(listener);

	listener = NULL;
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(listener_new(&o, &other, &f), ERR_ALREADY_EXISTS);
	ck_assert_ptr_nonnull(strstr(f.text, "exists and is no socket"));
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(path_of_a_dead_daemon_is_taken_over)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	memcpy(a.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(close(fd), 0);
	listener = listen_on(path);
	client.fd = connect_path(path);
	ck_assert_int_ge(client.fd, 0);
	/* A socket that another put in our place is not ours to remove. */
	ck_assert_int_eq(unlink(path), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	listener_free(listener);
	listener = NULL;
	struct stat st;
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(close(fd), 0);
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(too_many_clients_are_refused_politely)
{
	struct client more[4];
	bed.limits.connections_max = 1;
	bed.limits.refusals_max = 2;
	listener = listen_on("127.0.0.1:0");
	client.fd = connect_tcp(listener_port(listener));
	client_say(&bed, &client, GET("/echo"));
	for (size_t i = 0; i < LEN(more); i++)
		client_init(&more[i], connect_tcp(listener_port(listener)));
	for (size_t i = 0; i < LEN(more); i++) {
		client_listen(&bed, &more[i]);
		ck_assert(more[i].ended);
		ck_assert_uint_eq(client_count(&more[i], "HTTP/1.1 503 Service Unavailable\r\n"),
				  i < 2);
	}
	/* Who is in stays in, and who leaves makes room. */
	client_say(&bed, &client, GET("/echo"));
	ck_assert_str_eq(client_text(&client), OK_EMPTY OK_EMPTY);
	for (size_t i = 0; i < LEN(more); i++)
		client_close(&more[i]);
	client_close(&client);
	bed_turn(&bed, 0);
	client_init(&client, connect_tcp(listener_port(listener)));
	client_say(&bed, &client, GET("/echo"));
	ck_assert_str_eq(client_text(&client), OK_EMPTY);
}
END_TEST

START_TEST(without_descriptors_clients_are_told_and_not_left_waiting)
{
	struct rlimit before;
	struct client more[2];
	listener = listen_on("127.0.0.1:0");
	client.fd = connect_tcp(listener_port(listener));
	client_say(&bed, &client, GET("/echo"));
	for (size_t i = 0; i < LEN(more); i++)
		client_init(&more[i], connect_tcp(listener_port(listener)));

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	int next = dup(0);
	ck_assert_int_eq(close(next), 0);
	struct rlimit low = { .rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (size_t i = 0; i < LEN(more); i++) {
		client_listen(&bed, &more[i]);
		ck_assert(more[i].ended);
	}
	client_say(&bed, &client, GET("/echo"));
	ck_assert_str_eq(client_text(&client), OK_EMPTY OK_EMPTY);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);

	client_close(&client);
	bed_turn(&bed, 200);
	client_init(&client, connect_tcp(listener_port(listener)));
	client_say(&bed, &client, GET("/echo"));
	ck_assert_str_eq(client_text(&client), OK_EMPTY);
	for (size_t i = 0; i < LEN(more); i++)
		client_close(&more[i]);
}
END_TEST

static unsigned drained;
static void on_drained(void *ctx)
{
	ck_assert_ptr_eq(ctx, &drained);
	drained++;
	/* It may be freed from here. */
	listener_free(listener);
	listener = NULL;
}

START_TEST(drain_ends_when_the_last_reply_is_out)
{
	drained = 0;
	listener = listen_on("127.0.0.1:0");
	uint16_t port = listener_port(listener);
	client.fd = connect_tcp(port);
	client_say(&bed, &client, GET("/hold"));
	listener_drain(listener, 10000, on_drained, &drained);
	listener_drain(listener, 10000, on_drained, &drained);
	bed_turn(&bed, 0);
	ck_assert_int_eq(connect_tcp(port), -1);
	ck_assert_uint_eq(drained, 0);
	bed_reply_held(&bed);
	client_listen(&bed, &client);
	ck_assert(client.ended);
	ck_assert_uint_eq(client_count(&client, "connection: close\r\n"), 1);
	client_close(&client);
	bed_turn(&bed, 0);
	ck_assert_uint_eq(drained, 1);
}
END_TEST

START_TEST(drain_without_connections_ends_at_once)
{
	drained = 0;
	listener = listen_on(path);
	listener_drain(listener, 10000, on_drained, &drained);
	bed_turn(&bed, 0);
	ck_assert_uint_eq(drained, 1);
	struct stat st;
	ck_assert_int_ne(stat(path, &st), 0);
}
END_TEST

START_TEST(drain_ends_at_its_time)
{
	drained = 0;
	listener = listen_on("127.0.0.1:0");
	client.fd = connect_tcp(listener_port(listener));
	client_say(&bed, &client, GET("/hold"));
	listener_drain(listener, 10000, on_drained, &drained);
	bed_turn(&bed, 0);
	bed_turn(&bed, 9999);
	ck_assert_uint_eq(drained, 0);
	bed_turn(&bed, 1);
	ck_assert_uint_eq(drained, 1);
}
END_TEST

/* --- clients of others ----------------------------------------------------------------------- */

static struct loop *real_loop;
static pid_t child;
static int child_status;
static struct loop_timer child_timer;

static void look_for_child(struct loop_timer *t)
{
	if (waitpid(child, &child_status, WNOHANG) == child)
		loop_stop(real_loop);
	else
		loop_timer_start(real_loop, t, 5);
}

/* Runs the program beside the loop; what it says comes into out. Its status, or -1 when it is not installed. */
static int run(const char *const args[], struct buf *out)
{
	int fds[2];
	posix_spawn_file_actions_t actions;
	char text[4096];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
	ck_assert_int_eq(posix_spawn_file_actions_init(&actions), 0);
	ck_assert_int_eq(posix_spawn_file_actions_adddup2(&actions, fds[1], 1), 0);
	ck_assert_int_eq(posix_spawn_file_actions_adddup2(&actions, fds[1], 2), 0);
	int spawned = posix_spawnp(&child, args[0], &actions, NULL, (char *const *)(uintptr_t)args,
				   environ);
	ck_assert_int_eq(posix_spawn_file_actions_destroy(&actions), 0);
	if (spawned == 0) {
		child_timer = (struct loop_timer){ .on_fire = look_for_child };
		loop_timer_start(real_loop, &child_timer, 5);
		ck_assert_int_eq(loop_run(real_loop), ERR_NONE);
	}
	for (ssize_t n; (n = read(fds[0], text, sizeof(text))) > 0;)
		buf_append(out, text, (size_t)n);
	buf_append_byte(out, 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
	if (spawned != 0) {
		(void)fprintf(stderr, "skipped: %s is not installed\n", args[0]);
		return -1;
	}
	return WIFEXITED(child_status) ? WEXITSTATUS(child_status) : 256;
}

static const char *const files[] = { "ca.pem", "localhost.pem", "localhost.key" };
static struct tls_bed certificates;
static struct tls_holder *holder;
static struct listener *secure;
static char plain_url[64];
static char secure_url[64];

static void setup_real(void)
{
	setup();
	loop_free(bed.loop);
	ck_assert_int_eq(loop_new(clock_system(), &bed.loop), ERR_NONE);
	real_loop = bed.loop;
	tls_bed_make(&certificates);
	tls_bed_issue(&certificates, "localhost", -100, 1000);
	const struct tls_options o = {
		.certificate = tls_bed_path(&certificates, "localhost.pem"),
		.key = tls_bed_path(&certificates, "localhost.key"),
		.clock = clock_system(),
	};
	struct tls_context *context;
	ck_assert_int_eq(tls_context_new(&o, &context, NULL), ERR_NONE);
	ck_assert_int_eq(tls_holder_new(context, &holder), ERR_NONE);
	listener = listen_on("127.0.0.1:0");
	struct listener_options secure_options = options("127.0.0.1:0");
	secure_options.tls = holder;
	ck_assert_int_eq(listener_new(&secure_options, &secure, NULL), ERR_NONE);
	(void)snprintf(plain_url, sizeof(plain_url), "http://127.0.0.1:%u/",
		       listener_port(listener));
	(void)snprintf(secure_url, sizeof(secure_url), "https://localhost:%u/",
		       listener_port(secure));
}

static void teardown_real(void)
{
	listener_free(secure);
	tls_holder_free(holder);
	tls_bed_remove(&certificates, files, LEN(files));
	teardown();
}

static void check_curl(const char *url, const char *version, const char *expected_version)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(8u << 20);
	char target[128];
	char file[64];
	char data[80];

	/* A body of 3 MB there and back, with Expect: 100-continue where curl asks so. */
	(void)snprintf(file, sizeof(file), "%s/body", dir);
	(void)snprintf(data, sizeof(data), "@%s", file);
	(void)snprintf(target, sizeof(target), "%secho?a=b", url);
	FILE *f = fopen(file, "w");
	for (int i = 0; i < 300000; i++)
		ck_assert_int_gt(fprintf(f, "%09d\n", i), 0);
	ck_assert_int_eq(fclose(f), 0);
	char answer[64];
	(void)snprintf(answer, sizeof(answer), "%s/answer", dir);
	const char *const args[] = { "curl",
				     "-sS",
				     "--max-time",
				     "20",
				     "--cacert",
				     tls_bed_path(&certificates, "ca.pem"),
				     version,
				     "-o",
				     answer,
				     "-w",
				     "%{http_code} %{http_version} %{size_download}",
				     "--data-binary",
				     data,
				     target,
				     NULL };
	int status = run(args, &out);
	ck_assert_int_eq(unlink(file), 0);
	if (status < 0)
		return;
	char expected[64];
	(void)snprintf(expected, sizeof(expected), "200 %s 3000000", expected_version);
	ck_assert_str_eq((const char *)out.data, expected);
	ck_assert_int_eq(status, 0);
	f = fopen(answer, "r");
	for (int i = 0; i < 300000; i++) {
		int n = -1;
		ck_assert_int_eq(fscanf(f, "%d", &n), 1);
		ck_assert_int_eq(n, i);
	}
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(unlink(answer), 0);
}

START_TEST(curl_gets_its_body_back)
{
	check_curl(plain_url, "--http1.1", "1.1");
	check_curl(plain_url, "--http2-prior-knowledge", "2");
	check_curl(secure_url, "--http1.1", "1.1");
	check_curl(secure_url, "--http2", "2");
}
END_TEST

START_TEST(nghttp_gets_its_reply)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(8u << 20);
	char target[128];
	(void)snprintf(target, sizeof(target), "%sbig?100000", plain_url);
	const char *const args[] = { "nghttp", "-nv", "-m", "20", "-t", "20", target, NULL };
	if (run(args, &out) < 0)
		return;
	ck_assert_ptr_nonnull(strstr((const char *)out.data, ":status: 200"));
	ck_assert_ptr_null(strstr((const char *)out.data,
				  "GOAWAY frame <length=8, flags=0x00, stream_id=0>\n"
				  "          (last_stream_id=0, error_code=ENHANCE"));
	ck_assert_uint_eq(bed.served, 20);
}
END_TEST

static void check_h2load(const char *url, const char *extra)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(8u << 20);
	char target[128];
	(void)snprintf(target, sizeof(target), "%sbig?2000", url);
	const char *const args[] = { "h2load", "-n",  "5000", "-c",  "10",
				     "-m",     "100", target, extra, NULL };
	int status = run(args, &out);
	if (status < 0)
		return;
	ck_assert_int_eq(status, 0);
	ck_assert_msg(strstr((const char *)out.data,
			     "5000 done, 5000 succeeded, 0 failed, 0 errored, 0 timeout") != NULL,
		      "%s", (const char *)out.data);
}

START_TEST(h2load_gets_all_its_replies)
{
	check_h2load(plain_url, NULL);
	check_h2load(plain_url, "--h1");
	check_h2load(secure_url, NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("listener");
	TCase *t = tcase_create("listener");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, addresses_that_are_none_are_refused);
	tcase_add_test(t, taken_address_is_said_to_be_taken);
	tcase_add_test(t, path_of_a_living_daemon_or_a_file_is_refused);
	tcase_add_test(t, too_many_clients_are_refused_politely);
	tcase_add_test(t, without_descriptors_clients_are_told_and_not_left_waiting);
	tcase_add_test(t, request_by_tcp_is_answered);
	tcase_add_test(t, client_of_ipv4_stays_one_on_an_ipv6_socket);
	tcase_add_test(t, request_by_a_unix_socket_is_answered);
	tcase_add_test(t, path_of_a_dead_daemon_is_taken_over);
	tcase_add_test(t, drain_ends_when_the_last_reply_is_out);
	tcase_add_test(t, drain_without_connections_ends_at_once);
	tcase_add_test(t, drain_ends_at_its_time);
	suite_add_tcase(s, t);

	t = tcase_create("clients of others");
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup_real, teardown_real);
	tcase_add_test(t, curl_gets_its_body_back);
	tcase_add_test(t, nghttp_gets_its_reply);
	tcase_add_test(t, h2load_gets_all_its_replies);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
