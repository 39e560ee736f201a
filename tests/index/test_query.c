/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries of several steps against a model: what each step gives is worked out from the points, one by one.
 */
#include "index/query.h"

#include <math.h>

#include "tests/index/collection_bed.h"

static const struct deadline never;
static struct bed bed;
static struct arena arena;

/* One shard, and three; some from segments. */
static const struct place {
	uint32_t shards, tail_max;
	bool files;
} places[] = { { 1, 0, false }, { 3, 0, false }, { 2, 120, true } };

static void open_place(int i)
{
	bed_init(&bed, false, places[i].files, places[i].shards, places[i].tail_max);
	bed_fill(&bed, 0, 600);
	bed_churn(&bed, 400);
	arena_init(&arena, (size_t)256 << 20);
}

static void close_place(void)
{
	arena_release(&arena);
	bed_release(&bed);
}

static struct ranking run(const struct query *q)
{
	struct ranking found = { 0 };
	struct fault fault = { 0 };

	ck_assert_msg(query_run(bed.collection, NULL, q, &never, &arena, &found, &fault) ==
			      ERR_NONE,
		      "%s", fault.text);
	return found;
}

static void refuse(const struct query *q, enum err err)
{
	struct ranking found = { 0 };
	struct fault fault = { 0 };

	ck_assert_int_eq(query_run(bed.collection, NULL, q, &never, &arena, &found, &fault), err);
	ck_assert(fault.text[0]);
}

static const float *random_values(uint32_t dim)
{
	float *v = arena_array(&arena, dim, sizeof(*v));

	for (uint32_t i = 0; i < dim; i++)
		v[i] = random_normal(&bed.random);
	return v;
}

static struct vector random_dense(void)
{
	return (struct vector){ .kind = VECTOR_DENSE,
				.count = BED_DIM,
				.values = random_values(BED_DIM) };
}

static struct vector random_sparse(void)
{
	static const uint32_t indices[] = { 0, 3000, 5000, 11000, 99999 };

	return (struct vector){ .kind = VECTOR_SPARSE,
				.count = LEN(indices),
				.indices = indices,
				.values = random_values(LEN(indices)) };
}

static struct query nearest(uint32_t limit)
{
	return (struct query){
		.kind = QUERY_SEARCH, .vector = random_dense(), .limit = limit, .exact = true
	};
}

/* --- what the model says --- */

static struct vector vector_of(uint32_t i, struct str name)
{
	const struct bed_point *p = &bed.points[i];

	if (name.len == 0)
		return (struct vector){ .kind = VECTOR_DENSE, .count = BED_DIM, .values = p->v };
	if (name.data[0] == 'i')
		return (struct vector){ .kind = VECTOR_DENSE,
					.count = BED_IMG_DIM,
					.values = p->img };
	return (struct vector){ .kind = VECTOR_SPARSE,
				.count = p->word_count,
				.indices = p->words,
				.values = p->weights };
}

static bool has_vector(uint32_t i, struct str name)
{
	const struct bed_point *p = &bed.points[i];

	return name.len == 0 || (name.data[0] == 'i' ? p->has_img : p->has_words);
}

static int best_first(const void *a, const void *b)
{
	const struct scored *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return point_id_compare(x->id, y->id);
}

static void expect(struct ranking got, const struct scored *want, uint32_t count)
{
	ck_assert_uint_eq(got.count, count);
	for (uint32_t i = 0; i < count; i++) {
		ck_assert_msg(point_id_equal(got.items[i].id, want[i].id), "%u: %llu, not %llu", i,
			      (unsigned long long)got.items[i].id.lo,
			      (unsigned long long)want[i].id.lo);
		ck_assert_msg(fabsf(got.items[i].score - want[i].score) <=
				      1e-5F * fmaxf(1, fabsf(want[i].score)),
			      "%u: %g, not %g", i, (double)got.items[i].score,
			      (double)want[i].score);
	}
}

