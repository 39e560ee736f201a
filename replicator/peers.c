/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/peers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"

/* Heartbeats beyond what is applied here: enough for half a minute; beyond, every second one is dropped, which makes
 * the lag greater, never smaller. */
#define BEATS_WAITING_MAX 128
/* The smallest delay is looked for over this time, and over twice as much at most: clocks are set, links change. */
#define OFFSET_WINDOW_NS UINT64_C(30000000000)
#define NS_PER_MS UINT64_C(1000000)
/* Nobody's logs are taken for what they were longer ago, when a log is to be forgotten. */
#define WHOLE_NS_MAX UINT64_C(5000000000)
/* What a clock showed longer ago says nothing of today. */
#define SAMPLE_NS_MAX UINT64_C(10000000000)

struct beat {
	struct position position;
	uint64_t arrived_ns;
	uint64_t age_ms;        /* that it had when it arrived, at least */
};

/* The greatest difference of the clocks in this window and the one before. */
struct offset {
	uint64_t begun_ns;
	int64_t now_ms;
	int64_t before_ms;
};

/* What a writer stood at when, whether reached here or not; of each position the newest. Oldest first. */
struct seen {
	struct beat beats[BEATS_WAITING_MAX];
	uint32_t count;
};

struct peer {
	struct peer_config config;
	char name[STREAM_NAME_TEXT];
	bool heard;
	struct position position;
	struct position confirmed;
	uint64_t promised;                       /* the greatest that was heard: heartbeats may overtake one another */
	bool barred;
	uint64_t newest_epoch;
	uint64_t wall_ms;                        /* its clock, in the last heartbeat */
	uint64_t arrived_ns;
	struct offset offset;
	/* Heartbeats that it sent as the writer of its epoch. */
	bool has_applied;
	struct beat applied;                     /* the newest whose position was reached here */
	struct beat waiting[BEATS_WAITING_MAX];  /* newer ones, oldest first */
	uint32_t waiting_count;
	struct seen seen;
	/* SCOPE_MULTI: what it has of each log, in the order of their ids */
	struct log_end *ends;
	uint32_t end_count;
	uint64_t ends_wall_ms;
	bool has_whole;
	uint64_t whole_ns;                       /* when all of its logs were heard last */
	struct standing_wait waits[STANDING_WAITS_MAX]; /* logs that do not go on there */
	uint32_t wait_count;
	bool has_sample;
	struct clock_sample sample;
	uint64_t sample_ns;
};

struct peers {
	struct clock *clock;
	uint64_t fleet;
	struct peer_config self;
	char self_name[STREAM_NAME_TEXT];
	struct peer_link *link;
	uint32_t count;
	atomic_uint majority;   /* of the voter list; 0: of the configuration */
	pthread_mutex_t lock;   /* guards what heartbeats change in peer[], and the rest */
	struct peer peer[PEERS_MAX];
	bool has_voters;
	struct peers_voters voters;
	struct seen own;        /* heartbeats of this region as the writer */
};

static void copy_name(char out[STREAM_NAME_TEXT], const char *name)
{
	size_t n = strlen(name);

	ASSERT(n < STREAM_NAME_TEXT);
	memcpy(out, name, n + 1);
}

enum err peers_new(const struct peers_options *o, struct peers **ret_peers)
{
	struct peers *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return ERR_NO_MEMORY;
	ASSERT(o->other_count <= PEERS_MAX);
	p->clock = o->clock;
	p->fleet = o->fleet;
	p->self = o->self;
	copy_name(p->self_name, o->self.name);
	p->self.name = p->self_name;
	p->link = o->link;
	p->count = o->other_count;
	for (uint32_t i = 0; i < p->count; i++) {
		p->peer[i].config = o->others[i];
		copy_name(p->peer[i].name, o->others[i].name);
		p->peer[i].config.name = p->peer[i].name;
	}
	if (pthread_mutex_init(&p->lock, NULL) != 0) {
		free(p);
		return ERR_NO_MEMORY;
	}
	*ret_peers = p;
	return ERR_NONE;
}

