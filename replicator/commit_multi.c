/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The logs of collections that every region writes.
 *
 * Each start of each region is a writer with a log of its own; a region joins all of them. Within a log ops come in order;
 * an op of one log comes after all that its writer had seen of the others (op.seen), so that whatever meets here
 * without one writer having seen the other was written concurrently. As a region's own ops count as seen by it, its logs
 * come one after the other, too.
 *
 * Forgetting. A region that starts again begins another log, and all are listed wherever regions compare what they have. So beyond
 * LOGS_KEPT the oldest of a region is forgotten: its ops are trimmed, and the record of one log, the floor, stands for all that the
 * region wrote before it. That is safe when
 * - a newer log of its region is here: the region itself will not write in the old one again, whatever disk it has,
 * - all data regions, by what each said of all its logs within the last seconds, have it to the same end, and nothing of an older
 *   log of that region that is not here; so nobody will have to be given an op of it, and
 * - it ended a day ago, so that no stream still brings what no region has, and sessions have moved on.
 * The floor itself is still listed, and its ops are not held: whoever lost its disk has to copy another region. What comes
 * once more of a forgotten log is known. When none may be forgotten (a region is away) a region refuses, at LOGS_MAX, to begin
 * another log, and says why.
 *
 * Table STORE_META, for each log
 *   key    "replicator/log/", u64 log, big-endian
 *   value  u8   version, 2; 1 has no flags
 *          u8   flags: 1 it is a floor
 *          u64  seq of the last op in rows and log
 *          u64  running hash after it; it begins with 0 in each log
 *          u64  HLC of it
 *          u64  hash64 of all before it
 */
#include "replicator/commit_inner.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_VERSION 2
#define RECORD_BYTES 34
#define RECORD_VERSION_WITHOUT_FLAGS 1
#define RECORD_BYTES_WITHOUT_FLAGS 33
#define FLAG_FLOOR 1
/* A log that ended less long ago is not forgotten. */
#define FORGET_MS UINT64_C(86400000)
#define RECORD_BYTES_MAX 64
#define PREFIX "replicator/log/"
#define PREFIX_BYTES (sizeof(PREFIX) - 1)
#define KEY_BYTES (PREFIX_BYTES + 8)
/* Ops that one commit trims at most. */
#define TRIM_OPS_MAX (2 * COMMIT_OPS_MAX)
#define LOGS_CAP_MIN 16

struct record_key {
	uint8_t bytes[KEY_BYTES];
};

static struct record_key key_of(uint64_t log)
{
	struct record_key k;

	memcpy(k.bytes, PREFIX, PREFIX_BYTES);
	for (unsigned i = 0; i < 8; i++)
		k.bytes[PREFIX_BYTES + i] = (uint8_t)(log >> 8 * (7 - i));
	return k;
}

/* --- the logs of a transaction --- */

void commit_multi_release(struct multi_logs *logs)
{
	free(logs->items);
	*logs = (struct multi_logs){ 0 };
}

static enum err reserve(struct multi_logs *logs, uint32_t count)
{
	if (count <= logs->cap)
		return ERR_NONE;
	uint32_t cap = MAX(MAX(logs->cap * 2, count), LOGS_CAP_MIN);
	struct multi_log *more = reallocarray(logs->items, cap, sizeof(*more));
	if (!more)
		return ERR_NO_MEMORY;
	logs->items = more;
	logs->cap = cap;
	return ERR_NONE;
}

/* As the open transaction has them. */
static const struct multi_logs *current(const struct committer *c)
{
	return c->txn.store && c->txn.has_logs ? &c->txn.logs : &c->logs;
}

static struct multi_log *find(const struct multi_logs *logs, uint64_t log)
{
	for (uint32_t i = 0; i < logs->count; i++)
		if (logs->items[i].log == log)
			return &logs->items[i];
	return NULL;
}

bool commit_multi_is_forgotten(const struct multi_logs *logs, uint64_t log)
{
	for (uint32_t i = 0; i < logs->count; i++) {
		const struct multi_log *l = &logs->items[i];
		if (l->floor && (uint8_t)l->log == (uint8_t)log && log < l->log)
			return true;
	}
	return false;
}

