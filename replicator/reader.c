/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a region's stream. There is one way to recover, from whatever it may be: let the
 * subscription go with all that it brought, look at what the server has, begin anew after the last
 * message acknowledged (reader_attach).
 */
#include "replicator/reader.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"

#define NS_PER_MS 1000000u
#define TURN_MS_MAX 500u /* how late a change of the connection may be noticed */
#define ATTACH_WAIT_MS_MIN 250u
#define ATTACH_WAIT_MS_MAX 1000u
#define MESSAGES_PER_TURN 64u /* between looks at what else is due */

/* Delivered, to be acknowledged. */
struct unacked {
	uint64_t seq;
	char reply[READER_REPLY_MAX];
};

struct reader {
	struct reader_options o;
	pthread_t thread;
	bool started;

	pthread_mutex_t reader_lock; /* guards this paragraph */
	pthread_cond_t wake;
	bool attention; /* something of this paragraph changed */
	bool stopping;
	struct arrival *head, *tail;
	uint32_t queue_messages;
	size_t queue_bytes;
	uint64_t generations; /* begun so far */
	uint64_t generation;  /* whose acknowledgements count */
	uint64_t ack_wanted;  /* sequence in this generation */
	uint64_t reset_seq;   /* 0: none asked for */
	uint64_t reset_generation;
	uint64_t heard_ns;
	struct stream_consumer_state shown;

	/* the reader's thread only */
	uint64_t here; /* the generation of what is delivered */
	struct pull pull;
	bool attached;
	uint64_t epoch; /* of the connection, when attached */
	uint64_t attach_at_ns, attach_wait_ms;
	uint64_t attach_cursor; /* when attached last: nothing came since, no hurry */
	bool failing;           /* was logged */
	char inbox[READER_INBOX_MAX];
	struct arrival *held;         /* offered and not taken */
	struct stream_delivery offer; /* of held */
	uint64_t held_until_ns;
	uint32_t unacked_head, unacked_count;
	struct unacked unacked[STREAM_UNACKED_MAX]; /* a ring, ascending */
};

struct arrival *arrival_new(size_t len)
{
	struct arrival *a = len < READER_QUEUE_BYTES_MAX ? calloc(1, sizeof(*a) + len + 1) : NULL;
	if (a)
		a->len = len;
	return a;
}

/* ---- from any thread ---- */

/* With reader_lock. */
static void attend(struct reader *r)
{
	r->attention = true;
	pthread_cond_signal(&r->wake);
}

void reader_push(struct reader *r, struct arrival *a)
{
	pthread_mutex_lock(&r->reader_lock);
	bool room = r->queue_messages < READER_QUEUE_MESSAGES_MAX &&
		    r->queue_bytes + a->len <= READER_QUEUE_BYTES_MAX;
	if (room) {
		a->next = NULL;
		if (r->tail)
			r->tail->next = a;
		else
			r->head = a;
		r->tail = a;
		r->queue_messages++;
		r->queue_bytes += a->len;
		attend(r);
	}
	pthread_mutex_unlock(&r->reader_lock);
	if (!room)
		free(a);
}

void reader_ack(struct reader *r, struct stream_token upto)
{
	pthread_mutex_lock(&r->reader_lock);
	if (upto.generation == r->generation && upto.seq > r->ack_wanted) {
		r->ack_wanted = upto.seq;
		attend(r);
	}
	pthread_mutex_unlock(&r->reader_lock);
}

uint64_t reader_reset(struct reader *r, uint64_t seq)
{
	pthread_mutex_lock(&r->reader_lock);
	uint64_t generation = ++r->generations;
	r->generation = r->reset_generation = generation;
	r->reset_seq = MAX(seq, 1);
	r->ack_wanted = 0;
	attend(r);
	pthread_mutex_unlock(&r->reader_lock);
	return generation;
}

