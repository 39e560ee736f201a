/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what: the API key and its alternative (for rotation), the read-only key, the admin key. A client
 * sends one as `api-key: KEY` or `authorization: Bearer KEY`. Without any key set, everybody may do everything; an
 * empty key counts as none. Regions of the fleet (mutual TLS) and the UNIX socket of isthmusctl need no key.
 * Where tokens are allowed, one that is signed with the API key or its alternative is a key as well, and its claims say
 * what it allows (jwt.h); then these two are kept, else only digests. Comparisons take constant time.
 * Thread: any.
 */
#pragma once

#include "gateway/jwt.h"
#include "gateway/request.h"

#define AUTH_KEY_BYTES_MAX 4096

struct auth;
struct regions;

/* Texts; data == NULL or len == 0: not set. */
struct auth_keys {
	struct str api;
	struct str alt;
	struct str read_only;
	struct str admin;
	bool jwt; /* are tokens allowed? */
};
/* The same as names of files whose first line is the key; NULL or "": not set. Faults begin with the key of the
 * configuration. */
struct auth_files {
	const char *api;
	const char *alt;
	const char *read_only;
	const char *admin;
	bool jwt;
};

/* What a key stands for, each with all before it. AUTH_NONE: no key, or a wrong one. */
enum auth_rights { AUTH_NONE, AUTH_READ, AUTH_ALL, AUTH_ADMIN };

/* With claims rights are the most that they allow anywhere, and claims say where. In the request's arena. */
struct auth_grant {
	enum auth_rights rights;
	const struct jwt_claims *claims; /* NULL: the rights count everywhere */
};

MUST_USE enum err auth_new(struct auth **ret_auth);
void auth_free(struct auth *a);
/* Replace all keys at once; requests that were checked stay as they were judged. */
MUST_USE enum err auth_set(struct auth *a, const struct auth_keys *keys,
			   struct fault *reterr_fault);
/* On failure the old keys stay. */
MUST_USE enum err auth_load(struct auth *a, const struct auth_files *files,
			    struct fault *reterr_fault);
/* ERR_UNAUTHENTICATED: no key, or one that is not known; ERR_FORBIDDEN: a token that is not signed by us, or expired. The
 * words are Qdrant's. */
MUST_USE enum err auth_check(struct auth *a, struct request *r, uint64_t now_s, struct auth_grant *ret_grant,
			     struct fault *reterr_fault);
/* Of what another region passes on: the one that the client talked to has checked its key, and says what it allows. */
MUST_USE enum err auth_check_peer(const struct regions *regions, struct request *r, struct auth_grant *ret_grant,
				  struct fault *reterr_fault);
/* How a region says it to another; in the arena. data == NULL: no memory. */
MUST_USE struct str auth_grant_words(const struct auth_grant *g, struct arena *a);
