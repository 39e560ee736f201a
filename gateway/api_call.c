/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a call ends, and how a write passes through the committer.
 *
 * A write that the client waits for with a timeout may be answered before it is done. It goes on, and with it what its
 * intents point at: the call's own arena and the request's body, which the call takes over. Timer, answer and end all
 * happen on the request's loop, so none of them can miss another.
 */
#include "gateway/api.h"

#include <stdio.h>

#include "base/metric.h"
#include "base/panic.h"
#include "gateway/api_inner.h"

#define NS_PER_MS UINT64_C(1000000)
/* A missed level is told so much before the client's own deadline, or an eighth of it: the reply has a way to go. */
#define TELL_MS 200

void call_finish(struct call *c, enum err e)
{
	c->result = e;
	c->finish(c, e);
}

static void finish_task(struct loop_task *t)
{
	struct call *c = CONTAINER_OF(t, struct call, task);

	c->finish(c, c->result);
}

void call_finish_on_loop(struct call *c, enum err e)
{
	c->result = e;
	c->task.run = finish_task;
	loop_post(c->loop, &c->task);
}

struct str call_own(struct call *c, struct str s)
{
	return arena_str(c->arena, s);
}

bool call_may_see(const struct call *c, struct str collection)
{
	return jwt_level_in(c->claims, collection) >= JWT_READ;
}

void call_touch(struct call *c)
{
	struct committer_state state;

	committer_state(c->api->committer, &state);
	c->position = state.publishing;
	c->hlc = state.hlc;
	c->touched = true;
}

/* --- writes --- */

/* Whoever writes into a collection relies on it: a change of one is answered when it cannot be lost any more. */
static bool changes_collections(const struct write_plan *p)
{
	return p->intent_count > 0 && p->intents[0].kind < OP_UPSERT;
}

enum ack_level call_ack_level(const struct write_plan *p)
{
	if (p->wait && changes_collections(p))
		return ACK_CONFIRMED;
	switch (p->ordering) {
	case ORDERING_STRONG:
		return ACK_CONFIRMED;
	case ORDERING_MEDIUM:
		return ACK_STREAM;
	case ORDERING_WEAK:
		break;
	}
	return p->wait ? ACK_VISIBLE : ACK_LOCAL;
}

/* By the greatest thing that was asked for. */
static void count_level(const struct write *w)
{
	static const char *const words[] = {
		[ACK_LOCAL] = "local", [ACK_VISIBLE] = "visible", [ACK_STREAM] = "stream", [ACK_CONFIRMED] = "confirmed"
	};
	char labels[32];

	if (w->err && w->err != ERR_TIMEOUT)
		return;
	(void)snprintf(labels, sizeof(labels), "%s,%s", ack_regions_asked(&w->regions) ? "regions" : words[w->ack],
		       w->err ? "missed" : "reached");
	metric_series_add(metric_series(METRIC_isthmus_acknowledgements_total, labels), 1);
}

/* Until the write is done its timer has the call; the loop's. */
static void write_settled(struct loop_task *t)
{
	struct call *c = CONTAINER_OF(t, struct call, task);
	struct write *w = &c->write;

	loop_timer_stop(c->loop, &c->timer);
	c->write_pending = false;
	count_level(w);
	if (!c->request) {
		c->release(c);
		return;
	}
	if (!w->err)
		metric_observe(METRIC_ingest_latency_seconds,
			       (double)(clock_mono_ns(c->api->clock) - c->started_ns) / 1e9);
	c->fault = w->fault;
	c->acked = (struct ack_report){ w->reached, w->applied, ack_regions_asked(&w->regions) };
	c->wrote = true;
	enum err err = c->plan.settle(c);
	/* It is written also when what was asked for beside was missed. */
	if (!err || (err == ERR_TIMEOUT && w->position.epoch != 0)) {
		call_touch(c);
		if (w->position.epoch != 0)
			c->position = w->position;
	}
	call_finish(c, err);
}

