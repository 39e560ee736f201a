/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One screen says what happens to a request: the table of steps below. Each step goes on to the next one, fails
 * (then the error is encoded), or leaves: to the pool, to a handler, to the client. Whoever it was left to goes on with it
 * by run(), on whatever thread that is; one at a time has it.
 */
#include "gateway/serve.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/panic.h"
#include "gateway/forwarded.h"
#include "gateway/grpc.h"
#include "gateway/proxy.h"
#include "gateway/rest.h"
#include "gateway/router.h"
#include "gateway/serve_allow.h"
#include "gateway/serve_fresh.h"
#include "gateway/writers.h"
#include "replicator/silence.h"

enum protocol_name { API_REST, API_GRPC, API_COUNT };
static const char *const api_names[API_COUNT] = { [API_REST] = "rest", [API_GRPC] = "grpc" };

struct serve {
	const struct api *api;
	struct auth *auth;
	_Atomic uint64_t pending;
	atomic_uint waiting;  /* on the pool, for a position */
	unsigned waiting_max; /* so that they leave threads for others */
	const struct method *methods;
	uint32_t method_count;
	/* Of each method, for what is counted most; made at start. */
	struct metric_series **ok[API_COUNT];
	struct metric_series **duration;
};

struct life {
	struct call call;
	struct serve *serve;
	unsigned at; /* the next step */
	enum err err;
	pthread_t loop_thread;
	struct method_match match;
	struct auth_grant grant;
	enum err auth_err; /* counts unless the method is open to all */
	struct fault auth_fault;
	struct session session; /* what the client has seen */
	bool must_wait;
	struct pool_task pool_task;
	struct forwarded_client client;
	struct str why;              /* how it was routed, when the client asks for it */
	const struct region *to;     /* another one, which answers a read */
	struct proxy_task forward;   /* to another region */
	struct loop_task hop;        /* to the loop, for that */
};

#define ROUTE_WORDS_MAX 2048

enum outcome { GO_ON, FAILED, LEFT };

static enum outcome identify(struct life *l);
static enum outcome find(struct life *l);
static enum outcome allow(struct life *l);
static enum outcome unpack(struct life *l);
static enum outcome route(struct life *l);
static enum outcome read_session(struct life *l);
static enum outcome place(struct life *l);
static enum outcome wait_session(struct life *l);
static enum outcome decode(struct life *l);
static enum outcome admit(struct life *l);
static enum outcome handle(struct life *l);
static enum outcome encode(struct life *l);
static enum outcome mark(struct life *l);
static enum outcome reply(struct life *l);

enum step_name {
	STEP_IDENTIFY,
	STEP_FIND,
	STEP_ALLOW,
	STEP_UNPACK,
	STEP_ROUTE,
	STEP_SESSION,
	STEP_PLACE,
	STEP_WAIT,
	STEP_DECODE,
	STEP_ADMIT,
	STEP_HANDLE,
	STEP_ENCODE,
	STEP_MARK,
	STEP_REPLY,
	STEP_COUNT
};

static enum outcome (*const steps[STEP_COUNT])(struct life *l) = {
	[STEP_IDENTIFY] = identify,    /* whose key is it? */
	[STEP_FIND] = find,            /* which method? */
	[STEP_ALLOW] = allow,          /* may they? */
	[STEP_UNPACK] = unpack,        /* is the collection to be known, and compressed? */
	[STEP_ROUTE] = route,          /* which region answers? */
	[STEP_SESSION] = read_session, /* what has the client seen already? */
	[STEP_PLACE] = place,          /* here, or on the pool */
	[STEP_WAIT] = wait_session,    /* until this region has it too */
	[STEP_DECODE] = decode,        /* bytes to message */
	[STEP_ADMIT] = admit,          /* may they in this collection? */
	[STEP_HANDLE] = handle,        /* the method itself; call_finish() goes on with */
	[STEP_ENCODE] = encode,        /* message, or error, to bytes */
	[STEP_MARK] = mark,            /* headers of ours */
	[STEP_REPLY] = reply,          /* on the loop; metrics */
};

