/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions that elect their primary, whole and with their threads (fleet.h), for tests of what operators do.
 */
#pragma once

#include "tests/replicator/fleet.h"

static struct fleet fleet;

static inline void tear_down(void)
{
	fleet_free(&fleet);
}

static inline struct region *region(uint32_t number)
{
	return &fleet.regions[number].r;
}

static inline struct replicator *replicator(uint32_t number)
{
	return fleet.regions[number].replicator;
}

static inline uint64_t list_number(uint32_t number)
{
	struct lease_run_state s = { 0 };

	(void)replicator_lease_state(replicator(number), &s);
	return s.voters.number;
}

static inline bool has_list_one(struct fleet *f, uint64_t number)
{
	(void)f;
	return list_number((uint32_t)number) >= 1;
}

static inline bool one_writes(struct fleet *f, uint64_t except)
{
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		if (i != except && f->regions[i].up && fleet_writes(f, i))
			return true;
	return false;
}

static inline uint32_t writer_of(uint32_t except)
{
	fleet_wait(&fleet, one_writes, except);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		if (i != except && fleet.regions[i].up && fleet_writes(&fleet, i))
			return i;
	ck_abort_msg("the one that wrote does not any more");
	return 0;
}

/* All up, with an elected primary, whose number it returns, the stores of all in the voter list, and the collection "c". */
static inline uint32_t begin_with(bool streams)
{
	fleet_new(&fleet);
	fleet.failover = true;
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		fleet.regions[i].no_stream = !streams;
		fleet_start(&fleet, i);
	}
	uint32_t writer = writer_of(FLEET_REGIONS);
	for (uint32_t i = 0; i < FLEET_REGIONS; i++)
		fleet_wait(&fleet, has_list_one, i);
	fleet_write_well(&fleet, writer, create_of(region(writer), "c", DISTANCE_DOT));
	return writer;
}

static inline uint32_t begin(void)
{
	return begin_with(/* streams: */ true);
}

static inline void cut(uint32_t number, bool yes)
{
	for (uint32_t i = 0; i < FLEET_REGIONS; i++) {
		atomic_store(&fleet.regions[number].cut_log[i], yes);
		atomic_store(&fleet.regions[i].cut_log[number], yes);
		atomic_store(&fleet.regions[number].cut_standing[i], yes);
		atomic_store(&fleet.regions[i].cut_standing[number], yes);
		atomic_store(&fleet.regions[number].cut_lease[i], yes);
		atomic_store(&fleet.regions[i].cut_lease[number], yes);
	}
}

/* How a region stands as another one sees it. */
static inline struct lease_member seen(uint32_t by, uint32_t number)
{
	struct lease_look look;

	ck_assert_int_eq(replicator_voters(replicator(by), &look, NULL), ERR_NONE);
	for (uint32_t i = 0; i < look.count; i++)
		if (look.members[i].region == number + 1)
			return look.members[i];
	ck_abort_msg("region %u is not looked at", number + 1);
}

/* number: who looks * 8 + at whom */
static inline bool is_silent(struct fleet *f, uint64_t number)
{
	(void)f;
	return seen((uint32_t)number / 8, (uint32_t)number % 8).silent;
}
static inline void wait_silent(uint32_t by, uint32_t number)
{
	fleet_wait(&fleet, is_silent, by * 8 + number);
}

static inline bool is_ready(struct fleet *f, uint64_t number)
{
	CLEANUP(buf_release) struct buf why = BUF_INIT(1024);

	return replicator_ready(f->regions[number].replicator, 30, &why);
}

static inline bool is_barred(struct fleet *f, uint64_t number)
{
	CLEANUP(buf_release) struct buf why = BUF_INIT(1024);
	bool ready = replicator_ready(f->regions[number].replicator, 30, &why);

	return !ready && memmem(why.data, why.len, "voter list", 10) != NULL;
}
