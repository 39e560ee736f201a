/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are none, that are damaged, and that are whole, in both schemas and several together.
 */
#include "gateway/geo.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/geo_record.h"
#include "gateway/route.h"
#include "tests/gateway/mmdb_bed.h"
#include "tests/index/random.h"
#include "tests/index/scratch.h"

static const struct mmdb_row cities[] = {
	{ "192.0.2.0/24", "DE", "EU", true, 50.11, 8.68 },
	{ "198.51.100.0/25", "SG", NULL, true, 1.35, 103.82 },
	{ "198.51.100.128/25", "JP", "AS", false, 0, 0 },
	{ "203.0.113.0/24", NULL, "SA", false, 0, 0 },
	{ "203.0.114.0/24", "ZZ", NULL, false, 0, 0 },
	{ "2001:db8::/32", "US", "NA", true, 39.04, -77.49 },
	{ "2001:db9::/32", "FR", NULL, true, 0, 0 },
};

static struct scratch scratch;

static void set_up(void)
{
	scratch_new(&scratch);
}

static void tear_down(void)
{
	scratch_remove(&scratch);
}

static void look_up(const struct geo *g, const char *text, struct place *p)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	bool is_v6 = strchr(text, ':') != NULL;
	memset(p, 0xa5, sizeof(*p));
	if (is_v6)
		ck_assert_int_eq(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	else
		ck_assert_int_eq(inet_pton(AF_INET, text, &v4.sin_addr), 1);
	geo_lookup(g, is_v6 ? (const struct sockaddr *)(const void *)&v6 : (const struct sockaddr *)(const void *)&v4, p);
}

struct expected {
	const char *address, *country, *continent;
	enum place_source source;
	double lat, lon;
};

static void check(const struct geo *g, const struct expected *e, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct place p;
		look_up(g, e[i].address, &p);
		ck_assert_msg(strcmp(p.country, e[i].country) == 0, "%s: %s", e[i].address, p.country);
		ck_assert_msg(strcmp(p.continent, e[i].continent) == 0, "%s: %s", e[i].address, p.continent);
		ck_assert_msg(p.source == e[i].source, "%s: %s", e[i].address, place_source_name(p.source));
		ck_assert_msg(fabs(p.lat - e[i].lat) < 1e-5 && fabs(p.lon - e[i].lon) < 1e-5, "%s: %f %f",
			      e[i].address, p.lat, p.lon);
	}
}

static const char *write_file(const char *name, const struct buf *b, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s", scratch_path(&scratch, name));
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(b->data, 1, b->len, f), b->len);
	ck_assert_int_eq(fclose(f), 0);
	return path;
}

static void expect_refused(struct bytes file, const char *words)
{
	struct geo *g = NULL;
	struct fault f = { 0 };
	ck_assert_int_eq(geo_open_bytes(file, "file.mmdb", &g, &f), ERR_CONFIG);
	ck_assert_ptr_null(g);
	ck_assert_msg(strncmp(f.text, "file.mmdb: ", 11) == 0 && strstr(f.text, words), "%s", f.text);
}

START_TEST(what_is_no_mmdb_file_is_refused_with_its_name)
{
	static const char text[] = "16777216,16777471,AU\n";
	char marker[] = "\xab\xcd\xefMaxMind.com";

	expect_refused((struct bytes){ 0 }, "is empty");
	expect_refused((struct bytes){ (const uint8_t *)text, 1 }, "is no MMDB file");
	expect_refused((struct bytes){ (const uint8_t *)text, sizeof(text) - 1 }, "is no MMDB file");
	expect_refused((struct bytes){ (const uint8_t *)marker, sizeof(marker) - 1 }, "damaged");
}
END_TEST

START_TEST(paths_that_are_no_files_are_refused)
{
	char gone[PATH_MAX], folder[PATH_MAX], fifo[PATH_MAX];
	const char *files[] = { gone, folder, fifo };
	static const char *const words[] = { "No such file", "is not a file", "is not a file" };
	struct fault f;
	struct geo *g;

	snprintf(gone, sizeof(gone), "%s", scratch_path(&scratch, "gone"));
	snprintf(folder, sizeof(folder), "%s", scratch.dir);
	snprintf(fifo, sizeof(fifo), "%s", scratch_path(&scratch, "fifo"));
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	for (size_t i = 0; i < LEN(files); i++) {
		f = (struct fault){ 0 };
		ck_assert_int_ne(geo_open(&files[i], 1, &g, &f), ERR_NONE);
		ck_assert_msg(strstr(f.text, files[i]) && strstr(f.text, words[i]), "%s", f.text);
	}
	ck_assert_int_eq(geo_open(files, 0, &g, &f), ERR_CONFIG);
	ck_assert_int_eq(geo_open(files, GEO_FILES_MAX + 1, &g, &f), ERR_CONFIG);
}
END_TEST

