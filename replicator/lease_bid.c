/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The candidate (protocol rule 15): it asks whether a majority would have it, which changes nothing, lets those with a
 * greater position go first, then asks for promises. Whatever goes wrong it abandons its epoch, which is never used
 * again, and starts over.
 */
#include "replicator/lease_inner.h"

/* An answer that names how long it takes until a voter is free is followed by the next poll so soon at best. */
#define POLL_MS_MIN 20

/* --- who is asked, who answered what --- */

static void ask(struct lease *l, enum lease_kind kind, uint64_t epoch, const struct voter_set *whom)
{
	uint8_t regions[LEASE_ASKED_MAX];
	uint32_t count = lease_everybody(l, regions);
	struct lease_bid *b = &l->bid;

	b->round++;
	b->began = l->now;
	b->enough_ms = LEASE_NEVER;
	b->count = count;
	for (uint32_t i = 0; i < count; i++) {
		b->answers[i] = (struct bid_answer){ .region = regions[i] };
		b->answers[i].asked = whom == NULL || voter_set_has(whom, regions[i]);
		if (b->answers[i].asked)
			lease_send(l, regions[i], (struct lease_item){ .kind = kind, .round = b->round, .epoch = epoch });
	}
}

static struct voter_set those_who_say_yes(const struct lease_bid *b)
{
	struct voter_set yes = { 0 };

	for (uint32_t i = 0; i < b->count; i++)
		if (b->answers[i].got && b->answers[i].said.answer == LEASE_ANSWER_YES)
			voter_set_add(&yes, b->answers[i].region);
	return yes;
}

static bool all_answered(const struct lease_bid *b)
{
	for (uint32_t i = 0; i < b->count; i++)
		if (b->answers[i].asked && !b->answers[i].got)
			return false;
	return true;
}

/*
 * Where no voter has any epoch, a fleet is being founded, or voters have lost their disks: only when all of the list take
 * part is it known to be the former (rule 9).
 */
static bool is_enough(const struct lease *l)
{
	struct voter_set yes = those_who_say_yes(&l->bid);
	bool empty = l->here.epoch == 0;

	for (uint32_t i = 0; i < l->bid.count; i++)
		empty = empty && l->bid.answers[i].said.logged == 0;
	if (empty && voters_count_in(&l->record.list, &yes) < l->record.list.count)
		return false;
	/* Its own voter fences its own log (rule 5); without it, what is copied could be followed by ops of an old epoch. */
	if (!voter_set_has(&yes, l->self.region))
		return false;
	return lease_is_majority(l, &yes);
}

/* --- what the answers say --- */

static uint64_t highest_epoch(const struct lease *l)
{
	/* A list that an operator put in place leaves room for what the lost regions may have begun. */
	uint64_t highest = MAX(MAX(lease_promised(l), l->here.epoch), l->record.list.epoch);

	for (uint32_t i = 0; i < l->bid.count; i++)
		if (l->bid.answers[i].got)
			highest = MAX(highest, MAX(l->bid.answers[i].said.promised, l->bid.answers[i].said.logged));
	return highest;
}

/* Of those that said yes and hold data, the one with the greatest position; of equals this region, else the first. */
static const struct bid_answer *best_of(const struct lease *l)
{
	const struct bid_answer *best = NULL;

	for (uint32_t i = 0; i < l->bid.count; i++) {
		const struct bid_answer *a = &l->bid.answers[i];

		if (!a->got || a->said.answer != LEASE_ANSWER_YES || !(a->said.flags & LEASE_ITEM_DATA))
			continue;
		int c = best != NULL ? position_compare(a->said.position, best->said.position) : 1;
		if (c > 0 || (c == 0 && a->region == l->self.region))
			best = a;
	}
	return best;
}

/* How many go before this region: data regions with more, or as much and a lower id. */
/* Of two that have the same: the preferred one, then by id. */
static bool comes_before(const struct lease *l, uint8_t region)
{
	if (region == l->preferred || l->self.region == l->preferred)
		return region == l->preferred;
	return region < l->self.region;
}