static void run(struct life *l)
{
	for (;;) {
		switch (steps[l->at++](l)) {
		case GO_ON:
			break;
		case FAILED:
			l->at = STEP_ENCODE;
			break;
		case LEFT:
			return;
		}
	}
}

static enum outcome fail(struct life *l, enum err e)
{
	l->err = e;
	return FAILED;
}

/* --- beginning and end --- */

static void life_free(struct life *l)
{
	struct serve *s = l->serve;

	arena_release(&l->call.own);
	buf_release(&l->call.body);
	free(l);
	atomic_fetch_sub(&s->pending, 1);
}

/* A write that found this region not to be the primary any more, and so wrote nothing: another one takes it. */
static bool may_try_again(const struct call *c, enum err e)
{
	if ((e != ERR_NOT_PRIMARY && e != ERR_NO_PRIMARY) || !c->api->proxy || !c->request || c->request->peer)
		return false;
	return c->method->reach == REACH_WRITE && c->write.intents_done == 0 && c->write.position.epoch == 0;
}

static void try_again(struct loop_task *t);

/* call_finish(): from whatever thread the handler is on. */
static void finish_call(struct call *c, enum err e)
{
	struct life *l = CONTAINER_OF(c, struct life, call);

	l->err = e;
	if (may_try_again(c, e)) {
		l->hop.run = try_again;
		loop_post(c->loop, &l->hop);
		return;
	}
	l->at = STEP_ENCODE;
	run(l);
}

static void release_call(struct call *c)
{
	life_free(CONTAINER_OF(c, struct life, call));
}

static void refuse(struct request *r)
{
	r->reply.status = 500;
	if (r->grpc) {
		r->reply.status = 200;
		r->reply.grpc_status = err_grpc_status(ERR_NO_MEMORY);
		r->reply.grpc_message = STR("out of memory");
	}
	request_reply(r);
}

void serve_request(void *ctx, struct request *r)
{
	struct serve *s = ctx;
	struct life *l = calloc(1, sizeof(*l));

	if (!l) {
		refuse(r);
		return;
	}
	atomic_fetch_add(&s->pending, 1);
	l->serve = s;
	l->loop_thread = pthread_self();
	l->call = (struct call){
		.api = s->api,
		.request = r,
		.loop = r->loop,
		.arena = &r->arena,
		.started_ns = r->started_ns ? r->started_ns : clock_mono_ns(s->api->clock),
		.finish = finish_call,
		.release = release_call,
	};
	arena_init(&l->call.own, REQUEST_ARENA_BYTES_MAX);
	if (r->verb == VERB_OPTIONS && !r->grpc) {
		rest_preflight(r);
		l->at = STEP_MARK;
	}
	run(l);
}

/* --- who, what, where --- */

/* Where the client is; what could not be read of it is counted. */
static void find_client(struct life *l)
{
	static const struct forwarded_nets nobody = { 0 };
	const struct forwarded_nets *trusted = l->call.api->trusted;

	forwarded_find(l->call.request, trusted ? trusted : &nobody, &l->client);
	if (l->client.dropped)
		metric_series_add(metric_series(METRIC_isthmus_rejected_total, l->client.dropped), 1);
}

static enum outcome identify(struct life *l)
{
	struct request *r = l->call.request;

	find_client(l);
	if (r->peer) {
		l->auth_err = auth_check_peer(l->call.api->regions, r, &l->grant, &l->auth_fault);
		l->call.claims = l->grant.claims;
		return GO_ON;
	}
	l->auth_err = auth_check(l->serve->auth, r, clock_wall_ms(l->call.api->clock) / 1000, &l->grant, &l->auth_fault);
	l->call.claims = l->grant.claims;
	return GO_ON;
}

static enum outcome fail_auth(struct life *l)
{
	l->call.fault = l->auth_fault;
	return fail(l, l->auth_err);
}

/* Without a key nobody is told which paths there are. */
static enum outcome find(struct life *l)
{
	struct call *c = &l->call;
	struct request *r = c->request;
	enum err err =
		r->grpc ? method_find_grpc(r->path, &l->match.method, &c->fault)
			: method_find_rest(r->verb, r->path, &r->arena, &l->match, &c->fault);

