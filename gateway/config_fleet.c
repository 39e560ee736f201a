/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of regions, and what a fleet needs of the other keys.
 */
#include "gateway/config.h"
#include "replicator/lease_config.h"

#include <string.h>

#define FAILOVER_VOTERS_MIN 3

static const struct config_key rows[] = {
#define KEY(path, kind, extra, initial, least, greatest, member, reload, sentence)                 \
	{ path,                                                                                    \
	  CONFIG_##kind,                                                                           \
	  extra,                                                                                   \
	  initial,                                                                                 \
	  least,                                                                                   \
	  greatest,                                                                                \
	  offsetof(struct config_region, member),                                                  \
	  CONFIG_##reload,                                                                         \
	  sentence },
#include "gateway/config_region.def"
#undef KEY
};

const struct config_table config_region_keys = { rows, LEN(rows), sizeof(struct config_region) };

static const struct config_region *region_at(const struct config *c, uint32_t i)
{
	return &((const struct config_region *)c->regions.rows)[i];
}

/* Where `member` of `out`, a struct of table t, was given. */
static const struct config_origin *origin(const struct config_table *t, const void *out,
					  const struct config_origin *origins, const void *member)
{
	size_t offset = (size_t)((const char *)member - (const char *)out);
	uint32_t i = 0;

	while (i + 1 < t->count && t->keys[i].offset != offset)
		i++;
	return &origins[i];
}

static const struct config_origin *row_origin(const struct config_region *r, const void *member)
{
	return origin(&config_region_keys, r, r->origins, member);
}

/* It stands in names of streams and in subjects; a region's also in DNS names. */
static bool is_name(const char *name, bool underscore)
{
	size_t len = strspn(name, underscore ? "abcdefghijklmnopqrstuvwxyz0123456789-_"
					     : "abcdefghijklmnopqrstuvwxyz0123456789-");

	return name[len] == '\0' && name[0] != '-';
}

static void check_row(const struct config *c, uint32_t at, struct buf *errors)
{
	const struct config_region *r = region_at(c, at);

	if (!is_name(r->name, false))
		config_add_error(errors, row_origin(r, &r->name), "regions.name",
				 "'%s' has other than small letters, digits and '-', or begins with '-'", r->name);
	for (uint32_t i = 0; i < at; i++) {
		if (strcmp(region_at(c, i)->name, r->name) == 0)
			config_add_error(errors, row_origin(r, &r->name), "regions.name", "there are two regions '%s'",
					 r->name);
		if (region_at(c, i)->id == r->id)
			config_add_error(errors, row_origin(r, &r->id), "regions.id", "there are two regions of number %d",
					 (int)r->id);
	}
	if (*c->nats_url && (*r->domain != '\0') != (*c->nats_domain != '\0'))
		config_add_error(errors, row_origin(r, &r->domain), "regions.domain",
				 "either all nats-servers have a JetStream domain of their own, or none has");
}

static const struct config_region *find(const struct config *c, const char *name)
{
	for (uint32_t i = 0; i < c->regions.count; i++)
		if (strcmp(region_at(c, i)->name, name) == 0)
			return region_at(c, i);
	return NULL;
}

struct lease_config config_lease(const struct config *c)
{
	struct lease_config l = LEASE_CONFIG_DEFAULT;

	l.hold_ms = (uint32_t)c->failover_hold_ms;
	l.wait_ms = (uint32_t)c->failover_wait_ms;
	l.renew_ms = (uint32_t)c->failover_renew_ms;
	l.max_loss_ms = (uint32_t)c->failover_max_loss_ms;
	return l;
}

