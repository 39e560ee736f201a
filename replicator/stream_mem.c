/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams in memory. The broker keeps what nats-servers keep (streams, what each reader
 * acknowledged); a mem_stream is one daemon's end and goes with it. Readers decide as those of
 * JetStream do, by pull_attach().
 */
#include "replicator/stream_mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "replicator/pull.h"
#include "replicator/window.h"

#define DUPLICATE_WINDOW 64u /* messages in which an id is known */
#define THOUSAND 1000u

struct mem_message {
	struct mem_message *next; /* of those in flight */
	uint64_t expected;        /* the sequence that it has to get */
	uint16_t scope;
	struct position last;
	char id[STREAM_ID_MAX];
	size_t len;
	uint8_t payload[];
};

struct mem_beat {
	char from[STREAM_NAME_MAX + 1];
	uint16_t scope;
	size_t len;
	uint8_t bytes[STREAM_BEAT_BYTES_MAX];
};

struct mem_stream;

/* A region's server, its stream, and the way to it. */
struct mem_region {
	char name[STREAM_NAME_MAX + 1];
	bool up, provisioned;
	bool cut[STREAM_MEM_REGIONS_MAX];
	uint64_t birth, first, last, synced;
	struct mem_message *messages[STREAM_MEM_MESSAGES_MAX]; /* seq modulo the bound */
	uint64_t floors[STREAM_MEM_REGIONS_MAX];               /* acknowledged by each reader */
	struct mem_beat *beats[STREAM_MEM_BEATS_MAX];
	uint32_t beat_head, beat_count;
	struct mem_stream *daemon; /* NULL: not running */
};

struct stream_broker {
	uint64_t random;
	uint64_t births;
	struct stream_faults faults;
	struct mem_region regions[STREAM_MEM_REGIONS_MAX];
	uint32_t region_count;
};

struct mem_consumer {
	struct stream_consumer consumer;
	struct mem_stream *owner;
	uint32_t source;
	struct stream_handler handler;
	struct pull pull;
	bool attached;
	uint64_t generation, attaches;
	bool held;
};

struct mem_stream {
	struct stream stream;
	struct stream_broker *broker;
	uint32_t region;
	struct stream_settings set;
	struct window window;
	struct mem_message *flight_head, *flight_tail;
	struct position accepted[SCOPES_MAX];
	struct fault trouble;
	uint64_t connects;
	struct mem_consumer *consumers[STREAM_MEM_REGIONS_MAX]; /* by source */
};

static struct mem_stream *stream_of(struct stream *s)
{
	return CONTAINER_OF(s, struct mem_stream, stream);
}

static struct mem_consumer *consumer_of(struct stream_consumer *c)
{
	return CONTAINER_OF(c, struct mem_consumer, consumer);
}

