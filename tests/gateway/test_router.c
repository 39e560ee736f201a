/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the configuration says becomes decisions: rules, residency, databases, the regions' health, and all of it anew.
 */
#include "gateway/router.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/metric.h"
#include "gateway/forwarded.h"
#include "tests/gateway/mmdb_bed.h"
#include "tests/gateway/route_bed.h"

static struct scratch scratch;
static struct clock_manual now;
static struct config *config;
static struct regions regions;
static struct router *router;
static struct router_health health[REGIONS_MAX];
static unsigned looks;
static char database[PATH_MAX];

static const struct mmdb_row rows[] = {
	{ "192.0.2.0/24", "DE", "EU", true, 50, 9 },
	{ "198.51.100.0/24", "SG", "AS", true, 1.3, 103.8 },
	{ "203.0.113.0/24", "BR", "SA", true, -17, -47 },
};

static void look(void *ctx, const struct region *r, struct router_health *ret_health)
{
	ck_assert_ptr_eq(ctx, &health);
	looks++;
	*ret_health = health[r->id];
}

static void write_database(const struct mmdb_row *first, size_t count)
{
	struct buf b = mmdb_make(first, count, 6, false, 1700000000);
	snprintf(database, sizeof(database), "%s", scratch_path(&scratch, "geo.mmdb"));
	FILE *f = fopen(database, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(b.data, 1, b.len, f), b.len);
	ck_assert_int_eq(fclose(f), 0);
	buf_release(&b);
}

static void set_up(void)
{
	scratch_new(&scratch);
	clock_manual_init(&now, 1800000000000);
	now.mono_ns = 1000000000;
	for (size_t i = 0; i < LEN(health); i++)
		health[i] = (struct router_health){ .lag_s = -1, .rtt_ms = -1, .connected = true };
	looks = 0;
	write_database(rows, LEN(rows));
}

static void tear_down(void)
{
	router_free(router);
	router = NULL;
	router_free(NULL);
	router_policy_free(NULL);
	config_free(config);
	config = NULL;
	scratch_remove(&scratch);
}

static struct router_policy *policy_of(const char *region, const char *behind, bool strict)
{
	struct router_policy *p = NULL;
	struct fault f = { 0 };
	struct config *c;
	ck_assert_str_eq(route_bed_load(&scratch, region, behind, &c), "");
	/* As in the daemon: the regions are those of the first one, and of later ones nothing is kept. */
	if (!config)
		regions_init(&regions, c);
	ck_assert_msg(router_policy_new(c, &regions, strict, &p, &f) == ERR_NONE, "%s", f.text);
	if (config)
		config_free(c);
	else
		config = c;
	return p;
}

static const char *with_database(const char *more)
{
	static char text[PATH_MAX + 1024];
	snprintf(text, sizeof(text), "geo = { files = [ \"%s\" ]; };\n%s", database, more);
	return text;
}

static void open_router(const char *region, const char *behind)
{
	const struct router_options o = { .clock = &now.clock, .regions = &regions, .look = look, .ctx = &health };
	ck_assert_int_eq(router_new(&o, policy_of(region, behind, true), &router), ERR_NONE);
}

static struct router_answer answer;

static const char *decided(const char *ip, const char *collection)
{
	static char text[64];
	struct sockaddr_storage a;
	ck_assert(forwarded_parse_address((struct str){ ip, strlen(ip) }, &a));
	const struct router_query q = { .operation = ROUTE_READ,
					.client = (const struct sockaddr *)&a,
					.collection = { collection, collection ? strlen(collection) : 0 } };
	router_decide(router, &q, &answer);
	snprintf(text, sizeof(text), "%s %s", route_kind_name(answer.decision.kind),
		 answer.decision.region ? answer.decision.region->name : "-");
	return text;
}

