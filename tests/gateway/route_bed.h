/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration of four regions, as a file, and what stands behind it.
 */
#pragma once

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/config.h"
#include "tests/index/scratch.h"

#define ROUTE_BED_REGIONS                                                                                             \
	"regions = (\n"                                                                                              \
	" { name = \"eu\"; id = 1; lat = 50.11; lon = 8.68; rest = \"http://eu\"; peer = \"127.0.0.1:1\"; },\n"       \
	" { name = \"us\"; id = 2; lat = 39.04; lon = -77.49; rest = \"http://us\"; peer = \"127.0.0.1:2\"; },\n"     \
	" { name = \"ap\"; id = 3; lat = 1.35; lon = 103.82; bias = 1.5; peer = \"127.0.0.1:3\"; },\n"                \
	" { name = \"edge\"; id = 4; role = \"gateway\"; lat = 52.37; lon = 4.9; peer = \"127.0.0.1:4\"; } );\n"

static inline const char *route_bed_write(struct scratch *s, const char *region, const char *behind)
{
	bool edge = strcmp(region, "edge") == 0;
	FILE *f = fopen(scratch_path(s, "isthmus.conf"), "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f,
		"region = { name = \"%s\"; id = %d; role = \"%s\"; };\nlisten = { peer = \"127.0.0.1:0\"; };\n"
		"peer = { certificate = \"/c\"; key = \"/k\"; ca = \"/a\"; };\nsession = { key_file = \"/s\"; };\n"
		"scope = { home = \"eu\"; };\n" ROUTE_BED_REGIONS "%s",
		region, edge ? 4 : 1, edge ? "gateway" : "data", behind);
	ck_assert_int_eq(fclose(f), 0);
	return s->path;
}

/* What is wrong, or "". */
static inline const char *route_bed_load(struct scratch *s, const char *region, const char *behind,
					 struct config **ret_config)
{
	static char words[CONFIG_ERROR_BYTES_MAX + 1];
	struct buf errors = BUF_INIT(CONFIG_ERROR_BYTES_MAX);
	const char *path = route_bed_write(s, region, behind);
	enum err err = config_load(path, ret_config, &errors);

	ck_assert_int_eq(err != ERR_NONE, errors.len > 0);
	if (errors.len > 0)
		memcpy(words, errors.data, errors.len);
	words[errors.len] = '\0';
	buf_release(&errors);
	return words;
}
