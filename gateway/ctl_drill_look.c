/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_drill_inner.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES_MAX (4u << 20)

static bool is(struct str s, const char *text, size_t len)
{
	return s.len == len && memcmp(s.data, text, len) == 0;
}

/* One level; the name has len bytes. */
static struct str find_one(struct str json, const char *name, size_t len, struct arena *a)
{
	struct json_reader r = json_reader_of(json, a);
	struct str found = { 0 };
	struct str key;

	if (json_peek(&r) != JSON_OBJECT || !json_enter_object(&r))
		return found;
	while (json_next_key(&r, &key)) {
		struct str value = json_raw(&r);

		if (is(key, name, len))
			found = value;
	}
	return json_end(&r, NULL) ? (struct str){ 0 } : found;
}

struct str ctl_drill_find(struct str json, const char *path, struct arena *a)
{
	while (json.data && *path) {
		size_t len = strcspn(path, ".");

		json = find_one(json, path, len, a);
		path += len + (path[len] == '.');
	}
	return json;
}

static uint64_t number_of(struct str raw)
{
	char text[24];

	if (!raw.data || raw.len >= sizeof(text))
		return 0;
	memcpy(text, raw.data, raw.len);
	text[raw.len] = '\0';
	return strtoull(text, NULL, 10);
}

uint64_t ctl_drill_number(struct str json, const char *path)
{
	CLEANUP(arena_release) struct arena a;

	arena_init(&a, ARENA_BYTES_MAX);
	return number_of(ctl_drill_find(json, path, &a));
}

static bool is_true(struct str raw)
{
	return is(raw, "true", 4);
}

/* Rather than null; what follows it in the text ends it. */
static bool is_number(struct str raw)
{
	return raw.len > 0 && raw.data[0] >= '0' && raw.data[0] <= '9';
}

/* A string's text, cut to fit; "" for null and all else. */
static void copy_text(struct str raw, struct arena *a, char *out, size_t size)
{
	struct json_reader r = json_reader_of(raw.data ? raw : STR("null"), a);
	struct str text = json_peek(&r) == JSON_STRING ? json_string(&r) : (struct str){ 0 };

	(void)snprintf(out, size, "%.*s", (int)MIN(text.len, size - 1), text.data ? text.data : "");
}

enum err ctl_drill_call(struct ctl_http *h, const char *verb, const char *path, struct str body, struct str *ret_reply,
			struct fault *f)
{
	const struct ctl_http_reply *reply;
	char words[FAULT_TEXT_MAX];
	enum err err = ctl_http_call(h, verb, path, body, &reply, f);

	if (err)
		return err;
	if (reply->status != 200) {
		ctl_http_error(reply, words);
		return fault_set(f, ERR_BAD_GATEWAY, "%s %s: %.400s", verb, path, words);
	}
	*ret_reply = buf_str(&reply->body);
	return ERR_NONE;
}

/* --- the table of regions --- */

static void read_region(struct str raw, struct arena *a, struct drill_region *g)
{
	struct str silent = ctl_drill_find(raw, "silent_ms", a);
	char role[16];

	*g = (struct drill_region){ .lag_seconds = -1 };
	copy_text(ctl_drill_find(raw, "name", a), a, g->name, sizeof(g->name));
	copy_text(ctl_drill_find(raw, "role", a), a, role, sizeof(role));
	g->data = strcmp(role, "primary") == 0 || strcmp(role, "secondary") == 0;
	g->witness = strcmp(role, "witness") == 0;
	g->answers = is_true(ctl_drill_find(raw, "heard", a)) && number_of(silent) <= DRILL_SILENT_MS_MAX;
	/* What this region knows of itself needs no heartbeats. */
	g->answers |= is_true(ctl_drill_find(raw, "self", a));
}

/* Of the row that a region has of itself; below 0: it does not know. */
static double own_lag(struct str json, struct arena *a)
{
	struct str rows = ctl_drill_find(json, "regions", a);
	struct json_reader r = json_reader_of(rows.data ? rows : STR("null"), a);
	double lag = -1;

	if (!json_enter_array(&r))
		return lag;
	while (json_next_element(&r)) {
		struct str row = json_raw(&r);

		if (json_failed(&r))
			return -1;
		struct str text = ctl_drill_find(row, "lag_seconds", a);
		if (is_true(ctl_drill_find(row, "self", a)) && text.data && is_number(text))
			lag = strtod(text.data, NULL);
	}
	return lag;
}

static enum err read_regions(struct str json, struct drill_view *v, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;

	arena_init(&a, ARENA_BYTES_MAX);
	struct str rows = ctl_drill_find(json, "regions", &a);
	struct json_reader r = json_reader_of(rows.data ? rows : STR("null"), &a);
	copy_text(ctl_drill_find(json, "region", &a), &a, v->asked, sizeof(v->asked));
	copy_text(ctl_drill_find(json, "primary", &a), &a, v->primary, sizeof(v->primary));
	v->epoch = number_of(ctl_drill_find(json, "epoch", &a));
	v->handing_over = is_true(ctl_drill_find(json, "handing_over", &a));
	if (json_enter_array(&r))
		while (json_next_element(&r) && v->region_count < DRILL_REGIONS_MAX) {
			struct str row = json_raw(&r);

			if (!json_failed(&r))
				read_region(row, &a, &v->regions[v->region_count++]);
		}
	if (json_failed(&r))
		return fault_set(f, ERR_BAD_GATEWAY, "the region that is asked gave no table of regions");
	if (v->region_count < 2)
		return fault_set(f, ERR_BAD_INPUT, "this region is alone: there is nothing to practise");
	return ERR_NONE;
}

