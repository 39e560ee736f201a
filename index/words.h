/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the texts of a key fall into words, as a payload index of type text says it: tokenizer, lower case, folding,
 * stop words, stemmer, lengths. This is part of the collection, as the index's definition is in the log: conditions
 * on text mean words where there is such a definition and pieces of text where there is none, whether the index
 * itself is filled yet or not.
 * Immutable; any thread.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

/* Bytes of a word; a longer one is cut there. Of a stop word the same. */
#define WORD_BYTES_MAX 1024
#define WORDS_STOP_MAX 10000

struct words;

/* params: PayloadIndexParams in protobuf, as the client gave them; empty: the defaults.
 * ERR_BAD_INPUT, ERR_NOT_IMPLEMENTED: a language that is not known, not carried. */
MUST_USE enum err words_new(struct bytes params, struct words **ret_words, struct fault *reterr_fault);
void words_free(struct words *w);
/* Are phrases to be found? */
bool words_have_phrases(const struct words *w);

/* A query for a prefix is the prefix, a document has all of its words'. */
enum words_role { WORDS_OF_DOCUMENT, WORDS_OF_QUERY };
/* Calls fn for each word in order, until it returns an error. The word is gone afterwards. */
MUST_USE enum err words_each(const struct words *w, struct str text, enum words_role role,
			     enum err (*fn)(void *ctx, struct str word), void *ctx);

/*
 * Words in a row, each between two bytes that are in no UTF-8, so that a word and a phrase are found as bytes.
 */
#define WORDS_MARK 0xff
/* Appends the words of one more text. */
MUST_USE enum err words_append(const struct words *w, struct str text, enum words_role role, struct buf *row);
/* Of a query's row in a document's. A row without words is in none. */
bool words_all_in(const struct buf *query, const struct buf *document);
bool words_any_in(const struct buf *query, const struct buf *document);
bool words_phrase_in(const struct buf *query, const struct buf *document);
