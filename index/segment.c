/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment files. All numbers are little-endian; each part begins on a page, and what fills up a
 * page is zero.
 *
 * Header, 4,096 bytes
 *      0  magic "ISTHSEG", 0
 *      8  u32 version, 1
 *     12  u32 distance (enum distance)
 *     16  u32 kind of codes (enum code_kind)
 *     20  u32 dim
 *     24  u32 count
 *     28  u32 m
 *     32  u32 ef_construct
 *     36  u32 entry node, 0xffffffff when count is 0
 *     40  u32 level of the entry
 *     44  u32 rows in the upper levels
 *     48  u32 scale of the codes, the bits of an f32
 *     52  u32 0
 *     56  7 u64: XXH3-64 of each part with its filling, seed: number of the part
 *    112  zeros
 *   4088  u64 XXH3-64 of what is before it
 * Part 0  count u32: slots, in build order
 * Part 1  count + 1 u32: the first row of each node in part 4
 * Part 2  dim f32: offsets of the grid            (CODE_INT8 only)
 * Part 3  count f32: what each row of codes adds  (CODE_INT8 only)
 * Part 4  rows of hnsw_upper_width(m) u32: links in the upper levels
 * Part 5  count rows of hnsw_base_width(m) u32: links in the base layer
 * Part 6  count rows of code_stride(dim) bytes: codes
 *
 * A build makes the whole file in memory; opening maps it. Whatever passes the checks is safe to
 * walk, even if its checksums were forged.
 */
#include "index/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/panic.h"
#include "base/wire.h"
#include "index/hnsw.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "parts of the file are used in place");

#define MAGIC "ISTHSEG"
#define MAGIC_BYTES 8
#define FORMAT_VERSION 1
#define PAGE 4096
#define HEADER_CHECKSUM_AT (PAGE - 8)
/* Candidates compared again in f32: so many times k, and at least so many. */
#define RERANK_FACTOR 2
#define RERANK_MIN 30
#define NODES_PER_ENCODE_TASK 256
#define NODES_PER_LOOK 256
/* f32 vectors fetched ahead, and how much of each: the processor follows a row by itself once it
 * has begun. Whole rows, or one row ahead, are 7 to 9 % slower. */
#define VECTORS_AHEAD 4
#define VECTOR_AHEAD_BYTES 256

enum part {
	PART_SLOTS,
	PART_UPPER_AT,
	PART_OFFSET,
	PART_BIAS,
	PART_UPPER,
	PART_LINKS,
	PART_CODES,
	PART_COUNT
};

static const char *const part_names[PART_COUNT] = {
	[PART_SLOTS] = "slots", [PART_UPPER_AT] = "levels",   [PART_OFFSET] = "grid",
	[PART_BIAS] = "bias",   [PART_UPPER] = "upper links", [PART_LINKS] = "links",
	[PART_CODES] = "codes",
};

struct header {
	enum distance distance;
	enum code_kind kind;
	uint32_t dim;
	uint32_t count;
	uint32_t m;
	uint32_t ef_construct;
	uint32_t entry;
	uint32_t top;
	uint32_t upper_rows;
	float scale;
	uint64_t checksums[PART_COUNT];
};

/* The file in memory, being made or mapped. */
struct image {
	struct header header;
	uint8_t *base;
	size_t at[PART_COUNT + 1]; /* where the parts begin; the last is the size */
	struct hnsw graph;
	struct codes codes;
};

struct segment {
	struct image image;
	struct segment_source source;
	struct hnsw_scratches *scratches;
};

static void image_release(struct image *im)
{
	if (im->base)
		(void)munmap(im->base, im->at[PART_COUNT]);
	free(im->codes.post);
	free(im->codes.weight);
	*im = (struct image){ 0 };
}

static size_t part_bytes(const struct header *h, enum part part)
{
	bool coded = h->kind == CODE_INT8;
	switch (part) {
	case PART_SLOTS:
		return (size_t)h->count * sizeof(uint32_t);
	case PART_UPPER_AT:
		return ((size_t)h->count + 1) * sizeof(uint32_t);
	case PART_OFFSET:
		return coded ? (size_t)h->dim * sizeof(float) : 0;
	case PART_BIAS:
		return coded ? (size_t)h->count * sizeof(float) : 0;
	case PART_UPPER:
		return (size_t)h->upper_rows * hnsw_upper_width(h->m) * sizeof(uint32_t);
	case PART_LINKS:
		return (size_t)h->count * hnsw_base_width(h->m) * sizeof(uint32_t);
	case PART_CODES:
		return (size_t)h->count * code_stride(h->dim);
	case PART_COUNT:
		break;
	}
	PANIC("unknown part");
}

