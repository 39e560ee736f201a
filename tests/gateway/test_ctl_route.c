/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both commands without a daemon: of a configuration.
 */
#include "gateway/ctl_route.h"

#include "tests/gateway/mmdb_bed.h"
#include "tests/gateway/route_bed.h"

static struct scratch scratch;
static char config[PATH_MAX], database[PATH_MAX], file[PATH_MAX];
static char shown[8192];
static struct fault fault;
static bool expected;

static const struct mmdb_row rows[] = {
	{ "192.0.2.0/24", "DE", "EU", true, 50, 9 },
	{ "198.51.100.0/24", "SG", "AS", true, 1.3, 103.8 },
	{ "2001:db8::/32", "US", "NA", true, 40, -80 },
};

static void set_up(void)
{
	char behind[PATH_MAX + 64];
	struct buf b = mmdb_make(rows, LEN(rows), 6, false, 1);
	scratch_new(&scratch);
	snprintf(database, sizeof(database), "%s", scratch_path(&scratch, "geo.mmdb"));
	FILE *f = fopen(database, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(b.data, 1, b.len, f), b.len);
	ck_assert_int_eq(fclose(f), 0);
	buf_release(&b);
	snprintf(behind, sizeof(behind), "geo = { files = [ \"%s\" ]; };\n", database);
	snprintf(config, sizeof(config), "%s", route_bed_write(&scratch, "edge", behind));
	snprintf(file, sizeof(file), "%s", scratch_path(&scratch, "addresses"));
	fault = (struct fault){ 0 };
	expected = false;
}

static void tear_down(void)
{
	scratch_remove(&scratch);
}

static enum err explain(const char *ip, bool json)
{
	memset(shown, 0, sizeof(shown));
	FILE *f = fmemopen(shown, sizeof(shown) - 1, "w");
	const struct ctl_route_options o = { .config = config, .json = json, .out = f };
	enum err err = ctl_route_explain(&o, ip, &fault);
	ck_assert_int_eq(fclose(f), 0);
	return err;
}

static enum err simulate(const char *text, bool json)
{
	FILE *f = fopen(file, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	memset(shown, 0, sizeof(shown));
	f = fmemopen(shown, sizeof(shown) - 1, "w");
	const struct ctl_route_options o = { .config = config, .json = json, .out = f };
	enum err err = ctl_route_simulate(&o, file, &expected, &fault);
	ck_assert_int_eq(fclose(f), 0);
	return err;
}

START_TEST(what_is_no_address_is_refused)
{
	ck_assert_int_eq(explain("host", false), ERR_BAD_INPUT);
	ck_assert_str_eq(fault.text, "'host' is no address");
	ck_assert_int_eq(simulate("# one\n\n192.0.2.1\n1.2.3\n", false), ERR_BAD_INPUT);
	ck_assert_msg(strstr(fault.text, "addresses:4: '1.2.3' is no address") != NULL, "%s", fault.text);
	ck_assert_int_eq(simulate("# nothing\n", false), ERR_BAD_INPUT);
	ck_assert_msg(strstr(fault.text, "there is no address in it") != NULL, "%s", fault.text);
}
END_TEST

START_TEST(a_line_without_an_end_is_refused)
{
	char line[CTL_ROUTE_LINE_MAX + 10];
	memset(line, '1', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	ck_assert_int_eq(simulate(line, false), ERR_BAD_INPUT);
	ck_assert_msg(strstr(fault.text, "addresses:1: the line is too long") != NULL, "%s", fault.text);
}
END_TEST

START_TEST(files_that_are_wrong_or_gone_are_named)
{
	ck_assert_int_eq(truncate(database, 50), 0);
	ck_assert_int_eq(explain("192.0.2.1", false), ERR_CONFIG);
	ck_assert_msg(strstr(fault.text, database) != NULL, "%s", fault.text);
	ck_assert_int_eq(unlink(config), 0);
	ck_assert_int_ne(explain("192.0.2.1", false), ERR_NONE);
	ck_assert_msg(strstr(fault.text, config) != NULL, "%s", fault.text);
	const struct ctl_route_options o = { .config = config, .out = stdout };
	ck_assert_int_eq(ctl_route_simulate(&o, "/nonexistent", &expected, &fault), ERR_BAD_INPUT);
	ck_assert_msg(strstr(fault.text, "/nonexistent: cannot be read: No such file") != NULL, "%s", fault.text);
}
END_TEST

START_TEST(an_explanation_is_a_page)
{
	ck_assert_msg(explain("2001:db8::5", false) == ERR_NONE, "%s", fault.text);
	ck_assert_str_eq(shown, "client    2001:db8::5, country US, 40.00 -80.00 (city)\n"
				"decision  proxy us\n"
				"because   edge does not hold the data\n"
				"          us scores best, 2.4 ms\n"
				"\n"
				"REGION              KM      BIAS    RTT MS     LAG S     SCORE ALLOWED\n"
				"us                 240      1.00         -         -       2.4 yes\n"
				"eu                6638      1.00         -         -      66.4 yes\n"
				"ap               15401      1.50         -         -     231.0 yes\n"
				"edge              6292      1.00         -         -      62.9 holds no data\n");
	ck_assert_int_eq(explain("192.0.2.1", true), ERR_NONE);
	ck_assert_msg(strncmp(shown, "{\"client\":{\"ip\":\"192.0.2.1\"", 26) == 0, "%s", shown);
}
END_TEST

START_TEST(addresses_are_counted_by_region)
{
	ck_assert_int_eq(simulate("192.0.2.1\n192.0.2.2 eu\r\n  198.51.100.7\tap # Singapore\n2001:db8::1 us\n10.0.0.1\n", false),
			 ERR_NONE);
	ck_assert(expected);
	ck_assert_str_eq(shown, "REGION        ADDRESSES   SHARE\n"
				"eu                    3  60.0 %\n"
				"ap                    1  20.0 %\n"
				"us                    1  20.0 %\n"
				"all                   5, places known of 4\n"
				"as expected           3 of 3\n");
}
END_TEST

START_TEST(surprises_are_told)
{
	ck_assert_int_eq(simulate("192.0.2.1 us\n198.51.100.7 none\n192.0.2.1 eu\n", false), ERR_NONE);
	ck_assert(!expected);
	ck_assert_msg(strstr(shown, "192.0.2.1: us was expected, eu it is\n198.51.100.7: none was expected, ap it is\n") != NULL,
		      "%s", shown);
	ck_assert_int_eq(simulate("192.0.2.1 us\n192.0.2.1 eu\n", true), ERR_NONE);
	ck_assert_str_eq(shown, "{\"addresses\":2,\"placed\":2,\"regions\":{\"eu\":2},\"expected\":1,\"surprises\":1}\n");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ctl_route");
	TCase *c = tcase_create("ctl_route");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, what_is_no_address_is_refused);
	tcase_add_test(c, a_line_without_an_end_is_refused);
	tcase_add_test(c, files_that_are_wrong_or_gone_are_named);
	tcase_add_test(c, an_explanation_is_a_page);
	tcase_add_test(c, addresses_are_counted_by_region);
	tcase_add_test(c, surprises_are_told);
	suite_add_tcase(s, c);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
