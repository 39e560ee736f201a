/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments: what a damaged file does, recall against a plain scan, filters, and equal files from
 * equal input.
 */
#include "index/segment.h"

#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "index/hnsw.h"
#include "tests/index/random.h"
#include "tests/index/scratch.h"

#define PAGE 4096
#define DIM 32
#define COUNT 1600
#define CENTRES 40
#define FILE_BYTES_MAX (8U << 20)

static const enum distance distances[] = { DISTANCE_COSINE, DISTANCE_EUCLID, DISTANCE_DOT,
					   DISTANCE_MANHATTAN };

/* Vectors in memory at every third slot, so that nodes and slots differ. */
struct data {
	struct segment_source source;
	float *vectors;
	uint32_t count;
	uint32_t *slots;
	uint64_t *hashes;
	struct scratch scratch;
	const char *path;
};

static const float *vector_at(const struct segment_source *s, uint32_t slot)
{
	return (const float *)s->ctx + (size_t)(slot / 3) * s->dim;
}

static void data_new(struct data *d, enum distance distance, uint32_t dim, uint32_t count)
{
	*d = (struct data){
		.count = count,
		.vectors = calloc((size_t)count * dim + 1, sizeof(float)),
		.slots = calloc((size_t)count + 1, sizeof(uint32_t)),
		.hashes = calloc((size_t)count + 1, sizeof(uint64_t)),
	};
	ck_assert(d->vectors && d->slots && d->hashes);
	d->source = (struct segment_source){
		.vector = vector_at,
		.dim = dim,
		.distance = distance,
		.ctx = d->vectors,
	};
	random_clusters(7, distance, dim, count, CENTRES, d->vectors);
	for (uint32_t i = 0; i < count; i++) {
		d->slots[i] = 3 * (count - 1 - i);
		d->hashes[i] = hash64(&i, sizeof(i), 0);
	}
	scratch_new(&d->scratch);
	d->path = scratch_path(&d->scratch, "segment");
}

static void data_free(struct data *d)
{
	scratch_remove(&d->scratch);
	free(d->vectors);
	free(d->slots);
	free(d->hashes);
}

static const struct segment_build_options default_options = { .m = 12,
							      .ef_construct = 80,
							      .threads = 1 };

static void data_build(struct data *d)
{
	struct fault f;
	ck_assert_int_eq(segment_build(&d->source, d->slots, d->hashes, d->count, &default_options,
				       d->path, &f),
			 ERR_NONE);
}

static struct segment *data_open(struct data *d)
{
	struct segment *s = NULL;
	struct fault f = { 0 };
	enum err e = segment_open(d->path, &d->source, &s, &f);
	ck_assert_msg(e == ERR_NONE, "%s", f.text);
	return s;
}

static uint8_t *read_file(const char *path, size_t *ret_bytes)
{
	uint8_t *data = malloc(FILE_BYTES_MAX);
	int fd = open(path, O_RDONLY);
	ck_assert(data && fd >= 0);
	ssize_t n = read(fd, data, FILE_BYTES_MAX);
	ck_assert(n > 0 && n < (ssize_t)FILE_BYTES_MAX);
	close(fd);
	*ret_bytes = (size_t)n;
	return data;
}

static void write_file(const char *path, const uint8_t *data, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, bytes), (ssize_t)bytes);
	close(fd);
}

/*
 * Refused
 */

START_TEST(impossible_options_are_refused)
{
	static const struct {
		struct segment_build_options options;
		uint32_t dim;
		const char *word;
	} cases[] = {
		{ { .m = 0, .ef_construct = 10 }, 4, "m is 0" },
		{ { .m = 1, .ef_construct = 10 }, 4, "m is 1" },
		{ { .m = HNSW_M_MAX + 1, .ef_construct = 10 }, 4, "m is 129" },
		{ { .m = 4, .ef_construct = 0 }, 4, "ef_construct is 0" },
		{ { .m = 4, .ef_construct = HNSW_EF_CONSTRUCT_MAX + 1 },
		  4,
		  "ef_construct is 4097" },
		{ { .m = 4, .ef_construct = 10 }, 0, "0 dimensions" },
		{ { .m = 4, .ef_construct = 10 }, CODE_DIM_MAX + 1, "65537 dimensions" },
	};
	struct data d;
	data_new(&d, DISTANCE_EUCLID, 4, 3);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct fault f = { 0 };
		struct segment_source source = d.source;
		source.dim = cases[i].dim;
		ck_assert_int_eq(
			segment_build(&source, d.slots, d.hashes, 3, &cases[i].options, d.path, &f),
			ERR_BAD_INPUT);
		ck_assert_msg(strstr(f.text, cases[i].word), "%s: %s", cases[i].word, f.text);
		ck_assert_int_ne(access(d.path, F_OK), 0);
	}
	data_free(&d);
}
END_TEST

