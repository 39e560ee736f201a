/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the committer asks, the role, start and end.
 */
#include "replicator/replicator_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"

#define FLEET_SEED 0x464c454554u
/* A changed position is told at once, but no more often than this: acknowledgements by other regions wait for it. */
#define BEAT_MS_MIN 4
/* After an epoch could not be begun. */
#define ROLE_RETRY_MS 1000

/* --- what the committer asks --- */

/* Where this region stands, unless it has promised a newer epoch or is no voter: what it holds of this one counts no more. */
static struct position counted(const struct replicator *r, const struct committer_state *s)
{
	return s->promised > s->epoch || replicator_is_barred(r) ? (struct position){ 0 } : s->position;
}

/* By M data voters. */
static struct position acknowledged(struct replicator *r, const struct committer_state *s)
{
	return r->alone ? s->position : peers_confirmed(r->peers, counted(r, s), s->epoch);
}

/* Where only this region can be the primary, what it has cannot be taken back by another one (protocol rule 27). */
struct position replicator_confirmed(struct replicator *r, const struct committer_state *s)
{
	struct region_set members = peers_members(r->peers);
	bool only = region_set_count(&members) == 1 && region_set_has(&members, r->options.self.id);

	return only ? counted(r, s) : acknowledged(r, s);
}

static void update_known(struct replicator *r)
{
	uint64_t news = atomic_load(&r->news);
	struct committer_state s;

	if (r->known_news == news)
		return;
	committer_state(r->committer, &s);
	r->known_epoch = s.epoch;
	r->known_confirmed = acknowledged(r, &s);
	if (r->publisher != NULL) {
		struct publisher_state published;

		publisher_state(r->publisher, &published);
		r->known_accepted = published.accepted;
		r->known_multi_accepted = published.multi_accepted;
	}
	r->known_news = news;
}

static uint64_t trim_floor_multi(void *ctx, uint64_t log)
{
	struct replicator *r = ctx;
	uint64_t here = committer_log_seq(r->committer, log);

	return r->alone ? here : peers_log_floor(r->peers, log, here);
}

static bool may_forget(void *ctx, struct log_end end, uint64_t floor)
{
	struct replicator *r = ctx;

	return r->alone || peers_may_forget(r->peers, end, floor);
}

/* Its epoch was ended before it: another history went on. */
static bool is_lost(struct replicator *r, struct position p)
{
	return p.epoch != r->known_epoch && committer_find(r->committer, p) != HISTORY_IN;
}

/* There is no history of it that could go another way. */
static bool is_multi_confirmed(struct replicator *r, struct position p)
{
	struct region_set holders = peers_holders(r->peers, (struct log_end){ .log = p.epoch, .seq = p.seq }, p.seq);

	return region_set_count(&holders) >= peers_majority(r->peers);
}

static bool is_accepted(const struct replicator *r, struct position p)
{
	struct position upto = position_is_multi(p) ? r->known_multi_accepted : r->known_accepted;

	return position_compare(p, upto) <= 0;
}

/* On the committer's thread, about a position that this region wrote, or that its writes have seen. */
static enum ack_level level_of(void *ctx, struct position p)
{
	struct replicator *r = ctx;

	if (r->alone)
		return ACK_CONFIRMED;
	update_known(r);
	/* What was taken back lies before what later epochs have brought to the stream and to others, and is not among it. */
	if (!position_is_multi(p) && is_lost(r, p))
		return ACK_VISIBLE;
	if (position_is_multi(p) ? is_multi_confirmed(r, p) : position_compare(p, r->known_confirmed) <= 0)
		return ACK_CONFIRMED;
	return is_accepted(r, p) ? ACK_STREAM : ACK_VISIBLE;
}

/* Likewise. */
static void applied_of(void *ctx, struct position p, struct ack_applied *ret_applied)
{
	struct replicator *r = ctx;
	struct committer_state s;

	*ret_applied = (struct ack_applied){ 0 };
	if (r->alone) {
		region_set_add(&ret_applied->regions, r->options.self.id);
		return;
	}
	update_known(r);
	ret_applied->members = peers_members(r->peers);
	ret_applied->stream = r->publisher != NULL && (position_is_multi(p) || !is_lost(r, p)) && is_accepted(r, p);
	committer_state(r->committer, &s);
	if (position_is_multi(p))
		ret_applied->regions = peers_holders(r->peers, (struct log_end){ .log = p.epoch, .seq = p.seq }, p.seq);
	else if (!is_lost(r, p))
		ret_applied->regions = peers_applied(r->peers, counted(r, &s), p);
}

