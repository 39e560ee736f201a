/* SPDX-License-Identifier: Apache-2.0 */
#include "index/dense.h"

#include "base/clock.h"
#include "base/metric.h"
#include "base/panic.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fewer dead vectors than this are not worth a build (Qdrant's vacuum_min_vector_number). */
#define VACUUM_MIN 1000u
#define DEAD_SHARE_PERCENT 20u

/* --- files --- */

void dense_segment_path(const struct dense *d, uint64_t number, char out[DENSE_PATH_MAX])
{
	snprintf(out, DENSE_PATH_MAX, "%s/v%" PRIu32 "-%" PRIu64 ".segment", d->dir,
		 d->options.index, number);
}

void dense_manifest_path(const struct dense *d, char out[DENSE_PATH_MAX])
{
	snprintf(out, DENSE_PATH_MAX, "%s/v%" PRIu32 ".manifest", d->dir, d->options.index);
}

static const float *source_vector(const struct segment_source *s, uint32_t slot)
{
	return dense_values(s->ctx, slot);
}

struct segment_source dense_source(const struct dense *d)
{
	return (struct segment_source){
		.vector = source_vector,
		.dim = d->options.dim,
		.distance = d->options.distance,
		.ctx = d,
	};
}

static bool is_listed(const struct dense *d, uint64_t number)
{
	for (uint32_t i = 0; i < d->segment_count; i++)
		if (d->segments[i].number == number)
			return true;
	return false;
}

/* Deletes segment files that do not count: of builds that a crash ended, and damaged ones. */
static void sweep_segments(const struct dense *d)
{
	DIR *dir = opendir(d->dir);

	if (!dir)
		return;
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		uint32_t index;
		uint64_t number;
		char path[DENSE_PATH_MAX];

		if (sscanf(entry->d_name, "v%" SCNu32 "-%" SCNu64 ".segment", &index, &number) != 2)
			continue;
		if (index != d->options.index)
			continue;
		dense_segment_path(d, number, path);
		const char *name = strrchr(path, '/') + 1;
		bool whole = strcmp(entry->d_name, name) == 0;

		if (whole && is_listed(d, number))
			continue;
		/* Litter at worst. */
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	}
	closedir(dir);
}

static void free_void(void **p)
{
	free(*p);
}

/* --- states --- */

static enum err grow_states(struct dense *d, uint32_t count)
{
	if (count <= d->state_count)
		return ERR_NONE;
	uint64_t next = MIN((uint64_t)UINT32_MAX,
			    MAX((uint64_t)count, (uint64_t)d->state_count * 3 / 2 + 64));
	struct slot_state *states = reallocarray(d->states, next, sizeof(*states));

	if (!states)
		return ERR_NO_MEMORY;
	for (uint64_t i = d->state_count; i < next; i++)
		states[i] = (struct slot_state){ .row = ROW_NONE };
	d->states = states;
	d->state_count = (uint32_t)next;
	return ERR_NONE;
}

static enum err grow_rows(struct dense *d, uint32_t count)
{
	if (count <= d->row_count)
		return ERR_NONE;
	uint64_t next = MIN((uint64_t)UINT32_MAX,
			    MAX((uint64_t)count, (uint64_t)d->row_count * 3 / 2 + 64));
	uint32_t *rows = reallocarray(d->row_slots, next, sizeof(*rows));

	if (!rows)
		return ERR_NO_MEMORY;
	for (uint64_t i = d->row_count; i < next; i++)
		rows[i] = SLOT_NONE;
	d->row_slots = rows;
	d->row_count = (uint32_t)next;
	return ERR_NONE;
}

static struct dense_segment *segment_at_home(struct dense *d, uint16_t home)
{
	for (uint32_t i = 0; i < d->segment_count; i++)
		if (d->segments[i].home == home)
			return &d->segments[i];
	PANIC("a slot lives in a segment that is not there");
}

static void set_live(struct dense *d, uint32_t slot, uint32_t row)
{
	struct slot_state *s = &d->states[slot];

	ASSERT(s->row == ROW_NONE && !(s->flags & SLOT_FREED));
	s->row = row;
	d->live++;
	if (s->home)
		segment_at_home(d, s->home)->live++;
	else
		tail_add(&d->tail, slot);
}

static void set_dead(struct dense *d, uint32_t slot)
{
	struct slot_state *s = &d->states[slot];

	s->row = ROW_NONE;
	d->live--;
	if (s->home)
		segment_at_home(d, s->home)->live--;
	else
		tail_remove(&d->tail, slot);
}

