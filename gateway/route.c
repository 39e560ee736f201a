/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision, in its order: what is not a read, what is out, how the rest scores, what a rule wants, and
 * then whether the best is worth leaving this region for.
 */
#include "gateway/route.h"

#include <math.h>
#include <string.h>

#include "base/panic.h"

#define EARTH_KM 6371.0088
#define KM_PER_MS 100.0
/* Cables are longer than great circles, and networks are not idle: only what is beyond tells of a bad way. */
#define DETOUR 2.0
#define RTT_GRACE_MS 5.0
/* Heartbeats come four times a second: a lag below it is none. */
#define LAG_GRACE_S 1.0
#define LAG_MS_PER_S 10.0
#define LAG_MS_MAX 10000.0
/* Rules that cannot be followed leave room for the reasons behind them. */
#define RULED_REASONS_MAX (ROUTE_REASONS_MAX - 3)

void route_set_add(struct route_set *s, uint8_t id)
{
	s->limited = true;
	s->bits[id / 64] |= (uint64_t)1 << id % 64;
}

bool route_set_has(const struct route_set *s, uint8_t id)
{
	return !s->limited || (s->bits[id / 64] >> id % 64 & 1) != 0;
}

double route_km(double lat_a, double lon_a, double lat_b, double lon_b)
{
	const double rad = M_PI / 180;
	double north = sin((lat_b - lat_a) * rad / 2);
	double east = sin((lon_b - lon_a) * rad / 2);
	double h = north * north + cos(lat_a * rad) * cos(lat_b * rad) * east * east;

	return 2 * EARTH_KM * asin(sqrt(fmin(h, 1)));
}

/* --- the inputs --- */

struct view {
	const struct route_query *query;
	const struct route_table *table;
	const struct route_policy *policy;
	const struct route_region *self;   /* NULL: not in the table */
	struct route_decision *d;
	bool placed;                       /* where distances count from is known */
	double lat, lon;
};

static const struct route_region *find(const struct route_table *t, uint8_t id)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (t->regions[i].id == id)
			return &t->regions[i];
	return NULL;
}

static void because(struct view *v, struct route_reason reason)
{
	struct route_decision *d = v->d;

	if (d->reason_count < ROUTE_REASONS_MAX)
		d->reasons[d->reason_count++] = reason;
}

static void decide(struct view *v, enum route_kind kind, const struct route_region *region)
{
	v->d->kind = kind;
	v->d->region = region;
}

static void give_up(struct view *v, enum err err)
{
	v->d->kind = ROUTE_NOWHERE;
	v->d->region = NULL;
	v->d->err = err;
}

/* Whatever it holds. */
static enum route_bar health_of(const struct view *v, const struct route_region *r)
{
	if (r != v->self && r->silent_ms > v->policy->silent_ms_max)
		return ROUTE_SILENT;
	if (r->draining)
		return ROUTE_DRAINING;
	return r->not_ready ? ROUTE_NOT_READY : ROUTE_ALLOWED;
}

static enum route_bar bar_of(const struct view *v, const struct route_region *r)
{
	const struct route_query *q = v->query;

	if (!r->data || !route_set_has(&q->data, r->id))
		return ROUTE_NO_DATA;
	if (!route_set_has(&q->residency, r->id))
		return ROUTE_NOT_PINNED;
	return health_of(v, r);
}

/* --- writes --- */

static void decide_write(struct view *v)
{
	const struct route_query *q = v->query;
	const struct route_region *primary = q->primary ? find(v->table, q->primary) : NULL;

	if (!primary) {
		because(v, (struct route_reason){ .why = WHY_NO_PRIMARY });
		give_up(v, ERR_NO_PRIMARY);
		return;
	}
	because(v, (struct route_reason){ .why = WHY_PRIMARY, .region = primary });
	if (primary == v->self) {
		/* Whether it may write at this moment its committer knows better than this table. */
		decide(v, ROUTE_HERE, primary);
	} else if (q->hops > 0) {
		/* A region took this one for the primary: it learns that it is not, and asks again. */
		because(v, (struct route_reason){ .why = WHY_NOT_PRIMARY, .region = v->self });
		give_up(v, ERR_NOT_PRIMARY);
	} else if (health_of(v, primary) == ROUTE_SILENT) {
		because(v, (struct route_reason){ .why = WHY_PRIMARY_OUT, .region = primary, .bar = ROUTE_SILENT });
		give_up(v, ERR_NO_PRIMARY);
	} else {
		decide(v, ROUTE_PROXY, primary);
	}
}

/* --- scores --- */

/* A client of unknown place came to this region: it counts as standing here. */
static void find_origin(struct view *v)
{
	const struct place *p = &v->query->place;

	if (p->source != PLACE_NONE) {
		v->placed = true;
		v->lat = p->lat;
		v->lon = p->lon;
	} else if (v->self && v->self->located) {
		v->placed = true;
		v->lat = v->self->lat;
		v->lon = v->self->lon;
	}
}

