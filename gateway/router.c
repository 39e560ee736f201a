/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy is taken by reference for one decision; the table of regions is looked at anew every ROUTER_LOOK_MS and
 * copied, so that a decision costs two short locks and no look at the replicator.
 */
#include "gateway/router.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metric.h"
#include "gateway/config.h"
#include "gateway/forwarded.h"

struct residency {
	const char *collection;
	struct route_set regions;
};

struct router_policy {
	_Atomic uint32_t references;
	struct route_policy route;
	struct route_rule *rules;
	struct residency *residencies;
	uint32_t residency_count;
	char *names;               /* of the residencies' collections */
	struct geo *geo;           /* NULL: no database */
	char problem[FAULT_TEXT_MAX];   /* why there is none, though one is configured */
};

struct router {
	struct router_options options;
	pthread_mutex_t lock;      /* guards the rest */
	struct router_policy *policy;
	struct route_region rows[ROUTE_REGIONS_MAX];
	uint64_t looked_ns;        /* 0: never */
};

_Static_assert(ROUTE_REGIONS_MAX >= REGIONS_MAX, "every region has a row");

/* --- the policy --- */

static uint8_t id_of(const struct regions *regions, const char *name)
{
	const struct region *r = regions_by_name(regions, (struct str){ name, strlen(name) });

	return r ? r->id : 0;
}

static enum err take_rules(struct router_policy *p, const struct config *c, const struct regions *regions)
{
	const struct config_rule *rows = c->route_rules.rows;
	uint32_t count = c->route_rules.count;

	p->rules = calloc(count + 1, sizeof(*p->rules));
	if (!p->rules)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		memcpy(p->rules[i].country, rows[i].country, strlen(rows[i].country));
		memcpy(p->rules[i].continent, rows[i].continent, strlen(rows[i].continent));
		p->rules[i].region = id_of(regions, rows[i].region);
	}
	p->route.rules = p->rules;
	p->route.rule_count = count;
	return ERR_NONE;
}

/* The names are copied: a policy may outlive its configuration. */
static enum err take_residencies(struct router_policy *p, const struct config *c, const struct regions *regions)
{
	const struct config_residency *rows = c->route_residency.rows;
	uint32_t count = c->route_residency.count;
	size_t bytes = 1;

	for (uint32_t i = 0; i < count; i++)
		bytes += strlen(rows[i].collection) + 1;
	p->residencies = calloc(count + 1, sizeof(*p->residencies));
	p->names = malloc(bytes);
	if (!p->residencies || !p->names)
		return ERR_NO_MEMORY;
	char *at = p->names;
	for (uint32_t i = 0; i < count; i++) {
		size_t len = strlen(rows[i].collection) + 1;
		memcpy(at, rows[i].collection, len);
		p->residencies[i].collection = at;
		at += len;
		for (uint32_t j = 0; j < rows[i].regions.count; j++)
			route_set_add(&p->residencies[i].regions, id_of(regions, rows[i].regions.items[j]));
	}
	p->residency_count = count;
	return ERR_NONE;
}

static enum err open_files(struct router_policy *p, const struct config *c, bool strict, struct fault *reterr_fault)
{
	struct fault fault = { 0 };

	if (c->geo_files.count == 0)
		return ERR_NONE;
	enum err err = geo_open(c->geo_files.items, c->geo_files.count, &p->geo, &fault);
	if (!err)
		return ERR_NONE;
	if (strict)
		return fault_set(reterr_fault, err, "geo.files: %s", fault_text(&fault));
	memcpy(p->problem, fault.text, sizeof(p->problem));
	log_warn("geo.files: %s; where clients are is unknown, regions are chosen by their distance from this one",
		 fault_text(&fault));
	return ERR_NONE;
}

static enum route_mode mode_of(const struct config *c)
{
	if (c->route_mode == CONFIG_ROUTE_AUTO)
		return c->region_role != CONFIG_ROLE_DATA ? ROUTE_NEAREST : ROUTE_LOCAL;
	return c->route_mode == CONFIG_ROUTE_NEAREST ? ROUTE_NEAREST : ROUTE_LOCAL;
}

enum err router_policy_new(const struct config *c, const struct regions *regions, bool strict,
			   struct router_policy **ret_policy, struct fault *reterr_fault)
{
	struct router_policy *p = calloc(1, sizeof(*p));
	if (!p)
		return ERR_NO_MEMORY;
	atomic_init(&p->references, 1);
	p->route = (struct route_policy){
		.mode = mode_of(c),
		.slack_ms = (double)c->route_slack_ms,
		.silent_ms_max = ROUTE_SILENT_MS_DEFAULT,
	};
	enum err err = take_rules(p, c, regions);
	if (!err)
		err = take_residencies(p, c, regions);
	if (!err)
		err = open_files(p, c, strict, reterr_fault);
	if (err) {
		router_policy_free(p);
		return err;
	}
	*ret_policy = p;
	return ERR_NONE;
}

void router_policy_free(struct router_policy *p)
{
	if (!p || atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel) != 1)
		return;
	geo_unref(p->geo);
	free(p->rules);
	free(p->residencies);
	free(p->names);
	free(p);
}

