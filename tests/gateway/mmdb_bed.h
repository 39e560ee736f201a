/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small MMDB files in the schemas that are read.
 */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/mmdb_write.h"

struct mmdb_row {
	const char *network;     /* "192.0.2.0/24" */
	const char *country;     /* NULL: none */
	const char *continent;   /* the same */
	bool located;
	double lat, lon;
};

static inline struct mmdb_value mmdb_text(const char *text)
{
	return (struct mmdb_value){ .kind = MMDB_WRITE_TEXT, .text = { text, strlen(text) } };
}

/* Both give the item and its maps in room, which must hold 8. */
static inline uint32_t mmdb_nested_items(const struct mmdb_row *row, struct mmdb_item *room)
{
	uint32_t n = 0;
	struct mmdb_item *inner = room + 4;
	if (row->continent) {
		inner[0] = (struct mmdb_item){ STR("code"), mmdb_text(row->continent) };
		room[n++] = (struct mmdb_item){ STR("continent"),
						{ .kind = MMDB_WRITE_MAP, .items = &inner[0], .count = 1 } };
	}
	if (row->country) {
		inner[1] = (struct mmdb_item){ STR("iso_code"), mmdb_text(row->country) };
		room[n++] = (struct mmdb_item){ STR("country"),
						{ .kind = MMDB_WRITE_MAP, .items = &inner[1], .count = 1 } };
	}
	if (row->located) {
		inner[2] = (struct mmdb_item){ STR("latitude"), { .kind = MMDB_WRITE_DOUBLE, .number = row->lat } };
		inner[3] = (struct mmdb_item){ STR("longitude"), { .kind = MMDB_WRITE_DOUBLE, .number = row->lon } };
		room[n++] = (struct mmdb_item){ STR("location"),
						{ .kind = MMDB_WRITE_MAP, .items = &inner[2], .count = 2 } };
	}
	return n;
}

static inline uint32_t mmdb_flat_items(const struct mmdb_row *row, struct mmdb_item *room)
{
	uint32_t n = 0;
	room[n++] = (struct mmdb_item){ STR("city"), mmdb_text("") };
	if (row->country)
		room[n++] = (struct mmdb_item){ STR("country_code"), mmdb_text(row->country) };
	if (row->located) {
		room[n++] = (struct mmdb_item){ STR("latitude"), { .kind = MMDB_WRITE_FLOAT, .number = row->lat } };
		room[n++] = (struct mmdb_item){ STR("longitude"), { .kind = MMDB_WRITE_FLOAT, .number = row->lon } };
	}
	return n;
}

static inline void mmdb_add_row(struct mmdb_writer *w, const struct mmdb_row *row, bool flat)
{
	struct mmdb_item room[8];
	uint32_t count = flat ? mmdb_flat_items(row, room) : mmdb_nested_items(row, room);
	const struct mmdb_value map = { .kind = MMDB_WRITE_MAP, .items = room, .count = count };
	struct mmdb_address a = { 0 };
	char text[INET6_ADDRSTRLEN + 8];
	uint32_t id;

	ck_assert_uint_lt(strlen(row->network), sizeof(text));
	memcpy(text, row->network, strlen(row->network) + 1);
	char *slash = strchr(text, '/');
	ck_assert_ptr_nonnull(slash);
	*slash = '\0';
	bool v6 = strchr(text, ':') != NULL;
	ck_assert_int_eq(inet_pton(v6 ? AF_INET6 : AF_INET, text, v6 ? a.bytes : a.bytes + 12), 1);
	unsigned prefix = (unsigned)strtoul(slash + 1, NULL, 10) + (v6 ? 0 : 96);
	ck_assert_int_eq(mmdb_writer_value(w, &map, &id), ERR_NONE);
	ck_assert_int_eq(mmdb_writer_add(w, a, prefix, id), ERR_NONE);
}

/* The bytes of a file; released by the caller. */
static inline struct buf mmdb_make(const struct mmdb_row *rows, size_t count, unsigned ip_version, bool flat,
				   uint64_t build_epoch)
{
	const struct mmdb_writer_options o = { .ip_version = ip_version,
					       .type = flat ? "city flat" : "Test-City",
					       .description = "made by a test",
					       .build_epoch = build_epoch };
	struct buf out = BUF_INIT((size_t)64 << 20);
	struct mmdb_writer *w;

	ck_assert_int_eq(mmdb_writer_new(&o, &w), ERR_NONE);
	for (size_t i = 0; i < count; i++)
		mmdb_add_row(w, &rows[i], flat);
	ck_assert_int_eq(mmdb_writer_finish(w, &out, NULL), ERR_NONE);
	mmdb_writer_free(w);
	return out;
}