/* splitmix64: https://prng.di.unimi.it/splitmix64.c (public domain) */
static uint64_t random_next(struct stream_broker *b)
{
	uint64_t z = b->random += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* Numbers are drawn only for faults that are switched on, so that others do not change a
 * history. */
static bool happens(struct stream_broker *b, unsigned per_thousand)
{
	return per_thousand > 0 && random_next(b) % THOUSAND < per_thousand;
}

/* ---- regions ---- */

static uint32_t region_find(const struct stream_broker *b, const char *name)
{
	for (uint32_t i = 0; i < b->region_count; i++)
		if (strcmp(b->regions[i].name, name) == 0)
			return i;
	return STREAM_MEM_REGIONS_MAX;
}

/* The region of that name; made when it is new. */
static uint32_t region_get(struct stream_broker *b, const char *name)
{
	uint32_t i = region_find(b, name);
	if (i < STREAM_MEM_REGIONS_MAX)
		return i;
	ASSERT(b->region_count < STREAM_MEM_REGIONS_MAX && stream_name_valid(name));
	i = b->region_count++;
	struct mem_region *r = &b->regions[i];
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->up = true;
	return i;
}

static struct mem_region *region_named(struct stream_broker *b, const char *name)
{
	return &b->regions[region_get(b, name)];
}

static bool reach(const struct stream_broker *b, uint32_t from, uint32_t to)
{
	return b->regions[from].up && b->regions[to].up && !b->regions[from].cut[to];
}

static struct mem_message **message_at(struct mem_region *r, uint64_t seq)
{
	return &r->messages[seq % STREAM_MEM_MESSAGES_MAX];
}

static void forget_first(struct mem_region *r)
{
	free(TAKE(*message_at(r, r->first)));
	r->first++;
}

static void forget_after(struct mem_region *r, uint64_t last)
{
	for (; r->last > last; r->last--)
		if (r->last >= r->first)
			free(TAKE(*message_at(r, r->last)));
	r->first = MIN(r->first, r->last + 1);
	r->synced = MIN(r->synced, r->last);
	for (uint32_t i = 0; i < STREAM_MEM_REGIONS_MAX; i++)
		r->floors[i] = MIN(r->floors[i], r->last);
}

static struct mem_message *message_copy(const struct mem_message *m)
{
	struct mem_message *copy = malloc(sizeof(*m) + m->len);
	if (copy)
		memcpy(copy, m, sizeof(*m) + m->len);
	return copy;
}

/* Takes the message over. */
static void store(struct mem_region *r, struct mem_message *m)
{
	if (r->last + 1 - r->first == STREAM_MEM_MESSAGES_MAX)
		forget_first(r);
	*message_at(r, ++r->last) = m;
}

void stream_broker_provision(struct stream_broker *b, const char *region)
{
	struct mem_region *r = region_named(b, region);
	if (r->provisioned)
		return;
	r->provisioned = true;
	r->birth = ++b->births;
	r->first = 1;
	r->last = r->synced = 0;
}

void stream_broker_server(struct stream_broker *b, const char *region, bool up)
{
	struct mem_region *r = region_named(b, region);
	if (up && !r->up && r->daemon)
		r->daemon->connects++;
	r->up = up;
}

void stream_broker_link(struct stream_broker *b, const char *region, const char *other, bool up)
{
	uint32_t x = region_get(b, region), y = region_get(b, other);
	b->regions[x].cut[y] = b->regions[y].cut[x] = !up;
}

void stream_broker_cut(struct stream_broker *b, const char *from, const char *to, bool cut)
{
	uint32_t x = region_get(b, from), y = region_get(b, to);
	b->regions[x].cut[y] = cut;
}

void stream_broker_sync(struct stream_broker *b, const char *region)
{
	struct mem_region *r = region_named(b, region);
	r->synced = r->last;
}

uint64_t stream_broker_lose_unsynced(struct stream_broker *b, const char *region)
{
	struct mem_region *r = region_named(b, region);
	uint64_t lost = r->last - r->synced;
	forget_after(r, r->synced);
	return lost;
}

void stream_broker_wipe(struct stream_broker *b, const char *region)
{
	struct mem_region *r = region_named(b, region);
	if (!r->provisioned)
		return;
	forget_after(r, 0);
	r->provisioned = false;
	stream_broker_provision(b, region);
}

void stream_broker_trim(struct stream_broker *b, const char *region, uint64_t keep)
{
	struct mem_region *r = region_named(b, region);
	while (r->last + 1 - r->first > keep)
		forget_first(r);
}

void stream_broker_bounds(struct stream_broker *b, const char *region, uint64_t *ret_first,
			  uint64_t *ret_last)
{
	struct mem_region *r = region_named(b, region);
	*ret_first = r->provisioned ? r->first : 0;
	*ret_last = r->provisioned ? r->last : 0;
}

void stream_broker_faults(struct stream_broker *b, const struct stream_faults *f)
{
	b->faults = *f;
}

enum err stream_broker_new(uint64_t seed, struct stream_broker **ret_broker)
{
	struct stream_broker *b = calloc(1, sizeof(*b));
	if (!b)
		return ERR_NO_MEMORY;
	b->random = seed;
	*ret_broker = b;
	return ERR_NONE;
}

void stream_broker_free(struct stream_broker *b)
{
	if (!b)
		return;
	for (uint32_t i = 0; i < b->region_count; i++) {
		struct mem_region *r = &b->regions[i];
		ASSERT(!r->daemon);
		forget_after(r, 0);
		for (uint32_t k = 0; k < STREAM_MEM_BEATS_MAX; k++)
			free(r->beats[k]);
	}
	free(b);
}

/* ---- publishing ---- */

static void flights_drop(struct mem_stream *s)
{
	while (s->flight_head) {
		struct mem_message *m = s->flight_head;
		s->flight_head = m->next;
		free(m);
	}
	s->flight_tail = NULL;
}

static struct mem_message *flight_take(struct mem_stream *s)
{
	struct mem_message *m = s->flight_head;
	s->flight_head = m->next;
	if (!s->flight_head)
		s->flight_tail = NULL;
	m->next = NULL;
	return m;
}

static void close_window(struct mem_stream *s, enum err e, const char *words)
{
	flights_drop(s);
	if (!window_close(&s->window))
		return;
	fault_set(&s->trouble, e, "%s", words);
	if (s->set.events.on_closed)
		s->set.events.on_closed(s->set.events.ctx, &s->trouble);
}

static bool id_known(struct mem_region *r, const char *id)
{
	uint64_t oldest = r->last >= DUPLICATE_WINDOW ? r->last - DUPLICATE_WINDOW + 1 : 1;
	for (uint64_t seq = MAX(oldest, r->first); seq <= r->last; seq++)
		if (strcmp((*message_at(r, seq))->id, id) == 0)
			return true;
	return false;
}

/* Those behind a message whose outcome is unknown: the server may take some of them yet, in
 * order. */
static void store_some(struct mem_stream *s, struct mem_region *r)
{
	while (s->flight_head && random_next(s->broker) % 2 == 0)
		store(r, flight_take(s));
}

/* The server takes the oldest message in flight. */
static void step_publish(struct mem_stream *s)
{
	struct stream_broker *b = s->broker;
	struct mem_region *r = &b->regions[s->region];

	if (!r->up || !r->provisioned) {
		close_window(s, ERR_UNAVAILABLE, "the server does not answer");
		return;
	}
	struct mem_message *m = flight_take(s);
	if (happens(b, b->faults.lost)) {
		free(m);
		close_window(s, ERR_TIMEOUT, "no acknowledgement came");
		return;
	}
	if (m->expected != r->last + 1 || id_known(r, m->id)) {
		free(m);
		close_window(s, ERR_GAP, "the stream does not end where it was expected to");
		return;
	}
	struct mem_message *twin = happens(b, b->faults.duplicate) ? message_copy(m) : NULL;
	uint64_t expected = m->expected, due;
	store(r, m);
	if (twin)
		store(r, twin);
	if (happens(b, b->faults.unknown)) {
		store_some(s, r);
		close_window(s, ERR_TIMEOUT, "no acknowledgement came");
		return;
	}
	struct window_flight landed;
	if (window_accept(&s->window, m, expected, &due) || !window_land(&s->window, &landed))
		PANIC("a message in flight is not in the window");
	s->accepted[landed.scope] = landed.last;
	if (s->set.events.on_accepted)
		s->set.events.on_accepted(s->set.events.ctx, landed.scope, landed.last);
}

static enum err mem_open(struct stream *stream, struct fault *reterr_fault)
{
	struct mem_stream *s = stream_of(stream);
	struct mem_region *r = &s->broker->regions[s->region];
	flights_drop(s);
	window_close(&s->window);
	if (!r->up)
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "the server of %s is down",
				 r->name);
	if (!r->provisioned)
		return fault_set(reterr_fault, ERR_NOT_FOUND, "the stream OPS_%s does not exist",
				 r->name);
	window_open(&s->window, r->last);
	s->trouble = (struct fault){ 0 };
	return ERR_NONE;
}

