/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collection: a named set of shards in this region. Searches ask its shards in parallel and merge.
 * Reading is for any thread. Writing is for the committer, row by row, inside its store transaction:
 *
 *     collection_row_load …  merge …  collection_row_store     (rows; new dense vectors go to slots)
 *     collection_sync                                           (slot files, before the transaction commits)
 *     collection_publish | collection_abandon                   (memory: ids, tail, field indexes; after it)
 *
 * Within one transaction a row that was stored is loaded as stored. Readers see rows from publish on, all of a
 * transaction's rows of one shard at once.
 */
#pragma once

#include "base/pool.h"
#include "index/datatype.h"
#include "index/deadline.h"
#include "index/distance.h"
#include "index/filter.h"
#include "index/merkle.h"
#include "index/row.h"
#include "index/store.h"

#define COLLECTION_NAME_MAX 255
#define COLLECTION_VECTORS_MAX 256
#define COLLECTION_SHARDS_MAX 256
#define VECTOR_DIM_MAX 65536

struct hnsw_config {
	uint32_t m;                     /* default 16; 0: no graph */
	uint32_t ef_construct;          /* default 100 */
	uint32_t full_scan_threshold_kb; /* default 10000 */
};

struct vector_config {
	struct str name;
	bool sparse;
	bool idf;                    /* sparse: queries are weighed by inverse document frequencies */
	bool multi;                  /* dense: any number of vectors of dim, compared by MaxSim; no graph is built */
	uint32_t dim;                /* dense */
	enum distance distance;      /* dense */
	enum datatype datatype;      /* dense; 0 is float32 */
	struct hnsw_config hnsw;     /* dense */
};
/* For formats: which of its kinds a vector is. A byte 0 or 1 is what formats had before there were more. */
enum { VECTOR_FLAG_SPARSE = 1, VECTOR_FLAG_MULTI = 2, VECTOR_FLAG_IDF = 4, VECTOR_FLAG_FLOAT16 = 16, VECTOR_FLAG_UINT8 = 32 };
#define VECTOR_FLAGS_BEFORE VECTOR_FLAG_SPARSE
uint8_t vector_config_flags(const struct vector_config *v);
/* False: no vector has these. */
bool vector_config_set_flags(struct vector_config *v, uint8_t flags);
/* The least version of a format that can hold it: 1, or 2 for other flags than those of before. */
struct collection_config;
uint8_t collection_config_version(const struct collection_config *c);
/* Can the vector be one of these? ERR_BAD_INPUT has Qdrant's words. */
MUST_USE enum err vector_config_check(const struct vector_config *v, const struct vector *vector,
				      struct fault *reterr_fault);
/* By which its vectors are compared, as they are stored. */
enum distance vector_config_distance(const struct vector_config *v);

enum field_schema {
	FIELD_KEYWORD = 1, FIELD_INTEGER, FIELD_FLOAT, FIELD_GEO, FIELD_TEXT, FIELD_BOOL, FIELD_DATETIME, FIELD_UUID
};

/* What the index must know of a collection; travels in the log (replicator/change.h). */
struct collection_config {
	struct vector_config *vectors;   /* sorted by name */
	uint32_t vector_count;
	uint32_t shard_number;
	uint64_t indexing_threshold_kb;  /* default 10000; 0: never build */
	bool multi_writer;
	struct bytes client_config;      /* as the client gave it; gateway/ reads and echoes it, nobody below does */
};

struct field_index_config {
	struct str key;                  /* a path */
	enum field_schema schema;
	struct bytes client_params;      /* echoed, as client_config */
};

struct collection;

/* --- reading: any thread --- */

const struct collection_config *collection_config(const struct collection *c);
struct incarnation collection_incarnation(const struct collection *c);
/* The vector of that name, or NULL. */
const struct vector_config *collection_vector(const struct collection *c, struct str name);

/* Of which kind its vectors are. */
enum vector_kind vector_config_kind(const struct vector_config *v);
/* What is done to a dense vector of the client before anything is logged, so that regions are byte-equal: unit length where
 * the distance is cosine (but of uint8, which would have little left), then rounded to the type of its components. In place. */
void collection_normalize(const struct vector_config *config, float *values);
/* The same for each vector of a multivector. */
void collection_normalize_rows(const struct vector_config *config, float *values, uint32_t rows);
/* A vector that fits (vector_config_check) as the collection compares it, in the arena. */
MUST_USE enum err vector_config_normalize(const struct vector_config *v, const struct vector *vector, struct arena *a,
					  struct vector *ret_vector);

struct scoring;

struct search_query {
	struct str vector_name;
	struct vector vector;        /* dense or sparse, as the client sent it; normalised inside */
	/* NULL: nearest to the vector. Else the best by it, every vector compared: its examples are as the client sent them. */
	const struct scoring *scoring;
	const struct filter *filter; /* NULL: all */
	uint32_t limit;              /* offset included by the caller */
	uint32_t hnsw_ef;            /* 0: default */
	bool exact;
	bool indexed_only;
	bool has_threshold;
	float threshold;             /* a score: strictly better passes */
	struct deadline deadline;
};