/* What the measured round trip is beyond what the distance from here explains. */
static double rtt_excess_ms(const struct view *v, const struct route_region *r)
{
	if (r == v->self || !(r->rtt_ms >= 0) || !r->located || !v->self || !v->self->located)
		return 0;
	double expected = DETOUR * route_km(v->self->lat, v->self->lon, r->lat, r->lon) / KM_PER_MS;
	return fmax(0, r->rtt_ms - expected - RTT_GRACE_MS);
}

static double lag_ms(const struct route_region *r)
{
	return r->lag_s > LAG_GRACE_S ? fmin((r->lag_s - LAG_GRACE_S) * LAG_MS_PER_S, LAG_MS_MAX) : 0;
}

static struct route_candidate candidate_of(const struct view *v, uint32_t order)
{
	const struct route_region *r = &v->table->regions[order];
	struct route_candidate c = {
		.region = r,
		.measured = v->placed && r->located,
		.score = rtt_excess_ms(v, r) + lag_ms(r),
		.bar = bar_of(v, r),
		.order = order,
	};

	if (c.measured) {
		c.km = route_km(v->lat, v->lon, r->lat, r->lon);
		c.score += c.km * r->bias / KM_PER_MS;
	}
	return c;
}

static bool is_before(const struct view *v, const struct route_candidate *a, const struct route_candidate *b)
{
	if ((a->bar == ROUTE_ALLOWED) != (b->bar == ROUTE_ALLOWED))
		return a->bar == ROUTE_ALLOWED;
	if (a->measured != b->measured)
		return a->measured;
	if (a->score < b->score || a->score > b->score)
		return a->score < b->score;
	if (a->region == v->self || b->region == v->self)
		return a->region == v->self;
	if (!a->measured)
		return a->order < b->order;
	return strcmp(a->region->name, b->region->name) < 0;
}

/* By insertion: there are few, and most come in their order. */
static void rank(struct view *v)
{
	struct route_decision *d = v->d;

	for (uint32_t i = 0; i < v->table->count; i++) {
		const struct route_candidate c = candidate_of(v, i);
		uint32_t at = d->candidate_count++;
		for (; at > 0 && is_before(v, &c, &d->candidates[at - 1]); at--)
			d->candidates[at] = d->candidates[at - 1];
		d->candidates[at] = c;
	}
}

static const struct route_candidate *candidate(const struct route_decision *d, const struct route_region *r)
{
	for (uint32_t i = 0; r && i < d->candidate_count; i++)
		if (d->candidates[i].region == r)
			return &d->candidates[i];
	return NULL;
}

/* --- reads --- */

static bool fits(const struct route_rule *rule, const struct place *p)
{
	if (rule->country[0] && strcmp(rule->country, p->country) != 0)
		return false;
	if (rule->continent[0] && strcmp(rule->continent, p->continent) != 0)
		return false;
	return rule->country[0] || rule->continent[0];
}

/* The region that a rule sends the client to; NULL: none does, or all that do are out. */
static const struct route_region *find_ruled(struct view *v)
{
	for (uint32_t i = 0; i < v->policy->rule_count; i++) {
		const struct route_rule *rule = &v->policy->rules[i];
		const struct route_candidate *c = candidate(v->d, find(v->table, rule->region));
		if (!c || !fits(rule, &v->query->place))
			continue;
		if (c->bar == ROUTE_ALLOWED) {
			because(v, (struct route_reason){ .why = WHY_RULE, .region = c->region, .rule = *rule });
			return c->region;
		}
		if (v->d->reason_count < RULED_REASONS_MAX)
			because(v, (struct route_reason){
					   .why = WHY_RULE_OUT, .region = c->region, .rule = *rule, .bar = c->bar });
	}
	return NULL;
}

static bool may_answer_here(const struct view *v)
{
	const struct route_candidate *here = candidate(v->d, v->self);
	return here && here->bar == ROUTE_ALLOWED;
}

/* The mode's choice among those that are allowed; there is one. */
static const struct route_region *find_best(struct view *v)
{
	const struct route_candidate *best = &v->d->candidates[0];
	const struct route_candidate *here = candidate(v->d, v->self);

	if (best == here || v->policy->mode == ROUTE_NEAREST || !may_answer_here(v)) {
		because(v, (struct route_reason){ .why = WHY_BEST, .region = best->region, .ms = best->score });
		return best->region;
	}
	/* What cannot be measured is no reason to leave. */
	double gain = here->measured && best->measured ? here->score - best->score : 0;
	if (gain <= v->policy->slack_ms) {
		because(v, (struct route_reason){ .why = WHY_WITHIN_SLACK, .region = best->region, .ms = gain });
		return v->self;
	}
	because(v, (struct route_reason){ .why = WHY_BEYOND_SLACK, .region = best->region, .ms = gain });
	return best->region;
}

