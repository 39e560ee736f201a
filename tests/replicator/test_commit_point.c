/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions on points and changes inside payloads: judged once, in commit order, and carried by ops that say what came of it.
 */
#include "tests/replicator/region.h"

#include <stdio.h>

static struct region r;

static void set_up(void)
{
	region_init(&r, 1);
	region_open(&r);
	region_begin(&r);
	write_well(&r, create_of(&r, "c", DISTANCE_DOT));
	write_well(&r, upsert_of(&r, "c", 1, 3));
}

static void tear_down(void)
{
	region_release(&r);
}

static struct value value_of(const char *json)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000000);
	struct json_reader j = json_reader_of((struct str){ json, strlen(json) }, &r.arena);

	ck_assert_msg(!value_from_json(&j, &r.arena, &b), "%s", json);
	uint8_t *copy = region_alloc(&r, b.len);
	memcpy(copy, b.data, b.len);
	return (struct value){ .data = copy, .len = (uint32_t)b.len };
}

static const char *payload_text(struct region *of, uint64_t id)
{
	struct record record = find_point(of, "c", id);
	struct buf b = BUF_INIT(1000000);
	struct json_writer w = json_writer_to(&b);

	if (!record.found)
		return "none";
	value_to_json(record.payload, &w);
	struct str text = arena_str(&r.arena, buf_str(&b));
	buf_release(&b);
	return text.data;
}

/* n is at least this. */
static const struct filter *n_from(double n)
{
	struct filter *f = region_alloc(&r, sizeof(*f));
	struct condition *c = region_alloc(&r, sizeof(*c));

	c->kind = CONDITION_RANGE;
	ck_assert_int_eq(path_parse(STR("n"), &c->key, NULL), ERR_NONE);
	c->range = (struct range){ .has_gte = true, .gte = n };
	f->must = (struct condition_list){ c, 1 };
	return f;
}

static struct intent inside(enum op_kind kind, const char *key, const char *payload, uint64_t id)
{
	struct intent in = ids_intent(&r, kind, "c", &id, 1);
	struct path *p = region_alloc(&r, sizeof(*p));

	ck_assert_int_eq(path_parse((struct str){ key, strlen(key) }, p, NULL), ERR_NONE);
	in.paths = p;
	in.path_count = 1;
	if (payload)
		in.body.payload = value_of(payload);
	return in;
}

static uint64_t seq(void)
{
	return region_state(&r).position.seq;
}

START_TEST(a_condition_that_depends_on_the_region_is_refused_where_every_region_writes)
{
	struct intent create = create_of(&r, "m", DISTANCE_DOT);
	struct intent condition = upsert_of(&r, "m", 1, 1), mode = upsert_of(&r, "m", 1, 1);
	struct intent in = inside(OP_SET_PAYLOAD, "a.b", "{\"x\":1}", 1);

	create.body.config.multi_writer = true;
	write_well(&r, create);
	condition.condition = n_from(0);
	mode.mode = INTENT_INSERT_ONLY;
	in.collection = STR("m");
	const struct intent cases[] = { condition, mode, in };
	for (size_t i = 0; i < LEN(cases); i++) {
		struct region_write *t = try_write(&r, cases[i]);
		ck_assert_int_eq(t->w.err, ERR_BAD_INPUT);
		ck_assert_msg(strstr(t->w.fault.text, "isthmus-conditional: local"), "%s", t->w.fault.text);
	}
	mode.local_conditions = true;
	write_well(&r, mode);
	ck_assert_uint_eq(count_points(&r, "m"), 1);
}
END_TEST

