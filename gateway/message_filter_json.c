/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters from and to JSON. What stands behind a condition's key is read and written by the row of its argument;
 * where rows of filter.def share a key, the value tells which of them it is.
 */
#include "gateway/message_filter.h"

#include <string.h>

#include "index/order.h"

static bool is_word(struct str s, const char *word)
{
	return strlen(word) == s.len && memcmp(s.data, word, s.len) == 0;
}

static void filter_from_object(struct filter_builder *b, struct json_reader *r, struct filter *f);
static void put_filter(const struct filter *f, struct json_writer *w);

/* ---- arguments: is it one? from JSON; to JSON ---- */

static bool is_string(struct json_reader ahead)
{
	return json_peek(&ahead) == JSON_STRING;
}

static bool is_number(struct json_reader ahead)
{
	return json_peek(&ahead) == JSON_NUMBER;
}

static bool is_bool(struct json_reader ahead)
{
	return json_peek(&ahead) == JSON_BOOL;
}

static bool is_array(struct json_reader ahead)
{
	return json_peek(&ahead) == JSON_ARRAY;
}

static bool is_object(struct json_reader ahead)
{
	return json_peek(&ahead) == JSON_OBJECT;
}

/* The first element tells; an empty list is one of texts. */
static bool is_list_of_numbers(struct json_reader ahead)
{
	return json_peek(&ahead) == JSON_ARRAY && json_enter_array(&ahead) && json_next_element(&ahead) &&
	       json_peek(&ahead) == JSON_NUMBER;
}

static bool is_list_of_texts(struct json_reader ahead)
{
	return is_array(ahead) && !is_list_of_numbers(ahead);
}

/* Bounds of which one is a text. */
static bool is_times(struct json_reader ahead)
{
	struct str key;

	if (!is_object(ahead) || !json_enter_object(&ahead))
		return false;
	while (json_next_key(&ahead, &key)) {
		for (int i = 0; i < MESSAGE_FILTER_BOUNDS; i++)
			if (str_compare(key, message_filter_bounds[i].key) == 0 && json_peek(&ahead) == JSON_STRING)
				return true;
		json_skip(&ahead);
	}
	return false;
}

static bool is_numbers(struct json_reader ahead)
{
	return is_object(ahead) && !is_times(ahead);
}

static void text_from_json(UNUSED struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	c->text = json_string(r);
}

static void text_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_string(w, c->text);
}

static void int_from_json(UNUSED struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	c->integer = json_i64(r);
}

static void int_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_i64(w, c->integer);
}

static void bool_from_json(UNUSED struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	c->boolean = json_bool(r);
}

static void bool_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_bool(w, c->boolean);
}

static void texts_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	if (!json_enter_array(r))
		return;
	while (!b->d->err && json_next_element(r)) {
		struct str text = json_string(r);
		if (!json_failed(r))
			message_filter_add_text(b, &c->texts, text);
	}
}

static void texts_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_array(w);
	for (uint32_t i = 0; i < c->texts.count; i++)
		json_put_string(w, c->texts.items[i]);
	json_put_array_end(w);
}

static void ints_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	if (!json_enter_array(r))
		return;
	while (!b->d->err && json_next_element(r))
		message_filter_add_int(b, &c->ints, json_i64(r));
}

static void ints_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_array(w);
	for (uint32_t i = 0; i < c->ints.count; i++)
		json_put_i64(w, c->ints.items[i]);
	json_put_array_end(w);
}

/* Calls value for each bound that is there and not null; other keys are passed over, as Qdrant does. */
static void bounds_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c,
			     void (*value)(struct json_reader *r, void *out))
{
	char *bounds = (char *)&c->range;
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		int i = 0;
		while (i < MESSAGE_FILTER_BOUNDS && str_compare(key, message_filter_bounds[i].key) != 0)
			i++;
		if (i == MESSAGE_FILTER_BOUNDS) {
			json_skip(r);
		} else if (json_peek(r) == JSON_NULL) {
			json_null(r);
		} else {
			value(r, bounds + message_filter_bounds[i].value);
			*(bool *)(bounds + message_filter_bounds[i].has) = true;
		}
	}
}

