/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1, a strict subset (RFC 9112): what two readers could understand differently is refused,
 * and after a refusal the connection ends. Requests of one connection are answered one after
 * another, in order.
 * Thread: loop.
 */
#pragma once

#include "gateway/protocol.h"

MUST_USE enum err h1_new(struct protocol_host *host, struct protocol **ret_protocol);
/* A refusal as a whole reply, for a client whose request is not read. */
void h1_write_refusal(enum refusal why, struct buf *out);
