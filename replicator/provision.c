/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams and durables, made and verified.
 *
 * A stream keeps by limits and discards its oldest: a region that is away never blocks the others.
 * Deleting and purging are denied, so that only its beginning can be missing. Its subjects carry
 * the region: two streams on one subject would each store what anybody publishes.
 */
#include "replicator/provision.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "replicator/stream_api.h"

#define NS_PER_MS 1000000u
#define MAX_BYTES_MIN (64u << 20) /* some hundred of the greatest messages */
#define AGE_MS_MIN 600000u
#define DUPLICATE_WINDOW_MS 120000u
#define ACK_WAIT_MS_MIN 1000u
#define SUBJECTS_MAX 8
#define PAGES_MAX 64
#define LINE_MAX 256

enum err provision_check(const struct provision_plan *p, struct fault *reterr_fault)
{
	struct stream_peer peers[PROVISION_REGIONS_MAX];

	if (p->region_count == 0 || p->region_count > PROVISION_REGIONS_MAX)
		return fault_set(reterr_fault, ERR_CONFIG, "%u regions; 1 to %u are possible",
				 p->region_count, PROVISION_REGIONS_MAX);
	for (uint32_t i = 0; i < p->region_count; i++)
		peers[i] = (struct stream_peer){ .region = p->regions[i].region,
						 .domain = p->regions[i].domain };
	struct stream_config c = { .fleet = "any",
				   .region = peers[0].region,
				   .domain = peers[0].domain,
				   .peers = peers + 1,
				   .peer_count = p->region_count - 1 };
	struct stream_settings set;
	enum err e = stream_settings_copy(&set, &c, reterr_fault);
	if (e)
		return e;
	stream_settings_release(&set);
	if (p->max_bytes < MAX_BYTES_MIN || p->max_bytes > INT64_MAX)
		return fault_set(reterr_fault, ERR_CONFIG,
				 "a stream of %" PRIu64 " bytes is too small; the least are %u",
				 p->max_bytes, MAX_BYTES_MIN);
	if (p->max_age_ms > INT64_MAX / NS_PER_MS ||
	    (p->max_age_ms > 0 && p->max_age_ms < AGE_MS_MIN))
		return fault_set(reterr_fault, ERR_CONFIG,
				 "an age of %" PRIu64 " ms is not possible; the least are %u",
				 p->max_age_ms, AGE_MS_MIN);
	if (p->ack_wait_ms > 0 && (p->ack_wait_ms < ACK_WAIT_MS_MIN || p->ack_wait_ms > 3600000))
		return fault_set(reterr_fault, ERR_CONFIG,
				 "an ack wait of %" PRIu64 " ms is outside %u to 3600000",
				 p->ack_wait_ms, ACK_WAIT_MS_MIN);
	if (p->replicas > 5)
		return fault_set(reterr_fault, ERR_CONFIG, "%u replicas; 1 to 5 are possible",
				 p->replicas);
	return ERR_NONE;
}

/* ---- what a server says ---- */

/* A stream's configuration, as far as it matters; texts are copies. */
struct found_stream {
	char name[64];
	char subjects[SUBJECTS_MAX][STREAM_SUBJECT_MAX];
	uint32_t subject_count;
	char retention[16], storage[16], discard[16];
	int64_t max_bytes, max_age, max_msgs, max_msgs_per_subject, max_msg_size, replicas,
		duplicate_window;
	bool deny_delete, deny_purge, sealed, no_ack, mirrored;
};

static void text_get(struct json_reader *r, char *out, size_t size)
{
	struct str s = json_string(r);
	snprintf(out, size, "%.*s", STR_FMT(s));
}

static void subjects_get(struct json_reader *r, struct found_stream *f)
{
	if (json_enter_array(r))
		while (json_next_element(r)) {
			char text[STREAM_SUBJECT_MAX];
			text_get(r, text, sizeof(text));
			if (f->subject_count < SUBJECTS_MAX)
				memcpy(f->subjects[f->subject_count], text, sizeof(text));
			f->subject_count++;
		}
}

