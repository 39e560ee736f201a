/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between regions: what is refused, what the bytes are, what comes back.
 */
#include "replicator/batch.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define BATCH_HEAD 56

static struct arena arena;
static struct buf inflated;

static void set_up(void)
{
	arena_init(&arena, 1u << 20);
	buf_init(&inflated, BATCH_BODY_BYTES_MAX);
}

static void tear_down(void)
{
	arena_release(&arena);
	buf_release(&inflated);
}

static const struct bytes two_ops[] = {
	{ .data = (const uint8_t *)"abc", .len = 3 },
	{ .data = (const uint8_t *)"de", .len = 2 },
};

static struct op_batch sample(void)
{
	return (struct op_batch){ .fleet = 0x1122334455667788,
				 .scope = 3,
				 .epoch = 0x0201,
				 .first = 7,
				 .chain_hash = 0xA1A2A3A4A5A6A7A8,
				 .ops = two_ops,
				 .count = 2 };
}

static enum err decode(const struct buf *b, struct op_batch *ret)
{
	struct fault f = { 0 };
	enum err e = batch_decode(buf_bytes(b), &inflated, &arena, ret, &f);
	ck_assert_int_eq(e != ERR_NONE, f.text[0] != '\0');
	return e;
}

/* After a test changed the bytes on purpose: the checksum that a writer of such bytes would have
 * put. */
static void batch_seal(struct buf *b)
{
	uint64_t sum = hash64(b->data + BATCH_HEAD, b->len - BATCH_HEAD, hash64(b->data, 48, 0));
	for (unsigned i = 0; i < 8; i++)
		b->data[48 + i] = (uint8_t)(sum >> (8 * i));
}

START_TEST(message_outside_its_bounds_is_not_written)
{
	static const struct bytes empty[] = { { .data = (const uint8_t *)"", .len = 0 } };
	const struct {
		const char *what;
		uint16_t scope;
		uint64_t epoch, first;
		const struct bytes *ops;
		uint32_t count;
	} rows[] = {
		{ "no op", 0, 1, 1, two_ops, 0 },
		{ "too many ops", 0, 1, 1, two_ops, BATCH_OPS_MAX + 1 },
		{ "no epoch", 0, 0, 1, two_ops, 2 },
		{ "seq 0", 0, 1, 0, two_ops, 2 },
		{ "seq beyond 64 bits", 0, 1, UINT64_MAX, two_ops, 2 },
		{ "scope", SCOPES_MAX, 1, 1, two_ops, 2 },
		{ "an op without bytes", 0, 1, 1, empty, 1 },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		struct op_batch m = { .scope = rows[i].scope,
				     .epoch = rows[i].epoch,
				     .first = rows[i].first,
				     .ops = rows[i].ops,
				     .count = rows[i].count };
		CLEANUP(buf_release) struct buf b = BUF_INIT(BATCH_BYTES_MAX);
		ck_assert_msg(batch_encode(&m, &b) == ERR_BAD_INPUT, "%s", rows[i].what);
		ck_assert_msg(b.len == 0, "%s", rows[i].what);
	}
}
END_TEST

/* Bytes that do not shrink. */
static uint8_t *noise(size_t n)
{
	uint8_t *p = malloc(n);
	ck_assert_ptr_nonnull(p);
	uint64_t x = 88172645463325252u;
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)x;
	}
	return p;
}

START_TEST(too_large_batch_is_refused)
{
	uint8_t *bytes = noise(OP_BYTES_MAX);
	struct bytes ops[3] = { { .data = bytes, .len = OP_BYTES_MAX },
				{ .data = bytes, .len = BATCH_BYTES_MAX - OP_BYTES_MAX },
				{ .data = bytes, .len = OP_BYTES_MAX } };
	struct op_batch m = { .epoch = 1, .first = 1, .ops = ops, .count = 1 };
	CLEANUP(buf_release) struct buf b = BUF_INIT(2 * BATCH_BYTES_MAX);

	ck_assert_int_eq(batch_encode(&m, &b), ERR_NONE);
	struct op_batch back;
	ck_assert_int_eq(decode(&b, &back), ERR_NONE);
	ck_assert_uint_eq(back.ops[0].len, OP_BYTES_MAX);

	buf_reset(&b);
	m.count = 2; /* the message would be too long */
	ck_assert_int_eq(batch_encode(&m, &b), ERR_TOO_LARGE);
	m.count = 3; /* the body would be */
	ck_assert_int_eq(batch_encode(&m, &b), ERR_TOO_LARGE);
	ops[0].len = OP_BYTES_MAX + 1;
	m.count = 1;
	ck_assert_int_eq(batch_encode(&m, &b), ERR_TOO_LARGE);
	free(bytes);
}
END_TEST

