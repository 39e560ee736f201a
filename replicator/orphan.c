/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Table STORE_ORPHANS
 *   key    u8 group: 0 LOCAL, 1 OPEN, 2 decided; then u16 scope, u64 epoch, u64 seq, as in STORE_LOG, then u64 running hash
 *          after the op; big-endian. So each group is found without reading the others.
 *   value  u8   version, 2
 *          u8   state, of orphan_state.def
 *          u64, u64  epoch and seq of the op that listed it; 0, 0 while it is LOCAL
 *          u64, u64  epoch and seq of the op that decided about it; 0, 0 while nobody did
 *          u64  HLC of that op
 *          u8   kind of the orphan, of op.def
 *          u64  its HLC, u8 the region that wrote it
 *          u64, u8  its collection's incarnation
 *          varint  points that it names
 *          str  the name in it
 *          str  the op in wire form (change.c); empty once it was decided
 *          u64  hash64 of all before it
 */
#include "replicator/orphan.h"

#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RECORD_VERSION 2
#define RECORD_HEAD_MAX 512
#define RECORD_TAIL 8
#define RECORD_BYTES_MAX ((size_t)OP_BYTES_MAX + RECORD_HEAD_MAX + RECORD_TAIL)
#define NAME_BYTES_MAX 255
#define KEY_BYTES 27

enum { GROUP_LOCAL, GROUP_OPEN, GROUP_DECIDED, GROUPS };

/* --- words --- */

const char *orphan_state_word(enum orphan_state s)
{
	switch (s) {
#define STATE(name, number, word)                                                                  \
	case ORPHAN_##name:                                                                        \
		return word;
#include "replicator/orphan_state.def"
#undef STATE
	case ORPHAN_STATES:
		break;
	}
	return "unknown";
}

int orphan_id_compare(const struct orphan_id *a, const struct orphan_id *b)
{
	if (a->scope != b->scope)
		return a->scope < b->scope ? -1 : 1;
	int order = position_compare(a->position, b->position);

	return order ? order : (a->chain_hash > b->chain_hash) - (a->chain_hash < b->chain_hash);
}

void orphan_id_format(const struct orphan_id *id, char out[ORPHAN_ID_TEXT_MAX])
{
	(void)snprintf(out, ORPHAN_ID_TEXT_MAX, "%" PRIu64 "-%" PRIu64, id->position.epoch, id->position.seq);
}

/* Digits of that base up to the end or a '-', which is passed over. */
static bool take_number(struct str *text, unsigned base, size_t digits_max, uint64_t *ret_number)
{
	uint64_t n = 0;
	size_t i = 0;

	for (; i < text->len && text->data[i] != '-'; i++) {
		char c = text->data[i];
		unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 99;
		if (digit >= base || i == digits_max || n > (UINT64_MAX - digit) / base)
			return false;
		n = n * base + digit;
	}
	if (i == 0)
		return false;
	size_t used = MIN(i + 1, text->len);
	bool dash_at_end = used > i && used == text->len;
	text->data += used;
	text->len -= used;
	*ret_number = n;
	return !dash_at_end;
}

bool orphan_id_parse(struct str text, struct orphan_id *ret_id, bool *ret_has_hash)
{
	struct orphan_id id = { .scope = SCOPE_FLEET };

	if (!take_number(&text, 10, 20, &id.position.epoch) || !take_number(&text, 10, 20, &id.position.seq))
		return false;
	*ret_has_hash = text.len > 0;
	if (*ret_has_hash && (!take_number(&text, 16, 16, &id.chain_hash) || text.len > 0))
		return false;
	*ret_id = id;
	return true;
}

void orphan_describe(struct orphan *o, const struct op *op)
{
	o->kind = op->kind;
	o->hlc = op->hlc;
	o->region = op->region;
	o->incarnation = op->incarnation;
	o->items = op->points ? op->point_count : op->id_count;
	o->name = op->name;
}

/* --- records --- */

struct orphan_key {
	uint8_t bytes[KEY_BYTES];
};

static void put_be(uint8_t *to, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
}

static uint8_t group_of(enum orphan_state s)
{
	return s == ORPHAN_LOCAL ? GROUP_LOCAL : s == ORPHAN_OPEN ? GROUP_OPEN : GROUP_DECIDED;
}

static struct orphan_key key_of(uint8_t group, const struct orphan_id *id)
{
	struct orphan_key k;

	k.bytes[0] = group;
	put_be(k.bytes + 1, id->scope, 2);
	put_be(k.bytes + 3, id->position.epoch, 8);
	put_be(k.bytes + 11, id->position.seq, 8);
	put_be(k.bytes + 19, id->chain_hash, 8);
	return k;
}

static struct bytes key_bytes(const struct orphan_key *k)
{
	return (struct bytes){ .data = k->bytes, .len = KEY_BYTES };
}

static enum err key_read(struct bytes key, uint8_t *ret_group, struct orphan_id *ret_id)
{
	struct wire_reader r = wire_reader_of(key.data, key.len);

