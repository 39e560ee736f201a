/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store in memory behind store.h, for tests and the simulator. Every table is a persistent treap:
 * a node that more than one root or parent refers to is copied before it changes, so a reader keeps
 * the tree it began with, and beginning or abandoning a transaction costs one reference per table.
 * Priorities are hashes of the keys: the same content has the same shape, whatever led to it.
 *
 * Depth is about twice the logarithm of the number of keys, so the functions here that recurse
 * along a path need no limit of their own.
 */
#include "index/store.h"

#include "base/hash.h"
#include "base/panic.h"
#include "index/order.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A key with its value; never changes. Counted by the nodes and cursors that refer to it. */
struct item {
	atomic_uint refs;
	size_t key_len, value_len;
	uint8_t data[]; /* the key, then the value */
};

struct node {
	atomic_uint refs;
	uint64_t priority; /* not below its children's */
	struct item *item;
	struct node *left, *right;
};

struct store_mem {
	struct store store;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t writer_left;
	bool writing;
	struct node *roots[STORE_TABLE_COUNT]; /* as committed */
	struct store_txn *txns;                /* open ones */
};

struct store_txn {
	struct store_mem *store;
	struct store_txn *next, *prev;
	struct node *roots[STORE_TABLE_COUNT];
	struct store_cursor *cursors; /* open ones */
	bool write;
	enum err failed; /* of the first write that failed */
};

enum cursor_where { CURSOR_START, CURSOR_AT, CURSOR_END };

struct store_cursor {
	struct store_txn *txn;
	struct store_cursor *next, *prev;
	enum store_table table;
	enum cursor_where where;
	struct item *item; /* counted; NULL unless CURSOR_AT */
};

static struct store_mem *mem_of(struct store *s)
{
	return CONTAINER_OF(s, struct store_mem, store);
}

/* --- items and nodes --- */

static struct bytes item_key(const struct item *i)
{
	return (struct bytes){ .data = i->data, .len = i->key_len };
}

static struct bytes item_value(const struct item *i)
{
	return (struct bytes){ .data = i->data + i->key_len, .len = i->value_len };
}

static struct item *item_new(struct bytes key, struct bytes value)
{
	size_t size;
	if (__builtin_add_overflow(sizeof(struct item) + key.len, value.len, &size))
		return NULL;
	struct item *i = malloc(size);
	if (!i)
		return NULL;
	atomic_init(&i->refs, 1);
	i->key_len = key.len;
	i->value_len = value.len;
	memcpy(i->data, key.data, key.len);
	if (value.len)
		memcpy(i->data + key.len, value.data, value.len);
	return i;
}

static struct item *item_ref(struct item *i)
{
	atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed);
	return i;
}

static void item_unref(struct item *i)
{
	if (i && atomic_fetch_sub_explicit(&i->refs, 1, memory_order_acq_rel) == 1)
		free(i);
}

static struct node *node_ref(struct node *n)
{
	if (n)
		atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
	return n;
}

static void node_unref(struct node *n)
{
	if (!n || atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1)
		return;
	node_unref(n->left);
	node_unref(n->right);
	item_unref(n->item);
	free(n);
}

/* Takes over the reference to the item. */
static struct node *node_new(struct item *item)
{
	struct node *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	atomic_init(&n->refs, 1);
	n->priority = hash64(item->data, item->key_len, 0);
	n->item = item;
	return n;
}

/*
 * Makes *link a node that only this tree refers to. The path from the root to *link has to be owned
 * already: a count of one says nothing about a node below a shared one.
 */
static bool node_own(struct node **link)
{
	struct node *shared = *link;

	if (atomic_load_explicit(&shared->refs, memory_order_acquire) == 1)
		return true;
	struct node *own = malloc(sizeof(*own));
	if (!own)
		return false;
	atomic_init(&own->refs, 1);
	own->priority = shared->priority;
	own->item = item_ref(shared->item);
	own->left = node_ref(shared->left);
	own->right = node_ref(shared->right);
	node_unref(shared);
	*link = own;
	return true;
}

/* --- trees --- */

/* The rotations want *link and the child that rises owned. */
static void raise_left(struct node **link)
{
	struct node *n = *link, *child = n->left;
	n->left = child->right;
	child->right = n;
	*link = child;
}

static void raise_right(struct node **link)
{
	struct node *n = *link, *child = n->right;
	n->right = child->left;
	child->left = n;
	*link = child;
}

/* Takes over the reference to the item, also on failure. */
static bool tree_put(struct node **link, struct item *item)
{
	if (!*link) {
		*link = node_new(item);
		if (!*link)
			item_unref(item);
		return *link != NULL;
	}
	if (!node_own(link)) {
		item_unref(item);
		return false;
	}
	struct node *n = *link;
	int order = bytes_compare(item_key(item), item_key(n->item));
	if (order == 0) {
		item_unref(n->item);
		n->item = item;
		return true;
	}
	if (order < 0) {
		if (!tree_put(&n->left, item))
			return false;
		if (n->left->priority > n->priority)
			raise_left(link);
	} else {
		if (!tree_put(&n->right, item))
			return false;
		if (n->right->priority > n->priority)
			raise_right(link);
	}
	return true;
}

