/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/lease_config.h"

#define MS_MAX 3600000u
#define DRIFT_PERCENT_MAX 50u

/* The slowest clock's HOLD must end before the fastest clock's WAIT: HOLD / (1 - d) < WAIT / (1 + d). */
static bool outlasts(const struct lease_config *c)
{
	return (uint64_t)c->hold_ms * (100 + c->drift_percent) < (uint64_t)c->wait_ms * (100 - c->drift_percent);
}

static enum err check_bounds(const struct lease_config *c, struct fault *f)
{
	const struct {
		const char *name;
		uint32_t value;
	} rows[] = {
		{ "HOLD", c->hold_ms },
		{ "WAIT", c->wait_ms },
		{ "the renewal interval", c->renew_ms },
		{ "the rank delay", c->rank_ms },
		{ "the time for a step", c->step_ms },
		{ "the poll interval", c->poll_ms },
		{ "the largest clock offset", c->clock_offset_ms_max },
	};

	for (uint32_t i = 0; i < LEN(rows); i++)
		if (rows[i].value == 0 || rows[i].value > MS_MAX)
			return fault_set(f, ERR_CONFIG, "%s of a lease is %u ms; 1 to %u are possible", rows[i].name,
					 rows[i].value, MS_MAX);
	if (c->drift_percent > DRIFT_PERCENT_MAX)
		return fault_set(f, ERR_CONFIG, "a drift of %u %% between clocks is too much; at most %u", c->drift_percent,
				 DRIFT_PERCENT_MAX);
	return ERR_NONE;
}

enum err lease_config_check(const struct lease_config *c, struct fault *reterr_fault)
{
	enum err err = check_bounds(c, reterr_fault);

	if (err != ERR_NONE)
		return err;
	if (!outlasts(c))
		return fault_set(reterr_fault, ERR_CONFIG,
				 "WAIT (%u ms) is too short for HOLD (%u ms): with clocks that are %u %% fast or slow a voter "
				 "could be free before the holder stops; WAIT must be above %llu ms",
				 c->wait_ms, c->hold_ms, c->drift_percent,
				 (unsigned long long)c->hold_ms * (100 + c->drift_percent) / (100 - c->drift_percent));
	if ((uint64_t)c->renew_ms * 3 > c->hold_ms)
		return fault_set(reterr_fault, ERR_CONFIG,
				 "renewing every %u ms leaves no room for two lost renewals within HOLD (%u ms); renew every "
				 "%u ms or more often",
				 c->renew_ms, c->hold_ms, c->hold_ms / 3);
	if (c->linger_ms >= c->step_ms)
		return fault_set(reterr_fault, ERR_CONFIG, "waiting %u ms for further answers must be shorter than a step (%u ms)",
				 c->linger_ms, c->step_ms);
	return ERR_NONE;
}

uint32_t lease_config_failover_ms(const struct lease_config *c, uint32_t voters, uint32_t rtt_ms)
{
	/* The voters' clocks may be slow; the best candidate may be the one that died, so the last in rank may have to go. */
	uint64_t wait = (uint64_t)c->wait_ms * 100 / (100 - c->drift_percent);
	uint64_t ranks = voters > 2 ? (uint64_t)(voters - 2) * c->rank_ms : 0;
	uint64_t steps = 3 * (uint64_t)rtt_ms + 2 * (uint64_t)c->linger_ms + c->poll_ms;
	uint64_t sum = wait + ranks + steps;

	return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}
