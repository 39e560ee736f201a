/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/audit_vote.h"

#include <stdlib.h>

#include "base/panic.h"
#include "replicator/merge.h"

#define DIFFERENCES_CAP_MIN 16u

static const char *const class_words[AUDIT_CLASS_COUNT] = { "missing", "extra", "stale", "corrupt", "tree" };

const char *audit_class_word(enum audit_class c)
{
	ASSERT(c < AUDIT_CLASS_COUNT);
	return class_words[c];
}

bool merkle_leaf_equal(const struct merkle_leaf *a, const struct merkle_leaf *b)
{
	return a->lo == b->lo && a->hi == b->hi && a->count == b->count;
}

uint32_t audit_vote_leaf(const struct merkle_leaf *leaves, uint32_t count, uint32_t majority)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t votes = 0;
		for (uint32_t k = 0; k < count; k++)
			votes += merkle_leaf_equal(&leaves[i], &leaves[k]);
		if (votes >= majority)
			return i;
	}
	return AUDIT_NOBODY;
}

/* --- rows --- */

/* One id in all lists; NULL where it is not. */
struct ballot {
	struct point_id id;
	const struct audit_entry *entries[AUDIT_REGIONS_MAX];
	uint32_t count;
};

struct counting {
	const struct audit_list *lists;
	uint32_t majority;
	uint64_t number_min;
	struct arena *arena;
	uint32_t cap;
	struct audit_vote vote;
};

static bool hash_equal(struct hash128 a, struct hash128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

/* A damaged entry agrees with nothing. */
static bool agree(const struct audit_entry *a, const struct audit_entry *b)
{
	if (!a || !b)
		return !a && !b;
	return !a->damaged && !b->damaged && hash_equal(a->digest, b->digest);
}

static bool all_agree(const struct ballot *b)
{
	for (uint32_t i = 0; i < b->count; i++)
		if (!agree(b->entries[0], b->entries[i]))
			return false;
	return true;
}

static bool is_unsure(const struct counting *c, const struct ballot *b)
{
	for (uint32_t i = 0; i < b->count; i++)
		if (b->entries[i] && !b->entries[i]->damaged && b->entries[i]->number > c->number_min)
			return true;
	return false;
}

static uint32_t find_right(const struct counting *c, const struct ballot *b)
{
	for (uint32_t i = 0; i < b->count; i++) {
		uint32_t votes = 0;
		for (uint32_t k = 0; k < b->count; k++)
			votes += agree(b->entries[i], b->entries[k]);
		if (votes >= c->majority)
			return i;
	}
	return AUDIT_NOBODY;
}

static enum audit_class classify(const struct audit_entry *wrong, const struct audit_entry *right)
{
	if (!right)
		return AUDIT_EXTRA;
	if (!wrong)
		return AUDIT_MISSING;
	if (!wrong->damaged && stamp_compare(wrong->stamp, right->stamp) < 0)
		return AUDIT_STALE;
	return AUDIT_CORRUPT;
}

static enum err add(struct counting *c, const struct audit_difference *d)
{
	if (c->vote.count == c->cap) {
		uint32_t cap = MAX(c->cap * 2, DIFFERENCES_CAP_MIN);
		struct audit_difference *more = arena_array(c->arena, cap, sizeof(*more));
		if (!more)
			return ERR_NO_MEMORY;
		for (uint32_t i = 0; i < c->vote.count; i++)
			more[i] = c->vote.differences[i];
		c->vote.differences = more;
		c->cap = cap;
	}
	c->vote.differences[c->vote.count++] = *d;
	return ERR_NONE;
}

/* No majority: told once, of the first region that does not agree with the one before it. */
static enum err add_undecided(struct counting *c, const struct ballot *b)
{
	struct audit_difference d = { .id = b->id, .right = AUDIT_NOBODY, .class = AUDIT_CORRUPT };

	for (d.region = 1; d.region < b->count && agree(b->entries[d.region - 1], b->entries[d.region]);)
		d.region++;
	if (d.region == b->count)
		d.region = 0; /* of one region, which is damaged */
	if (!b->entries[d.region])
		d.class = AUDIT_MISSING;
	return add(c, &d);
}

static enum err count_ballot(struct counting *c, const struct ballot *b)
{
	if (all_agree(b))
		return ERR_NONE;
	if (is_unsure(c, b)) {
		c->vote.unsure++;
		return ERR_NONE;
	}
	uint32_t right = find_right(c, b);
	if (right == AUDIT_NOBODY)
		return add_undecided(c, b);
	const struct audit_entry *r = b->entries[right];
	for (uint32_t i = 0; i < b->count; i++) {
		if (agree(b->entries[i], r))
			continue;
		struct audit_difference d = { .id = b->id,
					      .region = i,
					      .right = right,
					      .right_present = r != NULL,
					      .class = classify(b->entries[i], r) };
		if (r)
			d.right_digest = r->digest;
		enum err err = add(c, &d);
		if (err)
			return err;
	}
	return ERR_NONE;
}

/* The least id that any list has next; false at the end of all. */
static bool next_ballot(const struct audit_list *lists, uint32_t *at, struct ballot *b)
{
	bool any = false;

	for (uint32_t i = 0; i < b->count; i++) {
		if (at[i] == lists[i].count)
			continue;
		struct point_id id = lists[i].entries[at[i]].id;
		if (!any || point_id_compare(id, b->id) < 0)
			b->id = id;
		any = true;
	}
	for (uint32_t i = 0; any && i < b->count; i++) {
		bool has = at[i] < lists[i].count && point_id_equal(lists[i].entries[at[i]].id, b->id);
		b->entries[i] = has ? &lists[i].entries[at[i]++] : NULL;
	}
	return any;
}

enum err audit_vote(const struct audit_list *lists, uint32_t count, uint32_t majority, struct arena *a,
		    struct audit_vote *ret_vote)
{
	struct counting c = { .lists = lists, .majority = majority, .number_min = UINT64_MAX, .arena = a };
	uint32_t at[AUDIT_REGIONS_MAX] = { 0 };
	struct ballot b = { .count = count };

	ASSERT(count > 0 && count <= AUDIT_REGIONS_MAX);
	for (uint32_t i = 0; i < count; i++)
		c.number_min = MIN(c.number_min, lists[i].number);
	while (next_ballot(lists, at, &b)) {
		enum err err = count_ballot(&c, &b);
		if (err)
			return err;
	}
	*ret_vote = c.vote;
	return ERR_NONE;
}
