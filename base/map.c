/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing; removal shifts back, so that there are no tombstones.
 * Thread: whoever holds the map.
 */
#include "base/map.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/panic.h"

#define MAP_CAP_MIN 16 /* a power of two */

struct map_slot {
	char *key; /* NULL: free */
	size_t key_len;
	uint64_t hash;
	void *value;
};

static pthread_once_t seeded = PTHREAD_ONCE_INIT;
static uint64_t seed;

static void make_seed(void)
{
	ssize_t n;
	do
		n = getrandom(&seed, sizeof(seed), 0);
	while (n < 0 && errno == EINTR);
	ASSERT(n == (ssize_t)sizeof(seed));
}

static uint64_t hash_of(struct str key)
{
	(void)pthread_once(&seeded, make_seed);
	return hash64(key.data, key.len, seed);
}

void map_init(struct map *m)
{
	*m = (struct map){ 0 };
}

void map_release(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->slots[i].key);
	free(m->slots);
	map_init(m);
}

/* The slot that holds the key, or the free one where it would go. There is always a free one. */
static size_t slot_of(const struct map *m, struct str key, uint64_t hash)
{
	size_t i = hash & (m->cap - 1);

	for (;; i = (i + 1) & (m->cap - 1)) {
		const struct map_slot *s = &m->slots[i];
		if (!s->key)
			return i;
		if (s->hash == hash && s->key_len == key.len &&
		    (key.len == 0 || memcmp(s->key, key.data, key.len) == 0))
			return i;
	}
}

void *map_get(const struct map *m, struct str key)
{
	if (m->count == 0)
		return NULL;
	const struct map_slot *s = &m->slots[slot_of(m, key, hash_of(key))];
	return s->key ? s->value : NULL;
}

static enum err grow(struct map *m)
{
	struct map bigger = { .count = m->count, .cap = m->cap ? m->cap * 2 : MAP_CAP_MIN };

	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < m->cap; i++) {
		if (!m->slots[i].key)
			continue;
		size_t to = m->slots[i].hash & (bigger.cap - 1);
		while (bigger.slots[to].key)
			to = (to + 1) & (bigger.cap - 1);
		bigger.slots[to] = m->slots[i];
	}
	free(m->slots);
	*m = bigger;
	return ERR_NONE;
}

static char *copy_of(struct str key)
{
	if (key.len == SIZE_MAX)
		return NULL;
	char *copy = malloc(key.len + 1);
	if (!copy)
		return NULL;
	if (key.len > 0)
		memcpy(copy, key.data, key.len);
	copy[key.len] = '\0';
	return copy;
}

enum err map_put(struct map *m, struct str key, void *value, void **ret_old)
{
	/* At most 3/4 full, tested before the look-up so that it ends on a free slot. */
	if (m->count >= m->cap / 4 * 3) {
		enum err err = grow(m);
		if (err)
			return err;
	}

	uint64_t hash = hash_of(key);
	struct map_slot *s = &m->slots[slot_of(m, key, hash)];
	void *old = s->key ? s->value : NULL;
	if (!s->key) {
		char *copy = copy_of(key);
		if (!copy)
			return ERR_NO_MEMORY;
		*s = (struct map_slot){ .key = copy, .key_len = key.len, .hash = hash };
		m->count++;
	}
	s->value = value;
	if (ret_old)
		*ret_old = old;
	return ERR_NONE;
}

/* Closes the gap at i: a later slot of the same run moves into it unless that would put the slot before
 * the place where its search begins. */
static void close_gap(struct map *m, size_t i)
{
	const size_t mask = m->cap - 1;

	for (size_t j = (i + 1) & mask; m->slots[j].key; j = (j + 1) & mask) {
		size_t home = m->slots[j].hash & mask;
		if (((j - home) & mask) < ((j - i) & mask))
			continue;
		m->slots[i] = m->slots[j];
		i = j;
	}
	m->slots[i] = (struct map_slot){ 0 };
}

void *map_remove(struct map *m, struct str key)
{
	if (m->count == 0)
		return NULL;
	size_t i = slot_of(m, key, hash_of(key));
	struct map_slot *s = &m->slots[i];
	if (!s->key)
		return NULL;

	void *value = s->value;
	free(s->key);
	close_gap(m, i);
	m->count--;
	return value;
}

bool map_next(const struct map *m, size_t *cursor, struct str *ret_key, void **ret_value)
{
	for (; *cursor < m->cap; (*cursor)++) {
		const struct map_slot *s = &m->slots[*cursor];
		if (!s->key)
			continue;
		*ret_key = (struct str){ .data = s->key, .len = s->key_len };
		*ret_value = s->value;
		(*cursor)++;
		return true;
	}
	return false;
}
