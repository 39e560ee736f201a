/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The committer: its thread and queue, batches of writes, epochs.
 *
 * A turn takes everything that waits. Writes share one transaction until it is full, or until an intent has to
 * see what is pending as committed (filters, changes of collections): then it is committed in between. Calls that
 * other threads wait for (epochs, ops of peers) travel as writes whose done() is call_done, and have
 * transactions of their own.
 *
 * When a transaction fails although each of its writes was valid (disk full), it is abandoned and each write is tried
 * again in a transaction of its own, so that one too many does not spoil the others. After a failed sync
 * nothing is tried again: what the disk holds is unknown.
 */
#include "replicator/commit_inner.h"

#include "base/metric.h"
#include "base/panic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)
/* How long the thread sleeps at most: `turns` moves, and deadlines are looked at. */
#define TURN_WAIT_MS 100
#define WAITING_CAP_MIN 64

enum call_kind {
	CALL_BEGIN_EPOCH, CALL_RELEASE, CALL_APPLY, CALL_MARK, CALL_COPY, CALL_SETTLE, CALL_REWIND, CALL_PROMISE,
	CALL_LIST_ORPHANS, CALL_DECIDE_ORPHANS, CALL_FORGET_COPY
};

/* What another thread asks the committer to do, and waits for. */
struct call {
	struct write write;
	struct committer *c;
	enum call_kind kind;
	uint8_t target;
	const struct remote_batch *batch;
	uint64_t mark;
	struct settle *settle;
	struct rewind *rewind;
	struct promise *promise;
	struct orphan_offer *offer;
	struct orphan_decision *decision;
	uint64_t epoch; /* to begin; 0: the next one */
	struct marked *copy;
	struct position end;
	bool finished; /* under state_lock */
};

/* --- answers --- */

static enum ack_level level_of(struct committer *c, struct position p)
{
	enum ack_level level = c->o.level ? c->o.level(c->o.ctx, p) : ACK_CONFIRMED;

	return MAX(level, ACK_VISIBLE);
}

static bool is_set(struct position p)
{
	return p.epoch != 0;
}

static void applied_of(struct committer *c, struct position p, struct ack_applied *ret_applied)
{
	*ret_applied = (struct ack_applied){ 0 };
	if (c->o.applied)
		c->o.applied(c->o.ctx, p, ret_applied);
	else
		region_set_add(&ret_applied->regions, c->o.region);
}

/* Has it all that was asked for? What it has reached is kept. */
static bool has_reached(struct committer *c, struct write *w, struct position p)
{
	w->reached = level_of(c, p);
	if (ack_regions_asked(&w->regions) || w->reached == ACK_CONFIRMED)
		applied_of(c, p, &w->applied);
	struct ack_regions asked = ack_regions_among(&w->regions, &w->applied.members);
	return w->reached >= w->ack && ack_regions_met(&asked, &w->applied.regions);
}

/* What wrote nothing has seen what may not survive. What most regions have survives any one of them: then only the regions that
 * were asked for are missing. */
static void fail_open(struct committer *c, struct write *w, struct position p)
{
	bool wrote = is_set(w->position);
	char id[24];
	const char *name = c->o.region_name;

	(void)snprintf(id, sizeof(id), "region %u", c->o.region);
	if (!name)
		name = id;
	const char *did = wrote ? "written" : "nothing was written, as the points stand";
	if (w->reached == ACK_CONFIRMED) {
		w->err = fault_set(&w->fault, ERR_TIMEOUT,
				   "%s in %s at (%llu,%llu), confirmed by most regions, so that it stays; "
				   "not all regions that were asked for had it in time, they get it later",
				   did, name, (unsigned long long)p.epoch, (unsigned long long)p.seq);
		return;
	}
	w->err = fault_set(&w->fault, ERR_TIMEOUT, "%s in %s at (%llu,%llu); open whether %s survives %s",
			   did, name, (unsigned long long)p.epoch, (unsigned long long)p.seq, wrote ? "it" : "that", name);
}

