/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/serve_allow.h"

/* The rights of a key; the level of claims in the method's collection, or everywhere where it has none. */
static const struct {
	enum auth_rights rights;
	enum jwt_level level;
} needs[] = {
	[ACCESS_OPEN] = { AUTH_NONE, JWT_NOTHING },	/* to all */
	[ACCESS_LIST] = { AUTH_READ, JWT_NOTHING },	/* shows no more than may be read */
	[ACCESS_READ] = { AUTH_READ, JWT_READ },
	[ACCESS_WRITE] = { AUTH_ALL, JWT_POINTS },
	[ACCESS_DEFINE] = { AUTH_ALL, JWT_WRITE },
	[ACCESS_MANAGE] = { AUTH_ALL, JWT_MANAGE },
	[ACCESS_PEER] = { AUTH_NONE, JWT_NOTHING },	/* whoever has no certificate does not get here */
};

enum err serve_allow(const struct auth_grant *g, const struct method *m, struct fault *reterr_fault)
{
	/* A list of collections never allows what is the server's, whatever it says of one. */
	bool everywhere = m->access == ACCESS_MANAGE || !message_has_collection(m->in);
	bool lacks = g->rights < needs[m->access].rights;
	bool lacks_claims = everywhere && g->claims && g->claims->level < needs[m->access].level;

	if (!lacks && !lacks_claims)
		return ERR_NONE;
	if (m->access == ACCESS_MANAGE)
		return fault_set(reterr_fault, ERR_FORBIDDEN, "Global manage access is required");
	return fault_set(reterr_fault, ERR_FORBIDDEN, lacks ? "Write access is required" : "Global access is required");
}

static enum err allow_collection(const struct call *c, struct fault *reterr_fault)
{
	struct str collection = message_collection(c->method->in, c->in);
	enum jwt_level level = jwt_level_in(c->claims, collection);

	if (level >= needs[c->method->access].level)
		return ERR_NONE;
	return fault_set(reterr_fault, ERR_FORBIDDEN, "%s to collection %.*s is required",
			 level == JWT_NOTHING ? "Access" : "Write access", STR_FMT(collection));
}

/* The point that a token stands for may be gone: then so is what it allows. */
static enum err check_value(const struct call *c, struct fault *reterr_fault)
{
	struct collection *collection = catalog_get(c->api->catalog, c->claims->value_collection);
	struct point_id id, next;
	uint32_t count = 0;
	bool more;
	enum err err = ERR_NONE;

	if (collection) {
		err = collection_scroll(collection, c->claims->value_filter, NULL, 1, NULL, &id, &count, &more, &next);
		collection_unref(collection);
	}
	if (err)
		return err;
	return count ? ERR_NONE
		     : fault_set(reterr_fault, ERR_UNAUTHENTICATED, "Invalid JWT, stateful validation failed");
}

enum err serve_allow_claims(const struct call *c, struct fault *reterr_fault)
{
	if (!c->claims || c->method->access == ACCESS_OPEN)
		return ERR_NONE;
	enum err err = message_has_collection(c->method->in) ? allow_collection(c, reterr_fault) : ERR_NONE;

	return !err && c->claims->has_value ? check_value(c, reterr_fault) : err;
}
