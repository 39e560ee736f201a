/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries weighed by inverse document frequencies, against numbers that were worked out by hand.
 */
#include "index/catalog.h"
#include "index/scoring.h"

#include "tests/index/collection_bed.h"

static void store(struct bed *b, uint32_t i, uint64_t version, const uint32_t *words, uint32_t count)
{
	static const float ones[] = { 1, 1, 1, 1 };
	struct row_vector v = { .name = STR("words"),
				.present = count > 0,
				.slot = SLOT_NONE,
				.stamp = { 1, version, 1 },
				.vector = { .kind = VECTOR_SPARSE, .count = count, .values = ones, .indices = words } };
	struct row row = { .id = bed_id(i), .created = { 1, version, 1 }, .vectors = &v, .vector_count = 1, .visible = true };
	struct store_txn *t = bed_begin(b);

	ck_assert_int_eq(collection_row_store(b->collection, t, &row, NULL), ERR_NONE);
	bed_commit(b, t);
}

static float best(struct bed *b, const uint32_t *words, uint32_t count)
{
	static const float twos[] = { 2, 2, 2, 2 };
	struct search_query q = { .vector_name = STR("words"), .limit = 1,
				  .vector = { .kind = VECTOR_SPARSE, .count = count, .values = twos, .indices = words } };
	struct scored found[1];
	uint32_t n;

	ck_assert_int_eq(collection_search(b->collection, NULL, &q, found, &n, NULL), ERR_NONE);
	ck_assert_uint_eq(n, 1);
	return found[0].score;
}

/* By the sum of the similarities to two examples, of one word each. */
static float best_of_two(struct bed *b, const uint32_t *word, const uint32_t *other)
{
	static const float twos[] = { 2 }, weights[] = { 1, 1 };
	const struct vector examples[] = { { .kind = VECTOR_SPARSE, .count = 1, .values = twos, .indices = word },
					   { .kind = VECTOR_SPARSE, .count = 1, .values = twos, .indices = other } };
	const struct scoring s = { .kind = SCORING_WEIGHTED, .examples = examples, .count = 2, .weights = weights };
	struct search_query q = { .vector_name = STR("words"), .limit = 1, .scoring = &s };
	struct scored found[1];
	uint32_t n;

	ck_assert_int_eq(collection_search(b->collection, NULL, &q, found, &n, NULL), ERR_NONE);
	ck_assert_uint_eq(n, 1);
	return found[0].score;
}

static void set_idf(struct bed *b, bool on)
{
	struct collection_config config = bed_config(3);
	struct vector_config v[3];
	struct store_txn *t = bed_begin(b);

	memcpy(v, config.vectors, sizeof(v));
	v[2].idf = on;
	config.vectors = v;
	ck_assert_int_eq(catalog_update(b->catalog, t, b->incarnation, &config, NULL), ERR_NONE);
	bed_commit(b, t);
}

static bool near(float a, double b)
{
	return fabs((double)a - b) < 1e-6;
}

START_TEST(what_is_rare_in_all_shards_together_weighs_more)
{
	static const uint32_t both[] = { 1, 2 }, common[] = { 1 }, rare[] = { 2 }, strange[] = { 1, 9 };
	struct bed b;

	bed_init(&b, true, true, 3, 0);
	store(&b, 0, 1, both, 2);
	for (uint32_t i = 1; i < 10; i++)
		store(&b, i, i + 1, common, 1);
	ck_assert(near(best(&b, rare, 1), 2));
	set_idf(&b, true);
	/* ln((10 - 1 + 0.5) / 1.5 + 1), ln(0.5 / 10.5 + 1) */
	ck_assert(near(best(&b, rare, 1), 2 * 1.9924301646902063));
	ck_assert(near(best(&b, common, 1), 2 * 0.046520015634892817));
	ck_assert(near(best(&b, both, 2), 2 * (1.9924301646902063 + 0.046520015634892817)));
	ck_assert(near(best(&b, strange, 2), 2 * 0.046520015634892817));
	ck_assert(near(best_of_two(&b, rare, common), 2 * (1.9924301646902063 + 0.046520015634892817)));
	bed_reopen(&b);
	ck_assert(near(best(&b, rare, 1), 2 * 1.9924301646902063));
	/* One more has it, one has none any more: ln((9 - 2 + 0.5) / 2.5 + 1) */
	store(&b, 1, 20, both, 2);
	store(&b, 2, 21, NULL, 0);
	ck_assert(near(best(&b, rare, 1), 2 * 1.3862943611198906));
	set_idf(&b, false);
	ck_assert(near(best(&b, rare, 1), 2));
	bed_release(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("collection_idf");
	TCase *t = tcase_create("all");

	tcase_add_test(t, what_is_rare_in_all_shards_together_weighs_more);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
