/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that this program does not know are passed over, so that a newer daemon can be asked as well.
 */
#include "gateway/ctl_audit.h"

#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "gateway/ctl_text.h"

#define ARENA_BYTES_MAX (256u << 20)
#define REGIONS_TEXT 256

struct report {
	struct str time, verdict, trouble;
	uint64_t mark, epoch, seq, duration_ms;
	uint64_t differences, repaired, unrepaired, unsure;
	bool deep;
	uint32_t equal, different, late;
	char late_names[REGIONS_TEXT], different_names[REGIONS_TEXT];
};

static bool is(struct str key, const char *name)
{
	return key.len == strlen(name) && memcmp(key.data, name, key.len) == 0;
}

static void add_name(char out[REGIONS_TEXT], struct str name)
{
	size_t len = strlen(out);

	(void)snprintf(out + len, REGIONS_TEXT - len, "%s%.*s", len ? "," : "", STR_FMT(name));
}

static void read_region(struct json_reader *r, struct report *out)
{
	struct str name = { 0 }, standing = { 0 }, key;

	if (json_enter_object(r))
		while (json_next_key(r, &key)) {
			if (is(key, "name"))
				name = json_string(r);
			else if (is(key, "standing"))
				standing = json_string(r);
			else
				json_skip(r);
		}
	if (json_failed(r))
		return;
	out->equal += is(standing, "equal");
	if (is(standing, "different")) {
		out->different++;
		add_name(out->different_names, name);
	}
	if (is(standing, "late")) {
		out->late++;
		add_name(out->late_names, name);
	}
}

static void read_regions(struct json_reader *r, struct report *out)
{
	if (json_enter_array(r))
		while (json_next_element(r))
			read_region(r, out);
}

static void read_differences(struct json_reader *r, struct report *out)
{
	struct str key;

	if (json_enter_object(r))
		while (json_next_key(r, &key))
			out->differences += json_u64(r);
}

static void read_position(struct json_reader *r, struct report *out)
{
	uint64_t *parts[] = { &out->epoch, &out->seq };
	size_t count = 0;

	if (json_enter_array(r))
		while (json_next_element(r)) {
			uint64_t v = json_u64(r);
			if (count < LEN(parts))
				*parts[count++] = v;
		}
}

static void read_report(struct json_reader *r, struct report *out)
{
	struct str key;

	if (json_enter_object(r))
		while (json_next_key(r, &key)) {
			if (is(key, "time"))
				out->time = json_string(r);
			else if (is(key, "verdict"))
				out->verdict = json_string(r);
			else if (is(key, "trouble"))
				out->trouble = json_string(r);
			else if (is(key, "mark"))
				out->mark = json_u64(r);
			else if (is(key, "duration_ms"))
				out->duration_ms = json_u64(r);
			else if (is(key, "repaired"))
				out->repaired = json_u64(r);
			else if (is(key, "unrepaired"))
				out->unrepaired = json_u64(r);
			else if (is(key, "unsure"))
				out->unsure = json_u64(r);
			else if (is(key, "deep"))
				out->deep = json_bool(r);
			else if (is(key, "position"))
				read_position(r, out);
			else if (is(key, "regions"))
				read_regions(r, out);
			else if (is(key, "differences"))
				read_differences(r, out);
			else
				json_skip(r);
		}
}

struct listing {
	FILE *out;        /* NULL: nothing is shown, it is looked whether all can be read */
	bool there, equal;
	struct str region; /* whose reports they are */
	uint32_t count;
	uint64_t broken;
};

static void put_head(const struct listing *l, FILE *out)
{
	if (l->region.len > 0) {
		(void)fputs("audits are begun by the primary and kept there; these are of region ", out);
		ctl_text_put(out, l->region, 0);
		(void)fputc('\n', out);
	}
	(void)fprintf(out, "%-20s  %-13s  %-16s  %-5s  %-9s  %5s  %5s  %5s  %8s  %8s\n", "TIME", "MARK", "POSITION", "KIND",
		      "VERDICT", "EQUAL", "DIFF", "LATE", "REPAIRED", "WRONG");
}