void reader_state(struct reader *r, struct stream_consumer_state *ret_state)
{
	uint64_t now_ns = clock_mono_ns(r->o.clock);
	pthread_mutex_lock(&r->reader_lock);
	*ret_state = r->shown;
	ret_state->acked = MAX(r->ack_wanted, r->shown.acked);
	ret_state->generation = r->generation;
	ret_state->silent_ms = now_ns > r->heard_ns ? (now_ns - r->heard_ns) / NS_PER_MS : 0;
	/* A hung thread or server shows here, whatever the thread thought last. */
	if (!ret_state->held && ret_state->silent_ms > PULL_SILENCE_MS)
		ret_state->flowing = false;
	pthread_mutex_unlock(&r->reader_lock);
}

/* ---- the reader's thread ---- */

static void shown_update(struct reader *r, const struct fault *trouble)
{
	pthread_mutex_lock(&r->reader_lock);
	r->shown.flowing = r->attached;
	r->shown.held = r->held || r->unacked_count == STREAM_UNACKED_MAX;
	r->shown.delivered = r->pull.cursor - (r->held ? 1 : 0);
	r->shown.acked = r->pull.acked;
	r->shown.holes = r->pull.holes;
	r->shown.duplicates = r->pull.duplicates;
	r->shown.silences = r->pull.silences;
	r->heard_ns = r->pull.heard_ns;
	if (trouble)
		r->shown.trouble = *trouble;
	pthread_mutex_unlock(&r->reader_lock);
}

static struct arrival *queue_pop(struct reader *r)
{
	pthread_mutex_lock(&r->reader_lock);
	struct arrival *a = r->head;
	if (a) {
		r->head = a->next;
		if (!r->head)
			r->tail = NULL;
		r->queue_messages--;
		r->queue_bytes -= a->len;
	}
	pthread_mutex_unlock(&r->reader_lock);
	return a;
}

static void queue_clear(struct reader *r)
{
	for (struct arrival *a; (a = queue_pop(r));)
		free(a);
}

/* What was offered and not taken was not delivered. */
static void held_drop(struct reader *r)
{
	if (!r->held)
		return;
	free(TAKE(r->held));
	r->pull.cursor--;
}

static uint64_t wait_longer(uint64_t ms)
{
	return MIN(MAX(ms * 2, ATTACH_WAIT_MS_MIN), ATTACH_WAIT_MS_MAX);
}

static void detach(struct reader *r, const char *why)
{
	if (!r->attached)
		return;
	r->o.io.unlisten(r->o.io.ctx);
	r->attached = false;
	queue_clear(r);
	held_drop(r);
	/* An acknowledgement to a reply subject of a durable that was made anew since would move
	 * the new one's floor beyond what it delivered. */
	r->unacked_count = 0;
	log_debug("reading anew; region=%s reason=\"%s\" delivered=%" PRIu64 " acked=%" PRIu64,
		  r->o.region, why, r->pull.cursor, r->pull.acked);
	r->attach_wait_ms = r->pull.cursor == r->attach_cursor ? wait_longer(r->attach_wait_ms) : 0;
	r->attach_at_ns = clock_mono_ns(r->o.clock) + r->attach_wait_ms * NS_PER_MS;
	shown_update(r, NULL);
}

static void tell_gap(struct reader *r, struct stream_gap *g)
{
	static const char *const words[] = {
		[STREAM_GAP_EXPIRED] = "expired",
		[STREAM_GAP_REWOUND] = "rewound",
		[STREAM_GAP_REBORN] = "reborn",
	};
	g->generation = r->here;
	log_warn("a stream has a gap; region=%s kind=%s from=%" PRIu64 " to=%" PRIu64, r->o.region,
		 words[g->kind], g->from, g->to);
	if (r->o.handler.on_gap)
		r->o.handler.on_gap(r->o.handler.ctx, g);
}

static void tell_plan(struct reader *r, struct pull_plan *plan)
{
	if (plan->generation) {
		pthread_mutex_lock(&r->reader_lock);
		r->here = r->generation = ++r->generations;
		r->ack_wanted = 0;
		pthread_mutex_unlock(&r->reader_lock);
	}
	if (plan->gap)
		tell_gap(r, &plan->told);
	if (plan->also.to > 0)
		tell_gap(r, &plan->also);
}

