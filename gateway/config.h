/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of the daemon: config.def makes the struct, config_table.h reads it. A key that is not in the
 * file has its default; an unknown key is an error. What is wrong is told for all keys at once, each with file and
 * line. `@include "name"` at the beginning of a line takes in another file of the same folder.
 * Thread: main reads it; others see it as it was then.
 */
#pragma once

#include "gateway/config_table.h"
#include "gateway/limits.h"

/* Of threads.loops. */
#define CONFIG_LOOPS_MAX 256

struct config {
	struct config_origin *origins;
#define KEY(path, kind, extra, initial, least, greatest, member, reload, sentence)                 \
	CONFIG_MEMBER_##kind member;
#include "gateway/config.def"
#undef KEY
	struct arena arena; /* all that the members point to */
	struct config_origin whole; /* the file itself, where what it lacks is missing */
};

extern const struct config_table config_keys;

/* One row of `regions`. */
struct config_region {
	struct config_origin *origins;
#define KEY(path, kind, extra, initial, least, greatest, member, reload, sentence) CONFIG_MEMBER_##kind member;
#include "gateway/config_region.def"
#undef KEY
};

extern const struct config_table config_region_keys;

/* One row of `route.rules`. */
struct config_rule {
	struct config_origin *origins;
#define KEY(path, kind, extra, initial, least, greatest, member, reload, sentence) CONFIG_MEMBER_##kind member;
#include "gateway/config_rule.def"
#undef KEY
};

extern const struct config_table config_rule_keys;

/* One row of `route.residency`. */
struct config_residency {
	struct config_origin *origins;
#define KEY(path, kind, extra, initial, least, greatest, member, reload, sentence) CONFIG_MEMBER_##kind member;
#include "gateway/config_residency.def"
#undef KEY
};

extern const struct config_table config_residency_keys;

/* Places of the words of region.role, route.mode and proxy_protocol. */
enum config_role { CONFIG_ROLE_DATA, CONFIG_ROLE_GATEWAY, CONFIG_ROLE_WITNESS };
enum config_failover { CONFIG_FAILOVER_OFF, CONFIG_FAILOVER_AUTO };
enum config_route_mode { CONFIG_ROUTE_AUTO, CONFIG_ROUTE_NEAREST, CONFIG_ROUTE_LOCAL };
enum config_proxy { CONFIG_PROXY_OFF, CONFIG_PROXY_REQUIRED };

/* file NULL: the defaults alone. Empty keys whose default depends on the machine (storage.dir, listen.ctl,
 * session.key_file) are filled in. On failure errors has lines "FILE:LINE: path: words". */
MUST_USE enum err config_load(const char *file, struct config **ret_config, struct buf *errors);
void config_free(struct config *c);
/* Where a member was given; the file, when it has its default. */
const struct config_origin *config_origin(const struct config *c, const void *member);
/* Adds the words of a fault that begin with a key of the configuration ("tls.key: …"), as config_load() does: with the file
 * and line where the key was given. */
void config_add_fault(const struct config *c, const struct fault *f, struct buf *errors);

/* What must be true of all keys of the fleet together; lines as config_load()'s. For config.c. */
void config_check_fleet(const struct config *c, struct buf *errors);
/* The times of a lease as the keys failover.* have them. */
struct lease_config config_lease(const struct config *c);
/* The same of routing. */
void config_check_route(const struct config *c, struct buf *errors);

/* The files etc/isthmus.conf and doc/isthmus.conf.5. */
void config_sample(struct buf *out);
void config_manual(struct buf *out);

/* The limits of connections: limits.def's, but for those that have a key. */
void config_conn_limits(const struct config *c, struct conn_limits *ret_limits);
