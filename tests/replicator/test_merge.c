/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging. The property: whatever the order in which ops arrive, and however often, the row is the same, and is the
 * one that a plain sequential model makes of the sorted ops. The model shares no rule with merge.c: it
 * compares versions itself, and executes one op after the other on a table of values.
 * tests/replicator/merge_mutants.sh shows that a broken rule is noticed.
 */
#include "replicator/merge.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define HISTORIES 120000
#define SHUFFLES 3
#define OPS_MAX 9
#define KEYS 3
#define VECTORS 2
#define VALUES 4 /* of a key: none, 1, 2, null */
#define NULL_VALUE 3
#define PAYLOADS 64 /* VALUES to the power of KEYS */

static const struct str key_names[KEYS] = { STR("a"), STR("b"), STR("c") };
static const struct str vector_names[VECTORS] = { STR(""), STR("v") };
static const float vector_values[3][2] = { { 0 }, { 1.0F, 2.0F }, { 3.0F, 4.0F } };

/* --- numbers from a seed (splitmix64) --- */

static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return (x ^ (x >> 31)) % n;
}

/* --- values that ops may carry, made once --- */

static struct value payloads[PAYLOADS];
static struct value key_values[VALUES];
static uint8_t value_bytes[PAYLOADS + VALUES][64];

static struct value keep(const struct buf *b, size_t at)
{
	ck_assert_uint_le(b->len, sizeof(value_bytes[at]));
	memcpy(value_bytes[at], b->data, b->len);
	return (struct value){ .data = value_bytes[at], .len = (uint32_t)b->len };
}

static unsigned digit(unsigned payload, unsigned key)
{
	return payload >> 2 * key & 3;
}

static void make_values(void)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);

	for (unsigned v = 1; v < VALUES; v++) {
		buf_reset(&b);
		if (v == NULL_VALUE)
			value_put_null(&b);
		else
			value_put_int(&b, v);
		key_values[v] = keep(&b, PAYLOADS + v);
	}
	for (unsigned p = 0; p < PAYLOADS; p++) {
		struct value_member members[KEYS];
		uint32_t count = 0;
		for (unsigned k = 0; k < KEYS; k++)
			if (digit(p, k) != 0)
				members[count++] = (struct value_member){ key_names[k],
									  key_values[digit(p, k)] };
		buf_reset(&b);
		ck_assert_int_eq(value_put_object(&b, members, count), ERR_NONE);
		payloads[p] = keep(&b, p);
	}
}

/* --- ops --- */

struct test_op {
	struct op op;
	struct op_point point;
	struct op_vector vectors[VECTORS];
	struct point_id id;
	struct str keys[KEYS];
	unsigned payload;               /* index; UPSERT, SET_, OVERWRITE_PAYLOAD */
	unsigned vector_value[VECTORS]; /* 0: not touched */
	bool key_touched[KEYS], vector_touched[VECTORS];
};

static void random_vectors(struct test_op *t)
{
	for (unsigned v = 0; v < VECTORS; v++) {
		t->vector_value[v] = (unsigned)random_below(3);
		if (t->vector_value[v] == 0)
			continue;
		t->vectors[t->point.vector_count++] =
			(struct op_vector){ .name = vector_names[v],
					    .vector = { .kind = VECTOR_DENSE,
							.count = 2,
							.values =
								vector_values[t->vector_value[v]] },
					    .slot = SLOT_NONE };
	}
	t->point.vectors = t->vectors;
	t->op.points = &t->point;
	t->op.point_count = 1;
}

static void random_keys(struct test_op *t)
{
	for (unsigned k = 0; k < KEYS; k++) {
		t->key_touched[k] = random_below(2) == 0;
		if (t->key_touched[k])
			t->keys[t->op.key_count++] = key_names[k];
	}
	t->op.keys = t->keys;
}

static void random_vector_names(struct test_op *t)
{
	for (unsigned v = 0; v < VECTORS; v++) {
		t->vector_touched[v] = random_below(2) == 0;
		if (t->vector_touched[v])
			t->keys[t->op.key_count++] = vector_names[v];
	}
	t->op.keys = t->keys;
}

