/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators are told of the logs of collections that every region writes: which do not go on here, and why; which of this
 * region's do not go on elsewhere; whether its clock is off. A part of /isthmus/status and of /metrics.
 * Thread: any.
 */
#pragma once

#include "base/json.h"
#include "gateway/api.h"

/* Members of the object that is open. */
MUST_USE enum err admin_logs_put(struct call *c, struct json_writer *w);
/* Into the metrics, as it is now. */
void admin_logs_measure(struct replicator *r);
