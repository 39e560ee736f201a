/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_conflicts.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "gateway/ctl_text.h"

#define ARENA_BYTES_MAX (64u << 20)
#define TIME_TEXT_MAX 40

struct side {
	struct str region, value;
	uint64_t time_ms;
};

struct line {
	struct str collection, id, field, reason;
	uint64_t time_ms;
	struct side winner, loser;
};

static bool is(struct str key, const char *name)
{
	return key.len == strlen(name) && memcmp(key.data, name, key.len) == 0;
}

static void read_side(struct json_reader *r, struct side *s)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "region"))
			s->region = json_string(r);
		else if (is(key, "time_ms"))
			s->time_ms = json_u64(r);
		else if (is(key, "value"))
			s->value = json_raw(r);
		else
			json_skip(r);
	}
}

static void read_line(struct json_reader *r, struct line *l)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "collection"))
			l->collection = json_string(r);
		else if (is(key, "id"))
			l->id = json_string(r);
		else if (is(key, "field"))
			l->field = json_string(r);
		else if (is(key, "reason"))
			l->reason = json_string(r);
		else if (is(key, "time_ms"))
			l->time_ms = json_u64(r);
		else if (is(key, "winner"))
			read_side(r, &l->winner);
		else if (is(key, "loser"))
			read_side(r, &l->loser);
		else
			json_skip(r);
	}
}

static void put_time(FILE *out, uint64_t ms)
{
	char text[TIME_TEXT_MAX];
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		text[0] = '\0';
	(void)fprintf(out, "%s.%03uZ ", text, (unsigned)(ms % 1000));
}

static void put_column(FILE *out, struct str text, size_t columns)
{
	ctl_text_put(out, text, columns);
	(void)fputc(' ', out);
}

static void put_line(const struct line *l, FILE *out)
{
	put_time(out, l->time_ms);
	put_column(out, l->collection, 12);
	put_column(out, l->id, 12);
	put_column(out, l->field.len > 0 ? l->field : STR("(point)"), 20);
	put_column(out, l->reason, 6);
	put_column(out, l->winner.region, 8);
	put_time(out, l->winner.time_ms);
	put_column(out, l->loser.region, 8);
	put_time(out, l->loser.time_ms);
	ctl_text_put(out, l->loser.value, 0);
	(void)fputc('\n', out);
}

static void read_lines(struct json_reader *r, FILE *out, uint64_t *count)
{
	if (!json_enter_array(r))
		return;
	while (json_next_element(r)) {
		struct line l = { 0 };
		read_line(r, &l);
		if (json_failed(r))
			return;
		if ((*count)++ == 0)
			(void)fprintf(out, "%-24s %-12s %-12s %-20s %-6s %-33s %s\n", "TIME", "COLLECTION", "ID", "FIELD",
				      "REASON", "WINNER", "LOSER");
		put_line(&l, out);
	}
}

enum err ctl_conflicts_print(struct str json, FILE *out, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena arena;
	struct str key;
	uint64_t count = 0;

	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(json, &arena);
	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (is(key, "conflicts"))
				read_lines(&r, out, &count);
			else
				json_skip(&r);
		}
	enum err err = json_end(&r, reterr_fault);
	if (!err && count == 0)
		(void)fputs("no conflicts\n", out);
	return err;
}