/* What is confirmed, as far as this region knows by itself or was told of an epoch that it has reached: a newer one may
 * have another history. */
static struct position trim_floor(void *ctx)
{
	struct replicator *r = ctx;
	struct committer_state s;

	committer_state(r->committer, &s);
	struct position floor = replicator_confirmed(r, &s);
	for (uint32_t i = 0; !r->alone && i < peers_count(r->peers); i++) {
		struct peer_standing peer;

		peers_standing(r->peers, i, &peer);
		if (peer.heard && peer.confirmed.epoch <= s.epoch && position_compare(peer.confirmed, floor) > 0)
			floor = peer.confirmed;
	}
	return position_compare(floor, s.position) < 0 ? floor : s.position;
}

/* Whoever hears of a newer epoch writes no more in the old one. */
static enum err may_write(void *ctx, uint16_t scope, uint64_t epoch, struct fault *f)
{
	struct replicator *r = ctx;

	(void)scope;
	if (replicator_has_lease(r))
		return replicator_lease_may_write(r, epoch, f);
	uint64_t newest = peers_newest_epoch(r->peers);
	if (newest <= epoch)
		return ERR_NONE;
	return fault_set(f, ERR_NOT_PRIMARY, "this region is not the primary: region %u writes in epoch %llu",
			 (uint8_t)newest, (unsigned long long)newest);
}

/* A clock that is off is stopped where its stamps are made: elsewhere they can only be waited for. */
static enum err may_originate(void *ctx, struct fault *f)
{
	struct replicator *r = ctx;
	int64_t ahead_ms;

	if (r->alone || !replicator_clock_is_off(r, &ahead_ms))
		return ERR_NONE;
	return fault_set(f, ERR_UNAVAILABLE,
			 "the clock of region %s is %lld ms %s those of most other regions: it takes no writes of collections that "
			 "every region writes until it is set right (NTP)",
			 r->options.self.name, (long long)(ahead_ms < 0 ? -ahead_ms : ahead_ms),
			 ahead_ms < 0 ? "behind" : "ahead of");
}

static void on_commit(void *ctx, struct position now)
{
	struct replicator *r = ctx;

	struct committer_state s;

	atomic_fetch_add(&r->news, 1);
	committer_state(r->committer, &s);
	replicator_lease_saw(r, s.epoch);
	if (r->publisher != NULL)
		publisher_wake(r->publisher, now);
	if (r->publisher != NULL && s.multi_log != 0)
		publisher_wake(r->publisher, (struct position){ s.multi_log, 0 });
	(void)pthread_mutex_lock(&r->lock);
	r->moved = true;
	(void)pthread_cond_signal(&r->wake);
	(void)pthread_mutex_unlock(&r->lock);
}

/* --- the role --- */

/* Of the other data regions, how many were heard since the start, and is one of them ahead of us? */
static uint32_t heard_peers(struct replicator *r, struct position here, bool *ret_ahead)
{
	uint32_t heard = 0;

	*ret_ahead = false;
	for (uint32_t i = 0; i < peers_count(r->peers); i++) {
		struct peer_standing s;

		peers_standing(r->peers, i, &s);
		if (!s.config->data || !s.heard)
			continue;
		heard++;
		*ret_ahead = *ret_ahead || position_compare(s.position, here) > 0;
	}
	return heard;
}

/* Is it this region's turn to begin an epoch? */
static bool is_next(struct replicator *r, const struct committer_state *s)
{
	if (r->options.failover || s->writing || s->failed || !r->options.self.data)
		return false;
	if (s->released)
		return s->released_to == r->options.self.id;
	/* Epochs of writer 0 are those of a region that was alone. */
	if (s->epoch == 0 || s->writer == 0)
		return r->options.home == r->options.self.id;
	/* The writer after a restart: only its own release can have moved the role. */
	return s->writer == r->options.self.id;
}

/* Is there no sign against it? A region that lost its disk, or whose store was put back to an older state, must not go on
 * from there: whoever writes has all that a majority has, and a new fleet is founded with a majority as empty. */
static bool may_begin(struct replicator *r, const struct committer_state *s)
{
	struct applier_state applier = { 0 };
	bool ahead;

	if (heard_peers(r, s->position, &ahead) + 1 < peers_majority(r->peers) || ahead)
		return false;
	if (r->applier != NULL)
		applier_state(r->applier, &applier);
	return !applier.stopped;
}

