/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is there: what each region last said of itself, greetings by which regions outside the voter list are found and told
 * of newer lists (protocol rules 9, 10, 27), and what operators do about the list when a majority is lost.
 *
 * A list in effect with a greater number is taken over from anybody, a stranger too: to be in effect it was stored by a
 * majority, or put in place by an operator who vouches for there being none.
 */
#include "replicator/lease_inner.h"

#include <string.h>

/* Whoever was not heard for so many renewals is greeted, and counts as out of reach. */
#define SILENT_RENEWALS 3
/* A list that an operator puts in place has a number far above all that the lost regions may have come to, and each
 * region's own: two that are made apart are never taken for one another. */
#define FORCED_STEP_BITS 20
#define FORCED_REGION_BITS 12
/* The next epoch is above all that they may have begun. */
#define FORCED_EPOCHS 1024

/* --- what was heard --- */

static const struct lease_heard *heard_of(const struct lease *l, uint8_t region)
{
	for (uint32_t i = 0; i < l->heard_count; i++)
		if (l->heard_regions[i].region == region)
			return &l->heard_regions[i];
	return NULL;
}

/* NULL: more regions than a fleet has have spoken. */
static struct lease_heard *heard_add(struct lease *l, uint8_t region)
{
	const struct lease_heard *known = heard_of(l, region);

	if (known != NULL)
		return &l->heard_regions[known - l->heard_regions];
	if (l->heard_count == LEASE_MEMBERS_MAX)
		return NULL;
	struct lease_heard *h = &l->heard_regions[l->heard_count++];
	*h = (struct lease_heard){ .region = region };
	return h;
}

static bool is_listed(const struct lease *l, const struct lease_identity *id)
{
	const struct voter_list *pending = lease_pending(l);

	return voters_find_store(&l->record.list, id->region, id->store_id) != NULL ||
	       (pending != NULL && voters_find_store(pending, id->region, id->store_id) != NULL);
}

static uint64_t silence_ms(const struct lease *l)
{
	return SILENT_RENEWALS * (uint64_t)l->config.renew_ms;
}

static bool is_silent(const struct lease *l, const struct lease_heard *h)
{
	return !h->heard || l->now.boot_ms - h->at_ms >= silence_ms(l);
}

void member_note(struct lease *l, const struct lease_identity *from, const struct lease_item *m)
{
	struct lease_heard *h = heard_add(l, from->region);

	if (h == NULL)
		return;
	bool same = h->heard && memcmp(h->identity.store_id, from->store_id, STORE_ID_BYTES) == 0;
	if (!same && !is_listed(l, from))
		lease_tell(l, LEASE_EVENT_STRANGER, from->region, 0, l->record.list.number);
	h->heard = true;
	h->at_ms = l->now.boot_ms;
	h->identity = *from;
	h->flags = m->flags;
	h->list_number = m->list_number;
	/* In an answer to PROMISE it is of the promise's time. */
	h->position = m->position;
	if (m->kind == LEASE_POLL && m->answer != LEASE_ANSWER_REQUEST) {
		h->said = m->answer;
		h->said_ms = l->now.boot_ms;
		h->bound_ms = m->remaining_ms;
	}
}

void member_judged(struct lease *l, uint8_t region, enum lease_answer who)
{
	struct lease_heard *h = region != l->self.region ? heard_add(l, region) : NULL;

	if (h != NULL)
		h->judged = who;
}

/* --- greetings --- */

bool member_is_listed(const struct lease *l)
{
	return voters_find_store(&l->record.list, l->self.region, l->self.store_id) != NULL;
}

/* Who is greeted, when due: who may not know the list that is known here, and who is silent. Whoever is not in the list
 * greets all: to be seen, and told when it is put in. */
static bool wants_hello(const struct lease *l, const struct lease_heard *h)
{
	return !member_is_listed(l) || is_silent(l, h) || h->list_number < l->record.list.number;
}

static void hello(struct lease *l, struct lease_heard *h)
{
	struct lease_item m = { .kind = LEASE_HELLO };

	h->greeted = true;
	h->hello_ms = l->now.boot_ms;
	if (l->record.list.number > 0 && (!h->heard || h->list_number < l->record.list.number))
		m.list = &l->record.list;
	lease_send(l, h->region, m);
}

/* Those that are known of: by the configuration; to a region outside its list also the members of that. */
static void know_all(struct lease *l)
{
	for (unsigned region = 1; region <= UINT8_MAX; region++)
		if (voter_set_has(&l->known, (uint8_t)region) && region != l->self.region)
			(void)heard_add(l, (uint8_t)region);
	for (uint32_t i = 0; i < l->record.list.count && !member_is_listed(l); i++)
		if (l->record.list.members[i].region != l->self.region)
			(void)heard_add(l, l->record.list.members[i].region);
}

