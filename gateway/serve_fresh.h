/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is what this region has fresh enough for a request: the positions of its session token, and isthmus-max-staleness-ms.
 */
#pragma once

#include "gateway/api.h"

/* How far what is read here lies behind the primary. False: unknown. */
bool serve_staleness_ms(const struct api *api, uint64_t *ret_ms);
/* text: of isthmus-max-staleness-ms; data == NULL: anything will do. ERR_UNAVAILABLE when this region is further behind. */
MUST_USE enum err serve_check_staleness(const struct api *api, struct str text, struct fault *reterr_fault);
/* *ret_wait: this region has yet to reach a position of the token. ERR_SESSION_ORPHANED when it never will. */
MUST_USE enum err serve_check_session(const struct api *api, const struct session *s, bool *ret_wait,
				      struct fault *reterr_fault);
/* Until it has reached them, or SESSION_WAIT_MS have passed: the check tells which. Blocks. */
MUST_USE enum err serve_wait_session(const struct api *api, const struct session *s, struct fault *reterr_fault);
