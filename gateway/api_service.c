/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients ask of the service itself.
 */
#include "gateway/api_inner.h"

/* The version of Qdrant's API that is spoken here: clients compare it with their own, and accept one minor version
 * more or less. */
#define QDRANT_API_VERSION "1.18.0"

void api_version(struct call *c)
{
	struct msg_version_info *out = c->out;

	out->title = STR("isthmus - multi-region vector search, by Qdrant's API");
	out->version = STR(QDRANT_API_VERSION);
	call_finish(c, ERR_NONE);
}

/* Always serving, as Qdrant answers: whether this region is ready is /readyz's to say. */
void api_health_check(struct call *c)
{
	struct msg_health_reply *out = c->out;

	out->status = SERVING_YES;
	call_finish(c, ERR_NONE);
}

/* A region that is alone is no cluster. */
void api_cluster(struct call *c)
{
	struct msg_json_result *out = c->out;

	if (c->api->data_regions > 1) {
		call_finish(c,
			    fault_set(&c->fault, ERR_NOT_IMPLEMENTED, "the state of the cluster"));
		return;
	}
	out->json = STR("{\"status\":\"disabled\"}");
	call_finish(c, ERR_NONE);
}