static void put_report(const struct report *r, FILE *out)
{
	char position[48];

	(void)snprintf(position, sizeof(position), "%" PRIu64 ",%" PRIu64, r->epoch, r->seq);
	ctl_text_put(out, r->time, 20);
	(void)fprintf(out, "  %-13" PRIu64 "  %-16s  %-5s  ", r->mark, position, r->deep ? "deep" : "roots");
	ctl_text_put(out, r->verdict, 9);
	(void)fprintf(out, "  %5u  %5u  %5u  %8" PRIu64 "  %8" PRIu64, r->equal, r->different, r->late, r->repaired,
		      r->unrepaired);
	if (r->different_names[0]) {
		(void)fputs("  different: ", out);
		ctl_text_put(out, (struct str){ r->different_names, strlen(r->different_names) }, 0);
	}
	if (r->late_names[0]) {
		(void)fputs("  late: ", out);
		ctl_text_put(out, (struct str){ r->late_names, strlen(r->late_names) }, 0);
	}
	if (r->unsure > 0)
		(void)fprintf(out, "  not compared, as they were being written: %" PRIu64, r->unsure);
	if (r->trouble.len > 0) {
		(void)fputs("  ", out);
		ctl_text_put(out, r->trouble, 0);
	}
	(void)fputc('\n', out);
}

/* One after the other: there may be many. */
static void put_reports(struct json_reader *r, struct listing *l)
{
	l->there = true;
	if (json_enter_array(r))
		while (json_next_element(r)) {
			struct report report = { 0 };
			read_report(r, &report);
			if (json_failed(r))
				return;
			if (l->count++ == 0) {
				l->equal = is(report.verdict, "equal");
				if (l->out)
					put_head(l, l->out);
			}
			if (l->out)
				put_report(&report, l->out);
		}
}

static enum err read_all(struct str json, struct listing *l, struct fault *reterr_fault)
{
	struct arena arena;
	struct str key;

	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(json, &arena);
	if (json_peek(&r) == JSON_ARRAY) {
		put_reports(&r, l);
	} else if (json_enter_object(&r)) {
		while (json_next_key(&r, &key)) {
			if (is(key, "region"))
				l->region = json_string(&r);
			else if (is(key, "broken"))
				l->broken = json_u64(&r);
			else if (is(key, "reports"))
				put_reports(&r, l);
			else
				json_skip(&r);
		}
	}
	enum err err = json_end(&r, reterr_fault);
	if (!err && !l->there)
		err = fault_set(reterr_fault, ERR_BAD_REQUEST, "the answer has no reports of audits");
	arena_release(&arena);
	return err;
}

enum err ctl_audit_print(struct str json, FILE *out, bool *ret_equal, struct fault *reterr_fault)
{
	struct listing look = { .equal = true };
	struct listing l = { .out = out, .equal = true };
	enum err err = read_all(json, &look, reterr_fault);

	if (!err)
		err = read_all(json, &l, reterr_fault);
	if (err)
		return err;
	if (l.count == 0)
		(void)fputs("no audits yet; the primary makes them\n", out);
	if (l.broken > 0)
		(void)fprintf(out, "report %" PRIu64 " does not fit the one before it: reports were changed or taken out\n",
			      l.broken);
	*ret_equal = l.equal;
	return ERR_NONE;
}

enum err ctl_audit_run(struct ctl_http *http, bool deep, bool json, FILE *out, bool *ret_equal, struct fault *reterr_fault)
{
	const struct ctl_http_reply *reply;
	char words[FAULT_TEXT_MAX];
	enum err err = ctl_http_call(http, "POST", "/isthmus/audit", deep ? STR("{\"deep\":true}") : STR("{}"), &reply,
				     reterr_fault);

	if (err)
		return err;
	if (reply->status != 200) {
		ctl_http_error(reply, words);
		return fault_set(reterr_fault, ERR_BAD_GATEWAY, "audit: %.400s", words);
	}
	if (!json)
		return ctl_audit_print(buf_str(&reply->body), out, ret_equal, reterr_fault);
	*ret_equal = true;
	(void)fprintf(out, "%.*s\n", STR_FMT(buf_str(&reply->body)));
	return ERR_NONE;
}
