/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/content.h"

#include <string.h>

#include "base/hash.h"
#include "base/panic.h"
#include "base/wire.h"
#include "index/catalog_record.h"
#include "index/shard.h"
#include "tests/sim/oracle.h"
#include "tests/sim/trace.h"

#define ARENA_BYTES ((size_t)64 << 20)
#define SHARDS_MAX 64

/* The shards of live collections: rows of dropped ones go at leisure. */
struct shards {
	uint32_t count;
	struct {
		uint32_t uid;
		bool multi;
		struct incarnation incarnation;
	} items[SHARDS_MAX];
};

/* --- the catalog --- */

static uint64_t digest_record(const struct catalog_record *r, struct bytes key)
{
	uint64_t sum = hash64(key.data, key.len, 4);

	sum = hash64(r->name.data, r->name.len, sum);
	for (uint32_t i = 0; i < r->fields.count; i++) {
		const struct field_index_config *f = &r->fields.items[i];

		sum = hash64(f->key.data, f->key.len, sum + (uint64_t)f->schema);
	}
	return sum;
}

static void add_shards(struct shards *shards, const struct catalog_record *r, struct bytes key)
{
	struct wire_reader reader = wire_reader_of(key.data, key.len);
	uint64_t hlc = (uint64_t)wire_u32_be(&reader) << 32;
	struct incarnation incarnation = { .hlc = hlc | wire_u32_be(&reader), .region = key.data[8] };

	for (uint32_t i = 0; i < r->config.shard_number; i++) {
		ASSERT(shards->count < SHARDS_MAX);
		shards->items[shards->count].uid = r->uids[i];
		shards->items[shards->count].multi = r->config.multi_writer;
		shards->items[shards->count++].incarnation = incarnation;
	}
}

/* sum: NULL, or what the records themselves are added to. */
static void read_shards(struct store *s, struct store_txn *t, struct shards *ret_shards, uint64_t *sum)
{
	CLEANUP(arena_release) struct arena a;
	static const struct bytes begin;
	struct store_cursor *c;
	struct bytes key, value;

	arena_init(&a, ARENA_BYTES);
	ret_shards->count = 0;
	ASSERT(s->ops->cursor_open(t, STORE_CATALOG, &c) == ERR_NONE);
	for (enum err err = s->ops->seek(c, begin, &key, &value); err == ERR_NONE;
	     err = s->ops->next(c, &key, &value)) {
		struct catalog_record r;

		if (key.len != CATALOG_KEY_BYTES)
			continue;
		if (catalog_record_get(value, &a, &r) != ERR_NONE)
			violation("rows", "a record of the catalog cannot be read");
		if (r.dropped)
			continue;
		add_shards(ret_shards, &r, key);
		if (sum)
			*sum += digest_record(&r, key);
	}
	s->ops->cursor_close(c);
}

/* --- rows --- */

/* The shard that the row belongs to; -1: it is another thing that a shard keeps (index/shard.h), or of a dropped one. */
static int shard_of(const struct shards *shards, struct bytes key)
{
	struct wire_reader r = wire_reader_of(key.data, key.len);
	uint32_t uid = wire_u32_be(&r);

	if (key.len != SHARD_KEY_BYTES || wire_u32_be(&r) >= SHARD_ROWS_MAX)
		return -1;
	for (uint32_t i = 0; i < shards->count; i++)
		if (shards->items[i].uid == uid)
			return (int)i;
	return -1;
}

static bool is_row_of(const struct shards *shards, struct bytes key, bool multi)
{
	int i = shard_of(shards, key);

	return i >= 0 && shards->items[i].multi == multi;
}

/* A row that is as it was has the digest that it had: most are, from one look to the next. */
#define DIGESTS_KEPT 4096u

static uint64_t digest_row(struct bytes value, struct incarnation incarnation, struct arena *a)
{
	static struct {
		uint64_t bytes, digest;
	} kept[DIGESTS_KEPT];
	uint64_t bytes = hash64(value.data, value.len, incarnation.hlc ^ incarnation.region);
	struct row row;

	if (kept[bytes % DIGESTS_KEPT].bytes == bytes)
		return kept[bytes % DIGESTS_KEPT].digest;
	if (row_decode(value, a, &row) != ERR_NONE)
		violation("rows", "a row cannot be read");
	struct hash128 d = row_digest(&row, incarnation);
	kept[bytes % DIGESTS_KEPT].bytes = bytes;
	kept[bytes % DIGESTS_KEPT].digest = d.lo ^ d.hi;
	return d.lo ^ d.hi;
}

/* The order of rows is each region's own. */
static void digest_rows(struct store *s, struct store_txn *t, const struct shards *shards, uint64_t sums[2])
{
	CLEANUP(arena_release) struct arena a;
	static const struct bytes begin;
	struct store_cursor *c;
	struct bytes key, value;

	arena_init(&a, ARENA_BYTES);
	ASSERT(s->ops->cursor_open(t, STORE_ROWS, &c) == ERR_NONE);
	for (enum err err = s->ops->seek(c, begin, &key, &value); err == ERR_NONE;
	     err = s->ops->next(c, &key, &value)) {
		int i = shard_of(shards, key);

		if (i >= 0)
			sums[shards->items[i].multi] += digest_row(value, shards->items[i].incarnation, &a);
	}
	s->ops->cursor_close(c);
}

void content_digest(struct store *s, struct store_txn *t, uint64_t ret_sums[2])
{
	struct shards shards;

	ret_sums[0] = ret_sums[1] = 0;
	read_shards(s, t, &shards, &ret_sums[0]);
	digest_rows(s, t, &shards, ret_sums);
}

/* --- damage --- */

/* Puts another number in the place of the first value; false: it has none. */
static bool change_row(struct store *s, struct store_txn *t, struct bytes key, struct bytes value)
{
	CLEANUP(buf_release) struct buf number = BUF_INIT(64);
	CLEANUP(buf_release) struct buf record = BUF_INIT(1 << 16);
	CLEANUP(arena_release) struct arena a;
	uint8_t copy[SHARD_KEY_BYTES];
	struct row row;

	arena_init(&a, ARENA_BYTES);
	ASSERT(row_decode(value, &a, &row) == ERR_NONE);
	if (row.field_count == 0)
		return false;
	memcpy(copy, key.data, sizeof(copy));
	value_put_int(&number, ORACLE_DAMAGE);
	row.fields[0].value = value_of_buf(&number);
	ASSERT(row_encode(&row, &record) == ERR_NONE &&
	       s->ops->put(t, STORE_ROWS, (struct bytes){ copy, sizeof(copy) }, buf_bytes(&record)) == ERR_NONE);
	return true;
}

/* The next row from the place that the number says. */
bool content_damage(struct store *s, struct store_txn *t, bool multi, uint64_t random)
{
	static const struct bytes begin;
	struct store_cursor *c;
	struct bytes key, value;
	uint64_t skip = random % ORACLE_POINTS;
	struct shards shards;
	bool changed = false;

	read_shards(s, t, &shards, NULL);

	ASSERT(s->ops->cursor_open(t, STORE_ROWS, &c) == ERR_NONE);
	for (enum err err = s->ops->seek(c, begin, &key, &value); err == ERR_NONE && !changed;
	     err = s->ops->next(c, &key, &value)) {
		if (!is_row_of(&shards, key, multi) || skip-- > 0)
			continue;
		skip = 0;
		changed = change_row(s, t, key, value);
	}
	s->ops->cursor_close(c);
	return changed;
}