/* Turns the node, owned, down until it has one child at most, and takes it out. */
static bool tree_take_out(struct node **link)
{
	struct node *n = *link;

	while (n->left && n->right) {
		bool left = n->left->priority > n->right->priority;
		if (!node_own(left ? &n->left : &n->right))
			return false;
		if (left) {
			raise_left(link);
			link = &(*link)->right;
		} else {
			raise_right(link);
			link = &(*link)->left;
		}
	}
	*link = n->left ? n->left : n->right;
	n->left = n->right = NULL;
	node_unref(n);
	return true;
}

/* The key has to be there. */
static bool tree_del(struct node **link, struct bytes key)
{
	for (;;) {
		if (!node_own(link))
			return false;
		int order = bytes_compare(key, item_key((*link)->item));
		if (order == 0)
			return tree_take_out(link);
		link = order < 0 ? &(*link)->left : &(*link)->right;
	}
}

static struct item *tree_get(const struct node *n, struct bytes key)
{
	while (n) {
		int order = bytes_compare(key, item_key(n->item));
		if (order == 0)
			return n->item;
		n = order < 0 ? n->left : n->right;
	}
	return NULL;
}

/* The first item with a key above key, or at it when that counts. */
static struct item *tree_above(const struct node *n, struct bytes key, bool at_counts)
{
	struct item *best = NULL;

	while (n) {
		int order = bytes_compare(item_key(n->item), key);
		if (order > 0 || (order == 0 && at_counts)) {
			best = n->item;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return best;
}

static struct item *tree_below(const struct node *n, struct bytes key)
{
	struct item *best = NULL;

	while (n) {
		if (bytes_compare(item_key(n->item), key) < 0) {
			best = n->item;
			n = n->right;
		} else {
			n = n->left;
		}
	}
	return best;
}

static struct item *tree_last(const struct node *n)
{
	while (n && n->right)
		n = n->right;
	return n ? n->item : NULL;
}

/* --- cursors --- */

static enum err mem_cursor_open(struct store_txn *t, enum store_table table,
				struct store_cursor **ret_cursor)
{
	struct store_cursor *c = calloc(1, sizeof(*c));
	if (!c)
		return ERR_NO_MEMORY;
	c->txn = t;
	c->table = table;
	c->next = t->cursors;
	if (c->next)
		c->next->prev = c;
	t->cursors = c;
	*ret_cursor = c;
	return ERR_NONE;
}

static void mem_cursor_close(struct store_cursor *c)
{
	if (!c)
		return;
	if (c->prev)
		c->prev->next = c->next;
	else
		c->txn->cursors = c->next;
	if (c->next)
		c->next->prev = c->prev;
	item_unref(c->item);
	free(c);
}

static enum err cursor_stand(struct store_cursor *c, struct item *item,
			     enum cursor_where where_if_none, struct bytes *ret_key,
			     struct bytes *ret_value)
{
	struct item *old = c->item;

	c->item = item ? item_ref(item) : NULL;
	item_unref(old);
	c->where = item ? CURSOR_AT : where_if_none;
	if (!item)
		return ERR_NOT_FOUND;
	*ret_key = item_key(item);
	*ret_value = item_value(item);
	return ERR_NONE;
}

static enum err mem_seek(struct store_cursor *c, struct bytes key, struct bytes *ret_key,
			 struct bytes *ret_value)
{
	if (key.len > STORE_KEY_MAX)
		return ERR_BAD_INPUT;
	return cursor_stand(c, tree_above(c->txn->roots[c->table], key, true), CURSOR_END, ret_key,
			    ret_value);
}

static enum err mem_next(struct store_cursor *c, struct bytes *ret_key, struct bytes *ret_value)
{
	if (c->where == CURSOR_END)
		return ERR_NOT_FOUND;
	struct bytes from = c->where == CURSOR_AT ? item_key(c->item) : (struct bytes){ 0 };
	return cursor_stand(c, tree_above(c->txn->roots[c->table], from, false), CURSOR_END,
			    ret_key, ret_value);
}

static enum err mem_last(struct store_cursor *c, struct bytes *ret_key, struct bytes *ret_value)
{
	return cursor_stand(c, tree_last(c->txn->roots[c->table]), CURSOR_END, ret_key, ret_value);
}

static enum err mem_prev(struct store_cursor *c, struct bytes *ret_key, struct bytes *ret_value)
{
	const struct node *root = c->txn->roots[c->table];

	if (c->where == CURSOR_START)
		return ERR_NOT_FOUND;
	struct item *item =
		c->where == CURSOR_END ? tree_last(root) : tree_below(root, item_key(c->item));
	return cursor_stand(c, item, CURSOR_START, ret_key, ret_value);
}

/* --- transactions --- */

static enum err mem_begin(struct store *s, bool write, struct store_txn **ret_txn)
{
	struct store_mem *m = mem_of(s);
	struct store_txn *t = calloc(1, sizeof(*t));
	if (!t)
		return ERR_NO_MEMORY;
	t->store = m;
	t->write = write;

	pthread_mutex_lock(&m->lock);
	while (write && m->writing)
		pthread_cond_wait(&m->writer_left, &m->lock);
	m->writing = m->writing || write;
	for (unsigned i = 0; i < STORE_TABLE_COUNT; i++)
		t->roots[i] = node_ref(m->roots[i]);
	t->next = m->txns;
	if (t->next)
		t->next->prev = t;
	m->txns = t;
	pthread_mutex_unlock(&m->lock);
	*ret_txn = t;
	return ERR_NONE;
}

/* Leaves the store; its roots become the store's first if they are to last. */
static void txn_leave(struct store_txn *t, bool keep)
{
	struct store_mem *m = t->store;

	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; keep && i < STORE_TABLE_COUNT; i++) {
		struct node *old = m->roots[i];
		m->roots[i] = t->roots[i];
		t->roots[i] = old;
	}
	if (t->prev)
		t->prev->next = t->next;
	else
		m->txns = t->next;
	if (t->next)
		t->next->prev = t->prev;
	if (t->write) {
		m->writing = false;
		pthread_cond_signal(&m->writer_left);
	}
	pthread_mutex_unlock(&m->lock);

	for (unsigned i = 0; i < STORE_TABLE_COUNT; i++)
		node_unref(t->roots[i]);
	free(t);
}

static void mem_abort(struct store_txn *t)
{
	if (!t)
		return;
	ASSERT(!t->cursors);
	txn_leave(t, false);
}

static enum err mem_commit(struct store_txn *t, struct fault *reterr_fault)
{
	enum err failed = t->failed;

