/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conflict log.
 *
 * Table STORE_CONFLICTS
 *   key    incarnation (u64 HLC, u8 region), u64 number; big-endian, so that a collection's lie together, oldest first.
 *          Numbers of one collection have no gaps: the oldest and the newest say how many there are.
 *   value  u8   version, 1
 *          u64  wall clock, milliseconds
 *          id   of the point
 *          str  field
 *          u8   reason: 1 lww, 2 tie, 3 delete
 *          2 x  stamp of the winner, of the loser: u64 epoch, u64 HLC, u8 region
 *          str  the loser's value; empty: none
 */
#include "replicator/conflict.h"

#include <string.h>

#define CONFLICT_VERSION 1
#define CONFLICT_BYTES_MAX (2u << 20)
/* A loser's value beyond this is not kept; the record says what was lost all the same. */
#define CONFLICT_VALUE_BYTES_MAX (64u << 10)
#define KEY_BYTES 17

static const char *const reasons[] = { "lww", "tie", "delete" };

struct conflict_key {
	uint8_t bytes[KEY_BYTES];
};

static void put_be64(uint8_t *to, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = (uint8_t)(v >> 8 * (7 - i));
}

static struct conflict_key key_of(struct incarnation collection, uint64_t number)
{
	struct conflict_key k;

	put_be64(k.bytes, collection.hlc);
	k.bytes[8] = collection.region;
	put_be64(k.bytes + 9, number);
	return k;
}

static struct bytes key_bytes(const struct conflict_key *k)
{
	return (struct bytes){ .data = k->bytes, .len = KEY_BYTES };
}

/* The number of a key of this collection; 0 when it is another's. */
static uint64_t key_number(struct bytes key, struct incarnation collection)
{
	struct conflict_key first = key_of(collection, 0);

	if (key.len != KEY_BYTES || memcmp(key.data, first.bytes, 9) != 0)
		return 0;
	struct wire_reader r = wire_reader_of(key.data + 9, 8);
	return wire_u64_be(&r);
}

/* To the collection's newest record; ERR_NOT_FOUND when it has none. */
static enum err seek_newest(struct store *s, struct store_cursor *c, struct incarnation collection,
			    uint64_t *ret_number, struct bytes *ret_value)
{
	struct conflict_key key = key_of(collection, UINT64_MAX);
	struct bytes found;
	enum err err = s->ops->seek(c, key_bytes(&key), &found, ret_value);

	if (err == ERR_NOT_FOUND)
		err = s->ops->last(c, &found, ret_value);
	else if (!err)
		err = s->ops->prev(c, &found, ret_value);
	if (err)
		return err;
	*ret_number = key_number(found, collection);
	return *ret_number > 0 ? ERR_NONE : ERR_NOT_FOUND;
}

/* Numbers of the oldest and the newest record; 0, 0 when there is none. */
static enum err conflict_bounds(struct store *s, struct store_txn *t, struct incarnation collection,
				uint64_t *ret_oldest, uint64_t *ret_newest)
{
	struct conflict_key key = key_of(collection, 1);
	struct store_cursor *c;
	struct bytes found;
	struct bytes value;
	uint64_t newest = 0;
	enum err err = s->ops->cursor_open(t, STORE_CONFLICTS, &c);

	if (err)
		return err;
	*ret_oldest = 0;
	err = seek_newest(s, c, collection, &newest, &value);
	if (!err)
		err = s->ops->seek(c, key_bytes(&key), &found, &value);
	if (!err)
		*ret_oldest = key_number(found, collection);
	s->ops->cursor_close(c);
	*ret_newest = *ret_oldest > 0 ? newest : 0;
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static void put_stamp(struct buf *b, struct stamp s)
{
	wire_put_u64(b, s.epoch);
	wire_put_u64(b, s.hlc);
	wire_put_u8(b, s.region);
}

static struct stamp get_stamp(struct wire_reader *r)
{
	struct stamp s = { .epoch = wire_u64(r) };

	s.hlc = wire_u64(r);
	s.region = wire_u8(r);
	return s;
}

static uint8_t reason_code(const char *reason)
{
	for (size_t i = 0; i < LEN(reasons); i++)
		if (strcmp(reason, reasons[i]) == 0)
			return (uint8_t)(i + 1);
	return 1;
}

enum err conflict_add(struct store *s, struct store_txn *t, struct incarnation collection,
		      struct point_id id, const struct merge_loss *loss, uint64_t now_ms)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CONFLICT_BYTES_MAX);
	uint64_t oldest;
	uint64_t newest;
	enum err err = conflict_bounds(s, t, collection, &oldest, &newest);

	if (err)
		return err;
	wire_put_u8(&b, CONFLICT_VERSION);
	wire_put_u64(&b, now_ms);
	point_id_put(&b, id);
	wire_put_str(&b, loss->field);
	wire_put_u8(&b, reason_code(loss->reason));
	put_stamp(&b, loss->winner);
	put_stamp(&b, loss->loser);
	bool kept = loss->loser_value.data && loss->loser_value.len <= CONFLICT_VALUE_BYTES_MAX;
	wire_put_bytes(&b, loss->loser_value.data, kept ? loss->loser_value.len : 0);
	if (buf_err(&b))
		return buf_err(&b);

	struct conflict_key key = key_of(collection, newest + 1);
	err = s->ops->put(t, STORE_CONFLICTS, key_bytes(&key), buf_bytes(&b));
	if (err || newest + 1 - oldest < CONFLICTS_PER_COLLECTION_MAX || oldest == 0)
		return err;
	key = key_of(collection, oldest);
	return s->ops->del(t, STORE_CONFLICTS, key_bytes(&key));
}

