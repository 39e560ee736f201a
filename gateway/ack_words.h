/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header isthmus-ack: in a request the data regions that are to have applied a write before it is acknowledged,
 * in a reply what it has reached.
 *
 *   request  all | NUMBER | NAME[, NAME …]
 *   reply    local,visible[,stream][,confirmed][,regions=NUMBER]
 * Thread: any.
 */
#pragma once

#include "base/buf.h"
#include "replicator/ack.h"

struct regions;

/* Of a reply: every word, and the names of all regions. */
#define ACK_WORDS_MAX 8192

/* regions: none or NULL when this one is alone; `self` is its name then. What this fleet can never reach is
 * refused. */
MUST_USE enum err ack_words_parse(struct str text, const struct regions *regions, const char *self,
				  struct ack_regions *ret_regions, struct fault *reterr_fault);

struct ack_report {
	enum ack_level level;        /* reached */
	struct ack_applied applied;
	bool regions;                /* they were asked for */
};
void ack_words_write(const struct ack_report *r, struct buf *out);
/* Names of the regions that applied it, as the configuration has them: "eu,us". */
void ack_words_write_names(const struct ack_report *r, const struct regions *regions, const char *self,
			   struct buf *out);
