/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/audit_message.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static struct arena arena;
static struct buf out;

static void set_up(void)
{
	arena_init(&arena, (size_t)1 << 28);
	buf_init(&out, AUDIT_BYTES_MAX);
}

static void tear_down(void)
{
	arena_release(&arena);
	buf_release(&out);
}

/* --- a request with everything --- */

static const float values[] = { 1.5F, -2.0F };
static const uint32_t indices[] = { 3, 9 };

static struct row row_of(struct row_vector vectors[3], struct row_field *field, struct point_id id)
{
	static const uint8_t number[] = { VALUE_INT, 10 };
	struct stamp s = { .epoch = 257, .hlc = 99, .region = 1 };

	vectors[0] = (struct row_vector){ .name = STR("a"),
					  .stamp = s,
					  .present = true,
					  .slot = SLOT_NONE,
					  .vector = { .kind = VECTOR_DENSE, .count = 2, .values = values } };
	vectors[1] = (struct row_vector){ .name = STR("b"), .stamp = s };
	vectors[2] = (struct row_vector){
		.name = STR("c"),
		.stamp = s,
		.present = true,
		.slot = SLOT_NONE,
		.vector = { .kind = VECTOR_SPARSE, .count = 2, .values = values, .indices = indices }
	};
	vectors[0].hash = vector_hash(&vectors[0].vector);
	vectors[2].hash = vector_hash(&vectors[2].vector);
	*field = (struct row_field){ .key = STR("n"), .stamp = s, .present = true, .value = { number, 2 } };
	return (struct row){ .id = id,
			     .created = s,
			     .reset = s,
			     .op_number = 12,
			     .vectors = vectors,
			     .vector_count = 3,
			     .fields = field,
			     .field_count = 1,
			     .visible = true };
}

static const struct log_mark logs[] = { { MULTI_LOG_BIT | 0x101, 4, 0xabc, 77, false },
					 { MULTI_LOG_BIT | 0x302, 1, 0xdef, 99, false } };
static struct row_vector vectors[3];
static struct row_field field;
static struct audit_row rows[3];
static const uint32_t numbers[] = { 0, 77, 16383 };
static const struct point_id ids[] = { { .lo = 5 }, { .hi = 1, .lo = 2, .kind = POINT_ID_UUID } };

static struct audit_request request(void)
{
	rows[0] = (struct audit_row){ .row = { .id = ids[0], .present = true } };
	rows[0].row.row = row_of(vectors, &field, ids[0]);
	rows[1] = (struct audit_row){ .row = { .id = ids[1] } };
	rows[2] = (struct audit_row){ .row = { .id = { .lo = 6 } }, .damaged = true };
	return (struct audit_request){ .kind = AUDIT_SETTLE,
				       .fleet = 0x1122334455667788,
				       .sender = 3,
				       .mark = 1700000000001,
				       .position = { 257, 12 },
				       .chain_hash = 0xfeed,
				       .cutoff = { .seen = { { 1, 77 }, { 2, 99 } }, .count = 2 },
				       .logs = logs,
				       .log_count = 2,
				       .incarnation = { 1234, 2 },
				       .shard = 7,
				       .numbers = numbers,
				       .number_count = 3,
				       .ids = ids,
				       .id_count = 2,
				       .rows = rows,
				       .row_count = 3 };
}

static void check_row(const struct row *r)
{
	struct row expected = request().rows[0].row.row;
	struct hash128 x = row_digest(r, (struct incarnation){ 1, 1 });
	struct hash128 y = row_digest(&expected, (struct incarnation){ 1, 1 });

	ck_assert(x.lo == y.lo && x.hi == y.hi);
	ck_assert_uint_eq(r->op_number, 12);
	ck_assert(r->visible);
	ck_assert_uint_eq(r->vectors[0].slot, SLOT_NONE);
	ck_assert(vector_equal(&r->vectors[0].vector, &expected.vectors[0].vector));
	ck_assert(!r->vectors[1].present);
	ck_assert(vector_equal(&r->vectors[2].vector, &expected.vectors[2].vector));
}

