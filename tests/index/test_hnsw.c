/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graph: levels, its invariants after a build, walks, and what a check must refuse.
 */
#include "index/hnsw.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/index/random.h"

#define DIM 24
#define M 6
#define EF_CONSTRUCT 40
#define COUNT 1500 /* some batches, the last one partly filled */

struct net {
	struct segment_source source;
	struct codes codes;
	struct hnsw graph;
	struct hnsw_scratches *scratches;
	float *vectors;
	uint32_t *slots;
	uint32_t upper_rows;
};

static const float *vector_at(const struct segment_source *s, uint32_t slot)
{
	return (const float *)s->ctx + (size_t)slot * s->dim;
}

static void set_levels(struct net *n)
{
	n->graph.upper_at = calloc((size_t)n->graph.count + 1, sizeof(uint32_t));
	ck_assert_ptr_nonnull(n->graph.upper_at);
	for (uint32_t i = 0; i < n->graph.count; i++) {
		n->graph.upper_at[i] = n->upper_rows;
		n->upper_rows += hnsw_level_for(i, n->graph.m);
	}
	n->graph.upper_at[n->graph.count] = n->upper_rows;
}

static uint32_t *empty_rows(size_t nodes)
{
	uint32_t *rows = aligned_alloc(CODE_ALIGN, nodes * sizeof(*rows) + CODE_ALIGN);
	ck_assert_ptr_nonnull(rows);
	memset(rows, 0xff, nodes * sizeof(*rows));
	return rows;
}

/* Vectors all zero, to be filled before net_build(). */
static void net_new(struct net *n, uint32_t dim, uint32_t count)
{
	*n = (struct net){
		.vectors = calloc((size_t)count * dim + 1, sizeof(float)),
		.slots = calloc((size_t)count + 1, sizeof(uint32_t)),
		.graph = { .count = count, .m = M, .entry = HNSW_NONE },
	};
	ck_assert(n->vectors && n->slots);
	for (uint32_t i = 0; i < count; i++)
		n->slots[i] = i;
	n->source = (struct segment_source){
		.vector = vector_at,
		.dim = dim,
		.distance = DISTANCE_EUCLID,
		.ctx = n->vectors,
	};
	set_levels(n);
	n->graph.links = empty_rows((size_t)count * hnsw_base_width(M));
	n->graph.upper = empty_rows((size_t)n->upper_rows * hnsw_upper_width(M));
	uint32_t stride = code_stride(dim);
	n->codes = (struct codes){
		.kind = code_kind_for(dim),
		.distance = DISTANCE_EUCLID,
		.dim = dim,
		.count = count,
		.stride = stride,
		.offset = calloc(dim, sizeof(float)),
		.bias = calloc((size_t)count + 1, sizeof(float)),
		.post = calloc((size_t)count + 1, sizeof(float)),
		.weight = calloc(dim, sizeof(float)),
		.rows = aligned_alloc(CODE_ALIGN, (size_t)count * stride + CODE_ALIGN),
		.slots = n->slots,
		.source = &n->source,
		.kernels = code_kernels_of(kernel_set_best()),
	};
	memset(n->codes.rows, 0, (size_t)count * stride + CODE_ALIGN);
	n->scratches = hnsw_scratches_new(count, stride);
	ck_assert_ptr_nonnull(n->scratches);
}

static enum err net_try_build(struct net *n, const struct hnsw_build_options *o)
{
	ck_assert_int_eq(codes_train(&n->codes), ERR_NONE);
	for (uint32_t i = 0; i < n->codes.count; i++)
		codes_encode(&n->codes, i);
	return hnsw_build(&n->graph, &n->codes, o);
}

static void net_build(struct net *n, struct pool *pool)
{
	ck_assert_int_eq(
		net_try_build(n, &(struct hnsw_build_options){ .ef_construct = EF_CONSTRUCT,
							       .pool = pool }),
		ERR_NONE);
}

static void net_free(struct net *n)
{
	hnsw_scratches_free(n->scratches);
	free(n->vectors);
	free(n->slots);
	free(n->graph.links);
	free(n->graph.upper);
	free(n->graph.upper_at);
	free(n->codes.offset);
	free(n->codes.bias);
	free(n->codes.post);
	free(n->codes.weight);
	free(n->codes.rows);
}

static uint32_t row_length(const uint32_t *row, uint32_t width)
{
	uint32_t length = 0;
	while (length < width && row[length] != HNSW_NONE)
		length++;
	return length;
}

