/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a write is promised, and what it has reached: a level, and data regions that have applied it.
 * Thread: any; values only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Each contains those before it, but for `stream`: a region whose stream server is away is confirmed without. */
enum ack_level { ACK_LOCAL, ACK_VISIBLE, ACK_STREAM, ACK_CONFIRMED };

/* Ids of regions; 0 is a region that is alone. */
struct region_set {
	uint64_t bits[4];
};
void region_set_add(struct region_set *s, uint8_t id);
bool region_set_has(const struct region_set *s, uint8_t id);
uint32_t region_set_count(const struct region_set *s);

/* What a write has to have reached beside its level: that so many data regions applied it, and that these did. */
struct ack_regions {
	uint32_t count;             /* 0: however many */
	struct region_set these;
	bool all;                   /* every data region that is not expelled; the others are as configured */
};
/* `all` where these are the data regions that count; none of them: as they were configured. */
struct ack_regions ack_regions_among(const struct ack_regions *a, const struct region_set *members);
bool ack_regions_asked(const struct ack_regions *a);
bool ack_regions_met(const struct ack_regions *a, const struct region_set *applied);

/* Of a committed position. */
struct ack_applied {
	struct region_set regions;  /* that have surely applied it, this one among them */
	struct region_set members;  /* data regions of the voter list; none: all that are configured */
	bool stream;                /* this region's own stream server has accepted it */
};
