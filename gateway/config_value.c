/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One value of the configuration: text to member and back, by kind.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "gateway/config_table.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* From the smallest up. */
static const struct unit size_units[] = {
	{ "B", 1 },
	{ "KiB", 1ull << 10 },
	{ "MiB", 1ull << 20 },
	{ "GiB", 1ull << 30 },
	{ "TiB", 1ull << 40 },
};

static const struct unit duration_units[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "m", 60 * 1000 },
	{ "h", 60 * 60 * 1000 },
	{ "d", 24 * 60 * 60 * 1000 },
};

static enum err no_memory(struct fault *reterr_fault)
{
	return fault_set(reterr_fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
}

/* A whole number that may have a sign; false when text is something else. */
static bool parse_int(const char *text, int64_t *ret_number)
{
	char *end;

	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0')
		return false;
	*ret_number = number;
	return true;
}

/* Digits and one of the units; "0" needs none. */
static bool parse_with_unit(const char *text, const struct unit *units, size_t unit_count,
			    uint64_t *ret_number)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (errno != 0)
		return false;
	*ret_number = 0;
	if (number == 0 && *end == '\0')
		return true;
	while (*end == ' ')
		end++;
	for (size_t i = 0; i < unit_count; i++)
		if (strcmp(end, units[i].name) == 0)
			return !__builtin_mul_overflow(number, units[i].factor, ret_number);
	return false;
}

static void write_with_unit(uint64_t number, const struct unit *units, size_t unit_count,
			    struct buf *out)
{
	size_t i = unit_count - 1;

	while (i > 0 && (number == 0 || number % units[i].factor != 0))
		i--;
	(void)buf_printf(out, "%llu%s", (unsigned long long)(number / units[i].factor),
			 units[i].name);
}

/* "HOST:PORT", "[HOST]:PORT" for IPv6, "off". */
static bool parse_address(const char *text, struct arena *a, struct config_address *ret_address)
{
	struct str host = { .data = text };
	const char *colon = strrchr(text, ':');
	int64_t port;

	*ret_address = (struct config_address){ 0 };
	if (strcmp(text, "off") == 0)
		return true;
	if (!colon || colon == text || colon[1] < '0' || colon[1] > '9' ||
	    !parse_int(colon + 1, &port) || port > UINT16_MAX)
		return false;
	host.len = (size_t)(colon - text);
	if (text[0] == '[') {
		if (host.len < 3 || colon[-1] != ']')
			return false;
		host = (struct str){ .data = text + 1, .len = host.len - 2 };
	} else if (memchr(text, ':', host.len)) {
		return false;
	}
	/* A full arena leaves the host NULL, which the caller can tell from "off". */
	ret_address->host = arena_str(a, host).data;
	ret_address->port = (uint16_t)port;
	return true;
}

/* The place of text among words "a|b|c"; -1: none. */
static int find_word(const char *words, const char *text)
{
	size_t len = strlen(text);
	int place = 0;

	for (const char *word = words; word; place++) {
		size_t word_len = strcspn(word, "|");
		if (word_len == len && memcmp(word, text, len) == 0)
			return place;
		word = word[word_len] == '|' ? word + word_len + 1 : NULL;
	}
	return -1;
}

static struct str word_at(const char *words, unsigned place)
{
	const char *word = words;

	while (place-- > 0)
		word += strcspn(word, "|") + 1;
	return (struct str){ .data = word, .len = strcspn(word, "|") };
}

static void write_number(const struct config_key *k, double number, struct buf *out)
{
	if (k->kind == CONFIG_SIZE)
		write_with_unit((uint64_t)number, size_units, LEN(size_units), out);
	else if (k->kind == CONFIG_DURATION)
		write_with_unit((uint64_t)number, duration_units, LEN(duration_units), out);
	else
		(void)buf_printf(out, "%.15g", number);
}

static bool has_bounds(const struct config_key *k)
{
	return k->kind != CONFIG_BOOL && k->kind != CONFIG_CHOICE && k->kind != CONFIG_ADDRESS &&
	       k->kind != CONFIG_PATH;
}

void config_value_bounds(const struct config_key *k, struct buf *out)
{
	if (!has_bounds(k))
		return;
	write_number(k, k->least, out);
	(void)buf_append_cstr(out, " to ");
	write_number(k, k->greatest, out);
	if (k->kind == CONFIG_STRING)
		(void)buf_append_cstr(out, " characters");
	if (k->kind == CONFIG_STRINGS || k->kind == CONFIG_LIST)
		(void)buf_append_cstr(out, " of them");
}

