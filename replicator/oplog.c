/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The op log.
 *
 * Table STORE_LOG
 *   key    u16 scope, u64 epoch, u64 seq; big-endian, so that ops lie in the order of positions
 *   value  u8   version, 1
 *          u64  running hash after this op
 *          ...  the op in log form (change.c)
 *          u64  hash64 of all before it
 */
#include "replicator/oplog.h"

#include "base/hash.h"

#include <string.h>

#define RECORD_VERSION 1
#define RECORD_HEAD 9
#define RECORD_TAIL 8
#define RECORD_BYTES_MAX (2 * OP_BYTES_MAX + RECORD_HEAD + RECORD_TAIL)
#define KEY_BYTES 18
/* Memory for one op of the log and one row. */
#define OP_ARENA_BYTES_MAX (64u << 20)

struct log_key {
	uint8_t bytes[KEY_BYTES];
};

static void put_be(uint8_t *to, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
}

static struct log_key key_of(uint16_t scope, struct position p)
{
	struct log_key k;

	put_be(k.bytes, scope, 2);
	put_be(k.bytes + 2, p.epoch, 8);
	put_be(k.bytes + 10, p.seq, 8);
	return k;
}

static struct bytes key_bytes(const struct log_key *k)
{
	return (struct bytes){ .data = k->bytes, .len = KEY_BYTES };
}

static bool key_read(struct bytes key, uint16_t *ret_scope, struct position *ret_position)
{
	struct wire_reader r = wire_reader_of(key.data, key.len);

	*ret_scope = wire_u16_be(&r);
	ret_position->epoch = wire_u64_be(&r);
	ret_position->seq = wire_u64_be(&r);
	return wire_done(&r) == ERR_NONE;
}

/* The vectors that the log may be the only one to hold. */
static uint64_t slot_bytes(const struct op *op)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < op->point_count; i++)
		for (uint32_t k = 0; k < op->points[i].vector_count; k++)
			if (op->points[i].vectors[k].slot != SLOT_NONE)
				bytes += op->points[i].vectors[k].vector.count * sizeof(float);
	return bytes;
}

enum err oplog_append(struct store *s, struct store_txn *t, const struct op *op,
		      uint64_t chain_hash, uint64_t *ret_bytes)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_BYTES_MAX);

	wire_put_u8(&b, RECORD_VERSION);
	wire_put_u64(&b, chain_hash);
	enum err err = op_encode(op, OP_FORM_LOG, &b);
	if (err)
		return err;
	wire_put_u64(&b, hash64(b.data, b.len, 0));
	if (buf_err(&b))
		return buf_err(&b);
	struct log_key key =
		key_of(op->scope, (struct position){ .epoch = op->epoch, .seq = op->seq });
	err = s->ops->put(t, STORE_LOG, key_bytes(&key), buf_bytes(&b));
	if (err)
		return err;
	*ret_bytes = b.len + slot_bytes(op);
	return ERR_NONE;
}

static enum err record_read(struct bytes record, struct position p, struct arena *a,
			    struct oplog_entry *ret_entry, struct fault *reterr_fault)
{
	if (record.len < RECORD_HEAD + RECORD_TAIL)
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "op log: record (%llu, %llu) is cut off",
				 (unsigned long long)p.epoch, (unsigned long long)p.seq);
	if (record.data[0] != RECORD_VERSION)
		return fault_set(reterr_fault, ERR_VERSION,
				 "op log: record (%llu, %llu) has the unknown version %u",
				 (unsigned long long)p.epoch, (unsigned long long)p.seq,
				 record.data[0]);
	size_t len = record.len - RECORD_TAIL;
	struct wire_reader tail = wire_reader_of(record.data + len, RECORD_TAIL);
	if (wire_u64(&tail) != hash64(record.data, len, 0))
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "op log: record (%llu, %llu) is damaged",
				 (unsigned long long)p.epoch, (unsigned long long)p.seq);

	struct wire_reader head = wire_reader_of(record.data + 1, RECORD_HEAD - 1);
	struct oplog_entry entry = { .chain_hash = wire_u64(&head) };
	struct bytes form = { .data = record.data + RECORD_HEAD, .len = len - RECORD_HEAD };
	enum err err = op_decode(form, OP_FORM_LOG, a, &entry.op, reterr_fault);
	if (err)
		return err;
	if (entry.op.epoch != p.epoch || entry.op.seq != p.seq)
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "op log: record (%llu, %llu) holds another op",
				 (unsigned long long)p.epoch, (unsigned long long)p.seq);
	entry.record_bytes = record.len + slot_bytes(&entry.op);
	*ret_entry = entry;
	return ERR_NONE;
}

