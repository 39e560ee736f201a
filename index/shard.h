/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One shard: rows, their ids, vectors, payload indexes and Merkle tree.
 *
 * Readers hold the lock shared for a whole search; publishing and taking over a build hold it exclusively for a
 * short time. What readers read in the store fits what they see in memory: a transaction that changes
 * the shard counts up the shard's generation in the store, publishing does the same in memory, and a reader that
 * finds them different comes between the two and waits at the gate for the publishing.
 *
 * Keys in STORE_ROWS: u32 BE uid of the shard, then
 *   u32 BE row number                         the row, see row.c
 *   u32 BE 0xffffffff                         u64 LE generation
 *   u32 BE 0xfffffffe, u32 BE vector, u32 BE slot   values of a slot, only when the slots are in memory
 */
#pragma once

#include "base/metric.h"
#include "index/dense.h"
#include "index/field_index.h"
#include "index/id_map.h"
#include "index/multi.h"
#include "index/sparse.h"

#include <pthread.h>

#define SHARD_ROWS_MAX 0xfffffff0u

/* One for all shards of a catalog: where readers wait for a publish. */
struct gate {
	pthread_mutex_t lock; /* for passed */
	pthread_cond_t passed;
	atomic_uint_least64_t
		count;       /* publishes, and what was abandoned; changed with the lock held */
	atomic_ulong writer; /* thread with an open transaction; 0: none */
	unsigned shards;     /* that it has changed; the committer's */
};
MUST_USE enum err gate_init(struct gate *g);
void gate_release(struct gate *g);
static inline uint64_t gate_count(struct gate *g)
{
	return atomic_load(&g->count);
}
/* Returns once the count is beyond `seen`, or after a while. ERR_UNAVAILABLE for the writer, who would wait for itself. */
MUST_USE enum err gate_wait(struct gate *g, uint64_t seen);

/* --- the structures; fields belong to shard*.c --- */

struct row_state {
	uint64_t hi, lo; /* of the id */
	uint64_t op_number;
	uint8_t kind; /* of the id */
	bool visible;
};

struct shard_vector {
	struct dense *dense; /* one of the three */
	struct sparse *sparse;
	struct multi *multi;
};

struct shard_field {
	struct field_index *index;
	uint32_t filled; /* rows below are in it */
	bool complete;
};

/* A row that the open transaction has changed. */
struct pending_row {
	struct point_id id;
	uint32_t row;
	bool is_new; /* not there before the transaction */
	bool retires;     /* what was there could not be read: it had this number, which nobody gets again, */
	uint32_t retired; /* as indexes may still name it */
	bool removed;
	struct hash128 digest; /* as the Merkle tree has it; unless removed */
	uint8_t *before; /* the record before the transaction, when an index has to forget it */
	size_t before_len;
	uint8_t *after; /* the record */
	size_t after_len;
};

struct merkle_undo {
	struct point_id id;
	struct hash128 before, after;
	bool had, has;
};

struct pending_slot {
	uint32_t vector;
	uint32_t slot;
};

/* The committer's. */
struct pending {
	bool open;             /* the gate counts this shard */
	struct store_txn *txn; /* the transaction; valid while rows are pending */
	struct pending_row *rows;
	uint32_t count, cap;
	uint32_t *table; /* id -> index + 1; open addressing */
	uint32_t table_cap;
	uint32_t rows_new;   /* row numbers beyond the end that were given out */
	uint32_t free_taken; /* of free_rows */
	struct merkle_undo *undo;
	uint32_t undo_count, undo_cap;
	struct pending_slot *slots; /* written in this transaction */
	uint32_t slot_count, slot_cap;
};

/* A stored record that cannot be read, found at start: its row is as if not there. Its number is not used again, so that nobody
 * takes it for another row's. */
struct broken_row {
	uint32_t number;
	bool has_id;         /* it could be read; it need not be right */
	struct point_id id;
};
/* With more, a shard is not opened: that is no damage of single rows. */
#define SHARD_BROKEN_MAX 1000u

struct shard {
	uint32_t number;
	uint32_t uid;
	struct store *store;
	struct incarnation incarnation;
	const struct collection_config *config; /* its list of vectors never changes */
	char *dir;                              /* NULL: in memory */

	pthread_rwlock_t lock; /* guards what follows, down to the gate */
	struct id_map *ids;
	struct row_state *rows;
	uint32_t row_count; /* numbers in use are below */
	uint32_t row_cap;
	atomic_uint_least64_t visible; /* points; may be read without the lock */
	uint64_t generation;
	struct shard_vector *vectors; /* as in config */
	struct shard_field *fields;
	uint32_t field_count, field_cap;
	char error[256]; /* of the last build; "" */

