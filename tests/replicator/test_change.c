/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops in bytes: the documented forms, and that no other bytes are taken.
 */
#include "replicator/change.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define KINDS_MAX 32

static struct arena arena;
static const float dense_values[] = { 1.0F, -2.5F };
static const float sparse_values[] = { 0.5F };
static const uint32_t sparse_indices[] = { 9 };
static uint8_t client_config[] = "{}";

static void set_up(void)
{
	arena_init(&arena, 16u << 20);
}

static void tear_down(void)
{
	arena_release(&arena);
}

static struct value object_of(const char *key, int64_t number)
{
	struct buf *b = arena_alloc(&arena, sizeof(*b));
	CLEANUP(buf_release) struct buf item = BUF_INIT(100);

	ck_assert_ptr_nonnull(b);
	buf_init(b, 1000);
	value_put_int(&item, number);
	struct value_member m = { .key = { .data = key, .len = strlen(key) },
				  .value = value_of_buf(&item) };
	ck_assert_int_eq(value_put_object(b, &m, 1), ERR_NONE);
	uint8_t *copy = arena_alloc(&arena, b->len);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, b->data, b->len);
	struct value v = { .data = copy, .len = (uint32_t)b->len };
	buf_release(b);
	return v;
}

static struct op head(enum op_kind kind)
{
	return (struct op){ .kind = kind,
			    .epoch = 0x0103,
			    .seq = 7,
			    .hlc = 0x1122334455667788,
			    .region = 3,
			    .incarnation = { .hlc = 0x99, .region = 2 },
			    .needs = { 0x0101, 300 } };
}

static struct op_point *points_of(void)
{
	struct op_point *p = arena_array(&arena, 2, sizeof(*p));
	struct op_vector *v = arena_array(&arena, 2, sizeof(*v));

	ck_assert(p && v);
	v[0] = (struct op_vector){
		.name = STR(""),
		.vector = { .kind = VECTOR_DENSE, .count = 2, .values = dense_values },
		.slot = SLOT_NONE
	};
	v[1] = (struct op_vector){ .name = STR("s"),
				   .vector = { .kind = VECTOR_SPARSE,
					       .count = 1,
					       .values = sparse_values,
					       .indices = sparse_indices },
				   .slot = SLOT_NONE };
	p[0] = (struct op_point){ .id = { .lo = 42 }, .vectors = v, .vector_count = 2 };
	p[1] = (struct op_point){ .id = { .hi = 1, .lo = 2, .kind = POINT_ID_UUID },
				  .payload = object_of("k", 5) };
	return p;
}

static struct collection_config config_of(void)
{
	struct vector_config *v = arena_array(&arena, 2, sizeof(*v));

	ck_assert_ptr_nonnull(v);
	v[0] = (struct vector_config){
		.name = STR(""),
		.dim = 2,
		.distance = DISTANCE_COSINE,
		.hnsw = { .m = 16, .ef_construct = 100, .full_scan_threshold_kb = 10000 }
	};
	v[1] = (struct vector_config){ .name = STR("s"), .sparse = true };
	return (struct collection_config){ .vectors = v,
					   .vector_count = 2,
					   .shard_number = 3,
					   .indexing_threshold_kb = 10000,
					   .multi_writer = true,
					   .client_config = { .data = client_config, .len = 2 } };
}

static void make_about_orphan(struct op *op)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct op inner = head(OP_UPSERT);

	inner.epoch = 0x0101;
	inner.points = points_of();
	inner.point_count = 2;
	ck_assert_int_eq(op_encode(&inner, OP_FORM_WIRE, &b), ERR_NONE);
	uint8_t *copy = arena_alloc(&arena, b.len);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, b.data, b.len);
	op->orphan = (struct bytes){ .data = copy, .len = b.len };
	op->orphan_at = (struct position){ 0x0101, 7 };
	op->orphan_hash = 0xabcdef;
}

