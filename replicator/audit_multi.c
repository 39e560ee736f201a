/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collections that every region writes have no position at which all regions stand: each is at other ends of the logs, and
 * while there are writes, some leaves differ whenever one looks. So trees are a hint here, and rows decide (protocol: 37).
 *
 *   1. Leaves that differ at the mark are looked at again, in copies made for that. A write that is on its way makes another
 *      leaf differ each time, a wrong row always the same.
 *   2. The cutoff is what any region has applied, region by region. Who has not reached it after a while is late.
 *   3. Rows under the leaves left are listed. One that shows nothing beyond the cutoff, in no region, must be equal in all.
 *      If a region shows something beyond it, nothing is said: look again, with a newer cutoff.
 *
 * What the primary takes for the newest is what regions that answer have; of one that does not, it says that it is late.
 */
#include "replicator/audit_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define NS_PER_MS UINT64_C(1000000)
/* Looks at leaves that differ, and the pause before each: ops on their way arrive. */
#define NARROW_LOOKS 4
#define NARROW_PAUSE_MS 100
/* Leaves whose rows are listed; where more still differ, the rest is for other audits. */
#define MULTI_LEAVES_MAX 1024u
#define CUTOFF_LOOK_MS 20

bool audit_is_multi(const struct audit_round *r, struct incarnation incarnation, uint32_t shard)
{
	const struct marked_shard *s = marked_find(r->marked, incarnation, shard);

	return s && s->multi;
}

/* --- who takes part --- */

static bool takes_part(const struct audit_round *r, uint32_t i)
{
	return r->members[i].reached && !r->members[i].behind;
}

static const char *name_of(const struct audit_round *r, uint8_t id)
{
	for (uint32_t i = 0; i < r->member_count; i++)
		if (r->members[i].id == id)
			return r->report->regions[i].name;
	return "that is no more";
}

/* missing: what it waits for; NULL: it does not answer. */
static void set_behind(struct audit_round *r, uint32_t i, const struct op_seen *missing)
{
	struct audit_report *report = r->report;

	r->members[i].behind = true;
	if (report->regions[i].standing == AUDIT_EQUAL)
		report->regions[i].standing = AUDIT_LATE;
	if (missing)
		(void)snprintf(report->trouble, sizeof(report->trouble),
			       "region %s has not applied all that others have of the log of region %s",
			       report->regions[i].name, name_of(r, missing->region));
	else
		(void)snprintf(report->trouble, sizeof(report->trouble), "region %s does not answer any more",
			       report->regions[i].name);
}

/* --- looking again --- */

/* Moves the suspects of several writers into a list of their own, in order. */
static enum err take_multi(struct audit_round *r, struct audit_suspect **ret_taken, uint32_t *ret_count)
{
	struct audit_suspect *taken = calloc((size_t)r->suspect_count + 1, sizeof(*taken));
	uint32_t kept = 0;
	uint32_t count = 0;

	if (!taken)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < r->suspect_count; i++) {
		if (r->suspects[i].multi)
			taken[count++] = r->suspects[i];
		else
			r->suspects[kept++] = r->suspects[i];
	}
	r->suspect_count = kept;
	if (count > 1)
		qsort(taken, count, sizeof(*taken), audit_suspect_compare);
	*ret_taken = taken;
	*ret_count = count;
	return ERR_NONE;
}

static bool concerns(const struct audit_root *shard, const struct audit_suspect *taken, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (taken[i].shard == shard->shard &&
		    incarnation_compare(taken[i].incarnation, shard->incarnation) == 0)
			return true;
	return false;
}

static enum err compare_copy(struct audit_round *r, const struct audit_root *shard, const struct audit_reply *copies)
{
	uint32_t members[AUDIT_REGIONS_MAX];
	uint32_t count = 0;
	bool equal = true;

	for (uint32_t i = 0; i < r->member_count; i++) {
		if (!takes_part(r, i))
			continue;
		const struct audit_root *root = audit_root_find(&copies[i], shard);
		/* Dropped meanwhile there. */
		if (!root || root->bits != shard->bits)
			return ERR_NONE;
		equal &= root->root.lo == shard->root.lo && root->root.hi == shard->root.hi;
		members[count++] = i;
	}
	return equal || count < 2 ? ERR_NONE : audit_round_descend(r, shard, members, count);
}

/* The trees of all regions now: what differs of the shards of `taken` becomes suspect. */
static enum err look(struct audit_round *r, const struct audit_suspect *taken, uint32_t count)
{
	struct audit_reply *copies = arena_array(&r->arena, r->member_count, sizeof(*copies));
	const struct audit_reply *first = NULL;
	enum err err = ERR_NONE;

	if (!copies)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < r->member_count; i++) {
		struct audit_request q = { .kind = AUDIT_COPY };
		if (!takes_part(r, i))
			continue;
		if (audit_round_ask(r, i, &q, &r->arena, &copies[i], NULL))
			set_behind(r, i, NULL);
		else if (!first)
			first = &copies[i];
	}
	for (uint32_t k = 0; first && !err && k < first->root_count; k++)
		if (concerns(&first->roots[k], taken, count))
			err = compare_copy(r, &first->roots[k], copies);
	return err;
}

