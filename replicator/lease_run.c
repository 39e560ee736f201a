/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/lease_run.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metric.h"
#include "base/panic.h"

#define NS_PER_MS UINT64_C(1000000)
/* Ticks come at least this often: how this region stands is looked at then. */
#define TICK_MS_MAX 250
/* Of one region; beyond, the oldest are dropped: what they ask is asked again. */
#define OUTBOX_MAX 16
/* One that is stored lazily, and one that has overtaken it, are on their way at a time. */
#define STORES_MAX 4
#define FRAME_ARENA_BYTES_MAX (256u << 10)

struct out_item {
	struct lease_item item;
	struct voter_list list, pending; /* what item's pointers name */
};

struct sender {
	struct lease_run *run;
	uint8_t region;
	pthread_t thread;
	bool started;
	pthread_cond_t wake;
	struct out_item items[OUTBOX_MAX]; /* oldest first */
	uint32_t count;
};

struct store_job {
	uint64_t sequence;
	uint64_t epoch;
	struct buf record;
};

struct job {
	enum lease_action_kind kind; /* COPY, BEGIN or HAND_OVER */
	uint8_t region;
	uint64_t epoch;
	struct position position;
};

struct lease_run {
	struct lease_run_options options;
	struct sender *senders;
	uint32_t sender_count;
	pthread_t ticker, storer, worker;
	bool ticking, storing, working;

	pthread_mutex_t term_lock;      /* guards these; nothing else is locked while it is held */
	struct lease_term term;
	bool writing;                   /* LEASE_WRITE was told for it, and no LEASE_STOP since */
	uint64_t held_until_ms;         /* until when this region may, or might write; 0: never since the start */
	atomic_bool counts;

	pthread_mutex_t lock;           /* guards the rest */
	pthread_cond_t tick_wake, store_wake, work_wake, handed_over;
	bool stop;
	struct lease *lease;
	struct lease_actions actions;
	bool news;                      /* options.changed() is due */
	struct store_job stores[STORES_MAX]; /* in order */
	uint32_t store_count;
	bool has_job;
	struct job job;                 /* newer ones replace it: the lease has moved on then */
	bool handing_over;
	struct position handed_end;
	struct fault handed_fault;
	uint64_t elections, won;
};

static struct lease_now now_of(struct lease_run *r)
{
	return (struct lease_now){ .boot_ms = clock_mono_ns(r->options.clock) / NS_PER_MS,
				   .wall_ms = clock_wall_ms(r->options.clock) };
}

/* --- carrying out what the lease says; all with the lock --- */

static void put_out(struct lease_run *r, const struct lease_action *a)
{
	for (uint32_t i = 0; i < r->sender_count; i++) {
		struct sender *s = &r->senders[i];

		if (s->region != a->region)
			continue;
		if (s->count == OUTBOX_MAX)
			memmove(&s->items[0], &s->items[1], --s->count * sizeof(s->items[0]));
		struct out_item *o = &s->items[s->count++];
		o->item = a->item;
		if (a->item.list != NULL)
			o->list = *a->item.list;
		if (a->item.pending != NULL)
			o->pending = *a->item.pending;
		(void)pthread_cond_signal(&s->wake);
	}
}

static void put_store(struct lease_run *r, const struct lease_action *a)
{
	ASSERT(r->store_count < STORES_MAX);
	struct store_job *j = &r->stores[r->store_count++];

	*j = (struct store_job){ .sequence = a->sequence, .epoch = a->epoch, .record = BUF_INIT(LEASE_RECORD_BYTES_MAX) };
	/* What cannot be encoded is told as not stored, by the empty record. */
	if (lease_record_encode(a->record, &j->record) != ERR_NONE)
		buf_reset(&j->record);
	(void)pthread_cond_signal(&r->store_wake);
}

static void end_hand_over(struct lease_run *r, struct position end, const struct fault *f)
{
	r->handing_over = false;
	r->handed_end = end;
	r->handed_fault = *f;
	(void)pthread_cond_broadcast(&r->handed_over);
}

