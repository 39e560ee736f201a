/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a voter may not forget about one scope: its promise (rule 5), the voter list (10), which starts of the others it
 * has seen (9), how far a holder said it was (19). Small; always stored as a whole. Format at the top of lease_record.c.
 * Pure; any thread.
 */
#pragma once

#include "replicator/lease_message.h"

struct lease_seen {
	struct lease_identity identity;
	uint64_t promised; /* the highest epoch that it said it promised; only grows while a store keeps what it was given */
};

struct lease_record {
	uint64_t epoch;             /* the highest promised; 0: none */
	uint8_t holder;             /* to which region */
	uint64_t boots;             /* and which start of it; 0: learnt from its log, not asked by it */
	struct voter_list list;     /* in effect */
	struct voter_list pending;  /* count 0: none */
	struct lease_renewed renewed;
	struct lease_seen seen[VOTERS_MAX + 1];
	uint32_t seen_count;
};

#define LEASE_RECORD_BYTES_MAX (8u << 10)

MUST_USE enum err lease_record_encode(const struct lease_record *r, struct buf *out);
/* ERR_VERSION, ERR_CORRUPT. */
MUST_USE enum err lease_record_decode(struct bytes b, struct lease_record *ret_record, struct fault *reterr_fault);
