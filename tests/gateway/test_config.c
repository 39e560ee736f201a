/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files: what is refused and in which words, what is read, what is written from the table, and that the
 * sample and the manual in the tree are those of the table.
 */
#include "gateway/config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- a table of its own, with every kind --- */

struct spot {
	struct config_origin *origins;
	const char *name;
	double lat;
	int64_t id;
};

static const struct config_key spot_keys[] = {
	{ "name", CONFIG_STRING, NULL, NULL, 1, 8, offsetof(struct spot, name), CONFIG_RESTART,
	  "Its name." },
	{ "place.lat", CONFIG_FLOAT, NULL, "0.0", -90, 90, offsetof(struct spot, lat),
	  CONFIG_RESTART, "Latitude." },
	{ "id", CONFIG_INT, NULL, "1", 1, 255, offsetof(struct spot, id), CONFIG_RESTART,
	  "Number." },
};
static const struct config_table spot_table = { spot_keys, LEN(spot_keys), sizeof(struct spot) };

struct all {
	struct config_origin *origins;
	const char *text;
	const char *path;
	int64_t number;
	bool flag;
	double ratio;
	uint64_t size;
	uint64_t time;
	struct config_address address;
	unsigned choice;
	struct config_strings texts;
	struct config_list spots;
};

#define ROW(path, kind, extra, initial, least, greatest, member, reload)                           \
	{                                                                                          \
		path, CONFIG_##kind, extra, initial, least, greatest,                              \
			offsetof(struct all, member), CONFIG_##reload, "Says " path "."            \
	}

static const struct config_key all_keys[] = {
	ROW("text", STRING, NULL, "abc", 0, 8, text, RELOAD),
	ROW("g.path", PATH, NULL, "/x", 0, 100, path, RESTART),
	ROW("g.number", INT, NULL, "3", -5, 2000000000, number, RESTART),
	ROW("g.flag", BOOL, NULL, "true", 0, 0, flag, RESTART),
	ROW("g.ratio", FLOAT, NULL, "0.5", 0, 1, ratio, RESTART),
	ROW("h.size", SIZE, NULL, "8GiB", 1024, 1099511627776, size, RESTART),
	ROW("h.time", DURATION, NULL, "250ms", 0, 86400000, time, RESTART),
	ROW("h.address", ADDRESS, NULL, "[::1]:7", 1, 65535, address, RESTART),
	ROW("choice", CHOICE, "red|green|blue", "green", 0, 0, choice, RESTART),
	ROW("texts", STRINGS, NULL, "", 0, 3, texts, RESTART),
	ROW("spots", LIST, &spot_table, "", 0, 3, spots, RESTART),
};
static const struct config_table all_table = { all_keys, LEN(all_keys), sizeof(struct all) };

/* --- files --- */

static char folder[] = "/tmp/isthmus-config-XXXXXX";
static char file[64];
static struct arena arena;
static struct buf errors;
static struct buf text;