static void bounds_to_json(const struct condition *c, struct json_writer *w,
			   void (*value)(const void *in, struct json_writer *w))
{
	const char *bounds = (const char *)&c->range;

	json_put_object(w);
	for (int i = 0; i < MESSAGE_FILTER_BOUNDS; i++) {
		if (!*(const bool *)(bounds + message_filter_bounds[i].has))
			continue;
		json_put_key(w, message_filter_bounds[i].key);
		value(bounds + message_filter_bounds[i].value, w);
	}
	json_put_object_end(w);
}

static void read_f64(struct json_reader *r, void *out)
{
	*(double *)out = json_f64(r);
}

static void write_f64(const void *in, struct json_writer *w)
{
	json_put_f64(w, *(const double *)in);
}

static void numbers_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	bounds_from_json(b, r, c, read_f64);
}

static void numbers_to_json(const struct condition *c, struct json_writer *w)
{
	bounds_to_json(c, w, write_f64);
}

static void read_time(struct json_reader *r, void *out)
{
	struct str text = json_string(r);

	if (!json_failed(r) && !datetime_parse(text, out))
		json_fail(r, "a bound of a range is no date: expected 2024-02-29T12:34:56Z, with a zone, a fraction or without, or 2024-02-29");
}

static void write_time(const void *in, struct json_writer *w)
{
	char text[DATETIME_TEXT_MAX];
	size_t len = datetime_format(*(const int64_t *)in, text);

	json_put_string(w, (struct str){ .data = text, .len = len });
}

static void times_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	bounds_from_json(b, r, c, read_time);
}

static void times_to_json(const struct condition *c, struct json_writer *w)
{
	bounds_to_json(c, w, write_time);
}

static void read_count(struct json_reader *r, void *out)
{
	*(uint64_t *)out = json_u64(r);
}

static void write_count(const void *in, struct json_writer *w)
{
	json_put_u64(w, *(const uint64_t *)in);
}

static void counts_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	bounds_from_json(b, r, c, read_count);
}

static void counts_to_json(const struct condition *c, struct json_writer *w)
{
	bounds_to_json(c, w, write_count);
}

static void missing(struct json_reader *r, bool given, const char *words)
{
	if (!given)
		json_fail(r, words);
}

static struct geo_point point_from_json(struct json_reader *r)
{
	struct geo_point p = { 0 };
	bool has_lon = false, has_lat = false;
	struct str key;

	if (!json_enter_object(r))
		return p;
	while (json_next_key(r, &key)) {
		bool lon = is_word(key, "lon"), lat = is_word(key, "lat");
		if (lon || lat)
			*(lon ? &p.lon : &p.lat) = json_f64(r);
		else
			json_skip(r);
		has_lon |= lon;
		has_lat |= lat;
	}
	missing(r, has_lon, "missing field `lon`");
	missing(r, has_lat, "missing field `lat`");
	const char *words = json_failed(r) ? NULL : message_filter_point_words(p);
	if (words)
		json_fail(r, words);
	return p;
}

static void point_to_json(struct geo_point p, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, STR("lon"));
	json_put_f64(w, p.lon);
	json_put_key(w, STR("lat"));
	json_put_f64(w, p.lat);
	json_put_object_end(w);
}

static void box_from_json(UNUSED struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	bool has_top_left = false, has_bottom_right = false;
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is_word(key, "top_left")) {
			c->box.top_left = point_from_json(r);
			has_top_left = true;
		} else if (is_word(key, "bottom_right")) {
			c->box.bottom_right = point_from_json(r);
			has_bottom_right = true;
		} else {
			json_skip(r);
		}
	}
	missing(r, has_top_left, "missing field `top_left`");
	missing(r, has_bottom_right, "missing field `bottom_right`");
}

static void box_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, STR("top_left"));
	point_to_json(c->box.top_left, w);
	json_put_key(w, STR("bottom_right"));
	point_to_json(c->box.bottom_right, w);
	json_put_object_end(w);
}

