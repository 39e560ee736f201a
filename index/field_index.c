/* SPDX-License-Identifier: Apache-2.0 */
#include "index/field_index.h"

#include "base/map.h"
#include "index/order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Entries of one block of numbers; a full one is split in two. */
#define BLOCK_MAX 512u

/* A number of a row. Whole numbers keep their exact value beside the double, which rounds above 2^53. */
struct number {
	double key;
	int64_t whole;
	uint32_t row;
	bool is_whole;
};

struct number_block {
	struct number *items; /* BLOCK_MAX; sorted by number_compare */
	uint32_t count;
};

/* Sorted numbers in sorted blocks: a change moves one block's entries, a split the array of blocks. */
struct numbers {
	struct number_block *blocks;
	uint32_t count, cap;
};

enum content { CONTENT_TEXT, CONTENT_NUMBER, CONTENT_BOOL, CONTENT_OTHER };

struct field_index {
	struct field_index_config config;
	char *key_text;
	uint8_t *client_params;
	struct path path;
	enum content content;
	struct map texts; /* string -> struct rowset */
	size_t text_bytes;
	struct numbers numbers;
	struct rowset bools[2];
	uint64_t points;
};

/* --- numbers --- */

static int number_compare(const struct number *a, const struct number *b)
{
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->is_whole != b->is_whole)
		return a->is_whole ? 1 : -1;
	if (a->is_whole && a->whole != b->whole)
		return a->whole < b->whole ? -1 : 1;
	return (a->row > b->row) - (a->row < b->row);
}

