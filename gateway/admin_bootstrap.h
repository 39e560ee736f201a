/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of another region's state: how far it is, in the status.
 * Thread: any.
 */
#pragma once

#include "base/json.h"
#include "gateway/api.h"

/* The member "bootstrap" of an object that is open. */
void admin_bootstrap_put(const struct api *api, struct json_writer *w);
