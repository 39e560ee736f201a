/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_failover.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "gateway/ctl_text.h"
#include "gateway/region.h"

#define ARENA_BYTES_MAX (4u << 20)
#define BODY_BYTES_MAX 4096
#define ANSWER_BYTES_MAX 256

static bool is(struct str key, const char *name)
{
	return key.len == strlen(name) && memcmp(key.data, name, key.len) == 0;
}

static bool is_null(struct json_reader *r)
{
	struct json_reader ahead = *r;
	struct str raw = json_raw(&ahead);

	return raw.len == 4 && memcmp(raw.data, "null", 4) == 0;
}

/* Null is no number and no text. */
static bool read_number(struct json_reader *r, uint64_t *ret)
{
	if (is_null(r)) {
		json_skip(r);
		return false;
	}
	*ret = json_u64(r);
	return true;
}

static struct str read_text(struct json_reader *r)
{
	if (is_null(r)) {
		json_skip(r);
		return (struct str){ 0 };
	}
	return json_string(r);
}

/* --- asking --- */

static enum err call(struct ctl_http *http, const char *verb, const char *path, struct str body,
		     const struct ctl_http_reply **ret_reply, struct fault *f)
{
	char words[FAULT_TEXT_MAX];
	enum err err = ctl_http_call(http, verb, path, body, ret_reply, f);

	if (err || (*ret_reply)->status == 200)
		return err;
	ctl_http_error(*ret_reply, words);
	return fault_set(f, ERR_BAD_GATEWAY, "%s", words);
}

/* --- what came of a failover --- */

struct outcome {
	struct str primary, before;
	uint64_t epoch, took_ms, voter_list;
	bool forced;
	bool loss_known;
	uint64_t loss_ms, loss_writes;
	bool writes_known;
};

static void read_loss(struct json_reader *r, struct outcome *o)
{
	struct str key;

	if (is_null(r)) {
		json_skip(r);
		return;
	}
	o->loss_known = true;
	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "ms"))
			o->loss_ms = json_u64(r);
		else if (is(key, "writes"))
			o->writes_known = read_number(r, &o->loss_writes);
		else
			json_skip(r);
	}
}

static void read_outcome(struct json_reader *r, struct outcome *o)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "primary"))
			o->primary = read_text(r);
		else if (is(key, "before"))
			o->before = read_text(r);
		else if (is(key, "epoch"))
			o->epoch = json_u64(r);
		else if (is(key, "took_ms"))
			o->took_ms = json_u64(r);
		else if (is(key, "voter_list"))
			o->forced = read_number(r, &o->voter_list);
		else if (is(key, "loss"))
			read_loss(r, o);
		else
			json_skip(r);
	}
}

static void print_loss(const struct outcome *o, FILE *out)
{
	if (!o->loss_known)
		(void)fputs("how far it was behind is not known\n", out);
	else if (o->loss_ms == 0 && o->writes_known && o->loss_writes == 0)
		(void)fputs("it has all that the last primary told of; what that one wrote in its last second may be missing\n", out);
	else if (o->writes_known)
		(void)fprintf(out, "it was %.1f s and %" PRIu64 " writes behind what the last primary told of: these are orphans\n",
			      (double)o->loss_ms / 1000, o->loss_writes);
	else
		(void)fprintf(out, "it was %.1f s behind what the last primary told of: what is missing are orphans\n",
			      (double)o->loss_ms / 1000);
}

enum err ctl_failover_print(struct str json, FILE *out, struct fault *reterr_fault)
{
	struct outcome o = { 0 };
	struct arena arena;

	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(json, &arena);
	read_outcome(&r, &o);
	enum err err = json_end(&r, reterr_fault);
	if (!err) {
		if (o.forced)
			(void)fprintf(out, "voter list %" PRIu64 " is in place, without the lost regions\n", o.voter_list);
		ctl_text_put(out, o.primary, 0);
		(void)fputs(" is the primary now", out);
		if (o.before.data) {
			(void)fputs(", after ", out);
			ctl_text_put(out, o.before, 0);
		}
		(void)fprintf(out, "; epoch %" PRIu64 ", after %.1f s\n", o.epoch, (double)o.took_ms / 1000);
		print_loss(&o, out);
	}
	arena_release(&arena);
	return err;
}

/* --- giving regions up --- */

static const char risks[] =
	"  - What only they have is lost, also what was acknowledged with ordering strong.\n"
	"  - They must not run where they cannot reach the other regions: until they are told, they may elect a primary\n"
	"    of their own, and what that one acknowledges is lost as well. Switch them off, or cut them off from clients.\n"
	"  - When they come back they are told that they are out: they vote, acknowledge and serve nothing until\n"
	"    `isthmusctl region add` puts them in, where need be after `isthmusctl region rebuild` there.\n"
	"  - Done twice, at regions that cannot reach each other, it parts the fleet in two.\n"
	"If they may come back, wait for them instead.\n";

