/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Impossible states end the process: message, place, abort. Kept in production builds.
 * Never for input, disks or peers: those return enum err.
 */
#pragma once

#include "base/macros.h"

NORETURN void panic_at(const char *file, int line, const char *what);

#define ASSERT(condition) ((condition) ? (void)0 : panic_at(__FILE__, __LINE__, #condition))
#define PANIC(what) panic_at(__FILE__, __LINE__, (what))
