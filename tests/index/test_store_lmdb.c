/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is LMDB's alone: files that it refuses, and what it makes of kills and full disks. What
 * every store has to do is in test_store.c.
 */
#include "index/store.h"

#include "tests/index/store_bed.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* --- what it refuses --- */

static enum err try_open(struct scratch *s, uint64_t map_bytes, struct fault *ret_fault)
{
	struct store *store;
	*ret_fault = (struct fault){ .err = ERR_NONE };
	enum err e = store_lmdb_open(s->dir, map_bytes, &store, ret_fault);
	if (!e)
		store->ops->close(store);
	return e;
}

static void assert_words(const struct fault *f, const char *part)
{
	ck_assert_msg(strstr(fault_text(f), part) != NULL, "\"%s\" says nothing of \"%s\"",
		      fault_text(f), part);
}

START_TEST(missing_folder_is_refused)
{
	struct scratch s;
	struct fault fault;
	scratch_new(&s);
	ck_assert_int_eq(rmdir(s.dir), 0);
	ck_assert_int_ne(try_open(&s, MAP_BYTES, &fault), ERR_NONE);
	assert_words(&fault, s.dir);
}
END_TEST

START_TEST(second_opener_is_refused_with_words)
{
	struct bed b = bed_new(STORE_OF_LMDB);
	struct fault fault;
	char pid[32];
	put_all(&b, "a");
	ck_assert_int_eq(try_open(&b.scratch, MAP_BYTES, &fault), ERR_UNAVAILABLE);
	assert_words(&fault, b.scratch.dir);
	snprintf(pid, sizeof(pid), "(%ld)", (long)getpid());
	assert_words(&fault, pid);
	struct store_txn *t = begin(&b, false);
	assert_value(&b, t, "a", "a");
	b.ops->abort(t);
	b.ops->close(b.store);
	ck_assert_int_eq(try_open(&b.scratch, MAP_BYTES, &fault), ERR_NONE);
	scratch_remove(&b.scratch);
}
END_TEST