	*ret_group = wire_u8(&r);
	ret_id->scope = wire_u16_be(&r);
	ret_id->position.epoch = wire_u64_be(&r);
	ret_id->position.seq = wire_u64_be(&r);
	ret_id->chain_hash = wire_u64_be(&r);
	return wire_done(&r);
}

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

enum err orphan_encode(const struct orphan *o, struct buf *out)
{
	size_t start = out->len;

	wire_put_u8(out, RECORD_VERSION);
	wire_put_u8(out, (uint8_t)o->state);
	put_position(out, o->listed);
	put_position(out, o->decided);
	wire_put_u64(out, o->decided_hlc);
	wire_put_u8(out, (uint8_t)o->kind);
	wire_put_u64(out, o->hlc);
	wire_put_u8(out, o->region);
	wire_put_u64(out, o->incarnation.hlc);
	wire_put_u8(out, o->incarnation.region);
	wire_put_varint(out, o->items);
	wire_put_bytes(out, o->name.data, MIN(o->name.len, (size_t)NAME_BYTES_MAX));
	wire_put_bytes(out, o->op.data, o->op.len);
	if (!buf_err(out))
		wire_put_u64(out, hash64(out->data + start, out->len - start, 0));
	return buf_err(out);
}

enum err orphan_decode(struct bytes b, const struct orphan_id *id, struct orphan *ret_orphan)
{
	struct orphan o = { .id = *id };

	if (b.len < RECORD_TAIL + 1)
		return ERR_CORRUPT;
	size_t len = b.len - RECORD_TAIL;
	struct wire_reader tail = wire_reader_of(b.data + len, RECORD_TAIL);
	if (wire_u64(&tail) != hash64(b.data, len, 0))
		return ERR_CORRUPT;
	struct wire_reader r = wire_reader_of(b.data, len);
	if (wire_u8(&r) != RECORD_VERSION)
		return ERR_VERSION;
	uint8_t state = wire_u8(&r);
	o.state = (enum orphan_state)state;
	o.listed = get_position(&r);
	o.decided = get_position(&r);
	o.decided_hlc = wire_u64(&r);
	o.kind = (enum op_kind)wire_u8(&r);
	o.hlc = wire_u64(&r);
	o.region = wire_u8(&r);
	o.incarnation.hlc = wire_u64(&r);
	o.incarnation.region = wire_u8(&r);
	uint64_t items = wire_varint(&r);
	o.items = (uint32_t)MIN(items, (uint64_t)UINT32_MAX);
	o.name = wire_str(&r);
	o.op = wire_bytes(&r);
	if (wire_done(&r) || state >= ORPHAN_STATES)
		return ERR_CORRUPT;
	*ret_orphan = o;
	return ERR_NONE;
}

static enum err remove_from(struct store *s, struct store_txn *t, uint8_t group, const struct orphan_id *id)
{
	struct orphan_key key = key_of(group, id);
	enum err err = s->ops->del(t, STORE_ORPHANS, key_bytes(&key));

	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

enum err orphan_put(struct store *s, struct store_txn *t, const struct orphan *o)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_BYTES_MAX);
	struct orphan_key key = key_of(group_of(o->state), &o->id);
	enum err err = orphan_encode(o, &b);

	for (uint8_t g = 0; g < GROUPS && !err; g++)
		err = g == group_of(o->state) ? ERR_NONE : remove_from(s, t, g, &o->id);
	return err ? err : s->ops->put(t, STORE_ORPHANS, key_bytes(&key), buf_bytes(&b));
}

/* Views into the store end with its transaction's next write. */
static enum err decode_copy(struct bytes record, const struct orphan_id *id, struct arena *a, struct orphan *ret_orphan)
{
	uint8_t *copy = arena_alloc(a, record.len);

	if (!copy)
		return ERR_NO_MEMORY;
	memcpy(copy, record.data, record.len);
	return orphan_decode((struct bytes){ .data = copy, .len = record.len }, id, ret_orphan);
}

enum err orphan_get(struct store *s, struct store_txn *t, const struct orphan_id *id, struct arena *a,
		    struct orphan *ret_orphan)
{
	struct bytes record;
	enum err err = ERR_NOT_FOUND;

	for (uint8_t g = 0; g < GROUPS && err == ERR_NOT_FOUND; g++) {
		struct orphan_key key = key_of(g, id);
		err = s->ops->get(t, STORE_ORPHANS, key_bytes(&key), &record);
	}
	return err ? err : decode_copy(record, id, a, ret_orphan);
}

enum err orphan_remove(struct store *s, struct store_txn *t, const struct orphan_id *id)
{
	enum err err = ERR_NONE;

	for (uint8_t g = 0; g < GROUPS && !err; g++)
		err = remove_from(s, t, g, id);
	return err;
}

/* --- looking --- */

static struct orphan_id behind(const struct orphan_id *id)
{
	struct orphan_id next = *id;

	if (++next.chain_hash == 0)
		next.position.seq++;
	return next;
}

