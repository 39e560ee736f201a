/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The voter: what it promises and grants, to whom it is bound, and which voter list it keeps.
 *
 * A promise is for ever and is stored: no epoch below it is followed any more, but for the history of a newer one. A grant
 * is for WAIT and is not stored: a start takes the stored promise for a grant of just now (rule 17). So is, for a short
 * time, a promise, that two candidates do not take each other's voters away; nothing rests on that.
 */
#include "replicator/lease_inner.h"

/* Between promise and grant, or release and its target's question, another region has to wait for so many steps. */
#define COURTESY_STEPS 2

static uint8_t region_of(uint64_t epoch)
{
	return (uint8_t)epoch;
}

static void bind(struct lease *l, uint64_t epoch, uint8_t holder, uint64_t for_ms)
{
	uint64_t until_ms = l->now.boot_ms + for_ms;

	if (l->bound.holder == holder)
		until_ms = MAX(until_ms, l->bound.until_ms);
	l->bound = (struct lease_bound){ .epoch = epoch, .holder = holder, .until_ms = until_ms };
}

static uint64_t courtesy_ms(const struct lease *l)
{
	return (uint64_t)COURTESY_STEPS * l->config.step_ms;
}

uint64_t voter_bound_ms(const struct lease *l, uint8_t region)
{
	/* Whoever has the same id and passed as a member is the only one alive of that region (rules 16, 17). */
	if (l->bound.holder == region || l->bound.until_ms <= l->now.boot_ms)
		return 0;
	return l->bound.until_ms - l->now.boot_ms;
}

static void raise_to_log(struct lease *l)
{
	l->record.epoch = l->here.epoch;
	l->record.holder = region_of(l->here.epoch);
	l->record.boots = 0;
	l->promise_position_known = false;
	l->urgent = true;
}

/* Before it stopped this voter may have granted what it promised, or what its log follows (rule 17). */
void voter_start(struct lease *l)
{
	l->promise_since_ms = l->now.boot_ms;
	if (l->here.epoch > l->record.epoch)
		raise_to_log(l);
	if (l->record.epoch != 0)
		bind(l, l->record.epoch, l->record.holder, l->config.wait_ms);
}

/* Following an epoch lifts every promise up to it (rules 5, 16). */
void voter_follow(struct lease *l)
{
	if (l->here.epoch > l->record.epoch)
		raise_to_log(l);
}

void voter_tick(struct lease *l)
{
	uint64_t since_ms = l->now.boot_ms - l->promise_since_ms;

	if (l->record.epoch > l->here.epoch && since_ms >= 2 * (uint64_t)l->config.wait_ms && !l->promise_stuck_told) {
		l->promise_stuck_told = true;
		lease_tell(l, LEASE_EVENT_PROMISE_STUCK, l->record.holder, l->record.epoch, 0);
	}
	bool member = member_is_listed(l);
	if (!member && !l->excluded_told)
		lease_tell(l, LEASE_EVENT_EXCLUDED, l->self.region, 0, l->record.list.number);
	l->excluded_told = !member;
}

/* --- may that region stand? --- */

/* However long the message took, the sender's clock showed its time when it was sent: it is surely ahead by this much. */
static bool is_surely_ahead(const struct lease *l, uint64_t wall_ms)
{
	return wall_ms > l->now.wall_ms && lease_is_off(l, (int64_t)(wall_ms - l->now.wall_ms), 0);
}

static enum lease_answer judge_candidate(const struct lease *l, const struct lease_identity *from, uint64_t wall_ms,
					 const struct lease_item *m)
{
	const struct voter *v = voters_find_store(&l->record.list, from->region, from->store_id);

	if (m->list_number < l->record.list.number)
		return LEASE_ANSWER_OLD_LIST;
	if (v == NULL || !v->data || (m->flags & (LEASE_ITEM_DATA | LEASE_ITEM_FIT)) != (LEASE_ITEM_DATA | LEASE_ITEM_FIT))
		return LEASE_ANSWER_UNFIT;
	if (from->region != l->self.region && is_surely_ahead(l, wall_ms))
		return LEASE_ANSWER_CLOCK;
	if (voter_bound_ms(l, from->region) > 0)
		return LEASE_ANSWER_HELD;
	return lease_is_busy(l) ? LEASE_ANSWER_BUSY : LEASE_ANSWER_YES;
}

/* --- promise --- */

static enum lease_answer judge_promise(const struct lease *l, const struct lease_identity *from, uint64_t wall_ms,
				       const struct lease_item *m)
{
	uint64_t promised = lease_promised(l);

	if (region_of(m->epoch) != from->region || l->over[from->region] >= m->epoch)
		return LEASE_ANSWER_OVER;
	if (m->epoch <= promised)
		return LEASE_ANSWER_PROMISED;
	if (m->epoch >> 8 > (promised >> 8) + EPOCH_JUMP_MAX)
		return LEASE_ANSWER_JUMP;
	return judge_candidate(l, from, wall_ms, m);
}

