/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way in and out of a lease, who may speak (rule 9), and what is stored.
 */
#include "replicator/lease_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/panic.h"

/* A holder's position is worth storing again after this part of what a promotion may lose. */
#define RENEWED_STORE_PART 4
#define CLOCK_SUSPECT_PERCENT 80

const char *lease_reason_name(enum lease_reason r)
{
	switch (r) {
#define LEASE_REASON(name, word) \
	case LEASE_REASON_##name: \
		return word;
#include "replicator/lease_reason.def"
#undef LEASE_REASON
	}
	return NULL;
}

const char *lease_event_name(enum lease_event e)
{
	switch (e) {
#define LEASE_EVENT(name, word, level, outcome) \
	case LEASE_EVENT_##name: \
		return word;
#include "replicator/lease_event.def"
#undef LEASE_EVENT
	}
	return NULL;
}

/* --- actions --- */

struct lease_action *lease_act(struct lease *l, enum lease_action_kind kind)
{
	ASSERT(l->out->count < LEASE_ACTIONS_MAX);
	struct lease_action *a = &l->out->list[l->out->count++];

	*a = (struct lease_action){ .kind = kind };
	return a;
}

void lease_tell(struct lease *l, enum lease_event event, uint8_t region, uint64_t epoch, uint64_t number)
{
	struct lease_action *a = lease_act(l, LEASE_TELL);

	a->event = event;
	a->region = region;
	a->epoch = epoch;
	a->number = number;
}

uint64_t lease_stamp_ms(const struct lease *l)
{
	return MAX(l->here.stamp_ms, l->caught_up_ms);
}

void lease_send(struct lease *l, uint8_t region, struct lease_item m)
{
	m.scope = l->scope;
	m.flags = lease_flags(l);
	m.promised = lease_promised(l);
	m.logged = l->here.epoch;
	if (m.position.epoch == 0)
		m.position = l->here.position;
	m.confirmed = l->here.confirmed;
	m.oldest = l->here.oldest;
	m.stamp_ms = lease_stamp_ms(l);
	m.renewed = l->record.renewed;
	m.list_number = l->record.list.number;
	if (m.pending == NULL && m.answer != LEASE_ANSWER_REQUEST && l->record.pending.count > 0)
		m.pending = &l->record.pending;
	if (region == l->self.region) {
		ASSERT(l->inbox_count < LEASE_INBOX_MAX);
		l->inbox[l->inbox_count++] = m;
		return;
	}
	struct lease_action *a = lease_act(l, LEASE_SEND);
	a->region = region;
	a->item = m;
}

void lease_reply_to(struct lease *l, const struct lease_reply *to, enum lease_answer answer)
{
	struct lease_item m = {
		.kind = to->kind,
		.answer = answer,
		.asker = to->asker,
		.round = to->round,
		.epoch = to->epoch,
		.remaining_ms = (uint32_t)voter_bound_ms(l, to->region),
	};

	if (to->kind == LEASE_PROMISE && answer == LEASE_ANSWER_YES)
		m.position = l->promise_position;
	if (to->list_number < l->record.list.number)
		m.list = &l->record.list;
	lease_send(l, to->region, m);
}

bool lease_is_busy(const struct lease *l)
{
	return l->staging && !l->staging_lazily;
}

void lease_stage(struct lease *l, uint64_t promise, const struct lease_reply *reply)
{
	ASSERT(!lease_is_busy(l));
	l->staging = true;
	l->staging_lazily = false;
	l->dirty = false;
	l->urgent = false;
	l->stored_ms = l->now.boot_ms;
	l->reply = reply != NULL ? *reply : (struct lease_reply){ 0 };
	struct lease_action *a = lease_act(l, LEASE_PERSIST);
	a->sequence = ++l->sequence;
	a->epoch = promise;
	a->record = &l->staged;
}

/* --- lists --- */

const struct voter_list *lease_pending(const struct lease *l)
{
	const struct voter_list *all[] = { &l->record.pending, &l->bid.pending, &l->term.proposal };
	const struct voter_list *best = NULL;

	for (uint32_t i = 0; i < LEN(all); i++)
		if (all[i]->count > 0 && all[i]->number == l->record.list.number + 1 &&
		    (best == NULL || all[i]->epoch > best->epoch))
			best = all[i];
	return best;
}

uint32_t lease_everybody(const struct lease *l, uint8_t regions[LEASE_ASKED_MAX])
{
	const struct voter_list *pending = lease_pending(l);
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->record.list.count; i++)
		regions[n++] = l->record.list.members[i].region;
	for (uint32_t i = 0; pending != NULL && i < pending->count && n < LEASE_ASKED_MAX; i++)
		if (voters_find(&l->record.list, pending->members[i].region) == NULL)
			regions[n++] = pending->members[i].region;
	return n;
}

