/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/replicator.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"

/* 80 % of what a stamp may lie ahead of another region's clock. */
#define CLOCK_OFF_MS (HLC_OFFSET_MS_MAX_DEFAULT * 8 / 10)
#define FLEET_SEED 0x464c454554u
#define NS_PER_MS UINT64_C(1000000)
/* A changed position is told at once, but no more often than this: acknowledgements by other regions wait for it. */
#define BEAT_MS_MIN 4
/* A peer whose heartbeats do not come by stream is asked this often over its own port; without a stream as often as it
 * would send them. */
#define ASK_MS 1000
#define STANDING_MS 900
/* After an epoch could not be begun. */
#define ROLE_RETRY_MS 1000
#define SWITCHOVER_BEHIND_MS_MAX 5000
#define TARGET_SILENT_MS_MAX 2000
#define TARGET_LOOK_MS 100
#define TARGET_NEAR_OPS 16
#define LOG_ENTRY_BYTES_MAX (16u << 20)

/* Who asks one peer; a silent one must not keep the others waiting. */
struct asker {
	struct replicator *replicator;
	uint32_t peer;
	pthread_t thread;
	bool started;
};

struct replicator {
	struct replicator_options options;
	bool alone;
	uint64_t fleet;
	/* Made before any thread that uses them, freed after all of them */
	struct committer *committer;
	struct peers *peers;
	/* Likewise, but replicator_start() makes them while others may ask already */
	struct stream *_Atomic stream;
	struct publisher *_Atomic publisher;
	struct applier *_Atomic applier;

	atomic_uint_fast64_t news;    /* moves with all that an acknowledgement may depend on */
	/* The committer's thread: what follows from `news` */
	uint64_t known_news;
	uint64_t known_epoch;
	struct position known_confirmed;
	struct position known_accepted;
	struct position known_multi_accepted;

	/* The thread of heartbeats and of the role */
	pthread_t thread;
	bool started;
	uint64_t beat_ns;             /* when it told last */
	uint64_t role_ns;             /* no further try to begin an epoch before */

	struct asker askers[PEERS_MAX];

	pthread_mutex_t lock;         /* guards the rest; never held while another lock is taken */
	pthread_cond_t wake;          /* for the thread above alone */
	pthread_cond_t changed;       /* for all others: stop, beats */
	bool stop;
	bool switching;               /* a switchover is under way */
	bool handing_over;            /* and admits no writes */
	bool moved;                   /* the position changed since the last heartbeat */
	bool eager;                   /* it is this region's turn to write, once others were heard */
	bool role_due;                /* and they were */
	uint64_t beats;               /* that came */
	uint32_t waits_told[PEERS_MAX]; /* of logs of this region, kinds that a peer said to wait for */
};

/* --- what the committer asks --- */

static struct position confirmed_at(struct replicator *r, const struct committer_state *s)
{
	return r->alone ? s->position : peers_confirmed(r->peers, s->position, s->epoch);
}

static void update_known(struct replicator *r)
{
	uint64_t news = atomic_load(&r->news);
	struct committer_state s;

	if (r->known_news == news)
		return;
	committer_state(r->committer, &s);
	r->known_epoch = s.epoch;
	r->known_confirmed = confirmed_at(r, &s);
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
	struct region_set holders = peers_holders(r->peers, (struct log_end){ p.epoch, p.seq }, p.seq);

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
	if (position_is_multi(p) ? is_multi_confirmed(r, p)
				 : !is_lost(r, p) && position_compare(p, r->known_confirmed) <= 0)
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
	ret_applied->stream = r->publisher != NULL && is_accepted(r, p);
	committer_state(r->committer, &s);
	if (position_is_multi(p))
		ret_applied->regions = peers_holders(r->peers, (struct log_end){ p.epoch, p.seq }, p.seq);
	else if (!is_lost(r, p))
		ret_applied->regions = peers_applied(r->peers, s.position, p);
}

/* What is confirmed, as far as this region knows by itself or was told of an epoch that it has reached: a newer one may
 * have another history. */
