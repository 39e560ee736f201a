/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One lease, of region 1, whose neighbours are played by the test. Stores are their region's id all through.
 */
#pragma once

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "replicator/lease.h"

struct bed {
	struct lease *lease;
	struct lease_options options;
	struct lease_now now;
	struct lease_actions out;
	struct lease_identity others[VOTERS_MAX + 1]; /* by region */
	uint64_t round;
	/* of the last input */
	struct lease_record stored; /* of the last LEASE_PERSIST */
	uint64_t sequence, promise;
	bool storing;
};

static inline struct lease_identity bed_identity(uint8_t region)
{
	struct lease_identity id = { .region = region, .boots = 5, .nonce = 100u + region };

	memset(id.store_id, region, STORE_ID_BYTES);
	return id;
}

/* "DDW": as regions 1, 2, 3. */
static inline struct voter_list bed_list(uint64_t number, const char *roles)
{
	struct voter_list l = { .number = number, .epoch = number > 0 ? 1 : 0 };

	for (; roles[l.count] != '\0'; l.count++) {
		struct voter *v = &l.members[l.count];
		v->region = (uint8_t)(l.count + 1);
		v->data = roles[l.count] == 'D';
		if (number > 0)
			memset(v->store_id, v->region, STORE_ID_BYTES);
	}
	return l;
}

static inline void bed_look(struct bed *b)
{
	for (uint32_t i = 0; i < b->out.count; i++) {
		if (b->out.list[i].kind != LEASE_PERSIST)
			continue;
		b->storing = true;
		b->stored = *b->out.list[i].record;
		b->sequence = b->out.list[i].sequence;
		b->promise = b->out.list[i].epoch;
	}
}

static inline void bed_start(struct bed *b, const struct lease_record *record, const struct lease_here *here)
{
	struct fault f = { 0 };

	b->options.self = bed_identity(1);
	b->options.data = b->options.proposed.members[0].data;
	b->options.config = LEASE_CONFIG_DEFAULT;
	b->options.record = record;
	if (here != NULL)
		b->options.here = *here;
	for (uint8_t i = 1; i <= VOTERS_MAX; i++)
		b->others[i] = bed_identity(i);
	ck_assert_msg(lease_new(&b->options, b->now, &b->lease, &f) == ERR_NONE, "%s", fault_text(&f));
}

/* List 1 is in effect, nothing is promised. Region 1 has applied (0x102, 5). */
static inline void bed_init(struct bed *b, const char *roles)
{
	struct lease_record record = { .list = bed_list(1, roles) };
	struct lease_here here = { .position = { 0x102, 5 }, .epoch = 0x102, .stamp_ms = 1000000 };

	*b = (struct bed){ .now = { 1000000, 5000000 }, .options.proposed = bed_list(0, roles) };
	if (!b->options.proposed.members[0].data)
		here = (struct lease_here){ 0 };
	bed_start(b, &record, &here);
	/* The log binds like a promise: until then nobody is granted anything. */
	b->now.boot_ms += 10000;
	b->now.wall_ms += 10000;
}

static inline void bed_release(struct bed *b)
{
	lease_free(b->lease);
	b->lease = NULL;
}

static inline void bed_pass(struct bed *b, uint64_t ms)
{
	b->now.boot_ms += ms;
	b->now.wall_ms += ms;
}

static inline void bed_tick(struct bed *b)
{
	lease_tick(b->lease, b->now, &b->out);
	bed_look(b);
}

/* The i-th message to the region in the last input's actions; NULL: there are fewer. */
static inline const struct lease_item *bed_sent(const struct bed *b, uint8_t region, enum lease_kind kind)
{
	for (uint32_t i = 0; i < b->out.count; i++)
		if (b->out.list[i].kind == LEASE_SEND && b->out.list[i].region == region && b->out.list[i].item.kind == kind)
			return &b->out.list[i].item;
	return NULL;
}

static inline const struct lease_action *bed_did(const struct bed *b, enum lease_action_kind kind)
{
	for (uint32_t i = 0; i < b->out.count; i++)
		if (b->out.list[i].kind == kind)
			return &b->out.list[i];
	return NULL;
}

/* The same, and there is one. */
static inline struct lease_item bed_reply(const struct bed *b, uint8_t region, enum lease_kind kind)
{
	const struct lease_item *m = bed_sent(b, region, kind);

	if (m == NULL)
		ck_abort_msg("nothing about %s was sent to region %u", lease_kind_name(kind), region);
	return *m;
}
static inline struct lease_action bed_done(const struct bed *b, enum lease_action_kind kind)
{
	const struct lease_action *a = bed_did(b, kind);

	if (a == NULL)
		ck_abort_msg("nothing of kind %d was done", (int)kind);
	return *a;
}

