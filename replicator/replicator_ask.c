/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What requests ask.
 */
#include "replicator/replicator_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "replicator/orphan_offer.h"

/* 80 % of what a stamp may lie ahead of another region's clock. */
#define CLOCK_OFF_MS (HLC_OFFSET_MS_MAX_DEFAULT * 8 / 10)
/* Whoever was silent for longer is not waited for. */
#define HEARD_MS 2000
#define LOG_ENTRY_BYTES_MAX (16u << 20)
#define OFFER_ARENA_BYTES_MAX (64u << 10)

/* --- questions --- */

bool replicator_is_handing_over(struct replicator *r)
{
	(void)pthread_mutex_lock(&r->lock);
	bool yes = r->handing_over;

	(void)pthread_mutex_unlock(&r->lock);
	return yes;
}

bool replicator_is_writer(struct replicator *r, const struct committer_state *s)
{
	if (replicator_has_lease(r))
		return s->writing && lease_run_may_write(r->lease.run, s->epoch, /* begun: */ true);
	return s->writing && peers_newest_epoch(r->peers) <= s->epoch;
}

enum err replicator_admit(struct replicator *r, uint8_t *ret_writer, struct fault *reterr_fault)
{
	struct committer_state s;
	uint8_t self = r->options.self.id;

	committer_state(r->committer, &s);
	*ret_writer = 0;
	if (replicator_is_handing_over(r))
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "the primary's role is being handed over; retry");
	if (replicator_is_writer(r, &s))
		return ERR_NONE;
	uint64_t epoch = MAX(s.epoch, peers_newest_epoch(r->peers));
	if (s.failed)
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "%s", s.failure);
	if (epoch == 0)
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "the fleet has no primary yet");
	/* The low byte of an epoch is its writer; a release names the next one. */
	uint8_t writer = epoch == s.epoch && s.released ? s.released_to : (uint8_t)epoch;
	if (writer == self || writer == 0)
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "this fleet's next epoch has not begun yet; retry");
	*ret_writer = writer;
	return fault_set(reterr_fault, ERR_NOT_PRIMARY, "this region is not the primary");
}

uint8_t replicator_writer(void *ctx)
{
	struct replicator *r = ctx;
	uint8_t writer;

	return replicator_admit(r, &writer, NULL) == ERR_NONE ? r->options.self.id : writer;
}

const char *replicator_fleet(const struct replicator *r)
{
	return r->options.fleet;
}

bool replicator_is_fleet(const struct replicator *r, struct str name)
{
	return strlen(r->options.fleet) == name.len && memcmp(r->options.fleet, name.data, name.len) == 0;
}

double replicator_staleness_seconds(struct replicator *r)
{
	struct committer_state s;

	committer_state(r->committer, &s);
	if (replicator_is_writer(r, &s))
		return 0.0;
	/* No region is behind itself: whoever wrote last knows only since when it does not any more (protocol rule 35). */
	if (replicator_has_lease(r) && s.writer == r->options.self.id) {
		uint64_t ended_ms = lease_run_ended_ms(r->lease.run);
		return ended_ms == UINT64_MAX ? PEERS_LAG_UNKNOWN_SECONDS : (double)ended_ms / 1e3;
	}
	/* Who has released is no writer any more: what it says from then on proves nothing. */
	struct position here = s.position;
	if (s.released)
		here.seq--;
	double lag_s = peers_lag_seconds(r->peers, s.writer, here);
	/* Nor is, maybe, whose epoch this region has promised not to follow any more. */
	double unknown_s = replicator_lease_unknown_seconds(r, s.epoch);
	return MAX(lag_s, unknown_s);
}

bool replicator_ready(struct replicator *r, double lag_seconds_max, struct buf *why)
{
	struct committer_state s;
	struct applier_state applier = { 0 };
	double staleness = replicator_staleness_seconds(r);

	if (!r->options.self.data && !r->alone)
		return true;
	committer_state(r->committer, &s);
	if (r->applier != NULL)
		applier_state(r->applier, &applier);
	if (s.failed)
		buf_append_cstr(why, s.failure);
	else if (applier.stopped || applier.aside)
		buf_append_cstr(why, fault_text(&applier.trouble));
	else if (replicator_is_barred(r))
		replicator_voters_why_barred(r, why);
	else if (s.epoch == 0)
		buf_append_cstr(why, "no epoch has begun: the first primary was not heard yet");
	else if (staleness >= PEERS_LAG_UNKNOWN_SECONDS)
		buf_append_cstr(why, "nothing was heard from the primary yet");
	else if (staleness > lag_seconds_max)
		buf_printf(why, "behind the primary by %.1f s", staleness);
	else
		return true;
	return false;
}