START_TEST(every_changed_byte_is_noticed)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(BATCH_BYTES_MAX);
	struct op_batch m = sample(), back;
	ck_assert_int_eq(batch_encode(&m, &b), ERR_NONE);

	for (size_t at = 0; at < b.len; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			b.data[at] ^= (uint8_t)(1u << bit);
			enum err e = decode(&b, &back);
			ck_assert_msg(e == (at == 4 ? ERR_VERSION : ERR_CORRUPT),
				      "byte %zu bit %u: %s", at, bit, err_name(e));
			b.data[at] ^= (uint8_t)(1u << bit);
		}
	ck_assert_int_eq(decode(&b, &back), ERR_NONE);
}
END_TEST

START_TEST(every_cut_and_every_tail_is_noticed)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(BATCH_BYTES_MAX);
	struct op_batch m = sample(), back;
	ck_assert_int_eq(batch_encode(&m, &b), ERR_NONE);
	size_t whole = b.len;

	for (b.len = 0; b.len < whole; b.len++)
		ck_assert_int_eq(decode(&b, &back), ERR_CORRUPT);
	buf_append_byte(&b, 0);
	ck_assert_int_eq(decode(&b, &back), ERR_CORRUPT);
}
END_TEST

START_TEST(wrong_head_is_refused_even_with_a_right_checksum)
{
	const struct {
		const char *what;
		size_t at;
		uint8_t value;
	} rows[] = {
		{ "an unknown flag", 5, 2 },
		{ "compressed, but is not", 5, 1 },
		{ "scope", 6, SCOPES_MAX },
		{ "count of ops too small", 40, 1 },
		{ "count of ops too great", 40, 3 },
		{ "count of ops beyond the bound", 42, 1 },
		{ "no op", 40, 0 },
		{ "length of the body", 44, 6 },
		{ "length of an op", BATCH_HEAD, 4 },
		{ "an op without bytes", BATCH_HEAD, 0 },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(BATCH_BYTES_MAX);
		struct op_batch m = sample(), back;
		ck_assert_int_eq(batch_encode(&m, &b), ERR_NONE);
		b.data[rows[i].at] = rows[i].value;
		batch_seal(&b);
		ck_assert_msg(decode(&b, &back) == ERR_CORRUPT, "%s", rows[i].what);
	}
}
END_TEST

START_TEST(batch_has_the_documented_bytes)
{
	static const uint8_t expected[] = {
		'I',  'S',  'O',  'B',  1,    0,    3,    0,
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* fleet */
		0x01, 0x02, 0,    0,    0,    0,    0,    0,    /* epoch */
		7,    0,    0,    0,    0,    0,    0,    0,    /* first */
		0xA8, 0xA7, 0xA6, 0xA5, 0xA4, 0xA3, 0xA2, 0xA1, /* running hash */
		2,    0,    0,    0,    7,    0,    0,    0,    /* count, bytes of the body */
	};
	static const uint8_t body[] = { 3, 'a', 'b', 'c', 2, 'd', 'e' };
	CLEANUP(buf_release) struct buf b = BUF_INIT(BATCH_BYTES_MAX);
	struct op_batch m = sample();
	ck_assert_int_eq(batch_encode(&m, &b), ERR_NONE);
	ck_assert_uint_eq(b.len, BATCH_HEAD + sizeof(body));
	ck_assert_mem_eq(b.data, expected, sizeof(expected));
	ck_assert_mem_eq(b.data + BATCH_HEAD, body, sizeof(body));

	struct op_batch back;
	ck_assert_int_eq(decode(&b, &back), ERR_NONE);
	ck_assert_uint_eq(back.fleet, m.fleet);
	ck_assert_uint_eq(back.scope, 3);
	ck_assert_uint_eq(back.epoch, 0x0201);
	ck_assert_uint_eq(back.first, 7);
	ck_assert_uint_eq(back.chain_hash, m.chain_hash);
	ck_assert_uint_eq(back.count, 2);
	ck_assert_mem_eq(back.ops[0].data, "abc", 3);
	ck_assert_mem_eq(back.ops[1].data, "de", 2);
	ck_assert_uint_eq(batch_last(&back).seq, 8);
	ck_assert_uint_eq(batch_last(&back).epoch, 0x0201);
}
END_TEST

