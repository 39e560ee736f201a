/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 (RFC 9113) by nghttp2. What the library does not bound is bounded here: frames beyond
 * their budgets (limits.def) end the connection with GOAWAY ENHANCE_YOUR_CALM.
 * Thread: loop.
 */
#pragma once

#include "gateway/protocol.h"

/* What every HTTP/2 client says first. */
#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* The server's side; expects the preface as the first bytes. */
MUST_USE enum err h2_new(struct protocol_host *host, struct protocol **ret_protocol);
