/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orphans as operators see them: the list by pages and states, one with its points beside what is there now, deciding.
 */
#include "gateway/admin.h"

#include "tests/gateway/world.h"

/* Of region 6, whose epoch was before that of this region. */
#define LOST_EPOCH 262u

static struct world one;
static struct arena arena;
static struct incarnation incarnation;

static void expect(enum http_verb verb, const char *path, const char *body, int status, const char *words)
{
	struct exchange x = { 0 };

	world_rest(&one, verb, path, body, &x);
	ck_assert_msg(x.status == status, "%s: %d %s", path, x.status, exchange_body(&x));
	ck_assert_msg(strstr(exchange_body(&x), words) != NULL, "%s: %s\nlacks %s", path, exchange_body(&x), words);
	exchange_release(&x);
}

static void set_up(void)
{
	world_open(&one, &(struct world_options){ 0 });
	world_collection(&one);
	arena_init(&arena, 16u << 20);
	struct collection *c = catalog_get(one.catalog, STR("c"));
	incarnation = collection_incarnation(c);
	collection_unref(c);
}

static void tear_down(void)
{
	world_close(&one);
	arena_release(&arena);
}

static struct value payload_of(int64_t n)
{
	CLEANUP(buf_release) struct buf item = BUF_INIT(100);
	struct buf *b = arena_alloc(&arena, sizeof(*b));

	value_put_int(&item, n);
	struct value_member m = { .key = STR("k"), .value = value_of_buf(&item) };
	CLEANUP(buf_release) struct buf object = BUF_INIT(1000);
	ck_assert_ptr_nonnull(b);
	ck_assert_int_eq(value_put_object(&object, &m, 1), ERR_NONE);
	uint8_t *copy = arena_alloc(&arena, object.len);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, object.data, object.len);
	return (struct value){ .data = copy, .len = (uint32_t)object.len };
}

static void list_op(struct op *op)
{
	CLEANUP(buf_release) struct buf wire = BUF_INIT(OP_BYTES_MAX);
	struct fault f = { 0 };

	op->epoch = LOST_EPOCH;
	op->region = LOST_EPOCH & 0xff;
	op->hlc = (UINT64_C(1700000000000) << 16) + op->seq;
	op->incarnation = incarnation;
	ck_assert_int_eq(op_encode(op, OP_FORM_WIRE, &wire), ERR_NONE);
	struct offered_orphan item = { 0xabc, buf_bytes(&wire) };
	struct orphan_offer offer = { .items = &item, .count = 1 };
	ck_assert_msg(!committer_list_orphans(one.committer, &offer, &f), "%s", f.text);
	ck_assert_uint_eq(offer.listed, 1);
}

/* Sets k of point `id`. */
static void list_set(uint64_t seq, uint64_t id, int64_t number)
{
	struct point_id point = { .lo = id };
	struct op op = { .kind = OP_SET_PAYLOAD, .seq = seq, .ids = &point, .id_count = 1, .payload = payload_of(number) };

	list_op(&op);
}

static void list_upsert(uint64_t seq, uint64_t id)
{
	static const float values[] = { 1.5F, 2.0F, 3.0F, 4.0F };
	struct op_vector v = { .vector = { .kind = VECTOR_DENSE, .count = 4, .values = values }, .slot = SLOT_NONE, .name = STR("") };
	struct op_point p = { .id = { .lo = id }, .vectors = &v, .vector_count = 1, .payload = payload_of(7) };
	struct op op = { .kind = OP_UPSERT, .seq = seq, .points = &p, .point_count = 1 };

	list_op(&op);
}

