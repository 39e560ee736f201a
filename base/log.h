/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event to stderr: level, message, key=value. Under systemd (JOURNAL_STREAM) each line
 * starts with <N>, which journald reads as its priority; elsewhere with time and level.
 * base/, index/ and merge never log above debug; a function logs or returns its error, not both.
 */
#pragma once

#include "base/macros.h"

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

void log_set_level(enum log_level level);
enum log_level log_level_now(void);
/* At most 2,048 bytes; control characters are escaped. */
void log_event(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)
