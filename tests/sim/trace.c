/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "tests/sim/fiber.h"

#define LINE_MAX_BYTES 1024

void (*violation_told)(const char *words);
void (*log_told)(const char *words);

static uint64_t hash;
static bool printing;

void trace_begin(bool print)
{
	hash = 0;
	printing = print;
}

static void add(const char *words)
{
	uint64_t now_ns = fiber_now_ns();

	hash = hash64(&now_ns, sizeof(now_ns), hash);
	hash = hash64(words, strlen(words), hash);
	if (printing) {
		const struct process *p = fiber_process();

		printf("%12.6f %-4s %-16s %s\n", (double)now_ns / 1e9, p ? p->name : "-", fiber_name(), words);
		(void)fflush(stdout);
	}
}

void trace(const char *fmt, ...)
{
	char words[LINE_MAX_BYTES];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	add(words);
}

uint64_t trace_hash(void)
{
	return hash;
}

void violation(const char *rule, const char *fmt, ...)
{
	char words[LINE_MAX_BYTES];
	int n = snprintf(words, sizeof(words), "%s: ", rule);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(words + n, sizeof(words) - (size_t)n, fmt, args);
	va_end(args);
	add(words);
	if (violation_told)
		violation_told(words);
	_exit(1);
}

/* What is for debugging is printed, too, but only what an operator sees is part of the history. */
void __wrap_log_event(enum log_level level, const char *fmt, ...)
{
	char words[LINE_MAX_BYTES];
	int n = snprintf(words, sizeof(words), "log: ");
	va_list args;

	if (level == LOG_LEVEL_DEBUG && !printing)
		return;
	va_start(args, fmt);
	(void)vsnprintf(words + n, sizeof(words) - (size_t)n, fmt, args);
	va_end(args);
	if (level == LOG_LEVEL_DEBUG)
		printf("%12.6f debug %s\n", (double)fiber_now_ns() / 1e9, words);
	else
		add(words);
	if (level != LOG_LEVEL_DEBUG && log_told)
		log_told(words + strlen("log: "));
}