/* What a former durable still sends must not be taken for the new one's: each attachment has an
 * inbox of its own. */
static enum err listen_anew(struct reader *r, struct fault *reterr_fault)
{
	uint64_t name[2];
	if (getrandom(name, sizeof(name), 0) != sizeof(name))
		return fault_set(reterr_fault, ERR_IO,
				 "no random numbers for the name of an inbox");
	snprintf(r->inbox, sizeof(r->inbox), "_INBOX_%s.%016" PRIx64 "%016" PRIx64, r->o.self,
		 name[0], name[1]);
	return r->o.io.listen(r->o.io.ctx, r->inbox, reterr_fault);
}

static enum err attach_steps(struct reader *r, struct fault *reterr_fault)
{
	const struct reader_io *io = &r->o.io;
	struct pull_found found = { 0 };
	struct pull_plan plan;

	r->epoch = io->epoch(io->ctx);
	if (r->epoch == 0)
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "not connected to NATS");
	enum err e = io->find(io->ctx, &found, reterr_fault);
	if (e)
		return e;
	pull_attach(&r->pull, &found, &plan);
	tell_plan(r, &plan);
	if (plan.remove)
		e = io->remove(io->ctx, reterr_fault);
	if (!e && plan.create)
		e = io->create(io->ctx, plan.create, reterr_fault);
	if (!e)
		e = listen_anew(r, reterr_fault);
	if (!e)
		pull_begin(&r->pull, &plan, clock_mono_ns(r->o.clock));
	return e;
}

static void attach(struct reader *r)
{
	struct fault f = { 0 };

	r->attached = attach_steps(r, &f) == ERR_NONE;
	if (r->attached) {
		r->attach_cursor = r->pull.cursor;
		r->failing = false;
		pthread_mutex_lock(&r->reader_lock);
		r->shown.attaches++;
		pthread_mutex_unlock(&r->reader_lock);
		log_debug("reading; region=%s next=%" PRIu64, r->o.region, r->pull.cursor + 1);
	} else {
		r->attach_wait_ms = wait_longer(r->attach_wait_ms);
		r->attach_at_ns = clock_mono_ns(r->o.clock) + r->attach_wait_ms * NS_PER_MS;
		if (!r->failing)
			log_warn("a stream cannot be read; region=%s error=\"%s\", trying on",
				 r->o.region, f.text);
		r->failing = true;
	}
	shown_update(r, &f);
}

static struct unacked *unacked_at(struct reader *r, uint32_t i)
{
	return &r->unacked[(r->unacked_head + i) % STREAM_UNACKED_MAX];
}

static void unacked_add(struct reader *r, uint64_t seq, const char *reply)
{
	/* Redelivered before it was acknowledged: the newest reply subject counts. */
	for (uint32_t i = r->unacked_count; i-- > 0;) {
		struct unacked *u = unacked_at(r, i);
		if (u->seq < seq)
			break;
		if (u->seq == seq) {
			snprintf(u->reply, sizeof(u->reply), "%s", reply);
			return;
		}
	}
	if (r->unacked_count == STREAM_UNACKED_MAX ||
	    (r->unacked_count > 0 && unacked_at(r, r->unacked_count - 1)->seq > seq))
		return;
	struct unacked *u = unacked_at(r, r->unacked_count++);
	u->seq = seq;
	snprintf(u->reply, sizeof(u->reply), "%s", reply);
}

/* Sends the newest acknowledgement that the owner allows; it covers all before. */
static void ack_send(struct reader *r)
{
	pthread_mutex_lock(&r->reader_lock);
	bool same = r->here == r->generation;
	uint64_t wanted = r->ack_wanted;
	pthread_mutex_unlock(&r->reader_lock);
	if (same)
		pull_acked(&r->pull, wanted);

	uint32_t n = 0;
	while (n < r->unacked_count && unacked_at(r, n)->seq <= r->pull.acked)
		n++;
	if (n == 0 || r->o.io.ack(r->o.io.ctx, unacked_at(r, n - 1)->reply))
		return;
	r->unacked_head = (r->unacked_head + n) % STREAM_UNACKED_MAX;
	r->unacked_count -= n;
}

