/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened in a run, line by line, and one number that stands for all of it: equal seeds, equal numbers. What the
 * product logs is part of it (__wrap_log_event).
 */
#pragma once

#include <stdbool.h>

#include "base/log.h"

void trace_begin(bool print);
void trace(const char *fmt, ...) PRINTF_LIKE(1, 2);
uint64_t trace_hash(void);

/* A rule was broken: says so and ends the process. */
NORETURN void violation(const char *rule, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Told the words before the process ends. */
extern void (*violation_told)(const char *words);

/* Told every line that an operator would see. */
extern void (*log_told)(const char *words);
void __wrap_log_event(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
