/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inverse document frequencies: what is rare in the collection weighs more in a query. They are taken over all shards when a
 * search begins, from the postings themselves, so that nothing has to be kept up to date.
 */
#include "index/collection_inner.h"

#include <math.h>

/* As Qdrant has it, after BM25: never negative. */
static double idf(double vectors, double having)
{
	return log((vectors - having + 0.5) / (having + 0.5) + 1.0);
}

static uint64_t add_counts(struct shard *s, uint32_t at, const struct vector *q, uint64_t *having)
{
	pthread_rwlock_rdlock(&s->lock);
	const struct sparse *sparse = s->vectors[at].sparse;
	uint64_t vectors = sparse_count(sparse);

	for (uint32_t i = 0; i < q->count; i++)
		having[i] += sparse_having(sparse, q->indices[i]);
	pthread_rwlock_unlock(&s->lock);
	return vectors;
}

enum err collection_idf(struct collection *c, uint32_t at, const struct vector *q, struct arena *a,
			struct vector *ret_vector)
{
	uint64_t *having = arena_array(a, q->count, sizeof(*having));
	float *values = arena_array(a, q->count, sizeof(*values));
	uint64_t vectors = 0;

	if (!having || !values)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < c->shard_count; i++)
		vectors += add_counts(c->shards[i], at, q, having);
	for (uint32_t i = 0; i < q->count; i++)
		values[i] = (float)((double)q->values[i] * idf((double)vectors, (double)having[i]));
	*ret_vector = *q;
	ret_vector->values = values;
	return ERR_NONE;
}
