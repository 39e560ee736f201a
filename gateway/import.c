/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages to points. All records are read first, because ids follow the order of names; they are kept as packed texts
 * in an arena, since an apt_record has room for the largest.
 */
#include "gateway/import.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "gateway/apt_records.h"
#include "gateway/ctl_http.h"
#include "gateway/ctl_text.h"
#include "gateway/embed.h"

#define RECORDS_BYTES_MAX ((size_t)1 << 30)
#define BODY_BYTES_MAX CTL_HTTP_BODY_BYTES_MAX
#define PROGRESS_NS_LIVE 200000000ull
#define PROGRESS_NS_PLAIN 2000000000ull

static const float name_weight = 1.5f;
static const float summary_weight = 1.0f;
static const float section_weight = 0.5f;
static const float tags_weight = 0.3f;

static struct str str_of(const char *text)
{
	return (struct str){ .data = text, .len = strlen(text) };
}

static enum err no_memory(struct fault *reterr_fault)
{
	return fault_set(reterr_fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
}

void import_embed(const struct import_record *r, float *ret_vector)
{
	memset(ret_vector, 0, EMBED_DIM * sizeof(float));
	embed_add(ret_vector, str_of(r->name), name_weight);
	embed_add(ret_vector, str_of(r->summary), summary_weight);
	embed_add(ret_vector, str_of(r->section), section_weight);
	embed_add(ret_vector, str_of(r->tags), tags_weight);
	embed_finish(ret_vector);
}

/* --- reading --- */

struct records {
	struct import_record *items;
	uint32_t count;
	uint32_t cap;
	struct arena arena;
};

static void records_release(struct records *r)
{
	free(r->items);
	arena_release(&r->arena);
}

/* NULL when the arena is full. */
static const char *pack_tags(const struct apt_record *from, struct arena *a)
{
	struct buf tags = BUF_INIT(sizeof(from->tags));

	for (uint32_t i = 0; i < from->tag_count; i++)
		if (utf8_valid(str_of(from->tags[i])))
			(void)buf_printf(&tags, "%s%s", tags.len > 0 ? " " : "", from->tags[i]);
	const char *packed = arena_str(a, tags.len > 0 ? buf_str(&tags) : STR("")).data;
	buf_release(&tags);
	return packed;
}

static enum err add_record(struct records *r, const struct apt_record *from)
{
	/* JSON is UTF-8: what is not, nobody could read anyway. */
	if (!utf8_valid(str_of(from->name)) || !utf8_valid(str_of(from->summary)) ||
	    !utf8_valid(str_of(from->section)))
		return ERR_NONE;
	if (r->count == r->cap) {
		uint32_t cap = MAX(r->cap * 2, 1024u);
		struct import_record *more = reallocarray(r->items, cap, sizeof(*more));
		if (!more)
			return ERR_NO_MEMORY;
		r->items = more;
		r->cap = cap;
	}
	struct import_record to = {
		.name = arena_str(&r->arena, str_of(from->name)).data,
		.summary = arena_str(&r->arena, str_of(from->summary)).data,
		.section = arena_str(&r->arena, str_of(from->section)).data,
		.tags = pack_tags(from, &r->arena),
	};
	if (!to.name || !to.summary || !to.section || !to.tags)
		return ERR_NO_MEMORY;
	r->items[r->count++] = to;
	return ERR_NONE;
}

static int by_name(const void *a, const void *b)
{
	const struct import_record *x = a;
	const struct import_record *y = b;
	int order = strcmp(x->name, y->name);

	/* Two versions of one package: whichever, but always the same. */
	return order ? order : strcmp(x->summary, y->summary);
}

/* In the order of names, each name once. */
static void put_in_order(struct records *r)
{
	uint32_t kept = 0;

	if (r->count > 0)
		qsort(r->items, r->count, sizeof(*r->items), by_name);
	for (uint32_t i = 0; i < r->count; i++)
		if (kept == 0 || strcmp(r->items[kept - 1].name, r->items[i].name) != 0)
			r->items[kept++] = r->items[i];
	r->count = kept;
}

static enum err read_all(struct apt_reader *reader, struct records *r)
{
	struct apt_record record;
	enum err err = apt_reader_next(reader, &record);

