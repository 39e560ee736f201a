/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histories of other regions: following the one that went on without this region, and copying one.
 */
#include "replicator/applier_inner.h"

#include "base/log.h"

#define NS_PER_S UINT64_C(1000000000)
/* After what did not succeed. */
#define FOLLOW_RETRY_NS NS_PER_S

/* --- asking --- */

/* chain_release() after it. */
static enum err ask_chain(struct applier *a, uint8_t region, struct chain *ret_chain, struct fault *f)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CHAIN_BYTES_MAX);
	struct peer_link *link = peers_link(a->options.peers);
	struct chain chain;

	if (link == NULL || link->chain == NULL)
		return fault_set(f, ERR_UNAVAILABLE, "there is no way to ask region %u for its history", region);
	enum err err = link->chain(link, region, &b, f);
	if (err != ERR_NONE)
		return err;
	err = chain_decode(buf_bytes(&b), &chain, f);
	if (err != ERR_NONE)
		return err;
	if (chain.region == region && chain.fleet == peers_fleet(a->options.peers)) {
		*ret_chain = chain;
		return ERR_NONE;
	}
	chain_release(&chain);
	return fault_set(f, ERR_BAD_GATEWAY, "region %u answered with the history of another region or fleet", region);
}

static enum err take_back(struct applier *a, struct rewind *r, struct fault *f)
{
	struct fault why = { 0 };
	enum err err = committer_rewind(a->options.committer, r, &why);

	if (err == ERR_NOT_FOUND || err == ERR_GAP)
		return fault_set(f, err, "%s; this region needs a copy of another region's state", fault_text(&why));
	return err != ERR_NONE ? fault_set(f, err, "%s", fault_text(&why)) : ERR_NONE;
}

/* --- what was shown --- */

bool applier_ask_shown(struct applier *a, uint64_t epoch, uint64_t first, struct known *ret_known)
{
	(void)pthread_mutex_lock(&a->lock);
	const struct history *h = &a->shown.history;
	uint64_t newest = h->epoch;
	uint64_t end = epoch < newest ? history_end(h, a->shown.position, epoch) : UINT64_MAX;

	(void)pthread_mutex_unlock(&a->lock);
	*ret_known = (struct known){ 0 };
	/* As new as what was shown, or forgotten there. */
	if (end == UINT64_MAX)
		return true;
	if (end < first)
		return false;
	*ret_known = (struct known){ .history_epoch = newest, .upto = { epoch, end } };
	return true;
}

/* Takes the history over. */
static void set_shown(struct applier *a, struct chain *chain)
{
	(void)pthread_mutex_lock(&a->lock);
	struct chain old = a->shown;

	a->shown = *chain;
	(void)pthread_mutex_unlock(&a->lock);
	*chain = (struct chain){ 0 };
	chain_release(&old);
}

/* The epoch of the newest history shown; *ret_place: where a position lies in it. 0: none was. */
static uint64_t find_in_shown(struct applier *a, struct position p, enum history_place *ret_place)
{
	(void)pthread_mutex_lock(&a->lock);
	uint64_t epoch = a->shown.history.epoch;

	*ret_place = p.epoch == 0 ? HISTORY_IN : history_find(&a->shown.history, a->shown.position, p);
	(void)pthread_mutex_unlock(&a->lock);
	return epoch;
}

/* --- following --- */

bool applier_is_aside(struct applier *a)
{
	(void)pthread_mutex_lock(&a->lock);
	bool aside = a->aside.err != ERR_NONE;

	(void)pthread_mutex_unlock(&a->lock);
	return aside;
}

/* Said once when it begins, and when it is another thing, and once when it is over. */
static void set_aside(struct applier *a, enum err err, const struct fault *f)
{
	(void)pthread_mutex_lock(&a->lock);
	enum err was = a->aside.err;

	a->aside = err != ERR_NONE ? *f : (struct fault){ 0 };
	a->aside.err = err;
	a->aside_over = false;
	(void)pthread_mutex_unlock(&a->lock);
	if (err != ERR_NONE && err != was)
		log_warn("this region is not ready: it stands outside the history of the others reason=\"%s\"", fault_text(f));
	if (err == ERR_NONE && was != ERR_NONE)
		log_info("this region follows the history of the others again");
}

