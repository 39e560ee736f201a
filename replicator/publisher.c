/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/publisher.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/metric.h"
#include "replicator/oplog.h"
#include "replicator/silence.h"

#define BATCH_ARENA_BYTES_MAX (16u << 20)
#define RETRY_MS 500
#define IDLE_MS 1000

#define LANES 2

/* What is published of one scope. The stream has one window for both: opening it forgets what either has on its way, so one
 * thread publishes both. */
struct lane {
	uint16_t scope;
	struct position next_after;   /* own thread: everything up to here was handed to the stream; */
	uint32_t salt;                /* becomes part of the messages' names unless 0 */
	struct position published;    /* under the publisher's lock */
	struct position accepted;     /* likewise */
};

struct publisher {
	struct publisher_options options;
	struct stream *stream;
	pthread_t thread;
	bool started;
	struct lane lanes[LANES];
	bool reopened;                /* the last turn found the window closed */
	pthread_mutex_t lock;         /* guards the rest */
	pthread_cond_t wake;
	struct position now;
	struct fault trouble;
	bool open;                    /* the stream's window, as far as is known */
	uint64_t wakes;               /* moves with every call from outside, so that none is slept through */
	bool stop;
};

/* --- batches from the log --- */

/* Appends the op's wire form to bytes and its place to views; the views are turned into pointers at the end. */
struct draft {
	struct arena arena;
	struct buf bytes;
	struct bytes views[BATCH_OPS_MAX];
	size_t offsets[BATCH_OPS_MAX + 1];
	uint32_t count;
	struct op_batch head;
};

static bool has_slots(const struct op *op)
{
	for (uint32_t i = 0; i < op->point_count; i++)
		for (uint32_t k = 0; k < op->points[i].vector_count; k++)
			if (op->points[i].vectors[k].slot != SLOT_NONE)
				return true;
	return false;
}

/* The running hash before an op of the draft's epoch. ERR_NOT_FOUND: the log begins with that op. */
static enum err hash_before(const struct draft *b, const struct log_source *s, struct store_txn *t,
			    const struct op *op, uint64_t *ret_hash)
{
	if (b->count > 0 && op->seq == b->head.first + b->count) {
		*ret_hash = b->head.chain_hash;
		return ERR_NONE;
	}
	if (op->scope == SCOPE_MULTI && op->seq == 1) {
		*ret_hash = 0;
		return ERR_NONE;
	}
	return oplog_chain_hash(s->store, t, op->scope, (struct position){ op->epoch, op->seq - 1 },
				ret_hash);
}

/* The record of an op has a checksum, its vectors' values lie elsewhere and have none there: they are proved by the running
 * hash, so that no other region is given what this one's disk has changed. The first op that the log holds cannot be proved
 * so: who receives it compares. */
static enum err check_values(const struct draft *b, const struct log_source *s, struct store_txn *t,
			     const struct oplog_entry *e)
{
	struct bytes wire = { b->bytes.data + b->offsets[b->count],
			      b->bytes.len - b->offsets[b->count] };
	uint64_t before = 0;

	if (!has_slots(&e->op))
		return ERR_NONE;
	enum err err = hash_before(b, s, t, &e->op, &before);
	if (err != ERR_NONE)
		return err == ERR_NOT_FOUND ? ERR_NONE : err;
	return op_chain_hash(before, wire) == e->chain_hash ? ERR_NONE : ERR_CORRUPT;
}

static enum err draft_add(struct draft *b, const struct log_source *s, struct store_txn *t,
			  struct oplog_entry *e)
{
	if (b->count == 0) {
		b->head.scope = e->op.scope;
		b->head.epoch = e->op.epoch;
		b->head.first = e->op.seq;
	}
	enum err err = oplog_fill(s->catalog, &e->op, &b->arena);
	if (err != ERR_NONE)
		return err;
	b->offsets[b->count] = b->bytes.len;
	err = op_encode(&e->op, OP_FORM_WIRE, &b->bytes);
	if (err == ERR_NONE)
		err = check_values(b, s, t, e);
	if (err != ERR_NONE)
		return err;
	b->head.chain_hash = e->chain_hash;
	b->count++;
	b->offsets[b->count] = b->bytes.len;
	return ERR_NONE;
}

