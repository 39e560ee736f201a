/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both commands have one way to ask, which gives the JSON of GET /isthmus/route, whoever answers.
 */
#include "gateway/ctl_route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "gateway/config.h"
#include "gateway/ctl_text.h"
#include "gateway/forwarded.h"
#include "gateway/router.h"

#define ANSWER_BYTES_MAX ((size_t)64 << 10)
#define ARENA_BYTES_MAX ((size_t)4 << 20)
#define NAMES_MAX (REGIONS_MAX + 1)
#define NAME_BYTES 64

/* --- who is asked --- */

struct asked {
	const struct ctl_route_options *o;
	struct config *config;             /* without a daemon */
	struct regions regions;
	struct router_policy *policy;
	struct buf answer;
};

static enum err open_config(struct asked *a, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf errors = BUF_INIT(CONFIG_ERROR_BYTES_MAX);
	enum err err = config_load(a->o->config, &a->config, &errors);

	if (err) {
		/* The first line says enough; `config check` tells them all. */
		struct str text = buf_str(&errors);
		const char *end = text.len > 0 ? memchr(text.data, '\n', text.len) : NULL;
		text.len = end ? (size_t)(end - text.data) : text.len;
		return fault_set(reterr_fault, ERR_CONFIG, "%.*s", STR_FMT(text));
	}
	regions_init(&a->regions, a->config);
	return router_policy_new(a->config, &a->regions, true, &a->policy, reterr_fault);
}

static enum err open_asked(struct asked *a, const struct ctl_route_options *o, struct fault *reterr_fault)
{
	*a = (struct asked){ .o = o, .answer = BUF_INIT(ANSWER_BYTES_MAX) };
	return o->http ? ERR_NONE : open_config(a, reterr_fault);
}

static void close_asked(struct asked *a)
{
	router_policy_free(a->policy);
	config_free(a->config);
	buf_release(&a->answer);
}

static enum err ask_daemon(struct asked *a, const struct sockaddr *address, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf target = BUF_INIT(4096);
	const struct ctl_http_reply *reply;
	char ip[FORWARDED_ADDRESS_TEXT], words[FAULT_TEXT_MAX];

	forwarded_write_address(address, ip);
	buf_printf(&target, "/isthmus/route?ip=%s", ip);
	if (a->o->collection) {
		buf_append_cstr(&target, "&collection=");
		ctl_http_put_segment(&target, (struct str){ a->o->collection, strlen(a->o->collection) });
	}
	if (buf_append_byte(&target, '\0'))
		return fault_set(reterr_fault, ERR_BAD_INPUT, "the collection's name is too long");
	enum err err = ctl_http_call(a->o->http, "GET", (const char *)target.data, (struct str){ 0 }, &reply, reterr_fault);
	if (err)
		return err;
	if (reply->status != 200) {
		ctl_http_error(reply, words);
		return fault_set(reterr_fault, ERR_BAD_GATEWAY, "/isthmus/route: %.400s", words);
	}
	return buf_append_str(&a->answer, buf_str(&reply->body));
}

static enum err ask(struct asked *a, const struct sockaddr_storage *address, struct fault *reterr_fault)
{
	const struct sockaddr *client = (const struct sockaddr *)address;
	struct router_answer answer;
	struct router_query q = {
		.operation = ROUTE_READ,
		.client = client,
		.collection = { a->o->collection, a->o->collection ? strlen(a->o->collection) : 0 },
	};

	buf_reset(&a->answer);
	if (a->o->http)
		return ask_daemon(a, client, reterr_fault);
	router_simulate(a->policy, &a->regions, &q, &answer);
	router_write_answer(&answer, client, &a->answer);
	return buf_err(&a->answer);
}

/* --- what was answered --- */

#define REASONS_MAX 16

struct told {
	struct str ip, country, source, decision, region;
	double lat, lon;
	bool placed;
	struct str reasons[REASONS_MAX];
	uint32_t reason_count;
};

static bool is(struct str key, const char *name)
{
	return key.len == strlen(name) && memcmp(key.data, name, key.len) == 0;
}

static struct str text_or_null(struct json_reader *r)
{
	if (json_peek(r) != JSON_NULL)
		return json_string(r);
	json_null(r);
	return (struct str){ 0 };
}

