/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The regions of the fleet as the configuration has them, this one among them.
 * Thread: any; nothing changes after the start.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#define REGIONS_MAX 32

struct region {
	const char *name;
	uint8_t id;
	bool data;              /* holds data; else it is a gateway only */
	bool witness;           /* holds no data, and votes when a primary is elected */
	bool self;
	double lat, lon;        /* where it stands, degrees; 0, 0: unknown */
	double bias;            /* what its distance counts */
	const char *rest;       /* for clients: "http://HOST:PORT", or "" */
	const char *grpc;       /* "HOST:PORT", or "" */
	const char *peer;       /* "HOST:PORT" of its peer listener */
	const char *domain;     /* JetStream domain of its nats-server, or "" */
};

struct config;

struct regions {
	struct region rows[REGIONS_MAX];
	uint32_t count;         /* 0: this region is alone */
};

/* Points into the configuration, which was checked. */
void regions_init(struct regions *r, const struct config *c);
/* NULL: there is none. */
const struct region *regions_by_id(const struct regions *r, uint8_t id);
const struct region *regions_by_name(const struct regions *r, struct str name);
const struct region *regions_self(const struct regions *r);
/* The name of a certificate, "<region>.isthmus", to its region. */
const struct region *regions_by_certificate(const struct regions *r, struct str name);
uint32_t regions_data_count(const struct regions *r);