/* What the oldest op follows: the op before it in its epoch, the end of the epoch before, or nothing. *ret_oldest: that op. */
static enum err find_oldest(struct replicator *r, struct store_txn *t, struct position *ret_before,
			    struct position *ret_oldest, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;
	struct oplog_entry entry = { 0 };
	struct position newest;

	arena_init(&a, LOG_ENTRY_BYTES_MAX);
	*ret_before = *ret_oldest = (struct position){ 0 };
	enum err err = oplog_bounds(r->options.store, t, SCOPE_FLEET, ret_oldest, &newest);
	if (err != ERR_NONE)
		return fault_set(f, err, "the log of region %s: %s", r->options.self.name, err_sentence(err));
	if (ret_oldest->epoch == 0)
		return ERR_NONE;
	err = oplog_get(r->options.store, t, SCOPE_FLEET, *ret_oldest, &a, &entry, f);
	if (err != ERR_NONE)
		return err;
	const struct op *op = &entry.op;
	if (op->kind != OP_EPOCH_START)
		*ret_before = (struct position){ ret_oldest->epoch, ret_oldest->seq - 1 };
	else if (op->chain_count > 0)
		*ret_before = (struct position){ op->chain[op->chain_count - 1].epoch,
						 op->chain[op->chain_count - 1].end };
	return ERR_NONE;
}

enum err replicator_oldest(struct replicator *r, struct position *ret_oldest, struct fault *reterr_fault)
{
	struct store *s = r->options.store;
	struct store_txn *t;
	struct position op;
	enum err err = s->ops->begin(s, false, &t);

	if (err != ERR_NONE)
		return fault_set(reterr_fault, err, "reading the op log: %s", err_sentence(err));
	err = find_oldest(r, t, ret_oldest, &op, reterr_fault);
	s->ops->abort(t);
	return err;
}

/* What follows `after` must be held: the next op of its epoch, the epoch-start that ends it, or the beginning of all. */
static enum err check_follows(struct replicator *r, struct store_txn *t, struct position after, struct fault *f)
{
	struct position before, oldest;
	enum err err = find_oldest(r, t, &before, &oldest, f);

	if (err != ERR_NONE || position_compare(after, oldest) >= 0 || position_compare(after, before) == 0)
		return err;
	return fault_set(f, ERR_GAP,
			 "the log of region %s begins at (%llu,%llu) and no longer holds what follows (%llu,%llu)",
			 r->options.self.name, (unsigned long long)oldest.epoch, (unsigned long long)oldest.seq,
			 (unsigned long long)after.epoch, (unsigned long long)after.seq);
}

/* What follows in one log of SCOPE_MULTI: it begins with seq 1, and no other comes after it. */
static enum err multi_log_message(struct replicator *r, struct position after, struct buf *out, struct fault *f)
{
	struct log_source source = { r->options.store, r->options.catalog, r->fleet };
	struct op_batch head;

	if (!position_is_multi(after))
		return fault_set(f, ERR_BAD_INPUT, "scope %u has no epochs", SCOPE_MULTI);
	if (committer_log_seq(r->committer, after.epoch) <= after.seq)
		return fault_set(f, ERR_NOT_FOUND, "there is nothing after it");
	enum err err = log_message(&source, SCOPE_MULTI, after, 0, PUBLISH_BYTES_TARGET, out, &head, f);
	if (err == ERR_NOT_FOUND || (err == ERR_NONE && (head.epoch != after.epoch || head.first != after.seq + 1))) {
		buf_reset(out);
		return fault_set(f, ERR_GAP, "region %s no longer holds what follows op %llu of log %llx",
				 r->options.self.name, (unsigned long long)after.seq, (unsigned long long)after.epoch);
	}
	return err;
}