static uint64_t seq_of(const struct committer *c, uint64_t log)
{
	const struct multi_log *l = find(current(c), log);

	return l ? l->seq : 0;
}

/* The newest op of a region that is here; 0: none is. */
static uint64_t seen_of(const struct committer *c, uint8_t region)
{
	const struct multi_logs *logs = current(c);
	uint64_t hlc = 0;

	for (uint32_t i = 0; i < logs->count; i++)
		if ((uint8_t)logs->items[i].log == region)
			hlc = MAX(hlc, logs->items[i].hlc);
	return hlc;
}

/* A copy that the transaction may change. */
static enum err own_copy(struct committer *c)
{
	struct commit_txn *t = &c->txn;

	if (t->has_logs)
		return ERR_NONE;
	enum err err = reserve(&t->logs, c->logs.count + 1);
	if (err)
		return err;
	if (c->logs.count > 0)
		memcpy(t->logs.items, c->logs.items, c->logs.count * sizeof(*c->logs.items));
	t->logs.count = c->logs.count;
	t->has_logs = true;
	return ERR_NONE;
}

static enum err add_log(struct multi_logs *logs, uint64_t log, struct multi_log **ret)
{
	enum err err = logs->count < LOGS_MAX ? reserve(logs, logs->count + 1) : ERR_TOO_LARGE;
	if (err)
		return err;
	uint32_t at = logs->count;
	while (at > 0 && logs->items[at - 1].log > log)
		at--;
	memmove(&logs->items[at + 1], &logs->items[at],
		(logs->count - at) * sizeof(*logs->items));
	logs->count++;
	logs->items[at] = (struct multi_log){ .log = log };
	*ret = &logs->items[at];
	return ERR_NONE;
}

struct position commit_multi_position(const struct committer *c)
{
	return (struct position){ .epoch = c->txn.log_ended, .seq = seq_of(c, c->txn.log_ended) };
}

bool commit_multi_end(const struct committer *c, uint32_t number, struct log_mark *ret_end)
{
	const struct multi_logs *logs = current(c);

	if (number >= logs->count)
		return false;
	const struct multi_log *l = &logs->items[number];
	*ret_end = (struct log_mark){ .log = l->log, .seq = l->seq, .chain_hash = l->chain_hash, .hlc = l->hlc };
	return true;
}

enum err commit_multi_seen(const struct committer *c, struct cutoff *ret_seen)
{
	const struct multi_logs *logs = current(c);
	enum err err = ERR_NONE;

	*ret_seen = (struct cutoff){ .count = 0 };
	for (uint32_t i = 0; i < logs->count && !err; i++)
		err = cutoff_raise(ret_seen, (struct op_seen){ .region = (uint8_t)logs->items[i].log,
							       .hlc = logs->items[i].hlc });
	return err;
}

enum err commit_multi_copy(struct committer *c, struct marked **ret_marked, struct fault *reterr_fault)
{
	struct marked *m;

	ASSERT(!c->txn.store);
	enum err err = marked_new(c->o.catalog, true, &m);
	if (err)
		return fault_set(reterr_fault, err, "copying the Merkle trees: %s", err_sentence(err));
	err = commit_multi_seen(c, &m->seen);
	if (err) {
		marked_unref(m);
		return fault_set(reterr_fault, err, "the logs of all regions: %s", err_sentence(err));
	}
	*ret_marked = m;
	return ERR_NONE;
}

bool commit_multi_is_trimmed(const struct committer *c, struct stamp s)
{
	const struct multi_logs *logs = current(c);

	for (uint32_t i = 0; i < logs->count; i++) {
		const struct multi_log *l = &logs->items[i];
		if ((uint8_t)l->log == s.region && l->oldest_hlc != 0 && l->oldest_hlc <= s.hlc)
			return false;
	}
	return true;
}

uint64_t commit_multi_oldest(const struct committer *c)
{
	const struct multi_logs *logs = current(c);
	uint64_t oldest = 0;

	for (uint32_t i = 0; i < logs->count; i++) {
		uint64_t hlc = logs->items[i].oldest_hlc;
		if (hlc != 0 && (oldest == 0 || hlc < oldest))
			oldest = hlc;
	}
	return oldest;
}

