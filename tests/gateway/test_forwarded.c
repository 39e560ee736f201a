/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the client is: what liars send, what is malformed, what proxies send, and the PROXY protocol byte by byte.
 */
#include "gateway/forwarded.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "tests/index/random.h"

static struct str text_of(const char *text)
{
	return (struct str){ .data = text, .len = text ? strlen(text) : 0 };
}

static struct sockaddr_storage address(const char *text)
{
	struct sockaddr_storage a;
	ck_assert_msg(forwarded_parse_address(text_of(text), &a), "%s", text);
	return a;
}

static const char *written(const struct sockaddr_storage *a)
{
	static char out[FORWARDED_ADDRESS_TEXT];
	forwarded_write_address((const struct sockaddr *)a, out);
	return out;
}

static struct forwarded_nets trusted(void)
{
	static struct forwarded_net items[4];
	static const char *const texts[] = { "10.0.0.0/8", "192.0.2.1", "fd00::/8", "2001:db8::1/128" };
	for (size_t i = 0; i < LEN(texts); i++)
		ck_assert_int_eq(forwarded_parse_net(text_of(texts[i]), &items[i], NULL), ERR_NONE);
	return (struct forwarded_nets){ items, LEN(items) };
}

START_TEST(networks_that_are_none_are_refused_with_words)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "", "is no network" },
		{ "/8", "is no network" },
		{ "10.0.0/8", "is no network" },
		{ "10.0.0.256/32", "is no network" },
		{ "host/8", "is no network" },
		{ "10.0.0.0/", "a prefix from 0 to 32" },
		{ "10.0.0.0/33", "a prefix from 0 to 32" },
		{ "10.0.0.0/-1", "a prefix from 0 to 32" },
		{ "10.0.0.0/08", "a prefix from 0 to 32" },
		{ "10.0.0.0/1000", "a prefix from 0 to 32" },
		{ "10.0.0.0/8/8", "a prefix from 0 to 32" },
		{ "fd00::/129", "a prefix from 0 to 128" },
		{ "10.0.0.1/8", "bits behind its prefix" },
		{ "fd00::1/8", "bits behind its prefix" },
		{ "fe80::1%eth0", "is no network" },
		{ "[::1]", "is no network" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct forwarded_net net;
		struct fault f = { 0 };
		ck_assert_msg(forwarded_parse_net(text_of(cases[i].text), &net, &f) == ERR_CONFIG, "%s", cases[i].text);
		ck_assert_msg(strstr(f.text, cases[i].words) && strstr(f.text, cases[i].text), "%s", f.text);
	}
}
END_TEST

START_TEST(trust_ends_where_the_network_does)
{
	static const struct {
		const char *net, *inside[2], *outside[2];
	} cases[] = {
		{ "10.0.0.0/8", { "10.0.0.0", "10.255.255.255" }, { "9.255.255.255", "11.0.0.0" } },
		{ "192.0.2.128/25", { "192.0.2.128", "192.0.2.255" }, { "192.0.2.127", "192.0.3.0" } },
		{ "192.0.2.7", { "192.0.2.7", "::ffff:192.0.2.7" }, { "192.0.2.6", "192.0.2.8" } },
		{ "0.0.0.0/0", { "0.0.0.0", "255.255.255.255" }, { "::1", "2001:db8::1" } },
		{ "::/0", { "192.0.2.1", "ffff::" }, { NULL, NULL } },
		{ "2001:db8::/33", { "2001:db8::", "2001:db8:7fff::" }, { "2001:db8:8000::", "2001:db7::" } },
	};
	struct forwarded_nets none = { 0 };
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct sockaddr_storage a = address("10.0.0.1");

	for (size_t i = 0; i < LEN(cases); i++) {
		struct forwarded_net net;
		struct forwarded_nets nets = { &net, 1 };
		ck_assert_int_eq(forwarded_parse_net(text_of(cases[i].net), &net, NULL), ERR_NONE);
		ck_assert(!forwarded_is_trusted(&nets, (const struct sockaddr *)(const void *)&local));
		for (size_t j = 0; j < 2; j++) {
			a = address(cases[i].inside[j]);
			ck_assert_msg(forwarded_is_trusted(&nets, (const struct sockaddr *)&a), "%s", cases[i].inside[j]);
			if (!cases[i].outside[j])
				continue;
			a = address(cases[i].outside[j]);
			ck_assert_msg(!forwarded_is_trusted(&nets, (const struct sockaddr *)&a), "%s", cases[i].outside[j]);
		}
	}
	ck_assert(!forwarded_is_trusted(&none, (const struct sockaddr *)&a));
}
END_TEST