static struct position trim_floor(void *ctx)
{
	struct replicator *r = ctx;
	struct committer_state s;

	committer_state(r->committer, &s);
	struct position floor = confirmed_at(r, &s);
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
	uint64_t newest = peers_newest_epoch(r->peers);

	(void)scope;
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
	if (r->publisher != NULL)
		publisher_wake(r->publisher, now);
	if (r->publisher != NULL && s.multi_log != 0)
		publisher_wake(r->publisher, (struct position){ s.multi_log, 0 });
	(void)pthread_mutex_lock(&r->lock);
	r->moved = true;
	(void)pthread_cond_signal(&r->wake);
	(void)pthread_mutex_unlock(&r->lock);
}

/* --- what the stream tells --- */

static void on_accepted(void *ctx, uint16_t scope, struct position upto)
{
	struct replicator *r = ctx;

	if ((scope != SCOPE_FLEET && scope != SCOPE_MULTI) || r->publisher == NULL)
		return;
	publisher_accepted(r->publisher, upto);
	atomic_fetch_add(&r->news, 1);
	committer_wake(r->committer);
}

static void on_closed(void *ctx, const struct fault *why)
{
	struct replicator *r = ctx;

	log_debug("the stream's window closed reason=\"%s\"", fault_text(why));
	if (r->publisher != NULL)
		publisher_closed(r->publisher);
}

static void take_beat(struct replicator *r, const struct heartbeat *h)
{
	if (!peers_beat(r->peers, h))
		return;
	atomic_fetch_add(&r->news, 1);
	committer_wake(r->committer);
	(void)pthread_mutex_lock(&r->lock);
	r->beats++;
	(void)pthread_cond_broadcast(&r->changed);
	if (r->eager) {
		r->role_due = true;
		(void)pthread_cond_signal(&r->wake);
	}
	(void)pthread_mutex_unlock(&r->lock);
}

/* The sender cannot go on with a log that this region wrote: told when it begins and when that is about another thing. */
static void tell_waits(struct replicator *r, uint32_t peer)
{
	struct standing_wait waits[STANDING_WAITS_MAX];
	uint32_t n = peers_waits(r->peers, peer, waits);
	uint32_t kinds = 0;

	for (uint32_t i = 0; i < n; i++)
		kinds |= 1u << MIN(waits[i].kind, 31u);
	(void)pthread_mutex_lock(&r->lock);
	uint32_t news = kinds & ~r->waits_told[peer];

	r->waits_told[peer] = kinds;
	(void)pthread_mutex_unlock(&r->lock);
	for (uint32_t i = 0; i < n; i++) {
		if (!(news & 1u << MIN(waits[i].kind, 31u)))
			continue;
		log_warn("a region cannot go on with a log of this one region=%s log=%llx seq=%llu waits=%s",
			 peers_config(r->peers, peer)->name, (unsigned long long)waits[i].log,
			 (unsigned long long)waits[i].seq,
			 waits[i].kind < LOG_WAIT_KINDS ? log_wait_word(waits[i].kind) : "unknown");
	}
}

/* False: it is not to be used. */
static bool take_standing(struct replicator *r, uint32_t peer, struct bytes b, uint64_t *ret_wall_ms)
{
	CLEANUP(arena_release) struct arena a;
	struct standing s;

	arena_init(&a, STANDING_BYTES_MAX);
	if (standing_decode(b, &a, &s, NULL) != ERR_NONE || s.region != peers_config(r->peers, peer)->id ||
	    !peers_stand(r->peers, &s))
		return false;
	*ret_wall_ms = s.wall_ms;
	tell_waits(r, peer);
	atomic_fetch_add(&r->news, 1);
	committer_wake(r->committer);
	return true;
}