enum err config_value_check(const struct config_key *k, double number, struct fault *reterr_fault)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(FAULT_TEXT_MAX);

	if (number >= k->least && number <= k->greatest)
		return ERR_NONE;
	write_number(k, number, &words);
	(void)buf_append_cstr(&words, " is outside ");
	write_number(k, k->least, &words);
	(void)buf_append_cstr(&words, " to ");
	write_number(k, k->greatest, &words);
	if (k->kind == CONFIG_STRING || k->kind == CONFIG_PATH)
		(void)buf_append_cstr(&words, " characters");
	return fault_set(reterr_fault, ERR_CONFIG, "%.*s", STR_FMT(buf_str(&words)));
}

static enum err parse_text(const struct config_key *k, const char *text, struct arena *a,
			   const char **ret_text, struct fault *reterr_fault)
{
	size_t len = strlen(text);
	enum err err = config_value_check(k, (double)len, reterr_fault);

	if (err)
		return err;
	*ret_text = arena_str(a, (struct str){ .data = text, .len = len }).data;
	return *ret_text ? ERR_NONE : no_memory(reterr_fault);
}

static enum err parse_measure(const struct config_key *k, const char *text, uint64_t *ret_number,
			      struct fault *reterr_fault)
{
	bool is_size = k->kind == CONFIG_SIZE;

	if (is_size && !parse_with_unit(text, size_units, LEN(size_units), ret_number))
		return fault_set(
			reterr_fault, ERR_CONFIG,
			"'%s' is no size: a whole number with B, KiB, MiB, GiB or TiB is expected",
			text);
	if (!is_size && !parse_with_unit(text, duration_units, LEN(duration_units), ret_number))
		return fault_set(
			reterr_fault, ERR_CONFIG,
			"'%s' is no time: a whole number with ms, s, m, h or d is expected", text);
	return config_value_check(k, (double)*ret_number, reterr_fault);
}

static enum err parse_place(const struct config_key *k, const char *text, struct arena *a,
			    struct config_address *ret_address, struct fault *reterr_fault)
{
	if (!parse_address(text, a, ret_address))
		return fault_set(
			reterr_fault, ERR_CONFIG,
			"'%s' is no address: HOST:PORT, [IPV6]:PORT or \"off\" is expected", text);
	if (strcmp(text, "off") == 0)
		return ERR_NONE;
	if (!ret_address->host)
		return no_memory(reterr_fault);
	return config_value_check(k, ret_address->port, reterr_fault);
}

static enum err parse_choice(const struct config_key *k, const char *text, unsigned *ret_place,
			     struct fault *reterr_fault)
{
	int place = find_word(k->extra, text);

	if (place < 0)
		return fault_set(reterr_fault, ERR_CONFIG, "'%s' is not one of %s", text,
				 (const char *)k->extra);
	*ret_place = (unsigned)place;
	return ERR_NONE;
}

static enum err parse_number(const struct config_key *k, const char *text, void *ret_value,
			     struct fault *reterr_fault)
{
	char *end;
	double number = strtod(text, &end);

	if (k->kind == CONFIG_INT && !parse_int(text, ret_value))
		return fault_set(reterr_fault, ERR_CONFIG, "'%s' is no whole number", text);
	if (k->kind == CONFIG_FLOAT) {
		if (end == text || *end != '\0' || !isfinite(number))
			return fault_set(reterr_fault, ERR_CONFIG, "'%s' is no number", text);
		*(double *)ret_value = number;
	}
	return config_value_check(k, number, reterr_fault);
}

enum err config_value_parse(const struct config_key *k, const char *text, struct arena *a,
			    void *ret_value, struct fault *reterr_fault)
{
	switch (k->kind) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		return parse_text(k, text, a, ret_value, reterr_fault);
	case CONFIG_INT:
	case CONFIG_FLOAT:
		return parse_number(k, text, ret_value, reterr_fault);
	case CONFIG_BOOL:
		*(bool *)ret_value = strcmp(text, "true") == 0;
		return ERR_NONE;
	case CONFIG_SIZE:
	case CONFIG_DURATION:
		return parse_measure(k, text, ret_value, reterr_fault);
	case CONFIG_ADDRESS:
		return parse_place(k, text, a, ret_value, reterr_fault);
	case CONFIG_CHOICE:
		return parse_choice(k, text, ret_value, reterr_fault);
	case CONFIG_STRINGS:
	case CONFIG_LIST:
		break;
	}
	PANIC("a list is not made of one text");
}

