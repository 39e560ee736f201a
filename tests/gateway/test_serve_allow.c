/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens and methods: every method with every kind of token, by REST and by gRPC; tokens that stand for a point.
 */
#include "gateway/serve_allow.h"

#include "tests/gateway/jwt_bed.h"
#include "tests/gateway/message_random.h"
#include "tests/gateway/world.h"

#define KEY "the owner's key"

static struct world one;

static void set_up(void)
{
	struct auth_keys keys = { .api = STR(KEY), .jwt = true };

	world_open(&one, &(struct world_options){ 0 });
	ck_assert_int_eq(auth_set(one.auth, &keys, NULL), ERR_NONE);
}

static void tear_down(void)
{
	world_close(&one);
}

/* --- which token opens which method --- */

enum token { READS, MANAGES, READS_C, POINTS_C, WRITES_C, OTHER, NOTHING, TOKEN_COUNT };

static const char *const claims_of[TOKEN_COUNT] = {
	[READS] = "{\"access\":\"r\"}",
	[MANAGES] = "{\"access\":\"m\"}",
	[READS_C] = "{\"access\":[{\"collection\":\"c\",\"access\":\"r\"}]}",
	[POINTS_C] = "{\"access\":[{\"collection\":\"d\",\"access\":\"r\"},{\"collection\":\"c\",\"access\":\"prw\"}]}",
	[WRITES_C] = "{\"access\":[{\"collection\":\"c\",\"access\":\"rw\"}]}",
	[OTHER] = "{\"access\":[{\"collection\":\"d\",\"access\":\"rw\"}]}",
	[NOTHING] = "{\"access\":[]}",
};

/* Of a method of the collection c, and of one of none. */
static const struct {
	enum access access;
	bool in_c[TOKEN_COUNT], elsewhere[TOKEN_COUNT];
} rights[] = {
	/*                 READS MANAGES READS_C POINTS_C WRITES_C OTHER NOTHING */
	{ ACCESS_OPEN,   { 1, 1, 1, 1, 1, 1, 1 }, { 1, 1, 1, 1, 1, 1, 1 } },
	{ ACCESS_LIST,   { 1, 1, 1, 1, 1, 1, 1 }, { 1, 1, 1, 1, 1, 1, 1 } },
	{ ACCESS_READ,   { 1, 1, 1, 1, 1, 0, 0 }, { 1, 1, 0, 0, 0, 0, 0 } },
	{ ACCESS_WRITE,  { 0, 1, 0, 1, 1, 0, 0 }, { 0, 1, 0, 0, 0, 0, 0 } },
	{ ACCESS_DEFINE, { 0, 1, 0, 0, 1, 0, 0 }, { 0, 1, 0, 0, 0, 0, 0 } },
	{ ACCESS_MANAGE, { 0, 1, 0, 0, 0, 0, 0 }, { 0, 1, 0, 0, 0, 0, 0 } },
};

static bool may(const struct method *m, enum token token)
{
	for (size_t i = 0; i < LEN(rights); i++)
		if (rights[i].access == m->access)
			return message_has_collection(m->in) ? rights[i].in_c[token] : rights[i].elsewhere[token];
	ck_abort_msg("%s asks for something that is in no row", m->name);
	return false;
}

/* A message that can be read, of the collection c. */
static void *message_of(const struct method *m, uint64_t seed, struct arena *a)
{
	struct message_random r = { .state = seed * 31 + 7, .arena = a };
	void *in = arena_alloc(a, message_size(m->in));

	random_message(&r, m->in, true, in);
	for (uint32_t i = 0; i < m->in->row_count; i++) {
		const struct message_row *row = &m->in->rows[i];

		if (row->role == ROLE_PARAM && row->json && strcmp(row->json, "collection_name") == 0)
			*(struct str *)(void *)((char *)in + row->offset) = STR("c");
	}
	return in;
}

static void send_token(struct exchange *x, const char *claims)
{
	static char token[JWT_TEXT_MAX];

	exchange_header(x, "api-key", jwt_make(NULL, claims, KEY, token));
}

/* {collection_name} is c, anything else 1. */
static void fill_path(const char *form, char *out, size_t size)
{
	size_t len = 0;

	while (*form && len + 2 < size) {
		if (*form != '{') {
			out[len++] = *form++;
			continue;
		}
		out[len++] = strncmp(form, "{collection_name}", 17) == 0 ? 'c' : '1';
		form = strchr(form, '}') + 1;
	}
	out[len] = 0;
}

static void check_rest(const struct method *m, const void *in, enum token token)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(SIZE_MAX);
	struct json_writer w = json_writer_to(&body);
	struct exchange x = { 0 };
	char path[256];

	if (m->handler && message_has_body(m->in))
		message_to_json(m->in, in, &w);
	buf_append_byte(&body, 0);
	fill_path(m->path, path, sizeof(path));
	send_token(&x, claims_of[token]);
	world_rest(&one, m->verb, path, (const char *)body.data, &x);
	ck_assert_msg((x.status != 403) == may(m, token), "%s by REST, token %d: %d %s", m->name, token, x.status,
		      exchange_body(&x));
	ck_assert_int_ne(x.status, 401);
	exchange_release(&x);
}

