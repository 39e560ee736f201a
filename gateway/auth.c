/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys as SHA-256 digests: all have one length, so that neither the time of a comparison nor a core dump tells
 * one. Every comparison is made, whichever key it is.
 */
#include "gateway/auth.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/config_file.h"
#include "gateway/crypto.h"
#include "gateway/region.h"

enum { KEY_API, KEY_ALT, KEY_READ_ONLY, KEY_ADMIN, KEY_COUNT };

static const enum auth_rights rights_of[KEY_COUNT] = {
	[KEY_API] = AUTH_ALL,
	[KEY_ALT] = AUTH_ALL,
	[KEY_READ_ONLY] = AUTH_READ,
	[KEY_ADMIN] = AUTH_ADMIN,
};

/* What a fault of its file begins with. */
static const char *const config_keys_of[KEY_COUNT] = {
	[KEY_API] = "auth.api_key_file",
	[KEY_ALT] = "auth.alt_api_key_file",
	[KEY_READ_ONLY] = "auth.read_only_api_key_file",
	[KEY_ADMIN] = "auth.admin_key_file",
};

struct digest {
	bool set;
	uint8_t bytes[CRYPTO_DIGEST_BYTES];
};

/* The keys that sign tokens. */
#define SIGNERS 2

struct auth {
	pthread_rwlock_t lock; /* guards what follows */
	struct digest keys[KEY_COUNT];
	bool jwt;
	uint8_t signers[SIGNERS][AUTH_KEY_BYTES_MAX]; /* KEY_API, KEY_ALT; nothing where tokens are not allowed */
	size_t signer_bytes[SIGNERS];
};

enum err auth_new(struct auth **ret_auth)
{
	struct auth *a = calloc(1, sizeof(*a));
	if (!a)
		return ERR_NO_MEMORY;
	int errnum = pthread_rwlock_init(&a->lock, NULL);
	if (errnum != 0) {
		free(a);
		return err_from_errno(errnum);
	}
	*ret_auth = a;
	return ERR_NONE;
}

void auth_free(struct auth *a)
{
	if (!a)
		return;
	(void)pthread_rwlock_destroy(&a->lock);
	explicit_bzero(a, sizeof(*a));
	free(a);
}

static void digest_of(struct str key, struct digest *out)
{
	out->set = key.len > 0;
	if (out->set)
		crypto_sha256((struct bytes){ .data = (const uint8_t *)key.data, .len = key.len },
			      out->bytes);
}

static void keep_signers(struct auth *a, const struct str texts[KEY_COUNT], bool jwt)
{
	explicit_bzero(a->signers, sizeof(a->signers));
	a->jwt = jwt;
	for (unsigned i = 0; i < SIGNERS; i++) {
		a->signer_bytes[i] = jwt ? texts[i].len : 0;
		if (a->signer_bytes[i])
			memcpy(a->signers[i], texts[i].data, texts[i].len);
	}
}

enum err auth_set(struct auth *a, const struct auth_keys *keys, struct fault *reterr_fault)
{
	const struct str texts[KEY_COUNT] = {
		[KEY_API] = keys->api,
		[KEY_ALT] = keys->alt,
		[KEY_READ_ONLY] = keys->read_only,
		[KEY_ADMIN] = keys->admin,
	};
	struct digest digests[KEY_COUNT] = { 0 };

	for (unsigned i = 0; i < KEY_COUNT; i++) {
		if (texts[i].len > AUTH_KEY_BYTES_MAX)
			return fault_set(reterr_fault, ERR_CONFIG, "a key has more than %d bytes",
					 AUTH_KEY_BYTES_MAX);
		digest_of(texts[i], &digests[i]);
	}
	(void)pthread_rwlock_wrlock(&a->lock);
	memcpy(a->keys, digests, sizeof(a->keys));
	keep_signers(a, texts, keys->jwt);
	(void)pthread_rwlock_unlock(&a->lock);
	return ERR_NONE;
}

/* It has to fit into a header: spaces may stand within, control characters nowhere, and what is not ASCII differs from
 * client to client. */
static bool is_sendable(struct str key)
{
	for (size_t i = 0; i < key.len; i++)
		if (key.data[i] < ' ' || key.data[i] > '~')
			return false;
	return true;
}

/* The first line of the file, in text. */
static enum err read_key(unsigned which, const char *file, char text[AUTH_KEY_BYTES_MAX + 2], struct str *ret_key,
			 struct fault *reterr_fault)
{
	const char *config_key = config_keys_of[which];
	size_t len;