static void expect_refused(struct data *d, enum err expected, const char *what, size_t at)
{
	struct segment *s = NULL;
	struct fault f = { 0 };
	enum err e = segment_open(d->path, &d->source, &s, &f);
	ck_assert_msg(e == expected, "%s at %zu: %s, not %s", what, at, err_name(e),
		      err_name(expected));
	ck_assert_ptr_null(s);
	ck_assert_msg(strstr(f.text, d->path), "the fault names no file: %s", f.text);
}

START_TEST(missing_file_is_not_found)
{
	struct data d;
	data_new(&d, DISTANCE_EUCLID, DIM, 10);
	expect_refused(&d, ERR_NOT_FOUND, "missing", 0);
	data_free(&d);
}
END_TEST

START_TEST(damage_anywhere_is_found)
{
	struct data d;
	size_t bytes;
	data_new(&d, DISTANCE_COSINE, DIM, 150);
	data_build(&d);
	uint8_t *file = read_file(d.path, &bytes);
	/* All of the header that says something, then some bytes of every page, also in what
	 * fills it. */
	for (size_t at = 0; at < bytes; at += at < 128 ? 1 : at % PAGE == PAGE - 1 ? 1 : 455) {
		file[at] ^= 0x10;
		write_file(d.path, file, bytes);
		expect_refused(&d, at >= 8 && at < 12 ? ERR_VERSION : ERR_CORRUPT, "flipped", at);
		file[at] ^= 0x10;
	}
	write_file(d.path, file, bytes);
	segment_close(data_open(&d));
	free(file);
	data_free(&d);
}
END_TEST

START_TEST(file_of_another_length_is_refused)
{
	struct data d;
	size_t bytes;
	data_new(&d, DISTANCE_COSINE, DIM, 150);
	data_build(&d);
	uint8_t *file = read_file(d.path, &bytes);
	const size_t lengths[] = { 0,        1,        8,         PAGE - 1,
				   PAGE,     PAGE + 1, bytes / 2, bytes - PAGE,
				   bytes - 1 };
	for (size_t i = 0; i < LEN(lengths); i++) {
		write_file(d.path, file, lengths[i]);
		expect_refused(&d, ERR_CORRUPT, "cut", lengths[i]);
	}
	file[bytes] = 0;
	write_file(d.path, file, bytes + 1);
	expect_refused(&d, ERR_CORRUPT, "grown", bytes + 1);
	free(file);
	data_free(&d);
}
END_TEST

START_TEST(folder_is_no_segment)
{
	struct data d;
	data_new(&d, DISTANCE_COSINE, DIM, 1);
	d.path = d.scratch.dir;
	expect_refused(&d, ERR_CORRUPT, "folder", 0);
	data_free(&d);
}
END_TEST

START_TEST(segment_of_other_vectors_is_refused)
{
	struct data d;
	data_new(&d, DISTANCE_COSINE, DIM, 150);
	data_build(&d);
	d.source.dim = DIM + 1;
	expect_refused(&d, ERR_CORRUPT, "dim", 0);
	d.source.dim = DIM;
	d.source.distance = DISTANCE_DOT;
	expect_refused(&d, ERR_CORRUPT, "distance", 0);
	data_free(&d);
}
END_TEST

static void put_u32(uint8_t *at, uint32_t v)
{
	memcpy(at, &v, sizeof(v));
}

static uint32_t get_u32(const uint8_t *at)
{
	uint32_t v;
	memcpy(&v, at, sizeof(v));
	return v;
}

