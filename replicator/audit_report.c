/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/audit_report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"

#define PATH_BYTES_MAX 4096
#define HEX_BYTES (2 * AUDIT_DIGEST_BYTES + 1)
#define TIME_TEXT 40
#define ARENA_BYTES_MAX (4u << 20)

/* --- one report --- */

bool audit_report_clean(const struct audit_report *r)
{
	if (r->failed || r->unsure > 0)
		return false;
	for (uint32_t i = 0; i < r->region_count; i++)
		if (r->regions[i].standing != AUDIT_EQUAL)
			return false;
	for (unsigned i = 0; i < AUDIT_CLASS_COUNT; i++)
		if (r->differences[i] > 0)
			return false;
	return true;
}

const char *audit_report_verdict(const struct audit_report *r)
{
	if (r->failed)
		return "failed";
	if (audit_report_clean(r))
		return "equal";
	/* What could not be compared is not different: the regions that are say so. */
	bool different = false;
	for (unsigned i = 0; i < AUDIT_CLASS_COUNT; i++)
		different |= r->differences[i] > 0;
	for (uint32_t i = 0; i < r->region_count; i++)
		different |= r->regions[i].standing == AUDIT_DIFFERENT;
	return different ? "different" : "late";
}

static void put_u64(struct json_writer *w, const char *key, uint64_t v)
{
	json_put_key(w, (struct str){ key, strlen(key) });
	json_put_u64(w, v);
}

static void put_text(struct json_writer *w, const char *key, const char *v)
{
	json_put_key(w, (struct str){ key, strlen(key) });
	json_put_cstr(w, v);
}

static void put_bool(struct json_writer *w, const char *key, bool v)
{
	json_put_key(w, (struct str){ key, strlen(key) });
	json_put_bool(w, v);
}

static void put_position(struct json_writer *w, struct position p)
{
	json_put_key(w, STR("position"));
	json_put_array(w);
	json_put_u64(w, p.epoch);
	json_put_u64(w, p.seq);
	json_put_array_end(w);
}

static void put_time(struct json_writer *w, uint64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	char text[TIME_TEXT];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		text[0] = '\0';
	put_text(w, "time", text);
}

static void put_regions(struct json_writer *w, const struct audit_report *r)
{
	static const char *const words[] = { "equal", "different", "late" };

	json_put_key(w, STR("regions"));
	json_put_array(w);
	for (uint32_t i = 0; i < r->region_count; i++) {
		const struct audit_region *region = &r->regions[i];
		json_put_object(w);
		put_text(w, "name", region->name);
		put_u64(w, "id", region->id);
		put_text(w, "standing", words[region->standing]);
		put_position(w, region->position);
		put_u64(w, "rows", region->rows);
		json_put_object_end(w);
	}
	json_put_array_end(w);
}

static void put_points(struct json_writer *w, const struct audit_report *r)
{
	char id[POINT_ID_TEXT_MAX];

	json_put_key(w, STR("points"));
	json_put_array(w);
	for (uint32_t i = 0; i < r->point_count; i++) {
		const struct audit_point *p = &r->points[i];
		json_put_object(w);
		put_text(w, "collection", p->collection);
		json_put_key(w, STR("id"));
		json_put_string(w, (struct str){ id, point_id_format(p->id, id) });
		put_text(w, "region", r->regions[p->region].name);
		put_text(w, "class", audit_class_word(p->class));
		put_bool(w, "repaired", p->repaired);
		json_put_object_end(w);
	}
	json_put_array_end(w);
}

static void put_findings(struct json_writer *w, const struct audit_report *r)
{
	json_put_key(w, STR("differences"));
	json_put_object(w);
	for (unsigned i = 0; i < AUDIT_CLASS_COUNT; i++)
		put_u64(w, audit_class_word((enum audit_class)i), r->differences[i]);
	json_put_object_end(w);
	put_u64(w, "unsure", r->unsure);
	put_u64(w, "repaired", r->repaired);
	put_u64(w, "unrepaired", r->unrepaired);
	put_bool(w, "stopped", r->breaker);
	put_points(w, r);
}

enum err audit_report_write(const struct audit_report *r, const char *previous, struct buf *out)
{
	struct json_writer w = json_writer_to(out);

	json_put_object(&w);
	put_u64(&w, "number", r->number);
	put_time(&w, r->wall_ms);
	put_u64(&w, "duration_ms", r->duration_ms);
	put_bool(&w, "deep", r->deep);
	put_text(&w, "verdict", audit_report_verdict(r));
	if (r->trouble[0])
		put_text(&w, "trouble", r->trouble);
	put_u64(&w, "mark", r->mark);
	put_position(&w, r->position);
	put_u64(&w, "shards", r->shards);
	put_regions(&w, r);
	put_findings(&w, r);
	put_u64(&w, "asked_bytes", r->asked_bytes);
	if (r->deep) {
		put_u64(&w, "read_rows", r->read_rows);
		put_u64(&w, "read_bytes", r->read_bytes);
	}
	put_text(&w, "previous", previous);
	json_put_object_end(&w);
	return buf_err(out);
}