/* The name of the fleet, in the arena. */
static enum err find_fleet(struct ctl_http *http, struct arena *a, struct str *ret_fleet, struct fault *f)
{
	const struct ctl_http_reply *reply;
	struct str key;
	enum err err = call(http, "GET", "/isthmus/voters", (struct str){ 0 }, &reply, f);

	if (err)
		return err;
	/* The reader lends what it need not decode, and the reply goes with the next call. */
	struct str json = arena_str(a, buf_str(&reply->body));
	struct json_reader r = json_reader_of(json, a);
	*ret_fleet = (struct str){ 0 };
	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (is(key, "fleet"))
				*ret_fleet = json_string(&r);
			else
				json_skip(&r);
		}
	return json_end(&r, f);
}

static enum err confirm(const struct ctl_failover_options *o, struct str fleet, struct fault *f)
{
	char answer[ANSWER_BYTES_MAX] = "";

	if (o->yes)
		return ERR_NONE;
	(void)fputs("These regions are given up for good: ", o->words);
	ctl_text_put(o->words, (struct str){ o->lost, strlen(o->lost) }, 0);
	(void)fprintf(o->words, "\n%sTo go on, type the name of the fleet (", risks);
	ctl_text_put(o->words, fleet, 0);
	(void)fputs("): ", o->words);
	(void)fflush(o->words);
	if (!fgets(answer, sizeof(answer), o->in))
		answer[0] = '\0';
	answer[strcspn(answer, "\r\n")] = '\0';
	if (is(fleet, answer))
		return ERR_NONE;
	return fault_set(f, ERR_BAD_INPUT, "that is not the name of the fleet; nothing was changed");
}

static void put_lost(struct json_writer *w, const char *lost)
{
	json_put_key(w, STR("lost"));
	json_put_array(w);
	for (;;) {
		size_t len = strcspn(lost, ",");
		json_put_string(w, (struct str){ lost, len });
		if (lost[len] == '\0')
			break;
		lost += len + 1;
	}
	json_put_array_end(w);
}

enum err ctl_failover(const struct ctl_failover_options *o, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(BODY_BYTES_MAX);
	CLEANUP(arena_release) struct arena arena;
	struct json_writer w = json_writer_to(&body);
	const struct ctl_http_reply *reply;
	struct str fleet = { 0 };
	enum err err = ERR_NONE;

	arena_init(&arena, ARENA_BYTES_MAX);
	if (o->lost)
		err = find_fleet(o->http, &arena, &fleet, reterr_fault);
	if (!err && o->lost)
		err = confirm(o, fleet, reterr_fault);
	if (err)
		return err;
	json_put_object(&w);
	if (o->to) {
		json_put_key(&w, STR("to"));
		json_put_cstr(&w, o->to);
	}
	json_put_key(&w, STR("accept_loss"));
	json_put_bool(&w, o->accept_loss);
	if (o->lost) {
		json_put_key(&w, STR("fleet"));
		json_put_string(&w, fleet);
		put_lost(&w, o->lost);
	}
	json_put_object_end(&w);
	if (buf_err(&body))
		return fault_set(reterr_fault, ERR_BAD_INPUT, "the names of the regions are too long");
	err = call(o->http, "POST", "/isthmus/failover", buf_str(&body), &reply, reterr_fault);
	if (err)
		return err;
	if (!o->json)
		return ctl_failover_print(buf_str(&reply->body), o->out, reterr_fault);
	(void)fprintf(o->out, "%.*s\n", STR_FMT(buf_str(&reply->body)));
	return ERR_NONE;
}

/* --- the voter list --- */

struct row {
	struct str name, role, store, state;
	uint64_t id, silent_ms, epoch, seq;
	bool self, voter, heard;
};

struct table {
	uint64_t number, pending, voters, majority;
	bool has_list, has_pending;
	struct row rows[2 * REGIONS_MAX];
	uint32_t count;
};

static void read_list(struct json_reader *r, bool *ret_there, uint64_t *ret_number, uint64_t *ret_voters,
		      uint64_t *ret_majority)
{
	struct str key;

	*ret_there = !is_null(r);
	if (!*ret_there) {
		json_skip(r);
		return;
	}
	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "number"))
			*ret_number = json_u64(r);
		else if (is(key, "voters"))
			*ret_voters = json_u64(r);
		else if (is(key, "majority"))
			*ret_majority = json_u64(r);
		else
			json_skip(r);
	}
}

static void read_position(struct json_reader *r, struct row *m)
{
	uint64_t *const to[] = { &m->epoch, &m->seq };

	if (!json_enter_array(r))
		return;
	for (size_t i = 0; json_next_element(r); i++) {
		uint64_t v = json_u64(r);
		if (i < LEN(to))
			*to[i] = v;
	}
}

