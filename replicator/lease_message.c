/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lease frames in bytes. Integers are little-endian, varints the shortest form.
 *
 *   0   4  magic "ISLM"
 *   4   1  version, 1
 *   5   1  region id of the sender, at least 1
 *   6   1  items, 1 to SCOPES_MAX
 *   7   1  0
 *   8   8  fleet
 *  16  16  id of the sender's store
 *  32   8  boots
 *  40   8  nonce, not 0
 *  48   8  wall clock of the sender, ms since 1970
 *  56      items
 *   n   8  checksum: hash64 of all before it
 *
 * Item
 *   u8 scope, u8 kind, u8 answer, u8 flags, u8 target
 *   varints: round, asker, epoch, promised, logged, position (epoch, seq), confirmed (epoch, seq), oldest (epoch, seq),
 *            stamp_ms, remaining_ms, renewed (epoch, seq, wall_ms), list number
 *   the list and the pending list (voters.c); each may be empty
 *
 * A reader refuses a version that it does not know; a change of the format takes the next number.
 */
#include "replicator/lease_message.h"

#include <string.h>

#include "base/hash.h"

#define FRAME_MAGIC "ISLM"
#define FRAME_VERSION 1
#define FRAME_HEAD_BYTES 56
#define CHECKSUM_BYTES 8
#define ITEM_FLAGS (LEASE_ITEM_DATA | LEASE_ITEM_FIT | LEASE_ITEM_ABLE | LEASE_ITEM_REPLACED)

const char *lease_kind_name(enum lease_kind k)
{
	switch (k) {
#define LEASE_KIND(name, number, word) \
	case LEASE_##name: \
		return word;
#include "replicator/lease_message.def"
#undef LEASE_KIND
	}
	return NULL;
}

const char *lease_answer_name(enum lease_answer a)
{
	switch (a) {
#define LEASE_ANSWER(name, number, word) \
	case LEASE_ANSWER_##name: \
		return word;
#include "replicator/lease_answer.def"
#undef LEASE_ANSWER
	}
	return NULL;
}

/* --- writing --- */

static void put_position(struct buf *out, struct position p)
{
	wire_put_varint(out, p.epoch);
	wire_put_varint(out, p.seq);
}

static void put_list(struct buf *out, const struct voter_list *l)
{
	static const struct voter_list none;

	voters_put(l != NULL ? l : &none, out);
}

static void put_item(struct buf *out, const struct lease_item *m)
{
	wire_put_u8(out, (uint8_t)m->scope);
	wire_put_u8(out, (uint8_t)m->kind);
	wire_put_u8(out, (uint8_t)m->answer);
	wire_put_u8(out, m->flags);
	wire_put_u8(out, m->target);
	wire_put_varint(out, m->round);
	wire_put_varint(out, m->asker);
	wire_put_varint(out, m->epoch);
	wire_put_varint(out, m->promised);
	wire_put_varint(out, m->logged);
	put_position(out, m->position);
	put_position(out, m->confirmed);
	put_position(out, m->oldest);
	wire_put_varint(out, m->stamp_ms);
	wire_put_varint(out, m->remaining_ms);
	put_position(out, m->renewed.position);
	wire_put_varint(out, m->renewed.wall_ms);
	wire_put_varint(out, m->list_number);
	put_list(out, m->list);
	put_list(out, m->pending);
}

static bool list_holds(const struct voter_list *l)
{
	return l == NULL || l->count == 0 || voters_check(l, NULL) == ERR_NONE;
}

static bool item_holds(const struct lease_item *m)
{
	return m->scope < SCOPES_MAX && lease_kind_name(m->kind) != NULL && lease_answer_name(m->answer) != NULL &&
	       !(m->flags & ~ITEM_FLAGS) && list_holds(m->list) && list_holds(m->pending);
}

static bool frame_holds(const struct lease_frame *f)
{
	if (f->from.region == 0 || f->from.nonce == 0 || f->count == 0 || f->count > SCOPES_MAX)
		return false;
	for (uint32_t i = 0; i < f->count; i++)
		if (!item_holds(&f->items[i]))
			return false;
	return true;
}

enum err lease_frame_encode(const struct lease_frame *f, struct buf *out)
{
	if (!frame_holds(f))
		return ERR_BAD_INPUT;
	size_t start = out->len;

	buf_append_cstr(out, FRAME_MAGIC);
	wire_put_u8(out, FRAME_VERSION);
	wire_put_u8(out, f->from.region);
	wire_put_u8(out, (uint8_t)f->count);
	wire_put_u8(out, 0);
	wire_put_u64(out, f->fleet);
	buf_append(out, f->from.store_id, STORE_ID_BYTES);
	wire_put_u64(out, f->from.boots);
	wire_put_u64(out, f->from.nonce);
	wire_put_u64(out, f->wall_ms);
	for (uint32_t i = 0; i < f->count; i++)
		put_item(out, &f->items[i]);
	if (!buf_err(out) && out->len - start > LEASE_FRAME_BYTES_MAX - CHECKSUM_BYTES)
		return ERR_TOO_LARGE;
	if (!buf_err(out))
		wire_put_u64(out, hash64(out->data + start, out->len - start, 0));
	return buf_err(out);
}

