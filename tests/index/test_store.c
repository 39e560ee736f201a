/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stores: one suite that both have to pass, then what is the memory's alone. What is LMDB's
 * alone is in test_store_lmdb.c.
 */
#include "index/store.h"

#include "index/order.h"
#include "tests/index/random.h"
#include "tests/index/store_bed.h"

#include <pthread.h>
#include <stdatomic.h>

/* --- what both refuse --- */

START_TEST(keys_of_wrong_length_are_refused)
{
	static const size_t lengths[] = { 0, STORE_KEY_MAX + 1, 4096 };
	static const uint8_t zeroes[4096];
	struct bed b = bed_new(_i);
	struct store_txn *t = begin(&b, true);
	struct bytes value;
	for (size_t i = 0; i < LEN(lengths); i++) {
		struct bytes key = { .data = zeroes, .len = lengths[i] };
		ck_assert_int_eq(b.ops->put(t, STORE_ROWS, key, text("v")), ERR_BAD_INPUT);
		ck_assert_int_eq(b.ops->get(t, STORE_ROWS, key, &value), ERR_BAD_INPUT);
		ck_assert_int_eq(b.ops->del(t, STORE_ROWS, key), ERR_BAD_INPUT);
	}
	struct bytes longest = { .data = zeroes, .len = STORE_KEY_MAX };
	ck_assert_int_eq(b.ops->put(t, STORE_ROWS, longest, text("v")), ERR_NONE);
	ck_assert_int_eq(b.ops->get(t, STORE_ROWS, longest, &value), ERR_NONE);
	commit(&b, t);
	bed_free(&b);
}
END_TEST

START_TEST(missing_key_is_not_found)
{
	struct bed b = bed_new(_i);
	struct store_txn *t = begin(&b, true);
	assert_value(&b, t, "a", NULL);
	ck_assert_int_eq(b.ops->del(t, STORE_ROWS, text("a")), ERR_NOT_FOUND);
	put(&b, t, "b", "1");
	assert_value(&b, t, "a", NULL);
	commit(&b, t);
	bed_free(&b);
}
END_TEST

START_TEST(aborted_writes_are_forgotten)
{
	struct bed b = bed_new(_i);
	put_all(&b, "a");
	struct store_txn *t = begin(&b, true);
	put(&b, t, "a", "other");
	put(&b, t, "b", "1");
	b.ops->abort(t);
	b.ops->abort(NULL);
	t = begin(&b, false);
	assert_value(&b, t, "a", "a");
	assert_value(&b, t, "b", NULL);
	b.ops->abort(t);
	bed_free(&b);
}
END_TEST

/* --- the ordinary --- */

START_TEST(writer_reads_what_it_wrote_and_others_after_commit)
{
	struct bed b = bed_new(_i);
	struct store_txn *t = begin(&b, true);
	put(&b, t, "a", "1");
	put(&b, t, "b", "");
	assert_value(&b, t, "a", "1");
	put(&b, t, "a", "22");
	assert_value(&b, t, "a", "22");
	put(&b, t, "c", "3");
	ck_assert_int_eq(b.ops->del(t, STORE_ROWS, text("c")), ERR_NONE);
	assert_value(&b, t, "c", NULL);
	commit(&b, t);
	t = begin(&b, false);
	assert_value(&b, t, "a", "22");
	assert_value(&b, t, "b", "");
	assert_value(&b, t, "c", NULL);
	commit(&b, t);
	bed_free(&b);
}
END_TEST

START_TEST(tables_are_apart)
{
	struct bed b = bed_new(_i);
	struct store_txn *t = begin(&b, true);
	for (unsigned table = 0; table < STORE_TABLE_COUNT; table++) {
		uint8_t value = (uint8_t)table;
		ck_assert_int_eq(b.ops->put(t, table, text("k"), (struct bytes){ &value, 1 }),
				 ERR_NONE);
	}
	commit(&b, t);
	t = begin(&b, false);
	for (unsigned table = 0; table < STORE_TABLE_COUNT; table++) {
		struct bytes value;
		ck_assert_int_eq(b.ops->get(t, table, text("k"), &value), ERR_NONE);
		ck_assert_uint_eq(value.len, 1);
		ck_assert_uint_eq(value.data[0], table);
	}
	b.ops->abort(t);
	bed_free(&b);
}
END_TEST