/* The next entry to take, passing over epochs of other regions. */
static enum err next_entry(const struct log_source *s, struct store_txn *t, uint16_t scope, struct position *after,
			   uint8_t only_region, struct arena *a, struct oplog_entry *e, struct fault *f)
{
	for (;;) {
		enum err err = oplog_next(s->store, t, scope, *after, a, e, f);

		if (err != ERR_NONE || only_region == 0 || (uint8_t)e->op.epoch == only_region)
			return err;
		*after = (struct position){ .epoch = e->op.epoch, .seq = UINT64_MAX };
	}
}

static enum err draft_fill(struct draft *b, const struct log_source *s, struct store_txn *t, uint16_t scope,
			   struct position after, uint8_t only_region, size_t bytes_target, struct fault *f)
{
	while (b->count < BATCH_OPS_MAX && (b->count == 0 || b->bytes.len < bytes_target)) {
		struct oplog_entry e;
		enum err err = next_entry(s, t, scope, &after, only_region, &b->arena, &e, f);

		if (err == ERR_NOT_FOUND && b->count > 0)
			return ERR_NONE;
		if (err != ERR_NONE)
			return err;
		if (b->count > 0 && (e.op.epoch != b->head.epoch ||
				     b->bytes.len + e.record_bytes + OP_BYTES_TARGET > BATCH_BODY_BYTES_MAX))
			return ERR_NONE;
		err = draft_add(b, s, t, &e);
		/* What comes before it is sound, and may go. */
		if (err == ERR_CORRUPT && b->count > 0)
			return ERR_NONE;
		if (err == ERR_CORRUPT)
			return fault_set(
				f, err,
				"op (%llu,%llu) is not sent: its vectors are damaged on the disk of this region",
				(unsigned long long)e.op.epoch, (unsigned long long)e.op.seq);
		if (err != ERR_NONE)
			return fault_set(f, err == ERR_NOT_FOUND ? ERR_CORRUPT : err,
					 "cannot read op (%llu,%llu) back from the log: %s",
					 (unsigned long long)e.op.epoch, (unsigned long long)e.op.seq,
					 err_sentence(err));
		after = (struct position){ .epoch = e.op.epoch, .seq = e.op.seq };
	}
	return ERR_NONE;
}

static enum err draft_encode(struct draft *b, struct buf *out)
{
	for (uint32_t i = 0; i < b->count; i++)
		b->views[i] = (struct bytes){ b->bytes.data + b->offsets[i], b->offsets[i + 1] - b->offsets[i] };
	b->head.ops = b->views;
	b->head.count = b->count;
	return batch_encode(&b->head, out);
}

/* ERR_GAP unless the first op read was still in the log afterwards: a slot of it may have had the values of another op, or
 * of none. Each log is trimmed from its beginning, so the first one speaks for all. */
static enum err check_held(const struct log_source *s, uint16_t scope, const struct draft *b, struct fault *f)
{
	struct position first = { b->head.epoch, b->head.first };
	struct store_txn *t;
	enum err err = s->store->ops->begin(s->store, false, &t);

	if (err != ERR_NONE)
		return fault_set(f, err, "reading the op log: %s", err_sentence(err));
	err = oplog_has(s->store, t, scope, first);
	s->store->ops->abort(t);
	if (err == ERR_NOT_FOUND)
		return fault_set(f, ERR_GAP, "op (%llu,%llu) was trimmed while it was read",
				 (unsigned long long)first.epoch, (unsigned long long)first.seq);
	return err;
}

static enum err draft_read(struct draft *b, const struct log_source *s, uint16_t scope, struct position after,
			   uint8_t only_region, size_t bytes_target, struct fault *f)
{
	struct store_txn *t;
	enum err err = s->store->ops->begin(s->store, false, &t);

	if (err != ERR_NONE)
		return fault_set(f, err, "reading the op log: %s", err_sentence(err));
	err = draft_fill(b, s, t, scope, after, only_region, bytes_target, f);
	s->store->ops->abort(t);
	enum err held = b->head.first != 0 ? check_held(s, scope, b, f) : ERR_NONE;
	if (held == ERR_NONE && err == ERR_CORRUPT)
		metric_add(METRIC_isthmus_damaged_ops_total, 1);
	return held != ERR_NONE ? held : err;
}