static enum err mem_tail(struct stream *stream, uint16_t scope, struct buf *out,
			 struct fault *reterr_fault)
{
	struct mem_stream *s = stream_of(stream);
	struct mem_region *r = &s->broker->regions[s->region];
	if (!r->up)
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "the server of %s is down",
				 r->name);
	for (uint64_t seq = r->last; r->provisioned && seq >= r->first; seq--) {
		const struct mem_message *m = *message_at(r, seq);
		if (m->scope == scope)
			return buf_append(out, m->payload, m->len);
	}
	return fault_set(reterr_fault, ERR_NOT_FOUND, "the stream of %s has no message of scope %u",
			 r->name, scope);
}

static enum err mem_publish(struct stream *stream, const struct stream_message *m)
{
	struct mem_stream *s = stream_of(stream);
	uint64_t before;

	if (m->payload.len > STREAM_PAYLOAD_BYTES_MAX)
		return ERR_TOO_LARGE;
	if (m->payload.len == 0 || m->scope >= SCOPES_MAX || strlen(m->id) >= STREAM_ID_MAX)
		return ERR_BAD_INPUT;
	struct mem_message *copy = calloc(1, sizeof(*copy) + m->payload.len);
	if (!copy)
		return ERR_NO_MEMORY;
	enum err e = window_add(&s->window, copy, m, &before);
	if (e) {
		free(copy);
		return e;
	}
	copy->expected = before + 1;
	copy->scope = m->scope;
	copy->last = m->last;
	snprintf(copy->id, sizeof(copy->id), "%s", m->id);
	copy->len = m->payload.len;
	memcpy(copy->payload, m->payload.data, m->payload.len);
	if (s->flight_tail)
		s->flight_tail->next = copy;
	else
		s->flight_head = copy;
	s->flight_tail = copy;
	return ERR_NONE;
}