static bool is_known(const struct lease *l, uint8_t region)
{
	return voter_set_has(&l->known, region) ||
	       (!member_is_listed(l) && voters_find(&l->record.list, region) != NULL);
}

static uint64_t hello_due(const struct lease *l, const struct lease_heard *h)
{
	return h->greeted ? h->hello_ms + l->config.renew_ms : 0;
}

void member_tick(struct lease *l)
{
	const struct voter *me = voters_find(&l->record.list, l->self.region);

	/* It stays so until the next start: taken out, it is to be put in again (rule 9). */
	if (me != NULL && !member_is_listed(l))
		l->replaced = true;
	know_all(l);
	for (uint32_t i = 0; i < l->heard_count; i++) {
		struct lease_heard *h = &l->heard_regions[i];

		if (is_known(l, h->region) && wants_hello(l, h) && l->now.boot_ms >= hello_due(l, h))
			hello(l, h);
	}
}

uint64_t member_due(const struct lease *l)
{
	uint64_t due = LEASE_NEVER;

	/* Taken out a moment ago, it does not know yet whom to greet. */
	if (!member_is_listed(l))
		due = l->now.boot_ms + l->config.renew_ms;
	for (uint32_t i = 0; i < l->heard_count; i++) {
		const struct lease_heard *h = &l->heard_regions[i];

		if (is_known(l, h->region))
			due = MIN(due, wants_hello(l, h) ? hello_due(l, h) : h->at_ms + silence_ms(l));
	}
	return due;
}

static void take_newer(struct lease *l, const struct lease_item *m)
{
	if (!lease_is_busy(l) && m->list != NULL && m->list->number > l->record.list.number)
		(void)voter_take_list(l, m, NULL); /* nobody waits for it */
}

void member_hello(struct lease *l, const struct lease_identity *from, const struct lease_item *m, enum lease_answer who)
{
	const struct lease_reply to = {
		.kind = LEASE_HELLO,
		.region = from->region,
		.asker = from->nonce,
		.round = m->round,
		.list_number = m->list_number,
	};

	take_newer(l, m);
	lease_reply_to(l, &to, who);
}

void member_hello_answered(struct lease *l, const struct lease_item *m)
{
	take_newer(l, m);
}

/* --- an operator --- */

static const char *unfit_because(const struct lease *l)
{
	if (!l->data)
		return "it holds no data";
	if (!member_is_listed(l))
		return "its store is not in the voter list";
	if (l->rolled_back)
		return "its store was put back to an older state";
	if (l->here.failed)
		return "it cannot write to its disk";
	if (l->here.stalled_ms >= l->config.hold_ms)
		return "its disk does not answer";
	return "it is being made, or its log does not go on";
}

enum err lease_stand(struct lease *l, struct lease_now now, uint64_t for_ms, struct lease_actions *out,
		     struct fault *reterr_fault)
{
	out->count = 0;
	if (!lease_is_fit(l))
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "this region may not be the primary: %s", unfit_because(l));
	lease_enter(l, now, out);
	l->stand_until_ms = MAX(l->stand_until_ms, l->now.boot_ms + for_ms);
	bid_soon(l, /* invited: */ true, /* reacquire: */ false);
	lease_leave(l);
	return ERR_NONE;
}

void lease_hold_back(struct lease *l, struct lease_now now, uint64_t for_ms)
{
	l->now.boot_ms = MAX(now.boot_ms, l->now.boot_ms);
	bid_hold_back(l, for_ms);
}

static bool answers(const struct lease *l, uint8_t region)
{
	const struct lease_heard *h = heard_of(l, region);

	return region == l->self.region || (h != NULL && !is_silent(l, h));
}

static uint32_t answering(const struct lease *l, const struct voter_list *list)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < list->count; i++)
		n += answers(l, list->members[i].region);
	return n;
}

/* What remains; no lost region may have been heard, none may be lost without need, and what remains must do. */
static enum err make_forced(const struct lease *l, const struct voter_set *lost, struct voter_list *ret_list,
			    struct fault *f)
{
	const struct voter_list *list = &l->record.list;
	uint32_t left_out = 0;

	*ret_list = (struct voter_list){ 0 };
	for (uint32_t i = 0; i < list->count; i++) {
		uint8_t region = list->members[i].region;

		if (!voter_set_has(lost, region)) {
			ret_list->members[ret_list->count++] = list->members[i];
			continue;
		}
		left_out++;
		if (answers(l, region))
			return fault_set(f, ERR_BAD_INPUT, "region %u answers: it is not lost", region);
	}
	if (left_out == 0)
		return fault_set(f, ERR_BAD_INPUT, "none of the lost regions is in voter list %llu",
				 (unsigned long long)list->number);
	if (answering(l, list) >= voters_majority(list))
		return fault_set(f, ERR_BAD_INPUT,
				 "%u of %u voters answer, which is a majority: it elects a primary by itself, which can expel "
				 "a region", answering(l, list), list->count);
	if (answering(l, ret_list) < voters_majority(ret_list))
		return fault_set(f, ERR_BAD_INPUT,
				 "only %u of the %u voters that would remain answer, no majority: all that are lost have to be "
				 "named", answering(l, ret_list), ret_list->count);
	return ERR_NONE;
}

