/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ctl_drill_inner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMEOUT_S 5
/* Between requests of a client, so that a drill is load and no flood. */
#define REST_MS 5
#define ASK_MAX 1000u
#define BODY_BYTES_MAX (64u << 10)
#define IDS_OF_A_CLIENT UINT64_C(10000000)

static void rest(void)
{
	const struct timespec pause = { .tv_nsec = REST_MS * 1000000L };

	(void)nanosleep(&pause, NULL);
}

/* What was acknowledged now ends a gap; that before the order was given counts for nothing. */
static void acknowledge(struct drill_client *c)
{
	uint64_t order_ns = atomic_load(c->order_ns);
	uint64_t now_ns = clock_mono_ns(c->clock);
	uint64_t gap_ms = (now_ns - c->last_ns) / NS_PER_MS;

	c->counts.acknowledged++;
	if (order_ns != 0 && now_ns > order_ns && (c->counts.first_ms == DRILL_NEVER || gap_ms > c->counts.gap_ms)) {
		c->counts.gap_ms = gap_ms;
		c->counts.first_ms = (now_ns - order_ns) / NS_PER_MS;
	}
	c->last_ns = now_ns;
	atomic_fetch_add(&c->done, 1);
}

static void count_failure(struct drill_client *c, int status, struct str body)
{
	if (status == 408)
		c->counts.missed++;
	else if (status == 0 || memmem(body.data, body.len, "outcome unknown", 15))
		c->counts.unknown++;
	else
		c->counts.refused++;
}

static void write_one(struct drill_client *c)
{
	uint64_t id = c->first_id + c->number++;
	const struct ctl_http_reply *reply;
	char path[128], body[128];

	(void)snprintf(path, sizeof(path), "/collections/" DRILL_COLLECTION "/points?wait=true&ordering=%s&timeout=%d", c->ordering,
		       TIMEOUT_S);
	(void)snprintf(body, sizeof(body), "{\"points\":[{\"id\":%" PRIu64 ",\"vector\":[1.0]}]}", id);
	if (ctl_http_call(c->http, "PUT", path, (struct str){ body, strlen(body) }, &reply, NULL)) {
		count_failure(c, 0, (struct str){ 0 });
	} else if (reply->status != 200) {
		count_failure(c, reply->status, buf_str(&reply->body));
	} else {
		c->ids[c->counts.acknowledged] = id;
		acknowledge(c);
	}
}

static void read_one(struct drill_client *c)
{
	const struct ctl_http_reply *reply;

	if (ctl_http_call(c->http, "POST", "/collections/" DRILL_COLLECTION "/points", STR("{\"ids\":[1]}"), &reply, NULL))
		count_failure(c, 0, (struct str){ 0 });
	else if (reply->status != 200)
		count_failure(c, reply->status, buf_str(&reply->body));
	else
		acknowledge(c);
}

static void *client_main(void *arg)
{
	struct drill_client *c = arg;

	c->last_ns = clock_mono_ns(c->clock);
	while (!atomic_load(c->stop) && c->counts.acknowledged < CTL_DRILL_WRITES_MAX && c->number < IDS_OF_A_CLIENT) {
		if (c->ordering)
			write_one(c);
		else
			read_one(c);
		rest();
	}
	return NULL;
}

static enum err start_client(struct drill_load *l, unsigned i, const struct ctl_http *http, const char *url, struct fault *f)
{
	struct drill_client *c = &l->clients[i];

	*c = (struct drill_client){ .clock = clock_system(), .order_ns = &l->order_ns, .stop = &l->stop };
	c->first_id = i * IDS_OF_A_CLIENT + 1;
	c->counts.gap_ms = c->counts.first_ms = DRILL_NEVER;
	if (i != CLIENT_READER) {
		c->ordering = drill_level_word(i < DRILL_LEVELS ? (enum drill_level)i : DRILL_WEAK);
		c->ids = calloc(CTL_DRILL_WRITES_MAX, sizeof(*c->ids));
		if (!c->ids)
			return fault_set(f, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
	}
	enum err err = ctl_http_again(http, url, &c->http, f);
	if (err)
		return err;
	int errnum = pthread_create(&c->thread, NULL, client_main, c);
	if (errnum != 0)
		return fault_set(f, err_from_errno(errnum), "no thread for the drill's writes");
	c->started = true;
	return ERR_NONE;
}

enum err ctl_drill_load_start(struct drill_load *l, const struct ctl_http *http, const char *url, struct fault *f)
{
	enum err err = ERR_NONE;