static uint32_t rank_of(const struct lease *l)
{
	uint32_t rank = 0;

	for (uint32_t i = 0; i < l->bid.count; i++) {
		const struct bid_answer *a = &l->bid.answers[i];

		if (!a->got || a->region == l->self.region ||
		    (a->said.flags & (LEASE_ITEM_DATA | LEASE_ITEM_FIT)) != (LEASE_ITEM_DATA | LEASE_ITEM_FIT))
			continue;
		int c = position_compare(a->said.position, l->here.position);
		rank += c > 0 || (c == 0 && comes_before(l, a->region));
	}
	return rank;
}

/* Against M others (rule 25): fewer may be off themselves. */
static bool is_clock_off(const struct lease *l)
{
	uint32_t off = 0;

	for (uint32_t i = 0; i < l->bid.count; i++) {
		const struct bid_answer *a = &l->bid.answers[i];

		off += a->got && a->region != l->self.region && lease_is_off(l, a->offset_ms, a->error_ms);
	}
	return off >= voters_majority(&l->record.list);
}

/* The last word of a holder. */
static struct lease_renewed last_renewed(const struct lease *l)
{
	struct lease_renewed last = l->record.renewed;

	for (uint32_t i = 0; i < l->bid.count; i++) {
		const struct lease_renewed *r = &l->bid.answers[i].said.renewed;

		if (l->bid.answers[i].got && position_compare(r->position, last.position) > 0)
			last = *r;
	}
	return last;
}

/* What would be lost, in time: from when the best that can be had was written to that word (rule 19). */
static uint64_t loss_ms(const struct lease *l, const struct bid_answer *best)
{
	struct lease_renewed last = last_renewed(l);

	if (position_compare(best->said.position, last.position) >= 0 || last.wall_ms <= best->said.stamp_ms)
		return 0;
	return last.wall_ms - best->said.stamp_ms;
}

static bool loss_is_refused(struct lease *l, const struct bid_answer *best)
{
	uint64_t loss = loss_ms(l, best);

	l->loss = (struct lease_loss){ .known = true, .ms = loss, .best = best->said.position, .last = last_renewed(l).position };
	l->loss_ms = l->now.boot_ms;

	if (loss <= l->config.max_loss_ms || l->now.boot_ms < l->accept_loss_until_ms)
		return false;
	lease_tell(l, LEASE_EVENT_LOSS_REFUSED, best->region, 0, loss);
	return true;
}

/* --- giving up --- */

static bool is_sent_by_operator(const struct lease *l)
{
	return l->now.boot_ms < l->stand_until_ms;
}

static void rest(struct lease *l, uint64_t for_ms)
{
	if (is_sent_by_operator(l))
		for_ms = MIN(for_ms, l->config.poll_ms);
	l->bid.phase = BID_NONE;
	l->bid.next_ms = l->now.boot_ms + for_ms;
	l->bid.invited = false;
}

static void abandon(struct lease *l, uint64_t epoch)
{
	for (uint32_t i = 0; i < l->bid.count; i++)
		if (l->bid.answers[i].asked)
			lease_send(l, l->bid.answers[i].region,
				   (struct lease_item){ .kind = LEASE_ABANDON, .epoch = epoch });
}

/* Candidates whose steps crossed come back at different times. */
static uint64_t apart_ms(const struct lease *l)
{
	uint32_t place = 0;

	for (uint32_t i = 0; i < l->record.list.count; i++)
		place += l->record.list.members[i].region < l->self.region;
	return (uint64_t)(place + 1) * l->config.rank_ms;
}

static void lose(struct lease *l)
{
	lease_tell(l, LEASE_EVENT_LOST, l->self.region, l->bid.epoch, 0);
	abandon(l, l->bid.epoch);
	rest(l, apart_ms(l));
}

void bid_drop(struct lease *l)
{
	if (l->bid.phase == BID_PROMISE)
		lose(l);
	else if (l->bid.phase != BID_NONE)
		rest(l, l->config.poll_ms);
}

void bid_hold_back(struct lease *l, uint64_t for_ms)
{
	/* A promise under way is left to itself: it may be a majority's already. */
	if (l->bid.phase != BID_PROMISE)
		l->bid.phase = BID_NONE;
	l->bid.next_ms = MAX(l->bid.next_ms, l->now.boot_ms + for_ms);
}

/* --- poll --- */

