/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/proxy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metric.h"
#include "base/panic.h"
#include "gateway/forwarded.h"
#include "gateway/grpc.h"
#include "gateway/protocol.h"

#define NS_PER_MS UINT64_C(1000000)
#define HEADERS_OF_OURS 7   /* that every passed request gets at most */
#define GRPC_UNAVAILABLE STR("14")

struct proxy {
	struct proxy_options options;
	struct peer_pool *pool;
	atomic_uint held;
};

static bool same(struct str a, struct str b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static bool begins(struct str s, struct str with)
{
	return s.len >= with.len && memcmp(s.data, with.data, with.len) == 0;
}

static uint64_t now(const struct proxy_task *t)
{
	return loop_now_ns(t->request->loop);
}

static bool parse_small(struct str text, uint32_t *ret_value)
{
	uint32_t v = 0;

	if (text.len == 0 || text.len > 6)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(text.data[i] - '0');
	}
	*ret_value = v;
	return true;
}

uint32_t proxy_hops(const struct request *r)
{
	uint32_t hops = PROXY_HOPS_MAX;
	struct str text = request_header(r, "isthmus-hops");

	/* A peer that counts in another way is not to be passed on. */
	if (r->peer && text.data)
		return parse_small(text, &hops) ? hops : PROXY_HOPS_MAX;
	return r->peer ? 1 : 0;
}

/* --- the request that goes out -------------------------------------------------------------- */

/* Lower-case names, as in struct request. */
static bool passes(const struct request *r, struct str name)
{
	static const struct str plain[] = {
		STR("content-type"), STR("accept"),     STR("grpc-encoding"), STR("grpc-accept-encoding"),
		STR("user-agent"),   STR("traceparent"), STR("tracestate"),    STR("origin"),
		STR("content-encoding"),
	};
	static const struct str between[] = {
		STR("isthmus-hops"),   STR("isthmus-via"),   STR("isthmus-client"),
		STR("isthmus-access"), STR("isthmus-error"), STR("isthmus-position"),
	};

	for (size_t i = 0; i < LEN(plain); i++)
		if (same(name, plain[i]))
			return true;
	if (!begins(name, STR("isthmus-")))
		return false;
	for (size_t i = 0; i < LEN(between); i++)
		if (same(name, between[i]))
			return r->peer && i == 2;
	return true;
}

static bool is_printable(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static void put(struct proxy_task *t, struct str name, struct str value)
{
	t->headers[t->header_count++] = (struct header){ .name = name, .value = value };
}

static struct str text_of(const char *s)
{
	return (struct str){ .data = s, .len = strlen(s) };
}

static struct str client_address(const struct proxy_task *t)
{
	struct request *r = t->request;
	const struct sockaddr_storage *client = t->client ? t->client : &r->client;
	char text[FORWARDED_ADDRESS_TEXT];

	forwarded_write_address((const struct sockaddr *)client, text);
	return *text ? arena_str(&r->arena, text_of(text)) : STR("local");
}

/* The path that it took: regions, the newest last. */
static struct str via(struct proxy_task *t)
{
	struct request *r = t->request;
	struct str before = r->peer ? request_header(r, "isthmus-via") : (struct str){ 0 };
	const struct region *self = regions_self(t->proxy->options.regions);
	const char *name = self ? self->name : "local";

	return before.data ? arena_printf(&r->arena, "%.*s, %s", STR_FMT(before), name) : text_of(name);
}

static enum err make_headers(struct proxy_task *t)
{
	struct request *r = t->request;

	t->headers = arena_array(&r->arena, r->header_count + HEADERS_OF_OURS, sizeof(*t->headers));
	struct str from = r->peer ? STR("") : client_address(t);
	struct str by = via(t);
	struct str access = auth_grant_words(t->grant, &r->arena);
	if (!t->headers || !from.data || !by.data || !access.data)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < r->header_count; i++)
		if (passes(r, r->headers[i].name) && is_printable(r->headers[i].value))
			put(t, r->headers[i].name, r->headers[i].value);
	if (!r->peer)
		put(t, STR("isthmus-client"), from);
	put(t, STR("isthmus-via"), by);
	put(t, STR("isthmus-access"), access);
	(void)snprintf(t->hops, sizeof(t->hops), "%" PRIu32, proxy_hops(r) + 1);
	put(t, STR("isthmus-hops"), text_of(t->hops));
	if (r->grpc)
		put(t, STR("te"), STR("trailers"));
	return ERR_NONE;
}