	/* What is between regions, others do not get to know. */
	if (!err && l->match.method->access == ACCESS_PEER && !r->peer)
		err = ERR_NO_ROUTE;
	if (err)
		return l->auth_err ? fail_auth(l) : fail(l, err);
	c->method = l->match.method;
	/* Its write may outlive the request. */
	if (c->method->reach == REACH_WRITE)
		c->arena = &c->own;
	return GO_ON;
}

/* In whatever region: what can never be reached is refused before anything is written. */
static enum outcome read_ack(struct life *l)
{
	struct call *c = &l->call;
	struct str text = request_header(c->request, "isthmus-ack");

	if (!text.data)
		return GO_ON;
	if (strncmp(c->method->name, "isthmus_", 8) == 0)
		return fail(l, fault_set(&c->fault, ERR_BAD_INPUT, "isthmus-ack: this request writes no data"));
	enum err err = ack_words_parse(text, c->api->regions, c->api->region, &c->ack, &c->fault);
	c->has_ack = err == ERR_NONE;
	return err ? fail(l, err) : GO_ON;
}

/* A drill: requests of other regions get no further, as if nobody listened, and of clients only what is about this region itself. */
static enum outcome check_silence(struct life *l)
{
	enum silence_kind kind = silence_now(l->call.api->silence, NULL);
	bool refused = kind != SILENCE_NONE &&
		       (l->call.request->peer || (kind == SILENCE_OUT && l->call.method->reach != REACH_LOCAL));

	l->call.request->reply.untaken = refused && l->call.request->peer;
	return refused ? fail(l, silence_fault(&l->call.fault)) : GO_ON;
}

static enum outcome allow(struct life *l)
{
	const struct method *m = l->call.method;

	if (m->access != ACCESS_OPEN && m->access != ACCESS_PEER && l->auth_err)
		return fail_auth(l);
	enum err err = serve_allow(&l->grant, m, &l->call.fault);
	if (err)
		return fail(l, err);
	if (!m->handler)
		return fail(l, fault_set(&l->call.fault, ERR_NOT_IMPLEMENTED, "%s", m->name));
	if (check_silence(l) == FAILED)
		return FAILED;
	return m->reach == REACH_WRITE ? read_ack(l) : GO_ON;
}

/* --- other regions --- */

/* Must route() know which collection it is? */
static bool routes_by_collection(const struct life *l)
{
	const struct api *api = l->call.api;

	switch (l->call.method->reach) {
	case REACH_READ:
		return api->router && router_wants_collection(api->router);
	case REACH_WRITE:
		return api->proxy && !api->gateway_only;
	case REACH_LOCAL:
		break;
	}
	return false;
}

static void unpacked(struct loop_task *t)
{
	struct life *l = CONTAINER_OF(t, struct life, hop);

	if (l->err)
		l->at = STEP_ENCODE;
	run(l);
}

static void unpack_on_pool(struct pool_task *t)
{
	struct life *l = CONTAINER_OF(t, struct life, pool_task);

	l->err = grpc_open(&l->call);
	l->hop.run = unpacked;
	loop_post(l->call.loop, &l->hop);
}

/* To inflate takes as long as the client likes, within limits.body: the loop's other connections do not wait for it. */
static enum outcome unpack(struct life *l)
{
	const struct call *c = &l->call;

	if (!c->request->grpc || !routes_by_collection(l) || !grpc_is_packed(c))
		return GO_ON;
	l->pool_task.run = unpack_on_pool;
	enum err err = pool_run(c->api->pool, &l->pool_task);
	return err ? fail(l, err) : LEFT;
}

/* Left out when there is no memory: a reply without it is still true. */
static void add(struct request *r, struct str name, struct str value)
{
	enum err err = value.data ? request_add_header(r, name, value) : ERR_NO_MEMORY;
	if (err)
		log_debug("reply: header left out name=%.*s reason=\"%s\"", STR_FMT(name),
			  err_sentence(err));
}

static void hint(struct life *l, const struct region *to);

static void explain(struct life *l)
{
	if (l->why.data)
		add(l->call.request, STR("isthmus-route"), l->why);
}

