/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an intent means for one point, given the point's row in commit order: whether it is to be written at all, and what a change
 * inside the payload makes of its top-level keys. Both are decided once, here; ops carry what came of it.
 */
#include "replicator/commit_inner.h"

#include "index/order.h"
#include "index/value_edit.h"

/* --- may it be written? --- */

bool commit_has_condition(const struct intent *in)
{
	return in->condition || in->mode != INTENT_UPSERT;
}

enum err commit_takes_point(const struct intent *in, const struct collection *collection, const struct row *row,
			    bool *ret_takes)
{
	*ret_takes = row ? in->mode != INTENT_INSERT_ONLY : in->mode != INTENT_UPDATE_ONLY;
	return row && in->condition && *ret_takes ? collection_row_matches(collection, in->condition, row, ret_takes)
						  : ERR_NONE;
}

/* --- inside the payload --- */

struct change {
	struct str key;
	struct value before; /* data NULL: it is not there */
	struct value after;  /* data NULL: it goes */
};

struct changes {
	const struct row *row;
	struct arena *arena;
	struct change *items;
	uint32_t count;
};

static struct value field_value(const struct row *row, struct str key)
{
	for (uint32_t i = 0; i < row->field_count; i++)
		if (row->fields[i].present && str_compare(row->fields[i].key, key) == 0)
			return row->fields[i].value;
	return (struct value){ 0 };
}

/* Several paths may lead into one key. */
static struct change *change_of(struct changes *c, struct str key)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (str_compare(c->items[i].key, key) == 0)
			return &c->items[i];
	struct change *new = &c->items[c->count++];
	new->key = key;
	new->before = new->after = field_value(c->row, key);
	return new;
}

static enum err remove_at(struct changes *c, const struct path *p)
{
	struct change *change = change_of(c, p->steps[0].key);

	if (p->count > 1 && change->after.data)
		return value_remove_at(change->after, p, 1, c->arena, &change->after);
	change->after = (struct value){ 0 };
	return ERR_NONE;
}

static enum err apply_paths(struct changes *c, const struct intent *in)
{
	enum err err = ERR_NONE;

	for (uint32_t i = 0; i < in->path_count && !err; i++) {
		const struct path *p = &in->paths[i];
		if (in->kind == OP_DELETE_PAYLOAD) {
			err = remove_at(c, p);
		} else {
			struct change *change = change_of(c, p->steps[0].key);
			err = value_set_at(change->after, p, 1, in->body.payload, c->arena, &change->after);
		}
	}
	return err;
}

static bool is_changed(const struct change *c)
{
	if (!c->before.data || !c->after.data)
		return c->before.data != c->after.data;
	return bytes_compare((struct bytes){ c->before.data, c->before.len },
			     (struct bytes){ c->after.data, c->after.len }) != 0;
}

enum err commit_change_inside(const struct intent *in, const struct row *row, struct arena *a, struct value *ret_fields)
{
	static const uint8_t null[] = { VALUE_NULL };
	CLEANUP(buf_release) struct buf b = BUF_INIT(ROW_ARENA_BYTES_MAX);
	struct changes c = { .row = row, .arena = a, .items = arena_array(a, in->path_count, sizeof(*c.items)) };
	struct value_member *members = arena_array(a, in->path_count, sizeof(*members));
	uint32_t count = 0;

	if (!c.items || !members)
		return ERR_NO_MEMORY;
	enum err err = apply_paths(&c, in);
	for (uint32_t i = 0; i < c.count && !err; i++)
		if (is_changed(&c.items[i]))
			members[count++] = (struct value_member){
				.key = c.items[i].key,
				.value = c.items[i].after.data ? c.items[i].after : (struct value){ null, 1 },
			};
	*ret_fields = (struct value){ 0 };
	if (err || count == 0)
		return err;
	err = value_put_object(&b, members, count);
	struct str copy = err ? (struct str){ 0 } : arena_str(a, buf_str(&b));
	if (!err && !copy.data)
		err = ERR_NO_MEMORY;
	if (!err)
		*ret_fields = (struct value){ (const uint8_t *)copy.data, (uint32_t)copy.len };
	return err;
}
