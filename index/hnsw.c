/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks over a graph. Most of a walk's time is waiting for memory: the unseen neighbours of a node
 * are gathered first and then scored together, so that their codes are fetched while others are
 * compared.
 *
 * Two walks: without a filter the nodes found are also those to expand next, one sorted array,
 * which is the fastest thing for a few hundred. With a filter, or for many answers, what is to be
 * expanded and what was accepted part ways, into two heaps.
 */
#include "index/hnsw.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/panic.h"

/* Answers up to which a sorted array beats a heap. */
#define SORTED_MAX 1024
/* Nodes waiting to be expanded in a filtered walk. Where the bound is reached the filter is so
 * selective that a scan would have been right; what finds no room is not expanded. */
#define FRONTIER_MAX 65536
/* Nodes found on the way down that a filtered walk starts with. */
#define DESCENT_MAX 64
/* Scratches kept by one graph, and the room for found nodes that a kept one may have. */
#define SCRATCHES_KEPT_MAX 64
#define FOUND_KEPT_MAX 4096
/* Expansions between two looks at the clock. */
#define STEPS_PER_LOOK 64

#define EXPANDED 0x80000000U
#define LINE_NODES (CODE_ALIGN / sizeof(uint32_t))

static uint32_t whole_lines(uint32_t nodes)
{
	return (uint32_t)((nodes + LINE_NODES - 1) / LINE_NODES * LINE_NODES);
}

uint32_t hnsw_base_width(uint32_t m)
{
	return whole_lines(2 * m);
}

uint32_t hnsw_upper_width(uint32_t m)
{
	return whole_lines(m);
}

/* The hash also chooses the shard, so one shard's hashes are not uniform: mixed once more
 * (splitmix64). */
static uint64_t mix(uint64_t h)
{
	h += 0x9e3779b97f4a7c15U;
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9U;
	h = (h ^ (h >> 27)) * 0x94d049bb133111ebU;
	return h ^ (h >> 31);
}

uint32_t hnsw_level_for(uint64_t id_hash, uint32_t m)
{
	uint64_t x = mix(id_hash), below = UINT64_MAX / m;
	uint32_t level = 0;
	while (level < HNSW_LEVELS_MAX && x < below) {
		below /= m;
		level++;
	}
	return level;
}

static bool row_is_sound(const struct hnsw *g, const uint32_t *row, uint32_t width, uint32_t level)
{
	for (uint32_t i = 0; i < width; i++) {
		if (row[i] == HNSW_NONE)
			continue;
		if (row[i] >= g->count || hnsw_level(g, row[i]) < level)
			return false;
	}
	return true;
}

static bool levels_are_sound(const struct hnsw *g, uint32_t upper_rows)
{
	if (g->upper_at[0] != 0 || g->upper_at[g->count] != upper_rows)
		return false;
	for (uint32_t node = 0; node < g->count; node++)
		if (g->upper_at[node] > g->upper_at[node + 1] ||
		    hnsw_level(g, node) > HNSW_LEVELS_MAX)
			return false;
	return true;
}

bool hnsw_check(const struct hnsw *g, uint32_t upper_rows)
{
	if (!levels_are_sound(g, upper_rows))
		return false;
	if (g->count == 0)
		return g->entry == HNSW_NONE && g->top == 0;
	if (g->entry >= g->count || hnsw_level(g, g->entry) != g->top)
		return false;
	for (uint32_t node = 0; node < g->count; node++) {
		if (!row_is_sound(g, hnsw_row(g, node, 0), hnsw_base_width(g->m), 0))
			return false;
		for (uint32_t level = 1; level <= hnsw_level(g, node); level++)
			if (!row_is_sound(g, hnsw_row(g, node, level), hnsw_upper_width(g->m),
					  level))
				return false;
	}
	return true;
}

/*
 * Scratches
 */

struct hnsw_scratches *hnsw_scratches_new(uint32_t count, uint32_t stride)
{
	struct hnsw_scratches *set = calloc(1, sizeof(*set));
	if (!set)
		return NULL;
	set->count = count;
	set->stride = stride;
	/* A default mutex of glibc takes no resources: initialising it cannot fail. */
	(void)pthread_mutex_init(&set->lock, NULL);
	return set;
}