/* Part sizes of a segment of DIM dimensions and m 12, rounded up to pages. */
static void find_parts(const uint8_t *file, size_t at[8])
{
	size_t count = get_u32(file + 24), rows = get_u32(file + 44);
	const size_t bytes[7] = { 4 * count,     4 * (count + 1), 4 * DIM,   4 * count,
				  rows * 16 * 4, count * 32 * 4,  count * 64 };
	at[0] = PAGE;
	for (size_t p = 0; p < 7; p++)
		at[p + 1] = at[p] + (bytes[p] + PAGE - 1) / PAGE * PAGE;
}

/* What an attacker would do, or a bug. */
static void forge_checksums(uint8_t *file, const size_t at[8])
{
	for (size_t p = 0; p < 7; p++) {
		uint64_t sum = hash64(file + at[p], at[p + 1] - at[p], p);
		memcpy(file + 56 + 8 * p, &sum, sizeof(sum));
	}
	uint64_t sum = hash64(file, PAGE - 8, 0);
	memcpy(file + PAGE - 8, &sum, sizeof(sum));
}

START_TEST(contradiction_under_good_checksums_is_refused)
{
	struct data d;
	size_t bytes, at[8];
	data_new(&d, DISTANCE_COSINE, DIM, 500);
	data_build(&d);
	uint8_t *file = read_file(d.path, &bytes), *copy = malloc(bytes);
	ck_assert_ptr_nonnull(copy);
	find_parts(file, at);
	ck_assert_uint_eq(at[7], bytes);
	const struct {
		const char *name;
		size_t at;
		uint32_t value;
	} cases[] = {
		{ "distance 0", 12, 0 },
		{ "distance 5", 12, 5 },
		{ "kind f32", 16, CODE_F32 },
		{ "kind 2", 16, 2 },
		{ "dim 0", 20, 0 },
		{ "dim within the same stride", 20, DIM - 1 },
		{ "dim far beyond", 20, UINT32_MAX },
		{ "count one less", 24, 499 },
		{ "count far beyond", 24, UINT32_MAX },
		{ "count 0", 24, 0 },
		{ "m 0", 28, 0 },
		{ "m beyond", 28, HNSW_M_MAX + 1 },
		{ "m far beyond", 28, UINT32_MAX },
		{ "entry beyond the end", 36, 500 },
		{ "no entry", 36, UINT32_MAX },
		{ "top beyond", 40, get_u32(file + 40) + 1 },
		{ "rows far beyond", 44, UINT32_MAX },
		{ "rows one less", 44, get_u32(file + 44) - 1 },
		{ "scale 0", 48, 0 },
		{ "scale no number", 48, 0x7fc00000 },
		{ "scale infinite", 48, 0x7f800000 },
		{ "first row", at[1] + 4 * 250, UINT32_MAX },
		{ "first row", at[1] + 4 * 500, 0 },
		{ "upper link", at[4], 500 },
		{ "link", at[5], 500 },
		{ "link in the filling of a row", at[5] + 128 * 500 - 4, 500 },
	};
	forge_checksums(file, at);
	write_file(d.path, file, bytes);
	segment_close(data_open(&d));
	for (size_t i = 0; i < LEN(cases); i++) {
		memcpy(copy, file, bytes);
		put_u32(copy + cases[i].at, cases[i].value);
		forge_checksums(copy, at);
		write_file(d.path, copy, bytes);
		expect_refused(&d, ERR_CORRUPT, cases[i].name, cases[i].at);
	}
	free(copy);
	free(file);
	data_free(&d);
}
END_TEST

START_TEST(random_graph_that_passes_is_safe_to_walk)
{
	struct data d;
	size_t bytes, at[8];
	data_new(&d, DISTANCE_EUCLID, DIM, 500);
	data_build(&d);
	uint8_t *file = read_file(d.path, &bytes);
	find_parts(file, at);
	struct random r = { 11 };
	for (uint32_t i = 0; i < 500 * 32; i++)
		put_u32(file + at[5] + 4 * (size_t)i, (uint32_t)(random_u64(&r) % 500));
	for (size_t i = at[2]; i < at[4]; i++)
		file[i] = (uint8_t)random_u64(&r);
	forge_checksums(file, at);
	write_file(d.path, file, bytes);
	struct segment *s = data_open(&d);
	for (uint32_t i = 0; i < 20; i++) {
		struct candidate out[10];
		uint32_t count = 99;
		struct segment_query q = { .vector = d.vectors + (size_t)i * DIM,
					   .k = 10,
					   .ef = 50 };
		ck_assert_int_eq(segment_search(s, &q, out, &count), ERR_NONE);
		ck_assert_uint_le(count, 10);
	}
	segment_close(s);
	free(file);
	data_free(&d);
}
END_TEST

