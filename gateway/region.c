/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/region.h"

#include <string.h>

#include "base/panic.h"
#include "gateway/config.h"
#include "gateway/tls.h"

void regions_init(struct regions *r, const struct config *c)
{
	const struct config_region *rows = c->regions.rows;

	ASSERT(c->regions.count <= REGIONS_MAX);
	*r = (struct regions){ .count = c->regions.count };
	for (uint32_t i = 0; i < r->count; i++)
		r->rows[i] = (struct region){
			.name = rows[i].name,
			.id = (uint8_t)rows[i].id,
			.data = rows[i].role == CONFIG_ROLE_DATA,
			.witness = rows[i].role == CONFIG_ROLE_WITNESS,
			.self = strcmp(rows[i].name, c->region_name) == 0,
			.lat = rows[i].lat,
			.lon = rows[i].lon,
			.bias = rows[i].bias,
			.rest = rows[i].rest,
			.grpc = rows[i].grpc,
			.peer = rows[i].peer,
			.domain = rows[i].domain,
		};
}

const struct region *regions_by_id(const struct regions *r, uint8_t id)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->rows[i].id == id)
			return &r->rows[i];
	return NULL;
}

const struct region *regions_by_name(const struct regions *r, struct str name)
{
	for (uint32_t i = 0; i < r->count; i++) {
		const char *ours = r->rows[i].name;
		if (strlen(ours) == name.len && memcmp(ours, name.data, name.len) == 0)
			return &r->rows[i];
	}
	return NULL;
}

const struct region *regions_self(const struct regions *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (r->rows[i].self)
			return &r->rows[i];
	return NULL;
}

const struct region *regions_by_certificate(const struct regions *r, struct str name)
{
	const struct str suffix = STR(TLS_REGION_SUFFIX);

	if (name.len <= suffix.len || memcmp(name.data + name.len - suffix.len, suffix.data, suffix.len) != 0)
		return NULL;
	name.len -= suffix.len;
	return regions_by_name(r, name);
}

uint32_t regions_data_count(const struct regions *r)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->count; i++)
		count += r->rows[i].data;
	return count;
}
