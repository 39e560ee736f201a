/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Table STORE_UNDO
 *   key    u16 scope, u64 epoch, u64 seq; big-endian, as in STORE_LOG
 *   value  u8      version, 1
 *          u8      flags: 1 = a record of the catalogue follows, 2 = orphans
 *          u64     hlc and u8 region of the collection's incarnation
 *          bytes   (varint length, bytes) that record, with flag 1; empty: there was none
 *          u8      count of orphans, with flag 2; for each: u16 scope, u64 epoch, u64 seq, u64 running hash, bytes its record
 *                  (orphan.c), empty when there was none
 *          varint  count of entries, then each, ascending by place:
 *                    varint place of the point in the op
 *                    u8     1: the op left it unchanged, and no more follows; else 0, and
 *                    bytes  its row as it was (index/row.c; with its slots)
 *                    varint count of its vectors whose slots were given up, then the index of each
 *          u64     hash64 of all before it
 */
#include "replicator/undo.h"

#include "base/hash.h"

#include <string.h>

#define RECORD_VERSION 1
#define RECORD_TAIL 8
#define FLAG_CATALOG 1
#define FLAG_ORPHANS 2
#define UNDO_BYTES_MAX ((size_t)1 << 30)
#define KEY_BYTES 18
#define ENTRY_BYTES_MIN 2

static void orphans_put(const struct undo *u, struct buf *out)
{
	wire_put_u8(out, (uint8_t)u->orphan_count);
	for (uint32_t i = 0; i < u->orphan_count; i++) {
		const struct undo_orphan *o = &u->orphans[i];
		wire_put_u16(out, o->id.scope);
		wire_put_u64(out, o->id.position.epoch);
		wire_put_u64(out, o->id.position.seq);
		wire_put_u64(out, o->id.chain_hash);
		wire_put_bytes(out, o->record.data, o->record.len);
	}
}

static void orphans_get(struct wire_reader *r, struct undo *u)
{
	uint8_t count = wire_u8(r);

	if (count == 0 || count > UNDO_ORPHANS_MAX)
		wire_fail(r);
	for (; !r->err && u->orphan_count < count; u->orphan_count++) {
		struct undo_orphan *o = &u->orphans[u->orphan_count];
		o->id.scope = wire_u16(r);
		o->id.position.epoch = wire_u64(r);
		o->id.position.seq = wire_u64(r);
		o->id.chain_hash = wire_u64(r);
		o->record = wire_bytes(r);
	}
}

enum err undo_encode(const struct undo *u, struct buf *out)
{
	size_t start = out->len;

	wire_put_u8(out, RECORD_VERSION);
	wire_put_u8(out, (u->catalog_record.data ? FLAG_CATALOG : 0) | (u->orphan_count > 0 ? FLAG_ORPHANS : 0));
	wire_put_u64(out, u->incarnation.hlc);
	wire_put_u8(out, u->incarnation.region);
	if (u->catalog_record.data)
		wire_put_bytes(out, u->catalog_record.data, u->catalog_record.len);
	if (u->orphan_count > 0)
		orphans_put(u, out);
	wire_put_varint(out, u->entry_count);
	for (uint32_t i = 0; i < u->entry_count; i++) {
		const struct undo_entry *e = &u->entries[i];
		wire_put_varint(out, e->at);
		wire_put_u8(out, e->unchanged);
		if (e->unchanged)
			continue;
		wire_put_bytes(out, e->row.data, e->row.len);
		wire_put_varint(out, e->given_up_count);
		for (uint32_t k = 0; k < e->given_up_count; k++)
			wire_put_varint(out, e->given_up[k]);
	}
	if (!buf_err(out))
		wire_put_u64(out, hash64(out->data + start, out->len - start, 0));
	return buf_err(out);
}

static enum err given_up_get(struct wire_reader *r, struct arena *a, struct undo_entry *e)
{
	uint64_t count = wire_varint(r);

	if (r->err || count > wire_left(r))
		return ERR_CORRUPT;
	e->given_up = arena_array(a, count, sizeof(*e->given_up));
	if (!e->given_up)
		return ERR_NO_MEMORY;
	e->given_up_count = (uint32_t)count;
	for (uint64_t k = 0; k < count; k++) {
		uint64_t index = wire_varint(r);
		if (index > UINT32_MAX)
			return ERR_CORRUPT;
		e->given_up[k] = (uint32_t)index;
	}
	return r->err;
}

static enum err entry_get(struct wire_reader *r, struct arena *a, uint64_t at_least, struct undo_entry *e)
{
	uint64_t at = wire_varint(r);
	uint8_t unchanged = wire_u8(r);

	if (r->err || at < at_least || at > UINT32_MAX || unchanged > 1)
		return ERR_CORRUPT;
	*e = (struct undo_entry){ .at = (uint32_t)at, .unchanged = unchanged == 1 };
	if (e->unchanged)
		return ERR_NONE;
	e->row = wire_bytes(r);
	return given_up_get(r, a, e);
}

enum err undo_decode(struct bytes b, struct arena *a, struct undo *ret_undo)
{
	struct undo u = { 0 };