static void check_row(const struct net *n, uint32_t node, uint32_t level)
{
	uint32_t width = level == 0 ? hnsw_base_width(M) : hnsw_upper_width(M);
	const uint32_t *row = hnsw_row(&n->graph, node, level);
	uint32_t length = row_length(row, width);
	ck_assert_uint_le(length, level == 0 ? 2 * M : M);
	for (uint32_t i = 0; i < width; i++) {
		ck_assert_msg(i < length || row[i] == HNSW_NONE,
			      "node %u has a link behind the last", node);
		ck_assert_msg(row[i] != node, "node %u leads to itself", node);
		for (uint32_t j = 0; j < i && i < length; j++)
			ck_assert_msg(row[i] != row[j], "node %u leads to %u twice", node, row[i]);
	}
}

/* How many nodes the base layer leads to from the entry. */
static uint32_t count_reachable(const struct net *n)
{
	uint32_t count = n->graph.count, reached = 0, *order = calloc(count, sizeof(*order));
	bool *seen = calloc(count, sizeof(*seen));
	ck_assert(order && seen);
	order[reached++] = n->graph.entry;
	seen[n->graph.entry] = true;
	for (uint32_t i = 0; i < reached; i++) {
		const uint32_t *row = hnsw_row(&n->graph, order[i], 0);
		for (uint32_t j = 0; j < row_length(row, hnsw_base_width(M)); j++) {
			if (!seen[row[j]])
				order[reached++] = row[j];
			seen[row[j]] = true;
		}
	}
	free(order);
	free(seen);
	return reached;
}

static void check_built(const struct net *n)
{
	ck_assert(hnsw_check(&n->graph, n->upper_rows));
	for (uint32_t node = 0; node < n->graph.count; node++) {
		for (uint32_t level = 0; level <= hnsw_level(&n->graph, node); level++)
			check_row(n, node, level);
		ck_assert_uint_le(hnsw_level(&n->graph, node), n->graph.top);
	}
	ck_assert_uint_eq(count_reachable(n), n->graph.count);
}

/*
 * Refused
 */

START_TEST(check_refuses_what_would_lead_astray)
{
	struct net n;
	net_new(&n, DIM, 300);
	random_clusters(1, DISTANCE_EUCLID, DIM, 300, 5, n.vectors);
	net_build(&n, NULL);
	uint32_t high = n.graph.entry, low = 0;
	while (hnsw_level(&n.graph, low) > 0)
		low++;
	ck_assert_uint_gt(n.graph.top, 0);
	const struct {
		const char *name;
		uint32_t *at;
		uint32_t value;
	} cases[] = {
		{ "entry beyond the end", &n.graph.entry, 300 },
		{ "no entry", &n.graph.entry, HNSW_NONE },
		{ "entry on a lower level", &n.graph.entry, low },
		{ "top above the entry's level", &n.graph.top, n.graph.top + 1 },
		{ "top below the entry's level", &n.graph.top, n.graph.top - 1 },
		{ "link beyond the end", &hnsw_row(&n.graph, 5, 0)[0], 300 },
		{ "link far beyond the end", &hnsw_row(&n.graph, 299, 0)[3], HNSW_NONE - 1 },
		{ "link behind the last of a row", &hnsw_row(&n.graph, 299, 0)[2 * M], 300 },
		{ "upper link beyond the end", &hnsw_row(&n.graph, high, 1)[0], 300 },
		{ "upper link to a node without that level", &hnsw_row(&n.graph, high, 1)[0], low },
		{ "first row not 0", &n.graph.upper_at[0], 1 },
		{ "rows that go back", &n.graph.upper_at[150], n.upper_rows + 7 },
		{ "too many levels", &n.graph.upper_at[1], HNSW_LEVELS_MAX + 1 },
		{ "more rows than there are", &n.graph.upper_at[300], n.upper_rows + 1 },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		uint32_t before = *cases[i].at;
		ck_assert_msg(hnsw_check(&n.graph, n.upper_rows), "before %s", cases[i].name);
		*cases[i].at = cases[i].value;
		ck_assert_msg(!hnsw_check(&n.graph, n.upper_rows), "%s", cases[i].name);
		*cases[i].at = before;
	}
	ck_assert(!hnsw_check(&n.graph, n.upper_rows + 1));
	net_free(&n);
}
END_TEST

START_TEST(cancelled_build_ends_with_an_error)
{
	struct net n;
	atomic_bool cancel = true;
	net_new(&n, DIM, 100);
	ck_assert_int_eq(net_try_build(&n, &(struct hnsw_build_options){ .ef_construct = 10,
									 .cancel = &cancel }),
			 ERR_CANCELLED);
	net_free(&n);
}
END_TEST

