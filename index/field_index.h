/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload index of one key in one shard: which visible rows have which values there. In memory, made
 * anew from the rows at start. It only ever answers what evaluation would, so results never depend on it.
 *   keyword          every string
 *   uuid             every string that is a UUID, as it is written
 *   integer, float   every number, whichever its kind
 *   bool             true and false
 *   datetime         every string that is a moment
 *   geo              every {lon, lat} on the globe
 *   text             the words of every string
 * Thread: the shard's lock guards it.
 */
#pragma once

#include "index/collection.h"
#include "index/rowset.h"
#include "index/words.h"

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

/* Can it tell which rows match, or at least which may? */
enum field_index_service { SERVES_NOT, SERVES_NARROWER, SERVES_EXACTLY };
enum field_index_service field_index_serves(const struct field_index *f, const struct condition *c);
/* Adds the rows that match, or may match, a condition which it serves. */
MUST_USE enum err field_index_rows(const struct field_index *f, const struct condition *c,
				   struct row_bits *out);

/* Of an index of texts of this key: how they fall into words. NULL: it is none. within: in elements of what is found
 * there; or NULL. */
const struct words *field_index_words(const struct field_index *f, const struct path *within,
				      const struct path *key);

/* --- facets --- */

/* By kind, then by value. */
int field_value_compare(const struct field_value *a, const struct field_value *b);
/* Has it values that can be counted? */
bool field_index_has_facets(const struct field_index *f);
typedef enum err (*facet_fn)(void *ctx, const struct field_value *v, uint64_t count);
/* Calls fn for each value with the rows that have it, of all or of those in among, until it returns an error; not for
 * values that none has. Their texts are gone when the index changes. */
MUST_USE enum err field_index_facets(const struct field_index *f, const struct row_bits *among, facet_fn fn, void *ctx);
