/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/peers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"

/* Heartbeats beyond what is applied here: enough for half a minute; beyond, every second one is dropped, which makes
 * the lag greater, never smaller. */
#define BEATS_WAITING_MAX 128
#define LAG_UNKNOWN_SECONDS 1e9

struct beat {
	struct position position;
	uint64_t wall_ms;
	uint64_t arrived_ns;
};

struct peer {
	struct peer_config config;
	char name[STREAM_NAME_TEXT];
	bool heard;
	struct beat last;
	struct position confirmed;
	bool has_applied;
	struct beat applied;                     /* the newest whose position was reached here */
	struct beat waiting[BEATS_WAITING_MAX];  /* newer ones, oldest first */
	uint32_t waiting_count;
	int64_t offset_ms;
};

struct peers {
	struct clock *clock;
	uint64_t fleet;
	struct peer_config self;
	char self_name[STREAM_NAME_TEXT];
	struct peer_link *link;
	uint32_t count;
	pthread_mutex_t lock;   /* guards what heartbeats change in peer[] */
	struct peer peer[PEERS_MAX];
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
	uint32_t n = p->self.data ? 1 : 0;

	for (uint32_t i = 0; i < p->count; i++)
		n += p->peer[i].config.data ? 1 : 0;
	return n;
}

uint32_t peers_majority(const struct peers *p)
{
	return peers_voters(p) / 2 + 1;
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

bool peers_beat(struct peers *p, const struct heartbeat *h)
{
	struct beat b = {
		.position = h->position,
		.wall_ms = h->wall_ms,
		.arrived_ns = clock_mono_ns(p->clock),
	};
	int64_t offset = (int64_t)h->wall_ms - (int64_t)clock_wall_ms(p->clock);

	if (h->fleet != p->fleet || h->scope != SCOPE_FLEET)
		return false;
	(void)pthread_mutex_lock(&p->lock);
	struct peer *peer = find(p, h->region);
	bool taken = peer != NULL &&
		     (!peer->heard || position_compare(h->position, peer->last.position) >= 0 ||
		      h->wall_ms > peer->last.wall_ms);

	if (taken) {
		/* A beat cannot arrive before it is sent: the greatest difference had the smallest delay. */
		peer->offset_ms = peer->heard ? MAX(peer->offset_ms - 1, offset) : offset;
		peer->heard = true;
		peer->last = b;
		peer->confirmed = h->confirmed;
		wait_for(peer, b);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return taken;
}

void peers_standing(struct peers *p, uint32_t i, struct peer_standing *ret_standing)
{
	uint64_t now = clock_mono_ns(p->clock);

	ASSERT(i < p->count);
	(void)pthread_mutex_lock(&p->lock);
	const struct peer *peer = &p->peer[i];

	*ret_standing = (struct peer_standing){
		.config = &peer->config,
		.heard = peer->heard,
		.position = peer->last.position,
		.confirmed = peer->confirmed,
		.silent_ms = peer->heard ? (now - peer->last.arrived_ns) / 1000000 : UINT64_MAX,
		.clock_offset_ms = peer->offset_ms,
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

double peers_lag_seconds(struct peers *p, uint8_t region, struct position here)
{
	uint64_t now_ns = clock_mono_ns(p->clock);
	uint64_t now_ms = clock_wall_ms(p->clock);
	double lag = LAG_UNKNOWN_SECONDS;

	(void)pthread_mutex_lock(&p->lock);
	struct peer *peer = find(p, region);
	if (peer != NULL) {
		take_applied(peer, here);
		if (peer->has_applied) {
			double by_arrival = (double)(now_ns - peer->applied.arrived_ns) / 1e9;
			double by_clock = ((double)now_ms - (double)peer->applied.wall_ms) / 1e3;

			lag = MAX(by_arrival, by_clock);
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

struct position peers_confirmed(struct peers *p, struct position here, uint64_t epoch)
{
	struct position all[PEERS_MAX + 1];
	uint32_t n = 0;

	if (p->self.data && here.epoch == epoch)
		all[n++] = here;
	(void)pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < p->count; i++) {
		const struct peer *peer = &p->peer[i];

		if (peer->config.data && peer->heard && peer->last.position.epoch == epoch)
			all[n++] = peer->last.position;
	}
	(void)pthread_mutex_unlock(&p->lock);
	uint32_t majority = peers_majority(p);
	if (n < majority)
		return (struct position){ 0 };
	qsort(all, n, sizeof(all[0]), compare_down);
	return all[majority - 1];
}

uint32_t peers_applied(struct peers *p, struct position here, struct position pos)
{
	uint32_t n = p->self.data && position_compare(here, pos) >= 0 ? 1 : 0;

	(void)pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < p->count; i++) {
		const struct peer *peer = &p->peer[i];

		if (peer->config.data && peer->heard && position_compare(peer->last.position, pos) >= 0)
			n++;
	}
	(void)pthread_mutex_unlock(&p->lock);
	return n;
}