static enum err search_some(struct net *n, const struct hnsw_walk *w, struct hnsw_scratch *s)
{
	struct code_query q = code_query_of_vector(&n->codes, n->vectors, s->code);
	return hnsw_search(&n->graph, &q, w, s);
}

START_TEST(late_and_cancelled_searches_end)
{
	struct net n;
	atomic_bool cancel = true;
	net_new(&n, DIM, 300);
	random_clusters(2, DISTANCE_EUCLID, DIM, 300, 5, n.vectors);
	net_build(&n, NULL);
	struct hnsw_scratch *s = hnsw_scratch_take(n.scratches);
	ck_assert_ptr_nonnull(s);
	for (uint32_t ef = 10; ef <= 2000; ef += 1990) {
		ck_assert_int_eq(
			search_some(&n, &(struct hnsw_walk){ .ef = ef, .deadline_ns = 1 }, s),
			ERR_TIMEOUT);
		ck_assert_int_eq(
			search_some(&n, &(struct hnsw_walk){ .ef = ef, .cancel = &cancel }, s),
			ERR_CANCELLED);
		ck_assert_int_eq(
			search_some(&n, &(struct hnsw_walk){ .ef = ef, .deadline_ns = UINT64_MAX },
				    s),
			ERR_NONE);
	}
	hnsw_scratch_give(n.scratches, s);
	net_free(&n);
}
END_TEST

/*
 * Levels
 */

START_TEST(levels_are_these_for_ever)
{
	static const struct {
		uint64_t id_hash;
		uint32_t m, level;
	} cases[] = {
		{ 0U, 2, 0 },
		{ 3U, 2, 3 },
		{ 4U, 2, 1 },
		{ 20U, 2, 2 },
		{ 1048U, 2, 9 },
		{ 40106U, 2, 16 },
		{ 0U, 16, 0 },
		{ 10U, 16, 1 },
		{ 558U, 16, 2 },
		{ 7326U, 16, 3 },
		{ 0xffffffffffffffffU, 2, 0 },
	};
	for (size_t i = 0; i < LEN(cases); i++)
		ck_assert_msg(hnsw_level_for(cases[i].id_hash, cases[i].m) == cases[i].level,
			      "case %zu: %u", i, hnsw_level_for(cases[i].id_hash, cases[i].m));
}
END_TEST

START_TEST(each_level_has_one_mth_of_the_one_below)
{
	static const uint32_t ms[] = { 2, 4, 16, HNSW_M_MAX };
	for (size_t i = 0; i < LEN(ms); i++) {
		uint32_t at_least[HNSW_LEVELS_MAX + 2] = { 0 };
		for (uint32_t id = 0; id < 100000; id++)
			for (uint32_t l = 0; l <= hnsw_level_for(id, ms[i]); l++)
				at_least[l]++;
		ck_assert_uint_eq(at_least[HNSW_LEVELS_MAX + 1], 0);
		for (uint32_t l = 1; at_least[l - 1] / ms[i] > 500; l++) {
			double expected = (double)at_least[l - 1] / ms[i];
			ck_assert_msg(fabs(at_least[l] - expected) < 5.0 * sqrt(expected),
				      "m %u, level %u: %u", ms[i], l, at_least[l]);
		}
	}
}
END_TEST

/*
 * Builds
 */

START_TEST(graphs_of_few_nodes_are_sound)
{
	for (uint32_t count = 1; count <= 20; count++) {
		struct net n;
		net_new(&n, DIM, count);
		random_clusters(count, DISTANCE_EUCLID, DIM, count, 3, n.vectors);
		net_build(&n, NULL);
		check_built(&n);
		net_free(&n);
	}
}
END_TEST

static void fill_random(struct net *n)
{
	random_clusters(3, DISTANCE_EUCLID, n->codes.dim, n->graph.count, 20, n->vectors);
}

/* One cluster after the other, each smaller than a batch and far from the others. */
static void fill_in_order(struct net *n)
{
	struct random r = { 4 };
	for (uint32_t i = 0; i < n->graph.count * n->codes.dim; i++)
		n->vectors[i] = (float)(i / n->codes.dim / 100) * 50.0F + random_normal(&r);
}

static void fill_few_values(struct net *n)
{
	for (uint32_t i = 0; i < n->graph.count * n->codes.dim; i++)
		n->vectors[i] = (float)(i / n->codes.dim % 3);
}

static void fill_nothing(struct net *n)
{
	(void)n;
}

static const struct {
	const char *name;
	uint32_t dim;
	void (*fill)(struct net *n);
} shapes[] = {
	{ "clusters", DIM, fill_random },
	{ "clusters in order", DIM, fill_in_order },
	{ "three values", DIM, fill_few_values },
	{ "all equal", DIM, fill_nothing },
	{ "dim 1", 1, fill_random },
	{ "dim 1, all equal", 1, fill_nothing },
};

