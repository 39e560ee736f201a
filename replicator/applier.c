/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams, logs, the thread that watches for what is missing.
 */
#include "replicator/applier_inner.h"

#include <stdlib.h>

#include "base/log.h"
#include "replicator/silence.h"

#define APPLY_ARENA_BYTES_MAX (16u << 20)
#define NS_PER_MS UINT64_C(1000000)
/* How often the watcher looks, and how long a region may be behind without progress before it asks a peer. */
#define WATCH_MS 250
#define STALL_MS 1000
/* One that was not heard for so long is asked only when nobody else can be. */
#define DEAF_MS 5000
/* Who told of all of its logs within this time is taken by its word that it has no more of one. */
#define ENDS_FRESH_MS 5000
/* How long a log of SCOPE_MULTI may be behind without progress before a peer is asked for it. */
#define MULTI_WATCH_NS UINT64_C(1000000000)

struct committer_state applier_here(struct applier *a)
{
	struct committer_state s;

	committer_state(a->options.committer, &s);
	return s;
}

static struct position here(struct applier *a)
{
	return applier_here(a).position;
}

bool applier_is_stopping(struct applier *a)
{
	(void)pthread_mutex_lock(&a->lock);
	bool stop = a->stop;

	(void)pthread_mutex_unlock(&a->lock);
	return stop;
}

/* --- troubles --- */

/* What passes by itself, or with more room, is tried again; all else stops its source: there is no skip. */
bool applier_stops(enum err err)
{
	switch ((int)err) {
	case ERR_NONE:
	case ERR_GAP:
	case ERR_NOT_FOUND:
	case ERR_RATE_LIMITED:
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
	case ERR_BAD_GATEWAY:
	case ERR_NO_MEMORY:
	case ERR_NO_SPACE:
	case ERR_STORE_FULL:
		return false;
	default:
		return true;
	}
}

/* Says it once when it begins, and once when it is over. */
static void set_trouble(struct source *s, struct fault *trouble, enum err err, const struct fault *f)
{
	(void)pthread_mutex_lock(&s->applier->lock);
	bool was = trouble->err != ERR_NONE;

	*trouble = err == ERR_NONE ? (struct fault){ 0 } : *f;
	trouble->err = err;
	(void)pthread_mutex_unlock(&s->applier->lock);
	if (err != ERR_NONE && !was)
		log_error("applying stopped, this region is not ready until it is cured region=%u reason=\"%s\"",
			  s->region, fault_text(f));
	if (err == ERR_NONE && was)
		log_info("applying goes on region=%u", s->region);
}

static void set_gap(struct applier *a, struct position at, const struct fault *f)
{
	(void)pthread_mutex_lock(&a->lock);
	bool was = a->gap.err != ERR_NONE && position_compare(a->gap_at, at) == 0;
	struct fault gap;

	(void)fault_set(&gap, ERR_GAP,
			"%s; this region was away for longer than that log reaches back (storage.log_size) and needs a copy of another region's state",
			fault_text(f));
	a->gap = gap;
	a->gap_at = at;
	(void)pthread_mutex_unlock(&a->lock);
	if (!was)
		log_error("missing ops are in no log reason=\"%s\"", fault_text(&gap));
}

/* It is tried again and again, and passes once there is room; until then this region falls behind, and is to say why. */
static void note_room(struct applier *a, enum err err, const struct fault *f)
{
	bool lacks = err == ERR_NO_SPACE || err == ERR_STORE_FULL || err == ERR_NO_MEMORY;

	if (err != ERR_NONE && !lacks)
		return;
	(void)pthread_mutex_lock(&a->lock);
	bool did = a->room.err != ERR_NONE;

	a->room = (struct fault){ 0 };
	if (lacks)
		(void)fault_set(&a->room, err, "what other regions write finds no room here: %s",
				f->text[0] ? fault_text(f) : err_sentence(err));
	struct fault told = a->room;

	(void)pthread_mutex_unlock(&a->lock);
	if (lacks && !did)
		log_error("applying waits, this region is not ready until there is room reason=\"%s\"", fault_text(&told));
	if (!lacks && did)
		log_info("there is room again, applying goes on");
}

