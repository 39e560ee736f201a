/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operator's order to another region to stand for primary, and what came of it so far. It is given again and again until
 * somebody is the primary: an order that is not repeated lapses. Formats at the top of stand.c. Pure; any thread.
 */
#pragma once

#include "replicator/lease.h"

#define STAND_BYTES_MAX 1024
#define STAND_FOR_MS_MAX 60000

struct stand_order {
	uint64_t fleet;
	uint32_t for_ms;
	bool accept_loss;
	bool hold_back;          /* not to stand: another region is to */
};

struct stand_state {
	uint64_t fleet;
	uint64_t epoch;          /* that it writes in; 0: it does not write */
	bool can;                /* it may become the primary; else the words say why not */
	uint32_t voters;
	uint32_t answering;      /* of those, it among them */
	struct lease_loss loss;
	bool loss_refused;       /* greater than is allowed, and not accepted */
	char words[FAULT_TEXT_MAX]; /* what it waits for */
};

MUST_USE enum err stand_order_encode(const struct stand_order *o, struct buf *out);
/* ERR_VERSION, ERR_CORRUPT. */
MUST_USE enum err stand_order_decode(struct bytes b, struct stand_order *ret_order, struct fault *reterr_fault);
MUST_USE enum err stand_state_encode(const struct stand_state *s, struct buf *out);
MUST_USE enum err stand_state_decode(struct bytes b, struct stand_state *ret_state, struct fault *reterr_fault);