START_TEST(addresses_are_read_in_all_their_forms)
{
	static const struct {
		const char *text, *written;
	} cases[] = {
		{ "192.0.2.7", "192.0.2.7" },
		{ "192.0.2.7:1", "192.0.2.7" },
		{ "192.0.2.7:65535", "192.0.2.7" },
		{ "2001:db8::1", "2001:db8::1" },
		{ "[2001:db8::1]", "2001:db8::1" },
		{ "[2001:db8::1]:443", "2001:db8::1" },
		{ "::ffff:192.0.2.7", "192.0.2.7" },
		{ "[::ffff:192.0.2.7]:1", "192.0.2.7" },
		{ "", NULL }, { ":", NULL }, { ":80", NULL }, { "192.0.2.7:", NULL }, { "192.0.2.7:123456", NULL },
		{ "192.0.2.7:8a", NULL }, { "192.0.2", NULL }, { "0300.0.2.7", NULL }, { "192.0.2.7 ", NULL },
		{ "[192.0.2.7]", NULL }, { "[2001:db8::1", NULL }, { "2001:db8::1]", NULL }, { "[2001:db8::1]x", NULL },
		{ "[2001:db8::1]:", NULL }, { "[]", NULL }, { "2001:db8::1::2", NULL }, { "fe80::1%eth0", NULL },
		{ "localhost", NULL }, { "unknown", NULL },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc", NULL },
	};
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct sockaddr_storage a;
	char out[FORWARDED_ADDRESS_TEXT] = "x";

	for (size_t i = 0; i < LEN(cases); i++) {
		bool read = forwarded_parse_address(text_of(cases[i].text), &a);
		ck_assert_msg(read == (cases[i].written != NULL), "%s", cases[i].text);
		if (read)
			ck_assert_str_eq(written(&a), cases[i].written);
	}
	ck_assert(!forwarded_parse_address((struct str){ "192.0.2.7\0x", 11 }, &a));
	forwarded_write_address((const struct sockaddr *)(const void *)&local, out);
	ck_assert_str_eq(out, "");
}
END_TEST

struct client_case {
	const char *peer;
	const char *forwarded[2];
	const char *x_forwarded_for[2];
	const char *client;
	enum forwarded_source source;
	const char *dropped;
};

static void check_clients(const struct client_case *cases, size_t count, bool is_peer)
{
	struct forwarded_nets nets = trusted();

	for (size_t i = 0; i < count; i++) {
		const struct client_case *c = &cases[i];
		struct header headers[5];
		struct request r = { .client = address(c->peer), .headers = headers, .peer = is_peer };
		struct forwarded_client found;
		headers[r.header_count++] = (struct header){ STR("host"), STR("x") };
		for (size_t j = 0; j < 2; j++) {
			const char *name = is_peer ? "isthmus-client" : "forwarded";
			if (c->forwarded[j])
				headers[r.header_count++] = (struct header){ text_of(name), text_of(c->forwarded[j]) };
			if (c->x_forwarded_for[j])
				headers[r.header_count++] =
					(struct header){ STR("x-forwarded-for"), text_of(c->x_forwarded_for[j]) };
		}
		forwarded_find(&r, &nets, &found);
		ck_assert_msg(strcmp(written(&found.address), c->client) == 0, "row %zu: %s", i, written(&found.address));
		ck_assert_msg(found.source == c->source, "row %zu: source %d", i, found.source);
		ck_assert_msg((found.dropped == NULL) == (c->dropped == NULL), "row %zu: %s", i, found.dropped);
		if (c->dropped)
			ck_assert_str_eq(found.dropped, c->dropped);
	}
}

START_TEST(who_is_no_proxy_of_ours_is_not_believed)
{
	static const struct client_case cases[] = {
		{ "198.51.100.9", { "for=203.0.113.1" }, { "203.0.113.1" }, "198.51.100.9", CLIENT_SOCKET, NULL },
		{ "198.51.100.9", { "for=\"" }, { ",," }, "198.51.100.9", CLIENT_SOCKET, NULL },
		{ "2001:db8::2", { "for=203.0.113.1" }, { NULL }, "2001:db8::2", CLIENT_SOCKET, NULL },
		{ "10.1.1.1", { NULL }, { NULL }, "10.1.1.1", CLIENT_SOCKET, NULL },
	};
	check_clients(cases, LEN(cases), false);
}
END_TEST

