/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Importing packages and searching them, against a server that answers by script.
 */
#include "gateway/import.h"

#include "gateway/ctl_http.h"
#include "gateway/embed.h"
#include "tests/gateway/http_script.h"

#define OK "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
#define NOT_FOUND "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}"
#define BUSY "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"

static struct http_script script;
static struct ctl_http *http;
static struct fault fault;
static struct clock_manual manual;
static struct buf records;
static char *said;
static size_t said_len;
static FILE *out;

/* Time passes with every request that has to be sent again only. */
static void pass_time(uint64_t ms)
{
	manual.mono_ns += ms * 1000000;
}

static void set_up(void)
{
	clock_manual_init(&manual, 0);
	buf_init(&records, 16u << 20);
	out = open_memstream(&said, &said_len);
	http = NULL;
}

static void tear_down(void)
{
	ctl_http_free(http);
	buf_release(&records);
	http_script_release(&script);
	(void)fclose(out);
	free(said);
}

static void start(const struct http_step *steps, size_t count)
{
	char url[64];
	http_script_start(&script, steps, count);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", script.port);
	const struct ctl_http_options o = { .url = url, .wait = pass_time };
	ck_assert_int_eq(ctl_http_new(&o, &http, &fault), ERR_NONE);
}

static void stop(void)
{
	ctl_http_free(http);
	http = NULL;
	http_script_stop(&script);
	(void)fflush(out);
}

/* Names in falling order, each twice. */
static void make_records(unsigned count)
{
	for (unsigned i = count; i > 0; i--)
		for (int twice = 0; twice < 2; twice++)
			ck_assert_int_eq(
				buf_printf(
					&records,
					"Package: p%06u\nSection: net\nDescription: package \"%u\" of \xC3\xA4\n"
					"Tag: role::program, use::%u\n\n",
					i, i, i),
				ERR_NONE);
}

static enum err import(uint64_t limit, uint32_t batch, bool live)
{
	FILE *f = fmemopen(records.data, records.len, "r");
	const struct import_options o = { .http = http,
					  .collection = "my packages",
					  .limit = limit,
					  .batch = batch,
					  .records = f,
					  .out = out,
					  .live = live,
					  .clock = &manual.clock };
	enum err err = import_packages(&o, &fault);
	(void)fclose(f);
	return err;
}

static const char *request_line(size_t i)
{
	static char line[128];
	ck_assert_uint_lt(i, script.count);
	(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(script.requests[i], "\r"),
		       script.requests[i]);
	return line;
}

START_TEST(an_apt_that_knows_little_is_refused_before_anything_is_sent)
{
	make_records(999);
	start(NULL, 0);
	ck_assert_int_eq(import(0, 256, false), ERR_NOT_FOUND);
	ck_assert_str_eq(
		fault.text,
		"apt knows 999 packages only, fewer than 1000: run \"apt-get update\" as root, then try again");
	stop();
	ck_assert_uint_eq(script.count, 0);
}
END_TEST

START_TEST(a_collection_that_is_absent_is_made_and_batches_wait_at_the_end_only)
{
	static const struct http_step steps[] = {
		{ NOT_FOUND, false }, { OK, false }, { OK, false }, { OK, false }, { OK, false }
	};
	make_records(1000);
	start(steps, LEN(steps));
	ck_assert_msg(import(0, 400, false) == ERR_NONE, "%s", fault.text);
	stop();
	ck_assert_uint_eq(script.count, 5);
	ck_assert_uint_eq(script.connections, 1);
	ck_assert_str_eq(request_line(0), "GET /collections/my%20packages HTTP/1.1");
	ck_assert_str_eq(request_line(1), "PUT /collections/my%20packages HTTP/1.1");
	ck_assert_ptr_nonnull(
		strstr(script.requests[1],
		       "\r\n\r\n{\"vectors\":{\"size\":384,\"distance\":\"Cosine\"}}"));
	ck_assert_str_eq(request_line(2),
			 "PUT /collections/my%20packages/points?wait=false HTTP/1.1");
	ck_assert_str_eq(request_line(3),
			 "PUT /collections/my%20packages/points?wait=false HTTP/1.1");
	ck_assert_str_eq(request_line(4),
			 "PUT /collections/my%20packages/points?wait=true HTTP/1.1");
	ck_assert_ptr_nonnull(strstr(said, "created collection my packages\n"));
	ck_assert_ptr_nonnull(strstr(said, "1000 points in collection my packages after 0.0 s"));
}
END_TEST