	if (!file || !*file)
		return ERR_NONE;
	enum err err = config_file_read(config_key, file, (uint8_t *)text, AUTH_KEY_BYTES_MAX + 2, &len, reterr_fault);
	if (err)
		return err;
	const char *end = memchr(text, '\n', len);
	if (end)
		len = (size_t)(end - text);
	while (len > 0 && (text[len - 1] == '\r' || text[len - 1] == ' '))
		len--;
	if (len > AUTH_KEY_BYTES_MAX)
		return config_file_fault(config_key, file, reterr_fault, "the key has more than %d bytes", AUTH_KEY_BYTES_MAX);
	/* A file that is named and holds no key would open what it was meant to close. */
	if (len == 0)
		return config_file_fault(config_key, file, reterr_fault, "the first line is empty, a key is expected");
	*ret_key = (struct str){ .data = text, .len = len };
	if (!is_sendable(*ret_key))
		return config_file_fault(config_key, file, reterr_fault,
					 "the key has other than printable ASCII characters, so no client could send it");
	return ERR_NONE;
}

enum err auth_load(struct auth *a, const struct auth_files *files, struct fault *reterr_fault)
{
	char texts[KEY_COUNT][AUTH_KEY_BYTES_MAX + 2];
	struct auth_keys keys = { .jwt = files->jwt };
	bool signs = (files->api && *files->api) || (files->alt && *files->alt);

	if (files->jwt && !signs)
		return fault_set(reterr_fault, ERR_CONFIG,
				 "auth.jwt: there is no key that could sign tokens: set auth.api_key_file, or auth.jwt = false");
	enum err err = read_key(KEY_API, files->api, texts[KEY_API], &keys.api, reterr_fault);

	if (!err)
		err = read_key(KEY_ALT, files->alt, texts[KEY_ALT], &keys.alt, reterr_fault);
	if (!err)
		err = read_key(KEY_READ_ONLY, files->read_only, texts[KEY_READ_ONLY], &keys.read_only, reterr_fault);
	if (!err)
		err = read_key(KEY_ADMIN, files->admin, texts[KEY_ADMIN], &keys.admin, reterr_fault);
	if (!err)
		err = auth_set(a, &keys, reterr_fault);
	explicit_bzero(texts, sizeof(texts));
	return err;
}

/* `api-key` wins when both are there, as at Qdrant's. */
static struct str key_of(const struct request *r)
{
	static const struct str bearer = { "Bearer ", 7 };
	struct str key = request_header(r, "api-key");

	if (key.data)
		return key;
	key = request_header(r, "authorization");
	if (key.len <= bearer.len || strncasecmp(key.data, bearer.data, bearer.len) != 0)
		return (struct str){ 0 };
	return (struct str){ .data = key.data + bearer.len, .len = key.len - bearer.len };
}

static bool is_trusted(const struct request *r)
{
	return r->peer || r->client.ss_family == AF_UNIX;
}

/* *ret_any: is there any key at all? */
static enum auth_rights find_rights(struct auth *a, const struct digest *given, bool *ret_any)
{
	enum auth_rights rights = AUTH_NONE;

	*ret_any = false;
	(void)pthread_rwlock_rdlock(&a->lock);
	for (unsigned i = 0; i < KEY_COUNT; i++) {
		bool equal = crypto_equal(a->keys[i].bytes, given->bytes, CRYPTO_DIGEST_BYTES);
		*ret_any |= a->keys[i].set;
		if (equal && a->keys[i].set && given->set)
			rights = MAX(rights, rights_of[i]);
	}
	(void)pthread_rwlock_unlock(&a->lock);
	return rights;
}

/* A token counts as what it allows most; what it allows where, allow() asks again. */
static enum auth_rights rights_of_claims(const struct jwt_claims *claims)
{
	switch (jwt_level_anywhere(claims)) {
	case JWT_NOTHING:
		break;
	case JWT_READ:
		return AUTH_READ;
	case JWT_POINTS:
	case JWT_WRITE:
	case JWT_MANAGE:
		return AUTH_ALL;
	}
	return AUTH_NONE;
}

static enum err take_claims(struct jwt_claims *claims, struct arena *a, struct auth_grant *ret_grant)
{
	struct jwt_claims *copy = arena_alloc(a, sizeof(*copy));

