/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict mode: each limit by REST and by gRPC, just kept and just broken.
 */
#include "gateway/rest.h"
#include "tests/gateway/world.h"

static struct world world;

#define CREATE(strict)                                                                                            \
	"{\"vectors\":{\"\":{\"size\":2,\"distance\":\"Dot\"}},\"sparse_vectors\":{\"s\":{}},"                         \
	"\"strict_mode_config\":{\"enabled\":true," strict "}}"
#define POINT(id) "{\"id\":" id ",\"vector\":[1,2],\"payload\":{\"n\":1}}"
#define COND "{\"key\":\"n\",\"match\":{\"value\":1}}"

struct step {
	const char *strict;
	enum http_verb verb;
	const char *method, *path;
	const char *kept, *broken;
	const char *words;
};

static const struct step steps[] = {
	{ "\"max_query_limit\":3", VERB_POST, "points_query", P "/query", "{\"query\":[1,2],\"limit\":3}",
	  "{\"query\":[1,2],\"limit\":4}",
	  "Limit exceeded 4 > 3 for \"limit\". Help: Reduce the \"limit\" parameter to or below 3." },
	{ "\"max_query_limit\":3", VERB_POST, "points_search", P "/search", "{\"vector\":[1,2],\"limit\":3}",
	  "{\"vector\":[1,2],\"limit\":4}", "Limit exceeded 4 > 3 for \"limit\"" },
	{ "\"max_query_limit\":3", VERB_POST, "points_query_batch", P "/query/batch",
	  "{\"searches\":[{\"query\":[1,2],\"limit\":3}]}",
	  "{\"searches\":[{\"query\":[1,2],\"limit\":1},{\"query\":[1,2],\"limit\":9}]}", "Limit exceeded 9 > 3 for \"limit\"" },
	{ "\"max_query_limit\":3", VERB_POST, "points_scroll", P "/scroll", "{\"limit\":3}", "{}",
	  "Limit exceeded 10 > 3 for \"limit\"" },
	{ "\"max_query_limit\":3", VERB_POST, "points_query", P "/query",
	  "{\"prefetch\":{\"query\":[1,2],\"limit\":3},\"query\":{\"fusion\":\"rrf\"},\"limit\":3}",
	  "{\"prefetch\":{\"prefetch\":{\"query\":[1,2],\"limit\":4},\"query\":[1,1],\"limit\":3},"
	  "\"query\":{\"fusion\":\"rrf\"},\"limit\":3}",
	  "Limit exceeded 4 > 3 for \"limit\"" },
	{ "\"max_query_limit\":3", VERB_POST, "points_recommend", P "/recommend", "{\"positive\":[1],\"limit\":3}",
	  "{\"positive\":[1],\"limit\":4}", "Limit exceeded 4 > 3 for \"limit\"" },
	{ "\"max_timeout\":2", VERB_POST, "points_count", P "/count?timeout=2", "{}", "?timeout=3",
	  "Limit exceeded 3 > 2 for \"timeout\"" },
	{ "\"search_max_hnsw_ef\":64", VERB_POST, "points_query", P "/query", "{\"query\":[1,2],\"params\":{\"hnsw_ef\":64}}",
	  "{\"query\":[1,2],\"params\":{\"hnsw_ef\":65}}", "Limit exceeded 65 > 64 for \"hnsw_ef\"" },
	{ "\"search_max_oversampling\":1.5", VERB_POST, "points_query", P "/query",
	  "{\"query\":[1,2],\"params\":{\"quantization\":{\"oversampling\":1.5}}}",
	  "{\"query\":[1,2],\"params\":{\"quantization\":{\"oversampling\":2}}}",
	  "Limit exceeded 2 > 1.5 for \"oversampling\"" },
	{ "\"search_allow_exact\":false", VERB_POST, "points_query", P "/query",
	  "{\"query\":[1,2],\"params\":{\"exact\":false}}", "{\"query\":[1,2],\"params\":{\"exact\":true}}",
	  "Exact search disabled!. Help: Set exact=false." },
	{ "\"search_allow_exact\":false", VERB_POST, "points_count", P "/count", "{\"exact\":false}", "{}",
	  "Exact search disabled!" },
	{ "\"search_max_batchsize\":2", VERB_POST, "points_search_batch", P "/search/batch",
	  "{\"searches\":[{\"vector\":[1,2],\"limit\":1},{\"vector\":[1,2],\"limit\":1}]}",
	  "{\"searches\":[{\"vector\":[1,2],\"limit\":1},{\"vector\":[1,2],\"limit\":1},{\"vector\":[1,2],\"limit\":1}]}",
	  "Limit exceeded 3 > 2 for \"search batch size\"" },
	{ "\"upsert_max_batchsize\":1", VERB_PUT, "points_upsert", P, "{\"points\":[" POINT("5") "]}",
	  "{\"points\":[" POINT("5") "," POINT("6") "]}", "Limit exceeded 2 > 1 for \"upsert limit\"" },
	{ "\"upsert_max_batchsize\":1", VERB_POST, "points_batch", P "/batch",
	  "{\"operations\":[{\"upsert\":{\"points\":[" POINT("5") "]}},{\"upsert\":{\"points\":[" POINT("6") "]}}]}",
	  "{\"operations\":[{\"upsert\":{\"points\":[" POINT("5") "," POINT("6") "]}}]}",
	  "Limit exceeded 2 > 1 for \"upsert limit\"" },
	{ "\"upsert_max_batchsize\":1", VERB_PUT, "vectors_update", P "/vectors", "{\"points\":[{\"id\":1,\"vector\":[1,1]}]}",
	  "{\"points\":[{\"id\":1,\"vector\":[1,1]},{\"id\":2,\"vector\":[1,1]}]}", "Limit exceeded 2 > 1 for \"update limit\"" },
	{ "\"filter_max_conditions\":2", VERB_POST, "points_count", P "/count", "{\"filter\":{\"must\":[" COND "," COND "]}}",
	  "{\"filter\":{\"must\":[" COND ",{\"should\":[" COND "," COND "]}]}}",
	  "Filter condition limit reached (3 > 2). Help: Reduce the amount of conditions of your filter." },
	{ "\"condition_max_size\":2", VERB_POST, "points_scroll", P "/scroll",
	  "{\"filter\":{\"must\":{\"key\":\"n\",\"match\":{\"any\":[1,2]}}}}",
	  "{\"filter\":{\"must\":{\"key\":\"n\",\"match\":{\"any\":[1,2,3]}}}}",
	  "Condition size limit reached (3 > 2). Help: Reduce the size of your condition." },
	{ "\"unindexed_filtering_retrieve\":false", VERB_POST, "points_count", P "/count",
	  "{\"filter\":{\"must\":{\"key\":\"i\",\"match\":{\"value\":1}}}}", "{\"filter\":{\"must\":" COND "}}",
	  "Index required but not found for \"n\" of one of the following types: [integer]. "
	  "Help: Create an index for this key or use a different filter." },
	{ "\"unindexed_filtering_retrieve\":false", VERB_POST, "points_count", P "/count",
	  "{\"filter\":{\"must\":[{\"has_id\":[1]},{\"key\":\"i\",\"range\":{\"gt\":1}}]}}",
	  "{\"filter\":{\"must_not\":{\"key\":\"i\",\"match\":{\"value\":\"text\"}}}}",
	  "Index required but not found for \"i\" of one of the following types: [keyword, uuid]." },
	{ "\"unindexed_filtering_retrieve\":false", VERB_POST, "points_count", P "/count",
	  "{\"filter\":{\"must\":{\"nested\":{\"key\":\"l\",\"filter\":{\"must\":{\"key\":\"i\",\"match\":{\"value\":1}}}}}}}",
	  "{\"filter\":{\"must\":{\"nested\":{\"key\":\"l[]\",\"filter\":{\"must\":{\"key\":\"j\",\"match\":{\"value\":1}}}}}}}",
	  "Index required but not found for \"l[].j\"" },
	{ "\"unindexed_filtering_retrieve\":false", VERB_POST, "points_query", P "/query",
	  "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":{\"sum\":[1,{\"key\":\"i\",\"match\":{\"value\":1}}]}}}",
	  "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":{\"sum\":[1,{\"neg\":" COND "}]}}}",
	  "Index required but not found for \"n\"" },
	{ "\"unindexed_filtering_retrieve\":false", VERB_POST, "points_query_groups", P "/query/groups",
	  "{\"prefetch\":[{\"filter\":{\"must\":{\"key\":\"i\",\"match\":{\"value\":1}}}}],\"query\":[1,2],\"group_by\":\"n\"}",
	  "{\"prefetch\":[{\"filter\":{\"must\":" COND "}}],\"query\":[1,2],\"group_by\":\"n\"}",
	  "Index required but not found for \"n\"" },
	{ "\"unindexed_filtering_update\":false", VERB_POST, "points_delete", P "/delete", "{\"points\":[77]}",
	  "{\"filter\":{\"must\":" COND "}}", "Index required but not found for \"n\"" },
	{ "\"unindexed_filtering_update\":false", VERB_POST, "payload_set", P "/payload",
	  "{\"payload\":{},\"filter\":{\"must\":{\"key\":\"i\",\"match\":{\"value\":1}}}}",
	  "{\"payload\":{},\"filter\":{\"must\":" COND "}}", "Index required but not found for \"n\"" },
	{ "\"max_points_count\":3", VERB_PUT, "points_upsert", P, "{\"points\":[" POINT("3") "]}", "{\"points\":[" POINT("4") "]}",
	  "Max points limit of 3 reached!" },
	{ "\"max_collection_vector_size_bytes\":24", VERB_PUT, "points_upsert", P, "{\"points\":[" POINT("3") "]}",
	  "{\"points\":[" POINT("4") "]}", "Max vector storage size limit of" },
	{ "\"sparse_config\":{\"s\":{\"max_length\":1}}", VERB_PUT, "points_upsert", P,
	  "{\"points\":[{\"id\":1,\"vector\":{\"s\":{\"indices\":[1],\"values\":[1]}}}]}",
	  "{\"points\":[{\"id\":1,\"vector\":{\"s\":{\"indices\":[1,2],\"values\":[1,2]}}}]}",
	  "Sparse vector \"s\" has 2 elements, at most 1 are allowed." },
	{ "\"max_payload_index_count\":2", VERB_PUT, "index_create", C "/index?wait=true",
	  "{\"field_name\":\"i\",\"field_schema\":\"integer\"}", "{\"field_name\":\"k\",\"field_schema\":\"keyword\"}",
	  "Collection already has the maximum number of payload indices (2)." },
};

static void set_up(void)
{
	world_open(&world, &(struct world_options){ 0 });
}

static void tear_down(void)
{
	world_close(&world);
}

/* c with two points and indexes at i and l[].i. */
static void make(const char *strict)
{
	char body[1024];

	snprintf(body, sizeof(body), "{\"strict_mode_config\":{\"enabled\":true,%s}}", strict);
	world_ok(&world, VERB_PUT, C, CREATE("\"max_timeout\":60"));
	world_ok(&world, VERB_PUT, P "?wait=true", "{\"points\":[" POINT("1") "," POINT("2") "]}");
	world_ok(&world, VERB_PUT, C "/index?wait=true", "{\"field_name\":\"i\",\"field_schema\":\"integer\"}");
	world_ok(&world, VERB_PUT, C "/index?wait=true", "{\"field_name\":\"l[].i\",\"field_schema\":\"integer\"}");
	world_ok(&world, VERB_PATCH, C, body);
}

static const char *path_of(const struct step *s, const char *body, char out[256])
{
	const char *mark = strchr(s->path, '?');

	if (body[0] != '?')
		return s->path;
	snprintf(out, 256, "%.*s%s", (int)(mark - s->path), s->path, body);
	return out;
}

/* The same request as a protobuf message. */
static void ask_by_grpc(const struct step *s, const char *path, const char *body, struct exchange *x)
{
	CLEANUP(buf_release) struct buf message = BUF_INIT(SIZE_MAX);
	const struct method *m = world_method(s->method);
	const char *mark = strchr(path, '?');
	struct method_match match;
	struct request *r;
	struct fault f = { 0 };
	char only_path[256], grpc[256];

	ck_assert_int_eq(request_new(world.loop, SIZE_MAX, &r), ERR_NONE);
	snprintf(only_path, sizeof(only_path), "%.*s", mark ? (int)(mark - path) : (int)strlen(path), path);
	r->query = text_of(mark ? mark + 1 : "");
	buf_append_cstr(&r->body, body);
	ck_assert_int_eq(method_find_rest(m->verb, text_of(only_path), &r->arena, &match, &f), ERR_NONE);
	struct call c = { .api = &world.api, .request = r, .method = m, .arena = &r->arena };
	ck_assert_msg(rest_decode(&c, &match) == ERR_NONE, "%s", c.fault.text);
	message_to_proto(m->in, c.in, &message);
	request_free(r);
	snprintf(grpc, sizeof(grpc), "/%s", m->grpc);
	world_grpc(&world, grpc, buf_bytes(&message), x);
}

static void check(const struct step *s, const char *body, bool good)
{
	struct exchange x = { 0 }, y = { 0 };
	char other[256];
	const char *path = path_of(s, body, other), *text = body[0] == '?' ? "{}" : body;
	CLEANUP(arena_release) struct arena a;

	arena_init(&a, 1 << 20);
	world_rest(&world, s->verb, path, text, &x);
	ck_assert_msg(x.status == (good ? 200 : 400), "%s %s: %d %s", s->strict, body, x.status, exchange_body(&x));
	if (!good) {
		struct buf words = BUF_INIT(1000);
		struct json_writer w = json_writer_to(&words);
		json_put_string(&w, text_of(s->words));
		struct str quoted = arena_str(&a, (struct str){ (const char *)words.data + 1, words.len - 2 });
		ck_assert_msg(strstr(exchange_body(&x), quoted.data), "%s", exchange_body(&x));
		ck_assert_msg(strstr(exchange_body(&x), "Bad request: "), "%s", exchange_body(&x));
		buf_release(&words);
	}
	ask_by_grpc(s, path, text, &y);
	ck_assert_msg(y.grpc_status == (good ? 0 : 3), "%s %s: %d %s", s->strict, body, y.grpc_status, y.grpc_message);
	if (!good)
		ck_assert_msg(strstr(y.grpc_message, s->words), "%s", y.grpc_message);
	exchange_release(&x);
	exchange_release(&y);
}

START_TEST(what_is_beyond_a_limit_is_refused_with_help)
{
	const struct step *s = &steps[_i];

	make(s->strict);
	/* Points 3 and 4 are to be the first beyond. */
	if (strstr(s->words, "Max "))
		world_ok(&world, VERB_PUT, P "?wait=true", s->kept);
	check(s, s->broken, false);
}
END_TEST

START_TEST(what_keeps_a_limit_is_done)
{
	make(steps[_i].strict);
	if (!strstr(steps[_i].words, "Max "))
		check(&steps[_i], steps[_i].kept, true);
}
END_TEST

START_TEST(limits_that_are_not_enabled_are_shown_and_do_nothing)
{
	struct exchange x = { 0 };

	world_ok(&world, VERB_PUT, C,
		 "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"strict_mode_config\":{\"max_query_limit\":1,\"read_rate_limit\":1}}");
	world_ok(&world, VERB_POST, P "/scroll", "{\"limit\":9}");
	world_rest(&world, VERB_GET, C, NULL, &x);
	ck_assert_msg(strstr(exchange_body(&x), "\"strict_mode_config\":{\"max_query_limit\":1,\"read_rate_limit\":1}"), "%s",
		      exchange_body(&x));
	exchange_release(&x);
	/* Enabling them later asks for what is not built. */
	x = (struct exchange){ 0 };
	world_rest(&world, VERB_PATCH, C, "{\"strict_mode_config\":{\"enabled\":true}}", &x);
	ck_assert_int_eq(x.status, 501);
	exchange_release(&x);
	world_ok(&world, VERB_PATCH, C, "{\"strict_mode_config\":{\"max_query_limit\":2}}");
}
END_TEST

START_TEST(an_alias_has_the_limits_of_its_collection)
{
	struct exchange x = { 0 };

	make("\"max_query_limit\":3");
	world_ok(&world, VERB_POST, "/collections/aliases",
		 "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"a\"}}]}");
	world_rest(&world, VERB_POST, "/collections/a/points/scroll", "{\"limit\":4}", &x);
	ck_assert_int_eq(x.status, 400);
	exchange_release(&x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("api_strict");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, what_is_beyond_a_limit_is_refused_with_help, 0, (int)LEN(steps));
	tcase_add_loop_test(t, what_keeps_a_limit_is_done, 0, (int)LEN(steps));
	tcase_add_test(t, limits_that_are_not_enabled_are_shown_and_do_nothing);
	tcase_add_test(t, an_alias_has_the_limits_of_its_collection);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
