/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/bootstrap.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metric.h"
#include "base/panic.h"

#define NS_PER_MS UINT64_C(1000000)
/* How often the thread looks whether a copy is needed, and for how long it must have been. */
#define LOOK_MS 500
#define LACKS_MS 2000
/* Between two questions that brought nothing, after all regions were asked in vain, and when there was no room. */
#define IDLE_MS 100
#define AGAIN_MS 1000
#define ROOM_MS 60000
/* All sources gave what cannot be used, so many times in a row: the copy itself is taken to be the reason. */
#define ROUNDS_MAX 5
/* One that was silent for longer is not asked. */
#define SILENT_MS_MAX 5000
/* How often this region asks for a mark. */
#define WANT_MS 3000
/* One wait for the bandwidth. */
#define THROTTLE_MS_MAX 1000

struct bootstrap {
	struct bootstrap_options o;
	pthread_t thread;
	bool started;

	/* the thread's; others when it has ended */
	struct copy *copy;             /* NULL: none is open, with */
	struct store *copy_store;
	uint8_t tried[PEERS_MAX];      /* regions that gave nothing since one last did */
	uint32_t tried_count;
	bool unusable;                 /* one of them gave what cannot be used */
	unsigned rounds;               /* of such ones */
	uint64_t lacks_ns;             /* since when something is lacking; 0: nothing is */
	uint64_t wanted_ns;            /* when it asked for a mark last */
	uint64_t metric_bytes;         /* that the metric was told */

	pthread_mutex_t lock;          /* guards the rest */
	pthread_cond_t wake;
	bool stop;
	bool ordered;                  /* a person wants a copy, */
	uint8_t ordered_source;        /* of that region; 0: of any */
	struct position proof;         /* PROVING: a mark beyond it */
	struct copy_progress progress; /* as last noted */
	struct bootstrap_state state;
};

/* --- small things --- */

const char *bootstrap_stage_word(enum bootstrap_stage s)
{
	static const char *const words[] = { "idle", "copying", "complete", "proving" };

	return words[s];
}

static const char *name_of(const struct bootstrap *b, uint8_t region)
{
	const struct peer_config *c = peers_by_id(b->o.peers, region);

	return c ? c->name : region == peers_self(b->o.peers)->id ? peers_self(b->o.peers)->name : "(unknown)";
}

static bool stopping(struct bootstrap *b)
{
	(void)pthread_mutex_lock(&b->lock);
	bool stop = b->stop;

	(void)pthread_mutex_unlock(&b->lock);
	return stop;
}

/* To stop, or to do something else. */
static bool is_wanted(struct bootstrap *b)
{
	(void)pthread_mutex_lock(&b->lock);
	bool wanted = b->stop || b->ordered;

	(void)pthread_mutex_unlock(&b->lock);
	return wanted;
}

/* Until then, or until something is wanted. */
static void rest(struct bootstrap *b, uint64_t ms)
{
	struct timespec until;

	clock_wait_deadline(ms, &until);
	(void)pthread_mutex_lock(&b->lock);
	while (!b->stop && !b->ordered)
		if (pthread_cond_timedwait(&b->wake, &b->lock, &until) == ETIMEDOUT)
			break;
	(void)pthread_mutex_unlock(&b->lock);
}

static void count(const char *result)
{
	metric_series_add(metric_series(METRIC_isthmus_bootstraps_total, result), 1);
}

static void set_stage(struct bootstrap *b, enum bootstrap_stage stage)
{
	(void)pthread_mutex_lock(&b->lock);
	b->state.stage = stage;
	b->state.trouble = (struct fault){ 0 };
	(void)pthread_mutex_unlock(&b->lock);
	metric_set(METRIC_isthmus_bootstrap_running, stage == BOOTSTRAP_IDLE ? 0 : stage == BOOTSTRAP_PROVING ? 2 : 1);
}

/* Said once for each reason in a row; NULL: it goes on. */
static void set_trouble(struct bootstrap *b, const struct fault *f)
{
	(void)pthread_mutex_lock(&b->lock);
	struct fault was = b->state.trouble;
	b->state.trouble = f ? *f : (struct fault){ 0 };
	(void)pthread_mutex_unlock(&b->lock);
	if (f && strcmp(was.text, f->text) != 0)
		log_warn("a copy does not go on, it is tried again reason=\"%s\"", fault_text(f));
	else if (!f && was.err)
		log_info("the copy goes on");
}