static void write_file(struct scratch *s, const char *name, const void *data, size_t len)
{
	FILE *f = fopen(scratch_path(s, name), "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

/* Replaces the bytes wherever they stand in data.mdb; how often. */
static unsigned patch(struct scratch *s, const char *from, const char *to, size_t len)
{
	FILE *f = fopen(scratch_path(s, "data.mdb"), "r");
	ck_assert_ptr_nonnull(f);
	size_t cap = (size_t)16 << 20;
	char *data = malloc(cap);
	size_t size = fread(data, 1, cap, f);
	ck_assert_int_eq(fclose(f), 0);
	unsigned count = 0;
	for (char *p = data; (p = memmem(p, size - (size_t)(p - data), from, len)) != NULL;
	     p += len) {
		memcpy(p, to, len);
		count++;
	}
	write_file(s, "data.mdb", data, size);
	free(data);
	return count;
}

START_TEST(file_that_is_no_store_is_refused)
{
	static char noise[16384];
	struct scratch s;
	struct fault fault;
	scratch_new(&s);
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)(i * 31 + 7);
	write_file(&s, "data.mdb", noise, sizeof(noise));
	ck_assert_int_eq(try_open(&s, MAP_BYTES, &fault), ERR_CORRUPT);
	assert_words(&fault, s.dir);
	scratch_remove(&s);
}
END_TEST

START_TEST(stores_of_others_and_of_newer_versions_are_refused)
{
	static const struct {
		const char *from, *to;
		size_t len;
		enum err err;
	} cases[] = {
		{ "ISTHMUS\0\1\0\0\0", "ISTHMUS\0\2\0\0\0", 12, ERR_VERSION },
		{ "ISTHMUS\0\1\0\0\0", "ANOTHER\0\1\0\0\0", 12, ERR_CORRUPT },
		{ "format", "formax", 6, ERR_CORRUPT },
		{ "meta", "metz", 4, ERR_CORRUPT },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bed b = bed_new(STORE_OF_LMDB);
		struct fault fault;
		b.ops->close(b.store);
		unsigned patched = patch(&b.scratch, cases[i].from, cases[i].to, cases[i].len);
		ck_assert_msg(patched > 0, "row %zu", i);
		enum err e = try_open(&b.scratch, MAP_BYTES, &fault);
		ck_assert_msg(e == cases[i].err, "row %zu: %s, %s", i, err_name(e),
			      fault_text(&fault));
		assert_words(&fault, b.scratch.dir);
		/* Refused, and left alone: what was changed changed back, it opens. */
		patch(&b.scratch, cases[i].to, cases[i].from, cases[i].len);
		e = try_open(&b.scratch, MAP_BYTES, &fault);
		ck_assert_msg(!e, "row %zu: %s", i, fault_text(&fault));
		scratch_remove(&b.scratch);
	}
}
END_TEST

static off_t size_of(struct scratch *s)
{
	struct stat st;

	ck_assert_int_eq(stat(scratch_path(s, "data.mdb"), &st), 0);
	return st.st_size;
}

/* Rows of some pages and of part of one, written and deleted by several commits, so that every kind of page is there. */
static struct bed grown(void)
{
	static const uint8_t zeroes[9000];
	struct bed b = bed_new(STORE_OF_LMDB);
	char name[16];

	for (unsigned round = 0; round < 4; round++) {
		struct store_txn *t = begin(&b, true);
		for (unsigned i = 0; i < 100; i++) {
			snprintf(name, sizeof(name), "%u-%u", round, i);
			ck_assert_int_eq(b.ops->put(t, STORE_ROWS, text(name),
						    (struct bytes){ zeroes, i % 2 ? 9000 : 90 }),
					 ERR_NONE);
			snprintf(name, sizeof(name), "%u-%u", round - 1, i);
			if (round > 0 && i % 3 == 0)
				ck_assert_int_eq(b.ops->del(t, STORE_ROWS, text(name)), ERR_NONE);
		}
		commit(&b, t);
	}
	return b;
}

START_TEST(file_that_is_cut_off_is_refused_and_left_as_it_is)
{
	struct bed b = grown();
	struct fault fault;
	unsigned refused = 0;

	b.ops->close(b.store);
	off_t whole = size_of(&b.scratch);
	char *data = malloc((size_t)whole);
	FILE *f = fopen(scratch_path(&b.scratch, "data.mdb"), "r");
	ck_assert_uint_eq(fread(data, 1, (size_t)whole, f), (size_t)whole);
	ck_assert_int_eq(fclose(f), 0);
	/* Everywhere behind the two pages without which nothing is known of a file; what is missing may be free. */
	for (off_t size = 8192; size < whole; size += size % 4096 ? 1 : 4095) {
		write_file(&b.scratch, "data.mdb", data, (size_t)size);
		enum err e = try_open(&b.scratch, MAP_BYTES, &fault);
		if (!e)
			continue;
		refused++;
		ck_assert_msg(e == ERR_CORRUPT, "%ld bytes: %s", (long)size, fault_text(&fault));
		assert_words(&fault, b.scratch.dir);
		assert_words(&fault, "data.mdb is cut off");
		ck_assert_int_eq(size_of(&b.scratch), size);
	}
	ck_assert_uint_gt(refused, whole / 4096);
	write_file(&b.scratch, "data.mdb", data, (size_t)whole / 2);
	ck_assert_int_eq(try_open(&b.scratch, MAP_BYTES, &fault), ERR_CORRUPT);
	write_file(&b.scratch, "data.mdb", data, 5000);
	ck_assert_int_eq(try_open(&b.scratch, MAP_BYTES, &fault), ERR_CORRUPT);
	write_file(&b.scratch, "data.mdb", data, (size_t)whole);
	ck_assert_int_eq(try_open(&b.scratch, MAP_BYTES, &fault), ERR_NONE);
	free(data);
	scratch_remove(&b.scratch);
}
END_TEST

/* LMDB leaves the pages at the end unwritten that a transaction took and gave back. */
START_TEST(file_that_ends_with_pages_never_written_is_opened)
{
	static const uint8_t zeroes[200000];
	struct bed b = bed_new(STORE_OF_LMDB);

	/* So that there are free pages to which those given back are added. */
	for (unsigned i = 0; i < 5; i++)
		put_all(&b, "a");
	struct store_txn *t = begin(&b, true);
	put(&b, t, "b", "b");
	ck_assert_int_eq(
		b.ops->put(t, STORE_ROWS, text("x"), (struct bytes){ zeroes, sizeof(zeroes) }),
		ERR_NONE);
	ck_assert_int_eq(b.ops->del(t, STORE_ROWS, text("x")), ERR_NONE);
	commit(&b, t);
	b.ops->close(b.store);
	off_t before = size_of(&b.scratch);
	bed_open_lmdb(&b);
	ck_assert_int_gt(size_of(&b.scratch), before);
	t = begin(&b, false);
	assert_value(&b, t, "a", "a");
	assert_value(&b, t, "b", "b");
	b.ops->abort(t);
	bed_free(&b);
}
END_TEST

START_TEST(damaged_lock_file_is_made_anew)
{
	static const char *const names[] = { "lock.mdb", "isthmus.lock" };
	static char noise[20000];
	struct bed b = bed_new(STORE_OF_LMDB);

	put_all(&b, "a");
	memset(noise, 'x', sizeof(noise));
	for (size_t i = 0; i < LEN(names); i++)
		for (size_t len = 0; len <= sizeof(noise); len += 5000) {
			b.ops->close(b.store);
			write_file(&b.scratch, names[i], noise, len);
			bed_open_lmdb(&b);
			struct store_txn *t = begin(&b, false);
			assert_value(&b, t, "a", "a");
			b.ops->abort(t);
			put_all(&b, "b");
		}
	bed_free(&b);
}
END_TEST

/* --- the disk --- */

START_TEST(committed_writes_are_there_when_it_is_opened_again)
{
	struct bed b = bed_new(STORE_OF_LMDB);
	for (int i = 0; i < 3; i++) {
		char key[2] = { (char)('a' + i), 0 };
		put_all(&b, key);
		b.ops->close(b.store);
		bed_open_lmdb(&b);
		struct store_txn *t = begin(&b, false);
		for (char k[2] = "a"; k[0] <= key[0]; k[0]++)
			assert_value(&b, t, k, k);
		b.ops->abort(t);
	}
	bed_free(&b);
}
END_TEST

START_TEST(killed_writer_leaves_its_last_commit)
{
	struct scratch s;
	scratch_new(&s);
	pid_t child = fork();
	if (child == 0) {
		struct bed b = { .scratch = s };
		bed_open_lmdb(&b);
		put_all(&b, "ab");
		struct store_txn *t = begin(&b, true);
		put(&b, t, "a", "lost");
		raise(SIGKILL);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status));
	struct bed b = { .scratch = s };
	bed_open_lmdb(&b);
	struct store_txn *t = begin(&b, false);
	assert_value(&b, t, "a", "a");
	assert_value(&b, t, "b", "b");
	b.ops->abort(t);
	bed_free(&b);
}
END_TEST

