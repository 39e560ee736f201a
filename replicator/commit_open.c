/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing the door: what is read from the store, what is made and freed.
 */
#include "replicator/commit_inner.h"

#include <stdlib.h>
#include <string.h>

/* What does not follow from the records: how long the log is, and where it begins. */
static enum err read_log(struct committer *c, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct store *s = c->o.store;
	struct oplog_size sizes[SCOPES_MAX] = { 0 };
	struct oplog_entry first;
	struct position oldest;
	struct position newest;
	struct store_txn *t;
	enum err err = oplog_mark_slots(s, c->o.catalog, sizes, reterr_fault);

	arena_init(&a, OP_ARENA_BYTES_MAX);
	c->place.log_ops = sizes[SCOPE_FLEET].ops;
	c->place.log_bytes = sizes[SCOPE_FLEET].bytes;
	c->place.multi = sizes[SCOPE_MULTI];
	if (err || c->place.log_ops == 0)
		return err;
	err = s->ops->begin(s, false, &t);
	if (err)
		return fault_set(reterr_fault, err, "reading the op log: %s", err_sentence(err));
	err = oplog_bounds(s, t, SCOPE_FLEET, &oldest, &newest);
	if (err)
		err = fault_set(reterr_fault, err, "reading the op log: %s", err_sentence(err));
	else
		err = oplog_get(s, t, SCOPE_FLEET, oldest, &a, &first, reterr_fault);
	if (!err && position_compare(newest, c->place.position) != 0)
		err = fault_set(reterr_fault, ERR_CORRUPT,
				"the op log ends at (%llu, %llu), not at (%llu, %llu)",
				(unsigned long long)newest.epoch, (unsigned long long)newest.seq,
				(unsigned long long)c->place.position.epoch,
				(unsigned long long)c->place.position.seq);
	if (!err)
		c->place.oldest = op_stamp(&first.op);
	s->ops->abort(t);
	return err;
}

static void state_init(struct committer *c)
{
	c->state = (struct committer_state){
		.position = c->place.position,
		.publishing = c->place.position,
		.chain_hash = c->place.chain_hash,
		.epoch = c->history.epoch,
		.promised = c->promised,
		.writer = (uint8_t)c->history.epoch,
		.released = c->place.released,
		.released_to = c->place.released_to,
		.op_number = history_number(&c->history, c->place.position),
		.hlc = c->place.hlc,
		.boots = c->boots,
		.log_ops = c->place.log_ops,
		.log_bytes = c->place.log_bytes,
		.multi_ops = c->place.multi.ops,
		.multi_bytes = c->place.multi.bytes,
		.orphans = c->place.orphans,
	};
	memcpy(c->state.store_id, c->store_id, sizeof(c->state.store_id));
}

static enum err locks_init(struct committer *c)
{
	pthread_condattr_t attr;
	int errnum = pthread_condattr_init(&attr);

	if (errnum != 0)
		return err_from_errno(errnum);
	errnum = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (errnum == 0)
		errnum = pthread_cond_init(&c->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	if (errnum != 0)
		return err_from_errno(errnum);
	errnum = pthread_mutex_init(&c->state_lock, NULL);
	if (errnum == 0)
		return ERR_NONE;
	(void)pthread_cond_destroy(&c->changed);
	return err_from_errno(errnum);
}

static void committer_free(struct committer *c)
{
	history_release(&c->history);
	commit_multi_release(&c->logs);
	commit_multi_release(&c->txn.logs);
	commit_undo_release(c);
	buf_release(&c->wire);
	free(c->txn.freed);
	free(c->takings);
	free(c->again);
	free(c->waiting);
	free(c->wake);
	(void)pthread_mutex_destroy(&c->marked_lock);
	free(c);
}

/* Without locks and queue, which committer_close alone ends. */
static enum err committer_new(const struct committer_options *o, struct committer **ret_committer)
{
	struct committer *c = calloc(1, sizeof(*c));
	if (!c)
		return ERR_NO_MEMORY;
	int errnum = pthread_mutex_init(&c->marked_lock, NULL);
	if (errnum != 0) {
		free(c);
		return ERR_NO_MEMORY;
	}
	c->o = *o;
	if (c->o.hlc_offset_ms_max == 0)
		c->o.hlc_offset_ms_max = HLC_OFFSET_MS_MAX_DEFAULT;
	if (c->o.orphan_bytes_max == 0)
		c->o.orphan_bytes_max = ORPHAN_BYTES_MAX_DEFAULT;
	buf_init(&c->wire, OP_BYTES_MAX);
	history_init(&c->history);
	map_init(&c->undo_slots);
	c->takings = calloc(COMMIT_OPS_MAX, sizeof(*c->takings));
	c->again = calloc(COMMIT_OPS_MAX, sizeof(*c->again));
	c->wake = calloc(1, sizeof(*c->wake));
	if (!c->takings || !c->again || !c->wake) {
		committer_free(c);
		return ERR_NO_MEMORY;
	}
	c->wake->done = commit_wake_done;
	*ret_committer = c;
	return ERR_NONE;
}

enum err committer_open(const struct committer_options *o, struct committer **ret_committer,
			struct fault *reterr_fault)
{
	struct committer *c;
	enum err err = committer_new(o, &c);
	if (err)
		return fault_set(reterr_fault, err, "the committer: %s", err_sentence(err));
	err = commit_meta_open(c, reterr_fault);
	if (!err)
		err = read_log(c, reterr_fault);
	if (!err)
		err = commit_promise_open(c, reterr_fault);
	if (!err)
		err = commit_undo_open(c, reterr_fault);
	if (!err)
		err = commit_orphan_open(c, reterr_fault);
	if (!err)
		err = commit_multi_open(c, reterr_fault);
	if (err)
		goto fail;
	err = locks_init(c);
	if (!err) {
		err = queue_init(&c->queue, COMMIT_QUEUE_BYTES_MAX);
		if (!err) {
			hlc_init(&c->hlc, c->o.clock, c->place.hlc, c->o.hlc_offset_ms_max);
			state_init(c);
			c->checkpoint_ns = clock_mono_ns(c->o.clock);
			*ret_committer = c;
			return ERR_NONE;
		}
		(void)pthread_mutex_destroy(&c->state_lock);
		(void)pthread_cond_destroy(&c->changed);
	}
	(void)fault_set(reterr_fault, err, "the committer: %s", err_sentence(err));
fail:
	committer_free(c);
	return err;
}

void committer_close(struct committer *c)
{
	if (!c)
		return;
	committer_stop(c);
	queue_release(&c->queue);
	(void)pthread_mutex_destroy(&c->state_lock);
	(void)pthread_cond_destroy(&c->changed);
	committer_free(c);
}