static uint16_t free_home(const struct dense *d)
{
	for (uint16_t home = 1;; home++) {
		bool taken = false;

		for (uint32_t i = 0; i < d->segment_count; i++)
			taken |= d->segments[i].home == home;
		if (!taken)
			return home;
	}
}

void dense_adopt(struct dense *d, struct segment *segment, uint64_t number, uint64_t file_bytes)
{
	struct dense_segment s = {
		.segment = segment, .number = number, .file_bytes = file_bytes, .home = free_home(d)
	};
	const uint32_t *slots = segment_slots(segment);

	ASSERT(d->segment_count < LEN(d->segments));
	for (uint32_t i = 0; i < segment_count(segment); i++) {
		struct slot_state *state = &d->states[slots[i]];

		ASSERT(state->home == 0);
		state->home = s.home;
		state->flags &= (uint16_t)~SLOT_PINNED;
		if (state->row == ROW_NONE)
			continue;
		tail_remove(&d->tail, slots[i]);
		s.live++;
	}
	d->segments[d->segment_count++] = s;
}

/* --- start and end --- */

/* Is every slot of the segment there, and in no other segment? */
static bool fits(const struct dense *d, const struct segment *segment)
{
	const uint32_t *slots = segment_slots(segment);
	uint32_t count = segment_count(segment);
	bool fit = true;
	uint32_t done = 0;

	/* SLOT_PINNED serves as the mark of what this segment has named already. */
	for (; fit && done < count; done++) {
		uint32_t slot = slots[done];

		fit = slot < d->slots->high && !d->states[slot].home &&
		      !(d->states[slot].flags & SLOT_PINNED);
		if (fit)
			d->states[slot].flags |= SLOT_PINNED;
	}
	for (uint32_t i = 0; i + !fit < done; i++)
		d->states[slots[i]].flags &= (uint16_t)~SLOT_PINNED;
	return fit;
}

/* It costs a build, no data: its slots are the tail's now. */
static void lose_segment(struct dense *d)
{
	d->manifest_stale = true;
	metric_add(METRIC_isthmus_segments_lost_total, 1);
}

static void load_segment(struct dense *d, uint64_t number)
{
	char path[DENSE_PATH_MAX];
	struct segment_source source = dense_source(d);
	struct segment *segment;
	struct stat st = { 0 };

	dense_segment_path(d, number, path);
	if (d->segment_count == DENSE_SEGMENTS_MAX || segment_open(path, &source, &segment, NULL)) {
		lose_segment(d);
		return;
	}
	if (!fits(d, segment)) {
		segment_close(segment);
		lose_segment(d);
		return;
	}
	(void)stat(path, &st); /* only for the size shown */
	dense_adopt(d, segment, number, (uint64_t)st.st_size);
}

static enum err load_segments(struct dense *d)
{
	char path[DENSE_PATH_MAX];
	struct manifest m = { 0 };

	dense_manifest_path(d, path);
	enum err e = manifest_load(path, &m);

	if (e == ERR_NOT_FOUND)
		return ERR_NONE;
	if (e) {
		d->manifest_stale = true;
		return ERR_NONE;
	}
	e = grow_states(d, d->slots->high);
	if (e)
		return e;
	d->next_number = m.next;
	for (uint32_t i = 0; i < m.count; i++)
		load_segment(d, m.numbers[i]);
	return ERR_NONE;
}

static enum err open_slots(struct dense *d, struct fault *reterr_fault)
{
	char path[DENSE_PATH_MAX];
	uint32_t bytes = d->options.dim * (uint32_t)sizeof(float);

	if (!d->dir)
		return slots_mem_new(bytes, &d->slots);
	snprintf(path, sizeof(path), "%s/v%" PRIu32 ".slots", d->dir, d->options.index);
	return slots_file_open(path, bytes, &d->slots, reterr_fault);
}

enum err dense_open(const struct dense_options *o, struct dense **ret_dense,
		    struct fault *reterr_fault)
{
	struct dense *d = calloc(1, sizeof(*d));
	enum err e = ERR_NO_MEMORY;

	if (!d)
		return fault_set(reterr_fault, e, "opening vectors: out of memory");
	d->options = *o;
	d->options.dir = NULL;
	d->next_number = 1;
	if (o->dir)
		d->dir = strdup(o->dir);
	if (d->dir || !o->dir)
		e = open_slots(d, reterr_fault);
	if (!e && d->dir)
		e = load_segments(d);
	if (e) {
		dense_close(d, false);
		return e;
	}
	*ret_dense = d;
	return ERR_NONE;
}

