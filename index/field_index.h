/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload index of one key in one shard: which visible rows have which values there. In memory, made
 * anew from the rows at start. It only ever answers what evaluation would: what it cannot answer exactly it
 * does not serve, so results never depend on it.
 *   keyword, uuid, datetime   every string
 *   integer, float            every number, whichever its kind
 *   bool                      true and false
 *   geo, text                 counted only
 * Thread: the shard's lock guards it.
 */
#pragma once

#include "index/collection.h"
#include "index/rowset.h"

struct field_index;

/* Copies the config. ERR_BAD_INPUT when the key is no path. */
MUST_USE enum err field_index_new(const struct field_index_config *config,
				  struct field_index **ret_index, struct fault *reterr_fault);
void field_index_free(struct field_index *f);
const struct field_index_config *field_index_config(const struct field_index *f);

/* A row is removed with the payload that it was added with. No payload (data == NULL) is fine. */
MUST_USE enum err field_index_add(struct field_index *f, uint32_t row, struct value payload);
void field_index_remove(struct field_index *f, uint32_t row, struct value payload);

/* Rows that have a value of the index's type. */
uint64_t field_index_points(const struct field_index *f);
size_t field_index_memory(const struct field_index *f);

/* Can it tell exactly which rows match? */
bool field_index_serves(const struct field_index *f, const struct condition *c);
/* Adds the rows that match a condition which it serves. */
void field_index_rows(const struct field_index *f, const struct condition *c, struct row_bits *out);
