/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of the process rather than of the data. Numbers are computed when they are read.
 */
#include "gateway/admin.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/metric.h"
#include "gateway/admin_bootstrap.h"
#include "gateway/admin_lease.h"
#include "gateway/admin_logs.h"
#include "gateway/router.h"
#include "index/store.h"
#include "replicator/replicator.h"

#define METRICS_BYTES_MAX ((size_t)16 << 20)
#define STATUS_BYTES_MAX ((size_t)16 << 20)

struct admin {
	struct clock *clock;
	char *version;
	char *data_dir;
	struct store *store;
	uint64_t started_ns;
	pthread_mutex_t lock; /* guards the following */
	uint64_t scraped_ns;
	uint64_t cpu_ns;
};

static uint64_t cpu_time_ns(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) != 0)
		return 0;
	uint64_t us = (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
		      (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
	return us * 1000;
}

enum err admin_new(const struct admin_options *o, struct admin **ret_admin)
{
	struct admin *a = calloc(1, sizeof(*a));
	if (!a)
		return ERR_NO_MEMORY;
	a->clock = o->clock;
	a->store = o->store;
	a->version = strdup(o->version);
	a->data_dir = o->data_dir ? strdup(o->data_dir) : NULL;
	int errnum = pthread_mutex_init(&a->lock, NULL);
	if (!a->version || (o->data_dir && !a->data_dir) || errnum != 0) {
		free(a->version);
		free(a->data_dir);
		free(a);
		return ERR_NO_MEMORY;
	}
	a->started_ns = a->scraped_ns = clock_mono_ns(a->clock);
	a->cpu_ns = cpu_time_ns();
	metric_series_set(metric_series(METRIC_isthmus_build_info, a->version), 1);
	*ret_admin = a;
	return ERR_NONE;
}

void admin_free(struct admin *a)
{
	if (!a)
		return;
	(void)pthread_mutex_destroy(&a->lock);
	free(a->version);
	free(a->data_dir);
	free(a);
}

/* --- the process --- */

static uint64_t resident_bytes(void)
{
	uint64_t total, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%" SCNu64 " %" SCNu64, &total, &resident) != 2)
		resident = 0;
	(void)fclose(f);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Since the last time; of one processor. */
static double cpu_percent(struct admin *a)
{
	uint64_t now_ns = clock_mono_ns(a->clock);
	uint64_t cpu_ns = cpu_time_ns();

	(void)pthread_mutex_lock(&a->lock);
	double passed = (double)(now_ns - a->scraped_ns);
	double used = (double)(cpu_ns - a->cpu_ns);
	a->scraped_ns = now_ns;
	a->cpu_ns = cpu_ns;
	(void)pthread_mutex_unlock(&a->lock);
	return passed > 0 ? 100 * used / passed : 0;
}

static bool disk_free(const struct admin *a, uint64_t *ret_bytes)
{
	struct statvfs v;

	if (!a->data_dir || statvfs(a->data_dir, &v) != 0)
		return false;
	*ret_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	return true;
}

/* --- plain text --- */

static void answer_text(struct call *c, struct str text, uint32_t status)
{
	struct msg_text *out = c->out;

	out->text = text;
	out->status = status;
	call_finish(c, ERR_NONE);
}

void admin_healthz(struct call *c)
{
	answer_text(c, STR("healthz check passed"), 200);
}

void admin_livez(struct call *c)
{
	answer_text(c, STR("healthz check passed"), 200);
}

#define WHY_BYTES_MAX 512

/* why may be NULL. */
static bool is_ready(const struct api *api, struct buf *why)
{
	CLEANUP(buf_release) struct buf unread = BUF_INIT(WHY_BYTES_MAX);
	struct committer_state state;

	if (!why)
		why = &unread;
	committer_state(api->committer, &state);
	if (state.failed) {
		buf_printf(why, "writing stopped: %s", state.failure);
		return false;
	}
	if (!catalog_ready(api->catalog)) {
		buf_append_cstr(why, "the collections are being loaded");
		return false;
	}
	return !api->ready || api->ready(api->ready_ctx, why);
}

void admin_readyz(struct call *c)
{
	if (is_ready(c->api, NULL))
		answer_text(c, STR("all shards are ready"), 200);
	else
		answer_text(c, STR("some shards are not ready"), 503);
}

/* Gives the text of b to the call's arena. */
static enum err keep(struct call *c, const struct buf *b, struct str *ret_text)
{
	if (buf_err(b))
		return buf_err(b);
	*ret_text = call_own(c, buf_str(b));
	return ret_text->data ? ERR_NONE : ERR_NO_MEMORY;
}

/* Computed now, so that a link that went silent shows as growing lag. Only who writes can be lagged behind: what a former
 * writer said last is old for ever. */
static void measure_lag(struct replicator *r)
{
	struct peers *peers = replicator_peers(r);
	struct replicator_state state;

	replicator_state(r, &state);
	for (uint32_t i = 0; i < peers_count(peers) && peers_self(peers)->data; i++) {
		const struct peer_config *peer = peers_config(peers, i);
		bool counts = state.commit.epoch == 0 || peer->id == state.commit.writer;

		if (peer->data)
			metric_series_set(metric_series(METRIC_replica_lag_seconds, peer->name),
					  counts ? state.staleness_seconds : 0);
	}
}

static void measure_store(const struct admin *a)
{
	if (!a->store)
		return;
	struct store_stats s = store_lmdb_stats(a->store);

	metric_set(METRIC_isthmus_store_bytes, (double)s.used_bytes);
	metric_set(METRIC_isthmus_store_bytes_max, (double)s.map_bytes);
}

void admin_metrics(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(METRICS_BYTES_MAX);
	struct admin *a = c->api->admin;
	struct msg_text *out = c->out;
	uint64_t free_bytes;

	metric_set(METRIC_node_cpu_percent, cpu_percent(a));
	metric_set(METRIC_node_memory_used_bytes, (double)resident_bytes());
	metric_set(METRIC_search_latency_p99_seconds,
		   metric_quantile(METRIC_isthmus_search_duration_seconds, 0.99));
	if (disk_free(a, &free_bytes))
		metric_set(METRIC_isthmus_disk_free_bytes, (double)free_bytes);
	measure_store(a);
	if (c->api->replicator) {
		measure_lag(c->api->replicator);
		admin_logs_measure(c->api->replicator);
		admin_lease_measure(c->api->replicator);
	}
	if (c->api->router)
		router_measure(c->api->router);
	metric_write(&b);
	call_finish(c, keep(c, &b, &out->text));
}

/* --- JSON --- */

static void put_u64(struct json_writer *w, const char *key, uint64_t v)
{
	json_put_key(w, (struct str){ key, strlen(key) });
	json_put_u64(w, v);
}

static void put_bool(struct json_writer *w, const char *key, bool v)
{
	json_put_key(w, (struct str){ key, strlen(key) });
	json_put_bool(w, v);
}

static void put_text(struct json_writer *w, const char *key, const char *v)
{
	json_put_key(w, (struct str){ key, strlen(key) });
	json_put_cstr(w, v);
}

static void put_collection(struct json_writer *w, struct collection *collection, struct str name,
			   const char *key)
{
	struct collection_info info;

	collection_info(collection, &info);
	json_put_object(w);
	json_put_key(w, (struct str){ key, strlen(key) });
	json_put_string(w, name);
	put_u64(w, "points", info.points);
	put_u64(w, "vectors", info.vectors);
	put_u64(w, "indexed_vectors", info.indexed_vectors);
	put_u64(w, "segments", info.segments);
	put_u64(w, "shards", collection_shard_count(collection));
	put_bool(w, "optimizing", info.optimizing);
	if (info.optimizer_error[0])
		put_text(w, "error", info.optimizer_error);
	put_u64(w, "disk_bytes", info.disk_bytes);
	put_u64(w, "memory_bytes", info.memory_bytes);
	json_put_object_end(w);
}

/* key: what the name is called. */
static enum err put_collections(struct call *c, struct json_writer *w, const char *key,
				uint32_t *ret_count)
{
	struct collection **items;
	uint32_t count = 0;
	enum err err = catalog_list(c->api->catalog, c->arena, &items, &count);

	if (err)
		return err;
	json_put_key(w, STR("collections"));
	json_put_array(w);
	for (uint32_t i = 0; i < count; i++) {
		put_collection(w, items[i], collection_name(items[i], c->arena), key);
		collection_unref(items[i]);
	}
	json_put_array_end(w);
	*ret_count = count;
	return ERR_NONE;
}

static void put_app(struct call *c, struct json_writer *w)
{
	const struct admin *a = c->api->admin;

	json_put_key(w, STR("app"));
	json_put_object(w);
	put_text(w, "name", "isthmus");
	put_text(w, "version", a->version);
	json_put_key(w, STR("uptime_seconds"));
	json_put_f64(w, (double)(clock_mono_ns(a->clock) - a->started_ns) / 1e9);
	json_put_object_end(w);
}

static void put_store_id(struct json_writer *w, const struct committer_state *s)
{
	char text[2 * sizeof(s->store_id) + 1];

	for (size_t i = 0; i < sizeof(s->store_id); i++)
		(void)snprintf(text + 2 * i, 3, "%02x", s->store_id[i]);
	put_text(w, "id", text);
}

void admin_telemetry(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STATUS_BYTES_MAX);
	struct json_writer w = json_writer_to(&b);
	struct msg_json_result *out = c->out;
	struct committer_state state;
	uint32_t count = 0;

	committer_state(c->api->committer, &state);
	json_put_object(&w);
	put_store_id(&w, &state);
	put_app(c, &w);
	json_put_key(&w, STR("collections"));
	json_put_object(&w);
	enum err err = put_collections(c, &w, "id", &count);
	put_u64(&w, "number_of_collections", count);
	json_put_object_end(&w);
	json_put_key(&w, STR("cluster"));
	json_put_object(&w);
	put_bool(&w, "enabled", c->api->data_regions > 1);
	json_put_object_end(&w);
	json_put_object_end(&w);
	call_finish(c, err ? err : keep(c, &b, &out->json));
}

static const char *role_of(const struct api *api, const struct committer_state *s)
{
	if (api->gateway_only)
		return api->regions && regions_self(api->regions)->witness ? "witness" : "gateway";
	if (api->replicator) {
		struct replicator_state state;
		replicator_state(api->replicator, &state);
		return state.is_writer ? "primary" : "secondary";
	}
	if (s->epoch == 0)
		return "none";
	return s->writer == api->region_id && !s->released ? "primary" : "secondary";
}

/* Without data there is no epoch of its own: what was heard. */
static uint64_t epoch_of(const struct api *api, const struct committer_state *s)
{
	return api->gateway_only ? peers_newest_epoch(replicator_peers(api->replicator)) : s->epoch;
}

static void put_standing(const struct api *api, struct json_writer *w,
			 const struct committer_state *s)
{
	CLEANUP(buf_release) struct buf why = BUF_INIT(WHY_BYTES_MAX);

	put_text(w, "region", api->region);
	put_u64(w, "region_id", api->region_id);
	put_text(w, "role", role_of(api, s));
	put_bool(w, "ready", is_ready(api, &why));
	if (why.len > 0) {
		json_put_key(w, STR("why"));
		json_put_string(w, buf_str(&why));
	}
	put_u64(w, "epoch", epoch_of(api, s));
	put_u64(w, "seq", s->position.seq);
	json_put_key(w, STR("position"));
	json_put_array(w);
	json_put_u64(w, s->position.epoch);
	json_put_u64(w, s->position.seq);
	json_put_array_end(w);
	put_u64(w, "writer", s->writer);
	put_bool(w, "released", s->released);
	put_u64(w, "op_number", s->op_number);
	put_u64(w, "queue_bytes", s->queue_bytes);
	put_u64(w, "log_ops", s->log_ops);
	put_u64(w, "log_bytes", s->log_bytes);
	put_u64(w, "boots", s->boots);
	put_bool(w, "failed", s->failed);
	if (s->failed)
		put_text(w, "failure", s->failure);
}

static void put_geo(struct router *router, struct json_writer *w)
{
	CLEANUP(buf_release) struct buf geo = BUF_INIT(STATUS_BYTES_MAX);

	router_write_status(router, &geo);
	json_put_key(w, STR("geo"));
	if (buf_err(&geo))
		json_put_null(w);
	else
		json_put_raw(w, buf_str(&geo));
}

void admin_status(struct call *c)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STATUS_BYTES_MAX);
	struct json_writer w = json_writer_to(&b);
	struct msg_json_document *out = c->out;
	struct admin *a = c->api->admin;
	struct committer_state state;
	uint64_t free_bytes;
	uint32_t count = 0;

	committer_state(c->api->committer, &state);
	json_put_object(&w);
	put_text(&w, "version", a->version);
	put_store_id(&w, &state);
	put_standing(c->api, &w, &state);
	json_put_key(&w, STR("uptime_seconds"));
	json_put_f64(&w, (double)(clock_mono_ns(a->clock) - a->started_ns) / 1e9);
	put_u64(&w, "memory_bytes", resident_bytes());
	if (disk_free(a, &free_bytes))
		put_u64(&w, "disk_free_bytes", free_bytes);
	enum err err = put_collections(c, &w, "name", &count);
	if (!err && c->api->replicator)
		err = admin_logs_put(c, &w);
	if (!err && c->api->replicator)
		admin_lease_put(c->api, &w);
	if (c->api->bootstrap)
		admin_bootstrap_put(c->api, &w);
	if (c->api->router)
		put_geo(c->api->router, &w);
	json_put_object_end(&w);
	call_finish(c, err ? err : keep(c, &b, &out->json));
}