static void take_role(struct replicator *r, uint64_t now_ns)
{
	struct committer_state s;
	struct fault f = { 0 };

	committer_state(r->committer, &s);
	bool next = is_next(r, &s);
	(void)pthread_mutex_lock(&r->lock);
	r->eager = next;
	(void)pthread_mutex_unlock(&r->lock);
	if (!next || now_ns < r->role_ns || !may_begin(r, &s))
		return;
	enum err err = committer_begin_epoch(r->committer, &f);
	if (err == ERR_NONE) {
		log_info("this region is the primary now region=%s", r->options.self.name);
		return;
	}
	r->role_ns = now_ns + ROLE_RETRY_MS * NS_PER_MS;
	log_warn("cannot begin an epoch, trying again reason=\"%s\"", fault_text(&f));
}

/* Waits until there is something to do; false: stop. *ret_beat: a heartbeat is due. */
static bool wait_for_work(struct replicator *r, bool *ret_beat)
{
	(void)pthread_mutex_lock(&r->lock);
	*ret_beat = false;
	while (!r->stop && !r->role_due) {
		uint64_t due_ns = r->beat_ns + (uint64_t)(r->moved ? BEAT_MS_MIN : HEARTBEAT_MS) * NS_PER_MS;
		uint64_t now_ns = clock_mono_ns(r->options.clock);
		struct timespec until;

		*ret_beat = now_ns >= due_ns;
		if (*ret_beat)
			break;
		clock_wait_deadline((due_ns - now_ns) / NS_PER_MS + 1, &until);
		(void)pthread_cond_timedwait(&r->wake, &r->lock, &until);
	}
	r->role_due = false;
	if (*ret_beat)
		r->moved = false;
	bool go_on = !r->stop;

	(void)pthread_mutex_unlock(&r->lock);
	return go_on;
}

static void *replicator_main(void *arg)
{
	struct replicator *r = arg;
	bool beat = true;

	do {
		uint64_t now_ns = clock_mono_ns(r->options.clock);

		if (beat)
			replicator_send_beat(r, now_ns);
		take_role(r, now_ns);
		replicator_lease_look(r, now_ns);
		replicator_voters_look(r, now_ns);
	} while (wait_for_work(r, &beat));
	return NULL;
}

/* --- life --- */

static enum err open_committer(struct replicator *r, struct fault *f)
{
	struct committer_options o = {
		.clock = r->options.clock,
		.store = r->options.store,
		.catalog = r->options.catalog,
		.region = r->options.self.id,
		.region_name = r->options.self.name,
		.log_bytes_max = r->options.log_bytes_max,
		.may_write = may_write,
		.may_originate = may_originate,
		.on_commit = on_commit,
		.trim_floor = trim_floor,
		.trim_floor_multi = trim_floor_multi,
		.undo = peers_majority(r->peers) > 1,
		.may_forget = may_forget,
		.level = level_of,
		.applied = applied_of,
		.ctx = r,
	};

	return committer_open(&o, &r->committer, f);
}

static void init_locks(struct replicator *r)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&r->wake, &attr);
	(void)pthread_cond_init(&r->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
}

enum err replicator_open(const struct replicator_options *o, struct replicator **ret_replicator,
			 struct fault *reterr_fault)
{
	struct replicator *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for the replicator");
	r->options = *o;
	r->alone = o->other_count == 0;
	r->fleet = hash64(o->fleet, strlen(o->fleet), FLEET_SEED);
	atomic_init(&r->news, 1);
	init_locks(r);
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
	if (err == ERR_NONE)
		err = replicator_lease_open(r, reterr_fault);
	if (err != ERR_NONE) {
		replicator_free(r);
		return err;
	}
	*ret_replicator = r;
	return ERR_NONE;
}

static enum err make_publisher(struct replicator *r)
{
	struct committer_state s;

	committer_state(r->committer, &s);
	struct publisher_options o = {
		.clock = r->options.clock,
		.store = r->options.store,
		.catalog = r->options.catalog,
		.fleet = r->fleet,
		.region = r->options.self.id,
		.now = s.position,
		.silence = r->options.silence,
	};
	struct publisher *made;
	enum err err = publisher_new(&o, &made);

	if (err == ERR_NONE)
		r->publisher = made;
	return err;
}

static enum err start_threads(struct replicator *r, struct fault *f)
{
	int e = pthread_create(&r->thread, NULL, replicator_main, r);

