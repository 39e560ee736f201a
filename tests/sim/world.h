/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run: three regions, the network between them, clients, faults, and the oracle that watches. All of it follows from
 * the seed.
 */
#pragma once

#include "tests/sim/oracle.h"

/* Kinds of faults; a run has some of them, drawn from its seed. */
enum fault_kind {
#define FAULT(name, word) FAULT_##name,
#include "tests/sim/faults.def"
#undef FAULT
	FAULT_KINDS
};
const char *fault_word(enum fault_kind k);

struct scenario;

/* What clocks that are right show at the beginning. */
#define WORLD_WALL_MS UINT64_C(1700000000000)

struct world {
	uint64_t seed;
	const struct scenario *scenario; /* NULL: faults are drawn */
	unsigned faults;             /* bits of enum fault_kind */
	struct random random;        /* of the faults */
	struct site sites[NET_REGIONS];
	struct net *net;
	struct oracle *oracle;
	uint64_t fault_ns;           /* how long faults come */
	uint64_t pause_ns_max;       /* of a client, between one thing and the next */
	bool clients_stop;
	unsigned clients_alive;
	struct fiber_line clients_ended;
	unsigned faults_alive;       /* that have not ended yet */
	struct fiber_line faults_ended;
	int64_t next_value;          /* the next that a client writes */
	bool wall_jumped;            /* some clock was set meanwhile */
	bool damaged;                /* some row was */
	unsigned alarms;             /* bits of faults of which the product may speak */
	unsigned losses;             /* how many disks were replaced: with them goes what clients had seen there alone */
	/* figures */
	uint64_t writes, acknowledged, reads, restarts, switchovers;
};

static inline bool world_has(const struct world *w, enum fault_kind k)
{
	return (w->faults >> k & 1) != 0;
}

struct run_result {
	const struct scenario *scenario;
	uint64_t seed, trace_hash, digest, virtual_ns, ops, switches;
	uint64_t writes, acknowledged, reads, restarts, switchovers;
	unsigned faults;
	char violation[512];
};

/* asked: bits, or UINT_MAX: drawn from the seed. */
unsigned world_faults(uint64_t seed, unsigned asked);
/* The whole life of the world with this seed and these faults; fills in the rest. */
void world_run(struct run_result *r);

/* --- its parts --- */

/* Makes the two collections; returns when all regions have them. */
void clients_prepare(struct world *w);
void clients_start(struct world *w);
/* Who makes and drops a third collection, and payload indexes. */
void operator_start(struct world *w);
void chaos_run(struct world *w);
/* Ends what a scenario or chance has begun, heals what is cut, and starts what is down. */
void chaos_end(struct world *w);
void lag_watch_start(struct world *w);
