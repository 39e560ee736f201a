/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_drill_inner.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "gateway/ctl_text.h"

#define ARENA_BYTES_MAX (CTL_HTTP_BODY_BYTES_MAX)

static void put_ms(FILE *out, uint64_t ms)
{
	if (ms == DRILL_NEVER)
		(void)fprintf(out, " %10s", "-");
	else
		(void)fprintf(out, " %7" PRIu64 " ms", ms);
}

static void put_counts(FILE *out, const char *what, const struct drill_counts *c)
{
	(void)fprintf(out, "%-16s %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64, what, c->acknowledged, c->missed,
		      c->refused, c->unknown, c->missing);
	put_ms(out, c->gap_ms);
	put_ms(out, c->first_ms);
	(void)fputc('\n', out);
}

static void put_step(FILE *out, const char *what, uint64_t ms)
{
	(void)fprintf(out, "%-40s", what);
	put_ms(out, ms);
	(void)fputc('\n', out);
}

void ctl_drill_print_report(const struct drill_report *r, FILE *out)
{
	char name[32];

	(void)fprintf(out, "%s of %s: %s; primary %s, then %s; epochs %" PRIu64 " and %" PRIu64 "\n\n", drill_kind_word(r->kind),
		      r->target, r->failures.count == 0 ? "passed" : "failed", r->from, r->to[0] ? r->to : "nobody", r->epoch_before,
		      r->epoch_after);
	if (r->kind == DRILL_SWITCHOVER)
		put_step(out, "the primary admitted no writes for", r->pause_ms);
	else
		put_step(out, "the primary counted as lost after", r->detected_ms);
	put_step(out, "another one was there after", r->elected_ms);
	put_step(out, "all regions stood at one position after", r->level_ms);
	(void)fprintf(out, "\n%-16s %8s %8s %8s %8s %8s %10s %10s\n", "", "done", "missed", "refused", "unknown", "missing",
		      "gap", "first");
	for (unsigned l = 0; l < DRILL_LEVELS; l++) {
		(void)snprintf(name, sizeof(name), "%s writes", drill_level_word((enum drill_level)l));
		put_counts(out, name, &r->writes[l]);
	}
	if (r->has_inside)
		put_counts(out, "writes inside", &r->inside);
	put_counts(out, "reads", &r->reads);
	(void)fprintf(out, "\naudit: %s\n", r->audit[0] ? r->audit : "none");
	for (uint32_t i = 0; i < r->failures.count; i++)
		(void)fprintf(out, "failed: %s\n", r->failures.text[i]);
}

static void put_would(const struct ctl_drill *d, const struct drill_view *v, struct buf *out)
{
	if (d->kind == DRILL_SWITCHOVER)
		(void)buf_printf(out, "hand the primary's role of %s over to %s", v->primary, d->target);
	else
		(void)buf_printf(out, "%s %s for %" PRIu64 " s", d->kind == DRILL_FAILOVER ? "take out" : "cut off", d->target,
				 d->seconds);
	(void)buf_printf(out, ", under writes to the collection %s of its own", DRILL_COLLECTION);
}

static enum err put_dry_run_json(const struct ctl_drill *d, struct str would, const struct drill_reasons *r)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(DRILL_REPORT_BYTES_MAX);
	struct json_writer w = json_writer_to(&text);

	json_put_object(&w);
	json_put_key(&w, STR("kind"));
	json_put_cstr(&w, drill_kind_word(d->kind));
	json_put_key(&w, STR("target"));
	json_put_cstr(&w, d->target);
	json_put_key(&w, STR("would"));
	json_put_string(&w, would);
	json_put_key(&w, STR("refused"));
	json_put_array(&w);
	for (uint32_t i = 0; i < r->count; i++)
		json_put_cstr(&w, r->text[i]);
	json_put_array_end(&w);
	json_put_object_end(&w);
	if (!buf_err(&text))
		(void)fprintf(d->out, "%.*s\n", STR_FMT(buf_str(&text)));
	return buf_err(&text);
}

enum err ctl_drill_print_dry_run(const struct ctl_drill *d, const struct drill_view *v, const struct drill_reasons *r,
				 struct fault *f)
{
	CLEANUP(buf_release) struct buf would = BUF_INIT(1024);

	put_would(d, v, &would);
	if (buf_err(&would))
		return fault_set(f, buf_err(&would), "the name of the target is too long");
	if (d->json)
		return put_dry_run_json(d, buf_str(&would), r);
	(void)fprintf(d->out, "would %s\n", (const char *)(buf_append_byte(&would, '\0') ? (const uint8_t *)"" : would.data));
	for (uint32_t i = 0; i < r->count; i++)
		(void)fprintf(d->out, "but is refused: %s\n", r->text[i]);
	return ERR_NONE;
}

/* --- the history --- */

static void put_text(FILE *out, struct str report, const char *key, size_t columns, struct arena *a)
{
	struct str raw = ctl_drill_find(report, key, a);

	/* Words and names, without their quotes. */
	ctl_text_put(out, raw.len > 2 && raw.data[0] == '"' ? (struct str){ raw.data + 1, raw.len - 2 } : STR("-"), columns);
	(void)fputc(' ', out);
}

static void put_time(FILE *out, uint64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	char text[32];

	if (!gmtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		text[0] = '\0';
	(void)fprintf(out, "%-20s ", text);
}

static void put_report(FILE *out, struct str report, struct arena *a)
{
	struct str gap = ctl_drill_find(report, "interruption_ms", a);

	put_time(out, ctl_drill_number(report, "time_ms"));
	put_text(out, report, "kind", 10, a);
	put_text(out, report, "target", 12, a);
	put_text(out, report, "verdict", 7, a);
	put_text(out, report, "from", 12, a);
	put_text(out, report, "to", 12, a);
	put_ms(out, gap.data && gap.data[0] != 'n' ? ctl_drill_number(report, "interruption_ms") : DRILL_NEVER);
	(void)fputc('\n', out);
}

enum err ctl_drill_history(struct ctl_http *http, uint64_t limit, bool json, FILE *out, struct fault *reterr_fault)
{
	CLEANUP(arena_release) struct arena a;
	struct str reply;
	char path[64];

	(void)snprintf(path, sizeof(path), "/isthmus/drill?limit=%u", (unsigned)MIN(limit ? limit : 20, UINT64_C(100)));
	arena_init(&a, ARENA_BYTES_MAX);
	enum err err = ctl_drill_call(http, "GET", path, (struct str){ 0 }, &reply, reterr_fault);
	if (err)
		return err;
	if (json) {
		(void)fprintf(out, "%.*s\n", STR_FMT(reply));
		return ERR_NONE;
	}
	struct json_reader r = json_reader_of(reply, &a);
	(void)fprintf(out, "%-20s %-10s %-12s %-7s %-12s %-12s %10s\n", "TIME", "KIND", "TARGET", "VERDICT", "FROM", "TO", "GAP");
	if (json_enter_array(&r))
		while (json_next_element(&r)) {
			struct str report = json_raw(&r);

			if (!json_failed(&r))
				put_report(out, report, &a);
		}
	return json_end(&r, reterr_fault);
}
