/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes tokens.
 */
#pragma once

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "gateway/crypto.h"
#include "gateway/jwt.h"

#define JWT_HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define JWT_TEXT_MAX (2 * JWT_BYTES_MAX)

static inline size_t jwt_put(const void *data, size_t n, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const uint8_t *p = data;
	size_t len = 0;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t bits = (uint32_t)p[i] << 16;

		if (i + 1 < n)
			bits |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < n)
			bits |= p[i + 2];
		for (unsigned k = 0; k < 4 && i + k <= n; k++)
			out[len++] = digits[bits >> (18 - 6 * k) & 63];
	}
	out[len] = 0;
	return len;
}

/* header NULL: HS256. */
static inline const char *jwt_make(const char *header, const char *claims, const char *key, char out[JWT_TEXT_MAX])
{
	uint8_t mac[CRYPTO_DIGEST_BYTES];

	header = header ? header : JWT_HS256;
	size_t len = jwt_put(header, strlen(header), out);
	out[len++] = '.';
	len += jwt_put(claims, strlen(claims), out + len);
	crypto_hmac_sha256((struct bytes){ (const uint8_t *)key, strlen(key) }, (struct bytes){ (uint8_t *)out, len }, mac);
	out[len++] = '.';
	jwt_put(mac, sizeof(mac), out + len);
	return out;
}
