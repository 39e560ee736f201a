/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both messages: u8 format version, 2; u8 kind; the fields; u64 hash64 of all before it. Every message has every field,
 * what a kind does not use is zero and its lists are empty. "list": varint count, then the items.
 *
 *   request  u64 fleet, u8 sender, u64 mark, position, u64 running hash, cutoff, list of logs, incarnation, u32 shard,
 *            list of u32 numbers, list of ids, list of rows
 *   answer   name of an error and words (varint length, text; empty: answered), u8 state, position, u64 running hash, u64 number,
 *            cutoff, list of logs,
 *            list of roots    incarnation, u32 shard, u8 bits, hash, u64 rows
 *            list of hashes
 *            list of leaves   u64 lo, u64 hi, u64 count
 *            list of entries  id, u64 number, stamp, hash, u8 damaged
 *            list of rows
 *            list of findings incarnation, u32 shard, u32 leaf, u8 1: a row, and its id
 *            u64 found, u64 rows read, u64 bytes read, u32 rows changed, u32 leaves changed
 *   position u64 epoch, u64 seq          incarnation  u64 hlc, u8 region
 *   hash     u64 lo, u64 hi              stamp        u64 epoch, u64 hlc, u8 region
 *   cutoff   list of (u8 region, u64 hlc), by region
 *   log      u64 log, u64 seq, u64 running hash, u64 hlc
 *   row      id, u8 0 absent, 1 present, 2 damaged; if present its record (row.h, slot 0 for every dense vector) with a
 *            varint length, then the values of each present dense vector, in the record's order, as vector_put() has them
 */
#include "replicator/audit_message.h"

#include <string.h>

#include "base/hash.h"
#include "index/order.h"

#define FORMAT_VERSION 2
#define HASH_BYTES 8
#define ID_BYTES_MIN 9
#define ROOT_BYTES (9 + 4 + 1 + 16 + 8)
#define LEAF_BYTES 24
#define SEEN_BYTES (1 + 8)
#define LOG_BYTES 32
#define ENTRY_BYTES_MIN (ID_BYTES_MIN + 8 + 17 + 16 + 1)
#define ROW_BYTES_MIN (ID_BYTES_MIN + 1)
#define FINDING_BYTES_MIN (9 + 4 + 4 + 1)
/* Every row that one writer makes, with its stamps, fits (replicator/point_size.h). Where several made one that does not, none
 * of it is sent: an audit then cannot cure it, and says so. */
#define ROW_RECORD_BYTES_MAX AUDIT_BYTES_MAX

enum row_state { ROW_ABSENT, ROW_PRESENT, ROW_DAMAGED };

/* --- parts --- */

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

static void put_incarnation(struct buf *b, struct incarnation i)
{
	wire_put_u64(b, i.hlc);
	wire_put_u8(b, i.region);
}

static struct incarnation get_incarnation(struct wire_reader *r)
{
	struct incarnation i = { .hlc = wire_u64(r) };

	i.region = wire_u8(r);
	return i;
}

static void put_hash(struct buf *b, struct hash128 h)
{
	wire_put_u64(b, h.lo);
	wire_put_u64(b, h.hi);
}

static struct hash128 get_hash(struct wire_reader *r)
{
	struct hash128 h = { .lo = wire_u64(r) };

	h.hi = wire_u64(r);
	return h;
}

static bool get_bool(struct wire_reader *r)
{
	uint8_t v = wire_u8(r);

	if (v > 1)
		wire_fail(r);
	return v == 1;
}

/* Room for a list in the arena; more items than could follow are refused before memory is taken. NULL: the reader has
 * failed, or *err says so. */
static void *get_list(struct wire_reader *r, struct arena *a, size_t bytes_min, size_t item_bytes, uint32_t *ret_count,
		      enum err *err)
{
	uint64_t n = wire_varint(r);

	*ret_count = 0;
	if (n > wire_left(r) / bytes_min)
		wire_fail(r);
	if (r->err || *err)
		return NULL;
	void *items = arena_array(a, n, item_bytes);
	if (!items)
		*err = ERR_NO_MEMORY;
	else
		*ret_count = (uint32_t)n;
	return items;
}

/* --- logs of several writers --- */