static bool wait_for_level(struct committer *c, struct write *w, struct position p)
{
	if (c->waiting_count == c->waiting_cap) {
		uint32_t cap = MAX(c->waiting_cap * 2, WAITING_CAP_MIN);
		struct waiting *more = cap > COMMIT_WAITING_MAX
					       ? NULL
					       : reallocarray(c->waiting, cap, sizeof(*more));
		if (!more)
			return false;
		c->waiting = more;
		c->waiting_cap = cap;
	}
	c->waiting[c->waiting_count++] = (struct waiting){ .write = w, .position = p };
	return true;
}

/* Instead of what was being written when it showed: the bound that was met, and the cure. Reads go on meanwhile. */
static void tell_store_full(const struct committer *c, struct write *w)
{
	if (w->err != ERR_STORE_FULL)
		return;
	uint64_t bound = c->o.store->bytes_max;

	w->err = fault_set(
		&w->fault, ERR_STORE_FULL,
		"the database of this region has grown to storage.map_size, %llu MiB; "
		"writes are refused until storage.map_size is raised and the region restarted",
		(unsigned long long)(bound >> 20));
}

static struct intent *current_intent(const struct write *w)
{
	return w->intents_done < w->intent_count ? &w->intents[w->intents_done] : NULL;
}

/* A write that failed in the middle of what a filter finds has done a part of it. */
static void tell_part_done(struct write *w)
{
	const struct intent *in = current_intent(w);
	char id[POINT_ID_TEXT_MAX];

	if (!w->err || !in || !in->more)
		return;
	struct fault why = w->fault;
	(void)point_id_format(in->next, id);
	w->err = fault_set(&w->fault, w->err,
			   "%s; what the filter finds before point %s is done, the rest is not",
			   why.err == w->err ? fault_text(&why) : err_sentence(w->err), id);
}

/* All of the write that will be done is durable and visible. What wrote nothing waits for what it saw. */
static void finish(struct committer *c, struct write *w)
{
	struct position p = is_set(w->position) ? w->position : c->place.position;

	if (!w->err && is_set(p)) {
		if (!has_reached(c, w, p)) {
			if (wait_for_level(c, w, p))
				return;
			fail_open(c, w, p);
		}
	}
	tell_store_full(c, w);
	tell_part_done(w);
	w->done(w);
}

static void finish_waiting(struct committer *c, bool all)
{
	uint64_t now_ns = c->waiting_count > 0 ? clock_mono_ns(c->o.clock) : 0;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < c->waiting_count; i++) {
		struct waiting waiting = c->waiting[i];
		struct write *w = waiting.write;
		bool reached = has_reached(c, w, waiting.position);
		bool late = all || (w->deadline_ns != 0 && now_ns >= w->deadline_ns);
		if (!reached && !late) {
			c->waiting[kept++] = waiting;
			continue;
		}
		if (!reached)
			fail_open(c, w, waiting.position);
		w->done(w);
	}
	c->waiting_count = kept;
}

/* --- batches --- */

static void take(struct committer *c, struct write *w)
{
	const struct intent *in = current_intent(w);

	ASSERT(c->taking_count < COMMIT_OPS_MAX);
	c->takings[c->taking_count++] = (struct taking){
		.write = w,
		.intents_done = w->intents_done,
		.more = in && in->more,
		.next = in ? in->next : (struct point_id){ 0 },
		.position = w->position,
	};
}

static void take_back(const struct taking *t)
{
	struct write *w = t->write;

	w->intents_done = t->intents_done;
	w->position = t->position;
	struct intent *in = current_intent(w);
	if (in) {
		in->more = t->more;
		in->next = t->next;
	}
}

static void process(struct committer *c, struct write *w);

/* The transaction is gone; so is what its writes did in it. Every one of them is finished on return. */
static void batch_failed(struct committer *c, enum err err, const struct fault *f)
{
	uint32_t count = c->taking_count;
	bool again = count > 1 && !c->state.failed;

	c->taking_count = 0;
	ASSERT(!c->txn.store);
	/* One write tried again fails alone: it does not come back here with several, and c->again stays. */
	if (again)
		memcpy(c->again, c->takings, count * sizeof(*c->again));
	for (uint32_t i = 0; i < count; i++) {
		const struct taking *t = again ? &c->again[i] : &c->takings[i];
		struct write *w = t->write;
		take_back(t);
		w->err = again ? ERR_NONE : err;
		if (again) {
			process(c, w);
			continue;
		}
		w->fault = *f;
		finish(c, w);
	}
}

