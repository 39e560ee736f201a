/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directed runs: a world as any other, to which a script does something certain. The seed chooses which of the things that a
 * script has to try: which message is lost, at which step a process dies. At the end all that must hold in any world must hold.
 */
#pragma once

#include "tests/sim/world.h"

struct scenario {
	const char *name;       /* S14.lost: the scenario of the protocol, and which part */
	unsigned seeds;         /* how many it takes to try all */
	bool elections;         /* regions elect their primary */
	bool clients;           /* others write and read meanwhile */
	unsigned alarms;        /* bits of faults of which the product may speak */
	uint64_t log_bytes_max; /* of the logs; 0: they are kept whole */
	void (*fn)(struct world *w);
	const char *words;
};

uint32_t scenario_count(void);
const struct scenario *scenario_at(uint32_t i);
/* Is this the one, or a part of it: S14 of S14.lost; "all"? */
bool scenario_is(const struct scenario *s, const char *name);
void scenario_run(struct world *w);

#define SCENARIO(name, part, seeds, elections, clients, alarms, log_bytes_max, words) void scenario_##name##_##part(struct world *w);
#include "tests/sim/scenarios.def"
#undef SCENARIO