/* One op of each kind that has a form. */
static uint32_t every_kind(struct op ops[KINDS_MAX])
{
	static struct epoch_end chain[] = { { 0x101, 900 }, { 0x102, 1 } };
	static struct point_id ids[] = { { .lo = 1 }, { .hi = 5, .lo = 6, .kind = POINT_ID_UUID } };
	static struct str keys[] = { STR("a"), STR("long key") };
	static struct alias aliases[] = { { .name = STR("gone") },
					  { .name = STR("put"), .target = { .hlc = 77, .region = 3 } } };
	static const enum op_kind kinds[] = {
		OP_EPOCH_START,       OP_RELEASE,           OP_MARK,           OP_CREATE_COLLECTION,
		OP_UPDATE_COLLECTION, OP_DROP_COLLECTION,   OP_ALIASES,
		OP_FIELD_INDEX_PUT,   OP_FIELD_INDEX_DROP,  OP_UPSERT,         OP_DELETE,
		OP_SET_PAYLOAD,       OP_OVERWRITE_PAYLOAD, OP_DELETE_PAYLOAD, OP_CLEAR_PAYLOAD,
		OP_UPDATE_VECTORS,    OP_DELETE_VECTORS,    OP_ORPHAN,         OP_ORPHAN_APPLY,
		OP_ORPHAN_DROP,       OP_SET_FIELDS
	};
	for (size_t i = 0; i < LEN(kinds); i++) {
		struct op *op = &ops[i];
		*op = head(kinds[i]);
		op->points = points_of();
		op->point_count = 2;
		if (kinds[i] == OP_UPDATE_VECTORS)
			op->points[1].payload = (struct value){ 0 };
		if (kinds[i] == OP_SET_FIELDS)
			op->points[0].vector_count = op->points[1].vector_count = 0;
		if (kinds[i] != OP_UPSERT && kinds[i] != OP_UPDATE_VECTORS && kinds[i] != OP_SET_FIELDS) {
			op->points = NULL;
			op->point_count = 0;
		}
		op->ids = ids;
		op->id_count = LEN(ids);
		op->keys = keys;
		op->key_count = LEN(keys);
		op->payload = object_of("p", -1);
		op->name = STR("name");
		op->config = config_of();
		op->field_index =
			(struct field_index_config){ .key = STR("a.b"),
						     .schema = FIELD_GEO,
						     .client_params = { .data = client_config,
									.len = 2 } };
		op->aliases = (struct alias_list){ .items = aliases, .count = LEN(aliases) };
		op->chain = chain;
		op->chain_count = LEN(chain);
		op->target = 5;
		op->mark = 12;
		make_about_orphan(op);
	}
	return LEN(kinds);
}

static struct bytes encoded(const struct op *op, enum op_form form)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(2 * OP_BYTES_MAX);

	ck_assert_int_eq(op_encode(op, form, &b), ERR_NONE);
	/* Of the exact size, so that a sanitizer sees a byte read too many. */
	uint8_t *copy = malloc(b.len);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, b.data, b.len);
	return (struct bytes){ .data = copy, .len = b.len };
}

static void encoded_free(struct bytes b)
{
	free((void *)(uintptr_t)b.data);
}

static enum err decode(struct bytes b, enum op_form form, struct op *ret_op)
{
	struct fault f = { 0 };
	enum err err = op_decode(b, form, &arena, ret_op, &f);
	ck_assert_int_eq(err != ERR_NONE, f.text[0] != '\0');
	return err;
}

START_TEST(unknown_versions_and_kinds_are_told_apart_from_damage)
{
	static const struct {
		const char *name;
		uint8_t version, kind;
		enum err err;
	} cases[] = {
		{ "version 0", 0, OP_DELETE, ERR_VERSION },
		{ "version 2", 2, OP_DELETE, ERR_VERSION },
		{ "kind 0", 1, 0, ERR_VERSION },
		{ "kind 200", 1, 200, ERR_VERSION },
		{ "gc has no form yet", 1, OP_GC, ERR_VERSION },
	};
	struct op op = head(OP_DELETE);
	struct op back;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bytes b = encoded(&op, OP_FORM_WIRE);
		uint8_t *bytes = (uint8_t *)(uintptr_t)b.data;
		bytes[0] = cases[i].version;
		bytes[1] = cases[i].kind;
		ck_assert_msg(decode(b, OP_FORM_WIRE, &back) == cases[i].err, "%s", cases[i].name);
		encoded_free(b);
	}
	struct op gc = head(OP_GC);
	CLEANUP(buf_release) struct buf out = BUF_INIT(1000);
	ck_assert_int_eq(op_encode(&gc, OP_FORM_WIRE, &out), ERR_NOT_IMPLEMENTED);
}
END_TEST

