/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What regions send each other through NATS. Integers are little-endian.
 *
 * Batch
 *   0   4  magic "ISOB"
 *   4   1  version, 1
 *   5   1  flags: bit 0 = the body is a zlib stream; the others are 0
 *   6   2  scope
 *   8   8  fleet
 *  16   8  epoch, at least 1
 *  24   8  seq of the first op, at least 1
 *  32   8  running hash of the log after the last op
 *  40   4  count of ops, 1 to BATCH_OPS_MAX
 *  44   4  bytes of the body before compression, at most BATCH_BODY_BYTES_MAX
 *  48   8  checksum: hash64 of the body as it is carried, seeded with hash64 of bytes 0 to 47
 *  56      body: for each op its length (varint, 1 to OP_BYTES_MAX) and its wire form
 *
 * Heartbeat
 *   0   4  magic "ISHB"
 *   4   1  version, 2; 1 ends after hlc with its checksum, and promises nothing
 *   5   1  region id of the sender, at least 1
 *   6   2  scope
 *   8   8  fleet
 *  16  16  position: epoch, seq
 *  32  16  confirmed: epoch, seq
 *  48   8  wall clock of the sender, ms since 1970
 *  56   8  hlc of the sender
 *  64   8  the greatest epoch that it has promised
 *  72   8  checksum: hash64 of all before it
 *
 * A reader refuses a version that it does not know; a change of either format takes the next
 * number.
 */
#include "replicator/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/gzip.h"
#include "base/hash.h"
#include "base/wire.h"

#define BATCH_MAGIC "ISOB"
#define BATCH_VERSION 1
#define BATCH_HEAD_BYTES 56
#define BATCH_CHECKED_BYTES 48
#define FLAG_COMPRESSED 1u

/* Speed before size: most of a batch are floats, which hardly shrink. */
#define COMPRESSION_LEVEL 1
/* Of less, what little could be saved is not worth a compressor, which clears 256 KB before it begins. */
#define COMPRESSION_BYTES_MIN 256
/* gzip_inflate refuses what grows more than a hundredfold; such a body (all zeroes) travels as it
 * is. */
#define COMPRESSION_RATIO_MAX 64

#define HEARTBEAT_MAGIC "ISHB"
#define HEARTBEAT_VERSION 2
#define HEARTBEAT_VERSION_WITHOUT_PROMISE 1
#define HEARTBEAT_BYTES_WITHOUT_PROMISE 72
#define CHECKSUM_BYTES 8

static uint64_t batch_checksum(const uint8_t *head, struct bytes body)
{
	return hash64(body.data, body.len, hash64(head, BATCH_CHECKED_BYTES, 0));
}

static enum err body_put(const struct op_batch *m, struct buf *body)
{
	for (uint32_t i = 0; i < m->count; i++) {
		if (m->ops[i].len == 0)
			return ERR_BAD_INPUT;
		if (m->ops[i].len > OP_BYTES_MAX)
			return ERR_TOO_LARGE;
		wire_put_bytes(body, m->ops[i].data, m->ops[i].len);
	}
	return buf_err(body);
}

static bool bounds_hold(const struct op_batch *m)
{
	return m->count >= 1 && m->count <= BATCH_OPS_MAX && m->epoch >= 1 && m->first >= 1 &&
	       m->scope < SCOPES_MAX && m->first <= UINT64_MAX - m->count;
}

/* What to carry: the compressed body when that is smaller and can be inflated again, else the
 * body. */
static struct bytes body_choose(const struct buf *body, struct buf *compressed, uint8_t *ret_flags)
{
	*ret_flags = 0;
	if (body->len < COMPRESSION_BYTES_MIN)
		return buf_bytes(body);
	if (gzip_deflate(buf_bytes(body), COMPRESSION_LEVEL, compressed))
		return buf_bytes(body);
	if (compressed->len >= body->len || compressed->len * COMPRESSION_RATIO_MAX < body->len)
		return buf_bytes(body);
	*ret_flags = FLAG_COMPRESSED;
	return buf_bytes(compressed);
}

