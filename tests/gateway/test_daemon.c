/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon in this process: starts that fail, and what they leave; a life with requests, signals and systemd's
 * socket. A thread plays the world while the test's own thread runs the daemon.
 */
#include "gateway/daemon.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/ctl_http.h"
#include "tests/index/scratch.h"

static struct scratch scratch;
static const char *folder = scratch.dir;
static struct fault fault;
static int heard = -1; /* what systemd would hear */

static const char *in_folder(const char *name)
{
	return scratch_path(&scratch, name);
}

static void write_file(const char *name, const char *content)
{
	FILE *f = fopen(in_folder(name), "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(content, 1, strlen(content), f), strlen(content));
	ck_assert_int_eq(fclose(f), 0);
}

static void set_up(void)
{
	scratch_new(&scratch);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	heard = -1;
}

static void tear_down(void)
{
	if (heard >= 0)
		(void)close(heard);
	scratch_remove(&scratch);
}

/* More lines of the configuration follow those that every test needs. */
static struct config *config_with(const char *lines)
{
	CLEANUP(buf_release) struct buf errors = BUF_INIT(CONFIG_ERROR_BYTES_MAX);
	struct config *c = NULL;
	char text[8192];

	(void)snprintf(
		text, sizeof(text),
		"storage = { dir = \"%s/data\"; map_size = \"64MiB\"; log_size = \"16MiB\"; };\n"
		"threads = { loops = 2; search = 1; builders = 1; };\nlog = { level = \"error\"; };\n%s",
		folder, lines);
	write_file("t.conf", text);
	enum err err = config_load(in_folder("t.conf"), &c, &errors);
	ck_assert_msg(err == ERR_NONE, "%.*s", STR_FMT(buf_str(&errors)));
	return c;
}

#define FREE_PORTS "listen = { http = \"127.0.0.1:0\"; grpc = \"[::1]:0\"; };\n"

static enum err start(const char *lines, const char *failing_part, struct daemon **ret_daemon)
{
	struct config *c = config_with(lines);
	static char file[sizeof(scratch.path)];
	memcpy(file, in_folder("t.conf"), sizeof(file));
	const struct daemon_options o = {
		.config = c, .config_file = file, .version = "test", .failing_part = failing_part
	};

	fault.text[0] = '\0';
	enum err err = daemon_start(&o, ret_daemon, &fault);
	if (err)
		config_free(c);
	return err;
}

static unsigned entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned count = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		count++;
	(void)closedir(d);
	return count;
}

/* --- starts that fail --- */

START_TEST(a_part_that_fails_leaves_no_thread_and_no_descriptor)
{
	struct daemon *d;
	unsigned part = 0;

	/* What libraries make once and keep is made now. */
	ck_assert_int_eq(start(FREE_PORTS, NULL, &d), ERR_NONE);
	daemon_stop(d, NULL);
	unsigned descriptors = entries("/proc/self/fd");
	unsigned threads = entries("/proc/self/task");
	for (; daemon_part_name(part); part++) {
		ck_assert_int_eq(start(FREE_PORTS, daemon_part_name(part), &d), ERR_INTERNAL);
		ck_assert_str_eq(fault.text, "the test wants it so");
		ck_assert_msg(entries("/proc/self/fd") == descriptors, "%s",
			      daemon_part_name(part));
		ck_assert_msg(entries("/proc/self/task") == threads, "%s", daemon_part_name(part));
	}
	ck_assert_uint_gt(part, 10);
	ck_assert_int_eq(start(FREE_PORTS, NULL, &d), ERR_NONE);
	daemon_stop(d, NULL);
	daemon_stop(NULL, NULL);
}
END_TEST

START_TEST(a_taken_port_is_said_with_its_key)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char lines[256];
	char words[256];
	struct daemon *d;

	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	(void)snprintf(lines, sizeof(lines),
		       "listen = { http = \"off\"; grpc = \"127.0.0.1:%u\"; };\n",
		       ntohs(address.sin_port));
	(void)snprintf(
		words, sizeof(words),
		"listen.grpc: 127.0.0.1:%u: somebody listens there already; end the other program, or name another address",
		ntohs(address.sin_port));
	ck_assert_int_ne(start(lines, NULL, &d), ERR_NONE);
	ck_assert_str_eq(fault.text, words);
	(void)close(fd);
}
END_TEST

