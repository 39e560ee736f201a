/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which region answers: a pure function of where the client is, what it asks, how the regions are and
 * what the operator wants. No I/O, no clock, no memory: the same inputs give the same decision, so that
 * what was decided can be explained and simulated.
 *
 * A region's score is in milliseconds, less is better: the great-circle distance from the client, at
 * 1 ms for 100 km, times the region's bias; and what its round trip, measured from here, is beyond what
 * its distance from here explains; and its lag. A client whose place is unknown counts as standing
 * where this region stands, because that is the region it came to. Equal scores: this region first,
 * then by name. Regions without a place come behind those that have one, as the configuration has them.
 * Thread: any.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "gateway/geo.h"

#define ROUTE_REGIONS_MAX 32
#define ROUTE_RULES_MAX 256
#define ROUTE_REASONS_MAX 8
/* A region that was not heard for longer is out. */
#define ROUTE_SILENT_MS_DEFAULT 2000
#define ROUTE_SLACK_MS_DEFAULT 30
/* A request passes so many regions at most behind the one that the client spoke to. */
#define ROUTE_HOPS_MAX 2

/* Region ids. */
struct route_set {
	bool limited;            /* else: all of them, whatever the bits */
	uint64_t bits[4];
};
void route_set_add(struct route_set *s, uint8_t id);
bool route_set_has(const struct route_set *s, uint8_t id);

/* One row of the region table, as it stands at this moment. */
struct route_region {
	const char *name;
	uint8_t id;
	bool data;               /* holds data; else it is a gateway only */
	bool located;            /* lat and lon are known */
	double lat, lon;         /* degrees */
	double bias;             /* what its kilometres count; 1 */
	uint64_t silent_ms;      /* since it was heard; UINT64_MAX: never. Of this region it does not count */
	double lag_s;            /* behind the primary; below 0: unknown */
	double rtt_ms;           /* measured from here; below 0: unknown */
	bool draining;
	bool not_ready;
	bool connected;          /* it can be asked at this moment, whether it was heard or not */
	bool no_redirect;        /* no URL is known that a client could be sent to */
};

struct route_table {
	const struct route_region *regions;   /* as the configuration has them */
	uint32_t count;                       /* at most ROUTE_REGIONS_MAX */
	uint8_t self;                         /* id */
};

enum route_mode {
	ROUTE_NEAREST,           /* the best region answers */
	ROUTE_LOCAL              /* this region answers, unless another is better by the slack */
};

/* The first rule that fits the client and whose region is not out decides. */
struct route_rule {
	char country[3];         /* "" : any */
	char continent[3];       /* the same */
	uint8_t region;
};

struct route_policy {
	enum route_mode mode;
	double slack_ms;
	uint64_t silent_ms_max;
	const struct route_rule *rules;
	uint32_t rule_count;
};

enum route_operation {
	ROUTE_READ,
	ROUTE_WRITE,
	ROUTE_WRITE_ANYWHERE,    /* of a collection that every data region writes */
	ROUTE_ASKED              /* is answered by whoever is asked */
};

struct route_query {
	enum route_operation operation;
	struct place place;
	struct route_set data;        /* the regions that hold the collection */
	struct route_set residency;   /* the regions that may answer reads of it */
	uint8_t primary;              /* of its scope; 0: nobody writes */
	bool redirect;                /* the client follows redirects */
	unsigned hops;                /* made so far; above 0 a region of ours sent the request */
};

enum route_kind { ROUTE_HERE, ROUTE_PROXY, ROUTE_REDIRECT, ROUTE_NOWHERE };

/* Why a region is not considered. */
enum route_bar {
	ROUTE_ALLOWED,
	ROUTE_NO_DATA,
	ROUTE_NOT_PINNED,
	ROUTE_SILENT,
	ROUTE_DRAINING,
	ROUTE_NOT_READY,
	ROUTE_BAR_COUNT
};

struct route_candidate {
	const struct route_region *region;
	bool measured;           /* km is known */
	double km;               /* from the client, or from where it counts as standing */
	double score;            /* ms; without km, what is added to it */
	enum route_bar bar;
	uint32_t order;          /* in the table */
};

/* A sentence and what it speaks of; route_reason_write() makes words of it. */
struct route_reason {
	enum route_why {
		WHY_ASKED, WHY_NO_REGIONS, WHY_PRIMARY, WHY_PRIMARY_OUT, WHY_WRITERS, WHY_NO_PRIMARY, WHY_NOT_PRIMARY,
		WHY_UNPLACED_FROM_HERE, WHY_UNPLACED, WHY_CENTROID, WHY_PINNED, WHY_RULE, WHY_RULE_OUT,
		WHY_GATEWAY, WHY_HERE_OUT, WHY_SENT_HERE, WHY_BEST, WHY_WITHIN_SLACK, WHY_BEYOND_SLACK,
		WHY_REDIRECT, WHY_HOPS, WHY_ALL_OUT, WHY_LAST
	} why;
	const struct route_region *region;    /* may be NULL */
	struct route_rule rule;               /* of region 0: none */
	enum route_bar bar;
	double ms;
};

struct route_decision {
	enum route_kind kind;
	const struct route_region *region;    /* who answers; NULL: ROUTE_NOWHERE */
	enum err err;                         /* of ROUTE_NOWHERE */
	struct route_reason reasons[ROUTE_REASONS_MAX];
	uint32_t reason_count;
	/* Of a read, and of a write anywhere, all regions, those that are allowed first, the best first; of other operations none. */
	struct route_candidate candidates[ROUTE_REGIONS_MAX];
	uint32_t candidate_count;
};

/*
 * The decision points into the table. When all regions are out that may answer a read, it is still better tried than
 * refused: here, where the data are, though they be old; or where a region is silent but can be asked.
 */
void route_decide(const struct route_query *q, const struct route_table *t, const struct route_policy *p,
		  struct route_decision *ret_decision);

/* "eu scores best, 12.3 ms" */
void route_reason_write(const struct route_reason *r, struct buf *out);
/* All of them, separated by "; ". */
void route_reasons_write(const struct route_decision *d, struct buf *out);
/* "here", "proxy", "redirect", "none" */
const char *route_kind_name(enum route_kind k);
/* "allowed", "silent", … */
const char *route_bar_name(enum route_bar b);

/* Great-circle distance of two places, in degrees, on a sphere. */
double route_km(double lat_a, double lon_a, double lat_b, double lon_b);
