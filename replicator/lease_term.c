/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The holder: it renews, knows until when it may write, hands over or lets go, and carries voter lists to the voters.
 *
 * An epoch that was released, abandoned or lost to a newer one is never taken up again. One that merely expired goes on
 * when M voters grant it again soon: their promise says that no other epoch has begun. Else the holder lets it go: where its
 * renewals arrive and the answers do not, they would bind the voters for as long as that lasts.
 */
#include "replicator/lease_inner.h"

#include <string.h>

/* A holder that has expired asks for so long whether its voters grant it again. */
#define UNHEARD_STEPS 2

static struct term_grant *grant_of(struct lease *l, uint8_t region)
{
	struct lease_holding *t = &l->term;

	for (uint32_t i = 0; i < t->grant_count; i++)
		if (t->grants[i].region == region)
			return &t->grants[i];
	if (t->grant_count == LEASE_ASKED_MAX)
		return NULL;
	t->grants[t->grant_count] = (struct term_grant){ .region = region };
	return &t->grants[t->grant_count++];
}

/* --- until when --- */

/* The M-th greatest of the times, by one clock, at which renewals were sent that members of the list granted; 0: fewer. */
static uint64_t mth_latest(const struct lease *l, const struct voter_list *list, bool wall)
{
	const struct lease_holding *t = &l->term;
	uint64_t times[VOTERS_MAX];
	uint32_t n = 0;
	uint32_t majority = voters_majority(list);

	for (uint32_t i = 0; i < t->grant_count; i++) {
		if (!t->grants[i].granted || voters_find(list, t->grants[i].region) == NULL)
			continue;
		uint64_t time = wall ? t->grants[i].sent.wall_ms : t->grants[i].sent.boot_ms;
		uint32_t at = n++;
		for (; at > 0 && times[at - 1] < time; at--)
			times[at] = times[at - 1];
		times[at] = time;
	}
	return n >= majority ? times[majority - 1] : 0;
}

static uint64_t until(const struct lease *l, bool wall)
{
	const struct voter_list *pending = lease_pending(l);
	uint64_t sent = mth_latest(l, &l->record.list, wall);

	if (pending != NULL)
		sent = MIN(sent, mth_latest(l, pending, wall));
	return sent != 0 ? sent + l->config.hold_ms : 0;
}

struct lease_term lease_get_term(const struct lease *l)
{
	const struct lease_holding *t = &l->term;

	if (t->phase != TERM_BEGIN && t->phase != TERM_WRITE && t->phase != TERM_HANDOVER)
		return (struct lease_term){ 0 };
	return (struct lease_term){
		.epoch = t->epoch,
		.begun = t->phase != TERM_BEGIN,
		.boot_until_ms = until(l, /* wall: */ false),
		.wall_until_ms = until(l, /* wall: */ true),
	};
}

bool term_is_valid(const struct lease *l)
{
	return l->now.boot_ms < until(l, /* wall: */ false) && l->now.wall_ms < until(l, /* wall: */ true);
}

/* --- may write, may not --- */

static void stop_writing(struct lease *l, enum lease_reason reason)
{
	if (!l->term.writing)
		return;
	l->term.writing = false;
	struct lease_action *a = lease_act(l, LEASE_STOP);
	a->epoch = l->term.epoch;
	a->reason = reason;
}

static void write_if_valid(struct lease *l)
{
	if (l->term.phase != TERM_WRITE || l->term.writing || !term_is_valid(l))
		return;
	l->term.writing = true;
	lease_act(l, LEASE_WRITE)->epoch = l->term.epoch;
}

void term_end(struct lease *l, enum lease_reason reason)
{
	stop_writing(l, reason);
	l->term.phase = TERM_NONE;
	l->term.proposal = (struct voter_list){ 0 };
	l->bid.reacquire = false;
}

static void send_to_all(struct lease *l, struct lease_item m)
{
	uint8_t regions[LEASE_ASKED_MAX];
	uint32_t count = lease_everybody(l, regions);

	for (uint32_t i = 0; i < count; i++)
		lease_send(l, regions[i], m);
}

