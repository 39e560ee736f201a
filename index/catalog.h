/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All collections of this region, by name and by incarnation. A name is bound to an incarnation (the stamp
 * of its creation); a dropped and re-created collection is another one. The catalog opens every collection at start:
 * rows are read once to rebuild ids, payload indexes and the tail; segments are mapped.
 * Reading: any thread, through references. Writing: the committer, in its transaction, then publish or abandon as
 * collections do.
 */
#pragma once

#include "index/alias.h"
#include "index/collection.h"

struct catalog;

struct catalog_options {
	struct store *store;
	const char *dir;             /* slot files and segments; NULL: everything in memory (tests, simulator) */
	unsigned builder_threads;    /* background, idle priority; 0: builds run only by catalog_build_now */
	uint32_t tail_vectors_max;   /* 0: from the collection's indexing threshold */
	bool unmetered;              /* a copy that is being made beside the catalog that the metrics are of */
};

/* Are there folders of collections in dir? A catalog that does not know them would delete them at open: for
 * whoever finds them without the store. */
bool catalog_has_folders(const char *dir);
/* Nobody has them open: deletes all folders of collections in dir, or moves them from one folder into another, where no
 * others are. Done again after it was interrupted, it goes on. */
MUST_USE enum err catalog_remove_folders(const char *dir);
MUST_USE enum err catalog_move_folders(const char *from, const char *to);
MUST_USE enum err catalog_open(const struct catalog_options *o, struct catalog **ret_catalog,
			       struct fault *reterr_fault);
/* After every log record's slots were marked (collection_slot_mark): frees the rest, starts the builders. */
MUST_USE enum err catalog_start(struct catalog *c, struct fault *reterr_fault);
void catalog_close(struct catalog *c);
/* What the start has mended: slot files whose header was damaged, and values in them that are not what their rows say. */
struct catalog_mended {
	uint32_t files, wrong_values;
};
struct catalog_mended catalog_mended(const struct catalog *c);

/* A reference by name or alias, by name alone, by incarnation; NULL when there is none. */
struct collection *catalog_get(struct catalog *c, struct str name);
struct collection *catalog_get_named(struct catalog *c, struct str name);
struct collection *catalog_get_incarnation(struct catalog *c, struct incarnation i);
/* For who reads the op log: live, or dropped and kept (catalog_keep_dropped): then only its slots are left. */
struct collection *catalog_get_logged(struct catalog *c, struct incarnation i);
void collection_unref(struct collection *c);
/* The name it bears now (a copy in the arena). */
struct str collection_name(struct collection *c, struct arena *a);
/* References to all, in the arena, sorted by name. Unref each. */
MUST_USE enum err catalog_list(struct catalog *c, struct arena *a, struct collection ***ret_items, uint32_t *ret_count);
/* The aliases in force, in the arena. */
MUST_USE enum err catalog_aliases(struct catalog *c, struct arena *a, struct alias_list *ret_list);
bool catalog_ready(const struct catalog *c);

/* --- the committer --- */
MUST_USE enum err catalog_create(struct catalog *c, struct store_txn *t, struct str name, struct incarnation i,
				 const struct collection_config *config, struct fault *reterr_fault);
MUST_USE enum err catalog_update(struct catalog *c, struct store_txn *t, struct incarnation i,
				 const struct collection_config *config, struct fault *reterr_fault);
/* Rows, slots and segments go once nobody refers to them. */
MUST_USE enum err catalog_drop(struct catalog *c, struct store_txn *t, struct incarnation i, struct fault *reterr_fault);
/* The op log holds ops of a collection that this transaction drops or, before catalog_start, that was dropped before: rows
 * and slots stay until it is released. Nothing happens when there is none. */
void catalog_keep_dropped(struct catalog *c, struct incarnation i);
/* The log holds none of its ops any more, durably. */
void catalog_release_dropped(struct catalog *c, struct incarnation i);
MUST_USE enum err catalog_field_index_put(struct catalog *c, struct store_txn *t, struct incarnation i,
					  const struct field_index_config *config, struct fault *reterr_fault);
MUST_USE enum err catalog_field_index_drop(struct catalog *c, struct store_txn *t, struct incarnation i, struct str key);
/* A target of hlc 0 takes the alias away. */
MUST_USE enum err catalog_aliases_change(struct catalog *c, struct store_txn *t, const struct alias_list *changes,
					 struct fault *reterr_fault);
/* Of the record: those out of force, too. */
uint32_t catalog_aliases_count(const struct catalog *c);
/* The record of all aliases, copied into the arena; empty when there is none. Restoring it undoes a change. */
MUST_USE enum err catalog_aliases_get_raw(struct catalog *c, struct store_txn *t, struct arena *a,
					  struct bytes *ret_record);
MUST_USE enum err catalog_aliases_restore(struct catalog *c, struct store_txn *t, struct bytes record,
					  struct fault *reterr_fault);
/* The collection's record as the store has it, live or dropped, copied into the arena; empty when there is none. */
MUST_USE enum err catalog_record_get_raw(struct catalog *c, struct store_txn *t, struct incarnation i, struct arena *a,
					 struct bytes *ret_record);
/* Undoes what a later op did to a collection: its configuration and payload indexes become those of the record, a creation
 * (empty record) or a drop is taken back. A dropped collection must have been kept; what refers to its slots besides rows is
 * to be marked by `mark`, called with the collection before it frees what nobody marked. */
struct catalog_restoring {
	struct incarnation incarnation;
	struct bytes record;
	enum err (*mark)(void *ctx, struct collection *c);
	void *ctx;
};
MUST_USE enum err catalog_restore(struct catalog *c, struct store_txn *t, const struct catalog_restoring *r,
				  struct fault *reterr_fault);
/* Is it the key of a collection's record in STORE_CATALOG? And of one that is the same in every region: the aliases, too, which
 * are taken over as they are. */
bool catalog_is_record(struct bytes key);
bool catalog_is_shared(struct bytes key);
struct incarnation catalog_record_incarnation(struct bytes key);
/* A collection as another region's record has it, with its payload indexes and without points. *ret_installed: not of one that
 * was dropped there. */
MUST_USE enum err catalog_install(struct catalog *c, struct store_txn *t, struct incarnation i, struct bytes record,
				  bool *ret_installed, struct fault *reterr_fault);
/* Does the name exist in the state that this transaction has made? */
bool catalog_has(struct catalog *c, struct str name, struct incarnation *ret_incarnation);

/* All of them together, and the collections that changed. */
MUST_USE enum err catalog_sync(struct catalog *c, struct fault *reterr_fault);
/* Stores the Merkle blocks that changed, and deletes some rows of dropped collections; at checkpoints. */
MUST_USE enum err catalog_merkle_save(struct catalog *c, struct store_txn *t);
void catalog_publish(struct catalog *c);
void catalog_abandon(struct catalog *c);

/* Builds every segment that is due and returns when done; for tests. */
MUST_USE enum err catalog_build_now(struct catalog *c, struct fault *reterr_fault);
