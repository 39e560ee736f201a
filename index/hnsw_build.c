/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a graph, in batches of a fixed size, so that the result does not depend on the number of
 * threads:
 * 1. each node of the batch searches the graph as it was before the batch, compares itself with the
 *    earlier nodes of the batch, and writes its own rows;
 * 2. each node that was chosen as a neighbour takes all its new back links at once, in order of the
 *    batch, and prunes its row if they are too many.
 * Within either step no task reads what another one writes. At the end, nodes that pruning has cut
 * off are linked again.
 */
#include "index/hnsw.h"

#include <stdlib.h>
#include <string.h>

/* Part of the format: another size makes other graphs. Large enough to keep threads busy between
 * their meetings, small enough that comparing all nodes of a batch costs little. */
#define BATCH 512
#define NODES_PER_TASK 8
#define ROWS_PER_TASK 32

/* A back link to be made, as a number that sorts by level, target and place of the source in the
 * batch. */
#define LINK_TARGET_SHIFT 16
#define LINK_LEVEL_SHIFT 47

struct builder {
	struct hnsw *g;
	const struct codes *c;
	const struct hnsw_build_options *options;
	struct hnsw_scratches *scratches;
	uint32_t first;  /* node of the batch */
	uint32_t count;  /* nodes in the batch */
	uint64_t *links; /* back links of the batch, sorted */
	uint32_t link_count;
	uint32_t *rows; /* where the links of one row begin; row_count + 1 */
	uint32_t row_count;
	atomic_int err; /* enum err of any task */
};

static bool is_stopped(struct builder *b)
{
	if (b->options->cancel && atomic_load_explicit(b->options->cancel, memory_order_relaxed))
		atomic_store(&b->err, ERR_CANCELLED);
	return atomic_load(&b->err) != ERR_NONE;
}

static void run_tasks(struct builder *b, uint32_t items, uint32_t per_task,
		      void (*fn)(void *ctx, unsigned i))
{
	unsigned tasks = (items + per_task - 1) / per_task;
	if (b->options->pool) {
		pool_each(b->options->pool, tasks, fn, b);
		return;
	}
	for (unsigned i = 0; i < tasks; i++)
		fn(b, i);
}

static bool is_before(struct hnsw_found a, struct hnsw_found b)
{
	return a.score > b.score || (a.score == b.score && a.node < b.node);
}

static int compare_candidates(const void *a, const void *b)
{
	const struct hnsw_found *x = a, *y = b;
	return is_before(*x, *y) ? -1 : is_before(*y, *x);
}

static uint32_t row_length(const uint32_t *row, uint32_t max)
{
	uint32_t n = 0;
	while (n < max && row[n] != HNSW_NONE)
		n++;
	return n;
}

static uint32_t links_max(const struct hnsw *g, uint32_t level)
{
	return level == 0 ? 2 * g->m : g->m;
}

/* A candidate that is nearer to one already taken than to the node itself is reached through
 * that one; so the links spread in all directions. A duplicate of a taken one is covered too, or
 * the links of a point in a crowd of equal ones would not lead out of it. */
static bool is_covered(const struct codes *c, struct hnsw_found candidate, const uint32_t *taken,
		       uint32_t count)
{
	struct code_query q = code_query_of_node(c, candidate.node);
	for (uint32_t i = 0; i < count; i++) {
		float score;
		codes_score(&q, &taken[i], 1, &score);
		if (score > candidate.score)
			return true;
		if (score == candidate.score && codes_equal(c, candidate.node, taken[i]))
			return true;
	}
	return false;
}

/* candidates: best first. Fills the row with up to max of them. */
static void choose_links(const struct codes *c, const struct hnsw_found *candidates, uint32_t count,
			 uint32_t max, uint32_t *row)
{
	uint32_t taken = 0;
	for (uint32_t i = 0; i < count && taken < max; i++)
		if (!is_covered(c, candidates[i], row, taken))
			row[taken++] = candidates[i].node;
	for (uint32_t i = taken; i < max; i++)
		row[i] = HNSW_NONE;
}

