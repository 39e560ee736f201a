/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offer
 *   u8      version, 1
 *   u64     fleet
 *   varint  ops; for each: u64 running hash after it, str its wire form
 *   u64     hash64 of all before it
 *
 * Answer
 *   u8      version, 1
 *   varint  how many were listed
 *   u64, u64  epoch and seq where the region stood then
 *   u64     hash64 of all before it
 */
#include "replicator/orphan_offer.h"

#include "base/hash.h"

#define OFFER_VERSION 1
#define TAIL_BYTES 8
#define ITEM_BYTES_MIN 9

static enum err seal(struct buf *out, size_t start)
{
	if (!buf_err(out))
		wire_put_u64(out, hash64(out->data + start, out->len - start, 0));
	return buf_err(out);
}

/* The reader behind the version. */
static enum err unseal(struct bytes b, struct wire_reader *ret_reader)
{
	if (b.len < TAIL_BYTES + 1)
		return ERR_CORRUPT;
	size_t len = b.len - TAIL_BYTES;
	struct wire_reader tail = wire_reader_of(b.data + len, TAIL_BYTES);
	if (wire_u64(&tail) != hash64(b.data, len, 0))
		return ERR_CORRUPT;
	*ret_reader = wire_reader_of(b.data, len);
	return wire_u8(ret_reader) == OFFER_VERSION ? ERR_NONE : ERR_VERSION;
}

enum err orphan_offer_encode(uint64_t fleet, const struct offered_orphan *items, uint32_t count, struct buf *out)
{
	size_t start = out->len;

	wire_put_u8(out, OFFER_VERSION);
	wire_put_u64(out, fleet);
	wire_put_varint(out, count);
	for (uint32_t i = 0; i < count; i++) {
		wire_put_u64(out, items[i].chain_hash);
		wire_put_bytes(out, items[i].op.data, items[i].op.len);
	}
	return seal(out, start);
}

static enum err items_get(struct wire_reader *r, struct arena *a, struct orphan_offer *ret_offer)
{
	uint64_t count = wire_varint(r);

	if (r->err || count > ORPHAN_OFFER_ITEMS_MAX || count > wire_left(r) / ITEM_BYTES_MIN)
		return ERR_CORRUPT;
	struct offered_orphan *items = arena_array(a, count, sizeof(*items));
	if (!items)
		return ERR_NO_MEMORY;
	for (uint64_t i = 0; i < count; i++) {
		items[i].chain_hash = wire_u64(r);
		items[i].op = wire_bytes(r);
	}
	*ret_offer = (struct orphan_offer){ .items = items, .count = (uint32_t)count };
	return wire_done(r);
}

enum err orphan_offer_decode(struct bytes b, uint64_t fleet, struct arena *a, struct orphan_offer *ret_offer,
			     struct fault *reterr_fault)
{
	struct wire_reader r;
	enum err err = unseal(b, &r);

	if (!err && wire_u64(&r) != fleet)
		return fault_set(reterr_fault, ERR_FORBIDDEN, "the orphans are of another fleet");
	if (!err)
		err = items_get(&r, a, ret_offer);
	return err ? fault_set(reterr_fault, err, "orphans that another region offers: %s", err_sentence(err)) : ERR_NONE;
}

enum err orphan_answer_encode(const struct orphan_offer *offer, struct buf *out)
{
	size_t start = out->len;

	wire_put_u8(out, OFFER_VERSION);
	wire_put_varint(out, offer->listed);
	wire_put_u64(out, offer->position.epoch);
	wire_put_u64(out, offer->position.seq);
	return seal(out, start);
}

enum err orphan_answer_decode(struct bytes b, uint32_t *ret_listed, struct position *ret_position)
{
	struct wire_reader r;
	enum err err = unseal(b, &r);

	if (err)
		return err;
	uint64_t listed = wire_varint(&r);
	struct position p = { .epoch = wire_u64(&r) };
	p.seq = wire_u64(&r);
	if (wire_done(&r) || listed > ORPHAN_OFFER_ITEMS_MAX)
		return ERR_CORRUPT;
	*ret_listed = (uint32_t)listed;
	*ret_position = p;
	return ERR_NONE;
}