/* On the loop: another region has answered, or this one is to, or nobody can. */
static void forwarded(struct proxy_task *t)
{
	struct life *l = CONTAINER_OF(t, struct life, forward);

	switch (t->outcome) {
	case PROXY_REPLIED:
		explain(l);
		if (l->to)
			hint(l, l->to);
		l->at = STEP_REPLY;
		break;
	case PROXY_HERE:
		l->at = STEP_ROUTE + 1;
		break;
	case PROXY_FAILED:
		l->err = t->err;
		l->call.fault = t->fault;
		l->at = STEP_ENCODE;
		break;
	}
	run(l);
}

static void prepare_forward(struct life *l)
{
	struct proxy_task *t = &l->forward;

	t->proxy = l->call.api->proxy;
	t->request = l->call.request;
	t->grant = &l->grant;
	t->client = &l->client.address;
	t->done = forwarded;
}

static void try_again(struct loop_task *t)
{
	struct life *l = CONTAINER_OF(t, struct life, hop);
	struct call *c = &l->call;
	enum err why = l->err;

	prepare_forward(l);
	l->forward.fault = c->fault;
	l->err = ERR_NONE;
	l->must_wait = false;
	l->session = (struct session){ 0 };
	c->fault = (struct fault){ 0 };
	c->write = (struct write){ 0 };
	c->wrote = c->touched = false;
	proxy_write_again(&l->forward, why);
}

static bool is_header(const struct request *r, const char *name, const char *value)
{
	struct str text = request_header(r, name);

	return text.len == strlen(value) && memcmp(text.data, value, text.len) == 0;
}

/* The one that the request is about. */
static struct str find_collection(struct life *l)
{
	struct call *c = &l->call;

	if (c->request->grpc)
		return grpc_collection(c);
	for (uint32_t i = 0; i < l->match.param_count; i++) {
		const struct header *p = &l->match.params[i];
		if (p->name.len == 15 && memcmp(p->name.data, "collection_name", 15) == 0)
			return p->value;
	}
	return (struct str){ 0 };
}

/* Points of a collection that every data region writes: the primary need not be asked. */
static bool is_written_anywhere(struct life *l)
{
	const struct call *c = &l->call;
	bool points = strncmp(c->method->name, "points_", 7) == 0 || strncmp(c->method->name, "payload_", 8) == 0 ||
		      strncmp(c->method->name, "vectors_", 8) == 0;
	struct str name = points && c->method->reach == REACH_WRITE ? find_collection(l) : (struct str){ 0 };

	if (!name.data)
		return false;
	if (c->api->gateway_only)
		return c->api->writers && writers_has(c->api->writers, name);
	struct collection *collection = catalog_get(c->api->catalog, name);
	bool multi = collection && collection_config(collection)->multi_writer;
	if (collection)
		collection_unref(collection);
	return multi;
}

/* The region of the decision, and those behind it. */
static void set_order(struct life *l, const struct route_decision *d)
{
	struct proxy_task *t = &l->forward;

	if (d->kind != ROUTE_PROXY)
		return;
	t->order[t->order_count++] = d->region->id;
	for (uint32_t i = 0; i < d->candidate_count; i++) {
		const struct route_candidate *c = &d->candidates[i];
		if (c->bar == ROUTE_ALLOWED && c->region != d->region && c->region->id != l->call.api->region_id)
			t->order[t->order_count++] = c->region->id;
	}
}

/* near: of the regions that may take it as well as the primary; NULL: none but it may. */
static enum outcome route_write(struct life *l, const struct route_decision *near)
{
	struct call *c = &l->call;
	uint8_t writer;

	enum err err = replicator_admit(c->api->replicator, &writer, &c->fault);

	if (!err)
		return GO_ON;
	/* Whoever sent it here looks for another; nothing goes round in circles. */
	if (c->request->peer)
		return fail(l, err);
	c->fault = (struct fault){ 0 };
	prepare_forward(l);
	if (near)
		set_order(l, near);
	proxy_write(&l->forward);
	return LEFT;
}

/* The words go out in a header: what is not printable was never in them. */
static void keep_reasons(struct life *l, const struct route_decision *d)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(ROUTE_WORDS_MAX);
	struct request *r = l->call.request;

	if (r->peer || !is_header(r, "isthmus-explain", "1"))
		return;
	buf_printf(&words, "%s", route_kind_name(d->kind));
	if (d->region)
		buf_printf(&words, " %s", d->region->name);
	buf_append_cstr(&words, ": ");
	route_reasons_write(d, &words);
	l->why = buf_err(&words) ? (struct str){ 0 } : arena_str(&r->arena, buf_str(&words));
}