static double number_or_null(struct json_reader *r, bool *ret_known)
{
	*ret_known = json_peek(r) != JSON_NULL;
	if (*ret_known)
		return json_f64(r);
	json_null(r);
	return 0;
}

static void read_client(struct json_reader *r, struct told *t)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "ip"))
			t->ip = text_or_null(r);
		else if (is(key, "country"))
			t->country = text_or_null(r);
		else if (is(key, "source"))
			t->source = text_or_null(r);
		else if (is(key, "lat"))
			t->lat = number_or_null(r, &t->placed);
		else if (is(key, "lon"))
			t->lon = number_or_null(r, &t->placed);
		else
			json_skip(r);
	}
}

static void read_reasons(struct json_reader *r, struct told *t)
{
	if (!json_enter_array(r))
		return;
	while (json_next_element(r)) {
		struct str reason = json_string(r);
		if (t->reason_count < REASONS_MAX)
			t->reasons[t->reason_count++] = reason;
	}
}

struct row {
	struct str region, health, why;
	double km, score, bias, rtt_ms, lag_s;
	bool has_km, has_score, has_bias, has_rtt, has_lag, allowed;
};

static void read_row(struct json_reader *r, struct row *row)
{
	struct str key;

	*row = (struct row){ 0 };
	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "region"))
			row->region = text_or_null(r);
		else if (is(key, "why"))
			row->why = text_or_null(r);
		else if (is(key, "km"))
			row->km = number_or_null(r, &row->has_km);
		else if (is(key, "score"))
			row->score = number_or_null(r, &row->has_score);
		else if (is(key, "bias"))
			row->bias = number_or_null(r, &row->has_bias);
		else if (is(key, "rtt_ms"))
			row->rtt_ms = number_or_null(r, &row->has_rtt);
		else if (is(key, "lag_s"))
			row->lag_s = number_or_null(r, &row->has_lag);
		else if (is(key, "allowed"))
			row->allowed = json_bool(r);
		else
			json_skip(r);
	}
}

static void print_number(FILE *out, double v, bool known, int decimals)
{
	if (known)
		(void)fprintf(out, "%9.*f ", decimals, v);
	else
		(void)fprintf(out, "%9s ", "-");
}

static void print_row(const struct row *row, FILE *out)
{
	ctl_text_put(out, row->region, 12);
	(void)fputc(' ', out);
	print_number(out, row->km, row->has_km, 0);
	print_number(out, row->bias, row->has_bias, 2);
	print_number(out, row->rtt_ms, row->has_rtt, 1);
	print_number(out, row->lag_s, row->has_lag, 1);
	print_number(out, row->score, row->has_score, 1);
	ctl_text_put(out, row->allowed ? STR("yes") : row->why, 0);
	(void)fputc('\n', out);
}

/* rows: NULL: they are passed over. */
static void read_candidates(struct json_reader *r, FILE *rows)
{
	struct row row;

	if (!json_enter_array(r))
		return;
	if (rows)
		(void)fprintf(rows, "\n%-12s %9s %9s %9s %9s %9s %s\n", "REGION", "KM", "BIAS", "RTT MS", "LAG S", "SCORE",
			      "ALLOWED");
	while (json_next_element(r)) {
		read_row(r, &row);
		if (rows && !json_failed(r))
			print_row(&row, rows);
	}
}

static void print_told(const struct told *t, FILE *out)
{
	(void)fputs("client    ", out);
	ctl_text_put(out, t->ip, 0);
	(void)fputs(", country ", out);
	ctl_text_put(out, t->country.data ? t->country : STR("unknown"), 0);
	if (t->placed)
		(void)fprintf(out, ", %.2f %.2f", t->lat, t->lon);
	(void)fputs(" (", out);
	ctl_text_put(out, t->source, 0);
	(void)fputs(")\ndecision  ", out);
	ctl_text_put(out, t->decision, 0);
	(void)fputc(' ', out);
	ctl_text_put(out, t->region, 0);
	for (uint32_t i = 0; i < t->reason_count; i++) {
		(void)fputs(i == 0 ? "\nbecause   " : "\n          ", out);
		ctl_text_put(out, t->reasons[i], 0);
	}
	(void)fputc('\n', out);
}

