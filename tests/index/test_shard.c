/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only a shard shows: readers between commit and publish, payload indexes that are being filled,
 * thresholds, and the deletion of rows. The rest is tested through collections.
 */
#include "index/shard.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct bed {
	struct store *store;
	struct gate gate;
	struct collection_config config;
	struct shard *shard;
	uint64_t op;
};

static void bed_init(struct bed *b)
{
	*b = (struct bed){ 0 };
	ck_assert_int_eq(store_mem_new(&b->store), ERR_NONE);
	ck_assert_int_eq(gate_init(&b->gate), ERR_NONE);
	struct shard_options o = { .store = b->store,
				   .gate = &b->gate,
				   .uid = 5,
				   .config = &b->config,
				   .collection_label = "bed" };

	ck_assert_int_eq(shard_new(&o, &b->shard, NULL), ERR_NONE);
	ck_assert_int_eq(shard_start(b->shard, NULL), ERR_NONE);
}

static void bed_release(struct bed *b)
{
	shard_free(b->shard, true);
	gate_release(&b->gate);
	b->store->ops->close(b->store);
}

static struct store_txn *begin(struct bed *b)
{
	struct store_txn *t;

	ck_assert_int_eq(b->store->ops->begin(b->store, true, &t), ERR_NONE);
	return t;
}

static void store(struct bed *b, struct store_txn *t, uint64_t id, int64_t n, bool visible)
{
	struct buf v = BUF_INIT(20);
	struct stamp stamp = { .epoch = 1, .hlc = ++b->op };

	value_put_int(&v, n);
	struct row_field field = {
		.key = STR("n"), .stamp = stamp, .present = true, .value = value_of_buf(&v)
	};
	struct row row = { .id = { .lo = id },
			   .created = stamp,
			   .op_number = b->op,
			   .visible = visible,
			   .fields = &field,
			   .field_count = 1 };

	if (!visible)
		row.deleted = stamp;
	ck_assert_int_eq(shard_row_store(b->shard, t, &row, NULL), ERR_NONE);
	buf_release(&v);
}

static void commit(struct bed *b, struct store_txn *t)
{
	ck_assert_int_eq(shard_sync(b->shard, NULL), ERR_NONE);
	ck_assert_int_eq(b->store->ops->commit(t, NULL), ERR_NONE);
}

static struct condition match(int64_t n)
{
	struct condition c = { .kind = CONDITION_MATCH_INT_VALUE, .integer = n };

	ck_assert_int_eq(path_parse(STR("n"), &c.key, NULL), ERR_NONE);
	return c;
}

struct counting {
	struct bed *bed;
	const atomic_bool *cancel;
	uint64_t count;
	enum err err;
};

static void *count_sevens(void *arg)
{
	struct counting *c = arg;
	struct condition seven = match(7);
	struct filter f = { .must = { &seven, 1 } };
	struct deadline d = { .cancel = c->cancel };

	c->err = shard_count(c->bed->shard, &f, &d, &c->count);
	return NULL;
}

START_TEST(reader_between_commit_and_publish_waits)
{
	struct bed b;
	pthread_t thread;
	atomic_bool cancel = true;
	struct counting cancelled = { .bed = &b, .cancel = &cancel }, waiting = { .bed = &b };

	bed_init(&b);
	struct store_txn *t = begin(&b);

	store(&b, t, 1, 7, true);
	commit(&b, t);
	shard_publish(b.shard);
	t = begin(&b);
	store(&b, t, 1, 8, true);
	store(&b, t, 2, 7, true);
	store(&b, t, 3, 7, true);
	/* Before the commit readers see what was before. */
	pthread_create(&thread, NULL, count_sevens, &waiting);
	pthread_join(thread, NULL);
	ck_assert(!waiting.err && waiting.count == 1);
	commit(&b, t);
	/* After it they wait: one that is called off says so, the writer itself is told. */
	pthread_create(&thread, NULL, count_sevens, &cancelled);
	pthread_join(thread, NULL);
	ck_assert_int_eq(cancelled.err, ERR_CANCELLED);
	count_sevens(&waiting);
	ck_assert_int_eq(waiting.err, ERR_UNAVAILABLE);
	pthread_create(&thread, NULL, count_sevens, &waiting);
	shard_publish(b.shard);
	pthread_join(thread, NULL);
	ck_assert(!waiting.err && waiting.count == 2);
	bed_release(&b);
}
END_TEST

