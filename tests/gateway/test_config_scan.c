/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is seen of a configuration file before libconfig reads it.
 */
#include "gateway/config_scan.h"

#include <string.h>

#include "tests/index/scratch.h"

static struct scratch scratch;
static struct buf errors;

static void set_up(void)
{
	scratch_new(&scratch);
	buf_init(&errors, 1u << 20);
}

static void tear_down(void)
{
	buf_release(&errors);
	scratch_remove(&scratch);
}

static void write_file(const char *name, const char *content)
{
	FILE *f = fopen(scratch_path(&scratch, name), "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(content, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static enum err scan(const char *content)
{
	write_file("a", content);
	return config_scan(scratch_path(&scratch, "a"), scratch.dir, &errors);
}

/* What the errors say behind the folder's name. */
static const char *said(void)
{
	ck_assert_int_eq(buf_append_byte(&errors, '\0'), ERR_NONE);
	return (const char *)errors.data + MIN(strlen(scratch.dir) + 1, errors.len - 1);
}

#define TOO_LARGE(n) "the number " n " does not fit 32 bits; write it with an L behind it\n"

static const struct {
	const char *content, *says;
} refused[] = {
	{ "x = 2147483648;", "a:1: " TOO_LARGE("2147483648") },
	{ "x = [ 1,\n\t9999999999999999999999 ];", "a:2: " TOO_LARGE("9999999999999999999999") },
	{ "x = 0x1FFFFFFFF;", "a:1: " TOO_LARGE("0x1FFFFFFFF") },
	{ "/* \n */ x = -5000000000;", "a:2: " TOO_LARGE("5000000000") },
	{ "y = \"a\\\"b\"; x = 5000000000;", "a:1: " TOO_LARGE("5000000000") },
	{ "  @include \"none\"", "a:1: @include: " },
	{ "@include \"\"", "a:1: @include wants the name of a file" },
	{ "# c\n@include \"/tmp\"", "a:2: @include wants the name of a file" },
};

START_TEST(what_libconfig_would_not_say_is_said)
{
	ck_assert_int_eq(scan(refused[_i].content), ERR_CONFIG);
	ck_assert_msg(strncmp(said(), refused[_i].says, strlen(refused[_i].says)) == 0, "%s",
		      (const char *)errors.data);
}
END_TEST

static const char *const passed[] = {
	"",
	"x = 2147483647; y = 5000000000L; z = 0x7FFFFFFF;",
	"x = 1e300; y = 5000000000.0; z = 1.5E+20;",
	"# 5000000000\n// 5000000000\n/* 5000000000 */ name5000000000 = 1;",
	"x = \"5000000000\n@include \\\"none\\\"\";",
	"x = \"never ended 5000000000",
	"/* never ended 5000000000",
	"x = 1; @include \"none\"",
	"@inc",
	"@include",
	"}}}]]](((",
};

START_TEST(everything_else_is_left_to_libconfig)
{
	ck_assert_msg(scan(passed[_i]) == ERR_NONE, "%s", said());
	ck_assert_uint_eq(errors.len, 0);
}
END_TEST

START_TEST(included_files_are_looked_at_as_well)
{
	write_file("b", "\nx = 5000000000;");
	ck_assert_int_eq(scan("@include \"b\""), ERR_CONFIG);
	ck_assert_str_eq(said(), "b:2: " TOO_LARGE("5000000000"));
}
END_TEST

START_TEST(a_file_beyond_the_bound_is_refused)
{
	FILE *f = fopen(scratch_path(&scratch, "a"), "we");
	for (unsigned i = 0; i <= CONFIG_FILE_BYTES_MAX; i++)
		ck_assert_int_eq(fputc('\n', f), '\n');
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(config_scan(scratch_path(&scratch, "a"), scratch.dir, &errors),
			 ERR_CONFIG);
	ck_assert_str_eq(said(), "a: has more than 1048576 bytes\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config_scan");
	TCase *tests = tcase_create("config_scan");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, what_libconfig_would_not_say_is_said, 0, LEN(refused));
	tcase_add_loop_test(tests, everything_else_is_left_to_libconfig, 0, LEN(passed));
	tcase_add_test(tests, included_files_are_looked_at_as_well);
	tcase_add_test(tests, a_file_beyond_the_bound_is_refused);
	suite_add_tcase(suite, tests);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