/* Nothing was written in it: the voters are free at once. */
static void give_up(struct lease *l, enum lease_reason reason)
{
	send_to_all(l, (struct lease_item){ .kind = LEASE_ABANDON, .epoch = l->term.epoch });
	lease_tell(l, LEASE_EVENT_LOST, l->self.region, l->term.epoch, 0);
	term_end(l, reason);
	/* The others first: what kept this region from beginning may last. */
	l->bid.next_ms = l->now.boot_ms + 2 * (uint64_t)l->config.step_ms;
}

/* --- renewing --- */

static void renew(struct lease *l)
{
	struct lease_holding *t = &l->term;

	t->round++;
	t->rounds[t->round % LEASE_ROUNDS_MAX] = (struct term_round){ .round = t->round, .sent = l->now };
	t->renew_ms = l->now.boot_ms + l->config.renew_ms;
	send_to_all(l, (struct lease_item){ .kind = LEASE_GRANT, .epoch = t->epoch, .round = t->round });
}

void term_start(struct lease *l, uint64_t epoch, uint8_t source, struct position after)
{
	uint64_t round = l->term.round;

	l->term = (struct lease_holding){
		.phase = TERM_GRANT,
		.epoch = epoch,
		.valid_ms = l->now.boot_ms,
		.round = round,
		.source = source,
		.after = after,
	};
	renew(l);
}

static void begin_epoch(struct lease *l)
{
	l->term.phase = TERM_BEGIN;
	struct lease_action *a = lease_act(l, LEASE_BEGIN);
	a->epoch = l->term.epoch;
	a->position = l->term.after;
}

/* Enough have granted: the history first (rule 8), then the epoch. */
static void take_history(struct lease *l)
{
	if (l->term.source == l->self.region) {
		begin_epoch(l);
		return;
	}
	l->term.phase = TERM_COPY;
	struct lease_action *a = lease_act(l, LEASE_COPY);
	a->region = l->term.source;
	a->epoch = l->term.epoch;
	a->position = l->term.after;
}

void lease_copied(struct lease *l, struct lease_now now, uint64_t epoch, bool ok, struct lease_actions *out)
{
	lease_enter(l, now, out);
	if (l->term.phase == TERM_COPY && l->term.epoch == epoch) {
		if (ok)
			begin_epoch(l);
		else
			give_up(l, LEASE_REASON_NOT_STARTED);
	}
	lease_leave(l);
}

void lease_begun(struct lease *l, struct lease_now now, uint64_t epoch, bool ok, struct lease_actions *out)
{
	lease_enter(l, now, out);
	if (l->term.phase == TERM_BEGIN && l->term.epoch == epoch) {
		if (ok) {
			l->term.phase = TERM_WRITE;
			lease_tell(l, LEASE_EVENT_WON, l->self.region, epoch, 0);
			write_if_valid(l);
		} else {
			give_up(l, LEASE_REASON_NOT_STARTED);
		}
	}
	lease_leave(l);
}

/* --- release --- */

static void send_release(struct lease *l)
{
	uint8_t regions[LEASE_ASKED_MAX];
	uint32_t count = lease_everybody(l, regions);
	struct lease_holding *t = &l->term;

	t->renew_ms = l->now.boot_ms + l->config.renew_ms;
	for (uint32_t i = 0; i < count; i++)
		if (!voter_set_has(&t->told, regions[i]))
			lease_send(l, regions[i], (struct lease_item){ .kind = LEASE_RELEASE,
								       .epoch = t->epoch,
								       .round = t->round,
								       .target = t->target,
								       .position = t->end });
}