static void lay_out(struct image *im)
{
	size_t at = PAGE;
	for (unsigned p = 0; p < PART_COUNT; p++) {
		im->at[p] = at;
		at += (part_bytes(&im->header, (enum part)p) + PAGE - 1) / PAGE * PAGE;
	}
	im->at[PART_COUNT] = at;
}

/* Points graph and codes into the image. */
static void set_views(struct image *im, const struct segment_source *source)
{
	const struct header *h = &im->header;
	im->graph = (struct hnsw){
		.count = h->count,
		.m = h->m,
		.entry = h->entry,
		.top = h->top,
		.links = (void *)(im->base + im->at[PART_LINKS]),
		.upper = (void *)(im->base + im->at[PART_UPPER]),
		.upper_at = (void *)(im->base + im->at[PART_UPPER_AT]),
	};
	im->codes = (struct codes){
		.kind = h->kind,
		.distance = h->distance,
		.dim = h->dim,
		.count = h->count,
		.stride = code_stride(h->dim),
		.scale = h->scale,
		.offset = (void *)(im->base + im->at[PART_OFFSET]),
		.bias = (void *)(im->base + im->at[PART_BIAS]),
		.rows = im->base + im->at[PART_CODES],
		.slots = (void *)(im->base + im->at[PART_SLOTS]),
		.source = source,
		.kernels = code_kernels_of(kernel_set_best()),
	};
}

static uint64_t part_checksum(const struct image *im, unsigned part)
{
	return hash64(im->base + im->at[part], im->at[part + 1] - im->at[part], part);
}

/*
 * Building
 */

struct build {
	struct image image;
	const uint64_t *id_hashes;
	const struct segment_build_options *options;
	struct pool *pool;
};

static void build_release(struct build *b)
{
	pool_free(b->pool);
	image_release(&b->image);
}

static enum err check_request(const struct segment_source *source, uint32_t count,
			      const struct segment_build_options *o, struct fault *reterr_fault)
{
	if (source->dim == 0 || source->dim > CODE_DIM_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "a segment of %u dimensions: 1 to %u are possible", source->dim,
				 CODE_DIM_MAX);
	if (count > HNSW_COUNT_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "a segment of %u points: at most %u are possible", count,
				 HNSW_COUNT_MAX);
	if (o->m < HNSW_M_MIN || o->m > HNSW_M_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "m is %u: %u to %u are possible",
				 o->m, HNSW_M_MIN, HNSW_M_MAX);
	if (o->ef_construct == 0 || o->ef_construct > HNSW_EF_CONSTRUCT_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "ef_construct is %u: 1 to %u are possible", o->ef_construct,
				 HNSW_EF_CONSTRUCT_MAX);
	return ERR_NONE;
}