START_TEST(large_values_are_kept)
{
	struct bed b = bed_new(_i);
	size_t len = (size_t)1 << 20;
	uint8_t *large = malloc(len);
	for (size_t i = 0; i < len; i++)
		large[i] = (uint8_t)(i * 7);
	struct store_txn *t = begin(&b, true);
	ck_assert_int_eq(b.ops->put(t, STORE_ROWS, text("k"), (struct bytes){ large, len }),
			 ERR_NONE);
	commit(&b, t);
	t = begin(&b, false);
	struct bytes value;
	ck_assert_int_eq(b.ops->get(t, STORE_ROWS, text("k"), &value), ERR_NONE);
	ck_assert_uint_eq(value.len, len);
	ck_assert_mem_eq(value.data, large, len);
	b.ops->abort(t);
	free(large);
	bed_free(&b);
}
END_TEST

/* --- cursors --- */

START_TEST(cursor_walks_in_the_order_of_bytes)
{
	/* clang-format off */
	static const struct bytes ordered[] = {
		{ (const uint8_t *)"\0", 1 },     { (const uint8_t *)"\0\0", 2 },
		{ (const uint8_t *)"\0\xFF", 2 }, { (const uint8_t *)"a", 1 },
		{ (const uint8_t *)"a\0", 2 },    { (const uint8_t *)"ab", 2 },
		{ (const uint8_t *)"b", 1 },      { (const uint8_t *)"\x7F", 1 },
		{ (const uint8_t *)"\x80", 1 },   { (const uint8_t *)"\xFF", 1 },
		{ (const uint8_t *)"\xFF\xFF", 2 },
	};
	/* clang-format on */
	struct bed b = bed_new(_i);
	struct store_txn *t = begin(&b, true);
	for (size_t i = LEN(ordered); i-- > 0;)
		ck_assert_int_eq(b.ops->put(t, STORE_ROWS, ordered[i], ordered[i]), ERR_NONE);
	commit(&b, t);

	t = begin(&b, false);
	struct store_cursor *c = cursor(&b, t);
	struct bytes key, value;
	for (size_t i = 0; i < LEN(ordered); i++) {
		ck_assert_int_eq(b.ops->next(c, &key, &value), ERR_NONE);
		ck_assert_msg(bytes_compare(key, ordered[i]) == 0, "row %zu", i);
		ck_assert_msg(bytes_compare(value, ordered[i]) == 0, "row %zu", i);
	}
	ck_assert_int_eq(b.ops->next(c, &key, &value), ERR_NOT_FOUND);
	ck_assert_int_eq(b.ops->next(c, &key, &value), ERR_NOT_FOUND);
	for (size_t i = LEN(ordered); i-- > 0;) {
		ck_assert_int_eq(b.ops->prev(c, &key, &value), ERR_NONE);
		ck_assert_msg(bytes_compare(key, ordered[i]) == 0, "row %zu", i);
	}
	ck_assert_int_eq(b.ops->prev(c, &key, &value), ERR_NOT_FOUND);
	ck_assert_int_eq(b.ops->prev(c, &key, &value), ERR_NOT_FOUND);
	ck_assert_int_eq(b.ops->next(c, &key, &value), ERR_NONE);
	ck_assert(bytes_compare(key, ordered[0]) == 0);
	b.ops->cursor_close(c);
	b.ops->cursor_close(NULL);
	b.ops->abort(t);
	bed_free(&b);
}
END_TEST

START_TEST(seek_finds_the_first_key_not_below)
{
	static const struct {
		const char *seek, *found, *next, *prev; /* next and prev: from where seek led */
	} cases[] = {
		{ "", "b", "d", NULL },   { "a", "b", "d", NULL }, { "b", "b", "d", NULL },
		{ "c", "d", "f", "b" },   { "d", "d", "f", "b" },  { "f", "f", NULL, "d" },
		{ "g", NULL, NULL, "f" },
	};
	struct bed b = bed_new(_i);
	put_all(&b, "fbd");
	struct store_txn *t = begin(&b, false);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct store_cursor *c = cursor(&b, t);
		struct bytes key, value;
		enum err e = b.ops->seek(c, text(cases[i].seek), &key, &value);
		ck_assert_msg(e == (cases[i].found ? ERR_NONE : ERR_NOT_FOUND), "row %zu", i);
		if (cases[i].found) {
			assert_text(key, cases[i].found);
			assert_text(value, cases[i].found);
		}
		e = b.ops->next(c, &key, &value);
		ck_assert_msg(e == (cases[i].next ? ERR_NONE : ERR_NOT_FOUND), "row %zu, next", i);
		if (cases[i].next)
			assert_text(key, cases[i].next);
		(void)b.ops->seek(c, text(cases[i].seek), &key, &value);
		e = b.ops->prev(c, &key, &value);
		ck_assert_msg(e == (cases[i].prev ? ERR_NONE : ERR_NOT_FOUND), "row %zu, prev", i);
		if (cases[i].prev)
			assert_text(key, cases[i].prev);
		ck_assert_int_eq(b.ops->last(c, &key, &value), ERR_NONE);
		assert_text(key, "f");
		b.ops->cursor_close(c);
	}
	b.ops->abort(t);
	bed_free(&b);
}
END_TEST

