/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_fleet.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "gateway/config.h"
#include "gateway/ctl_text.h"
#include "gateway/region.h"
#include "replicator/provision.h"

#define ARENA_BYTES_MAX (4u << 20)
#define LOOK_MS 50

/* --- provision ------------------------------------------------------------------------------- */

/* What libnats' stream is made of. */
static enum err open_stream(const struct config *c, const struct regions *regions, struct stream **ret_stream,
			    struct fault *f)
{
	struct stream_peer peers[REGIONS_MAX];
	struct stream_config o = {
		.fleet = c->fleet_name,
		.region = c->region_name,
		.domain = c->nats_domain,
		.peers = peers,
		.urls = c->nats_url,
		.user = *c->nats_user ? c->nats_user : NULL,
		.password_file = *c->nats_password_file ? c->nats_password_file : NULL,
		.credentials_file = *c->nats_credentials_file ? c->nats_credentials_file : NULL,
	};

	for (uint32_t i = 0; i < regions->count; i++)
		if (regions->rows[i].data && !regions->rows[i].self)
			peers[o.peer_count++] = (struct stream_peer){ .region = regions->rows[i].name,
								      .domain = regions->rows[i].domain };
	return stream_nats_new(&o, ret_stream, f);
}

static enum err wait_connected(struct stream *s, const struct config *c, struct fault *f)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	struct stream_state state;

	for (int waited_ms = 0; waited_ms < CTL_FLEET_NATS_MS; waited_ms += LOOK_MS) {
		stream_state(s, &state);
		if (state.connected)
			return ERR_NONE;
		(void)nanosleep(&pause, NULL);
	}
	return fault_set(f, ERR_UNAVAILABLE, "nats.url: %.100s cannot be reached: %.200s", c->nats_url,
			 state.trouble.err ? fault_text(&state.trouble) : "no answer");
}

static void say(void *ctx, const char *text)
{
	(void)fprintf(ctx, "%s\n", text);
}

static enum err provision(const struct config *c, const struct regions *regions, FILE *out, struct fault *f)
{
	struct provision_region rows[REGIONS_MAX];
	struct provision_plan plan = {
		.regions = rows,
		.max_bytes = c->nats_stream_bytes,
		.max_age_ms = c->nats_stream_age_ms,
		.replicas = (uint32_t)c->nats_replicas,
	};
	struct provision_report report = { .ctx = out, .say = say };
	uint32_t self = 0;
	struct stream *s;

	for (uint32_t i = 0; i < regions->count; i++) {
		const struct region *r = &regions->rows[i];
		if (!r->data)
			continue;
		if (r->self)
			self = plan.region_count;
		rows[plan.region_count++] = (struct provision_region){ .region = r->name, .domain = r->domain };
	}
	enum err err = provision_check(&plan, f);
	if (!err)
		err = open_stream(c, regions, &s, f);
	if (err)
		return err;
	err = wait_connected(s, c, f);
	if (!err)
		err = provision_stream(s, &plan, self, &report, f);
	stream_free(s);
	stream_nats_end();
	if (!err)
		(void)fprintf(out, "%" PRIu32 " made, %" PRIu32 " changed, %" PRIu32 " kept\n", report.made,
			      report.changed, report.kept);
	return err;
}

enum err ctl_fleet_provision(const char *file, FILE *out, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf errors = BUF_INIT(CONFIG_ERROR_BYTES_MAX);
	struct regions regions;
	struct config *c;
	enum err err;

	if (config_load(file, &c, &errors))
		return fault_set(reterr_fault, ERR_CONFIG, "%.*s", (int)MIN(errors.len, (size_t)400),
				 (const char *)errors.data);
	regions_init(&regions, c);
	const struct region *self = regions_self(&regions);
	if (!self || !*c->nats_url) {
		err = fault_set(reterr_fault, ERR_CONFIG, "%s: has no %s, so there is no stream to make", file,
				self ? "nats.url" : "regions");
	} else if (!self->data) {
		(void)fprintf(out, "region %s is a gateway and writes no stream\n", self->name);
		err = ERR_NONE;
	} else {
		err = provision(c, &regions, out, reterr_fault);
	}
	config_free(c);
	return err;
}

/* --- regions --------------------------------------------------------------------------------- */

