/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that this program does not know are passed over, and those that it misses are 0: a newer or older daemon
 * can be asked as well.
 */
#include "gateway/ctl_status.h"

#include <stddef.h>
#include <string.h>

#include "base/json.h"
#include "gateway/ctl_text.h"

#define ARENA_BYTES_MAX (64u << 20)
#define COLLECTIONS_MAX 100000
#define WAITS_MAX 256

enum kind { TEXT, NUMBER, WHOLE, SECONDS, TRUTH };

struct field {
	const char *key;
	enum kind kind;
	size_t offset;
};

struct row {
	struct str name;
	uint64_t points, indexed_vectors, vectors, segments, shards, disk_bytes, memory_bytes;
	bool optimizing;
	struct str error;
};

/* A log that does not go on: here, or (elsewhere) one of this region's in that other region. */
struct wait {
	bool elsewhere;
	struct str log, region, reason, words, action;
	uint64_t seq;
	double seconds;
};

/* A copy of another region's state that is made here. */
struct copy {
	struct str stage, from, trouble;
	uint64_t percent, points, points_expected, bytes;
	double seconds;
};

#define VOTERS_SHOWN_MAX 32

struct lease {
	bool known, held;
	uint64_t valid_ms, voter_list;
	struct str voters[VOTERS_SHOWN_MAX];
	uint32_t voter_count;
};

struct status {
	struct copy copy;
	struct str version, region, role, why, failure;
	uint64_t region_id, epoch, seq, queue_bytes, log_ops, log_bytes, memory_bytes,
		disk_free_bytes;
	int64_t clock_ahead_ms;
	double uptime_seconds;
	bool ready, failed, clock_off;
	struct wait waits[WAITS_MAX];
	uint32_t wait_count;
	struct lease lease;
	struct row *rows;
	uint32_t row_count, row_cap;
};

#define ROW(key, kind)                                                                             \
	{                                                                                          \
#key, kind, offsetof(struct row, key)                                              \
	}
static const struct field row_fields[] = {
	ROW(name, TEXT),         ROW(points, NUMBER),       ROW(indexed_vectors, NUMBER),
	ROW(vectors, NUMBER),    ROW(segments, NUMBER),     ROW(shards, NUMBER),
	ROW(disk_bytes, NUMBER), ROW(memory_bytes, NUMBER), ROW(optimizing, TRUTH),
	ROW(error, TEXT),
};
#undef ROW

#define WAIT(key, kind)                                                                            \
	{                                                                                          \
#key, kind, offsetof(struct wait, key)                                             \
	}
static const struct field wait_fields[] = {
	WAIT(log, TEXT),   WAIT(region, TEXT), WAIT(reason, TEXT),     WAIT(words, TEXT),
	WAIT(action, TEXT), WAIT(seq, NUMBER), WAIT(seconds, SECONDS),
};
#undef WAIT

#define COPY(key, kind)                                                                            \
	{                                                                                          \
#key, kind, offsetof(struct copy, key)                                             \
	}
static const struct field copy_fields[] = {
	COPY(stage, TEXT),   COPY(trouble, TEXT),           COPY(percent, NUMBER), COPY(points, NUMBER),
	COPY(bytes, NUMBER), COPY(points_expected, NUMBER), COPY(seconds, SECONDS),
};
#undef COPY

static const struct field lease_fields[] = {
	{ "held", TRUTH, offsetof(struct lease, held) },
	{ "valid_ms", NUMBER, offsetof(struct lease, valid_ms) },
	{ "voter_list", NUMBER, offsetof(struct lease, voter_list) },
};

#define STATUS(key, kind)                                                                          \
	{                                                                                          \
#key, kind, offsetof(struct status, key)                                           \
	}
static const struct field status_fields[] = {
	STATUS(version, TEXT),
	STATUS(region, TEXT),
	STATUS(role, TEXT),
	STATUS(why, TEXT),
	STATUS(failure, TEXT),
	STATUS(region_id, NUMBER),
	STATUS(epoch, NUMBER),
	STATUS(seq, NUMBER),
	STATUS(queue_bytes, NUMBER),
	STATUS(log_ops, NUMBER),
	STATUS(log_bytes, NUMBER),
	STATUS(memory_bytes, NUMBER),
	STATUS(disk_free_bytes, NUMBER),
	STATUS(uptime_seconds, SECONDS),
	STATUS(ready, TRUTH),
	STATUS(failed, TRUTH),
	STATUS(clock_off, TRUTH),
	STATUS(clock_ahead_ms, WHOLE),
};
#undef STATUS

static void take_field(struct json_reader *r, const struct field *f, void *out)
{
	char *member = (char *)out + f->offset;

	switch (f->kind) {
	case TEXT:
		*(struct str *)(void *)member = json_string(r);
		return;
	case NUMBER:
		*(uint64_t *)(void *)member = json_u64(r);
		return;
	case WHOLE:
		*(int64_t *)(void *)member = json_i64(r);
		return;
	case SECONDS:
		*(double *)(void *)member = json_f64(r);
		return;
	case TRUTH:
		*(bool *)(void *)member = json_bool(r);
		return;
	}
}