/* Of the region itself: its own word, how far it is behind, and whether it elects. Others need not know that: a gateway does not. */
static void ask_region(struct ctl_http *h, struct drill_region *g, struct drill_view *v)
{
	CLEANUP(arena_release) struct arena a;
	struct str reply;

	arena_init(&a, ARENA_BYTES_MAX);
	g->answers = !ctl_http_at(h, strcmp(g->name, v->asked) == 0 ? "" : g->name, NULL) &&
		     !ctl_drill_call(h, "GET", "/isthmus/status", (struct str){ 0 }, &reply, NULL);
	if (!g->answers)
		return;
	g->ready = is_true(ctl_drill_find(reply, "ready", &a));
	v->elects |= ctl_drill_find(reply, "lease", &a).data != NULL;
	g->answers = !ctl_drill_call(h, "GET", "/isthmus/regions", (struct str){ 0 }, &reply, NULL);
	if (g->answers)
		g->lag_seconds = own_lag(reply, &a);
}

/* The first report's, whichever list it is in. */
static void read_verdict(struct str list, char *out, size_t size)
{
	CLEANUP(arena_release) struct arena a;

	arena_init(&a, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(list.data ? list : STR("null"), &a);
	out[0] = '\0';
	if (json_peek(&r) == JSON_ARRAY && json_enter_array(&r) && json_next_element(&r))
		copy_text(ctl_drill_find(json_raw(&r), "verdict", &a), &a, out, size);
}

static enum err ask_fleet(struct ctl_http *h, struct drill_view *v, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;
	struct str reply;
	enum err err = ctl_drill_call(h, "GET", "/collections/" DRILL_COLLECTION "/exists", (struct str){ 0 }, &reply, f);

	arena_init(&a, ARENA_BYTES_MAX);
	if (err)
		return err;
	v->under_way = is_true(ctl_drill_find(reply, "result.exists", &a));
	/* The primary keeps them; without one there are none, and that is a reason by itself. */
	if (!ctl_drill_call(h, "GET", "/isthmus/audit?limit=1", (struct str){ 0 }, &reply, NULL))
		read_verdict(ctl_drill_find(reply, "reports", &a), v->audit, sizeof(v->audit));
	return ERR_NONE;
}

enum err ctl_drill_look(struct ctl_http *h, struct drill_view *ret_view, struct fault *f)
{
	struct drill_view v = { 0 };
	struct str reply;
	enum err err = ctl_drill_call(h, "GET", "/isthmus/regions", (struct str){ 0 }, &reply, f);

	if (!err)
		err = read_regions(reply, &v, f);
	for (uint32_t i = 0; i < v.region_count && !err; i++)
		if (v.regions[i].data)
			ask_region(h, &v.regions[i], &v);
	enum err back = ctl_http_at(h, "", f);
	if (!err)
		err = back;
	if (!err)
		err = ask_fleet(h, &v, f);
	*ret_view = v;
	return err;
}

/* --- while it goes on --- */

/* Of data regions only: others have no position. */
static bool are_level(struct str rows, struct arena *a)
{
	struct json_reader r = json_reader_of(rows, a);
	struct str first = { 0 };
	bool level = true;

	if (!json_enter_array(&r))
		return false;
	while (json_next_element(&r)) {
		struct str row = json_raw(&r);
		struct drill_region g;

		if (json_failed(&r))
			return false;
		read_region(row, a, &g);
		struct str position = ctl_drill_find(row, "position", a);
		if (!g.data)
			continue;
		if (!first.data)
			first = position;
		level &= g.answers && position.data && is(position, first.data, first.len);
	}
	return level && first.data;
}

enum err ctl_drill_look_primary(struct ctl_http *h, struct drill_primary *ret_primary, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;
	struct str reply;
	enum err err = ctl_drill_call(h, "GET", "/isthmus/regions", (struct str){ 0 }, &reply, f);

	arena_init(&a, ARENA_BYTES_MAX);
	*ret_primary = (struct drill_primary){ 0 };
	if (err)
		return err;
	struct str rows = ctl_drill_find(reply, "regions", &a);
	copy_text(ctl_drill_find(reply, "primary", &a), &a, ret_primary->name, sizeof(ret_primary->name));
	ret_primary->epoch = number_of(ctl_drill_find(reply, "epoch", &a));
	ret_primary->level = rows.data && are_level(rows, &a);
	return ERR_NONE;
}

enum err ctl_drill_look_url(struct ctl_http *h, const char *region, char out[CTL_DRILL_URL_BYTES], struct fault *f)
{
	CLEANUP(arena_release) struct arena a;
	struct str reply;
	enum err err = ctl_drill_call(h, "GET", "/isthmus/regions", (struct str){ 0 }, &reply, f);

	arena_init(&a, ARENA_BYTES_MAX);
	out[0] = '\0';
	if (err)
		return err;
	struct str rows = ctl_drill_find(reply, "regions", &a);
	struct json_reader r = json_reader_of(rows.data ? rows : STR("null"), &a);
	if (json_enter_array(&r))
		while (json_next_element(&r)) {
			struct str row = json_raw(&r);
			char name[DRILL_NAME_MAX + 1];

			if (json_failed(&r))
				break;
			copy_text(ctl_drill_find(row, "name", &a), &a, name, sizeof(name));
			if (strcmp(name, region) == 0)
				copy_text(ctl_drill_find(row, "rest", &a), &a, out, CTL_DRILL_URL_BYTES);
		}
	if (strncmp(out, "http://", 7) != 0)
		out[0] = '\0';
	return ERR_NONE;
}
