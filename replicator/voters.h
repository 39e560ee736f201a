/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The voter list of one scope (protocol rule 10). It is data, kept by every voter: the configuration only proposes.
 * A list has a number; each follows the one before it by one member more, less or with another store. It is pending
 * until a majority of the old and of the new list have stored it; while it is, everything needs both majorities.
 * Two holders may propose a list of one number: the one of the greater epoch counts, and a holder that finds a
 * pending list proposes that very list again before any other.
 *
 * List 0 comes from the configuration and knows no stores: whoever stands in it is taken for what it says. The first
 * holder writes the stores that it found into list 1. Pure; any thread.
 */
#pragma once

#include <stdbool.h>

#include "base/wire.h"

#define VOTERS_MAX 32
#define STORE_ID_BYTES 16

struct voter {
	uint8_t region;                   /* id, 1 to 255 */
	bool data;                        /* else a witness: votes, holds nothing, acknowledges nothing (rule 7) */
	uint8_t store_id[STORE_ID_BYTES]; /* zero only in list 0 */
};

struct voter_list {
	uint64_t number;
	uint64_t epoch; /* of the holder that proposed it; 0 in list 0 */
	uint32_t count; /* 0: no list */
	struct voter members[VOTERS_MAX]; /* by region, ascending */
};

/* Members in ascending order; in list 0 not fewer data voters than a majority of all (rule 7), in others one at least. */
MUST_USE enum err voters_check(const struct voter_list *l, struct fault *reterr_fault);
/* May `next` follow `now`? It differs in one member; stores of list 0 are learnt all at once. Fewer data voters than a majority
 * come about only by taking one of them out: then `strong` has to wait until another one is put in (rule 27). */
MUST_USE enum err voters_check_change(const struct voter_list *now, const struct voter_list *next,
				      struct fault *reterr_fault);

/* M = V/2 + 1. */
uint32_t voters_majority(const struct voter_list *l);
uint32_t voters_data(const struct voter_list *l);
const struct voter *voters_find(const struct voter_list *l, uint8_t region);
/* The same region with the same store. */
const struct voter *voters_find_store(const struct voter_list *l, uint8_t region, const uint8_t *store_id);
/* The next list: without the region, or with one more member; voters_check_change is still to be asked. ERR_NOT_FOUND: it is not
 * in it; ERR_CONFIG: it is already, or the list is full. */
MUST_USE enum err voters_without(const struct voter_list *l, uint8_t region, struct voter_list *ret_next);
MUST_USE enum err voters_with(const struct voter_list *l, const struct voter *more, struct voter_list *ret_next);
bool voters_equal(const struct voter_list *a, const struct voter_list *b);

/* A set of regions, by id. */
struct voter_set {
	uint64_t bits[4];
};
void voter_set_add(struct voter_set *s, uint8_t region);
bool voter_set_has(const struct voter_set *s, uint8_t region);
/* How many members of the list are in the set. */
uint32_t voters_count_in(const struct voter_list *l, const struct voter_set *s);

/* Appended to out, and read again: voters_check holds for what was read. ERR_CORRUPT. */
void voters_put(const struct voter_list *l, struct buf *out);
void voters_get(struct wire_reader *r, struct voter_list *ret_list);