static enum err image_new(struct image *im)
{
	lay_out(im);
	void *base = mmap(NULL, im->at[PART_COUNT], PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return ERR_NO_MEMORY;
	/* Rows are read in random order: with small pages much of the time would go into address
	 * translation. */
	(void)madvise(base, im->at[PART_COUNT], MADV_HUGEPAGE);
	im->base = base;
	return ERR_NONE;
}

static void fill_graph(struct build *b, const uint32_t *slots)
{
	struct image *im = &b->image;
	uint32_t count = im->header.count, at = 0;
	if (count > 0)
		memcpy(im->base + im->at[PART_SLOTS], slots, (size_t)count * sizeof(*slots));
	for (uint32_t i = 0; i < count; i++) {
		im->graph.upper_at[i] = at;
		at += hnsw_level_for(b->id_hashes[i], im->header.m);
	}
	im->graph.upper_at[count] = at;
	memset(im->graph.upper, 0xff, part_bytes(&im->header, PART_UPPER));
	memset(im->graph.links, 0xff, part_bytes(&im->header, PART_LINKS));
}

static enum err begin_build(struct build *b, const struct segment_source *source,
			    const uint32_t *slots)
{
	struct header *h = &b->image.header;
	uint64_t upper_rows = 0;
	for (uint32_t i = 0; i < h->count; i++)
		upper_rows += hnsw_level_for(b->id_hashes[i], h->m);
	if (upper_rows > UINT32_MAX)
		return ERR_TOO_LARGE;
	h->upper_rows = (uint32_t)upper_rows;
	enum err e = image_new(&b->image);
	if (e)
		return e;
	set_views(&b->image, source);
	fill_graph(b, slots);
	b->image.codes.post = calloc((size_t)h->count + 1, sizeof(float));
	b->image.codes.weight = calloc(h->dim, sizeof(float));
	if (!b->image.codes.post || !b->image.codes.weight)
		return ERR_NO_MEMORY;
	return b->options->threads > 1 ? pool_new("builder", b->options->threads - 1, 1, &b->pool)
				       : ERR_NONE;
}

static bool is_cancelled(const struct build *b)
{
	return b->options->cancel && atomic_load_explicit(b->options->cancel, memory_order_relaxed);
}

static void encode_nodes(void *ctx, unsigned task)
{
	struct build *b = ctx;
	uint32_t from = task * NODES_PER_ENCODE_TASK;
	uint32_t to = MIN(from + NODES_PER_ENCODE_TASK, b->image.header.count);
	for (uint32_t node = from; node < to && !is_cancelled(b); node++)
		codes_encode(&b->image.codes, node);
}

static void encode_all(struct build *b)
{
	unsigned tasks =
		(b->image.header.count + NODES_PER_ENCODE_TASK - 1) / NODES_PER_ENCODE_TASK;
	if (b->pool) {
		pool_each(b->pool, tasks, encode_nodes, b);
		return;
	}
	for (unsigned i = 0; i < tasks; i++)
		encode_nodes(b, i);
}

static enum err make_image(struct build *b)
{
	struct image *im = &b->image;
	enum err e = codes_train(&im->codes);
	if (e)
		return e;
	encode_all(b);
	const struct hnsw_build_options o = {
		.ef_construct = im->header.ef_construct,
		.pool = b->pool,
		.cancel = b->options->cancel,
		.progress = b->options->progress,
	};
	e = hnsw_build(&im->graph, &im->codes, &o);
	if (e)
		return e;
	im->header.entry = im->graph.entry;
	im->header.top = im->graph.top;
	im->header.scale = im->codes.scale;
	return is_cancelled(b) ? ERR_CANCELLED : ERR_NONE;
}

static void put_header_fields(struct buf *out, const struct header *h)
{
	uint32_t scale_bits;
	memcpy(&scale_bits, &h->scale, sizeof(scale_bits));
	(void)buf_append(out, MAGIC, MAGIC_BYTES);
	const uint32_t fields[] = { FORMAT_VERSION,  h->distance,   h->kind,         h->dim,
				    h->count, h->m,          h->ef_construct, h->entry,
				    h->top,   h->upper_rows, scale_bits,      0 };
	for (size_t i = 0; i < LEN(fields); i++)
		wire_put_u32(out, fields[i]);
	for (unsigned p = 0; p < PART_COUNT; p++)
		wire_put_u64(out, h->checksums[p]);
}

static enum err put_header(struct image *im)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(PAGE);
	for (unsigned p = 0; p < PART_COUNT; p++)
		im->header.checksums[p] = part_checksum(im, p);
	put_header_fields(&out, &im->header);
	if (buf_err(&out))
		return buf_err(&out);
	memcpy(im->base, out.data, out.len);
	buf_reset(&out);
	wire_put_u64(&out, hash64(im->base, HEADER_CHECKSUM_AT, 0));
	if (buf_err(&out))
		return buf_err(&out);
	memcpy(im->base + HEADER_CHECKSUM_AT, out.data, out.len);
	return ERR_NONE;
}

static enum err write_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno != EINTR)
			return err_from_errno(errno);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return ERR_NONE;
}

static enum err write_synced(const char *path, const struct image *im)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_from_errno(errno);
	enum err e = write_all(fd, im->base, im->at[PART_COUNT]);
	if (!e && fsync(fd) != 0)
		e = err_from_errno(errno);
	if (close(fd) != 0 && !e)
		e = err_from_errno(errno);
	return e;
}