static bool is_made(const struct lease *l, const struct lease_identity *from, uint64_t epoch)
{
	return l->promise_position_known && l->record.epoch == epoch && l->record.holder == from->region &&
	       l->record.boots == from->boots;
}

static void take_promise(struct lease *l, const struct lease_identity *from, uint64_t wall_ms, const struct lease_item *m,
			 const struct lease_reply *to)
{
	/* The answer was lost: it is told again, the fence has kept the position. */
	if (is_made(l, from, m->epoch) && l->over[from->region] < m->epoch) {
		lease_reply_to(l, to, LEASE_ANSWER_YES);
		return;
	}
	enum lease_answer a = judge_promise(l, from, wall_ms, m);
	if (a != LEASE_ANSWER_YES) {
		lease_reply_to(l, to, a);
		return;
	}
	l->staged = l->record;
	l->staged.epoch = m->epoch;
	l->staged.holder = from->region;
	l->staged.boots = from->boots;
	lease_stage(l, m->epoch, to);
}

/* The promise is on disk: from here this voter's own region is fenced as well. */
static enum lease_answer promise_stored(struct lease *l, struct position position)
{
	/* The log has gone beyond it since. */
	if (lease_promised(l) > l->staged.epoch)
		return LEASE_ANSWER_PROMISED;
	l->record.epoch = l->staged.epoch;
	l->record.holder = l->staged.holder;
	l->record.boots = l->staged.boots;
	l->promise_position = position;
	l->promise_position_known = true;
	l->promise_since_ms = l->now.boot_ms;
	l->promise_stuck_told = false;
	bind(l, l->record.epoch, l->record.holder, courtesy_ms(l));
	if (l->term.phase != TERM_NONE && l->term.epoch < l->record.epoch)
		term_end(l, LEASE_REASON_SUPERSEDED);
	if (l->reply.region != l->self.region)
		bid_drop(l);
	return LEASE_ANSWER_YES;
}

void voter_stored(struct lease *l, bool ok, struct position position)
{
	struct lease_reply to = l->reply;
	enum lease_answer answer = ok ? LEASE_ANSWER_YES : LEASE_ANSWER_FAILED;
	bool list_changed = l->staged.list.number != l->record.list.number;

	if (ok) {
		l->record.list = l->staged.list;
		l->record.pending = l->staged.pending;
	} else {
		l->urgent = true;
	}
	if (ok && to.kind == LEASE_PROMISE)
		answer = promise_stored(l, position);
	if (ok && list_changed) {
		bid_drop(l);
		lease_tell(l, LEASE_EVENT_LIST_IN_EFFECT, l->self.region, 0, l->record.list.number);
		/* The others learn of it from the next renewal. */
		l->term.renew_ms = l->now.boot_ms;
	}
	if (to.region != 0)
		lease_reply_to(l, &to, answer);
}

/* --- grant --- */

static void note_renewed(struct lease *l, const struct lease_item *m, uint64_t wall_ms)
{
	struct lease_renewed renewed = { .position = m->position, .wall_ms = wall_ms };

	l->heard = renewed;
	if (position_compare(l->here.position, m->position) >= 0)
		l->caught_up_ms = MAX(l->caught_up_ms, wall_ms);
	if (position_compare(m->position, l->record.renewed.position) > 0) {
		l->record.renewed = renewed;
		l->dirty = true;
	}
}

static enum lease_answer judge_grant(const struct lease *l, const struct lease_identity *from, const struct lease_item *m)
{
	uint64_t promised = lease_promised(l);

	if (region_of(m->epoch) != from->region || l->over[from->region] >= m->epoch)
		return LEASE_ANSWER_OVER;
	if (m->list_number < l->record.list.number)
		return LEASE_ANSWER_OLD_LIST;
	if (promised != m->epoch)
		return promised > m->epoch ? LEASE_ANSWER_PROMISED : LEASE_ANSWER_UNPROMISED;
	/* A later start never renews what an earlier one held. */
	if (l->record.boots != 0 && l->record.boots != from->boots)
		return LEASE_ANSWER_OVER;
	/* A promise that is being stored is to somebody else, and may be on disk. */
	return lease_is_busy(l) && l->staged.epoch > m->epoch ? LEASE_ANSWER_BUSY : LEASE_ANSWER_YES;
}

static void take_grant(struct lease *l, const struct lease_identity *from, uint64_t wall_ms, const struct lease_item *m,
		       const struct lease_reply *to)
{
	enum lease_answer a = judge_grant(l, from, m);

	if (a == LEASE_ANSWER_YES) {
		bind(l, m->epoch, from->region, l->config.wait_ms);
		note_renewed(l, m, wall_ms);
	}
	lease_reply_to(l, to, a);
}

/* --- abandon, release --- */