enum err log_message(const struct log_source *s, uint16_t scope, struct position after, uint8_t only_region,
		     size_t bytes_target, struct buf *out, struct op_batch *ret_head, struct fault *reterr_fault)
{
	struct draft *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return ERR_NO_MEMORY;
	arena_init(&b->arena, BATCH_ARENA_BYTES_MAX);
	buf_init(&b->bytes, BATCH_BODY_BYTES_MAX + OP_BYTES_MAX);
	b->head.fleet = s->fleet;
	enum err err = draft_read(b, s, scope, after, only_region, bytes_target, reterr_fault);
	if (err == ERR_NONE) {
		err = draft_encode(b, out);
		if (err != ERR_NONE)
			(void)fault_set(reterr_fault, err, "ops from (%llu,%llu) on make no message: %s",
					(unsigned long long)b->head.epoch, (unsigned long long)b->head.first,
					err_sentence(err));
	}
	if (err == ERR_NONE) {
		*ret_head = b->head;
		ret_head->ops = NULL;
	}
	buf_release(&b->bytes);
	arena_release(&b->arena);
	free(b);
	return err;
}

/* --- the publisher --- */

enum err publisher_new(const struct publisher_options *o, struct publisher **ret_publisher)
{
	struct publisher *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (p == NULL)
		return ERR_NO_MEMORY;
	p->options = *o;
	p->now = o->now;
	p->lanes[1].scope = SCOPE_MULTI;
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&p->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	*ret_publisher = p;
	return ERR_NONE;
}

/* What another region wrote is not published here, and wakes nobody. */
void publisher_wake(struct publisher *p, struct position now)
{
	(void)pthread_mutex_lock(&p->lock);
	if ((uint8_t)now.epoch == p->options.region) {
		if (!position_is_multi(now))
			p->now = now;
		p->wakes++;
		(void)pthread_cond_signal(&p->wake);
	}
	(void)pthread_mutex_unlock(&p->lock);
}

void publisher_accepted(struct publisher *p, struct position upto)
{
	(void)pthread_mutex_lock(&p->lock);
	struct lane *l = &p->lanes[position_is_multi(upto) ? 1 : 0];

	if (position_compare(upto, l->accepted) > 0)
		l->accepted = upto;
	p->wakes++;
	(void)pthread_cond_signal(&p->wake);
	(void)pthread_mutex_unlock(&p->lock);
}

void publisher_closed(struct publisher *p)
{
	(void)pthread_mutex_lock(&p->lock);
	p->open = false;
	p->wakes++;
	(void)pthread_cond_signal(&p->wake);
	(void)pthread_mutex_unlock(&p->lock);
}

void publisher_state(struct publisher *p, struct publisher_state *ret_state)
{
	(void)pthread_mutex_lock(&p->lock);
	*ret_state = (struct publisher_state){ p->lanes[0].published, p->lanes[0].accepted, p->lanes[1].accepted,
					       p->trouble };
	(void)pthread_mutex_unlock(&p->lock);
}

/* Says it once when it begins and once when it is over. */
static void set_trouble(struct publisher *p, enum err err, const struct fault *f)
{
	(void)pthread_mutex_lock(&p->lock);
	bool was = p->trouble.err != ERR_NONE;

	p->trouble = err == ERR_NONE ? (struct fault){ 0 } : *f;
	p->trouble.err = err;
	(void)pthread_mutex_unlock(&p->lock);
	if (err != ERR_NONE && !was)
		log_warn("publishing stopped, ops stay in the log and follow later reason=\"%s\"", fault_text(f));
	if (err == ERR_NONE && was)
		log_info("publishing goes on");
}