static void decide_route(struct life *l, bool anywhere, struct router_answer *a)
{
	static const enum route_operation operations[] = {
		[REACH_READ] = ROUTE_READ, [REACH_WRITE] = ROUTE_WRITE, [REACH_LOCAL] = ROUTE_ASKED
	};
	const struct call *c = &l->call;
	const struct request *r = c->request;
	struct router_query q = {
		.operation = anywhere ? ROUTE_WRITE_ANYWHERE : operations[c->method->reach],
		.client = (const struct sockaddr *)&l->client.address,
		.redirect = !r->grpc && is_header(r, "isthmus-redirect", "allow"),
		.hops = proxy_hops(r),
	};

	if ((anywhere || q.operation == ROUTE_READ) && router_wants_collection(c->api->router))
		q.collection = find_collection(l);
	if (c->method->reach == REACH_WRITE && c->api->replicator &&
	    !replicator_admit(c->api->replicator, &q.primary, NULL))
		q.primary = c->api->region_id;
	router_decide(c->api->router, &q, a);
	keep_reasons(l, &a->decision);
}

/* For clients that choose another way to the same data by themselves (RFC 7838). Only regions that speak TLS may say so. */
static void hint(struct life *l, const struct region *to)
{
	static const char scheme[] = "https://";
	struct request *r = l->call.request;

	if (!r->peer && strncmp(to->rest, scheme, sizeof(scheme) - 1) == 0)
		add(r, STR("alt-svc"), arena_printf(&r->arena, "h2=\"%s\"; ma=60", to->rest + sizeof(scheme) - 1));
}

/* The place comes from the configuration alone; only path and query are the client's. */
static enum outcome redirect(struct life *l, const struct region *to)
{
	struct request *r = l->call.request;
	struct str place = arena_printf(&r->arena, "%s%.*s%s%.*s", to->rest, STR_FMT(r->path), r->query.len > 0 ? "?" : "",
					STR_FMT(r->query));

	if (!place.data)
		return fail(l, ERR_NO_MEMORY);
	r->reply.status = 307;
	add(r, STR("location"), place);
	hint(l, to);
	l->at = STEP_MARK;
	return GO_ON;
}

static enum outcome pass_on(struct life *l, const struct route_decision *d, const struct region *to)
{
	prepare_forward(l);
	set_order(l, d);
	l->to = to;
	proxy_read(&l->forward, 0);
	return LEFT;
}

static enum outcome route_read(struct life *l, const struct route_decision *d)
{
	const struct api *api = l->call.api;
	const struct region *to = d->region ? regions_by_id(api->regions, d->region->id) : NULL;

	if (proxy_hops(l->call.request) == 0)
		metric_series_add(metric_series(METRIC_isthmus_geo_routes_total, to ? to->name : "none"), 1);
	switch (d->kind) {
	case ROUTE_PROXY:
		return pass_on(l, d, to);
	case ROUTE_REDIRECT:
		return redirect(l, to);
	case ROUTE_NOWHERE: {
		CLEANUP(buf_release) struct buf words = BUF_INIT(ROUTE_WORDS_MAX);
		route_reasons_write(d, &words);
		return fail(l, fault_set(&l->call.fault, d->err, "%.*s", STR_FMT(buf_str(&words))));
	}
	case ROUTE_HERE:
		break;
	}
	return GO_ON;
}

/* What is not for the primary anyway can be asked of a region by its name, through any other. */
static enum outcome route_named(struct life *l, struct str name)
{
	struct call *c = &l->call;
	const struct region *to = c->api->proxy ? regions_by_name(c->api->regions, name) : NULL;

