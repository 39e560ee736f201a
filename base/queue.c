/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded queue from many threads to one.
 */
#include "base/queue.h"

#include <time.h>

#include "base/clock.h"

enum err queue_init(struct queue *q, size_t weight_max)
{
	pthread_condattr_t attr;
	int rc = pthread_condattr_init(&attr);
	if (rc)
		return err_from_errno(rc);
	rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);

	*q = (struct queue){ .weight_max = weight_max };
	if (!rc)
		rc = pthread_mutex_init(&q->lock, NULL);
	if (!rc) {
		rc = pthread_cond_init(&q->not_empty, &attr);
		if (rc)
			(void)pthread_mutex_destroy(&q->lock);
	}
	(void)pthread_condattr_destroy(&attr);
	return rc ? err_from_errno(rc) : ERR_NONE;
}

void queue_release(struct queue *q)
{
	(void)pthread_cond_destroy(&q->not_empty);
	(void)pthread_mutex_destroy(&q->lock);
}

/* The weight in all would be beyond the bound. A queue that is empty takes anything, or an item heavier
 * than the bound could never pass. */
static bool too_heavy(const struct queue *q, size_t weight)
{
	return q->head && (q->weight >= q->weight_max || weight > q->weight_max - q->weight);
}

enum err queue_push(struct queue *q, struct queue_item *item, size_t weight)
{
	enum err err = ERR_NONE;

	/* An item of no weight would escape the bound. */
	weight = MAX(weight, 1);
	(void)pthread_mutex_lock(&q->lock);
	if (q->closed) {
		err = ERR_UNAVAILABLE;
	} else if (too_heavy(q, weight)) {
		err = ERR_RATE_LIMITED;
	} else {
		item->next = NULL;
		item->weight = weight;
		if (q->head)
			q->tail->next = item;
		else
			q->head = item;
		q->tail = item;
		q->weight += weight;
		(void)pthread_cond_signal(&q->not_empty);
	}
	(void)pthread_mutex_unlock(&q->lock);
	return err;
}

struct queue_item *queue_take_all(struct queue *q, uint64_t timeout_ms)
{
	struct timespec deadline = { 0 };
	int rc = 0;

	if (timeout_ms > 0)
		clock_wait_deadline(timeout_ms, &deadline);
	(void)pthread_mutex_lock(&q->lock);
	while (!q->head && !q->closed && timeout_ms > 0 && rc == 0)
		rc = pthread_cond_timedwait(&q->not_empty, &q->lock, &deadline);
	struct queue_item *items = q->head;
	q->head = NULL;
	q->tail = NULL;
	q->weight = 0;
	(void)pthread_mutex_unlock(&q->lock);
	return items;
}

void queue_close(struct queue *q)
{
	(void)pthread_mutex_lock(&q->lock);
	q->closed = true;
	(void)pthread_cond_broadcast(&q->not_empty);
	(void)pthread_mutex_unlock(&q->lock);
}

bool queue_is_closed(struct queue *q)
{
	(void)pthread_mutex_lock(&q->lock);
	bool closed = q->closed;
	(void)pthread_mutex_unlock(&q->lock);
	return closed;
}

size_t queue_weight(struct queue *q)
{
	(void)pthread_mutex_lock(&q->lock);
	size_t weight = q->weight;
	(void)pthread_mutex_unlock(&q->lock);
	return weight;
}