START_TEST(a_request_comes_back_as_it_was)
{
	struct audit_request r = request();
	struct audit_request q;
	struct fault f = { 0 };

	ck_assert_int_eq(audit_request_encode(&r, &out), ERR_NONE);
	ck_assert_msg(!audit_request_decode(buf_bytes(&out), &arena, &q, &f), "%s", f.text);
	ck_assert_int_eq(q.kind, r.kind);
	ck_assert_uint_eq(q.fleet, r.fleet);
	ck_assert_uint_eq(q.sender, 3);
	ck_assert_uint_eq(q.mark, r.mark);
	ck_assert_uint_eq(q.position.epoch, 257);
	ck_assert_uint_eq(q.position.seq, 12);
	ck_assert_uint_eq(q.chain_hash, 0xfeed);
	ck_assert(cutoff_equal(&q.cutoff, &r.cutoff));
	ck_assert_uint_eq(q.log_count, 2);
	ck_assert_mem_eq(q.logs, logs, sizeof(logs));
	ck_assert_uint_eq(q.incarnation.hlc, 1234);
	ck_assert_uint_eq(q.incarnation.region, 2);
	ck_assert_uint_eq(q.shard, 7);
	ck_assert_uint_eq(q.number_count, 3);
	ck_assert_mem_eq(q.numbers, numbers, sizeof(numbers));
	ck_assert_uint_eq(q.id_count, 2);
	ck_assert(point_id_equal(q.ids[1], ids[1]));
	ck_assert_uint_eq(q.row_count, 3);
	ck_assert(q.rows[0].row.present && !q.rows[0].damaged);
	check_row(&q.rows[0].row.row);
	ck_assert(!q.rows[1].row.present && !q.rows[1].damaged);
	ck_assert(!q.rows[2].row.present && q.rows[2].damaged);
}
END_TEST

/* Layout, against the description at the top of audit_message.c. */
START_TEST(an_empty_request_is_these_bytes)
{
	static const uint8_t expected[] = {
		2, 1,                                          /* version, ROOTS */
		8, 7, 6, 5, 4, 3, 2, 1,                        /* fleet */
		2,                                             /* sender */
		9, 0, 0, 0, 0, 0, 0, 0,                        /* mark */
		1, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, /* position (257, 4) */
		0, 0, 0, 0, 0, 0, 0, 0,                        /* running hash */
		1, 3, 5, 0, 0, 0, 0, 0, 0, 0, 0,               /* cutoff: of region 3 up to 5; no logs */
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,         /* incarnation, shard */
		0, 0, 0,                                       /* lists */
	};
	struct audit_request r = { .kind = AUDIT_ROOTS,
				   .fleet = 0x0102030405060708,
				   .sender = 2,
				   .mark = 9,
				   .position = { 257, 4 },
				   .cutoff = { .seen = { { 3, 5 } }, .count = 1 } };

	ck_assert_int_eq(audit_request_encode(&r, &out), ERR_NONE);
	ck_assert_uint_eq(out.len, sizeof(expected) + 8);
	ck_assert_mem_eq(out.data, expected, sizeof(expected));
	uint64_t hash = hash64(expected, sizeof(expected), 0);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_uint_eq(out.data[sizeof(expected) + i], (uint8_t)(hash >> 8 * i));
}
END_TEST

/* --- answers --- */

static const struct audit_root roots[] = { { { 5, 1 }, 2, 14, { 10, 11 }, 1000 } };
static const struct hash128 hashes[] = { { 1, 2 }, { 3, 4 } };
static const struct merkle_leaf leaves[] = { { 1, 2, 3 } };
static const struct audit_entry entries[] = {
	{ .id = { .lo = 4 }, .number = 9, .stamp = { 1, 2, 3 }, .digest = { 6, 7 } },
	{ .id = { .lo = 5 }, .damaged = true },
};
static const struct audit_finding findings[] = {
	{ .incarnation = { 5, 1 }, .shard = 1, .leaf = 300 },
	{ .incarnation = { 5, 1 }, .shard = 1, .leaf = 301, .is_row = true, .id = { .lo = 8 } },
};