static void put_cutoff(struct buf *b, const struct cutoff *c)
{
	wire_put_varint(b, c->count);
	for (uint32_t i = 0; i < c->count; i++) {
		wire_put_u8(b, c->seen[i].region);
		wire_put_u64(b, c->seen[i].hlc);
	}
}

static void get_cutoff(struct wire_reader *r, struct cutoff *ret_cutoff)
{
	uint64_t n = wire_varint(r);

	*ret_cutoff = (struct cutoff){ .count = 0 };
	if (n > OP_SEEN_MAX || n > wire_left(r) / SEEN_BYTES)
		wire_fail(r);
	for (uint64_t i = 0; i < n && !r->err; i++) {
		struct op_seen *s = &ret_cutoff->seen[i];
		s->region = wire_u8(r);
		s->hlc = wire_u64(r);
		if (i > 0 && s[-1].region >= s->region)
			wire_fail(r);
		ret_cutoff->count++;
	}
}

void audit_logs_put(struct buf *b, const struct log_mark *logs, uint32_t count)
{
	wire_put_varint(b, count);
	for (uint32_t i = 0; i < count; i++) {
		wire_put_u64(b, logs[i].log);
		wire_put_u64(b, logs[i].seq);
		wire_put_u64(b, logs[i].chain_hash);
		wire_put_u64(b, logs[i].hlc);
	}
}

const struct log_mark *audit_logs_get(struct wire_reader *r, struct arena *a, uint32_t *ret_count, enum err *err)
{
	struct log_mark *logs = get_list(r, a, LOG_BYTES, sizeof(*logs), ret_count, err);

	if (*ret_count > LOGS_MAX)
		wire_fail(r);
	for (uint32_t i = 0; i < *ret_count; i++) {
		logs[i].log = wire_u64(r);
		logs[i].seq = wire_u64(r);
		logs[i].chain_hash = wire_u64(r);
		logs[i].hlc = wire_u64(r);
	}
	return logs;
}

/* --- rows --- */

/* The record has slots where there are values: here their numbers mean nothing. */
static enum err put_record(struct buf *b, const struct row *row)
{
	CLEANUP(buf_release) struct buf record = BUF_INIT(ROW_RECORD_BYTES_MAX);
	CLEANUP(arena_release) struct arena a;
	struct row copy = *row;

	arena_init(&a, ROW_RECORD_BYTES_MAX);
	copy.vectors = arena_array(&a, row->vector_count, sizeof(*copy.vectors));
	if (!copy.vectors)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < row->vector_count; i++) {
		copy.vectors[i] = row->vectors[i];
		copy.vectors[i].slot = 0;
	}
	enum err err = row_encode(&copy, &record);
	if (err)
		return err;
	wire_put_bytes(b, record.data, record.len);
	for (uint32_t i = 0; i < row->vector_count; i++)
		if (row->vectors[i].present && row->vectors[i].vector.kind == VECTOR_DENSE)
			vector_put(b, &row->vectors[i].vector);
	return buf_err(b);
}

enum err audit_row_put(struct buf *b, const struct audit_row *r)
{
	point_id_put(b, r->row.id);
	wire_put_u8(b, r->damaged ? ROW_DAMAGED : r->row.present ? ROW_PRESENT : ROW_ABSENT);
	return r->row.present && !r->damaged ? put_record(b, &r->row.row) : buf_err(b);
}

static enum err put_rows(struct buf *b, const struct audit_row *rows, uint32_t count)
{
	wire_put_varint(b, count);
	for (uint32_t i = 0; i < count; i++) {
		enum err err = audit_row_put(b, &rows[i]);
		if (err)
			return err;
	}
	return buf_err(b);
}

static enum err get_record(struct wire_reader *r, struct arena *a, struct row *ret_row)
{
	struct bytes record = wire_bytes(r);
	enum err err = r->err ? r->err : row_decode(record, a, ret_row);

	for (uint32_t i = 0; !err && i < ret_row->vector_count; i++) {
		struct row_vector *v = &ret_row->vectors[i];
		uint32_t count = v->vector.count;
		if (!v->present || v->vector.kind != VECTOR_DENSE)
			continue;
		err = vector_get(r, a, &v->vector);
		if (!err && (v->vector.kind != VECTOR_DENSE || v->vector.count != count ||
			     vector_hash(&v->vector) != v->hash))
			err = ERR_CORRUPT;
		v->slot = SLOT_NONE;
	}
	return err;
}

