/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests, MACs and random bytes, by OpenSSL.
 * Thread: any.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#define CRYPTO_DIGEST_BYTES 32
#define CRYPTO_KEY_BYTES_MAX 64

/* The functions that return nothing end the process when OpenSSL has no memory or no SHA-256: there is nothing
 * to fall back to that would be safe. */
void crypto_sha256(struct bytes b, uint8_t out[CRYPTO_DIGEST_BYTES]);
void crypto_hmac_sha256(struct bytes key, struct bytes message, uint8_t out[CRYPTO_DIGEST_BYTES]);
/* ERR_UNAVAILABLE: the generator has no seed. */
MUST_USE enum err crypto_random(uint8_t *out, size_t len);
/* Takes the same time wherever the first difference is. */
bool crypto_equal(const uint8_t *a, const uint8_t *b, size_t len);

/* The MAC of session tokens (replicator/session.h's session_mac_fn): ctx is a struct crypto_key, the same in every
 * region of the fleet. */
struct crypto_key {
	uint8_t bytes[CRYPTO_KEY_BYTES_MAX];
	size_t len;
};
/* ERR_BAD_INPUT: fewer than 16 bytes, or more than CRYPTO_KEY_BYTES_MAX. */
MUST_USE enum err crypto_key_set(struct crypto_key *k, struct bytes secret);
void crypto_session_mac(void *ctx, struct bytes message, uint8_t out[16]);
