/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows: one against its literal bytes, random ones there and back, damaged ones, payloads and
 * digests.
 */
#include "index/row.h"

#include "tests/index/random.h"
#include "tests/index/scratch.h"

#include <string.h>

#define RECORD_MAX ((size_t)1 << 20)
#define ARENA_MAX ((size_t)16 << 20)

static const struct stamp early = { .epoch = 2, .hlc = 5, .region = 1 };
static const struct stamp late = { .epoch = 3, .hlc = 0x0102030405060708, .region = 2 };

static const uint32_t sparse_indices[] = { 5, 9 };
static const float sparse_values[] = { 1.0f, -2.0f };
static const uint8_t forty_two[] = { VALUE_INT, 84 };

/* The sample below, by the format at the top of row.c. */
#define LITERAL_BYTES 109
/* clang-format off */
static const uint8_t literal[LITERAL_BYTES] = {
	0x01, 0x01, /* version 1, visible */
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, /* id: number 7 */
	0xAC, 0x02, /* op number 300 */
	0x02, /* two stamps */
	0x02, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
	0x03, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x02,
	0x02, 0x00, 0x00, 0x01, /* created, reset, payload reset, deleted */
	0x03, /* three vectors */
	0x00, 0x02, 0x01, 0x09, 0x00, 0x00, 0x00, 0x04,
	0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* in slot 9 */
	0x04, 0x67, 0x6F, 0x6E, 0x65, 0x01, 0x00, /* absent */
	0x02, 0x73, 0x70, 0x02, 0x02, 0xD6, 0x31, 0x35, 0xFB, 0x5E, 0x98, 0xF7, 0x3D, /* inline */
	0x01, 0x02, 0x05, 0x00, 0x00, 0x00, 0x09, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x00, 0xC0, /* sparse */
	0x02, /* two fields */
	0x01, 0x61, 0x02, 0x01, 0x02, 0x03, 0x54,
	0x01, 0x62, 0x01, 0x00,
	0x2A, 0x51, 0x5A, 0xC4, /* checksum */
};
/* clang-format on */

struct sample {
	struct row row;
	struct row_vector vectors[3];
	struct row_field fields[2];
};

/* clang-format off */
static void sample_init(struct sample *s)
{
	*s = (struct sample){
		.row = {
			.id = { .kind = POINT_ID_NUM, .lo = 7 },
			.created = late,
			.deleted = early,
			.op_number = 300,
			.vectors = s->vectors,
			.vector_count = 3,
			.fields = s->fields,
			.field_count = 2,
			.visible = true,
		},
		.vectors = {
			{ .name = STR(""), .stamp = late, .present = true, .slot = 9,
			  .vector = { .kind = VECTOR_DENSE, .count = 4 },
			  .hash = 0x1122334455667788 },
			{ .name = STR("gone"), .stamp = early, .slot = SLOT_NONE },
			{ .name = STR("sp"), .stamp = late, .present = true, .slot = SLOT_NONE,
			  .vector = { .kind = VECTOR_SPARSE, .count = 2, .values = sparse_values,
				      .indices = sparse_indices } },
		},
		.fields = {
			{ .key = STR("a"), .stamp = late, .present = true,
			  .value = { .data = forty_two, .len = sizeof(forty_two) } },
			{ .key = STR("b"), .stamp = early },
		},
	};
	s->vectors[2].hash = vector_hash(&s->vectors[2].vector);
}
/* clang-format on */

static void arena_clear(struct arena *a)
{
	arena_release(a);
	arena_init(a, ARENA_MAX);
}