/* Two voters could not do without either of them: the fleet would stop writing whenever one is away. */
static void check_failover(const struct config *c, struct buf *errors)
{
	const struct lease_config lease = config_lease(c);
	const struct config_origin *at = config_origin(c, &c->failover_mode);
	uint32_t data = 0, witnesses = 0;
	struct fault f = { 0 };

	if (c->failover_mode == CONFIG_FAILOVER_OFF)
		return;
	for (uint32_t i = 0; i < c->regions.count; i++) {
		data += region_at(c, i)->role == CONFIG_ROLE_DATA;
		witnesses += region_at(c, i)->role == CONFIG_ROLE_WITNESS;
	}
	uint32_t majority = (data + witnesses) / 2 + 1;
	if (data + witnesses < FAILOVER_VOTERS_MIN)
		config_add_error(errors, at, "failover.mode",
				 "auto needs at least %d voters, and regions has %u: give a gateway the role 'witness'",
				 FAILOVER_VOTERS_MIN, data + witnesses);
	else if (data < majority)
		config_add_error(errors, at, "failover.mode",
				 "auto with %u data regions and %u witnesses: fewer data regions than a majority of the voters, which "
				 "is %u, so no write could ever be confirmed; make a witness a gateway",
				 data, witnesses, majority);
	if (lease_config_check(&lease, &f) != ERR_NONE)
		config_add_error(errors, config_origin(c, &c->failover_hold_ms), "failover", "%s", fault_text(&f));
}

/* What the file says twice about this region. */
static void check_self(const struct config *c, struct buf *errors)
{
	const struct config_region *self = find(c, c->region_name);

	if (!self) {
		config_add_error(errors, config_origin(c, &c->regions), "regions", "has no row for region.name '%s'",
				 c->region_name);
		return;
	}
	if (self->id != c->region_id)
		config_add_error(errors, row_origin(self, &self->id), "regions.id",
				 "%d is not region.id, which is %d", (int)self->id, (int)c->region_id);
	if (self->role != c->region_role)
		config_add_error(errors, row_origin(self, &self->role), "regions.role", "is not region.role");
	if (*c->nats_url && strcmp(self->domain, c->nats_domain) != 0)
		config_add_error(errors, row_origin(self, &self->domain), "regions.domain",
				 "'%s' is not nats.domain, which is '%s'", self->domain, c->nats_domain);
}

static void check_home(const struct config *c, struct buf *errors)
{
	const struct config_region *home = find(c, c->scope_home);

	if (!home || home->role != CONFIG_ROLE_DATA)
		config_add_error(errors, config_origin(c, &c->scope_home), "scope.home",
				 "'%s' is none of the data regions in regions", c->scope_home);
}

static void check_needed(const struct config *c, struct buf *errors)
{
	const struct {
		const char *const *member;
		const char *path, *why;
	} needed[] = {
		{ &c->peer_certificate, "peer.certificate", "regions trust each other by certificates" },
		{ &c->peer_key, "peer.key", "regions trust each other by certificates" },
		{ &c->peer_ca, "peer.ca", "regions trust each other by certificates" },
	};

	for (size_t i = 0; i < LEN(needed); i++)
		if (!**needed[i].member)
			config_add_error(errors, config_origin(c, needed[i].member), needed[i].path, "is missing: %s",
					 needed[i].why);
	if (!c->listen_peer.host)
		config_add_error(errors, config_origin(c, &c->listen_peer), "listen.peer",
				 "is off, so the other regions cannot reach this one");
	if (config_origin(c, &c->session_key_file)->line == 0)
		config_add_error(errors, config_origin(c, &c->session_key_file), "session.key_file",
				 "is missing: a token of one region must be good in all");
}

void config_check_fleet(const struct config *c, struct buf *errors)
{
	if (!is_name(c->fleet_name, true))
		config_add_error(errors, config_origin(c, &c->fleet_name), "fleet.name",
				 "'%s' has other than small letters, digits, '-' and '_', or begins with '-'",
				 c->fleet_name);
	if (c->regions.count == 0) {
		if (c->listen_peer.host)
			config_add_error(errors, config_origin(c, &c->listen_peer), "listen.peer", "is given without regions");
		if (c->region_role != CONFIG_ROLE_DATA)
			config_add_error(errors, config_origin(c, &c->region_role), "region.role",
					 "a gateway needs regions that hold data");
		return;
	}
	for (uint32_t i = 0; i < c->regions.count; i++)
		check_row(c, i, errors);
	check_self(c, errors);
	check_home(c, errors);
	check_failover(c, errors);
	check_needed(c, errors);
}