static struct audit_reply reply(void)
{
	return (struct audit_reply){ .kind = AUDIT_ROWS,
				     .state = AUDIT_GONE,
				     .position = { 257, 3 },
				     .chain_hash = 77,
				     .number = 12,
				     .seen = { .seen = { { 2, 9 } }, .count = 1 },
				     .logs = logs,
				     .log_count = 2,
				     .roots = roots,
				     .root_count = 1,
				     .hashes = hashes,
				     .hash_count = 2,
				     .leaves = leaves,
				     .leaf_count = 1,
				     .entries = entries,
				     .entry_count = 2,
				     .rows = request().rows,
				     .row_count = 1,
				     .findings = findings,
				     .finding_count = 2,
				     .found = 20,
				     .read_rows = 30,
				     .read_bytes = 40,
				     .rows_changed = 50,
				     .leaves_changed = 60 };
}

START_TEST(an_answer_comes_back_as_it_was)
{
	struct audit_reply r = reply();
	struct audit_reply q;
	struct fault f = { 0 };

	ck_assert_int_eq(audit_reply_encode(&r, &out), ERR_NONE);
	ck_assert_msg(!audit_reply_decode(buf_bytes(&out), &arena, &q, &f), "%s", f.text);
	ck_assert_int_eq(q.kind, AUDIT_ROWS);
	ck_assert_int_eq(q.state, AUDIT_GONE);
	ck_assert_int_eq(audit_reply_refusal(&q), ERR_NONE);
	ck_assert_uint_eq(q.position.seq, 3);
	ck_assert_uint_eq(q.number, 12);
	ck_assert(cutoff_equal(&q.seen, &r.seen));
	ck_assert_uint_eq(q.log_count, 2);
	ck_assert_mem_eq(q.logs, logs, sizeof(logs));
	ck_assert_uint_eq(q.roots[0].incarnation.hlc, 5);
	ck_assert_uint_eq(q.roots[0].bits, 14);
	ck_assert_uint_eq(q.roots[0].root.hi, 11);
	ck_assert_uint_eq(q.roots[0].rows, 1000);
	ck_assert_uint_eq(q.hashes[1].lo, 3);
	ck_assert_uint_eq(q.leaves[0].count, 3);
	ck_assert_uint_eq(q.entries[0].stamp.region, 3);
	ck_assert_uint_eq(q.entries[0].digest.hi, 7);
	ck_assert(q.entries[1].damaged && !q.entries[0].damaged);
	check_row(&q.rows[0].row.row);
	ck_assert(!q.findings[0].is_row && q.findings[1].is_row);
	ck_assert_uint_eq(q.findings[1].id.lo, 8);
	ck_assert_uint_eq(q.found, 20);
	ck_assert_uint_eq(q.read_bytes, 40);
	ck_assert_uint_eq(q.rows_changed, 50);
	ck_assert_uint_eq(q.leaves_changed, 60);
}
END_TEST

START_TEST(a_refusal_names_its_error)
{
	static const struct {
		const char *name;
		enum err err;
	} refusals[] = { { "", ERR_NONE }, { "GAP", ERR_GAP }, { "NOT_FOUND", ERR_NOT_FOUND }, { "NEWS", ERR_BAD_GATEWAY } };

	for (size_t i = 0; i < LEN(refusals); i++) {
		struct audit_reply r = { .kind = AUDIT_ROOTS, .refused = { refusals[i].name, strlen(refusals[i].name) } };
		ck_assert_int_eq(audit_reply_refusal(&r), refusals[i].err);
	}
	ck_assert_str_eq(err_name(ERR_GAP), "GAP");
}
END_TEST

/* --- what came wrong --- */