static bool same_str(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static bool same_stamp(struct stamp a, struct stamp b)
{
	return a.epoch == b.epoch && a.hlc == b.hlc && a.region == b.region;
}

static bool same_vector(const struct row_vector *a, const struct row_vector *b)
{
	if (!same_str(a->name, b->name) || !same_stamp(a->stamp, b->stamp) ||
	    a->present != b->present)
		return false;
	if (a->slot != b->slot || a->hash != b->hash)
		return false;
	if (!a->present || a->vector.kind == VECTOR_DENSE)
		return a->vector.kind == b->vector.kind && a->vector.count == b->vector.count;
	return vector_equal(&a->vector, &b->vector);
}

static bool same_field(const struct row_field *a, const struct row_field *b)
{
	if (!same_str(a->key, b->key) || !same_stamp(a->stamp, b->stamp) ||
	    a->present != b->present)
		return false;
	return !a->present || (a->value.len == b->value.len &&
			       memcmp(a->value.data, b->value.data, a->value.len) == 0);
}

static bool same_row(const struct row *a, const struct row *b)
{
	bool same = point_id_equal(a->id, b->id) && same_stamp(a->created, b->created) &&
		    same_stamp(a->reset, b->reset) &&
		    same_stamp(a->payload_reset, b->payload_reset) &&
		    same_stamp(a->deleted, b->deleted) && a->op_number == b->op_number &&
		    a->visible == b->visible && a->vector_count == b->vector_count &&
		    a->field_count == b->field_count;

	for (uint32_t i = 0; same && i < a->vector_count; i++)
		same = same_vector(&a->vectors[i], &b->vectors[i]);
	for (uint32_t i = 0; same && i < a->field_count; i++)
		same = same_field(&a->fields[i], &b->fields[i]);
	return same;
}

/* Makes the checksum right again after a change. */
static void seal(uint8_t *record, size_t len)
{
	uint64_t hash = hash64(record, len - 4, 0);
	for (size_t i = 0; i < 4; i++)
		record[len - 4 + i] = (uint8_t)(hash >> (8 * i));
}

/* --- refused --- */

START_TEST(every_flipped_bit_is_refused)
{
	struct arena a;
	struct row row;
	uint8_t record[LITERAL_BYTES];
	arena_init(&a, ARENA_MAX);
	memcpy(record, literal, sizeof(record));
	for (size_t bit = 0; bit < 8 * sizeof(record); bit++) {
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		enum err e = row_decode((struct bytes){ record, sizeof(record) }, &a, &row);
		ck_assert_msg(e == ERR_CORRUPT, "bit %zu: %s", bit, err_name(e));
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	arena_release(&a);
}
END_TEST

START_TEST(every_truncation_is_refused_even_with_a_right_checksum)
{
	struct arena a;
	struct row row;
	arena_init(&a, ARENA_MAX);
	for (size_t len = 0; len < LITERAL_BYTES; len++) {
		/* On the heap, so that the sanitizer sees a read beyond it. */
		uint8_t *record = malloc(len + 1);
		memcpy(record, literal, len);
		ck_assert_int_eq(row_decode((struct bytes){ record, len }, &a, &row), ERR_CORRUPT);
		if (len >= 4) {
			seal(record, len);
			enum err e = row_decode((struct bytes){ record, len }, &a, &row);
			ck_assert_msg(e == ERR_CORRUPT, "%zu bytes: %s", len, err_name(e));
		}
		free(record);
	}
	uint8_t longer[LITERAL_BYTES + 1] = { 0 };
	memcpy(longer, literal, LITERAL_BYTES);
	seal(longer, sizeof(longer));
	ck_assert_int_eq(row_decode((struct bytes){ longer, sizeof(longer) }, &a, &row),
			 ERR_CORRUPT);
	arena_release(&a);
}
END_TEST

START_TEST(wrong_parts_are_refused)
{
	static const struct {
		const char *what;
		size_t at;
		uint8_t byte;
		enum err err;
	} cases[] = {
		{ "version", 0, 2, ERR_VERSION },
		{ "flag", 1, 3, ERR_CORRUPT },
		{ "kind of id", 2, 2, ERR_CORRUPT },
		{ "count of stamps", 13, 99, ERR_CORRUPT },
		{ "order of stamps", 14, 4, ERR_CORRUPT },
		{ "stamp of created", 34, 3, ERR_CORRUPT },
		{ "count of vectors", 38, 0x7F, ERR_CORRUPT },
		{ "stamp of vector", 40, 3, ERR_CORRUPT },
		{ "form of vector", 41, 3, ERR_CORRUPT },
		{ "dimension", 46, 0, ERR_CORRUPT },
		{ "order of vectors", 56, 'x', ERR_CORRUPT },
		{ "hash of inline vector", 67, 0, ERR_CORRUPT },
		{ "order of indices", 77, 10, ERR_CORRUPT },
		{ "value of inline vector", 88, 1, ERR_CORRUPT },
		{ "count of fields", 93, 50, ERR_CORRUPT },
		{ "order of fields", 95, 'c', ERR_CORRUPT },
		{ "present", 97, 2, ERR_CORRUPT },
		{ "value", 99, 0x33, ERR_CORRUPT },
	};
	struct arena a;
	struct row row;
	arena_init(&a, ARENA_MAX);
	for (size_t i = 0; i < LEN(cases); i++) {
		uint8_t record[LITERAL_BYTES];
		memcpy(record, literal, sizeof(record));
		record[cases[i].at] = cases[i].byte;
		seal(record, sizeof(record));
		enum err e = row_decode((struct bytes){ record, sizeof(record) }, &a, &row);
		ck_assert_msg(e == cases[i].err, "%s: %s", cases[i].what, err_name(e));
	}
	arena_release(&a);
}
END_TEST

START_TEST(small_arena_is_no_memory)
{
	struct arena a;
	struct row row;
	arena_init(&a, 64);
	ck_assert_int_eq(row_decode((struct bytes){ literal, sizeof(literal) }, &a, &row),
			 ERR_NO_MEMORY);
	arena_release(&a);
}
END_TEST

START_TEST(full_buffer_is_an_error)
{
	struct sample s;
	CLEANUP(buf_release) struct buf b = BUF_INIT(LITERAL_BYTES - 1);
	sample_init(&s);
	ck_assert_int_eq(row_encode(&s.row, &b), ERR_TOO_LARGE);
}
END_TEST

/* --- there and back --- */

START_TEST(row_has_these_bytes)
{
	struct sample s;
	struct arena a;
	struct row row;
	CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_MAX);
	arena_init(&a, ARENA_MAX);
	sample_init(&s);
	/* What stands in the buffer before is neither touched nor part of the record. */
	ck_assert_int_eq(buf_append(&b, "xyz", 3), ERR_NONE);
	ck_assert_int_eq(row_encode(&s.row, &b), ERR_NONE);
	ck_assert_uint_eq(b.len, 3 + LITERAL_BYTES);
	ck_assert_mem_eq(b.data, "xyz", 3);
	for (size_t i = 0; i < LITERAL_BYTES; i++)
		ck_assert_msg(b.data[3 + i] == literal[i], "byte %zu: %02x", i, b.data[3 + i]);
	ck_assert_int_eq(row_decode((struct bytes){ literal, sizeof(literal) }, &a, &row),
			 ERR_NONE);
	ck_assert(same_row(&row, &s.row));
	ck_assert_ptr_null(row.vectors[0].vector.values);
	arena_release(&a);
}
END_TEST

START_TEST(one_op_costs_one_stamp)
{
	struct sample s;
	CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_MAX);
	sample_init(&s);
	s.row.deleted = (struct stamp){ 0 };
	s.vectors[1].stamp = late;
	s.fields[1].stamp = late;
	ck_assert_int_eq(row_encode(&s.row, &b), ERR_NONE);
	ck_assert_uint_eq(b.data[13], 1);
	ck_assert_uint_eq(b.len, LITERAL_BYTES - 10);
}
END_TEST

