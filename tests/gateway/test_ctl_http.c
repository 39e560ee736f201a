/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isthmusctl's HTTP client against a server that answers by script.
 */
#include "gateway/ctl_http.h"

#include <sys/un.h>

#include "tests/gateway/http_script.h"

static struct http_script script;
static struct ctl_http *http;
static const struct ctl_http_reply *reply;
static struct fault fault;
static uint64_t waited_ms;
static unsigned waits;

static void note_wait(uint64_t ms)
{
	waited_ms += ms;
	waits++;
}

static void set_up(void)
{
	http = NULL;
	waited_ms = waits = 0;
}

static void tear_down(void)
{
	ctl_http_free(http);
	http_script_release(&script);
}

static enum err open_url(const char *url, struct str key)
{
	const struct ctl_http_options o = { .url = url, .key = key, .wait = note_wait };
	return ctl_http_new(&o, &http, &fault);
}

static void start(const struct http_step *steps, size_t count)
{
	char url[64];
	http_script_start(&script, steps, count);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", script.port);
	ck_assert_int_eq(open_url(url, (struct str){ 0 }), ERR_NONE);
}

static void stop(void)
{
	/* The server may wait for a further request of this connection. */
	ctl_http_free(http);
	http = NULL;
	http_script_stop(&script);
}

static enum err ask(void)
{
	return ctl_http_call(http, "GET", "/", (struct str){ 0 }, &reply, &fault);
}

static const char *body(void)
{
	static char text[256];
	(void)snprintf(text, sizeof(text), "%.*s", STR_FMT(buf_str(&reply->body)));
	return text;
}

/* --- addresses --- */

static const char *const refused_urls[] = {
	"",
	"127.0.0.1:6333",
	"http://",
	"http://:6333",
	"http://a:b",
	"http://a:123456",
	"http://a:1/x",
	"http://a?x",
	"http://[::1",
	"http://[]:1",
	"http://[::1]x",
	"ftp://a",
	"https://a",
	"unix:",
};

START_TEST(addresses_of_no_use_are_refused)
{
	ck_assert_int_eq(open_url(refused_urls[_i], (struct str){ 0 }), ERR_BAD_INPUT);
	ck_assert_ptr_nonnull(strstr(fault.text, refused_urls[_i]));
}
END_TEST

static const char *const good_urls[] = {
	"http://a",           "http://a/",         "http://a:1",  "http://[::1]",
	"http://[::1]:6333/", "http://localhost:", "unix:/run/x",
};

START_TEST(addresses_of_use_are_taken)
{
	ck_assert_msg(open_url(good_urls[_i], (struct str){ 0 }) == ERR_NONE, "%s", good_urls[_i]);
}
END_TEST

START_TEST(a_key_that_could_end_its_header_is_refused)
{
	ck_assert_int_eq(open_url("http://a", STR("key\r\nx: y")), ERR_BAD_INPUT);
}
END_TEST

START_TEST(where_nobody_listens_is_said)
{
	start(NULL, 0);
	uint16_t port = script.port;
	char url[64];
	char words[96];
	stop();
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	(void)snprintf(words, sizeof(words), "127.0.0.1:%u: no daemon listens there", port);
	ck_assert_int_eq(open_url(url, (struct str){ 0 }), ERR_NONE);
	ck_assert_int_eq(ask(), ERR_UNAVAILABLE);
	ck_assert_str_eq(fault.text, words);
	ctl_http_free(http);
	ck_assert_int_eq(open_url("unix:/tmp/isthmus-no-such.sock", (struct str){ 0 }), ERR_NONE);
	ck_assert_int_eq(ask(), ERR_UNAVAILABLE);
	ck_assert_str_eq(fault.text, "/tmp/isthmus-no-such.sock: no daemon listens there");
}
END_TEST

/* --- replies --- */

