/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region of the simulated fleet: its computer, its disk, and the process that runs on it, which is made of the objects of
 * isthmusd: catalog, replicator (committer, publisher, applier) and audit.
 *
 * A process that crashes is dead to the world at that moment: what it writes then stays its own, and nobody hears it. Its
 * fibers find their end meanwhile, as memory has to be given back.
 */
#pragma once

#include "tests/sim/disk.h"
#include "tests/sim/net.h"

struct boot;

struct site {
	uint32_t number;
	const char *name;
	struct machine machine;
	struct disk *disk;
	struct net *net;
	uint64_t audit_ms;      /* how often the primary audits; 0: never */
	uint64_t log_bytes_max; /* beyond it the log is trimmed; 0: never */
	bool failover;          /* regions elect their primary */
	struct boot *boot;      /* the process; NULL: none */
	unsigned boots;
};

/* A process, from its start until all that was its own is given back. */
struct boot {
	struct process process;
	struct site *site;
	struct net_end end;
	struct store *store;
	struct catalog *catalog;
	struct replicator *replicator;
	struct audit *audit;
	bool up;
	bool ending;
	struct fiber_line changed;
	struct fiber *life;
};

extern const char *const site_names[NET_REGIONS];

/* Begins a process; nobody waits for it to be up. */
void site_start(struct site *s);
/* It ends as it should. Waits. */
void site_stop(struct site *s);
/* It dies at this moment. */
void site_crash(struct site *s);
/* Processes that are not given back yet. */
unsigned site_boots_alive(void);

/* The process to do something in, on the caller's fiber: NULL when none is up. It does not end before site_leave. */
struct boot *site_enter(struct site *s);
void site_leave(struct boot *b);

/* Where the process stands; zeros: none is up. */
struct committer_state site_state(struct site *s);
