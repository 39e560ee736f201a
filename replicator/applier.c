/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/applier.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"

#define APPLY_ARENA_BYTES_MAX (16u << 20)
/* How often the watcher looks, and how long a region may be behind without progress before it asks a peer. */
#define WATCH_MS 250
#define STALL_MS 1000

struct reader {
	struct applier *applier;
	uint8_t region;
	struct stream_consumer *consumer;   /* under the applier's lock: its thread runs before it is known */
};

struct applier {
	struct applier_options options;
	struct reader readers[PEERS_MAX];
	uint32_t reader_count;
	pthread_t thread;
	bool started;
	struct position seen;        /* the watcher's: position at the last look, */
	uint64_t seen_ns;            /* and since when */
	pthread_mutex_t refill_lock; /* one refill at a time: readers and the watcher */
	pthread_mutex_t lock;        /* guards the rest */
	pthread_cond_t wake;
	struct applier_state state;
	bool stop;
};

static struct position here(struct applier *a)
{
	struct committer_state s;

	committer_state(a->options.committer, &s);
	return s.position;
}

static void set_stopped(struct applier *a, enum err err, const struct fault *f)
{
	(void)pthread_mutex_lock(&a->lock);
	bool was = a->state.stopped;

	a->state.stopped = true;
	a->state.trouble = *f;
	a->state.trouble.err = err;
	(void)pthread_mutex_unlock(&a->lock);
	if (!was)
		log_error("applying stopped, this region is not ready until it is cured reason=\"%s\"", fault_text(f));
}

/* A local failure (disk, bug, version) or a fork stops the log; there is no skip. */
static bool stops(enum err err)
{
	return err == ERR_FORK || err == ERR_CORRUPT || err == ERR_VERSION || err == ERR_IO;
}

/* Applies one message; ERR_GAP when ops before it are missing. */
static enum err apply_message(struct applier *a, struct bytes payload, struct fault *f)
{
	CLEANUP(buf_release) struct buf inflated = BUF_INIT(MESSAGE_BODY_BYTES_MAX);
	struct arena arena;
	struct message m;

	arena_init(&arena, APPLY_ARENA_BYTES_MAX);
	enum err err = message_decode(payload, &inflated, &arena, &m, f);
	if (err == ERR_NONE && m.fleet != peers_fleet(a->options.peers))
		err = fault_set(f, ERR_BAD_INPUT, "a message of another fleet");
	if (err == ERR_NONE) {
		struct remote_batch batch = {
			.ops = arena_array(&arena, m.count, sizeof(struct bytes)),
			.count = m.count,
			.scope = m.scope,
			.chain_hash = m.chain_hash,
		};

		if (batch.ops == NULL)
			err = ERR_NO_MEMORY;
		for (uint32_t i = 0; err == ERR_NONE && i < m.count; i++)
			batch.ops[i] = m.ops[i];
		if (err == ERR_NONE)
			err = committer_apply(a->options.committer, &batch, f);
	}
	arena_release(&arena);
	return err;
}

/* Asks one peer for the ops after our position and applies them. ERR_NOT_FOUND: it has none. */
static enum err refill_from(struct applier *a, uint8_t region, struct fault *f)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	struct peer_link *link = peers_link(a->options.peers);

	if (link == NULL)
		return ERR_UNAVAILABLE;
	enum err err = link->log(link, region, SCOPE_FLEET, here(a), &payload, f);
	if (err == ERR_NONE)
		err = apply_message(a, buf_bytes(&payload), f);
	if (err == ERR_NONE) {
		(void)pthread_mutex_lock(&a->lock);
		a->state.refills++;
		a->state.stopped = false;
		(void)pthread_mutex_unlock(&a->lock);
	}
	return err;
}

/* Peers in the order in which they are asked: `first` (0: none), then by how far they are ahead. */
static uint32_t ahead_of(struct applier *a, struct position pos, uint8_t first, uint8_t ids[PEERS_MAX])
{
	struct position best[PEERS_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < peers_count(a->options.peers); i++) {
		struct peer_standing s;

		peers_standing(a->options.peers, i, &s);
		if (!s.config->data || !s.heard || position_compare(s.position, pos) <= 0)
			continue;
		if (s.config->id == first)
			s.position = (struct position){ UINT64_MAX, UINT64_MAX };
		uint32_t at = n++;
		while (at > 0 && position_compare(best[at - 1], s.position) < 0) {
			best[at] = best[at - 1];
			ids[at] = ids[at - 1];
			at--;
		}
		best[at] = s.position;
		ids[at] = s.config->id;
	}
	return n;
}

static bool stopping(struct applier *a)
{
	(void)pthread_mutex_lock(&a->lock);
	bool stop = a->stop;

	(void)pthread_mutex_unlock(&a->lock);
	return stop;
}

/* Fetches from whoever is ahead until nobody is, or nothing moves. True when something was applied. */
static bool refill(struct applier *a, uint8_t first)
{
	bool any = false;
	bool moved = true;

	(void)pthread_mutex_lock(&a->refill_lock);
	while (moved && !stopping(a)) {
		uint8_t ids[PEERS_MAX];
		uint32_t n = ahead_of(a, here(a), first, ids);

		moved = false;
		for (uint32_t i = 0; i < n && !moved; i++) {
			struct fault f = { 0 };
			enum err err = refill_from(a, ids[i], &f);

			moved = err == ERR_NONE;
			if (stops(err) || err == ERR_GAP)
				set_stopped(a, err, &f);
		}
		any = any || moved;
	}
	(void)pthread_mutex_unlock(&a->refill_lock);
	return any;
}