/* --- applying --- */

/* Does a message of a newer epoch begin one whose history does not have what is here? Not its log is wrong then. */
static bool leaves_out(const struct op_batch *m, struct position here)
{
	CLEANUP(arena_release) struct arena arena;
	struct history h = { 0 };
	struct op op;

	arena_init(&arena, APPLY_ARENA_BYTES_MAX);
	if (m->epoch <= here.epoch || here.epoch == 0 ||
	    op_decode(m->ops[0], OP_FORM_WIRE, &arena, &op, NULL) != ERR_NONE || op.kind != OP_EPOCH_START ||
	    history_set(&h, op.chain, op.chain_count, op.epoch) != ERR_NONE)
		return false;
	bool out = history_find(&h, (struct position){ op.epoch, 1 }, here) == HISTORY_ORPHAN;
	history_release(&h);
	return out;
}

/* A message that does not fit this region's log: it, or what is here, may lie outside the history. */
static enum err judge_fork(struct applier *a, const struct op_batch *m, struct taken *taken, struct fault *f)
{
	struct position at = here(a);

	if (m->epoch < at.epoch && committer_find(a->options.committer, batch_last(m)) == HISTORY_ORPHAN) {
		taken->outside = true;
		return ERR_NONE;
	}
	if (!leaves_out(m, at))
		return ERR_FORK;
	taken->leaves_out = true;
	return fault_set(f, ERR_UNAVAILABLE,
			 "this region stands at (%llu,%llu), which the history of epoch %llu does not have: its ops are to be taken back first",
			 (unsigned long long)at.epoch, (unsigned long long)at.seq, (unsigned long long)m->epoch);
}

enum err applier_take(struct applier *a, struct bytes payload, const struct known *known, struct taken *ret_taken,
		      struct op_turn *ret_turn, struct fault *f)
{
	CLEANUP(buf_release) struct buf inflated = BUF_INIT(BATCH_BODY_BYTES_MAX);
	CLEANUP(arena_release) struct arena arena;
	struct op_batch m;

	arena_init(&arena, APPLY_ARENA_BYTES_MAX);
	enum err err = batch_decode(payload, &inflated, &arena, &m, f);
	*ret_taken = (struct taken){ .foreign = err == ERR_CORRUPT };
	if (err != ERR_NONE)
		return err;
	if (m.fleet != peers_fleet(a->options.peers) || (m.scope != SCOPE_FLEET && m.scope != SCOPE_MULTI)) {
		ret_taken->foreign = true;
		return fault_set(f, ERR_BAD_INPUT, "a message of another fleet or scope");
	}
	ret_taken->before = (struct position){ m.epoch, m.first - 1 };
	struct known shown = { 0 };
	if (known == NULL && m.scope == SCOPE_FLEET && !applier_ask_shown(a, m.epoch, m.first, &shown)) {
		ret_taken->outside = true;
		return ERR_NONE;
	}
	if (known == NULL)
		known = &shown;
	struct remote_batch batch = {
		.ops = arena_array(&arena, m.count, sizeof(struct bytes)),
		.count = m.count,
		.scope = m.scope,
		.chain_hash = m.chain_hash,
		.history_epoch = known->history_epoch,
		.upto = known->upto,
		.ret_turn = ret_turn,
	};
	if (batch.ops == NULL)
		return fault_set(f, ERR_NO_MEMORY, "no memory for a message of %u ops", m.count);
	for (uint32_t i = 0; i < m.count; i++)
		batch.ops[i] = m.ops[i];
	err = committer_apply(a->options.committer, &batch, f);
	note_room(a, err, f);
	return err == ERR_FORK && m.scope == SCOPE_FLEET ? judge_fork(a, &m, ret_taken, f) : err;
}

/* --- SCOPE_MULTI --- */

static const char *name_of(const struct applier *a, uint8_t region)
{
	const struct peer_config *c = peers_by_id(a->options.peers, region);

	return c != NULL ? c->name : "(unknown)";
}