START_TEST(what_is_malformed_is_as_if_it_were_not_there)
{
	static const char *const malformed[] = {
		"for", "for=", "for=;", "=203.0.113.1", "for=203.0.113", "for=[2001:db8::9]", "for=\"203.0.113.1",
		"for=\"203.0.113.1\"x", "for=203.0.113.1;", "for=203.0.113.1,", ",for=203.0.113.1", "for=203.0.113.1;for=203.0.113.2",
		"for=203.0.113.1 by=203.0.113.3", "for = 203.0.113.1", "for=\"203\\.0.113.1\"", "for=_", "for=\"203.0.113.1,203.0.113.2\"",
		"for=203.0.113.1;by", ";", ",", "x y=z", "for=203.0.113.1/8", "for=\x7f", "for=\"\"",
	};
	static const char *const malformed_list[] = {
		",", "203.0.113.1,", ",203.0.113.1", "203.0.113.1,,203.0.113.2", "203.0.113", "203.0.113.1 203.0.113.2",
		"for=203.0.113.1", "203.0.113.1;203.0.113.2", "localhost", "_", "\"203.0.113.1\"", "203.0.113.1:http",
	};
	for (size_t i = 0; i < LEN(malformed); i++) {
		const struct client_case cases[] = {
			{ "10.1.1.1", { malformed[i] }, { NULL }, "10.1.1.1", CLIENT_SOCKET, "forwarded" },
			{ "10.1.1.1", { malformed[i] }, { "203.0.113.7" }, "203.0.113.7", CLIENT_X_FORWARDED_FOR, "forwarded" },
			{ "10.1.1.1", { "for=203.0.113.7", malformed[i] }, { NULL }, "10.1.1.1", CLIENT_SOCKET, "forwarded" },
		};
		check_clients(cases, LEN(cases), false);
	}
	for (size_t i = 0; i < LEN(malformed_list); i++) {
		const struct client_case cases[] = {
			{ "10.1.1.1", { NULL }, { malformed_list[i] }, "10.1.1.1", CLIENT_SOCKET, "x-forwarded-for" },
			{ "10.1.1.1", { "for=203.0.113.7" }, { malformed_list[i] }, "203.0.113.7", CLIENT_FORWARDED, NULL },
		};
		check_clients(cases, LEN(cases), false);
	}
}
END_TEST

START_TEST(the_last_that_is_no_proxy_is_the_client)
{
	static const struct client_case cases[] = {
		{ "10.1.1.1", { "for=203.0.113.1" }, { NULL }, "203.0.113.1", CLIENT_FORWARDED, NULL },
		{ "10.1.1.1", { "For=\"[2001:db8::9]:4711\";proto=https;by=10.1.1.1" }, { NULL }, "2001:db8::9", CLIENT_FORWARDED,
		  NULL },
		{ "10.1.1.1", { "proto=https ; for=\"203.0.113.1:80\" ,\tfor=10.2.2.2" }, { NULL }, "203.0.113.1",
		  CLIENT_FORWARDED, NULL },
		/* What stands left of the client is its own claim. */
		{ "10.1.1.1", { "for=192.0.2.66, for=203.0.113.1, for=10.2.2.2" }, { NULL }, "203.0.113.1", CLIENT_FORWARDED,
		  NULL },
		{ "10.1.1.1", { "for=192.0.2.66", "for=203.0.113.1" }, { NULL }, "203.0.113.1", CLIENT_FORWARDED, NULL },
		{ "10.1.1.1", { "for=203.0.113.1" }, { "198.51.100.1" }, "203.0.113.1", CLIENT_FORWARDED, NULL },
		/* All of them proxies: the outermost. */
		{ "10.1.1.1", { "for=10.3.3.3, for=10.2.2.2" }, { NULL }, "10.3.3.3", CLIENT_FORWARDED, NULL },
		/* Who hides, hides everything behind it. */
		{ "10.1.1.1", { "for=203.0.113.1, for=unknown, for=10.2.2.2" }, { NULL }, "10.2.2.2", CLIENT_FORWARDED, NULL },
		{ "10.1.1.1", { "for=203.0.113.1, for=_hidden" }, { NULL }, "10.1.1.1", CLIENT_FORWARDED, NULL },
		{ "10.1.1.1", { "for=203.0.113.1, proto=https" }, { NULL }, "10.1.1.1", CLIENT_FORWARDED, NULL },
		{ "192.0.2.1", { NULL }, { "203.0.113.1" }, "203.0.113.1", CLIENT_X_FORWARDED_FOR, NULL },
		{ "fd12::1", { NULL }, { "203.0.113.9, 203.0.113.1 ,\t10.2.2.2" }, "203.0.113.1", CLIENT_X_FORWARDED_FOR, NULL },
		{ "10.1.1.1", { NULL }, { "192.0.2.66", "2001:db8::9" }, "2001:db8::9", CLIENT_X_FORWARDED_FOR, NULL },
		{ "10.1.1.1", { NULL }, { "203.0.113.1, unknown, 10.2.2.2" }, "10.2.2.2", CLIENT_X_FORWARDED_FOR, NULL },
		{ "10.1.1.1", { NULL }, { "203.0.113.1:5555, fd00::7, [fd00::8]:80" }, "203.0.113.1", CLIENT_X_FORWARDED_FOR,
		  NULL },
	};
	check_clients(cases, LEN(cases), false);
}
END_TEST

