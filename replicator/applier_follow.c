/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histories of other regions: copying one.
 */
#include "replicator/applier_inner.h"

#include "base/log.h"

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
		return fault_set(f, err, "%s; this region needs a snapshot", fault_text(&why));
	return err != ERR_NONE ? fault_set(f, err, "%s", fault_text(&why)) : ERR_NONE;
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