/* What a point was ordered by. */
struct order_value {
	enum { ORDER_VALUE_NONE, ORDER_VALUE_INT, ORDER_VALUE_FLOAT } kind;
	union {
		int64_t integer;
		double number;
	};
};

struct scored {
	struct point_id id;
	uint32_t shard;
	uint32_t row;
	float score;                 /* as clients see it */
	uint64_t version;
	struct order_value order;    /* of collection_order() */
};

/* Nearest first; equal scores by id. out has room for query.limit. ERR_BAD_INPUT names a wrong vector name,
 * kind or dimension ("Wrong input: …" is added by the envelope). pool may be NULL: all on this thread. */
MUST_USE enum err collection_search(struct collection *c, struct pool *pool, const struct search_query *q,
				    struct scored *out, uint32_t *ret_count, struct fault *reterr_fault);

/* A point as a reply needs it; everything in the arena. */
struct record {
	bool found;
	struct point_id id;
	uint64_t version;
	struct value payload;            /* the whole object, or no value when not wanted */
	struct named_vector *vectors;
	uint32_t vector_count;
};
struct record_want {
	bool payload;
	bool vectors;
	const struct str *vector_names;  /* only these; NULL: all */
	uint32_t vector_name_count;
};
/* out[i] belongs to ids[i]; invisible points have found = false. ERR_CORRUPT names a point whose stored bytes are not what
 * was written; vectors are compared with their hashes when they are wanted. */
MUST_USE enum err collection_retrieve(struct collection *c, const struct point_id *ids,
				      uint32_t count, const struct record_want *want,
				      struct arena *a, struct record *out,
				      struct fault *reterr_fault);

/* The first `limit` visible ids >= *from (NULL: all) that match, in order; *ret_next is the one after them, if any. */
MUST_USE enum err collection_scroll(struct collection *c, const struct filter *f, const struct point_id *from,
				    uint32_t limit, const struct deadline *deadline, struct point_id *out,
				    uint32_t *ret_count, bool *ret_more, struct point_id *ret_next);
/* Would a read find that row? Of the committer, for rows that are not published yet. */
MUST_USE enum err collection_row_matches(const struct collection *c, const struct filter *f, const struct row *row,
					 bool *ret_match);

/* Points in the order of a value of their payload, or of none. */
struct order_query {
	/* Integers for FIELD_INTEGER, all numbers for FIELD_FLOAT, microseconds for FIELD_DATETIME. A point stands once for each
	 * value that the path finds; items of a list count. NULL: in an order that the seed gives. */
	const struct path *key;
	enum field_schema schema;
	bool descending;
	struct order_value start;    /* the first value; no kind: none is left out */
	uint64_t seed;
	const struct filter *filter; /* NULL: all */
	uint32_t limit;
	struct deadline deadline;
};
/* Equal values by id, in the same direction. out has room for limit; scores are 1. */
MUST_USE enum err collection_order(struct collection *c, const struct order_query *q, struct scored *out,
				   uint32_t *ret_count);
/* Visible points. */
uint64_t collection_points(const struct collection *c);
MUST_USE enum err collection_count(struct collection *c, const struct filter *f,
				   const struct deadline *deadline, uint64_t *ret_count);

/* One value of a payload; the text is somebody else's. */
struct field_value {
	enum { FIELD_VALUE_TEXT, FIELD_VALUE_INT, FIELD_VALUE_BOOL } kind;
	struct str text;
	int64_t integer;
	bool boolean;
};
struct facet_hit {
	struct field_value value;
	uint64_t count; /* of points that have it */
};
/* The values that most points have at a key, of those that match; in the arena. Equal counts: by value.
 * ERR_NOT_FOUND: the key has no payload index whose values can be counted. */
MUST_USE enum err collection_facet(struct collection *c, struct str key, const struct filter *f, uint32_t limit,
				   const struct deadline *deadline, struct arena *a, struct facet_hit **ret_hits,
				   uint32_t *ret_count);

struct collection_info {
	uint64_t points;
	uint64_t vectors;
	uint64_t indexed_vectors;
	uint32_t segments;           /* counting each non-empty tail */
	bool optimizing;             /* a build is running or due */
	char optimizer_error[256];   /* "" when all is well */
	uint64_t disk_bytes;
	uint64_t memory_bytes;
};
void collection_info(struct collection *c, struct collection_info *ret_info);

struct field_index_info {
	struct field_index_config config;
	uint64_t points;             /* that have a value there */
};
/* In the arena. */
MUST_USE enum err collection_field_indexes(struct collection *c, struct arena *a, struct field_index_info **ret_items,
					   uint32_t *ret_count);

struct shard_info {
	uint32_t shard;
	uint64_t points;
	uint64_t searches;
};
uint32_t collection_shard_count(const struct collection *c);
void collection_shard_info(struct collection *c, uint32_t shard, struct shard_info *ret_info);

/* --- writing: the committer --- */

