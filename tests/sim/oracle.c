/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/oracle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/panic.h"
#include "replicator/oplog.h"
#include "replicator/orphan.h"
#include "tests/sim/content.h"
#include "tests/sim/trace.h"

#define ARENA_BYTES ((size_t)64 << 20)
#define LOGS_OF_RUN_MAX 256
/* Of the states that disks pass through, one in so many is looked at, the same ones in all regions. */
#define LOOK_AT 8

const char *const oracle_keys[ORACLE_KEYS] = { "n", "x" };
const char *const oracle_collections[ORACLE_COLLECTIONS] = { "s", "m" };

/* What a (scope, epoch, seq), or a state, was the first time it was seen. */
struct known {
	uint64_t key; /* hash of it; 0: free */
	uint64_t value;
	uint8_t site;
	uint8_t disks; /* bits: which have had it, */
	uint8_t has;   /* and which have it */
};

struct table {
	struct known *items;
	uint32_t count, cap; /* a power of two */
};

struct acknowledged {
	struct position position;
	enum ack_level level;
	bool excused;
};

/* Up to where a disk has one log of several writers. */
struct reached {
	uint64_t log;
	uint64_t seq;
};

/* How far a disk is. */
struct place {
	struct position fleet;
	struct position *ops;  /* of the fleet's log that it has, as far as they were seen on it */
	uint32_t op_count, op_cap;
	struct reached logs[LOGS_OF_RUN_MAX]; /* by their numbers */
	uint32_t log_count;
};

/* Of which rows one is not what it was. */
enum damage { DAMAGE_NONE, DAMAGE_OF_ONE, DAMAGE_OF_MANY };

struct oracle {
	struct site *sites;
	struct oracle_site ends[NET_REGIONS];
	struct place places[NET_REGIONS];
	struct table ops;    /* running hash after each op */
	struct table states; /* digest of the rows at each position */
	struct acknowledged *acks;
	uint32_t ack_count, ack_cap;
	struct last_writer *writer; /* where logs are trimmed: of all ops that were ever on a disk */
	uint64_t digest;
	enum damage damaged[NET_REGIONS];
};

/* --- what was seen --- */

static void table_grow(struct table *t)
{
	struct table more = { .cap = t->cap ? t->cap * 2 : 1024 };

	more.items = calloc(more.cap, sizeof(*more.items));
	ASSERT(more.items);
	for (uint32_t i = 0; i < t->cap; i++) {
		if (t->items[i].key == 0)
			continue;
		uint32_t at = (uint32_t)t->items[i].key & (more.cap - 1);
		while (more.items[at].key != 0)
			at = (at + 1) & (more.cap - 1);
		more.items[at] = t->items[i];
	}
	more.count = t->count;
	free(t->items);
	*t = more;
}

/* The entry of the key, and whether it was there already; a new one has the value. */
static struct known *table_get(struct table *t, uint64_t key, uint64_t value, uint8_t site, bool *ret_known)
{
	if (t->count * 2 >= t->cap)
		table_grow(t);
	key |= key == 0;
	uint32_t at = (uint32_t)key & (t->cap - 1);
	while (t->items[at].key != 0 && t->items[at].key != key)
		at = (at + 1) & (t->cap - 1);
	*ret_known = t->items[at].key == key;
	if (!*ret_known) {
		t->items[at] = (struct known){ .key = key, .value = value, .site = site };
		t->count++;
	}
	return &t->items[at];
}

static struct known *table_find(const struct table *t, uint64_t key)
{
	key |= key == 0;
	for (uint32_t at = (uint32_t)key & (t->cap - 1); t->cap > 0 && t->items[at].key != 0; at = (at + 1) & (t->cap - 1))
		if (t->items[at].key == key)
			return &t->items[at];
	return NULL;
}

/* --- reading a disk --- */