static void poll_start(struct lease *l)
{
	l->bid.phase = BID_POLL;
	l->bid.asked_ms = l->now.boot_ms;
	ask(l, LEASE_POLL, 0, NULL);
}

/* A question may be lost on a connection that is being made; whoever has not answered is asked once more now and then. */
static void poll_again(struct lease *l)
{
	struct lease_bid *b = &l->bid;

	if (l->now.boot_ms - b->asked_ms < l->config.poll_ms)
		return;
	b->asked_ms = l->now.boot_ms;
	for (uint32_t i = 0; i < b->count; i++)
		if (b->answers[i].asked && !b->answers[i].got)
			lease_send(l, b->answers[i].region, (struct lease_item){ .kind = LEASE_POLL, .round = b->round });
}

static void poll_lost(struct lease *l)
{
	uint64_t free_ms = l->config.poll_ms;

	for (uint32_t i = 0; i < l->bid.count; i++) {
		const struct lease_item *said = &l->bid.answers[i].said;

		if (l->bid.answers[i].got && said->answer == LEASE_ANSWER_HELD)
			free_ms = MIN(free_ms, MAX(said->remaining_ms, POLL_MS_MIN));
	}
	rest(l, free_ms);
}

static void stand(struct lease *l)
{
	struct voter_set yes = those_who_say_yes(&l->bid);
	uint64_t epoch = epoch_make((highest_epoch(l) >> 8) + 1, l->self.region);

	/* Its own voter fences it from here: what it held before is over. */
	if (l->term.phase != TERM_NONE)
		term_end(l, LEASE_REASON_REACQUIRE);
	lease_tell(l, LEASE_EVENT_STANDING, l->self.region, epoch, 0);
	l->bid.phase = BID_PROMISE;
	l->bid.epoch = epoch;
	l->bid.reacquire = false;
	l->accept_loss_until_ms = MIN(l->accept_loss_until_ms, l->now.boot_ms + l->config.wait_ms);
	ask(l, LEASE_PROMISE, epoch, &yes);
}

static void poll_won(struct lease *l)
{
	const struct bid_answer *best = best_of(l);
	bool first = l->bid.invited || l->bid.reacquire || is_sent_by_operator(l);
	uint32_t rank = first ? 0 : rank_of(l);

	if (is_clock_off(l)) {
		lease_tell(l, LEASE_EVENT_CLOCK_SUSPECT, l->self.region, 0, 0);
		rest(l, l->config.step_ms);
	} else if (best == NULL || loss_is_refused(l, best)) {
		rest(l, l->config.step_ms);
	} else if (rank == 0) {
		stand(l);
	} else {
		l->bid.phase = BID_RANK;
		l->bid.stand_ms = l->now.boot_ms + (uint64_t)rank * l->config.rank_ms;
	}
}

/* --- promise --- */

static void promise_won(struct lease *l)
{
	const struct bid_answer *best = best_of(l);
	uint64_t epoch = l->bid.epoch;

	if (best == NULL || loss_is_refused(l, best)) {
		lose(l);
		return;
	}
	if (position_compare(l->here.position, best->said.oldest) < 0) {
		/* Its log cannot fill what is missing here (rule 8). */
		lease_tell(l, LEASE_EVENT_YIELDED, best->region, epoch, 0);
		abandon(l, epoch);
		rest(l, 2 * (uint64_t)l->config.step_ms + apart_ms(l));
		return;
	}
	l->bid.invited = false;
	l->bid.phase = BID_NONE;
	l->accept_loss_until_ms = 0;
	l->stand_until_ms = 0;
	term_start(l, epoch, best->region, best->said.position);
}

/* --- the steps --- */

/* Enough, and either all have answered or the others had their time: a better position may be among them. */
static bool is_settled(const struct lease *l)
{
	return all_answered(&l->bid) ||
	       (l->bid.enough_ms != LEASE_NEVER && l->now.boot_ms - l->bid.enough_ms >= l->config.linger_ms);
}

