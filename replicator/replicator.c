/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/replicator.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/metric.h"

#define FLEET_SEED 0x464c454554u
/* A changed position is told at once, but no more often than this: acknowledgements by other regions wait for it. */
#define BEAT_MS_MIN 4
/* A peer that streams nothing is asked this often over its own port. */
#define ASK_MS 1000
#define SWITCHOVER_BEHIND_MS_MAX 5000
#define TARGET_SILENT_MS_MAX 2000

struct replicator {
	struct replicator_options options;
	bool alone;
	uint64_t fleet;
	struct committer *committer;
	struct peers *peers;
	struct stream *stream;
	struct publisher *publisher;
	struct applier *applier;
	pthread_t thread;
	bool started;
	uint64_t beat_ns;             /* thread: when it told last, */
	struct position beat_position; /* and what */
	uint64_t asked_ns;
	pthread_mutex_t lock;         /* guards the rest */
	pthread_cond_t wake;
	bool stop;
	bool handing_over;
	bool moved;                   /* the position changed since the last heartbeat */
};

/* --- what the committer asks --- */

static struct position confirmed_at(struct replicator *r, const struct committer_state *s)
{
	return r->alone ? s->position : peers_confirmed(r->peers, s->position, s->epoch);
}

/* On the committer's thread, about a position of the open epoch. */
static enum ack_level level_of(void *ctx, struct position p)
{
	struct replicator *r = ctx;
	struct committer_state s;

	if (r->alone)
		return ACK_CONFIRMED;
	committer_state(r->committer, &s);
	if (position_compare(p, peers_confirmed(r->peers, s.position, s.epoch)) <= 0)
		return ACK_CONFIRMED;
	if (r->publisher != NULL) {
		struct publisher_state published;

		publisher_state(r->publisher, &published);
		if (position_compare(p, published.accepted) <= 0)
			return ACK_STREAM;
	}
	return ACK_VISIBLE;
}

static struct position trim_floor(void *ctx)
{
	struct replicator *r = ctx;
	struct committer_state s;
	struct position floor;

	committer_state(r->committer, &s);
	if (r->alone)
		return s.position;
	floor = confirmed_at(r, &s);
	for (uint32_t i = 0; i < peers_count(r->peers); i++) {
		struct peer_standing standing;

		peers_standing(r->peers, i, &standing);
		if (standing.heard && position_compare(standing.confirmed, floor) > 0)
			floor = standing.confirmed;
	}
	return position_compare(floor, s.position) < 0 ? floor : s.position;
}

static void on_commit(void *ctx, struct position now)
{
	struct replicator *r = ctx;

	if (r->publisher != NULL)
		publisher_wake(r->publisher, now);
	(void)pthread_mutex_lock(&r->lock);
	r->moved = true;
	(void)pthread_cond_signal(&r->wake);
	(void)pthread_mutex_unlock(&r->lock);
}

/* --- what the stream tells --- */

static void on_accepted(void *ctx, uint16_t scope, struct position upto)
{
	struct replicator *r = ctx;

	if (scope != SCOPE_FLEET || r->publisher == NULL)
		return;
	publisher_accepted(r->publisher, upto);
	committer_wake(r->committer);
}

static void on_closed(void *ctx, const struct fault *why)
{
	struct replicator *r = ctx;

	log_debug("the stream's window closed reason=\"%s\"", fault_text(why));
	if (r->publisher != NULL)
		publisher_closed(r->publisher);
}

static void take_beat(struct replicator *r, struct bytes beat)
{
	struct heartbeat h;

	if (heartbeat_decode(beat, &h, NULL) == ERR_NONE && peers_beat(r->peers, &h))
		committer_wake(r->committer);
}

static void on_beat(void *ctx, const char *region, uint16_t scope, struct bytes beat)
{
	(void)region;
	if (scope == SCOPE_FLEET)
		take_beat(ctx, beat);
}

/* --- heartbeats --- */

enum err replicator_heartbeat(struct replicator *r, struct buf *out)
{
	struct committer_state s;

	committer_state(r->committer, &s);
	struct heartbeat h = {
		.fleet = r->fleet,
		.scope = SCOPE_FLEET,
		.region = r->options.self.id,
		.position = s.position,
		.confirmed = confirmed_at(r, &s),
		.wall_ms = clock_wall_ms(r->options.clock),
		.hlc = s.hlc,
	};
	return heartbeat_encode(&h, out);
}