	if (!to)
		return fail(l, fault_set(&c->fault, ERR_BAD_INPUT, "isthmus-at: '%.*s' is no region of this fleet", STR_FMT(name)));
	if (c->method->reach == REACH_WRITE || (c->method->reach == REACH_READ && !to->data))
		return fail(l, fault_set(&c->fault, ERR_BAD_INPUT, "isthmus-at: %s", to->data ? "a write goes to the primary by itself"
											       : "that region holds no data"));
	if (to->self)
		return GO_ON;
	prepare_forward(l);
	l->to = to;
	proxy_read(&l->forward, to->id);
	return LEFT;
}

/* Here, unless it is a write and another region writes, or a read that another region is to answer. */
static enum outcome route(struct life *l)
{
	const struct api *api = l->call.api;
	enum method_reach reach = l->call.method->reach;
	struct router_answer answer;
	struct str named = request_header(l->call.request, "isthmus-at");
	bool read = api->proxy && reach == REACH_READ;
	bool explains = is_header(l->call.request, "isthmus-explain", "1");
	bool anywhere = api->proxy && is_written_anywhere(l);
	/* Where data are such a write is taken as it comes. */
	bool near = anywhere && api->gateway_only && api->router;

	if (named.data && !l->call.request->peer)
		return route_named(l, named);
	if (api->router && (read || near || explains))
		decide_route(l, anywhere, &answer);
	if (!api->proxy || reach == REACH_LOCAL)
		return GO_ON;
	if (anywhere && !api->gateway_only)
		return GO_ON;
	if (reach == REACH_WRITE)
		return route_write(l, near ? &answer.decision : NULL);
	return route_read(l, &answer.decision);
}

static void ask_writer_here(struct loop_task *t)
{
	struct life *l = CONTAINER_OF(t, struct life, hop);
	uint8_t writer = 0;
	enum err err = replicator_admit(l->call.api->replicator, &writer, NULL);

	if (err && writer != 0) {
		prepare_forward(l);
		proxy_read(&l->forward, writer);
		return;
	}
	l->at = STEP_ENCODE;
	run(l);
}

/* What this region has not yet, the writer has: it is asked, once. From any thread. */
static enum outcome ask_writer(struct life *l, enum err why)
{
	const struct call *c = &l->call;

	if (!c->api->proxy || c->method->reach != REACH_READ || proxy_hops(c->request) >= PROXY_HOPS_MAX ||
	    why != ERR_UNAVAILABLE)
		return fail(l, why);
	l->err = why;
	l->hop.run = ask_writer_here;
	loop_post(c->loop, &l->hop);
	return LEFT;
}

/* --- sessions and staleness --- */

static enum outcome read_session(struct life *l)
{
	struct call *c = &l->call;
	struct str text = request_header(c->request, "isthmus-session");
	enum err err;

	if (c->method->reach == REACH_LOCAL)
		return GO_ON;
	err = serve_check_staleness(c->api, request_header(c->request, "isthmus-max-staleness-ms"), &c->fault);
	if (!err && text.data) {
		err = session_decode(text, &c->api->session_key, &l->session, &c->fault);
		c->session_hlc = l->session.hlc;
		if (!err)
			err = serve_check_session(c->api, &l->session, &l->must_wait, &c->fault);
	}
	return err ? ask_writer(l, err) : GO_ON;
}

/* A few may wait: a region that lags must not have all its threads asleep. */
static enum outcome wait_session(struct life *l)
{
	struct serve *s = l->serve;
	struct call *c = &l->call;
	bool ahead = l->must_wait;
	enum err err = ERR_NONE;

	if (!ahead)
		return GO_ON;
	if (atomic_fetch_add(&s->waiting, 1) < s->waiting_max) {
		err = serve_wait_session(c->api, &l->session, &c->fault);
		/* Reached or not, and even then a newer epoch may have come without it. */
		if (!err)
			err = serve_check_session(c->api, &l->session, &ahead, &c->fault);
	}
	atomic_fetch_sub(&s->waiting, 1);
	if (!err && ahead)
		err = fault_set(&c->fault, ERR_UNAVAILABLE, "isthmus-session: this region has not yet seen that write");
	return err ? ask_writer(l, err) : GO_ON;
}

/* --- the work --- */

static void run_on_pool(struct pool_task *t)
{
	run(CONTAINER_OF(t, struct life, pool_task));
}

