/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Merkle tree: leaves in blocks of 256, and which blocks differ from what is stored.
 *
 * Leaf of an id: the top bits of point_id_hash() * LEAF_MULTIPLIER modulo 2^64. The factor makes
 * the leaf independent of the shard, which is chosen by the same hash.
 *
 * Hashes, part of the protocol between regions
 *   block     hash128 of its 256 leaves, u64 lo, u64 hi, u64 count each, with the seed 0
 *   root      from 16 zero bytes on, for each run of at most 256 blocks: hash128 of the hash so
 *             far and the blocks' hashes, u64 lo, u64 hi each, with the tree's bits as the seed
 *
 * STORE_MERKLE
 *   prefix                   u8 format version, 1; u8 bits; u64 lo, u64 hi of the root of the tree
 *   prefix, u16 big-endian   block of that number: 32 bytes, of which bit i % 8 of byte i / 8 is
 *                            set when leaf i has anything in it, then these leaves as above.
 *                            A missing block is empty.
 */
#include "index/merkle.h"

#include "base/wire.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_VERSION 1
#define BLOCK_LEAVES 256
#define LEAF_BYTES 24
#define HASH_BYTES 16
#define BITMAP_BYTES (BLOCK_LEAVES / 8)
#define BLOCK_RECORD_MAX (BITMAP_BYTES + BLOCK_LEAVES * LEAF_BYTES)
#define HEAD_RECORD_BYTES (2 + HASH_BYTES)
#define LEAF_MULTIPLIER 0x9E3779B97F4A7C15u /* 2^64 / golden ratio, odd */

struct merkle {
	unsigned bits;
	uint32_t blocks;
	bool *dirty; /* by block */
	struct merkle_leaf leaves[];
};

static size_t tree_bytes(unsigned bits)
{
	return sizeof(struct merkle) + ((size_t)1 << bits) * sizeof(struct merkle_leaf);
}

enum err merkle_new(unsigned bits, struct merkle **ret_tree)
{
	if (bits < MERKLE_BITS_MIN || bits > MERKLE_BITS_MAX)
		return ERR_BAD_INPUT;
	struct merkle *m = calloc(1, tree_bytes(bits));
	if (!m)
		return ERR_NO_MEMORY;
	m->bits = bits;
	m->blocks = ((uint32_t)1 << bits) / BLOCK_LEAVES;
	m->dirty = calloc(m->blocks, sizeof(*m->dirty));
	if (!m->dirty) {
		merkle_free(m);
		return ERR_NO_MEMORY;
	}
	*ret_tree = m;
	return ERR_NONE;
}

void merkle_free(struct merkle *m)
{
	if (!m)
		return;
	free(m->dirty);
	free(m);
}

enum err merkle_copy(const struct merkle *m, struct merkle **ret_copy)
{
	enum err e = merkle_new(m->bits, ret_copy);
	if (e)
		return e;
	memcpy((*ret_copy)->dirty, m->dirty, m->blocks * sizeof(*m->dirty));
	memcpy((*ret_copy)->leaves, m->leaves, ((size_t)1 << m->bits) * sizeof(*m->leaves));
	return ERR_NONE;
}

unsigned merkle_bits(const struct merkle *m)
{
	return m->bits;
}

uint32_t merkle_leaf_of(const struct merkle *m, struct point_id id)
{
	return (uint32_t)(point_id_hash(id) * LEAF_MULTIPLIER >> (64 - m->bits));
}

void merkle_change(struct merkle *m, struct point_id id, const struct hash128 *before,
		   const struct hash128 *after)
{
	uint32_t at = merkle_leaf_of(m, id);
	struct merkle_leaf *leaf = &m->leaves[at];

	if (before) {
		leaf->lo -= before->lo;
		leaf->hi -= before->hi;
		leaf->count--;
	}
	if (after) {
		leaf->lo += after->lo;
		leaf->hi += after->hi;
		leaf->count++;
	}
	m->dirty[at / BLOCK_LEAVES] = true;
}

