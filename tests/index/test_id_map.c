/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The id map, against a sorted array that does the same slowly.
 */
#include "index/id_map.h"

#include "tests/index/random.h"
#include "tests/index/scratch.h"

#include <string.h>

static struct point_id number(uint64_t n)
{
	return (struct point_id){ .lo = n, .kind = POINT_ID_NUM };
}

static struct point_id uuid(uint64_t hi, uint64_t lo)
{
	return (struct point_id){ .hi = hi, .lo = lo, .kind = POINT_ID_UUID };
}

static struct id_map *map_new(void)
{
	struct id_map *m;
	ck_assert_int_eq(id_map_new(&m), ERR_NONE);
	return m;
}

START_TEST(empty_map_has_nothing)
{
	struct id_map *m = map_new();
	struct point_id id;
	uint32_t row;
	ck_assert(!id_map_get(m, number(0), &row));
	ck_assert(!id_map_remove(m, number(0)));
	struct id_map_cursor c = id_map_seek(m, number(0));
	ck_assert(!id_map_next(&c, &id, &row));
	c = id_map_seek(m, uuid(UINT64_MAX, UINT64_MAX));
	ck_assert(!id_map_next(&c, &id, &row));
	c = (struct id_map_cursor){ .leaf = NULL };
	ck_assert(!id_map_next(&c, &id, &row));
	ck_assert_uint_eq(id_map_count(m), 0);
	id_map_free(m);
	id_map_free(NULL);
}
END_TEST

START_TEST(put_replaces_the_row)
{
	struct id_map *m = map_new();
	uint32_t row;
	ck_assert_int_eq(id_map_put(m, number(5), 1), ERR_NONE);
	ck_assert_int_eq(id_map_put(m, number(5), 2), ERR_NONE);
	ck_assert_uint_eq(id_map_count(m), 1);
	ck_assert(id_map_get(m, number(5), &row));
	ck_assert_uint_eq(row, 2);
	id_map_free(m);
}
END_TEST

START_TEST(numbers_come_before_uuids)
{
	static const struct {
		uint8_t kind;
		uint64_t hi, lo;
	} ordered[] = {
		{ POINT_ID_NUM, 0, 0 },          { POINT_ID_NUM, 0, 1 },
		{ POINT_ID_NUM, 0, UINT64_MAX }, { POINT_ID_UUID, 0, 0 },
		{ POINT_ID_UUID, 0, 1 },         { POINT_ID_UUID, 0, UINT64_MAX },
		{ POINT_ID_UUID, 1, 0 },         { POINT_ID_UUID, UINT64_MAX, UINT64_MAX },
	};
	struct id_map *m = map_new();
	struct point_id id;
	uint32_t row;
	for (uint32_t i = LEN(ordered); i-- > 0;) {
		id = (struct point_id){ ordered[i].hi, ordered[i].lo, ordered[i].kind };
		ck_assert_int_eq(id_map_put(m, id, i), ERR_NONE);
	}
	for (uint32_t from = 0; from < LEN(ordered); from++) {
		id = (struct point_id){ ordered[from].hi, ordered[from].lo, ordered[from].kind };
		struct id_map_cursor c = id_map_seek(m, id);
		for (uint32_t i = from; i < LEN(ordered); i++) {
			ck_assert(id_map_next(&c, &id, &row));
			ck_assert_uint_eq(row, i);
			ck_assert_uint_eq(id.kind, ordered[i].kind);
			ck_assert_uint_eq(id.hi, ordered[i].hi);
			ck_assert_uint_eq(id.lo, ordered[i].lo);
		}
		ck_assert(!id_map_next(&c, &id, &row));
	}
	id_map_free(m);
}
END_TEST

static struct point_id nth_id(uint32_t n)
{
	return n % 2 ? uuid(n, 7) : number(n);
}

/* Are there count ids, in order, with their rows? */
static bool is_whole(const struct id_map *m, uint32_t count)
{
	struct id_map_cursor c = id_map_seek(m, number(0));
	struct point_id id, last = number(0);
	uint32_t row, met = 0;

	for (; id_map_next(&c, &id, &row); met++) {
		bool ascends = met == 0 || point_id_compare(last, id) < 0;
		if (!ascends || row >= count || !point_id_equal(nth_id(row), id))
			return false;
		last = id;
	}
	return met == count && id_map_count(m) == count;
}

/* Puts ids in an order and takes them out in another; what went wrong. */
static const char *fill_and_drain(uint32_t count, uint64_t put_step, uint64_t remove_step)
{
	struct id_map *m = map_new();
	const char *wrong = NULL;
	uint32_t row;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t n = (uint32_t)(i * put_step % count);
		if (id_map_put(m, nth_id(n), n))
			wrong = "put";
	}
	if (!is_whole(m, count))
		wrong = "walk";
	for (uint32_t i = 0; i < count && !wrong; i++) {
		uint32_t n = (uint32_t)(i * remove_step % count);
		if (!id_map_get(m, nth_id(n), &row) || row != n)
			wrong = "get";
		if (!id_map_remove(m, nth_id(n)) || id_map_get(m, nth_id(n), &row))
			wrong = "remove";
	}
	if (!wrong && !is_whole(m, 0))
		wrong = "not empty";
	id_map_free(m);
	return wrong;
}