START_TEST(every_node_can_be_reached)
{
	struct net n;
	net_new(&n, shapes[_i].dim, COUNT);
	shapes[_i].fill(&n);
	net_build(&n, NULL);
	check_built(&n);
	net_free(&n);
}
END_TEST

START_TEST(crowds_of_equal_points_lead_outwards)
{
	enum { CROWD = 20 };
	struct net n;
	net_new(&n, DIM, COUNT);
	for (uint32_t i = 0; i < COUNT * DIM; i++) {
		struct random centre = { i / DIM / CROWD * DIM + i % DIM };
		n.vectors[i] = random_normal(&centre);
	}
	net_build(&n, NULL);
	for (uint32_t node = CROWD; node < COUNT; node++) {
		const uint32_t *row = hnsw_row(&n.graph, node, 0);
		uint32_t outwards = 0;
		for (uint32_t i = 0; i < row_length(row, 2 * M); i++)
			outwards += row[i] / CROWD != node / CROWD;
		ck_assert_msg(outwards > 0, "node %u leads to its equals only", node);
	}
	net_free(&n);
}
END_TEST

START_TEST(build_does_not_depend_on_threads)
{
	struct net alone, helped;
	struct pool *pool = NULL;
	ck_assert_int_eq(pool_new("builder", 3, 1, &pool), ERR_NONE);
	net_new(&alone, shapes[_i].dim, COUNT);
	net_new(&helped, shapes[_i].dim, COUNT);
	shapes[_i].fill(&alone);
	shapes[_i].fill(&helped);
	net_build(&alone, NULL);
	net_build(&helped, pool);
	ck_assert_uint_eq(alone.graph.entry, helped.graph.entry);
	ck_assert_mem_eq(alone.graph.links, helped.graph.links,
			 (size_t)COUNT * hnsw_base_width(M) * sizeof(uint32_t));
	ck_assert_mem_eq(alone.graph.upper, helped.graph.upper,
			 (size_t)alone.upper_rows * hnsw_upper_width(M) * sizeof(uint32_t));
	net_free(&alone);
	net_free(&helped);
	pool_free(pool);
}
END_TEST

START_TEST(progress_reaches_the_count)
{
	struct net n;
	atomic_uint progress = 0;
	net_new(&n, DIM, COUNT);
	fill_random(&n);
	ck_assert_int_eq(net_try_build(&n, &(struct hnsw_build_options){ .ef_construct = 10,
									 .progress = &progress }),
			 ERR_NONE);
	ck_assert_uint_eq(progress, COUNT);
	net_free(&n);
}
END_TEST

/*
 * Walks
 */

static bool is_multiple(void *ctx, uint32_t slot)
{
	return slot % *(const uint32_t *)ctx == 0;
}

/* By codes, so that only the walk can miss. */
static uint32_t count_true(const struct net *n, const struct code_query *q,
			   const struct hnsw_scratch *s, uint32_t k, uint32_t divisor)
{
	uint32_t hits = 0;
	for (uint32_t i = 0; i < MIN(k, s->found_count); i++) {
		uint32_t better = 0;
		for (uint32_t node = 0; node < n->graph.count; node += divisor) {
			float score;
			codes_score(q, &node, 1, &score);
			better += score > s->found[i].score;
		}
		hits += better < k;
	}
	return hits;
}

static void check_walk(struct net *n, uint32_t ef, uint32_t divisor)
{
	uint32_t hits = 0;
	for (uint32_t i = 0; i < 30; i++) {
		float query[DIM];
		random_clusters(50 + i, DISTANCE_EUCLID, DIM, 1, 20, query);
		struct hnsw_scratch *s = hnsw_scratch_take(n->scratches);
		ck_assert_ptr_nonnull(s);
		struct code_query q = code_query_of_vector(&n->codes, query, s->code);
		struct hnsw_walk w = { .ef = ef,
				       .accept = divisor > 1 ? is_multiple : NULL,
				       .ctx = &divisor };
		ck_assert_int_eq(hnsw_search(&n->graph, &q, &w, s), ERR_NONE);
		ck_assert_uint_eq(s->found_count, MIN(ef, (COUNT + divisor - 1) / divisor));
		for (uint32_t j = 0; j < s->found_count; j++) {
			ck_assert_uint_eq(s->found[j].node % divisor, 0);
			ck_assert(j == 0 || s->found[j].score <= s->found[j - 1].score);
		}
		hits += count_true(n, &q, s, 10, divisor);
		hnsw_scratch_give(n->scratches, s);
	}
	ck_assert_msg(hits >= 285, "ef %u, one in %u: %u of 300", ef, divisor, hits);
}

