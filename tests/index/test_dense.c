/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dense vectors of a shard: which slots are live, where they are searched, when they may be used again.
 */
#include "index/dense.h"

#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "tests/index/random.h"
#include "tests/index/scratch.h"

#define DIM 4
#define ROWS 400u

struct bed {
	struct scratch scratch;
	struct dense_options options;
	struct dense *dense;
	struct random random;
};

static void bed_open(struct bed *b)
{
	struct fault fault = { 0 };

	ck_assert_msg(!dense_open(&b->options, &b->dense, &fault), "%s", fault.text);
}

static void bed_init(struct bed *b, bool files)
{
	*b = (struct bed){ .random = { 9 } };
	scratch_new(&b->scratch);
	b->options = (struct dense_options){
		.dir = files ? b->scratch.dir : NULL,
		.index = 2,
		.dim = DIM,
		.distance = DISTANCE_EUCLID,
		.hnsw = { .m = 8, .ef_construct = 32 },
		.tail_max = 100,
	};
	bed_open(b);
	ck_assert_int_eq(dense_start(b->dense, NULL), ERR_NONE);
}

static void bed_release(struct bed *b)
{
	dense_close(b->dense, true);
	scratch_remove(&b->scratch);
}

static uint32_t put(struct bed *b, uint32_t row)
{
	float v[DIM];
	uint32_t slot;

	for (int i = 0; i < DIM; i++)
		v[i] = random_normal(&b->random);
	ck_assert_int_eq(dense_add(b->dense, v, &slot, NULL), ERR_NONE);
	ck_assert_int_eq(dense_reserve(b->dense, row + 1, 1), ERR_NONE);
	dense_set(b->dense, row, slot);
	ck_assert_int_eq(memcmp(dense_values(b->dense, slot), v, sizeof(v)), 0);
	return slot;
}

static uint64_t id_hash(const void *ctx, uint32_t row)
{
	(void)ctx;
	return hash64(&row, sizeof(row), 0);
}

static enum err build(struct bed *b, const atomic_bool *cancel)
{
	struct dense_build build;

	ck_assert(dense_due(b->dense));
	ck_assert_int_eq(dense_build_begin(b->dense, id_hash, NULL, &build), ERR_NONE);
	ck_assert(!dense_due(b->dense));
	enum err e = dense_build_run(&build, cancel, NULL);

	dense_build_end(&build, !e);
	dense_build_release(&build);
	return e;
}

START_TEST(live_slot_is_the_last_one_set)
{
	struct bed b;

	bed_init(&b, _i);
	uint32_t first = put(&b, 3), second = put(&b, 3);

	ck_assert_uint_eq(dense_slot_of(b.dense, 3), second);
	ck_assert_uint_eq(dense_slot_of(b.dense, 0), SLOT_NONE);
	ck_assert_uint_eq(dense_slot_of(b.dense, 1000000), SLOT_NONE);
	ck_assert_uint_eq(dense_row_of(b.dense, first, 0), ROW_NONE);
	ck_assert_uint_eq(dense_row_of(b.dense, second, 0), 3);
	ck_assert_uint_eq(dense_row_of(b.dense, second, 1), ROW_NONE);
	ck_assert(b.dense->live == 1 && b.dense->tail.count == 1);
	dense_set(b.dense, 3, first); /* undone */
	ck_assert_uint_eq(dense_row_of(b.dense, first, 0), 3);
	dense_set(b.dense, 3, SLOT_NONE);
	ck_assert(b.dense->live == 0 && b.dense->tail.count == 0);
	dense_give_back(b.dense, second);
	ck_assert_uint_eq(put(&b, 4), second);
	ck_assert(!dense_due(b.dense));
	bed_release(&b);
}
END_TEST