START_TEST(cursor_of_an_empty_table_finds_nothing)
{
	struct bed b = bed_new(_i);
	struct store_txn *t = begin(&b, true);
	struct store_cursor *c = cursor(&b, t);
	struct bytes key, value;
	ck_assert_int_eq(b.ops->next(c, &key, &value), ERR_NOT_FOUND);
	ck_assert_int_eq(b.ops->prev(c, &key, &value), ERR_NOT_FOUND);
	ck_assert_int_eq(b.ops->last(c, &key, &value), ERR_NOT_FOUND);
	ck_assert_int_eq(b.ops->seek(c, text(""), &key, &value), ERR_NOT_FOUND);
	ck_assert_int_eq(b.ops->seek(c, text("a"), &key, &value), ERR_NOT_FOUND);
	put(&b, t, "a", "1");
	ck_assert_int_eq(b.ops->prev(c, &key, &value), ERR_NONE);
	assert_text(key, "a");
	b.ops->cursor_close(c);
	b.ops->abort(t);
	bed_free(&b);
}
END_TEST

START_TEST(writes_do_not_confuse_a_cursor)
{
	struct bed b = bed_new(_i);
	put_all(&b, "bdfhj");
	struct store_txn *t = begin(&b, true);
	struct store_cursor *c = cursor(&b, t);
	struct bytes key, value;

	ck_assert_int_eq(b.ops->seek(c, text("d"), &key, &value), ERR_NONE);
	ck_assert_int_eq(b.ops->del(t, STORE_ROWS, text("d")), ERR_NONE);
	ck_assert_int_eq(b.ops->next(c, &key, &value), ERR_NONE);
	assert_text(key, "f");
	ck_assert_int_eq(b.ops->del(t, STORE_ROWS, text("f")), ERR_NONE);
	ck_assert_int_eq(b.ops->prev(c, &key, &value), ERR_NONE);
	assert_text(key, "b");
	put(&b, t, "c", "new");
	put(&b, t, "a", "new");
	ck_assert_int_eq(b.ops->next(c, &key, &value), ERR_NONE);
	assert_text(key, "c");
	put(&b, t, "c", "newer");
	ck_assert_int_eq(b.ops->prev(c, &key, &value), ERR_NONE);
	assert_text(key, "b");
	ck_assert_int_eq(b.ops->last(c, &key, &value), ERR_NONE);
	ck_assert_int_eq(b.ops->del(t, STORE_ROWS, text("j")), ERR_NONE);
	ck_assert_int_eq(b.ops->next(c, &key, &value), ERR_NOT_FOUND);
	ck_assert_int_eq(b.ops->prev(c, &key, &value), ERR_NONE);
	assert_text(key, "h");
	b.ops->cursor_close(c);
	commit(&b, t);
	bed_free(&b);
}
END_TEST

START_TEST(table_can_be_emptied_while_it_is_walked)
{
	struct bed b = bed_new(_i);
	struct store_txn *t = begin(&b, true);
	char name[16];
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "%05u", i);
		put(&b, t, name, "a value long enough for several pages");
	}
	commit(&b, t);

	t = begin(&b, true);
	struct store_cursor *c = cursor(&b, t);
	struct bytes key, value;
	unsigned met = 0;
	while (!b.ops->next(c, &key, &value)) {
		snprintf(name, sizeof(name), "%05u", met++);
		assert_text(key, name);
		ck_assert_int_eq(b.ops->del(t, STORE_ROWS, text(name)), ERR_NONE);
	}
	ck_assert_uint_eq(met, 3000);
	ck_assert_int_eq(b.ops->last(c, &key, &value), ERR_NOT_FOUND);
	b.ops->cursor_close(c);
	commit(&b, t);
	bed_free(&b);
}
END_TEST

