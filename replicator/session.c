/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session tokens. The text is base64url (RFC 4648 section 5, no padding) of
 *   u8      version, 1
 *   varint  hlc
 *   varint  entries, then for each, in ascending order: varint scope, varint epoch, varint seq; one for each scope, but
 *           of SCOPE_MULTI one for each region, where the newest log that was seen stands for those before it
 *   16      the MAC of all before it
 * At most 1 + 10 + 1 + 16 * 21 + 16 = 364 bytes, 486 characters.
 */
#include "replicator/session.h"

#include "base/panic.h"

#include <string.h>

#define SESSION_VERSION 1
#define SESSION_BYTES_MAX 384

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t base64url_put(struct bytes b, char *out)
{
	size_t len = 0;

	for (size_t i = 0; i < b.len; i += 3) {
		size_t have = MIN(b.len - i, 3);
		uint32_t bits = (uint32_t)b.data[i] << 16;
		if (have > 1)
			bits |= (uint32_t)b.data[i + 1] << 8;
		if (have > 2)
			bits |= b.data[i + 2];
		for (size_t k = 0; k <= have; k++)
			out[len++] = base64url[bits >> (18 - 6 * k) & 63];
	}
	out[len] = 0;
	return len;
}

static int base64url_digit(char c)
{
	const char *at = c ? strchr(base64url, c) : NULL;

	return at ? (int)(at - base64url) : -1;
}

/* Refuses what base64url_put would not have written: bits left over that are not zero. */
static bool base64url_get(struct str text, uint8_t *out, size_t *ret_len)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		int digit = base64url_digit(text.data[i]);
		if (digit < 0)
			return false;
		bits = bits << 6 | (uint32_t)digit;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[len++] = (uint8_t)(bits >> have);
		}
	}
	*ret_len = len;
	return have < 6 && (bits & ((1u << have) - 1)) == 0;
}

size_t session_encode(const struct session *s, const struct session_key *key,
		      char out[SESSION_TEXT_MAX])
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SESSION_BYTES_MAX);
	uint8_t mac[SESSION_MAC_BYTES];

	ASSERT(s->count <= SCOPES_MAX);
	wire_put_u8(&b, SESSION_VERSION);
	wire_put_varint(&b, s->hlc);
	wire_put_varint(&b, s->count);
	for (uint32_t i = 0; i < s->count; i++) {
		wire_put_varint(&b, s->scopes[i]);
		wire_put_varint(&b, s->positions[i].epoch);
		wire_put_varint(&b, s->positions[i].seq);
	}
	if (!buf_err(&b)) {
		key->mac(key->ctx, buf_bytes(&b), mac);
		buf_append(&b, mac, sizeof(mac));
	}
	if (buf_err(&b)) {
		/* Out of memory: the client goes on with the token that it has. */
		out[0] = 0;
		return 0;
	}
	return base64url_put(buf_bytes(&b), out);
}

/* Takes the same time wherever the first difference is. */
static bool mac_equal(const uint8_t *a, const uint8_t *b)
{
	unsigned difference = 0;

	for (size_t i = 0; i < SESSION_MAC_BYTES; i++)
		difference |= (unsigned)(a[i] ^ b[i]);
	return difference == 0;
}

/* Entries of one key are one place that moves; the order of keys is that of entries. */
static uint32_t entry_key(uint16_t scope, struct position p)
{
	return (uint32_t)scope << 8 | (scope == SCOPE_MULTI ? (uint8_t)p.epoch : 0);
}

static bool session_read(struct wire_reader *r, struct session *ret)
{
	struct session s = { .hlc = wire_varint(r) };
	const uint64_t count = wire_varint(r);

	if (count > SCOPES_MAX)
		return false;
	for (; s.count < count; s.count++) {
		uint64_t scope = wire_varint(r);
		if (scope >= SCOPES_MAX)
			return false;
		s.scopes[s.count] = (uint16_t)scope;
		s.positions[s.count].epoch = wire_varint(r);
		s.positions[s.count].seq = wire_varint(r);
		if (s.count > 0 && entry_key(s.scopes[s.count], s.positions[s.count]) <=
					   entry_key(s.scopes[s.count - 1], s.positions[s.count - 1]))
			return false;
	}
	if (wire_done(r))
		return false;
	*ret = s;
	return true;
}

enum err session_decode(struct str text, const struct session_key *key, struct session *ret_session,
			struct fault *reterr_fault)
{
	uint8_t bytes[SESSION_TEXT_MAX];
	uint8_t mac[SESSION_MAC_BYTES];
	size_t len;

	if (text.len >= SESSION_TEXT_MAX || !base64url_get(text, bytes, &len) ||
	    len <= SESSION_MAC_BYTES)
		return fault_set(reterr_fault, ERR_BAD_REQUEST,
				 "isthmus-session: not a session token");
	len -= SESSION_MAC_BYTES;
	key->mac(key->ctx, (struct bytes){ .data = bytes, .len = len }, mac);
	if (!mac_equal(mac, bytes + len))
		return fault_set(reterr_fault, ERR_BAD_REQUEST,
				 "isthmus-session: the token was not made by this fleet");
	struct wire_reader r = wire_reader_of(bytes, len);
	if (wire_u8(&r) != SESSION_VERSION || !session_read(&r, ret_session))
		return fault_set(reterr_fault, ERR_BAD_REQUEST,
				 "isthmus-session: the token is of an unknown form");
	return ERR_NONE;
}

void session_join(struct session *s, uint16_t scope, struct position p)
{
	uint32_t key = entry_key(scope, p);
	uint32_t at = 0;

	ASSERT(scope < SCOPES_MAX && s->count <= SCOPES_MAX);
	while (at < s->count && entry_key(s->scopes[at], s->positions[at]) < key)
		at++;
	if (at < s->count && entry_key(s->scopes[at], s->positions[at]) == key) {
		if (position_compare(p, s->positions[at]) > 0)
			s->positions[at] = p;
		return;
	}
	/* Of more regions than a token has room for, some are not in it. */
	if (s->count == SCOPES_MAX)
		return;
	memmove(&s->scopes[at + 1], &s->scopes[at], (s->count - at) * sizeof(s->scopes[0]));
	memmove(&s->positions[at + 1], &s->positions[at],
		(s->count - at) * sizeof(s->positions[0]));
	s->scopes[at] = scope;
	s->positions[at] = p;
	s->count++;
}