static unsigned percent_of(const struct copy_progress *p)
{
	if (p->stage >= COPY_CONFLICTS)
		return 99;
	return p->points_expected == 0 ? 0 : (unsigned)MIN(p->points * 100 / p->points_expected, UINT64_C(99));
}

/* What is noted is shown. */
static void show(struct bootstrap *b, const struct copy_progress *p)
{
	uint64_t now_ms = clock_wall_ms(b->o.clock);

	(void)pthread_mutex_lock(&b->lock);
	b->progress = *p;
	(void)pthread_mutex_unlock(&b->lock);
	metric_set(METRIC_isthmus_bootstrap_points, (double)p->points);
	metric_set(METRIC_isthmus_bootstrap_points_expected, (double)p->points_expected);
	metric_set(METRIC_isthmus_bootstrap_seconds, (double)(now_ms - MIN(now_ms, p->begun_ms)) / 1e3);
	if (p->bytes > b->metric_bytes)
		metric_add(METRIC_isthmus_bootstrap_bytes_total, (double)(p->bytes - b->metric_bytes));
	b->metric_bytes = p->bytes;
}

/* --- the copy --- */

static void close_copy(struct bootstrap *b, bool discard)
{
	copy_close(TAKE(b->copy));
	if (b->copy_store)
		b->o.close(b->o.ctx, TAKE(b->copy_store), discard);
}

/* make: else only one that was begun is gone on with. */
static enum err open_copy(struct bootstrap *b, bool make, bool ordered, uint8_t source, struct fault *f)
{
	struct copy_options o = { .clock = b->o.clock,
				  .peers = b->o.peers,
				  .log_bytes_max = b->o.log_bytes_max,
				  .ordered = ordered,
				  .source = source };
	struct copy_progress p;
	enum err err = b->o.open(b->o.ctx, make, &b->copy_store, &o.dir, f);

	if (err)
		return err;
	o.store = b->copy_store;
	err = copy_open(&o, &b->copy, f);
	if (err) {
		close_copy(b, false);
		return err;
	}
	copy_progress(b->copy, &p);
	b->metric_bytes = p.bytes;
	b->tried_count = b->rounds = 0;
	b->unusable = false;
	show(b, &p);
	set_stage(b, BOOTSTRAP_COPYING);
	return ERR_NONE;
}

static void discard_copy(struct bootstrap *b, const char *why)
{
	log_warn("a copy is discarded reason=\"%s\"", why);
	count("discarded");
	close_copy(b, true);
	(void)pthread_mutex_lock(&b->lock);
	b->progress = (struct copy_progress){ 0 };
	(void)pthread_mutex_unlock(&b->lock);
}

/* Another one for the same reason. */
static void begin_again(struct bootstrap *b, const char *why)
{
	struct copy_progress p;
	struct fault f = { 0 };

	copy_progress(b->copy, &p);
	discard_copy(b, why);
	if (open_copy(b, true, p.ordered, p.bound ? p.source : 0, &f)) {
		set_stage(b, BOOTSTRAP_IDLE);
		set_trouble(b, &f);
		return;
	}
	count("begun");
}

/* --- whom to ask --- */

struct candidate {
	uint8_t region;
	uint64_t rtt_us;
	uint32_t at; /* in the configuration */
};

static int compare_candidates(const void *x, const void *y)
{
	const struct candidate *a = x, *b = y;

	if (a->rtt_us != b->rtt_us)
		return a->rtt_us < b->rtt_us ? -1 : 1;
	return (a->at > b->at) - (a->at < b->at);
}

/* Data regions that are heard, the nearest first; of those whose distance is not known in the configuration's order, last. */
static uint32_t find_candidates(struct bootstrap *b, struct candidate out[PEERS_MAX])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < peers_count(b->o.peers); i++) {
		struct peer_standing s;

		peers_standing(b->o.peers, i, &s);
		if (!s.config->data || !s.heard || s.silent_ms > SILENT_MS_MAX)
			continue;
		uint64_t rtt_us = b->o.rtt_us ? b->o.rtt_us(b->o.ctx, s.config->id) : 0;
		out[n++] = (struct candidate){ .region = s.config->id, .rtt_us = rtt_us ? rtt_us : UINT64_MAX, .at = i };
	}
	if (n > 1)
		qsort(out, n, sizeof(*out), compare_candidates);
	return n;
}