static enum err decode(bool is_reply, struct bytes b)
{
	struct audit_request q;
	struct audit_reply r;
	struct fault f = { 0 };
	enum err err = is_reply ? audit_reply_decode(b, &arena, &r, &f) : audit_request_decode(b, &arena, &q, &f);

	ck_assert(!err || f.text[0]);
	return err;
}

/* As a sender that makes mistakes would: with the right hash at the end. */
static void sign(void)
{
	uint64_t hash = hash64(out.data, out.len - 8, 0);

	for (unsigned i = 0; i < 8; i++)
		out.data[out.len - 8 + i] = (uint8_t)(hash >> 8 * i);
}

START_TEST(every_changed_bit_is_noticed)
{
	struct audit_request q = request();
	struct audit_reply r = reply();

	ck_assert_int_eq(_i ? audit_reply_encode(&r, &out) : audit_request_encode(&q, &out), ERR_NONE);
	for (size_t at = 0; at < out.len * 8; at++) {
		out.data[at / 8] ^= (uint8_t)(1 << at % 8);
		enum err err = decode(_i, buf_bytes(&out));
		ck_assert(err == ERR_CORRUPT || err == ERR_VERSION);
		out.data[at / 8] ^= (uint8_t)(1 << at % 8);
	}
	for (size_t len = 0; len < out.len; len++)
		ck_assert_int_eq(decode(_i, (struct bytes){ out.data, len }), ERR_CORRUPT);
}
END_TEST

/* No memory beyond the arena's, no byte beyond the message, whatever it says. */
START_TEST(nonsense_with_a_right_hash_is_survived)
{
	struct audit_request q = request();
	struct audit_reply r = reply();
	uint64_t state = 12345;

	ck_assert_int_eq(_i ? audit_reply_encode(&r, &out) : audit_request_encode(&q, &out), ERR_NONE);
	for (unsigned i = 0; i < 20000; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		size_t at = 2 + (state >> 33) % (out.len - 10);
		uint8_t before = out.data[at];
		out.data[at] = (uint8_t)(state >> 25);
		sign();
		uint8_t *exact = malloc(out.len);
		ck_assert_ptr_nonnull(exact);
		memcpy(exact, out.data, out.len);
		arena_release(&arena);
		arena_init(&arena, (size_t)1 << 28);
		enum err err = decode(_i, (struct bytes){ exact, out.len });
		ck_assert(err == ERR_NONE || err == ERR_CORRUPT || err == ERR_NO_MEMORY);
		free(exact);
		out.data[at] = before;
	}
}
END_TEST

START_TEST(values_that_do_not_fit_their_hash_are_refused)
{
	struct audit_request q = request();

	vectors[0].hash++;
	ck_assert_int_eq(audit_request_encode(&q, &out), ERR_NONE);
	ck_assert_int_eq(decode(false, buf_bytes(&out)), ERR_CORRUPT);
}
END_TEST

START_TEST(entries_out_of_order_are_refused)
{
	struct audit_entry wrong[] = { entries[1], entries[0] };
	struct audit_reply r = reply();

	r.entries = wrong;
	ck_assert_int_eq(audit_reply_encode(&r, &out), ERR_NONE);
	ck_assert_int_eq(decode(true, buf_bytes(&out)), ERR_CORRUPT);
}
END_TEST

START_TEST(a_cutoff_out_of_order_or_of_too_many_regions_is_refused)
{
	struct audit_reply r = { .kind = AUDIT_SEEN, .seen = { .seen = { { 4, 1 }, { 4, 2 } }, .count = 2 } };

	ck_assert_int_eq(audit_reply_encode(&r, &out), ERR_NONE);
	ck_assert_int_eq(decode(true, buf_bytes(&out)), ERR_CORRUPT);
	buf_reset(&out);
	r.seen.seen[1].region = 5;
	ck_assert_int_eq(audit_reply_encode(&r, &out), ERR_NONE);
	ck_assert_int_eq(decode(true, buf_bytes(&out)), ERR_NONE);
	/* The count stands behind version, kind, two empty texts, state, position, hash and number. */
	size_t at = 2 + 2 + 1 + 16 + 8 + 8;
	ck_assert_uint_eq(out.data[at], 2);
	out.data[at] = OP_SEEN_MAX + 1;
	sign();
	ck_assert_int_eq(decode(true, buf_bytes(&out)), ERR_CORRUPT);
}
END_TEST

