/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The history of one scope.
 *
 * A chain may begin with the link {epoch 0, end n}: it stands for all epochs before the next link, which are
 * forgotten but for the number of their ops, so that ops keep their numbers when old links are folded.
 *
 * Table STORE_HISTORY: key scope (u16 big-endian), value
 *   u8      version, 1
 *   u64     the open epoch
 *   varint  links, then for each: varint epoch, varint end
 *   u64     hash64 of all before it
 */
#include "replicator/history.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define HISTORY_VERSION 1

void history_init(struct history *h)
{
	*h = (struct history){ 0 };
}

void history_release(struct history *h)
{
	free(h->chain);
	history_init(h);
}

/* Links in ascending order, each with an op; epoch 0 (the folded ones) only as the first. */
static bool chain_is_sound(const struct epoch_end *chain, uint32_t count, uint64_t epoch)
{
	for (uint32_t i = 0; i < count; i++)
		if (chain[i].end == 0 || (i > 0 && chain[i].epoch <= chain[i - 1].epoch))
			return false;
	return count == 0 || chain[count - 1].epoch < epoch;
}

enum err history_set(struct history *h, const struct epoch_end *chain, uint32_t count,
		     uint64_t epoch)
{
	if (count > HISTORY_EPOCHS_MAX)
		return ERR_TOO_LARGE;
	if (epoch == 0 ? count > 0 : !chain_is_sound(chain, count, epoch))
		return ERR_CORRUPT;

	struct epoch_end *copy = calloc((size_t)count + 1, sizeof(*copy));
	if (!copy)
		return ERR_NO_MEMORY;
	if (count > 0)
		memcpy(copy, chain, count * sizeof(*copy));
	history_release(h);
	*h = (struct history){ .chain = copy, .chain_count = count, .epoch = epoch };
	return ERR_NONE;
}

static const struct epoch_end *chain_link(const struct epoch_end *chain, uint32_t count,
					  uint64_t epoch)
{
	uint32_t low = 0;
	uint32_t high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (chain[middle].epoch < epoch)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && chain[low].epoch == epoch ? &chain[low] : NULL;
}

/* Is the epoch one of those that the folded link stands for? */
static bool is_folded(const struct epoch_end *chain, uint32_t count, uint64_t open, uint64_t epoch)
{
	if (count == 0 || chain[0].epoch != 0)
		return false;
	return epoch < (count > 1 ? chain[1].epoch : open);
}

enum history_place history_find(const struct history *h, struct position here, struct position op)
{
	if (op.epoch > h->epoch)
		return HISTORY_AHEAD;
	if (op.epoch == h->epoch)
		return here.epoch == h->epoch && op.seq <= here.seq ? HISTORY_IN : HISTORY_AHEAD;
	if (is_folded(h->chain, h->chain_count, h->epoch, op.epoch))
		return HISTORY_FORGOTTEN;
	const struct epoch_end *link = chain_link(h->chain, h->chain_count, op.epoch);
	return link && op.seq <= link->end ? HISTORY_IN : HISTORY_ORPHAN;
}

uint64_t history_end(const struct history *h, struct position here, uint64_t epoch)
{
	if (epoch == 0 || epoch > h->epoch)
		return 0;
	if (epoch == h->epoch)
		return here.seq;
	if (is_folded(h->chain, h->chain_count, h->epoch, epoch))
		return UINT64_MAX;
	const struct epoch_end *link = chain_link(h->chain, h->chain_count, epoch);
	return link ? link->end : 0;
}

/* Whoever has the first op of an epoch has all that its epoch-start names: the newest epoch that both have decides. */
enum err history_common(const struct history *a, struct position here_a, const struct history *b,
			struct position here_b, struct position *ret_common)
{
	uint64_t epoch = a->epoch;
	uint64_t end = here_a.seq;

	for (uint32_t left = a->chain_count; epoch != 0; left--) {
		uint64_t other = history_end(b, here_b, epoch);
		if (other == UINT64_MAX)
			return ERR_GAP;
		if (other != 0) {
			*ret_common = (struct position){ epoch, MIN(end, other) };
			return ERR_NONE;
		}
		if (left == 0)
			break;
		epoch = a->chain[left - 1].epoch;
		end = a->chain[left - 1].end;
		if (epoch == 0 && b->epoch != 0)
			return ERR_GAP;
	}
	*ret_common = (struct position){ 0 };
	return ERR_NONE;
}

enum err history_copy(struct history *h, const struct history *from)
{
	return history_set(h, from->chain, from->chain_count, from->epoch);
}

uint64_t history_number(const struct history *h, struct position p)
{
	uint64_t before = 0;

	if (p.epoch == 0 || p.seq == 0)
		return 0;
	for (uint32_t i = 0; i < h->chain_count; i++) {
		if (h->chain[i].epoch == p.epoch)
			return before + p.seq;
		before += h->chain[i].end;
	}
	return p.epoch == h->epoch ? before + p.seq : 0;
}

