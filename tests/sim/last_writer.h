/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What points must be at the end, said by the ops of a complete log alone, in no order: of each part the newest write
 * stays, unless a newer reset or delete hides it. Knows nothing of rows and merging.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct store;
struct last_writer;

struct last_writer_point {
	bool found;
	int64_t values[2]; /* by the keys of the oracle; 0: has none */
};

struct last_writer *last_writer_new(void);
void last_writer_free(struct last_writer *w);
struct op;
void last_writer_take(struct last_writer *w, const struct op *op);
/* All ops that a disk's logs hold. */
void last_writer_read(struct last_writer *w, struct store *s);
struct last_writer_point last_writer_point(const struct last_writer *w, uint32_t collection, uint64_t id);
