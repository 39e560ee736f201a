/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written is what libmaxminddb reads, for networks of every size, in the same bytes each time.
 */
#include "gateway/mmdb_write.h"

#include <arpa/inet.h>
#include <check.h>
#include <maxminddb.h>
#include <stdlib.h>
#include <string.h>

#include "tests/index/random.h"
#include "tests/index/scratch.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)

static const struct mmdb_writer_options v6_options = {
	.ip_version = 6, .type = "Test-Country", .description = "made by a test", .build_epoch = 1700000000
};
static const struct mmdb_writer_options v4_options = {
	.ip_version = 4, .type = "Test-Country", .description = "made by a test", .build_epoch = 1700000000
};

static struct scratch scratch;
static struct mmdb_writer *writer;
static MMDB_s mmdb;
static bool is_open;

static void set_up(void)
{
	scratch_new(&scratch);
	ck_assert_int_eq(mmdb_writer_new(&v6_options, &writer), ERR_NONE);
	is_open = false;
}

static void tear_down(void)
{
	if (is_open)
		MMDB_close(&mmdb);
	mmdb_writer_free(writer);
	mmdb_writer_free(NULL);
	scratch_remove(&scratch);
}

static void use_v4(void)
{
	mmdb_writer_free(writer);
	ck_assert_int_eq(mmdb_writer_new(&v4_options, &writer), ERR_NONE);
}

static struct mmdb_address address(const char *text)
{
	struct mmdb_address a = { 0 };
	if (strchr(text, ':'))
		ck_assert_int_eq(inet_pton(AF_INET6, text, a.bytes), 1);
	else
		ck_assert_int_eq(inet_pton(AF_INET, text, a.bytes + 12), 1);
	return a;
}

static uint32_t value_u32(uint32_t n)
{
	const struct mmdb_item item = { STR("n"), { .kind = MMDB_WRITE_U32, .whole = n } };
	const struct mmdb_value map = { .kind = MMDB_WRITE_MAP, .items = &item, .count = 1 };
	uint32_t id;
	ck_assert_int_eq(mmdb_writer_value(writer, &map, &id), ERR_NONE);
	return id;
}

static void add(const char *network, unsigned prefix, uint32_t value)
{
	ck_assert_int_eq(mmdb_writer_add(writer, address(network), prefix, value), ERR_NONE);
}

static void finish(struct buf *out, uint32_t *ret_nodes)
{
	*out = BUF_INIT(FILE_BYTES_MAX);
	ck_assert_int_eq(mmdb_writer_finish(writer, out, ret_nodes), ERR_NONE);
}

static void open_written(void)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(0);
	uint32_t nodes;
	finish(&out, &nodes);
	FILE *f = fopen(scratch_path(&scratch, "test.mmdb"), "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(out.data, 1, out.len, f), out.len);
	ck_assert_int_eq(fclose(f), 0);
	int status = MMDB_open(scratch.path, MMDB_MODE_MMAP, &mmdb);
	ck_assert_msg(status == MMDB_SUCCESS, "%s", MMDB_strerror(status));
	is_open = true;
	ck_assert_uint_eq(mmdb.metadata.node_count, nodes);
}

static MMDB_lookup_result_s look_up(const struct mmdb_address *a, bool as_v4)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	int status;
	memcpy(&v4.sin_addr, a->bytes + 12, 4);
	memcpy(&v6.sin6_addr, a->bytes, 16);
	const void *socket_address = as_v4 ? (const void *)&v4 : (const void *)&v6;
	MMDB_lookup_result_s found = MMDB_lookup_sockaddr(&mmdb, socket_address, &status);
	ck_assert_msg(status == MMDB_SUCCESS, "%s", MMDB_strerror(status));
	return found;
}

/* UINT32_MAX: nothing is known. */
static uint32_t number_at(const struct mmdb_address *a, bool as_v4)
{
	MMDB_lookup_result_s found = look_up(a, as_v4);
	MMDB_entry_data_s data;
	if (!found.found_entry)
		return UINT32_MAX;
	ck_assert_int_eq(MMDB_get_value(&found.entry, &data, "n", NULL), MMDB_SUCCESS);
	ck_assert_uint_eq(data.type, MMDB_DATA_TYPE_UINT32);
	return data.uint32;
}