/* len bytes: text shrinks, zeroes shrink more than a reader would allow, noise does not shrink. */
START_TEST(body_travels_compressed_when_that_is_smaller)
{
	const struct {
		const char *what;
		char kind;
		size_t len;
		bool compressed;
	} rows[] = {
		{ "text", 't', 100000, true },
		{ "noise", 'n', 100000, false },
		{ "zeroes", 'z', 700000, false },
		{ "a few bytes", 't', 4, false },
		{ "too little text to be worth it", 't', 253, false },
		{ "just enough text", 't', 254, true },
	};
	for (size_t i = 0; i < LEN(rows); i++) {
		uint8_t *bytes = noise(rows[i].len);
		for (size_t k = 0; k < rows[i].len && rows[i].kind != 'n'; k++)
			bytes[k] = rows[i].kind == 'z' ? 0 : "abcdefgh"[bytes[k] & 7];
		struct bytes op = { .data = bytes, .len = rows[i].len };
		struct op_batch m = { .epoch = 1, .first = 1, .ops = &op, .count = 1 }, back;
		CLEANUP(buf_release) struct buf b = BUF_INIT(BATCH_BYTES_MAX);
		ck_assert_msg(batch_encode(&m, &b) == ERR_NONE, "%s", rows[i].what);
		ck_assert_msg((b.data[5] == 1) == rows[i].compressed, "%s", rows[i].what);
		ck_assert_msg(b.len <= BATCH_HEAD + rows[i].len + 3, "%s", rows[i].what);
		ck_assert_msg(decode(&b, &back) == ERR_NONE, "%s", rows[i].what);
		ck_assert_uint_eq(back.ops[0].len, rows[i].len);
		ck_assert_mem_eq(back.ops[0].data, bytes, rows[i].len);
		free(bytes);
	}
}
END_TEST

START_TEST(most_ops_fit)
{
	struct bytes ops[BATCH_OPS_MAX];
	for (unsigned i = 0; i < BATCH_OPS_MAX; i++)
		ops[i] = two_ops[i & 1];
	struct op_batch m = { .scope = SCOPES_MAX - 1,
			     .epoch = UINT64_MAX,
			     .first = UINT64_MAX - BATCH_OPS_MAX,
			     .ops = ops,
			     .count = BATCH_OPS_MAX },
		       back;
	CLEANUP(buf_release) struct buf b = BUF_INIT(BATCH_BYTES_MAX);
	ck_assert_int_eq(batch_encode(&m, &b), ERR_NONE);
	ck_assert_int_eq(decode(&b, &back), ERR_NONE);
	ck_assert_uint_eq(back.count, BATCH_OPS_MAX);
	ck_assert_uint_eq(back.ops[BATCH_OPS_MAX - 1].len, 2);
}
END_TEST

START_TEST(id_names_the_batch_and_its_content)
{
	struct op_batch m = sample();
	char id[BATCH_ID_MAX];
	size_t n = batch_id(&m, id);
	ck_assert_str_eq(id, "3.513.7-8.a1a2a3a4a5a6a7a8");
	ck_assert_uint_eq(n, strlen(id));

	m = (struct op_batch){ .scope = UINT16_MAX,
			      .epoch = UINT64_MAX,
			      .first = UINT64_MAX,
			      .chain_hash = UINT64_MAX,
			      .count = 1 };
	ck_assert_uint_lt(batch_id(&m, id), BATCH_ID_MAX);
}
END_TEST

static struct heartbeat beat_sample(void)
{
	return (struct heartbeat){ .fleet = 0x0102030405060708,
				   .scope = 2,
				   .region = 9,
				   .position = { .epoch = 0x0301, .seq = 5 },
				   .confirmed = { .epoch = 0x0201, .seq = 4 },
				   .wall_ms = 1700000000000,
				   .hlc = 77,
				   .promised = 0x0402 };
}