static void circle_from_json(UNUSED struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	bool has_center = false, has_radius = false;
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is_word(key, "center")) {
			c->circle.center = point_from_json(r);
			has_center = true;
		} else if (is_word(key, "radius")) {
			c->circle.radius_m = json_f64(r);
			has_radius = true;
		} else {
			json_skip(r);
		}
	}
	missing(r, has_center, "missing field `center`");
	missing(r, has_radius, "missing field `radius`");
}

static void circle_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, STR("center"));
	point_to_json(c->circle.center, w);
	json_put_key(w, STR("radius"));
	json_put_f64(w, c->circle.radius_m);
	json_put_object_end(w);
}

/* {"points": […]} */
static void ring_from_json(struct filter_builder *b, struct json_reader *r, struct geo_ring *ring)
{
	struct fault fault = { 0 };
	bool given = false;
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (!is_word(key, "points")) {
			json_skip(r);
			continue;
		}
		given = true;
		if (!json_enter_array(r))
			return;
		while (!b->d->err && json_next_element(r))
			message_filter_add_point(b, ring, point_from_json(r));
	}
	missing(r, given, "missing field `points`");
	if (!b->d->err && !json_failed(r) && geo_ring_check(ring, &fault) != ERR_NONE)
		message_json_fail(b->d, r, "%s", fault_text(&fault));
}

static void ring_to_json(const struct geo_ring *ring, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, STR("points"));
	json_put_array(w);
	for (uint32_t i = 0; i < ring->count; i++)
		point_to_json(ring->points[i], w);
	json_put_array_end(w);
	json_put_object_end(w);
}

static void holes_from_json(struct filter_builder *b, struct json_reader *r, struct geo_polygon *g)
{
	if (json_peek(r) == JSON_NULL) {
		json_null(r);
		return;
	}
	if (!json_enter_array(r))
		return;
	while (!b->d->err && json_next_element(r)) {
		struct geo_ring *hole = message_filter_add_hole(b, g);
		if (hole)
			ring_from_json(b, r, hole);
	}
}

static void polygon_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	bool given = false;
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (is_word(key, "exterior")) {
			c->polygon.exterior = (struct geo_ring){ 0 };
			ring_from_json(b, r, &c->polygon.exterior);
			given = true;
		} else if (is_word(key, "interiors")) {
			holes_from_json(b, r, &c->polygon);
		} else {
			json_skip(r);
		}
	}
	missing(r, given, "missing field `exterior`");
}

static void polygon_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, STR("exterior"));
	ring_to_json(&c->polygon.exterior, w);
	if (c->polygon.interior_count) {
		json_put_key(w, STR("interiors"));
		json_put_array(w);
		for (uint32_t i = 0; i < c->polygon.interior_count; i++)
			ring_to_json(&c->polygon.interiors[i], w);
		json_put_array_end(w);
	}
	json_put_object_end(w);
}

static void set_key_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	struct str text = json_string(r);

	if (!json_failed(r))
		message_filter_set_key(b, c, text);
}

/* {"key": …} */
static void key_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	bool given = false;
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (is_word(key, "key")) {
			set_key_from_json(b, r, c);
			given = true;
		} else {
			json_skip(r);
		}
	}
	missing(r, given, "missing field `key`");
}

static void key_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, STR("key"));
	json_put_string(w, c->key.text);
	json_put_object_end(w);
}

static void ids_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	if (!json_enter_array(r))
		return;
	while (!b->d->err && json_next_element(r)) {
		struct point_id id = message_point_id_from_json(b->d, r);
		if (!json_failed(r))
			message_filter_add_id(b, &c->ids, id);
	}
}

static void ids_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_array(w);
	for (uint32_t i = 0; i < c->ids.count; i++)
		message_point_id_to_json(c->ids.items[i], w);
	json_put_array_end(w);
}

static void name_from_json(UNUSED struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	c->vector_name = json_string(r);
}

static void name_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_string(w, c->vector_name);
}

static void inner_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	struct filter *f = message_filter_inner(b);

	if (!f)
		return;
	c->filter = f;
	filter_from_object(b, r, f);
	b->depth--;
}