START_TEST(empty_row_goes_there_and_back)
{
	struct row row = { .id = { .kind = POINT_ID_UUID, .hi = 1, .lo = 2 }, .deleted = early },
		   back;
	struct arena a;
	CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_MAX);
	arena_init(&a, ARENA_MAX);
	ck_assert_int_eq(row_encode(&row, &b), ERR_NONE);
	ck_assert_int_eq(row_decode(buf_bytes(&b), &a, &back), ERR_NONE);
	ck_assert(same_row(&row, &back));
	arena_release(&a);
}
END_TEST

static struct stamp random_stamp(struct random *seed)
{
	uint64_t r = random_u64(seed);

	if (r % 4 == 0)
		return (struct stamp){ 0 };
	return (struct stamp){ .epoch = r >> 8 & 3, .hlc = r >> 16 & 7, .region = r >> 24 & 1 };
}

/* The n-th of names in their order. */
static struct str nth_name(struct arena *a, uint32_t n)
{
	return n == 0 ? STR("") : arena_printf(a, "n%04u", n);
}

static struct vector random_inline(struct random *seed, struct arena *a)
{
	uint32_t count = (uint32_t)(random_u64(seed) % 20);
	float *values = arena_array(a, count, sizeof(*values));
	uint32_t *indices = arena_array(a, count, sizeof(*indices));