/* The record is copied: views into the store end with its transaction's next write. */
static enum err record_read_copy(struct bytes record, struct position p, struct arena *a,
				 struct oplog_entry *ret_entry, struct fault *reterr_fault)
{
	uint8_t *copy = arena_alloc(a, record.len);

	if (!copy)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "op log: no memory for an op");
	memcpy(copy, record.data, record.len);
	return record_read((struct bytes){ .data = copy, .len = record.len }, p, a, ret_entry,
			   reterr_fault);
}

enum err oplog_get(struct store *s, struct store_txn *t, uint16_t scope, struct position p,
		   struct arena *a, struct oplog_entry *ret_entry, struct fault *reterr_fault)
{
	struct log_key key = key_of(scope, p);
	struct bytes record;
	enum err err = s->ops->get(t, STORE_LOG, key_bytes(&key), &record);

	if (err)
		return fault_set(reterr_fault, err, "op log: op (%llu, %llu): %s",
				 (unsigned long long)p.epoch, (unsigned long long)p.seq,
				 err_sentence(err));
	return record_read_copy(record, p, a, ret_entry, reterr_fault);
}

enum err oplog_chain_hash(struct store *s, struct store_txn *t, uint16_t scope, struct position p,
			  uint64_t *ret_hash)
{
	struct log_key key = key_of(scope, p);
	struct bytes record;
	enum err err = s->ops->get(t, STORE_LOG, key_bytes(&key), &record);

	if (err)
		return err;
	if (record.len < RECORD_HEAD + RECORD_TAIL || record.data[0] != RECORD_VERSION)
		return ERR_CORRUPT;
	struct wire_reader head = wire_reader_of(record.data + 1, RECORD_HEAD - 1);
	*ret_hash = wire_u64(&head);
	return ERR_NONE;
}

enum err oplog_has(struct store *s, struct store_txn *t, uint16_t scope, struct position p)
{
	struct log_key key = key_of(scope, p);
	struct bytes record;

	return s->ops->get(t, STORE_LOG, key_bytes(&key), &record);
}

/* The first record at or after p in the scope. */
static enum err seek_in_scope(struct store *s, struct store_cursor *c, uint16_t scope,
			      struct position p, struct position *ret_at, struct bytes *ret_record)
{
	struct log_key key = key_of(scope, p);
	struct bytes found;
	uint16_t found_scope;
	enum err err = s->ops->seek(c, key_bytes(&key), &found, ret_record);

	if (err)
		return err;
	if (!key_read(found, &found_scope, ret_at))
		return ERR_CORRUPT;
	return found_scope == scope ? ERR_NONE : ERR_NOT_FOUND;
}

static struct position after(struct position p)
{
	if (p.seq == UINT64_MAX)
		return (struct position){ .epoch = p.epoch + 1 };
	return (struct position){ .epoch = p.epoch, .seq = p.seq + 1 };
}

enum err oplog_next(struct store *s, struct store_txn *t, uint16_t scope, struct position p,
		    struct arena *a, struct oplog_entry *ret_entry, struct fault *reterr_fault)
{
	struct store_cursor *c;
	enum err err = s->ops->cursor_open(t, STORE_LOG, &c);

	if (err)
		return fault_set(reterr_fault, err, "op log: %s", err_sentence(err));
	struct position at;
	struct bytes record;
	err = seek_in_scope(s, c, scope, after(p), &at, &record);
	if (err)
		err = fault_set(reterr_fault, err, "op log: no op after (%llu, %llu)",
				(unsigned long long)p.epoch, (unsigned long long)p.seq);
	else
		err = record_read_copy(record, at, a, ret_entry, reterr_fault);
	s->ops->cursor_close(c);
	return err;
}

