/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fleet needs of a configuration: one good file, and what is said when a piece of it is another.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/config.h"
#include "gateway/region.h"

static const char good[] =
	"fleet = { name = \"demo\"; };\n"
	"region = { name = \"eu\"; id = 1; role = \"data\"; };\n"
	"listen = { peer = \"127.0.0.1:6335\"; };\n"
	"peer = { certificate = \"eu.pem\"; key = \"eu.key\"; ca = \"ca.pem\"; };\n"
	"session = { key_file = \"session.key\"; };\n"
	"nats = { url = \"nats://127.0.0.1:4222\"; domain = \"eu\"; };\n"
	"scope = { home = \"us\"; };\n"
	"regions = (\n"
	"  { name = \"eu\"; id = 1; peer = \"eu.example:6335\"; domain = \"eu\"; lat = 50.11; },\n"
	"  { name = \"us\"; id = 2; peer = \"us.example:6335\"; domain = \"us\"; rest = \"http://us.example:6333\"; },\n"
	"  { name = \"edge\"; id = 4; role = \"gateway\"; peer = \"edge.example:6335\"; domain = \"edge\"; }\n"
	");\n";

static char path[] = "/tmp/isthmus-config-XXXXXX";
static struct buf errors;

static void set_up(void)
{
	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	(void)close(fd);
	buf_init(&errors, CONFIG_ERROR_BYTES_MAX);
}

static void tear_down(void)
{
	(void)unlink(path);
	buf_release(&errors);
}