/* After the sync the right to write may have ended: then nobody knows whether a successor has seen it. */
static void check_lease(struct committer *c)
{
	struct fault fault = { 0 };

	if (!c->o.may_write || !c->o.may_write(c->o.ctx, SCOPE_FLEET, c->history.epoch, &fault))
		return;
	for (uint32_t i = 0; i < c->taking_count; i++) {
		struct write *w = c->takings[i].write;
		if (position_compare(w->position, c->takings[i].position) != 0 && !w->err &&
		    !position_is_multi(w->position))
			fail_open(c, w, w->position);
	}
}

/* Commits what is pending and finishes its writes, but for `current`, which goes on. false: current is finished,
 * perhaps freed. */
static bool flush(struct committer *c, struct write *current)
{
	struct fault fault = { 0 };
	bool local = c->txn.store && c->txn.local && c->txn.ops > 0;
	enum err err = commit_txn_commit(c, &fault);

	if (err) {
		batch_failed(c, err, &fault);
		return false;
	}
	if (local)
		check_lease(c);
	uint32_t count = c->taking_count;
	c->taking_count = 0;
	for (uint32_t i = 0; i < count; i++)
		if (c->takings[i].write != current)
			finish(c, c->takings[i].write);
	if (current)
		take(c, current);
	return true;
}

static bool is_full(const struct committer *c)
{
	return c->txn.store && (c->txn.ops >= COMMIT_OPS_MAX || c->txn.bytes >= COMMIT_BYTES_MAX);
}

/* The write's next intent. false: the write is finished, perhaps freed. */
static bool step(struct committer *c, struct write *w)
{
	struct intent *in = &w->intents[w->intents_done];
	bool alone = commit_intent_is_alone(in);
	struct fault fault = { 0 };
	bool dirty = false;

	if ((alone || is_full(c)) && !flush(c, w))
		return false;
	if (w->err)
		return true;
	enum err err = commit_intent(c, w, in, &dirty, &fault);
	if (err && dirty) {
		commit_txn_abandon(c);
		if (err == ERR_IO)
			commit_fail(c, &fault);
		batch_failed(c, err, &fault);
		return false;
	}
	if (err) {
		w->err = err;
		w->fault = fault;
		return true;
	}
	w->intents_done += !in->more;
	return !alone || flush(c, w);
}

/* A write into the open transaction. */
static void run(struct committer *c, struct write *w)
{
	if (current_intent(w))
		current_intent(w)->more = false;
	take(c, w);
	while (!w->err && w->intents_done < w->intent_count)
		if (!step(c, w))
			return;
}

/* A write by itself, to its end. */
static void process(struct committer *c, struct write *w)
{
	run(c, w);
	(void)flush(c, NULL);
}

/* --- epochs and peers --- */

static enum err own_op(struct committer *c, struct op *op, uint64_t epoch, struct fault *f)
{
	static const struct bytes encode_here;
	enum err err = commit_fence(c, ERR_NOT_PRIMARY, epoch, f);

	if (!err && c->o.may_write)
		err = c->o.may_write(c->o.ctx, SCOPE_FLEET, epoch, f);
	if (!err)
		err = commit_txn_begin(c, f);
	if (!err)
		err = commit_stamp(c, op, f);
	if (err)
		return err;
	if (op->kind == OP_EPOCH_START) {
		op->epoch = epoch;
		op->seq = 1;
	}
	err = commit_txn_apply(c, op, encode_here, f);
	return err ? err : commit_txn_commit(c, f);
}

/* promised 0: the next one. */
static enum err begin_epoch(struct committer *c, uint64_t promised, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;
	uint64_t epoch = promised ? promised
				  : epoch_make((MAX(c->history.epoch, c->promised) >> 8) + 1, c->o.region);
	struct op op = { .kind = OP_EPOCH_START };

	arena_init(&a, OP_ARENA_BYTES_MAX);
	if (promised && (promised != c->promised || (uint8_t)promised != c->o.region || promised <= c->history.epoch))
		return fault_set(f, ERR_FORK, "epoch %llu cannot be begun: %llu is promised, %llu is in the log",
				 (unsigned long long)promised, (unsigned long long)c->promised,
				 (unsigned long long)c->history.epoch);
	enum err err =
		history_next_chain(&c->history, c->place.position, &a, &op.chain, &op.chain_count);
	if (err)
		return fault_set(f, err, "beginning an epoch: %s", err_sentence(err));
	err = own_op(c, &op, epoch, f);
	if (!err)
		commit_set_writing(c, true);
	return err;
}