START_TEST(index_that_is_being_filled_changes_no_answer)
{
	struct bed b;
	struct field_index_config config = { .key = STR("n"), .schema = FIELD_INTEGER };
	struct counting c = { .bed = &b };
	int64_t model[1000];
	bool visible[1000];
	bool more = true;
	uint32_t steps = 0;
	uint64_t seed = 1;

	bed_init(&b);
	for (uint32_t round = 0; more || round < 2; round++) {
		struct store_txn *t = begin(&b);
		uint64_t expected = 0;

		for (uint32_t i = 0; i < 1000; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			if (round && seed >> 60)
				continue;
			model[i] = (int64_t)(seed >> 40) % 3 + 6;
			visible[i] = (seed >> 50) % 4 != 0;
			store(&b, t, i, model[i], visible[i]);
		}
		commit(&b, t);
		shard_publish(b.shard);
		for (uint32_t i = 0; i < 1000; i++)
			expected += visible[i] && model[i] == 7;
		if (round == 0)
			ck_assert_int_eq(shard_field_put(b.shard, &config, NULL), ERR_NONE);
		count_sevens(&c);
		ck_assert_int_eq(c.err, ERR_NONE);
		ck_assert_uint_eq(c.count, expected);
		ck_assert_int_eq(shard_fields_fill(b.shard, 150, &more), ERR_NONE);
		steps += more;
		count_sevens(&c);
		ck_assert_uint_eq(c.count, expected);
	}
	ck_assert_uint_eq(steps, 6);
	ck_assert(b.shard->fields[0].complete);
	ck_assert_uint_eq(shard_field_points(b.shard, STR("n")), shard_points(b.shard));
	ck_assert_uint_eq(shard_field_points(b.shard, STR("m")), 0);
	shard_field_drop(b.shard, STR("n"));
	ck_assert_uint_eq(b.shard->field_count, 0);
	bed_release(&b);
}
END_TEST

START_TEST(rows_are_deleted_within_the_budget)
{
	struct bed b;
	uint32_t budget = 60;
	bool more = false;

	bed_init(&b);
	struct store_txn *t = begin(&b);

	for (uint32_t i = 0; i < 100; i++)
		store(&b, t, i, 1, true);
	commit(&b, t);
	shard_publish(b.shard);
	t = begin(&b);
	ck_assert_int_eq(shard_purge(b.store, t, 4, &budget, &more), ERR_NONE); /* another's */
	ck_assert(!more && budget == 60);
	ck_assert_int_eq(shard_purge(b.store, t, 5, &budget, &more), ERR_NONE);
	ck_assert(more && budget == 0);
	budget = 60;
	more = false;
	ck_assert_int_eq(shard_purge(b.store, t, 5, &budget, &more), ERR_NONE);
	ck_assert(!more && budget == 19); /* 100 rows and the generation */
	b.store->ops->abort(t);
	bed_release(&b);
}
END_TEST

START_TEST(threshold_in_kilobytes_is_a_number_of_vectors)
{
	static const struct {
		uint64_t kb;
		uint32_t dim, m, given, expected;
		bool sparse;
	} cases[] = {
		{ 10000, 768, 16, 0, 3333, false },
		{ 10000, 8, 16, 0, 320000, false },
		{ 1, 768, 16, 0, 1000, false },
		{ 0, 768, 16, 0, DENSE_NEVER, false },
		{ 10000, 768, 0, 0, DENSE_NEVER, false },
		{ 10000, 768, 16, 50, 50, false },
		{ 0, 768, 16, 50, DENSE_NEVER, false },
		{ 10000, 0, 16, 50, DENSE_NEVER, true },
		{ UINT64_MAX, 1, 16, 0, DENSE_NEVER - 1, false },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct collection_config config = { .indexing_threshold_kb = cases[i].kb };
		struct vector_config v = { .dim = cases[i].dim,
					   .hnsw.m = cases[i].m,
					   .sparse = cases[i].sparse };

		ck_assert_uint_eq(shard_tail_max(&config, &v, cases[i].given), cases[i].expected);
	}
}
END_TEST

START_TEST(keys_sort_by_shard_then_row)
{
	static const uint8_t expected[] = { 1, 2, 3, 4, 0xff, 0, 0xab, 7 };
	uint8_t key[SHARD_KEY_BYTES];

	shard_key(0x01020304, 0xff00ab07, key);
	ck_assert_int_eq(memcmp(key, expected, sizeof(key)), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shard");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, reader_between_commit_and_publish_waits);
	tcase_add_test(t, index_that_is_being_filled_changes_no_answer);
	tcase_add_test(t, rows_are_deleted_within_the_budget);
	tcase_add_test(t, threshold_in_kilobytes_is_a_number_of_vectors);
	tcase_add_test(t, keys_sort_by_shard_then_row);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
