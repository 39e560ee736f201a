/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of hosts to addresses of sockets, for loops, which may not wait: names are looked up on a thread of their
 * own, again and again, and asking tells what was found last. Numeric addresses need no thread.
 * Thread: resolver_get() any; else whoever owns it.
 */
#pragma once

#include <sys/socket.h>

#include "base/err.h"

/* Addresses kept of one name. */
#define RESOLVER_ADDRESSES_MAX 8

struct resolver;

/* addresses: "HOST:PORT" or "[IPv6]:PORT"; copied. ERR_CONFIG: one of them is none. */
MUST_USE enum err resolver_new(const char *const *addresses, uint32_t count, struct resolver **ret_resolver,
			       struct fault *reterr_fault);
/* Waits until a look-up that is under way has ended, which resolv.conf bounds. */
void resolver_free(struct resolver *r);
/* Of addresses[i]; where a name has several, each attempt gets the next one. ERR_UNAVAILABLE: none was found so far. */
MUST_USE enum err resolver_get(struct resolver *r, uint32_t i, uint32_t attempt, struct sockaddr_storage *ret_address,
			       socklen_t *ret_len, struct fault *reterr_fault);