struct merkle_leaf merkle_leaf_at(const struct merkle *m, uint32_t leaf)
{
	return m->leaves[leaf];
}

bool merkle_leaf_set(struct merkle *m, uint32_t leaf, struct merkle_leaf value)
{
	struct merkle_leaf *at = &m->leaves[leaf];

	if (at->lo == value.lo && at->hi == value.hi && at->count == value.count)
		return false;
	*at = value;
	m->dirty[leaf / BLOCK_LEAVES] = true;
	return true;
}

/* --- hashes --- */

static void store_u64(uint8_t *to, uint64_t v)
{
	uint64_t le = htole64(v);
	memcpy(to, &le, sizeof(le));
}

struct hash128 merkle_block(const struct merkle *m, uint32_t block)
{
	const struct merkle_leaf *leaves = m->leaves + (size_t)block * BLOCK_LEAVES;
	uint8_t bytes[BLOCK_LEAVES * LEAF_BYTES];

	for (unsigned i = 0; i < BLOCK_LEAVES; i++) {
		store_u64(bytes + i * LEAF_BYTES, leaves[i].lo);
		store_u64(bytes + i * LEAF_BYTES + 8, leaves[i].hi);
		store_u64(bytes + i * LEAF_BYTES + 16, leaves[i].count);
	}
	return hash128(bytes, sizeof(bytes), 0);
}

uint32_t merkle_block_count(const struct merkle *m)
{
	return m->blocks;
}

struct hash128 merkle_root(const struct merkle *m)
{
	uint8_t run[HASH_BYTES * (1 + BLOCK_LEAVES)];
	struct hash128 root = { .lo = 0 };

	for (uint32_t block = 0; block < m->blocks;) {
		size_t len = 0;
		store_u64(run, root.lo);
		store_u64(run + 8, root.hi);
		for (len = HASH_BYTES; len < sizeof(run) && block < m->blocks; block++) {
			struct hash128 h = merkle_block(m, block);
			store_u64(run + len, h.lo);
			store_u64(run + len + 8, h.hi);
			len += HASH_BYTES;
		}
		root = hash128(run, len, m->bits);
	}
	return root;
}

/* --- stored blocks --- */

struct block_key {
	size_t prefix_len;
	uint8_t data[MERKLE_PREFIX_MAX + 2];
};

static struct bytes key_of_block(struct block_key *k, uint32_t block)
{
	k->data[k->prefix_len] = (uint8_t)(block >> 8);
	k->data[k->prefix_len + 1] = (uint8_t)block;
	return (struct bytes){ .data = k->data, .len = k->prefix_len + 2 };
}

static bool block_key_init(struct block_key *k, struct bytes prefix)
{
	if (prefix.len == 0 || prefix.len > MERKLE_PREFIX_MAX)
		return false;
	memcpy(k->data, prefix.data, prefix.len);
	k->prefix_len = prefix.len;
	return true;
}

static bool leaf_is_empty(const struct merkle_leaf *l)
{
	return l->lo == 0 && l->hi == 0 && l->count == 0;
}

static struct bytes encode_block(const struct merkle *m, uint32_t block,
				 uint8_t record[BLOCK_RECORD_MAX])
{
	const struct merkle_leaf *leaves = m->leaves + (size_t)block * BLOCK_LEAVES;
	size_t len = BITMAP_BYTES;

	memset(record, 0, BITMAP_BYTES);
	for (unsigned i = 0; i < BLOCK_LEAVES; i++) {
		if (leaf_is_empty(&leaves[i]))
			continue;
		record[i / 8] |= (uint8_t)(1 << i % 8);
		store_u64(record + len, leaves[i].lo);
		store_u64(record + len + 8, leaves[i].hi);
		store_u64(record + len + 16, leaves[i].count);
		len += LEAF_BYTES;
	}
	return (struct bytes){ .data = record, .len = len };
}

