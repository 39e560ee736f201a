/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog's side of collections: making, loading and ending them. Nobody but catalog*.c and collection*.c
 * includes this.
 */
#pragma once

#include "index/catalog.h"
#include "index/shard.h"

/* A config of its own memory. Those that were replaced stay until the collection goes: readers may hold them. */
struct config_copy {
	struct config_copy *next;
	struct arena arena;
	struct collection_config config;
};

struct field_list {
	struct field_index_config *items;
	uint32_t count;
};

struct collection {
	atomic_uint refs; /* the catalog's is one */
	struct incarnation incarnation;
	struct store *store;
	char *dir; /* NULL: in memory */
	unsigned build_threads;
	uint32_t tail_vectors_max;
	atomic_bool cancel; /* ends builds */
	bool started;
	struct shard **shards;
	uint32_t shard_count;
	_Atomic(const struct collection_config *) config; /* the one in force */

	pthread_mutex_t lock; /* guards the rest */
	char *name;
	struct config_copy *configs; /* the one in force first */
	struct field_list fields;
	struct arena field_arena;
};

struct collection_options {
	struct store *store;
	struct gate *gate;
	const char *dir; /* of the collection; made when it is not there. NULL: in memory */
	struct str name;
	struct incarnation incarnation;
	const struct collection_config *config; /* copied */
	const uint32_t *uids;                   /* of the shards */
	uint32_t tail_vectors_max;
	unsigned build_threads;
	bool unmetered;                         /* its metrics are another's */
};

/* With one reference. */
MUST_USE enum err collection_new(const struct collection_options *o,
				 struct collection **ret_collection, struct fault *reterr_fault);
/* Whoever refers to it. remove: deletes its files. */
void collection_free(struct collection *c, bool remove);
struct collection *collection_ref(struct collection *c);
/* At start: the payload indexes that there are, then the rows. */
MUST_USE enum err collection_load(struct collection *c, struct store_txn *t,
				  const struct field_list *fields, struct fault *reterr_fault);
/* At start, in place of the above: nothing but the slots, for a dropped collection. */
MUST_USE enum err collection_load_slots(struct collection *c, struct store_txn *t);
/* Frees all but the slots, of a dropped collection that nobody searches any more; its segments are deleted. */
void collection_hollow(struct collection *c);
/* At start after all marks, or at once when it was made by an op. */
MUST_USE enum err collection_start(struct collection *c, struct fault *reterr_fault);

/* Adds what the start has mended. */
void collection_mended_add(const struct collection *c, struct catalog_mended *mended);

/* A query of that sparse vector, each value weighed by how rare its dimension is; in the arena. */
MUST_USE enum err collection_idf(struct collection *c, uint32_t at, const struct vector *q, struct arena *a,
				 struct vector *ret_vector);

/* It was dropped: ends builds, and its figures. */
void collection_end(struct collection *c);

/* Publishing what the catalog changed. They end the process when memory runs out. */
void collection_set_config(struct collection *c, const struct collection_config *config);
/* The list replaces the one in force; indexes that went are dropped, new and changed ones made. */
void collection_set_fields(struct collection *c, const struct field_list *fields);

/* Background work. Fills the payload indexes that are not complete. */
MUST_USE enum err collection_fill(struct collection *c);
/* Builds the segments that are due; now: also those that failed lately. */
MUST_USE enum err collection_build(struct collection *c, bool now, struct fault *reterr_fault);
/* Deep copies. */
MUST_USE enum err collection_config_copy(const struct collection_config *from, struct arena *a,
					 struct collection_config *ret_config);
MUST_USE enum err field_list_copy(const struct field_list *from, struct arena *a,
				  struct field_list *ret_list);
