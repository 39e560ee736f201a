/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a nats-server says of itself before anything is asked: the INFO line that begins every
 * connection. libnats reads it too, but does not hand out the version.
 */
#pragma once

#include "base/err.h"

#define SERVER_VERSION_MAX 32
#define SERVER_ADDRESS_MAX 128

/* "host:port" of a URL as libnats reports it ("nats://user:secret@host:4222"): no scheme, no
 * credentials, the default port when there is none. ERR_BAD_INPUT. */
MUST_USE enum err server_address(const char *url, char out[SERVER_ADDRESS_MAX]);
/* Connects to "host:port" and reads the version. Waits for names, and up to timeout_ms for the
 * server. */
MUST_USE enum err server_version(const char *address, uint64_t timeout_ms,
				 char out[SERVER_VERSION_MAX]);
/* The version in an INFO line, without its end. ERR_BAD_REQUEST when it is none. */
MUST_USE enum err server_version_parse(struct str line, char out[SERVER_VERSION_MAX]);