void peers_free(struct peers *p)
{
	if (p == NULL)
		return;
	for (uint32_t i = 0; i < p->count; i++)
		free(p->peer[i].ends);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

uint32_t peers_count(const struct peers *p)
{
	return p->count;
}

const struct peer_config *peers_config(const struct peers *p, uint32_t i)
{
	ASSERT(i < p->count);
	return &p->peer[i].config;
}

const struct peer_config *peers_self(const struct peers *p)
{
	return &p->self;
}

static struct peer *find(struct peers *p, uint8_t id)
{
	for (uint32_t i = 0; i < p->count; i++) {
		if (p->peer[i].config.id == id)
			return &p->peer[i];
	}
	return NULL;
}

const struct peer_config *peers_by_id(const struct peers *p, uint8_t id)
{
	if (id == p->self.id)
		return &p->self;
	for (uint32_t i = 0; i < p->count; i++) {
		if (p->peer[i].config.id == id)
			return &p->peer[i].config;
	}
	return NULL;
}

struct peer_link *peers_link(const struct peers *p)
{
	return p->link;
}

uint64_t peers_fleet(const struct peers *p)
{
	return p->fleet;
}

uint32_t peers_voters(const struct peers *p)
{
	uint32_t n = p->self.data || p->self.witness ? 1 : 0;

	for (uint32_t i = 0; i < p->count; i++)
		n += p->peer[i].config.data || p->peer[i].config.witness ? 1 : 0;
	return n;
}

uint32_t peers_majority(const struct peers *p)
{
	uint32_t majority = atomic_load(&p->majority);

	return majority != 0 ? majority : peers_voters(p) / 2 + 1;
}

void peers_set_voters(struct peers *p, const struct peers_voters *v)
{
	(void)pthread_mutex_lock(&p->lock);
	if (!p->has_voters || v->number >= p->voters.number) {
		p->has_voters = true;
		p->voters = *v;
		atomic_store(&p->majority, v->majority);
	}
	(void)pthread_mutex_unlock(&p->lock);
}

struct region_set peers_members(struct peers *p)
{
	(void)pthread_mutex_lock(&p->lock);
	struct region_set members = p->has_voters ? p->voters.data : (struct region_set){ 0 };

	(void)pthread_mutex_unlock(&p->lock);
	return members;
}

/* With the lock. */
static bool is_member(const struct peers *p, const struct peer_config *c)
{
	return c->data && (!p->has_voters || region_set_has(&p->voters.data, c->id));
}

/* A full list keeps every second beat, so that it still reaches back as far. */
static void wait_for(struct peer *peer, struct beat b)
{
	if (peer->waiting_count == BEATS_WAITING_MAX) {
		for (uint32_t i = 1; i < BEATS_WAITING_MAX; i += 2)
			peer->waiting[i / 2] = peer->waiting[i];
		peer->waiting_count = BEATS_WAITING_MAX / 2;
	}
	peer->waiting[peer->waiting_count++] = b;
}

/* What another region has applied may be older than what is applied here, and newer: neither moves the other. A full list
 * keeps every second beat but for the newest. */
static void remember(struct seen *s, struct beat b)
{
	if (s->count > 0 && position_compare(s->beats[s->count - 1].position, b.position) == 0)
		s->count--;
	if (s->count == BEATS_WAITING_MAX) {
		for (uint32_t i = 1; i < BEATS_WAITING_MAX; i += 2)
			s->beats[i / 2] = s->beats[i];
		s->count = BEATS_WAITING_MAX / 2;
	}
	s->beats[s->count++] = b;
}

/* A beat cannot arrive before it is sent: the greatest difference had the smallest delay. */
static void observe_offset(struct offset *o, bool first, int64_t seen_ms, uint64_t now_ns)
{
	if (first || now_ns - o->begun_ns >= 2 * OFFSET_WINDOW_NS) {
		*o = (struct offset){ .begun_ns = now_ns, .now_ms = seen_ms, .before_ms = seen_ms };
	} else if (now_ns - o->begun_ns >= OFFSET_WINDOW_NS) {
		*o = (struct offset){ .begun_ns = now_ns, .now_ms = seen_ms, .before_ms = o->now_ms };
	} else {
		o->now_ms = MAX(o->now_ms, seen_ms);
	}
}

static int64_t offset_ms(const struct peer *peer)
{
	return MAX(peer->offset.now_ms, peer->offset.before_ms);
}

static bool is_news(const struct peer *peer, const struct heartbeat *h)
{
	return !peer->heard || position_compare(h->position, peer->position) >= 0 || h->wall_ms > peer->wall_ms;
}

static void take_beat(struct peer *peer, const struct heartbeat *h, uint64_t wall_ms, uint64_t now_ns)
{
	int64_t seen_ms = (int64_t)(h->wall_ms - wall_ms);

	observe_offset(&peer->offset, !peer->heard, seen_ms, now_ns);
	peer->heard = true;
	peer->position = h->position;
	peer->confirmed = h->confirmed;
	peer->barred = h->promised == HEARTBEAT_BARRED;
	peer->wall_ms = h->wall_ms;
	peer->arrived_ns = now_ns;
	if ((uint8_t)h->position.epoch == h->region) {
		int64_t age_ms = MAX(offset_ms(peer), 0) - seen_ms;

		struct beat b = { .position = h->position,
				  .arrived_ns = now_ns,
				  .age_ms = (uint64_t)MAX(age_ms, 0) };
		wait_for(peer, b);
		remember(&peer->seen, b);
	}
}

bool peers_beat(struct peers *p, const struct heartbeat *h)
{
	if (h->fleet != p->fleet || h->scope != SCOPE_FLEET)
		return false;
	(void)pthread_mutex_lock(&p->lock);
	struct peer *peer = find(p, h->region);
	bool taken = peer != NULL && is_news(peer, h);

	if (peer != NULL && h->promised != HEARTBEAT_BARRED)
		peer->promised = MAX(peer->promised, h->promised);
	if (taken) {
		take_beat(peer, h, clock_wall_ms(p->clock), clock_mono_ns(p->clock));
		peer->newest_epoch = MAX(peer->newest_epoch, h->position.epoch);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return taken;
}

void peers_own_beat(struct peers *p, struct position here)
{
	if ((uint8_t)here.epoch != p->self.id)
		return;
	(void)pthread_mutex_lock(&p->lock);
	remember(&p->own, (struct beat){ .position = here, .arrived_ns = clock_mono_ns(p->clock) });
	(void)pthread_mutex_unlock(&p->lock);
}

void peers_standing(struct peers *p, uint32_t i, struct peer_standing *ret_standing)
{
	ASSERT(i < p->count);
	(void)pthread_mutex_lock(&p->lock);
	const struct peer *peer = &p->peer[i];

	*ret_standing = (struct peer_standing){
		.config = &peer->config,
		.heard = peer->heard,
		.position = peer->position,
		.confirmed = peer->confirmed,
		.promised = peer->promised,
		.silent_ms = peer->heard ? (clock_mono_ns(p->clock) - peer->arrived_ns) / NS_PER_MS : UINT64_MAX,
		.clock_offset_ms = peer->heard ? offset_ms(peer) : 0,
	};
	(void)pthread_mutex_unlock(&p->lock);
}

/* Moves the beats that are reached from `waiting` to `applied`. */
static void take_applied(struct peer *peer, struct position here)
{
	uint32_t reached = 0;

	while (reached < peer->waiting_count && position_compare(peer->waiting[reached].position, here) <= 0)
		reached++;
	if (reached == 0)
		return;
	peer->applied = peer->waiting[reached - 1];
	peer->has_applied = true;
	peer->waiting_count -= reached;
	memmove(peer->waiting, peer->waiting + reached, peer->waiting_count * sizeof(peer->waiting[0]));
}

static double seconds_since(const struct peers *p, const struct beat *b)
{
	return (double)(clock_mono_ns(p->clock) - b->arrived_ns) / 1e9 + (double)b->age_ms / 1e3;
}

double peers_lag_seconds(struct peers *p, uint8_t region, struct position here)
{
	double lag = PEERS_LAG_UNKNOWN_SECONDS;

	(void)pthread_mutex_lock(&p->lock);
	struct peer *peer = find(p, region);
	if (peer != NULL) {
		take_applied(peer, here);
		if (peer->has_applied)
			lag = seconds_since(p, &peer->applied);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return lag;
}

double peers_lag_of_seconds(struct peers *p, uint8_t writer, struct position there)
{
	double lag = PEERS_LAG_UNKNOWN_SECONDS;

	(void)pthread_mutex_lock(&p->lock);
	const struct peer *peer = find(p, writer);
	const struct seen *seen = writer == p->self.id ? &p->own : peer != NULL ? &peer->seen : NULL;
	for (uint32_t i = seen != NULL ? seen->count : 0; i > 0; i--) {
		if (position_compare(seen->beats[i - 1].position, there) <= 0) {
			lag = seconds_since(p, &seen->beats[i - 1]);
			break;
		}
	}
	(void)pthread_mutex_unlock(&p->lock);
	return lag;
}

static int compare_down(const void *a, const void *b)
{
	const struct position *x = a;
	const struct position *y = b;

	return position_compare(*y, *x);
}

/* Whoever has promised a newer epoch may stand where its promise did not find it: what it holds of this one counts no more. */
static bool counts(const struct peers *p, const struct peer *peer)
{
	return is_member(p, &peer->config) && peer->heard && !peer->barred && peer->promised <= peer->position.epoch;
}

struct position peers_confirmed(struct peers *p, struct position here, uint64_t epoch)
{
	struct position all[PEERS_MAX + 1];
	uint32_t n = 0;

	(void)pthread_mutex_lock(&p->lock);
	if (is_member(p, &p->self) && here.epoch == epoch)
		all[n++] = here;
	for (uint32_t i = 0; i < p->count; i++) {
		const struct peer *peer = &p->peer[i];

		if (counts(p, peer) && peer->position.epoch == epoch)
			all[n++] = peer->position;
	}
	(void)pthread_mutex_unlock(&p->lock);
	uint32_t majority = peers_majority(p);
	if (n < majority)
		return (struct position){ 0 };
	qsort(all, n, sizeof(all[0]), compare_down);
	return all[majority - 1];
}

struct region_set peers_applied(struct peers *p, struct position here, struct position pos)
{
	struct region_set have = { 0 };

	(void)pthread_mutex_lock(&p->lock);
	if (is_member(p, &p->self) && position_compare(here, pos) >= 0)
		region_set_add(&have, p->self.id);
	for (uint32_t i = 0; i < p->count; i++) {
		const struct peer *peer = &p->peer[i];
		uint64_t epoch = peer->position.epoch;

		if (counts(p, peer) && (epoch == pos.epoch || epoch == here.epoch) &&
		    position_compare(peer->position, pos) >= 0)
			region_set_add(&have, peer->config.id);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return have;
}

/* --- clocks --- */

void peers_clock_sample(struct peers *p, uint32_t i, const struct clock_sample *s)
{
	ASSERT(i < p->count);
	(void)pthread_mutex_lock(&p->lock);
	struct peer *peer = &p->peer[i];

	peer->has_sample = true;
	peer->sample = *s;
	peer->sample_ns = clock_mono_ns(p->clock);
	(void)pthread_mutex_unlock(&p->lock);
}

/* How far off it surely is: the answer may have taken all of its time on either way. */
static int64_t surely_off_ms(const struct clock_sample *s)
{
	if (s->offset_ms > 0)
		return MAX(s->offset_ms - (int64_t)s->error_ms, 0);
	return MIN(s->offset_ms + (int64_t)s->error_ms, 0);
}

static int compare_offset(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (*x > *y) - (*x < *y);
}

/* Against M others on one side: sorted, the M-th from below or from above lies beyond the limit. */
bool peers_clock_is_off(struct peers *p, uint64_t limit_ms, int64_t *ret_ahead_ms)
{
	int64_t ahead[PEERS_MAX];
	uint32_t n = 0;
	uint32_t majority = peers_majority(p);
	uint64_t now_ns = clock_mono_ns(p->clock);

	(void)pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < p->count; i++) {
		const struct peer *peer = &p->peer[i];

		if (peer->config.data && peer->has_sample && now_ns - peer->sample_ns < SAMPLE_NS_MAX)
			ahead[n++] = -surely_off_ms(&peer->sample);
	}
	(void)pthread_mutex_unlock(&p->lock);
	*ret_ahead_ms = 0;
	if (n < majority)
		return false;
	qsort(ahead, n, sizeof(ahead[0]), compare_offset);
	if (ahead[n - majority] >= (int64_t)limit_ms)
		*ret_ahead_ms = ahead[n - majority];
	else if (ahead[majority - 1] <= -(int64_t)limit_ms)
		*ret_ahead_ms = ahead[majority - 1];
	return *ret_ahead_ms != 0;
}

/* --- SCOPE_MULTI --- */

static struct log_end *find_end(struct peer *peer, uint64_t log)
{
	for (uint32_t i = 0; i < peer->end_count; i++)
		if (peer->ends[i].log == log)
			return &peer->ends[i];
	return NULL;
}

static void set_end(struct peer *peer, struct log_end end)
{
	struct log_end *known = find_end(peer, end.log);

	if (known != NULL) {
		*known = end;
		return;
	}
	if (peer->end_count == LOGS_MAX)
		return;
	uint32_t at = peer->end_count++;
	for (; at > 0 && peer->ends[at - 1].log > end.log; at--)
		peer->ends[at] = peer->ends[at - 1];
	peer->ends[at] = end;
}

/* A region that lost its disk stands lower than before: what it says last counts. */
bool peers_stand(struct peers *p, const struct standing *s)
{
	if (s->fleet != p->fleet)
		return false;
	(void)pthread_mutex_lock(&p->lock);
	struct peer *peer = find(p, s->region);
	bool taken = peer != NULL && s->wall_ms >= peer->ends_wall_ms;

	if (taken && peer->ends == NULL)
		peer->ends = calloc(LOGS_MAX, sizeof(*peer->ends));
	taken = taken && peer->ends != NULL;
	if (taken) {
		peer->ends_wall_ms = s->wall_ms;
		if (s->whole)
			peer->end_count = 0;
		for (uint32_t i = 0; i < s->count; i++)
			set_end(peer, s->ends[i]);
		if (s->whole) {
			peer->has_whole = true;
			peer->whole_ns = clock_mono_ns(p->clock);
		}
		memcpy(peer->waits, s->waits, s->wait_count * sizeof(s->waits[0]));
		peer->wait_count = s->wait_count;
	}
	(void)pthread_mutex_unlock(&p->lock);
	return taken;
}

uint32_t peers_ends(struct peers *p, uint32_t i, struct log_end out[LOGS_MAX])
{
	ASSERT(i < p->count);
	(void)pthread_mutex_lock(&p->lock);
	uint32_t n = p->peer[i].end_count;

	if (n > 0)
		memcpy(out, p->peer[i].ends, n * sizeof(*out));
	(void)pthread_mutex_unlock(&p->lock);
	return n;
}

uint64_t peers_ends_age_ms(struct peers *p, uint32_t i)
{
	ASSERT(i < p->count);
	(void)pthread_mutex_lock(&p->lock);
	const struct peer *peer = &p->peer[i];
	uint64_t age_ms = peer->has_whole ? (clock_mono_ns(p->clock) - peer->whole_ns) / NS_PER_MS : UINT64_MAX;

	(void)pthread_mutex_unlock(&p->lock);
	return age_ms;
}

uint32_t peers_waits(struct peers *p, uint32_t i, struct standing_wait out[STANDING_WAITS_MAX])
{
	uint32_t n = 0;

	ASSERT(i < p->count);
	(void)pthread_mutex_lock(&p->lock);
	const struct peer *peer = &p->peer[i];

	for (uint32_t k = 0; k < peer->wait_count; k++)
		if ((uint8_t)peer->waits[k].log == p->self.id)
			out[n++] = peer->waits[k];
	(void)pthread_mutex_unlock(&p->lock);
	return n;
}

struct region_set peers_holders(struct peers *p, struct log_end end, uint64_t here)
{
	struct region_set have = { 0 };

	(void)pthread_mutex_lock(&p->lock);
	if (is_member(p, &p->self) && here >= end.seq)
		region_set_add(&have, p->self.id);
	for (uint32_t i = 0; i < p->count; i++) {
		const struct log_end *has = find_end(&p->peer[i], end.log);

		if (is_member(p, &p->peer[i].config) && has != NULL && has->seq >= end.seq)
			region_set_add(&have, p->peer[i].config.id);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return have;
}

static int compare_seq_down(const void *a, const void *b)
{
	const uint64_t *x = a;
	const uint64_t *y = b;

	return (*x < *y) - (*x > *y);
}

/* Does the peer have all of that region's logs up to end's, as they are here? What it forgot it had like everybody then. */
static bool has_same_until(const struct peer *peer, struct log_end end, uint64_t floor)
{
	bool same = false;

	for (uint32_t i = 0; i < peer->end_count; i++) {
		const struct log_end *e = &peer->ends[i];

		if ((uint8_t)e->log != (uint8_t)end.log)
			continue;
		if (e->floor && e->log >= end.log)
			return true;
		if (e->log == end.log)
			same = e->seq == end.seq;
		else if (e->log < end.log && e->log > floor)
			return false;
	}
	return same;
}

bool peers_may_forget(struct peers *p, struct log_end end, uint64_t floor)
{
	uint64_t now_ns = clock_mono_ns(p->clock);
	bool all = true;

	(void)pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < p->count && all; i++) {
		const struct peer *peer = &p->peer[i];

		if (peer->config.data)
			all = peer->has_whole && now_ns - peer->whole_ns < WHOLE_NS_MAX && has_same_until(peer, end, floor);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return all;
}

uint64_t peers_log_floor(struct peers *p, uint64_t log, uint64_t here)
{
	uint64_t all[PEERS_MAX + 1] = { 0 };
	uint32_t n = 0;

	(void)pthread_mutex_lock(&p->lock);
	if (is_member(p, &p->self))
		all[n++] = here;
	for (uint32_t i = 0; i < p->count; i++) {
		const struct log_end *has = find_end(&p->peer[i], log);

		if (is_member(p, &p->peer[i].config))
			all[n++] = has != NULL ? has->seq : 0;
	}
	(void)pthread_mutex_unlock(&p->lock);
	uint32_t majority = peers_majority(p);
	if (n < majority)
		return 0;
	qsort(all, n, sizeof(all[0]), compare_seq_down);
	return all[majority - 1];
}

uint64_t peers_newest_epoch(struct peers *p)
{
	uint64_t epoch = 0;

	(void)pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < p->count; i++)
		if (is_member(p, &p->peer[i].config))
			epoch = MAX(epoch, p->peer[i].newest_epoch);
	(void)pthread_mutex_unlock(&p->lock);
	return epoch;
}