/* ---- heartbeats ---- */

static void beat_queue(struct mem_region *to, const char *from, uint16_t scope, struct bytes beat)
{
	if (to->beat_count == STREAM_MEM_BEATS_MAX) {
		to->beat_head = (to->beat_head + 1) % STREAM_MEM_BEATS_MAX;
		to->beat_count--;
	}
	struct mem_beat **at = &to->beats[(to->beat_head + to->beat_count) % STREAM_MEM_BEATS_MAX];
	if (!*at)
		*at = calloc(1, sizeof(**at));
	if (!*at)
		return;
	snprintf((*at)->from, sizeof((*at)->from), "%s", from);
	(*at)->scope = scope;
	(*at)->len = beat.len;
	memcpy((*at)->bytes, beat.data, beat.len);
	to->beat_count++;
}

static enum err mem_beat_send(struct stream *stream, uint16_t scope, struct bytes beat)
{
	struct mem_stream *s = stream_of(stream);
	struct stream_broker *b = s->broker;
	if (beat.len == 0 || beat.len > STREAM_BEAT_BYTES_MAX || scope >= SCOPES_MAX)
		return ERR_BAD_INPUT;
	if (!b->regions[s->region].up)
		return ERR_UNAVAILABLE;
	for (uint32_t i = 0; i < b->region_count; i++)
		if (i != s->region && b->regions[i].daemon && reach(b, s->region, i) &&
		    !happens(b, b->faults.lose_beat))
			beat_queue(&b->regions[i], b->regions[s->region].name, scope, beat);
	return ERR_NONE;
}

static void step_beat(struct mem_region *r)
{
	const struct mem_beat *m = r->beats[r->beat_head];
	const struct stream_events *e = &r->daemon->set.events;

	r->beat_head = (r->beat_head + 1) % STREAM_MEM_BEATS_MAX;
	r->beat_count--;
	if (e->on_beat)
		e->on_beat(e->ctx, m->from, m->scope,
			   (struct bytes){ .data = m->bytes, .len = m->len });
}

/* ---- reading ---- */

static struct mem_region *source_of(struct mem_consumer *c)
{
	return &c->owner->broker->regions[c->source];
}

/* What the owner acknowledged reaches the server, if it can be reached. */
static void floor_send(struct mem_consumer *c)
{
	struct mem_region *r = source_of(c);
	if (c->attached && c->pull.birth == r->birth &&
	    reach(c->owner->broker, c->owner->region, c->source))
		r->floors[c->owner->region] =
			MIN(MAX(r->floors[c->owner->region], c->pull.acked), r->last);
}

/* A reader asks for messages, and they come: both ways are needed. */
static bool converse(const struct mem_consumer *c)
{
	const struct mem_stream *s = c->owner;
	return reach(s->broker, s->region, c->source) && reach(s->broker, c->source, s->region);
}

static bool in_place(struct mem_consumer *c)
{
	const struct mem_region *r = source_of(c);
	return c->attached && c->pull.birth == r->birth && c->pull.cursor <= r->last &&
	       c->pull.cursor + 1 >= r->first;
}

static bool can_deliver(struct mem_consumer *c)
{
	const struct mem_region *r = source_of(c);
	if (!r->provisioned || !converse(c))
		return false;
	return !in_place(c) ||
	       (c->pull.cursor < r->last && c->pull.cursor - c->pull.acked < STREAM_UNACKED_MAX);
}

static void tell(struct mem_consumer *c, struct stream_gap g)
{
	g.generation = c->generation;
	if (c->handler.on_gap)
		c->handler.on_gap(c->handler.ctx, &g);
}

