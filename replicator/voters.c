/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A voter list in bytes, part of lease records and lease messages; little-endian.
 *
 *   varint  members, 0 to VOTERS_MAX; 0: no list, and nothing follows
 *   varint  number
 *   varint  epoch
 *   for each member: u8 region, u8 (bit 0: data), 16 bytes of its store's id
 */
#include "replicator/voters.h"

#include <string.h>

#define MEMBER_DATA 1u

uint32_t voters_data(const struct voter_list *l)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->count; i++)
		n += l->members[i].data;
	return n;
}

static bool is_zero(const uint8_t *id)
{
	static const uint8_t zero[STORE_ID_BYTES];

	return memcmp(id, zero, STORE_ID_BYTES) == 0;
}

static enum err check_data(const struct voter_list *l, struct fault *f)
{
	if (voters_data(l) >= voters_majority(l))
		return ERR_NONE;
	return fault_set(f, ERR_CONFIG,
			 "%u of %u voters hold data, but a majority of %u must: ordering strong could never be kept; remove "
			 "witnesses or add data regions",
			 voters_data(l), l->count, voters_majority(l));
}

enum err voters_check(const struct voter_list *l, struct fault *reterr_fault)
{
	if (l->count == 0 || l->count > VOTERS_MAX)
		return fault_set(reterr_fault, ERR_CONFIG, "a voter list has %u members; 1 to %d are possible", l->count,
				 VOTERS_MAX);
	for (uint32_t i = 0; i < l->count; i++) {
		const struct voter *m = &l->members[i];

		if (m->region == 0 || (i > 0 && m->region <= l->members[i - 1].region))
			return fault_set(reterr_fault, ERR_CONFIG,
					 "voter %u of the list is region %u; ids are 1 to 255, each once, ascending", i + 1,
					 m->region);
		if (l->number > 0 && is_zero(m->store_id))
			return fault_set(reterr_fault, ERR_CONFIG, "the store of voter region %u is not known", m->region);
	}
	/* Later lists may come to have fewer, when data regions are taken out (rule 27). */
	if (l->number == 0)
		return check_data(l, reterr_fault);
	if (voters_data(l) == 0)
		return fault_set(reterr_fault, ERR_CONFIG, "none of %u voters holds data: nobody could be the primary", l->count);
	return ERR_NONE;
}

static bool voter_equal(const struct voter *a, const struct voter *b)
{
	return a->region == b->region && a->data == b->data && memcmp(a->store_id, b->store_id, STORE_ID_BYTES) == 0;
}

/* Members of a that are not, exactly so, in b. */
static uint32_t differing(const struct voter_list *a, const struct voter_list *b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->count; i++) {
		const struct voter *other = voters_find(b, a->members[i].region);

		n += other == NULL || !voter_equal(other, &a->members[i]);
	}
	return n;
}

/* The same regions and roles; only the stores, which list 0 cannot know, are new. */
static bool is_list_0_filled_in(const struct voter_list *now, const struct voter_list *next)
{
	if (now->number != 0 || now->count != next->count)
		return false;
	for (uint32_t i = 0; i < now->count; i++)
		if (now->members[i].region != next->members[i].region || now->members[i].data != next->members[i].data)
			return false;
	return true;
}

enum err voters_check_change(const struct voter_list *now, const struct voter_list *next, struct fault *reterr_fault)
{
	enum err err = voters_check(next, reterr_fault);

	if (err != ERR_NONE)
		return err;
	if (next->number != now->number + 1)
		return fault_set(reterr_fault, ERR_CONFIG, "voter list %llu cannot follow list %llu",
				 (unsigned long long)next->number, (unsigned long long)now->number);
	if (is_list_0_filled_in(now, next))
		return ERR_NONE;
	if (now->number == 0)
		return fault_set(reterr_fault, ERR_CONFIG,
				 "the first voter list has the members of the configuration; change it afterwards");
	/* A member with another store is another member: it is taken out and put in again (rule 9). */
	if (differing(now, next) + differing(next, now) != 1)
		return fault_set(reterr_fault, ERR_CONFIG,
				 "a voter list changes by one member at a time: add or remove one, then the next");
	/* Where a data region is lost for good the rest goes on without what needs it. */
	return voters_data(next) < voters_data(now) ? ERR_NONE : check_data(next, reterr_fault);
}

