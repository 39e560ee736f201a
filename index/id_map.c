/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A B+tree. Leaves are chained, hold 64 entries of 20 bytes and say how many of them are numbers
 * (which come before all UUIDs), so that no entry carries its kind. Ids that come in ascending
 * order fill leaves to the last entry, as a split at the right edge moves none.
 *
 * Full nodes are split on the way down, so an insertion that runs out of memory leaves a sound
 * tree. Inner nodes but the root have at least INNER_MIN children; leaves may be emptier, but two
 * neighbours under one parent that fit into one leaf are joined when an entry is removed.
 */
#include "index/id_map.h"

#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

#define LEAF_MAX 64
#define LEAF_MIN 16
#define INNER_MAX 64
#define INNER_MIN 16
/* Each level takes at least INNER_MIN times as many insertions as the one below. */
#define DEPTH_MAX 16

struct leaf {
	struct leaf *prev, *next;
	uint16_t count;
	uint16_t numbers; /* entries below are numbers, the others UUIDs */
	uint32_t rows[LEAF_MAX];
	uint64_t hi[LEAF_MAX];
	uint64_t lo[LEAF_MAX];
};

/* keys[i] is at most the least id below children[i + 1], and above every id below children[i]. */
struct inner {
	uint16_t count; /* of children */
	struct point_id keys[INNER_MAX - 1];
	void *children[INNER_MAX];
};

struct id_map {
	void *root;     /* a leaf when depth is 0 */
	unsigned depth; /* inner levels */
	size_t count;
};

/* --- leaves --- */

static struct point_id leaf_id(const struct leaf *l, uint32_t at)
{
	return (struct point_id){
		.hi = l->hi[at],
		.lo = l->lo[at],
		.kind = at < l->numbers ? POINT_ID_NUM : POINT_ID_UUID,
	};
}

