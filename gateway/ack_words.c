/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/ack_words.h"

#include "gateway/region.h"

#include <string.h>

#define NUMBER_DIGITS_MAX 6

static bool is_alone(const struct regions *regions)
{
	return !regions || regions->count == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct str trim(struct str s)
{
	while (s.len > 0 && is_blank(s.data[0])) {
		s.data++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.data[s.len - 1]))
		s.len--;
	return s;
}

static bool is_word(struct str s, const char *word)
{
	return s.len == strlen(word) && memcmp(s.data, word, s.len) == 0;
}

/* Every data region by name: a number would be met by any others. */
static void add_all(const struct regions *regions, struct ack_regions *out)
{
	for (uint32_t i = 0; !is_alone(regions) && i < regions->count; i++)
		if (regions->rows[i].data)
			region_set_add(&out->these, regions->rows[i].id);
	out->count = is_alone(regions) ? 1 : regions_data_count(regions);
	out->all = true;
}

static enum err add_name(struct str name, const struct regions *regions, const char *self, struct ack_regions *out,
			 struct fault *f)
{
	const struct region *r = is_alone(regions) ? NULL : regions_by_name(regions, name);

	if (is_alone(regions) && is_word(name, self)) {
		out->count = 1;
		return ERR_NONE;
	}
	if (!r)
		return fault_set(f, ERR_BAD_INPUT,
				 "isthmus-ack: '%.*s' is no region of this fleet; `all`, a number or names of data regions "
				 "are expected",
				 (int)MIN(name.len, (size_t)64), name.data);
	if (!r->data)
		return fault_set(f, ERR_BAD_INPUT, "isthmus-ack: region %s is a gateway and holds no data", r->name);
	region_set_add(&out->these, r->id);
	return ERR_NONE;
}

static enum err add_names(struct str text, const struct regions *regions, const char *self, struct ack_regions *out,
			  struct fault *f)
{
	enum err err = ERR_NONE;

	for (bool more = true; more && !err;) {
		const char *comma = memchr(text.data, ',', text.len);
		struct str name = { text.data, comma ? (size_t)(comma - text.data) : text.len };
		err = add_name(trim(name), regions, self, out, f);
		more = comma != NULL;
		text.data += name.len + more;
		text.len -= name.len + more;
	}
	return err;
}

/* False: it is no number. One of too many digits is greater than any fleet. */
static bool parse_number(struct str s, uint32_t *ret_number)
{
	uint32_t v = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] < '0' || s.data[i] > '9')
			return false;
		v = i < NUMBER_DIGITS_MAX ? v * 10 + (uint32_t)(s.data[i] - '0') : UINT32_MAX;
	}
	*ret_number = v;
	return s.len > 0;
}

enum err ack_words_parse(struct str text, const struct regions *regions, const char *self,
			 struct ack_regions *ret_regions, struct fault *reterr_fault)
{
	uint32_t data_regions = is_alone(regions) ? 1 : regions_data_count(regions);
	struct ack_regions out = { 0 };
	enum err err = ERR_NONE;

	text = trim(text);
	if (text.len == 0)
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "isthmus-ack: `all`, a number or names of data regions are expected");
	if (is_word(text, "all"))
		add_all(regions, &out);
	else if (!parse_number(text, &out.count))
		err = add_names(text, regions, self, &out, reterr_fault);
	else if (out.count == 0 || out.count > data_regions)
		err = fault_set(reterr_fault, ERR_BAD_INPUT,
				"isthmus-ack: %.*s regions cannot apply a write: this fleet has %u with data",
				(int)MIN(text.len, (size_t)32), text.data, data_regions);
	if (!err)
		*ret_regions = out;
	return err;
}

void ack_words_write(const struct ack_report *r, struct buf *out)
{
	buf_append_cstr(out, "local");
	if (r->level >= ACK_VISIBLE)
		buf_append_cstr(out, ",visible");
	if (r->level == ACK_STREAM || (r->level == ACK_CONFIRMED && r->applied.stream))
		buf_append_cstr(out, ",stream");
	if (r->level == ACK_CONFIRMED)
		buf_append_cstr(out, ",confirmed");
	if (r->regions)
		buf_printf(out, ",regions=%u", region_set_count(&r->applied.regions));
}

void ack_words_write_names(const struct ack_report *r, const struct regions *regions, const char *self,
			   struct buf *out)
{
	const char *between = "";

	if (is_alone(regions)) {
		buf_append_cstr(out, self);
		return;
	}
	for (uint32_t i = 0; i < regions->count; i++) {
		if (!region_set_has(&r->applied.regions, regions->rows[i].id))
			continue;
		buf_printf(out, "%s%s", between, regions->rows[i].name);
		between = ",";
	}
}
