/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/admin_lease.h"

#include <string.h>

#include "base/metric.h"
#include "gateway/region.h"
#include "replicator/replicator.h"

static void put_key(struct json_writer *w, const char *key)
{
	json_put_key(w, (struct str){ key, strlen(key) });
}

/* The voter list in effect: its number, and who is in it. */
static void put_voters(const struct api *api, struct json_writer *w, const struct voter_list *l)
{
	put_key(w, "voter_list");
	json_put_u64(w, l->number);
	put_key(w, "voters");
	json_put_array(w);
	for (uint32_t i = 0; i < l->count; i++) {
		const struct region *r = regions_by_id(api->regions, l->members[i].region);

		json_put_cstr(w, r ? r->name : "?");
	}
	json_put_array_end(w);
}

void admin_lease_put(const struct api *api, struct json_writer *w)
{
	struct lease_run_state s;

	if (!api->regions || !replicator_lease_state(api->replicator, &s))
		return;
	put_key(w, "lease");
	json_put_object(w);
	put_key(w, "held");
	json_put_bool(w, s.begun && s.valid_ms > 0);
	put_key(w, "valid_ms");
	json_put_u64(w, s.valid_ms);
	put_key(w, "promised");
	json_put_u64(w, s.promised);
	put_key(w, "elections");
	json_put_u64(w, s.elections);
	put_key(w, "won");
	json_put_u64(w, s.won);
	put_voters(api, w, &s.voters);
	json_put_object_end(w);
}

void admin_lease_measure(struct replicator *r)
{
	struct lease_run_state s;

	if (!replicator_lease_state(r, &s))
		return;
	metric_set(METRIC_isthmus_lease_seconds, s.begun ? (double)s.valid_ms / 1000 : 0);
	metric_set(METRIC_isthmus_promised_epoch, (double)s.promised);
	metric_set(METRIC_isthmus_voters, s.voters.count);
}

/* Short, and waited for by nobody but the clock: on the loop, so that no search keeps it waiting. */
void admin_peer_lease(struct call *c)
{
	const struct request *r = c->request;
	const struct region *from = c->api->regions ? regions_by_certificate(c->api->regions, r->peer_region) : NULL;
	enum err err;

	if (!from)
		err = fault_set(&c->fault, ERR_FORBIDDEN, "the certificate names no region of this fleet");
	else
		err = replicator_lease_message(c->api->replicator, from->id, buf_bytes(&r->body), &c->fault);
	call_finish(c, err);
}