START_TEST(build_moves_the_tail_into_a_segment)
{
	struct bed b;
	uint32_t slots[ROWS];

	bed_init(&b, true);
	for (uint32_t i = 0; i < 101; i++)
		slots[i] = put(&b, i);
	ck_assert_int_eq(build(&b, NULL), ERR_NONE);
	ck_assert(b.dense->tail.count == 0 && b.dense->segment_count == 1 &&
		  b.dense->segments[0].live == 101);
	ck_assert_uint_eq(dense_indexed(b.dense), 101);
	ck_assert_uint_gt(dense_disk_bytes(b.dense), 101 * DIM * 4);
	ck_assert_uint_gt(dense_memory_bytes(b.dense), 101);
	/* One dies and comes back: it is the segment's all the time. */
	dense_set(b.dense, 5, SLOT_NONE);
	ck_assert_uint_eq(b.dense->segments[0].live, 100);
	dense_set(b.dense, 5, slots[5]);
	ck_assert(b.dense->segments[0].live == 101 && b.dense->tail.count == 0);
	/* Given back, it waits for the segment to go. */
	dense_set(b.dense, 6, SLOT_NONE);
	dense_give_back(b.dense, slots[6]);
	for (uint32_t i = 101; i < 202; i++) {
		slots[i] = put(&b, i);
		ck_assert_uint_ne(slots[i], slots[6]);
	}
	ck_assert_int_eq(build(&b, NULL), ERR_NONE);
	ck_assert(b.dense->segment_count == 1 && b.dense->segments[0].live == 201);
	dense_free_released(b.dense);
	ck_assert_uint_eq(put(&b, 6), slots[6]);
	bed_release(&b);
}
END_TEST

START_TEST(changes_during_a_build_are_kept)
{
	struct bed b;
	struct dense_build build;
	uint32_t slots[ROWS];

	bed_init(&b, true);
	for (uint32_t i = 0; i < 150; i++)
		slots[i] = put(&b, i);
	ck_assert_int_eq(dense_build_begin(b.dense, id_hash, NULL, &build), ERR_NONE);
	dense_set(b.dense, 1, SLOT_NONE);
	dense_give_back(b.dense, slots[1]);
	dense_set(b.dense, 2, SLOT_NONE);
	slots[3] = put(&b, 3);
	ck_assert_uint_ne(slots[3], slots[1]);
	slots[150] = put(&b, 150);
	ck_assert_int_eq(dense_build_run(&build, NULL, NULL), ERR_NONE);
	dense_set(b.dense, 2, slots[2]);
	dense_build_end(&build, true);
	dense_build_release(&build);
	ck_assert_uint_eq(b.dense->segments[0].live, 148);
	ck_assert_uint_eq(b.dense->tail.count, 2); /* 3 and 150 */
	ck_assert(tail_has(&b.dense->tail, slots[3]) && tail_has(&b.dense->tail, slots[150]));
	ck_assert_uint_eq(b.dense->live, 150);
	dense_free_released(b.dense);
	ck_assert_uint_ne(put(&b, 1), slots[1]);
	bed_release(&b);
}
END_TEST

START_TEST(failed_and_cancelled_builds_leave_the_tail)
{
	struct bed b;
	struct dense_build build_;
	atomic_bool cancel = true;
	char away[PATH_MAX];
	uint32_t slots[ROWS];

	bed_init(&b, true);
	for (uint32_t i = 0; i < 150; i++)
		slots[i] = put(&b, i);
	ck_assert_int_eq(build(&b, &cancel), ERR_CANCELLED);
	ck_assert(b.dense->tail.count == 150 && b.dense->segment_count == 0 && !b.dense->building);
	ck_assert_uint_gt(b.dense->retry_ns, 0);
	snprintf(away, sizeof(away), "%s-away", b.scratch.dir);
	ck_assert_int_eq(rename(b.scratch.dir, away), 0);
	ck_assert_int_eq(dense_build_begin(b.dense, id_hash, NULL, &build_), ERR_NONE);
	dense_set(b.dense, 1, SLOT_NONE);
	dense_give_back(b.dense, slots[1]);
	ck_assert_int_ne(dense_build_run(&build_, NULL, NULL), ERR_NONE);
	dense_build_end(&build_, false);
	dense_build_release(&build_);
	ck_assert(b.dense->tail.count == 149 && b.dense->segment_count == 0);
	dense_free_released(b.dense);
	ck_assert_uint_eq(put(&b, 1), slots[1]); /* no longer pinned */
	ck_assert_int_eq(rename(away, b.scratch.dir), 0);
	ck_assert_int_eq(build(&b, NULL), ERR_NONE);
	ck_assert(b.dense->tail.count == 0 && b.dense->segments[0].live == 150 &&
		  b.dense->retry_ns == 0);
	bed_release(&b);
}
END_TEST

