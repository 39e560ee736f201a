/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what: the API key and its alternative (for rotation), the read-only key, the admin key. A client
 * sends one as `api-key: KEY` or `authorization: Bearer KEY`. Without any key set, everybody may do everything; an
 * empty key counts as none. Regions of the fleet (mutual TLS) and the UNIX socket of isthmusctl need no key.
 * Only digests are kept, and compared in constant time.
 * Thread: any.
 */
#pragma once

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
};
/* The same as names of files whose first line is the key; NULL or "": not set. Faults begin with the key of the
 * configuration. */
struct auth_files {
	const char *api;
	const char *alt;
	const char *read_only;
	const char *admin;
};

/* What a key stands for, each with all before it. AUTH_NONE: no key, or a wrong one. */
enum auth_rights { AUTH_NONE, AUTH_READ, AUTH_ALL, AUTH_ADMIN };

MUST_USE enum err auth_new(struct auth **ret_auth);
void auth_free(struct auth *a);
/* Replace all keys at once; requests that were checked stay as they were judged. */
MUST_USE enum err auth_set(struct auth *a, const struct auth_keys *keys,
			   struct fault *reterr_fault);
/* On failure the old keys stay. */
MUST_USE enum err auth_load(struct auth *a, const struct auth_files *files,
			    struct fault *reterr_fault);
/* ERR_UNAUTHENTICATED: no key, or one that is not known; the words are Qdrant's. */
MUST_USE enum err auth_check(struct auth *a, const struct request *r, enum auth_rights *ret_rights,
			     struct fault *reterr_fault);
/* Of what another region passes on: the one that the client talked to has checked its key, and says what it allows. */
MUST_USE enum err auth_check_peer(const struct regions *regions, const struct request *r, enum auth_rights *ret_rights,
				  struct fault *reterr_fault);