	*l = (struct drill_load){ 0 };
	for (unsigned i = 0; i < CLIENTS && !err; i++)
		if (i != CLIENT_INSIDE || url)
			err = start_client(l, i, http, i == CLIENT_INSIDE ? url : NULL, f);
	if (err)
		ctl_drill_load_free(l);
	return err;
}

void ctl_drill_load_stop(struct drill_load *l)
{
	atomic_store(&l->stop, true);
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (l->clients[i].started)
			(void)pthread_join(l->clients[i].thread, NULL);
		l->clients[i].started = false;
	}
}

void ctl_drill_load_free(struct drill_load *l)
{
	ctl_drill_load_stop(l);
	for (unsigned i = 0; i < CLIENTS; i++) {
		ctl_http_free(l->clients[i].http);
		free(l->clients[i].ids);
	}
}

/* --- afterwards --- */

/* Of those ids, in ascending order: takes away which the reply has. */
static enum err take_found(struct str reply, const uint64_t *ids, uint32_t count, bool *missing, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;

	arena_init(&a, CTL_HTTP_BODY_BYTES_MAX);
	struct str rows = ctl_drill_find(reply, "result", &a);
	struct json_reader r = json_reader_of(rows.data ? rows : STR("null"), &a);
	if (json_enter_array(&r))
		while (json_next_element(&r)) {
			uint64_t id = ctl_drill_number(json_raw(&r), "id");

			for (uint32_t low = 0, high = count; low < high;) {
				uint32_t mid = low + (high - low) / 2;

				if (ids[mid] == id)
					missing[mid] = false;
				if (ids[mid] < id)
					low = mid + 1;
				else
					high = mid;
			}
		}
	return json_end(&r, f);
}

static enum err ask(struct ctl_http *http, const uint64_t *ids, uint32_t count, bool *missing, struct fault *f)
{
	CLEANUP(buf_release) struct buf body = BUF_INIT(BODY_BYTES_MAX);
	struct json_writer w = json_writer_to(&body);
	bool absent[ASK_MAX];
	struct str reply;

	json_put_object(&w);
	json_put_key(&w, STR("ids"));
	json_put_array(&w);
	for (uint32_t i = 0; i < count; i++)
		json_put_u64(&w, ids[i]);
	json_put_array_end(&w);
	json_put_key(&w, STR("with_payload"));
	json_put_bool(&w, false);
	json_put_object_end(&w);
	if (buf_err(&body))
		return buf_err(&body);
	enum err err = ctl_drill_call(http, "POST", "/collections/" DRILL_COLLECTION "/points", buf_str(&body), &reply, f);
	memset(absent, true, sizeof(absent));
	if (!err)
		err = take_found(reply, ids, count, absent, f);
	for (uint32_t i = 0; i < count && !err; i++)
		missing[i] |= absent[i];
	return err;
}

static enum err count_missing(struct drill_client *c, struct ctl_http *http, bool *missing, struct fault *f)
{
	uint64_t count = c->counts.acknowledged;
	enum err err = ERR_NONE;

	for (uint64_t at = 0; at < count && !err; at += ASK_MAX)
		err = ask(http, c->ids + at, (uint32_t)MIN(count - at, (uint64_t)ASK_MAX), missing + at, f);
	return err;
}

static enum err count_client(struct drill_client *c, struct ctl_http *http, const struct drill_view *v, struct fault *f)
{
	bool *missing = calloc(CTL_DRILL_WRITES_MAX, sizeof(*missing));
	enum err err = missing ? ERR_NONE : ERR_NO_MEMORY;

	for (uint32_t i = 0; i < v->region_count && !err; i++) {
		const char *name = v->regions[i].name;

		if (!v->regions[i].data)
			continue;
		err = ctl_http_at(http, name, f);
		if (!err)
			err = count_missing(c, http, missing, f);
	}
	c->counts.missing = 0;
	for (uint64_t i = 0; i < c->counts.acknowledged && !err; i++)
		c->counts.missing += missing[i];
	free(missing);
	return err;
}

enum err ctl_drill_load_count(struct drill_load *l, struct ctl_http *http, const struct drill_view *v, struct fault *f)
{
	enum err err = ERR_NONE;

	for (unsigned i = 0; i < CLIENTS && !err; i++)
		if (l->clients[i].ids)
			err = count_client(&l->clients[i], http, v, f);
	enum err back = ctl_http_at(http, "", f);
	return err ? err : back;
}
