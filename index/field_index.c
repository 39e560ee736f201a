/* SPDX-License-Identifier: Apache-2.0 */
#include "index/field_index.h"

#include "base/map.h"
#include "index/number_set.h"
#include "index/order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum content { CONTENT_TEXT, CONTENT_NUMBER, CONTENT_BOOL, CONTENT_TIME, CONTENT_GEO, CONTENT_WORDS };

struct field_index {
	struct field_index_config config;
	char *key_text;
	uint8_t *client_params;
	struct path path;
	enum content content;
	struct map texts; /* string, or word -> struct rowset */
	size_t text_bytes;
	struct number_set numbers; /* also moments; and latitudes, each with the bits of its longitude as the whole */
	struct words *words;
	bool stale; /* it has rows that it should not have, as there was no memory to take them out */
	struct rowset bools[2];
	uint64_t points;
};

/* --- what a payload has at the path --- */

struct change {
	struct field_index *index;
	uint32_t row;
	bool add;
	bool any; /* a value of the index's type was there */
	enum err err;
};

static enum err text_add(struct field_index *f, struct str text, uint32_t row)
{
	struct rowset *rows = map_get(&f->texts, text);

	if (!rows) {
		rows = calloc(1, sizeof(*rows));
		if (!rows)
			return ERR_NO_MEMORY;
		enum err e = map_put(&f->texts, text, rows, NULL);

		if (e) {
			free(rows);
			return e;
		}
		f->text_bytes += text.len;
	}
	return rowset_add(rows, row);
}

static void text_remove(struct field_index *f, struct str text, uint32_t row)
{
	struct rowset *rows = map_get(&f->texts, text);

	if (!rows)
		return;
	rowset_remove(rows, row);
	if (rowset_count(rows))
		return;
	(void)map_remove(&f->texts, text); /* it is rows */
	rowset_release(rows);
	free(rows);
	f->text_bytes -= text.len;
}

static bool number_of(struct value v, uint32_t row, struct number *ret_number)
{
	struct number n = { .row = row };

	if (!value_number(v, &n.key) || isnan(n.key))
		return false;
	if (value_kind(v) == VALUE_INT) {
		n.is_whole = true;
		n.whole = value_int(v);
	}
	*ret_number = n;
	return true;
}

static void change_text(struct change *c, struct value v)
{
	struct point_id uuid;

	if (value_kind(v) != VALUE_STRING)
		return;
	if (c->index->config.schema == FIELD_UUID && point_id_parse_uuid(value_string(v), &uuid) != ERR_NONE)
		return;
	c->any = true;
	if (c->add)
		c->err = text_add(c->index, value_string(v), c->row);
	else
		text_remove(c->index, value_string(v), c->row);
}

static void change_entry(struct change *c, const struct number *n)
{
	if (c->add)
		c->err = number_set_add(&c->index->numbers, n);
	else
		number_set_remove(&c->index->numbers, n);
}

/* An index of integers has all numbers, as a range finds all, and counts those of its type. */
static void change_number(struct change *c, struct value v)
{
	struct number n;

	if (!number_of(v, c->row, &n))
		return;
	c->any |= c->index->config.schema == FIELD_FLOAT || n.is_whole;
	change_entry(c, &n);
}

static struct number number_of_time(int64_t us, uint32_t row)
{
	return (struct number){ .key = (double)us, .whole = us, .is_whole = true, .row = row };
}

static void change_time(struct change *c, struct value v)
{
	int64_t us;

	if (value_kind(v) != VALUE_STRING || !datetime_parse(value_string(v), &us))
		return;
	c->any = true;
	const struct number n = number_of_time(us, c->row);
	change_entry(c, &n);
}

static struct geo_point point_of_number(const struct number *n)
{
	struct geo_point p = { .lat = n->key };

	memcpy(&p.lon, &n->whole, sizeof(p.lon));
	return p;
}