START_TEST(what_is_asked_for_wrongly_is_told)
{
	static const struct {
		enum http_verb verb;
		const char *path;
		const char *body;
		int status;
		const char *words;
	} rows[] = {
		{ VERB_GET, "/isthmus/orphans?state=lost", NULL, 400, "'lost' is none of local, open, applied, dropped and all" },
		{ VERB_GET, "/isthmus/orphans?limit=0", NULL, 422, "limit" },
		{ VERB_GET, "/isthmus/orphans?limit=10001", NULL, 422, "limit" },
		{ VERB_GET, "/isthmus/orphans?after=262-3", NULL, 400, "after: '262-3' is not what an earlier page gave" },
		{ VERB_GET, "/isthmus/orphans?after=open.262-3", NULL, 400, "after" },
		{ VERB_GET, "/isthmus/orphans?after=lost.262-3-00000000000000ff", NULL, 400, "after" },
		{ VERB_GET, "/isthmus/orphans/nine", NULL, 400, "`nine` is no orphan" },
		{ VERB_GET, "/isthmus/orphans/262-3", NULL, 404, "there is no orphan 262-3" },
		{ VERB_POST, "/isthmus/orphans/apply", "{}", 400, "either ids or all has to be given" },
		{ VERB_POST, "/isthmus/orphans/drop", "{\"ids\":[\"262-3\"],\"all\":true}", 400, "either ids or all has to be given" },
		{ VERB_POST, "/isthmus/orphans/apply", "{\"all\":1}", 400, "true or false" },
		{ VERB_POST, "/isthmus/orphans/apply", "{\"all\":true,\"timeout_ms\":1}", 422, "timeout_ms" },
	};

	for (size_t i = 0; i < LEN(rows); i++)
		expect(rows[i].verb, rows[i].path, rows[i].body, rows[i].status, rows[i].words);
}
END_TEST

START_TEST(where_nothing_was_lost_the_list_is_empty)
{
	expect(VERB_GET, "/isthmus/orphans", NULL, 200,
	       "{\"region\":\"eu-north\",\"totals\":{\"local\":0,\"open\":0,\"applied\":0,\"dropped\":0},\"orphans\":[]}");
	expect(VERB_POST, "/isthmus/orphans/apply", "{\"all\":true}", 200, "\"applied\":0,\"refused\":0,\"confirmed\":true");
	expect(VERB_POST, "/isthmus/orphans/drop", "{\"ids\":[\"262-3\"]}", 200,
	       "\"dropped\":0,\"refused\":1,\"confirmed\":true");
}
END_TEST

/* The value of "next" in what was answered; empty when there is none. */
static void next_of(const struct exchange *x, char out[256])
{
	const char *at = strstr(exchange_body(x), "\"next\":\"");

	out[0] = '\0';
	if (at)
		(void)sscanf(at + strlen("\"next\":\""), "%200[^\"]", out);
}

static uint32_t count_of(const char *text, const char *what)
{
	uint32_t count = 0;

	for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
		count++;
	return count;
}

START_TEST(the_list_comes_by_pages_and_by_states)
{
	static const struct {
		const char *state;
		uint32_t pages, count;
	} rows[] = { { "", 2, 3 }, { "&state=open", 2, 3 }, { "&state=local", 1, 0 }, { "&state=applied", 1, 1 },
		     { "&state=dropped", 1, 1 }, { "&state=all", 3, 5 } };

	for (uint64_t seq = 1; seq <= 5; seq++)
		list_set(seq, seq, 5);
	expect(VERB_POST, "/isthmus/orphans/apply", "{\"ids\":[\"262-1\"]}", 200, "\"applied\":1,\"refused\":0");
	expect(VERB_POST, "/isthmus/orphans/drop", "{\"ids\":[\"262-4\"]}", 200, "\"dropped\":1,\"refused\":0");
	for (size_t i = 0; i < LEN(rows); i++) {
		uint32_t pages = 0;
		uint32_t count = 0;
		char next[256] = "";
		do {
			struct exchange x = { 0 };
			char path[512];
			(void)snprintf(path, sizeof(path), "/isthmus/orphans?limit=2%s%s%s", rows[i].state, *next ? "&after=" : "",
				       next);
			world_rest(&one, VERB_GET, path, NULL, &x);
			ck_assert_msg(x.status == 200, "%s", exchange_body(&x));
			ck_assert_ptr_nonnull(strstr(exchange_body(&x), "\"open\":3,\"applied\":1,\"dropped\":1"));
			count += count_of(exchange_body(&x), "\"id\":");
			next_of(&x, next);
			exchange_release(&x);
			ck_assert_uint_lt(pages++, 10);
		} while (*next);
		ck_assert_msg(pages == rows[i].pages && count == rows[i].count, "%s: %u pages, %u", rows[i].state, pages, count);
	}
	expect(VERB_GET, "/isthmus/orphans?limit=1", NULL, 200,
	       "\"orphans\":[{\"id\":\"262-2\",\"hash\":\"0000000000000abc\",\"state\":\"open\",\"kind\":\"set-payload\","
	       "\"collection\":\"c\",\"points\":1,\"time_ms\":1700000000000,\"region\":\"unknown\",\"region_id\":6,\"listed\":"
	       "{\"epoch\":263,");
}
END_TEST

