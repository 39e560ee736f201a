/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a call ends, and how a write passes through the committer.
 *
 * A write that the client waits for with a timeout may be answered before it is done. It goes on, and with it what its
 * intents point at: the call's own arena and the request's body, which the call takes over. Timer, answer and end all
 * happen on the request's loop, so none of them can miss another.
 */
#include "gateway/api.h"

#include "base/metric.h"
#include "base/panic.h"

#define NS_PER_MS UINT64_C(1000000)

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

void call_touch(struct call *c)
{
	struct committer_state state;

	committer_state(c->api->committer, &state);
	c->position = state.publishing;
	c->hlc = state.hlc;
	c->touched = true;
}

/* --- writes --- */

enum ack_level call_ack_level(const struct write_plan *p)
{
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

/* Until the write is done its timer has the call; the loop's. */
static void write_settled(struct loop_task *t)
{
	struct call *c = CONTAINER_OF(t, struct call, task);
	struct write *w = &c->write;

	loop_timer_stop(c->loop, &c->timer);
	c->write_pending = false;
	if (!c->request) {
		c->release(c);
		return;
	}
	if (!w->err)
		metric_observe(METRIC_ingest_latency_seconds,
			       (double)(clock_mono_ns(c->api->clock) - c->started_ns) / 1e9);
	c->fault = w->fault;
	c->acked = w->reached;
	c->wrote = true;
	enum err err = c->plan.settle(c);
	if (!err) {
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

static void write_late(struct loop_timer *t)
{
	struct call *c = CONTAINER_OF(t, struct call, timer);

	c->body = c->request->body;
	buf_init(&c->request->body, 0);
	call_finish(c, c->plan.late(c));
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

	loop_timer_start(c->loop, &c->timer, c->plan.timeout_ms);
	enum err err = submit(c);
	if (!err)
		return;
	loop_timer_stop(c->loop, &c->timer);
	call_finish(c, err);
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
		.hlc_floor = c->session_hlc,
		.done = write_done,
	};
	c->timer = (struct loop_timer){ .on_fire = write_late };
	/* Above visible the committer itself keeps the time, and knows what to say of the position. */
	if (w->ack > ACK_VISIBLE)
		w->deadline_ns =
			clock_mono_ns(c->api->clock) +
			(p->timeout_ms ? p->timeout_ms : WRITE_TIMEOUT_MS_DEFAULT) * NS_PER_MS;
	if (w->ack == ACK_VISIBLE && p->timeout_ms != 0) {
		c->task.run = submit_with_timer;
		loop_post(c->loop, &c->task);
		return;
	}
	enum err err = submit(c);
	if (err)
		call_finish(c, err);
}
