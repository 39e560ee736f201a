/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the catalog share; nobody else includes this.
 *   catalog.c         opening, closing, finding, background work
 *   catalog_change.c  the committer's side: transactions, publishing, what is left of dropped collections
 *   catalog_alias.c   aliases
 *   catalog_restore.c taking changes of collections back, and taking them over
 *   catalog_folders.c the folders of collections
 */
#pragma once

#include "base/map.h"
#include "index/catalog_record.h"

/* Key of the uid of the next shard, and of the aliases. */
#define CATALOG_UID_KEY "u"
#define CATALOG_ALIASES_KEY "a"
/* Two: a payload index does not wait for a long build. */
#define CATALOG_THREADS_MAX 2

struct pending_collection {
	struct collection *collection;
	struct str name;
	bool created, dropped, kept, config_changed, fields_changed;
	bool restored; /* a new object for a dropped collection */
	struct collection_config config; /* as the transaction has it */
	struct field_list fields;
	uint32_t *uids;
};

/* A dropped collection: first its object goes, then its rows, then its record. While it is kept for the op log, it is
 * found in `dropped`, and loses all but its slots once the catalog alone refers to it. */
struct gone {
	struct collection *collection; /* NULL: nobody refers to it */
	bool kept;
	bool hollow; /* only slots are left */
	struct incarnation incarnation;
	uint32_t *uids;
	uint32_t uid_count;
	bool stored; /* it has a record, and perhaps rows */
	bool purged; /* by the open transaction */
	bool restored; /* rows and files are another object's now */
};

/* A list with its memory. */
struct aliases {
	struct arena arena;
	struct alias_list list;
};

struct catalog {
	struct catalog_options options;
	char *dir;
	atomic_bool ready;
	struct catalog_mended mended;
	struct gate gate; /* see shard.h */

	pthread_rwlock_t lock;     /* guards the maps */
	struct map by_name;        /* -> struct collection */
	struct map by_incarnation; /* key of catalog_key() -> struct collection */
	struct map dropped;        /* likewise; kept for the op log */
	struct aliases aliases;    /* under the lock, too */

	atomic_ulong writer;        /* thread that has pending changes; 0: none */
	struct arena pending_arena; /* what follows is the committer's */
	struct pending_collection *pending;
	uint32_t pending_count, pending_cap;
	bool aliases_changed; /* by the open transaction, into the following */
	struct aliases pending_aliases;
	uint32_t next_uid, pending_uid;
	bool merkle_saved; /* in the open transaction */
	struct gone *gone;
	uint32_t gone_count, gone_cap;

	pthread_mutex_t build_lock; /* one builds at a time */
	pthread_mutex_t wake_lock;  /* guards the following */
	pthread_cond_t wake;
	uint64_t kicks;
	bool stop;
	pthread_t threads[CATALOG_THREADS_MAX];
	unsigned thread_count;
};

static inline struct str catalog_key_str(const uint8_t key[CATALOG_KEY_BYTES])
{
	return (struct str){ .data = (const char *)key, .len = CATALOG_KEY_BYTES };
}

/* The published collection of that incarnation, without a reference, or NULL. */
struct collection *catalog_find(const struct catalog *c, struct incarnation i);
/* As the open transaction has it; for the committer. NULL: it has not touched it. */
struct pending_collection *catalog_pending(const struct catalog *c, struct incarnation i);
/* The object of a record, with its folder. */
MUST_USE enum err catalog_make_collection(struct catalog *c, struct incarnation i,
					  const struct catalog_record *r,
					  struct collection **ret_collection,
					  struct fault *reterr_fault);
/* Into both maps, or neither; the lock is held, or nobody else knows the catalog. */
MUST_USE enum err catalog_maps_add(struct catalog *c, struct str name,
				   struct collection *collection);
/* Copies the uids. */
MUST_USE enum err catalog_gone_add(struct catalog *c, const struct gone *g);
void catalog_gone_release(struct gone *g);
/* Frees what nobody refers to any more, and forgets what has left no trace in the store. */
void catalog_gone_sweep(struct catalog *c);
/* --- catalog_folders.c --- */
#define CATALOG_FOLDER_BYTES 32
void catalog_folder_name(struct incarnation i, char out[CATALOG_FOLDER_BYTES]);
/* Is it the name of a collection's folder? */
bool catalog_folder_parse(const char *entry, struct incarnation *ret_incarnation);
/* parent: a descriptor. What cannot be removed is litter. */
void catalog_folder_remove(int parent, const char *name);

/* There may be something to build. */
void catalog_kick(struct catalog *c);
/* The collection as the transaction has it, ready to be changed. ERR_NOT_FOUND. */
MUST_USE enum err catalog_pending_of(struct catalog *c, struct incarnation i,
				     struct pending_collection **ret_pending);
MUST_USE enum err catalog_pending_add(struct catalog *c, const struct pending_collection *p);
MUST_USE enum err catalog_record_save(struct catalog *c, struct store_txn *t,
				      const struct pending_collection *p);
/* What is left of a dropped collection; NULL: nothing. */
struct gone *catalog_gone_find(struct catalog *c, struct incarnation i);
/* --- catalog_alias.c --- */
void catalog_aliases_init(struct aliases *l);
void catalog_aliases_release(struct aliases *l);
MUST_USE enum err catalog_aliases_load(struct catalog *c, struct bytes record, struct fault *reterr_fault);
/* The live collection that an alias names, without a reference; under the lock. */
struct collection *catalog_find_alias(const struct catalog *c, struct str name);
/* Under the lock. */
void catalog_aliases_publish(struct catalog *c);
void catalog_aliases_forget(struct catalog *c);

/* It is live again; under the lock. */
void catalog_publish_restored(struct catalog *c, const struct pending_collection *p);