static void note(struct applier *a, const struct log_wait *w)
{
	uint64_t now_ns = clock_mono_ns(a->options.clock);

	(void)pthread_mutex_lock(&a->lock);
	log_waits_note(&a->waits, w, now_ns);
	(void)pthread_mutex_unlock(&a->lock);
}

static void note_fault(struct source *s, struct position op, const struct fault *f)
{
	struct log_wait w = { .log = op.epoch, .seq = op.seq, .kind = LOG_WAIT_FAULT, .source = s->region, .why = *f };

	note(s->applier, &w);
}

static void note_cured(struct source *s, uint64_t log)
{
	(void)pthread_mutex_lock(&s->applier->lock);
	bool told = log_waits_cured(&s->applier->waits, log, s->region);

	(void)pthread_mutex_unlock(&s->applier->lock);
	if (told)
		log_info("applying goes on region=%u log=%llx", s->region, (unsigned long long)log);
}

/* A message of a stream. Whatever becomes of it, the stream goes on: what waits, or is missing, is fetched from a log, and
 * the ops of the fleet scope behind it do not wait for it. */
static void take_multi(struct source *s, enum err err, struct position before, const struct fault *f)
{
	struct applier *a = s->applier;

	if (err == ERR_NONE) {
		note_cured(s, before.epoch);
		return;
	}
	if (applier_stops(err))
		note_fault(s, (struct position){ before.epoch, before.seq + 1 }, f);
	(void)pthread_mutex_lock(&a->lock);
	a->multi_due = true;
	(void)pthread_cond_signal(&a->wake);
	(void)pthread_mutex_unlock(&a->lock);
}

/* A region that has the log's next op did not give it. */
static void note_unread(struct source *s, struct position op, enum err err, const struct fault *f)
{
	struct applier *a = s->applier;
	struct log_wait w = { .log = op.epoch, .seq = op.seq, .kind = err == ERR_GAP ? LOG_WAIT_TRIMMED : LOG_WAIT_SOURCE };

	(void)fault_set(&w.why, err, "op %llu of log %llx of region %s cannot be had from region %s: %.200s",
			(unsigned long long)op.seq, (unsigned long long)op.epoch, name_of(a, (uint8_t)op.epoch),
			name_of(a, s->region), fault_text(f));
	note(a, &w);
}

/* A data region that has more of what `writer` wrote than this one; NULL: none says so. */
static const char *find_holder(struct applier *a, uint8_t writer)
{
	struct log_end *ends = calloc(LOGS_MAX, sizeof(*ends));
	const char *holder = NULL;

	for (uint32_t i = 0; ends != NULL && holder == NULL && i < peers_count(a->options.peers); i++) {
		uint32_t n = peers_config(a->options.peers, i)->data ? peers_ends(a->options.peers, i, ends) : 0;

		for (uint32_t k = 0; k < n && holder == NULL; k++)
			if ((uint8_t)ends[k].log == writer &&
			    committer_log_seq(a->options.committer, ends[k].log) < ends[k].seq)
				holder = peers_config(a->options.peers, i)->name;
	}
	free(ends);
	return holder;
}

/* A data region whose logs are not known as they are now; NULL: there is none. */
static const char *find_silent(struct applier *a)
{
	for (uint32_t i = 0; i < peers_count(a->options.peers); i++)
		if (peers_config(a->options.peers, i)->data && peers_ends_age_ms(a->options.peers, i) > ENDS_FRESH_MS)
			return peers_config(a->options.peers, i)->name;
	return NULL;
}

