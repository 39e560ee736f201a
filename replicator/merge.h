/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging, a pure function: (stored row or none, op, the point in it) -> the row to store. Commutative,
 * associative, idempotent; ties are broken by the data (a delete wins, else the greater content hash; equal
 * in all: nothing changes). Last writer wins per named vector and per top-level payload key; upsert and
 * overwrite are resets; partial updates never create (without an upsert they leave a latent row).
 * No I/O, no clock, no allocation but the arena.
 */
#pragma once

#include "replicator/change.h"

/* (epoch, HLC, region): the order of versions; the content hash breaks ties inside merge. */
int stamp_compare(struct stamp a, struct stamp b);
struct stamp op_stamp(const struct op *op);

/* What merging did, for the conflict log. */
enum merge_result {
	MERGE_UNCHANGED,   /* the op was known, or lost in everything it touched */
	MERGE_APPLIED
};

/* A part of a row that lost against another although neither writer had seen the other. */
struct merge_loss {
	struct str field;            /* "" whole point, "vector:NAME" or "payload:KEY", in the arena */
	struct stamp winner, loser;
	struct value loser_value;    /* payload keys only */
	const char *reason;          /* "lww", "tie", "delete" */
};
struct merge_losses {
	struct merge_loss *items;    /* in the arena; NULL: do not collect */
	uint32_t count, cap;
};

/*
 * Applies item `at` of the op (of op->points or op->ids) to *row. stored == NULL: there is no row yet. *ret_row may share
 * memory with stored, op and arena. Vectors that stay keep their slots; new ones have SLOT_NONE.
 */
MUST_USE enum err merge_apply(const struct row *stored, const struct op *op, uint32_t at, struct arena *a,
			      struct row *ret_row, enum merge_result *ret_result, struct merge_losses *losses);
