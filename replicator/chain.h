/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a region answers that is asked for its history: the chain of ended epochs, the open one, and where it stands in it. Format at
 * the top of chain.c. Pure; any thread.
 */
#pragma once

#include "replicator/history.h"

#define CHAIN_HEAD_BYTES 60
#define CHAIN_BYTES_MAX (CHAIN_HEAD_BYTES + HISTORY_BYTES_MAX)

struct chain {
	uint64_t fleet;
	uint8_t region;            /* id of who answers */
	struct history history;
	struct position position;  /* in it, of the last op applied; all zero when there is none */
	uint64_t chain_hash;       /* the running hash there */
	uint64_t promised;         /* the greatest epoch that it promised; at least the history's */
};

void chain_release(struct chain *c);
MUST_USE enum err chain_encode(const struct chain *c, struct buf *out);
/* ERR_CORRUPT, ERR_VERSION, ERR_NO_MEMORY. */
MUST_USE enum err chain_decode(struct bytes b, struct chain *ret_chain, struct fault *reterr_fault);
