/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold, whatever happens. It reads each disk after each commit on it, and never asks the product whether all is
 * well:
 *
 *   durable      what is acknowledged, or reaches another region, is on its writer's disk
 *   chain        no two logs have the same (scope, epoch, seq) and differ
 *   order        a log has no holes, and a region's position never goes back by itself
 *   prefix       equal positions, equal rows
 *   strong       nobody takes back what was confirmed
 *   kept         what was acknowledged is in the history at the end, or among the orphans of who had it, if a disk survived that
 *                had it; what was confirmed is in the history
 *   whole        what was damaged is as it was at the end
 *   converged    at the end all regions hold what the ops say by themselves, the last writer winning
 *
 * Collection "s" has one writer, "m" has all regions as writers. Their points have whole numbers under the keys of
 * ORACLE_KEYS; every value written in a run is another one.
 */
#pragma once

#include "tests/sim/last_writer.h"
#include "tests/sim/site.h"

#define ORACLE_POINTS 24
#define ORACLE_KEYS 2
#define ORACLE_COLLECTIONS 2
/* A value that nobody writes, in rows that were damaged. */
#define ORACLE_DAMAGE (-1)
extern const char *const oracle_keys[ORACLE_KEYS];
extern const char *const oracle_collections[ORACLE_COLLECTIONS];

struct oracle;

struct oracle *oracle_new(struct site *sites);
void oracle_free(struct oracle *o);

/* disk_written_fn of a site. */
struct oracle_site {
	struct oracle *oracle;
	struct site *site;
};
void oracle_written(void *ctx, struct store *store);
struct oracle_site *oracle_site(struct oracle *o, uint32_t number);
/* A disk was replaced by another, which begins where its content says. */
void oracle_replaced(struct oracle *o, uint32_t number);

/* A region says that a write is done: it must be on that region's disk by then, and a confirmed one on a second. */
void oracle_acknowledged(struct oracle *o, uint32_t number, struct position p, enum ack_level level);
/* What no other disk has will be gone with this one: it may be missed then. */
void oracle_excuse(struct oracle *o, uint32_t number);
/* Has every other disk all that was acknowledged as confirmed? */
bool oracle_may_lose(const struct oracle *o, uint32_t number);
/* The greatest position of the fleet's history that was acknowledged and not excused. */
struct position oracle_promised(const struct oracle *o);
/* Does who is furthest have it? */
bool oracle_in_history(const struct oracle *o, struct position p);
/* How far the disk of a site is in the fleet's history. */
struct position oracle_position(const struct oracle *o, uint32_t number);
/* Do all disks hold the same logs? */
bool oracle_level(const struct oracle *o);

/* The rows of a disk that is closed: one becomes another, as if the disk had it so. Until it is again what
 * it was, that disk's rows prove nothing. false: there is none, or another disk is not whole. */
bool oracle_damage(struct oracle *o, uint32_t number, uint64_t random);
/* A point as that process shows it. */
void oracle_read_point(struct boot *b, uint32_t collection, uint64_t id, struct last_writer_point *ret_point);
/* Is every disk whole? */
bool oracle_is_whole(const struct oracle *o);
/* Looks at all rows of all disks now. */
void oracle_look(struct oracle *o);

/* The end: all is quiet, and all sites are up. */
void oracle_conclude(struct oracle *o);
/* How many ops were written, for the figures. */
uint64_t oracle_ops(const struct oracle *o);
/* A number that stands for all that was written. */
uint64_t oracle_digest(const struct oracle *o);