static struct reached *log_of(struct place *p, uint64_t log)
{
	for (uint32_t i = 0; i < p->log_count; i++)
		if (p->logs[i].log == log)
			return &p->logs[i];
	ASSERT(p->log_count < LOGS_OF_RUN_MAX);
	uint32_t at = p->log_count++;
	while (at > 0 && p->logs[at - 1].log > log) {
		p->logs[at] = p->logs[at - 1];
		at--;
	}
	p->logs[at] = (struct reached){ .log = log };
	return &p->logs[at];
}

/* Scopes differ in a bit of what stands for an epoch. */
static uint64_t op_key(struct position p)
{
	uint64_t place[2] = { p.epoch, p.seq };

	return hash64(place, sizeof(place), 1);
}

static void see_op(struct oracle *o, uint32_t number, const struct oplog_entry *e)
{
	bool known;
	struct known *k =
		table_get(&o->ops, op_key((struct position){ e->op.epoch, e->op.seq }), e->chain_hash, (uint8_t)number, &known);

	if (k->value != e->chain_hash)
		violation("chain", "scope %u op (%" PRIu64 ",%" PRIu64 ") of %s differs from that of %s", e->op.scope,
			  e->op.epoch, e->op.seq, o->sites[number].name, o->sites[k->site].name);
	if (!known && e->op.region != number + 1)
		violation("durable", "op (%" PRIu64 ",%" PRIu64 ") reached %s and was never on its writer's disk",
			  e->op.epoch, e->op.seq, o->sites[number].name);
	k->disks |= (uint8_t)(1u << number);
	k->has |= (uint8_t)(1u << number);
	if (!known) {
		if (o->sites[0].log_bytes_max > 0)
			last_writer_take(o->writer, &e->op);
		o->digest = hash64(&e->chain_hash, sizeof(e->chain_hash), o->digest);
		trace("op scope=%u (%" PRIu64 ",%" PRIu64 ") %s", e->op.scope, e->op.epoch, e->op.seq,
		      op_kind_name(e->op.kind));
	}
}

static bool next_op(struct store *s, struct store_txn *t, uint16_t scope, struct position p, struct arena *a,
		    struct oplog_entry *ret_entry)
{
	struct fault f = { 0 };
	enum err err = oplog_next(s, t, scope, p, a, ret_entry, &f);

	if (err != ERR_NONE && err != ERR_NOT_FOUND)
		violation("log", "the log cannot be read: %s", fault_text(&f));
	return err == ERR_NONE;
}

static void place_add(struct place *p)
{
	if (p->op_count == p->op_cap) {
		p->op_cap = p->op_cap ? p->op_cap * 2 : 256;
		p->ops = reallocarray(p->ops, p->op_cap, sizeof(*p->ops));
		ASSERT(p->ops);
	}
	p->ops[p->op_count++] = p->fleet;
}

static void read_fleet_log(struct oracle *o, uint32_t number, struct store *s, struct store_txn *t, struct arena *a)
{
	struct place *place = &o->places[number];
	struct oplog_entry e;

	while (next_op(s, t, SCOPE_FLEET, place->fleet, a, &e)) {
		bool next = e.op.epoch == place->fleet.epoch ? e.op.seq == place->fleet.seq + 1 : e.op.seq == 1;

		if (!next)
			violation("order", "%s has (%" PRIu64 ",%" PRIu64 ") after (%" PRIu64 ",%" PRIu64 ")",
				  o->sites[number].name, e.op.epoch, e.op.seq, place->fleet.epoch, place->fleet.seq);
		if (e.op.kind == OP_EPOCH_START && e.op.chain_count > 0) {
			const struct epoch_end *end = &e.op.chain[e.op.chain_count - 1];
			if (end->epoch != place->fleet.epoch || end->end != place->fleet.seq)
				violation("order", "%s enters epoch %" PRIu64 " at (%" PRIu64 ",%" PRIu64 ")",
					  o->sites[number].name, e.op.epoch, place->fleet.epoch, place->fleet.seq);
		}
		see_op(o, number, &e);
		place->fleet = (struct position){ e.op.epoch, e.op.seq };
		place_add(place);
	}
}