START_TEST(files_that_say_nothing_of_places_are_refused)
{
	static const struct mmdb_row row = { "192.0.2.0/24", NULL, NULL, false, 0, 0 };
	CLEANUP(buf_release) struct buf other = mmdb_make(&row, 1, 6, true, 1);
	CLEANUP(buf_release) struct buf empty = mmdb_make(NULL, 0, 6, false, 1);

	expect_refused(buf_bytes(&other), "says nothing of countries or coordinates");
	expect_refused(buf_bytes(&empty), "has no networks");
}
END_TEST

START_TEST(a_file_that_is_cut_off_anywhere_is_refused)
{
	CLEANUP(buf_release) struct buf b = mmdb_make(cities, LEN(cities), 6, false, 1);
	struct geo *g;
	struct fault f;

	for (size_t len = 0; len < b.len; len++)
		ck_assert_msg(geo_open_bytes((struct bytes){ b.data, len }, "f", &g, &f) == ERR_CONFIG, "%zu bytes", len);
	for (size_t from = 1; from < b.len; from++)
		ck_assert_msg(geo_open_bytes((struct bytes){ b.data + from, b.len - from }, "f", &g, &f) == ERR_CONFIG,
			      "from %zu", from);
}
END_TEST

/* Whatever the bytes are: words, or lookups that end. */
START_TEST(damage_is_refused_or_harmless)
{
	static const char *const addresses[] = { "192.0.2.1", "198.51.100.1", "198.51.100.200", "203.0.113.9",
						 "2001:db8::1", "2001:db9::1",	"255.255.255.255", "::" };
	CLEANUP(buf_release) struct buf b = mmdb_make(cities, LEN(cities), 6, false, 1);
	struct random r = { 7 };
	unsigned refused = 0;

	for (unsigned turn = 0; turn < 4000; turn++) {
		uint8_t *copy = malloc(b.len);
		struct fault f = { 0 };
		struct geo *g;
		struct place p;
		ck_assert_ptr_nonnull(copy);
		memcpy(copy, b.data, b.len);
		for (uint64_t n = 1 + random_u64(&r) % 4; n > 0; n--)
			copy[random_u64(&r) % b.len] = (uint8_t)random_u64(&r);
		if (geo_open_bytes((struct bytes){ copy, b.len }, "f", &g, &f)) {
			refused++;
			ck_assert_str_ne(f.text, "");
		} else {
			for (size_t i = 0; i < LEN(addresses); i++) {
				look_up(g, addresses[i], &p);
				ck_assert(fabs(p.lat) <= 90 && fabs(p.lon) <= 180);
			}
			geo_unref(g);
		}
		free(copy);
	}
	ck_assert_uint_gt(refused, 400);
}
END_TEST

START_TEST(a_record_that_nests_without_end_is_damage)
{
	enum { DEEP = 1 << 20 };
	uint8_t *maps = malloc(2 * DEEP);
	uint8_t loop[] = { 0xe1, 0x41, 'k', 0x20, 0x00 };   /* a map whose entry points at the map */
	uint8_t two[] = { 0x20, 0x02, 0x20, 0x00 };         /* a pointer to a pointer */
	uint8_t laughs[4 * 64];
	struct geo_record record;

	ck_assert_ptr_nonnull(maps);
	for (size_t i = 0; i < DEEP; i++) {
		maps[2 * i] = 0xe1;
		maps[2 * i + 1] = 0x40;
	}
	ck_assert(!geo_record_read((struct bytes){ maps, 2 * DEEP }, 0, &record));
	ck_assert(!geo_record_check((struct bytes){ maps, 2 * DEEP }, 0));
	free(maps);
	ck_assert(!geo_record_check((struct bytes){ loop, sizeof(loop) }, 0));
	ck_assert(geo_record_read((struct bytes){ loop, sizeof(loop) }, 0, &record));
	ck_assert(!geo_record_check((struct bytes){ two, sizeof(two) }, 0));
	/* Each list has twice the next one. */
	for (size_t i = 0; i < 64; i++) {
		const size_t next = (i + 1) * 6 % (sizeof(laughs) - 6);
		uint8_t list[6] = { 0x02, 0x04, (uint8_t)(0x20 | next >> 8), (uint8_t)next,
				    (uint8_t)(0x20 | next >> 8), (uint8_t)next };
		if ((i + 1) * 6 <= sizeof(laughs))
			memcpy(laughs + i * 6, list, sizeof(list));
	}
	ck_assert(!geo_record_check((struct bytes){ laughs, sizeof(laughs) }, 0));
	ck_assert(!geo_record_read((struct bytes){ loop, sizeof(loop) }, 5, &record));
	ck_assert(!geo_record_read((struct bytes){ loop, sizeof(loop) }, SIZE_MAX, &record));
}
END_TEST

