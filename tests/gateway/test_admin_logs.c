/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /isthmus/status and /metrics say of logs that wait and of a clock that is off.
 */
#include "gateway/admin_logs.h"

#include "base/metric.h"
#include "replicator/replicator.h"
#include "tests/gateway/world.h"

#define OWN_LOG (MULTI_LOG_BIT | 0xabcu << 8 | 7u)

static struct world one;
static struct store *store;
static struct catalog *catalog;
static struct replicator *replicator;

/* The region of the world as one of three; nothing of the replicator runs. */
static void set_up(void)
{
	static const struct peer_config others[] = { { .name = "fra", .id = 2, .data = true }, { .name = "nyc", .id = 3, .data = true } };
	struct fault f = { 0 };

	world_open(&one, &(struct world_options){ 0 });
	ck_assert_int_eq(store_mem_new(&store), ERR_NONE);
	struct catalog_options co = { .store = store };
	ck_assert_msg(catalog_open(&co, &catalog, &f) == ERR_NONE, "%s", f.text);
	struct replicator_options o = { .clock = clock_system(),
					.store = store,
					.catalog = catalog,
					.fleet = "f",
					.self = { .name = "eu-north", .id = 7, .data = true },
					.others = others,
					.other_count = LEN(others) };
	ck_assert_msg(replicator_open(&o, &replicator, &f) == ERR_NONE, "%s", f.text);
	one.api.replicator = replicator;
}

static void tear_down(void)
{
	one.api.replicator = NULL;
	replicator_free(replicator);
	catalog_close(catalog);
	store->ops->close(store);
	world_close(&one);
}

static void expect(const char *path, const char *words)
{
	struct exchange x = { 0 };

	world_rest(&one, VERB_GET, path, NULL, &x);
	ck_assert_int_eq(x.status, 200);
	ck_assert_msg(strstr(exchange_body(&x), words) != NULL, "%s: %s", words, exchange_body(&x));
	exchange_release(&x);
}

START_TEST(a_fleet_in_which_nothing_waits_says_so)
{
	expect("/isthmus/status",
	       "\"logs_waiting\":[],\"own_logs_waiting\":[],\"clock_off\":false,\"clock_ahead_ms\":0");
	expect("/metrics", "isthmus_logs_waiting{reason=\"lost\"} 0\n");
	expect("/metrics", "isthmus_own_logs_waiting{region=\"nyc\"} 0\n");
	expect("/metrics", "isthmus_clock_off_seconds 0\n");
}
END_TEST

START_TEST(a_region_shows_which_of_its_logs_wait_elsewhere)
{
	struct standing s = { .fleet = peers_fleet(replicator_peers(replicator)),
			      .region = 3,
			      .wall_ms = 1,
			      .waits = { { OWN_LOG, 12, LOG_WAIT_CLOCK }, { OWN_LOG, 13, 200 } },
			      .wait_count = 2 };

	ck_assert(peers_stand(replicator_peers(replicator), &s));
	expect("/isthmus/status",
	       "\"own_logs_waiting\":[{\"log\":\"80000000000abc07\",\"seq\":12,\"region\":\"nyc\",\"reason\":\"clock\"},"
	       "{\"log\":\"80000000000abc07\",\"seq\":13,\"region\":\"nyc\",\"reason\":\"unknown\"}]");
	expect("/metrics", "isthmus_own_logs_waiting{region=\"nyc\"} 2\n");
	expect("/metrics", "isthmus_own_logs_waiting{region=\"fra\"} 0\n");
}
END_TEST

START_TEST(a_region_shows_that_its_own_clock_is_off)
{
	const struct clock_sample off = { .offset_ms = 2500, .error_ms = 500 };

	peers_clock_sample(replicator_peers(replicator), 0, &off);
	expect("/isthmus/status", "\"clock_off\":false");
	peers_clock_sample(replicator_peers(replicator), 1, &off);
	expect("/isthmus/status", "\"clock_off\":true,\"clock_ahead_ms\":-2000");
	expect("/metrics", "isthmus_clock_off_seconds -2\n");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("admin_logs");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_fleet_in_which_nothing_waits_says_so);
	tcase_add_test(t, a_region_shows_which_of_its_logs_wait_elsewhere);
	tcase_add_test(t, a_region_shows_that_its_own_clock_is_off);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
