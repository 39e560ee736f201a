/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds: the tail, with the segments that are mostly dead or not larger than what goes in already, becomes
 * one segment. So sizes grow geometrically, a vector is built in about log(n) times, and no more than
 * DENSE_SEGMENTS_MAX segments remain. While a build runs its slots are pinned and searches find them where
 * they were; at the end one exclusive step moves them.
 */
#include "index/dense.h"

#include "base/clock.h"
#include "base/metric.h"
#include "base/panic.h"
#include "index/hnsw.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEAD_SHARE_PERCENT 20u
#define NS_PER_S 1000000000ull
/* After a failed build, so that a full disk is not hammered. */
#define RETRY_NS (30 * NS_PER_S)

struct arrays {
	uint32_t *slots;
	uint64_t *id_hashes;
};

static bool is_replaced(const struct dense_build *b, uint16_t home)
{
	for (uint32_t i = 0; i < b->replaced_count; i++)
		if (b->replaced[i] == home)
			return true;
	return false;
}

static bool mostly_dead(const struct dense_segment *s)
{
	uint32_t count = segment_count(s->segment);

	return (uint64_t)(count - s->live) * 100 > (uint64_t)count * DEAD_SHARE_PERCENT;
}

static const struct dense_segment *smallest_left(const struct dense *d, const struct dense_build *b)
{
	const struct dense_segment *smallest = NULL;

	for (uint32_t i = 0; i < d->segment_count; i++) {
		const struct dense_segment *s = &d->segments[i];

		if (!is_replaced(b, s->home) && (!smallest || s->live < smallest->live))
			smallest = s;
	}
	return smallest;
}

/* Returns how many live vectors go in. */
static uint32_t choose(const struct dense *d, struct dense_build *b)
{
	uint32_t total = d->tail.count;

	for (uint32_t i = 0; i < d->segment_count; i++) {
		if (!mostly_dead(&d->segments[i]))
			continue;
		b->replaced[b->replaced_count++] = d->segments[i].home;
		total += d->segments[i].live;
	}
	for (;;) {
		const struct dense_segment *s = smallest_left(d, b);
		uint32_t left = d->segment_count - b->replaced_count;

		if (!s || (s->live > total && left + 1 <= DENSE_SEGMENTS_MAX))
			return total;
		b->replaced[b->replaced_count++] = s->home;
		total += s->live;
	}
}

/* Room for every slot that may come free when the build ends; nothing else adds to the list. */
static enum err reserve_released(struct dense *d, const struct dense_build *b, uint32_t total)
{
	uint64_t want = (uint64_t)d->released_count + total;

	for (uint32_t i = 0; i < d->segment_count; i++)
		if (is_replaced(b, d->segments[i].home))
			want += segment_count(d->segments[i].segment);
	if (want <= d->released_cap)
		return ERR_NONE;
	uint32_t *released = reallocarray(d->released, want, sizeof(*released));

	if (!released)
		return ERR_NO_MEMORY;
	d->released = released;
	d->released_cap = (uint32_t)want;
	return ERR_NONE;
}

static void pin(struct dense_build *b, const uint32_t *slots, uint32_t count,
		uint64_t (*id_hash)(const void *ctx, uint32_t row), const void *ctx)
{
	for (uint32_t i = 0; i < count; i++) {
		struct slot_state *s = &b->dense->states[slots[i]];

		if (s->row == ROW_NONE)
			continue;
		s->flags |= SLOT_PINNED;
		b->inputs[b->count++] =
			(struct dense_input){ .slot = slots[i], .id_hash = id_hash(ctx, s->row) };
	}
}

enum err dense_build_begin(struct dense *d, uint64_t (*id_hash)(const void *ctx, uint32_t row),
			   const void *ctx, struct dense_build *ret_build)
{
	struct dense_build b = { .dense = d, .hnsw = d->options.hnsw, .number = d->next_number };

	ASSERT(!d->building);
	uint32_t total = choose(d, &b);
	enum err e = reserve_released(d, &b, total);

	if (e)
		return e;
	/* What would be a short tail again is not worth a graph. */
	if (total > d->options.tail_max) {
		b.inputs = calloc(total, sizeof(*b.inputs));
		if (!b.inputs)
			return ERR_NO_MEMORY;
		pin(&b, d->tail.slots, d->tail.count, id_hash, ctx);
		for (uint32_t i = 0; i < d->segment_count; i++) {
			const struct segment *s = d->segments[i].segment;

			if (is_replaced(&b, d->segments[i].home))
				pin(&b, segment_slots(s), segment_count(s), id_hash, ctx);
		}
		ASSERT(b.count == total);
	}
	d->building = true;
	d->next_number++;
	*ret_build = b;
	return ERR_NONE;
}

static int input_compare(const void *a, const void *b)
{
	const struct dense_input *x = a, *y = b;

	return (x->slot > y->slot) - (x->slot < y->slot);
}

static void free_arrays(struct arrays *a)
{
	free(a->slots);
	free(a->id_hashes);
}

/* In the order of the slots: the same slots give the same graph. */
static enum err sort_inputs(struct dense_build *b, struct arrays *ret_arrays)
{
	ret_arrays->slots = calloc(b->count, sizeof(*ret_arrays->slots));
	ret_arrays->id_hashes = calloc(b->count, sizeof(*ret_arrays->id_hashes));
	if (!ret_arrays->slots || !ret_arrays->id_hashes)
		return ERR_NO_MEMORY;
	qsort(b->inputs, b->count, sizeof(*b->inputs), input_compare);
	for (uint32_t i = 0; i < b->count; i++) {
		ret_arrays->slots[i] = b->inputs[i].slot;
		ret_arrays->id_hashes[i] = b->inputs[i].id_hash;
	}
	return ERR_NONE;
}