/* The last record of the scope: the one before the first of the next scope. */
static enum err last_in_scope(struct store *s, struct store_cursor *c, uint16_t scope,
			      struct position *ret_at)
{
	struct log_key key = key_of((uint16_t)(scope + 1), (struct position){ 0 });
	struct bytes found;
	struct bytes record;
	uint16_t found_scope;
	enum err err = s->ops->seek(c, key_bytes(&key), &found, &record);

	if (err == ERR_NOT_FOUND)
		err = s->ops->last(c, &found, &record);
	else if (!err)
		err = s->ops->prev(c, &found, &record);
	if (err)
		return err;
	if (!key_read(found, &found_scope, ret_at))
		return ERR_CORRUPT;
	return found_scope == scope ? ERR_NONE : ERR_NOT_FOUND;
}

enum err oplog_bounds(struct store *s, struct store_txn *t, uint16_t scope,
		      struct position *ret_oldest, struct position *ret_newest)
{
	struct store_cursor *c;
	struct position oldest;
	struct position newest;
	struct bytes record;
	enum err err = s->ops->cursor_open(t, STORE_LOG, &c);

	if (err)
		return err;
	err = seek_in_scope(s, c, scope, (struct position){ 0 }, &oldest, &record);
	if (!err)
		err = last_in_scope(s, c, scope, &newest);
	s->ops->cursor_close(c);
	if (err)
		return err;
	*ret_oldest = oldest;
	*ret_newest = newest;
	return ERR_NONE;
}

/* A copy: the slots go with the last reference to the collection. */
static enum err fill_vector(struct collection *collection, uint32_t shard, struct op_vector *v,
			    struct arena *a)
{
	const float *values = collection_slot_values(collection, shard, v->name, v->slot);

	if (!values)
		return ERR_CORRUPT;
	float *copy = arena_array(a, v->vector.count, sizeof(*copy));
	if (!copy)
		return ERR_NO_MEMORY;
	memcpy(copy, values, v->vector.count * sizeof(*copy));
	v->vector.values = copy;
	return ERR_NONE;
}

enum err oplog_fill(struct catalog *c, struct op *op, struct arena *a)
{
	if (!op->points)
		return ERR_NONE;
	struct collection *collection = catalog_get_logged(c, op->incarnation);
	if (!collection)
		return slot_bytes(op) > 0 ? ERR_NOT_FOUND : ERR_NONE;

	enum err err = ERR_NONE;
	for (uint32_t i = 0; i < op->point_count && !err; i++) {
		struct op_point *p = &op->points[i];
		uint32_t shard = collection_shard_of(collection, p->id);
		for (uint32_t k = 0; k < p->vector_count && !err; k++)
			if (p->vectors[k].slot != SLOT_NONE)
				err = fill_vector(collection, shard, &p->vectors[k], a);
	}
	collection_unref(collection);
	return err;
}

/* --- slots --- */

static enum err mark_slots_of(struct collection *collection, const struct op *op)
{
	enum err err = ERR_NONE;

	for (uint32_t i = 0; i < op->point_count && !err; i++) {
		const struct op_point *p = &op->points[i];
		uint32_t shard = collection_shard_of(collection, p->id);
		for (uint32_t k = 0; k < p->vector_count && !err; k++)
			if (p->vectors[k].slot != SLOT_NONE)
				err = collection_slot_mark(collection, shard, p->vectors[k].name,
							   p->vectors[k].slot);
	}
	return err;
}

static enum err mark_slots(struct catalog *c, const struct op *op)
{
	struct collection *collection =
		op->points ? catalog_get_incarnation(c, op->incarnation) : NULL;

	if (!collection)
		return ERR_NONE;
	enum err err = mark_slots_of(collection, op);
	collection_unref(collection);
	return err;
}

static enum err mark_record_of(struct collection *collection, struct bytes key, struct bytes record)
{
	CLEANUP(arena_release) struct arena a;
	struct oplog_entry entry;
	struct position p;
	uint16_t scope;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	if (!key_read(key, &scope, &p))
		return ERR_CORRUPT;
	enum err err = record_read(record, p, &a, &entry, NULL);
	struct incarnation own = collection_incarnation(collection);
	if (err || entry.op.incarnation.hlc != own.hlc || entry.op.incarnation.region != own.region)
		return err;
	return mark_slots_of(collection, &entry.op);
}