static bool was_tried(const struct bootstrap *b, uint8_t region)
{
	for (uint32_t i = 0; i < b->tried_count; i++)
		if (b->tried[i] == region)
			return true;
	return false;
}

/* The one that gave something last, as long as it does; else the nearest that was not tried. 0: there is none. */
static uint8_t choose_source(struct bootstrap *b)
{
	struct candidate candidates[PEERS_MAX];
	struct copy_progress p;
	uint32_t n = find_candidates(b, candidates);
	uint8_t nearest = 0;

	copy_progress(b->copy, &p);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t region = candidates[i].region;

		if (was_tried(b, region) || (p.bound && region != p.source))
			continue;
		if (region == p.source)
			return region;
		if (!nearest)
			nearest = region;
	}
	return nearest;
}

/* --- one step --- */

/* Nobody is left to ask. */
static void end_round(struct bootstrap *b)
{
	struct copy_progress p;
	struct fault f = { 0 };

	copy_progress(b->copy, &p);
	if (b->tried_count == 0) {
		(void)fault_set(&f, ERR_UNAVAILABLE, "%s%s is heard that could be copied",
				p.bound ? "no region " : "no data region", p.bound ? name_of(b, p.source) : "");
		set_trouble(b, &f);
	}
	b->rounds += b->unusable;
	b->tried_count = 0;
	b->unusable = false;
	if (b->rounds >= ROUNDS_MAX)
		begin_again(b, "no region gave what could be used");
	rest(b, AGAIN_MS);
}

static void step_failed(struct bootstrap *b, uint8_t source, enum err err, const struct fault *f)
{
	struct fault told = { 0 };

	(void)fault_set(&told, err, "copying region %s: %.300s", name_of(b, source), f->err ? fault_text(f) : err_sentence(err));
	switch ((int)err) {
	case ERR_GAP:
	case ERR_FORK:
	case ERR_ALREADY_EXISTS:
		begin_again(b, fault_text(&told));
		rest(b, AGAIN_MS);
		return;
	case ERR_NO_SPACE:
	case ERR_STORE_FULL:
	case ERR_NO_MEMORY:
		/* What it took is needed by what this region has. */
		begin_again(b, fault_text(&told));
		set_trouble(b, &told);
		rest(b, ROOM_MS);
		return;
	default:
		set_trouble(b, &told);
		b->unusable |= err != ERR_UNAVAILABLE && err != ERR_TIMEOUT;
		if (b->tried_count < PEERS_MAX)
			b->tried[b->tried_count++] = source;
	}
}

/* As long as so many bytes take. */
static void throttle(struct bootstrap *b, uint64_t bytes, uint64_t began_ns)
{
	if (b->o.bytes_per_s == 0)
		return;
	uint64_t due_ns = began_ns + (uint64_t)((double)bytes * 1e9 / (double)b->o.bytes_per_s);

	for (;;) {
		uint64_t now_ns = clock_mono_ns(b->o.clock);
		if (now_ns >= due_ns || is_wanted(b))
			return;
		rest(b, MIN((due_ns - now_ns) / NS_PER_MS + 1, (uint64_t)THROTTLE_MS_MAX));
	}
}

static void end_copying(struct bootstrap *b, const struct copy_progress *p)
{
	struct fault f = { 0 };

	if (p->adoptions >= BOOTSTRAP_ADOPTIONS_MAX) {
		(void)fault_set(&f, ERR_INTERNAL,
				"the copy could not take this region's place %u times; see the log, or order another one",
				p->adoptions);
		set_trouble(b, &f);
		rest(b, ROOM_MS);
		return;
	}
	log_info("a copy is complete, the region starts again from it region=%s points=%llu bytes=%llu", name_of(b, p->source),
		 (unsigned long long)p->points, (unsigned long long)p->bytes);
	count("complete");
	set_stage(b, BOOTSTRAP_COMPLETE);
	b->o.complete(b->o.ctx);
}