bool lease_is_majority(const struct lease *l, const struct voter_set *s)
{
	const struct voter_list *pending = lease_pending(l);

	return voters_count_in(&l->record.list, s) >= voters_majority(&l->record.list) &&
	       (pending == NULL || voters_count_in(pending, s) >= voters_majority(pending));
}

static bool is_able(const struct lease *l)
{
	return !l->rolled_back && !l->here.failed && !l->here.unfit && l->here.stalled_ms < l->config.hold_ms;
}

bool lease_is_fit(const struct lease *l)
{
	const struct voter *me = voters_find_store(&l->record.list, l->self.region, l->self.store_id);

	return l->data && me != NULL && me->data && is_able(l);
}

uint8_t lease_flags(const struct lease *l)
{
	return (uint8_t)((l->data ? LEASE_ITEM_DATA : 0) | (lease_is_fit(l) ? LEASE_ITEM_FIT : 0) |
			 (is_able(l) ? LEASE_ITEM_ABLE : 0) | (l->replaced ? LEASE_ITEM_REPLACED : 0));
}

/* --- clocks --- */

void lease_measure(const struct lease *l, struct lease_now asked, uint64_t said_ms, int64_t *ret_offset_ms,
		   uint64_t *ret_error_ms)
{
	uint64_t trip_ms = l->now.boot_ms - asked.boot_ms;

	/* What the other clock shows now, if the answer took half the way; and at most half of it wrong. */
	*ret_offset_ms = (int64_t)(said_ms + trip_ms / 2) - (int64_t)l->now.wall_ms;
	*ret_error_ms = trip_ms / 2 + 1;
}

bool lease_is_off(const struct lease *l, int64_t offset_ms, uint64_t error_ms)
{
	uint64_t limit_ms = (uint64_t)l->config.clock_offset_ms_max * CLOCK_SUSPECT_PERCENT / 100;
	uint64_t size_ms = offset_ms < 0 ? (uint64_t)-offset_ms : (uint64_t)offset_ms;

	return size_ms >= limit_ms + error_ms;
}

/* --- who speaks --- */

static struct lease_seen *seen_of(struct lease *l, uint8_t region)
{
	for (uint32_t i = 0; i < l->record.seen_count; i++)
		if (l->record.seen[i].identity.region == region)
			return &l->record.seen[i];
	return NULL;
}

static const struct voter *member_of(const struct lease *l, const struct lease_identity *id)
{
	const struct voter_list *pending = lease_pending(l);
	const struct voter *m = voters_find_store(&l->record.list, id->region, id->store_id);

	return m == NULL && pending != NULL ? voters_find_store(pending, id->region, id->store_id) : m;
}

/* Room for one more: whoever left the lists gives up its place. */
static struct lease_seen *seen_add(struct lease *l)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; l->record.seen_count == LEN(l->record.seen) && i < l->record.seen_count; i++)
		if (member_of(l, &l->record.seen[i].identity) != NULL)
			l->record.seen[kept++] = l->record.seen[i];
	if (l->record.seen_count == LEN(l->record.seen))
		l->record.seen_count = kept;
	return l->record.seen_count < LEN(l->record.seen) ? &l->record.seen[l->record.seen_count++] : NULL;
}

/* A start that was never seen: after a greater one, or seen with another nonce, or with fewer promises, the store is not
 * what it was. */
static bool is_rolled_back(const struct lease_seen *s, const struct lease_identity *id, uint64_t promised)
{
	if (memcmp(s->identity.store_id, id->store_id, STORE_ID_BYTES) != 0)
		return false;
	if (id->boots != s->identity.boots)
		return id->boots < s->identity.boots || promised < s->promised;
	return id->nonce != s->identity.nonce;
}

/* YES, NO_MEMBER or ROLLED_BACK. */
static enum lease_answer judge(struct lease *l, const struct lease_identity *id, uint64_t promised)
{
	if (member_of(l, id) == NULL)
		return LEASE_ANSWER_NO_MEMBER;
	if (id->region == l->self.region)
		return LEASE_ANSWER_YES;
	struct lease_seen *s = seen_of(l, id->region);
	if (s != NULL && is_rolled_back(s, id, promised)) {
		if (!voter_set_has(&l->rolled_back_told, id->region))
			lease_tell(l, LEASE_EVENT_ROLLED_BACK, id->region, 0, 0);
		voter_set_add(&l->rolled_back_told, id->region);
		return LEASE_ANSWER_ROLLED_BACK;
	}
	if (s == NULL)
		s = seen_add(l);
	if (s == NULL)
		return LEASE_ANSWER_NO_MEMBER;
	if (s->identity.boots != id->boots || s->identity.nonce != id->nonce ||
	    memcmp(s->identity.store_id, id->store_id, STORE_ID_BYTES) != 0) {
		*s = (struct lease_seen){ .identity = *id };
		l->urgent = true;
	}
	s->promised = MAX(s->promised, promised);
	return LEASE_ANSWER_YES;
}