/* Writes until something fails; the error of the put or the commit. */
static enum err fill(struct bed *b, unsigned puts_max, struct fault *ret_fault)
{
	static const uint8_t zeroes[4000];
	struct store_txn *t = begin(b, true);
	enum err e = ERR_NONE;
	char name[16];

	for (unsigned i = 0; i < puts_max && !e; i++) {
		snprintf(name, sizeof(name), "fill%u", i);
		e = b->ops->put(t, STORE_ROWS, text(name),
				(struct bytes){ zeroes, sizeof(zeroes) });
	}
	if (e) {
		ck_assert_int_eq(b->ops->put(t, STORE_ROWS, text("a"), text("1")), e);
		ck_assert_int_eq(b->ops->del(t, STORE_ROWS, text("a")), e);
		ck_assert_int_eq(b->ops->commit(t, ret_fault), e);
		return e;
	}
	return b->ops->commit(t, ret_fault);
}

START_TEST(full_store_refuses_and_stays_usable)
{
	struct bed b;
	struct fault fault = { .err = ERR_NONE };
	scratch_new(&b.scratch);
	ck_assert_int_eq(store_lmdb_open(b.scratch.dir, 1 << 20, &b.store, &fault), ERR_NONE);
	b.ops = b.store->ops;
	put_all(&b, "a");
	ck_assert_uint_eq(b.store->bytes_max, 1 << 20);
	ck_assert_int_eq(fill(&b, 1000, &fault), ERR_STORE_FULL);
	assert_words(&fault, b.scratch.dir);
	assert_words(&fault, "storage.map_size");
	struct store_txn *t = begin(&b, true);
	assert_value(&b, t, "a", "a");
	assert_value(&b, t, "fill0", NULL);
	put(&b, t, "b", "b");
	commit(&b, t);
	t = begin(&b, false);
	assert_value(&b, t, "b", "b");
	b.ops->abort(t);
	bed_free(&b);
}
END_TEST

