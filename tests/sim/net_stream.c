/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process's end of the streams: the broker's own end behind it, and the queues between the network and the process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "tests/sim/net_inner.h"

/* What waits for a process, beyond which heartbeats are lost, and messages not taken. */
#define EVENTS_MAX 1000u
#define MESSAGES_MAX 64u

enum item_kind { ITEM_ACCEPTED, ITEM_CLOSED, ITEM_BEAT, ITEM_MESSAGE, ITEM_GAP };

struct item {
	struct item *next;
	uint64_t due_ns;      /* it has arrived */
	enum item_kind kind;
	uint16_t scope;
	struct position upto;
	struct fault why;
	char region[STREAM_NAME_MAX + 1];
	struct stream_token token;
	uint64_t pending;
	struct stream_gap gap;
	size_t len;
	uint8_t bytes[];
};

struct queue_of {
	struct item *first, **last;
	uint64_t due_ns;      /* of the last one: none overtakes another */
	unsigned count;
	struct fiber_line waiting;
};

struct net_stream {
	struct stream stream;
	struct stream *inner; /* NULL: the process crashed */
	struct net_end *end;
	struct stream_events events;
	struct queue_of queue;
	struct fiber *fiber;
	bool closing;
	struct net_consumer *consumers;
};

struct net_consumer {
	struct stream_consumer consumer;
	struct net_consumer *next;
	struct stream_consumer *inner; /* NULL: the process crashed */
	struct net_stream *owner;
	struct stream_handler handler;
	struct queue_of queue;
	struct fiber *fiber;
	bool closing;
};

/* --- queues --- */

static struct item *item_new(enum item_kind kind, struct bytes bytes)
{
	struct item *i = calloc(1, sizeof(*i) + bytes.len);

	ASSERT(i);
	i->kind = kind;
	i->len = bytes.len;
	if (bytes.len > 0)
		memcpy(i->bytes, bytes.data, bytes.len);
	return i;
}

/* delay_ns: on its way. */
static void put(struct queue_of *q, struct item *i, uint64_t delay_ns)
{
	q->due_ns = i->due_ns = MAX(q->due_ns, fiber_now_ns() + delay_ns);
	if (!q->first)
		q->last = &q->first;
	*q->last = i;
	q->last = &i->next;
	q->count++;
	fiber_wake(&q->waiting, true);
}

/* Waits; NULL: the end. */
static struct item *get(struct queue_of *q, const bool *closing)
{
	while (!*closing && (!q->first || q->first->due_ns > fiber_now_ns()))
		(void)fiber_wait(&q->waiting, q->first ? q->first->due_ns : FIBER_FOREVER);
	struct item *i = q->first;

	if (*closing || !i)
		return NULL;
	q->first = i->next;
	q->count--;
	return i;
}

static void drain(struct queue_of *q)
{
	while (q->first) {
		struct item *i = q->first;

		q->first = i->next;
		free(i);
	}
	q->count = 0;
}

/* --- what the stream tells its process --- */

static const struct bytes nothing;

static void on_accepted(void *ctx, uint16_t scope, struct position upto)
{
	struct net_stream *s = ctx;
	struct item *i = item_new(ITEM_ACCEPTED, nothing);

	i->scope = scope;
	i->upto = upto;
	put(&s->queue, i, 0);
}

static void on_closed(void *ctx, const struct fault *why)
{
	struct net_stream *s = ctx;
	struct item *i = item_new(ITEM_CLOSED, nothing);

	i->why = *why;
	put(&s->queue, i, 0);
}

static void on_beat(void *ctx, const char *region, uint16_t scope, struct bytes beat)
{
	struct net_stream *s = ctx;

	struct net *n = s->end->net;
	enum net_harm harm = net_harm_of_next(n);

	if (s->queue.count >= EVENTS_MAX || harm == NET_HARM_LOSE)
		return;
	for (unsigned copies = harm == NET_HARM_REPEAT ? 2 : 1; copies > 0; copies--) {
		struct item *i = item_new(ITEM_BEAT, beat);
		i->scope = scope;
		(void)snprintf(i->region, sizeof(i->region), "%s", region);
		put(&s->queue, i, net_delay_ns(n) + (harm == NET_HARM_DELAY ? NET_HARM_DELAY_NS : 0));
	}
}