START_TEST(points_have_ids_in_the_order_of_names_and_their_fields_as_payload)
{
	static const struct http_step steps[] = { { OK, false }, { OK, false } };
	make_records(1000);
	start(steps, LEN(steps));
	ck_assert_msg(import(2, 256, false) == ERR_NONE, "%s", fault.text);
	stop();
	ck_assert_uint_eq(script.count, 2);
	const char *body = strstr(script.requests[1], "\r\n\r\n") + 4;
	ck_assert_int_eq(strncmp(body, "{\"points\":[{\"id\":1,\"vector\":[", 29), 0);
	ck_assert_ptr_nonnull(strstr(
		body,
		"],\"payload\":{\"name\":\"p000001\",\"summary\":\"package \\\"1\\\" of \xC3\xA4\","
		"\"section\":\"net\",\"tags\":[\"role::program\",\"use::1\"]}},{\"id\":2,"));
	ck_assert_ptr_nonnull(strstr(body, "\"name\":\"p000002\""));
	ck_assert_ptr_null(strstr(body, "\"id\":3"));
}
END_TEST

START_TEST(the_weights_make_the_name_count_more_than_the_section)
{
	static const struct import_record by_name = { "mail", "nothing here", "x", "" };
	static const struct import_record by_section = { "x", "nothing here", "mail", "" };
	static const struct import_record by_tag = { "x", "nothing here", "y", "works-with::mail" };
	float wanted[EMBED_DIM] = { 0 };
	float v[EMBED_DIM];
	double near[3] = { 0 };
	const struct import_record *const all[] = { &by_name, &by_section, &by_tag };

	embed_add(wanted, STR("mail"), 1.0f);
	embed_finish(wanted);
	for (size_t i = 0; i < LEN(all); i++) {
		import_embed(all[i], v);
		for (size_t j = 0; j < EMBED_DIM; j++)
			near[i] += (double)wanted[j] * (double)v[j];
	}
	ck_assert_double_gt(near[0], near[1]);
	ck_assert_double_gt(near[1], near[2]);
	ck_assert_double_gt(near[2], 0.05);
}
END_TEST

START_TEST(a_refusal_ends_the_import_in_the_words_of_the_server)
{
	static const struct http_step steps[] = {
		{ OK, false },
		{ "HTTP/1.1 400 Bad Request\r\ncontent-length: 41\r\n\r\n{\"status\":{\"error\":\"dimension is wrong\"}}",
		  true },
	};
	make_records(1000);
	start(steps, LEN(steps));
	ck_assert_int_eq(import(0, 256, false), ERR_BAD_GATEWAY);
	ck_assert_str_eq(
		fault.text,
		"PUT /collections/my%20packages/points?wait=false: 400: dimension is wrong");
	stop();
}
END_TEST

START_TEST(plain_progress_is_a_line_every_two_seconds)
{
	static const struct http_step steps[] = { { OK, false },   { BUSY, false }, { OK, false },
						  { BUSY, false }, { OK, false },   { BUSY, false },
						  { BUSY, false }, { OK, false },   { OK, false } };
	make_records(1000);
	start(steps, LEN(steps));
	ck_assert_int_eq(import(1000, 250, false), ERR_NONE);
	stop();
	ck_assert_str_eq(said, "500 of 1000 points, 250 points/s\n"
			       "750 of 1000 points, 188 points/s\n"
			       "1000 points in collection my packages after 4.0 s, 250 points/s\n");
}
END_TEST

START_TEST(live_progress_is_one_line_that_changes)
{
	static const struct http_step steps[] = {
		{ OK, false }, { BUSY, false }, { OK, false }, { OK, false }
	};
	make_records(1000);
	start(steps, LEN(steps));
	ck_assert_int_eq(import(1000, 500, true), ERR_NONE);
	stop();
	ck_assert_str_eq(said,
			 "\r[###############...............] 500/1000  500 points/s "
			 "\r[##############################] 1000/1000  1000 points/s \n"
			 "1000 points in collection my packages after 1.0 s, 1000 points/s\n");
}
END_TEST