static void send_beat(struct replicator *r, uint64_t now_ns)
{
	CLEANUP(buf_release) struct buf beat = BUF_INIT(STREAM_BEAT_BYTES_MAX);

	r->beat_ns = now_ns;
	if (replicator_heartbeat(r, &beat) == ERR_NONE && r->stream != NULL)
		(void)stream_beat(r->stream, SCOPE_FLEET, buf_bytes(&beat)); /* lost ones are followed by others */
}

/* Peers whose heartbeats the stream does not bring are asked on their own port. */
static void ask_silent_peers(struct replicator *r, uint64_t now_ns)
{
	struct peer_link *link = peers_link(r->peers);

	if (link == NULL || now_ns - r->asked_ns < (uint64_t)ASK_MS * 1000000)
		return;
	r->asked_ns = now_ns;
	for (uint32_t i = 0; i < peers_count(r->peers); i++) {
		CLEANUP(buf_release) struct buf beat = BUF_INIT(STREAM_BEAT_BYTES_MAX);
		struct peer_standing s;

		peers_standing(r->peers, i, &s);
		if (s.config->data && s.silent_ms >= ASK_MS &&
		    link->standing(link, s.config->id, SCOPE_FLEET, &beat, NULL) == ERR_NONE)
			take_beat(r, buf_bytes(&beat));
	}
}

/* --- the role --- */

/* Of the other data regions, how many were heard, and does one know of an epoch beyond ours? */
static uint32_t heard_peers(struct replicator *r, uint64_t epoch, bool *ret_newer)
{
	uint32_t heard = 0;

	*ret_newer = false;
	for (uint32_t i = 0; i < peers_count(r->peers); i++) {
		struct peer_standing s;

		peers_standing(r->peers, i, &s);
		if (!s.config->data || !s.heard)
			continue;
		heard++;
		*ret_newer = *ret_newer || s.position.epoch > epoch;
	}
	return heard;
}

/* Is it this region's turn to begin an epoch, and is there no sign against it? */
static bool should_begin(struct replicator *r, const struct committer_state *s)
{
	bool newer;
	uint32_t heard = heard_peers(r, s->epoch, &newer);

	if (s->failed || newer || !r->options.self.data)
		return false;
	if (s->epoch == 0)
		/* A region that lost its disk must not found the fleet anew: a majority has to be as empty. */
		return r->options.first_primary && heard + 1 >= peers_majority(r->peers);
	if (s->released)
		return s->released_to == r->options.self.id;
	/* The writer after a restart. Only its own release can have moved the role, and that it has not written; the
	 * others are asked all the same, for a store that was rolled back. */
	return s->writer == r->options.self.id && heard + 1 >= peers_majority(r->peers);
}

static void take_role(struct replicator *r)
{
	struct committer_state s;
	struct fault f = { 0 };

	committer_state(r->committer, &s);
	if (s.writing || !should_begin(r, &s))
		return;
	enum err err = committer_begin_epoch(r->committer, &f);
	if (err != ERR_NONE)
		log_warn("cannot begin an epoch, trying again reason=\"%s\"", fault_text(&f));
	else
		log_info("this region writes now region=%s", r->options.self.name);
}

static void *replicator_main(void *arg)
{
	struct replicator *r = arg;

	for (;;) {
		uint64_t now = clock_mono_ns(r->options.clock);
		struct timespec until;

		(void)pthread_mutex_lock(&r->lock);
		uint64_t due = r->beat_ns + (uint64_t)(r->moved ? BEAT_MS_MIN : HEARTBEAT_MS) * 1000000;

		if (!r->stop && now < due) {
			clock_wait_deadline((due - now) / 1000000 + 1, &until);
			(void)pthread_cond_timedwait(&r->wake, &r->lock, &until);
			(void)pthread_mutex_unlock(&r->lock);
			continue;
		}
		bool stop = r->stop;
		r->moved = false;
		(void)pthread_mutex_unlock(&r->lock);
		if (stop)
			return NULL;
		send_beat(r, now);
		ask_silent_peers(r, now);
		take_role(r);
	}
}

/* --- life --- */

static enum err open_committer(struct replicator *r, struct fault *f)
{
	struct committer_options o = {
		.clock = r->options.clock,
		.store = r->options.store,
		.catalog = r->options.catalog,
		.region = r->options.self.id,
		.log_bytes_max = r->options.log_bytes_max,
		.on_commit = on_commit,
		.trim_floor = trim_floor,
		.level = level_of,
		.ctx = r,
	};

