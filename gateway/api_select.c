/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What with_payload leaves of a payload. As at Qdrant's: include keeps a value whose path begins with a selected one,
 * or is on the way to one; exclude drops a value whose path begins with a selected one. A path steps into a list by
 * [] or [3] only. Depth is bounded by VALUE_DEPTH_MAX.
 */
#include "gateway/api_inner.h"

#include <string.h>

#include "index/order.h"

#define PAYLOAD_BYTES_MAX ((size_t)64 << 20)

/* The paths that fit all steps so far, and how many those were. */
struct selection {
	const struct path **paths;
	uint32_t count;
	uint32_t depth;
};

struct selector {
	struct arena *arena;
	bool exclude;
	enum err err;
};

static bool fits_key(const struct path_step *s, struct str key)
{
	return s->kind == PATH_KEY && str_compare(s->key, key) == 0;
}

static bool fits_index(const struct path_step *s, uint32_t index)
{
	return s->kind == PATH_ALL || (s->kind == PATH_INDEX && s->index == index);
}

/* Those paths of `from` that the next step leads along; *ret_whole: one of them ends there. */
static struct selection step_into(struct selector *x, const struct selection *from, bool list,
				  struct str key, uint32_t index, bool *ret_whole)
{
	struct selection s = { .paths = arena_array(x->arena, from->count,
						    sizeof(const struct path *)),
			       .depth = from->depth + 1 };

	*ret_whole = false;
	if (!s.paths) {
		x->err = ERR_NO_MEMORY;
		return s;
	}
	for (uint32_t i = 0; i < from->count; i++) {
		const struct path *p = from->paths[i];
		const struct path_step *step = &p->steps[from->depth];
		if (!(list ? fits_index(step, index) : fits_key(step, key)))
			continue;
		if (p->count == s.depth)
			*ret_whole = true;
		else
			s.paths[s.count++] = p;
	}
	return s;
}

static struct value in_arena(struct selector *x, const struct buf *b)
{
	struct str copy = arena_str(x->arena, buf_str(b));

	if (buf_err(b) || !copy.data)
		x->err = ERR_NO_MEMORY;
	return (struct value){ .data = (const uint8_t *)copy.data, .len = (uint32_t)copy.len };
}

static struct value select_value(struct selector *x, struct value v, const struct selection *s);

/* Is the item kept, and what of it? */
static bool select_item(struct selector *x, struct value *item, const struct selection *s,
			bool whole)
{
	if (whole)
		return !x->exclude;
	if (s->count == 0)
		return x->exclude;
	*item = select_value(x, *item, s);
	return true;
}

static struct value select_object(struct selector *x, struct value v, const struct selection *s)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(PAYLOAD_BYTES_MAX);
	struct value_member *members = arena_array(x->arena, value_count(v), sizeof(*members));
	struct value_iter it = value_items(v);
	struct value_member m;
	uint32_t count = 0;

	if (!members) {
		x->err = ERR_NO_MEMORY;
		return v;
	}
	while (!x->err && value_next(&it, &m.key, &m.value)) {
		bool whole;
		struct selection next = step_into(x, s, false, m.key, 0, &whole);
		if (!x->err && select_item(x, &m.value, &next, whole))
			members[count++] = m;
	}
	if (!x->err)
		x->err = value_put_object(&b, members, count);
	return x->err ? v : in_arena(x, &b);
}

static struct value select_list(struct selector *x, struct value v, const struct selection *s)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(PAYLOAD_BYTES_MAX);
	struct value *items = arena_array(x->arena, value_count(v), sizeof(*items));
	struct value_iter it = value_items(v);
	struct value item;
	uint32_t count = 0;

	if (!items) {
		x->err = ERR_NO_MEMORY;
		return v;
	}
	for (uint32_t i = 0; !x->err && value_next(&it, NULL, &item); i++) {
		bool whole;
		struct selection next = step_into(x, s, true, STR(""), i, &whole);
		if (!x->err && select_item(x, &item, &next, whole))
			items[count++] = item;
	}
	if (!x->err)
		x->err = value_put_list(&b, items, count);
	return x->err ? v : in_arena(x, &b);
}

/* A value on the way that cannot be entered is kept as it is, by both. */
static struct value select_value(struct selector *x, struct value v, const struct selection *s)
{
	if (value_kind(v) == VALUE_OBJECT)
		return select_object(x, v, s);
	if (value_kind(v) == VALUE_LIST)
		return select_list(x, v, s);
	return v;
}

enum err api_select_payload(const struct with_payload *w, struct value payload, struct arena *a,
			    struct value *ret_payload)
{
	struct selector x = { .arena = a, .exclude = w->kind == WITH_PAYLOAD_EXCLUDE };
	struct selection all = { .paths = arena_array(a, w->count, sizeof(const struct path *)) };

	if (w->kind == WITH_PAYLOAD_ALL || w->kind == WITH_PAYLOAD_NONE || !payload.data) {
		*ret_payload = payload;
		return ERR_NONE;
	}
	if (!all.paths)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < w->count; i++)
		all.paths[all.count++] = &w->paths[i];
	struct value v = select_value(&x, payload, &all);
	if (!x.err)
		*ret_payload = v;
	return x.err;
}
