/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files by table: rows (config.def) say what a key is called, of which kind it is, its default,
 * its bounds and what it is for. From them come the struct, the reading of the file, the sample, the manual and
 * the dump. A struct made by a table begins with `struct config_origin *origins`, one for each row.
 *
 *     kind       in the file                            member
 *     STRING     "text"; length within the bounds       const char *, never NULL
 *     PATH       the same; relative to the working      const char *, never NULL
 *                directory
 *     INT        12                                     int64_t
 *     BOOL       true                                   bool
 *     FLOAT      0.5, or 1                              double
 *     SIZE       "8GiB" (B, KiB, MiB, GiB, TiB)         uint64_t, bytes
 *     DURATION   "250ms" (ms, s, m, h, d)               uint64_t, milliseconds
 *     ADDRESS    "127.0.0.1:6333", "[::1]:0", "off"     struct config_address
 *     CHOICE     one of the words, as text              unsigned, its place among them
 *     STRINGS    [ "a", "b" ]; number within bounds     struct config_strings
 *     LIST       ( { … }, { … } ); number as well       struct config_list
 *
 * Sizes and times are texts because libconfig 1.5 silently cuts whole numbers to 32 bits.
 * Thread: any; what was read is not changed any more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"

enum config_kind {
	CONFIG_STRING,
	CONFIG_PATH,
	CONFIG_INT,
	CONFIG_BOOL,
	CONFIG_FLOAT,
	CONFIG_SIZE,
	CONFIG_DURATION,
	CONFIG_ADDRESS,
	CONFIG_CHOICE,
	CONFIG_STRINGS,
	CONFIG_LIST
};

enum config_reload { CONFIG_RELOAD, CONFIG_RESTART };

struct config_address {
	const char *host; /* without brackets; NULL: off */
	uint16_t port;
};

struct config_strings {
	const char *const *items;
	uint32_t count;
};

struct config_list {
	void *rows; /* structs of the list's table */
	uint32_t count;
};

/* Where a value comes from: FILE and LINE, or FILE alone (a variable of the environment), or neither (default). */
struct config_origin {
	const char *file;
	unsigned line;
};

struct config_key {
	const char *path;
	enum config_kind kind;
	const void *extra;   /* CHOICE: "a|b|c"; LIST: its struct config_table */
	const char *initial; /* NULL, in rows of a list: the file must have it */
	double least, greatest;
	size_t offset; /* of the member */
	enum config_reload reload;
	const char *sentence;
};

struct config_table {
	const struct config_key *keys;
	uint32_t count;
	size_t size; /* of the struct */
};

/* The member types, for tables that expand to a struct. */
#define CONFIG_MEMBER_STRING const char *
#define CONFIG_MEMBER_PATH const char *
#define CONFIG_MEMBER_INT int64_t
#define CONFIG_MEMBER_BOOL bool
#define CONFIG_MEMBER_FLOAT double
#define CONFIG_MEMBER_SIZE uint64_t
#define CONFIG_MEMBER_DURATION uint64_t
#define CONFIG_MEMBER_ADDRESS struct config_address
#define CONFIG_MEMBER_CHOICE unsigned
#define CONFIG_MEMBER_STRINGS struct config_strings
#define CONFIG_MEMBER_LIST struct config_list

/* --- whole structs --- */

/* out is zeroed; gets the defaults. ERR_NO_MEMORY. A default that its own row refuses ends the process. */
MUST_USE enum err config_table_defaults(const struct config_table *t, struct arena *a, void *out);
/* Reads the file over the defaults. Every line appended to errors is "FILE:LINE: path: words"; ERR_CONFIG when there
 * is any. */
MUST_USE enum err config_table_read(const struct config_table *t, const char *file, struct arena *a,
				    void *out, struct buf *errors);
/* All keys with their values and where they come from, as a file that could be read. */
void config_table_dump(const struct config_table *t, const void *in, struct buf *out);
/* The documented sample: groups with every key commented out. */
void config_table_sample(const struct config_table *t, struct buf *out);
/* The same as items of a list in mdoc. */
void config_table_manual(const struct config_table *t, struct buf *out);

/* --- single values --- */

/* What text is written in quotes stands for; ERR_CONFIG with words that do not name the key. INT, BOOL and FLOAT
 * are read as well, for defaults. Not for LIST. */
MUST_USE enum err config_value_parse(const struct config_key *k, const char *text, struct arena *a,
				     void *ret_value, struct fault *reterr_fault);
/* As libconfig reads it. Not for LIST. */
void config_value_write(const struct config_key *k, const void *value, struct buf *out);
bool config_value_equal(const struct config_key *k, const void *a, const void *b);
/* "1 to 255", "at most 32 characters", or nothing. */
void config_value_bounds(const struct config_key *k, struct buf *out);
/* Are number, length or count within the row's bounds? */
MUST_USE enum err config_value_check(const struct config_key *k, double number,
				     struct fault *reterr_fault);

/* Adds one line: "FILE:LINE: path: words". */
#define CONFIG_ERROR_BYTES_MAX (16u << 10)
void config_add_error(struct buf *errors, const struct config_origin *o, const char *path,
		      const char *fmt, ...) PRINTF_LIKE(4, 5);
