/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows: what a region stores for one point, with the stamps that merging compares. A row also stands for
 * a deleted point (tombstone) or for one that partial updates of another region reached before its upsert
 * (latent). The record's format is at the top of row.c.
 * index/ carries the stamps; their order is replicator/merge.h's.
 */
#pragma once

#include "base/hash.h"
#include "index/point.h"
#include "index/slots.h"

/* Who wrote something, and when. All zero: never. */
struct stamp {
	uint64_t epoch;
	uint64_t hlc;
	uint8_t region;
};

static inline bool stamp_is_zero(struct stamp s)
{
	return s.epoch == 0 && s.hlc == 0 && s.region == 0;
}

struct row_vector {
	struct str name;
	struct stamp stamp;
	bool present;            /* false: deleted, the stamp says when */
	uint32_t slot;           /* dense and stored: where; else SLOT_NONE */
	struct vector vector;    /* values point into the slot file, the record or the arena */
	uint64_t hash;           /* vector_hash() of the values; 0 when absent */
};

/* One top-level key of the payload. */
struct row_field {
	struct str key;
	struct stamp stamp;
	bool present;
	struct value value;
};

struct row {
	struct point_id id;
	struct stamp created;        /* of the last upsert */
	struct stamp reset;          /* what is older than this, of any part, is gone */
	struct stamp payload_reset;  /* the same for the payload */
	struct stamp deleted;
	uint64_t op_number;          /* number of the last op that changed it: Qdrant's "version" */
	struct row_vector *vectors;  /* sorted by name */
	uint32_t vector_count;
	struct row_field *fields;    /* sorted by key */
	uint32_t field_count;
	bool visible;                /* derived by the merge: created after the last delete */
};

/* Reads a record; views point into it, arrays into the arena. Dense vectors get their slot and count, not
 * their values (the shard fills those in). */
MUST_USE enum err row_decode(struct bytes record, struct arena *a, struct row *ret_row);
/* The id stands at the beginning, and can often be read where the rest cannot. It need not be the right one then. */
bool row_peek_id(struct bytes record, struct point_id *ret_id);
MUST_USE enum err row_encode(const struct row *r, struct buf *out);

/* The payload as one object value, appended to out. */
MUST_USE enum err row_payload(const struct row *r, struct buf *out);

/* Digest over all that must be equal in every region: incarnation, id, stamps, contents; not the slots. */
struct incarnation {
	uint64_t hlc;
	uint8_t region;
};
struct hash128 row_digest(const struct row *r, struct incarnation incarnation);