/* So that the file's name survives a power cut. */
static enum err sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, MAX((size_t)(slash - path), (size_t)1)) : strdup(".");
	if (!folder)
		return ERR_NO_MEMORY;
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err e = fd < 0 || fsync(fd) != 0 ? err_from_errno(errno) : ERR_NONE;
	if (fd >= 0)
		(void)close(fd);
	free(folder);
	return e;
}

static enum err write_file(const struct image *im, const char *path, struct fault *reterr_fault)
{
	char *temporary = NULL;
	if (asprintf(&temporary, "%s.tmp", path) < 0)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "%s: no memory", path);
	enum err e = write_synced(temporary, im);
	if (!e && rename(temporary, path) != 0)
		e = err_from_errno(errno);
	if (e)
		(void)unlink(temporary);
	else
		e = sync_folder(path);
	free(temporary);
	return e ? fault_set(reterr_fault, e, "%s: cannot be written: %s", path, err_sentence(e))
		 : ERR_NONE;
}

enum err segment_build(const struct segment_source *source, const uint32_t *slots,
		       const uint64_t *id_hashes, uint32_t count,
		       const struct segment_build_options *options, const char *path,
		       struct fault *reterr_fault)
{
	enum err e = check_request(source, count, options, reterr_fault);
	if (e)
		return e;
	CLEANUP(build_release) struct build b = {
		.id_hashes = id_hashes,
		.options = options,
		.image.header = {
			.distance = source->distance,
			.kind = code_kind_for(source->dim),
			.dim = source->dim,
			.count = count,
			.m = options->m,
			.ef_construct = options->ef_construct,
		},
	};
	e = begin_build(&b, source, slots);
	if (!e)
		e = make_image(&b);
	if (!e)
		e = put_header(&b.image);
	if (e)
		return fault_set(reterr_fault, e, "%s: cannot be built: %s", path, err_sentence(e));
	return write_file(&b.image, path, reterr_fault);
}

/*
 * Opening
 */

static enum err map_file(const char *path, struct image *im, size_t *ret_bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_from_errno(errno);
	struct stat st;
	enum err e = fstat(fd, &st) != 0 ? err_from_errno(errno) : ERR_NONE;
	if (!e && (!S_ISREG(st.st_mode) || st.st_size < PAGE))
		e = ERR_CORRUPT;
	if (!e) {
		void *base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (base == MAP_FAILED) {
			e = err_from_errno(errno);
		} else {
			im->base = base;
			im->at[PART_COUNT] = *ret_bytes = (size_t)st.st_size;
		}
	}
	(void)close(fd);
	return e;
}

static bool get_header_fields(struct wire_reader *r, struct header *h)
{
	h->distance = (enum distance)wire_u32(r);
	h->kind = (enum code_kind)wire_u32(r);
	h->dim = wire_u32(r);
	h->count = wire_u32(r);
	h->m = wire_u32(r);
	h->ef_construct = wire_u32(r);
	h->entry = wire_u32(r);
	h->top = wire_u32(r);
	h->upper_rows = wire_u32(r);
	uint32_t scale_bits = wire_u32(r);
	memcpy(&h->scale, &scale_bits, sizeof(h->scale));
	(void)wire_u32(r);
	for (unsigned p = 0; p < PART_COUNT; p++)
		h->checksums[p] = wire_u64(r);
	return h->distance >= DISTANCE_COSINE && h->distance <= DISTANCE_MANHATTAN && h->dim > 0 &&
	       h->dim <= CODE_DIM_MAX && h->kind == code_kind_for(h->dim) &&
	       h->count <= HNSW_COUNT_MAX && h->m >= HNSW_M_MIN && h->m <= HNSW_M_MAX &&
	       isfinite(h->scale) && h->scale > 0.0F;
}

static enum err get_header(struct image *im, const char *path, struct fault *reterr_fault)
{
	struct wire_reader r = wire_reader_of(im->base, PAGE);
	struct bytes magic = wire_take(&r, MAGIC_BYTES);
	if (!magic.data || memcmp(magic.data, MAGIC, MAGIC_BYTES) != 0)
		return fault_set(reterr_fault, ERR_CORRUPT, "%s: not a segment file", path);
	uint32_t version = wire_u32(&r);
	if (version != FORMAT_VERSION)
		return fault_set(reterr_fault, ERR_VERSION, "%s: has version %u, known is %u", path,
				 version, FORMAT_VERSION);
	struct wire_reader end = wire_reader_of(im->base + HEADER_CHECKSUM_AT, sizeof(uint64_t));
	if (wire_u64(&end) != hash64(im->base, HEADER_CHECKSUM_AT, 0) ||
	    !get_header_fields(&r, &im->header))
		return fault_set(reterr_fault, ERR_CORRUPT, "%s: the header is damaged", path);
	return ERR_NONE;
}

