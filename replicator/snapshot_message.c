/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both messages: u8 format version, 1; u8 kind; the fields; u64 hash64 of all before it. Every message has every field, what a
 * kind does not use is zero and its lists are empty. "list": varint count, then the items.
 *
 *   request  u64 fleet, u8 sender, incarnation (u64 hlc, u8 region), u32 shard, u32 next, key after which to go on
 *   answer   name of an error and words (empty: answered), position (u64 epoch, u64 seq), u64 running hash, position confirmed,
 *            list of logs (audit_message.c), u64 hlc, u64 points,
 *            list of records  u8 table, key, value
 *            list of rows     audit_message.c
 *            u32 next, u8 done, u8 gone
 * Texts, keys and values come after a varint of their length.
 */
#include "replicator/snapshot_message.h"

#include <string.h>

#include "base/hash.h"

#define FORMAT_VERSION 1
#define HASH_BYTES 8
#define RECORD_BYTES_MIN 3
#define ROW_BYTES_MIN 10

/* --- parts --- */

static void put_position(struct buf *b, struct position p)
{
	wire_put_u64(b, p.epoch);
	wire_put_u64(b, p.seq);
}

static struct position get_position(struct wire_reader *r)
{
	struct position p = { .epoch = wire_u64(r) };

	p.seq = wire_u64(r);
	return p;
}

static bool get_bool(struct wire_reader *r)
{
	uint8_t v = wire_u8(r);

	if (v > 1)
		wire_fail(r);
	return v == 1;
}

static void put_records(struct buf *b, const struct copy_record *records, uint32_t count)
{
	wire_put_varint(b, count);
	for (uint32_t i = 0; i < count; i++) {
		wire_put_u8(b, (uint8_t)records[i].table);
		wire_put_bytes(b, records[i].key.data, records[i].key.len);
		wire_put_bytes(b, records[i].value.data, records[i].value.len);
	}
}

/* More items than could follow are refused before memory is taken. */
static void *get_list(struct wire_reader *r, struct arena *a, size_t bytes_min, size_t item_bytes, uint32_t *ret_count,
		      enum err *err)
{
	uint64_t n = wire_varint(r);

	*ret_count = 0;
	if (n > wire_left(r) / bytes_min)
		wire_fail(r);
	if (r->err || *err)
		return NULL;
	void *items = arena_array(a, n, item_bytes);
	if (items)
		*ret_count = (uint32_t)n;
	else
		*err = ERR_NO_MEMORY;
	return items;
}

static void get_records(struct wire_reader *r, struct arena *a, struct snapshot_reply *out, enum err *err)
{
	struct copy_record *items = get_list(r, a, RECORD_BYTES_MIN, sizeof(*items), &out->record_count, err);

	for (uint32_t i = 0; i < out->record_count; i++) {
		uint8_t table = wire_u8(r);
		items[i].table = (enum store_table)table;
		items[i].key = wire_bytes(r);
		items[i].value = wire_bytes(r);
		if (table >= STORE_TABLE_COUNT || items[i].key.len == 0 || items[i].key.len > STORE_KEY_MAX)
			wire_fail(r);
	}
	out->records = items;
}

static void get_rows(struct wire_reader *r, struct arena *a, struct snapshot_reply *out, enum err *err)
{
	struct audit_row *rows = get_list(r, a, ROW_BYTES_MIN, sizeof(*rows), &out->row_count, err);

	for (uint32_t i = 0; i < out->row_count && !*err; i++) {
		*err = audit_row_get(r, a, &rows[i]);
		if (!*err && !rows[i].row.present)
			*err = ERR_CORRUPT;
	}
	out->rows = rows;
}

static void put_head(struct buf *b, enum snapshot_kind kind)
{
	wire_put_u8(b, FORMAT_VERSION);
	wire_put_u8(b, (uint8_t)kind);
}

static enum err put_tail(struct buf *b, size_t start)
{
	if (!buf_err(b))
		wire_put_u64(b, hash64(b->data + start, b->len - start, 0));
	return buf_err(b);
}

static enum err get_head(struct bytes b, struct wire_reader *ret_reader, enum snapshot_kind *ret_kind,
			 struct fault *reterr_fault)
{
	if (b.len < 2 + HASH_BYTES)
		return fault_set(reterr_fault, ERR_CORRUPT, "a snapshot message of %zu bytes", b.len);
	if (b.data[0] != FORMAT_VERSION)
		return fault_set(reterr_fault, ERR_VERSION, "a snapshot message of the unknown version %u", b.data[0]);
	size_t len = b.len - HASH_BYTES;
	struct wire_reader sum = wire_reader_of(b.data + len, HASH_BYTES);
	if (wire_u64(&sum) != hash64(b.data, len, 0))
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "a snapshot message is damaged: its checksum does not fit its %zu bytes", b.len);
	*ret_reader = wire_reader_of(b.data + 1, len - 1);
	uint8_t kind = wire_u8(ret_reader);
	if (kind < SNAPSHOT_HEAD || kind > SNAPSHOT_STATE)
		return fault_set(reterr_fault, ERR_VERSION, "a snapshot message of the unknown kind %u", kind);
	*ret_kind = (enum snapshot_kind)kind;
	return ERR_NONE;
}

