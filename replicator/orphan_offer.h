/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What regions tell one another about orphans, in bytes: the formats are described at the top of orphan_offer.c.
 * Thread: any.
 */
#pragma once

#include "replicator/commit.h"

/* One message: a few ops, or a single one of any size. */
#define ORPHAN_OFFER_BYTES_TARGET (256u << 10)
#define ORPHAN_OFFER_ITEMS_MAX 256
#define ORPHAN_OFFER_BYTES_MAX (ORPHAN_OFFER_BYTES_TARGET + OP_BYTES_MAX + ORPHAN_OFFER_ITEMS_MAX * 16 + 64)
#define ORPHAN_ANSWER_BYTES_MAX 64

MUST_USE enum err orphan_offer_encode(uint64_t fleet, const struct offered_orphan *items, uint32_t count, struct buf *out);
/* Views of b; items in the arena. ERR_CORRUPT, ERR_VERSION; ERR_FORBIDDEN: of another fleet. */
MUST_USE enum err orphan_offer_decode(struct bytes b, uint64_t fleet, struct arena *a, struct orphan_offer *ret_offer,
				      struct fault *reterr_fault);
/* What was taken over, and the position at which whoever offered will know it. */
MUST_USE enum err orphan_answer_encode(const struct orphan_offer *offer, struct buf *out);
MUST_USE enum err orphan_answer_decode(struct bytes b, uint32_t *ret_listed, struct position *ret_position);
