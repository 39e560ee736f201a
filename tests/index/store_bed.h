/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store to test, of either kind, and short words for using it.
 */
#pragma once

#include <string.h>

#include "index/store.h"
#include "tests/index/scratch.h"

#define MAP_BYTES ((uint64_t)64 << 20)

enum { STORE_OF_MEMORY, STORE_OF_LMDB, STORES };

struct bed {
	struct scratch scratch;
	struct store *store;
	const struct store_ops *ops;
};

static inline void bed_open_lmdb(struct bed *b)
{
	struct fault fault = { .err = ERR_NONE };
	enum err e = store_lmdb_open(b->scratch.dir, MAP_BYTES, &b->store, &fault);
	ck_assert_msg(!e, "%s", fault_text(&fault));
	b->ops = b->store->ops;
}

static inline struct bed bed_new(int which)
{
	struct bed b;

	scratch_new(&b.scratch);
	if (which == STORE_OF_LMDB) {
		bed_open_lmdb(&b);
	} else {
		ck_assert_int_eq(store_mem_new(&b.store), ERR_NONE);
		b.ops = b.store->ops;
	}
	return b;
}

static inline void bed_free(struct bed *b)
{
	b->ops->close(b->store);
	scratch_remove(&b->scratch);
}

static inline struct bytes text(const char *s)
{
	return (struct bytes){ .data = (const uint8_t *)s, .len = strlen(s) };
}

static inline struct store_txn *begin(struct bed *b, bool write)
{
	struct store_txn *t;
	ck_assert_int_eq(b->ops->begin(b->store, write, &t), ERR_NONE);
	return t;
}

static inline void commit(struct bed *b, struct store_txn *t)
{
	struct fault fault = { .err = ERR_NONE };
	ck_assert_msg(!b->ops->commit(t, &fault), "%s", fault_text(&fault));
}

static inline void put(struct bed *b, struct store_txn *t, const char *key, const char *value)
{
	ck_assert_int_eq(b->ops->put(t, STORE_ROWS, text(key), text(value)), ERR_NONE);
}

static inline void put_all(struct bed *b, const char *keys)
{
	struct store_txn *t = begin(b, true);
	for (char key[2] = { 0 }; *keys; keys++) {
		key[0] = *keys;
		put(b, t, key, key);
	}
	commit(b, t);
}

#define assert_text(bytes, expected)                                                               \
	ck_assert_msg((bytes).len == strlen(expected) &&                                           \
			      memcmp((bytes).data, (expected), (bytes).len) == 0,                  \
		      "\"%.*s\" is not \"%s\"", (int)(bytes).len, (bytes).data, (expected))

static inline void assert_value(struct bed *b, struct store_txn *t, const char *key,
				const char *expected)
{
	struct bytes value;
	enum err e = b->ops->get(t, STORE_ROWS, text(key), &value);

	if (!expected) {
		ck_assert_msg(e == ERR_NOT_FOUND, "%s is there", key);
		return;
	}
	ck_assert_msg(!e, "%s: %s", key, err_name(e));
	assert_text(value, expected);
}

static inline struct store_cursor *cursor(struct bed *b, struct store_txn *t)
{
	struct store_cursor *c;
	ck_assert_int_eq(b->ops->cursor_open(t, STORE_ROWS, &c), ERR_NONE);
	return c;
}
