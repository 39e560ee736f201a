/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_drill_inner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 10
#define WARM_WRITES 10
#define WARM_MS_MAX 20000
#define AFTER_WRITES 20
#define AFTER_MS_MAX 15000
/* Beyond the time that the target takes no part. */
#define ELECTED_MS_MAX 30000
#define BACK_MS_MAX 60000
#define LEVEL_MS_MAX 60000
#define LISTED_MS_MAX 15000

struct course {
	const struct ctl_drill *drill;
	struct clock *clock;
	struct drill_view view;
	struct drill_load load;
	struct drill_report report;
	uint64_t order_ns;
};

static uint64_t since_ms(const struct course *c, uint64_t from_ns)
{
	return (clock_mono_ns(c->clock) - from_ns) / NS_PER_MS;
}

/* Between two looks at the world outside. */
static void pause_look(void)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };

	(void)nanosleep(&pause, NULL);
}

static void note(struct course *c, const char *what, const struct fault *f)
{
	drill_reasons_add(&c->report.failures, "%s: %.200s", what, fault_text(f));
}

static enum err put_target(struct buf *body, const char *key, const char *value, uint64_t ms)
{
	struct json_writer w = json_writer_to(body);

	json_put_object(&w);
	json_put_key(&w, (struct str){ key, strlen(key) });
	json_put_cstr(&w, value);
	if (ms > 0) {
		json_put_key(&w, STR("ms"));
		json_put_u64(&w, ms);
	}
	json_put_object_end(&w);
	return buf_err(body);
}

/* --- the order --- */

static enum err order_switchover(struct course *c, struct fault *f)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(1024);
	struct str reply;
	enum err err = put_target(&body, "to", c->drill->target, 0);

	if (!err)
		err = ctl_drill_call(c->drill->http, "POST", "/isthmus/switchover", buf_str(&body), &reply, f);
	if (!err)
		c->report.pause_ms = ctl_drill_number(reply, "pause_ms");
	return err;
}

static enum err order_silence(struct course *c, struct fault *f)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(1024);
	struct ctl_http *http = c->drill->http;
	struct str reply;
	const char *kind = c->drill->kind == DRILL_FAILOVER ? "out" : "cut";
	enum err err = put_target(&body, "kind", kind, c->report.silence_ms);

	if (!err)
		err = ctl_http_at(http, c->drill->target, f);
	if (!err)
		err = ctl_drill_call(http, "POST", "/isthmus/drill/silence", buf_str(&body), &reply, f);
	enum err back = ctl_http_at(http, "", NULL);
	return err ? err : back;
}

/* Until another region is the primary, as the region that is asked sees it. */
static void watch(struct course *c)
{
	struct drill_report *r = &c->report;
	struct drill_primary p;

	while (r->elected_ms == DRILL_NEVER && since_ms(c, c->order_ns) < r->silence_ms + ELECTED_MS_MAX) {
		if (!ctl_drill_look_primary(c->drill->http, &p, NULL) && strcmp(p.name, r->from) != 0) {
			if (r->detected_ms == DRILL_NEVER)
				r->detected_ms = since_ms(c, c->order_ns);
			if (p.name[0]) {
				r->elected_ms = since_ms(c, c->order_ns);
				r->epoch_after = p.epoch;
				memcpy(r->to, p.name, sizeof(r->to));
			}
		}
		if (r->elected_ms == DRILL_NEVER)
			pause_look();
	}
}

/* So many more of weak writes, or as long as that may take. */
static bool wait_writes(struct course *c, uint64_t count, uint64_t ms_max)
{
	uint64_t have = atomic_load(&c->load.clients[DRILL_WEAK].done);
	uint64_t from_ns = clock_mono_ns(c->clock);

	while (atomic_load(&c->load.clients[DRILL_WEAK].done) < have + count) {
		if (since_ms(c, from_ns) > ms_max)
			return false;
		pause_look();
	}
	return true;
}

/* Its own word that it is ready again: asked through the others, so that it is back for them, too. */
static bool is_back(struct course *c)
{
	CLEANUP(arena_release) struct arena a;
	struct str reply;

	arena_init(&a, CTL_HTTP_BODY_BYTES_MAX);
	if (ctl_http_at(c->drill->http, c->drill->target, NULL) ||
	    ctl_drill_call(c->drill->http, "GET", "/isthmus/status", (struct str){ 0 }, &reply, NULL))
		return false;
	struct str ready = ctl_drill_find(reply, "ready", &a);
	return ready.len == 4 && memcmp(ready.data, "true", 4) == 0;
}

static void wait_back(struct course *c)
{
	bool back = false;

	while (!back && since_ms(c, c->order_ns) < c->report.silence_ms + BACK_MS_MAX) {
		back = is_back(c);
		if (!back)
			pause_look();
	}
	if (!back)
		drill_reasons_add(&c->report.failures, "region %s did not come back", c->drill->target);
	if (ctl_http_at(c->drill->http, "", NULL))
		drill_reasons_add(&c->report.failures, "the region that is asked cannot be asked any more");
}