/* --- this region's own ops --- */

static enum err too_many(enum err err, struct fault *reterr_fault)
{
	return fault_set(reterr_fault, err,
			 "this fleet has %u logs, the greatest number possible: old ones are forgotten once all data "
			 "regions are there and have all of them for a day; bring back the one that is away, or look why "
			 "one starts again and again",
			 LOGS_MAX);
}

/* Above all logs of this region that are known, and at a time that no stamp has reached. */
static enum err begin_log(struct committer *c, struct fault *reterr_fault)
{
	const struct multi_logs *logs = current(c);
	uint64_t ms = MAX(clock_wall_ms(c->o.clock), hlc_ms(c->hlc.last) + 1);

	for (uint32_t i = 0; i < logs->count; i++)
		if ((uint8_t)logs->items[i].log == c->o.region)
			ms = MAX(ms, ((logs->items[i].log & ~MULTI_LOG_BIT) >> 8) + 1);
	if (logs->count >= LOGS_MAX)
		return too_many(ERR_UNAVAILABLE, reterr_fault);
	if (!hlc_observe(&c->hlc, ms << 16))
		return fault_set(reterr_fault, ERR_UNAVAILABLE,
				 "the clock of this region runs behind its own last log");
	c->own_log = multi_log_make(ms, c->o.region);
	return ERR_NONE;
}

static enum err note_seen(struct committer *c, struct op *op)
{
	const struct multi_logs *logs = current(c);

	op->seen = arena_array(&c->txn.arena, OP_SEEN_MAX, sizeof(*op->seen));
	if (!op->seen)
		return ERR_NO_MEMORY;
	op->seen_count = 0;
	for (uint32_t i = 0; i < logs->count; i++) {
		struct op_seen s = { .region = (uint8_t)logs->items[i].log,
				     .hlc = logs->items[i].hlc };
		uint32_t at = 0;
		while (at < op->seen_count && op->seen[at].region < s.region)
			at++;
		if (at < op->seen_count && op->seen[at].region == s.region) {
			op->seen[at].hlc = MAX(op->seen[at].hlc, s.hlc);
			continue;
		}
		if (op->seen_count == OP_SEEN_MAX)
			return ERR_TOO_LARGE;
		memmove(&op->seen[at + 1], &op->seen[at],
			(op->seen_count - at) * sizeof(*op->seen));
		op->seen[at] = s;
		op->seen_count++;
	}
	return ERR_NONE;
}

enum err commit_multi_stamp(struct committer *c, struct op *op, uint64_t hlc_floor,
			    struct fault *reterr_fault)
{
	enum err err = c->own_log == 0 ? begin_log(c, reterr_fault) : ERR_NONE;

	if (err)
		return err;
	if (!hlc_observe(&c->hlc, hlc_floor))
		return fault_set(reterr_fault, ERR_UNAVAILABLE,
				 "the session comes from a clock too far ahead of this region's");
	err = note_seen(c, op);
	if (err)
		return fault_set(reterr_fault, err, "noting what was seen: %s", err_sentence(err));
	err = hlc_now(&c->hlc, &op->hlc);
	if (err)
		return fault_set(
			reterr_fault, err,
			"the clock of this region runs more than %llu ms behind the last stamp",
			(unsigned long long)c->hlc.offset_ms_max);
	op->scope = SCOPE_MULTI;
	op->region = c->o.region;
	op->epoch = c->own_log;
	op->seq = seq_of(c, c->own_log) + 1;
	op->needs = c->txn.place.position;
	return ERR_NONE;
}

/* --- one op --- */

enum err commit_multi_apply(struct committer *c, struct op *op, struct bytes wire,
			    struct fault *reterr_fault)
{
	uint64_t record_bytes;
	struct multi_log *l;
	enum err err = wire.data ? ERR_NONE : commit_encode(c, op, &wire);