static inline bool bed_told(const struct bed *b, enum lease_event event)
{
	for (uint32_t i = 0; i < b->out.count; i++)
		if (b->out.list[i].kind == LEASE_TELL && b->out.list[i].event == event)
			return true;
	return false;
}

/* What a fit data region with list 1 says by default. */
static inline struct lease_item bed_item(enum lease_kind kind, uint64_t epoch)
{
	return (struct lease_item){
		.kind = kind,
		.epoch = epoch,
		.flags = LEASE_ITEM_DATA | LEASE_ITEM_FIT,
		.list_number = 1,
		.position = { 0x102, 5 },
	};
}

static inline void bed_hear(struct bed *b, uint8_t region, struct lease_item m)
{
	lease_receive(b->lease, b->now, &b->others[region], b->now.wall_ms, &m, &b->out);
	bed_look(b);
}

/* A request; the answer to it, or -1 when there is none yet. */
static inline int bed_ask_item(struct bed *b, uint8_t region, struct lease_item m)
{
	m.round = ++b->round;
	bed_hear(b, region, m);
	const struct lease_item *a = bed_sent(b, region, m.kind);
	if (a == NULL || a->answer == LEASE_ANSWER_REQUEST)
		return -1;
	ck_assert_uint_eq(a->round, m.round);
	ck_assert_uint_eq(a->asker, b->others[region].nonce);
	return (int)a->answer;
}
static inline int bed_ask(struct bed *b, uint8_t region, enum lease_kind kind, uint64_t epoch)
{
	return bed_ask_item(b, region, bed_item(kind, epoch));
}

/* An answer to what this lease sent to the region in the last input. */
static inline void bed_answer(struct bed *b, uint8_t region, struct lease_item to, enum lease_answer answer)
{
	struct lease_item m = bed_item(to.kind, to.epoch);

	m.answer = answer;
	m.round = to.round;
	m.asker = b->options.self.nonce;
	bed_hear(b, region, m);
}

static inline void bed_store(struct bed *b, bool ok, struct position position)
{
	ck_assert(b->storing);
	b->storing = false;
	lease_persisted(b->lease, b->now, b->sequence, ok, position, &b->out);
	bed_look(b);
}

/* Lets what nobody waits for be stored, so that it is not in the way. */
static inline void bed_settle(struct bed *b)
{
	for (int i = 0; i < 4; i++) {
		lease_tick(b->lease, b->now, &b->out);
		bed_look(b);
		if (b->storing)
			bed_store(b, true, b->options.here.position);
		bed_pass(b, 1100);
	}
}

/* --- region 1 stands and wins --- */

/* What was asked of that region in the last input, to be answered later. */
static inline struct lease_item bed_asked(const struct bed *b, uint8_t region, enum lease_kind kind)
{
	struct lease_item m = bed_reply(b, region, kind);

	ck_assert_int_eq(m.answer, LEASE_ANSWER_REQUEST);
	return m;
}

/* Up to the promise of the own voter, stored; the others' PROMISE questions are returned for 2 and 3. */
static inline void bed_stand(struct bed *b, struct lease_item *ret_two, struct lease_item *ret_three)
{
	bed_tick(b);
	struct lease_item two = bed_asked(b, 2, LEASE_POLL), three = bed_asked(b, 3, LEASE_POLL);
	bed_answer(b, 2, two, LEASE_ANSWER_YES);
	bed_answer(b, 3, three, LEASE_ANSWER_YES);
	*ret_two = bed_asked(b, 2, LEASE_PROMISE);
	*ret_three = bed_asked(b, 3, LEASE_PROMISE);
	bed_store(b, true, b->options.here.position);
}

/* Up to LEASE_WRITE, in the epoch that is returned. */
static inline uint64_t bed_win(struct bed *b)
{
	struct lease_item two, three;

	bed_stand(b, &two, &three);
	bed_answer(b, 2, two, LEASE_ANSWER_YES);
	bed_answer(b, 3, three, LEASE_ANSWER_YES);
	struct lease_item grant = bed_asked(b, 2, LEASE_GRANT);
	bed_answer(b, 2, grant, LEASE_ANSWER_YES);
	ck_assert_ptr_nonnull(bed_did(b, LEASE_BEGIN));
	struct lease_here here = b->options.here;
	here.position = (struct position){ grant.epoch, 1 };
	here.epoch = grant.epoch;
	lease_set_here(b->lease, b->now, &here, &b->out);
	lease_begun(b->lease, b->now, grant.epoch, true, &b->out);
	bed_look(b);
	ck_assert_ptr_nonnull(bed_did(b, LEASE_WRITE));
	return grant.epoch;
}

static inline bool bed_may_write(const struct bed *b, uint64_t epoch)
{
	struct lease_term t = lease_get_term(b->lease);

	return lease_term_valid(&t, epoch, b->now);
}
