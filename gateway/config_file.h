/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that keys of the configuration name. What is wrong with one is told as "KEY: FILE: words"; key NULL: without it.
 * Thread: any.
 */
#pragma once

#include "base/buf.h"

/* Is it a file, can it be read, and is there anything in it? ERR_CONFIG. */
MUST_USE enum err config_file_check(const char *key, const char *file, struct fault *reterr_fault);
/* Its first bytes, cap at most. ERR_CONFIG. */
MUST_USE enum err config_file_read(const char *key, const char *file, uint8_t *bytes, size_t cap, size_t *ret_len,
				   struct fault *reterr_fault);
/* ERR_CONFIG, with these words. */
MUST_USE enum err config_file_fault(const char *key, const char *file, struct fault *reterr_fault, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
