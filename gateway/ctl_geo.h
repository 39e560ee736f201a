/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `isthmusctl geo build`: a database of countries from ranges in text, as Tor's package tor-geoipdb has them.
 *
 * A line     first,last,CC       both as numbers (IPv4) or as addresses of IPv6 (or IPv4)
 *            # comment           and empty lines
 * CC         a country's code, which also gives continent and coordinates (geo_countries.def); "??", and none: skipped
 *
 * It writes country.iso_code, continent.code, location.latitude and location.longitude, as MaxMind's GeoLite2 has them.
 * Thread: any.
 */
#pragma once

#include "base/err.h"

#define GEO_BUILD_FILES_MAX 16
#define GEO_BUILD_LINE_MAX 1024

struct geo_build_options {
	const char *const *inputs;   /* files, or folders with geoip and geoip6 */
	uint32_t input_count;
	const char *output;          /* written beside it, then put in its place */
	uint64_t build_epoch;        /* 0: $SOURCE_DATE_EPOCH, else when the newest input was changed */
};

struct geo_build_result {
	uint64_t ranges;             /* taken */
	uint64_t skipped;            /* without a country */
	uint64_t unknown;            /* of codes that are no country: written without coordinates */
	uint64_t networks;
	uint32_t nodes;
	uint32_t countries;
	uint64_t bytes;
	uint64_t build_epoch;
};

/* ERR_BAD_INPUT with file and line, or ERR_IO, …; the output is then as it was. */
MUST_USE enum err geo_build(const struct geo_build_options *o, struct geo_build_result *ret_result,
			    struct fault *reterr_fault);