static void tell(struct net_stream *s, const struct item *i)
{
	const struct stream_events *e = &s->events;

	if (i->kind == ITEM_ACCEPTED)
		e->on_accepted(e->ctx, i->scope, i->upto);
	else if (i->kind == ITEM_CLOSED)
		e->on_closed(e->ctx, &i->why);
	else
		e->on_beat(e->ctx, i->region, i->scope, (struct bytes){ i->bytes, i->len });
}

static void *events_main(void *arg)
{
	struct net_stream *s = arg;
	struct item *i;

	while ((i = get(&s->queue, &s->closing))) {
		tell(s, i);
		free(i);
	}
	return NULL;
}

/* --- what a reader brings --- */

static bool on_message(void *ctx, const struct stream_delivery *d)
{
	struct net_consumer *c = ctx;

	struct net *n = c->owner->end->net;

	if (c->queue.count >= MESSAGES_MAX)
		return false;
	enum net_harm harm = net_harm_of_next(n);
	/* One that is lost here was never acknowledged, and comes again. */
	for (unsigned copies = harm == NET_HARM_LOSE ? 0 : harm == NET_HARM_REPEAT ? 2 : 1; copies > 0; copies--) {
		struct item *i = item_new(ITEM_MESSAGE, d->payload);
		i->token = d->token;
		i->pending = d->pending;
		put(&c->queue, i, net_delay_ns(n) + (harm == NET_HARM_DELAY ? NET_HARM_DELAY_NS : 0));
	}
	return true;
}

static void on_gap(void *ctx, const struct stream_gap *g)
{
	struct net_consumer *c = ctx;
	struct item *i = item_new(ITEM_GAP, nothing);

	i->gap = *g;
	put(&c->queue, i, 0);
}

/* As often as the owner says "not now". */
static void offer(struct net_consumer *c, const struct item *i)
{
	struct stream_delivery d = { .token = i->token, .payload = { i->bytes, i->len }, .pending = i->pending };

	while (!c->closing && !c->handler.on_message(c->handler.ctx, &d))
		(void)fiber_wait(&c->queue.waiting, fiber_now_ns() + STREAM_RETRY_MS * NS_PER_MS);
}

static void *consumer_main(void *arg)
{
	struct net_consumer *c = arg;
	struct item *i;

	while ((i = get(&c->queue, &c->closing))) {
		if (i->kind == ITEM_MESSAGE)
			offer(c, i);
		else if (c->handler.on_gap)
			c->handler.on_gap(c->handler.ctx, &i->gap);
		free(i);
	}
	return NULL;
}

/* --- struct stream_ops --- */

static struct net_stream *stream_of(struct stream *s)
{
	return CONTAINER_OF(s, struct net_stream, stream);
}

static struct net_consumer *consumer_of(struct stream_consumer *c)
{
	return CONTAINER_OF(c, struct net_consumer, consumer);
}

static enum err gone(struct fault *f)
{
	return fault_set(f, ERR_UNAVAILABLE, "the nats-server cannot be reached");
}

static void net_stream_free(struct stream *stream)
{
	struct net_stream *s = stream_of(stream);

	ASSERT(!s->consumers);
	s->closing = true;
	fiber_wake(&s->queue.waiting, true);
	(void)fiber_join(s->fiber);
	drain(&s->queue);
	stream_free(s->inner);
	s->end->stream = NULL;
	free(s);
}

/* To the region's own server and back. */
static void round_trip(struct net_stream *s)
{
	fiber_sleep_ns(NS_PER_MS + net_delay_ns(s->end->net) / 10);
}

static enum err net_open(struct stream *stream, struct fault *f)
{
	struct net_stream *s = stream_of(stream);

	round_trip(s);
	net_wake(s->end->net);
	return s->inner ? stream_open(s->inner, f) : gone(f);
}

static enum err net_tail(struct stream *stream, uint16_t scope, struct buf *out, struct fault *f)
{
	struct net_stream *s = stream_of(stream);

	round_trip(s);
	return s->inner ? stream_tail(s->inner, scope, out, f) : gone(f);
}

static enum err net_publish(struct stream *stream, const struct stream_message *m)
{
	struct net_stream *s = stream_of(stream);

	net_wake(s->end->net);
	return s->inner ? stream_publish(s->inner, m) : ERR_UNAVAILABLE;
}

static enum err net_beat(struct stream *stream, uint16_t scope, struct bytes beat)
{
	struct net_stream *s = stream_of(stream);

	net_wake(s->end->net);
	return s->inner ? stream_beat(s->inner, scope, beat) : ERR_UNAVAILABLE;
}

static enum err net_request(struct stream *stream, const char *domain, const char *what, struct bytes body,
			    struct buf *out, struct fault *f)
{
	struct net_stream *s = stream_of(stream);

