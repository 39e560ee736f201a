/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the service layer share; nobody else includes this.
 *   api_call.c         how a call ends, how a write passes through the committer
 *   api_collections.c  collections and payload indexes;  api_config.c  their configuration
 *   api_aliases.c      aliases
 *   api_points.c       writes
 *   api_facet.c        facets
 *   api_records.c      retrieve, scroll, count;  api_select.c  with_payload
 *   api_search.c       queries, and the older forms of them;  api_plan.c  from messages to queries of the index
 *   api_groups.c       queries by groups;  api_matrix.c  distances of a sample
 *   api_strict.c       strict mode
 *   api_service.c      version, health, cluster
 */
#pragma once

#include "gateway/api.h"
#include "index/deadline.h"
#include "index/query.h"

/* A reference, or ERR_NOT_FOUND in Qdrant's words. */
MUST_USE enum err api_collection(struct call *c, struct str name,
				 struct collection **ret_collection);

/* For plans of writes: what any message of a write has. */
#define API_TIMEOUT_MS(m) ((m)->has_timeout ? api_timeout_ms((m)->timeout) : 0)
uint64_t api_timeout_ms(uint64_t seconds);
/* DDL answers true or false; timeout_ms as in a plan. */
void api_write_schema(struct call *c, struct intent *in, uint64_t timeout_ms,
		      enum err (*settle)(struct call *c));
/* An intent in the call's arena with the collection's name; NULL: no memory, and the call has ended. */
struct intent *api_intents(struct call *c, struct str collection, uint32_t count,
			   enum op_kind kind);

/* Ends a write of one operation, which answers with an update_reply. */
struct api_update {
	struct intent *intent;
	bool wait;
	enum write_ordering ordering;
	uint64_t timeout_ms;
};
void api_write_update(struct call *c, const struct api_update *u);
/* In message order: what every message of a write of points has. */
#define API_UPDATE(m, in)                                                                          \
	((struct api_update){ .intent = (in),                                                      \
			      .wait = (m)->wait,                                                   \
			      .ordering = (m)->ordering.type,                                      \
			      .timeout_ms = API_TIMEOUT_MS(m) })

/* --- reading --- */

/* How long a read may take: the client's timeout, the protocol's deadline, or the default. */
struct api_limit {
	struct deadline deadline;
	uint64_t timeout_ms;
};
#define API_LIMIT(c, m) api_limit((c), API_TIMEOUT_MS(m))
struct api_limit api_limit(const struct call *c, uint64_t timeout_ms);
/* The words for an error of the index that brought none. */
MUST_USE enum err api_read_failed(struct call *c, enum err e, const char *operation,
				  const struct api_limit *l);
/* One region has one answer: asking more of them is not built. */
MUST_USE enum err api_check_consistency(struct call *c, const struct read_consistency *r);
/* "Limit exceeded …" */
MUST_USE enum err api_check_max(struct call *c, const char *what, uint64_t value, uint64_t max);

struct api_want {
	const struct with_payload *payload;
	const struct with_vectors *vectors;
};
/* The records of these points with the payload and vectors that are wanted; those that are gone have found == false. */
MUST_USE enum err api_load(struct call *c, struct collection *collection,
			   const struct point_id *ids, uint32_t count, struct api_want want,
			   struct record **ret_records);
/* Does the collection have all vectors that are asked for by name? */
MUST_USE enum err api_check_vectors(struct call *c, struct collection *collection,
				    const struct with_vectors *w);

/* --- api_strict.c --- */

/* Refuses limits of strict mode that are not built. */
MUST_USE enum err api_check_strict_config(const struct msg_strict_mode_config *m, struct fault *reterr_fault);

/* --- api_plan.c --- */

/* In the arena; the query's limit has the offset in it. */
MUST_USE enum err api_plan_query(struct call *c, struct collection *collection, const struct msg_points_query *m,
				 struct query *ret_query);
/* Without filter, limit and deadline. */
MUST_USE enum err api_plan_order(struct call *c, struct collection *collection, const struct msg_order_by *m,
				 struct order_query *ret_order);

/* --- api_search.c --- */

/* The one query of a message, empty, in the arena; NULL: no memory. */
struct msg_query *api_new_query(struct call *c, struct msg_points_query *out);
/* What was found, as replies show it. */
MUST_USE enum err api_show_scored(struct call *c, struct collection *collection, const struct ranking *found,
				  struct api_want want, struct msg_scored_point_list *out);
/* What one query has in memory at once. */
#define QUERY_BYTES_MAX ((size_t)512 << 20)

/* --- api_select.c --- */

/* What with_payload leaves of a payload, in the arena. */
MUST_USE enum err api_select_payload(const struct with_payload *w, struct value payload,
				     struct arena *a, struct value *ret_payload);

/* --- api_config.c --- */

/* What the index is told of a collection, from what the client asked for; client_config are the bytes of it. In the arena. */
MUST_USE enum err api_config_build(struct arena *a, const struct msg_collection_create *m,
				   struct collection_config *ret_config,
				   struct fault *reterr_fault);
/* The client's own words, as they were stored. */
MUST_USE enum err api_config_read(struct arena *a, const struct collection_config *config,
				  struct msg_collection_create *ret_message,
				  struct fault *reterr_fault);
/* Of them, without reading the rest: by how many regions a write is to be applied; 1 when it does not say. */
uint32_t api_config_write_consistency(const struct collection_config *config);
/* Changes them as PATCH asks. */
MUST_USE enum err api_config_merge(struct arena *a, struct msg_collection_create *m,
				   const struct msg_collection_update *diff,
				   struct fault *reterr_fault);
/* As a reply shows it, with all defaults. */
void api_config_show(const struct msg_collection_create *m, const struct collection_config *config,
		     struct msg_collection_config *out);
/* Names that a file system, a URL or a subject would trip over. what: "collection_name". */
MUST_USE enum err api_check_name(const char *what, struct str name, size_t bytes_max,
				 struct fault *reterr_fault);