static uint32_t index_of(struct point_id id)
{
	for (uint32_t i = 0; i < BED_IDS; i++)
		if (point_id_equal(bed_id(i), id))
			return i;
	ck_abort_msg("no such point");
	return 0;
}

/* --- scorings --- */

static struct scoring random_scoring(enum scoring_kind kind, struct str name, uint32_t count)
{
	struct vector *examples = arena_array(&arena, count, sizeof(*examples));
	float *weights = arena_array(&arena, count, sizeof(*weights));

	for (uint32_t i = 0; i < count; i++) {
		examples[i] = name.len == 5 ? random_sparse() : random_dense();
		if (name.len == 3)
			examples[i] = (struct vector){ .kind = VECTOR_DENSE,
						       .count = BED_IMG_DIM,
						       .values = random_values(BED_IMG_DIM) };
		weights[i] = random_normal(&bed.random);
	}
	return (struct scoring){ .kind = kind,
				 .examples = examples,
				 .count = count,
				 .positives = count / 2,
				 .weights = weights };
}

/* As the collection compares it: the images by cosine. */
static float similarity(struct str name, const struct vector *example, uint32_t i)
{
	struct vector own = vector_of(i, name), e = *example;
	float unit[BED_IMG_DIM];

	if (name.len == 3) {
		memcpy(unit, e.values, sizeof(unit));
		distance_normalize(unit, BED_IMG_DIM);
		e.values = unit;
	}
	return scoring_similarity(name.len ? DISTANCE_DOT : DISTANCE_EUCLID, &e, &own);
}

static uint32_t model_scores(const struct scoring *s, struct str name, const struct filter *f,
			     struct scored *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < BED_IDS; i++) {
		float similarities[16];

		if (!bed_matches(&bed, i, f) || !has_vector(i, name))
			continue;
		for (uint32_t k = 0; k < s->count; k++)
			similarities[k] = similarity(name, &s->examples[k], i);
		out[n++] =
			(struct scored){ .id = bed_id(i), .score = scoring_score(s, similarities) };
	}
	qsort(out, n, sizeof(*out), best_first);
	return n;
}

START_TEST(the_best_by_every_score_are_found)
{
	static const enum scoring_kind kinds[] = { SCORING_BEST, SCORING_WEIGHTED, SCORING_DISCOVER,
						   SCORING_CONTEXT };
	const struct str names[] = { STR(""), STR("img"), STR("words") };
	static struct scored want[BED_IDS];

	open_place(_i);
	for (uint32_t n = 0; n < 60; n++) {
		struct str name = names[n % LEN(names)];
		struct scoring s = random_scoring(kinds[n / 3 % LEN(kinds)], name, 1 + n % 7);
		const struct filter *f = n % 2 ? bed_random_filter(&bed, &arena) : NULL;
		struct query q = { .kind = QUERY_SEARCH,
				   .vector_name = name,
				   .scoring = &s,
				   .filter = f,
				   .limit = 10 + n,
				   .exact = true };
		uint32_t count = model_scores(&s, name, f, want);

		expect(run(&q), want, MIN(count, q.limit));
	}
	close_place();
}
END_TEST

START_TEST(a_threshold_of_a_scoring_is_a_least_score_whatever_the_distance)
{
	static struct scored want[BED_IDS];
	uint32_t above = 0;

	open_place(0);
	struct scoring s = random_scoring(SCORING_DISCOVER, STR(""), 3);
	struct query q = { .kind = QUERY_SEARCH,
			   .scoring = &s,
			   .limit = BED_IDS,
			   .has_threshold = true,
			   .threshold = 0.5F };
	uint32_t count = model_scores(&s, STR(""), NULL, want);

	while (above < count && want[above].score > 0.5F)
		above++;
	ck_assert(above > 0 && above < count);
	expect(run(&q), want, above);
	close_place();
}
END_TEST