enum err lease_force_list(struct lease *l, struct lease_now now, const struct voter_set *lost, struct voter_list *ret_list,
			  struct lease_actions *out, struct fault *reterr_fault)
{
	const struct voter_list *list = &l->record.list;
	struct voter_list next;

	out->count = 0;
	l->now.boot_ms = MAX(now.boot_ms, l->now.boot_ms);
	if (!member_is_listed(l) || list->number == 0)
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "this region's store is in no voter list");
	enum err err = make_forced(l, lost, &next, reterr_fault);
	if (err != ERR_NONE)
		return err;
	next.number = ((list->number >> FORCED_STEP_BITS) + 1) << FORCED_STEP_BITS |
		      (uint64_t)l->self.region << FORCED_REGION_BITS;
	next.epoch = epoch_make((lease_promised(l) >> 8) + FORCED_EPOCHS, l->self.region);
	err = voters_check(&next, reterr_fault);
	if (err != ERR_NONE)
		return err;
	if (lease_is_busy(l))
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "something else is being stored");
	lease_enter(l, now, out);
	/* It goes on in an epoch above all that the lost regions may have begun. */
	if (l->term.phase != TERM_NONE)
		term_end(l, LEASE_REASON_SUPERSEDED);
	l->staged = l->record;
	l->staged.list = next;
	l->staged.pending = (struct voter_list){ 0 };
	lease_stage(l, 0, NULL);
	lease_leave(l);
	*ret_list = next;
	return ERR_NONE;
}

/* --- looking --- */

static void look_at(const struct lease *l, struct lease_look *look, uint8_t region)
{
	const struct voter *listed = voters_find(&l->record.list, region);
	const struct voter *pending = voters_find(&look->pending, region);
	const struct lease_heard *h = heard_of(l, region);

	for (uint32_t i = 0; i < look->count; i++)
		if (look->members[i].region == region)
			return;
	if (look->count == LEASE_MEMBERS_MAX)
		return;
	struct lease_member *m = &look->members[look->count++];
	*m = (struct lease_member){ .region = region, .listed = listed != NULL, .pending = pending != NULL };
	if (listed != NULL || pending != NULL)
		m->voter = listed != NULL ? *listed : *pending;
	if (region == l->self.region) {
		m->self = m->heard = true;
		m->identity = l->self;
		m->flags = lease_flags(l);
		m->position = l->here.position;
		m->list_number = l->record.list.number;
		m->judged = l->rolled_back ? LEASE_ANSWER_ROLLED_BACK : LEASE_ANSWER_YES;
		m->said = LEASE_ANSWER_YES;
	} else if (h != NULL && h->heard) {
		m->heard = true;
		m->silent = is_silent(l, h);
		m->silent_ms = l->now.boot_ms - h->at_ms;
		m->identity = h->identity;
		m->flags = h->flags;
		m->position = h->position;
		m->list_number = h->list_number;
		m->judged = h->judged;
		m->said = h->said;
		m->said_ms = l->now.boot_ms - h->said_ms;
		m->bound_ms = h->bound_ms;
	}
}

void lease_look(const struct lease *l, struct lease_look *ret_look)
{
	const struct voter_list *pending = lease_pending(l);

	*ret_look = (struct lease_look){
		.list = l->record.list,
		.is_member = member_is_listed(l),
		.is_fit = lease_is_fit(l),
		.is_replaced = l->replaced,
		.is_rolled_back = l->rolled_back,
		.bound_to = voter_bound_ms(l, 0) > 0 ? l->bound.holder : 0,
		.bound_ms = voter_bound_ms(l, 0),
		.renewed = l->record.renewed,
		.loss = l->loss,
	};
	if (pending != NULL)
		ret_look->pending = *pending;
	/* Who can be reached may be others since. */
	if (l->term.phase == TERM_NONE && l->now.boot_ms - l->loss_ms >= silence_ms(l))
		ret_look->loss.known = false;
	look_at(l, ret_look, l->self.region);
	for (uint32_t i = 0; i < l->record.list.count; i++)
		look_at(l, ret_look, l->record.list.members[i].region);
	for (uint32_t i = 0; i < ret_look->pending.count; i++)
		look_at(l, ret_look, ret_look->pending.members[i].region);
	for (uint32_t i = 0; i < l->heard_count; i++)
		look_at(l, ret_look, l->heard_regions[i].region);
}
