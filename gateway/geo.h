/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an address is: from MMDB files of countries or of cities, in the schema of MaxMind (nested) or of
 * DB-IP (flat), one file for all addresses or one for each version of IP. Several files are asked in their
 * order: coordinates come from the first file of cities that has them, else from the first of countries (which has
 * their middles); the country from the first that has it. Without any, a country stands where geo_countries.def puts it.
 *
 * A file is read into memory that nobody can change or truncate any more, so that what is done to it
 * afterwards can hurt no lookup. The object never changes: to reload is to open another one and to swap.
 * Thread: any.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#define GEO_FILES_MAX 8
#define GEO_FILE_BYTES_MAX ((uint64_t)2 << 30)

struct sockaddr;

/* What the coordinates are. */
enum place_source { PLACE_NONE, PLACE_COUNTRY, PLACE_CITY };

struct place {
	char country[3];           /* ISO 3166-1 alpha-2; "": unknown */
	char continent[3];         /* AF AN AS EU NA OC SA; "": unknown */
	double lat, lon;           /* degrees; 0 with PLACE_NONE */
	enum place_source source;
};

/* "none", "country", "city" */
const char *place_source_name(enum place_source s);

/* A row of geo_countries.def. */
struct geo_country {
	char code[3];
	char continent[3];
	double lat, lon;
};
/* code has two letters, or the answer is NULL. */
const struct geo_country *geo_country(struct str code);
/* All, in the order of their codes. */
const struct geo_country *geo_countries(uint32_t *ret_count);
bool geo_is_continent(struct str code);

struct geo;

/* All files or none: what is no MMDB file, or is damaged, or says nothing about countries or coordinates, is
 * refused with the file's name and the reason. count at most GEO_FILES_MAX. */
MUST_USE enum err geo_open(const char *const *files, uint32_t count, struct geo **ret_geo,
			   struct fault *reterr_fault);
/* Takes the bytes of a file instead; name is for words only. For tests and fuzzers. */
MUST_USE enum err geo_open_bytes(struct bytes file, const char *name, struct geo **ret_geo,
				 struct fault *reterr_fault);
struct geo *geo_ref(struct geo *g);
void geo_unref(struct geo *g);

/* g may be NULL: nothing is known. Addresses of other families, private ones and those that no file has: PLACE_NONE. */
void geo_lookup(const struct geo *g, const struct sockaddr *address, struct place *ret_place);

struct geo_file {
	const char *path;
	const char *type;          /* what the file calls itself */
	uint64_t build_epoch;      /* seconds since 1970 */
	uint32_t nodes;
	unsigned ip_version;
};
uint32_t geo_file_count(const struct geo *g);
void geo_file_info(const struct geo *g, uint32_t i, struct geo_file *ret_file);