static void put_job(struct lease_run *r, const struct lease_action *a)
{
	struct fault f = { 0 };

	/* Whoever waits for what will not be done is told. */
	if (r->has_job && r->job.kind == LEASE_HAND_OVER) {
		(void)fault_set(&f, ERR_UNAVAILABLE, "this region lost its lease before it could hand over");
		end_hand_over(r, (struct position){ 0 }, &f);
	}
	r->has_job = true;
	r->job = (struct job){ .kind = a->kind, .region = a->region, .epoch = a->epoch, .position = a->position };
	(void)pthread_cond_signal(&r->work_wake);
}

static void set_writing(struct lease_run *r, bool writing)
{
	uint64_t now_ms = now_of(r).boot_ms;

	(void)pthread_mutex_lock(&r->term_lock);
	r->writing = writing;
	r->held_until_ms = writing ? r->term.boot_until_ms : MIN(r->held_until_ms, now_ms);
	(void)pthread_mutex_unlock(&r->term_lock);
	r->news = true;
}

static void tell(struct lease_run *r, const struct lease_action *a)
{
	static const struct {
		enum log_level level;
		const char *outcome;
	} events[] = {
#define LEASE_EVENT(name, word, level, outcome) [LEASE_EVENT_##name] = { LOG_LEVEL_##level, outcome },
#include "replicator/lease_event.def"
#undef LEASE_EVENT
	};
	const char *outcome = events[a->event].outcome;

	r->elections += a->event == LEASE_EVENT_STANDING;
	r->won += a->event == LEASE_EVENT_WON;
	if (outcome != NULL)
		metric_series_add(metric_series(METRIC_isthmus_elections_total, outcome), 1);
	/* It may be about who votes. */
	r->news = true;
	log_event(events[a->event].level, "lease: %s region=%s epoch=%llu number=%llu", lease_event_name(a->event),
		  a->region != 0 ? r->options.name(r->options.ctx, a->region) : "-", (unsigned long long)a->epoch,
		  (unsigned long long)a->number);
}

static void carry_out(struct lease_run *r, const struct lease_action *a)
{
	switch (a->kind) {
	case LEASE_SEND:
		put_out(r, a);
		break;
	case LEASE_PERSIST:
		put_store(r, a);
		break;
	case LEASE_COPY:
	case LEASE_BEGIN:
	case LEASE_HAND_OVER:
		put_job(r, a);
		break;
	case LEASE_WRITE:
		set_writing(r, true);
		log_info("lease: this region writes epoch=%llu", (unsigned long long)a->epoch);
		break;
	case LEASE_STOP:
		set_writing(r, false);
		log_info("lease: this region writes no more epoch=%llu reason=\"%s\"", (unsigned long long)a->epoch,
			 lease_reason_name(a->reason));
		break;
	case LEASE_TELL:
		tell(r, a);
		break;
	}
}

/* After each input. */
static void publish(struct lease_run *r)
{
	struct lease_term t = lease_get_term(r->lease);

	atomic_store(&r->counts, lease_counts(r->lease));
	(void)pthread_mutex_lock(&r->term_lock);
	r->term = t;
	if (r->writing)
		r->held_until_ms = t.boot_until_ms;
	(void)pthread_mutex_unlock(&r->term_lock);
}

static void carry_out_all(struct lease_run *r)
{
	/* Before the right to write is told, it is to be judged by its new bounds. */
	publish(r);
	for (uint32_t i = 0; i < r->actions.count; i++)
		carry_out(r, &r->actions.list[i]);
	r->actions.count = 0;
	(void)pthread_cond_signal(&r->tick_wake);
}

/* Begins an input: locked, and the lease knows how this region stands. */
static struct lease_now enter(struct lease_run *r)
{
	struct lease_here here = { 0 };

	(void)pthread_mutex_lock(&r->lock);
	struct lease_now now = now_of(r);
	r->options.here(r->options.ctx, &here);
	lease_set_here(r->lease, now, &here, &r->actions);
	carry_out_all(r);
	return now;
}