START_TEST(examples_that_fit_no_vector_are_refused)
{
	open_place(0);
	struct scoring s = random_scoring(SCORING_BEST, STR("img"), 2);
	struct query q = { .kind = QUERY_SEARCH, .scoring = &s, .limit = 1 };

	refuse(&q, ERR_BAD_INPUT);
	s = random_scoring(SCORING_BEST, STR("words"), 2);
	refuse(&q, ERR_BAD_INPUT);
	q.vector_name = STR("none");
	refuse(&q, ERR_BAD_INPUT);
	close_place();
}
END_TEST

/* --- orders --- */

struct pair {
	struct order_value value;
	struct point_id id;
};

static int pair_order(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	double p = x->value.kind == ORDER_VALUE_INT ? (double)x->value.integer : x->value.number;
	double q = y->value.kind == ORDER_VALUE_INT ? (double)y->value.integer : y->value.number;

	return p != q ? (p > q) - (p < q) : point_id_compare(x->id, y->id);
}

static uint32_t model_order(bool price, const struct filter *f, struct pair *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < BED_IDS; i++) {
		const struct bed_point *p = &bed.points[i];

		if (!bed_matches(&bed, i, f) || (price && !p->has_price))
			continue;
		out[n].id = bed_id(i);
		out[n++].value = price ? (struct order_value){ .kind = ORDER_VALUE_FLOAT,
							       .number = p->price }
				       : (struct order_value){ .kind = ORDER_VALUE_INT,
							       .integer = p->number };
	}
	qsort(out, n, sizeof(*out), pair_order);
	return n;
}

START_TEST(points_come_in_the_order_of_their_values)
{
	static struct pair want[BED_IDS];
	struct path keys[2];

	open_place(_i);
	ck_assert_int_eq(path_parse(STR("number"), &keys[0], NULL), ERR_NONE);
	ck_assert_int_eq(path_parse(STR("price"), &keys[1], NULL), ERR_NONE);
	for (uint32_t n = 0; n < 40; n++) {
		bool price = n % 2, down = n / 2 % 2, starts = n / 4 % 2;
		const struct filter *f = n % 3 ? bed_random_filter(&bed, &arena) : NULL;
		struct query q = { .kind = QUERY_ORDER,
				   .filter = f,
				   .limit = n % 5 ? 1 + n * 7 : BED_IDS,
				   .order_key = &keys[price],
				   .order_schema = price ? FIELD_FLOAT : FIELD_INTEGER,
				   .order_descending = down };
		uint32_t count = model_order(price, f, want), at = 0;

		if (starts)
			q.order_start = (struct order_value){ .kind = ORDER_VALUE_INT,
							      .integer = price ? 60 : 5 };
		struct ranking got = run(&q);

		for (uint32_t i = 0; i < count && at < q.limit; i++) {
			const struct pair *p = &want[down ? count - 1 - i : i];
			double value = price ? p->value.number : (double)p->value.integer,
			       start = price ? 60 : 5;

			if (starts && (down ? value > start : value < start))
				continue;
			ck_assert_uint_lt(at, got.count);
			ck_assert(point_id_equal(got.items[at].id, p->id));
			ck_assert_int_eq(got.items[at].order.kind, p->value.kind);
			ck_assert_int_eq(got.items[at].order.integer, p->value.integer);
			ck_assert(got.items[at].score >= 1 && got.items[at].score <= 1);
			ck_assert_uint_eq(got.items[at].version,
					  bed.points[index_of(p->id)].version);
			at++;
		}
		ck_assert_uint_eq(got.count, at);
	}
	close_place();
}
END_TEST