START_TEST(what_is_mostly_dead_is_given_up)
{
	struct bed b;

	bed_init(&b, true);
	for (uint32_t i = 0; i < 300; i++)
		put(&b, i);
	ck_assert_int_eq(build(&b, NULL), ERR_NONE);
	for (uint32_t i = 0; i < 250; i++) {
		ck_assert(dense_due(b.dense) == (i >= 100));
		dense_set(b.dense, i, SLOT_NONE);
	}
	/* 50 that live are no segment any more. */
	ck_assert_int_eq(build(&b, NULL), ERR_NONE);
	ck_assert(b.dense->segment_count == 0 && b.dense->tail.count == 50 && !dense_due(b.dense));
	bed_release(&b);
}
END_TEST

START_TEST(opening_again_finds_segments_and_frees_what_nobody_refers_to)
{
	struct bed b;
	uint32_t slots[ROWS];

	bed_init(&b, true);
	for (uint32_t i = 0; i < 150; i++)
		slots[i] = put(&b, i);
	ck_assert_int_eq(build(&b, NULL), ERR_NONE);
	for (uint32_t i = 150; i < 160; i++)
		slots[i] = put(&b, i);
	dense_close(b.dense, false);
	bed_open(&b);
	for (uint32_t i = 0; i < 159; i++) {
		if (i == 7)
			continue; /* of the segment, but nobody's */
		ck_assert_int_eq(dense_mark(b.dense, slots[i], NULL, NULL), ERR_NONE);
		ck_assert_int_eq(dense_reserve(b.dense, i + 1, 1), ERR_NONE);
		dense_set(b.dense, i, slots[i]);
	}
	ck_assert_int_eq(dense_mark(b.dense, 1u << 30, NULL, NULL), ERR_CORRUPT);
	ck_assert_int_eq(dense_start(b.dense, NULL), ERR_NONE);
	ck_assert(b.dense->segment_count == 1 && b.dense->segments[0].live == 149 &&
		  b.dense->tail.count == 9);
	ck_assert_uint_eq(put(&b, 200), slots[159]);
	for (uint32_t i = 0; i < 50; i++)
		ck_assert_uint_ne(put(&b, 201 + i), slots[7]);
	bed_release(&b);
}
END_TEST

static long read_file(const char *path, char *out, size_t max)
{
	FILE *f = fopen(path, "rb");
	long n = (long)fread(out, 1, max, f);

	fclose(f);
	return n;
}

static void write_file(const char *path, const char *data, long len)
{
	FILE *f = fopen(path, "wb");

	ck_assert_int_eq((long)fwrite(data, 1, (size_t)len, f), len);
	fclose(f);
}

/* Its slots may have been used again meanwhile: it must not come back, even if its file does. */
START_TEST(refused_segment_is_refused_for_ever)
{
	static char data[1 << 20];
	char path[DENSE_PATH_MAX];
	struct bed b;
	uint32_t slots[ROWS];

	bed_init(&b, true);
	for (uint32_t i = 0; i < 150; i++)
		slots[i] = put(&b, i);
	ck_assert_int_eq(build(&b, NULL), ERR_NONE);
	dense_segment_path(b.dense, b.dense->segments[0].number, path);
	long len = read_file(path, data, sizeof(data));

	dense_close(b.dense, false);
	data[5000] ^= 1;
	write_file(path, data, len);
	for (int round = 0; round < 2; round++) {
		bed_open(&b);
		for (uint32_t i = 0; i < 150; i++) {
			ck_assert_int_eq(dense_mark(b.dense, slots[i], NULL, NULL), ERR_NONE);
			ck_assert_int_eq(dense_reserve(b.dense, i + 1, 1), ERR_NONE);
			dense_set(b.dense, i, slots[i]);
		}
		ck_assert_int_eq(dense_start(b.dense, NULL), ERR_NONE);
		ck_assert(b.dense->segment_count == 0 && b.dense->tail.count == 150);
		ck_assert_int_lt(access(path, F_OK), 0);
		dense_close(b.dense, false);
		data[5000] ^= 1;
		write_file(path, data, len); /* whole, the second time */
	}
	bed_open(&b);
	ck_assert_uint_eq(b.dense->segment_count, 0);
	bed_release(&b);
}
END_TEST