static void count_message(struct applier *a)
{
	(void)pthread_mutex_lock(&a->lock);
	a->state.messages++;
	a->state.stopped = false;
	(void)pthread_mutex_unlock(&a->lock);
}

static struct stream_consumer *consumer_of(struct reader *r)
{
	(void)pthread_mutex_lock(&r->applier->lock);
	struct stream_consumer *c = r->consumer;

	(void)pthread_mutex_unlock(&r->applier->lock);
	return c;
}

static bool on_message(void *ctx, const struct stream_delivery *d)
{
	struct reader *r = ctx;
	struct applier *a = r->applier;
	struct stream_consumer *consumer = consumer_of(r);
	struct fault f = { 0 };

	if (consumer == NULL)
		return false;
	enum err err = apply_message(a, d->payload, &f);
	if (err == ERR_GAP && refill(a, r->region))
		err = apply_message(a, d->payload, &f);
	if (err == ERR_NONE) {
		count_message(a);
		stream_ack(consumer, d->token);
		return true;
	}
	if (err == ERR_BAD_INPUT) {
		log_warn("a stream brought a message that is not ours, passed over region=%u reason=\"%s\"", r->region,
			 fault_text(&f));
		stream_ack(consumer, d->token);
		return true;
	}
	if (stops(err))
		set_stopped(a, err, &f);
	return false;
}

static void on_gap(void *ctx, const struct stream_gap *g)
{
	const struct reader *r = ctx;
	static const char *const words[] = { "has dropped old messages", "has lost its newest messages", "is a new one" };

	log_info("the stream of a region %s, missing ops are fetched from its log region=%u", words[g->kind], r->region);
}

/* Behind somebody and not moving: the streams do not bring it. */
bool applier_catch_up(struct applier *a)
{
	struct position pos = here(a);
	uint64_t now = clock_mono_ns(a->options.clock);
	uint8_t ids[PEERS_MAX];

	if (position_compare(pos, a->seen) != 0 || ahead_of(a, pos, 0, ids) == 0) {
		a->seen = pos;
		a->seen_ns = now;
		return false;
	}
	if (a->options.stream != NULL && now - a->seen_ns < (uint64_t)STALL_MS * 1000000)
		return false;
	return refill(a, 0);
}

static void *watch(void *arg)
{
	struct applier *a = arg;

	while (!stopping(a)) {
		struct timespec until;

		(void)applier_catch_up(a);
		(void)pthread_mutex_lock(&a->lock);
		clock_wait_deadline(WATCH_MS, &until);
		if (!a->stop)
			(void)pthread_cond_timedwait(&a->wake, &a->lock, &until);
		(void)pthread_mutex_unlock(&a->lock);
	}
	return NULL;
}

static enum err start_readers(struct applier *a, struct fault *f)
{
	for (uint32_t i = 0; i < peers_count(a->options.peers); i++) {
		const struct peer_config *peer = peers_config(a->options.peers, i);
		struct reader *r = &a->readers[a->reader_count];

		if (!peer->data)
			continue;
		*r = (struct reader){ .applier = a, .region = peer->id };
		struct stream_handler handler = { .ctx = r, .on_message = on_message, .on_gap = on_gap };
		struct stream_consumer *consumer;
		enum err err = stream_consume(a->options.stream, peer->name, STREAM_FROM_ACKED, &handler, &consumer, f);

		if (err != ERR_NONE)
			return err;
		(void)pthread_mutex_lock(&a->lock);
		r->consumer = consumer;
		(void)pthread_mutex_unlock(&a->lock);
		a->reader_count++;
	}
	return ERR_NONE;
}

enum err applier_start(const struct applier_options *o, struct applier **ret_applier, struct fault *reterr_fault)
{
	struct applier *a = calloc(1, sizeof(*a));
	pthread_condattr_t attr;

	if (a == NULL)
		return ERR_NO_MEMORY;
	a->options = *o;
	(void)pthread_mutex_init(&a->refill_lock, NULL);
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&a->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	enum err err = o->stream != NULL ? start_readers(a, reterr_fault) : ERR_NONE;
	if (err == ERR_NONE) {
		int e = pthread_create(&a->thread, NULL, watch, a);

		err = e != 0 ? err_from_errno(e) : ERR_NONE;
	}
	if (err != ERR_NONE) {
		applier_stop(a);
		return err;
	}
	(void)pthread_setname_np(a->thread, "applier");
	a->started = true;
	*ret_applier = a;
	return ERR_NONE;
}

void applier_state(struct applier *a, struct applier_state *ret_state)
{
	(void)pthread_mutex_lock(&a->lock);
	*ret_state = a->state;
	(void)pthread_mutex_unlock(&a->lock);
}

void applier_stop(struct applier *a)
{
	if (a == NULL)
		return;
	(void)pthread_mutex_lock(&a->lock);
	a->stop = true;
	(void)pthread_cond_signal(&a->wake);
	(void)pthread_mutex_unlock(&a->lock);
	if (a->started)
		(void)pthread_join(a->thread, NULL);
	for (uint32_t i = 0; i < a->reader_count; i++)
		stream_consumer_close(a->readers[i].consumer);
	(void)pthread_cond_destroy(&a->wake);
	(void)pthread_mutex_destroy(&a->lock);
	(void)pthread_mutex_destroy(&a->refill_lock);
	free(a);
}