/* From here nothing is ever written in this epoch again, whatever becomes of the messages (rule 18). */
static void release(struct lease *l, enum lease_reason reason, uint8_t target, struct position end)
{
	stop_writing(l, reason);
	l->term.phase = TERM_RELEASED;
	l->term.proposal = (struct voter_list){ 0 };
	l->bid.reacquire = false;
	l->term.target = target;
	l->term.end = end;
	l->term.told = (struct voter_set){ 0 };
	l->term.released_ms = l->now.boot_ms;
	/* The others first. */
	l->bid.next_ms = l->now.boot_ms + 2 * (uint64_t)l->config.step_ms;
	send_release(l);
}

enum err lease_hand_over(struct lease *l, struct lease_now now, uint8_t target, struct lease_actions *out,
			 struct fault *reterr_fault)
{
	const struct voter *v = voters_find(&l->record.list, target);

	out->count = 0;
	if (l->term.phase != TERM_WRITE)
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "this region is not the primary and has nothing to hand over");
	if (v == NULL || !v->data || target == l->self.region)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "region %u cannot become the primary: it is no other data region of voter list %llu", target,
				 (unsigned long long)l->record.list.number);
	lease_enter(l, now, out);
	bid_drop(l);
	stop_writing(l, LEASE_REASON_HANDOVER);
	l->term.phase = TERM_HANDOVER;
	l->term.target = target;
	struct lease_action *a = lease_act(l, LEASE_HAND_OVER);
	a->epoch = l->term.epoch;
	a->region = target;
	lease_leave(l);
	return ERR_NONE;
}

void lease_handed_over(struct lease *l, struct lease_now now, uint64_t epoch, bool released, struct position end,
		       struct lease_actions *out)
{
	lease_enter(l, now, out);
	if (l->term.phase == TERM_HANDOVER && l->term.epoch == epoch) {
		if (released) {
			release(l, LEASE_REASON_HANDOVER, l->term.target, end);
		} else {
			l->term.phase = TERM_WRITE;
			write_if_valid(l);
		}
	}
	lease_leave(l);
}

/* --- voter lists --- */

static void send_list(struct lease *l, uint8_t region)
{
	lease_send(l, region,
		   (struct lease_item){ .kind = LEASE_LIST,
					.epoch = l->term.epoch,
					.round = l->term.list_round,
					.list = &l->record.list,
					.pending = l->term.proposal.count > 0 ? &l->term.proposal : NULL });
}

static void send_lists(struct lease *l)
{
	uint8_t regions[LEASE_ASKED_MAX];
	uint32_t count = lease_everybody(l, regions);

	for (uint32_t i = 0; i < count; i++)
		if (!voter_set_has(&l->term.stored, regions[i]))
			send_list(l, regions[i]);
}

static void propose(struct lease *l, const struct voter_list *next)
{
	l->term.proposal = *next;
	l->term.proposal.epoch = l->term.epoch;
	l->term.list_round++;
	l->term.stored = (struct voter_set){ 0 };
	send_lists(l);
}

/* List 1: the members of the configuration with the stores that they turned out to have. */
static bool fill_in(const struct lease *l, struct voter_list *ret_list)
{
	*ret_list = l->record.list;
	ret_list->number = 1;
	for (uint32_t i = 0; i < ret_list->count; i++) {
		struct voter *v = &ret_list->members[i];
		const struct lease_seen *seen = NULL;

		for (uint32_t s = 0; s < l->record.seen_count; s++)
			if (l->record.seen[s].identity.region == v->region)
				seen = &l->record.seen[s];
		if (v->region == l->self.region)
			memcpy(v->store_id, l->self.store_id, STORE_ID_BYTES);
		else if (seen != NULL)
			memcpy(v->store_id, seen->identity.store_id, STORE_ID_BYTES);
		else
			return false;
	}
	return voters_check_change(&l->record.list, ret_list, NULL) == ERR_NONE;
}

/* In effect once both majorities have stored it. This region stores that as a list of its own; the others learn it from the
 * number in its renewals. */
static void finish_list(struct lease *l)
{
	struct lease_holding *t = &l->term;

	if (t->proposal.count == 0 || lease_is_busy(l) || !lease_is_majority(l, &t->stored))
		return;
	struct voter_list done = t->proposal;
	struct lease_item m = { .kind = LEASE_LIST, .epoch = t->epoch, .list = &done };
	t->proposal = (struct voter_list){ 0 };
	(void)voter_take_list(l, &m, NULL); /* nobody waits for it */
}

