/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a shard to prove it: every row as it is stored, rows with their values, values against their hashes, and
 * leaves of the Merkle tree against the rows under them.
 */
#include "index/shard.h"

#include "base/panic.h"
#include "base/wire.h"
#include "index/order.h"

#include <stdlib.h>
#include <string.h>

/* Numbers of rows that one chunk looks at; free ones cost a look each. */
#define CHUNK_NUMBERS_MAX 65536u

static void *copied(struct arena *a, const void *data, size_t count, size_t size)
{
	void *copy = arena_array(a, count, size);

	if (copy && count)
		memcpy(copy, data, count * size);
	return copy;
}

/* --- all rows, as stored --- */

enum err shard_scan(struct shard *s, struct store_txn *t, collection_scan_fn fn, void *ctx)
{
	const struct store_ops *ops = s->store->ops;
	uint8_t first[SHARD_KEY_BYTES];
	struct store_cursor *c;
	struct bytes key, record;
	enum err e = ops->cursor_open(t, STORE_ROWS, &c);

	if (e)
		return e;
	shard_key(s->uid, 0, first);
	e = ops->seek(c, (struct bytes){ .data = first, .len = sizeof(first) }, &key, &record);
	for (; !e; e = ops->next(c, &key, &record)) {
		struct wire_reader r = wire_reader_of(key.data, key.len);

		if (wire_u32_be(&r) != s->uid || wire_u32_be(&r) >= SHARD_ROWS_MAX)
			break;
		e = fn(ctx, record);
		if (e)
			break;
	}
	ops->cursor_close(c);
	return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* --- rows with their values --- */

/* Everything into the arena: slots may be used again once the lock is gone. */
static enum err fill_vector(const struct shard *s, struct row_vector *v, struct arena *a)
{
	int at = shard_find_vector(s->config, v->name);

	if (!v->present || v->slot == SLOT_NONE)
		return ERR_NONE;
	if (at < 0 || !s->vectors[at].dense)
		return ERR_CORRUPT;
	v->vector = (struct vector){ .kind = VECTOR_DENSE, .count = s->config->vectors[at].dim };
	v->vector.values = copied(a, dense_values(s->vectors[at].dense, v->slot), v->vector.count,
				  sizeof(float));
	return v->vector.values ? ERR_NONE : ERR_NO_MEMORY;
}

static enum err read_row(const struct shard_reader *r, uint32_t number, struct arena *a,
			 struct row *ret_row)
{
	struct bytes record;
	enum err e = shard_read_record(r, number, &record);

	if (e)
		return e;
	uint8_t *copy = copied(a, record.data, record.len, 1);

	if (!copy)
		return ERR_NO_MEMORY;
	e = row_decode((struct bytes){ .data = copy, .len = record.len }, a, ret_row);
	for (uint32_t i = 0; !e && i < ret_row->vector_count; i++)
		e = fill_vector(r->shard, &ret_row->vectors[i], a);
	return e;
}

enum err shard_read_rows(struct shard *s, const struct point_id *ids, uint32_t count,
			 struct collection_rows *out)
{
	struct shard_reader r;
	enum err e = shard_read_begin(s, NULL, true, NULL, &r);

	if (e)
		return e;
	if (out->with_txn)
		e = out->with_txn(out->ctx, r.txn);
	for (uint32_t i = 0; !e && i < count; i++) {
		uint32_t number;

		out->found[i] = id_map_get(s->ids, ids[i], &number);
		if (out->found[i])
			e = read_row(&r, number, out->arena, &out->rows[i]);
	}
	shard_read_end(&r);
	return e;
}

/* --- all rows, with their values --- */

static bool has_its_values(const struct row *row)
{
	for (uint32_t i = 0; i < row->vector_count; i++)
		if (row->vectors[i].present && vector_hash(&row->vectors[i].vector) != row->vectors[i].hash)
			return false;
	return true;
}

/* ERR_NOT_FOUND: the number is free. */
static enum err read_sound_row(const struct shard_reader *r, uint32_t number, struct collection_chunk *c)
{
	struct row *row = &c->rows[c->count];
	struct point_id id = row_state_id(&r->shard->rows[number]);
	enum err e = shard_broken(r->shard, number) ? ERR_CORRUPT : read_row(r, number, c->arena, row);