/* The first at or behind it. */
static enum err seek(struct store *s, struct store_txn *t, uint8_t group, const struct orphan_id *from, struct arena *a,
		     uint8_t *ret_group, struct orphan *ret_orphan)
{
	struct orphan_key key = key_of(group, from);
	struct store_cursor *c;
	struct bytes found;
	struct bytes record;
	struct orphan_id id;
	enum err err = s->ops->cursor_open(t, STORE_ORPHANS, &c);

	if (err)
		return err;
	err = s->ops->seek(c, key_bytes(&key), &found, &record);
	if (!err)
		err = key_read(found, ret_group, &id);
	if (!err)
		err = decode_copy(record, &id, a, ret_orphan);
	s->ops->cursor_close(c);
	return err;
}

enum err orphan_next(struct store *s, struct store_txn *t, const struct orphan *after, struct arena *a,
		     struct orphan *ret_orphan)
{
	struct orphan_id from = { 0 };
	uint8_t group;

	if (after)
		from = behind(&after->id);
	return seek(s, t, after ? group_of(after->state) : 0, &from, a, &group, ret_orphan);
}

enum err orphan_first(struct store *s, struct store_txn *t, enum orphan_state state, struct arena *a,
		      struct orphan *ret_orphan)
{
	static const struct orphan_id start;
	struct orphan o;
	uint8_t group;
	enum err err = seek(s, t, group_of(state), &start, a, &group, &o);

	if (!err && group != group_of(state))
		err = ERR_NOT_FOUND;
	if (!err)
		*ret_orphan = o;
	return err;
}

static bool is_meant(const struct orphan *o, const struct orphan_id *id, bool has_hash)
{
	return o->id.scope == id->scope && position_compare(o->id.position, id->position) == 0 &&
	       (!has_hash || o->id.chain_hash == id->chain_hash);
}

static enum err ambiguous(const struct orphan *a, const struct orphan *b, struct fault *f)
{
	char text[ORPHAN_ID_TEXT_MAX];

	orphan_id_format(&a->id, text);
	return fault_set(f, ERR_BAD_INPUT,
			 "two ops had the position %s: say %s-%016" PRIx64 " (of region %u) or %s-%016" PRIx64 " (of region %u)",
			 text, text, a->id.chain_hash, a->region, text, b->id.chain_hash, b->region);
}

enum err orphan_find(struct store *s, struct store_txn *t, struct str text, struct arena *a, struct orphan *ret_orphan,
		     struct fault *reterr_fault)
{
	struct orphan_id id;
	struct orphan found = { 0 };
	struct orphan other;
	bool has_hash;
	bool any = false;
	enum err err = ERR_NONE;

	if (!orphan_id_parse(text, &id, &has_hash))
		return fault_set(reterr_fault, ERR_BAD_INPUT, "`%.*s` is no orphan: EPOCH-SEQ is expected, as the list shows it",
				 STR_FMT(text));
	for (uint8_t g = 0; g < GROUPS && !err; g++) {
		uint8_t group;
		err = seek(s, t, g, &id, a, &group, &other);
		while (!err && group == g && is_meant(&other, &id, has_hash)) {
			if (any)
				return ambiguous(&found, &other, reterr_fault);
			any = true;
			found = other;
			struct orphan_id from = behind(&other.id);
			err = seek(s, t, g, &from, a, &group, &other);
		}
		err = err == ERR_NOT_FOUND ? ERR_NONE : err;
	}
	if (err)
		return fault_set(reterr_fault, err, "reading orphan %.*s: %s", STR_FMT(text), err_sentence(err));
	if (!any)
		return fault_set(reterr_fault, ERR_NOT_FOUND, "there is no orphan %.*s; `isthmusctl orphans` lists them",
				 STR_FMT(text));
	*ret_orphan = found;
	return ERR_NONE;
}

/* --- totals --- */

void orphan_totals_add(struct orphan_totals *t, const struct orphan *o)
{
	t->count[o->state]++;
	t->bytes[o->state] += o->op.len;
}

void orphan_totals_remove(struct orphan_totals *t, const struct orphan *o)
{
	t->count[o->state]--;
	t->bytes[o->state] -= o->op.len;
}

enum err orphan_count(struct store *s, struct store_txn *t, struct orphan_totals *ret_totals)
{
	struct orphan_totals totals = { 0 };
	struct store_cursor *c;
	struct bytes key;
	struct bytes record;
	struct orphan o;
	enum err err = s->ops->cursor_open(t, STORE_ORPHANS, &c);

	if (err)
		return err;
	while (!(err = s->ops->next(c, &key, &record))) {
		uint8_t group;
		struct orphan_id id;
		err = key_read(key, &group, &id);
		if (!err)
			err = orphan_decode(record, &id, &o);
		if (err)
			break;
		orphan_totals_add(&totals, &o);
	}
	s->ops->cursor_close(c);
	if (err != ERR_NOT_FOUND)
		return err;
	*ret_totals = totals;
	return ERR_NONE;
}

bool orphan_is_listed(struct bytes key)
{
	return key.len == KEY_BYTES && key.data[0] != GROUP_LOCAL;
}