START_TEST(of_many_hops_the_last_ones_count)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(64 << 10);
	struct client_case c = { "10.1.1.1", { NULL }, { NULL }, "203.0.113.1", CLIENT_X_FORWARDED_FOR, NULL };

	for (int i = 0; i < 500; i++)
		buf_append_cstr(&b, "198.51.100.7, ");
	buf_append_cstr(&b, "203.0.113.1");
	for (int i = 0; i < FORWARDED_HOPS_MAX - 1; i++)
		buf_append_cstr(&b, ",10.2.2.2");
	buf_append_byte(&b, '\0');
	c.x_forwarded_for[0] = (const char *)b.data;
	check_clients(&c, 1, false);
	/* Behind more proxies than are looked at, the outermost of these. */
	buf_reset(&b);
	buf_append_cstr(&b, "203.0.113.1,10.9.9.9");
	for (int i = 0; i < FORWARDED_HOPS_MAX - 1; i++)
		buf_append_cstr(&b, ",10.2.2.2");
	buf_append_byte(&b, '\0');
	c.x_forwarded_for[0] = (const char *)b.data;
	c.client = "10.9.9.9";
	check_clients(&c, 1, false);
}
END_TEST

START_TEST(a_region_of_ours_says_it_by_a_header_of_its_own)
{
	static const struct client_case from_peer[] = {
		{ "198.51.100.9", { "203.0.113.1" }, { NULL }, "203.0.113.1", CLIENT_PEER, NULL },
		{ "198.51.100.9", { "2001:db8::7" }, { "203.0.113.2" }, "2001:db8::7", CLIENT_PEER, NULL },
		{ "198.51.100.9", { "local" }, { NULL }, "198.51.100.9", CLIENT_SOCKET, NULL },
		{ "198.51.100.9", { "nowhere" }, { NULL }, "198.51.100.9", CLIENT_SOCKET, "isthmus-client" },
		{ "10.1.1.1", { NULL }, { "203.0.113.2" }, "10.1.1.1", CLIENT_SOCKET, NULL },
	};
	struct forwarded_nets nets = trusted();
	struct header h = { STR("isthmus-client"), STR("203.0.113.1") };
	struct request stranger = { .client = address("10.1.1.1"), .headers = &h, .header_count = 1 };
	struct forwarded_client found;

	check_clients(from_peer, LEN(from_peer), true);
	forwarded_find(&stranger, &nets, &found);
	ck_assert_int_eq(found.source, CLIENT_SOCKET);
	ck_assert_str_eq(written(&found.address), "10.1.1.1");
}
END_TEST

