/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens that clients make themselves from an API key (RFC 7519, HS256), with the claims that Qdrant knows:
 *   exp            seconds since 1970; absent: for ever
 *   access         "r" | "m" | [{"collection", "access": "r" | "rw" | "prw"}]; absent: "m"
 *   value_exists   {"collection", "matches": [{"key", "value"}]}: void when no point has all of them
 * Other claims are passed over. Pure: no clock, no keys of its own. Claims lie in the arena that they were read into.
 */
#pragma once

#include <stdbool.h>

#include "index/filter.h"

#define JWT_BYTES_MAX 4096
#define JWT_COLLECTIONS_MAX 256
#define JWT_MATCHES_MAX 16
/* Clocks of two machines may differ by so much. */
#define JWT_LEEWAY_S 30

enum jwt_level {
	JWT_NOTHING,
	JWT_READ,
	JWT_POINTS, /* read, and write points */
	JWT_WRITE,  /* and payload indexes and snapshots */
	JWT_MANAGE  /* everything */
};

struct jwt_collection {
	struct str name;
	enum jwt_level level;
};

struct jwt_claims {
	struct str payload; /* as it is in the token: base64url */
	bool has_exp;
	uint64_t exp_s;
	bool has_list; /* of collections; else level counts for all and for what is of none */
	enum jwt_level level;
	struct jwt_collection *collections;
	uint32_t collection_count;
	bool has_value;
	struct str value_collection;
	struct filter *value_filter;
};

/* ERR_UNAUTHENTICATED: no token, or none that is understood. ERR_FORBIDDEN: signed with none of the keys (their count is
 * told), or expired. Keys without bytes are passed over. */
MUST_USE enum err jwt_read(struct str token, const struct bytes *keys, uint32_t key_count, uint64_t now_s, struct arena *a,
			   struct jwt_claims *ret_claims, struct fault *reterr_fault);
/* Of claims that were verified elsewhere: nothing is checked but that they are claims. */
MUST_USE enum err jwt_read_payload(struct str payload, struct arena *a, struct jwt_claims *ret_claims);

/* What they allow in the collection, or where there is none (data == NULL). claims NULL: everything. */
enum jwt_level jwt_level_in(const struct jwt_claims *claims, struct str collection);
/* The highest of all. */
enum jwt_level jwt_level_anywhere(const struct jwt_claims *claims);
