/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that this program does not know are passed over, so that a newer daemon can be asked as well.
 */
#include "gateway/ctl_orphans.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "gateway/ctl_text.h"

#define ARENA_BYTES_MAX (512u << 20)
#define REQUEST_BYTES_MAX (4u << 20)
#define PATH_BYTES_MAX 512u
#define TIME_TEXT_MAX 40
#define PAGE 1000u
/* Of a payload or vectors on a line. */
#define SHOWN_BYTES_MAX 160u

struct line {
	struct str id, state, kind, collection, region;
	uint64_t points, time_ms;
};

static bool is(struct str key, const char *name)
{
	return key.len == strlen(name) && memcmp(key.data, name, key.len) == 0;
}

/* --- asking --- */

static enum err call(struct ctl_http *http, const char *verb, const char *path, struct str body, struct str *ret_json,
		     struct fault *f)
{
	const struct ctl_http_reply *reply;
	char words[FAULT_TEXT_MAX];
	enum err err = ctl_http_call(http, verb, path, body, &reply, f);

	if (err)
		return err;
	if (reply->status != 200) {
		ctl_http_error(reply, words);
		return fault_set(f, ERR_BAD_GATEWAY, "orphans: %.400s", words);
	}
	*ret_json = buf_str(&reply->body);
	return ERR_NONE;
}

/* --- the list --- */

static struct str string_or_none(struct json_reader *r)
{
	return json_peek(r) == JSON_NULL ? (json_skip(r), STR("-")) : json_string(r);
}

static bool read_line_key(struct json_reader *r, struct str key, struct line *l)
{
	if (is(key, "id"))
		l->id = json_string(r);
	else if (is(key, "state"))
		l->state = json_string(r);
	else if (is(key, "kind"))
		l->kind = json_string(r);
	else if (is(key, "collection"))
		l->collection = string_or_none(r);
	else if (is(key, "region"))
		l->region = json_string(r);
	else if (is(key, "points"))
		l->points = json_u64(r);
	else if (is(key, "time_ms"))
		l->time_ms = json_u64(r);
	else
		return false;
	return true;
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
	put_column(out, l->id, 16);
	put_column(out, l->state, 7);
	put_column(out, l->kind, 17);
	put_column(out, l->collection, 16);
	(void)fprintf(out, "%6" PRIu64 " ", l->points);
	put_time(out, l->time_ms);
	ctl_text_put(out, l->region, 0);
	(void)fputc('\n', out);
}

static void read_lines(struct json_reader *r, FILE *out, uint64_t *count)
{
	struct str key;

	if (!json_enter_array(r))
		return;
	while (json_next_element(r)) {
		struct line l = { 0 };
		if (!json_enter_object(r))
			return;
		while (json_next_key(r, &key))
			if (!read_line_key(r, key, &l))
				json_skip(r);
		if (json_failed(r))
			return;
		if ((*count)++ == 0)
			(void)fprintf(out, "%-16s %-7s %-17s %-16s %6s %-24s %s\n", "ID", "STATE", "KIND", "COLLECTION",
				      "POINTS", "WRITTEN", "REGION");
		put_line(&l, out);
	}
}

static void read_totals(struct json_reader *r, struct str *ret_words, struct arena *a)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1024);
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		uint64_t n = json_u64(r);
		(void)buf_printf(&b, "%s%" PRIu64 " %.*s", b.len ? ", " : "", n, STR_FMT(key));
	}
	*ret_words = arena_str(a, buf_str(&b));
}

