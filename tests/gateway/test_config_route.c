/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules and residencies that name what is not there, and proxies that nobody is.
 */
#include "tests/gateway/route_bed.h"

static struct scratch scratch;

static void set_up(void)
{
	scratch_new(&scratch);
}

static void tear_down(void)
{
	scratch_remove(&scratch);
}

static const struct {
	const char *behind, *says;
} refused[] = {
	{ "route = { rules = ( { region = \"eu\"; } ); };", "route.rules: a rule needs a country or a continent\n" },
	{ "route = { rules = ( { country = \"DE\"; continent = \"EU\"; region = \"eu\"; } ); };",
	  "route.rules.continent: a rule has a country or a continent, not both\n" },
	{ "route = { rules = ( { country = \"de\"; region = \"eu\"; } ); };",
	  "route.rules.country: 'de' is no country: two capital letters are expected\n" },
	{ "route = { rules = ( { country = \"D\"; region = \"eu\"; } ); };",
	  "route.rules.country: 'D' is no country: two capital letters are expected\n" },
	{ "route = { rules = ( { continent = \"XX\"; region = \"eu\"; } ); };",
	  "route.rules.continent: 'XX' is none of AF, AN, AS, EU, NA, OC and SA\n" },
	{ "route = { rules = ( { country = \"DE\"; region = \"nowhere\"; } ); };",
	  "route.rules.region: 'nowhere' is none of the regions\n" },
	{ "route = { rules = ( { country = \"DE\"; region = \"edge\"; } ); };",
	  "route.rules.region: 'edge' holds no data\n" },
	{ "route = { rules = ( { country = \"DE\"; } ); };", "route.rules[0]: region is missing\n" },
	{ "route = { residency = ( { collection = \"c\"; } ); };",
	  "route.residency.regions: is empty: nobody could answer for 'c'\n" },
	{ "route = { residency = ( { collection = \"c\"; regions = [ \"edge\" ]; } ); };",
	  "route.residency.regions: 'edge' holds no data\n" },
	{ "route = { residency = ( { collection = \"c\"; regions = [ \"eu\" ]; }, { collection = \"c\"; regions = [ \"us\" ]; } ); };",
	  "route.residency.collection: there are two rows for 'c'\n" },
	{ "route = { mode = \"fastest\"; };", "route.mode: 'fastest' is not one of auto|nearest|local\n" },
	{ "proxy_protocol = \"required\";",
	  "proxy_protocol: is required of nobody: trusted_proxies names those who may connect\n" },
};

START_TEST(routes_that_lead_nowhere_are_refused)
{
	struct config *c = NULL;
	const char *words = route_bed_load(&scratch, "eu", refused[_i].behind, &c);
	ck_assert_msg(strstr(words, refused[_i].says) != NULL, "%s", words);
	ck_assert_ptr_null(c);
}
END_TEST

START_TEST(a_bias_has_bounds)
{
	struct config *c = NULL;
	FILE *f = fopen(scratch_path(&scratch, "bias.conf"), "w");
	ck_assert_ptr_nonnull(f);
	fputs("regions = ( { name = \"eu\"; id = 1; peer = \"x:1\"; bias = 0.0; } );\n", f);
	ck_assert_int_eq(fclose(f), 0);
	struct buf errors = BUF_INIT(CONFIG_ERROR_BYTES_MAX);
	ck_assert_int_eq(config_load(scratch.path, &c, &errors), ERR_CONFIG);
	buf_append_byte(&errors, '\0');
	ck_assert_msg(strstr((const char *)errors.data, "regions[0].bias: 0 is outside 0.01 to 100") != NULL, "%s",
		      (const char *)errors.data);
	buf_release(&errors);
}
END_TEST

START_TEST(what_is_good_is_read)
{
	struct config *c = NULL;
	const char *words = route_bed_load(
		&scratch, "eu",
		"geo = { files = [ \"/a.mmdb\", \"/b.mmdb\" ]; };\n"
		"route = { mode = \"nearest\"; slack = \"45ms\"; rules = ( { country = \"AU\"; region = \"ap\"; },\n"
		" { continent = \"SA\"; region = \"us\"; } ); residency = ( { collection = \"c\"; regions = [ \"eu\", \"us\" ]; } ); };\n"
		"trusted_proxies = [ \"10.0.0.0/8\" ];\nproxy_protocol = \"required\";\n",
		&c);
	ck_assert_str_eq(words, "");
	const struct config_rule *rules = c->route_rules.rows;
	const struct config_residency *residencies = c->route_residency.rows;
	const struct config_region *regions = c->regions.rows;
	ck_assert_uint_eq(c->geo_files.count, 2);
	ck_assert_str_eq(c->geo_files.items[1], "/b.mmdb");
	ck_assert_uint_eq(c->route_mode, CONFIG_ROUTE_NEAREST);
	ck_assert_uint_eq(c->route_slack_ms, 45);
	ck_assert_uint_eq(c->route_rules.count, 2);
	ck_assert_str_eq(rules[0].country, "AU");
	ck_assert_str_eq(rules[1].continent, "SA");
	ck_assert_str_eq(rules[1].region, "us");
	ck_assert_uint_eq(residencies[0].regions.count, 2);
	ck_assert_str_eq(c->trusted_proxies.items[0], "10.0.0.0/8");
	ck_assert_uint_eq(c->proxy_protocol, CONFIG_PROXY_REQUIRED);
	ck_assert_double_eq(regions[2].bias, 1.5);
	ck_assert_double_eq(regions[0].bias, 1);
	config_free(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config_route");
	TCase *c = tcase_create("config_route");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_loop_test(c, routes_that_lead_nowhere_are_refused, 0, LEN(refused));
	tcase_add_test(c, a_bias_has_bounds);
	tcase_add_test(c, what_is_good_is_read);
	suite_add_tcase(s, c);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