static void number_or_text_member(struct json_reader *r, struct str key, struct found_stream *f)
{
	const struct {
		const char *key;
		int64_t *to;
	} numbers[] = {
		{ "max_bytes", &f->max_bytes },
		{ "max_age", &f->max_age },
		{ "max_msgs", &f->max_msgs },
		{ "max_msgs_per_subject", &f->max_msgs_per_subject },
		{ "max_msg_size", &f->max_msg_size },
		{ "num_replicas", &f->replicas },
		{ "duplicate_window", &f->duplicate_window },
	};
	const struct {
		const char *key;
		char *to;
		size_t size;
	} texts[] = {
		{ "name", f->name, sizeof(f->name) },
		{ "retention", f->retention, sizeof(f->retention) },
		{ "storage", f->storage, sizeof(f->storage) },
		{ "discard", f->discard, sizeof(f->discard) },
	};
	for (size_t i = 0; i < LEN(numbers); i++)
		if (stream_api_is(key, numbers[i].key)) {
			*numbers[i].to = json_i64(r);
			return;
		}
	for (size_t i = 0; i < LEN(texts); i++)
		if (stream_api_is(key, texts[i].key)) {
			text_get(r, texts[i].to, texts[i].size);
			return;
		}
	json_skip(r);
}

static void config_member(struct json_reader *r, struct str key, void *ctx)
{
	struct found_stream *f = ctx;
	const struct {
		const char *key;
		bool *to;
	} flags[] = {
		{ "deny_delete", &f->deny_delete },
		{ "deny_purge", &f->deny_purge },
		{ "sealed", &f->sealed },
		{ "no_ack", &f->no_ack },
	};
	for (size_t i = 0; i < LEN(flags); i++)
		if (stream_api_is(key, flags[i].key)) {
			*flags[i].to = json_bool(r);
			return;
		}
	if (stream_api_is(key, "subjects")) {
		subjects_get(r, f);
	} else if (stream_api_is(key, "mirror") || stream_api_is(key, "sources")) {
		f->mirrored = true;
		json_skip(r);
	} else {
		number_or_text_member(r, key, f);
	}
}

static void found_init(struct found_stream *f)
{
	*f = (struct found_stream){
		.max_bytes = -1, .max_msgs = -1, .max_msgs_per_subject = -1, .max_msg_size = -1
	};
}

static void stream_member(struct json_reader *r, struct str key, void *ctx)
{
	if (stream_api_is(key, "config"))
		stream_api_members(r, config_member, ctx);
	else
		json_skip(r);
}

struct account {
	int64_t max_storage; /* -1: no limit */
	char domain[STREAM_NAME_MAX + 1];
	uint64_t promised;  /* max_bytes of all other streams */
	uint64_t unbounded; /* streams without max_bytes */
	/* while pages are read */
	const char *own_name, *own_subject;
	uint64_t total, seen;
	char clash[64];
};

static void limits_member(struct json_reader *r, struct str key, void *ctx)
{
	struct account *a = ctx;
	if (stream_api_is(key, "max_storage"))
		a->max_storage = json_i64(r);
	else
		json_skip(r);
}

static void account_member(struct json_reader *r, struct str key, void *ctx)
{
	struct account *a = ctx;
	if (stream_api_is(key, "limits"))
		stream_api_members(r, limits_member, a);
	else if (stream_api_is(key, "domain"))
		text_get(r, a->domain, sizeof(a->domain));
	else
		json_skip(r);
}

/* Can one message have both subjects? Tokens, "*" and a final ">". */
static bool subjects_overlap(const char *a, const char *b)
{
	for (;;) {
		size_t na = strcspn(a, "."), nb = strcspn(b, ".");
		bool rest = (na == 1 && *a == '>') || (nb == 1 && *b == '>');
		if (rest)
			return true;
		bool any = (na == 1 && *a == '*') || (nb == 1 && *b == '*');
		if (!any && (na != nb || memcmp(a, b, na) != 0))
			return false;
		a += na;
		b += nb;
		if (*a == '\0' || *b == '\0')
			return *a == *b;
		a++;
		b++;
	}
}

static void account_add(struct account *a, const struct found_stream *f)
{
	a->seen++;
	if (strcmp(f->name, a->own_name) == 0)
		return;
	if (f->max_bytes > 0)
		a->promised += (uint64_t)f->max_bytes;
	else
		a->unbounded++;
	for (uint32_t i = 0; i < MIN(f->subject_count, SUBJECTS_MAX); i++)
		if (subjects_overlap(f->subjects[i], a->own_subject))
			snprintf(a->clash, sizeof(a->clash), "%s", f->name);
}