static enum lease_answer identify(struct lease *l, const struct lease_identity *id, uint64_t promised)
{
	enum lease_answer who = judge(l, id, promised);

	member_judged(l, id->region, who);
	return who;
}

/* --- messages --- */

/* A holder that its list has taken out lets go of what it held as a member. */
static bool is_farewell(struct lease *l, const struct lease_identity *id, const struct lease_item *m)
{
	const struct lease_seen *s = seen_of(l, id->region);

	return (m->kind == LEASE_RELEASE || m->kind == LEASE_ABANDON) && s != NULL &&
	       memcmp(s->identity.store_id, id->store_id, STORE_ID_BYTES) == 0 && s->identity.boots == id->boots &&
	       s->identity.nonce == id->nonce;
}

static void take_request(struct lease *l, const struct lease_identity *from, uint64_t wall_ms, const struct lease_item *m)
{
	enum lease_answer who = identify(l, from, m->promised);

	if (m->kind == LEASE_HELLO) {
		member_hello(l, from, m, who);
		return;
	}
	if (who == LEASE_ANSWER_YES || (who == LEASE_ANSWER_NO_MEMBER && is_farewell(l, from, m))) {
		voter_request(l, from, wall_ms, m);
		return;
	}
	struct lease_reply to = {
		.kind = m->kind,
		.region = from->region,
		.asker = from->nonce,
		.round = m->round,
		.epoch = m->epoch,
		.list_number = m->list_number,
	};
	if (from->region != l->self.region)
		lease_reply_to(l, &to, who);
}

/* Only answers to this very start mean anything, and only from members that are what they were (rule 9). */
static void take_answer(struct lease *l, const struct lease_identity *from, uint64_t wall_ms, const struct lease_item *m)
{
	if (m->asker != l->self.nonce)
		return;
	if (m->kind == LEASE_HELLO)
		member_hello_answered(l, m);
	if (identify(l, from, m->promised) != LEASE_ANSWER_YES)
		return;
	if (m->answer == LEASE_ANSWER_ROLLED_BACK && from->region != l->self.region)
		l->rolled_back = true;
	if (!lease_is_busy(l) && m->list != NULL && m->list->number > l->record.list.number)
		(void)voter_take_list(l, m, NULL); /* an answer wants no reply */
	switch (m->kind) {
	case LEASE_POLL:
		bid_answer(l, from->region, wall_ms, m);
		break;
	case LEASE_PROMISE:
		bid_answer(l, from->region, wall_ms, m);
		term_answer(l, from->region, wall_ms, m);
		break;
	case LEASE_GRANT:
	case LEASE_RELEASE:
	case LEASE_LIST:
		term_answer(l, from->region, wall_ms, m);
		break;
	case LEASE_ABANDON:
	case LEASE_HELLO:
		break;
	}
}

static void take(struct lease *l, const struct lease_identity *from, uint64_t wall_ms, const struct lease_item *m)
{
	if (from->region != l->self.region)
		member_note(l, from, m);
	if (m->answer == LEASE_ANSWER_REQUEST)
		take_request(l, from, wall_ms, m);
	else
		take_answer(l, from, wall_ms, m);
}

void lease_enter(struct lease *l, struct lease_now now, struct lease_actions *out)
{
	/* BOOTTIME never goes back; a caller whose threads read it in another order must not make it. */
	l->now.boot_ms = MAX(now.boot_ms, l->now.boot_ms);
	l->now.wall_ms = now.wall_ms;
	l->out = out;
	out->count = 0;
}

/* What this region has to say to itself; messages to oneself give rise to few others, so this ends. */
void lease_leave(struct lease *l)
{
	while (l->inbox_count > 0) {
		struct lease_item m = l->inbox[0];

		memmove(&l->inbox[0], &l->inbox[1], --l->inbox_count * sizeof(m));
		take(l, &l->self, l->now.wall_ms, &m);
	}
	l->out = NULL;
}

/* --- storing --- */