	return committer_open(&o, &r->committer, f);
}

enum err replicator_open(const struct replicator_options *o, struct replicator **ret_replicator,
			 struct fault *reterr_fault)
{
	struct replicator *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;

	if (r == NULL)
		return ERR_NO_MEMORY;
	r->options = *o;
	r->alone = o->other_count == 0;
	r->fleet = hash64(o->fleet, strlen(o->fleet), FLEET_SEED);
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&r->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	struct peers_options peers = {
		.clock = o->clock,
		.fleet = r->fleet,
		.self = o->self,
		.others = o->others,
		.other_count = o->other_count,
		.link = o->link,
	};
	enum err err = peers_new(&peers, &r->peers);
	if (err == ERR_NONE)
		err = open_committer(r, reterr_fault);
	if (err != ERR_NONE) {
		replicator_free(r);
		return err;
	}
	*ret_replicator = r;
	return ERR_NONE;
}

static enum err start_stream(struct replicator *r, struct fault *f)
{
	struct stream_events events = { .ctx = r, .on_accepted = on_accepted, .on_closed = on_closed, .on_beat = on_beat };
	struct committer_state s;
	enum err err = r->options.make_stream(r->options.ctx, &events, &r->stream, f);

	if (err != ERR_NONE || !r->options.self.data)
		return err;
	committer_state(r->committer, &s);
	struct publisher_options o = {
		.clock = r->options.clock,
		.store = r->options.store,
		.catalog = r->options.catalog,
		.stream = r->stream,
		.fleet = r->fleet,
		.region = r->options.self.id,
		.now = s.position,
	};
	err = publisher_new(&o, &r->publisher);
	return err == ERR_NONE ? publisher_start(r->publisher) : err;
}

static enum err start_peers(struct replicator *r, struct fault *f)
{
	struct applier_options o = { .clock = r->options.clock, .committer = r->committer, .peers = r->peers };
	enum err err = r->options.make_stream != NULL ? start_stream(r, f) : ERR_NONE;

	o.stream = r->stream;
	if (err == ERR_NONE && r->options.self.data)
		err = applier_start(&o, &r->applier, f);
	if (err != ERR_NONE)
		return err;
	int e = pthread_create(&r->thread, NULL, replicator_main, r);
	if (e != 0)
		return err_from_errno(e);
	(void)pthread_setname_np(r->thread, "replicator");
	r->started = true;
	return ERR_NONE;
}

enum err replicator_start(struct replicator *r, struct fault *reterr_fault)
{
	enum err err;

	if (!r->alone) {
		/* The publisher is made before the committer's thread runs, which tells it of commits. */
		err = start_peers(r, reterr_fault);
		return err == ERR_NONE ? committer_start(r->committer) : err;
	}
	err = committer_start(r->committer);
	return err == ERR_NONE ? committer_begin_epoch(r->committer, reterr_fault) : err;
}

void replicator_stop(struct replicator *r)
{
	if (r == NULL)
		return;
	(void)pthread_mutex_lock(&r->lock);
	r->stop = true;
	(void)pthread_cond_signal(&r->wake);
	(void)pthread_mutex_unlock(&r->lock);
	if (r->started)
		(void)pthread_join(r->thread, NULL);
	r->started = false;
	applier_stop(TAKE(r->applier));
	if (r->committer != NULL)
		committer_stop(r->committer);
	publisher_stop(TAKE(r->publisher));
	stream_free(TAKE(r->stream));
}