/* In a block of its own, so that reading beyond it is seen. */
static bool check_bytes(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len);
	struct geo_record record;
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	bool good = geo_record_check((struct bytes){ copy, len }, 0);
	bool read = geo_record_read((struct bytes){ copy, len }, 0, &record);
	ck_assert(!read || (copy[0] >> 5) == 7);
	free(copy);
	return good;
}

START_TEST(a_record_is_read_within_its_bounds)
{
	uint8_t nested[2 * GEO_RECORD_DEPTH_MAX + 1];
	uint8_t wide[4 + 2 * 5000] = { 0x1e, 0x04, (5000 - 285) >> 8, (5000 - 285) & 255 };
	static const char *const cut[] = { "\xe1\x47six", "\xe1\x41k\x68\x01", "\xe1\x41k\x5d", "\xe1\x41k\x5e\x01",
					   "\xe1\x41k\x41", "\xe1\x41k\x30\x01", "\xe1\x41k", "\xe1", "\xe2\x41k\x41v" };

	for (size_t i = 0; i < LEN(cut); i++)
		ck_assert_msg(!check_bytes(cut[i], strlen(cut[i])), "row %zu", i);
	ck_assert(check_bytes("\xe1\x41k\x41v", 5));
	for (size_t i = 0; i < sizeof(nested); i++)
		nested[i] = i % 2 ? 0x40 : 0xe1;
	nested[sizeof(nested) - 1] = 0x40;
	/* One more map than there may be is not read, however few bytes it takes. */
	ck_assert(check_bytes(nested, sizeof(nested)));
	uint8_t deeper[sizeof(nested) + 2];
	memcpy(deeper, "\xe1\x40", 2);
	memcpy(deeper + 2, nested, sizeof(nested));
	ck_assert(!check_bytes(deeper, sizeof(deeper)));
	/* Nor a list that is longer than a record has reason to be. */
	memcpy(wide + 4, "\x41v", 2);
	for (size_t i = 6; i < sizeof(wide); i += 2)
		memcpy(wide + i, "\x20\x04", 2);
	ck_assert(!check_bytes(wide, sizeof(wide)));
	wide[2] = (3000 - 285) >> 8;
	wide[3] = (3000 - 285) & 255;
	ck_assert(check_bytes(wide, sizeof(wide)));
}
END_TEST

START_TEST(the_nested_schema_is_read)
{
	static const struct expected e[] = {
		{ "192.0.2.1", "DE", "EU", PLACE_CITY, 50.11, 8.68 },
		{ "198.51.100.127", "SG", "AS", PLACE_CITY, 1.35, 103.82 },
		{ "198.51.100.128", "JP", "AS", PLACE_COUNTRY, 35.70, 137.70 },
		{ "203.0.113.1", "", "SA", PLACE_NONE, 0, 0 },
		{ "203.0.114.1", "ZZ", "", PLACE_NONE, 0, 0 },
		{ "2001:db8:ffff::1", "US", "NA", PLACE_CITY, 39.04, -77.49 },
		{ "2001:db9::1", "FR", "EU", PLACE_COUNTRY, 46.60, 2.45 },   /* 0, 0 stands for unknown */
		{ "::ffff:192.0.2.1", "DE", "EU", PLACE_CITY, 50.11, 8.68 },
		{ "2002:c000:201::1", "DE", "EU", PLACE_CITY, 50.11, 8.68 },
		{ "10.0.0.1", "", "", PLACE_NONE, 0, 0 },
		{ "fd00::1", "", "", PLACE_NONE, 0, 0 },
	};
	CLEANUP(buf_release) struct buf b = mmdb_make(cities, LEN(cities), 6, false, 1700000000);
	struct geo *g;
	struct geo_file info;

	ck_assert_int_eq(geo_open_bytes(buf_bytes(&b), "f", &g, NULL), ERR_NONE);
	check(g, e, LEN(e));
	ck_assert_uint_eq(geo_file_count(g), 1);
	geo_file_info(g, 0, &info);
	ck_assert_str_eq(info.type, "Test-City");
	ck_assert_str_eq(info.path, "f");
	ck_assert_uint_eq(info.ip_version, 6);
	ck_assert_uint_eq(info.build_epoch, 1700000000);
	geo_unref(g);
}
END_TEST

