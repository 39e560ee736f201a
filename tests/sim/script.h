/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What scenarios are written with. Regions go by their numbers, 0 to 2; region 0 is the first primary. What is waited for and
 * does not come is a violation of "progress".
 */
#pragma once

#include "tests/sim/job.h"
#include "tests/sim/scenario.h"

#define SCRIPT_ONE 0u  /* oracle_collections: of one writer */
#define SCRIPT_MANY 1u

/* --- clients --- */

struct script_answer {
	enum answer how;
	struct write write;
};
/* A script's own client, which has seen nothing yet. */
struct sender script_sender(struct world *w);
/* Its next value; each is another one. */
int64_t script_value(struct world *w);
/* To that region; what became of it. */
struct script_answer script_try(struct sender *s, uint32_t region, struct job *j, enum ack_level ack);
/* An upsert {n: value}. */
struct script_answer script_upsert(struct sender *s, uint32_t region, uint32_t collection, uint64_t id, int64_t value,
				   enum ack_level ack);
/* The same, tried through whoever writes until it is done at that level, as long as it takes a fleet that is well. */
struct position script_write(struct sender *s, uint32_t collection, uint64_t id, int64_t value, enum ack_level ack);
/* So many writes of the script to points of "s". */
void script_writes(struct sender *s, unsigned count);
/* "n" of the point there, once that region has all that the sender has seen: 0: there is none. */
int64_t script_read(struct sender *s, uint32_t region, uint32_t collection, uint64_t id);
/* What replicator_find_session says there. */
MUST_USE enum err script_find(struct world *w, uint32_t region, const struct session *s, uint64_t wait_ms);
/* A sender that knows what is visible there. */
void script_learn(struct sender *s, uint32_t region);

/* --- regions --- */

void script_crash(struct world *w, uint32_t region);
/* And waits until it is up. */
void script_start(struct world *w, uint32_t region);
/* It dies at its n-th step from now on, unless script_revive comes first, which starts it if it died. */
void script_crash_at(struct world *w, uint32_t region, uint64_t step);
void script_revive(struct world *w, uint32_t region);
/* Its disk, while it is down, becomes an empty one, or what it was. Nothing that only it had may be missed then. */
void script_wipe(struct world *w, uint32_t region);
void script_put_back(struct world *w, uint32_t region, struct store *old);
/* From all others, both ways. */
void script_isolate(struct world *w, uint32_t region, bool cut);
MUST_USE enum err script_switch(struct world *w, uint32_t from, uint32_t to);
/* Who writes now, or will soon. */
uint32_t script_writer(struct world *w);
struct replicator_state script_state(struct world *w, uint32_t region);
/* Until its disk has it. */
void script_wait_for(struct world *w, uint32_t region, struct position p);
/* Until all disks hold the same logs. */
void script_wait_level(struct world *w);
void script_sleep_ms(uint64_t ms);

#define script_expect(holds, rule, ...)                     \
	do {                                                \
		if (!(holds))                               \
			violation((rule), __VA_ARGS__);     \
	} while (0)
