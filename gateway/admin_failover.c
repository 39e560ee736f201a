/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failover by operators: having a region stand, giving regions up, and the voter list. What waits for other regions runs on a
 * thread for itself, of which the replicator lets one at a time do anything.
 */
#include "gateway/admin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "gateway/region.h"
#include "replicator/replicator.h"
#include "replicator/stand.h"

#define REPLY_BYTES_MAX ((size_t)64 << 10)
#define WORDS_BYTES_MAX 1024
#define STORE_TEXT_BYTES 4 /* of a store's id, for people to tell two apart */

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
	if (value)
		json_put_cstr(w, value);
	else
		json_put_null(w);
}

static void put_number(struct json_writer *w, const char *key, uint64_t value)
{
	put_key(w, key);
	json_put_u64(w, value);
}

static void put_position(struct json_writer *w, const char *key, struct position p)
{
	put_key(w, key);
	json_put_array(w);
	json_put_u64(w, p.epoch);
	json_put_u64(w, p.seq);
	json_put_array_end(w);
}

static const char *name_of(const struct api *api, uint8_t region)
{
	const struct region *r = regions_by_id(api->regions, region);

	return r ? r->name : NULL;
}

static enum err alone(struct call *c)
{
	return fault_set(&c->fault, ERR_BAD_INPUT, "this region is alone: there is no other one");
}

/* --- a thread for what waits --- */

static enum err start(struct call *c, void *(*run)(void *))
{
	pthread_attr_t attr;
	pthread_t thread;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int errnum = pthread_create(&thread, &attr, run, c);
	(void)pthread_attr_destroy(&attr);
	return errnum == 0 ? ERR_NONE : err_from_errno(errnum);
}

/* --- failover --- */

static void put_loss(struct json_writer *w, const struct lease_loss *l)
{
	put_key(w, "loss");
	if (!l->known) {
		json_put_null(w);
		return;
	}
	bool lost = position_compare(l->last, l->best) > 0;
	json_put_object(w);
	put_number(w, "ms", l->ms);
	put_key(w, "writes");
	if (lost && l->last.epoch != l->best.epoch)
		json_put_null(w);
	else
		json_put_u64(w, lost ? l->last.seq - l->best.seq : 0);
	put_position(w, "last_told", l->last);
	put_position(w, "kept", l->best);
	json_put_object_end(w);
}

static enum err report(struct call *c, const struct failover_report *done, const struct voter_list *forced)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(REPLY_BYTES_MAX);
	struct json_writer w = json_writer_to(&b);
	struct msg_json_document *out = c->out;

	json_put_object(&w);
	put_text(&w, "primary", name_of(c->api, done->primary));
	put_text(&w, "before", name_of(c->api, done->before));
	put_number(&w, "epoch", done->epoch);
	put_number(&w, "took_ms", done->took_ms);
	put_loss(&w, &done->loss);
	put_key(&w, "voter_list");
	if (forced->count > 0)
		json_put_u64(&w, forced->number);
	else
		json_put_null(&w);
	json_put_object_end(&w);
	return keep(c, &b, &out->json);
}

static enum err read_lost(struct call *c, struct voter_set *ret_lost)
{
	const struct msg_failover *in = c->in;

	if (!in->has_fleet)
		return fault_set(&c->fault, ERR_BAD_INPUT, "fleet: its name is needed to give regions up for good");
	for (uint32_t i = 0; i < in->lost.count; i++) {
		const struct region *r = regions_by_name(c->api->regions, in->lost.items[i]);
		if (!r)
			return fault_set(&c->fault, ERR_BAD_INPUT, "lost: '%.*s' is no region of this fleet",
					 (int)MIN(in->lost.items[i].len, (size_t)64), in->lost.items[i].data);
		voter_set_add(ret_lost, r->id);
	}
	if (!replicator_is_fleet(c->api->replicator, in->fleet))
		return fault_set(&c->fault, ERR_BAD_INPUT, "fleet: this is not '%.*s'", (int)MIN(in->fleet.len, (size_t)64),
				 in->fleet.data);
	return ERR_NONE;
}

static enum err fail_over(struct call *c)
{
	const struct msg_failover *in = c->in;
	struct failover_options o = { .accept_loss = in->accept_loss, .timeout_ms = in->timeout_ms };
	const struct region *to = in->has_to ? regions_by_name(c->api->regions, in->to) : NULL;
	struct failover_report done = { 0 };
	struct voter_list forced = { 0 };
	struct voter_set lost = { 0 };
	enum err err;

	if (in->has_to && (!to || !to->data))
		return fault_set(&c->fault, ERR_BAD_INPUT, "to: '%.*s' is no data region of this fleet", STR_FMT(in->to));
	o.to = to ? to->id : 0;
	if (!in->has_lost) {
		err = replicator_failover(c->api->replicator, &o, &done, &c->fault);
		return err ? err : report(c, &done, &forced);
	}
	err = read_lost(c, &lost);
	if (!err)
		err = replicator_force(c->api->replicator, &lost, &o, &forced, &done, &c->fault);
	return err ? err : report(c, &done, &forced);
}

static void *run_failover(void *arg)
{
	struct call *c = arg;

	call_finish_on_loop(c, fail_over(c));
	return NULL;
}

void admin_failover(struct call *c)
{
	enum err err = c->api->proxy ? start(c, run_failover) : alone(c);

	if (err)
		call_finish(c, err);
}

