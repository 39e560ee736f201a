/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The package records that this machine's apt knows, read from `apt-cache dumpavail` (deb822: "Key: value"
 * lines, continued by a leading blank, records parted by empty lines).
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

#define APT_LINE_BYTES_MAX (1u << 20)
#define APT_TAGS_MAX 64

struct apt_record {
	char name[128];
	char summary[512];
	char section[64];
	char tags[APT_TAGS_MAX][64];
	uint32_t tag_count;
};

struct apt_reader {
	FILE *in;        /* the caller's, or apt-cache's output */
	long pid;        /* of apt-cache; 0: none */
	char *line;
	size_t line_cap;
	bool in_tags;
};

/* Starts apt-cache. ERR_NOT_FOUND when this machine has none. */
MUST_USE enum err apt_reader_open(struct apt_reader *r, struct fault *reterr_fault);
/* Reads from a stream that is open already. */
void apt_reader_of(struct apt_reader *r, FILE *in);
/* The next record that has a name and a summary; ERR_NOT_FOUND at the end. Longer fields are cut. */
MUST_USE enum err apt_reader_next(struct apt_reader *r, struct apt_record *ret_record);
/* ERR_IO when apt-cache failed. */
MUST_USE enum err apt_reader_close(struct apt_reader *r, struct fault *reterr_fault);