	return s->inner ? stream_request(s->inner, domain, what, body, out, f) : gone(f);
}

static void net_state(struct stream *stream, struct stream_state *ret_state)
{
	struct net_stream *s = stream_of(stream);

	*ret_state = (struct stream_state){ 0 };
	if (s->inner)
		stream_state(s->inner, ret_state);
}

static enum err net_consume(struct stream *stream, const char *region, uint64_t from, const struct stream_handler *h,
			    struct stream_consumer **ret_consumer, struct fault *f)
{
	struct net_stream *s = stream_of(stream);
	struct net_consumer *c = calloc(1, sizeof(*c));

	ASSERT(c);
	*c = (struct net_consumer){ .consumer = { .stream = stream }, .owner = s, .handler = *h };
	struct stream_handler inner = { .ctx = c, .on_message = on_message, .on_gap = on_gap };
	enum err err = s->inner ? stream_consume(s->inner, region, from, &inner, &c->inner, f) : ERR_NONE;
	if (err) {
		free(c);
		return err;
	}
	c->next = s->consumers;
	s->consumers = c;
	c->fiber = fiber_new("reader", s->end->process, consumer_main, c);
	net_wake(s->end->net);
	*ret_consumer = &c->consumer;
	return ERR_NONE;
}

static void net_consumer_close(struct stream_consumer *consumer)
{
	struct net_consumer *c = consumer_of(consumer);
	struct net_consumer **at = &c->owner->consumers;

	c->closing = true;
	fiber_wake(&c->queue.waiting, true);
	(void)fiber_join(c->fiber);
	stream_consumer_close(c->inner);
	drain(&c->queue);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	free(c);
}

static void net_ack(struct stream_consumer *consumer, struct stream_token upto)
{
	struct net_consumer *c = consumer_of(consumer);

	if (c->inner)
		stream_ack(c->inner, upto);
	net_wake(c->owner->end->net);
}

static uint64_t net_reset(struct stream_consumer *consumer, uint64_t seq)
{
	struct net_consumer *c = consumer_of(consumer);

	net_wake(c->owner->end->net);
	return c->inner ? stream_reset(c->inner, seq) : 0;
}

static void net_consumer_state(struct stream_consumer *consumer, struct stream_consumer_state *ret_state)
{
	struct net_consumer *c = consumer_of(consumer);

	*ret_state = (struct stream_consumer_state){ 0 };
	if (c->inner)
		stream_consumer_state(c->inner, ret_state);
}

static const struct stream_ops net_ops = {
	.free = net_stream_free,
	.open = net_open,
	.tail = net_tail,
	.publish = net_publish,
	.beat = net_beat,
	.request = net_request,
	.state = net_state,
	.consume = net_consume,
	.close = net_consumer_close,
	.ack = net_ack,
	.reset = net_reset,
	.consumer_state = net_consumer_state,
};

/* --- life --- */

void net_stream_crash(struct net_stream *s)
{
	for (struct net_consumer *c = s->consumers; c; c = c->next)
		stream_consumer_close(TAKE(c->inner));
	stream_free(TAKE(s->inner));
}

enum err net_make_stream(void *ctx, const struct stream_events *events, struct stream **ret_stream,
			 struct fault *reterr_fault)
{
	struct net_end *e = ctx;
	struct net_stream *s = calloc(1, sizeof(*s));
	struct stream_peer peers[NET_REGIONS - 1];
	uint32_t count = 0;

	ASSERT(s);
	for (uint32_t i = 0; i < NET_REGIONS; i++)
		if (i != e->region)
			peers[count++] = (struct stream_peer){ .region = e->net->names[i], .domain = "" };
	struct stream_config config = {
		.fleet = "sim",
		.region = e->net->names[e->region],
		.domain = "",
		.peers = peers,
		.peer_count = count,
		.events = { .ctx = s, .on_accepted = on_accepted, .on_closed = on_closed, .on_beat = on_beat },
		.clock = &e->process->machine->clock,
	};
	*s = (struct net_stream){ .stream = { .ops = &net_ops }, .end = e, .events = *events };
	if (!e->dead) {
		enum err err = stream_mem_new(e->net->broker, &config, &s->inner, reterr_fault);
		if (err) {
			free(s);
			return err;
		}
	}
	s->fiber = fiber_new("stream-events", e->process, events_main, s);
	e->stream = s;
	*ret_stream = &s->stream;
	return ERR_NONE;
}