static enum err check_parts(const struct image *im, const char *path, struct fault *reterr_fault)
{
	for (unsigned p = 0; p < PART_COUNT; p++)
		if (part_checksum(im, p) != im->header.checksums[p])
			return fault_set(reterr_fault, ERR_CORRUPT, "%s: the part %s is damaged",
					 path, part_names[p]);
	return ERR_NONE;
}

/* From a mapped file to a checked image. */
static enum err read_image(struct image *im, size_t bytes, const struct segment_source *source,
			   const char *path, struct fault *reterr_fault)
{
	enum err e = get_header(im, path, reterr_fault);
	if (e)
		return e;
	struct image laid_out = *im;
	lay_out(&laid_out);
	if (laid_out.at[PART_COUNT] != bytes)
		return fault_set(reterr_fault, ERR_CORRUPT, "%s: has %zu bytes, should have %zu",
				 path, bytes, laid_out.at[PART_COUNT]);
	*im = laid_out;
	if (im->header.dim != source->dim || im->header.distance != source->distance)
		return fault_set(reterr_fault, ERR_CORRUPT, "%s: was built for other vectors",
				 path);
	e = check_parts(im, path, reterr_fault);
	if (e)
		return e;
	set_views(im, source);
	if (!hnsw_check(&im->graph, im->header.upper_rows))
		return fault_set(reterr_fault, ERR_CORRUPT, "%s: the graph contradicts itself",
				 path);
	return ERR_NONE;
}

enum err segment_open(const char *path, const struct segment_source *source,
		      struct segment **ret_segment, struct fault *reterr_fault)
{
	struct segment *s = calloc(1, sizeof(*s));
	if (!s)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "%s: no memory", path);
	s->source = *source;
	size_t bytes = 0;
	enum err e = map_file(path, &s->image, &bytes);
	if (e)
		(void)fault_set(reterr_fault, e, "%s: cannot be mapped: %s", path, err_sentence(e));
	else
		e = read_image(&s->image, bytes, &s->source, path, reterr_fault);
	if (!e) {
		s->scratches = hnsw_scratches_new(s->image.header.count, s->image.codes.stride);
		e = s->scratches ? ERR_NONE
				 : fault_set(reterr_fault, ERR_NO_MEMORY, "%s: no memory", path);
	}
	if (e) {
		segment_close(s);
		return e;
	}
	*ret_segment = s;
	return ERR_NONE;
}

void segment_close(struct segment *s)
{
	if (!s)
		return;
	hnsw_scratches_free(s->scratches);
	image_release(&s->image);
	free(s);
}

uint32_t segment_count(const struct segment *s)
{
	return s->image.header.count;
}

const uint32_t *segment_slots(const struct segment *s)
{
	return s->image.codes.slots;
}

/*
 * Searching
 */

static bool is_better(struct candidate a, struct candidate b)
{
	return a.similarity > b.similarity || (a.similarity == b.similarity && a.slot < b.slot);
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	return is_better(*x, *y) ? -1 : is_better(*y, *x);
}

/* The best max candidates: a heap, worst on top. */
struct best {
	struct candidate *items;
	uint32_t count;
	uint32_t max;
};

static void replace_worst(struct best *b, struct candidate item)
{
	uint32_t at = 0;
	for (uint32_t child = 1; child < b->count; child = 2 * at + 1) {
		if (child + 1 < b->count && is_better(b->items[child], b->items[child + 1]))
			child++;
		if (is_better(b->items[child], item))
			break;
		b->items[at] = b->items[child];
		at = child;
	}
	b->items[at] = item;
}