START_TEST(a_point_stands_once_for_each_of_its_values)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct value items[4];
	struct path key;

	open_place(0);
	struct store_txn *t = bed_begin(&bed);
	struct row row;

	/* number: [3, 1, 3, "x"] */
	static const int64_t numbers[] = { 3, 1, 3 };
	for (size_t i = 0; i < LEN(items); i++) {
		buf_reset(&b);
		if (i < LEN(numbers))
			value_put_int(&b, numbers[i]);
		else
			value_put_string(&b, STR("x"));
		items[i] = bed_value(&arena, &b);
	}
	buf_reset(&b);
	ck_assert_int_eq(value_put_list(&b, items, LEN(items)), ERR_NONE);
	bed.points[0].visible = true;
	bed_row(&bed, 0, &arena, &row);
	for (uint32_t i = 0; i < row.field_count; i++)
		if (row.fields[i].key.len == 6)
			row.fields[i].value = bed_value(&arena, &b);
	ck_assert_int_eq(collection_row_store(bed.collection, t, &row, NULL), ERR_NONE);
	bed_commit(&bed, t);
	ck_assert_int_eq(path_parse(STR("number"), &key, NULL), ERR_NONE);
	struct condition only = { .kind = CONDITION_HAS_ID,
				  .ids = { .items = (struct point_id[]){ bed_id(0) },
					   .count = 1 } };
	const struct filter f = { .must = { &only, 1 } };
	const struct query q = { .kind = QUERY_ORDER,
				 .filter = &f,
				 .limit = 5,
				 .order_key = &key,
				 .order_schema = FIELD_INTEGER };
	struct ranking got = run(&q);

	ck_assert_uint_eq(got.count, 2);
	ck_assert_int_eq(got.items[0].order.integer, 1);
	ck_assert_int_eq(got.items[1].order.integer, 3);
	close_place();
}
END_TEST

/* --- samples --- */

START_TEST(a_sample_takes_each_point_at_most_once_and_all_alike_often)
{
	enum { ROUNDS = 300, TAKEN = 40 };
	static uint32_t taken[BED_IDS];
	uint32_t visible = 0, seldom = 0;

	open_place(_i);
	for (uint32_t i = 0; i < BED_IDS; i++)
		visible += bed_matches(&bed, i, NULL);
	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		const struct query q = { .kind = QUERY_SAMPLE,
					 .limit = TAKEN,
					 .seed = seed * 7919 };
		struct ranking got = run(&q);
		uint32_t before = 0;

		ck_assert_uint_eq(got.count, TAKEN);
		for (uint32_t i = 0; i < got.count; i++) {
			uint32_t at = index_of(got.items[i].id);

			ck_assert(bed_matches(&bed, at, NULL));
			ck_assert_int_eq(got.items[i].order.kind, ORDER_VALUE_NONE);
			for (uint32_t k = 0; k < i; k++)
				before += point_id_equal(got.items[k].id, got.items[i].id);
			taken[at]++;
		}
		ck_assert_uint_eq(before, 0);
	}
	/* The mean is about 20; less than 5 is no bad luck. */
	for (uint32_t i = 0; i < BED_IDS; i++)
		seldom += bed_matches(&bed, i, NULL) && taken[i] < ROUNDS * TAKEN / visible / 4;
	ck_assert_uint_eq(seldom, 0);
	memset(taken, 0, sizeof(taken));
	close_place();
}
END_TEST

START_TEST(a_sample_larger_than_the_collection_is_all_of_it)
{
	open_place(1);
	const struct query q = { .kind = QUERY_SAMPLE, .limit = 100000, .seed = 1 };

	ck_assert_uint_eq(run(&q).count, collection_points(bed.collection));
	close_place();
}
END_TEST

/* --- scrolls --- */

START_TEST(without_a_form_points_come_by_id)
{
	open_place(_i);
	const struct query q = { .kind = QUERY_SCROLL,
				 .limit = 50,
				 .filter = bed_random_filter(&bed, &arena) };
	struct ranking got = run(&q);

	for (uint32_t i = 0; i < got.count; i++) {
		uint32_t at = index_of(got.items[i].id);

		ck_assert(bed_matches(&bed, at, q.filter));
		ck_assert_uint_eq(got.items[i].version, bed.points[at].version);
		ck_assert(i == 0 || point_id_compare(got.items[i - 1].id, got.items[i].id) < 0);
	}
	close_place();
}
END_TEST