/* It took back what it had beyond that. */
static void walk_back(struct oracle *o, uint32_t number, struct position to)
{
	struct place *p = &o->places[number];

	trace("%s walks back from (%" PRIu64 ",%" PRIu64 ") to (%" PRIu64 ",%" PRIu64 ")", o->sites[number].name, p->fleet.epoch,
	      p->fleet.seq, to.epoch, to.seq);
	if (!o->sites[number].failover)
		violation("order", "%s goes back by itself", o->sites[number].name);
	for (uint32_t i = 0; i < o->ack_count; i++) {
		const struct acknowledged *a = &o->acks[i];
		const struct known *k = table_find(&o->ops, op_key(a->position));

		if (a->level == ACK_CONFIRMED && !position_is_multi(a->position) && k && (k->has >> number & 1) != 0 &&
		    position_compare(a->position, to) > 0)
			violation("strong", "%s takes back (%" PRIu64 ",%" PRIu64 "), which was confirmed",
				  o->sites[number].name, a->position.epoch, a->position.seq);
	}
	while (p->op_count > 0 && position_compare(p->ops[p->op_count - 1], to) > 0) {
		struct known *k = table_find(&o->ops, op_key(p->ops[--p->op_count]));

		ASSERT(k);
		k->has &= (uint8_t)~(1u << number);
	}
	p->fleet = to;
}

static void read_multi_logs(struct oracle *o, uint32_t number, struct store *s, struct store_txn *t, struct arena *a)
{
	struct place *place = &o->places[number];
	struct position p = { 0 };
	struct oplog_entry e;

	while (next_op(s, t, SCOPE_MULTI, p, a, &e)) {
		struct reached *end = log_of(place, e.op.epoch);

		if (e.op.seq <= end->seq) {
			/* Known up to there. */
			p = (struct position){ end->log, end->seq };
			continue;
		}
		if (e.op.seq != end->seq + 1)
			violation("order", "%s has op %" PRIu64 " of log %" PRIx64 " after %" PRIu64,
				  o->sites[number].name, e.op.seq, e.op.epoch, end->seq);
		see_op(o, number, &e);
		end->seq = e.op.seq;
		p = (struct position){ end->log, end->seq };
	}
}

/* What a damaged disk has is no measure for others; once it is right somewhere, it is mended. */
static void check_damaged(struct oracle *o, uint32_t number, uint64_t key, uint64_t sum)
{
	const struct known *k = table_find(&o->states, key);

	if (k && k->value == sum) {
		o->damaged[number] = DAMAGE_NONE;
		trace("%s is mended", o->sites[number].name);
	}
}

static void check_state(struct oracle *o, uint32_t number, uint64_t key, uint64_t sum, const char *what)
{
	bool known;

	const struct known *k = table_get(&o->states, key, sum, (uint8_t)number, &known);

	if (k->value != sum)
		violation("prefix", "%s at (%" PRIu64 ",%" PRIu64 ") has other rows than %s had there: %s",
			  o->sites[number].name, o->places[number].fleet.epoch, o->places[number].fleet.seq,
			  o->sites[k->site].name, what);
}

static void look_at_rows(struct oracle *o, uint32_t number, struct store *s, struct store_txn *t, bool surely)
{
	const struct place *p = &o->places[number];
	uint64_t fleet = hash64(&p->fleet, sizeof(p->fleet), 2);
	/* Logs without ops yet do not count. */
	uint64_t logs = hash64(p->logs, p->log_count * sizeof(p->logs[0]), 3);
	uint64_t sums[ORACLE_COLLECTIONS];

	if (!surely && fleet % LOOK_AT != 0 && logs % LOOK_AT != 0)
		return;
	content_digest(s, t, sums);
	if (o->damaged[number] == DAMAGE_OF_ONE)
		check_damaged(o, number, fleet, sums[0]);
	else if (surely || fleet % LOOK_AT == 0)
		check_state(o, number, fleet, sums[0], "of one writer");
	if (o->damaged[number] == DAMAGE_OF_MANY)
		check_damaged(o, number, logs, sums[1]);
	else if (surely || logs % LOOK_AT == 0)
		check_state(o, number, logs, sums[1], "of several writers");
}

