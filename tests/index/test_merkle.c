/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Merkle tree: what changes its root and what does not, and its way to the store and back.
 */
#include "index/merkle.h"

#include "tests/index/scratch.h"

#include <string.h>

static struct merkle *tree_new(unsigned bits)
{
	struct merkle *m;
	ck_assert_int_eq(merkle_new(bits, &m), ERR_NONE);
	return m;
}

static struct point_id nth_id(uint64_t n)
{
	if (n % 2)
		return (struct point_id){ .hi = n * 31, .lo = n, .kind = POINT_ID_UUID };
	return (struct point_id){ .lo = n, .kind = POINT_ID_NUM };
}

static struct hash128 nth_digest(uint64_t n)
{
	return hash128(&n, sizeof(n), 77);
}

static void add(struct merkle *m, uint64_t n)
{
	struct hash128 digest = nth_digest(n);
	merkle_change(m, nth_id(n), NULL, &digest);
}

static void take(struct merkle *m, uint64_t n)
{
	struct hash128 digest = nth_digest(n);
	merkle_change(m, nth_id(n), &digest, NULL);
}

static bool same_hash(struct hash128 a, struct hash128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

static bool same_root(const struct merkle *a, const struct merkle *b)
{
	return same_hash(merkle_root(a), merkle_root(b));
}

/* --- refused --- */

START_TEST(bits_out_of_bounds_are_refused)
{
	static const unsigned bits[] = { 0, MERKLE_BITS_MIN - 1, MERKLE_BITS_MAX + 1, 64 };
	struct merkle *m;
	for (size_t i = 0; i < LEN(bits); i++)
		ck_assert_int_eq(merkle_new(bits[i], &m), ERR_BAD_INPUT);
	merkle_free(NULL);
}
END_TEST

/* --- sums --- */

START_TEST(order_does_not_matter)
{
	struct merkle *up = tree_new(MERKLE_BITS_DEFAULT), *down = tree_new(MERKLE_BITS_DEFAULT);
	for (uint64_t n = 0; n < 5000; n++) {
		add(up, n);
		add(down, 4999 - n);
	}
	ck_assert(same_root(up, down));
	take(up, 17);
	ck_assert(!same_root(up, down));
	take(down, 17);
	ck_assert(same_root(up, down));
	merkle_free(up);
	merkle_free(down);
}
END_TEST

START_TEST(change_is_removal_and_addition)
{
	struct merkle *a = tree_new(MERKLE_BITS_DEFAULT), *b = tree_new(MERKLE_BITS_DEFAULT);
	struct hash128 old = nth_digest(1), new = nth_digest(2);
	merkle_change(a, nth_id(1), NULL, &old);
	merkle_change(a, nth_id(1), &old, &new);
	merkle_change(b, nth_id(1), NULL, &new);
	ck_assert(same_root(a, b));
	ck_assert_uint_eq(merkle_leaf_at(a, merkle_leaf_of(a, nth_id(1))).count, 1);
	merkle_free(a);
	merkle_free(b);
}
END_TEST

START_TEST(digest_applied_twice_shows)
{
	struct merkle *m = tree_new(MERKLE_BITS_DEFAULT), *empty = tree_new(MERKLE_BITS_DEFAULT);
	add(m, 1);
	struct hash128 once = merkle_root(m);
	add(m, 1);
	ck_assert(!same_hash(merkle_root(m), once));
	ck_assert(!same_root(m, empty));
	ck_assert_uint_eq(merkle_leaf_at(m, merkle_leaf_of(m, nth_id(1))).count, 2);
	take(m, 1);
	ck_assert(same_hash(merkle_root(m), once));
	take(m, 1);
	ck_assert(same_root(m, empty));
	merkle_free(m);
	merkle_free(empty);
}
END_TEST

START_TEST(digest_of_zero_still_counts)
{
	struct merkle *m = tree_new(MERKLE_BITS_DEFAULT), *empty = tree_new(MERKLE_BITS_DEFAULT);
	struct hash128 zero = { .lo = 0 };
	merkle_change(m, nth_id(1), NULL, &zero);
	ck_assert(!same_root(m, empty));
	merkle_free(m);
	merkle_free(empty);
}
END_TEST

START_TEST(difference_is_found_by_descending)
{
	struct merkle *a = tree_new(MERKLE_BITS_DEFAULT), *b = tree_new(MERKLE_BITS_DEFAULT);
	for (uint64_t n = 0; n < 3000; n++) {
		add(a, n);
		add(b, n);
	}
	take(b, 1234);
	uint32_t leaf = merkle_leaf_of(a, nth_id(1234)), blocks = 0, leaves = 0;
	ck_assert_uint_eq(merkle_block_count(a), 64);
	for (uint32_t i = 0; i < merkle_block_count(a); i++)
		if (!same_hash(merkle_block(a, i), merkle_block(b, i))) {
			ck_assert_uint_eq(i, leaf / 256);
			blocks++;
		}
	for (uint32_t i = 0; i < 1u << MERKLE_BITS_DEFAULT; i++) {
		struct merkle_leaf x = merkle_leaf_at(a, i), y = merkle_leaf_at(b, i);
		if (memcmp(&x, &y, sizeof(x)) != 0) {
			ck_assert_uint_eq(i, leaf);
			leaves++;
		}
	}
	ck_assert_uint_eq(blocks, 1);
	ck_assert_uint_eq(leaves, 1);
	merkle_free(a);
	merkle_free(b);
}
END_TEST

START_TEST(ids_spread_over_the_leaves_within_any_shard)
{
	struct merkle *m = tree_new(MERKLE_BITS_MIN);
	unsigned counts[256] = { 0 }, found = 0;
	/* One shard of eight, be it by the low or by the high bits of the hash. */
	for (int by_high = 0; by_high < 2; by_high++) {
		memset(counts, 0, sizeof(counts));
		for (uint64_t n = found = 0; found < 256 * 100; n++) {
			uint64_t hash = point_id_hash(nth_id(n));
			if ((by_high ? hash >> 61 : hash & 7) != 3)
				continue;
			found++;
			counts[merkle_leaf_of(m, nth_id(n))]++;
		}
		for (unsigned i = 0; i < 256; i++)
			ck_assert_msg(counts[i] > 40 && counts[i] < 200, "leaf %u has %u", i,
				      counts[i]);
	}
	merkle_free(m);
}
END_TEST

START_TEST(trees_of_other_bits_have_other_roots)
{
	struct merkle *a = tree_new(8), *b = tree_new(9), *c = tree_new(MERKLE_BITS_MAX);
	ck_assert(!same_root(a, b));
	ck_assert(!same_root(b, c));
	ck_assert_uint_eq(merkle_block_count(a), 1);
	ck_assert_uint_eq(merkle_block_count(c), 4096);
	ck_assert_uint_eq(merkle_bits(c), MERKLE_BITS_MAX);
	/* The last run of blocks counts like the first. */
	struct hash128 empty = merkle_root(c);
	for (uint64_t n = 0;; n++)
		if (merkle_leaf_of(c, nth_id(n)) >= (4095u << 8)) {
			add(c, n);
			break;
		}
	ck_assert(!same_hash(merkle_root(c), empty));
	merkle_free(a);
	merkle_free(b);
	merkle_free(c);
}
END_TEST

START_TEST(root_and_leaf_are_these_numbers)
{
	struct merkle *m = tree_new(MERKLE_BITS_DEFAULT);
	struct hash128 digest = { .lo = 0x0102030405060708, .hi = 0x1112131415161718 };
	struct point_id id = { .lo = 42, .kind = POINT_ID_NUM };
	uint64_t expected = point_id_hash(id) * 0x9E3779B97F4A7C15u >> 50;
	ck_assert_uint_eq(merkle_leaf_of(m, id), expected);
	merkle_change(m, id, NULL, &digest);

	/* By the description at the top of merkle.c. */
	uint8_t block[256 * 24] = { 0 }, run[16 + 64 * 16] = { 0 };
	static const uint8_t leaf[24] = { 8,    7,    6,    5,    4,    3,    2,    1, 0x18,
					  0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 1 };
	struct hash128 empty = hash128(block, sizeof(block), 0);
	memcpy(block + expected % 256 * 24, leaf, sizeof(leaf));
	struct hash128 filled = hash128(block, sizeof(block), 0);
	for (uint32_t i = 0; i < 64; i++) {
		struct hash128 h = i == expected / 256 ? filled : empty;
		for (unsigned byte = 0; byte < 8; byte++) {
			run[16 + i * 16 + byte] = (uint8_t)(h.lo >> (8 * byte));
			run[16 + i * 16 + 8 + byte] = (uint8_t)(h.hi >> (8 * byte));
		}
	}
	ck_assert(same_hash(merkle_block(m, (uint32_t)expected / 256), filled));
	ck_assert(same_hash(merkle_root(m), hash128(run, sizeof(run), MERKLE_BITS_DEFAULT)));
	merkle_free(m);
}
END_TEST

START_TEST(copy_goes_its_own_way)
{
	struct merkle *m = tree_new(MERKLE_BITS_DEFAULT), *copy;
	for (uint64_t n = 0; n < 100; n++)
		add(m, n);
	ck_assert_int_eq(merkle_copy(m, &copy), ERR_NONE);
	ck_assert(same_root(m, copy));
	struct hash128 then = merkle_root(m);
	add(m, 100);
	ck_assert(same_hash(merkle_root(copy), then));
	ck_assert(!same_root(m, copy));
	merkle_free(m);
	merkle_free(copy);
}
END_TEST

/* --- the store --- */

static const struct bytes prefix = { (const uint8_t *)"shard7", 6 };

struct bed {
	struct store *store;
	struct merkle *m;
};

static struct bed bed_new(void)
{
	struct bed b = { .m = tree_new(MERKLE_BITS_DEFAULT) };
	ck_assert_int_eq(store_mem_new(&b.store), ERR_NONE);
	return b;
}

static void bed_free(struct bed *b)
{
	merkle_free(b->m);
	b->store->ops->close(b->store);
}

static struct store_txn *begin(struct bed *b)
{
	struct store_txn *t;
	ck_assert_int_eq(b->store->ops->begin(b->store, true, &t), ERR_NONE);
	return t;
}

/* Saves and says how many records there are then. */
static unsigned save(struct bed *b, bool keep)
{
	struct store_txn *t = begin(b);
	ck_assert_int_eq(merkle_save(b->m, b->store, t, prefix), ERR_NONE);
	struct store_cursor *c;
	ck_assert_int_eq(b->store->ops->cursor_open(t, STORE_MERKLE, &c), ERR_NONE);
	struct bytes key, value;
	unsigned records = 0;
	while (!b->store->ops->next(c, &key, &value))
		records++;
	b->store->ops->cursor_close(c);
	if (keep)
		ck_assert_int_eq(b->store->ops->commit(t, NULL), ERR_NONE);
	else
		b->store->ops->abort(t);
	return records;
}

static enum err load(struct bed *b, struct merkle *m)
{
	struct store_txn *t = begin(b);
	enum err e = merkle_load(m, b->store, t, prefix);
	b->store->ops->abort(t);
	return e;
}

static void assert_loads_same(struct bed *b)
{
	struct merkle *loaded = tree_new(MERKLE_BITS_DEFAULT);
	add(loaded, 999999); /* what it held before is gone */
	ck_assert_int_eq(load(b, loaded), ERR_NONE);
	ck_assert(same_root(loaded, b->m));
	for (uint32_t i = 0; i < 1u << MERKLE_BITS_DEFAULT; i++) {
		struct merkle_leaf x = merkle_leaf_at(loaded, i), y = merkle_leaf_at(b->m, i);
		if (memcmp(&x, &y, sizeof(x)) != 0)
			ck_abort_msg("leaf %u", i);
	}
	merkle_free(loaded);
}

START_TEST(nothing_stored_is_not_found)
{
	struct bed b = bed_new();
	ck_assert_int_eq(load(&b, b.m), ERR_NOT_FOUND);
	bed_free(&b);
}
END_TEST

START_TEST(prefix_out_of_bounds_is_refused)
{
	static const uint8_t zeroes[MERKLE_PREFIX_MAX + 1];
	struct bed b = bed_new();
	struct store_txn *t = begin(&b);
	struct bytes none = { zeroes, 0 }, longer = { zeroes, sizeof(zeroes) };
	ck_assert_int_eq(merkle_save(b.m, b.store, t, none), ERR_BAD_INPUT);
	ck_assert_int_eq(merkle_load(b.m, b.store, t, longer), ERR_BAD_INPUT);
	b.store->ops->abort(t);
	bed_free(&b);
}
END_TEST

START_TEST(saved_trees_are_loaded_as_they_were)
{
	struct bed b = bed_new();
	save(&b, true);
	assert_loads_same(&b);
	for (unsigned round = 0; round < 20; round++) {
		for (uint64_t n = round; n < 3000; n += 7 + round)
			round % 3 == 2 ? take(b.m, n) : add(b.m, n);
		save(&b, true);
		assert_loads_same(&b);
	}
	bed_free(&b);
}
END_TEST

START_TEST(only_changed_blocks_are_stored)
{
	struct bed b = bed_new();
	ck_assert_uint_eq(save(&b, true), 1);
	add(b.m, 1);
	ck_assert_uint_eq(save(&b, true), 2);
	take(b.m, 1);
	ck_assert_uint_eq(save(&b, true), 2);
	for (uint64_t n = 0; n < 5000; n++)
		add(b.m, n);
	ck_assert_uint_eq(save(&b, true), 65);

	/* A block that is wrong in the store stays so until it changes. */
	struct store_txn *t = begin(&b);
	uint32_t block = merkle_leaf_of(b.m, nth_id(1)) / 256;
	uint8_t key[8] = "shard7";
	key[7] = (uint8_t)block;
	ck_assert_int_eq(b.store->ops->del(t, STORE_MERKLE, (struct bytes){ key, 8 }), ERR_NONE);
	ck_assert_int_eq(b.store->ops->commit(t, NULL), ERR_NONE);
	ck_assert_uint_eq(save(&b, true), 64);
	add(b.m, 1);
	ck_assert_uint_eq(save(&b, true), 65);
	assert_loads_same(&b);
	bed_free(&b);
}
END_TEST

START_TEST(abandoned_save_is_made_up_for)
{
	struct bed b = bed_new();
	save(&b, true);
	for (uint64_t n = 0; n < 100; n++)
		add(b.m, n);
	save(&b, false);
	merkle_save_undone(b.m);
	save(&b, true);
	assert_loads_same(&b);
	bed_free(&b);
}
END_TEST

START_TEST(damaged_and_foreign_records_are_refused)
{
	static const struct {
		const char *what;
		size_t key_len; /* of "shard7", 0, block */
		size_t at;
		size_t cut;
		enum err err;
	} cases[] = {
		{ "version", 6, 0, 0, ERR_VERSION },
		{ "bits", 6, 1, 0, ERR_CORRUPT },
		{ "root", 6, 9, 0, ERR_CORRUPT },
		{ "short head", 6, SIZE_MAX, 1, ERR_CORRUPT },
		{ "bitmap", 8, 3, 0, ERR_CORRUPT },
		{ "leaf", 8, 40, 0, ERR_CORRUPT },
		{ "short block", 8, SIZE_MAX, 1, ERR_CORRUPT },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bed b = bed_new();
		uint8_t key[8] = "shard7", record[8192];
		add(b.m, 1);
		key[7] = (uint8_t)(merkle_leaf_of(b.m, nth_id(1)) / 256);
		struct bytes name = { key, cases[i].key_len }, value;
		save(&b, true);
		struct store_txn *t = begin(&b);
		ck_assert_int_eq(b.store->ops->get(t, STORE_MERKLE, name, &value), ERR_NONE);
		ck_assert_uint_le(value.len, sizeof(record));
		memcpy(record, value.data, value.len);
		if (cases[i].at != SIZE_MAX)
			record[cases[i].at] += 2;
		value = (struct bytes){ record, value.len - cases[i].cut };
		ck_assert_int_eq(b.store->ops->put(t, STORE_MERKLE, name, value), ERR_NONE);
		ck_assert_int_eq(b.store->ops->commit(t, NULL), ERR_NONE);

		struct hash128 before = merkle_root(b.m);
		enum err e = load(&b, b.m);
		ck_assert_msg(e == cases[i].err, "%s: %s", cases[i].what, err_name(e));
		ck_assert(same_hash(merkle_root(b.m), before));
		bed_free(&b);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("merkle");
	TCase *t = tcase_create("merkle");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, bits_out_of_bounds_are_refused);
	tcase_add_test(t, order_does_not_matter);
	tcase_add_test(t, change_is_removal_and_addition);
	tcase_add_test(t, digest_applied_twice_shows);
	tcase_add_test(t, digest_of_zero_still_counts);
	tcase_add_test(t, difference_is_found_by_descending);
	tcase_add_test(t, ids_spread_over_the_leaves_within_any_shard);
	tcase_add_test(t, trees_of_other_bits_have_other_roots);
	tcase_add_test(t, root_and_leaf_are_these_numbers);
	tcase_add_test(t, copy_goes_its_own_way);
	tcase_add_test(t, nothing_stored_is_not_found);
	tcase_add_test(t, prefix_out_of_bounds_is_refused);
	tcase_add_test(t, saved_trees_are_loaded_as_they_were);
	tcase_add_test(t, only_changed_blocks_are_stored);
	tcase_add_test(t, abandoned_save_is_made_up_for);
	tcase_add_test(t, damaged_and_foreign_records_are_refused);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
