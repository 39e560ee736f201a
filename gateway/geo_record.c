/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of the MaxMind DB format 2.0, see mmdb_write.h.
 */
#include "gateway/geo_record.h"

#include <math.h>
#include <string.h>

#define NOWHERE 1000.0 /* degrees that there are not */

enum type {
	TYPE_EXTENDED = 0,
	TYPE_POINTER = 1,
	TYPE_TEXT = 2,
	TYPE_DOUBLE = 3,
	TYPE_MAP = 7,
	TYPE_ARRAY = 11,
	TYPE_CONTAINER = 12,
	TYPE_END = 13,
	TYPE_BOOL = 14,
	TYPE_FLOAT = 15
};

struct reader {
	struct bytes section;
	size_t at;
	unsigned *steps;      /* left, of all readers of one record */
	bool bad;
};

struct item {
	enum type type;
	size_t size;          /* bytes; of maps and arrays: entries */
	size_t at;            /* where the bytes, or the entries, begin */
	bool direct;          /* else a pointer led there */
};

static uint64_t take(struct reader *r, size_t n)
{
	uint64_t v = 0;

	if (r->bad || r->at > r->section.len || r->section.len - r->at < n) {
		r->bad = true;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		v = v << 8 | r->section.data[r->at++];
	return v;
}

static size_t take_pointer(struct reader *r, unsigned control)
{
	static const uint32_t bases[] = { 0, 2048, 526336, 0 };
	unsigned kind = control >> 3 & 3;
	uint64_t high = kind == 3 ? 0 : control & 7;

	return (size_t)(bases[kind] + (high << 8 * (kind + 1)) + take(r, kind + 1));
}

/* Control byte and size; what a pointer points at may be no pointer. */
static bool take_head(struct reader *r, struct item *i)
{
	unsigned control = (unsigned)take(r, 1);

	*i = (struct item){ .type = (enum type)(control >> 5), .direct = true };
	if (i->type == TYPE_POINTER) {
		i->at = take_pointer(r, control);
		return !r->bad;
	}
	if (i->type == TYPE_EXTENDED)
		i->type = (enum type)(take(r, 1) + 7);
	i->size = control & 31;
	if (i->size == 29)
		i->size = 29 + (size_t)take(r, 1);
	else if (i->size == 30)
		i->size = 285 + (size_t)take(r, 2);
	else if (i->size == 31)
		i->size = 65821 + (size_t)take(r, 3);
	/* There is none of 8; these two are no values. */
	if (i->type == TYPE_CONTAINER || i->type == TYPE_END || i->type > TYPE_FLOAT ||
	    (i->type == TYPE_DOUBLE && i->size != 8) || (i->type == TYPE_FLOAT && i->size != 4))
		r->bad = true;
	i->at = r->at;
	return !r->bad;
}

static bool has_entries(const struct item *i)
{
	return i->type == TYPE_MAP || i->type == TYPE_ARRAY;
}

/* The next value. Behind it: the next one, but at the entries of a map or an array that stands here. */
static bool take_item(struct reader *r, struct item *i)
{
	if (r->bad || *r->steps == 0) {
		r->bad = true;
		return false;
	}
	--*r->steps;
	if (!take_head(r, i))
		return false;
	if (i->type == TYPE_POINTER) {
		struct reader there = { .section = r->section, .at = i->at };
		if (!take_head(&there, i) || i->type == TYPE_POINTER) {
			r->bad = true;
			return false;
		}
		i->direct = false;
	}
	if (has_entries(i) || i->type == TYPE_BOOL)
		return true;
	if (i->size > r->section.len - i->at) {
		r->bad = true;
		return false;
	}
	if (i->direct)
		r->at += i->size;
	return true;
}

static struct reader reader_of(const struct reader *r, const struct item *i)
{
	return (struct reader){ .section = r->section, .at = i->at, .steps = r->steps };
}

/* Past the entries of i, if it stands here; everywhere: or else through them all. Recursion ends at
 * GEO_RECORD_DEPTH_MAX. */
static void pass(struct reader *r, const struct item *i, bool everywhere, unsigned depth)
{
	struct reader there = reader_of(r, i);
	struct reader *in = i->direct ? r : &there;

	if (!has_entries(i) || (!i->direct && !everywhere))
		return;
	if (depth >= GEO_RECORD_DEPTH_MAX) {
		r->bad = true;
		return;
	}
	for (size_t n = i->type == TYPE_MAP ? 2 * i->size : i->size; n > 0 && !in->bad; n--) {
		struct item entry;
		if (take_item(in, &entry))
			pass(in, &entry, everywhere, depth + 1);
	}
	r->bad = r->bad || in->bad;
}

static bool is_key(const struct reader *r, const struct item *i, const char *name)
{
	size_t len = strlen(name);

	return i->type == TYPE_TEXT && i->size == len && memcmp(r->section.data + i->at, name, len) == 0;
}

/* The next entry of a map; what is not looked at is passed. */
static bool take_entry(struct reader *r, struct item *key, struct item *value)
{
	return take_item(r, key) && key->type == TYPE_TEXT && take_item(r, value);
}

/* Two letters; anything else is as if it were not there. */
static void take_code(const struct reader *r, const struct item *i, char out[3])
{
	if (i->type != TYPE_TEXT || i->size != 2)
		return;
	const uint8_t *text = r->section.data + i->at;
	for (unsigned n = 0; n < 2; n++)
		if (text[n] < 'A' || text[n] > 'Z')
			return;
	out[0] = (char)text[0];
	out[1] = (char)text[1];
	out[2] = '\0';
}

/* The code itself, or a map that has it by that name. */
static bool find_code(const struct reader *r, const struct item *i, const char *name, char out[3])
{
	struct reader in = reader_of(r, i);
	struct item key, value;

	take_code(r, i, out);
	if (i->type != TYPE_MAP)
		return true;
	for (size_t n = 0; n < i->size; n++) {
		if (!take_entry(&in, &key, &value))
			return false;
		if (is_key(&in, &key, name))
			take_code(&in, &value, out);
		pass(&in, &value, false, 1);
	}
	return !in.bad;
}

static void take_degrees(const struct reader *r, const struct item *i, double *ret)
{
	struct reader in = reader_of(r, i);
	uint64_t bits = i->type == TYPE_DOUBLE || i->type == TYPE_FLOAT ? take(&in, i->size) : 0;
	uint32_t half = (uint32_t)bits;
	float narrow;

	if (i->type == TYPE_DOUBLE) {
		memcpy(ret, &bits, sizeof(*ret));
	} else if (i->type == TYPE_FLOAT) {
		memcpy(&narrow, &half, sizeof(narrow));
		*ret = (double)narrow;
	}
}

struct coordinates {
	double lat, lon;     /* NOWHERE: not there */
};

static bool find_degrees(const struct reader *r, const struct item *key, const struct item *value,
			 struct coordinates *c)
{
	if (is_key(r, key, "latitude"))
		take_degrees(r, value, &c->lat);
	else if (is_key(r, key, "longitude"))
		take_degrees(r, value, &c->lon);
	else
		return false;
	return true;
}

static bool find_location(const struct reader *r, const struct item *i, struct coordinates *c)
{
	struct reader in = reader_of(r, i);
	struct item key, value;

	for (size_t n = 0; i->type == TYPE_MAP && n < i->size; n++) {
		if (!take_entry(&in, &key, &value))
			return false;
		(void)find_degrees(&in, &key, &value, c);
		pass(&in, &value, false, 1);
	}
	return !in.bad;
}

struct finds {
	struct geo_record record;
	char registered[3];
	struct coordinates nested, flat;
};

static bool take_field(const struct reader *r, const struct item *key, const struct item *value, struct finds *f)
{
	if (is_key(r, key, "country"))
		return find_code(r, value, "iso_code", f->record.country);
	if (is_key(r, key, "country_code"))
		take_code(r, value, f->record.country);
	else if (is_key(r, key, "registered_country"))
		return find_code(r, value, "iso_code", f->registered);
	else if (is_key(r, key, "continent"))
		return find_code(r, value, "code", f->record.continent);
	else if (is_key(r, key, "location"))
		return find_location(r, value, &f->nested);
	else
		(void)find_degrees(r, key, value, &f->flat);
	return true;
}

/* 0, 0 is in the sea: databases write it for "unknown". */
static bool is_place(const struct coordinates *c)
{
	return fabs(c->lat) <= 90 && fabs(c->lon) <= 180 && (c->lat != 0 || c->lon != 0);
}

bool geo_record_read(struct bytes section, size_t offset, struct geo_record *ret_record)
{
	unsigned steps = GEO_RECORD_STEPS_MAX;
	struct reader start = { .section = section, .at = offset, .steps = &steps };
	struct finds f = { .nested = { NOWHERE, NOWHERE }, .flat = { NOWHERE, NOWHERE } };
	struct item record, key, value;

	if (!take_item(&start, &record) || record.type != TYPE_MAP)
		return false;
	struct reader r = reader_of(&start, &record);
	for (size_t n = 0; n < record.size; n++) {
		if (!take_entry(&r, &key, &value) || !take_field(&r, &key, &value, &f))
			return false;
		pass(&r, &value, false, 1);
	}
	if (r.bad)
		return false;
	if (!f.record.country[0])
		memcpy(f.record.country, f.registered, sizeof(f.registered));
	const struct coordinates *c = is_place(&f.nested) ? &f.nested : &f.flat;
	f.record.located = is_place(c);
	if (f.record.located) {
		f.record.lat = c->lat;
		f.record.lon = c->lon;
	}
	*ret_record = f.record;
	return true;
}

bool geo_record_check(struct bytes section, size_t offset)
{
	unsigned steps = GEO_RECORD_STEPS_MAX;
	struct reader r = { .section = section, .at = offset, .steps = &steps };
	struct item i;

	if (take_item(&r, &i))
		pass(&r, &i, true, 0);
	return !r.bad;
}