enum err audit_row_get(struct wire_reader *r, struct arena *a, struct audit_row *ret_row)
{
	*ret_row = (struct audit_row){ .row.id = point_id_get(r) };
	uint8_t state = wire_u8(r);

	if (state > ROW_DAMAGED)
		wire_fail(r);
	ret_row->damaged = state == ROW_DAMAGED;
	ret_row->row.present = state == ROW_PRESENT;
	if (r->err || state != ROW_PRESENT)
		return r->err;
	enum err err = get_record(r, a, &ret_row->row.row);
	return !err && !point_id_equal(ret_row->row.id, ret_row->row.row.id) ? ERR_CORRUPT : err;
}

static const struct audit_row *get_rows(struct wire_reader *r, struct arena *a, uint32_t *ret_count, enum err *err)
{
	struct audit_row *rows = get_list(r, a, ROW_BYTES_MIN, sizeof(*rows), ret_count, err);

	for (uint32_t i = 0; i < *ret_count && !*err; i++)
		*err = audit_row_get(r, a, &rows[i]);
	return rows;
}

static const struct point_id *get_ids(struct wire_reader *r, struct arena *a, uint32_t *ret_count, enum err *err)
{
	struct point_id *ids = get_list(r, a, ID_BYTES_MIN, sizeof(*ids), ret_count, err);

	for (uint32_t i = 0; i < *ret_count; i++)
		ids[i] = point_id_get(r);
	return ids;
}

/* --- head and tail --- */

static void put_head(struct buf *b, enum audit_kind kind)
{
	wire_put_u8(b, FORMAT_VERSION);
	wire_put_u8(b, (uint8_t)kind);
}

static enum err put_tail(struct buf *b, size_t start)
{
	if (!buf_err(b))
		wire_put_u64(b, hash64(b->data + start, b->len - start, 0));
	return buf_err(b);
}

static enum err get_head(struct bytes b, struct wire_reader *ret_reader, enum audit_kind *ret_kind,
			 struct fault *reterr_fault)
{
	if (b.len < 2 + HASH_BYTES)
		return fault_set(reterr_fault, ERR_CORRUPT, "an audit message of %zu bytes", b.len);
	if (b.data[0] != FORMAT_VERSION)
		return fault_set(reterr_fault, ERR_VERSION, "an audit message of the unknown version %u", b.data[0]);
	size_t len = b.len - HASH_BYTES;
	struct wire_reader sum = wire_reader_of(b.data + len, HASH_BYTES);
	if (wire_u64(&sum) != hash64(b.data, len, 0))
		return fault_set(reterr_fault, ERR_CORRUPT, "an audit message is damaged");
	*ret_reader = wire_reader_of(b.data + 1, len - 1);
	uint8_t kind = wire_u8(ret_reader);
	if (kind < AUDIT_ROOTS || kind > AUDIT_WANTED)
		return fault_set(reterr_fault, ERR_VERSION, "an audit message of the unknown kind %u", kind);
	*ret_kind = (enum audit_kind)kind;
	return ERR_NONE;
}

static enum err ended(const struct wire_reader *r, enum err err, struct fault *reterr_fault)
{
	if (!err)
		err = wire_done(r);
	return err ? fault_set(reterr_fault, err == ERR_NO_MEMORY ? err : ERR_CORRUPT, "an audit message: %s",
			       err_sentence(err))
		   : ERR_NONE;
}

/* --- requests --- */

enum err audit_request_encode(const struct audit_request *r, struct buf *out)
{
	size_t start = out->len;

	put_head(out, r->kind);
	wire_put_u64(out, r->fleet);
	wire_put_u8(out, r->sender);
	wire_put_u64(out, r->mark);
	put_position(out, r->position);
	wire_put_u64(out, r->chain_hash);
	put_cutoff(out, &r->cutoff);
	audit_logs_put(out, r->logs, r->log_count);
	put_incarnation(out, r->incarnation);
	wire_put_u32(out, r->shard);
	wire_put_varint(out, r->number_count);
	for (uint32_t i = 0; i < r->number_count; i++)
		wire_put_u32(out, r->numbers[i]);
	wire_put_varint(out, r->id_count);
	for (uint32_t i = 0; i < r->id_count; i++)
		point_id_put(out, r->ids[i]);
	enum err err = put_rows(out, r->rows, r->row_count);
	return err ? err : put_tail(out, start);
}