static void inner_to_json(const struct condition *c, struct json_writer *w)
{
	put_filter(c->filter, w);
}

static void nested_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	bool has_key = false, has_filter = false;
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (is_word(key, "key")) {
			set_key_from_json(b, r, c);
			has_key = true;
		} else if (is_word(key, "filter")) {
			inner_from_json(b, r, c);
			has_filter = true;
		} else {
			json_skip(r);
		}
	}
	missing(r, has_key, "missing field `key`");
	missing(r, has_filter, "missing field `filter`");
}

static void nested_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, STR("key"));
	json_put_string(w, c->key.text);
	json_put_key(w, STR("filter"));
	put_filter(c->filter, w);
	json_put_object_end(w);
}

static uint32_t u32_from_json(struct json_reader *r)
{
	uint64_t n = json_u64(r);

	if (n > UINT32_MAX)
		json_fail(r, "expected u32");
	return (uint32_t)n;
}

static void slice_from_json(UNUSED struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	bool has_total = false, has_index = false;
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is_word(key, "total")) {
			c->slice.total = u32_from_json(r);
			has_total = true;
		} else if (is_word(key, "index")) {
			c->slice.index = u32_from_json(r);
			has_index = true;
		} else {
			json_skip(r);
		}
	}
	missing(r, has_total, "missing field `total`");
	missing(r, has_index, "missing field `index`");
}

static void slice_to_json(const struct condition *c, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, STR("total"));
	json_put_u64(w, c->slice.total);
	json_put_key(w, STR("index"));
	json_put_u64(w, c->slice.index);
	json_put_object_end(w);
}

static const struct {
	bool (*fits)(struct json_reader ahead);
	void (*from)(struct filter_builder *b, struct json_reader *r, struct condition *c);
	void (*to)(const struct condition *c, struct json_writer *w);
} arguments[ARGUMENT_COUNT] = {
	[ARGUMENT_TEXT] = { is_string, text_from_json, text_to_json },
	[ARGUMENT_INT] = { is_number, int_from_json, int_to_json },
	[ARGUMENT_BOOL] = { is_bool, bool_from_json, bool_to_json },
	[ARGUMENT_TEXTS] = { is_list_of_texts, texts_from_json, texts_to_json },
	[ARGUMENT_INTS] = { is_list_of_numbers, ints_from_json, ints_to_json },
	[ARGUMENT_NUMBERS] = { is_numbers, numbers_from_json, numbers_to_json },
	[ARGUMENT_DATETIMES] = { is_times, times_from_json, times_to_json },
	[ARGUMENT_BOX] = { is_object, box_from_json, box_to_json },
	[ARGUMENT_CIRCLE] = { is_object, circle_from_json, circle_to_json },
	[ARGUMENT_POLYGON] = { is_object, polygon_from_json, polygon_to_json },
	[ARGUMENT_COUNTS] = { is_object, counts_from_json, counts_to_json },
	[ARGUMENT_KEY] = { is_object, key_from_json, key_to_json },
	[ARGUMENT_IDS] = { is_array, ids_from_json, ids_to_json },
	[ARGUMENT_NAME] = { is_string, name_from_json, name_to_json },
	[ARGUMENT_FILTER] = { is_object, inner_from_json, inner_to_json },
	[ARGUMENT_NESTED] = { is_object, nested_from_json, nested_to_json },
	[ARGUMENT_SLICE] = { is_object, slice_from_json, slice_to_json },
};

/* ---- conditions from JSON ---- */

/* The kind that this key means there, with what follows it; CONDITION_COUNT: none. *ret_known: some kind has the key. */
static enum condition_kind kind_of(enum condition_object o, struct str key, const struct json_reader *value,
				   bool *ret_known)
{
	*ret_known = false;
	for (unsigned i = 0; i < CONDITION_COUNT; i++) {
		enum condition_kind k = (enum condition_kind)i;

		if (condition_object_of(k) != o || !message_filter_key(k) || !is_word(key, message_filter_key(k)))
			continue;
		*ret_known = true;
		if (arguments[condition_argument_of(k)].fits(*value))
			return k;
	}
	return CONDITION_COUNT;
}