START_TEST(what_cannot_be_set_inside_a_payload_is_refused_and_changes_nothing)
{
	uint64_t before = seq();
	const struct {
		struct intent in;
		enum err err;
		const char *words;
	} cases[] = {
		{ inside(OP_SET_PAYLOAD, "a", "{\"x\":1}", 42), ERR_NOT_FOUND, "No point with id 42 found" },
		{ inside(OP_DELETE_PAYLOAD, "a.b", NULL, 42), ERR_NOT_FOUND, "No point with id 42 found" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct region_write *t = try_write(&r, cases[i].in);
		ck_assert_int_eq(t->w.err, cases[i].err);
		ck_assert_msg(strstr(t->w.fault.text, cases[i].words), "%s", t->w.fault.text);
	}
	ck_assert_uint_eq(seq(), before);
}
END_TEST

START_TEST(a_point_does_not_grow_beyond_its_bound_inside_its_payload)
{
	size_t bytes = 300000;
	char *json = region_alloc(&r, bytes + 100);
	int at = snprintf(json, 100, "{\"x\":\"");

	memset(json + at, 'x', bytes);
	memcpy(json + at + bytes, "\"}", 3);
	write_well(&r, inside(OP_SET_PAYLOAD, "a", json, 1));
	write_well(&r, inside(OP_SET_PAYLOAD, "b", json, 1));
	uint64_t before = seq();
	struct region_write *t = try_write(&r, inside(OP_SET_PAYLOAD, "b.c", json, 1));
	ck_assert_int_eq(t->w.err, ERR_TOO_LARGE);
	ck_assert_msg(strstr(t->w.fault.text, "Point 1 would take"), "%s", t->w.fault.text);
	ck_assert_uint_eq(seq(), before);
}
END_TEST

START_TEST(points_that_are_there_are_written_only_if_the_condition_matches)
{
	/* 1 and 2 do not match; 3 does; 4 is new. */
	static const struct {
		int mode;
		const char *after[4];
	} cases[] = {
		{ INTENT_UPSERT, { "{\"n\":1,\"old\":1}", "{\"n\":2,\"old\":1}", "{\"n\":3}", "{\"n\":4}" } },
		{ INTENT_INSERT_ONLY, { "{\"n\":1,\"old\":1}", "{\"n\":2,\"old\":1}", "{\"n\":3,\"old\":1}", "{\"n\":4}" } },
		{ INTENT_UPDATE_ONLY, { "{\"n\":1,\"old\":1}", "{\"n\":2,\"old\":1}", "{\"n\":3}", "none" } },
	};
	struct intent in = upsert_of(&r, "c", 1, 4);

	for (uint64_t id = 1; id <= 3; id++)
		write_well(&r, set_payload_of(&r, "c", id, "old", 1));
	in.mode = cases[_i].mode;
	in.condition = n_from(3);
	write_well(&r, in);
	for (uint64_t id = 1; id <= 4; id++)
		ck_assert_str_eq(payload_text(&r, id), cases[_i].after[id - 1]);
}
END_TEST

START_TEST(without_a_condition_the_mode_alone_decides)
{
	struct intent in = upsert_of(&r, "c", 3, 2);
	uint64_t before = seq();

	write_well(&r, set_payload_of(&r, "c", 3, "old", 1));
	in.mode = INTENT_UPDATE_ONLY;
	write_well(&r, in);
	ck_assert_str_eq(payload_text(&r, 3), "{\"n\":3}");
	ck_assert_str_eq(payload_text(&r, 4), "none");
	before = seq();
	in = upsert_of(&r, "c", 70, 1);
	in.mode = INTENT_UPDATE_ONLY;
	write_well(&r, in);
	ck_assert_uint_eq(seq(), before);
}
END_TEST

START_TEST(a_condition_sees_what_came_before_it_in_the_batch)
{
	struct intent twice[2] = { upsert_of(&r, "c", 50, 1), upsert_of(&r, "c", 50, 1) };

	twice[1].mode = INTENT_INSERT_ONLY;
	twice[1].body.points[0].payload = payload_of(&r, "second", 1);
	struct region_write *t = submit(&r, twice, 2);
	(void)committer_turn(r.committer, 0);
	ck_assert_int_eq(t->w.err, ERR_NONE);
	ck_assert_str_eq(payload_text(&r, 50), "{\"n\":50}");
}
END_TEST

START_TEST(vectors_are_updated_where_the_condition_matches)
{
	struct intent in = upsert_of(&r, "c", 1, 3);

	in.kind = OP_UPDATE_VECTORS;
	for (uint32_t i = 0; i < 3; i++)
		in.body.points[i].vectors[0] = dense_of(&r, "", (const float[]){ 9, 9, 9, 9 }, 4);
	in.condition = n_from(2);
	write_well(&r, in);
	for (uint64_t id = 1; id <= 3; id++) {
		struct record record = find_point(&r, "c", id);
		ck_assert_int_eq((int)record.vectors[0].vector.values[0], id == 1 ? 1 : 9);
	}
	/* One that is not there is no matter of the condition. */
	struct intent missing = upsert_of(&r, "c", 40, 1);
	missing.kind = OP_UPDATE_VECTORS;
	missing.condition = n_from(0);
	ck_assert_int_eq(try_write(&r, missing)->w.err, ERR_NOT_FOUND);
}
END_TEST

START_TEST(payloads_change_inside_each_by_what_it_holds)
{
	static const uint64_t ids[] = { 1, 2, 1 };
	struct intent in = ids_intent(&r, OP_SET_PAYLOAD, "c", ids, 3);
	struct path paths[2];

	write_well(&r, inside(OP_SET_PAYLOAD, "o", "{\"a\":1,\"b\":2}", 1));
	uint64_t before = seq();
	ck_assert_int_eq(path_parse(STR("o.c"), &paths[0], NULL), ERR_NONE);
	in.body.payload = value_of("{\"d\":1}");
	in.paths = paths;
	in.path_count = 1;
	write_well(&r, in);
	ck_assert_str_eq(payload_text(&r, 1), "{\"n\":1,\"o\":{\"a\":1,\"b\":2,\"c\":{\"d\":1}}}");
	ck_assert_str_eq(payload_text(&r, 2), "{\"n\":2,\"o\":{\"c\":{\"d\":1}}}");
	/* Of the point that is named twice a second op. */
	ck_assert_uint_eq(seq(), before + 2);

	struct intent gone = ids_intent(&r, OP_DELETE_PAYLOAD, "c", ids, 2);
	ck_assert_int_eq(path_parse(STR("o.b"), &paths[0], NULL), ERR_NONE);
	ck_assert_int_eq(path_parse(STR("n"), &paths[1], NULL), ERR_NONE);
	gone.paths = paths;
	gone.path_count = 2;
	write_well(&r, gone);
	ck_assert_str_eq(payload_text(&r, 1), "{\"o\":{\"a\":1,\"c\":{\"d\":1}}}");
	ck_assert_str_eq(payload_text(&r, 2), "{\"o\":{\"c\":{\"d\":1}}}");
	before = seq();
	write_well(&r, gone);
	ck_assert_uint_eq(seq(), before);
}
END_TEST

START_TEST(many_points_are_changed_inside_by_a_filter)
{
	struct intent in = { .kind = OP_SET_PAYLOAD, .collection = STR("c"), .filter = n_from(2) };
	struct path p;

	write_well(&r, upsert_of(&r, "c", 10, 3000));
	ck_assert_int_eq(path_parse(STR("o"), &p, NULL), ERR_NONE);
	in.paths = &p;
	in.path_count = 1;
	in.body.payload = value_of("{\"x\":1}");
	write_well(&r, in);
	ck_assert_str_eq(payload_text(&r, 1), "{\"n\":1}");
	ck_assert_str_eq(payload_text(&r, 2), "{\"n\":2,\"o\":{\"x\":1}}");
	ck_assert_str_eq(payload_text(&r, 3009), "{\"n\":3009,\"o\":{\"x\":1}}");
}
END_TEST

START_TEST(a_region_that_applies_the_ops_holds_the_same)
{
	struct intent in = upsert_of(&r, "c", 2, 4);
	struct region other;
	struct fault f = { 0 };

	region_init(&other, 2);
	region_open(&other);
	in.mode = INTENT_INSERT_ONLY;
	write_well(&r, in);
	write_well(&r, inside(OP_SET_PAYLOAD, "a.b", "{\"x\":1}", 1));
	write_well(&r, inside(OP_DELETE_PAYLOAD, "n", NULL, 2));
	struct log_part part = read_log_after(&r, (struct position){ 0 }, 100);
	ck_assert_msg(!apply_part(&other, &part, 0, part.count, &f), "%s", f.text);
	for (uint64_t id = 1; id <= 5; id++)
		ck_assert_str_eq(payload_text(&r, id), payload_text(&other, id));
	struct collection *a = catalog_get(r.catalog, STR("c")), *b = catalog_get(other.catalog, STR("c"));
	for (uint32_t k = 0; k < 2; k++) {
		struct hash128 x = merkle_root(collection_merkle(a, k)), y = merkle_root(collection_merkle(b, k));
		ck_assert_mem_eq(&x, &y, sizeof(x));
	}
	collection_unref(a);
	collection_unref(b);
	region_release(&other);
}
END_TEST

/* "" multi of 2, "b" of bytes */
static struct intent create_typed(void)
{
	struct intent in = create_of(&r, "t", DISTANCE_COSINE);
	struct vector_config *v = in.body.config.vectors;

	v[0].dim = 2;
	v[0].multi = true;
	v[1] = (struct vector_config){ .name = STR("b"), .dim = 2, .distance = DISTANCE_DOT, .datatype = DATATYPE_UINT8 };
	return in;
}

static struct intent upsert_typed(uint64_t id, const float *values, uint32_t rows)
{
	struct intent in = upsert_of(&r, "t", id, 1);
	struct op_vector *v = region_alloc(&r, 2 * sizeof(*v));

	v[0] = dense_of(&r, "", values, 2 * rows);
	v[0].vector.kind = rows > 1 ? VECTOR_MULTI : VECTOR_DENSE;
	v[0].vector.rows = rows;
	v[1] = dense_of(&r, "b", (const float[]){ 7.9F, -1.0F }, 2);
	in.body.points[0].vectors = v;
	in.body.points[0].vector_count = 2;
	return in;
}

static void check_typed(struct region *of)
{
	struct record one = find_point(of, "t", 1);
	struct collection *c = catalog_get(of->catalog, STR("t"));
	/* As directions: (0.6, 0.8), (1, 0). */
	const float query[] = { 6, 8, 3, 0 };
	struct search_query q = { .vector_name = STR(""), .limit = 5,
				  .vector = { .kind = VECTOR_MULTI, .count = 4, .rows = 2, .values = query } };
	struct scored found[5];
	uint32_t count = 0;

	ck_assert_int_eq(collection_search(c, NULL, &q, found, &count, NULL), ERR_NONE);
	collection_unref(c);
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(found[0].id.lo, 1);
	ck_assert((int)(found[0].score * 1000 + 0.5F) == 2000 && (int)(found[1].score * 1000 + 0.5F) == 800);
	ck_assert_uint_eq(one.vector_count, 2);
	ck_assert_int_eq(one.vectors[0].vector.kind, VECTOR_MULTI);
	ck_assert_uint_eq(one.vectors[0].vector.rows, 2);
	ck_assert((int)(one.vectors[0].vector.values[0] * 10 + 0.5F) == 6);
	ck_assert((int)one.vectors[1].vector.values[0] == 7 && (int)one.vectors[1].vector.values[1] == 0);
}

START_TEST(multivectors_and_bytes_are_the_same_in_another_region_and_after_a_restart)
{
	struct region other;
	struct fault f = { 0 };

	write_well(&r, create_typed());
	write_well(&r, upsert_typed(1, (const float[]){ 3, 4, 5, 0 }, 2));
	write_well(&r, upsert_typed(2, (const float[]){ 0, 1 }, 1));
	check_typed(&r);
	region_init(&other, 2);
	region_open(&other);
	struct log_part part = read_log_after(&r, (struct position){ 0 }, 100);
	ck_assert_msg(!apply_part(&other, &part, 0, part.count, &f), "%s", f.text);
	check_typed(&other);
	region_shut(&other);
	region_open(&other);
	check_typed(&other);
	region_release(&other);
	struct intent wrong = upsert_typed(3, (const float[]){ 1, 2, 3, 4 }, 2);
	wrong.collection = STR("c");
	ck_assert_int_eq(try_write(&r, wrong)->w.err, ERR_BAD_INPUT);
}
END_TEST

static struct position nothing_confirmed(void *ctx)
{
	(void)ctx;
	return (struct position){ 0 };
}

START_TEST(a_change_inside_a_payload_is_taken_back)
{
	struct fault f = { 0 };

	region_shut(&r);
	r.options.undo = true;
	r.options.trim_floor = nothing_confirmed;
	region_open(&r);
	region_begin(&r);
	struct rewind w = { .to = region_state(&r).position };
	write_well(&r, inside(OP_SET_PAYLOAD, "n.b", "{\"x\":1}", 1));
	write_well(&r, inside(OP_DELETE_PAYLOAD, "n", NULL, 2));
	ck_assert_msg(!committer_rewind(r.committer, &w, &f), "%s", f.text);
	ck_assert_uint_eq(w.ops, 2);
	ck_assert_str_eq(payload_text(&r, 1), "{\"n\":1}");
	ck_assert_str_eq(payload_text(&r, 2), "{\"n\":2}");
}
END_TEST

START_TEST(a_replaced_multivector_comes_back)
{
	struct fault f = { 0 };

	region_shut(&r);
	r.options.undo = true;
	r.options.trim_floor = nothing_confirmed;
	region_open(&r);
	region_begin(&r);
	write_well(&r, create_typed());
	write_well(&r, upsert_typed(1, (const float[]){ 3, 4, 5, 0 }, 2));
	write_well(&r, upsert_typed(2, (const float[]){ 0, 1 }, 1));
	struct rewind w = { .to = region_state(&r).position };
	write_well(&r, upsert_typed(1, (const float[]){ 9, 9 }, 1));
	write_well(&r, ids_intent(&r, OP_DELETE, "t", (const uint64_t[]){ 2 }, 1));
	ck_assert_msg(!committer_rewind(r.committer, &w, &f), "%s", f.text);
	check_typed(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("commit_point");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_condition_that_depends_on_the_region_is_refused_where_every_region_writes);
	tcase_add_test(t, what_cannot_be_set_inside_a_payload_is_refused_and_changes_nothing);
	tcase_add_test(t, a_point_does_not_grow_beyond_its_bound_inside_its_payload);
	tcase_add_loop_test(t, points_that_are_there_are_written_only_if_the_condition_matches, 0, 3);
	tcase_add_test(t, without_a_condition_the_mode_alone_decides);
	tcase_add_test(t, a_condition_sees_what_came_before_it_in_the_batch);
	tcase_add_test(t, vectors_are_updated_where_the_condition_matches);
	tcase_add_test(t, payloads_change_inside_each_by_what_it_holds);
	tcase_add_test(t, many_points_are_changed_inside_by_a_filter);
	tcase_add_test(t, a_region_that_applies_the_ops_holds_the_same);
	tcase_add_test(t, a_change_inside_a_payload_is_taken_back);
	tcase_add_test(t, multivectors_and_bytes_are_the_same_in_another_region_and_after_a_restart);
	tcase_add_test(t, a_replaced_multivector_comes_back);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