START_TEST(a_database_that_is_broken_is_refused_when_it_must_be_good)
{
	struct router_policy *p = NULL;
	struct fault f = { 0 };
	struct regions none = { 0 };
	ck_assert_int_eq(truncate(database, 100), 0);
	ck_assert_str_eq(route_bed_load(&scratch, "edge", with_database(""), &config), "");
	ck_assert_int_eq(router_policy_new(config, &none, true, &p, &f), ERR_CONFIG);
	ck_assert_ptr_null(p);
	ck_assert_msg(strncmp(f.text, "geo.files: ", 11) == 0 && strstr(f.text, database), "%s", f.text);
}
END_TEST

static const char *status(void)
{
	static char text[4096];
	struct buf b = BUF_INIT(sizeof(text) - 1);
	router_write_status(router, &b);
	ck_assert_int_eq(buf_err(&b), ERR_NONE);
	memcpy(text, b.data, b.len);
	text[b.len] = '\0';
	buf_release(&b);
	return text;
}

START_TEST(without_a_good_database_regions_are_chosen_all_the_same)
{
	const struct router_options o = { .clock = &now.clock, .regions = &regions, .look = look, .ctx = &health };
	ck_assert_int_eq(truncate(database, 100), 0);
	struct router_policy *p = policy_of("edge", with_database(""), false);
	ck_assert_int_eq(router_new(&o, p, &router), ERR_NONE);
	ck_assert_str_eq(decided("198.51.100.7", NULL), "proxy eu");
	ck_assert_int_eq(answer.place.source, PLACE_NONE);
	ck_assert_msg(strstr(status(), "\"files\":[],\"problem\":\"") && strstr(status(), "cut off"), "%s", status());
	/* Until a reload finds a better one. */
	write_database(rows, LEN(rows));
	router_swap(router, policy_of("edge", with_database(""), true));
	ck_assert_str_eq(decided("198.51.100.7", NULL), "proxy ap");
	ck_assert_msg(strstr(status(), "\"type\":\"Test-City\"") && strstr(status(), "\"problem\":null"), "%s", status());
}
END_TEST

