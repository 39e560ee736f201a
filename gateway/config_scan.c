/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small lexer of libconfig's language: it knows comments, texts, names and numbers, and at the beginning of a
 * line `@include "name"`. Everything else it passes over.
 */
#include "gateway/config_scan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/config_table.h"

#define NAME_BYTES_MAX 4096

struct scan {
	const char *file;
	const char *dir;
	struct buf *errors;
	const char *p, *end;
	unsigned line;
	bool line_begins; /* nothing but blanks since the last end of line */
	unsigned depth;
};

static enum err scan_file(const char *file, const struct config_origin *from, const char *dir,
			  unsigned depth, struct buf *errors);

static char at(const struct scan *s, size_t ahead)
{
	return (size_t)(s->end - s->p) > ahead ? s->p[ahead] : '\0';
}

static void pass(struct scan *s, size_t n)
{
	for (; n > 0 && s->p < s->end; n--, s->p++)
		s->line += *s->p == '\n';
}

static void pass_comment(struct scan *s, const char *close)
{
	const char *found = memmem(s->p, (size_t)(s->end - s->p), close, strlen(close));
	pass(s, found ? (size_t)(found - s->p) + strlen(close) : SIZE_MAX);
}

/* A text in quotes; its inside, escapes unresolved. */
static struct str pass_text(struct scan *s)
{
	pass(s, 1);
	struct str inside = { .data = s->p };
	while (s->p < s->end && *s->p != '"')
		pass(s, *s->p == '\\' ? 2 : 1);
	inside.len = (size_t)(s->p - inside.data);
	pass(s, 1);
	return inside;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' ||
	       c == '-' || c == '*';
}

/* From its first digit, base 0; a 'L' behind it makes libconfig take 64 bits. */
static void pass_number(struct scan *s)
{
	const struct config_origin o = { .file = s->file, .line = s->line };
	const char *begin = s->p;
	bool hex = at(s, 0) == '0' && (at(s, 1) == 'x' || at(s, 1) == 'X');
	bool whole = true;

	for (; is_name(at(s, 0)) || at(s, 0) == '.'; pass(s, 1)) {
		char c = at(s, 0);
		if (c == '.' || (!hex && (c == 'e' || c == 'E')))
			whole = false;
	}
	char text[32];
	size_t len = (size_t)(s->p - begin);
	(void)snprintf(text, sizeof(text), "%.*s", (int)len, begin);
	if (!whole || len == 0 || begin[len - 1] == 'L')
		return;
	/* The base by hand: a leading 0 means nothing to libconfig. */
	if (len >= sizeof(text) || strtoull(text, NULL, hex ? 16 : 10) > INT32_MAX)
		config_add_error(s->errors, &o, NULL,
				 "the number %s does not fit 32 bits; write it with an L behind it",
				 text);
}

static enum err pass_include(struct scan *s)
{
	const struct config_origin o = { .file = s->file, .line = s->line };
	char name[NAME_BYTES_MAX];

	pass(s, strlen("@include"));
	while (at(s, 0) == ' ' || at(s, 0) == '\t')
		pass(s, 1);
	if (at(s, 0) != '"')
		return ERR_NONE; /* libconfig will say what it makes of that */
	struct str included = pass_text(s);
	if (included.len == 0 || included.data[0] == '/') {
		config_add_error(s->errors, &o, NULL,
				 "@include wants the name of a file, relative to %s", s->dir);
		return ERR_NONE;
	}
	int len = snprintf(name, sizeof(name), "%s/%.*s", s->dir, STR_FMT(included));
	if (len < 0 || (size_t)len >= sizeof(name)) {
		config_add_error(s->errors, &o, NULL, "@include: the name is too long");
		return ERR_NONE;
	}
	return scan_file(name, &o, s->dir, s->depth + 1, s->errors);
}

static enum err scan_text(struct scan *s)
{
	while (s->p < s->end) {
		char c = *s->p;
		bool begins = s->line_begins;
		s->line_begins = c == '\n' || (begins && (c == ' ' || c == '\t'));
		if (c == '#' || (c == '/' && at(s, 1) == '/')) {
			pass_comment(s, "\n");
			s->line_begins = true;
		} else if (c == '/' && at(s, 1) == '*') {
			pass_comment(s, "*/");
		} else if (c == '"') {
			(void)pass_text(s);
		} else if (is_digit(c)) {
			pass_number(s);
		} else if (is_name(c) && c != '-') {
			while (is_name(at(s, 0)))
				pass(s, 1);
		} else if (c == '@' && begins &&
			   strncmp(s->p, "@include", MIN((size_t)(s->end - s->p), (size_t)8)) ==
				   0) {
			enum err err = pass_include(s);
			if (err)
				return err;
		} else {
			pass(s, 1);
		}
	}
	return ERR_NONE;
}

/* The whole file; ERR_CONFIG with words. */
static enum err read_file(const char *file, struct buf *text, struct fault *reterr_fault)
{
	FILE *f = fopen(file, "re");
	struct stat st;

	if (!f)
		return fault_set(reterr_fault, ERR_CONFIG, "cannot be read: %s", strerror(errno));
	bool regular = fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode);
	uint8_t *room = regular ? buf_reserve(text, CONFIG_FILE_BYTES_MAX + 1) : NULL;
	size_t len = room ? fread(room, 1, CONFIG_FILE_BYTES_MAX + 1, f) : 0;
	bool failed = ferror(f) != 0;
	(void)fclose(f);
	if (!regular)
		return fault_set(reterr_fault, ERR_CONFIG,
				 "cannot be read: it is no ordinary file");
	if (!room)
		return ERR_NO_MEMORY;
	if (failed)
		return fault_set(reterr_fault, ERR_CONFIG, "cannot be read: %s", strerror(errno));
	if (len > CONFIG_FILE_BYTES_MAX)
		return fault_set(reterr_fault, ERR_CONFIG, "has more than %u bytes",
				 CONFIG_FILE_BYTES_MAX);
	buf_commit(text, len);
	return ERR_NONE;
}

/* Recursion ends with CONFIG_INCLUDE_DEPTH_MAX. from: who includes it, or NULL. */
static enum err scan_file(const char *file, const struct config_origin *from, const char *dir,
			  unsigned depth, struct buf *errors)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(CONFIG_FILE_BYTES_MAX + 1);
	const struct config_origin self = { .file = file };
	struct fault fault;

	if (depth > CONFIG_INCLUDE_DEPTH_MAX) {
		config_add_error(errors, from, NULL, "files include each other more than %d deep",
				 CONFIG_INCLUDE_DEPTH_MAX);
		return ERR_NONE;
	}
	enum err err = read_file(file, &text, &fault);
	if (err == ERR_CONFIG && from)
		config_add_error(errors, from, NULL, "@include: %s %s", file, fault.text);
	else if (err == ERR_CONFIG)
		config_add_error(errors, &self, NULL, "%s", fault.text);
	if (err)
		return err == ERR_CONFIG ? ERR_NONE : err;
	struct scan s = { .file = file,
			  .dir = dir,
			  .errors = errors,
			  .p = (const char *)text.data,
			  .end = (const char *)text.data + text.len,
			  .line = 1,
			  .line_begins = true,
			  .depth = depth };
	return scan_text(&s);
}

enum err config_scan(const char *file, const char *dir, struct buf *errors)
{
	enum err err = scan_file(file, NULL, dir, 0, errors);
	if (err)
		return err;
	return errors->len > 0 ? ERR_CONFIG : ERR_NONE;
}