static void explain_place(struct view *v)
{
	if (v->query->place.source == PLACE_COUNTRY)
		because(v, (struct route_reason){ .why = WHY_CENTROID });
	else if (v->query->place.source == PLACE_NONE)
		because(v, (struct route_reason){ .why = v->placed ? WHY_UNPLACED_FROM_HERE : WHY_UNPLACED });
}

static void explain_here(struct view *v)
{
	const struct route_candidate *here = candidate(v->d, v->self);

	if (v->query->residency.limited)
		because(v, (struct route_reason){ .why = WHY_PINNED });
	if (!here || here->bar == ROUTE_NO_DATA)
		because(v, (struct route_reason){ .why = WHY_GATEWAY, .region = v->self });
	else if (here->bar != ROUTE_ALLOWED)
		because(v, (struct route_reason){ .why = WHY_HERE_OUT, .region = v->self, .bar = here->bar });
}

/* Where data are it is taken; elsewhere the best region takes it, the primary or not. When all are out, it is the
 * primary's. */
static void decide_write_anywhere(struct view *v)
{
	const struct route_decision *d = v->d;

	because(v, (struct route_reason){ .why = WHY_WRITERS });
	if (v->self && v->self->data) {
		decide(v, ROUTE_HERE, v->self);
		return;
	}
	if (v->query->hops > 0) {
		/* A region that took this one for one with data: it asks the primary. */
		decide_write(v);
		return;
	}
	find_origin(v);
	rank(v);
	explain_here(v);
	if (d->candidate_count == 0 || d->candidates[0].bar != ROUTE_ALLOWED) {
		because(v, (struct route_reason){ .why = WHY_ALL_OUT });
		decide_write(v);
		return;
	}
	explain_place(v);
	const struct route_region *to = find_ruled(v);
	if (!to) {
		to = d->candidates[0].region;
		because(v, (struct route_reason){ .why = WHY_BEST, .region = to, .ms = d->candidates[0].score });
	}
	decide(v, ROUTE_PROXY, to);
}

/* Elsewhere: by the client itself, or through this region. */
static void leave(struct view *v, const struct route_region *to)
{
	const struct route_query *q = v->query;

	if (q->hops >= ROUTE_HOPS_MAX) {
		because(v, (struct route_reason){ .why = WHY_HOPS });
		give_up(v, ERR_UNAVAILABLE);
	} else if (q->redirect && q->hops == 0 && !to->no_redirect) {
		because(v, (struct route_reason){ .why = WHY_REDIRECT, .region = to });
		decide(v, ROUTE_REDIRECT, to);
	} else {
		decide(v, ROUTE_PROXY, to);
	}
}

/* All are out: here, or through here, though it may fail. */
static void decide_desperate_read(struct view *v)
{
	const struct route_candidate *here = candidate(v->d, v->self);
	const struct route_candidate *to = NULL;

	if (here && (here->bar == ROUTE_DRAINING || here->bar == ROUTE_NOT_READY))
		to = here;
	for (uint32_t i = 0; i < v->d->candidate_count && !to && v->query->hops < ROUTE_HOPS_MAX; i++) {
		const struct route_candidate *c = &v->d->candidates[i];
		if (c->bar == ROUTE_SILENT && c->region->connected)
			to = c;
	}
	if (!to) {
		give_up(v, ERR_UNAVAILABLE);
		return;
	}
	because(v, (struct route_reason){ .why = WHY_LAST, .region = to->region });
	decide(v, to == here ? ROUTE_HERE : ROUTE_PROXY, to->region);
}

static void decide_read(struct view *v)
{
	explain_here(v);
	if (v->query->hops > 0 && may_answer_here(v)) {
		/* Another region of ours decided; two that disagree must not pass a request to and fro. */
		because(v, (struct route_reason){ .why = WHY_SENT_HERE, .region = v->self });
		decide(v, ROUTE_HERE, v->self);
		return;
	}
	if (v->d->candidate_count == 0 || v->d->candidates[0].bar != ROUTE_ALLOWED) {
		because(v, (struct route_reason){ .why = WHY_ALL_OUT });
		decide_desperate_read(v);
		return;
	}
	explain_place(v);
	const struct route_region *to = find_ruled(v);
	if (!to)
		to = find_best(v);
	if (to == v->self)
		decide(v, ROUTE_HERE, to);
	else
		leave(v, to);
}

void route_decide(const struct route_query *q, const struct route_table *t, const struct route_policy *p,
		  struct route_decision *ret_decision)
{
	struct view v = { .query = q, .table = t, .policy = p, .d = ret_decision };

