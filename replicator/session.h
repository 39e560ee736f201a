/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session tokens: what a client has seen and written, so that any region can give it read-your-writes and
 * monotonic reads. {scope, epoch, seq} for each scope touched, MACed (the key is the same in all regions), base64url.
 */
#pragma once

#include "replicator/change.h"

#define SESSION_TEXT_MAX 512
#define SESSION_MAC_BYTES 16

/* HMAC-SHA256 cut to 16 bytes; given from above, as the library is not this layer's. */
typedef void (*session_mac_fn)(void *ctx, struct bytes message, uint8_t out[SESSION_MAC_BYTES]);
struct session_key {
	session_mac_fn mac;
	void *ctx;
};

struct session {
	uint32_t count;
	uint16_t scopes[SCOPES_MAX];
	struct position positions[SCOPES_MAX];
	uint64_t hlc;
};

/* Terminated text; returns its length. */
size_t session_encode(const struct session *s, const struct session_key *key, char out[SESSION_TEXT_MAX]);
/* ERR_BAD_REQUEST when it is malformed or not ours. */
MUST_USE enum err session_decode(struct str text, const struct session_key *key, struct session *ret_session,
				 struct fault *reterr_fault);
/* The later position of each scope; of SCOPE_MULTI, of each region. */
void session_join(struct session *s, uint16_t scope, struct position p);