	for (; !err && r->count < IMPORT_RECORDS_MAX; err = apt_reader_next(reader, &record)) {
		err = add_record(r, &record);
		if (err)
			return err;
	}
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err read_records(FILE *from, struct records *r, struct fault *reterr_fault)
{
	struct apt_reader reader;
	enum err err = ERR_NONE;

	if (from)
		apt_reader_of(&reader, from);
	else
		err = apt_reader_open(&reader, reterr_fault);
	if (err)
		return err;
	err = read_all(&reader, r);
	enum err close_err = apt_reader_close(&reader, err ? NULL : reterr_fault);
	if (err)
		return fault_set(reterr_fault, err, "reading package records: %s",
				 err_sentence(err));
	if (close_err)
		return close_err;
	put_in_order(r);
	if (r->count < IMPORT_RECORDS_MIN)
		return fault_set(
			reterr_fault, ERR_NOT_FOUND,
			"apt knows %u packages only, fewer than %d: run \"apt-get update\" as root, then try again",
			r->count, IMPORT_RECORDS_MIN);
	return ERR_NONE;
}

/* --- sending --- */

struct import {
	const struct import_options *o;
	struct buf target; /* "/collections/NAME" */
	struct buf body;
	uint64_t began_ns;
	uint64_t shown_ns;
	uint32_t total;
};

static void import_release(struct import *m)
{
	buf_release(&m->target);
	buf_release(&m->body);
}

/* The path of the collection and what stands behind it, terminated, in path. */
static enum err make_path(const char *collection, const char *rest, struct buf *path)
{
	buf_reset(path);
	(void)buf_append_cstr(path, "/collections/");
	ctl_http_put_segment(path, str_of(collection));
	(void)buf_append_cstr(path, rest);
	return buf_append_byte(path, '\0');
}

/* Anything but 200 is an error in the words of the reply. */
static enum err judge(const char *verb, const char *path, const struct ctl_http_reply *reply,
		      struct fault *reterr_fault)
{
	char words[FAULT_TEXT_MAX];

