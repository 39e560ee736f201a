/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call from another thread is posted to a loop, which sends it on its own connection; the caller waits. Whoever of the
 * two leaves last frees the call, so that a caller need not wait for a loop that hangs.
 */
#include "gateway/peer_pool.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/metric.h"
#include "gateway/message_words.h"
#include "gateway/resolver.h"
#include "replicator/silence.h"

#define CALL_GRACE_MS 1000 /* what a caller waits beyond the exchange's own deadline */
#define CALL_PATH_MAX 128
#define ERROR_WORDS_MAX 200
#define ERROR_BODY_BYTES_MAX (64u << 10)

/* What the address function of a client is given. */
struct peer_address {
	struct resolver *resolver;
	uint32_t at;
};

struct peer_call {
	struct loop_task task;
	struct h2_exchange x;
	struct peer_pool *pool;
	struct h2_client *client;
	struct loop *loop;
	char path[CALL_PATH_MAX];
	uint8_t *body;                    /* NULL: none */
	struct peer_call *next;           /* of pool->calls */
	struct peer_call *prev;
	/* guarded by the pool's lock */
	bool finished;
	bool abandoned;
};

struct peer_region {
	char *name;
	uint8_t id;
	struct peer_address address;
	struct metric_series *connected, *rtt;
	struct peer_reach reach;     /* guarded by the pool's lock */
};

struct peer_pool {
	struct peer_link link;
	struct clock *clock;
	struct silence *silence;
	struct loop **loops;
	uint32_t loop_count;
	struct peer_region *regions;
	uint32_t region_count;
	struct h2_client **clients;  /* loop by loop */
	struct h2_client **lease_clients; /* the first loop's, for messages about leases alone */
	struct resolver *resolver;
	struct loop_timer reach_timer;
	atomic_uint next_loop;
	pthread_mutex_t lock;        /* guards the rest */
	pthread_cond_t finished;
	struct peer_call *calls;
	bool stopped;
};

/* --- clients -------------------------------------------------------------------------------- */

static enum err find_address(void *ctx, uint32_t attempt, struct sockaddr_storage *ret_address, socklen_t *ret_len,
			     struct fault *reterr_fault)
{
	const struct peer_address *p = ctx;

	return resolver_get(p->resolver, p->at, attempt, ret_address, ret_len, reterr_fault);
}

static struct peer_region *region_by_id(struct peer_pool *p, uint8_t id)
{
	for (uint32_t i = 0; i < p->region_count; i++)
		if (p->regions[i].id == id)
			return &p->regions[i];
	return NULL;
}

static struct h2_client **client_at(struct peer_pool *p, uint32_t loop, const struct peer_region *r)
{
	return &p->clients[loop * p->region_count + (uint32_t)(r - p->regions)];
}

struct h2_client *peer_pool_client(struct peer_pool *p, const struct loop *l, uint8_t region)
{
	const struct peer_region *r = region_by_id(p, region);

	if (silence_now(p->silence, NULL) != SILENCE_NONE)
		return NULL;
	for (uint32_t i = 0; r && i < p->loop_count; i++)
		if (p->loops[i] == l)
			return *client_at(p, i, r);
	return NULL;
}

/* How far the regions are, as the first loop sees them. */
static void measure(struct loop_timer *t)
{
	struct peer_pool *p = CONTAINER_OF(t, struct peer_pool, reach_timer);

	for (uint32_t i = 0; i < p->region_count; i++) {
		struct peer_region *r = &p->regions[i];
		struct h2_client_state s;

		h2_client_state(*client_at(p, 0, r), &s);
		metric_series_set(r->connected, s.open);
		metric_series_set(r->rtt, (double)s.rtt_us / 1e6);
		(void)pthread_mutex_lock(&p->lock);
		r->reach = (struct peer_reach){ .open = s.open, .rtt_us = s.rtt_us };
		(void)pthread_mutex_unlock(&p->lock);
	}
	loop_timer_start(p->loops[0], t, PEER_REACH_MS);
}

bool peer_pool_reach(struct peer_pool *p, uint8_t region, struct peer_reach *ret_reach)
{
	const struct peer_region *r = region_by_id(p, region);

	if (!r)
		return false;
	(void)pthread_mutex_lock(&p->lock);
	*ret_reach = r->reach;
	(void)pthread_mutex_unlock(&p->lock);
	return true;
}

/* --- calls from other threads --------------------------------------------------------------- */

/* Under the lock. */
static void forget(struct peer_call *c)
{
	struct peer_pool *p = c->pool;

	if (c->prev)
		c->prev->next = c->next;
	else
		p->calls = c->next;
	if (c->next)
		c->next->prev = c->prev;
}

