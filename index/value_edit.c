/* SPDX-License-Identifier: Apache-2.0 */
#include "index/value_edit.h"

#include "index/order.h"

#include <string.h>

#define VALUE_EDIT_BYTES_MAX ((size_t)64 << 20)

struct edit {
	const struct path *path;
	struct value members; /* to be set */
	struct arena *arena;
};

static bool is_kind(struct value v, enum value_kind kind)
{
	return v.data && value_kind(v) == kind;
}

static bool same_bytes(struct value a, struct value b)
{
	return a.len == b.len && a.data == b.data;
}

static enum err own(struct edit *e, const struct buf *b, struct value *ret_value)
{
	uint8_t *copy = arena_alloc(e->arena, b->len);

	if (buf_err(b) || !copy)
		return buf_err(b) ? buf_err(b) : ERR_NO_MEMORY;
	memcpy(copy, b->data, b->len);
	*ret_value = (struct value){ .data = copy, .len = (uint32_t)b->len };
	return ERR_NONE;
}

static enum err make_object(struct edit *e, struct value_member *members, uint32_t count, struct value *ret_value)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(VALUE_EDIT_BYTES_MAX);
	enum err err = value_put_object(&b, members, count);

	return err ? err : own(e, &b, ret_value);
}

static enum err make_list(struct edit *e, const struct value *items, uint32_t count, struct value *ret_value)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(VALUE_EDIT_BYTES_MAX);
	enum err err = value_put_list(&b, items, count);

	return err ? err : own(e, &b, ret_value);
}

/* The members of an object, with room for more; of another kind: none. */
static enum err take_members(struct edit *e, struct value at, uint32_t more, struct value_member **ret_members,
			     uint32_t *ret_count)
{
	uint32_t count = is_kind(at, VALUE_OBJECT) ? value_count(at) : 0;
	struct value_member *members = arena_array(e->arena, (size_t)count + more, sizeof(*members));

	if (!members)
		return ERR_NO_MEMORY;
	struct value_iter it = count > 0 ? value_items(at) : (struct value_iter){ 0 };
	for (uint32_t i = 0; i < count; i++)
		(void)value_next(&it, &members[i].key, &members[i].value);
	*ret_members = members;
	*ret_count = count;
	return ERR_NONE;
}

static enum err take_items(struct edit *e, struct value list, struct value **ret_items, uint32_t *ret_count)
{
	uint32_t count = value_count(list);
	struct value *items = arena_array(e->arena, count, sizeof(*items));
	struct value_iter it = value_items(list);

	if (!items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++)
		(void)value_next(&it, NULL, &items[i]);
	*ret_items = items;
	*ret_count = count;
	return ERR_NONE;
}

static uint32_t member_at(const struct value_member *members, uint32_t count, struct str key)
{
	uint32_t i = 0;

	while (i < count && str_compare(members[i].key, key) != 0)
		i++;
	return i;
}

/* --- setting --- */

static enum err merge(struct edit *e, struct value at, struct value *ret_value)
{
	struct value_member *members;
	uint32_t count;
	enum err err = take_members(e, at, value_count(e->members), &members, &count);
	struct value_iter it = value_items(e->members);
	struct value_member m;

	if (err)
		return err;
	while (value_next(&it, &m.key, &m.value)) {
		uint32_t i = member_at(members, count, m.key);
		if (value_kind(m.value) != VALUE_NULL) {
			members[i] = m;
			count += i == count;
		} else if (i < count) {
			members[i] = members[--count];
		}
	}
	return make_object(e, members, count, ret_value);
}

static enum err set_from(struct edit *e, struct value at, uint32_t from, struct value *ret_value);

static enum err set_key(struct edit *e, struct value at, uint32_t from, struct value *ret_value)
{
	struct str key = e->path->steps[from].key;
	struct value_member *members;
	uint32_t count;
	enum err err = take_members(e, at, 1, &members, &count);

	if (err)
		return err;
	uint32_t i = member_at(members, count, key);
	members[i].key = key;
	count += i == count;
	err = set_from(e, members[i].value, from + 1, &members[i].value);
	return err ? err : make_object(e, members, count, ret_value);
}

static enum err set_items(struct edit *e, struct value at, uint32_t from, struct value *ret_value)
{
	const struct path_step *step = &e->path->steps[from];
	struct value *items;
	uint32_t count;

	if (!is_kind(at, VALUE_LIST))
		return make_list(e, NULL, 0, ret_value);
	enum err err = take_items(e, at, &items, &count);
	for (uint32_t i = 0; i < count && !err; i++)
		if (step->kind == PATH_ALL || step->index == i)
			err = set_from(e, items[i], from + 1, &items[i]);
	return err ? err : make_list(e, items, count, ret_value);
}

static enum err set_from(struct edit *e, struct value at, uint32_t from, struct value *ret_value)
{
	if (from == e->path->count)
		return merge(e, at, ret_value);
	return e->path->steps[from].kind == PATH_KEY ? set_key(e, at, from, ret_value)
						     : set_items(e, at, from, ret_value);
}

enum err value_set_at(struct value at, const struct path *p, uint32_t from, struct value members, struct arena *a,
		      struct value *ret_value)
{
	struct edit e = { .path = p, .members = members, .arena = a };

	return set_from(&e, at, from, ret_value);
}

/* --- removing --- */

static enum err remove_from(struct edit *e, struct value at, uint32_t from, struct value *ret_value);

static enum err remove_key(struct edit *e, struct value at, uint32_t from, struct value *ret_value)
{
	struct str key = e->path->steps[from].key;
	bool last = from + 1 == e->path->count;
	struct value_member *members;
	struct value old, new;
	uint32_t count;

	if (!is_kind(at, VALUE_OBJECT) || !value_get(at, key, &old))
		return ERR_NONE;
	enum err err = last ? ERR_NONE : remove_from(e, old, from + 1, &new);
	if (err || (!last && same_bytes(old, new)))
		return err;
	err = take_members(e, at, 0, &members, &count);
	if (err)
		return err;
	uint32_t i = member_at(members, count, key);
	if (last)
		members[i] = members[--count];
	else
		members[i].value = new;
	return make_object(e, members, count, ret_value);
}

static enum err remove_items(struct edit *e, struct value at, uint32_t from, struct value *ret_value)
{
	const struct path_step *step = &e->path->steps[from];
	bool last = from + 1 == e->path->count, changed = false;
	struct value *items;
	uint32_t count;

	if (!is_kind(at, VALUE_LIST) || (last && step->kind == PATH_INDEX))
		return ERR_NONE;
	if (last)
		return value_count(at) > 0 ? make_list(e, NULL, 0, ret_value) : ERR_NONE;
	enum err err = take_items(e, at, &items, &count);
	for (uint32_t i = 0; i < count && !err; i++) {
		struct value old = items[i];
		if (step->kind == PATH_INDEX && step->index != i)
			continue;
		err = remove_from(e, old, from + 1, &items[i]);
		changed |= !same_bytes(old, items[i]);
	}
	return err || !changed ? err : make_list(e, items, count, ret_value);
}

static enum err remove_from(struct edit *e, struct value at, uint32_t from, struct value *ret_value)
{
	*ret_value = at;
	return e->path->steps[from].kind == PATH_KEY ? remove_key(e, at, from, ret_value)
						     : remove_items(e, at, from, ret_value);
}

enum err value_remove_at(struct value at, const struct path *p, uint32_t from, struct arena *a,
			 struct value *ret_value)
{
	struct edit e = { .path = p, .arena = a };

	return remove_from(&e, at, from, ret_value);
}
