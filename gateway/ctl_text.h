/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people at a terminal. What came from a server or a database commands no terminal.
 * Thread: any.
 */
#pragma once

#include <stdio.h>

#include "base/macros.h"

/* Control characters and what is not UTF-8 become '?'; blanks follow until there are that many characters. */
void ctl_text_put(FILE *out, struct str text, size_t columns);
/* 12.3 GiB, 512 B. */
void ctl_text_size(char out[static 16], uint64_t bytes);
/* 3 d 4 h, 12 min, 5 s: the two greatest units at most. */
void ctl_text_duration(char out[static 24], double seconds);