/* Of `timeout=` in the query, in seconds as Qdrant has it; 0: none. */
static uint64_t query_timeout_ms(struct str query)
{
	const struct str name = STR("timeout=");
	uint32_t seconds;

	while (query.len > 0) {
		const char *end = memchr(query.data, '&', query.len);
		struct str pair = { .data = query.data, .len = end ? (size_t)(end - query.data) : query.len };
		if (begins(pair, name) &&
		    parse_small((struct str){ .data = pair.data + name.len, .len = pair.len - name.len }, &seconds))
			return (uint64_t)seconds * 1000;
		size_t passed = pair.len + (end != NULL);
		query = (struct str){ .data = query.data + passed, .len = query.len - passed };
	}
	return 0;
}

static void set_deadline(struct proxy_task *t)
{
	const struct request *r = t->request;
	struct str text = request_header(r, "grpc-timeout");
	uint64_t asked_ms = query_timeout_ms(r->query), ns;
	uint64_t ms = asked_ms ? MIN(asked_ms, (uint64_t)PROXY_TIMEOUT_MS_MAX) + PROXY_TIMEOUT_GRACE_MS
			       : PROXY_TIMEOUT_MS;

	t->deadline_ns = now(t) + ms * NS_PER_MS;
	if (r->grpc && text.data && grpc_parse_timeout(text, &ns))
		t->deadline_ns = now(t) + MIN(ns, PROXY_TIMEOUT_MS_MAX * NS_PER_MS);
}

static enum err prepare(struct proxy_task *t)
{
	if (t->headers)
		return ERR_NONE;
	if (proxy_hops(t->request) >= PROXY_HOPS_MAX)
		return fault_set(&t->fault, ERR_UNAVAILABLE, "the request was passed on %d times already", PROXY_HOPS_MAX);
	set_deadline(t);
	return make_headers(t);
}

/* --- the end of a task ---------------------------------------------------------------------- */

static void unhold(struct proxy_task *t)
{
	if (!t->held)
		return;
	t->held = false;
	atomic_fetch_sub(&t->proxy->held, 1);
	metric_add(METRIC_isthmus_held_writes, -1);
}

static void end(struct proxy_task *t, enum proxy_outcome outcome, enum err err)
{
	unhold(t);
	t->outcome = outcome;
	t->err = err;
	h2_exchange_release(&t->exchange);
	t->done(t);
}

static void fail(struct proxy_task *t, enum err err)
{
	t->fault.err = err;
	end(t, PROXY_FAILED, err);
}

static const char *name_of(const struct proxy_task *t)
{
	const struct region *r = regions_by_id(t->proxy->options.regions, t->region);

	return r ? r->name : "unknown";
}

static void count(const struct proxy_task *t, const char *outcome)
{
	char labels[STREAM_NAME_TEXT + 16];

	(void)snprintf(labels, sizeof(labels), "%s,%s", name_of(t), outcome);
	metric_series_add(metric_series(METRIC_isthmus_forwarded_total, labels), 1);
}

/* --- the reply that comes back -------------------------------------------------------------- */

static bool comes_back(struct str name)
{
	static const struct str plain[] = { STR("content-type"), STR("grpc-encoding"), STR("grpc-accept-encoding"),
					    STR("retry-after"), STR("alt-svc") };

	for (size_t i = 0; i < LEN(plain); i++)
		if (same(name, plain[i]))
			return true;
	if (begins(name, STR("access-control-")))
		return true;
	return begins(name, STR("isthmus-")) && !same(name, STR("isthmus-error")) && !same(name, STR("isthmus-position"));
}