static void change_geo(struct change *c, struct value v)
{
	struct geo_point p;

	if (!geo_point_of(v, &p))
		return;
	struct number n = { .key = p.lat, .is_whole = true, .row = c->row };

	memcpy(&n.whole, &p.lon, sizeof(n.whole));
	c->any = true;
	change_entry(c, &n);
}

static void change_bool(struct change *c, struct value v)
{
	enum value_kind kind = value_kind(v);

	if (kind != VALUE_TRUE && kind != VALUE_FALSE)
		return;
	c->any = true;
	struct rowset *rows = &c->index->bools[kind == VALUE_TRUE];

	if (c->add)
		c->err = rowset_add(rows, c->row);
	else
		rowset_remove(rows, c->row);
}

static enum err change_word(void *ctx, struct str word)
{
	struct change *c = ctx;

	if (c->add)
		return text_add(c->index, word, c->row);
	text_remove(c->index, word, c->row);
	return ERR_NONE;
}

static void change_words(struct change *c, struct value v)
{
	if (value_kind(v) != VALUE_STRING)
		return;
	c->any = true;
	c->err = words_each(c->index->words, value_string(v), WORDS_OF_DOCUMENT, change_word, c);
}

/* What each type of index holds. */
static const struct {
	enum content content;
	void (*change)(struct change *c, struct value v);
} schemas[] = {
	[FIELD_KEYWORD] = { CONTENT_TEXT, change_text },      [FIELD_UUID] = { CONTENT_TEXT, change_text },
	[FIELD_INTEGER] = { CONTENT_NUMBER, change_number },  [FIELD_FLOAT] = { CONTENT_NUMBER, change_number },
	[FIELD_BOOL] = { CONTENT_BOOL, change_bool },         [FIELD_DATETIME] = { CONTENT_TIME, change_time },
	[FIELD_GEO] = { CONTENT_GEO, change_geo },            [FIELD_TEXT] = { CONTENT_WORDS, change_words },
};

static void change_value(struct change *c, struct value v)
{
	schemas[c->index->config.schema].change(c, v);
}

/* As conditions look at it: an array stands for its elements, one level deep. */
static bool change_found(void *ctx, struct value found)
{
	struct change *c = ctx;

	if (value_kind(found) != VALUE_LIST) {
		change_value(c, found);
		return c->err != ERR_NONE;
	}
	struct value_iter it = value_items(found);
	struct value v;

	while (!c->err && value_next(&it, NULL, &v))
		change_value(c, v);
	return c->err != ERR_NONE;
}

/* --- life --- */

enum err field_index_new(const struct field_index_config *config, struct field_index **ret_index,
			 struct fault *reterr_fault)
{
	struct field_index *f = calloc(1, sizeof(*f));

	if (!f)
		return ERR_NO_MEMORY;
	map_init(&f->texts);
	f->key_text = malloc(config->key.len + 1);
	f->client_params = malloc(config->client_params.len + 1);
	if (!f->key_text || !f->client_params) {
		field_index_free(f);
		return ERR_NO_MEMORY;
	}
	memcpy(f->key_text, config->key.data, config->key.len);
	if (config->client_params.len)
		memcpy(f->client_params, config->client_params.data, config->client_params.len);
	f->config = (struct field_index_config){
		.key = { .data = f->key_text, .len = config->key.len },
		.schema = config->schema,
		.client_params = { .data = f->client_params, .len = config->client_params.len },
	};
	f->content = schemas[config->schema].content;
	enum err e = path_parse(f->config.key, &f->path, reterr_fault);

	if (!e && config->schema == FIELD_TEXT)
		e = words_new(f->config.client_params, &f->words, reterr_fault);
	if (e) {
		field_index_free(f);
		return e;
	}
	*ret_index = f;
	return ERR_NONE;
}

void field_index_free(struct field_index *f)
{
	if (!f)
		return;
	size_t cursor = 0;
	struct str text;
	void *rows;

	while (map_next(&f->texts, &cursor, &text, &rows)) {
		rowset_release(rows);
		free(rows);
	}
	map_release(&f->texts);
	number_set_release(&f->numbers);
	rowset_release(&f->bools[0]);
	rowset_release(&f->bools[1]);
	words_free(f->words);
	free(f->key_text);
	free(f->client_params);
	free(f);
}

