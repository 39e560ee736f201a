/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random messages, made from the tables of message.def, for the tests of the codecs. Whatever is
 * made is valid, and in the form that reading gives it (sets sorted, sparse indices ascending), so
 * that bytes can be compared.
 */
#pragma once

#include "gateway/message_kinds.h"

struct message_random {
	uint64_t state; /* a seed other than 0 */
	struct arena *arena;
	unsigned depth; /* of what contains itself */
};

uint64_t random_next(struct message_random *r);
/* 0 to n - 1 */
uint32_t random_below(struct message_random *r, uint32_t n);
/* out is zeroed. params: those of the path and the query too. */
void random_message(struct message_random *r, const struct message *m, bool params, void *out);
