/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fleet's own certificate authority: one file of a key, which stays with the operator, and a certificate and a key
 * for each region. A certificate names its region as <region>.isthmus and serves both ends of a connection; the authority's
 * own is constrained to such names.
 * Thread: any.
 */
#pragma once

#include "base/clock.h"
#include "base/err.h"

#define PKI_CA_DAYS 3650
#define PKI_DAYS_DEFAULT 825
#define PKI_DAYS_MAX 3650
#define PKI_REGION_MAX 32

/* DIR/ca.key and DIR/ca.pem; makes DIR. ERR_ALREADY_EXISTS: never writes over a key. */
MUST_USE enum err pki_init(const char *dir, struct clock *clock, struct fault *reterr_fault);
/* DIR/REGION.key and DIR/REGION.pem. A key that is there is kept and gets a new certificate. ERR_BAD_INPUT: the
 * region's name, or days. ERR_NOT_FOUND: there is no authority in DIR. */
MUST_USE enum err pki_issue(const char *dir, const char *region, unsigned days, struct clock *clock,
			    struct fault *reterr_fault);