static void leave(struct lease_run *r)
{
	carry_out_all(r);
	bool news = r->news;

	r->news = false;
	(void)pthread_mutex_unlock(&r->lock);
	if (news)
		r->options.changed(r->options.ctx);
}

/* --- threads --- */

/* With the lock; up to the given time by the lease's clock. */
static void wait_until(struct lease_run *r, pthread_cond_t *wake, uint64_t due_ms)
{
	uint64_t now_ms = now_of(r).boot_ms;
	uint64_t ms = due_ms > now_ms ? MIN(due_ms - now_ms, TICK_MS_MAX) : 1;
	struct timespec until;

	clock_wait_deadline(ms, &until);
	(void)pthread_cond_timedwait(wake, &r->lock, &until);
}

static void *tick(void *arg)
{
	struct lease_run *r = arg;

	for (;;) {
		struct lease_now now = enter(r);

		lease_tick(r->lease, now, &r->actions);
		leave(r);
		(void)pthread_mutex_lock(&r->lock);
		if (!r->stop)
			wait_until(r, &r->tick_wake, lease_due(r->lease));
		bool stop = r->stop;
		(void)pthread_mutex_unlock(&r->lock);
		if (stop)
			return NULL;
	}
}

static void store_one(struct lease_run *r, struct store_job *j)
{
	struct promise p = { .epoch = j->epoch, .record = buf_bytes(&j->record) };
	struct fault f = { 0 };
	enum err err = j->record.len > 0 ? r->options.persist(r->options.ctx, &p, &f) : ERR_NO_MEMORY;

	if (err != ERR_NONE)
		log_warn("lease: what this voter has to remember was not stored epoch=%llu reason=\"%s\"",
			 (unsigned long long)j->epoch, f.text[0] != '\0' ? fault_text(&f) : err_sentence(err));
	struct lease_now now = enter(r);
	lease_persisted(r->lease, now, j->sequence, err == ERR_NONE, p.position, &r->actions);
	leave(r);
	buf_release(&j->record);
}

static void *store(void *arg)
{
	struct lease_run *r = arg;

	for (;;) {
		(void)pthread_mutex_lock(&r->lock);
		while (!r->stop && r->store_count == 0)
			(void)pthread_cond_wait(&r->store_wake, &r->lock);
		bool stop = r->stop;
		struct store_job j = { 0 };
		if (!stop) {
			j = r->stores[0];
			memmove(&r->stores[0], &r->stores[1], --r->store_count * sizeof(j));
		}
		(void)pthread_mutex_unlock(&r->lock);
		if (stop)
			return NULL;
		store_one(r, &j);
	}
}

static void work_one(struct lease_run *r, const struct job *j)
{
	struct lease_run_options *o = &r->options;
	struct position end = { 0 };
	struct fault f = { 0 };
	enum err err;

	if (j->kind == LEASE_COPY)
		err = o->copy(o->ctx, j->region, j->position, &f);
	else if (j->kind == LEASE_BEGIN)
		err = o->begin(o->ctx, j->epoch, &f);
	else
		err = o->hand_over(o->ctx, j->region, &end, &f);
	if (err != ERR_NONE)
		log_warn("lease: %s failed region=%s epoch=%llu reason=\"%s\"",
			 j->kind == LEASE_COPY	  ? "copying the best voter's history"
			 : j->kind == LEASE_BEGIN ? "beginning an epoch"
						  : "handing over",
			 j->region != 0 ? o->name(o->ctx, j->region) : "-", (unsigned long long)j->epoch, fault_text(&f));
	struct lease_now now = enter(r);
	if (j->kind == LEASE_COPY)
		lease_copied(r->lease, now, j->epoch, err == ERR_NONE, &r->actions);
	else if (j->kind == LEASE_BEGIN)
		lease_begun(r->lease, now, j->epoch, err == ERR_NONE, &r->actions);
	else
		lease_handed_over(r->lease, now, j->epoch, end.epoch != 0, end, &r->actions);
	if (j->kind == LEASE_HAND_OVER)
		end_hand_over(r, end, &f);
	leave(r);
}