static void argument_from_json(struct filter_builder *b, struct json_reader *r, enum condition_kind kind,
			       struct condition *c)
{
	*c = (struct condition){ .kind = kind };
	arguments[condition_argument_of(kind)].from(b, r, c);
}

static void match_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	struct str key;
	uint32_t keys = 0;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		bool known;
		enum condition_kind kind = kind_of(OBJECT_MATCH, key, r, &known);

		keys++;
		if (kind == CONDITION_COUNT)
			message_json_fail(b->d, r, "data did not match any variant of untagged enum Match");
		else
			argument_from_json(b, r, kind, c);
	}
	if (!b->d->err && keys != 1)
		message_json_fail(b->d, r, "data did not match any variant of untagged enum Match");
}

/* A key beside "key"; one that nobody knows is passed over, as Qdrant does. */
static void operator_from_json(struct filter_builder *b, struct json_reader *r, struct str key,
			       struct condition_list *list)
{
	bool match = is_word(key, "match"), known;
	enum condition_kind kind = kind_of(OBJECT_FIELD, key, r, &known);

	if (!match && !known) {
		json_skip(r);
		return;
	}
	if (!match && kind == CONDITION_COUNT) {
		message_json_fail(b->d, r, "wrong type of `%.*s`", STR_FMT(key));
		return;
	}
	struct condition *c = message_filter_add(b, list);
	if (!c)
		return;
	if (match)
		match_from_json(b, r, c);
	else
		argument_from_json(b, r, kind, c);
}

static void field_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	struct condition_list operators = { 0 };
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (is_word(key, "key"))
			set_key_from_json(b, r, c);
		else if (json_peek(r) == JSON_NULL)
			json_null(r);
		else
			operator_from_json(b, r, key, &operators);
	}
	if (!b->d->err && !json_failed(r))
		message_filter_take_operators(b, c, &operators);
}

/* What an object is, by its keys. Looks, and reads nothing. */
enum shape { SHAPE_FIELD, SHAPE_SINGLE, SHAPE_FILTER };

static enum shape shape_of(struct json_reader ahead)
{
	enum shape shape = SHAPE_FILTER;
	struct str key;

	if (!json_enter_object(&ahead))
		return shape;
	while (json_next_key(&ahead, &key)) {
		bool known;

		if (is_word(key, "key"))
			return SHAPE_FIELD;
		(void)kind_of(OBJECT_CONDITION, key, &ahead, &known);
		if (known)
			shape = SHAPE_SINGLE;
		json_skip(&ahead);
	}
	return shape;
}

static void single_from_json(struct filter_builder *b, struct json_reader *r, struct condition *c)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		bool known;
		enum condition_kind kind = kind_of(OBJECT_CONDITION, key, r, &known);

		if (!known)
			json_skip(r);
		else if (kind == CONDITION_COUNT)
			message_json_fail(b->d, r, "wrong type of `%.*s`", STR_FMT(key));
		else
			argument_from_json(b, r, kind, c);
	}
}

static void condition_from_json(struct filter_builder *b, struct json_reader *r,
				struct condition *c)
{
	switch (shape_of(*r)) {
	case SHAPE_FIELD:
		field_from_json(b, r, c);
		break;
	case SHAPE_SINGLE:
		single_from_json(b, r, c);
		break;
	case SHAPE_FILTER:
		argument_from_json(b, r, CONDITION_FILTER, c);
		break;
	}
}

/* ---- filters from JSON ---- */

/* add() may move the list, so each condition is built aside. */
static void add_from_json(struct filter_builder *b, struct json_reader *r,
			  struct condition_list *list)
{
	struct condition c = { 0 };

	condition_from_json(b, r, &c);
	struct condition *at = b->d->err ? NULL : message_filter_add(b, list);
	if (at)
		*at = c;
}

