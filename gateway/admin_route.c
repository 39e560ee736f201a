/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /isthmus/route: what routing decides for an address, and why.
 */
#include "gateway/admin.h"

#include <string.h>

#include "gateway/forwarded.h"
#include "gateway/proxy.h"
#include "gateway/router.h"

#define ROUTE_BYTES_MAX ((size_t)64 << 10)

/* The address that is asked about, or the one that asks. */
static enum err find_address(struct call *c, struct str ip, struct sockaddr_storage *ret_address)
{
	static const struct forwarded_nets nobody = { 0 };
	struct forwarded_client client;

	if (!ip.data) {
		forwarded_find(c->request, c->api->trusted ? c->api->trusted : &nobody, &client);
		*ret_address = client.address;
		return ERR_NONE;
	}
	if (!forwarded_parse_address(ip, ret_address))
		return fault_set(&c->fault, ERR_BAD_INPUT, "ip: '%.*s' is no address", STR_FMT(ip));
	return ERR_NONE;
}

static enum err find_operation(struct call *c, struct str word, struct router_query *q)
{
	if (word.len == 4 && memcmp(word.data, "read", 4) == 0) {
		q->operation = ROUTE_READ;
		return ERR_NONE;
	}
	if (word.len != 5 || memcmp(word.data, "write", 5) != 0)
		return fault_set(&c->fault, ERR_BAD_INPUT, "operation: '%.*s' is neither read nor write", STR_FMT(word));
	q->operation = ROUTE_WRITE;
	if (c->api->replicator && !replicator_admit(c->api->replicator, &q->primary, NULL))
		q->primary = c->api->region_id;
	return ERR_NONE;
}

void admin_route(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(ROUTE_BYTES_MAX);
	const struct msg_route_query *in = c->in;
	struct msg_json_document *out = c->out;
	struct sockaddr_storage address;
	struct router_answer answer;
	struct router_query q = {
		.client = (const struct sockaddr *)&address,
		.collection = in->collection,
	};
	enum err err = find_address(c, in->ip, &address);

	if (!err)
		err = find_operation(c, in->operation.data ? in->operation : STR("read"), &q);
	if (!err && !c->api->router)
		err = fault_set(&c->fault, ERR_UNAVAILABLE, "this region routes nothing");
	if (!err) {
		router_decide(c->api->router, &q, &answer);
		router_write_answer(&answer, q.client, &b);
		err = buf_err(&b);
	}
	if (!err) {
		out->json = call_own(c, buf_str(&b));
		err = out->json.data ? ERR_NONE : ERR_NO_MEMORY;
	}
	call_finish(c, err);
}
