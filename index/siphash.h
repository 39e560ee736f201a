/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-2-4 (Aumasson, Bernstein) with a key of zeroes: what Qdrant cuts collections into slices by, so that a
 * slice has the same points here.
 */
#pragma once

#include "base/macros.h"

uint64_t siphash24(const void *data, size_t len);