START_TEST(cancelled_build_leaves_no_file)
{
	struct data d;
	struct fault f;
	atomic_bool cancel = true;
	struct segment_build_options o = default_options;
	o.cancel = &cancel;
	data_new(&d, DISTANCE_EUCLID, DIM, 100);
	ck_assert_int_eq(segment_build(&d.source, d.slots, d.hashes, 100, &o, d.path, &f),
			 ERR_CANCELLED);
	ck_assert_int_ne(access(d.path, F_OK), 0);
	ck_assert_int_ne(access(scratch_path(&d.scratch, "segment.tmp"), F_OK), 0);
	data_free(&d);
}
END_TEST

START_TEST(failed_write_keeps_the_old_file)
{
	struct data d;
	struct fault f = { 0 };
	data_new(&d, DISTANCE_EUCLID, DIM, 10);
	ck_assert_int_eq(segment_build(&d.source, d.slots, d.hashes, 10, &default_options,
				       "/dev/null/segment", &f),
			 ERR_IO);
	ck_assert(strstr(f.text, "/dev/null/segment"));
	data_build(&d);
	/* A folder in the place of the temporary file, then in that of the file. */
	struct scratch other = d.scratch;
	ck_assert_int_eq(mkdir(scratch_path(&other, "segment.tmp"), 0700), 0);
	ck_assert_int_ne(
		segment_build(&d.source, d.slots, d.hashes, 9, &default_options, d.path, &f),
		ERR_NONE);
	struct segment *s = data_open(&d);
	ck_assert_uint_eq(segment_count(s), 10);
	segment_close(s);
	ck_assert_int_eq(mkdir(scratch_path(&other, "folder"), 0700), 0);
	ck_assert_int_ne(
		segment_build(&d.source, d.slots, d.hashes, 9, &default_options, other.path, &f),
		ERR_NONE);
	ck_assert_int_ne(access(scratch_path(&other, "folder.tmp"), F_OK), 0);
	data_free(&d);
}
END_TEST

/*
 * Answers
 */

static bool is_multiple(void *ctx, uint32_t slot)
{
	return slot / 3 % *(const uint32_t *)ctx == 0;
}

/* How many of the answers belong to the k nearest; everything about them that can be checked is. */
static uint32_t check_answers(const struct data *d, const float *query, uint32_t k,
			      uint32_t divisor, const struct candidate *out, uint32_t count)
{
	float all[COUNT];
	uint32_t hits = 0;
	for (uint32_t v = 0; v < d->count; v++)
		all[v] = distance_exact(d->source.distance, d->vectors + (size_t)v * d->source.dim,
					query, d->source.dim);
	for (uint32_t i = 0; i < count; i++) {
		float exact = all[out[i].slot / 3];
		uint32_t better = 0;
		ck_assert_msg(fabsf(exact - out[i].similarity) <= 1e-4F * (1.0F + fabsf(exact)),
			      "%g, not %g", (double)out[i].similarity, (double)exact);
		ck_assert(i == 0 || out[i].similarity <= out[i - 1].similarity);
		ck_assert_uint_eq(out[i].slot / 3 % divisor, 0);
		for (uint32_t j = 0; j < i; j++)
			ck_assert_uint_ne(out[j].slot, out[i].slot);
		for (uint32_t v = 0; v < d->count; v += divisor)
			better += all[v] > exact;
		hits += better < k;
	}
	return hits;
}

