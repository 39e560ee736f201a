/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is not understood opens nothing: a claim of ours in another form than Qdrant's makes the whole token void. So do
 * restrictions to payloads, which older servers knew: to pass over them would give more than the token says.
 */
#include "gateway/jwt.h"

#include <string.h>

#include "base/json.h"
#include "gateway/crypto.h"
#include "index/order.h"

static bool is_word(struct str s, const char *word)
{
	return strlen(word) == s.len && memcmp(word, s.data, s.len) == 0;
}

/* --- base64url (RFC 4648 section 5, no padding) --- */

static int digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* In the arena; data == NULL: it is none, or there is no memory. */
static struct str decoded(struct str text, struct arena *a)
{
	char *out = text.len % 4 == 1 ? NULL : arena_alloc(a, text.len * 3 / 4 + 1);
	uint32_t bits = 0;
	unsigned count = 0;
	size_t len = 0;

	if (!out)
		return (struct str){ 0 };
	for (size_t i = 0; i < text.len; i++) {
		int digit = digit_of(text.data[i]);

		if (digit < 0)
			return (struct str){ 0 };
		bits = bits << 6 | (uint32_t)digit;
		count += 6;
		if (count >= 8) {
			count -= 8;
			out[len++] = (char)(bits >> count);
			bits &= (1u << count) - 1;
		}
	}
	/* What is left over must be nothing, so that a token has one form only. */
	return bits ? (struct str){ 0 } : (struct str){ .data = out, .len = len };
}

/* --- claims --- */

struct reading {
	struct json_reader r;
	struct arena *arena;
	struct jwt_claims *claims;
};

static void bad(struct reading *x)
{
	json_fail(&x->r, "no claims of Qdrant's");
}

/* "r", "rw", "prw" of a collection; "r", "m" of all. */
static enum jwt_level read_level(struct reading *x, bool of_collection)
{
	static const struct {
		const char *word;
		bool of_collection;
		enum jwt_level level;
	} words[] = {
		{ "r", false, JWT_READ }, { "m", false, JWT_MANAGE }, { "r", true, JWT_READ },
		{ "prw", true, JWT_POINTS }, { "rw", true, JWT_WRITE },
	};
	struct str word = json_string(&x->r);

	for (size_t i = 0; !json_failed(&x->r) && i < LEN(words); i++)
		if (words[i].of_collection == of_collection && is_word(word, words[i].word))
			return words[i].level;
	bad(x);
	return JWT_NOTHING;
}

static void read_collection(struct reading *x, struct jwt_collection *c)
{
	struct str key;

	if (!json_enter_object(&x->r))
		return;
	while (json_next_key(&x->r, &key)) {
		if (is_word(key, "collection"))
			c->name = json_string(&x->r);
		else if (is_word(key, "access"))
			c->level = read_level(x, true);
		else if (is_word(key, "payload") && json_peek(&x->r) != JSON_NULL)
			bad(x);
		else
			json_skip(&x->r);
	}
	if (!json_failed(&x->r) && (!c->name.data || c->level == JWT_NOTHING))
		bad(x);
}

static void read_access(struct reading *x)
{
	struct jwt_claims *claims = x->claims;

	if (json_peek(&x->r) != JSON_ARRAY) {
		claims->level = read_level(x, false);
		return;
	}
	claims->has_list = true;
	claims->level = JWT_NOTHING;
	claims->collections = arena_array(x->arena, JWT_COLLECTIONS_MAX, sizeof(*claims->collections));
	if (!claims->collections || !json_enter_array(&x->r)) {
		bad(x);
		return;
	}
	while (json_next_element(&x->r)) {
		if (claims->collection_count == JWT_COLLECTIONS_MAX) {
			bad(x);
			return;
		}
		read_collection(x, &claims->collections[claims->collection_count++]);
	}
}

static void read_match_value(struct reading *x, struct condition *c)
{
	switch ((unsigned)json_peek(&x->r)) {
	case JSON_STRING:
		c->kind = CONDITION_MATCH_TEXT_VALUE;
		c->text = json_string(&x->r);
		break;
	case JSON_NUMBER:
		c->kind = CONDITION_MATCH_INT_VALUE;
		c->integer = json_i64(&x->r);
		break;
	case JSON_BOOL:
		c->kind = CONDITION_MATCH_BOOL_VALUE;
		c->boolean = json_bool(&x->r);
		break;
	default:
		bad(x);
	}
}

static void read_match(struct reading *x, struct condition *c)
{
	bool has_key = false, has_value = false;
	struct str key;

	if (!json_enter_object(&x->r))
		return;
	while (json_next_key(&x->r, &key)) {
		if (is_word(key, "key")) {
			struct str text = json_string(&x->r);
			has_key = !json_failed(&x->r) && path_parse(text, &c->key, NULL) == ERR_NONE;
		} else if (is_word(key, "value")) {
			read_match_value(x, c);
			has_value = true;
		} else {
			json_skip(&x->r);
		}
	}
	if (!has_key || !has_value)
		bad(x);
}

static void read_matches(struct reading *x, struct filter *f)
{
	f->must.items = arena_array(x->arena, JWT_MATCHES_MAX, sizeof(*f->must.items));
	if (!f->must.items || !json_enter_array(&x->r)) {
		bad(x);
		return;
	}
	while (json_next_element(&x->r)) {
		if (f->must.count == JWT_MATCHES_MAX) {
			bad(x);
			return;
		}
		read_match(x, &f->must.items[f->must.count++]);
	}
}