static void wait_level(struct course *c)
{
	uint64_t from_ns = clock_mono_ns(c->clock);
	struct drill_primary p;

	while (c->report.level_ms == DRILL_NEVER && since_ms(c, from_ns) < LEVEL_MS_MAX) {
		if (!ctl_drill_look_primary(c->drill->http, &p, NULL) && p.level)
			c->report.level_ms = since_ms(c, from_ns);
		else
			pause_look();
	}
}

/* --- the course --- */

static enum err make_collection(struct course *c, struct fault *f)
{
	struct str reply;

	return ctl_drill_call(c->drill->http, "PUT", "/collections/" DRILL_COLLECTION,
			      STR("{\"vectors\":{\"size\":1,\"distance\":\"Dot\"}}"), &reply, f);
}

static void drop_collection(struct course *c)
{
	struct fault f = { 0 };
	struct str reply;

	if (ctl_drill_call(c->drill->http, "DELETE", "/collections/" DRILL_COLLECTION, (struct str){ 0 }, &reply, &f))
		note(c, "the collection " DRILL_COLLECTION " was not deleted; delete it", &f);
}

/* Has the region that was away got listed what it took back? */
static bool all_listed(struct course *c)
{
	CLEANUP(arena_release) struct arena a;
	struct str reply;

	arena_init(&a, CTL_HTTP_BODY_BYTES_MAX);
	if (ctl_drill_call(c->drill->http, "GET", "/isthmus/orphans?state=local&limit=1", (struct str){ 0 }, &reply, NULL))
		return false;
	struct str rows = ctl_drill_find(reply, "orphans", &a);
	return rows.len == 2;
}

static void wait_listed(struct course *c)
{
	uint64_t from_ns = clock_mono_ns(c->clock);

	if (ctl_http_at(c->drill->http, c->drill->target, NULL))
		return;
	while (!all_listed(c) && since_ms(c, from_ns) < LISTED_MS_MAX)
		pause_look();
	if (ctl_http_at(c->drill->http, "", NULL))
		drill_reasons_add(&c->report.failures, "the region that is asked cannot be asked any more");
}

/* Of the drill's own collection: nobody is to decide about these. Those that are listed later stay. */
static void drop_orphans(struct course *c)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(1u << 20);
	CLEANUP(arena_release) struct arena a;
	struct json_writer w = json_writer_to(&body);
	static const char name[] = "\"" DRILL_COLLECTION "\"";
	struct str reply;
	uint32_t count = 0;

	arena_init(&a, CTL_HTTP_BODY_BYTES_MAX);
	if (ctl_drill_call(c->drill->http, "GET", "/isthmus/orphans?limit=10000", (struct str){ 0 }, &reply, NULL))
		return;
	struct str rows = ctl_drill_find(reply, "orphans", &a);
	struct json_reader r = json_reader_of(rows.data ? rows : STR("null"), &a);
	json_put_object(&w);
	json_put_key(&w, STR("ids"));
	json_put_array(&w);
	if (json_peek(&r) == JSON_ARRAY && json_enter_array(&r))
		while (json_next_element(&r)) {
			struct str row = json_raw(&r);
			struct str of = json_failed(&r) ? (struct str){ 0 } : ctl_drill_find(row, "collection", &a);

			if (of.len != strlen(name) || memcmp(of.data, name, of.len) != 0)
				continue;
			json_put_raw(&w, ctl_drill_find(row, "id", &a));
			count++;
		}
	json_put_array_end(&w);
	json_put_object_end(&w);
	if (count == 0 || buf_err(&body))
		return;
	struct fault f = { 0 };
	if (ctl_drill_call(c->drill->http, "POST", "/isthmus/orphans/drop", buf_str(&body), &reply, &f))
		note(c, "orphans of the drill were not dropped; `isthmusctl orphans` lists them", &f);
}

static void audit_run(struct course *c)
{
	CLEANUP(arena_release) struct arena a;
	struct str reply;
	struct fault f = { 0 };

	arena_init(&a, CTL_HTTP_BODY_BYTES_MAX);
	if (ctl_drill_call(c->drill->http, "POST", "/isthmus/audit", STR("{}"), &reply, &f)) {
		note(c, "the audit", &f);
		return;
	}
	struct json_reader r = json_reader_of(reply, &a);
	if (json_peek(&r) == JSON_ARRAY && json_enter_array(&r) && json_next_element(&r)) {
		struct str verdict = ctl_drill_find(json_raw(&r), "verdict", &a);
		/* Without its quotes; it is one word. */
		if (verdict.len > 2)
			(void)snprintf(c->report.audit, sizeof(c->report.audit), "%.*s", (int)verdict.len - 2, verdict.data + 1);
	}
}