static const char *const bad_replies[] = {
	"SSH-2.0-OpenSSH\r\n\r\n",
	"HTTP/2 200\r\n\r\n",
	"HTTP/1.1 2x0 OK\r\n\r\n",
	"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
	"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
	"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
	"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
	"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
	"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
	"HTTP/1.1 200 OK\r\ncontent-len",
};

START_TEST(replies_that_are_cut_or_no_http_are_errors)
{
	const struct http_step steps[] = { { bad_replies[_i], true } };
	start(steps, 1);
	ck_assert_int_eq(ask(), ERR_UNAVAILABLE);
	stop();
}
END_TEST

static const struct {
	const char *reply, *body;
	int status;
} good_replies[] = {
	{ "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", "abc", 200 },
	{ "HTTP/1.1 404 Not Found\r\nContent-Length:0\r\n\r\n", "", 404 },
	{ "HTTP/1.1 204 No Content\r\n\r\n", "", 204 },
	{ "HTTP/1.0 200 OK\r\n\r\nto the end", "to the end", 200 },
	{ "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end", "to the end", 200 },
	{ "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\ntrailer: x\r\n\r\n",
	  "abc0123456789", 200 },
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", "x", 200 },
};

START_TEST(all_ways_to_end_a_body_are_understood)
{
	const struct http_step steps[] = { { good_replies[_i].reply, true } };
	start(steps, 1);
	ck_assert_msg(ask() == ERR_NONE, "%s", fault.text);
	ck_assert_int_eq(reply->status, good_replies[_i].status);
	ck_assert_str_eq(body(), good_replies[_i].body);
	stop();
}
END_TEST

START_TEST(requests_of_one_client_share_a_connection)
{
	static const struct http_step steps[] = {
		{ "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", false },
		{ "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n",
		  false },
		{ "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nc", false },
	};
	start(steps, LEN(steps));
	for (size_t i = 0; i < LEN(steps); i++) {
		ck_assert_int_eq(ask(), ERR_NONE);
		ck_assert_int_eq(body()[0], "abc"[i]);
	}
	stop();
	ck_assert_uint_eq(script.connections, 1);
}
END_TEST

START_TEST(a_kept_connection_that_was_closed_is_opened_anew)
{
	static const struct http_step steps[] = {
		{ "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", true },
		{ "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb", true },
	};
	start(steps, LEN(steps));
	ck_assert_int_eq(ask(), ERR_NONE);
	ck_assert_int_eq(ask(), ERR_NONE);
	ck_assert_str_eq(body(), "b");
	stop();
	ck_assert_uint_eq(script.connections, 2);
}
END_TEST

START_TEST(a_fresh_connection_that_is_closed_is_an_error)
{
	static const struct http_step steps[] = { { NULL, true }, { NULL, true } };
	start(steps, LEN(steps));
	ck_assert_int_eq(ask(), ERR_UNAVAILABLE);
	stop();
	ck_assert_uint_eq(script.connections, 1);
}
END_TEST

START_TEST(a_request_carries_key_and_body)
{
	static const struct http_step steps[] = { { "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
						    false } };
	char url[64];
	char expected[256];
	http_script_start(&script, steps, 1);
	(void)snprintf(url, sizeof(url), "http://localhost:%u/", script.port);
	ck_assert_int_eq(open_url(url, STR("secret")), ERR_NONE);
	ck_assert_int_eq(ctl_http_call(http, "PUT", "/collections/x", STR("{}"), &reply, &fault),
			 ERR_NONE);
	(void)snprintf(
		expected, sizeof(expected),
		"PUT /collections/x HTTP/1.1\r\nhost: localhost:%u\r\nuser-agent: isthmusctl\r\napi-key: secret\r\n"
		"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
		script.port);
	stop();
	ck_assert_str_eq(script.requests[0], expected);
}
END_TEST

