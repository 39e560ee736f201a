/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What systemd would hear, on a socket of the test's own.
 */
#include "gateway/notify.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[] = "/tmp/isthmus-notify-XXXXXX";
static char name[64];
static int heard;
static struct notify notify;
static struct fault fault;

static void listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	heard = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(heard, 0);
	ck_assert_int_eq(bind(heard, (const struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
			 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", path, 1), 0);
}

static void set_up(void)
{
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(name, sizeof(name), "%s/notify", folder);
	heard = -1;
	notify = (struct notify){ .fd = -1 };
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void tear_down(void)
{
	notify_close(&notify);
	if (heard >= 0)
		ck_assert_int_eq(close(heard), 0);
	(void)unlink(name);
	ck_assert_int_eq(rmdir(folder), 0);
}

/* The next datagram, or "" when there is none. */
static const char *next(void)
{
	static char text[1024];
	ssize_t n = recv(heard, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static const struct {
	const char *variable, *value, *says;
} refused[] = {
	{ "NOTIFY_SOCKET", "notify", "NOTIFY_SOCKET: 'notify' is no name of a UNIX socket" },
	{ "NOTIFY_SOCKET", "@", "NOTIFY_SOCKET: '@' is no name of a UNIX socket" },
	{ "NOTIFY_SOCKET", "/nobody/listens/here",
	  "NOTIFY_SOCKET: '/nobody/listens/here': No such file or directory" },
	{ "WATCHDOG_USEC", "soon", "WATCHDOG_USEC: 'soon' is no time" },
	{ "WATCHDOG_USEC", "999", "WATCHDOG_USEC: '999' is no time" },
	{ "WATCHDOG_USEC", "-1", "WATCHDOG_USEC: '-1' is no time" },
	{ "WATCHDOG_USEC", "99999999999999999999",
	  "WATCHDOG_USEC: '99999999999999999999' is no time" },
};

START_TEST(wrong_variables_are_refused)
{
	ck_assert_int_eq(setenv(refused[_i].variable, refused[_i].value, 1), 0);
	ck_assert_int_eq(notify_open(&notify, &fault), ERR_CONFIG);
	ck_assert_str_eq(fault.text, refused[_i].says);
	ck_assert_int_eq(notify.fd, -1);
}
END_TEST

START_TEST(a_name_longer_than_an_address_is_refused)
{
	char path[200];
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", path, 1), 0);
	ck_assert_int_eq(notify_open(&notify, &fault), ERR_CONFIG);
}
END_TEST

START_TEST(a_watchdog_pid_that_is_no_number_is_refused)
{
	ck_assert_int_eq(setenv("WATCHDOG_USEC", "1000000", 1), 0);
	ck_assert_int_eq(setenv("WATCHDOG_PID", "me", 1), 0);
	ck_assert_int_eq(notify_open(&notify, &fault), ERR_CONFIG);
	ck_assert_str_eq(fault.text, "WATCHDOG_PID: 'me' is no number");
}
END_TEST

START_TEST(without_a_socket_nothing_is_sent_and_nothing_fails)
{
	ck_assert_int_eq(notify_open(&notify, &fault), ERR_NONE);
	ck_assert_int_eq(notify.fd, -1);
	ck_assert_uint_eq(notify.watchdog_ms, 0);
	notify_ready(&notify, "fine");
	notify_watchdog(&notify);
}
END_TEST

/* A path, and a name of the abstract namespace. */
START_TEST(every_message_is_one_datagram_in_the_words_of_sd_notify)
{
	char abstract[64];
	(void)snprintf(abstract, sizeof(abstract), "@isthmus-test-%d", getpid());
	listen_at(_i == 0 ? name : abstract);
	ck_assert_int_eq(notify_open(&notify, &fault), ERR_NONE);

	notify_ready(&notify, NULL);
	ck_assert_str_eq(next(), "READY=1");
	notify_ready(&notify, "serving");
	ck_assert_str_eq(next(), "READY=1\nSTATUS=serving");
	notify_stopping(&notify, "draining");
	ck_assert_str_eq(next(), "STOPPING=1\nSTATUS=draining");
	notify_watchdog(&notify);
	ck_assert_str_eq(next(), "WATCHDOG=1");
	notify_extend_timeout(&notify, 1500);
	ck_assert_str_eq(next(), "EXTEND_TIMEOUT_USEC=1500000");
	ck_assert_str_eq(next(), "");
}
END_TEST

START_TEST(a_reload_says_since_when)
{
	unsigned long long usec = 0;
	int end = 0;

	listen_at(name);
	ck_assert_int_eq(notify_open(&notify, &fault), ERR_NONE);
	notify_reloading(&notify);
	const char *text = next();
	ck_assert_int_eq(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%llu%n", &usec, &end), 1);
	ck_assert_int_eq(text[end], '\0');
	ck_assert_uint_gt(usec, 0);
}
END_TEST

START_TEST(variables_are_not_left_to_children)
{
	char pid[32];
	(void)snprintf(pid, sizeof(pid), "%d", getpid());
	listen_at(name);
	ck_assert_int_eq(setenv("WATCHDOG_USEC", "15000000", 1), 0);
	ck_assert_int_eq(setenv("WATCHDOG_PID", pid, 1), 0);
	ck_assert_int_eq(notify_open(&notify, &fault), ERR_NONE);
	ck_assert_uint_eq(notify.watchdog_ms, 15000);
	ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
	ck_assert_ptr_null(getenv("WATCHDOG_USEC"));
	ck_assert_ptr_null(getenv("WATCHDOG_PID"));
}
END_TEST

START_TEST(a_watchdog_of_another_process_is_none)
{
	ck_assert_int_eq(setenv("WATCHDOG_USEC", "15000000", 1), 0);
	ck_assert_int_eq(setenv("WATCHDOG_PID", "1", 1), 0);
	ck_assert_int_eq(notify_open(&notify, &fault), ERR_NONE);
	ck_assert_uint_eq(notify.watchdog_ms, 0);
}
END_TEST

START_TEST(a_listener_that_is_gone_does_no_harm)
{
	listen_at(name);
	ck_assert_int_eq(notify_open(&notify, &fault), ERR_NONE);
	ck_assert_int_eq(close(heard), 0);
	heard = -1;
	notify_ready(&notify, "fine");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("notify");
	TCase *tests = tcase_create("notify");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, wrong_variables_are_refused, 0, LEN(refused));
	tcase_add_test(tests, a_name_longer_than_an_address_is_refused);
	tcase_add_test(tests, a_watchdog_pid_that_is_no_number_is_refused);
	tcase_add_test(tests, without_a_socket_nothing_is_sent_and_nothing_fails);
	tcase_add_loop_test(tests, every_message_is_one_datagram_in_the_words_of_sd_notify, 0, 2);
	tcase_add_test(tests, a_reload_says_since_when);
	tcase_add_test(tests, variables_are_not_left_to_children);
	tcase_add_test(tests, a_watchdog_of_another_process_is_none);
	tcase_add_test(tests, a_listener_that_is_gone_does_no_harm);
	suite_add_tcase(suite, tests);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
