/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record   u8 format version, 1
 *          items: varint count; each, ascending by name: name, u64 hlc and u8 region of its collection's incarnation
 *          u64 hash64 of all before
 * A name comes after a varint of its length.
 */
#include "index/alias.h"

#include "base/hash.h"
#include "index/order.h"

#define FORMAT_VERSION 1
#define HASH_BYTES 8
#define ITEM_BYTES_MIN 10
/* One op may take every alias away and put as many others. */
#define ITEMS_MAX (2 * ALIASES_MAX)

const struct alias *alias_find(const struct alias_list *l, struct str name)
{
	uint32_t low = 0, high = l->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = str_compare(l->items[middle].name, name);

		if (order == 0)
			return &l->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static enum err take(struct alias_list *l, const struct alias *from, struct arena *a)
{
	struct alias *to = &l->items[l->count];

	*to = *from;
	to->name = arena_str(a, from->name);
	if (!to->name.data)
		return ERR_NO_MEMORY;
	l->count++;
	return ERR_NONE;
}

enum err alias_list_change(const struct alias_list *l, const struct alias_list *changes, struct arena *a,
			   struct alias_list *ret_list)
{
	struct alias_list out = { .items = arena_array(a, (size_t)l->count + changes->count, sizeof(*out.items)) };
	enum err e = out.items ? ERR_NONE : ERR_NO_MEMORY;

	for (uint32_t i = 0, k = 0; !e && (i < l->count || k < changes->count);) {
		const struct alias *old = i < l->count ? &l->items[i] : NULL;
		const struct alias *change = k < changes->count ? &changes->items[k] : NULL;
		int order = !old ? 1 : !change ? -1 : str_compare(old->name, change->name);

		i += order <= 0;
		k += order >= 0;
		if (order < 0)
			e = take(&out, old, a);
		else if (change->target.hlc != 0)
			e = take(&out, change, a);
	}
	if (!e)
		*ret_list = out;
	return e;
}

void alias_items_put(struct buf *out, const struct alias_list *l)
{
	wire_put_varint(out, l->count);
	for (uint32_t i = 0; i < l->count; i++) {
		wire_put_str(out, l->items[i].name);
		wire_put_u64(out, l->items[i].target.hlc);
		wire_put_u8(out, l->items[i].target.region);
	}
}

enum err alias_items_get(struct wire_reader *r, struct arena *a, struct alias_list *ret_list)
{
	uint64_t count = wire_varint(r);
	struct alias_list l = { 0 };

	if (r->err || count > ITEMS_MAX || count > wire_left(r) / ITEM_BYTES_MIN)
		return ERR_CORRUPT;
	l.items = arena_array(a, count, sizeof(*l.items));
	if (!l.items)
		return ERR_NO_MEMORY;
	for (; l.count < count; l.count++) {
		struct alias *item = &l.items[l.count];

		item->name = wire_str(r);
		item->target.hlc = wire_u64(r);
		item->target.region = wire_u8(r);
		if (r->err || (l.count > 0 && str_compare(item[-1].name, item->name) >= 0))
			return ERR_CORRUPT;
	}
	*ret_list = l;
	return ERR_NONE;
}

enum err alias_list_put(struct buf *out, const struct alias_list *l)
{
	size_t start = out->len;

	wire_put_u8(out, FORMAT_VERSION);
	alias_items_put(out, l);
	if (!buf_err(out))
		wire_put_u64(out, hash64(out->data + start, out->len - start, 0));
	return buf_err(out);
}

enum err alias_list_get(struct bytes record, struct arena *a, struct alias_list *ret_list)
{
	static const struct alias_list none;
	struct alias_list l;

	if (record.len == 0)
		return alias_list_change(&none, &none, a, ret_list);
	if (record.len < HASH_BYTES + 2)
		return ERR_CORRUPT;
	size_t len = record.len - HASH_BYTES;
	struct wire_reader tail = wire_reader_of(record.data + len, HASH_BYTES);
	struct wire_reader r = wire_reader_of(record.data, len);

	if (wire_u64(&tail) != hash64(record.data, len, 0))
		return ERR_CORRUPT;
	if (wire_u8(&r) != FORMAT_VERSION)
		return ERR_VERSION;
	enum err e = alias_items_get(&r, a, &l);

	if (!e)
		e = wire_done(&r);
	return e ? e : alias_list_change(&l, &none, a, ret_list);
}