/* Only on its own subject does a region speak for itself. */
static void on_beat(void *ctx, const char *region, uint16_t scope, struct bytes beat)
{
	struct replicator *r = ctx;
	struct heartbeat h;

	if (scope == SCOPE_MULTI) {
		uint64_t wall_ms;

		for (uint32_t i = 0; i < peers_count(r->peers); i++)
			if (strcmp(peers_config(r->peers, i)->name, region) == 0)
				(void)take_standing(r, i, beat, &wall_ms);
		return;
	}
	if (scope != SCOPE_FLEET || heartbeat_decode(beat, &h, NULL) != ERR_NONE)
		return;
	const struct peer_config *config = peers_by_id(r->peers, h.region);
	if (config != NULL && strcmp(config->name, region) == 0)
		take_beat(r, &h);
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

/* Those that wait longest; each region looks for its own among them. */
static uint32_t fill_waits(struct replicator *r, struct standing_wait out[STANDING_WAITS_MAX])
{
	struct log_waits_told *told = calloc(LOG_WAITS_MAX, sizeof(*told));
	uint32_t n = told != NULL ? MIN(replicator_waits(r, told), STANDING_WAITS_MAX) : 0;

	for (uint32_t i = 0; i < n; i++)
		out[i] = (struct standing_wait){ told[i].wait.log, told[i].wait.seq, (uint8_t)told[i].wait.kind };
	free(told);
	return n;
}

static enum err put_standing(struct replicator *r, bool whole, struct buf *out)
{
	struct log_end *ends = calloc(LOGS_MAX, sizeof(*ends));
	struct committer_state state;

	if (ends == NULL)
		return ERR_NO_MEMORY;
	committer_state(r->committer, &state);
	struct standing s = {
		.fleet = r->fleet,
		.region = r->options.self.id,
		.whole = whole,
		.wall_ms = clock_wall_ms(r->options.clock),
		.hlc = state.hlc,
		.ends = ends,
		.count = committer_vector(r->committer, ends),
	};
	s.wait_count = fill_waits(r, s.waits);
	if (!whole)
		s.count = standing_newest(ends, s.count);
	enum err err = s.count > 0 || whole ? standing_encode(&s, out) : ERR_NOT_FOUND;
	free(ends);
	return err;
}

enum err replicator_standing(struct replicator *r, struct buf *out)
{
	return put_standing(r, true, out);
}

static void send_standing(struct replicator *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STREAM_BEAT_BYTES_MAX);
	enum err err = put_standing(r, false, &b);

	if (err == ERR_NONE)
		err = stream_beat(r->stream, SCOPE_MULTI, buf_bytes(&b));
	if (err != ERR_NONE && err != ERR_NOT_FOUND)
		log_debug("a standing was not sent, others follow reason=\"%s\"", err_sentence(err));
}

static void send_beat(struct replicator *r, uint64_t now_ns)
{
	CLEANUP(buf_release) struct buf beat = BUF_INIT(STREAM_BEAT_BYTES_MAX);

	r->beat_ns = now_ns;
	if (r->stream == NULL)
		return;
	enum err err = replicator_heartbeat(r, &beat);
	if (err == ERR_NONE)
		err = stream_beat(r->stream, SCOPE_FLEET, buf_bytes(&beat));
	if (err != ERR_NONE)
		log_debug("a heartbeat was not sent, others follow reason=\"%s\"", err_sentence(err));
	if (r->options.self.data)
		send_standing(r);
}

static void ask(struct replicator *r, uint32_t peer, uint64_t silent_ms_min)
{
	CLEANUP(buf_release) struct buf beat = BUF_INIT(STREAM_BEAT_BYTES_MAX);
	struct peer_link *link = peers_link(r->peers);
	struct peer_standing s;
	struct heartbeat h;

	peers_standing(r->peers, peer, &s);
	if (s.silent_ms < silent_ms_min)
		return;
	if (link->standing(link, s.config->id, SCOPE_FLEET, &beat, NULL) == ERR_NONE &&
	    heartbeat_decode(buf_bytes(&beat), &h, NULL) == ERR_NONE && h.region == s.config->id)
		take_beat(r, &h);
}