/* Any bytes: an end, no reading beyond the text, and never an address that is not there. */
START_TEST(random_headers_are_read_to_an_end)
{
	static const char letters[] = "for=by;,\"[]:.0123456789abf _\t\\unknown10.";
	struct forwarded_nets nets = trusted();
	struct random rnd = { 3 };
	unsigned taken = 0;

	for (unsigned turn = 0; turn < 200000; turn++) {
		char *text = malloc(48);
		ck_assert_ptr_nonnull(text);
		size_t len = random_u64(&rnd) % 24;
		size_t begin = random_u64(&rnd) % 3 == 0 ? 0 : (size_t)snprintf(text, 24, "for=10.%u.1.1,",
										 (unsigned)(random_u64(&rnd) % 256));
		for (size_t i = 0; i < len; i++)
			text[begin + i] = letters[random_u64(&rnd) % (sizeof(letters) - 1)];
		char *exact = malloc(begin + len + 1);
		ck_assert_ptr_nonnull(exact);
		memcpy(exact, text, begin + len);
		free(text);
		struct header headers[] = { { STR("forwarded"), { exact, begin + len } },
					    { STR("x-forwarded-for"), { exact, begin + len } } };
		struct request r = { .client = address("10.1.1.1"), .headers = headers, .header_count = 2 };
		struct forwarded_client found;
		forwarded_find(&r, &nets, &found);
		ck_assert_str_ne(written(&found.address), "");
		taken += found.source != CLIENT_SOCKET;
		free(exact);
	}
	ck_assert_uint_gt(taken, 100);
}
END_TEST

/* --- PROXY --- */

#define V2 "\r\n\r\n\0\r\nQUIT\n"

struct proxy_case {
	const char *bytes;
	size_t len;
	enum forwarded_proxy result;
	size_t taken;
	const char *client;   /* "": none is named */
};
#define PROXY_CASE(text, result, taken, client) { text, sizeof(text) - 1, result, taken, client }