static void page_member(struct json_reader *r, struct str key, void *ctx)
{
	struct account *a = ctx;
	if (stream_api_is(key, "total")) {
		a->total = json_u64(r);
	} else if (stream_api_is(key, "streams") && json_peek(r) == JSON_ARRAY) {
		if (json_enter_array(r))
			while (json_next_element(r)) {
				struct found_stream f;
				found_init(&f);
				stream_api_members(r, stream_member, &f);
				account_add(a, &f);
			}
	} else {
		json_skip(r);
	}
}

/* All streams of the account, page by page. */
static enum err account_streams(struct stream *s, const char *domain, struct account *a,
				struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf reply = BUF_INIT(STREAM_API_REPLY_BYTES_MAX);

	for (unsigned page = 0; page < PAGES_MAX; page++) {
		char body[64];
		uint64_t before = a->seen;
		int n = snprintf(body, sizeof(body), "{\"offset\":%" PRIu64 "}", a->seen);
		enum err e = stream_api_call(s, domain, "STREAM.LIST",
					     (struct str){ .data = body, .len = (size_t)n }, &reply,
					     reterr_fault);
		if (!e)
			e = stream_api_read(&reply, page_member, a, "STREAM.LIST", reterr_fault);
		if (e || a->seen >= a->total || a->seen == before)
			return e;
	}
	return fault_set(reterr_fault, ERR_TOO_LARGE,
			 "the account has more than %" PRIu64 " streams", a->seen);
}

static enum err account_check(struct stream *s, const struct provision_plan *p,
			      const struct provision_region *region, struct account *a,
			      struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf reply = BUF_INIT(STREAM_API_REPLY_BYTES_MAX);
	enum err e = stream_api_call(s, region->domain, "INFO", STR(""), &reply, reterr_fault);
	if (!e)
		e = stream_api_read(&reply, account_member, a, "INFO", reterr_fault);
	if (!e && region->domain[0] && strcmp(region->domain, a->domain) != 0)
		e = fault_set(
			reterr_fault, ERR_CONFIG,
			"region %s: its nats-server says JetStream domain \"%s\" instead of \"%s\"",
			region->region, a->domain, region->domain);
	if (!e)
		e = account_streams(s, region->domain, a, reterr_fault);
	if (e)
		return e;
	if (a->clash[0])
		return fault_set(
			reterr_fault, ERR_CONFIG,
			"the stream %s would store the messages of region %s too: its subjects overlap with %s",
			a->clash, region->region, a->own_subject);
	uint64_t copies = MAX(p->replicas, 1);
	if (a->max_storage >= 0 && a->promised + p->max_bytes * copies > (uint64_t)a->max_storage)
		return fault_set(reterr_fault, ERR_NO_SPACE,
				 "region %s: %" PRIu64 " bytes for its stream and %" PRIu64
				 " promised to others are more than the account's %" PRIi64,
				 region->region, p->max_bytes * copies, a->promised,
				 a->max_storage);
	return ERR_NONE;
}

/* ---- the stream ---- */

static uint64_t duplicate_window_ms(const struct provision_plan *p)
{
	return p->max_age_ms > 0 ? MIN(p->max_age_ms, DUPLICATE_WINDOW_MS) : DUPLICATE_WINDOW_MS;
}

static void put_cstr(struct json_writer *w, struct str key, const char *value)
{
	json_put_key(w, key);
	json_put_cstr(w, value);
}

static void put_i64(struct json_writer *w, struct str key, int64_t value)
{
	json_put_key(w, key);
	json_put_i64(w, value);
}

static void put_bool(struct json_writer *w, struct str key, bool value)
{
	json_put_key(w, key);
	json_put_bool(w, value);
}

