/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest: which segment files of a vector count. One small file, replaced as a whole, so that a
 * build is taken over at one instant, and a slot which the segments before it needed can be used again.
 * Thread: the one that builds; at start, whoever opens.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#define MANIFEST_SEGMENTS_MAX 64

struct manifest {
	uint64_t next; /* number of the next segment file */
	uint64_t numbers[MANIFEST_SEGMENTS_MAX];
	uint32_t count;
};

/* ERR_NOT_FOUND, ERR_CORRUPT, ERR_VERSION, ERR_IO. */
MUST_USE enum err manifest_load(const char *path, struct manifest *ret_manifest);
/* Durable on return. */
MUST_USE enum err manifest_save(const char *path, const struct manifest *m,
				struct fault *reterr_fault);