/* The stored row in its latest state, visible or not; ERR_NOT_FOUND. Vector values are filled in. */
MUST_USE enum err collection_row_load(struct collection *c, struct store_txn *t, struct point_id id,
				      struct arena *a, struct row *ret_row);
/* Stores it; dense vectors whose slot is SLOT_NONE are written to new slots (row->vectors[i].slot is filled in). Slots that
 * the old row had and the new one has not are the caller's to release (collection_slot_free) once no op refers
 * to them. The Merkle tree follows. */
MUST_USE enum err collection_row_store(struct collection *c, struct store_txn *t, struct row *row,
				       struct fault *reterr_fault);
/* As if it had never been stored: for walking back the op that made it. ERR_NOT_FOUND when there is none. */
MUST_USE enum err collection_row_remove(struct collection *c, struct store_txn *t, struct point_id id);
/* Records that could not be read at start, and may have been this row's, go. Where one cannot be read that was sound at start,
 * collection_row_load says ERR_CORRUPT, and collection_row_store and _remove do without it; then its leaf has to be counted
 * anew. *ret_any: there were some. */
MUST_USE enum err collection_row_clear(struct collection *c, struct store_txn *t, struct point_id id, bool *ret_any);
/* Damages the stored record, for tests and demonstrations: its checksum does not fit. ERR_NOT_FOUND. */
MUST_USE enum err collection_row_spoil(struct collection *c, struct store_txn *t, struct point_id id);
/* Values of a slot of that vector, for encoding an op from the log. */
const float *collection_slot_values(struct collection *c, uint32_t shard, struct str vector_name, uint32_t slot);
uint32_t collection_shard_of(const struct collection *c, struct point_id id);
/* No row and no op refers to it any more, durably: call it after the commit. Readers and builders that still look
 * at it are waited for inside. */
void collection_slot_free(struct collection *c, uint32_t shard, struct str vector_name, uint32_t slot);
/* At start, for slots that the log refers to. */
MUST_USE enum err collection_slot_mark(struct collection *c, uint32_t shard, struct str vector_name, uint32_t slot);

MUST_USE enum err collection_sync(struct collection *c, struct fault *reterr_fault);
void collection_publish(struct collection *c);
void collection_abandon(struct collection *c);

/* --- audits --- */

/* The committer, or any thread on a copy. */
struct merkle *collection_merkle(struct collection *c, uint32_t shard);
/* The committer, with nothing pending: counts leaves from their rows. How many the tree had otherwise, and how many stay as
 * they are because a row under them cannot be read. */
struct leaves_recount {
	const uint32_t *leaves;
	uint32_t count;
	uint32_t changed, failed;
};
MUST_USE enum err collection_leaves_recount(struct collection *c, uint32_t shard, struct leaves_recount *r);

/* Every record of a shard (row.h) as the transaction has it, readable or not, in no order that means anything. An error of
 * fn ends it. Any thread. */
typedef enum err (*collection_scan_fn)(void *ctx, struct bytes record);
MUST_USE enum err collection_scan(struct collection *c, struct store_txn *t, uint32_t shard, collection_scan_fn fn,
				  void *ctx);

/* Stored rows with all their values, visible or not, in one committed state. Any thread. */
struct collection_rows {
	struct arena *arena;                                      /* takes everything */
	bool *found;                                              /* one an id */
	struct row *rows;
	enum err (*with_txn)(void *ctx, struct store_txn *t);     /* called once, to read more of that state; may be NULL */
	void *ctx;
};
/* All ids are of that shard. ERR_CORRUPT: one of the rows cannot be read. */
MUST_USE enum err collection_read_rows(struct collection *c, uint32_t shard, const struct point_id *ids, uint32_t count,
				       struct collection_rows *out);

/* The next rows of a shard as they are stored, with all their values, in one committed state: what another region's copy is made
 * of. ERR_CORRUPT: the row of `bad` is not what was written. Any thread. */
#define COLLECTION_CHUNK_ROWS 1024u
struct collection_chunk {
	struct arena *arena;                                      /* takes everything */
	size_t bytes_max;                                         /* no further row once it has so many; at least one */
	uint32_t next;                                            /* 0 to begin with */
	bool done;
	struct row rows[COLLECTION_CHUNK_ROWS];
	uint32_t count;
	struct point_id bad;
	enum err (*with_txn)(void *ctx, struct store_txn *t);     /* called once, to read more of that state; may be NULL */
	void *ctx;
};
MUST_USE enum err collection_read_chunk(struct collection *c, uint32_t shard, struct collection_chunk *chunk);

/* Reads what is stored of the next rows of a shard and compares it with its hashes. Any thread. */
#define COLLECTION_CHECK_ROWS 256u
struct collection_check {
	uint32_t next;               /* 0 to begin with */
	bool done;
	uint64_t rows, bytes;        /* of this step */
	struct point_id bad[COLLECTION_CHECK_ROWS];
	uint32_t bad_count;
};
MUST_USE enum err collection_check(struct collection *c, uint32_t shard, struct collection_check *check);