/* Its clock when it answered, which was at some moment between the two. */
static void take_clock(struct replicator *r, uint32_t peer, uint64_t wall_ms, uint64_t asked_ns)
{
	uint64_t took_ms = (clock_mono_ns(r->options.clock) - asked_ns) / NS_PER_MS;
	uint64_t now_ms = clock_wall_ms(r->options.clock);
	struct clock_sample sample = { .offset_ms = (int64_t)(wall_ms + took_ms / 2 - now_ms),
				       .error_ms = took_ms / 2 + 1 };

	peers_clock_sample(r->peers, peer, &sample);
}

/* All of its logs: heartbeats name the newest of each region only, and may not come. */
static void ask_standing(struct replicator *r, uint32_t peer)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STANDING_BYTES_MAX);
	struct peer_link *link = peers_link(r->peers);
	uint64_t asked_ns = clock_mono_ns(r->options.clock);
	uint64_t wall_ms;

	if (link->standing(link, peers_config(r->peers, peer)->id, SCOPE_MULTI, &b, NULL) == ERR_NONE &&
	    take_standing(r, peer, buf_bytes(&b), &wall_ms))
		take_clock(r, peer, wall_ms, asked_ns);
}

static void *asker_main(void *arg)
{
	struct asker *a = arg;
	struct replicator *r = a->replicator;
	uint64_t every_ms = r->stream != NULL ? ASK_MS : HEARTBEAT_MS;
	uint64_t standing_ns = 0;
	bool stop = false;

	while (!stop) {
		struct timespec until;
		uint64_t now_ns = clock_mono_ns(r->options.clock);

		ask(r, a->peer, every_ms);
		if (now_ns - standing_ns >= STANDING_MS * NS_PER_MS) {
			standing_ns = now_ns;
			ask_standing(r, a->peer);
		}
		clock_wait_deadline(every_ms, &until);
		(void)pthread_mutex_lock(&r->lock);
		while (!r->stop && pthread_cond_timedwait(&r->changed, &r->lock, &until) == 0)
			;
		stop = r->stop;
		(void)pthread_mutex_unlock(&r->lock);
	}
	return NULL;
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
	if (s->writing || s->failed || !r->options.self.data)
		return false;
	if (s->released)
		return s->released_to == r->options.self.id;
	/* Epochs of writer 0 are those of a region that was alone. */
	if (s->epoch == 0 || s->writer == 0)
		return r->options.first_primary;
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
			send_beat(r, now_ns);
		take_role(r, now_ns);
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
		e = pthread_create(&a->thread, NULL, asker_main, a);
		if (e != 0)
			return fault_set(f, err_from_errno(e), "no thread that asks peers");
		(void)pthread_setname_np(a->thread, "peer-asker");
		a->started = true;
	}
	return ERR_NONE;
}

/* The order: what is told before whoever tells it; the committer before whoever waits for its commits. */
static enum err start_with_peers(struct replicator *r, struct fault *f)
{
	struct stream_events events = { .ctx = r, .on_accepted = on_accepted, .on_closed = on_closed, .on_beat = on_beat };
	struct applier_options applier = { .clock = r->options.clock, .committer = r->committer, .peers = r->peers };
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
	return err == ERR_NONE ? start_threads(r, f) : err;
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
	applier_stop(r->applier);
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
	publisher_free(r->publisher);
	applier_free(r->applier);
	committer_close(r->committer);
	peers_free(r->peers);
	(void)pthread_cond_destroy(&r->wake);
	(void)pthread_cond_destroy(&r->changed);
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

static bool is_writer(struct replicator *r, const struct committer_state *s)
{
	return s->writing && peers_newest_epoch(r->peers) <= s->epoch;
}

enum err replicator_admit(struct replicator *r, uint8_t *ret_writer, struct fault *reterr_fault)
{
	struct committer_state s;
	uint8_t self = r->options.self.id;