enum err replicator_log(struct replicator *r, uint16_t scope, struct position after, struct buf *out,
			struct fault *reterr_fault)
{
	struct log_source source = { r->options.store, r->options.catalog, r->fleet };
	struct store *s = r->options.store;
	struct store_txn *t;
	struct op_batch head;

	if (scope == SCOPE_MULTI)
		return multi_log_message(r, after, out, reterr_fault);
	if (scope != SCOPE_FLEET)
		return fault_set(reterr_fault, ERR_NOT_FOUND, "there is no scope %u", scope);
	enum err err = s->ops->begin(s, false, &t);
	if (err != ERR_NONE)
		return fault_set(reterr_fault, err, "reading the op log: %s", err_sentence(err));
	err = check_follows(r, t, after, reterr_fault);
	s->ops->abort(t);
	if (err != ERR_NONE)
		return err;
	return log_message(&source, scope, after, 0, PUBLISH_BYTES_TARGET, out, &head, reterr_fault);
}

enum err replicator_orphans(struct replicator *r, struct bytes request, struct buf *out, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct orphan_offer offer;

	arena_init(&a, OFFER_ARENA_BYTES_MAX);
	/* The end of an epoch that is being handed over does not move. */
	if (replicator_is_handing_over(r))
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "the primary's role is being handed over; retry");
	enum err err = orphan_offer_decode(request, r->fleet, &a, &offer, reterr_fault);
	if (err == ERR_NONE)
		err = committer_list_orphans(r->committer, &offer, reterr_fault);
	return err == ERR_NONE ? orphan_answer_encode(&offer, out) : err;
}

void replicator_state(struct replicator *r, struct replicator_state *ret_state)
{
	*ret_state = (struct replicator_state){ .alone = r->alone, .has_stream = r->stream != NULL };
	committer_state(r->committer, &ret_state->commit);
	ret_state->confirmed = replicator_confirmed(r, &ret_state->commit);
	ret_state->is_writer = replicator_is_writer(r, &ret_state->commit);
	ret_state->handing_over = replicator_is_handing_over(r);
	if (r->stream != NULL)
		stream_state(r->stream, &ret_state->stream);
	if (r->publisher != NULL)
		publisher_state(r->publisher, &ret_state->publisher);
	if (r->applier != NULL)
		applier_state(r->applier, &ret_state->applier);
	ret_state->staleness_seconds = replicator_staleness_seconds(r);
}

uint32_t replicator_waits(struct replicator *r, struct log_waits_told out[LOG_WAITS_MAX])
{
	return r->applier != NULL ? applier_waits(r->applier, out) : 0;
}

bool replicator_clock_is_off(struct replicator *r, int64_t *ret_ahead_ms)
{
	return peers_clock_is_off(r->peers, CLOCK_OFF_MS, ret_ahead_ms);
}

static bool has_here(struct replicator *r, struct position p)
{
	struct committer_state s;

	if (position_is_multi(p))
		return committer_log_seq(r->committer, p.epoch) >= p.seq;
	committer_state(r->committer, &s);
	return position_compare(s.position, p) >= 0;
}

bool replicator_reads(struct replicator *r, struct position p)
{
	if (r->options.self.data)
		return has_here(r, p);
	if (position_is_multi(p))
		return true;
	struct region_set have = peers_applied(r->peers, (struct position){ 0 }, p);
	for (uint32_t i = 0; i < peers_count(r->peers); i++) {
		struct peer_standing s;
		peers_standing(r->peers, i, &s);
		if (s.config->data && s.heard && s.silent_ms <= HEARD_MS && !region_set_has(&have, s.config->id))
			return false;
	}
	return true;
}

/* --- sessions --- */

void replicator_session_logs(struct replicator *r, struct session *session)
{
	struct log_end *ends = calloc(LOGS_MAX, sizeof(*ends));

	/* Without memory the token says less than it could. */
	if (ends == NULL)
		return;
	uint32_t count = standing_newest(ends, committer_vector(r->committer, ends));
	for (uint32_t i = 0; i < count; i++)
		session_join(session, SCOPE_MULTI, (struct position){ ends[i].log, ends[i].seq });
	free(ends);
}