/* The good file with `from` replaced by `to`. */
static enum err load(const char *from, const char *to, struct config **ret_config)
{
	const char *at = strstr(good, from);
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(at);
	ck_assert_ptr_nonnull(f);
	(void)fprintf(f, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
	ck_assert_int_eq(fclose(f), 0);
	return config_load(path, ret_config, &errors);
}

static const struct {
	const char *from, *to;
	const char *says;         /* behind the file's name and the line */
} refused[] = {
	{ "\"demo\"", "\"De mo\"", "fleet.name: 'De mo' has other than" },
	{ "name = \"us\"; id", "name = \"U.S\"; id", "regions.name: 'U.S' has other than" },
	{ "name = \"us\"; id", "name = \"eu\"; id", "regions.name: there are two regions 'eu'" },
	{ "id = 2", "id = 1", "regions.id: there are two regions of number 1" },
	{ "id = 2", "id = 0", "id: 0 is outside 1 to 255" },
	{ "id = 2; peer = \"us.example:6335\"", "id = 2", "regions[1]: peer is missing" },
	{ "name = \"eu\"; id = 1; role", "name = \"mars\"; id = 1; role", "regions: has no row for region.name 'mars'" },
	{ "name = \"eu\"; id = 1; role", "name = \"eu\"; id = 7; role", "regions.id: 1 is not region.id, which is 7" },
	{ "role = \"data\"", "role = \"gateway\"", "regions.role: is not region.role" },
	{ "home = \"us\"", "home = \"edge\"", "scope.home: 'edge' is none of the data regions" },
	{ "home = \"us\"", "home = \"mars\"", "scope.home: 'mars' is none of the data regions" },
	{ "scope = { home = \"us\"; };\n", "", "scope.home: '' is none of the data regions" },
	{ "certificate = \"eu.pem\"; ", "", "peer.certificate: is missing" },
	{ "key = \"eu.key\"; ", "", "peer.key: is missing" },
	{ "ca = \"ca.pem\"; ", "", "peer.ca: is missing" },
	{ "listen = { peer = \"127.0.0.1:6335\"; };\n", "", "listen.peer: is off" },
	{ "session = { key_file = \"session.key\"; };\n", "", "session.key_file: is missing" },
	{ "domain = \"us\"", "domain = \"\"", "regions.domain: either all nats-servers have" },
	{ "domain = \"eu\"; };\nscope", "domain = \"ue\"; };\nscope", "regions.domain: 'eu' is not nats.domain, which is 'ue'" },
	{ "\"127.0.0.1:6335\"", "\"localhost:6335\"", "listen.peer: 'localhost' is no IPv4 or IPv6 address" },
};

START_TEST(what_makes_no_fleet_is_refused_by_name)
{
	struct config *c;

	ck_assert_int_eq(load(refused[_i].from, refused[_i].to, &c), ERR_CONFIG);
	buf_append_byte(&errors, 0);
	ck_assert_msg(strstr((const char *)errors.data, refused[_i].says) != NULL, "%s", (const char *)errors.data);
}
END_TEST

START_TEST(a_fleet_without_nats_needs_no_domains)
{
	struct config *c;

	ck_assert_int_eq(load("nats = { url = \"nats://127.0.0.1:4222\"; domain = \"eu\"; };\n", "", &c), ERR_NONE);
	config_free(c);
}
END_TEST

static void expect_alone(const char *content, const char *says)
{
	struct config *c;
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	(void)fputs(content, f);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(config_load(path, &c, &errors), ERR_CONFIG);
	buf_append_byte(&errors, 0);
	ck_assert_msg(strstr((const char *)errors.data, says) != NULL, "%s", (const char *)errors.data);
	buf_reset(&errors);
}

START_TEST(what_only_a_fleet_has_is_refused_alone)
{
	expect_alone("listen = { peer = \"127.0.0.1:1\"; };", "listen.peer: is given without regions");
	expect_alone("region = { role = \"gateway\"; };", "region.role: a gateway needs regions");
}
END_TEST

START_TEST(the_table_of_regions_is_that_of_the_file)
{
	struct config *c;
	struct regions r;

	ck_assert_int_eq(load("", "", &c), ERR_NONE);
	regions_init(&r, c);
	ck_assert_uint_eq(r.count, 3);
	ck_assert_uint_eq(regions_data_count(&r), 2);
	ck_assert_str_eq(regions_self(&r)->name, "eu");
	ck_assert(regions_self(&r)->lat > 50 && regions_self(&r)->lat < 51);
	ck_assert_str_eq(regions_by_id(&r, 2)->rest, "http://us.example:6333");
	ck_assert_str_eq(regions_by_id(&r, 4)->peer, "edge.example:6335");
	ck_assert(!regions_by_id(&r, 4)->data);
	ck_assert_ptr_null(regions_by_id(&r, 3));
	ck_assert_ptr_eq(regions_by_name(&r, STR("us")), regions_by_id(&r, 2));
	ck_assert_ptr_null(regions_by_name(&r, STR("u")));
	config_free(c);
}
END_TEST

START_TEST(a_certificate_names_a_region_by_its_suffix)
{
	static const struct {
		struct str name;
		uint8_t id;
	} rows[] = { { STR("eu.isthmus"), 1 },  { STR("edge.isthmus"), 4 }, { STR("eu"), 0 },
		     { STR(".isthmus"), 0 },    { STR("isthmus"), 0 },      { STR("eu.isthmus.org"), 0 },
		     { STR("x.eu.isthmus"), 0 }, { STR(""), 0 },             { STR("mars.isthmus"), 0 } };
	struct config *c;
	struct regions r;

	ck_assert_int_eq(load("", "", &c), ERR_NONE);
	regions_init(&r, c);
	for (size_t i = 0; i < LEN(rows); i++) {
		const struct region *found = regions_by_certificate(&r, rows[i].name);
		ck_assert_msg((found ? found->id : 0) == rows[i].id, "%.*s", STR_FMT(rows[i].name));
	}
	config_free(c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("config_fleet");
	TCase *t = tcase_create("config_fleet");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, what_makes_no_fleet_is_refused_by_name, 0, LEN(refused));
	tcase_add_test(t, a_fleet_without_nats_needs_no_domains);
	tcase_add_test(t, what_only_a_fleet_has_is_refused_alone);
	tcase_add_test(t, the_table_of_regions_is_that_of_the_file);
	tcase_add_test(t, a_certificate_names_a_region_by_its_suffix);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