static uint32_t number_of(const char *text)
{
	struct mmdb_address a = address(text);
	return number_at(&a, !strchr(text, ':'));
}

START_TEST(networks_that_are_none_are_refused)
{
	uint32_t one = value_u32(1);
	ck_assert_int_eq(mmdb_writer_add(writer, address("::"), 129, one), ERR_BAD_INPUT);
	ck_assert_int_eq(mmdb_writer_add_range(writer, address("::2"), address("::1"), one, NULL), ERR_BAD_INPUT);
	use_v4();
	one = value_u32(1);
	ck_assert_int_eq(mmdb_writer_add(writer, address("2001:db8::"), 128, one), ERR_BAD_INPUT);
	ck_assert_int_eq(mmdb_writer_add(writer, address("::"), 95, one), ERR_BAD_INPUT);
	ck_assert_int_eq(mmdb_writer_add_range(writer, address("::"), address("1::"), one, NULL), ERR_BAD_INPUT);
}
END_TEST

START_TEST(values_that_nest_too_deeply_are_refused)
{
	struct mmdb_item items[MMDB_WRITE_DEPTH_MAX + 2];
	uint32_t id = 77;
	items[0] = (struct mmdb_item){ STR("k"), { .kind = MMDB_WRITE_U32, .whole = 1 } };
	for (size_t i = 1; i < LEN(items); i++)
		items[i] = (struct mmdb_item){ STR("k"), { .kind = MMDB_WRITE_MAP, .items = &items[i - 1], .count = 1 } };
	ck_assert_int_eq(mmdb_writer_value(writer, &items[MMDB_WRITE_DEPTH_MAX + 1].value, &id), ERR_BAD_INPUT);
	ck_assert_uint_eq(id, 77);
	ck_assert_int_eq(mmdb_writer_value(writer, &items[MMDB_WRITE_DEPTH_MAX].value, &id), ERR_NONE);
}
END_TEST

START_TEST(a_file_has_these_bytes)
{
	static const uint8_t expected[] =
		"\x00\x00\x01\x00\x00\x11" /* a node: nothing; 1 node and 16 and the offset 0 */
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		"\xe1\x41n\xc1\x07" /* a map of one: "n", a whole number of one byte */
		"\xab\xcd\xefMaxMind.com\xe9"
		"\x5b"
		"binary_format_major_version\xa1\x02"
		"\x5b"
		"binary_format_minor_version\xa0"
		"\x4b"
		"build_epoch\x04\x02\x65\x53\xf1\x00"
		"\x4d"
		"database_type\x4c"
		"Test-Country"
		"\x4b"
		"description\xe1\x42"
		"en\x4emade by a test"
		"\x4a"
		"ip_version\xa1\x04"
		"\x49"
		"languages\x01\x04\x42"
		"en\x4a"
		"node_count\xc1\x01"
		"\x4b"
		"record_size\xa1\x18";
	CLEANUP(buf_release) struct buf out = BUF_INIT(0);
	uint32_t nodes;
	use_v4();
	add("128.0.0.0", 96 + 1, value_u32(7));
	finish(&out, &nodes);
	ck_assert_uint_eq(nodes, 1);
	ck_assert_uint_eq(out.len, sizeof(expected) - 1);
	ck_assert_mem_eq(out.data, expected, out.len);
}
END_TEST

START_TEST(what_the_file_says_of_itself_is_read_back)
{
	add("::", 0, value_u32(1));
	open_written();
	ck_assert_uint_eq(mmdb.metadata.ip_version, 6);
	ck_assert_uint_eq(mmdb.metadata.record_size, 24);
	ck_assert_uint_eq(mmdb.metadata.binary_format_major_version, 2);
	ck_assert_uint_eq(mmdb.metadata.build_epoch, 1700000000);
	ck_assert_str_eq(mmdb.metadata.database_type, "Test-Country");
	ck_assert_uint_eq(mmdb.metadata.description.count, 1);
	ck_assert_str_eq(mmdb.metadata.description.descriptions[0]->description, "made by a test");
	ck_assert_uint_eq(mmdb.metadata.languages.count, 1);
	ck_assert_str_eq(mmdb.metadata.languages.names[0], "en");
}
END_TEST