static void check_grpc(const struct method *m, const void *in, enum token token)
{
	CLEANUP(buf_release) struct buf message = BUF_INIT(SIZE_MAX);
	struct exchange x = { 0 };
	char path[256];

	if (m->handler)
		message_to_proto(m->in, in, &message);
	snprintf(path, sizeof(path), "/%s", m->grpc);
	send_token(&x, claims_of[token]);
	world_grpc(&one, path, buf_bytes(&message), &x);
	ck_assert_msg((x.grpc_status != 7) == may(m, token), "%s by gRPC, token %d: %d %s", m->name, token, x.grpc_status,
		      x.grpc_message);
	ck_assert_int_ne(x.grpc_status, 16);
	exchange_release(&x);
}

START_TEST(each_method_asks_what_a_token_allows)
{
	uint32_t count;
	const struct method *m = method_table(&count);

	for (uint32_t i = 0; i < count; i++) {
		if (m[i].access == ACCESS_PEER)
			continue;
		for (unsigned token = 0; token < TOKEN_COUNT; token++) {
			CLEANUP(arena_release) struct arena a;

			arena_init(&a, 64u << 20);
			const void *in = message_of(&m[i], i * TOKEN_COUNT + token, &a);
			if (m[i].path)
				check_rest(&m[i], in, (enum token)token);
			if (m[i].grpc)
				check_grpc(&m[i], in, (enum token)token);
		}
	}
}
END_TEST

/* --- in which words --- */

static void as_token(const char *claims, enum http_verb verb, const char *path, const char *body, struct exchange *x)
{
	*x = (struct exchange){ 0 };
	send_token(x, claims);
	world_rest(&one, verb, path, body, x);
}

static void set_up_collections(void)
{
	struct exchange x;

	for (const char *path = "/collections/c"; path; path = path[13] == 'c' ? "/collections/d" : NULL) {
		as_token("{}", VERB_PUT, path, "{\"vectors\":{\"size\":1,\"distance\":\"Dot\"}}", &x);
		ck_assert_int_eq(x.status, 200);
		exchange_release(&x);
	}
}

START_TEST(who_is_refused_is_told_what_is_missing)
{
	static const struct {
		enum token token;
		enum http_verb verb;
		const char *path, *body, *words;
	} cases[] = {
		{ READS, VERB_POST, P "/delete", "{\"points\":[1]}", "Forbidden: Write access is required" },
		{ READS, VERB_DELETE, C, "", "Forbidden: Global manage access is required" },
		{ WRITES_C, VERB_DELETE, C, "", "Forbidden: Global manage access is required" },
		{ WRITES_C, VERB_GET, "/metrics", "", "Forbidden: Global access is required" },
		{ OTHER, VERB_POST, P "/count", "{}", "Forbidden: Access to collection c is required" },
		{ READS_C, VERB_POST, P "/delete", "{\"points\":[1]}", "Forbidden: Write access is required" },
		{ READS_C, VERB_POST, P "/query", "{\"query\":1,\"lookup_from\":{\"collection\":\"d\"}}",
		  "Forbidden: Access to collection d is required" },
		{ READS_C, VERB_POST, P "/query",
		  "{\"prefetch\":{\"query\":1,\"lookup_from\":{\"collection\":\"d\"}},\"query\":[1]}",
		  "Forbidden: Access to collection d is required" },
		{ READS_C, VERB_POST, P "/query/groups", "{\"query\":[1],\"group_by\":\"g\",\"with_lookup\":\"d\"}",
		  "Forbidden: Access to collection d is required" },
		{ POINTS_C, VERB_POST, "/collections/d/points/delete", "{\"points\":[1]}",
		  "Forbidden: Write access to collection d is required" },
		{ POINTS_C, VERB_PUT, C "/index", "{\"field_name\":\"a\",\"field_schema\":\"bool\"}",
		  "Forbidden: Write access to collection c is required" },
	};

	set_up_collections();
	for (size_t i = 0; i < LEN(cases); i++) {
		struct exchange x;

		as_token(claims_of[cases[i].token], cases[i].verb, cases[i].path, cases[i].body, &x);
		ck_assert_int_eq(x.status, 403);
		ck_assert_msg(strstr(exchange_body(&x), cases[i].words) != NULL, "row %zu: %s", i, exchange_body(&x));
		exchange_release(&x);
	}
}
END_TEST

