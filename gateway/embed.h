/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to a unit vector of EMBED_DIM dimensions by feature hashing (Weinberger et al., ICML 2009): words, and
 * character n-grams inside them, each add a signed weight to a few hashed dimensions. No model, no training, the same
 * on every machine: enough to search package descriptions in plain words, and honest about being no more.
 *
 * A word is a run of letters, digits or bytes above 127, lower-cased (ASCII); the most common English words are
 * left out. A word adds its field's weight in EMBED_WORD_HASHES places; each of its n-grams of 3 to 5 bytes, taken
 * from the word between '<' and '>', adds EMBED_GRAM_WEIGHT of it, shared among the n-grams, in one place.
 */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

#define EMBED_DIM 384
#define EMBED_WORD_HASHES 4
#define EMBED_GRAM_WEIGHT 0.5f

/* Start with all zeros, add texts with their weights, finish with unit length. */
void embed_add(float v[EMBED_DIM], struct str text, float weight);
void embed_finish(float v[EMBED_DIM]);
