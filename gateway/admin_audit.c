/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audits: their reports, one on demand, and what an auditing region asks.
 */
#include "gateway/admin.h"

#include <pthread.h>
#include <stdlib.h>

#include "gateway/region.h"
#include "replicator/audit.h"

#define LIST_BYTES_MAX ((size_t)AUDIT_REPORTS_MAX * AUDIT_REPORT_BYTES_MAX)

static enum err keep(struct call *c, const struct buf *b, struct str *ret_text)
{
	if (buf_err(b))
		return buf_err(b);
	*ret_text = call_own(c, buf_str(b));
	return ret_text->data ? ERR_NONE : ERR_TOO_LARGE;
}

static enum err no_data(struct call *c)
{
	return fault_set(&c->fault, ERR_NOT_IMPLEMENTED, "this region holds no data: it has nothing to audit");
}

/* Audits are begun by the primary and kept there: by its row in method.def a question for them goes to it like a write. The
 * other path asks this region for what it began when it was the primary. */
void admin_audit(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(LIST_BYTES_MAX);
	const struct msg_audit_list *in = c->in;
	struct msg_json_document *out = c->out;
	enum err err = c->api->audit ? audit_list(c->api->audit, in->limit, &b) : no_data(c);

	call_finish(c, err ? err : keep(c, &b, &out->json));
}

/* It waits for all regions: a thread for itself. The audit runs on another, and there is one at a time. */
static void *run_audit(void *arg)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(2 * AUDIT_REPORT_BYTES_MAX);
	struct call *c = arg;
	const struct msg_audit_start *in = c->in;
	struct msg_json_document *out = c->out;
	enum err err = audit_ask(c->api->audit, in->deep, in->timeout_ms, &b, &c->fault);

	call_finish_on_loop(c, err ? err : keep(c, &b, &out->json));
	return NULL;
}

void admin_audit_start(struct call *c)
{
	pthread_attr_t attr;
	pthread_t thread;

	if (!c->api->audit) {
		call_finish(c, no_data(c));
		return;
	}
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int errnum = pthread_create(&thread, &attr, run_audit, c);
	(void)pthread_attr_destroy(&attr);
	if (errnum != 0)
		call_finish(c, err_from_errno(errnum));
}

/* The body is no JSON, and no message of the table. */
void admin_peer_audit(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(AUDIT_BYTES_MAX);
	const struct request *r = c->request;
	const struct region *from = c->api->regions ? regions_by_certificate(c->api->regions, r->peer_region) : NULL;
	struct msg_bytes *out = c->out;
	enum err err = ERR_NONE;

	if (!c->api->audit)
		err = no_data(c);
	else if (!from)
		err = fault_set(&c->fault, ERR_FORBIDDEN, "the certificate names no region of this fleet");
	else
		err = audit_answer(c->api->audit, from->id, buf_bytes(&r->body), &b, &c->fault);
	call_finish(c, err ? err : keep(c, &b, &out->data));
}
