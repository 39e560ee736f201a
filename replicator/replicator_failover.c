/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators do when there is no primary: have a region stand, and give up regions that are lost for good.
 *
 * The region that is asked orders the one that is to become the primary to stand, again and again, until it writes, another
 * one does, or it is known why nobody can.
 */
#include "replicator/replicator_inner.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "replicator/stand.h"

#define ORDER_EVERY_MS 200
/* An order that is not repeated lapses. */
#define ORDER_FOR_MS 2000
/* A primary renews its lease every renew_ms: whoever was heard within so much of that is alive. */
#define ALIVE_PERCENT 150
#define PLACE_MS_MAX 5000
#define WORDS_BYTES_MAX 512

/* --- the region that stands --- */

/* Appends the names of members that do, or do not, answer. */
static uint32_t put_names(const struct replicator *r, const struct lease_look *look, bool answering, struct buf *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < look->count; i++) {
		const struct lease_member *m = &look->members[i];

		if (!m->listed || (m->heard && !m->silent) != answering)
			continue;
		if (out != NULL)
			buf_printf(out, "%s%s", n > 0 ? "," : "", replicator_name(r, m->region));
		n++;
	}
	return n;
}

/* What it waits for. */
static void put_waits(const struct replicator *r, const struct lease_look *look, struct stand_state *s)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(WORDS_BYTES_MAX);
	uint32_t majority = voters_majority(&look->list);

	if (s->answering < majority) {
		buf_printf(&words, "%u of %u voters answer, %u are needed; out of reach: ", s->answering, s->voters, majority);
		(void)put_names(r, look, false, &words);
	} else if (s->loss_refused) {
		buf_printf(&words, "it would fall %.1f s behind what the last primary told of", (double)s->loss.ms / 1000);
	} else if (look->bound_ms > 0 && look->bound_to != r->options.self.id) {
		buf_printf(&words, "its voter is bound to region %s for %llu ms more", replicator_name(r, look->bound_to),
			   (unsigned long long)look->bound_ms);
	} else {
		buf_append_cstr(&words, "the election is under way");
		for (uint32_t i = 0; i < look->count; i++) {
			const struct lease_member *m = &look->members[i];

			if (m->listed && !m->self && m->heard && !m->silent && m->said > LEASE_ANSWER_YES)
				buf_printf(&words, "; region %s said: %s", replicator_name(r, m->region), lease_answer_name(m->said));
		}
	}
	if (!buf_err(&words))
		memcpy(s->words, words.data, MIN(words.len, sizeof(s->words) - 1));
}

static void fill_state(struct replicator *r, struct stand_state *s)
{
	struct lease_look look;
	struct committer_state c;

	committer_state(r->committer, &c);
	lease_run_look(r->lease.run, &look);
	s->fleet = r->fleet;
	s->epoch = replicator_is_writer(r, &c) ? c.epoch : 0;
	s->voters = look.list.count;
	s->answering = put_names(r, &look, true, NULL);
	s->loss = look.loss;
	s->loss_refused = s->loss_refused && look.loss.known && look.loss.ms > r->options.lease.max_loss_ms;
	if (s->can)
		put_waits(r, &look, s);
}

static enum err obey(struct replicator *r, const struct stand_order *o, struct stand_state *ret_state, struct fault *f)
{
	struct committer_state c;
	struct fault why = { 0 };

	if (!replicator_has_lease(r))
		return fault_set(f, ERR_BAD_INPUT, "region %s has failover.mode off, or no vote", r->options.self.name);
	*ret_state = (struct stand_state){ .can = true, .loss_refused = !o->accept_loss };
	committer_state(r->committer, &c);
	if (o->hold_back) {
		lease_run_hold_back(r->lease.run, o->for_ms);
	} else if (!replicator_is_writer(r, &c)) {
		if (o->accept_loss)
			lease_run_accept_loss(r->lease.run, o->for_ms);
		ret_state->can = lease_run_stand(r->lease.run, o->for_ms, &why) == ERR_NONE;
		if (!ret_state->can)
			(void)snprintf(ret_state->words, sizeof(ret_state->words), "%s", fault_text(&why));
	}
	fill_state(r, ret_state);
	return ERR_NONE;
}

enum err replicator_stand(struct replicator *r, struct bytes order, struct buf *out, struct fault *reterr_fault)
{
	struct stand_order o;
	struct stand_state s;
	enum err err = stand_order_decode(order, &o, reterr_fault);