enum err audit_request_decode(struct bytes b, struct arena *a, struct audit_request *ret_request,
			      struct fault *reterr_fault)
{
	struct audit_request q = { 0 };
	struct wire_reader r;
	enum err err = get_head(b, &r, &q.kind, reterr_fault);

	if (err)
		return err;
	q.fleet = wire_u64(&r);
	q.sender = wire_u8(&r);
	q.mark = wire_u64(&r);
	q.position = get_position(&r);
	q.chain_hash = wire_u64(&r);
	get_cutoff(&r, &q.cutoff);
	q.logs = audit_logs_get(&r, a, &q.log_count, &err);
	q.incarnation = get_incarnation(&r);
	q.shard = wire_u32(&r);
	uint32_t *numbers = get_list(&r, a, sizeof(uint32_t), sizeof(*numbers), &q.number_count, &err);
	for (uint32_t i = 0; i < q.number_count; i++)
		numbers[i] = wire_u32(&r);
	q.numbers = numbers;
	q.ids = get_ids(&r, a, &q.id_count, &err);
	q.rows = get_rows(&r, a, &q.row_count, &err);
	err = ended(&r, err, reterr_fault);
	if (!err)
		*ret_request = q;
	return err;
}

/* --- answers --- */

static void put_trees(struct buf *b, const struct audit_reply *r)
{
	wire_put_varint(b, r->root_count);
	for (uint32_t i = 0; i < r->root_count; i++) {
		put_incarnation(b, r->roots[i].incarnation);
		wire_put_u32(b, r->roots[i].shard);
		wire_put_u8(b, r->roots[i].bits);
		put_hash(b, r->roots[i].root);
		wire_put_u64(b, r->roots[i].rows);
	}
	wire_put_varint(b, r->hash_count);
	for (uint32_t i = 0; i < r->hash_count; i++)
		put_hash(b, r->hashes[i]);
	wire_put_varint(b, r->leaf_count);
	for (uint32_t i = 0; i < r->leaf_count; i++) {
		wire_put_u64(b, r->leaves[i].lo);
		wire_put_u64(b, r->leaves[i].hi);
		wire_put_u64(b, r->leaves[i].count);
	}
}

static void put_entries(struct buf *b, const struct audit_reply *r)
{
	wire_put_varint(b, r->entry_count);
	for (uint32_t i = 0; i < r->entry_count; i++) {
		const struct audit_entry *e = &r->entries[i];
		point_id_put(b, e->id);
		wire_put_u64(b, e->number);
		wire_put_u64(b, e->stamp.epoch);
		wire_put_u64(b, e->stamp.hlc);
		wire_put_u8(b, e->stamp.region);
		put_hash(b, e->digest);
		wire_put_u8(b, e->damaged);
	}
}

static void put_findings(struct buf *b, const struct audit_reply *r)
{
	wire_put_varint(b, r->finding_count);
	for (uint32_t i = 0; i < r->finding_count; i++) {
		const struct audit_finding *f = &r->findings[i];
		put_incarnation(b, f->incarnation);
		wire_put_u32(b, f->shard);
		wire_put_u32(b, f->leaf);
		wire_put_u8(b, f->is_row);
		if (f->is_row)
			point_id_put(b, f->id);
	}
}

enum err audit_reply_encode(const struct audit_reply *r, struct buf *out)
{
	size_t start = out->len;

	put_head(out, r->kind);
	wire_put_str(out, r->refused);
	wire_put_str(out, r->words);
	wire_put_u8(out, (uint8_t)r->state);
	put_position(out, r->position);
	wire_put_u64(out, r->chain_hash);
	wire_put_u64(out, r->number);
	put_cutoff(out, &r->seen);
	audit_logs_put(out, r->logs, r->log_count);
	put_trees(out, r);
	put_entries(out, r);
	enum err err = put_rows(out, r->rows, r->row_count);
	if (err)
		return err;
	put_findings(out, r);
	wire_put_u64(out, r->found);
	wire_put_u64(out, r->read_rows);
	wire_put_u64(out, r->read_bytes);
	wire_put_u32(out, r->rows_changed);
	wire_put_u32(out, r->leaves_changed);
	return put_tail(out, start);
}