static void step(struct lease *l)
{
	struct lease_bid *b = &l->bid;
	bool enough = is_enough(l);

	if (enough && b->enough_ms == LEASE_NEVER)
		b->enough_ms = l->now.boot_ms;
	if (b->phase == BID_POLL && !enough)
		poll_again(l);
	if (!is_settled(l) && l->now.boot_ms - b->began.boot_ms < l->config.step_ms)
		return;
	if (b->phase == BID_POLL && enough)
		poll_won(l);
	else if (b->phase == BID_POLL)
		poll_lost(l);
	else if (enough)
		promise_won(l);
	else
		lose(l);
}

static void rank_step(struct lease *l)
{
	if (l->now.boot_ms < l->bid.stand_ms)
		return;
	if (voter_bound_ms(l, l->self.region) > 0 || lease_is_busy(l))
		rest(l, l->config.poll_ms);
	else
		stand(l);
}

static bool may_poll(const struct lease *l)
{
	if (!lease_is_fit(l) || l->now.boot_ms < l->bid.next_ms)
		return false;
	if (l->term.phase != TERM_NONE)
		return l->term.phase == TERM_WRITE && l->bid.reacquire;
	return voter_bound_ms(l, l->self.region) == 0;
}

void bid_tick(struct lease *l)
{
	switch (l->bid.phase) {
	case BID_NONE:
		if (may_poll(l))
			poll_start(l);
		break;
	case BID_RANK:
		rank_step(l);
		break;
	case BID_POLL:
	case BID_PROMISE:
		step(l);
		break;
	}
}

void bid_soon(struct lease *l, bool invited, bool reacquire)
{
	if (l->bid.phase != BID_NONE && l->bid.phase != BID_RANK)
		return;
	l->bid.invited = l->bid.invited || invited;
	l->bid.reacquire = l->bid.reacquire || reacquire;
	if (invited)
		l->bid.next_ms = 0;
	if (may_poll(l))
		poll_start(l);
}

/* A pending list that others know makes its majority necessary as well; it stays known until it is overtaken. */
static void note_pending(struct lease *l, const struct lease_item *m)
{
	const struct voter_list *p = m->pending;

	if (p == NULL || p->count == 0 || p->number != l->record.list.number + 1)
		return;
	if (l->bid.pending.number != p->number || l->bid.pending.epoch < p->epoch)
		l->bid.pending = *p;
}

void bid_answer(struct lease *l, uint8_t region, uint64_t wall_ms, const struct lease_item *m)
{
	struct lease_bid *b = &l->bid;
	bool asking = (b->phase == BID_POLL && m->kind == LEASE_POLL) || (b->phase == BID_PROMISE && m->kind == LEASE_PROMISE);

	note_pending(l, m);
	if (!asking || m->round != b->round) {
		/* A promise that comes too late binds its voter for nothing. */
		if (m->kind == LEASE_PROMISE && m->answer == LEASE_ANSWER_YES && m->epoch != l->term.epoch)
			lease_send(l, region, (struct lease_item){ .kind = LEASE_ABANDON, .epoch = m->epoch });
		return;
	}
	for (uint32_t i = 0; i < b->count; i++) {
		struct bid_answer *a = &b->answers[i];

		if (a->region != region || !a->asked || a->got)
			continue;
		a->got = true;
		a->said = *m;
		a->said.list = NULL;
		a->said.pending = NULL;
		lease_measure(l, b->began, wall_ms, &a->offset_ms, &a->error_ms);
	}
	step(l);
}

uint64_t bid_due(const struct lease *l)
{
	const struct lease_bid *b = &l->bid;
	uint64_t linger = b->enough_ms == LEASE_NEVER ? LEASE_NEVER : b->enough_ms + l->config.linger_ms;

	switch (b->phase) {
	case BID_NONE:
		if (!lease_is_fit(l) || (l->term.phase != TERM_NONE && !b->reacquire))
			return LEASE_NEVER;
		return MAX(b->next_ms, l->now.boot_ms + voter_bound_ms(l, l->self.region));
	case BID_RANK:
		return b->stand_ms;
	case BID_POLL:
	case BID_PROMISE:
		break;
	}
	uint64_t again = b->phase == BID_POLL && b->enough_ms == LEASE_NEVER ? b->asked_ms + l->config.poll_ms : LEASE_NEVER;
	return MIN(MIN(linger, again), b->began.boot_ms + l->config.step_ms);
}
