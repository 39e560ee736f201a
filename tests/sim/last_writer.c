/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/last_writer.h"

#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "index/row.h"
#include "replicator/oplog.h"
#include "tests/sim/oracle.h"

#define ARENA_BYTES ((size_t)64 << 20)
#define OPS_AT_ONCE 256

/* The newest write of something. */
struct newest {
	struct stamp stamp;
	bool value_there;
	int64_t value;
};

struct model {
	struct newest upsert, deleted, cleared;
	struct newest values[ORACLE_KEYS];
};

struct last_writer {
	bool made[ORACLE_COLLECTIONS];
	struct incarnation collections[ORACLE_COLLECTIONS];
	struct model points[ORACLE_COLLECTIONS][ORACLE_POINTS];
};

static int compare(struct stamp a, struct stamp b)
{
	if (a.epoch != b.epoch)
		return a.epoch < b.epoch ? -1 : 1;
	if (a.hlc != b.hlc)
		return a.hlc < b.hlc ? -1 : 1;
	return a.region == b.region ? 0 : a.region < b.region ? -1 : 1;
}

static void offer(struct newest *n, struct newest other)
{
	if (compare(other.stamp, n->stamp) > 0)
		*n = other;
}

static void offer_payload(struct model *m, struct value payload, struct stamp stamp)
{
	for (uint32_t k = 0; k < ORACLE_KEYS; k++) {
		struct str key = { oracle_keys[k], strlen(oracle_keys[k]) };
		struct value v;

		if (payload.data && value_get(payload, key, &v))
			offer(&m->values[k], (struct newest){ stamp, true, value_int(v) });
	}
}

static void offer_absence(struct model *m, const struct op *op, struct stamp stamp)
{
	for (uint32_t i = 0; i < op->key_count; i++)
		for (uint32_t k = 0; k < ORACLE_KEYS; k++)
			if (op->keys[i].len == strlen(oracle_keys[k]) &&
			    memcmp(op->keys[i].data, oracle_keys[k], op->keys[i].len) == 0)
				offer(&m->values[k], (struct newest){ .stamp = stamp });
}

static void take_data(struct last_writer *w, uint32_t collection, const struct op *op)
{
	/* In a collection of several writers epochs do not count. */
	struct stamp stamp = { op->scope == SCOPE_FLEET ? op->epoch : 0, op->hlc, op->region };
	struct model *points = w->points[collection];

	for (uint32_t i = 0; i < op->point_count; i++) {
		struct model *m = &points[op->points[i].id.lo];

		ASSERT(op->points[i].id.lo < ORACLE_POINTS);
		offer(&m->upsert, (struct newest){ .stamp = stamp });
		offer_payload(m, op->points[i].payload, stamp);
	}
	for (uint32_t i = 0; i < op->id_count; i++) {
		struct model *m = &points[op->ids[i].lo];

		ASSERT(op->ids[i].lo < ORACLE_POINTS);
		if (op->kind == OP_DELETE)
			offer(&m->deleted, (struct newest){ .stamp = stamp });
		if (op->kind == OP_OVERWRITE_PAYLOAD || op->kind == OP_CLEAR_PAYLOAD)
			offer(&m->cleared, (struct newest){ .stamp = stamp });
		if (op->kind == OP_DELETE_PAYLOAD)
			offer_absence(m, op, stamp);
		offer_payload(m, op->payload, stamp);
	}
}

void last_writer_take(struct last_writer *w, const struct op *op)
{
	for (uint32_t c = 0; c < ORACLE_COLLECTIONS; c++) {
		bool named = op->name.len == strlen(oracle_collections[c]) &&
			     memcmp(op->name.data, oracle_collections[c], op->name.len) == 0;

		if (op->kind == OP_CREATE_COLLECTION && named) {
			w->made[c] = true;
			w->collections[c] = (struct incarnation){ op->hlc, op->region };
		} else if (op->kind >= OP_UPSERT && op->kind != OP_UPDATE_VECTORS && op->kind != OP_DELETE_VECTORS &&
			   w->made[c] && op->incarnation.hlc == w->collections[c].hlc &&
			   op->incarnation.region == w->collections[c].region) {
			take_data(w, c, op);
		}
	}
}

/* Everything after *at; false: that was all. */
static bool take_some(struct last_writer *w, struct store *s, struct store_txn *t, uint16_t scope, struct position *at)
{
	CLEANUP(arena_release) struct arena a;
	struct fault f = { 0 };

	arena_init(&a, ARENA_BYTES);
	for (unsigned i = 0; i < OPS_AT_ONCE; i++) {
		struct oplog_entry e;

		if (oplog_next(s, t, scope, *at, &a, &e, &f) != ERR_NONE)
			return false;
		last_writer_take(w, &e.op);
		*at = (struct position){ e.op.epoch, e.op.seq };
	}
	return true;
}

void last_writer_read(struct last_writer *w, struct store *s)
{
	static const uint16_t scopes[] = { SCOPE_FLEET, SCOPE_MULTI };
	struct store_txn *t;

	ASSERT(s->ops->begin(s, false, &t) == ERR_NONE);
	for (unsigned i = 0; i < LEN(scopes); i++) {
		struct position at = { 0 };

		while (take_some(w, s, t, scopes[i], &at))
			;
	}
	s->ops->abort(t);
}

struct last_writer_point last_writer_point(const struct last_writer *w, uint32_t collection, uint64_t id)
{
	const struct model *m = &w->points[collection][id];
	struct last_writer_point p = { .found = compare(m->upsert.stamp, m->deleted.stamp) > 0 };

	for (uint32_t k = 0; p.found && k < ORACLE_KEYS; k++)
		if (m->values[k].value_there && compare(m->values[k].stamp, m->upsert.stamp) >= 0 &&
		    compare(m->values[k].stamp, m->cleared.stamp) >= 0)
			p.values[k] = m->values[k].value;
	return p;
}

struct last_writer *last_writer_new(void)
{
	struct last_writer *w = calloc(1, sizeof(*w));

	ASSERT(w);
	return w;
}

void last_writer_free(struct last_writer *w)
{
	free(w);
}