struct line {
	struct str name, role;
	uint64_t epoch, seq;
	double lag_seconds, rtt_ms, silent_ms;   /* below 0: unknown */
	bool self, connected;
};

static double number_or_null(struct json_reader *r)
{
	struct str raw = json_raw(r);
	char text[64];

	if (!raw.data || raw.len >= sizeof(text) || (raw.len == 4 && memcmp(raw.data, "null", 4) == 0))
		return -1;
	memcpy(text, raw.data, raw.len);
	text[raw.len] = '\0';
	return strtod(text, NULL);
}

static void read_position(struct json_reader *r, struct line *l)
{
	uint64_t *const to[] = { &l->epoch, &l->seq };

	if (!json_enter_array(r))
		return;
	for (size_t i = 0; json_next_element(r); i++) {
		uint64_t v = json_u64(r);
		if (i < LEN(to))
			*to[i] = v;
	}
}

static bool is(struct str key, const char *name)
{
	return key.len == strlen(name) && memcmp(key.data, name, key.len) == 0;
}

static void read_line(struct json_reader *r, struct line *l)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "name"))
			l->name = json_string(r);
		else if (is(key, "role"))
			l->role = json_string(r);
		else if (is(key, "self"))
			l->self = json_bool(r);
		else if (is(key, "connected"))
			l->connected = json_bool(r);
		else if (is(key, "position"))
			read_position(r, l);
		else if (is(key, "lag_seconds"))
			l->lag_seconds = number_or_null(r);
		else if (is(key, "rtt_ms"))
			l->rtt_ms = number_or_null(r);
		else if (is(key, "silent_ms"))
			l->silent_ms = number_or_null(r);
		else
			json_skip(r);
	}
}

static void put_number(FILE *out, double v, const char *unit)
{
	if (v < 0)
		(void)fprintf(out, " %11s", "-");
	else
		(void)fprintf(out, " %8.1f %-2s", v, unit);
}

static void put_line(const struct line *l, FILE *out)
{
	(void)fputs(l->self ? "* " : "  ", out);
	ctl_text_put(out, l->name, 12);
	(void)fputc(' ', out);
	ctl_text_put(out, l->role, 10);
	(void)fprintf(out, " %10" PRIu64 " %10" PRIu64, l->epoch, l->seq);
	put_number(out, l->lag_seconds, "s");
	put_number(out, l->self ? 0 : l->silent_ms, "ms");
	put_number(out, l->self ? 0 : l->rtt_ms, "ms");
	(void)fprintf(out, " %s\n", l->connected ? "yes" : "no");
}

enum err ctl_fleet_print_regions(struct str json, FILE *out, struct fault *reterr_fault)
{
	struct arena arena;
	struct str key;

	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(json, &arena);
	struct line lines[REGIONS_MAX];
	uint32_t count = 0;

	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (!is(key, "regions")) {
				json_skip(&r);
				continue;
			}
			if (!json_enter_array(&r))
				break;
			while (json_next_element(&r)) {
				struct line l = { .lag_seconds = -1, .rtt_ms = -1, .silent_ms = -1 };
				read_line(&r, &l);
				if (count < REGIONS_MAX)
					lines[count++] = l;
			}
		}
	enum err err = json_end(&r, reterr_fault);
	if (!err && count == 0)
		(void)fputs("this region is alone\n", out);
	else if (!err)
		(void)fprintf(out, "  %-12s %-10s %10s %10s %11s %11s %11s %s\n", "REGION", "ROLE", "EPOCH", "SEQ", "LAG",
			      "HEARD", "RTT", "CONNECTED");
	for (uint32_t i = 0; i < count && !err; i++)
		put_line(&lines[i], out);
	arena_release(&arena);
	return err;
}

/* --- switchover ------------------------------------------------------------------------------ */

static enum err print_switchover(struct str json, FILE *out, struct fault *f)
{
	struct str from = { 0 }, to = { 0 }, key;
	uint64_t pause_ms = 0, epoch = 0;
	struct arena arena;

	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(json, &arena);
	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (is(key, "from"))
				from = json_string(&r);
			else if (is(key, "to"))
				to = json_string(&r);
			else if (is(key, "pause_ms"))
				pause_ms = json_u64(&r);
			else if (is(key, "epoch"))
				epoch = json_u64(&r);
			else
				json_skip(&r);
		}
	enum err err = json_end(&r, f);
	if (!err) {
		ctl_text_put(out, to, 0);
		(void)fputs(" is the primary now, after ", out);
		ctl_text_put(out, from, 0);
		(void)fprintf(out, "; epoch %" PRIu64 ", no writes for %" PRIu64 " ms\n", epoch, pause_ms);
	}
	arena_release(&arena);
	return err;
}