START_TEST(op_that_is_cut_off_or_goes_on_is_refused)
{
	struct op ops[KINDS_MAX];
	uint32_t count = every_kind(ops);

	for (uint32_t i = 0; i < count; i++) {
		struct bytes b = encoded(&ops[i], OP_FORM_WIRE);
		struct op back;
		for (size_t len = 0; len < b.len; len++) {
			uint8_t *part = malloc(len + 1);
			ck_assert_ptr_nonnull(part);
			memcpy(part, b.data, len);
			part[len] = 0;
			enum err err = decode((struct bytes){ .data = part, .len = len },
					      OP_FORM_WIRE, &back);
			ck_assert_msg(err == ERR_CORRUPT, "%s, %zu bytes",
				      op_kind_name(ops[i].kind), len);
			free(part);
		}
		uint8_t *longer = calloc(1, b.len + 1);
		ck_assert_ptr_nonnull(longer);
		memcpy(longer, b.data, b.len);
		enum err err = decode((struct bytes){ .data = longer, .len = b.len + 1 },
				      OP_FORM_WIRE, &back);
		ck_assert_msg(err == ERR_CORRUPT, "%s and a byte", op_kind_name(ops[i].kind));
		free(longer);
		encoded_free(b);
	}
}
END_TEST

START_TEST(any_changed_byte_is_refused_or_another_op_but_never_harm)
{
	struct op ops[KINDS_MAX];
	uint32_t count = every_kind(ops);

	for (uint32_t i = 0; i < count; i++) {
		struct bytes b = encoded(&ops[i], OP_FORM_WIRE);
		uint8_t *bytes = (uint8_t *)(uintptr_t)b.data;
		for (size_t at = 0; at < b.len; at++) {
			for (unsigned bit = 0; bit < 8; bit++) {
				CLEANUP(arena_release) struct arena a;
				CLEANUP(buf_release) struct buf out = BUF_INIT(2 * OP_BYTES_MAX);
				struct op back;
				arena_init(&a, 64u << 20);
				bytes[at] ^= (uint8_t)(1u << bit);
				enum err err = op_decode(b, OP_FORM_WIRE, &a, &back, NULL);
				if (err) {
					ck_assert_msg(err == ERR_CORRUPT || err == ERR_VERSION,
						      "%s", err_name(err));
				} else {
					/* What is taken is exactly what was read. */
					ck_assert_int_eq(op_encode(&back, OP_FORM_WIRE, &out),
							 ERR_NONE);
					ck_assert_uint_eq(out.len, b.len);
					ck_assert_int_eq(memcmp(out.data, b.data, b.len), 0);
				}
				bytes[at] ^= (uint8_t)(1u << bit);
			}
		}
		encoded_free(b);
	}
}
END_TEST

START_TEST(wild_counts_do_not_allocate)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct op op = head(OP_DELETE);
	struct op back;

	ck_assert_int_eq(op_encode(&op, OP_FORM_WIRE, &b), ERR_NONE);
	b.len--;
	wire_put_varint(&b, 700000);
	size_t used = arena.used;
	ck_assert_int_eq(decode(buf_bytes(&b), OP_FORM_WIRE, &back), ERR_CORRUPT);
	ck_assert_uint_le(arena.used - used, 64);
}
END_TEST