static void describe_seen(struct applier *a, const struct op_turn *t, struct log_wait *w)
{
	const char *holder = find_holder(a, t->region);
	const char *silent = find_silent(a);
	const char *writer = name_of(a, (uint8_t)t->op.epoch);

	w->kind = holder != NULL || silent != NULL ? LOG_WAIT_SEEN : LOG_WAIT_LOST;
	(void)fault_set(&w->why, w->kind == LOG_WAIT_LOST ? ERR_GAP : ERR_UNAVAILABLE,
			"op %llu of log %llx of region %s follows an op of region %s stamped %llu, which region %s had seen; %s%s",
			(unsigned long long)t->op.seq, (unsigned long long)t->op.epoch, writer, name_of(a, t->region),
			(unsigned long long)t->hlc, writer,
			holder != NULL	 ? "it is to come from region "
			: silent != NULL ? "nobody who answers has it, not heard was region "
					 : "no region has it",
			holder != NULL	 ? holder
			: silent != NULL ? silent
					 : "");
}

/* The op was there, and has to wait. */
static void note_turn(struct source *s, struct position op, const struct op_turn *t, const struct fault *f)
{
	struct applier *a = s->applier;
	const char *writer = name_of(a, (uint8_t)op.epoch);
	struct log_wait w = { .log = op.epoch, .seq = op.seq };

	switch (t->kind) {
	case TURN_NOW:
		note_unread(s, op, ERR_UNAVAILABLE, f);
		return;
	case TURN_SEEN:
		describe_seen(a, t, &w);
		break;
	case TURN_SCHEMA:
		w.kind = LOG_WAIT_SCHEMA;
		(void)fault_set(&w.why, ERR_UNAVAILABLE,
				"op %llu of log %llx of region %s needs the changes of collections up to (%llu,%llu)",
				(unsigned long long)op.seq, (unsigned long long)op.epoch, writer,
				(unsigned long long)t->needs.epoch, (unsigned long long)t->needs.seq);
		break;
	case TURN_CLOCK:
		w.kind = LOG_WAIT_CLOCK;
		(void)fault_set(&w.why, ERR_UNAVAILABLE,
				"op %llu of log %llx of region %s is stamped %llu ms ahead of the clock of region %s",
				(unsigned long long)op.seq, (unsigned long long)op.epoch, writer,
				(unsigned long long)t->ahead_ms, peers_self(a->options.peers)->name);
		break;
	}
	note(a, &w);
}

/* What follows in one log, from one peer that has more of it. True when something was applied. */
static bool refill_log(struct applier *a, struct source *s, struct log_end end)
{
	struct peer_link *link = peers_link(a->options.peers);
	bool any = false;

	while (!applier_is_stopping(a)) {
		CLEANUP(buf_release) struct buf payload = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
		struct op_turn turn = { .kind = TURN_NOW };
		struct taken taken;
		struct fault f = { 0 };
		uint64_t seq = committer_log_seq(a->options.committer, end.log);
		struct position next = { end.log, seq + 1 };

		if (seq >= end.seq)
			return any;
		enum err err = link->log(link, s->region, SCOPE_MULTI, (struct position){ end.log, seq }, &payload, &f);
		if (err != ERR_NONE) {
			note_unread(s, next, err, &f);
			return any;
		}
		err = applier_take(a, buf_bytes(&payload), NULL, &taken, &turn, &f);
		if (err == ERR_NONE)
			note_cured(s, end.log);
		else if (applier_stops(err))
			note_fault(s, next, &f);
		if (committer_log_seq(a->options.committer, end.log) == seq) {
			if (!applier_stops(err))
				note_turn(s, next, &turn, &f);
			return any;
		}
		any = true;
		(void)pthread_mutex_lock(&a->lock);
		a->refills++;
		(void)pthread_mutex_unlock(&a->lock);
	}
	return any;
}

/* Did this region stand there at the last look already? Else its stream brings it. */
static bool stands_still(const struct applier *a, uint64_t log, uint64_t seq)
{
	for (uint32_t i = 0; i < a->multi_seen_count; i++)
		if (a->multi_seen[i].log == log)
			return a->multi_seen[i].seq == seq;
	return seq == 0;
}