static void call_free(struct peer_call *c)
{
	h2_exchange_release(&c->x);
	free(c->body);
	free(c);
}

static void on_done(struct h2_exchange *x)
{
	struct peer_call *c = CONTAINER_OF(x, struct peer_call, x);
	struct peer_pool *p = c->pool;

	(void)pthread_mutex_lock(&p->lock);
	c->finished = true;
	bool abandoned = c->abandoned;
	if (abandoned)
		forget(c);
	(void)pthread_cond_broadcast(&p->finished);
	(void)pthread_mutex_unlock(&p->lock);
	if (abandoned)
		call_free(c);
}

static void on_post(struct loop_task *t)
{
	struct peer_call *c = CONTAINER_OF(t, struct peer_call, task);

	h2_client_send(c->client, &c->x);
}

/* False: the caller has gone, and the loop frees it. */
static bool wait_for(struct peer_call *c, uint64_t ms)
{
	struct peer_pool *p = c->pool;
	struct timespec until;

	clock_wait_deadline(ms, &until);
	(void)pthread_mutex_lock(&p->lock);
	while (!c->finished && !p->stopped)
		if (pthread_cond_timedwait(&p->finished, &p->lock, &until) != 0)
			break;
	bool finished = c->finished;
	if (finished)
		forget(c);
	else
		c->abandoned = true;
	(void)pthread_mutex_unlock(&p->lock);
	return finished;
}

static struct peer_call *call_new(struct peer_pool *p, const struct peer_region *r)
{
	uint32_t at = atomic_fetch_add(&p->next_loop, 1) % p->loop_count;
	struct peer_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->pool = p;
	c->loop = p->loops[at];
	c->client = *client_at(p, at, r);
	c->task.run = on_post;
	c->x.verb = VERB_GET;
	c->x.done = on_done;
	return c;
}