enum err oplog_mark_collection(struct store *s, struct store_txn *t, struct collection *collection)
{
	struct store_cursor *cursor;
	struct bytes key;
	struct bytes record;
	enum err err = s->ops->cursor_open(t, STORE_LOG, &cursor);

	if (err)
		return err;
	while (!(err = s->ops->next(cursor, &key, &record))) {
		err = mark_record_of(collection, key, record);
		if (err)
			break;
	}
	s->ops->cursor_close(cursor);
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

enum err oplog_remove(struct store *s, struct store_txn *t, uint16_t scope, struct position p)
{
	struct log_key key = key_of(scope, p);

	return s->ops->del(t, STORE_LOG, key_bytes(&key));
}

static enum err mark_record(struct catalog *c, struct bytes key, struct bytes record,
			    struct oplog_size sizes[SCOPES_MAX], struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct oplog_entry entry;
	struct position p;
	uint16_t scope;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	if (!key_read(key, &scope, &p))
		return fault_set(reterr_fault, ERR_CORRUPT, "op log: a key of %zu bytes", key.len);
	enum err err = record_read(record, p, &a, &entry, reterr_fault);
	if (err)
		return err;
	if (entry.op.kind == OP_DROP_COLLECTION)
		catalog_keep_dropped(c, entry.op.incarnation);
	err = mark_slots(c, &entry.op);
	if (err)
		return fault_set(reterr_fault, err, "op log: a slot of op (%llu, %llu): %s",
				 (unsigned long long)p.epoch, (unsigned long long)p.seq,
				 err_sentence(err));
	sizes[entry.op.scope].ops++;
	sizes[entry.op.scope].bytes += entry.record_bytes;
	return ERR_NONE;
}

enum err oplog_mark_slots(struct store *s, struct catalog *c,
			  struct oplog_size ret_sizes[SCOPES_MAX], struct fault *reterr_fault)
{
	struct store_txn *t;
	struct store_cursor *cursor;
	struct bytes key;
	struct bytes record;
	struct oplog_size sizes[SCOPES_MAX] = { 0 };
	enum err err = s->ops->begin(s, false, &t);

	if (err)
		return fault_set(reterr_fault, err, "op log: %s", err_sentence(err));
	err = s->ops->cursor_open(t, STORE_LOG, &cursor);
	if (err) {
		s->ops->abort(t);
		return fault_set(reterr_fault, err, "op log: %s", err_sentence(err));
	}
	while (!(err = s->ops->next(cursor, &key, &record))) {
		err = mark_record(c, key, record, sizes, reterr_fault);
		if (err)
			break;
	}
	s->ops->cursor_close(cursor);
	s->ops->abort(t);
	if (err != ERR_NOT_FOUND)
		return err;
	memcpy(ret_sizes, sizes, sizeof(sizes));
	return ERR_NONE;
}

/* --- trimming --- */

struct freed {
	struct oplog_trimming *trimming;
	struct arena *arena;
	uint32_t cap;
	uint32_t dropped_cap;
};

static enum err add_dropped(struct freed *f, struct incarnation i)
{
	struct oplog_trimming *t = f->trimming;

	if (t->dropped_count == f->dropped_cap) {
		uint32_t cap = MAX(f->dropped_cap * 2, 4);
		struct incarnation *more = arena_array(f->arena, cap, sizeof(*more));
		if (!more)
			return ERR_NO_MEMORY;
		if (t->dropped_count > 0)
			memcpy(more, t->dropped, t->dropped_count * sizeof(*more));
		t->dropped = more;
		f->dropped_cap = cap;
	}
	t->dropped[t->dropped_count++] = i;
	return ERR_NONE;
}

static enum err add_freed(struct freed *f, const struct oplog_slot *slot)
{
	struct oplog_trimming *t = f->trimming;

