/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metric.h"
#include "replicator/audit_inner.h"

#define NS_PER_MS UINT64_C(1000000)
/* How often the thread looks whether it is this region's turn. */
#define TURN_MS 1000

/* --- small things --- */

uint64_t audit_fleet(const struct audit *a)
{
	return a->o.peers ? peers_fleet(a->o.peers) : 0;
}

uint8_t audit_self(const struct audit *a)
{
	struct committer_state s;

	if (a->o.peers)
		return peers_self(a->o.peers)->id;
	/* Alone, whoever writes is this one. */
	committer_state(a->o.committer, &s);
	return s.writer;
}

bool audit_stopping(struct audit *a)
{
	(void)pthread_mutex_lock(&a->lock);
	bool stop = a->stop;
	(void)pthread_mutex_unlock(&a->lock);
	return stop;
}

bool audit_wait(struct audit *a, uint64_t ms)
{
	struct timespec until;
	int errnum = 0;

	if (a->o.wait) {
		a->o.wait(a->o.ctx, ms);
		return !audit_stopping(a);
	}
	clock_wait_deadline(ms, &until);
	(void)pthread_mutex_lock(&a->lock);
	while (!a->stop && errnum != ETIMEDOUT)
		errnum = pthread_cond_timedwait(&a->wake, &a->lock, &until);
	bool stop = a->stop;
	(void)pthread_mutex_unlock(&a->lock);
	return !stop;
}

/* --- trees at marks --- */

static void on_marked(void *ctx, struct marked *m)
{
	struct audit *a = ctx;

	(void)pthread_mutex_lock(&a->lock);
	struct marked *old = a->marked[AUDIT_MARKS_KEPT - 1];
	for (unsigned i = AUDIT_MARKS_KEPT - 1; i > 0; i--)
		a->marked[i] = a->marked[i - 1];
	a->marked[0] = m;
	(void)pthread_mutex_unlock(&a->lock);
	marked_unref(old);
}

void audit_keep_copy(struct audit *a, struct marked *m)
{
	(void)pthread_mutex_lock(&a->lock);
	struct marked *old = a->copied;
	a->copied = m;
	(void)pthread_mutex_unlock(&a->lock);
	marked_unref(old);
}

struct marked *audit_marked(struct audit *a, uint64_t mark)
{
	struct marked *found = NULL;

	(void)pthread_mutex_lock(&a->lock);
	for (unsigned i = 0; i < AUDIT_MARKS_KEPT && !found; i++)
		if (a->marked[i] && a->marked[i]->mark == mark)
			found = marked_ref(a->marked[i]);
	if (!found && a->copied && a->copied->mark == mark)
		found = marked_ref(a->copied);
	(void)pthread_mutex_unlock(&a->lock);
	return found;
}

/* --- questions of other regions --- */

enum err audit_answer(struct audit *a, uint8_t from, struct bytes request, struct buf *out, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena arena;
	struct audit_request q;
	struct audit_reply reply;

	arena_init(&arena, AUDIT_ARENA_BYTES_MAX);
	enum err err = audit_request_decode(request, &arena, &q, reterr_fault);
	if (err)
		return err;
	if (q.fleet != audit_fleet(a) || q.sender != from)
		return fault_set(reterr_fault, ERR_FORBIDDEN, "an audit of another fleet, or in another region's name");
	struct fault fault = { 0 };
	err = audit_answer_request(a, &q, &arena, &reply, &fault);
	if (err) {
		const char *name = err_name(err);
		const char *words = fault_text(&fault);
		reply = (struct audit_reply){ .kind = q.kind,
					      .refused = { name, strlen(name) },
					      .words = { words, strlen(words) } };
	}
	err = audit_reply_encode(&reply, out);
	return err ? fault_set(reterr_fault, err, "the answer of an audit: %s", err_sentence(err)) : ERR_NONE;
}

/* --- one audit --- */

