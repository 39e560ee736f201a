/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators ask of a region alone: audits, conflicts, the regions, routing; and who may ask as a region.
 */
#include "gateway/admin.h"

#include "replicator/audit.h"
#include "replicator/conflict.h"
#include "tests/gateway/world.h"

static struct world one;
static struct audit *audit;

static void set_up(void)
{
	world_open(&one, &(struct world_options){ 0 });
	audit = NULL;
}

static void tear_down(void)
{
	audit_free(audit);
	world_close(&one);
}

static void expect(enum http_verb verb, const char *path, const char *body, int status, const char *words)
{
	struct exchange x = { 0 };

	world_rest(&one, verb, path, body, &x);
	ck_assert_msg(x.status == status, "%s: %d %s", path, x.status, exchange_body(&x));
	ck_assert_msg(strstr(exchange_body(&x), words) != NULL, "%s: %s", path, exchange_body(&x));
	exchange_release(&x);
}

START_TEST(what_a_region_alone_cannot_do_is_told)
{
	static const struct {
		enum http_verb verb;
		const char *path;
		const char *body;
		int status;
		const char *words;
	} rows[] = {
		{ VERB_GET, "/isthmus/audit", NULL, 501, "nothing to audit" },
		{ VERB_POST, "/isthmus/audit", "{}", 501, "nothing to audit" },
		{ VERB_POST, "/isthmus/switchover", "{\"to\":\"us\"}", 400, "alone" },
		{ VERB_POST, "/isthmus/failover", "{\"to\":\"us\"}", 400, "alone" },
		{ VERB_POST, "/isthmus/failover", "{\"lost\":[]}", 422, "lost" },
		{ VERB_GET, "/isthmus/voters", NULL, 400, "alone" },
		{ VERB_POST, "/isthmus/voters", "{\"change\":\"add\",\"region\":\"us\"}", 400, "alone" },
		{ VERB_POST, "/isthmus/voters", "{\"change\":\"shoot\",\"region\":\"us\"}", 400, "shoot" },
		{ VERB_GET, "/isthmus/route", NULL, 503, "routes nothing" },
		{ VERB_GET, "/isthmus/route?ip=300.1.1.1", NULL, 400, "ip: '300.1.1.1' is no address" },
		{ VERB_GET, "/isthmus/route?operation=erase", NULL, 400, "'erase' is neither read nor write" },
		{ VERB_GET, "/isthmus/conflicts?collection=none", NULL, 404, "`none` doesn't exist" },
		{ VERB_GET, "/isthmus/conflicts?limit=0", NULL, 422, "limit" },
		{ VERB_GET, "/isthmus/conflicts?limit=10001", NULL, 422, "limit" },
	};

	for (size_t i = 0; i < LEN(rows); i++)
		expect(rows[i].verb, rows[i].path, rows[i].body, rows[i].status, rows[i].words);
}
END_TEST

START_TEST(a_region_alone_has_no_others)
{
	expect(VERB_GET, "/isthmus/regions", NULL, 200, "{\"region\":\"eu-north\",\"regions\":[]}");
}
END_TEST

/* --- audits --- */

static void have_audits(void)
{
	struct fault f = { 0 };
	struct audit_options o = { .clock = clock_system(),
				   .store = one.store,
				   .catalog = one.catalog,
				   .committer = one.committer,
				   .region = "eu-north",
				   .hash = crypto_sha256 };

	ck_assert_msg(!audit_new(&o, &audit, &f), "%s", f.text);
	ck_assert_int_eq(audit_start(audit), ERR_NONE);
	one.api.audit = audit;
}

START_TEST(an_audit_that_is_asked_for_is_answered_and_listed)
{
	have_audits();
	world_collection(&one);
	expect(VERB_GET, "/isthmus/audit", NULL, 200, "\"reports\":[]");
	expect(VERB_POST, "/isthmus/audit", "{\"deep\":true}", 200, "\"verdict\":\"equal\"");
	expect(VERB_GET, "/isthmus/audit", NULL, 200, "\"deep\":true,\"verdict\":\"equal\"");
}
END_TEST

START_TEST(an_audit_is_not_begun_while_the_region_stops)
{
	have_audits();
	audit_stop(audit);
	expect(VERB_POST, "/isthmus/audit", "{}", 503, "being stopped");
}
END_TEST

/* --- conflicts --- */

static void lose(struct collection *c, uint64_t id)
{
	static const uint8_t text[] = { VALUE_STRING, 2, 'h', 'i' };
	const struct merge_loss loss = { .field = STR("payload:k"),
					 .winner = { 2, 300, 7 },
					 .loser = { 1, 200, 3 },
					 .loser_value = { .data = text, .len = sizeof(text) },
					 .reason = "lww" };
	struct store_txn *t;

	ck_assert_int_eq(one.store->ops->begin(one.store, true, &t), ERR_NONE);
	ck_assert_int_eq(conflict_add(one.store, t, collection_incarnation(c), (struct point_id){ .lo = id }, &loss, id),
			 ERR_NONE);
	ck_assert_int_eq(one.store->ops->commit(t, NULL), ERR_NONE);
}

START_TEST(conflicts_are_listed_newest_first_within_the_limit)
{
	struct exchange x = { 0 };

	world_collection(&one);
	struct collection *c = catalog_get(one.catalog, STR("c"));
	for (uint64_t id = 1; id <= 3; id++)
		lose(c, id);
	collection_unref(c);
	world_rest(&one, VERB_GET, "/isthmus/conflicts?collection=c&limit=2", NULL, &x);
	ck_assert_int_eq(x.status, 200);
	const char *newest = strstr(exchange_body(&x), "\"id\":\"3\"");
	const char *next = strstr(exchange_body(&x), "\"id\":\"2\"");
	ck_assert_msg(newest && next && newest < next, "%s", exchange_body(&x));
	ck_assert_ptr_null(strstr(exchange_body(&x), "\"id\":\"1\""));
	ck_assert_ptr_nonnull(strstr(newest, "\"field\":\"payload:k\",\"reason\":\"lww\""));
	ck_assert_ptr_nonnull(strstr(newest, "\"value\":\"hi\""));
	exchange_release(&x);
	one.api.gateway_only = true;
	expect(VERB_GET, "/isthmus/conflicts", NULL, 200, "{\"conflicts\":[]}");
	one.api.gateway_only = false;
}
END_TEST

/* --- regions --- */

START_TEST(what_regions_ask_each_other_is_no_path_for_anybody_else)
{
	uint32_t count, asked = 0;
	const struct method *m = method_table(&count);

	for (uint32_t i = 0; i < count; i++)
		if (m[i].access == ACCESS_PEER && m[i].path) {
			expect(m[i].verb, m[i].path, "", 404, "");
			asked++;
		}
	ck_assert_uint_ge(asked, 3);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("admin");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, what_a_region_alone_cannot_do_is_told);
	tcase_add_test(t, what_regions_ask_each_other_is_no_path_for_anybody_else);
	tcase_add_test(t, a_region_alone_has_no_others);
	tcase_add_test(t, an_audit_is_not_begun_while_the_region_stops);
	tcase_add_test(t, an_audit_that_is_asked_for_is_answered_and_listed);
	tcase_add_test(t, conflicts_are_listed_newest_first_within_the_limit);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
