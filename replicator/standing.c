/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers are little-endian.
 *   4    "ISV1"
 *   u8   version, 2; 1 has no waits
 *   u8   region
 *   u8   1: all logs that the sender knows
 *   u8   0
 *   u64  fleet, u64 wall clock in milliseconds, u64 closed HLC
 *   u32  logs; for each, ascending: u64 log, u64 seq, with bit 63 when it is its region's floor (change.h)
 *   u32  waits; for each: u64 log, u64 seq, u8 kind (the row in log_wait.def)
 *   u64  hash64 of all before it
 */
#include "replicator/standing.h"

#include "base/hash.h"

#include <string.h>

#define STANDING_MAGIC "ISV1"
#define STANDING_VERSION 2
#define STANDING_VERSION_WITHOUT_WAITS 1
#define FLOOR_BIT (UINT64_C(1) << 63)

uint32_t standing_newest(struct log_end *ends, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++) {
		bool newer = false;
		for (uint32_t k = i + 1; k < count && !newer; k++)
			newer = (uint8_t)ends[k].log == (uint8_t)ends[i].log;
		if (!newer)
			ends[kept++] = ends[i];
	}
	return kept;
}

enum err standing_encode(const struct standing *s, struct buf *out)
{
	size_t start = out->len;

	if (s->count > LOGS_MAX || s->wait_count > STANDING_WAITS_MAX)
		return ERR_TOO_LARGE;
	buf_append_cstr(out, STANDING_MAGIC);
	wire_put_u8(out, STANDING_VERSION);
	wire_put_u8(out, s->region);
	wire_put_u8(out, s->whole);
	wire_put_u8(out, 0);
	wire_put_u64(out, s->fleet);
	wire_put_u64(out, s->wall_ms);
	wire_put_u64(out, s->hlc);
	wire_put_u32(out, s->count);
	for (uint32_t i = 0; i < s->count; i++) {
		wire_put_u64(out, s->ends[i].log);
		wire_put_u64(out, s->ends[i].seq | (s->ends[i].floor ? FLOOR_BIT : 0));
	}
	wire_put_u32(out, s->wait_count);
	for (uint32_t i = 0; i < s->wait_count; i++) {
		wire_put_u64(out, s->waits[i].log);
		wire_put_u64(out, s->waits[i].seq);
		wire_put_u8(out, s->waits[i].kind);
	}
	if (!buf_err(out))
		wire_put_u64(out, hash64(out->data + start, out->len - start, 0));
	return buf_err(out);
}

static bool head_is_sound(struct wire_reader *r, uint8_t *ret_version)
{
	struct bytes magic = wire_take(r, 4);

	if (r->err || memcmp(magic.data, STANDING_MAGIC, 4) != 0)
		return false;
	*ret_version = wire_u8(r);
	return *ret_version == STANDING_VERSION || *ret_version == STANDING_VERSION_WITHOUT_WAITS;
}

static void read_waits(struct wire_reader *r, struct standing *s)
{
	s->wait_count = wire_u32(r);
	if (s->wait_count > STANDING_WAITS_MAX) {
		r->err = ERR_CORRUPT;
		return;
	}
	for (uint32_t i = 0; i < s->wait_count; i++) {
		s->waits[i].log = wire_u64(r);
		s->waits[i].seq = wire_u64(r);
		s->waits[i].kind = wire_u8(r);
	}
}

enum err standing_decode(struct bytes b, struct arena *a, struct standing *ret_standing,
			 struct fault *reterr_fault)
{
	struct wire_reader r = wire_reader_of(b.data, b.len);
	uint8_t version = 0;

	if (b.len < STANDING_HEAD_BYTES + 8 || b.len > STANDING_BYTES_MAX || !head_is_sound(&r, &version))
		return fault_set(reterr_fault, ERR_CORRUPT, "a standing of %zu bytes", b.len);
	struct wire_reader tail = wire_reader_of(b.data + b.len - 8, 8);
	if (wire_u64(&tail) != hash64(b.data, b.len - 8, 0))
		return fault_set(reterr_fault, ERR_CORRUPT, "a standing's checksum is wrong");
	struct standing s = { .region = wire_u8(&r) };
	s.whole = wire_u8(&r) == 1;
	(void)wire_u8(&r);
	s.fleet = wire_u64(&r);
	s.wall_ms = wire_u64(&r);
	s.hlc = wire_u64(&r);
	s.count = wire_u32(&r);
	if (b.len < STANDING_HEAD_BYTES + (size_t)s.count * 16 + 8)
		return fault_set(reterr_fault, ERR_CORRUPT, "a standing of %zu bytes", b.len);
	s.ends = arena_array(a, s.count, sizeof(*s.ends));
	if (!s.ends)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for a standing");
	for (uint32_t i = 0; i < s.count; i++) {
		s.ends[i].log = wire_u64(&r);
		uint64_t seq = wire_u64(&r);
		s.ends[i].seq = seq & ~FLOOR_BIT;
		s.ends[i].floor = (seq & FLOOR_BIT) != 0;
		if (i > 0 && s.ends[i].log <= s.ends[i - 1].log)
			return fault_set(reterr_fault, ERR_CORRUPT, "a standing is not in order");
	}
	if (version == STANDING_VERSION)
		read_waits(&r, &s);
	(void)wire_u64(&r);
	if (wire_done(&r))
		return fault_set(reterr_fault, ERR_CORRUPT, "a standing of %zu bytes", b.len);
	*ret_standing = s;
	return ERR_NONE;
}
