/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges in text to a database: what is refused, and that a lookup finds what the text says.
 */
#include "gateway/ctl_geo.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/geo.h"
#include "tests/index/scratch.h"

static struct scratch scratch;
static char input[PATH_MAX], output[PATH_MAX];

static void set_up(void)
{
	scratch_new(&scratch);
	snprintf(input, sizeof(input), "%s", scratch_path(&scratch, "geoip"));
	snprintf(output, sizeof(output), "%s", scratch_path(&scratch, "geo.mmdb"));
	ck_assert_int_eq(unsetenv("SOURCE_DATE_EPOCH"), 0);
}

static void tear_down(void)
{
	scratch_remove(&scratch);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static enum err build_from(const char *path, struct geo_build_result *result, struct fault *f)
{
	const struct geo_build_options o = { .inputs = &path, .input_count = 1, .output = output };
	return geo_build(&o, result, f);
}

START_TEST(lines_that_are_none_are_refused_with_their_number)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "# comment\n\n1,2\n", "geoip:3: three fields" },
		{ "1,2,DE,x\n", "geoip:1: three fields" },
		{ "1,2,DE\n3,x,DE\n", "geoip:2: no address" },
		{ "1,4294967296,DE\n", "geoip:1: no address" },
		{ "-1,2,DE\n", "geoip:1: no address" },
		{ ",2,DE\n", "geoip:1: no address" },
		{ "1 ,2,DE\n", "geoip:1: no address" },
		{ "2001:db8::g,2001:db8::1,DE\n", "geoip:1: no address" },
		{ "2,1,DE\n", "geoip:1: the first address is greater" },
		{ "2001:db8::2,2001:db8::1,DE\n", "geoip:1: the first address is greater" },
		{ "1,2,de\n", "geoip:1: a country has two capital letters" },
		{ "1,2,DEU\n", "geoip:1: a country has two capital letters" },
		{ "1,2,?\n", "geoip:1: a country has two capital letters" },
		{ "1,2,D\xc3\n", "geoip:1: a country has two capital letters" },
		{ "", "no range with a country" },
		{ "# nothing\n1,2,??\n", "no range with a country" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct geo_build_result result;
		struct fault f = { 0 };
		write_file(input, cases[i].text);
		ck_assert_msg(build_from(input, &result, &f) == ERR_BAD_INPUT, "row %zu", i);
		ck_assert_msg(strstr(f.text, cases[i].words) != NULL, "row %zu: %s", i, f.text);
		ck_assert_int_ne(access(output, F_OK), 0);
	}
}
END_TEST

START_TEST(a_line_without_an_end_is_refused)
{
	char *text = malloc(GEO_BUILD_LINE_MAX + 100);
	struct geo_build_result result;
	struct fault f = { 0 };
	ck_assert_ptr_nonnull(text);
	memset(text, '1', GEO_BUILD_LINE_MAX + 99);
	text[GEO_BUILD_LINE_MAX + 99] = '\0';
	write_file(input, text);
	free(text);
	ck_assert_int_eq(build_from(input, &result, &f), ERR_BAD_INPUT);
	ck_assert_msg(strstr(f.text, "geoip:1: the line is too long") != NULL, "%s", f.text);
}
END_TEST

START_TEST(inputs_that_are_not_there_are_refused_by_name)
{
	struct geo_build_result result;
	struct fault f = { 0 };
	ck_assert_int_ne(build_from(input, &result, &f), ERR_NONE);
	ck_assert_msg(strstr(f.text, input) != NULL, "%s", f.text);
	ck_assert_int_eq(build_from(scratch.dir, &result, &f), ERR_NOT_FOUND);
	ck_assert_msg(strstr(f.text, "there is no geoip and no geoip6") != NULL, "%s", f.text);
}
END_TEST

START_TEST(an_output_that_cannot_be_written_is_left_as_it_was)
{
	struct geo_build_result result;
	struct fault f = { 0 };
	const char *path = input;
	struct geo_build_options o = { .inputs = &path, .input_count = 1, .output = "/nonexistent/geo.mmdb" };
	write_file(input, "1,2,DE\n");
	ck_assert_int_ne(geo_build(&o, &result, &f), ERR_NONE);
	ck_assert_msg(strstr(f.text, "/nonexistent/geo.mmdb.part: cannot be written: No such file") != NULL, "%s", f.text);
	write_file(output, "old");
	write_file(input, "1,2,DE\n2,x,DE\n");
	ck_assert_int_eq(build_from(input, &result, &f), ERR_BAD_INPUT);
	struct stat st;
	ck_assert_int_eq(stat(output, &st), 0);
	ck_assert_int_eq(st.st_size, 3);
}
END_TEST