enum err batch_encode(const struct op_batch *m, struct buf *out)
{
	if (!bounds_hold(m))
		return ERR_BAD_INPUT;
	CLEANUP(buf_release) struct buf body = BUF_INIT(BATCH_BODY_BYTES_MAX);
	CLEANUP(buf_release) struct buf compressed = BUF_INIT(BATCH_BODY_BYTES_MAX);
	enum err e = body_put(m, &body);
	if (e)
		return e;

	uint8_t flags;
	struct bytes carried = body_choose(&body, &compressed, &flags);
	if (BATCH_HEAD_BYTES + carried.len > BATCH_BYTES_MAX)
		return ERR_TOO_LARGE;

	size_t start = out->len;
	buf_append_cstr(out, BATCH_MAGIC);
	wire_put_u8(out, BATCH_VERSION);
	wire_put_u8(out, flags);
	wire_put_u16(out, m->scope);
	wire_put_u64(out, m->fleet);
	wire_put_u64(out, m->epoch);
	wire_put_u64(out, m->first);
	wire_put_u64(out, m->chain_hash);
	wire_put_u32(out, m->count);
	wire_put_u32(out, (uint32_t)body.len);
	if (buf_err(out))
		return buf_err(out);
	wire_put_u64(out, batch_checksum(out->data + start, carried));
	buf_append(out, carried.data, carried.len);
	return buf_err(out);
}

/* The ops of a body, which must be all of it. */
static enum err body_get(struct bytes body, uint32_t count, struct arena *a,
			 const struct bytes **ret_ops, struct fault *reterr_fault)
{
	struct bytes *ops = arena_array(a, count, sizeof(*ops));
	if (!ops)
		return fault_set(reterr_fault, ERR_NO_MEMORY,
				 "no room for the %" PRIu32 " ops of a message", count);

	struct wire_reader r = wire_reader_of(body.data, body.len);
	for (uint32_t i = 0; i < count; i++) {
		ops[i] = wire_bytes(&r);
		if (!r.err && (ops[i].len == 0 || ops[i].len > OP_BYTES_MAX))
			wire_fail(&r);
	}
	if (wire_done(&r))
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "the ops of a message do not fill its body exactly");
	*ret_ops = ops;
	return ERR_NONE;
}

/* The body before compression. */
static enum err body_open(struct bytes carried, uint8_t flags, uint32_t body_bytes,
			  struct buf *inflated, struct bytes *ret_body, struct fault *reterr_fault)
{
	struct bytes body = carried;

	if (flags & FLAG_COMPRESSED) {
		buf_reset(inflated);
		enum err e = gzip_inflate(carried, inflated);
		if (e == ERR_NO_MEMORY)
			return fault_set(reterr_fault, e, "no memory to decompress a message");
		if (e)
			return fault_set(reterr_fault, ERR_CORRUPT,
					 "the body of a message cannot be decompressed");
		body = buf_bytes(inflated);
	}
	if (body.len != body_bytes)
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "a message's body has %zu bytes instead of %" PRIu32, body.len,
				 body_bytes);
	*ret_body = body;
	return ERR_NONE;
}

/* *ret_version: from `oldest` to `version`. */
static enum err head_check(struct wire_reader *r, const char *magic, uint8_t oldest, uint8_t version,
			   uint8_t *ret_version, struct fault *reterr_fault)
{
	struct bytes found = wire_take(r, 4);
	if (r->err || memcmp(found.data, magic, 4) != 0)
		return fault_set(reterr_fault, ERR_CORRUPT, "a message does not begin with %s",
				 magic);
	uint8_t v = wire_u8(r);
	if (r->err)
		return fault_set(reterr_fault, ERR_CORRUPT, "a message ends within its head");
	if (v < oldest || v > version)
		return fault_set(reterr_fault, ERR_VERSION,
				 "a message has version %u, this Isthmus knows %u", v, version);
	*ret_version = v;
	return ERR_NONE;
}

enum err batch_decode(struct bytes b, struct buf *inflated, struct arena *a,
			struct op_batch *ret_batch, struct fault *reterr_fault)
{
	struct wire_reader r = wire_reader_of(b.data, b.len);
	uint8_t version;
	enum err e = head_check(&r, BATCH_MAGIC, BATCH_VERSION, BATCH_VERSION, &version, reterr_fault);
	if (e)
		return e;