/* The first entry >= id. */
static uint32_t leaf_find(const struct leaf *l, struct point_id id)
{
	bool number = id.kind == POINT_ID_NUM;
	uint32_t from = number ? 0 : l->numbers, to = number ? l->numbers : l->count;

	while (from < to) {
		uint32_t middle = (from + to) / 2;
		if (l->hi[middle] < id.hi || (l->hi[middle] == id.hi && l->lo[middle] < id.lo))
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static bool leaf_has(const struct leaf *l, uint32_t at, struct point_id id)
{
	return at < l->count && point_id_equal(leaf_id(l, at), id);
}

/* Moves entries [from, from + n) to another place, of this leaf or another. */
static void leaf_move(struct leaf *to, uint32_t to_at, const struct leaf *l, uint32_t from,
		      uint32_t n)
{
	memmove(to->rows + to_at, l->rows + from, n * sizeof(l->rows[0]));
	memmove(to->hi + to_at, l->hi + from, n * sizeof(l->hi[0]));
	memmove(to->lo + to_at, l->lo + from, n * sizeof(l->lo[0]));
}

static void leaf_insert(struct leaf *l, uint32_t at, struct point_id id, uint32_t row)
{
	leaf_move(l, at + 1, l, at, l->count - at);
	l->rows[at] = row;
	l->hi[at] = id.hi;
	l->lo[at] = id.lo;
	l->count++;
	if (id.kind == POINT_ID_NUM)
		l->numbers++;
}

static void leaf_remove(struct leaf *l, uint32_t at)
{
	if (at < l->numbers)
		l->numbers--;
	l->count--;
	leaf_move(l, at, l, at + 1, l->count - at);
}

/* The entries from `at` on become a new leaf behind this one. */
static struct leaf *leaf_split(struct leaf *l, uint32_t at)
{
	struct leaf *right = calloc(1, sizeof(*right));
	if (!right)
		return NULL;
	right->count = (uint16_t)(l->count - at);
	right->numbers = l->numbers > at ? (uint16_t)(l->numbers - at) : 0;
	leaf_move(right, 0, l, at, right->count);
	l->count = (uint16_t)at;
	l->numbers = MIN(l->numbers, l->count);
	right->prev = l;
	right->next = l->next;
	if (right->next)
		right->next->prev = right;
	l->next = right;
	return right;
}

/* Appends the right neighbour, which has to fit, and frees it. */
static void leaf_join(struct leaf *l, struct leaf *right)
{
	leaf_move(l, l->count, right, 0, right->count);
	l->count = (uint16_t)(l->count + right->count);
	l->numbers = (uint16_t)(l->numbers + right->numbers);
	l->next = right->next;
	if (l->next)
		l->next->prev = l;
	free(right);
}

/* --- inner nodes --- */

/* The child whose range has the id. */
static uint32_t inner_find(const struct inner *n, struct point_id id)
{
	uint32_t from = 0, to = n->count - 1u;

	while (from < to) {
		uint32_t middle = (from + to) / 2;
		if (point_id_compare(n->keys[middle], id) <= 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* The child becomes children[at], at >= 1, with its key before it. */
static void inner_insert(struct inner *n, uint32_t at, struct point_id key, void *child)
{
	memmove(n->children + at + 1, n->children + at, (n->count - at) * sizeof(n->children[0]));
	memmove(n->keys + at, n->keys + at - 1, (n->count - at) * sizeof(n->keys[0]));
	n->children[at] = child;
	n->keys[at - 1] = key;
	n->count++;
}

/* Takes out children[at], at >= 1, and its key. */
static void inner_remove(struct inner *n, uint32_t at)
{
	n->count--;
	memmove(n->children + at, n->children + at + 1, (n->count - at) * sizeof(n->children[0]));
	memmove(n->keys + at - 1, n->keys + at, (n->count - at) * sizeof(n->keys[0]));
}

/* The children from `at` on become a new node; the key between the two is handed out. */
static struct inner *inner_split(struct inner *n, uint32_t at, struct point_id *ret_key)
{
	struct inner *right = calloc(1, sizeof(*right));
	if (!right)
		return NULL;
	right->count = (uint16_t)(n->count - at);
	memcpy(right->children, n->children + at, right->count * sizeof(n->children[0]));
	memcpy(right->keys, n->keys + at, (right->count - 1u) * sizeof(n->keys[0]));
	*ret_key = n->keys[at - 1];
	n->count = (uint16_t)at;
	return right;
}

static void inner_join(struct inner *n, struct point_id key, struct inner *right)
{
	n->keys[n->count - 1] = key;
	memcpy(n->keys + n->count, right->keys, (right->count - 1u) * sizeof(n->keys[0]));
	memcpy(n->children + n->count, right->children, right->count * sizeof(n->children[0]));
	n->count = (uint16_t)(n->count + right->count);
	free(right);
}

/* Moves children between two neighbours until both have about as many; the key between them
 * follows. */
static void inner_level(struct inner *left, struct point_id *key, struct inner *right)
{
	while (left->count + 1 < right->count) {
		left->keys[left->count - 1] = *key;
		left->children[left->count++] = right->children[0];
		*key = right->keys[0];
		right->count--;
		memmove(right->children, right->children + 1,
			right->count * sizeof(right->children[0]));
		memmove(right->keys, right->keys + 1, (right->count - 1u) * sizeof(right->keys[0]));
	}
	while (right->count + 1 < left->count) {
		memmove(right->children + 1, right->children,
			right->count * sizeof(right->children[0]));
		memmove(right->keys + 1, right->keys, (right->count - 1u) * sizeof(right->keys[0]));
		right->children[0] = left->children[--left->count];
		right->keys[0] = *key;
		*key = left->keys[left->count - 1];
		right->count++;
	}
}

/* --- insertion --- */

/* Splits the full leaf children[at] of the parent. */
static bool split_leaf(struct inner *parent, uint32_t at, struct point_id id)
{
	struct leaf *l = parent->children[at];
	bool right_edge = !l->next && point_id_compare(leaf_id(l, l->count - 1u), id) < 0;
	struct leaf *right = leaf_split(l, right_edge ? LEAF_MAX : LEAF_MAX / 2);
	if (!right)
		return false;
	inner_insert(parent, at + 1, right_edge ? id : leaf_id(right, 0), right);
	return true;
}

static bool split_inner(struct inner *parent, uint32_t at, struct point_id id)
{
	struct inner *n = parent->children[at];
	bool right_edge = inner_find(n, id) == INNER_MAX - 1;
	struct point_id key;
	struct inner *right =
		inner_split(n, right_edge ? INNER_MAX - INNER_MIN : INNER_MAX / 2, &key);
	if (!right)
		return false;
	inner_insert(parent, at + 1, key, right);
	return true;
}

static bool is_full(const void *node, bool leaf)
{
	if (leaf)
		return ((const struct leaf *)node)->count == LEAF_MAX;
	return ((const struct inner *)node)->count == INNER_MAX;
}

/* A full root gets a parent, under which it can be split. */
static bool raise_root(struct id_map *m)
{
	if (!is_full(m->root, m->depth == 0))
		return true;
	struct inner *root = calloc(1, sizeof(*root));
	if (!root)
		return false;
	root->count = 1;
	root->children[0] = m->root;
	m->root = root;
	m->depth++;
	ASSERT(m->depth < DEPTH_MAX);
	return true;
}

/* A raised root that could not be split would be left with one child. */
static void lower_root(struct id_map *m)
{
	while (m->depth > 0 && ((struct inner *)m->root)->count == 1) {
		struct inner *old = m->root;
		m->root = old->children[0];
		m->depth--;
		free(old);
	}
}

/* The leaf for the id, with room for one more; NULL when memory ran out. */
static struct leaf *leaf_with_room(struct id_map *m, struct point_id id)
{
	if (!raise_root(m))
		return NULL;
	void *node = m->root;
	for (unsigned level = m->depth; level > 0; level--) {
		struct inner *n = node;
		uint32_t at = inner_find(n, id);
		if (is_full(n->children[at], level == 1)) {
			bool split = level == 1 ? split_leaf(n, at, id) : split_inner(n, at, id);
			if (!split) {
				lower_root(m);
				return NULL;
			}
			at = inner_find(n, id);
		}
		node = n->children[at];
	}
	return node;
}

/* --- removal --- */

static void mend_leaf(struct inner *parent, uint32_t at)
{
	struct leaf *l = parent->children[at];

	if (l->count >= LEAF_MIN)
		return;
	if (at > 0) {
		struct leaf *left = parent->children[at - 1];
		if (left->count + l->count <= LEAF_MAX) {
			leaf_join(left, l);
			inner_remove(parent, at);
			return;
		}
	}
	if (at + 1 < parent->count) {
		struct leaf *right = parent->children[at + 1];
		if (l->count + right->count <= LEAF_MAX) {
			leaf_join(l, right);
			inner_remove(parent, at + 1);
		}
	}
}

static void mend_inner(struct inner *parent, uint32_t at)
{
	struct inner *n = parent->children[at];

	if (n->count >= INNER_MIN)
		return;
	uint32_t right_at = at > 0 ? at : at + 1;
	struct inner *left = parent->children[right_at - 1], *right = parent->children[right_at];
	struct point_id *key = &parent->keys[right_at - 1];
	if (left->count + right->count <= INNER_MAX) {
		inner_join(left, *key, right);
		inner_remove(parent, right_at);
	} else {
		inner_level(left, key, right);
	}
}

/* --- the map --- */

enum err id_map_new(struct id_map **ret_map)
{
	struct id_map *m = calloc(1, sizeof(*m));
	struct leaf *root = calloc(1, sizeof(*root));
	if (!m || !root) {
		free(m);
		free(root);
		return ERR_NO_MEMORY;
	}
	m->root = root;
	*ret_map = m;
	return ERR_NONE;
}

/* Depth is bounded by DEPTH_MAX. */
static void free_node(void *node, unsigned depth)
{
	if (depth > 0) {
		struct inner *n = node;
		for (uint32_t i = 0; i < n->count; i++)
			free_node(n->children[i], depth - 1);
	}
	free(node);
}

void id_map_free(struct id_map *m)
{
	if (!m)
		return;
	free_node(m->root, m->depth);
	free(m);
}

size_t id_map_count(const struct id_map *m)
{
	return m->count;
}

static struct leaf *leaf_of(const struct id_map *m, struct point_id id)
{
	void *node = m->root;

	for (unsigned level = m->depth; level > 0; level--) {
		struct inner *n = node;
		node = n->children[inner_find(n, id)];
	}
	return node;
}

bool id_map_get(const struct id_map *m, struct point_id id, uint32_t *ret_row)
{
	const struct leaf *l = leaf_of(m, id);
	uint32_t at = leaf_find(l, id);

	if (!leaf_has(l, at, id))
		return false;
	*ret_row = l->rows[at];
	return true;
}

enum err id_map_put(struct id_map *m, struct point_id id, uint32_t row)
{
	struct leaf *l = leaf_of(m, id);
	uint32_t at = leaf_find(l, id);

	if (leaf_has(l, at, id)) {
		l->rows[at] = row;
		return ERR_NONE;
	}
	if (l->count == LEAF_MAX) {
		l = leaf_with_room(m, id);
		if (!l)
			return ERR_NO_MEMORY;
		at = leaf_find(l, id);
	}
	leaf_insert(l, at, id, row);
	m->count++;
	return ERR_NONE;
}

bool id_map_remove(struct id_map *m, struct point_id id)
{
	struct inner *path[DEPTH_MAX];
	uint32_t path_at[DEPTH_MAX];
	void *node = m->root;

	for (unsigned i = 0; i < m->depth; i++) {
		path[i] = node;
		path_at[i] = inner_find(path[i], id);
		node = path[i]->children[path_at[i]];
	}
	struct leaf *l = node;
	uint32_t at = leaf_find(l, id);
	if (!leaf_has(l, at, id))
		return false;
	leaf_remove(l, at);
	m->count--;
	for (unsigned i = m->depth; i-- > 0;) {
		if (i + 1 == m->depth)
			mend_leaf(path[i], path_at[i]);
		else
			mend_inner(path[i], path_at[i]);
	}
	lower_root(m);
	return true;
}

/* --- walking --- */

struct id_map_cursor id_map_seek(const struct id_map *m, struct point_id from)
{
	const struct leaf *l = leaf_of(m, from);

	return (struct id_map_cursor){ .leaf = l, .at = leaf_find(l, from) };
}

bool id_map_next(struct id_map_cursor *c, struct point_id *ret_id, uint32_t *ret_row)
{
	const struct leaf *l = c->leaf;

	while (l && c->at >= l->count) {
		l = l->next;
		c->leaf = l;
		c->at = 0;
	}
	if (!l)
		return false;
	*ret_id = leaf_id(l, c->at);
	*ret_row = l->rows[c->at];
	c->at++;
	return true;
}