static void *work(void *arg)
{
	struct lease_run *r = arg;

	for (;;) {
		(void)pthread_mutex_lock(&r->lock);
		while (!r->stop && !r->has_job)
			(void)pthread_cond_wait(&r->work_wake, &r->lock);
		bool stop = r->stop;
		struct job j = r->job;
		r->has_job = false;
		(void)pthread_mutex_unlock(&r->lock);
		if (stop)
			return NULL;
		work_one(r, &j);
	}
}

/* With the lock. What was waiting, as one frame. */
static enum err encode_frame(struct sender *s, struct buf *out)
{
	struct lease_run *r = s->run;
	struct lease_item items[OUTBOX_MAX];

	for (uint32_t i = 0; i < s->count; i++) {
		items[i] = s->items[i].item;
		if (items[i].list != NULL)
			items[i].list = &s->items[i].list;
		if (items[i].pending != NULL)
			items[i].pending = &s->items[i].pending;
	}
	struct lease_frame f = {
		.fleet = r->options.fleet,
		.from = r->options.lease.self,
		.wall_ms = clock_wall_ms(r->options.clock),
		.items = items,
		.count = s->count,
	};
	s->count = 0;
	return lease_frame_encode(&f, out);
}

static void *send_loop(void *arg)
{
	struct sender *s = arg;
	struct lease_run *r = s->run;
	CLEANUP(buf_release) struct buf frame = BUF_INIT(LEASE_FRAME_BYTES_MAX);

	for (;;) {
		struct fault f = { 0 };

		(void)pthread_mutex_lock(&r->lock);
		while (!r->stop && s->count == 0)
			(void)pthread_cond_wait(&s->wake, &r->lock);
		bool stop = r->stop;
		buf_reset(&frame);
		enum err err = stop ? ERR_NONE : encode_frame(s, &frame);
		(void)pthread_mutex_unlock(&r->lock);
		if (stop)
			return NULL;
		if (err == ERR_NONE)
			err = r->options.send(r->options.ctx, s->region, buf_bytes(&frame), &f);
		if (err != ERR_NONE)
			log_debug("lease: a message was not taken region=%s reason=\"%s\"",
				  r->options.name(r->options.ctx, s->region),
				  f.text[0] != '\0' ? fault_text(&f) : err_sentence(err));
	}
}

/* --- what others ask --- */

enum err lease_run_receive(struct lease_run *r, uint8_t from, struct bytes frame, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct lease_frame f;

	arena_init(&a, FRAME_ARENA_BYTES_MAX);
	enum err err = lease_frame_decode(frame, &a, &f, reterr_fault);
	if (err != ERR_NONE)
		return err;
	if (f.fleet != r->options.fleet)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "a lease's message of another fleet; compare fleet.name");
	if (f.from.region != from)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "a lease's message of region %u under the certificate of region %u",
				 f.from.region, from);
	if (from == r->options.lease.self.region)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "another region speaks with this one's id %u: each region has a name and an id of its own", from);
	for (uint32_t i = 0; i < f.count; i++) {
		struct lease_now now = enter(r);

		lease_receive(r->lease, now, &f.from, f.wall_ms, &f.items[i], &r->actions);
		leave(r);
	}
	return ERR_NONE;
}

bool lease_run_may_write(struct lease_run *r, uint64_t epoch, bool begun)
{
	struct lease_now now = now_of(r);

	(void)pthread_mutex_lock(&r->term_lock);
	bool may = lease_term_valid(&r->term, epoch, now) && (!begun || (r->term.begun && r->writing));
	(void)pthread_mutex_unlock(&r->term_lock);
	return may;
}

uint64_t lease_run_ended_ms(struct lease_run *r)
{
	uint64_t now_ms = now_of(r).boot_ms;

	(void)pthread_mutex_lock(&r->term_lock);
	uint64_t until_ms = r->held_until_ms;
	(void)pthread_mutex_unlock(&r->term_lock);
	if (until_ms == 0)
		return UINT64_MAX;
	return now_ms > until_ms ? now_ms - until_ms : 0;
}