static void attach(struct mem_consumer *c)
{
	struct mem_region *r = source_of(c);
	struct pull_found found = { .birth = r->birth,
				    .first = r->first,
				    .last = r->last,
				    .durable = true,
				    .floor = r->floors[c->owner->region] };
	struct pull_plan plan;

	pull_attach(&c->pull, &found, &plan);
	c->attached = true;
	c->attaches++;
	if (plan.create)
		r->floors[c->owner->region] = plan.create - 1;
	c->generation += plan.generation;
	if (plan.gap)
		tell(c, plan.told);
	if (plan.also.to > 0)
		tell(c, plan.also);
}

static void step_deliver(struct mem_consumer *c)
{
	struct stream_broker *b = c->owner->broker;
	struct mem_region *r = source_of(c);

	if (!in_place(c)) {
		attach(c);
		return;
	}
	floor_send(c);
	if (happens(b, b->faults.redeliver)) {
		c->generation++;
		c->pull.cursor = c->pull.acked;
		return;
	}
	const struct mem_message *m = *message_at(r, c->pull.cursor + 1);
	struct stream_delivery d = {
		.token = { .generation = c->generation, .seq = c->pull.cursor + 1 },
		.payload = { .data = m->payload, .len = m->len },
		.pending = r->last - c->pull.cursor - 1,
	};
	c->pull.cursor++;
	c->held = !c->handler.on_message(c->handler.ctx, &d);
	/* Unless the owner has moved the reader meanwhile. */
	if (c->held && c->generation == d.token.generation)
		c->pull.cursor--;
}

static enum err mem_consume(struct stream *stream, const char *region, uint64_t from,
			    const struct stream_handler *h, struct stream_consumer **ret_consumer,
			    struct fault *reterr_fault)
{
	struct mem_stream *s = stream_of(stream);
	if (!stream_settings_domain(&s->set, region))
		return fault_set(reterr_fault, ERR_CONFIG, "region %s is none of the peers",
				 region);
	uint32_t source = region_get(s->broker, region);
	if (s->consumers[source])
		return fault_set(reterr_fault, ERR_ALREADY_EXISTS, "the stream of %s is being read",
				 region);
	struct mem_consumer *c = calloc(1, sizeof(*c));
	if (!c)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory to read the stream of %s",
				 region);
	c->consumer.stream = stream;
	c->owner = s;
	c->source = source;
	c->handler = *h;
	c->generation = 1;
	pull_init(&c->pull, true, s->set.ack_wait_ms, from);
	s->consumers[source] = c;
	*ret_consumer = &c->consumer;
	return ERR_NONE;
}

static void mem_close(struct stream_consumer *consumer)
{
	struct mem_consumer *c = consumer_of(consumer);
	floor_send(c);
	c->owner->consumers[c->source] = NULL;
	free(c);
}

static void mem_ack(struct stream_consumer *consumer, struct stream_token upto)
{
	struct mem_consumer *c = consumer_of(consumer);
	if (upto.generation != c->generation)
		return;
	pull_acked(&c->pull, upto.seq);
	floor_send(c);
}

static uint64_t mem_reset(struct stream_consumer *consumer, uint64_t seq)
{
	struct mem_consumer *c = consumer_of(consumer);
	pull_move(&c->pull, MAX(seq, 1));
	c->attached = false;
	return ++c->generation;
}

static void mem_consumer_state(struct stream_consumer *consumer,
			       struct stream_consumer_state *ret_state)
{
	struct mem_consumer *c = consumer_of(consumer);
	const struct mem_region *r = source_of(c);
	bool reached = converse(c) && r->provisioned;

	*ret_state = (struct stream_consumer_state){
		.flowing = reached && c->attached,
		.held = c->held || c->pull.cursor - c->pull.acked >= STREAM_UNACKED_MAX,
		.generation = c->generation,
		.delivered = c->pull.cursor,
		.acked = c->pull.acked,
		.pending = r->last > c->pull.cursor ? r->last - c->pull.cursor : 0,
		.attaches = c->attaches,
	};
	if (!reached)
		fault_set(&ret_state->trouble, ERR_UNAVAILABLE,
			  "the stream of %s cannot be reached", r->name);
}

/* ---- the rest of struct stream_ops ---- */

static enum err mem_request(struct stream *stream, const char *domain, const char *what,
			    struct bytes body, struct buf *out, struct fault *reterr_fault)
{
	(void)stream;
	(void)domain;
	(void)body;
	(void)out;
	return fault_set(reterr_fault, ERR_NOT_IMPLEMENTED, "streams in memory have no API: %s",
			 what);
}