static void write_quoted(const char *text, struct buf *out)
{
	(void)buf_append_byte(out, '"');
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7F) {
			(void)buf_printf(out, "\\x%02x", (unsigned char)*p);
			continue;
		}
		if (*p == '"' || *p == '\\')
			(void)buf_append_byte(out, '\\');
		(void)buf_append_byte(out, (uint8_t)*p);
	}
	(void)buf_append_byte(out, '"');
}

static void write_address(const struct config_address *address, struct buf *out)
{
	if (!address->host)
		(void)buf_append_cstr(out, "\"off\"");
	else if (strchr(address->host, ':'))
		(void)buf_printf(out, "\"[%s]:%u\"", address->host, address->port);
	else
		(void)buf_printf(out, "\"%s:%u\"", address->host, address->port);
}

static void write_strings(const struct config_strings *strings, struct buf *out)
{
	(void)buf_append_cstr(out, "[");
	for (uint32_t i = 0; i < strings->count; i++) {
		(void)buf_append_cstr(out, i == 0 ? " " : ", ");
		write_quoted(strings->items[i], out);
	}
	(void)buf_append_cstr(out, strings->count ? " ]" : "]");
}

/* With a point, lest libconfig reads a whole number. */
static void write_float(double number, struct buf *out)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%.15g", number);
	(void)buf_printf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

void config_value_write(const struct config_key *k, const void *value, struct buf *out)
{
	switch (k->kind) {
	case CONFIG_STRING:
	case CONFIG_PATH:
		write_quoted(*(const char *const *)value, out);
		return;
	case CONFIG_INT:
		(void)buf_printf(out, "%lld", (long long)*(const int64_t *)value);
		return;
	case CONFIG_BOOL:
		(void)buf_append_cstr(out, *(const bool *)value ? "true" : "false");
		return;
	case CONFIG_FLOAT:
		write_float(*(const double *)value, out);
		return;
	case CONFIG_SIZE:
	case CONFIG_DURATION:
		(void)buf_append_byte(out, '"');
		write_number(k, (double)*(const uint64_t *)value, out);
		(void)buf_append_byte(out, '"');
		return;
	case CONFIG_ADDRESS:
		write_address(value, out);
		return;
	case CONFIG_CHOICE:
		(void)buf_printf(out, "\"%.*s\"",
				 STR_FMT(word_at(k->extra, *(const unsigned *)value)));
		return;
	case CONFIG_STRINGS:
		write_strings(value, out);
		return;
	case CONFIG_LIST:
		break;
	}
	PANIC("a list is written row by row");
}

static bool rows_equal(const struct config_table *t, const struct config_list *a,
		       const struct config_list *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		const char *row_a = (const char *)a->rows + i * t->size;
		const char *row_b = (const char *)b->rows + i * t->size;
		for (uint32_t j = 0; j < t->count; j++) {
			const struct config_key *k = &t->keys[j];
			if (!config_value_equal(k, row_a + k->offset, row_b + k->offset))
				return false;
		}
	}
	return true;
}

/* Values that are written the same are the same. */
bool config_value_equal(const struct config_key *k, const void *a, const void *b)
{
	CLEANUP(buf_release) struct buf text_a = BUF_INIT(1u << 20);
	CLEANUP(buf_release) struct buf text_b = BUF_INIT(1u << 20);

	if (k->kind == CONFIG_LIST)
		return rows_equal(k->extra, a, b);
	config_value_write(k, a, &text_a);
	config_value_write(k, b, &text_b);
	return !buf_err(&text_a) && !buf_err(&text_b) && text_a.len == text_b.len &&
	       memcmp(text_a.data, text_b.data, text_a.len) == 0;
}

void config_add_error(struct buf *errors, const struct config_origin *o, const char *path,
		      const char *fmt, ...)
{
	char words[FAULT_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	(void)buf_append_cstr(errors, o->file ? o->file : "default");
	if (o->line > 0)
		(void)buf_printf(errors, ":%u", o->line);
	if (path && *path)
		(void)buf_printf(errors, ": %s", path);
	(void)buf_printf(errors, ": %s\n", words);
}