/* Its ops that the history does not have become orphans. ERR_NONE also when there are none. */
static enum err make_way(struct applier *a, struct source *s, const struct chain *chain, struct position here)
{
	struct rewind r = { .history = &chain->history, .end = chain->position };
	struct fault words = { 0 };
	struct fault f = { 0 };

	(void)fault_set(&words, ERR_UNAVAILABLE,
			"this region stood at (%llu,%llu), outside the history of epoch %llu, which region %s is in: what it has beyond "
			"is taken back and kept as orphans, then it catches up",
			(unsigned long long)here.epoch, (unsigned long long)here.seq,
			(unsigned long long)chain->history.epoch, peers_by_id(a->options.peers, s->region)->name);
	if (!applier_is_aside(a))
		set_aside(a, ERR_UNAVAILABLE, &words);
	/* A copy under way counts on what is here. */
	(void)pthread_mutex_lock(&a->refill_lock);
	enum err err = take_back(a, &r, &f);

	(void)pthread_mutex_unlock(&a->refill_lock);
	if (err == ERR_NONE) {
		(void)pthread_mutex_lock(&a->lock);
		a->aside_over = true;
		(void)pthread_mutex_unlock(&a->lock);
	}
	if (err != ERR_NONE && err != ERR_UNAVAILABLE) {
		(void)fault_set(&words, err, "this region stands outside the history of epoch %llu, which region %s is in: %s",
				(unsigned long long)chain->history.epoch, peers_by_id(a->options.peers, s->region)->name,
				fault_text(&f));
		set_aside(a, err, &words);
	}
	return err;
}

/* A history that makes this region follow is newer than its own, and as new as what it promised: an older one, of a region that
 * was cut off, takes nothing back. */
static bool is_newer(const struct chain *chain, const struct committer_state *s)
{
	return chain->history.epoch > s->epoch && chain->history.epoch >= s->promised;
}

/* True when something was taken back or applied. */
static bool follow_source(struct applier *a, struct source *source, const struct committer_state *s, bool *ret_done)
{
	struct fault f = { 0 };
	struct chain chain;
	enum history_place place;

	*ret_done = false;
	enum err err = ask_chain(a, source->region, &chain, &f);
	if (err != ERR_NONE) {
		log_debug("a region's history was not told region=%u reason=\"%s\"", source->region, fault_text(&f));
		return false;
	}
	*ret_done = is_newer(&chain, s);
	struct position end = chain.position;
	if (*ret_done)
		set_shown(a, &chain);
	chain_release(&chain);
	if (!*ret_done || find_in_shown(a, s->position, &place) == 0)
		return false;
	if (place != HISTORY_IN) {
		/* The watcher alone changes what was shown. */
		err = make_way(a, source, &a->shown, s->position);
		if (err != ERR_NONE)
			a->follow_ns = clock_mono_ns(a->options.clock) + FOLLOW_RETRY_NS;
		if (err != ERR_NONE)
			return false;
	}
	/* What nothing fences comes by the streams. */
	bool at_once = place != HISTORY_IN || s->promised > s->epoch;
	return at_once && (applier_refill(a, source, end) || place != HISTORY_IN);
}

/* Is there anybody in a newer epoch, who was not asked yet, or whose history does not have what is here? */
static bool is_due(struct applier *a, const struct committer_state *s, const struct source *from)
{
	uint64_t newest = peers_newest_epoch(a->options.peers);
	enum history_place place;
	uint64_t shown = find_in_shown(a, s->position, &place);

	if (newest <= s->epoch && from == NULL)
		return false;
	return from != NULL || shown < newest || place != HISTORY_IN || s->promised > shown;
}

