/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One op: what the log keeps, what messages carry, what every region applies. The formats are described at
 * the top of change.c; both carry a version.
 * In the log a dense vector is a reference to its slot; on the wire it is its values. The running hash is
 * always taken over the wire form, so that it is the same in every region.
 */
#pragma once

#include "index/catalog.h"

enum op_kind {
#define OP(name, number, word, class) OP_##name = (number),
#include "replicator/op.def"
#undef OP
};

const char *op_kind_name(enum op_kind k);

#define SCOPE_FLEET 0
/* The collections that every data region writes: one log for each start of each region, joined by merging. */
#define SCOPE_MULTI 1
#define SCOPES_MAX 16
/* One op on the wire; the committer cuts greater requests into several ops. */
#define OP_BYTES_TARGET (128u << 10)
#define OP_BYTES_MAX (768u << 10)

/* A place in a scope's history. */
struct position {
	uint64_t epoch;
	uint64_t seq;
};
int position_compare(struct position a, struct position b);

/* epoch = counter * 256 + region id (protocol: unique even after amnesia). */
static inline uint64_t epoch_make(uint64_t counter, uint8_t region)
{
	return counter << 8 | region;
}
#define EPOCH_JUMP_MAX (1u << 16)

/*
 * In SCOPE_MULTI the id of a log stands where an epoch stands elsewhere: bit 63, the time in milliseconds at which the log
 * was begun, the region. By the time, and not by a count of starts, so that a store that was put back to an older state does
 * not begin a log a second time. Logs of a region are in the order of their ids.
 */
#define MULTI_LOG_BIT (UINT64_C(1) << 63)
static inline uint64_t multi_log_make(uint64_t ms, uint8_t region)
{
	return MULTI_LOG_BIT | ms << 8 | region;
}
static inline bool position_is_multi(struct position p)
{
	return (p.epoch & MULTI_LOG_BIT) != 0;
}
/* The position reached in one log of SCOPE_MULTI. */
struct log_end {
	uint64_t log;
	uint64_t seq;
	bool floor;   /* of the logs that its region wrote before it nothing is kept: all of them are in the rows */
};
/* Of all regions and starts. A log begins with the first write after a start. Beyond the second number old ones are forgotten. */
#define LOGS_MAX 1024
#define LOGS_KEPT 512
/* How many regions a fleet has at most, this one included. */
#define OP_SEEN_MAX 32

/* The newest op of a region that the writer of an op had applied: all before it was seen, too. */
struct op_seen {
	uint8_t region;
	uint64_t hlc;
};

/* One link of the history: the log of epoch ended at seq end. */
struct epoch_end {
	uint64_t epoch;
	uint64_t end;
};

struct op_vector {
	struct str name;
	struct vector vector;   /* values may be NULL in an op read from the log: see slot */
	uint32_t slot;          /* SLOT_NONE in an op from the wire */
};

struct op_point {
	struct point_id id;
	struct op_vector *vectors;
	uint32_t vector_count;
	struct value payload;   /* object, or no value */
};

struct op {
	/* header: every op */
	enum op_kind kind;
	uint16_t scope;
	uint64_t epoch;
	uint64_t seq;
	uint64_t hlc;
	uint8_t region;                  /* who wrote it */
	struct incarnation incarnation;  /* SCHEMA and DATA; for CREATE_COLLECTION: {hlc, region} of this op; ALIASES: zero */
	struct position needs;           /* fleet position that a DATA op of another scope needs; else zero */
	struct op_seen *seen;            /* SCOPE_MULTI: what its writer had seen, by region, its own included */
	uint32_t seen_count;

	/* UPSERT, UPDATE_VECTORS; SET_FIELDS: each with a payload as SET_PAYLOAD's, and no vectors */
	struct op_point *points;
	uint32_t point_count;
	/* DELETE, *_PAYLOAD, DELETE_VECTORS */
	struct point_id *ids;
	uint32_t id_count;
	/* SET_PAYLOAD, OVERWRITE_PAYLOAD: an object. For SET_PAYLOAD a null member removes that key. */
	struct value payload;
	/* DELETE_PAYLOAD: top-level keys; DELETE_VECTORS: vector names */
	struct str *keys;
	uint32_t key_count;
	/* CREATE_COLLECTION: name; UPDATE and CREATE: config */
	struct str name;
	struct collection_config config;
	/* FIELD_INDEX_* (DROP: only the key) */
	struct field_index_config field_index;
	/* ALIASES: what changes, ascending by name */
	struct alias_list aliases;
	/* EPOCH_START: the whole chain before this epoch, oldest first */
	struct epoch_end *chain;
	uint32_t chain_count;
	/* RELEASE: to whom (region id), and the seq that ends this epoch is this op's */
	uint8_t target;
	/* MARK */
	uint64_t mark;
	/* ORPHAN, ORPHAN_APPLY: an op of clients that was taken back, in wire form and read; ORPHAN_DROP: only where it stood.
	 * The running hash of its log after it says which of two ops at one position. */
	struct bytes orphan;
	struct op *inner;
	struct position orphan_at;
	uint64_t orphan_hash;
};

/* What the op does to collections and points: for ORPHAN_APPLY what the orphan did, with its own version. */
static inline const struct op *op_subject(const struct op *op)
{
	return op->kind == OP_ORPHAN_APPLY ? op->inner : op;
}

enum op_form { OP_FORM_WIRE = 1, OP_FORM_LOG = 2 };

/* Wire form needs values in every dense vector, log form a slot. */
MUST_USE enum err op_encode(const struct op *op, enum op_form form, struct buf *out);
/* Checks everything: ERR_CORRUPT, ERR_VERSION. Views point into bytes or the arena. */
MUST_USE enum err op_decode(struct bytes b, enum op_form form, struct arena *a, struct op *ret_op,
			    struct fault *reterr_fault);
/* The running hash after an op whose wire form is b, when the hash before it was prev (0 before the first op of
 * the first epoch; it runs on from one epoch into the next, so that one number stands for all of the history). */
uint64_t op_chain_hash(uint64_t prev, struct bytes wire_form);

/* For DDL and its rows: the config in wire form. */
void collection_config_put(struct buf *b, const struct collection_config *c);
MUST_USE enum err collection_config_get(struct wire_reader *r, struct arena *a, struct collection_config *ret_config);