static void take_known(struct json_reader *r, const struct field *fields, size_t count,
		       struct str key, void *out)
{
	for (size_t i = 0; i < count; i++)
		if (key.len == strlen(fields[i].key) &&
		    memcmp(key.data, fields[i].key, key.len) == 0) {
			take_field(r, &fields[i], out);
			return;
		}
	json_skip(r);
}

static bool make_room(struct status *s, struct arena *a)
{
	if (s->row_count < s->row_cap)
		return true;
	uint32_t cap = MAX(s->row_cap * 2, 64u);
	struct row *rows = cap <= COLLECTIONS_MAX * 2u ? arena_array(a, cap, sizeof(*rows)) : NULL;
	if (!rows)
		return false;
	if (s->row_count > 0)
		memcpy(rows, s->rows, s->row_count * sizeof(*rows));
	s->rows = rows;
	s->row_cap = cap;
	return true;
}

static void take_rows(struct json_reader *r, struct status *s, struct arena *a)
{
	struct str key;

	if (!json_enter_array(r))
		return;
	while (json_next_element(r)) {
		if (!make_room(s, a)) {
			json_fail(r, "there are too many collections to show");
			return;
		}
		struct row *row = &s->rows[s->row_count++];
		if (!json_enter_object(r))
			return;
		while (json_next_key(r, &key))
			take_known(r, row_fields, LEN(row_fields), key, row);
	}
}

/* More than fit on a page are left out. */
static void take_waits(struct json_reader *r, struct status *s, bool elsewhere)
{
	struct str key;

	if (!json_enter_array(r))
		return;
	while (json_next_element(r)) {
		if (s->wait_count == WAITS_MAX) {
			json_skip(r);
			continue;
		}
		struct wait *w = &s->waits[s->wait_count++];
		*w = (struct wait){ .elsewhere = elsewhere };
		if (!json_enter_object(r))
			return;
		while (json_next_key(r, &key))
			take_known(r, wait_fields, LEN(wait_fields), key, w);
	}
}

static bool is(struct str key, const char *word)
{
	return key.len == strlen(word) && memcmp(key.data, word, key.len) == 0;
}

/* Nobody is copied while nothing is: then there is no name. */
static void take_copy(struct json_reader *r, struct copy *c)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "from") && json_peek(r) == JSON_STRING)
			c->from = json_string(r);
		else
			take_known(r, copy_fields, LEN(copy_fields), key, c);
	}
}

static void take_voters(struct json_reader *r, struct lease *l)
{
	if (!json_enter_array(r))
		return;
	while (json_next_element(r)) {
		if (l->voter_count < VOTERS_SHOWN_MAX)
			l->voters[l->voter_count++] = json_string(r);
		else
			json_skip(r);
	}
}

static void take_lease(struct json_reader *r, struct lease *l)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	l->known = true;
	while (json_next_key(r, &key)) {
		if (is(key, "voters"))
			take_voters(r, l);
		else
			take_known(r, lease_fields, LEN(lease_fields), key, l);
	}
}

static void take_status(struct json_reader *r, struct status *s, struct arena *a)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "collections"))
			take_rows(r, s, a);
		else if (is(key, "logs_waiting"))
			take_waits(r, s, false);
		else if (is(key, "lease"))
			take_lease(r, &s->lease);
		else if (is(key, "bootstrap"))
			take_copy(r, &s->copy);
		else if (is(key, "own_logs_waiting"))
			take_waits(r, s, true);
		else
			take_known(r, status_fields, LEN(status_fields), key, s);
	}
	if (!s->region.data)
		json_fail(r, "a status of a region was expected");
}

static void put(FILE *out, const char *before, struct str text, const char *after)
{
	(void)fputs(before, out);
	ctl_text_put(out, text, 0);
	(void)fputs(after, out);
}

static void print_lease(const struct lease *l, FILE *out)
{
	if (!l->known)
		return;
	if (l->held)
		(void)fprintf(out, "lease     held, for %.1f s if nobody answers any more; ", (double)l->valid_ms / 1000);
	else
		(void)fputs("lease     not held; ", out);
	(void)fprintf(out, "voter list %llu:", (unsigned long long)l->voter_list);
	for (uint32_t i = 0; i < l->voter_count; i++)
		put(out, " ", l->voters[i], "");
	(void)fputc('\n', out);
}