START_TEST(modes_come_from_the_role_unless_they_are_given)
{
	static const struct {
		const char *region, *behind, *berlin, *singapore;
	} cases[] = {
		{ "edge", "", "proxy eu", "proxy ap" },
		{ "eu", "", "here eu", "proxy ap" },
		{ "eu", "route = { slack = \"60s\"; };", "here eu", "here eu" },
		{ "eu", "route = { mode = \"nearest\"; slack = \"60s\"; };", "here eu", "proxy ap" },
		{ "edge", "route = { mode = \"local\"; slack = \"60s\"; };", "proxy eu", "proxy ap" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		router_free(router);
		config_free(config);
		config = NULL;
		open_router(cases[i].region, with_database(cases[i].behind));
		ck_assert_msg(strcmp(decided("192.0.2.1", NULL), cases[i].berlin) == 0, "row %zu", i);
		ck_assert_msg(strcmp(decided("198.51.100.1", NULL), cases[i].singapore) == 0, "row %zu", i);
	}
}
END_TEST

START_TEST(rules_and_residency_are_those_of_the_file)
{
	open_router("edge", with_database("route = { rules = ( { country = \"DE\"; region = \"us\"; }, { continent = \"AS\"; "
					  "region = \"eu\"; } ); residency = ( { collection = \"pinned\"; regions = [ \"us\", \"ap\" ]; } ); };"));
	ck_assert(router_wants_collection(router));
	ck_assert_str_eq(decided("192.0.2.1", NULL), "proxy us");
	ck_assert_str_eq(decided("198.51.100.1", "other"), "proxy eu");
	ck_assert_str_eq(decided("198.51.100.1", "pinned"), "proxy ap");
	ck_assert_str_eq(decided("198.51.100.1", "pinned2"), "proxy eu");
	ck_assert_str_eq(decided("203.0.113.1", NULL), "proxy us");
	router_swap(router, policy_of("edge", with_database(""), true));
	ck_assert(!router_wants_collection(router));
	ck_assert_str_eq(decided("192.0.2.1", "pinned"), "proxy eu");
}
END_TEST

START_TEST(the_bias_and_the_urls_are_those_of_the_file)
{
	open_router("edge", with_database(""));
	(void)decided("198.51.100.1", NULL);
	ck_assert_str_eq(answer.decision.candidates[0].region->name, "ap");
	ck_assert_double_eq(answer.decision.candidates[0].region->bias, 1.5);
	ck_assert(answer.decision.candidates[0].region->no_redirect);
	ck_assert(!answer.decision.candidates[1].region->no_redirect);
}
END_TEST

START_TEST(health_is_looked_at_now_and_then_and_before_anybody_is_refused)
{
	open_router("edge", with_database(""));
	ck_assert_str_eq(decided("192.0.2.1", NULL), "proxy eu");
	ck_assert_uint_eq(looks, 4);
	health[1].silent_ms = UINT64_MAX;
	now.mono_ns += (ROUTER_LOOK_MS - 1) * 1000000ull;
	ck_assert_str_eq(decided("192.0.2.1", NULL), "proxy eu");
	ck_assert_uint_eq(looks, 4);
	now.mono_ns += 1000000;
	ck_assert_str_eq(decided("192.0.2.1", NULL), "proxy us");
	ck_assert_uint_eq(looks, 8);
	for (size_t i = 1; i <= 3; i++)
		health[i] = (struct router_health){ .silent_ms = UINT64_MAX };
	now.mono_ns += ROUTER_LOOK_MS * 1000000ull;
	ck_assert_str_eq(decided("192.0.2.1", NULL), "none -");
	/* What is over a moment later is seen at once. */
	health[3].silent_ms = 0;
	ck_assert_str_eq(decided("192.0.2.1", NULL), "proxy ap");
}
END_TEST

START_TEST(a_region_alone_answers_and_looks_at_nobody)
{
	const struct router_options o = { .clock = &now.clock, .regions = &regions, .look = look, .ctx = &health };
	struct router_policy *p = NULL;
	CLEANUP(buf_release) struct buf errors = BUF_INIT(CONFIG_ERROR_BYTES_MAX);
	ck_assert_int_eq(config_load(NULL, &config, &errors), ERR_NONE);
	regions_init(&regions, config);
	ck_assert_int_eq(router_policy_new(config, &regions, true, &p, NULL), ERR_NONE);
	ck_assert_int_eq(router_new(&o, p, &router), ERR_NONE);
	ck_assert_str_eq(decided("192.0.2.1", NULL), "here -");
	ck_assert_uint_eq(looks, 0);
	ck_assert_str_eq(status(), "{\"files\":[],\"problem\":null}");
}
END_TEST

START_TEST(an_answer_is_told_with_everything_behind_it)
{
	struct buf b = BUF_INIT(64 << 10);
	struct sockaddr_storage a;
	open_router("edge", with_database(""));
	health[1].rtt_ms = 8.5;
	health[1].lag_s = 0.25;
	health[2].draining = true;
	ck_assert(forwarded_parse_address(STR("192.0.2.1"), &a));
	ck_assert_str_eq(decided("192.0.2.1", NULL), "proxy eu");
	router_write_answer(&answer, (const struct sockaddr *)&a, &b);
	buf_append_byte(&b, '\0');
	const char *text = (const char *)b.data;
	static const char *const parts[] = {
		"{\"client\":{\"ip\":\"192.0.2.1\",\"country\":\"DE\",\"continent\":\"EU\",\"lat\":50.0,\"lon\":9.0,\"source\":\"city\"}",
		"\"decision\":\"proxy\",\"region\":\"eu\",\"reasons\":[\"edge does not hold the data\",\"eu scores best, ",
		"\"candidates\":[{\"region\":\"eu\",\"km\":2",
		",\"bias\":1.0,\"rtt_ms\":8.5,\"health\":\"well\",\"lag_s\":0.25,\"allowed\":true,\"score\":",
		"\"region\":\"us\",", "\"health\":\"draining\",\"lag_s\":null,\"allowed\":false,\"why\":\"draining\",",
		"{\"region\":\"edge\",", "\"allowed\":false,\"why\":\"holds no data\",",
	};
	for (size_t i = 0; i < LEN(parts); i++)
		ck_assert_msg(strstr(text, parts[i]) != NULL, "%s\nhas no %s", text, parts[i]);
	buf_release(&b);
}
END_TEST

START_TEST(a_simulation_knows_no_trouble)
{
	struct sockaddr_storage a;
	struct router_policy *p = policy_of("edge", with_database(""), true);
	const struct router_query q = { .operation = ROUTE_READ, .client = (const struct sockaddr *)&a };
	ck_assert(forwarded_parse_address(STR("198.51.100.1"), &a));
	router_simulate(p, &regions, &q, &answer);
	ck_assert_str_eq(answer.decision.region->name, "ap");
	ck_assert_uint_eq(looks, 0);
	router_policy_free(p);
}
END_TEST

START_TEST(the_age_of_databases_is_measured)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(4 << 20);
	open_router("edge", with_database(""));
	router_measure(router);
	metric_write(&b);
	buf_append_byte(&b, '\0');
	ck_assert_ptr_nonnull(strstr((const char *)b.data, "isthmus_geo_database_age_seconds{file=\"geo.mmdb\"} 100000000\n"));
	ck_assert_ptr_nonnull(strstr((const char *)b.data, "isthmus_geo_databases 1\n"));
}
END_TEST