	for (uint32_t i = 0; i < count; i++) {
		values[i] = (float)(random_u64(seed) % 1000) / 7.0f;
		indices[i] = i * 1000 + (uint32_t)(random_u64(seed) % 1000);
	}
	if (random_u64(seed) % 3 == 0 && count > 0)
		return (struct vector){
			.kind = VECTOR_MULTI, .count = count, .rows = 1, .values = values
		};
	return (struct vector){
		.kind = VECTOR_SPARSE, .count = count, .values = values, .indices = indices
	};
}

static struct row_vector random_vector(struct random *seed, struct arena *a, uint32_t n)
{
	struct row_vector v = { .name = nth_name(a, n),
				.stamp = random_stamp(seed),
				.slot = SLOT_NONE };
	uint64_t r = random_u64(seed);

	v.present = r % 4 != 0;
	if (!v.present)
		return v;
	if (r % 3 == 0) {
		v.vector = random_inline(seed, a);
		v.hash = vector_hash(&v.vector);
	} else {
		v.slot = (uint32_t)(r >> 33);
		v.vector = (struct vector){ .kind = VECTOR_DENSE, .count = 1 + (r >> 8 & 0xFFFF) };
		v.hash = random_u64(seed);
	}
	return v;
}

static struct row random_row(struct random *seed, struct arena *a)
{
	uint64_t r = random_u64(seed);
	struct row row = {
		.id = { .kind = r & 1, .hi = r & 1 ? random_u64(seed) : 0, .lo = random_u64(seed) },
		.created = random_stamp(seed),
		.reset = random_stamp(seed),
		.payload_reset = random_stamp(seed),
		.deleted = random_stamp(seed),
		.op_number = random_u64(seed) >> (r >> 8 & 63),
		.vector_count = r >> 16 & 7,
		/* Some have more parts than fit the encoder's own room for stamps. */
		.field_count = (uint32_t)(r >> 24) & (r & 2 ? 0x7F : 7),
		.visible = r >> 40 & 1,
	};

	row.vectors = arena_array(a, row.vector_count, sizeof(*row.vectors));
	row.fields = arena_array(a, row.field_count, sizeof(*row.fields));
	for (uint32_t i = 0; i < row.vector_count; i++)
		row.vectors[i] = random_vector(seed, a, i);
	for (uint32_t i = 0; i < row.field_count; i++) {
		row.fields[i] = (struct row_field){ .key = nth_name(a, i),
						    .stamp = random_stamp(seed),
						    .present = random_u64(seed) % 3 != 0 };
		if (row.fields[i].present)
			row.fields[i].value = (struct value){ .data = forty_two, .len = 2 };
	}
	return row;
}

START_TEST(random_rows_go_there_and_back)
{
	struct arena a;
	struct random seed = { 4711 };
	CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_MAX), again = BUF_INIT(RECORD_MAX);
	arena_init(&a, ARENA_MAX);
	for (unsigned i = 0; i < 2000; i++) {
		struct row row = random_row(&seed, &a), back;
		buf_reset(&b);
		buf_reset(&again);
		ck_assert_int_eq(row_encode(&row, &b), ERR_NONE);
		ck_assert_int_eq(row_decode(buf_bytes(&b), &a, &back), ERR_NONE);
		ck_assert_msg(same_row(&row, &back), "row %u", i);
		ck_assert_int_eq(row_encode(&back, &again), ERR_NONE);
		ck_assert_uint_eq(again.len, b.len);
		ck_assert_mem_eq(again.data, b.data, b.len);
		arena_clear(&a);
	}
	arena_release(&a);
}
END_TEST