START_TEST(too_many_requests_are_sent_again_after_the_time_that_was_named)
{
	static const struct http_step steps[] = {
		{ "HTTP/1.1 429 Too Many Requests\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n",
		  false },
		{ "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n", true },
		{ "HTTP/1.1 429 Too Many Requests\r\nretry-after: 9999\r\ncontent-length: 0\r\n\r\n",
		  false },
		{ "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false },
	};
	start(steps, LEN(steps));
	ck_assert_int_eq(ctl_http_call(http, "PUT", "/", STR("{\"a\":1}"), &reply, &fault),
			 ERR_NONE);
	ck_assert_int_eq(reply->status, 200);
	ck_assert_uint_eq(waits, 3);
	ck_assert_uint_eq(waited_ms, (3 + 1 + CTL_HTTP_RETRY_S_MAX) * 1000);
	stop();
	for (size_t i = 0; i < LEN(steps); i++)
		ck_assert_ptr_nonnull(strstr(script.requests[i], "\r\n\r\n{\"a\":1}"));
}
END_TEST

START_TEST(tries_are_bounded)
{
	struct http_step steps[CTL_HTTP_RETRIES_MAX + 5];
	for (size_t i = 0; i < LEN(steps); i++)
		steps[i] = (struct http_step){
			"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n", false
		};
	start(steps, LEN(steps));
	ck_assert_int_eq(ask(), ERR_NONE);
	ck_assert_int_eq(reply->status, 429);
	ck_assert_uint_eq(waits, CTL_HTTP_RETRIES_MAX);
	stop();
}
END_TEST

static const struct {
	int status;
	const char *body, *says;
} errors[] = {
	{ 404, "{\"status\":{\"error\":\"Not found: \\u0041\"},\"time\":0.1}",
	  "404: Not found: A" },
	{ 400, "{\"status\":\"odd\"}", "400: {\"status\":\"odd\"}" },
	{ 403, " Forbidden ", "403: Forbidden" },
	{ 500, "", "500" },
};

START_TEST(errors_are_told_in_the_words_of_the_reply)
{
	char out[FAULT_TEXT_MAX];
	struct ctl_http_reply r = { .status = errors[_i].status, .body = BUF_INIT(1024) };
	ck_assert_int_eq(buf_append_cstr(&r.body, errors[_i].body), ERR_NONE);
	ctl_http_error(&r, out);
	ck_assert_str_eq(out, errors[_i].says);
	buf_release(&r.body);
}
END_TEST

START_TEST(segments_of_paths_are_escaped)
{
	struct buf b = BUF_INIT(64);
	ctl_http_put_segment(&b, STR("a-B_9.~ /?\xC3\xA4"));
	ck_assert_int_eq(buf_append_byte(&b, 0), ERR_NONE);
	ck_assert_str_eq((const char *)b.data, "a-B_9.~%20%2F%3F%C3%A4");
	buf_release(&b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ctl_http");
	TCase *tests = tcase_create("ctl_http");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, addresses_of_no_use_are_refused, 0, LEN(refused_urls));
	tcase_add_loop_test(tests, addresses_of_use_are_taken, 0, LEN(good_urls));
	tcase_add_test(tests, a_key_that_could_end_its_header_is_refused);
	tcase_add_test(tests, where_nobody_listens_is_said);
	tcase_add_loop_test(tests, replies_that_are_cut_or_no_http_are_errors, 0, LEN(bad_replies));
	tcase_add_loop_test(tests, all_ways_to_end_a_body_are_understood, 0, LEN(good_replies));
	tcase_add_test(tests, requests_of_one_client_share_a_connection);
	tcase_add_test(tests, a_kept_connection_that_was_closed_is_opened_anew);
	tcase_add_test(tests, a_fresh_connection_that_is_closed_is_an_error);
	tcase_add_test(tests, a_request_carries_key_and_body);
	tcase_add_test(tests, too_many_requests_are_sent_again_after_the_time_that_was_named);
	tcase_add_test(tests, tries_are_bounded);
	tcase_add_loop_test(tests, errors_are_told_in_the_words_of_the_reply, 0, LEN(errors));
	tcase_add_test(tests, segments_of_paths_are_escaped);
	suite_add_tcase(suite, tests);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
