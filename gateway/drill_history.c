/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/drill_history.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"

#define PATH_BYTES_MAX 4096
#define NAME "drills.jsonl"

struct drill_history {
	char *dir;
	pthread_mutex_t lock;                   /* guards the rest, and the file */
	char *reports[DRILL_HISTORY_MAX];       /* the oldest first; without ends of lines */
	uint32_t count;
};

static bool path_of(const struct drill_history *h, const char *suffix, char out[PATH_BYTES_MAX])
{
	int len = snprintf(out, PATH_BYTES_MAX, "%s/" NAME "%s", h->dir, suffix);

	return len > 0 && len < PATH_BYTES_MAX;
}

static void measure(const struct drill_summary *s)
{
	const char *kind = drill_kind_word(s->kind);

	metric_series_set(metric_series(METRIC_isthmus_drill_last_timestamp_seconds, kind), (double)s->wall_ms / 1000);
	metric_series_set(metric_series(METRIC_isthmus_drill_last_passed, kind), s->passed);
	if (s->interrupted)
		metric_series_set(metric_series(METRIC_isthmus_drill_last_interruption_seconds, kind), s->interruption_seconds);
}

static enum err read_summary(struct str report, struct drill_summary *ret_summary, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;

	arena_init(&a, DRILL_REPORT_BYTES_MAX);
	return drill_summary_read(report, &a, ret_summary, f);
}

/* Takes the text. */
static void keep(struct drill_history *h, char *report)
{
	if (h->count == DRILL_HISTORY_MAX) {
		free(h->reports[0]);
		memmove(h->reports, h->reports + 1, sizeof(h->reports) - sizeof(h->reports[0]));
		h->count--;
	}
	h->reports[h->count++] = report;
}

static enum err load_line(struct drill_history *h, struct str line)
{
	struct drill_summary s;
	struct fault f = { 0 };

	if (line.len > DRILL_REPORT_BYTES_MAX || read_summary(line, &s, &f)) {
		log_warn("a line of " NAME " is no report, passed over reason=\"%s\"", fault_text(&f));
		return ERR_NONE;
	}
	char *text = str_dup(line);
	if (!text)
		return ERR_NO_MEMORY;
	measure(&s);
	keep(h, text);
	return ERR_NONE;
}

static enum err load(struct drill_history *h, FILE *f)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	enum err err = ERR_NONE;

	while (!err && (len = getline(&line, &room, f)) > 0)
		err = load_line(h, (struct str){ line, (size_t)len - (line[len - 1] == '\n') });
	if (!err && ferror(f))
		err = ERR_IO;
	free(line);
	return err;
}

static enum err open_file(struct drill_history *h, const char *dir)
{
	char path[PATH_BYTES_MAX];

	h->dir = strdup(dir);
	if (!h->dir)
		return ERR_NO_MEMORY;
	if (!path_of(h, "", path))
		return ERR_CONFIG;
	FILE *f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? ERR_NONE : err_from_errno(errno);
	enum err err = load(h, f);
	(void)fclose(f);
	return err;
}

enum err drill_history_open(const char *dir, struct drill_history **ret_history, struct fault *reterr_fault)
{
	struct drill_history *h = calloc(1, sizeof(*h));

	if (!h)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for reports of drills");
	(void)pthread_mutex_init(&h->lock, NULL);
	enum err err = dir ? open_file(h, dir) : ERR_NONE;
	if (err) {
		(void)fault_set(reterr_fault, err, "%s/" NAME ": %s", dir, err_sentence(err));
		drill_history_close(h);
		return err;
	}
	*ret_history = h;
	return ERR_NONE;
}

void drill_history_close(struct drill_history *h)
{
	if (!h)
		return;
	for (uint32_t i = 0; i < h->count; i++)
		free(h->reports[i]);
	(void)pthread_mutex_destroy(&h->lock);
	free(h->dir);
	free(h);
}

static bool sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		(void)close(fd);
	return synced;
}

static bool write_reports(const struct drill_history *h, const char *newest, FILE *f)
{
	for (uint32_t i = h->count == DRILL_HISTORY_MAX ? 1 : 0; i < h->count; i++)
		(void)fprintf(f, "%s\n", h->reports[i]);
	(void)fprintf(f, "%s\n", newest);
	return fflush(f) == 0 && fsync(fileno(f)) == 0;
}

/* Under the lock: the file as it is to be, in place of the old one. */
static enum err replace_file(const struct drill_history *h, const char *newest, struct fault *f)
{
	char path[PATH_BYTES_MAX], part[PATH_BYTES_MAX];

	if (!path_of(h, "", path) || !path_of(h, ".part", part))
		return ERR_CONFIG;
	FILE *file = fopen(part, "we");
	bool written = file && write_reports(h, newest, file);
	if (file)
		written &= fclose(file) == 0;
	if (written && rename(part, path) == 0 && sync_dir(h->dir))
		return ERR_NONE;
	return fault_set(f, ERR_IO, "%s cannot be written: %s", path, strerror(errno));
}

enum err drill_history_add(struct drill_history *h, struct str report, struct fault *reterr_fault)
{
	struct drill_summary s;

	if (report.len > DRILL_REPORT_BYTES_MAX)
		return fault_set(reterr_fault, ERR_TOO_LARGE, "a report has %u bytes at most", DRILL_REPORT_BYTES_MAX);
	enum err err = read_summary(report, &s, reterr_fault);
	if (err)
		return err;
	char *text = str_dup(report);
	if (!text)
		return ERR_NO_MEMORY;
	/* Ends of lines are between values only: in strings of JSON they are escaped. */
	for (char *p = text; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	(void)pthread_mutex_lock(&h->lock);
	err = h->dir ? replace_file(h, text, reterr_fault) : ERR_NONE;
	if (!err) {
		keep(h, text);
		measure(&s);
	}
	(void)pthread_mutex_unlock(&h->lock);
	if (err)
		free(text);
	return err;
}

enum err drill_history_list(struct drill_history *h, uint32_t limit, struct buf *out)
{
	struct json_writer w = json_writer_to(out);

	json_put_array(&w);
	(void)pthread_mutex_lock(&h->lock);
	for (uint32_t i = h->count; i > 0 && h->count - i < limit; i--)
		json_put_raw(&w, (struct str){ h->reports[i - 1], strlen(h->reports[i - 1]) });
	(void)pthread_mutex_unlock(&h->lock);
	json_put_array_end(&w);
	return buf_err(out);
}