const struct field_index_config *field_index_config(const struct field_index *f)
{
	return &f->config;
}

enum err field_index_add(struct field_index *f, uint32_t row, struct value payload)
{
	struct change c = { .index = f, .row = row, .add = true };

	if (payload.data)
		(void)path_walk(&f->path, payload, change_found, &c); /* c says what it found */
	f->points += c.any;
	return c.err;
}

void field_index_remove(struct field_index *f, uint32_t row, struct value payload)
{
	struct change c = { .index = f, .row = row };

	if (payload.data)
		(void)path_walk(&f->path, payload, change_found, &c); /* c says what it found */
	f->points -= c.any;
	f->stale |= c.err != ERR_NONE;
}

uint64_t field_index_points(const struct field_index *f)
{
	return f->points;
}

size_t field_index_memory(const struct field_index *f)
{
	size_t bytes = f->text_bytes + f->texts.cap * 2 * sizeof(void *);
	size_t cursor = 0;
	struct str text;
	void *rows;

	while (map_next(&f->texts, &cursor, &text, &rows))
		bytes += sizeof(struct rowset) + rowset_memory(rows);
	bytes += number_set_memory(&f->numbers);
	return bytes + rowset_memory(&f->bools[0]) + rowset_memory(&f->bools[1]);
}

/* --- paths --- */

static bool same_steps(const struct path_step *a, const struct path_step *b, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (a[i].kind != b[i].kind)
			return false;
		if (a[i].kind == PATH_INDEX && a[i].index != b[i].index)
			return false;
		if (a[i].kind == PATH_KEY && str_compare(a[i].key, b[i].key) != 0)
			return false;
	}
	return true;
}

static bool same_path(const struct path *a, const struct path *b)
{
	return a->count == b->count && same_steps(a->steps, b->steps, a->count);
}

const struct words *field_index_words(const struct field_index *f, const struct path *within,
				      const struct path *key)
{
	uint32_t before = within ? within->count : 0;

	if (!f->words || f->path.count != before + key->count)
		return NULL;
	if (before && !same_steps(f->path.steps, within->steps, before))
		return NULL;
	return same_steps(f->path.steps + before, key->steps, key->count) ? f->words : NULL;
}

/* --- conditions: the rows of each --- */

static void text_rows(const struct field_index *f, struct str text, struct row_bits *out)
{
	const struct rowset *rows = map_get(&f->texts, text);

	if (rows)
		rowset_fill(rows, out);
}

static enum err rows_of_text(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	text_rows(f, c->text, out);
	return ERR_NONE;
}

static enum err rows_of_texts(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	for (uint32_t i = 0; i < c->texts.count; i++)
		text_rows(f, c->texts.items[i], out);
	return ERR_NONE;
}

/* There are fewer texts than rows, mostly. */
static enum err rows_of_prefix(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	size_t cursor = 0;
	struct str text;
	void *rows;

	while (map_next(&f->texts, &cursor, &text, &rows))
		if (text.len >= c->text.len && (c->text.len == 0 || memcmp(text.data, c->text.data, c->text.len) == 0))
			rowset_fill(rows, out);
	return ERR_NONE;
}

static enum err rows_of_bool(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	rowset_fill(&f->bools[c->boolean], out);
	return ERR_NONE;
}

/* Adds the entries from first on for which more() is 1; ends where it is negative. */
static void numbers_from(const struct number_set *s, const struct number *first, const struct condition *c,
			 int (*more)(const struct condition *c, const struct number *n), struct row_bits *out)
{
	uint32_t at;

	for (uint32_t block = number_set_seek(s, first, &at); block < s->count; block++, at = 0) {
		for (; at < s->blocks[block].count; at++) {
			const struct number *n = &s->blocks[block].items[at];
			int answer = more(c, n);

			if (answer < 0)
				return;
			if (answer > 0)
				row_bits_add(out, n->row);
		}
	}
}