START_TEST(the_flat_schema_is_read_from_a_file_for_each_version)
{
	static const struct expected e[] = {
		{ "192.0.2.1", "DE", "EU", PLACE_CITY, 50.11, 8.68 },
		{ "::ffff:192.0.2.1", "DE", "EU", PLACE_CITY, 50.11, 8.68 },
		{ "198.51.100.200", "JP", "AS", PLACE_COUNTRY, 35.70, 137.70 },
		{ "2001:db8::9", "US", "NA", PLACE_CITY, 39.04, -77.49 },
		{ "2001:db7::9", "", "", PLACE_NONE, 0, 0 },
	};
	char paths[2][PATH_MAX];
	const char *files[2];
	CLEANUP(buf_release) struct buf v4 = mmdb_make(cities, 5, 4, true, 1600000000);
	CLEANUP(buf_release) struct buf v6 = mmdb_make(cities + 5, 2, 6, true, 1500000000);
	struct fault f = { 0 };
	struct geo_file info;
	struct geo *g;

	files[0] = write_file("v4.mmdb", &v4, paths[0]);
	files[1] = write_file("v6.mmdb", &v6, paths[1]);
	ck_assert_msg(geo_open(files, 2, &g, &f) == ERR_NONE, "%s", f.text);
	check(g, e, LEN(e));
	geo_file_info(g, 1, &info);
	ck_assert_uint_eq(info.build_epoch, 1500000000);
	ck_assert_str_eq(info.type, "city flat");
	/* Nothing that is done to the files matters any more. */
	ck_assert_int_eq(truncate(files[0], 1), 0);
	ck_assert_int_eq(unlink(files[1]), 0);
	check(g, e, LEN(e));
	geo_unref(g);
}
END_TEST

START_TEST(the_first_file_that_has_it_says_it)
{
	static const struct mmdb_row countries[] = { { "192.0.2.0/24", "AT", NULL, false, 0, 0 } };
	static const struct mmdb_row places[] = {
		{ "192.0.2.0/25", "DE", NULL, true, 48, 12 },
		{ "198.51.100.0/24", "CH", NULL, true, 47, 8 },
	};
	static const struct mmdb_row others[] = { { "192.0.2.0/24", "IT", "AF", true, 1, 1 } };
	static const struct expected e[] = {
		{ "192.0.2.1", "AT", "EU", PLACE_CITY, 48, 12 },   /* nothing is left to ask the third for */
		{ "192.0.2.200", "AT", "AF", PLACE_CITY, 1, 1 },
		{ "198.51.100.1", "CH", "EU", PLACE_CITY, 47, 8 },
	};
	char paths[3][PATH_MAX];
	CLEANUP(buf_release) struct buf a = mmdb_make(countries, LEN(countries), 4, false, 1);
	CLEANUP(buf_release) struct buf b = mmdb_make(places, LEN(places), 6, true, 1);
	CLEANUP(buf_release) struct buf third = mmdb_make(others, LEN(others), 6, false, 1);
	const char *files[3] = { write_file("a.mmdb", &a, paths[0]), write_file("b.mmdb", &b, paths[1]),
				 write_file("c.mmdb", &third, paths[2]) };
	struct geo *g;

	ck_assert_int_eq(geo_open(files, 3, &g, NULL), ERR_NONE);
	check(g, e, LEN(e));
	geo_unref(g);
}
END_TEST