START_TEST(changed_bytes_are_refused_or_make_a_row_that_can_be_kept)
{
	struct arena a;
	CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_MAX);
	unsigned refused = 0, taken = 0;
	arena_init(&a, ARENA_MAX);
	for (size_t at = 0; at < LITERAL_BYTES - 4; at++)
		for (unsigned change = 1; change < 256; change++) {
			uint8_t record[LITERAL_BYTES];
			struct row row, back;
			memcpy(record, literal, sizeof(record));
			record[at] ^= (uint8_t)change;
			seal(record, sizeof(record));
			arena_clear(&a);
			if (row_decode((struct bytes){ record, sizeof(record) }, &a, &row)) {
				refused++;
				continue;
			}
			taken++;
			buf_reset(&b);
			bool kept = !row_encode(&row, &b) &&
				    !row_decode(buf_bytes(&b), &a, &back) && same_row(&row, &back);
			if (!kept)
				ck_abort_msg("byte %zu, change %u", at, change);
		}
	ck_assert_uint_gt(refused, 1000);
	ck_assert_uint_gt(taken, 1000);
	arena_release(&a);
}
END_TEST

/* --- contents --- */

START_TEST(payload_has_the_fields_that_are_present)
{
	struct sample s;
	CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_MAX), json = BUF_INIT(RECORD_MAX);
	sample_init(&s);
	ck_assert_int_eq(row_payload(&s.row, &b), ERR_NONE);
	struct json_writer w = json_writer_to(&json);
	value_to_json(value_of_buf(&b), &w);
	ck_assert_uint_eq(json.len, strlen("{\"a\":42}"));
	ck_assert_mem_eq(json.data, "{\"a\":42}", json.len);

	s.row.field_count = 0;
	buf_reset(&b);
	ck_assert_int_eq(row_payload(&s.row, &b), ERR_NONE);
	ck_assert_int_eq(value_kind(value_of_buf(&b)), VALUE_OBJECT);
	ck_assert_uint_eq(value_count(value_of_buf(&b)), 0);
}
END_TEST

START_TEST(payload_of_many_fields_is_whole)
{
	enum { FIELDS = 1000 };
	static struct row_field fields[FIELDS];
	struct arena a;
	CLEANUP(buf_release) struct buf b = BUF_INIT(RECORD_MAX);
	arena_init(&a, ARENA_MAX);
	for (uint32_t i = 0; i < FIELDS; i++)
		fields[i] = (struct row_field){ .key = nth_name(&a, i),
						.present = true,
						.value = { .data = forty_two, .len = 2 } };
	struct row row = { .fields = fields, .field_count = FIELDS };
	ck_assert_int_eq(row_payload(&row, &b), ERR_NONE);
	ck_assert_uint_eq(value_count(value_of_buf(&b)), FIELDS);
	arena_release(&a);
}
END_TEST

static const struct incarnation incarnation = { .hlc = 11, .region = 3 };

