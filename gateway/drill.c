/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/drill.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_words[DRILL_KINDS] = {
	[DRILL_SWITCHOVER] = "switchover", [DRILL_FAILOVER] = "failover", [DRILL_PARTITION] = "partition"
};
static const char *const level_words[DRILL_LEVELS] = {
	[DRILL_WEAK] = "weak", [DRILL_MEDIUM] = "medium", [DRILL_STRONG] = "strong"
};

static bool is(struct str s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

const char *drill_kind_word(enum drill_kind k)
{
	return kind_words[k];
}

bool drill_kind_parse(struct str word, enum drill_kind *ret_kind)
{
	for (unsigned k = 0; k < DRILL_KINDS; k++)
		if (is(word, kind_words[k])) {
			*ret_kind = (enum drill_kind)k;
			return true;
		}
	return false;
}

const char *drill_level_word(enum drill_level l)
{
	return level_words[l];
}

/* Beyond the bound the last says no more than those before it. */
void drill_reasons_add(struct drill_reasons *r, const char *fmt, ...)
{
	va_list args;

	if (r->count == DRILL_REASONS_MAX)
		return;
	va_start(args, fmt);
	(void)vsnprintf(r->text[r->count++], sizeof(r->text[0]), fmt, args);
	va_end(args);
}

/* --- before --- */

static const struct drill_region *find(const struct drill_view *v, const char *name)
{
	for (uint32_t i = 0; i < v->region_count; i++)
		if (strcmp(v->regions[i].name, name) == 0)
			return &v->regions[i];
	return NULL;
}

static void check_target(const struct drill_view *v, enum drill_kind kind, const char *target, struct drill_reasons *r)
{
	const struct drill_region *t = find(v, target);

	if (!t || !t->data)
		drill_reasons_add(r, "'%s' is no data region of this fleet", target);
	else if (kind == DRILL_SWITCHOVER && strcmp(target, v->primary) == 0)
		drill_reasons_add(r, "region %s is the primary already; name another one", target);
	else if (kind != DRILL_SWITCHOVER && strcmp(target, v->primary) != 0)
		drill_reasons_add(r, "region %s is not the primary, so that nobody would take over; name %s", target,
				  v->primary[0] ? v->primary : "the primary once there is one");
	else if (kind != DRILL_SWITCHOVER && strcmp(target, v->asked) == 0)
		drill_reasons_add(r, "region %s would be taken out while it is asked how that goes; ask another one", target);
}

static void check_regions(const struct drill_view *v, struct drill_reasons *r)
{
	for (uint32_t i = 0; i < v->region_count; i++) {
		const struct drill_region *g = &v->regions[i];

		if (!g->data)
			continue;
		if (!g->answers)
			drill_reasons_add(r, "region %s does not answer", g->name);
		else if (!g->ready)
			drill_reasons_add(r, "region %s is not ready; `isthmusctl status` there says why", g->name);
		else if (g->lag_seconds < 0 || g->lag_seconds > DRILL_LAG_SECONDS_MAX)
			drill_reasons_add(r, "region %s lags behind by more than %.0f s", g->name, DRILL_LAG_SECONDS_MAX);
	}
}

/* One is taken out: then a majority must still be there, so M + 1 at the beginning. */
static void check_voters(const struct drill_view *v, struct drill_reasons *r)
{
	uint32_t voters = 0, healthy = 0;

	for (uint32_t i = 0; i < v->region_count; i++) {
		const struct drill_region *g = &v->regions[i];

		voters += g->data || g->witness;
		healthy += (g->data && g->answers && g->ready) || (g->witness && g->answers);
	}
	uint32_t majority = voters / 2 + 1;
	if (!v->elects)
		drill_reasons_add(r, "failover.mode is off: no other region would take over");
	if (healthy < majority + 1)
		drill_reasons_add(r, "%" PRIu32 " of %" PRIu32 " voters are healthy, and %" PRIu32
				     " are needed so that one can be taken out", healthy, voters, majority + 1);
}

void drill_check(const struct drill_view *v, enum drill_kind kind, const char *target, struct drill_reasons *ret_reasons)
{
	*ret_reasons = (struct drill_reasons){ 0 };
	if (!v->primary[0])
		drill_reasons_add(ret_reasons, "nobody is the primary");
	check_target(v, kind, target, ret_reasons);
	if (v->handing_over)
		drill_reasons_add(ret_reasons, "a switchover is under way");
	if (v->under_way)
		drill_reasons_add(ret_reasons, "the collection " DRILL_COLLECTION " is there: another drill is under way, or one was "
					       "stopped; then delete it");
	check_regions(v, ret_reasons);
	if (kind != DRILL_SWITCHOVER)
		check_voters(v, ret_reasons);
	if (strcmp(v->audit, "equal") != 0)
		drill_reasons_add(ret_reasons, "%s%s; make one with `isthmusctl audit run`",
				  v->audit[0] ? "the newest audit says " : "there was no audit yet", v->audit);
}

/* --- after --- */

static void judge_levels(struct drill_report *r)
{
	bool planned = r->kind == DRILL_SWITCHOVER;

	for (unsigned l = 0; l < DRILL_LEVELS; l++) {
		const struct drill_counts *c = &r->writes[l];

		if (c->missing > 0 && (planned || l == DRILL_STRONG))
			drill_reasons_add(&r->failures, "%" PRIu64 " writes that were acknowledged as %s are missing", c->missing,
					  level_words[l]);
		if (planned && c->refused + c->unknown > 0)
			drill_reasons_add(&r->failures, "%" PRIu64 " %s writes were refused, of %" PRIu64 " nobody knows whether they were done",
					  c->refused, level_words[l], c->unknown);
		if (c->acknowledged == 0)
			drill_reasons_add(&r->failures, "no %s write was acknowledged at all", level_words[l]);
	}
}

void drill_judge(struct drill_report *r)
{
	if (r->elected_ms == DRILL_NEVER)
		drill_reasons_add(&r->failures, "no other region became the primary");
	else if (r->kind == DRILL_SWITCHOVER && strcmp(r->to, r->target) != 0)
		drill_reasons_add(&r->failures, "%s became the primary in place of %s", r->to, r->target);
	judge_levels(r);
	if (r->writes[DRILL_WEAK].first_ms == DRILL_NEVER)
		drill_reasons_add(&r->failures, "no write was acknowledged afterwards");
	if (r->reads.first_ms == DRILL_NEVER)
		drill_reasons_add(&r->failures, "no read was answered afterwards");
	if (r->level_ms == DRILL_NEVER)
		drill_reasons_add(&r->failures, "not all data regions came to one position in time");
	if (strcmp(r->audit, "equal") != 0)
		drill_reasons_add(&r->failures, "the audit at the end %s%s", r->audit[0] ? "says " : "could not be made", r->audit);
}

static void put_key(struct json_writer *w, const char *key)
{
	json_put_key(w, (struct str){ key, strlen(key) });
}

static void put_text(struct json_writer *w, const char *key, const char *text)
{
	put_key(w, key);
	json_put_cstr(w, text);
}

static void put_u64(struct json_writer *w, const char *key, uint64_t v)
{
	put_key(w, key);
	json_put_u64(w, v);
}

static void put_ms(struct json_writer *w, const char *key, uint64_t ms)
{
	put_key(w, key);
	if (ms == DRILL_NEVER)
		json_put_null(w);
	else
		json_put_u64(w, ms);
}

static void put_counts(struct json_writer *w, const char *key, const struct drill_counts *c, bool writes)
{
	put_key(w, key);
	json_put_object(w);
	put_u64(w, "acknowledged", c->acknowledged);
	if (writes)
		put_u64(w, "missed", c->missed);
	put_u64(w, "refused", c->refused);
	put_u64(w, "unknown", c->unknown);
	if (writes)
		put_u64(w, "missing", c->missing);
	put_ms(w, "gap_ms", c->gap_ms);
	put_ms(w, "first_ms", c->first_ms);
	json_put_object_end(w);
}

static void put_all_counts(struct json_writer *w, const struct drill_report *r)
{
	put_key(w, "writes");
	json_put_object(w);
	for (unsigned l = 0; l < DRILL_LEVELS; l++)
		put_counts(w, level_words[l], &r->writes[l], /* writes: */ true);
	if (r->has_inside)
		put_counts(w, "inside", &r->inside, /* writes: */ true);
	json_put_object_end(w);
	put_counts(w, "reads", &r->reads, /* writes: */ false);
}

enum err drill_report_write(const struct drill_report *r, struct buf *out)
{
	struct json_writer w = json_writer_to(out);

	json_put_object(&w);
	put_text(&w, "kind", kind_words[r->kind]);
	put_text(&w, "verdict", r->failures.count == 0 ? "passed" : "failed");
	put_u64(&w, "time_ms", r->wall_ms);
	put_text(&w, "target", r->target);
	put_text(&w, "asked", r->asked);
	put_text(&w, "from", r->from);
	put_text(&w, "to", r->to);
	put_u64(&w, "epoch_before", r->epoch_before);
	put_u64(&w, "epoch_after", r->epoch_after);
	put_u64(&w, "silence_ms", r->silence_ms);
	put_ms(&w, "detected_ms", r->detected_ms);
	put_ms(&w, "elected_ms", r->elected_ms);
	put_u64(&w, "pause_ms", r->pause_ms);
	put_ms(&w, "interruption_ms", r->writes[DRILL_WEAK].gap_ms);
	put_ms(&w, "level_ms", r->level_ms);
	put_all_counts(&w, r);
	put_text(&w, "audit", r->audit);
	put_key(&w, "failures");
	json_put_array(&w);
	for (uint32_t i = 0; i < r->failures.count; i++)
		json_put_cstr(&w, r->failures.text[i]);
	json_put_array_end(&w);
	json_put_object_end(&w);
	return buf_err(out);
}

enum err drill_summary_read(struct str json, struct arena *a, struct drill_summary *ret_summary, struct fault *reterr_fault)
{
	struct json_reader r = json_reader_of(json, a);
	struct drill_summary s = { 0 };
	bool has_kind = false, has_verdict = false;
	struct str key;

	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (is(key, "kind")) {
				has_kind = drill_kind_parse(json_string(&r), &s.kind);
			} else if (is(key, "verdict")) {
				struct str verdict = json_string(&r);

				s.passed = is(verdict, "passed");
				has_verdict = s.passed || is(verdict, "failed");
			} else if (is(key, "time_ms")) {
				s.wall_ms = json_u64(&r);
			} else if (is(key, "interruption_ms") && json_peek(&r) == JSON_NUMBER) {
				s.interrupted = true;
				s.interruption_seconds = (double)json_u64(&r) / 1000;
			} else {
				json_skip(&r);
			}
		}
	enum err err = json_end(&r, reterr_fault);
	if (err)
		return err;
	if (!has_kind || !has_verdict || s.wall_ms == 0)
		return fault_set(reterr_fault, ERR_BAD_REQUEST, "a report has kind, verdict and time_ms");
	*ret_summary = s;
	return ERR_NONE;
}