/* An epoch-start of a newer epoch: allowed by a region that stands exactly at the end that it names. */
static enum err admits_epoch(const struct history *h, struct position here, const struct op *op)
{
	if (op->seq != 1 || !chain_is_sound(op->chain, op->chain_count, op->epoch))
		return ERR_FORK;
	if (h->epoch == 0)
		return op->chain_count == 0 ? ERR_NONE : ERR_GAP;
	if (op->epoch >> 8 > (h->epoch >> 8) + EPOCH_JUMP_MAX)
		return ERR_FORK;

	const struct epoch_end *link = chain_link(op->chain, op->chain_count, here.epoch);
	if (!link)
		return is_folded(op->chain, op->chain_count, op->epoch, here.epoch) ? ERR_GAP
										    : ERR_FORK;
	if (here.seq != link->end)
		return here.seq < link->end ? ERR_GAP : ERR_FORK;
	return link == &op->chain[op->chain_count - 1] ? ERR_NONE : ERR_GAP;
}

enum err history_admits(const struct history *h, struct position here, const struct op *op)
{
	struct position p = { .epoch = op->epoch, .seq = op->seq };

	switch (history_find(h, here, p)) {
	case HISTORY_IN:
	case HISTORY_FORGOTTEN:
		/* What is forgotten lies far behind: old messages come again, and are passed over. */
		return ERR_ALREADY_EXISTS;
	case HISTORY_ORPHAN:
		return ERR_FORK;
	case HISTORY_AHEAD:
		break;
	}
	if (op->seq == 0)
		return ERR_FORK;
	if (op->kind == OP_EPOCH_START)
		return admits_epoch(h, here, op);
	if (op->epoch == h->epoch && op->seq == here.seq + 1)
		return ERR_NONE;
	return ERR_GAP;
}

enum err history_next_chain(const struct history *h, struct position here, struct arena *a,
			    struct epoch_end **ret_chain, uint32_t *ret_count)
{
	struct epoch_end *chain = arena_array(a, (size_t)h->chain_count + 1, sizeof(*chain));
	if (!chain)
		return ERR_NO_MEMORY;
	uint32_t count = h->chain_count;
	if (count > 0)
		memcpy(chain, h->chain, count * sizeof(*chain));
	if (h->epoch != 0)
		chain[count++] = (struct epoch_end){ .epoch = h->epoch, .end = here.seq };

	if (count > HISTORY_EPOCHS_KEPT) {
		uint32_t folded = count - HISTORY_EPOCHS_KEPT / 2;
		struct epoch_end first = { 0 };
		for (uint32_t i = 0; i < folded; i++)
			first.end += chain[i].end;
		memmove(chain + 1, chain + folded, (count - folded) * sizeof(*chain));
		chain[0] = first;
		count = count - folded + 1;
	}
	*ret_chain = chain;
	*ret_count = count;
	return ERR_NONE;
}

enum err history_encode(const struct history *h, struct buf *out)
{
	size_t start = out->len;

	wire_put_u8(out, HISTORY_VERSION);
	wire_put_u64(out, h->epoch);
	wire_put_varint(out, h->chain_count);
	for (uint32_t i = 0; i < h->chain_count; i++) {
		wire_put_varint(out, h->chain[i].epoch);
		wire_put_varint(out, h->chain[i].end);
	}
	if (!buf_err(out))
		wire_put_u64(out, hash64(out->data + start, out->len - start, 0));
	return buf_err(out);
}

static enum err decode_chain(struct wire_reader *r, uint64_t count, struct epoch_end **ret_chain)
{
	/* A link takes two bytes at least: a wild count must not allocate. */
	if (count > HISTORY_EPOCHS_MAX || count > wire_left(r) / 2)
		return ERR_CORRUPT;
	struct epoch_end *chain = calloc(count + 1, sizeof(*chain));
	if (!chain)
		return ERR_NO_MEMORY;
	for (uint64_t i = 0; i < count; i++) {
		chain[i].epoch = wire_varint(r);
		chain[i].end = wire_varint(r);
	}
	*ret_chain = chain;
	return ERR_NONE;
}

enum err history_decode(struct bytes b, struct history *ret_history)
{
	if (b.len > HISTORY_BYTES_MAX || b.len < 1 + sizeof(uint64_t))
		return ERR_CORRUPT;
	if (b.data[0] != HISTORY_VERSION)
		return ERR_VERSION;
	struct wire_reader sum =
		wire_reader_of(b.data + b.len - sizeof(uint64_t), sizeof(uint64_t));
	if (wire_u64(&sum) != hash64(b.data, b.len - sizeof(uint64_t), 0))
		return ERR_CORRUPT;

	struct wire_reader r = wire_reader_of(b.data + 1, b.len - 1 - sizeof(uint64_t));
	uint64_t epoch = wire_u64(&r);
	uint64_t count = wire_varint(&r);
	struct epoch_end *chain;
	enum err err = decode_chain(&r, count, &chain);
	if (err)
		return err;
	err = wire_done(&r);
	struct history h;
	history_init(&h);
	if (!err)
		err = history_set(&h, chain, (uint32_t)count, epoch);
	free(chain);
	if (!err)
		*ret_history = h;
	return err;
}