static void remove_files(const struct dense *d)
{
	char path[DENSE_PATH_MAX];

	for (uint32_t i = 0; i < d->segment_count; i++) {
		dense_segment_path(d, d->segments[i].number, path);
		(void)unlink(path); /* litter at worst */
	}
	dense_manifest_path(d, path);
	(void)unlink(path); /* it is there only after a build */
}

void dense_hollow(struct dense *d)
{
	if (!d)
		return;
	if (d->dir)
		remove_files(d);
	for (uint32_t i = 0; i < d->segment_count; i++)
		segment_close(d->segments[i].segment);
	d->segment_count = 0;
	tail_release(&d->tail);
	free(TAKE(d->states));
	free(TAKE(d->row_slots));
	free(TAKE(d->released));
	d->state_count = d->row_count = d->live = d->released_count = d->released_cap = 0;
}

void dense_close(struct dense *d, bool remove)
{
	if (!d)
		return;
	if (remove && d->dir)
		remove_files(d);
	for (uint32_t i = 0; i < d->segment_count; i++)
		segment_close(d->segments[i].segment);
	if (d->slots) {
		free(d->slots->used);
		d->slots->used = NULL;
		d->slots->ops->close(d->slots, remove);
	}
	tail_release(&d->tail);
	free(d->states);
	free(d->row_slots);
	free(d->released);
	free(d->dir);
	free(d);
}

/* Slots in memory are never marked by themselves: the file's way is imitated. */
static enum err begin_marking(struct dense *d)
{
	if (d->dir || d->slots->used)
		return ERR_NONE;
	d->slots->used = calloc((size_t)d->slots->high / 64 + 1, sizeof(*d->slots->used));
	return d->slots->used ? ERR_NONE : ERR_NO_MEMORY;
}

enum err dense_restore(struct dense *d, uint32_t slot, const void *record)
{
	CLEANUP(free_void) void *zeroes = NULL;
	uint32_t made;

	ASSERT(!d->dir && slot >= d->slots->high);
	while (d->slots->high < slot) {
		if (!zeroes)
			zeroes = calloc(1, d->slots->record_bytes);
		if (!zeroes)
			return ERR_NO_MEMORY;
		enum err e = slots_add(d->slots, zeroes, &made, NULL);

		if (e)
			return e;
	}
	return slots_add(d->slots, record, &made, NULL);
}

/* In a file without a header: are these the values? */
static void prove(struct dense *d, uint32_t slot, uint64_t hash)
{
	struct vector v = { .kind = VECTOR_DENSE,
			    .values = dense_values(d, slot),
			    .count = d->options.dim };

	if (vector_hash(&v) == hash)
		d->proved++;
	else
		d->disproved++;
}

enum err dense_mark(struct dense *d, uint32_t slot, const uint64_t *hash,
		    struct fault *reterr_fault)
{
	enum err e = begin_marking(d);

	if (!e)
		e = slots_mark(d->slots, slot);
	if (e == ERR_CORRUPT)
		return fault_set(reterr_fault, e,
				 "%s/v%" PRIu32 ".slots is cut off or gone: it has %" PRIu32
				 " records, and record %" PRIu32 " is referred to",
				 d->dir ? d->dir : "memory", d->options.index, d->slots->high,
				 slot);
	if (!e)
		e = grow_states(d, slot + 1);
	if (e)
		return fault_set(reterr_fault, e, "marking a slot: %s", err_sentence(e));
	if (hash && d->slots->header_lost)
		prove(d, slot, *hash);
	d->states[slot].flags |= SLOT_REFERRED;
	return ERR_NONE;
}

static enum err save_manifest(struct dense *d, struct fault *reterr_fault)
{
	struct manifest m = { .next = d->next_number, .count = d->segment_count };
	char path[DENSE_PATH_MAX];

	for (uint32_t i = 0; i < d->segment_count; i++)
		m.numbers[i] = d->segments[i].number;
	dense_manifest_path(d, path);
	return manifest_save(path, &m, reterr_fault);
}

/* Single values that are wrong are found by whoever reads them, and are cured; a file of wrong values is another file. */
static enum err rebuild_header(struct dense *d, struct fault *reterr_fault)
{
	if (d->disproved > d->proved)
		return fault_set(reterr_fault, ERR_CORRUPT,
				 "%s/v%" PRIu32 ".slots: its header is damaged, and %" PRIu32
				 " of %" PRIu32 " vectors that are referred to are not there",
				 d->dir, d->options.index, d->disproved, d->proved + d->disproved);
	enum err e = slots_file_rebuild(d->slots, reterr_fault);