/* --- isolation --- */

START_TEST(reader_sees_the_state_of_its_begin)
{
	struct bed b = bed_new(_i);
	put_all(&b, "ab");
	struct store_txn *before = begin(&b, false);
	struct store_cursor *c = cursor(&b, before);
	struct bytes key, value;
	ck_assert_int_eq(b.ops->next(c, &key, &value), ERR_NONE);

	struct store_txn *w = begin(&b, true);
	put(&b, w, "a", "changed");
	put(&b, w, "aa", "added");
	ck_assert_int_eq(b.ops->del(w, STORE_ROWS, text("b")), ERR_NONE);
	struct store_txn *meanwhile = begin(&b, false);
	commit(&b, w);
	struct store_txn *after = begin(&b, false);

	for (int i = 0; i < 2; i++) {
		struct store_txn *t = i ? meanwhile : before;
		assert_value(&b, t, "a", "a");
		assert_value(&b, t, "aa", NULL);
		assert_value(&b, t, "b", "b");
	}
	ck_assert_int_eq(b.ops->next(c, &key, &value), ERR_NONE);
	assert_text(key, "b");
	assert_value(&b, after, "a", "changed");
	assert_value(&b, after, "aa", "added");
	assert_value(&b, after, "b", NULL);
	b.ops->cursor_close(c);
	b.ops->abort(before);
	b.ops->abort(after);
	b.ops->abort(meanwhile);
	bed_free(&b);
}
END_TEST

#define MODEL_KEYS 400

struct model {
	uint32_t value[MODEL_KEYS]; /* 0: not there */
};

static struct bytes model_key(uint32_t i, char space[16])
{
	snprintf(space, 16, "%u", i * 7919 % 1009);
	return text(space);
}

static void assert_model(struct bed *b, struct store_txn *t, const struct model *m)
{
	struct store_cursor *c = cursor(b, t);
	struct bytes key, value, last = { 0 };
	unsigned expected = 0, met = 0;
	char space[16];

	for (uint32_t i = 0; i < MODEL_KEYS; i++) {
		enum err e = b->ops->get(t, STORE_ROWS, model_key(i, space), &value);
		ck_assert_int_eq(e, m->value[i] ? ERR_NONE : ERR_NOT_FOUND);
		if (e)
			continue;
		expected++;
		ck_assert_uint_eq(value.len, sizeof(uint32_t));
		ck_assert_mem_eq(value.data, &m->value[i], sizeof(uint32_t));
	}
	while (!b->ops->next(c, &key, &value)) {
		ck_assert(met == 0 || bytes_compare(last, key) < 0);
		last = key;
		met++;
	}
	ck_assert_uint_eq(met, expected);
	b->ops->cursor_close(c);
}

START_TEST(random_transactions_agree_with_an_array)
{
	struct bed b = bed_new(_i);
	struct model committed = { { 0 } }, now;
	struct random seed = { 20260101 };
	char space[16];

	for (unsigned round = 0; round < 150; round++) {
		struct store_txn *reader = begin(&b, false);
		struct model seen = committed;
		struct store_txn *t = begin(&b, true);
		now = committed;
		for (uint64_t step = random_u64(&seed) % 120; step > 0; step--) {
			uint32_t i = (uint32_t)(random_u64(&seed) % MODEL_KEYS);
			struct bytes key = model_key(i, space);
			if (random_u64(&seed) % 5 < 2) {
				ck_assert_int_eq(b.ops->del(t, STORE_ROWS, key),
						 now.value[i] ? ERR_NONE : ERR_NOT_FOUND);
				now.value[i] = 0;
			} else {
				now.value[i] = (uint32_t)random_u64(&seed) | 1;
				struct bytes v = { (const uint8_t *)&now.value[i],
						   sizeof(uint32_t) };
				ck_assert_int_eq(b.ops->put(t, STORE_ROWS, key, v), ERR_NONE);
			}
		}
		assert_model(&b, t, &now);
		if (random_u64(&seed) % 4 == 0) {
			b.ops->abort(t);
		} else {
			commit(&b, t);
			committed = now;
		}
		assert_model(&b, reader, &seen);
		b.ops->abort(reader);
	}
	bed_free(&b);
}
END_TEST