START_TEST(any_order_of_coming_and_going_is_right)
{
	/* 10,007 and 200,003 are prime: every step visits each once. 1 ascends, the last descends.
	 * */
	static const struct {
		uint32_t count;
		uint32_t steps[4];
	} cases[] = {
		{ 10007, { 1, 2, 777, 10006 } },
		{ 200003, { 1, 1, 77777, 200002 } },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		const uint32_t *steps = cases[i].steps;
		for (size_t j = 0; j < 16; j++) {
			if (cases[i].count > 100000 && j % 5 != 0)
				continue;
			const char *wrong =
				fill_and_drain(cases[i].count, steps[j / 4], steps[3 - j % 4]);
			ck_assert_msg(!wrong, "row %zu, steps %u and %u: %s", i, steps[j / 4],
				      steps[3 - j % 4], wrong);
		}
	}
}
END_TEST

START_TEST(ascending_ids_fill_leaves)
{
	struct id_map *m = map_new();
	struct point_id id;
	uint32_t row, leaves = 0;
	const void *leaf = NULL;
	for (uint32_t i = 0; i < 64 * 1000; i++)
		if (id_map_put(m, number(i), i))
			ck_abort_msg("out of memory");
	for (struct id_map_cursor c = id_map_seek(m, number(0)); id_map_next(&c, &id, &row);) {
		leaves += c.leaf != leaf;
		leaf = c.leaf;
	}
	ck_assert_uint_eq(leaves, 1000);
	id_map_free(m);
}
END_TEST

/* --- random steps --- */

struct entry {
	struct point_id id;
	uint32_t row;
};

struct model {
	struct entry items[6000];
	uint32_t count;
};

static uint32_t model_find(const struct model *m, struct point_id id)
{
	uint32_t from = 0, to = m->count;

	while (from < to) {
		uint32_t middle = (from + to) / 2;
		if (point_id_compare(m->items[middle].id, id) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static bool model_has(const struct model *m, uint32_t at, struct point_id id)
{
	return at < m->count && point_id_equal(m->items[at].id, id);
}

static void assert_same_from(const struct id_map *map, const struct model *m, struct point_id from,
			     uint32_t steps)
{
	struct id_map_cursor c = id_map_seek(map, from);
	uint32_t at = model_find(m, from), row;
	struct point_id id;

	for (; steps > 0 && at < m->count; steps--, at++) {
		bool same = id_map_next(&c, &id, &row) && point_id_equal(id, m->items[at].id) &&
			    row == m->items[at].row;
		if (!same)
			ck_abort_msg("entry %u differs", at);
	}
	if (at == m->count)
		ck_assert(!id_map_next(&c, &id, &row));
}

static struct point_id random_id(struct random *seed)
{
	uint64_t r = random_u64(seed);

	switch (r % 4) {
	case 0:
		return number(r >> 32 & 0xFFF);
	case 1:
		return uuid(r >> 32 & 3, r >> 40 & 0x1FF);
	case 2:
		return number((r >> 32 & 0x3FF) * 0x4000000000000);
	default:
		return uuid((r >> 32 & 0x7FF) * 0x20000000000000, 1);
	}
}

START_TEST(random_steps_agree_with_a_sorted_array)
{
	static struct model m;
	struct id_map *map = map_new();
	struct random seed = { 99 };

	for (uint32_t step = 0; step < 100000; step++) {
		struct point_id id = random_id(&seed);
		uint32_t at = model_find(&m, id), row;
		bool has = model_has(&m, at, id);
		/* Grows in one half of the steps and shrinks in the other. */
		bool remove = random_u64(&seed) % 10 < (step / 25000 % 2 ? 8 : 2);
		if (remove) {
			ck_assert_int_eq(id_map_remove(map, id), has);
			if (has) {
				m.count--;
				memmove(m.items + at, m.items + at + 1,
					(m.count - at) * sizeof(*m.items));
			}
		} else if (has || m.count < LEN(m.items)) {
			ck_assert_int_eq(id_map_put(map, id, step), ERR_NONE);
			if (!has) {
				memmove(m.items + at + 1, m.items + at,
					(m.count - at) * sizeof(*m.items));
				m.count++;
			}
			m.items[at] = (struct entry){ .id = id, .row = step };
		}
		ck_assert_uint_eq(id_map_count(map), m.count);
		id = random_id(&seed);
		at = model_find(&m, id);
		ck_assert_int_eq(id_map_get(map, id, &row), model_has(&m, at, id));
		if (step % 64 == 0)
			assert_same_from(map, &m, id, 70);
		if (step % 5000 == 0)
			assert_same_from(map, &m, number(0), UINT32_MAX);
	}
	assert_same_from(map, &m, number(0), UINT32_MAX);
	id_map_free(map);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("id_map");
	TCase *t = tcase_create("id_map");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, empty_map_has_nothing);
	tcase_add_test(t, put_replaces_the_row);
	tcase_add_test(t, numbers_come_before_uuids);
	tcase_add_test(t, any_order_of_coming_and_going_is_right);
	tcase_add_test(t, ascending_ids_fill_leaves);
	tcase_add_test(t, random_steps_agree_with_a_sorted_array);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