	if (t->slot_count == f->cap) {
		uint32_t cap = MAX(f->cap * 2, 256);
		struct oplog_slot *more = arena_array(f->arena, cap, sizeof(*more));
		if (!more)
			return ERR_NO_MEMORY;
		if (t->slot_count > 0)
			memcpy(more, t->slots, t->slot_count * sizeof(*more));
		t->slots = more;
		f->cap = cap;
	}
	struct str name = arena_str(f->arena, slot->vector_name);
	if (!name.data)
		return ERR_NO_MEMORY;
	t->slots[t->slot_count] = *slot;
	t->slots[t->slot_count++].vector_name = name;
	return ERR_NONE;
}

static bool row_holds(const struct row *row, struct str name, uint32_t slot)
{
	for (uint32_t i = 0; i < row->vector_count; i++) {
		const struct row_vector *v = &row->vectors[i];
		if (v->present && v->slot == slot && v->name.len == name.len &&
		    memcmp(v->name.data, name.data, name.len) == 0)
			return true;
	}
	return false;
}

/* The slots of one point of a trimmed op that its row does not hold (any more). */
static enum err free_point(struct freed *f, struct store_txn *t, struct collection *collection,
			   const struct op_point *p)
{
	CLEANUP(arena_release) struct arena a;
	struct row row;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	enum err err = collection_row_load(collection, t, p->id, &a, &row);
	if (err && err != ERR_NOT_FOUND)
		return err;
	bool exists = !err;
	struct oplog_slot slot = { .collection = collection_incarnation(collection),
				   .shard = collection_shard_of(collection, p->id) };
	for (uint32_t k = 0; k < p->vector_count; k++) {
		slot.vector_name = p->vectors[k].name;
		slot.slot = p->vectors[k].slot;
		if (slot.slot == SLOT_NONE ||
		    (exists && row_holds(&row, slot.vector_name, slot.slot)))
			continue;
		err = add_freed(f, &slot);
		if (err)
			return err;
	}
	return ERR_NONE;
}

static enum err free_slots(struct freed *f, struct store_txn *t, struct catalog *c,
			   const struct op *op)
{
	struct collection *collection =
		op->points ? catalog_get_incarnation(c, op->incarnation) : NULL;

	if (!collection)
		return ERR_NONE;
	enum err err = ERR_NONE;
	for (uint32_t i = 0; i < op->point_count && !err; i++)
		err = free_point(f, t, collection, &op->points[i]);
	collection_unref(collection);
	return err;
}

/* The oldest op, if it may go: ERR_NOT_FOUND when none may. */
static enum err trim_one(struct freed *f, struct store *s, struct store_txn *t, struct catalog *c,
			 struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct oplog_trimming *trimming = f->trimming;
	struct oplog_entry entry;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	enum err err =
		oplog_next(s, t, trimming->scope, trimming->after, &a, &entry, reterr_fault);
	if (err)
		return err;
	struct position p = { .epoch = entry.op.epoch, .seq = entry.op.seq };
	if (position_compare(p, trimming->upto) > 0)
		return ERR_NOT_FOUND;
	if (entry.op.kind == OP_DROP_COLLECTION && trimming->drop_before != 0 &&
	    entry.op.hlc > trimming->drop_before) {
		trimming->at_drop = true;
		return ERR_NOT_FOUND;
	}
	err = free_slots(f, t, c, &entry.op);
	if (!err && entry.op.kind == OP_DROP_COLLECTION)
		err = add_dropped(f, entry.op.incarnation);
	if (err)
		return fault_set(
			reterr_fault, err, "op log: freeing the slots of op (%llu, %llu): %s",
			(unsigned long long)p.epoch, (unsigned long long)p.seq, err_sentence(err));
	struct log_key key = key_of(trimming->scope, p);
	err = s->ops->del(t, STORE_LOG, key_bytes(&key));
	if (err)
		return fault_set(reterr_fault, err, "op log: %s", err_sentence(err));
	trimming->ops++;
	trimming->bytes += entry.record_bytes;
	return ERR_NONE;
}

enum err oplog_trim(struct store *s, struct store_txn *t, struct catalog *c, struct arena *a,
		    struct oplog_trimming *trimming, struct fault *reterr_fault)
{
	struct freed f = { .trimming = trimming, .arena = a };

	trimming->ops = 0;
	trimming->bytes = 0;
	trimming->at_drop = false;
	trimming->slot_count = 0;
	trimming->dropped_count = 0;
	while (trimming->ops < trimming->ops_max && trimming->bytes < trimming->bytes_enough) {
		enum err err = trim_one(&f, s, t, c, reterr_fault);
		if (err == ERR_NOT_FOUND)
			break;
		if (err)
			return err;
	}
	return ERR_NONE;
}