#define WALK_KEYS 300
#define WALK_NOWHERE (-1)

/* The next number present from `from` on, upwards or downwards; WALK_NOWHERE at the end. */
static int walk_to(const bool present[WALK_KEYS], int from, int step)
{
	for (int i = from; i >= 0 && i < WALK_KEYS; i += step)
		if (present[i])
			return i;
	return WALK_NOWHERE;
}

static void walk_key(int n, char key[200])
{
	snprintf(key, 200, "%0150d", n); /* long, so that pages split and join */
}

/* Moves the cursor at random; where it stands then: at a key, before all or behind all. */
static int walk_move(struct bed *b, struct store_cursor *c, const bool present[WALK_KEYS], int at,
		     struct random *seed)
{
	struct bytes key, value;
	char expected[200];
	uint64_t r = random_u64(seed);
	int to = (int)(r >> 33) % WALK_KEYS, nowhere = r % 8 < 5 ? WALK_KEYS : WALK_NOWHERE;
	enum err e;

	walk_key(to, expected);
	if (r % 8 == 0) {
		to = walk_to(present, to, 1);
		e = b->ops->seek(c, text(expected), &key, &value);
	} else if (r % 8 == 1) {
		to = walk_to(present, WALK_KEYS - 1, -1);
		e = b->ops->last(c, &key, &value);
	} else if (r % 8 < 5) {
		to = walk_to(present, at + 1, 1);
		e = b->ops->next(c, &key, &value);
	} else {
		to = walk_to(present, at - 1, -1);
		e = b->ops->prev(c, &key, &value);
	}
	ck_assert_int_eq(e, to == WALK_NOWHERE ? ERR_NOT_FOUND : ERR_NONE);
	if (e)
		return nowhere;
	walk_key(to, expected);
	assert_text(key, expected);
	return to;
}

START_TEST(cursor_among_random_writes_is_never_lost)
{
	struct bed b = bed_new(_i);
	struct random seed = { 31 };
	bool present[WALK_KEYS] = { false };

	for (unsigned round = 0; round < 20; round++) {
		struct store_txn *t = begin(&b, true);
		struct store_cursor *c = cursor(&b, t);
		int at = WALK_NOWHERE;
		for (unsigned step = 0; step < 1000; step++) {
			uint64_t r = random_u64(&seed);
			/* Often the key that the cursor stands at, or its neighbour. */
			int n = (int)(r >> 33) % WALK_KEYS;
			if (r % 3 == 0 && at > 0 && at < WALK_KEYS)
				n = at - (int)(r >> 8 & 1);
			char key[200];
			walk_key(n, key);
			/* Grows in one half of the rounds and shrinks in the other. */
			if (r >> 16 & 1) {
				at = walk_move(&b, c, present, at, &seed);
			} else if ((r >> 20) % 10 < (round % 4 < 2 ? 3 : 7)) {
				(void)b.ops->del(t, STORE_ROWS, text(key));
				present[n] = false;
			} else {
				put(&b, t, key, "a value that is not so short, all the same");
				present[n] = true;
			}
		}
		b.ops->cursor_close(c);
		commit(&b, t);
	}
	bed_free(&b);
}
END_TEST

struct sharing {
	struct bed *bed;
	atomic_bool done;
	atomic_uint wrong;
	atomic_uint looks;
};

static uint32_t number_at(struct bed *b, struct store_txn *t, const char *key)
{
	struct bytes value;
	uint32_t n = 0;

	if (!b->ops->get(t, STORE_ROWS, text(key), &value) && value.len == sizeof(n))
		memcpy(&n, value.data, sizeof(n));
	return n;
}

/* What one account loses the other gains, in every state that was ever committed. */
static void *look_at_accounts(void *arg)
{
	struct sharing *s = arg;
	do {
		struct store_txn *t;
		if (s->bed->ops->begin(s->bed->store, false, &t)) {
			atomic_fetch_add(&s->wrong, 1);
			return NULL;
		}
		if (number_at(s->bed, t, "left") + number_at(s->bed, t, "right") != 1000)
			atomic_fetch_add(&s->wrong, 1);
		s->bed->ops->abort(t);
		atomic_fetch_add(&s->looks, 1);
	} while (!atomic_load(&s->done));
	return NULL;
}