static int is_in_numbers(const struct condition *c, const struct number *n)
{
	const struct range *r = &c->range;
	double v = n->key;

	if ((r->has_lt && v >= r->lt) || (r->has_lte && v > r->lte))
		return -1;
	return (!r->has_lt || v < r->lt) && (!r->has_lte || v <= r->lte) && (!r->has_gt || v > r->gt) &&
	       (!r->has_gte || v >= r->gte);
}

static enum err rows_of_numbers(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	const struct range *r = &c->range;
	struct number first = { .key = -HUGE_VAL };

	if (r->has_gt)
		first.key = r->gt;
	if (r->has_gte && !(first.key > r->gte))
		first.key = r->gte;
	if (!isnan(first.key))
		numbers_from(&f->numbers, &first, c, is_in_numbers, out);
	return ERR_NONE;
}

static int is_in_times(const struct condition *c, const struct number *n)
{
	const struct datetime_range *r = &c->times;
	int64_t v = n->whole;

	if ((r->has_lt && v >= r->lt) || (r->has_lte && v > r->lte))
		return -1;
	return (!r->has_gt || v > r->gt) && (!r->has_gte || v >= r->gte);
}

static enum err rows_of_times(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	const struct datetime_range *r = &c->times;
	int64_t from = INT64_MIN;

	if (r->has_gt)
		from = r->gt;
	if (r->has_gte)
		from = MAX(from, r->gte);
	const struct number first = number_of_time(from, 0);

	numbers_from(&f->numbers, &first, c, is_in_times, out);
	return ERR_NONE;
}

static int is_whole(const struct condition *c, const struct number *n)
{
	return n->is_whole && n->whole == c->integer ? 1 : -1;
}

static void whole_rows(const struct field_index *f, int64_t whole, struct row_bits *out)
{
	const struct number first = { .key = (double)whole, .whole = whole, .is_whole = true };
	const struct condition c = { .integer = whole };

	numbers_from(&f->numbers, &first, &c, is_whole, out);
}

static enum err rows_of_int(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	whole_rows(f, c->integer, out);
	return ERR_NONE;
}

static enum err rows_of_ints(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	for (uint32_t i = 0; i < c->ints.count; i++)
		whole_rows(f, c->ints.items[i], out);
	return ERR_NONE;
}

/* The latitudes that the shape covers are walked through. */
static void rows_of_shape(const struct field_index *f, const struct condition *c, struct geo_bounds b,
			  int (*more)(const struct condition *c, const struct number *n), struct row_bits *out)
{
	const struct number first = { .key = b.lat_min };
	uint32_t at;

	for (uint32_t block = number_set_seek(&f->numbers, &first, &at); block < f->numbers.count; block++, at = 0) {
		for (; at < f->numbers.blocks[block].count; at++) {
			const struct number *n = &f->numbers.blocks[block].items[at];
			double lon = point_of_number(n).lon;

			if (n->key > b.lat_max)
				return;
			if (lon >= b.lon_min && lon <= b.lon_max && more(c, n))
				row_bits_add(out, n->row);
		}
	}
}

static int is_in_box(const struct condition *c, const struct number *n)
{
	return geo_box_has(&c->box, point_of_number(n));
}

static int is_in_circle(const struct condition *c, const struct number *n)
{
	return geo_circle_has(&c->circle, point_of_number(n));
}

static int is_in_polygon(const struct condition *c, const struct number *n)
{
	return geo_polygon_has(&c->polygon, point_of_number(n));
}

static enum err rows_of_box(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	rows_of_shape(f, c, geo_box_bounds(&c->box), is_in_box, out);
	return ERR_NONE;
}

static enum err rows_of_circle(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	rows_of_shape(f, c, geo_circle_bounds(&c->circle), is_in_circle, out);
	return ERR_NONE;
}

static enum err rows_of_polygon(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	rows_of_shape(f, c, geo_polygon_bounds(&c->polygon), is_in_polygon, out);
	return ERR_NONE;
}