/* What an earlier holder left unfinished comes first (rule 10). */
static void carry_lists(struct lease *l)
{
	struct voter_list next;
	const struct voter_list *pending = lease_pending(l);

	finish_list(l);
	if (lease_is_busy(l))
		return;
	if (l->term.proposal.count > 0)
		send_lists(l);
	else if (pending != NULL)
		propose(l, pending);
	else if (l->record.list.number == 0 && fill_in(l, &next))
		propose(l, &next);
}

static void list_stored(struct lease *l, uint8_t region)
{
	voter_set_add(&l->term.stored, region);
	finish_list(l);
}

enum err lease_propose(struct lease *l, struct lease_now now, const struct voter_list *next, struct lease_actions *out,
		       struct fault *reterr_fault)
{
	out->count = 0;
	if (l->term.phase != TERM_WRITE)
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "only the primary changes the voter list");
	if (lease_pending(l) != NULL || l->record.list.number == 0)
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "voter list %llu is not in effect yet; try again",
				 (unsigned long long)l->record.list.number + 1);
	enum err err = voters_check_change(&l->record.list, next, reterr_fault);
	if (err != ERR_NONE)
		return err;
	lease_enter(l, now, out);
	propose(l, next);
	lease_leave(l);
	return ERR_NONE;
}

/* --- answers --- */

static void granted(struct lease *l, struct term_grant *g, uint64_t wall_ms, const struct lease_item *m)
{
	const struct term_round *r = &l->term.rounds[m->round % LEASE_ROUNDS_MAX];

	if (r->round != m->round)
		return;
	lease_measure(l, r->sent, wall_ms, &g->offset_ms, &g->error_ms);
	g->offset_known = true;
	if (!g->granted || r->sent.boot_ms > g->sent.boot_ms)
		g->sent = r->sent;
	g->granted = true;
	if (l->term.phase == TERM_GRANT && term_is_valid(l))
		take_history(l);
	write_if_valid(l);
	/* A pending list that no majority can have stored is to be dropped. */
	bool stray = m->pending != NULL && m->pending->count > 0 && l->term.phase == TERM_WRITE &&
		     lease_pending(l) == NULL;
	if (m->list_number < l->record.list.number || stray)
		send_list(l, g->region);
}

/* A voter fences this epoch: it follows no op of it any more. */
static void outvoted(struct lease *l, const struct lease_item *m)
{
	struct lease_holding *t = &l->term;

	if (m->logged > t->epoch && !term_is_valid(l)) {
		term_end(l, LEASE_REASON_SUPERSEDED);
		return;
	}
	/* Its promise ends when an epoch above it begins: this region asks for one, without waiting for itself (rule 16). */
	if (t->phase == TERM_WRITE)
		bid_soon(l, /* invited: */ false, /* reacquire: */ true);
}

static void grant_answer(struct lease *l, uint8_t region, uint64_t wall_ms, const struct lease_item *m)
{
	struct term_grant *g = grant_of(l, region);

	if (l->term.phase == TERM_NONE || l->term.phase == TERM_RELEASED || m->epoch != l->term.epoch || g == NULL)
		return;
	if (m->answer == LEASE_ANSWER_YES)
		granted(l, g, wall_ms, m);
	else if (m->answer == LEASE_ANSWER_PROMISED)
		outvoted(l, m);
	else if (m->answer == LEASE_ANSWER_UNPROMISED)
		lease_send(l, region, (struct lease_item){ .kind = LEASE_PROMISE, .epoch = l->term.epoch });
}