	if (!err)
		err = own_copy(c);
	if (err)
		return fault_set(reterr_fault, err, "an op of kind %s: %s", op_kind_name(op->kind),
				 err_sentence(err));
	l = find(&c->txn.logs, op->epoch);
	err = l ? ERR_NONE : add_log(&c->txn.logs, op->epoch, &l);
	if (err == ERR_TOO_LARGE)
		return too_many(err, reterr_fault);
	if (err)
		return fault_set(reterr_fault, err, "one log more: %s", err_sentence(err));
	ASSERT(op->seq == l->seq + 1);
	/* Before the rows: what they give up may be this op's already. */
	if (l->oldest_hlc == 0)
		l->oldest_hlc = op->hlc;
	l->seq = op->seq;
	l->hlc = op->hlc;
	l->chain_hash = op_chain_hash(l->chain_hash, wire);
	l->changed = true;
	err = commit_txn_rows(c, op, reterr_fault);
	if (err)
		return err;
	err = oplog_append(c->o.store, c->txn.store, op, l->chain_hash, &record_bytes);
	if (err)
		return fault_set(reterr_fault, err, "writing the op log: %s", err_sentence(err));
	c->txn.place.multi.ops++;
	c->txn.place.multi.bytes += record_bytes;
	c->txn.log_ended = op->epoch;
	c->txn.ops++;
	c->txn.bytes += wire.len;
	return ERR_NONE;
}

/* --- ops of peers --- */

static bool is_data(enum op_kind kind)
{
	return kind >= OP_UPSERT;
}

static enum err check_op(struct committer *c, const struct op *op, uint64_t log,
			 struct fault *reterr_fault)
{
	if (op->scope != SCOPE_MULTI || op->epoch != log || !(log & MULTI_LOG_BIT) ||
	    op->region != (uint8_t)log || !is_data(op->kind))
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "op (%llx, %llu) does not belong into its log",
				 (unsigned long long)op->epoch, (unsigned long long)op->seq);
	if (log == c->own_log && op->seq > seq_of(c, log))
		return fault_set(reterr_fault, ERR_FORK,
				 "op %llu of this region's own log was not written here",
				 (unsigned long long)op->seq);
	return ERR_NONE;
}

struct checked {
	uint64_t log;
	uint64_t last;  /* seq */
	uint32_t known; /* ops at the start that are here already */
	uint64_t hash;  /* after the last of the others */
};

/* ERR_ALREADY_EXISTS: of a log that was forgotten. */
static enum err check_batch(struct committer *c, const struct remote_batch *b,
			    struct checked *ret, struct fault *reterr_fault)
{
	const struct multi_log *l = NULL;
	struct checked k = { 0 };

	for (uint32_t i = 0; i < b->count; i++) {
		CLEANUP(arena_release) struct arena a;
		struct op op;
		arena_init(&a, OP_ARENA_BYTES_MAX);
		enum err err = op_decode(b->ops[i], OP_FORM_WIRE, &a, &op, reterr_fault);
		if (err)
			return err;
		if (i == 0) {
			k.log = op.epoch;
			l = find(current(c), k.log);
			k.hash = l ? l->chain_hash : 0;
			k.last = op.seq - 1;
			if (commit_multi_is_forgotten(current(c), k.log))
				return ERR_ALREADY_EXISTS;
			if (op.seq > (l ? l->seq : 0) + 1)
				return fault_set(reterr_fault, ERR_GAP,
						 "op %llu of log %llx does not follow op %llu",
						 (unsigned long long)op.seq,
						 (unsigned long long)k.log,
						 (unsigned long long)(l ? l->seq : 0));
		}
		err = check_op(c, &op, k.log, reterr_fault);
		if (!err && op.seq != k.last + 1)
			err = fault_set(reterr_fault, ERR_CORRUPT, "a hole within a batch");
		if (err)
			return err;
		k.last = op.seq;
		if (l && op.seq <= l->seq)
			k.known++;
		else
			k.hash = op_chain_hash(k.hash, b->ops[i]);
	}
	*ret = k;
	return ERR_NONE;
}