	if (!copy)
		return ERR_NO_MEMORY;
	*copy = *claims;
	*ret_grant = (struct auth_grant){ .rights = rights_of_claims(copy), .claims = copy };
	/* An empty list of collections allows nothing, and still is a key. */
	ret_grant->rights = MAX(ret_grant->rights, AUTH_READ);
	return ERR_NONE;
}

/* ERR_UNAUTHENTICATED: it is none that counts. */
static enum err find_claims(struct auth *a, struct str token, uint64_t now_s, struct arena *arena,
			    struct auth_grant *ret_grant, struct fault *reterr_fault)
{
	struct bytes keys[SIGNERS];
	struct jwt_claims claims;
	enum err err = ERR_UNAUTHENTICATED;

	(void)pthread_rwlock_rdlock(&a->lock);
	for (unsigned i = 0; i < SIGNERS; i++)
		keys[i] = (struct bytes){ .data = a->signers[i], .len = a->signer_bytes[i] };
	if (a->jwt && (keys[0].len || keys[1].len))
		err = jwt_read(token, keys, SIGNERS, now_s, arena, &claims, reterr_fault);
	(void)pthread_rwlock_unlock(&a->lock);
	return err ? err : take_claims(&claims, arena, ret_grant);
}

enum err auth_check(struct auth *a, struct request *r, uint64_t now_s, struct auth_grant *ret_grant,
		    struct fault *reterr_fault)
{
	struct str key = key_of(r);
	struct digest given = { 0 };
	bool any;

	digest_of(key, &given);
	*ret_grant = (struct auth_grant){ .rights = find_rights(a, &given, &any) };
	if (!any || is_trusted(r))
		ret_grant->rights = AUTH_ADMIN;
	if (ret_grant->rights != AUTH_NONE)
		return ERR_NONE;
	enum err err = given.set ? find_claims(a, key, now_s, &r->arena, ret_grant, reterr_fault) : ERR_UNAUTHENTICATED;

	if (err != ERR_UNAUTHENTICATED)
		return err;
	return fault_set(reterr_fault, ERR_UNAUTHENTICATED, "%s",
			 given.set ? "Invalid API key or JWT"
				   : "Must provide an API key or an Authorization bearer token");
}

/* --- between regions --- */

static const struct {
	struct str word;
	enum auth_rights rights;
} peer_words[] = { { STR("read"), AUTH_READ }, { STR("write"), AUTH_ALL }, { STR("manage"), AUTH_ADMIN } };

/* Before claims, which are passed on as the token has them. */
static const struct str claims_word = { "jwt ", 4 };

struct str auth_grant_words(const struct auth_grant *g, struct arena *a)
{
	if (g->claims)
		return arena_printf(a, "%.*s%.*s", STR_FMT(claims_word), STR_FMT(g->claims->payload));
	for (size_t i = 0; i < LEN(peer_words); i++)
		if (peer_words[i].rights == g->rights)
			return peer_words[i].word;
	return peer_words[0].word; /* of methods that are open to all */
}

static enum err take_peer_claims(struct str payload, struct arena *a, struct auth_grant *ret_grant)
{
	struct jwt_claims claims;
	enum err err = payload.len <= JWT_BYTES_MAX ? jwt_read_payload(payload, a, &claims) : ERR_UNAUTHENTICATED;

	return err ? err : take_claims(&claims, a, ret_grant);
}

enum err auth_check_peer(const struct regions *regions, struct request *r, struct auth_grant *ret_grant,
			 struct fault *reterr_fault)
{
	struct str access = request_header(r, "isthmus-access");

	*ret_grant = (struct auth_grant){ .rights = AUTH_NONE };
	if (!regions || !regions_by_certificate(regions, r->peer_region))
		return fault_set(reterr_fault, ERR_UNAUTHENTICATED, "the certificate names no region of this fleet");
	if (access.len > claims_word.len && memcmp(access.data, claims_word.data, claims_word.len) == 0) {
		access.data += claims_word.len;
		access.len -= claims_word.len;
		enum err err = take_peer_claims(access, &r->arena, ret_grant);
		return err ? fault_set(reterr_fault, err, "isthmus-access has claims that cannot be read") : ERR_NONE;
	}
	for (size_t i = 0; i < LEN(peer_words); i++)
		if (peer_words[i].word.len == access.len && memcmp(peer_words[i].word.data, access.data, access.len) == 0)
			ret_grant->rights = peer_words[i].rights;
	return ret_grant->rights ? ERR_NONE : fault_set(reterr_fault, ERR_UNAUTHENTICATED, "isthmus-access is missing");
}