static bool refill_from_peer(struct applier *a, uint32_t peer, bool all)
{
	struct log_end *ends = calloc(LOGS_MAX, sizeof(*ends));
	bool any = false;

	if (ends == NULL)
		return false;
	uint32_t n = peers_ends(a->options.peers, peer, ends);
	for (uint32_t i = 0; i < n && !applier_is_stopping(a); i++) {
		uint64_t seq = committer_log_seq(a->options.committer, ends[i].log);

		if (seq >= ends[i].seq)
			continue;
		if (all || stands_still(a, ends[i].log, seq)) {
			any = refill_log(a, &a->sources[peer], ends[i]) || any;
			continue;
		}
		(void)pthread_mutex_lock(&a->lock);
		log_waits_keep(&a->waits, ends[i].log);
		(void)pthread_mutex_unlock(&a->lock);
	}
	free(ends);
	return any;
}

static void tell_news(const struct log_waits_news *news)
{
	const struct log_wait *w = &news->wait;

	if (news->over)
		log_info("a log goes on log=%llx waited=%s", (unsigned long long)w->log, log_wait_word(w->kind));
	else if (log_wait_stops(w->kind))
		log_error("a log stopped, this region is not ready until it is cured reason=\"%s\" do=\"%s\"",
			  fault_text(&w->why), log_wait_action(w->kind));
	else
		log_warn("a log waits reason=\"%s\" do=\"%s\"", fault_text(&w->why), log_wait_action(w->kind));
}

static void end_look(struct applier *a)
{
	struct log_waits_news *news = calloc(LOG_WAITS_MAX, sizeof(*news));

	/* Without memory it is told after the next look. */
	if (news == NULL)
		return;
	uint64_t now_ns = clock_mono_ns(a->options.clock);
	(void)pthread_mutex_lock(&a->lock);
	uint32_t n = log_waits_end(&a->waits, now_ns, news);

	(void)pthread_mutex_unlock(&a->lock);
	for (uint32_t i = 0; i < n; i++)
		tell_news(&news[i]);
	free(news);
}

/* One log may wait for another: as long as any goes on, all are looked at again. */
static void refill_logs(struct applier *a, bool all)
{
	for (bool any = true; any; all = true) {
		any = false;
		(void)pthread_mutex_lock(&a->lock);
		log_waits_begin(&a->waits);
		(void)pthread_mutex_unlock(&a->lock);
		for (uint32_t i = 0; i < peers_count(a->options.peers); i++)
			if (peers_config(a->options.peers, i)->data)
				any = refill_from_peer(a, i, all) || any;
	}
}

/* Compares what this region has of each log with what the others have. */
static void catch_up_multi(struct applier *a)
{
	uint64_t now_ns = clock_mono_ns(a->options.clock);

	(void)pthread_mutex_lock(&a->lock);
	bool due = TAKE(a->multi_due);
	(void)pthread_mutex_unlock(&a->lock);
	if (!due && now_ns - a->multi_ns < MULTI_WATCH_NS)
		return;
	if (peers_link(a->options.peers) != NULL)
		refill_logs(a, due || a->options.stream == NULL);
	if (!applier_is_stopping(a))
		end_look(a);
	a->multi_ns = now_ns;
	a->multi_seen_count = committer_vector(a->options.committer, a->multi_seen);
}

/* Asks one peer for the ops after our position and applies them. ERR_NOT_FOUND: it has none. */
static enum err refill_from(struct applier *a, struct source *s, struct fault *f)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(STREAM_PAYLOAD_BYTES_MAX);
	struct peer_link *link = peers_link(a->options.peers);
	struct taken taken;

	if (link == NULL)
		return fault_set(f, ERR_UNAVAILABLE, "there is no way to ask region %u", s->region);
	enum err err = link->log(link, s->region, SCOPE_FLEET, here(a), &payload, f);
	if (err != ERR_NONE)
		return applier_stops(err) ? fault_set(f, ERR_BAD_GATEWAY, "the log of region %u cannot be read", s->region) : err;
	struct position at = here(a);
	err = applier_take(a, buf_bytes(&payload), NULL, &taken, NULL, f);
	if (err != ERR_NONE && taken.foreign) {
		log_warn("a region's log brought a damaged message region=%u reason=\"%s\"", s->region, fault_text(f));
		return ERR_BAD_GATEWAY;
	}
	/* It holds ops, but none of this history. */
	if (err == ERR_NONE && taken.outside && position_compare(here(a), at) == 0)
		return ERR_NOT_FOUND;
	if (err == ERR_NONE || applier_stops(err))
		set_trouble(s, &s->log_trouble, err, f);
	if (err == ERR_NONE) {
		(void)pthread_mutex_lock(&a->lock);
		a->refills++;
		(void)pthread_mutex_unlock(&a->lock);
	}
	return err;
}