START_TEST(coordinates_of_a_file_of_countries_are_their_middles)
{
	static const struct mmdb_row middles[] = {
		{ "192.0.2.0/24", "DE", NULL, true, 51, 10 },
		{ "198.51.100.0/24", "CH", NULL, true, 47, 8 },
	};
	static const struct mmdb_row city[] = { { "192.0.2.0/25", "DE", NULL, true, 48, 12 } };
	static const struct expected e[] = {
		{ "192.0.2.1", "DE", "EU", PLACE_CITY, 48, 12 },
		{ "192.0.2.129", "DE", "EU", PLACE_COUNTRY, 51, 10 },
		{ "198.51.100.1", "CH", "EU", PLACE_COUNTRY, 47, 8 },
	};
	char paths[2][PATH_MAX];
	CLEANUP(buf_release) struct buf a = mmdb_make(middles, LEN(middles), 4, false, 1);
	CLEANUP(buf_release) struct buf b = mmdb_make(city, LEN(city), 4, false, 1);
	struct geo *g;

	/* The file's name for itself, in the same length. */
	uint8_t *type = memmem(a.data, a.len, "Test-City", 9);
	ck_assert_ptr_nonnull(type);
	memcpy(type, "ACountry!", 9);
	const char *files[2] = { write_file("a.mmdb", &a, paths[0]), write_file("b.mmdb", &b, paths[1]) };
	ck_assert_int_eq(geo_open(files, 2, &g, NULL), ERR_NONE);
	check(g, e, LEN(e));
	geo_unref(g);
}
END_TEST

/* More than are kept as they were read, so that they crowd each other out. */
START_TEST(no_record_is_taken_for_another)
{
	enum { MANY = 40000 };
	static char networks[MANY][24];
	struct mmdb_row *many = calloc(MANY, sizeof(*many));
	struct geo *g;

	ck_assert_ptr_nonnull(many);
	for (uint32_t i = 0; i < MANY; i++) {
		snprintf(networks[i], sizeof(networks[i]), "10.%u.%u.0/24", i >> 8, i & 255);
		many[i] = (struct mmdb_row){ networks[i], "DE", NULL, true, 10 + (double)(i % 200) / 8, 1 + (double)(i / 200) / 8 };
	}
	CLEANUP(buf_release) struct buf b = mmdb_make(many, MANY, 4, false, 1);
	ck_assert_int_eq(geo_open_bytes(buf_bytes(&b), "b", &g, NULL), ERR_NONE);
	for (unsigned turn = 0; turn < 2; turn++)
		for (uint32_t i = 0; i < MANY; i++) {
			char text[24];
			struct place p;
			snprintf(text, sizeof(text), "10.%u.%u.9", i >> 8, i & 255);
			look_up(g, text, &p);
			ck_assert_msg(p.lat == many[i].lat && p.lon == many[i].lon, "%s: %f %f", text, p.lat, p.lon);
		}
	geo_unref(g);
	free(many);
}
END_TEST

START_TEST(coordinates_of_the_first_city_file_count)
{
	static const struct mmdb_row first[] = { { "192.0.2.0/24", NULL, NULL, true, 10, 10 } };
	static const struct mmdb_row second[] = { { "192.0.2.0/24", "DE", NULL, true, 50, 9 } };
	static const struct expected e[] = { { "192.0.2.1", "DE", "EU", PLACE_CITY, 10, 10 } };
	char paths[2][PATH_MAX];
	CLEANUP(buf_release) struct buf a = mmdb_make(first, 1, 4, false, 1);
	CLEANUP(buf_release) struct buf b = mmdb_make(second, 1, 4, false, 1);
	const char *files[2] = { write_file("a.mmdb", &a, paths[0]), write_file("b.mmdb", &b, paths[1]) };
	struct geo *g;

	ck_assert_int_eq(geo_open(files, 2, &g, NULL), ERR_NONE);
	check(g, e, LEN(e));
	geo_unref(g);
}
END_TEST

START_TEST(other_families_and_no_database_know_nothing)
{
	CLEANUP(buf_release) struct buf b = mmdb_make(cities, LEN(cities), 6, false, 1);
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct place p;
	struct geo *g;

	ck_assert_int_eq(geo_open_bytes(buf_bytes(&b), "f", &g, NULL), ERR_NONE);
	geo_lookup(g, (const struct sockaddr *)(const void *)&local, &p);
	ck_assert_int_eq(p.source, PLACE_NONE);
	ck_assert_str_eq(p.country, "");
	geo_unref(g);
	look_up(NULL, "192.0.2.1", &p);
	ck_assert_int_eq(p.source, PLACE_NONE);
	ck_assert_uint_eq(geo_file_count(NULL), 0);
	geo_unref(NULL);
}
END_TEST