/* --- steps --- */

START_TEST(a_step_looks_only_at_what_its_prefetches_found)
{
	static struct scored want[BED_IDS];
	uint32_t n = 0;

	open_place(_i);
	struct query prefetches[] = { nearest(30), nearest(20) };
	struct query q = nearest(15);

	q.prefetches = prefetches;
	q.prefetch_count = 2;
	for (uint32_t p = 0; p < 2; p++) {
		struct ranking part = run(&prefetches[p]);

		for (uint32_t i = 0; i < part.count; i++) {
			struct vector v = vector_of(index_of(part.items[i].id), STR(""));
			float score = sqrtf(-scoring_similarity(DISTANCE_EUCLID, &q.vector, &v));
			bool twin = false;

			for (uint32_t k = 0; k < n; k++)
				twin |= point_id_equal(want[k].id, part.items[i].id);
			if (!twin)
				want[n++] =
					(struct scored){ .id = part.items[i].id, .score = -score };
		}
	}
	qsort(want, n, sizeof(*want), best_first);
	for (uint32_t i = 0; i < n; i++)
		want[i].score = -want[i].score;
	expect(run(&q), want, 15);
	close_place();
}
END_TEST

START_TEST(filters_of_all_outer_steps_hold_within)
{
	open_place(_i);
	for (uint32_t n = 0; n < 20; n++) {
		struct query inner = nearest(100), middle = nearest(50), q = nearest(25);

		inner.filter = bed_random_filter(&bed, &arena);
		middle.filter = bed_random_filter(&bed, &arena);
		q.filter = bed_random_filter(&bed, &arena);
		middle.prefetches = &inner;
		q.prefetches = &middle;
		middle.prefetch_count = q.prefetch_count = 1;
		struct ranking got = run(&q);
		uint32_t matching = 0;

		for (uint32_t i = 0; i < BED_IDS; i++)
			matching += bed_matches(&bed, i, inner.filter) &&
				    bed_matches(&bed, i, middle.filter) &&
				    bed_matches(&bed, i, q.filter);
		/* The filters narrow the innermost search, so nothing is lost on the way. */
		ck_assert_uint_eq(got.count, MIN(matching, 25u));
		for (uint32_t i = 0; i < got.count; i++) {
			uint32_t at = index_of(got.items[i].id);

			ck_assert(bed_matches(&bed, at, inner.filter) &&
				  bed_matches(&bed, at, middle.filter) &&
				  bed_matches(&bed, at, q.filter));
		}
	}
	close_place();
}
END_TEST

START_TEST(prefetches_are_fused_and_cut_at_the_threshold)
{
	open_place(_i);
	struct query prefetches[] = { nearest(30), nearest(20) };
	struct query q = { .kind = QUERY_FUSION,
			   .fusion = { .kind = FUSION_RRF, .k = 2 },
			   .prefetches = prefetches,
			   .prefetch_count = 2,
			   .limit = 12 };
	const struct ranking sources[] = { run(&prefetches[0]), run(&prefetches[1]) };
	struct scored *want;
	uint32_t n, above = 0;

	ck_assert_int_eq(fusion_merge(&q.fusion, sources, 2, &arena, &want, &n), ERR_NONE);
	expect(run(&q), want, 12);
	q.has_threshold = true;
	q.threshold = want[5].score;
	while (want[above].score >= q.threshold)
		above++;
	expect(run(&q), want, above);
	close_place();
}
END_TEST