static void step_copy(struct bootstrap *b)
{
	uint64_t began_ns = clock_mono_ns(b->o.clock);
	uint8_t source = choose_source(b);
	struct copy_progress before, after;
	struct fault f = { 0 };
	bool complete, idle;

	if (!source) {
		end_round(b);
		return;
	}
	copy_progress(b->copy, &before);
	enum err err = copy_step(b->copy, source, &complete, &idle, &f);
	copy_progress(b->copy, &after);
	show(b, &after);
	if (err) {
		step_failed(b, source, err, &f);
		return;
	}
	b->tried_count = b->rounds = 0;
	b->unusable = false;
	set_trouble(b, NULL);
	if (complete)
		end_copying(b, &after);
	else if (idle)
		rest(b, IDLE_MS);
	throttle(b, after.bytes - before.bytes, began_ns);
}

/* --- when --- */

/* *ret_source: to be copied; 0: any. */
static bool take_order(struct bootstrap *b, uint8_t *ret_source)
{
	(void)pthread_mutex_lock(&b->lock);
	bool ordered = TAKE(b->ordered);

	*ret_source = b->ordered_source;
	(void)pthread_mutex_unlock(&b->lock);
	return ordered;
}

/* For long enough that it does not pass by itself. */
static bool is_lacking(struct bootstrap *b, struct fault *why)
{
	uint64_t now_ns = clock_mono_ns(b->o.clock);

	if (!b->o.lacks(b->o.ctx, why))
		b->lacks_ns = 0;
	else if (b->lacks_ns == 0)
		b->lacks_ns = now_ns;
	return b->lacks_ns != 0 && now_ns - b->lacks_ns >= LACKS_MS * NS_PER_MS;
}

static void look(struct bootstrap *b)
{
	struct candidate candidates[PEERS_MAX];
	struct fault f = { 0 };
	uint8_t source;
	bool ordered = take_order(b, &source);

	if (!ordered && (!is_lacking(b, &f) || find_candidates(b, candidates) == 0)) {
		rest(b, LOOK_MS);
		return;
	}
	log_warn("this region copies the state of another one %s%s%s", ordered ? "ordered=yes" : "reason=\"",
		 ordered ? "" : fault_text(&f), ordered ? "" : "\"");
	b->lacks_ns = 0;
	enum err err = open_copy(b, true, ordered, ordered ? source : 0, &f);
	if (!err) {
		count("begun");
		return;
	}
	set_trouble(b, &f);
	rest(b, ROOM_MS);
}

/* An order while a copy is made begins another one. */
static void copy_on(struct bootstrap *b)
{
	struct fault f = { 0 };
	uint8_t source;

	if (!take_order(b, &source)) {
		step_copy(b);
		return;
	}
	discard_copy(b, "another one was ordered");
	enum err err = open_copy(b, true, true, source, &f);
	if (!err) {
		count("begun");
		return;
	}
	set_stage(b, BOOTSTRAP_IDLE);
	set_trouble(b, &f);
}

/* --- the proof --- */

static void want_mark(struct bootstrap *b)
{
	uint64_t now_ns = clock_mono_ns(b->o.clock);
	struct committer_state s;
	struct fault f = { 0 };

	if (b->wanted_ns != 0 && now_ns - b->wanted_ns < WANT_MS * NS_PER_MS)
		return;
	b->wanted_ns = now_ns;
	committer_state(b->o.committer, &s);
	if (s.epoch != 0 && audit_want(b->o.audit, s.released ? s.released_to : s.writer, &f))
		log_debug("no mark can be asked for, the next one comes by itself reason=\"%s\"", fault_text(&f));
}

static void end_proof(struct bootstrap *b, uint8_t with, uint64_t mark)
{
	struct fault f = { 0 };

	if (committer_copy_forget(b->o.committer, &f)) {
		set_trouble(b, &f);
		return;
	}
	log_info("the copy is proved, its trees are those of another region mark=%llu region=%s", (unsigned long long)mark,
		 name_of(b, with));
	count("proved");
	set_stage(b, BOOTSTRAP_IDLE);
	b->o.proving(b->o.ctx, false);
}