	ASSERT(t->count <= ROUTE_REGIONS_MAX);
	ret_decision->kind = ROUTE_HERE;
	ret_decision->err = ERR_NONE;
	ret_decision->reason_count = 0;
	ret_decision->candidate_count = 0;
	v.self = find(t, t->self);
	ret_decision->region = v.self;
	if (q->operation == ROUTE_ASKED) {
		because(&v, (struct route_reason){ .why = WHY_ASKED });
	} else if (t->count == 0) {
		because(&v, (struct route_reason){ .why = WHY_NO_REGIONS });
	} else if (q->operation == ROUTE_WRITE) {
		decide_write(&v);
	} else if (q->operation == ROUTE_WRITE_ANYWHERE) {
		decide_write_anywhere(&v);
	} else {
		find_origin(&v);
		rank(&v);
		decide_read(&v);
	}
}

/* --- words --- */

const char *route_kind_name(enum route_kind k)
{
	static const char *const names[] = {
		[ROUTE_HERE] = "here", [ROUTE_PROXY] = "proxy", [ROUTE_REDIRECT] = "redirect", [ROUTE_NOWHERE] = "none"
	};
	return names[k];
}

const char *route_bar_name(enum route_bar b)
{
	static const char *const names[ROUTE_BAR_COUNT] = {
		[ROUTE_ALLOWED] = "allowed",
		[ROUTE_NO_DATA] = "holds no data",
		[ROUTE_NOT_PINNED] = "outside the residency",
		[ROUTE_SILENT] = "silent",
		[ROUTE_DRAINING] = "draining",
		[ROUTE_NOT_READY] = "not ready",
	};
	return names[b];
}

/* Of each sentence what stands before and behind the region's name; without a behind, the name is not in it. */
static const struct {
	const char *before, *behind;
} sentences[] = {
	[WHY_ASKED] = { "answered by whoever is asked", NULL },
	[WHY_NO_REGIONS] = { "this region is alone", NULL },
	[WHY_PRIMARY] = { "", " is the primary, where writes go" },
	[WHY_PRIMARY_OUT] = { "", " is out: " },
	[WHY_WRITERS] = { "every region that holds data takes writes of this collection", NULL },
	[WHY_NO_PRIMARY] = { "no region may write at the moment", NULL },
	[WHY_NOT_PRIMARY] = { "", " is not the primary, and another region sent the write to it" },
	[WHY_UNPLACED_FROM_HERE] = { "the client's place is unknown: distances count from this region", NULL },
	[WHY_UNPLACED] = { "the client's place is unknown: the regions in their order", NULL },
	[WHY_CENTROID] = { "the client's place is the middle of its country", NULL },
	[WHY_PINNED] = { "the collection is pinned to regions", NULL },
	[WHY_RULE] = { " sends to ", "" },
	[WHY_RULE_OUT] = { " would send to ", ", which is out: " },
	[WHY_GATEWAY] = { "", " does not hold the data" },
	[WHY_HERE_OUT] = { "", " itself is out: " },
	[WHY_SENT_HERE] = { "another region sent the request here", NULL },
	[WHY_BEST] = { "", " scores best, " },
	[WHY_WITHIN_SLACK] = { "", " would be better by " },
	[WHY_BEYOND_SLACK] = { "", " is better by " },
	[WHY_REDIRECT] = { "the client follows redirects", NULL },
	[WHY_HOPS] = { "the request was passed on too often already", NULL },
	[WHY_ALL_OUT] = { "every region that may answer is out", NULL },
	[WHY_LAST] = { "", " is tried nevertheless" },
};

void route_reason_write(const struct route_reason *r, struct buf *out)
{
	if (r->rule.region)
		buf_printf(out, "the rule for %s %s", r->rule.country[0] ? "country" : "continent",
			   r->rule.country[0] ? r->rule.country : r->rule.continent);
	buf_append_cstr(out, sentences[r->why].before);
	if (!sentences[r->why].behind)
		return;
	buf_printf(out, "%s%s", r->region ? r->region->name : "this region", sentences[r->why].behind);
	if (r->bar != ROUTE_ALLOWED)
		buf_append_cstr(out, route_bar_name(r->bar));
	if (r->why == WHY_BEST || r->why == WHY_WITHIN_SLACK || r->why == WHY_BEYOND_SLACK)
		buf_printf(out, "%.1f ms", r->ms);
	if (r->why == WHY_WITHIN_SLACK)
		buf_append_cstr(out, ", which is within the slack");
	else if (r->why == WHY_BEYOND_SLACK)
		buf_append_cstr(out, ", more than the slack");
}

void route_reasons_write(const struct route_decision *d, struct buf *out)
{
	for (uint32_t i = 0; i < d->reason_count; i++) {
		if (i > 0)
			buf_append_cstr(out, "; ");
		route_reason_write(&d->reasons[i], out);
	}
}