enum err ctl_orphans_print_list(struct str json, FILE *out, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena arena;
	struct str totals = { 0 };
	struct str next = { 0 };
	struct str key;
	uint64_t count = 0;

	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(json, &arena);
	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (is(key, "orphans"))
				read_lines(&r, out, &count);
			else if (is(key, "totals"))
				read_totals(&r, &totals, &arena);
			else if (is(key, "next"))
				next = json_string(&r);
			else
				json_skip(&r);
		}
	enum err err = json_end(&r, reterr_fault);
	if (err)
		return err;
	if (count == 0)
		(void)fputs("no orphans\n", out);
	if (next.len > 0)
		(void)fputs("and more: see --limit\n", out);
	if (totals.len > 0) {
		ctl_text_put(out, totals, 0);
		(void)fputc('\n', out);
	}
	return ERR_NONE;
}

enum err ctl_orphans_list(const struct ctl_orphans *o, unsigned limit, struct fault *reterr_fault)
{
	char path[PATH_BYTES_MAX];
	struct str json;

	(void)snprintf(path, sizeof(path), "/isthmus/orphans?limit=%u%s", limit, o->all ? "&state=all" : "");
	enum err err = call(o->http, "GET", path, (struct str){ 0 }, &json, reterr_fault);
	if (err || !o->json)
		return err ? err : ctl_orphans_print_list(json, o->out, reterr_fault);
	(void)fprintf(o->out, "%.*s\n", STR_FMT(json));
	return ERR_NONE;
}

/* --- one of them --- */

/* A part of one line: whoever wants all of it takes the JSON. */
static void put_part(FILE *out, const char *what, struct str json)
{
	bool cut = json.len > SHOWN_BYTES_MAX;

	(void)fprintf(out, "    %-16s ", what);
	if (cut)
		json.len = SHOWN_BYTES_MAX;
	ctl_text_put(out, json, 0);
	(void)fputs(cut ? " ...\n" : "\n", out);
}

static void read_now(struct json_reader *r, FILE *out)
{
	struct str key;

	if (json_peek(r) == JSON_NULL) {
		json_skip(r);
		(void)fputs("    now              not there\n", out);
		return;
	}
	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "payload"))
			put_part(out, "now payload", json_raw(r));
		else if (is(key, "vectors"))
			put_part(out, "now vectors", json_raw(r));
		else
			json_skip(r);
	}
}

static void read_points(struct json_reader *r, FILE *out)
{
	struct str key;

	if (!json_enter_array(r))
		return;
	while (json_next_element(r)) {
		if (!json_enter_object(r))
			return;
		while (json_next_key(r, &key)) {
			if (is(key, "id")) {
				(void)fputs("  point ", out);
				ctl_text_put(out, json_string(r), 0);
				(void)fputc('\n', out);
			} else if (is(key, "now")) {
				read_now(r, out);
			} else {
				char what[32];
				(void)snprintf(what, sizeof(what), "%.*s", (int)MIN(key.len, (size_t)24), key.data);
				put_part(out, what, json_raw(r));
			}
		}
	}
}

static void read_op(struct json_reader *r, FILE *out)
{
	struct str key;

	if (json_peek(r) == JSON_NULL) {
		json_skip(r);
		(void)fputs("  decided about: its op is kept no longer\n", out);
		return;
	}
	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "points")) {
			read_points(r, out);
		} else {
			(void)fputs("  ", out);
			ctl_text_put(out, key, 0);
			(void)fputc(' ', out);
			ctl_text_put(out, json_raw(r), 0);
			(void)fputc('\n', out);
		}
	}
}

enum err ctl_orphans_print_one(struct str json, FILE *out, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena arena;
	struct line l = { 0 };
	struct str key;
	struct str op = { 0 };

	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(json, &arena);
	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (is(key, "op"))
				op = json_raw(&r);
			else if (!read_line_key(&r, key, &l))
				json_skip(&r);
		}
	enum err err = json_end(&r, reterr_fault);
	if (err)
		return err;
	put_line(&l, out);
	if (op.len == 0)
		return ERR_NONE;
	r = json_reader_of(op, &arena);
	read_op(&r, out);
	return json_end(&r, reterr_fault);
}

