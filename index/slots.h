/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slot files: fixed-size records, written once, memory-mapped, referred to by rows and op log records
 * (key-value separation: WiscKey, FAST 2016). A slot is written and synced before anything durable refers
 * to it; a slot that nothing refers to is free. Which slots are free is not stored: it follows from the rows and
 * the log, and is told at start by slots_mark().
 * Thread: alloc, write, sync, release: the committer. at: any thread, for slots it knows to be in use.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#define SLOT_NONE UINT32_MAX

struct slots;

struct slots_ops {
	enum err (*write)(struct slots *s, uint32_t slot, const void *record,
			  struct fault *reterr_fault);
	enum err (*sync)(struct slots *s, struct fault *reterr_fault);
	const void *(*at)(const struct slots *s, uint32_t slot);
	/* Frees the memory; remove: deletes the file too. */
	void (*close)(struct slots *s, bool remove);
};

struct slots {
	const struct slots_ops *ops;
	uint32_t record_bytes;
	uint32_t high;            /* slots below it exist in the file */
	uint32_t *free_list;      /* slots below high that are free */
	uint32_t free_count, free_cap;
	uint64_t *used;           /* bitmap while marking, then NULL */
	bool header_lost; /* of the file: what it holds is to be proved by those who refer to it */
};

/* path is made with the first record when it is not there. 64-byte aligned records behind a header page. ERR_CORRUPT when
 * the file is foreign or of another record size. */
MUST_USE enum err slots_file_open(const char *path, uint32_t record_bytes, struct slots **ret_slots,
				  struct fault *reterr_fault);
/* Writes a header that was lost, durably. */
MUST_USE enum err slots_file_rebuild(struct slots *s, struct fault *reterr_fault);
MUST_USE enum err slots_mem_new(uint32_t record_bytes, struct slots **ret_slots);

/* At start: mark every slot in use, then finish; the others below the end of the file become free. A slot beyond
 * the end is ERR_CORRUPT. */
MUST_USE enum err slots_mark(struct slots *s, uint32_t slot);
MUST_USE enum err slots_mark_done(struct slots *s);

/* Takes a free slot and writes the record. */
MUST_USE enum err slots_add(struct slots *s, const void *record, uint32_t *ret_slot,
			    struct fault *reterr_fault);
void slots_free(struct slots *s, uint32_t slot);
