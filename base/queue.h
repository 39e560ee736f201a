/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded queue from many threads to one: the only door into a thread that is not a loop.
 * Items are embedded; the queue never allocates after queue_init.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "base/err.h"

struct queue_item {
	struct queue_item *next;
	size_t weight;  /* set by queue_push */
};

struct queue {
	pthread_mutex_t lock;       /* guards everything below */
	pthread_cond_t not_empty;
	struct queue_item *head;
	struct queue_item *tail;
	size_t weight;
	size_t weight_max;
	bool closed;
};

MUST_USE enum err queue_init(struct queue *q, size_t weight_max);
void queue_release(struct queue *q);
/* ERR_RATE_LIMITED when full, ERR_UNAVAILABLE when closed; the item stays the caller's then. A queue that is
 * empty takes one item of any weight; a weight of 0 counts as 1. */
MUST_USE enum err queue_push(struct queue *q, struct queue_item *item, size_t weight);
/* Waits up to timeout_ms for at least one item and takes everything that is there, oldest first, as a
 * linked list; NULL when none came or the queue is closed and empty. */
struct queue_item *queue_take_all(struct queue *q, uint64_t timeout_ms);
/* Wakes the taker; later pushes are refused. */
void queue_close(struct queue *q);
bool queue_is_closed(struct queue *q);
size_t queue_weight(struct queue *q);