void replicator_free(struct replicator *r)
{
	if (r == NULL)
		return;
	if (r->committer != NULL)
		committer_close(r->committer);
	peers_free(r->peers);
	(void)pthread_cond_destroy(&r->wake);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

struct committer *replicator_committer(struct replicator *r)
{
	return r->committer;
}

struct peers *replicator_peers(struct replicator *r)
{
	return r->peers;
}

/* --- questions --- */

static bool is_handing_over(struct replicator *r)
{
	(void)pthread_mutex_lock(&r->lock);
	bool yes = r->handing_over;

	(void)pthread_mutex_unlock(&r->lock);
	return yes;
}

/* The newest epoch that this region or a peer stands in; its lowest byte names who writes in it. */
static uint64_t newest_epoch(struct replicator *r, const struct committer_state *s)
{
	uint64_t epoch = s->epoch;

	for (uint32_t i = 0; i < peers_count(r->peers); i++) {
		struct peer_standing standing;

		peers_standing(r->peers, i, &standing);
		if (standing.heard && standing.position.epoch > epoch)
			epoch = standing.position.epoch;
	}
	return epoch;
}

enum err replicator_admit(struct replicator *r, uint8_t *ret_writer, struct fault *reterr_fault)
{
	struct committer_state s;

	committer_state(r->committer, &s);
	*ret_writer = 0;
	if (is_handing_over(r))
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "the primary's role is being handed over; retry");
	if (s.writing)
		return ERR_NONE;
	uint64_t epoch = newest_epoch(r, &s);
	if (epoch == 0)
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "the fleet has no primary yet");
	if (epoch == s.epoch && s.released && s.released_to != r->options.self.id) {
		*ret_writer = s.released_to;
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "the next primary is about to begin");
	}
	if ((uint8_t)epoch == r->options.self.id || (epoch == s.epoch && s.released))
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "this region is about to write; retry");
	*ret_writer = (uint8_t)epoch;
	return fault_set(reterr_fault, ERR_NOT_PRIMARY, "this region is not the primary");
}

double replicator_staleness_seconds(struct replicator *r)
{
	struct committer_state s;

	committer_state(r->committer, &s);
	if (s.writing)
		return 0.0;
	return peers_lag_seconds(r->peers, s.released ? s.released_to : s.writer, s.position);
}

bool replicator_ready(struct replicator *r, double lag_seconds_max, struct buf *why)
{
	struct committer_state s;
	struct applier_state applier = { 0 };

	committer_state(r->committer, &s);
	if (r->applier != NULL)
		applier_state(r->applier, &applier);
	if (s.failed)
		buf_printf(why, "%s", s.failure);
	else if (applier.stopped)
		buf_printf(why, "%s", fault_text(&applier.trouble));
	else if (s.epoch == 0)
		buf_append_cstr(why, "no epoch has begun: the first primary was not heard yet");
	else if (!r->alone && replicator_staleness_seconds(r) > lag_seconds_max)
		buf_printf(why, "behind the primary by %.1f s", replicator_staleness_seconds(r));
	else
		return true;
	return false;
}

enum err replicator_log(struct replicator *r, uint16_t scope, struct position after, struct buf *out,
			struct fault *reterr_fault)
{
	struct log_source source = { r->options.store, r->options.catalog, r->fleet };
	struct store_txn *t;
	struct position oldest;
	struct position newest;
	struct message head;

	if (scope != SCOPE_FLEET)
		return fault_set(reterr_fault, ERR_NOT_FOUND, "there is no scope %u", scope);
	enum err err = r->options.store->ops->begin(r->options.store, false, &t);
	if (err != ERR_NONE)
		return err;
	err = oplog_bounds(r->options.store, t, scope, &oldest, &newest);
	r->options.store->ops->abort(t);
	if (err != ERR_NONE)
		return err;
	/* What follows `after` must be held: the next of its epoch, or the beginning of all. */
	if (position_compare(after, oldest) < 0 &&
	    !(oldest.seq == after.seq + 1 && oldest.epoch == after.epoch) &&
	    !(after.epoch == 0 && oldest.seq == 1 && oldest.epoch >> 8 == 1))
		return fault_set(reterr_fault, ERR_GAP,
				 "the log of region %s begins at (%llu,%llu) and no longer holds what follows (%llu,%llu)",
				 r->options.self.name, (unsigned long long)oldest.epoch, (unsigned long long)oldest.seq,
				 (unsigned long long)after.epoch, (unsigned long long)after.seq);
	return log_message(&source, scope, after, 0, PUBLISH_BYTES_TARGET, out, &head, reterr_fault);
}

void replicator_state(struct replicator *r, struct replicator_state *ret_state)
{
	*ret_state = (struct replicator_state){ .alone = r->alone, .has_stream = r->stream != NULL };
	committer_state(r->committer, &ret_state->commit);
	ret_state->confirmed = confirmed_at(r, &ret_state->commit);
	ret_state->is_writer = ret_state->commit.writing;
	ret_state->handing_over = is_handing_over(r);
	if (r->stream != NULL)
		stream_state(r->stream, &ret_state->stream);
	if (r->publisher != NULL)
		publisher_state(r->publisher, &ret_state->publisher);
	if (r->applier != NULL)
		applier_state(r->applier, &ret_state->applier);
	ret_state->staleness_seconds = replicator_staleness_seconds(r);
}