	if (err == ERR_NONE && o.fleet != r->fleet)
		err = fault_set(reterr_fault, ERR_BAD_INPUT, "an order of another fleet; compare fleet.name");
	if (err == ERR_NONE)
		err = obey(r, &o, &s, reterr_fault);
	if (err != ERR_NONE)
		return err;
	log_info("an operator has %s region stand for primary accept_loss=%s", o.hold_back ? "another" : "this",
		 o.accept_loss ? "yes" : "no");
	return stand_state_encode(&s, out);
}

/* --- the region that was asked --- */

static enum err order(struct replicator *r, uint8_t target, const struct stand_order *o, struct stand_state *ret_state,
		      struct fault *f)
{
	CLEANUP(buf_release) struct buf in = BUF_INIT(STAND_BYTES_MAX);
	CLEANUP(buf_release) struct buf out = BUF_INIT(STAND_BYTES_MAX);
	struct peer_link *link = peers_link(r->peers);

	if (target == r->options.self.id)
		return obey(r, o, ret_state, f);
	if (link == NULL || link->stand == NULL)
		return fault_set(f, ERR_UNAVAILABLE, "other regions cannot be asked from region %s", r->options.self.name);
	enum err err = stand_order_encode(o, &in);
	if (err == ERR_NONE)
		err = link->stand(link, target, buf_bytes(&in), &out, f);
	if (err == ERR_NONE)
		err = stand_state_decode(buf_bytes(&out), ret_state, f);
	if (err == ERR_NONE && ret_state->fleet != r->fleet)
		err = fault_set(f, ERR_BAD_INPUT, "region %s is of another fleet", replicator_name(r, target));
	return err;
}

/* Of those that answer and may be the primary the one with most; of equals the home, this region, the first. */
static bool is_better(const struct replicator *r, const struct lease_member *a, const struct lease_member *than)
{
	int c = position_compare(a->position, than->position);

	if (c != 0 || than->region == r->options.home)
		return c > 0;
	return a->region == r->options.home;
}

static enum err choose(struct replicator *r, const struct failover_options *o, uint8_t *ret_target, struct fault *f)
{
	const struct lease_member *best = NULL;
	struct lease_look look;

	lease_run_look(r->lease.run, &look);
	if (o->to != 0) {
		const struct voter *v = voters_find(&look.list, o->to);

		*ret_target = o->to;
		if (v == NULL || !v->data)
			return fault_set(f, ERR_BAD_INPUT, "region %s cannot become the primary: it is no data region of voter list "
					 "%llu", replicator_name(r, o->to), (unsigned long long)look.list.number);
		return ERR_NONE;
	}
	for (uint32_t i = 0; i < look.count; i++) {
		const struct lease_member *m = &look.members[i];

		if (m->listed && m->voter.data && m->heard && !m->silent && m->flags & LEASE_ITEM_FIT &&
		    (best == NULL || is_better(r, m, best)))
			best = m;
	}
	if (best == NULL)
		return fault_set(f, ERR_UNAVAILABLE, "no data region that answers region %s may be the primary: see `isthmusctl "
				 "region list`", r->options.self.name);
	*ret_target = best->region;
	return ERR_NONE;
}

/* Whoever renewed its lease a moment ago is alive. */
static enum err check_no_primary(struct replicator *r, uint8_t before, struct fault *f)
{
	struct committer_state s;
	struct lease_look look;

	committer_state(r->committer, &s);
	if (replicator_is_writer(r, &s))
		return fault_set(f, ERR_BAD_INPUT, "region %s is the primary and alive: `isthmusctl switchover --to REGION` hands over "
				 "and loses nothing", r->options.self.name);
	lease_run_look(r->lease.run, &look);
	for (uint32_t i = 0; i < look.count; i++) {
		const struct lease_member *m = &look.members[i];

		if (m->region == before && !m->self && m->heard && look.bound_to == before &&
		    m->silent_ms < (uint64_t)r->options.lease.renew_ms * ALIVE_PERCENT / 100)
			return fault_set(f, ERR_BAD_INPUT,
					 "region %s is the primary and was heard %llu ms ago: `isthmusctl switchover --to REGION` "
					 "hands over and loses nothing", replicator_name(r, before),
					 (unsigned long long)m->silent_ms);
	}
	return ERR_NONE;
}

static enum err refuse_loss(const struct replicator *r, uint8_t target, const struct lease_loss *loss, struct fault *f)
{
	char ops[64] = "an unknown number of";

	if (loss->last.epoch == loss->best.epoch)
		(void)snprintf(ops, sizeof(ops), "%llu", (unsigned long long)(loss->last.seq - loss->best.seq));
	return fault_set(f, ERR_BAD_INPUT,
			 "region %s would fall %.1f s and %s writes behind what the last primary told of, more than "
			 "failover.max_loss allows: bring the missing regions back, or `isthmusctl failover --to %s --accept-loss`",
			 replicator_name(r, target), (double)loss->ms / 1000, ops, replicator_name(r, target));
}