START_TEST(one_is_shown_with_its_points_beside_what_is_there_now)
{
	expect(VERB_PUT, "/collections/c/points?wait=true", "{\"points\":[{\"id\":3,\"vector\":[1,0,0,0],\"payload\":{\"k\":1}}]}",
	       200, "completed");
	list_set(2, 3, 5);
	list_upsert(3, 9);
	expect(VERB_GET, "/isthmus/orphans/262-2", NULL, 200,
	       "\"op\":{\"payload\":{\"k\":5},\"points\":[{\"id\":\"3\",\"now\":{\"vectors\":{\"\":[");
	expect(VERB_GET, "/isthmus/orphans/262-2", NULL, 200, "]},\"payload\":{\"k\":1}}}]}}");
	expect(VERB_GET, "/isthmus/orphans/262-3-0000000000000abc", NULL, 200,
	       "\"op\":{\"points\":[{\"id\":\"9\",\"vectors\":{\"\":[1.5,2.0,3.0,4.0]},\"payload\":{\"k\":7},\"now\":null}]}}");
	expect(VERB_GET, "/isthmus/orphans/262-2?now=false", NULL, 200,
	       "\"op\":{\"payload\":{\"k\":5},\"points\":[{\"id\":\"3\"}]}}");
}
END_TEST

START_TEST(whatever_an_op_holds_is_shown)
{
	static const float values[] = { 1.5F, 2.5F, 3.5F, 4.5F };
	static const uint32_t indices[] = { 7, 9 };
	struct op_vector v[] = {
		{ .name = STR("m"), .slot = SLOT_NONE, .vector = { .kind = VECTOR_MULTI, .count = 4, .rows = 2, .values = values } },
		{ .name = STR("s"), .slot = SLOT_NONE,
		  .vector = { .kind = VECTOR_SPARSE, .count = 2, .values = values, .indices = indices } },
	};
	struct op_point p = { .id = { .lo = 9 }, .vectors = v, .vector_count = 2 };
	struct op upsert = { .kind = OP_UPSERT, .seq = 1, .points = &p, .point_count = 1 };
	struct op_point f = { .id = { .lo = 9 }, .payload = payload_of(3) };
	struct op fields = { .kind = OP_SET_FIELDS, .seq = 2, .points = &f, .point_count = 1 };
	struct point_id id = { .lo = 9 };
	struct str key = STR("k");
	struct op keys = { .kind = OP_DELETE_PAYLOAD, .seq = 3, .ids = &id, .id_count = 1, .keys = &key, .key_count = 1 };
	struct alias items[] = { { STR("gone"), { 0 } }, { STR("now"), incarnation } };
	struct op aliases = { .kind = OP_ALIASES, .seq = 4, .aliases = { items, 2 } };
	struct op drop = { .kind = OP_DROP_COLLECTION, .seq = 5 };
	struct op index = { .kind = OP_FIELD_INDEX_PUT, .seq = 6, .field_index = { .key = STR("k"), .schema = FIELD_INTEGER } };

	list_op(&upsert);
	list_op(&fields);
	list_op(&keys);
	list_op(&drop);
	list_op(&index);
	const struct incarnation kept = incarnation;
	incarnation = (struct incarnation){ 0 };
	list_op(&aliases);
	incarnation = kept;
	expect(VERB_GET, "/isthmus/orphans/262-1", NULL, 200,
	       "\"op\":{\"points\":[{\"id\":\"9\",\"vectors\":{\"m\":[[1.5,2.5],[3.5,4.5]],\"s\":{\"indices\":[7,9],\"values\":"
	       "[1.5,2.5]}},\"payload\":null,\"now\":null}]}}");
	expect(VERB_GET, "/isthmus/orphans/262-2", NULL, 200,
	       "\"op\":{\"points\":[{\"id\":\"9\",\"payload\":{\"k\":3},\"now\":null}]}}");
	expect(VERB_GET, "/isthmus/orphans/262-3?now=false", NULL, 200, "\"op\":{\"keys\":[\"k\"],\"points\":[{\"id\":\"9\"}]}}");
	expect(VERB_GET, "/isthmus/orphans/262-4", NULL, 200, "\"op\":{\"aliases\":{\"gone\":null,\"now\":\"c\"}}}");
	expect(VERB_GET, "/isthmus/orphans/262-5", NULL, 200, "\"kind\":\"drop-collection\",\"collection\":\"c\",\"points\":0");
	expect(VERB_GET, "/isthmus/orphans/262-6", NULL, 200, "\"op\":{\"field_name\":\"k\"}}");
}
END_TEST