/* --- searching --- */

static enum err search(const char *text, bool json)
{
	const struct import_search_options o = { .http = http,
						 .collection = "packages",
						 .text = text,
						 .limit = 5,
						 .json = json,
						 .out = out };
	return import_search(&o, &fault);
}

START_TEST(a_text_without_words_is_refused)
{
	start(NULL, 0);
	ck_assert_int_eq(search("the of --", false), ERR_BAD_INPUT);
	ck_assert_str_eq(fault.text, "'the of --' has no word to search for");
	stop();
}
END_TEST

#define FOUND                                                                                                                 \
	"{\"result\":{\"points\":[{\"id\":1,\"score\":0.5,\"payload\":{\"name\":\"caddy\",\"summary\":\"web \\u001bserver\"," \
	"\"tags\":[]}},{\"id\":2,\"score\":0.25,\"payload\":{\"name\":7}},{\"id\":3,\"score\":0.1,\"payload\":null}]},"       \
	"\"status\":\"ok\"}"

START_TEST(what_was_found_is_a_table)
{
	char text[512];
	(void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n\r\n%s",
		       strlen(FOUND), FOUND);
	const struct http_step steps[] = { { text, false } };
	start(steps, LEN(steps));
	ck_assert_msg(search("web server", false) == ERR_NONE, "%s", fault.text);
	stop();
	ck_assert_str_eq(request_line(0), "POST /collections/packages/points/query HTTP/1.1");
	ck_assert_ptr_nonnull(strstr(script.requests[0], "],\"limit\":5,\"with_payload\":true}"));
	ck_assert_str_eq(said, "SCORE    NAME                            SUMMARY\n"
			       "0.5000   caddy                           web ?server\n"
			       "0.2500                                   \n"
			       "0.1000                                   \n");
}
END_TEST

START_TEST(the_reply_is_shown_unchanged_when_json_is_asked_for)
{
	static const struct http_step steps[] = { { OK, false } };
	start(steps, LEN(steps));
	ck_assert_int_eq(search("web", true), ERR_NONE);
	stop();
	ck_assert_str_eq(said, "{}\n");
}
END_TEST

START_TEST(to_find_nothing_is_said)
{
	static const struct http_step steps[] = {
		{ "HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n{\"result\":{\"points\":[]}}",
		  false },
	};
	start(steps, LEN(steps));
	ck_assert_msg(search("web", false) == ERR_NONE, "%s", fault.text);
	stop();
	ck_assert_str_eq(said, "nothing was found\n");
}
END_TEST

START_TEST(a_reply_that_is_no_json_is_an_error)
{
	static const struct http_step steps[] = {
		{ "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\noops", false }
	};
	start(steps, LEN(steps));
	ck_assert_int_eq(search("web", false), ERR_BAD_REQUEST);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("import");
	TCase *tests = tcase_create("import");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, an_apt_that_knows_little_is_refused_before_anything_is_sent);
	tcase_add_test(tests, a_collection_that_is_absent_is_made_and_batches_wait_at_the_end_only);
	tcase_add_test(tests, points_have_ids_in_the_order_of_names_and_their_fields_as_payload);
	tcase_add_test(tests, the_weights_make_the_name_count_more_than_the_section);
	tcase_add_test(tests, a_refusal_ends_the_import_in_the_words_of_the_server);
	tcase_add_test(tests, plain_progress_is_a_line_every_two_seconds);
	tcase_add_test(tests, live_progress_is_one_line_that_changes);
	tcase_add_test(tests, a_text_without_words_is_refused);
	tcase_add_test(tests, what_was_found_is_a_table);
	tcase_add_test(tests, the_reply_is_shown_unchanged_when_json_is_asked_for);
	tcase_add_test(tests, to_find_nothing_is_said);
	tcase_add_test(tests, a_reply_that_is_no_json_is_an_error);
	suite_add_tcase(suite, tests);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
