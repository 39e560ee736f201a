/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "tests/sim/net_inner.h"
#include "tests/sim/step.h"

#define STEPS_AT_ONCE 8
#define STEP_NS_MIN 100000u
#define STEP_NS_MAX 3000000u
#define IDLE_NS (100 * NS_PER_MS)

static bool happens(struct net *n, unsigned per_thousand)
{
	return per_thousand > 0 && random_u64(&n->random) % 1000 < per_thousand;
}

static uint64_t between(struct net *n, uint64_t min, uint64_t max)
{
	return max > min ? min + random_u64(&n->random) % (max - min + 1) : min;
}

uint64_t net_delay_ns(struct net *n)
{
	return between(n, n->faults.delay_ns_min, n->faults.delay_ns_max);
}

/* --- harm --- */

void net_do_harm(struct net *n, uint64_t nth, enum net_harm how)
{
	n->harm_in = nth;
	n->harm = how;
}

enum net_harm net_harm_of_next(struct net *n)
{
	if (n->harm_in == 0 || --n->harm_in > 0)
		return NET_HARM_NONE;
	return n->harm;
}

/* --- questions --- */

/* From region to region; false: it does not arrive, and the time that takes to see is over. */
static bool travel(struct net_end *e, uint32_t from, uint32_t to, bool *ret_twice)
{
	struct net *n = e->net;
	enum net_harm harm = net_harm_of_next(n);

	step_passed(from);
	*ret_twice = harm == NET_HARM_REPEAT || happens(n, n->faults.repeated);
	if (!e->dead && !n->cut[from][to] && harm != NET_HARM_LOSE && !happens(n, n->faults.lost)) {
		fiber_sleep_ns(net_delay_ns(n) + (harm == NET_HARM_DELAY ? NET_HARM_DELAY_NS : 0));
		if (!n->cut[from][to])
			return true;
	}
	fiber_sleep_ns(n->faults.timeout_ns);
	return false;
}

typedef enum err (*answer_fn)(struct net_end *to, const void *question, struct buf *out, struct fault *f);

/* In the process that is asked, on the caller's fiber. */
static enum err visit(struct net_end *to, answer_fn answer, const void *question, struct buf *out, struct fault *f)
{
	struct process *before = fiber_enter(to->process);

	to->visitors++;
	enum err err = answer(to, question, out, f);
	to->visitors--;
	fiber_wake(&to->left, true);
	fiber_enter(before);
	return err;
}

static enum err ask(struct peer_link *l, uint8_t region, answer_fn answer, const void *question, struct buf *out,
		    struct fault *f)
{
	struct net_end *e = CONTAINER_OF(l, struct net_end, link);
	struct net *n = e->net;
	uint32_t number = region - 1u;
	size_t len = out->len;
	bool twice;

	if (!travel(e, e->region, number, &twice))
		return fault_set(f, ERR_UNAVAILABLE, "region %u does not answer", region);
	struct net_end *to = n->ends[number];
	if (!to || !to->serves)
		return fault_set(f, ERR_UNAVAILABLE, "nobody answers in region %u", region);
	step_passed(number);
	/* It may have been the last one there. */
	if (n->ends[number] != to)
		return fault_set(f, ERR_UNAVAILABLE, "nobody answers in region %u", region);
	if (twice) {
		CLEANUP(buf_release) struct buf unused = BUF_INIT(out->max);
		(void)visit(to, answer, question, &unused, NULL);
	}
	enum err err = to->serves ? visit(to, answer, question, out, f) : ERR_UNAVAILABLE;
	bool died = to->dead;

	if (died || !travel(e, number, e->region, &twice) || e->dead) {
		buf_reset(out);
		ASSERT(len == 0);
		return fault_set(f, ERR_UNAVAILABLE, "the answer of region %u did not come", region);
	}
	return err;
}

struct log_question {
	uint16_t scope;
	struct position after;
};

static enum err answer_log(struct net_end *to, const void *question, struct buf *out, struct fault *f)
{
	const struct log_question *q = question;

	return replicator_log(to->replicator, q->scope, q->after, out, f);
}

static enum err link_log(struct peer_link *l, uint8_t region, uint16_t scope, struct position after, struct buf *out,
			 struct fault *f)
{
	struct log_question q = { scope, after };

	return ask(l, region, answer_log, &q, out, f);
}

static enum err answer_standing(struct net_end *to, const void *question, struct buf *out, struct fault *f)
{
	const uint16_t *scope = question;

	(void)f;
	return *scope == SCOPE_MULTI ? replicator_standing(to->replicator, out)
				     : replicator_heartbeat(to->replicator, out);
}

static enum err link_standing(struct peer_link *l, uint8_t region, uint16_t scope, struct buf *out, struct fault *f)
{
	return ask(l, region, answer_standing, &scope, out, f);
}

static enum err answer_chain(struct net_end *to, const void *question, struct buf *out, struct fault *f)
{
	(void)question;
	(void)f;
	return replicator_chain(to->replicator, out);
}

