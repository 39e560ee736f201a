/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/marked.h"

#include <stdlib.h>

#define ARENA_BYTES_MAX ((size_t)64 << 20)

int incarnation_compare(struct incarnation a, struct incarnation b)
{
	if (a.hlc != b.hlc)
		return a.hlc < b.hlc ? -1 : 1;
	return (a.region > b.region) - (a.region < b.region);
}

static int shard_compare(const void *a, const void *b)
{
	const struct marked_shard *x = a;
	const struct marked_shard *y = b;
	int order = incarnation_compare(x->incarnation, y->incarnation);

	return order ? order : (x->shard > y->shard) - (x->shard < y->shard);
}

static enum err add_collection(struct marked *m, struct collection *c)
{
	uint32_t shards = collection_shard_count(c);

	for (uint32_t i = 0; i < shards; i++) {
		struct marked_shard *s = &m->shards[m->count];
		enum err err = merkle_copy(collection_merkle(c, i), &s->tree);
		if (err)
			return err;
		s->incarnation = collection_incarnation(c);
		s->shard = i;
		s->multi = collection_config(c)->multi_writer;
		for (uint32_t leaf = 0; leaf >> merkle_bits(s->tree) == 0; leaf++)
			s->rows += merkle_leaf_at(s->tree, leaf).count;
		m->count++;
	}
	return ERR_NONE;
}

static enum err add_collections(struct marked *m, struct collection **items, uint32_t count, bool multi)
{
	size_t shards = 1;

	for (uint32_t i = 0; i < count; i++)
		shards += collection_shard_count(items[i]);
	m->shards = calloc(shards, sizeof(*m->shards));
	if (!m->shards)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		bool wanted = !multi || collection_config(items[i])->multi_writer;
		enum err err = wanted ? add_collection(m, items[i]) : ERR_NONE;
		if (err)
			return err;
	}
	if (m->count > 1)
		qsort(m->shards, m->count, sizeof(*m->shards), shard_compare);
	return ERR_NONE;
}

enum err marked_new(struct catalog *c, bool multi, struct marked **ret_marked)
{
	CLEANUP(arena_release) struct arena a;
	struct collection **items;
	uint32_t count = 0;
	struct marked *m = calloc(1, sizeof(*m));

	arena_init(&a, ARENA_BYTES_MAX);
	if (!m)
		return ERR_NO_MEMORY;
	atomic_init(&m->refs, 1);
	enum err err = catalog_list(c, &a, &items, &count);
	if (!err)
		err = add_collections(m, items, count, multi);
	for (uint32_t i = 0; i < count; i++)
		collection_unref(items[i]);
	if (err) {
		marked_unref(m);
		return err;
	}
	*ret_marked = m;
	return ERR_NONE;
}

struct marked *marked_ref(struct marked *m)
{
	if (m)
		atomic_fetch_add(&m->refs, 1);
	return m;
}

void marked_unref(struct marked *m)
{
	if (!m || atomic_fetch_sub(&m->refs, 1) > 1)
		return;
	for (uint32_t i = 0; i < m->count; i++)
		merkle_free(m->shards[i].tree);
	free(m->shards);
	free(m);
}

const struct marked_shard *marked_find(const struct marked *m, struct incarnation incarnation, uint32_t shard)
{
	struct marked_shard key = { .incarnation = incarnation, .shard = shard };

	return m->count == 0 ? NULL : bsearch(&key, m->shards, m->count, sizeof(key), shard_compare);
}

uint64_t marked_rows(const struct marked *m)
{
	uint64_t rows = 0;

	for (uint32_t i = 0; i < m->count; i++)
		rows += m->shards[i].rows;
	return rows;
}