static void tell_metrics(const struct audit *a, const struct audit_report *r)
{
	uint32_t late = 0;

	for (unsigned i = 0; i < AUDIT_CLASS_COUNT; i++)
		metric_series_set(metric_series(METRIC_isthmus_audit_diff_points, audit_class_word((enum audit_class)i)),
				  (double)r->differences[i]);
	for (uint32_t i = 0; i < r->region_count; i++)
		late += r->regions[i].standing == AUDIT_LATE;
	metric_set(METRIC_isthmus_audit_late_regions, late);
	metric_add(METRIC_isthmus_audit_repair_points_total, (double)r->repaired);
	metric_observe(METRIC_isthmus_audit_duration_seconds, (double)r->duration_ms / 1e3);
	if (audit_report_clean(r))
		metric_set(METRIC_isthmus_audit_last_clean_timestamp_seconds,
			   (double)clock_wall_ms(a->o.clock) / 1e3);
}

static void tell_log(const struct audit_report *r)
{
	uint64_t points = 0;

	for (unsigned i = 0; i < AUDIT_CLASS_COUNT; i++)
		points += r->differences[i];
	if (r->failed)
		log_warn("an audit came to no result mark=%" PRIu64 " reason=\"%s\"", r->mark, r->trouble);
	else if (points > 0 || r->unrepaired > 0)
		log_warn("an audit found differences mark=%" PRIu64 " points=%" PRIu64 " repaired=%" PRIu64
			 " unrepaired=%" PRIu64,
			 r->mark, points, r->repaired, r->unrepaired);
	else
		log_debug("an audit ended mark=%" PRIu64 " verdict=%s", r->mark, audit_report_verdict(r));
}

/* What was not found differs nowhere: only an audit that came to its end says so. */
static void conclude(struct audit *a, struct audit_report *r, enum err err, const struct fault *f, uint64_t begun_ns)
{
	struct fault kept = { 0 };

	a->ended_ns = clock_mono_ns(a->o.clock);
	r->duration_ms = (a->ended_ns - begun_ns) / NS_PER_MS;
	r->failed = err != ERR_NONE;
	if (err)
		(void)snprintf(r->trouble, sizeof(r->trouble), "%.255s", f->text[0] ? fault_text(f) : err_sentence(err));
	a->clean = audit_report_clean(r);
	tell_metrics(a, r);
	tell_log(r);
	if (audit_reports_add(a->reports, r, &kept))
		log_error("the report of an audit cannot be kept reason=\"%s\"", fault_text(&kept));
}

enum err audit_run(struct audit *a, bool deep, struct audit_report *ret_report, struct fault *reterr_fault)
{
	struct audit_round *r = calloc(1, sizeof(*r));
	uint64_t begun_ns = clock_mono_ns(a->o.clock);
	struct fault fault = { 0 };

	if (!r)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for an audit");
	*ret_report = (struct audit_report){ .wall_ms = clock_wall_ms(a->o.clock), .deep = deep };
	r->a = a;
	r->report = ret_report;
	r->deep = deep;
	r->fault = &fault;
	arena_init(&r->arena, AUDIT_ARENA_BYTES_MAX);
	enum err err = audit_round_run(r);
	/* Without a mark there was no audit. */
	if (ret_report->mark != 0)
		conclude(a, ret_report, err, &fault, begun_ns);
	marked_unref(r->marked);
	free(r->suspects);
	arena_release(&r->arena);
	free(r);
	return err ? fault_set(reterr_fault, err, "%s", fault.text[0] ? fault_text(&fault) : err_sentence(err))
		   : ERR_NONE;
}

/* --- the thread --- */

/* A mark is an op: where nothing is written, none is needed for what was found clean a short while ago. */
static bool is_needed(struct audit *a, uint64_t now_ns)
{
	struct committer_state s;
	struct cutoff seen;

	committer_state(a->o.committer, &s);
	if (!s.writing || s.failed)
		return false;
	if (committer_seen(a->o.committer, &seen) || !cutoff_equal(&seen, &a->seen_at))
		return true;
	return !a->clean || position_compare(s.position, a->marked_at) != 0 ||
	       now_ns - a->ended_ns >= AUDIT_CLEAN_MS * NS_PER_MS;
}

