/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes databases in the MaxMind DB format 2.0: networks, and for each a value. What was added later counts
 * where networks overlap. The same additions make the same bytes, whatever machine and time.
 * Thread: whoever holds it.
 *
 * A file      search tree, 16 zero bytes, data section, marker, metadata
 * A node      two records of 24, 28 or 32 bits, the smallest that can name all there is: the number of another
 *             node; the number of nodes, which means nothing is known; or that and 16 and an offset in the
 *             data section
 * A value     control byte (3 bits type, 5 bits size), more size, the bytes. What stands in the data section
 *             already is pointed at, when the pointer is shorter
 * IPv4        in a tree for IPv6 stands at ::/96, and is found from ::ffff:0:0/96 and 2002::/16 as well
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

#define MMDB_WRITE_NODES_MAX (1u << 26)
#define MMDB_WRITE_DATA_BYTES_MAX ((size_t)1 << 28)
#define MMDB_WRITE_DEPTH_MAX 8

enum mmdb_write_kind {
	MMDB_WRITE_TEXT,
	MMDB_WRITE_DOUBLE,
	MMDB_WRITE_FLOAT,
	MMDB_WRITE_U16,
	MMDB_WRITE_U32,
	MMDB_WRITE_U64,
	MMDB_WRITE_BOOL,
	MMDB_WRITE_MAP,
	MMDB_WRITE_ARRAY
};

struct mmdb_item;
struct mmdb_value {
	enum mmdb_write_kind kind;
	struct str text;
	double number;                   /* DOUBLE, FLOAT */
	uint64_t whole;                  /* U16, U32, U64, BOOL */
	const struct mmdb_item *items;   /* MAP, ARRAY; what is listed must outlive the call only */
	uint32_t count;
};
struct mmdb_item {
	struct str key;                  /* of a MAP */
	struct mmdb_value value;
};

/* IPv4 a.b.c.d is ::a.b.c.d, and its prefixes have 96 more. */
struct mmdb_address {
	uint8_t bytes[16];
};
struct mmdb_address mmdb_address_v4(uint32_t address);

struct mmdb_writer;
struct mmdb_writer_options {
	unsigned ip_version;       /* 4 or 6 */
	const char *type;          /* what the database calls itself */
	const char *description;   /* in English */
	uint64_t build_epoch;      /* seconds since 1970 */
};

MUST_USE enum err mmdb_writer_new(const struct mmdb_writer_options *o, struct mmdb_writer **ret_writer);
void mmdb_writer_free(struct mmdb_writer *w);
/* Instead of the option's, when the inputs tell it. */
void mmdb_writer_set_epoch(struct mmdb_writer *w, uint64_t build_epoch);
/* Puts a value into the data section, once; *ret_value is for the following two. ERR_BAD_INPUT: deeper than
 * MMDB_WRITE_DEPTH_MAX. */
MUST_USE enum err mmdb_writer_value(struct mmdb_writer *w, const struct mmdb_value *v, uint32_t *ret_value);
/* The network has the value. ERR_BAD_INPUT: prefix above 128, or not an IPv4 network where only those are;
 * ERR_TOO_LARGE: too many nodes. Bits behind the prefix do not count. */
MUST_USE enum err mmdb_writer_add(struct mmdb_writer *w, struct mmdb_address network, unsigned prefix,
				  uint32_t value);
/* All addresses from first to last; ERR_BAD_INPUT when first is the greater. *ret_networks (may be NULL): how
 * many networks that were. */
MUST_USE enum err mmdb_writer_add_range(struct mmdb_writer *w, struct mmdb_address first,
					struct mmdb_address last, uint32_t value, uint32_t *ret_networks);
/* Appends the file. The writer is good for nothing but freeing afterwards. */
MUST_USE enum err mmdb_writer_finish(struct mmdb_writer *w, struct buf *out, uint32_t *ret_nodes);