bool lease_run_counts(const struct lease_run *r)
{
	return atomic_load(&r->counts);
}

enum err lease_run_hand_over(struct lease_run *r, uint8_t target, struct position *ret_end, struct fault *reterr_fault)
{
	struct lease_now now = enter(r);
	enum err err = ERR_NONE;

	if (r->handing_over)
		err = fault_set(reterr_fault, ERR_UNAVAILABLE, "another switchover is under way");
	else
		err = lease_hand_over(r->lease, now, target, &r->actions, reterr_fault);
	r->handing_over = r->handing_over || err == ERR_NONE;
	leave(r);
	if (err != ERR_NONE)
		return err;
	(void)pthread_mutex_lock(&r->lock);
	while (r->handing_over && !r->stop)
		(void)pthread_cond_wait(&r->handed_over, &r->lock);
	*ret_end = r->handed_end;
	if (r->handing_over)
		err = fault_set(reterr_fault, ERR_UNAVAILABLE, "this region is being stopped");
	else if (r->handed_fault.err != ERR_NONE)
		err = fault_set(reterr_fault, r->handed_fault.err, "%s", fault_text(&r->handed_fault));
	(void)pthread_mutex_unlock(&r->lock);
	return err;
}

enum err lease_run_propose(struct lease_run *r, const struct voter_list *next, struct fault *reterr_fault)
{
	struct lease_now now = enter(r);
	enum err err = lease_propose(r->lease, now, next, &r->actions, reterr_fault);

	leave(r);
	return err;
}

enum err lease_run_stand(struct lease_run *r, uint64_t for_ms, struct fault *reterr_fault)
{
	struct lease_now now = enter(r);
	enum err err = lease_stand(r->lease, now, for_ms, &r->actions, reterr_fault);

	leave(r);
	return err;
}

void lease_run_hold_back(struct lease_run *r, uint64_t for_ms)
{
	(void)pthread_mutex_lock(&r->lock);
	lease_hold_back(r->lease, now_of(r), for_ms);
	(void)pthread_mutex_unlock(&r->lock);
}

enum err lease_run_force_list(struct lease_run *r, const struct voter_set *lost, struct voter_list *ret_list,
			      struct fault *reterr_fault)
{
	struct lease_now now = enter(r);
	enum err err = lease_force_list(r->lease, now, lost, ret_list, &r->actions, reterr_fault);

	leave(r);
	return err;
}

void lease_run_look(struct lease_run *r, struct lease_look *ret_look)
{
	(void)pthread_mutex_lock(&r->lock);
	lease_look(r->lease, ret_look);
	(void)pthread_mutex_unlock(&r->lock);
}

void lease_run_accept_loss(struct lease_run *r, uint64_t for_ms)
{
	(void)pthread_mutex_lock(&r->lock);
	lease_accept_loss(r->lease, now_of(r), for_ms);
	(void)pthread_cond_signal(&r->tick_wake);
	(void)pthread_mutex_unlock(&r->lock);
}

void lease_run_state(struct lease_run *r, struct lease_run_state *ret_state)
{
	(void)pthread_mutex_lock(&r->lock);
	struct lease_term t = lease_get_term(r->lease);
	uint64_t now_ms = now_of(r).boot_ms;

	*ret_state = (struct lease_run_state){
		.epoch = t.epoch,
		.begun = t.begun,
		.valid_ms = t.boot_until_ms > now_ms ? t.boot_until_ms - now_ms : 0,
		.promised = lease_promised(r->lease),
		.voters = *lease_voters(r->lease),
		.elections = r->elections,
		.won = r->won,
	};
	(void)pthread_mutex_unlock(&r->lock);
}

/* --- life --- */

static void init_locks(struct lease_run *r)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&r->term_lock, NULL);
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&r->tick_wake, &attr);
	(void)pthread_cond_init(&r->store_wake, &attr);
	(void)pthread_cond_init(&r->work_wake, &attr);
	(void)pthread_cond_init(&r->handed_over, &attr);
	for (uint32_t i = 0; i < r->sender_count; i++)
		(void)pthread_cond_init(&r->senders[i].wake, &attr);
	(void)pthread_condattr_destroy(&attr);
}