/* --- switchover --- */

static bool standing_of(struct replicator *r, uint8_t id, struct peer_standing *ret_standing)
{
	for (uint32_t i = 0; i < peers_count(r->peers); i++) {
		peers_standing(r->peers, i, ret_standing);
		if (ret_standing->config->id == id)
			return true;
	}
	return false;
}

/* Waits until the target has applied `upto`. */
static enum err wait_for_target(struct replicator *r, uint8_t target, struct position upto, uint64_t until_ns)
{
	struct peer_standing s;

	while (standing_of(r, target, &s)) {
		struct timespec wake;

		if (s.heard && position_compare(s.position, upto) >= 0)
			return ERR_NONE;
		if (clock_mono_ns(r->options.clock) >= until_ns)
			return ERR_TIMEOUT;
		(void)pthread_mutex_lock(&r->lock);
		clock_wait_deadline(BEAT_MS_MIN, &wake);
		(void)pthread_cond_timedwait(&r->wake, &r->lock, &wake);
		(void)pthread_mutex_unlock(&r->lock);
	}
	return ERR_NOT_FOUND;
}

static enum err check_target(struct replicator *r, uint8_t target, struct fault *f)
{
	const struct peer_config *config = peers_by_id(r->peers, target);
	struct committer_state s;
	struct peer_standing standing;

	committer_state(r->committer, &s);
	if (!s.writing)
		return fault_set(f, ERR_NOT_PRIMARY, "region %s is not the primary", r->options.self.name);
	if (config == NULL || !config->data)
		return fault_set(f, ERR_BAD_INPUT, "the target must be a data region of this fleet");
	if (target == r->options.self.id)
		return fault_set(f, ERR_BAD_INPUT, "region %s is the primary already", config->name);
	if (!standing_of(r, target, &standing) || !standing.heard || standing.silent_ms > TARGET_SILENT_MS_MAX)
		return fault_set(f, ERR_UNAVAILABLE, "region %s was not heard within the last %d ms", config->name,
				 TARGET_SILENT_MS_MAX);
	return ERR_NONE;
}

static void set_handing_over(struct replicator *r, bool on)
{
	(void)pthread_mutex_lock(&r->lock);
	r->handing_over = on;
	(void)pthread_mutex_unlock(&r->lock);
}

enum err replicator_switchover(struct replicator *r, uint8_t target, uint64_t timeout_ms, uint64_t *ret_pause_ms,
			       struct fault *reterr_fault)
{
	struct committer_state s;
	struct position end;
	enum err err = check_target(r, target, reterr_fault);

	if (err != ERR_NONE)
		return err;
	/* First near, while writes go on, so that the pause is short; then all, while none are admitted. */
	committer_state(r->committer, &s);
	uint64_t begun_ns = clock_mono_ns(r->options.clock);
	err = wait_for_target(r, target, s.position, begun_ns + (uint64_t)SWITCHOVER_BEHIND_MS_MAX * 1000000);
	if (err != ERR_NONE)
		return fault_set(reterr_fault, err, "the target is behind and does not catch up; nothing was changed");
	uint64_t stopped_ns = clock_mono_ns(r->options.clock);
	set_handing_over(r, true);
	err = committer_drain(r->committer, timeout_ms);
	committer_state(r->committer, &s);
	if (err == ERR_NONE)
		err = wait_for_target(r, target, s.position, stopped_ns + timeout_ms * 1000000);
	if (err == ERR_NONE)
		err = committer_release(r->committer, target, &end, reterr_fault);
	else
		(void)fault_set(reterr_fault, err, "the target did not reach the last write in time; this region goes on");
	if (err == ERR_NONE)
		err = wait_for_target(r, target, (struct position){ end.epoch + 1, 0 }, stopped_ns + timeout_ms * 1000000) ==
				      ERR_NONE
			      ? ERR_NONE
			      : fault_set(reterr_fault, ERR_TIMEOUT,
					  "released at (%llu,%llu); the target has not begun yet, it will when it has applied that",
					  (unsigned long long)end.epoch, (unsigned long long)end.seq);
	set_handing_over(r, false);
	*ret_pause_ms = (clock_mono_ns(r->options.clock) - stopped_ns) / 1000000;
	return err;
}