static enum err build_segment(struct dense_build *b, const atomic_bool *cancel,
			      struct fault *reterr_fault)
{
	const struct dense *d = b->dense;
	struct segment_source source = dense_source(d);
	struct segment_build_options options = {
		.m = MIN(MAX(b->hnsw.m, HNSW_M_MIN), HNSW_M_MAX),
		.ef_construct = MIN(MAX(b->hnsw.ef_construct, 4u), HNSW_EF_CONSTRUCT_MAX),
		.threads = MAX(d->options.build_threads, 1u),
		.cancel = cancel,
	};
	char path[DENSE_PATH_MAX];
	struct stat st = { 0 };

	CLEANUP(free_arrays) struct arrays arrays = { 0 };
	enum err e = sort_inputs(b, &arrays);

	dense_segment_path(d, b->number, path);
	if (!e)
		e = segment_build(&source, arrays.slots, arrays.id_hashes, b->count, &options, path,
				  reterr_fault);
	if (!e)
		e = segment_open(path, &source, &b->segment, reterr_fault);
	if (e) {
		(void)unlink(path); /* litter at worst */
		return e;
	}
	(void)stat(path, &st); /* only for the size shown */
	b->file_bytes = (uint64_t)st.st_size;
	return ERR_NONE;
}

/* Only builds change the list of segments, so it may be read without the lock here. */
static enum err save_manifest(const struct dense_build *b, struct fault *reterr_fault)
{
	const struct dense *d = b->dense;
	struct manifest m = { .next = b->number + 1 };
	char path[DENSE_PATH_MAX];

	for (uint32_t i = 0; i < d->segment_count; i++)
		if (!is_replaced(b, d->segments[i].home))
			m.numbers[m.count++] = d->segments[i].number;
	if (b->segment)
		m.numbers[m.count++] = b->number;
	dense_manifest_path(d, path);
	return manifest_save(path, &m, reterr_fault);
}

enum err dense_build_run(struct dense_build *b, const atomic_bool *cancel,
			 struct fault *reterr_fault)
{
	uint64_t start_ns = clock_mono_ns(clock_system());
	enum err e = ERR_NONE;

	if (b->count)
		e = build_segment(b, cancel, reterr_fault);
	if (!e)
		e = save_manifest(b, reterr_fault);
	if (e && b->segment) {
		char path[DENSE_PATH_MAX];

		/* Whether the manifest names it is open; without the file it is a lost segment at worst. */
		dense_segment_path(b->dense, b->number, path);
		(void)unlink(path);
		segment_close(TAKE(b->segment));
	}
	if (!e && b->count)
		metric_observe(METRIC_index_build_time_seconds,
			       (double)(clock_mono_ns(clock_system()) - start_ns) /
				       (double)NS_PER_S);
	return e;
}

static void release_slot(struct dense *d, uint32_t slot)
{
	struct slot_state *s = &d->states[slot];

	if (!(s->flags & SLOT_FREED) || s->home || s->flags & SLOT_PINNED)
		return;
	ASSERT(s->row == ROW_NONE && d->released_count < d->released_cap);
	s->flags &= (uint16_t)~SLOT_FREED;
	d->released[d->released_count++] = slot;
}

/* The slots of a segment that is given up are the tail's; the new segment takes its own from there. */
static void leave_segment(struct dense *d, const struct dense_segment *gone)
{
	const uint32_t *slots = segment_slots(gone->segment);
	uint32_t count = segment_count(gone->segment);

	if (tail_reserve(&d->tail, d->state_count - 1, gone->live))
		PANIC("out of memory while taking over a build");
	for (uint32_t i = 0; i < count; i++) {
		struct slot_state *s = &d->states[slots[i]];

		s->home = 0;
		if (s->row != ROW_NONE)
			tail_add(&d->tail, slots[i]);
		else
			release_slot(d, slots[i]);
	}
}

static void drop_replaced(struct dense_build *b)
{
	struct dense *d = b->dense;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < d->segment_count; i++) {
		if (is_replaced(b, d->segments[i].home)) {
			leave_segment(d, &d->segments[i]);
			b->gone[b->gone_count++] = d->segments[i];
		} else {
			d->segments[kept++] = d->segments[i];
		}
	}
	d->segment_count = kept;
}

void dense_build_end(struct dense_build *b, bool built)
{
	struct dense *d = b->dense;

	d->building = false;
	d->retry_ns = built ? 0 : clock_mono_ns(clock_system()) + RETRY_NS;
	if (built) {
		drop_replaced(b);
		if (b->segment)
			dense_adopt(d, TAKE(b->segment), b->number, b->file_bytes);
		return;
	}
	for (uint32_t i = 0; i < b->count; i++) {
		d->states[b->inputs[i].slot].flags &= (uint16_t)~SLOT_PINNED;
		release_slot(d, b->inputs[i].slot);
	}
}

void dense_build_release(struct dense_build *b)
{
	char path[DENSE_PATH_MAX];

	for (uint32_t i = 0; i < b->gone_count; i++) {
		dense_segment_path(b->dense, b->gone[i].number, path);
		segment_close(b->gone[i].segment);
		(void)unlink(path); /* the manifest does not name it any more */
	}
	free(b->inputs);
	b->inputs = NULL;
	b->gone_count = 0;
}
