/* SPDX-License-Identifier: Apache-2.0 */
#include "index/topk.h"

#include <stdlib.h>

int hit_compare(const struct hit *a, const struct hit *b)
{
	if (a->similarity != b->similarity)
		return a->similarity > b->similarity ? -1 : 1;
	return point_id_compare(a->id, b->id);
}

static int hit_compare_void(const void *a, const void *b)
{
	return hit_compare(a, b);
}

enum err topk_init(struct topk *t, uint32_t k)
{
	*t = (struct topk){ .k = k };
	if (k == 0)
		return ERR_NONE;
	t->hits = calloc(k, sizeof(*t->hits));
	return t->hits ? ERR_NONE : ERR_NO_MEMORY;
}

void topk_release(struct topk *t)
{
	free(t->hits);
	*t = (struct topk){ 0 };
}

static void swap(struct hit *a, struct hit *b)
{
	struct hit t = *a;

	*a = *b;
	*b = t;
}

static void sift_up(struct hit *hits, uint32_t at)
{
	while (at > 0) {
		uint32_t parent = (at - 1) / 2;

		if (hit_compare(&hits[parent], &hits[at]) >= 0)
			return;
		swap(&hits[parent], &hits[at]);
		at = parent;
	}
}

static void sift_down(struct hit *hits, uint32_t count)
{
	uint32_t at = 0;

	for (;;) {
		uint32_t worst = at;

		for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
			if (hit_compare(&hits[child], &hits[worst]) > 0)
				worst = child;
		if (worst == at)
			return;
		swap(&hits[worst], &hits[at]);
		at = worst;
	}
}

void topk_offer(struct topk *t, struct hit hit)
{
	if (t->count < t->k) {
		t->hits[t->count] = hit;
		sift_up(t->hits, t->count++);
	} else if (t->k > 0 && hit_compare(&hit, &t->hits[0]) < 0) {
		t->hits[0] = hit;
		sift_down(t->hits, t->count);
	}
}

void topk_sort(struct topk *t)
{
	if (t->count > 1)
		qsort(t->hits, t->count, sizeof(*t->hits), hit_compare_void);
}