static void mem_state(struct stream *stream, struct stream_state *ret_state)
{
	struct mem_stream *s = stream_of(stream);
	bool up = s->broker->regions[s->region].up;

	*ret_state = (struct stream_state){ .connected = up,
					    .window_open = s->window.open,
					    .window_messages = s->window.count,
					    .version = "memory",
					    .rtt_us = up ? 1 : 0,
					    .connects = s->connects,
					    .trouble = s->trouble };
	memcpy(ret_state->accepted, s->accepted, sizeof(s->accepted));
}

static void mem_free(struct stream *stream)
{
	struct mem_stream *s = stream_of(stream);
	for (uint32_t i = 0; i < STREAM_MEM_REGIONS_MAX; i++)
		ASSERT(!s->consumers[i]);
	flights_drop(s);
	s->broker->regions[s->region].daemon = NULL;
	s->broker->regions[s->region].beat_count = 0;
	stream_settings_release(&s->set);
	free(s);
}

static const struct stream_ops mem_ops = {
	.free = mem_free,
	.open = mem_open,
	.tail = mem_tail,
	.publish = mem_publish,
	.beat = mem_beat_send,
	.request = mem_request,
	.state = mem_state,
	.consume = mem_consume,
	.close = mem_close,
	.ack = mem_ack,
	.reset = mem_reset,
	.consumer_state = mem_consumer_state,
};

enum err stream_mem_new(struct stream_broker *b, const struct stream_config *config,
			struct stream **ret_stream, struct fault *reterr_fault)
{
	struct mem_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for the stream");
	enum err e = stream_settings_copy(&s->set, config, reterr_fault);
	if (e) {
		free(s);
		return e;
	}
	s->stream.ops = &mem_ops;
	s->broker = b;
	s->region = region_get(b, config->region);
	s->connects = b->regions[s->region].up;
	ASSERT(!b->regions[s->region].daemon);
	b->regions[s->region].daemon = s;
	*ret_stream = &s->stream;
	return ERR_NONE;
}

/* ---- stepping ---- */

enum step_kind { STEP_PUBLISH, STEP_BEAT, STEP_DELIVER };

struct step {
	enum step_kind kind;
	uint32_t region, source;
};

#define STEPS_MAX (STREAM_MEM_REGIONS_MAX * (2 + STREAM_MEM_REGIONS_MAX))

static uint32_t possible(struct stream_broker *b, struct step steps[STEPS_MAX])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->region_count; i++) {
		const struct mem_region *r = &b->regions[i];
		const struct mem_stream *s = r->daemon;
		if (!s)
			continue;
		if (s->flight_head || (s->window.open && !r->up))
			steps[n++] = (struct step){ .kind = STEP_PUBLISH, .region = i };
		if (r->beat_count > 0 && r->up)
			steps[n++] = (struct step){ .kind = STEP_BEAT, .region = i };
		for (uint32_t k = 0; k < b->region_count; k++)
			if (s->consumers[k] && can_deliver(s->consumers[k]))
				steps[n++] = (struct step){ .kind = STEP_DELIVER,
							    .region = i,
							    .source = k };
	}
	return n;
}

static void trim_somewhere(struct stream_broker *b)
{
	struct mem_region *r = &b->regions[random_next(b) % b->region_count];
	if (r->provisioned && r->last >= r->first)
		forget_first(r);
}

bool stream_broker_step(struct stream_broker *b)
{
	struct step steps[STEPS_MAX];
	uint32_t n = possible(b, steps);

	if (n == 0)
		return false;
	if (happens(b, b->faults.trim))
		trim_somewhere(b);
	struct step s = steps[random_next(b) % n];
	struct mem_region *r = &b->regions[s.region];
	switch (s.kind) {
	case STEP_PUBLISH:
		step_publish(r->daemon);
		break;
	case STEP_BEAT:
		step_beat(r);
		break;
	case STEP_DELIVER:
		step_deliver(r->daemon->consumers[s.source]);
		break;
	}
	return true;
}

uint64_t stream_broker_run(struct stream_broker *b, uint64_t steps_max)
{
	uint64_t n = 0;
	while (n < steps_max && stream_broker_step(b))
		n++;
	return n;
}