/* The body is no JSON, and no message of the table. */
void admin_peer_stand(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STAND_BYTES_MAX);
	struct msg_bytes *out = c->out;
	enum err err = c->api->proxy ? replicator_stand(c->api->replicator, buf_bytes(&c->request->body), &b, &c->fault)
				     : alone(c);

	call_finish(c, err ? err : keep(c, &b, &out->data));
}

/* --- the voter list --- */

static void put_list(struct json_writer *w, const char *key, const struct voter_list *l)
{
	put_key(w, key);
	if (l->count == 0) {
		json_put_null(w);
		return;
	}
	json_put_object(w);
	put_number(w, "number", l->number);
	put_number(w, "epoch", l->epoch);
	put_number(w, "voters", l->count);
	put_number(w, "majority", voters_majority(l));
	json_put_object_end(w);
}

static void put_store(struct json_writer *w, const char *key, bool known, const uint8_t *id)
{
	char text[2 * STORE_TEXT_BYTES + 1];

	for (uint32_t i = 0; i < STORE_TEXT_BYTES; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", id[i]);
	put_text(w, key, known ? text : NULL);
}

static void put_member(const struct api *api, const struct lease_look *look, const struct lease_member *m,
		       struct json_writer *w)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(WORDS_BYTES_MAX);
	bool voter = m->listed || m->pending;
	bool fit = replicator_member_words(api->replicator, look, m, &words);

	json_put_object(w);
	put_text(w, "name", name_of(api, m->region));
	put_number(w, "id", m->region);
	put_text(w, "role", (voter ? m->voter.data : (m->flags & LEASE_ITEM_DATA) != 0) ? "data" : "witness");
	put_key(w, "self");
	json_put_bool(w, m->self);
	put_key(w, "voter");
	json_put_bool(w, m->listed);
	put_store(w, "store", voter && look->list.number > 0, m->voter.store_id);
	put_store(w, "speaks_with", m->heard, m->identity.store_id);
	put_key(w, "silent_ms");
	if (m->heard)
		json_put_u64(w, m->silent_ms);
	else
		json_put_null(w);
	put_position(w, "position", m->position);
	put_number(w, "has_list", m->list_number);
	put_key(w, "fit");
	json_put_bool(w, fit);
	put_key(w, "state");
	json_put_string(w, buf_str(&words));
	json_put_object_end(w);
}

/* Regions that vote by the configuration, and were neither heard nor listed. */
static void put_others(const struct api *api, const struct lease_look *look, struct json_writer *w)
{
	for (uint32_t i = 0; i < api->regions->count; i++) {
		const struct region *r = &api->regions->rows[i];
		bool there = false;

		for (uint32_t k = 0; k < look->count; k++)
			there = there || look->members[k].region == r->id;
		if (there || (!r->data && !r->witness))
			continue;
		const struct lease_member m = { .region = r->id, .flags = r->data ? LEASE_ITEM_DATA : 0 };
		put_member(api, look, &m, w);
	}
}

void admin_voters(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(REPLY_BYTES_MAX);
	struct json_writer w = json_writer_to(&b);
	struct msg_json_document *out = c->out;
	struct lease_look look;
	enum err err = c->api->proxy ? replicator_voters(c->api->replicator, &look, &c->fault) : alone(c);

	if (err) {
		call_finish(c, err);
		return;
	}
	json_put_object(&w);
	put_text(&w, "fleet", replicator_fleet(c->api->replicator));
	put_text(&w, "region", c->api->region);
	put_list(&w, "list", &look.list);
	put_list(&w, "pending", &look.pending);
	put_text(&w, "bound_to", name_of(c->api, look.bound_to));
	put_key(&w, "members");
	json_put_array(&w);
	for (uint32_t i = 0; i < look.count; i++)
		put_member(c->api, &look, &look.members[i], &w);
	put_others(c->api, &look, &w);
	json_put_array_end(&w);
	json_put_object_end(&w);
	call_finish(c, keep(c, &b, &out->json));
}

static enum err change_voters(struct call *c)
{
	static const enum voters_change changes[] = { [VOTERS_CHANGE_ADD] = VOTERS_ADD,
						      [VOTERS_CHANGE_REMOVE] = VOTERS_REMOVE,
						      [VOTERS_CHANGE_EXPEL] = VOTERS_EXPEL };
	CLEANUP(buf_release) struct buf b = BUF_INIT(REPLY_BYTES_MAX);
	struct json_writer w = json_writer_to(&b);
	const struct msg_voters_change *in = c->in;
	struct msg_json_document *out = c->out;
	const struct region *r = regions_by_name(c->api->regions, in->region);
	uint64_t number;

	if (!r)
		return fault_set(&c->fault, ERR_BAD_INPUT, "region: '%.*s' is no region of this fleet", STR_FMT(in->region));
	enum err err = replicator_change_voters(c->api->replicator, changes[in->change], r->id, in->timeout_ms, &number,
						&c->fault);
	if (err)
		return err;
	json_put_object(&w);
	put_text(&w, "region", r->name);
	put_number(&w, "voter_list", number);
	json_put_object_end(&w);
	return keep(c, &b, &out->json);
}

static void *run_change(void *arg)
{
	struct call *c = arg;

	call_finish_on_loop(c, change_voters(c));
	return NULL;
}

void admin_voters_change(struct call *c)
{
	enum err err = c->api->proxy ? start(c, run_change) : alone(c);

	if (err)
		call_finish(c, err);
}