static void look(struct oracle *o, uint32_t number, struct store *s, bool surely)
{
	CLEANUP(arena_release) struct arena a;
	struct place *place = &o->places[number];
	struct position position;
	struct store_txn *t;
	uint64_t chain;

	arena_init(&a, ARENA_BYTES);
	fiber_hold();
	ASSERT(s->ops->begin(s, false, &t) == ERR_NONE);
	ASSERT(committer_read_place(s, t, &position, &chain) == ERR_NONE);
	if (position_compare(position, place->fleet) < 0)
		walk_back(o, number, position);
	read_fleet_log(o, number, s, t, &a);
	read_multi_logs(o, number, s, t, &a);
	if (position_compare(position, place->fleet) != 0)
		violation("order", "%s is at (%" PRIu64 ",%" PRIu64 ") and its log ends with (%" PRIu64 ",%" PRIu64 ")",
			  o->sites[number].name, position.epoch, position.seq, place->fleet.epoch, place->fleet.seq);
	look_at_rows(o, number, s, t, surely);
	s->ops->abort(t);
	fiber_let_go();
}

void oracle_written(void *ctx, struct store *store)
{
	struct oracle_site *e = ctx;

	look(e->oracle, e->site->number, store, false);
}

void oracle_replaced(struct oracle *o, uint32_t number)
{
	for (uint32_t i = 0; i < o->ops.cap; i++)
		o->ops.items[i].has &= (uint8_t)~(1u << number);
	free(o->places[number].ops);
	o->places[number] = (struct place){ 0 };
	o->damaged[number] = DAMAGE_NONE;
	look(o, number, disk_content(o->sites[number].disk), false);
}

/* --- what was acknowledged --- */

/* Has that disk the op? */
static bool disk_has(const struct oracle *o, uint32_t number, struct position op)
{
	const struct known *k = table_find(&o->ops, op_key(op));

	return k && (k->has >> number & 1) != 0;
}

static bool others_have(const struct oracle *o, uint32_t number, struct position op, bool all)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < NET_REGIONS; i++)
		n += i != number && disk_has(o, i, op);
	return all ? n == NET_REGIONS - 1 : n > 0;
}

/* Which have had the op, or have it. */
static unsigned disks_of(struct oracle *o, struct position p)
{
	bool known;

	return table_get(&o->ops, op_key(p), 0, 0, &known)->disks;
}

void oracle_acknowledged(struct oracle *o, uint32_t number, struct position p, enum ack_level level)
{
	if (!disk_has(o, number, p))
		violation("durable", "%s acknowledges (%" PRIu64 ",%" PRIu64 "), which is not on its disk",
			  o->sites[number].name, p.epoch, p.seq);
	if (level == ACK_CONFIRMED && disks_of(o, p) == 1u << number)
		violation("durable", "%s says that (%" PRIu64 ",%" PRIu64 ") is confirmed, and no other disk ever had it",
			  o->sites[number].name, p.epoch, p.seq);
	if (o->ack_count == o->ack_cap) {
		o->ack_cap = o->ack_cap ? o->ack_cap * 2 : 256;
		o->acks = reallocarray(o->acks, o->ack_cap, sizeof(*o->acks));
		ASSERT(o->acks);
	}
	o->acks[o->ack_count++] = (struct acknowledged){ .position = p, .level = level };
}

void oracle_excuse(struct oracle *o, uint32_t number)
{
	for (uint32_t i = 0; i < o->ack_count; i++)
		if (!others_have(o, number, o->acks[i].position, false))
			o->acks[i].excused = true;
}