static void offer_held(struct reader *r)
{
	if (!r->o.handler.on_message(r->o.handler.ctx, &r->offer)) {
		r->held_until_ns =
			clock_mono_ns(r->o.clock) + (uint64_t)STREAM_RETRY_MS * NS_PER_MS;
		return;
	}
	unacked_add(r, r->offer.token.seq, r->held->reply);
	pthread_mutex_lock(&r->reader_lock);
	r->shown.pending = r->offer.pending;
	pthread_mutex_unlock(&r->reader_lock);
	free(TAKE(r->held));
}

/* A data message; takes a over. false: attach again. */
static bool data_handle(struct reader *r, struct arrival *a)
{
	struct pull_meta m;
	if (!pull_meta_parse(a->reply, &m)) {
		free(a);
		return true;
	}
	uint64_t before = r->pull.cursor;
	enum pull_verdict v = pull_data(&r->pull, &m, clock_mono_ns(r->o.clock));
	if (v == PULL_SKIPPED) {
		struct stream_gap g = { .kind = STREAM_GAP_EXPIRED,
					.from = before + 1,
					.to = m.seq - 1 };
		tell_gap(r, &g);
	}
	if (v == PULL_DELIVER || v == PULL_SKIPPED) {
		r->held = a;
		r->offer = (struct stream_delivery){
			.token = { .generation = r->here, .seq = m.seq },
			.payload = { .data = a->data, .len = a->len },
			.pending = m.pending,
		};
		offer_held(r);
		return true;
	}
	if (v == PULL_KNOWN)
		unacked_add(r, m.seq, a->reply);
	free(a);
	return v != PULL_ATTACH;
}

static bool status_handle(struct reader *r, struct arrival *a)
{
	struct pull_status s = { .code = a->status,
				 .words = (const char *)a->data,
				 .token = a->token,
				 .has_left = a->has_left,
				 .left = a->left };
	enum pull_verdict v = pull_answer(&r->pull, &s, clock_mono_ns(r->o.clock));
	if (a->status != 100 && a->status != 404 && a->status != 408)
		log_debug("an answer to a pull request; region=%s status=%u words=\"%s\"",
			  r->o.region, a->status, s.words);
	free(a);
	return v != PULL_ATTACH;
}

/* May messages be taken off the queue? */
static bool free_to_read(const struct reader *r)
{
	return !r->held && r->unacked_count < STREAM_UNACKED_MAX;
}

/* Handles what came; false: attach again. */
static bool arrivals_handle(struct reader *r, bool *ret_more)
{
	*ret_more = false;
	for (unsigned i = 0; free_to_read(r); i++) {
		if (i == MESSAGES_PER_TURN) {
			*ret_more = true;
			return true;
		}
		struct arrival *a = queue_pop(r);
		if (!a)
			return true;
		if (a->status ? !status_handle(r, a) : !data_handle(r, a))
			return false;
	}
	return true;
}

static void requests_send(struct reader *r, uint64_t now_ns)
{
	char reply[READER_INBOX_MAX + 16], text[PULL_REQUEST_MAX];
	uint32_t token;

	pull_request_text(text);
	while (pull_ask(&r->pull, now_ns, &token)) {
		snprintf(reply, sizeof(reply), "%s.%" PRIu32, r->inbox, token);
		if (r->o.io.ask(r->o.io.ctx, reply, text)) {
			pull_refused(&r->pull, now_ns);
			return;
		}
	}
}

/* The owner's reset, if there is one. */
static void reset_take(struct reader *r)
{
	pthread_mutex_lock(&r->reader_lock);
	uint64_t seq = r->reset_seq;
	r->reset_seq = 0;
	if (seq > 0) {
		r->here = r->generation = r->reset_generation;
		r->ack_wanted = 0;
	}
	pthread_mutex_unlock(&r->reader_lock);
	if (seq == 0)
		return;
	detach(r, "the owner asked for it");
	pull_move(&r->pull, seq);
	r->attach_at_ns = clock_mono_ns(r->o.clock);
}

