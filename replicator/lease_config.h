/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The times of a lease, and whether they leave room for clocks that run at different rates. Pure; any thread.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct lease_config {
	uint32_t hold_ms;          /* a holder may write for so long after it asked (HOLD) */
	uint32_t wait_ms;          /* a voter is bound for so long after it granted (WAIT) */
	uint32_t renew_ms;         /* a holder asks so often */
	uint32_t drift_percent;    /* by which any clock's rate may be off, either way */
	uint32_t rank_ms;          /* the second best candidate waits so long, the third twice, ... */
	uint32_t linger_ms;        /* for further answers, once there are enough */
	uint32_t step_ms;          /* for enough answers */
	uint32_t poll_ms;          /* between polls */
	uint32_t max_loss_ms;      /* an automatic promotion may fall so far behind what was there (rule 19) */
	uint32_t clock_offset_ms_max; /* of wall clocks; at 80 % a region may not stand (rule 25) */
};

#define LEASE_CONFIG_DEFAULT                                                                          \
	((struct lease_config){ .hold_ms = 4000,                                                      \
				.wait_ms = 5500,                                                      \
				.renew_ms = 1000,                                                     \
				.drift_percent = 10,                                                  \
				.rank_ms = 300,                                                       \
				.linger_ms = 200,                                                     \
				.step_ms = 1000,                                                      \
				.poll_ms = 250,                                                       \
				.max_loss_ms = 30000,                                                 \
				.clock_offset_ms_max = 500 })

/* For --check: ERR_CONFIG, in words that say which margin is missing. */
MUST_USE enum err lease_config_check(const struct lease_config *c, struct fault *reterr_fault);
/* From the holder's death to the next one's right to write, at worst, when `voters` take part and no message of theirs
 * takes longer than rtt_ms there and back: copying comes on top. */
uint32_t lease_config_failover_ms(const struct lease_config *c, uint32_t voters, uint32_t rtt_ms);