static void print_standing(const struct status *s, FILE *out)
{
	char up[24], queue[16], log[16], memory[16], disk[16];

	ctl_text_duration(up, s->uptime_seconds);
	ctl_text_size(queue, s->queue_bytes);
	ctl_text_size(log, s->log_bytes);
	ctl_text_size(memory, s->memory_bytes);
	ctl_text_size(disk, s->disk_free_bytes);
	put(out, "region    ", s->region, "");
	(void)fprintf(out, " (id %llu)\n", (unsigned long long)s->region_id);
	put(out, "role      ", s->role, "");
	(void)fprintf(out, ", epoch %llu, seq %llu\n", (unsigned long long)s->epoch,
		      (unsigned long long)s->seq);
	print_lease(&s->lease, out);
	put(out, s->ready ? "ready     yes" : "ready     no: ", s->why, "\n");
	if (s->failed)
		put(out, "failed    ", s->failure, "\n");
	put(out, "version   ", s->version, "");
	(void)fprintf(out, ", up %s\n", up);
	(void)fprintf(out, "log       %llu ops, %s; %s waiting to be written\n",
		      (unsigned long long)s->log_ops, log, queue);
	(void)fprintf(out, "memory    %s\n", memory);
	(void)fprintf(out, "disk      %s free\n", disk);
}

static void print_copy(const struct copy *c, FILE *out)
{
	char bytes[16], took[24];

	if (c->stage.len > 0 && !is(c->stage, "idle")) {
		ctl_text_size(bytes, c->bytes);
		ctl_text_duration(took, c->seconds);
		put(out, "copy      ", c->stage, "");
		put(out, ", from region ", c->from.len > 0 ? c->from : STR("-"), "");
		(void)fprintf(out, ": %llu %%, %llu of %llu points, %s in %s\n", (unsigned long long)c->percent,
			      (unsigned long long)c->points, (unsigned long long)c->points_expected, bytes, took);
	}
	if (c->trouble.len > 0)
		put(out, "          ", c->trouble, "\n");
}

static void print_wait(const struct wait *w, FILE *out)
{
	if (w->elsewhere) {
		put(out, "waits     region ", w->region, " cannot go on with this region's log ");
		put(out, "", w->log, "");
		(void)fprintf(out, " after op %llu: ", (unsigned long long)(w->seq > 0 ? w->seq - 1 : 0));
		put(out, "", w->reason, "\n");
		return;
	}
	char waited[24];
	ctl_text_duration(waited, w->seconds);
	put(out, "waits     ", w->reason, "");
	(void)fprintf(out, " for %s: ", waited);
	put(out, "", w->words, "\n");
	put(out, "          ", w->action, "\n");
}

/* What is not as it should be between the regions. */
static void print_waits(const struct status *s, FILE *out)
{
	if (s->clock_off)
		(void)fprintf(out,
			      "clock     %lld ms %s most other regions: writes of collections that every region "
			      "writes are refused until it is set right (NTP)\n",
			      (long long)(s->clock_ahead_ms < 0 ? -s->clock_ahead_ms : s->clock_ahead_ms),
			      s->clock_ahead_ms < 0 ? "behind" : "ahead of");
	for (uint32_t i = 0; i < s->wait_count; i++)
		print_wait(&s->waits[i], out);
}

static size_t characters(struct str s)
{
	size_t count = 0;

	for (size_t i = 0; i < s.len; i++)
		count += ((unsigned char)s.data[i] & 0xC0) != 0x80;
	return count;
}

static void print_rows(const struct status *s, FILE *out)
{
	size_t width = strlen("COLLECTION");

	for (uint32_t i = 0; i < s->row_count; i++)
		width = MAX(width, MIN(characters(s->rows[i].name), (size_t)40));
	(void)fputc('\n', out);
	ctl_text_put(out, STR("COLLECTION"), width);
	(void)fputs("      POINTS     INDEXED  SEGMENTS  SHARDS        DISK      MEMORY  STATE\n",
		    out);
	for (uint32_t i = 0; i < s->row_count; i++) {
		const struct row *row = &s->rows[i];
		char disk[16], memory[16];
		ctl_text_size(disk, row->disk_bytes);
		ctl_text_size(memory, row->memory_bytes);
		ctl_text_put(out, row->name, width);
		(void)fprintf(out, "  %10llu  %10llu  %8llu  %6llu  %10s  %10s  ",
			      (unsigned long long)row->points,
			      (unsigned long long)row->indexed_vectors,
			      (unsigned long long)row->segments, (unsigned long long)row->shards,
			      disk, memory);
		if (row->error.len > 0)
			put(out, "error: ", row->error, "\n");
		else
			(void)fputs(row->optimizing ? "building\n" : "ok\n", out);
	}
}

enum err ctl_status_print(struct str json, FILE *out, bool *ret_ready, struct fault *reterr_fault)
{
	struct status s = { 0 };
	struct arena arena;

	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(json, &arena);
	take_status(&r, &s, &arena);
	enum err err = json_end(&r, reterr_fault);
	if (!err) {
		print_standing(&s, out);
		print_copy(&s.copy, out);
		print_waits(&s, out);
		if (s.row_count > 0)
			print_rows(&s, out);
		*ret_ready = s.ready && !s.failed;
	}
	arena_release(&arena);
	return err;
}