	if (!e && (!point_id_equal(row->id, id) || !has_its_values(row)))
		e = ERR_CORRUPT;
	if (e == ERR_CORRUPT || e == ERR_VERSION)
		c->bad = id;
	return e;
}

enum err shard_read_chunk(struct shard *s, struct collection_chunk *c)
{
	struct shard_reader r;
	uint32_t left = CHUNK_NUMBERS_MAX;
	enum err e = shard_read_begin(s, NULL, true, NULL, &r);

	if (e)
		return e;
	size_t used = c->arena->used;

	c->count = 0;
	if (c->with_txn)
		e = c->with_txn(c->ctx, r.txn);
	for (; !e && left > 0 && c->next < s->row_count && c->count < COLLECTION_CHUNK_ROWS; left--, c->next++) {
		if (c->count > 0 && c->arena->used - used >= c->bytes_max)
			break;
		e = read_sound_row(&r, c->next, c);
		c->count += !e;
		if (e == ERR_NOT_FOUND)
			e = ERR_NONE;
	}
	c->done = c->next >= s->row_count;
	shard_read_end(&r);
	return e;
}

/* --- records that cannot be read --- */

const struct broken_row *shard_broken(const struct shard *s, uint32_t number)
{
	for (uint32_t i = 0; i < s->broken_count && s->broken[i].number <= number; i++)
		if (s->broken[i].number == number)
			return &s->broken[i];
	return NULL;
}

enum err shard_row_clear(struct shard *s, struct store_txn *t, struct point_id id, bool *ret_any)
{
	*ret_any = false;
	for (uint32_t i = 0; i < s->broken_count; i++) {
		const struct broken_row *b = &s->broken[i];
		uint8_t key[SHARD_KEY_BYTES];

		if (b->has_id && !point_id_equal(b->id, id))
			continue;
		shard_key(s->uid, b->number, key);
		enum err e = s->store->ops->del(t, STORE_ROWS, (struct bytes){ .data = key, .len = sizeof(key) });

		if (e && e != ERR_NOT_FOUND)
			return e;
		*ret_any |= !e;
	}
	return ERR_NONE;
}

enum err shard_row_spoil(struct shard *s, struct store_txn *t, struct point_id id)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SIZE_MAX);
	uint8_t bytes[SHARD_KEY_BYTES];
	struct bytes key = { .data = bytes, .len = sizeof(bytes) };
	struct bytes record;
	uint32_t number;

	if (!id_map_get(s->ids, id, &number))
		return ERR_NOT_FOUND;
	shard_key(s->uid, number, bytes);
	enum err e = s->store->ops->get(t, STORE_ROWS, key, &record);

	if (!e)
		e = buf_append(&b, record.data, record.len);
	if (e)
		return e;
	b.data[b.len - 1] ^= 1;
	return s->store->ops->put(t, STORE_ROWS, key, buf_bytes(&b));
}

/* --- values against their hashes --- */

/* What is read is wrong when it cannot be decoded, is another point's, or has other values than were written. */
static enum err check_row(const struct shard_reader *r, uint32_t number, struct arena *a,
			  struct collection_check *c)
{
	const struct broken_row *broken = shard_broken(r->shard, number);
	struct bytes record;

	if (broken) {
		if (broken->has_id && !shard_read_record(r, number, &record))
			c->bad[c->bad_count++] = broken->id;
		return ERR_NONE;
	}
	struct point_id id = row_state_id(&r->shard->rows[number]);
	struct row row;
	enum err e = read_row(r, number, a, &row);