/* --- whom to ask --- */

static int compare_candidates(const void *x, const void *y)
{
	const struct candidate *a = x;
	const struct candidate *b = y;

	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return position_compare(b->position, a->position);
}

uint32_t applier_ahead_of(struct applier *a, struct position pos, const struct source *first,
			  struct candidate out[PEERS_MAX])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < peers_count(a->options.peers); i++) {
		struct source *s = &a->sources[i];
		struct peer_standing p;

		peers_standing(a->options.peers, i, &p);
		if (!p.config->data || (s != first && (!p.heard || position_compare(p.position, pos) <= 0)))
			continue;
		out[n++] = (struct candidate){ .source = s,
					       .position = p.position,
					       .rank = s == first ? 0 : p.silent_ms < DEAF_MS ? 1 : 2 };
	}
	qsort(out, n, sizeof(out[0]), compare_candidates);
	return n;
}

/* Asks one after the other until one brings something. */
static bool refill_once(struct applier *a, const struct source *first)
{
	struct candidate candidates[PEERS_MAX];
	struct position at = here(a);
	uint32_t n = applier_ahead_of(a, at, first, candidates);
	struct fault gap = { 0 };
	bool gone = false;

	for (uint32_t i = 0; i < n && !applier_is_stopping(a); i++) {
		struct fault f = { 0 };
		enum err err = refill_from(a, candidates[i].source, &f);

		if (err == ERR_NONE)
			return true;
		if (err == ERR_GAP) {
			gap = f;
			gone = true;
		}
	}
	if (gone && position_compare(here(a), at) == 0)
		set_gap(a, at, &gap);
	return false;
}

bool applier_refill(struct applier *a, const struct source *first, struct position upto)
{
	bool any = false;

	(void)pthread_mutex_lock(&a->refill_lock);
	while (!applier_is_stopping(a) && position_compare(here(a), upto) < 0 && refill_once(a, first))
		any = true;
	(void)pthread_mutex_unlock(&a->refill_lock);
	return any;
}

/* --- streams --- */

static struct stream_consumer *consumer_of(struct source *s)
{
	(void)pthread_mutex_lock(&s->applier->lock);
	struct stream_consumer *c = s->consumer;

	(void)pthread_mutex_unlock(&s->applier->lock);
	return c;
}

/* The watcher takes them back. */
static void wake_follow(struct source *s)
{
	struct applier *a = s->applier;

	(void)pthread_mutex_lock(&a->lock);
	a->follow_due = s;
	(void)pthread_cond_signal(&a->wake);
	(void)pthread_mutex_unlock(&a->lock);
}

static bool on_message(void *ctx, const struct stream_delivery *d)
{
	struct source *s = ctx;
	struct applier *a = s->applier;
	struct stream_consumer *consumer = consumer_of(s);
	struct position at = here(a);
	struct taken taken;
	struct fault f = { 0 };

	if (consumer == NULL || applier_is_stopping(a) || silence_now(a->options.silence, NULL) != SILENCE_NONE)
		return false;
	enum err err = applier_take(a, d->payload, NULL, &taken, NULL, &f);
	if (!taken.foreign && position_is_multi(taken.before)) {
		take_multi(s, err, taken.before, &f);
		if (err == ERR_NONE) {
			(void)pthread_mutex_lock(&a->lock);
			a->messages++;
			(void)pthread_mutex_unlock(&a->lock);
		}
		stream_ack(consumer, d->token);
		return true;
	}
	/* Another reader, or the watcher, may have brought what was missing. */
	if (err == ERR_GAP && (applier_refill(a, s, taken.before) || position_compare(here(a), at) != 0))
		err = applier_take(a, d->payload, NULL, &taken, NULL, &f);
	if (taken.leaves_out)
		wake_follow(s);
	if (err != ERR_NONE && taken.foreign) {
		/* The log is the truth: what it should have brought is missed at the next one, and fetched. */
		log_warn("a stream brought a message that cannot be used, passed over region=%u reason=\"%s\"", s->region,
			 fault_text(&f));
		stream_ack(consumer, d->token);
		return true;
	}
	if (err != ERR_NONE) {
		if (applier_stops(err))
			set_trouble(s, &s->stream_trouble, err, &f);
		return false;
	}
	set_trouble(s, &s->stream_trouble, ERR_NONE, NULL);
	(void)pthread_mutex_lock(&a->lock);
	a->messages += !taken.outside;
	(void)pthread_mutex_unlock(&a->lock);
	stream_ack(consumer, d->token);
	return true;
}