	uint8_t flags = wire_u8(&r);
	struct op_batch m = { .scope = wire_u16(&r) };
	m.fleet = wire_u64(&r);
	m.epoch = wire_u64(&r);
	m.first = wire_u64(&r);
	m.chain_hash = wire_u64(&r);
	m.count = wire_u32(&r);
	uint32_t body_bytes = wire_u32(&r);
	uint64_t checksum = wire_u64(&r);
	struct bytes carried = wire_take(&r, wire_left(&r));
	if (r.err || b.len > BATCH_BYTES_MAX)
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "a message of %zu bytes is too short or too long", b.len);
	if (checksum != batch_checksum(b.data, carried))
		return fault_set(reterr_fault, ERR_CORRUPT, "a message's checksum is wrong");
	if (flags & ~FLAG_COMPRESSED || !bounds_hold(&m) || body_bytes > BATCH_BODY_BYTES_MAX)
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "a message's head is outside its bounds");

	struct bytes body = { 0 };
	e = body_open(carried, flags, body_bytes, inflated, &body, reterr_fault);
	if (e)
		return e;
	e = body_get(body, m.count, a, &m.ops, reterr_fault);
	if (e)
		return e;
	*ret_batch = m;
	return ERR_NONE;
}

size_t batch_id(const struct op_batch *m, char out[BATCH_ID_MAX])
{
	int n = snprintf(out, BATCH_ID_MAX, "%u.%" PRIu64 ".%" PRIu64 "-%" PRIu64 ".%016" PRIx64,
			 m->scope, m->epoch, m->first, batch_last(m).seq, m->chain_hash);
	return (size_t)n;
}

enum err heartbeat_encode(const struct heartbeat *h, struct buf *out)
{
	if (h->region == 0 || h->scope >= SCOPES_MAX)
		return ERR_BAD_INPUT;
	size_t start = out->len;
	buf_append_cstr(out, HEARTBEAT_MAGIC);
	wire_put_u8(out, HEARTBEAT_VERSION);
	wire_put_u8(out, h->region);
	wire_put_u16(out, h->scope);
	wire_put_u64(out, h->fleet);
	wire_put_u64(out, h->position.epoch);
	wire_put_u64(out, h->position.seq);
	wire_put_u64(out, h->confirmed.epoch);
	wire_put_u64(out, h->confirmed.seq);
	wire_put_u64(out, h->wall_ms);
	wire_put_u64(out, h->hlc);
	wire_put_u64(out, h->promised);
	if (buf_err(out))
		return buf_err(out);
	wire_put_u64(out, hash64(out->data + start, HEARTBEAT_BYTES - CHECKSUM_BYTES, 0));
	return buf_err(out);
}

enum err heartbeat_decode(struct bytes b, struct heartbeat *ret_heartbeat,
			  struct fault *reterr_fault)
{
	struct wire_reader r = wire_reader_of(b.data, b.len);
	uint8_t version;
	enum err e = head_check(&r, HEARTBEAT_MAGIC, HEARTBEAT_VERSION_WITHOUT_PROMISE, HEARTBEAT_VERSION, &version,
				reterr_fault);
	if (e)
		return e;
	bool promises = version > HEARTBEAT_VERSION_WITHOUT_PROMISE;
	size_t len = promises ? HEARTBEAT_BYTES : HEARTBEAT_BYTES_WITHOUT_PROMISE;
	if (b.len != len)
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "a heartbeat has %zu bytes instead of %zu", b.len, len);

	struct heartbeat h = { .region = wire_u8(&r) };
	h.scope = wire_u16(&r);
	h.fleet = wire_u64(&r);
	h.position.epoch = wire_u64(&r);
	h.position.seq = wire_u64(&r);
	h.confirmed.epoch = wire_u64(&r);
	h.confirmed.seq = wire_u64(&r);
	h.wall_ms = wire_u64(&r);
	h.hlc = wire_u64(&r);
	h.promised = promises ? wire_u64(&r) : 0;
	uint64_t checksum = wire_u64(&r);
	if (wire_done(&r) || checksum != hash64(b.data, len - CHECKSUM_BYTES, 0))
		return fault_set(reterr_fault, ERR_CORRUPT, "a heartbeat's checksum is wrong");
	if (h.region == 0 || h.scope >= SCOPES_MAX)
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "a heartbeat's head is outside its bounds");
	*ret_heartbeat = h;
	return ERR_NONE;
}