/* Attached: everything that may be due. Returns why to attach again, or NULL. */
static const char *work(struct reader *r, bool *ret_more)
{
	uint64_t now_ns = clock_mono_ns(r->o.clock);

	*ret_more = false;
	if (r->o.io.epoch(r->o.io.ctx) != r->epoch)
		return "the connection changed";
	ack_send(r);
	if (r->held && now_ns >= r->held_until_ns)
		offer_held(r);
	if (!arrivals_handle(r, ret_more))
		return "a hole, or the durable is gone";
	ack_send(r);
	if (!free_to_read(r) || *ret_more)
		return NULL;
	now_ns = clock_mono_ns(r->o.clock);
	if (pull_expire(&r->pull, now_ns))
		return "silence";
	requests_send(r, now_ns);
	return NULL;
}

static uint64_t ms_until(uint64_t due_ns, uint64_t now_ns)
{
	return due_ns > now_ns ? MIN((due_ns - now_ns) / NS_PER_MS + 1, TURN_MS_MAX) : 0;
}

uint64_t reader_turn(struct reader *r)
{
	bool more;

	reset_take(r);
	if (!r->attached) {
		uint64_t now_ns = clock_mono_ns(r->o.clock);
		if (now_ns < r->attach_at_ns)
			return ms_until(r->attach_at_ns, now_ns);
		attach(r);
		return 0;
	}
	const char *why = work(r, &more);
	if (why) {
		detach(r, why);
		return 0;
	}
	shown_update(r, NULL);
	if (more)
		return 0;
	uint64_t now_ns = clock_mono_ns(r->o.clock);
	if (r->held)
		return ms_until(r->held_until_ns, now_ns);
	return free_to_read(r) ? ms_until(pull_due_ns(&r->pull, now_ns), now_ns) : TURN_MS_MAX;
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;

	pthread_mutex_lock(&r->reader_lock);
	while (!r->stopping) {
		r->attention = false;
		pthread_mutex_unlock(&r->reader_lock);
		uint64_t ms = reader_turn(r);
		pthread_mutex_lock(&r->reader_lock);
		if (ms > 0 && !r->attention && !r->stopping) {
			struct timespec deadline;
			clock_wait_deadline(ms, &deadline);
			pthread_cond_timedwait(&r->wake, &r->reader_lock, &deadline);
		}
	}
	pthread_mutex_unlock(&r->reader_lock);
	/* The last acknowledgements, so that little comes again at the next start. */
	if (r->attached)
		ack_send(r);
	detach(r, "the end");
	return NULL;
}

enum err reader_new(const struct reader_options *o, struct reader **ret_reader)
{
	struct reader *r = calloc(1, sizeof(*r));
	if (!r)
		return ERR_NO_MEMORY;
	pthread_condattr_t attr;
	if (pthread_mutex_init(&r->reader_lock, NULL) || pthread_condattr_init(&attr) ||
	    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) || pthread_cond_init(&r->wake, &attr))
		PANIC("no mutex or condition variable");
	pthread_condattr_destroy(&attr);
	r->o = *o;
	r->generations = r->generation = r->here = 1;
	pull_init(&r->pull, o->can_reset, o->ack_wait_ms, o->from);
	fault_set(&r->shown.trouble, ERR_UNAVAILABLE, "not attached yet");
	*ret_reader = r;
	return ERR_NONE;
}

enum err reader_start(struct reader *r)
{
	if (pthread_create(&r->thread, NULL, reader_main, r))
		return ERR_UNAVAILABLE;
	r->started = true;
	return ERR_NONE;
}

void reader_free(struct reader *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->reader_lock);
	r->stopping = true;
	attend(r);
	pthread_mutex_unlock(&r->reader_lock);
	if (r->started)
		pthread_join(r->thread, NULL);
	detach(r, "the end");
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->reader_lock);
	free(r);
}