/* All of the batch is known: does the log agree, as far as it reaches? */
static enum err known_hash(struct committer *c, struct position p, uint64_t *ret_hash,
			   struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct store *s = c->o.store;
	struct oplog_entry entry = { 0 };
	struct store_txn *t;
	enum err err = s->ops->begin(s, false, &t);

	arena_init(&a, OP_ARENA_BYTES_MAX);
	if (err)
		return fault_set(reterr_fault, err, "reading the op log: %s", err_sentence(err));
	err = oplog_get(s, t, SCOPE_MULTI, p, &a, &entry, reterr_fault);
	s->ops->abort(t);
	if (!err)
		*ret_hash = entry.chain_hash;
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

/* How far a stamp lies ahead of this region's clock. */
static uint64_t ahead_ms(struct committer *c, uint64_t hlc)
{
	uint64_t now_ms = clock_wall_ms(c->o.clock);

	return hlc_ms(hlc) > now_ms ? hlc_ms(hlc) - now_ms : 0;
}

/* May it be applied now? Else its log waits. */
static enum err check_turn(struct committer *c, const struct op *op, struct op_turn *ret_turn,
			   struct fault *reterr_fault)
{
	struct position here = c->txn.store ? c->txn.place.position : c->place.position;

	*ret_turn = (struct op_turn){ .op = { op->epoch, op->seq } };
	if (op->needs.epoch != 0 &&
	    history_find(commit_history(c), here, op->needs) == HISTORY_AHEAD) {
		ret_turn->kind = TURN_SCHEMA;
		ret_turn->needs = op->needs;
		return fault_set(reterr_fault, ERR_UNAVAILABLE,
				 "an op of region %u waits for the changes of collections up to (%llu, %llu)",
				 op->region, (unsigned long long)op->needs.epoch,
				 (unsigned long long)op->needs.seq);
	}
	for (uint32_t i = 0; i < op->seen_count; i++) {
		if (seen_of(c, op->seen[i].region) >= op->seen[i].hlc)
			continue;
		ret_turn->kind = TURN_SEEN;
		ret_turn->region = op->seen[i].region;
		ret_turn->hlc = op->seen[i].hlc;
		return fault_set(reterr_fault, ERR_UNAVAILABLE,
				 "an op of region %u waits for ops of region %u", op->region,
				 op->seen[i].region);
	}
	if (!hlc_observe(&c->hlc, op->hlc)) {
		ret_turn->kind = TURN_CLOCK;
		ret_turn->ahead_ms = ahead_ms(c, op->hlc);
		return fault_set(reterr_fault, ERR_UNAVAILABLE,
				 "the clock of region %u is too far ahead: its op waits",
				 op->region);
	}
	return ERR_NONE;
}

static enum err apply_one(struct committer *c, struct bytes wire, struct op_turn *ret_turn,
			  struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct op op;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	enum err err = op_decode(wire, OP_FORM_WIRE, &a, &op, reterr_fault);
	if (!err && (c->txn.ops >= COMMIT_OPS_MAX || c->txn.bytes >= COMMIT_BYTES_MAX))
		err = commit_txn_commit(c, reterr_fault);
	if (!err)
		err = check_turn(c, &op, ret_turn, reterr_fault);
	if (!err)
		err = commit_check_remote(c, &op, reterr_fault);
	if (!err)
		err = commit_txn_begin(c, reterr_fault);
	if (err)
		return err;
	err = commit_multi_apply(c, &op, wire, reterr_fault);
	if (err)
		commit_txn_abandon(c);
	return err;
}

enum err commit_multi_remote(struct committer *c, const struct remote_batch *b,
			     struct fault *reterr_fault)
{
	struct checked k = { 0 };
	struct op_turn turn = { .kind = TURN_NOW };

	ASSERT(!c->txn.store);
	if (b->count == 0)
		return ERR_NONE;
	enum err err = check_batch(c, b, &k, reterr_fault);
	if (err == ERR_ALREADY_EXISTS)
		return ERR_NONE;
	if (!err && k.known == b->count) {
		k.hash = b->chain_hash;
		err = known_hash(c, (struct position){ k.log, k.last }, &k.hash, reterr_fault);
	}
	if (err)
		return err;
	if (k.hash != b->chain_hash)
		return fault_set(reterr_fault, ERR_FORK,
				 "the running hash after op %llu of log %llx differs from this region's",
				 (unsigned long long)k.last, (unsigned long long)k.log);
	for (uint32_t i = k.known; i < b->count && !err; i++)
		err = apply_one(c, b->ops[i], &turn, reterr_fault);
	if (b->ret_turn)
		*b->ret_turn = turn;
	/* Those before the one that has to wait stay. */
	enum err committed = commit_txn_commit(c, reterr_fault);
	return committed ? committed : err;
}

/* --- trimming --- */

/* Of the logs whose oldest op may go, the one whose is the oldest. */
static struct multi_log *next_to_trim(struct committer *c, uint64_t *ret_upto)
{
	struct multi_log *oldest = NULL;

	for (uint32_t i = 0; i < c->txn.logs.count; i++) {
		struct multi_log *l = &c->txn.logs.items[i];
		const struct multi_log *before = find(&c->logs, l->log);
		uint64_t upto = before ? before->seq : 0;
		if (l->oldest_hlc == 0 || upto == 0 || (oldest && l->oldest_hlc >= oldest->oldest_hlc))
			continue;
		if (c->o.trim_floor_multi)
			upto = MIN(upto, c->o.trim_floor_multi(c->o.ctx, l->log));
		struct position p = { l->log, upto };
		/* All before it is gone, or it is not there to be trimmed. */
		if (upto == 0 || oplog_has(c->o.store, c->txn.store, SCOPE_MULTI, p))
			continue;
		oldest = l;
		*ret_upto = upto;
	}
	return oldest;
}

static enum err read_oldest(struct committer *c, struct store_txn *t, struct multi_log *l,
			    struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct oplog_entry entry;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	l->oldest_hlc = 0;
	enum err err = oplog_next(c->o.store, t, SCOPE_MULTI, (struct position){ l->log, 0 }, &a,
				  &entry, reterr_fault);
	if (!err && entry.op.epoch == l->log)
		l->oldest_hlc = entry.op.hlc;
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

enum err commit_multi_trim(struct committer *c, bool all, struct fault *reterr_fault)
{
	struct oplog_size *size = &c->txn.place.multi;
	uint64_t upto;

	if (!all && (c->o.log_bytes_max == 0 || size->bytes <= c->o.log_bytes_max))
		return ERR_NONE;
	enum err err = own_copy(c);
	if (err)
		return fault_set(reterr_fault, err, "trimming the log: %s", err_sentence(err));
	struct multi_log *l = next_to_trim(c, &upto);
	if (!l)
		return ERR_NONE;
	struct oplog_trimming t = { .scope = SCOPE_MULTI,
				    .after = { l->log, 0 },
				    .upto = { l->log, upto },
				    .ops_max = TRIM_OPS_MAX,
				    .bytes_enough = all ? UINT64_MAX
							: size->bytes - c->o.log_bytes_max };
	err = oplog_trim(c->o.store, c->txn.store, c->o.catalog, &c->txn.arena, &t, reterr_fault);
	for (uint32_t i = 0; !err && i < t.slot_count; i++)
		err = commit_free_later(c, &t.slots[i]);
	if (err)
		return fault_set(reterr_fault, err, "trimming the log: %s", err_sentence(err));
	size->ops -= t.ops;
	size->bytes -= t.bytes;
	return t.ops > 0 ? read_oldest(c, c->txn.store, l, reterr_fault) : ERR_NONE;
}

/* --- forgetting --- */

static uint64_t floor_of(const struct multi_logs *logs, uint8_t region)
{
	for (uint32_t i = 0; i < logs->count; i++)
		if (logs->items[i].floor && (uint8_t)logs->items[i].log == region)
			return logs->items[i].log;
	return 0;
}

/* Is another log of its region, floors apart, there: a newer one, or an older one? */
static bool has_other(const struct multi_logs *logs, const struct multi_log *l, bool newer)
{
	for (uint32_t i = 0; i < logs->count; i++) {
		const struct multi_log *o = &logs->items[i];
		if ((uint8_t)o->log == (uint8_t)l->log && o != l && !o->floor && (o->log > l->log) == newer)
			return true;
	}
	return false;
}

/* The oldest of its region that is not forgotten, and has a successor; as committed. */
static bool is_forgettable(struct committer *c, const struct multi_log *l)
{
	const struct multi_log *before = find(&c->logs, l->log);
	uint64_t now_ms = clock_wall_ms(c->o.clock);

	return !l->floor && l->log != c->own_log && before && before->seq == l->seq &&
	       hlc_ms(l->hlc) + FORGET_MS < now_ms && !has_other(&c->txn.logs, l, false) &&
	       has_other(&c->txn.logs, l, true);
}

static struct multi_log *next_to_forget(struct committer *c)
{
	struct multi_log *oldest = NULL;

	for (uint32_t i = 0; i < c->txn.logs.count; i++) {
		struct multi_log *l = &c->txn.logs.items[i];
		struct log_end end = { .log = l->log, .seq = l->seq };
		uint64_t floor = floor_of(&c->txn.logs, (uint8_t)l->log);
		if (is_forgettable(c, l) && (!oldest || l->hlc < oldest->hlc) &&
		    (!c->o.may_forget || c->o.may_forget(c->o.ctx, end, floor)))
			oldest = l;
	}
	return oldest;
}

/* Its ops; more than one commit takes are left for the next. */
static enum err trim_whole(struct committer *c, struct multi_log *l, struct fault *reterr_fault)
{
	struct oplog_trimming t = { .scope = SCOPE_MULTI,
				    .after = { l->log, 0 },
				    .upto = { l->log, l->seq },
				    .ops_max = TRIM_OPS_MAX,
				    .bytes_enough = UINT64_MAX };
	enum err err =
		oplog_trim(c->o.store, c->txn.store, c->o.catalog, &c->txn.arena, &t, reterr_fault);

	for (uint32_t i = 0; !err && i < t.slot_count; i++)
		err = commit_free_later(c, &t.slots[i]);
	if (err)
		return fault_set(reterr_fault, err, "trimming the log: %s", err_sentence(err));
	c->txn.place.multi.ops -= t.ops;
	c->txn.place.multi.bytes -= t.bytes;
	return read_oldest(c, c->txn.store, l, reterr_fault);
}

static enum err remove_log(struct committer *c, uint64_t log)
{
	struct multi_logs *logs = &c->txn.logs;
	struct multi_log *l = find(logs, log);
	struct record_key key = key_of(log);
	enum err err = c->o.store->ops->del(c->txn.store, STORE_META,
					    (struct bytes){ key.bytes, KEY_BYTES });

	if (err)
		return err;
	logs->count--;
	memmove(l, l + 1, (size_t)(&logs->items[logs->count] - l) * sizeof(*l));
	return ERR_NONE;
}

enum err commit_multi_forget(struct committer *c, struct fault *reterr_fault)
{
	if (current(c)->count <= LOGS_KEPT)
		return ERR_NONE;
	enum err err = own_copy(c);
	if (err)
		return fault_set(reterr_fault, err, "forgetting a log: %s", err_sentence(err));
	struct multi_log *l = next_to_forget(c);
	if (!l)
		return ERR_NONE;
	if (l->oldest_hlc != 0)
		err = trim_whole(c, l, reterr_fault);
	if (err || l->oldest_hlc != 0)
		return err;
	uint64_t floor = floor_of(&c->txn.logs, (uint8_t)l->log);
	log_debug("a log is forgotten log=%llx seq=%llu", (unsigned long long)l->log,
		  (unsigned long long)l->seq);
	l->floor = l->changed = true;
	err = floor != 0 ? remove_log(c, floor) : ERR_NONE;
	return err ? fault_set(reterr_fault, err, "forgetting a log: %s", err_sentence(err)) : err;
}

/* --- records --- */

enum err commit_multi_save(struct committer *c)
{
	if (!c->txn.has_logs)
		return ERR_NONE;
	for (uint32_t i = 0; i < c->txn.logs.count; i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_BYTES_MAX);
		struct multi_log *l = &c->txn.logs.items[i];
		struct record_key key = key_of(l->log);
		if (!l->changed)
			continue;
		wire_put_u8(&b, RECORD_VERSION);
		wire_put_u8(&b, l->floor ? FLAG_FLOOR : 0);
		wire_put_u64(&b, l->seq);
		wire_put_u64(&b, l->chain_hash);
		wire_put_u64(&b, l->hlc);
		if (!buf_err(&b))
			wire_put_u64(&b, hash64(b.data, b.len, 0));
		if (buf_err(&b))
			return buf_err(&b);
		enum err err = c->o.store->ops->put(c->txn.store, STORE_META,
						    (struct bytes){ key.bytes, KEY_BYTES },
						    buf_bytes(&b));
		if (err)
			return err;
		l->changed = false;
	}
	return ERR_NONE;
}

void commit_multi_publish(struct committer *c)
{
	if (!c->txn.has_logs)
		return;
	struct multi_logs old = c->logs;
	c->logs = c->txn.logs;
	c->txn.logs = old;
}

static enum err record_decode(struct bytes key, struct bytes value, struct log_mark *ret_log)
{
	struct wire_reader k = wire_reader_of(key.data + PREFIX_BYTES, 8);

	if (value.len < 1 ||
	    (value.data[0] != RECORD_VERSION && value.data[0] != RECORD_VERSION_WITHOUT_FLAGS))
		return ERR_VERSION;
	bool flags = value.data[0] == RECORD_VERSION;
	if (value.len != (flags ? RECORD_BYTES : RECORD_BYTES_WITHOUT_FLAGS))
		return ERR_CORRUPT;
	struct wire_reader r = wire_reader_of(value.data + 1, value.len - 1);
	struct log_mark m = { .log = wire_u64_be(&k) };
	m.floor = flags && (wire_u8(&r) & FLAG_FLOOR) != 0;
	m.seq = wire_u64(&r);
	m.chain_hash = wire_u64(&r);
	m.hlc = wire_u64(&r);
	if (wire_u64(&r) != hash64(value.data, value.len - 8, 0))
		return ERR_CORRUPT;
	*ret_log = m;
	return ERR_NONE;
}

enum err committer_read_logs(struct store *s, struct store_txn *t, struct arena *a, struct log_mark **ret_logs,
			     uint32_t *ret_count)
{
	struct log_mark *logs = arena_array(a, LOGS_MAX, sizeof(*logs));
	struct record_key first = key_of(0);
	struct store_cursor *cursor;
	struct bytes key;
	struct bytes value;
	uint32_t count = 0;

	if (!logs)
		return ERR_NO_MEMORY;
	enum err err = s->ops->cursor_open(t, STORE_META, &cursor);
	if (err)
		return err;
	err = s->ops->seek(cursor, (struct bytes){ first.bytes, KEY_BYTES }, &key, &value);
	while (!err && key.len == KEY_BYTES && memcmp(key.data, PREFIX, PREFIX_BYTES) == 0) {
		err = count < LOGS_MAX ? record_decode(key, value, &logs[count]) : ERR_TOO_LARGE;
		if (err)
			break;
		count++;
		err = s->ops->next(cursor, &key, &value);
	}
	s->ops->cursor_close(cursor);
	*ret_logs = logs;
	*ret_count = count;
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err read_records(struct committer *c, struct store_txn *t, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct log_mark *logs;
	uint32_t count;

	arena_init(&a, OP_ARENA_BYTES_MAX);
	enum err err = committer_read_logs(c->o.store, t, &a, &logs, &count);
	for (uint32_t i = 0; !err && i < count; i++) {
		struct multi_log *l;
		err = add_log(&c->logs, logs[i].log, &l);
		if (err)
			break;
		l->floor = logs[i].floor;
		l->seq = logs[i].seq;
		l->chain_hash = logs[i].chain_hash;
		l->hlc = logs[i].hlc;
	}
	return err ? fault_set(reterr_fault, err, "reading the logs of several writers: %s", err_sentence(err))
		   : ERR_NONE;
}

enum err commit_multi_open(struct committer *c, struct fault *reterr_fault)
{
	struct store *s = c->o.store;
	struct store_txn *t;
	enum err err = s->ops->begin(s, false, &t);

	if (err)
		return fault_set(reterr_fault, err, "reading the logs: %s", err_sentence(err));
	err = read_records(c, t, reterr_fault);
	for (uint32_t i = 0; !err && i < c->logs.count; i++) {
		err = read_oldest(c, t, &c->logs.items[i], reterr_fault);
		c->place.hlc = MAX(c->place.hlc, c->logs.items[i].hlc);
	}
	s->ops->abort(t);
	return err;
}