static void random_op(struct test_op *t, const struct test_op *before)
{
	static const enum op_kind kinds[] = { OP_UPSERT,         OP_UPSERT,
					      OP_DELETE,         OP_SET_PAYLOAD,
					      OP_SET_PAYLOAD,    OP_OVERWRITE_PAYLOAD,
					      OP_DELETE_PAYLOAD, OP_CLEAR_PAYLOAD,
					      OP_UPDATE_VECTORS, OP_DELETE_VECTORS,
					      OP_SET_FIELDS };
	*t = (struct test_op){ .op = { .kind = kinds[random_below(LEN(kinds))] } };
	/* Three writers with clocks that disagree, in two epochs; now and then exactly the stamp of another op. */
	t->op.epoch = 1 + random_below(2);
	t->op.hlc = 1 + random_below(12);
	t->op.region = (uint8_t)(1 + random_below(3));
	if (before && random_below(4) == 0) {
		t->op.epoch = before->op.epoch;
		t->op.hlc = before->op.hlc;
		t->op.region = before->op.region;
	}
	t->op.ids = &t->id;
	t->op.id_count = 1;
	t->payload = (unsigned)random_below(PAYLOADS);
	if (t->op.kind == OP_UPSERT || t->op.kind == OP_UPDATE_VECTORS)
		random_vectors(t);
	if (t->op.kind == OP_SET_FIELDS) {
		t->op.points = &t->point;
		t->op.point_count = 1;
	}
	if (t->op.kind == OP_UPSERT || t->op.kind == OP_SET_FIELDS)
		t->point.payload = payloads[t->payload];
	if (t->op.kind == OP_SET_PAYLOAD || t->op.kind == OP_OVERWRITE_PAYLOAD)
		t->op.payload = payloads[t->payload];
	if (t->op.kind == OP_DELETE_PAYLOAD)
		random_keys(t);
	if (t->op.kind == OP_DELETE_VECTORS)
		random_vector_names(t);
}

/* --- the model --- */

enum step_kind { STEP_CREATE, STEP_CLEAR, STEP_CLEAR_PAYLOAD, STEP_KEY, STEP_VECTOR, STEP_DELETE };

/* An op is several steps. At one version the clearing comes first, then values by their hash, then what removes
 * values, then deletes: so the last one to be executed is the one that the rules call the winner. */
struct step {
	const struct test_op *from;
	enum step_kind kind;
	unsigned rank;
	uint64_t hash;
	unsigned target, value; /* value 0: removed */
};

struct model {
	bool exists;
	unsigned keys[KEYS];
	unsigned vectors[VECTORS];
};

static int step_order(const void *a, const void *b)
{
	const struct step *x = a;
	const struct step *y = b;
	const uint64_t left[] = { x->from->op.epoch, x->from->op.hlc, x->from->op.region, x->rank,
				  x->hash };
	const uint64_t right[] = { y->from->op.epoch, y->from->op.hlc, y->from->op.region, y->rank,
				   y->hash };

	for (size_t i = 0; i < LEN(left); i++)
		if (left[i] != right[i])
			return left[i] < right[i] ? -1 : 1;
	return 0;
}

static void add_step(struct step *steps, uint32_t *count, struct step s)
{
	s.rank = s.kind == STEP_DELETE ? 3 : s.kind < STEP_KEY ? 0 : s.value == 0 ? 2 : 1;
	if (s.kind == STEP_KEY && s.value != 0)
		s.hash = hash64(key_values[s.value].data, key_values[s.value].len, 0);
	if (s.kind == STEP_VECTOR && s.value != 0)
		s.hash = vector_hash(&(struct vector){
			.kind = VECTOR_DENSE, .count = 2, .values = vector_values[s.value] });
	steps[(*count)++] = s;
}