static void on_gap(void *ctx, const struct stream_gap *g)
{
	const struct source *s = ctx;
	static const char *const words[] = {
		[STREAM_GAP_EXPIRED] = "has dropped old messages",
		[STREAM_GAP_REWOUND] = "has lost its newest messages",
		[STREAM_GAP_REBORN] = "is another one",
	};

	log_info("the stream of a region %s, missing ops are fetched from a log region=%u", words[g->kind], s->region);
}

/* --- the watcher --- */

/* Behind somebody and not moving: the streams do not bring it. True when something was applied. */
static bool catch_up(struct applier *a)
{
	struct candidate candidates[PEERS_MAX];
	uint64_t now_ns = clock_mono_ns(a->options.clock);
	struct position pos = here(a);
	struct position upto = pos;
	uint32_t n = applier_ahead_of(a, pos, NULL, candidates);

	(void)pthread_mutex_lock(&a->lock);
	uint64_t messages = a->messages;
	(void)pthread_mutex_unlock(&a->lock);
	if (messages != a->seen_messages)
		a->by_log = false;
	a->seen_messages = messages;
	if (n == 0 || position_compare(pos, a->seen) != 0) {
		a->seen = pos;
		a->seen_ns = now_ns;
	}
	if (n == 0)
		return false;
	if (a->options.stream != NULL && !a->by_log && now_ns - a->seen_ns < STALL_MS * NS_PER_MS)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (position_compare(candidates[i].position, upto) > 0)
			upto = candidates[i].position;
	a->by_log = applier_refill(a, NULL, upto);
	return a->by_log;
}

static void *watch(void *arg)
{
	struct applier *a = arg;

	while (!applier_is_stopping(a)) {
		struct timespec until;

		catch_up_multi(a);
		if (applier_follow(a) || catch_up(a))
			continue;
		clock_wait_deadline(WATCH_MS, &until);
		(void)pthread_mutex_lock(&a->lock);
		while (!a->stop && !a->multi_due && a->follow_due == NULL &&
		       pthread_cond_timedwait(&a->wake, &a->lock, &until) == 0)
			;
		(void)pthread_mutex_unlock(&a->lock);
	}
	return NULL;
}

/* --- life --- */

static enum err start_readers(struct applier *a, struct fault *f)
{
	for (uint32_t i = 0; i < peers_count(a->options.peers); i++) {
		const struct peer_config *peer = peers_config(a->options.peers, i);
		struct source *s = &a->sources[i];
		struct stream_handler handler = { .ctx = s, .on_message = on_message, .on_gap = on_gap };
		struct stream_consumer *consumer;

		if (!peer->data)
			continue;
		enum err err = stream_consume(a->options.stream, peer->name, STREAM_FROM_ACKED, &handler, &consumer, f);
		if (err != ERR_NONE)
			return err;
		(void)pthread_mutex_lock(&a->lock);
		s->consumer = consumer;
		(void)pthread_mutex_unlock(&a->lock);
	}
	return ERR_NONE;
}

static enum err start(struct applier *a, struct fault *f)
{
	enum err err = a->options.stream != NULL ? start_readers(a, f) : ERR_NONE;