START_TEST(what_is_too_much_is_not_sent)
{
	struct audit_reply r = reply();
	struct buf small = BUF_INIT(200);

	ck_assert_int_eq(audit_reply_encode(&r, &small), ERR_TOO_LARGE);
	buf_release(&small);
}
END_TEST

#define KEYS 160000u
#define KEY_BYTES 3

/* As many keys as fit a point, each written by another op. */
static struct row_field *small_fields(const char *names, uint32_t writers)
{
	static const uint8_t null[] = { VALUE_NULL };
	struct row_field *fields = arena_array(&arena, KEYS * writers, sizeof(*fields));

	ck_assert_ptr_nonnull(fields);
	for (uint32_t i = 0; i < KEYS * writers; i++)
		fields[i] = (struct row_field){ .key = { .data = names + (size_t)i * KEY_BYTES, .len = KEY_BYTES },
						.stamp = { .epoch = UINT64_C(1) << 56, .hlc = i + 1, .region = 1 },
						.present = true,
						.value = { null, sizeof(null) } };
	return fields;
}

static char *small_names(uint32_t count)
{
	char *names = arena_alloc(&arena, (size_t)count * KEY_BYTES);

	ck_assert_ptr_nonnull(names);
	for (uint32_t i = 0; i < count; i++) {
		names[(size_t)i * KEY_BYTES] = (char)(' ' + i / 8836 % 94);
		names[(size_t)i * KEY_BYTES + 1] = (char)(' ' + i / 94 % 94);
		names[(size_t)i * KEY_BYTES + 2] = (char)(' ' + i % 94);
	}
	return names;
}

START_TEST(the_largest_row_of_one_writer_is_sent_and_one_that_does_not_fit_is_not)
{
	struct audit_reply r = { .kind = AUDIT_FETCH, .rows = rows, .row_count = 1 };
	struct audit_reply back;
	struct fault f = { 0 };

	rows[0] = (struct audit_row){ .row = { .id = ids[0], .present = true, .row.id = ids[0] } };
	struct row *row = &rows[0].row.row;
	row->fields = small_fields(small_names(2 * KEYS), 2);
	row->field_count = KEYS;
	ck_assert_int_eq(audit_reply_encode(&r, &out), ERR_NONE);
	ck_assert_uint_gt(out.len, 4u << 20);
	enum err err = audit_reply_decode(buf_bytes(&out), &arena, &back, &f);
	ck_assert_msg(!err, "%s", f.text);
	ck_assert_uint_eq(back.rows[0].row.row.field_count, KEYS);
	buf_reset(&out);
	row->field_count = 2 * KEYS;
	ck_assert_int_eq(audit_reply_encode(&r, &out), ERR_TOO_LARGE);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("audit_message");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_request_comes_back_as_it_was);
	tcase_add_test(t, an_empty_request_is_these_bytes);
	tcase_add_test(t, an_answer_comes_back_as_it_was);
	tcase_add_test(t, a_refusal_names_its_error);
	tcase_add_loop_test(t, every_changed_bit_is_noticed, 0, 2);
	tcase_add_loop_test(t, nonsense_with_a_right_hash_is_survived, 0, 2);
	tcase_add_test(t, values_that_do_not_fit_their_hash_are_refused);
	tcase_add_test(t, entries_out_of_order_are_refused);
	tcase_add_test(t, a_cutoff_out_of_order_or_of_too_many_regions_is_refused);
	tcase_add_test(t, what_is_too_much_is_not_sent);
	tcase_add_test(t, the_largest_row_of_one_writer_is_sent_and_one_that_does_not_fit_is_not);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