static void read_value_exists(struct reading *x)
{
	struct jwt_claims *claims = x->claims;
	struct str key;

	if (json_peek(&x->r) == JSON_NULL) {
		json_null(&x->r);
		return;
	}
	claims->has_value = true;
	claims->value_filter = arena_alloc(x->arena, sizeof(*claims->value_filter));
	if (!claims->value_filter || !json_enter_object(&x->r)) {
		bad(x);
		return;
	}
	while (json_next_key(&x->r, &key)) {
		if (is_word(key, "collection"))
			claims->value_collection = json_string(&x->r);
		else if (is_word(key, "matches"))
			read_matches(x, claims->value_filter);
		else
			json_skip(&x->r);
	}
	if (!json_failed(&x->r) && (!claims->value_collection.data || !claims->value_filter->must.items ||
				    filter_prepare(claims->value_filter, NULL) != ERR_NONE))
		bad(x);
}

enum err jwt_read_payload(struct str payload, struct arena *a, struct jwt_claims *ret_claims)
{
	struct jwt_claims claims = { .payload = payload, .level = JWT_MANAGE };
	struct str json = decoded(payload, a), key;
	struct reading x = { .arena = a, .claims = &claims };

	if (!json.data)
		return ERR_UNAUTHENTICATED;
	x.r = json_reader_of(json, a);
	if (!json_enter_object(&x.r))
		return ERR_UNAUTHENTICATED;
	while (json_next_key(&x.r, &key)) {
		if (is_word(key, "exp") && json_peek(&x.r) != JSON_NULL) {
			claims.exp_s = json_u64(&x.r);
			claims.has_exp = true;
		} else if (is_word(key, "access")) {
			read_access(&x);
		} else if (is_word(key, "value_exists")) {
			read_value_exists(&x);
		} else {
			json_skip(&x.r);
		}
	}
	if (json_end(&x.r, NULL) != ERR_NONE)
		return ERR_UNAUTHENTICATED;
	*ret_claims = claims;
	return ERR_NONE;
}

/* --- tokens --- */

/* Up to the next dot, or the end. */
static struct str take_part(struct str *text)
{
	const char *dot = memchr(text->data, '.', text->len);
	struct str part = { .data = text->data, .len = dot ? (size_t)(dot - text->data) : text->len };
	size_t used = part.len + (dot != NULL);

	text->data += used;
	text->len -= used;
	return part;
}

/* {"alg": "HS256"}: any other would leave the choice of how to check to whoever made it. */
static bool is_hs256(struct str header, struct arena *a)
{
	struct str json = decoded(header, a), key;
	bool good = false;

	if (!json.data)
		return false;
	struct json_reader r = json_reader_of(json, a);

	if (!json_enter_object(&r))
		return false;
	while (json_next_key(&r, &key)) {
		if (is_word(key, "alg")) {
			struct str word = json_string(&r);
			good = !json_failed(&r) && is_word(word, "HS256");
		} else {
			json_skip(&r);
		}
	}
	return json_end(&r, NULL) == ERR_NONE && good;
}

/* Each key is tried, whether one has fitted or not. */
static bool is_signed(struct str text, struct str signature, const struct bytes *keys, uint32_t key_count)
{
	const struct bytes message = { .data = (const uint8_t *)text.data, .len = text.len };
	uint8_t mac[CRYPTO_DIGEST_BYTES];
	bool found = false;

	for (uint32_t i = 0; i < key_count; i++) {
		if (keys[i].len == 0)
			continue;
		crypto_hmac_sha256(keys[i], message, mac);
		found |= crypto_equal(mac, (const uint8_t *)signature.data, sizeof(mac));
	}
	return found;
}

enum err jwt_read(struct str token, const struct bytes *keys, uint32_t key_count, uint64_t now_s, struct arena *a,
		  struct jwt_claims *ret_claims, struct fault *reterr_fault)
{
	struct str rest = token;

	if (token.len == 0 || token.len > JWT_BYTES_MAX)
		return ERR_UNAUTHENTICATED;
	struct str header = take_part(&rest), payload = take_part(&rest);
	struct str text = { .data = token.data, .len = header.len + 1 + payload.len };
	if (text.len >= token.len || payload.len == 0 || !is_hs256(header, a))
		return ERR_UNAUTHENTICATED;
	struct str signature = decoded(rest, a);
	if (!signature.data)
		return ERR_UNAUTHENTICATED;
	if (signature.len != CRYPTO_DIGEST_BYTES || !is_signed(text, signature, keys, key_count))
		return fault_set(reterr_fault, ERR_FORBIDDEN, "InvalidSignature");
	enum err err = jwt_read_payload(payload, a, ret_claims);

	if (!err && ret_claims->has_exp && ret_claims->exp_s < now_s && now_s - ret_claims->exp_s > JWT_LEEWAY_S)
		err = fault_set(reterr_fault, ERR_FORBIDDEN, "ExpiredSignature");
	return err;
}

/* --- what they allow --- */

enum jwt_level jwt_level_in(const struct jwt_claims *claims, struct str collection)
{
	if (!claims)
		return JWT_MANAGE;
	for (uint32_t i = 0; collection.data && i < claims->collection_count; i++)
		if (str_compare(claims->collections[i].name, collection) == 0)
			return claims->collections[i].level;
	return claims->level;
}

enum jwt_level jwt_level_anywhere(const struct jwt_claims *claims)
{
	enum jwt_level level = claims ? claims->level : JWT_MANAGE;

	for (uint32_t i = 0; claims && i < claims->collection_count; i++)
		level = MAX(level, claims->collections[i].level);
	return level;
}