static void offer(struct best *b, struct candidate item)
{
	if (b->count == b->max) {
		if (is_better(item, b->items[0]))
			replace_worst(b, item);
		return;
	}
	uint32_t at = b->count++;
	while (at > 0 && is_better(b->items[(at - 1) / 2], item)) {
		b->items[at] = b->items[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	b->items[at] = item;
}

static void offer_slot(const struct segment *s, const struct segment_query *q,
		       distance_f32_fn similarity, struct best *b, uint32_t slot)
{
	const float *vector = s->source.vector(&s->source, slot);
	float value = similarity(vector, q->vector, s->source.dim);
	offer(b,
	      (struct candidate){ .similarity = isnan(value) ? -INFINITY : value, .slot = slot });
}

static enum err may_go_on(const struct segment_query *q)
{
	if (q->cancel && atomic_load_explicit(q->cancel, memory_order_relaxed))
		return ERR_CANCELLED;
	if (q->deadline_ns != 0 && clock_mono_ns(clock_system()) >= q->deadline_ns)
		return ERR_TIMEOUT;
	return ERR_NONE;
}

/* Whoever asks for as many as there are gets them exactly. */
static enum err scan(const struct segment *s, const struct segment_query *q, struct best *b)
{
	distance_f32_fn similarity = distance_f32(s->source.distance);
	const uint32_t *slots = segment_slots(s);
	for (uint32_t node = 0; node < segment_count(s); node++) {
		enum err e = node % NODES_PER_LOOK == 0 ? may_go_on(q) : ERR_NONE;
		if (e)
			return e;
		if (!q->accept || q->accept(q->ctx, slots[node]))
			offer_slot(s, q, similarity, b, slots[node]);
	}
	return ERR_NONE;
}

static void prefetch_vector(const struct segment *s, uint32_t slot)
{
	const char *v = (const char *)s->source.vector(&s->source, slot);
	size_t bytes = MIN((size_t)s->source.dim * sizeof(float), (size_t)VECTOR_AHEAD_BYTES);
	for (size_t i = 0; i < bytes; i += CODE_ALIGN)
		__builtin_prefetch(v + i);
}

static void rerank(const struct segment *s, const struct segment_query *q,
		   const struct hnsw_scratch *scratch, struct best *b)
{
	distance_f32_fn similarity = distance_f32(s->source.distance);
	const uint32_t *slots = segment_slots(s);
	uint32_t count = MAX(b->max > UINT32_MAX / RERANK_FACTOR ? b->max : b->max * RERANK_FACTOR,
			     RERANK_MIN);
	count = MIN(count, scratch->found_count);
	for (uint32_t i = 0; i < MIN(count, (uint32_t)VECTORS_AHEAD); i++)
		prefetch_vector(s, slots[scratch->found[i].node]);
	for (uint32_t i = 0; i < count; i++) {
		if (i + VECTORS_AHEAD < count)
			prefetch_vector(s, slots[scratch->found[i + VECTORS_AHEAD].node]);
		offer_slot(s, q, similarity, b, slots[scratch->found[i].node]);
	}
}

static enum err walk(const struct segment *s, const struct segment_query *q, uint32_t ef,
		     struct best *b)
{
	struct hnsw_scratch *scratch = hnsw_scratch_take(s->scratches);
	if (!scratch)
		return ERR_NO_MEMORY;
	const struct code_query query =
		code_query_of_vector(&s->image.codes, q->vector, scratch->code);
	const struct hnsw_walk w = {
		.ef = ef,
		.accept = q->accept,
		.ctx = q->ctx,
		.deadline_ns = q->deadline_ns,
		.cancel = q->cancel,
	};
	enum err e = hnsw_search(&s->image.graph, &query, &w, scratch);
	if (!e)
		rerank(s, q, scratch, b);
	hnsw_scratch_give(s->scratches, scratch);
	return e;
}

enum err segment_search(const struct segment *s, const struct segment_query *q,
			struct candidate *out, uint32_t *ret_count)
{
	struct best b = { .items = out, .max = MIN(q->k, segment_count(s)) };
	uint32_t ef = MAX(q->ef, q->k);
	enum err e = ERR_NONE;
	if (b.max > 0)
		e = ef >= segment_count(s) ? scan(s, q, &b) : walk(s, q, ef, &b);
	if (e)
		return e;
	if (b.count > 1)
		qsort(out, b.count, sizeof(*out), compare_candidates);
	*ret_count = b.count;
	return ERR_NONE;
}

size_t segment_memory_bytes(const struct segment *s)
{
	return sizeof(*s) + s->image.at[PART_COUNT] + hnsw_scratches_bytes(s->scratches);
}