	if (err != ERR_NONE)
		return err;
	int e = pthread_create(&a->thread, NULL, watch, a);
	if (e != 0)
		return fault_set(f, err_from_errno(e), "no thread that watches for missing ops");
	(void)pthread_setname_np(a->thread, "applier");
	a->started = true;
	return ERR_NONE;
}

enum err applier_start(const struct applier_options *o, struct applier **ret_applier, struct fault *reterr_fault)
{
	struct applier *a = calloc(1, sizeof(*a));
	pthread_condattr_t attr;

	if (a == NULL)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for the applier");
	a->options = *o;
	a->seen = here(a);
	a->seen_ns = clock_mono_ns(o->clock);
	for (uint32_t i = 0; i < peers_count(o->peers); i++)
		a->sources[i] = (struct source){ .applier = a, .region = peers_config(o->peers, i)->id };
	(void)pthread_mutex_init(&a->refill_lock, NULL);
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&a->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	enum err err = start(a, reterr_fault);
	if (err != ERR_NONE) {
		applier_free(a);
		return err;
	}
	*ret_applier = a;
	return ERR_NONE;
}

/* With the lock. */
static const struct fault *find_stopped_log(const struct applier *a)
{
	for (uint32_t i = 0; i < a->waits.count; i++)
		if (a->waits.entries[i].told && log_wait_stops(a->waits.entries[i].wait.kind))
			return &a->waits.entries[i].wait.why;
	return NULL;
}

uint32_t applier_waits(struct applier *a, struct log_waits_told out[LOG_WAITS_MAX])
{
	uint64_t now_ns = clock_mono_ns(a->options.clock);

	(void)pthread_mutex_lock(&a->lock);
	uint32_t n = log_waits_told(&a->waits, now_ns, out);

	(void)pthread_mutex_unlock(&a->lock);
	return n;
}

void applier_state(struct applier *a, struct applier_state *ret_state)
{
	struct position pos = here(a);

	(void)pthread_mutex_lock(&a->lock);
	const struct fault *trouble = find_stopped_log(a);

	if (a->room.err != ERR_NONE)
		trouble = &a->room;
	if (a->gap.err != ERR_NONE && position_compare(a->gap_at, pos) == 0)
		trouble = &a->gap;
	for (uint32_t i = 0; i < peers_count(a->options.peers); i++) {
		if (a->sources[i].log_trouble.err != ERR_NONE)
			trouble = &a->sources[i].log_trouble;
		if (a->sources[i].stream_trouble.err != ERR_NONE)
			trouble = &a->sources[i].stream_trouble;
	}
	bool aside = a->aside.err != ERR_NONE;
	bool stopped = trouble != NULL || (aside && !a->aside_over);
	if (aside)
		trouble = &a->aside;
	*ret_state = (struct applier_state){
		.stopped = stopped,
		.aside = aside,
		.refills = a->refills,
		.messages = a->messages,
	};
	if (trouble != NULL)
		ret_state->trouble = *trouble;
	(void)pthread_mutex_unlock(&a->lock);
}

void applier_stop(struct applier *a)
{
	if (a == NULL)
		return;
	(void)pthread_mutex_lock(&a->lock);
	a->stop = true;
	(void)pthread_cond_signal(&a->wake);
	(void)pthread_mutex_unlock(&a->lock);
	if (a->started)
		(void)pthread_join(a->thread, NULL);
	a->started = false;
	for (uint32_t i = 0; i < peers_count(a->options.peers); i++) {
		(void)pthread_mutex_lock(&a->lock);
		struct stream_consumer *consumer = TAKE(a->sources[i].consumer);

		(void)pthread_mutex_unlock(&a->lock);
		stream_consumer_close(consumer);
	}
}

void applier_free(struct applier *a)
{
	if (a == NULL)
		return;
	applier_stop(a);
	(void)pthread_cond_destroy(&a->wake);
	(void)pthread_mutex_destroy(&a->lock);
	(void)pthread_mutex_destroy(&a->refill_lock);
	chain_release(&a->shown);
	free(a);
}