static void plan_next(struct audit *a, const struct audit_report *r, uint64_t began_ns)
{
	uint64_t interval_ns = a->o.interval_ms * NS_PER_MS;
	uint64_t now_ns = clock_mono_ns(a->o.clock);

	if (a->o.interval_ms == 0) {
		a->due_ns = UINT64_MAX;
		return;
	}
	if (r && (r->repaired > 0 || r->unsure > 0)) {
		a->due_ns = now_ns + MIN(interval_ns, (uint64_t)AUDIT_SOON_MS * NS_PER_MS);
		return;
	}
	/* Those that this one took the time of. */
	uint64_t missed = (now_ns - began_ns) / interval_ns;
	if (missed > 0)
		metric_add(METRIC_isthmus_audit_skipped_total, (double)missed);
	a->due_ns = began_ns + (missed + 1) * interval_ns;
}

static void audit_now(struct audit *a, bool deep)
{
	struct audit_report *r = calloc(1, sizeof(*r));
	uint64_t began_ns = clock_mono_ns(a->o.clock);
	struct fault f = { 0 };

	(void)pthread_mutex_lock(&a->lock);
	a->running = true;
	(void)pthread_mutex_unlock(&a->lock);
	enum err err = r ? audit_run(a, deep, r, &f) : ERR_NO_MEMORY;
	plan_next(a, err && (!r || r->mark == 0) ? NULL : r, began_ns);
	(void)pthread_mutex_lock(&a->lock);
	a->running = false;
	a->turned_away = err && (!r || r->mark == 0);
	a->turn++;
	(void)pthread_cond_broadcast(&a->wake);
	(void)pthread_mutex_unlock(&a->lock);
	free(r);
}

/* Waits for something to do. false: the end. */
static bool next_turn(struct audit *a, bool *ret_asked, bool *ret_deep, bool *ret_serve)
{
	struct timespec until;

	clock_wait_deadline(TURN_MS, &until);
	(void)pthread_mutex_lock(&a->lock);
	while (!a->stop && !a->asked && a->deep.status != DEEP_WANTED)
		if (pthread_cond_timedwait(&a->wake, &a->lock, &until) == ETIMEDOUT)
			break;
	*ret_asked = a->asked;
	*ret_deep = a->asked_deep;
	*ret_serve = a->deep.status == DEEP_WANTED;
	a->asked = a->asked_deep = false;
	bool stop = a->stop;
	(void)pthread_mutex_unlock(&a->lock);
	return !stop;
}

static void *thread_main(void *arg)
{
	struct audit *a = arg;
	bool asked, deep, serve;

	while (next_turn(a, &asked, &deep, &serve)) {
		uint64_t now_ns = clock_mono_ns(a->o.clock);
		if (serve)
			audit_deep_run(a);
		if (asked) {
			audit_now(a, deep);
		} else if (now_ns >= a->due_ns) {
			if (is_needed(a, now_ns))
				audit_now(a, false);
			else
				plan_next(a, NULL, now_ns);
		}
	}
	return NULL;
}

/* --- asking --- */

enum err audit_wake(struct audit *a, struct fault *reterr_fault)
{
	struct committer_state s;

	committer_state(a->o.committer, &s);
	if (!s.writing)
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "audits are begun by the primary, which is region %u",
				 s.writer);
	(void)pthread_mutex_lock(&a->lock);
	a->asked = true;
	(void)pthread_cond_broadcast(&a->wake);
	(void)pthread_mutex_unlock(&a->lock);
	return ERR_NONE;
}

enum err audit_ask(struct audit *a, bool deep, uint64_t timeout_ms, struct buf *out, struct fault *reterr_fault)
{
	struct timespec until;
	struct committer_state s;
	uint64_t broken;
	int errnum = 0;

	committer_state(a->o.committer, &s);
	if (!s.writing)
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "audits are begun by the primary, which is region %u",
				 s.writer);
	clock_wait_deadline(timeout_ms, &until);
	(void)pthread_mutex_lock(&a->lock);
	if (!a->started || a->stop) {
		(void)pthread_mutex_unlock(&a->lock);
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "this region is being stopped");
	}
	a->asked = true;
	a->asked_deep |= deep;
	/* One that is under way may have begun too early. */
	uint64_t turn = a->turn + 1 + a->running;
	(void)pthread_cond_broadcast(&a->wake);
	while (!a->stop && a->turn < turn && errnum != ETIMEDOUT)
		errnum = pthread_cond_timedwait(&a->wake, &a->lock, &until);
	bool ended = a->turn >= turn;
	bool turned_away = a->turned_away;
	(void)pthread_mutex_unlock(&a->lock);
	if (!ended)
		return fault_set(reterr_fault, ERR_TIMEOUT, "the audit goes on; its report will be listed");
	if (turned_away)
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "this region could not write a mark");
	return audit_reports_list(a->reports, 1, out, &broken);
}

