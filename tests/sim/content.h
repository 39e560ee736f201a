/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store holds, as numbers that do not depend on where it lies: for comparing regions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct store;
struct store_txn;

/* ret_sums[0]: the catalog and the rows of collections with one writer; [1]: the rows of those with several. */
void content_digest(struct store *s, struct store_txn *t, uint64_t ret_sums[2]);
/* Changes a row of a collection with one writer, or with several, by that random number; false: there is none to be changed. */
bool content_damage(struct store *s, struct store_txn *t, bool multi, uint64_t random);