static const char *in_folder(const char *name)
{
	static char path[128];
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void write_file(const char *name, const char *content)
{
	FILE *f = fopen(in_folder(name), "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(content, 1, strlen(content), f), strlen(content));
	ck_assert_int_eq(fclose(f), 0);
}

static void set_up(void)
{
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(file, sizeof(file), "%s/t.conf", folder);
	arena_init(&arena, 1u << 20);
	buf_init(&errors, CONFIG_ERROR_BYTES_MAX);
	buf_init(&text, 1u << 20);
	unsetenv("STATE_DIRECTORY");
	unsetenv("RUNTIME_DIRECTORY");
}

static void tear_down(void)
{
	static const char *const names[] = { "t.conf", "u.conf" };

	for (size_t i = 0; i < LEN(names); i++)
		(void)unlink(in_folder(names[i]));
	ck_assert_int_eq(rmdir(folder), 0);
	arena_release(&arena);
	buf_release(&errors);
	buf_release(&text);
}

static const char *terminated(struct buf *b)
{
	ck_assert_int_eq(buf_append_byte(b, 0), ERR_NONE);
	b->len--;
	return (const char *)b->data;
}

/* What the errors say with the folder's name cut out. */
static const char *words(void)
{
	static char out[4096];
	size_t len = 0;

	for (const char *p = terminated(&errors); *p && len + 1 < sizeof(out);) {
		if (strncmp(p, folder, strlen(folder)) == 0)
			p += strlen(folder) + (p[strlen(folder)] == '/');
		else
			out[len++] = *p++;
	}
	out[len] = '\0';
	return out;
}

static enum err read_all(const char *content, struct all *out)
{
	memset(out, 0, sizeof(*out));
	buf_reset(&errors);
	write_file("t.conf", content);
	ck_assert_int_eq(config_table_defaults(&all_table, &arena, out), ERR_NONE);
	return config_table_read(&all_table, file, &arena, out, &errors);
}

static enum err load(const char *content, struct config **ret_config)
{
	*ret_config = NULL;
	buf_reset(&errors);
	write_file("t.conf", content);
	return config_load(file, ret_config, &errors);
}

/* --- refused --- */

static const struct {
	const char *content, *says;
} refused[] = {
	{ "text = 5;", "t.conf:1: text: a text in quotes is expected\n" },
	{ "text = \"123456789\";", "t.conf:1: text: 9 is outside 0 to 8 characters\n" },
	{ "txet = \"a\";", "t.conf:1: txet: unknown key; is text meant?\n" },
	{ "\n\nnumber = 1;", "t.conf:3: number: unknown key; is g.number meant?\n" },
	{ "zebras = 1;", "t.conf:1: zebras: unknown key\n" },
	{ "g = {\n numbre = 1;\n};", "t.conf:2: g.numbre: unknown key; is g.number meant?\n" },
	{ "g = 1;", "t.conf:1: g: a group { … } is expected\n" },
	{ "text = { a = 1; };", "t.conf:1: text: a text in quotes is expected\n" },
	{ "g = { number = 1.5; };", "t.conf:1: g.number: a whole number is expected\n" },
	{ "g = { number = -6; };", "t.conf:1: g.number: -6 is outside -5 to 2000000000\n" },
	{ "g = { number = 9000000000L; };",
	  "t.conf:1: g.number: 9000000000 is outside -5 to 2000000000\n" },
	{ "g = {\n number = 5000000000; };",
	  "t.conf:2: the number 5000000000 does not fit 32 bits; write it with an L behind it\n" },
	{ "g = { number = 0x80000000; };",
	  "t.conf:1: the number 0x80000000 does not fit 32 bits; write it with an L behind it\n" },
	{ "g = { flag = 1; };", "t.conf:1: g.flag: true or false is expected\n" },
	{ "g = { ratio = 2; };", "t.conf:1: g.ratio: 2 is outside 0 to 1\n" },
	{ "g = { ratio = \"x\"; };", "t.conf:1: g.ratio: a number is expected\n" },
	{ "h = { size = 8; };",
	  "t.conf:1: h.size: a size in quotes, such as \"8GiB\", is expected\n" },
	{ "h = { size = \"8\"; };",
	  "t.conf:1: h.size: '8' is no size: a whole number with B, KiB, MiB, GiB or TiB is expected\n" },
	{ "h = { size = \"99999999999TiB\"; };",
	  "t.conf:1: h.size: '99999999999TiB' is no size: a whole number with B, KiB, MiB, GiB or TiB is expected\n" },
	{ "h = { size = \"0\"; };", "t.conf:1: h.size: 0B is outside 1KiB to 1TiB\n" },
	{ "h = { time = \"1.5s\"; };",
	  "t.conf:1: h.time: '1.5s' is no time: a whole number with ms, s, m, h or d is expected\n" },
	{ "h = { time = \"-1s\"; };",
	  "t.conf:1: h.time: '-1s' is no time: a whole number with ms, s, m, h or d is expected\n" },
	{ "h = { time = \"25h\"; };", "t.conf:1: h.time: 25h is outside 0ms to 1d\n" },
	{ "h = { address = \"localhost\"; };",
	  "t.conf:1: h.address: 'localhost' is no address: HOST:PORT, [IPV6]:PORT or \"off\" is expected\n" },
	{ "h = { address = \"::1:7\"; };",
	  "t.conf:1: h.address: '::1:7' is no address: HOST:PORT, [IPV6]:PORT or \"off\" is expected\n" },
	{ "h = { address = \"a:65536\"; };",
	  "t.conf:1: h.address: 'a:65536' is no address: HOST:PORT, [IPV6]:PORT or \"off\" is expected\n" },
	{ "h = { address = \"a:0\"; };", "t.conf:1: h.address: 0 is outside 1 to 65535\n" },
	{ "choice = \"gree\";", "t.conf:1: choice: 'gree' is not one of red|green|blue\n" },
	{ "choice = \"green|blue\";",
	  "t.conf:1: choice: 'green|blue' is not one of red|green|blue\n" },
	{ "texts = [ \"a\", \"b\", \"c\", \"d\" ];", "t.conf:1: texts: 4 is outside 0 to 3\n" },
	{ "texts = ( \"a\", 1 );", "t.conf:1: texts: [1] is no text\n" },
	{ "spots = { };", "t.conf:1: spots: ( { … }, … ) is expected\n" },
	{ "spots = ( 1 );", "t.conf:1: spots: [0]: a group { … } is expected\n" },
	{ "spots = ( { name = \"x\"; id = 1; },\n { id = 3; } );",
	  "t.conf:2: spots[1]: name is missing\n" },
	{ "spots = ( { name = \"x\"; },\n { name = \"y\"; id = 256; } );",
	  "t.conf:2: spots[1].id: 256 is outside 1 to 255\n" },
	{ "spots = ( {\n name = \"x\"; place = {\n  lat = 95.0; }; } );",
	  "t.conf:3: spots[0].place.lat: 95 is outside -90 to 90\n" },
	{ "spots = ( { nam = \"x\"; } );",
	  "t.conf:1: spots[0].nam: unknown key; is name meant?\nt.conf:1: spots[0]: name is missing\n" },
	{ "text = \"a\";\ntext = \"b\";", "t.conf:2: duplicate setting name\n" },
	{ "text = \"a\"\n}", "t.conf:2: syntax error\n" },
	{ "@include \"u.conf\"",
	  "t.conf:1: @include: u.conf cannot be read: No such file or directory\n" },
	{ "@include \"/etc/passwd\"",
	  "t.conf:1: @include wants the name of a file, relative to \n" },
	{ "\n@include \".\"", "t.conf:2: @include: . cannot be read: it is no ordinary file\n" },
};

START_TEST(wrong_files_are_refused_with_file_line_path_and_words)
{
	struct all out;

	ck_assert_int_eq(read_all(refused[_i].content, &out), ERR_CONFIG);
	ck_assert_str_eq(words(), refused[_i].says);
}
END_TEST

START_TEST(all_errors_of_a_file_are_told_at_once)
{
	struct all out;
	ck_assert_int_eq(read_all("text = 1;\ng = { flag = 2; };\nnope = 3;\n", &out), ERR_CONFIG);
	ck_assert_str_eq(words(), "t.conf:1: text: a text in quotes is expected\n"
				  "t.conf:2: g.flag: true or false is expected\n"
				  "t.conf:3: nope: unknown key\n");
}
END_TEST

START_TEST(errors_in_included_files_name_those)
{
	struct all out;
	write_file("u.conf", "text = \"a\";\n\nh = { size = \"1\"; };\n");
	ck_assert_int_eq(read_all("@include \"u.conf\"\ng = { flag = 1; };", &out), ERR_CONFIG);
	ck_assert_str_eq(
		words(),
		"u.conf:3: h.size: '1' is no size: a whole number with B, KiB, MiB, GiB or TiB is expected\n"
		"t.conf:2: g.flag: true or false is expected\n");
	write_file("u.conf", "text = ;\n");
	ck_assert_int_eq(read_all("@include \"u.conf\"", &out), ERR_CONFIG);
	ck_assert_str_eq(words(), "u.conf:1: syntax error\n");
}
END_TEST

START_TEST(files_that_include_each_other_are_refused)
{
	struct all out;
	write_file("u.conf", "@include \"t.conf\"\n");
	ck_assert_int_eq(read_all("@include \"u.conf\"\n", &out), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(words(), "files include each other more than 10 deep"));
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
	struct all out = { 0 };
	ck_assert_int_eq(config_table_read(&all_table, in_folder("none"), &arena, &out, &errors),
			 ERR_CONFIG);
	ck_assert_str_eq(words(), "none: cannot be read: No such file or directory\n");
	buf_reset(&errors);
	ck_assert_int_eq(config_table_read(&all_table, folder, &arena, &out, &errors), ERR_CONFIG);
	ck_assert_ptr_nonnull(
		strstr(terminated(&errors), "cannot be read: it is no ordinary file"));
}
END_TEST

START_TEST(numbers_in_comments_texts_and_names_are_left_alone)
{
	struct all out;
	ck_assert_int_eq(
		read_all("# 5000000000\n// 5000000000\n/* 5000000000\n @include \"zz\" */\n"
			 "text = \"5000000\\\"\"; g = { ratio = 1e-2; };",
			 &out),
		ERR_NONE);
	ck_assert_str_eq(out.text, "5000000\"");
	ck_assert_double_eq(out.ratio, 0.01);
}
END_TEST

/* --- read --- */

START_TEST(every_kind_is_read_with_its_origin)
{
	struct all out;
	ck_assert_int_eq(
		read_all(
			"text = \"xyz\";\n"
			"g = { path = \"/p/q\"; number = -5; flag = false;\n"
			"      ratio = 1; };\n"
			"h = { size = \"3 MiB\"; time = \"2h\"; address = \"example.org:80\"; };\n"
			"choice = \"blue\";\n"
			"texts = [ \"a\", \"b\" ];\n"
			"spots = ( { name = \"x\"; place = { lat = -1.5; }; }, { name = \"y\"; id = 7; } );\n",
			&out),
		ERR_NONE);
	ck_assert_uint_eq(errors.len, 0);
	ck_assert_str_eq(out.text, "xyz");
	ck_assert_str_eq(out.path, "/p/q");
	ck_assert_int_eq(out.number, -5);
	ck_assert(!out.flag);
	ck_assert_double_eq(out.ratio, 1.0);
	ck_assert_uint_eq(out.size, 3u << 20);
	ck_assert_uint_eq(out.time, 7200000);
	ck_assert_str_eq(out.address.host, "example.org");
	ck_assert_uint_eq(out.address.port, 80);
	ck_assert_uint_eq(out.choice, 2);
	ck_assert_uint_eq(out.texts.count, 2);
	ck_assert_str_eq(out.texts.items[1], "b");
	ck_assert_uint_eq(out.spots.count, 2);
	const struct spot *spots = out.spots.rows;
	ck_assert_str_eq(spots[0].name, "x");
	ck_assert_double_eq(spots[0].lat, -1.5);
	ck_assert_int_eq(spots[0].id, 1);
	ck_assert_int_eq(spots[1].id, 7);
	ck_assert_uint_eq(spots[0].origins[1].line, 7);
	ck_assert_uint_eq(out.origins[4].line, 3);
	ck_assert_str_eq(out.origins[4].file, file);
}
END_TEST

START_TEST(what_is_not_in_the_file_has_its_default)
{
	struct all out;
	ck_assert_int_eq(read_all("", &out), ERR_NONE);
	ck_assert_str_eq(out.text, "abc");
	ck_assert_int_eq(out.number, 3);
	ck_assert(out.flag);
	ck_assert_uint_eq(out.size, 8ull << 30);
	ck_assert_uint_eq(out.time, 250);
	ck_assert_str_eq(out.address.host, "::1");
	ck_assert_uint_eq(out.choice, 1);
	ck_assert_uint_eq(out.texts.count, 0);
	ck_assert_uint_eq(out.spots.count, 0);
	ck_assert_ptr_null(out.origins[0].file);
}
END_TEST

START_TEST(an_address_may_be_off)
{
	struct all out;
	ck_assert_int_eq(read_all("h = { address = \"off\"; };", &out), ERR_NONE);
	ck_assert_ptr_null(out.address.host);
}
END_TEST

/* --- written --- */

static const char dumped[] = "text = \"a\\\"\\\\b\";  # t.conf:1\n"
			     "\n"
			     "g = {\n"
			     "\tpath = \"/x\";  # default\n"
			     "\tnumber = 3;  # default\n"
			     "\tflag = true;  # default\n"
			     "\tratio = 1.0;  # t.conf:2\n"
			     "};\n"
			     "\n"
			     "h = {\n"
			     "\tsize = \"1536MiB\";  # t.conf:3\n"
			     "\ttime = \"90s\";  # t.conf:3\n"
			     "\taddress = \"[::1]:7\";  # default\n"
			     "};\n"
			     "\n"
			     "choice = \"green\";  # default\n"
			     "texts = [ \"a\" ];  # t.conf:4\n"
			     "spots = (\n"
			     "\t{\n"
			     "\t\tname = \"n\";  # t.conf:5\n"
			     "\n"
			     "\t\tplace = {\n"
			     "\t\t\tlat = 0.0;  # default\n"
			     "\t\t};\n"
			     "\n"
			     "\t\tid = 1;  # default\n"
			     "\t}\n"
			     ");  # t.conf:5\n";

START_TEST(the_dump_shows_values_and_origins_and_reads_back_the_same)
{
	struct all first;
	struct all again;
	ck_assert_int_eq(
		read_all(
			"text = \"a\\\"\\\\b\";\ng = { ratio = 1; };\nh = { size = \"1536MiB\"; time = \"90s\"; };\n"
			"texts = [ \"a\" ];\nspots = ( { name = \"n\"; } );",
			&first),
		ERR_NONE);
	config_table_dump(&all_table, &first, &text);
	buf_reset(&errors);
	ck_assert_int_eq(buf_append(&errors, text.data, text.len), ERR_NONE);
	ck_assert_str_eq(words(), dumped);
	ck_assert_int_eq(read_all(terminated(&text), &again), ERR_NONE);
	for (size_t i = 0; i < LEN(all_keys); i++)
		ck_assert_msg(config_value_equal(&all_keys[i],
						 (const char *)&first + all_keys[i].offset,
						 (const char *)&again + all_keys[i].offset),
			      "%s", all_keys[i].path);
}
END_TEST

START_TEST(different_values_are_not_equal)
{
	struct all a;
	struct all b;
	ck_assert_int_eq(read_all("", &a), ERR_NONE);
	ck_assert_int_eq(
		read_all(
			"text = \"d\"; g = { path = \"/y\"; number = 4; flag = false; ratio = 0.25; };"
			"h = { size = \"9GiB\"; time = \"251ms\"; address = \"off\"; }; choice = \"red\";"
			"texts = [ \"x\" ]; spots = ( { name = \"x\"; id = 2; } );",
			&b),
		ERR_NONE);
	for (size_t i = 0; i < LEN(all_keys); i++)
		ck_assert_msg(!config_value_equal(&all_keys[i],
						  (const char *)&a + all_keys[i].offset,
						  (const char *)&b + all_keys[i].offset),
			      "%s", all_keys[i].path);
}
END_TEST

START_TEST(the_sample_of_a_list_shows_its_rows)
{
	static const struct config_table only_spots = { &all_keys[10], 1, sizeof(struct all) };
	config_table_sample(&only_spots, &text);
	ck_assert_str_eq(terminated(&text), "# Says spots. (list of groups, 0 to 3 of them)\n"
					    "#spots = ( );\n"
					    "# Each { … } of the list has:\n"
					    "# Its name. (text, 1 to 8 characters; required)\n"
					    "#\tname = ...;\n"
					    "# Latitude. (number, -90 to 90)\n"
					    "#\tlat = 0.0;\n"
					    "# Number. (number, 1 to 255)\n"
					    "#\tid = 1;\n");
}
END_TEST

/* --- the daemon's own --- */

static const struct {
	const char *content, *says;
} refused_together[] = {
	{ "tls = { certificate = \"/a\"; };",
	  "t.conf:1: tls.certificate: is given without tls.key\n" },
	{ "tls = {\n key = \"/a\"; };", "t.conf:2: tls.key: is given without tls.certificate\n" },
	{ "auth = { alt_api_key_file = \"/a\"; };",
	  "t.conf:1: auth.alt_api_key_file: is given without auth.api_key_file\n" },
	{ "region = { name = \"Upper\"; };",
	  "t.conf:1: region.name: 'Upper' has other than small letters, digits and '-', or begins with '-'\n" },
	{ "region = { name = \"-a\"; };",
	  "t.conf:1: region.name: '-a' has other than small letters, digits and '-', or begins with '-'\n" },
	{ "region = { name = \"\"; };",
	  "t.conf:1: region.name: 0 is outside 1 to 32 characters\n" },
	{ "region = { id = 256; };", "t.conf:1: region.id: 256 is outside 0 to 255\n" },
	{ "listen = { http = \"localhost:1\"; };",
	  "t.conf:1: listen.http: 'localhost' is no IPv4 or IPv6 address, which is what the daemon can listen on\n" },
	{ "listen = { grpc = \"127.0.0.1:6333\"; };",
	  "t.conf:1: listen.grpc: is the same as listen.http; \"off\" closes one of them\n" },
	{ "log = { level = \"loud\"; };",
	  "t.conf:1: log.level: 'loud' is not one of error|warn|info|debug\n" },
};

START_TEST(keys_that_do_not_fit_together_are_refused)
{
	struct config *c;
	ck_assert_int_eq(load(refused_together[_i].content, &c), ERR_CONFIG);
	ck_assert_str_eq(words(), refused_together[_i].says);
	ck_assert_ptr_null(c);
}
END_TEST

START_TEST(a_ctl_socket_whose_name_is_too_long_is_refused)
{
	struct config *c;
	char content[256];
	(void)snprintf(content, sizeof(content), "storage = { dir = \"/%0110d\"; };", 0);
	ck_assert_int_eq(load(content, &c), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(words(), "listen.ctl: '/0"));
}
END_TEST

START_TEST(folders_come_from_systemd_unless_the_file_names_them)
{
	struct config *c;

	ck_assert_int_eq(load("", &c), ERR_NONE);
	ck_assert_str_eq(c->storage_dir, "./isthmus-data");
	ck_assert_str_eq(c->listen_ctl, "./isthmus-data/ctl.sock");
	ck_assert_str_eq(c->session_key_file, "./isthmus-data/session.key");
	config_free(c);

	ck_assert_int_eq(setenv("STATE_DIRECTORY", "/var/lib/isthmus:/var/lib/other", 1), 0);
	ck_assert_int_eq(setenv("RUNTIME_DIRECTORY", "/run/isthmus", 1), 0);
	ck_assert_int_eq(load("", &c), ERR_NONE);
	ck_assert_str_eq(c->storage_dir, "/var/lib/isthmus");
	ck_assert_str_eq(c->listen_ctl, "/run/isthmus/ctl.sock");
	ck_assert_str_eq(c->session_key_file, "/var/lib/isthmus/session.key");
	config_table_dump(&config_keys, c, &text);
	ck_assert_ptr_nonnull(
		strstr(terminated(&text), "dir = \"/var/lib/isthmus\";  # $STATE_DIRECTORY\n"));
	config_free(c);

	ck_assert_int_eq(load("storage = { dir = \"/d\"; }; listen = { ctl = \"/c\"; };"
			      "session = { key_file = \"/k\"; };",
			      &c),
			 ERR_NONE);
	ck_assert_str_eq(c->storage_dir, "/d");
	ck_assert_str_eq(c->listen_ctl, "/c");
	ck_assert_str_eq(c->session_key_file, "/k");
	config_free(c);

	ck_assert_int_eq(load("listen = { ctl = \"c.sock\"; };", &c), ERR_NONE);
	ck_assert_str_eq(c->listen_ctl, "./c.sock");
	config_free(c);
	config_free(NULL);
}
END_TEST

START_TEST(the_defaults_of_limits_are_those_of_connections)
{
	struct config *c;
	struct conn_limits limits;

	ck_assert_int_eq(config_load(NULL, &c, &errors), ERR_NONE);
	config_conn_limits(c, &limits);
	ck_assert_mem_eq(&limits, &conn_limits_default, sizeof(limits));
	config_free(c);

	ck_assert_int_eq(
		load("limits = { connections = 7; streams = 8; body = \"1KiB\"; bodies = \"2MiB\"; idle = \"9s\"; "
		     "drain = \"0\"; };",
		     &c),
		ERR_NONE);
	config_conn_limits(c, &limits);
	ck_assert_uint_eq(limits.connections_max, 7);
	ck_assert_uint_eq(limits.streams_max, 8);
	ck_assert_uint_eq(limits.body_bytes_max, 1024);
	ck_assert_uint_eq(limits.total_body_bytes_max, 2u << 20);
	ck_assert_uint_eq(limits.idle_ms, 9000);
	ck_assert_uint_eq(limits.drain_ms, 0);
	config_free(c);
}
END_TEST

START_TEST(rows_are_told_apart_and_groups_stand_together)
{
	for (uint32_t i = 0; i < config_keys.count; i++) {
		const char *path = config_keys.keys[i].path;
		size_t group = strcspn(path, ".");
		bool ended = false;
		for (uint32_t j = i + 1; j < config_keys.count; j++) {
			const char *other = config_keys.keys[j].path;
			ck_assert_str_ne(path, other);
			bool same = strncmp(path, other, group + 1) == 0;
			ck_assert_msg(!(same && ended), "%s stands apart from its group", other);
			ended |= !same;
		}
	}
}
END_TEST

/* A file of the tree, as make and ./dev name its place. */
static void read_tree_file(const char *name, struct buf *out)
{
	const char *root = getenv("srcdir");
	char path[4096];
	(void)snprintf(path, sizeof(path), "%s/%s", root ? root : ".", name);
	FILE *f = fopen(path, "re");
	ck_assert_msg(f != NULL, "%s cannot be read", path);
	for (uint8_t *room = buf_reserve(out, 4096); room; room = buf_reserve(out, 4096)) {
		size_t n = fread(room, 1, 4096, f);
		buf_commit(out, n);
		if (n == 0)
			break;
	}
	(void)fclose(f);
}

START_TEST(the_sample_in_the_tree_is_that_of_the_table)
{
	struct buf tree = BUF_INIT(1u << 20);
	config_sample(&text);
	read_tree_file("etc/isthmus.conf", &tree);
	ck_assert_str_eq(terminated(&tree), terminated(&text));
	buf_release(&tree);
}
END_TEST

START_TEST(the_manual_in_the_tree_is_that_of_the_table)
{
	struct buf tree = BUF_INIT(1u << 20);
	config_manual(&text);
	read_tree_file("doc/isthmus.conf.5", &tree);
	ck_assert_str_eq(terminated(&tree), terminated(&text));
	buf_release(&tree);
}
END_TEST

/* Both as it is and with all its keys in force. */
START_TEST(the_sample_changes_nothing)
{
	struct config *sample;
	struct config *plain;
	bool in_force = _i == 1;

	config_sample(&text);
	for (size_t i = 0; in_force && i + 1 < text.len; i++)
		if (text.data[i] == '#' && text.data[i + 1] >= 'a' && text.data[i + 1] <= 'z')
			text.data[i] = ' ';
	ck_assert_int_eq(load(terminated(&text), &sample), ERR_NONE);
	ck_assert_int_eq(config_load(NULL, &plain, &errors), ERR_NONE);
	for (uint32_t i = 0; i < config_keys.count; i++) {
		const struct config_key *k = &config_keys.keys[i];
		ck_assert_msg(config_value_equal(k, (const char *)sample + k->offset,
						 (const char *)plain + k->offset),
			      "%s", k->path);
		ck_assert_msg((sample->origins[i].line > 0) == in_force, "%s", k->path);
	}
	config_free(sample);
	config_free(plain);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *tests = tcase_create("config");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_loop_test(tests, wrong_files_are_refused_with_file_line_path_and_words, 0,
			    LEN(refused));
	tcase_add_test(tests, all_errors_of_a_file_are_told_at_once);
	tcase_add_test(tests, errors_in_included_files_name_those);
	tcase_add_test(tests, files_that_include_each_other_are_refused);
	tcase_add_test(tests, what_is_no_file_is_refused);
	tcase_add_test(tests, numbers_in_comments_texts_and_names_are_left_alone);
	tcase_add_test(tests, every_kind_is_read_with_its_origin);
	tcase_add_test(tests, what_is_not_in_the_file_has_its_default);
	tcase_add_test(tests, an_address_may_be_off);
	tcase_add_test(tests, the_dump_shows_values_and_origins_and_reads_back_the_same);
	tcase_add_test(tests, different_values_are_not_equal);
	tcase_add_test(tests, the_sample_of_a_list_shows_its_rows);
	tcase_add_loop_test(tests, keys_that_do_not_fit_together_are_refused, 0,
			    LEN(refused_together));
	tcase_add_test(tests, a_ctl_socket_whose_name_is_too_long_is_refused);
	tcase_add_test(tests, folders_come_from_systemd_unless_the_file_names_them);
	tcase_add_test(tests, the_defaults_of_limits_are_those_of_connections);
	tcase_add_test(tests, rows_are_told_apart_and_groups_stand_together);
	tcase_add_test(tests, the_sample_in_the_tree_is_that_of_the_table);
	tcase_add_test(tests, the_manual_in_the_tree_is_that_of_the_table);
	tcase_add_loop_test(tests, the_sample_changes_nothing, 0, 2);
	suite_add_tcase(suite, tests);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