static void add_steps(struct step *steps, uint32_t *count, const struct test_op *t)
{
	enum op_kind kind = t->op.kind;

	if (kind == OP_UPSERT) {
		add_step(steps, count, (struct step){ .from = t, .kind = STEP_CREATE });
		add_step(steps, count, (struct step){ .from = t, .kind = STEP_CLEAR });
	}
	if (kind == OP_OVERWRITE_PAYLOAD || kind == OP_CLEAR_PAYLOAD)
		add_step(steps, count, (struct step){ .from = t, .kind = STEP_CLEAR_PAYLOAD });
	if (kind == OP_DELETE)
		add_step(steps, count, (struct step){ .from = t, .kind = STEP_DELETE });
	for (unsigned k = 0; k < KEYS; k++) {
		unsigned value = digit(t->payload, k);
		bool given = value != 0 && (kind == OP_UPSERT || kind == OP_SET_PAYLOAD ||
					    kind == OP_OVERWRITE_PAYLOAD || kind == OP_SET_FIELDS);
		if ((kind == OP_SET_PAYLOAD || kind == OP_SET_FIELDS) && value == NULL_VALUE)
			value = 0;
		if (kind == OP_DELETE_PAYLOAD && t->key_touched[k]) {
			given = true;
			value = 0;
		}
		if (given)
			add_step(
				steps, count,
				(struct step){
					.from = t, .kind = STEP_KEY, .target = k, .value = value });
	}
	for (unsigned v = 0; v < VECTORS; v++)
		if (t->vector_value[v] != 0 || t->vector_touched[v])
			add_step(steps, count,
				 (struct step){ .from = t,
						.kind = STEP_VECTOR,
						.target = v,
						.value = t->vector_value[v] });
}

static struct model model_of(const struct test_op *ops, uint32_t count)
{
	struct step steps[OPS_MAX * (KEYS + VECTORS + 2)];
	struct model m = { 0 };
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++)
		add_steps(steps, &n, &ops[i]);
	qsort(steps, n, sizeof(*steps), step_order);
	for (uint32_t i = 0; i < n; i++) {
		const struct step *s = &steps[i];
		if (s->kind == STEP_CREATE)
			m.exists = true;
		else if (s->kind == STEP_CLEAR_PAYLOAD)
			memset(m.keys, 0, sizeof(m.keys));
		else if (s->kind == STEP_KEY)
			m.keys[s->target] = s->value;
		else if (s->kind == STEP_VECTOR)
			m.vectors[s->target] = s->value;
		else
			m = (struct model){ .exists = s->kind == STEP_CLEAR && m.exists };
	}
	return m;
}

/* --- merging in some order --- */

static bool rows_equal(const struct row *a, const struct row *b)
{
	bool equal = a->visible == b->visible && stamp_compare(a->created, b->created) == 0 &&
		     stamp_compare(a->reset, b->reset) == 0 &&
		     stamp_compare(a->deleted, b->deleted) == 0 &&
		     stamp_compare(a->payload_reset, b->payload_reset) == 0 &&
		     a->vector_count == b->vector_count && a->field_count == b->field_count;

	for (uint32_t i = 0; equal && i < a->vector_count; i++) {
		const struct row_vector *x = &a->vectors[i];
		const struct row_vector *y = &b->vectors[i];
		equal = x->name.len == y->name.len && x->present == y->present &&
			x->hash == y->hash && stamp_compare(x->stamp, y->stamp) == 0;
	}
	for (uint32_t i = 0; equal && i < a->field_count; i++) {
		const struct row_field *x = &a->fields[i];
		const struct row_field *y = &b->fields[i];
		equal = x->key.len == y->key.len &&
			memcmp(x->key.data, y->key.data, x->key.len) == 0 &&
			x->present == y->present && stamp_compare(x->stamp, y->stamp) == 0 &&
			x->value.len == y->value.len &&
			(x->value.len == 0 ||
			 memcmp(x->value.data, y->value.data, x->value.len) == 0);
	}
	return equal;
}

static bool row_is(const struct row *row, const struct model *m)
{
	struct model r = { .exists = row->visible };

	for (uint32_t i = 0; i < row->vector_count; i++) {
		const struct row_vector *v = &row->vectors[i];
		if (v->present)
			r.vectors[v->name.len] = v->vector.values == vector_values[1] ? 1 : 2;
	}
	for (uint32_t i = 0; i < row->field_count; i++) {
		const struct row_field *f = &row->fields[i];
		for (unsigned v = 1; f->present && v < VALUES; v++)
			if (f->value.len == key_values[v].len &&
			    memcmp(f->value.data, key_values[v].data, f->value.len) == 0)
				r.keys[f->key.data[0] - 'a'] = v;
	}
	return memcmp(&r.keys, &m->keys, sizeof(r.keys)) == 0 &&
	       memcmp(&r.vectors, &m->vectors, sizeof(r.vectors)) == 0 && r.exists == m->exists;
}