static void stream_put(struct buf *body, const struct provision_plan *p, const char *region,
		       const char *name, const char *subject)
{
	struct json_writer w = json_writer_to(body);

	json_put_object(&w);
	put_cstr(&w, STR("name"), name);
	json_put_key(&w, STR("subjects"));
	json_put_array(&w);
	json_put_cstr(&w, subject);
	json_put_array_end(&w);
	put_cstr(&w, STR("retention"), "limits");
	put_cstr(&w, STR("storage"), "file");
	put_cstr(&w, STR("discard"), "old");
	put_i64(&w, STR("max_bytes"), (int64_t)p->max_bytes);
	put_i64(&w, STR("max_age"), (int64_t)(p->max_age_ms * NS_PER_MS));
	put_i64(&w, STR("max_msgs"), -1);
	put_i64(&w, STR("max_msgs_per_subject"), -1);
	put_i64(&w, STR("max_msg_size"), -1);
	put_i64(&w, STR("max_consumers"), -1);
	put_i64(&w, STR("num_replicas"), MAX(p->replicas, 1));
	put_i64(&w, STR("duplicate_window"), (int64_t)(duplicate_window_ms(p) * NS_PER_MS));
	put_bool(&w, STR("deny_delete"), true);
	put_bool(&w, STR("deny_purge"), true);
	put_bool(&w, STR("allow_direct"), false);
	if (p->tag_prefix) {
		char tag[LINE_MAX];
		snprintf(tag, sizeof(tag), "%s%s", p->tag_prefix, region);
		json_put_key(&w, STR("placement"));
		json_put_object(&w);
		json_put_key(&w, STR("tags"));
		json_put_array(&w);
		json_put_cstr(&w, tag);
		json_put_array_end(&w);
		json_put_object_end(&w);
	}
	json_put_object_end(&w);
}

/* The first difference that an update of the stream cannot mend, in words; out stays empty if there
 * is none. */
static void differences(const struct found_stream *f, const char *subject, char out[LINE_MAX])
{
	const struct {
		bool wrong;
		const char *words;
	} rows[] = {
		{ f->mirrored, "is a mirror or has sources" },
		{ f->sealed, "is sealed" },
		{ f->no_ack, "acknowledges nothing (no_ack)" },
		{ strcmp(f->retention, "limits") != 0, "does not keep by limits (retention)" },
		{ strcmp(f->storage, "file") != 0, "is not kept in files (storage)" },
		{ f->subject_count != 1 || strcmp(f->subjects[0], subject) != 0,
		  "has other subjects" },
	};
	out[0] = '\0';
	for (size_t i = 0; i < LEN(rows) && !out[0]; i++)
		if (rows[i].wrong)
			snprintf(out, LINE_MAX, "%s", rows[i].words);
}

/* The first difference that an update mends. */
static void deviations(const struct found_stream *f, const struct provision_plan *p,
		       char out[LINE_MAX])
{
	const struct {
		const char *what;
		int64_t is, should;
	} rows[] = {
		{ "max_bytes", f->max_bytes, (int64_t)p->max_bytes },
		{ "max_age", f->max_age, (int64_t)(p->max_age_ms * NS_PER_MS) },
		{ "max_msgs", f->max_msgs, -1 },
		{ "max_msgs_per_subject", f->max_msgs_per_subject, -1 },
		{ "max_msg_size", f->max_msg_size, -1 },
		{ "num_replicas", f->replicas, MAX(p->replicas, 1) },
		{ "duplicate_window", f->duplicate_window,
		  (int64_t)(duplicate_window_ms(p) * NS_PER_MS) },
		{ "deny_delete", f->deny_delete, true },
		{ "deny_purge", f->deny_purge, true },
		{ "discard old", strcmp(f->discard, "old") == 0, true },
	};
	out[0] = '\0';
	for (size_t i = 0; i < LEN(rows) && !out[0]; i++)
		if (rows[i].is != rows[i].should)
			snprintf(out, LINE_MAX, "%s is %" PRIi64 " instead of %" PRIi64,
				 rows[i].what, rows[i].is, rows[i].should);
}

static void say(struct provision_report *report, uint32_t *counter, const char *what,
		const char *words)
{
	char line[LINE_MAX * 2];
	(*counter)++;
	snprintf(line, sizeof(line), "%s: %s", what, words);
	if (report->say)
		report->say(report->ctx, line);
}

/* ERR_NOT_FOUND: there is none. */
static enum err stream_find(struct stream *s, const struct provision_region *region,
			    struct found_stream *f, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf reply = BUF_INIT(STREAM_API_REPLY_BYTES_MAX);
	char what[STREAM_API_WHAT_MAX];

	found_init(f);
	stream_api_what("STREAM.INFO", region->region, NULL, what);
	enum err e = stream_api_call(s, region->domain, what, STR(""), &reply, reterr_fault);
	return e ? e : stream_api_read(&reply, stream_member, f, what, reterr_fault);
}