/* False: the pool has stopped. */
static bool post(struct peer_call *c)
{
	struct peer_pool *p = c->pool;

	(void)pthread_mutex_lock(&p->lock);
	bool stopped = p->stopped;
	if (!stopped) {
		c->next = p->calls;
		if (p->calls)
			p->calls->prev = c;
		p->calls = c;
		loop_post(c->loop, &c->task);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return !stopped;
}

/* The reply's body, or what its status means. */
static enum err take_reply(const struct peer_call *c, const struct peer_region *r, struct buf *out, struct fault *f)
{
	const struct h2_exchange *x = &c->x;

	if (x->err) {
		if (f)
			*f = x->fault;
		return ERR_UNAVAILABLE;
	}
	if (x->status == 200)
		return buf_append(out, x->reply.data, x->reply.len);
	enum err err = x->status == 404 ? ERR_NOT_FOUND : x->status == 409 ? ERR_GAP : ERR_UNAVAILABLE;
	CLEANUP(arena_release) struct arena a;
	arena_init(&a, ERROR_BODY_BYTES_MAX);
	struct str words = message_words_of_reply(buf_str(&x->reply), &a);
	return fault_set(f, err, "region %s: status %d: %.*s", r->name, x->status,
			 (int)MIN(words.len, (size_t)ERROR_WORDS_MAX), words.len ? words.data : "");
}

/* Sends it, whose path is written, and frees it. */
static enum err exchange(struct peer_call *c, const struct peer_region *r, uint64_t ms, struct buf *out, struct fault *f)
{
	struct peer_pool *p = c->pool;

	c->x.path = (struct str){ .data = c->path, .len = strlen(c->path) };
	c->x.deadline_ns = clock_mono_ns(p->clock) + ms * 1000000;
	c->x.reply_bytes_max = out->max - out->len;
	if (silence_now(p->silence, NULL) != SILENCE_NONE) {
		call_free(c);
		return silence_fault(f);
	}
	if (!post(c)) {
		call_free(c);
		return fault_set(f, ERR_UNAVAILABLE, "this region is being stopped");
	}
	if (!wait_for(c, ms + CALL_GRACE_MS))
		return fault_set(f, ERR_UNAVAILABLE, "region %s was not asked in time", r->name);
	enum err err = take_reply(c, r, out, f);
	call_free(c);
	return err;
}

static enum err PRINTF_LIKE(6, 7)
	get(struct peer_pool *p, uint8_t region, uint64_t ms, struct buf *out, struct fault *f, const char *fmt, ...)
{
	const struct peer_region *r = region_by_id(p, region);
	va_list args;

	if (!r)
		return fault_set(f, ERR_UNAVAILABLE, "region %u is not in the configuration", region);
	struct peer_call *c = call_new(p, r);
	if (!c)
		return ERR_NO_MEMORY;
	va_start(args, fmt);
	(void)vsnprintf(c->path, sizeof(c->path), fmt, args);
	va_end(args);
	return exchange(c, r, ms, out, f);
}

/* Posts the body to the region; messages about leases have a connection of their own. */
static enum err post_body(struct peer_link *l, uint8_t region, bool lease, const char *path, struct bytes body, uint64_t ms,
			  struct buf *out, struct fault *f)
{
	struct peer_pool *p = CONTAINER_OF(l, struct peer_pool, link);
	const struct peer_region *r = region_by_id(p, region);

	if (!r)
		return fault_set(f, ERR_UNAVAILABLE, "region %u is not in the configuration", region);
	struct peer_call *c = call_new(p, r);
	if (!c)
		return ERR_NO_MEMORY;
	if (lease) {
		c->client = p->lease_clients[r - p->regions];
		c->loop = p->loops[0];
	}
	/* The call may outlive its caller. */
	c->body = malloc(body.len + 1);
	if (!c->body) {
		call_free(c);
		return ERR_NO_MEMORY;
	}
	memcpy(c->body, body.data, body.len);
	c->x.verb = VERB_POST;
	c->x.body = (struct bytes){ .data = c->body, .len = body.len };
	(void)snprintf(c->path, sizeof(c->path), "%s", path);
	return exchange(c, r, ms, out, f);
}

static enum err ask_audit(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out,
			  struct fault *reterr_fault)
{
	return post_body(l, region, /* lease: */ false, PEER_PATH_AUDIT, request, PEER_AUDIT_MS_MAX, out, reterr_fault);
}

static enum err ask_snapshot(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out,
			     struct fault *reterr_fault)
{
	return post_body(l, region, /* lease: */ false, PEER_PATH_SNAPSHOT, request, PEER_SNAPSHOT_MS_MAX, out, reterr_fault);
}

static enum err offer_orphans(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out,
			      struct fault *reterr_fault)
{
	return post_body(l, region, /* lease: */ false, PEER_PATH_ORPHANS, request, PEER_ORPHANS_MS_MAX, out, reterr_fault);
}

static enum err order_stand(struct peer_link *l, uint8_t region, struct bytes order, struct buf *out,
			    struct fault *reterr_fault)
{
	return post_body(l, region, /* lease: */ false, PEER_PATH_STAND, order, STAND_MS_MAX, out, reterr_fault);
}

static enum err give_lease(struct peer_link *l, uint8_t region, struct bytes frame, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf nothing = BUF_INIT(ERROR_BODY_BYTES_MAX);

	return post_body(l, region, /* lease: */ true, PEER_PATH_LEASE, frame, LEASE_SEND_MS_MAX, &nothing, reterr_fault);
}

static enum err get_log(struct peer_link *l, uint8_t region, uint16_t scope, struct position after, struct buf *out,
			struct fault *reterr_fault)
{
	struct peer_pool *p = CONTAINER_OF(l, struct peer_pool, link);

	return get(p, region, PEER_LOG_MS_MAX, out, reterr_fault,
		   PEER_PATH_LOG "?scope=%u&epoch=%" PRIu64 "&seq=%" PRIu64, scope, after.epoch, after.seq);
}

static enum err get_standing(struct peer_link *l, uint8_t region, uint16_t scope, struct buf *out,
			     struct fault *reterr_fault)
{
	struct peer_pool *p = CONTAINER_OF(l, struct peer_pool, link);

	return get(p, region, PEER_STANDING_MS_MAX, out, reterr_fault, PEER_PATH_STANDING "?scope=%u", scope);
}

static enum err get_chain(struct peer_link *l, uint8_t region, struct buf *out, struct fault *reterr_fault)
{
	struct peer_pool *p = CONTAINER_OF(l, struct peer_pool, link);

	return get(p, region, PEER_CHAIN_MS_MAX, out, reterr_fault, PEER_PATH_CHAIN);
}

struct peer_link *peer_pool_link(struct peer_pool *p)
{
	return &p->link;
}

/* --- life ----------------------------------------------------------------------------------- */

static enum err copy_options(struct peer_pool *p, const struct peer_pool_options *o)
{
	p->loops = calloc(o->loop_count, sizeof(struct loop *));
	p->regions = calloc(MAX(o->region_count, 1u), sizeof(*p->regions));
	p->clients = calloc((size_t)o->loop_count * MAX(o->region_count, 1u), sizeof(struct h2_client *));
	p->lease_clients = calloc(MAX(o->region_count, 1u), sizeof(struct h2_client *));
	if (!p->loops || !p->regions || !p->clients || !p->lease_clients)
		return ERR_NO_MEMORY;
	memcpy(p->loops, o->loops, o->loop_count * sizeof(struct loop *));
	p->loop_count = o->loop_count;
	p->region_count = o->region_count;
	for (uint32_t i = 0; i < o->region_count; i++) {
		struct peer_region *r = &p->regions[i];
		r->name = strdup(o->regions[i].name);
		r->id = o->regions[i].id;
		if (!r->name)
			return ERR_NO_MEMORY;
		r->connected = metric_series(METRIC_isthmus_peer_connected, r->name);
		r->rtt = metric_series(METRIC_isthmus_peer_rtt_seconds, r->name);
	}
	return ERR_NONE;
}

static enum err make_resolver(struct peer_pool *p, const struct peer_pool_options *o, struct fault *f)
{
	const char *addresses[PEERS_MAX];

	if (o->region_count > PEERS_MAX)
		return fault_set(f, ERR_CONFIG, "%u other regions; %d are possible", o->region_count, PEERS_MAX);
	for (uint32_t i = 0; i < o->region_count; i++)
		addresses[i] = o->regions[i].address;
	enum err err = resolver_new(addresses, o->region_count, &p->resolver, f);
	for (uint32_t i = 0; i < p->region_count; i++)
		p->regions[i].address = (struct peer_address){ .resolver = p->resolver, .at = i };
	return err;
}

static enum err make_client(struct peer_pool *p, const struct peer_pool_options *o, uint32_t loop, struct peer_region *r,
			    bool logs, struct h2_client **ret_client)
{
	char name[STREAM_NAME_MAX + sizeof(TLS_REGION_SUFFIX)];
	struct h2_client_options co = {
		.loop = p->loops[loop],
		.region = r->name,
		.name = name,
		.tls = o->tls,
		.address = find_address,
		.ctx = &r->address,
		.logs = logs,
	};

	(void)snprintf(name, sizeof(name), "%.*s" TLS_REGION_SUFFIX, STREAM_NAME_MAX, r->name);
	return h2_client_new(&co, ret_client);
}

static void init_lock(struct peer_pool *p)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&p->finished, &attr);
	(void)pthread_condattr_destroy(&attr);
}