static void expect(const struct geo *g, const char *text, const char *country, enum place_source source)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	const void *a = &v4;
	struct place p;
	if (strchr(text, ':')) {
		ck_assert_int_eq(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
		a = &v6;
	} else {
		ck_assert_int_eq(inet_pton(AF_INET, text, &v4.sin_addr), 1);
	}
	geo_lookup(g, a, &p);
	ck_assert_msg(strcmp(p.country, country) == 0, "%s: %s", text, p.country);
	ck_assert_msg(p.source == source, "%s: %s", text, place_source_name(p.source));
}

START_TEST(lookups_find_what_the_text_says)
{
	static const char v4[] = "# Generated\n\r\n"
				 "16777216,16777471,AU\n"
				 "16777472,16778240,CN\r\n"
				 "16778241,16778241,DE\n"
				 "16778242,16778999,??\n"
				 "16779000,16779001,\n"
				 "192.0.2.7,192.0.2.200,JP\n"
				 "4294967295,4294967295,ZZ";
	static const char v6[] = "2001:db8::,2001:db8:0:ffff:ffff:ffff:ffff:ffff,US\n"
				 "2a00::,2a00:1:2:3:4:5:6:7,FR\n";
	struct geo_build_result result;
	struct fault f = { 0 };
	char second[PATH_MAX];
	const char *files[] = { output };
	struct geo *g;

	write_file(input, v4);
	snprintf(second, sizeof(second), "%s", scratch_path(&scratch, "geoip6"));
	write_file(second, v6);
	ck_assert_msg(build_from(scratch.dir, &result, &f) == ERR_NONE, "%s", f.text);
	ck_assert_uint_eq(result.ranges, 7);
	ck_assert_uint_eq(result.skipped, 2);
	ck_assert_uint_eq(result.unknown, 1);
	ck_assert_uint_eq(result.countries, 6);
	ck_assert_msg(geo_open(files, 1, &g, &f) == ERR_NONE, "%s", f.text);
	expect(g, "0.255.255.255", "", PLACE_NONE);
	expect(g, "1.0.0.0", "AU", PLACE_COUNTRY);
	expect(g, "1.0.0.255", "AU", PLACE_COUNTRY);
	expect(g, "1.0.1.0", "CN", PLACE_COUNTRY);
	expect(g, "1.0.4.0", "CN", PLACE_COUNTRY);
	expect(g, "1.0.4.1", "DE", PLACE_COUNTRY);
	expect(g, "1.0.4.2", "", PLACE_NONE);
	expect(g, "192.0.2.6", "", PLACE_NONE);
	expect(g, "192.0.2.7", "JP", PLACE_COUNTRY);
	expect(g, "192.0.2.200", "JP", PLACE_COUNTRY);
	expect(g, "192.0.2.201", "", PLACE_NONE);
	expect(g, "255.255.255.255", "ZZ", PLACE_NONE);
	expect(g, "2001:db8::1", "US", PLACE_COUNTRY);
	expect(g, "2001:db8:1::", "", PLACE_NONE);
	expect(g, "2a00:1:2:3:4:5:6:7", "FR", PLACE_COUNTRY);
	expect(g, "2a00:1:2:3:4:5:6:8", "", PLACE_NONE);
	geo_unref(g);
}
END_TEST

START_TEST(the_time_it_was_made_is_that_of_the_input_unless_told)
{
	const struct timespec times[2] = { { .tv_sec = 1234567890 }, { .tv_sec = 1234567890 } };
	const char *path = input;
	struct geo_build_options o = { .inputs = &path, .input_count = 1, .output = output };
	struct geo_build_result result;

	write_file(input, "1,2,DE\n");
	ck_assert_int_eq(utimensat(AT_FDCWD, input, times, 0), 0);
	ck_assert_int_eq(geo_build(&o, &result, NULL), ERR_NONE);
	ck_assert_uint_eq(result.build_epoch, 1234567890);
	ck_assert_int_eq(setenv("SOURCE_DATE_EPOCH", "1500000000", 1), 0);
	ck_assert_int_eq(geo_build(&o, &result, NULL), ERR_NONE);
	ck_assert_uint_eq(result.build_epoch, 1500000000);
	ck_assert_int_eq(setenv("SOURCE_DATE_EPOCH", "tomorrow", 1), 0);
	ck_assert_int_eq(geo_build(&o, &result, NULL), ERR_NONE);
	ck_assert_uint_eq(result.build_epoch, 1234567890);
	o.build_epoch = 7;
	ck_assert_int_eq(geo_build(&o, &result, NULL), ERR_NONE);
	ck_assert_uint_eq(result.build_epoch, 7);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ctl_geo");
	TCase *c = tcase_create("ctl_geo");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, lines_that_are_none_are_refused_with_their_number);
	tcase_add_test(c, a_line_without_an_end_is_refused);
	tcase_add_test(c, inputs_that_are_not_there_are_refused_by_name);
	tcase_add_test(c, an_output_that_cannot_be_written_is_left_as_it_was);
	tcase_add_test(c, lookups_find_what_the_text_says);
	tcase_add_test(c, the_time_it_was_made_is_that_of_the_input_unless_told);
	suite_add_tcase(s, c);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