	if (reply->status == 200)
		return ERR_NONE;
	ctl_http_error(reply, words);
	return fault_set(reterr_fault, ERR_BAD_GATEWAY, "%s %.100s: %.300s", verb, path, words);
}

static enum err call(struct ctl_http *http, const char *verb, const char *path, struct str body,
		     const struct ctl_http_reply **ret_reply, struct fault *reterr_fault)
{
	enum err err = ctl_http_call(http, verb, path, body, ret_reply, reterr_fault);
	return err ? err : judge(verb, path, *ret_reply, reterr_fault);
}

static enum err ensure_collection(struct import *m, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(256);
	struct ctl_http *http = m->o->http;
	const struct ctl_http_reply *reply;
	enum err err = make_path(m->o->collection, "", &m->target);

	if (!err)
		err = buf_printf(&body, "{\"vectors\":{\"size\":%d,\"distance\":\"Cosine\"}}",
				 EMBED_DIM);
	if (err)
		return no_memory(reterr_fault);
	const char *path = (const char *)m->target.data;
	err = ctl_http_call(http, "GET", path, (struct str){ 0 }, &reply, reterr_fault);
	if (err)
		return err;
	if (reply->status != 404)
		return judge("GET", path, reply, reterr_fault);
	err = call(http, "PUT", path, buf_str(&body), &reply, reterr_fault);
	if (!err)
		(void)fprintf(m->o->out, "created collection %s\n", m->o->collection);
	return err;
}

static void put_tags(struct json_writer *w, const char *tags)
{
	json_put_array(w);
	while (*tags) {
		size_t len = strcspn(tags, " ");
		json_put_string(w, (struct str){ .data = tags, .len = len });
		tags += len + (tags[len] == ' ');
	}
	json_put_array_end(w);
}

static void put_point(struct json_writer *w, uint64_t id, const struct import_record *r)
{
	float vector[EMBED_DIM];

	import_embed(r, vector);
	json_put_object(w);
	json_put_key(w, STR("id"));
	json_put_u64(w, id);
	json_put_key(w, STR("vector"));
	json_put_floats(w, vector, EMBED_DIM);
	json_put_key(w, STR("payload"));
	json_put_object(w);
	json_put_key(w, STR("name"));
	json_put_cstr(w, r->name);
	json_put_key(w, STR("summary"));
	json_put_cstr(w, r->summary);
	json_put_key(w, STR("section"));
	json_put_cstr(w, r->section);
	json_put_key(w, STR("tags"));
	put_tags(w, r->tags);
	json_put_object_end(w);
	json_put_object_end(w);
}

/* first: the number of items[0], from 0. The last batch waits until all before it are searchable as well. */
static enum err send_batch(struct import *m, const struct import_record *items, uint32_t first,
			   uint32_t count, struct fault *reterr_fault)
{
	bool last = first + count == m->total;
	const struct ctl_http_reply *reply;

	buf_reset(&m->body);
	struct json_writer w = json_writer_to(&m->body);
	json_put_object(&w);
	json_put_key(&w, STR("points"));
	json_put_array(&w);
	for (uint32_t i = 0; i < count; i++)
		put_point(&w, (uint64_t)first + i + 1, &items[i]);
	json_put_array_end(&w);
	json_put_object_end(&w);
	enum err err = buf_err(&m->body);
	if (!err)
		err = make_path(m->o->collection, last ? "/points?wait=true" : "/points?wait=false",
				&m->target);
	if (err)
		return fault_set(reterr_fault, err, "a batch of %u: %s", count, err_sentence(err));
	return call(m->o->http, "PUT", (const char *)m->target.data, buf_str(&m->body), &reply,
		    reterr_fault);
}

static double rate_of(const struct import *m, uint32_t done, uint64_t now_ns)
{
	uint64_t passed_ns = now_ns - m->began_ns;
	return passed_ns > 0 ? done * 1e9 / (double)passed_ns : 0;
}

static void show_progress(struct import *m, uint32_t done)
{
	uint64_t now_ns = clock_mono_ns(m->o->clock);
	FILE *out = m->o->out;

	if (done < m->total &&
	    now_ns - m->shown_ns < (m->o->live ? PROGRESS_NS_LIVE : PROGRESS_NS_PLAIN))
		return;
	m->shown_ns = now_ns;
	if (m->o->live) {
		static const char full[] = "##############################";
		static const char empty[] = "..............................";
		int filled = (int)((uint64_t)done * strlen(full) / m->total);
		(void)fprintf(out, "\r[%.*s%s] %u/%u  %.0f points/s ", filled, full, empty + filled,
			      done, m->total, rate_of(m, done, now_ns));
		if (done == m->total)
			(void)fputc('\n', out);
	} else if (done < m->total) {
		(void)fprintf(out, "%u of %u points, %.0f points/s\n", done, m->total,
			      rate_of(m, done, now_ns));
	}
	(void)fflush(out);
}

static enum err send_all(struct import *m, const struct records *r, struct fault *reterr_fault)
{
	uint32_t batch = MIN(MAX(m->o->batch, 1u), (uint32_t)IMPORT_BATCH_MAX);

	m->began_ns = m->shown_ns = clock_mono_ns(m->o->clock);
	for (uint32_t first = 0; first < m->total; first += batch) {
		uint32_t count = MIN(batch, m->total - first);
		enum err err = send_batch(m, r->items + first, first, count, reterr_fault);
		if (err)
			return err;
		show_progress(m, first + count);
	}
	uint64_t now_ns = clock_mono_ns(m->o->clock);
	(void)fprintf(m->o->out, "%u points in collection %s after %.1f s, %.0f points/s\n",
		      m->total, m->o->collection, (double)(now_ns - m->began_ns) / 1e9,
		      rate_of(m, m->total, now_ns));
	return ERR_NONE;
}

enum err import_packages(const struct import_options *o, struct fault *reterr_fault)
{
	CLEANUP(records_release) struct records records = { 0 };
	CLEANUP(import_release)
	struct import m = { .o = o, .target = BUF_INIT(4096), .body = BUF_INIT(BODY_BYTES_MAX) };

	arena_init(&records.arena, RECORDS_BYTES_MAX);
	enum err err = read_records(o->records, &records, reterr_fault);
	if (err)
		return err;
	m.total = o->limit > 0 ? (uint32_t)MIN(o->limit, records.count) : records.count;
	err = ensure_collection(&m, reterr_fault);
	return err ? err : send_all(&m, &records, reterr_fault);
}

/* --- searching --- */

struct hit {
	double score;
	struct str name;
	struct str summary;
};

static bool key_is(struct str key, const char *text)
{
	return key.len == strlen(text) && memcmp(key.data, text, key.len) == 0;
}

static struct str take_string(struct json_reader *r)
{
	if (json_peek(r) == JSON_STRING)
		return json_string(r);
	json_skip(r);
	return (struct str){ 0 };
}

static struct hit take_hit(struct json_reader *r)
{
	struct hit hit = { 0 };
	struct str key;