static void clause_from_json(struct filter_builder *b, struct json_reader *r,
			     struct condition_list *list)
{
	if (json_peek(r) == JSON_NULL) {
		json_null(r);
		return;
	}
	if (json_peek(r) != JSON_ARRAY) {
		add_from_json(b, r, list);
		return;
	}
	if (!json_enter_array(r))
		return;
	while (!b->d->err && json_next_element(r))
		add_from_json(b, r, list);
}

static void min_should_from_json(struct filter_builder *b, struct json_reader *r, struct filter *f)
{
	bool has_conditions = false, has_count = false;
	struct str key;

	if (json_peek(r) == JSON_NULL) {
		json_null(r);
		return;
	}
	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		if (is_word(key, "conditions")) {
			clause_from_json(b, r, &f->min_should);
			has_conditions = true;
		} else if (is_word(key, "min_count")) {
			message_filter_set_min_count(f, json_u64(r));
			has_count = true;
		} else {
			json_skip(r);
		}
	}
	missing(r, has_conditions, "missing field `conditions`");
	missing(r, has_count, "missing field `min_count`");
	f->has_min_should = true;
}

static void filter_from_object(struct filter_builder *b, struct json_reader *r, struct filter *f)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (!b->d->err && json_next_key(r, &key)) {
		message_enter(b->d, key, -1);
		if (is_word(key, "must"))
			clause_from_json(b, r, &f->must);
		else if (is_word(key, "should"))
			clause_from_json(b, r, &f->should);
		else if (is_word(key, "must_not"))
			clause_from_json(b, r, &f->must_not);
		else if (is_word(key, "min_should"))
			min_should_from_json(b, r, f);
		else
			message_json_fail(
				b->d, r,
				"unknown field `%.*s`, expected one of `should`, `min_should`, `must`, `must_not`",
				(int)MIN(key.len, (size_t)64), key.data);
		message_leave(b->d);
	}
}

void message_filter_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct filter_builder b = { .d = d };
	struct filter *f = message_filter_inner(&b);

	if (!f)
		return;
	filter_from_object(&b, r, f);
	if (!d->err && !json_failed(r))
		message_filter_take(d, f, member);
}

/* ---- to JSON ---- */

static void put_condition(const struct condition *c, struct json_writer *w)
{
	enum condition_object object = condition_object_of(c->kind);
	const char *key = message_filter_key(c->kind);

	if (!key) { /* the filter is the object */
		arguments[condition_argument_of(c->kind)].to(c, w);
		return;
	}
	json_put_object(w);
	if (object != OBJECT_CONDITION) {
		json_put_key(w, STR("key"));
		json_put_string(w, c->key.text);
	}
	if (object == OBJECT_MATCH) {
		json_put_key(w, STR("match"));
		json_put_object(w);
	}
	json_put_key(w, (struct str){ .data = key, .len = strlen(key) });
	arguments[condition_argument_of(c->kind)].to(c, w);
	if (object == OBJECT_MATCH)
		json_put_object_end(w);
	json_put_object_end(w);
}

static void put_conditions(const struct condition_list *list, struct json_writer *w)
{
	json_put_array(w);
	for (uint32_t i = 0; i < list->count; i++)
		put_condition(&list->items[i], w);
	json_put_array_end(w);
}

static void put_clause(struct str key, const struct condition_list *list, struct json_writer *w)
{
	if (list->count == 0)
		return;
	json_put_key(w, key);
	put_conditions(list, w);
}

static void put_filter(const struct filter *f, struct json_writer *w)
{
	json_put_object(w);
	put_clause(STR("should"), &f->should, w);
	put_clause(STR("must"), &f->must, w);
	put_clause(STR("must_not"), &f->must_not, w);
	if (f->has_min_should) {
		json_put_key(w, STR("min_should"));
		json_put_object(w);
		json_put_key(w, STR("conditions"));
		put_conditions(&f->min_should, w);
		json_put_key(w, STR("min_count"));
		json_put_u64(w, f->min_count);
		json_put_object_end(w);
	}
	json_put_object_end(w);
}

void message_filter_to_json(const void *member, struct json_writer *w)
{
	const struct filter *f = *(const struct filter *const *)member;

	put_filter(f, w);
}