void replicator_session(struct replicator *r, struct session *ret_session)
{
	struct committer_state s;

	committer_state(r->committer, &s);
	*ret_session = (struct session){ .hlc = s.hlc };
	/* A reader may have seen rows of a commit that is not stated as visible yet. */
	if (s.durable.epoch != 0)
		session_join(ret_session, SCOPE_FLEET, s.durable);
	replicator_session_logs(r, ret_session);
}

static enum err find_log_end(struct replicator *r, struct position p, uint64_t wait_ms, struct fault *f)
{
	struct log_end end = { .log = p.epoch, .seq = p.seq };
	uint64_t seq = committer_log_seq(r->committer, end.log);

	if (committer_log_is_forgotten(r->committer, end.log))
		return fault_set(f, ERR_SESSION_ORPHANED,
				 "the session is so old that nobody knows whether its op %llu of log %llx survived",
				 (unsigned long long)end.seq, (unsigned long long)end.log);
	if (seq < end.seq && (wait_ms == 0 || committer_wait_log(r->committer, end, wait_ms) != ERR_NONE))
		return fault_set(f, ERR_TIMEOUT, "region %s has op %llu of a log of which the session has seen op %llu",
				 r->options.self.name, (unsigned long long)seq, (unsigned long long)end.seq);
	return ERR_NONE;
}

static enum err find_position(struct replicator *r, struct position p, uint64_t wait_ms, struct fault *f)
{
	const struct orphan_id id = { SCOPE_FLEET, p, 0 };
	char orphan[ORPHAN_ID_TEXT_MAX];
	struct committer_state s;
	enum history_place place = committer_find(r->committer, p);

	if (place == HISTORY_AHEAD && wait_ms > 0) {
		/* It also ends when the history has gone another way. */
		if (committer_wait(r->committer, p, wait_ms) != ERR_NONE)
			log_debug("a session waited in vain ms=%llu", (unsigned long long)wait_ms);
		place = committer_find(r->committer, p);
	}
	switch (place) {
	case HISTORY_IN:
		return ERR_NONE;
	case HISTORY_ORPHAN:
		orphan_id_format(&id, orphan);
		return fault_set(f, ERR_SESSION_ORPHANED,
				 "the write at (%llu,%llu) did not survive a change of the primary; it is orphan %s, which "
				 "`isthmusctl orphans` lists until somebody decides about it",
				 (unsigned long long)p.epoch, (unsigned long long)p.seq, orphan);
	case HISTORY_FORGOTTEN:
		return fault_set(f, ERR_SESSION_ORPHANED,
				 "the session is so old that nobody knows whether its write at (%llu,%llu) survived",
				 (unsigned long long)p.epoch, (unsigned long long)p.seq);
	case HISTORY_AHEAD:
		break;
	}
	committer_state(r->committer, &s);
	return fault_set(f, ERR_TIMEOUT, "region %s stands at (%llu,%llu), the session is at (%llu,%llu)",
			 r->options.self.name, (unsigned long long)s.position.epoch, (unsigned long long)s.position.seq,
			 (unsigned long long)p.epoch, (unsigned long long)p.seq);
}

static enum err find_all(struct replicator *r, const struct session *s, uint64_t wait_ms, struct fault *reterr_fault)
{
	for (uint32_t i = 0; i < s->count; i++) {
		if (s->scopes[i] != SCOPE_FLEET && s->scopes[i] != SCOPE_MULTI)
			return fault_set(reterr_fault, ERR_BAD_REQUEST,
					 "isthmus-session: the token names scope %u, which this fleet does not have",
					 s->scopes[i]);
		if (s->positions[i].epoch == 0)
			continue;
		enum err err = s->scopes[i] == SCOPE_MULTI
				       ? find_log_end(r, s->positions[i], wait_ms, reterr_fault)
				       : find_position(r, s->positions[i], wait_ms, reterr_fault);
		if (err != ERR_NONE)
			return err;
	}
	return ERR_NONE;
}

enum err replicator_find_session(struct replicator *r, const struct session *s, uint64_t wait_ms,
				 struct fault *reterr_fault)
{
	enum err err = find_all(r, s, wait_ms, reterr_fault);

	/* What was found first may have been taken back while the rest was waited for. */
	return err == ERR_NONE && wait_ms > 0 ? find_all(r, s, 0, reterr_fault) : err;
}
