/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written from the table of keys: the sample, the manual's list, the dump of what holds.
 * Groups are one level deep, and their keys stand together in the table.
 */
#include <string.h>

#include "gateway/config_table.h"

#define COLUMNS 100
#define TAB 8
#define MDOC_COLUMNS 76

static const char *const kind_words[] = {
	[CONFIG_STRING] = "text",         [CONFIG_PATH] = "path",
	[CONFIG_INT] = "number",          [CONFIG_BOOL] = "true or false",
	[CONFIG_FLOAT] = "number",        [CONFIG_SIZE] = "size",
	[CONFIG_DURATION] = "time",       [CONFIG_ADDRESS] = "address",
	[CONFIG_CHOICE] = "one of",       [CONFIG_STRINGS] = "list of texts",
	[CONFIG_LIST] = "list of groups",
};

static void put_tabs(struct buf *out, unsigned depth)
{
	while (depth-- > 0)
		(void)buf_append_byte(out, '\t');
}

/* A comment, broken at blanks. */
static void put_comment(struct buf *out, unsigned depth, struct str text)
{
	size_t room = COLUMNS - depth * TAB - 2;

	while (text.len > 0) {
		size_t len = MIN(text.len, room);
		while (len < text.len && len > 0 && text.data[len] != ' ')
			len--;
		if (len == 0)
			len = text.len;
		put_tabs(out, depth);
		(void)buf_printf(out, "# %.*s\n", (int)len, text.data);
		len += len < text.len;
		text = (struct str){ .data = text.data + len, .len = text.len - len };
	}
}

/* "number, 1 to 255", "one of error, warn", "path". */
static void put_kind(const struct config_key *k, struct buf *out)
{
	CLEANUP(buf_release) struct buf bounds = BUF_INIT(256);

	(void)buf_append_cstr(out, kind_words[k->kind]);
	if (k->kind == CONFIG_CHOICE) {
		(void)buf_append_byte(out, ' ');
		for (const char *p = k->extra; *p; p++)
			(void)buf_printf(out, *p == '|' ? ", " : "%c", *p);
	}
	config_value_bounds(k, &bounds);
	if (bounds.len > 0)
		(void)buf_printf(out, ", %.*s", STR_FMT(buf_str(&bounds)));
}

/* The default, as it would stand in the file. */
static void put_initial(const struct config_key *k, struct buf *out)
{
	if (!k->initial)
		(void)buf_append_cstr(out, "...");
	else if (k->kind == CONFIG_LIST)
		(void)buf_append_cstr(out, "( )");
	else if (k->kind == CONFIG_STRINGS)
		(void)buf_append_cstr(out, "[ ]");
	else if (k->kind == CONFIG_INT || k->kind == CONFIG_BOOL || k->kind == CONFIG_FLOAT)
		(void)buf_append_cstr(out, k->initial);
	else
		(void)buf_printf(out, "\"%s\"", k->initial);
}

/* The group of a path, without its dot. */
static struct str group_of(const char *path)
{
	const char *dot = strchr(path, '.');
	return (struct str){ .data = path, .len = dot ? (size_t)(dot - path) : 0 };
}

static const char *name_of(const char *path)
{
	size_t len = group_of(path).len;
	return path + len + (len > 0);
}

/* Ends the group before row i and begins that of row i, where they differ; i == count: ends the last. */
static void turn_group(const struct config_table *t, uint32_t i, unsigned depth, struct buf *out)
{
	struct str before = i > 0 ? group_of(t->keys[i - 1].path) : (struct str){ 0 };
	struct str after = i < t->count ? group_of(t->keys[i].path) : (struct str){ 0 };

	if (before.len == after.len &&
	    (after.len == 0 || memcmp(before.data, after.data, after.len) == 0))
		return;
	if (before.len > 0) {
		put_tabs(out, depth);
		(void)buf_append_cstr(out, "};\n");
	}
	if (i > 0 && i < t->count)
		(void)buf_append_byte(out, '\n');
	if (after.len > 0) {
		put_tabs(out, depth);
		(void)buf_printf(out, "%.*s = {\n", STR_FMT(after));
	}
}

/* indent: what stands between the '#' and the name. Keys of a list's rows are set in, so that nobody takes them for keys of
 * their own. */
static void put_key_sample(const struct config_key *k, unsigned depth, const char *indent, struct buf *out)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(4096);

	(void)buf_printf(&words, "%s (", k->sentence);
	put_kind(k, &words);
	(void)buf_append_cstr(&words, k->initial ? "" : "; required");
	(void)buf_append_cstr(&words, k->reload == CONFIG_RELOAD ? "; reload)" : ")");
	put_comment(out, depth, buf_str(&words));
	put_tabs(out, depth);
	(void)buf_printf(out, "#%s%s = ", indent, name_of(k->path));
	put_initial(k, out);
	(void)buf_append_cstr(out, ";\n");
	if (k->kind != CONFIG_LIST)
		return;
	const struct config_table *t = k->extra;
	put_comment(out, depth, STR("Each { … } of the list has:"));
	for (uint32_t i = 0; i < t->count; i++)
		put_key_sample(&t->keys[i], depth, "\t", out);
}

