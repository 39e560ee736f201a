/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fleet as this region sees it, handing over the primary's role, and what other regions ask over their own port.
 */
#include "gateway/admin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "gateway/proxy.h"
#include "gateway/writers.h"

#define REGIONS_BYTES_MAX ((size_t)64 << 10)
/* One message of ops; a single op may be greater than its aim. */
#define PEER_LOG_BYTES_MAX ((size_t)64 << 20)

static enum err keep(struct call *c, const struct buf *b, struct str *ret_text)
{
	if (buf_err(b))
		return buf_err(b);
	*ret_text = call_own(c, buf_str(b));
	return ret_text->data ? ERR_NONE : ERR_NO_MEMORY;
}

static void put_key(struct json_writer *w, const char *key)
{
	json_put_key(w, (struct str){ key, strlen(key) });
}

static void put_text(struct json_writer *w, const char *key, const char *value)
{
	put_key(w, key);
	json_put_cstr(w, value);
}

static void put_position(struct json_writer *w, const char *key, struct position p)
{
	put_key(w, key);
	json_put_array(w);
	json_put_u64(w, p.epoch);
	json_put_u64(w, p.seq);
	json_put_array_end(w);
}

/* --- the table of regions --- */

struct view {
	struct call *call;
	struct replicator_state state;
	uint8_t writer;                   /* id; 0: nobody writes */
};

/* What holds of a region, whichever it is. */
struct standing_row {
	const struct region *region;
	bool heard;
	uint64_t silent_ms;
	struct position position;
	struct position confirmed;
	double lag_seconds;               /* of that region behind the writer's log */
	bool connected;
	uint64_t rtt_us;
	int64_t clock_offset_ms;
};

static void fill_row(const struct view *v, struct standing_row *row)
{
	struct replicator *r = v->call->api->replicator;
	struct peers *peers = replicator_peers(r);
	struct peer_pool *pool = proxy_pool(v->call->api->proxy);
	struct peer_reach reach = { 0 };

	row->lag_seconds = PEERS_LAG_UNKNOWN_SECONDS;
	if (row->region->self) {
		row->heard = row->connected = true;
		row->position = v->state.commit.position;
		row->confirmed = v->state.confirmed;
		row->lag_seconds = v->state.staleness_seconds;
		return;
	}
	for (uint32_t i = 0; i < peers_count(peers); i++) {
		struct peer_standing s;
		peers_standing(peers, i, &s);
		if (s.config->id != row->region->id)
			continue;
		row->heard = s.heard;
		row->silent_ms = s.silent_ms;
		row->position = s.position;
		row->confirmed = s.confirmed;
		row->clock_offset_ms = s.clock_offset_ms;
		if (s.config->data && s.config->id == v->state.commit.writer)
			row->lag_seconds = 0;
		else if (s.config->data && s.heard)
			row->lag_seconds = peers_lag_of_seconds(peers, v->state.commit.writer, s.position);
	}
	row->connected = pool && peer_pool_reach(pool, row->region->id, &reach) && reach.open;
	row->rtt_us = reach.rtt_us;
}

static const char *role_of(const struct view *v, const struct region *r)
{
	if (!r->data)
		return r->witness ? "witness" : "gateway";
	return r->id == v->writer ? "primary" : "secondary";
}

static void put_measured(struct json_writer *w, const struct standing_row *row)
{
	put_key(w, "silent_ms");
	if (row->heard)
		json_put_u64(w, row->silent_ms);
	else
		json_put_null(w);
	put_position(w, "position", row->position);
	put_position(w, "confirmed", row->confirmed);
	put_key(w, "lag_seconds");
	if (row->lag_seconds < PEERS_LAG_UNKNOWN_SECONDS)
		json_put_f64(w, row->lag_seconds);
	else
		json_put_null(w);
	put_key(w, "clock_offset_ms");
	json_put_i64(w, row->clock_offset_ms);
	put_key(w, "connected");
	json_put_bool(w, row->connected);
	put_key(w, "rtt_ms");
	json_put_f64(w, (double)row->rtt_us / 1000);
}

static void put_row(const struct view *v, const struct region *r, struct json_writer *w)
{
	struct standing_row row = { .region = r };

	fill_row(v, &row);
	json_put_object(w);
	put_text(w, "name", r->name);
	put_key(w, "id");
	json_put_u64(w, r->id);
	put_text(w, "role", role_of(v, r));
	put_key(w, "self");
	json_put_bool(w, r->self);
	put_key(w, "lat");
	json_put_f64(w, r->lat);
	put_key(w, "lon");
	json_put_f64(w, r->lon);
	put_text(w, "rest", r->rest);
	put_text(w, "grpc", r->grpc);
	put_key(w, "heard");
	json_put_bool(w, row.heard);
	put_measured(w, &row);
	json_put_object_end(w);
}

static void put_fleet(const struct view *v, struct json_writer *w)
{
	const struct regions *regions = v->call->api->regions;
	const struct region *writer = regions_by_id(regions, v->writer);

	put_text(w, "region", v->call->api->region);
	put_key(w, "primary");
	if (writer)
		json_put_cstr(w, writer->name);
	else
		json_put_null(w);
	put_key(w, "epoch");
	json_put_u64(w, v->call->api->gateway_only ? peers_newest_epoch(replicator_peers(v->call->api->replicator))
						   : v->state.commit.epoch);
	put_key(w, "handing_over");
	json_put_bool(w, v->state.handing_over);
	put_key(w, "held_writes");
	json_put_u64(w, proxy_held(v->call->api->proxy));
	put_key(w, "regions");
	json_put_array(w);
	for (uint32_t i = 0; i < regions->count; i++)
		put_row(v, &regions->rows[i], w);
	json_put_array_end(w);
}