/* Those of the words that were told. */
struct word_rows {
	const struct field_index *index;
	struct row_bits rows;
	bool any; /* rows of any, or of all words */
	bool told;
};

static enum err add_word_rows(void *ctx, struct str word)
{
	struct word_rows *w = ctx;
	struct row_bits rows;

	if (w->any || !w->told) {
		text_rows(w->index, word, &w->rows);
		w->told = true;
		return ERR_NONE;
	}
	enum err e = row_bits_init(&rows, w->rows.bits);

	if (e)
		return e;
	text_rows(w->index, word, &rows);
	row_bits_and(&w->rows, &rows);
	row_bits_release(&rows);
	return ERR_NONE;
}

/* A phrase's words are all there; in which order, the index does not know. */
static enum err rows_of_words(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	struct word_rows w = { .index = f, .any = c->kind == CONDITION_MATCH_TEXT_ANY };
	bool phrase = c->kind == CONDITION_MATCH_PHRASE;

	if (phrase && !words_have_phrases(f->words))
		return ERR_NONE;
	enum err e = row_bits_init(&w.rows, out->bits);

	if (e)
		return e;
	e = words_each(f->words, c->text, phrase ? WORDS_OF_DOCUMENT : WORDS_OF_QUERY, add_word_rows, &w);
	if (!e)
		row_bits_or(out, &w.rows);
	row_bits_release(&w.rows);
	return e;
}

/* Which conditions an index of that content serves. */
static const struct {
	enum content content;
	enum field_index_service service;
	enum err (*rows)(const struct field_index *f, const struct condition *c, struct row_bits *out);
} services[CONDITION_COUNT] = {
	[CONDITION_MATCH_TEXT_VALUE] = { CONTENT_TEXT, SERVES_EXACTLY, rows_of_text },
	[CONDITION_MATCH_ANY_TEXT] = { CONTENT_TEXT, SERVES_EXACTLY, rows_of_texts },
	[CONDITION_MATCH_PREFIX] = { CONTENT_TEXT, SERVES_EXACTLY, rows_of_prefix },
	[CONDITION_MATCH_INT_VALUE] = { CONTENT_NUMBER, SERVES_EXACTLY, rows_of_int },
	[CONDITION_MATCH_ANY_INT] = { CONTENT_NUMBER, SERVES_EXACTLY, rows_of_ints },
	[CONDITION_MATCH_BOOL_VALUE] = { CONTENT_BOOL, SERVES_EXACTLY, rows_of_bool },
	[CONDITION_RANGE] = { CONTENT_NUMBER, SERVES_EXACTLY, rows_of_numbers },
	[CONDITION_DATETIME_RANGE] = { CONTENT_TIME, SERVES_EXACTLY, rows_of_times },
	[CONDITION_GEO_BOX] = { CONTENT_GEO, SERVES_EXACTLY, rows_of_box },
	[CONDITION_GEO_RADIUS] = { CONTENT_GEO, SERVES_EXACTLY, rows_of_circle },
	[CONDITION_GEO_POLYGON] = { CONTENT_GEO, SERVES_EXACTLY, rows_of_polygon },
	[CONDITION_MATCH_TEXT] = { CONTENT_WORDS, SERVES_EXACTLY, rows_of_words },
	[CONDITION_MATCH_TEXT_ANY] = { CONTENT_WORDS, SERVES_EXACTLY, rows_of_words },
	[CONDITION_MATCH_PHRASE] = { CONTENT_WORDS, SERVES_NARROWER, rows_of_words },
};

static bool is_uuid(struct str text)
{
	struct point_id id;
	return point_id_parse_uuid(text, &id) == ERR_NONE;
}

/* An index of UUIDs knows nothing of other texts. */
static bool are_uuids(const struct condition *c)
{
	if (c->kind == CONDITION_MATCH_TEXT_VALUE)
		return is_uuid(c->text);
	for (uint32_t i = 0; c->kind == CONDITION_MATCH_ANY_TEXT && i < c->texts.count; i++)
		if (!is_uuid(c->texts.items[i]))
			return false;
	return c->kind == CONDITION_MATCH_ANY_TEXT;
}