static enum err conflict_read(struct bytes record, struct arena *a, struct conflict *ret)
{
	uint8_t *copy = arena_alloc(a, record.len);
	if (!copy)
		return ERR_NO_MEMORY;
	if (record.len > 0)
		memcpy(copy, record.data, record.len);
	struct wire_reader r = wire_reader_of(copy, record.len);
	if (wire_u8(&r) != CONFLICT_VERSION)
		return r.err ? ERR_CORRUPT : ERR_VERSION;

	struct conflict c = { .number = ret->number, .at_ms = wire_u64(&r) };
	c.id = point_id_get(&r);
	c.loss.field = wire_str(&r);
	uint8_t reason = wire_u8(&r);
	c.loss.winner = get_stamp(&r);
	c.loss.loser = get_stamp(&r);
	struct bytes value = wire_bytes(&r);
	if (wire_done(&r) || reason < 1 || reason > LEN(reasons))
		return ERR_CORRUPT;
	if (value.len > 0 && value_check(value, &c.loss.loser_value))
		return ERR_CORRUPT;
	c.loss.reason = reasons[reason - 1];
	*ret = c;
	return ERR_NONE;
}

enum err conflict_list(struct store *s, struct store_txn *t, struct incarnation collection,
		       uint32_t limit, struct arena *a, struct conflict **ret_items,
		       uint32_t *ret_count)
{
	struct store_cursor *c;
	struct bytes key;
	struct bytes value;
	uint64_t number;
	uint32_t count = 0;
	uint32_t room = MIN(limit, CONFLICTS_PER_COLLECTION_MAX);
	struct conflict *items = arena_array(a, room, sizeof(*items));

	if (!items)
		return ERR_NO_MEMORY;
	enum err err = s->ops->cursor_open(t, STORE_CONFLICTS, &c);
	if (err)
		return err;
	err = seek_newest(s, c, collection, &number, &value);
	while (!err && number > 0 && count < room) {
		items[count].number = number;
		err = conflict_read(value, a, &items[count]);
		if (err)
			break;
		count++;
		err = s->ops->prev(c, &key, &value);
		if (!err)
			number = key_number(key, collection);
	}
	s->ops->cursor_close(c);
	if (err && err != ERR_NOT_FOUND)
		return err;
	*ret_items = items;
	*ret_count = count;
	return ERR_NONE;
}

enum err conflict_drop(struct store *s, struct store_txn *t, struct incarnation collection)
{
	uint64_t oldest;
	uint64_t newest;
	enum err err = conflict_bounds(s, t, collection, &oldest, &newest);

	for (uint64_t n = oldest; !err && n > 0 && n <= newest; n++) {
		struct conflict_key key = key_of(collection, n);
		err = s->ops->del(t, STORE_CONFLICTS, key_bytes(&key));
	}
	return err;
}