enum err ctl_fleet_switchover(struct ctl_http *http, const char *to, bool json, FILE *out,
			      struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(1024);
	struct json_writer w = json_writer_to(&body);
	const struct ctl_http_reply *reply;
	char words[FAULT_TEXT_MAX];

	json_put_object(&w);
	json_put_key(&w, STR("to"));
	json_put_cstr(&w, to);
	json_put_object_end(&w);
	if (buf_err(&body))
		return fault_set(reterr_fault, ERR_BAD_INPUT, "the name of the region is too long");
	enum err err = ctl_http_call(http, "POST", "/isthmus/switchover", buf_str(&body), &reply, reterr_fault);
	if (err)
		return err;
	if (reply->status != 200) {
		ctl_http_error(reply, words);
		return fault_set(reterr_fault, ERR_BAD_GATEWAY, "%s", words);
	}
	if (!json)
		return print_switchover(buf_str(&reply->body), out, reterr_fault);
	(void)fprintf(out, "%.*s\n", STR_FMT(buf_str(&reply->body)));
	return ERR_NONE;
}

/* --- rebuilding a region --------------------------------------------------------------------- */

/* What is there stays until the copy is complete; still nobody should do it by mistake. */
static bool is_confirmed(const char *region)
{
	char line[CTL_FLEET_NAME_MAX + 2];

	(void)fprintf(stderr,
		      "Everything that region %s has is replaced by a copy of another region's state. Its name, to confirm: ",
		      region);
	if (!fgets(line, sizeof(line), stdin))
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return strcmp(line, region) == 0;
}

static enum err read_region(struct ctl_http *http, char out[CTL_FLEET_NAME_MAX + 1], struct fault *f)
{
	const struct ctl_http_reply *reply;
	struct str name = { 0 }, key;
	char words[FAULT_TEXT_MAX];
	struct arena arena;
	enum err err = ctl_http_call(http, "GET", "/isthmus/status", STR(""), &reply, f);

	if (err)
		return err;
	if (reply->status != 200) {
		ctl_http_error(reply, words);
		return fault_set(f, ERR_BAD_GATEWAY, "%s", words);
	}
	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(buf_str(&reply->body), &arena);
	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (is(key, "region"))
				name = json_string(&r);
			else
				json_skip(&r);
		}
	err = json_end(&r, f);
	if (!err)
		(void)snprintf(out, CTL_FLEET_NAME_MAX + 1, "%.*s", STR_FMT(name));
	arena_release(&arena);
	return err;
}

enum err ctl_fleet_rebuild(struct ctl_http *http, const char *from, bool yes, FILE *out, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(1024);
	struct json_writer w = json_writer_to(&body);
	const struct ctl_http_reply *reply;
	char region[CTL_FLEET_NAME_MAX + 1];
	char words[FAULT_TEXT_MAX];
	enum err err = read_region(http, region, reterr_fault);

	if (err)
		return err;
	if (!yes && !is_confirmed(region))
		return fault_set(reterr_fault, ERR_BAD_INPUT, "not confirmed, nothing was done; --yes confirms without asking");
	json_put_object(&w);
	if (from) {
		json_put_key(&w, STR("from"));
		json_put_cstr(&w, from);
	}
	json_put_object_end(&w);
	if (buf_err(&body))
		return fault_set(reterr_fault, ERR_BAD_INPUT, "the name of the region is too long");
	err = ctl_http_call(http, "POST", "/isthmus/rebuild", buf_str(&body), &reply, reterr_fault);
	if (err)
		return err;
	if (reply->status != 200) {
		ctl_http_error(reply, words);
		return fault_set(reterr_fault, ERR_BAD_GATEWAY, "%s", words);
	}
	(void)fprintf(out, "region %s copies %s%s; `isthmusctl status` shows how far it is\n", region,
		      from ? "region " : "the nearest region", from ? from : "");
	return ERR_NONE;
}
