/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is published and not yet accepted, in the order of publishing. Each message is expected to
 * get the sequence after the one before it; an answer out of that order closes the window. Bounded
 * in messages and bytes. Pure. Thread: under its owner's lock.
 */
#pragma once

#include "replicator/stream.h"

struct window_flight {
	const void *key; /* the owner's name for the message */
	uint64_t seq;    /* that the stream has to give it */
	struct position last;
	size_t bytes;
	uint16_t scope;
	bool accepted;
};

struct window {
	bool open;
	uint64_t seq; /* the last that the stream has or will have given */
	size_t bytes;
	uint32_t head, count;
	struct window_flight flights[STREAM_WINDOW_MESSAGES_MAX];
};

/* The stream ends with seq. */
void window_open(struct window *w, uint64_t seq);
/* Forgets everything in it; true when it was open. */
bool window_close(struct window *w);
/* Before the message is sent. ERR_UNAVAILABLE: closed. ERR_RATE_LIMITED: full. *ret_before: the
 * sequence that the stream has to end with when the message comes. */
MUST_USE enum err window_add(struct window *w, const void *key, const struct stream_message *m,
			     uint64_t *ret_before);
/* The message last added was surely not sent. */
void window_undo(struct window *w, const void *key);
/* The stream gave it that sequence. ERR_NOT_FOUND: none of this window's. ERR_GAP: not the one that
 * was due. */
MUST_USE enum err window_accept(struct window *w, const void *key, uint64_t seq, uint64_t *ret_due);
bool window_has(const struct window *w, const void *key);
/* Takes the oldest message off if it is accepted. */
bool window_land(struct window *w, struct window_flight *ret_flight);