static void scratch_free(struct hnsw_scratch *s)
{
	if (!s)
		return;
	free(s->marks);
	free(s->found);
	free(s->frontier);
	free(s->code);
	free(s);
}

void hnsw_scratches_free(struct hnsw_scratches *set)
{
	if (!set)
		return;
	while (set->free_list) {
		struct hnsw_scratch *s = set->free_list;
		set->free_list = s->next;
		scratch_free(s);
	}
	(void)pthread_mutex_destroy(&set->lock);
	free(set);
}

static struct hnsw_scratch *scratch_new(const struct hnsw_scratches *set)
{
	struct hnsw_scratch *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->marks_count = set->count;
	s->marks = calloc((size_t)set->count + 1, 1);
	s->code = aligned_alloc(CODE_ALIGN, (size_t)set->stride + CODE_ALIGN);
	if (!s->marks || !s->code) {
		scratch_free(s);
		return NULL;
	}
	return s;
}

struct hnsw_scratch *hnsw_scratch_take(struct hnsw_scratches *set)
{
	(void)pthread_mutex_lock(&set->lock);
	struct hnsw_scratch *s = set->free_list;
	if (s) {
		set->free_list = s->next;
		set->kept--;
	}
	(void)pthread_mutex_unlock(&set->lock);
	return s ? s : scratch_new(set);
}

void hnsw_scratch_give(struct hnsw_scratches *set, struct hnsw_scratch *s)
{
	if (!s)
		return;
	if (s->found_cap > FOUND_KEPT_MAX) {
		free(s->found);
		s->found = NULL;
		s->found_cap = 0;
	}
	(void)pthread_mutex_lock(&set->lock);
	bool keep = set->kept < SCRATCHES_KEPT_MAX;
	if (keep) {
		s->next = set->free_list;
		set->free_list = s;
		set->kept++;
	}
	(void)pthread_mutex_unlock(&set->lock);
	if (!keep)
		scratch_free(s);
}

size_t hnsw_scratches_bytes(struct hnsw_scratches *set)
{
	(void)pthread_mutex_lock(&set->lock);
	size_t bytes = 0;
	for (const struct hnsw_scratch *s = set->free_list; s; s = s->next) {
		bytes += sizeof(*s) + set->count + set->stride + s->found_cap * sizeof(*s->found);
		bytes += s->frontier ? FRONTIER_MAX * sizeof(*s->frontier) : 0;
	}
	(void)pthread_mutex_unlock(&set->lock);
	return bytes;
}

/*
 * The sorted array of found nodes
 */

enum err hnsw_walk_begin(struct hnsw_scratch *s, uint32_t max)
{
	if (s->found_cap < max) {
		struct hnsw_found *found = reallocarray(s->found, max, sizeof(*found));
		if (!found)
			return ERR_NO_MEMORY;
		s->found = found;
		s->found_cap = max;
	}
	s->found_max = max;
	s->found_count = s->unexpanded = s->frontier_count = s->steps = 0;
	if (++s->epoch == 0) {
		memset(s->marks, 0, s->marks_count);
		s->epoch = 1;
	}
	return ERR_NONE;
}