uint32_t voters_majority(const struct voter_list *l)
{
	return l->count / 2 + 1;
}

const struct voter *voters_find(const struct voter_list *l, uint8_t region)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (l->members[i].region == region)
			return &l->members[i];
	return NULL;
}

const struct voter *voters_find_store(const struct voter_list *l, uint8_t region, const uint8_t *store_id)
{
	const struct voter *m = voters_find(l, region);

	if (m == NULL || (!is_zero(m->store_id) && memcmp(m->store_id, store_id, STORE_ID_BYTES) != 0))
		return NULL;
	return m;
}

enum err voters_without(const struct voter_list *l, uint8_t region, struct voter_list *ret_next)
{
	struct voter_list next = { .number = l->number + 1, .epoch = l->epoch };

	for (uint32_t i = 0; i < l->count; i++)
		if (l->members[i].region != region)
			next.members[next.count++] = l->members[i];
	if (next.count == l->count)
		return ERR_NOT_FOUND;
	*ret_next = next;
	return ERR_NONE;
}

enum err voters_with(const struct voter_list *l, const struct voter *more, struct voter_list *ret_next)
{
	struct voter_list next = *l;
	uint32_t at = l->count;

	if (l->count == VOTERS_MAX || voters_find(l, more->region) != NULL)
		return ERR_CONFIG;
	next.number++;
	next.count++;
	for (; at > 0 && next.members[at - 1].region > more->region; at--)
		next.members[at] = next.members[at - 1];
	next.members[at] = *more;
	*ret_next = next;
	return ERR_NONE;
}

bool voters_equal(const struct voter_list *a, const struct voter_list *b)
{
	return a->number == b->number && a->epoch == b->epoch && a->count == b->count && differing(a, b) == 0;
}

void voter_set_add(struct voter_set *s, uint8_t region)
{
	s->bits[region / 64] |= UINT64_C(1) << region % 64;
}

bool voter_set_has(const struct voter_set *s, uint8_t region)
{
	return s->bits[region / 64] >> region % 64 & 1;
}

uint32_t voters_count_in(const struct voter_list *l, const struct voter_set *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->count; i++)
		n += voter_set_has(s, l->members[i].region);
	return n;
}

void voters_put(const struct voter_list *l, struct buf *out)
{
	wire_put_varint(out, l->count);
	if (l->count == 0)
		return;
	wire_put_varint(out, l->number);
	wire_put_varint(out, l->epoch);
	for (uint32_t i = 0; i < l->count; i++) {
		const struct voter *m = &l->members[i];

		wire_put_u8(out, m->region);
		wire_put_u8(out, m->data ? MEMBER_DATA : 0);
		buf_append(out, m->store_id, STORE_ID_BYTES);
	}
}

static void get_member(struct wire_reader *r, struct voter *m)
{
	m->region = wire_u8(r);
	uint8_t flags = wire_u8(r);
	struct bytes id = wire_take(r, STORE_ID_BYTES);

	if (r->err)
		return;
	if (flags & ~MEMBER_DATA)
		wire_fail(r);
	m->data = flags & MEMBER_DATA;
	memcpy(m->store_id, id.data, STORE_ID_BYTES);
}

void voters_get(struct wire_reader *r, struct voter_list *ret_list)
{
	struct voter_list l = { 0 };
	uint64_t count = wire_varint(r);

	if (count > VOTERS_MAX)
		wire_fail(r);
	if (!r->err && count > 0) {
		l.count = (uint32_t)count;
		l.number = wire_varint(r);
		l.epoch = wire_varint(r);
		for (uint32_t i = 0; i < l.count; i++)
			get_member(r, &l.members[i]);
		if (!r->err && voters_check(&l, NULL) != ERR_NONE)
			wire_fail(r);
	}
	if (!r->err)
		*ret_list = l;
}