	ASSERT(!t->cursors);
	txn_leave(t, t->write && !failed);
	if (failed)
		return fault_set(reterr_fault, failed, "writing the store in memory: %s",
				 err_sentence(failed));
	return ERR_NONE;
}

static bool key_fits(struct bytes key)
{
	return key.len > 0 && key.len <= STORE_KEY_MAX;
}

static enum err mem_get(struct store_txn *t, enum store_table table, struct bytes key,
			struct bytes *ret_value)
{
	if (!key_fits(key))
		return ERR_BAD_INPUT;
	const struct item *item = tree_get(t->roots[table], key);
	if (!item)
		return ERR_NOT_FOUND;
	*ret_value = item_value(item);
	return ERR_NONE;
}

static enum err mem_put(struct store_txn *t, enum store_table table, struct bytes key,
			struct bytes value)
{
	ASSERT(t->write);
	if (t->failed)
		return t->failed;
	if (!key_fits(key))
		return ERR_BAD_INPUT;
	struct item *item = item_new(key, value);
	if (!item || !tree_put(&t->roots[table], item))
		return t->failed = ERR_NO_MEMORY;
	return ERR_NONE;
}

static enum err mem_del(struct store_txn *t, enum store_table table, struct bytes key)
{
	ASSERT(t->write);
	if (t->failed)
		return t->failed;
	if (!key_fits(key))
		return ERR_BAD_INPUT;
	if (!tree_get(t->roots[table], key))
		return ERR_NOT_FOUND;
	if (!tree_del(&t->roots[table], key))
		return t->failed = ERR_NO_MEMORY;
	return ERR_NONE;
}

/* --- the store --- */

static void mem_close(struct store *s)
{
	struct store_mem *m = mem_of(s);

	ASSERT(!m->txns);
	for (unsigned i = 0; i < STORE_TABLE_COUNT; i++)
		node_unref(m->roots[i]);
	pthread_cond_destroy(&m->writer_left);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static const struct store_ops mem_ops = {
	.begin = mem_begin,
	.commit = mem_commit,
	.abort = mem_abort,
	.get = mem_get,
	.put = mem_put,
	.del = mem_del,
	.cursor_open = mem_cursor_open,
	.cursor_close = mem_cursor_close,
	.seek = mem_seek,
	.next = mem_next,
	.prev = mem_prev,
	.last = mem_last,
	.close = mem_close,
};

enum err store_mem_new(struct store **ret_store)
{
	struct store_mem *m = calloc(1, sizeof(*m));
	if (!m)
		return ERR_NO_MEMORY;
	m->store.ops = &mem_ops;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->writer_left, NULL);
	*ret_store = &m->store;
	return ERR_NONE;
}

enum err store_mem_fork(struct store *s, struct store **ret_fork)
{
	struct store_mem *m = mem_of(s);
	enum err err = store_mem_new(ret_fork);

	if (err)
		return err;
	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < STORE_TABLE_COUNT; i++)
		mem_of(*ret_fork)->roots[i] = node_ref(m->roots[i]);
	pthread_mutex_unlock(&m->lock);
	return ERR_NONE;
}

/* Whoever held a transaction crashed with it and does not come back to end it. */
void store_mem_crash(struct store *s)
{
	struct store_mem *m = mem_of(s);

	while (m->txns) {
		while (m->txns->cursors)
			mem_cursor_close(m->txns->cursors);
		txn_leave(m->txns, false);
	}
}