/* Of the suspects from `from` on, those that are in the list, too. */
static void intersect(struct audit_round *r, uint32_t from, const struct audit_suspect *taken, uint32_t count)
{
	uint32_t kept = from;

	for (uint32_t i = from; i < r->suspect_count; i++) {
		const struct audit_suspect *before = bsearch(&r->suspects[i], taken, count, sizeof(*taken),
							     audit_suspect_compare);
		if (!before)
			continue;
		r->suspects[kept] = r->suspects[i];
		r->suspects[kept++].trees |= before->trees;
	}
	r->suspect_count = kept;
}

/* Beginning elsewhere at each audit, so that no leaf is left out of all of them. */
static void bound(struct audit_round *r, uint32_t from)
{
	uint32_t count = r->suspect_count - from;
	uint32_t first = count > 0 ? (uint32_t)(r->mark % count) : 0;

	if (count <= MULTI_LEAVES_MAX)
		return;
	struct audit_suspect *chosen = arena_array(&r->arena, MULTI_LEAVES_MAX, sizeof(*chosen));
	uint32_t n = chosen ? MULTI_LEAVES_MAX : 0;
	for (uint32_t i = 0; i < n; i++)
		chosen[i] = r->suspects[from + (first + i) % count];
	if (n > 0)
		memcpy(&r->suspects[from], chosen, n * sizeof(*chosen));
	r->suspect_count = from + n;
	r->report->unsure += count - n;
}

enum err audit_multi_narrow(struct audit_round *r)
{
	uint64_t mark = r->mark;
	enum err err = ERR_NONE;
	uint32_t count = 1;

	for (unsigned i = 0; i < NARROW_LOOKS && count > 0 && !err; i++) {
		struct audit_suspect *taken;
		err = take_multi(r, &taken, &count);
		if (err)
			break;
		uint32_t from = r->suspect_count;
		if (count > 0 && audit_wait(r->a, NARROW_PAUSE_MS)) {
			/* Copies are known by numbers that no mark has. */
			r->mark = ++r->a->mark;
			err = look(r, taken, count);
			intersect(r, from, taken, count);
			r->mark = mark;
		}
		if (i + 1 == NARROW_LOOKS)
			bound(r, from);
		free(taken);
	}
	return err;
}

/* --- the cutoff --- */

static enum err newest(struct audit_round *r, struct cutoff *ret_cutoff)
{
	struct audit_reply reply;

	*ret_cutoff = (struct cutoff){ .count = 0 };
	for (uint32_t i = 0; i < r->member_count; i++) {
		CLEANUP(arena_release) struct arena a;
		struct audit_request q = { .kind = AUDIT_SEEN };
		arena_init(&a, AUDIT_ARENA_BYTES_MAX);
		if (!takes_part(r, i))
			continue;
		if (audit_round_ask(r, i, &q, &a, &reply, NULL)) {
			set_behind(r, i, NULL);
			continue;
		}
		enum err err = cutoff_join(ret_cutoff, &reply.seen);
		if (err)
			return fault_set(r->fault, err, "the logs of all regions: %s", err_sentence(err));
	}
	return ERR_NONE;
}

/* Has it all that counts? What it lacks, when it says so. */
static bool has_reached(struct audit_round *r, uint32_t i, const struct cutoff *c, bool *ret_silent,
			struct op_seen *ret_missing)
{
	CLEANUP(arena_release) struct arena a;
	struct audit_request q = { .kind = AUDIT_SEEN };
	struct audit_reply reply;

	arena_init(&a, AUDIT_ARENA_BYTES_MAX);
	*ret_silent = audit_round_ask(r, i, &q, &a, &reply, NULL) != ERR_NONE;
	if (*ret_silent)
		return false;
	const struct op_seen *missing = cutoff_missing(&reply.seen, c);
	if (missing)
		*ret_missing = *missing;
	return !missing;
}

static void wait_for(struct audit_round *r, uint32_t i, const struct cutoff *c)
{
	struct clock *clock = r->a->o.clock;
	uint64_t begun_ns = clock_mono_ns(clock);
	uint64_t heard_ns = begun_ns;
	struct op_seen missing = { 0 };
	bool silent;

	while (!has_reached(r, i, c, &silent, &missing)) {
		uint64_t now_ns = clock_mono_ns(clock);
		if (!silent)
			heard_ns = now_ns;
		if (now_ns - begun_ns < audit_late_ms(r->a) * NS_PER_MS &&
		    now_ns - heard_ns < AUDIT_SILENT_MS * NS_PER_MS && audit_wait(r->a, CUTOFF_LOOK_MS))
			continue;
		set_behind(r, i, silent ? NULL : &missing);
		return;
	}
}

enum err audit_multi_cutoff(struct audit_round *r, struct cutoff *ret_cutoff)
{
	enum err err = newest(r, ret_cutoff);

	for (uint32_t i = 0; i < r->member_count && !err; i++)
		if (takes_part(r, i))
			wait_for(r, i, ret_cutoff);
	return err;
}
