/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may call which method: what each word of method.def's column "access" asks of a key, and of a token's claims.
 */
#pragma once

#include "gateway/api.h"
#include "gateway/auth.h"

/* Before the message is read: what can never be allowed. ERR_FORBIDDEN in Qdrant's words. */
MUST_USE enum err serve_allow(const struct auth_grant *g, const struct method *m, struct fault *reterr_fault);
/* Of claims, when the message is known: may they do this in its collection, and do they still count? Reads points: not on a
 * loop when the claims name a value. */
MUST_USE enum err serve_allow_claims(const struct call *c, struct fault *reterr_fault);