/* Earlier nodes of the batch, which the walk cannot find. */
static uint32_t compare_batch(const struct builder *b, const struct code_query *q, uint32_t node,
			      struct hnsw_found *ret_near)
{
	uint32_t nodes[BATCH];
	float scores[BATCH];
	uint32_t count = node - b->first;
	for (uint32_t i = 0; i < count; i++)
		nodes[i] = b->first + i;
	codes_score(q, nodes, count, scores);
	for (uint32_t i = 0; i < count; i++)
		ret_near[i] = (struct hnsw_found){ .score = scores[i], .node = nodes[i] };
	qsort(ret_near, count, sizeof(*ret_near), compare_candidates);
	return count;
}

/* Merges what the walk found with those of the batch that have the level. */
static uint32_t merge_candidates(const struct builder *b, const struct hnsw_scratch *s,
				 const struct hnsw_found *near, uint32_t near_count, uint32_t level,
				 struct hnsw_found *ret_candidates)
{
	uint32_t max = b->options->ef_construct, count = 0, i = 0, j = 0;
	while (count < max) {
		while (j < near_count && hnsw_level(b->g, near[j].node) < level)
			j++;
		if (i < s->found_count && (j == near_count || s->found[i].score >= near[j].score))
			ret_candidates[count++] = s->found[i++];
		else if (j < near_count)
			ret_candidates[count++] = near[j++];
		else
			break;
	}
	return count;
}

static void link_node(struct builder *b, struct hnsw_scratch *s, uint32_t node)
{
	struct hnsw_found near[BATCH], candidates[HNSW_EF_CONSTRUCT_MAX];
	struct code_query q = code_query_of_node(b->c, node);
	uint32_t near_count = compare_batch(b, &q, node, near);
	uint32_t level = hnsw_level(b->g, node);
	if (b->first > 0) {
		hnsw_walk_enter(&q, s, b->g->entry);
		hnsw_walk_descend(b->g, &q, s, level);
	}
	for (uint32_t l = level + 1; l-- > 0;) {
		if (b->first > 0 && l <= b->g->top)
			hnsw_walk_level(b->g, &q, s, l);
		uint32_t found = s->found_count;
		/* Above the top only the batch has nodes. */
		s->found_count = l <= b->g->top ? found : 0;
		uint32_t count = merge_candidates(b, s, near, near_count, l, candidates);
		s->found_count = found;
		choose_links(b->c, candidates, count, b->g->m, hnsw_row(b->g, node, l));
	}
}

static void link_nodes(void *ctx, unsigned task)
{
	struct builder *b = ctx;
	if (is_stopped(b))
		return;
	struct hnsw_scratch *s = hnsw_scratch_take(b->scratches);
	uint32_t from = task * NODES_PER_TASK, to = MIN(from + NODES_PER_TASK, b->count);
	enum err e = s ? ERR_NONE : ERR_NO_MEMORY;
	for (uint32_t i = from; i < to && !e; i++) {
		e = hnsw_walk_begin(s, b->options->ef_construct);
		if (!e)
			link_node(b, s, b->first + i);
	}
	if (e)
		atomic_store(&b->err, e);
	hnsw_scratch_give(b->scratches, s);
}

/*
 * Back links
 */

