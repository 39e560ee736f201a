/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moments as payloads and filters write them: microseconds since 1970-01-01T00:00:00Z. What is finer is cut off.
 */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

/*
 * The forms that Qdrant reads:
 *   2024-02-29T12:34:56[.f…][zone]   also with a space instead of the T; zone: Z, +hh:mm, +hhmm or +hh
 *   2024-02-29 12:34
 *   2024-02-29
 * Without a zone it is UTC. False: the text is none of these, or no moment of the calendar.
 */
bool datetime_parse(struct str text, int64_t *ret_us);
#define DATETIME_TEXT_MAX 40
/* RFC 3339, which datetime_parse reads back; terminated. Of years 0 to 9999. */
size_t datetime_format(int64_t us, char out[DATETIME_TEXT_MAX]);