START_TEST(delete_has_the_documented_bytes)
{
	static const uint8_t expected[] = {
		1,    33,   0,    0, /* version, kind, scope */
		0x03, 0x01, 0,    0,    0,    0,    0,    0,    7, 0,
		0,    0,    0,    0,    0,    0,                      /* epoch, seq */
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 3,    /* HLC, region */
		0x99, 0,    0,    0,    0,    0,    0,    0,    2,    /* incarnation */
		0x81, 0x02, 0xac, 0x02,                               /* needs (0x101, 300) */
		1,    0,    0,    0,    0,    0,    0,    0,    0, 42 /* one id: the number 42 */
	};
	struct point_id id = { .lo = 42 };
	struct op op = head(OP_DELETE);
	op.ids = &id;
	op.id_count = 1;
	struct bytes b = encoded(&op, OP_FORM_WIRE);
	ck_assert_uint_eq(b.len, sizeof(expected));
	ck_assert_int_eq(memcmp(b.data, expected, sizeof(expected)), 0);
	encoded_free(b);
}
END_TEST

START_TEST(every_kind_comes_back_in_both_forms)
{
	static const enum op_form forms[] = { OP_FORM_WIRE, OP_FORM_LOG };
	struct op ops[KINDS_MAX];
	uint32_t count = every_kind(ops);

	for (uint32_t i = 0; i < count; i++) {
		for (size_t f = 0; f < LEN(forms); f++) {
			struct bytes b = encoded(&ops[i], forms[f]);
			struct op back;
			ck_assert_msg(!decode(b, forms[f], &back), "%s", op_kind_name(ops[i].kind));
			struct bytes again = encoded(&back, forms[f]);
			ck_assert_uint_eq(b.len, again.len);
			ck_assert_int_eq(memcmp(b.data, again.data, b.len), 0);
			encoded_free(again);
			encoded_free(b);
		}
	}
}
END_TEST

START_TEST(contents_come_back)
{
	struct op ops[KINDS_MAX];
	uint32_t count = every_kind(ops);
	unsigned seen = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct bytes b = encoded(&ops[i], OP_FORM_WIRE);
		struct op op;
		ck_assert_int_eq(decode(b, OP_FORM_WIRE, &op), ERR_NONE);
		ck_assert_int_eq(op.kind, ops[i].kind);
		ck_assert_uint_eq(op.epoch, 0x103);
		ck_assert_uint_eq(op.seq, 7);
		ck_assert_uint_eq(op.region, 3);
		if (op.kind == OP_UPSERT) {
			ck_assert_uint_eq(op.point_count, 2);
			ck_assert(vector_equal(&op.points[0].vectors[0].vector,
					       &ops[i].points[0].vectors[0].vector));
			ck_assert(vector_equal(&op.points[0].vectors[1].vector,
					       &ops[i].points[0].vectors[1].vector));
			ck_assert_uint_eq(op.points[0].vectors[0].slot, SLOT_NONE);
			ck_assert_ptr_null(op.points[0].payload.data);
			ck_assert_uint_eq(op.points[1].payload.len, ops[i].points[1].payload.len);
			seen |= 1;
		} else if (op.kind == OP_CREATE_COLLECTION) {
			ck_assert_uint_eq(op.name.len, 4);
			ck_assert_uint_eq(op.config.vector_count, 2);
			ck_assert_uint_eq(op.config.vectors[0].dim, 2);
			ck_assert(op.config.vectors[1].sparse);
			ck_assert_uint_eq(op.config.shard_number, 3);
			ck_assert(op.config.multi_writer);
			ck_assert_uint_eq(op.incarnation.hlc, 0x99);
			seen |= 2;
		} else if (op.kind == OP_EPOCH_START) {
			ck_assert_uint_eq(op.chain_count, 2);
			ck_assert_uint_eq(op.chain[0].end, 900);
			seen |= 4;
		} else if (op.kind == OP_RELEASE) {
			ck_assert_uint_eq(op.target, 5);
			seen |= 8;
		} else if (op.kind == OP_ORPHAN_APPLY) {
			ck_assert_uint_eq(op.orphan_hash, 0xabcdef);
			ck_assert_uint_eq(op.orphan_at.epoch, 0x101);
			ck_assert_ptr_eq(op_subject(&op), op.inner);
			ck_assert_int_eq(op.inner->kind, OP_UPSERT);
			ck_assert_uint_eq(op.inner->point_count, 2);
			seen |= 16;
		} else if (op.kind == OP_ORPHAN_DROP) {
			ck_assert_uint_eq(op.orphan_at.epoch, 0x101);
			ck_assert_uint_eq(op.orphan_at.seq, 7);
			ck_assert_ptr_eq(op_subject(&op), &op);
			seen |= 32;
		}
		encoded_free(b);
	}
	ck_assert_uint_eq(seen, 63);
}
END_TEST