static void get_trees(struct wire_reader *r, struct arena *a, struct audit_reply *q, enum err *err)
{
	struct audit_root *roots = get_list(r, a, ROOT_BYTES, sizeof(*roots), &q->root_count, err);
	for (uint32_t i = 0; i < q->root_count; i++) {
		roots[i].incarnation = get_incarnation(r);
		roots[i].shard = wire_u32(r);
		roots[i].bits = wire_u8(r);
		roots[i].root = get_hash(r);
		roots[i].rows = wire_u64(r);
	}
	q->roots = roots;
	struct hash128 *hashes = get_list(r, a, sizeof(*hashes), sizeof(*hashes), &q->hash_count, err);
	for (uint32_t i = 0; i < q->hash_count; i++)
		hashes[i] = get_hash(r);
	q->hashes = hashes;
	struct merkle_leaf *leaves = get_list(r, a, LEAF_BYTES, sizeof(*leaves), &q->leaf_count, err);
	for (uint32_t i = 0; i < q->leaf_count; i++) {
		leaves[i].lo = wire_u64(r);
		leaves[i].hi = wire_u64(r);
		leaves[i].count = wire_u64(r);
	}
	q->leaves = leaves;
}

/* In order and no id twice: they are merged. */
static void get_entries(struct wire_reader *r, struct arena *a, struct audit_reply *q, enum err *err)
{
	struct audit_entry *entries = get_list(r, a, ENTRY_BYTES_MIN, sizeof(*entries), &q->entry_count, err);

	for (uint32_t i = 0; i < q->entry_count; i++) {
		struct audit_entry *e = &entries[i];
		e->id = point_id_get(r);
		e->number = wire_u64(r);
		e->stamp.epoch = wire_u64(r);
		e->stamp.hlc = wire_u64(r);
		e->stamp.region = wire_u8(r);
		e->digest = get_hash(r);
		e->damaged = get_bool(r);
		if (i > 0 && point_id_compare(entries[i - 1].id, e->id) >= 0)
			wire_fail(r);
	}
	q->entries = entries;
}

static void get_findings(struct wire_reader *r, struct arena *a, struct audit_reply *q, enum err *err)
{
	struct audit_finding *findings = get_list(r, a, FINDING_BYTES_MIN, sizeof(*findings), &q->finding_count, err);

	for (uint32_t i = 0; i < q->finding_count; i++) {
		struct audit_finding *f = &findings[i];
		f->incarnation = get_incarnation(r);
		f->shard = wire_u32(r);
		f->leaf = wire_u32(r);
		f->is_row = get_bool(r);
		if (f->is_row)
			f->id = point_id_get(r);
	}
	q->findings = findings;
}

enum err audit_reply_decode(struct bytes b, struct arena *a, struct audit_reply *ret_reply, struct fault *reterr_fault)
{
	struct audit_reply q = { 0 };
	struct wire_reader r;
	enum err err = get_head(b, &r, &q.kind, reterr_fault);

	if (err)
		return err;
	q.refused = wire_str(&r);
	q.words = wire_str(&r);
	uint8_t state = wire_u8(&r);
	if (state > AUDIT_GONE)
		wire_fail(&r);
	q.state = (enum audit_state)state;
	q.position = get_position(&r);
	q.chain_hash = wire_u64(&r);
	q.number = wire_u64(&r);
	get_cutoff(&r, &q.seen);
	q.logs = audit_logs_get(&r, a, &q.log_count, &err);
	get_trees(&r, a, &q, &err);
	get_entries(&r, a, &q, &err);
	q.rows = get_rows(&r, a, &q.row_count, &err);
	get_findings(&r, a, &q, &err);
	q.found = wire_u64(&r);
	q.read_rows = wire_u64(&r);
	q.read_bytes = wire_u64(&r);
	q.rows_changed = wire_u32(&r);
	q.leaves_changed = wire_u32(&r);
	err = ended(&r, err, reterr_fault);
	if (!err)
		*ret_reply = q;
	return err;
}

enum err audit_reply_refusal(const struct audit_reply *r)
{
	if (r->refused.len == 0)
		return ERR_NONE;
	for (unsigned e = 1; e < ERR_COUNT; e++) {
		const char *name = err_name((enum err)e);
		if (strlen(name) == r->refused.len && memcmp(name, r->refused.data, r->refused.len) == 0)
			return (enum err)e;
	}
	return ERR_BAD_GATEWAY;
}