static const struct proxy_case proxy_cases[] = {
	PROXY_CASE("PROXY TCP4 203.0.113.1 198.51.100.1 56324 443\r\nGET /", PROXY_DONE, 47, "203.0.113.1"),
	PROXY_CASE("PROXY TCP6 2001:db8::9 2001:db8::1 1 65535\r\n", PROXY_DONE, 44, "2001:db8::9"),
	PROXY_CASE("PROXY UNKNOWN\r\n", PROXY_DONE, 15, ""),
	PROXY_CASE("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		   PROXY_DONE, 107, ""),
	PROXY_CASE("PROXY TCP4 203.0.113.1 198.51.100.1 56324 65536\r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("PROXY TCP4 203.0.113.1 198.51.100.1 056 443\r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("PROXY TCP4 203.0.113.1 198.51.100.1 443\r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("PROXY TCP4 203.0.113.1 198.51.100.1 1 2 3\r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("PROXY TCP4  203.0.113.1 198.51.100.1 1 2\r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("PROXY TCP4 2001:db8::9 2001:db8::1 1 2\r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("PROXY TCP6 203.0.113.1 198.51.100.1 1 2\r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("PROXY TCP5 203.0.113.1 198.51.100.1 1 2\r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("PROXY tcp4 203.0.113.1 198.51.100.1 1 2\r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("PROXY TCP4 203.0.113.1 198.51.100.1 1 2\n", PROXY_MORE, 0, ""),
	PROXY_CASE("PROXY TCP4 203.0.113.1 198.51.100.1 1 2\rX", PROXY_BAD, 0, ""),
	PROXY_CASE("PROXY \r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("PROXY\r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("GET / HTTP/1.1\r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PROXY_BAD, 0, ""),
	PROXY_CASE("\x16\x03\x01", PROXY_BAD, 0, ""),
	PROXY_CASE("PROXY UNKNOWN xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
		   PROXY_BAD, 0, ""),
	PROXY_CASE(V2 "\x21\x11\x00\x0c\xcb\x00\x71\x01\xc6\x33\x64\x01\xdc\x04\x01\xbbPRI", PROXY_DONE, 28, "203.0.113.1"),
	PROXY_CASE(V2 "\x21\x11\x00\x0f\xcb\x00\x71\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb\x04\x00\x00", PROXY_DONE, 31, "203.0.113.1"),
	PROXY_CASE(V2 "\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\1\0\2",
		   PROXY_DONE, 52, "2001:db8::9"),
	PROXY_CASE(V2 "\x20\x00\x00\x00", PROXY_DONE, 16, ""),
	PROXY_CASE(V2 "\x20\x11\x00\x0c\xcb\x00\x71\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb", PROXY_DONE, 28, ""),
	PROXY_CASE(V2 "\x21\x00\x00\x00", PROXY_DONE, 16, ""),
	PROXY_CASE(V2 "\x21\x31\x00\x01x", PROXY_DONE, 17, ""),
	PROXY_CASE(V2 "\x21\x11\x00\x0b\xcb\x00\x71\x01\xc6\x33\x64\x01\xdc\x04\x01", PROXY_BAD, 0, ""),
	PROXY_CASE(V2 "\x21\x21\x00\x23", PROXY_BAD, 0, ""),
	PROXY_CASE(V2 "\x22\x11\x00\x0c", PROXY_BAD, 0, ""),
	PROXY_CASE(V2 "\x11\x11\x00\x0c", PROXY_BAD, 0, ""),
	PROXY_CASE(V2 "\x21\x11\x02\x09", PROXY_BAD, 0, ""),
	PROXY_CASE(V2 "\x21\x11\x02\x08", PROXY_MORE, 0, ""),
	PROXY_CASE("\r\n\r\n\0\r\nQUIX\n\x21\x11\x00\x00", PROXY_BAD, 0, ""),
};

/* Of each case every beginning: in a block of its own, so that reading beyond it is seen. */
START_TEST(a_proxy_header_is_read_however_it_arrives)
{
	for (size_t i = 0; i < LEN(proxy_cases); i++) {
		const struct proxy_case *c = &proxy_cases[i];
		bool bad = false;
		for (size_t len = 0; len <= c->len; len++) {
			uint8_t *bytes = malloc(len + (len == 0));
			struct sockaddr_storage client = { .ss_family = AF_UNSPEC };
			size_t taken = 0;
			ck_assert_ptr_nonnull(bytes);
			memcpy(bytes, c->bytes, len);
			enum forwarded_proxy result = forwarded_read_proxy((struct bytes){ bytes, len }, &taken, &client);
			free(bytes);
			if (c->result == PROXY_DONE && len >= c->taken) {
				ck_assert_msg(result == PROXY_DONE && taken == c->taken, "row %zu, %zu bytes", i, len);
				ck_assert_msg(strcmp(written(&client), c->client) == 0, "row %zu: %s", i, written(&client));
				continue;
			}
			ck_assert_msg(result != PROXY_DONE, "row %zu, %zu bytes", i, len);
			ck_assert_int_eq(client.ss_family, AF_UNSPEC);
			/* What is bad stays bad. */
			ck_assert_msg(!bad || result == PROXY_BAD, "row %zu, %zu bytes", i, len);
			bad = result == PROXY_BAD;
		}
		ck_assert_msg(bad == (c->result == PROXY_BAD), "row %zu", i);
	}
}
END_TEST

START_TEST(a_proxy_header_ends_within_its_bound)
{
	uint8_t bytes[FORWARDED_PROXY_BYTES_MAX];
	struct random rnd = { 11 };
	struct sockaddr_storage client;
	size_t taken;

	for (unsigned turn = 0; turn < 20000; turn++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)random_u64(&rnd);
		if (turn % 2)
			memcpy(bytes, V2, 12);
		else
			memcpy(bytes, "PROXY ", 6);
		if (turn % 4 == 1)
			bytes[12] = 0x21;
		enum forwarded_proxy result = forwarded_read_proxy((struct bytes){ bytes, sizeof(bytes) }, &taken, &client);
		ck_assert_int_ne(result, PROXY_MORE);
		if (result == PROXY_DONE)
			ck_assert_uint_le(taken, sizeof(bytes));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("forwarded");
	TCase *c = tcase_create("forwarded");
	tcase_set_timeout(c, 60);
	tcase_add_test(c, networks_that_are_none_are_refused_with_words);
	tcase_add_test(c, trust_ends_where_the_network_does);
	tcase_add_test(c, addresses_are_read_in_all_their_forms);
	tcase_add_test(c, who_is_no_proxy_of_ours_is_not_believed);
	tcase_add_test(c, what_is_malformed_is_as_if_it_were_not_there);
	tcase_add_test(c, the_last_that_is_no_proxy_is_the_client);
	tcase_add_test(c, of_many_hops_the_last_ones_count);
	tcase_add_test(c, a_region_of_ours_says_it_by_a_header_of_its_own);
	tcase_add_test(c, random_headers_are_read_to_an_end);
	tcase_add_test(c, a_proxy_header_is_read_however_it_arrives);
	tcase_add_test(c, a_proxy_header_ends_within_its_bound);
	suite_add_tcase(s, c);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