static void prove(struct bootstrap *b)
{
	struct candidate candidates[PEERS_MAX];
	uint32_t n = find_candidates(b, candidates);
	struct fault f = { 0 };

	want_mark(b);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t mark;
		enum err err = audit_prove(b->o.audit, candidates[i].region, b->proof, &mark, &f);

		if (!err) {
			end_proof(b, candidates[i].region, mark);
			return;
		}
		if (err == ERR_FORK) {
			struct fault told = { 0 };
			(void)fault_set(&told, err, "at mark %llu it is not what region %s has: %.200s; audits repair it",
					(unsigned long long)mark, name_of(b, candidates[i].region), fault_text(&f));
			set_trouble(b, &told);
			break;
		}
		if (err == ERR_NOT_FOUND)
			break;
	}
	rest(b, LOOK_MS);
}

static enum bootstrap_stage stage_of(struct bootstrap *b)
{
	(void)pthread_mutex_lock(&b->lock);
	enum bootstrap_stage stage = b->state.stage;

	(void)pthread_mutex_unlock(&b->lock);
	return stage;
}

static void *thread_main(void *arg)
{
	struct bootstrap *b = arg;
	struct fault f = { 0 };

	/* One that was begun before this start. A region that has to be proved is none that copies. */
	if (stage_of(b) == BOOTSTRAP_IDLE) {
		enum err err = open_copy(b, false, false, 0, &f);
		if (err && err != ERR_NOT_FOUND) {
			log_warn("a copy that was begun cannot be gone on with reason=\"%s\"", fault_text(&f));
			b->o.close(b->o.ctx, NULL, true);
		}
	}
	while (!stopping(b)) {
		switch (stage_of(b)) {
		case BOOTSTRAP_IDLE:
			look(b);
			break;
		case BOOTSTRAP_COPYING:
			copy_on(b);
			break;
		case BOOTSTRAP_COMPLETE:
			rest(b, LOOK_MS);
			break;
		case BOOTSTRAP_PROVING:
			prove(b);
			break;
		}
	}
	return NULL;
}

/* --- orders and questions --- */

static enum err check_order(struct bootstrap *b, uint8_t source, struct fault *f)
{
	struct candidate candidates[PEERS_MAX];
	struct committer_state s;
	uint32_t n = find_candidates(b, candidates);
	bool found = source == 0 && n > 0;

	committer_state(b->o.committer, &s);
	if (s.writing)
		return fault_set(f, ERR_FORBIDDEN,
				 "this region is the primary and has what the others follow: hand the role over first (isthmusctl switchover)");
	for (uint32_t i = 0; i < n; i++)
		found |= candidates[i].region == source;
	if (found)
		return ERR_NONE;
	return source == 0 ? fault_set(f, ERR_UNAVAILABLE, "no other data region is heard that could be copied")
			   : fault_set(f, ERR_UNAVAILABLE, "region %s is not heard, or holds no data: it cannot be copied",
				       name_of(b, source));
}

enum err bootstrap_order(struct bootstrap *b, uint8_t source, struct fault *reterr_fault)
{
	enum err err = check_order(b, source, reterr_fault);

	if (err)
		return err;
	(void)pthread_mutex_lock(&b->lock);
	if (b->state.stage == BOOTSTRAP_COMPLETE || b->state.stage == BOOTSTRAP_PROVING) {
		err = fault_set(reterr_fault, ERR_ALREADY_EXISTS, "this region was copied just now and is to be proved");
	} else {
		b->ordered = true;
		b->ordered_source = source;
		(void)pthread_cond_broadcast(&b->wake);
	}
	(void)pthread_mutex_unlock(&b->lock);
	return err;
}

void bootstrap_state(struct bootstrap *b, struct bootstrap_state *ret_state)
{
	uint64_t now_ms = clock_wall_ms(b->o.clock);

	(void)pthread_mutex_lock(&b->lock);
	const struct copy_progress *p = &b->progress;
	*ret_state = b->state;
	ret_state->ordered = p->ordered;
	ret_state->source = p->source;
	ret_state->points = p->points;
	ret_state->points_expected = p->points_expected;
	ret_state->bytes = p->bytes;
	ret_state->percent = b->state.stage == BOOTSTRAP_COPYING ? percent_of(p) : b->state.stage == BOOTSTRAP_IDLE ? 0 : 100;
	if (b->state.stage != BOOTSTRAP_IDLE && p->begun_ms != 0)
		ret_state->seconds = (double)(now_ms - MIN(now_ms, p->begun_ms)) / 1e3;
	(void)pthread_mutex_unlock(&b->lock);
}