static enum err release(struct committer *c, uint8_t target, struct position *ret_end,
			struct fault *f)
{
	struct op op = { .kind = OP_RELEASE, .target = target };

	if (!c->writing)
		return fault_set(f, ERR_NOT_PRIMARY, "this region has no epoch to release");
	enum err err = own_op(c, &op, c->history.epoch, f);
	if (err)
		return err;
	commit_set_writing(c, false);
	*ret_end = c->place.position;
	return ERR_NONE;
}

static enum err mark(struct committer *c, uint64_t number, struct position *ret_position,
		     struct fault *f)
{
	struct op op = { .kind = OP_MARK, .mark = number };

	if (!c->writing)
		return fault_set(f, ERR_NOT_PRIMARY, "this region is not the primary");
	enum err err = own_op(c, &op, c->history.epoch, f);
	if (!err)
		*ret_position = c->place.position;
	return err;
}

static void run_call(struct committer *c, struct call *call)
{
	struct write *w = &call->write;

	if (c->state.failed) {
		w->err = fault_set(&w->fault, ERR_IO, "writing stopped: %s", c->state.failure);
	} else {
		switch (call->kind) {
		case CALL_BEGIN_EPOCH:
			w->err = begin_epoch(c, call->epoch, &w->fault);
			break;
		case CALL_RELEASE:
			w->err = release(c, call->target, &call->end, &w->fault);
			break;
		case CALL_APPLY:
			w->err = commit_remote(c, call->batch, &w->fault);
			break;
		case CALL_MARK:
			w->err = mark(c, call->mark, &call->end, &w->fault);
			break;
		case CALL_COPY:
			w->err = commit_multi_copy(c, &call->copy, &w->fault);
			break;
		case CALL_SETTLE:
			w->err = commit_settle(c, call->settle, &w->fault);
			break;
		case CALL_REWIND:
			w->err = commit_rewind(c, call->rewind, &w->fault);
			break;
		case CALL_PROMISE:
			w->err = commit_promise(c, call->promise, &w->fault);
			break;
		case CALL_LIST_ORPHANS:
			w->err = commit_orphans_offered(c, call->offer, &w->fault);
			break;
		case CALL_DECIDE_ORPHANS:
			w->err = commit_orphans_decided(c, call->decision, &w->fault);
			break;
		case CALL_FORGET_COPY:
			w->err = committer_copy_set_note(c->o.store, (struct bytes){ 0 }, &w->fault);
			break;
		}
		commit_txn_abandon(c);
		if (w->err == ERR_IO && !c->state.failed)
			commit_fail(c, &w->fault);
	}
	tell_store_full(c, w);
	w->done(w);
}

/* --- turns --- */

static void call_done(struct write *w)
{
	struct call *call = CONTAINER_OF(w, struct call, write);
	struct committer *c = call->c;

	pthread_mutex_lock(&c->state_lock);
	call->finished = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->state_lock);
}

void commit_wake_done(struct write *w)
{
	(void)w;
}

static void take_item(struct committer *c, struct write *w)
{
	if (w->done == commit_wake_done) {
		atomic_store(&c->waking, false);
	} else if (w->done == call_done) {
		(void)flush(c, NULL);
		run_call(c, CONTAINER_OF(w, struct call, write));
	} else {
		if (c->taking_count == COMMIT_OPS_MAX)
			(void)flush(c, NULL);
		run(c, w);
	}
}