	struct gate *gate; /* see above */

	uint32_t *free_rows; /* from here on the committer's */
	uint32_t free_count, free_cap;
	struct pending pending;
	struct broken_row *broken; /* by number; never changes once it was loaded */
	uint32_t broken_count;
	struct pending_slot *given_back; /* freed at the next publish */
	uint32_t given_count, given_cap;
	struct merkle *merkle;

	atomic_uint_least64_t searches;
	struct metric_series *searches_series, *points_series; /* NULL: nobody is told */
};

struct shard_options {
	struct store *store;
	struct gate *gate; /* outlives the shard */
	const char *dir;   /* must exist; NULL: in memory */
	uint32_t number, uid;
	struct incarnation incarnation;
	const struct collection_config *config; /* outlives the shard */
	const char *collection_label;           /* for metrics; NULL: none */
	uint32_t tail_vectors_max;
	unsigned build_threads;
};

/* --- life --- */

MUST_USE enum err shard_new(const struct shard_options *o, struct shard **ret_shard,
			    struct fault *reterr_fault);
/* remove: deletes its files. Nobody refers to it. */
void shard_free(struct shard *s, bool remove);
/* At start: reads the rows. Payload indexes that were put before are filled. */
MUST_USE enum err shard_load(struct shard *s, struct store_txn *t, struct fault *reterr_fault);
/* At start, in place of shard_load: nothing but the slots. */
MUST_USE enum err shard_load_slots(struct shard *s, struct store_txn *t);
/* Frees all but the slots and deletes the segments. Nobody reads it but for values of slots. */
void shard_hollow(struct shard *s);
/* After all slots are marked. */
MUST_USE enum err shard_start(struct shard *s, struct fault *reterr_fault);
/* Vectors that the tail may hold under this config. */
uint32_t shard_tail_max(const struct collection_config *config, const struct vector_config *v,
			uint32_t tail_vectors_max);

/* --- the committer; see collection.h --- */

MUST_USE enum err shard_row_load(struct shard *s, struct store_txn *t, struct point_id id,
				 struct arena *a, struct row *ret_row);
MUST_USE enum err shard_row_store(struct shard *s, struct store_txn *t, struct row *row,
				  struct fault *reterr_fault);
MUST_USE enum err shard_row_remove(struct shard *s, struct store_txn *t, struct point_id id);
MUST_USE enum err shard_row_clear(struct shard *s, struct store_txn *t, struct point_id id, bool *ret_any);
MUST_USE enum err shard_row_spoil(struct shard *s, struct store_txn *t, struct point_id id);
const struct broken_row *shard_broken(const struct shard *s, uint32_t number);
void shard_slot_free(struct shard *s, uint32_t vector, uint32_t slot);
MUST_USE enum err shard_sync(struct shard *s, struct fault *reterr_fault);
void shard_publish(struct shard *s);
void shard_abandon(struct shard *s);
/* Deletes up to *budget rows and Merkle blocks of a shard that is no more. *ret_more: it was not enough. */
MUST_USE enum err shard_purge(struct store *store, struct store_txn *t, uint32_t uid,
			      uint32_t *budget, bool *ret_more);

/* Replaces an index of the same key. It serves once shard_fields_fill says that nothing is left. */
MUST_USE enum err shard_field_put(struct shard *s, const struct field_index_config *config,
				  struct fault *reterr_fault);
void shard_field_drop(struct shard *s, struct str key);
/* Adds up to so many rows to each index that is not complete. Any one thread. */
MUST_USE enum err shard_fields_fill(struct shard *s, uint32_t rows_max, bool *ret_more);
void shard_configure(struct shard *s, const struct collection_config *config,
		     uint32_t tail_vectors_max);

/* --- any thread --- */

struct shard_query {
	const struct search_query *q;
	uint32_t vector;
	const float *dense; /* normalised; or */
	const struct vector *sparse;
	const struct vector *multi; /* normalised, of a vector that is multi */
	const struct scoring *scoring; /* normalised; then none of them */
	uint32_t k;
};
/* Nearest first, ordered by similarity and id; hits[i] has versions[i]. Room for k. */
MUST_USE enum err shard_search(struct shard *s, const struct shard_query *q, struct hit *hits,
			       uint64_t *versions, uint32_t *ret_count);
/* Those of ids whose shard_of is this shard's number. */
MUST_USE enum err shard_retrieve(struct shard *s, const struct point_id *ids,
				 const uint32_t *shard_of, uint32_t count,
				 const struct record_want *want, struct arena *a,
				 struct record *out, struct fault *reterr_fault);