static enum err get_one(const struct ctl_orphans *o, struct str id, bool now, struct str *ret_json, struct fault *f)
{
	CLEANUP(buf_release) struct buf path = BUF_INIT(PATH_BYTES_MAX);

	buf_append_cstr(&path, "/isthmus/orphans/");
	ctl_http_put_segment(&path, id);
	buf_append_cstr(&path, now ? "" : "?now=false");
	if (buf_append_byte(&path, '\0'))
		return fault_set(f, ERR_BAD_INPUT, "the id is too long");
	return call(o->http, "GET", (const char *)path.data, (struct str){ 0 }, ret_json, f);
}

enum err ctl_orphans_show(const struct ctl_orphans *o, struct fault *reterr_fault)
{
	struct str id = { o->ids[0], strlen(o->ids[0]) };
	struct str json;
	enum err err = get_one(o, id, true, &json, reterr_fault);

	if (err || !o->json)
		return err ? err : ctl_orphans_print_one(json, o->out, reterr_fault);
	(void)fprintf(o->out, "%.*s\n", STR_FMT(json));
	return ERR_NONE;
}

/* --- deciding --- */

static enum err put_request(const struct ctl_orphans *o, struct buf *out)
{
	struct json_writer w = json_writer_to(out);

	json_put_object(&w);
	json_put_key(&w, o->all ? STR("all") : STR("ids"));
	if (o->all) {
		json_put_bool(&w, true);
	} else {
		json_put_array(&w);
		for (int i = 0; i < o->id_count; i++)
			json_put_cstr(&w, o->ids[i]);
		json_put_array_end(&w);
	}
	json_put_object_end(&w);
	return buf_err(out);
}

struct decided {
	uint64_t applied, dropped, refused;
	bool confirmed;
};

static void read_error(struct json_reader *r, FILE *out)
{
	struct str id = { 0 };
	struct str words = { 0 };
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "id"))
			id = json_string(r);
		else if (is(key, "error"))
			words = json_string(r);
		else
			json_skip(r);
	}
	if (json_failed(r) || !out)
		return;
	ctl_text_put(out, id, 0);
	(void)fputs(": ", out);
	ctl_text_put(out, words, 0);
	(void)fputc('\n', out);
}

/* The errors are written while they are read; out NULL: nowhere. */
static enum err read_decided(struct str json, FILE *out, struct decided *ret_decided, struct fault *f)
{
	CLEANUP(arena_release) struct arena arena;
	struct decided d = { 0 };
	struct str key;

	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(json, &arena);
	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (is(key, "applied"))
				d.applied = json_u64(&r);
			else if (is(key, "dropped"))
				d.dropped = json_u64(&r);
			else if (is(key, "refused"))
				d.refused = json_u64(&r);
			else if (is(key, "confirmed"))
				d.confirmed = json_bool(&r);
			else if (!is(key, "errors"))
				json_skip(&r);
			else if (json_enter_array(&r))
				while (json_next_element(&r))
					read_error(&r, out);
		}
	*ret_decided = d;
	return json_end(&r, f);
}

enum err ctl_orphans_print_decided(struct str json, FILE *out, bool *ret_all_done, struct fault *reterr_fault)
{
	struct decided d;
	enum err err = read_decided(json, out, &d, reterr_fault);

	if (err)
		return err;
	(void)fprintf(out, "%" PRIu64 " applied, %" PRIu64 " dropped, %" PRIu64 " refused%s\n", d.applied, d.dropped, d.refused,
		      d.confirmed || d.applied + d.dropped == 0
			      ? ""
			      : "; not confirmed by most regions yet: a change of the primary may take it back, list them again");
	*ret_all_done = d.refused == 0;
	return ERR_NONE;
}