/* --- the folder --- */

struct audit_reports {
	char *dir;
	audit_hash_fn hash;
	pthread_mutex_t lock;   /* guards the rest, and the folder */
	uint64_t oldest;        /* numbers there are; 0: none */
	uint64_t newest;
	char previous[HEX_BYTES];
	struct buf last;        /* the newest report */
};

static void hash_hex(const struct audit_reports *a, struct bytes b, char out[HEX_BYTES])
{
	uint8_t digest[AUDIT_DIGEST_BYTES];

	a->hash(b, digest);
	for (unsigned i = 0; i < AUDIT_DIGEST_BYTES; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static bool path_of(const struct audit_reports *a, uint64_t number, const char *suffix, char out[PATH_BYTES_MAX])
{
	int len = snprintf(out, PATH_BYTES_MAX, "%s/%010" PRIu64 ".json%s", a->dir, number, suffix);

	return len > 0 && len < PATH_BYTES_MAX;
}

static enum err read_report(const struct audit_reports *a, uint64_t number, struct buf *out)
{
	char path[PATH_BYTES_MAX];
	FILE *f = path_of(a, number, "", path) ? fopen(path, "re") : NULL;

	if (!f)
		return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
	buf_reset(out);
	uint8_t *room = buf_reserve(out, AUDIT_REPORT_BYTES_MAX);
	size_t len = room ? fread(room, 1, AUDIT_REPORT_BYTES_MAX, f) : 0;
	bool failed = ferror(f) != 0;
	(void)fclose(f);
	if (!room)
		return ERR_NO_MEMORY;
	buf_commit(out, len);
	return failed ? ERR_IO : ERR_NONE;
}

/* The number of a report's file name; 0: it is none. */
static uint64_t number_of(const char *name)
{
	char *end;

	if (name[0] < '0' || name[0] > '9')
		return 0;
	uint64_t number = strtoull(name, &end, 10);
	return strcmp(end, ".json") == 0 ? number : 0;
}

static enum err find_numbers(struct audit_reports *a)
{
	DIR *d = opendir(a->dir);
	const struct dirent *entry;

	if (!d)
		return err_from_errno(errno);
	while ((entry = readdir(d)) != NULL) {
		uint64_t number = number_of(entry->d_name);
		if (number == 0)
			continue;
		a->newest = MAX(a->newest, number);
		a->oldest = a->oldest == 0 ? number : MIN(a->oldest, number);
	}
	(void)closedir(d);
	return ERR_NONE;
}

static enum err open_dir(struct audit_reports *a, const char *dir)
{
	a->dir = strdup(dir);
	if (!a->dir)
		return ERR_NO_MEMORY;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_from_errno(errno);
	enum err err = find_numbers(a);
	if (err || a->newest == 0)
		return err;
	err = read_report(a, a->newest, &a->last);
	if (!err)
		hash_hex(a, buf_bytes(&a->last), a->previous);
	return err;
}

enum err audit_reports_open(const char *dir, audit_hash_fn hash, struct audit_reports **ret_reports,
			    struct fault *reterr_fault)
{
	struct audit_reports *a = calloc(1, sizeof(*a));

	if (!a)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for reports of audits");
	if (pthread_mutex_init(&a->lock, NULL) != 0) {
		free(a);
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for reports of audits");
	}
	a->hash = hash;
	buf_init(&a->last, AUDIT_REPORT_BYTES_MAX);
	enum err err = dir ? open_dir(a, dir) : ERR_NONE;
	if (err) {
		(void)fault_set(reterr_fault, err, "reports of audits in %s: %s", dir, err_sentence(err));
		audit_reports_close(a);
		return err;
	}
	*ret_reports = a;
	return ERR_NONE;
}

void audit_reports_close(struct audit_reports *a)
{
	if (!a)
		return;
	(void)pthread_mutex_destroy(&a->lock);
	buf_release(&a->last);
	free(a->dir);
	free(a);
}

static bool sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		(void)close(fd);
	return synced;
}

/* As a whole or not at all. */
static enum err write_file(const struct audit_reports *a, uint64_t number, const struct buf *text,
			   struct fault *reterr_fault)
{
	char part[PATH_BYTES_MAX];
	char path[PATH_BYTES_MAX];

	if (!path_of(a, number, ".part", part) || !path_of(a, number, "", path))
		return fault_set(reterr_fault, ERR_IO, "the name of a report is too long");
	int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool written = fd >= 0 && write(fd, text->data, text->len) == (ssize_t)text->len && fsync(fd) == 0;
	int errnum = errno;
	if (fd >= 0)
		(void)close(fd);
	if (written && rename(part, path) == 0 && sync_dir(a->dir))
		return ERR_NONE;
	errnum = written ? errno : errnum;
	(void)unlink(part);
	return fault_set(reterr_fault, err_from_errno(errnum), "%s cannot be written: %s", path, strerror(errnum));
}

static void remove_old(struct audit_reports *a)
{
	char path[PATH_BYTES_MAX];

	for (; a->newest - a->oldest >= AUDIT_REPORTS_MAX; a->oldest++)
		if (path_of(a, a->oldest, "", path))
			(void)unlink(path);
}

static enum err add(struct audit_reports *a, struct audit_report *r, struct fault *f)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(AUDIT_REPORT_BYTES_MAX);

	r->number = a->newest + 1;
	enum err err = audit_report_write(r, a->previous, &text);
	if (!err)
		err = buf_append_byte(&text, '\n');
	if (err)
		return fault_set(f, err, "the report of an audit: %s", err_sentence(err));
	err = a->dir ? write_file(a, r->number, &text, f) : ERR_NONE;
	if (err)
		return err;
	hash_hex(a, buf_bytes(&text), a->previous);
	struct buf old = a->last;
	a->last = text;
	text = old;
	a->newest = r->number;
	if (a->oldest == 0)
		a->oldest = r->number;
	if (a->dir)
		remove_old(a);
	return ERR_NONE;
}

