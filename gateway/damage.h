/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage on purpose, for tests and demonstrations of audits: changes one point in the folder of a region that is stopped, as
 * a fault of disk or memory could, and so that nothing but a comparison with other regions, or with hashes, shows it.
 */
#pragma once

#include <stdio.h>

#include "base/err.h"

struct damage_options {
	const char *data_dir;     /* storage.dir of the stopped region */
	const char *collection;
	const char *id;           /* a number or a UUID */
	const char *what;         /* "payload": one value of the same length; "vector": values that do not fit their hash;
				   * "missing": the whole row; "record": a record that fails its checksum */
	FILE *out;                /* one line says what was done */
};

/* ERR_UNAVAILABLE or ERR_ALREADY_EXISTS: the region runs. ERR_NOT_FOUND, ERR_BAD_INPUT with words. */
MUST_USE enum err damage_point(const struct damage_options *o, struct fault *reterr_fault);