	if (e != 0)
		return fault_set(f, err_from_errno(e), "no thread for heartbeats");
	(void)pthread_setname_np(r->thread, "replicator");
	r->started = true;
	for (uint32_t i = 0; peers_link(r->peers) != NULL && i < peers_count(r->peers); i++) {
		struct asker *a = &r->askers[i];

		if (!peers_config(r->peers, i)->data)
			continue;
		*a = (struct asker){ .replicator = r, .peer = i };
		e = pthread_create(&a->thread, NULL, replicator_asker_main, a);
		if (e != 0)
			return fault_set(f, err_from_errno(e), "no thread that asks peers");
		(void)pthread_setname_np(a->thread, "peer-asker");
		a->started = true;
	}
	return ERR_NONE;
}

static enum err start_keeper(struct replicator *r)
{
	const struct orphan_keeper_options o = {
		.clock = r->options.clock,
		.committer = r->committer,
		.peers = r->peers,
		.policy = r->options.orphans,
		.writer = replicator_writer,
		.ctx = r,
	};
	enum err err = orphan_keeper_new(&o, &r->keeper);

	return err == ERR_NONE ? orphan_keeper_start(r->keeper) : err;
}

/* The order: what is told before whoever tells it; the committer before whoever waits for its commits. */
static enum err start_with_peers(struct replicator *r, struct fault *f)
{
	struct stream_events events = { .ctx = r, .on_accepted = replicator_on_accepted, .on_closed = replicator_on_closed, .on_beat = replicator_on_beat };
	struct applier_options applier = { .clock = r->options.clock, .committer = r->committer, .peers = r->peers,
					   .silence = r->options.silence };
	bool publishes = r->options.make_stream != NULL && r->options.self.data;
	struct stream *stream = NULL;
	struct applier *made = NULL;
	enum err err = publishes ? make_publisher(r) : ERR_NONE;

	if (err == ERR_NONE && r->options.make_stream != NULL)
		err = r->options.make_stream(r->options.ctx, &events, &stream, f);
	if (err == ERR_NONE)
		r->stream = stream;
	if (err == ERR_NONE)
		err = committer_start(r->committer);
	if (err == ERR_NONE && publishes)
		err = publisher_start(r->publisher, r->stream);
	applier.stream = r->stream;
	if (err == ERR_NONE && r->options.self.data)
		err = applier_start(&applier, &made, f);
	if (err == ERR_NONE)
		r->applier = made;
	if (err == ERR_NONE)
		err = start_threads(r, f);
	if (err == ERR_NONE && r->options.self.data)
		err = start_keeper(r);
	return err == ERR_NONE && replicator_has_lease(r) ? lease_run_start(r->lease.run, f) : err;
}

enum err replicator_start(struct replicator *r, struct fault *reterr_fault)
{
	struct committer_state s;

	if (!r->alone)
		return start_with_peers(r, reterr_fault);
	committer_state(r->committer, &s);
	if (s.epoch != 0 && s.writer != r->options.self.id && s.writer != 0)
		log_warn("no other region is configured, this one goes on alone from what region %u wrote", s.writer);
	enum err err = committer_start(r->committer);
	return err == ERR_NONE ? committer_begin_epoch(r->committer, reterr_fault) : err;
}

void replicator_stop(struct replicator *r)
{
	if (r == NULL)
		return;
	(void)pthread_mutex_lock(&r->lock);
	r->stop = true;
	(void)pthread_cond_signal(&r->wake);
	(void)pthread_cond_broadcast(&r->changed);
	(void)pthread_mutex_unlock(&r->lock);
	if (r->started)
		(void)pthread_join(r->thread, NULL);
	r->started = false;
	for (uint32_t i = 0; i < PEERS_MAX; i++) {
		if (r->askers[i].started)
			(void)pthread_join(r->askers[i].thread, NULL);
		r->askers[i].started = false;
	}
	orphan_keeper_stop(r->keeper);
	applier_stop(r->applier);
	/* Its threads wait for the applier and the committer. */
	lease_run_stop(r->lease.run);
	if (r->committer != NULL)
		committer_stop(r->committer);
	publisher_stop(r->publisher);
}

void replicator_free(struct replicator *r)
{
	if (r == NULL)
		return;
	replicator_stop(r);
	/* The stream first: until it is gone its events come. */
	stream_free(r->stream);
	lease_run_free(r->lease.run);
	publisher_free(r->publisher);
	applier_free(r->applier);
	orphan_keeper_free(r->keeper);
	committer_close(r->committer);
	peers_free(r->peers);
	(void)pthread_cond_destroy(&r->wake);
	(void)pthread_cond_destroy(&r->changed);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

void replicator_set_unproved(struct replicator *r, bool unproved)
{
	atomic_store(&r->unproved, unproved);
}

struct committer *replicator_committer(struct replicator *r)
{
	return r->committer;
}

struct peers *replicator_peers(struct replicator *r)
{
	return r->peers;
}