static void take_abandon(struct lease *l, const struct lease_identity *from, const struct lease_item *m)
{
	if (region_of(m->epoch) != from->region)
		return;
	l->over[from->region] = MAX(l->over[from->region], m->epoch);
	if (l->bound.holder == from->region && l->bound.epoch <= m->epoch)
		l->bound.until_ms = 0;
}

/* Only the holder itself may release, and who said so is known by its certificate (rule 18). */
static void take_release(struct lease *l, const struct lease_identity *from, uint64_t wall_ms, const struct lease_item *m,
			 const struct lease_reply *to)
{
	bool known = l->over[from->region] >= m->epoch;

	if (region_of(m->epoch) != from->region)
		return;
	take_abandon(l, from, m);
	if (!known && m->target != 0 && m->epoch == lease_promised(l) && voter_bound_ms(l, m->target) == 0)
		bind(l, m->epoch, m->target, courtesy_ms(l));
	if (!known)
		note_renewed(l, m, wall_ms);
	if (m->target != l->self.region) {
		lease_reply_to(l, to, LEASE_ANSWER_YES);
		return;
	}
	bool ready = position_compare(l->here.position, m->position) >= 0;
	lease_reply_to(l, to, ready ? LEASE_ANSWER_YES : LEASE_ANSWER_BEHIND);
	if (ready && !known)
		bid_soon(l, /* invited: */ true, /* reacquire: */ false);
}

/* --- lists --- */

/* A pending list counts only from the holder of the promised epoch, which stamped it with that epoch (rule 10). */
static bool pending_is_acceptable(const struct lease *l, const struct voter_list *now, const struct lease_item *m)
{
	return m->kind == LEASE_LIST && m->answer == LEASE_ANSWER_REQUEST && m->pending != NULL && m->pending->count > 0 &&
	       lease_promised(l) == m->epoch && m->pending->epoch == m->epoch &&
	       voters_check_change(now, m->pending, NULL) == ERR_NONE && m->pending->epoch >= l->staged.pending.epoch;
}

/* A later holder, which would have met that list at a majority if it were stored at one, has none. */
static bool is_dropped(const struct lease *l, const struct lease_item *m)
{
	return m->kind == LEASE_LIST && m->answer == LEASE_ANSWER_REQUEST && m->pending == NULL && m->list != NULL &&
	       m->list->number == l->record.list.number && lease_promised(l) == m->epoch &&
	       l->record.pending.epoch < m->epoch;
}

bool voter_take_list(struct lease *l, const struct lease_item *m, const struct lease_reply *reply)
{
	bool changed = false;

	l->staged = l->record;
	if (m->list != NULL && m->list->number > l->record.list.number) {
		l->staged.list = *m->list;
		changed = true;
	}
	if (l->staged.pending.count > 0 && (l->staged.pending.number <= l->staged.list.number || is_dropped(l, m))) {
		l->staged.pending = (struct voter_list){ 0 };
		changed = true;
	}
	if (pending_is_acceptable(l, &l->staged.list, m) && !voters_equal(m->pending, &l->staged.pending)) {
		l->staged.pending = *m->pending;
		changed = true;
	}
	if (changed)
		lease_stage(l, 0, reply);
	return changed;
}

static void take_list(struct lease *l, const struct lease_identity *from, const struct lease_item *m,
		      const struct lease_reply *to)
{
	if (lease_is_busy(l)) {
		lease_reply_to(l, to, LEASE_ANSWER_BUSY);
	} else if (region_of(m->epoch) != from->region || lease_promised(l) != m->epoch) {
		lease_reply_to(l, to, lease_promised(l) > m->epoch ? LEASE_ANSWER_PROMISED : LEASE_ANSWER_UNPROMISED);
	} else if (!voter_take_list(l, m, to)) {
		bool stored = m->pending == NULL || voters_equal(m->pending, &l->record.pending) ||
			      m->pending->number <= l->record.list.number;
		lease_reply_to(l, to, stored ? LEASE_ANSWER_YES : LEASE_ANSWER_OLD_LIST);
	}
}

/* --- all of them --- */

void voter_request(struct lease *l, const struct lease_identity *from, uint64_t wall_ms, const struct lease_item *m)
{
	struct lease_reply to = {
		.kind = m->kind,
		.region = from->region,
		.asker = from->nonce,
		.round = m->round,
		.epoch = m->epoch,
		.list_number = m->list_number,
	};

	switch (m->kind) {
	case LEASE_POLL:
		lease_reply_to(l, &to, judge_candidate(l, from, wall_ms, m));
		break;
	case LEASE_PROMISE:
		take_promise(l, from, wall_ms, m, &to);
		break;
	case LEASE_GRANT:
		take_grant(l, from, wall_ms, m, &to);
		break;
	case LEASE_ABANDON:
		take_abandon(l, from, m);
		break;
	case LEASE_RELEASE:
		take_release(l, from, wall_ms, m, &to);
		break;
	case LEASE_LIST:
		take_list(l, from, m, &to);
		break;
	case LEASE_HELLO:
		break;
	}
}