static void check_recall(const struct data *d, const struct segment *s, uint32_t ef,
			 uint32_t divisor, double least)
{
	enum { QUERIES = 40, K = 10 };
	uint32_t hits = 0;
	for (uint32_t i = 0; i < QUERIES; i++) {
		float query[DIM];
		struct candidate out[K];
		uint32_t count = 99;
		random_clusters(1000 + i, d->source.distance, d->source.dim, 1, CENTRES, query);
		struct segment_query q = {
			.vector = query,
			.k = K,
			.ef = ef,
			.accept = divisor > 1 ? is_multiple : NULL,
			.ctx = &divisor,
		};
		ck_assert_int_eq(segment_search(s, &q, out, &count), ERR_NONE);
		ck_assert_uint_eq(count, K);
		hits += check_answers(d, query, K, divisor, out, count);
	}
	ck_assert_msg(hits >= least * QUERIES * K, "distance %d, ef %u, one in %u: recall %g",
		      (int)d->source.distance, ef, divisor, hits / (double)(QUERIES * K));
}

START_TEST(nearest_are_found_with_good_recall)
{
	struct data d;
	data_new(&d, distances[_i], DIM, COUNT);
	data_build(&d);
	struct segment *s = data_open(&d);
	ck_assert_uint_eq(segment_count(s), COUNT);
	ck_assert_mem_eq(segment_slots(s), d.slots, COUNT * sizeof(*d.slots));
	ck_assert_uint_gt(segment_memory_bytes(s), (size_t)COUNT * (64 + 128));
	check_recall(&d, s, 64, 1, 0.95);
	check_recall(&d, s, 64, 2, 0.95);
	check_recall(&d, s, 64, 10, 0.95);
	check_recall(&d, s, COUNT, 1, 1.0);
	check_recall(&d, s, COUNT, 10, 1.0);
	segment_close(s);
	data_free(&d);
}
END_TEST

START_TEST(few_dimensions_are_exact_enough)
{
	static const uint32_t dims[] = { 1, 2, 4, CODE_INT8_DIM_MIN - 1 };
	for (size_t i = 0; i < LEN(dims); i++) {
		struct data d;
		data_new(&d, DISTANCE_EUCLID, dims[i], COUNT);
		data_build(&d);
		struct segment *s = data_open(&d);
		check_recall(&d, s, 64, 1, 0.98);
		segment_close(s);
		data_free(&d);
	}
}
END_TEST

/* Clusters so dense that most of one have the same code. */
START_TEST(f32_decides_among_equal_codes)
{
	struct data d;
	struct random r = { 13 };
	uint32_t wrong = 0;
	data_new(&d, DISTANCE_EUCLID, DIM, COUNT);
	for (uint32_t i = 0; i < COUNT * DIM; i++) {
		struct random centre = { i / DIM % (COUNT / 20) * DIM + i % DIM };
		d.vectors[i] = random_normal(&centre) + 0.001F * random_normal(&r);
	}
	data_build(&d);
	struct segment *s = data_open(&d);
	for (uint32_t i = 0; i < 200; i++) {
		struct candidate out;
		uint32_t found = 0;
		struct segment_query q = { .vector = d.vectors + (size_t)i * DIM,
					   .k = 1,
					   .ef = 64 };
		ck_assert_int_eq(segment_search(s, &q, &out, &found), ERR_NONE);
		wrong += found != 1 || out.slot != 3 * i;
	}
	ck_assert_msg(wrong <= 4, "%u of 200", wrong);
	segment_close(s);
	data_free(&d);
}
END_TEST

START_TEST(equal_input_gives_equal_files)
{
	struct data d;
	size_t bytes[2];
	struct fault f;
	data_new(&d, distances[_i], DIM, COUNT);
	data_build(&d);
	uint8_t *one = read_file(d.path, &bytes[0]);
	struct segment_build_options o = default_options;
	o.threads = 2;
	ck_assert_int_eq(segment_build(&d.source, d.slots, d.hashes, COUNT, &o, d.path, &f),
			 ERR_NONE);
	uint8_t *two = read_file(d.path, &bytes[1]);
	ck_assert_uint_eq(bytes[0], bytes[1]);
	ck_assert_mem_eq(one, two, bytes[0]);
	free(one);
	free(two);
	data_free(&d);
}
END_TEST

