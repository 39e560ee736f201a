/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots: what both kinds have to do, then what is the file's alone.
 */
#include "index/slots.h"

#include "base/hash.h"
#include "tests/index/random.h"
#include "tests/index/scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define RECORD_BYTES 100 /* not a multiple of 64 */
#define HEADER_BYTES 4096
#define STRIDE 128

enum { SLOTS_OF_MEMORY, SLOTS_OF_FILE, SLOTS_KINDS };

struct bed {
	struct scratch scratch;
	struct slots *slots;
};

static struct slots *open_file(struct scratch *s, uint32_t record_bytes)
{
	struct slots *slots = NULL;
	struct fault fault = { .err = ERR_NONE };
	enum err e = slots_file_open(scratch_path(s, "slots"), record_bytes, &slots, &fault);
	ck_assert_msg(!e, "%s", fault_text(&fault));
	return slots;
}

static struct bed bed_new(int which, uint32_t record_bytes)
{
	struct bed b;

	scratch_new(&b.scratch);
	if (which == SLOTS_OF_FILE)
		b.slots = open_file(&b.scratch, record_bytes);
	else
		ck_assert_int_eq(slots_mem_new(record_bytes, &b.slots), ERR_NONE);
	ck_assert_int_eq(slots_mark_done(b.slots), ERR_NONE);
	return b;
}

/* With one record, so that there is a file; closed. */
static struct bed bed_closed(void)
{
	struct bed b = bed_new(SLOTS_OF_FILE, RECORD_BYTES);
	uint8_t record[RECORD_BYTES] = { 1 };
	uint32_t slot;

	ck_assert_int_eq(slots_add(b.slots, record, &slot, NULL), ERR_NONE);
	b.slots->ops->close(b.slots, false);
	return b;
}

static void bed_free(struct bed *b)
{
	b->slots->ops->close(b->slots, true);
	ck_assert_int_ne(access(scratch_path(&b->scratch, "slots"), F_OK), 0);
	scratch_remove(&b->scratch);
}

/* A record that its number decides. */
static void fill_record(uint8_t *record, size_t len, uint64_t n)
{
	for (size_t i = 0; i < len; i++)
		record[i] = (uint8_t)(hash64(&n, sizeof(n), i / 64) >> (i % 8 * 8));
}

static uint32_t add(struct slots *s, uint64_t n)
{
	uint8_t record[4096];
	uint32_t slot = SLOT_NONE;

	ck_assert_uint_le(s->record_bytes, sizeof(record));
	fill_record(record, s->record_bytes, n);
	ck_assert_int_eq(slots_add(s, record, &slot, NULL), ERR_NONE);
	return slot;
}

static void assert_record(const struct slots *s, uint32_t slot, uint64_t n)
{
	uint8_t record[4096];

	fill_record(record, s->record_bytes, n);
	ck_assert_msg(memcmp(s->ops->at(s, slot), record, s->record_bytes) == 0,
		      "slot %u is not record %lu", slot, (unsigned long)n);
}

/* --- both kinds --- */

START_TEST(slot_beyond_the_end_is_refused)
{
	struct bed b = bed_new(_i, RECORD_BYTES);
	ck_assert_int_eq(slots_mark(b.slots, b.slots->high), ERR_CORRUPT);
	ck_assert_int_eq(slots_mark(b.slots, SLOT_NONE), ERR_CORRUPT);
	bed_free(&b);
}
END_TEST

START_TEST(records_are_read_back_and_stay_where_they_are)
{
	static const uint32_t sizes[] = { 1, 64, RECORD_BYTES, 3072 };
	for (size_t i = 0; i < LEN(sizes); i++) {
		struct bed b = bed_new(_i, sizes[i]);
		uint32_t first = add(b.slots, 0);
		const void *where = b.slots->ops->at(b.slots, first);
		for (uint64_t n = 1; n < 3000; n++) {
			uint32_t slot = add(b.slots, n);
			ck_assert_uint_eq(slot, n);
			ck_assert_uint_eq((uintptr_t)b.slots->ops->at(b.slots, slot) % 64, 0);
		}
		ck_assert_int_eq(b.slots->ops->sync(b.slots, NULL), ERR_NONE);
		ck_assert_ptr_eq(b.slots->ops->at(b.slots, first), where);
		for (uint32_t n = 0; n < 3000; n++)
			assert_record(b.slots, n, n);
		bed_free(&b);
	}
}
END_TEST