/* The first entry >= n: block and place in it; the last block's end when there is none. */
static uint32_t numbers_seek(const struct numbers *s, const struct number *n, uint32_t *ret_at)
{
	uint32_t from = 0, to = s->count;

	while (from < to) {
		uint32_t mid = from + (to - from) / 2;
		const struct number_block *b = &s->blocks[mid];

		if (number_compare(&b->items[b->count - 1], n) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	uint32_t block = from;

	*ret_at = 0;
	if (block == s->count)
		return block;
	from = 0;
	to = s->blocks[block].count;
	while (from < to) {
		uint32_t mid = from + (to - from) / 2;

		if (number_compare(&s->blocks[block].items[mid], n) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	*ret_at = from;
	return block;
}

static enum err block_insert(struct numbers *s, uint32_t at)
{
	if (s->count == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 4;
		struct number_block *blocks = reallocarray(s->blocks, cap, sizeof(*blocks));

		if (!blocks)
			return ERR_NO_MEMORY;
		s->blocks = blocks;
		s->cap = cap;
	}
	struct number *items = calloc(BLOCK_MAX, sizeof(*items));

	if (!items)
		return ERR_NO_MEMORY;
	memmove(s->blocks + at + 1, s->blocks + at, (s->count - at) * sizeof(*s->blocks));
	s->blocks[at] = (struct number_block){ .items = items };
	s->count++;
	return ERR_NONE;
}

/* Moves the upper half of a full block into one after it. */
static enum err block_split(struct numbers *s, uint32_t at)
{
	enum err e = block_insert(s, at + 1);

	if (e)
		return e;
	struct number_block *low = &s->blocks[at], *high = &s->blocks[at + 1];

	high->count = BLOCK_MAX / 2;
	low->count = BLOCK_MAX - high->count;
	memcpy(high->items, low->items + low->count, high->count * sizeof(*high->items));
	return ERR_NONE;
}

static enum err numbers_add(struct numbers *s, const struct number *n)
{
	uint32_t at;
	uint32_t block = numbers_seek(s, n, &at);
	enum err e = ERR_NONE;

	if (s->count == 0)
		e = block_insert(s, 0);
	if (e)
		return e;
	if (block == s->count) { /* beyond all: the end of the last block */
		block--;
		at = s->blocks[block].count;
	}
	if (s->blocks[block].count == BLOCK_MAX) {
		e = block_split(s, block);
		if (e)
			return e;
		if (at > s->blocks[block].count) {
			at -= s->blocks[block].count;
			block++;
		}
	}
	struct number_block *b = &s->blocks[block];

	memmove(b->items + at + 1, b->items + at, (b->count - at) * sizeof(*b->items));
	b->items[at] = *n;
	b->count++;
	return ERR_NONE;
}

static void numbers_remove(struct numbers *s, const struct number *n)
{
	uint32_t at;
	uint32_t block = numbers_seek(s, n, &at);

	if (block == s->count)
		return;
	struct number_block *b = &s->blocks[block];

	if (at == b->count || number_compare(&b->items[at], n) != 0)
		return;
	b->count--;
	memmove(b->items + at, b->items + at + 1, (b->count - at) * sizeof(*b->items));
	if (b->count)
		return;
	free(b->items);
	s->count--;
	memmove(s->blocks + block, s->blocks + block + 1, (s->count - block) * sizeof(*s->blocks));
}

static void numbers_release(struct numbers *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		free(s->blocks[i].items);
	free(s->blocks);
}

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
	if (value_kind(v) != VALUE_STRING)
		return;
	c->any = true;
	if (c->add)
		c->err = text_add(c->index, value_string(v), c->row);
	else
		text_remove(c->index, value_string(v), c->row);
}

static void change_number(struct change *c, struct value v)
{
	struct number n;

	if (!number_of(v, c->row, &n))
		return;
	c->any = true;
	if (c->add)
		c->err = numbers_add(&c->index->numbers, &n);
	else
		numbers_remove(&c->index->numbers, &n);
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

static void change_value(struct change *c, struct value v)
{
	switch (c->index->content) {
	case CONTENT_TEXT:
		change_text(c, v);
		break;
	case CONTENT_NUMBER:
		change_number(c, v);
		break;
	case CONTENT_BOOL:
		change_bool(c, v);
		break;
	case CONTENT_OTHER:
		c->any |= value_kind(v) == VALUE_STRING || value_kind(v) == VALUE_OBJECT;
		break;
	}
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

static enum content content_of(enum field_schema schema)
{
	switch (schema) {
	case FIELD_KEYWORD:
	case FIELD_UUID:
	case FIELD_DATETIME:
		return CONTENT_TEXT;
	case FIELD_INTEGER:
	case FIELD_FLOAT:
		return CONTENT_NUMBER;
	case FIELD_BOOL:
		return CONTENT_BOOL;
	case FIELD_GEO:
	case FIELD_TEXT:
		break;
	}
	return CONTENT_OTHER;
}

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
	f->content = content_of(config->schema);
	enum err e = path_parse(f->config.key, &f->path, reterr_fault);

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
	numbers_release(&f->numbers);
	rowset_release(&f->bools[0]);
	rowset_release(&f->bools[1]);
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
	bytes += f->numbers.count * BLOCK_MAX * sizeof(struct number);
	return bytes + rowset_memory(&f->bools[0]) + rowset_memory(&f->bools[1]);
}

/* --- conditions --- */

static bool same_path(const struct path *a, const struct path *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		const struct path_step *x = &a->steps[i], *y = &b->steps[i];

		if (x->kind != y->kind)
			return false;
		if (x->kind == PATH_INDEX && x->index != y->index)
			return false;
		if (x->kind == PATH_KEY && str_compare(x->key, y->key) != 0)
			return false;
	}
	return true;
}

bool field_index_serves(const struct field_index *f, const struct condition *c)
{
	enum content wanted = CONTENT_OTHER;

	if (c->kind == CONDITION_MATCH_TEXT_VALUE || c->kind == CONDITION_MATCH_ANY_TEXT)
		wanted = CONTENT_TEXT;
	else if (c->kind == CONDITION_MATCH_INT_VALUE || c->kind == CONDITION_MATCH_ANY_INT)
		wanted = CONTENT_NUMBER;
	else if (c->kind == CONDITION_MATCH_BOOL_VALUE)
		wanted = CONTENT_BOOL;
	else if (c->kind == CONDITION_RANGE &&
		 (c->range.has_lt || c->range.has_lte || c->range.has_gt || c->range.has_gte))
		wanted = CONTENT_NUMBER;
	return wanted != CONTENT_OTHER && f->content == wanted && same_path(&f->path, &c->key);
}

static void text_rows(const struct field_index *f, struct str text, struct row_bits *out)
{
	const struct rowset *rows = map_get(&f->texts, text);

	if (rows)
		rowset_fill(rows, out);
}

static bool range_has(const struct range *r, double v)
{
	return (!r->has_lt || v < r->lt) && (!r->has_lte || v <= r->lte) &&
	       (!r->has_gt || v > r->gt) && (!r->has_gte || v >= r->gte);
}

/* Above every number that the range holds: the walk may end. */
static bool range_before(const struct range *r, double v)
{
	return (r->has_lt && v >= r->lt) || (r->has_lte && v > r->lte);
}

static void range_rows(const struct numbers *s, const struct range *r, struct row_bits *out)
{
	struct number first = { .key = -HUGE_VAL };
	uint32_t at;

	if (r->has_gt)
		first.key = r->gt;
	if (r->has_gte && !(first.key > r->gte))
		first.key = r->gte;
	if (isnan(first.key))
		return;
	for (uint32_t block = numbers_seek(s, &first, &at); block < s->count; block++, at = 0) {
		for (; at < s->blocks[block].count; at++) {
			const struct number *n = &s->blocks[block].items[at];

			if (range_before(r, n->key))
				return;
			if (range_has(r, n->key))
				row_bits_add(out, n->row);
		}
	}
}

static void whole_rows(const struct numbers *s, int64_t whole, struct row_bits *out)
{
	struct number first = { .key = (double)whole, .whole = whole, .is_whole = true };
	uint32_t at;

	for (uint32_t block = numbers_seek(s, &first, &at); block < s->count; block++, at = 0) {
		for (; at < s->blocks[block].count; at++) {
			const struct number *n = &s->blocks[block].items[at];

			if (!n->is_whole || n->whole != whole)
				return;
			row_bits_add(out, n->row);
		}
	}
}

void field_index_rows(const struct field_index *f, const struct condition *c, struct row_bits *out)
{
	switch ((unsigned)c->kind) {
	case CONDITION_MATCH_TEXT_VALUE:
		text_rows(f, c->text, out);
		break;
	case CONDITION_MATCH_ANY_TEXT:
		for (uint32_t i = 0; i < c->texts.count; i++)
			text_rows(f, c->texts.items[i], out);
		break;
	case CONDITION_MATCH_INT_VALUE:
		whole_rows(&f->numbers, c->integer, out);
		break;
	case CONDITION_MATCH_ANY_INT:
		for (uint32_t i = 0; i < c->ints.count; i++)
			whole_rows(&f->numbers, c->ints.items[i], out);
		break;
	case CONDITION_MATCH_BOOL_VALUE:
		rowset_fill(&f->bools[c->boolean], out);
		break;
	case CONDITION_RANGE:
		range_rows(&f->numbers, &c->range, out);
		break;
	default: /* not served */
		break;
	}
}