START_TEST(lists_show_only_what_may_be_read)
{
	static const struct {
		const char *claims, *collections, *aliases;
	} cases[] = {
		{ "{\"access\":\"r\"}", "[{\"name\":\"c\"},{\"name\":\"d\"}]", "\"collection_name\":\"c\"" },
		{ "{\"access\":[{\"collection\":\"d\",\"access\":\"r\"}]}", "[{\"name\":\"d\"}]", "\"aliases\":[]" },
		{ "{\"access\":[{\"collection\":\"c\",\"access\":\"prw\"}]}", "[{\"name\":\"c\"}]", "\"collection_name\":\"c\"" },
		{ "{\"access\":[]}", "\"collections\":[]", "\"aliases\":[]" },
	};
	struct exchange x;

	set_up_collections();
	as_token("{}", VERB_POST, "/collections/aliases",
		 "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"x\"}}]}", &x);
	ck_assert_int_eq(x.status, 200);
	exchange_release(&x);
	for (size_t i = 0; i < LEN(cases); i++) {
		as_token(cases[i].claims, VERB_GET, "/collections", "", &x);
		ck_assert_msg(strstr(exchange_body(&x), cases[i].collections) != NULL, "row %zu: %s", i, exchange_body(&x));
		exchange_release(&x);
		as_token(cases[i].claims, VERB_GET, "/aliases", "", &x);
		ck_assert_msg(strstr(exchange_body(&x), cases[i].aliases) != NULL, "row %zu: %s", i, exchange_body(&x));
		exchange_release(&x);
	}
	/* An alias is a name of its own: what a token says of the collection does not count for it. */
	as_token("{\"access\":[{\"collection\":\"c\",\"access\":\"r\"}]}", VERB_POST, "/collections/x/points/count", "{}", &x);
	ck_assert_int_eq(x.status, 403);
	exchange_release(&x);
	as_token("{\"access\":[{\"collection\":\"x\",\"access\":\"r\"}]}", VERB_POST, "/collections/x/points/count", "{}", &x);
	ck_assert_int_eq(x.status, 200);
	exchange_release(&x);
}
END_TEST

START_TEST(a_token_ends_with_the_point_that_it_stands_for)
{
	static const char claims[] = "{\"access\":\"r\",\"value_exists\":{\"collection\":\"d\",\"matches\":[{\"key\":\"user\",\"value\":\"me\"},"
				     "{\"key\":\"active\",\"value\":true}]}}";
	static const struct {
		const char *payload; /* NULL: the point is deleted */
		int status;
	} turns[] = {
		{ "{\"user\":\"you\",\"active\":true}", 401 }, { "{\"user\":\"me\",\"active\":true}", 200 },
		{ "{\"user\":\"me\",\"active\":false}", 401 }, { "{\"user\":[\"you\",\"me\"],\"active\":true}", 200 }, { NULL, 401 },
	};
	struct exchange x;

	set_up_collections();
	for (size_t i = 0; i < LEN(turns); i++) {
		char body[256];

		snprintf(body, sizeof(body), "{\"points\":[{\"id\":1,\"vector\":[1],\"payload\":%s}]}",
			 turns[i].payload ? turns[i].payload : "{}");
		if (turns[i].payload)
			as_token("{}", VERB_PUT, "/collections/d/points?wait=true", body, &x);
		else
			as_token("{}", VERB_POST, "/collections/d/points/delete?wait=true", "{\"points\":[1]}", &x);
		ck_assert_int_eq(x.status, 200);
		exchange_release(&x);
		as_token(claims, VERB_GET, "/collections", "", &x);
		ck_assert_msg(x.status == turns[i].status, "turn %zu: %d %s", i, x.status, exchange_body(&x));
		if (x.status == 401)
			ck_assert_str_eq(exchange_body(&x), "Invalid JWT, stateful validation failed");
		exchange_release(&x);
		x = (struct exchange){ 0 };
		send_token(&x, claims);
		world_grpc(&one, "/qdrant.Collections/List", body_of(""), &x);
		ck_assert_int_eq(x.grpc_status, turns[i].status == 200 ? 0 : 16);
		exchange_release(&x);
	}
	/* What is open to all needs no such point. */
	as_token(claims, VERB_GET, "/", "", &x);
	ck_assert_int_eq(x.status, 200);
	exchange_release(&x);
}
END_TEST

START_TEST(a_token_that_is_expired_or_not_ours_is_refused)
{
	struct exchange x;
	char token[JWT_TEXT_MAX];

	as_token("{\"exp\":1}", VERB_GET, "/collections", "", &x);
	ck_assert_int_eq(x.status, 403);
	ck_assert_ptr_nonnull(strstr(exchange_body(&x), "ExpiredSignature"));
	exchange_release(&x);
	x = (struct exchange){ 0 };
	exchange_header(&x, "api-key", jwt_make(NULL, "{}", "guess", token));
	world_grpc(&one, "/qdrant.Collections/List", body_of(""), &x);
	ck_assert_int_eq(x.grpc_status, 7);
	exchange_release(&x);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("serve_allow");
	TCase *t = tcase_create("serve_allow");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_token_that_is_expired_or_not_ours_is_refused);
	tcase_add_test(t, each_method_asks_what_a_token_allows);
	tcase_add_test(t, who_is_refused_is_told_what_is_missing);
	tcase_add_test(t, lists_show_only_what_may_be_read);
	tcase_add_test(t, a_token_ends_with_the_point_that_it_stands_for);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