static enum err ended(const struct wire_reader *r, enum err err, struct fault *reterr_fault)
{
	if (!err)
		err = wire_done(r);
	return err ? fault_set(reterr_fault, err == ERR_NO_MEMORY ? err : ERR_CORRUPT, "a snapshot message: %s",
			       err_sentence(err))
		   : ERR_NONE;
}

/* --- requests --- */

enum err snapshot_request_encode(const struct snapshot_request *r, struct buf *out)
{
	size_t start = out->len;

	put_head(out, r->kind);
	wire_put_u64(out, r->fleet);
	wire_put_u8(out, r->sender);
	wire_put_u64(out, r->incarnation.hlc);
	wire_put_u8(out, r->incarnation.region);
	wire_put_u32(out, r->shard);
	wire_put_u32(out, r->next);
	wire_put_bytes(out, r->after.data, r->after.len);
	return put_tail(out, start);
}

enum err snapshot_request_decode(struct bytes b, struct snapshot_request *ret_request, struct fault *reterr_fault)
{
	struct snapshot_request q = { 0 };
	struct wire_reader r;
	enum err err = get_head(b, &r, &q.kind, reterr_fault);

	if (err)
		return err;
	q.fleet = wire_u64(&r);
	q.sender = wire_u8(&r);
	q.incarnation.hlc = wire_u64(&r);
	q.incarnation.region = wire_u8(&r);
	q.shard = wire_u32(&r);
	q.next = wire_u32(&r);
	q.after = wire_bytes(&r);
	if (q.after.len > STORE_KEY_MAX)
		wire_fail(&r);
	err = ended(&r, ERR_NONE, reterr_fault);
	if (!err)
		*ret_request = q;
	return err;
}

/* --- answers --- */

enum err snapshot_reply_encode(const struct snapshot_reply *r, struct buf *out)
{
	size_t start = out->len;

	put_head(out, r->kind);
	wire_put_str(out, r->refused);
	wire_put_str(out, r->words);
	put_position(out, r->position);
	wire_put_u64(out, r->chain_hash);
	put_position(out, r->confirmed);
	audit_logs_put(out, r->logs, r->log_count);
	wire_put_u64(out, r->hlc);
	wire_put_u64(out, r->points);
	put_records(out, r->records, r->record_count);
	wire_put_varint(out, r->row_count);
	for (uint32_t i = 0; i < r->row_count; i++) {
		enum err err = audit_row_put(out, &r->rows[i]);
		if (err)
			return err;
	}
	wire_put_u32(out, r->next);
	wire_put_u8(out, r->done);
	wire_put_u8(out, r->gone);
	return put_tail(out, start);
}

enum err snapshot_reply_decode(struct bytes b, struct arena *a, struct snapshot_reply *ret_reply,
			       struct fault *reterr_fault)
{
	struct snapshot_reply s = { 0 };
	struct wire_reader r;
	enum err err = get_head(b, &r, &s.kind, reterr_fault);

	if (err)
		return err;
	s.refused = wire_str(&r);
	s.words = wire_str(&r);
	s.position = get_position(&r);
	s.chain_hash = wire_u64(&r);
	s.confirmed = get_position(&r);
	s.logs = audit_logs_get(&r, a, &s.log_count, &err);
	s.hlc = wire_u64(&r);
	s.points = wire_u64(&r);
	get_records(&r, a, &s, &err);
	get_rows(&r, a, &s, &err);
	s.next = wire_u32(&r);
	s.done = get_bool(&r);
	s.gone = get_bool(&r);
	err = ended(&r, err, reterr_fault);
	if (!err)
		*ret_reply = s;
	return err;
}

enum err snapshot_reply_refusal(const struct snapshot_reply *r)
{
	if (r->refused.len == 0)
		return ERR_NONE;
	for (unsigned i = 1; i < ERR_COUNT; i++) {
		const char *name = err_name((enum err)i);
		if (strlen(name) == r->refused.len && memcmp(name, r->refused.data, r->refused.len) == 0)
			return (enum err)i;
	}
	return ERR_BAD_GATEWAY;
}