START_TEST(a_second_daemon_on_the_same_folder_is_refused)
{
	struct daemon *first;
	struct daemon *second;
	char words[PATH_MAX];

	ck_assert_int_eq(start(FREE_PORTS, NULL, &first), ERR_NONE);
	ck_assert_int_ne(start(FREE_PORTS, NULL, &second), ERR_NONE);
	(void)snprintf(words, sizeof(words),
		       "storage.dir: the store in %s/data is open in another process (%d)", folder,
		       getpid());
	ck_assert_str_eq(fault.text, words);
	daemon_stop(first, NULL);
}
END_TEST

START_TEST(a_folder_that_cannot_be_is_said_with_what_to_do)
{
	struct daemon *d;

	write_file("data", "in the way");
	ck_assert_int_ne(start(FREE_PORTS, NULL, &d), ERR_NONE);
	ck_assert_ptr_nonnull(strstr(fault.text, "is no folder; name another"));
	ck_assert_int_eq(unlink(in_folder("data")), 0);

	ck_assert_int_eq(mkdir(in_folder("data"), 0700), 0);
	write_file("data/data.mdb", "this belongs to somebody else");
	ck_assert_int_ne(start(FREE_PORTS, NULL, &d), ERR_NONE);
	ck_assert_ptr_nonnull(strstr(fault.text, "data.mdb"));
}
END_TEST

START_TEST(a_folder_whose_parent_is_missing_is_said_with_what_to_do)
{
	CLEANUP(buf_release) struct buf errors = BUF_INIT(CONFIG_ERROR_BYTES_MAX);
	struct config *c;
	struct daemon *d;
	char text[PATH_MAX];

	(void)snprintf(text, sizeof(text), FREE_PORTS "storage = { dir = \"%s/a/b\"; };\n", folder);
	write_file("t.conf", text);
	ck_assert_int_eq(config_load(in_folder("t.conf"), &c, &errors), ERR_NONE);
	const struct daemon_options o = { .config = c, .version = "test" };
	ck_assert_int_ne(daemon_start(&o, &d, &fault), ERR_NONE);
	ck_assert_ptr_nonnull(
		strstr(fault.text,
		       "/a/b cannot be made: No such file or directory; make it for the user"));
	config_free(c);
}
END_TEST

static const struct {
	const char *lines, *file, *content, *says;
} refused_files[] = {
	{ "auth = { api_key_file = \"@/key\"; };", NULL, NULL,
	  "auth.api_key_file: @/key: cannot be read: No such file or directory" },
	{ "auth = { api_key_file = \"@/key\"; };", "key", "\n",
	  "auth.api_key_file: @/key: the first line is empty, a key is expected" },
	{ "session = { key_file = \"@/key\"; };", NULL, NULL,
	  "session.key_file: @/key: cannot be read: No such file or directory" },
	{ "session = { key_file = \"@/key\"; };", "key", "short",
	  "session.key_file: @/key: has not 16 to 64 bytes" },
	{ "tls = { certificate = \"@/key\"; key = \"@/key\"; };", NULL, NULL,
	  "tls.certificate: @/key: cannot be read: No such file or directory" },
	{ "tls = { certificate = \"@/key\"; key = \"@/key\"; };", "key", "no certificate",
	  "tls.certificate: @/key: no certificate in PEM form" },
};

/* '@' stands for the folder. */
static const char *at_folder(const char *text)
{
	static char out[1024];
	size_t len = 0;

	for (; *text; text++)
		len += (size_t)snprintf(out + len, sizeof(out) - len, *text == '@' ? "%s" : "%.1s",
					*text == '@' ? folder : text);
	return out;
}

START_TEST(files_of_no_use_are_refused)
{
	char lines[1024];
	struct daemon *d;

	if (refused_files[_i].file)
		write_file(refused_files[_i].file, refused_files[_i].content);
	(void)snprintf(lines, sizeof(lines), FREE_PORTS "%s", at_folder(refused_files[_i].lines));
	ck_assert_int_eq(start(lines, NULL, &d), ERR_CONFIG);
	const char *says = at_folder(refused_files[_i].says);
	ck_assert_msg(strncmp(fault.text, says, strlen(says)) == 0, "%s", fault.text);
}
END_TEST

