/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What routing needs of its keys: rules and residencies that name regions of the fleet.
 */
#include "gateway/config.h"

#include <string.h>

static const struct config_key rule_rows[] = {
#define KEY(path, kind, extra, initial, least, greatest, member, reload, sentence)                                   \
	{ path, CONFIG_##kind, extra, initial, least, greatest, offsetof(struct config_rule, member),                \
	  CONFIG_##reload, sentence },
#include "gateway/config_rule.def"
#undef KEY
};
const struct config_table config_rule_keys = { rule_rows, LEN(rule_rows), sizeof(struct config_rule) };

static const struct config_key residency_rows[] = {
#define KEY(path, kind, extra, initial, least, greatest, member, reload, sentence)                                   \
	{ path, CONFIG_##kind, extra, initial, least, greatest, offsetof(struct config_residency, member),           \
	  CONFIG_##reload, sentence },
#include "gateway/config_residency.def"
#undef KEY
};
const struct config_table config_residency_keys = { residency_rows, LEN(residency_rows),
						    sizeof(struct config_residency) };

/* Of the member at `offset`, in a struct of that table. */
static const struct config_origin *origin(const struct config_table *t, const struct config_origin *origins,
					  size_t offset)
{
	uint32_t i = 0;

	while (i + 1 < t->count && t->keys[i].offset != offset)
		i++;
	return &origins[i];
}

static const struct config_region *find(const struct config *c, const char *name)
{
	const struct config_region *regions = c->regions.rows;

	for (uint32_t i = 0; i < c->regions.count; i++)
		if (strcmp(regions[i].name, name) == 0)
			return &regions[i];
	return NULL;
}

static bool is_code(const char *text)
{
	return text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z' && text[2] == '\0';
}

static bool is_continent(const char *text)
{
	static const char *const all[] = { "AF", "AN", "AS", "EU", "NA", "OC", "SA" };

	for (size_t i = 0; i < LEN(all); i++)
		if (strcmp(all[i], text) == 0)
			return true;
	return false;
}

static void check_data_region(const struct config *c, const char *name, const struct config_origin *o,
			      const char *path, struct buf *errors)
{
	const struct config_region *r = find(c, name);

	if (!r)
		config_add_error(errors, o, path, "'%s' is none of the regions", name);
	else if (r->role != CONFIG_ROLE_DATA)
		config_add_error(errors, o, path, "'%s' holds no data", name);
}

static void check_rule(const struct config *c, const struct config_rule *r, struct buf *errors)
{
	const struct config_table *t = &config_rule_keys;

	if (!*r->country && !*r->continent)
		config_add_error(errors, origin(t, r->origins, offsetof(struct config_rule, region)), "route.rules",
				 "a rule needs a country or a continent");
	if (*r->country && *r->continent)
		config_add_error(errors, origin(t, r->origins, offsetof(struct config_rule, continent)),
				 "route.rules.continent", "a rule has a country or a continent, not both");
	if (*r->country && !is_code(r->country))
		config_add_error(errors, origin(t, r->origins, offsetof(struct config_rule, country)),
				 "route.rules.country", "'%s' is no country: two capital letters are expected",
				 r->country);
	if (*r->continent && !is_continent(r->continent))
		config_add_error(errors, origin(t, r->origins, offsetof(struct config_rule, continent)),
				 "route.rules.continent", "'%s' is none of AF, AN, AS, EU, NA, OC and SA",
				 r->continent);
	check_data_region(c, r->region, origin(t, r->origins, offsetof(struct config_rule, region)),
			  "route.rules.region", errors);
}

static void check_residency(const struct config *c, const struct config_residency *rows, uint32_t at,
			    struct buf *errors)
{
	const struct config_table *t = &config_residency_keys;
	const struct config_residency *r = &rows[at];
	const struct config_origin *o = origin(t, r->origins, offsetof(struct config_residency, collection));

	for (uint32_t i = 0; i < at; i++)
		if (strcmp(rows[i].collection, r->collection) == 0)
			config_add_error(errors, o, "route.residency.collection", "there are two rows for '%s'",
					 r->collection);
	if (r->regions.count == 0)
		config_add_error(errors, o, "route.residency.regions", "is empty: nobody could answer for '%s'",
				 r->collection);
	for (uint32_t i = 0; i < r->regions.count; i++)
		check_data_region(c, r->regions.items[i],
				  origin(t, r->origins, offsetof(struct config_residency, regions)),
				  "route.residency.regions", errors);
}

void config_check_route(const struct config *c, struct buf *errors)
{
	const struct config_rule *rules = c->route_rules.rows;
	const struct config_residency *residencies = c->route_residency.rows;
	const struct config_origin *proxies =
		origin(&config_keys, c->origins, offsetof(struct config, proxy_protocol));

	for (uint32_t i = 0; i < c->route_rules.count; i++)
		check_rule(c, &rules[i], errors);
	for (uint32_t i = 0; i < c->route_residency.count; i++)
		check_residency(c, residencies, i, errors);
	if (c->proxy_protocol == CONFIG_PROXY_REQUIRED && c->trusted_proxies.count == 0)
		config_add_error(errors, proxies, "proxy_protocol",
				 "is required of nobody: trusted_proxies names those who may connect");
}