/* Each op at least once, some twice, in a random order. */
static void merge_shuffled(const struct test_op *ops, uint32_t count, struct arena *a,
			   struct row *ret_row)
{
	uint32_t order[2 * OPS_MAX];
	struct row stored;
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++) {
		order[n++] = i;
		if (random_below(3) == 0)
			order[n++] = i;
	}
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t k = (uint32_t)random_below(i + 1);
		uint32_t was = order[i];
		order[i] = order[k];
		order[k] = was;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct row before = stored;
		enum merge_result result;
		enum err err = merge_apply(i ? &before : NULL, &ops[order[i]].op, 0, a, &stored,
					   &result, NULL);
		ck_assert_int_eq(err, ERR_NONE);
		if (i > 0)
			ck_assert_msg((result == MERGE_UNCHANGED) == rows_equal(&before, &stored),
				      "the result says %s",
				      result == MERGE_UNCHANGED ? "unchanged" : "applied");
	}
	*ret_row = stored;
}

static void check_history(uint64_t seed)
{
	CLEANUP(arena_release) struct arena a;
	struct test_op ops[OPS_MAX];
	struct row first = { 0 };

	arena_init(&a, 16u << 20);
	random_state = seed;
	uint32_t count = 1 + (uint32_t)random_below(OPS_MAX);
	for (uint32_t i = 0; i < count; i++)
		random_op(&ops[i], i ? &ops[random_below(i)] : NULL);
	struct model m = model_of(ops, count);
	for (int s = 0; s < SHUFFLES; s++) {
		struct row row;
		merge_shuffled(ops, count, &a, &row);
		ck_assert_msg(row_is(&row, &m), "seed %llu: the row is not the model's",
			      (unsigned long long)seed);
		ck_assert_msg(s == 0 || rows_equal(&row, &first), "seed %llu: two orders, two rows",
			      (unsigned long long)seed);
		first = row;
	}
}

START_TEST(all_orders_give_the_row_of_the_sequential_model)
{
	make_values();
	for (uint64_t seed = 1; seed <= HISTORIES; seed++)
		check_history(seed * 1000003);
}
END_TEST

/* --- single rules --- */

static struct arena arena;

static void set_up(void)
{
	make_values();
	arena_init(&arena, 16u << 20);
}

static void tear_down(void)
{
	arena_release(&arena);
}

static struct test_op *new_op(enum op_kind kind, uint64_t epoch, uint64_t hlc, uint8_t region)
{
	struct test_op *t = arena_alloc(&arena, sizeof(*t));

	ck_assert_ptr_nonnull(t);
	t->op = (struct op){ .kind = kind,
			     .epoch = epoch,
			     .hlc = hlc,
			     .region = region,
			     .ids = &t->id,
			     .id_count = 1 };
	return t;
}

/* Key a with that value; vector "" when one is asked for. */
static struct test_op *new_upsert(uint64_t hlc, uint8_t region, unsigned value, bool vector)
{
	struct test_op *t = new_op(OP_UPSERT, 1, hlc, region);

	t->point.payload = payloads[value];
	t->vectors[0] = (struct op_vector){
		.name = vector_names[0],
		.vector = { .kind = VECTOR_DENSE, .count = 2, .values = vector_values[1] },
		.slot = SLOT_NONE
	};
	t->point.vectors = t->vectors;
	t->point.vector_count = vector;
	t->op.points = &t->point;
	t->op.point_count = 1;
	return t;
}

static struct test_op *new_set(uint64_t hlc, uint8_t region, unsigned payload)
{
	struct test_op *t = new_op(OP_SET_PAYLOAD, 1, hlc, region);

	t->op.payload = payloads[payload];
	return t;
}

static struct row merged(const struct row *stored, const struct test_op *t, enum merge_result *ret)
{
	struct row row;
	enum merge_result result;

