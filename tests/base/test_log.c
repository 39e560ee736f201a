/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines as they arrive at the other end of stderr.
 */
#include "base/log.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

/* stderr is a socket that keeps each write(2) apart. */
static int far_end;
static int real_stderr;

static void catch_stderr(void)
{
	int ends[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	real_stderr = dup(STDERR_FILENO);
	ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
	(void)close(ends[1]);
	far_end = ends[0];
	(void)unsetenv("JOURNAL_STREAM");
	log_set_level(LOG_LEVEL_DEBUG);
}

static void free_stderr(void)
{
	(void)dup2(real_stderr, STDERR_FILENO);
	(void)close(real_stderr);
	(void)close(far_end);
	(void)unsetenv("JOURNAL_STREAM");
}

/* The next write, terminated; "" when there was none. */
static const char *next_write(void)
{
	static char text[2 * LINE_MAX_BYTES];
	ssize_t n = recv(far_end, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void pretend_journal(void)
{
	struct stat st;
	char stream[64];
	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	(void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
		       (uintmax_t)st.st_ino);
	(void)setenv("JOURNAL_STREAM", stream, 1);
}

START_TEST(line_below_the_level_is_not_written)
{
	log_set_level(LOG_LEVEL_WARN);
	ck_assert_int_eq(log_level_now(), LOG_LEVEL_WARN);
	log_info("nobody hears");
	log_debug("nobody hears");
	ck_assert_str_eq(next_write(), "");
	log_warn("heard");
	ck_assert_ptr_nonnull(strstr(next_write(), " warn heard\n"));
}
END_TEST

START_TEST(control_characters_cannot_forge_a_line)
{
	pretend_journal();
	static const struct {
		const char *in;
		const char *out;
	} rows[] = {
		{ "a\n<3>forged", "<6>a\\n<3>forged\n" },
		{ "a\r\tb", "<6>a\\r\\tb\n" },
		{ "\033[31mred\x7f", "<6>\\x1b[31mred\\x7f\n" },
		{ "Zürich €", "<6>Zürich €\n" },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		log_info("%s", rows[i].in);
		ck_assert_str_eq(next_write(), rows[i].out);
	}
}
END_TEST

START_TEST(journal_gets_priorities)
{
	pretend_journal();
	log_error("a=%d", 1);
	ck_assert_str_eq(next_write(), "<3>a=1\n");
	log_warn("b");
	ck_assert_str_eq(next_write(), "<4>b\n");
	log_info("c");
	ck_assert_str_eq(next_write(), "<6>c\n");
	log_debug("d");
	ck_assert_str_eq(next_write(), "<7>d\n");
}
END_TEST

START_TEST(others_get_time_and_level)
{
	(void)setenv("JOURNAL_STREAM", "1:1", 1);
	log_error("disk=%s", "full");
	const char *line = next_write();
	int year, n = 0;
	ck_assert_int_eq(sscanf(line, "%4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ %n", &year, &n), 1);
	ck_assert_int_ge(year, 2024);
	ck_assert_int_eq(n, (int)strlen("2024-01-02T03:04:05.678Z "));
	ck_assert_str_eq(line + n, "error disk=full\n");
}
END_TEST

START_TEST(long_line_is_cut_between_characters_in_one_write)
{
	static const char *const characters[] = { "a", "é", "€", "\n" };
	for (size_t c = 0; c < LEN(characters); c++) {
		char words[3 * LINE_MAX_BYTES] = "";
		for (size_t len = 0, w = strlen(characters[c]); len + w < sizeof(words); len += w)
			memcpy(words + len, characters[c], w + 1);
		pretend_journal();
		log_info("%s", words);
		const char *line = next_write();
		size_t len = strlen(line);
		ck_assert_uint_le(len, LINE_MAX_BYTES);
		ck_assert_uint_gt(len, LINE_MAX_BYTES - 16);
		ck_assert_str_eq(line + len - 4, "...\n");
		const char *shown = characters[c][0] == '\n' ? "\\n" : characters[c];
		ck_assert_uint_eq((len - strlen("<6>...\n")) % strlen(shown), 0);
		ck_assert_str_eq(next_write(), "");
	}
}
END_TEST

START_TEST(errno_survives_a_log_that_cannot_be_written)
{
	int full = open("/dev/full", O_WRONLY);
	ck_assert_int_ge(dup2(full, STDERR_FILENO), 0);
	(void)close(full);
	errno = EBADMSG;
	log_info("x");
	ck_assert_int_eq(errno, EBADMSG);
}
END_TEST

static void *log_ten(void *arg)
{
	for (unsigned i = 0; i < 10; i++)
		log_info("%s", (const char *)arg);
	return NULL;
}

START_TEST(threads_do_not_mix_their_lines)
{
	pretend_journal();
	char words[4][500];
	pthread_t threads[4];
	for (unsigned i = 0; i < 4; i++) {
		memset(words[i], (int)('a' + i), sizeof(words[i]) - 1);
		words[i][sizeof(words[i]) - 1] = '\0';
		ck_assert_int_eq(pthread_create(&threads[i], NULL, log_ten, words[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		(void)pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < 40; i++) {
		const char *line = next_write();
		ck_assert_uint_eq(strlen(line), 3 + 499 + 1);
		ck_assert_uint_eq(strspn(line + 3, (char[]){ line[3], '\0' }), 499);
	}
	ck_assert_str_eq(next_write(), "");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("log");
	tcase_add_checked_fixture(t, catch_stderr, free_stderr);
	tcase_add_test(t, line_below_the_level_is_not_written);
	tcase_add_test(t, control_characters_cannot_forge_a_line);
	tcase_add_test(t, journal_gets_priorities);
	tcase_add_test(t, others_get_time_and_level);
	tcase_add_test(t, long_line_is_cut_between_characters_in_one_write);
	tcase_add_test(t, errno_survives_a_log_that_cannot_be_written);
	tcase_add_test(t, threads_do_not_mix_their_lines);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