	if (b.len < RECORD_TAIL + 2)
		return ERR_CORRUPT;
	size_t len = b.len - RECORD_TAIL;
	struct wire_reader tail = wire_reader_of(b.data + len, RECORD_TAIL);
	if (wire_u64(&tail) != hash64(b.data, len, 0))
		return ERR_CORRUPT;
	struct wire_reader r = wire_reader_of(b.data, len);
	if (wire_u8(&r) != RECORD_VERSION)
		return ERR_VERSION;
	uint8_t flags = wire_u8(&r);
	if (flags & ~(FLAG_CATALOG | FLAG_ORPHANS))
		return ERR_CORRUPT;
	u.incarnation.hlc = wire_u64(&r);
	u.incarnation.region = wire_u8(&r);
	if (flags & FLAG_CATALOG)
		u.catalog_record = wire_bytes(&r);
	if (flags & FLAG_ORPHANS)
		orphans_get(&r, &u);
	uint64_t count = wire_varint(&r);
	if (r.err || count > wire_left(&r) / ENTRY_BYTES_MIN)
		return ERR_CORRUPT;
	u.entries = arena_array(a, count, sizeof(*u.entries));
	if (!u.entries)
		return ERR_NO_MEMORY;
	for (; u.entry_count < count; u.entry_count++) {
		uint64_t at_least = u.entry_count > 0 ? (uint64_t)u.entries[u.entry_count - 1].at + 1 : 0;
		enum err err = entry_get(&r, a, at_least, &u.entries[u.entry_count]);
		if (err)
			return err;
	}
	if (wire_done(&r))
		return ERR_CORRUPT;
	*ret_undo = u;
	return ERR_NONE;
}

/* --- the table --- */

struct undo_key {
	uint8_t bytes[KEY_BYTES];
};

static void put_be(uint8_t *to, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
}

static struct undo_key key_of(uint16_t scope, struct position p)
{
	struct undo_key k;

	put_be(k.bytes, scope, 2);
	put_be(k.bytes + 2, p.epoch, 8);
	put_be(k.bytes + 10, p.seq, 8);
	return k;
}

static struct bytes key_bytes(const struct undo_key *k)
{
	return (struct bytes){ .data = k->bytes, .len = KEY_BYTES };
}

static enum err key_read(struct bytes key, uint16_t scope, struct position *ret_position)
{
	struct wire_reader r = wire_reader_of(key.data, key.len);
	uint16_t found = wire_u16_be(&r);

	ret_position->epoch = wire_u64_be(&r);
	ret_position->seq = wire_u64_be(&r);
	if (wire_done(&r))
		return ERR_CORRUPT;
	return found == scope ? ERR_NONE : ERR_NOT_FOUND;
}

/* Views into the store end with its transaction's next write. */
static enum err decode_copy(struct bytes record, struct arena *a, struct undo *ret_undo)
{
	uint8_t *copy = arena_alloc(a, record.len);

	if (!copy)
		return ERR_NO_MEMORY;
	memcpy(copy, record.data, record.len);
	return undo_decode((struct bytes){ .data = copy, .len = record.len }, a, ret_undo);
}

enum err undo_put(struct store *s, struct store_txn *t, uint16_t scope, struct position p, const struct undo *u)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(UNDO_BYTES_MAX);
	struct undo_key key = key_of(scope, p);
	enum err err = undo_encode(u, &b);

	return err ? err : s->ops->put(t, STORE_UNDO, key_bytes(&key), buf_bytes(&b));
}

enum err undo_get(struct store *s, struct store_txn *t, uint16_t scope, struct position p, struct arena *a,
		  struct undo *ret_undo)
{
	struct undo_key key = key_of(scope, p);
	struct bytes record;
	enum err err = s->ops->get(t, STORE_UNDO, key_bytes(&key), &record);

	return err ? err : decode_copy(record, a, ret_undo);
}

enum err undo_first(struct store *s, struct store_txn *t, uint16_t scope, struct arena *a,
		    struct position *ret_position, struct undo *ret_undo)
{
	struct undo_key from = key_of(scope, (struct position){ 0 });
	struct store_cursor *c;
	struct bytes key;
	struct bytes record;
	enum err err = s->ops->cursor_open(t, STORE_UNDO, &c);

	if (err)
		return err;
	err = s->ops->seek(c, key_bytes(&from), &key, &record);
	if (!err)
		err = key_read(key, scope, ret_position);
	if (!err)
		err = decode_copy(record, a, ret_undo);
	s->ops->cursor_close(c);
	return err;
}

enum err undo_remove(struct store *s, struct store_txn *t, uint16_t scope, struct position p)
{
	struct undo_key key = key_of(scope, p);
	enum err err = s->ops->del(t, STORE_UNDO, key_bytes(&key));

	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err tell(struct bytes key, struct bytes record, uint16_t scope, undo_each_fn fn, void *ctx)
{
	CLEANUP(arena_release) struct arena a;
	struct position p;
	struct undo u;

	arena_init(&a, UNDO_ARENA_BYTES_MAX);
	enum err err = key_read(key, scope, &p);
	if (!err)
		err = undo_decode(record, &a, &u);
	return err ? err : fn(ctx, p, &u);
}

enum err undo_each(struct store *s, struct store_txn *t, uint16_t scope, undo_each_fn fn, void *ctx)
{
	struct undo_key from = key_of(scope, (struct position){ 0 });
	struct store_cursor *c;
	struct bytes key;
	struct bytes record;
	enum err err = s->ops->cursor_open(t, STORE_UNDO, &c);

	if (err)
		return err;
	for (err = s->ops->seek(c, key_bytes(&from), &key, &record); !err; err = s->ops->next(c, &key, &record)) {
		err = tell(key, record, scope, fn, ctx);
		if (err)
			break;
	}
	s->ops->cursor_close(c);
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}