START_TEST(small_segments_answer_exactly)
{
	for (uint32_t count = 0; count <= 3; count++) {
		struct data d;
		struct candidate out[10];
		uint32_t found = 99;
		data_new(&d, DISTANCE_EUCLID, DIM, count);
		data_build(&d);
		struct segment *s = data_open(&d);
		float query[DIM] = { 0 };
		ck_assert_uint_eq(segment_count(s), count);
		ck_assert_int_eq(
			segment_search(s,
				       &(struct segment_query){ .vector = query, .k = 10, .ef = 5 },
				       out, &found),
			ERR_NONE);
		ck_assert_uint_eq(found, count);
		ck_assert_uint_eq(check_answers(&d, query, 10, 1, out, found), count);
		/* Through the graph too. */
		ck_assert_int_eq(
			segment_search(s,
				       &(struct segment_query){ .vector = query, .k = 1, .ef = 1 },
				       out, &found),
			ERR_NONE);
		ck_assert_uint_eq(found, MIN(count, 1U));
		ck_assert_int_eq(segment_search(s,
						&(struct segment_query){ .vector = query, .ef = 5 },
						NULL, &found),
				 ERR_NONE);
		ck_assert_uint_eq(found, 0);
		segment_close(s);
		data_free(&d);
	}
}
END_TEST

START_TEST(all_duplicates_are_found)
{
	struct data d;
	struct candidate out[COUNT];
	uint32_t found = 0;
	data_new(&d, DISTANCE_COSINE, DIM, COUNT);
	/* 200 equal points among the others */
	for (uint32_t i = 1; i < 200; i++)
		memcpy(d.vectors + (size_t)i * 8 * DIM, d.vectors, DIM * sizeof(float));
	data_build(&d);
	struct segment *s = data_open(&d);
	ck_assert_int_eq(
		segment_search(s,
			       &(struct segment_query){ .vector = d.vectors, .k = 200, .ef = 400 },
			       out, &found),
		ERR_NONE);
	ck_assert_uint_eq(found, 200);
	ck_assert_uint_ge(check_answers(&d, d.vectors, 200, 1, out, found), 190);
	for (uint32_t i = 1; i < 190; i++)
		ck_assert_msg(out[i].similarity == out[0].similarity &&
				      out[i].slot > out[i - 1].slot,
			      "answer %u: %g, slot %u", i, (double)out[i].similarity, out[i].slot);
	segment_close(s);
	data_free(&d);
}
END_TEST

START_TEST(more_than_there_are_gives_all)
{
	static const uint32_t ks[] = { COUNT, COUNT + 1, UINT32_MAX };
	struct data d;
	data_new(&d, DISTANCE_DOT, DIM, COUNT);
	data_build(&d);
	struct segment *s = data_open(&d);
	for (size_t i = 0; i < LEN(ks); i++) {
		struct candidate *out = calloc(COUNT, sizeof(*out));
		uint32_t found = 0;
		ck_assert_ptr_nonnull(out);
		ck_assert_int_eq(
			segment_search(s,
				       &(struct segment_query){ .vector = d.vectors, .k = ks[i] },
				       out, &found),
			ERR_NONE);
		ck_assert_uint_eq(found, COUNT);
		ck_assert_uint_eq(out[0].slot % 3, 0);
		for (uint32_t j = 1; j < COUNT; j++)
			ck_assert(out[j].similarity <= out[j - 1].similarity);
		free(out);
	}
	segment_close(s);
	data_free(&d);
}
END_TEST

START_TEST(many_answers_come_through_the_graph)
{
	struct data d;
	struct candidate out[1200];
	uint32_t found = 0;
	data_new(&d, DISTANCE_EUCLID, DIM, COUNT);
	data_build(&d);
	struct segment *s = data_open(&d);
	ck_assert_int_eq(segment_search(s,
					&(struct segment_query){ .vector = d.vectors, .k = 1200 },
					out, &found),
			 ERR_NONE);
	ck_assert_uint_eq(found, 1200);
	ck_assert_uint_ge(check_answers(&d, d.vectors, 1200, 1, out, found), 1185);
	segment_close(s);
	data_free(&d);
}
END_TEST