START_TEST(it_lives_as_long_as_somebody_holds_it)
{
	static const struct expected e[] = { { "192.0.2.1", "DE", "EU", PLACE_CITY, 50.11, 8.68 } };
	CLEANUP(buf_release) struct buf b = mmdb_make(cities, LEN(cities), 6, false, 1);
	struct geo *g;

	ck_assert_int_eq(geo_open_bytes(buf_bytes(&b), "b", &g, NULL), ERR_NONE);
	ck_assert_ptr_eq(geo_ref(g), g);
	geo_unref(g);
	check(g, e, LEN(e));
	geo_unref(g);
	ck_assert_ptr_null(geo_ref(NULL));
}
END_TEST

START_TEST(the_table_of_countries_is_sorted_and_in_place)
{
	static const struct {
		const char *code, *continent;
		double lat, lon, km;   /* a city of it, and how far its middle may be from there */
	} cases[] = {
		{ "DE", "EU", 52.52, 13.40, 400 },  { "BR", "SA", -15.79, -47.88, 1000 }, { "US", "NA", 38.63, -90.20, 400 },
		{ "JP", "AS", 35.68, 139.69, 400 }, { "ZA", "AF", -26.20, 28.05, 500 },	  { "AU", "OC", -33.87, 151.21, 600 },
		{ "IN", "AS", 19.08, 72.88, 900 },  { "CL", "SA", -33.45, -70.67, 200 },  { "NZ", "OC", -41.29, 174.78, 300 },
		{ "AQ", "AN", -90.00, 0.00, 1500 },
	};
	uint32_t count;
	const struct geo_country *all = geo_countries(&count);

	/* The 249 of the standard, and three. */
	ck_assert_uint_eq(count, 252);
	for (uint32_t i = 0; i < count; i++) {
		const struct geo_country *c = &all[i];
		ck_assert_msg(i == 0 || strcmp(all[i - 1].code, c->code) < 0, "%s", c->code);
		ck_assert_msg(geo_is_continent((struct str){ c->continent, 2 }), "%s", c->code);
		ck_assert_msg(fabs(c->lat) <= 90 && fabs(c->lon) <= 180, "%s", c->code);
		ck_assert_ptr_eq(geo_country((struct str){ c->code, 2 }), c);
	}
	for (size_t i = 0; i < LEN(cases); i++) {
		const struct geo_country *c = geo_country((struct str){ cases[i].code, 2 });
		ck_assert_ptr_nonnull(c);
		ck_assert_str_eq(c->continent, cases[i].continent);
		ck_assert_msg(route_km(c->lat, c->lon, cases[i].lat, cases[i].lon) < cases[i].km, "%s", c->code);
	}
	ck_assert_ptr_null(geo_country(STR("ZZ")));
	ck_assert_ptr_null(geo_country(STR("DEU")));
	ck_assert_ptr_null(geo_country(STR("")));
	ck_assert(!geo_is_continent(STR("XX")));
	ck_assert(!geo_is_continent(STR("F ")));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("geo");
	TCase *c = tcase_create("geo");
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, what_is_no_mmdb_file_is_refused_with_its_name);
	tcase_add_test(c, paths_that_are_no_files_are_refused);
	tcase_add_test(c, files_that_say_nothing_of_places_are_refused);
	tcase_add_test(c, a_file_that_is_cut_off_anywhere_is_refused);
	tcase_add_test(c, damage_is_refused_or_harmless);
	tcase_add_test(c, a_record_that_nests_without_end_is_damage);
	tcase_add_test(c, a_record_is_read_within_its_bounds);
	tcase_add_test(c, the_nested_schema_is_read);
	tcase_add_test(c, the_flat_schema_is_read_from_a_file_for_each_version);
	tcase_add_test(c, the_first_file_that_has_it_says_it);
	tcase_add_test(c, coordinates_of_a_file_of_countries_are_their_middles);
	tcase_add_test(c, no_record_is_taken_for_another);
	tcase_add_test(c, coordinates_of_the_first_city_file_count);
	tcase_add_test(c, other_families_and_no_database_know_nothing);
	tcase_add_test(c, it_lives_as_long_as_somebody_holds_it);
	tcase_add_test(c, the_table_of_countries_is_sorted_and_in_place);
	suite_add_tcase(s, c);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
