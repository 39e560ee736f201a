/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's digests behind four functions.
 */
#include "gateway/crypto.h"

#include <limits.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/panic.h"

#define KEY_BYTES_MIN 16
#define SESSION_MAC_LEN 16

void crypto_sha256(struct bytes b, uint8_t out[CRYPTO_DIGEST_BYTES])
{
	unsigned len = 0;

	ASSERT(EVP_Digest(b.data, b.len, out, &len, EVP_sha256(), NULL) == 1 &&
	       len == CRYPTO_DIGEST_BYTES);
}

void crypto_hmac_sha256(struct bytes key, struct bytes message, uint8_t out[CRYPTO_DIGEST_BYTES])
{
	static const uint8_t none;
	unsigned len = 0;

	ASSERT(key.len <= INT_MAX);
	/* A key of NULL would mean the key of the call before. */
	ASSERT(HMAC(EVP_sha256(), key.data ? key.data : &none, (int)key.len, message.data,
		    message.len, out, &len) &&
	       len == CRYPTO_DIGEST_BYTES);
}

enum err crypto_random(uint8_t *out, size_t len)
{
	if (len > INT_MAX)
		return ERR_BAD_INPUT;
	return RAND_bytes(out, (int)len) == 1 ? ERR_NONE : ERR_UNAVAILABLE;
}

bool crypto_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

enum err crypto_key_set(struct crypto_key *k, struct bytes secret)
{
	if (secret.len < KEY_BYTES_MIN || secret.len > CRYPTO_KEY_BYTES_MAX)
		return ERR_BAD_INPUT;
	*k = (struct crypto_key){ .len = secret.len };
	memcpy(k->bytes, secret.data, secret.len);
	return ERR_NONE;
}

void crypto_session_mac(void *ctx, struct bytes message, uint8_t out[16])
{
	const struct crypto_key *k = ctx;
	uint8_t digest[CRYPTO_DIGEST_BYTES];

	crypto_hmac_sha256((struct bytes){ .data = k->bytes, .len = k->len }, message, digest);
	memcpy(out, digest, SESSION_MAC_LEN);
}
