/* SPDX-License-Identifier: Apache-2.0 */
#include "index/manifest.h"

#include <string.h>

#include "tests/index/scratch.h"

static struct scratch scratch;

static void setup(void)
{
	scratch_new(&scratch);
}

static void teardown(void)
{
	scratch_remove(&scratch);
}

static size_t read_file(const char *path, unsigned char *out, size_t max)
{
	FILE *f = fopen(path, "rb");

	ck_assert_ptr_nonnull(f);
	size_t n = fread(out, 1, max, f);

	fclose(f);
	return n;
}

static void write_file(const char *path, const unsigned char *data, size_t len)
{
	FILE *f = fopen(path, "wb");

	ck_assert_uint_eq(fwrite(data, 1, len, f), len);
	fclose(f);
}

START_TEST(missing_manifest_is_not_found)
{
	struct manifest m;

	ck_assert_int_eq(manifest_load(scratch_path(&scratch, "none"), &m), ERR_NOT_FOUND);
	ck_assert_int_ne(
		manifest_save(scratch_path(&scratch, "no/such"), &(struct manifest){ 0 }, NULL),
		ERR_NONE);
}
END_TEST

START_TEST(every_damaged_byte_and_every_cut_is_refused)
{
	const char *path = scratch_path(&scratch, "m");
	struct manifest m = { .next = 9, .count = 2, .numbers = { 3, 8 } };
	unsigned char data[200];

	ck_assert_int_eq(manifest_save(path, &m, NULL), ERR_NONE);
	size_t len = read_file(path, data, sizeof(data));

	for (size_t i = 0; i < len; i++) {
		data[i] ^= 0x41;
		write_file(path, data, len);
		ck_assert_int_eq(manifest_load(path, &m), ERR_CORRUPT);
		data[i] ^= 0x41;
		write_file(path, data, i);
		ck_assert_int_eq(manifest_load(path, &m), ERR_CORRUPT);
	}
	data[len] = 0;
	write_file(path, data, len + 1);
	ck_assert_int_eq(manifest_load(path, &m), ERR_CORRUPT);
}
END_TEST

START_TEST(manifest_is_these_bytes)
{
	static const unsigned char head[] = {
		'I', 'S', 'T', 'H', 'M', 'N', 'F', 'T', 1, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0,
		0,   0,   0,   0,   3,   0,   0,   0,   0, 0, 0, 0, 8, 1, 0, 0, 0, 0, 0, 0,
	};
	const char *path = scratch_path(&scratch, "m");
	struct manifest m = { .next = 9, .count = 2, .numbers = { 3, 264 } }, back;
	unsigned char data[200];

	ck_assert_int_eq(manifest_save(path, &m, NULL), ERR_NONE);
	ck_assert_uint_eq(read_file(path, data, sizeof(data)), sizeof(head) + 8);
	ck_assert_int_eq(memcmp(data, head, sizeof(head)), 0);
	ck_assert_int_eq(manifest_load(path, &back), ERR_NONE);
	ck_assert(back.next == 9 && back.count == 2 && back.numbers[0] == 3 &&
		  back.numbers[1] == 264);
}
END_TEST

START_TEST(manifest_is_replaced_as_a_whole)
{
	const char *path = scratch_path(&scratch, "m");
	struct manifest m = { .next = 100, .count = MANIFEST_SEGMENTS_MAX }, back;

	for (uint32_t i = 0; i < m.count; i++)
		m.numbers[i] = i * 3;
	ck_assert_int_eq(manifest_save(path, &m, NULL), ERR_NONE);
	ck_assert_int_eq(manifest_load(path, &back), ERR_NONE);
	ck_assert_uint_eq(back.count, MANIFEST_SEGMENTS_MAX);
	ck_assert_uint_eq(back.numbers[63], 189);
	m.count = 0;
	ck_assert_int_eq(manifest_save(path, &m, NULL), ERR_NONE);
	ck_assert_int_eq(manifest_load(path, &back), ERR_NONE);
	ck_assert_uint_eq(back.count, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("manifest");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, missing_manifest_is_not_found);
	tcase_add_test(t, every_damaged_byte_and_every_cut_is_refused);
	tcase_add_test(t, manifest_is_these_bytes);
	tcase_add_test(t, manifest_is_replaced_as_a_whole);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