void admin_regions(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(REGIONS_BYTES_MAX);
	struct json_writer w = json_writer_to(&b);
	struct msg_json_document *out = c->out;
	struct view v = { .call = c };

	json_put_object(&w);
	if (c->api->proxy) {
		enum err err = replicator_admit(c->api->replicator, &v.writer, NULL);
		if (!err)
			v.writer = c->api->region_id;
		replicator_state(c->api->replicator, &v.state);
		put_fleet(&v, &w);
	} else {
		put_text(&w, "region", c->api->region);
		put_key(&w, "regions");
		json_put_array(&w);
		json_put_array_end(&w);
	}
	json_put_object_end(&w);
	call_finish(c, keep(c, &b, &out->json));
}

/* --- switchover --- */

struct switchover {
	struct call *call;
	const struct region *target;
	uint64_t timeout_ms;
};

static enum err report(struct call *c, const struct switchover *s, const struct switchover_report *done)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(REGIONS_BYTES_MAX);
	struct json_writer w = json_writer_to(&b);
	struct msg_json_document *out = c->out;
	uint64_t epoch = peers_newest_epoch(replicator_peers(c->api->replicator));

	json_put_object(&w);
	put_text(&w, "from", c->api->region);
	put_text(&w, "to", s->target->name);
	put_key(&w, "epoch");
	json_put_u64(&w, epoch);
	/* Of the old epoch: this region may be in the new one already, and further on in it. */
	put_position(&w, "end", done->end);
	put_key(&w, "pause_ms");
	json_put_u64(&w, done->pause_ms);
	json_put_object_end(&w);
	return keep(c, &b, &out->json);
}

/* It waits for another region: a thread for itself, of which the replicator lets one at a time do anything. */
static void *run_switchover(void *arg)
{
	struct switchover s = *(struct switchover *)arg;
	struct call *c = s.call;
	struct switchover_report done;

	free(arg);
	enum err err = replicator_switchover(c->api->replicator, s.target->id, s.timeout_ms, &done, &c->fault);
	call_finish_on_loop(c, err ? err : report(c, &s, &done));
	return NULL;
}

static enum err start_switchover(struct call *c, const struct region *target, uint64_t timeout_ms)
{
	struct switchover *s = malloc(sizeof(*s));
	pthread_attr_t attr;
	pthread_t thread;

	if (!s)
		return ERR_NO_MEMORY;
	*s = (struct switchover){ .call = c, .target = target, .timeout_ms = timeout_ms };
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int errnum = pthread_create(&thread, &attr, run_switchover, s);
	(void)pthread_attr_destroy(&attr);
	if (errnum == 0)
		return ERR_NONE;
	free(s);
	return err_from_errno(errnum);
}

void admin_switchover(struct call *c)
{
	const struct msg_switchover *in = c->in;
	const struct region *target = c->api->regions ? regions_by_name(c->api->regions, in->to) : NULL;
	enum err err = ERR_NONE;

	if (!c->api->proxy)
		err = fault_set(&c->fault, ERR_BAD_INPUT, "this region is alone: there is no other one to hand over to");
	else if (!target || !target->data)
		err = fault_set(&c->fault, ERR_BAD_INPUT, "to: '%.*s' is no data region of this fleet", STR_FMT(in->to));
	else
		err = start_switchover(c, target, in->timeout_ms);
	if (err)
		call_finish(c, err);
}

/* --- what other regions ask --- */

void admin_peer_log(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(PEER_LOG_BYTES_MAX);
	const struct msg_peer_log *in = c->in;
	struct msg_bytes *out = c->out;
	const struct position after = { in->epoch, in->seq };
	enum err err = replicator_log(c->api->replicator, (uint16_t)in->scope, after, &b, &c->fault);

	call_finish(c, err ? err : keep(c, &b, &out->data));
}

void admin_peer_standing(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STANDING_BYTES_MAX);
	const struct msg_peer_standing *in = c->in;
	struct msg_bytes *out = c->out;
	enum err err;

	if (in->scope == SCOPE_MULTI)
		err = replicator_standing(c->api->replicator, &b);
	else if (in->scope != SCOPE_FLEET)
		err = fault_set(&c->fault, ERR_NOT_FOUND, "there is no scope %u", in->scope);
	else
		err = replicator_heartbeat(c->api->replicator, &b);
	call_finish(c, err ? err : keep(c, &b, &out->data));
}

void admin_peer_chain(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(CHAIN_BYTES_MAX);
	struct msg_bytes *out = c->out;
	enum err err = replicator_chain(c->api->replicator, &b);

	call_finish(c, err ? err : keep(c, &b, &out->data));
}

void admin_peer_writers(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(WRITERS_BYTES_MAX);
	struct msg_bytes *out = c->out;
	enum err err = writers_answer(c->api->catalog, c->api->committer, &b);

	call_finish(c, err ? err : keep(c, &b, &out->data));
}