static enum err decode_block(struct merkle *m, uint32_t block, struct bytes record)
{
	struct merkle_leaf *leaves = m->leaves + (size_t)block * BLOCK_LEAVES;
	struct wire_reader r = wire_reader_of(record.data, record.len);
	struct bytes bitmap = wire_take(&r, BITMAP_BYTES);

	for (unsigned i = 0; i < BLOCK_LEAVES && !r.err; i++) {
		if (!(bitmap.data[i / 8] >> i % 8 & 1))
			continue;
		leaves[i].lo = wire_u64(&r);
		leaves[i].hi = wire_u64(&r);
		leaves[i].count = wire_u64(&r);
	}
	return wire_done(&r);
}

enum err merkle_save(struct merkle *m, struct store *s, struct store_txn *t, struct bytes prefix)
{
	uint8_t record[BLOCK_RECORD_MAX];
	struct block_key key;

	if (!block_key_init(&key, prefix))
		return ERR_BAD_INPUT;
	for (uint32_t i = 0; i < m->blocks; i++) {
		if (!m->dirty[i])
			continue;
		enum err e = s->ops->put(t, STORE_MERKLE, key_of_block(&key, i),
					 encode_block(m, i, record));
		if (e)
			return e;
	}
	struct hash128 root = merkle_root(m);
	record[0] = FORMAT_VERSION;
	record[1] = (uint8_t)m->bits;
	store_u64(record + 2, root.lo);
	store_u64(record + 10, root.hi);
	enum err e = s->ops->put(t, STORE_MERKLE, prefix,
				 (struct bytes){ .data = record, .len = HEAD_RECORD_BYTES });
	if (e)
		return e;
	memset(m->dirty, 0, m->blocks * sizeof(*m->dirty));
	return ERR_NONE;
}

static enum err check_head(const struct merkle *m, struct bytes record, struct hash128 *ret_root)
{
	struct wire_reader r = wire_reader_of(record.data, record.len);
	uint8_t version = wire_u8(&r);
	uint8_t bits = wire_u8(&r);

	ret_root->lo = wire_u64(&r);
	ret_root->hi = wire_u64(&r);
	if (version > FORMAT_VERSION)
		return ERR_VERSION;
	if (wire_done(&r) || version != FORMAT_VERSION || bits != m->bits)
		return ERR_CORRUPT;
	return ERR_NONE;
}

static enum err load_blocks(struct merkle *m, struct store *s, struct store_txn *t,
			    struct block_key *key)
{
	for (uint32_t i = 0; i < m->blocks; i++) {
		struct bytes record;
		enum err e = s->ops->get(t, STORE_MERKLE, key_of_block(key, i), &record);
		if (!e)
			e = decode_block(m, i, record);
		if (e && e != ERR_NOT_FOUND)
			return e;
	}
	return ERR_NONE;
}

static void merkle_freep(struct merkle **m)
{
	merkle_free(*m);
}

enum err merkle_load(struct merkle *m, struct store *s, struct store_txn *t, struct bytes prefix)
{
	CLEANUP(merkle_freep) struct merkle *loaded = NULL;
	struct block_key key;
	struct hash128 stored, root;
	struct bytes head;

	if (!block_key_init(&key, prefix))
		return ERR_BAD_INPUT;
	enum err e = s->ops->get(t, STORE_MERKLE, prefix, &head);
	if (!e)
		e = check_head(m, head, &stored);
	if (!e)
		e = merkle_new(m->bits, &loaded);
	if (!e)
		e = load_blocks(loaded, s, t, &key);
	if (e)
		return e;
	root = merkle_root(loaded);
	if (root.lo != stored.lo || root.hi != stored.hi)
		return ERR_CORRUPT;
	memcpy(m->leaves, loaded->leaves, ((size_t)1 << m->bits) * sizeof(*m->leaves));
	memset(m->dirty, 0, m->blocks * sizeof(*m->dirty));
	return ERR_NONE;
}

void merkle_save_undone(struct merkle *m)
{
	memset(m->dirty, true, m->blocks * sizeof(*m->dirty));
}
