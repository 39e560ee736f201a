/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From ranges in text to a database: lines, countries as values, and the file put in its place at once, so that
 * a daemon that is told to reload reads the old one or the new one.
 */
#include "gateway/ctl_geo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/geo.h"
#include "gateway/mmdb_write.h"

#define OUTPUT_BYTES_MAX ((size_t)1 << 30)
#define PATH_BYTES_MAX 4096
#define CODES (26 * 26)
#define DATABASE_TYPE "Isthmus-GeoIP-Country"
#define DESCRIPTION "Countries and their middles, from ranges in text"

struct build {
	struct mmdb_writer *writer;
	struct geo_build_result result;
	bool known[CODES];            /* has a value */
	uint32_t values[CODES];
	/* Where it is, for words. */
	const char *file;
	uint64_t line;
};

static enum err refuse(const struct build *b, struct fault *reterr_fault, const char *what)
{
	return fault_set(reterr_fault, ERR_BAD_INPUT, "%s:%llu: %s", b->file, (unsigned long long)b->line, what);
}

/* --- countries --- */

static struct mmdb_value text_value(const char *text)
{
	return (struct mmdb_value){ .kind = MMDB_WRITE_TEXT, .text = { text, strlen(text) } };
}

static struct mmdb_value map_value(const struct mmdb_item *items, uint32_t count)
{
	return (struct mmdb_value){ .kind = MMDB_WRITE_MAP, .items = items, .count = count };
}

static enum err add_country(struct build *b, const char code[3], uint32_t *ret_value)
{
	const struct geo_country *c = geo_country((struct str){ code, 2 });
	const struct mmdb_item iso_code = { STR("iso_code"), text_value(code) };
	const struct mmdb_item continent = { STR("code"), text_value(c ? c->continent : "") };
	const struct mmdb_item location[] = {
		{ STR("latitude"), { .kind = MMDB_WRITE_DOUBLE, .number = c ? c->lat : 0 } },
		{ STR("longitude"), { .kind = MMDB_WRITE_DOUBLE, .number = c ? c->lon : 0 } },
	};
	const struct mmdb_item items[] = {
		{ STR("country"), map_value(&iso_code, 1) },
		{ STR("continent"), map_value(&continent, 1) },
		{ STR("location"), map_value(location, LEN(location)) },
	};
	const struct mmdb_value all = map_value(items, c ? LEN(items) : 1);

	b->result.countries += c != NULL;
	return mmdb_writer_value(b->writer, &all, ret_value);
}

static enum err value_of(struct build *b, const char code[3], uint32_t *ret_value)
{
	unsigned at = (unsigned)(code[0] - 'A') * 26 + (unsigned)(code[1] - 'A');

	if (!b->known[at]) {
		enum err err = add_country(b, code, &b->values[at]);
		if (err)
			return err;
		b->known[at] = true;
	}
	*ret_value = b->values[at];
	return ERR_NONE;
}

/* --- lines --- */

static bool parse_number(const char *text, uint32_t *ret_number)
{
	uint64_t v = 0;

	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		v = v * 10 + (uint64_t)(*p - '0');
		if (v > UINT32_MAX)
			return false;
	}
	*ret_number = (uint32_t)v;
	return *text != '\0';
}

static bool parse_address(const char *text, struct mmdb_address *ret_address)
{
	struct in_addr v4;
	uint32_t number;

	if (parse_number(text, &number)) {
		*ret_address = mmdb_address_v4(number);
		return true;
	}
	if (inet_pton(AF_INET, text, &v4) == 1) {
		*ret_address = mmdb_address_v4(ntohl(v4.s_addr));
		return true;
	}
	return inet_pton(AF_INET6, text, ret_address->bytes) == 1;
}

static bool is_code(const char *text)
{
	return strlen(text) == 2 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z';
}

/* Cuts at the next comma; NULL: there is none. */
static char *cut(char *text)
{
	char *comma = strchr(text, ',');

	if (!comma)
		return NULL;
	*comma = '\0';
	return comma + 1;
}

static enum err take_line(struct build *b, char *line, struct fault *reterr_fault)
{
	struct mmdb_address first, last;
	uint32_t value, networks;
	char *second = cut(line);
	char *code = second ? cut(second) : NULL;

	if (!code || strchr(code, ','))
		return refuse(b, reterr_fault, "three fields are expected: first address, last address, country");
	if (!parse_address(line, &first) || !parse_address(second, &last))
		return refuse(b, reterr_fault, "no address");
	if (!*code || strcmp(code, "??") == 0) {
		b->result.skipped++;
		return ERR_NONE;
	}
	if (!is_code(code))
		return refuse(b, reterr_fault, "a country has two capital letters");
	b->result.unknown += !geo_country((struct str){ code, 2 });
	enum err err = value_of(b, code, &value);
	if (!err)
		err = mmdb_writer_add_range(b->writer, first, last, value, &networks);
	if (err == ERR_BAD_INPUT)
		return refuse(b, reterr_fault, "the first address is greater than the last");
	if (err)
		return fault_set(reterr_fault, err, "%s: %s", b->file, err_sentence(err));
	b->result.ranges++;
	b->result.networks += networks;
	return ERR_NONE;
}

static enum err read_lines(struct build *b, FILE *f, struct fault *reterr_fault)
{
	char line[GEO_BUILD_LINE_MAX];

