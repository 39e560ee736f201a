/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be known of a configuration file before libconfig reads it, because libconfig 1.5 does not say it:
 * that a whole number does not fit 32 bits (it would be cut in silence), that a file is a folder (its lexer would
 * end the process), that an included file has no usable name.
 * Thread: any.
 */
#pragma once

#include "base/buf.h"

#define CONFIG_FILE_BYTES_MAX (1u << 20)
#define CONFIG_INCLUDE_DEPTH_MAX 10

/* The file and all that it includes from folder dir. Appends lines "FILE:LINE: words"; ERR_CONFIG when there is
 * any. */
MUST_USE enum err config_scan(const char *file, const char *dir, struct buf *errors);