enum err audit_reports_add(struct audit_reports *a, struct audit_report *r, struct fault *reterr_fault)
{
	(void)pthread_mutex_lock(&a->lock);
	enum err err = add(a, r, reterr_fault);
	(void)pthread_mutex_unlock(&a->lock);
	return err;
}

/* --- listing --- */

static struct str previous_of(struct str json, struct arena *arena)
{
	struct json_reader r = json_reader_of(json, arena);
	struct str previous = { 0 };
	struct str key;

	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (key.len == 8 && memcmp(key.data, "previous", 8) == 0)
				previous = json_string(&r);
			else
				json_skip(&r);
		}
	return json_end(&r, NULL) ? (struct str){ 0 } : previous;
}

/* One report: into the array unless limit is reached; what it says of the one before it into *expected. */
static enum err list_one(struct audit_reports *a, uint64_t number, struct buf *text, struct json_writer *w,
			 char expected[HEX_BYTES])
{
	CLEANUP(arena_release) struct arena arena;

	arena_init(&arena, ARENA_BYTES_MAX);
	enum err err = a->dir ? read_report(a, number, text) : ERR_NONE;
	if (err)
		return err;
	struct str json = a->dir ? buf_str(text) : buf_str(&a->last);
	while (json.len > 0 && json.data[json.len - 1] == '\n')
		json.len--;
	struct str previous = previous_of(json, &arena);
	if (!previous.data)
		return ERR_CORRUPT;
	(void)snprintf(expected, HEX_BYTES, "%.*s", STR_FMT(previous));
	json_put_raw(w, json);
	return ERR_NONE;
}

/* The chain is followed one report beyond the last listed, which must be what that says. */
static enum err list(struct audit_reports *a, uint32_t limit, struct json_writer *w, uint64_t *ret_broken)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(AUDIT_REPORT_BYTES_MAX);
	uint64_t last = a->newest > limit ? a->newest - limit + 1 : 1;
	char expected[HEX_BYTES] = "";
	char found[HEX_BYTES];

	*ret_broken = 0;
	if (a->newest == 0)
		return ERR_NONE;
	last = a->dir ? MAX(last, a->oldest) : a->newest;
	/* No other report speaks for the newest, but this process wrote or read it. */
	if (a->dir && !read_report(a, a->newest, &text)) {
		hash_hex(a, buf_bytes(&text), found);
		*ret_broken = strcmp(found, a->previous) != 0 ? a->newest : 0;
	}
	for (uint64_t number = a->newest; number >= last && number > 0; number--) {
		enum err err = list_one(a, number, &text, w, expected);
		if (err == ERR_NO_MEMORY)
			return err;
		if (err) {
			*ret_broken = *ret_broken == 0 ? number : *ret_broken;
			expected[0] = '\0';
			continue;
		}
		if (!a->dir || number == a->oldest)
			break;
		err = read_report(a, number - 1, &text);
		if (!err)
			hash_hex(a, buf_bytes(&text), found);
		if ((err || strcmp(found, expected) != 0) && *ret_broken == 0)
			*ret_broken = number;
	}
	return ERR_NONE;
}

enum err audit_reports_list(struct audit_reports *a, uint32_t limit, struct buf *out, uint64_t *ret_broken)
{
	struct json_writer w = json_writer_to(out);

	(void)pthread_mutex_lock(&a->lock);
	json_put_array(&w);
	enum err err = list(a, limit, &w, ret_broken);
	json_put_array_end(&w);
	(void)pthread_mutex_unlock(&a->lock);
	return err ? err : buf_err(out);
}