START_TEST(query_that_is_not_finite_is_survived)
{
	static const float odd[] = { NAN, INFINITY, -INFINITY, 3e38F };
	for (size_t i = 0; i < LEN(distances) * LEN(odd); i++) {
		struct data d;
		float query[DIM];
		struct candidate out[10];
		uint32_t found = 99;
		data_new(&d, distances[i % LEN(distances)], DIM, 300);
		data_build(&d);
		struct segment *s = data_open(&d);
		for (uint32_t j = 0; j < DIM; j++)
			query[j] = j % 2 == 0 ? odd[i / LEN(distances)] : 1.0F;
		for (uint32_t ef = 20; ef <= 300; ef += 280) {
			ck_assert_int_eq(segment_search(s,
							&(struct segment_query){ .vector = query,
										 .k = 10,
										 .ef = ef },
							out, &found),
					 ERR_NONE);
			ck_assert_uint_eq(found, 10);
		}
		segment_close(s);
		data_free(&d);
	}
}
END_TEST

START_TEST(late_and_cancelled_searches_end)
{
	struct data d;
	struct candidate out[10];
	uint32_t found = 99;
	atomic_bool cancel = true;
	data_new(&d, DISTANCE_EUCLID, DIM, 300);
	data_build(&d);
	struct segment *s = data_open(&d);
	for (uint32_t ef = 20; ef <= 300; ef += 280) {
		struct segment_query q = {
			.vector = d.vectors, .k = 10, .ef = ef, .deadline_ns = 1
		};
		ck_assert_int_eq(segment_search(s, &q, out, &found), ERR_TIMEOUT);
		q.deadline_ns = 0;
		q.cancel = &cancel;
		ck_assert_int_eq(segment_search(s, &q, out, &found), ERR_CANCELLED);
	}
	ck_assert_uint_eq(found, 99);
	segment_close(s);
	data_free(&d);
}
END_TEST

struct searcher {
	pthread_t thread;
	const struct data *d;
	const struct segment *s;
	uint32_t wrong;
};

static void *search_many(void *arg)
{
	struct searcher *me = arg;
	for (uint32_t i = 0; i < 200; i++) {
		struct candidate out;
		uint32_t found = 0;
		struct segment_query q = { .vector = me->d->vectors + (size_t)i * DIM,
					   .k = 1,
					   .ef = 32 };
		enum err e = segment_search(me->s, &q, &out, &found);
		me->wrong += e || found != 1 || out.slot != 3 * i;
	}
	return NULL;
}

START_TEST(threads_search_at_once)
{
	struct data d;
	struct searcher searchers[4];
	data_new(&d, DISTANCE_EUCLID, DIM, 500);
	data_build(&d);
	struct segment *s = data_open(&d);
	for (size_t i = 0; i < LEN(searchers); i++) {
		searchers[i] = (struct searcher){ .d = &d, .s = s };
		ck_assert_int_eq(
			pthread_create(&searchers[i].thread, NULL, search_many, &searchers[i]), 0);
	}
	for (size_t i = 0; i < LEN(searchers); i++) {
		ck_assert_int_eq(pthread_join(searchers[i].thread, NULL), 0);
		ck_assert_uint_le(searchers[i].wrong, 2);
	}
	segment_close(s);
	data_free(&d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("segment");
	TCase *t = tcase_create("segment");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, impossible_options_are_refused);
	tcase_add_test(t, missing_file_is_not_found);
	tcase_add_test(t, damage_anywhere_is_found);
	tcase_add_test(t, file_of_another_length_is_refused);
	tcase_add_test(t, folder_is_no_segment);
	tcase_add_test(t, segment_of_other_vectors_is_refused);
	tcase_add_test(t, contradiction_under_good_checksums_is_refused);
	tcase_add_test(t, random_graph_that_passes_is_safe_to_walk);
	tcase_add_test(t, cancelled_build_leaves_no_file);
	tcase_add_test(t, failed_write_keeps_the_old_file);
	tcase_add_loop_test(t, nearest_are_found_with_good_recall, 0, LEN(distances));
	tcase_add_test(t, few_dimensions_are_exact_enough);
	tcase_add_test(t, f32_decides_among_equal_codes);
	tcase_add_loop_test(t, equal_input_gives_equal_files, 0, LEN(distances));
	tcase_add_test(t, small_segments_answer_exactly);
	tcase_add_test(t, all_duplicates_are_found);
	tcase_add_test(t, more_than_there_are_gives_all);
	tcase_add_test(t, many_answers_come_through_the_graph);
	tcase_add_test(t, query_that_is_not_finite_is_survived);
	tcase_add_test(t, late_and_cancelled_searches_end);
	tcase_add_test(t, threads_search_at_once);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