/* $score + 10 * $score[1] - number */
START_TEST(a_formula_has_the_scores_of_all_prefetches_and_the_payload)
{
	static struct scored want[BED_IDS];
	uint32_t n = 0;

	open_place(_i);
	struct expression second[] = { { .kind = EXPRESSION_CONSTANT, .constant = 10 },
				       { .kind = EXPRESSION_VARIABLE, .text = STR("$score[1]") } };
	struct expression number = { .kind = EXPRESSION_VARIABLE, .text = STR("number") };
	struct expression terms[] = {
		{ .kind = EXPRESSION_VARIABLE, .text = STR("$score") },
		{ .kind = EXPRESSION_MULT, .operands = second, .operand_count = 2 },
		{ .kind = EXPRESSION_NEG, .operands = &number, .operand_count = 1 }
	};
	struct expression sum = { .kind = EXPRESSION_SUM, .operands = terms, .operand_count = 3 };
	struct formula f = { .root = &sum };

	ck_assert_int_eq(formula_prepare(&f, &arena, NULL), ERR_NONE);
	struct query prefetches[] = { nearest(300), nearest(20) };
	struct query q = { .kind = QUERY_FORMULA,
			   .formula = &f,
			   .prefetches = prefetches,
			   .prefetch_count = 2,
			   .limit = 40 };
	const struct ranking first = run(&prefetches[0]), other = run(&prefetches[1]);

	for (uint32_t i = 0; i < BED_IDS; i++) {
		float score = 0;
		bool there = false;

		for (uint32_t k = 0; k < first.count; k++)
			if (point_id_equal(first.items[k].id, bed_id(i))) {
				score += first.items[k].score;
				there = true;
			}
		for (uint32_t k = 0; k < other.count; k++)
			if (point_id_equal(other.items[k].id, bed_id(i))) {
				score += 10 * other.items[k].score;
				there = true;
			}
		if (there)
			want[n++] = (struct scored){ .id = bed_id(i),
						     .score = score - (float)bed.points[i].number };
	}
	qsort(want, n, sizeof(*want), best_first);
	expect(run(&q), want, 40);
	q.has_threshold = true;
	q.threshold = want[7].score;
	ck_assert_uint_eq(run(&q).count, 8);
	close_place();
}
END_TEST

START_TEST(a_formula_may_ask_for_vectors)
{
	open_place(0);
	struct condition has = { .kind = CONDITION_HAS_VECTOR, .vector_name = STR("img") };
	const struct filter filter = { .must = { &has, 1 } };
	struct expression e = { .kind = EXPRESSION_CONDITION, .filter = &filter };
	struct formula f = { .root = &e };

	ck_assert_int_eq(formula_prepare(&f, &arena, NULL), ERR_NONE);
	struct query all = { .kind = QUERY_SCROLL, .limit = BED_IDS };
	const struct query q = { .kind = QUERY_FORMULA,
				 .formula = &f,
				 .prefetches = &all,
				 .prefetch_count = 1,
				 .limit = BED_IDS };
	struct ranking got = run(&q);

	ck_assert_uint_gt(got.count, 100);
	for (uint32_t i = 0; i < got.count; i++)
		ck_assert_int_eq(got.items[i].score > 0.5F,
				 bed.points[index_of(got.items[i].id)].has_img);
	close_place();
}
END_TEST

START_TEST(a_formula_that_fails_fails_the_query)
{
	open_place(0);
	struct expression e = { .kind = EXPRESSION_VARIABLE, .text = STR("color") };
	struct formula f = { .root = &e };

	ck_assert_int_eq(formula_prepare(&f, &arena, NULL), ERR_NONE);
	struct query one = nearest(1);
	const struct query q = { .kind = QUERY_FORMULA,
				 .formula = &f,
				 .prefetches = &one,
				 .prefetch_count = 1,
				 .limit = 1 };

	refuse(&q, ERR_BAD_INPUT);
	close_place();
}
END_TEST

