/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/apt_records.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

void apt_reader_of(struct apt_reader *r, FILE *in)
{
	*r = (struct apt_reader){ .in = in };
}

/* Starts apt-cache with its output in the pipe; returns errno. */
static int spawn_apt_cache(int write_end, pid_t *ret_pid)
{
	char program[] = "apt-cache";
	char verb[] = "dumpavail";
	char *argv[] = { program, verb, NULL };
	posix_spawn_file_actions_t actions;
	int e = posix_spawn_file_actions_init(&actions);

	if (e != 0)
		return e;
	e = posix_spawn_file_actions_adddup2(&actions, write_end, STDOUT_FILENO);
	if (e == 0)
		e = posix_spawnp(ret_pid, "apt-cache", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return e;
}

enum err apt_reader_open(struct apt_reader *r, struct fault *reterr_fault)
{
	int ends[2];
	pid_t pid = 0;

	apt_reader_of(r, NULL);
	if (pipe2(ends, O_CLOEXEC) != 0)
		return fault_set(reterr_fault, err_from_errno(errno), "cannot make a pipe: %s", strerror(errno));
	int e = spawn_apt_cache(ends[1], &pid);
	(void)close(ends[1]);
	if (e != 0) {
		(void)close(ends[0]);
		return fault_set(reterr_fault, ERR_NOT_FOUND,
				 "cannot run apt-cache: %s (this command reads the packages that apt knows)",
				 strerror(e));
	}
	r->pid = pid;
	r->in = fdopen(ends[0], "r");
	if (r->in == NULL) {
		(void)close(ends[0]);
		return fault_set(reterr_fault, ERR_NO_MEMORY, "cannot read from apt-cache: %s", strerror(errno));
	}
	return ERR_NONE;
}

/* Copies s into out, cut at whole UTF-8 characters. */
static void copy_cut(char *out, size_t cap, const char *s)
{
	size_t n = strlen(s);

	if (n >= cap) {
		n = cap - 1;
		while (n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80)
			n--;
	}
	memcpy(out, s, n);
	out[n] = '\0';
}

static void add_tags(struct apt_record *record, char *list)
{
	char *rest = list;

	for (char *tag; (tag = strsep(&rest, ", \t")) != NULL;) {
		if (*tag != '\0' && record->tag_count < APT_TAGS_MAX)
			copy_cut(record->tags[record->tag_count++], sizeof(record->tags[0]), tag);
	}
}

/* The value when line is "key: value", else NULL. */
static char *value_of(char *line, const char *key)
{
	size_t n = strlen(key);

	if (strncmp(line, key, n) != 0 || line[n] != ':')
		return NULL;
	return line + n + 1 + strspn(line + n + 1, " \t");
}

static void take_line(struct apt_reader *r, struct apt_record *record, char *line)
{
	char *value;

	if (*line == ' ' || *line == '\t') {
		if (r->in_tags)
			add_tags(record, line);
		return;
	}
	r->in_tags = false;
	if ((value = value_of(line, "Package")) != NULL) {
		copy_cut(record->name, sizeof(record->name), value);
	} else if ((value = value_of(line, "Description")) != NULL ||
		   (value = value_of(line, "Description-en")) != NULL) {
		copy_cut(record->summary, sizeof(record->summary), value);
	} else if ((value = value_of(line, "Section")) != NULL) {
		copy_cut(record->section, sizeof(record->section), value);
	} else if ((value = value_of(line, "Tag")) != NULL) {
		r->in_tags = true;
		add_tags(record, value);
	}
}

enum err apt_reader_next(struct apt_reader *r, struct apt_record *ret_record)
{
	struct apt_record record = { 0 };
	ssize_t n;

	while ((n = getline(&r->line, &r->line_cap, r->in)) >= 0) {
		if (n > 0 && r->line[n - 1] == '\n')
			r->line[--n] = '\0';
		if (n > 0 && n < APT_LINE_BYTES_MAX) {
			take_line(r, &record, r->line);
			continue;
		}
		if (n == 0 && record.name[0] != '\0' && record.summary[0] != '\0') {
			*ret_record = record;
			return ERR_NONE;
		}
		if (n == 0)
			record = (struct apt_record){ 0 };
	}
	if (record.name[0] == '\0' || record.summary[0] == '\0')
		return ERR_NOT_FOUND;
	*ret_record = record;
	return ERR_NONE;
}

enum err apt_reader_close(struct apt_reader *r, struct fault *reterr_fault)
{
	int status = 0;

	if (r->pid != 0 && r->in != NULL)
		(void)fclose(r->in);
	free(r->line);
	if (r->pid != 0 && waitpid((pid_t)r->pid, &status, 0) < 0)
		return fault_set(reterr_fault, ERR_IO, "lost apt-cache: %s", strerror(errno));
	*r = (struct apt_reader){ 0 };
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return fault_set(reterr_fault, ERR_IO, "apt-cache dumpavail failed");
	return ERR_NONE;
}