void config_table_sample(const struct config_table *t, struct buf *out)
{
	for (uint32_t i = 0; i < t->count; i++) {
		bool grouped = group_of(t->keys[i].path).len > 0;
		turn_group(t, i, 0, out);
		put_key_sample(&t->keys[i], grouped, "", out);
	}
	turn_group(t, t->count, 0, out);
}

/* Text for mdoc: a sentence begins a line, a line that begins with '.' would be a macro, a backslash an escape. */
static void put_mdoc(const char *text, struct buf *out)
{
	size_t column = 0;

	for (; *text; text++, column++) {
		bool ends = *text == ' ' && (column > 0 && text[-1] == '.');
		if (*text == ' ' && (ends || column + strcspn(text + 1, " ") > MDOC_COLUMNS)) {
			(void)buf_append_byte(out, '\n');
			column = SIZE_MAX;
			continue;
		}
		if (column == 0 && (*text == '.' || *text == '\''))
			(void)buf_append_cstr(out, "\\&");
		if (*text == '\\')
			(void)buf_append_cstr(out, "\\e");
		else if (*text == '-')
			(void)buf_append_cstr(out, "\\-");
		else
			(void)buf_append_byte(out, (uint8_t)*text);
	}
	(void)buf_append_byte(out, '\n');
}

static void put_key_manual(const struct config_key *k, struct buf *out)
{
	CLEANUP(buf_release) struct buf words = BUF_INIT(4096);

	(void)buf_printf(out, ".It Cm %s\n", k->path);
	put_mdoc(k->sentence, out);
	(void)buf_append_cstr(&words, "Kind: ");
	put_kind(k, &words);
	(void)buf_append_cstr(&words, k->initial ? "; default " : "; required");
	if (k->initial)
		put_initial(k, &words);
	(void)buf_append_cstr(&words, k->reload == CONFIG_RELOAD ? "; reload." : ".");
	(void)buf_append_byte(&words, '\0');
	if (!buf_err(&words))
		put_mdoc((const char *)words.data, out);
	if (k->kind != CONFIG_LIST)
		return;
	const struct config_table *t = k->extra;
	(void)buf_append_cstr(out, "Each group of the list has:\n.Bl -tag -width Ds\n");
	config_table_manual(t, out);
	(void)buf_append_cstr(out, ".El\n");
}

void config_table_manual(const struct config_table *t, struct buf *out)
{
	for (uint32_t i = 0; i < t->count; i++)
		put_key_manual(&t->keys[i], out);
}

static void put_origin(const struct config_origin *o, struct buf *out)
{
	if (o->line > 0)
		(void)buf_printf(out, "  # %s:%u\n", o->file, o->line);
	else
		(void)buf_printf(out, "  # %s\n", o->file ? o->file : "default");
}

static void dump_keys(const struct config_table *t, const char *in, unsigned depth,
		      struct buf *out);

/* A table of a list has no lists of its own, so this ends. */
static void dump_list(const struct config_key *k, const struct config_list *list, unsigned depth,
		      struct buf *out)
{
	const struct config_table *t = k->extra;

	(void)buf_append_cstr(out, "(\n");
	for (uint32_t i = 0; i < list->count; i++) {
		put_tabs(out, depth + 1);
		(void)buf_append_cstr(out, "{\n");
		dump_keys(t, (const char *)list->rows + i * t->size, depth + 2, out);
		put_tabs(out, depth + 1);
		(void)buf_append_cstr(out, i + 1 < list->count ? "},\n" : "}\n");
	}
	put_tabs(out, depth);
	(void)buf_append_cstr(out, ")");
}

static void dump_keys(const struct config_table *t, const char *in, unsigned depth, struct buf *out)
{
	const struct config_origin *origins =
		*(const struct config_origin *const *)(const void *)in;

	for (uint32_t i = 0; i < t->count; i++) {
		const struct config_key *k = &t->keys[i];
		unsigned inside = depth + (group_of(k->path).len > 0);
		turn_group(t, i, depth, out);
		put_tabs(out, inside);
		(void)buf_printf(out, "%s = ", name_of(k->path));
		if (k->kind == CONFIG_LIST)
			dump_list(k, (const void *)(in + k->offset), inside, out);
		else
			config_value_write(k, in + k->offset, out);
		(void)buf_append_byte(out, ';');
		put_origin(&origins[i], out);
	}
	turn_group(t, t->count, depth, out);
}

void config_table_dump(const struct config_table *t, const void *in, struct buf *out)
{
	dump_keys(t, in, 0, out);
}