static enum err stream_send(struct stream *s, const struct provision_plan *p,
			    const struct provision_region *region, const char *call,
			    const struct account *a, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf reply = BUF_INIT(STREAM_API_REPLY_BYTES_MAX);
	CLEANUP(buf_release) struct buf body = BUF_INIT(STREAM_API_BODY_BYTES_MAX);
	char what[STREAM_API_WHAT_MAX];

	stream_put(&body, p, region->region, a->own_name, a->own_subject);
	if (buf_err(&body))
		return fault_set(reterr_fault, buf_err(&body), "no room to describe the stream %s",
				 a->own_name);
	stream_api_what(call, region->region, NULL, what);
	enum err e = stream_api_call(s, region->domain, what, buf_str(&body), &reply, reterr_fault);
	if (e == ERR_NO_SPACE)
		return fault_set(reterr_fault, e,
				 "region %s: its nats-server has no room for a stream of %" PRIu64
				 " bytes: raise max_file there or lower the stream's bytes",
				 region->region, p->max_bytes);
	return e;
}

/* Reads the stream back; anything that still differs was ignored or refused. */
static enum err stream_verify(struct stream *s, const struct provision_plan *p,
			      const struct provision_region *region, const struct account *a,
			      struct fault *reterr_fault)
{
	struct found_stream f;
	char words[LINE_MAX];
	enum err e = stream_find(s, region, &f, reterr_fault);
	if (e)
		return e;
	differences(&f, a->own_subject, words);
	if (!words[0])
		deviations(&f, p, words);
	return words[0] ? fault_set(reterr_fault, ERR_CONFIG,
				    "the stream %s was made or changed, but %s", a->own_name, words)
			: ERR_NONE;
}

static enum err stream_ensure(struct stream *s, const struct provision_plan *p,
			      const struct provision_region *region, const struct account *a,
			      struct provision_report *report, struct fault *reterr_fault)
{
	struct found_stream f;
	char words[LINE_MAX];
	enum err e = stream_find(s, region, &f, reterr_fault);
	if (e == ERR_NOT_FOUND) {
		e = stream_send(s, p, region, "STREAM.CREATE", a, reterr_fault);
		if (!e)
			e = stream_verify(s, p, region, a, reterr_fault);
		if (!e)
			say(report, &report->made, a->own_name, "made");
		return e;
	}
	if (e)
		return e;
	differences(&f, a->own_subject, words);
	if (words[0])
		return fault_set(
			reterr_fault, ERR_CONFIG,
			"the stream %s exists and %s; delete it (no acknowledged write is lost by that)",
			a->own_name, words);
	deviations(&f, p, words);
	if (!words[0]) {
		say(report, &report->kept, a->own_name, "is as it has to be");
		return ERR_NONE;
	}
	e = stream_send(s, p, region, "STREAM.UPDATE", a, reterr_fault);
	if (!e)
		e = stream_verify(s, p, region, a, reterr_fault);
	if (!e)
		say(report, &report->changed, a->own_name, words);
	return e;
}

/* ---- durables ---- */

struct found_durable {
	char ack_policy[16], replay_policy[16], deliver_subject[STREAM_SUBJECT_MAX],
		filter_subject[STREAM_SUBJECT_MAX];
	int64_t ack_wait, max_ack_pending, max_deliver;
};

static void durable_config_member(struct json_reader *r, struct str key, void *ctx)
{
	struct found_durable *d = ctx;
	if (stream_api_is(key, "ack_policy"))
		text_get(r, d->ack_policy, sizeof(d->ack_policy));
	else if (stream_api_is(key, "replay_policy"))
		text_get(r, d->replay_policy, sizeof(d->replay_policy));
	else if (stream_api_is(key, "deliver_subject"))
		text_get(r, d->deliver_subject, sizeof(d->deliver_subject));
	else if (stream_api_is(key, "filter_subject"))
		text_get(r, d->filter_subject, sizeof(d->filter_subject));
	else if (stream_api_is(key, "ack_wait"))
		d->ack_wait = json_i64(r);
	else if (stream_api_is(key, "max_ack_pending"))
		d->max_ack_pending = json_i64(r);
	else if (stream_api_is(key, "max_deliver"))
		d->max_deliver = json_i64(r);
	else
		json_skip(r);
}

static void durable_member(struct json_reader *r, struct str key, void *ctx)
{
	if (stream_api_is(key, "config"))
		stream_api_members(r, durable_config_member, ctx);
	else
		json_skip(r);
}

static uint64_t ack_wait_ms(const struct provision_plan *p)
{
	return p->ack_wait_ms ? p->ack_wait_ms : STREAM_ACK_WAIT_MS_DEFAULT;
}

