/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of countries.
 */
#include "gateway/geo.h"

#include <stdlib.h>
#include <string.h>

static const struct geo_country countries[] = {
#define COUNTRY(code, continent, lat, lon, name) { code, continent, lat, lon },
#include "gateway/geo_countries.def"
#undef COUNTRY
};

const struct geo_country *geo_countries(uint32_t *ret_count)
{
	*ret_count = LEN(countries);
	return countries;
}

static int compare_code(const void *code, const void *country)
{
	return memcmp(code, ((const struct geo_country *)country)->code, 2);
}

const struct geo_country *geo_country(struct str code)
{
	if (code.len != 2)
		return NULL;
	return bsearch(code.data, countries, LEN(countries), sizeof(countries[0]), compare_code);
}

bool geo_is_continent(struct str code)
{
	static const char all[] = "AF AN AS EU NA OC SA";

	for (size_t i = 0; code.len == 2 && i < sizeof(all); i += 3)
		if (memcmp(all + i, code.data, 2) == 0)
			return true;
	return false;
}