/* Where a node of this score belongs: behind its equals. */
static uint32_t place_of(const struct hnsw_found *found, uint32_t count, float score)
{
	uint32_t low = 0, high = count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (found[middle].score >= score)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void add_found(struct hnsw_scratch *s, float score, uint32_t node)
{
	if (s->found_count == s->found_max) {
		if (!(score > s->found[s->found_count - 1].score))
			return;
		s->found_count--;
	}
	uint32_t place = place_of(s->found, s->found_count, score);
	memmove(s->found + place + 1, s->found + place,
		(s->found_count - place) * sizeof(*s->found));
	s->found[place] = (struct hnsw_found){ .score = score, .node = node };
	s->found_count++;
	s->unexpanded = MIN(s->unexpanded, place);
}

void hnsw_walk_enter(const struct code_query *q, struct hnsw_scratch *s, uint32_t node)
{
	float score;
	codes_score(q, &node, 1, &score);
	s->marks[node] = s->epoch;
	add_found(s, score, node);
}

/* Marks the unseen neighbours and lists them. */
static uint32_t gather(const struct hnsw *g, struct hnsw_scratch *s, uint32_t node, uint32_t level,
		       uint32_t *nodes)
{
	const uint32_t *row = hnsw_row(g, node, level);
	uint32_t width = level == 0 ? hnsw_base_width(g->m) : hnsw_upper_width(g->m);
	uint32_t count = 0;
	for (uint32_t i = 0; i < width && row[i] != HNSW_NONE; i++) {
		if (s->marks[row[i]] == s->epoch)
			continue;
		s->marks[row[i]] = s->epoch;
		nodes[count++] = row[i];
	}
	return count;
}

/* The row of the node that is likely to be expanded next. */
static void prefetch_links(const struct hnsw *g, uint32_t node)
{
	const uint32_t *row = hnsw_row(g, node, 0);
	uint32_t width = hnsw_base_width(g->m);
	for (uint32_t i = 0; i < width; i += (uint32_t)LINE_NODES)
		__builtin_prefetch(row + i);
}

static void expand(const struct hnsw *g, const struct code_query *q, struct hnsw_scratch *s,
		   uint32_t level)
{
	uint32_t nodes[2 * HNSW_M_MAX];
	float scores[2 * HNSW_M_MAX];
	struct hnsw_found *next = &s->found[s->unexpanded++];
	next->node |= EXPANDED;
	uint32_t count = gather(g, s, next->node & ~EXPANDED, level, nodes);
	codes_score(q, nodes, count, scores);
	for (uint32_t i = 0; i < count; i++)
		add_found(s, scores[i], nodes[i]);
	while (s->unexpanded < s->found_count && (s->found[s->unexpanded].node & EXPANDED) != 0)
		s->unexpanded++;
	if (level == 0 && s->unexpanded < s->found_count)
		prefetch_links(g, s->found[s->unexpanded].node);
}

/* What was expanded in one level may be expanded again in the next one. */
static void forget_expanded(struct hnsw_scratch *s)
{
	for (uint32_t i = 0; i < s->found_count; i++)
		s->found[i].node &= ~EXPANDED;
	s->unexpanded = 0;
}

void hnsw_walk_descend(const struct hnsw *g, const struct code_query *q, struct hnsw_scratch *s,
		       uint32_t level)
{
	for (uint32_t l = g->top; l > level; l--) {
		while (s->unexpanded == 0 && s->found_count > 0)
			expand(g, q, s, l);
		forget_expanded(s);
	}
}

void hnsw_walk_level(const struct hnsw *g, const struct code_query *q, struct hnsw_scratch *s,
		     uint32_t level)
{
	while (s->unexpanded < s->found_count)
		expand(g, q, s, level);
	forget_expanded(s);
}

/* Looks at the clock now and then. */
static enum err may_go_on(const struct hnsw_walk *w, struct hnsw_scratch *s)
{
	if (s->steps++ % STEPS_PER_LOOK != 0)
		return ERR_NONE;
	if (w->cancel && atomic_load_explicit(w->cancel, memory_order_relaxed))
		return ERR_CANCELLED;
	if (w->deadline_ns != 0 && clock_mono_ns(clock_system()) >= w->deadline_ns)
		return ERR_TIMEOUT;
	return ERR_NONE;
}

static enum err search_sorted(const struct hnsw *g, const struct code_query *q,
			      const struct hnsw_walk *w, struct hnsw_scratch *s)
{
	while (s->unexpanded < s->found_count) {
		enum err e = may_go_on(w, s);
		if (e)
			return e;
		expand(g, q, s, 0);
	}
	forget_expanded(s);
	return ERR_NONE;
}

/*
 * The walk with two heaps
 */

/* Ties are broken by node, so that heaps give the order that sorting gives. */
static bool is_better(struct hnsw_found a, struct hnsw_found b)
{
	return a.score > b.score || (a.score == b.score && a.node < b.node);
}

/* best_on_top or worst on top. */
static bool goes_above(struct hnsw_found a, struct hnsw_found b, bool best_on_top)
{
	return best_on_top ? is_better(a, b) : is_better(b, a);
}

static void heap_sink(struct hnsw_found *heap, uint32_t count, struct hnsw_found item,
		      bool best_on_top)
{
	uint32_t at = 0;
	for (uint32_t child = 1; child < count; child = 2 * at + 1) {
		if (child + 1 < count && goes_above(heap[child + 1], heap[child], best_on_top))
			child++;
		if (!goes_above(heap[child], item, best_on_top))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = item;
}

static void heap_add(struct hnsw_found *heap, uint32_t count, struct hnsw_found item,
		     bool best_on_top)
{
	uint32_t at = count;
	while (at > 0 && goes_above(item, heap[(at - 1) / 2], best_on_top)) {
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = item;
}

/* Takes a node that was just scored: into the frontier, and among the found ones if it is
 * accepted. */
static void meet(const struct code_query *q, const struct hnsw_walk *w, struct hnsw_scratch *s,
		 struct hnsw_found item)
{
	bool full = s->found_count == s->found_max;
	if (full && !is_better(item, s->found[0]))
		return;
	if (s->frontier_count < FRONTIER_MAX)
		heap_add(s->frontier, s->frontier_count++, item, true);
	if (w->accept && !w->accept(w->ctx, q->codes->slots[item.node]))
		return;
	if (full)
		heap_sink(s->found, s->found_count, item, false);
	else
		heap_add(s->found, s->found_count++, item, false);
}

static struct hnsw_found take_best(struct hnsw_scratch *s)
{
	struct hnsw_found best = s->frontier[0];
	s->frontier_count--;
	heap_sink(s->frontier, s->frontier_count, s->frontier[s->frontier_count], true);
	return best;
}

static void expand_frontier(const struct hnsw *g, const struct code_query *q,
			    const struct hnsw_walk *w, struct hnsw_scratch *s, uint32_t node)
{
	uint32_t nodes[2 * HNSW_M_MAX];
	float scores[2 * HNSW_M_MAX];
	uint32_t count = gather(g, s, node, 0, nodes);
	codes_score(q, nodes, count, scores);
	for (uint32_t i = 0; i < count; i++)
		meet(q, w, s, (struct hnsw_found){ .score = scores[i], .node = nodes[i] });
	if (s->frontier_count > 0)
		prefetch_links(g, s->frontier[0].node);
}

static int compare_found(const void *a, const void *b)
{
	const struct hnsw_found *x = a, *y = b;
	return is_better(*x, *y) ? -1 : is_better(*y, *x);
}

/* Begins with what the descent found, then needs the room for answers. */
static enum err start_frontier(const struct code_query *q, const struct hnsw_walk *w,
			       struct hnsw_scratch *s)
{
	struct hnsw_found descent[DESCENT_MAX];
	uint32_t count = s->found_count;
	memcpy(descent, s->found, count * sizeof(*descent));
	if (!s->frontier)
		s->frontier = calloc(FRONTIER_MAX, sizeof(*s->frontier));
	if (!s->frontier)
		return ERR_NO_MEMORY;
	s->found_count = 0;
	s->found_max = w->ef;
	for (uint32_t i = 0; i < count; i++)
		meet(q, w, s, descent[i]);
	return ERR_NONE;
}

static enum err search_heaps(const struct hnsw *g, const struct code_query *q,
			     const struct hnsw_walk *w, struct hnsw_scratch *s)
{
	enum err e = start_frontier(q, w, s);
	while (!e && s->frontier_count > 0) {
		struct hnsw_found next = take_best(s);
		if (s->found_count == s->found_max && is_better(s->found[0], next))
			break;
		e = may_go_on(w, s);
		if (!e)
			expand_frontier(g, q, w, s, next.node);
	}
	if (!e)
		qsort(s->found, s->found_count, sizeof(*s->found), compare_found);
	return e;
}

enum err hnsw_search(const struct hnsw *g, const struct code_query *q, const struct hnsw_walk *w,
		     struct hnsw_scratch *s)
{
	ASSERT(w->ef > 0);
	bool sorted = !w->accept && w->ef <= SORTED_MAX;
	enum err e = hnsw_walk_begin(s, sorted ? w->ef : MAX(w->ef, (uint32_t)DESCENT_MAX));
	if (e || g->count == 0)
		return e;
	if (!sorted)
		s->found_max = DESCENT_MAX;
	hnsw_walk_enter(q, s, g->entry);
	hnsw_walk_descend(g, q, s, 0);
	return sorted ? search_sorted(g, q, w, s) : search_heaps(g, q, w, s);
}
