/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REST envelope: path, query and JSON body to a message; a message to {"result", "status",
 * "time"}; errors in Qdrant's words; CORS. Thread: whichever decodes or encodes.
 */
#pragma once

#include "gateway/method.h"

struct call;

/* Makes c->in from the request, and c->out with its defaults, both in c->arena; the texts of c->in
 * may lie in the body. On error c->fault has the words. */
MUST_USE enum err rest_decode(struct call *c, const struct method_match *m);
/* Fills c->request->reply: from c->out, or from e and c->fault. c->method may be NULL when e is
 * set. */
void rest_encode(struct call *c, enum err e);
/* The answer to OPTIONS: any origin, method and header. */
void rest_preflight(struct request *r);