static uint64_t wait_at_most(struct committer *c, uint64_t wait_ms)
{
	uint64_t now_ns = c->waiting_count > 0 ? clock_mono_ns(c->o.clock) : 0;

	for (uint32_t i = 0; i < c->waiting_count; i++) {
		uint64_t deadline_ns = c->waiting[i].write->deadline_ns;
		if (deadline_ns != 0)
			wait_ms = deadline_ns <= now_ns
					  ? 0
					  : MIN(wait_ms, (deadline_ns - now_ns) / NS_PER_MS + 1);
	}
	return wait_ms;
}

bool committer_turn(struct committer *c, uint64_t wait_ms)
{
	struct queue_item *item = queue_take_all(&c->queue, wait_at_most(c, wait_ms));
	struct position before = c->place.position;
	bool any = item != NULL;

	while (item) {
		struct queue_item *next = item->next;
		take_item(c, CONTAINER_OF(item, struct write, item));
		item = next;
	}
	(void)flush(c, NULL);
	finish_waiting(c, false);
	if (!c->o.copying)
		metric_set(METRIC_isthmus_queue_weight_bytes, (double)queue_weight(&c->queue));
	pthread_mutex_lock(&c->state_lock);
	c->state.turns++;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->state_lock);
	return any || position_compare(before, c->place.position) != 0;
}

static void *thread_main(void *arg)
{
	struct committer *c = arg;

	while (!queue_is_closed(&c->queue))
		(void)committer_turn(c, TURN_WAIT_MS);
	while (committer_turn(c, 0))
		;
	return NULL;
}

enum err committer_start(struct committer *c)
{
	ASSERT(!c->running && !c->stopped);
	c->running = true;
	int errnum = pthread_create(&c->thread, NULL, thread_main, c);
	if (errnum != 0) {
		c->running = false;
		return err_from_errno(errnum);
	}
	(void)pthread_setname_np(c->thread, "committer");
	return ERR_NONE;
}

void committer_stop(struct committer *c)
{
	if (c->stopped)
		return;
	c->stopped = true;
	queue_close(&c->queue);
	if (c->running) {
		(void)pthread_join(c->thread, NULL);
		c->running = false;
	} else {
		while (committer_turn(c, 0))
			;
	}
	finish_waiting(c, true);
}

/* --- other threads --- */

enum err committer_submit(struct committer *c, struct write *w)
{
	ASSERT(w->done && w->done != call_done && w->done != commit_wake_done);
	w->err = ERR_NONE;
	w->fault = (struct fault){ 0 };
	w->intents_done = 0;
	w->position = (struct position){ 0 };
	w->reached = ACK_LOCAL;
	w->applied = (struct ack_applied){ 0 };
	return queue_push(&c->queue, &w->item, w->bytes);
}

void committer_wake(struct committer *c)
{
	if (atomic_exchange(&c->waking, true))
		return;
	/* A full queue wakes the committer without this. */
	if (queue_push(&c->queue, &c->wake->item, 0))
		atomic_store(&c->waking, false);
}

static enum err call_and_wait(struct committer *c, struct call *call, size_t bytes,
			      struct fault *reterr_fault)
{
	call->c = c;
	call->write.done = call_done;
	enum err err = queue_push(&c->queue, &call->write.item, bytes);
	if (err)
		return fault_set(reterr_fault, err, "the committer: %s", err_sentence(err));

	pthread_mutex_lock(&c->state_lock);
	while (!call->finished) {
		if (c->running) {
			pthread_cond_wait(&c->changed, &c->state_lock);
			continue;
		}
		pthread_mutex_unlock(&c->state_lock);
		(void)committer_turn(c, 0);
		pthread_mutex_lock(&c->state_lock);
	}
	pthread_mutex_unlock(&c->state_lock);
	if (call->write.err)
		return fault_set(reterr_fault, call->write.err, "%s",
				 fault_text(&call->write.fault));
	return ERR_NONE;
}

enum err committer_begin_epoch(struct committer *c, struct fault *reterr_fault)
{
	struct call call = { .kind = CALL_BEGIN_EPOCH };

	return call_and_wait(c, &call, 0, reterr_fault);
}

/* An empty queue was taken by a turn that has ended, or by the one that ends next. */
enum err committer_drain(struct committer *c, uint64_t timeout_ms)
{
	struct timespec deadline;
	int errnum = 0;
	bool empty = false;