/* What is wrong with it, or NULL. Where it begins does not matter: its reader makes it anew as it
 * needs. */
static const char *durable_wrong(const struct found_durable *d, const struct provision_plan *p)
{
	if (strcmp(d->ack_policy, "all") != 0)
		return "ack_policy is not all";
	if (strcmp(d->replay_policy, "instant") != 0)
		return "replay_policy is not instant";
	if (d->deliver_subject[0])
		return "it pushes";
	if (d->filter_subject[0])
		return "it filters";
	if (d->ack_wait != (int64_t)(ack_wait_ms(p) * NS_PER_MS))
		return "ack_wait differs";
	if (d->max_ack_pending != STREAM_ACK_PENDING_MAX)
		return "max_ack_pending differs";
	if (d->max_deliver != -1)
		return "max_deliver differs";
	return NULL;
}

static enum err durable_find(struct stream *s, const struct provision_region *region,
			     const char *reader, struct found_durable *d,
			     struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf reply = BUF_INIT(STREAM_API_REPLY_BYTES_MAX);
	char what[STREAM_API_WHAT_MAX];

	*d = (struct found_durable){ .max_deliver = -1 };
	stream_api_what("CONSUMER.INFO", region->region, reader, what);
	enum err e = stream_api_call(s, region->domain, what, STR(""), &reply, reterr_fault);
	return e ? e : stream_api_read(&reply, durable_member, d, what, reterr_fault);
}

static enum err durable_make(struct stream *s, const struct provision_plan *p,
			     const struct provision_region *region, const char *reader,
			     uint64_t first, struct fault *reterr_fault)
{
	struct found_durable d;
	enum err e = stream_api_create(s, region->domain, region->region, reader, first,
				       ack_wait_ms(p), reterr_fault);
	if (!e)
		e = durable_find(s, region, reader, &d, reterr_fault);
	if (e)
		return e;
	const char *wrong = durable_wrong(&d, p);
	if (wrong)
		return fault_set(reterr_fault, ERR_CONFIG,
				 "the durable %s of OPS_%s was made, but %s", reader,
				 region->region, wrong);
	return ERR_NONE;
}

static enum err durable_ensure(struct stream *s, const struct provision_plan *p,
			       const struct provision_region *region, const char *reader,
			       struct provision_report *report, struct fault *reterr_fault)
{
	struct found_durable d;
	char what[LINE_MAX];
	snprintf(what, sizeof(what), "OPS_%s, durable %s", region->region, reader);

	enum err e = durable_find(s, region, reader, &d, reterr_fault);
	if (e == ERR_NOT_FOUND) {
		e = durable_make(s, p, region, reader, 0, reterr_fault);
		if (!e)
			say(report, &report->made, what, "made");
		return e;
	}
	if (e)
		return e;
	const char *wrong = durable_wrong(&d, p);
	if (!wrong) {
		say(report, &report->kept, what, "is as it has to be");
		return ERR_NONE;
	}
	/* Made anew where its acknowledgements end, so nothing is passed over. */
	struct pull_found f = { 0 };
	e = stream_api_durable(s, region->domain, region->region, reader, &f, reterr_fault);
	if (!e)
		e = stream_api_remove(s, region->domain, region->region, reader, reterr_fault);
	if (!e)
		e = durable_make(s, p, region, reader, f.floor + 1, reterr_fault);
	if (!e)
		say(report, &report->changed, what, wrong);
	return e;
}

enum err provision_stream(struct stream *s, const struct provision_plan *p, uint32_t region,
			  struct provision_report *report, struct fault *reterr_fault)
{
	const struct provision_region *here = &p->regions[region];
	char name[STREAM_API_NAME_MAX], subject[STREAM_SUBJECT_MAX];

	enum err e = provision_check(p, reterr_fault);
	if (e)
		return e;
	stream_api_name(here->region, name);
	snprintf(subject, sizeof(subject), "ops.%s.>", here->region);
	struct account a = { .max_storage = -1, .own_name = name, .own_subject = subject };
	e = account_check(s, p, here, &a, reterr_fault);
	if (!e)
		e = stream_ensure(s, p, here, &a, report, reterr_fault);
	for (uint32_t i = 0; !e && i < p->region_count; i++)
		if (i != region)
			e = durable_ensure(s, p, here, p->regions[i].region, report, reterr_fault);
	return e;
}