static void read_row(struct json_reader *r, struct row *m)
{
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "name"))
			m->name = read_text(r);
		else if (is(key, "id"))
			m->id = json_u64(r);
		else if (is(key, "role"))
			m->role = json_string(r);
		else if (is(key, "store"))
			m->store = read_text(r);
		else if (is(key, "state"))
			m->state = json_string(r);
		else if (is(key, "self"))
			m->self = json_bool(r);
		else if (is(key, "voter"))
			m->voter = json_bool(r);
		else if (is(key, "silent_ms"))
			m->heard = read_number(r, &m->silent_ms);
		else if (is(key, "position"))
			read_position(r, m);
		else
			json_skip(r);
	}
}

static void read_rows(struct json_reader *r, struct table *t)
{
	if (!json_enter_array(r))
		return;
	while (json_next_element(r)) {
		struct row m = { 0 };
		read_row(r, &m);
		if (t->count < LEN(t->rows))
			t->rows[t->count++] = m;
	}
}

static void read_table(struct json_reader *r, struct table *t)
{
	uint64_t unused;
	struct str key;

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is(key, "list"))
			read_list(r, &t->has_list, &t->number, &t->voters, &t->majority);
		else if (is(key, "pending"))
			read_list(r, &t->has_pending, &t->pending, &unused, &unused);
		else if (is(key, "members"))
			read_rows(r, t);
		else
			json_skip(r);
	}
}

static void print_row(const struct row *m, FILE *out)
{
	char id[24];
	struct str name = m->name;

	(void)snprintf(id, sizeof(id), "region %" PRIu64, m->id);
	if (!name.data)
		name = (struct str){ id, strlen(id) };
	(void)fputs(m->self ? "* " : "  ", out);
	ctl_text_put(out, name, 12);
	(void)fputc(' ', out);
	ctl_text_put(out, m->role, 8);
	(void)fprintf(out, " %-5s ", m->voter ? "yes" : "no");
	ctl_text_put(out, m->store.data ? m->store : STR("-"), 8);
	(void)fprintf(out, " %10" PRIu64 " %10" PRIu64, m->epoch, m->seq);
	if (m->heard)
		(void)fprintf(out, " %8.1f s  ", (double)m->silent_ms / 1000);
	else
		(void)fprintf(out, " %10s  ", "-");
	ctl_text_put(out, m->state, 0);
	(void)fputc('\n', out);
}

enum err ctl_voters_print(struct str json, FILE *out, struct fault *reterr_fault)
{
	struct table t = { 0 };
	struct arena arena;

	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(json, &arena);
	read_table(&r, &t);
	enum err err = json_end(&r, reterr_fault);
	if (!err) {
		(void)fprintf(out, "voter list %" PRIu64 ": %" PRIu64 " voters, a majority is %" PRIu64 "\n", t.number, t.voters,
			      t.majority);
		if (t.has_pending)
			(void)fprintf(out, "voter list %" PRIu64 " is on its way: a majority has not stored it yet\n", t.pending);
		(void)fprintf(out, "  %-12s %-8s %-5s %-8s %10s %10s %10s  %s\n", "REGION", "ROLE", "VOTER", "STORE", "EPOCH", "SEQ",
			      "HEARD", "STATE");
	}
	for (uint32_t i = 0; i < t.count && !err; i++)
		print_row(&t.rows[i], out);
	arena_release(&arena);
	return err;
}

static enum err print_change(struct str json, const char *change, const char *region, FILE *out, struct fault *f)
{
	uint64_t number = 0;
	struct arena arena;
	struct str key;

	arena_init(&arena, ARENA_BYTES_MAX);
	struct json_reader r = json_reader_of(json, &arena);
	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (is(key, "voter_list"))
				number = json_u64(&r);
			else
				json_skip(&r);
		}
	enum err err = json_end(&r, f);
	if (!err) {
		ctl_text_put(out, (struct str){ region, strlen(region) }, 0);
		(void)fprintf(out, " is %s; voter list %" PRIu64 " is in effect\n", strcmp(change, "add") == 0 ? "a voter" : "no voter",
			      number);
	}
	arena_release(&arena);
	return err;
}

enum err ctl_voters_change(struct ctl_http *http, const char *change, const char *region, bool json, FILE *out,
			   struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(BODY_BYTES_MAX);
	struct json_writer w = json_writer_to(&body);
	const struct ctl_http_reply *reply;

	json_put_object(&w);
	json_put_key(&w, STR("change"));
	json_put_cstr(&w, change);
	json_put_key(&w, STR("region"));
	json_put_cstr(&w, region);
	json_put_object_end(&w);
	if (buf_err(&body))
		return fault_set(reterr_fault, ERR_BAD_INPUT, "the name of the region is too long");
	enum err err = call(http, "POST", "/isthmus/voters", buf_str(&body), &reply, reterr_fault);
	if (err)
		return err;
	if (!json)
		return print_change(buf_str(&reply->body), change, region, out, reterr_fault);
	(void)fprintf(out, "%.*s\n", STR_FMT(buf_str(&reply->body)));
	return ERR_NONE;
}