	committer_state(r->committer, &s);
	*ret_writer = 0;
	if (is_handing_over(r))
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "the primary's role is being handed over; retry");
	if (is_writer(r, &s))
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

double replicator_staleness_seconds(struct replicator *r)
{
	struct committer_state s;

	committer_state(r->committer, &s);
	if (is_writer(r, &s))
		return 0.0;
	/* Who has released is no writer any more: what it says from then on proves nothing. */
	struct position here = s.position;
	if (s.released)
		here.seq--;
	return peers_lag_seconds(r->peers, s.writer, here);
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
	else if (applier.stopped)
		buf_append_cstr(why, fault_text(&applier.trouble));
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

/* What follows `after` must be held: the next op of its epoch, the epoch-start that ends it, or the beginning of all. */
static enum err check_follows(struct replicator *r, struct store_txn *t, struct position after, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;
	struct oplog_entry entry = { 0 };
	struct position oldest = { 0 };
	struct position newest;

	arena_init(&a, LOG_ENTRY_BYTES_MAX);
	enum err err = oplog_bounds(r->options.store, t, SCOPE_FLEET, &oldest, &newest);
	if (err != ERR_NONE)
		return fault_set(f, err, "the log of region %s: %s", r->options.self.name, err_sentence(err));
	if (position_compare(after, oldest) >= 0)
		return ERR_NONE;
	err = oplog_get(r->options.store, t, SCOPE_FLEET, oldest, &a, &entry, f);
	if (err != ERR_NONE)
		return err;
	const struct op *op = &entry.op;
	struct position before = { oldest.epoch, oldest.seq - 1 };
	if (op->kind == OP_EPOCH_START) {
		before = (struct position){ 0 };
		if (op->chain_count > 0)
			before = (struct position){ op->chain[op->chain_count - 1].epoch,
						    op->chain[op->chain_count - 1].end };
	}
	if (position_compare(after, before) == 0)
		return ERR_NONE;
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

void replicator_state(struct replicator *r, struct replicator_state *ret_state)
{
	*ret_state = (struct replicator_state){ .alone = r->alone, .has_stream = r->stream != NULL };
	committer_state(r->committer, &ret_state->commit);
	ret_state->confirmed = confirmed_at(r, &ret_state->commit);
	ret_state->is_writer = is_writer(r, &ret_state->commit);
	ret_state->handing_over = is_handing_over(r);
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
		return fault_set(f, ERR_SESSION_ORPHANED, "the write at (%llu,%llu) did not survive a change of the primary",
				 (unsigned long long)p.epoch, (unsigned long long)p.seq);
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

enum err replicator_find_session(struct replicator *r, const struct session *s, uint64_t wait_ms,
				 struct fault *reterr_fault)
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

/* Waits for another heartbeat than those `seen`; false: this region stops. */
static bool wait_for_news(struct replicator *r, uint64_t seen)
{
	struct timespec until;

	clock_wait_deadline(TARGET_LOOK_MS, &until);
	(void)pthread_mutex_lock(&r->lock);
	while (!r->stop && r->beats == seen && pthread_cond_timedwait(&r->changed, &r->lock, &until) == 0)
		;
	bool go_on = !r->stop;

	(void)pthread_mutex_unlock(&r->lock);
	return go_on;
}

/* Waits until the target has applied `upto`. */
static enum err wait_for_target(struct replicator *r, uint8_t target, struct position upto, uint64_t until_ns)
{
	struct peer_standing s;

	for (;;) {
		(void)pthread_mutex_lock(&r->lock);
		uint64_t seen = r->beats;

		(void)pthread_mutex_unlock(&r->lock);
		if (!standing_of(r, target, &s))
			return ERR_NOT_FOUND;
		if (s.heard && position_compare(s.position, upto) >= 0)
			return ERR_NONE;
		if (clock_mono_ns(r->options.clock) >= until_ns)
			return ERR_TIMEOUT;
		if (!wait_for_news(r, seen))
			return ERR_UNAVAILABLE;
	}
}

static enum err check_target(struct replicator *r, uint8_t target, struct fault *f)
{
	const struct peer_config *config = peers_by_id(r->peers, target);
	struct committer_state s;
	struct peer_standing standing;

	committer_state(r->committer, &s);
	if (!is_writer(r, &s))
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

/* The pause: nothing is admitted, until the target has all and the release, or this region goes on. */
static enum err hand_over(struct replicator *r, uint8_t target, uint64_t timeout_ms, struct position *ret_end,
			  struct fault *f)
{
	uint64_t until_ns = clock_mono_ns(r->options.clock) + timeout_ms * NS_PER_MS;
	struct committer_state s;
	struct position end;
	enum err err = committer_drain(r->committer, timeout_ms);

	committer_state(r->committer, &s);
	if (err == ERR_NONE)
		err = wait_for_target(r, target, s.position, until_ns);
	if (err != ERR_NONE)
		return fault_set(f, err, "the target did not reach the last write in time; this region goes on");
	err = committer_release(r->committer, target, &end, f);
	if (err != ERR_NONE)
		return err;
	*ret_end = end;
	log_info("released the primary's role target=%u epoch=%llu seq=%llu", target, (unsigned long long)end.epoch,
		 (unsigned long long)end.seq);
	err = wait_for_target(r, target, (struct position){ end.epoch + 1, 0 }, until_ns);
	if (err != ERR_NONE)
		return fault_set(f, err,
				 "released at (%llu,%llu); the target has not begun yet, it will when it has applied that",
				 (unsigned long long)end.epoch, (unsigned long long)end.seq);
	return ERR_NONE;
}

/* While writes go on, so that the pause is short: until the target has what was written before, and what was written
 * meanwhile is little or does not become less. */
static enum err wait_until_near(struct replicator *r, uint8_t target, uint64_t timeout_ms)
{
	uint64_t until_ns = clock_mono_ns(r->options.clock) + MIN(timeout_ms, SWITCHOVER_BEHIND_MS_MAX) * NS_PER_MS;
	uint64_t behind = UINT64_MAX;
	struct committer_state s;

	committer_state(r->committer, &s);
	for (;;) {
		struct position upto = s.position;
		enum err err = wait_for_target(r, target, upto, until_ns);

		if (err != ERR_NONE)
			return err;
		committer_state(r->committer, &s);
		uint64_t now_behind = s.position.seq - upto.seq;
		if (s.position.epoch != upto.epoch || now_behind <= TARGET_NEAR_OPS || now_behind > behind / 2)
			return ERR_NONE;
		behind = now_behind;
	}
}

static enum err switch_to(struct replicator *r, uint8_t target, uint64_t timeout_ms,
			  struct switchover_report *report, struct fault *f)
{
	enum err err = check_target(r, target, f);

	if (err != ERR_NONE)
		return err;
	err = wait_until_near(r, target, timeout_ms);
	if (err != ERR_NONE)
		return fault_set(f, err, "the target is behind and does not catch up; nothing was changed");

	(void)pthread_mutex_lock(&r->lock);
	r->handing_over = true;
	(void)pthread_mutex_unlock(&r->lock);
	uint64_t stopped_ns = clock_mono_ns(r->options.clock);
	err = hand_over(r, target, timeout_ms, &report->end, f);
	(void)pthread_mutex_lock(&r->lock);
	r->handing_over = false;
	(void)pthread_mutex_unlock(&r->lock);
	report->pause_ms = (clock_mono_ns(r->options.clock) - stopped_ns) / NS_PER_MS;
	return err;
}

enum err replicator_switchover(struct replicator *r, uint8_t target, uint64_t timeout_ms,
			       struct switchover_report *ret_report, struct fault *reterr_fault)
{
	*ret_report = (struct switchover_report){ 0 };
	(void)pthread_mutex_lock(&r->lock);
	bool busy = r->switching;

	r->switching = true;
	(void)pthread_mutex_unlock(&r->lock);
	if (busy)
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "another switchover is under way");
	enum err err = switch_to(r, target, timeout_ms, ret_report, reterr_fault);

	(void)pthread_mutex_lock(&r->lock);
	r->switching = false;
	(void)pthread_mutex_unlock(&r->lock);
	return err;
}