static void damage_header(const struct bed *b)
{
	char path[DENSE_PATH_MAX];

	snprintf(path, sizeof(path), "%s/v%u.slots", b->dense->dir, b->dense->options.index);
	FILE *f = fopen(path, "r+b");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fputc(0x55, f), 0x55);
	fclose(f);
}

/* The header repeats what the catalogue knows; the rows' hashes say whether the file is theirs. */
START_TEST(lost_header_is_written_anew_if_most_values_are_the_rows_own)
{
	enum { COUNT = 10 };
	for (uint32_t wrong = 0; wrong <= COUNT; wrong++) {
		struct fault fault = { .err = ERR_NONE };
		uint32_t slots[COUNT];
		struct bed b;

		bed_init(&b, true);
		for (uint32_t i = 0; i < COUNT; i++)
			slots[i] = put(&b, i);
		damage_header(&b);
		dense_close(b.dense, false);
		bed_open(&b);
		for (uint32_t i = 0; i < COUNT; i++) {
			struct vector v = { .kind = VECTOR_DENSE,
					    .values = dense_values(b.dense, slots[i]),
					    .count = DIM };
			uint64_t hash = vector_hash(&v) ^ (i < wrong);
			ck_assert_int_eq(dense_mark(b.dense, slots[i], &hash, NULL), ERR_NONE);
		}
		enum err e = dense_start(b.dense, &fault);
		if (wrong > COUNT / 2) {
			ck_assert_int_eq(e, ERR_CORRUPT);
			ck_assert_ptr_nonnull(
				strstr(fault_text(&fault), ".slots: its header is damaged"));
		} else {
			ck_assert_int_eq(e, ERR_NONE);
			ck_assert(b.dense->rebuilt && b.dense->disproved == wrong);
		}
		dense_close(b.dense, false);
		bed_open(&b);
		ck_assert_int_eq(b.dense->slots->header_lost, wrong > COUNT / 2);
		ck_assert(!b.dense->rebuilt);
		bed_release(&b);
	}
}
END_TEST

START_TEST(slots_in_memory_are_restored)
{
	struct bed b;
	float v[DIM] = { 1, 2, 3, 4 };
	uint32_t slot;

	bed_init(&b, false);
	dense_close(b.dense, false);
	bed_open(&b);
	ck_assert_int_eq(dense_restore(b.dense, 2, v), ERR_NONE);
	v[0] = 5;
	ck_assert_int_eq(dense_restore(b.dense, 4, v), ERR_NONE);
	ck_assert_int_eq(dense_mark(b.dense, 4, NULL, NULL), ERR_NONE);
	ck_assert_int_eq(dense_start(b.dense, NULL), ERR_NONE);
	ck_assert(dense_values(b.dense, 4)[0] == 5.0F && dense_values(b.dense, 2)[0] == 1.0F);
	for (uint32_t i = 0; i < 4; i++) { /* 0 to 3 are free */
		ck_assert_int_eq(dense_add(b.dense, v, &slot, NULL), ERR_NONE);
		ck_assert_uint_lt(slot, 4);
	}
	ck_assert_int_eq(dense_add(b.dense, v, &slot, NULL), ERR_NONE);
	ck_assert_uint_eq(slot, 5);
	bed_release(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dense");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, live_slot_is_the_last_one_set, 0, 2);
	tcase_add_test(t, lost_header_is_written_anew_if_most_values_are_the_rows_own);
	tcase_add_test(t, build_moves_the_tail_into_a_segment);
	tcase_add_test(t, changes_during_a_build_are_kept);
	tcase_add_test(t, failed_and_cancelled_builds_leave_the_tail);
	tcase_add_test(t, what_is_mostly_dead_is_given_up);
	tcase_add_test(t, opening_again_finds_segments_and_frees_what_nobody_refers_to);
	tcase_add_test(t, refused_segment_is_refused_for_ever);
	tcase_add_test(t, slots_in_memory_are_restored);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