static int compare_links(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void list_links_of(struct builder *b, uint32_t place, uint32_t level)
{
	const uint32_t *row = hnsw_row(b->g, b->first + place, level);
	uint32_t count = row_length(row, b->g->m);
	for (uint32_t i = 0; i < count; i++)
		b->links[b->link_count++] = (uint64_t)level << LINK_LEVEL_SHIFT |
					    (uint64_t)row[i] << LINK_TARGET_SHIFT | place;
}

/* All links that the batch made, by the row that they lead to. */
static void list_links(struct builder *b)
{
	b->link_count = b->row_count = 0;
	for (uint32_t place = 0; place < b->count; place++)
		for (uint32_t level = 0; level <= hnsw_level(b->g, b->first + place); level++)
			list_links_of(b, place, level);
	qsort(b->links, b->link_count, sizeof(*b->links), compare_links);
	for (uint32_t i = 0; i < b->link_count; i++)
		if (i == 0 ||
		    b->links[i] >> LINK_TARGET_SHIFT != b->links[i - 1] >> LINK_TARGET_SHIFT)
			b->rows[b->row_count++] = i;
	b->rows[b->row_count] = b->link_count;
}

static void prune_row(const struct builder *b, uint32_t node, const uint32_t *nodes, uint32_t count,
		      uint32_t max, uint32_t *row)
{
	float scores[2 * HNSW_M_MAX + BATCH];
	struct hnsw_found candidates[2 * HNSW_M_MAX + BATCH];
	struct code_query q = code_query_of_node(b->c, node);
	codes_score(&q, nodes, count, scores);
	for (uint32_t i = 0; i < count; i++)
		candidates[i] = (struct hnsw_found){ .score = scores[i], .node = nodes[i] };
	qsort(candidates, count, sizeof(*candidates), compare_candidates);
	choose_links(b->c, candidates, count, max, row);
}

/* links: all that lead to one row. */
static void link_back(const struct builder *b, const uint64_t *links, uint32_t count)
{
	uint32_t nodes[2 * HNSW_M_MAX + BATCH];
	uint32_t target = (uint32_t)(links[0] >> LINK_TARGET_SHIFT) & HNSW_COUNT_MAX;
	uint32_t level = (uint32_t)(links[0] >> LINK_LEVEL_SHIFT);
	uint32_t *row = hnsw_row(b->g, target, level);
	uint32_t max = links_max(b->g, level), length = row_length(row, max);
	memcpy(nodes, row, length * sizeof(*row));
	for (uint32_t i = 0; i < count; i++)
		nodes[length + i] =
			b->first + (uint32_t)(links[i] & ((1U << LINK_TARGET_SHIFT) - 1));
	if (length + count <= max)
		memcpy(row, nodes, (length + count) * sizeof(*row));
	else
		prune_row(b, target, nodes, length + count, max, row);
}

static void link_rows_back(void *ctx, unsigned task)
{
	struct builder *b = ctx;
	if (is_stopped(b))
		return;
	uint32_t from = task * ROWS_PER_TASK, to = MIN(from + ROWS_PER_TASK, b->row_count);
	for (uint32_t r = from; r < to; r++)
		link_back(b, b->links + b->rows[r], b->rows[r + 1] - b->rows[r]);
}

static void raise_entry(struct builder *b)
{
	for (uint32_t node = b->first; node < b->first + b->count; node++) {
		uint32_t level = hnsw_level(b->g, node);
		if (b->g->entry == HNSW_NONE || level > b->g->top) {
			b->g->entry = node;
			b->g->top = level;
		}
	}
}

static void link_all(struct builder *b)
{
	for (b->first = 0; b->first < b->g->count && !is_stopped(b); b->first += b->count) {
		b->count = MIN(b->g->count - b->first, (uint32_t)BATCH);
		run_tasks(b, b->count, NODES_PER_TASK, link_nodes);
		list_links(b);
		run_tasks(b, b->row_count, ROWS_PER_TASK, link_rows_back);
		raise_entry(b);
		if (b->options->progress)
			atomic_fetch_add_explicit(b->options->progress, b->count,
						  memory_order_relaxed);
	}
}

/*
 * Connecting
 */

struct reach {
	uint8_t *reached;  /* for each node */
	uint32_t *waiting; /* reached nodes whose row was not followed yet */
};

static void follow_from(const struct hnsw *g, struct reach *r, uint32_t node)
{
	uint32_t count = 0;
	r->reached[node] = 1;
	r->waiting[count++] = node;
	while (count > 0) {
		const uint32_t *row = hnsw_row(g, r->waiting[--count], 0);
		for (uint32_t i = 0; i < 2 * g->m && row[i] != HNSW_NONE; i++) {
			if (r->reached[row[i]] != 0)
				continue;
			r->reached[row[i]] = 1;
			r->waiting[count++] = row[i];
		}
	}
}

/* The nearest reached node that has room, or else the nearest reached one. */
static uint32_t find_anchor(const struct hnsw *g, const struct reach *r,
			    const struct hnsw_scratch *s)
{
	uint32_t anchor = HNSW_NONE;
	for (uint32_t i = 0; i < s->found_count; i++) {
		uint32_t node = s->found[i].node;
		if (r->reached[node] == 0)
			continue;
		if (row_length(hnsw_row(g, node, 0), 2 * g->m) < 2 * g->m)
			return node;
		if (anchor == HNSW_NONE)
			anchor = node;
	}
	return anchor == HNSW_NONE ? g->entry : anchor;
}

static bool has_link(const uint32_t *row, uint32_t length, uint32_t node)
{
	for (uint32_t i = 0; i < length; i++)
		if (row[i] == node)
			return true;
	return false;
}

/* Links anchor to node. In a full row node takes the last place and leads on to what was there,
 * so that nothing else gets lost; nobody depends yet on where node led before. */
static void anchor_node(const struct hnsw *g, uint32_t anchor, uint32_t node)
{
	uint32_t max = 2 * g->m;
	uint32_t *from = hnsw_row(g, anchor, 0), *own = hnsw_row(g, node, 0);
	uint32_t length = row_length(from, max), own_length = row_length(own, max);
	if (length < max) {
		from[length] = node;
		return;
	}
	uint32_t moved = from[max - 1];
	from[max - 1] = node;
	if (!has_link(own, own_length, moved))
		own[MIN(own_length, max - 1)] = moved;
}

static enum err connect_node(struct builder *b, struct reach *r, struct hnsw_scratch *s,
			     uint32_t node)
{
	struct code_query q = code_query_of_node(b->c, node);
	enum err e = hnsw_walk_begin(s, b->options->ef_construct);
	if (e)
		return e;
	hnsw_walk_enter(&q, s, b->g->entry);
	hnsw_walk_descend(b->g, &q, s, 0);
	hnsw_walk_level(b->g, &q, s, 0);
	anchor_node(b->g, find_anchor(b->g, r, s), node);
	follow_from(b->g, r, node);
	return ERR_NONE;
}

static enum err connect_with(struct builder *b, struct reach *r, struct hnsw_scratch *s)
{
	enum err e = ERR_NONE;
	follow_from(b->g, r, b->g->entry);
	for (uint32_t node = 0; node < b->g->count && !e; node++) {
		if (r->reached[node] == 0)
			e = is_stopped(b) ? (enum err)atomic_load(&b->err)
					  : connect_node(b, r, s, node);
	}
	return e;
}

static enum err connect_all(struct builder *b)
{
	struct reach r = {
		.reached = calloc(b->g->count, sizeof(*r.reached)),
		.waiting = calloc(b->g->count, sizeof(*r.waiting)),
	};
	struct hnsw_scratch *s = hnsw_scratch_take(b->scratches);
	enum err e = ERR_NO_MEMORY;
	if (r.reached && r.waiting && s)
		e = connect_with(b, &r, s);
	hnsw_scratch_give(b->scratches, s);
	free(r.reached);
	free(r.waiting);
	return e;
}

enum err hnsw_build(struct hnsw *g, const struct codes *c, const struct hnsw_build_options *options)
{
	size_t links = (size_t)BATCH * g->m * (HNSW_LEVELS_MAX + 1);
	struct builder b = { .g = g, .c = c, .options = options };
	g->entry = HNSW_NONE;
	g->top = 0;
	if (g->count == 0)
		return ERR_NONE;
	b.scratches = hnsw_scratches_new(g->count, c->stride);
	b.links = calloc(links, sizeof(*b.links));
	b.rows = calloc(links + 1, sizeof(*b.rows));
	enum err e = ERR_NO_MEMORY;
	if (b.scratches && b.links && b.rows) {
		link_all(&b);
		e = (enum err)atomic_load(&b.err);
	}
	if (!e)
		e = connect_all(&b);
	hnsw_scratches_free(b.scratches);
	free(b.links);
	free(b.rows);
	return e;
}
