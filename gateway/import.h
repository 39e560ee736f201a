/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real data to try a region with: the packages that this machine's apt knows, embedded by embed.h, become points of
 * a collection; and a search among them in plain words. Names are numbered in their order, which makes the ids.
 * Thread: one.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"

/* Fewer records say that apt knows nothing but what is installed. */
#define IMPORT_RECORDS_MIN 1000
#define IMPORT_RECORDS_MAX 1000000
#define IMPORT_BATCH_DEFAULT 256
#define IMPORT_BATCH_MAX 4096
#define IMPORT_SEARCH_LIMIT_MAX 1000

struct ctl_http;

/* One package as it is sent; strings live as long as its import. */
struct import_record {
	const char *name;
	const char *summary;
	const char *section;
	const char *tags; /* separated by ' ' */
};

struct import_options {
	struct ctl_http *http;
	const char *collection;
	uint64_t limit; /* the first so many in the order of names; 0: all */
	uint32_t batch;
	FILE *records; /* as apt-cache dumpavail writes them; NULL: those of this machine */
	FILE *out;     /* what people read */
	bool live;     /* out is a terminal: one line that changes */
	struct clock *clock;
};

/* Makes the collection if there is none. ERR_NOT_FOUND: too few records. */
MUST_USE enum err import_packages(const struct import_options *o, struct fault *reterr_fault);

struct import_search_options {
	struct ctl_http *http;
	const char *collection;
	const char *text;
	uint32_t limit;
	bool json; /* the reply as it came */
	FILE *out;
};

/* ERR_BAD_INPUT: the text has no word to search for. */
MUST_USE enum err import_search(const struct import_search_options *o, struct fault *reterr_fault);

/* The vector of a package; of EMBED_DIM. */
void import_embed(const struct import_record *r, float *ret_vector);