/* Does the log hold the op at p, with that running hash after it? */
static enum err holds(struct publisher *p, uint16_t scope, struct position at, uint64_t chain_hash, bool *ret_holds, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;
	struct store *s = p->options.store;
	struct oplog_entry entry = { 0 };
	struct store_txn *t;

	arena_init(&a, BATCH_ARENA_BYTES_MAX);
	enum err err = s->ops->begin(s, false, &t);
	if (err != ERR_NONE)
		return fault_set(f, err, "reading the op log: %s", err_sentence(err));
	err = oplog_get(s, t, scope, at, &a, &entry, f);
	s->ops->abort(t);
	*ret_holds = err == ERR_NONE && entry.chain_hash == chain_hash;
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

/* Where the stream ends: the position of its last op, when that very op is also in our log. Else (an empty stream, one
 * that holds what a store restored to an older state has forgotten, a damaged message) nothing is known to be there and
 * everything that the log still holds is published; known ops are skipped by whoever reads. */
static enum err find_tail(struct publisher *p, struct lane *l, struct position *ret_after, struct fault *f)
{
	CLEANUP(buf_release) struct buf raw = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	CLEANUP(buf_release) struct buf inflated = BUF_INIT(BATCH_BODY_BYTES_MAX);
	CLEANUP(arena_release) struct arena a;
	struct op_batch m;
	bool known = false;

	arena_init(&a, BATCH_ARENA_BYTES_MAX);
	*ret_after = (struct position){ 0 };
	enum err err = stream_tail(p->stream, l->scope, &raw, f);
	if (err == ERR_NOT_FOUND)
		return ERR_NONE;
	if (err != ERR_NONE)
		return err;
	err = batch_decode(buf_bytes(&raw), &inflated, &a, &m, f);
	if (err == ERR_NO_MEMORY)
		return err;
	if (err == ERR_NONE && m.fleet == p->options.fleet && (uint8_t)m.epoch == p->options.region) {
		err = holds(p, l->scope, batch_last(&m), m.chain_hash, &known, f);
		if (err != ERR_NONE)
			return err;
	}
	if (known) {
		*ret_after = batch_last(&m);
		return ERR_NONE;
	}
	log_info("the stream ends with what this region's log does not hold, publishing all that it holds");
	/* The same batches may be in the stream already, before what is strange: by their names they would be refused. */
	l->salt = (uint32_t)clock_wall_ms(p->options.clock) | 1;
	return ERR_NONE;
}

static enum err open_window(struct publisher *p, struct fault *f)
{
	struct position after[LANES];

	(void)pthread_mutex_lock(&p->lock);
	p->open = true; /* before it opens: that it closes again must not be missed */
	(void)pthread_mutex_unlock(&p->lock);
	enum err err = stream_open(p->stream, f);
	for (uint32_t i = 0; i < LANES && err == ERR_NONE; i++)
		err = find_tail(p, &p->lanes[i], &after[i], f);
	if (err != ERR_NONE)
		return err == ERR_NOT_FOUND ? ERR_UNAVAILABLE : err;
	(void)pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < LANES; i++)
		p->lanes[i].next_after = p->lanes[i].published = p->lanes[i].accepted = after[i];
	(void)pthread_mutex_unlock(&p->lock);
	return ERR_NONE;
}

static void name_batch(const struct lane *l, const struct op_batch *head, char id[STREAM_ID_MAX])
{
	size_t len = batch_id(head, id);

	if (l->salt != 0)
		(void)snprintf(id + len, STREAM_ID_MAX - len, ".%08x", l->salt);
}

static enum err publish_batch(struct publisher *p, struct lane *l, struct fault *f)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	struct log_source source = { p->options.store, p->options.catalog, p->options.fleet };
	char id[STREAM_ID_MAX];
	struct op_batch head;
	enum err err = log_message(&source, l->scope, l->next_after, p->options.region, PUBLISH_BYTES_TARGET,
				   &payload, &head, f);

	if (err != ERR_NONE)
		return err;
	name_batch(l, &head, id);
	struct stream_message m = {
		.scope = l->scope,
		.last = batch_last(&head),
		.id = id,
		.payload = buf_bytes(&payload),
	};
	err = stream_publish(p->stream, &m);
	if (err != ERR_NONE)
		return fault_set(f, err, "the stream takes no message: %s", err_sentence(err));
	l->next_after = m.last;
	(void)pthread_mutex_lock(&p->lock);
	l->published = m.last;
	(void)pthread_mutex_unlock(&p->lock);
	return ERR_NONE;
}

