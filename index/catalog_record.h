/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog's records in STORE_CATALOG.
 */
#pragma once

#include "index/collection_inner.h"

#define CATALOG_KEY_BYTES 9
#define CATALOG_FIELDS_MAX 1024

struct catalog_record {
	bool dropped; /* its rows wait to be deleted */
	struct str name;
	struct collection_config config;
	uint32_t *uids; /* config.shard_number */
	struct field_list fields;
};

void catalog_key(struct incarnation i, uint8_t out[CATALOG_KEY_BYTES]);
MUST_USE enum err catalog_record_put(struct buf *out, const struct catalog_record *r);
/* Views point into record, arrays into the arena. ERR_CORRUPT, ERR_VERSION. */
MUST_USE enum err catalog_record_get(struct bytes record, struct arena *a,
				     struct catalog_record *ret_record);

/* ERR_BAD_INPUT names what no collection can be. */
MUST_USE enum err catalog_config_check(const struct collection_config *config,
				       struct fault *reterr_fault);