static enum err take_headers(struct proxy_task *t)
{
	struct request *r = t->request;
	const struct h2_exchange *x = &t->exchange;
	enum err err = ERR_NONE;

	r->reply.header_count = 0;
	for (uint32_t i = 0; i < x->reply_header_count && !err; i++) {
		const struct header *h = &x->reply_headers[i];
		if (!comes_back(h->name))
			continue;
		struct str name = arena_str(&r->arena, h->name), value = arena_str(&r->arena, h->value);
		err = name.data && value.data ? request_add_header(r, name, value) : ERR_NO_MEMORY;
	}
	return err ? err : request_add_header(r, STR("isthmus-via"), via(t));
}

/* Trailers, or headers of a reply that has no more: the statuses of gRPC are two digits at most. */
static enum err take_grpc_status(struct proxy_task *t)
{
	struct request *r = t->request;
	const struct h2_exchange *x = &t->exchange;
	uint32_t status;

	if (!parse_small(h2_exchange_header(x, "grpc-status"), &status))
		return fault_set(&t->fault, ERR_BAD_GATEWAY, "region %s answered without a status of gRPC", name_of(t));
	r->reply.grpc_status = (int)status;
	struct str words = h2_exchange_header(x, "grpc-message");
	if (!words.data)
		return ERR_NONE;
	if (method_decode(words, false, &r->arena, &words))
		words = STR("");
	r->reply.grpc_message = arena_str(&r->arena, words);
	return r->reply.grpc_message.data ? ERR_NONE : ERR_NO_MEMORY;
}

static enum err take_reply(struct proxy_task *t)
{
	struct request *r = t->request;
	enum err err = take_headers(t);

	if (!err && r->grpc)
		err = take_grpc_status(t);
	if (err)
		return err;
	r->reply.status = t->exchange.status;
	buf_release(&r->reply.body);
	r->reply.body = t->exchange.reply;
	t->exchange.reply = (struct buf){ 0 };
	return ERR_NONE;
}

static void give_back(struct proxy_task *t)
{
	count(t, "reply");
	enum err err = take_reply(t);
	if (!err) {
		end(t, PROXY_REPLIED, ERR_NONE);
		return;
	}
	t->request->reply.header_count = 0;
	t->request->reply.grpc_status = -1;
	fail(t, err);
}

/* --- until it can be read here --------------------------------------------------------------- */