	if (!json_enter_object(r))
		return hit;
	while (json_next_key(r, &key)) {
		if (key_is(key, "score")) {
			hit.score = json_f64(r);
		} else if (key_is(key, "payload") && json_peek(r) == JSON_OBJECT &&
			   json_enter_object(r)) {
			while (json_next_key(r, &key)) {
				if (key_is(key, "name"))
					hit.name = take_string(r);
				else if (key_is(key, "summary"))
					hit.summary = take_string(r);
				else
					json_skip(r);
			}
		} else {
			json_skip(r);
		}
	}
	return hit;
}

static uint32_t print_hits(struct json_reader *r, FILE *out)
{
	uint32_t count = 0;

	for (; json_next_element(r); count++) {
		struct hit hit = take_hit(r);
		if (count == 0 && !json_failed(r))
			(void)fprintf(out, "%-7s  %-30s  %s\n", "SCORE", "NAME", "SUMMARY");
		if (json_failed(r))
			continue;
		(void)fprintf(out, "%-7.4f  ", hit.score);
		ctl_text_put(out, hit.name, 30);
		(void)fputs("  ", out);
		ctl_text_put(out, hit.summary, 0);
		(void)fputc('\n', out);
	}
	return count;
}

/* {"result":{"points":[…]}}. */
static enum err print_reply(const struct ctl_http_reply *reply, FILE *out,
			    struct fault *reterr_fault)
{
	struct arena arena;
	struct str key;
	uint32_t count = 0;

	arena_init(&arena, CTL_HTTP_BODY_BYTES_MAX);
	struct json_reader r = json_reader_of(buf_str(&reply->body), &arena);
	if (json_enter_object(&r)) {
		while (json_next_key(&r, &key)) {
			if (!key_is(key, "result") || !json_enter_object(&r)) {
				json_skip(&r);
				continue;
			}
			while (json_next_key(&r, &key)) {
				if (key_is(key, "points") && json_enter_array(&r))
					count += print_hits(&r, out);
				else
					json_skip(&r);
			}
		}
	}
	enum err err = json_end(&r, reterr_fault);
	if (!err && count == 0)
		(void)fputs("nothing was found\n", out);
	arena_release(&arena);
	return err;
}

static enum err write_query(const struct import_search_options *o, struct buf *body,
			    struct fault *reterr_fault)
{
	float vector[EMBED_DIM] = { 0 };
	struct json_writer w = json_writer_to(body);
	bool any = false;

	embed_add(vector, str_of(o->text), 1.0f);
	embed_finish(vector);
	for (unsigned i = 0; i < EMBED_DIM; i++)
		any |= vector[i] != 0.0f;
	if (!any)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "'%.200s' has no word to search for",
				 o->text);
	json_put_object(&w);
	json_put_key(&w, STR("query"));
	json_put_floats(&w, vector, EMBED_DIM);
	json_put_key(&w, STR("limit"));
	json_put_u64(&w, o->limit);
	json_put_key(&w, STR("with_payload"));
	json_put_bool(&w, true);
	json_put_object_end(&w);
	return buf_err(body) ? no_memory(reterr_fault) : ERR_NONE;
}

enum err import_search(const struct import_search_options *o, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(1u << 20);
	CLEANUP(buf_release) struct buf path = BUF_INIT(4096);
	const struct ctl_http_reply *reply;
	enum err err = write_query(o, &body, reterr_fault);

	if (err)
		return err;
	if (make_path(o->collection, "/points/query", &path))
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "the name of the collection is too long");
	err = call(o->http, "POST", (const char *)path.data, buf_str(&body), &reply, reterr_fault);
	if (err)
		return err;
	if (!o->json)
		return print_reply(reply, o->out, reterr_fault);
	(void)fprintf(o->out, "%.*s\n", STR_FMT(buf_str(&reply->body)));
	return ERR_NONE;
}
