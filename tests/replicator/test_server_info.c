/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The INFO line: what is refused, what is read, over a real socket too.
 */
#include "replicator/server_info.h"

#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(lines_without_a_version_are_refused)
{
	static const char *const rows[] = {
		"",
		"INFO",
		"INFO ",
		"INFO {}",
		"PING",
		"INFO {\"version\":7}",
		"INFO {\"version\":\"\"}",
		"INFO {\"version\":\"2.9.10\"",
		"INFO {\"version\":\"2.9.10\"} x",
		"+OK {\"version\":\"2.9.10\"}",
		"INFO {\"version\":\"0123456789012345678901234567890123456789\"}",
	};
	char out[SERVER_VERSION_MAX];
	for (size_t i = 0; i < LEN(rows); i++)
		ck_assert_msg(server_version_parse(
				      (struct str){ .data = rows[i], .len = strlen(rows[i]) },
				      out) == ERR_BAD_REQUEST,
			      "%s", rows[i]);
}
END_TEST

START_TEST(version_is_found_among_other_fields)
{
	char out[SERVER_VERSION_MAX];
	ck_assert_int_eq(server_version_parse(
				 STR("INFO {\"server_id\":\"N\",\"cluster\":{\"version\":\"x\"},"
				     "\"version\":\"2.9.10\",\"max_payload\":1048576} "),
				 out),
			 ERR_NONE);
	ck_assert_str_eq(out, "2.9.10");
}
END_TEST

START_TEST(address_has_no_credentials_and_always_a_port)
{
	const struct {
		const char *url, *address;
	} rows[] = {
		{ "nats://127.0.0.1:4333", "127.0.0.1:4333" },
		{ "nats://user:se@cret@host:4333", "host:4333" },
		{ "host", "host:4222" },
		{ "tls://host/", "host:4222" },
		{ "nats://[::1]:4333", "[::1]:4333" },
		{ "nats://[::1]", "[::1]:4222" },
	};
	char out[SERVER_ADDRESS_MAX];
	for (size_t i = 0; i < LEN(rows); i++) {
		ck_assert_msg(server_address(rows[i].url, out) == ERR_NONE, "%s", rows[i].url);
		ck_assert_str_eq(out, rows[i].address);
	}
	ck_assert_int_eq(server_address("nats://", out), ERR_BAD_INPUT);
	char longest[300];
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_int_eq(server_address(longest, out), ERR_BAD_INPUT);
}
END_TEST

static int listen_on_loopback(char address[SERVER_ADDRESS_MAX])
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(fd, 4), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	snprintf(address, SERVER_ADDRESS_MAX, "127.0.0.1:%u", ntohs(a.sin_port));
	return fd;
}

struct speaker {
	int fd;
	const char *pieces[3];
};

/* Accepts one connection, says its pieces one by one, hangs up. */
static void *speak(void *arg)
{
	const struct speaker *s = arg;
	int fd = accept(s->fd, NULL, NULL);
	for (size_t i = 0; fd >= 0 && i < LEN(s->pieces) && s->pieces[i]; i++)
		if (send(fd, s->pieces[i], strlen(s->pieces[i]), MSG_NOSIGNAL) < 0)
			break;
	if (fd >= 0)
		close(fd);
	return NULL;
}

START_TEST(version_is_read_from_a_server)
{
	const struct {
		struct speaker speaker;
		enum err err;
	} rows[] = {
		{ { .pieces = { "INFO {\"ver", "sion\":\"2.10.27\"}\r", "\nPING\r\n" } },
		  ERR_NONE },
		{ { .pieces = { "INFO {\"version\":\"2.1" } }, ERR_UNAVAILABLE },
		{ { .pieces = { "HTTP/1.1 400 Bad Request\r\n" } }, ERR_BAD_REQUEST },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		char address[SERVER_ADDRESS_MAX], version[SERVER_VERSION_MAX];
		struct speaker s = rows[i].speaker;
		s.fd = listen_on_loopback(address);
		pthread_t t;
		ck_assert_int_eq(pthread_create(&t, NULL, speak, &s), 0);
		enum err e = server_version(address, 5000, version);
		pthread_join(t, NULL);
		close(s.fd);
		ck_assert_msg(e == rows[i].err, "row %zu: %s", i, err_name(e));
		if (!e)
			ck_assert_str_eq(version, "2.10.27");
	}
}
END_TEST

START_TEST(nobody_there_is_unavailable)
{
	char address[SERVER_ADDRESS_MAX], version[SERVER_VERSION_MAX];
	close(listen_on_loopback(address));
	ck_assert_int_eq(server_version(address, 5000, version), ERR_UNAVAILABLE);
	ck_assert_int_eq(server_version("without-port", 5000, version), ERR_BAD_INPUT);
}
END_TEST

START_TEST(silent_server_is_given_up)
{
	char address[SERVER_ADDRESS_MAX], version[SERVER_VERSION_MAX];
	int fd = listen_on_loopback(address);
	ck_assert_int_eq(server_version(address, 20, version), ERR_TIMEOUT);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("server_info");
	TCase *t = tcase_create("info");
	tcase_add_test(t, lines_without_a_version_are_refused);
	tcase_add_test(t, version_is_found_among_other_fields);
	tcase_add_test(t, address_has_no_credentials_and_always_a_port);
	tcase_add_test(t, version_is_read_from_a_server);
	tcase_add_test(t, nobody_there_is_unavailable);
	tcase_add_test(t, silent_server_is_given_up);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