START_TEST(the_whole_space_may_have_one_value)
{
	add("::", 0, value_u32(5));
	open_written();
	ck_assert_uint_eq(number_of("::"), 5);
	ck_assert_uint_eq(number_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 5);
	ck_assert_uint_eq(number_of("1.2.3.4"), 5);
}
END_TEST

START_TEST(a_database_without_networks_knows_nothing)
{
	(void)value_u32(5);
	open_written();
	ck_assert_uint_eq(number_of("::1"), UINT32_MAX);
	ck_assert_uint_eq(number_of("1.2.3.4"), UINT32_MAX);
}
END_TEST

START_TEST(single_addresses_have_values_of_their_own)
{
	add("::ffff:ffff", 128, value_u32(1));
	add("0.0.0.0", 128, value_u32(2));
	add("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128, value_u32(3));
	add("2001:db8::8000:0", 128, value_u32(4));
	open_written();
	ck_assert_uint_eq(number_of("255.255.255.255"), 1);
	ck_assert_uint_eq(number_of("255.255.255.254"), UINT32_MAX);
	ck_assert_uint_eq(number_of("0.0.0.0"), 2);
	ck_assert_uint_eq(number_of("0.0.0.1"), UINT32_MAX);
	ck_assert_uint_eq(number_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 3);
	ck_assert_uint_eq(number_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"), UINT32_MAX);
	ck_assert_uint_eq(number_of("2001:db8::8000:0"), 4);
	ck_assert_uint_eq(number_of("2001:db8::8000:1"), UINT32_MAX);
}
END_TEST

START_TEST(ipv4_is_found_in_ipv6_and_6to4)
{
	add("192.0.2.0", 96 + 24, value_u32(8));
	add("2002::", 16, value_u32(9));
	open_written();
	ck_assert_uint_eq(number_of("192.0.2.77"), 8);
	ck_assert_uint_eq(number_of("::192.0.2.77"), 8);
	ck_assert_uint_eq(number_of("::ffff:192.0.2.77"), 8);
	ck_assert_uint_eq(number_of("2002:c000:24d::1"), 8);
	ck_assert_uint_eq(number_of("192.0.3.1"), UINT32_MAX);
	ck_assert_uint_eq(number_of("::ffff:192.0.3.1"), UINT32_MAX);
	ck_assert_uint_eq(number_of("2002:c000:300::1"), UINT32_MAX);
}
END_TEST

START_TEST(what_comes_later_counts_and_the_rest_stays)
{
	add("10.0.0.0", 96 + 8, value_u32(1));
	add("10.1.0.0", 96 + 16, value_u32(2));
	add("10.1.2.3", 128, value_u32(3));
	add("10.1.2.0", 96 + 30, value_u32(4));
	open_written();
	ck_assert_uint_eq(number_of("10.0.255.255"), 1);
	ck_assert_uint_eq(number_of("10.1.0.0"), 2);
	ck_assert_uint_eq(number_of("10.1.2.3"), 4);
	ck_assert_uint_eq(number_of("10.1.2.4"), 2);
	ck_assert_uint_eq(number_of("10.2.0.0"), 1);
}
END_TEST

START_TEST(neighbours_that_say_the_same_become_one)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(0);
	uint32_t nodes, one;
	use_v4();
	one = value_u32(1);
	for (uint32_t i = 0; i < 256; i++)
		ck_assert_int_eq(mmdb_writer_add(writer, mmdb_address_v4(i << 24 | i << 3), 96 + 8, one), ERR_NONE);
	finish(&out, &nodes);
	ck_assert_uint_eq(nodes, 1);
}
END_TEST

START_TEST(all_kinds_of_values_are_read_back)
{
	static const char letters[70000] = { [0 ... 69998] = 'x' };
	const struct mmdb_item list[] = {
		{ .value = { .kind = MMDB_WRITE_TEXT, .text = STR("first") } },
		{ .value = { .kind = MMDB_WRITE_TEXT, .text = STR("second") } },
	};
	const struct mmdb_item location[] = {
		{ STR("latitude"), { .kind = MMDB_WRITE_DOUBLE, .number = -33.86785 } },
		{ STR("longitude"), { .kind = MMDB_WRITE_FLOAT, .number = 151.25 } },
	};
	const struct mmdb_item items[] = {
		{ STR("u16"), { .kind = MMDB_WRITE_U16, .whole = 65535 } },
		{ STR("u32"), { .kind = MMDB_WRITE_U32, .whole = 0 } },
		{ STR("u64"), { .kind = MMDB_WRITE_U64, .whole = UINT64_MAX } },
		{ STR("yes"), { .kind = MMDB_WRITE_BOOL, .whole = 1 } },
		{ STR("no"), { .kind = MMDB_WRITE_BOOL } },
		{ STR("t28"), { .kind = MMDB_WRITE_TEXT, .text = { letters, 28 } } },
		{ STR("t29"), { .kind = MMDB_WRITE_TEXT, .text = { letters, 29 } } },
		{ STR("t284"), { .kind = MMDB_WRITE_TEXT, .text = { letters, 284 } } },
		{ STR("t285"), { .kind = MMDB_WRITE_TEXT, .text = { letters, 285 } } },
		{ STR("t65820"), { .kind = MMDB_WRITE_TEXT, .text = { letters, 65820 } } },
		{ STR("t65821"), { .kind = MMDB_WRITE_TEXT, .text = { letters, 65821 } } },
		{ STR("list"), { .kind = MMDB_WRITE_ARRAY, .items = list, .count = LEN(list) } },
		{ STR("location"), { .kind = MMDB_WRITE_MAP, .items = location, .count = LEN(location) } },
		{ STR("again"), { .kind = MMDB_WRITE_MAP, .items = location, .count = LEN(location) } },
	};
	const struct mmdb_value map = { .kind = MMDB_WRITE_MAP, .items = items, .count = LEN(items) };
	static const char *const texts[] = { "t28", "t29", "t284", "t285", "t65820", "t65821" };
	struct mmdb_address one = address("::1");
	MMDB_entry_data_s d;
	uint32_t id;

	ck_assert_int_eq(mmdb_writer_value(writer, &map, &id), ERR_NONE);
	add("::", 0, id);
	open_written();
	MMDB_lookup_result_s found = look_up(&one, false);
	ck_assert(found.found_entry);
	ck_assert_int_eq(MMDB_get_value(&found.entry, &d, "u16", NULL), MMDB_SUCCESS);
	ck_assert_uint_eq(d.uint16, 65535);
	ck_assert_int_eq(MMDB_get_value(&found.entry, &d, "u32", NULL), MMDB_SUCCESS);
	ck_assert_uint_eq(d.uint32, 0);
	ck_assert_int_eq(MMDB_get_value(&found.entry, &d, "u64", NULL), MMDB_SUCCESS);
	ck_assert_uint_eq(d.uint64, UINT64_MAX);
	ck_assert_int_eq(MMDB_get_value(&found.entry, &d, "yes", NULL), MMDB_SUCCESS);
	ck_assert(d.boolean);
	ck_assert_int_eq(MMDB_get_value(&found.entry, &d, "no", NULL), MMDB_SUCCESS);
	ck_assert(!d.boolean);
	for (size_t i = 0; i < LEN(texts); i++) {
		ck_assert_int_eq(MMDB_get_value(&found.entry, &d, texts[i], NULL), MMDB_SUCCESS);
		ck_assert_uint_eq(d.data_size, strtoul(texts[i] + 1, NULL, 10));
		ck_assert_mem_eq(d.utf8_string, letters, d.data_size);
	}
	ck_assert_int_eq(MMDB_get_value(&found.entry, &d, "list", "1", NULL), MMDB_SUCCESS);
	ck_assert_uint_eq(d.data_size, 6);
	ck_assert_mem_eq(d.utf8_string, "second", 6);
	ck_assert_int_eq(MMDB_get_value(&found.entry, &d, "again", "latitude", NULL), MMDB_SUCCESS);
	ck_assert_double_eq(d.double_value, -33.86785);
	ck_assert_int_eq(MMDB_get_value(&found.entry, &d, "location", "longitude", NULL), MMDB_SUCCESS);
	ck_assert_uint_eq(d.type, MMDB_DATA_TYPE_FLOAT);
	ck_assert_double_eq((double)d.float_value, 151.25);
}
END_TEST

START_TEST(what_is_there_already_is_pointed_at)
{
	const struct mmdb_item inner = { STR("a name of some length"),
					 { .kind = MMDB_WRITE_TEXT, .text = STR("and a text of some length") } };
	size_t first = 0;

	for (uint32_t i = 0; i < 3000; i++) {
		const struct mmdb_item items[] = {
			{ STR("inner"), { .kind = MMDB_WRITE_MAP, .items = &inner, .count = 1 } },
			{ STR("n"), { .kind = MMDB_WRITE_U32, .whole = i } },
		};
		const struct mmdb_value map = { .kind = MMDB_WRITE_MAP, .items = items, .count = LEN(items) };
		uint32_t id, again;
		ck_assert_int_eq(mmdb_writer_value(writer, &map, &id), ERR_NONE);
		ck_assert_int_eq(mmdb_writer_value(writer, &map, &again), ERR_NONE);
		ck_assert_uint_eq(id, again);
		ck_assert_int_eq(mmdb_writer_add(writer, mmdb_address_v4(i << 12), 96 + 20, id), ERR_NONE);
		if (i == 1)
			first = id;
		/* Map, a pointer to "inner", one to the map, "n", and at most three bytes of a number. */
		if (i > 1)
			ck_assert_uint_le(id, first + (i - 1) * (1 + 3 + 3 + 2 + 3));
	}
	open_written();
	for (uint32_t i = 0; i < 3000; i++) {
		struct mmdb_address a = mmdb_address_v4(i << 12 | 77);
		MMDB_lookup_result_s found = look_up(&a, true);
		MMDB_entry_data_s d;
		ck_assert_uint_eq(number_at(&a, true), i);
		ck_assert_int_eq(MMDB_get_value(&found.entry, &d, "inner", "a name of some length", NULL), MMDB_SUCCESS);
		ck_assert_uint_eq(d.data_size, 25);
	}
}
END_TEST

/* A text that begins at an offset, and a map that points at it. */
static void check_pointer(uint32_t to)
{
	const struct mmdb_value marker = { .kind = MMDB_WRITE_TEXT, .text = STR("what is pointed at") };
	const struct mmdb_item item = { STR("k"), marker };
	const struct mmdb_value map = { .kind = MMDB_WRITE_MAP, .items = &item, .count = 1 };
	/* Its own size takes some bytes. */
	size_t len = to - (to < 65821 + 4 ? 3 : 4);
	char *text = calloc(1, len);
	const struct mmdb_value filler = { .kind = MMDB_WRITE_TEXT, .text = { text, len } };
	struct mmdb_address a = address("::1");
	MMDB_entry_data_s d;
	uint32_t id;

	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(mmdb_writer_value(writer, &filler, &id), ERR_NONE);
	free(text);
	ck_assert_int_eq(mmdb_writer_value(writer, &marker, &id), ERR_NONE);
	ck_assert_uint_eq(id, to);
	ck_assert_int_eq(mmdb_writer_value(writer, &map, &id), ERR_NONE);
	add("::", 0, id);
	open_written();
	MMDB_lookup_result_s found = look_up(&a, false);
	ck_assert_int_eq(MMDB_get_value(&found.entry, &d, "k", NULL), MMDB_SUCCESS);
	ck_assert_uint_eq(d.data_size, marker.text.len);
	ck_assert_mem_eq(d.utf8_string, marker.text.data, d.data_size);
}

START_TEST(pointers_reach_to_the_edges_of_their_sizes)
{
	static const uint32_t offsets[] = { 2047, 2048, 2049, 70000, 526335, 526336, 10000000 };
	for (size_t i = 0; i < LEN(offsets); i++) {
		tear_down();
		set_up();
		check_pointer(offsets[i]);
	}
}
END_TEST

START_TEST(ranges_are_as_few_networks_as_can_be)
{
	static const struct {
		const char *first, *last;
		uint32_t networks;
	} cases[] = {
		{ "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1 },
		{ "10.0.0.0", "10.255.255.255", 1 },
		{ "10.0.0.7", "10.0.0.7", 1 },
		{ "10.0.0.1", "10.0.0.254", 14 },
		{ "10.0.0.0", "10.0.2.255", 2 },
		{ "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 254 },
	};
	uint32_t one = value_u32(1);
	for (size_t i = 0; i < LEN(cases); i++) {
		uint32_t networks;
		ck_assert_int_eq(mmdb_writer_add_range(writer, address(cases[i].first), address(cases[i].last), one, &networks),
				 ERR_NONE);
		ck_assert_msg(networks == cases[i].networks, "row %zu: %u", i, networks);
	}
}
END_TEST

START_TEST(records_become_wider_with_what_they_name)
{
	enum { BIG = 1 << 20, COUNT = 20 };
	char *text = malloc(BIG);
	MMDB_entry_data_s d;

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', BIG);
	for (uint32_t i = 0; i < COUNT; i++) {
		text[0] = (char)('a' + i);
		const struct mmdb_item item = { STR("t"), { .kind = MMDB_WRITE_TEXT, .text = { text, BIG } } };
		const struct mmdb_value map = { .kind = MMDB_WRITE_MAP, .items = &item, .count = 1 };
		uint32_t id;
		ck_assert_int_eq(mmdb_writer_value(writer, &map, &id), ERR_NONE);
		/* Both sides of a node, and neighbours that are nothing. */
		ck_assert_int_eq(mmdb_writer_add(writer, mmdb_address_v4(i % 3 + 4 * (i / 3)), 128, id), ERR_NONE);
	}
	free(text);
	open_written();
	ck_assert_uint_eq(mmdb.metadata.record_size, 28);
	for (uint32_t i = 0; i < COUNT; i++) {
		struct mmdb_address a = mmdb_address_v4(i % 3 + 4 * (i / 3));
		MMDB_lookup_result_s found = look_up(&a, true);
		ck_assert(found.found_entry);
		ck_assert_int_eq(MMDB_get_value(&found.entry, &d, "t", NULL), MMDB_SUCCESS);
		ck_assert_int_eq(d.utf8_string[0], 'a' + (int)i);
		ck_assert_uint_eq(d.data_size, BIG);
	}
	ck_assert_uint_eq(number_of("0.0.0.3"), UINT32_MAX);
}
END_TEST

/* --- random ranges against a list of them --- */

enum { RANGES = 400, LOOKUPS = 4000 };

struct range {
	unsigned __int128 first, last;
};

static unsigned __int128 random_number(struct random *r, bool v4)
{
	unsigned __int128 n = (unsigned __int128)random_u64(r) << 64 | random_u64(r);
	/* Many with a common beginning, so that they overlap; and of every length. */
	unsigned bits = v4 ? 32 : 128;
	unsigned few = (unsigned)(random_u64(r) % (bits + 1));
	if (random_u64(r) % 2)
		n = few == 0 ? 0 : n >> (128 - few);
	return v4 ? n & UINT32_MAX : n;
}

static struct mmdb_address address_at(unsigned __int128 n)
{
	struct mmdb_address a;
	for (unsigned i = 16; i-- > 0; n >>= 8)
		a.bytes[i] = (uint8_t)n;
	return a;
}

static bool is_alias(unsigned __int128 n)
{
	return n >> 112 == 0x2002 || n >> 32 == 0xffff;
}

static uint32_t expected_at(const struct range *ranges, unsigned __int128 n)
{
	for (uint32_t i = RANGES; i-- > 0;)
		if (n >= ranges[i].first && n <= ranges[i].last)
			return i;
	return UINT32_MAX;
}

static void write_random(uint64_t seed, struct range *ranges, bool v4)
{
	struct random r = { seed };
	for (uint32_t i = 0; i < RANGES; i++) {
		unsigned __int128 a = random_number(&r, v4);
		unsigned __int128 b = random_u64(&r) % 8 == 0 ? a : random_number(&r, v4);
		ranges[i] = (struct range){ MIN(a, b), MAX(a, b) };
		ck_assert_int_eq(mmdb_writer_add_range(writer, address_at(ranges[i].first), address_at(ranges[i].last),
						       value_u32(i), NULL), ERR_NONE);
	}
}

static void check_random(uint64_t seed, bool v4)
{
	static struct range ranges[RANGES];
	struct random r = { seed + 1 };
	uint32_t known = 0;

	write_random(seed, ranges, v4);
	open_written();
	for (uint32_t i = 0; i < LOOKUPS; i++) {
		const struct range *near = &ranges[random_u64(&r) % RANGES];
		unsigned __int128 n = random_number(&r, v4);
		if (i % 2)
			n = (random_u64(&r) % 2 ? near->first : near->last) + random_u64(&r) % 3 - 1;
		n = v4 ? n & UINT32_MAX : n;
		if (is_alias(n))
			continue;
		struct mmdb_address a = address_at(n);
		uint32_t expected = expected_at(ranges, n);
		ck_assert_msg(number_at(&a, v4) == expected, "seed %llu lookup %u", (unsigned long long)seed, i);
		known += expected != UINT32_MAX;
	}
	ck_assert_uint_gt(known, LOOKUPS / 10);
}

START_TEST(random_ranges_are_found_as_they_were_added)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		if (seed > 1) {
			tear_down();
			set_up();
		}
		if (seed % 3 == 0)
			use_v4();
		check_random(seed, seed % 3 != 1);
	}
}
END_TEST

START_TEST(the_same_additions_make_the_same_bytes)
{
	static struct range ranges[RANGES];
	struct buf files[2];
	uint32_t nodes;

	for (unsigned i = 0; i < 2; i++) {
		mmdb_writer_free(writer);
		ck_assert_int_eq(mmdb_writer_new(&v6_options, &writer), ERR_NONE);
		write_random(99, ranges, false);
		finish(&files[i], &nodes);
	}
	ck_assert_uint_eq(files[0].len, files[1].len);
	ck_assert_mem_eq(files[0].data, files[1].data, files[0].len);
	buf_release(&files[0]);
	buf_release(&files[1]);
}
END_TEST

START_TEST(the_order_of_networks_that_do_not_meet_leaves_no_trace)
{
	struct buf files[2];
	uint32_t nodes;

	for (uint32_t turn = 0; turn < 2; turn++) {
		uint32_t values[64];
		mmdb_writer_free(writer);
		ck_assert_int_eq(mmdb_writer_new(&v6_options, &writer), ERR_NONE);
		for (uint32_t i = 0; i < 64; i++)
			values[i] = value_u32(i / 3);
		for (uint32_t i = 0; i < 64; i++) {
			uint32_t n = turn ? 63 - i : i;
			ck_assert_int_eq(mmdb_writer_add(writer, mmdb_address_v4(n << 26), 96 + 6, values[n]), ERR_NONE);
		}
		finish(&files[turn], &nodes);
	}
	ck_assert_uint_eq(files[0].len, files[1].len);
	ck_assert_mem_eq(files[0].data, files[1].data, files[0].len);
	buf_release(&files[0]);
	buf_release(&files[1]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mmdb_write");
	TCase *c = tcase_create("mmdb_write");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, networks_that_are_none_are_refused);
	tcase_add_test(c, values_that_nest_too_deeply_are_refused);
	tcase_add_test(c, a_file_has_these_bytes);
	tcase_add_test(c, what_the_file_says_of_itself_is_read_back);
	tcase_add_test(c, the_whole_space_may_have_one_value);
	tcase_add_test(c, a_database_without_networks_knows_nothing);
	tcase_add_test(c, single_addresses_have_values_of_their_own);
	tcase_add_test(c, ipv4_is_found_in_ipv6_and_6to4);
	tcase_add_test(c, what_comes_later_counts_and_the_rest_stays);
	tcase_add_test(c, neighbours_that_say_the_same_become_one);
	tcase_add_test(c, all_kinds_of_values_are_read_back);
	tcase_add_test(c, what_is_there_already_is_pointed_at);
	tcase_add_test(c, pointers_reach_to_the_edges_of_their_sizes);
	tcase_add_test(c, ranges_are_as_few_networks_as_can_be);
	tcase_add_test(c, records_become_wider_with_what_they_name);
	tcase_add_test(c, random_ranges_are_found_as_they_were_added);
	tcase_add_test(c, the_same_additions_make_the_same_bytes);
	tcase_add_test(c, the_order_of_networks_that_do_not_meet_leaves_no_trace);
	suite_add_tcase(s, c);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
