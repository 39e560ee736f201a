/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Library functions that have no place here. The build includes this file before every source, so
 * that naming one, even by its address, is an error of the compiler, with what to use instead.
 * They are declared by hand, not by including their headers: a source must ask for what it uses.
 * clang, under _FORTIFY_SOURCE, turns sprintf into a macro and misses it; gcc, built as often, does not.
 * clock_gettime has one caller, base/clock.c; that is checked by tests/tidy.sh.
 */
#pragma once

#include <alloca.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#define BANNED(instead) __attribute__((unavailable("banned, use " instead)))

char *strcpy(char *to, const char *from) BANNED("buf_append_cstr");
char *strcat(char *to, const char *from) BANNED("buf_append_cstr");
char *strncpy(char *to, const char *from, size_t n) BANNED("buf_append");
char *strncat(char *to, const char *from, size_t n) BANNED("buf_append");
int sprintf(char *to, const char *fmt, ...) BANNED("buf_printf or snprintf");
int vsprintf(char *to, const char *fmt, va_list args) BANNED("buf_printf or vsnprintf");
char *gets(char *to) BANNED("read");
char *strtok(char *text, const char *separators) BANNED("memchr");

int atoi(const char *text) BANNED("strtol and its end pointer");
double atof(const char *text) BANNED("strtod and its end pointer");

struct tm *gmtime(const time_t *t) BANNED("gmtime_r");
struct tm *localtime(const time_t *t) BANNED("gmtime_r: no local times");
char *ctime(const time_t *t) BANNED("strftime");
char *asctime(const struct tm *t) BANNED("strftime");
time_t time(time_t *t) BANNED("clock_wall_ms");

int rand(void) BANNED("getrandom, or a generator with a seed of its own");
int system(const char *command) BANNED("posix_spawn");
#undef alloca
void *alloca(size_t n) BANNED("arena_alloc");

#undef BANNED