	ck_assert_int_eq(merge_apply(stored, &t->op, 0, &arena, &row, ret ? ret : &result, NULL),
			 ERR_NONE);
	return row;
}

START_TEST(versions_are_ordered_by_epoch_then_clock_then_region)
{
	static const struct stamp ascending[] = {
		{ 0 },         { 1, 1, 0 }, { 1, 1, 1 },         { 1, 2, 0 },
		{ 1, 900, 9 }, { 2, 1, 0 }, { UINT64_MAX, 0, 0 }
	};
	for (size_t i = 0; i < LEN(ascending); i++)
		for (size_t k = 0; k < LEN(ascending); k++) {
			int order = stamp_compare(ascending[i], ascending[k]);
			ck_assert_msg((order > 0) == (i > k) && (order < 0) == (i < k), "%zu, %zu",
				      i, k);
		}
}
END_TEST

START_TEST(partial_update_without_a_point_stays_unseen)
{
	struct row latent = merged(NULL, new_set(5, 1, 1), NULL);
	ck_assert(!latent.visible);
	ck_assert_uint_eq(latent.field_count, 1);
	ck_assert(stamp_is_zero(latent.created));

	struct row seen = merged(&latent, new_upsert(4, 1, 2, true), NULL);
	ck_assert(seen.visible);
	ck_assert_int_eq(value_int(seen.fields[0].value), 1);
}
END_TEST

START_TEST(delete_wins_over_an_upsert_of_the_same_version)
{
	struct row row = merged(NULL, new_upsert(5, 1, 1, true), NULL);
	row = merged(&row, new_op(OP_DELETE, 1, 5, 1), NULL);
	ck_assert(!row.visible);
	ck_assert_uint_eq(row.field_count, 0);
	ck_assert_uint_eq(row.vector_count, 0);
	ck_assert_uint_eq(row.deleted.hlc, 5);
}
END_TEST

START_TEST(later_delete_stays_of_two)
{
	struct row row = merged(NULL, new_op(OP_DELETE, 1, 9, 1), NULL);
	enum merge_result result;
	row = merged(&row, new_op(OP_DELETE, 1, 5, 1), &result);
	ck_assert_uint_eq(row.deleted.hlc, 9);
	ck_assert_int_eq(result, MERGE_UNCHANGED);
	row = merged(&row, new_op(OP_DELETE, 1, 12, 2), &result);
	ck_assert_uint_eq(row.deleted.hlc, 12);
	ck_assert_int_eq(result, MERGE_APPLIED);
}
END_TEST

START_TEST(known_op_changes_nothing)
{
	struct test_op *upsert = new_upsert(5, 1, 1, true);
	struct row row = merged(NULL, upsert, NULL);
	enum merge_result result;
	row.vectors[0].slot = 77;
	row.op_number = 3;
	row = merged(&row, upsert, &result);
	ck_assert_int_eq(result, MERGE_UNCHANGED);
	ck_assert_uint_eq(row.vectors[0].slot, 77);
	ck_assert_uint_eq(row.op_number, 3);
}
END_TEST

START_TEST(vector_that_stays_keeps_its_slot_and_a_new_one_has_none)
{
	struct row row = merged(NULL, new_upsert(5, 1, 1, true), NULL);
	ck_assert_uint_eq(row.vectors[0].slot, SLOT_NONE);
	row.vectors[0].slot = 77;
	row = merged(&row, new_set(6, 1, 2), NULL);
	ck_assert_uint_eq(row.vectors[0].slot, 77);
	row = merged(&row, new_upsert(7, 1, 1, true), NULL);
	ck_assert_uint_eq(row.vectors[0].slot, SLOT_NONE);
}
END_TEST

START_TEST(null_removes_a_key_when_set_and_is_a_value_when_upserted)
{
	struct row row = merged(NULL, new_upsert(5, 1, NULL_VALUE, false), NULL);
	ck_assert_uint_eq(row.field_count, 1);
	ck_assert(row.fields[0].present);
	row = merged(&row, new_set(6, 1, NULL_VALUE), NULL);
	ck_assert_uint_eq(row.field_count, 1);
	ck_assert(!row.fields[0].present);
	ck_assert_uint_eq(row.fields[0].stamp.hlc, 6);
	row = merged(&row, new_upsert(7, 1, 0, false), NULL);
	ck_assert_uint_eq(row.field_count, 0);
}
END_TEST