void term_answer(struct lease *l, uint8_t region, uint64_t wall_ms, const struct lease_item *m)
{
	struct lease_holding *t = &l->term;

	if (t->phase == TERM_NONE || m->epoch != t->epoch)
		return;
	switch (m->kind) {
	case LEASE_GRANT:
		grant_answer(l, region, wall_ms, m);
		break;
	case LEASE_RELEASE:
		voter_set_add(&t->told, region);
		if (m->answer == LEASE_ANSWER_BEHIND)
			lease_tell(l, LEASE_EVENT_DECLINED, region, t->epoch, 0);
		break;
	case LEASE_LIST:
		if (m->answer == LEASE_ANSWER_YES && m->round == t->list_round)
			list_stored(l, region);
		break;
	case LEASE_POLL:
	case LEASE_PROMISE:
	case LEASE_ABANDON:
	case LEASE_HELLO:
		break;
	}
}

/* --- time --- */

static bool is_clock_off(const struct lease *l)
{
	uint32_t off = 0;

	for (uint32_t i = 0; i < l->term.grant_count; i++) {
		const struct term_grant *g = &l->term.grants[i];

		off += g->region != l->self.region && g->offset_known && lease_is_off(l, g->offset_ms, g->error_ms);
	}
	return off >= voters_majority(&l->record.list);
}

/* It has expired, and been asking for its renewal since. */
static bool is_unheard(struct lease *l)
{
	if (term_is_valid(l))
		l->term.expired_ms = 0;
	else if (l->term.expired_ms == 0)
		l->term.expired_ms = l->now.boot_ms;
	return l->term.expired_ms != 0 && l->now.boot_ms - l->term.expired_ms >= UNHEARD_STEPS * l->config.step_ms;
}

/* A holder that had better not be one lets go; what it has is durable, and its log counts for whoever is next. */
static bool let_go(struct lease *l)
{
	if (l->term.phase != TERM_WRITE)
		return false;
	if (l->here.failed || l->here.stalled_ms >= l->config.hold_ms)
		release(l, LEASE_REASON_CANNOT_COMMIT, 0, l->here.position);
	else if (is_clock_off(l))
		release(l, LEASE_REASON_CLOCK, 0, l->here.position);
	else if (!lease_is_fit(l))
		release(l, LEASE_REASON_UNFIT, 0, l->here.position);
	else if (is_unheard(l))
		release(l, LEASE_REASON_EXPIRED, 0, l->here.position);
	return l->term.phase == TERM_RELEASED;
}

static void released_tick(struct lease *l)
{
	uint8_t regions[LEASE_ASKED_MAX];
	uint32_t count = lease_everybody(l, regions);
	uint32_t left = 0;

	for (uint32_t i = 0; i < count; i++)
		left += !voter_set_has(&l->term.told, regions[i]);
	/* After WAIT nobody is bound any more. */
	if (left == 0 || l->now.boot_ms - l->term.released_ms >= l->config.wait_ms)
		term_end(l, LEASE_REASON_HANDOVER);
	else if (l->now.boot_ms >= l->term.renew_ms)
		send_release(l);
}

void term_tick(struct lease *l)
{
	struct lease_holding *t = &l->term;

	if (t->phase == TERM_RELEASED)
		released_tick(l);
	if (t->phase == TERM_NONE || t->phase == TERM_RELEASED || let_go(l))
		return;
	bool valid = term_is_valid(l);
	if (!valid)
		stop_writing(l, LEASE_REASON_EXPIRED);
	if (valid)
		t->valid_ms = l->now.boot_ms;
	if (t->phase < TERM_WRITE && l->now.boot_ms - t->valid_ms >= l->config.step_ms + l->config.hold_ms) {
		give_up(l, LEASE_REASON_NOT_STARTED);
		return;
	}
	if (l->now.boot_ms < t->renew_ms)
		return;
	renew(l);
	if (t->phase == TERM_WRITE)
		carry_lists(l);
}

uint64_t term_due(const struct lease *l)
{
	const struct lease_holding *t = &l->term;

	if (t->phase == TERM_NONE)
		return LEASE_NEVER;
	uint64_t due = t->renew_ms;
	if (t->writing)
		due = MIN(due, until(l, /* wall: */ false));
	return due;
}