bool applier_follow(struct applier *a)
{
	struct candidate candidates[PEERS_MAX];
	struct committer_state s = applier_here(a);
	enum history_place place;

	(void)pthread_mutex_lock(&a->lock);
	struct source *from = TAKE(a->follow_due);
	(void)pthread_mutex_unlock(&a->lock);
	if (find_in_shown(a, s.position, &place) <= s.epoch)
		set_aside(a, ERR_NONE, NULL);
	if (clock_mono_ns(a->options.clock) < a->follow_ns || !is_due(a, &s, from))
		return false;
	uint32_t n = applier_ahead_of(a, s.position, from, candidates);
	for (uint32_t i = 0; i < n && !applier_is_stopping(a); i++) {
		bool done;
		bool moved = follow_source(a, candidates[i].source, &s, &done);

		if (done)
			return moved;
	}
	a->follow_ns = clock_mono_ns(a->options.clock) + FOLLOW_RETRY_NS;
	return false;
}

/* --- copying --- */

struct copy {
	struct applier *applier;
	uint8_t region;
	struct position upto;
	uint64_t epoch;       /* that this region promised when it began to copy */
	struct fault *fault;
};

static enum err copy_fail(const struct copy *c, enum err err, const char *what)
{
	return fault_set(c->fault, err, "copying the history of region %u up to (%llu,%llu): %s", c->region,
			 (unsigned long long)c->upto.epoch, (unsigned long long)c->upto.seq, what);
}

/* What this region has beyond the last position that both have. */
static enum err copy_take_back(const struct copy *c)
{
	struct chain chain;
	enum err err = ask_chain(c->applier, c->region, &chain, c->fault);

	if (err != ERR_NONE)
		return err;
	struct rewind r = { .history = &chain.history, .end = chain.position, .history_epoch = c->epoch };
	if (history_find(&chain.history, chain.position, c->upto) == HISTORY_IN)
		err = take_back(c->applier, &r, c->fault);
	else
		err = copy_fail(c, ERR_UNAVAILABLE, "its history does not have that position");
	chain_release(&chain);
	return err;
}

/* One message of its log. */
static enum err copy_some(const struct copy *c, struct position here)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	struct peer_link *link = peers_link(c->applier->options.peers);
	const struct known known = { .history_epoch = c->epoch, .upto = c->upto };
	struct taken taken;
	enum err err = link->log(link, c->region, SCOPE_FLEET, here, &payload, c->fault);

	if (err == ERR_NOT_FOUND)
		return copy_fail(c, ERR_UNAVAILABLE, "its log ends before that position");
	if (err != ERR_NONE)
		return err;
	return applier_take(c->applier, buf_bytes(&payload), &known, &taken, NULL, c->fault);
}

/* Each turn brings this region nearer, or ends it. */
static enum err copy_log(const struct copy *c)
{
	struct position at = applier_here(c->applier).position;

	while (position_compare(at, c->upto) < 0) {
		if (applier_is_stopping(c->applier))
			return copy_fail(c, ERR_UNAVAILABLE, "this region is being stopped");
		enum err err = copy_some(c, at);
		if (err != ERR_NONE)
			return err;
		struct position now = applier_here(c->applier).position;
		if (position_compare(now, at) <= 0)
			return copy_fail(c, ERR_UNAVAILABLE, "its log does not go on there");
		at = now;
	}
	return position_compare(at, c->upto) == 0 ? ERR_NONE : copy_fail(c, ERR_FORK, "this region stands beyond it");
}

enum err applier_copy(struct applier *a, uint8_t region, struct position upto, struct fault *reterr_fault)
{
	(void)pthread_mutex_lock(&a->refill_lock);
	struct committer_state s = applier_here(a);
	struct copy c = { .applier = a, .region = region, .upto = upto, .epoch = s.promised, .fault = reterr_fault };
	enum err err = ERR_NONE;

	if (position_compare(s.position, upto) != 0)
		err = position_compare(s.position, upto) < 0 ? copy_take_back(&c) : ERR_NONE;
	if (err == ERR_NONE)
		err = copy_log(&c);
	(void)pthread_mutex_unlock(&a->refill_lock);
	if (err == ERR_NONE)
		log_info("the history of a region was copied region=%u position=(%llu,%llu)", region,
			 (unsigned long long)upto.epoch, (unsigned long long)upto.seq);
	return err;
}