/* After the time is over. */
static enum err refuse(const struct replicator *r, uint8_t target, const struct stand_state *s, const struct fault *why,
		       struct fault *f)
{
	struct lease_look look;
	CLEANUP(buf_release) struct buf lost = BUF_INIT(WORDS_BYTES_MAX);
	const char *name = replicator_name(r, target);

	if (why->err != ERR_NONE)
		return fault_set(f, ERR_UNAVAILABLE, "%s", fault_text(why));
	if (s->answering >= s->voters / 2 + 1)
		return fault_set(f, ERR_TIMEOUT, "region %s did not become the primary in time: %s", name, s->words);
	lease_run_look(r->lease.run, &look);
	(void)put_names(r, &look, false, &lost);
	buf_append_byte(&lost, '\0');
	return fault_set(f, ERR_UNAVAILABLE,
			 "region %s cannot become the primary: %s. If these are lost for good: `isthmusctl failover --force --lost "
			 "%s`", name, s->words, buf_err(&lost) ? "R,.." : (const char *)lost.data);
}

struct standing_order {
	uint8_t target;
	uint64_t epoch;       /* before */
	uint64_t began_ns, until_ns;
	const struct failover_options *options;
};

/* Did anybody become the primary? */
static bool is_done(struct replicator *r, const struct standing_order *so, const struct stand_state *s,
		    struct failover_report *report)
{
	struct committer_state c;

	committer_state(r->committer, &c);
	uint64_t newest = MAX(s->epoch, MAX(peers_newest_epoch(r->peers), c.epoch));
	bool other = newest > so->epoch && (uint8_t)newest != so->target;

	if (s->epoch == 0 && !other)
		return false;
	report->epoch = newest;
	report->primary = (uint8_t)newest;
	report->loss = s->loss;
	report->took_ms = (clock_mono_ns(r->options.clock) - so->began_ns) / NS_PER_MS;
	return true;
}

/* Those that would stand by themselves let the one that was named. */
static void hold_others_back(struct replicator *r, uint8_t target)
{
	const struct stand_order o = { .fleet = r->fleet, .for_ms = ORDER_FOR_MS, .hold_back = true };
	struct lease_look look;
	struct stand_state s;
	struct fault why;

	lease_run_look(r->lease.run, &look);
	for (uint32_t i = 0; i < look.count; i++) {
		const struct lease_member *m = &look.members[i];

		if (!m->listed || !m->voter.data || !m->heard || m->silent || m->region == target)
			continue;
		if (order(r, m->region, &o, &s, &why) != ERR_NONE)
			log_debug("a region was not told to let another stand region=%s", replicator_name(r, m->region));
	}
}

static enum err have_stand(struct replicator *r, const struct standing_order *so, struct failover_report *report,
			   struct fault *f)
{
	const struct stand_order o = { .fleet = r->fleet, .for_ms = ORDER_FOR_MS, .accept_loss = so->options->accept_loss };
	struct stand_state s = { 0 };
	struct fault why;

	do {
		why = (struct fault){ 0 };
		if (so->options->to != 0)
			hold_others_back(r, so->target);
		enum err err = order(r, so->target, &o, &s, &why);

		if (err == ERR_BAD_INPUT)
			return fault_set(f, err, "%s", fault_text(&why));
		if (err != ERR_NONE && why.err == ERR_NONE)
			(void)fault_set(&why, err, "region %s: %s", replicator_name(r, so->target), err_sentence(err));
		if (s.epoch != 0 && s.epoch <= so->epoch)
			return fault_set(f, ERR_BAD_INPUT, "region %s is the primary and alive: there is nothing to fail over",
					 replicator_name(r, so->target));
		if (is_done(r, so, &s, report))
			return ERR_NONE;
		if (err == ERR_NONE && !s.can)
			return fault_set(f, ERR_UNAVAILABLE, "region %s: %s", replicator_name(r, so->target), s.words);
		if (err == ERR_NONE && s.loss_refused)
			return refuse_loss(r, so->target, &s.loss, f);
	} while (clock_mono_ns(r->options.clock) < so->until_ns && replicator_pause(r, ORDER_EVERY_MS));
	return refuse(r, so->target, &s, &why, f);
}

/* What is so far; whatever comes of it has a greater epoch. */
static struct standing_order begin(struct replicator *r, const struct failover_options *o, struct failover_report *report)
{
	struct committer_state s;