static enum outcome place(struct life *l)
{
	const struct call *c = &l->call;
	const struct request *r = c->request;
	bool reads = c->claims && c->claims->has_value;
	bool heavy = c->method->place == ON_POOL || l->must_wait || reads || r->body.len > LOOP_BODY_BYTES_MAX ||
		     (r->grpc ? grpc_is_packed(c) : request_is_packed(r));

	if (!heavy)
		return GO_ON;
	l->pool_task.run = run_on_pool;
	enum err err = pool_run(c->api->pool, &l->pool_task);
	return err ? fail(l, err) : LEFT;
}

static enum outcome decode(struct life *l)
{
	struct call *c = &l->call;

	if (atomic_load_explicit(&c->request->cancelled, memory_order_relaxed))
		return fail(l, ERR_CANCELLED);
	enum err err = request_decode_body(c->request, &c->fault);
	if (!err)
		err = c->request->grpc ? grpc_decode(c) : rest_decode(c, &l->match);
	return err ? fail(l, err) : GO_ON;
}

static enum outcome admit(struct life *l)
{
	enum err err = serve_allow_claims(&l->call, &l->call.fault);

	return err ? fail(l, err) : GO_ON;
}

static enum outcome handle(struct life *l)
{
	enum err err = api_check_strict(&l->call);
	if (err)
		return fail(l, err);
	l->call.method->handler(&l->call);
	return LEFT;
}

/* --- the reply --- */

static enum outcome encode(struct life *l)
{
	struct call *c = &l->call;
	struct request *r = c->request;

	if (!r->grpc) {
		rest_encode(c, l->err);
		return GO_ON;
	}
	grpc_encode(c, l->err);
	/* The reply is still on its way when the call is gone. */
	if (r->reply.grpc_message.data) {
		struct str copy = arena_str(&r->arena, r->reply.grpc_message);
		r->reply.grpc_message = copy.data ? copy : STR("");
	}
	return GO_ON;
}

static void add_session(struct life *l)
{
	struct call *c = &l->call;
	char text[SESSION_TEXT_MAX];

	bool multi = position_is_multi(c->position);

	session_join(&l->session, multi ? SCOPE_MULTI : SCOPE_FLEET, c->position);
	if (c->api->replicator)
		replicator_session_logs(c->api->replicator, &l->session);
	l->session.hlc = MAX(l->session.hlc, c->hlc);
	size_t len = session_encode(&l->session, &c->api->session_key, text);
	if (len > 0)
		add(c->request, STR("isthmus-session"),
		    arena_str(&c->request->arena, (struct str){ text, len }));
}

static void add_ack(struct life *l)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(ACK_WORDS_MAX);
	const struct call *c = &l->call;
	struct request *r = c->request;

	ack_words_write(&c->acked, &words);
	add(r, STR("isthmus-ack"), arena_str(&r->arena, buf_str(&words)));
	if (!c->acked.regions)
		return;
	buf_reset(&words);
	ack_words_write_names(&c->acked, c->api->regions, c->api->region, &words);
	if (!buf_err(&words))
		add(r, STR("isthmus-ack-regions"), arena_str(&r->arena, buf_str(&words)));
}

static bool is_passing(enum err e)
{
	return e == ERR_RATE_LIMITED || e == ERR_UNAVAILABLE || e == ERR_NO_PRIMARY ||
	       e == ERR_NOT_PRIMARY || e == ERR_NOT_READY;
}

static enum outcome mark(struct life *l)
{
	struct call *c = &l->call;
	struct request *r = c->request;
	uint64_t ms;

	add(r, STR("isthmus-region"), (struct str){ c->api->region, strlen(c->api->region) });
	explain(l);
	if (is_passing(l->err))
		add(r, STR("retry-after"), STR("1"));
	/* Said to another region only when nothing was written: it sends the write elsewhere. */
	if (r->peer && (l->err == ERR_NOT_PRIMARY || l->err == ERR_NO_PRIMARY) && c->write.intents_done == 0 &&
	    c->write.position.epoch == 0)
		add(r, STR("isthmus-error"), STR("not-primary"));
	if (!c->touched || (l->err && !c->wrote))
		return GO_ON;
	add_session(l);
	if (c->wrote)
		add_ack(l);
	/* For the region that passed it on: its client shall read there what it wrote. */
	if (c->wrote && r->peer && c->plan.wait && c->write.position.epoch != 0)
		add(r, STR("isthmus-position"),
		    arena_printf(&r->arena, "%" PRIu64 ",%" PRIu64, c->write.position.epoch, c->write.position.seq));
	if (serve_staleness_ms(c->api, &ms))
		add(r, STR("isthmus-staleness-ms"), arena_printf(&r->arena, "%" PRIu64, ms));
	return GO_ON;
}