enum err audit_list(struct audit *a, uint32_t limit, struct buf *out)
{
	CLEANUP(buf_release) struct buf reports = BUF_INIT((size_t)AUDIT_REPORTS_MAX * AUDIT_REPORT_BYTES_MAX);
	struct json_writer w = json_writer_to(out);
	uint64_t broken;
	enum err err = audit_reports_list(a->reports, limit, &reports, &broken);

	if (err)
		return err;
	(void)pthread_mutex_lock(&a->lock);
	bool running = a->running;
	(void)pthread_mutex_unlock(&a->lock);
	json_put_object(&w);
	json_put_key(&w, STR("region"));
	json_put_cstr(&w, a->region);
	json_put_key(&w, STR("running"));
	json_put_bool(&w, running);
	json_put_key(&w, STR("interval_ms"));
	json_put_u64(&w, a->o.interval_ms);
	json_put_key(&w, STR("broken"));
	json_put_u64(&w, broken);
	json_put_key(&w, STR("reports"));
	json_put_raw(&w, buf_str(&reports));
	json_put_object_end(&w);
	return buf_err(out);
}

/* --- life --- */

static enum err locks_init(struct audit *a)
{
	pthread_condattr_t attr;

	if (pthread_condattr_init(&attr) != 0)
		return ERR_NO_MEMORY;
	bool good = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(&a->wake, &attr) == 0;
	(void)pthread_condattr_destroy(&attr);
	if (good && pthread_mutex_init(&a->lock, NULL) == 0)
		return ERR_NONE;
	if (good)
		(void)pthread_cond_destroy(&a->wake);
	return ERR_NO_MEMORY;
}

enum err audit_new(const struct audit_options *o, struct audit **ret_audit, struct fault *reterr_fault)
{
	struct audit *a = calloc(1, sizeof(*a));
	const char *name = o->peers ? peers_self(o->peers)->name : o->region;

	if (!a)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for audits");
	enum err err = locks_init(a);
	if (err) {
		free(a);
		return fault_set(reterr_fault, err, "no memory for audits");
	}
	a->o = *o;
	(void)snprintf(a->region, sizeof(a->region), "%s", name ? name : "local");
	a->due_ns = o->interval_ms ? clock_mono_ns(o->clock) + o->interval_ms * NS_PER_MS : UINT64_MAX;
	err = audit_reports_open(o->dir, o->hash, &a->reports, reterr_fault);
	if (err) {
		audit_free(a);
		return err;
	}
	committer_set_marked(o->committer, on_marked, a);
	*ret_audit = a;
	return ERR_NONE;
}

enum err audit_start(struct audit *a)
{
	a->started = true;
	int errnum = pthread_create(&a->thread, NULL, thread_main, a);

	if (errnum != 0) {
		a->started = false;
		return err_from_errno(errnum);
	}
	(void)pthread_setname_np(a->thread, "audit");
	return ERR_NONE;
}

void audit_stop(struct audit *a)
{
	if (!a)
		return;
	(void)pthread_mutex_lock(&a->lock);
	a->stop = true;
	bool started = a->started;
	(void)pthread_cond_broadcast(&a->wake);
	(void)pthread_mutex_unlock(&a->lock);
	if (started)
		(void)pthread_join(a->thread, NULL);
	(void)pthread_mutex_lock(&a->lock);
	a->started = false;
	(void)pthread_mutex_unlock(&a->lock);
	committer_set_marked(a->o.committer, NULL, NULL);
}

void audit_free(struct audit *a)
{
	if (!a)
		return;
	audit_stop(a);
	for (unsigned i = 0; i < AUDIT_MARKS_KEPT; i++)
		marked_unref(a->marked[i]);
	marked_unref(a->copied);
	audit_reports_close(a->reports);
	(void)pthread_cond_destroy(&a->wake);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}