	if (e == ERR_NOT_FOUND)
		return ERR_NONE;
	if (e && e != ERR_CORRUPT && e != ERR_VERSION)
		return e;
	bool wrong = e || !point_id_equal(row.id, id);

	for (uint32_t i = 0; !wrong && i < row.vector_count; i++) {
		const struct row_vector *v = &row.vectors[i];

		if (!v->present)
			continue;
		wrong = vector_hash(&v->vector) != v->hash;
		c->bytes += v->vector.count * sizeof(float);
	}
	c->rows++;
	if (wrong)
		c->bad[c->bad_count++] = id;
	return ERR_NONE;
}

enum err shard_check(struct shard *s, struct collection_check *c)
{
	struct shard_reader r;
	uint32_t left = COLLECTION_CHECK_ROWS;
	enum err e = shard_read_begin(s, NULL, true, NULL, &r);

	if (e)
		return e;
	c->bad_count = 0;
	c->bytes = c->rows = 0;
	for (; !e && left > 0 && c->next < s->row_count; left--, c->next++) {
		CLEANUP(arena_release) struct arena a;

		arena_init(&a, SIZE_MAX);
		e = check_row(&r, c->next, &a, c);
	}
	c->done = c->next >= s->row_count;
	shard_read_end(&r);
	return e;
}

/* --- leaves against the rows under them --- */

struct leaf_sum {
	struct merkle_leaf sum;
	bool wanted, failed;
};

static enum err digest_of(const struct shard *s, struct store_txn *t, uint32_t number,
			  struct hash128 *ret_digest)
{
	CLEANUP(arena_release) struct arena a;
	uint8_t key[SHARD_KEY_BYTES];
	struct bytes record;
	struct row row;

	arena_init(&a, SIZE_MAX);
	shard_key(s->uid, number, key);
	enum err e = s->store->ops->get(
		t, STORE_ROWS, (struct bytes){ .data = key, .len = sizeof(key) }, &record);

	if (!e)
		e = row_decode(record, &a, &row);
	if (!e)
		*ret_digest = row_digest(&row, s->incarnation);
	return e;
}

static void add_rows(const struct shard *s, struct store_txn *t, struct leaf_sum *sums)
{
	for (uint32_t row = 0; row < s->row_count; row++) {
		struct leaf_sum *l =
			&sums[merkle_leaf_of(s->merkle, row_state_id(&s->rows[row]))];
		struct hash128 digest;
		enum err e = l->wanted && !shard_broken(s, row) ? digest_of(s, t, row, &digest) : ERR_NOT_FOUND;

		if (e == ERR_NOT_FOUND) /* a number that is free */
			continue;
		l->failed |= e != ERR_NONE;
		if (e)
			continue;
		l->sum.lo += digest.lo;
		l->sum.hi += digest.hi;
		l->sum.count++;
	}
}

enum err shard_leaves_recount(struct shard *s, struct leaves_recount *r)
{
	uint32_t all = (uint32_t)1 << merkle_bits(s->merkle);
	struct leaf_sum *sums = calloc(all, sizeof(*sums));
	struct store_txn *t;

	ASSERT(!s->pending.open);
	if (!sums)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < r->count; i++)
		if (r->leaves[i] < all)
			sums[r->leaves[i]].wanted = true;
	enum err e = s->store->ops->begin(s->store, false, &t);

	if (!e) {
		/* Only this thread changes the rows, and nothing is pending. */
		add_rows(s, t, sums);
		s->store->ops->abort(t);
	}
	for (uint32_t leaf = 0; !e && leaf < all; leaf++) {
		if (sums[leaf].failed)
			r->failed++;
		else if (sums[leaf].wanted)
			r->changed += merkle_leaf_set(s->merkle, leaf, sums[leaf].sum);
	}
	free(sums);
	return e;
}
