/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots in memory, for tests and the simulator. Chunk k has 64 * 2^k records, so that a table of
 * fixed size serves and no record ever moves.
 */
#include "index/slots.h"

#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_ALIGN 64
#define CHUNK_RECORDS 64 /* of chunk 0 */
#define CHUNKS_MAX 27    /* 64 * (2^27 - 1) records are more than 2^32 */

struct slots_mem {
	struct slots slots;
	size_t stride; /* bytes from one record to the next */
	uint8_t *chunks[CHUNKS_MAX];
};

/* By the address as a number, as CONTAINER_OF would cast const away. at() keeps the result const.
 * */
static struct slots_mem *mem_of(const struct slots *s)
{
	return CONTAINER_OF((uintptr_t)s, struct slots_mem, slots);
}

/* The chunk of a slot, and its place there. */
static unsigned place(uint32_t slot, uint32_t *ret_at)
{
	uint32_t n = slot / CHUNK_RECORDS + 1;
	unsigned chunk = 31 - (unsigned)__builtin_clz(n);

	*ret_at = slot - CHUNK_RECORDS * (((uint32_t)1 << chunk) - 1);
	return chunk;
}

static enum err mem_write(struct slots *s, uint32_t slot, const void *record,
			  struct fault *reterr_fault)
{
	struct slots_mem *m = mem_of(s);
	uint32_t at;
	unsigned chunk = place(slot, &at);

	if (!m->chunks[chunk]) {
		size_t bytes;
		if (__builtin_mul_overflow((size_t)CHUNK_RECORDS << chunk, m->stride, &bytes))
			return fault_set(reterr_fault, ERR_NO_MEMORY, "%s",
					 err_sentence(ERR_NO_MEMORY));
		m->chunks[chunk] = aligned_alloc(RECORD_ALIGN, bytes);
		if (!m->chunks[chunk])
			return fault_set(reterr_fault, ERR_NO_MEMORY, "%s",
					 err_sentence(ERR_NO_MEMORY));
	}
	memcpy(m->chunks[chunk] + at * m->stride, record, s->record_bytes);
	return ERR_NONE;
}

static enum err mem_sync(UNUSED struct slots *s, UNUSED struct fault *reterr_fault)
{
	return ERR_NONE;
}

static const void *mem_at(const struct slots *s, uint32_t slot)
{
	const struct slots_mem *m = mem_of(s);
	uint32_t at;
	unsigned chunk = place(slot, &at);

	return m->chunks[chunk] + at * m->stride;
}

static void mem_close(struct slots *s, UNUSED bool remove)
{
	struct slots_mem *m = mem_of(s);

	for (unsigned i = 0; i < CHUNKS_MAX; i++)
		free(m->chunks[i]);
	free(s->free_list);
	free(m);
}

static const struct slots_ops mem_ops = {
	.write = mem_write,
	.sync = mem_sync,
	.at = mem_at,
	.close = mem_close,
};

enum err slots_mem_new(uint32_t record_bytes, struct slots **ret_slots)
{
	struct slots_mem *m = calloc(1, sizeof(*m));
	if (!m)
		return ERR_NO_MEMORY;
	m->slots.ops = &mem_ops;
	m->slots.record_bytes = record_bytes;
	m->stride = ((size_t)record_bytes + RECORD_ALIGN - 1) & ~(size_t)(RECORD_ALIGN - 1);
	*ret_slots = &m->slots;
	return ERR_NONE;
}