enum field_index_service field_index_serves(const struct field_index *f, const struct condition *c)
{
	/* Without bounds a range holds every number, also those that the index leaves out. */
	if (c->kind == CONDITION_RANGE &&
	    !(c->range.has_lt || c->range.has_lte || c->range.has_gt || c->range.has_gte))
		return SERVES_NOT;
	if (f->stale || !services[c->kind].rows || services[c->kind].content != f->content || !same_path(&f->path, &c->key))
		return SERVES_NOT;
	if (f->config.schema == FIELD_UUID && !are_uuids(c))
		return SERVES_NOT;
	return services[c->kind].service;
}

enum err field_index_rows(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	return services[c->kind].rows(f, c, out);
}

/* --- facets --- */

int field_value_compare(const struct field_value *a, const struct field_value *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	switch (a->kind) {
	case FIELD_VALUE_TEXT:
		return str_compare(a->text, b->text);
	case FIELD_VALUE_INT:
		return (a->integer > b->integer) - (a->integer < b->integer);
	case FIELD_VALUE_BOOL:
		break;
	}
	return (int)a->boolean - (int)b->boolean;
}

bool field_index_has_facets(const struct field_index *f)
{
	return !f->stale && (f->content == CONTENT_TEXT || f->content == CONTENT_BOOL || f->config.schema == FIELD_INTEGER);
}

struct facets {
	const struct row_bits *among;
	facet_fn fn;
	void *ctx;
};

static enum err tell(const struct facets *x, const struct field_value *v, uint64_t count)
{
	return count ? x->fn(x->ctx, v, count) : ERR_NONE;
}

static uint64_t rows_among(const struct facets *x, const struct rowset *rows)
{
	return x->among ? rowset_count_in(rows, x->among) : rowset_count(rows);
}

static enum err facets_of_texts(const struct field_index *f, const struct facets *x)
{
	struct field_value v = { .kind = FIELD_VALUE_TEXT };
	enum err e = ERR_NONE;
	size_t cursor = 0;
	void *rows;

	while (!e && map_next(&f->texts, &cursor, &v.text, &rows))
		e = tell(x, &v, rows_among(x, rows));
	return e;
}

/* Entries of one number follow each other, by row; a row that has it twice counts once. */
static enum err facets_of_wholes(const struct field_index *f, const struct facets *x)
{
	struct field_value v = { .kind = FIELD_VALUE_INT };
	const struct number *last = NULL;
	enum err e = ERR_NONE;
	uint64_t count = 0;

	for (uint32_t b = 0; !e && b < f->numbers.count; b++) {
		for (uint32_t i = 0; !e && i < f->numbers.blocks[b].count; i++) {
			const struct number *n = &f->numbers.blocks[b].items[i];

			if (!n->is_whole || (last && number_compare(last, n) == 0))
				continue;
			if (last && last->whole != n->whole) {
				v.integer = last->whole;
				e = tell(x, &v, count);
				count = 0;
			}
			count += !x->among || row_bits_has(x->among, n->row);
			last = n;
		}
	}
	if (e || !last)
		return e;
	v.integer = last->whole;
	return tell(x, &v, count);
}

static enum err facets_of_bools(const struct field_index *f, const struct facets *x)
{
	enum err e = ERR_NONE;

	for (int i = 0; !e && i < 2; i++) {
		const struct field_value v = { .kind = FIELD_VALUE_BOOL, .boolean = i == 1 };

		e = tell(x, &v, rows_among(x, &f->bools[i]));
	}
	return e;
}

enum err field_index_facets(const struct field_index *f, const struct row_bits *among, facet_fn fn, void *ctx)
{
	const struct facets x = { .among = among, .fn = fn, .ctx = ctx };

	if (f->content == CONTENT_TEXT)
		return facets_of_texts(f, &x);
	return f->content == CONTENT_BOOL ? facets_of_bools(f, &x) : facets_of_wholes(f, &x);
}