enum err peer_pool_new(const struct peer_pool_options *o, struct peer_pool **ret_pool, struct fault *reterr_fault)
{
	struct peer_pool *p = calloc(1, sizeof(*p));
	if (!p)
		return ERR_NO_MEMORY;
	p->link = (struct peer_link){
		.log = get_log, .standing = get_standing, .chain = get_chain, .audit = ask_audit, .lease = give_lease,
		.orphans = offer_orphans, .snapshot = ask_snapshot, .stand = order_stand
	};
	p->reach_timer.on_fire = measure;
	p->clock = o->clock;
	p->silence = o->silence;
	init_lock(p);
	enum err err = copy_options(p, o);
	if (!err)
		err = make_resolver(p, o, reterr_fault);
	for (uint32_t loop = 0; loop < o->loop_count && !err; loop++)
		for (uint32_t i = 0; i < o->region_count && !err; i++)
			err = make_client(p, o, loop, &p->regions[i], loop == 0, client_at(p, loop, &p->regions[i]));
	for (uint32_t i = 0; i < o->region_count && !err; i++)
		err = make_client(p, o, 0, &p->regions[i], false, &p->lease_clients[i]);
	if (err) {
		peer_pool_free(p);
		return err;
	}
	loop_timer_start(p->loops[0], &p->reach_timer, 0);
	*ret_pool = p;
	return ERR_NONE;
}

void peer_pool_stop(struct peer_pool *p)
{
	if (!p)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->stopped = true;
	(void)pthread_cond_broadcast(&p->finished);
	(void)pthread_mutex_unlock(&p->lock);
}

void peer_pool_free(struct peer_pool *p)
{
	if (!p)
		return;
	if (p->reach_timer.heap_index)
		loop_timer_stop(p->loops[0], &p->reach_timer);
	for (size_t i = 0; p->clients && i < (size_t)p->loop_count * p->region_count; i++)
		h2_client_free(TAKE(p->clients[i]));
	for (uint32_t i = 0; p->lease_clients && i < p->region_count; i++)
		h2_client_free(TAKE(p->lease_clients[i]));
	/* What is left was posted to a loop that ended before. */
	while (p->calls) {
		struct peer_call *c = p->calls;
		forget(c);
		call_free(c);
	}
	resolver_free(p->resolver);
	for (uint32_t i = 0; p->regions && i < p->region_count; i++)
		free(p->regions[i].name);
	free(p->clients);
	free(p->lease_clients);
	free(p->regions);
	free(p->loops);
	(void)pthread_cond_destroy(&p->finished);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}