	clock_wait_deadline(timeout_ms, &deadline);
	while (!empty && errnum != ETIMEDOUT) {
		if (!c->running)
			(void)committer_turn(c, 0);
		bool taken = queue_weight(&c->queue) == 0;
		pthread_mutex_lock(&c->state_lock);
		uint64_t turns = c->state.turns;
		pthread_mutex_unlock(&c->state_lock);
		committer_wake(c);
		pthread_mutex_lock(&c->state_lock);
		while (c->running && c->state.turns == turns && errnum != ETIMEDOUT)
			errnum = pthread_cond_timedwait(&c->changed, &c->state_lock, &deadline);
		empty = taken && (!c->running || c->state.turns != turns);
		pthread_mutex_unlock(&c->state_lock);
	}
	return empty ? ERR_NONE : ERR_TIMEOUT;
}

enum err committer_release(struct committer *c, uint8_t target, struct position *ret_end,
			   struct fault *reterr_fault)
{
	struct call call = { .kind = CALL_RELEASE, .target = target };
	enum err err = call_and_wait(c, &call, 0, reterr_fault);

	if (!err)
		*ret_end = call.end;
	return err;
}

enum err committer_apply(struct committer *c, const struct remote_batch *b,
			 struct fault *reterr_fault)
{
	struct call call = { .kind = CALL_APPLY, .batch = b };
	size_t bytes = 0;

	for (uint32_t i = 0; i < b->count; i++)
		bytes += b->ops[i].len;
	return call_and_wait(c, &call, bytes, reterr_fault);
}

enum err committer_mark(struct committer *c, uint64_t number, struct position *ret_position,
			struct fault *reterr_fault)
{
	struct call call = { .kind = CALL_MARK, .mark = number };
	enum err err = call_and_wait(c, &call, 0, reterr_fault);

	if (!err)
		*ret_position = call.end;
	return err;
}

enum err committer_promise(struct committer *c, struct promise *p, struct fault *reterr_fault)
{
	struct call call = { .kind = CALL_PROMISE, .promise = p };

	return call_and_wait(c, &call, p->record.len, reterr_fault);
}

enum err committer_begin_promised(struct committer *c, uint64_t epoch, struct fault *reterr_fault)
{
	struct call call = { .kind = CALL_BEGIN_EPOCH, .epoch = epoch };

	return call_and_wait(c, &call, 0, reterr_fault);
}

enum err committer_rewind(struct committer *c, struct rewind *r, struct fault *reterr_fault)
{
	struct call call = { .kind = CALL_REWIND, .rewind = r };

	return call_and_wait(c, &call, 0, reterr_fault);
}

enum err committer_copy_forget(struct committer *c, struct fault *reterr_fault)
{
	struct call call = { .kind = CALL_FORGET_COPY };

	return call_and_wait(c, &call, 0, reterr_fault);
}

enum err committer_list_orphans(struct committer *c, struct orphan_offer *offer, struct fault *reterr_fault)
{
	struct call call = { .kind = CALL_LIST_ORPHANS, .offer = offer };
	size_t bytes = 0;

	for (uint32_t i = 0; i < offer->count; i++)
		bytes += offer->items[i].op.len;
	return call_and_wait(c, &call, bytes, reterr_fault);
}

enum err committer_decide_orphans(struct committer *c, struct orphan_decision *d, struct fault *reterr_fault)
{
	struct call call = { .kind = CALL_DECIDE_ORPHANS, .decision = d };

	return call_and_wait(c, &call, 0, reterr_fault);
}

enum err committer_copy_multi(struct committer *c, struct marked **ret_marked, struct fault *reterr_fault)
{
	struct call call = { .kind = CALL_COPY };
	enum err err = call_and_wait(c, &call, 0, reterr_fault);

	if (!err)
		*ret_marked = call.copy;
	return err;
}

enum err committer_settle(struct committer *c, struct settle *s, struct fault *reterr_fault)
{
	struct call call = { .kind = CALL_SETTLE, .settle = s };

	return call_and_wait(c, &call, 0, reterr_fault);
}

void committer_set_marked(struct committer *c, commit_marked_fn fn, void *ctx)
{
	(void)pthread_mutex_lock(&c->marked_lock);
	c->marked_fn = fn;
	c->marked_ctx = ctx;
	(void)pthread_mutex_unlock(&c->marked_lock);
}