enum err lease_run_new(const struct lease_run_options *o, struct lease_run **ret_run, struct fault *reterr_fault)
{
	struct lease_run *r = calloc(1, sizeof(*r));
	struct sender *senders = calloc(MAX(o->region_count, 1u), sizeof(*senders));

	if (r == NULL || senders == NULL) {
		free(r);
		free(senders);
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for a lease");
	}
	r->options = *o;
	r->senders = senders;
	r->sender_count = o->region_count;
	for (uint32_t i = 0; i < o->region_count; i++)
		senders[i] = (struct sender){ .run = r, .region = o->regions[i] };
	init_locks(r);
	for (uint32_t i = 0; i < o->region_count; i++)
		voter_set_add(&r->options.lease.known, o->regions[i]);
	enum err err = lease_new(&r->options.lease, now_of(r), &r->lease, reterr_fault);
	r->options.lease.record = NULL;
	r->options.regions = NULL;
	if (err != ERR_NONE) {
		lease_run_free(r);
		return err;
	}
	*ret_run = r;
	return ERR_NONE;
}

static enum err start(pthread_t *thread, void *(*run)(void *), void *arg, const char *name, bool *ret_started,
		      struct fault *f)
{
	int e = pthread_create(thread, NULL, run, arg);

	if (e != 0)
		return fault_set(f, err_from_errno(e), "no thread for the lease");
	(void)pthread_setname_np(*thread, name);
	*ret_started = true;
	return ERR_NONE;
}

enum err lease_run_start(struct lease_run *r, struct fault *reterr_fault)
{
	enum err err = start(&r->storer, store, r, "lease-store", &r->storing, reterr_fault);

	if (err == ERR_NONE)
		err = start(&r->worker, work, r, "lease-work", &r->working, reterr_fault);
	for (uint32_t i = 0; i < r->sender_count && err == ERR_NONE; i++)
		err = start(&r->senders[i].thread, send_loop, &r->senders[i], "lease-send", &r->senders[i].started,
			    reterr_fault);
	if (err == ERR_NONE)
		err = start(&r->ticker, tick, r, "lease", &r->ticking, reterr_fault);
	return err;
}

static void join(pthread_t thread, bool *started)
{
	if (*started)
		(void)pthread_join(thread, NULL);
	*started = false;
}

void lease_run_stop(struct lease_run *r)
{
	if (r == NULL)
		return;
	(void)pthread_mutex_lock(&r->lock);
	r->stop = true;
	(void)pthread_cond_broadcast(&r->tick_wake);
	(void)pthread_cond_broadcast(&r->store_wake);
	(void)pthread_cond_broadcast(&r->work_wake);
	(void)pthread_cond_broadcast(&r->handed_over);
	for (uint32_t i = 0; i < r->sender_count; i++)
		(void)pthread_cond_broadcast(&r->senders[i].wake);
	(void)pthread_mutex_unlock(&r->lock);
	join(r->ticker, &r->ticking);
	join(r->storer, &r->storing);
	join(r->worker, &r->working);
	for (uint32_t i = 0; i < r->sender_count; i++)
		join(r->senders[i].thread, &r->senders[i].started);
}

void lease_run_free(struct lease_run *r)
{
	if (r == NULL)
		return;
	lease_run_stop(r);
	for (uint32_t i = 0; i < r->store_count; i++)
		buf_release(&r->stores[i].record);
	for (uint32_t i = 0; i < r->sender_count; i++)
		(void)pthread_cond_destroy(&r->senders[i].wake);
	lease_free(r->lease);
	(void)pthread_cond_destroy(&r->tick_wake);
	(void)pthread_cond_destroy(&r->store_wake);
	(void)pthread_cond_destroy(&r->work_wake);
	(void)pthread_cond_destroy(&r->handed_over);
	(void)pthread_mutex_destroy(&r->lock);
	(void)pthread_mutex_destroy(&r->term_lock);
	free(r->senders);
	free(r);
}