enum err ctl_orphans_decide(const struct ctl_orphans *o, bool apply, bool *ret_all_done, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(REQUEST_BYTES_MAX);
	struct decided d;
	struct str json;
	enum err err = put_request(o, &body);

	if (!err)
		err = call(o->http, "POST", apply ? "/isthmus/orphans/apply" : "/isthmus/orphans/drop", buf_str(&body), &json,
			   reterr_fault);
	if (err)
		return err;
	if (!o->json)
		return ctl_orphans_print_decided(json, o->out, ret_all_done, reterr_fault);
	err = read_decided(json, NULL, &d, reterr_fault);
	if (err)
		return err;
	(void)fprintf(o->out, "%.*s\n", STR_FMT(json));
	*ret_all_done = d.refused == 0;
	return ERR_NONE;
}

/* --- to a file --- */

static enum err export_one(const struct ctl_orphans *o, struct str id, uint64_t *count, struct fault *f)
{
	struct str json;
	enum err err = get_one(o, id, false, &json, f);

	if (err)
		return err;
	if (fprintf(o->out, "%.*s\n", STR_FMT(json)) < 0)
		return fault_set(f, ERR_IO, "writing the orphans failed");
	(*count)++;
	return ERR_NONE;
}

struct page {
	struct str *ids; /* PAGE; in the arena */
	uint32_t count;
	struct str next;
};

/* By its position and hash, which is never ambiguous. */
static void read_id(struct json_reader *r, struct arena *a, struct page *p)
{
	struct str id = { 0 };
	struct str hash = { 0 };
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "id"))
			id = json_string(r);
		else if (is(key, "hash"))
			hash = json_string(r);
		else
			json_skip(r);
	}
	if (!json_failed(r) && p->count < PAGE)
		p->ids[p->count++] = arena_printf(a, "%.*s-%.*s", STR_FMT(id), STR_FMT(hash));
}

/* All of it in the arena: the reply goes with the next call. */
static enum err read_page(struct str json, struct arena *a, struct page *p, struct fault *f)
{
	struct json_reader r = json_reader_of(json, a);
	struct str key;

	*p = (struct page){ .ids = arena_array(a, PAGE, sizeof(*p->ids)) };
	if (!p->ids)
		return ERR_NO_MEMORY;
	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (is(key, "next"))
				p->next = arena_str(a, json_string(&r));
			else if (!is(key, "orphans"))
				json_skip(&r);
			else if (json_enter_array(&r))
				while (json_next_element(&r))
					read_id(&r, a, p);
		}
	return json_end(&r, f);
}

static enum err export_page(const struct ctl_orphans *o, char after[PATH_BYTES_MAX], uint64_t *count, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;
	char path[2 * PATH_BYTES_MAX];
	struct page p = { 0 };
	struct str json;

	arena_init(&a, ARENA_BYTES_MAX);
	(void)snprintf(path, sizeof(path), "/isthmus/orphans?limit=%u%s%s", PAGE, *after ? "&after=" : "", after);
	enum err err = call(o->http, "GET", path, (struct str){ 0 }, &json, f);
	if (!err)
		err = read_page(json, &a, &p, f);
	for (uint32_t i = 0; !err && i < p.count; i++)
		err = p.ids[i].data ? export_one(o, p.ids[i], count, f) : ERR_NO_MEMORY;
	if (!err)
		(void)snprintf(after, PATH_BYTES_MAX, "%.*s", (int)p.next.len, p.next.len ? p.next.data : "");
	return err;
}

enum err ctl_orphans_export(const struct ctl_orphans *o, uint64_t *ret_count, struct fault *reterr_fault)
{
	char after[PATH_BYTES_MAX] = "";
	enum err err = ERR_NONE;

	*ret_count = 0;
	for (int i = 0; !err && i < o->id_count; i++)
		err = export_one(o, (struct str){ o->ids[i], strlen(o->ids[i]) }, ret_count, reterr_fault);
	if (err || o->id_count > 0)
		return err;
	do
		err = export_page(o, after, ret_count, reterr_fault);
	while (!err && *after);
	return err;
}