/* A batch of each scope that has one. ERR_NOT_FOUND: neither has. */
static enum err publish_lanes(struct publisher *p, struct fault *f)
{
	enum err all = ERR_NOT_FOUND;

	for (uint32_t i = 0; i < LANES; i++) {
		enum err err = publish_batch(p, &p->lanes[i], f);

		if (err == ERR_NONE)
			all = ERR_NONE;
		else if (err != ERR_NOT_FOUND)
			return err;
	}
	return all;
}

static bool is_open(struct publisher *p)
{
	(void)pthread_mutex_lock(&p->lock);
	bool open = p->open;

	(void)pthread_mutex_unlock(&p->lock);
	return open;
}

/* ERR_NOT_FOUND: all is published. ERR_RATE_LIMITED: the window is full, or nothing may leave now. ERR_GAP, or *ret_again: at once again. */
static enum err turn(struct publisher *p, bool *ret_again, struct fault *f)
{
	bool was_open = is_open(p);

	*ret_again = false;
	if (silence_now(p->options.silence, NULL) != SILENCE_NONE)
		return ERR_RATE_LIMITED;
	enum err err = was_open ? ERR_NONE : open_window(p, f);

	if (err == ERR_NONE)
		err = publish_lanes(p, f);
	if (err == ERR_NONE || err == ERR_NOT_FOUND || err == ERR_RATE_LIMITED || err == ERR_GAP) {
		p->reopened = false;
		return err;
	}
	/* Whatever it was, the next turn begins with a look at where the stream ends. A window that closed is no trouble
	 * yet: it may open again. */
	*ret_again = err == ERR_UNAVAILABLE && was_open && !p->reopened;
	p->reopened = *ret_again;
	(void)pthread_mutex_lock(&p->lock);
	p->open = false;
	(void)pthread_mutex_unlock(&p->lock);
	return err;
}

/* True when there may be more to do at once. */
static bool publish_some(struct publisher *p)
{
	struct fault f = { 0 };
	bool again;
	enum err err = turn(p, &again, &f);

	if (again)
		return true;
	if (err == ERR_GAP) {
		/* The stream has a hole then, which readers fill from a log. */
		log_info("ops were trimmed before they were published reason=\"%s\"", fault_text(&f));
		return true;
	}
	if (err == ERR_NONE || err == ERR_NOT_FOUND)
		set_trouble(p, ERR_NONE, NULL);
	else if (err != ERR_RATE_LIMITED)
		set_trouble(p, err, &f);
	return err == ERR_NONE;
}

static void *publisher_main(void *arg)
{
	struct publisher *p = arg;

	for (;;) {
		struct timespec until;

		(void)pthread_mutex_lock(&p->lock);
		uint64_t wakes = p->wakes;
		bool stop = p->stop;
		(void)pthread_mutex_unlock(&p->lock);
		if (stop)
			return NULL;
		if (publish_some(p))
			continue;
		(void)pthread_mutex_lock(&p->lock);
		clock_wait_deadline(p->trouble.err != ERR_NONE ? RETRY_MS : IDLE_MS, &until);
		while (!p->stop && p->wakes == wakes && pthread_cond_timedwait(&p->wake, &p->lock, &until) == 0)
			;
		/* A region in trouble is not hurried by its own writes. */
		while (!p->stop && p->trouble.err != ERR_NONE &&
		       pthread_cond_timedwait(&p->wake, &p->lock, &until) == 0)
			;
		(void)pthread_mutex_unlock(&p->lock);
	}
}

enum err publisher_start(struct publisher *p, struct stream *stream)
{
	p->stream = stream;
	int e = pthread_create(&p->thread, NULL, publisher_main, p);
	if (e != 0)
		return err_from_errno(e);
	(void)pthread_setname_np(p->thread, "publisher");
	p->started = true;
	return ERR_NONE;
}

void publisher_stop(struct publisher *p)
{
	if (p == NULL)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->stop = true;
	(void)pthread_cond_signal(&p->wake);
	(void)pthread_mutex_unlock(&p->lock);
	if (p->started)
		(void)pthread_join(p->thread, NULL);
	p->started = false;
}

void publisher_free(struct publisher *p)
{
	if (p == NULL)
		return;
	publisher_stop(p);
	(void)pthread_cond_destroy(&p->wake);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}