/* The first ids >= *from that match, in order; room for limit. */
MUST_USE enum err shard_scroll(struct shard *s, const struct filter *f, const struct point_id *from,
			       uint32_t limit, const struct deadline *deadline,
			       struct point_id *out, uint32_t *ret_count);
/* Room for limit. */
MUST_USE enum err shard_order(struct shard *s, const struct order_query *q, struct scored *out, uint32_t *ret_count);
/* < 0: a comes first. */
int order_compare(const struct order_query *q, const struct scored *a, const struct scored *b);
MUST_USE enum err shard_count(struct shard *s, const struct filter *f,
			      const struct deadline *deadline, uint64_t *ret_count);
/* Shows how many points there are. */
void shard_tell_points(struct shard *s);
/* As collection_facet: every value, in no order. */
MUST_USE enum err shard_facet(struct shard *s, struct str key, const struct filter *f, const struct deadline *deadline,
			      facet_fn fn, void *ctx);
/* Adds the shard's figures. */
void shard_info_add(struct shard *s, struct collection_info *info);
static inline uint64_t shard_points(const struct shard *s)
{
	return atomic_load(&s->visible);
}
/* Points that the index of that key holds. */
uint64_t shard_field_points(struct shard *s, struct str key);

bool shard_build_due(struct shard *s);
/* Builds one segment that is due; ret_built: there was one. After a failure it waits, unless now is set. */
MUST_USE enum err shard_build(struct shard *s, bool now, const atomic_bool *cancel, bool *ret_built,
			      struct fault *reterr_fault);

/* --- audits: shard_audit.c; see collection.h --- */

MUST_USE enum err shard_scan(struct shard *s, struct store_txn *t, collection_scan_fn fn, void *ctx);
MUST_USE enum err shard_read_rows(struct shard *s, const struct point_id *ids, uint32_t count,
				  struct collection_rows *out);
MUST_USE enum err shard_check(struct shard *s, struct collection_check *c);
MUST_USE enum err shard_read_chunk(struct shard *s, struct collection_chunk *c);
/* The committer, with nothing pending. */
MUST_USE enum err shard_leaves_recount(struct shard *s, struct leaves_recount *r);

/* --- within shard*.c: reading under the lock --- */

#define SHARD_KEY_BYTES 8
#define SHARD_GENERATION_ROW 0xffffffffu
#define SHARD_SLOTS_ROW 0xfffffffeu
void shard_key(uint32_t uid, uint32_t row, uint8_t out[SHARD_KEY_BYTES]);

/* Index of the vector of that name; -1: there is none. */
int shard_find_vector(const struct collection_config *config, struct str name);
/* Exclusive. Room for rows below count. */
MUST_USE enum err shard_reserve_rows(struct shard *s, uint32_t count);
MUST_USE enum err shard_free_row_add(struct shard *s, uint32_t row);

/* The rows that a filter can match, as far as the payload indexes know. */
struct plan {
	bool known; /* rows hold all that can match */
	bool exact; /* and only such */
	struct row_bits rows;
	uint32_t count; /* of rows, when known */
};

struct shard_reader {
	struct shard *shard;
	const struct filter *filter; /* NULL: all */
	struct plan plan;
	struct store_txn *txn; /* NULL: nothing has to be read there */
	uint64_t *memo;        /* two bits a row: known, matches */
	enum err err;          /* the first that evaluation met */
};
/* Takes the lock shared. need_store: records will be read even if the filter needs none. */
MUST_USE enum err shard_read_begin(struct shard *s, const struct filter *f, bool need_store,
				   const struct deadline *deadline,
				   struct shard_reader *ret_reader);
void shard_read_end(struct shard_reader *r);
/* Does the visible row match? false with r->err set when that cannot be told. */
bool shard_read_accepts(struct shard_reader *r, uint32_t row);
/* Of any row of the collection. Under the lock, or the committer. */
MUST_USE enum err shard_row_matches(const struct shard *s, const struct filter *f, const struct row *row,
				    bool *ret_match);
/* ERR_UNAVAILABLE: what r->txn reads is newer than what is in memory. */
MUST_USE enum err shard_read_fits(const struct shard_reader *r);
MUST_USE enum err shard_read_record(const struct shard_reader *r, uint32_t row,
				    struct bytes *ret_record);

/* Offers the best of all rows; their similarities are scores. */
MUST_USE enum err shard_score(struct shard_reader *r, const struct shard_query *q, struct topk *top);

static inline struct point_id row_state_id(const struct row_state *r)
{
	return (struct point_id){ .hi = r->hi, .lo = r->lo, .kind = r->kind };
}