START_TEST(losses_to_another_region_are_told_with_their_reason)
{
	struct merge_loss items[8];
	static const struct {
		const char *name;
		uint64_t hlc;
		uint8_t region;
		unsigned payload;
		bool deleted;
		const char *reason; /* NULL: no loss */
	} cases[] = {
		{ "older than the other's", 3, 2, 2, false, "lww" },
		{ "newer", 9, 2, 2, false, NULL },
		{ "its own older one", 3, 1, 2, false, NULL },
		{ "deleted meanwhile", 3, 2, 2, true, "delete" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct row row = merged(NULL, new_upsert(5, 1, 1, false), NULL);
		struct merge_losses losses = { .items = items, .cap = LEN(items) };
		enum merge_result result;
		if (cases[i].deleted)
			row = merged(&row, new_op(OP_DELETE, 1, 6, 1), NULL);
		struct test_op *t = new_set(cases[i].hlc, cases[i].region, cases[i].payload);
		struct row after;
		ck_assert_int_eq(merge_apply(&row, &t->op, 0, &arena, &after, &result, &losses),
				 ERR_NONE);
		ck_assert_msg(losses.count == (cases[i].reason ? 1 : 0), "%s", cases[i].name);
		if (losses.count == 0)
			continue;
		ck_assert_str_eq(items[0].reason, cases[i].reason);
		ck_assert_msg(items[0].field.len == 9 &&
				      memcmp(items[0].field.data, "payload:a", 9) == 0,
			      "%s", cases[i].name);
		ck_assert_int_eq(value_int(items[0].loser_value), 2);
		ck_assert_uint_eq(items[0].loser.region, 2);
		ck_assert_uint_eq(items[0].winner.region, 1);
	}
}
END_TEST

START_TEST(losses_beyond_the_room_for_them_are_left_out)
{
	struct merge_loss items[1];
	struct merge_losses losses = { .items = items, .cap = 1 };
	enum merge_result result;
	struct row after;
	struct row row = merged(NULL, new_upsert(5, 1, 1 | 1 << 2, true), NULL);
	struct test_op *t = new_upsert(3, 2, 2 | 2 << 2, true);

	ck_assert_int_eq(merge_apply(&row, &t->op, 0, &arena, &after, &result, &losses), ERR_NONE);
	ck_assert_uint_eq(losses.count, 1);
	ck_assert_int_eq(result, MERGE_UNCHANGED);
}
END_TEST

START_TEST(full_arena_is_an_error)
{
	CLEANUP(arena_release) struct arena small;
	struct test_op *t = new_upsert(5, 1, 1, true);
	enum merge_result result;
	struct row row;

	arena_init(&small, 64);
	ck_assert_int_eq(merge_apply(NULL, &t->op, 0, &small, &row, &result, NULL), ERR_NO_MEMORY);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("merge");
	TCase *rules = tcase_create("rules");
	tcase_add_checked_fixture(rules, set_up, tear_down);
	tcase_add_test(rules, versions_are_ordered_by_epoch_then_clock_then_region);
	tcase_add_test(rules, partial_update_without_a_point_stays_unseen);
	tcase_add_test(rules, delete_wins_over_an_upsert_of_the_same_version);
	tcase_add_test(rules, later_delete_stays_of_two);
	tcase_add_test(rules, known_op_changes_nothing);
	tcase_add_test(rules, vector_that_stays_keeps_its_slot_and_a_new_one_has_none);
	tcase_add_test(rules, null_removes_a_key_when_set_and_is_a_value_when_upserted);
	tcase_add_test(rules, losses_to_another_region_are_told_with_their_reason);
	tcase_add_test(rules, losses_beyond_the_room_for_them_are_left_out);
	tcase_add_test(rules, full_arena_is_an_error);
	suite_add_tcase(s, rules);

	TCase *property = tcase_create("property");
	tcase_set_timeout(property, 120);
	tcase_add_test(property, all_orders_give_the_row_of_the_sequential_model);
	suite_add_tcase(s, property);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