	while (fgets(line, sizeof(line), f)) {
		size_t len = strlen(line);
		b->line++;
		if (len + 1 == sizeof(line) && line[len - 1] != '\n')
			return refuse(b, reterr_fault, "the line is too long");
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] == '#' || line[0] == '\0')
			continue;
		enum err err = take_line(b, line, reterr_fault);
		if (err)
			return err;
	}
	if (ferror(f))
		return fault_set(reterr_fault, ERR_IO, "%s: cannot be read", b->file);
	return ERR_NONE;
}

static enum err read_file(struct build *b, const char *path, struct fault *reterr_fault)
{
	struct stat st;
	FILE *f = fopen(path, "re");

	if (!f || fstat(fileno(f), &st) != 0) {
		int errnum = errno;
		if (f)
			(void)fclose(f);
		return fault_set(reterr_fault, err_from_errno(errnum), "%s: cannot be read: %s", path, strerror(errnum));
	}
	b->file = path;
	b->line = 0;
	enum err err = read_lines(b, f, reterr_fault);
	(void)fclose(f);
	b->result.build_epoch = MAX(b->result.build_epoch, (uint64_t)st.st_mtime);
	return err;
}

/* geoip and geoip6 in it, or in the usr/share/tor of an unpacked package. */
static enum err read_folder(struct build *b, const char *folder, struct fault *reterr_fault)
{
	static const char *const names[] = { "geoip", "geoip6", "usr/share/tor/geoip", "usr/share/tor/geoip6" };
	char path[PATH_BYTES_MAX];
	unsigned found = 0;
	enum err err = ERR_NONE;

	for (size_t i = 0; i < LEN(names) && !err; i++) {
		int len = snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		if (len < 0 || (size_t)len >= sizeof(path))
			return fault_set(reterr_fault, ERR_BAD_INPUT, "%s: the path is too long", folder);
		if (access(path, F_OK) != 0)
			continue;
		found++;
		err = read_file(b, path, reterr_fault);
	}
	if (!err && found == 0)
		return fault_set(reterr_fault, ERR_NOT_FOUND, "%s: there is no geoip and no geoip6", folder);
	return err;
}

static enum err read_input(struct build *b, const char *path, struct fault *reterr_fault)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return fault_set(reterr_fault, err_from_errno(errno), "%s: cannot be read: %s", path, strerror(errno));
	return S_ISDIR(st.st_mode) ? read_folder(b, path, reterr_fault) : read_file(b, path, reterr_fault);
}

/* --- the output --- */

static enum err write_bytes(int fd, const struct buf *b)
{
	for (size_t at = 0; at < b->len;) {
		ssize_t n = write(fd, b->data + at, b->len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_from_errno(errno);
		at += (size_t)n;
	}
	if (fsync(fd) != 0)
		return err_from_errno(errno);
	return ERR_NONE;
}

static enum err put_in_place(const char *path, const struct buf *b, struct fault *reterr_fault)
{
	char part[PATH_BYTES_MAX];
	int len = snprintf(part, sizeof(part), "%s.part", path);

	if (len < 0 || (size_t)len >= sizeof(part))
		return fault_set(reterr_fault, ERR_BAD_INPUT, "%s: the path is too long", path);
	int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return fault_set(reterr_fault, err_from_errno(errno), "%s: cannot be written: %s", part, strerror(errno));
	enum err err = write_bytes(fd, b);
	if (close(fd) != 0 && !err)
		err = err_from_errno(errno);
	if (!err && rename(part, path) != 0)
		err = err_from_errno(errno);
	if (!err)
		return ERR_NONE;
	(void)unlink(part);
	return fault_set(reterr_fault, err, "%s: cannot be written: %s", path, err_sentence(err));
}

static uint64_t chosen_epoch(const struct geo_build_options *o, uint64_t newest)
{
	const char *text = getenv("SOURCE_DATE_EPOCH");
	char *end;

	if (o->build_epoch)
		return o->build_epoch;
	if (!text || *text < '0' || *text > '9')
		return newest;
	uint64_t epoch = strtoull(text, &end, 10);
	return *end ? newest : epoch;
}

static enum err finish(struct build *b, const struct geo_build_options *o, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(OUTPUT_BYTES_MAX);

	if (b->result.ranges == 0)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "there is no range with a country in what was read");
	b->result.build_epoch = chosen_epoch(o, b->result.build_epoch);
	mmdb_writer_set_epoch(b->writer, b->result.build_epoch);
	enum err err = mmdb_writer_finish(b->writer, &out, &b->result.nodes);
	if (err)
		return fault_set(reterr_fault, err, "%s: %s", o->output, err_sentence(err));
	b->result.bytes = out.len;
	return put_in_place(o->output, &out, reterr_fault);
}

enum err geo_build(const struct geo_build_options *o, struct geo_build_result *ret_result, struct fault *reterr_fault)
{
	const struct mmdb_writer_options w = { .ip_version = 6, .type = DATABASE_TYPE, .description = DESCRIPTION };
	struct build *b = calloc(1, sizeof(*b));
	enum err err = b ? mmdb_writer_new(&w, &b->writer) : ERR_NO_MEMORY;

	if (err) {
		free(b);
		return fault_set(reterr_fault, err, "%s", err_sentence(err));
	}
	for (uint32_t i = 0; i < o->input_count && !err; i++)
		err = read_input(b, o->inputs[i], reterr_fault);
	if (!err)
		err = finish(b, o, reterr_fault);
	if (!err)
		*ret_result = b->result;
	mmdb_writer_free(b->writer);
	free(b);
	return err;
}
