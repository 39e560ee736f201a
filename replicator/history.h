/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The history of one scope: the chain of (epoch, end) that the newest epoch-start gives, and what follows from
 * it: which op is in, which is an orphan, which number an op has. Pure; persisted by commit.
 */
#pragma once

#include "replicator/change.h"

struct history {
	struct epoch_end *chain;   /* ended epochs, oldest first; ends[i].end >= 1 */
	uint32_t chain_count;
	uint64_t epoch;            /* the open one; 0: no epoch yet */
};

#define HISTORY_EPOCHS_MAX 65536
/* Links that a new epoch-start carries at most; older ones are folded into one link of epoch 0. */
#define HISTORY_EPOCHS_KEPT 4096
#define HISTORY_BYTES_MAX (HISTORY_EPOCHS_MAX * 20u + 64)

void history_init(struct history *h);
void history_release(struct history *h);
/* From an epoch-start that was applied. */
MUST_USE enum err history_set(struct history *h, const struct epoch_end *chain, uint32_t count, uint64_t epoch);

enum history_place { HISTORY_IN, HISTORY_ORPHAN, HISTORY_AHEAD, HISTORY_FORGOTTEN };
/* Where an op lies for a region that stands at `here`. */
enum history_place history_find(const struct history *h, struct position here, struct position op);
/* The last op of that epoch that the history of a region at `here` has: its seq. 0: none; UINT64_MAX: it is forgotten. */
uint64_t history_end(const struct history *h, struct position here, uint64_t epoch);
/* The last position that both histories have, of regions that stand at here_a and here_b; {0,0}: none. ERR_GAP: the links that
 * would tell are forgotten. */
MUST_USE enum err history_common(const struct history *a, struct position here_a, const struct history *b,
				 struct position here_b, struct position *ret_common);
/* Becomes a copy. */
MUST_USE enum err history_copy(struct history *h, const struct history *from);
/* Number of an op over all epochs, from 1, gap-free: what clients see as operation_id and version. */
uint64_t history_number(const struct history *h, struct position p);
/* May an op at p be applied by a region at `here`? ERR_NONE: it is the next. ERR_ALREADY_EXISTS: known. ERR_GAP: others are
 * missing before it. ERR_FORK: not in this history (an orphan). */
MUST_USE enum err history_admits(const struct history *h, struct position here, const struct op *op);

/* The chain for an epoch that begins at `here`, in the arena. */
MUST_USE enum err history_next_chain(const struct history *h, struct position here, struct arena *a,
				     struct epoch_end **ret_chain, uint32_t *ret_count);

MUST_USE enum err history_encode(const struct history *h, struct buf *out);
MUST_USE enum err history_decode(struct bytes b, struct history *ret_history);