static bool same_digest(struct hash128 a, struct hash128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

static void change_incarnation(struct sample *s, struct incarnation *i)
{
	(void)s;
	i->hlc++;
}
static void change_incarnation_region(struct sample *s, struct incarnation *i)
{
	(void)s;
	i->region++;
}
static void change_id(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->row.id.lo++;
}
static void change_kind(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->row.id.kind = POINT_ID_UUID;
}
static void change_created(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->row.created.hlc++;
}
static void change_reset(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->row.reset = early;
}
static void change_payload_reset(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->row.payload_reset = early;
}
static void change_deleted(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->row.deleted.region++;
}
static void change_vector_name(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->vectors[1].name = STR("gonf");
}
static void change_vector_stamp(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->vectors[1].stamp.epoch++;
}
static void change_vector_hash(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->vectors[0].hash++;
}
static void change_vector_present(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->vectors[1].present = true;
}
static void change_vector_count(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->row.vector_count--;
}
static void change_key(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->fields[1].key = STR("c");
}
static void change_field_stamp(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->fields[0].stamp = early;
}
static void change_field_value(struct sample *s, struct incarnation *i)
{
	static const uint8_t forty_three[] = { VALUE_INT, 86 };
	(void)i;
	s->fields[0].value.data = forty_three;
}
static void change_field_present(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->fields[0].present = false;
}
static void change_field_count(struct sample *s, struct incarnation *i)
{
	(void)i;
	s->row.field_count--;
}

START_TEST(digest_follows_all_that_regions_share)
{
	static const struct {
		const char *what;
		void (*change)(struct sample *s, struct incarnation *i);
	} cases[] = {
		{ "incarnation", change_incarnation },
		{ "incarnation's region", change_incarnation_region },
		{ "id", change_id },
		{ "kind of id", change_kind },
		{ "created", change_created },
		{ "reset", change_reset },
		{ "payload reset", change_payload_reset },
		{ "deleted", change_deleted },
		{ "name of a vector", change_vector_name },
		{ "stamp of a vector", change_vector_stamp },
		{ "hash of a vector", change_vector_hash },
		{ "presence of a vector", change_vector_present },
		{ "count of vectors", change_vector_count },
		{ "key", change_key },
		{ "stamp of a field", change_field_stamp },
		{ "value", change_field_value },
		{ "presence of a field", change_field_present },
		{ "count of fields", change_field_count },
	};
	struct sample s;
	sample_init(&s);
	struct hash128 before = row_digest(&s.row, incarnation);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct incarnation other = incarnation;
		sample_init(&s);
		ck_assert(same_digest(before, row_digest(&s.row, incarnation)));
		cases[i].change(&s, &other);
		ck_assert_msg(!same_digest(before, row_digest(&s.row, other)), "%s", cases[i].what);
	}
}
END_TEST

START_TEST(digest_is_blind_to_what_is_local)
{
	struct sample s;
	sample_init(&s);
	struct hash128 before = row_digest(&s.row, incarnation);
	s.vectors[0].slot = 1234;
	s.row.op_number = 1;
	s.row.visible = false;
	/* Of a part that is absent only its stamp counts. */
	s.vectors[1].hash = 77;
	s.fields[1].value = s.fields[0].value;
	ck_assert(same_digest(before, row_digest(&s.row, incarnation)));
}
END_TEST

START_TEST(digest_is_this_number)
{
	struct sample s;
	sample_init(&s);
	struct hash128 d = row_digest(&s.row, incarnation);
	ck_assert_uint_eq(d.lo, 0x6D34F8F4683507AA);
	ck_assert_uint_eq(d.hi, 0x5800AF536FFF1631);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("row");
	TCase *t = tcase_create("row");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, every_flipped_bit_is_refused);
	tcase_add_test(t, every_truncation_is_refused_even_with_a_right_checksum);
	tcase_add_test(t, wrong_parts_are_refused);
	tcase_add_test(t, small_arena_is_no_memory);
	tcase_add_test(t, full_buffer_is_an_error);
	tcase_add_test(t, row_has_these_bytes);
	tcase_add_test(t, one_op_costs_one_stamp);
	tcase_add_test(t, empty_row_goes_there_and_back);
	tcase_add_test(t, random_rows_go_there_and_back);
	tcase_add_test(t, changed_bytes_are_refused_or_make_a_row_that_can_be_kept);
	tcase_add_test(t, payload_has_the_fields_that_are_present);
	tcase_add_test(t, payload_of_many_fields_is_whole);
	tcase_add_test(t, digest_follows_all_that_regions_share);
	tcase_add_test(t, digest_is_blind_to_what_is_local);
	tcase_add_test(t, digest_is_this_number);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