START_TEST(walks_find_the_nearest_accepted)
{
	struct net n;
	net_new(&n, DIM, COUNT);
	fill_random(&n);
	net_build(&n, NULL);
	check_walk(&n, 60, 1);
	check_walk(&n, 60, 2);
	check_walk(&n, 60, 10);
	check_walk(&n, 10, 100);
	check_walk(&n, 1200, 1);
	net_free(&n);
}
END_TEST

START_TEST(walk_that_nothing_satisfies_ends_empty)
{
	struct net n;
	uint32_t divisor = UINT32_MAX;
	net_new(&n, DIM, COUNT);
	fill_random(&n);
	n.slots[0] = 1; /* 0 is a multiple of everything */
	net_build(&n, NULL);
	struct hnsw_scratch *s = hnsw_scratch_take(n.scratches);
	ck_assert_ptr_nonnull(s);
	ck_assert_int_eq(
		search_some(&n,
			    &(struct hnsw_walk){ .ef = 10, .accept = is_multiple, .ctx = &divisor },
			    s),
		ERR_NONE);
	ck_assert_uint_eq(s->found_count, 0);
	hnsw_scratch_give(n.scratches, s);
	net_free(&n);
}
END_TEST

/* Marks of the first walk are still there when its epoch comes again, after 254 walks elsewhere. */
START_TEST(scratch_gives_the_same_answer_for_ever)
{
	struct net n;
	net_new(&n, DIM, 600);
	fill_random(&n);
	net_build(&n, NULL);
	struct hnsw_found first[20];
	for (uint32_t i = 0; i < 600; i++) {
		struct hnsw_scratch *s = hnsw_scratch_take(n.scratches);
		ck_assert_ptr_nonnull(s);
		const float *vector = n.vectors + (i % 255 == 0 ? 0 : (size_t)DIM * 17);
		struct code_query q = code_query_of_vector(&n.codes, vector, s->code);
		ck_assert_int_eq(
			hnsw_search(&n.graph, &q, &(struct hnsw_walk){ .ef = LEN(first) }, s),
			ERR_NONE);
		if (i == 0)
			memcpy(first, s->found, sizeof(first));
		ck_assert_uint_eq(s->found_count, LEN(first));
		ck_assert_msg(i % 255 != 0 || memcmp(s->found, first, sizeof(first)) == 0,
			      "walk %u", i);
		hnsw_scratch_give(n.scratches, s);
	}
	ck_assert_uint_gt(hnsw_scratches_bytes(n.scratches), 600);
	net_free(&n);
}
END_TEST

START_TEST(kept_scratches_are_bounded)
{
	struct hnsw_scratches *set = hnsw_scratches_new(10, 64);
	struct hnsw_scratch *taken[200];
	ck_assert_ptr_nonnull(set);
	for (size_t i = 0; i < LEN(taken); i++) {
		taken[i] = hnsw_scratch_take(set);
		ck_assert_ptr_nonnull(taken[i]);
		ck_assert_int_eq(hnsw_walk_begin(taken[i], 100000), ERR_NONE);
	}
	for (size_t i = 0; i < LEN(taken); i++)
		hnsw_scratch_give(set, taken[i]);
	ck_assert_uint_lt(hnsw_scratches_bytes(set), 64 * 1024);
	hnsw_scratches_free(set);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hnsw");
	TCase *t = tcase_create("hnsw");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, check_refuses_what_would_lead_astray);
	tcase_add_test(t, cancelled_build_ends_with_an_error);
	tcase_add_test(t, late_and_cancelled_searches_end);
	tcase_add_test(t, levels_are_these_for_ever);
	tcase_add_test(t, each_level_has_one_mth_of_the_one_below);
	tcase_add_test(t, graphs_of_few_nodes_are_sound);
	tcase_add_loop_test(t, every_node_can_be_reached, 0, LEN(shapes));
	tcase_add_test(t, crowds_of_equal_points_lead_outwards);
	tcase_add_loop_test(t, build_does_not_depend_on_threads, 0, LEN(shapes));
	tcase_add_test(t, progress_reaches_the_count);
	tcase_add_test(t, walks_find_the_nearest_accepted);
	tcase_add_test(t, walk_that_nothing_satisfies_ends_empty);
	tcase_add_test(t, scratch_gives_the_same_answer_for_ever);
	tcase_add_test(t, kept_scratches_are_bounded);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