static enum err link_chain(struct peer_link *l, uint8_t region, struct buf *out, struct fault *f)
{
	return ask(l, region, answer_chain, NULL, out, f);
}

struct sent_question {
	uint8_t from;
	struct bytes request;
};

static enum err answer_lease(struct net_end *to, const void *question, struct buf *out, struct fault *f)
{
	const struct sent_question *q = question;

	(void)out;
	return replicator_lease_message(to->replicator, q->from, q->request, f);
}

static enum err link_lease(struct peer_link *l, uint8_t region, struct bytes frame, struct fault *f)
{
	struct net_end *e = CONTAINER_OF(l, struct net_end, link);
	struct sent_question q = { (uint8_t)(e->region + 1), frame };
	CLEANUP(buf_release) struct buf nothing = BUF_INIT(1);

	return ask(l, region, answer_lease, &q, &nothing, f);
}

static enum err answer_audit(struct net_end *to, const void *question, struct buf *out, struct fault *f)
{
	const struct sent_question *q = question;

	if (!to->audit)
		return fault_set(f, ERR_UNAVAILABLE, "it does not audit");
	return audit_answer(to->audit, q->from, q->request, out, f);
}

static enum err link_audit(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out, struct fault *f)
{
	struct net_end *e = CONTAINER_OF(l, struct net_end, link);
	struct sent_question q = { (uint8_t)(e->region + 1), request };

	return ask(l, region, answer_audit, &q, out, f);
}

static enum err answer_orphans(struct net_end *to, const void *question, struct buf *out, struct fault *f)
{
	const struct bytes *request = question;

	return replicator_orphans(to->replicator, *request, out, f);
}

static enum err link_orphans(struct peer_link *l, uint8_t region, struct bytes request, struct buf *out, struct fault *f)
{
	return ask(l, region, answer_orphans, &request, out, f);
}

/* --- the ends --- */

void net_attach(struct net_end *e, struct net *n, uint32_t region, struct process *p)
{
	*e = (struct net_end){
		.net = n,
		.region = region,
		.process = p,
		.link = { .log = link_log,
			  .standing = link_standing,
			  .chain = link_chain,
			  .audit = link_audit,
			  .orphans = link_orphans,
			  .lease = link_lease },
	};
	ASSERT(!n->ends[region]);
	n->ends[region] = e;
}

void net_serve(struct net_end *e, struct replicator *r, struct audit *a)
{
	e->replicator = r;
	e->audit = a;
	e->serves = true;
}

void net_close(struct net_end *e)
{
	e->serves = false;
	while (e->visitors > 0)
		(void)fiber_wait(&e->left, FIBER_FOREVER);
	if (e->net->ends[e->region] == e)
		e->net->ends[e->region] = NULL;
}

void net_crash(struct net_end *e)
{
	e->dead = true;
	e->serves = false;
	e->net->ends[e->region] = NULL;
	if (e->stream)
		net_stream_crash(e->stream);
}

void net_cut(struct net *n, uint32_t from, uint32_t to, bool cut)
{
	n->cut[from][to] = cut;
	stream_broker_cut(n->broker, n->names[from], n->names[to], cut);
	net_wake(n);
}

bool net_is_cut(const struct net *n, uint32_t from, uint32_t to)
{
	return n->cut[from][to];
}

/* --- the network --- */

static void *network(void *arg)
{
	struct net *n = arg;

	while (!n->stop) {
		uint64_t steps = 1 + random_u64(&n->random) % STEPS_AT_ONCE;
		bool any = false;

		for (uint64_t i = 0; i < steps && stream_broker_step(n->broker); i++)
			any = true;
		if (any)
			fiber_sleep_ns(between(n, STEP_NS_MIN, STEP_NS_MAX));
		else
			(void)fiber_wait(&n->idle, fiber_now_ns() + IDLE_NS);
	}
	return NULL;
}

void net_wake(struct net *n)
{
	fiber_wake(&n->idle, true);
}

struct net *net_new(uint64_t seed, const char *const names[NET_REGIONS])
{
	struct net *n = calloc(1, sizeof(*n));

	ASSERT(n && stream_broker_new(seed + 1, &n->broker) == ERR_NONE);
	n->names = names;
	n->random = (struct random){ seed };
	n->faults = (struct net_faults){ .delay_ns_min = NS_PER_MS,
					 .delay_ns_max = 20 * NS_PER_MS,
					 .timeout_ns = 1000 * NS_PER_MS };
	for (uint32_t i = 0; i < NET_REGIONS; i++)
		stream_broker_provision(n->broker, names[i]);
	n->fiber = fiber_new("network", NULL, network, n);
	return n;
}

void net_stop(struct net *n)
{
	n->stop = true;
	net_wake(n);
	(void)fiber_join(n->fiber);
}

void net_free(struct net *n)
{
	stream_broker_free(n->broker);
	free(n);
}

struct net_faults *net_faults(struct net *n)
{
	return &n->faults;
}

struct stream_broker *net_broker(struct net *n)
{
	return n->broker;
}
