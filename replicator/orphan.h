/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The orphan store: ops that this region or another one held and took back, because they lie outside the history. Kept until
 * somebody decides about them; of those that were decided the record stays, without the op, so that the same orphan, offered
 * later by a region that was away, is known. Record format at the top of orphan.c.
 * Thread: the committer writes in its transaction; anybody reads in a read transaction.
 */
#pragma once

#include "replicator/oplog.h"

/* Of those that were decided; beyond it the one with the oldest position is forgotten. */
#define ORPHANS_DECIDED_MAX 10000
#define ORPHAN_ID_TEXT_MAX 64

enum orphan_state {
#define STATE(name, number, word) ORPHAN_##name = (number),
#include "replicator/orphan_state.def"
#undef STATE
	ORPHAN_STATES
};

const char *orphan_state_word(enum orphan_state s);

/* Two ops at one position, of which no region had both, have different running hashes. */
struct orphan_id {
	uint16_t scope;
	struct position position;
	uint64_t chain_hash; /* of its log after it */
};
int orphan_id_compare(const struct orphan_id *a, const struct orphan_id *b);
/* "EPOCH-SEQ", what people say; enough as long as no other op had that position. */
void orphan_id_format(const struct orphan_id *id, char out[ORPHAN_ID_TEXT_MAX]);
/* That, or "EPOCH-SEQ-HASH" with the hash as 16 hexadecimal digits. False: it is neither. */
bool orphan_id_parse(struct str text, struct orphan_id *ret_id, bool *ret_has_hash);

struct orphan {
	struct orphan_id id;
	enum orphan_state state;
	struct position listed;   /* of the op that put it into every region's list; zero: LOCAL */
	struct position decided;  /* of the op that decided; zero: nobody did */
	uint64_t decided_hlc;
	/* what it was */
	enum op_kind kind;
	uint64_t hlc;
	uint8_t region;           /* who wrote it */
	struct incarnation incarnation;
	uint32_t items;           /* points that it names */
	struct str name;          /* CREATE_COLLECTION, ALIAS_*; else empty */
	struct bytes op;          /* wire form; empty once it was decided */
};
/* Fills in what it was. */
void orphan_describe(struct orphan *o, const struct op *op);

/* The record, and back: views of b. ERR_CORRUPT, ERR_VERSION. */
MUST_USE enum err orphan_encode(const struct orphan *o, struct buf *out);
MUST_USE enum err orphan_decode(struct bytes b, const struct orphan_id *id, struct orphan *ret_orphan);

/* In place of what is there of it. */
MUST_USE enum err orphan_put(struct store *s, struct store_txn *t, const struct orphan *o);
/* Copied into the arena. ERR_NOT_FOUND, ERR_CORRUPT, ERR_VERSION. */
MUST_USE enum err orphan_get(struct store *s, struct store_txn *t, const struct orphan_id *id, struct arena *a,
			     struct orphan *ret_orphan);
/* There may be none. */
MUST_USE enum err orphan_remove(struct store *s, struct store_txn *t, const struct orphan_id *id);
/* The one after `after`; NULL: the first. LOCAL ones come first, then OPEN ones, then those that were decided, each by
 * scope, position and hash. As orphan_get. */
MUST_USE enum err orphan_next(struct store *s, struct store_txn *t, const struct orphan *after, struct arena *a,
			      struct orphan *ret_orphan);
/* The first that is LOCAL, is OPEN, or was decided. */
MUST_USE enum err orphan_first(struct store *s, struct store_txn *t, enum orphan_state state, struct arena *a,
			       struct orphan *ret_orphan);
/* The one that people mean. ERR_NOT_FOUND; ERR_BAD_INPUT: it is none, or several are meant. */
MUST_USE enum err orphan_find(struct store *s, struct store_txn *t, struct str text, struct arena *a,
			      struct orphan *ret_orphan, struct fault *reterr_fault);

struct orphan_totals {
	uint64_t count[ORPHAN_STATES];
	uint64_t bytes[ORPHAN_STATES]; /* of their ops */
};
void orphan_totals_add(struct orphan_totals *t, const struct orphan *o);
void orphan_totals_remove(struct orphan_totals *t, const struct orphan *o);
/* Is it the key of one that every region lists the same? */
bool orphan_is_listed(struct bytes key);
MUST_USE enum err orphan_count(struct store *s, struct store_txn *t, struct orphan_totals *ret_totals);
