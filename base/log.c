/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event, one write(2) per line: lines of several threads do not mix. Any thread.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LOG_LINE_MAX 2048 /* bytes, with the end of the line */

struct line {
	char text[LOG_LINE_MAX];
	size_t len;
};

static _Atomic(enum log_level) level_max = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&level_max, level, memory_order_relaxed);
}

enum log_level log_level_now(void)
{
	return atomic_load_explicit(&level_max, memory_order_relaxed);
}

/* Is stderr the stream that systemd named, or was it redirected since? sd-daemon(3), JOURNAL_STREAM. */
static bool to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;
	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;

	char mine[64];
	(void)snprintf(mine, sizeof(mine), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(mine, stream) == 0;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARN:
		return "warn";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "unknown";
}

static void put_prefix(struct line *l, enum log_level level)
{
	int len;

	if (to_journal()) {
		len = snprintf(l->text, sizeof(l->text), "<%d>", (int)level);
	} else {
		uint64_t ms = clock_wall_ms(clock_system());
		time_t s = (time_t)(ms / 1000);
		struct tm tm = { 0 };
		(void)gmtime_r(&s, &tm);
		len = snprintf(l->text, sizeof(l->text), "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ %s ",
			       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			       tm.tm_sec, (unsigned)(ms % 1000), level_name(level));
	}
	l->len = len > 0 ? (size_t)len : 0;
}

/* How one byte is written: a line stays one line, and no terminal is commanded by what a client sent. */
static size_t escape(uint8_t byte, char out[static 5])
{
	switch (byte) {
	case '\n':
		memcpy(out, "\\n", 3);
		return 2;
	case '\r':
		memcpy(out, "\\r", 3);
		return 2;
	case '\t':
		memcpy(out, "\\t", 3);
		return 2;
	default:
		break;
	}
	if (byte >= 0x20 && byte != 0x7F) {
		out[0] = (char)byte;
		return 1;
	}
	(void)snprintf(out, 5, "\\x%02x", byte);
	return 4;
}

static void put_message(struct line *l, const char *message, bool cut)
{
	static const char more[] = "...";
	const size_t room =
		sizeof(l->text) - sizeof(more); /* its zero byte is the end of the line */
	char out[5];

	for (const char *p = message; *p; p++) {
		size_t n = escape((uint8_t)*p, out);
		if (l->len + n > room) {
			cut = true;
			break;
		}
		memcpy(l->text + l->len, out, n);
		l->len += n;
	}
	if (cut) {
		/* Not in the middle of a UTF-8 character. */
		while (l->len > 0 && ((uint8_t)l->text[l->len - 1] & 0xC0) == 0x80)
			l->len--;
		if (l->len > 0 && (uint8_t)l->text[l->len - 1] >= 0xC0)
			l->len--;
		memcpy(l->text + l->len, more, sizeof(more) - 1);
		l->len += sizeof(more) - 1;
	}
	l->text[l->len++] = '\n';
}

/* A log that cannot be written has nobody to tell: the line is dropped. */
static void write_line(const struct line *l)
{
	ssize_t n;
	do
		n = write(STDERR_FILENO, l->text, l->len);
	while (n < 0 && errno == EINTR);
}

void log_event(enum log_level level, const char *fmt, ...)
{
	if (level > log_level_now())
		return;

	int saved_errno = errno;
	char message[LOG_LINE_MAX];
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	if (len < 0)
		message[0] = '\0';

	struct line l;
	put_prefix(&l, level);
	put_message(&l, message, len >= (int)sizeof(message));
	write_line(&l);
	errno = saved_errno;
}