bool oracle_in_history(const struct oracle *o, struct position p)
{
	uint32_t first = 0;

	for (uint32_t i = 1; i < NET_REGIONS; i++)
		if (position_compare(o->places[i].fleet, o->places[first].fleet) > 0)
			first = i;
	return disk_has(o, first, p);
}

bool oracle_may_lose(const struct oracle *o, uint32_t number)
{
	for (uint32_t i = 0; i < o->ack_count; i++)
		if (o->acks[i].level == ACK_CONFIRMED && !others_have(o, number, o->acks[i].position, true))
			return false;
	return true;
}

struct position oracle_promised(const struct oracle *o)
{
	struct position p = { 0 };

	for (uint32_t i = 0; i < o->ack_count; i++)
		if (!o->acks[i].excused && !position_is_multi(o->acks[i].position) &&
		    position_compare(o->acks[i].position, p) > 0)
			p = o->acks[i].position;
	return p;
}

struct position oracle_position(const struct oracle *o, uint32_t number)
{
	return o->places[number].fleet;
}

bool oracle_level(const struct oracle *o)
{
	for (uint32_t i = 1; i < NET_REGIONS; i++) {
		const struct place *a = &o->places[0];
		const struct place *b = &o->places[i];

		if (position_compare(a->fleet, b->fleet) != 0 || a->log_count != b->log_count ||
		    memcmp(a->logs, b->logs, a->log_count * sizeof(a->logs[0])) != 0)
			return false;
	}
	return true;
}

/* --- damage --- */

bool oracle_is_whole(const struct oracle *o)
{
	for (uint32_t i = 0; i < NET_REGIONS; i++)
		if (o->damaged[i])
			return false;
	return true;
}

bool oracle_damage(struct oracle *o, uint32_t number, uint64_t random)
{
	struct store *s = disk_content(o->sites[number].disk);
	struct store_txn *t;
	struct fault f = { 0 };

	if (!oracle_is_whole(o))
		return false;
	ASSERT(s->ops->begin(s, true, &t) == ERR_NONE);
	bool multi = random % 2 != 0;
	if (!content_damage(s, t, multi, random / 2)) {
		s->ops->abort(t);
		return false;
	}
	ASSERT(s->ops->commit(t, &f) == ERR_NONE);
	o->damaged[number] = multi ? DAMAGE_OF_MANY : DAMAGE_OF_ONE;
	return true;
}

/* --- the end --- */

/* Somebody took it back, and keeps it. */
static bool is_orphan(const struct oracle *o, struct position p)
{
	bool found = false;

	for (uint32_t i = 0; i < NET_REGIONS && !found; i++) {
		struct store *s = disk_content(o->sites[i].disk);
		struct orphan orphan, last;
		struct store_txn *t;
		enum err err = ERR_NONE;

		ASSERT(s->ops->begin(s, false, &t) == ERR_NONE);
		for (bool any = false; err == ERR_NONE && !found; any = true) {
			CLEANUP(arena_release) struct arena a;

			arena_init(&a, ARENA_BYTES);
			err = orphan_next(s, t, any ? &last : NULL, &a, &orphan);
			found = err == ERR_NONE && position_compare(orphan.id.position, p) == 0;
			/* What it points at goes with the arena; only its place is looked at again. */
			last = orphan;
		}
		s->ops->abort(t);
	}
	return found;
}

static void check_kept(const struct oracle *o)
{
	for (uint32_t i = 0; i < o->ack_count; i++) {
		const struct acknowledged *a = &o->acks[i];

		if (a->excused || disk_has(o, 0, a->position))
			continue;
		if (a->level == ACK_CONFIRMED)
			violation("strong", "the write at (%" PRIu64 ",%" PRIu64 ") was confirmed and is gone",
				  a->position.epoch, a->position.seq);
		if (position_is_multi(a->position) || !is_orphan(o, a->position))
			violation("kept", "the write at (%" PRIu64 ",%" PRIu64 ") was acknowledged and is gone",
				  a->position.epoch, a->position.seq);
	}
}

