/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of another region's state: what that region answers, the order to make one, and how far it is.
 */
#include "gateway/admin_bootstrap.h"

#include "gateway/admin.h"
#include "gateway/region.h"
#include "replicator/bootstrap.h"
#include "replicator/snapshot.h"

#define DOCUMENT_BYTES_MAX 4096

static enum err keep(struct call *c, const struct buf *b, struct str *ret_text)
{
	if (buf_err(b))
		return buf_err(b);
	*ret_text = call_own(c, buf_str(b));
	return ret_text->data ? ERR_NONE : ERR_TOO_LARGE;
}

static const char *name_of(const struct api *api, uint8_t region)
{
	const struct region *r = region && api->regions ? regions_by_id(api->regions, region) : NULL;

	return r ? r->name : NULL;
}

static void put_numbers(const struct bootstrap_state *s, struct json_writer *w)
{
	json_put_key(w, STR("percent"));
	json_put_u64(w, s->percent);
	json_put_key(w, STR("points"));
	json_put_u64(w, s->points);
	json_put_key(w, STR("points_expected"));
	json_put_u64(w, s->points_expected);
	json_put_key(w, STR("bytes"));
	json_put_u64(w, s->bytes);
	json_put_key(w, STR("seconds"));
	json_put_f64(w, s->seconds);
}

static void put_state(const struct api *api, struct json_writer *w)
{
	struct bootstrap_state s;

	bootstrap_state(api->bootstrap, &s);
	const char *from = name_of(api, s.source);
	json_put_object(w);
	json_put_key(w, STR("stage"));
	json_put_cstr(w, bootstrap_stage_word(s.stage));
	json_put_key(w, STR("from"));
	if (from && s.stage != BOOTSTRAP_IDLE)
		json_put_cstr(w, from);
	else
		json_put_null(w);
	json_put_key(w, STR("ordered"));
	json_put_bool(w, s.ordered && s.stage != BOOTSTRAP_IDLE);
	if (s.stage != BOOTSTRAP_IDLE)
		put_numbers(&s, w);
	if (s.trouble.err) {
		json_put_key(w, STR("trouble"));
		json_put_cstr(w, fault_text(&s.trouble));
	}
	json_put_object_end(w);
}

void admin_bootstrap_put(const struct api *api, struct json_writer *w)
{
	json_put_key(w, STR("bootstrap"));
	put_state(api, w);
}

/* --- the order --- */

static enum err order(struct call *c, const struct msg_rebuild *in)
{
	const struct region *from = NULL;

	if (!c->api->bootstrap)
		return fault_set(&c->fault, ERR_BAD_INPUT, "this region %s: there is no other one to copy from",
				 c->api->gateway_only ? "holds no data" : "is alone");
	if (in->has_from) {
		from = regions_by_name(c->api->regions, in->from);
		if (!from || !from->data || from->self)
			return fault_set(&c->fault, ERR_BAD_INPUT, "from: '%.*s' is no other data region of this fleet",
					 STR_FMT(in->from));
	}
	return bootstrap_order(c->api->bootstrap, from ? from->id : 0, &c->fault);
}

void admin_rebuild(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(DOCUMENT_BYTES_MAX);
	struct json_writer w = json_writer_to(&b);
	const struct msg_rebuild *in = c->in;
	struct msg_json_document *out = c->out;
	enum err err = order(c, in);

	if (err) {
		call_finish(c, err);
		return;
	}
	json_put_object(&w);
	json_put_key(&w, STR("region"));
	json_put_cstr(&w, c->api->region);
	json_put_key(&w, STR("from"));
	if (in->has_from)
		json_put_string(&w, in->from);
	else
		json_put_null(&w);
	json_put_object_end(&w);
	call_finish(c, keep(c, &b, &out->json));
}

/* --- what another region asks --- */

/* The body is no JSON, and no message of the table. */
void admin_peer_snapshot(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SNAPSHOT_HEAD_BYTES_MAX + SNAPSHOT_PART_BYTES_MAX);
	const struct request *r = c->request;
	const struct region *from = c->api->regions ? regions_by_certificate(c->api->regions, r->peer_region) : NULL;
	struct msg_bytes *out = c->out;
	enum err err = ERR_NONE;

	if (!c->api->snapshot)
		err = fault_set(&c->fault, ERR_NOT_IMPLEMENTED, "this region holds no data: it has nothing to copy");
	else if (!from)
		err = fault_set(&c->fault, ERR_FORBIDDEN, "the certificate names no region of this fleet");
	else
		err = snapshot_answer(c->api->snapshot, from->id, buf_bytes(&r->body), &b, &c->fault);
	call_finish(c, err ? err : keep(c, &b, &out->data));
}
