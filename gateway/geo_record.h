/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of a MaxMind DB file, read with bounds on everything: what lies outside the section, nests too deeply, or
 * takes too many steps (pointers can make little mean much) is damage. libmaxminddb's own reader has no bound on the
 * nesting that it passes over.
 * Thread: any.
 */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

#define GEO_RECORD_DEPTH_MAX 16
#define GEO_RECORD_STEPS_MAX 4096

struct geo_record {
	char country[3];     /* "": not there */
	char continent[3];   /* the same */
	bool located;
	double lat, lon;
};

/*
 * What the record at offset says, in either schema:
 *     nested   country.iso_code (or registered_country.iso_code), continent.code, location.latitude and .longitude
 *     flat     country_code or country, continent, latitude and longitude; float or double
 * False when it is damaged or no map.
 */
bool geo_record_read(struct bytes section, size_t offset, struct geo_record *ret_record);
/* Whether everything that the value at offset refers to can be read within the bounds. */
bool geo_record_check(struct bytes section, size_t offset);
