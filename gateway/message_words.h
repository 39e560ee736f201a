/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client reads of a fault: its words behind the prefix that Qdrant gives the kind of error.
 * One table for both front ends.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"

enum words_for { WORDS_FOR_REST, WORDS_FOR_GRPC };

/* In the arena, or static when that is full. f may be NULL, or of another error: then the sentence
 * of e is meant. Words that begin with the prefix, or say already which part of the request is
 * wrong ("Format error in …"), get none. */
struct str message_words(const struct fault *f, enum err e, enum words_for reader, struct arena *a);

/* The other way: the words of an error in the body of a reply, in the arena; the body itself, trimmed, when it is no such reply. */
struct str message_words_of_reply(struct str body, struct arena *a);