/* --- the router --- */

enum err router_new(const struct router_options *o, struct router_policy *p, struct router **ret_router)
{
	struct router *r = calloc(1, sizeof(*r));
	if (!r)
		return ERR_NO_MEMORY;
	if (pthread_mutex_init(&r->lock, NULL) != 0) {
		free(r);
		return ERR_NO_MEMORY;
	}
	r->options = *o;
	r->policy = p;
	*ret_router = r;
	return ERR_NONE;
}

void router_free(struct router *r)
{
	if (!r)
		return;
	router_policy_free(r->policy);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

void router_swap(struct router *r, struct router_policy *p)
{
	(void)pthread_mutex_lock(&r->lock);
	struct router_policy *old = r->policy;
	r->policy = p;
	(void)pthread_mutex_unlock(&r->lock);
	router_policy_free(old);
}

/* With a reference, to be freed. */
static struct router_policy *policy_of(struct router *r)
{
	(void)pthread_mutex_lock(&r->lock);
	struct router_policy *p = r->policy;
	(void)atomic_fetch_add_explicit(&p->references, 1, memory_order_relaxed);
	(void)pthread_mutex_unlock(&r->lock);
	return p;
}

bool router_wants_collection(struct router *r)
{
	struct router_policy *p = policy_of(r);
	bool wants = p->residency_count > 0;

	router_policy_free(p);
	return wants;
}

/* --- the table --- */

static struct route_region row_of(const struct region *r)
{
	return (struct route_region){
		.name = r->name,
		.id = r->id,
		.data = r->data,
		.located = r->lat != 0 || r->lon != 0,
		.lat = r->lat,
		.lon = r->lon,
		.bias = r->bias,
		.lag_s = -1,
		.rtt_ms = -1,
		.no_redirect = !*r->rest,
	};
}

static void look(struct router *r)
{
	const struct regions *regions = r->options.regions;

	for (uint32_t i = 0; i < regions->count; i++) {
		struct router_health h = { .lag_s = -1, .rtt_ms = -1 };
		struct route_region row = row_of(&regions->rows[i]);
		r->options.look(r->options.ctx, &regions->rows[i], &h);
		row.silent_ms = h.silent_ms;
		row.lag_s = h.lag_s;
		row.rtt_ms = h.rtt_ms;
		row.connected = h.connected;
		row.not_ready = h.not_ready;
		row.draining = h.draining;
		r->rows[i] = row;
	}
}

static uint8_t self_of(const struct regions *regions)
{
	const struct region *self = regions_self(regions);

	return self ? self->id : 0;
}

/* max_age_ms: 0 to look now. */
static void fill_table(struct router *r, uint32_t max_age_ms, struct router_answer *a)
{
	const struct regions *regions = r->options.regions;
	uint64_t now_ns = clock_mono_ns(r->options.clock);

	(void)pthread_mutex_lock(&r->lock);
	if (r->looked_ns == 0 || now_ns - r->looked_ns >= (uint64_t)max_age_ms * 1000000) {
		look(r);
		r->looked_ns = MAX(now_ns, (uint64_t)1);
	}
	if (regions->count > 0)
		memcpy(a->rows, r->rows, regions->count * sizeof(r->rows[0]));
	(void)pthread_mutex_unlock(&r->lock);
	a->table = (struct route_table){ .regions = a->rows, .count = regions->count, .self = self_of(regions) };
}

/* --- deciding --- */

static struct route_set residency_of(const struct router_policy *p, struct str collection)
{
	for (uint32_t i = 0; collection.data && i < p->residency_count; i++) {
		const struct residency *r = &p->residencies[i];
		if (strlen(r->collection) == collection.len &&
		    memcmp(r->collection, collection.data, collection.len) == 0)
			return r->regions;
	}
	return (struct route_set){ 0 };
}

static void decide(const struct router_policy *p, const struct router_query *q, struct router_answer *a)
{
	struct route_query query = {
		.operation = q->operation,
		.residency = residency_of(p, q->collection),
		.primary = q->primary,
		.redirect = q->redirect,
		.hops = q->hops,
	};

	geo_lookup(p->geo, q->client, &query.place);
	a->place = query.place;
	route_decide(&query, &a->table, &p->route, &a->decision);
}

void router_decide(struct router *r, const struct router_query *q, struct router_answer *ret_answer)
{
	struct router_policy *p = policy_of(r);

	fill_table(r, ROUTER_LOOK_MS, ret_answer);
	decide(p, q, ret_answer);
	/* Nobody is refused for what may be over. */
	if (ret_answer->decision.kind == ROUTE_NOWHERE) {
		fill_table(r, 0, ret_answer);
		decide(p, q, ret_answer);
	}
	router_policy_free(p);
}

void router_simulate(const struct router_policy *p, const struct regions *regions, const struct router_query *q,
		     struct router_answer *ret_answer)
{
	for (uint32_t i = 0; i < regions->count; i++)
		ret_answer->rows[i] = row_of(&regions->rows[i]);
	ret_answer->table = (struct route_table){ .regions = ret_answer->rows,
						  .count = regions->count,
						  .self = self_of(regions) };
	decide(p, q, ret_answer);
}

/* --- words --- */

static void put_key(struct json_writer *w, const char *key)
{
	json_put_key(w, (struct str){ key, strlen(key) });
}

static void put_text(struct json_writer *w, const char *key, const char *value)
{
	put_key(w, key);
	if (value && *value)
		json_put_cstr(w, value);
	else
		json_put_null(w);
}

static void put_number(struct json_writer *w, const char *key, double value, bool known)
{
	put_key(w, key);
	if (known)
		json_put_f64(w, value);
	else
		json_put_null(w);
}

static void put_client(struct json_writer *w, const struct place *p, const struct sockaddr *client)
{
	char ip[FORWARDED_ADDRESS_TEXT];
	bool known = p->source != PLACE_NONE;

	forwarded_write_address(client, ip);
	put_key(w, "client");
	json_put_object(w);
	put_text(w, "ip", ip);
	put_text(w, "country", p->country);
	put_text(w, "continent", p->continent);
	put_number(w, "lat", p->lat, known);
	put_number(w, "lon", p->lon, known);
	put_text(w, "source", place_source_name(p->source));
	json_put_object_end(w);
}

static void put_reasons(struct json_writer *w, const struct route_decision *d)
{
	put_key(w, "reasons");
	json_put_array(w);
	for (uint32_t i = 0; i < d->reason_count; i++) {
		CLEANUP(buf_release) struct buf words = BUF_INIT(1024);
		route_reason_write(&d->reasons[i], &words);
		json_put_string(w, buf_str(&words));
	}
	json_put_array_end(w);
}

static void put_candidate(struct json_writer *w, const struct route_candidate *c)
{
	json_put_object(w);
	put_text(w, "region", c->region->name);
	put_number(w, "km", c->km, c->measured);
	put_number(w, "bias", c->region->bias, true);
	put_number(w, "rtt_ms", c->region->rtt_ms, c->region->rtt_ms >= 0);
	put_text(w, "health", c->bar == ROUTE_NO_DATA || c->bar == ROUTE_NOT_PINNED || c->bar == ROUTE_ALLOWED
				      ? "well"
				      : route_bar_name(c->bar));
	put_number(w, "lag_s", c->region->lag_s, c->region->lag_s >= 0);
	put_key(w, "allowed");
	json_put_bool(w, c->bar == ROUTE_ALLOWED);
	if (c->bar != ROUTE_ALLOWED)
		put_text(w, "why", route_bar_name(c->bar));
	put_number(w, "score", c->score, c->measured);
	json_put_object_end(w);
}

void router_write_answer(const struct router_answer *a, const struct sockaddr *client, struct buf *out)
{
	const struct route_decision *d = &a->decision;
	struct json_writer w = json_writer_to(out);

	json_put_object(&w);
	put_client(&w, &a->place, client);
	put_text(&w, "decision", route_kind_name(d->kind));
	put_text(&w, "region", d->region ? d->region->name : NULL);
	put_reasons(&w, d);
	put_key(&w, "candidates");
	json_put_array(&w);
	for (uint32_t i = 0; i < d->candidate_count; i++)
		put_candidate(&w, &d->candidates[i]);
	json_put_array_end(&w);
	json_put_object_end(&w);
}

static void put_file(struct json_writer *w, const struct geo_file *f)
{
	json_put_object(w);
	put_text(w, "path", f->path);
	put_text(w, "type", f->type);
	put_key(w, "ip_version");
	json_put_u64(w, f->ip_version);
	put_key(w, "nodes");
	json_put_u64(w, f->nodes);
	put_key(w, "build_epoch");
	json_put_u64(w, f->build_epoch);
	json_put_object_end(w);
}

void router_write_status(struct router *r, struct buf *out)
{
	struct router_policy *p = policy_of(r);
	struct json_writer w = json_writer_to(out);
	struct geo_file file;

	json_put_object(&w);
	put_key(&w, "files");
	json_put_array(&w);
	for (uint32_t i = 0; i < geo_file_count(p->geo); i++) {
		geo_file_info(p->geo, i, &file);
		put_file(&w, &file);
	}
	json_put_array_end(&w);
	put_text(&w, "problem", p->problem);
	json_put_object_end(&w);
	router_policy_free(p);
}

void router_measure(struct router *r)
{
	struct router_policy *p = policy_of(r);
	uint64_t now_s = clock_wall_ms(r->options.clock) / 1000;
	struct geo_file f;

	for (uint32_t i = 0; i < geo_file_count(p->geo); i++) {
		geo_file_info(p->geo, i, &f);
		const char *slash = strrchr(f.path, '/');
		metric_series_set(metric_series(METRIC_isthmus_geo_database_age_seconds, slash ? slash + 1 : f.path),
				  now_s > f.build_epoch ? (double)(now_s - f.build_epoch) : 0);
	}
	metric_set(METRIC_isthmus_geo_databases, geo_file_count(p->geo));
	router_policy_free(p);
}
