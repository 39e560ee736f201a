/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/cutoff.h"

#include <string.h>

static const struct op_seen *find(const struct cutoff *c, uint8_t region)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (c->seen[i].region == region)
			return &c->seen[i];
	return NULL;
}

enum err cutoff_raise(struct cutoff *c, struct op_seen seen)
{
	uint32_t at = 0;

	while (at < c->count && c->seen[at].region < seen.region)
		at++;
	if (at < c->count && c->seen[at].region == seen.region) {
		c->seen[at].hlc = MAX(c->seen[at].hlc, seen.hlc);
		return ERR_NONE;
	}
	if (c->count == OP_SEEN_MAX)
		return ERR_TOO_LARGE;
	memmove(&c->seen[at + 1], &c->seen[at], (c->count - at) * sizeof(*c->seen));
	c->seen[at] = seen;
	c->count++;
	return ERR_NONE;
}

enum err cutoff_of_logs(const struct log_mark *logs, uint32_t count, struct cutoff *ret_cutoff)
{
	enum err err = ERR_NONE;

	*ret_cutoff = (struct cutoff){ .count = 0 };
	for (uint32_t i = 0; i < count && !err; i++)
		err = cutoff_raise(ret_cutoff, (struct op_seen){ .region = (uint8_t)logs[i].log, .hlc = logs[i].hlc });
	return err;
}

enum err cutoff_join(struct cutoff *c, const struct cutoff *other)
{
	for (uint32_t i = 0; i < other->count; i++) {
		enum err err = cutoff_raise(c, other->seen[i]);
		if (err)
			return err;
	}
	return ERR_NONE;
}

const struct op_seen *cutoff_missing(const struct cutoff *here, const struct cutoff *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		const struct op_seen *seen = find(here, c->seen[i].region);
		if (!seen || seen->hlc < c->seen[i].hlc)
			return &c->seen[i];
	}
	return NULL;
}

bool cutoff_equal(const struct cutoff *a, const struct cutoff *b)
{
	return a->count == b->count && !cutoff_missing(a, b) && !cutoff_missing(b, a);
}

bool cutoff_has(const struct cutoff *c, struct stamp s)
{
	const struct op_seen *seen = find(c, s.region);

	return stamp_is_zero(s) || (seen && s.hlc <= seen->hlc);
}

bool cutoff_has_row(const struct cutoff *c, const struct row *row)
{
	bool has = cutoff_has(c, row->created) && cutoff_has(c, row->reset) && cutoff_has(c, row->payload_reset) &&
		   cutoff_has(c, row->deleted);

	for (uint32_t i = 0; has && i < row->vector_count; i++)
		has = cutoff_has(c, row->vectors[i].stamp);
	for (uint32_t i = 0; has && i < row->field_count; i++)
		has = cutoff_has(c, row->fields[i].stamp);
	return has;
}
