/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broken assertion ends the process and says where; a kept one costs nothing.
 */
#include "base/panic.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs fn in a child whose stderr is read into text; returns how the child ended. */
static int words_of(void (*fn)(void), char *text, size_t size)
{
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		(void)dup2(ends[1], STDERR_FILENO);
		fn();
		_exit(0);
	}
	(void)close(ends[1]);
	size_t len = 0;
	for (ssize_t n; len < size - 1 && (n = read(ends[0], text + len, size - 1 - len)) > 0;)
		len += (size_t)n;
	text[len] = '\0';
	(void)close(ends[0]);
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

static void break_assertion(void)
{
	int answer = 41;
	ASSERT(answer == 42);
}

static void panic_with_long_words(void)
{
	char words[2000];
	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	PANIC(words);
}

static void keep_assertion(void)
{
	int answer = 42;
	ASSERT(answer == 42);
}

START_TEST(broken_assertion_aborts_and_names_the_place)
{
	char text[4096];
	int status = words_of(break_assertion, text, sizeof(text));
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGABRT);
	ck_assert_ptr_nonnull(strstr(text, "test_panic.c:"));
	ck_assert_ptr_nonnull(strstr(text, "what=\"answer == 42\"\n"));
}
END_TEST

START_TEST(kept_assertion_says_nothing)
{
	char text[4096];
	int status = words_of(keep_assertion, text, sizeof(text));
	ck_assert(WIFEXITED(status));
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(long_words_are_cut_and_the_line_still_ends)
{
	char text[4096];
	int status = words_of(panic_with_long_words, text, sizeof(text));
	ck_assert(WIFSIGNALED(status));
	const char *end = strchr(text, '\n');
	ck_assert_ptr_nonnull(end);
	ck_assert_uint_lt((size_t)(end - text), 512);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("panic");
	TCase *t = tcase_create("panic");
	tcase_add_test(t, broken_assertion_aborts_and_names_the_place);
	tcase_add_test(t, kept_assertion_says_nothing);
	tcase_add_test(t, long_words_are_cut_and_the_line_still_ends);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