/* The committer's thread: nothing but the way to the loop. */
static void write_done(struct write *w)
{
	struct call *c = CONTAINER_OF(w, struct call, write);

	c->task.run = write_settled;
	loop_post(c->loop, &c->task);
}

/* A level above `visible` is missed then, and more than that: the committer would have said so. */
static enum err answer_late(struct call *c)
{
	if (c->write.deadline_ns == 0)
		return c->plan.late(c);
	return fault_set(&c->fault, ERR_TIMEOUT, "the write did not end in time; it goes on in region %s", c->api->region);
}

static void write_late(struct loop_timer *t)
{
	struct call *c = CONTAINER_OF(t, struct call, timer);

	c->body = c->request->body;
	buf_init(&c->request->body, 0);
	call_finish(c, answer_late(c));
}

/* Once it was taken the call may be gone. */
static enum err submit(struct call *c)
{
	c->write_pending = true;
	enum err err = committer_submit(c->api->committer, &c->write);
	if (err)
		c->write_pending = false;
	return err;
}

/* Timers are the loop's, and this one has to run before the write can be done. */
static void submit_with_timer(struct loop_task *t)
{
	struct call *c = CONTAINER_OF(t, struct call, task);

	loop_timer_start(c->loop, &c->timer, c->timer_ms);
	enum err err = submit(c);
	if (!err)
		return;
	loop_timer_stop(c->loop, &c->timer);
	call_finish(c, err);
}

/* Of a collection that wants more than one region by itself: as many as there are, at most. */
static struct ack_regions default_regions(const struct call *c, const struct intent *in)
{
	struct ack_regions none = { 0 };
	uint32_t data_regions = c->api->data_regions;
	struct collection *collection =
		in->kind >= OP_UPSERT && data_regions > 1 ? catalog_get(c->api->catalog, in->collection) : NULL;

	if (!collection)
		return none;
	uint32_t factor = api_config_write_consistency(collection_config(collection));
	collection_unref(collection);
	return factor > 1 ? (struct ack_regions){ .count = MIN(factor, data_regions), .all = factor >= data_regions }
			  : none;
}

/* When it is to be told that what was asked for was missed. */
static uint64_t ack_deadline_ns(const struct call *c, uint64_t timeout_ms)
{
	uint64_t now_ns = clock_mono_ns(c->api->clock);
	uint64_t due_ns = now_ns + (timeout_ms ? timeout_ms : WRITE_TIMEOUT_MS_DEFAULT) * NS_PER_MS;
	uint64_t client_ns = c->request->deadline_ns;

	if (client_ns == 0)
		return due_ns;
	uint64_t left_ns = client_ns > now_ns ? client_ns - now_ns : 0;
	return MIN(due_ns, now_ns + left_ns - MIN(left_ns / 8, TELL_MS * NS_PER_MS));
}

void call_write(struct call *c, const struct write_plan *p)
{
	struct write *w = &c->write;

	ASSERT(c->arena == &c->own && !c->write_pending);
	c->plan = *p;
	*w = (struct write){
		.intents = p->intents,
		.intent_count = p->intent_count,
		.bytes = c->own.used + c->request->body.len,
		.ack = call_ack_level(p),
		.regions = c->has_ack ? c->ack : default_regions(c, &p->intents[0]),
		.hlc_floor = c->session_hlc,
		.done = write_done,
	};
	c->timer = (struct loop_timer){ .on_fire = write_late };
	bool here = w->ack <= ACK_VISIBLE && !ack_regions_asked(&w->regions);
	/* Beyond it the committer keeps the time, and knows what to say of the position; the timer is for one that stands still. */
	if (!here)
		w->deadline_ns = ack_deadline_ns(c, p->timeout_ms);
	c->timer_ms = here ? p->timeout_ms : (p->timeout_ms ? p->timeout_ms : WRITE_TIMEOUT_MS_DEFAULT) + TELL_MS;
	if (!here || (w->ack == ACK_VISIBLE && p->timeout_ms != 0)) {
		c->task.run = submit_with_timer;
		loop_post(c->loop, &c->task);
		return;
	}
	enum err err = submit(c);
	if (err)
		call_finish(c, err);
}