START_TEST(full_disk_refuses_and_stays_usable)
{
	struct bed b = bed_new(STORE_OF_LMDB);
	struct fault fault = { .err = ERR_NONE };
	struct rlimit limit, small;
	put_all(&b, "a");
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	signal(SIGXFSZ, SIG_IGN);
	small = limit;
	small.rlim_cur = (rlim_t)1 << 20;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	ck_assert_int_eq(fill(&b, 1000, &fault), ERR_NO_SPACE);
	assert_words(&fault, b.scratch.dir);
	put_all(&b, "b");
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(fill(&b, 1000, &fault), ERR_NONE);
	struct store_txn *t = begin(&b, false);
	assert_value(&b, t, "a", "a");
	assert_value(&b, t, "b", "b");
	b.ops->abort(t);
	bed_free(&b);
}
END_TEST

START_TEST(readers_beyond_the_bound_are_refused)
{
	struct bed b = bed_new(STORE_OF_LMDB);
	struct store_txn *readers[STORE_READERS_MAX], *one_more;
	for (size_t i = 0; i < LEN(readers); i++)
		readers[i] = begin(&b, false);
	ck_assert_int_eq(b.ops->begin(b.store, false, &one_more), ERR_UNAVAILABLE);
	b.ops->abort(readers[0]);
	readers[0] = begin(&b, false);
	for (size_t i = 0; i < LEN(readers); i++)
		b.ops->abort(readers[i]);
	bed_free(&b);
}
END_TEST

START_TEST(stats_tell_bound_and_use)
{
	struct bed b = bed_new(STORE_OF_LMDB);
	struct fault fault;
	struct store_stats empty = store_lmdb_stats(b.store);
	ck_assert_uint_eq(empty.map_bytes, MAP_BYTES);
	ck_assert_int_eq(fill(&b, 500, &fault), ERR_NONE);
	struct store_stats full = store_lmdb_stats(b.store);
	ck_assert_uint_ge(full.used_bytes, empty.used_bytes + 500 * 4000);

	struct store_txn *t = begin(&b, true);
	char name[16];
	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "fill%u", i);
		ck_assert_int_eq(b.ops->del(t, STORE_ROWS, text(name)), ERR_NONE);
	}
	commit(&b, t);
	struct store_stats emptied = store_lmdb_stats(b.store);
	ck_assert_uint_lt(emptied.used_bytes, full.used_bytes / 4);
	bed_free(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_lmdb");
	TCase *t = tcase_create("lmdb");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, missing_folder_is_refused);
	tcase_add_test(t, second_opener_is_refused_with_words);
	tcase_add_test(t, file_that_is_no_store_is_refused);
	tcase_add_test(t, stores_of_others_and_of_newer_versions_are_refused);
	tcase_add_test(t, file_that_is_cut_off_is_refused_and_left_as_it_is);
	tcase_add_test(t, file_that_ends_with_pages_never_written_is_opened);
	tcase_add_test(t, damaged_lock_file_is_made_anew);
	tcase_add_test(t, committed_writes_are_there_when_it_is_opened_again);
	tcase_add_test(t, killed_writer_leaves_its_last_commit);
	tcase_add_test(t, full_store_refuses_and_stays_usable);
	tcase_add_test(t, full_disk_refuses_and_stays_usable);
	tcase_add_test(t, readers_beyond_the_bound_are_refused);
	tcase_add_test(t, stats_tell_bound_and_use);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
