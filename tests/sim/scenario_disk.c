/* SPDX-License-Identifier: Apache-2.0 */
/* Disks: put back, lost, damaged, and logs that are trimmed. */
#include <string.h>

#include "base/hash.h"
#include "base/panic.h"
#include "base/wire.h"
#include "tests/sim/script.h"
#include "tests/sim/trace.h"

#define FEW 5
#define POINT 7

static void write_everywhere(struct sender *s)
{
	for (uint32_t i = 0; i < NET_REGIONS; i++) {
		struct script_answer a = { .how = ANSWER_REFUSED };

		for (unsigned tries = 0; tries < 100 && a.how != ANSWER_DONE; tries++) {
			a = script_upsert(s, i, SCRIPT_MANY, i, script_value(s->world), ACK_VISIBLE);
			script_sleep_ms(20);
		}
		script_expect(a.how == ANSWER_DONE, "progress", "%s takes no writes", site_names[i]);
	}
	script_writes(s, FEW);
}

/* --- S2: a disk is put back to an older state --- */

static void put_back(struct world *w, uint32_t region)
{
	struct sender s = script_sender(w);
	struct store *old = disk_copy(w->sites[region].disk);

	write_everywhere(&s);
	script_wait_level(w);
	script_put_back(w, region, old);
	script_start(w, region);
	write_everywhere(&s);
	script_wait_level(w);
}

void scenario_S2_secondary(struct world *w)
{
	struct sender s = script_sender(w);

	write_everywhere(&s);
	put_back(w, 1 + (uint32_t)w->seed % 2);
}

/* One after the other, so that only the primary's disk has seen all of it. */
void scenario_S2_both(struct world *w)
{
	put_back(w, 1);
	put_back(w, 2);
}

/* --- S3: two logs of one epoch that differ --- */

/* The running hash of that disk becomes another, as if it had other ops in its log. */
static void fork_log(struct world *w, uint32_t region)
{
	static const char key[] = "replicator/scope/0";
	enum { CHAIN_AT = 1 + 8 + 8 };
	struct store *store = disk_content(w->sites[region].disk);
	struct bytes k = { (const uint8_t *)key, strlen(key) }, was;
	CLEANUP(buf_release) struct buf record = BUF_INIT(256);
	struct fault f = { 0 };
	struct store_txn *t;

	ASSERT(store->ops->begin(store, true, &t) == ERR_NONE);
	ASSERT(store->ops->get(t, STORE_META, k, &was) == ERR_NONE && was.len > CHAIN_AT + 8 + 8);
	buf_append(&record, was.data, was.len - sizeof(uint64_t));
	record.data[CHAIN_AT] ^= 1;
	wire_put_u64(&record, hash64(record.data, record.len, 0));
	ASSERT(store->ops->put(t, STORE_META, k, buf_bytes(&record)) == ERR_NONE);
	ASSERT(store->ops->commit(t, &f) == ERR_NONE);
}

void scenario_S3_fork(struct world *w)
{
	struct sender s = script_sender(w);
	uint32_t region = 1 + (uint32_t)w->seed % 2;

	script_writes(&s, FEW);
	script_wait_level(w);
	script_crash(w, region);
	struct position stopped = oracle_position(w->oracle, region);
	fork_log(w, region);
	script_start(w, region);
	(void)script_write(&s, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
	script_sleep_ms(3000);
	script_expect(position_compare(oracle_position(w->oracle, region), stopped) == 0, "chain",
		      "%s goes on behind a fork", site_names[region]);
	script_expect(script_state(w, region).applier.stopped, "chain", "%s does not say that its log differs",
		      site_names[region]);
	/* The cure: everything anew. */
	script_wipe(w, region);
	script_start(w, region);
	script_wait_level(w);
}

/* --- S9: a disk is lost --- */

void scenario_S9_alone(struct world *w)
{
	struct sender s = script_sender(w);
	uint32_t region = 1 + (uint32_t)w->seed % 2;

	write_everywhere(&s);
	script_wait_level(w);
	script_wipe(w, region);
	script_start(w, region);
	write_everywhere(&s);
	script_wait_level(w);
}

/* The other secondary is away: all comes from the primary. */
void scenario_S9_other_down(struct world *w)
{
	struct sender s = script_sender(w);
	uint32_t region = 1 + (uint32_t)w->seed % 2, other = 3 - region;

	write_everywhere(&s);
	script_wait_level(w);
	script_crash(w, other);
	script_wipe(w, region);
	script_start(w, region);
	struct position p = script_write(&s, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
	script_wait_for(w, region, p);
	script_start(w, other);
	write_everywhere(&s);
	script_wait_level(w);
}

/* --- S21: trimming --- */

#define LOG_OPS_MIN 150

/* What most regions have may go; of what they have not, nothing does. */
void scenario_S21_trim(struct world *w)
{
	struct sender s = script_sender(w);

	script_writes(&s, 2 * LOG_OPS_MIN);
	script_wait_level(w);
	script_writes(&s, FEW);
	uint64_t held = script_state(w, 0).commit.log_ops;
	script_expect(held < 2 * LOG_OPS_MIN, "log", "%lu ops are held and none was trimmed", (unsigned long)held);
	script_crash(w, 1);
	script_crash(w, 2);
	script_writes(&s, 2 * LOG_OPS_MIN);
	held = script_state(w, 0).commit.log_ops;
	script_expect(held >= 2 * LOG_OPS_MIN, "log", "%lu ops are held of %d that no other region has",
		      (unsigned long)held, 2 * LOG_OPS_MIN);
	script_start(w, 1);
	script_start(w, 2);
	script_wait_level(w);
}

/* --- S26: damage --- */

void scenario_S26_flip(struct world *w)
{
	struct sender s = script_sender(w);
	uint32_t region = (uint32_t)w->seed % NET_REGIONS;

	write_everywhere(&s);
	script_wait_level(w);
	script_crash(w, region);
	/* Not every row has a value to change. */
	for (uint64_t i = w->seed; !oracle_damage(w->oracle, region, i); i += 2)
		script_expect(i < 100, "whole", "there is nothing to damage");
	w->damaged = true;
	script_start(w, region);
	/* At the end of each run deep audits are asked for, and all must be whole. */
}

/* --- S32: what cannot be applied --- */

/* The seed says which commit of a secondary fails. */
void scenario_S32_apply_fails(struct world *w)
{
	struct sender s = script_sender(w);
	uint32_t region = 1 + (uint32_t)w->seed % 2;

	script_wait_level(w);
	disk_faults(w->sites[region].disk)->break_at = 1 + (unsigned)w->seed / 2;
	for (unsigned i = 0; !script_state(w, region).commit.failed; i++) {
		script_expect(i < 100, "durable", "a failed sync is not noticed");
		script_writes(&s, 1);
		script_sleep_ms(100);
	}
	struct position stopped = oracle_position(w->oracle, region);
	(void)script_write(&s, SCRIPT_ONE, POINT, script_value(w), ACK_CONFIRMED);
	script_expect(position_compare(oracle_position(w->oracle, region), stopped) == 0, "order",
		      "%s goes on past what it could not apply", site_names[region]);
	script_crash(w, region);
	script_start(w, region);
	script_wait_level(w);
}