static void put_number(struct bed *b, struct store_txn *t, const char *key, uint32_t n)
{
	struct bytes value = { (const uint8_t *)&n, sizeof(n) };
	ck_assert_int_eq(b->ops->put(t, STORE_ROWS, text(key), value), ERR_NONE);
}

START_TEST(readers_on_other_threads_see_whole_transactions)
{
	struct bed b = bed_new(_i);
	struct sharing s = { .bed = &b };
	pthread_t threads[2];

	for (uint32_t i = 0; i <= 200; i++) {
		struct store_txn *t = begin(&b, true);
		put_number(&b, t, "left", 1000 - i);
		put_number(&b, t, "right", i);
		commit(&b, t);
		for (size_t n = 0; i == 0 && n < LEN(threads); n++)
			ck_assert_int_eq(pthread_create(&threads[n], NULL, look_at_accounts, &s),
					 0);
	}
	atomic_store(&s.done, true);
	for (size_t n = 0; n < LEN(threads); n++)
		pthread_join(threads[n], NULL);
	ck_assert_uint_eq(atomic_load(&s.wrong), 0);
	ck_assert_uint_ge(atomic_load(&s.looks), LEN(threads));
	bed_free(&b);
}
END_TEST

/* --- memory --- */

START_TEST(crash_forgets_open_transactions_only)
{
	struct bed b = bed_new(STORE_OF_MEMORY);
	put_all(&b, "ab");
	struct store_txn *w = begin(&b, true);
	struct store_txn *r = begin(&b, false);
	put(&b, w, "a", "lost");
	struct store_cursor *c = cursor(&b, r);
	struct bytes key, value;
	ck_assert_int_eq(b.ops->next(c, &key, &value), ERR_NONE);
	(void)cursor(&b, w);
	store_mem_crash(b.store);

	w = begin(&b, true);
	assert_value(&b, w, "a", "a");
	assert_value(&b, w, "b", "b");
	commit(&b, w);
	bed_free(&b);
}
END_TEST

START_TEST(fork_has_what_was_committed_and_goes_its_own_way)
{
	struct bed b = bed_new(STORE_OF_MEMORY);
	put_all(&b, "a");
	struct store_txn *open = begin(&b, true);
	put(&b, open, "b", "not committed");

	struct bed copy = b;
	ck_assert_int_eq(store_mem_fork(b.store, &copy.store), ERR_NONE);
	commit(&b, open);
	struct store_txn *t = begin(&copy, true);
	assert_value(&copy, t, "a", "a");
	assert_value(&copy, t, "b", NULL);
	put(&copy, t, "a", "other");
	commit(&copy, t);

	t = begin(&b, false);
	assert_value(&b, t, "a", "a");
	assert_value(&b, t, "b", "not committed");
	b.ops->abort(t);
	bed_free(&b);
	t = begin(&copy, false);
	assert_value(&copy, t, "a", "other");
	copy.ops->abort(t);
	copy.ops->close(copy.store);
}
END_TEST

static TCase *both_case(void)
{
	const TTest *const tests[] = {
		keys_of_wrong_length_are_refused,
		missing_key_is_not_found,
		aborted_writes_are_forgotten,
		writer_reads_what_it_wrote_and_others_after_commit,
		tables_are_apart,
		large_values_are_kept,
		cursor_walks_in_the_order_of_bytes,
		seek_finds_the_first_key_not_below,
		cursor_of_an_empty_table_finds_nothing,
		writes_do_not_confuse_a_cursor,
		table_can_be_emptied_while_it_is_walked,
		cursor_among_random_writes_is_never_lost,
		reader_sees_the_state_of_its_begin,
		random_transactions_agree_with_an_array,
		readers_on_other_threads_see_whole_transactions,
	};
	TCase *t = tcase_create("both");
	tcase_set_timeout(t, 60);
	for (size_t i = 0; i < LEN(tests); i++)
		tcase_add_loop_test(t, tests[i], 0, STORES);
	return t;
}

int main(void)
{
	Suite *s = suite_create("store");
	suite_add_tcase(s, both_case());
	TCase *t = tcase_create("memory");
	tcase_add_test(t, crash_forgets_open_transactions_only);
	tcase_add_test(t, fork_has_what_was_committed_and_goes_its_own_way);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