START_TEST(log_form_refers_to_slots_and_keeps_what_has_none)
{
	struct op op = head(OP_UPSERT);
	struct op back;

	op.points = points_of();
	op.point_count = 2;
	op.points[0].vectors[0].slot = 1234;
	op.points[0].vectors[0].vector.values = NULL;
	struct bytes b = encoded(&op, OP_FORM_LOG);
	ck_assert_int_eq(decode(b, OP_FORM_LOG, &back), ERR_NONE);
	const struct op_vector *v = back.points[0].vectors;
	ck_assert_uint_eq(v[0].slot, 1234);
	ck_assert_uint_eq(v[0].vector.count, 2);
	ck_assert_ptr_null(v[0].vector.values);
	ck_assert_uint_eq(v[1].slot, SLOT_NONE);
	ck_assert(vector_equal(&v[1].vector, &op.points[0].vectors[1].vector));
	encoded_free(b);
}
END_TEST

START_TEST(only_ops_of_clients_are_orphans)
{
	static const enum op_kind kinds[] = { OP_EPOCH_START, OP_MARK, OP_ORPHAN, OP_ORPHAN_APPLY, OP_ORPHAN_DROP };
	struct op ops[KINDS_MAX];
	uint32_t count = every_kind(ops);

	for (uint32_t i = 0; i < count; i++)
		for (size_t k = 0; k < LEN(kinds); k++) {
			struct op op = head(OP_ORPHAN);
			struct op back;
			if (ops[i].kind != kinds[k])
				continue;
			op.orphan = encoded(&ops[i], OP_FORM_WIRE);
			struct bytes b = encoded(&op, OP_FORM_WIRE);
			ck_assert_msg(decode(b, OP_FORM_WIRE, &back) == ERR_CORRUPT, "%s", op_kind_name(kinds[k]));
			encoded_free(op.orphan);
			encoded_free(b);
		}
}
END_TEST

START_TEST(an_orphan_of_another_scope_is_refused)
{
	struct op op = head(OP_ORPHAN);
	struct op back;

	make_about_orphan(&op);
	op.scope = 2;
	struct bytes b = encoded(&op, OP_FORM_WIRE);
	ck_assert_int_eq(decode(b, OP_FORM_WIRE, &back), ERR_CORRUPT);
	encoded_free(b);
}
END_TEST

START_TEST(running_hash_depends_on_every_op_and_their_order)
{
	struct bytes a = { .data = (const uint8_t *)"a", .len = 1 };
	struct bytes b = { .data = (const uint8_t *)"b", .len = 1 };
	uint64_t ab = op_chain_hash(op_chain_hash(0, a), b);

	ck_assert_uint_ne(ab, op_chain_hash(op_chain_hash(0, b), a));
	ck_assert_uint_ne(ab, op_chain_hash(0, b));
	ck_assert_uint_eq(ab, op_chain_hash(op_chain_hash(0, a), b));
}
END_TEST

START_TEST(names_and_positions_are_ordered)
{
	ck_assert_str_eq(op_kind_name(OP_SET_PAYLOAD), "set-payload");
	ck_assert_str_eq(op_kind_name((enum op_kind)99), "unknown");
	ck_assert_int_lt(position_compare((struct position){ 1, 9 }, (struct position){ 2, 1 }), 0);
	ck_assert_int_gt(position_compare((struct position){ 2, 2 }, (struct position){ 2, 1 }), 0);
	ck_assert_int_eq(position_compare((struct position){ 2, 2 }, (struct position){ 2, 2 }), 0);
}
END_TEST

