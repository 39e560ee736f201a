/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy takes the place of what is in storage.dir, whatever interrupts it.
 */
#include "gateway/daemon_inner.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OLD "0000000000000001-1"
#define SAME "0000000000000002-1"
#define NEW "0000000000000003-1"

static char dir[64];

static void path_of(const char *name, char out[512])
{
	(void)snprintf(out, 512, "%s/%s", dir, name);
}

static void put(const char *name, const char *text)
{
	char path[512];
	path_of(name, path);
	FILE *f = fopen(path, "we");

	ck_assert_msg(f != NULL, "%s", path);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* "" when it is not there. */
static const char *get(const char *name)
{
	static char text[64];
	char path[512];
	path_of(name, path);
	FILE *f = fopen(path, "re");

	text[0] = '\0';
	if (!f)
		return text;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	(void)fclose(f);
	return text;
}

static void make_collection(const char *name, const char *text)
{
	char path[512], file[256];

	path_of(name, path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	(void)snprintf(file, sizeof(file), "%s/shard-0", name);
	path_of(file, path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	(void)snprintf(file, sizeof(file), "%s/shard-0/v0.slots", name);
	put(file, text);
}

static bool there(const char *name)
{
	char path[512];

	path_of(name, path);
	return access(path, F_OK) == 0;
}

static void set_up(void)
{
	char path[512];

	(void)snprintf(dir, sizeof(dir), "/tmp/isthmus-bootstrap-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	put("data.mdb", "old");
	put("session.key", "kept");
	make_collection(OLD, "old");
	make_collection(SAME, "old");
	path_of("bootstrap", path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	put("bootstrap/data.mdb", "new");
	put("bootstrap/lock.mdb", "");
	make_collection("bootstrap/" SAME, "new");
	make_collection("bootstrap/" NEW, "new");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *place)
{
	(void)st;
	(void)kind;
	(void)place;
	return remove(path);
}

static void remove_all(const char *path)
{
	ck_assert_int_eq(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void tear_down(void)
{
	remove_all(dir);
}

static void swap(void)
{
	struct fault f = { 0 };

	ck_assert_msg(!daemon_bootstrap_swap(dir, &f), "%s", fault_text(&f));
}

static void check_new(void)
{
	ck_assert_str_eq(get("data.mdb"), "new");
	ck_assert_str_eq(get("session.key"), "kept");
	ck_assert_str_eq(get(SAME "/shard-0/v0.slots"), "new");
	ck_assert_str_eq(get(NEW "/shard-0/v0.slots"), "new");
	ck_assert(!there(OLD));
	ck_assert(!there("bootstrap"));
}

START_TEST(a_copy_that_nobody_adopted_takes_no_place)
{
	swap();
	ck_assert_str_eq(get("data.mdb"), "old");
	ck_assert_str_eq(get(SAME "/shard-0/v0.slots"), "old");
	ck_assert_str_eq(get("bootstrap/data.mdb"), "new");
}
END_TEST

START_TEST(an_adopted_copy_takes_the_place_of_all_but_what_is_no_data)
{
	put("bootstrap/install", "");
	swap();
	check_new();
	/* And once is enough. */
	swap();
	check_new();
}
END_TEST

/* What a crash may have left: so much was done. */
enum crash { NOTHING, SOME_OLD_GONE, ALL_OLD_GONE, MOVING, SOME_NEW_THERE, ALL_NEW_THERE, DATABASE_THERE, CRASHES };

static void rename_well(const char *from, const char *to)
{
	char a[512], b[512];

	path_of(from, a);
	path_of(to, b);
	ck_assert_int_eq(rename(a, b), 0);
}

static void remove_well(const char *name)
{
	char path[512];

	path_of(name, path);
	remove_all(path);
}

START_TEST(whatever_a_crash_left_is_gone_on_from)
{
	enum crash crash = (enum crash)_i;

	put("bootstrap/install", "");
	if (crash >= SOME_OLD_GONE)
		remove_well(SAME);
	if (crash >= ALL_OLD_GONE)
		remove_well(OLD);
	if (crash >= MOVING)
		rename_well("bootstrap/install", "bootstrap/move");
	if (crash >= SOME_NEW_THERE)
		rename_well("bootstrap/" SAME, SAME);
	if (crash >= ALL_NEW_THERE)
		rename_well("bootstrap/" NEW, NEW);
	if (crash >= DATABASE_THERE)
		rename_well("bootstrap/data.mdb", "data.mdb");
	swap();
	check_new();
}
END_TEST

START_TEST(what_cannot_be_moved_is_said_and_kept)
{
	struct fault f = { 0 };
	char path[512];

	put("bootstrap/move", "");
	/* In the way of a folder that is to be moved there. */
	path_of(NEW, path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	put(NEW "/strange", "x");
	ck_assert_int_ne(daemon_bootstrap_swap(dir, &f), ERR_NONE);
	ck_assert_ptr_nonnull(strstr(fault_text(&f), "storage.dir: what is in "));
	ck_assert_str_eq(get("bootstrap/data.mdb"), "new");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("daemon_bootstrap");
	TCase *tc = tcase_create("daemon_bootstrap");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_copy_that_nobody_adopted_takes_no_place);
	tcase_add_test(tc, an_adopted_copy_takes_the_place_of_all_but_what_is_no_data);
	tcase_add_loop_test(tc, whatever_a_crash_left_is_gone_on_from, NOTHING, CRASHES);
	tcase_add_test(tc, what_cannot_be_moved_is_said_and_kept);
	suite_add_tcase(s, tc);
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