void oracle_read_point(struct boot *b, uint32_t collection, uint64_t id, struct last_writer_point *ret_point)
{
	const char *name = oracle_collections[collection];
	struct collection *c = catalog_get(b->catalog, (struct str){ name, strlen(name) });
	CLEANUP(arena_release) struct arena a;
	struct record_want want = { .payload = true };
	struct point_id point = { .lo = id };
	struct record r = { 0 };

	arena_init(&a, ARENA_BYTES);
	*ret_point = (struct last_writer_point){ 0 };
	if (!c)
		return;
	struct fault f = { 0 };
	if (collection_retrieve(c, &point, 1, &want, &a, &r, &f) != ERR_NONE)
		violation("converged", "a point cannot be read in %s: %s", b->site->name, fault_text(&f));
	collection_unref(c);
	ret_point->found = r.found;
	for (uint32_t k = 0; r.found && k < ORACLE_KEYS; k++) {
		struct value v;
		struct str key = { oracle_keys[k], strlen(oracle_keys[k]) };

		if (r.payload.data && value_get(r.payload, key, &v))
			ret_point->values[k] = value_int(v);
	}
}

static void check_points(const struct last_writer *w, struct boot *b)
{
	for (uint32_t c = 0; c < ORACLE_COLLECTIONS; c++)
		for (uint64_t id = 0; id < ORACLE_POINTS; id++) {
			struct last_writer_point is, ought = last_writer_point(w, c, id);

			oracle_read_point(b, c, id, &is);
			if (is.found == ought.found &&
			    memcmp(is.values, ought.values, sizeof(is.values)) == 0)
				continue;
			violation("converged",
				  "point %" PRIu64 " of %s in %s: found %d, %" PRId64 ", %" PRId64
				  "; the ops say %d, %" PRId64 ", %" PRId64,
				  id, oracle_collections[c], b->site->name, is.found, is.values[0], is.values[1],
				  ought.found, ought.values[0], ought.values[1]);
		}
}

/* Those that are whole first: they are the measure for the others. */
void oracle_look(struct oracle *o)
{
	for (unsigned damaged = 0; damaged < 2; damaged++)
		for (uint32_t i = 0; i < NET_REGIONS; i++)
			if ((o->damaged[i] != DAMAGE_NONE) == (damaged != 0))
				look(o, i, disk_content(o->sites[i].disk), true);
}

void oracle_conclude(struct oracle *o)
{
	oracle_look(o);
	if (o->sites[0].log_bytes_max == 0)
		last_writer_read(o->writer, disk_content(o->sites[0].disk));
	if (!oracle_is_whole(o))
		violation("whole", "a damaged row was not mended");
	if (!oracle_level(o))
		violation("progress", "the regions do not hold the same logs at the end");
	check_kept(o);
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		struct boot *b = site_enter(&o->sites[i]);

		if (!b)
			violation("progress", "%s is not up at the end", o->sites[i].name);
		check_points(o->writer, b);
		site_leave(b);
	}
}

uint64_t oracle_ops(const struct oracle *o)
{
	return o->ops.count;
}

uint64_t oracle_digest(const struct oracle *o)
{
	return o->digest;
}

/* --- life --- */

struct oracle *oracle_new(struct site *sites)
{
	struct oracle *o = calloc(1, sizeof(*o));

	ASSERT(o);
	o->sites = sites;
	o->writer = last_writer_new();
	for (uint32_t i = 0; i < NET_REGIONS; i++)
		o->ends[i] = (struct oracle_site){ o, &sites[i] };
	return o;
}

void oracle_free(struct oracle *o)
{
	last_writer_free(o->writer);
	free(o->ops.items);
	free(o->states.items);
	free(o->acks);
	for (uint32_t i = 0; i < NET_REGIONS; i++)
		free(o->places[i].ops);
	free(o);
}

struct oracle_site *oracle_site(struct oracle *o, uint32_t number)
{
	return &o->ends[number];
}
