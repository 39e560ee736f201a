/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers are little-endian.
 *    0   4  magic "ISCH"
 *    4   1  version, 1
 *    5   1  region id of who answers, at least 1
 *    6   2  scope
 *    8   8  fleet
 *   16  16  position: epoch, seq
 *   32   8  running hash there
 *   40   8  the greatest epoch promised
 *   48   4  bytes of the history
 *   52   8  checksum: hash64 of bytes 0 to 51
 *   60      the history (history.c), which has a checksum of its own
 */
#include "replicator/chain.h"

#include <string.h>

#include "base/hash.h"

#define CHAIN_MAGIC "ISCH"
#define CHAIN_VERSION 1
#define CHAIN_CHECKED_BYTES 52

void chain_release(struct chain *c)
{
	history_release(&c->history);
}

enum err chain_encode(const struct chain *c, struct buf *out)
{
	CLEANUP(buf_release) struct buf history = BUF_INIT(HISTORY_BYTES_MAX);
	enum err err = history_encode(&c->history, &history);

	if (err)
		return err;
	size_t start = out->len;
	buf_append_cstr(out, CHAIN_MAGIC);
	wire_put_u8(out, CHAIN_VERSION);
	wire_put_u8(out, c->region);
	wire_put_u16(out, SCOPE_FLEET);
	wire_put_u64(out, c->fleet);
	wire_put_u64(out, c->position.epoch);
	wire_put_u64(out, c->position.seq);
	wire_put_u64(out, c->chain_hash);
	wire_put_u64(out, c->promised);
	wire_put_u32(out, (uint32_t)history.len);
	if (!buf_err(out))
		wire_put_u64(out, hash64(out->data + start, CHAIN_CHECKED_BYTES, 0));
	buf_append(out, history.data, history.len);
	return buf_err(out);
}

/* A position is in the open epoch of its history, and has an op there. */
static bool is_sound(const struct chain *c)
{
	return c->position.epoch == c->history.epoch && (c->position.epoch == 0) == (c->position.seq == 0) &&
	       c->promised >= c->history.epoch && c->region != 0;
}

static enum err read_head(struct wire_reader *r, struct chain *c, uint32_t *ret_history_bytes)
{
	c->region = wire_u8(r);
	uint16_t scope = wire_u16(r);
	c->fleet = wire_u64(r);
	c->position.epoch = wire_u64(r);
	c->position.seq = wire_u64(r);
	c->chain_hash = wire_u64(r);
	c->promised = wire_u64(r);
	*ret_history_bytes = wire_u32(r);
	return scope == SCOPE_FLEET ? r->err : ERR_CORRUPT;
}

enum err chain_decode(struct bytes b, struct chain *ret_chain, struct fault *reterr_fault)
{
	struct wire_reader r = wire_reader_of(b.data, b.len);
	struct bytes magic = wire_take(&r, 4);
	struct chain c = { 0 };
	uint32_t history_bytes = 0;

	if (r.err || memcmp(magic.data, CHAIN_MAGIC, 4) != 0)
		return fault_set(reterr_fault, ERR_CORRUPT, "a region's history does not begin with " CHAIN_MAGIC);
	uint8_t version = wire_u8(&r);
	if (!r.err && version != CHAIN_VERSION)
		return fault_set(reterr_fault, ERR_VERSION, "a region's history has version %u, this Isthmus knows %u", version,
				 CHAIN_VERSION);
	enum err err = read_head(&r, &c, &history_bytes);
	uint64_t checksum = wire_u64(&r);
	if (!err && (r.err || checksum != hash64(b.data, CHAIN_CHECKED_BYTES, 0) || history_bytes != wire_left(&r)))
		err = ERR_CORRUPT;
	if (!err)
		err = history_decode(wire_take(&r, history_bytes), &c.history);
	if (!err && !is_sound(&c))
		err = ERR_CORRUPT;
	if (err) {
		chain_release(&c);
		return fault_set(reterr_fault, err, "a region's history of %zu bytes: %s", b.len, err_sentence(err));
	}
	*ret_chain = c;
	return ERR_NONE;
}