START_TEST(freed_slots_are_taken_again_and_no_other)
{
	struct bed b = bed_new(_i, RECORD_BYTES);
	bool used[500] = { false };
	uint64_t holds[500] = { 0 };
	struct random seed = { 7 };
	uint32_t count = 0;

	for (uint64_t step = 1; step <= 20000; step++) {
		uint32_t slot = (uint32_t)(random_u64(&seed) % LEN(used));
		if (used[slot]) {
			slots_free(b.slots, slot);
			used[slot] = false;
			count--;
		} else if (count < LEN(used)) {
			slot = add(b.slots, step);
			ck_assert_uint_lt(slot, LEN(used));
			ck_assert_msg(!used[slot], "slot %u was handed out twice", slot);
			used[slot] = true;
			holds[slot] = step;
			count++;
		}
	}
	for (uint32_t i = 0; i < LEN(used); i++)
		if (used[i])
			assert_record(b.slots, i, holds[i]);
	bed_free(&b);
}
END_TEST

/* --- files --- */

START_TEST(unmarked_slots_are_free_after_opening_again)
{
	struct bed b = bed_new(SLOTS_OF_FILE, RECORD_BYTES);
	for (uint64_t n = 0; n < 200; n++)
		add(b.slots, n);
	ck_assert_int_eq(b.slots->ops->sync(b.slots, NULL), ERR_NONE);
	b.slots->ops->close(b.slots, false);

	b.slots = open_file(&b.scratch, RECORD_BYTES);
	ck_assert_uint_ge(b.slots->high, 200);
	ck_assert_int_eq(slots_mark(b.slots, b.slots->high), ERR_CORRUPT);
	for (uint32_t n = 0; n < 200; n++)
		if (n % 3 != 0)
			ck_assert_int_eq(slots_mark(b.slots, n), ERR_NONE);
	ck_assert_int_eq(slots_mark(b.slots, 1), ERR_NONE);
	ck_assert_int_eq(slots_mark_done(b.slots), ERR_NONE);
	for (uint32_t n = 0; n < 200; n += 3)
		ck_assert_uint_eq(add(b.slots, 1000 + n), n);
	ck_assert_uint_eq(add(b.slots, 5000), 200);
	for (uint32_t n = 0; n < 200; n++)
		assert_record(b.slots, n, n % 3 == 0 ? 1000 + n : n);
	bed_free(&b);
}
END_TEST

START_TEST(file_grows_in_steps_across_openings)
{
	struct bed b = bed_new(SLOTS_OF_FILE, 3072);
	uint32_t high = 0;
	for (int round = 0; round < 4; round++) {
		for (uint32_t n = 0; n < high; n++)
			assert_record(b.slots, n, n);
		for (uint32_t n = 0; n < 1500; n++)
			ck_assert_uint_eq(add(b.slots, high + n), high + n);
		high += 1500;
		ck_assert_int_eq(b.slots->ops->sync(b.slots, NULL), ERR_NONE);
		b.slots->ops->close(b.slots, false);
		b.slots = open_file(&b.scratch, 3072);
		for (uint32_t n = 0; n < high; n++)
			ck_assert_int_eq(slots_mark(b.slots, n), ERR_NONE);
		ck_assert_int_eq(slots_mark_done(b.slots), ERR_NONE);
	}
	struct stat st;
	ck_assert_int_eq(stat(scratch_path(&b.scratch, "slots"), &st), 0);
	ck_assert_int_ge(st.st_size, HEADER_BYTES + (off_t)high * 3072);
	ck_assert_int_le(st.st_size, HEADER_BYTES + (off_t)high * 3072 * 2 + (1 << 20));
	bed_free(&b);
}
END_TEST