START_TEST(unlike_points_are_picked_of_the_nearest)
{
	open_place(_i);
	for (uint32_t n = 0; n < 12; n++) {
		struct query q = nearest(8), plain;
		const struct str names[] = { STR(""), STR("img"), STR("words") };
		struct str name = names[n % 3];

		q.kind = QUERY_MMR;
		q.mmr_candidates = 40;
		q.mmr_lambda = 1;
		q.vector_name = name;
		if (name.len == 3)
			q.vector = (struct vector){ .kind = VECTOR_DENSE,
						    .count = BED_IMG_DIM,
						    .values = random_values(BED_IMG_DIM) };
		if (name.len == 5)
			q.vector = random_sparse();
		plain = q;
		plain.kind = QUERY_SEARCH;
		struct ranking nearest_first = run(&plain), got = run(&q);

		/* Relevance alone: the nearest themselves. */
		expect(got, nearest_first.items, nearest_first.count);
		q.mmr_lambda = 0.3F;
		got = run(&q);
		plain.limit = 40;
		nearest_first = run(&plain);
		ck_assert_uint_eq(got.count, MIN(8u, nearest_first.count));
		if (got.count == 0)
			continue;
		ck_assert(point_id_equal(got.items[0].id, nearest_first.items[0].id));
		for (uint32_t i = 0; i < got.count; i++) {
			uint32_t at = 0;

			while (at < nearest_first.count &&
			       !point_id_equal(nearest_first.items[at].id, got.items[i].id))
				at++;
			ck_assert_uint_lt(at, nearest_first.count);
			ck_assert(fabsf(nearest_first.items[at].score - got.items[i].score) <
				  1e-5F);
		}
	}
	close_place();
}
END_TEST

START_TEST(a_late_or_cancelled_query_ends)
{
	static const enum query_kind kinds[] = { QUERY_SCROLL, QUERY_SEARCH, QUERY_ORDER,
						 QUERY_SAMPLE };
	const atomic_bool cancel = true;
	const struct deadline late = { .mono_ns = 1 }, off = { .cancel = &cancel };
	struct path key;

	open_place(0);
	ck_assert_int_eq(path_parse(STR("number"), &key, NULL), ERR_NONE);
	struct scoring s = random_scoring(SCORING_BEST, STR(""), 9);
	for (size_t i = 0; i < LEN(kinds); i++) {
		const struct query q = { .kind = kinds[i],
					 .limit = 500,
					 .scoring = &s,
					 .order_key = &key,
					 .order_schema = FIELD_INTEGER };
		struct ranking found;

		ck_assert_int_eq(query_run(bed.collection, NULL, &q, &late, &arena, &found, NULL),
				 ERR_TIMEOUT);
		ck_assert_int_eq(query_run(bed.collection, NULL, &q, &off, &arena, &found, NULL),
				 ERR_CANCELLED);
	}
	close_place();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("query");
	TCase *t = tcase_create("all");
	const int all = (int)LEN(places);

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, the_best_by_every_score_are_found, 0, all);
	tcase_add_test(t, a_threshold_of_a_scoring_is_a_least_score_whatever_the_distance);
	tcase_add_test(t, examples_that_fit_no_vector_are_refused);
	tcase_add_loop_test(t, points_come_in_the_order_of_their_values, 0, all);
	tcase_add_test(t, a_point_stands_once_for_each_of_its_values);
	tcase_add_loop_test(t, a_sample_takes_each_point_at_most_once_and_all_alike_often, 0, all);
	tcase_add_test(t, a_sample_larger_than_the_collection_is_all_of_it);
	tcase_add_loop_test(t, without_a_form_points_come_by_id, 0, all);
	tcase_add_loop_test(t, a_step_looks_only_at_what_its_prefetches_found, 0, all);
	tcase_add_loop_test(t, filters_of_all_outer_steps_hold_within, 0, all);
	tcase_add_loop_test(t, prefetches_are_fused_and_cut_at_the_threshold, 0, all);
	tcase_add_loop_test(t, a_formula_has_the_scores_of_all_prefetches_and_the_payload, 0, all);
	tcase_add_test(t, a_formula_may_ask_for_vectors);
	tcase_add_test(t, a_formula_that_fails_fails_the_query);
	tcase_add_loop_test(t, unlike_points_are_picked_of_the_nearest, 0, all);
	tcase_add_test(t, a_late_or_cancelled_query_ends);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