static void store_when_due(struct lease *l)
{
	uint64_t since_ms = l->now.boot_ms - l->stored_ms;

	/* A holder's position changes all the time; a witness that restarts may know it roughly. */
	if (l->staging || !(l->urgent || (l->dirty && since_ms >= l->config.max_loss_ms / RENEWED_STORE_PART)))
		return;
	/* What could not be stored is tried again, but not at once. */
	if (l->urgent && l->stored_ms != 0 && since_ms < l->config.step_ms)
		return;
	l->staged = l->record;
	lease_stage(l, 0, NULL);
	l->staging_lazily = true;
}

void lease_persisted(struct lease *l, struct lease_now now, uint64_t sequence, bool ok, struct position position,
		     struct lease_actions *out)
{
	lease_enter(l, now, out);
	if (l->staging && sequence == l->sequence) {
		l->staging = false;
		voter_stored(l, ok, position);
	}
	lease_leave(l);
}

/* --- life --- */

static void load(struct lease *l, const struct lease_options *o)
{
	if (o->record != NULL)
		l->record = *o->record;
	if (l->record.list.count == 0)
		l->record.list = o->proposed;
	l->staged = l->record;
}

enum err lease_new(const struct lease_options *o, struct lease_now now, struct lease **ret_lease,
		   struct fault *reterr_fault)
{
	enum err err = lease_config_check(&o->config, reterr_fault);

	if (err == ERR_NONE && (o->record == NULL || o->record->list.count == 0))
		err = voters_check(&o->proposed, reterr_fault);
	if (err != ERR_NONE)
		return err;
	if (o->self.region == 0 || o->self.nonce == 0)
		return fault_set(reterr_fault, ERR_CONFIG, "a region that votes needs an id from 1 to 255, and a nonce");
	struct lease *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for a lease");
	l->scope = o->scope;
	l->self = o->self;
	l->data = o->data;
	l->preferred = o->preferred;
	l->known = o->known;
	l->was_empty = o->here.epoch == 0 && o->record == NULL;
	l->config = o->config;
	l->now = now;
	l->here = o->here;
	load(l, o);
	voter_start(l);
	*ret_lease = l;
	return ERR_NONE;
}

void lease_free(struct lease *l)
{
	free(l);
}

/* --- inputs --- */

void lease_tick(struct lease *l, struct lease_now now, struct lease_actions *out)
{
	lease_enter(l, now, out);
	voter_tick(l);
	term_tick(l);
	bid_tick(l);
	member_tick(l);
	store_when_due(l);
	lease_leave(l);
}

void lease_set_here(struct lease *l, struct lease_now now, const struct lease_here *here, struct lease_actions *out)
{
	lease_enter(l, now, out);
	l->here = *here;
	if (position_compare(l->here.position, l->heard.position) >= 0)
		l->caught_up_ms = MAX(l->caught_up_ms, l->heard.wall_ms);
	voter_follow(l);
	if (l->term.phase != TERM_NONE && l->here.epoch > l->term.epoch)
		term_end(l, LEASE_REASON_SUPERSEDED);
	lease_leave(l);
}

void lease_receive(struct lease *l, struct lease_now now, const struct lease_identity *from, uint64_t sent_wall_ms,
		   const struct lease_item *item, struct lease_actions *out)
{
	lease_enter(l, now, out);
	if (item->scope == l->scope && from->region != l->self.region)
		take(l, from, sent_wall_ms, item);
	lease_leave(l);
}

void lease_accept_loss(struct lease *l, struct lease_now now, uint64_t for_ms)
{
	l->accept_loss_until_ms = now.boot_ms + for_ms;
}

/* --- answers --- */

uint64_t lease_due(const struct lease *l)
{
	uint64_t due = MIN(MIN(bid_due(l), term_due(l)), member_due(l));

	return (l->dirty || l->urgent) && !l->staging ? MIN(due, l->now.boot_ms + l->config.step_ms) : due;
}

uint64_t lease_promised(const struct lease *l)
{
	/* To follow an epoch is to have promised it (rule 5). */
	return MAX(l->record.epoch, l->here.epoch);
}

bool lease_counts(const struct lease *l)
{
	return member_is_listed(l) && !l->rolled_back && !(l->was_empty && l->record.list.number == 0);
}

const struct voter_list *lease_voters(const struct lease *l)
{
	return &l->record.list;
}

bool lease_term_valid(const struct lease_term *t, uint64_t epoch, struct lease_now now)
{
	return epoch != 0 && t->epoch == epoch && now.boot_ms < t->boot_until_ms && now.wall_ms < t->wall_until_ms;
}