/* --- threads --- */

enum { TURNS = 2000 };

static void *decide_often(void *arg)
{
	struct router_answer *mine = arg;
	struct sockaddr_storage a;
	ck_assert(forwarded_parse_address(STR("198.51.100.1"), &a));
	const struct router_query q = { .operation = ROUTE_READ, .client = (const struct sockaddr *)&a };
	for (int i = 0; i < TURNS; i++) {
		router_decide(router, &q, mine);
		if (mine->decision.kind != ROUTE_PROXY)
			return mine;
	}
	return NULL;
}

START_TEST(a_swap_disturbs_no_decision)
{
	struct router_answer *mine = calloc(2, sizeof(*mine));
	pthread_t threads[2];
	void *bad;
	ck_assert_ptr_nonnull(mine);
	open_router("edge", with_database(""));
	for (size_t i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, decide_often, &mine[i]), 0);
	for (int i = 0; i < 50; i++) {
		struct router_policy *p = NULL;
		ck_assert_int_eq(router_policy_new(config, &regions, true, &p, NULL), ERR_NONE);
		router_swap(router, p);
	}
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &bad), 0);
		ck_assert_ptr_null(bad);
	}
	free(mine);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("router");
	TCase *c = tcase_create("router");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_database_that_is_broken_is_refused_when_it_must_be_good);
	tcase_add_test(c, without_a_good_database_regions_are_chosen_all_the_same);
	tcase_add_test(c, modes_come_from_the_role_unless_they_are_given);
	tcase_add_test(c, rules_and_residency_are_those_of_the_file);
	tcase_add_test(c, the_bias_and_the_urls_are_those_of_the_file);
	tcase_add_test(c, health_is_looked_at_now_and_then_and_before_anybody_is_refused);
	tcase_add_test(c, a_region_alone_answers_and_looks_at_nobody);
	tcase_add_test(c, an_answer_is_told_with_everything_behind_it);
	tcase_add_test(c, a_simulation_knows_no_trouble);
	tcase_add_test(c, the_age_of_databases_is_measured);
	tcase_add_test(c, a_swap_disturbs_no_decision);
	suite_add_tcase(s, c);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