uint64_t committer_number(struct committer *c, struct position p)
{
	pthread_mutex_lock(&c->state_lock);
	uint64_t number = history_number(&c->history, p);
	pthread_mutex_unlock(&c->state_lock);
	return number;
}

void committer_state(struct committer *c, struct committer_state *ret_state)
{
	pthread_mutex_lock(&c->state_lock);
	*ret_state = c->state;
	pthread_mutex_unlock(&c->state_lock);
	ret_state->queue_bytes = queue_weight(&c->queue);
}

enum history_place committer_find(struct committer *c, struct position p)
{
	pthread_mutex_lock(&c->state_lock);
	enum history_place place = history_find(&c->history, c->state.position, p);
	pthread_mutex_unlock(&c->state_lock);
	return place;
}

enum err committer_wait(struct committer *c, struct position p, uint64_t timeout_ms)
{
	struct timespec deadline;
	int errnum = 0;

	clock_wait_deadline(timeout_ms, &deadline);
	pthread_mutex_lock(&c->state_lock);
	while (position_compare(c->state.position, p) < 0 && errnum != ETIMEDOUT)
		errnum = pthread_cond_timedwait(&c->changed, &c->state_lock, &deadline);
	bool reached = position_compare(c->state.position, p) >= 0;
	pthread_mutex_unlock(&c->state_lock);
	return reached ? ERR_NONE : ERR_TIMEOUT;
}

struct store *committer_store(struct committer *c)
{
	return c->o.store;
}

static const struct multi_log *find_log(const struct committer *c, uint64_t log)
{
	for (uint32_t i = 0; i < c->logs.count; i++)
		if (c->logs.items[i].log == log)
			return &c->logs.items[i];
	return NULL;
}

enum err committer_seen(struct committer *c, struct cutoff *ret_seen)
{
	struct cutoff seen = { .count = 0 };
	enum err err = ERR_NONE;

	pthread_mutex_lock(&c->state_lock);
	for (uint32_t i = 0; i < c->logs.count && !err; i++)
		err = cutoff_raise(&seen, (struct op_seen){ .region = (uint8_t)c->logs.items[i].log,
							    .hlc = c->logs.items[i].hlc });
	pthread_mutex_unlock(&c->state_lock);
	if (!err)
		*ret_seen = seen;
	return err;
}

uint32_t committer_vector(struct committer *c, struct log_end out[LOGS_MAX])
{
	pthread_mutex_lock(&c->state_lock);
	uint32_t count = c->logs.count;
	for (uint32_t i = 0; i < count; i++)
		out[i] = (struct log_end){ c->logs.items[i].log, c->logs.items[i].seq,
					   c->logs.items[i].floor };
	pthread_mutex_unlock(&c->state_lock);
	return count;
}

uint64_t committer_log_seq(struct committer *c, uint64_t log)
{
	pthread_mutex_lock(&c->state_lock);
	const struct multi_log *l = find_log(c, log);
	uint64_t seq = l ? l->seq : commit_multi_is_forgotten(&c->logs, log) ? UINT64_MAX : 0;
	pthread_mutex_unlock(&c->state_lock);
	return seq;
}

bool committer_log_is_forgotten(struct committer *c, uint64_t log)
{
	pthread_mutex_lock(&c->state_lock);
	bool is = commit_multi_is_forgotten(&c->logs, log);
	pthread_mutex_unlock(&c->state_lock);
	return is;
}

enum err committer_wait_log(struct committer *c, struct log_end end, uint64_t timeout_ms)
{
	struct timespec deadline;
	int errnum = 0;
	bool reached = false;

	clock_wait_deadline(timeout_ms, &deadline);
	pthread_mutex_lock(&c->state_lock);
	while (!reached) {
		const struct multi_log *l = find_log(c, end.log);
		reached = l && l->seq >= end.seq;
		if (reached || errnum == ETIMEDOUT)
			break;
		errnum = pthread_cond_timedwait(&c->changed, &c->state_lock, &deadline);
	}
	pthread_mutex_unlock(&c->state_lock);
	return reached ? ERR_NONE : ERR_TIMEOUT;
}
