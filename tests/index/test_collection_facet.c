/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facets of a collection with several shards: what counting by hand gives, while the index is being filled and after it, after
 * changes and a restart.
 */
#include "index/collection_inner.h"
#include "index/shard.h"

#include "tests/index/collection_bed.h"

#define VALUES_MAX 64

struct by_hand {
	struct facet_hit hits[VALUES_MAX];
	uint32_t count;
	bool seen[VALUES_MAX]; /* of the point that is looked at */
};

static bool value_of_payload(struct value v, struct field_value *ret)
{
	enum value_kind kind = value_kind(v);

	if (kind == VALUE_STRING)
		*ret = (struct field_value){ .kind = FIELD_VALUE_TEXT, .text = value_string(v) };
	else if (kind == VALUE_INT)
		*ret = (struct field_value){ .kind = FIELD_VALUE_INT, .integer = value_int(v) };
	else if (kind == VALUE_TRUE || kind == VALUE_FALSE)
		*ret = (struct field_value){ .kind = FIELD_VALUE_BOOL, .boolean = kind == VALUE_TRUE };
	else
		return false;
	return true;
}

static void count_value(struct by_hand *h, struct value v)
{
	struct field_value value;
	uint32_t i = 0;

	if (!value_of_payload(v, &value))
		return;
	while (i < h->count && field_value_compare(&h->hits[i].value, &value) != 0)
		i++;
	ck_assert_uint_lt(i, VALUES_MAX);
	if (i == h->count)
		h->hits[h->count++].value = value;
	h->hits[i].count += !h->seen[i];
	h->seen[i] = true;
}

static int order(const void *a, const void *b)
{
	const struct facet_hit *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return field_value_compare(&x->value, &y->value);
}

static void by_hand(struct bed *b, const char *key, const struct filter *f, struct by_hand *h)
{
	*h = (struct by_hand){ .count = 0 };
	for (uint32_t i = 0; i < BED_IDS; i++) {
		struct value payload = { b->points[i].payload, b->points[i].payload_len }, v, item;

		memset(h->seen, 0, sizeof(h->seen));
		if (!b->points[i].visible || (f && !bed_matches(b, i, f)) ||
		    !value_get(payload, (struct str){ key, strlen(key) }, &v))
			continue;
		if (value_kind(v) != VALUE_LIST) {
			count_value(h, v);
			continue;
		}
		struct value_iter it = value_items(v);
		while (value_next(&it, NULL, &item))
			count_value(h, item);
	}
	qsort(h->hits, h->count, sizeof(h->hits[0]), order);
}

static void check(struct bed *b, const char *key, const struct filter *f, uint32_t limit)
{
	CLEANUP(arena_release) struct arena a;
	struct facet_hit *hits;
	struct by_hand h;
	uint32_t count;

	arena_init(&a, 1 << 20);
	by_hand(b, key, f, &h);
	ck_assert_int_eq(collection_facet(b->collection, (struct str){ key, strlen(key) }, f, limit, NULL, &a, &hits, &count),
			 ERR_NONE);
	ck_assert_uint_eq(count, MIN(h.count, limit));
	for (uint32_t i = 0; i < count; i++) {
		ck_assert_uint_eq(hits[i].count, h.hits[i].count);
		ck_assert_int_eq(field_value_compare(&hits[i].value, &h.hits[i].value), 0);
	}
}

static void check_all(struct bed *b)
{
	static const char *const keys[] = { "color", "number", "flag" };

	for (size_t k = 0; k < LEN(keys); k++) {
		check(b, keys[k], NULL, 1000);
		check(b, keys[k], NULL, 2);
		for (int n = 0; n < 20; n++) {
			CLEANUP(arena_release) struct arena a;

			arena_init(&a, 1 << 20);
			check(b, keys[k], bed_random_filter(b, &a), n % 2 ? 1000 : 3);
		}
	}
}

/* As it is until the filler has been through all rows. */
static void set_complete(struct bed *b, bool complete)
{
	for (uint32_t i = 0; i < b->collection->shard_count; i++) {
		struct shard *s = b->collection->shards[i];

		pthread_rwlock_wrlock(&s->lock);
		ck_assert_uint_gt(s->field_count, 0);
		for (uint32_t n = 0; n < s->field_count; n++)
			s->fields[n].complete = complete;
		pthread_rwlock_unlock(&s->lock);
	}
}

START_TEST(facets_are_what_counting_by_hand_gives)
{
	struct bed b;

	bed_init(&b, false, false, 3, 0);
	bed_fill(&b, 0, 500);
	bed_put_index(&b, "color", FIELD_KEYWORD);
	bed_put_index(&b, "number", FIELD_INTEGER);
	bed_put_index(&b, "flag", FIELD_BOOL);
	ck_assert_int_eq(collection_fill(b.collection), ERR_NONE);
	check_all(&b);
	set_complete(&b, false);
	check_all(&b);
	set_complete(&b, true);
	bed_churn(&b, 600);
	check_all(&b);
	bed_reopen(&b);
	check_all(&b);
	bed_release(&b);
}
END_TEST

START_TEST(without_an_index_of_values_there_are_no_facets)
{
	CLEANUP(arena_release) struct arena a;
	struct facet_hit *hits;
	struct bed b;
	uint32_t count;

	arena_init(&a, 1 << 20);
	bed_init(&b, false, false, 2, 0);
	bed_fill(&b, 0, 20);
	bed_put_index(&b, "price", FIELD_FLOAT);
	ck_assert_int_eq(collection_facet(b.collection, STR("color"), NULL, 9, NULL, &a, &hits, &count), ERR_NOT_FOUND);
	ck_assert_int_eq(collection_facet(b.collection, STR("price"), NULL, 9, NULL, &a, &hits, &count), ERR_NOT_FOUND);
	bed_release(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("collection_facet");
	TCase *t = tcase_create("collection_facet");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, without_an_index_of_values_there_are_no_facets);
	tcase_add_test(t, facets_are_what_counting_by_hand_gives);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