START_TEST(header_and_records_are_these_bytes)
{
	static const uint8_t header[16] = { 'I', 'S', 'T', 'H', 'S',          'L', 'O', 'T',
					    1,   0,   0,   0,   RECORD_BYTES, 0,   0,   0 };
	uint8_t found[HEADER_BYTES + 2 * STRIDE], record[RECORD_BYTES];
	struct bed b = bed_new(SLOTS_OF_FILE, RECORD_BYTES);
	add(b.slots, 0);
	add(b.slots, 1);
	b.slots->ops->close(b.slots, false);

	FILE *f = fopen(scratch_path(&b.scratch, "slots"), "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fread(found, 1, sizeof(found), f), sizeof(found));
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_mem_eq(found, header, sizeof(header));
	uint64_t hash = hash64(header, sizeof(header), 0);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(found[16 + i], (uint8_t)(hash >> (8 * i)));
	for (size_t i = 24; i < HEADER_BYTES; i++)
		ck_assert_uint_eq(found[i], 0);
	fill_record(record, RECORD_BYTES, 1);
	ck_assert_mem_eq(found + HEADER_BYTES + STRIDE, record, RECORD_BYTES);
	scratch_remove(&b.scratch);
}
END_TEST

START_TEST(foreign_and_cut_files_are_refused)
{
	static const struct {
		size_t at;    /* byte changed */
		off_t length; /* cut to, 0: left */
		uint32_t record_bytes;
		enum err err;
	} cases[] = {
		{ .at = SIZE_MAX, .record_bytes = RECORD_BYTES + 1, .err = ERR_CORRUPT },
		{ .at = SIZE_MAX,
		  .record_bytes = RECORD_BYTES,
		  .length = 4095,
		  .err = ERR_CORRUPT },
		{ .at = SIZE_MAX, .record_bytes = RECORD_BYTES, .length = 1, .err = ERR_CORRUPT },
		{ .at = 8, .record_bytes = RECORD_BYTES, .length = 8191, .err = ERR_CORRUPT },
		{ .at = SIZE_MAX, .record_bytes = RECORD_BYTES, .err = ERR_NONE },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bed b = bed_closed();
		const char *path = scratch_path(&b.scratch, "slots");
		struct fault fault = { .err = ERR_NONE };
		int fd = open(path, O_RDWR);
		if (cases[i].at != SIZE_MAX)
			ck_assert_int_eq(pwrite(fd, "\x7F", 1, (off_t)cases[i].at), 1);
		if (cases[i].length)
			ck_assert_int_eq(ftruncate(fd, cases[i].length), 0);
		close(fd);
		enum err e = slots_file_open(path, cases[i].record_bytes, &b.slots, &fault);
		ck_assert_msg(e == cases[i].err, "row %zu: %s", i, err_name(e));
		if (e)
			ck_assert_msg(strstr(fault_text(&fault), path) != NULL, "row %zu: %s", i,
				      fault_text(&fault));
		else
			b.slots->ops->close(b.slots, false);
		scratch_remove(&b.scratch);
	}
}
END_TEST

START_TEST(damaged_header_is_told_and_written_anew)
{
	static const off_t places[] = { 0, 8, 12, 20 };
	for (size_t i = 0; i < LEN(places); i++) {
		struct bed b = bed_closed();
		int fd = open(scratch_path(&b.scratch, "slots"), O_RDWR);
		ck_assert_int_eq(pwrite(fd, "\x7F", 1, places[i]), 1);
		close(fd);
		for (int again = 0; again < 2; again++) {
			b.slots = open_file(&b.scratch, RECORD_BYTES);
			ck_assert_msg(b.slots->header_lost, "row %zu", i);
			ck_assert_int_eq(slots_mark(b.slots, 0), ERR_NONE);
			ck_assert_int_eq(*(const uint8_t *)b.slots->ops->at(b.slots, 0), 1);
			if (again)
				ck_assert_int_eq(slots_file_rebuild(b.slots, NULL), ERR_NONE);
			b.slots->ops->close(b.slots, false);
		}
		b.slots = open_file(&b.scratch, RECORD_BYTES);
		ck_assert_msg(!b.slots->header_lost, "row %zu", i);
		ck_assert_int_eq(*(const uint8_t *)b.slots->ops->at(b.slots, 0), 1);
		bed_free(&b);
	}
}
END_TEST

static unsigned descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* There may be thousands of files: a vector for each shard of each collection. */
START_TEST(file_takes_nothing_before_its_first_record_and_little_after_it)
{
	struct bed b = bed_new(SLOTS_OF_FILE, 3072);
	const char *path = scratch_path(&b.scratch, "slots");
	unsigned before = descriptors();
	struct stat st;

	ck_assert_int_ne(stat(path, &st), 0);
	ck_assert_int_eq(b.slots->ops->sync(b.slots, NULL), ERR_NONE);
	ck_assert_int_ne(stat(path, &st), 0);
	for (uint64_t n = 0; n < 20; n++)
		ck_assert_uint_eq(add(b.slots, n), n);
	ck_assert_uint_eq(descriptors(), before + 1);
	ck_assert_int_eq(b.slots->ops->sync(b.slots, NULL), ERR_NONE);
	ck_assert_uint_eq(descriptors(), before);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_le(st.st_blocks * 512, 72 << 10);
	for (uint32_t n = 0; n < 20; n++)
		assert_record(b.slots, n, n);
	/* Nothing of a file that was opened and only read is held either. */
	b.slots->ops->close(b.slots, false);
	b.slots = open_file(&b.scratch, 3072);
	ck_assert_uint_eq(descriptors(), before);
	bed_free(&b);
}
END_TEST

START_TEST(too_many_open_files_fail_the_write_with_the_cure_and_pass)
{
	struct bed b = bed_new(SLOTS_OF_FILE, RECORD_BYTES);
	struct fault fault = { .err = ERR_NONE };
	uint8_t record[RECORD_BYTES] = { 0 };
	struct rlimit limit, none;
	uint32_t slot;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	enum err e = slots_add(b.slots, record, &slot, &fault);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(e, ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(fault_text(&fault), scratch_path(&b.scratch, "slots")));
	ck_assert_ptr_nonnull(strstr(fault_text(&fault), "LimitNOFILE"));
	ck_assert_uint_eq(add(b.slots, 0), 0);
	ck_assert_int_eq(b.slots->ops->sync(b.slots, NULL), ERR_NONE);
	assert_record(b.slots, 0, 0);
	bed_free(&b);
}
END_TEST

START_TEST(newer_version_is_refused)
{
	uint8_t header[HEADER_BYTES] = { 'I', 'S', 'T', 'H', 'S', 'L', 'O', 'T', 2, 0, 0, 0, 64 };
	struct fault fault;
	struct scratch s;
	struct slots *slots;
	scratch_new(&s);
	uint64_t hash = hash64(header, 16, 0);
	for (int i = 0; i < 8; i++)
		header[16 + i] = (uint8_t)(hash >> (8 * i));
	FILE *f = fopen(scratch_path(&s, "slots"), "w");
	ck_assert_uint_eq(fwrite(header, 1, sizeof(header), f), sizeof(header));
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(slots_file_open(s.path, 64, &slots, &fault), ERR_VERSION);
	scratch_remove(&s);
}
END_TEST

START_TEST(cut_file_makes_its_lost_slots_corrupt)
{
	struct bed b = bed_new(SLOTS_OF_FILE, RECORD_BYTES);
	for (uint64_t n = 0; n < 100; n++)
		add(b.slots, n);
	b.slots->ops->close(b.slots, false);
	ck_assert_int_eq(
		truncate(scratch_path(&b.scratch, "slots"), HEADER_BYTES + 50 * STRIDE + 1), 0);
	b.slots = open_file(&b.scratch, RECORD_BYTES);
	ck_assert_uint_eq(b.slots->high, 50);
	ck_assert_int_eq(slots_mark(b.slots, 49), ERR_NONE);
	ck_assert_int_eq(slots_mark(b.slots, 50), ERR_CORRUPT);
	ck_assert_int_eq(slots_mark_done(b.slots), ERR_NONE);
	assert_record(b.slots, 49, 49);
	for (uint32_t n = 0; n < 100; n++)
		add(b.slots, n);
	assert_record(b.slots, 49, 49);
	bed_free(&b);
}
END_TEST

START_TEST(missing_folder_fails_the_first_write)
{
	struct fault fault = { .err = ERR_NONE };
	struct slots *slots;
	struct scratch s;
	scratch_new(&s);
	const char *path = scratch_path(&s, "nowhere/slots");
	ck_assert_int_eq(slots_file_open(path, 64, &slots, &fault), ERR_NONE);
	ck_assert_int_eq(slots_mark_done(slots), ERR_NONE);
	uint8_t record[64] = { 0 };
	uint32_t slot;
	/* Not "not found", which would be the client's mistake. */
	ck_assert_int_eq(slots_add(slots, record, &slot, &fault), ERR_IO);
	ck_assert_ptr_nonnull(strstr(fault_text(&fault), path));
	slots->ops->close(slots, false);
	scratch_remove(&s);
}
END_TEST

START_TEST(full_disk_is_an_error_of_the_growing_write)
{
	struct bed b = bed_new(SLOTS_OF_FILE, 1024);
	struct rlimit limit, small;
	uint8_t record[1024] = { 0 };
	uint32_t slot = 0, before = 0;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	signal(SIGXFSZ, SIG_IGN);
	small = limit;
	small.rlim_cur = (rlim_t)3 << 20;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	enum err e = ERR_NONE;
	while (!e && before < 10000) {
		fill_record(record, sizeof(record), before);
		e = slots_add(b.slots, record, &slot, NULL);
		before += !e;
	}
	ck_assert_int_eq(e, ERR_NO_SPACE);
	ck_assert_uint_eq(b.slots->high, before);
	struct stat st;
	ck_assert_int_eq(stat(scratch_path(&b.scratch, "slots"), &st), 0);
	ck_assert_int_eq(slots_add(b.slots, record, &slot, NULL), ERR_NO_SPACE);
	off_t size = st.st_size;
	ck_assert_int_eq(stat(b.scratch.path, &st), 0);
	ck_assert_int_eq(st.st_size, size);
	/* A free slot needs no room. */
	slots_free(b.slots, 5);
	ck_assert_int_eq(slots_add(b.slots, record, &slot, NULL), ERR_NONE);
	ck_assert_uint_eq(slot, 5);
	ck_assert_int_eq(b.slots->ops->sync(b.slots, NULL), ERR_NONE);

	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_uint_eq(add(b.slots, before), before);
	for (uint32_t n = 0; n <= before; n++)
		if (n != 5)
			assert_record(b.slots, n, n);
	bed_free(&b);
}
END_TEST

static uint64_t address_bytes(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A process has 128 TiB of addresses, and a file for each vector of each shard of each collection. */
START_TEST(small_files_take_few_addresses)
{
	struct bed beds[16];
	uint64_t before = address_bytes();

	for (size_t i = 0; i < LEN(beds); i++) {
		beds[i] = bed_new(SLOTS_OF_FILE, 3072);
		assert_record(beds[i].slots, add(beds[i].slots, i), i);
	}
	ck_assert_uint_le(address_bytes() - before, LEN(beds) * ((uint64_t)1 << 30));
	for (size_t i = 0; i < LEN(beds); i++)
		bed_free(&beds[i]);
	ck_assert_uint_le(address_bytes() - before, (uint64_t)1 << 30);
}
END_TEST

static uint8_t *big_record(uint8_t *record, size_t len, uint32_t n)
{
	memset(record, (int)(n % 251), len);
	memcpy(record, &n, sizeof(n));
	return record;
}

/* 256 MiB and a little, the length of a chunk. */
START_TEST(records_stand_still_when_the_file_reaches_another_chunk)
{
	enum { LENGTH = 256 * 1024, COUNT = 1030 };
	static uint8_t record[LENGTH];
	const void *at[COUNT];
	struct bed b = bed_new(SLOTS_OF_FILE, LENGTH);
	uint32_t slot;

	for (uint32_t i = 0; i < COUNT; i++) {
		ck_assert_int_eq(slots_add(b.slots, big_record(record, LENGTH, i), &slot, NULL),
				 ERR_NONE);
		ck_assert_uint_eq(slot, i);
		at[i] = b.slots->ops->at(b.slots, i);
	}
	for (int again = 0; again < 2; again++) {
		for (uint32_t i = 0; i < COUNT; i++) {
			const void *now = b.slots->ops->at(b.slots, i);
			ck_assert(again || now == at[i]);
			ck_assert(memcmp(now, big_record(record, LENGTH, i), LENGTH) == 0);
		}
		b.slots->ops->close(b.slots, false);
		b.slots = open_file(&b.scratch, LENGTH);
	}
	bed_free(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("slots");
	TCase *t = tcase_create("both");
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, slot_beyond_the_end_is_refused, 0, SLOTS_KINDS);
	tcase_add_loop_test(t, records_are_read_back_and_stay_where_they_are, 0, SLOTS_KINDS);
	tcase_add_loop_test(t, freed_slots_are_taken_again_and_no_other, 0, SLOTS_KINDS);
	suite_add_tcase(s, t);
	t = tcase_create("file");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, missing_folder_fails_the_first_write);
	tcase_add_test(t, foreign_and_cut_files_are_refused);
	tcase_add_test(t, damaged_header_is_told_and_written_anew);
	tcase_add_test(t, file_takes_nothing_before_its_first_record_and_little_after_it);
	tcase_add_test(t, too_many_open_files_fail_the_write_with_the_cure_and_pass);
	tcase_add_test(t, newer_version_is_refused);
	tcase_add_test(t, cut_file_makes_its_lost_slots_corrupt);
	tcase_add_test(t, unmarked_slots_are_free_after_opening_again);
	tcase_add_test(t, file_grows_in_steps_across_openings);
	tcase_add_test(t, header_and_records_are_these_bytes);
	tcase_add_test(t, full_disk_is_an_error_of_the_growing_write);
	tcase_add_test(t, small_files_take_few_addresses);
	tcase_add_test(t, records_stand_still_when_the_file_reaches_another_chunk);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