static void count(const struct life *l)
{
	const struct serve *s = l->serve;
	const struct call *c = &l->call;
	const struct request *r = c->request;
	enum protocol_name api = r->grpc ? API_GRPC : API_REST;
	int code = r->grpc ? r->reply.grpc_status : r->reply.status;
	uint64_t now_ns = clock_mono_ns(c->api->clock);
	char labels[128];

	if (c->method) {
		size_t at = (size_t)(c->method - s->methods);
		if (s->duration[at])
			metric_series_observe(s->duration[at],
					      now_ns > c->started_ns
						      ? (double)(now_ns - c->started_ns) / 1e9
						      : 0);
		if (s->ok[api][at] && code == (r->grpc ? 0 : 200)) {
			metric_series_add(s->ok[api][at], 1);
			return;
		}
	}
	(void)snprintf(labels, sizeof(labels), "%s,%s,%d", api_names[api],
		       c->method ? c->method->name : "none", code);
	metric_series_add(metric_series(METRIC_isthmus_requests_total, labels), 1);
}

static void reply_here(struct life *l)
{
	struct request *r = l->call.request;

	count(l);
	l->call.request = NULL;
	/* A write that goes on frees it when it is done. */
	if (!l->call.write_pending)
		life_free(l);
	request_reply(r);
}

static void reply_task(struct loop_task *t)
{
	reply_here(CONTAINER_OF(CONTAINER_OF(t, struct call, task), struct life, call));
}

static enum outcome reply(struct life *l)
{
	if (pthread_equal(pthread_self(), l->loop_thread)) {
		reply_here(l);
		return LEFT;
	}
	l->call.task.run = reply_task;
	loop_post(l->call.loop, &l->call.task);
	return LEFT;
}

/* --- the serve --- */

static enum err make_series(struct serve *s)
{
	char labels[128];

	s->duration = calloc(s->method_count, sizeof(*s->duration));
	if (!s->duration)
		return ERR_NO_MEMORY;
	for (unsigned api = 0; api < API_COUNT; api++) {
		s->ok[api] = calloc(s->method_count, sizeof(*s->ok[api]));
		if (!s->ok[api])
			return ERR_NO_MEMORY;
	}
	for (uint32_t i = 0; i < s->method_count; i++) {
		const struct method *m = &s->methods[i];
		if (!m->handler)
			continue;
		s->duration[i] = metric_series(METRIC_isthmus_request_duration_seconds, m->name);
		for (unsigned api = 0; api < API_COUNT; api++) {
			(void)snprintf(labels, sizeof(labels), "%s,%s,%d", api_names[api], m->name,
				       api == API_GRPC ? 0 : 200);
			s->ok[api][i] = metric_series(METRIC_isthmus_requests_total, labels);
		}
	}
	return ERR_NONE;
}

enum err serve_new(const struct serve_options *o, struct serve **ret_serve)
{
	struct serve *s = calloc(1, sizeof(*s));
	if (!s)
		return ERR_NO_MEMORY;
	s->api = o->api;
	s->auth = o->auth;
	s->waiting_max = MAX(pool_threads(o->api->pool) / 2, 1u);
	s->methods = method_table(&s->method_count);
	enum err err = make_series(s);
	if (err) {
		serve_free(s);
		return err;
	}
	*ret_serve = s;
	return ERR_NONE;
}

void serve_free(struct serve *s)
{
	if (!s)
		return;
	ASSERT(serve_pending(s) == 0);
	for (unsigned api = 0; api < API_COUNT; api++)
		free(s->ok[api]);
	free(s->duration);
	free(s);
}

uint64_t serve_pending(const struct serve *s)
{
	return atomic_load(&s->pending);
}
