/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elections of the primary, for operators and for the other regions: what this region votes and holds, as a part of
 * /isthmus/status and of /metrics; the peers' messages.
 * Thread: any.
 */
#pragma once

#include "base/json.h"
#include "gateway/api.h"

/* Members of the object that is open; none where regions do not elect. */
void admin_lease_put(const struct api *api, struct json_writer *w);
void admin_lease_measure(struct replicator *r);
