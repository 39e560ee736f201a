/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The window of publishing, a ring.
 */
#include "replicator/window.h"

/* Where the i-th oldest lies. */
static uint32_t place(const struct window *w, uint32_t i)
{
	return (w->head + i) % STREAM_WINDOW_MESSAGES_MAX;
}

void window_open(struct window *w, uint64_t seq)
{
	window_close(w);
	w->open = true;
	w->seq = seq;
}

bool window_close(struct window *w)
{
	bool was = w->open;
	w->open = false;
	w->count = 0;
	w->bytes = 0;
	return was;
}

enum err window_add(struct window *w, const void *key, const struct stream_message *m,
		    uint64_t *ret_before)
{
	if (!w->open)
		return ERR_UNAVAILABLE;
	if (w->count == STREAM_WINDOW_MESSAGES_MAX ||
	    (w->count > 0 && w->bytes + m->payload.len > STREAM_WINDOW_BYTES_MAX))
		return ERR_RATE_LIMITED;
	*ret_before = w->seq++;
	w->bytes += m->payload.len;
	w->flights[place(w, w->count++)] = (struct window_flight){
		.key = key,
		.seq = w->seq,
		.last = m->last,
		.bytes = m->payload.len,
		.scope = m->scope,
	};
	return ERR_NONE;
}

void window_undo(struct window *w, const void *key)
{
	if (w->count == 0 || w->flights[place(w, w->count - 1)].key != key)
		return;
	w->count--;
	w->bytes -= w->flights[place(w, w->count)].bytes;
	w->seq--;
}

/* Answers come in order but for errors, so the first look mostly finds it.
 * STREAM_WINDOW_MESSAGES_MAX: none. */
static uint32_t find(const struct window *w, const void *key)
{
	for (uint32_t i = 0; i < w->count; i++)
		if (w->flights[place(w, i)].key == key)
			return place(w, i);
	return STREAM_WINDOW_MESSAGES_MAX;
}

bool window_has(const struct window *w, const void *key)
{
	return find(w, key) < STREAM_WINDOW_MESSAGES_MAX;
}

enum err window_accept(struct window *w, const void *key, uint64_t seq, uint64_t *ret_due)
{
	uint32_t at = find(w, key);
	if (at == STREAM_WINDOW_MESSAGES_MAX)
		return ERR_NOT_FOUND;
	*ret_due = w->flights[at].seq;
	if (seq != *ret_due)
		return ERR_GAP;
	w->flights[at].accepted = true;
	return ERR_NONE;
}

bool window_land(struct window *w, struct window_flight *ret_flight)
{
	if (w->count == 0 || !w->flights[w->head].accepted)
		return false;
	*ret_flight = w->flights[w->head];
	w->head = place(w, 1);
	w->count--;
	w->bytes -= ret_flight->bytes;
	return true;
}
