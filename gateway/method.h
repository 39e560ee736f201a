/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every method of the API is a row of method.def: name, verb, path, gRPC name, access, messages,
 * handler, where it runs. REST finds it by verb and path, gRPC by its full name. A row without a
 * handler is a method that is known and not built: it answers "not implemented".
 */
#pragma once

#include "gateway/message.h"
#include "gateway/request.h"

/* What a key must allow, in the collection of the method if it has one. */
enum access {
	ACCESS_OPEN,
	ACCESS_LIST,   /* to read anything: shows those collections that may be read */
	ACCESS_READ,
	ACCESS_WRITE,  /* points */
	ACCESS_DEFINE, /* what belongs to a collection beside its points: payload indexes, snapshots */
	ACCESS_MANAGE, /* the server's */
	ACCESS_PEER    /* only other regions know the method at all */
};

/* Where the handler runs: on the loop (must not block nor compute), or on the pool. */
enum method_place { ON_LOOP, ON_POOL };

/* Is it answered by any region that has the data, by the primary only, or by whoever is asked? */
enum method_reach { REACH_READ, REACH_WRITE, REACH_LOCAL };

struct call;

struct method {
	const char *name; /* "points_search" */
	enum http_verb verb;
	const char *path; /* "/collections/{collection_name}/points/search"; NULL: gRPC only */
	const char *grpc; /* "qdrant.Points/Search"; NULL: REST only */
	enum access access;
	enum method_reach reach;
	enum method_place place;
	const struct message *in; /* message_nothing: takes nothing */
	const struct message *out;
	void (*handler)(struct call *c); /* NULL: not implemented */
};

#define METHOD_PARAMS_MAX 4
struct method_match {
	const struct method *method;
	struct header params
		[METHOD_PARAMS_MAX]; /* {name} of the path and its decoded text, in the arena */
	uint32_t param_count;
};

/* ERR_NO_ROUTE, or ERR_METHOD_NOT_ALLOWED when only the verb is wrong; ERR_BAD_REQUEST when the
 * path is not decodable. */
MUST_USE enum err method_find_rest(enum http_verb verb, struct str path, struct arena *a,
				   struct method_match *ret_match, struct fault *reterr_fault);
/* path "/qdrant.Points/Search". */
MUST_USE enum err method_find_grpc(struct str path, const struct method **ret_method,
				   struct fault *reterr_fault);
const struct method *method_table(uint32_t *ret_count);
/* Percent-decoding; in queries a plus is a space. In the arena when something was decoded.
 * ERR_BAD_REQUEST: not percent- encoded UTF-8. */
MUST_USE enum err method_decode(struct str text, bool plus_is_space, struct arena *a,
				struct str *ret_text);

/* The handlers, which are in api_*.c and admin.c: one per row of method.def. */
#define METHOD(name, verb, path, grpc, access, reach, place, in, out, handler)                     \
	void handler(struct call *c);
#define METHOD_LATER(name, verb, path, grpc, access, reach)
#include "gateway/method.def"
#undef METHOD
#undef METHOD_LATER
