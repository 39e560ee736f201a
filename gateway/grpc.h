/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gRPC envelope: one message in a 5-byte frame, gzip on the way in, status and message as
 * trailers (which h2 writes, and percent-encodes). Thread: whichever decodes or encodes.
 */
#pragma once

#include "gateway/method.h"

#define GRPC_FRAME_BYTES 5

struct call;

/* Makes c->in from the request for c->method, and c->out with its defaults, both in c->arena; the
 * texts of c->in may lie in the body. Sets the request's deadline. On error c->fault has the
 * words. */
MUST_USE enum err grpc_decode(struct call *c);
/* Fills c->request->reply: from c->out, or from e and c->fault. c->method may be NULL when e is
 * set. */
void grpc_encode(struct call *c, enum err e);
/* Is the message compressed, and not yet opened? */
bool grpc_is_packed(const struct call *c);
/* Takes the message out of its frame, inflated; grpc_decode() does so too. To inflate may take long: on the pool. */
MUST_USE enum err grpc_open(struct call *c);
/* collection_name, which all messages of Qdrant that have one have first. data == NULL: there is none, or it cannot be
 * read, or the message is compressed and not yet opened. */
struct str grpc_collection(const struct call *c);
/* "5S", "5010m": what the header grpc-timeout says, in nanoseconds. False: it is malformed. */
bool grpc_parse_timeout(struct str text, uint64_t *ret_ns);