	committer_state(r->committer, &s);
	uint64_t epoch = MAX(s.epoch, peers_newest_epoch(r->peers));
	*report = (struct failover_report){ .before = (uint8_t)epoch };
	return (struct standing_order){ .epoch = epoch, .began_ns = clock_mono_ns(r->options.clock), .options = o };
}

static enum err fail_over(struct replicator *r, struct standing_order so, struct failover_report *report, struct fault *f)
{
	const struct failover_options *o = so.options;
	enum err err = choose(r, o, &so.target, f);

	if (err != ERR_NONE)
		return err;
	so.until_ns = clock_mono_ns(r->options.clock) + o->timeout_ms * NS_PER_MS;
	log_info("an operator asks for a failover to=%s accept_loss=%s", replicator_name(r, so.target),
		 o->accept_loss ? "yes" : "no");
	return have_stand(r, &so, report, f);
}

static enum err take_turn(struct replicator *r, struct fault *f)
{
	if (!replicator_has_lease(r))
		return fault_set(f, ERR_BAD_INPUT,
				 "region %s has failover.mode off, or no vote: ask a region that votes, or use `isthmusctl switchover`",
				 r->options.self.name);
	(void)pthread_mutex_lock(&r->lock);
	bool busy = r->switching;

	r->switching = true;
	(void)pthread_mutex_unlock(&r->lock);
	return busy ? fault_set(f, ERR_UNAVAILABLE, "another switchover or failover is under way") : ERR_NONE;
}

static void end_turn(struct replicator *r)
{
	(void)pthread_mutex_lock(&r->lock);
	r->switching = false;
	(void)pthread_mutex_unlock(&r->lock);
}

enum err replicator_failover(struct replicator *r, const struct failover_options *o, struct failover_report *ret_report,
			     struct fault *reterr_fault)
{
	enum err err = take_turn(r, reterr_fault);

	if (err != ERR_NONE)
		return err;
	struct standing_order so = begin(r, o, ret_report);
	err = check_no_primary(r, ret_report->before, reterr_fault);
	if (err == ERR_NONE)
		err = fail_over(r, so, ret_report, reterr_fault);
	end_turn(r);
	return err;
}

/* --- regions that are lost for good --- */

/* Those in the list that have it, this region among them. */
static uint32_t have_list(struct replicator *r, const struct voter_list *list)
{
	struct lease_look look;
	uint32_t n = 0;

	lease_run_look(r->lease.run, &look);
	for (uint32_t i = 0; i < look.count; i++) {
		const struct lease_member *m = &look.members[i];

		n += voters_find(list, m->region) != NULL && m->heard && !m->silent && m->list_number >= list->number;
	}
	return n;
}

/* Until a majority of those that remain have it: it is stored here, and greetings bring it to the others. */
static enum err put_in_place(struct replicator *r, const struct voter_set *lost, struct voter_list *ret_list, struct fault *f)
{
	uint64_t until_ns = clock_mono_ns(r->options.clock) + PLACE_MS_MAX * NS_PER_MS;
	struct voter_list list;
	enum err err;

	/* Something else may be on its way to the disk. */
	do
		err = lease_run_force_list(r->lease.run, lost, &list, f);
	while (err == ERR_UNAVAILABLE && clock_mono_ns(r->options.clock) < until_ns && replicator_pause(r, ORDER_EVERY_MS));
	if (err != ERR_NONE)
		return err;
	log_warn("an operator gives regions up for good, a new voter list is put in place number=%llu voters=%u",
		 (unsigned long long)list.number, list.count);
	while (have_list(r, &list) < voters_majority(&list))
		if (clock_mono_ns(r->options.clock) >= until_ns || !replicator_pause(r, ORDER_EVERY_MS))
			return fault_set(f, ERR_TIMEOUT,
					 "voter list %llu was made, but not stored by a majority of its %u voters in time: see "
					 "`isthmusctl region list`",
					 (unsigned long long)list.number, list.count);
	*ret_list = list;
	return ERR_NONE;
}

enum err replicator_force(struct replicator *r, const struct voter_set *lost, const struct failover_options *o,
			  struct voter_list *ret_list, struct failover_report *ret_report, struct fault *reterr_fault)
{
	struct failover_options accept = *o;
	enum err err = take_turn(r, reterr_fault);

	*ret_list = (struct voter_list){ 0 };
	if (err != ERR_NONE)
		return err;
	/* What only the lost regions had is gone: there is nothing left to be careful of. */
	accept.accept_loss = true;
	struct standing_order so = begin(r, &accept, ret_report);
	err = put_in_place(r, lost, ret_list, reterr_fault);
	/* With the list in place a region may become it by itself. */
	if (err == ERR_NONE)
		err = fail_over(r, so, ret_report, reterr_fault);
	end_turn(r);
	return err;
}