/* The candidates are the last of it, so they are printed while they are read. */
static enum err read_answer(struct str json, struct arena *arena, struct told *t, FILE *print, struct fault *reterr_fault)
{
	struct json_reader r = json_reader_of(json, arena);
	struct str key;

	*t = (struct told){ 0 };
	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (is(key, "client")) {
				read_client(&r, t);
			} else if (is(key, "decision")) {
				t->decision = text_or_null(&r);
			} else if (is(key, "region")) {
				t->region = text_or_null(&r);
			} else if (is(key, "reasons")) {
				read_reasons(&r, t);
			} else if (is(key, "candidates")) {
				if (print)
					print_told(t, print);
				read_candidates(&r, print);
			} else {
				json_skip(&r);
			}
		}
	return json_end(&r, reterr_fault);
}

static enum err parse_address(const char *text, struct sockaddr_storage *ret_address)
{
	return forwarded_parse_address((struct str){ text, strlen(text) }, ret_address) ? ERR_NONE : ERR_BAD_INPUT;
}

enum err ctl_route_explain(const struct ctl_route_options *o, const char *ip, struct fault *reterr_fault)
{
	struct sockaddr_storage address;
	struct arena arena;
	struct asked a;
	struct told t;

	if (parse_address(ip, &address))
		return fault_set(reterr_fault, ERR_BAD_INPUT, "'%s' is no address", ip);
	arena_init(&arena, ARENA_BYTES_MAX);
	enum err err = open_asked(&a, o, reterr_fault);
	if (!err)
		err = ask(&a, &address, reterr_fault);
	if (!err && o->json)
		(void)fprintf(o->out, "%.*s\n", STR_FMT(buf_str(&a.answer)));
	else if (!err)
		err = read_answer(buf_str(&a.answer), &arena, &t, o->out, reterr_fault);
	close_asked(&a);
	arena_release(&arena);
	return err;
}

/* --- many --- */

struct tally {
	char names[NAMES_MAX][NAME_BYTES];
	uint64_t counts[NAMES_MAX];
	uint32_t count;
	uint64_t all, placed, expected, surprises;
};

static void count_one(struct tally *t, const char *name)
{
	uint32_t i = 0;

	while (i < t->count && strcmp(t->names[i], name) != 0)
		i++;
	if (i == NAMES_MAX)
		return;
	if (i == t->count) {
		(void)snprintf(t->names[i], NAME_BYTES, "%s", name);
		t->count++;
	}
	t->counts[i]++;
}

static void print_tally(const struct tally *t, FILE *out)
{
	(void)fprintf(out, "%-12s %10s %7s\n", "REGION", "ADDRESSES", "SHARE");
	for (uint32_t i = 0; i < t->count; i++) {
		ctl_text_put(out, (struct str){ t->names[i], strlen(t->names[i]) }, 12);
		(void)fprintf(out, " %10llu %5.1f %%\n", (unsigned long long)t->counts[i],
			      100.0 * (double)t->counts[i] / (double)t->all);
	}
	(void)fprintf(out, "%-12s %10llu, places known of %llu\n", "all", (unsigned long long)t->all,
		      (unsigned long long)t->placed);
	if (t->expected + t->surprises > 0)
		(void)fprintf(out, "as expected  %10llu of %llu\n", (unsigned long long)t->expected,
			      (unsigned long long)(t->expected + t->surprises));
}

static void put_count(struct json_writer *w, const char *key, uint64_t n)
{
	json_put_key(w, (struct str){ key, strlen(key) });
	json_put_u64(w, n);
}

static void print_json(const struct tally *t, FILE *out)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(ANSWER_BYTES_MAX);
	struct json_writer w = json_writer_to(&b);

	json_put_object(&w);
	put_count(&w, "addresses", t->all);
	put_count(&w, "placed", t->placed);
	json_put_key(&w, STR("regions"));
	json_put_object(&w);
	for (uint32_t i = 0; i < t->count; i++)
		put_count(&w, t->names[i], t->counts[i]);
	json_put_object_end(&w);
	put_count(&w, "expected", t->expected);
	put_count(&w, "surprises", t->surprises);
	json_put_object_end(&w);
	(void)fprintf(out, "%.*s\n", STR_FMT(buf_str(&b)));
}

