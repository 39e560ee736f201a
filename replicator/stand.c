/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An order and its answer in bytes; integers are little-endian.
 *
 *   Order   "ISSO", u8 version 1, u64 fleet, u32 for_ms, u8 flags (1: accepts a loss, 2: hold back)
 *   State   "ISSS", u8 version 1, u64 fleet, u64 epoch, u8 flags (1: can, 2: loss known, 4: loss refused), u32 voters,
 *           u32 answering, u64 loss in ms, u64 epoch and seq of the best, u64 epoch and seq of the last, words (varint
 *           length, bytes)
 *   Both    u64 checksum: hash64 of all before it
 */
#include "replicator/stand.h"

#include <string.h>

#include "base/hash.h"

#define ORDER_MAGIC "ISSO"
#define STATE_MAGIC "ISSS"
#define STAND_VERSION 1
#define CHECKSUM_BYTES 8
#define ORDER_ACCEPTS 1u
#define ORDER_HOLD_BACK 2u
#define STATE_CAN 1u
#define STATE_LOSS_KNOWN 2u
#define STATE_LOSS_REFUSED 4u

static enum err seal(struct buf *out, size_t start)
{
	if (!buf_err(out))
		wire_put_u64(out, hash64(out->data + start, out->len - start, 0));
	return buf_err(out);
}

static enum err open_sealed(struct bytes b, const char *magic, struct wire_reader *ret_reader, struct fault *f)
{
	if (b.len < 5 + CHECKSUM_BYTES || b.len > STAND_BYTES_MAX || memcmp(b.data, magic, 4) != 0)
		return fault_set(f, ERR_CORRUPT, "an order to stand, or its answer, does not begin with %s", magic);
	if (b.data[4] != STAND_VERSION)
		return fault_set(f, ERR_VERSION, "an order to stand has version %u, this Isthmus knows %u", b.data[4],
				 STAND_VERSION);
	struct wire_reader sum = wire_reader_of(b.data + b.len - CHECKSUM_BYTES, CHECKSUM_BYTES);
	if (wire_u64(&sum) != hash64(b.data, b.len - CHECKSUM_BYTES, 0))
		return fault_set(f, ERR_CORRUPT, "the checksum of an order to stand is wrong");
	*ret_reader = wire_reader_of(b.data + 5, b.len - 5 - CHECKSUM_BYTES);
	return ERR_NONE;
}

enum err stand_order_encode(const struct stand_order *o, struct buf *out)
{
	size_t start = out->len;

	if (o->for_ms == 0 || o->for_ms > STAND_FOR_MS_MAX)
		return ERR_BAD_INPUT;
	buf_append_cstr(out, ORDER_MAGIC);
	wire_put_u8(out, STAND_VERSION);
	wire_put_u64(out, o->fleet);
	wire_put_u32(out, o->for_ms);
	wire_put_u8(out, (uint8_t)((o->accept_loss ? ORDER_ACCEPTS : 0) | (o->hold_back ? ORDER_HOLD_BACK : 0)));
	return seal(out, start);
}

enum err stand_order_decode(struct bytes b, struct stand_order *ret_order, struct fault *reterr_fault)
{
	struct wire_reader r;
	enum err err = open_sealed(b, ORDER_MAGIC, &r, reterr_fault);

	if (err != ERR_NONE)
		return err;
	struct stand_order o = { .fleet = wire_u64(&r), .for_ms = wire_u32(&r) };
	uint8_t flags = wire_u8(&r);
	if (wire_done(&r) || flags & ~(ORDER_ACCEPTS | ORDER_HOLD_BACK) || o.for_ms == 0 || o.for_ms > STAND_FOR_MS_MAX)
		return fault_set(reterr_fault, ERR_CORRUPT, "an order to stand is outside its bounds");
	o.accept_loss = flags & ORDER_ACCEPTS;
	o.hold_back = flags & ORDER_HOLD_BACK;
	*ret_order = o;
	return ERR_NONE;
}

static void put_position(struct buf *out, struct position p)
{
	wire_put_u64(out, p.epoch);
	wire_put_u64(out, p.seq);
}

enum err stand_state_encode(const struct stand_state *s, struct buf *out)
{
	size_t start = out->len;

	buf_append_cstr(out, STATE_MAGIC);
	wire_put_u8(out, STAND_VERSION);
	wire_put_u64(out, s->fleet);
	wire_put_u64(out, s->epoch);
	wire_put_u8(out, (uint8_t)((s->can ? STATE_CAN : 0) | (s->loss.known ? STATE_LOSS_KNOWN : 0) |
				   (s->loss_refused ? STATE_LOSS_REFUSED : 0)));
	wire_put_u32(out, s->voters);
	wire_put_u32(out, s->answering);
	wire_put_u64(out, s->loss.ms);
	put_position(out, s->loss.best);
	put_position(out, s->loss.last);
	wire_put_bytes(out, s->words, strlen(s->words));
	return seal(out, start);
}

static struct position get_position(struct wire_reader *r)
{
	struct position p = { .epoch = wire_u64(r) };

	p.seq = wire_u64(r);
	return p;
}

enum err stand_state_decode(struct bytes b, struct stand_state *ret_state, struct fault *reterr_fault)
{
	struct wire_reader r;
	enum err err = open_sealed(b, STATE_MAGIC, &r, reterr_fault);

	if (err != ERR_NONE)
		return err;
	struct stand_state s = { .fleet = wire_u64(&r), .epoch = wire_u64(&r) };
	uint8_t flags = wire_u8(&r);
	s.can = flags & STATE_CAN;
	s.loss_refused = flags & STATE_LOSS_REFUSED;
	s.voters = wire_u32(&r);
	s.answering = wire_u32(&r);
	s.loss = (struct lease_loss){ .known = flags & STATE_LOSS_KNOWN, .ms = wire_u64(&r) };
	s.loss.best = get_position(&r);
	s.loss.last = get_position(&r);
	struct bytes words = wire_bytes(&r);
	if (wire_done(&r) || words.len >= sizeof(s.words) || flags > (STATE_CAN | STATE_LOSS_KNOWN | STATE_LOSS_REFUSED))
		return fault_set(reterr_fault, ERR_CORRUPT, "the answer to an order to stand is outside its bounds");
	memcpy(s.words, words.data, words.len);
	*ret_state = s;
	return ERR_NONE;
}
