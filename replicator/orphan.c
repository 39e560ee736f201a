/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Table STORE_ORPHANS
 *   key    u16 scope, u64 epoch, u64 seq; big-endian, as in STORE_LOG
 *   value  u8   version, 1
 *          u64  running hash after the op
 *          ...  the op in wire form (change.c)
 *          u64  hash64 of all before it
 */
#include "replicator/orphan.h"

#include "base/hash.h"

#include <string.h>

#define RECORD_VERSION 1
#define RECORD_HEAD 9
#define RECORD_TAIL 8
#define RECORD_BYTES_MAX ((size_t)OP_BYTES_MAX + RECORD_HEAD + RECORD_TAIL)
#define KEY_BYTES 18

static void put_be(uint8_t *to, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
}

static struct bytes key_of(uint16_t scope, struct position p, uint8_t key[KEY_BYTES])
{
	put_be(key, scope, 2);
	put_be(key + 2, p.epoch, 8);
	put_be(key + 10, p.seq, 8);
	return (struct bytes){ .data = key, .len = KEY_BYTES };
}

enum err orphan_put(struct store *s, struct store_txn *t, const struct orphan *o, uint64_t *ret_bytes)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_BYTES_MAX);
	uint8_t key[KEY_BYTES];

	wire_put_u8(&b, RECORD_VERSION);
	wire_put_u64(&b, o->chain_hash);
	buf_append(&b, o->op.data, o->op.len);
	if (!buf_err(&b))
		wire_put_u64(&b, hash64(b.data, b.len, 0));
	if (buf_err(&b))
		return buf_err(&b);
	*ret_bytes = b.len;
	return s->ops->put(t, STORE_ORPHANS, key_of(o->scope, o->position, key), buf_bytes(&b));
}

enum err orphan_remove(struct store *s, struct store_txn *t, uint16_t scope, struct position p)
{
	uint8_t key[KEY_BYTES];
	enum err err = s->ops->del(t, STORE_ORPHANS, key_of(scope, p, key));

	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err record_read(struct bytes record, struct arena *a, struct orphan *o)
{
	if (record.len < RECORD_HEAD + RECORD_TAIL)
		return ERR_CORRUPT;
	size_t len = record.len - RECORD_TAIL;
	struct wire_reader tail = wire_reader_of(record.data + len, RECORD_TAIL);
	if (wire_u64(&tail) != hash64(record.data, len, 0))
		return ERR_CORRUPT;
	struct wire_reader r = wire_reader_of(record.data, len);
	if (wire_u8(&r) != RECORD_VERSION)
		return ERR_VERSION;
	o->chain_hash = wire_u64(&r);
	uint8_t *copy = arena_alloc(a, len - RECORD_HEAD);
	if (!copy)
		return ERR_NO_MEMORY;
	memcpy(copy, record.data + RECORD_HEAD, len - RECORD_HEAD);
	o->op = (struct bytes){ .data = copy, .len = len - RECORD_HEAD };
	return ERR_NONE;
}

static enum err key_read(struct bytes key, struct orphan *o)
{
	struct wire_reader r = wire_reader_of(key.data, key.len);

	o->scope = wire_u16_be(&r);
	o->position.epoch = wire_u64_be(&r);
	o->position.seq = wire_u64_be(&r);
	return wire_done(&r);
}

enum err orphan_next(struct store *s, struct store_txn *t, uint16_t scope, struct position after, struct arena *a,
		     struct orphan *ret_orphan)
{
	struct position from = { .epoch = after.epoch, .seq = after.seq + 1 };
	uint8_t key[KEY_BYTES];
	struct store_cursor *c;
	struct bytes found;
	struct bytes record;
	struct orphan o;
	enum err err = s->ops->cursor_open(t, STORE_ORPHANS, &c);

	if (err)
		return err;
	err = s->ops->seek(c, key_of(scope, from, key), &found, &record);
	if (!err)
		err = key_read(found, &o);
	if (!err)
		err = o.scope == scope ? record_read(record, a, &o) : ERR_NOT_FOUND;
	s->ops->cursor_close(c);
	if (!err)
		*ret_orphan = o;
	return err;
}

enum err orphan_count(struct store *s, struct store_txn *t, struct orphan_size *ret_size)
{
	struct orphan_size size = { 0 };
	struct store_cursor *c;
	struct bytes key;
	struct bytes record;
	enum err err = s->ops->cursor_open(t, STORE_ORPHANS, &c);

	if (err)
		return err;
	while (!(err = s->ops->next(c, &key, &record))) {
		size.count++;
		size.bytes += record.len;
	}
	s->ops->cursor_close(c);
	if (err != ERR_NOT_FOUND)
		return err;
	*ret_size = size;
	return ERR_NONE;
}