	if (e)
		return e;
	d->slots->header_lost = false;
	d->rebuilt = true;
	metric_add(METRIC_isthmus_slot_headers_rebuilt_total, 1);
	return ERR_NONE;
}

enum err dense_start(struct dense *d, struct fault *reterr_fault)
{
	enum err e = begin_marking(d);

	if (!e && d->slots->header_lost)
		e = rebuild_header(d, reterr_fault);
	if (e)
		return e;
	/* Before any slot of a segment that was refused can be used again. */
	if (d->manifest_stale) {
		e = save_manifest(d, reterr_fault);
		if (e)
			return e;
		d->manifest_stale = false;
	}
	if (d->dir)
		sweep_segments(d);
	for (uint32_t slot = 0; slot < d->state_count; slot++) {
		struct slot_state *s = &d->states[slot];

		if (s->home && !(s->flags & SLOT_REFERRED)) {
			s->flags |= SLOT_FREED;
			e = slots_mark(d->slots, slot);
			if (e)
				return e;
		}
		s->flags &= (uint16_t)~SLOT_REFERRED;
	}
	return slots_mark_done(d->slots);
}

/* --- the committer --- */

enum err dense_add(struct dense *d, const float *values, uint32_t *ret_slot,
		   struct fault *reterr_fault)
{
	return slots_add(d->slots, values, ret_slot, reterr_fault);
}

enum err dense_reserve(struct dense *d, uint32_t row_count, uint32_t more)
{
	enum err e = grow_rows(d, row_count);

	if (!e)
		e = grow_states(d, d->slots->high);
	if (!e && d->state_count)
		e = tail_reserve(&d->tail, d->state_count - 1, more);
	return e;
}

void dense_set(struct dense *d, uint32_t row, uint32_t slot)
{
	uint32_t before = d->row_slots[row];

	if (before == slot)
		return;
	if (before != SLOT_NONE)
		set_dead(d, before);
	d->row_slots[row] = slot;
	if (slot != SLOT_NONE)
		set_live(d, slot, row);
}

void dense_give_back(struct dense *d, uint32_t slot)
{
	if (slot >= d->state_count) {
		slots_free(d->slots, slot);
		return;
	}
	struct slot_state *s = &d->states[slot];

	ASSERT(s->row == ROW_NONE && !(s->flags & SLOT_FREED));
	if (s->home || s->flags & SLOT_PINNED)
		s->flags |= SLOT_FREED;
	else
		slots_free(d->slots, slot);
}

void dense_free_released(struct dense *d)
{
	for (uint32_t i = 0; i < d->released_count; i++)
		slots_free(d->slots, d->released[i]);
	d->released_count = 0;
}

void dense_configure(struct dense *d, const struct hnsw_config *hnsw, uint32_t tail_max)
{
	d->options.hnsw = *hnsw;
	d->options.tail_max = tail_max;
}

/* --- figures --- */

uint32_t dense_indexed(const struct dense *d)
{
	return d->live - d->tail.count;
}

uint64_t dense_disk_bytes(const struct dense *d)
{
	if (!d->dir)
		return 0;
	uint64_t bytes = (uint64_t)d->state_count * d->slots->record_bytes;

	for (uint32_t i = 0; i < d->segment_count; i++)
		bytes += d->segments[i].file_bytes;
	return bytes;
}

uint64_t dense_memory_bytes(const struct dense *d)
{
	uint64_t bytes =
		(uint64_t)d->state_count * sizeof(*d->states) +
		(uint64_t)d->row_count * sizeof(*d->row_slots) +
		((uint64_t)d->tail.cap + d->tail.place_count + d->released_cap) * sizeof(uint32_t);

	if (!d->dir)
		bytes += (uint64_t)d->state_count * d->slots->record_bytes;
	for (uint32_t i = 0; i < d->segment_count; i++)
		bytes += segment_memory_bytes(d->segments[i].segment);
	return bytes;
}

bool dense_due(const struct dense *d)
{
	uint32_t limit = d->options.tail_max;

	if (!d->dir || d->building || limit == DENSE_NEVER || d->options.hnsw.m == 0)
		return false;
	if (d->tail.count > limit)
		return true;
	for (uint32_t i = 0; i < d->segment_count; i++) {
		uint32_t count = segment_count(d->segments[i].segment);
		uint32_t dead = count - d->segments[i].live;

		if (dead >= MIN(VACUUM_MIN, limit) &&
		    (uint64_t)dead * 100 > (uint64_t)count * DEAD_SHARE_PERCENT)
			return true;
	}
	return false;
}