static bool parse_number(struct str text, uint64_t *ret_value)
{
	uint64_t v = 0;

	if (text.len == 0 || text.len > 20)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint64_t digit = (uint64_t)(text.data[i] - '0');
		if (text.data[i] < '0' || text.data[i] > '9' || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*ret_value = v;
	return true;
}

/* "epoch,seq"; false: there is none, or it is not to be waited for. */
static bool take_position(struct proxy_task *t)
{
	struct str text = h2_exchange_header(&t->exchange, "isthmus-position");
	const char *comma = text.data ? memchr(text.data, ',', text.len) : NULL;

	if (!comma)
		return false;
	struct str epoch = { text.data, (size_t)(comma - text.data) };
	struct str seq = { comma + 1, text.len - epoch.len - 1 };
	return parse_number(epoch, &t->position.epoch) && parse_number(seq, &t->position.seq);
}

/* Reads from here would not see it for long: who writes all the same is not held up. */
static bool lags(const struct proxy *p)
{
	const struct region *self = regions_self(p->options.regions);

	return self && self->data && replicator_staleness_seconds(p->options.replicator) * 1000 > PROXY_SEEN_MS;
}

static void look(struct proxy_task *t);

static void on_look(struct loop_timer *timer)
{
	look(CONTAINER_OF(timer, struct proxy_task, timer));
}

static void look(struct proxy_task *t)
{
	if (replicator_reads(t->proxy->options.replicator, t->position) || now(t) >= t->seen_until_ns ||
	    atomic_load_explicit(&t->request->cancelled, memory_order_relaxed)) {
		give_back(t);
		return;
	}
	t->timer.on_fire = on_look;
	loop_timer_start(t->request->loop, &t->timer, MIN(UINT64_C(1) << MIN(t->looks, 8u), (uint64_t)PROXY_LOOK_MS_MAX));
	t->looks++;
}

static void give_back_seen(struct proxy_task *t)
{
	if (!take_position(t) || lags(t->proxy)) {
		give_back(t);
		return;
	}
	unhold(t);
	t->seen_until_ns = MIN(now(t) + PROXY_SEEN_MS * NS_PER_MS, t->deadline_ns);
	look(t);
}

/* The region says that it is not the one to write, so it has not. */
static bool says_not_primary(const struct proxy_task *t)
{
	const struct h2_exchange *x = &t->exchange;
	struct str why = h2_exchange_header(x, "isthmus-error");

	if (x->err || !why.data || !same(why, STR("not-primary")))
		return false;
	return t->request->grpc ? same(h2_exchange_header(x, "grpc-status"), GRPC_UNAVAILABLE) : x->status == 503;
}

/* --- sending -------------------------------------------------------------------------------- */

static void on_answer(struct h2_exchange *x);

/* Not the one that the client's gateway was given, but what is left of it. */
static void put_timeout(struct proxy_task *t, uint32_t *count)
{
	uint64_t now_ns = now(t);
	uint64_t left_ms = t->deadline_ns > now_ns ? (t->deadline_ns - now_ns) / NS_PER_MS : 0;

	if (!t->request->grpc || !request_header(t->request, "grpc-timeout").data)
		return;
	(void)snprintf(t->timeout, sizeof(t->timeout), "%" PRIu64 "m", MAX(left_ms, (uint64_t)1));
	t->headers[(*count)++] = (struct header){ .name = STR("grpc-timeout"), .value = text_of(t->timeout) };
}

static struct str target(struct request *r)
{
	if (r->query.len == 0)
		return r->path;
	return arena_printf(&r->arena, "%.*s?%.*s", STR_FMT(r->path), STR_FMT(r->query));
}

/* False: it cannot be asked, and the fault says why. */
static bool send_to(struct proxy_task *t, uint8_t region)
{
	struct request *r = t->request;
	struct peer_pool *pool = t->proxy->pool;
	struct h2_client *client = pool ? peer_pool_client(pool, r->loop, region) : NULL;
	uint32_t header_count = t->header_count;

	t->region = region;
	if (!client) {
		(void)fault_set(&t->fault, ERR_UNAVAILABLE, "region %u is not in the configuration of this one, or a drill cuts it off", region);
		return false;
	}
	h2_exchange_release(&t->exchange);
	put_timeout(t, &header_count);
	t->exchange = (struct h2_exchange){
		.verb = r->grpc ? VERB_POST : r->verb,
		.path = target(r),
		.headers = t->headers,
		.header_count = header_count,
		.body = buf_bytes(&r->body),
		.deadline_ns = t->deadline_ns,
		.reply_bytes_max = PROXY_REPLY_BYTES_MAX,
		.done = on_answer,
	};
	if (!t->exchange.path.data) {
		(void)fault_set(&t->fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
		return false;
	}
	h2_client_send(client, &t->exchange);
	return true;
}

/* --- writes --------------------------------------------------------------------------------- */

static void try_write(struct proxy_task *t);

static void on_retry(struct loop_timer *timer)
{
	struct proxy_task *t = CONTAINER_OF(timer, struct proxy_task, timer);

	if (atomic_load_explicit(&t->request->cancelled, memory_order_relaxed))
		fail(t, ERR_CANCELLED);
	else
		try_write(t);
}

/* Nobody takes it at this moment; t->fault says why. */
static void hold(struct proxy_task *t, enum err why)
{
	struct proxy *p = t->proxy;

	if (t->hold_until_ns == 0)
		t->hold_until_ns = MIN(now(t) + p->options.hold_ms * NS_PER_MS, t->deadline_ns);
	if (now(t) >= t->hold_until_ns) {
		fail(t, why);
		return;
	}
	if (!t->held) {
		if (atomic_fetch_add(&p->held, 1) >= p->options.held_max) {
			atomic_fetch_sub(&p->held, 1);
			fail(t, fault_set(&t->fault, ERR_RATE_LIMITED, "too many writes wait for a primary; retry later"));
			return;
		}
		t->held = true;
		metric_add(METRIC_isthmus_held_writes, 1);
	}
	t->timer.on_fire = on_retry;
	/* Most of the time somebody is about to write: a switchover takes some ten milliseconds. */
	uint64_t ms = MIN((uint64_t)PROXY_RETRY_MS << MIN(t->retries / 8, 8u), (uint64_t)PROXY_RETRY_MS_MAX);
	t->retries++;
	loop_timer_start(t->request->loop, &t->timer, ms);
}

static uint8_t next_ordered(struct proxy_task *t);

/* To one of those that need not be the primary; false: there is none left. */
static bool try_ordered(struct proxy_task *t)
{
	while (t->order_count > 0) {
		uint8_t id = next_ordered(t);
		if (id != 0 && send_to(t, id))
			return true;
		if (id == 0)
			t->order_count = 0;
	}
	return false;
}

static void try_write(struct proxy_task *t)
{
	uint8_t writer = 0;

	if (try_ordered(t))
		return;
	enum err err = replicator_admit(t->proxy->options.replicator, &writer, &t->fault);

	if (!err) {
		end(t, PROXY_HERE, ERR_NONE);
		return;
	}
	if (err != ERR_NOT_PRIMARY) {
		fail(t, err);
		return;
	}
	if (writer == 0 || !send_to(t, writer))
		hold(t, writer == 0 ? ERR_NO_PRIMARY : ERR_UNAVAILABLE);
}

static void write_answered(struct proxy_task *t)
{
	const struct h2_exchange *x = &t->exchange;

	if (t->order_count > 0 && (says_not_primary(t) || (x->err && x->surely_not_taken))) {
		count(t, "not_taken");
		/* What every region may take this one does not know as such: the primary knows best. */
		if (!x->err)
			t->order_count = 0;
		try_write(t);
	} else if (says_not_primary(t)) {
		count(t, "not_taken");
		(void)fault_set(&t->fault, ERR_NO_PRIMARY, "region %s does not write any more, and no other one does yet",
				name_of(t));
		hold(t, ERR_NO_PRIMARY);
	} else if (!x->err) {
		give_back_seen(t);
	} else if (x->surely_not_taken) {
		count(t, "not_taken");
		t->fault = x->fault;
		hold(t, x->err == ERR_RATE_LIMITED ? ERR_RATE_LIMITED : ERR_UNAVAILABLE);
	} else {
		count(t, "unknown");
		fail(t, fault_set(&t->fault, ERR_BAD_GATEWAY,
				  "outcome unknown: the write was sent to region %s and may or may not have been written (%.200s)",
				  name_of(t), x->fault.text));
	}
}

void proxy_write(struct proxy_task *t)
{
	t->write = true;
	enum err err = prepare(t);
	if (err)
		fail(t, err);
	else
		try_write(t);
}

void proxy_write_again(struct proxy_task *t, enum err why)
{
	struct fault fault = t->fault;

	t->write = true;
	enum err err = prepare(t);
	if (err) {
		fail(t, err);
		return;
	}
	t->fault = fault;
	hold(t, why);
}

/* --- reads ---------------------------------------------------------------------------------- */

/* What a read wants to know of a region. */
struct candidate {
	bool usable;       /* holds data, can be reached, was not tried, is not this one */
	bool heard;
};

static struct candidate candidate_of(struct proxy *p, const struct region *r)
{
	struct peers *peers = replicator_peers(p->options.replicator);
	struct candidate c = { 0 };
	struct peer_reach reach;

	c.usable = r->data && !r->self && p->pool && peer_pool_reach(p->pool, r->id, &reach) && reach.open;
	for (uint32_t i = 0; c.usable && i < peers_count(peers); i++) {
		struct peer_standing s;
		peers_standing(peers, i, &s);
		if (s.config->id == r->id)
			c.heard = s.heard && s.silent_ms <= PROXY_HEARD_MS;
	}
	return c;
}

/* The next in the order that the caller gave. 0: there is none. */
static uint8_t next_ordered(struct proxy_task *t)
{
	const struct regions *regions = t->proxy->options.regions;

	for (uint32_t i = 0; i < t->order_count; i++) {
		const struct region *r = regions_by_id(regions, t->order[i]);
		if (!r || (t->tried >> (r - regions->rows) & 1) != 0 || !candidate_of(t->proxy, r).usable)
			continue;
		t->tried |= UINT64_C(1) << (r - regions->rows);
		return r->id;
	}
	return 0;
}

/* In the order of the configuration one that was heard, else any. 0: there is none. */
static uint8_t next_region(struct proxy_task *t)
{
	const struct regions *regions = t->proxy->options.regions;
	const struct region *best = NULL;
	bool heard = false;

	if (t->order_count > 0)
		return next_ordered(t);

	for (uint32_t i = 0; i < regions->count && !heard; i++) {
		struct candidate c = candidate_of(t->proxy, &regions->rows[i]);
		if (!c.usable || (t->tried >> i & 1) != 0 || (best && !c.heard))
			continue;
		best = &regions->rows[i];
		heard = c.heard;
	}
	if (!best)
		return 0;
	t->tried |= UINT64_C(1) << (best - regions->rows);
	return best->id;
}

bool proxy_can_read(struct proxy *p)
{
	const struct regions *regions = p->options.regions;

	for (uint32_t i = 0; i < regions->count; i++) {
		struct candidate c = candidate_of(p, &regions->rows[i]);
		if (c.usable && c.heard)
			return true;
	}
	return false;
}

static void try_read(struct proxy_task *t)
{
	for (;;) {
		uint8_t id = next_region(t);
		if (id == 0) {
			if (!t->fault.err)
				(void)fault_set(&t->fault, ERR_UNAVAILABLE, "no region that holds data can be reached");
			fail(t, ERR_UNAVAILABLE);
			return;
		}
		if (send_to(t, id))
			return;
	}
}

static void read_answered(struct proxy_task *t)
{
	const struct h2_exchange *x = &t->exchange;

	if (!x->err) {
		give_back(t);
		return;
	}
	count(t, x->surely_not_taken ? "not_taken" : "unknown");
	t->fault = x->fault;
	if (t->may_go_elsewhere && x->err == ERR_UNAVAILABLE)
		try_read(t);
	else
		fail(t, x->err);
}

void proxy_read(struct proxy_task *t, uint8_t region)
{
	enum err err = prepare(t);

	t->may_go_elsewhere = region == 0;
	if (err)
		fail(t, err);
	else if (region == 0)
		try_read(t);
	else if (!send_to(t, region))
		fail(t, t->fault.err);
}

static void on_answer(struct h2_exchange *x)
{
	struct proxy_task *t = CONTAINER_OF(x, struct proxy_task, exchange);

	if (t->write)
		write_answered(t);
	else
		read_answered(t);
}

/* --- life ----------------------------------------------------------------------------------- */

enum err proxy_new(const struct proxy_options *o, struct proxy **ret_proxy)
{
	struct proxy *p = calloc(1, sizeof(*p));
	if (!p)
		return ERR_NO_MEMORY;
	p->options = *o;
	*ret_proxy = p;
	return ERR_NONE;
}

void proxy_free(struct proxy *p)
{
	if (!p)
		return;
	ASSERT(atomic_load(&p->held) == 0);
	free(p);
}

void proxy_set_pool(struct proxy *p, struct peer_pool *pool)
{
	p->pool = pool;
}

struct peer_pool *proxy_pool(struct proxy *p)
{
	return p->pool;
}

uint32_t proxy_held(const struct proxy *p)
{
	return atomic_load(&p->held);
}