/* The number before that place: "FILE:7" gives 7. */
static int number_before(const char *from, const char *to)
{
	const char *colon = to;

	while (colon > from && *--colon != ':')
		;
	return (int)strtol(colon + 1, NULL, 10);
}

/* Each with the line of its key, and all at once. */
START_TEST(a_check_finds_files_of_no_use_without_starting)
{
	CLEANUP(buf_release) struct buf errors = BUF_INIT(CONFIG_ERROR_BYTES_MAX);
	char lines[1024];

	(void)snprintf(lines, sizeof(lines), "%s",
		       at_folder("auth = { api_key_file = \"@/key\";\n read_only_api_key_file = \"@/data\"; };"));
	struct config *c = config_with(lines);
	ck_assert_int_eq(daemon_check(c, DAEMON_CHECK_ALL, &errors), ERR_CONFIG);
	buf_append_byte(&errors, 0);
	const char *said = (const char *)errors.data;
	const char *first = strstr(said, ": auth.api_key_file: "), *second = strstr(said, ": auth.read_only_api_key_file: ");
	ck_assert_msg(first && second && first < second, "%s", said);
	ck_assert_ptr_nonnull(strstr(first, "key: cannot be read: No such file or directory\n"));
	/* The second is one line below the first. */
	int line = number_before(said, first);
	ck_assert_int_gt(line, 0);
	ck_assert_int_eq(number_before(strchr(first, '\n') + 1, second), line + 1);
	buf_reset(&errors);
	write_file("key", "secret\n");
	config_free(c);
	c = config_with(at_folder("auth = { api_key_file = \"@/key\"; };"));
	ck_assert_msg(daemon_check(c, DAEMON_CHECK_ALL, &errors) == ERR_NONE, "%.*s", STR_FMT(buf_str(&errors)));
	config_free(c);
	ck_assert_int_ne(access(in_folder("data"), F_OK), 0);
}
END_TEST

/* --- a life --- */

static struct daemon *daemon_now;