START_TEST(what_is_decided_is_told_and_what_is_not_says_why)
{
	list_upsert(2, 9);
	incarnation.hlc++;
	list_set(3, 3, 5);
	incarnation.hlc--;
	list_set(4, 9, 8);
	expect(VERB_POST, "/isthmus/orphans/apply", "{\"ids\":[\"262-2\",\"262-3\",\"1-1\",\"x\"]}", 200,
	       "{\"region\":\"eu-north\",\"applied\":1,\"refused\":3,\"confirmed\":true,\"position\":{\"epoch\":263,");
	expect(VERB_POST, "/isthmus/orphans/apply", "{\"ids\":[\"262-3\"]}", 200,
	       "\"errors\":[{\"id\":\"262-3\",\"error\":\"its collection is not there");
	expect(VERB_GET, "/isthmus/orphans/262-2", NULL, 200, "\"state\":\"applied\"");
	expect(VERB_GET, "/isthmus/orphans/262-2", NULL, 200, "\"op\":null");
	expect(VERB_GET, "/collections/c/points/9", NULL, 200, "{\"k\":7}");
	expect(VERB_POST, "/isthmus/orphans/apply", "{\"all\":true}", 200, "\"applied\":1,\"refused\":1");
	expect(VERB_GET, "/collections/c/points/9", NULL, 200, "{\"k\":8}");
	expect(VERB_POST, "/isthmus/orphans/drop", "{\"all\":true}", 200, "\"dropped\":1,\"refused\":0");
	expect(VERB_GET, "/isthmus/orphans", NULL, 200, "\"open\":0,\"applied\":2,\"dropped\":1},\"orphans\":[]}");
	expect(VERB_POST, "/isthmus/orphans/apply", "{\"ids\":[\"262-3\"]}", 200, "was dropped already");
}
END_TEST

/* More than one commit takes. */
START_TEST(all_of_many_are_decided)
{
	for (uint64_t seq = 1; seq <= 300; seq++)
		list_set(seq, seq, 5);
	expect(VERB_POST, "/isthmus/orphans/drop", "{\"all\":true}", 200, "\"dropped\":300,\"refused\":0");
}
END_TEST

START_TEST(a_region_without_data_decides_nothing_by_itself)
{
	one.api.gateway_only = true;
	expect(VERB_POST, "/isthmus/orphans/drop", "{\"all\":true}", 503, "holds no data");
	one.api.gateway_only = false;
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("admin_orphans");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, what_is_asked_for_wrongly_is_told);
	tcase_add_test(t, where_nothing_was_lost_the_list_is_empty);
	tcase_add_test(t, the_list_comes_by_pages_and_by_states);
	tcase_add_test(t, one_is_shown_with_its_points_beside_what_is_there_now);
	tcase_add_test(t, whatever_an_op_holds_is_shown);
	tcase_add_test(t, what_is_decided_is_told_and_what_is_not_says_why);
	tcase_add_test(t, all_of_many_are_decided);
	tcase_add_test(t, a_region_without_data_decides_nothing_by_itself);
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