bool bootstrap_ready(struct bootstrap *b, struct buf *why)
{
	struct bootstrap_state s;

	bootstrap_state(b, &s);
	const char *from = s.source ? name_of(b, s.source) : "another region";
	switch (s.stage) {
	case BOOTSTRAP_IDLE:
		return true;
	case BOOTSTRAP_COPYING:
		if (s.ordered)
			return true;
		buf_printf(why, "bootstrapping from %s: %u %%", from, s.percent);
		break;
	case BOOTSTRAP_COMPLETE:
		buf_printf(why, "bootstrapped from %s, starting again", from);
		break;
	case BOOTSTRAP_PROVING:
		buf_printf(why, "bootstrapped from %s, to be proved at the next mark", from);
		break;
	}
	if (s.trouble.err)
		buf_printf(why, "; %s", fault_text(&s.trouble));
	return false;
}

bool bootstrap_is_proving(struct bootstrap *b)
{
	return stage_of(b) == BOOTSTRAP_PROVING;
}

/* --- life --- */

static enum err locks_init(struct bootstrap *b)
{
	pthread_condattr_t attr;

	if (pthread_condattr_init(&attr) != 0)
		return ERR_NO_MEMORY;
	bool good = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(&b->wake, &attr) == 0;
	(void)pthread_condattr_destroy(&attr);
	if (good && pthread_mutex_init(&b->lock, NULL) == 0)
		return ERR_NONE;
	if (good)
		(void)pthread_cond_destroy(&b->wake);
	return ERR_NO_MEMORY;
}

enum err bootstrap_new(const struct bootstrap_options *o, struct bootstrap **ret_bootstrap, struct fault *reterr_fault)
{
	struct bootstrap *b = calloc(1, sizeof(*b));
	struct copy_progress p;
	bool there;

	if (!b || locks_init(b)) {
		free(b);
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for copies");
	}
	b->o = *o;
	enum err err = copy_read_progress(o->store, &p, &there);
	if (err) {
		bootstrap_free(b);
		return fault_set(reterr_fault, err, "reading what this region was copied from: %s", err_sentence(err));
	}
	if (there) {
		b->proof = p.position;
		b->metric_bytes = p.bytes;
		show(b, &p);
		o->proving(o->ctx, true);
	}
	set_stage(b, there ? BOOTSTRAP_PROVING : BOOTSTRAP_IDLE);
	*ret_bootstrap = b;
	return ERR_NONE;
}

enum err bootstrap_start(struct bootstrap *b)
{
	b->started = true;
	int errnum = pthread_create(&b->thread, NULL, thread_main, b);

	if (errnum != 0) {
		b->started = false;
		return err_from_errno(errnum);
	}
	(void)pthread_setname_np(b->thread, "bootstrap");
	return ERR_NONE;
}

void bootstrap_stop(struct bootstrap *b)
{
	if (!b)
		return;
	(void)pthread_mutex_lock(&b->lock);
	b->stop = true;
	bool started = TAKE(b->started);
	(void)pthread_cond_broadcast(&b->wake);
	(void)pthread_mutex_unlock(&b->lock);
	if (started)
		(void)pthread_join(b->thread, NULL);
}

enum err bootstrap_adopt(struct bootstrap *b, struct fault *reterr_fault)
{
	ASSERT(!b->started);
	if (!b->copy || stage_of(b) != BOOTSTRAP_COMPLETE)
		return ERR_NOT_FOUND;
	enum err err = copy_adopt(b->copy, b->o.committer, b->o.catalog, reterr_fault);
	close_copy(b, false);
	return err;
}

void bootstrap_free(struct bootstrap *b)
{
	if (!b)
		return;
	bootstrap_stop(b);
	close_copy(b, false);
	(void)pthread_cond_destroy(&b->wake);
	(void)pthread_mutex_destroy(&b->lock);
	free(b);
}