START_TEST(configs_have_the_least_version_that_can_hold_them)
{
	static const struct {
		enum datatype type;
		uint8_t version, flags;
	} cases[] = { { 0, 1, 0 }, { DATATYPE_FLOAT16, 2, 16 }, { DATATYPE_UINT8, 2, 32 } };

	for (size_t i = 0; i < LEN(cases); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
		struct collection_config c = config_of(), back;
		c.vectors[0].datatype = cases[i].type;
		collection_config_put(&b, &c);
		/* version, 2 vectors, "" and its flags */
		const uint8_t head[] = { cases[i].version, 2, 0, cases[i].flags };
		ck_assert_mem_eq(b.data, head, sizeof(head));
		struct wire_reader r = wire_reader_of(b.data, b.len);
		ck_assert_int_eq(collection_config_get(&r, &arena, &back), ERR_NONE);
		ck_assert_int_eq(back.vectors[0].datatype, cases[i].type);
		/* With the other version it would be a second form of the same. */
		b.data[0] ^= 3;
		r = wire_reader_of(b.data, b.len);
		ck_assert_int_eq(collection_config_get(&r, &arena, &back), ERR_CORRUPT);
		b.data[0] = 3;
		r = wire_reader_of(b.data, b.len);
		ck_assert_int_eq(collection_config_get(&r, &arena, &back), ERR_VERSION);
		b.data[0] = 2;
		b.data[3] = 17;
		r = wire_reader_of(b.data, b.len);
		ck_assert_int_eq(collection_config_get(&r, &arena, &back), ERR_CORRUPT);
	}
}
END_TEST

START_TEST(unsound_configs_are_refused)
{
	struct op op = head(OP_CREATE_COLLECTION);
	struct collection_config good = config_of();
	static const char *const names[] = { "dim 0", "dim too large", "distance", "shards 0",
					     "names unsorted" };

	for (size_t i = 0; i < LEN(names); i++) {
		struct op back;
		op.name = STR("c");
		op.config = good;
		struct vector_config v[2] = { good.vectors[0], good.vectors[1] };
		op.config.vectors = v;
		if (i == 0)
			v[0].dim = 0;
		else if (i == 1)
			v[0].dim = VECTOR_DIM_MAX + 1;
		else if (i == 2)
			v[0].distance = (enum distance)9;
		else if (i == 3)
			op.config.shard_number = 0;
		else
			v[1].name = STR("");
		struct bytes b = encoded(&op, OP_FORM_WIRE);
		ck_assert_msg(decode(b, OP_FORM_WIRE, &back) == ERR_CORRUPT, "%s", names[i]);
		encoded_free(b);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("change");
	TCase *refused = tcase_create("refused");
	tcase_add_checked_fixture(refused, set_up, tear_down);
	tcase_add_test(refused, unknown_versions_and_kinds_are_told_apart_from_damage);
	tcase_add_test(refused, op_that_is_cut_off_or_goes_on_is_refused);
	tcase_add_test(refused, any_changed_byte_is_refused_or_another_op_but_never_harm);
	tcase_add_test(refused, wild_counts_do_not_allocate);
	tcase_add_test(refused, unsound_configs_are_refused);
	tcase_add_test(refused, only_ops_of_clients_are_orphans);
	tcase_add_test(refused, an_orphan_of_another_scope_is_refused);
	tcase_add_test(refused, configs_have_the_least_version_that_can_hold_them);
	suite_add_tcase(s, refused);

	TCase *ordinary = tcase_create("ordinary");
	tcase_add_checked_fixture(ordinary, set_up, tear_down);
	tcase_add_test(ordinary, delete_has_the_documented_bytes);
	tcase_add_test(ordinary, every_kind_comes_back_in_both_forms);
	tcase_add_test(ordinary, contents_come_back);
	tcase_add_test(ordinary, log_form_refers_to_slots_and_keeps_what_has_none);
	tcase_add_test(ordinary, running_hash_depends_on_every_op_and_their_order);
	tcase_add_test(ordinary, names_and_positions_are_ordered);
	suite_add_tcase(s, ordinary);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