/* One line: its address and, if there is one, the region that is expected. False: it is empty. */
static bool split(char *line, char **ret_address, char **ret_region)
{
	static const char blanks[] = " \t\r\n";

	*ret_address = line + strspn(line, blanks);
	if (**ret_address == '\0' || **ret_address == '#')
		return false;
	char *end = *ret_address + strcspn(*ret_address, blanks);
	*ret_region = end + strspn(end, blanks);
	*end = '\0';
	end = *ret_region + strcspn(*ret_region, blanks);
	*end = '\0';
	return true;
}

static enum err take_line(struct asked *a, char *line, struct tally *t, struct fault *reterr_fault)
{
	char *text, *wanted, name[NAME_BYTES] = "none";
	struct sockaddr_storage address;
	struct arena arena;
	struct told told;

	if (!split(line, &text, &wanted))
		return ERR_NONE;
	if (parse_address(text, &address))
		return fault_set(reterr_fault, ERR_BAD_INPUT, "'%s' is no address", text);
	arena_init(&arena, ARENA_BYTES_MAX);
	enum err err = ask(a, &address, reterr_fault);
	if (!err)
		err = read_answer(buf_str(&a->answer), &arena, &told, NULL, reterr_fault);
	if (!err) {
		if (told.region.data)
			(void)snprintf(name, sizeof(name), "%.*s", STR_FMT(told.region));
		count_one(t, name);
		t->all++;
		t->placed += told.placed;
		bool surprise = *wanted && strcmp(wanted, name) != 0;
		t->expected += *wanted && !surprise;
		t->surprises += surprise;
		if (surprise && !a->o->json && t->surprises <= CTL_ROUTE_SURPRISES_MAX)
			(void)fprintf(a->o->out, "%s: %s was expected, %s it is\n", text, wanted, name);
	}
	arena_release(&arena);
	return err;
}

static enum err take_lines(struct asked *a, FILE *f, const char *file, struct tally *t, struct fault *reterr_fault)
{
	char line[CTL_ROUTE_LINE_MAX];
	struct fault fault = { 0 };

	for (uint64_t n = 1; fgets(line, sizeof(line), f); n++) {
		size_t len = strlen(line);
		enum err err = len + 1 == sizeof(line) && line[len - 1] != '\n'
				       ? fault_set(&fault, ERR_BAD_INPUT, "the line is too long")
			       : n > CTL_ROUTE_LINES_MAX ? fault_set(&fault, ERR_BAD_INPUT, "there are too many lines")
							 : take_line(a, line, t, &fault);
		if (err == ERR_BAD_INPUT)
			return fault_set(reterr_fault, err, "%s:%llu: %s", file, (unsigned long long)n, fault_text(&fault));
		if (err)
			return fault_set(reterr_fault, err, "%s", fault_text(&fault));
	}
	return ferror(f) ? fault_set(reterr_fault, ERR_IO, "%s: cannot be read", file) : ERR_NONE;
}

enum err ctl_route_simulate(const struct ctl_route_options *o, const char *file, bool *ret_expected,
			    struct fault *reterr_fault)
{
	struct tally *t = calloc(1, sizeof(*t));
	FILE *f = t ? fopen(file, "re") : NULL;
	struct asked a;

	if (!f) {
		int errnum = t ? errno : ENOMEM;
		free(t);
		return fault_set(reterr_fault, ERR_BAD_INPUT, "%s: cannot be read: %s", file, strerror(errnum));
	}
	enum err err = open_asked(&a, o, reterr_fault);
	if (!err)
		err = take_lines(&a, f, file, t, reterr_fault);
	if (!err && t->all == 0)
		err = fault_set(reterr_fault, ERR_BAD_INPUT, "%s: there is no address in it", file);
	if (!err) {
		if (o->json)
			print_json(t, o->out);
		else
			print_tally(t, o->out);
		*ret_expected = t->surprises == 0;
	}
	close_asked(&a);
	(void)fclose(f);
	free(t);
	return err;
}
