/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

/* Bytes of the well-formed character at p, 1 to 4; 0 when there is none within left bytes. */
size_t utf8_length(const uint8_t *p, size_t left);
bool utf8_valid(struct str s);