START_TEST(heartbeat_without_sender_is_not_written)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct heartbeat h = beat_sample();
	h.region = 0;
	ck_assert_int_eq(heartbeat_encode(&h, &b), ERR_BAD_INPUT);
	h = beat_sample();
	h.scope = SCOPES_MAX;
	ck_assert_int_eq(heartbeat_encode(&h, &b), ERR_BAD_INPUT);
	ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(every_change_of_a_heartbeat_is_noticed)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct heartbeat h = beat_sample(), back;
	struct fault f;
	ck_assert_int_eq(heartbeat_encode(&h, &b), ERR_NONE);
	ck_assert_uint_eq(b.len, HEARTBEAT_BYTES);
	for (size_t at = 0; at < HEARTBEAT_BYTES; at++) {
		b.data[at] ^= 0x40;
		ck_assert_int_eq(heartbeat_decode(buf_bytes(&b), &back, &f),
				 at == 4 ? ERR_VERSION : ERR_CORRUPT);
		b.data[at] ^= 0x40;
	}
	for (b.len = 0; b.len < HEARTBEAT_BYTES; b.len++)
		ck_assert_int_eq(heartbeat_decode(buf_bytes(&b), &back, &f), ERR_CORRUPT);
	buf_append_byte(&b, 0);
	ck_assert_int_eq(heartbeat_decode(buf_bytes(&b), &back, &f), ERR_CORRUPT);
}
END_TEST

START_TEST(heartbeat_has_the_documented_bytes)
{
	static const uint8_t expected[72] = {
		'I',  'S',  'H',  'B',  2,    9,    2, 0, 8,  7, 6, 5, 4, 3, 2, 1,
		1,    3,    0,    0,    0,    0,    0, 0, 5,  0, 0, 0, 0, 0, 0, 0,
		1,    2,    0,    0,    0,    0,    0, 0, 4,  0, 0, 0, 0, 0, 0, 0,
		0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0,
		2,    4,    0,    0,    0,    0,    0, 0,
	};
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct heartbeat h = beat_sample(), back;
	ck_assert_int_eq(heartbeat_encode(&h, &b), ERR_NONE);
	ck_assert_mem_eq(b.data, expected, sizeof(expected));
	ck_assert_int_eq(heartbeat_decode(buf_bytes(&b), &back, NULL), ERR_NONE);
	ck_assert_uint_eq(back.fleet, h.fleet);
	ck_assert_uint_eq(back.scope, 2);
	ck_assert_uint_eq(back.region, 9);
	ck_assert_uint_eq(back.position.epoch, 0x0301);
	ck_assert_uint_eq(back.position.seq, 5);
	ck_assert_uint_eq(back.confirmed.epoch, 0x0201);
	ck_assert_uint_eq(back.confirmed.seq, 4);
	ck_assert_uint_eq(back.wall_ms, h.wall_ms);
	ck_assert_uint_eq(back.hlc, 77);
	ck_assert_uint_eq(back.promised, 0x0402);
}
END_TEST

/* As the version before wrote it. */
START_TEST(heartbeat_without_a_promise_is_understood)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
	struct heartbeat h = beat_sample(), back;
	struct fault f = { 0 };

	ck_assert_int_eq(heartbeat_encode(&h, &b), ERR_NONE);
	b.data[4] = 1;
	b.len = 64;
	wire_put_u64(&b, hash64(b.data, 64, 0));
	ck_assert_msg(!heartbeat_decode(buf_bytes(&b), &back, &f), "%s", f.text);
	ck_assert_uint_eq(back.hlc, 77);
	ck_assert_uint_eq(back.promised, 0);
	b.len--;
	ck_assert_int_eq(heartbeat_decode(buf_bytes(&b), &back, &f), ERR_CORRUPT);
	b.data[4] = 3;
	ck_assert_int_eq(heartbeat_decode(buf_bytes(&b), &back, &f), ERR_VERSION);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("message");
	TCase *refused = tcase_create("refused");
	tcase_add_checked_fixture(refused, set_up, tear_down);
	tcase_add_test(refused, message_outside_its_bounds_is_not_written);
	tcase_add_test(refused, too_large_batch_is_refused);
	tcase_add_test(refused, every_changed_byte_is_noticed);
	tcase_add_test(refused, every_cut_and_every_tail_is_noticed);
	tcase_add_test(refused, wrong_head_is_refused_even_with_a_right_checksum);
	tcase_add_test(refused, heartbeat_without_sender_is_not_written);
	tcase_add_test(refused, every_change_of_a_heartbeat_is_noticed);
	suite_add_tcase(s, refused);

	TCase *ordinary = tcase_create("ordinary");
	tcase_add_checked_fixture(ordinary, set_up, tear_down);
	tcase_add_test(ordinary, batch_has_the_documented_bytes);
	tcase_add_test(ordinary, body_travels_compressed_when_that_is_smaller);
	tcase_add_test(ordinary, most_ops_fit);
	tcase_add_test(ordinary, id_names_the_batch_and_its_content);
	tcase_add_test(ordinary, heartbeat_has_the_documented_bytes);
	tcase_add_test(ordinary, heartbeat_without_a_promise_is_understood);
	suite_add_tcase(s, ordinary);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
