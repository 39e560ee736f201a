/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lease record of a scope, little-endian.
 *
 *   u8      version, 1
 *   varint  epoch, u8 holder, varint boots
 *   the list and the pending list (voters.c)
 *   varint  renewed: epoch, seq, wall_ms
 *   varint  seen, at most VOTERS_MAX + 1, then for each: u8 region, 16 bytes store, u64 boots, u64 nonce, varint promised
 *   u64     hash64 of all before it
 */
#include "replicator/lease_record.h"

#include <string.h>

#include "base/hash.h"

#define RECORD_VERSION 1
#define CHECKSUM_BYTES 8

enum err lease_record_encode(const struct lease_record *r, struct buf *out)
{
	size_t start = out->len;

	wire_put_u8(out, RECORD_VERSION);
	wire_put_varint(out, r->epoch);
	wire_put_u8(out, r->holder);
	wire_put_varint(out, r->boots);
	voters_put(&r->list, out);
	voters_put(&r->pending, out);
	wire_put_varint(out, r->renewed.position.epoch);
	wire_put_varint(out, r->renewed.position.seq);
	wire_put_varint(out, r->renewed.wall_ms);
	wire_put_varint(out, r->seen_count);
	for (uint32_t i = 0; i < r->seen_count; i++) {
		const struct lease_seen *s = &r->seen[i];

		wire_put_u8(out, s->identity.region);
		buf_append(out, s->identity.store_id, STORE_ID_BYTES);
		wire_put_u64(out, s->identity.boots);
		wire_put_u64(out, s->identity.nonce);
		wire_put_varint(out, s->promised);
	}
	if (!buf_err(out))
		wire_put_u64(out, hash64(out->data + start, out->len - start, 0));
	return buf_err(out);
}

static void get_seen(struct wire_reader *r, struct lease_seen *s)
{
	s->identity.region = wire_u8(r);
	struct bytes id = wire_take(r, STORE_ID_BYTES);
	if (!r->err)
		memcpy(s->identity.store_id, id.data, STORE_ID_BYTES);
	s->identity.boots = wire_u64(r);
	s->identity.nonce = wire_u64(r);
	s->promised = wire_varint(r);
}

static void get_record(struct wire_reader *r, struct lease_record *record)
{
	record->epoch = wire_varint(r);
	record->holder = wire_u8(r);
	record->boots = wire_varint(r);
	voters_get(r, &record->list);
	voters_get(r, &record->pending);
	record->renewed.position.epoch = wire_varint(r);
	record->renewed.position.seq = wire_varint(r);
	record->renewed.wall_ms = wire_varint(r);
	uint64_t seen = wire_varint(r);
	if (seen > VOTERS_MAX + 1)
		wire_fail(r);
	record->seen_count = r->err ? 0 : (uint32_t)seen;
	for (uint32_t i = 0; i < record->seen_count; i++)
		get_seen(r, &record->seen[i]);
}

enum err lease_record_decode(struct bytes b, struct lease_record *ret_record, struct fault *reterr_fault)
{
	if (b.len < 1 + CHECKSUM_BYTES || b.len > LEASE_RECORD_BYTES_MAX)
		return fault_set(reterr_fault, ERR_CORRUPT, "a lease record has %zu bytes", b.len);
	if (b.data[0] != RECORD_VERSION)
		return fault_set(reterr_fault, ERR_VERSION, "a lease record has version %u, this Isthmus knows %u",
				 b.data[0], RECORD_VERSION);
	struct wire_reader sum = wire_reader_of(b.data + b.len - CHECKSUM_BYTES, CHECKSUM_BYTES);
	if (wire_u64(&sum) != hash64(b.data, b.len - CHECKSUM_BYTES, 0))
		return fault_set(reterr_fault, ERR_CORRUPT, "a lease record's checksum is wrong");

	struct wire_reader r = wire_reader_of(b.data + 1, b.len - 1 - CHECKSUM_BYTES);
	struct lease_record record = { 0 };
	get_record(&r, &record);
	if (wire_done(&r) != ERR_NONE)
		return fault_set(reterr_fault, ERR_CORRUPT, "a lease record is not what its version says");
	*ret_record = record;
	return ERR_NONE;
}