/* With the writes under way. */
static void practise(struct course *c)
{
	bool silence = c->drill->kind != DRILL_SWITCHOVER;
	struct fault f = { 0 };

	if (!wait_writes(c, WARM_WRITES, WARM_MS_MAX)) {
		drill_reasons_add(&c->report.failures, "writes were not acknowledged before anything was done");
		return;
	}
	c->order_ns = clock_mono_ns(c->clock);
	atomic_store(&c->load.order_ns, c->order_ns);
	enum err err = silence ? order_silence(c, &f) : order_switchover(c, &f);
	if (err) {
		note(c, "the order", &f);
		return;
	}
	watch(c);
	(void)wait_writes(c, AFTER_WRITES, AFTER_MS_MAX);
	if (silence)
		wait_back(c);
}

static void take_counts(struct course *c)
{
	struct drill_report *r = &c->report;

	for (unsigned l = 0; l < DRILL_LEVELS; l++)
		r->writes[l] = c->load.clients[l].counts;
	r->reads = c->load.clients[CLIENT_READER].counts;
	r->has_inside = c->load.clients[CLIENT_INSIDE].ids != NULL;
	r->inside = c->load.clients[CLIENT_INSIDE].counts;
}

/* Of a partition: clients of the region that is cut off go on there, where they can be had. */
static enum err start_load(struct course *c, struct fault *f)
{
	char url[CTL_DRILL_URL_BYTES] = "";
	enum err err = ERR_NONE;

	if (c->drill->kind == DRILL_PARTITION)
		err = ctl_drill_look_url(c->drill->http, c->drill->target, url, f);
	return err ? err : ctl_drill_load_start(&c->load, c->drill->http, url[0] ? url : NULL, f);
}

static void run_course(struct course *c)
{
	struct fault f = { 0 };

	if (start_load(c, &f)) {
		note(c, "the writes", &f);
		return;
	}
	practise(c);
	ctl_drill_load_stop(&c->load);
	wait_level(c);
	if (ctl_drill_load_count(&c->load, c->drill->http, &c->view, &f))
		note(c, "what is missing could not be counted", &f);
	take_counts(c);
	ctl_drill_load_free(&c->load);
	audit_run(c);
	wait_listed(c);
	drop_orphans(c);
	drill_judge(&c->report);
}

static void begin_report(struct course *c)
{
	const struct ctl_drill *d = c->drill;
	struct drill_report *r = &c->report;

	*r = (struct drill_report){
		.kind = d->kind,
		.wall_ms = clock_wall_ms(c->clock),
		.epoch_before = c->view.epoch,
		.silence_ms = d->kind == DRILL_SWITCHOVER ? 0 : d->seconds * 1000,
		.detected_ms = DRILL_NEVER,
		.elected_ms = DRILL_NEVER,
		.level_ms = DRILL_NEVER,
	};
	memcpy(r->asked, c->view.asked, sizeof(r->asked));
	memcpy(r->from, c->view.primary, sizeof(r->from));
	(void)snprintf(r->target, sizeof(r->target), "%s", d->target);
}

static enum err tell_report(struct course *c, struct fault *f)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(DRILL_REPORT_BYTES_MAX);
	enum err err = drill_report_write(&c->report, &text);
	struct str reply;

	if (err)
		return fault_set(f, err, "the report: %s", err_sentence(err));
	if (c->drill->json)
		(void)fprintf(c->drill->out, "%.*s\n", STR_FMT(buf_str(&text)));
	else
		ctl_drill_print_report(&c->report, c->drill->out);
	return ctl_drill_call(c->drill->http, "POST", "/isthmus/drill", buf_str(&text), &reply, f);
}

static enum err refuse(const struct drill_reasons *r, struct fault *f)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(DRILL_REASONS_MAX * sizeof(r->text[0]));

	for (uint32_t i = 0; i < r->count; i++)
		(void)buf_printf(&words, "%s%s", i ? "; " : "", r->text[i]);
	return fault_set(f, ERR_BAD_INPUT, "refused, nothing was done: %.*s", STR_FMT(buf_str(&words)));
}

static enum err run(struct course *c, bool *ret_good, struct fault *f)
{
	struct drill_reasons reasons;
	enum err err = ctl_drill_look(c->drill->http, &c->view, f);

	if (err)
		return err;
	drill_check(&c->view, c->drill->kind, c->drill->target, &reasons);
	*ret_good = reasons.count == 0;
	if (c->drill->dry_run)
		return ctl_drill_print_dry_run(c->drill, &c->view, &reasons, f);
	if (reasons.count > 0)
		return refuse(&reasons, f);
	begin_report(c);
	/* Who makes it has the drill: there is one of that name in the fleet. */
	err = make_collection(c, f);
	if (err)
		return err;
	run_course(c);
	drop_collection(c);
	*ret_good = c->report.failures.count == 0;
	return tell_report(c, f);
}

enum err ctl_drill_run(const struct ctl_drill *d, bool *ret_good, struct fault *reterr_fault)
{
	struct course *c = calloc(1, sizeof(*c));

	*ret_good = false;
	if (!c)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
	c->drill = d;
	c->clock = clock_system();
	enum err err = run(c, ret_good, reterr_fault);
	free(c);
	return err;
}
