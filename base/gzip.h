/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip and zlib streams, bounded: output beyond max_bytes, or beyond 100 times the input, is refused.
 */
#pragma once

#include "base/buf.h"

/* Appends the decompressed bytes to out (whose own maximum holds). ERR_TOO_LARGE, ERR_BAD_REQUEST. */
MUST_USE enum err gzip_inflate(struct bytes in, struct buf *out);
/* level 1 (fast) to 9. Appends a zlib stream (gzip_deflate) that gzip_inflate reads; gzip_inflate takes both forms. */
MUST_USE enum err gzip_deflate(struct bytes in, int level, struct buf *out);