static void listen_as_systemd(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *name = in_folder("notify");

	memcpy(address.sun_path, name, strlen(name));
	heard = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(heard, (const struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
}

/* Reads datagrams until one begins so. */
static void hear(const char *text)
{
	char heard_text[512];
	ssize_t n;

	do {
		n = recv(heard, heard_text, sizeof(heard_text) - 1, 0);
		ck_assert_int_gt(n, 0);
		heard_text[n] = '\0';
	} while (strncmp(heard_text, text, strlen(text)) != 0);
}

/* The status of a request; 0: nobody answers. url NULL: the ctl socket. */
static int ask(const char *url, const char *key, const char *verb, const char *target,
	       const char *body)
{
	char socket[PATH_MAX];
	const struct ctl_http_reply *reply;
	struct ctl_http *http;

	(void)snprintf(socket, sizeof(socket), "unix:%s/data/ctl.sock", folder);
	const struct ctl_http_options o = { .url = url ? url : socket,
					    .key = { key, key ? strlen(key) : 0 } };
	ck_assert_int_eq(ctl_http_new(&o, &http, &fault), ERR_NONE);
	enum err err = ctl_http_call(http, verb, target,
				     (struct str){ body, body ? strlen(body) : 0 }, &reply, &fault);
	int status = err ? 0 : reply->status;
	ctl_http_free(http);
	return status;
}

static const char *url_of(bool grpc)
{
	static char url[2][64];
	(void)snprintf(url[grpc], sizeof(url[grpc]),
		       grpc ? "http://[::1]:%u" : "http://127.0.0.1:%u",
		       grpc ? daemon_grpc_port(daemon_now) : daemon_http_port(daemon_now));
	return url[grpc];
}

/* Runs the daemon while world() happens in a thread of its own; that ends it by a signal. */
static void live(const char *lines, void *(*world)(void *))
{
	pthread_t thread;

	enum err err = start(lines, NULL, &daemon_now);
	ck_assert_msg(err == ERR_NONE, "%s", fault.text);
	ck_assert_int_eq(pthread_create(&thread, NULL, world, NULL), 0);
	ck_assert_int_eq(daemon_run(daemon_now), ERR_NONE);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	daemon_stop(daemon_now, NULL);
	daemon_now = NULL;
}

static void *ask_everywhere(void *arg UNUSED)
{
	hear("READY=1");
	ck_assert_int_eq(ask(url_of(false), NULL, "GET", "/readyz", NULL), 200);
	ck_assert_int_eq(ask(url_of(true), NULL, "GET", "/collections", NULL), 200);
	ck_assert_int_eq(ask(NULL, NULL, "GET", "/isthmus/status", NULL), 200);
	ck_assert_int_eq(ask(NULL, NULL, "GET", "/nonsense", NULL), 404);
	ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
	hear("STOPPING=1");
	return NULL;
}

START_TEST(all_its_sockets_answer_until_a_signal_ends_it)
{
	listen_as_systemd();
	live(FREE_PORTS, ask_everywhere);
	ck_assert_int_ne(access(in_folder("data/ctl.sock"), F_OK), 0);
}
END_TEST

static void *write_point(void *arg UNUSED)
{
	ck_assert_int_eq(ask(NULL, NULL, "PUT", "/collections/c",
			     "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}"),
			 200);
	ck_assert_int_eq(ask(NULL, NULL, "PUT", "/collections/c/points?wait=true",
			     "{\"points\":[{\"id\":7,\"vector\":[1,2]}]}"),
			 200);
	ck_assert_int_eq(kill(getpid(), SIGINT), 0);
	return NULL;
}

static void *read_point(void *arg UNUSED)
{
	ck_assert_int_eq(ask(NULL, NULL, "GET", "/collections/c/points/7", NULL), 200);
	ck_assert_int_eq(ask(NULL, NULL, "GET", "/collections/c/points/8", NULL), 404);
	ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
	return NULL;
}

START_TEST(what_was_written_is_there_after_a_restart)
{
	live(FREE_PORTS, write_point);
	live(FREE_PORTS, read_point);
}
END_TEST

/* A session token of the first life is good in the second: the key is kept. */
START_TEST(the_session_key_is_made_once)
{
	struct daemon *d;
	uint8_t keys[2][64];
	size_t lens[2];
	struct stat st;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(start(FREE_PORTS, NULL, &d), ERR_NONE);
		daemon_stop(d, NULL);
		FILE *f = fopen(in_folder("data/session.key"), "re");
		ck_assert_ptr_nonnull(f);
		lens[i] = fread(keys[i], 1, sizeof(keys[i]), f);
		(void)fclose(f);
	}
	ck_assert_uint_eq(lens[0], 32);
	ck_assert_uint_eq(lens[1], 32);
	ck_assert_mem_eq(keys[0], keys[1], 32);
	ck_assert_int_eq(stat(in_folder("data/session.key"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
}
END_TEST

static void *change_key(void *arg UNUSED)
{
	hear("READY=1");
	ck_assert_int_eq(ask(url_of(false), "old", "GET", "/collections", NULL), 200);
	ck_assert_int_eq(ask(url_of(false), NULL, "GET", "/collections", NULL), 401);
	ck_assert_int_eq(ask(NULL, NULL, "GET", "/collections", NULL), 200);

	write_file("key", "new\n");
	ck_assert_int_eq(kill(getpid(), SIGHUP), 0);
	hear("RELOADING=1");
	hear("READY=1\nSTATUS=serving");
	ck_assert_int_eq(ask(url_of(false), "old", "GET", "/collections", NULL), 401);
	ck_assert_int_eq(ask(url_of(false), "new", "GET", "/collections", NULL), 200);

	/* A reload that fails changes nothing, whichever part of it is wrong. */
	ck_assert_int_eq(unlink(in_folder("key")), 0);
	ck_assert_int_eq(kill(getpid(), SIGHUP), 0);
	hear("READY=1\nSTATUS=serving; the last reload failed");
	ck_assert_int_eq(ask(url_of(false), "new", "GET", "/collections", NULL), 200);
	write_file("key", "newer\n");
	write_file("t.conf", "log = { level = \"loud\"; };\n");
	ck_assert_int_eq(kill(getpid(), SIGHUP), 0);
	hear("READY=1\nSTATUS=serving; the last reload failed");
	ck_assert_int_eq(ask(url_of(false), "new", "GET", "/collections", NULL), 200);
	ck_assert_int_eq(ask(url_of(false), "newer", "GET", "/collections", NULL), 401);
	ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
	return NULL;
}

START_TEST(a_reload_takes_all_or_nothing)
{
	char lines[512];

	listen_as_systemd();
	write_file("key", "old\n");
	(void)snprintf(lines, sizeof(lines), "%s",
		       at_folder(FREE_PORTS "auth = { api_key_file = \"@/key\"; };\n"));
	live(lines, change_key);
}
END_TEST

static void *change_level(void *arg UNUSED)
{
	hear("READY=1");
	write_file("t.conf", "log = { level = \"debug\"; };\nregion = { name = \"other\"; };\n");
	ck_assert_int_eq(kill(getpid(), SIGHUP), 0);
	hear("READY=1\nSTATUS=serving");
	ck_assert_int_eq(log_level_now(), LOG_LEVEL_DEBUG);
	log_set_level(LOG_LEVEL_ERROR);
	ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
	return NULL;
}

START_TEST(a_reload_takes_over_what_is_marked_so)
{
	listen_as_systemd();
	live(FREE_PORTS, change_level);
}
END_TEST

static void *wait_for_signs_of_life(void *arg UNUSED)
{
	hear("READY=1");
	hear("WATCHDOG=1");
	hear("WATCHDOG=1");
	ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
	return NULL;
}

/* The committer turns every 100 ms at the latest. */
START_TEST(signs_of_life_are_given_while_all_threads_move)
{
	listen_as_systemd();
	ck_assert_int_eq(setenv("WATCHDOG_USEC", "600000", 1), 0);
	live(FREE_PORTS, wait_for_signs_of_life);
}
END_TEST

static void *ask_while_stopping(void *arg UNUSED)
{
	char url[128];
	const struct ctl_http_reply *reply;
	struct ctl_http *http;

	/* A connection without a request does not keep the daemon. */
	(void)snprintf(url, sizeof(url), "%s", url_of(false));
	const struct ctl_http_options o = { .url = url };
	ck_assert_int_eq(ctl_http_new(&o, &http, &fault), ERR_NONE);
	ck_assert_int_eq(ctl_http_call(http, "GET", "/healthz", (struct str){ 0 }, &reply, &fault),
			 ERR_NONE);
	ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
	hear("STOPPING=1");
	/* Until its listeners are closed it answers. */
	while (ask(url, NULL, "GET", "/healthz", NULL) != 0)
		continue;
	ctl_http_free(http);
	return NULL;
}

START_TEST(idle_connections_do_not_keep_it)
{
	listen_as_systemd();
	live(FREE_PORTS, ask_while_stopping);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemon");
	TCase *tests = tcase_create("daemon");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 20);
	tcase_add_test(tests, a_part_that_fails_leaves_no_thread_and_no_descriptor);
	tcase_add_test(tests, a_taken_port_is_said_with_its_key);
	tcase_add_test(tests, a_second_daemon_on_the_same_folder_is_refused);
	tcase_add_test(tests, a_folder_that_cannot_be_is_said_with_what_to_do);
	tcase_add_test(tests, a_folder_whose_parent_is_missing_is_said_with_what_to_do);
	tcase_add_loop_test(tests, files_of_no_use_are_refused, 0, LEN(refused_files));
	tcase_add_test(tests, a_check_finds_files_of_no_use_without_starting);
	tcase_add_test(tests, all_its_sockets_answer_until_a_signal_ends_it);
	tcase_add_test(tests, what_was_written_is_there_after_a_restart);
	tcase_add_test(tests, the_session_key_is_made_once);
	tcase_add_test(tests, a_reload_takes_all_or_nothing);
	tcase_add_test(tests, a_reload_takes_over_what_is_marked_so);
	tcase_add_test(tests, signs_of_life_are_given_while_all_threads_move);
	tcase_add_test(tests, idle_connections_do_not_keep_it);
	suite_add_tcase(suite, tests);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