/* --- reading --- */

static struct position get_position(struct wire_reader *r)
{
	struct position p = { .epoch = wire_varint(r) };

	p.seq = wire_varint(r);
	return p;
}

/* Both lists of an item lie in the arena only when there are any. */
static enum err get_list(struct wire_reader *r, struct arena *a, const struct voter_list **ret_list)
{
	struct voter_list l = { 0 };

	voters_get(r, &l);
	if (r->err || l.count == 0)
		return ERR_NONE;
	struct voter_list *copy = arena_array(a, 1, sizeof(*copy));
	if (copy == NULL)
		return ERR_NO_MEMORY;
	*copy = l;
	*ret_list = copy;
	return ERR_NONE;
}

static void get_numbers(struct wire_reader *r, struct lease_item *m)
{
	m->round = wire_varint(r);
	m->asker = wire_varint(r);
	m->epoch = wire_varint(r);
	m->promised = wire_varint(r);
	m->logged = wire_varint(r);
	m->position = get_position(r);
	m->confirmed = get_position(r);
	m->oldest = get_position(r);
	m->stamp_ms = wire_varint(r);
	uint64_t remaining = wire_varint(r);
	if (remaining > UINT32_MAX)
		wire_fail(r);
	m->remaining_ms = (uint32_t)remaining;
	m->renewed.position = get_position(r);
	m->renewed.wall_ms = wire_varint(r);
	m->list_number = wire_varint(r);
}

static enum err get_item(struct wire_reader *r, struct arena *a, struct lease_item *m)
{
	*m = (struct lease_item){ .scope = wire_u8(r) };
	m->kind = (enum lease_kind)wire_u8(r);
	m->answer = (enum lease_answer)wire_u8(r);
	m->flags = wire_u8(r);
	m->target = wire_u8(r);
	get_numbers(r, m);
	enum err err = get_list(r, a, &m->list);
	if (err == ERR_NONE)
		err = get_list(r, a, &m->pending);
	if (err == ERR_NONE && !r->err && !item_holds(m))
		wire_fail(r);
	return err;
}

static enum err get_items(struct wire_reader *r, struct arena *a, struct lease_frame *f, struct fault *reterr_fault)
{
	struct lease_item *items = arena_array(a, f->count, sizeof(*items));
	enum err err = items != NULL ? ERR_NONE : ERR_NO_MEMORY;

	for (uint32_t i = 0; err == ERR_NONE && i < f->count; i++)
		err = get_item(r, a, &items[i]);
	if (err != ERR_NONE)
		return fault_set(reterr_fault, err, "no room for the %u items of a lease message", f->count);
	if (wire_done(r) != ERR_NONE)
		return fault_set(reterr_fault, ERR_CORRUPT, "the items of a lease message do not fill it exactly");
	f->items = items;
	return ERR_NONE;
}

static enum err check_head(struct bytes b, struct fault *reterr_fault)
{
	if (b.len < FRAME_HEAD_BYTES + CHECKSUM_BYTES || b.len > LEASE_FRAME_BYTES_MAX)
		return fault_set(reterr_fault, ERR_CORRUPT, "a lease message of %zu bytes is too short or too long", b.len);
	if (memcmp(b.data, FRAME_MAGIC, 4) != 0)
		return fault_set(reterr_fault, ERR_CORRUPT, "a lease message does not begin with %s", FRAME_MAGIC);
	if (b.data[4] != FRAME_VERSION)
		return fault_set(reterr_fault, ERR_VERSION, "a lease message has version %u, this Isthmus knows %u",
				 b.data[4], FRAME_VERSION);
	struct wire_reader sum = wire_reader_of(b.data + b.len - CHECKSUM_BYTES, CHECKSUM_BYTES);
	if (wire_u64(&sum) != hash64(b.data, b.len - CHECKSUM_BYTES, 0))
		return fault_set(reterr_fault, ERR_CORRUPT, "a lease message's checksum is wrong");
	return ERR_NONE;
}

enum err lease_frame_decode(struct bytes b, struct arena *a, struct lease_frame *ret_frame, struct fault *reterr_fault)
{
	enum err err = check_head(b, reterr_fault);

	if (err != ERR_NONE)
		return err;
	struct wire_reader r = wire_reader_of(b.data + 5, b.len - 5 - CHECKSUM_BYTES);
	struct lease_frame f = { .from.region = wire_u8(&r) };
	f.count = wire_u8(&r);
	uint8_t spare = wire_u8(&r);
	f.fleet = wire_u64(&r);
	memcpy(f.from.store_id, wire_take(&r, STORE_ID_BYTES).data, STORE_ID_BYTES);
	f.from.boots = wire_u64(&r);
	f.from.nonce = wire_u64(&r);
	f.wall_ms = wire_u64(&r);
	if (spare != 0 || f.from.region == 0 || f.from.nonce == 0 || f.count == 0 || f.count > SCOPES_MAX)
		return fault_set(reterr_fault, ERR_CORRUPT, "a lease message's head is outside its bounds");
	err = get_items(&r, a, &f, reterr_fault);
	if (err == ERR_NONE)
		*ret_frame = f;
	return err;
}
